//! Where frames of the underlay go, and what they look like there.

use encap::coalesce::Offload;
use encap::relay::{Hops, Relay};
use encap::vnet::{Gso, VnetHeader};
use encap::{Format, MacAddr, Mtu};
use fdb::Location;

use super::{lab, receive_marked};
use crate::counters::Direction::Inbound;
use crate::counters::DropReason;
use crate::datapath::frames::{Packet, is_checksum_valid, mac, wire_frames};
use crate::datapath::testing::{Lab, encapsulated, frame_to, peer_vtep, vni, vtep};
use crate::topology::Moved;

/// Receives frames as one message, all of the first one's size.
fn receive_run(lab: &mut Lab, frames: &[Vec<u8>]) {
    let datagrams: Vec<_> = frames.iter().map(|frame| encapsulated(Format::Vxlan, frame)).collect();
    lab.worker.receive_one(peer_vtep(), Format::Vxlan, &datagrams.concat(), datagrams[0].len());
}

/// The segments of a TCP super-frame.
fn segments(packet: &Packet) -> Vec<Vec<u8>> {
    let (vnet, frame) = packet.super_frame(1000);
    wire_frames(&vnet, &frame)
}

#[test]
fn a_frame_reaches_the_port_of_its_destination_unchanged() {
    let mut lab = lab();
    lab.receive_frame(&frame_to(mac(2)));
    let delivered = lab.deliveries();
    assert_eq!(delivered.len(), 1);
    assert_eq!(
        (delivered[0].port, &delivered[0].frame, delivered[0].frames),
        (lab.port, &frame_to(mac(2)), 1)
    );
    assert_eq!(delivered[0].vnet, VnetHeader::default());
}

#[test]
fn either_format_is_received_whatever_the_peer_is_sent() {
    for sent in [Format::Vxlan, Format::Geneve] {
        let mut lab = lab();
        lab.change_peer(|peer| peer.format = sent);
        for format in [Format::Vxlan, Format::Geneve] {
            lab.receive(format, &encapsulated(format, &frame_to(mac(2))));
        }
        assert_eq!(lab.deliveries().len(), 2);
    }
}

#[test]
fn a_peer_that_has_no_route_back_is_heard_all_the_same() {
    let mut lab = lab();
    lab.change_peer(|peer| peer.up = false);
    lab.receive_frame(&frame_to(mac(2)));
    lab.assert_passed();
}

#[test]
fn a_flood_reaches_every_port_of_the_network_and_no_peer() {
    for dst in [MacAddr::BROADCAST, MacAddr::new([0x33, 0x33, 0, 0, 0, 1]), mac(9)] {
        let mut lab = lab();
        let (network, second) = (lab.network, lab.worker.add_network(encap::Vni::new(200).unwrap()));
        lab.worker.add_port(second);
        lab.worker.add_peer(vtep("192.0.2.3:4789"), Format::Vxlan, network);
        lab.receive_frame(&frame_to(dst));
        lab.worker.sink.flush();
        let ports: Vec<_> = lab.deliveries().iter().map(|delivery| delivery.port).collect();
        assert_eq!(ports, [lab.port, lab.other]);
        assert_eq!(lab.datagrams(), [] as [Vec<u8>; 0]);
        let ledger = lab.worker.totals().ledger;
        assert_eq!((ledger.received_from_underlay, ledger.copies, ledger.delivered_to_ports), (1, 1, 2));
    }
}

#[test]
fn a_run_of_segments_becomes_the_super_frame_that_it_was_cut_from() {
    for v6 in [false, true] {
        let packet = Packet { v6, ..Packet::tcp((0..20_500).map(|i| i as u8).collect()) };
        let mut lab = lab();
        receive_run(&mut lab, &segments(&packet));
        let delivered = lab.deliveries().remove(0);
        let (vnet, frame) = packet.super_frame(1000);
        assert_eq!((delivered.vnet, delivered.frame), (vnet, frame));
        let ledger = lab.worker.totals().ledger;
        assert_eq!(
            (delivered.frames, ledger.received_from_underlay, ledger.delivered_to_ports),
            (21, 21, 21)
        );
        assert!(lab.worker.totals().balanced());
    }
}

#[test]
fn nothing_is_merged_across_two_receive_batches() {
    let mut lab = lab();
    for segment in segments(&Packet::tcp(vec![1; 3000])) {
        lab.receive_frame(&segment);
    }
    let delivered = lab.deliveries();
    assert!(delivered.iter().all(|delivery| delivery.frames == 1) && delivered.len() == 3);
    assert!(delivered.iter().all(|delivery| delivery.vnet.verified && delivery.vnet.unfinished.is_none()));
}

#[test]
fn what_a_port_cannot_take_is_not_merged() {
    let mut lab = lab();
    lab.worker.set_offload(Offload { tcp: false, udp: true });
    receive_run(&mut lab, &segments(&Packet::tcp(vec![1; 3000])));
    assert_eq!(lab.deliveries().len(), 3);
    receive_run(&mut lab, &segments(&Packet::udp(vec![1; 3000])));
    assert_eq!(lab.deliveries()[0].vnet.gso, Some((Gso::Udp, 1000)));
}

#[test]
fn a_wrong_checksum_stays_wrong_stands_alone_and_is_noticed() {
    let mut frames = segments(&Packet::tcp(vec![1; 5000]));
    frames[2][100] ^= 1;
    let mut lab = lab();
    receive_run(&mut lab, &frames);
    let delivered = lab.deliveries();
    let counts: Vec<_> = delivered.iter().map(|delivery| delivery.frames).collect();
    assert_eq!(counts, [2, 1, 2]);
    assert_eq!((&delivered[1].frame, delivered[1].vnet), (&frames[2], VnetHeader::default()));
    assert!(!is_checksum_valid(&delivered[1].frame));
    assert_eq!(lab.worker.totals().notices.inner_checksum, 1);
    assert_eq!(lab.drops(), []);
}

#[test]
fn a_flooded_frame_with_a_wrong_checksum_is_one_notice() {
    let mut frame = Packet { dst: MacAddr::BROADCAST, ..Packet::udp(vec![1; 100]) }.plain();
    frame[60] ^= 1;
    let mut lab = lab();
    lab.receive_frame(&frame);
    assert_eq!(lab.deliveries().len(), 2);
    assert_eq!(lab.worker.totals().notices.inner_checksum, 1);
}

#[test]
fn a_run_that_is_flooded_reaches_each_port_as_a_super_frame() {
    let mut lab = lab();
    let packet = Packet { dst: mac(9), ..Packet::tcp(vec![1; 5000]) };
    receive_run(&mut lab, &segments(&packet));
    let delivered = lab.deliveries();
    assert_eq!(delivered.len(), 2);
    for (delivery, port) in delivered.iter().zip([lab.port, lab.other]) {
        assert_eq!((delivery.port, delivery.frames), (port, 5));
        assert_eq!((delivery.vnet, delivery.frame.clone()), packet.super_frame(1000));
    }
}

#[test]
fn a_congestion_mark_moves_into_the_frame() {
    for v6 in [false, true] {
        let frame = |tos| Packet { v6, tos, ..Packet::udp(vec![1; 50]) }.plain();
        // Inner, outer, delivered: ECT(0) takes CE and ECT(1), ECT(1) takes CE only, the DSCP stays (RFC 6040, 4.2).
        for (inner, outer, delivered) in [
            (0xba, 3, 0xbb),
            (0xb9, 3, 0xbb),
            (0xbb, 0, 0xbb),
            (0xba, 1, 0xb9),
            (0xb9, 2, 0xb9),
            (0xb8, 0xba, 0xb8),
        ] {
            let mut lab = lab();
            receive_marked(&mut lab, &frame(inner), outer);
            assert_eq!(lab.deliveries()[0].frame, frame(delivered));
            assert_eq!(lab.worker.totals().notices.inner_checksum, 0);
        }
    }
}

#[test]
fn a_marked_packet_does_not_join_an_unmarked_run() {
    let packet = Packet { tos: 2, ..Packet::tcp(vec![1; 3000]) };
    let datagrams: Vec<_> = segments(&packet).iter().map(|f| encapsulated(Format::Vxlan, f)).collect();
    let mut lab = lab();
    let mut buffer = datagrams.concat();
    let messages: Vec<_> = datagrams
        .iter()
        .zip([2, 2, 3])
        .scan(0, |start, (datagram, tos)| {
            let (from, len) = (peer_vtep().ip(), datagram.len());
            let message =
                super::Message { from, format: Format::Vxlan, start: *start, len, stride: len, tos };
            *start += len;
            Some(message)
        })
        .collect();
    lab.worker.receive(&messages, &mut buffer);
    let delivered = lab.deliveries();
    assert_eq!(delivered.iter().map(|delivery| delivery.frames).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(delivered[1].frame[15], 3);
}

#[test]
fn a_mark_on_what_is_no_ip_is_ignored() {
    let mut lab = lab();
    receive_marked(&mut lab, &frame_to(mac(2)), 3);
    assert_eq!(lab.deliveries()[0].frame, frame_to(mac(2)));
}

#[test]
fn a_refused_flood_is_counted_for_the_refusing_port_only() {
    let mut lab = lab();
    lab.worker.sink.refusing = vec![(lab.other, DropReason::TapGone)];
    lab.receive_frame(&frame_to(MacAddr::BROADCAST));
    assert_eq!(lab.drops(), [(DropReason::TapGone, Inbound, 1)]);
    assert_eq!(lab.deliveries().len(), 1);
}

#[test]
fn an_address_is_looked_up_in_the_network_of_the_datagram() {
    let mut lab = lab();
    let second = lab.worker.add_network(encap::Vni::new(200).unwrap());
    let port = lab.worker.add_port(second);
    lab.worker.table.add_static(encap::Vni::new(200).unwrap(), mac(2), Location::Local(port)).unwrap();
    lab.receive_frame(&frame_to(mac(2)));
    assert_eq!(lab.deliveries()[0].port, lab.port);
}

/// Where others know the node of [`moved_to`].
const HERE: &str = "192.0.2.1:4789";

/// A lab from whose first port MAC 2 moved a moment ago, to a node whose Geneve is at this VTEP.
fn moved_to(at: &str, path_mtu: u32) -> Lab {
    let mut lab = Lab::with_remote();
    let until = lab.worker.now + std::time::Duration::from_secs(3);
    let moved = Moved { to: vtep(at), path_mtu: Mtu::new(path_mtu).unwrap(), until };
    lab.worker.change(|topology| {
        topology.moved.insert((vni(), mac(2)), moved);
        topology.encap.seen_as = vec![vtep(HERE)];
    });
    lab
}

#[test]
fn a_stray_for_an_address_that_moved_away_is_handed_over_once() {
    let mut lab = moved_to("192.0.2.3:6081", 1500);
    let other = vtep("192.0.2.9:4789");
    let peer = lab.worker.add_peer(other, Format::Vxlan, lab.network);
    let mut stray = |member, origin| {
        lab.worker.change(|topology| topology.peers[usize::from(peer.0)].member = member);
        lab.receive_from(other, Format::Vxlan, &encapsulated(Format::Vxlan, &frame_to(mac(2))));
        let relay = Relay { origin, to: [192, 0, 2, 3].into(), hops: Hops::Zero };
        assert_eq!(lab.datagrams(), [[&relay.encode(vni())[..], &frame_to(mac(2))].concat()]);
        relay
    };
    stray(true, other);
    // Others need not know a static peer of this node.
    let relay = stray(false, vtep(HERE));
    assert_eq!(lab.drops(), []);

    // The next node has it or drops it.
    let datagram = [&relay.encode(vni())[..], &frame_to(mac(2))].concat();
    lab.receive_from(other, Format::Geneve, &datagram);
    lab.assert_dropped(DropReason::SplitHorizon, Inbound, 1);
}

#[test]
fn a_frame_that_was_handed_over_is_delivered_as_any_other() {
    let mut lab = lab();
    let relay = Relay { origin: vtep("192.0.2.9:4789"), to: [192, 0, 2, 1].into(), hops: Hops::Zero };
    lab.receive(Format::Geneve, &[&relay.encode(vni())[..], &frame_to(mac(2))].concat());
    assert_eq!(lab.deliveries()[0].frame, frame_to(mac(2)));
}

#[test]
fn strays_are_dropped_when_they_come_late_or_do_not_fit() {
    let mut late = moved_to("192.0.2.3:6081", 1500);
    late.worker.now += std::time::Duration::from_secs(3);
    late.receive_frame(&frame_to(mac(2)));
    late.assert_dropped(DropReason::SplitHorizon, Inbound, 1);

    let mut narrow = moved_to("192.0.2.3:6081", 1280);
    let frame = [&frame_to(mac(2))[..], &[0; 1200]].concat();
    narrow.receive_frame(&frame);
    narrow.assert_dropped(DropReason::PktTooBig, Inbound, 1);
}
