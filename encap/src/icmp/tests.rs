use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::{Icmpv4Type, Icmpv6Type, NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::*;
use crate::testing::{self, DESTINATION, DF, MF, Packet, SOURCE};
use crate::vnet::{Gso, VnetHeader};

fn mtu(octets: u32) -> Mtu {
    Mtu::new(octets).unwrap()
}

fn answer(frame: &[u8], mtu: Mtu) -> Option<Vec<u8>> {
    let mut out = [0xaa; MAX_LEN];
    too_big(frame, &Layers::of(frame), mtu, &mut out).map(<[u8]>::to_vec)
}

fn is_answered(frame: &[u8]) -> bool {
    answer(frame, mtu(1280)).is_some()
}

/// 1,400 octets of IP, DF set.
fn large(v6: bool) -> Packet {
    Packet { v6, ..Packet::udp(1400 - 8 - if v6 { 40 } else { 20 }) }
}

/// What etherparse reads in an answer: the MTU and the octets quoted, after it checked all checksums.
fn read(answer: &[u8]) -> (u32, Vec<u8>) {
    let packet = SlicedPacket::from_ethernet(answer).unwrap();
    let net = packet.net.unwrap();
    match packet.transport.unwrap() {
        TransportSlice::Icmpv4(icmp) => {
            let NetSlice::Ipv4(ip) = net else { panic!("ICMP without IPv4") };
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            assert_eq!((header.source, header.destination), ([10, 0, 0, 2], [10, 0, 0, 1]));
            assert_eq!(icmp.checksum(), icmp.icmp_type().calc_checksum(icmp.payload()));
            let Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded {
                next_hop_mtu,
            }) = icmp.icmp_type()
            else {
                panic!("{:?}", icmp.icmp_type())
            };
            (next_hop_mtu.into(), icmp.payload().to_vec())
        }
        TransportSlice::Icmpv6(icmp) => {
            let NetSlice::Ipv6(ip) = net else { panic!("ICMPv6 without IPv6") };
            let (source, destination) = (ip.header().source(), ip.header().destination());
            assert_eq!((source[15], destination[15]), (2, 1));
            assert!(icmp.is_checksum_valid(source, destination));
            let Icmpv6Type::PacketTooBig { mtu } = icmp.icmp_type() else { panic!("{:?}", icmp.icmp_type()) };
            (mtu, icmp.payload().to_vec())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_answer_comes_from_the_destination_and_quotes_what_fits() {
    for (v6, whole) in [(false, 576), (true, 1280)] {
        for tags in 0..=2 {
            let frame = Packet { tags, ..large(v6) }.frame();
            let answer = answer(&frame, mtu(1300)).unwrap();
            let l3 = 14 + 4 * tags;
            assert_eq!((&answer[..6], &answer[6..12]), (&SOURCE[..], &DESTINATION[..]));
            assert_eq!(answer[12..l3], frame[12..l3], "the tags stay");
            assert_eq!(answer.len(), l3 + whole);
            let (mtu, quoted) = read(&answer);
            assert_eq!(mtu, 1300);
            assert_eq!(quoted, frame[l3..][..quoted.len()]);
        }
    }
}

#[test]
fn the_longest_answer_fits_the_buffer() {
    let frame = Packet { tags: 2, ..large(true) }.frame();
    assert_eq!(answer(&frame, mtu(1280)).map(|answer| answer.len()), Some(MAX_LEN));
}

#[test]
fn a_short_packet_is_quoted_whole_and_its_padding_is_not() {
    let mut frame = Packet::udp(100).frame();
    frame.extend([0xee; 20]);
    let (_, quoted) = read(&answer(&frame, mtu(68)).unwrap());
    assert_eq!(quoted, frame[14..14 + 128]);
}

#[test]
fn the_mtu_told_for_ipv6_is_at_least_1280() {
    let frame = large(true).frame();
    assert_eq!(read(&answer(&frame, mtu(1000)).unwrap()).0, 1280);
    assert_eq!(read(&answer(&large(false).frame(), mtu(1000)).unwrap()).0, 1000);
}

#[test]
fn a_packet_that_fits_the_mtu_told_is_not_answered() {
    for v6 in [false, true] {
        let frame = large(v6).frame();
        assert_eq!(answer(&frame, mtu(1400)), None);
        assert!(answer(&frame, mtu(1399)).is_some());
    }
    // What Linux would do with an MTU that the packet keeps already is nothing.
    let frame = Packet { v6: true, ..Packet::udp(1280 - 48) }.frame();
    assert_eq!(answer(&frame, mtu(1000)), None);
}

#[test]
fn a_group_is_never_answered_nor_answers() {
    for v6 in [false, true] {
        let right = large(v6).frame();
        assert!(is_answered(&right));
        for (at, octet) in [(0, 3), (6, 3)] {
            let mut group = right.clone();
            group[at] = octet;
            assert!(!is_answered(&group), "MAC octet {at}");
        }
        let places = if v6 { [22, 38] } else { [26, 30] };
        let hosts: &[&[u8]] = match v6 {
            true => &[&[0; 16], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], &[0xff; 16]],
            false => &[&[0; 4], &[127, 0, 0, 1], &[224, 0, 0, 1], &[255; 4]],
        };
        for at in places {
            for host in hosts {
                let mut other = right.clone();
                other[at..at + host.len()].copy_from_slice(host);
                assert!(!is_answered(&other), "{host:?} at {at}");
            }
        }
        let mut nobody = right.clone();
        nobody[6..12].fill(0);
        assert!(!is_answered(&nobody));
    }
}

#[test]
fn only_ipv4_with_df_and_only_a_first_fragment_is_answered() {
    let answered = |fragment| is_answered(&Packet { fragment, ..large(false) }.frame());
    assert!(answered(DF) && answered(DF | MF));
    assert!(!answered(0) && !answered(MF) && !answered(DF | 1) && !answered(DF | MF | 0x1fff));
}

#[test]
fn icmp_errors_are_not_answered_and_questions_are() {
    let packet = |kind| {
        let mut packet = Packet { protocol: ICMP, ..large(false) };
        packet.data[0] = kind;
        packet.frame()
    };
    for error in [3, 4, 5, 11, 12, 40] {
        assert!(!is_answered(&packet(error)), "type {error}");
    }
    for query in [0, 8, 13, 14, 42] {
        assert!(is_answered(&packet(query)), "type {query}");
    }
}

#[test]
fn icmpv6_errors_are_not_answered_also_behind_extension_headers() {
    let hop_by_hop = |next| [&[next, 1][..], &[0; 14]].concat();
    let fragment = |next, offset: u8| vec![next, 0, 0, offset << 3, 0, 0, 0, 1];
    let authentication = |next| [&[next, 2][..], &[0; 14]].concat();
    let chains = [
        (ICMPV6, vec![]),
        (0, hop_by_hop(ICMPV6)),
        (60, [hop_by_hop(43), hop_by_hop(ICMPV6)].concat()),
        (44, fragment(ICMPV6, 0)),
        (51, authentication(ICMPV6)),
    ];
    let packet = |protocol, chain: &[u8], kind| {
        let data = [chain, &[kind], &testing::pattern(1400)].concat();
        Packet { protocol, data, ..large(true) }.frame()
    };
    for (protocol, chain) in &chains {
        for error in [1, 2, 3, 4, 100, 127, 137] {
            assert!(!is_answered(&packet(*protocol, chain, error)), "{chain:?}, type {error}");
        }
        for message in [128, 129, 135] {
            assert!(is_answered(&packet(*protocol, chain, message)), "{chain:?}, type {message}");
        }
    }
    assert!(is_answered(&packet(44, &fragment(ICMPV6, 1), 1)), "a fragment that is not the first");
    assert!(is_answered(&packet(0, &hop_by_hop(6), 1)), "TCP");
    let beyond = packet(0, &[&[ICMPV6, 255][..], &[0; 6]].concat(), 128);
    assert!(!is_answered(&beyond), "headers that end beyond the packet");
}

#[test]
fn what_is_not_ip_is_not_answered() {
    let mut frame = large(false).frame();
    frame[13] = 6;
    assert!(!is_answered(&frame) && !is_answered(&frame[..13]) && !is_answered(&[]));
}

#[test]
fn a_super_frame_is_answered_with_its_first_segment() {
    for (v6, gso) in [(false, Gso::TcpV4), (true, Gso::TcpV6), (false, Gso::Udp), (true, Gso::Udp)] {
        let packet = if gso == Gso::Udp { Packet::udp(6000) } else { Packet::tcp(0x18, &[1; 12], 6000) };
        let frame = Packet { v6, tags: 1, ..packet }.frame();
        for size in [1400, 300] {
            let header = VnetHeader { gso: Some((gso, size)), ..VnetHeader::default() };
            let whole = SuperFrame::new(&frame, &header).unwrap();
            let (first, mut out) = (whole.segment(0), [0xaa; MAX_LEN]);
            let told = if v6 && size == 300 {
                assert_eq!(first_too_big(&whole, mtu(1280), &mut out), None);
                continue;
            } else {
                mtu(first.len() as u32 - 18 - 1)
            };
            let answer = first_too_big(&whole, told, &mut out).unwrap();
            let (mtu, quoted) = read(answer);
            assert_eq!(mtu, u32::from(told));
            assert_eq!(quoted, first[18..][..quoted.len()]);
            assert_eq!(quoted.len(), (first.len() - 18).min(if v6 { 1232 } else { 548 }));
        }
    }
}

#[test]
fn the_headers_of_a_super_frame_must_fit_the_quote() {
    // Extension headers of 1,800 octets.
    let tcp = Packet::tcp(0x10, &[], 4000).data;
    let data = [&[6, 224][..], &[0; 1798], &tcp].concat();
    let frame = Packet { v6: true, protocol: 60, data, ..Packet::udp(0) }.frame();
    let start = 14 + 40 + 1800;
    let unfinished = Some(crate::vnet::Unfinished { start, offset: 16 });
    let header = VnetHeader { gso: Some((Gso::TcpV6, 1000)), unfinished, ..VnetHeader::default() };
    let whole = SuperFrame::new(&frame, &header).unwrap();
    assert_eq!(first_too_big(&whole, mtu(1280), &mut [0; MAX_LEN]), None);
}

proptest! {
    #[test]
    fn any_octets_are_answered_rightly_or_not_at_all(
        octets in proptest::collection::vec(any::<u8>(), 0..1500),
        start in proptest::option::of(0usize..4), tags in 0usize..3, path in 68u32..2000,
    ) {
        let mut frame = octets;
        let headers = [large(false), large(true), Packet { protocol: ICMP, ..large(false) },
            Packet { protocol: 0, ..large(true) }];
        if let Some(which) = start {
            // Right headers before whatever follows them.
            let right = Packet { tags, ..headers[which].clone() }.frame();
            let len = (14 + 4 * tags + if headers[which].v6 { 40 } else { 20 }).min(frame.len());
            frame[..len].copy_from_slice(&right[..len]);
        }
        let layers = Layers::of(&frame);
        if let Some(answer) = answer(&frame, mtu(path)) {
            let (told, quoted) = read_any(&answer);
            prop_assert!(told as usize >= path as usize && (told as usize) < layers.end - layers.l3);
            prop_assert_eq!(&quoted[..], &frame[layers.l3..][..quoted.len()]);
            prop_assert!(!is_answered(&answer), "never answers to answers");
        }
    }
}

/// As [`read`], for any addresses.
fn read_any(answer: &[u8]) -> (u32, Vec<u8>) {
    let l3 = Layers::of(answer).l3;
    let at = l3 + if answer[l3] >> 4 == 4 { 28 } else { 48 };
    assert!(SlicedPacket::from_ethernet(answer).is_ok());
    (u32::from_be_bytes(*answer[at - 4..].first_chunk().unwrap()), answer[at..].to_vec())
}
