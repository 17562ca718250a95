//! All but the first need root: they run in namespaces of their own.

use std::net::UdpSocket;

use rtnetlink::packet_route::route::{RouteAttribute, RouteMetric};

use super::super::netns::{self, run_in};
use super::*;

const MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 9]);

fn fresh() -> (Netns, Links) {
    let netns = netns::tests::fresh();
    let links = run_in(&netns, Links::open).unwrap();
    (netns, links)
}

fn veth() -> (Netns, Links, Netns, Links) {
    let ((left, left_links), (right, right_links)) = (fresh(), fresh());
    left_links.create_veth(("l0", &left), ("r0", &right)).unwrap();
    (left, left_links, right, right_links)
}

fn index(links: &Links, name: &str) -> u32 {
    links.by_name(name).unwrap().unwrap().index
}

fn setup(address: &str) -> LinkSetup {
    LinkSetup { addresses: vec![address.parse().unwrap()], up: true, ..LinkSetup::default() }
}

#[test]
fn the_loopback_is_found_by_name_number_and_address() {
    let links = Links::open().unwrap();
    let loopback = links.by_name("lo").unwrap().unwrap();
    assert_eq!(links.by_index(loopback.index).unwrap().unwrap(), loopback);
    assert_eq!(links.by_address(Ipv4Addr::LOCALHOST.into()).unwrap().map(|l| l.name), Some("lo".to_owned()));
    assert_eq!(links.by_address("192.0.2.77".parse().unwrap()).unwrap(), None);
    for absent in ["none-such", "", "a-name-far-too-long-for-any-link"] {
        assert_eq!(links.by_name(absent).unwrap(), None, "{absent}");
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_veth_pair_lies_in_both_namespaces() {
    let (_left, left, _right, right) = veth();
    let link = left.by_name("l0").unwrap().unwrap();
    assert_eq!((link.kind.as_deref(), link.up, link.mtu), (Some("veth"), false, 1500));
    assert!(right.by_name("r0").unwrap().is_some());
    assert_eq!(right.by_name("l0").unwrap(), None);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_taken_name_is_refused_by_name() {
    let (left, links, right, _) = veth();
    let error = links.create_veth(("l0", &left), ("r1", &right)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("l0 - r1"), "{error}");
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn everything_asked_for_is_set_and_twice_is_fine() {
    let (netns, links, _right, _) = veth();
    let link = index(&links, "l0");
    let all = LinkSetup {
        mtu: Some(Mtu::new(1400).unwrap()),
        mac: Some(MAC),
        txqueuelen: Some(77),
        gso_max_size: Some(30_000),
        addresses: vec!["10.1.0.1/24".parse().unwrap(), "fd00::1/64".parse().unwrap()],
        gateway: Some("10.1.0.254".parse().unwrap()),
        up: true,
    };
    links.configure(link, &all).unwrap();
    links.configure(link, &all).unwrap();

    let now = links.by_index(link).unwrap().unwrap();
    assert_eq!((now.mtu, now.mac, now.up), (1400, Some(MAC), true));
    for address in ["10.1.0.1", "fd00::1"] {
        assert_eq!(
            links.by_address(address.parse().unwrap()).unwrap().map(|l| l.index),
            Some(link),
            "{address}"
        );
    }
    let source = run_in(&netns, || source_address_to("192.0.2.1".parse().unwrap())).unwrap();
    assert_eq!(source, "10.1.0.1".parse::<IpAddr>().unwrap());
    // Usable at once: no duplicate address detection.
    run_in(&netns, || UdpSocket::bind("[fd00::1]:0").map(drop)).unwrap();
    let queue = run_in(&netns, || std::fs::read_to_string("/proc/thread-self/net/dev")).unwrap();
    assert!(queue.contains("l0:"));
    let message = links.messages().unwrap().into_iter().find(|m| m.header.index == link).unwrap();
    assert!(message.attributes.contains(&LinkAttribute::TxQueueLen(77)));
    assert!(message.attributes.contains(&LinkAttribute::GsoMaxSize(30_000)));
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn what_is_not_asked_for_stays() {
    let (_left, links, _right, _) = veth();
    let link = index(&links, "l0");
    let before = links.by_index(link).unwrap();
    links.configure(link, &LinkSetup::default()).unwrap();
    assert_eq!(links.by_index(link).unwrap(), before);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_refusal_says_what_was_refused() {
    let (_netns, links) = fresh();
    let error = links.configure(99, &setup("10.1.0.1/24")).unwrap_err();
    assert!(error.to_string().contains("link 99"), "{error}");
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_deleted_link_is_gone_and_so_is_its_other_end() {
    let (_left, left, _right, right) = veth();
    let link = index(&left, "l0");
    left.delete(link).unwrap();
    left.delete(link).unwrap();
    assert_eq!(left.by_index(link).unwrap(), None);
    assert_eq!(right.by_name("r0").unwrap(), None);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_bridge_takes_links_and_lets_them_go() {
    let (_left, links, _right, _) = veth();
    let bridge = links.create_bridge("br0").unwrap();
    let link = index(&links, "l0");
    let master = |links: &Links| {
        let message = links.messages().unwrap().into_iter().find(|m| m.header.index == link).unwrap();
        message
            .attributes
            .iter()
            .find_map(|a| if let LinkAttribute::Controller(c) = a { Some(*c) } else { None })
    };
    links.set_master(link, Some(bridge)).unwrap();
    assert_eq!(master(&links), Some(bridge));
    links.set_master(link, None).unwrap();
    assert_eq!(master(&links), None);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn the_mtu_of_a_path_is_that_of_its_link_or_route() {
    let (_left, links, _right, _) = veth();
    let (any, to): (IpAddr, IpAddr) = (Ipv4Addr::UNSPECIFIED.into(), "10.1.0.9".parse().unwrap());
    assert_eq!(links.link_mtu_to(to, any).unwrap(), None, "no route yet");

    let link = index(&links, "l0");
    links.configure(link, &LinkSetup { mtu: Mtu::new(1400).ok(), ..setup("10.1.0.1/24") }).unwrap();
    assert_eq!(links.link_mtu_to(to, any).unwrap(), Mtu::new(1400).ok());
    assert_eq!(links.link_mtu_to(to, "10.1.0.1".parse().unwrap()).unwrap(), Mtu::new(1400).ok());

    let mut route = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix("10.1.0.9".parse().unwrap(), 32)
        .output_interface(link)
        .build();
    route.attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(1300)]));
    links.create(Message::NewRoute(route), false, String::new).unwrap();
    assert_eq!(links.link_mtu_to(to, any).unwrap(), Mtu::new(1300).ok());
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn the_mtu_of_an_ipv6_path_is_found_too() {
    let (_left, links, _right, _) = veth();
    let link = index(&links, "l0");
    links.configure(link, &LinkSetup { mtu: Mtu::new(1420).ok(), ..setup("fd00::1/64") }).unwrap();
    let mtu = links.link_mtu_to("fd00::2".parse().unwrap(), "fd00::1".parse().unwrap()).unwrap();
    assert_eq!(mtu, Mtu::new(1420).ok());
}
