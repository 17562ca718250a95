//! What frames of a port teach, and how long an answer of the FDB is kept.

use std::time::Duration;

use encap::vnet::VnetHeader;
use fdb::{Claim, ClaimOutcome, Location, Origin};

use crate::datapath::frames::mac;
use crate::datapath::testing::{Lab, frame_to, vni};

#[test]
fn a_new_source_is_told_once_and_again_when_control_did_not_take_it() {
    let mut lab = Lab::with_remote();
    let here = Location::Local(lab.port);
    (0..3).for_each(|_| lab.read(&frame_to(mac(2))));
    assert_eq!(lab.learned(), [(mac(1), here)]);
    lab.worker.now += Duration::from_secs(1);
    (0..3).for_each(|_| lab.read(&frame_to(mac(2))));
    assert_eq!(lab.learned(), [(mac(1), here)]);
}

#[test]
fn a_known_source_is_refreshed_ten_times_in_its_lifetime() {
    let mut lab = Lab::with_remote();
    lab.read(&frame_to(mac(2)));
    lab.worker.learn();
    lab.read(&frame_to(mac(2)));
    lab.learned();
    for _ in 0..300 {
        lab.worker.now += Duration::from_secs(1);
        lab.read(&frame_to(mac(2)));
        lab.read(&frame_to(mac(2)));
    }
    assert_eq!(lab.learned().len(), 10);
}

#[test]
fn a_source_that_never_ages_is_refreshed_all_the_same() {
    let mut lab = Lab::with_remote();
    lab.change_network(|network| network.mac_age = Duration::ZERO);
    lab.read(&frame_to(mac(2)));
    lab.worker.learn();
    lab.read(&frame_to(mac(2)));
    lab.learned();
    lab.worker.now += Duration::from_secs(3599);
    lab.read(&frame_to(mac(2)));
    assert_eq!(lab.learned(), []);
    lab.worker.now += Duration::from_secs(1);
    lab.read(&frame_to(mac(2)));
    assert_eq!(lab.learned().len(), 1);
}

#[test]
fn a_source_that_moved_is_told_at_once() {
    let mut lab = Lab::with_remote();
    let (port, other) = (lab.port, lab.other);
    lab.read(&frame_to(mac(2)));
    lab.worker.learn();
    lab.worker.read(other, &VnetHeader::default(), &mut frame_to(mac(2)));
    assert_eq!(lab.learned(), [(mac(1), Location::Local(other))]);
    lab.worker.read(port, &VnetHeader::default(), &mut frame_to(mac(2)));
    assert_eq!(lab.learned(), [(mac(1), Location::Local(port))]);
}

#[test]
fn a_static_address_is_never_learned_and_sends_from_anywhere() {
    let mut lab = Lab::with_remote();
    lab.put(1, Location::Local(lab.other));
    lab.read(&frame_to(mac(2)));
    assert_eq!(lab.learned(), []);
    lab.assert_passed();
}

#[test]
fn a_source_that_another_node_claims_is_told_unless_it_is_configured_there() {
    for (is_static, told) in [(false, 1), (true, 0)] {
        let mut lab = Lab::with_remote();
        let at = std::net::SocketAddr::from(([10, 0, 0, 77], 4789)).into();
        let claim = Claim { origin: Origin::new(7), at, mob_seq: 0, is_static };
        assert_eq!(lab.worker.table.claim(vni(), mac(1), claim, lab.worker.now), ClaimOutcome::Added);
        lab.read(&frame_to(mac(2)));
        assert_eq!(lab.learned().len(), told, "static: {is_static}");
        lab.assert_passed();
    }
}

#[test]
fn the_second_frame_of_a_flow_hits_the_cache() {
    let mut lab = Lab::with_remote();
    let counts = |lab: &Lab| {
        let batching = lab.worker.totals().batching;
        (batching.cache_hits, batching.cache_misses)
    };
    lab.read(&frame_to(mac(2)));
    assert_eq!(counts(&lab), (0, 1));
    (0..5).for_each(|_| lab.read(&frame_to(mac(2))));
    assert_eq!(counts(&lab), (5, 1));
    // Unknown is an answer, too.
    (0..3).for_each(|_| lab.read(&frame_to(mac(9))));
    assert_eq!(counts(&lab), (7, 2));
}

#[test]
fn a_change_of_the_fdb_is_seen_by_the_next_frame() {
    let mut lab = Lab::new();
    lab.read(&frame_to(mac(2)));
    assert_eq!((lab.datagrams().len(), lab.deliveries().len()), (1, 1));
    lab.put(2, Location::Local(lab.other));
    lab.read(&frame_to(mac(2)));
    assert_eq!((lab.datagrams().len(), lab.deliveries().len()), (0, 1));
    lab.worker.table.del(vni(), mac(2));
    lab.read(&frame_to(mac(2)));
    assert_eq!((lab.datagrams().len(), lab.deliveries().len()), (1, 1));
}

#[test]
fn a_change_of_the_topology_forgets_every_answer() {
    let mut lab = Lab::with_remote();
    lab.read(&frame_to(mac(2)));
    lab.change_peer(|peer| peer.up = false);
    lab.read(&frame_to(mac(2)));
    lab.change_peer(|peer| peer.up = true);
    lab.read(&frame_to(mac(2)));
    assert_eq!(lab.datagrams().len(), 2);
    assert_eq!(lab.worker.totals().batching.cache_misses, 3);
    assert_eq!(lab.learned().len(), 3, "sources are told again");
}
