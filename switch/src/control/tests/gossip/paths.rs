//! What control makes of paths: whose are watched, what workers are told, what people see.

use std::net::Ipv6Addr;

use encap::tunnel::IpVersion;
use fdb::gossip::seal::Keyring;

use super::*;
use crate::control::protocol::{PathEntry, PathState};
use crate::path::{self, Cause, Health as PathHealth, Path, Since, Sources, Via, Way};

fn watched(lab: &mut Lab) -> Vec<(NodeId, Mtu)> {
    let watching = lab.twin().watching.as_ref().expect("paths are watched");
    watching.1.iter().map(|watched| (watched.target.node, watched.target.site.link_mtu)).collect()
}

pub(super) fn good() -> Path {
    Path {
        mtu: mtu(1500),
        health: PathHealth::Up,
        via: None,
        way: Way { family: IpVersion::V4, format: Format::Vxlan },
        dead: Sources::default(),
    }
}

/// A path with one thing wrong since now.
pub(super) fn ill(lab: &Lab, cause: Cause) -> Path {
    Path { health: PathHealth::Degraded(vec![Since { cause, since: lab.now }]), ..good() }
}

pub(super) fn finds(lab: &mut Lab, last: u8, path: Path) {
    lab.control
        .handle_event(WorkerEvent::Path { node: id(last), boot: BootId::new(last.into()), path }, lab.now);
}

fn view(lab: &mut Lab, name: &str) -> Arc<crate::topology::PeerView> {
    let topology = lab.topology();
    let place = topology.peers.iter().position(|peer| &*peer.name == name).expect("a peer of that name");
    let peer = &topology.peers[place];
    Arc::new(crate::topology::PeerView {
        name: peer.name.clone(),
        activity: Arc::clone(&peer.activity),
        traffic: Arc::clone(&peer.traffic),
        networks: peer.networks.clone(),
        ..*peer
    })
}

fn path_of(lab: &mut Lab, name: &str) -> PathEntry {
    let Reply::Paths(paths) = lab.ask(Request::PathShow { peer: Some(name.to_owned()) }) else { panic!() };
    paths.entries.into_iter().next().unwrap()
}

#[test]
fn members_that_are_alive_are_watched_also_while_their_route_is_gone() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.join(&mut lab, 3);
    assert_eq!(watched(&mut lab), [(id(2), mtu(1500)), (id(3), mtu(1500))]);
    lab.twin().link = mtu(1400);
    lab.tick();
    assert_eq!(watched(&mut lab)[0], (id(2), mtu(1400)));
    lab.twin().unreachable.insert([10, 0, 0, 2].into());
    lab.tick();
    others.goes_down(&mut lab, 3);
    assert_eq!(watched(&mut lab), [(id(2), mtu(1400))]);
    assert_eq!(path_of(&mut lab, "node-2").path_mtu, None);
}

#[test]
fn how_paths_are_watched_follows_a_reload() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    let text = format!(
        "{BASIC}\n{GOSSIP}\n[path]\ndiscovery = \"off\"\nmin = 1300\nrelay = false\nraise = \"3s\"\n"
    );
    lab.reload(&text).unwrap();
    let (config, _) = lab.twin().watching.clone().unwrap();
    let raise_every = Duration::from_secs(3);
    let wanted = path::Config { probing: false, min: mtu(1300), relay: false, source_ports: 16, raise_every };
    assert_eq!(config, wanted);
    assert!(!lab.topology().encap.relay);
}

#[test]
fn workers_are_told_of_the_path_that_was_found_and_never_of_more_than_the_link() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    let before = lab.published();
    finds(&mut lab, 2, Path { mtu: mtu(1300), ..good() });
    assert_eq!((lab.published(), view(&mut lab, "node-2").path_mtu), (before + 1, mtu(1300)));
    finds(&mut lab, 2, Path { mtu: mtu(9000), ..good() });
    assert_eq!(view(&mut lab, "node-2").path_mtu, mtu(1500));

    // Of a run that has ended nothing holds.
    finds(&mut lab, 2, Path { mtu: mtu(1300), ..good() });
    let info = NodeInfo { boot: BootId::new(77), ..Others::info(2) };
    others.says(&mut lab, 2, Key::NodeInfo, Some(Record::NodeInfo(info)));
    assert_eq!(view(&mut lab, "node-2").path_mtu, mtu(1500));
    finds(&mut lab, 2, Path { mtu: mtu(1300), ..good() });
    assert_eq!(view(&mut lab, "node-2").path_mtu, mtu(1500), "told too late, of the run before");
}

#[test]
fn causes_alone_are_no_business_of_workers() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    finds(&mut lab, 2, good());
    let before = lab.published();
    let found = ill(&lab, Cause::Loss);
    finds(&mut lab, 2, found);
    assert_eq!((lab.published(), lab.status().state), (before, Health::Degraded));
}

#[test]
fn of_a_member_that_was_hidden_for_a_moment_the_watch_is_asked_again() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    finds(&mut lab, 2, Path { mtu: mtu(1300), ..good() });
    let before = lab.twin().watches;
    others.says(&mut lab, 2, Key::NodeInfo, None);
    others.says(&mut lab, 2, Key::NodeInfo, Some(Record::NodeInfo(Others::info(2))));
    assert!(lab.twin().watches > before);
}

#[test]
fn the_other_port_is_used_and_the_member_stays_where_it_is_in_the_fdb() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.claims(&mut lab, 2, mac(7), 0, false);
    let way = Way { format: Format::Geneve, ..good().way };
    let found = Path { way, ..ill(&lab, Cause::OtherFormat) };
    finds(&mut lab, 2, found);
    let peer = view(&mut lab, "node-2");
    let (vtep, to) = (peer.vtep.to_string(), peer.to.to_string());
    assert_eq!((vtep.as_str(), to.as_str(), peer.format), ("10.0.0.2:4789", "10.0.0.2:6081", Format::Geneve));
    assert!(lab.fdb().iter().any(|entry| entry.mac == mac(7) && entry.dst == Some([10, 0, 0, 2].into())));
    let entry = lab.peer("10.0.0.2");
    assert_eq!((entry.format, entry.port), (Format::Geneve, 6081));
    assert!(entry.degraded[0].cause.contains("UDP 4789 does not pass to it, 6081 does"), "{entry:?}");
}

/// Two nodes with an IPv4 and an IPv6 address each; the member's is returned.
fn both_families() -> (Lab, Others, IpAddr) {
    let (mut lab, mut others) = lab(BASIC);
    lab.control.addresses.push("fd00::1".parse().unwrap());
    others.join(&mut lab, 2);
    let v6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
    let info = NodeInfo { v6: Some(v6), ..Others::info(2) };
    others.says(&mut lab, 2, Key::NodeInfo, Some(Record::NodeInfo(info)));
    (lab, others, v6.into())
}

/// Where the member is watched, the address to use if it works first.
fn sites(lab: &mut Lab) -> Vec<IpAddr> {
    let (_, watched) = lab.twin().watching.clone().expect("paths are watched");
    let target = watched[0].target;
    [Some(target.site), target.spare].into_iter().flatten().map(|site| site.geneve.ip()).collect()
}

#[test]
fn a_member_is_watched_at_each_address_that_both_have_and_that_has_a_route() {
    let (mut lab, _, v6) = both_families();
    let v4 = IpAddr::from([10, 0, 0, 2]);
    assert_eq!(sites(&mut lab), [v4, v6]);
    lab.twin().unreachable.insert(v4);
    lab.tick();
    assert_eq!(sites(&mut lab), [v6]);
    let peer = view(&mut lab, "node-2");
    assert_eq!((peer.vtep.ip(), peer.to.ip(), peer.up), (v4, v6, true), "known as before");
    lab.twin().unreachable = [v6].into();
    lab.tick();
    assert_eq!(sites(&mut lab), [v4]);
}

#[test]
fn the_address_that_works_is_used_and_the_member_stays_where_it_is_in_the_fdb() {
    let (mut lab, others, v6) = both_families();
    others.claims(&mut lab, 2, mac(7), 0, false);
    let way = Way { family: IpVersion::V6, format: Format::Vxlan };
    let found = Path { way, ..ill(&lab, Cause::OtherFamily) };
    finds(&mut lab, 2, found);
    let peer = view(&mut lab, "node-2");
    assert_eq!((peer.vtep.to_string().as_str(), peer.to), ("10.0.0.2:4789", VtepAddr::new(v6, 4789)));
    assert_eq!(peer.geneve, Some(VtepAddr::new(v6, 6081)), "what others pass on goes there, too");
    assert!(lab.fdb().iter().any(|entry| entry.mac == mac(7) && entry.dst == Some([10, 0, 0, 2].into())));
    for name in ["node-2", "10.0.0.2", "fd00::2"] {
        let path = path_of(&mut lab, name);
        assert_eq!((path.address.as_str(), path.mtu), ("fd00::2", Some(mtu(1430))), "{name}");
    }
    let entry = lab.peer("fd00::2");
    assert_eq!((entry.mtu, entry.state), (Some(mtu(1430)), PeerState::Up));
    let cause = "it does not answer over IPv4, over IPv6 it does";
    assert!(entry.degraded[0].cause.contains(cause), "{entry:?}");
    assert!(troubles(&mut lab)[0].starts_with(&format!("node node-2: other_family: {cause}")));

    finds(&mut lab, 2, good());
    assert_eq!(view(&mut lab, "node-2").to.to_string(), "10.0.0.2:4789");
}

#[test]
fn icmp_errors_about_either_address_of_a_member_are_passed_on() {
    let (mut lab, _, v6) = both_families();
    let both = [IpAddr::from([10, 0, 0, 2]), v6].map(|ip| SocketAddr::new(ip, 4789));
    for to in both {
        lab.control.handle_event(WorkerEvent::TooBig { to, mtu: 1300, vni: None }, lab.now);
    }
    assert_eq!(lab.twin().too_big, both.map(|to| (to, 1300)));
}

#[test]
fn a_member_without_a_direct_way_is_reached_through_another_and_all_say_so() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.join(&mut lab, 3);
    let via = Some(Via { node: id(3), mtu: mtu(1450) });
    let found = Path { via, ..ill(&lab, Cause::Relayed) };
    finds(&mut lab, 2, found);
    let peer = view(&mut lab, "node-2");
    let via = peer.via.expect("a way through another");
    assert_eq!((via.to.to_string().as_str(), via.path_mtu), ("10.0.0.3:6081", mtu(1450)));
    assert!(troubles(&mut lab).iter().any(|t| {
        t.starts_with("node node-2: relayed: there is no direct way to it, so frames go through node-3")
    }));
    let path = path_of(&mut lab, "node-2");
    assert_eq!((path.via.as_deref(), path.state), (Some("node-3"), PathState::Degraded));
    // 20 + 8 + 8 + 40 + 14 octets around a pod's packet.
    assert_eq!((path.path_mtu, path.mtu), (Some(mtu(1450)), Some(mtu(1360))));
    assert_eq!(lab.peer("10.0.0.2").mtu, Some(mtu(1360)));

    finds(&mut lab, 2, good());
    assert!(view(&mut lab, "node-2").via.is_none() && lab.status().state == Health::Ok);
}

#[test]
fn a_member_that_gossip_calls_alive_and_probes_do_not_reach_is_down() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    let causes = vec![Since { cause: Cause::Unanswered, since: lab.now }];
    finds(&mut lab, 2, Path { health: PathHealth::Down(causes), ..good() });
    let entry = lab.peer("10.0.0.2");
    assert_eq!(entry.state, PeerState::Down);
    assert!(entry.degraded[0].cause.contains("though gossip says that it is alive"), "{entry:?}");
    assert_eq!(path_of(&mut lab, "node-2").state, PathState::Down);
}

#[test]
fn the_terms_of_a_path_add_up() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    for name in ["node-2", "10.0.0.9"] {
        let path = path_of(&mut lab, name);
        let terms: u16 = path.terms.iter().map(|term| term.octets).sum();
        assert_eq!(path.path_mtu.unwrap().get() - terms, path.mtu.unwrap().get(), "{path:?}");
    }
    let error = lab.refused(Request::PathShow { peer: Some("node-3".to_owned()) });
    assert!(error.message.contains("node-2"), "{}", error.message);
}

#[test]
fn what_icmp_says_of_a_member_is_only_passed_on() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    let to: SocketAddr = ([10, 0, 0, 2], 4789).into();
    for mtu in [100, 575, 1300] {
        lab.control.handle_event(WorkerEvent::TooBig { to, mtu, vni: None }, lab.now);
    }
    assert_eq!(lab.twin().too_big, [(to, 1300)], "absurd values are no hints");
    assert_eq!(view(&mut lab, "node-2").path_mtu, mtu(1500));
}

#[test]
fn what_icmp_says_of_a_static_peer_counts_for_ten_minutes_if_it_can_be_true() {
    let mut lab = Lab::new(BASIC);
    let peer = ([10, 0, 0, 9], 4789);
    let forged = [
        (peer, 500, Some(100)),
        (peer, 1500, Some(100)),
        (peer, 1300, Some(200)),
        (([10, 0, 0, 9], 4790), 1300, Some(100)),
        (([10, 0, 0, 8], 4789), 1300, Some(100)),
    ];
    let says = |lab: &mut Lab, (to, mtu, number): (([u8; 4], u16), u32, Option<u32>)| {
        let event = WorkerEvent::TooBig { to: to.into(), mtu, vni: number.map(vni) };
        lab.control.handle_event(event, lab.now);
    };
    forged.into_iter().for_each(|event| says(&mut lab, event));
    assert_eq!(lab.topology().peers[0].path_mtu, mtu(1500));
    says(&mut lab, (peer, 1300, Some(100)));
    assert_eq!(lab.topology().peers[0].path_mtu, mtu(1300));
    assert!(lab.peer("10.0.0.9").degraded[0].cause.contains("more than 1300 octets"));
    lab.tick();
    assert_eq!(lab.topology().peers[0].path_mtu, mtu(1300), "the link's is no reason to forget it");
    lab.now += Duration::from_secs(600);
    lab.tick();
    assert_eq!(lab.topology().peers[0].path_mtu, mtu(1500));
    assert_eq!(lab.status().state, Health::Ok);
}

#[test]
fn probes_are_sealed_with_the_keys_of_gossip() {
    let (mut lab, others) = lab(BASIC);
    let key = Secret::new([7; 32]);
    let mode = fdb::gossip::seal::Mode::Sealed(Keyring::new(key));
    let asked = others.answer(Ok(Answer::KeysChanged(mode.clone())));
    lab.done(Request::KeyUse { id: "00000001".to_owned() });
    asked.recv().unwrap();
    assert_eq!(lab.twin().path_keys, Some(mode));
}

#[test]
fn the_format_changes_without_anything_being_forgotten() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.claims(&mut lab, 2, mac(7), 0, false);
    lab.reload(&format!("{BASIC}\n{GOSSIP}\n[encap]\nformat = \"geneve\"\n")).unwrap();
    let peer = view(&mut lab, "node-2");
    assert_eq!((peer.format, peer.to.port(), peer.vtep.port()), (Format::Geneve, 6081, 4789));
    assert!(lab.fdb().iter().any(|entry| entry.mac == mac(7)));
}

/// The names of the causes of a path.
fn causes(degraded: &[protocol::Degraded]) -> Vec<String> {
    degraded.iter().map(|item| item.cause.split(':').next().unwrap().to_owned()).collect()
}

fn refuses(lab: &mut Lab, peer: Option<[u8; 4]>, refused: Option<i32>) {
    let peer = peer.map(|ip| VtepAddr::new(ip.into(), 4789));
    let refused = refused.map(std::io::Error::from_raw_os_error);
    lab.control.handle_event(WorkerEvent::Offload { name: "udp_segment", peer, refused }, lab.now);
}

#[test]
fn what_the_kernel_refuses_is_a_cause_of_each_path_and_one_line_of_the_status() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.join(&mut lab, 3);
    let found = ill(&lab, Cause::Loss);
    finds(&mut lab, 2, found);
    for last in [2, 3] {
        refuses(&mut lab, Some([10, 0, 0, last]), Some(libc::EIO));
    }
    let (one, other) = (path_of(&mut lab, "node-2"), path_of(&mut lab, "node-3"));
    assert_eq!(causes(&one.degraded), ["loss", "plain_fallback"]);
    assert_eq!(
        (causes(&other.degraded), other.state),
        (vec!["plain_fallback".to_owned()], PathState::Degraded)
    );
    assert_eq!(lab.peer("10.0.0.3").degraded, other.degraded, "all say the same");
    let said = troubles(&mut lab);
    assert_eq!(said.len(), 2, "{said:?}");
    let line = format!("node node-2, node node-3: {}", other.degraded[0].cause);
    assert!(said.contains(&line), "{said:?}");
    let Reply::Metrics(metrics) = lab.ask(Request::Metrics) else { panic!() };
    let counted = [("loss".to_owned(), 1), ("plain_fallback".to_owned(), 2)];
    assert_eq!(metrics.degraded, counted.into(), "one line, of two things");
    for last in [2, 3] {
        refuses(&mut lab, Some([10, 0, 0, last]), None);
    }
    assert_eq!(path_of(&mut lab, "node-3").state, PathState::Up);

    // What the kernel does for nobody.
    refuses(&mut lab, None, Some(libc::EOPNOTSUPP));
    for name in ["node-2", "node-3", "10.0.0.9"] {
        assert!(causes(&path_of(&mut lab, name).degraded).contains(&"plain_fallback".to_owned()), "{name}");
    }
    assert!(troubles(&mut lab).iter().any(|line| line.starts_with("underlay: plain_fallback: ")));
}

#[test]
fn gossip_without_keys_is_a_cause_of_each_path_to_a_member_and_one_line_of_the_status() {
    let (_, mut others) = lab(BASIC);
    let gossip = GossipSetup { link: others.link.clone(), node: id(1), boot: BootId::new(1) };
    let mut lab = Lab::gossiping(&format!("{BASIC}\n[gossip]\ninsecure = true\n"), gossip);
    others.join(&mut lab, 2);
    others.join(&mut lab, 3);
    lab.tick();
    let path = path_of(&mut lab, "node-2");
    assert_eq!(
        (causes(&path.degraded), path.state),
        (vec!["insecure_gossip".to_owned()], PathState::Degraded)
    );
    assert_eq!(lab.peer("10.0.0.3").degraded, path.degraded);
    assert_eq!(path_of(&mut lab, "10.0.0.9").state, PathState::Up, "a static peer has no keys at all");
    assert_eq!(troubles(&mut lab), [format!("gossip: {}", path.degraded[0].cause)]);
    assert_eq!(lab.status().state, Health::Degraded);
}

#[test]
fn workers_are_told_which_source_ports_do_not_lead_to_a_member() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.join(&mut lab, 3);
    let dead = Sources::default().with(3).with(4);
    let found = Path { dead, ..ill(&lab, Cause::DeadSourcePort) };
    finds(&mut lab, 3, found);
    let via = Some(Via { node: id(3), mtu: mtu(1450) });
    let found = Path { via, ..ill(&lab, Cause::Relayed) };
    finds(&mut lab, 2, found);
    assert_eq!(view(&mut lab, "node-3").dead, dead);
    assert_eq!(view(&mut lab, "node-2").via.unwrap().dead, dead, "the way to the relay counts");
    assert!(view(&mut lab, "node-2").dead.is_empty());
    let said = &path_of(&mut lab, "node-3").degraded[0].cause;
    assert!(said.starts_with("dead_source_port: 2 of 16 source ports do not lead to it"), "{said}");
}
