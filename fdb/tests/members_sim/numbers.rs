//! What membership costs and how fast it is: the figures of the documentation.

use std::time::Duration;

use super::lab::{SECOND, Sim};
use super::{for_seeds, large, print_times};

fn no_false_deaths(nodes: usize, loss: f64, usual: u64) {
    let rates = for_seeds(usual, |seed| {
        let mut sim = Sim::cluster(nodes, seed, loss);
        let before = sim.octets;
        sim.run(600 * SECOND);
        sim.assert_no_deaths();
        (sim.octets - before) / 600 / nodes as u64
    });
    let rate = rates.iter().sum::<u64>() / rates.len() as u64;
    println!("{nodes} nodes, {loss} lost: {} seeds of 600 s, no false death, {rate} B/s a node", rates.len());
}

#[test]
fn nobody_of_8_dies_falsely_at_5_percent_loss() {
    no_false_deaths(8, 0.05, 20);
}

#[test]
fn nobody_of_8_dies_falsely_at_20_percent_loss() {
    no_false_deaths(8, 0.2, 20);
}

#[test]
fn nobody_of_100_dies_falsely_at_5_percent_loss() {
    no_false_deaths(100, 0.05, if large() { 20 } else { 1 });
}

#[test]
fn nobody_of_100_dies_falsely_at_20_percent_loss() {
    no_false_deaths(100, 0.2, if large() { 20 } else { 1 });
}

#[test]
fn a_quiet_cluster_costs_little() {
    let sizes = [(8, 0.0, 500), (100, 0.0, 500), (100, 0.01, 550), (1_000, 0.0, 500), (1_000, 0.01, 550)];
    for (nodes, loss, most) in sizes.into_iter().filter(|(nodes, ..)| *nodes <= 100 || large()) {
        let mut sim = Sim::cluster(nodes, 0, loss);
        sim.run(60 * SECOND);
        let before = (sim.octets, sim.packets);
        sim.run(60 * SECOND);
        let per = 60 * nodes as u64;
        let (octets, packets) = ((sim.octets - before.0) / per, (sim.packets - before.1) as f64 / per as f64);
        println!(
            "{nodes} nodes, {loss} lost: {octets} B/s and {packets:.1} datagrams/s a node, all headers included"
        );
        assert!(octets <= most, "{octets} B/s a node");
    }
}

fn dead_node_is_hidden(nodes: usize, usual: u64) {
    for loss in [0.0, 0.01, 0.05] {
        let times = for_seeds(usual, |seed| {
            let mut sim = Sim::cluster(nodes, seed, loss);
            sim.kill(nodes / 2);
            let time = sim.until(30 * SECOND, |sim| sim.hidden(nodes / 2)).expect("the dead are found");
            assert!(time <= 7 * SECOND, "{time:?} at {loss} lost");
            time
        });
        print_times(&format!("dead node hidden at all {}, {loss} lost", nodes - 1), times);
    }
}

#[test]
fn a_dead_one_of_8_is_hidden_everywhere_within_7_s() {
    dead_node_is_hidden(8, 20);
}

#[test]
fn a_dead_one_of_100_is_hidden_everywhere_within_7_s() {
    dead_node_is_hidden(100, if large() { 20 } else { 3 });
}

#[test]
fn a_partition_of_half_against_half_heals_within_2_s() {
    let times = for_seeds(20, |seed| {
        let mut sim = Sim::cluster(8, seed, 0.01);
        sim.open = Box::new(|a, b| (a < 4) == (b < 4));
        sim.run(30 * SECOND);
        assert!(sim.complete(0..4) && sim.complete(4..8), "a half lost somebody");
        assert!(!sim.sees_alive(0, 4) && !sim.sees_alive(4, 0), "the other half is not hidden");
        sim.open = Box::new(|_, _| true);
        let time = sim.until(30 * SECOND, |sim| sim.complete(0..8)).expect("it heals");
        assert!(time <= 2 * SECOND, "{time:?}");
        time
    });
    print_times("heal of 4 + 4", times);
}

fn join_storm(nodes: usize, within: Duration, most: Duration, usual: u64) {
    let times = for_seeds(usual, |seed| {
        let mut sim = Sim::new(nodes, seed, 0.01);
        for n in 0..nodes {
            sim.start_node(n);
            sim.run(within / u32::try_from(nodes).expect("small"));
        }
        let time = sim.until(60 * SECOND, |sim| sim.complete(0..nodes)).expect("they join");
        assert!(time <= most, "{time:?}");
        let before = sim.octets;
        sim.run(10 * SECOND);
        sim.assert_no_deaths();
        println!(
            "{nodes} nodes join in {within:?}: {} kB a node until they know each other, {} kB in 10 s afterwards",
            before / 1_000 / nodes as u64,
            (sim.octets - before) / 1_000 / nodes as u64
        );
        time
    });
    print_times(&format!("{nodes} nodes join in {within:?}: after the last one all know all"), times);
}

#[test]
fn a_hundred_nodes_join_through_one_seed() {
    join_storm(100, SECOND, 5 * SECOND, 3);
}

#[test]
fn a_thousand_nodes_join_through_one_seed() {
    if large() {
        join_storm(1_000, 5 * SECOND, 30 * SECOND, 1);
    }
}

#[test]
fn a_newcomer_is_known_to_all_in_a_moment() {
    for nodes in [3, 8, 100] {
        let times = for_seeds(5, |seed| {
            let mut sim = Sim::new(nodes + 1, seed, 0.0);
            for n in 0..nodes {
                sim.start_node(n);
                sim.run(SECOND / 10);
            }
            sim.run(10 * SECOND);
            sim.start_node(nodes);
            let time = sim.until(10 * SECOND, |sim| sim.complete(0..nodes + 1)).expect("it joins");
            assert!(time <= SECOND / 5, "{time:?}");
            time
        });
        print_times(&format!("a newcomer to {nodes} nodes"), times);
    }
}
