//! What it costs to ask and to change the forwarding database, by the number of its entries; and whether churn cools the
//! cache that workers have in front of it.
//!
//! `find` is what a worker pays on a cache miss, `cache` on a hit; `entry`, `learn` and `age` what control pays, the last
//! for each entry. `dashmap` is the measured alternative: a sharded map with locks, the same answers and generations, and
//! entries of 36 octets. The hit rate is printed while a thread makes 1,000 changes a second to other addresses, and must
//! be 95 % at least. Run:
//! `cargo bench -p weft-benches --bench fdb`.

use std::hash::{BuildHasher, Hash, Hasher};
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use dashmap::DashMap;
use encap::{MacAddr, Vni};
use fdb::{FlowCache, LearnOutcome, Limits, Location, Shared, Table};
use weft::clock;
use weft_benches::is_test;

const VNI: Vni = Vni::from_octets([0, 0, 100]);
/// Flows that a worker has at a time.
const ACTIVE: u32 = 256;
/// Addresses from here on are in no table.
const UNKNOWN: u32 = 1 << 30;
/// Changes a second in the background.
const CHURN: u128 = 1000;
const AGE: Duration = Duration::from_secs(300);

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    sharded_map(&mut criterion, 1_000_000);
    for (entries, name) in [(1_000, "1k entries"), (100_000, "100k entries"), (1_000_000, "1M entries")] {
        by_size(&mut criterion, entries, name);
    }
    cache(&mut criterion);
    criterion.final_summary();
}

fn mac(n: u32) -> MacAddr {
    let [a, b, c, d] = n.to_be_bytes();
    MacAddr::new([2, 0, a, b, c, d])
}

/// One of `count` numbers in an order that no cache of a CPU foresees.
fn scattered(n: u32, count: u32) -> u32 {
    ((u64::from(n.wrapping_mul(0x9e37_79b9)) * u64::from(count)) >> 32) as u32
}

fn vtep(last: u8) -> Location {
    Location::Remote(SocketAddr::from(([10, 0, 0, last], 4789)).into())
}

/// A table that is full with these many entries, the first of them the oldest.
fn table(entries: u32, now: Instant) -> (Table, Arc<Shared>) {
    let shared = Arc::new(Shared::new());
    let entries = entries as usize;
    let limits = Limits { port: entries, static_peer: entries, node: entries };
    let mut table = Table::new(limits, Arc::clone(&shared));
    table.set_network(VNI, entries, AGE);
    for n in 0..entries as u32 {
        assert_eq!(table.learn(VNI, mac(n), vtep(1), now), LearnOutcome::Learned);
    }
    (table, shared)
}

fn by_size(criterion: &mut Criterion, entries: u32, name: &str) {
    let now = clock::now();
    let (mut table, shared) = table(entries, now);
    let mut group = criterion.benchmark_group(name);
    if entries == 1_000_000 {
        // A machine that is itself virtual takes seconds to settle behind so much fresh memory.
        group.sample_size(20).warm_up_time(Duration::from_secs(6)).measurement_time(Duration::from_secs(4));
    }
    let mut n = 0u32;
    let mut next = || {
        n = n.wrapping_add(1);
        scattered(n, entries)
    };
    assert!(shared.find(VNI, mac(next())).0.is_some() && shared.find(VNI, mac(UNKNOWN)).0.is_none());
    group.bench_function("find/hit", |b| b.iter(|| shared.find(VNI, mac(next()))));
    group.bench_function("find/miss", |b| b.iter(|| shared.find(VNI, mac(UNKNOWN | next()))));
    group.bench_function("entry, for control", |b| b.iter(|| table.entry(VNI, mac(next()))));
    group.bench_function("learn/refresh", |b| b.iter(|| table.learn(VNI, mac(next()), vtep(1), now)));
    let mut new = UNKNOWN;
    group.bench_function("learn/new, evicts the oldest", |b| {
        b.iter(|| {
            new += 1;
            table.learn(VNI, mac(new), vtep(1), now)
        });
    });
    assert_eq!(table.len(), entries as usize);
    age(&mut group, &mut table, new, now);
    group.finish();
}

/// Ages entries, and learns as many new ones while nobody measures.
fn age(group: &mut BenchmarkGroup<'_, WallTime>, table: &mut Table, mut new: u32, mut now: Instant) {
    group.bench_function("age", |b| {
        b.iter_custom(|iterations| {
            let (mut aged, mut elapsed) = (0, Duration::ZERO);
            while aged < iterations {
                let start = clock::now();
                let step = table.expire(now);
                elapsed += clock::now() - start;
                if step == 0 {
                    now += AGE;
                }
                for _ in 0..step {
                    new += 1;
                    table.learn(VNI, mac(new), vtep(1), now);
                }
                aged += step as u64;
            }
            elapsed.mul_f64(iterations as f64 / aged as f64)
        });
    });
}

/// A key that hashes as the one of the FDB does: as one number.
#[derive(PartialEq, Eq)]
struct Octets([u8; 9]);

impl Hash for Octets {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut number = [0; 16];
        number[7..].copy_from_slice(&self.0);
        state.write_u128(u128::from_be_bytes(number));
    }
}

/// The same lookups in `dashmap`. They come first, so that the map grows in fresh memory, as that of a daemon does: in
/// memory that another table has filled and freed before, a hit was measured to take a third of the time.
fn sharded_map(criterion: &mut Criterion, entries: u32) {
    let hasher = foldhash::fast::RandomState::default();
    let map: DashMap<Octets, [u32; 6], _> = DashMap::with_hasher_and_shard_amount(hasher, 64);
    let generations: Vec<AtomicU32> = (0..4096).map(|_| AtomicU32::new(0)).collect();
    let key = |n: u32| {
        let [a, b, c, d] = n.to_be_bytes();
        Octets([0, 0, 100, 2, 0, a, b, c, d])
    };
    for n in 0..entries {
        map.insert(key(n), [n; 6]);
    }
    let find = |key: Octets| {
        let bucket = (map.hasher().hash_one(&key) >> 24) as usize % generations.len();
        let generation = generations[bucket].load(Ordering::Acquire);
        (map.get(&key).map(|entry| *entry), generation)
    };
    let mut n = 0u32;
    let mut next = || {
        n = n.wrapping_add(1);
        scattered(n, entries)
    };
    let mut group = criterion.benchmark_group("1M entries, dashmap");
    group.sample_size(20).measurement_time(Duration::from_secs(2));
    group.bench_function("find/hit", |b| b.iter(|| find(key(next()))));
    group.bench_function("find/miss", |b| b.iter(|| find(key(UNKNOWN | next()))));
    group.finish();
}

/// What a worker does for each destination.
fn look_up(cache: &mut FlowCache<Location>, shared: &Shared, n: u32) -> bool {
    if black_box(cache.get(shared, VNI, mac(n))).is_some() {
        return true;
    }
    let (found, stamp) = shared.find(VNI, mac(n));
    if let Some(found) = found {
        cache.insert(VNI, mac(n), stamp, found.location);
    }
    false
}

fn cache(criterion: &mut Criterion) {
    const ENTRIES: u32 = 100_000;
    let (mut table, shared) = table(ENTRIES, clock::now());
    let mut cache = FlowCache::new();
    for n in 0..ACTIVE {
        look_up(&mut cache, &shared, n);
    }
    let mut n = 0u32;
    let mut next = || {
        n = n.wrapping_add(1);
        scattered(n, ACTIVE)
    };
    let mut group = criterion.benchmark_group("cache, 256 flows of 100000 entries");
    group.bench_function("lookup", |b| b.iter(|| look_up(&mut cache, &shared, next())));
    let (stop, changes) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| churn(&mut table, ENTRIES, &stop, &changes));
        let _ends_also_by_a_panic = Stop(&stop);
        for a_second in [10_000, 100_000, u128::MAX] {
            print_hit_rate(&mut cache, &shared, a_second, &changes);
        }
        group.bench_function("lookup, 1000 changes/s elsewhere", |b| {
            b.iter(|| look_up(&mut cache, &shared, next()));
        });
    });
    group.finish();
}

/// Tells a thread to stop when it goes out of scope.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Moves addresses that no flow uses, [`CHURN`] a second, until told to stop.
fn churn(table: &mut Table, entries: u32, stop: &AtomicBool, changes: &AtomicU64) {
    let start = clock::now();
    while !stop.load(Ordering::Relaxed) {
        let due = (clock::now() - start).as_micros() * CHURN / 1_000_000;
        while u128::from(changes.load(Ordering::Relaxed)) < due {
            let n = changes.fetch_add(1, Ordering::Relaxed);
            let elsewhere = ACTIVE + scattered(n as u32, entries - ACTIVE);
            let to = vtep(2 + (n % 200) as u8);
            table.add_static(VNI, mac(elsewhere), to).expect("the entry exists");
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Looks up as many flows a second as asked, in turn at random, and prints how many the cache knew.
fn print_hit_rate(cache: &mut FlowCache<Location>, shared: &Shared, a_second: u128, changes: &AtomicU64) {
    let duration = Duration::from_millis(if is_test() { 300 } else { 3000 });
    let (start, changed_before) = (clock::now(), changes.load(Ordering::Relaxed));
    let (mut lookups, mut hits) = (0u32, 0u32);
    let mut elapsed = Duration::ZERO;
    while elapsed < duration {
        let due = a_second.saturating_mul(elapsed.as_micros()) / 1_000_000;
        // Bursts of at most 64, as a worker reads them.
        for _ in 0..due.saturating_sub(u128::from(lookups)).min(64) {
            lookups += 1;
            hits += u32::from(look_up(cache, shared, scattered(lookups, ACTIVE)));
        }
        if a_second < u128::MAX {
            thread::sleep(Duration::from_micros(100));
        }
        elapsed = clock::now() - start;
    }
    let seconds = elapsed.as_secs_f64();
    let (rate, changed) =
        (f64::from(hits) / f64::from(lookups), changes.load(Ordering::Relaxed) - changed_before);
    println!(
        "flow cache: {:.2} % hits of {:.0} lookups/s over {ACTIVE} flows, {:.0} changes/s elsewhere",
        rate * 100.0,
        f64::from(lookups) / seconds,
        changed as f64 / seconds
    );
    assert!(rate >= 0.95, "the flow cache must answer 95 % while other entries change");
}
