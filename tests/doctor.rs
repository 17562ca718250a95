//! Set-ups that somebody broke: the doctor names what is wrong, and what mends it.

use serde_json::Value;
use weft_tests::cluster::{Cluster, GOSSIP_PORT, gossip, member, states};
use weft_tests::command::{Finished, Process, run};
use weft_tests::lab::{Host, Lab};
use weft_tests::node::{Config, binary, network, port};
use weft_tests::pair::pod_keys;
use weft_tests::{Node, wait};

/// What the doctor of a node says.
#[track_caller]
fn doctor(node: &Node) -> Value {
    node.json("doctor")
}

/// Everything but notes, as lines of code and subject; that this machine is busy is nobody's fault.
fn wrong(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().expect("findings").iter();
    let bad = findings.filter(|finding| finding["severity"] != "note" && finding["code"] != "gossip_late");
    bad.map(|finding| format!("{} {}", text(&finding["code"]), text(&finding["subject"]))).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// Expects a finding with this code about this subject, whose text names all these, and which says what to do.
#[track_caller]
fn assert_names(report: &Value, code: &str, subject: &str, named: &[&str]) {
    let findings = report["findings"].as_array().expect("findings");
    let found = findings.iter().find(|finding| finding["code"] == code && finding["subject"] == subject);
    let found = found.unwrap_or_else(|| panic!("no {code} about {subject}: {report:#}"));
    let said = format!("{} {} {}", text(&found["what"]), text(&found["why"]), text(&found["mend"]));
    for word in named {
        assert!(said.contains(word), "{code} does not name {word}: {said}");
    }
    assert!(["what", "why", "mend"].iter().all(|part| text(&found[part]).len() > 10), "{found:#}");
}

/// Runs a command of the CLI inside a host.
#[track_caller]
fn inside(host: &Host, words: &str) -> Finished {
    let socket = host.dir.join("weft.sock");
    host.ns.try_exec(&format!("{} {words} --socket {}", binary().display(), socket.display()))
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn of_a_healthy_cluster_nothing_is_wrong_and_every_size_passes_on_every_port() {
    let cluster = Cluster::start(3);
    cluster.assert_all_reach(&[0, 1, 2]);
    for node in &cluster.nodes {
        let report = doctor(node);
        assert_eq!(wrong(&report), Vec::<String>::new(), "{report:#}");
        let cells = report["matrix"].as_array().expect("a matrix");
        assert_eq!(cells.len(), 2 * 2 * 3, "{report:#}");
        assert!(cells.iter().all(|cell| cell["answered"] == true), "{report:#}");
        assert_eq!(report["schema"], "weft.doctor/1");
    }
    let said = cluster.nodes[0].cli(&["doctor"]);
    let code = if said.out.contains("gossip_late") { 4 } else { 0 };
    assert_eq!(said.code, code, "{}{}", said.out, said.err);
    assert!(said.out.contains("1500 ok") && said.out.contains("paths   ok:"), "{}", said.out);
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_filtered_port_is_named_and_so_are_both() {
    let cluster = Cluster::start(2);
    cluster.filter_port(4789);
    let report = doctor(&cluster.nodes[0]);
    assert_names(&report, "port_filtered", "peer n2", &["4789", "6081", "firewalls"]);
    let said = cluster.nodes[0].cli(&["doctor"]);
    assert_eq!(said.code, 4, "{}", said.out);
    assert!(said.out.contains("LOST") && said.out.contains("WARNING port_filtered: peer n2"), "{}", said.out);
    cluster.heal();
    cluster.fault("udp dport { 4789, 6081 } drop");
    let report = doctor(&cluster.nodes[1]);
    assert_names(
        &report,
        "ports_filtered",
        "peer n1",
        &["4789 and 6081", "gossip says that it is alive", "tcpdump"],
    );
    cluster.heal();
    let filtered = || wrong(&doctor(&cluster.nodes[1])).iter().any(|line| line.contains("filtered"));
    wait::until(wait::secs(20), "the doctor to find the ports open", || !filtered());
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_path_that_takes_less_than_the_link_is_named_at_once() {
    let cluster = Cluster::start(2);
    cluster.shrink(1400);
    assert_names(&doctor(&cluster.nodes[0]), "path_mtu", "peer n2", &["1500", "[underlay] mtu"]);
    wait::until(wait::secs(30), "the smaller path to be found", || {
        cluster.nodes[0].entry("peer list", "name", "n2").is_some_and(|peer| peer["path_mtu"] == 1400)
    });
    assert_names(
        &doctor(&cluster.nodes[0]),
        "path_mtu",
        "peer n2",
        &["more than 1400", "1500", "mtu = 1400"],
    );
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_path_that_works_in_one_direction_only_is_named() {
    let cluster = Cluster::start(2);
    cluster.fault("iifname \"h1\" oifname \"h2\" udp dport { 4789, 6081 } drop");
    let cause = || {
        let peer = cluster.nodes[0].entry("peer list", "name", "n2").expect("a peer");
        peer["degraded"].to_string().contains("does not arrive there")
    };
    wait::until(wait::secs(20), "the watch over paths to see it", cause);
    assert_names(&doctor(&cluster.nodes[0]), "one_way", "peer n2", &["4789", "6081", "firewall"]);
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn another_key_is_named_on_both_sides() {
    let mut cluster = Cluster::start(2);
    let (host, pod) = (cluster.lab.host("n3"), cluster.lab.pod("pod3"));
    let key = host.dir.join("other.key").display().to_string();
    run(&[binary().to_str().expect("UTF-8"), "key", "new", "--output", &key]);
    let join = cluster.nodes[0].host.v4;
    let rest = format!("[gossip]\njoin = [\"{join}\"]\nkey_file = \"{key}\"\n{}", network("pods", 100, ""));
    let stranger = Node::start(&host, &Config::new(rest + &port("pod", "pods", &pod, &pod_keys(3))));
    wait::sleep_ms(6000);
    assert_names(
        &doctor(&cluster.nodes[0]),
        "key_mismatch",
        "node",
        &["key", "[gossip] key_file", "weft key list"],
    );
    let seed = format!("join {join}:{GOSSIP_PORT}");
    assert_names(&doctor(&stranger), "seed", &seed, &["key", "UDP and TCP"]);
    cluster.nodes.push(stranger);
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn who_has_the_port_is_named_where_no_daemon_starts() {
    let lab = Lab::new();
    let (host, pod) = (lab.host("n1"), lab.pod("pod1"));
    host.ns.ip("link add vx0 type vxlan id 7 dstport 4789 local 10.99.0.1");
    host.ns.ip("link set vx0 up");
    let config = member(&lab, host.v4.into(), &pod, 1);
    let mut node = Node::spawn(&host, &config);
    assert_eq!(node.wait_end(wait::secs(5)), 1);
    let file = host.dir.join("weft.toml");
    let look = || {
        let said = inside(&host, &format!("doctor -j --config {}", file.display()));
        assert_eq!(said.code, 3, "{}{}", said.out, said.err);
        serde_json::from_str::<Value>(&said.out).expect("JSON")
    };
    let report = look();
    assert_names(&report, "port_owner", "UDP 4789", &["vx0", "VNI 7", "ip link del vx0"]);
    assert_names(&report, "no_daemon", "node", &["weft.sock", "systemctl start weft"]);
    host.ns.ip("link del vx0");
    assert_eq!(wrong(&look()), ["no_daemon node"]);

    let key = lab.dir().join("gossip.key");
    run(&["chmod", "644", key.to_str().expect("UTF-8")]);
    node.rewrite(&config.clone().underlay("address = \"10.99.0.77\""));
    let report = look();
    assert_names(&report, "key_file", "gossip", &["gossip.key", "0600"]);
    assert_names(&report, "underlay_address", "node", &["10.99.0.77", "ip address"]);
    node.rewrite(&Config::new("[datapath]\nworkers = \"many\""));
    assert_names(&look(), "config", "configuration", &["workers", "weft config check"]);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_strict_reverse_path_filter_is_named_where_it_bites_and_loosened_only_when_told() {
    let cluster = Cluster::start(2);
    let (node, host) = (&cluster.nodes[0], &cluster.nodes[0].host);
    let filter = || host.ns.exec("cat /proc/sys/net/ipv4/conf/u0/rp_filter").trim().to_owned();
    host.ns.exec("sysctl -qw net.ipv4.conf.u0.rp_filter=1");
    assert_eq!(wrong(&doctor(node)), Vec::<String>::new(), "strict does no harm yet");
    host.ns.ip("link add d0 type bridge");
    host.ns.ip("link set d0 up");
    let detour = |what: &str| host.ns.ip(&format!("route {what} 10.99.0.2/32 dev d0"));
    // For a moment each time: the other node is not to be called dead meanwhile.
    let by_detour = |look: &dyn Fn() -> Finished| {
        wait::until(wait::secs(10), "the other node to be up", || states(node).values().all(|s| s == "up"));
        detour("add");
        let said = look();
        detour("del");
        said
    };
    let said = by_detour(&|| inside(host, "doctor -j"));
    let report = serde_json::from_str(&said.out).expect("JSON");
    assert_names(&report, "rp_filter", "device u0", &["10.99.0.2", "d0", "ip route get"]);
    let said = by_detour(&|| inside(host, "doctor"));
    assert!(said.out.contains("--fix would do: sysctl -w net.ipv4.conf.u0.rp_filter=2"), "{}", said.out);
    assert_eq!(filter(), "1", "nothing is changed without --fix");

    let elsewhere = by_detour(&|| node.cli(&["doctor", "--fix"]));
    assert!(elsewhere.code == 1 && elsewhere.out.contains("another network namespace"), "{}", elsewhere.out);
    let said = by_detour(&|| inside(host, "doctor --fix"));
    assert!(said.out.contains("done: sysctl -w net.ipv4.conf.u0.rp_filter=2 (was 1)"), "{}", said.out);
    assert_eq!(filter(), "2");
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn routes_of_the_host_to_where_pods_are_are_named() {
    let cluster = Cluster::start(2);
    let host = &cluster.nodes[1].host;
    host.ns.ip("link add docker0 type bridge");
    host.ns.ip("addr add 10.40.0.1/16 dev docker0");
    host.ns.ip("link set docker0 up");
    let named = ["10.32.0.0/12", "10.40.0.0/16", "docker0"];
    assert_names(&doctor(&cluster.nodes[1]), "route_overlap", "network pods", &named);
    assert_eq!(wrong(&doctor(&cluster.nodes[0])), Vec::<String>::new());
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_device_without_checksum_offload_is_named() {
    let cluster = Cluster::start(2);
    cluster.nodes[0].host.ns.exec("ethtool -K u0 tx off");
    assert_names(
        &doctor(&cluster.nodes[0]),
        "nic_offloads",
        "device u0",
        &["UDP_SEGMENT", "ethtool -K u0 tx on"],
    );
    assert_eq!(wrong(&doctor(&cluster.nodes[1])), Vec::<String>::new());
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn mtus_that_somebody_made_too_large_are_named() {
    let cluster = Cluster::start_with(2, "interface = \"u0\"\nmtu = 9000");
    let node = &cluster.nodes[0];
    assert_names(&doctor(node), "underlay_mtu", "device u0", &["9000", "1500", "ip link set u0 mtu 9000"]);
    cluster.pods[0].ip("link set eth0 mtu 1500");
    assert_names(&doctor(node), "port_mtu", "port pod", &["1500", "1430", "ip link set eth0 mtu 1430"]);
    let text = cluster.configs[0].text(&node.host).replace("vni = 100", "vni = 100\nmtu = 1480");
    std::fs::write(node.host.dir.join("weft.toml"), text).expect("the configuration is written");
    assert!(node.cli(&["reload"]).ok());
    assert_names(&doctor(node), "network_mtu", "network pods", &["1480", "1430", "remove mtu"]);
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn gossip_without_keys_and_seeds_that_nobody_has_are_named() {
    let lab = Lab::new();
    let (host, pod) = (lab.host("n1"), lab.pod("pod1"));
    let join = "join = [\"10.99.0.1\", \"10.99.0.50\", \"no-such-host.invalid\"]";
    let rest = format!("[gossip]\n{join}\ninsecure = true\n{}", network("pods", 100, ""));
    let mut node = Node::start(&host, &Config::new(rest + &port("pod", "pods", &pod, &pod_keys(1))));
    let seeds = || wrong(&doctor(&node)).iter().filter(|line| line.starts_with("seed")).count() == 2;
    wait::until(wait::secs(20), "both seeds to be given up", seeds);
    let report = doctor(&node);
    assert_names(&report, "insecure_gossip", "gossip", &["without keys", "weft key new", "key_file"]);
    assert_names(&report, "seed", "join 10.99.0.50:6786", &["weft run there", "UDP and TCP"]);
    assert_names(&report, "seed", "join no-such-host.invalid:6786", &["not found", "DNS"]);
    node.stop();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn small_receive_buffers_are_named_with_the_setting_that_allows_larger_ones() {
    let lab = Lab::new();
    let host = lab.host("n1");
    let without = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "--"];
    let config = Config::new(gossip(&lab, host.v4.into()) + &network("pods", 100, ""));
    let mut node = Node::spawn_by(&without, &host, &config);
    node.wait_ready();
    let report = doctor(&node);
    assert_names(&report, "receive_buffer", "node", &["16384 KiB", "net.core.rmem_max", "CAP_NET_ADMIN"]);
    let finding =
        report["findings"].as_array().and_then(|all| all.iter().find(|f| f["code"] == "receive_buffer"));
    let fix = &finding.expect("the finding")["fixes"][0];
    assert_eq!((text(&fix["name"]), fix["value"].as_u64()), ("net.core.rmem_max", Some(8 << 20)));
    node.stop();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_clock_that_is_wrong_is_named() {
    let cluster = Cluster::start(1);
    let (host, pod) = (cluster.lab.host("n2"), cluster.lab.pod("pod2"));
    let config = member(&cluster.lab, cluster.nodes[0].host.v4.into(), &pod, 2);
    // Not by the program `faketime` itself, which would stay between the test and the daemon.
    let preload = format!("LD_PRELOAD={}", run(&["faketime", "-f", "+60s", "printenv", "LD_PRELOAD"]).trim());
    let ahead = ["env", &preload, "FAKETIME=+60s", "FAKETIME_DONT_FAKE_MONOTONIC=1"];
    let mut node = Node::spawn_by(&ahead, &host, &config);
    node.wait_ready();
    let up = || states(&cluster.nodes[0]).values().any(|state| state == "up");
    wait::until(wait::secs(10), "the other to be up", up);
    wait::sleep_ms(1500);
    assert_names(&doctor(&cluster.nodes[0]), "clock", "peer n2", &["ahead of", "timedatectl"]);
    assert_names(&doctor(&node), "clock", "peer n1", &["behind", "NTP"]);
    node.stop();
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn two_nodes_with_one_address_are_named() {
    let lab = Lab::new();
    let hosts = ["n1", "n2", "n3"].map(|name| lab.host(name));
    let pods = [1, 2, 3].map(|n| lab.pod(&format!("pod{n}")));
    // They gossip over IPv6, so that only the address for frames is wrong.
    let mut nodes: Vec<Node> = (0..3)
        .map(|at| {
            let (host, n) = (&hosts[at], u8::try_from(at).expect("small") + 1);
            let listen = format!("listen = \"[{}]:{GOSSIP_PORT}\"\n", host.v6);
            let rest = gossip(&lab, hosts[0].v6.into()) + &listen + &network("pods", 100, "");
            let config = Config::new(rest + &port("pod", "pods", &pods[at], &pod_keys(n)));
            let both = format!("address = [\"{}\", \"{}\"]", host.v4, host.v6);
            let twin = format!("{both}\nadvertise = \"{}\"", hosts[1].v4);
            Node::start(host, &config.underlay(if at == 2 { &twin } else { &both }))
        })
        .collect();
    let both_up = || states(&nodes[0]).values().filter(|state| *state == "up").count() == 2;
    wait::until(wait::secs(10), "all to be up", both_up);
    wait::sleep_ms(1000);
    assert_names(&doctor(&nodes[0]), "address_twice", "address 10.99.0.2", &["n2", "n3", "advertise"]);
    nodes.iter_mut().for_each(|node| {
        node.stop();
    });
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_node_that_is_gone_is_named() {
    let mut cluster = Cluster::start(2);
    cluster.nodes[1].signal(rustix::process::Signal::KILL);
    cluster.nodes[1].wait_end(wait::secs(2));
    let gone = || wrong(&doctor(&cluster.nodes[0])).contains(&"node_down node n2".to_owned());
    wait::until(wait::secs(20), "the node to be missed", gone);
    assert_names(&doctor(&cluster.nodes[0]), "node_down", "node n2", &["weft forget", "start"]);
    cluster.nodes.truncate(1);
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn datagrams_that_arrive_broken_or_from_strangers_are_named() {
    let cluster = Cluster::start(2);
    let stranger = cluster.lab.host("x");
    // UDP over raw IP: a checksum that cannot be right, from a member's address; and VXLAN from nobody's.
    let broken = "import socket, struct, time\n\
                  raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)\n\
                  udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
                  while True:\n \
                  raw.sendto(struct.pack('!HHHH', 999, 4789, 30, 1) + bytes(22), ('10.99.0.1', 0))\n \
                  udp.sendto(bytes([8, 0, 0, 0, 0, 0, 100, 0]) + bytes(60), ('10.99.0.1', 4789))\n \
                  time.sleep(0.1)\n";
    let sender: Process =
        stranger.ns.start(&["python3", "-c", broken], &[], &cluster.lab.dir().join("sender.txt"));
    let mut report = Value::Null;
    wait::until(wait::secs(20), "the datagrams to be counted", || {
        report = doctor(&cluster.nodes[0]);
        wrong(&report).len() >= 2
    });
    assert_names(&report, "udp_checksum", "node", &["wrong UDP checksum", "ethtool -K"]);
    assert_names(&report, "unknown_peer", "node", &["no peer", "advertise", "tcpdump"]);
    drop(sender);
    let report = doctor(&cluster.nodes[0]);
    assert_eq!(wrong(&report), Vec::<String>::new(), "what is over is a note");
    cluster.finish();
}
