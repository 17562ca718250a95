//! Whole engines in virtual time: each number that is promised, and each fault that must do no harm.

mod cost;
mod families;
mod faults;
mod letters;
mod loss;
mod mtu;
mod relaying;
mod source_ports;
mod world;

use std::time::Duration;

use self::world::{Wire, World, id, keys};
use super::testing::VXLAN;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_good_path_is_up_and_everything_is_known_of_it() {
    let mut world = World::new(1, 3);
    world.ahead_ms = 5_000;
    world.between(0, 1, |wire| wire.latency = millis(2));
    world.talk(0, 1);
    world.run_secs(30);

    assert_eq!((world.mtu(0, 1), &world.path(0, 1).health), (1500, &Health::Up));
    let view = world.view(0, 1);
    let round_trip = view.round_trip.unwrap();
    assert!(round_trip.smoothed.abs_diff(millis(4)) < millis(1), "{round_trip:?}");
    assert!(round_trip.p50 >= millis(4) && round_trip.p99 <= millis(6), "{round_trip:?}");
    assert_eq!((view.lost_there.count, view.lost_back.count, view.overtaken.count), (0, 0, 0));
    assert_eq!((view.found, view.clock_ahead_ms), (Found::Probed, Some(5_000)));
    assert!(view.probes_answered > 120 && view.probes_sent - view.probes_answered <= 1);
    assert_eq!(view.probes_lost, 0);
    for source in &view.sources {
        assert!(source.answered > 0 && source.passes.is_some_and(|mtu| mtu.get() == 1500), "{source:?}");
    }
    assert_eq!(world.nodes[0].changes, 0);
    assert_eq!(world.nodes[0].refused.len(), 0);
}

#[test]
fn what_is_overtaken_is_seen() {
    let mut world = World::new(3, 2);
    world.talk(0, 1);
    world.between(0, 1, |wire| wire.jitter = millis(400));
    world.run_secs(60);
    let view = world.view(0, 1);
    assert!(view.overtaken.percent() > 5.0, "{view:?}");
    assert_eq!(world.mtu(0, 1), 1500);
}

#[test]
fn a_sudden_round_trip_of_half_a_second_is_neither_an_outage_nor_a_black_hole() {
    for seed in 0..10 {
        let mut world = World::new(seed, 3);
        world.talk(0, 1);
        world.run_secs(20);
        world.between(0, 1, |wire| wire.latency = millis(250));
        world.run_secs(60);
        assert_eq!((world.mtu(0, 1), world.path(0, 1).via), (1500, None), "seed {seed}");
        assert_eq!(world.nodes[0].changes, 0, "seed {seed}: {:?}", world.path(0, 1));
    }
}

#[test]
fn a_peer_that_starts_again_is_probed_as_soon_as_it_is_known() {
    let mut world = World::new(4, 2);
    world.talk(0, 1);
    world.between(0, 1, |wire| wire.mtus = vec![1400]);
    world.run_secs(30);
    let mtu = world.mtu(0, 1);
    world.restart(1);
    world.run_secs(3);
    assert!(matches!(world.path(0, 1).health, Health::Down(_)), "its old run does not answer");
    world.meet();
    world.until(SECOND, |world| world.view(0, 1).heard_at.is_some_and(|at| at > world.now - millis(50)));
    world.run_secs(1);
    assert!(!matches!(world.path(0, 1).health, Health::Down(_)));
    assert_eq!(world.mtu(0, 1), mtu, "the path is the same");
}

#[test]
fn keys_change_without_one_probe_lost() {
    let mut world = World::new(5, 2);
    (0..2).for_each(|n| world.nodes[n].engine.set_mode(keys(&[1])));
    world.talk(0, 1);
    world.run_secs(5);
    for ring in [[1, 2], [2, 1]] {
        for n in 0..2 {
            world.nodes[n].engine.set_mode(keys(&ring));
            world.run_secs(2);
        }
    }
    for n in 0..2 {
        world.nodes[n].engine.set_mode(keys(&[2]));
        world.run_secs(2);
    }
    let view = world.view(0, 1);
    assert!(view.probes_sent - view.probes_answered <= 1, "{view:?}");
    assert!(world.nodes.iter().all(|node| node.refused.is_empty()));
    // Without the key nothing is understood.
    world.nodes[1].engine.set_mode(keys(&[3]));
    world.run_secs(1);
    assert!(world.nodes[1].refused.contains_key("unknown_key"));
}

#[test]
fn without_probing_every_path_is_the_links_and_others_are_answered() {
    let mut world = World::of(6, 2, Config::default());
    world.nodes[0].engine.set_config(Config { probing: false, ..Config::default() }, world.now);
    world.meet();
    world.talk(0, 1);
    world.between(0, 1, |wire| wire.mtus = vec![1400]);
    world.run_secs(60);
    assert_eq!((world.mtu(0, 1), &world.path(0, 1).health), (1500, &Health::Up));
    assert_eq!(world.view(0, 1).probes_sent, 0);
    world.nodes[0].engine.examine(id(1), world.now);
    world.run_secs(3);
    let examination = world.view(0, 1).examination.unwrap();
    assert_eq!(examination.cells.map(|cell| cell.answered), [true, true, false, true, true, false]);
    assert!((1397..=1400).contains(&world.mtu(1, 0)));

    world.nodes[0].engine.set_config(Config::default(), world.now);
    world.collect(0);
    world.run_secs(20);
    assert!((1397..=1400).contains(&world.mtu(0, 1)));
}

#[test]
fn a_look_at_everything_shows_which_port_lets_which_size_through() {
    let mut world = World::new(7, 2);
    world.run_secs(3);
    let wire = world.wire(0, 1);
    wire.filter(Some(Format::Vxlan), None);
    wire.mtus = vec![1400];
    world.nodes[0].engine.examine(id(1), world.now);
    world.until(EXAMINATION, |world| world.view(0, 1).examination.is_some_and(|it| it.finished));
    let examination = world.view(0, 1).examination.unwrap();
    let found = examination.cells.map(|cell| (cell.format, cell.octets, cell.answered));
    let [vxlan, geneve] = [Format::Vxlan, Format::Geneve];
    assert_eq!(found[..3], [(vxlan, 140, false), (vxlan, 1280, false), (vxlan, 1500, false)]);
    assert_eq!(found[3..], [(geneve, 148, true), (geneve, 1280, true), (geneve, 1500, false)]);
}

#[test]
fn targets_that_vanish_are_forgotten() {
    let mut world = World::new(8, 3);
    world.talk(0, 1);
    world.run_secs(3);
    let [one, other] = [1, 2].map(|n| world.target(n));
    let now = world.now;
    let engine = &mut world.nodes[0].engine;
    assert_eq!(engine.set_targets(&[other], now), 0);
    assert!(engine.view(one.node).is_none() && engine.view(other.node).is_some());
    world.collect(0);
    world.run_secs(3);
    assert!(world.nodes[0].refused.contains_key("stranger"), "node 1 still probes");
    assert_eq!(world.causes(1, 0), ["relayed", "unanswered"]);
    let many: Vec<Target> = (10..MAX_TARGETS as u128 + 20)
        .map(|n| Target { node: NodeId::new(n), boot: BootId::new(n), ..other })
        .collect();
    assert_eq!(world.nodes[0].engine.set_targets(&many, world.now), 10);
}
