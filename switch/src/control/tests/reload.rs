use super::*;
use crate::control::protocol::{FdbTarget, PeerAdd, PortAdd, PortState};

fn add_by_command(lab: &mut Lab) {
    let port = PortAdd {
        name: "cli".into(),
        network: "db".into(),
        ifname: None,
        netns: None,
        mac: None,
        addresses: vec![],
        gateway: None,
    };
    lab.done(Request::PortAdd(port));
    let peer = PeerAdd { address: "10.0.0.8".into(), networks: vec!["db".into()], format: None, port: None };
    lab.done(Request::PeerAdd(peer));
    for (last, at) in [(50, FdbTarget::Port("cli".into())), (51, FdbTarget::Dst([10, 0, 0, 8].into()))] {
        lab.done(Request::FdbAdd { mac: mac(last), network: "db".into(), at });
    }
}

#[test]
fn the_same_again_changes_nothing() {
    let mut lab = Lab::new(BASIC);
    assert_eq!(lab.reload(BASIC).unwrap(), Reloaded::default());
    assert_eq!(lab.done(Request::Reload), "reloaded: nothing changed");
    assert_eq!(lab.published(), 1);
}

#[test]
fn what_is_new_comes_and_what_is_missing_goes() {
    let mut lab = Lab::new(BASIC);
    lab.learn(100, mac(30), vtep("10.0.0.9:4789"));
    let toml = BASIC
        .replace("name = \"db\"\nvni = 200", "name = \"edge\"\nvni = 300")
        .replace("name = \"web\"\nnetwork = \"pods\"", "name = \"api\"\nnetwork = \"edge\"")
        .replace("10.0.0.9", "10.0.0.7");
    let reloaded = lab.reload(&toml).unwrap();
    assert_eq!((reloaded.added, reloaded.removed, reloaded.changed), (3, 3, 0));
    assert_eq!(lab.published(), 2, "all at once");
    let topology = lab.topology();
    assert_eq!(topology.ports.values().map(|p| p.name.to_string()).collect::<Vec<_>>(), ["api"]);
    assert_eq!(&*topology.peers[0].name, "10.0.0.7");
    let fdb = lab.fdb();
    assert_eq!(fdb.len(), 1, "{fdb:?}");
    assert_eq!((fdb[0].mac, fdb[0].network.as_str(), fdb[0].port.as_deref()), (mac(1), "edge", Some("api")));
}

#[test]
fn limits_change_without_touching_the_device() {
    let mut lab = Lab::new(BASIC);
    let id = lab.id("web");
    let toml = BASIC.replace("mac = ", "bum_pps = 7\nmac = ");
    assert_eq!(lab.reload(&toml).unwrap().changed, 1);
    assert_eq!((lab.id("web"), lab.topology().ports[&id].bum_pps, lab.published()), (id, 7, 2));
}

#[test]
fn a_new_address_makes_the_device_anew() {
    let mut lab = Lab::new(BASIC);
    let id = lab.id("web");
    let toml = BASIC.replace("mac = ", "addresses = [\"10.32.0.5/12\"]\nmac = ");
    lab.reload(&toml).unwrap();
    assert_ne!(lab.id("web"), id);
    assert_eq!(lab.twin().closed, [(id, false)]);
}

#[test]
fn a_port_that_changes_its_network_keeps_its_device_and_takes_its_mac_along() {
    let mut lab = Lab::new(BASIC);
    let id = lab.id("web");
    lab.learn(100, mac(30), Location::Local(id));
    lab.reload(&BASIC.replace("network = \"pods\"", "network = \"db\"")).unwrap();
    assert_eq!(lab.id("web"), id);
    let fdb: Vec<_> = lab.fdb().into_iter().map(|e| (e.mac, e.network)).collect();
    assert_eq!(fdb, [(mac(1), "db".to_owned())]);
}

#[test]
fn another_network_mtu_reaches_the_devices() {
    let mut lab = Lab::new(BASIC);
    lab.reload(&BASIC.replace("vni = 100", "vni = 100\nmtu = 1400")).unwrap();
    assert_eq!(lab.port("web").mtu, mtu(1400));
    lab.reload(&BASIC.replace("vni = 100", "vni = 100\nvlan = \"pass\"")).unwrap();
    assert_eq!((lab.port("web").mtu, lab.topology().networks[0].vlan_pass), (mtu(1446), true));
}

#[test]
fn another_format_reaches_the_peers_that_name_none() {
    let mut lab = Lab::new(BASIC);
    lab.learn(100, mac(30), vtep("10.0.0.9:4789"));
    let reloaded = lab.reload(&format!("[encap]\nformat = \"geneve\"\n{BASIC}")).unwrap();
    assert!(reloaded.settings);
    assert_eq!(lab.topology().peers[0].vtep.to_string(), "10.0.0.9:6081");
    assert!(lab.fdb().iter().all(|e| e.dst.is_none()), "the old VTEP is forgotten");
}

#[test]
fn a_key_that_needs_a_restart_refuses_all_and_is_named() {
    let mut lab = Lab::new(BASIC);
    let toml = BASIC.replace("[underlay]", "[underlay]\nvxlan_port = 8472").replace("vni = 100", "vni = 101");
    let error = lab.reload(&toml).unwrap_err();
    assert!(error.to_string().contains("vxlan_port"), "{error}");
    assert_eq!((lab.published(), lab.topology().networks[0].vni.get()), (1, 100));
}

#[test]
fn a_file_with_an_error_changes_nothing() {
    let mut lab = Lab::new(BASIC);
    lab.control.load = Box::new(|| Config::from_toml("[[network]]\nname = \"x\""));
    let error = lab.refused(Request::Reload);
    assert_eq!(error.code, ErrorCode::Failed);
    assert!(error.message.contains("vni") && error.message.contains("stays in effect"), "{}", error.message);
    assert_eq!((lab.published(), lab.port("web").state), (1, PortState::Up));
}

#[test]
fn what_the_command_line_added_outlives_reloads() {
    let mut lab = Lab::new(BASIC);
    add_by_command(&mut lab);
    let id = lab.id("cli");
    lab.reload(&BASIC.replace("10.0.0.9", "10.0.0.7")).unwrap();
    assert_eq!((lab.id("cli"), lab.port("cli").runtime), (id, true));
    assert!(lab.peer("10.0.0.8").runtime);
    let kept: Vec<_> = lab.fdb().iter().map(|e| e.mac).collect();
    assert_eq!(kept, [mac(1), mac(50), mac(51)]);
}

#[test]
fn what_the_file_then_names_is_the_files() {
    let mut lab = Lab::new(BASIC);
    add_by_command(&mut lab);
    let id = lab.id("cli");
    let named =
        "[[port]]\nname = \"cli\"\nnetwork = \"db\"\n[[peer]]\naddress = \"10.0.0.8\"\nnetworks = [\"db\"]\n";
    lab.reload(&format!("{BASIC}{named}")).unwrap();
    assert_eq!((lab.id("cli"), lab.port("cli").runtime), (id, false));
    assert!(!lab.peer("10.0.0.8").runtime);
    lab.reload(BASIC).unwrap();
    assert_eq!(lab.topology().ports.len(), 1, "and goes when the file drops it");
}

#[test]
fn a_file_without_the_network_of_a_command_line_port_is_refused() {
    let mut lab = Lab::new(BASIC);
    add_by_command(&mut lab);
    let published = lab.published();
    let error = lab.reload(&BASIC.replace("[[network]]\nname = \"db\"\nvni = 200", "")).unwrap_err();
    assert!(error.to_string().contains("command line") && error.to_string().contains("db"), "{error}");
    assert_eq!(lab.published(), published);
}

#[test]
fn a_port_that_the_command_line_removed_comes_back_with_a_reload() {
    let mut lab = Lab::new(BASIC);
    lab.done(Request::PortDel { name: "web".into() });
    assert_eq!(lab.reload(BASIC).unwrap().added, 1);
    assert_eq!(lab.port("web").state, PortState::Up);
}

#[test]
fn a_reload_makes_a_deleted_device_again() {
    let mut lab = Lab::new(BASIC);
    let id = lab.id("web");
    lab.port_gone(id);
    assert_eq!(lab.port("web").state, PortState::Down);
    assert_eq!(lab.reload(BASIC).unwrap().changed, 1);
    assert_eq!(lab.port("web").state, PortState::Up);
}

#[test]
fn a_static_entry_of_a_port_comes_back_with_the_port() {
    let pod = "/run/netns/pod";
    let toml = format!("{BASIC}\n[[port]]\nname = \"pod\"\nnetwork = \"pods\"\nnetns = \"{pod}\"\n");
    let mut lab = Lab::with(&toml, Twin::with_namespace(pod, 1));
    let add = |last, port: &str| Request::FdbAdd {
        mac: mac(last),
        network: "pods".into(),
        at: FdbTarget::Port(port.into()),
    };
    lab.done(add(60, "pod"));
    let id = lab.id("pod");
    lab.port_gone(id);
    assert!(lab.fdb().iter().all(|e| e.mac != mac(60)));
    lab.twin().namespaces.insert(pod.into(), 2);
    lab.tick();
    assert_eq!(lab.fdb().iter().find(|e| e.mac == mac(60)).unwrap().port.as_deref(), Some("pod"));
}
