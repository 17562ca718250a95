//! What goes on when the address of the host changes.

use super::*;
use crate::control::protocol::{FdbEvent, Health, PortState};

const POD: &str = "/run/netns/pod";

fn two_ports() -> String {
    format!("{BASIC}\n[[port]]\nname = \"pod\"\nnetwork = \"pods\"\nnetns = \"{POD}\"\n")
}

#[test]
fn ports_and_their_devices_stay_as_they_are() {
    let mut lab = Lab::with(&two_ports(), Twin::with_namespace(POD, 1));
    let (web, pod) = (lab.id("web"), lab.id("pod"));
    // A second of either would panic: identifiers are never used twice.
    lab.twin().mtus.insert(web, mtu(1300));
    let mut lab = lab.moved("10.0.0.77");
    assert_eq!((lab.id("web"), lab.id("pod")), (web, pod));
    assert_eq!((lab.twin().ids.len(), lab.twin().closed.len()), (2, 0));
    assert_eq!((lab.port("web").state, lab.port("web").mtu), (PortState::Up, mtu(1300)));
    let workers: Vec<_> = lab.topology().ports.values().map(|port| port.worker).collect();
    assert!(workers.contains(&0) && workers.contains(&1), "{workers:?}");
    assert!(lab.fdb().iter().any(|entry| entry.mac == mac(1)), "its own address is known again");
    let late = r#"{"request":"port_add","name":"late","network":"pods"}"#;
    lab.done(serde_json::from_str(late).unwrap());
    assert!(lab.id("late") > pod, "identifiers go on");
}

#[test]
fn ports_follow_the_overhead_of_another_family() {
    let lab = Lab::new(BASIC);
    let mut lab = lab.moved("fd00::7");
    assert_eq!(lab.port("web").mtu, mtu(1430));
}

#[test]
fn an_unknown_mtu_on_another_address_changes_no_port() {
    let mut lab = Lab::with(BASIC, Twin { link: mtu(9001), ..Twin::default() });
    lab.twin().no_address = true;
    let mut lab = lab.moved("10.0.0.77");
    lab.tick();
    assert_eq!(lab.port("web").mtu, mtu(8951));
}

#[test]
fn a_port_that_is_down_stays_down_or_comes_up_as_it_would_have() {
    let mut lab = Lab::with(&two_ports(), Twin::with_namespace(POD, 1));
    let web = lab.id("web");
    lab.port_gone(web);
    lab.twin().namespaces.clear();
    lab.tick();
    let mut lab = lab.moved("10.0.0.77");
    assert_eq!((lab.port("web").state, lab.port("pod").state), (PortState::Down, PortState::Waiting));
    lab.twin().namespaces.insert(POD.into(), 2);
    lab.tick();
    assert_eq!((lab.port("web").state, lab.port("pod").state), (PortState::Down, PortState::Up));
}

#[test]
fn what_was_counted_and_noted_goes_on() {
    let mut lab = Lab::new(BASIC);
    let web = lab.id("web");
    lab.learn(100, mac(7), Location::Local(web));
    let before = lab.status().counts["fdb_learned"];
    assert!(before > 0);
    (0..3).for_each(|_| lab.tick());
    let mut lab = lab.moved("10.0.0.77");
    assert!(lab.status().counts["fdb_learned"] >= before);
    assert_eq!(lab.status().uptime_s, 3);
    let Reply::FdbHistory(history) = lab.ask(Request::FdbHistory { mac: mac(7), network: None }) else {
        panic!()
    };
    assert_eq!(history.entries.first().map(|entry| entry.event), Some(FdbEvent::Learned));
}

#[test]
fn while_there_is_no_address_the_status_says_so_and_nothing_else_is_done() {
    let mut lab = Lab::new(BASIC);
    let since = lab.now;
    lab.tick();
    let carried = lab.control.move_out(lab.now);
    let answer = |request| carried.answer(&request, "no address; it is tried again", since, lab.now);
    let Reply::Status(status) = answer(Request::Status) else { panic!() };
    assert_eq!((status.state, status.node.as_str(), status.uptime_s), (Health::Degraded, "node-a", 1));
    let trouble = &status.degraded[0];
    assert_eq!((trouble.subject.as_str(), trouble.since_s), ("underlay", 1));
    assert!(trouble.cause.contains("no address"));
    let Reply::Error(refused) = answer(Request::PortList) else { panic!() };
    assert!(refused.code == ErrorCode::Failed && refused.message.contains("no address"), "{refused:?}");
}
