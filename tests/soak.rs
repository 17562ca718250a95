//! Load for a long time: `WEFT_SOAK_S` seconds, 15 unless told (`test.sh soak`: 600).

use std::time::Duration;

use weft_tests::pair::{Pair, Spec, pod_v4, pod_v6};
use weft_tests::tcp::assert_transfer;
use weft_tests::traffic::{assert_pings, ping_with, udp_burst};
use weft_tests::wait;

/// Memory that may be added once everything has been in use for a while, in KiB.
const MAX_GROWTH_KIB: u64 = 2048;

#[test]
#[ignore = "needs root: run by test.sh"]
fn memory_stays_level_under_load() {
    let seconds = std::env::var("WEFT_SOAK_S").ok().and_then(|s| s.parse().ok()).unwrap_or(15);
    let mut pair = Pair::start(&Spec::default());
    assert_pings(&pair.pods[0], pod_v4(2));
    load(&pair, wait::secs(5));
    let before = pair.nodes.each_ref().map(weft_tests::Node::rss_kib);
    load(&pair, wait::secs(seconds));
    for (node, before) in pair.nodes.iter_mut().zip(before) {
        let now = node.rss_kib();
        println!("{}: {before} KiB, after {seconds} s {now} KiB", node.host.name);
        assert!(now <= before + MAX_GROWTH_KIB, "{} grew from {before} to {now} KiB", node.host.name);
    }
    pair.finish();
}

/// Streams both ways, numbered datagrams and pings, over and over.
#[track_caller]
fn load(pair: &Pair, time: Duration) {
    let (end, [one, two]) = (wait::now() + time, &pair.pods);
    while wait::now() < end {
        std::thread::scope(|scope| {
            scope.spawn(|| assert_transfer(one, (two, pod_v4(2)), 64 << 20));
            scope.spawn(|| assert_transfer(two, (one, pod_v6(1)), 64 << 20));
            scope.spawn(|| {
                udp_burst(one, (two, pod_v6(2)), 1_000, Duration::from_micros(500), |i| 8 + i % 1400)
            });
            let pings = ping_with(two, pod_v4(1), "-c 50 -i 0.01 -w 20");
            assert!(pings.answered >= 49, "beside the load: {pings:?}");
        });
    }
}
