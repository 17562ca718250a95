//! Nodes that find each other by gossip: who talks with whom, and who hears what.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::json;
use weft_tests::cluster::{Cluster, GOSSIP_PORT, gossip, member, places, pod_number, states};
use weft_tests::node::{Config, count, network, peer, port};
use weft_tests::pair::{finish, pod_keys, pod_v4, pod_v6};
use weft_tests::peer::{Joint, address_pod, kernel_vxlan};
use weft_tests::traffic::{assert_pings, count_frames, counted};
use weft_tests::{Host, Injector, Lab, Netns, Node, inject, wait};

#[test]
#[ignore = "needs root: run by test.sh"]
fn three_nodes_with_one_join_address_are_an_overlay_without_flooding() {
    const NOBODY: [u8; 6] = [2, 0, 0, 0, 0x99, 0x99];
    let cluster = Cluster::start(3);
    for (from, pod) in cluster.pods.iter().enumerate() {
        for to in (0..3).filter(|to| *to != from) {
            assert_pings(pod, pod_v4(pod_number(to)));
            assert_pings(pod, pod_v6(pod_number(to)));
        }
    }
    for node in &cluster.nodes {
        let states = states(node);
        assert_eq!(states.len(), 2, "{states:?}");
        assert!(states.values().all(|state| state == "up"), "{states:?}");
    }
    // A frame to an address that nobody has goes nowhere, and is counted where it came in.
    for pod in &cluster.pods[1..] {
        count_frames(pod, "eth0", "ether daddr 02:00:00:00:99:99");
    }
    let before = cluster.nodes[0].dropped("unknown_unicast");
    let injector = Injector::new(&cluster.pods[0]);
    for _ in 0..10 {
        injector.send(&inject::frame(NOBODY, [2, 0, 0, 0, 0x32, 1], 0x88b5));
    }
    let dropped = || cluster.nodes[0].dropped("unknown_unicast") - before;
    wait::until(wait::secs(2), "the frames to be dropped", || dropped() == 10);
    assert_eq!((counted(&cluster.pods[1]), counted(&cluster.pods[2])), (0, 0));
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn broadcast_goes_only_to_nodes_that_have_the_network() {
    let mut cluster = Cluster::start(3);
    let (host, pod) = (cluster.lab.host("n4"), cluster.lab.pod("pod4"));
    let join = cluster.nodes[0].host.v4.into();
    let text =
        gossip(&cluster.lab, join) + &network("other", 200, "") + &port("pod", "other", &pod, &pod_keys(4));
    cluster.nodes.push(Node::start(&host, &Config::new(text)));
    wait::until(wait::secs(5), "the fourth node to be a member", || {
        cluster.nodes[..3].iter().all(|node| states(node).len() == 3) && states(&cluster.nodes[3]).len() == 3
    });
    for pod in &cluster.pods[1..] {
        count_frames(pod, "eth0", "ether type 0x88b5");
    }
    let injector = Injector::new(&cluster.pods[0]);
    for _ in 0..50 {
        injector.send(&inject::frame([0xff; 6], [2, 0, 0, 0, 0x32, 1], 0x88b5));
    }
    let heard = || [counted(&cluster.pods[1]), counted(&cluster.pods[2])];
    wait::until(wait::secs(2), "the broadcasts at both others", || heard() == [50, 50]);
    // Others knew it a moment before it knew them, and probed the path to it.
    let drops = cluster.nodes[3].json("drops");
    let (received, strangers) =
        (&drops["sides"]["received_from_underlay"], &drops["drops"]["unknown_peer"]["inbound"]);
    assert_eq!(count(received), count(strangers), "{drops}");
    cluster.finish();
}

/// Two nodes by these configurations, each with a pod; the pods answer each other, and the ledgers balance.
#[track_caller]
fn assert_pair_talks(mut lab: Lab, hosts: [&Host; 2], pods: &[Arc<Netns>; 2], configs: &[Config; 2]) {
    let mut nodes = [0, 1].map(|at| Node::spawn(hosts[at], &configs[at]));
    nodes.iter_mut().for_each(Node::wait_ready);
    for at in [0, 1] {
        assert_pings(&pods[at], pod_v4(2 - at as u8));
        assert_pings(&pods[at], pod_v6(2 - at as u8));
        assert!(places(&nodes[at]).contains_key(&(2 - at as u8)), "found by gossip, not by flooding");
    }
    finish(&mut nodes, &mut lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn nodes_that_share_a_family_talk() {
    let families = |host: &Host, which: &str| match which {
        "v4" => format!("address = \"{}\"", host.v4),
        "v6" => format!("address = \"{}\"", host.v6),
        _ => format!("address = [\"{}\", \"{}\"]", host.v4, host.v6),
    };
    for (one, two) in [("v4", "both"), ("both", "v4"), ("v6", "v6"), ("both", "v6")] {
        println!("{one} and {two}");
        let lab = Lab::new();
        let hosts = [lab.host("a"), lab.host("b")];
        let pods = [lab.pod("pod1"), lab.pod("pod2")];
        let v6 = two == "v6";
        let join = hosts[0].address(v6);
        let config = |at: usize, which| {
            let listen = format!("listen = \"{}\"\n", SocketAddr::new(hosts[at].address(v6), GOSSIP_PORT));
            let rest = gossip(&lab, join) + &listen;
            let rest =
                rest + &network("pods", 100, "") + &port("pod", "pods", &pods[at], &pod_keys(at as u8 + 1));
            Config::new(rest).underlay(&families(&hosts[at], which))
        };
        let configs = [config(0, one), config(1, two)];
        assert_pair_talks(lab, [&hosts[0], &hosts[1]], &pods, &configs);
    }
}

/// Gives a host another address behind a router, which has its own on the underlay: one to one.
#[track_caller]
fn behind_nat(router: &Host) -> Host {
    let inside = Netns::new("inside");
    let (outer, inner) = (router.v4, Ipv4Addr::new(192, 168, 7, 2));
    router.ns.ip(&format!("link add in0 type veth peer name u0 netns {}", inside.name()));
    router.ns.ip("addr add 192.168.7.1/24 dev in0");
    router.ns.ip("link set in0 up");
    inside.ip(&format!("addr add {inner}/24 dev u0"));
    inside.ip("link set u0 up");
    inside.ip("route add default via 192.168.7.1");
    router.ns.exec("sysctl -qw net.ipv4.ip_forward=1");
    router.ns.nft(&format!(
        "table ip nat {{\n chain to {{\n  type nat hook prerouting priority -100\n  iifname \"u0\" dnat to {inner}\n }}\n \
         chain from {{\n  type nat hook postrouting priority 100\n  oifname \"u0\" snat to {outer}\n }}\n}}\n"
    ));
    Host { ns: Arc::new(inside), v4: inner, ..router.clone() }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_node_behind_one_to_one_nat_talks_with_the_others() {
    for joins_by_the_other in [true, false] {
        let lab = Lab::new();
        let (open, router) = (lab.host("a"), lab.host("b"));
        let hidden = behind_nat(&router);
        let pods = [lab.pod("pod1"), lab.pod("pod2")];
        let join: IpAddr = if joins_by_the_other { open.v4 } else { router.v4 }.into();
        let underlay = format!("address = \"{}\"\nadvertise = [\"{}\"]", hidden.v4, router.v4);
        let configs = [member(&lab, join, &pods[0], 1), member(&lab, join, &pods[1], 2).underlay(&underlay)];
        assert_pair_talks(lab, [&open, &hidden], &pods, &configs);
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn static_peers_of_a_member_are_flooded_and_reached_by_it() {
    const NOBODY: [u8; 6] = [2, 0, 0, 0, 0x99, 0x99];
    let mut lab = Lab::new();
    let [a, b, kernel, other] = ["a", "b", "kernel", "other"].map(|name| lab.host(name));
    let pods: Vec<_> = (1..=4).map(|n| lab.pod(&format!("pod{n}"))).collect();
    let join = a.v4.into();
    kernel_vxlan(&kernel, join, 100, &pods[2], Joint::Device);
    address_pod(&pods[2], 3);
    let peers = peer(kernel.v4, "pods", "") + &peer(other.v4, "pods", "format = \"geneve\"");
    let only_v4 = |host: &Host| format!("address = \"{}\"", host.v4);
    let alone =
        network("pods", 100, "") + &port("pod", "pods", &pods[3], &pod_keys(4)) + &peer(a.v4, "pods", "");
    let mut nodes = [
        Node::start(&a, &member(&lab, join, &pods[0], 1).with(&peers).underlay(&only_v4(&a))),
        Node::start(&b, &member(&lab, join, &pods[1], 2).underlay(&only_v4(&b))),
        Node::start(&other, &Config::new(alone).underlay(&only_v4(&other))),
    ];
    for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 0), (0, 3), (3, 0)] {
        assert_pings(&pods[from], pod_v4(pod_number(to)));
    }
    for pod in &pods[1..] {
        count_frames(pod, "eth0", "ether daddr 02:00:00:00:99:99");
    }
    let before = [0, 1].map(|at: usize| nodes[at].dropped("unknown_unicast"));
    for (from, n) in [(0, 1), (1, 2)] {
        let injector = Injector::new(&pods[from]);
        (0..10).for_each(|_| injector.send(&inject::frame(NOBODY, [2, 0, 0, 0, 0x32, n], 0x88b5)));
    }
    let heard = || [1, 2, 3].map(|at: usize| counted(&pods[at]));
    wait::until(wait::secs(2), "the frames at both static peers", || heard() == [0, 10, 10]);
    let dropped = || [0, 1].map(|at: usize| nodes[at].dropped("unknown_unicast") - before[at]);
    wait::until(wait::secs(2), "the frames of the other member to be dropped", || dropped() == [0, 10]);
    finish(&mut nodes, &mut lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_node_that_joins_a_hundred_thousand_addresses_is_ready_within_three_seconds() {
    const OLD: u8 = 7;
    const EACH: u64 = 14_300;
    let mut lab = Lab::new();
    let hosts: Vec<_> = (1..=OLD + 1).map(|n| lab.host(&format!("n{n}"))).collect();
    let pods: Vec<_> = (1..=OLD + 1).map(|n| lab.pod(&format!("pod{n}"))).collect();
    let config = |n: u8, pod: &Netns| {
        let network = network("pods", 100, "max_macs = 200000");
        Config::new(gossip(&lab, hosts[0].v4.into()) + &network + &port("pod", "pods", pod, &pod_keys(n)))
    };
    let configs: Vec<_> = (1..=OLD + 1).zip(&pods).map(|(n, pod)| config(n, pod)).collect();
    let mut nodes: Vec<_> =
        hosts.iter().zip(&configs).take(OLD.into()).map(|(host, config)| Node::start(host, config)).collect();
    for (n, node) in nodes.iter().enumerate() {
        let add = |i: u64| {
            let mac = format!("02:11:00:{n:02x}:{:02x}:{:02x}", i >> 8, i & 0xff);
            json!({ "request": "fdb_add", "mac": mac, "network": "pods", "at": { "port": "pod" } })
        };
        let requests: Vec<_> = (0..EACH).map(add).collect();
        for reply in node.ask(&requests) {
            assert_ne!(reply["schema"], "weft.error/1", "{reply}");
        }
    }
    let all = EACH * u64::from(OLD);
    let macs = |node: &Node| count(&node.json("status")["counts"]["macs"]);
    wait::until(wait::secs(60), "the old nodes to know all", || nodes.iter().all(|node| macs(node) >= all));

    let start = wait::now();
    let new = Node::start(&hosts[7], &configs[7]);
    let ready = wait::now() - start;
    wait::until(wait::secs(3).saturating_sub(ready), "the new node to know all", || macs(&new) >= all);
    let known = wait::now() - start;
    println!("ready {ready:?} and all {all} addresses known {known:?} after the start");
    for n in 1..=OLD {
        assert_pings(&pods[7], pod_v4(n));
    }
    nodes.push(new);
    finish(&mut nodes, &mut lab);
}
