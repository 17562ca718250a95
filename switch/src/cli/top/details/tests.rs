use super::*;
use crate::cli::top::model::tests::{answers, peer, seen};
use crate::control::protocol::{ErrorReply, Fdb, FdbState};

fn text(said: &[Said]) -> String {
    said.iter().map(|(line, _)| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn below_the_list_stands_what_is_wrong_or_else_where_it_is() {
    let model = seen();
    let of_c = text(&about(&model, View::Peers, "node-c"));
    assert!(of_c.starts_with("small_mtu: ") && of_c.ends_with("on all nodes (for 3m12s)\n"), "{of_c}");
    assert_eq!(text(&about(&model, View::Peers, "node-b")), "10.0.0.2, vxlan/4789, networks pods\n");
    assert!(text(&about(&model, View::Networks, "pods")).contains("peers node-b,node-c,node-d"));
    assert!(text(&about(&model, View::Drops, "no_destination")).contains("Nobody else"));
    let cause = text(&about(&model, View::Causes, "peer node-c small_mtu"));
    assert!(cause.starts_with("peer node-c: small_mtu: IP packets"), "{cause}");
    for view in View::ALL {
        assert_eq!(about(&model, view, "nobody"), [], "{view:?}");
    }
}

#[test]
fn details_fit_the_width_whatever_it_is() {
    let model = seen();
    for width in [0, 1, 11, 12, 13, 40, 79, 199] {
        for (view, id) in [
            (View::Peers, "node-c"),
            (View::Networks, "pods"),
            (View::Ports, "web"),
            (View::Drops, "port_security"),
            (View::Causes, "peer node-c small_mtu"),
            (View::Peers, "nobody"),
        ] {
            let lines = details(&model, view, id, width);
            assert!(!lines.is_empty());
            // Labels alone may be wider than nothing.
            let most = width.max(LABEL + 1);
            let widest = lines.iter().map(|(line, _)| line.trim_end().chars().count()).max().unwrap_or(0);
            assert!(widest <= most, "{view:?} at {width}: {widest}\n{}", text(&lines));
        }
    }
}

#[test]
fn a_peer_is_asked_for_by_its_id_and_a_whole_network_not_at_all() {
    let mut twins = answers(0);
    twins.peers.entries = vec![peer("node-b", 8), peer("node-b", 9), peer("10.0.0.0/24", 1)];
    twins.peers.entries[2] = PeerEntry {
        kind: PeerKind::Static,
        address: "10.0.0.0/24".to_owned(),
        node: None,
        ..twins.peers.entries[2].clone()
    };
    let mut model = Model::default();
    model.take(twins);
    for (id, row) in model.peers.iter().filter(|(_, row)| row.entry.kind == PeerKind::Member) {
        let by_id = Request::PathShow { peer: row.entry.node.clone() };
        assert_eq!(question(&model, View::Peers, id), Some(by_id));
    }
    assert_eq!(question(&model, View::Peers, "10.0.0.0/24"), None);
    let said = text(&details(&model, View::Peers, "10.0.0.0/24", 79));
    assert!(said.contains("none is ever sent there"), "{said}");
}

#[test]
fn a_peer_has_its_path_its_causes_and_graphs() {
    let model = seen();
    let said = text(&details(&model, View::Peers, "node-c", 79));
    for line in [
        "state       degraded for 3m12s; member, weft 0.1.0",
        "MTU         1230 for pods, 1280 on the underlay",
        "round trip  212us of probes, 312us of gossip",
        "lost        there 1.0 %, back 0.0 %",
        "from it     8.00 Mbit/s, 1.00 kpps; at most 8.00 Mbit/s",
        "            so far 11.0 MB in 11.0 k frames",
    ] {
        assert!(said.lines().any(|found| found == line), "no `{line}` in:\n{said}");
    }
    assert!(said.contains("What is wrong\nsmall_mtu: IP packets"), "{said}");
    let of_b = text(&details(&model, View::Peers, "node-b", 79));
    assert!(of_b.contains('█') && of_b.contains("at most 1.68 Gbit/s"), "{of_b}");
}

#[test]
fn what_is_asked_besides_depends_on_the_row() {
    let mut model = seen();
    let path = Request::PathShow { peer: Some("02".repeat(16)) };
    assert_eq!(question(&model, View::Peers, "node-b"), Some(path));
    let macs = Request::FdbShow { mac: None, network: Some("pods".to_owned()) };
    assert_eq!(question(&model, View::Ports, "web"), Some(macs));
    assert_eq!(question(&model, View::Drops, "vlan"), None);
    let mut many = answers(12);
    many.networks.entries[0].macs = MAX_ROWS as u64 + 1;
    model.take(many);
    assert_eq!(question(&model, View::Ports, "web"), None, "a long answer each time");
    let said = text(&details(&model, View::Ports, "web", 79));
    assert!(said.contains("`weft fdb show --network pods` lists them"), "{said}");
}

#[test]
fn a_port_lists_its_own_addresses_and_a_refusal_is_said() {
    let mut model = seen();
    let entry = |last: u8, port: Option<&str>| FdbEntry {
        mac: encap::MacAddr::new([2, 0, 0, 0, 0, last]),
        vni: encap::Vni::new(100).unwrap(),
        network: "pods".to_owned(),
        state: FdbState::Local,
        port: port.map(str::to_owned),
        dst: None,
        owner: "node-a".to_owned(),
        node: None,
        seq: 1,
        mob_seq: 0,
        age_s: 5,
        frozen_s: None,
    };
    let entries = vec![entry(1, Some("web")), entry(2, Some("db")), entry(3, None)];
    model.more = Some(Reply::Fdb(Fdb { entries, more: 0 }));
    let said = text(&details(&model, View::Ports, "web", 79));
    assert!(said.contains("02:00:00:00:00:01 5s") && !said.contains("00:02"), "{said}");
    assert!(said.contains("offloads    csum, tso4"), "{said}");
    model.more = Some(Reply::Error(ErrorReply::usage("no peer node-c")));
    assert!(text(&details(&model, View::Peers, "node-c", 79)).ends_with("no peer node-c\n"));
}

#[test]
fn the_help_names_every_key_within_80_columns() {
    let said = text(&help(79));
    for key in ["q,", "Tab,", "1-5", "Up,", "Down,", "Enter", "/ ", "s, >", "r ", "p ", "Space", "Ctrl-Z"] {
        assert!(said.contains(key), "{key} in:\n{said}");
    }
    assert!(said.lines().all(|line| line.chars().count() <= 79), "{said}");
}
