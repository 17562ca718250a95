//! What is measured of ports, networks and reloads.

use encap::Format;

use super::*;
use crate::control::protocol::{Metrics, PeerAdd, PeerMetrics, PortMetrics};
use crate::counters::{Direction, DropReason, PortTraffic};

fn metrics(lab: &mut Lab) -> Metrics {
    let Reply::Metrics(metrics) = lab.ask(Request::Metrics) else { panic!() };
    *metrics
}

fn web(lab: &mut Lab) -> PortMetrics {
    metrics(lab).ports.into_iter().find(|port| port.name == "web").unwrap()
}

fn traffic(frames: u64) -> PortTraffic {
    PortTraffic {
        received: frames,
        received_octets: 100 * frames,
        sent: 2 * frames,
        sent_octets: 200 * frames,
    }
}

#[test]
fn a_port_counts_on_with_a_new_device_and_on_another_address_of_the_host() {
    let mut lab = Lab::new(BASIC);
    let id = lab.id("web");
    lab.twin().traffic.insert(id, traffic(5));
    assert_eq!((web(&mut lab).received.count, web(&mut lab).sent.octets), (5, 1000));

    lab.reload(&BASIC.replace("mac = \"02:00:00:00:00:01\"", "mac = \"02:00:00:00:00:02\"")).unwrap();
    assert_eq!(web(&mut lab).received.count, 5, "of the device before");
    let id = lab.id("web");
    lab.twin().traffic.insert(id, traffic(3));
    assert_eq!((web(&mut lab).received.count, web(&mut lab).received.octets), (8, 800));

    let mut lab = lab.moved("10.0.0.77");
    assert_eq!(web(&mut lab).received.count, 8);
}

fn of_peer(lab: &mut Lab) -> PeerMetrics {
    metrics(lab).peers.into_iter().find(|peer| peer.name == "10.0.0.9").unwrap()
}

/// The first worker moves so many frames both ways.
fn moves(lab: &mut Lab, format: Format, frames: u64) {
    let topology = lab.topology();
    let peer = topology.peers.iter().find(|peer| &*peer.name == "10.0.0.9").unwrap();
    peer.traffic.count_received(0, format, frames, 100 * frames);
    peer.traffic.count_sent(1, format, 2 * frames, 200 * frames);
}

#[test]
fn a_peer_counts_on_in_another_format_by_another_way_and_on_another_address_of_the_host() {
    let mut lab = Lab::new(BASIC);
    moves(&mut lab, Format::Vxlan, 5);
    lab.reload(&format!("{BASIC}format = \"geneve\"\n")).unwrap();
    moves(&mut lab, Format::Geneve, 3);
    let counted = of_peer(&mut lab);
    assert_eq!((counted.received.count, counted.sent.octets), (8, 1600));
    assert_eq!((counted.geneve_received.octets, counted.geneve_sent.count), (300, 6));
    let entry = lab.peer("10.0.0.9");
    assert_eq!((entry.received, entry.sent), (counted.received, counted.sent));

    lab.twin().unreachable.insert([10, 0, 0, 9].into());
    lab.tick();
    moves(&mut lab, Format::Geneve, 1);
    let mut lab = lab.moved("10.0.0.77");
    assert_eq!(of_peer(&mut lab).received.count, 9);
}

#[test]
fn peers_that_are_gone_are_remembered_while_they_are_few() {
    let mut lab = Lab::new(BASIC);
    for last in 0..=255 {
        let address = format!("10.9.0.{last}");
        let networks = vec!["pods".to_owned()];
        let add = PeerAdd { address: address.clone(), networks, format: None, port: None };
        lab.done(Request::PeerAdd(add));
        lab.done(Request::PeerDel { address });
        assert!(lab.control.peer_traffic.len() <= 70);
    }
}

#[test]
fn ports_that_are_gone_for_good_are_not_remembered() {
    let mut lab = Lab::new(BASIC);
    lab.done(Request::PortDel { name: "web".into() });
    assert_eq!(metrics(&mut lab).ports, []);
    let add = r#"{"request":"port_add","name":"other","network":"pods"}"#;
    lab.done(serde_json::from_str(add).unwrap());
    lab.done(Request::PortDel { name: "other".into() });
    assert_eq!(lab.control.traffic.keys().collect::<Vec<_>>(), ["other"]);
}

#[test]
fn entries_are_counted_by_network_and_by_where_they_were_learned() {
    let mut lab = Lab::new(BASIC);
    let id = lab.id("web");
    lab.learn(100, mac(20), Location::Local(id));
    lab.learn(100, mac(30), vtep("10.0.0.9:4789"));
    let networks = metrics(&mut lab).networks;
    let pods = networks.iter().find(|network| network.name == "pods").unwrap();
    assert_eq!((pods.local, pods.remote, pods.fixed, pods.frozen), (1, 1, 1, 0));
    let db = networks.iter().find(|network| network.name == "db").unwrap();
    assert_eq!((db.local, db.remote, db.fixed), (0, 0, 0));
}

#[test]
fn the_ledger_has_every_reason_from_the_start() {
    let mut lab = Lab::new(BASIC);
    let (drops, octets) = (metrics(&mut lab).ledger.drops, metrics(&mut lab).dropped_octets);
    for reason in DropReason::ALL {
        assert!(drops.contains_key(reason.name()) && octets.contains_key(reason.name()), "{reason:?}");
    }
}

#[test]
fn drops_answers_and_icmp_of_all_workers_add_up_by_kind() {
    let mut lab = Lab::new(BASIC);
    let counters = &lab.control.counters[0];
    counters.count_drop(DropReason::Vlan, Direction::Inbound, (2, 128));
    counters.count_drop(DropReason::Vlan, Direction::Inbound, (1, 9000));
    counters.answers.nd.add(3);
    counters.too_bigs.ipv6.add(4);
    let now = metrics(&mut lab);
    assert_eq!((now.ledger.drops["vlan"].inbound, now.dropped_octets["vlan"].inbound), (3, 9128));
    assert_eq!(now.dropped_octets["vlan"].outbound, 0);
    assert_eq!((now.answered["arp"], now.answered["nd"]), (0, 3));
    assert_eq!((now.too_big_told["ipv4"], now.too_big_told["ipv6"]), (0, 4));
}

#[test]
fn moves_are_counted_in_their_network() {
    let mut lab = Lab::new(BASIC);
    let id = lab.id("web");
    lab.learn(100, mac(20), vtep("10.0.0.9:4789"));
    lab.learn(100, mac(20), Location::Local(id));
    let moves = metrics(&mut lab).networks.into_iter().map(|network| (network.name, network.moves));
    assert_eq!(moves.collect::<Vec<_>>(), [("pods".to_owned(), 1), ("db".to_owned(), 0)]);
}

#[test]
fn a_reload_that_was_refused_is_told_until_one_succeeds() {
    let mut lab = Lab::new(BASIC);
    assert_eq!((metrics(&mut lab).reload.successful, metrics(&mut lab).reload.success_ms), (true, 0));
    lab.tick();
    lab.control.load = Box::new(|| Config::from_toml("nonsense"));
    lab.refused(Request::Reload);
    assert_eq!((metrics(&mut lab).reload.successful, metrics(&mut lab).reload.success_ms), (false, 0));
    lab.control.load = Box::new(|| Config::from_toml(BASIC));
    lab.done(Request::Reload);
    let reload = metrics(&mut lab).reload;
    assert_eq!((reload.successful, reload.success_ms), (true, 1000));
}

#[test]
fn a_port_that_failed_is_waited_for_and_one_without_its_namespace_is_not() {
    let waiting =
        format!("{BASIC}\n[[port]]\nname = \"pod\"\nnetwork = \"pods\"\nnetns = \"/run/netns/none\"\n");
    let mut twin = Twin::default();
    twin.broken.insert("web".into());
    let mut lab = Lab::with(&waiting, twin);
    let Reply::Ready(ready) = lab.ask(Request::Ready) else { panic!() };
    assert_eq!(ready.waits_for, ["port web: web is taken"]);
    lab.twin().broken.clear();
    (0..11).for_each(|_| lab.tick());
    let Reply::Ready(ready) = lab.ask(Request::Ready) else { panic!() };
    assert_eq!(ready.waits_for, Vec::<String>::new());
}

#[test]
fn http_that_is_missed_is_shown_with_its_mend() {
    let mut lab = Lab::new(BASIC);
    assert!(!metrics(&mut lab).degraded.contains_key("http_unavailable"));
    lab.control.http_refused = Some("127.0.0.1:6787 is in use".to_owned());
    let status = lab.status();
    let item = status.degraded.iter().find(|item| item.subject == "http").unwrap();
    assert_eq!(item.cause, "http_unavailable: 127.0.0.1:6787 is in use");
    assert_eq!(metrics(&mut lab).degraded["http_unavailable"], 1);
    let Reply::Doctor(doctor) = lab.ask(Request::Doctor) else { panic!() };
    let finding = doctor.findings.iter().find(|finding| finding.code == "http_unavailable").unwrap();
    assert!(finding.mend.contains("http = \"off\""), "{finding:?}");
}
