//! What the doctor hears of control.

use encap::tunnel::IpVersion;
use fdb::gossip::seal::Refusal;

use super::*;
use crate::control::protocol::Doctor;
use crate::doctor::{Severity, UnderlayLink};
use crate::path::{Cause, Health as PathHealth, Path, Since, Sources, Way};

fn doctor(lab: &mut Lab) -> Doctor {
    let Reply::Doctor(doctor) = lab.ask(Request::Doctor) else { panic!() };
    doctor
}

/// Code and subject of everything but notes.
fn wrong(lab: &mut Lab) -> Vec<String> {
    let findings = doctor(lab).findings.into_iter().filter(|finding| finding.severity < Severity::Note);
    findings.map(|finding| format!("{} {}", finding.code, finding.subject)).collect()
}

#[test]
fn an_examination_looks_at_each_member_and_asks_the_host_of_peers_and_pods() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.join(&mut lab, 3);
    assert!(matches!(lab.ask(Request::Examine), Reply::Done(_)));
    assert_eq!(lab.twin().examined, [id(2), id(3)]);
    let questions = lab.twin().questions.clone().unwrap();
    assert_eq!(questions.peers, [[10, 0, 0, 9], [10, 0, 0, 2], [10, 0, 0, 3]].map(IpAddr::from));
    assert_eq!(questions.addresses, lab.control.addresses);
}

#[test]
fn the_doctor_names_what_control_knows() {
    let (mut lab, mut others) = lab(BASIC);
    for last in 2..=4 {
        others.join(&mut lab, last);
    }
    assert_eq!(wrong(&mut lab), Vec::<String>::new());
    assert_eq!(doctor(&mut lab).node, lab.control.config.node.name);

    let health = PathHealth::Degraded(vec![Since { cause: Cause::OneWay, since: lab.now }]);
    let way = Way { family: IpVersion::V4, format: Format::Vxlan };
    let path = Path { mtu: mtu(1500), health, via: None, way, dead: Sources::default() };
    lab.control.handle_event(WorkerEvent::Path { node: id(2), boot: BootId::new(2), path }, lab.now);
    others.goes_down(&mut lab, 3);
    let info = NodeInfo { version: "0.9.0".into(), ..Others::info(4) };
    others.says(&mut lab, 4, Key::NodeInfo, Some(Record::NodeInfo(info)));
    assert_eq!(
        wrong(&mut lab),
        ["one_way peer node-2", "node_down node node-3", "version_differs version 0.9.0"]
    );
}

fn refuses(others: &mut Others, datagrams: usize) {
    let why = Refusal::UnknownKey { id: KeyId::new([9; 4]) }.into();
    (0..datagrams).for_each(|_| others.status.dropped.count(&why));
    others.show();
}

#[test]
fn counters_count_from_the_examination_on() {
    let (mut lab, mut others) = lab(BASIC);
    refuses(&mut others, 5);
    lab.ask(Request::Examine);
    assert_eq!(wrong(&mut lab), Vec::<String>::new(), "what was before is a note");
    refuses(&mut others, 2);
    assert_eq!(wrong(&mut lab), ["key_mismatch node"]);
    assert!(doctor(&mut lab).findings[0].what.contains("2 in the last 2 s"));
}

#[test]
fn what_the_host_says_is_found_too() {
    let (mut lab, _) = lab(BASIC);
    let address = [10, 0, 0, 1].into();
    let link = UnderlayLink {
        address,
        device: "eth0".to_owned(),
        mtu: 1500,
        strict: false,
        checksums: Some(false),
        gro: None,
    };
    lab.twin().host.links = vec![link];
    assert_eq!(wrong(&mut lab), ["nic_offloads device eth0"]);
    assert_eq!(doctor(&mut lab).namespace, Some((4, 1)));
}
