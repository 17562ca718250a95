//! Membership of whole clusters: the real code, one thread, virtual time, seeded.
//!
//! | variable | does |
//! |---|---|
//! | `MEMBERS_SEED=n` | replays one seed; a failing one is named |
//! | `MEMBERS_SEEDS=n` | runs so many seeds of everything |
//! | `MEMBERS_LARGE=1` | runs the large ones too: 20 seeds of 100 nodes for 10 minutes, and 1,000 nodes that join |
//!
//! With the latter, and to see the numbers:
//! `MEMBERS_LARGE=1 cargo test --release -p fdb --test members_sim -- --nocapture`.

mod faults;
mod lab;
mod numbers;

use std::time::Duration;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

fn large() -> bool {
    variable("MEMBERS_LARGE").is_some_and(|value| value > 0)
}

/// Names the seed when its run fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with MEMBERS_SEED={}", self.0);
        }
    }
}

/// Runs something with each seed: so many unless the environment says otherwise.
fn for_seeds<T>(usual: u64, mut run: impl FnMut(u64) -> T) -> Vec<T> {
    let seeds = match variable("MEMBERS_SEED") {
        Some(one) => one..one + 1,
        None => 0..variable("MEMBERS_SEEDS").unwrap_or(usual),
    };
    let run = seeds.map(|seed| {
        let _named = Named(seed);
        run(seed)
    });
    run.collect()
}

fn print_times(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let (median, most) = (times.get(times.len() / 2), times.last());
    if let (Some(median), Some(most)) = (median, most) {
        println!("{what}: {} runs, median {median:?}, most {most:?}", times.len());
    }
}
