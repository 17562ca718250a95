//! The path MTU: down, up, and not by chance.

use super::*;

/// Two nodes with traffic, for so long.
fn talking(seed: u64, time: Duration) -> World {
    let mut world = World::new(seed, 2);
    world.talk(0, 1);
    world.run(time);
    world
}

/// When the moment comes, in many different ones.
fn some_while(seed: u64) -> Duration {
    10 * SECOND + millis(seed * 137 % 1_000)
}

#[test]
fn a_black_hole_without_icmp_is_found_within_1_3_seconds_and_its_end_within_30() {
    let (mut slowest_down, mut slowest_up) = (Duration::ZERO, Duration::ZERO);
    for seed in 0..30 {
        let mut world = talking(seed, some_while(seed));
        world.between(0, 1, |wire| wire.mtus = vec![1280]);
        slowest_down = slowest_down.max(world.until(5 * SECOND, |world| world.mtu(0, 1) == 1280));
        world.run(millis(20_000 + seed * 731));
        assert_eq!(world.mtu(0, 1), 1280, "seed {seed}");
        assert_eq!(world.causes(0, 1), ["small_mtu", "below_ipv6_minimum"], "seed {seed}");
        world.between(0, 1, |wire| wire.mtus = vec![1500]);
        let up = world.until(60 * SECOND, |world| world.mtu(0, 1) == 1500);
        slowest_up = slowest_up.max(up);
    }
    println!("black hole found after {slowest_down:?} at most, its end after {slowest_up:?}");
    assert!(slowest_down <= millis(1_300), "{slowest_down:?}");
    assert!(slowest_up <= 30 * SECOND, "{slowest_up:?}");
}

#[test]
fn on_a_path_with_a_round_trip_of_30_ms_and_1_percent_loss_too() {
    let mut times: Vec<Duration> = (0..30)
        .map(|seed| {
            let mut world = World::new(seed, 2);
            world.talk(0, 1);
            world.between(0, 1, |wire| (wire.latency, wire.loss) = (millis(15), 1.0));
            world.run(some_while(seed) + 20 * SECOND);
            world.between(0, 1, |wire| wire.mtus = vec![1280]);
            world.until(5 * SECOND, |world| world.mtu(0, 1) == 1280)
        })
        .collect();
    times.sort();
    println!("30 ms, 1 %: median {:?}, slowest {:?}", times[15], times[29]);
    assert!(times[27] <= millis(1_300), "nine of ten: {times:?}");
}

#[test]
fn with_icmp_it_takes_half_a_second() {
    for seed in 0..30 {
        let mut world = talking(seed, some_while(seed));
        world.between(0, 1, |wire| (wire.mtus, wire.icmp) = (vec![1400], true));
        // The first frame that is too large brings it about.
        let (to, now) = (world.target(1).site.vxlan, world.now);
        world.nodes[0].engine.handle_too_big(to, 1400, now);
        world.collect(0);
        let time = world.until(SECOND, |world| world.mtu(0, 1) < 1500);
        assert!(time <= millis(500), "seed {seed}: {time:?}");
        assert_eq!(world.mtu(0, 1), 1400, "seed {seed}: what the router said, and what passed");
        world.run_secs(60);
        assert_eq!(world.mtu(0, 1), 1400, "seed {seed}");
    }
}

#[test]
fn forged_icmp_changes_nothing() {
    let mut world = talking(1, 10 * SECOND);
    for mtu in [0, 68, 575, 576, 1000, 1280, 1499, 1500, 9000, u16::MAX] {
        for _ in 0..1_000 {
            for to in [
                world.target(1).site.vxlan,
                world.target(1).site.geneve,
                "10.9.9.9:4789".parse::<SocketAddr>().unwrap().into(),
            ] {
                let now = world.now;
                world.nodes[0].engine.handle_too_big(to, mtu, now);
            }
            world.collect(0);
        }
        let before = world.nodes[0].octets;
        world.run_secs(2);
        let octets = world.nodes[0].octets - before;
        assert!(octets <= 2 * 4_000 + 2 * 1_800, "{mtu}: {octets} octets");
        assert_eq!((world.mtu(0, 1), world.nodes[0].changes), (1500, 0), "{mtu}");
    }
}

#[test]
fn chance_does_not_lower_it() {
    let mut results = Vec::new();
    for (loss, seeds) in [(1.0, 20), (5.0, 20), (20.0, 20)] {
        let mut falsely = 0;
        for seed in 0..seeds {
            let mut world = World::new(seed, 2);
            world.rest.loss = loss;
            world.talk(0, 1);
            let end = world.now + 600 * SECOND;
            while world.now < end {
                world.run_secs(1);
                falsely += u32::from(world.mtu(0, 1) != 1500) + u32::from(world.mtu(1, 0) != 1500);
            }
        }
        results.push((loss, falsely));
    }
    println!("seconds at a falsely lowered MTU, by loss: {results:?}");
    assert!(results.iter().all(|(_, falsely)| *falsely == 0), "{results:?}");
}

#[test]
fn at_20_percent_loss_a_black_hole_is_found_nevertheless() {
    for seed in 0..10 {
        let mut world = World::new(seed, 2);
        world.rest.loss = 20.0;
        world.talk(0, 1);
        world.run_secs(30);
        world.between(0, 1, |wire| wire.mtus = vec![1300]);
        let time = world.until(60 * SECOND, |world| world.mtu(0, 1) == 1280);
        println!("seed {seed}: {time:?}");
    }
}

#[test]
fn without_traffic_it_is_found_within_a_minute_or_so() {
    let mut world = World::new(1, 2);
    world.run_secs(100);
    world.between(0, 1, |wire| wire.mtus = vec![1400]);
    let down = world.until(70 * SECOND, |world| world.mtu(0, 1) < 1500);
    world.run_secs(60);
    world.between(0, 1, |wire| wire.mtus = vec![1500]);
    let up = world.until(120 * SECOND, |world| world.mtu(0, 1) == 1500);
    println!("without traffic: {down:?}, back {up:?}");
}

#[test]
fn traffic_that_begins_finds_at_once_what_changed_while_there_was_none() {
    let mut world = World::new(1, 2);
    world.run_secs(20);
    world.between(0, 1, |wire| wire.mtus = vec![1400]);
    world.run_secs(1);
    world.talk(0, 1);
    let time = world.until(2 * SECOND, |world| world.mtu(0, 1) < 1500);
    assert!(time <= millis(1_300), "{time:?}");
}

#[test]
fn the_least_of_all_source_ports_counts() {
    let mut world = talking(1, 15 * SECOND);
    world.between(0, 1, |wire| {
        wire.mtus = vec![1500; 16];
        wire.mtus[11] = 1420;
    });
    world.until(15 * SECOND, |world| world.mtu(0, 1) < 1500);
    world.run_secs(120);
    assert!((1416..=1420).contains(&world.mtu(0, 1)), "{}", world.mtu(0, 1));
    let before = world.nodes[0].changes;
    world.run_secs(120);
    assert_eq!(world.nodes[0].changes, before, "it does not swing");
}

#[test]
fn a_dead_source_port_is_no_matter_of_size() {
    let mut world = talking(1, 15 * SECOND);
    world.between(0, 1, |wire| {
        wire.mtus = vec![1500; 16];
        wire.mtus[3] = 0;
    });
    world.run_secs(60);
    assert_eq!(world.mtu(0, 1), 1500);
    let view = world.view(0, 1);
    assert!(view.sources[3].lost > 10 && view.sources[4].lost == 0);
}

#[test]
fn below_min_what_passes_is_used_and_ipv6_is_in_trouble() {
    for (takes, least) in [(1300, 1297), (1200, 1197), (900, 897), (576, 576)] {
        let mut world = talking(1, 15 * SECOND);
        world.between(0, 1, |wire| wire.mtus = vec![takes]);
        world.run_secs(30);
        assert!((least..=takes).contains(&world.mtu(0, 1)), "{takes}: {}", world.mtu(0, 1));
        assert_eq!(world.causes(0, 1), ["small_mtu", "below_ipv6_minimum"], "{takes}");
    }
    let mut world = talking(1, 15 * SECOND);
    world.between(0, 1, |wire| wire.mtus = vec![1330]);
    world.run_secs(30);
    assert_eq!(world.causes(0, 1), ["small_mtu"], "1,280 inside of 1,330");
}

#[test]
fn below_min_each_size_that_passes_is_used_at_once() {
    let mut world = talking(1, 15 * SECOND);
    world.between(0, 1, |wire| wire.mtus = vec![1200]);
    world.until(3 * SECOND, |world| world.mtu(0, 1) == 576);
    let time = world.until(5 * SECOND, |world| world.mtu(0, 1) > 800);
    assert!(time <= millis(500), "{time:?}");
}

#[test]
fn black_holes_of_before_do_not_make_the_next_one_harder_to_find() {
    let mut world = talking(1, 60 * SECOND);
    for n in 0..10 {
        world.between(0, 1, |wire| wire.mtus = vec![1280]);
        let time = world.until(3 * SECOND, |world| world.mtu(0, 1) == 1280);
        assert!(time <= millis(1_000), "the {n}th: {time:?}");
        world.between(0, 1, |wire| wire.mtus = vec![1500]);
        world.until(60 * SECOND, |world| world.mtu(0, 1) == 1500);
        world.run_secs(20);
    }
}

#[test]
fn a_path_that_is_small_from_the_beginning_is_found_within_seconds() {
    let mut world = World::of(1, 2, Config::default());
    world.rest.mtus = vec![1400];
    world.meet();
    world.talk(0, 1);
    let time = world.until(5 * SECOND, |world| world.mtu(0, 1) < 1500);
    assert!(time <= 2 * SECOND, "{time:?}");
    world.run_secs(30);
    assert!((1397..=1400).contains(&world.mtu(0, 1)));
}

#[test]
fn what_the_own_kernel_refuses_lowers_it_at_once() {
    let mut world = talking(1, 10 * SECOND);
    let (to, now) = (world.target(1).site.vxlan, world.now);
    world.nodes[0].engine.handle_refused(to, 1480, now);
    world.collect(0);
    assert_eq!(world.mtu(0, 1), 1280);
}

#[test]
fn jumbo_frames_are_searched_too() {
    let mut world = World::of(1, 2, Config::default());
    (world.link, world.rest.mtus) = (9000, vec![9000]);
    world.meet();
    world.talk(0, 1);
    world.run_secs(30);
    assert_eq!((world.mtu(0, 1), world.view(0, 1).found), (9000, Found::Probed));
    world.between(0, 1, |wire| wire.mtus = vec![1500]);
    let down = world.until(20 * SECOND, |world| world.mtu(0, 1) < 9000);
    let to_1500 = world.until(60 * SECOND, |world| world.mtu(0, 1) >= 1497);
    world.run_secs(20);
    world.between(0, 1, |wire| wire.mtus = vec![9000]);
    let up = world.until(60 * SECOND, |world| world.mtu(0, 1) == 9000);
    println!("jumbo: down after {down:?}, at 1,500 after {to_1500:?} more, back up after {up:?}");
    assert!(down <= 5 * SECOND && up <= 30 * SECOND, "{down:?} {up:?}");
}
