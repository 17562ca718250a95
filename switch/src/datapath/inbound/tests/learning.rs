//! Who is heard, and what frames of the underlay teach.

use std::time::Duration;

use encap::Format;
use fdb::Location;

use super::lab;
use crate::datapath::frames::mac;
use crate::datapath::testing::{Lab, encapsulated, frame_to, peer_vtep, vtep};
use crate::events::WorkerEvent;
use crate::topology::{Guard, PeerIndex};

#[test]
fn the_source_is_learned_behind_the_vtep_of_the_peer() {
    let mut lab = lab();
    let there = Location::Remote(peer_vtep());
    // The UDP source port is the sender's entropy and says nothing of where its VTEP listens.
    let datagram = encapsulated(Format::Vxlan, &frame_to(mac(2)));
    (0..3).for_each(|_| lab.receive_from(vtep("192.0.2.2:51515"), Format::Vxlan, &datagram));
    assert_eq!(lab.learned(), [(mac(1), there)]);
}

#[test]
fn a_known_source_is_refreshed_ten_times_in_its_lifetime() {
    let mut lab = lab();
    lab.receive_frame(&frame_to(mac(2)));
    lab.worker.learn();
    lab.receive_frame(&frame_to(mac(2)));
    lab.learned();
    for _ in 0..300 {
        lab.worker.now += Duration::from_secs(1);
        lab.receive_frame(&frame_to(mac(2)));
    }
    assert_eq!(lab.learned().len(), 10);
}

#[test]
fn a_source_that_moved_here_from_a_port_is_told_at_once() {
    let mut lab = lab();
    lab.put(9, Location::Remote(peer_vtep()));
    lab.read(&frame_to(mac(9)));
    lab.worker.learn();
    lab.receive_frame(&frame_to(mac(2)));
    assert_eq!(lab.learned(), [(mac(1), Location::Remote(peer_vtep()))]);
}

/// Makes the peer one that is heard under prefixes, and adds another under a longer one.
fn prefixes(lab: &mut Lab) -> PeerIndex {
    let (network, short) = (lab.network, lab.peer);
    let long = lab.worker.add_peer(vtep("198.51.100.1:4789"), Format::Vxlan, network);
    lab.worker.change(|topology| {
        for peer in [short, long] {
            topology.peers[usize::from(peer.0)].learn = false;
        }
        topology.by_source.clear();
        topology.by_vtep.clear();
        topology.networks[usize::from(network.0)].flood.clear();
        topology.prefixes =
            vec![("203.0.113.128/25".parse().unwrap(), long), ("203.0.113.0/24".parse().unwrap(), short)];
    });
    long
}

#[test]
fn a_prefix_is_heard_and_nothing_is_learned_from_it() {
    let mut lab = lab();
    prefixes(&mut lab);
    let datagram = encapsulated(Format::Vxlan, &frame_to(mac(2)));
    lab.receive_from(vtep("203.0.113.7:4789"), Format::Vxlan, &datagram);
    lab.receive_from(vtep("203.0.113.200:4789"), Format::Vxlan, &datagram);
    assert_eq!(lab.deliveries().len(), 2);
    assert_eq!(lab.learned(), []);
}

#[test]
fn the_longest_prefix_and_before_it_the_address_decides() {
    let mut lab = lab();
    let long = prefixes(&mut lab);
    let index = usize::from(long.0);
    lab.worker.change(|topology| topology.peers[index].networks.clear());
    let datagram = encapsulated(Format::Vxlan, &frame_to(mac(2)));
    lab.receive_from(vtep("203.0.113.7:4789"), Format::Vxlan, &datagram);
    lab.receive_from(vtep("203.0.113.200:4789"), Format::Vxlan, &datagram);
    assert_eq!(lab.deliveries().len(), 1);
    let network = lab.network;
    lab.worker.add_peer(vtep("203.0.113.200:4789"), Format::Vxlan, network);
    lab.receive_from(vtep("203.0.113.200:4789"), Format::Vxlan, &datagram);
    assert_eq!(lab.deliveries().len(), 1);
    assert_eq!(lab.learned().len(), 1);
}

#[test]
fn the_second_frame_of_a_flow_hits_the_cache_and_a_change_forgets() {
    let mut lab = lab();
    let misses = |lab: &Lab| lab.worker.totals().batching.cache_misses;
    (0..5).for_each(|_| lab.receive_frame(&frame_to(mac(2))));
    assert_eq!((misses(&lab), lab.worker.totals().batching.cache_hits), (1, 4));
    lab.worker.change(|_| ());
    lab.receive_frame(&frame_to(mac(2)));
    assert_eq!(misses(&lab), 2);
}

#[test]
fn a_group_destination_is_not_looked_up() {
    let mut lab = lab();
    lab.receive_frame(&frame_to(encap::MacAddr::BROADCAST));
    let batching = lab.worker.totals().batching;
    assert_eq!((batching.cache_hits, batching.cache_misses), (0, 0));
}

/// A DHCP server's acknowledgement that gives 10.0.0.7 to MAC 2.
fn acknowledgement() -> Vec<u8> {
    let mut frame = vec![0; 290];
    frame[..6].copy_from_slice(&mac(2).octets());
    frame[6..12].copy_from_slice(&mac(1).octets());
    frame[12..15].copy_from_slice(&[8, 0, 0x45]);
    frame[23] = 17;
    frame[34..38].copy_from_slice(&[0, 67, 0, 68]);
    frame[42..45].copy_from_slice(&[2, 1, 6]);
    frame[58..62].copy_from_slice(&[10, 0, 0, 7]);
    frame[70..76].copy_from_slice(&mac(2).octets());
    frame[278..285].copy_from_slice(&[99, 130, 83, 99, 53, 1, 5]);
    frame
}

fn bindings(lab: &mut Lab) -> Vec<(std::net::IpAddr, encap::MacAddr, encap::PortId)> {
    let events = std::mem::take(&mut lab.worker.sink.events);
    let bound = events.into_iter().filter_map(|event| match event {
        WorkerEvent::Bind { told, port, .. } => Some((told.ip, told.mac, port)),
        _ => None,
    });
    bound.collect()
}

#[test]
fn an_address_that_a_dhcp_server_gives_to_a_pod_here_is_told_if_the_port_may_have_it() {
    for (addresses, expected) in
        [(vec![], true), (vec![[10, 0, 0, 7].into()], true), (vec![[10, 0, 0, 8].into()], false)]
    {
        let mut lab = lab();
        lab.change_network(|network| network.suppress = true);
        let (port, guard) = (lab.port, Guard { mac: None, addresses });
        lab.worker.change(|topology| topology.ports.get_mut(&port).unwrap().guard = Some(guard));
        lab.receive_frame(&acknowledgement());
        let told: Vec<_> = expected.then_some(([10, 0, 0, 7].into(), mac(2), port)).into_iter().collect();
        assert_eq!(bindings(&mut lab), told);
    }

    let mut elsewhere = Lab::with_remote();
    elsewhere.change_network(|network| network.suppress = true);
    elsewhere.receive_frame(&acknowledgement());
    assert_eq!(bindings(&mut elsewhere), []);
}
