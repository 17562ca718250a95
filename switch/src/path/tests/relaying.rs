//! Paths that die: the other format, another node, and the way back.

use super::*;

/// Three nodes, all with traffic.
fn three(seed: u64) -> World {
    let mut world = World::new(seed, 3);
    [(0, 1), (0, 2), (1, 2)].into_iter().for_each(|(a, b)| world.talk(a, b));
    world.run(10 * SECOND + millis(seed * 71));
    world
}

fn cut(world: &mut World, is_cut: bool) {
    world.between(0, 1, |wire| wire.cut = is_cut);
}

#[test]
fn a_cut_pair_of_three_is_relayed_within_two_seconds_and_direct_again_within_two() {
    let (mut slowest, mut slowest_back, mut noticed) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for seed in 0..30 {
        let mut world = three(seed);
        world.between(1, 2, |wire| wire.mtus = vec![1400]);
        world.until(25 * SECOND, |world| (1397..=1400).contains(&world.mtu(2, 1)));
        cut(&mut world, true);
        let dead = world.until(3 * SECOND, |world| world.path(0, 1).health != Health::Up);
        noticed = noticed.max(dead);
        let both = |world: &World| world.path(0, 1).via.is_some() && world.path(1, 0).via.is_some();
        slowest = slowest.max(dead + world.until(3 * SECOND, both));
        let via = world.path(0, 1).via.unwrap();
        assert_eq!((via.node, via.mtu.get()), (id(2), world.mtu(2, 1)), "seed {seed}: the smaller leg");
        assert_eq!(world.causes(0, 1), ["relayed", "unanswered"], "seed {seed}");

        world.run_secs(30);
        assert!(both(&world), "seed {seed}: it stays");
        cut(&mut world, false);
        let direct = |world: &World| world.path(0, 1).via.is_none() && world.path(1, 0).via.is_none();
        slowest_back = slowest_back.max(world.until(3 * SECOND, direct));
        world.run_secs(6);
        assert_eq!(world.path(0, 1).health, Health::Up, "seed {seed}");
    }
    println!("noticed {noticed:?}, relayed {slowest:?}, direct again {slowest_back:?} at most");
    assert!(noticed <= millis(1_200), "{noticed:?}");
    assert!(slowest <= 2 * SECOND && slowest_back <= 2 * SECOND, "{slowest:?} {slowest_back:?}");
}

#[test]
fn health_comes_back_later_than_the_path() {
    let mut world = three(1);
    cut(&mut world, true);
    world.run_secs(5);
    cut(&mut world, false);
    world.until(SECOND, |world| world.path(0, 1).via.is_none());
    assert_eq!(world.causes(0, 1), ["unanswered"]);
    let good = world.until(10 * SECOND, |world| world.path(0, 1).health == Health::Up);
    assert!((4 * SECOND..7 * SECOND).contains(&good), "{good:?}");
}

#[test]
fn a_relay_that_loses_the_peer_is_left_for_another_and_without_any_the_path_is_down() {
    let mut world = World::new(1, 4);
    for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)] {
        world.talk(a, b);
    }
    world.between(0, 2, |wire| wire.latency = millis(1));
    world.between(0, 3, |wire| wire.latency = millis(5));
    world.run_secs(10);
    cut(&mut world, true);
    world.until(2 * SECOND, |world| world.path(0, 1).via.is_some_and(|via| via.node == id(2)));
    world.between(1, 2, |wire| wire.cut = true);
    world.until(4 * SECOND, |world| world.path(0, 1).via.is_some_and(|via| via.node == id(3)));
    world.between(0, 3, |wire| wire.cut = true);
    world.until(millis(1_500), |world| world.path(0, 1).via.is_none());
    assert!(matches!(world.path(0, 1).health, Health::Down(_)), "{:?}", world.path(0, 1));
}

#[test]
fn nobody_relays_where_that_is_turned_off() {
    let mut world = three(1);
    world.nodes[0].engine.set_config(Config { relay: false, ..Config::default() }, world.now);
    world.collect(0);
    cut(&mut world, true);
    world.run_secs(10);
    assert_eq!((world.path(0, 1).via, world.causes(0, 1)), (None, vec!["unanswered"]));
    assert!(matches!(world.path(0, 1).health, Health::Down(_)));
    assert!(world.path(1, 0).via.is_some());
}

#[test]
fn who_does_not_relay_does_not_offer_it() {
    let mut world = World::new(1, 4);
    for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)] {
        world.talk(a, b);
    }
    world.between(0, 3, |wire| wire.latency = millis(5));
    world.nodes[2].engine.set_config(Config { relay: false, ..Config::default() }, world.now);
    world.collect(2);
    world.run_secs(10);
    cut(&mut world, true);
    world.until(2 * SECOND, |world| world.path(0, 1).via.is_some_and(|via| via.node == id(3)));
}

#[test]
fn a_path_that_flaps_changes_some_times_a_minute_only() {
    let mut world = three(1);
    let mut changes = 0;
    let mut via = None;
    let end = world.now + 60 * SECOND;
    let mut is_cut = false;
    while world.now < end {
        is_cut = !is_cut;
        cut(&mut world, is_cut);
        for _ in 0..30 {
            world.run(millis(100));
            changes += u32::from(via != world.path(0, 1).via);
            via = world.path(0, 1).via;
        }
    }
    println!("{changes} changes between direct and relayed in a minute");
    assert!(changes <= 10, "{changes}");
}

#[test]
fn a_path_that_works_one_way_only_is_called_so_and_relayed_in_both() {
    let mut world = three(1);
    world.wire(0, 1).cut = true;
    world.run_secs(3);
    assert_eq!(world.causes(0, 1), ["one_way", "relayed", "unanswered"], "node 0 hears node 1");
    assert_eq!(world.causes(1, 0), ["relayed", "unanswered"]);

    let mut world = World::new(1, 2);
    world.talk(0, 1);
    world.run_secs(5);
    world.wire(0, 1).cut = true;
    world.run_secs(3);
    assert!(matches!(world.path(0, 1).health, Health::Degraded(_)), "half of it works");
    assert!(matches!(world.path(1, 0).health, Health::Down(_)));
}

#[test]
fn where_one_port_is_filtered_the_other_format_is_used_until_it_opens() {
    for (format, other) in [(Format::Vxlan, Format::Geneve), (Format::Geneve, Format::Vxlan)] {
        let mut world = World::of(1, 2, Config::default());
        world.format = format;
        world.meet();
        world.talk(0, 1);
        world.run_secs(10);
        world.between(0, 1, |wire| wire.filter(Some(format), None));
        let time = world.until(3 * SECOND, |world| world.path(0, 1).way.format == other);
        assert!(time <= 2 * SECOND, "{time:?}");
        world.run_secs(60);
        assert_eq!((world.path(0, 1).way.format, world.causes(0, 1)), (other, vec!["other_format"]));
        assert_eq!((world.path(0, 1).via, world.mtu(0, 1)), (None, 1500));
        world.between(0, 1, |wire| wire.filter(None, None));
        let back = world.until(10 * SECOND, |world| world.path(0, 1).way.format == format);
        println!("{format} filtered: {other} after {time:?}, back after {back:?}");
        world.run_secs(10);
        assert_eq!(world.path(0, 1).health, Health::Up);
    }
}

#[test]
fn a_filtered_port_of_the_format_that_is_not_used_does_no_harm() {
    let mut world = World::new(1, 2);
    world.talk(0, 1);
    world.between(0, 1, |wire| wire.filter(Some(Format::Geneve), None));
    world.run_secs(60);
    assert_eq!((&world.path(0, 1).health, world.path(0, 1).way.format), (&Health::Up, Format::Vxlan));
    world.between(0, 1, |wire| wire.mtus = vec![1280]);
    let time = world.until(3 * SECOND, |world| world.mtu(0, 1) == 1280);
    assert!(time <= millis(1_400), "{time:?}");
}

#[test]
fn heavy_loss_is_no_outage() {
    let mut world = World::new(1, 3);
    world.rest.loss = 20.0;
    [(0, 1), (0, 2), (1, 2)].into_iter().for_each(|(a, b)| world.talk(a, b));
    for _ in 0..600 {
        world.run_secs(1);
        assert_eq!(world.path(0, 1).via, None, "after {:?}", world.now - world.begin);
    }
}

#[test]
fn without_traffic_an_outage_is_noticed_in_seconds_and_relayed() {
    let mut world = World::new(1, 3);
    world.run_secs(20);
    cut(&mut world, true);
    let time = world.until(10 * SECOND, |world| world.path(0, 1).via.is_some());
    assert!(time <= 5 * SECOND, "{time:?}");
    cut(&mut world, false);
    let back = world.until(10 * SECOND, |world| world.path(0, 1).via.is_none());
    println!("without traffic: relayed after {time:?}, direct after {back:?}");
}
