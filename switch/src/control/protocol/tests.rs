use serde_json::json;

use super::*;

#[test]
fn every_request_survives_the_wire() {
    let mac = MacAddr::new([2, 0, 0, 0, 0, 1]);
    let port = PortAdd {
        name: "web".into(),
        network: "pods".into(),
        ifname: None,
        netns: Some("pid:7".parse().unwrap()),
        mac: Some(mac),
        addresses: vec!["10.32.0.5/12".parse().unwrap()],
        gateway: None,
    };
    let peer =
        PeerAdd { address: "10.0.0.9".into(), networks: vec!["pods".into()], format: None, port: None };
    let requests = [
        Request::Status,
        Request::NetworkList,
        Request::PortList,
        Request::PortAdd(port),
        Request::PortDel { name: "web".into() },
        Request::PeerList,
        Request::PeerAdd(peer),
        Request::PeerDel { address: "10.0.0.9".into() },
        Request::FdbShow { mac: None, network: Some("pods".into()) },
        Request::FdbAt { node: "node-b".into(), limit: 7 },
        Request::FdbAdd { mac, network: "pods".into(), at: FdbTarget::Port("web".into()) },
        Request::FdbAdd { mac, network: "7".into(), at: FdbTarget::Dst([10, 0, 0, 9].into()) },
        Request::FdbDel { mac, network: None },
        Request::FdbFlush { network: None },
        Request::FdbThaw { mac, network: None },
        Request::NeighShow { network: Some("pods".into()) },
        Request::Trace(TraceAsk {
            from: "web".into(),
            to: "node-b/db".into(),
            protocol: "tcp/80".parse().unwrap(),
            size: Some(1400),
            live: true,
            source_mac: Some(mac),
            source_ip: None,
            vlan: None,
        }),
        Request::TraceShow { id: 7 },
        Request::Drops,
        Request::DropHeads { reason: "vlan".into() },
        Request::Reload,
        Request::FdbHistory { mac, network: None },
        Request::KeyList,
        Request::KeyInstall { key: key() },
        Request::KeyUse { id: "5d1c07aa".into() },
        Request::KeyRemove { id: "5d1c07aa".into() },
        Request::LogShow,
        Request::LogSet { target: "gossip".into(), level: "debug".into() },
        Request::Leave,
        Request::Forget { node: "node-c".into() },
    ];
    for request in requests {
        let line = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request, "{line}");
    }
}

#[test]
fn an_unknown_request_or_field_is_refused() {
    for line in [r#"{"request":"explode"}"#, r#"{"request":"port_add","name":"a","network":"b","vlan":1}"#] {
        assert!(serde_json::from_str::<Request>(line).is_err(), "{line}");
    }
}

#[test]
fn an_fdb_entry_has_a_port_or_a_dst_never_both() {
    let entry = FdbEntry {
        mac: MacAddr::new([2, 0, 0, 0, 0, 1]),
        vni: Vni::new(100).unwrap(),
        network: "pods".into(),
        state: FdbState::Local,
        port: Some("web".into()),
        dst: None,
        owner: "node-a".into(),
        node: None,
        seq: 3,
        mob_seq: 2,
        age_s: 12,
        frozen_s: None,
    };
    let reply = Reply::Fdb(Fdb { entries: vec![entry], more: 0 });
    assert_eq!(
        serde_json::to_value(&reply).unwrap(),
        json!({"schema": "weft.fdb/1", "entries": [{
            "mac": "02:00:00:00:00:01", "vni": 100, "network": "pods", "state": "local",
            "port": "web", "owner": "node-a", "seq": 3, "mob_seq": 2, "age_s": 12
        }]})
    );
}

fn key() -> SecretKey {
    "07".repeat(32).parse().unwrap()
}

#[test]
fn a_key_is_in_what_is_sent_and_not_in_what_is_logged_or_refused() {
    let request = Request::KeyInstall { key: key() };
    let line = serde_json::to_string(&request).unwrap();
    assert!(line.contains(&"07".repeat(32)), "{line}");
    assert!(!format!("{request:?}").contains("0707"), "{request:?}");
    let refused = serde_json::from_str::<Request>(&line.replace("07070707\"", "0707070g\"")).unwrap_err();
    assert!(!refused.to_string().contains("0707") && refused.to_string().contains("no key"), "{refused}");
}

#[test]
fn one_key_is_taken_at_a_time() {
    let two = format!("{}\n{}\n", "07".repeat(32), "08".repeat(32));
    assert_eq!(two.parse::<SecretKey>(), Err(SecretKeyError::Several(2)));
}

#[test]
fn what_is_not_known_of_the_owner_of_an_address_is_left_out() {
    let local = NeighEntry {
        ip: [10, 32, 0, 5].into(),
        mac: MacAddr::new([2, 0, 0, 0, 0, 1]),
        vni: Vni::new(100).unwrap(),
        network: "pods".into(),
        port: Some("web".into()),
        dst: None,
        owner: Some("node-a".into()),
        router: false,
        age_s: Some(12),
    };
    let remote = NeighEntry { port: None, owner: None, router: true, age_s: None, ..local.clone() };
    let reply = Reply::Neigh(Neigh { entries: vec![local, remote] });
    assert_eq!(
        serde_json::to_value(&reply).unwrap(),
        json!({"schema": "weft.neigh/1", "entries": [
            {"ip": "10.32.0.5", "mac": "02:00:00:00:00:01", "vni": 100, "network": "pods", "port": "web",
             "owner": "node-a", "router": false, "age_s": 12},
            {"ip": "10.32.0.5", "mac": "02:00:00:00:00:01", "vni": 100, "network": "pods", "router": true},
        ]})
    );
}

#[test]
fn only_questions_are_no_changes() {
    assert!(!Request::Drops.is_change() && !Request::Drops.shows_traffic());
    let heads = Request::DropHeads { reason: "vlan".into() };
    assert!(!heads.is_change() && heads.shows_traffic());
    assert!(!Request::KeyList.is_change());
    let log_set = Request::LogSet { target: "all".into(), level: "off".into() };
    assert!(log_set.is_change() && !Request::LogShow.is_change());
    assert!(Request::KeyInstall { key: key() }.is_change() && Request::Leave.is_change());
    assert!(!Request::NeighShow { network: None }.is_change());
    assert!(Request::Reload.is_change());
    assert!(Request::FdbFlush { network: None }.is_change());
}
