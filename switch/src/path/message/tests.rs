use proptest::prelude::*;

use super::*;

fn bodies() -> impl Strategy<Value = Body> {
    let about = any::<u128>().prop_map(NodeId::new);
    let (pace, wall) = (|| any::<u16>().prop_map(Pace), || 0..1_u64 << 48);
    let time = || any::<u32>().prop_map(|micros| Duration::from_micros(micros.into()));
    prop_oneof![
        (any::<(u32, u16, u16)>(), pace(), wall()).prop_map(|((id, size, source), pace, wall_ms)| {
            Body::Probe(Probe { id, size, pace, wall_ms, source })
        }),
        (any::<(u32, u16)>(), pace(), wall(), time()).prop_map(|((id, size), pace, wall_ms, delay)| {
            Body::Reply(Reply { id, size, pace, wall_ms, delay })
        }),
        (any::<u32>(), about.clone()).prop_map(|(round, about)| Body::Ask(Ask { round, about })),
        (any::<(u32, bool, u16)>(), about, time()).prop_map(|((round, up, mtu), about, round_trip)| {
            Body::Answer(Answer { round, about, up, mtu, round_trip })
        }),
        letters().prop_map(Body::Letter),
    ]
}

fn letters() -> impl Strategy<Value = Letter> {
    let said = prop::collection::vec(any::<u8>(), 0..=MAX_CONTENT);
    let load = (prop::collection::vec(any::<u8>(), 1..200), 0..100_u16)
        .prop_map(|(octets, more)| Load::of_parts(octets.len() as u16 + more, &octets).unwrap());
    let load = prop::option::of(load);
    (any::<(u128, u128)>(), any::<(u32, u32, u32)>(), any::<(bool, bool)>(), said, load).prop_map(
        |((from, to), (flow, stamp, micros), (is_answer, to_be_passed_on), said, load)| Letter {
            from: NodeId::new(from),
            to: NodeId::new(to),
            flow,
            stamp,
            delay: Duration::from_micros(micros.into()),
            is_answer,
            to_be_passed_on,
            content: Content::new(&said).unwrap(),
            load,
        },
    )
}

proptest! {
    #[test]
    fn a_message_reads_as_it_was_written_and_no_part_of_it_is_one(
        to: u64, numbered: bool, number: u32, highest: u32, heard: u32, body in bodies(), more in prop::collection::vec(any::<u8>(), 0..9),
    ) {
        let message = Message { to, numbered, counts: Counts { number, highest, heard }, body };
        let octets = message.encode();
        prop_assert_eq!(Message::decode(&[&octets[..], &more].concat()), Ok(message.clone()));
        for len in 0..octets.len() {
            prop_assert_eq!(Message::decode(&octets[..len]), Err(MessageError::Truncated { octets: len }));
        }
    }

    #[test]
    fn any_octets_are_a_message_that_reads_the_same_again_or_an_error(
        kind in 0..LETTER + 2, numbered: bool, rest in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let octets = [&[if numbered { kind | NUMBERED } else { kind }], &rest[..]].concat();
        match Message::decode(&octets) {
            Ok(message) => prop_assert_eq!(Message::decode(&message.encode()), Ok(message)),
            Err(MessageError::Kind { kind }) => prop_assert!(kind == 0 || kind > LETTER),
            Err(error) => prop_assert_eq!(error, MessageError::Truncated { octets: octets.len() }),
        }
    }
}

#[test]
fn a_load_that_is_longer_than_its_frame_or_has_no_octets_is_none() {
    let letter = Letter {
        from: NodeId::new(1),
        to: NodeId::new(2),
        flow: 0,
        stamp: 0,
        delay: Duration::ZERO,
        is_answer: false,
        to_be_passed_on: false,
        content: Content::new(b"asked").unwrap(),
        load: Load::new(&[7; 60]),
    };
    let body = Body::Letter(letter);
    let octets = Message { to: 1, numbered: false, counts: Counts::default(), body }.encode();
    assert!(Message::decode(&octets).is_ok());
    for (len, carried) in [(59_u16, 60_u16), (60, 61), (60, 0), (0, 0), (60, u16::MAX), (u16::MAX, 60)] {
        let head = [len.to_be_bytes(), carried.to_be_bytes()].concat();
        let wrong = [&octets[..LETTER_LEN], &head, &octets[LETTER_LEN + LOAD_HEAD..]].concat();
        assert!(Message::decode(&wrong).is_err(), "{carried} of {len}");
    }
}

#[test]
fn nothing_that_is_answered_is_shorter_than_its_answer() {
    let len = |body| Message { to: 1, numbered: true, counts: Counts::default(), body }.encode().len();
    let (about, delay, pace) = (NodeId::new(1), Duration::ZERO, Pace::default());
    let probe = len(Body::Probe(Probe { id: 1, size: 140, pace, wall_ms: 0, source: 0 }));
    assert_eq!(len(Body::Reply(Reply { id: 1, size: 140, pace, wall_ms: 0, delay })), probe);
    let ask = len(Body::Ask(Ask { round: 1, about }));
    assert_eq!(len(Body::Answer(Answer { round: 1, about, up: true, mtu: 1500, round_trip: delay })), ask);
}
