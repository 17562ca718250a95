//! `received + copies = delivered + answered + drops`, for any traffic.

use std::time::Duration;

use encap::coalesce::Offload;
use encap::inet::Layers;
use encap::relay::{Hops, Relay};
use encap::vnet::{Gso, Unfinished, VnetHeader};
use encap::{Format, MacAddr, Mtu, PortId, Vni, tunnel};
use fdb::Location;
use proptest::prelude::*;
use weft::clock;
use weft::counters::DropReason;
use weft::datapath::inbound::Message;
use weft::datapath::memory::MemoryWorker;
use weft::path::Sources;
use weft::topology::{Guard, ViaView};
use weft_tests::frames::{Packet, mac};

use crate::traffic::{formats, packets, vni, vtep};

const SOURCES: [&str; 6] = [
    "192.0.2.2:4789",
    "[2001:db8::3]:6081",
    "192.0.2.4:4789",
    "192.0.2.5:4789",
    "203.0.113.7:4789", // by prefix
    "192.0.2.99:4789",  // a stranger
];
const OWN: &str = "10.0.0.1:80";
const PORTS: u32 = 5;

/// What comes to a worker.
#[derive(Clone, Debug)]
enum Input {
    Read { port: u32, vnet: VnetHeader, frame: Vec<u8> },
    Receive { from: usize, format: Format, stride: usize, tos: u8, octets: Vec<u8> },
    Learn,
    Wait(u16),
    Forget,
}

fn addresses() -> impl Strategy<Value = MacAddr> {
    prop_oneof![
        8 => (0u8..9).prop_map(mac),
        1 => Just(MacAddr::BROADCAST),
        1 => Just(MacAddr::new([0x33, 0x33, 0, 0, 0, 1])),
        1 => Just(MacAddr::new([0x01, 0x80, 0xc2, 0, 0, 0x0e])),
        1 => any::<[u8; 6]>().prop_map(MacAddr::new),
    ]
}

fn vnets() -> impl Strategy<Value = VnetHeader> {
    let gso = prop_oneof![Just(Gso::TcpV4), Just(Gso::TcpV6), Just(Gso::Udp)];
    let gso = proptest::option::of((gso, prop_oneof![any::<u16>(), 0u16..2000]));
    let unfinished =
        proptest::option::of((prop_oneof![any::<u16>(), 0u16..80], prop_oneof![any::<u16>(), 0u16..20]));
    (gso, unfinished, any::<bool>(), any::<u16>()).prop_map(|(gso, unfinished, verified, header_len)| {
        VnetHeader {
            gso,
            unfinished: unfinished.map(|(start, offset)| Unfinished { start, offset }),
            verified,
            header_len,
        }
    })
}

/// A frame or super-frame as a kernel makes it.
fn whole() -> impl Strategy<Value = (VnetHeader, Vec<u8>)> {
    (packets(6000), addresses(), addresses(), proptest::option::of(1u16..2000)).prop_map(
        |(packet, dst, src, size)| {
            let packet = Packet { dst, src, ..packet };
            match size {
                Some(size) => packet.super_frame(size),
                None => packet.unfinished(),
            }
        },
    )
}

/// Frames as kernels make them, and any others.
fn frames() -> impl Strategy<Value = (VnetHeader, Vec<u8>)> {
    let damaged = (whole(), vnets(), any::<proptest::sample::Index>(), any::<u8>(), any::<bool>()).prop_map(
        |((_, mut frame), vnet, at, octet, cut)| {
            let at = at.index(frame.len());
            if cut {
                frame.truncate(at);
            } else {
                frame[at] = octet;
            }
            (vnet, frame)
        },
    );
    let noise = (vnets(), proptest::collection::vec(any::<u8>(), 0..200));
    prop_oneof![4 => whole(), 2 => damaged, 1 => noise]
}

/// What datagrams say that go over a third node.
fn relays() -> impl Strategy<Value = Relay> {
    let address = prop_oneof![Just(OWN), proptest::sample::select(&SOURCES[..])];
    let hops = prop_oneof![Just(Hops::Zero), Just(Hops::One)];
    (address.clone(), address, hops).prop_map(|(origin, to, hops)| Relay {
        origin: vtep(origin),
        to: vtep(to).ip(),
        hops,
    })
}

/// Datagrams of our networks with any frame, and anything else.
fn datagrams() -> impl Strategy<Value = Input> {
    let header =
        prop_oneof![4 => Just(Some(100)), 2 => Just(Some(200)), 1 => Just(Some(300)), 1 => Just(None)];
    let one = (header, frames(), formats(), proptest::option::of(relays()));
    let octets = proptest::collection::vec(one, 1..6).prop_map(|datagrams| {
        let octets: Vec<Vec<u8>> = datagrams
            .into_iter()
            .map(|(vni, (_, frame), format, relay)| {
                match (vni.map(|vni| Vni::new(vni).expect("24 bits")), relay) {
                    (Some(vni), None) => [&tunnel::encode(format, vni)[..], &frame].concat(),
                    (Some(vni), Some(relay)) => [&relay.encode(vni)[..], &frame].concat(),
                    (None, _) => frame,
                }
            })
            .collect();
        (octets[0].len(), octets.concat())
    });
    let stride = prop_oneof![3 => Just(None), 1 => (0usize..3000).prop_map(Some)];
    (0..SOURCES.len(), formats(), octets, stride, any::<u8>()).prop_map(
        |(from, format, (first, octets), stride, tos)| Input::Receive {
            from,
            format,
            stride: stride.unwrap_or(first),
            tos,
            octets,
        },
    )
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let read = (1..=PORTS, frames()).prop_map(|(port, (vnet, frame))| Input::Read { port, vnet, frame });
    let input = prop_oneof![
        8 => read,
        8 => datagrams(),
        2 => Just(Input::Learn),
        1 => (0u16..3000).prop_map(Input::Wait),
        1 => Just(Input::Forget),
    ];
    proptest::collection::vec(input, 1..40)
}

/// A node with a bit of everything: guard, limits, tags, small paths, a peer that is down, a prefix, full devices.
fn node(offload: Offload, strict: bool) -> MemoryWorker {
    let mut worker = MemoryWorker::new(clock::now());
    let (first, second) = (worker.add_network(vni()), worker.add_network(Vni::new(200).expect("24 bits")));
    let ports: Vec<_> = [first, first, first, second, second].map(|network| worker.add_port(network)).into();
    worker.add_peer(vtep(SOURCES[0]), Format::Vxlan, first);
    worker.add_peer(vtep(SOURCES[1]), Format::Geneve, first);
    let small = worker.add_peer(vtep(SOURCES[2]), Format::Vxlan, second);
    let down = worker.add_peer(vtep(SOURCES[3]), Format::Vxlan, first);
    worker.change(|topology| {
        topology.encap.vxlan_strict = strict;
        topology.encap.own = vec![vtep(OWN)];
        topology.encap.seen_as = vec![vtep(OWN), vtep("[2001:db8::1]:80")];
        (topology.encap.relay, topology.encap.clamp_mss) = (!strict, !strict);
        topology.networks[0].vlan_pass = true;
        topology.networks[1].flood_unknown = strict;
        topology.peers[usize::from(small.0)].path_mtu = Mtu::new(600).expect("an MTU");
        topology.peers[usize::from(down.0)].up = false;
        for member in &mut topology.peers[..3] {
            (member.member, member.geneve) = (true, Some(member.vtep));
        }
        // The way to the second leads over the first, that to the first is direct.
        let path_mtu = Mtu::new(1500).expect("an MTU");
        topology.peers[1].via =
            Some(ViaView { to: topology.peers[0].vtep, path_mtu, dead: Sources::default() });
        topology.prefixes = vec![("203.0.113.0/24".parse().expect("a prefix"), small)];
        if let Some(port) = topology.ports.get_mut(&ports[0]) {
            (port.bum_pps, port.multicast_pps) = (10, 5);
        }
        if let Some(port) = topology.ports.get_mut(&ports[1]) {
            port.guard = Some(Guard { mac: Some(mac(1)), addresses: vec![[10, 0, 0, 1].into()] });
        }
    });
    worker.sink.refusing = vec![(ports[2], DropReason::TapFull)];
    worker.set_offload(offload);
    let places = [
        (2, Location::Local(ports[1])),
        (3, Location::Remote(vtep(SOURCES[0]))),
        (4, Location::Remote(vtep(SOURCES[3]))),
        (5, Location::Local(PortId::new(99))),
        (6, Location::Local(ports[2])),
    ];
    for (last, at) in places {
        worker.table.add_static(vni(), mac(last), at).expect("room in the table");
    }
    worker
}

fn apply(worker: &mut MemoryWorker, input: Input) {
    match input {
        Input::Read { port, vnet, mut frame } => {
            worker.read(PortId::new(port), &vnet, &mut frame);
            worker.sink.flush();
        }
        Input::Receive { from, format, stride, tos, mut octets } => {
            let (from, len) = (vtep(SOURCES[from]).ip(), octets.len());
            worker.receive(&[Message { from, format, start: 0, len, stride, tos }], &mut octets);
            worker.sink.flush();
        }
        Input::Learn => worker.learn(),
        Input::Wait(millis) => worker.now += Duration::from_millis(millis.into()),
        Input::Forget => worker.change(|_| ()),
    }
}

proptest! {
    #[test]
    fn every_frame_is_accounted_for(inputs in inputs(), tcp: bool, udp: bool, strict: bool) {
        let mut worker = node(Offload { tcp, udp }, strict);
        for input in inputs {
            let shown = format!("{input:?}");
            apply(&mut worker, input);
            let totals = worker.totals();
            prop_assert!(totals.balanced(), "after {shown}: {totals:?}");
        }
        // What was counted as delivered is what is there.
        let sent: usize = worker.sink.sent.iter().map(|message| message.datagrams().count()).sum();
        let delivered: u64 = worker.sink.delivered.iter().map(|delivery| delivery.frames).sum();
        let ledger = worker.totals().ledger;
        prop_assert_eq!((sent as u64, delivered), (ledger.delivered_to_underlay, ledger.delivered_to_ports));
    }

    #[test]
    fn what_leaves_fits_its_path_and_its_message(inputs in inputs(), strict: bool) {
        let mut worker = node(Offload { tcp: true, udp: true }, strict);
        inputs.into_iter().for_each(|input| apply(&mut worker, input));
        for message in &worker.sink.sent {
            let to = message.route.to;
            let path = if to == vtep(SOURCES[2]) { 600 } else { 1500 };
            let outer = if to.ip().is_ipv4() { 28 } else { 48 };
            prop_assert!(message.datagrams().all(|datagram| outer + datagram.len() <= path));
            prop_assert!(message.octets.len() <= weft::batch::MAX_OCTETS);
        }
        for delivery in &worker.sink.delivered {
            let layers = Layers::of(&delivery.frame);
            prop_assert!(delivery.frame.len() >= 14 && layers.end <= delivery.frame.len());
        }
    }
}
