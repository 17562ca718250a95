//! Pods that move between nodes, and are followed at once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use weft_tests::cluster::{Cluster, places};
use weft_tests::command::Process;
use weft_tests::pair::pod_v4;
use weft_tests::peer::address_pod;
use weft_tests::traffic::assert_pings;
use weft_tests::{Netns, Node, wait};

/// The number of the pod that moves.
const MOVER: u8 = 9;

/// The longest time from the mover's first frame out at its new place to the first frame that reaches it there.
const LIMIT: Duration = Duration::from_millis(200);

/// Adds the mover's port to a node, configured or bare; returns when its device is there.
#[track_caller]
fn add(node: &Node, pod: &Netns, configured: bool) {
    let (path, mac) = (pod.path(), "02:00:00:00:32:09");
    let address = format!("{}/12", pod_v4(MOVER));
    let mut words = vec!["port", "add", "mover", "--network", "pods", "--ifname", "eth0", "--netns", &path];
    if configured {
        words.extend(["--mac", mac, "--address", &address]);
    }
    let done = node.cli(&words);
    assert!(done.ok(), "{}{}", done.out, done.err);
}

/// All that passes the devices of a pod, with times, a line each.
#[track_caller]
fn watch(cluster: &Cluster, pod: &Netns) -> Process {
    let words = ["tcpdump", "-i", "any", "-n", "-l", "-tt", "--immediate-mode", "-Z", "root"];
    let tcpdump = pod.start(&words, &[], &cluster.lab.dir().join(format!("{}.txt", pod.name())));
    wait::until(wait::secs(5), "tcpdump to listen", || tcpdump.log().contains("listening on"));
    tcpdump
}

/// The time of the first line after `since` with all these words; lines begin with seconds since 1970.
fn first(log: &str, since: f64, words: &[&str]) -> Option<f64> {
    let mut lines = log.lines().filter(|line| words.iter().all(|word| line.contains(word)));
    lines.find_map(|line| line.split(' ').next()?.parse().ok().filter(|time| *time > since))
}

/// Seconds since 1970, by the clock that tcpdump tells.
#[allow(clippy::disallowed_methods)] // the tests' own clock counts from elsewhere
fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// Pings the mover every 10 ms from the third node's pod while it leaves its place and arrives in the pod `to`, and says
/// how long it took from its first frame out there to the first ping that reached it.
#[track_caller]
fn time_to_follow(cluster: &Cluster, to: &Netns, leave: impl FnOnce(), arrive: impl FnOnce()) -> Duration {
    let ping = format!("ping -n -q -i 0.01 -w 30 {}", pod_v4(MOVER));
    let words: Vec<_> = ping.split(' ').collect();
    let pings = cluster.pods[2].start(&words, &[], &cluster.lab.dir().join("pings.txt"));
    let seen = watch(cluster, to);
    wait::sleep_ms(200);
    leave();
    let start = unix_now();
    arrive();
    let mut times = (None, None);
    let what = "a ping at the mover's new place";
    wait::until(wait::secs(10), what, || {
        let log = seen.log();
        let out = first(&log, start, &["eth0 ", " Out "]);
        times = (out, out.and_then(|out| first(&log, out, &["eth0 ", " In ", "echo request"])));
        times.1.is_some()
    });
    drop(pings);
    let (Some(out), Some(reached)) = times else { unreachable!("the wait has ended") };
    Duration::from_secs_f64(reached - out)
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_pod_whose_port_moves_to_another_node_is_followed_at_once() {
    let cluster = Cluster::start(3);
    let mover = cluster.lab.pod("mover");
    add(&cluster.nodes[0], &mover, true);
    assert_pings(&cluster.pods[2], pod_v4(MOVER));
    let mut worst = Duration::ZERO;
    for round in 0..6 {
        let (from, to) = (&cluster.nodes[round % 2], &cluster.nodes[(round + 1) % 2]);
        let leave = || {
            let done = from.cli(&["port", "del", "mover"]);
            assert!(done.ok(), "{}{}", done.out, done.err);
            wait::until(wait::secs(2), "the old device to go", || mover.devices() == ["lo"]);
        };
        let took = time_to_follow(&cluster, &mover, leave, || add(to, &mover, true));
        worst = worst.max(took);
        println!("the first ping is there {took:?} after the first frame out");
    }
    assert!(worst <= LIMIT, "{worst:?}");
    assert_pings(&cluster.pods[2], pod_v4(MOVER));
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_pod_that_is_heard_at_another_node_is_followed_at_once_though_its_old_port_is_there() {
    let cluster = Cluster::start(3);
    let places_of = |at: usize| places(&cluster.nodes[at]).get(&MOVER).cloned();
    let [old, new] = ["old", "new"].map(|name| cluster.lab.pod(name));
    add(&cluster.nodes[0], &old, false);
    address_pod(&old, MOVER);
    assert_pings(&cluster.pods[2], pod_v4(MOVER));
    // As a virtual machine that goes on elsewhere: here it is silent from now on.
    let leave = || {
        old.nft("table netdev quiet {\n chain out {\n  type filter hook egress device \"eth0\" priority 0\n  drop\n }\n}\n");
    };
    let took = time_to_follow(&cluster, &new, leave, || {
        add(&cluster.nodes[1], &new, false);
        address_pod(&new, MOVER);
    });
    println!("the first ping is there {took:?} after the first frame out");
    assert!(took <= LIMIT, "{took:?}");
    let there = cluster.nodes[1].host.v4.to_string();
    wait::until(wait::secs(1), "the old place to let go of it", || places_of(0).as_ref() == Some(&there));
    assert_eq!(places_of(1).as_deref(), Some("here"));
    assert_eq!(places_of(2).as_ref(), Some(&there));
    assert_pings(&cluster.pods[2], pod_v4(MOVER));
    assert_pings(&cluster.pods[0], pod_v4(MOVER));
    cluster.finish();
}
