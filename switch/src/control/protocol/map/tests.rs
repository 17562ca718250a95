use super::*;

fn node(id: &str) -> MapNode {
    MapNode {
        id: id.to_owned(),
        name: id.to_owned(),
        kind: NodeKind::Member,
        state: PeerState::Up,
        address: None,
        version: None,
        networks: Vec::new(),
        macs: 0,
    }
}

fn link(from: &str, to: &str, octets: u64) -> MapLink {
    MapLink {
        from: from.to_owned(),
        to: to.to_owned(),
        state: PathState::Up,
        via: None,
        format: Some(Format::Vxlan),
        rtt_us: Some(400),
        lost_there: Lost::default(),
        lost_back: Lost::default(),
        path_mtu: None,
        mtu: None,
        received: Amount { count: 1, octets },
        sent: Amount { count: 1, octets: 2 * octets },
        rate: None,
        degraded: Vec::new(),
    }
}

fn map(at_ms: u64, octets: u64) -> Map {
    let nodes = ["a", "b", "c"].map(node).into();
    Map { here: "a".into(), at_ms, nodes, links: vec![link("a", "b", octets), link("a", "c", 0)] }
}

#[test]
fn the_time_alone_is_no_change() {
    assert_eq!(map(1_000, 5).changes_to(&map(2_000, 5)), None);
}

#[test]
fn changes_have_what_is_other_new_or_gone_and_nothing_else() {
    let before = map(1_000, 5);
    let mut later = map(2_000, 5);
    later.nodes[1].state = PeerState::Suspect;
    later.nodes.push(node("d"));
    later.links[0].degraded.push("loss".into());
    later.links.push(link("a", "d", 0));
    let changes = before.changes_to(&later).unwrap();
    let nodes: Vec<_> = changes.nodes.iter().map(|node| &*node.id).collect();
    let links: Vec<_> = changes.links.iter().map(|link| &*link.to).collect();
    assert_eq!((nodes, links, changes.at_ms), (vec!["b", "d"], vec!["b", "d"], 2_000));
    assert_eq!((changes.gone_nodes.len(), changes.gone_links.len()), (0, 0));

    let back = later.changes_to(&before).unwrap();
    assert_eq!((back.gone_nodes, back.gone_links), (vec!["d".into()], vec![("a".into(), "d".into())]));
    assert_eq!((back.nodes.len(), back.links.len()), (1, 1));
}

#[test]
fn another_order_is_no_change() {
    let mut turned = map(1_000, 5);
    turned.nodes.reverse();
    turned.links.reverse();
    assert_eq!(map(1_000, 5).changes_to(&turned), None);
}

#[test]
fn a_rate_is_told_of_counters_that_went_on_a_moment_before() {
    let rate = |before: &Map, mut now: Map| {
        now.rate_since(before);
        now.links[0].rate
    };
    let before = map(1_000, 1_000);
    assert_eq!(rate(&before, map(3_000, 1_500)), Some(Rate { received: 2_000, sent: 4_000 }));
    assert_eq!(rate(&before, map(2_000, 1_000)), Some(Rate::default()));
    assert_eq!(rate(&before, map(2_000, 999)), None, "they began again");
    assert_eq!(rate(&before, map(1_000, 1_500)), None, "at the same time");
    assert_eq!(rate(&before, map(20_000, 1_500)), None, "long ago");
    assert_eq!(rate(&Map::default(), map(500, 1_500)), None, "a new link");
    assert_eq!(rate(&map(0, 0), map(1, u64::MAX / 2)).map(|rate| rate.sent), Some(u64::MAX));
}
