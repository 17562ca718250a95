//! Nodes that find each other by gossip while nodes die, stop, lose their state, and the underlay breaks or loses.

use std::time::Duration;

use rustix::process::Signal;
use weft_tests::cluster::{Cluster, events, places, pod_number, states};
use weft_tests::pair::pod_v4;
use weft_tests::traffic::{assert_pings, ping_with};
use weft_tests::wait;

/// Every node of a cluster but one.
fn others(cluster: &Cluster, but: usize) -> Vec<usize> {
    (0..cluster.nodes.len()).filter(|at| *at != but).collect()
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_killed_node_of_eight_is_hidden_within_seven_seconds_and_heard_again_when_it_is_back() {
    let mut cluster = Cluster::start(8);
    let (victim, others) = (4, others(&cluster, 4));
    assert_pings(&cluster.pods[0], pod_v4(pod_number(victim)));
    let address = format!("{}:6786", cluster.nodes[victim].host.v4);
    cluster.nodes[victim].signal(Signal::KILL);
    cluster.nodes[victim].wait_end(wait::secs(2));
    let took = cluster.hidden(victim, &others, wait::secs(7));
    println!("a killed node is hidden by all seven others after {took:?}");
    for at in &others {
        let node = &cluster.nodes[*at];
        assert_eq!(states(node)[&address], "down", "{}", node.host.name);
        assert_eq!(events(node, "member_down").len(), 1, "{} took another for dead", node.host.name);
    }
    cluster.assert_all_reach(&others);
    let start = wait::now();
    cluster.restart(victim);
    cluster.settle(wait::secs(5));
    println!("its next start is known to all {:?} after it was begun", wait::now() - start);
    let all: Vec<_> = (0..8).collect();
    cluster.assert_all_reach(&all);
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_node_that_is_told_to_stop_is_hidden_at_once() {
    let mut cluster = Cluster::start(5);
    let others = others(&cluster, 0);
    cluster.nodes[0].signal(Signal::TERM);
    // It is the one whose address all of them joined by.
    let took = cluster.hidden(0, &others, wait::secs(1));
    println!("a node that stops is hidden by all four others after {took:?}");
    assert_eq!(cluster.nodes[0].wait_end(wait::secs(5)), 0);
    for at in &others {
        assert_eq!(events(&cluster.nodes[*at], "member_left").len(), 1, "at {at}");
        assert_eq!(events(&cluster.nodes[*at], "member_down").len(), 0, "at {at}");
    }
    cluster.assert_all_reach(&others);
    cluster.restart(0);
    cluster.settle(wait::secs(5));
    cluster.assert_all_reach(&[0, 1, 2, 3, 4]);
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_partition_loses_nothing_inside_its_halves_and_heals_within_five_seconds() {
    let cluster = Cluster::start(8);
    let all: Vec<_> = (0..8).collect();
    cluster.assert_all_reach(&all);
    cluster.partition(4);
    std::thread::scope(|scope| {
        let mut pings = Vec::new();
        for half in [[0, 1, 2, 3], [4, 5, 6, 7]] {
            for (from, to) in [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2), (1, 3)] {
                let (pod, to) = (&cluster.pods[half[from]], pod_v4(pod_number(half[to])));
                pings.push(scope.spawn(move || (to, ping_with(pod, to, "-c 300 -i 0.1 -w 60"))));
            }
        }
        for ping in pings {
            let (to, pings) = ping.join().expect("ping ends");
            assert!(pings.all(), "to {to} in its half: {pings:?}");
        }
    });
    for (half, other) in [(0..4, 4..8), (4..8, 0..4)] {
        for at in half {
            let shown = places(&cluster.nodes[at]);
            assert!(!other.clone().any(|n| shown.contains_key(&pod_number(n))), "{at} shows {shown:?}");
        }
    }
    cluster.heal();
    let took = cluster.settle(wait::secs(5));
    println!("after a partition of 30 s all nodes know all pods {took:?} after the heal");
    cluster.assert_all_reach(&all);
    cluster.finish();
}

/// Eight nodes on an underlay that loses so many of a hundred packets for 30 s.
#[track_caller]
fn nobody_is_declared_down(percent: u8) {
    let cluster = Cluster::start(8);
    cluster.lose(percent);
    let end = wait::now() + wait::secs(30);
    let died = wait::reached(wait::secs(30), || wait::now() < end && cluster.count_events("member_down") > 0);
    let suspected = cluster.count_events("member_suspect");
    println!("{suspected} suspicions in 30 s of {percent} % loss between 8 nodes");
    assert!(!died, "a living node was declared down at {percent} % loss");
    cluster.heal();
    cluster.settle(wait::secs(5));
    assert_eq!(cluster.count_events("member_down"), 0);
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn no_node_is_declared_down_at_5_percent_loss() {
    nobody_is_declared_down(5);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn no_node_is_declared_down_at_20_percent_loss() {
    nobody_is_declared_down(20);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn streams_at_full_speed_cost_no_node_its_life() {
    let seconds = std::env::var("WEFT_LOAD_S").ok().and_then(|s| s.parse().ok()).unwrap_or(10_u64);
    let cluster = Cluster::start(3);
    let server =
        cluster.pods[1].start(&["iperf3", "-s", "--forceflush"], &[], &cluster.lab.dir().join("iperf3.log"));
    wait::until(wait::secs(5), "iperf3 to listen", || server.log().contains("listening"));
    let (to, time) = (pod_v4(2).to_string(), seconds.to_string());
    let words = ["iperf3", "-c", &to, "-P", "4", "-i", "0", "-t", &time];
    let mut client = cluster.pods[0].start(&words, &[], &cluster.lab.dir().join("client.log"));
    let code = client.wait(wait::secs(seconds + 20));
    let said = client.log();
    assert_eq!(code, 0, "iperf3: {said}");
    let sum = said.lines().rfind(|line| line.contains("SUM") && line.contains("receiver"));
    println!("{seconds} s of load: {}", sum.unwrap_or(&said));
    assert_eq!(cluster.count_events("member_down"), 0);
    println!("{} suspicions", cluster.count_events("member_suspect"));
    drop(server);
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_daemon_that_slept_for_ten_seconds_comes_back() {
    let cluster = Cluster::start(4);
    let others = others(&cluster, 2);
    cluster.nodes[2].signal(Signal::STOP);
    let took = cluster.hidden(2, &others, wait::secs(10));
    println!("a stopped daemon is hidden after {took:?}");
    wait::sleep_ms(u64::try_from(wait::secs(10).saturating_sub(took).as_millis()).unwrap_or(0));
    cluster.nodes[2].signal(Signal::CONT);
    let took = cluster.settle(wait::secs(5));
    println!("it is back {took:?} after it goes on");
    cluster.assert_all_reach(&[0, 1, 2, 3]);
    for at in others {
        assert_eq!(events(&cluster.nodes[at], "member_down").len(), 1, "{at} took another for dead");
    }
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_node_whose_link_was_down_comes_back() {
    let cluster = Cluster::start(4);
    let (others, link) = (others(&cluster, 3), &cluster.nodes[3].host.ns);
    link.ip("link set u0 down");
    let took = cluster.hidden(3, &others, wait::secs(7));
    println!("a node without a link is hidden after {took:?}");
    wait::until(wait::secs(10), "it to hide the others", || places(&cluster.nodes[3]).len() == 1);
    link.ip("link set u0 up");
    let took = cluster.settle(wait::secs(5));
    println!("all is known again {took:?} after the link is back");
    cluster.assert_all_reach(&[0, 1, 2, 3]);
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_node_that_lost_its_state_comes_back_as_another_of_the_same_name() {
    let mut cluster = Cluster::start(3);
    cluster.nodes[1].signal(Signal::KILL);
    cluster.nodes[1].wait_end(wait::secs(2));
    std::fs::remove_dir_all(cluster.nodes[1].host.dir.join("state")).expect("there was state");
    cluster.restart(1);
    let took = cluster.settle(wait::secs(10));
    println!("a node without its state is known {took:?} after it is ready");
    cluster.assert_all_reach(&[0, 1, 2]);
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_node_that_restarts_five_times_quickly_is_known_where_it_is() {
    let mut cluster = Cluster::start(4);
    for round in 0..5 {
        cluster.nodes[3].signal(if round % 2 == 0 { Signal::KILL } else { Signal::TERM });
        cluster.nodes[3].wait_end(wait::secs(5));
        cluster.restart(3);
    }
    let took = cluster.settle(wait::secs(5));
    println!("after five restarts all is known in {took:?}");
    cluster.assert_all_reach(&[0, 1, 2, 3]);
    // Whoever was called down meanwhile must not be called so later.
    let downs = cluster.count_events("member_down");
    assert!(!wait::reached(wait::secs(8), || cluster.count_events("member_down") > downs));
    cluster.settle(Duration::ZERO);
    cluster.finish();
}
