//! The rules of the seal, one by one, and in random order.

pub(super) mod lab;
mod paths;
mod rotation;

use std::collections::BTreeSet;

use blake2::{Blake2s256, Digest};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use hkdf::Hkdf;
use proptest::prelude::*;
use sha2::Sha256;

use self::lab::*;
use super::*;

#[test]
fn a_datagram_has_the_octets_that_other_calls_give() {
    let (key, node, boot) = ([0x42; 32], 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10_u128, 0xfeed_u128 << 100);
    let me = Process { node: NodeId::new(node), boot: BootId::new(boot) };
    let mut gate = Gate::new(me, Mode::Sealed(Keyring::new(Key::new(key))));
    gate.sealer.next = Some(0x1_0000_0002);
    let mut datagram = Vec::new();
    gate.seal(Kind::Replication, b"who is where", &mut datagram).unwrap();

    let mut aad = b"WG\x01\x00".to_vec();
    aad.extend(&Blake2s256::digest([b"weft keyid".as_slice(), &key].concat())[..4]);
    aad.extend(node.to_be_bytes());
    aad.extend(boot.to_be_bytes());
    aad.extend(0x1_0000_0002_u64.to_be_bytes());
    let info = [b"weft gossip v1".as_slice(), &node.to_be_bytes(), &boot.to_be_bytes()].concat();
    let mut derived = [0; 32];
    Hkdf::<Sha256>::new(None, &key).expand(&info, &mut derived).unwrap();
    let nonce = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2].into();
    let payload = Payload { msg: b"\x02who is where", aad: &aad };
    let sealed = ChaCha20Poly1305::new(&derived.into()).encrypt(&nonce, payload).unwrap();
    assert_eq!(datagram, [aad, sealed].concat());
    assert_eq!(hex(&datagram), GOLDEN);
}

/// The same by other code (the RFCs in Python), so that the format does not change together with a crate.
const GOLDEN: &str = "57470100633e9a4c0102030405060708090a0b0c0d0e0f10000feed00000000000000000000000000000000100000002\
    18003b016ce06769900ac57f47fbe5a460783bf27f66cc392e247d5500";

#[test]
fn an_insecure_datagram_is_in_the_clear_and_as_long() {
    let [mut plain, mut sealed] = [Mode::Insecure, mode(&[1])].map(|mode| Gate::new(process(1), mode));
    let [plain, sealed] = [&mut plain, &mut sealed].map(|gate| sealed_by(gate, b"hello"));
    assert_eq!(plain.len(), sealed.len());
    assert_eq!(&plain[48..54], b"\x01hello");
}

#[test]
fn who_seals_and_who_does_not_refuse_each_other() {
    let mut lab = Lab::new(&[Mode::Insecure, mode(&[1])]);
    assert_eq!(lab.pass(0, 1, b"x"), Err(Refusal::Insecure));
    assert_eq!(lab.pass(1, 0, b"x"), Err(Refusal::Sealed));
}

#[test]
fn insecure_nodes_understand_each_other() {
    let mut lab = Lab::new(&[Mode::Insecure, Mode::Insecure]);
    lab.meet(0, 1);
    assert_eq!(lab.delivered(0, 1, b"x"), b"x");
}

#[test]
fn another_clusters_key_is_refused_by_name_and_by_tag() {
    let mut lab = Lab::new(&[mode(&[1]), mode(&[2])]);
    assert_eq!(lab.pass(0, 1, b"x"), Err(Refusal::UnknownKey { id: key(1).id() }));
    let mut datagram = sealed_by(&mut lab.gates[0], b"x");
    datagram[4..8].copy_from_slice(&key(2).id().octets());
    assert_eq!(lab.open(1, &datagram), Err(Refusal::BadTag));
}

#[test]
fn every_flipped_bit_is_refused() {
    for mode in [mode(&[1]), Mode::Insecure] {
        let mut lab = Lab::new(&[mode.clone(), mode]);
        lab.meet(0, 1);
        let datagram = sealed_by(&mut lab.gates[0], b"some message");
        for bit in 0..datagram.len() * 8 {
            let mut flipped = datagram.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(lab.open(1, &flipped).is_err(), "bit {bit}");
        }
        assert!(lab.open(1, &datagram).is_ok(), "the flipped ones changed nothing");
    }
}

#[test]
fn every_cut_and_every_extension_is_refused() {
    let mut lab = Lab::pair();
    let datagram = sealed_by(&mut lab.gates[0], b"some message");
    for octets in 0..datagram.len() {
        let refusal = lab.open(1, &datagram[..octets]).unwrap_err();
        assert!(matches!(refusal, Refusal::Truncated { .. } | Refusal::BadTag), "{octets}: {refusal}");
    }
    assert_eq!(lab.open(1, &[&datagram[..], &[0]].concat()), Err(Refusal::BadTag));
    let long = [&datagram[..], &[0; MAX_DATAGRAM]].concat();
    assert_eq!(lab.open(1, &long), Err(Refusal::TooLong { octets: long.len(), most: MAX_DATAGRAM }));
}

#[test]
fn what_is_not_of_this_version_is_named() {
    let mut lab = Lab::pair();
    let datagram = sealed_by(&mut lab.gates[0], b"x");
    let with = |place: usize, octet: u8| {
        let mut changed = datagram.clone();
        changed[place] = octet;
        changed
    };
    assert_eq!(lab.open(1, &with(0, b'X')), Err(Refusal::NotOurs));
    assert_eq!(lab.open(1, &with(2, 0)), Err(Refusal::NotOurs));
    assert_eq!(lab.open(1, &with(2, 2)), Err(Refusal::HigherVersion { version: 2 }));
    assert_eq!(lab.open(1, &with(3, 2)), Err(Refusal::UnknownFlags { flags: 2 }));
    assert_eq!(lab.open(1, b"GET / HTTP/1.1"), Err(Refusal::NotOurs));
}

#[test]
fn genuine_datagrams_of_an_unknown_kind_are_refused() {
    let mut lab = Lab::pair();
    lab.meet(0, 1);
    for (kind, payload, refusal) in [
        (9, &b"x"[..], Refusal::UnknownKind { kind: 9 }),
        (0, b"x", Refusal::UnknownKind { kind: 0 }),
        (opener::CONTROL, b"", Refusal::Malformed),
        (opener::CONTROL, b"\x00short", Refusal::Malformed),
        (opener::CONTROL, &[7; 17], Refusal::Malformed),
        (opener::CONTROL, &opener::answer([0; 16]), Refusal::StrayAnswer),
    ] {
        let mut datagram = Vec::new();
        lab.gates[0].sealer.seal(kind, payload, &mut datagram).unwrap();
        assert_eq!(lab.open(1, &datagram), Err(refusal));
    }
}

#[test]
fn a_datagram_is_taken_once_and_in_any_order_within_the_window() {
    let mut lab = Lab::pair();
    lab.meet(0, 1);
    let datagrams: Vec<_> = (0..WINDOW + 1).map(|n| sealed_by(&mut lab.gates[0], &n.to_be_bytes())).collect();
    for datagram in datagrams[1..].iter().rev() {
        assert!(matches!(lab.open(1, datagram), Ok(Opened::Message(_))));
    }
    assert_eq!(lab.open(1, &datagrams[0]), Err(Refusal::TooOld));
    for datagram in &datagrams[1..] {
        assert_eq!(lab.open(1, datagram), Err(Refusal::Replay));
    }
}

#[test]
fn a_forged_counter_does_not_move_the_window() {
    let mut lab = Lab::pair();
    lab.meet(0, 1);
    let datagram = sealed_by(&mut lab.gates[0], b"x");
    let mut forged = datagram.clone();
    forged[40..48].copy_from_slice(&u64::MAX.to_be_bytes());
    assert_eq!(lab.open(1, &forged), Err(Refusal::BadTag));
    assert!(lab.open(1, &datagram).is_ok());
}

#[test]
fn a_counter_never_wraps() {
    let mut lab = Lab::pair();
    lab.meet(0, 1);
    lab.gates[0].sealer.next = Some(u64::MAX);
    assert_eq!(lab.delivered(0, 1, b"the last"), b"the last");
    let mut out = Vec::new();
    assert_eq!(lab.gates[0].seal(Kind::Membership, b"x", &mut out), Err(SealError::Exhausted));
    assert!(out.is_empty());
    let challenge = lab.challenge_by(1, process(0));
    assert_eq!(lab.open(0, &challenge), Err(Refusal::Exhausted));
    lab.gates[0].sealer.next = Some(0);
    assert_eq!(lab.pass(0, 1, b"wrapped"), Err(Refusal::TooOld));
}

#[test]
fn a_message_above_the_limit_is_not_sealed() {
    let mut gate = Gate::new(process(0), mode(&[1]));
    let mut out = Vec::new();
    let long = [0; MAX_PAYLOAD + 1];
    assert_eq!(
        gate.seal(Kind::Membership, &long, &mut out),
        Err(SealError::TooLong { octets: MAX_PAYLOAD + 1, most: MAX_PAYLOAD })
    );
    assert!(out.is_empty());
    gate.seal(Kind::Membership, &long[1..], &mut out).unwrap();
    assert_eq!(out.len(), MAX_DATAGRAM);

    let (mut paths, mut out) = (Gate::for_paths(process(0), mode(&[1])), Vec::new());
    let (octets, most) = (MAX_PATH_PAYLOAD + 1, MAX_PATH_PAYLOAD);
    assert_eq!(paths.seal(Kind::Path, &vec![0; octets], &mut out), Err(SealError::TooLong { octets, most }));
    paths.seal(Kind::Path, &vec![0; most], &mut out).unwrap();
    assert_eq!(out.len(), OVERHEAD + MAX_PATH_PAYLOAD);
}

#[test]
fn what_comes_back_to_its_sender_is_refused() {
    let mut lab = Lab::pair();
    assert_eq!(lab.pass(0, 0, b"x"), Err(Refusal::Own));
}

// ---- strangers ----

#[test]
fn the_first_datagram_of_a_stranger_waits_and_is_delivered_exactly_once() {
    let mut lab = Lab::pair();
    let first = sealed_by(&mut lab.gates[0], b"first");
    let challenge = challenge(lab.open(1, &first));
    assert_eq!(lab.pass(0, 1, b"second"), Err(Refusal::Challenged));
    let answer = answer(lab.open(0, &challenge));
    let Ok(Opened::Proved { news, waiting }) = lab.open(1, &answer) else { panic!("not believed") };
    assert_eq!(news, NewBoot { node: process(0).node, old: None, new: process(0).boot });
    assert_eq!((waiting.payload, waiting.sender, waiting.from), (b"first".to_vec(), process(0), ADDRESS));

    assert_eq!(lab.open(1, &answer), Err(Refusal::Replay));
    assert_eq!(lab.open(1, &first), Err(Refusal::Replay));
    assert_eq!(lab.gates[1].trust(process(0)), Ok(None));
    assert_eq!(lab.delivered(0, 1, b"third"), b"third");
}

#[test]
fn a_process_that_a_roster_told_of_needs_no_challenge() {
    let mut lab = Lab::pair();
    assert_eq!(lab.gates[1].trust(process(0)), Ok(None));
    assert_eq!(lab.delivered(0, 1, b"x"), b"x");
}

#[test]
fn what_waited_comes_out_when_a_roster_tells_of_its_sender() {
    let mut lab = Lab::pair();
    let first = sealed_by(&mut lab.gates[0], b"first");
    let challenge = challenge(lab.open(1, &first));
    let message = lab.gates[1].trust(process(0)).unwrap().unwrap();
    assert_eq!(message.payload, b"first");
    assert_eq!(lab.open(1, &first), Err(Refusal::Replay));
    let answer = answer(lab.open(0, &challenge));
    assert_eq!(lab.open(1, &answer), Err(Refusal::StrayAnswer));
}

#[test]
fn strangers_that_speak_at_the_same_time_both_become_known() {
    let mut lab = Lab::pair();
    let [one, two] = [0, 1].map(|n| sealed_by(&mut lab.gates[n], b"x"));
    let (to_zero, to_one) = (challenge(lab.open(1, &one)), challenge(lab.open(0, &two)));
    let (from_zero, from_one) = (answer(lab.open(0, &to_zero)), answer(lab.open(1, &to_one)));
    assert!(matches!(lab.open(1, &from_zero), Ok(Opened::Proved { .. })));
    assert!(matches!(lab.open(0, &from_one), Ok(Opened::Proved { .. })));
}

#[test]
fn a_recorded_datagram_gets_a_challenge_that_nobody_answers_and_ends() {
    let mut lab = Lab::pair();
    let recorded = sealed_by(&mut lab.gates[0], b"old");
    assert!(matches!(lab.open(1, &recorded), Ok(Opened::Challenge { .. })));
    assert_eq!(lab.open(1, &recorded), Err(Refusal::Challenged));
    let wake = lab.gates[1].poll_timeout().unwrap();
    assert_eq!(wake, lab.now + CHALLENGE_LIFE);
    lab.now = wake;
    assert_eq!(lab.gates[1].expire(lab.now), 1);
    assert_eq!((lab.gates[1].opener.sizes(), lab.gates[1].poll_timeout()), ((1, 0), None));
}

#[test]
fn a_late_answer_proves_nothing() {
    let mut lab = Lab::pair();
    let first = sealed_by(&mut lab.gates[0], b"x");
    let challenge = challenge(lab.open(1, &first));
    let answer = answer(lab.open(0, &challenge));
    lab.now += CHALLENGE_LIFE;
    assert_eq!(lab.open(1, &answer), Err(Refusal::StrayAnswer));
    assert_eq!(lab.gates[1].known(process(0).node), None);
}

#[test]
fn a_lost_challenge_is_sent_again_with_the_same_question() {
    let mut lab = Lab::pair();
    let first = sealed_by(&mut lab.gates[0], b"first");
    let lost = challenge(lab.open(1, &first));
    lab.now += CHALLENGE_AGAIN;
    let second = sealed_by(&mut lab.gates[0], b"second");
    let again = challenge(lab.open(1, &second));
    assert_ne!(lost, again);
    let answer = answer(lab.open(0, &again));
    let Ok(Opened::Proved { waiting, .. }) = lab.open(1, &answer) else { panic!("not believed") };
    assert_eq!(waiting.payload, b"first");
}

#[test]
fn an_answer_to_somebody_elses_challenge_proves_nothing() {
    let mut lab = Lab::new(&[mode(&[1]), mode(&[1]), mode(&[1])]);
    let first = sealed_by(&mut lab.gates[0], b"x");
    let [one, two] = [1, 2].map(|n| challenge(lab.open(n, &first)));
    let [for_one, for_two] = [one, two].map(|bytes| answer(lab.open(0, &bytes)));
    assert_eq!(lab.open(1, &for_two), Err(Refusal::StrayAnswer));
    assert!(matches!(lab.open(1, &for_one), Ok(Opened::Proved { .. })));
}

#[test]
fn at_most_a_thousand_strangers_wait_and_each_once() {
    let mut lab = Lab::new(&[mode(&[1])]);
    for n in 0..MAX_CHALLENGES as u128 + 10 {
        let datagram = sealed_by(&mut Gate::new(process(100 + n), mode(&[1])), b"x");
        match lab.open(0, &datagram) {
            Ok(Opened::Challenge { .. }) => assert!(n < MAX_CHALLENGES as u128),
            refused => assert_eq!((refused, n >= 1_000), (Err(Refusal::WaitingFull), true)),
        }
    }
    lab.now += CHALLENGE_LIFE;
    let datagram = sealed_by(&mut Gate::new(process(7), mode(&[1])), b"x");
    assert!(matches!(lab.open(0, &datagram), Ok(Opened::Challenge { .. })));
    assert_eq!(lab.gates[0].opener.sizes(), (1, 1));
}

#[test]
fn a_hundred_thousand_datagrams_without_a_key_change_nothing() {
    let mut lab = Lab::pair();
    lab.meet(0, 1);
    let genuine = sealed_by(&mut lab.gates[0], b"x");
    let before = (lab.gates[1].opener.sizes(), lab.gates[1].sealer.next, lab.gates[1].poll_timeout());
    let mut dice = Dice::new(3);
    for n in 0..100_000 {
        let mut octets = vec![0; (dice.next() % 80) as usize];
        dice.fill_bytes(&mut octets);
        // Most would fail at once: give them the head of a datagram of somebody known, unknown or of unknown key.
        let kept = [0, 4, 8, 24, 40, 48][n % 6].min(octets.len());
        octets[..kept].copy_from_slice(&genuine[..kept]);
        assert!(lab.open(1, &octets).is_err());
    }
    let after = (lab.gates[1].opener.sizes(), lab.gates[1].sealer.next, lab.gates[1].poll_timeout());
    assert_eq!(before, after);
    assert!(lab.open(1, &genuine).is_ok());
}

// ---- restarts and clones ----

#[test]
fn a_node_that_starts_anew_retires_its_old_process() {
    let mut lab = Lab::pair();
    lab.meet(0, 1);
    let late = sealed_by(&mut lab.gates[0], b"late");
    let old = lab.restart(0);
    let news = lab.meet(0, 1);
    assert_eq!(news, NewBoot { node: old.node, old: Some(old.boot), new: lab.gates[0].me.boot });
    assert_eq!(lab.open(1, &late), Err(Refusal::Retired));
    assert_eq!(lab.open(1, &late), Err(Refusal::Replay));
}

#[test]
fn the_late_answer_of_an_older_process_does_not_retire_a_newer_one() {
    let mut lab = Lab::pair();
    let first = sealed_by(&mut lab.gates[0], b"x");
    let challenge = challenge(lab.open(1, &first));
    let late = answer(lab.open(0, &challenge));
    lab.restart(0);
    lab.meet(0, 1);
    assert_eq!(lab.open(1, &late), Err(Refusal::StrayAnswer));
    assert_eq!(lab.delivered(0, 1, b"y"), b"y");
}

#[test]
fn a_clone_is_found_because_the_retired_process_still_answers() {
    let mut lab = Lab::new(&[mode(&[1]), mode(&[1]), mode(&[1])]);
    lab.meet(0, 1);
    let old = lab.gates[0].me;
    lab.gates[2] = Gate::new(Process { node: old.node, boot: BootId::new(77) }, mode(&[1]));
    assert_eq!(lab.meet(2, 1).old, Some(old.boot));

    let challenge = lab.challenge_by(1, old);
    let answer = answer(lab.open(0, &challenge));
    assert_eq!(lab.open(1, &answer), Ok(Opened::Alive { who: old, from: ADDRESS }));
    assert_eq!(lab.pass(0, 1, b"x"), Err(Refusal::Retired), "an answer alone brings nobody back");
    assert_eq!(lab.gates[1].trust(old), Ok(None));
    assert_eq!(lab.delivered(0, 1, b"x"), b"x");
    assert_eq!(lab.pass(2, 1, b"x"), Err(Refusal::Retired));
}

#[test]
fn a_process_that_is_trusted_again_cannot_be_replayed() {
    let mut lab = Lab::pair();
    lab.meet(0, 1);
    let seen = sealed_by(&mut lab.gates[0], b"x");
    lab.open(1, &seen).unwrap();
    let (old, new) = (process(0), Process { boot: BootId::new(5), ..process(0) });
    lab.gates[1].trust(new).unwrap();
    lab.gates[1].trust(old).unwrap();
    assert_eq!(lab.open(1, &seen), Err(Refusal::Replay));
}

#[test]
fn a_clone_of_this_node_is_reported_to_it() {
    let mut lab = Lab::pair();
    let me = lab.gates[1].me;
    lab.gates[0] = Gate::new(Process { node: me.node, boot: BootId::new(77) }, mode(&[1]));
    assert_eq!(lab.meet(0, 1), NewBoot { node: me.node, old: Some(me.boot), new: BootId::new(77) });
}

#[test]
fn only_who_is_known_can_be_challenged() {
    let mut lab = Lab::pair();
    let who = process(0);
    let asked = lab.gates[1].challenge(who, lab.now, &mut lab.dice);
    assert_eq!(asked, Err(TrustError::NotAsked(who)));
}

#[test]
fn trust_does_not_end_a_challenge_of_ours() {
    let mut lab = Lab::pair();
    lab.meet(0, 1);
    let challenge = lab.challenge_by(1, process(0));
    lab.gates[1].trust(process(0)).unwrap();
    let answer = answer(lab.open(0, &challenge));
    assert!(matches!(lab.open(1, &answer), Ok(Opened::Alive { .. })));
}

#[test]
fn a_full_table_refuses_new_nodes_and_keeps_the_old() {
    let mut lab = Lab::pair();
    for n in 0..MAX_NODES as u128 - 1 {
        lab.gates[1].trust(process(100 + n)).unwrap();
    }
    assert_eq!(lab.gates[1].trust(process(0)), Err(TrustError::NodesFull));
    assert_eq!(lab.pass(0, 1, b"x"), Err(Refusal::NodesFull));
    assert!(lab.gates[1].forget(process(100).node) && !lab.gates[1].forget(process(100).node));
    lab.meet(0, 1);
}

#[test]
fn each_refusal_is_one_sentence_that_says_what_to_make_of_it() {
    let refusals = [
        Refusal::Truncated { octets: 3 },
        Refusal::HigherVersion { version: 2 },
        Refusal::BadTag,
        Refusal::UnknownKey { id: key(1).id() },
        Refusal::WaitingFull,
    ];
    let texts: BTreeSet<_> = refusals.iter().map(Refusal::to_string).collect();
    assert_eq!(texts.len(), refusals.len());
    assert!(texts.iter().all(|text| text.contains([':', ',']) && !text.contains(". ")), "{texts:?}");
}

proptest! {
    #[test]
    fn what_is_sealed_opens_to_the_same(payload in proptest::collection::vec(any::<u8>(), 0..=MAX_PAYLOAD),
                                        secure in any::<bool>()) {
        let mode = if secure { mode(&[1]) } else { Mode::Insecure };
        let mut lab = Lab::new(&[mode.clone(), mode]);
        lab.gates[1].trust(process(0)).unwrap();
        prop_assert_eq!(lab.delivered(0, 1, &payload), payload);
    }

    #[test]
    fn no_octets_make_it_panic(octets in proptest::collection::vec(any::<u8>(), 0..200), kept in 0_usize..60,
                               secure in any::<bool>()) {
        let mode = if secure { mode(&[1]) } else { Mode::Insecure };
        let mut lab = Lab::new(&[mode.clone(), mode]);
        let mut octets = octets;
        let genuine = sealed_by(&mut lab.gates[0], b"x");
        let kept = kept.min(octets.len());
        octets[..kept].copy_from_slice(&genuine[..kept]);
        prop_assert!(lab.open(1, &octets).is_err());
    }
}
