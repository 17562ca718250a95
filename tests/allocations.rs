//! In steady state the data path allocates nothing, whatever it forwards.
//!
//! A binary of its own, because its allocator counts. Each thread counts for itself, so tests may run side by side.
#![allow(unsafe_code)] // an allocator cannot be written without

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;

use encap::neighbor::Binding;
use encap::vnet::VnetHeader;
use encap::{Format, PortId, Span, VtepAddr, tunnel};
use fdb::Location;
use fdb::neighbor::{Claim, Heard};
use weft::batch::{Route, SendBatch};
use weft::clock;
use weft::datapath::inbound::Message;
use weft::datapath::memory::MemoryWorker;
use weft::io::sender::Sender;
use weft::io::udp::{Returned, SendMessage, Transmit};
use weft_tests::frames::{Packet, mac, wire_frames};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came; the counter needs no memory and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The allocations of 100 rounds, after ten to grow what grows once.
fn allocations(mut round: impl FnMut()) -> u64 {
    (0..10).for_each(|_| round());
    let before = ALLOCATIONS.get();
    (0..100).for_each(|_| round());
    ALLOCATIONS.get() - before
}

fn vtep() -> VtepAddr {
    SocketAddr::from(([192, 0, 2, 2], 4789)).into()
}

/// A worker with a port, MAC 1 and a second port, MAC 3 on its side, and MAC 2 behind a peer; it keeps nothing.
fn worker() -> (MemoryWorker, PortId) {
    let mut worker = MemoryWorker::new(clock::now());
    let vni = encap::Vni::new(100).expect("24 bits");
    let network = worker.add_network(vni);
    let (port, other) = (worker.add_port(network), worker.add_port(network));
    worker.add_peer(vtep(), Format::Vxlan, network);
    let places = [(1, Location::Local(port)), (2, Location::Remote(vtep())), (3, Location::Local(other))];
    for (last, at) in places {
        worker.table.learn(vni, mac(last), at, worker.now);
    }
    worker.sink.keep = false;
    (worker, port)
}

/// The allocations of rounds of 64 reads of this frame, all of which leave.
fn outbound(vnet: &VnetHeader, frame: &[u8]) -> u64 {
    let (allocated, dropped) = outbound_on(1500, vnet, frame);
    assert_eq!(dropped, 0);
    allocated
}

/// The same over a path of this MTU, and the frames that were dropped.
fn outbound_on(path: u32, vnet: &VnetHeader, frame: &[u8]) -> (u64, u64) {
    let (mut worker, port) = worker();
    worker.change(|topology| topology.peers[0].path_mtu = encap::Mtu::new(path).expect("an MTU"));
    let mut frame = frame.to_vec();
    let allocated = allocations(|| {
        for _ in 0..64 {
            worker.read(port, vnet, &mut frame);
        }
        worker.sink.flush();
    });
    let totals = worker.totals();
    assert!(totals.balanced(), "{totals:?}");
    (allocated, totals.dropped())
}

#[test]
fn an_allocation_is_counted() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1; 9]))), 100);
}

#[test]
fn small_udp_outbound_allocates_nothing() {
    assert_eq!(outbound(&VnetHeader::default(), &Packet::udp(vec![1; 22]).plain()), 0);
}

#[test]
fn large_udp_outbound_allocates_nothing() {
    assert_eq!(outbound(&VnetHeader::default(), &Packet::udp(vec![1; 1400]).plain()), 0);
    let (vnet, frame) = Packet::udp(vec![1; 1400]).unfinished();
    assert_eq!(outbound(&vnet, &frame), 0);
}

#[test]
fn tcp_super_frames_outbound_allocate_nothing() {
    for v6 in [false, true] {
        let (vnet, frame) = Packet { v6, ..Packet::tcp(vec![1; 65_000]) }.super_frame(1390);
        assert_eq!(outbound(&vnet, &frame), 0);
    }
}

#[test]
fn frames_that_are_cut_for_a_small_path_allocate_nothing() {
    let fragmented = |len| Packet { dont_fragment: false, ..Packet::udp(vec![1; len]) };
    // Each is read many times, so no checksum may be finished in it.
    let plain =
        [Packet::tcp(vec![1; 1400]), fragmented(1400)].map(|packet| (VnetHeader::default(), packet.plain()));
    let whole = [Packet::tcp(vec![1; 65_000]), fragmented(20_000)].map(|packet| packet.super_frame(1390));
    for (vnet, frame) in whole.into_iter().chain(plain) {
        assert_eq!(outbound_on(700, &vnet, &frame), (0, 0));
    }
}

#[test]
fn a_drop_whose_sender_is_told_allocates_nothing() {
    let (vnet, frame) = Packet::udp(vec![1; 1400]).unfinished();
    assert_eq!(outbound_on(700, &vnet, &frame), (0, 110 * 64));
}

#[test]
fn a_flood_allocates_nothing() {
    let packet = Packet { dst: encap::MacAddr::BROADCAST, ..Packet::udp(vec![1; 100]) };
    assert_eq!(outbound(&VnetHeader::default(), &packet.plain()), 0);
}

#[test]
fn many_flows_outbound_allocate_nothing() {
    let (mut worker, port) = worker();
    let mut frames: Vec<_> = (0..512)
        .map(|flow| Packet { ports: [flow, 53], ..Packet::udp(vec![1; usize::from(flow)]) }.plain())
        .collect();
    let allocated = allocations(|| {
        for frame in &mut frames {
            worker.read(port, &VnetHeader::default(), frame);
        }
        worker.sink.flush();
    });
    assert_eq!(allocated, 0);
}

#[test]
fn an_answered_arp_request_allocates_nothing() {
    let (mut worker, port) = worker();
    let vni = encap::Vni::new(100).expect("24 bits");
    worker.change(|topology| topology.networks[0].suppress = true);
    let ips = [[10, 0, 0, 2].into()];
    worker.neighbors.claim(&Claim { vni, mac: mac(2), ips: &ips, router: false, mob_seq: 0, origin: 1 });
    let told = Binding { ip: [10, 0, 0, 1].into(), mac: mac(1), router: None };
    let age = std::time::Duration::from_secs(300);
    worker.neighbors.learn(&Heard { vni, told, port, now: worker.now, age });
    let head = [&[0xff; 6][..], &mac(1).octets(), &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat();
    let mut request = [&head[..], &mac(1).octets(), &[10, 0, 0, 1], &[0; 6], &[10, 0, 0, 2]].concat();
    assert_eq!(allocations(|| worker.read(port, &VnetHeader::default(), &mut request)), 0);
    let ledger = worker.totals().ledger;
    assert_eq!((ledger.answered, ledger.received_from_ports), (110, 110));
}

/// The allocations of rounds of eight messages with these frames in each.
fn inbound(frames: &[Vec<u8>]) -> u64 {
    let (mut worker, _) = worker();
    let vni = encap::Vni::new(100).expect("24 bits");
    let mut datagrams = Vec::new();
    for frame in frames {
        datagrams.extend(tunnel::encode(Format::Vxlan, vni));
        datagrams.extend(frame);
    }
    let (len, stride) = (datagrams.len(), 8 + frames[0].len());
    let messages: Vec<_> = (0..8)
        .map(|i| Message { from: vtep().ip(), format: Format::Vxlan, start: i * len, len, stride, tos: 0 })
        .collect();
    let mut buffer = datagrams.repeat(8);
    let allocated = allocations(|| worker.receive(&messages, &mut buffer));
    let totals = worker.totals();
    assert!(totals.balanced() && totals.dropped() == 0, "{totals:?}");
    assert_eq!(totals.ledger.received_from_underlay, 110 * 8 * frames.len() as u64);
    allocated
}

/// A packet of MAC 2 to MAC 3.
fn inward(packet: Packet) -> Packet {
    Packet { src: mac(2), dst: mac(3), ..packet }
}

#[test]
fn a_message_of_43_tcp_segments_inbound_allocates_nothing() {
    let (vnet, frame) = inward(Packet::tcp(vec![1; 43 * 1410])).super_frame(1410);
    let frames = wire_frames(&vnet, &frame);
    assert_eq!(frames.len(), 43);
    assert_eq!(inbound(&frames), 0);
}

#[test]
fn a_message_of_128_small_datagrams_inbound_allocates_nothing() {
    let (vnet, frame) = inward(Packet::udp(vec![1; 128 * 22])).super_frame(22);
    assert_eq!(inbound(&wire_frames(&vnet, &frame)), 0);
    // Each of another flow: nothing is merged.
    let flow = |port| inward(Packet { ports: [port, 53], ..Packet::udp(vec![1; 22]) }).plain();
    assert_eq!(inbound(&(0..128).map(flow).collect::<Vec<_>>()), 0);
}

#[test]
fn a_flooded_message_inbound_allocates_nothing() {
    let packet = Packet { src: mac(2), dst: encap::MacAddr::BROADCAST, ..Packet::udp(vec![1; 64 * 100]) };
    let (vnet, frame) = packet.super_frame(100);
    assert_eq!(inbound(&wire_frames(&vnet, &frame)), 0);
}

/// Sockets that take every message.
struct Swallow;

impl Transmit for Swallow {
    fn send(&mut self, _: u16, messages: &[SendMessage<'_>]) -> io::Result<usize> {
        Ok(messages.len())
    }

    fn take_error(&mut self, _: u16, _: SocketAddr) -> Option<Returned> {
        None
    }
}

#[test]
fn a_sender_allocates_nothing_for_a_full_batch() {
    let (mut batch, mut sender, now) = (SendBatch::new(128), Sender::new(Swallow, true), clock::now());
    let bodies = [2; 1000];
    let allocated = allocations(|| {
        for source in 0..64 {
            let route = Route { to: vtep(), source: source % 16, tos: 0 };
            let body = Span::new(0, 600 + usize::from(source));
            (0..40).for_each(|_| batch.datagram(route, 8, body, &bodies).fill(1));
        }
        assert_eq!(sender.send(&batch, &bodies, now).sent, 64 * 40);
        batch.clear();
    });
    assert_eq!(allocated, 0);
}
