//! What a switch must not do: forward what is not allowed, to whom it is not meant, more than is allowed.

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use weft_tests::node::{Config, network, peer, port};
use weft_tests::pair::{Pair, Spec, finish, pod_keys, pod_v4, pod_v6};
use weft_tests::traffic::{assert_pings, ping_with, reaches, udp_burst};
use weft_tests::{Injector, Lab, Netns, Node, capture, inject, pcap, wait};

const MAC_1: [u8; 6] = weft_tests::pair::pod_mac(1);
const MAC_2: [u8; 6] = weft_tests::pair::pod_mac(2);

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_vlan_tag_drops_the_frame_unless_the_network_passes_it() {
    for (network, passes) in [("", false), ("vlan = \"pass\"", true)] {
        let pair = Pair::start(&Spec { network, port: "guard = false\n", ..Spec::default() });
        assert_pings(&pair.pods[0], pod_v4(2));
        let mut tagged = inject::frame(MAC_2, MAC_1, 0x8100);
        tagged[14..18].copy_from_slice(&[0, 5, 0x88, 0xb5]);
        tagged[59] = 0x5a;
        let file = pair.lab.dir().join("pod2.pcap");
        let running = capture::Capture::start(&pair.pods[1], "eth0", &file, capture::WHOLE);
        Injector::new(&pair.pods[0]).send(&tagged);
        wait::sleep_ms(300);
        assert_eq!(pair.nodes[0].dropped("vlan"), u64::from(!passes));
        let seen = pcap::read(&running.stop()).expect("a capture").packets;
        assert_eq!(seen.iter().any(|packet| packet.octets == tagged), passes);
        pair.finish();
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_port_sends_from_the_addresses_it_was_given_only() {
    let pair = Pair::start(&Spec::default());
    assert_pings(&pair.pods[0], pod_v4(2));
    pair.pods[0].ip("addr add 10.32.0.99/12 dev eth0");
    let stolen = ping_with(&pair.pods[0], pod_v4(2), "-c 3 -i 0.1 -W 1 -I 10.32.0.99");
    assert_eq!(stolen.answered, 0, "a stolen IPv4 address");
    let after_ip = pair.nodes[0].dropped("port_security");
    assert!(after_ip > 0);
    let injector = Injector::new(&pair.pods[0]);
    (0..10).for_each(|_| injector.send(&inject::frame(MAC_2, [2, 0, 0, 0, 0, 0x66], 0x88b5)));
    wait::until(wait::secs(3), "ten drops", || pair.nodes[0].dropped("port_security") >= after_ip + 10);
    assert_pings(&pair.pods[0], pod_v4(2));
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_port_without_guard_sends_from_any_address() {
    let pair = Pair::start(&Spec { port: "guard = false\n", ..Spec::default() });
    assert_pings(&pair.pods[0], pod_v4(2));
    pair.pods[0].ip("addr add 10.32.0.99/12 dev eth0");
    assert!(ping_with(&pair.pods[0], pod_v4(2), "-c 3 -i 0.1 -w 3 -I 10.32.0.99").all());
    assert_eq!(pair.nodes[0].dropped("port_security"), 0);
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn broadcast_above_the_ports_limit_is_dropped_and_unicast_is_not() {
    let pair = Pair::start(&Spec { port: "bum_pps = 20\n", ..Spec::default() });
    assert_pings(&pair.pods[0], pod_v4(2));
    let injector = Injector::new(&pair.pods[0]);
    let before = pair.nodes[0].dropped("bum_rate");
    (0..1_000).for_each(|_| injector.send(&inject::frame([0xff; 6], MAC_1, 0x88b5)));
    wait::until(wait::secs(3), "the drops to be counted", || {
        // A burst of 40 passes, and 20 each second that this takes.
        pair.nodes[0].dropped("bum_rate") >= before + 800
    });
    assert!(pair.nodes[0].dropped("bum_rate") <= before + 980);
    let pings = ping_with(&pair.pods[0], pod_v4(2), "-c 20 -i 0.02 -w 5");
    assert!(pings.all(), "unicast beside the storm: {pings:?}");
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn link_local_control_and_senseless_sources_are_not_forwarded() {
    let pair = Pair::start(&Spec { port: "guard = false\n", ..Spec::default() });
    assert_pings(&pair.pods[0], pod_v4(2));
    let injector = Injector::new(&pair.pods[0]);
    let cases = [
        ("reserved_mac", inject::frame([1, 0x80, 0xc2, 0, 0, 0], MAC_1, 0x88cc)),
        ("reserved_mac", inject::frame(MAC_2, MAC_1, 0x8808)),
        ("src_mac", inject::frame(MAC_2, [0; 6], 0x88b5)),
        ("src_mac", inject::frame(MAC_2, [3, 0, 0, 0, 0, 1], 0x88b5)),
    ];
    for (reason, frame) in cases {
        let before = pair.nodes[0].dropped(reason);
        injector.send(&frame);
        wait::until(wait::secs(3), reason, || pair.nodes[0].dropped(reason) == before + 1);
    }
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_frame_for_the_sender_itself_goes_nowhere() {
    let pair = Pair::start(&Spec::default());
    assert_pings(&pair.pods[0], pod_v4(2));
    let injector = Injector::new(&pair.pods[0]);
    injector.send(&inject::frame(MAC_1, MAC_1, 0x88b5));
    wait::until(wait::secs(3), "split_horizon", || pair.nodes[0].dropped("split_horizon") == 1);
    pair.finish();
}

/// Three nodes with a pod each, and every other node as static peer.
fn three(network_keys: &str) -> (Lab, Vec<Node>, Vec<Arc<Netns>>) {
    let lab = Lab::new();
    let hosts: Vec<_> = ["a", "b", "c"].map(|name| lab.host(name)).into();
    let pods: Vec<_> = ["pod1", "pod2", "pod3"].map(|name| lab.pod(name)).into();
    let nodes = (0..3)
        .map(|i| {
            let others = hosts.iter().filter(|h| h.name != hosts[i].name);
            let peers: String = others.map(|h| peer(h.v4, "pods", "")).collect();
            let text = network("pods", 100, network_keys)
                + &port("pod", "pods", &pods[i], &pod_keys(i as u8 + 1))
                + &peers;
            Node::start(&hosts[i], &Config::new(text))
        })
        .collect();
    (lab, nodes, pods)
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn learned_unicast_goes_to_its_owner_only_and_floods_never_come_back() {
    let (mut lab, mut nodes, pods) = three("");
    for (from, to) in [(0, 2), (0, 3), (1, 3), (2, 2)] {
        assert_pings(&pods[from], pod_v4(to));
    }
    let entry = nodes[0].entry("fdb show", "mac", "02:00:00:00:32:02").expect("the MAC of pod 2 was learned");
    assert_eq!((&entry["state"], &entry["vni"]), (&"remote".into(), &100.into()));
    assert!(entry["dst"].as_str().is_some_and(|dst| dst.contains("10.99.0.2")), "{entry}");
    let own = nodes[0].entry("fdb show", "mac", "02:00:00:00:32:01").expect("the port's own MAC");
    assert_eq!(own["port"], "pod");
    let before = lab.wire_packets(3);
    let burst = udp_burst(&pods[0], (&pods[1], pod_v4(2)), 500, Duration::from_micros(100), |_| 500);
    assert_eq!(burst.received, 500);
    assert!(lab.wire_packets(3) - before < 100, "unicast to node b was flooded to node c");
    // A batch of datagrams would count as one packet on the wire.
    nodes[0].host.finish_packets();
    // Twenty broadcasts reach both other nodes, once each: nobody sends on what came from a tunnel.
    let injector = Injector::new(&pods[0]);
    let before = lab.wire_packets(1);
    (0..20).for_each(|_| injector.send(&inject::frame([0xff; 6], MAC_1, 0x88b5)));
    wait::sleep_ms(500);
    let wire = lab.wire_packets(1) - before;
    assert!((40..80).contains(&wire), "20 broadcasts to two peers made {wire} packets");
    finish(&mut nodes, &mut lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn unknown_unicast_is_flooded_or_dropped_as_the_network_says() {
    for (keys, dropped) in [("unknown_unicast = \"flood\"", 0), ("unknown_unicast = \"drop\"", 5)] {
        let (mut lab, mut nodes, pods) = three(keys);
        assert_pings(&pods[0], pod_v4(2));
        nodes[0].host.finish_packets();
        let (injector, before) = (Injector::new(&pods[0]), lab.wire_packets(1));
        (0..5).for_each(|_| injector.send(&inject::frame([2, 0, 0, 0, 0, 0x77], MAC_1, 0x88b5)));
        wait::until(wait::secs(3), "the frames to be counted", || {
            nodes[0].dropped("unknown_unicast") == dropped
                && (dropped > 0 || lab.wire_packets(1) >= before + 10)
        });
        finish(&mut nodes, &mut lab);
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn networks_with_the_same_addresses_never_meet() {
    const NETWORKS: usize = 8;
    const PORTS: usize = 2;
    let mut lab = Lab::new();
    let hosts = [lab.host("a"), lab.host("b")];
    let pods: Vec<Vec<_>> =
        (0..2).map(|h| (0..NETWORKS * PORTS).map(|i| lab.pod(&format!("{h}x{i}"))).collect()).collect();
    let mut nodes: Vec<_> = (0..2)
        .map(|h| {
            let names: Vec<_> = (0..NETWORKS).map(|n| format!("\"n{n}\"")).collect();
            let mut text: String =
                (0..NETWORKS).map(|n| network(&format!("n{n}"), 1000 + n as u32, "")).collect();
            for (i, pod) in pods[h].iter().enumerate() {
                let keys = pod_keys((1 + h * PORTS + i % PORTS) as u8);
                text += &port(&format!("p{i}"), &format!("n{}", i / PORTS), pod, &keys);
            }
            text +=
                &format!("[[peer]]\naddress = \"{}\"\nnetworks = [{}]\n", hosts[1 - h].v4, names.join(", "));
            Node::start(&hosts[h], &Config::new(text))
        })
        .collect();
    for n in 0..NETWORKS {
        let first = &pods[0][n * PORTS];
        for target in 2..=4 {
            assert_pings(first, pod_v4(target));
        }
        assert_pings(&pods[1][n * PORTS + 1], pod_v6(1));
    }
    // The address that only network 0 has: found from there, from nowhere else.
    pods[1][0].ip("addr add 10.32.0.200/12 dev eth0");
    let only = IpAddr::from([10, 32, 0, 200]);
    for n in 1..NETWORKS {
        assert!(
            !ping_with(&pods[0][n * PORTS], only, "-c 1 -W 0.3").all(),
            "network {n} reached into network 0"
        );
    }
    finish(&mut nodes, &mut lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_frame_with_nobody_to_go_to_is_counted() {
    let mut lab = Lab::new();
    let (host, pod) = (lab.host("a"), lab.pod("pod1"));
    let mut node = Node::start(&host, &Spec::default().config(&host, &pod, 1, &[]));
    let (injector, before) = (Injector::new(&pod), node.dropped("no_destination"));
    injector.send(&inject::frame([0xff; 6], MAC_1, 0x88b5));
    wait::until(wait::secs(2), "no_destination", || node.dropped("no_destination") > before);
    finish([&mut node], &mut lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn our_own_datagram_out_of_a_port_is_a_loop() {
    let pair = Pair::start(&Spec { port: "guard = false\n", ..Spec::default() });
    let mut frame = inject::frame(MAC_2, MAC_1, 0x0800);
    // IPv4 and UDP, from the node's own underlay address to its VXLAN port.
    frame[14..38].copy_from_slice(&[
        0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 99, 0, 1, 10, 99, 0, 2, 0xc0, 0, 0x12, 0xb5,
    ]);
    frame[38..42].copy_from_slice(&[0, 26, 0, 0]);
    Injector::new(&pair.pods[0]).send(&frame);
    wait::until(wait::secs(2), "encap_loop", || pair.nodes[0].dropped("encap_loop") == 1);
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_frame_for_a_device_that_is_down_is_counted() {
    let pair = Pair::start(&Spec::default());
    assert_pings(&pair.pods[0], pod_v4(2));
    pair.pods[1].ip("link set eth0 down");
    let before = pair.nodes[1].dropped("tap_gone");
    assert!(!reaches(&pair.pods[0], pod_v4(2)));
    assert!(pair.nodes[1].dropped("tap_gone") > before, "{}", pair.nodes[1].json("drops"));
    pair.pods[1].ip("link set eth0 up");
    assert_pings(&pair.pods[0], pod_v4(2));
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_frame_for_a_peer_without_route_is_counted() {
    let mut lab = Lab::new();
    let (host, pod) = (lab.host("a"), lab.pod("pod1"));
    let far = IpAddr::from([192, 0, 2, 1]);
    let mut node = Node::start(&host, &Spec::default().config(&host, &pod, 1, &[far]));
    let peer = node.json("peer")["entries"][0].clone();
    assert_eq!(peer["state"], "down", "{peer}");
    let done = node.cli(&["fdb", "add", "02:00:00:00:32:02", "--network", "pods", "--dst", "192.0.2.1"]);
    assert!(done.ok(), "{}{}", done.out, done.err);
    Injector::new(&pod).send(&inject::frame(MAC_2, MAC_1, 0x88b5));
    wait::until(wait::secs(2), "peer_down", || node.dropped("peer_down") > 0);
    finish([&mut node], &mut lab);
}

/// A datagram for VNI 100 with this frame, sent from a host without a daemon.
fn send_vxlan(socket: &UdpSocket, to: IpAddr, frame: &[u8]) {
    let datagram = [&[8, 0, 0, 0, 0, 0, 100, 0], frame].concat();
    socket.send_to(&datagram, (to, 4789)).expect("sent");
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn congestion_marked_outside_drops_what_cannot_carry_the_mark() {
    let mut lab = Lab::new();
    let (hosts, pod) = (["a", "known"].map(|name| lab.host(name)), lab.pod("pod1"));
    let config = Spec::default().config(&hosts[0], &pod, 1, &[hosts[1].v4.into()]);
    let mut node = Node::start(&hosts[0], &config);
    let socket = hosts[1].ns.enter(|| UdpSocket::bind((hosts[1].v4, 0)).expect("a socket"));
    socket2::SockRef::from(&socket).set_tos_v4(3).expect("congestion experienced");
    let mut frame = inject::frame(MAC_1, [2, 0, 0, 0, 0, 9], 0x0800);
    frame[14..34].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0, 0, 64, 253, 0, 0, 10, 32, 0, 9, 10, 32, 0, 1]);
    send_vxlan(&socket, hosts[0].v4.into(), &frame);
    wait::until(wait::secs(2), "ip_tunnel_ecn", || node.dropped("ip_tunnel_ecn") == 1);
    finish([&mut node], &mut lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn an_address_that_keeps_moving_is_frozen_until_thawed() {
    let mut lab = Lab::new();
    let (hosts, pod) = (["a", "one", "two"].map(|name| lab.host(name)), lab.pod("pod1"));
    let peers = [hosts[1].v4.into(), hosts[2].v4.into()];
    let mut node = Node::start(&hosts[0], &Spec::default().config(&hosts[0], &pod, 1, &peers));
    let sockets = [1, 2].map(|i| hosts[i].ns.enter(|| UdpSocket::bind((hosts[i].v4, 0)).expect("a socket")));
    let mac = "02:00:00:00:00:77";
    let frame = inject::frame(MAC_1, [2, 0, 0, 0, 0, 0x77], 0x88b5);
    for socket in sockets.iter().cycle().take(20) {
        send_vxlan(socket, hosts[0].v4.into(), &frame);
        wait::sleep_ms(50);
    }
    wait::until(wait::secs(2), "mac_frozen", || node.dropped("mac_frozen") > 0);
    let done = node.cli(&["fdb", "thaw", mac]);
    assert!(done.ok(), "{}{}", done.out, done.err);
    let frozen = node.dropped("mac_frozen");
    sockets.iter().for_each(|socket| send_vxlan(socket, hosts[0].v4.into(), &frame));
    wait::sleep_ms(200);
    assert_eq!(node.dropped("mac_frozen"), frozen, "it is still frozen");
    finish([&mut node], &mut lab);
}
