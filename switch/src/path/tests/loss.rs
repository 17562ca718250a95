//! Loss: on the way, and nothing else.

use super::*;

#[test]
fn loss_is_told_apart_by_direction_and_ends_with_hysteresis() {
    let mut world = World::new(2, 2);
    world.talk(0, 1);
    world.wire(0, 1).loss = 10.0;
    world.run_secs(60);
    let view = world.view(0, 1);
    assert!((5.0..18.0).contains(&view.lost_there.percent()), "{view:?}");
    assert!(view.lost_back.percent() < 1.0, "{view:?}");
    assert!(world.view(1, 0).lost_back.percent() > 5.0);
    assert_eq!((world.causes(0, 1), world.causes(1, 0)), (vec!["loss"], vec!["loss"]));

    world.wire(0, 1).loss = 0.0;
    let healed = world.until(60 * SECOND, |world| world.path(0, 1).health == Health::Up);
    assert!(healed >= 5 * SECOND, "{healed:?}");
}

#[test]
fn probes_without_an_answer_add_up_and_a_late_answer_is_one() {
    let mut world = World::new(2, 2);
    world.talk(0, 1);
    world.between(0, 1, |wire| wire.latency = millis(700));
    world.run_secs(30);
    assert_eq!(world.view(0, 1).probes_lost, 0, "they came, however late");

    world.wire(0, 1).loss = 10.0;
    let mut last = 0;
    for _ in 0..60 {
        world.run_secs(1);
        let lost = world.view(0, 1).probes_lost;
        assert!(lost >= last, "{lost} after {last}");
        last = lost;
    }
    let view = world.view(0, 1);
    assert!((10..=view.probes_sent - view.probes_answered).contains(&last), "{view:?}");
    world.wire(0, 1).loss = 0.0;
    world.run_secs(5);
    let healed = world.view(0, 1).probes_lost;
    world.run_secs(30);
    assert_eq!(world.view(0, 1).probes_lost, healed);
}

/// Whether a side calls the path lossy at any time.
fn is_ever_lossy(world: &mut World, time: Duration) -> bool {
    let end = world.now + time;
    let mut lossy = false;
    while world.now < end {
        world.run(millis(500));
        lossy |= world.causes(0, 1).contains(&"loss") || world.causes(1, 0).contains(&"loss");
    }
    lossy
}

#[test]
fn what_is_sent_to_a_peer_that_does_not_know_this_node_yet_is_no_loss() {
    for (seed, after) in [0, 200, 700, 1_500, 3_000, 4_500, 8_000, 20_000].into_iter().enumerate() {
        for talks in [false, true] {
            let mut world = World::of(seed as u64, 2, Config::default());
            world.tell(0);
            if talks {
                world.talk(0, 1);
            }
            world.run(millis(after));
            world.tell(1);
            world.run(millis(100));
            assert!(!is_ever_lossy(&mut world, 120 * SECOND), "known after {after} ms, traffic: {talks}");
            assert_eq!((&world.path(0, 1).health, &world.path(1, 0).health), (&Health::Up, &Health::Up));
        }
    }
}

#[test]
fn a_new_run_of_a_peer_that_knows_this_node_later_is_no_loss() {
    for after in [500, 2_000, 10_000] {
        let mut world = World::new(1, 2);
        world.talk(0, 1);
        world.run_secs(30);
        world.restart(1);
        world.tell(0);
        world.run(millis(after));
        world.tell(1);
        world.run(millis(100));
        assert!(!is_ever_lossy(&mut world, 60 * SECOND), "known after {after} ms");
    }
}

#[test]
fn what_was_lost_while_the_path_was_dead_is_no_loss_afterwards() {
    for seed in 0..40 {
        let mut world = World::new(seed, 2);
        if seed % 2 == 1 {
            world.talk(0, 1);
        }
        world.run(60 * SECOND + millis(seed * 171));
        world.wire(0, 1).cut = true;
        world.wire(1, 0).cut = seed % 3 != 0;
        let dead =
            |world: &World| [world.path(0, 1), world.path(1, 0)].iter().any(|path| path.health != Health::Up);
        world.until(10 * SECOND, dead);
        world.run(millis(seed * 313 % 5_000));
        world.between(0, 1, |wire| wire.cut = false);
        // Until each side has heard of it, and was good for five seconds.
        world.run_secs(9);
        assert!(!is_ever_lossy(&mut world, 120 * SECOND), "seed {seed}");
        assert_eq!((&world.path(0, 1).health, &world.path(1, 0).health), (&Health::Up, &Health::Up));
    }
}
