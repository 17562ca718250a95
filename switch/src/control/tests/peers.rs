use std::io;

use fdb::table::EXPIRE_STEP;

use super::*;
use crate::control::protocol::{Health, PeerState};

#[test]
fn a_peer_is_up_while_a_route_exists() {
    let mut lab = Lab::new(BASIC);
    let peer = lab.peer("10.0.0.9");
    assert_eq!((peer.state, peer.path_mtu, peer.mtu), (PeerState::Up, Some(mtu(1500)), Some(mtu(1450))));
    lab.tick();
    assert_eq!(lab.published(), 1, "nothing changed");
    lab.twin().unreachable.insert([10, 0, 0, 9].into());
    lab.tick();
    assert_eq!((lab.published(), lab.topology().peers[0].up), (2, false));
    lab.tick();
    lab.tick();
    let peer = lab.peer("10.0.0.9");
    assert_eq!((peer.state, peer.path_mtu, peer.degraded[0].since_s), (PeerState::Down, None, 2));
    let status = lab.status();
    assert_eq!((status.state, status.degraded[0].subject.as_str()), (Health::Degraded, "peer 10.0.0.9"));
    lab.twin().unreachable.clear();
    lab.tick();
    assert_eq!((lab.published(), lab.peer("10.0.0.9").state), (3, PeerState::Up));
}

#[test]
fn a_new_path_mtu_is_published_once() {
    let mut lab = Lab::new(BASIC);
    lab.twin().link = mtu(1400);
    lab.tick();
    lab.tick();
    assert_eq!((lab.published(), lab.topology().peers[0].path_mtu), (2, mtu(1400)));
}

#[test]
fn ports_and_formats_have_our_own_as_defaults() {
    let more = "[[peer]]\naddress = \"10.0.0.8\"\nformat = \"geneve\"\n[[peer]]\naddress = \"10.0.0.7\"\nport = 8472\n";
    let mut lab = Lab::new(&format!("{BASIC}{more}"));
    let said: Vec<_> = lab.topology().peers.iter().map(|p| p.vtep.to_string()).collect();
    assert_eq!(said, ["10.0.0.9:4789", "10.0.0.8:6081", "10.0.0.7:8472"]);
}

#[test]
fn a_peer_without_networks_is_on_all_and_floods_go_to_a_networks_peers() {
    let more = "[[peer]]\naddress = \"10.0.0.8\"\n[[peer]]\naddress = \"10.1.0.0/16\"\n[[peer]]\naddress = \"10.1.2.0/24\"\n";
    let mut lab = Lab::new(&format!("{BASIC}{more}"));
    let topology = lab.topology();
    let flood = |name: &str| -> Vec<_> {
        let network = topology.networks.iter().find(|n| &*n.name == name).unwrap();
        network.flood.iter().map(|p| topology.peer(*p).name.to_string()).collect()
    };
    assert_eq!(flood("pods"), ["10.0.0.9", "10.0.0.8"]);
    assert_eq!(flood("db"), ["10.0.0.8"]);
    let heard = topology.peer_from([10, 1, 2, 3].into()).unwrap();
    assert_eq!(&*topology.peer(heard).name, "10.1.2.0/24");
    assert!(!topology.peer(heard).learn && topology.peer(heard).up);
    let prefix = lab.peer("10.1.0.0/16");
    assert_eq!((prefix.state, prefix.path_mtu), (PeerState::Up, None));
}

#[test]
fn macs_are_learned_from_a_peer_on_its_networks_only() {
    let mut lab = Lab::new(BASIC);
    lab.learn(100, mac(5), vtep("10.0.0.9:4789"));
    lab.learn(200, mac(6), vtep("10.0.0.9:4789"));
    lab.learn(100, mac(7), vtep("10.0.0.77:4789"));
    let learned: Vec<_> = lab.fdb().iter().filter_map(|e| Some((e.mac, e.dst?.to_string()))).collect();
    assert_eq!(learned, [(mac(5), "10.0.0.9".to_owned())]);
    lab.done(Request::PeerDel { address: "10.0.0.9".into() });
    assert!(lab.fdb().iter().all(|e| e.dst.is_none()), "a removed peer's entries are forgotten");
}

#[test]
fn a_mac_that_moves_too_often_is_frozen_until_it_is_thawed() {
    let mut lab = Lab::new(BASIC);
    let places = [Location::Local(lab.id("web")), vtep("10.0.0.9:4789")];
    for turn in 0..8 {
        lab.learn(100, mac(9), places[turn % 2]);
    }
    let frozen = |lab: &mut Lab| lab.fdb().into_iter().find(|e| e.mac == mac(9)).unwrap().frozen_s;
    assert_eq!(frozen(&mut lab), Some(180));
    assert_eq!(lab.status().counts["macs_frozen"], 1);
    lab.done(Request::FdbThaw { mac: mac(9), network: None });
    assert_eq!(frozen(&mut lab), None);
    assert_eq!(lab.refused(Request::FdbThaw { mac: mac(9), network: None }).code, ErrorCode::Failed);
}

#[test]
fn a_refused_offload_degrades_its_peer_until_it_works_again() {
    let mut lab = Lab::new(BASIC);
    let peer = Some(VtepAddr::new([10, 0, 0, 9].into(), 4789));
    let offload = |refused| WorkerEvent::Offload { name: "udp_segment", peer, refused };
    let error = io::Error::from_raw_os_error(libc::EIO);
    lab.control.handle_event(offload(Some(error)), lab.now);
    assert!(
        lab.peer("10.0.0.9").degraded[0].cause.starts_with("plain_fallback: the kernel refuses udp_segment")
    );
    assert_eq!(lab.status().degraded[0].subject, "peer 10.0.0.9");
    lab.control.handle_event(offload(None), lab.now);
    assert_eq!(lab.status().state, Health::Ok);
    assert_eq!(lab.published(), 1);
}

#[test]
fn ageing_that_one_step_does_not_finish_goes_on_at_once() {
    const LEFT: usize = 10;
    let limits = Limits { static_peer: 2 * EXPIRE_STEP, ..Limits::default() };
    let mut lab = Lab::limited(BASIC, Twin::default(), limits);
    let configured = lab.fdb().len();
    (0..EXPIRE_STEP + LEFT).for_each(|n| lab.learn(100, mac(n as u16 + 256), vtep("10.0.0.9:4789")));
    assert_eq!(lab.fdb().len(), configured + EXPIRE_STEP + LEFT);
    lab.now += Duration::from_secs(301);
    lab.control.handle_timeout(lab.now);
    assert_eq!(lab.fdb().len(), configured + LEFT);
    assert!(lab.control.poll_timeout() <= lab.now, "the rest waits for the next tick");
    lab.control.handle_timeout(lab.now);
    assert_eq!(lab.fdb().len(), configured);
    assert!(lab.control.poll_timeout() > lab.now);
}
