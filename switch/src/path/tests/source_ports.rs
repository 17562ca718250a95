//! Links that are dead for some source ports only.

use super::super::testing::GENEVE;
use super::*;

/// Two nodes with traffic; nothing gets from 0 to 1 by the source ports of one of these links.
fn half_dead(seed: u64, dead: impl Fn(u16) -> bool) -> World {
    let mut world = World::new(seed, 2);
    world.talk(0, 1);
    world.run(10 * SECOND + millis(seed * 137 % 4_000));
    world.wire(0, 1).mtus = (0..16).map(|source| if dead(source) { 0 } else { 1500 }).collect();
    world
}

fn dead(world: &World, from: usize, to: usize) -> Vec<u16> {
    (0..16).filter(|source| world.path(from, to).dead.contains(*source)).collect()
}

#[test]
fn a_dead_source_port_is_avoided_within_seconds_until_it_answers() {
    let (mut slowest, mut slowest_back) = (Duration::ZERO, Duration::ZERO);
    let mut times = Vec::new();
    for seed in 0..40 {
        let port = (seed * 7 % 16) as u16;
        let mut world = half_dead(seed, |source| source == port);
        let found = world.until(10 * SECOND, |world| dead(world, 0, 1) == [port]);
        times.push(found);
        slowest = slowest.max(found);
        assert!(world.causes(0, 1).contains(&"dead_source_port"), "seed {seed}");
        world.run_secs(30);
        assert_eq!((dead(&world, 0, 1), dead(&world, 1, 0)), (vec![port], vec![]), "seed {seed}");
        assert_eq!(world.causes(0, 1), ["dead_source_port"], "seed {seed}");
        assert_eq!((&world.path(1, 0).health, world.mtu(0, 1)), (&Health::Up, 1500), "seed {seed}");

        world.wire(0, 1).mtus = vec![1500];
        let back = world.until(10 * SECOND, |world| world.path(0, 1).dead.is_empty());
        slowest_back = slowest_back.max(back);
        world.run_secs(6);
        assert_eq!(world.path(0, 1).health, Health::Up, "seed {seed}");
    }
    times.sort();
    println!("dead source port: median {:?}, slowest {slowest:?}, back {slowest_back:?}", times[20]);
    assert!(slowest <= millis(4_200) && slowest_back <= 3 * SECOND, "{slowest:?} {slowest_back:?}");
}

#[test]
fn half_of_the_source_ports_are_found_nearly_as_fast() {
    let mut slowest = Duration::ZERO;
    for seed in 0..20 {
        let mut world = half_dead(seed, |source| source % 2 == 1);
        let found = world.until(15 * SECOND, |world| dead(world, 0, 1).len() == 8);
        slowest = slowest.max(found);
        world.run_secs(60);
        assert_eq!(dead(&world, 0, 1), [1, 3, 5, 7, 9, 11, 13, 15], "seed {seed}");
        assert_eq!((world.causes(0, 1), world.mtu(0, 1)), (vec!["dead_source_port"], 1500), "seed {seed}");
        world.wire(0, 1).mtus = vec![1500];
        world.until(15 * SECOND, |world| world.path(0, 1).dead.is_empty());
    }
    println!("eight dead source ports: all found after {slowest:?}");
    assert!(slowest <= 6 * SECOND, "{slowest:?}");
}

#[test]
fn when_all_source_ports_are_dead_the_path_is_and_none_is_avoided() {
    for seed in 0..10 {
        let mut world = half_dead(seed, |source| source == 3);
        world.run_secs(10);
        assert_eq!(dead(&world, 0, 1), [3], "seed {seed}");
        world.between(0, 1, |wire| wire.cut = true);
        let down = |world: &World| matches!(world.path(0, 1).health, Health::Down(_));
        world.until(3 * SECOND, down);
        assert!(dead(&world, 0, 1).is_empty());
        world.between(0, 1, |wire| (wire.cut, wire.mtus) = (false, vec![1500]));
        world.run_secs(10);
        assert_eq!((dead(&world, 0, 1), &world.path(0, 1).health), (vec![], &Health::Up), "seed {seed}");
    }
}

#[test]
fn chance_and_one_format_alone_do_not_look_like_dead_source_ports() {
    for (loss, filtered) in [(5.0, vec![]), (20.0, vec![]), (0.0, vec![VXLAN]), (0.0, vec![GENEVE])] {
        let (mut seconds, mut changes) = (0, 0);
        for seed in 0..5 {
            let mut world = half_dead(seed, |_| false);
            world.between(0, 1, |wire| (wire.loss, wire.filtered) = (loss, filtered.clone()));
            for _ in 0..300 {
                world.run_secs(1);
                seconds += u32::from(!world.path(0, 1).dead.is_empty());
            }
            changes += world.nodes[0].changes;
        }
        println!(
            "loss {loss} %, filtered {filtered:?}: {seconds} of 1500 s with a dead source port, {changes} changes"
        );
        assert!(seconds <= if loss > 10.0 { 45 } else { 0 }, "{seconds}");
    }
}
