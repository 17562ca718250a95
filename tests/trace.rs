//! `weft trace` over three real nodes: the good way, and every fault that it is to name.

use rustix::process::Signal;
use serde_json::Value;
use weft_tests::cluster::{Cluster, gossip};
use weft_tests::command::Finished;
use weft_tests::inject::{self, Injector};
use weft_tests::node::{network, port};
use weft_tests::pair::{pod_keys, pod_v4};
use weft_tests::traffic::{assert_pings, reaches};
use weft_tests::{Config, Node, capture, pcap, wait};

/// What the first node says, and with which exit code.
#[track_caller]
fn trace(node: &Node, words: &str) -> (i32, Value) {
    let all: Vec<&str> = ["-j", "trace"].into_iter().chain(words.split(' ')).collect();
    let Finished { code, out, err, .. } = node.cli(&all);
    let story = serde_json::from_str(&out).unwrap_or_else(|e| panic!("weft trace {words}: {code} {e} {err}"));
    (code, story)
}

/// Exit code, and the code and node of the fault.
#[track_caller]
fn fault(node: &Node, words: &str) -> (i32, String, String) {
    let (code, story) = trace(node, words);
    let text = |key: &str| story["fault"][key].as_str().unwrap_or("").to_owned();
    let found = (code, text("code"), text("node"));
    if code != 0 {
        assert!(!text("mend").is_empty(), "{story:#}");
    }
    found
}

/// Node and name of each stage.
fn stages(story: &Value) -> Vec<String> {
    let all = story["stages"].as_array().expect("stages").iter();
    let word = |stage: &Value, key: &str| stage[key].as_str().unwrap_or("?").to_owned();
    all.map(|stage| format!("{} {}", word(stage, "node"), word(stage, "stage"))).collect()
}

/// The same, which the what-if story and the frame that is sent both say.
#[track_caller]
fn both(node: &Node, words: &str) -> (i32, String, String) {
    let found = fault(node, words);
    assert_eq!(fault(node, &format!("{words} --live")), found, "weft trace {words}");
    found
}

/// Expects that of a frame that is sent nothing is counted as one and nothing learned from it. Pods speak unasked now and
/// then: a round in which they did tells nothing, and in one of many they are silent.
#[track_caller]
fn leaves_no_mark(cluster: &Cluster, send: impl Fn()) {
    let marks = || -> Vec<Value> { cluster.nodes.iter().map(marks).collect() };
    let is_quiet = || {
        let before = marks();
        send();
        before == marks()
    };
    assert!(
        (0..30).any(|_| is_quiet() || {
            wait::sleep_ms(200);
            false
        }),
        "each time something is counted or learned"
    );
}

/// What a frame leaves behind at a node.
fn marks(node: &Node) -> Value {
    let mut drops = node.json("drops");
    for more in ["notices", "lost_before"] {
        drops[more].take();
    }
    assert!(drops["sides"]["received_from_ports"].is_u64() && drops["drops"].is_object(), "{drops:#}");
    let entry =
        |entry: &Value| [&entry["mac"], &entry["seq"], &entry["state"], &entry["dst"]].map(Clone::clone);
    let fdb = node.json("fdb show");
    let entries: Vec<_> = fdb["entries"].as_array().expect("entries").iter().map(entry).collect();
    serde_json::json!([drops, entries])
}

fn owned(code: i32, fault: &str, node: &str) -> (i32, String, String) {
    (code, fault.to_owned(), node.to_owned())
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn the_whole_way_of_a_frame_is_told_and_tried() {
    let cluster = Cluster::start(3);
    let node = &cluster.nodes[0];
    assert_pings(&cluster.pods[0], pod_v4(2));

    let (code, story) = trace(node, "pod 10.32.0.2 tcp/80");
    assert_eq!(
        (code, &story["outcome"], &story["schema"]),
        (0, &"arrives".into(), &"weft.trace/1".into()),
        "{story:#}"
    );
    let way = [
        "n1 resolve",
        "n1 admit",
        "n1 observe",
        "n1 decide",
        "n1 send",
        "n2 open",
        "n2 check_ethernet",
        "n2 decide",
        "n2 deliver",
    ];
    assert_eq!(stages(&story), way, "{story:#}");
    assert_eq!((&story["frame"]["size"], &story["frame"]["to"]), (&1430.into(), &"10.32.0.2".into()));
    let (entry, peer) = (&story["stages"][3]["entry"], &story["stages"][4]["peer"]);
    assert_eq!((&entry["owner"], &entry["static"]), (&"n2".into(), &true.into()), "{entry}");
    assert_eq!(
        (&peer["path_mtu"], &peer["mtu"], &peer["member"]),
        (&1500.into(), &1450.into(), &true.into())
    );
    assert!(peer["source_port"].as_u64().is_some_and(|port| port > 1024), "{peer}");

    assert!(story["stages"].as_array().is_some_and(|all| all.iter().all(|stage| stage["ns"].is_null())));
    marked(&cluster, peer["source_port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port"));

    let text = node.cli(&["trace", "pod", "n3/pod"]);
    println!("{}", text.out);
    assert!(
        text.ok() && text.out.contains("port pod of n3 has 02:00:00:00:32:03"),
        "{}{}",
        text.out,
        text.err
    );
    assert!(text.out.ends_with("ARRIVES: such a frame would arrive\n"), "{}", text.out);

    let (code, asked) = trace(node, "pod 10.32.0.3 arp");
    assert_eq!((code, stages(&asked).last().unwrap().as_str()), (0, "n1 answer"), "{asked:#}");
    let (code, flood) = trace(node, "pod ff:ff:ff:ff:ff:ff udp/67");
    assert_eq!((code, flood["nodes"].as_array().map(Vec::len)), (0, Some(2)), "{flood:#}");
    cluster.finish();
}

/// A frame that is sent: its times, the packet that carries it, and that pods, counters and tables see nothing of it.
#[track_caller]
fn marked(cluster: &Cluster, source_port: u16) {
    let node = &cluster.nodes[0];
    let file = |name: &str| cluster.lab.dir().join(name);
    let pod = capture::Capture::start(&cluster.pods[1], "eth0", &file("pod.pcap"), capture::WHOLE);
    let underlay =
        capture::Capture::start(&cluster.nodes[1].host.ns, "u0", &file("marked.pcap"), capture::WHOLE);
    let (code, live) = trace(node, "pod 10.32.0.2 tcp/80 --live");
    let hop = &live["nodes"][0];
    assert_eq!((code, &hop["size"], &hop["answered"]), (0, &1480.into(), &true.into()), "{live:#}");
    let micros = |key: &str| hop[key].as_u64().expect("microseconds");
    assert!((1..1_000_000).contains(&micros("round_trip_us")), "{hop}");
    assert!(micros("waited_us") <= micros("inside_us") && micros("inside_us") < 1_000_000, "{hop}");
    let all = live["stages"].as_array().expect("stages");
    assert!(all.iter().all(|stage| stage["ns"].as_u64().is_some_and(|ns| ns < 1_000_000_000)), "{live:#}");
    let there: Vec<String> = stages(&live).split_off(5);
    assert_eq!(there, ["n1 underlay", "n2 open", "n2 check_ethernet", "n2 decide", "n2 deliver"]);
    assert_eq!(all[5]["ns"].as_u64(), Some(micros("round_trip_us") * 1000 / 2));

    // A ping is seen, and the frame is not; what carries it is as large as it would be, from the port of its flow.
    assert_pings(&cluster.pods[0], pod_v4(2));
    let packets = |running: capture::Capture| pcap::read(&running.stop()).expect("a capture").packets;
    let (pod, underlay) = (packets(pod), packets(underlay));
    let has_ports = |octets: &[u8]| octets.get(34..38) == Some(&[0xc3, 0x50, 0, 80]);
    assert!(!pod.is_empty() && !pod.iter().any(|packet| has_ports(&packet.octets)), "the pod saw it");
    let carrier = |octets: &[u8]| {
        let [size, source, to] = [16, 34, 36].map(|at| octets.get(at..at + 2).map(|two| [two[0], two[1]]));
        let wanted = [1480, source_port, 4789].map(|number: u16| Some(number.to_be_bytes()));
        [size, source, to] == wanted && octets.get(42..46) == Some(b"\0wft")
    };
    assert!(underlay.iter().any(|packet| carrier(&packet.octets)), "no packet of its size and port");

    leaves_no_mark(cluster, || assert_eq!(trace(node, "pod 10.32.0.2 tcp/80 --live").0, 0));
    let text = node.cli(&["trace", "pod", "10.32.0.2", "tcp/80", "--live"]);
    println!("{}", text.out);
    assert!(
        text.ok() && text.out.ends_with("ARRIVES: it was sent, and got there\n"),
        "{}{}",
        text.out,
        text.err
    );
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn what_no_pod_may_send_and_what_nobody_has_is_named() {
    let mut cluster = Cluster::start(3);
    let node = &cluster.nodes[0];
    assert_eq!(both(node, "pod 10.32.0.2 --source-ip 10.32.0.77"), owned(1, "port_security", "n1"));
    assert_eq!(both(node, "pod 10.32.0.2 --vlan 5"), owned(1, "vlan", "n1"));
    assert_eq!(both(node, "pod 10.32.0.99"), owned(1, "unknown_address", "n1"));
    assert_eq!(both(node, "pod 02:00:00:00:32:63"), owned(1, "unknown_unicast", "n1"));
    assert_eq!(both(node, "pod 01:80:c2:00:00:00"), owned(1, "reserved_mac", "n1"));
    assert_eq!(both(node, "pod n2/nothing"), owned(1, "unknown_port", "n2"));
    assert_eq!(node.cli(&["trace", "nothing", "10.32.0.2"]).code, 2);

    // A MAC address that two pods have.
    let pods = [0, 1].map(|at: usize| {
        let pod = cluster.lab.pod(&format!("twin{at}"));
        let path = pod.path();
        let words = ["port", "add", "twin", "--network", "pods", "--ifname", "eth0", "--netns", &path];
        let done = cluster.nodes[at].cli(&words);
        assert!(done.ok(), "{}{}", done.out, done.err);
        pod
    });
    // Its port has no guard: of a real frame the address would be learned.
    let stranger = "02:00:00:00:77:99";
    leaves_no_mark(&cluster, || {
        let (code, _) = trace(node, &format!("twin 10.32.0.2 --source-mac {stranger} --live"));
        assert_eq!(code, 0);
    });
    assert!(cluster.nodes.iter().all(|node| node.entry("fdb show", "mac", stranger).is_none()));
    let injectors = [0, 1].map(|at: usize| Injector::new(&pods[at]));
    for round in 0..10 {
        injectors[round % 2].send(&inject::frame([0xff; 6], [2, 0, 0, 0, 0x77, 1], 0x88b5));
        wait::sleep_ms(200);
    }
    let third = &cluster.nodes[2];
    let frozen = || fault(third, "pod 02:00:00:00:77:01") == owned(4, "mac_frozen", "n3");
    wait::until(wait::secs(5), "the frozen address to be named", frozen);
    assert_eq!(both(third, "pod 02:00:00:00:77:01"), owned(4, "mac_frozen", "n3"));

    // A node that does not have the network, and one that dies.
    cluster.nodes[2].stop();
    cluster.configs[2] = other_network(&cluster, 2);
    cluster.restart(2);
    let node = &cluster.nodes[0];
    let elsewhere = || fault(node, "pod n3/pod") == owned(1, "network_missing", "n3");
    wait::until(wait::secs(10), "the missing network to be named", elsewhere);
    assert_eq!(both(node, "pod n3/pod"), owned(1, "network_missing", "n3"));
    cluster.nodes[1].signal(Signal::KILL);
    let node = &cluster.nodes[0];
    let dead = || {
        let (code, name, _) = fault(node, "pod 10.32.0.2");
        code == 1 && ["unanswered", "node_down"].contains(&name.as_str())
    };
    wait::until(wait::secs(20), "the dead node to be named", dead);
    let down = || fault(node, "pod n2/pod") == owned(1, "node_down", "n2");
    wait::until(wait::secs(20), "the node to be called down", down);
    assert_eq!(both(node, "pod n2/pod"), owned(1, "node_down", "n2"));
    let _ = cluster.nodes[1].wait_end(wait::secs(5));
    cluster.restart(1);
    cluster.finish();
}

/// The configuration of a node whose pod is on another network.
fn other_network(cluster: &Cluster, at: usize) -> Config {
    let gossip = gossip(&cluster.lab, cluster.nodes[0].host.v4.into());
    Config::new(gossip + &network("other", 200, "") + &port("pod", "other", &cluster.pods[at], ""))
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_small_path_a_detour_and_a_dead_way_are_named() {
    let cluster = Cluster::start(3);
    let node = &cluster.nodes[0];
    let pings = |to: u8| _ = reaches(&cluster.pods[0], pod_v4(to));
    pings(2);
    cluster.shrink(1280);
    let small = || {
        pings(2);
        fault(node, "pod 10.32.0.2 tcp/80") == owned(4, "small_mtu", "n1")
    };
    wait::until(wait::secs(10), "the small path to be named", small);
    let (_, story) = trace(node, "pod 10.32.0.2 tcp/80 --live");
    let hop = &story["nodes"][0];
    assert!(hop["size"].as_u64().is_some_and(|size| (1200..=1280).contains(&size)), "{story:#}");
    assert_eq!(hop["answered"], true, "{story:#}");
    assert_eq!(both(node, "pod 10.32.0.2 tcp/80"), owned(4, "small_mtu", "n1"));
    assert_eq!(both(node, "pod 10.32.0.2 udp/53 --size 1400"), owned(1, "pkt_too_big", "n1"));
    cluster.heal();

    cluster.cut(1, 2);
    let relayed = || {
        pings(2);
        fault(node, "pod 10.32.0.2") == owned(4, "relayed", "n1")
    };
    wait::until(wait::secs(10), "the detour to be named", relayed);
    let told = || {
        let (_, story) = trace(node, "pod 10.32.0.2 --live");
        let stages = stages(&story);
        stages.contains(&"n3 pass_on".to_owned()) && stages.last().is_some_and(|last| last == "n2 deliver")
    };
    wait::until(wait::secs(5), "both others to tell of it", told);
    let (code, story) = trace(node, "pod 10.32.0.2 --live");
    println!("{}", node.cli(&["trace", "pod", "10.32.0.2", "--live"]).out);
    assert_eq!((code, &story["fault"]["code"]), (4, &"relayed".into()), "{story:#}");
    let legs: Vec<String> = stages(&story).split_off(5);
    assert_eq!(legs[..3], ["n1 underlay", "n3 pass_on", "n3 underlay"], "{story:#}");
    let timed = |stage: &Value| stage["ns"].is_u64();
    assert!(story["stages"].as_array().is_some_and(|all| all.iter().all(timed)), "{story:#}");
    cluster.heal();

    // Nobody else can help out: only gossip gets through.
    let ports = "udp dport { 4789, 6081 } drop";
    cluster.fault(&format!("iifname \"h1\" {ports}\n  oifname \"h1\" {ports}"));
    let dead = || {
        pings(2);
        fault(node, "pod 10.32.0.2").1 == "unanswered"
    };
    wait::until(wait::secs(15), "the dead way to be named", dead);
    assert_eq!(both(node, "pod 10.32.0.2"), owned(1, "unanswered", "n1"));
    cluster.heal();
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_rule_of_another_node_that_drops_the_frame_is_named_with_that_node() {
    let mut cluster = Cluster::start(2);
    // Tagged frames pass at the first node, and not at the second.
    let rules = network("pods", 100, "vlan = \"pass\"");
    let join = cluster.nodes[0].host.v4.into();
    cluster.nodes[0].stop();
    cluster.configs[0] = Config::new(
        gossip(&cluster.lab, join) + &rules + &port("pod", "pods", &cluster.pods[0], &pod_keys(1)),
    );
    cluster.restart(0);
    cluster.settle(wait::secs(15));
    let node = &cluster.nodes[0];
    let vlan = || fault(node, "pod 10.32.0.2 --vlan 5") == owned(1, "vlan", "n2");
    wait::until(wait::secs(5), "the rule to be named", vlan);
    leaves_no_mark(&cluster, || {
        let (code, story) = trace(node, "pod 10.32.0.2 --vlan 5 --live");
        assert_eq!(
            (code, &story["fault"]["code"], &story["fault"]["node"]),
            (1, &"vlan".into(), &"n2".into())
        );
        let end = story["stages"].as_array().and_then(|all| all.last()).expect("a stage");
        assert_eq!((&end["stage"], end["ns"].is_u64()), (&"check_ethernet".into(), true), "{end:#}");
    });
    cluster.finish();
}
