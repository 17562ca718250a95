//! What the map tells of peers and the ways to them.

use super::paths::{finds, good, ill};
use super::*;
use crate::control::protocol::{Map, MapLink, MapNode, NodeKind, PathState};
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
