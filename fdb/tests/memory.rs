//! What an entry weighs: all that the table, the map and what ages and evicts have allocated.

mod allocated;

use std::fs;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use encap::{MacAddr, PortId, Vni};
use fdb::{Claim, ClaimOutcome, LearnOutcome, Limits, Location, Origin, Shared, Table};

use self::allocated::allocated;

const AGE: Duration = Duration::from_secs(300);

fn vni(n: u32) -> Vni {
    Vni::from_octets([0, 0, n as u8 % 4])
}

fn mac(n: u32) -> MacAddr {
    let [a, b, c, d] = n.to_be_bytes();
    MacAddr::new([2, 0, a, b, c, d])
}

/// 200 ports and 50 VTEPs, half of these with IPv6.
fn place(n: u32) -> Location {
    let ip = Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n % 250));
    match n % 250 {
        0..200 => Location::Local(PortId::new(n % 250)),
        last @ 200..225 => Location::Remote(SocketAddr::from(([10, 0, 0, last as u8], 4789)).into()),
        _ => Location::Remote(SocketAddr::from((ip, 4789)).into()),
    }
}

/// Octets of the process that are in memory.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").expect("/proc is there");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("the second number of statm") * 4096
}

#[test]
fn an_entry_takes_less_than_150_octets_from_a_hundred_thousand_to_a_million_of_them_and_after_churn() {
    const ENTRIES: u32 = 1_000_000;
    let all = ENTRIES as usize;
    #[allow(clippy::disallowed_methods)] // the only way to get one
    let now = Instant::now();
    let (before, resident_before) = (allocated(), resident());
    let shared = Arc::new(Shared::with_seed(1));
    let mut table = Table::new(Limits { port: all, static_peer: all, node: all }, Arc::clone(&shared));
    (0..4).for_each(|n| table.set_network(vni(n), all, AGE));
    let empty = allocated() - before;
    assert!(empty < 600_000, "{empty} octets for an empty table");

    let mut most = 0;
    for n in 0..ENTRIES {
        assert_eq!(table.learn(vni(n), mac(n), place(n), now), LearnOutcome::Learned);
        if n >= 100_000 && n % 1000 == 0 {
            most = most.max((allocated() - before) / n as usize);
        }
    }
    let full = (allocated() - before) as f64 / f64::from(ENTRIES);
    let full_resident = (resident() - resident_before) as f64 / f64::from(ENTRIES);
    // Each of them gives way to another one, twice.
    for n in ENTRIES..3 * ENTRIES {
        assert_eq!(table.learn(vni(n), mac(n), place(n), now + AGE / 2), LearnOutcome::Learned);
    }
    let churned = (allocated() - before) as f64 / f64::from(ENTRIES);
    println!(
        "{empty} octets when empty; an entry of {ENTRIES}: {full:.1} octets allocated, {full_resident:.1} resident, \
         {churned:.1} after churn; at most {most} from 100000 on"
    );
    assert_eq!((table.len(), table.counters().evicted), (all, 2_000_000));
    assert!(full < 150.0 && churned < 150.0 && most < 150);
    assert!(full_resident < 150.0, "{full_resident} octets of each entry are in memory");
    drop(table);
    drop(shared);
    claims_weigh_no_more(now, full);
}

/// 100 nodes with IPv4 and IPv6.
fn claim(n: u32) -> Claim {
    let ip = Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n % 100));
    let at = match n % 100 {
        last @ 0..50 => SocketAddr::from(([10, 0, 1, last as u8], 4789)),
        _ => SocketAddr::from((ip, 4789)),
    };
    Claim { origin: Origin::new(n % 100), at: at.into(), mob_seq: n % 3, is_static: n.is_multiple_of(2) }
}

/// What others claim weighs what learned entries do, also when nodes went down and came back.
fn claims_weigh_no_more(now: Instant, learned: f64) {
    const ENTRIES: u32 = 1_000_000;
    let before = allocated();
    let mut table = Table::new(Limits::default(), Arc::new(Shared::with_seed(1)));
    (0..4).for_each(|n| table.set_network(vni(n), ENTRIES as usize, AGE));
    let claim_all = |table: &mut Table, of: &dyn Fn(u32) -> bool| {
        for n in (0..ENTRIES).filter(|n| of(n % 100)) {
            assert_eq!(table.claim(vni(n), mac(n), claim(n), now), ClaimOutcome::Added);
        }
    };
    claim_all(&mut table, &|_| true);
    let full = (allocated() - before) as f64 / f64::from(ENTRIES);
    for node in 0..50 {
        assert_eq!(table.unclaim_all(Origin::new(node), now), ENTRIES as usize / 100);
    }
    claim_all(&mut table, &|node| node < 50);
    let again = (allocated() - before) as f64 / f64::from(ENTRIES);
    println!("{full:.1} octets for a claim, {again:.1} after half of the nodes were away");
    assert_eq!(table.len(), ENTRIES as usize);
    assert!(
        full < learned + 1.0 && again < learned + 1.0,
        "{full} and {again} octets, {learned} for a learned one"
    );
}
