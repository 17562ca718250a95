//! What a claimed binding weighs, everything that was allocated for it counted.

mod allocated;

use std::net::IpAddr;
use std::sync::Arc;

use encap::{MacAddr, Vni};
use fdb::Shared;
use fdb::neighbor::{Claim, NeighborTable};

use self::allocated::allocated;

/// Numbers below `of`, each once, in an order that is none.
fn scattered(n: u32, of: u32) -> u32 {
    n.wrapping_mul(7_919) % of
}

#[test]
fn a_claimed_ipv4_binding_takes_less_than_70_octets_in_whatever_order_they_come() {
    const BINDINGS: u32 = 100_000;
    for order in [|n, _| n, scattered] {
        let before = allocated();
        let shared = Arc::new(Shared::with_seed(1));
        let mut table = NeighborTable::new(Arc::clone(&shared));
        let empty = allocated();
        for n in (0..BINDINGS).map(|n| order(n, BINDINGS)) {
            let [a, b, c, d] = n.to_be_bytes();
            let (vni, mac) = (Vni::from_octets([0, 0, d % 4]), MacAddr::new([2, 0, a, b, c, d]));
            let ips = [IpAddr::from([10, b, c, d])];
            table.claim(&Claim { vni, mac, ips: &ips, router: false, mob_seq: 0, origin: n % 100 });
        }
        let each = (allocated() - empty) as f64 / f64::from(BINDINGS);
        println!("{} octets when empty; a claimed binding of {BINDINGS}: {each:.1} octets", empty - before);
        assert_eq!(table.bindings().len(), BINDINGS as usize);
        assert!(each < 70.0, "{each}");
    }
}
