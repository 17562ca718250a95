use std::time::Duration;

use encap::PortId;

use super::*;
use crate::clock;

fn head(at: Instant, octet: u8) -> Head {
    Head::new(at, Direction::Outbound, (Point::Port(PortId::new(1)), None), (1, &[octet; 60]))
}

fn octets(heads: &[Head]) -> Vec<u8> {
    heads.iter().map(|head| head.octets()[0]).collect()
}

#[test]
fn the_last_of_each_reason_are_kept_in_order() {
    let (mut heads, now) = (Heads::default(), clock::now());
    for n in 0..40 {
        heads.note(DropReason::Vlan, head(now, n));
        let kept: Vec<_> = (n.saturating_sub(31)..=n).collect();
        assert_eq!(octets(&heads.of(DropReason::Vlan)), kept);
    }
    assert_eq!(heads.of(DropReason::Runt).len(), 0, "each reason has its own");
}

#[test]
fn a_long_frame_is_cut_and_its_length_told() {
    let peer = (Point::Peer([10, 0, 0, 1].into()), Some(Format::Vxlan));
    let long = Head::new(clock::now(), Direction::Inbound, peer, (3, &[7; 1500]));
    assert_eq!((long.len, long.octets()), (1500, &[7; OCTETS][..]));
    let empty = Head::new(clock::now(), Direction::Inbound, peer, (1, &[]));
    assert!(empty.octets().is_empty());
}

#[test]
fn those_of_several_workers_are_put_together_by_time() {
    let now = clock::now();
    let at = |n: u8| head(now + Duration::from_millis(n.into()), n);
    let evens = (0..40).step_by(2).map(at);
    let odds = (1..40).step_by(2).map(at);
    assert_eq!(octets(&last(evens.chain(odds).collect())), (8..40).collect::<Vec<_>>());
    assert_eq!(octets(&last(vec![at(5), at(3)])), [3, 5]);
}
