//! What the tests of both directions start from: one network, two ports, one VXLAN peer.

use std::net::SocketAddr;

use encap::inet::Layers;
use encap::vnet::VnetHeader;
use encap::{Format, MacAddr, PortId, Vni, VtepAddr, tunnel};
use fdb::Location;

use super::frames::{Packet, mac};
use super::memory::{Delivery, MemoryWorker};
use crate::clock;
use crate::counters::{Direction, DropReason};
use crate::events::WorkerEvent;
use crate::topology::{NetworkIndex, NetworkView, PeerIndex, PeerView};

pub(super) struct Lab {
    pub(super) worker: MemoryWorker,
    pub(super) network: NetworkIndex,
    pub(super) port: PortId,
    pub(super) other: PortId,
    pub(super) peer: PeerIndex,
}

pub(super) fn vni() -> Vni {
    Vni::new(100).unwrap()
}

pub(super) fn vtep(address: &str) -> VtepAddr {
    address.parse::<SocketAddr>().unwrap().into()
}

/// Where the peer of the lab is.
pub(super) fn peer_vtep() -> VtepAddr {
    vtep("192.0.2.2:4789")
}

/// A frame to `dst` from MAC 1 that is no IP, 60 octets long.
pub(super) fn frame_to(dst: MacAddr) -> Vec<u8> {
    [&dst.octets()[..], &mac(1).octets(), &[0x88, 0xb5], &[7; 46]].concat()
}

pub(super) fn encapsulated(format: Format, frame: &[u8]) -> Vec<u8> {
    [&tunnel::encode(format, vni())[..], frame].concat()
}

/// A SYN whose only option is an MSS, its checksum unfinished.
pub(super) fn syn(packet: &Packet, mss: u16) -> (VnetHeader, Vec<u8>) {
    let (vnet, mut frame) = Packet { flags: 0x02, options: 1, ..packet.clone() }.unfinished();
    let at = Layers::of(&frame).l4 + 20;
    frame[at..at + 2].copy_from_slice(&[2, 4]);
    frame[at + 2..at + 4].copy_from_slice(&mss.to_be_bytes());
    (vnet, frame)
}

/// The MSS of such a SYN.
pub(super) fn mss(frame: &[u8]) -> u16 {
    let at = Layers::of(frame).l4 + 22;
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

impl Lab {
    pub(super) fn new() -> Self {
        let mut worker = MemoryWorker::new(clock::now());
        let network = worker.add_network(vni());
        let (port, other) = (worker.add_port(network), worker.add_port(network));
        let peer = worker.add_peer(peer_vtep(), Format::Vxlan, network);
        Self { worker, network, port, other, peer }
    }

    /// A lab that knows MAC 2 behind the peer.
    pub(super) fn with_remote() -> Self {
        let mut lab = Self::new();
        lab.put(2, Location::Remote(peer_vtep()));
        lab
    }

    pub(super) fn put(&mut self, last: u8, at: Location) {
        self.worker.table.add_static(vni(), mac(last), at).unwrap();
    }

    /// Freezes MAC 1 behind the second port.
    pub(super) fn freeze(&mut self) {
        for _ in 0..3 {
            for at in [self.port, self.other] {
                self.worker.table.learn(vni(), mac(1), Location::Local(at), self.worker.now);
            }
        }
        assert!(self.worker.table.entry(vni(), mac(1)).unwrap().frozen_until.is_some());
        assert_eq!(self.worker.table.entry(vni(), mac(1)).unwrap().location, Location::Local(self.other));
    }

    pub(super) fn change_network(&mut self, change: impl FnOnce(&mut NetworkView)) {
        let index = usize::from(self.network.0);
        self.worker.change(|topology| change(&mut topology.networks[index]));
    }

    pub(super) fn change_peer(&mut self, change: impl FnOnce(&mut PeerView)) {
        let index = usize::from(self.peer.0);
        self.worker.change(|topology| change(&mut topology.peers[index]));
    }

    /// Sends a plain frame from the first port.
    pub(super) fn read(&mut self, frame: &[u8]) {
        self.read_super(&VnetHeader::default(), frame);
    }

    pub(super) fn read_super(&mut self, vnet: &VnetHeader, frame: &[u8]) {
        self.worker.read(self.port, vnet, &mut frame.to_vec());
        self.worker.sink.flush();
        self.assert_balanced();
    }

    /// Receives one datagram from the peer.
    pub(super) fn receive(&mut self, format: Format, datagram: &[u8]) {
        self.receive_from(peer_vtep(), format, datagram);
    }

    pub(super) fn receive_from(&mut self, from: VtepAddr, format: Format, datagram: &[u8]) {
        self.worker.receive_one(from, format, datagram, datagram.len());
        self.worker.sink.flush();
        self.assert_balanced();
    }

    /// Receives one frame of the network by VXLAN from the peer.
    pub(super) fn receive_frame(&mut self, frame: &[u8]) {
        self.receive(Format::Vxlan, &encapsulated(Format::Vxlan, frame));
    }

    fn assert_balanced(&self) {
        let totals = self.worker.totals();
        assert!(totals.balanced(), "the ledger does not add up: {totals:?}");
    }

    /// All drops so far.
    pub(super) fn drops(&self) -> Vec<(DropReason, Direction, u64)> {
        let totals = self.worker.totals();
        let rows = totals.drops.iter().zip(DropReason::ALL);
        rows.flat_map(|([inbound, outbound], &reason)| {
            [(reason, Direction::Inbound, *inbound), (reason, Direction::Outbound, *outbound)]
        })
        .filter(|(_, _, frames)| *frames > 0)
        .collect()
    }

    /// Asserts that nothing was dropped, and forgets what was delivered.
    pub(super) fn assert_passed(&mut self) {
        assert_eq!(self.drops(), []);
        assert!(!self.datagrams().is_empty() | !self.deliveries().is_empty(), "nothing was delivered");
    }

    /// Asserts that frames were dropped for this reason only, and that nothing went anywhere.
    pub(super) fn assert_dropped(&mut self, reason: DropReason, direction: Direction, frames: u64) {
        assert_eq!(self.drops(), [(reason, direction, frames)]);
        let seen = std::mem::take(&mut self.worker.sink.dropped);
        assert_eq!(seen.iter().map(|dropped| dropped.frames).sum::<u64>(), frames);
        assert_eq!((self.datagrams(), self.deliveries()), (vec![], vec![]));
    }

    /// Takes the datagrams that were sent.
    pub(super) fn datagrams(&mut self) -> Vec<Vec<u8>> {
        let sent = std::mem::take(&mut self.worker.sink.sent);
        sent.iter().flat_map(|message| message.datagrams().map(<[u8]>::to_vec)).collect()
    }

    /// Takes what was written to ports.
    pub(super) fn deliveries(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.worker.sink.delivered)
    }

    /// Takes the learn events.
    pub(super) fn learned(&mut self) -> Vec<(MacAddr, Location)> {
        let events = std::mem::take(&mut self.worker.sink.events);
        let learned = events.into_iter().map(|event| match event {
            WorkerEvent::Learn { vni: of, mac, at } if of == vni() => (mac, at),
            other => panic!("{other:?} is no learn event of the network"),
        });
        learned.collect()
    }
}
