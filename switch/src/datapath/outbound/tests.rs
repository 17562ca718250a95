//! Which frames of a port are dropped, and why.

use std::sync::Arc;
use std::time::Duration;

use encap::vnet::{Gso, Unfinished, VnetHeader};
use encap::{Format, MacAddr, Mtu, PortId, Span};
use fdb::Location;

use super::{PortState, handle_frame};
use crate::counters::{Direction::Outbound, DropReason, PaddedCounters, Totals};
use crate::datapath::Context;
use crate::datapath::frames::{Packet, mac};
use crate::datapath::lookup::Lookup;
use crate::datapath::memory::MemorySink;
use crate::datapath::testing::{Lab, frame_to, vtep};
use crate::topology::Guard;

mod delivery;
mod learning;
mod neighbor;
mod too_big;

const MULTICAST: MacAddr = MacAddr::new([0x01, 0, 0x5e, 0, 0, 1]);

#[test]
fn under_14_octets_is_a_runt() {
    for len in [0, 13] {
        let mut lab = Lab::with_remote();
        lab.read(&frame_to(mac(2))[..len]);
        lab.assert_dropped(DropReason::Runt, Outbound, 1);
    }
    let mut lab = Lab::with_remote();
    lab.read(&frame_to(mac(2))[..14]);
    lab.assert_passed();
}

#[test]
fn what_is_dropped_is_seen_as_the_frame_that_was_read() {
    let mut lab = Lab::with_remote();
    let frame = frame_to(MacAddr::new([1, 0x80, 0xc2, 0, 0, 0]));
    lab.read(&frame);
    let seen = lab.worker.sink.dropped.pop().unwrap();
    assert_eq!((seen.reason, seen.direction), (DropReason::ReservedMac, Outbound));
    assert!(!seen.reason.drops_datagram(seen.direction));
    assert_eq!(seen.octets, frame);
}

#[test]
fn nothing_is_forwarded_while_the_daemon_stops() {
    let mut lab = Lab::with_remote();
    lab.worker.change(|topology| topology.stopping = true);
    lab.read(&frame_to(mac(2)));
    lab.assert_dropped(DropReason::Shutdown, Outbound, 1);
}

#[test]
fn a_super_frame_that_does_not_fit_its_header_is_truncated() {
    let (vnet, frame) = Packet::tcp(vec![1; 3000]).super_frame(1000);
    let unfinished = Some(Unfinished { start: u16::MAX, offset: 16 });
    let wrong = [
        (VnetHeader { gso: Some((Gso::TcpV4, 0)), ..vnet }, &frame[..]),
        (VnetHeader { gso: Some((Gso::TcpV6, 1000)), ..vnet }, &frame),
        (VnetHeader { unfinished, ..vnet }, &frame),
        (vnet, &frame[..2000]),
        (vnet, &frame[..40]),
        (vnet, &[]),
    ];
    for (vnet, frame) in wrong {
        let mut lab = Lab::with_remote();
        lab.read_super(&vnet, frame);
        lab.assert_dropped(DropReason::Truncated, Outbound, 1);
    }
}

#[test]
fn a_zero_or_group_source_is_dropped() {
    for src in [[0; 6], [0xff; 6], MULTICAST.octets()] {
        let mut lab = Lab::with_remote();
        let mut frame = frame_to(mac(2));
        frame[6..12].copy_from_slice(&src);
        lab.read(&frame);
        lab.assert_dropped(DropReason::SrcMac, Outbound, 1);
        assert_eq!(lab.learned(), []);
    }
}

#[test]
fn link_local_control_is_not_forwarded() {
    for last in 0..=0x0f {
        let mut lab = Lab::new();
        lab.read(&frame_to(MacAddr::new([0x01, 0x80, 0xc2, 0, 0, last])));
        lab.assert_dropped(DropReason::ReservedMac, Outbound, 1);
    }
    let mut lab = Lab::with_remote();
    let mut pause = frame_to(mac(2));
    pause[12..14].copy_from_slice(&[0x88, 0x08]);
    lab.read(&pause);
    lab.assert_dropped(DropReason::ReservedMac, Outbound, 1);

    let mut lab = Lab::new();
    lab.read(&frame_to(MacAddr::new([0x01, 0x80, 0xc2, 0, 0, 0x10])));
    lab.assert_passed();
}

#[test]
fn a_tagged_frame_passes_only_where_the_network_says_so() {
    let frame = Packet { vlan: Some(7), ..Packet::udp(vec![1; 100]) }.plain();
    let mut lab = Lab::with_remote();
    lab.read(&frame);
    lab.assert_dropped(DropReason::Vlan, Outbound, 1);

    let mut lab = Lab::with_remote();
    lab.change_network(|network| network.vlan_pass = true);
    lab.read(&frame);
    assert_eq!(lab.datagrams()[0][8..], frame);
}

#[test]
fn a_guarded_port_sends_from_its_own_addresses_only() {
    let send = |packet: Packet| {
        let mut lab = Lab::with_remote();
        let port = lab.port;
        let guard = Guard { mac: Some(mac(1)), addresses: vec!["10.0.0.1".parse().unwrap()] };
        lab.worker.change(|topology| topology.ports.get_mut(&port).unwrap().guard = Some(guard));
        lab.read(&packet.plain());
        lab
    };
    send(Packet::udp(vec![1])).assert_passed();
    send(Packet { src: mac(9), ..Packet::udp(vec![1]) }).assert_dropped(
        DropReason::PortSecurity,
        Outbound,
        1,
    );
    let mut spoof = send(Packet { hosts: [9, 2], ..Packet::udp(vec![1]) });
    spoof.assert_dropped(DropReason::PortSecurity, Outbound, 1);
    assert_eq!(spoof.learned(), [], "what is dropped teaches nothing");
}

#[test]
fn our_own_datagram_that_comes_back_is_a_loop() {
    let send = |hosts, port| {
        let mut lab = Lab::with_remote();
        let own = vec![vtep("10.0.0.1:4789"), vtep("10.0.0.1:6081")];
        lab.worker.change(|topology| topology.encap.own = own);
        lab.read(&Packet { hosts, ports: [40_000, port], ..Packet::udp(vec![1; 50]) }.plain());
        lab
    };
    send([1, 2], 4789).assert_dropped(DropReason::EncapLoop, Outbound, 1);
    send([1, 2], 6081).assert_dropped(DropReason::EncapLoop, Outbound, 1);
    send([1, 2], 4790).assert_passed();
    send([3, 2], 4789).assert_passed();
}

#[test]
fn a_frozen_address_sends_only_from_where_it_is_frozen() {
    let mut lab = Lab::with_remote();
    lab.freeze();
    lab.read(&frame_to(mac(2)));
    lab.read(&frame_to(mac(2)));
    lab.assert_dropped(DropReason::MacFrozen, Outbound, 2);
    let other = lab.other;
    lab.worker.read(other, &VnetHeader::default(), &mut frame_to(mac(2)));
    lab.worker.sink.flush();
    assert_eq!(lab.datagrams().len(), 1);
}

#[test]
fn a_frame_to_its_own_port_is_split_horizon() {
    let mut lab = Lab::new();
    lab.put(2, Location::Local(lab.port));
    lab.read(&frame_to(mac(2)));
    lab.assert_dropped(DropReason::SplitHorizon, Outbound, 1);
}

#[test]
fn unknown_unicast_is_dropped_where_the_network_does_not_flood_it() {
    let mut lab = Lab::new();
    lab.change_network(|network| network.flood_unknown = false);
    lab.read(&frame_to(mac(2)));
    lab.assert_dropped(DropReason::UnknownUnicast, Outbound, 1);
    lab.read(&frame_to(MacAddr::BROADCAST));
    assert_eq!(lab.datagrams().len(), 1, "a broadcast is no unknown unicast");
}

#[test]
fn a_flood_to_nobody_has_no_destination() {
    for dst in [MacAddr::BROADCAST, MULTICAST, mac(2)] {
        let mut lab = Lab::new();
        let port = lab.port;
        lab.change_network(|network| {
            network.ports = vec![port];
            network.flood.clear();
        });
        lab.read(&frame_to(dst));
        lab.assert_dropped(DropReason::NoDestination, Outbound, 1);
        assert_eq!(lab.worker.totals().ledger.copies, 0);
    }
}

/// A lab whose first port may send 10 frames of one kind a second, and 20 at once.
fn limited(multicast: bool) -> Lab {
    let mut lab = Lab::with_remote();
    let port = lab.port;
    lab.worker.change(|topology| {
        let view = topology.ports.get_mut(&port).unwrap();
        if multicast { view.multicast_pps = 10 } else { view.bum_pps = 10 }
    });
    lab
}

#[test]
fn broadcast_and_unknown_unicast_share_one_limit() {
    let mut lab = limited(false);
    for _ in 0..15 {
        lab.read(&frame_to(MacAddr::BROADCAST));
        lab.read(&frame_to(mac(9)));
    }
    assert_eq!(lab.drops(), [(DropReason::BumRate, Outbound, 10)]);
    lab.worker.now += Duration::from_millis(300);
    (0..5).for_each(|_| lab.read(&frame_to(MacAddr::BROADCAST)));
    assert_eq!(lab.drops(), [(DropReason::BumRate, Outbound, 12)]);
    // Neither multicast nor known unicast is touched by it.
    lab.read(&frame_to(MULTICAST));
    lab.read(&frame_to(mac(2)));
    assert_eq!(lab.drops(), [(DropReason::BumRate, Outbound, 12)]);
}

#[test]
fn multicast_has_a_limit_of_its_own() {
    let mut lab = limited(true);
    (0..25).for_each(|_| lab.read(&frame_to(MULTICAST)));
    lab.read(&frame_to(MacAddr::BROADCAST));
    assert_eq!(lab.drops(), [(DropReason::BumRate, Outbound, 5)]);
}

#[test]
fn a_flooded_super_frame_costs_its_segments() {
    let (vnet, frame) = Packet { dst: mac(9), ..Packet::tcp(vec![1; 12_000]) }.super_frame(1000);
    let mut lab = limited(false);
    lab.read_super(&vnet, &frame);
    lab.read_super(&vnet, &frame);
    assert_eq!(lab.drops(), [(DropReason::BumRate, Outbound, 12)]);
}

#[test]
fn a_super_frame_over_the_limit_costs_the_smaller_frames_behind_it_nothing() {
    let (vnet, frame) = Packet { dst: mac(9), ..Packet::tcp(vec![1; 21_000]) }.super_frame(1000);
    let mut lab = limited(false);
    lab.read_super(&vnet, &frame);
    (0..20).for_each(|_| lab.read(&frame_to(MacAddr::BROADCAST)));
    assert_eq!(lab.drops(), [(DropReason::BumRate, Outbound, 21)]);
}

#[test]
fn a_limit_that_stays_keeps_its_tokens_across_updates() {
    let mut lab = limited(false);
    (0..20).for_each(|_| lab.read(&frame_to(MacAddr::BROADCAST)));
    lab.worker.change(|_| ());
    lab.read(&frame_to(MacAddr::BROADCAST));
    assert_eq!(lab.drops(), [(DropReason::BumRate, Outbound, 1)]);
}

/// Each underlay and format, and the largest inner IP packet that a path of 1,500 octets carries.
const PATHS: [(&str, Format, usize); 4] = [
    ("192.0.2.2:4789", Format::Vxlan, 1450),
    ("192.0.2.2:6081", Format::Geneve, 1450),
    ("[2001:db8::2]:4789", Format::Vxlan, 1430),
    ("[2001:db8::2]:6081", Format::Geneve, 1430),
];

fn on_path(address: &str, format: Format) -> Lab {
    let mut lab = Lab::new();
    let network = lab.network;
    lab.peer = lab.worker.add_peer(vtep(address), format, network);
    lab.put(2, Location::Remote(vtep(address)));
    lab
}

#[test]
fn a_frame_of_the_path_mtu_fits_and_one_octet_more_does_not() {
    for (address, format, mtu) in PATHS {
        let mut lab = on_path(address, format);
        let frame = Packet::udp(vec![1; mtu - 28]).plain();
        lab.read(&frame);
        assert_eq!(lab.datagrams()[0].len(), 8 + 14 + mtu);
        lab.read(&Packet::udp(vec![1; mtu - 27]).plain());
        lab.assert_dropped(DropReason::PktTooBig, Outbound, 1);
    }
}

#[test]
fn of_a_super_frame_whose_boundaries_count_the_segments_must_fit() {
    for (address, format, mtu) in PATHS {
        let mut lab = on_path(address, format);
        let size = u16::try_from(mtu - 28).unwrap();
        let packet = Packet::udp(vec![1; 10_000]);
        let (vnet, frame) = packet.super_frame(size);
        lab.read_super(&vnet, &frame);
        assert_eq!(lab.datagrams()[0].len(), 8 + 14 + mtu);
        let (vnet, frame) = packet.super_frame(size + 1);
        lab.read_super(&vnet, &frame);
        lab.assert_dropped(DropReason::PktTooBig, Outbound, 10_000_u64.div_ceil(u64::from(size) + 1));
    }
}

#[test]
fn no_path_is_wide_enough_for_more_than_one_message_holds() {
    let mut lab = on_path("[2001:db8::2]:4789", Format::Vxlan);
    lab.change_peer(|peer| peer.path_mtu = Mtu::MAX);
    let frame = |len: usize| [&frame_to(mac(2))[..], &vec![0; len - 60]].concat();
    lab.read(&frame(65_535 - 56));
    assert_eq!(lab.datagrams().len(), 1);
    lab.read(&frame(65_535 - 55));
    lab.assert_dropped(DropReason::PktTooBig, Outbound, 1);
}

#[test]
fn a_peer_that_is_down_gets_nothing() {
    let mut lab = Lab::with_remote();
    lab.change_peer(|peer| peer.up = false);
    lab.read(&frame_to(mac(2)));
    lab.assert_dropped(DropReason::PeerDown, Outbound, 1);
    lab.read(&frame_to(MacAddr::BROADCAST));
    assert_eq!(lab.drops(), [(DropReason::PeerDown, Outbound, 2)]);
    assert_eq!(lab.deliveries().len(), 1, "the other port still gets the flood");
}

#[test]
fn an_address_behind_a_vtep_that_is_no_peer_any_more_is_behind_a_peer_that_is_down() {
    let mut lab = Lab::with_remote();
    lab.worker.change(|topology| topology.by_vtep.clear());
    lab.read(&frame_to(mac(2)));
    lab.assert_dropped(DropReason::PeerDown, Outbound, 1);
}

#[test]
fn an_address_behind_a_port_that_is_gone_is_dropped() {
    let mut lab = Lab::new();
    lab.put(2, Location::Local(PortId::new(99)));
    lab.read(&frame_to(mac(2)));
    lab.assert_dropped(DropReason::TapGone, Outbound, 1);
}

#[test]
fn a_port_that_is_gone_sends_nothing() {
    let lab = Lab::with_remote();
    let (topology, counters) = (lab.worker.topology(), Arc::new(PaddedCounters::default()));
    let mut port = PortState::new(PortId::new(99), &topology.ports[&lab.port], lab.worker.now);
    let cx = Context { topology, counters: &counters, worker: 0, now: lab.worker.now, source_ports: 1 };
    let mut sink = MemorySink::new(Arc::clone(&counters), 1);
    let (vnet, mut frame) = (VnetHeader::default(), frame_to(mac(2)));
    handle_frame(
        &cx,
        &mut Lookup::new(Arc::default()),
        &mut port,
        (&vnet, Span::new(0, frame.len()), &mut frame),
        &mut sink,
    );
    assert_eq!(counters.dropped(DropReason::TapGone, Outbound), 1);
    assert!(Totals::of([&**counters]).balanced() && sink.events.is_empty());
}
