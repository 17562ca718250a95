//! What becomes of frames that do not fit the path to their peer, and of SYNs that ask for too much.

use std::net::SocketAddr;
use std::time::Duration;

use encap::inet::{ICMP, Layers};
use encap::neighbor::ICMPV6;
use encap::vnet::{Unfinished, VnetHeader};
use encap::{Format, MacAddr, Mtu};
use fdb::Location;

use crate::counters::{Direction::Outbound, DropReason, TooBigsView};
use crate::datapath::frames::{ACK, PSH, Packet, is_checksum_valid, mac, reassembled, wire_frames};
use crate::datapath::testing::{Lab, frame_to, mss, syn, vtep};
use crate::path::Sources;
use crate::topology::{Activity, ViaView};

const SYN: u8 = 2;
/// Where the length of the TCP header stands in a frame with a tag, over IPv4.
const DATA_OFFSET: u16 = 18 + 20 + 12;
/// Octets of a frame on a path of 1,280 over IPv4: IP packets of 1,230 without a tag.
const ROOM: usize = 1280 - 36;

/// A lab whose path to the peer takes 1,280 octets, on a network that passes tags.
fn narrow() -> Lab {
    let mut lab = Lab::with_remote();
    lab.change_network(|network| network.vlan_pass = true);
    lab.change_peer(|peer| peer.path_mtu = Mtu::IPV6_MIN);
    lab
}

fn numbered(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 7) as u8).collect()
}

/// The frames that were sent, all of which fit.
fn sent(lab: &mut Lab) -> Vec<Vec<u8>> {
    let frames: Vec<_> = lab.datagrams().iter().map(|datagram| datagram[8..].to_vec()).collect();
    assert!(frames.iter().all(|frame| frame.len() <= ROOM));
    frames
}

fn payload(frame: &[u8]) -> &[u8] {
    let layers = Layers::of(frame);
    &frame[layers.payload(frame)..layers.end]
}

fn assert_dropped(lab: &mut Lab, frames: u64) {
    lab.assert_dropped(DropReason::PktTooBig, Outbound, frames);
}

#[test]
fn tcp_is_cut_to_what_fits_and_its_sender_is_told_nothing() {
    for (v6, vlan) in [(false, None), (true, None), (false, Some(5)), (true, Some(5))] {
        for len in [1400, 30_000] {
            let packet = Packet { v6, vlan, flags: ACK | PSH, options: 3, ..Packet::tcp(numbered(len)) };
            let (super_vnet, super_frame) = packet.super_frame(1388);
            let (vnet, unfinished) = packet.unfinished();
            let plain = (VnetHeader::default(), packet.plain());
            let small = len == 1400;
            let forms = [(super_vnet, super_frame), (vnet, unfinished), plain];
            for (vnet, frame) in forms.into_iter().take(if small { 3 } else { 1 }) {
                let mut lab = narrow();
                lab.read_super(&vnet, &frame);
                let frames = sent(&mut lab);
                let full = frames.iter().filter(|frame| frame.len() == ROOM).count();
                assert_eq!(full, frames.len() - 1, "no segment is smaller than it must be");
                assert!(frames.iter().all(|frame| is_checksum_valid(frame)));
                assert_eq!(
                    frames.iter().flat_map(|frame| payload(frame)).copied().collect::<Vec<_>>(),
                    numbered(len)
                );
                let ledger = lab.worker.totals().ledger;
                assert_eq!(ledger.received_from_ports + ledger.copies, frames.len() as u64);
                assert_eq!((lab.drops(), lab.worker.sink.originated.len()), (vec![], 0));
            }
        }
    }
}

#[test]
fn a_tcp_segment_that_means_something_as_a_whole_is_not_cut() {
    for packet in [
        Packet { flags: ACK | 0x20, ..Packet::tcp(numbered(1300)) }, // URG
        Packet { flags: 0x02, ..Packet::tcp(numbered(1300)) },
    ] {
        let mut lab = narrow();
        lab.read(&packet.plain());
        assert_dropped(&mut lab, 1);
        assert_eq!(lab.worker.sink.originated.len(), 1);

        lab.read(&Packet { dont_fragment: false, ..packet.clone() }.plain());
        assert_eq!(reassembled(&sent(&mut lab)), [Packet { dont_fragment: false, ..packet }.plain()]);
    }
}

#[test]
fn ipv4_without_df_is_fragmented_inside_the_tunnel() {
    for vlan in [None, Some(5)] {
        let packet = Packet { vlan, dont_fragment: false, ..Packet::udp(numbered(1400)) };
        for (vnet, frame) in [packet.unfinished(), (VnetHeader::default(), packet.plain())] {
            let mut lab = narrow();
            lab.read_super(&vnet, &frame);
            let frames = sent(&mut lab);
            assert_eq!((frames.len(), reassembled(&frames)), (2, vec![packet.plain()]));
            assert_eq!(lab.worker.totals().ledger.copies, 1);
            assert_eq!((lab.drops(), lab.worker.sink.originated.len()), (vec![], 0));
        }
    }
}

#[test]
fn each_datagram_of_a_udp_super_frame_is_fragmented_for_itself() {
    let packet = Packet { dont_fragment: false, ..Packet::udp(numbered(10_000)) };
    let (vnet, frame) = packet.super_frame(1400);
    let mut lab = narrow();
    lab.read_super(&vnet, &frame);
    let frames = sent(&mut lab);
    let whole = reassembled(&frames);
    assert_eq!(whole, wire_frames(&vnet, &frame));
    assert!(whole.iter().all(|frame| is_checksum_valid(frame)));
    let ledger = lab.worker.totals().ledger;
    // Eight datagrams, of which the last has 200 octets.
    assert_eq!((ledger.received_from_ports, ledger.copies, frames.len()), (8, 7, 15));
}

/// The kind, code and MTU of the only ICMP message that was written to the first port, which is for MAC 1.
fn told(lab: &mut Lab) -> Option<(u8, u8, u16)> {
    let originated = std::mem::take(&mut lab.worker.sink.originated);
    assert!(originated.len() <= 1);
    let (port, frame) = originated.first()?;
    let layers = Layers::of(frame);
    let protocol = frame[layers.l3 + if layers.ethertype == 0x86dd { 6 } else { 9 }];
    assert!(protocol == if layers.ethertype == 0x86dd { ICMPV6 } else { ICMP });
    assert_eq!((*port, &frame[..6], &frame[6..12]), (lab.port, &mac(1).octets()[..], &mac(2).octets()[..]));
    let (a, b) = layers.addresses(frame).unwrap();
    assert_eq!(
        [a, b].map(|ip| ip.to_string().ends_with('1')),
        [false, true],
        "from the destination to the source"
    );
    let icmp = &frame[layers.l4..];
    Some((icmp[0], icmp[1], u16::from_be_bytes([icmp[6], icmp[7]])))
}

#[test]
fn a_packet_that_must_not_be_cut_is_dropped_and_its_sender_told_what_fits() {
    for (vlan, mtu) in [(None, 1230), (Some(5), 1226)] {
        let packet = Packet { vlan, ..Packet::udp(numbered(1400)) };
        for (vnet, frame) in [packet.unfinished(), (VnetHeader::default(), packet.plain())] {
            let mut lab = narrow();
            lab.read_super(&vnet, &frame);
            assert_eq!(told(&mut lab), Some((3, 4, mtu)));
            assert_dropped(&mut lab, 1);
            let totals = lab.worker.totals();
            assert_eq!((totals.notices.originated, totals.too_bigs), (1, TooBigsView { ipv4: 1, ipv6: 0 }));
            let octets = totals.drop_octets[DropReason::PktTooBig as usize];
            assert_eq!(octets, [0, frame.len() as u64]);
        }
        let (vnet, frame) = Packet { vlan, ..Packet::udp(numbered(3000)) }.super_frame(1400);
        let mut lab = narrow();
        lab.read_super(&vnet, &frame);
        assert_eq!(told(&mut lab), Some((3, 4, mtu)));
        assert_dropped(&mut lab, 3);
    }
}

#[test]
fn ipv6_is_told_what_fits_but_never_less_than_its_minimum() {
    let send = |path: u32, len| {
        let mut lab = narrow();
        lab.change_peer(|peer| peer.path_mtu = Mtu::new(path).unwrap());
        lab.read(&Packet { v6: true, ..Packet::udp(numbered(len)) }.plain());
        assert_dropped(&mut lab, 1);
        let (counted, told) = (lab.worker.totals().too_bigs, told(&mut lab));
        assert_eq!(counted, TooBigsView { ipv4: 0, ipv6: told.iter().count() as u64 });
        told
    };
    assert_eq!(send(1400, 1400), Some((2, 0, 1350)));
    assert_eq!(send(1280, 1400), Some((2, 0, 1280)));
    // Its sender goes no further down: the path is too small for it.
    assert_eq!(send(1280, 1280 - 48), None);
}

#[test]
fn who_may_not_be_told_is_not() {
    let multicast = MacAddr::new([0x01, 0, 0x5e, 0, 0, 1]);
    for dst in [multicast, MacAddr::BROADCAST] {
        let mut lab = narrow();
        lab.read(&Packet { dst, ..Packet::udp(numbered(1400)) }.plain());
        assert_eq!(lab.drops(), [(DropReason::PktTooBig, Outbound, 1)]);
        assert_eq!(told(&mut lab), None);
    }
    let mut lab = narrow();
    lab.read(&[frame_to(mac(2)), vec![0; 1300]].concat());
    assert_dropped(&mut lab, 1);
    assert_eq!(told(&mut lab), None, "no IP");
}

#[test]
fn a_path_that_takes_no_ip_packet_at_all_drops_all() {
    let mut lab = narrow();
    lab.change_peer(|peer| peer.path_mtu = Mtu::new(100).unwrap());
    lab.read(&Packet { dont_fragment: false, ..Packet::udp(numbered(100)) }.plain());
    assert_dropped(&mut lab, 1);
    assert_eq!(told(&mut lab), None);
}

#[test]
fn a_port_is_told_two_hundred_times_at_once_and_a_hundred_times_a_second() {
    let mut lab = narrow();
    let send = |lab: &mut Lab| {
        (0..300).for_each(|_| lab.read(&Packet::udp(numbered(1400)).plain()));
        std::mem::take(&mut lab.worker.sink.originated).len()
    };
    assert_eq!(send(&mut lab), 200);
    lab.worker.now += Duration::from_secs(1);
    assert_eq!(send(&mut lab), 100);
    assert_dropped(&mut lab, 600);
}

#[test]
fn word_that_a_port_does_not_take_is_not_counted() {
    let mut lab = narrow();
    lab.worker.sink.refusing = vec![(lab.port, DropReason::TapFull)];
    lab.read(&Packet::udp(numbered(1400)).plain());
    assert_dropped(&mut lab, 1);
    let totals = lab.worker.totals();
    assert_eq!((totals.notices.originated, totals.too_bigs.ipv4, told(&mut lab)), (0, 0, None));
}

#[test]
fn a_flood_that_is_too_big_for_several_peers_tells_its_sender_once() {
    let mut lab = narrow();
    let network = lab.network;
    for (last, path) in [(3, 1200), (4, 1500)] {
        let peer = lab.worker.add_peer(vtep(&format!("192.0.2.{last}:4789")), Format::Vxlan, network);
        let path_mtu = Mtu::new(path).unwrap();
        lab.worker.change(|topology| topology.peers[usize::from(peer.0)].path_mtu = path_mtu);
    }
    lab.read(&Packet { dst: mac(9), ..Packet::udp(numbered(1400)) }.plain());
    assert_eq!(lab.drops(), [(DropReason::PktTooBig, Outbound, 2)]);
    assert_eq!((lab.datagrams().len(), lab.deliveries().len()), (1, 1));
    assert_eq!(lab.worker.sink.originated.len(), 1);

    // TCP is cut for those peers only.
    lab.read(&Packet { dst: mac(9), ..Packet::tcp(numbered(1400)) }.plain());
    assert_eq!(
        lab.worker.sink.sent.iter().map(|message| message.datagrams().count()).collect::<Vec<_>>(),
        [2, 2, 1]
    );
    assert_eq!(lab.drops(), [(DropReason::PktTooBig, Outbound, 2)]);
}

#[test]
fn a_syn_asks_for_no_more_than_fits_the_path() {
    for (v6, vlan, fits) in [(false, None, 1190), (true, None, 1170), (false, Some(5), 1186)] {
        let packet = syn(&Packet { v6, vlan, ..Packet::tcp(vec![]) }, 1460);
        for (vnet, frame) in
            [packet.clone(), (VnetHeader::default(), wire_frames(&packet.0, &packet.1).remove(0))]
        {
            let mut lab = narrow();
            lab.read_super(&vnet, &frame);
            assert_eq!(mss(&sent(&mut lab)[0]), 1460, "not unless it is asked for");
            lab.worker.change(|topology| topology.encap.clamp_mss = true);
            lab.read_super(&vnet, &frame);
            let frames = sent(&mut lab);
            assert_eq!(mss(&frames[0]), fits);
            assert!(is_checksum_valid(&frames[0]));
        }
    }
}

#[test]
fn a_syn_to_a_local_port_asks_for_what_it_wants() {
    let mut lab = narrow();
    lab.worker.change(|topology| topology.encap.clamp_mss = true);
    lab.put(3, Location::Local(lab.other));
    let (vnet, frame) = syn(&Packet { dst: mac(3), ..Packet::tcp(vec![]) }, 1460);
    lab.read_super(&vnet, &frame);
    assert_eq!(lab.deliveries()[0].frame, frame);
}

#[test]
fn a_peer_that_was_sent_a_frame_is_active_until_that_is_noticed() {
    let mut lab = Lab::with_remote();
    let taken = |lab: &Lab| Activity::take(&lab.worker.topology().peer(lab.peer).activity);
    assert!(!taken(&lab));
    for dst in [mac(2), MacAddr::BROADCAST] {
        lab.read(&frame_to(dst));
        assert!(taken(&lab) && !taken(&lab));
    }
    lab.change_peer(|peer| peer.up = false);
    lab.read(&frame_to(mac(2)));
    assert!(!taken(&lab));
}

#[test]
fn datagrams_go_where_control_says_whatever_the_peer_is_known_by() {
    let mut lab = Lab::with_remote();
    let to = vtep("192.0.2.2:6081");
    lab.change_peer(|peer| (peer.to, peer.format) = (to, Format::Geneve));
    lab.read(&frame_to(mac(2)));
    let sent = &lab.worker.sink.sent[0];
    assert_eq!((sent.route.to, &sent.octets[2..4]), (to, &[0x65, 0x58][..]));
}

mod relayed {
    use encap::relay::{Hops, RELAY_HEADER_LEN, RELAY_OPTION_LEN, Relay};

    use super::*;
    use crate::datapath::testing::{peer_vtep, vni};

    /// A lab whose peer is reached through 192.0.2.7; the node itself is known as 198.51.100.1.
    fn relayed(path: u32) -> Lab {
        let mut lab = narrow();
        let via = ViaView {
            to: vtep("192.0.2.7:6081"),
            path_mtu: Mtu::new(path).unwrap(),
            dead: Sources::default(),
        };
        lab.change_peer(|peer| peer.via = Some(via));
        lab.worker.change(|topology| {
            topology.encap.own = vec![vtep("10.0.0.1:4789"), vtep("10.0.0.1:6081")];
            topology.encap.seen_as =
                ["[2001:db8::1]:4789", "198.51.100.1:4789", "198.51.100.1:6081"].map(vtep).into();
        });
        lab
    }

    #[test]
    fn a_peer_without_a_direct_way_gets_frames_through_another_node() {
        let mut lab = relayed(1500);
        let packet = Packet { tos: 2, ..Packet::udp(vec![1; 50]) };
        lab.read(&packet.plain());
        let origin = SocketAddr::from(([198, 51, 100, 1], 4789)).into();
        let relay = Relay { origin, to: peer_vtep().ip(), hops: Hops::One };
        let sent = &lab.worker.sink.sent[0];
        assert_eq!((sent.route.to, sent.route.tos), (vtep("192.0.2.7:6081"), 2));
        assert_eq!(sent.octets, [&relay.encode(vni())[..], &packet.plain()].concat());
        assert!(lab.worker.topology().peer(lab.peer).activity.take());
        assert_eq!(lab.worker.totals().ledger.delivered_to_underlay, 1);
    }

    #[test]
    fn what_does_not_fit_with_the_option_is_cut_or_its_sender_told() {
        let room = 1450 - usize::from(RELAY_OPTION_LEN) + 14;
        let mut lab = relayed(1500);
        let (vnet, frame) = Packet::tcp(numbered(20_000)).super_frame(1410);
        lab.read_super(&vnet, &frame);
        let datagrams = lab.datagrams();
        assert!(datagrams.iter().all(|datagram| datagram.len() <= RELAY_HEADER_LEN + room));
        assert_eq!(datagrams[0].len(), RELAY_HEADER_LEN + room);
        let frames: Vec<_> = datagrams.iter().map(|datagram| datagram[RELAY_HEADER_LEN..].to_vec()).collect();
        assert_eq!(
            frames.iter().flat_map(|frame| payload(frame)).copied().collect::<Vec<_>>(),
            numbered(20_000)
        );

        lab.read(&Packet::udp(numbered(room - 14 - 28 + 1)).plain());
        assert_dropped(&mut lab, 1);
        assert_eq!(told(&mut lab), Some((3, 4, 1410)));

        lab.worker.change(|topology| topology.encap.clamp_mss = true);
        lab.read_super(&syn(&Packet::tcp(vec![]), 1460).0, &syn(&Packet::tcp(vec![]), 1460).1);
        assert_eq!(mss(&lab.datagrams()[0][RELAY_HEADER_LEN..]), 1370);
    }

    #[test]
    fn who_has_no_address_of_the_peers_family_cannot_name_itself() {
        let mut lab = relayed(1500);
        lab.worker.change(|topology| topology.encap.seen_as.truncate(1));
        lab.read(&frame_to(mac(2)));
        lab.assert_dropped(DropReason::PeerDown, Outbound, 1);
    }
}

#[test]
fn a_checksum_that_is_to_be_put_into_the_headers_does_not_make_them_lie() {
    for (flags, octets) in [(ACK, 1400), (SYN, 100), (SYN, 1400)] {
        // Wherever it is put: into lengths, the protocol, the length of the TCP header, the options.
        for (start, offset) in (0..90).flat_map(|start| [0, 1, 6, 12, 16].map(|offset| (start, offset))) {
            // Of the length of the TCP header, every value: those of less than 20 octets are the worst.
            let is_length = [DATA_OFFSET, DATA_OFFSET - 1].contains(&(start + offset));
            for salt in 0..if is_length { 32 } else { 1 } {
                let mut payload = numbered(octets);
                payload[..2].fill(salt << 3);
                let packet = Packet { vlan: Some(7), flags, options: 5, ..Packet::tcp(payload) };
                let (vnet, frame) = packet.unfinished();
                let mut lab = narrow();
                let unfinished = Some(Unfinished { start, offset });
                lab.read_super(&VnetHeader { unfinished, ..vnet }, &frame);
                assert!(lab.worker.totals().balanced());
            }
        }
    }
}
