//! What goes wrong around the daemon, and must neither end it nor touch those it does not concern.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use weft_tests::node::{Config, count, network, peer, port};
use weft_tests::pair::{Pair, Spec, finish, pod_keys, pod_v4};
use weft_tests::traffic::{Pings, assert_pings, ping_sized, ping_with, reaches, udp_burst};
use weft_tests::{Host, Injector, Lab, Netns, Node, Rng, corpus, inject, wait};

/// Datagrams of each of the two senders of nonsense.
const MUTANTS: usize = 500_000;

/// Sends mutated datagrams from a host, about fifty thousand a second.
fn send_mutants(host: &Host, to: IpAddr, seed: u64, number: usize) {
    let seeds = corpus::seeds(100);
    host.ns.enter(|| {
        let socket = UdpSocket::bind((host.address(to.is_ipv6()), 0)).expect("a socket");
        let (mut rng, mut octets) = (Rng::new(seed), Vec::new());
        for i in 0..number {
            let port = corpus::mutate(&seeds, &mut rng, &mut octets);
            // A refusal would be an answer of the node; the capture of the wire tells better.
            let _ = socket.send_to(&octets, SocketAddr::new(to, port));
            if i % 32 == 31 {
                std::thread::sleep(Duration::from_micros(500));
            }
        }
    });
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_million_malformed_datagrams_harm_nobody() {
    const SEED: u64 = 4789;
    println!("seed {SEED}");
    let mut lab = Lab::new();
    let hosts = ["a", "b", "known", "stranger"].map(|name| lab.host(name));
    let pods = [lab.pod("pod1"), lab.pod("pod2")];
    let spec = Spec::default();
    let victims: [IpAddr; 2] = [hosts[1].v4.into(), hosts[2].v4.into()];
    let mut nodes = [
        Node::start(&hosts[0], &spec.config(&hosts[0], &pods[0], 1, &victims)),
        Node::start(&hosts[1], &spec.config(&hosts[1], &pods[1], 2, &[hosts[0].v4.into()])),
    ];
    let target = hosts[0].v4.into();
    assert_pings(&pods[0], pod_v4(2));
    send_mutants(&hosts[2], target, SEED, 100_000);
    wait::sleep_ms(500);
    let before = nodes[0].rss_kib();
    let to_stranger = |lab: &Lab| lab.hub().exec("cat /sys/class/net/h4/statistics/tx_bytes");
    let silence: u64 = to_stranger(&lab).trim().parse().expect("a number");
    let pings = std::thread::scope(|scope| {
        let senders = [(&hosts[2], SEED + 1), (&hosts[3], SEED + 2)]
            .map(|(host, seed)| scope.spawn(move || send_mutants(host, target, seed, MUTANTS)));
        let mut sum = Pings { sent: 0, answered: 0 };
        while senders.iter().any(|sender| !sender.is_finished()) {
            let more = ping_with(&pods[1], pod_v4(1), "-c 400 -i 0.005 -w 10");
            sum = Pings { sent: sum.sent + more.sent, answered: sum.answered + more.answered };
        }
        sum
    });
    assert!(
        pings.sent > 1_000 && (pings.sent - pings.answered) * 1_000 <= pings.sent,
        "good traffic: {pings:?}"
    );
    let grown = nodes[0].rss_kib().saturating_sub(before);
    assert!(grown <= 1024, "memory grew by {grown} KiB");
    // ARP and neighbour discovery of hosts reach everybody; an answer for each datagram would be megabytes.
    let said: u64 = to_stranger(&lab).trim().parse().expect("a number");
    assert!(said - silence < 20_000, "the stranger heard {} octets", said - silence);
    let unheard = nodes[0].dropped("unknown_peer");
    assert!(unheard as usize > MUTANTS * 98 / 100, "{unheard} datagrams of a stranger counted");
    for reason in [
        "truncated",
        "runt",
        "vxlan_no_vni",
        "geneve_version",
        "geneve_options",
        "geneve_critical",
        "geneve_protocol",
        "geneve_control",
        "unknown_vni",
        "src_mac",
        "reserved_mac",
        "vlan",
    ] {
        assert!(nodes[0].dropped(reason) > 0, "{reason} was never counted: {}", nodes[0].json("drops"));
    }
    finish(&mut nodes, &mut lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn each_malformed_datagram_is_counted_under_its_reason() {
    let mut lab = Lab::new();
    let hosts = ["a", "known"].map(|name| lab.host(name));
    let pod = lab.pod("pod1");
    let spec = Spec { rest: "[encap]\nvxlan_reserved = \"strict\"", ..Spec::default() };
    let mut node = Node::start(&hosts[0], &spec.config(&hosts[0], &pod, 1, &[hosts[1].v4.into()]));
    let good = inject::frame([2, 0, 0, 0, 0x32, 1], [2, 0, 0, 0, 0, 9], 0x88b5);
    let vxlan = |flags: u8, vni: u8| [&[flags, 0, 0, 0, 0, 0, vni, 0], &good[..]].concat();
    let geneve = |header: [u8; 8], rest: &[u8]| [&header, rest].concat();
    let tagged = |mac: [u8; 6], source, kind| {
        [&[8, 0, 0, 0, 0, 0, 100, 0], &inject::frame(mac, source, kind)[..]].concat()
    };
    let (mine, other) = ([2, 0, 0, 0, 0x32, 1], [2, 0, 0, 0, 0, 9]);
    let cases = [
        ("truncated", 4789, vec![8, 0, 0, 0]),
        ("truncated", 6081, vec![0, 0, 0x65]),
        ("runt", 4789, vec![8, 0, 0, 0, 0, 0, 100, 0, 1, 2, 3]),
        ("vxlan_no_vni", 4789, vxlan(0, 100)),
        ("vxlan_reserved", 4789, vxlan(0x88, 100)),
        ("unknown_vni", 4789, vxlan(8, 101)),
        ("geneve_version", 6081, geneve([0x40, 0, 0x65, 0x58, 0, 0, 100, 0], &good)),
        ("geneve_control", 6081, geneve([0, 0x80, 0x65, 0x58, 0, 0, 100, 0], &good)),
        ("geneve_protocol", 6081, geneve([0, 0, 8, 0, 0, 0, 100, 0], &good)),
        ("geneve_options", 6081, geneve([1, 0, 0x65, 0x58, 0, 0, 100, 0], &[0, 1, 1, 2, 0, 0, 0, 0])),
        (
            "geneve_critical",
            6081,
            geneve([1, 0x40, 0x65, 0x58, 0, 0, 100, 0], &[&[0, 1, 0x81, 0], &good[..]].concat()),
        ),
        ("src_mac", 4789, tagged(mine, [0; 6], 0x88b5)),
        ("reserved_mac", 4789, tagged([1, 0x80, 0xc2, 0, 0, 0], other, 0x88cc)),
        ("vlan", 4789, tagged(mine, other, 0x8100)),
    ];
    let socket = hosts[1].ns.enter(|| UdpSocket::bind((hosts[1].v4, 0)).expect("a socket"));
    for (reason, to, octets) in cases {
        let before = node.dropped(reason);
        socket.send_to(&octets, (hosts[0].v4, to)).expect("sent");
        let counted = wait::reached(wait::secs(2), || node.dropped(reason) == before + 1);
        assert!(counted, "{reason} for {octets:02x?}: {}", node.json("drops"));
    }
    finish([&mut node], &mut lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_taken_udp_port_stops_the_start_and_names_its_owner() {
    let mut lab = Lab::new();
    let host = lab.host("a");
    let config = Config::new(network("pods", 100, ""));
    let mut first = Node::start(&host, &config);
    let dir = lab.dir().join("second");
    std::fs::create_dir(&dir).expect("a folder");
    let mut second = Node::spawn(&Host { dir, ..host.clone() }, &config);
    assert_eq!(second.wait_end(wait::secs(5)), 1);
    let (said, pid) = (second.log(), first.pid().to_string());
    assert!(said.contains("4789") && said.contains("weft") && said.contains(&pid), "{said}");
    first.stop();
    host.ns.ip("link add vx7 type vxlan id 7 dstport 4789 local 10.99.0.1");
    host.ns.ip("link set vx7 up");
    let dir = lab.dir().join("third");
    std::fs::create_dir(&dir).expect("a folder");
    let mut third = Node::spawn(&Host { dir, ..host.clone() }, &config);
    assert_eq!(third.wait_end(wait::secs(5)), 1);
    let said = third.log();
    assert!(said.contains("4789") && said.contains("vx7"), "{said}");
    lab.underlay_saw_only_hosts();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_missing_tun_device_is_named_with_what_to_do() {
    let lab = Lab::new();
    let (host, pod) = (lab.host("a"), lab.pod("pod1"));
    let config = Spec::default().config(&host, &pod, 1, &[]);
    let hide = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /dev/net && exec \"$@\"", "sh"];
    let node = Node::spawn_by(&hide, &host, &config);
    wait::until(wait::secs(5), "a word about /dev/net/tun", || node.log().contains("/dev/net/tun"));
    assert!(node.log().contains("modprobe") || node.log().contains("device"), "{}", node.log());
}

#[test]
fn a_bad_configuration_is_refused_by_name() {
    let cases = [
        ("[[network]]\nname = \"x\"\n", "vni"),
        ("[[network]]\nname = \"x\"\nvni = 16777216\n", "vni"),
        ("[[port]]\nname = \"p\"\nnetwork = \"nowhere\"\n", "nowhere"),
        ("[[peer]]\naddress = \"10.0.0.300\"\n", "10.0.0.300"),
        ("[datapath]\nudp_segmant = 0\n", "udp_segment"),
        ("[encap]\nformat = \"gre\"\n", "gre"),
        ("[node\n", "line"),
    ];
    let dir = tempfile::tempdir().expect("a folder");
    for (text, named) in cases {
        let file = dir.path().join("weft.toml");
        std::fs::write(&file, text).expect("written");
        let binary = weft_tests::node::binary().to_str().expect("UTF-8");
        let path = file.to_str().expect("UTF-8");
        for words in [&[binary, "config", "check", path][..], &[binary, "run", "--config", path]] {
            let done = weft_tests::command::try_run(words);
            assert_eq!(done.code, 1, "{text:?}: {}{}", done.out, done.err);
            assert!(done.err.contains(named), "{text:?}: {named} is not named in: {}", done.err);
        }
    }
}

/// Fails when the daemon uses more than this share of a processor for a second.
#[track_caller]
fn assert_calm(node: &Node, percent: u32) {
    let before = node.effort().0;
    wait::sleep_ms(1_000);
    let used = node.effort().0.saturating_sub(before);
    assert!(used < Duration::from_millis(10) * percent, "{used:?} of processor time in a second");
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_deleted_device_or_namespace_takes_its_port_down_and_nothing_else() {
    let mut lab = Lab::new();
    let host = lab.host("a");
    let pods: Vec<_> = (1..=4).map(|n| lab.pod(&format!("pod{n}"))).collect();
    let ports: String =
        (1..=4).map(|n| port(&format!("p{n}"), "pods", &pods[n - 1], &pod_keys(n as u8))).collect();
    let mut node = Node::start(&host, &Config::new(network("pods", 100, "") + &ports));
    assert_pings(&pods[2], pod_v4(4));
    let pings = std::thread::scope(|scope| {
        let pings = scope.spawn(|| ping_with(&pods[2], pod_v4(4), "-c 400 -i 0.01 -w 30"));
        pods[0].ip("link del eth0");
        wait::until(wait::secs(1), "port p1 to go down", || node.port_state("p1") == "down");
        pods[1].delete();
        wait::until(wait::secs(1), "port p2 to wait", || {
            ["down", "waiting"].contains(&&*node.port_state("p2"))
        });
        assert_eq!(node.port_state("p3"), "up");
        pings.join().expect("ping ends")
    });
    assert!(pings.all(), "the others: {pings:?}");
    assert_calm(&node, 5);
    finish([&mut node], &mut lab);
}

/// A living peer (`b`) and another host (`c`) that is a peer too, with traffic going to both from the pod on `a`.
struct Neighbours {
    lab: Lab,
    nodes: [Node; 2],
    pods: [Arc<Netns>; 2],
    other: Host,
}

impl Neighbours {
    #[track_caller]
    fn start() -> Self {
        let lab = Lab::new();
        let [a, b, other] = ["a", "b", "c"].map(|name| lab.host(name));
        let pods = [lab.pod("pod1"), lab.pod("pod2")];
        let spec = Spec::default();
        let nodes = [
            Node::start(&a, &spec.config(&a, &pods[0], 1, &[b.v4.into(), other.v4.into()])),
            Node::start(&b, &spec.config(&b, &pods[1], 2, &[a.v4.into()])),
        ];
        let mac = "02:00:00:00:32:03";
        let done = nodes[0].cli(&["fdb", "add", mac, "--network", "pods", "--dst", &other.v4.to_string()]);
        assert!(done.ok(), "{}{}", done.out, done.err);
        pods[0].ip(&format!("neigh replace {} lladdr {mac} dev eth0 nud permanent", pod_v4(3)));
        assert_pings(&pods[0], pod_v4(2));
        Self { lab, nodes, pods, other }
    }

    /// Sends to the other peer for three seconds, and expects the living one to lose nothing.
    #[track_caller]
    fn assert_living_loses_nothing(&self) {
        let pings = std::thread::scope(|scope| {
            scope.spawn(|| ping_with(&self.pods[0], pod_v4(3), "-c 1500 -i 0.002 -W 0.1"));
            ping_with(&self.pods[0], pod_v4(2), "-c 300 -i 0.01 -w 30")
        });
        assert!(pings.all(), "to the living peer: {pings:?}: {}", self.nodes[0].json("drops"));
    }

    #[track_caller]
    fn finish(mut self) {
        finish(&mut self.nodes, &mut self.lab);
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_peer_that_refuses_costs_the_living_nothing() {
    let all = Neighbours::start();
    // Nothing listens on host c: each datagram earns an ICMP error, as fast as the kernel may send them.
    all.other.ns.exec("sysctl -qw net.ipv4.icmp_ratelimit=0");
    all.assert_living_loses_nothing();
    let errors = count(&all.nodes[0].json("drops")["notices"]["icmp_errors"]);
    assert!(errors > 0, "the ICMP errors were not noticed: {}", all.nodes[0].json("drops"));
    all.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_firewall_that_refuses_one_peer_is_counted_and_costs_the_living_nothing() {
    let all = Neighbours::start();
    for verdict in ["drop", "reject"] {
        let before = all.nodes[0].dropped("send_error");
        all.nodes[0].host.ns.nft(&format!(
            "table ip t {{\n chain out {{\n type filter hook output priority 0\n ip daddr {} udp dport 4789 {verdict}\n }}\n}}\n",
            all.other.v4
        ));
        all.assert_living_loses_nothing();
        if verdict == "drop" {
            assert!(all.nodes[0].dropped("send_error") > before, "{}", all.nodes[0].json("drops"));
        }
        all.nodes[0].host.ns.nft("delete table ip t\n");
    }
    all.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_link_that_shrinks_refuses_big_frames_only() {
    let pair = Pair::start(&Spec::default());
    assert_pings(&pair.pods[0], pod_v4(2));
    pair.nodes[0].host.ns.ip("link set u0 mtu 1400");
    let lost = |node: &Node| node.dropped("send_error") + node.dropped("pkt_too_big");
    let before = lost(&pair.nodes[0]);
    let big = ping_sized(&pair.pods[0], pod_v4(2), 1450);
    assert!(!big && lost(&pair.nodes[0]) > before, "passed: {big}, {}", pair.nodes[0].json("drops"));
    assert_pings(&pair.pods[0], pod_v4(2));
    pair.nodes[0].host.ns.ip("link set u0 mtu 1500");
    wait::until(wait::secs(10), "big frames to pass again", || ping_sized(&pair.pods[0], pod_v4(2), 1450));
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_full_device_queue_drops_and_recovers() {
    let pair = Pair::start(&Spec::default());
    assert_pings(&pair.pods[0], pod_v4(2));
    let ns = &pair.nodes[0].host.ns;
    ns.exec("tc qdisc add dev u0 root handle 1: htb default 10");
    ns.exec("tc class add dev u0 parent 1: classid 1:10 htb rate 1mbit burst 2k");
    ns.exec("tc qdisc add dev u0 parent 1:10 handle 10: pfifo limit 2");
    let burst = udp_burst(&pair.pods[0], (&pair.pods[1], pod_v4(2)), 2_000, Duration::ZERO, |_| 1000);
    assert!(burst.received < 2_000 && burst.corrupt == 0, "{burst:?}");
    assert!(pair.nodes[0].dropped("send_error") > 0, "{}", pair.nodes[0].json("drops"));
    ns.exec("tc qdisc del dev u0 root");
    assert_pings(&pair.pods[0], pod_v4(2));
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn an_underlay_that_goes_down_comes_back() {
    let pair = Pair::start(&Spec::default());
    assert_pings(&pair.pods[0], pod_v4(2));
    let ns = &pair.nodes[0].host.ns;
    ns.ip("link set u0 down");
    assert!(!reaches(&pair.pods[0], pod_v4(2)));
    assert_calm(&pair.nodes[0], 5);
    ns.ip("link set u0 up");
    wait::until(wait::secs(5), "pings to pass again", || reaches(&pair.pods[0], pod_v4(2)));
    assert_pings(&pair.pods[1], pod_v4(1));
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_flood_of_source_addresses_pushes_out_nobody_elses() {
    let pair = Pair::start(&Spec { port: "guard = false\n", ..Spec::default() });
    assert_pings(&pair.pods[0], pod_v4(2));
    let injector = Injector::new(&pair.pods[0]);
    let mut rng = Rng::new(7);
    for i in 0..20_000_u32 {
        let mut source = [2, 1, 0, 0, 0, 0];
        rng.fill(&mut source[2..]);
        injector.send(&inject::frame([2, 0, 0, 0, 0x32, 2], source, 0x88b5));
        if i % 64 == 63 {
            wait::sleep_ms(1);
        }
    }
    wait::sleep_ms(500);
    let list = pair.nodes[0].json("fdb show");
    let entries = list["entries"].as_array().expect("a list");
    assert!(entries.len() <= 64 + 2, "{} entries", entries.len());
    assert!(entries.iter().any(|e| e["mac"] == "02:00:00:00:32:02"), "the remote pod was pushed out");
    assert!(entries.iter().any(|e| e["mac"] == "02:00:00:00:32:01"), "the port's own address was pushed out");
    let remote = pair.nodes[1].json("fdb show");
    let learned = remote["entries"].as_array().map_or(0, Vec::len);
    assert!(learned <= 1024 + 2, "{learned} entries learned from one peer");
    assert_pings(&pair.pods[0], pod_v4(2));
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn an_idle_daemon_with_ten_ports_hardly_runs() {
    const SECONDS: u32 = 10;
    let mut lab = Lab::new();
    let host = lab.host("a");
    let pods: Vec<_> = (1..=10).map(|n| lab.pod(&format!("pod{n}"))).collect();
    let ports: String =
        (1..=10).map(|n| port(&format!("p{n}"), "pods", &pods[n - 1], &pod_keys(n as u8))).collect();
    let text = network("pods", 100, "") + &ports + &peer("10.99.0.9", "pods", "");
    let mut node = Node::start(&host, &Config::new(text));
    assert_pings(&pods[0], pod_v4(2));
    // Router solicitations of the pods' kernels come in the first seconds.
    wait::sleep_ms(5_000);
    let before = node.effort();
    wait::sleep_ms(u64::from(SECONDS) * 1_000);
    let after = node.effort();
    let (cpu, wakes) = (after.0 - before.0, (after.1 - before.1) / u64::from(SECONDS));
    println!("{cpu:?} in {SECONDS} s, {wakes} wakeups a second, {} KiB", node.rss_kib());
    assert!(cpu <= Duration::from_millis(5) * SECONDS, "{cpu:?} of processor time in {SECONDS} s");
    assert!(wakes <= 20, "{wakes} wakeups a second");
    assert!(node.rss_kib() <= 40 << 10, "{} KiB resident", node.rss_kib());
    finish([&mut node], &mut lab);
}
