//! Addresses that other nodes claim or share, and what happened to them.

use super::*;

#[test]
fn a_claimed_entry_names_the_node_that_claims_it() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.claims(&mut lab, 2, mac(5), 4, false);
    others.claims(&mut lab, 2, mac(6), 0, true);
    let entry = |lab: &mut Lab, of| lab.fdb().into_iter().find(|e| e.mac == of).unwrap();
    let claimed = entry(&mut lab, mac(5));
    assert_eq!((claimed.owner.as_str(), claimed.state, claimed.mob_seq), ("node-2", FdbState::Remote, 4));
    assert_eq!((claimed.node, claimed.dst), (Some(id(2).to_string()), Some([10, 0, 0, 2].into())));
    assert_eq!(entry(&mut lab, mac(6)).state, FdbState::Static);
    let own = entry(&mut lab, mac(1));
    assert_eq!((own.owner.as_str(), own.node), ("node-a", None));
}

#[test]
fn the_history_of_an_address_tells_its_moves_with_places_and_ages() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.claims(&mut lab, 2, mac(5), 0, false);
    lab.tick();
    let web = Location::Local(lab.id("web"));
    lab.learn(100, mac(5), web);
    others.claims(&mut lab, 2, mac(5), 2, false);
    others.says(&mut lab, 2, Key::Mac(vni(100), mac(5)), None);
    let told: Vec<_> =
        history(&mut lab, mac(5)).into_iter().map(|e| (e.age_s, e.event, e.from, e.to, e.mob_seq)).collect();
    let (web, there) = (Some("port web".to_owned()), Some("node node-2".to_owned()));
    assert_eq!(
        told,
        [
            (1, FdbEvent::Claimed, None, there.clone(), Some(0)),
            (0, FdbEvent::Moved, there.clone(), web.clone(), Some(1)),
            (0, FdbEvent::Moved, web, there.clone(), Some(2)),
            (0, FdbEvent::Withdrawn, there, None, None),
        ]
    );
}

#[test]
fn the_end_of_a_node_is_in_the_history_of_its_addresses() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.claims(&mut lab, 2, mac(5), 0, false);
    others.goes_down(&mut lab, 2);
    let last = history(&mut lab, mac(5)).pop().unwrap();
    assert_eq!((last.event, last.from.as_deref()), (FdbEvent::Withdrawn, Some("node node-2")));
}

#[test]
fn the_history_tells_why_an_address_is_gone_without_gossip_too() {
    let mut lab = Lab::new(BASIC);
    let peer = vtep("10.0.0.9:4789");
    lab.learn(100, mac(30), peer);
    lab.now += Duration::from_secs(301);
    lab.tick();
    assert_eq!(events(&mut lab, mac(30)), [FdbEvent::Learned, FdbEvent::Aged]);
    lab.learn(100, mac(31), peer);
    lab.done(Request::FdbDel { mac: mac(31), network: None });
    assert_eq!(events(&mut lab, mac(31)), [FdbEvent::Learned, FdbEvent::Deleted]);
    lab.done(Request::PortDel { name: "web".into() });
    assert_eq!(events(&mut lab, mac(1)), [FdbEvent::Configured, FdbEvent::Deleted]);
    lab.done(Request::FdbAdd {
        mac: mac(40),
        network: "pods".into(),
        at: FdbTarget::Dst([10, 0, 0, 9].into()),
    });
    assert_eq!(history(&mut lab, mac(40))[0].to.as_deref(), Some("peer 10.0.0.9"));
    assert!(
        lab.refused(Request::FdbHistory { mac: mac(1), network: Some("x".into()) }).message.contains("pods")
    );
}

#[test]
fn an_address_that_made_way_for_another_was_evicted() {
    let limits = Limits { static_peer: 1, ..Limits::default() };
    let mut lab = Lab::limited(BASIC, Twin::default(), limits);
    lab.learn(100, mac(30), vtep("10.0.0.9:4789"));
    lab.learn(100, mac(31), vtep("10.0.0.9:4789"));
    assert_eq!(events(&mut lab, mac(30)), [FdbEvent::Learned, FdbEvent::Evicted]);
    assert_eq!(events(&mut lab, mac(31)), [FdbEvent::Learned]);
}

#[test]
fn freezing_and_thawing_are_in_the_history() {
    let mut lab = Lab::new(BASIC);
    let places = [Location::Local(lab.id("web")), vtep("10.0.0.9:4789")];
    let flap = |lab: &mut Lab| (0..8).for_each(|turn| lab.learn(100, mac(9), places[turn % 2]));
    flap(&mut lab);
    assert_eq!(events(&mut lab, mac(9))[5..], [FdbEvent::Moved, FdbEvent::Frozen]);
    lab.done(Request::FdbThaw { mac: mac(9), network: None });
    assert_eq!(events(&mut lab, mac(9)).last(), Some(&FdbEvent::Thawed));
    flap(&mut lab);
    assert_eq!(events(&mut lab, mac(9)).last(), Some(&FdbEvent::Frozen));
    lab.now += Duration::from_secs(181);
    lab.control.handle_timeout(lab.now);
    assert_eq!(events(&mut lab, mac(9)).last(), Some(&FdbEvent::Thawed));
}

#[test]
fn a_static_vtep_that_a_node_shares_is_heard_and_flooded_to_and_gets_unknown_unicast() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    let at = VtepAddr::from(SocketAddr::from(([10, 0, 0, 77], 4789)));
    let shared = VtepRecord { at, format: Format::Geneve, vnis: vec![vni(100)] };
    others.says(&mut lab, 2, Key::Vtep(at), Some(Record::Vtep(shared)));

    let topology = lab.topology();
    let index = topology.by_vtep[&at];
    let view = topology.peer(index);
    assert_eq!((view.format, view.learn, view.networks.len()), (Format::Geneve, false, 1));
    assert!(topology.networks[0].flood.contains(&index) && topology.networks[0].strangers.contains(&index));

    others.says(&mut lab, 2, Key::Vtep(at), None);
    assert!(!lab.topology().by_vtep.contains_key(&at));
}

#[test]
fn strays_are_handed_over_for_3_seconds_after_an_address_moved_away() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    let port = lab.id("web");
    lab.learn(100, mac(7), Location::Local(port));
    others.claims(&mut lab, 2, mac(7), 1, false);
    let moved = lab.topology().moved[&(vni(100), mac(7))];
    assert_eq!(moved.to, VtepAddr::from(SocketAddr::from(([10, 0, 0, 2], 6081))));
    (0..4).for_each(|_| lab.tick());
    lab.reload(&format!("{}\n{GOSSIP}", BASIC.replace("10.0.0.9", "10.0.0.8"))).unwrap();
    assert!(lab.topology().moved.is_empty());
}

#[test]
fn the_address_of_a_ports_own_device_is_told_before_its_pod_speaks_and_kept_while_it_is_silent() {
    let (mut lab, mut others) = lab(&BASIC.replace("mac = \"02:00:00:00:00:01\"\n", ""));
    let device = mac(0xffff);
    let at = Location::Local(lab.id("web"));
    let entry = |lab: &Lab| lab.control.table.entry(vni(100), device).unwrap();
    assert_eq!((entry(&lab).location, entry(&lab).mob_seq), (at, 0));
    (0..400).for_each(|_| lab.tick());
    assert_eq!(entry(&lab).location, at);

    // Where it lives elsewhere by now, it stays there.
    others.join(&mut lab, 2);
    others.claims(&mut lab, 2, device, 1, false);
    (0..3).for_each(|_| lab.tick());
    assert!(entry(&lab).origin.is_some());
}

#[test]
fn a_member_is_known_by_both_its_addresses_and_is_passed_frames_by_geneve() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    let v6 = std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
    let info = NodeInfo { v6: Some(v6), geneve_port: 7000, ..Others::info(2) };
    others.says(&mut lab, 2, Key::NodeInfo, Some(Record::NodeInfo(info)));
    let topology = lab.topology();
    let index = topology.member_at([10, 0, 0, 2].into()).unwrap();
    assert_eq!(topology.member_at(v6.into()), Some(index));
    assert_eq!(topology.peer_from(v6.into()), Some(index));
    assert_eq!(topology.peer(index).geneve, Some(VtepAddr::new([10, 0, 0, 2].into(), 7000)));
    assert_eq!(topology.member_at([10, 0, 0, 9].into()), None, "a static peer");
}

#[test]
fn a_node_names_itself_as_others_see_it_and_knows_its_own_address_too() {
    let nat = BASIC.replace("[underlay]", "[underlay]\nadvertise = \"203.0.113.7\"");
    let (mut lab, _) = lab(&nat);
    let topology = lab.topology();
    let encap = &topology.encap;
    let seen = VtepAddr::new([203, 0, 113, 7].into(), 4789);
    assert_eq!(encap.seen_from([10, 0, 0, 2].into()), Some(seen));
    assert_eq!(encap.seen_from(std::net::Ipv6Addr::LOCALHOST.into()), None);
    let own = [[203, 0, 113, 7], [10, 0, 0, 1], [10, 0, 0, 2]].map(|ip| encap.is_own(ip.into()));
    assert_eq!(own, [true, true, false]);
    assert!(encap.relay && encap.clamp_mss);
}
