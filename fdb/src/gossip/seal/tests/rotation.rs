//! Keys change while everybody speaks.

use proptest::prelude::*;

use super::lab::*;
use super::*;

/// Everybody to everybody, with nothing lost.
fn all_speak(lab: &mut Lab) {
    for from in 0..lab.gates.len() {
        for to in (0..lab.gates.len()).filter(|to| *to != from) {
            assert_eq!(lab.delivered(from, to, b"x"), b"x");
        }
    }
}

fn rotating_trio() -> Lab {
    let mut lab = Lab::new(&[mode(&[1]), mode(&[1]), mode(&[1])]);
    for (at, who) in (0..3).flat_map(|at| (0..3).map(move |who| (at, who))).filter(|(at, who)| at != who) {
        lab.gates[at].trust(process(who as u128)).unwrap();
    }
    all_speak(&mut lab);
    lab
}

#[test]
fn a_key_that_a_live_node_seals_with_is_not_removed() {
    let mut lab = rotating_trio();
    let (old, new) = (key(1).id(), key(2).id());
    lab.gates.iter_mut().for_each(|gate| gate.install_key(key(2)).unwrap());
    for others_are_live in [false, true] {
        let removed = lab.gates[0].remove_key(old, |_| others_are_live);
        assert_eq!(removed, Err(KeyError::InUse { id: old }), "this node first");
    }
    lab.gates[0].use_key(new).unwrap();
    lab.gates[1].use_key(new).unwrap();
    all_speak(&mut lab);
    let third = process(2).node;
    assert_eq!(lab.gates[0].remove_key(old, |_| true), Err(KeyError::InUseBy { id: old, node: third }));
    assert_eq!(lab.gates[0].remove_key(old, |node| node != third), Ok(()));
    assert_eq!(lab.pass(2, 0, b"x"), Err(Refusal::UnknownKey { id: old }));
}

#[test]
fn a_removed_key_opens_nothing_even_if_it_was_just_used() {
    let mut lab = rotating_trio();
    lab.gates[0].install_key(key(2)).unwrap();
    lab.gates[0].use_key(key(2).id()).unwrap();
    lab.gates[0].remove_key(key(1).id(), |_| false).unwrap();
    assert_eq!(lab.pass(1, 0, b"x"), Err(Refusal::UnknownKey { id: key(1).id() }));
}

#[test]
fn a_change_of_key_does_not_reuse_a_counter() {
    let mut lab = rotating_trio();
    let before = lab.gates[0].sealer.next;
    lab.gates[0].install_key(key(2)).unwrap();
    lab.gates[0].use_key(key(2).id()).unwrap();
    assert_eq!(lab.gates[0].sealer.next, before);
}

#[test]
fn there_is_nothing_to_rotate_without_keys() {
    let mut gate = Gate::new(process(0), Mode::Insecure);
    assert_eq!(gate.install_key(key(1)), Err(KeyError::Insecure));
    assert_eq!(gate.use_key(key(1).id()), Err(KeyError::Insecure));
    assert_eq!(gate.remove_key(key(1).id(), |_| false), Err(KeyError::Insecure));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Each step is done everywhere before the next begins anywhere; within a step in any order, and what was sent before
    /// a change may come after it.
    #[test]
    fn a_rotation_loses_nothing(orders in prop::array::uniform3(Just([0_usize, 1, 2]).prop_shuffle())) {
        let mut lab = rotating_trio();
        for (step, order) in orders.into_iter().enumerate() {
            for at in order {
                let datagram = sealed_by(&mut lab.gates[at], b"on its way");
                match step {
                    0 => lab.gates[at].install_key(key(2)),
                    1 => lab.gates[at].use_key(key(2).id()),
                    _ => lab.gates[at].remove_key(key(1).id(), |_| true),
                }.unwrap();
                for to in (0..3).filter(|to| *to != at) {
                    prop_assert!(matches!(lab.open(to, &datagram), Ok(Opened::Message(_))));
                }
                all_speak(&mut lab);
            }
        }
    }
}
