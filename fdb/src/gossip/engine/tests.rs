//! Some engines on a network in memory: datagrams may be lost, streams are whole.

mod lab;

use std::time::Duration;

use encap::{MacAddr, Vni};

use self::lab::Lab;
use super::*;
use crate::sim::mac_record;

fn mac(n: u8) -> Record {
    Record::Mac(mac_record(Vni::new(100).unwrap(), MacAddr::new([2, 0, 0, 0, 0, n])))
}

#[test]
fn nodes_that_were_told_one_address_know_all_that_all_say() {
    let mut lab = Lab::new(5);
    (1..5).for_each(|n| lab.join(n, 0));
    (0..5).for_each(|n| lab.say(n, &mac(n as u8)));
    lab.run(Duration::from_secs(3));

    for n in 0..5 {
        assert_eq!(lab.nodes[n].engine.up().count(), 4, "node {n}");
        assert!(lab.nodes[n].engine.is_ready(), "node {n}");
        assert_eq!(lab.nodes[n].heard.len(), 4, "node {n}");
    }
    let roots: Vec<u128> = lab.nodes.iter().map(|node| node.engine.replica().root()).collect();
    assert!(roots.iter().all(|root| *root == roots[0]));
}

#[test]
fn a_node_that_is_no_member_any_more_takes_no_room_at_the_gate() {
    let mut lab = Lab::new(3);
    (1..3).for_each(|n| lab.join(n, 0));
    lab.run(Duration::from_secs(3));
    lab.leave(2);
    lab.run(Duration::from_secs(1));
    let [one, two] = [2, 3].map(NodeId::new);
    let engine = &mut lab.nodes[0].engine;
    assert!(engine.gate.known(two).is_some(), "it may be back");
    // As after a day.
    engine.members.forget(two).unwrap();
    lab.nodes[1].engine.members.forget(two).unwrap();
    lab.run(2 * ROSTER_EVERY);
    let engine = &lab.nodes[0].engine;
    assert_eq!((engine.gate.known(two), engine.known.contains_key(&two)), (None, false));
    assert!(engine.gate.known(one).is_some() && engine.known.contains_key(&one));
}

#[test]
fn nodes_that_start_at_once_know_each_other_in_a_moment() {
    for order in [[1, 2], [2, 1]] {
        let mut lab = Lab::new(3);
        order.into_iter().for_each(|n| lab.join(n, 0));
        lab.run(Duration::from_millis(50));
        for n in 0..3 {
            assert_eq!(lab.nodes[n].engine.up().count(), 2, "node {n}");
        }
    }
}

#[test]
fn a_seed_that_starts_a_moment_later_is_met_in_a_moment() {
    let mut lab = Lab::new(3);
    lab.stop(0);
    (1..3).for_each(|n| lab.join(n, 0));
    lab.run(Duration::from_millis(150));
    lab.restart(0, 1);
    lab.run(Duration::from_millis(250));
    for n in 0..3 {
        assert_eq!(lab.nodes[n].engine.up().count(), 2, "node {n}");
    }
}

#[test]
fn a_node_that_leaves_takes_its_records_with_it_and_one_that_dies_hides_them() {
    let mut lab = Lab::new(3);
    (1..3).for_each(|n| lab.join(n, 0));
    (0..3).for_each(|n| lab.say(n, &mac(n as u8)));
    lab.run(Duration::from_secs(3));

    lab.leave(1);
    lab.stop(2);
    lab.run(Duration::from_secs(8));
    assert!(lab.nodes[0].heard.is_empty());
    let states: Vec<MemberState> = lab.nodes[0].engine.members().members().map(|view| view.state).collect();
    assert_eq!(states, [MemberState::Left, MemberState::Down]);
}

#[test]
fn a_node_that_starts_again_is_heard_again() {
    let mut lab = Lab::new(3);
    (1..3).for_each(|n| lab.join(n, 0));
    lab.say(1, &mac(1));
    lab.run(Duration::from_secs(3));

    lab.restart(1, 2);
    lab.join(1, 0);
    lab.say(1, &mac(7));
    lab.run(Duration::from_secs(8));
    for n in [0, 2] {
        let heard: Vec<&Key> = lab.nodes[n].heard.keys().map(|(_, key)| key).collect();
        assert_eq!(heard, [&mac(7).key()], "node {n}");
        assert_eq!(lab.nodes[n].engine.up().count(), 2, "node {n}");
    }
}

#[test]
fn a_copy_of_a_node_stops_and_the_original_goes_on() {
    for original in [0, 1] {
        let mut lab = Lab::new(3);
        lab.join(1, 0);
        lab.say(original, &mac(9));
        lab.run(Duration::from_secs(15));
        lab.copy_identity(original, 2);
        lab.join(2, 0);
        lab.run(Duration::from_secs(20));

        let node = NodeId::new(original as u128 + 1);
        let addr = lab::addr(original);
        assert_eq!(lab.nodes[2].conflict, Some(Conflict::Id { node, addr }));
        assert_eq!(lab.nodes[original].conflict, None);
        let other = 1 - original;
        assert_eq!(lab.nodes[other].engine.up().count(), 1, "the other one sees the original again");
        assert!(lab.nodes[other].heard.contains_key(&(node, mac(9).key())));
    }
}

#[test]
fn a_second_node_of_one_name_stops_when_it_joins() {
    let mut lab = Lab::new(3);
    lab.join(1, 0);
    lab.run(Duration::from_secs(15));
    lab.rename(2, 1);
    lab.join(2, 0);
    lab.run(Duration::from_secs(5));
    let conflict = Conflict::Name { name: "node-1".to_owned(), addr: lab::addr(1) };
    assert_eq!(lab.nodes[2].conflict, Some(conflict));
    assert_eq!(lab.nodes[1].conflict, None);
}

#[test]
fn after_a_partition_one_of_two_with_one_name_stops() {
    let mut lab = Lab::new(4);
    lab.rename(3, 1);
    lab.join(1, 0);
    lab.join(3, 2);
    lab.run(Duration::from_secs(15));
    lab.join(2, 0);
    lab.run(Duration::from_secs(15));
    // Boot ids rise with the numbers of the nodes.
    assert_eq!(lab.nodes[1].conflict, None);
    let conflict = Conflict::Name { name: "node-1".to_owned(), addr: lab::addr(1) };
    assert_eq!(lab.nodes[3].conflict, Some(conflict));
}

#[test]
fn a_namesake_that_is_gone_is_no_conflict() {
    let mut lab = Lab::new(3);
    lab.join(1, 0);
    lab.run(Duration::from_secs(15));
    // Its host was made anew: another node id, the same name, another address.
    lab.stop(1);
    lab.rename(2, 1);
    lab.join(2, 0);
    lab.run(Duration::from_secs(15));
    assert_eq!(lab.nodes[2].conflict, None);
    assert_eq!(lab.nodes[0].engine.up().count(), 1);
}

#[test]
fn a_node_with_another_key_gets_no_answer_and_changes_nothing() {
    let mut lab = Lab::new(3);
    lab.join(1, 0);
    lab.run(Duration::from_secs(3));
    lab.rekey(2, 99);
    lab.join(2, 0);
    let before = lab.nodes[0].engine.replica().root();
    lab.run(Duration::from_secs(5));
    assert_eq!(lab.nodes[2].engine.up().count(), 0);
    assert_eq!(lab.nodes[2].received, 0);
    assert_eq!(lab.nodes[0].engine.up().count(), 1);
    assert_eq!(lab.nodes[0].engine.replica().root(), before);
    assert!(lab.nodes[0].dropped > 0);
}
