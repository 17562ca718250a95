//! Each rule with facts that it is about, and with facts that it is not about.

use encap::{Format, Mtu};

use super::*;
use crate::path::{Cause, Size};

mod host;
mod nodes;
mod paths;
mod settings;
mod start;

fn mtu(octets: u32) -> Mtu {
    Mtu::new(octets).unwrap()
}

/// A peer with which nothing is wrong.
fn peer(name: &str) -> PeerFacts {
    let cell = |format, port| {
        [(Size::Small, 100), (Size::Min, 1280), (Size::Link, 1500)].map(|(size, octets)| CellFacts {
            format,
            port,
            size,
            octets,
            sent: 1,
            answered: true,
        })
    };
    PeerFacts {
        name: name.to_owned(),
        address: Some(format!("10.0.0.{}", name.len()).parse().unwrap()),
        addresses: vec![format!("10.0.0.{}", name.len()).parse().unwrap()],
        alive: true,
        version: Some("0.1.0".to_owned()),
        link_mtu: Some(mtu(1500)),
        path_mtu: Some(mtu(1500)),
        causes: Vec::new(),
        via: None,
        clock_ahead_ms: Some(-20),
        cells: [cell(Format::Vxlan, 4789), cell(Format::Geneve, 6081)].concat(),
    }
}

/// A node with which nothing is wrong.
fn daemon(peers: Vec<PeerFacts>) -> DaemonFacts {
    let addresses = vec!["10.0.0.200".parse().unwrap()];
    DaemonFacts { version: "0.1.0".to_owned(), addresses, peers, ..DaemonFacts::default() }
}

fn running(daemon: DaemonFacts) -> Facts {
    Facts { daemon: Some(daemon), ..Facts::default() }
}

/// Severity, code and subject of all that is found.
fn found(facts: &Facts) -> Vec<(Severity, String, String)> {
    let findings = diagnose(facts).findings;
    assert!(
        findings.iter().all(|f| f.what.len() > 10 && f.why.len() > 10 && f.mend.len() > 10),
        "{findings:?}"
    );
    findings.into_iter().map(|f| (f.severity, f.code, f.subject)).collect()
}

/// What is found, as `code subject`.
fn codes(facts: &Facts) -> Vec<String> {
    found(facts).into_iter().map(|(_, code, subject)| format!("{code} {subject}")).collect()
}

/// The whole text of the only finding.
fn only(facts: &Facts) -> Finding {
    let mut findings = diagnose(facts).findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings.remove(0)
}

#[test]
fn nothing_is_found_where_nothing_is_wrong_and_each_group_says_so() {
    let report = diagnose(&running(daemon(vec![peer("b"), peer("cc")])));
    assert_eq!((report.findings.len(), report.is_bad()), (0, false));
    let checks: Vec<_> = report.checks.iter().map(|check| (check.name.as_str(), check.findings)).collect();
    assert_eq!(checks, [("nodes", 0), ("paths", 0), ("sizes", 0), ("host", 0), ("counts", 0)]);
}

#[test]
fn the_worst_comes_first_and_notes_are_not_bad() {
    let trouble = |code| Trouble { code, subject: "node b".to_owned(), what: "something is so".to_owned() };
    let old = PeerFacts { version: Some("0.1.3".to_owned()), ..peer("b") };
    let note = daemon(vec![old]);
    assert!(!diagnose(&running(note.clone())).is_bad());
    let facts = running(DaemonFacts { troubles: vec![trouble("node_down"), trouble("no_route")], ..note });
    let severities: Vec<_> = found(&facts).into_iter().map(|(severity, ..)| severity).collect();
    assert_eq!(severities, [Severity::Error, Severity::Warning, Severity::Note]);
    assert!(diagnose(&facts).is_bad());
}

#[test]
fn a_message_names_ten_at_most() {
    let many: Vec<_> = (0..12).map(|n| n.to_string()).collect();
    assert_eq!(names(many.iter().map(String::as_str)), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
    assert_eq!(names(["a", "b"]), "a, b");
}
