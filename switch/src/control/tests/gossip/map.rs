//! What the map tells of peers and the ways to them.

use super::paths::{finds, good, ill};
use super::*;
use crate::control::protocol::{Fdb, Map, MapLink, MapNode, NodeKind, PathEntry, PathState};
use crate::path::{Cause, Health as PathHealth, Path, Via};

fn map(lab: &mut Lab) -> Map {
    let Reply::Map(map) = lab.ask(Request::Map) else { panic!() };
    map
}

fn node(map: &Map, name: &str) -> MapNode {
    map.nodes.iter().find(|node| node.name == name).unwrap().clone()
}

fn link(map: &Map, name: &str) -> MapLink {
    let to = node(map, name).id;
    map.links.iter().find(|link| link.to == to).unwrap().clone()
}

#[test]
fn the_map_is_a_star_around_this_node_without_those_that_left() {
    let (mut lab, mut others) = lab(BASIC);
    (2..=4).for_each(|last| others.join(&mut lab, last));
    others.happens(&mut lab, MemberEvent::Left(member(4)));
    others.claims(&mut lab, 2, mac(20), 0, false);
    let map = map(&mut lab);
    let names: Vec<_> = map.nodes.iter().map(|node| (&*node.name, node.kind, node.macs)).collect();
    let (member, fixed) = (NodeKind::Member, NodeKind::Static);
    let expected =
        [("node-a", NodeKind::Here, 1), ("10.0.0.9", fixed, 0), ("node-2", member, 1), ("node-3", member, 0)];
    assert_eq!(names, expected);
    assert_eq!(map.here, id(1).to_string());
    assert!(map.links.iter().all(|link| link.from == map.here && link.state == PathState::Up));
    assert_eq!(map.links.len(), 3);
    let (node, link) = (node(&map, "node-2"), link(&map, "node-2"));
    assert_eq!((node.address.as_deref(), node.version.as_deref()), (Some("10.0.0.2"), Some("0.1.0")));
    assert_eq!((node.networks, link.rtt_us), (vec!["pods".to_owned()], Some(400)));
    assert_eq!((link.path_mtu, link.mtu), (Some(mtu(1500)), Some(mtu(1450))));
}

#[test]
fn what_is_wrong_with_a_path_and_who_relays_is_told_with_ids() {
    let (mut lab, mut others) = lab(BASIC);
    (2..=3).for_each(|last| others.join(&mut lab, last));
    let found = ill(&lab, Cause::SmallMtu);
    finds(&mut lab, 2, Path { mtu: mtu(1280), ..found });
    let relayed = ill(&lab, Cause::Relayed);
    finds(&mut lab, 3, Path { via: Some(Via { node: id(2), mtu: mtu(1280) }), ..relayed });
    let now = map(&mut lab);
    let small = link(&now, "node-2");
    assert_eq!(
        (small.state, small.degraded, small.path_mtu),
        (PathState::Degraded, vec!["small_mtu".to_owned()], Some(mtu(1280)))
    );
    let relayed = link(&now, "node-3");
    assert_eq!((relayed.state, relayed.via), (PathState::Degraded, Some(id(2).to_string())));

    finds(&mut lab, 2, good());
    finds(&mut lab, 3, Path { health: PathHealth::Down(vec![]), ..good() });
    let now = map(&mut lab);
    assert_eq!((link(&now, "node-2").state, link(&now, "node-2").via), (PathState::Up, None));
    assert_eq!((link(&now, "node-3").state, node(&now, "node-3").state), (PathState::Down, PeerState::Down));
}

#[test]
fn who_is_down_stays_on_the_map_with_a_link_that_is_down() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.goes_down(&mut lab, 2);
    lab.twin().unreachable.insert([10, 0, 0, 9].into());
    lab.tick();
    let map = map(&mut lab);
    for name in ["node-2", "10.0.0.9"] {
        assert_eq!(
            (node(&map, name).state, link(&map, name).state),
            (PeerState::Down, PathState::Down),
            "{name}"
        );
    }
}

#[test]
fn a_node_without_gossip_has_a_map_too() {
    let mut lab = Lab::new(BASIC);
    lab.learn(100, mac(30), vtep("10.0.0.9:4789"));
    let map = map(&mut lab);
    assert_eq!((map.here.as_str(), map.nodes.len(), map.links.len()), ("here", 2, 1));
    assert_eq!(node(&map, "10.0.0.9").macs, 1);
}

/// Who lives at a node: the last octets of the MAC addresses, and how many there are besides.
fn lives_at(lab: &mut Lab, node: &str, limit: u32) -> (Vec<u8>, u64) {
    let Reply::Fdb(Fdb { entries, more }) = lab.ask(Request::FdbAt { node: node.to_owned(), limit }) else {
        panic!()
    };
    (entries.iter().map(|entry| entry.mac.octets()[5]).collect(), more)
}

#[test]
fn who_lives_at_a_node_is_told_up_to_a_limit_and_the_rest_counted() {
    let (mut lab, mut others) = lab(BASIC);
    (2..=3).for_each(|last| others.join(&mut lab, last));
    for (last, number) in [(2, 24), (2, 21), (2, 23), (2, 22), (3, 31)] {
        others.claims(&mut lab, last, mac(number), 0, false);
    }
    lab.learn(100, mac(90), vtep("10.0.0.9:4789"));
    let own = lives_at(&mut lab, "node-a", 9);
    assert_eq!((own.0.len(), own.1), (1, 0), "what lives on its ports, not what it learned");
    assert_eq!(lives_at(&mut lab, &id(1).to_string(), 9), own);
    for node in [id(2).to_string(), "node-2".to_owned(), "10.0.0.2".to_owned()] {
        assert_eq!(lives_at(&mut lab, &node, 9), (vec![21, 22, 23, 24], 0), "{node}");
    }
    assert_eq!(lives_at(&mut lab, "node-2", 2), (vec![21, 22], 2), "the first by network and address");
    assert_eq!(lives_at(&mut lab, "10.0.0.9", 9), (vec![90], 0));
    for nobody in ["nobody", "10.0.0.0/8", ""] {
        assert_eq!(lives_at(&mut lab, nobody, 9), (vec![], 0), "{nobody}");
    }
    lab.learn(100, mac(91), vtep("10.0.0.9:4789"));
    assert_eq!(lives_at(&mut lab, "10.0.0.9", 0), (vec![], 2));
}

#[test]
fn two_nodes_of_one_name_are_told_apart_by_their_ids() {
    let (mut lab, mut others) = lab(BASIC);
    (2..=3).for_each(|last| others.join(&mut lab, last));
    let again = NodeInfo { name: "node-2".into(), ..Others::info(3) };
    others.says(&mut lab, 3, Key::NodeInfo, Some(Record::NodeInfo(again)));
    others.claims(&mut lab, 2, mac(20), 0, false);
    others.claims(&mut lab, 3, mac(30), 0, false);
    let mut paths = |peer: String| -> Vec<PathEntry> {
        let Reply::Paths(paths) = lab.ask(Request::PathShow { peer: Some(peer) }) else { panic!() };
        paths.entries
    };
    assert_eq!(paths("node-2".to_owned()).len(), 2);
    for last in [2, 3] {
        let [path] = &paths(id(last).to_string())[..] else { panic!() };
        assert_eq!(
            (path.name.as_str(), path.address.as_str()),
            ("node-2", format!("10.0.0.{last}").as_str())
        );
    }
    assert_eq!(lives_at(&mut lab, &id(2).to_string(), 9), (vec![20], 0));
    assert_eq!(lives_at(&mut lab, &id(3).to_string(), 9), (vec![30], 0));
}
