//! What the properties share: strategies for packets, and two workers with an underlay between them.

use std::net::SocketAddr;

use encap::{Format, PortId, Vni, VtepAddr};
use fdb::Location;
use proptest::prelude::*;
use weft::clock;
use weft::datapath::inbound::Message;
use weft::datapath::memory::{Delivery, MemoryWorker, SentMessage};
use weft_tests::frames::{ACK, PSH, Packet, mac, wire_frames};

pub(crate) fn vni() -> Vni {
    Vni::new(100).expect("24 bits")
}

pub(crate) fn vtep(address: &str) -> VtepAddr {
    address.parse::<SocketAddr>().expect("an address").into()
}

pub(crate) fn formats() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::Vxlan), Just(Format::Geneve)]
}

/// Octets that never repeat for long, so that a displaced piece shows.
pub(crate) fn stream(start: usize, len: usize) -> Vec<u8> {
    (start..start + len).map(|at| ((at as u32).wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// TCP or UDP over IPv4 or IPv6 from MAC 1 to MAC 2, with up to `max` octets of payload.
pub(crate) fn packets(max: usize) -> impl Strategy<Value = Packet> {
    let flags = prop_oneof![
        6 => prop_oneof![Just(ACK), Just(ACK | PSH)],
        1 => any::<u8>(),
    ];
    let switches = any::<[bool; 3]>();
    let numbers = (any::<u16>(), any::<u32>(), any::<u16>(), any::<u8>());
    let vlan = proptest::option::of(0u16..4096);
    (switches, numbers, flags, 0u8..=10, vlan, (0..=max, any::<u16>())).prop_map(
        |([v6, udp, dont_fragment], (id, sequence, port, tos), flags, options, vlan, (len, seed))| Packet {
            v6,
            udp,
            dont_fragment,
            id,
            sequence,
            flags,
            options,
            vlan,
            tos,
            ports: [port, 80],
            ..Packet::tcp(stream(usize::from(seed), len))
        },
    )
}

/// Two nodes; MAC 1 is behind a port of `a`, MAC 2 behind one of `b`.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) a: MemoryWorker,
    pub(crate) port: PortId,
    pub(crate) b: MemoryWorker,
    format: Format,
    a_vtep: VtepAddr,
}

impl Pair {
    pub(crate) fn new(format: Format, outer_v6: bool) -> Self {
        let addresses = if outer_v6 {
            ["[2001:db8::1]:4789", "[2001:db8::2]:4789"]
        } else {
            ["192.0.2.1:4789", "192.0.2.2:4789"]
        };
        let [a_vtep, b_vtep] = addresses.map(vtep);
        let (a, port) = node(b_vtep, format, 1, 2);
        let (b, _) = node(a_vtep, format, 2, 1);
        Self { a, port, b, format, a_vtep }
    }

    /// Takes what `a` has sent to `b`, in order.
    pub(crate) fn carry(&mut self) -> Vec<Delivery> {
        self.a.sink.flush();
        let sent = std::mem::take(&mut self.a.sink.sent);
        for batch in sent.chunks(8) {
            receive(&mut self.b, self.a_vtep, self.format, batch);
        }
        std::mem::take(&mut self.b.sink.delivered)
    }
}

/// A node with MAC `here` behind its only port, and MAC `there` behind its only peer.
fn node(peer: VtepAddr, format: Format, here: u8, there: u8) -> (MemoryWorker, PortId) {
    let mut worker = MemoryWorker::new(clock::now());
    let network = worker.add_network(vni());
    let port = worker.add_port(network);
    worker.add_peer(peer, format, network);
    worker.change(|topology| topology.networks[0].vlan_pass = true);
    for (last, at) in [(here, Location::Local(port)), (there, Location::Remote(peer))] {
        worker.table.add_static(vni(), mac(last), at).expect("room in the table");
    }
    (worker, port)
}

/// Hands messages to a worker as one receive batch.
pub(crate) fn receive(worker: &mut MemoryWorker, from: VtepAddr, format: Format, batch: &[SentMessage]) {
    let mut buffer = Vec::new();
    let mut messages = Vec::new();
    for message in batch {
        messages.push(Message {
            from: from.ip(),
            format,
            start: buffer.len(),
            len: message.octets.len(),
            stride: message.size,
            tos: message.route.tos,
        });
        buffer.extend_from_slice(&message.octets);
    }
    worker.receive(&messages, &mut buffer);
}

/// The wire frames that writes to ports stand for.
pub(crate) fn delivered_frames(deliveries: &[Delivery]) -> Vec<Vec<u8>> {
    deliveries.iter().flat_map(|delivery| wire_frames(&delivery.vnet, &delivery.frame)).collect()
}
