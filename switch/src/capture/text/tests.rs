use std::net::SocketAddr;

use encap::relay::Hops;
use encap::{PortId, tunnel};
use etherparse::{Ethernet2Header, PacketBuilder, PacketBuilderStep, TcpOptionElement};
use proptest::prelude::*;

use super::*;
use crate::capture::outer;
use crate::counters::{Direction, DropReason};

const SRC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const DST: [u8; 6] = [2, 0, 0, 0, 0, 2];
const MACS: &str = "02:00:00:00:00:01 > 02:00:00:00:00:02";

fn ethernet() -> PacketBuilderStep<Ethernet2Header> {
    PacketBuilder::ethernet2(SRC, DST)
}

fn v4() -> PacketBuilderStep<etherparse::IpHeaders> {
    ethernet().ipv4([10, 32, 0, 5], [10, 32, 0, 9], 64)
}

fn of(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut octets = Vec::new();
    write(&mut octets);
    octets
}

/// The words behind the MAC addresses.
#[track_caller]
fn words(octets: &[u8]) -> String {
    let words = frame(octets, octets.len());
    words.strip_prefix(&format!("{MACS} ")).unwrap_or_else(|| panic!("{words}")).to_owned()
}

fn record<'a>(point: Point, octets: &'a [u8], outer: usize) -> Record<'a> {
    Record {
        at: 0,
        point,
        direction: Flow::In,
        ids: Ids { first: (1 << 48) + 4711, count: 1 }.into(),
        size: 0,
        vni: Some(Vni::new(100).unwrap()),
        inside: None,
        decision: Decision::None,
        dropped: None,
        outer: outer as u16,
        len: octets.len() as u32,
        octets,
    }
}

fn names() -> Names {
    let mut names = Names::default();
    names.set(PORT, "port:web", "a port");
    names.set(PEER, "peer:node-b", "a peer");
    names
}

const PORT: Point = Point::Port(PortId::new(3));
const PEER: Point = Point::Peer(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)));

#[test]
fn tcp_has_flags_numbers_and_lengths() {
    let tcp = || v4().tcp(443, 51234, 1000, 501);
    let data = of(|out| tcp().ack(7).psh().write(out, &[1; 100]).unwrap());
    assert_eq!(words(&data), "10.32.0.5.443 > 10.32.0.9.51234 tcp [P.] seq 1000:1100 ack 7 win 501 len 100");
    let empty = of(|out| tcp().ack(7).write(out, &[]).unwrap());
    assert_eq!(words(&empty), "10.32.0.5.443 > 10.32.0.9.51234 tcp [.] ack 7 win 501 len 0");
    let syn = of(|out| {
        let options = [TcpOptionElement::MaximumSegmentSize(1410)];
        tcp().syn().options(&options).unwrap().write(out, &[]).unwrap();
    });
    assert_eq!(words(&syn), "10.32.0.5.443 > 10.32.0.9.51234 tcp [S] seq 1000 mss 1410 win 501 len 0");
}

#[test]
fn what_a_cut_off_segment_carries_is_told_by_its_ip_header() {
    let data = of(|out| v4().tcp(443, 51234, 1000, 501).write(out, &[1; 1000]).unwrap());
    let told = frame(&data[..54], data.len());
    assert!(told.ends_with("tcp [none] seq 1000:2000 win 501 len 1000"), "{told}");
}

#[test]
fn pings_errors_and_neighbours_are_readable() {
    let v6 = || ethernet().ipv6([0xfd; 16], [0xfe; 16], 64);
    let target: [u8; 16] = [0xfd, 0x32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    let cases = [
        (
            of(|out| v4().icmpv4_echo_request(5, 1).write(out, &[0; 56]).unwrap()),
            "icmp echo request id 5 seq 1 len 64",
        ),
        (
            of(|out| v4().icmpv4_raw(3, 4, [0, 0, 5, 0x78]).write(out, &[0; 28]).unwrap()),
            "icmp too big, mtu 1400 len 36",
        ),
        (
            of(|out| v4().icmpv4_raw(3, 3, [0; 4]).write(out, &[0; 28]).unwrap()),
            "icmp port unreachable len 36",
        ),
        (
            of(|out| v6().icmpv6_echo_reply(5, 2).write(out, &[0; 8]).unwrap()),
            "icmp6 echo reply id 5 seq 2 len 16",
        ),
        (
            of(|out| v6().icmpv6_raw(2, 0, [0, 0, 5, 0]).write(out, &[0; 8]).unwrap()),
            "icmp6 too big, mtu 1280 len 16",
        ),
        (
            of(|out| v6().icmpv6_raw(135, 0, [0; 4]).write(out, &target).unwrap()),
            "icmp6 who has fd32::9 len 24",
        ),
        (
            of(|out| v6().icmpv6_raw(136, 0, [0; 4]).write(out, &target).unwrap()),
            "icmp6 fd32::9 is here len 24",
        ),
    ];
    for (octets, expected) in cases {
        assert!(words(&octets).ends_with(expected), "{} is not {expected}", words(&octets));
    }
}

#[test]
fn arp_tells_who_asks_and_who_answers() {
    let arp = |operation: u8, sender: u8| {
        let body = [
            0, 1, 8, 0, 6, 4, 0, operation, 2, 0, 0, 0, 0, 1, 10, 1, 0, sender, 0, 0, 0, 0, 0, 0, 10, 1, 0, 6,
        ];
        [&DST[..], &SRC, &[8, 6], &body].concat()
    };
    assert_eq!(words(&arp(1, 5)), "arp who has 10.1.0.6, tell 10.1.0.5");
    assert_eq!(words(&arp(1, 6)), "arp announcement, 10.1.0.6 is at 02:00:00:00:00:01");
    assert_eq!(words(&arp(2, 5)), "arp 10.1.0.5 is at 02:00:00:00:00:01");
    assert_eq!(words(&arp(2, 5)[..30]), "arp cut off or broken len 30");
}

#[test]
fn dhcp_tells_its_message_and_the_address_that_it_gives() {
    let mut packet = vec![0; 240];
    packet[16..20].copy_from_slice(&[10, 32, 0, 7]);
    packet.extend([0, 53, 1, 5, 255]);
    let octets = of(|out| v4().udp(67, 68).write(out, &packet).unwrap());
    assert_eq!(words(&octets), "10.32.0.5.67 > 10.32.0.9.68 udp dhcp ack of 10.32.0.7 len 245");
    let plain = of(|out| v4().udp(9, 10).write(out, &[0; 4]).unwrap());
    assert_eq!(words(&plain), "10.32.0.5.9 > 10.32.0.9.10 udp len 4");
}

#[test]
fn a_fragment_has_no_ports() {
    let mut octets = of(|out| v4().udp(1, 2).write(out, &[0; 64]).unwrap());
    octets[14 + 6..14 + 8].copy_from_slice(&[0, 8]);
    assert_eq!(words(&octets), "10.32.0.5 > 10.32.0.9 udp fragment of 0 at 64 len 72");
}

/// A datagram with a ping inside, and where that begins.
fn datagram(format: Format, v6: bool) -> (Vec<u8>, usize) {
    let inner = of(|out| v4().icmpv4_echo_request(5, 1).write(out, &[0; 56]).unwrap());
    let ends = match v6 {
        false => ("10.0.0.1:51234".parse().unwrap(), "10.0.0.2:4789".parse().unwrap()),
        true => ("[fd99::1]:51234".parse().unwrap(), "[fd99::2]:4789".parse().unwrap()),
    };
    let mut octets = Vec::new();
    outer::write(ends, 0, ([&inner[..]], inner.len() + 8), &mut octets);
    octets.extend(tunnel::encode(format, Vni::new(100).unwrap()));
    let start = octets.len();
    octets.extend(inner);
    (octets, start)
}

#[test]
fn a_datagram_is_told_outside_and_inside() {
    let (octets, start) = datagram(Format::Vxlan, false);
    let inner =
        "02:00:00:00:00:01 > 02:00:00:00:00:02 10.32.0.5 > 10.32.0.9 icmp echo request id 5 seq 1 len 64";
    let outbound = Record { direction: Flow::Out, inside: Some(11_234), ..record(PEER, &octets, start) };
    assert_eq!(
        line(&outbound, &names(), "08:01:02.123467"),
        format!(
            "08:01:02.123467 peer:node-b out 10.0.0.1.51234 > 10.0.0.2.4789 vxlan vni 100 | {inner} \
             11.2 us inside #1.4711"
        )
    );
    let (octets, start) = datagram(Format::Geneve, true);
    let told = contents(&record(PEER, &octets, start));
    assert_eq!(told, format!("fd99::1.51234 > fd99::2.4789 geneve vni 100 | {inner}"));
}

#[test]
fn a_frame_that_is_passed_on_says_from_where_and_for_whom() {
    let relay = Relay {
        origin: "10.0.0.1:4789".parse::<SocketAddr>().unwrap().into(),
        to: "10.0.0.3".parse().unwrap(),
        hops: Hops::One,
    };
    let inner = of(|out| v4().icmpv4_echo_request(5, 1).write(out, &[0; 56]).unwrap());
    let payload = [&relay.encode(Vni::new(100).unwrap())[..], &inner].concat();
    let told = super::datagram(Format::Geneve, &payload, payload.len());
    let relayed = "relayed from 10.0.0.1 for 10.0.0.3";
    assert!(told.starts_with(&format!("geneve vni 100 {relayed} | {MACS} ")), "{told}");
    let mut octets = Vec::new();
    let ends = ("10.0.0.1:51234".parse().unwrap(), "10.0.0.2:6081".parse().unwrap());
    outer::write(ends, 0, ([&payload[..]], payload.len()), &mut octets);
    octets.extend_from_slice(&payload);
    let record = record(PEER, &octets, octets.len() - inner.len());
    assert!(contents(&record).contains(&format!(" geneve vni 100 {relayed} | ")), "{}", contents(&record));
    assert_eq!(comment(&record, &names(), None), format!("{relayed}; #1.4711"));
}

#[test]
fn of_a_datagram_that_is_cut_off_what_is_known_of_it_is_told() {
    let (octets, start) = datagram(Format::Geneve, true);
    let cut = |len: usize| contents(&Record { octets: &octets[..len], ..record(PEER, &octets, start) });
    let ends = "fd99::1.51234 > fd99::2.4789";
    assert_eq!(cut(start + 13), format!("{ends} geneve vni 100 | cut off len 98"));
    assert_eq!(cut(start - 5), format!("{ends} tunnel vni 100 | cut off len 98"));
}

#[test]
fn a_datagram_without_outer_headers_is_told_from_its_tunnel_header_on() {
    for format in [Format::Vxlan, Format::Geneve] {
        let (octets, start) = datagram(format, false);
        let octets = &octets[start - 8..];
        let told = super::datagram(format, octets, octets.len() + 4);
        assert!(told.starts_with(&format!("{format} vni 100 | {MACS} 10.32.0.5 > 10.32.0.9 icmp")), "{told}");
        let none = super::datagram(format, &octets[..7], 90);
        assert!(none.starts_with(&format!("{format}, no frame, len 90: ")), "{none}");
    }
}

#[test]
fn a_datagram_without_a_frame_says_what_it_is() {
    let datagram = |payload: &[u8]| {
        let mut octets = Vec::new();
        outer::write(
            ("10.0.0.1:6786".parse().unwrap(), "10.0.0.2:6786".parse().unwrap()),
            0,
            ([payload], payload.len()),
            &mut octets,
        );
        octets.extend_from_slice(payload);
        octets
    };
    let head = control::write_head(Format::Vxlan, 0);
    for (point, payload, kind) in [
        (Point::Gossip, &[1; 100][..], "gossip"),
        (Point::Strangers, &[1; 100], "no frame"),
        (PEER, head.octets(), "weft control"),
    ] {
        let octets = datagram(payload);
        let record = Record { vni: None, ..record(point, &octets, octets.len()) };
        let expected = format!("10.0.0.1.6786 > 10.0.0.2.6786 {kind} len {}", payload.len());
        assert_eq!(contents(&record), expected);
    }
}

#[test]
fn what_becomes_of_frames_is_told_with_names_and_amounts() {
    let octets = of(|out| v4().udp(9, 10).write(out, &[0; 4]).unwrap());
    let told = |change: &dyn Fn(&mut Record<'_>)| {
        let mut record = record(PORT, &octets, 0);
        change(&mut record);
        let line = line(&record, &names(), "");
        line.split_once(" len 4 ").unwrap().1.to_owned()
    };
    let Point::Peer(peer) = PEER else { unreachable!() };
    assert_eq!(told(&|r| r.decision = Decision::ToPeer(peer)), "-> peer:node-b #1.4711");
    assert_eq!(told(&|r| r.decision = Decision::ToPort(PortId::new(9))), "-> port 9 #1.4711");
    assert_eq!(
        told(&|r| r.decision = Decision::Flooded { ports: 1, peers: 2, dropped: 0 }),
        "-> 1 port and 2 peers #1.4711"
    );
    assert_eq!(told(&|r| r.decision = Decision::ToPorts), "-> ports here #1.4711");
    let flooded = |ports, dropped| {
        told(&|r| {
            r.decision = Decision::Flooded { ports, peers: 0, dropped };
            r.dropped = Some((DropReason::PeerDown, Direction::Outbound));
        })
    };
    assert!(flooded(1, 1).starts_with("-> 1 port ONE COPY DROPPED, peer_down: "), "{}", flooded(1, 1));
    assert!(
        flooded(0, 3).starts_with("-> nobody 3 COPIES DROPPED, the last peer_down: "),
        "{}",
        flooded(0, 3)
    );
    assert_eq!(told(&|r| r.decision = Decision::Answered), "-> answered here #1.4711");
    let run = Ids { first: (1 << 48) + 4711, count: 45 };
    assert_eq!(told(&|r| (r.ids, r.size) = (run.into(), 1440)), "(45 frames, 64.8 kB) #1.4711-4755");
    assert_eq!(
        told(&|r| r.dropped = Some((DropReason::Vlan, Direction::Outbound))),
        "DROPPED, vlan: The frame has a VLAN tag, and its network does not pass them. #1.4711"
    );
}

#[test]
fn a_comment_has_decision_entry_time_amount_and_ids() {
    let octets = of(|out| v4().udp(9, 10).write(out, &[0; 4]).unwrap());
    let Point::Peer(peer) = PEER else { unreachable!() };
    let run = Ids { first: 7, count: 2 };
    let record = Record { decision: Decision::ToPeer(peer), ids: run.into(), ..record(PORT, &octets, 0) };
    assert_eq!(
        comment(&record, &names(), Some("FDB: x, owner node-b, seq 7")),
        "to peer:node-b; FDB: x, owner node-b, seq 7; 2 frames, 46 B, uncut; #0.7-8"
    );
    let left = Record { decision: Decision::None, inside: Some(950), size: 100, ..record };
    let dropped = Record { dropped: Some((DropReason::Vlan, Direction::Inbound)), ..left };
    assert!(comment(&dropped, &names(), None).starts_with("DROPPED, vlan: The frame has a VLAN tag, and"));
    assert_eq!(comment(&left, &names(), None), "950 ns inside; 2 frames, 200 B, here is the first; #0.7-8");
}

#[test]
fn names_are_aligned_and_the_latest_counts() {
    let mut names = names();
    names.set(PORT, "port:db", "a port");
    let line = line(&record(PORT, &[0; 14], 0), &names, "T");
    assert!(line.starts_with("T port:db     in  vni 100 "), "{line}");
}

proptest! {
    #[test]
    fn any_octets_give_one_line(
        octets in proptest::collection::vec(any::<u8>(), 0..200),
        (kind, protocol) in (0usize..4, any::<u8>()),
        (outer, len, size) in (0u16..120, any::<u32>(), any::<u32>()),
        point in prop_oneof![Just(PORT), Just(PEER), Just(Point::Gossip), Just(Point::Strangers)],
    ) {
        let mut octets = octets;
        let kinds = [[8, 0], [0x86, 0xdd], [8, 6], [0x81, 0]];
        if let Some(at) = octets.get_mut(12..14) {
            at.copy_from_slice(&kinds[kind]);
        }
        if let Some(at) = octets.get_mut(23) {
            *at = protocol;
        }
        let record = Record { len, size, ..record(point, &octets, outer.into()) };
        let datagrams = [Format::Vxlan, Format::Geneve].map(|format| super::datagram(format, &octets, 60));
        for text in [line(&record, &names(), "T"), comment(&record, &names(), None)].into_iter().chain(datagrams) {
            prop_assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
        }
    }

    #[test]
    fn every_cut_of_a_packet_gives_a_line(cut in 0usize..160, geneve in any::<bool>(), v6 in any::<bool>()) {
        let (octets, start) = datagram(if geneve { Format::Geneve } else { Format::Vxlan }, v6);
        let whole = record(PEER, &octets, start);
        let cut = Record { octets: &octets[..cut.min(octets.len())], ..whole };
        prop_assert!(!line(&cut, &names(), "T").contains('\n'));
    }
}
