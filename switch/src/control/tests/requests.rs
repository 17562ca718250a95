use encap::Format;

use super::*;
use crate::capture::record::Point;
use crate::control::protocol::{FdbState, FdbTarget, PeerAdd, PortAdd, PortState};
use crate::counters::{Direction, DropReason};
use crate::heads::{Head, Told};

fn port(name: &str, network: &str) -> PortAdd {
    PortAdd {
        name: name.into(),
        network: network.into(),
        ifname: None,
        netns: None,
        mac: None,
        addresses: vec![],
        gateway: None,
    }
}

fn peer(address: &str, network: &str) -> Request {
    Request::PeerAdd(PeerAdd {
        address: address.into(),
        networks: vec![network.into()],
        format: None,
        port: None,
    })
}

fn fdb_add(last: u16, network: &str, at: FdbTarget) -> Request {
    Request::FdbAdd { mac: mac(last), network: network.into(), at }
}

#[test]
fn a_port_is_added_by_network_name_or_vni_and_removed() {
    let mut lab = Lab::new(BASIC);
    lab.done(Request::PortAdd(port("a", "pods")));
    lab.done(Request::PortAdd(port("b", "200")));
    assert_eq!(lab.published(), 3);
    let b = lab.port("b");
    assert_eq!((b.network.as_str(), b.runtime, b.state), ("db", true, PortState::Up));
    assert!(!lab.port("web").runtime);
    assert!(!lab.done(Request::PortDel { name: "b".into() }).contains("file"));
    assert!(lab.done(Request::PortDel { name: "web".into() }).contains("file"));
    assert_eq!((lab.published(), lab.topology().ports.len(), lab.twin().open.len()), (5, 1, 1));
}

#[test]
fn a_port_that_waits_is_added_and_one_that_fails_is_not() {
    let mut lab = Lab::new(BASIC);
    lab.twin().broken.insert("bad".into());
    let error = lab.refused(Request::PortAdd(port("bad", "pods")));
    assert_eq!(error.code, ErrorCode::Failed);
    assert!(error.message.contains("bad is taken"), "{}", error.message);
    let waiting = PortAdd { netns: Some("/run/netns/none".parse().unwrap()), ..port("wait", "pods") };
    assert!(lab.done(Request::PortAdd(waiting)).contains("waits"));
    let Reply::Ports(ports) = lab.ask(Request::PortList) else { panic!() };
    assert_eq!(ports.entries.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["wait", "web"]);
    assert_eq!(lab.published(), 1);
}

#[test]
fn what_a_file_may_not_say_the_command_line_may_not_either() {
    let mut lab = Lab::new(BASIC);
    for (add, part) in [
        (port("web", "pods"), "exists"),
        (port("x", "nope"), "no network nope: there is pods, db"),
        (port("no/slash", "pods"), "no/slash"),
        (PortAdd { ifname: Some("web".into()), ..port("x", "pods") }, "web"),
        (PortAdd { gateway: Some([10, 0, 0, 1].into()), ..port("x", "pods") }, "gateway"),
        (PortAdd { mac: Some(MacAddr::BROADCAST), ..port("x", "pods") }, "mac"),
    ] {
        let error = lab.refused(Request::PortAdd(add));
        assert_eq!(error.code, ErrorCode::Usage, "{}", error.message);
        assert!(error.message.contains(part), "{part}: {}", error.message);
    }
    for (request, part) in [
        (peer("10.0.0.9", "pods"), "exists"),
        (peer("10.0.0.1", "pods"), "10.0.0.1"),
        (peer("what", "pods"), "what"),
        (peer("10.0.0.8", "nope"), "nope"),
        (peer("fd00::9", "pods"), "fd00::9"),
    ] {
        let error = lab.refused(request);
        assert_eq!(error.code, ErrorCode::Usage, "{}", error.message);
        assert!(error.message.contains(part), "{part}: {}", error.message);
    }
    assert_eq!(lab.published(), 1);
}

#[test]
fn a_peer_is_added_and_removed() {
    let mut lab = Lab::new(BASIC);
    lab.done(peer("10.0.0.8", "db"));
    assert_eq!((lab.published(), lab.peer("10.0.0.8").networks), (2, vec!["db".to_owned()]));
    assert!(lab.peer("10.0.0.8").runtime);
    lab.done(Request::PeerDel { address: "10.0.0.8".into() });
    assert_eq!(lab.topology().peers.len(), 1);
    assert!(lab.refused(Request::PeerDel { address: "10.0.0.8".into() }).message.contains("10.0.0.9"));
}

#[test]
fn static_entries_are_added_and_removed() {
    let mut lab = Lab::new(BASIC);
    lab.done(fdb_add(20, "pods", FdbTarget::Dst([10, 0, 0, 9].into())));
    lab.done(fdb_add(21, "100", FdbTarget::Port("web".into())));
    let places: Vec<_> = lab.fdb().into_iter().map(|e| (e.mac, e.state, e.port, e.dst)).collect();
    let web = Some("web".to_owned());
    assert_eq!(
        places,
        [
            (mac(1), FdbState::Static, web.clone(), None),
            (mac(20), FdbState::Static, None, Some([10, 0, 0, 9].into())),
            (mac(21), FdbState::Static, web, None),
        ]
    );
    lab.learn(100, mac(21), vtep("10.0.0.9:4789"));
    assert_eq!(lab.fdb()[2].port.as_deref(), Some("web"), "a static entry never moves");
    lab.done(Request::FdbDel { mac: mac(20), network: None });
    assert_eq!(lab.fdb().len(), 2);
    assert_eq!(lab.published(), 1, "entries are no topology");
}

#[test]
fn entries_that_fit_nowhere_are_refused() {
    let mut lab = Lab::new(BASIC);
    for (request, part) in [
        (fdb_add(20, "pods", FdbTarget::Port("nope".into())), "no port nope: there is web"),
        (fdb_add(20, "db", FdbTarget::Port("web".into())), "is on network pods"),
        (fdb_add(20, "pods", FdbTarget::Dst([10, 9, 9, 9].into())), "no peer 10.9.9.9"),
        (fdb_add(20, "db", FdbTarget::Dst([10, 0, 0, 9].into())), "not on network db"),
        (fdb_add(1, "pods", FdbTarget::Dst([10, 0, 0, 9].into())), "port web was given"),
        (Request::FdbDel { mac: mac(1), network: None }, "port web was given"),
        (Request::FdbDel { mac: mac(77), network: None }, "no entry"),
        (Request::FdbFlush { network: Some("nope".into()) }, "no network nope"),
    ] {
        let error = lab.refused(request);
        assert!(error.message.contains(part), "{part}: {}", error.message);
    }
    let group = Request::FdbAdd {
        mac: MacAddr::BROADCAST,
        network: "pods".into(),
        at: FdbTarget::Port("web".into()),
    };
    assert_eq!(lab.refused(group).code, ErrorCode::Failed);
}

#[test]
fn an_address_in_several_networks_must_be_named_with_one() {
    let mut lab = Lab::new(&BASIC.replace("networks = [\"pods\"]", ""));
    for network in ["pods", "db"] {
        lab.done(fdb_add(20, network, FdbTarget::Dst([10, 0, 0, 9].into())));
    }
    assert!(lab.refused(Request::FdbDel { mac: mac(20), network: None }).message.contains("--network"));
    lab.done(Request::FdbDel { mac: mac(20), network: Some("db".into()) });
    assert_eq!(lab.fdb().iter().filter(|e| e.mac == mac(20)).count(), 1);
}

#[test]
fn flush_forgets_what_was_learned_in_one_network_or_all() {
    let mut lab = Lab::new(&BASIC.replace("networks = [\"pods\"]", ""));
    for vni in [100, 200] {
        lab.learn(vni, mac(30), vtep("10.0.0.9:4789"));
    }
    assert!(lab.done(Request::FdbFlush { network: Some("db".into()) }).starts_with("1 "));
    assert_eq!(lab.fdb().len(), 2);
    assert!(lab.done(Request::FdbFlush { network: None }).starts_with("1 "));
    assert_eq!(lab.fdb().len(), 1, "static entries stay");
}

#[test]
fn fdb_show_filters_by_address_and_network() {
    let mut lab = Lab::new(BASIC);
    lab.learn(100, mac(30), vtep("10.0.0.9:4789"));
    let mut count = |mac, network: Option<&str>| {
        let request = Request::FdbShow { mac, network: network.map(Into::into) };
        let Reply::Fdb(fdb) = lab.ask(request) else { panic!() };
        fdb.entries.len()
    };
    assert_eq!((count(None, None), count(Some(mac(30)), None)), (2, 1));
    assert_eq!((count(None, Some("db")), count(None, Some("100"))), (0, 2));
}

#[test]
fn learned_entries_age_and_tell_their_age() {
    let mut lab = Lab::new(BASIC);
    lab.learn(100, mac(30), vtep("10.0.0.9:4789"));
    lab.tick();
    lab.tick();
    assert_eq!(lab.fdb().iter().find(|e| e.mac == mac(30)).unwrap().age_s, 2);
    lab.now += Duration::from_secs(300);
    lab.tick();
    assert_eq!(lab.fdb().len(), 1);
}

#[test]
fn the_ledger_is_the_sum_of_the_workers() {
    let mut lab = Lab::new(BASIC);
    lab.control.counters[0].ledger.received_from_ports.add(5);
    lab.control.counters[1].ledger.received_from_underlay.add(2);
    lab.control.counters[1].ledger.delivered_to_ports.add(4);
    lab.control.counters[0].count_drop(DropReason::Vlan, Direction::Outbound, (3, 300));
    let Reply::Drops(drops) = lab.ask(Request::Drops) else { panic!() };
    assert_eq!((drops.received, drops.delivered, drops.dropped()), (7, 4, 3));
    assert_eq!((drops.drops["vlan"].inbound, drops.drops["vlan"].outbound), (0, 3));
    assert_eq!(drops.drops.len(), DropReason::ALL.len());
    assert_eq!(drops.lost_before["udp_overflow"], 3);
}

#[test]
fn what_was_dropped_last_is_told_with_the_names_of_ports_and_peers() {
    let mut lab = Lab::new(BASIC);
    let (web, at) = ((Point::Port(lab.id("web")), None), lab.now);
    let underlay = |last| (Point::Peer([10, 0, 0, last].into()), Some(Format::Geneve));
    let head = |place, direction| Head::new(at, direction, place, (3, &[0xab; 200]));
    let heads = vec![
        head(web, Direction::Outbound),
        head(underlay(9), Direction::Inbound),
        head(underlay(77), Direction::Inbound),
    ];
    lab.twin().heads.insert(DropReason::Vlan, Told { heads, silent: 1 });
    lab.now += Duration::from_millis(2);
    let Reply::DropHeads(heads) = lab.ask(Request::DropHeads { reason: "vlan".into() }) else { panic!() };
    assert_eq!((&*heads.reason, heads.sentence.is_empty(), heads.silent_workers), ("vlan", false, 1));
    let places: Vec<_> = heads.entries.iter().map(|head| (&*head.at, &*head.direction)).collect();
    assert_eq!(
        places,
        [("port:web", "outbound"), ("peer:10.0.0.9", "inbound"), ("stranger:10.0.0.77", "inbound")]
    );
    let [frame, datagram, _] = &heads.entries[..] else { panic!() };
    assert_eq!((frame.age_us, frame.frames, frame.len, frame.datagram), (2000, 3, 200, None));
    assert_eq!(frame.octets, "ab".repeat(128));
    let of = datagram.datagram.unwrap();
    assert_eq!((of.format, of.peer, of.port), (Format::Geneve, [10, 0, 0, 9].into(), 6081));
    assert_eq!(of.own, Some([10, 0, 0, 1].into()));
}

#[test]
fn a_reason_that_does_not_exist_is_refused_with_one_that_does() {
    let mut lab = Lab::new(BASIC);
    let error = lab.refused(Request::DropHeads { reason: "vlna".into() });
    assert!(error.code == ErrorCode::Usage && error.message.contains("did you mean vlan?"), "{error:?}");
}

#[test]
fn an_entry_that_another_node_claims_is_removed_there() {
    let mut lab = Lab::new(BASIC);
    let at = SocketAddr::from(([10, 0, 0, 7], 4789)).into();
    let claim = fdb::Claim { origin: fdb::Origin::new(7), at, mob_seq: 0, is_static: true };
    lab.control.table.claim(Vni::new(100).unwrap(), mac(33), claim, lab.now);
    assert!(lab.refused(Request::FdbDel { mac: mac(33), network: None }).message.contains("another node"));
    let entry = lab.fdb().into_iter().find(|entry| entry.mac == mac(33)).unwrap();
    assert_eq!(entry.state, FdbState::Static);
}

#[test]
fn networks_and_status_count_what_there_is() {
    let mut lab = Lab::new(BASIC);
    let Reply::Networks(networks) = lab.ask(Request::NetworkList) else { panic!() };
    let pods = &networks.entries[0];
    assert_eq!((pods.mtu, pods.macs, pods.mac_age_s), (mtu(1450), 1, 300));
    assert_eq!(
        (pods.ports.as_slice(), pods.peers.as_slice()),
        (&["web".into()][..], &["10.0.0.9".into()][..])
    );
    lab.now += Duration::from_secs(90);
    let status = lab.status();
    assert_eq!((status.node.as_str(), status.uptime_s, status.workers), ("node-a", 90, 2));
    assert_eq!(
        (status.counts["ports_up"], status.counts["peers_up"], status.counts["macs_static"]),
        (1, 1, 1)
    );
    assert_eq!(status.offloads["udp_segment"], "128");
}
