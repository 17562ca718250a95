//! Workers read while control writes: a cached answer that counts as current is never older than a finished write.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use encap::{MacAddr, PortId, Vni};
use fdb::{FlowCache, Limits, Location, Shared, Table};

const MACS: usize = 40;
const WRITES: u32 = 200_000;
const VNI: Vni = Vni::from_octets([0, 0, 100]);

fn mac(n: usize) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, n as u8])
}

/// Each write of an address has a higher number, and all parts of its place say which: a port, or a VTEP with IPv4 or
/// IPv6. The places come and go with the writes, so that what is kept of one is soon used for another.
fn place(number: u32) -> Location {
    let udp_port = number as u16;
    match number % 3 {
        0 => Location::Remote(SocketAddr::from((Ipv4Addr::from_bits(number), udp_port)).into()),
        1 => Location::Remote(SocketAddr::from((Ipv6Addr::from_bits(both_halves(number)), udp_port)).into()),
        _ => Location::Local(PortId::new(number)),
    }
}

fn both_halves(number: u32) -> u128 {
    u128::from(number) << 64 | u128::from(number)
}

fn number(location: Location) -> u32 {
    let number = match location {
        Location::Local(port) => port.get(),
        Location::Remote(vtep) => match vtep.ip() {
            IpAddr::V4(ip) => ip.to_bits(),
            IpAddr::V6(ip) => ip.to_bits() as u32,
        },
    };
    assert_eq!(location, place(number), "parts of two places");
    number
}

/// Reads through a cache until told to stop; says how many reads the cache answered.
fn read(shared: &Shared, finished: &[AtomicU32], stop: &AtomicBool, first: usize) -> u64 {
    let (mut cache, mut hits) = (FlowCache::new(), 0);
    for n in (first..).map(|n| n % MACS) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let at_least = finished[n].load(Ordering::Acquire);
        let answer = if let Some(kept) = cache.get(shared, VNI, mac(n)) {
            hits += 1;
            kept
        } else {
            let (found, stamp) = shared.find(VNI, mac(n));
            cache.insert(VNI, mac(n), stamp, found);
            found
        };
        match answer {
            Some(found) => {
                let seen = number(found.location);
                assert!(seen >= at_least, "address {n}: write {at_least} is finished, a reader saw {seen}");
            }
            // It may have been removed since, but then `finished` was changed before.
            None => assert!(
                at_least == 0 || finished[n].load(Ordering::Acquire) != at_least,
                "address {n}: write {at_least} is finished, a reader knows nothing of it"
            ),
        }
    }
    hits
}

#[test]
fn no_reader_sees_a_stale_answer_after_a_write_has_finished() {
    let shared = Arc::new(Shared::new());
    let mut table = Table::new(Limits::default(), Arc::clone(&shared));
    table.set_network(VNI, MACS, Duration::from_secs(300));
    #[allow(clippy::disallowed_methods)] // the only way to get one
    let now = Instant::now();
    let finished: Vec<AtomicU32> = (0..MACS).map(|_| AtomicU32::new(0)).collect();
    let stop = AtomicBool::new(false);
    let hits: u64 = thread::scope(|scope| {
        let reader = |first| {
            scope.spawn({
                let (shared, finished, stop) = (&shared, &finished, &stop);
                move || read(shared, finished, stop, first)
            })
        };
        let readers = [0, 13, 26].map(reader);
        for write in 1..=WRITES {
            // Mostly the same few, so that readers have hits on the others.
            let n = (write.wrapping_mul(0x9e37_79b9) >> 16) as usize % if write % 8 == 0 { MACS } else { 4 };
            if write % 5 == 0 {
                finished[n].store(0, Ordering::Release);
                table.del(VNI, mac(n));
                table.learn(VNI, mac(n), place(write), now);
            } else {
                table.add_static(VNI, mac(n), place(write)).unwrap();
            }
            finished[n].store(write, Ordering::Release);
        }
        stop.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().expect("a reader panicked")).sum()
    });
    assert!(hits > 0, "the cache answered nothing, so this proved nothing");
    assert_eq!(table.len(), MACS);
}
