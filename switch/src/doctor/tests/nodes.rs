use super::*;

#[test]
fn every_row_of_troubles_is_a_finding_and_no_code_has_two() {
    let mut codes = std::collections::BTreeSet::new();
    for (code, severity, ..) in super::super::nodes::TROUBLES {
        let trouble = Trouble { code, subject: "node b".to_owned(), what: "something is so".to_owned() };
        let facts = running(DaemonFacts { troubles: vec![trouble], ..daemon(Vec::new()) });
        assert_eq!(found(&facts), [(*severity, (*code).to_owned(), "node b".to_owned())]);
        assert!(codes.insert(code), "{code}");
    }
}

#[test]
fn clocks_may_differ_by_five_seconds() {
    let with = |ms| running(daemon(vec![PeerFacts { clock_ahead_ms: Some(ms), ..peer("b") }]));
    for (ms, expected) in
        [(5_000, None), (-5_000, None), (61_000, Some("61 s ahead of")), (-6_500, Some("6 s behind"))]
    {
        match expected {
            None => assert_eq!(codes(&with(ms)), Vec::<String>::new(), "{ms}"),
            Some(said) => {
                let finding = only(&with(ms));
                assert!(finding.code == "clock" && finding.what.contains(said), "{finding:?}");
            }
        }
    }
}

#[test]
fn other_versions_are_told_together_and_only_another_release_is_bad() {
    let with = |name: &str, version: &str| PeerFacts { version: Some(version.to_owned()), ..peer(name) };
    let facts =
        running(daemon(vec![with("b", "0.2.0"), with("cc", "0.2.0"), with("ddd", "0.1.7"), peer("eeee")]));
    let expected = [
        (Severity::Warning, "version_differs".to_owned(), "version 0.2.0".to_owned()),
        (Severity::Note, "version_differs".to_owned(), "version 0.1.7".to_owned()),
    ];
    assert_eq!(found(&facts), expected);
    assert!(diagnose(&facts).findings[0].what.contains("b, cc run weft 0.2.0, this node runs 0.1.0"));
}

#[test]
fn an_address_of_two_nodes_is_found_also_when_one_is_this_node() {
    let at = |name: &str, address: &str| {
        let v6 = format!("fd00::{}", name.len()).parse().unwrap();
        PeerFacts { addresses: vec![v6, address.parse().unwrap()], ..peer(name) }
    };
    let twins = running(daemon(vec![at("b", "10.0.0.7"), at("cc", "10.0.0.7"), at("ddd", "10.0.0.8")]));
    assert_eq!(found(&twins), [(Severity::Error, "address_twice".to_owned(), "address 10.0.0.7".to_owned())]);
    let own = running(daemon(vec![at("b", "10.0.0.200")]));
    assert!(only(&own).what.contains("b, this node"), "{}", only(&own).what);
    let gone = PeerFacts { alive: false, ..at("cc", "10.0.0.7") };
    assert_eq!(codes(&running(daemon(vec![at("b", "10.0.0.7"), gone]))), Vec::<String>::new());
}

#[test]
fn counters_are_bad_while_they_grow_and_a_note_after() {
    for (counter, code) in [
        ("unknown_key", "key_mismatch"),
        ("insecure", "key_mismatch"),
        ("sealed", "key_mismatch"),
        ("inner_checksum", "inner_checksum"),
        ("udp_overflow", "receive_overflow"),
        ("unknown_peer", "unknown_peer"),
        ("unknown_vni", "unknown_vni"),
    ] {
        let with = |count| running(DaemonFacts { counts: [(counter, count)].into(), ..daemon(Vec::new()) });
        let now = only(&with(Count { total: 9, lately: 2 }));
        assert!(
            now.code == code && now.severity < Severity::Note && now.what.contains("2 in the last"),
            "{now:?}"
        );
        let before = only(&with(Count { total: 90, lately: 0 }));
        assert!(before.severity == Severity::Note && before.what.contains("90 since"), "{before:?}");
        assert_eq!(codes(&with(Count { total: 9, lately: 0 })), Vec::<String>::new(), "a few are nothing");
    }
    let host = HostFacts { checksum_errors: Count { total: 5, lately: 5 }, ..HostFacts::default() };
    assert_eq!(codes(&Facts { host, ..running(daemon(Vec::new())) }), ["udp_checksum node"]);
}
