use std::net::IpAddr;
use std::time::Duration;

use encap::coalesce::{Coalescer, Offload};
use encap::inet::Layers;
use encap::vnet::VnetHeader;
use encap::{Span, tunnel};

use super::*;
use crate::batch::SendBatch;
use crate::capture::program::Program;
use crate::capture::record::Message as Told;
use crate::capture::ring::{At, NamedPort, Reader, Wanted, ring};
use crate::datapath::frames::Packet;
use crate::datapath::memory::MemoryWorker;

/// A worker's captures on a network with one port and one peer, and one capture of it.
struct Lab {
    captures: Captures,
    reader: Reader,
    port: PortId,
    peer: IpAddr,
    batch: SendBatch,
}

fn wanted() -> Wanted {
    Wanted { at: At::Any, inner: None, outer: None, snap: 100, drops: false, began: clock::now() }
}

fn lab(wanted: Wanted) -> Lab {
    let mut worker = MemoryWorker::new(clock::now());
    let network = worker.add_network(Vni::new(100).unwrap());
    let port = worker.add_port(network);
    let to: SocketAddr = "127.0.0.2:4789".parse().unwrap();
    worker.add_peer(to.into(), Format::Vxlan, network);
    let sockets = SendSockets::bind(&["127.0.0.1".parse().unwrap()], 2).unwrap();
    let mut captures = Captures::new(3, Arc::new(sockets));
    captures.set_topology(&Arc::new(worker.into_topology()));
    let (writer, reader) = ring(&Arc::new(wanted), 1 << 20);
    assert!(!captures.is_on());
    captures.begin(writer);
    assert!(captures.is_on());
    Lab { captures, reader, port, peer: to.ip(), batch: SendBatch::new(64) }
}

/// What a record says, in words that are easily compared.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    point: Point,
    flow: Flow,
    ids: Vec<(u64, u32)>,
    decision: Decision,
    dropped: Option<DropReason>,
    len: u32,
    outer: u16,
    vni: Option<u32>,
}

impl Lab {
    fn seen(&mut self) -> Vec<Seen> {
        let mut octets = Vec::new();
        self.reader.take(&mut octets, usize::MAX);
        let (mut seen, mut at) = (Vec::new(), 0);
        while let Some((message, len)) = Message::next(&octets[at..]) {
            seen.push(message);
            at += len;
        }
        seen
    }

    fn vtep(&self) -> VtepAddr {
        VtepAddr::new(self.peer, 4789)
    }

    fn route(&self) -> Route {
        Route { to: self.vtep(), source: 1, tos: 0 }
    }

    /// Adds a datagram as the outlet does.
    fn send(&mut self, len: usize) {
        let route = self.route();
        self.captures.sends(route, self.batch.next_place(route, len));
        let head = self.batch.datagram(route, len, Span::new(0, 0), &[]);
        head.fill(7);
        head[..8].copy_from_slice(&tunnel::encode(Format::Vxlan, Vni::new(100).unwrap()));
    }

    fn flush(&mut self, refused: &[crate::io::sender::Refused]) {
        self.captures.left(&self.batch, &[], refused);
        self.batch.clear();
    }

    fn ends(&self) -> (SocketAddr, SocketAddr) {
        ((self.peer, 50_000).into(), "127.0.0.1:4789".parse().unwrap())
    }
}

impl Message {
    /// The next record of a ring.
    fn next(octets: &[u8]) -> Option<(Seen, usize)> {
        let (Told::Record(record), len) = Told::decode(octets).unwrap()? else { panic!("no record") };
        assert!(record.octets.len() <= 100);
        let seen = Seen {
            point: record.point,
            flow: record.direction,
            ids: record.ids.runs().iter().map(|ids| (ids.first & 0xffff, ids.count)).collect(),
            decision: record.decision,
            dropped: record.dropped.map(|(reason, _)| reason),
            len: record.len,
            outer: record.outer,
            vni: record.vni.map(Vni::get),
        };
        assert!(record.ids.runs().iter().all(|ids| ids.first >> 48 == 3), "of worker 3");
        Some((seen, len))
    }
}

#[test]
fn both_halves_of_a_frame_that_leaves_have_one_id_and_the_first_says_where_it_goes() {
    let mut lab = lab(wanted());
    let (port, peer) = (lab.port, lab.peer);
    lab.captures.comes(port, &VnetHeader::default(), &[1; 60]);
    lab.send(68);
    lab.captures.handled();
    lab.captures.settle();
    lab.flush(&[]);
    let (decision, dropped) = (Decision::ToPeer(peer), None);
    let first = Seen {
        point: Point::Port(port),
        flow: Flow::In,
        ids: vec![(1, 1)],
        decision,
        dropped,
        len: 60,
        outer: 0,
        vni: Some(100),
    };
    let second = Seen {
        point: Point::Peer(peer),
        flow: Flow::Out,
        decision: Decision::None,
        len: 42 + 68,
        outer: 50,
        ids: vec![(1, 1)],
        dropped,
        vni: Some(100),
    };
    assert_eq!(lab.seen(), [first, second]);
}

#[test]
fn the_datagrams_of_a_super_frame_are_runs_of_its_ids() {
    let mut lab = lab(wanted());
    let (vnet, frame) = Packet::tcp(vec![0; 5000]).super_frame(1000);
    lab.captures.comes(lab.port, &vnet, &frame);
    for _ in 0..3 {
        lab.send(100);
    }
    // What was longer opens a group of its own.
    lab.send(120);
    lab.send(120);
    lab.captures.handled();
    lab.captures.settle();
    lab.flush(&[]);
    let ids: Vec<_> = lab.seen().into_iter().map(|seen| seen.ids).collect();
    assert_eq!(ids, [[(1, 5)], [(1, 3)], [(4, 2)]]);
    // The next frame goes on counting.
    lab.captures.comes(lab.port, &VnetHeader::default(), &[1; 60]);
    lab.captures.handled();
    lab.captures.settle();
    assert_eq!(lab.seen()[0].ids, [(6, 1)]);
}

#[test]
fn a_flooded_frame_tells_its_copies_and_a_dropped_one_why() {
    let mut lab = lab(wanted());
    let port = lab.port;
    lab.captures.comes(port, &VnetHeader::default(), &[1; 60]);
    lab.captures.delivers(port, &[1; 60]);
    lab.send(68);
    lab.captures.drops(DropReason::PeerDown, Direction::Outbound);
    lab.captures.handled();
    lab.captures.settle();
    let seen = lab.seen();
    assert_eq!((seen[0].flow, seen[0].ids[0]), (Flow::Out, (1, 1)));
    assert_eq!(seen[1].decision, Decision::Flooded { ports: 1, peers: 1, dropped: 1 });
    assert_eq!(seen[1].dropped, Some(DropReason::PeerDown));
}

#[test]
fn of_two_copies_the_one_that_was_dropped_is_not_told_of_who_got_the_other() {
    for (to_port, drops, decision) in [
        (true, 1, Decision::Flooded { ports: 1, peers: 0, dropped: 1 }),
        (false, 1, Decision::Flooded { ports: 0, peers: 1, dropped: 1 }),
        (false, 2, Decision::Flooded { ports: 0, peers: 1, dropped: 2 }),
    ] {
        let mut lab = lab(wanted());
        lab.captures.comes(lab.port, &VnetHeader::default(), &[0xff; 60]);
        if to_port {
            lab.captures.delivers(lab.port, &[0xff; 60]);
        } else {
            lab.send(68);
        }
        (0..drops).for_each(|_| lab.captures.drops(DropReason::TapGone, Direction::Outbound));
        lab.captures.handled();
        lab.captures.settle();
        let came = lab.seen().into_iter().find(|seen| seen.flow == Flow::In).unwrap();
        assert_eq!((came.decision, came.dropped), (decision, Some(DropReason::TapGone)));
    }
}

#[test]
fn a_frame_of_the_underlay_says_which_port_it_is_for_or_that_it_is_for_all() {
    let mut lab = lab(wanted());
    let mut datagram = vec![9; 8 + 60];
    datagram[..8].copy_from_slice(&tunnel::encode(Format::Vxlan, Vni::new(100).unwrap()));
    let port = Decision::ToPort(lab.port);
    lab.captures.received(0, datagram.len());
    for to in [Some(lab.port), Some(lab.port), None] {
        lab.captures.arrives(lab.ends(), Format::Vxlan, 0, &datagram);
        lab.captures.goes_to_ports(to);
        lab.captures.handled();
    }
    lab.captures.settle();
    let seen: Vec<_> = lab.seen().into_iter().map(|seen| (seen.ids[0], seen.decision)).collect();
    assert_eq!(seen, [((1, 2), port), ((3, 1), Decision::ToPorts)]);
}

#[test]
fn datagrams_of_a_message_that_fared_alike_are_one_record_and_others_are_not() {
    let mut lab = lab(wanted());
    let mut datagram = vec![9; 8 + 60];
    datagram[..8].copy_from_slice(&tunnel::encode(Format::Vxlan, Vni::new(100).unwrap()));
    lab.captures.received(0, datagram.len());
    for index in 0..6 {
        lab.captures.arrives(lab.ends(), Format::Vxlan, 0, &datagram);
        if index == 3 {
            lab.captures.drops(DropReason::Vlan, Direction::Inbound);
        }
        lab.captures.handled();
    }
    lab.captures.settle();
    let seen: Vec<_> = lab.seen().into_iter().map(|seen| (seen.ids, seen.dropped)).collect();
    let vlan = Some(DropReason::Vlan);
    assert_eq!(seen, [(vec![(1, 3)], None), (vec![(4, 1)], vlan), (vec![(5, 2)], None)]);
}

#[test]
fn a_run_that_is_written_names_the_datagrams_that_it_was_made_of() {
    let mut lab = lab(wanted());
    let datagrams: Vec<_> = (0..4)
        .map(|index| Packet { sequence: 1 + 500 * index, ..Packet::tcp(vec![0; 500]) }.plain())
        .collect();
    let stride = 8 + datagrams[0].len();
    let mut buffer = Vec::new();
    for frame in &datagrams {
        buffer.extend_from_slice(&tunnel::encode(Format::Vxlan, Vni::new(100).unwrap()));
        buffer.extend_from_slice(frame);
    }
    // Two messages of two datagrams.
    let mut coalescer = Coalescer::new(Offload { tcp: true, udp: true });
    for message in 0..2 {
        lab.captures.received(message * 2 * stride, stride);
        for index in 0..2 {
            let start = (message * 2 + index) * stride;
            lab.captures.arrives(lab.ends(), Format::Vxlan, 0, &buffer[start..start + stride]);
            let span = Span::new(start + 8, stride - 8);
            let layers = Layers::of(span.of(&buffer));
            coalescer.push(lab.port.get(), &buffer, span, &layers);
            lab.captures.handled();
        }
        lab.captures.settle();
        if message == 0 {
            // An id between the two messages.
            lab.captures.originates(lab.port, &[0; 60]);
        }
    }
    let runs = coalescer.finish();
    assert_eq!(runs.len(), 1);
    lab.captures.wrote(&runs[0], &buffer, Some(DropReason::TapFull));
    let last = lab.seen().pop().unwrap();
    assert_eq!((last.point, last.flow), (Point::Port(lab.port), Flow::Out));
    assert_eq!(last.ids, [(1, 2), (4, 2)]);
    assert_eq!(last.dropped, Some(DropReason::TapFull));
    assert_eq!(last.len as usize, datagrams[0].len() + 3 * 500);
}

#[test]
fn a_frame_that_leaves_as_more_datagrams_than_it_came_in_takes_no_ids_of_others() {
    for inner in [None, first_octet(7)] {
        let mut lab = lab(Wanted { at: At::Peer([127, 0, 0, 2].into()), inner, ..wanted() });
        let (vnet, frame) = Packet::tcp(vec![0; 3000]).super_frame(1000);
        lab.captures.comes(lab.port, &vnet, &frame);
        (0..5).for_each(|_| lab.send(100));
        lab.captures.handled();
        lab.captures.settle();
        // Two fragments of the next one.
        lab.captures.comes(lab.port, &VnetHeader::default(), &[1; 60]);
        (0..2).for_each(|_| lab.send(100));
        lab.captures.handled();
        lab.captures.settle();
        lab.flush(&[]);
        let ids: Vec<_> = lab.seen().into_iter().map(|seen| seen.ids).collect();
        // Seven datagrams; where the last of one is followed by the first of the next they share a record.
        assert_eq!(ids, [[(1, 3)], [(3, 1)], [(3, 2)], [(4, 1)]]);
    }
}

#[test]
fn what_the_kernel_refused_is_told_as_dropped_and_nothing_else_is() {
    let mut lab = lab(Wanted { at: At::Peer([127, 0, 0, 2].into()), ..wanted() });
    lab.captures.comes(lab.port, &VnetHeader::default(), &[1; 60]);
    lab.send(70);
    lab.captures.handled();
    lab.captures.settle();
    let (vnet, frame) = Packet::tcp(vec![0; 5000]).super_frame(1000);
    lab.captures.comes(lab.port, &vnet, &frame);
    (0..5).for_each(|_| lab.send(100));
    lab.captures.handled();
    lab.captures.settle();
    // Of the super-frame the second, third and fourth.
    let (to, places) = (lab.vtep().socket_addr(), vec![(Place { group: 1, index: 1 }, 3)]);
    lab.flush(&[crate::io::sender::Refused { to, datagrams: 3, octets: 0, first: vec![], places }]);
    let seen: Vec<_> = lab.seen().into_iter().map(|seen| (seen.ids[0], seen.dropped)).collect();
    let error = Some(DropReason::SendError);
    assert_eq!(seen, [((1, 1), None), ((2, 1), None), ((3, 3), error), ((6, 1), None)]);
}

#[test]
fn network_and_frame_of_what_leaves_are_known_however_little_is_kept() {
    let mut lab = lab(Wanted { at: At::Peer([127, 0, 0, 2].into()), snap: 45, ..wanted() });
    lab.captures.comes(lab.port, &VnetHeader::default(), &[1; 60]);
    lab.send(68);
    lab.captures.handled();
    lab.captures.settle();
    lab.flush(&[]);
    let seen = lab.seen();
    assert_eq!((seen[0].outer, seen[0].len, seen[0].vni), (50, 42 + 68, Some(100)));
}

/// A filter for frames whose first octet is this.
fn first_octet(octet: u8) -> Option<Program> {
    let code = [(48, 0, 0, 0), (21, 0, 1, u32::from(octet)), (6, 0, 0, 1), (6, 0, 0, 0)];
    Some(Program::new(code.map(Into::into).to_vec()).unwrap())
}

#[test]
fn a_filter_is_asked_of_each_datagram_and_only_drops_are_told_to_who_wants_only_those() {
    let mut lab = lab(Wanted { inner: first_octet(7), ..wanted() });
    let (vnet, frame) = Packet::tcp(vec![0; 3000]).super_frame(1000);
    lab.captures.comes(lab.port, &vnet, &frame);
    (0..3).for_each(|_| lab.send(100));
    lab.captures.handled();
    lab.captures.settle();
    lab.flush(&[]);
    let seen = lab.seen();
    assert_eq!(seen.len(), 1, "the frame of the port begins with another octet: {seen:?}");
    assert_eq!((seen[0].flow, &seen[0].ids[..]), (Flow::Out, &[(1, 3)][..]));

    let mut lab = self::lab(Wanted { drops: true, ..wanted() });
    for drop in [false, true] {
        lab.captures.comes(lab.port, &VnetHeader::default(), &[1; 60]);
        if drop {
            lab.captures.drops(DropReason::BumRate, Direction::Outbound);
        }
        lab.captures.handled();
        lab.captures.settle();
    }
    let seen = lab.seen();
    assert_eq!((seen.len(), seen[0].dropped, seen[0].ids[0].0), (1, Some(DropReason::BumRate), 2));
}

#[test]
fn a_capture_of_a_port_goes_on_when_the_port_is_opened_again() {
    let mut worker = MemoryWorker::new(clock::now());
    let network = worker.add_network(Vni::new(100).unwrap());
    let (old, new) = (worker.add_port(network), PortId::new(9));
    let mut again = worker.into_topology();
    let view = again.ports.remove(&old).unwrap();
    let mut lab = lab(Wanted { at: At::Port(NamedPort::new(&view.name, old)), ..wanted() });
    again.ports.insert(new, view);
    let mut points = |topology: Topology, from: PortId| {
        lab.captures.set_topology(&Arc::new(topology));
        lab.captures.comes(from, &VnetHeader::default(), &[1; 60]);
        lab.captures.handled();
        lab.captures.settle();
        lab.seen().into_iter().map(|seen| seen.point).collect::<Vec<_>>()
    };
    assert_eq!(points(Topology::default(), old), [Point::Port(old)], "it is away");
    assert_eq!(points(again, new), [Point::Port(new)]);
    assert_eq!(points(Topology::default(), old), [], "another has its old id");
}

#[test]
fn a_capture_that_nobody_reads_any_more_ends_and_another_goes_on() {
    let mut lab = lab(wanted());
    let (writer, other) = ring(&Arc::new(wanted()), 1 << 16);
    lab.captures.begin(writer);
    drop(other);
    lab.captures.tidy();
    lab.captures.comes(lab.port, &VnetHeader::default(), &[1; 60]);
    std::thread::sleep(Duration::from_millis(1));
    lab.captures.handled();
    lab.captures.settle();
    assert_eq!(lab.seen().len(), 1);
    let (_, gone) = ring(&Arc::new(wanted()), 1 << 16);
    drop(std::mem::replace(&mut lab.reader, gone));
    lab.captures.tidy();
    assert!(!lab.captures.is_on());
}
