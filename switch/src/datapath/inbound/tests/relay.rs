//! Frames that go over a third node: there, and where they arrive.

use encap::relay::{Hops, Relay};
use encap::{Format, Mtu, VtepAddr, ecn};
use fdb::Location;

use super::super::Message;
use crate::counters::{Direction::Inbound, DropReason};
use crate::datapath::frames::{Packet, is_checksum_valid, mac, wire_frames};
use crate::datapath::testing::{Lab, encapsulated, frame_to, mss, peer_vtep, syn, vni, vtep};
use crate::path::Sources;
use crate::topology::{PeerView, Topology, ViaView};

/// A member that is on no network of the lab.
const FAR: &str = "192.0.2.3:4789";

fn far(topology: &mut Topology) -> &mut PeerView {
    let index = topology.by_vtep[&vtep(FAR)];
    &mut topology.peers[usize::from(index.0)]
}

/// A node at 10.0.0.1, known as 198.51.100.1, that knows two members: the peer of the lab, which is on the network, and
/// [`FAR`]. MAC 2 is behind its first port.
fn lab() -> Lab {
    let mut lab = super::lab();
    let network = lab.network;
    lab.worker.add_peer(vtep(FAR), Format::Vxlan, network);
    lab.worker.change(|topology| {
        for (index, peer) in topology.peers.iter_mut().enumerate() {
            (peer.member, peer.learn) = (true, false);
            peer.geneve = Some(VtepAddr::new(peer.vtep.ip(), 6000 + index as u16));
        }
        topology.networks[0].flood.pop();
        far(topology).networks.clear();
        topology.encap.relay = true;
        topology.encap.own = vec![vtep("10.0.0.1:4789")];
        topology.encap.seen_as = vec![vtep("198.51.100.1:4789")];
    });
    lab
}

fn relayed(origin: VtepAddr, to: &str, hops: Hops, frame: &[u8]) -> Vec<u8> {
    let to = to.parse().unwrap();
    [&Relay { origin, to, hops }.encode(vni())[..], frame].concat()
}

/// What the peer of the lab cannot send to [`FAR`] directly.
fn to_far(hops: Hops, frame: &[u8]) -> Vec<u8> {
    relayed(peer_vtep(), "192.0.2.3", hops, frame)
}

#[test]
fn a_frame_for_another_member_is_passed_on_once() {
    let frame = Packet::udp(vec![1; 50]).plain();
    for networks in [true, false] {
        let mut lab = lab();
        if !networks {
            // Whoever only passes on need not have the network, nor be on it with the origin.
            lab.worker.change(|topology| topology.by_vni.clear());
        }
        lab.receive(Format::Geneve, &to_far(Hops::One, &frame));
        let sent = &lab.worker.sink.sent[0];
        assert_eq!((sent.route.to, sent.route.tos), (vtep("192.0.2.3:6001"), 0));
        assert_eq!(sent.octets, to_far(Hops::Zero, &frame));
        let totals = lab.worker.totals();
        assert_eq!((totals.ledger.received_from_underlay, totals.ledger.delivered_to_underlay), (1, 1));
        assert_eq!((lab.drops(), lab.deliveries()), (vec![], vec![]));
        let topology = lab.worker.topology();
        assert!(topology.peer(topology.by_vtep[&vtep(FAR)]).activity.take());
    }
}

#[test]
fn a_message_of_relayed_datagrams_is_passed_on_whole() {
    let mut lab = lab();
    let (vnet, frame) = Packet::tcp(vec![1; 9000]).super_frame(1000);
    let datagrams = |hops| wire_frames(&vnet, &frame).iter().map(|f| to_far(hops, f)).collect::<Vec<_>>();
    let message = datagrams(Hops::One);
    lab.worker.receive_one(peer_vtep(), Format::Geneve, &message.concat(), message[0].len());
    lab.worker.sink.flush();
    assert_eq!(lab.worker.sink.sent.len(), 1, "one flow, one size, one message");
    assert_eq!(lab.datagrams(), datagrams(Hops::Zero));
    assert!(lab.worker.totals().balanced());
}

#[test]
fn congestion_on_the_first_half_of_the_way_is_marked_on_the_second() {
    let mut lab = lab();
    let frame = |tos| Packet { tos, ..Packet::udp(vec![1; 50]) }.plain();
    let mut datagram = to_far(Hops::One, &frame(2));
    let len = datagram.len();
    let message =
        Message { from: peer_vtep().ip(), format: Format::Geneve, start: 0, len, stride: len, tos: 3 };
    lab.worker.receive(&[message], &mut datagram);
    lab.worker.sink.flush();
    assert_eq!(ecn::Ecn::from_tos(lab.worker.sink.sent[0].route.tos), ecn::Ecn::from_tos(3));
    assert_eq!(lab.datagrams(), [to_far(Hops::Zero, &frame(3))]);
}

#[test]
fn what_was_passed_on_is_not_passed_on_again() {
    let mut lab = lab();
    lab.receive(Format::Geneve, &to_far(Hops::Zero, &frame_to(mac(2))));
    lab.assert_dropped(DropReason::RelayRefused, Inbound, 1);
}

#[test]
fn a_node_that_is_told_not_to_passes_nothing_on() {
    let mut lab = lab();
    lab.worker.change(|topology| topology.encap.relay = false);
    lab.receive(Format::Geneve, &to_far(Hops::One, &frame_to(mac(2))));
    lab.assert_dropped(DropReason::RelayRefused, Inbound, 1);
    // What others pass on to it, it takes.
    lab.receive_from(
        vtep(FAR),
        Format::Geneve,
        &relayed(peer_vtep(), "10.0.0.1", Hops::Zero, &frame_to(mac(2))),
    );
    assert_eq!(lab.deliveries().len(), 1);
}

#[test]
fn frames_are_passed_on_to_members_that_are_up_only() {
    let changes: [fn(&mut Topology); 3] = [
        |topology| far(topology).up = false,
        |topology| (far(topology).member, far(topology).geneve) = (false, None),
        |topology| topology.by_source.retain(|ip, _| *ip != vtep(FAR).ip()),
    ];
    for change in changes {
        let mut lab = lab();
        lab.worker.change(change);
        lab.receive(Format::Geneve, &to_far(Hops::One, &frame_to(mac(2))));
        lab.assert_dropped(DropReason::PeerDown, Inbound, 1);
    }
}

#[test]
fn a_frame_is_passed_on_if_it_fits_with_its_option() {
    let frame = |octets: usize| [frame_to(mac(2)), vec![0; octets - 60]].concat();
    let room = 1280 - 28 - 48;
    let mut lab = lab();
    lab.worker.change(|topology| far(topology).path_mtu = Mtu::IPV6_MIN);
    lab.receive(Format::Geneve, &to_far(Hops::One, &frame(room)));
    assert_eq!(lab.datagrams().len(), 1);
    lab.receive(Format::Geneve, &to_far(Hops::One, &frame(room + 1)));
    lab.assert_dropped(DropReason::PktTooBig, Inbound, 1);
}

#[test]
fn what_a_static_peer_says_of_relays_is_an_option_like_any_other() {
    let mut lab = lab();
    lab.change_peer(|peer| peer.member = false);
    lab.receive(Format::Geneve, &to_far(Hops::One, &frame_to(mac(2))));
    assert_eq!(lab.deliveries()[0].frame, frame_to(mac(2)));
    assert_eq!(lab.drops(), []);
}

#[test]
fn a_frame_that_came_over_another_node_counts_as_its_origins() {
    for (to, hops) in [("10.0.0.1", Hops::Zero), ("198.51.100.1", Hops::Zero), ("10.0.0.1", Hops::One)] {
        let mut lab = lab();
        lab.receive_from(vtep(FAR), Format::Geneve, &relayed(peer_vtep(), to, hops, &frame_to(mac(2))));
        assert_eq!(lab.deliveries()[0].frame, frame_to(mac(2)));
        assert_eq!((lab.drops(), lab.learned()), (vec![], vec![]));
        // The node that passed it on is not on this network itself, nor may it speak for one that is not.
        lab.receive_from(vtep(FAR), Format::Vxlan, &encapsulated(Format::Vxlan, &frame_to(mac(2))));
        lab.receive(Format::Geneve, &relayed(vtep(FAR), to, hops, &frame_to(mac(2))));
        lab.assert_dropped(DropReason::UnknownPeer, Inbound, 2);
    }
}

#[test]
fn an_origin_that_is_no_member_is_a_stranger() {
    let mut lab = lab();
    let network = lab.network;
    lab.worker.add_peer(vtep("192.0.2.8:4789"), Format::Vxlan, network);
    for origin in ["192.0.2.8:4789", "192.0.2.99:4789", "10.0.0.1:4789"] {
        lab.receive(Format::Geneve, &relayed(vtep(origin), "10.0.0.1", Hops::Zero, &frame_to(mac(2))));
    }
    lab.assert_dropped(DropReason::UnknownPeer, Inbound, 3);
}

#[test]
fn frames_of_two_origins_in_one_message_are_told_apart() {
    let mut lab = lab();
    let datagrams = [peer_vtep(), vtep(FAR), peer_vtep()]
        .map(|origin| relayed(origin, "10.0.0.1", Hops::Zero, &frame_to(mac(2))));
    lab.worker.receive_one(vtep(FAR), Format::Geneve, &datagrams.concat(), datagrams[0].len());
    assert_eq!(lab.deliveries().len(), 2);
    assert_eq!(lab.drops(), [(DropReason::UnknownPeer, Inbound, 1)]);
}

#[test]
fn segments_that_came_over_another_node_are_joined_again() {
    let (vnet, frame) = Packet::tcp(vec![1; 9000]).super_frame(1000);
    let mut lab = lab();
    let datagrams: Vec<_> = wire_frames(&vnet, &frame)
        .iter()
        .map(|frame| relayed(peer_vtep(), "10.0.0.1", Hops::Zero, frame))
        .collect();
    lab.worker.receive_one(vtep(FAR), Format::Geneve, &datagrams.concat(), datagrams[0].len());
    let delivered = lab.deliveries().remove(0);
    assert_eq!((delivered.vnet, delivered.frame, delivered.frames), (vnet, frame, 9));
}

#[test]
fn what_came_over_another_node_goes_to_local_ports_only() {
    let mut lab = lab();
    lab.put(7, Location::Remote(vtep(FAR)));
    lab.receive(Format::Geneve, &relayed(peer_vtep(), "10.0.0.1", Hops::One, &frame_to(mac(7))));
    lab.assert_dropped(DropReason::SplitHorizon, Inbound, 1);
}

#[test]
fn a_syn_of_a_peer_asks_for_no_more_than_fits_the_way_back() {
    let (vnet, frame) = syn(&Packet::tcp(vec![]), 1460);
    let frame = wire_frames(&vnet, &frame).remove(0);
    let receive = |lab: &mut Lab, datagram: &[u8], format| {
        lab.receive(format, datagram);
        let delivered = lab.deliveries().remove(0).frame;
        assert!(is_checksum_valid(&delivered));
        mss(&delivered)
    };
    let mut lab = lab();
    lab.change_peer(|peer| peer.path_mtu = Mtu::IPV6_MIN);
    let direct = encapsulated(Format::Vxlan, &frame);
    assert_eq!(receive(&mut lab, &direct, Format::Vxlan), 1460, "not unless it is asked for");
    lab.worker.change(|topology| topology.encap.clamp_mss = true);
    assert_eq!(receive(&mut lab, &direct, Format::Vxlan), 1190);
    // The way back may lead over another node, and is that to the origin.
    let path_mtu = Mtu::new(1400).unwrap();
    lab.change_peer(|peer| {
        peer.via = Some(ViaView { to: vtep("192.0.2.3:6001"), path_mtu, dead: Sources::default() });
    });
    let datagram = relayed(peer_vtep(), "10.0.0.1", Hops::Zero, &frame);
    lab.receive_from(vtep(FAR), Format::Geneve, &datagram);
    assert_eq!(mss(&lab.deliveries()[0].frame), 1400 - 28 - 48 - 14 - 40);
}
