//! The replication layer in virtual time: the real code, one thread, seeded; loss, duplicates, reordering, partitions
//! one way and both, crashes, wiped disks, clones. `REPLICA_SEEDS` says how many seeds are run; what fails says its
//! seed, and `REPLICA_SEED` runs that one alone.

mod disk;
mod life;

use std::env;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fdb::replica::{Config, Fault};
use fdb::sim::{self, Plan};

use self::disk::DiskFault;
use self::life::live;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|n| n.parse().expect("a number"))
}

/// What went wrong with these seeds, until it was so with `enough` of them; on all processors.
fn failures(seeds: Range<u64>, enough: usize, config: Config, disk: DiskFault) -> Vec<String> {
    let (next, failed) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    let live_on = || {
        while failed.lock().expect("no life panics").len() < enough {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            if let Err(what) = live(seed, config, disk) {
                let what = format!("seed {seed}: {what}: again with REPLICA_SEED={seed}");
                failed.lock().expect("no life panics").push(what);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(live_on);
        }
    });
    failed.into_inner().expect("no life panics")
}

#[test]
#[ignore = "takes long: run by test.sh"]
fn no_update_is_lost_for_ever() {
    let seeds = match number("REPLICA_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("REPLICA_SEEDS").unwrap_or(2000),
    };
    let failed = failures(seeds, 5, Config::default(), DiskFault::Sound);
    assert!(failed.is_empty(), "{failed:#?}");
}

fn find(what: &str, config: Config, disk: DiskFault) {
    let found = failures(0..500, 1, config, disk);
    eprintln!("{what}: {found:?}");
    assert!(!found.is_empty(), "{what} is not found in 500 seeds");
}

#[test]
#[ignore = "takes long: run by test.sh"]
fn planted_faults_of_the_replica_are_found() {
    for fault in Fault::ALL {
        find(&format!("{fault:?}"), Config { fault: Some(fault), ..Config::default() }, DiskFault::Sound);
    }
}

#[test]
#[ignore = "takes long: run by test.sh"]
fn planted_faults_of_the_disk_are_found() {
    for fault in [DiskFault::NotPersisted, DiskFault::NoFsync] {
        find(&format!("{fault:?}"), Config::default(), fault);
    }
}

/// One update known everywhere within `median` and `p99` ms.
fn spreads(plan: &Plan, median: u64, p99: u64) {
    #[allow(clippy::disallowed_methods)] // the zero of the virtual clock
    let report = sim::run(plan, Instant::now(), || 0);
    println!("{plan:?}: {report:?}");
    assert_eq!(report.never, 0, "{report:?}");
    assert!(report.median <= Duration::from_millis(median), "{report:?}");
    assert!(report.p99 <= Duration::from_millis(p99), "{report:?}");
    assert!(report.bytes_per_s <= 300.0, "{report:?}");
}

#[test]
fn an_update_is_known_everywhere_soon_at_100_nodes() {
    spreads(&Plan { nodes: 100, updates: 300, ..Plan::default() }, 200, 500);
}

#[test]
#[ignore = "takes long: run by test.sh"]
fn an_update_is_known_everywhere_soon_at_1000_nodes() {
    spreads(&Plan { nodes: 1000, updates: 30, ..Plan::default() }, 350, 1000);
}
