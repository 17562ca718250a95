use std::time::Instant;

use super::super::record::{Decision, Flow, Ids, Runs};
use super::*;

#[allow(clippy::disallowed_methods)] // any moment does
fn wanted(snap: usize) -> Arc<Wanted> {
    Arc::new(Wanted { at: At::Any, inner: None, outer: None, snap, drops: false, began: Instant::now() })
}

fn record(count: u32, octets: &[u8]) -> Record<'_> {
    Record {
        at: 1,
        point: Point::Port(PortId::new(7)),
        direction: Flow::In,
        ids: Runs::from(Ids { first: 1, count }),
        size: 0,
        vni: None,
        inside: None,
        decision: Decision::None,
        dropped: None,
        outer: 0,
        len: 100,
        octets,
    }
}

#[test]
fn records_come_out_whole_and_cut_also_where_the_ring_begins_again() {
    let (mut writer, mut reader) = ring(&wanted(10), 300);
    let (mut scratch, mut out) = (Vec::new(), Vec::new());
    for round in 0..50u8 {
        writer.write(&record(1, &[round; 40]), &mut scratch);
        writer.write(&record(1, &[round; 5]), &mut scratch);
        out.clear();
        let taken = reader.take(&mut out, usize::MAX);
        let (first, len) = Message::decode(&out).unwrap().unwrap();
        let (second, rest) = Message::decode(&out[len..]).unwrap().unwrap();
        assert_eq!(first, Message::Record(record(1, &[round; 10])));
        assert_eq!(second, Message::Record(record(1, &[round; 5])));
        assert_eq!(taken, len + rest);
    }
    assert_eq!(reader.losses().count(), 0);
}

#[test]
fn what_finds_no_room_is_counted_in_wire_frames_and_the_rest_stays_whole() {
    let (mut writer, mut reader) = ring(&wanted(1000), 500);
    let (mut scratch, mut out) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        writer.write(&record(45, &[1; 100]), &mut scratch);
    }
    reader.take(&mut out, usize::MAX);
    let (mut at, mut kept) = (0, 0);
    while let Some((Message::Record(record), len)) = Message::decode(&out[at..]).unwrap() {
        kept += record.ids.frames();
        at += len;
    }
    let losses: Vec<_> = reader.losses().collect();
    let &[(point, lost)] = &losses[..] else { panic!("{losses:?}") };
    assert!(kept > 0 && lost > 0 && point == Point::Port(PortId::new(7)));
    assert_eq!((kept + lost, at), (450, out.len()));
}

#[test]
fn a_taker_gets_whole_messages_and_no_more_than_it_wants() {
    let (mut writer, mut reader) = ring(&wanted(1000), 1000);
    let (mut scratch, mut out) = (Vec::new(), Vec::new());
    (0..3).for_each(|_| writer.write(&record(1, &[1; 100]), &mut scratch));
    let one = scratch.len() + 100;
    assert_eq!(reader.take(&mut out, 2 * one + 50), 2 * one);
    assert_eq!(reader.take(&mut out, 2 * one + 50), one);
    assert_eq!((out.len(), Message::whole(&out)), (3 * one, 3 * one));
}

#[test]
fn what_is_written_after_the_end_is_neither_taken_nor_lost() {
    let (mut writer, mut reader) = ring(&wanted(1000), 500);
    let (mut scratch, mut out) = (Vec::new(), Vec::new());
    assert!(!reader.is_begun());
    writer.begin();
    assert!(reader.is_begun());
    writer.write(&record(1, &[1; 100]), &mut scratch);
    reader.end();
    assert!(writer.is_over() && !reader.is_over());
    (0..10).for_each(|_| writer.write(&record(1, &[1; 100]), &mut scratch));
    assert_eq!(reader.take(&mut out, usize::MAX), scratch.len() + 100, "what was there is still there");
    assert_eq!((reader.take(&mut out, usize::MAX), reader.losses().count()), (0, 0));
}

#[test]
fn nothing_is_waited_for_of_a_writer_that_never_began() {
    let (writer, reader) = ring(&wanted(10), 300);
    drop(writer);
    assert!(reader.is_begun());
}

#[test]
fn each_end_sees_that_the_other_is_gone() {
    let (writer, reader) = ring(&wanted(10), 300);
    assert!(!writer.is_over() && !reader.is_over());
    drop(reader);
    assert!(writer.is_over());
    let (writer, reader) = ring(&wanted(10), 300);
    drop(writer);
    assert!(reader.is_over());
}

#[test]
fn filters_look_at_the_frame_inside_and_at_the_datagram() {
    let first_octet = |octet: u8| {
        let code = [(48, 0, 0, 0), (21, 0, 1, u32::from(octet)), (6, 0, 0, 1), (6, 0, 0, 0)];
        Some(Program::new(code.map(Into::into).to_vec()).unwrap())
    };
    let all = wanted(10);
    let (port, peer) = (Point::Port(PortId::new(1)), Point::Peer("10.0.0.2".parse().unwrap()));
    let base = || Arc::into_inner(wanted(10)).unwrap();
    assert!(all.wants(port, &[1], 0, 1) && !all.filters());
    let inner = Wanted { inner: first_octet(9), ..base() };
    assert!(inner.wants(port, &[9], 0, 1) && !inner.wants(port, &[8], 0, 1) && inner.filters());
    assert!(inner.wants(peer, &[1, 9], 1, 2) && !inner.wants(peer, &[9, 1], 1, 2));
    assert!(!inner.wants(peer, &[9], 5, 1), "there is no frame inside");
    let outer = Wanted { outer: first_octet(9), ..base() };
    assert!(outer.wants(peer, &[9, 1], 1, 2) && !outer.wants(peer, &[1, 9], 1, 2));
    assert!(!outer.wants(port, &[9], 0, 1));
    let one = Wanted { at: At::Port(NamedPort::new("web", PortId::new(2))), ..base() };
    assert!(!one.wants(port, &[1], 0, 1) && !one.wants(peer, &[1], 0, 1));
    assert!(one.wants(Point::Port(PortId::new(2)), &[1], 0, 1));
}

#[test]
fn what_holds_no_frame_passes_no_filter_of_frames() {
    // All that is shorter than 100 octets: `less 100`.
    let code = [(0x80, 0, 0, 0), (0x35, 0, 1, 100), (6, 0, 0, 0), (6, 0, 0, 1)];
    let short = Program::new(code.map(Into::into).to_vec()).unwrap();
    let all = Arc::into_inner(wanted(100)).unwrap();
    let wanted = Wanted { inner: Some(short), ..all };
    let gossip = |inner, len| wanted.wants(Point::Gossip, &[0; 90], inner, len);
    assert_eq!([gossip(50, 90), gossip(50, 160), gossip(90, 90)], [true, false, false]);
    let port = Point::Port(PortId::new(7));
    assert!(wanted.wants(port, &[0; 60], 0, 60) && !wanted.wants(port, &[0; 60], 0, 200));
}
