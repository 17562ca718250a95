//! Paths that get smaller, break and mend, with real pods and real traffic on them.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use weft_tests::cluster::{Cluster, GOSSIP_PORT, events, states};
use weft_tests::command::run;
use weft_tests::iperf::Iperf;
use weft_tests::node::count;
use weft_tests::numbered::Numbered;
use weft_tests::pair::{pod_v4, pod_v6};
use weft_tests::stream::Stream;
use weft_tests::traffic::{
    Pings, assert_pings, count_frames, counted, ping_line, ping_sized, ping_with, reaches,
};
use weft_tests::{Netns, Node, wait};

/// What a node shows of the peer with this name.
#[track_caller]
fn peer(node: &Node, name: &str) -> Value {
    node.entry("peer list", "name", name).unwrap_or_else(|| panic!("{name} is a peer of {}", node.host.name))
}

/// The MTU of the underlay path to a peer, as a node shows it.
fn path_mtu(node: &Node, name: &str) -> u64 {
    count(&peer(node, name)["path_mtu"])
}

/// iperf3 from the first pod to the second.
#[track_caller]
fn iperf(cluster: &Cluster, seconds: u32) -> Iperf {
    Iperf::start(&cluster.pods[0], (&cluster.pods[1], pod_v4(2)), seconds, cluster.lab.dir())
}

/// Whether a ping of 10,000 octets, in fragments, is answered.
fn large_ping(cluster: &Cluster, to: u8) -> bool {
    ping_with(&cluster.pods[0], pod_v4(to), "-c 1 -W 1 -s 10000").all()
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_path_that_shrinks_without_a_word_is_found_and_used_again_when_it_grows() {
    let cluster = Cluster::start(2);
    let stream = Stream::start(&cluster.pods[0], (&cluster.pods[1], pod_v4(2)), 5201, None);
    let bulk = iperf(&cluster, 8);
    wait::sleep_ms(1000);
    assert_eq!(path_mtu(&cluster.nodes[0], "n2"), 1500);

    let start = wait::now();
    cluster.shrink(1280);
    let found = wait::until(wait::secs(3), "the smaller path to be found", || {
        path_mtu(&cluster.nodes[0], "n2") == 1280
    });
    let large = wait::until(wait::secs(3), "a large ping to be answered", || large_ping(&cluster, 2));
    let octets = stream.octets();
    wait::until(wait::secs(3), "the stream to flow again", || stream.octets() > octets + 1_000_000);
    let pause = stream.longest_pause_since(start);
    println!("shrunk: found after {found:?}, large ping {large:?} later, the stream stood for {pause:?}");
    assert!(pause <= wait::secs(3), "{pause:?}");
    assert!(!ping_sized(&cluster.pods[0], pod_v4(2), 1231));
    assert!(ping_sized(&cluster.pods[0], pod_v4(2), 1230));
    let bulk = bulk.finish();
    println!("iperf3: {bulk:?}");
    assert!(bulk.longest_pause <= wait::secs(3) && bulk.octets > 100_000_000, "{bulk:?}");

    cluster.heal();
    let grown = wait::until(wait::secs(30), "the larger path to be used", || {
        path_mtu(&cluster.nodes[0], "n2") == 1500
    });
    println!("grown back: used after {grown:?}");
    stream.finish().expect("a stream without a fault");
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn without_a_direct_way_frames_go_through_a_third_node_and_back_to_the_direct_one() {
    let cluster = Cluster::start(3);
    let stream = Stream::start(&cluster.pods[0], (&cluster.pods[1], pod_v4(2)), 5201, None);
    let bulk = iperf(&cluster, 8);
    wait::sleep_ms(500);
    let start = wait::now();
    cluster.cut(1, 2);
    let relayed = |node: usize, of: &str| {
        let causes = peer(&cluster.nodes[node], of)["degraded"].to_string();
        causes.contains("n3")
    };
    let found =
        wait::until(wait::secs(2), "both to go through the third", || relayed(0, "n2") && relayed(1, "n1"));
    wait::sleep_ms(1500);
    let pause = stream.longest_pause_since(start);
    println!("relayed after {found:?}, the stream stood for {pause:?}");
    assert!(stream.lives());
    assert_pings(&cluster.pods[0], pod_v4(2));
    assert_pings(&cluster.pods[1], pod_v6(1));

    cluster.heal();
    let direct =
        wait::until(wait::secs(2), "both to go straight again", || !relayed(0, "n2") && !relayed(1, "n1"));
    println!("direct after {direct:?}");
    let bulk = bulk.finish();
    println!("iperf3: {bulk:?}");
    assert!(bulk.longest_pause <= wait::secs(3) && bulk.octets > 100_000_000, "{bulk:?}");
    let octets = stream.octets();
    wait::until(wait::secs(3), "the stream to flow", || stream.octets() > octets + 1_000_000);
    stream.finish().expect("a stream without a fault");
    for node in &cluster.nodes {
        assert_eq!(events(node, "member_down").len(), 0, "{}", node.host.name);
    }
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn nothing_arrives_twice_while_frames_go_through_a_third_node_and_straight_again() {
    let cluster = Cluster::start(3);
    assert_pings(&cluster.pods[0], pod_v4(2));
    let datagrams = Numbered::start(&cluster.pods[0], (&cluster.pods[1], pod_v4(2)), 5201);
    wait::sleep_ms(1500);
    let start = wait::now();
    cluster.cut(1, 2);
    wait::sleep_ms(3000);
    let at_cut = datagrams.longest_pause_since(start);
    let causes = peer(&cluster.nodes[0], "n2")["degraded"].to_string();
    assert!(causes.contains("n3"), "{causes}");

    let start = wait::now();
    cluster.heal();
    wait::until(wait::secs(2), "frames to go straight again", || {
        !peer(&cluster.nodes[0], "n2")["degraded"].to_string().contains("n3")
    });
    wait::sleep_ms(2000);
    let at_repair = datagrams.longest_pause_since(start);
    let heard = datagrams.finish();
    println!("none for {at_cut:?} at the cut, for {at_repair:?} at the repair: {heard:?}");
    assert_eq!(heard.again, 0, "{heard:?}");
    assert!(heard.received > heard.sent / 2, "{heard:?}");
    assert!((Duration::from_millis(50)..=wait::secs(2)).contains(&at_cut), "{at_cut:?}");
    assert!(at_repair <= wait::secs(2), "{at_repair:?}");
    cluster.finish();
}

/// Counts the IP packets with weft's own messages that go from one host's wire to another's: see `encap::control`.
fn count_control(cluster: &Cluster, ways: &[(u8, u8)]) {
    let ports = [(4789, "0x00776674"), (6081, "0x008088b5")];
    let rule = |(from, to): &(u8, u8)| {
        let way = format!("iifname \"h{from}\" oifname \"h{to}\"");
        ports.map(|(port, mark)| format!("{way} udp dport {port} @th,64,32 {mark} counter")).join("\n  ")
    };
    cluster.fault(&ways.iter().map(rule).collect::<Vec<_>>().join("\n  "));
}

/// The octets that [`count_control`] has counted on one way.
fn control_octets(cluster: &Cluster, (from, to): (u8, u8)) -> u64 {
    let listed = cluster.lab.hub().exec("nft list table bridge fault");
    let way = format!("iifname \"h{from}\" oifname \"h{to}\"");
    let octets = |line: &str| line.split("bytes ").nth(1)?.split(' ').next()?.parse::<u64>().ok();
    listed.lines().filter(|line| line.contains(&way)).filter_map(octets).sum()
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn probes_cost_200_octets_a_second_without_traffic_and_4_kilobytes_with_it() {
    const SECONDS: u64 = 20;
    let cluster = Cluster::start(3);
    for pod in &cluster.pods {
        // What IPv6 says by itself is traffic, too.
        pod.exec("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1");
    }
    let options = "-c 1000 -i 0.2 -w 60";
    let line = ping_line(pod_v4(3), options);
    let _pings = cluster.pods[0].start(
        &line.split(' ').collect::<Vec<_>>(),
        &[],
        &cluster.lab.dir().join("pings.txt"),
    );
    // Without traffic is who had none for ten seconds.
    wait::sleep_ms(12_000);
    let (idle, active) = ([(1, 2), (2, 1), (2, 3), (3, 2)], [(1, 3), (3, 1)]);
    count_control(&cluster, &[&idle[..], &active].concat());
    wait::sleep_ms(SECONDS * 1000);
    let rates = |ways: &[(u8, u8)]| -> Vec<u64> {
        ways.iter().map(|way| control_octets(&cluster, *way) / SECONDS).collect()
    };
    let (idle, active) = (rates(&idle), rates(&active));
    println!("octets a second to a peer: {idle:?} without traffic, {active:?} with");
    assert!(idle.iter().all(|rate| (20..=200).contains(rate)), "{idle:?}");
    assert!(active.iter().all(|rate| (1000..=4000).contains(rate)), "{active:?}");
    cluster.heal();
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_port_that_is_filtered_is_gone_around() {
    let cluster = Cluster::start(2);
    let stream = Stream::start(&cluster.pods[0], (&cluster.pods[1], pod_v4(2)), 5201, None);
    // Of a path that never worked this would be found later: the other node may not have heard of this one.
    wait::sleep_ms(1500);
    cluster.filter_port(4789);
    let other = || peer(&cluster.nodes[0], "n2")["format"] == "geneve";
    let found = wait::until(wait::secs(3), "the other port to be used", other);
    let octets = stream.octets();
    wait::until(wait::secs(3), "the stream to flow", || stream.octets() > octets + 1_000_000);
    println!("the other port after {found:?}");
    let status = cluster.nodes[0].cli(&["status"]);
    assert!(status.code == 4 && status.out.contains("4789"), "{}", status.out);
    cluster.heal();
    wait::until(Duration::from_secs(15), "the usual port to be used again", || !other());
    stream.finish().expect("a stream without a fault");
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn where_one_ip_version_of_the_underlay_is_cut_the_other_is_used_and_nobody_relays() {
    let cluster = Cluster::start(3);
    let (v4, v6) = (cluster.nodes[1].host.v4.to_string(), cluster.nodes[1].host.v6.to_string());
    let stream = Stream::start(&cluster.pods[0], (&cluster.pods[1], pod_v4(2)), 5201, None);
    wait::sleep_ms(2000);
    let address = |node: usize, of: &str| peer(&cluster.nodes[node], of)["address"].clone();
    assert_eq!(address(0, "n2"), v4.as_str());

    let start = wait::now();
    cluster.cut_family(1, 2, "ip");
    let found = wait::until(wait::secs(3), "IPv6 to be used", || address(0, "n2") == v6.as_str());
    let octets = stream.octets();
    wait::until(wait::secs(3), "the stream to flow", || stream.octets() > octets + 1_000_000);
    wait::sleep_ms(1500);
    let pause = stream.longest_pause_since(start);
    println!("IPv6 after {found:?}, the stream stood for {pause:?}");
    assert!(pause <= wait::secs(3), "{pause:?}");
    assert_pings(&cluster.pods[0], pod_v6(2));
    assert_pings(&cluster.pods[1], pod_v4(1));
    // 70 octets around a pod's packet, which is the MTU that ports have.
    assert!(ping_sized(&cluster.pods[0], pod_v4(2), 1430));
    let status = cluster.nodes[0].cli(&["status"]);
    assert!(status.code == 4 && status.out.contains("over IPv6"), "{}", status.out);

    cluster.heal();
    let back = wait::until(wait::secs(10), "IPv4 to be used again", || address(0, "n2") == v4.as_str());
    println!("back after {back:?}");
    let octets = stream.octets();
    wait::until(wait::secs(3), "the stream to flow", || stream.octets() > octets + 1_000_000);
    stream.finish().expect("a stream without a fault");
    assert_eq!(cluster.count_events("path_relayed"), 0);
    assert_eq!(cluster.count_events("member_down"), 0);
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_cluster_changes_its_format_without_losing_a_frame() {
    let cluster = Cluster::start(2);
    let options = "-c 600 -i 0.005 -w 60";
    let line = ping_line(pod_v4(2), options);
    let words: Vec<_> = line.split(' ').collect();
    let pings = cluster.pods[0].start(&words, &[], &cluster.lab.dir().join("pings.txt"));
    for (node, config) in cluster.nodes.iter().zip(&cluster.configs) {
        wait::sleep_ms(500);
        node.rewrite(&config.clone().with("[encap]\nformat = \"geneve\""));
        let done = node.cli(&["reload"]);
        assert!(done.ok(), "{}", done.err);
    }
    assert_eq!(Pings::read(&pings.log(), options), None, "the pings ended before the change");
    wait::until(wait::secs(65), "the pings to end", || Pings::read(&pings.log(), options).is_some());
    assert!(Pings::read(&pings.log(), options).is_some_and(Pings::all), "{}", pings.log());
    for (node, other) in cluster.nodes.iter().zip(["n2", "n1"]) {
        assert_eq!(peer(node, other)["format"], "geneve");
        assert_eq!(peer(node, other)["port"], 6081);
    }
    cluster.finish();
}

/// Pings with DSCP EF and ECT(0) arrive so, with this DSCP outside; and with CE once the underlay marked congestion.
fn marks_travel(policy: &str, outside: &str) {
    let cluster = Cluster::start(2);
    for (node, config) in cluster.nodes.iter().zip(&cluster.configs) {
        node.rewrite(&config.clone().with(&format!("[encap]\ndscp = \"{policy}\"")));
        assert!(node.cli(&["reload"]).ok());
    }
    let (hub, pod) = (cluster.lab.hub(), &cluster.pods[1]);
    count_frames(hub, "h1", &format!("udp dport 4789 ip dscp {outside} ip ecn ect0"));
    count_frames(pod, "eth0", "ip dscp ef ip ecn ect0");
    let pings = || ping_with(&cluster.pods[0], pod_v4(2), "-c 10 -i 0.02 -w 5 -Q 0xba");
    assert!(pings().all());
    assert_eq!((counted(hub), counted(pod)), (10, 10), "{policy}");
    cluster.mark_congestion();
    assert!(pings().all());
    assert_eq!(counted(pod), 10, "{policy}: marked frames are another kind");
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn dscp_follows_the_configuration_and_congestion_marks_come_through() {
    marks_travel("0", "cs0");
    marks_travel("inherit", "ef");
    // A mark inside, where the frame can carry it.
    let cluster = Cluster::start(2);
    cluster.mark_congestion();
    count_frames(&cluster.pods[1], "eth0", "ip dscp ef ip ecn ce");
    assert!(ping_with(&cluster.pods[0], pod_v4(2), "-c 10 -i 0.02 -w 5 -Q 0xba").all());
    assert_eq!(counted(&cluster.pods[1]), 10);
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_node_whose_address_changes_is_found_again_without_a_restart() {
    let cluster = Cluster::start_with(2, "interface = \"u0\"");
    let (node, pid) = (&cluster.nodes[0], cluster.nodes[0].pid());
    let moved_by_hand = port_moved_by_hand(&cluster);
    let as_it_is = || moved_by_hand.ip("-d link show tap7") + &moved_by_hand.ip("-o addr show tap7");
    // The kernel looks for a second owner of the address first.
    wait::until(wait::secs(5), "the address to be final", || !as_it_is().contains("tentative"));
    let (before, ups) = (as_it_is(), events(node, "port_up").len());

    // Another address beside the one in use, listed first or not, is nobody's business.
    node.host.ns.ip("addr add fd99::abcd/64 dev u0 nodad");
    node.host.ns.ip("addr add 10.99.0.100/24 dev u0");
    wait::sleep_ms(2500);
    assert_eq!(events(node, "address_changed").len(), 0);
    node.host.ns.ip("addr del 10.99.0.100/24 dev u0");

    let start = wait::now();
    node.host.ns.ip("addr del 10.99.0.1/24 dev u0");
    node.host.ns.ip("addr add 10.99.0.101/24 dev u0");
    wait::until(wait::secs(4), "the pods to reach each other again", || {
        reaches(&cluster.pods[0], pod_v4(2)) && reaches(&cluster.pods[1], pod_v4(1))
    });
    println!("followed {:?} after the change", wait::now() - start);
    // The pods may have talked over IPv6 meanwhile.
    let is_told = || peer(&cluster.nodes[1], "n1")["address"] == "10.99.0.101";
    wait::until(wait::secs(4), "the other node to know the address", is_told);
    assert_eq!((node.pid(), events(node, "address_changed").len()), (pid, 1));
    assert_pings(&cluster.pods[0], pod_v6(2));

    wait::until(wait::secs(2), "the pod with the device moved by hand to be reached", || {
        reaches(&moved_by_hand, pod_v4(2)) && reaches(&cluster.pods[1], pod_v4(7))
    });
    assert_eq!((as_it_is(), events(node, "port_up").len()), (before, ups));
    assert!(!node.host.ns.devices().contains(&"tap7".to_owned()), "a second device");
    cluster.finish();
}

/// A pod of the first node whose port has no `netns`: its device was moved there, and set up, by hand.
fn port_moved_by_hand(cluster: &Cluster) -> Arc<Netns> {
    let (node, pod) = (&cluster.nodes[0], cluster.lab.pod("pod7"));
    let mac = "02:00:00:00:32:07";
    let done = node.cli(&["port", "add", "hand", "--network", "pods", "--ifname", "tap7", "--mac", mac]);
    assert!(done.ok(), "{}", done.err);
    node.host.ns.ip(&format!("link set tap7 netns {}", pod.name()));
    pod.ip(&format!("addr add {}/12 dev tap7", pod_v4(7)));
    pod.ip("link set tap7 mtu 1300 up");
    wait::until(wait::secs(3), "the device to work there", || reaches(&pod, pod_v4(2)));
    pod
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_node_that_cannot_use_its_new_address_waits_for_it_and_says_so() {
    let mut cluster = Cluster::start_with(2, "interface = \"u0\"");
    cluster.nodes[0].host.ns.exec("sysctl -qw net.ipv4.conf.u0.promote_secondaries=1");
    // Somebody has the port on the address that the node is to move to.
    let goes_over = |node: &Node, from: &str, to: &str| {
        node.host.ns.ip(&format!("addr add {to}/24 dev u0"));
        let taken = node.host.ns.enter(|| UdpSocket::bind((to, 4789))).expect("a free port");
        node.host.ns.ip(&format!("addr del {from}/24 dev u0"));
        wait::until(wait::secs(4), "the node to say that it waits", || {
            let status = node.cli(&["status"]);
            status.code == 4 && status.out.contains("underlay") && status.out.contains("tried again")
        });
        taken
    };
    let node = &cluster.nodes[0];
    let taken = goes_over(node, "10.99.0.1", "10.99.0.101");
    wait::sleep_ms(1500);
    assert_eq!(events(node, "address_waits").len(), 1);
    drop(taken);
    wait::until(wait::secs(6), "the pods to reach each other again", || {
        reaches(&cluster.pods[0], pod_v4(2)) && reaches(&cluster.pods[1], pod_v4(1))
    });

    let _taken = goes_over(node, "10.99.0.101", "10.99.0.102");
    let took = cluster.nodes.remove(0).stop();
    assert!(took < wait::secs(1), "{took:?}");
    assert!(!cluster.pods[0].devices().contains(&"eth0".to_owned()));
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_node_that_left_stays_away_on_another_address_and_counts_on() {
    let cluster = Cluster::start_with(2, "interface = \"u0\"");
    let (node, other) = (&cluster.nodes[0], &cluster.nodes[1]);
    assert_pings(&cluster.pods[0], pod_v4(2));
    assert!(node.cli(&["leave"]).ok());
    let received = |node: &Node| count(&node.json("drops")["received"]);
    let before = received(node);
    node.host.ns.ip("addr del 10.99.0.1/24 dev u0");
    node.host.ns.ip("addr add 10.99.0.101/24 dev u0");
    wait::until(wait::secs(4), "the address to be followed", || !events(node, "address_followed").is_empty());
    wait::sleep_ms(1500);
    assert!(before > 0 && received(node) >= before, "{before}");
    assert!(node.cli(&["status"]).out.contains("this node left"));
    let states = states(other);
    assert_eq!(states.get("10.99.0.1:6786").map(String::as_str), Some("left"), "{states:?}");
    assert!(!states.contains_key("10.99.0.101:6786"), "{states:?}");
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn ports_follow_the_link_but_never_below_1280_and_one_set_by_hand_stays() {
    let cluster = Cluster::start(2);
    let mtu = |pod: usize| {
        let text = cluster.pods[pod].exec("cat /sys/class/net/eth0/mtu");
        text.trim().parse::<u32>().expect("a number")
    };
    let pids: Vec<u32> = cluster.nodes.iter().map(Node::pid).collect();
    // Both families are in use outside: the 70 octets of IPv6 count.
    assert_eq!((mtu(0), mtu(1)), (1430, 1430));
    cluster.pods[1].ip("link set eth0 mtu 1390");
    let stream = Stream::start(&cluster.pods[0], (&cluster.pods[1], pod_v4(2)), 5201, None);
    for (link, port) in [(1400, 1330), (1500, 1430), (1300, 1280), (1500, 1430)] {
        cluster.nodes.iter().for_each(|node| drop(node.host.ns.ip(&format!("link set u0 mtu {link}"))));
        let followed = wait::until(wait::secs(3), "the port to follow its link", || mtu(0) == port);
        let octets = stream.octets();
        let flows = wait::until(wait::secs(4), "the stream to flow", || stream.octets() > octets + 1_000_000);
        wait::until(wait::secs(3), "a large ping to be answered", || large_ping(&cluster, 2));
        wait::until(wait::secs(3), "a large ping back", || {
            ping_with(&cluster.pods[1], pod_v4(1), "-c 1 -W 1 -s 10000").all()
        });
        assert_pings(&cluster.pods[0], pod_v6(2));
        assert_eq!(mtu(1), 1390, "it was set by hand");
        println!("link {link}: the port followed after {followed:?}, the stream flowed {flows:?} later");
    }
    stream.finish().expect("a stream without a fault");
    assert_eq!(cluster.nodes.iter().map(Node::pid).collect::<Vec<_>>(), pids);
    assert_eq!(cluster.count_events("port_up"), 2, "no port was opened again");
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn tls_does_not_hang_when_the_path_has_just_become_smaller() {
    const OCTETS: usize = 3_000_000;
    let cluster = Cluster::start(2);
    let dir = cluster.lab.dir();
    std::fs::write(dir.join("file"), vec![b'w'; OCTETS]).expect("a file to serve");
    let (key, cert) = (dir.join("tls.key").display().to_string(), dir.join("tls.crt").display().to_string());
    run(&[
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=pod", "-keyout", &key,
        "-out", &cert,
    ]);
    let serve = format!(
        "cd {} && exec openssl s_server -quiet -accept 4433 -key {key} -cert {cert} -WWW",
        dir.display()
    );
    let _server = cluster.pods[1].start(&["sh", "-c", &serve], &[], &dir.join("server.txt"));
    let file = dir.join("got").display().to_string();
    let url = format!("https://{}:4433/file", pod_v4(2));
    let fetch = || cluster.pods[0].try_exec(&format!("curl -s -S -k --max-time 8 -o {file} {url}"));
    wait::until(wait::secs(5), "the server to serve", || fetch().ok());
    for octets in [1400, 1280] {
        cluster.shrink(octets);
        let start = wait::now();
        let done = fetch();
        println!("path {octets}: {OCTETS} octets over TLS in {:?}", wait::now() - start);
        assert!(done.ok(), "{}", done.err);
        assert_eq!(std::fs::metadata(&file).expect("the file").len(), OCTETS as u64);
        cluster.heal();
    }
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn what_icmp_says_of_a_smaller_path_is_tried_at_once() {
    let cluster = Cluster::start(3);
    // The third host becomes the router between the others.
    let [a, b, router] = [0, 1, 2].map(|at: usize| cluster.nodes[at].host.clone());
    router.ns.exec("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.u0.send_redirects=0");
    for (from, to) in [(&a, &b), (&b, &a)] {
        from.ns.ip(&format!("route add {}/32 via {}", to.v4, router.v4));
    }
    for host in [&a, &b] {
        host.ns.exec("ethtool -K u0 tx-udp-segmentation off");
    }
    let stream = Stream::start(&cluster.pods[0], (&cluster.pods[1], pod_v4(2)), 5201, None);
    let bulk = iperf(&cluster, 5);
    wait::sleep_ms(1000);
    assert_eq!(path_mtu(&cluster.nodes[0], "n2"), 1500);
    router.ns.ip(&format!("route add {}/32 dev u0 mtu lock 1280", b.v4));
    let found = wait::until(wait::secs(1), "the smaller path to be found", || {
        path_mtu(&cluster.nodes[0], "n2") == 1280
    });
    let octets = stream.octets();
    wait::until(wait::secs(1), "the stream to flow", || stream.octets() > octets + 100_000);
    println!("found {found:?} after the route");
    let bulk = bulk.finish();
    println!("iperf3: {bulk:?}");
    assert!(bulk.longest_pause <= wait::secs(1) && bulk.octets > 10_000_000, "{bulk:?}");
    router.ns.ip(&format!("route del {}/32", b.v4));
    wait::until(wait::secs(30), "the larger path to be used", || path_mtu(&cluster.nodes[0], "n2") == 1500);
    stream.finish().expect("a stream without a fault");
    cluster.finish();
}

/// The UDP ports from which a node sends frames.
fn source_ports(node: &Node) -> Vec<u16> {
    let sockets = node.host.ns.exec("ss -H -uln4");
    let port = |line: &str| line.split_whitespace().nth(3)?.rsplit(':').next()?.parse().ok();
    let ports = sockets.lines().filter_map(port);
    ports.filter(|port| ![4789, 6081, GOSSIP_PORT].contains(port)).collect()
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_source_port_that_leads_over_a_dead_link_is_avoided_until_it_answers() {
    let cluster = Cluster::start_with(2, "interface = \"u0\"\nsource_ports = 8");
    let to = (&cluster.pods[1], pod_v4(2));
    let streams: Vec<_> =
        (5201..5209).map(|port| Stream::start(&cluster.pods[0], to, port, Some(64 << 10))).collect();
    wait::sleep_ms(1500);
    let (node, hub) = (&cluster.nodes[0], cluster.lab.hub());
    let ports = source_ports(node);
    assert_eq!(ports.len(), 8, "{ports:?}");
    let carries = |port: &&u16| {
        count_frames(hub, "h1", &format!("udp sport {port} udp dport 4789"));
        wait::sleep_ms(300);
        let frames = counted(hub);
        hub.nft("delete table netdev seen\n");
        frames > 30
    };
    let port = *ports.iter().find(carries).expect("a source port with a stream");

    let start = wait::now();
    cluster.fault(&format!("iifname \"h1\" oifname \"h2\" udp sport {port} drop"));
    let dead = || {
        let path = node.entry("path show", "name", "n2").expect("a path to n2");
        let ports = path["probes"]["dead_source_ports"].as_array().expect("ports").clone();
        ports.iter().map(count).collect::<Vec<_>>()
    };
    let found =
        wait::until(wait::secs(5), "the dead source port to be avoided", || dead() == [u64::from(port)]);
    let before: Vec<_> = streams.iter().map(Stream::octets).collect();
    let flows = || streams.iter().zip(&before).all(|(stream, before)| stream.octets() > before + 100_000);
    // TCP tries again after 0.2, 0.6, 1.4, 3.0 and 6.2 s.
    wait::until(wait::secs(5), "all streams to flow", flows);
    let pause = streams.iter().map(|stream| stream.longest_pause_since(start)).max();
    println!("avoided after {found:?}, a stream stood for {pause:?}");
    let status = node.cli(&["status"]);
    assert!(status.code == 4 && status.out.contains("dead_source_port: 1 of 8"), "{}", status.out);

    cluster.heal();
    let back = wait::until(wait::secs(5), "all source ports to be used", || dead().is_empty());
    println!("used again after {back:?}");
    for stream in streams {
        stream.finish().expect("a stream without a fault");
    }
    cluster.finish();
}
