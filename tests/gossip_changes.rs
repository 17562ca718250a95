//! What people change while nodes gossip: keys, nodes that leave or are forgotten, shared peers; and pods that must not be.

use std::net::IpAddr;
use std::time::Duration;

use rustix::process::Signal;
use weft_tests::cluster::{Cluster, events, gossip, member, pod_number, states};
use weft_tests::command::Finished;
use weft_tests::inject::{self, Injector};
use weft_tests::node::{Config, network, peer, port};
use weft_tests::pair::{finish, pod_keys, pod_v4};
use weft_tests::peer::{Joint, address_pod, kernel_vxlan};
use weft_tests::traffic::{Pings, assert_pings, ping_line};
use weft_tests::{Lab, Netns, Node, wait};

/// Runs a command that must work.
#[track_caller]
fn does(node: &Node, words: &[&str]) -> Finished {
    let done = node.cli(words);
    assert!(done.ok(), "weft {words:?} on {}: {}{}", node.host.name, done.out, done.err);
    done
}

/// Three nodes, each with a key file of its own that holds the same key, and their pods.
#[track_caller]
fn with_own_key_files(lab: &Lab) -> (Vec<Node>, Vec<std::sync::Arc<Netns>>, Vec<Config>) {
    let hosts: Vec<_> = (1..=3).map(|n| lab.host(&format!("n{n}"))).collect();
    let pods: Vec<_> = (1..=3).map(|n| lab.pod(&format!("pod{n}"))).collect();
    let common = gossip(lab, hosts[0].v4.into());
    let shared = lab.dir().join("gossip.key").display().to_string();
    let config = |at: usize| {
        let own = hosts[at].dir.join("gossip.key").display().to_string();
        hosts[at].ns.exec(&format!("cp -p {shared} {own}"));
        let port = port("pod", "pods", &pods[at], &pod_keys(pod_number(at)));
        Config::new(common.replace(&shared, &own) + &network("pods", 100, "") + &port)
    };
    let configs: Vec<_> = (0..3).map(config).collect();
    let nodes: Vec<_> = hosts.iter().zip(&configs).map(|(host, config)| Node::start(host, config)).collect();
    (nodes, pods, configs)
}

/// The id of the key that a node seals with.
#[track_caller]
fn in_use(node: &Node) -> String {
    let key = node.entry("key list", "in_use", "").or_else(|| {
        let list = node.json("key list");
        list["entries"].as_array()?.iter().find(|key| key["in_use"] == true).cloned()
    });
    key.and_then(|key| key["id"].as_str().map(str::to_owned)).expect("a key in use")
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn keys_change_on_all_nodes_without_losing_a_frame_or_a_member() {
    let mut lab = Lab::new();
    let (mut nodes, pods, configs) = with_own_key_files(&lab);
    assert_pings(&pods[0], pod_v4(3));
    let options = "-c 600 -i 0.01 -w 60";
    let line = ping_line(pod_v4(3), options);
    let words: Vec<_> = line.split(' ').collect();
    let pings = pods[0].start(&words, &[], &lab.dir().join("pings.txt"));

    let old = in_use(&nodes[0]);
    let file = lab.dir().join("new.key").display().to_string();
    let made = does(&nodes[0], &["key", "new", "--output", &file, "-j"]);
    let made: serde_json::Value = serde_json::from_str(&made.out).expect("JSON");
    let new = made["id"].as_str().expect("an id");
    for node in &nodes {
        does(node, &["key", "install", "--file", &file]);
    }
    does(&nodes[0], &["key", "use", new]);
    let early = nodes[0].cli(&["key", "remove", &old]);
    assert!(early.code == 1 && early.err.contains("n2") | early.err.contains("n3"), "{}", early.err);
    for node in &nodes[1..] {
        does(node, &["key", "use", new]);
    }
    for node in &nodes {
        wait::until(wait::secs(5), "the old key to seal nowhere", || node.cli(&["key", "remove", &old]).ok());
        assert_eq!(in_use(node), new);
    }
    assert_eq!(Pings::read(&pings.log(), options), None, "the pings ended before the keys were changed");
    // The rest of them runs, and the nodes probe each other, under the new key.
    wait::until(wait::secs(65), "the pings to end", || Pings::read(&pings.log(), options).is_some());
    assert!(Pings::read(&pings.log(), options).is_some_and(Pings::all), "{}", pings.log());
    for kind in ["member_suspect", "member_down"] {
        nodes.iter().for_each(|node| assert_eq!(events(node, kind).len(), 0, "{kind}: {}", node.log()));
    }

    // A restart reads what the daemon wrote.
    nodes[2].stop();
    nodes[2] = Node::start(&nodes[2].host.clone(), &configs[2]);
    assert_eq!(in_use(&nodes[2]), new);
    wait::until(wait::secs(5), "the node to be back", || states(&nodes[0]).values().all(|s| s == "up"));
    assert_pings(&pods[0], pod_v4(3));
    finish(&mut nodes, &mut lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn two_pods_with_one_address_freeze_it_with_one_alarm_that_names_both_places() {
    const TWIN: [u8; 6] = [2, 0, 0, 0, 0x77, 1];
    const MAC: &str = "02:00:00:00:77:01";
    let cluster = Cluster::start(3);
    let pods = [0, 1].map(|at| {
        let pod = cluster.lab.pod(&format!("twin{at}"));
        let path = pod.path();
        let words = ["port", "add", "twin", "--network", "pods", "--ifname", "eth0", "--netns", &path];
        does(&cluster.nodes[at], &words);
        pod
    });
    let injectors = [0, 1].map(|at: usize| Injector::new(&pods[at]));
    for round in 0..10 {
        injectors[round % 2].send(&inject::frame([0xff; 6], TWIN, 0x88b5));
        wait::sleep_ms(300);
    }
    let place = |at: usize| cluster.nodes[at].entry("fdb show", "mac", MAC);
    let frozen = |at: usize| place(at).is_some_and(|entry| entry["frozen_s"].is_u64());
    wait::until(wait::secs(3), "all nodes to freeze it", || (0..3).all(frozen));
    for node in &cluster.nodes {
        let alarms = events(node, "fdb_frozen");
        assert_eq!(alarms.len(), 1, "one alarm on {}: {alarms:?}", node.host.name);
        let (from, to) = (alarms[0]["from"].to_string(), alarms[0]["at"].to_string());
        assert!(from != to && from.len() > 2 && to.len() > 2, "{from} and {to}");
    }
    // Whoever has it, all agree.
    let owner = |at: usize| place(at).map(|entry| entry["owner"].to_string());
    assert!((1..3).all(|at| owner(at) == owner(0)), "{:?}", [owner(0), owner(1), owner(2)]);
    does(&cluster.nodes[0], &["fdb", "thaw", MAC]);
    assert!(!frozen(0));
    let history = cluster.nodes[2].cli(&["fdb", "history", MAC]);
    assert!(history.ok() && history.out.contains("n1") && history.out.contains("n2"), "{}", history.out);
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_shared_static_peer_is_reached_by_members_that_do_not_have_it() {
    let mut lab = Lab::new();
    let [a, b, kernel] = ["a", "b", "kernel"].map(|name| lab.host(name));
    let pods: Vec<_> = (1..=3).map(|n| lab.pod(&format!("pod{n}"))).collect();
    let join: IpAddr = a.v4.into();
    kernel_vxlan(&kernel, join, 100, &pods[2], Joint::Device);
    address_pod(&pods[2], 3);
    let shared = peer(kernel.v4, "pods", "share = true");
    let mut nodes = [
        Node::start(&a, &member(&lab, join, &pods[0], 1).with(&shared)),
        Node::start(&b, &member(&lab, join, &pods[1], 2)),
    ];
    assert_pings(&pods[0], pod_v4(3));
    assert_pings(&pods[1], pod_v4(3));
    let there = kernel.v4.to_string();
    let known = || {
        let list = nodes[1].json("fdb show");
        let entries = list["entries"].as_array().cloned().unwrap_or_default();
        entries.iter().any(|entry| entry["dst"] == there.as_str() && entry["owner"] == "a")
    };
    wait::until(wait::secs(3), "b to hear from a who lives behind the peer", known);
    finish(&mut nodes, &mut lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_node_leaves_by_command_and_a_dead_one_is_forgotten() {
    let mut cluster = Cluster::start(4);
    does(&cluster.nodes[1], &["leave"]);
    cluster.hidden(1, &[0, 2, 3], Duration::from_secs(1));
    let left = format!("{}:6786", cluster.nodes[1].host.v4);
    assert_eq!(states(&cluster.nodes[0])[&left], "left");
    let alone = cluster.nodes[1].cli(&["status"]);
    assert!(alone.code == 4 && alone.out.contains("left"), "{} {}", alone.code, alone.out);

    let alive = cluster.nodes[0].cli(&["forget", "n3"]);
    assert!(alive.code != 0 && alive.err.contains("n3"), "{}", alive.err);
    cluster.nodes[3].signal(Signal::KILL);
    cluster.nodes[3].wait_end(wait::secs(3));
    let dead = format!("{}:6786", cluster.nodes[3].host.v4);
    let state = |cluster: &Cluster| states(&cluster.nodes[0]).get(&dead).cloned();
    // Its path is dead before gossip gives it up.
    wait::until(wait::secs(8), "the node to be down", || state(&cluster).as_deref() == Some("down"));
    wait::until(wait::secs(8), "gossip to let it go", || cluster.nodes[0].cli(&["forget", "n4"]).ok());
    wait::until(wait::secs(4), "the node to be forgotten", || state(&cluster).is_none());

    // Both come back by a start.
    cluster.nodes[1].stop();
    cluster.restart(1);
    cluster.restart(3);
    cluster.settle(wait::secs(10));
    cluster.assert_all_reach(&[0, 1, 2, 3]);
    cluster.finish();
}
