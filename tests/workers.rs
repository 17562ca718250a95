//! Several workers: what they share loses nothing and stays in order.
//!
//! Eight flows run at once, a TCP stream and a numbered UDP flow between each of four pairs of pods. The receivers
//! count: a datagram that comes after a later one, and the segments that the kernel's TCP found out of order.

use std::sync::Arc;
use std::time::Duration;

use weft_tests::node::port;
use weft_tests::pair::pod_keys;
use weft_tests::traffic::{Burst, assert_pings, udp_burst};
use weft_tests::{Netns, Node, Pairs, Stream, wait};

/// Pairs of pods.
const PAIRS: usize = 4;
/// Octets of a stream's receive buffer. Windows this small fill no queue, so that nothing is lost and each segment out
/// of order is one that was overtaken.
const WINDOW: usize = 256 << 10;
/// Between two datagrams of a flow.
const PACE: Duration = Duration::from_micros(500);

/// Four pairs of pods, and daemons with so many workers.
#[track_caller]
fn start(workers: usize) -> Pairs {
    Pairs::start(PAIRS, &format!("workers = {workers}"))
}

fn stream(pairs: &Pairs, i: usize) -> Stream {
    Stream::start(&pairs.pods[0][i], pairs.to(i), 5300, Some(WINDOW))
}

/// One numbered flow for each pair, all at once, with something going on meanwhile.
#[track_caller]
fn bursts(pairs: &Pairs, count: usize, meanwhile: impl FnOnce() + Send) -> Vec<Burst> {
    std::thread::scope(|scope| {
        let flow = |i| {
            let (pod, addr) = pairs.to(i);
            udp_burst(&pairs.pods[0][i], (pod, addr), count, PACE, |n| 18 + n % 500)
        };
        let flows: Vec<_> = (0..PAIRS).map(|i| scope.spawn(move || flow(i))).collect();
        meanwhile();
        flows.into_iter().map(|flow| flow.join().expect("a flow ends")).collect()
    })
}

/// A number that `ss` tells of the receiver's end of a stream; 0 when it says nothing.
fn told(pod: &Netns, name: &str) -> u64 {
    let text = pod.exec("ss -tinH state established ( sport = 5300 or dport = 5300 )");
    assert!(text.contains("rcv_space"), "ss shows no stream in {}: {text}", pod.name());
    text.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse().ok()).unwrap_or(0)
}

/// Adds ports and removes them, by command and by reload, on both nodes.
#[track_caller]
fn change_ports(pairs: &Pairs, more: &[Arc<Netns>; 2]) {
    for (n, node) in pairs.nodes.iter().enumerate() {
        let path = more[n].path();
        for _ in 0..3 {
            for words in [
                &["port", "add", "extra", "--network", "pods", "--ifname", "eth0", "--netns", &path][..],
                &["port", "del", "extra"],
            ] {
                let done = node.cli(words);
                assert!(done.ok(), "{words:?}: {}{}", done.out, done.err);
            }
        }
        let text = port("third", "pods", &more[n], &pod_keys(Pairs::number(n, 9)));
        for (config, state) in
            [(pairs.configs[n].clone().with(&text), "up"), (pairs.configs[n].clone(), "none")]
        {
            node.rewrite(&config);
            assert!(node.cli(&["reload"]).ok());
            assert_eq!(node.port_state("third"), state);
        }
    }
}

/// CPU time of each worker of a node.
fn busy(node: &Node) -> Vec<(String, Duration)> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", node.pid())).expect("its threads");
    let mut times = Vec::new();
    for task in tasks.flatten() {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let (name, stat) = (read("comm").trim().to_owned(), read("schedstat"));
        if name.starts_with("worker-") {
            let ns = stat.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
            times.push((name, Duration::from_nanos(ns)));
        }
    }
    times.sort();
    times
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn four_workers_keep_eight_flows_in_order_while_ports_come_and_go() {
    const COUNT: usize = 10_000;
    let mut pairs = start(4);
    let more = [pairs.lab.pod("more0"), pairs.lab.pod("more1")];
    let streams: Vec<_> = (0..PAIRS).map(|i| stream(&pairs, i)).collect();
    let bursts = bursts(&pairs, COUNT, || change_ports(&pairs, &more));
    println!("{bursts:?}");
    let late = |i: usize| (told(&pairs.pods[1][i], "rcv_ooopack:"), told(&pairs.pods[0][i], "reord_seen:"));
    println!("streams, out of order at the receiver: {:?}", (0..PAIRS).map(late).collect::<Vec<_>>());
    for (i, burst) in bursts.iter().enumerate() {
        assert_eq!(*burst, Burst { received: COUNT, corrupt: 0, late: 0 }, "UDP flow {i}");
        assert_eq!(told(&pairs.pods[1][i], "rcv_ooopack:"), 0, "segments of stream {i} out of order");
    }
    for stream in streams {
        let octets = stream.finish().unwrap_or_else(|why| panic!("a stream broke: {why}"));
        assert!(octets > 1 << 20, "only {octets} octets of a stream arrived");
    }
    let workers = busy(&pairs.nodes[0]);
    println!("{workers:?}");
    assert_eq!(workers.len(), 4);
    // Each has a port, so each has had something to do.
    assert!(workers.iter().all(|(_, time)| *time > Duration::from_millis(20)), "{workers:?}");
    pairs.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn no_number_of_workers_loses_a_frame() {
    const COUNT: usize = 4_000;
    for workers in [1, 2, 4] {
        let mut pairs = start(workers);
        let bursts = bursts(&pairs, COUNT, || ());
        println!("{workers} workers: {bursts:?}");
        assert_eq!(bursts, [Burst { received: COUNT, corrupt: 0, late: 0 }; PAIRS], "{workers} workers");
        for node in &pairs.nodes {
            for reason in ["tap_full", "tap_gone", "send_error", "unknown_peer"] {
                assert_eq!(node.dropped(reason), 0, "{reason} on {}, {workers} workers", node.host.name);
            }
            let before = &node.json("drops")["lost_before"];
            assert_eq!(weft_tests::node::count(before), 0, "{before}, {workers} workers");
        }
        pairs.finish();
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_restart_with_four_workers_moves_no_flow_out_of_order() {
    const COUNT: usize = 8_000;
    let mut pairs = start(4);
    let (mut node, config) = (None, pairs.configs[1].clone());
    let bursts = {
        let host = pairs.nodes[1].host.clone();
        bursts(&pairs, COUNT, || {
            for _ in 0..3 {
                wait::sleep_ms(500);
                let ended = node.as_ref().unwrap_or(&pairs.nodes[1]);
                ended.signal(rustix::process::Signal::KILL);
                // The port is free when the process has gone, which its socket tells.
                wait::until(wait::secs(5), "the daemon to go", || !ended.cli(&["status"]).ok());
                node = Some(Node::start(&host, &config));
            }
        })
    };
    println!("{bursts:?}");
    pairs.nodes[1] = node.expect("it was started again");
    for (i, burst) in bursts.iter().enumerate() {
        assert_eq!((burst.corrupt, burst.late), (0, 0), "flow {i}: {burst:?}");
        assert!(burst.received > COUNT / 4, "flow {i} did not go on: {burst:?}");
    }
    pairs.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_port_that_changes_has_its_new_device_at_once() {
    let mut pairs = start(4);
    let device = |pod: &Netns| pod.ip("-o link show eth0").split(':').next().map(str::to_owned);
    let pod = Arc::clone(&pairs.pods[0][0]);
    let before = device(&pod);
    // The workers still hold the old device when the new one of the same name is made.
    let text = pairs.configs[0].text(&pairs.nodes[0].host);
    let moved = text.replace("02:00:00:00:32:0a", "02:00:00:00:32:aa");
    assert_ne!(moved, text);
    std::fs::write(pairs.nodes[0].host.dir.join("weft.toml"), moved).expect("the configuration is written");
    let done = pairs.nodes[0].cli(&["reload"]);
    assert!(done.ok(), "{}{}", done.out, done.err);
    assert_eq!(pairs.nodes[0].port_state("p0"), "up");
    assert_ne!(device(&pod), before);
    assert!(pod.ip("link show eth0").contains("02:00:00:00:32:aa"));
    assert_pings(&pod, pairs.to(0).1);
    pairs.finish();
}
