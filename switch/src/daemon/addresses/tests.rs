use super::*;

use Fitness::{Lasting, Passing, Tentative};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(link: u32, text: &str, fitness: Fitness) -> LinkAddress {
    LinkAddress { ip: ip(text), link, fitness }
}

/// An interface with these addresses.
fn interface(all: &[LinkAddress]) -> Seen {
    Seen { all: all.to_vec(), sources: None }
}

/// A host whose default routes begin with these addresses.
fn routed(all: &[LinkAddress], sources: &[&str]) -> Seen {
    Seen { all: all.to_vec(), sources: Some(sources.iter().map(|text| ip(text)).collect()) }
}

/// A node that started with what it saw.
fn started(seen: &Seen) -> Addresses {
    let mut addresses = Addresses::default();
    let chosen = addresses.choose_and_note(seen);
    addresses.settle(chosen);
    addresses
}

/// The node uses what it sees now.
fn follow(addresses: &mut Addresses, seen: &Seen) {
    let chosen = addresses.choose_and_note(seen);
    addresses.settle(chosen);
}

fn in_use(addresses: &Addresses) -> Vec<String> {
    addresses.in_use().iter().map(ToString::to_string).collect()
}

const A: &str = "10.0.0.1";
const B: &str = "10.1.0.1";
const V6: &str = "fd00::1";

#[test]
fn a_default_route_over_another_link_moves_nobody() {
    let both = [at(1, A, Lasting), at(2, B, Lasting)];
    let node = started(&routed(&both, &[A]));
    assert_eq!(in_use(&node), [A]);
    assert!(!node.differ(&routed(&both, &[B])));
    assert!(node.differ(&routed(&both[1..], &[B])), "the address is gone");
    assert!(!node.differ(&routed(&[], &[])), "it may come back");
}

#[test]
fn what_comes_to_the_interface_moves_nobody_however_it_is_listed() {
    let own = [at(1, A, Lasting), at(1, V6, Lasting)];
    let node = started(&interface(&own));
    assert_eq!(in_use(&node), [A, V6]);
    for fitness in [Lasting, Passing, Tentative] {
        let others = [at(1, "10.0.0.100", fitness), at(1, "fd00::100", fitness)];
        assert!(!node.differ(&interface(&[others, own].concat())), "{fitness:?}");
    }
    let v4_only = started(&interface(&own[..1]));
    assert!(!v4_only.differ(&interface(&own)), "the address of a service");
}

#[test]
fn a_new_address_is_one_that_lasts_and_those_in_use_stay() {
    let mut node = started(&interface(&[at(1, A, Lasting), at(1, V6, Lasting)]));
    let now = interface(&[
        at(1, "10.0.0.100", Lasting),
        at(1, A, Lasting),
        at(1, "fd00::aaaa", Passing),
        at(1, "fd00::bbbb", Tentative),
        at(1, "fd00::2", Lasting),
    ]);
    assert!(node.differ(&now));
    follow(&mut node, &now);
    assert_eq!(in_use(&node), [A, "fd00::2"]);
    assert!(!node.differ(&now));
}

#[test]
fn a_privacy_address_that_the_default_route_begins_with_is_not_used() {
    let all = [at(2, "fd01::1", Lasting), at(1, "fd00::aaaa", Passing), at(1, V6, Lasting)];
    assert_eq!(in_use(&started(&routed(&all, &["fd00::aaaa"]))), [V6]);
    assert_eq!(in_use(&started(&routed(&all[..2], &["fd00::aaaa"]))), ["fd00::aaaa"], "there is no other");
}

#[test]
fn an_address_that_is_not_ready_is_waited_for() {
    let node = started(&interface(&[at(1, A, Lasting), at(1, V6, Lasting)]));
    let soon = |fitness| interface(&[at(1, A, Lasting), at(1, "fd00::2", fitness)]);
    assert!(!node.differ(&soon(Tentative)));
    assert!(node.differ(&soon(Lasting)));
}

#[test]
fn a_family_that_was_not_ready_at_the_start_is_taken_up() {
    let node = started(&interface(&[at(1, A, Lasting), at(1, V6, Tentative)]));
    assert_eq!(in_use(&node), [A]);
    assert!(node.differ(&interface(&[at(1, A, Lasting), at(1, V6, Lasting)])));
}

#[test]
fn a_family_that_was_lost_is_taken_up_again() {
    let mut dual = started(&interface(&[at(1, A, Lasting), at(1, V6, Lasting)]));
    follow(&mut dual, &interface(&[at(1, V6, Lasting)]));
    assert_eq!(in_use(&dual), [V6]);
    assert!(dual.differ(&interface(&[at(1, V6, Lasting), at(1, A, Lasting)])));

    let mut routed_node = started(&routed(&[at(1, A, Lasting), at(1, V6, Lasting)], &[A, V6]));
    assert_eq!(in_use(&routed_node), [A]);
    follow(&mut routed_node, &routed(&[at(1, V6, Lasting)], &[V6]));
    assert_eq!(in_use(&routed_node), [V6]);
    let back = routed(&[at(1, A, Lasting), at(1, V6, Lasting)], &[A, V6]);
    assert!(routed_node.differ(&back));
    follow(&mut routed_node, &back);
    assert_eq!(in_use(&routed_node), [A]);
    assert!(!routed_node.differ(&back), "it stays with the one that it had first");
}

#[test]
fn only_what_lasts_a_second_is_followed() {
    let (start, mut node) = (crate::clock::now(), Addresses::default());
    let after = |ms| start + Duration::from_millis(ms);
    assert!(!node.lasts(true, after(0)));
    assert!(!node.lasts(false, after(900)));
    assert!(!node.lasts(true, after(1000)));
    assert!(!node.lasts(true, after(1999)));
    assert!(node.lasts(true, after(2000)));
}

#[test]
fn an_interface_without_an_address_to_use_says_why() {
    assert!(interface(&[]).nothing(Some("eth0")).contains("has no address"));
    assert!(interface(&[at(1, V6, Tentative)]).nothing(Some("eth0")).contains("yet"));
}
