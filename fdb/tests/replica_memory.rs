//! What a record weighs at a node that joined: all that its replica has allocated. And what joining costs.

mod allocated;

use std::time::{Duration, Instant};

use fdb::sim::Join;

use self::allocated::allocated;

#[test]
fn a_record_takes_at_most_100_octets_and_100000_of_them_are_known_in_no_time() {
    #[allow(clippy::disallowed_methods)] // the zero of the virtual clock, and the one of the measurement
    let now = Instant::now;
    for (nodes, macs) in [(1000, 100), (10, 10_000)] {
        let mut join = Join::prepare(nodes, macs, now());
        let (before, began) = (allocated(), now());
        let took = join.run().expect("it ends");
        let (octets, cpu) = ((allocated() - before) as f64 / 100_000.0, began.elapsed());
        println!(
            "{nodes} nodes with {macs} records each: {octets:.1} octets a record; joining took {cpu:?} of the CPU at \
             both ends, {took:?} of virtual time"
        );
        assert_eq!(join.joiner().entries(), 100_000);
        assert!(octets <= 100.0, "{octets} octets a record");
        assert!(took <= Duration::from_secs(2), "{took:?} of virtual time");
        assert!(cpu < Duration::from_secs(2), "{cpu:?}");
    }
}
