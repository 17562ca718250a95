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
        Request::FdbAdd { mac, network: "pods".into(), at: FdbTarget::Port("web".into()) },
        Request::FdbAdd { mac, network: "7".into(), at: FdbTarget::Dst([10, 0, 0, 9].into()) },
        Request::FdbDel { mac, network: None },
        Request::FdbFlush { network: None },
        Request::FdbThaw { mac, network: None },
        Request::NeighShow { network: Some("pods".into()) },
        Request::Drops,
        Request::Reload,
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
        seq: 3,
        age_s: 12,
        frozen_s: None,
    };
    let reply = Reply::Fdb(Fdb { entries: vec![entry] });
    assert_eq!(
        serde_json::to_value(&reply).unwrap(),
        json!({"schema": "weft.fdb/1", "entries": [{
            "mac": "02:00:00:00:00:01", "vni": 100, "network": "pods", "state": "local",
            "port": "web", "owner": "node-a", "seq": 3, "age_s": 12
        }]})
    );
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
    assert!(!Request::Drops.is_change());
    assert!(!Request::NeighShow { network: None }.is_change());
    assert!(Request::Reload.is_change());
    assert!(Request::FdbFlush { network: None }.is_change());
}
