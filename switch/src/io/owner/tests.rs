use std::net::UdpSocket as StdSocket;

use rtnetlink::packet_route::RouteNetlinkMessage as Message;
use rtnetlink::{LinkGeneve, LinkMessageBuilder, LinkVxlan};

use super::*;
use crate::io::netns::Netns;
use crate::io::netns::tests::fresh;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
#[cfg(target_endian = "little")]
fn a_line_of_proc_is_read() {
    let line = " 3345: 0100007F:12B5 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 48213 2 00 0";
    assert_eq!(parse_socket(line), Some(UdpSocket { address: ip("127.0.0.1"), port: 4789, inode: 48213 }));
    let v6 = "3: 000080FE00000000000000000100A0C0:17C1 0:0 07 0:0 00:0 0 0 0 9 2 0 0";
    assert_eq!(parse_socket(v6), Some(UdpSocket { address: ip("fe80::c0a0:1"), port: 6081, inode: 9 }));
    assert_eq!(parse_socket("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when"), None);
    assert_eq!(parse_socket(""), None);
}

#[test]
fn the_unspecified_address_keeps_everybody_off() {
    for (held, wanted, expected) in [
        ("10.0.0.1", "10.0.0.1", true),
        ("10.0.0.1", "10.0.0.2", false),
        ("0.0.0.0", "10.0.0.1", true),
        ("10.0.0.1", "0.0.0.0", true),
        ("::", "10.0.0.1", true),
        ("0.0.0.0", "fd00::1", false),
        ("::", "fd00::1", true),
        ("fd00::1", "10.0.0.1", false),
    ] {
        assert_eq!(overlap(ip(held), ip(wanted)), expected, "{held} against {wanted}");
    }
}

#[test]
fn a_process_is_named_with_its_pid() {
    let socket = StdSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let owner = udp_port_owner(ip("127.0.0.1"), port).unwrap();
    assert!(owner.name.ends_with(&format!("(pid {})", std::process::id())), "{owner:?}");
    drop(socket);
    assert_eq!(udp_port_owner(ip("127.0.0.1"), port), None);
}

fn vxlan(netns: &Netns, up: bool) {
    let link = LinkMessageBuilder::<LinkVxlan>::new("vx0").id(7).port(4789);
    let link = if up { link.up() } else { link }.build();
    run_in(netns, || Links::open()?.create(Message::NewLink(link), false, || "cannot create vx0".to_owned()))
        .unwrap();
}

fn owner_in(netns: &Netns, address: &str, port: u16) -> Option<Owner> {
    run_in(netns, || Ok(udp_port_owner(ip(address), port))).unwrap()
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_kernel_vxlan_device_is_named_with_its_vni() {
    let netns = fresh();
    vxlan(&netns, true);
    let owner = owner_in(&netns, "10.0.0.1", 4789).expect("an owner");
    assert_eq!(owner.name, "kernel VXLAN device vx0 (VNI 7)");
    assert_eq!(owner.remedy, "remove it with `ip link del vx0`");
    assert_eq!(owner_in(&netns, "10.0.0.1", 4790), None);
}

#[test]
fn a_kernel_geneve_device_is_named_with_its_vni() {
    let link =
        |name: &str| LinkMessageBuilder::<LinkGeneve>::new(name).remote(Ipv4Addr::LOCALHOST).port(6081);
    let named = |link, port| describe_tunnel(&link, port).map(|(_, what)| what);
    assert_eq!(named(link("gnv0").id(9).build(), 6081).as_deref(), Some("kernel Geneve device gnv0 (VNI 9)"));
    let driven = link("genev_sys").collect_metadata().build();
    assert_eq!(named(driven, 6081).as_deref(), Some("kernel Geneve device genev_sys (any VNI)"));
    assert_eq!(named(link("gnv0").id(9).build(), 4789), None);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_device_that_is_down_is_not_blamed_for_a_process() {
    let netns = fresh();
    vxlan(&netns, false);
    assert_eq!(owner_in(&netns, "10.0.0.1", 4789), None);
    let socket = run_in(&netns, || StdSocket::bind("0.0.0.0:4789")).unwrap();
    let owner = owner_in(&netns, "10.0.0.1", 4789).expect("an owner");
    assert!(owner.name.contains("(pid "), "{owner:?}");
    drop(socket);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_device_for_one_family_leaves_the_other_alone() {
    let netns = fresh();
    vxlan(&netns, true);
    assert!(owner_in(&netns, "10.0.0.1", 4789).is_some());
    assert_eq!(owner_in(&netns, "fd00::1", 4789), None);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn only_the_own_namespace_counts() {
    let netns = fresh();
    for (bind, asked) in [("0.0.0.0:4789", "10.0.0.1"), ("[::]:4789", "fd00::1"), ("[::]:4789", "10.0.0.1")] {
        let socket = run_in(&netns, || StdSocket::bind(bind)).unwrap();
        assert!(owner_in(&netns, asked, 4789).is_some(), "{bind} keeps others off {asked}");
        assert_eq!(owner_in(&fresh(), asked, 4789), None);
        drop(socket);
    }
}
