use super::*;

fn stopped(start: StartFacts) -> Facts {
    Facts { start: Some(start), ..Facts::default() }
}

#[test]
fn what_keeps_a_daemon_from_starting_is_found_and_that_none_runs() {
    assert_eq!(codes(&stopped(StartFacts::default())), ["no_daemon node"]);
    let why = || Some("it is so for this reason".to_owned());
    let start = StartFacts {
        socket: "/run/weft/weft.sock".to_owned(),
        config: why(),
        no_address: why(),
        missing: vec!["10.0.0.9".parse().unwrap()],
        held: vec![HeldPort {
            address: "10.0.0.1:4789".parse().unwrap(),
            key: "[underlay] vxlan_port",
            owner: "openvpn (pid 812)".to_owned(),
            remedy: "stop it".to_owned(),
        }],
        key_file: why(),
        state_dir: why(),
        insecure: true,
    };
    let all = codes(&stopped(start.clone()));
    let expected = [
        "no_daemon node",
        "config configuration",
        "underlay_address node",
        "underlay_address node",
        "port_owner UDP 4789",
        "key_file gossip",
        "state_dir node",
        "insecure_gossip gossip",
    ];
    assert_eq!(all, expected);
    let owner = diagnose(&stopped(start)).findings.into_iter().find(|f| f.code == "port_owner").unwrap();
    assert!(
        owner.what.contains("openvpn (pid 812)") && owner.mend.contains("[underlay] vxlan_port"),
        "{owner:?}"
    );
}
