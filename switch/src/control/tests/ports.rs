use super::*;
use crate::control::protocol::{FdbState, Health, PortState};

const POD: &str = "/run/netns/pod";

fn in_a_namespace() -> String {
    format!("{BASIC}\n[[port]]\nname = \"pod\"\nnetwork = \"pods\"\nnetns = \"{POD}\"\n")
}

#[test]
fn a_port_comes_up_with_the_derived_mtu_and_its_mac_is_static() {
    let mut lab = Lab::new(BASIC);
    let port = lab.port("web");
    assert_eq!((port.state, port.mtu, port.mac), (PortState::Up, mtu(1450), Some(mac(1))));
    let fdb = lab.fdb();
    assert_eq!((fdb[0].mac, fdb[0].state, fdb[0].port.as_deref()), (mac(1), FdbState::Static, Some("web")));
    assert_eq!(lab.published(), 1);
    assert_eq!(lab.status().state, Health::Ok);
}

#[test]
fn a_port_waits_for_its_namespace_and_comes_up_with_it() {
    let mut lab = Lab::new(&in_a_namespace());
    assert_eq!(lab.port("pod").state, PortState::Waiting);
    let degraded = lab.status().degraded;
    assert_eq!(degraded[0].subject, "port pod");
    lab.tick();
    assert_eq!((lab.port("pod").state, lab.published()), (PortState::Waiting, 1));
    lab.twin().namespaces.insert(POD.into(), 1);
    lab.tick();
    assert_eq!((lab.port("pod").state, lab.published()), (PortState::Up, 2));
    assert_eq!(lab.status().state, Health::Ok);
}

#[test]
fn a_device_deleted_under_us_stays_down_until_its_namespace_is_another() {
    let mut lab = Lab::with(&in_a_namespace(), Twin::with_namespace(POD, 1));
    let id = lab.id("pod");
    lab.port_gone(id);
    assert_eq!(lab.port("pod").state, PortState::Down);
    assert!(!lab.topology().ports.contains_key(&id));
    lab.tick();
    assert_eq!(lab.port("pod").state, PortState::Down);
    lab.twin().namespaces.insert(POD.into(), 2);
    lab.tick();
    assert_eq!(lab.port("pod").state, PortState::Up);
    assert_ne!(lab.id("pod"), id, "identifiers are never reused");
}

#[test]
fn a_port_whose_namespace_went_waits_for_a_namesake() {
    let mut lab = Lab::with(&in_a_namespace(), Twin::with_namespace(POD, 1));
    let id = lab.id("pod");
    lab.twin().namespaces.clear();
    lab.port_gone(id);
    assert_eq!(lab.port("pod").state, PortState::Waiting);
    lab.twin().namespaces.insert(POD.into(), 2);
    lab.tick();
    assert_eq!(lab.port("pod").state, PortState::Up);
}

#[test]
fn a_namesake_that_is_there_already_gets_the_port_at_once() {
    let mut lab = Lab::with(&in_a_namespace(), Twin::with_namespace(POD, 1));
    let id = lab.id("pod");
    lab.twin().namespaces.insert(POD.into(), 2);
    lab.port_gone(id);
    assert_eq!(lab.port("pod").state, PortState::Up);
}

#[test]
fn a_down_port_whose_namespace_then_goes_waits() {
    let mut lab = Lab::with(&in_a_namespace(), Twin::with_namespace(POD, 1));
    let id = lab.id("pod");
    lab.port_gone(id);
    lab.twin().namespaces.clear();
    lab.tick();
    assert_eq!(lab.port("pod").state, PortState::Waiting);
}

#[test]
fn a_late_event_about_an_old_device_is_ignored() {
    let mut lab = Lab::with(&in_a_namespace(), Twin::with_namespace(POD, 1));
    let id = lab.id("pod");
    lab.twin().namespaces.insert(POD.into(), 2);
    lab.port_gone(id);
    let published = lab.published();
    lab.port_gone(id);
    lab.learn(100, mac(5), Location::Local(id));
    assert_eq!((lab.port("pod").state, lab.published()), (PortState::Up, published));
    assert!(lab.fdb().iter().all(|e| e.mac != mac(5)));
}

#[test]
fn a_device_that_cannot_be_made_is_tried_again() {
    let twin = Twin { broken: ["web".to_owned()].into(), ..Twin::default() };
    let mut lab = Lab::with(BASIC, twin);
    let port = lab.port("web");
    assert_eq!((port.state, port.reason.as_deref()), (PortState::Down, Some("web is taken")));
    lab.twin().broken.clear();
    (0..10).for_each(|_| lab.tick());
    assert_eq!(lab.port("web").state, PortState::Up);
}

#[test]
fn what_lived_behind_a_gone_port_is_forgotten() {
    let mut lab = Lab::new(BASIC);
    let id = lab.id("web");
    lab.learn(100, mac(7), Location::Local(id));
    assert_eq!(lab.fdb().len(), 2);
    lab.port_gone(id);
    assert_eq!(lab.fdb(), []);
}

#[test]
fn a_flood_of_macs_from_one_port_is_bounded_and_costs_others_nothing() {
    let mut lab = Lab::new(&in_a_namespace());
    lab.twin().namespaces.insert(POD.into(), 1);
    lab.tick();
    let (web, pod) = (lab.id("web"), lab.id("pod"));
    lab.learn(100, mac(2), Location::Local(web));
    let published = lab.published();
    for last in 1000..3000 {
        lab.learn(100, mac(last), Location::Local(pod));
    }
    let fdb = lab.fdb();
    assert_eq!(fdb.iter().filter(|e| e.port.as_deref() == Some("pod")).count(), 64);
    assert!(fdb.iter().any(|e| e.mac == mac(2)));
    assert_eq!(lab.published(), published, "learning changes no topology");
}

#[test]
fn derived_mtus_follow_the_underlay_and_others_changes_are_kept() {
    let mut lab = Lab::new(&format!("{BASIC}\n[[port]]\nname = \"b\"\nnetwork = \"pods\"\n"));
    let b = lab.id("b");
    lab.twin().mtus.insert(b, mtu(1300));
    lab.twin().link = mtu(9000);
    lab.tick();
    assert_eq!((lab.port("web").mtu, lab.port("b").mtu), (mtu(8950), mtu(1300)));
    lab.twin().link = mtu(1290);
    lab.tick();
    assert_eq!((lab.port("web").mtu, lab.port("b").mtu), (mtu(1280), mtu(1300)));
}

#[test]
fn while_the_underlay_address_is_away_ports_keep_their_mtu() {
    for link in [9001, 1460] {
        let mut lab = Lab::with(BASIC, Twin { link: mtu(link), ..Twin::default() });
        let fits = mtu(link - 50);
        assert_eq!(lab.port("web").mtu, fits);
        lab.twin().no_address = true;
        lab.tick();
        assert_eq!(lab.port("web").mtu, fits);
        let late = r#"{"request":"port_add","name":"late","network":"pods"}"#;
        lab.done(serde_json::from_str(late).unwrap());
        assert_eq!(lab.port("late").mtu, fits, "a new one gets what the link had");
        (lab.twin().no_address, lab.twin().link) = (false, mtu(1500));
        lab.tick();
        assert_eq!(lab.port("web").mtu, mtu(1450));
    }
}

#[test]
fn ports_are_spread_over_the_workers() {
    let more = "\n[[port]]\nname = \"b\"\nnetwork = \"pods\"\n[[port]]\nname = \"c\"\nnetwork = \"db\"\n";
    let mut lab = Lab::new(&format!("{BASIC}{more}"));
    let mut on: Vec<_> = lab.topology().ports.values().map(|p| p.worker).collect();
    on.sort_unstable();
    assert_eq!(on, [0, 0, 1]);
}

#[test]
fn shutdown_removes_the_devices_or_keeps_them() {
    for keep in [false, true] {
        let toml = BASIC.replace("[underlay]", &format!("keep_ports = {keep}\n[underlay]"));
        let mut lab = Lab::new(&toml);
        let id = lab.id("web");
        lab.control.shutdown();
        assert_eq!(lab.twin().closed, [(id, keep)]);
        assert!(lab.topology().ports.is_empty());
    }
}
