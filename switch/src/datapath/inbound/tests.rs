//! Which datagrams are dropped, and why.

use encap::coalesce::Offload;
use encap::{Format, MacAddr, PortId, Vni, tunnel};
use fdb::Location;

use super::Message;
use crate::counters::{Direction::Inbound, DropReason};
use crate::datapath::frames::{Packet, mac};
use crate::datapath::testing::{Lab, encapsulated, frame_to, peer_vtep, vtep};
use crate::events::MAX_LOADED;

mod delivery;
mod learning;
mod relay;

/// A lab that knows MAC 2 behind its first port.
fn lab() -> Lab {
    let mut lab = Lab::new();
    lab.put(2, Location::Local(lab.port));
    lab
}

fn assert_dropped(format: Format, datagram: &[u8], reason: DropReason) {
    let mut lab = lab();
    lab.receive(format, datagram);
    lab.assert_dropped(reason, Inbound, 1);
    assert_eq!(lab.learned(), [], "what is dropped teaches nothing");
}

#[test]
fn a_stranger_is_not_heard() {
    let mut lab = lab();
    lab.receive_from(vtep("192.0.2.99:4789"), Format::Vxlan, &encapsulated(Format::Vxlan, &frame_to(mac(2))));
    lab.assert_dropped(DropReason::UnknownPeer, Inbound, 1);
}

#[test]
fn nothing_is_delivered_while_the_daemon_stops() {
    let mut lab = lab();
    lab.worker.change(|topology| topology.stopping = true);
    lab.receive_frame(&frame_to(mac(2)));
    lab.assert_dropped(DropReason::Shutdown, Inbound, 1);
}

#[test]
fn a_message_of_a_stranger_counts_its_datagrams() {
    let mut lab = lab();
    lab.worker.receive_one(vtep("192.0.2.99:4789"), Format::Vxlan, &[0; 250], 100);
    lab.assert_dropped(DropReason::UnknownPeer, Inbound, 3);
    let octets = lab.worker.totals().drop_octets[DropReason::UnknownPeer as usize];
    assert_eq!(octets, [250, 0], "of all, not of the first");
}

#[test]
fn a_peer_is_known_by_its_address_whatever_port_it_sends_from() {
    let mut lab = lab();
    lab.receive_from(vtep("192.0.2.2:50000"), Format::Vxlan, &encapsulated(Format::Vxlan, &frame_to(mac(2))));
    lab.assert_passed();
}

#[test]
fn a_peer_is_heard_on_its_own_networks_only() {
    let mut lab = lab();
    lab.change_peer(|peer| peer.networks.clear());
    lab.receive_frame(&frame_to(mac(2)));
    lab.assert_dropped(DropReason::UnknownPeer, Inbound, 1);
}

#[test]
fn a_network_that_is_not_here_is_dropped() {
    let frame = frame_to(mac(2));
    for format in [Format::Vxlan, Format::Geneve] {
        let header = tunnel::encode(format, Vni::new(101).unwrap());
        assert_dropped(format, &[&header[..], &frame].concat(), DropReason::UnknownVni);
    }
}

#[test]
fn a_datagram_without_a_whole_header_is_truncated() {
    for format in [Format::Vxlan, Format::Geneve] {
        let datagram = encapsulated(format, &frame_to(mac(2)));
        (0..8).for_each(|len| assert_dropped(format, &datagram[..len], DropReason::Truncated));
    }
}

#[test]
fn an_inner_frame_under_14_octets_is_a_runt() {
    for format in [Format::Vxlan, Format::Geneve] {
        let datagram = encapsulated(format, &frame_to(mac(2)));
        (8..22).for_each(|len| assert_dropped(format, &datagram[..len], DropReason::Runt));
        let mut lab = lab();
        lab.receive(format, &datagram[..22]);
        assert_eq!(lab.deliveries()[0].frame, &frame_to(mac(2))[..14]);
    }
}

#[test]
fn vxlan_without_the_i_flag_has_no_vni() {
    let mut datagram = encapsulated(Format::Vxlan, &frame_to(mac(2)));
    datagram[0] = 0xf7;
    assert_dropped(Format::Vxlan, &datagram, DropReason::VxlanNoVni);
}

#[test]
fn reserved_vxlan_bits_drop_only_when_strict() {
    for (at, bit) in [(0, 0x80), (1, 1), (2, 1), (3, 1), (7, 1)] {
        let mut datagram = encapsulated(Format::Vxlan, &frame_to(mac(2)));
        datagram[at] |= bit;
        let mut lab = lab();
        lab.receive(Format::Vxlan, &datagram);
        lab.assert_passed();
        lab.worker.change(|topology| topology.encap.vxlan_strict = true);
        lab.receive(Format::Vxlan, &datagram);
        lab.assert_dropped(DropReason::VxlanReserved, Inbound, 1);
    }
}

/// A Geneve datagram whose first four octets and options are these.
fn geneve(first: [u8; 4], options: &[u8]) -> Vec<u8> {
    [&first[..], &[0, 0, 100, 0], options, &frame_to(mac(2))].concat()
}

#[test]
fn geneve_of_another_version_control_or_protocol_is_dropped() {
    assert_dropped(Format::Geneve, &geneve([0x40, 0, 0x65, 0x58], &[]), DropReason::GeneveVersion);
    assert_dropped(Format::Geneve, &geneve([0, 0x80, 0x65, 0x58], &[]), DropReason::GeneveControl);
    assert_dropped(Format::Geneve, &geneve([0, 0, 0x08, 0x00], &[]), DropReason::GeneveProtocol);
}

#[test]
fn geneve_options_that_do_not_add_up_are_dropped() {
    let datagram = geneve([2, 0, 0x65, 0x58], &[1, 2, 3, 2, 0, 0, 0, 0]);
    assert_dropped(Format::Geneve, &datagram, DropReason::GeneveOptions);
    assert_dropped(Format::Geneve, &geneve([63, 0, 0x65, 0x58], &[]), DropReason::GeneveOptions);
}

#[test]
fn an_unknown_geneve_option_is_skipped_unless_it_is_critical() {
    let datagram = |kind, flags| geneve([2, flags, 0x65, 0x58], &[1, 2, kind, 1, 0, 0, 0, 0]);
    for flags in [0, 0x40] {
        assert_dropped(Format::Geneve, &datagram(0x83, flags), DropReason::GeneveCritical);
        let mut lab = lab();
        lab.receive(Format::Geneve, &datagram(3, flags));
        assert_eq!(lab.deliveries()[0].frame, frame_to(mac(2)));
    }
}

#[test]
fn a_zero_or_group_source_is_dropped() {
    for src in [[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
        let mut frame = frame_to(mac(2));
        frame[6..12].copy_from_slice(&src);
        assert_dropped(Format::Vxlan, &encapsulated(Format::Vxlan, &frame), DropReason::SrcMac);
    }
}

#[test]
fn link_local_control_is_not_forwarded() {
    let lldp = frame_to(MacAddr::new([0x01, 0x80, 0xc2, 0, 0, 0x0e]));
    assert_dropped(Format::Vxlan, &encapsulated(Format::Vxlan, &lldp), DropReason::ReservedMac);
    let mut pause = frame_to(mac(2));
    pause[12..14].copy_from_slice(&[0x88, 0x08]);
    assert_dropped(Format::Vxlan, &encapsulated(Format::Vxlan, &pause), DropReason::ReservedMac);
}

#[test]
fn a_tagged_frame_passes_only_where_the_network_says_so() {
    let frame = Packet { vlan: Some(7), ..Packet::udp(vec![1; 100]) }.plain();
    assert_dropped(Format::Vxlan, &encapsulated(Format::Vxlan, &frame), DropReason::Vlan);
    let mut lab = lab();
    lab.change_network(|network| network.vlan_pass = true);
    lab.receive_frame(&frame);
    assert_eq!(lab.deliveries()[0].frame, frame);
}

#[test]
fn a_frozen_address_is_not_heard_from_elsewhere() {
    let mut lab = lab();
    lab.freeze();
    lab.receive_frame(&frame_to(mac(2)));
    lab.receive_frame(&frame_to(mac(2)));
    lab.assert_dropped(DropReason::MacFrozen, Inbound, 2);
}

#[test]
fn what_came_from_a_tunnel_goes_into_none() {
    let mut lab = lab();
    let network = lab.network;
    lab.worker.add_peer(vtep("192.0.2.3:4789"), Format::Vxlan, network);
    for (last, at) in [(3, peer_vtep()), (4, vtep("192.0.2.3:4789")), (5, vtep("192.0.2.4:4789"))] {
        lab.put(last, Location::Remote(at)); // the last one is no peer, or not any more
        lab.receive_frame(&frame_to(mac(last)));
    }
    lab.assert_dropped(DropReason::SplitHorizon, Inbound, 3);
}

#[test]
fn unknown_unicast_is_dropped_where_the_network_does_not_flood_it() {
    let mut lab = lab();
    lab.change_network(|network| network.flood_unknown = false);
    lab.receive_frame(&frame_to(mac(9)));
    lab.assert_dropped(DropReason::UnknownUnicast, Inbound, 1);
}

#[test]
fn a_flood_without_ports_has_no_destination() {
    for dst in [MacAddr::BROADCAST, mac(9)] {
        let mut lab = lab();
        lab.change_network(|network| network.ports.clear());
        lab.receive_frame(&frame_to(dst));
        lab.assert_dropped(DropReason::NoDestination, Inbound, 1);
    }
}

#[test]
fn an_address_behind_a_port_that_is_gone_is_dropped() {
    let mut lab = lab();
    lab.put(9, Location::Local(PortId::new(99)));
    lab.receive_frame(&frame_to(mac(9)));
    lab.assert_dropped(DropReason::TapGone, Inbound, 1);
}

#[test]
fn a_congestion_mark_on_a_packet_that_cannot_carry_it_is_a_drop() {
    for v6 in [false, true] {
        let mut lab = lab();
        receive_marked(&mut lab, &Packet { v6, ..Packet::udp(vec![1; 50]) }.plain(), 3);
        lab.assert_dropped(DropReason::IpTunnelEcn, Inbound, 1);
    }
}

/// Receives a frame in a packet with this outer TOS.
fn receive_marked(lab: &mut Lab, frame: &[u8], tos: u8) {
    let mut datagram = encapsulated(Format::Vxlan, frame);
    let (from, len) = (peer_vtep().ip(), datagram.len());
    let message = Message { from, format: Format::Vxlan, start: 0, len, stride: len, tos };
    lab.worker.receive(&[message], &mut datagram);
}

#[test]
fn a_datagram_that_is_dropped_costs_its_message_nothing() {
    let good = encapsulated(Format::Vxlan, &Packet::udp(vec![1; 58]).plain());
    let mut bad = good.clone();
    bad[0] = 0;
    let mut lab = lab();
    lab.worker.set_offload(Offload { tcp: false, udp: false });
    let message = [&good[..], &bad, &good, &good[..60]].concat();
    lab.worker.receive_one(peer_vtep(), Format::Vxlan, &message, 108);
    assert_eq!(lab.drops(), [(DropReason::VxlanNoVni, Inbound, 1)]);
    let lens: Vec<_> = lab.deliveries().iter().map(|delivery| delivery.frame.len()).collect();
    assert_eq!(lens, [100, 100, 52]);
    assert_eq!(lab.worker.totals().ledger.received_from_underlay, 4);
}

#[test]
fn a_refusing_device_is_counted_with_all_frames_of_the_write() {
    let mut lab = lab();
    lab.worker.sink.refusing = vec![(lab.port, DropReason::TapFull)];
    let datagram = encapsulated(Format::Vxlan, &Packet::udp(vec![1; 100]).plain());
    lab.worker.receive_one(peer_vtep(), Format::Vxlan, &datagram.repeat(7), datagram.len());
    lab.assert_dropped(DropReason::TapFull, Inbound, 7);
}

#[test]
fn what_is_dropped_is_seen_as_a_datagram_until_it_is_a_ports() {
    let datagram = encapsulated(Format::Vxlan, &Packet::udp(vec![1; 100]).plain());
    let seen = |lab: &mut Lab| std::mem::take(&mut lab.worker.sink.dropped).pop().unwrap();
    let mut lab = lab();
    lab.receive_from(vtep("192.0.2.99:4789"), Format::Vxlan, &datagram);
    let stranger = seen(&mut lab);
    assert!(stranger.reason.drops_datagram(stranger.direction));
    assert_eq!(stranger.octets, datagram);
    lab.worker.sink.refusing = vec![(lab.port, DropReason::TapFull)];
    lab.receive(Format::Vxlan, &datagram);
    let refused = seen(&mut lab);
    assert!(!refused.reason.drops_datagram(refused.direction));
    assert_eq!(refused.octets, datagram[8..]);
}

#[test]
fn of_control_datagrams_that_carry_a_frame_no_more_are_taken_than_may_cost_memory() {
    let mut lab = lab();
    lab.change_peer(|peer| peer.member = true);
    lab.worker.sink.loads = 2;
    let control = |len: usize| {
        let head = encap::control::write_head(Format::Vxlan, u16::try_from(len).unwrap());
        [head.octets(), &vec![7; len]].concat()
    };
    for len in [300, 200, MAX_LOADED, 400, 200] {
        lab.receive(Format::Vxlan, &control(len));
    }
    let taken: Vec<_> = lab.worker.sink.control.iter().map(|taken| taken.sealed().len()).collect();
    assert_eq!((taken, lab.drops()), (vec![300, 200, MAX_LOADED, 200], vec![]));
    let notices = lab.worker.totals().notices;
    assert_eq!((notices.control_received, notices.control_lost), (5, 1));
}
