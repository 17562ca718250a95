//! What a record weighs at a node that joined: all that its replica has allocated. And what joining costs.
//!
//! A binary of its own with one test, because its allocator counts for the whole process.

use std::alloc::System;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use encap::{MacAddr, Vni};
use fdb::gossip::identity::{Epoch, NodeId};
use fdb::replica::{Config, MacRecord, Output, Record, Replica};
use rand_core::TryRng;
use stats_alloc::{INSTRUMENTED_SYSTEM, Stats, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const JOINER: NodeId = NodeId::new(1 << 40);
const SERVER: NodeId = NodeId::new(1 << 41);

/// Counts: any choice of a node will do.
struct Next(u64);

impl TryRng for Next {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.try_next_u64()? as u32)
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 += 1;
        Ok(self.0)
    }
    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        dst.fill(0);
        Ok(())
    }
}

fn mac(origin: u32, n: u32) -> Record {
    let ([_, a, b, c], [d, e, f, g]) = (origin.to_be_bytes(), n.to_be_bytes());
    Record::Mac(MacRecord {
        vni: Vni::from_octets([0, 0, 1]),
        mac: MacAddr::new([2, a ^ d, b ^ e, c, f, g]),
        ips: vec![[10, c, f, g].into()],
        dst: None,
        mob_seq: 0,
        is_static: false,
    })
}

fn replica(node: NodeId, now: Instant) -> Replica {
    Replica::new((node, Epoch::new(1)), Config { max_records: 20_000, ..Config::default() }, now)
}

fn allocated() -> usize {
    let Stats { bytes_allocated, bytes_deallocated, .. } = ALLOCATOR.stats();
    bytes_allocated - bytes_deallocated
}

/// Two nodes say to each other what they know, until it is the same: when that is.
fn talk(nodes: &mut [(NodeId, Replica); 2], start: Instant) -> Instant {
    let mut rng = Next(0);
    for step in 0..5000 {
        let now = start + Duration::from_millis(20 * step);
        for n in [0, 1] {
            nodes[n].1.handle_timeout(now, &mut rng);
            while let Some(output) = nodes[n].1.poll_output() {
                let (Output::Send { to, bytes } | Output::Stream { to, bytes }) = output else { continue };
                // Whomever the joiner asks, the server answers.
                if to == nodes[1 - n].0 || nodes[n].0 == JOINER {
                    let from = nodes[n].0;
                    nodes[1 - n].1.handle_message(from, &bytes, now, &mut rng).expect("what is sent is read");
                }
            }
        }
        if step > 60 && nodes[0].1.root() == nodes[1].1.root() {
            return now;
        }
    }
    panic!("the roots still differ after 100 s");
}

/// Octets an entry at a node that joined; what it took of the CPU, and of the virtual time.
fn joined(origins: u32, records: u32) -> (f64, Duration, Duration) {
    #[allow(clippy::disallowed_methods)] // the zero of the virtual clock, and the one of the measurement
    let now = Instant::now;
    let mut time = now();
    let ids: Vec<_> = (1..=origins).map(|n| (NodeId::new(n.into()), Epoch::new(1))).collect();
    let mut server = replica(SERVER, time);
    for &(id, epoch) in &ids {
        let mut origin = replica(id, time);
        let n = id.get() as u32;
        (0..records).for_each(|m| origin.put(&mac(n, m), time).expect("room"));
        server.set_members(&[(id, epoch)], time);
        origin.set_members(&[(SERVER, epoch)], time);
        // Only what it says of itself: the others are down for it.
        let mut pair = [(id, origin), (SERVER, server)];
        time = talk(&mut pair, time);
        let [_, (_, back)] = pair;
        server = back;
    }
    let all: Vec<_> = ids.iter().copied().chain([(JOINER, Epoch::new(1))]).collect();
    server.set_members(&all, time);
    while server.poll_output().is_some() {}
    let mut joiner = replica(JOINER, time);
    let all: Vec<_> = ids.into_iter().chain([(SERVER, Epoch::new(1))]).collect();
    joiner.set_members(&all, time);
    let mut pair = [(SERVER, server), (JOINER, joiner)];
    let began = now();
    let took = talk(&mut pair, time) - time;
    let cpu = began.elapsed();
    let [_, (_, joiner)] = pair;
    let entries = joiner.entries();
    assert_eq!(entries, (origins * records) as usize);
    let full = allocated();
    drop(joiner);
    ((full - allocated()) as f64 / entries as f64, cpu, took)
}

#[test]
fn a_record_takes_at_most_100_octets_and_100000_of_them_are_known_in_no_time() {
    for (origins, records) in [(1000, 100), (10, 10_000)] {
        let (octets, cpu, took) = joined(origins, records);
        println!(
            "{origins} nodes with {records} records each: {octets:.1} octets a record; joining took {cpu:?} of the \
             CPU at both ends, {took:?} of virtual time"
        );
        assert!(octets <= 100.0, "{octets} octets a record");
        assert!(cpu < Duration::from_secs(2), "{cpu:?}");
    }
}
