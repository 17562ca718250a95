//! What a stream lets through, and how it ends.

use proptest::prelude::*;

use super::*;
use crate::gossip::seal::tests::lab::{Dice, key, mode, process};
use crate::gossip::seal::{Mode, Refusal};

fn pair(mode: &Mode) -> (Stream, Stream) {
    let mut dice = Dice::new(1);
    let (caller, hello) = Caller::new(process(0), mode, &mut dice);
    let (callee, hello) = Callee::new(process(1), mode, &hello, &mut dice).ok().unwrap();
    let (here, confirm) = caller.finish(mode, &hello).unwrap();
    (here, callee.finish(&confirm).unwrap())
}

/// Reads all records of `wire`, a few octets at a time.
fn read(opener: &mut StreamOpener, wire: &[u8], step: usize) -> Result<Vec<u8>, StreamError> {
    let (mut out, mut at, mut end) = (Vec::new(), 0, 0);
    while end < wire.len() {
        end = (end + step).min(wire.len());
        while at < end {
            match opener.open(&wire[at..end], &mut out)? {
                Progress::Record { taken } | Progress::End { taken } => at += taken,
                Progress::Wait { needed } => {
                    assert!(needed > end - at && needed <= MAX_RECORD_OCTETS);
                    break;
                }
            }
        }
    }
    opener.end().map(|()| out)
}

fn whole(sealer: &mut StreamSealer, payload: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    sealer.seal(payload, &mut wire).unwrap();
    sealer.finish(&mut wire).unwrap();
    wire
}

#[test]
fn both_ends_learn_who_the_other_is_and_hear_each_other() {
    for mode in [mode(&[1]), Mode::Insecure] {
        let (mut here, mut there) = pair(&mode);
        assert_eq!((here.peer, there.peer), (process(1), process(0)));
        assert_eq!(read(&mut there.opener, &whole(&mut here.sealer, b"one"), 5), Ok(b"one".to_vec()));
        assert_eq!(read(&mut here.opener, &whole(&mut there.sealer, b"two"), 5), Ok(b"two".to_vec()));
    }
}

#[test]
fn a_long_payload_is_cut_into_records() {
    let (mut here, mut there) = pair(&mode(&[1]));
    let payload: Vec<u8> = (0..3 * MAX_RECORD + 1).map(|n| n as u8).collect();
    let wire = whole(&mut here.sealer, &payload);
    assert_eq!(wire.len(), payload.len() + 5 * (HEAD_OCTETS + TAG_OCTETS));
    assert_eq!(read(&mut there.opener, &wire, 1_000), Ok(payload));
}

#[test]
fn a_stream_without_its_last_record_was_cut() {
    let (mut here, mut there) = pair(&mode(&[1]));
    let wire = whole(&mut here.sealer, b"roster");
    let last = wire.len() - HEAD_OCTETS - TAG_OCTETS;
    assert_eq!(read(&mut there.opener, &wire[..last], 100), Err(StreamError::Cut));
    let (mut here, mut there) = pair(&mode(&[1]));
    let wire = whole(&mut here.sealer, b"roster");
    assert_eq!(read(&mut there.opener, &wire[..wire.len() - 1], 100), Err(StreamError::Cut));
}

#[test]
fn records_are_taken_once_and_in_order_only() {
    let record = |sealer: &mut StreamSealer, payload: &[u8]| {
        let mut wire = Vec::new();
        sealer.seal(payload, &mut wire).unwrap();
        wire
    };
    let (mut here, _) = pair(&mode(&[1]));
    let (one, two) = (record(&mut here.sealer, b"1"), record(&mut here.sealer, b"2"));
    for wrong in [[&one[..], &one], [&two[..], &one]] {
        let (_, mut there) = pair(&mode(&[1]));
        assert_eq!(read(&mut there.opener, &wrong.concat(), 100), Err(StreamError::BadTag));
        assert_eq!(there.opener.open(&one, &mut Vec::new()), Err(StreamError::Closed));
        assert_eq!(there.opener.end(), Err(StreamError::Closed));
    }
}

#[test]
fn a_reflected_record_is_refused() {
    let (mut here, _) = pair(&mode(&[1]));
    let wire = whole(&mut here.sealer, b"x");
    assert_eq!(read(&mut here.opener, &wire, 100), Err(StreamError::BadTag));
}

#[test]
fn nothing_follows_the_last_record() {
    let (mut here, mut there) = pair(&mode(&[1]));
    let wire = whole(&mut here.sealer, b"x");
    assert_eq!(here.sealer.seal(b"y", &mut Vec::new()), Err(StreamError::Closed));
    assert_eq!(here.sealer.finish(&mut Vec::new()), Err(StreamError::Closed));
    let more = [&wire[..], b"more"].concat();
    assert_eq!(read(&mut there.opener, &more, 1_000), Err(StreamError::AfterEnd));
}

#[test]
fn a_record_above_the_limit_is_refused_by_its_head() {
    let (_, mut there) = pair(&mode(&[1]));
    let error = there.opener.open(&[DATA, 0x40, 1], &mut Vec::new());
    assert_eq!(error, Err(StreamError::TooLong { octets: 16_385 }));
    let (_, mut there) = pair(&mode(&[1]));
    assert_eq!(there.opener.open(&[9, 0, 0], &mut Vec::new()), Err(StreamError::UnknownKind { kind: 9 }));
}

// ---- hellos ----

#[test]
fn every_flipped_bit_of_a_hello_or_confirm_is_refused() {
    for mode in [mode(&[1]), Mode::Insecure] {
        let mut dice = Dice::new(1);
        let (_, first) = Caller::new(process(0), &mode, &mut dice);
        for bit in 0..HELLO_OCTETS * 8 {
            let mut dice = Dice::new(1);
            let (caller, mut hello) = Caller::new(process(0), &mode, &mut dice);
            hello[bit / 8] ^= 1 << (bit % 8);
            assert!(Callee::new(process(1), &mode, &hello, &mut dice).is_err(), "first, bit {bit}");
            let (_, mut hello) = Callee::new(process(1), &mode, &first, &mut dice).ok().unwrap();
            hello[bit / 8] ^= 1 << (bit % 8);
            assert!(caller.finish(&mode, &hello).is_err(), "second, bit {bit}");
        }
        for bit in 0..CONFIRM_OCTETS * 8 {
            let mut dice = Dice::new(1);
            let (caller, hello) = Caller::new(process(0), &mode, &mut dice);
            let (callee, hello) = Callee::new(process(1), &mode, &hello, &mut dice).ok().unwrap();
            let (_, mut confirm) = caller.finish(&mode, &hello).unwrap();
            confirm[bit / 8] ^= 1 << (bit % 8);
            assert!(callee.finish(&confirm).is_err(), "confirm, bit {bit}");
        }
    }
}

#[test]
fn a_recorded_call_gets_no_stream() {
    let (mode, mut dice) = (mode(&[1]), Dice::new(1));
    let (caller, first) = Caller::new(process(0), &mode, &mut dice);
    let (_, second) = Callee::new(process(1), &mode, &first, &mut dice).ok().unwrap();
    let (_, confirm) = caller.finish(&mode, &second).unwrap();
    let (again, _) = Callee::new(process(1), &mode, &first, &mut dice).ok().unwrap();
    assert!(matches!(again.finish(&confirm), Err(StreamError::BadTag)));
    let (caller, _) = Caller::new(process(0), &mode, &mut dice);
    assert!(matches!(caller.finish(&mode, &second), Err(Refusal::BadTag)));
}

#[test]
fn a_reflected_hello_is_refused() {
    let (mode, mut dice) = (mode(&[1]), Dice::new(1));
    let (caller, hello) = Caller::new(process(0), &mode, &mut dice);
    assert!(matches!(Callee::new(process(0), &mode, &hello, &mut dice), Err(Refusal::Own)));
    assert!(matches!(caller.finish(&mode, &hello), Err(Refusal::Own)));
    let (caller, _) = Caller::new(process(0), &mode, &mut dice);
    let (_, others) = Caller::new(process(1), &mode, &mut dice);
    assert!(matches!(caller.finish(&mode, &others), Err(Refusal::BadTag)));
}

#[test]
fn who_has_another_key_or_none_gets_no_answer() {
    let mut dice = Dice::new(1);
    let mut call = |from: &Mode, to: &Mode| {
        let (_, hello) = Caller::new(process(0), from, &mut dice);
        Callee::new(process(1), to, &hello, &mut dice).err()
    };
    assert_eq!(call(&mode(&[2]), &mode(&[1])), Some(Refusal::UnknownKey { id: key(2).id() }));
    assert_eq!(call(&Mode::Insecure, &mode(&[1])), Some(Refusal::Insecure));
    assert_eq!(call(&mode(&[1]), &Mode::Insecure), Some(Refusal::Sealed));
    assert_eq!(call(&mode(&[2]), &mode(&[1, 2])), None, "in the middle of a rotation");
}

proptest! {
    #[test]
    fn what_is_sealed_comes_out_whole(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 0..6),
                                      step in 1_usize..700) {
        let (mut here, mut there) = pair(&mode(&[1]));
        let mut wire = Vec::new();
        parts.iter().for_each(|part| here.sealer.seal(part, &mut wire).unwrap());
        here.sealer.finish(&mut wire).unwrap();
        prop_assert_eq!(read(&mut there.opener, &wire, step), Ok(parts.concat()));
    }

    #[test]
    fn a_changed_stream_never_comes_out_whole(bit in 0_usize..8 * 57) {
        let (mut here, mut there) = pair(&mode(&[1]));
        let mut wire = whole(&mut here.sealer, &[7; 19]);
        prop_assert_eq!(wire.len(), 57);
        wire[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(read(&mut there.opener, &wire, 100).is_err());
    }

    #[test]
    fn no_octets_make_it_panic(octets in proptest::collection::vec(any::<u8>(), 0..100), secure in any::<bool>()) {
        let mode = if secure { mode(&[1]) } else { Mode::Insecure };
        let (_, mut there) = pair(&mode);
        let _ = there.opener.open(&octets, &mut Vec::new());
        let mut hello = [0; HELLO_OCTETS];
        hello.iter_mut().zip(&octets).for_each(|(octet, random)| *octet = *random);
        let refused = Callee::new(process(1), &mode, &hello, &mut Dice::new(1)).is_err();
        prop_assert!(refused);
    }
}
