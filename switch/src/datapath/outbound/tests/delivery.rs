//! Where frames of a port go, and what they look like there.

use encap::vnet::VnetHeader;
use encap::{Format, MacAddr, PortId, tunnel};
use fdb::Location;

use crate::counters::{Direction::Outbound, DropReason};
use crate::datapath::frames::{ACK, PSH, Packet, is_checksum_valid, mac, wire_frames};
use crate::datapath::testing::{Lab, encapsulated, frame_to, peer_vtep, vni, vtep};
use crate::path::Sources;
use crate::topology::PeerIndex;

#[test]
fn a_frame_to_a_peer_leaves_unchanged_behind_a_header_of_its_format() {
    for format in [Format::Vxlan, Format::Geneve] {
        let mut lab = Lab::with_remote();
        lab.change_peer(|peer| peer.format = format);
        lab.read(&frame_to(mac(2)));
        let sent = &lab.worker.sink.sent[0];
        assert_eq!((sent.route.to, sent.route.tos), (peer_vtep(), 0));
        assert_eq!(sent.octets, encapsulated(format, &frame_to(mac(2))));
        assert_eq!(lab.worker.totals().ledger.delivered_to_underlay, 1);
        assert_eq!(lab.deliveries(), []);
    }
}

#[test]
fn runts_of_14_to_59_octets_are_not_padded() {
    let mut lab = Lab::with_remote();
    for len in 14..60 {
        lab.read(&frame_to(mac(2))[..len]);
        assert_eq!(lab.datagrams()[0].len(), 8 + len);
    }
}

#[test]
fn a_super_frame_leaves_as_its_segments_in_one_message() {
    for (v6, vlan) in [(false, None), (true, None), (false, Some(5)), (true, Some(5))] {
        let packet = Packet {
            v6,
            vlan,
            flags: ACK | PSH,
            options: 3,
            ..Packet::tcp((0..30_000).map(|i| i as u8).collect())
        };
        let (vnet, frame) = packet.super_frame(1300);
        let mut lab = Lab::with_remote();
        lab.change_network(|network| network.vlan_pass = true);
        lab.read_super(&vnet, &frame);
        assert_eq!(lab.worker.sink.sent.len(), 1);
        let expected: Vec<_> =
            wire_frames(&vnet, &frame).iter().map(|f| encapsulated(Format::Vxlan, f)).collect();
        assert_eq!(lab.datagrams(), expected);
        assert!(expected.iter().all(|datagram| is_checksum_valid(&datagram[tunnel::HEADER_LEN..])));
        assert_eq!(lab.worker.totals().ledger.received_from_ports, 24);
        assert_eq!(lab.worker.totals().ledger.delivered_to_underlay, 24);
    }
}

#[test]
fn a_checksum_is_finished_before_encapsulation() {
    for udp in [false, true] {
        let (vnet, frame) = Packet { udp, ..Packet::tcp(vec![7; 333]) }.unfinished();
        assert!(!is_checksum_valid(&frame));
        let mut lab = Lab::with_remote();
        lab.read_super(&vnet, &frame);
        assert!(is_checksum_valid(&lab.datagrams()[0][8..]));
    }
}

#[test]
fn a_local_port_takes_a_super_frame_untouched() {
    let packet = Packet::tcp(vec![1; 40_000]);
    for (vnet, frame) in [packet.super_frame(1400), packet.unfinished()] {
        let mut lab = Lab::new();
        lab.put(2, Location::Local(lab.other));
        lab.read_super(&vnet, &frame);
        let delivered = lab.deliveries().remove(0);
        assert_eq!((delivered.port, delivered.vnet, delivered.frame), (lab.other, vnet, frame));
        assert_eq!(delivered.frames, vnet.gso.map_or(1, |_| 29));
        assert_eq!(lab.datagrams(), [] as [Vec<u8>; 0]);
    }
}

/// A lab with three more ports, and two more peers, one by Geneve over IPv6.
fn crowd() -> (Lab, Vec<PortId>, Vec<PeerIndex>) {
    let mut lab = Lab::new();
    let network = lab.network;
    let mut ports = vec![lab.other];
    ports.extend((0..3).map(|_| lab.worker.add_port(network)));
    let second = lab.worker.add_peer(vtep("192.0.2.3:4789"), Format::Vxlan, network);
    let third = lab.worker.add_peer(vtep("[2001:db8::4]:6081"), Format::Geneve, network);
    let peers = vec![lab.peer, second, third];
    (lab, ports, peers)
}

#[test]
fn a_flood_goes_to_everybody_once_but_not_back() {
    for dst in [MacAddr::BROADCAST, MacAddr::new([0x33, 0x33, 0, 0, 0, 1]), mac(9)] {
        let (mut lab, ports, peers) = crowd();
        lab.read(&frame_to(dst));
        let delivered: Vec<_> = lab.deliveries().iter().map(|delivery| delivery.port).collect();
        assert_eq!(delivered, ports);
        let vteps: Vec<_> = lab.worker.sink.sent.iter().map(|message| message.route.to).collect();
        let expected: Vec<_> = peers.iter().map(|&peer| lab.worker.topology().peer(peer).vtep).collect();
        assert_eq!(vteps, expected);
        assert_eq!(lab.datagrams()[2], encapsulated(Format::Geneve, &frame_to(dst)));
        let ledger = lab.worker.totals().ledger;
        assert_eq!((ledger.received_from_ports, ledger.copies), (1, 6));
    }
}

#[test]
fn copies_of_a_flooded_super_frame_count_its_segments() {
    let (vnet, frame) = Packet { dst: mac(9), ..Packet::tcp(vec![1; 10_000]) }.super_frame(1000);
    let (mut lab, ports, peers) = crowd();
    lab.read_super(&vnet, &frame);
    let ledger = lab.worker.totals().ledger;
    assert_eq!((ledger.received_from_ports, ledger.copies), (10, 60));
    assert_eq!(ledger.delivered_to_ports, 10 * ports.len() as u64);
    assert_eq!(ledger.delivered_to_underlay, 10 * peers.len() as u64);
}

#[test]
fn in_a_flood_ports_get_the_unfinished_checksum_and_peers_the_finished_one() {
    let (vnet, frame) = Packet { dst: mac(9), ..Packet::udp(vec![1; 100]) }.unfinished();
    let (mut lab, ..) = crowd();
    lab.read_super(&vnet, &frame);
    assert!(lab.deliveries().iter().all(|delivery| (&delivery.vnet, &delivery.frame) == (&vnet, &frame)));
    assert!(lab.datagrams().iter().all(|datagram| is_checksum_valid(&datagram[8..])));
}

#[test]
fn a_flood_that_is_too_big_for_one_peer_reaches_the_others() {
    // 1,450 octets of IP fit over IPv4 and not over IPv6.
    let frame = Packet { dst: mac(9), ..Packet::udp(vec![1; 1450 - 28]) }.plain();
    let (mut lab, ports, _) = crowd();
    lab.read(&frame);
    assert_eq!(lab.drops(), [(DropReason::PktTooBig, Outbound, 1)]);
    assert_eq!((lab.datagrams().len(), lab.deliveries().len()), (2, ports.len()));
}

#[test]
fn a_network_floods_to_its_own_peers_and_ports_only() {
    let mut lab = Lab::new();
    let second = lab.worker.add_network(encap::Vni::new(200).unwrap());
    lab.worker.add_port(second);
    lab.worker.add_peer(vtep("192.0.2.3:4789"), Format::Vxlan, second);
    lab.read(&frame_to(MacAddr::BROADCAST));
    assert_eq!((lab.datagrams().len(), lab.deliveries().len()), (1, 1));
}

#[test]
fn an_address_is_looked_up_in_the_network_of_its_port() {
    let mut lab = Lab::with_remote();
    let second = lab.worker.add_network(encap::Vni::new(200).unwrap());
    lab.worker.change(|topology| topology.networks[usize::from(second.0)].flood_unknown = false);
    let port = lab.worker.add_port(second);
    lab.worker.read(port, &VnetHeader::default(), &mut frame_to(mac(2)));
    lab.assert_dropped(DropReason::UnknownUnicast, Outbound, 1);
}

#[test]
fn a_refusing_device_is_counted_and_the_flood_goes_on() {
    let (mut lab, ports, peers) = crowd();
    lab.worker.sink.refusing = vec![(ports[0], DropReason::TapFull), (ports[1], DropReason::TapGone)];
    lab.read(&frame_to(MacAddr::BROADCAST));
    assert_eq!(lab.drops(), [(DropReason::TapFull, Outbound, 1), (DropReason::TapGone, Outbound, 1)]);
    assert_eq!((lab.deliveries().len(), lab.datagrams().len()), (ports.len() - 2, peers.len()));
}

#[test]
fn ecn_is_copied_out_and_dscp_only_when_inherited() {
    for v6 in [false, true] {
        for (tos, inherit, outer) in
            [(0xb8, false, 0), (0xba, false, 2), (0xbb, true, 0xbb), (0xb9, true, 0xb9)]
        {
            let mut lab = Lab::with_remote();
            lab.worker.change(|topology| topology.encap.dscp_inherit = inherit);
            let packet = Packet { v6, tos, ..Packet::tcp(vec![1; 5000]) };
            let (vnet, frame) = packet.super_frame(1000);
            lab.read_super(&vnet, &frame);
            lab.read(&packet.plain()[..100]); // no IP any more: its length says otherwise
            let tos: Vec<_> = lab.worker.sink.sent.iter().map(|message| message.route.tos).collect();
            assert_eq!(tos, [outer, 0]);
        }
    }
}

#[test]
fn a_flow_keeps_its_source_port_and_flows_spread() {
    let mut lab = Lab::with_remote();
    let mut used = Vec::new();
    for port in 0..200 {
        let flow = |payload| Packet { ports: [port, 53], ..Packet::udp(payload) };
        let (vnet, frame) = flow(vec![1; 3000]).super_frame(500);
        lab.read_super(&vnet, &frame);
        lab.read(&flow(vec![2; 80]).plain());
        let sources: Vec<_> = lab.worker.sink.sent.drain(..).map(|message| message.route.source).collect();
        assert!(sources.iter().all(|&source| source == sources[0]));
        used.push(sources[0]);
    }
    used.sort_unstable();
    used.dedup();
    assert_eq!(used, (0..16).collect::<Vec<_>>());
}

#[test]
fn one_source_port_serves_every_flow() {
    let mut lab = Lab::with_remote();
    lab.worker.source_ports = 1;
    for port in 0..50 {
        lab.read(&Packet { ports: [port, 53], ..Packet::udp(vec![1]) }.plain());
    }
    assert!(lab.worker.sink.sent.iter().all(|message| message.route.source == 0));
}

#[test]
fn more_routes_than_one_batch_holds_all_leave() {
    let mut lab = Lab::new();
    let network = lab.network;
    for last in 3..=202 {
        let at = vtep(&format!("192.0.2.{last}:4789"));
        lab.worker.add_peer(at, Format::Vxlan, network);
    }
    lab.read(&frame_to(MacAddr::BROADCAST));
    let sent: Vec<_> = lab.worker.sink.sent.iter().map(|message| message.route.to).collect();
    assert_eq!(sent.len(), 201);
    assert!(sent.windows(2).all(|pair| pair[0] < pair[1]), "in the order of the flood list");
}

#[test]
fn the_vni_on_the_wire_is_that_of_the_network() {
    let mut lab = Lab::with_remote();
    lab.read(&frame_to(mac(2)));
    assert_eq!(tunnel::decode(Format::Vxlan, &lab.datagrams()[0], true), Ok((vni(), 8)));
}

#[test]
fn flows_of_a_dead_source_port_take_another_one_and_all_others_stay() {
    let mut lab = Lab::with_remote();
    let sources = |lab: &mut Lab| -> Vec<u16> {
        (0..200)
            .map(|n| {
                let packet = Packet { ports: [1_000 + n, 80], ..Packet::tcp(vec![1]) };
                lab.read(&packet.plain());
                lab.worker.sink.sent.remove(0).route.source
            })
            .collect()
    };
    let before = sources(&mut lab);
    let dead = before[0];
    lab.change_peer(|peer| peer.dead = Sources::default().with(dead));
    let after = sources(&mut lab);
    assert!(before.iter().filter(|source| **source == dead).count() > 1);
    assert!(!after.contains(&dead));
    for (before, after) in before.iter().zip(&after).filter(|(before, _)| **before != dead) {
        assert_eq!(before, after);
    }
}
