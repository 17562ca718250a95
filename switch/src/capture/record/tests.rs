use proptest::prelude::*;

use super::*;

fn point() -> impl Strategy<Value = Point> {
    prop_oneof![
        any::<u32>().prop_map(|id| Point::Port(PortId::new(id))),
        ip().prop_map(Point::Peer),
        Just(Point::Strangers),
        Just(Point::Gossip),
    ]
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        // An IPv4 address in disguise is told as what it is.
        any::<[u8; 16]>().prop_map(|octets| IpAddr::from(octets).to_canonical()),
    ]
}

fn decision() -> impl Strategy<Value = Decision> {
    prop_oneof![
        Just(Decision::None),
        Just(Decision::ToPorts),
        Just(Decision::Answered),
        any::<u32>().prop_map(|id| Decision::ToPort(PortId::new(id))),
        ip().prop_map(Decision::ToPeer),
        any::<(u16, u16, u16)>().prop_map(|(ports, peers, dropped)| Decision::Flooded {
            ports,
            peers,
            dropped
        }),
    ]
}

fn dropped() -> impl Strategy<Value = Option<(DropReason, Direction)>> {
    let direction = prop_oneof![Just(Direction::Inbound), Just(Direction::Outbound)];
    proptest::option::of((0..DropReason::ALL.len(), direction).prop_map(|(i, d)| (DropReason::ALL[i], d)))
}

proptest! {
    #[test]
    fn a_record_is_read_as_it_was_written(
        (at, size, len, outer) in any::<(u64, u32, u32, u16)>(),
        (point, decision, dropped) in (point(), decision(), dropped()),
        runs in proptest::collection::vec((0u64..1 << 50, 1u32..100), 1..12),
        out in any::<bool>(),
        vni in proptest::option::of(0u32..1 << 24),
        inside in proptest::option::of(0u32..u32::MAX),
        octets in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut ids = Runs::default();
        runs.iter().for_each(|&(first, count)| ids.push(Ids { first, count }));
        let record = Record {
            at, point, ids, size, inside, decision, dropped, outer, len,
            direction: if out { Flow::Out } else { Flow::In },
            vni: vni.map(|vni| Vni::new(vni).unwrap()),
            octets: &octets,
        };
        let mut stream = Vec::new();
        Message::Record(record).encode(&mut stream);
        let whole = stream.len();
        for cut in 0..whole {
            prop_assert_eq!(Message::decode(&stream[..cut]), Ok(None));
        }
        stream.push(7);
        prop_assert_eq!(Message::decode(&stream), Ok(Some((Message::Record(record), whole))));
        prop_assert_eq!(ids.frames(), runs.iter().map(|run| u64::from(run.1)).sum::<u64>());
    }

    #[test]
    fn any_octets_are_a_message_or_broken_or_not_there_yet(
        octets in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u8..5, len in 0u32..200,
    ) {
        let _ = Message::decode(&octets);
        let mut stream = len.to_le_bytes().to_vec();
        stream.push(kind);
        stream.extend_from_slice(&octets);
        if let Ok(Some((message, taken))) = Message::decode(&stream) {
            let mut again = Vec::new();
            message.encode(&mut again);
            prop_assert!(taken <= stream.len() && Message::decode(&again).is_ok());
        }
    }
}

#[test]
fn names_and_losses_are_read_as_they_were_written() {
    let mut stream = Vec::new();
    let name = Message::Name {
        point: Point::Peer("10.0.0.2".parse().unwrap()),
        name: "peer:node-b",
        description: "outer headers are made up",
    };
    name.encode(&mut stream);
    let lost = Message::Lost { point: Point::Strangers, frames: 77 };
    lost.encode(&mut stream);
    let (first, taken) = Message::decode(&stream).unwrap().unwrap();
    assert_eq!(first, name);
    assert_eq!(Message::decode(&stream[taken..]), Ok(Some((lost, stream.len() - taken))));
    for cut in 0..=stream.len() {
        let whole = if cut == stream.len() { cut } else { [0, taken][usize::from(cut >= taken)] };
        assert_eq!(Message::whole(&stream[..cut]), whole, "{cut} octets");
    }
}

#[test]
fn a_message_of_no_or_absurd_length_or_unknown_kind_is_broken() {
    for stream in [&[0, 0, 0, 0][..], &[0xff; 8], &[1, 0, 0, 0, 9]] {
        assert_eq!(Message::decode(stream), Err(Broken), "{stream:?}");
    }
}

#[test]
fn frames_that_follow_each_other_are_one_run() {
    let mut runs = Runs::from(Ids { first: 10, count: 2 });
    runs.push(Ids { first: 12, count: 1 });
    runs.push(Ids { first: 20, count: 1 });
    assert_eq!(runs.runs(), [Ids { first: 10, count: 3 }, Ids { first: 20, count: 1 }]);
    assert_eq!((runs.first(), runs.frames()), (10, 4));
}
