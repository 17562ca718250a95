//! What networks, hosts and operators do to a cluster.

use std::time::Duration;

use fdb::gossip::identity::Epoch;
use fdb::gossip::members::{MemberEvent, MemberState, Members};
use rand::RngExt;
use rand::seq::SliceRandom;

use super::lab::{MS, SECOND, Sim, Stop};
use super::{for_seeds, print_times};

#[test]
fn loss_in_one_direction_between_two_nodes_kills_nobody() {
    for_seeds(5, |seed| {
        let mut sim = Sim::cluster(8, seed, 0.01);
        sim.open = Box::new(|a, b| (a, b) != (2, 3));
        sim.run(60 * SECOND);
        sim.assert_no_deaths();
    });
}

#[test]
fn a_partition_in_one_direction_heals_too() {
    let times = for_seeds(20, |seed| {
        let mut sim = Sim::cluster(8, seed, 0.01);
        sim.open = Box::new(|a, b| (a < 4) == (b < 4) || a < b);
        sim.run(30 * SECOND);
        assert!(sim.complete(0..4) && sim.complete(4..8), "a half lost somebody");
        sim.open = Box::new(|_, _| true);
        let time = sim.until(30 * SECOND, |sim| sim.complete(0..8)).expect("it heals");
        assert!(time <= 2 * SECOND, "{time:?}");
        time
    });
    print_times("heal of 4 + 4 cut in one direction", times);
}

#[test]
fn a_node_that_was_alone_is_back_at_once() {
    let times = for_seeds(20, |seed| {
        let mut sim = Sim::cluster(8, seed, 0.01);
        sim.open = Box::new(|a, b| a != 6 && b != 6);
        sim.run(30 * SECOND);
        assert!(sim.hidden(6) && (0..8).all(|n| !sim.sees_alive(6, n)), "it is not alone");
        sim.open = Box::new(|_, _| true);
        let time = sim.until(30 * SECOND, |sim| sim.complete(0..8)).expect("it is back");
        assert!(time <= 3 * SECOND, "{time:?}");
        time
    });
    print_times("return of 1 of 8", times);
}

#[test]
fn doubled_and_late_datagrams_kill_nobody_and_revive_nobody() {
    for_seeds(5, |seed| {
        let mut sim = Sim::cluster(8, seed, 0.05);
        (sim.doubled, sim.delay) = (30, 120 * MS);
        sim.run(120 * SECOND);
        sim.assert_no_deaths();
        sim.kill(3);
        sim.until(8 * SECOND, |sim| sim.hidden(3)).expect("the dead are found");
        for _ in 0..100 {
            sim.run(SECOND / 10);
            assert!(sim.hidden(3), "it is dead");
        }
    });
}

#[test]
fn a_node_that_did_not_run_for_a_while_calls_nobody_dead_and_is_back_at_once() {
    for how in [Stop::Process, Stop::Host] {
        for seconds in [1, 10, 60] {
            let times = for_seeds(10, |seed| {
                let mut sim = Sim::cluster(8, seed, 0.01);
                sim.freeze(3, how, SECOND * seconds);
                sim.run(SECOND * seconds - MS);
                assert_eq!(sim.hidden(3), seconds > 7, "whether the others hide it");
                sim.events.clear();
                sim.run(2 * MS);
                let time = sim.until(20 * SECOND, |sim| sim.complete(0..8)).expect("it is back");
                assert!(time <= 2 * SECOND, "{time:?}");
                sim.run(20 * SECOND);
                sim.assert_no_deaths();
                time
            });
            print_times(&format!("return of 1 of 8 that did not run for {seconds} s, {how:?}"), times);
        }
    }
}

#[test]
fn a_node_that_restarts_rejoins_and_nobody_calls_it_dead() {
    for_seeds(10, |seed| {
        let mut sim = Sim::cluster(8, seed, 0.01);
        sim.kill(5);
        sim.run(SECOND);
        sim.start_node(5);
        let known = |sim: &Sim, n| sim.view(n, 5).is_some_and(|view| view.id.epoch() == Epoch::new(2));
        let back = |sim: &Sim| sim.complete(0..8) && (0..8).all(|n| n == 5 || known(sim, n));
        let time = sim.until(10 * SECOND, back).expect("it rejoins");
        assert!(time <= 2 * SECOND, "{time:?}");
        sim.assert_no_deaths();
    });
}

#[test]
fn a_node_that_lost_its_epoch_counts_on_from_its_predecessor_at_once() {
    for pause in [SECOND / 10, 10 * SECOND] {
        let times = for_seeds(10, |seed| {
            let mut sim = Sim::new(8, seed, 0.01);
            sim.epochs[5] = 40;
            (0..8).for_each(|n| sim.start_node(n));
            sim.run(10 * SECOND);
            sim.kill(5);
            sim.run(pause);
            sim.epochs[5] = 0;
            sim.start_node(5);
            let own = |sim: &Sim| sim.nodes[5].as_ref().map(Members::own);
            let known = |sim: &Sim, n| sim.view(n, 5).map(|view| view.id) == own(sim);
            let back = |sim: &Sim| sim.complete(0..8) && (0..8).all(|n| n == 5 || known(sim, n));
            let time = sim.until(20 * SECOND, back).expect("it joins");
            assert!(time <= 2 * SECOND, "{time:?}");
            assert_eq!(own(&sim).map(|id| id.epoch()), Some(Epoch::new(42)));
            time
        });
        print_times(&format!("join without the lost epoch, {pause:?} after the crash"), times);
    }
}

#[test]
fn a_clone_is_noticed_and_when_it_stops_the_original_is_up_everywhere() {
    for_seeds(10, |seed| {
        let mut sim = Sim::new(9, seed, 0.01);
        (0..8).for_each(|n| sim.start_node(n));
        sim.run(10 * SECOND);
        (sim.ids[8], sim.epochs[8]) = (4, 1);
        sim.start_node(8);
        sim.until(3 * SECOND, |sim| {
            sim.events
                .iter()
                .any(|(_, n, event)| [4, 8].contains(n) && matches!(event, MemberEvent::Clone(_)))
        })
        .expect("one of the two is told");
        sim.kill(8);
        let original = sim.nodes[4].as_ref().expect("it runs").own().addr();
        sim.until(10 * SECOND, |sim| {
            (0..8).all(|n| {
                n == 4
                    || sim.view(n, 4).is_some_and(|v| v.state == MemberState::Up && v.id.addr() == original)
            })
        })
        .expect("the original is the node again");
    });
}

#[test]
fn a_node_that_leaves_is_gone_at_once_and_is_no_death() {
    let times = for_seeds(10, |seed| {
        let mut sim = Sim::cluster(100, seed, 0.01);
        sim.leave(7);
        let time = sim.until(10 * SECOND, |sim| sim.hidden(7)).expect("all hear of it");
        assert!(time <= SECOND, "{time:?}");
        sim.run(5 * SECOND);
        sim.assert_no_deaths();
        time
    });
    print_times("leave known to 99", times);
}

/// Whatever happened: a while after the last fault all that run see each other, and nobody else.
#[test]
fn after_any_faults_all_that_run_see_each_other_and_nobody_else() {
    let times = for_seeds(60, |seed| {
        let mut sim = Sim::cluster(10, seed, 0.02);
        (0..12).for_each(|_| any_fault(&mut sim));
        // Stopped ones go on.
        sim.open = Box::new(|_, _| true);
        sim.run(12 * SECOND);
        let settled = |sim: &Sim| {
            (0..10).all(|n| sim.runs(n) != sim.hidden(n))
                && (0..10)
                    .all(|n| (0..10).all(|m| n == m || !sim.runs(n) || !sim.runs(m) || sim.sees_alive(n, m)))
        };
        sim.until(5 * SECOND, settled).expect("all agree")
    });
    print_times("agreement 12 s after the last fault", times);
}

fn any_fault(sim: &mut Sim) {
    let n = sim.rng.random_range(1..10);
    match sim.rng.random_range(0..6) {
        0 if sim.runs(n) => sim.kill(n),
        1 if sim.nodes[n].is_none() => sim.start_node(n),
        2 if sim.runs(n) => {
            let how = if sim.rng.random() { Stop::Process } else { Stop::Host };
            let time = MS * sim.rng.random_range(100..12_000);
            sim.freeze(n, how, time);
        }
        3 if sim.runs(n) => {
            sim.leave(n);
            sim.kill(n);
        }
        4 => {
            let mut sides: Vec<bool> = (0..10).map(|m| m < n).collect();
            sides.shuffle(&mut sim.rng);
            let one_way: bool = sim.rng.random();
            sim.open = Box::new(move |a, b| sides[a] == sides[b] || (one_way && sides[a]));
        }
        _ => sim.open = Box::new(|_, _| true),
    }
    let time = Duration::from_millis(sim.rng.random_range(50..9_000));
    sim.run(time);
}
