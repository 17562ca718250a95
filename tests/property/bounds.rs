//! Whatever addresses senders make up, tables stay within their limits and the entries of others stay.

use std::time::Duration;

use encap::vnet::VnetHeader;
use encap::{Format, MacAddr};
use fdb::{Limits, Location};
use proptest::prelude::*;
use weft::clock;
use weft::datapath::memory::MemoryWorker;

use crate::traffic::{vni, vtep};

fn made_up(number: u32) -> MacAddr {
    let [a, b, c, d] = number.to_be_bytes();
    MacAddr::new([0x0a, 0, a, b, c, d])
}

fn frame(src: MacAddr) -> Vec<u8> {
    [&[0xff; 6], &src.octets()[..], &[0x88, 0xb5], &[0; 46]].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn made_up_sources_fill_the_share_of_their_sender_only(
        count in 1u32..4000, seed: u32, by_peer in 1u32..8, max_macs in 100usize..2000,
    ) {
        let mut worker = MemoryWorker::new(clock::now());
        let network = worker.add_network(vni());
        let (noisy, quiet) = (worker.add_port(network), worker.add_port(network));
        let peer = vtep("192.0.2.2:4789");
        worker.add_peer(peer, Format::Vxlan, network);
        worker.table.set_network(vni(), max_macs, Duration::from_secs(300));
        let own = MacAddr::new([2, 0, 0, 0, 0, 1]);
        worker.read(quiet, &VnetHeader::default(), &mut frame(own));
        worker.learn();
        for number in 0..count {
            let frame = &mut frame(made_up(seed.wrapping_add(number)));
            if number % 8 < by_peer {
                let datagram = [&encap::tunnel::encode(Format::Vxlan, vni())[..], frame].concat();
                worker.receive_one(peer, Format::Vxlan, &datagram, datagram.len());
            } else {
                worker.read(noisy, &VnetHeader::default(), frame);
            }
            worker.sink.flush();
            worker.sink.sent.clear();
            worker.sink.delivered.clear();
            worker.learn();
        }
        let limits = Limits::default();
        let share = |at| worker.table.entries().filter(|entry| entry.location == at).count();
        prop_assert!(worker.table.count(vni()) <= max_macs);
        prop_assert!(share(Location::Local(noisy)) <= limits.port);
        prop_assert!(share(Location::Remote(peer)) <= limits.static_peer);
        let kept = worker.table.entry(vni(), own).map(|entry| entry.location);
        prop_assert_eq!(kept, Some(Location::Local(quiet)));
        prop_assert!(worker.totals().balanced());
    }
}
