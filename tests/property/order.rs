//! Flows of all sizes to several peers, over an underlay that keeps the order of one 5-tuple and of nothing else.

use std::collections::HashMap;

use encap::inet::Layers;
use encap::vnet::VnetHeader;
use encap::{Format, PortId, Span, VtepAddr};
use fdb::Location;
use proptest::prelude::*;
use weft::batch::{MAX_OCTETS, Route, SendBatch};
use weft::clock;
use weft::datapath::memory::{MemoryWorker, SentMessage};
use weft_tests::frames::{ACK, PSH, Packet, mac};

use crate::traffic::{delivered_frames, receive, stream, vni, vtep};

const PEERS: [(&str, Format); 3] = [
    ("192.0.2.2:4789", Format::Vxlan),
    ("192.0.2.3:6081", Format::Geneve),
    ("[2001:db8::4]:4789", Format::Vxlan),
];
const SENDERS: [&str; 2] = ["192.0.2.1:4789", "[2001:db8::1]:4789"];

/// One frame or super-frame of a flow.
#[derive(Clone, Debug)]
struct Step {
    flow: u8,
    len: usize,
    /// The payload in each segment; `None` = a plain frame.
    size: Option<u16>,
    push: bool,
    /// Without a valid checksum, so that it can join no run.
    odd: bool,
    tos: u8,
    flush: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = proptest::option::of(40u16..=1370);
    let marks = (any::<bool>(), proptest::bool::weighted(0.2), 0u8..3, proptest::bool::weighted(0.1));
    let step = (0u8..12, 1usize..8000, size, marks).prop_map(|(flow, len, size, (push, odd, tos, flush))| {
        let len = if size.is_none() { len % 1370 + 1 } else { len };
        Step { flow, len, size, push, odd, tos, flush }
    });
    proptest::collection::vec(step, 1..80)
}

/// Flow `n` is TCP or UDP, over IPv4 or IPv6, to one of the peers.
fn packet(step: &Step, sent: &[u8]) -> Packet {
    let flow = step.flow;
    Packet {
        dst: mac(10 + flow % 3),
        udp: flow % 2 == 1,
        v6: flow % 4 > 1,
        ports: [1000 + u16::from(flow), 80],
        sequence: u32::try_from(sent.len()).expect("a short stream"),
        flags: if step.push { ACK | PSH } else { ACK },
        tos: step.tos,
        ..Packet::tcp(stream(sent.len(), step.len))
    }
}

fn sender() -> (MemoryWorker, PortId) {
    let mut worker = MemoryWorker::new(clock::now());
    let network = worker.add_network(vni());
    let port = worker.add_port(network);
    for (last, (address, format)) in (10..).zip(PEERS) {
        worker.add_peer(vtep(address), format, network);
        let at = Location::Remote(vtep(address));
        worker.table.add_static(vni(), mac(last), at).expect("room in the table");
    }
    (worker, port)
}

fn receiver(from: VtepAddr, format: Format, last: u8) -> MemoryWorker {
    let mut worker = MemoryWorker::new(clock::now());
    let network = worker.add_network(vni());
    let port = worker.add_port(network);
    worker.add_peer(from, format, network);
    worker.table.add_static(vni(), mac(last), Location::Local(port)).expect("room in the table");
    worker
}

/// What the underlay does: source ports overtake each other, and runs may come one by one.
fn underlay(sent: Vec<SentMessage>, delays: &[u8], split: bool) -> Vec<SentMessage> {
    let mut arriving = sent;
    if split {
        arriving = arriving
            .iter()
            .flat_map(|message| {
                let one = |octets: &[u8]| SentMessage { octets: octets.to_vec(), ..message.clone() };
                message.datagrams().map(one).collect::<Vec<_>>()
            })
            .collect();
    }
    arriving.sort_by_key(|message| delays[usize::from(message.route.source)]);
    arriving
}

proptest! {
    #[test]
    fn a_flow_is_never_reordered(
        steps in steps(), delays: [u8; 16], split: bool, batches in proptest::collection::vec(1usize..9, 1..20),
    ) {
        let (mut a, port) = sender();
        let mut sent: HashMap<u8, Vec<u8>> = HashMap::new();
        for step in &steps {
            let packet = packet(step, sent.entry(step.flow).or_default());
            let (vnet, mut frame) = match step.size {
                Some(size) => packet.super_frame(size),
                None => (VnetHeader::default(), packet.plain()),
            };
            if step.odd && step.size.is_none() {
                let field = Layers::of(&frame).l4 + if packet.udp { 6 } else { 16 };
                frame[field..field + 2].fill(0);
            }
            a.read(port, &vnet, &mut frame);
            sent.entry(step.flow).or_default().extend(packet.payload);
            if step.flush {
                a.sink.flush();
            }
        }
        a.sink.flush();

        let mut arrived: HashMap<u8, Vec<u8>> = HashMap::new();
        for (last, (address, format)) in (10..).zip(PEERS) {
            let to = vtep(address);
            let from = vtep(SENDERS[usize::from(to.ip().is_ipv6())]);
            let mine = a.sink.sent.iter().filter(|message| message.route.to == to).cloned().collect();
            let mut b = receiver(from, format, last);
            let mut arriving = &underlay(mine, &delays, split)[..];
            for &batch in batches.iter().cycle() {
                let (now, later) = arriving.split_at(batch.min(arriving.len()));
                receive(&mut b, from, format, now);
                arriving = later;
                if arriving.is_empty() {
                    break;
                }
            }
            for frame in delivered_frames(&b.sink.delivered) {
                let layers = Layers::of(&frame);
                let flow = frame[layers.l4 + 1].wrapping_sub((1000 % 256) as u8);
                arrived.entry(flow).or_default().extend(&frame[layers.payload(&frame)..]);
            }
            prop_assert!(b.totals().balanced() && b.totals().dropped() == 0);
        }
        prop_assert_eq!(a.totals().dropped(), 0);
        for (flow, sent) in &sent {
            let arrived = arrived.get(flow).map_or(&[][..], Vec::as_slice);
            let differs = sent.iter().zip(arrived).position(|(a, b)| a != b);
            prop_assert_eq!((differs, sent.len()), (None, arrived.len()), "flow {}", flow);
        }
    }

    #[test]
    fn datagrams_of_a_route_keep_their_order_across_groups(
        datagrams in proptest::collection::vec((0u8..4, 0u16..3, 0u8..2, prop_oneof![Just(1400usize), 3usize..1500]), 1..300),
        segments in prop_oneof![Just(0usize), Just(64), Just(128)],
    ) {
        let (mut batch, body) = (SendBatch::new(segments), [0; 1500]);
        let mut pushed: HashMap<(VtepAddr, u16), Vec<u16>> = HashMap::new();
        for (number, &(last, source, tos, len)) in (0u16..).zip(&datagrams) {
            if batch.is_full(len) {
                break;
            }
            let route = Route { to: VtepAddr::new([192, 0, 2, last].into(), 4789), source, tos };
            let room = batch.datagram(route, 3, Span::new(0, len - 3), &body);
            prop_assert_eq!(room.len(), 3);
            room[..2].copy_from_slice(&number.to_be_bytes());
            room[2] = tos;
            pushed.entry((route.to, source)).or_default().push(number);
        }
        let mut left: HashMap<(VtepAddr, u16), Vec<u16>> = HashMap::new();
        for group in batch.groups() {
            let octets = batch.payload(group, &body).to_vec();
            prop_assert!(octets.len() <= MAX_OCTETS && group.count() <= segments.max(1));
            prop_assert_eq!(octets.chunks(group.size()).count(), group.count());
            for datagram in octets.chunks(group.size()) {
                prop_assert_eq!(datagram[2], group.route().tos);
                let order = left.entry((group.route().to, group.route().source)).or_default();
                order.push(u16::from_be_bytes([datagram[0], datagram[1]]));
            }
        }
        prop_assert_eq!(pushed, left);
    }
}
