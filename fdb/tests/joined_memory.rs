//! What an entry weighs at a node that joined a cluster of 100,000: what is known of it, the table that forwards by it, and
//! its IP address, everything that was allocated counted.

mod allocated;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use encap::{Vni, VtepAddr};
use fdb::gossip::identity::NodeId;
use fdb::neighbor::{self, NeighborTable};
use fdb::replica::Record;
use fdb::sim::Join;
use fdb::{Claim, ClaimOutcome, Limits, Origin, Shared, Table};

use self::allocated::allocated;

#[test]
fn an_entry_takes_at_most_250_octets_in_all() {
    #[allow(clippy::disallowed_methods)] // the zero of the virtual clock
    let now = Instant::now();
    for (nodes, macs) in [(1000, 100), (10, 10_000)] {
        let mut join = Join::prepare(nodes, macs, now);
        let before = allocated();
        join.run().expect("it ends");
        let known = allocated();

        let shared = Arc::new(Shared::with_seed(1));
        let mut table = Table::new(Limits::default(), Arc::clone(&shared));
        let mut neighbors = NeighborTable::new(shared);
        table.set_network(Vni::from_octets([0, 0, 1]), 200_000, Duration::from_secs(300));
        let mut told = 0;
        for n in 0..nodes {
            let (node, number) = (NodeId::new(n as u128 + 1), u32::try_from(n).expect("few nodes"));
            let [.., high, low] = number.to_be_bytes();
            let at: VtepAddr = SocketAddr::from(([10, 0, high, low], 4789)).into();
            for record in join.joiner().records(node) {
                let Record::Mac(record) = record else { continue };
                let claim = Claim { origin: Origin::new(number), at, mob_seq: 0, is_static: false };
                assert_eq!(table.claim(record.vni, record.mac, claim, now), ClaimOutcome::Added);
                // Of the simulator's some are on two nodes.
                let [_, a, b, c] = u32::to_be_bytes(told);
                let (vni, mac, ips) = (record.vni, record.mac, &[[10, a, b, c].into()]);
                neighbors.claim(&neighbor::Claim {
                    vni,
                    mac,
                    ips,
                    router: false,
                    mob_seq: 0,
                    origin: number,
                });
                told += 1;
            }
        }
        assert_eq!((table.len(), told), (100_000, 100_000));
        let (replica, all) = (known - before, allocated() - before);
        let each = |octets: usize| octets as f64 / f64::from(told);
        println!(
            "{nodes} nodes with {macs} entries: {:.1} octets an entry, {:.1} of them what is known",
            each(all),
            each(replica)
        );
        assert!(each(all) <= 250.0, "{}", each(all));
    }
}
