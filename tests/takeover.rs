//! Restarts under load: a daemon is killed or stopped while a TCP stream runs, and a supervisor starts it again at once.
//!
//! `WEFT_KILLS` says how often, 5 unless told. The pause of the stream is the longest time without an octet at its
//! receiver; it cannot be shorter than TCP's own first retransmission, 200 ms after what was lost.

use std::time::Duration;

use rustix::process::Signal;
use weft_tests::pair::{Pair, Spec, pod_v4};
use weft_tests::traffic::assert_pings;
use weft_tests::{Netns, Node, Stream, wait};

/// The longest pause of the stream that a restart may cause.
const MUST: Duration = Duration::from_millis(500);
/// Rounds that a machine gets that is busy with other things.
const ROUNDS: usize = 3;

/// What a pod has been given, by weft and by hand: device, addresses, routes.
fn belongings(pod: &Netns) -> String {
    let link = pod.ip("-o link show eth0");
    let (index, mac) = (link.split(':').next(), link.split("link/ether ").nth(1));
    let mac = mac.and_then(|rest| rest.split(' ').next());
    let lines = |text: String| -> Vec<String> {
        let mut lines: Vec<_> = text
            .lines()
            .map(|line| line.replace(" linkdown", "").split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|line| !line.contains("fe80::") && !line.contains("ff00::"))
            .collect();
        lines.sort();
        lines
    };
    let addresses = lines(pod.ip("-o addr show dev eth0 scope global"));
    let routes = [lines(pod.ip("-4 route show")), lines(pod.ip("-6 route show"))];
    format!("{index:?} {mac:?} {addresses:#?} {routes:#?}")
}

/// Ends the Nth daemon by a signal and starts it again as soon as it has gone, as a supervisor would. Returns how long
/// it took to end, and the next one to start.
#[track_caller]
fn restart(pair: &mut Pair, n: usize, signal: Signal) -> (Duration, Duration) {
    let started = |node: &Node| node.log().matches("weft is up").count();
    let (start, starts) = (wait::now(), started(&pair.nodes[n]));
    pair.nodes[n].signal(signal);
    while pair.nodes[n].runs() {
        assert!(wait::now() < start + wait::secs(5), "{signal:?} has not ended weft within 5 s");
        wait::sleep_ms(1);
    }
    let gone = wait::now();
    pair.nodes[n] = Node::spawn(&pair.nodes[n].host.clone(), &pair.configs[n]);
    while started(&pair.nodes[n]) == starts {
        let node = &mut pair.nodes[n];
        assert!(node.runs(), "weft did not start again:\n{}", node.log());
        assert!(wait::now() < gone + wait::secs(5), "weft did not start within 5 s:\n{}", node.log());
        wait::sleep_ms(1);
    }
    (gone - start, wait::now() - gone)
}

/// Restarts the daemons in turn, `count` times in all, each while the stream flows; returns its pauses, sorted.
#[track_caller]
fn pauses(pair: &mut Pair, stream: &Stream, signal: Signal, count: usize) -> Vec<Duration> {
    let mut pauses = Vec::new();
    for i in 0..count {
        let start = wait::now();
        let (end, begin) = restart(pair, i % 2, signal);
        // What arrives from here on may still be what the receiver had not read.
        wait::sleep_ms(50);
        let before = stream.octets();
        wait::until(wait::secs(8), "the stream to go on", || {
            assert!(stream.lives(), "the stream broke at restart {i}");
            stream.octets() >= before + (8 << 20)
        });
        let pause = stream.longest_pause_since(start);
        println!("{signal:?} {i}: ended in {end:?}, started in {begin:?}, pause {pause:?}");
        pauses.push(pause);
    }
    pauses.sort();
    pauses
}

/// The pause that 99 of 100 restarts do not exceed.
fn p99(sorted: &[Duration]) -> Duration {
    sorted[(sorted.len() * 99).div_ceil(100) - 1]
}

/// How often to restart.
fn count() -> usize {
    std::env::var("WEFT_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(5).max(1)
}

#[track_caller]
fn assert_stream_survives(node: &'static str, signal: Signal) {
    let mut pair = Pair::start(&Spec { node, ..Spec::default() });
    assert_pings(&pair.pods[0], pod_v4(2));
    for (pod, other) in [(0, 2), (1, 1)] {
        let pod = &pair.pods[pod];
        pod.ip(&format!("addr add 10.32.7.{other}/32 dev eth0"));
        pod.ip(&format!("route add 192.168.{other}.0/24 via {} dev eth0", pod_v4(other)));
    }
    let before = pair.pods.each_ref().map(|pod| belongings(pod));
    let stream = Stream::start(&pair.pods[0], (&pair.pods[1], pod_v4(2)), 5210, None);
    for round in 1..=ROUNDS {
        let all = pauses(&mut pair, &stream, signal, count());
        println!("{signal:?}, round {round}: pauses {all:?}, p99 {:?}", p99(&all));
        if p99(&all) <= MUST {
            break;
        }
        assert!(round < ROUNDS, "in no round of {ROUNDS} was the p99 of the pauses below {MUST:?}");
    }
    let octets = stream.finish().unwrap_or_else(|why| panic!("the stream did not survive: {why}"));
    println!("{} MiB arrived as they were sent", octets >> 20);
    assert_eq!(pair.pods.each_ref().map(|pod| belongings(pod)), before);
    for (node, other) in pair.nodes.iter().zip(["02:00:00:00:32:02", "02:00:00:00:32:01"]) {
        let learned = node.entry("fdb show", "mac", other);
        assert!(learned.is_some(), "{} has not learned {other} again", node.host.name);
        assert!(
            node.log().contains("took over 1 TAP"),
            "{} does not say so:\n{}",
            node.host.name,
            node.log()
        );
    }
    assert_pings(&pair.pods[1], pod_v4(1));
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_tcp_stream_survives_kill_9_of_either_daemon() {
    assert_stream_survives("", Signal::KILL);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_tcp_stream_survives_a_planned_restart_with_keep_ports() {
    assert_stream_survives("keep_ports = true", Signal::TERM);
}
