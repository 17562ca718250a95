//! Whole nodes in virtual time: seal, membership and replication together, with everything that a network and hosts do.
//!
//! One thread, and all chance from one seed. `ENGINE_SEEDS=FROM..TO` runs other seeds than CI does, `ENGINE_SEED=N` one of
//! them, saying what happens. `ENGINE_NODES=N` makes the quiet cluster of another size than 100. A seed that fails says how
//! to run it again.

mod world;

use std::time::Duration;

use self::world::{Weather, World};

/// Seeds in CI.
const SEEDS: std::ops::Range<u64> = 0..150;
const NODES: usize = 8;
/// How long things go wrong, and how long everything may take to be right again.
const STORM: Duration = Duration::from_secs(60);
const QUIET: Duration = Duration::from_secs(12);

fn seeds() -> std::ops::Range<u64> {
    let number = |text: &str| text.parse::<u64>().expect("ENGINE_SEEDS=FROM..TO, ENGINE_SEED=N");
    if let Ok(one) = std::env::var("ENGINE_SEED") {
        return number(&one)..number(&one) + 1;
    }
    match std::env::var("ENGINE_SEEDS") {
        Ok(range) => {
            let (from, to) = range.split_once("..").expect("ENGINE_SEEDS=FROM..TO");
            number(from)..number(to)
        }
        Err(_) => SEEDS,
    }
}

/// A storm, then quiet; what is wrong afterwards.
fn run(seed: u64) -> Result<(), String> {
    let weather = Weather { loss: 5.0, duplicate: 5.0, late: 5.0 };
    let mut world = World::new(seed, NODES, weather);
    let end = world.elapsed() + STORM;
    while world.elapsed() < end {
        world.something_happens();
        world.run(Duration::from_millis(500));
    }
    world.calm_down();
    world.run(QUIET);
    world.problems().map_or(Ok(()), Err)
}

#[test]
#[ignore = "takes long: run by test.sh"]
fn after_any_storm_all_nodes_see_each_other_and_know_what_each_says() {
    let mut failed = Vec::new();
    for seed in seeds() {
        if let Err(problem) = run(seed) {
            println!("ENGINE_SEED={seed} cargo test -p fdb --test engine_sim -- --nocapture: {problem}");
            failed.push(seed);
        }
    }
    assert_eq!(failed, [], "seeds that failed");
}

#[test]
#[ignore = "takes long: run by test.sh"]
fn a_partition_of_30_seconds_is_over_5_seconds_after_the_heal_and_costs_nothing_inside_the_halves() {
    for seed in 0..20 {
        let mut world = World::new(seed, NODES, Weather { loss: 1.0, ..Weather::default() });
        world.run(Duration::from_secs(5));
        assert_eq!(world.problems(), None, "seed {seed}: before");
        world.split(NODES / 2);
        world.run(Duration::from_secs(30));
        world.say_something();
        assert_eq!(world.problems_of_sides(), None, "seed {seed}: inside the halves");
        world.heal();
        world.run(Duration::from_secs(5));
        assert_eq!(world.problems(), None, "seed {seed}: after the heal");
    }
}

#[test]
fn a_dead_node_is_hidden_everywhere_within_7_seconds() {
    for seed in 0..20 {
        let mut world = World::new(seed, NODES, Weather { loss: 1.0, ..Weather::default() });
        world.run(Duration::from_secs(5));
        world.crash(3);
        world.run(Duration::from_secs(7));
        assert_eq!(world.problems(), None, "seed {seed}");
    }
}

#[test]
#[ignore = "takes long: run by test.sh"]
fn nobody_dies_by_mistake_at_5_and_20_percent_loss() {
    for loss in [5.0, 20.0] {
        for seed in 0..20 {
            let mut world = World::new(seed, NODES, Weather { loss, ..Weather::default() });
            world.run(Duration::from_secs(120));
            assert_eq!(world.deaths, 0, "seed {seed}, {loss} % loss");
        }
    }
}

#[test]
fn a_node_of_a_quiet_cluster_sends_less_than_a_kilobyte_a_second() {
    const TIME: Duration = Duration::from_secs(60);
    let nodes = std::env::var("ENGINE_NODES").map_or(100, |n| n.parse().expect("ENGINE_NODES=N"));
    let mut world = World::new(1, nodes, Weather::default());
    world.run(Duration::from_secs(20));
    // What some say is as good as what all say: a digest has the same size, and the memory here is one for all.
    (0..nodes.min(5)).for_each(|n| world.say_many(n, 100));
    world.run(Duration::from_secs(40));
    assert_eq!(world.problems(), None);
    let before = world.octets;
    world.run(TIME);
    let rate = (world.octets - before) / TIME.as_secs() / nodes as u64;
    println!("{nodes} nodes: {rate} octets/s a node");
    assert!(rate <= 1_000, "{rate} octets/s");
}
