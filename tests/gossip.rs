//! Nodes that find each other by gossip: who talks with whom, and who hears what.

use weft_tests::cluster::{Cluster, gossip, pod_number, states};
use weft_tests::node::{Config, count, network, port};
use weft_tests::pair::{pod_keys, pod_v4, pod_v6};
use weft_tests::traffic::{assert_pings, count_frames, counted};
use weft_tests::{Injector, Node, inject, wait};

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
        assert!(states.values().all(|state| state == "member_up"), "{states:?}");
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
    let sides = &cluster.nodes[3].json("drops")["sides"];
    assert_eq!(count(&sides["received_from_underlay"]), 0, "{sides}");
    cluster.finish();
}
