use etherparse::icmpv6::NeighborAdvertisementHeader;
use etherparse::{
    ArpHardwareId, ArpOperation, Icmpv6Type, NetSlice, PacketBuilder, SlicedPacket, TransportSlice,
};
use proptest::prelude::*;

use super::*;

const ASKER: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const OWNER: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 2]);

fn decode(frame: &[u8]) -> Option<Message> {
    Message::decode(&Frame::new(frame).unwrap(), &Layers::of(frame))
}

/// An ARP packet of [`ASKER`].
fn arp(operation: u8, dst: MacAddr, source: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let head = [&dst.octets()[..], &ASKER.octets(), &[8, 6], &ARP_START, &[0, operation]].concat();
    [&head[..], &ASKER.octets(), &source, &[0; 6], &target].concat()
}

fn request() -> Vec<u8> {
    arp(REQUEST, MacAddr::BROADCAST, [10, 0, 0, 1], [10, 0, 0, 2])
}

/// An ND message of [`ASKER`].
#[derive(Clone)]
struct Nd {
    kind: u8,
    flags: u8,
    source: &'static str,
    to: &'static str,
    target: &'static str,
    options: Vec<u8>,
    dst: Option<MacAddr>,
    hop_limit: u8,
}

fn option(kind: u8, mac: MacAddr) -> Vec<u8> {
    [&[kind, 1][..], &mac.octets()].concat()
}

fn solicitation() -> Nd {
    Nd {
        kind: SOLICITATION,
        flags: 0,
        source: "fd00::1",
        to: "ff02::1:ff00:2",
        target: "fd00::2",
        options: option(SOURCE_ADDRESS, ASKER),
        dst: None,
        hop_limit: 255,
    }
}

fn advertisement(flags: u8) -> Nd {
    let options = option(TARGET_ADDRESS, ASKER);
    Nd { kind: ADVERTISEMENT, flags, to: "ff02::1", target: "fd00::1", options, ..solicitation() }
}

impl Nd {
    fn frame(&self) -> Vec<u8> {
        let ip = |text: &str| text.parse::<Ipv6Addr>().unwrap();
        let dst = self.dst.unwrap_or(group_mac(ip(self.to)));
        let payload = [&ip(self.target).octets()[..], &self.options].concat();
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(ASKER.octets(), dst.octets())
            .ipv6(ip(self.source).octets(), ip(self.to).octets(), self.hop_limit)
            .icmpv6(Icmpv6Type::Unknown { type_u8: self.kind, code_u8: 0, bytes5to8: [self.flags, 0, 0, 0] })
            .write(&mut frame, &payload)
            .unwrap();
        frame
    }

    fn decode(&self) -> Option<Message> {
        decode(&self.frame())
    }
}

#[test]
fn an_arp_request_tells_who_asks_and_whom_it_asks_for() {
    for dst in [MacAddr::BROADCAST, OWNER] {
        let message = decode(&arp(REQUEST, dst, [10, 0, 0, 1], [10, 0, 0, 2])).unwrap();
        let binding = Binding { ip: [10, 0, 0, 1].into(), mac: ASKER, router: None };
        assert_eq!(message.binding, Some(binding));
        let question = message.question.unwrap();
        assert_eq!((question.asker(), question.target()), (ASKER, IpAddr::from([10, 0, 0, 2])));
    }
}

#[test]
fn a_solicitation_tells_who_asks_and_whom_it_asks_for() {
    let to_owner = Nd { to: "fd00::2", dst: Some(OWNER), ..solicitation() };
    for nd in [solicitation(), to_owner] {
        let message = nd.decode().unwrap();
        let binding = Binding { ip: "fd00::1".parse().unwrap(), mac: ASKER, router: None };
        assert_eq!(message.binding, Some(binding));
        let question = message.question.unwrap();
        assert_eq!((question.asker(), question.target()), (ASKER, "fd00::2".parse::<IpAddr>().unwrap()));
    }
}

#[test]
fn a_probe_and_duplicate_address_detection_tell_and_ask_nothing() {
    let probe = decode(&arp(REQUEST, MacAddr::BROADCAST, [0; 4], [10, 0, 0, 2])).unwrap();
    assert_eq!((probe.binding, probe.question), (None, None));
    assert_eq!(Nd { source: "::", options: vec![], ..solicitation() }.decode(), None);
}

#[test]
fn an_announcement_tells_and_does_not_ask() {
    for operation in [REQUEST, REPLY] {
        let message = decode(&arp(operation, MacAddr::BROADCAST, [10, 0, 0, 1], [10, 0, 0, 1])).unwrap();
        assert_eq!((message.binding.map(|b| b.ip), message.question), (Some([10, 0, 0, 1].into()), None));
    }
    let own = Nd { target: "fd00::1", to: "ff02::1:ff00:1", ..solicitation() }.decode().unwrap();
    assert!(own.binding.is_some() && own.question.is_none());
}

#[test]
fn an_advertisement_tells_its_target_and_whether_it_is_a_router() {
    for (flags, router) in [(OVERRIDE, false), (OVERRIDE | ROUTER, true)] {
        let binding = advertisement(flags).decode().unwrap().binding;
        let expected = Binding { ip: "fd00::1".parse().unwrap(), mac: ASKER, router: Some(router) };
        assert_eq!(binding, Some(expected));
    }
    assert_eq!(advertisement(ROUTER).decode().unwrap().binding, None, "it may not override");
    let silent = Nd { options: vec![], ..advertisement(OVERRIDE) };
    assert_eq!(silent.decode().unwrap().binding, None, "it names no MAC address");
    assert_eq!(advertisement(OVERRIDE | SOLICITED).decode(), None, "an answer goes to one");
}

#[test]
fn arp_that_is_malformed_or_tagged_says_nothing() {
    let whole = request();
    assert!(decode(&whole).is_some());
    for len in 14..whole.len() {
        assert_eq!(decode(&whole[..len]), None, "{len} octets");
    }
    // Hardware, protocol, lengths, operation, and a sender that is not the frame's.
    for at in [14, 15, 16, 17, 18, 19, 20, 21, 22, 27] {
        let mut wrong = whole.clone();
        wrong[at] ^= 0x40;
        assert_eq!(decode(&wrong), None, "octet {at}");
    }
    let tagged = [&whole[..12], &[0x81, 0, 0, 7], &whole[12..]].concat();
    assert_eq!(decode(&tagged), None);
}

#[test]
fn arp_to_a_group_is_not_answered() {
    let group = MacAddr::new([1, 0, 0x5e, 0, 0, 1]);
    assert_eq!(decode(&arp(REQUEST, group, [10, 0, 0, 1], [10, 0, 0, 2])).unwrap().question, None);
    for target in [[0; 4], [255; 4], [224, 0, 0, 1]] {
        let message = decode(&arp(REQUEST, MacAddr::BROADCAST, [10, 0, 0, 1], target)).unwrap();
        assert_eq!(message.question, None);
    }
    assert_eq!(decode(&arp(REPLY, OWNER, [10, 0, 0, 1], [10, 0, 0, 2])).unwrap().question, None);
}

#[test]
fn a_solicitation_that_a_receiver_ignores_says_nothing() {
    let broken = [
        Nd { hop_limit: 254, ..solicitation() },
        Nd { target: "ff02::1", ..solicitation() },
        Nd { source: "ff02::1", ..solicitation() },
        Nd { options: vec![SOURCE_ADDRESS, 0, 2, 0, 0, 0, 0, 1], ..solicitation() },
        Nd { options: vec![SOURCE_ADDRESS, 2, 2, 0, 0, 0, 0, 1], ..solicitation() },
        Nd { options: vec![1], ..solicitation() },
        Nd { options: option(SOURCE_ADDRESS, OWNER), ..solicitation() },
    ];
    for (place, nd) in broken.iter().enumerate() {
        assert_eq!(nd.decode(), None, "number {place}");
    }
    let whole = solicitation().frame();
    for len in 14..whole.len() {
        assert_eq!(decode(&whole[..len]), None, "{len} octets");
    }
    for at in 56..whole.len() {
        let mut wrong = whole.clone();
        wrong[at] ^= 1;
        assert_eq!(decode(&wrong), None, "octet {at} does not fit the checksum");
    }
}

#[test]
fn a_solicitation_beyond_the_ordinary_is_not_answered() {
    let nonce = [&option(SOURCE_ADDRESS, ASKER)[..], &[14, 1, 1, 2, 3, 4, 5, 6]].concat();
    let unusual = [
        Nd { options: nonce, ..solicitation() },
        Nd { options: vec![], ..solicitation() },
        Nd { to: "ff02::1", ..solicitation() },
        Nd { to: "ff02::1:ff00:3", ..solicitation() },
        Nd { dst: Some(MacAddr::BROADCAST), ..solicitation() },
        Nd { to: "fd00::3", dst: Some(OWNER), ..solicitation() },
    ];
    for (place, nd) in unusual.iter().enumerate() {
        assert_eq!(nd.decode().unwrap().question, None, "number {place}");
    }
}

#[test]
fn an_arp_answer_reads_as_the_reply_of_the_owner() {
    let answer = decode(&request()).unwrap().question.unwrap().answer(OWNER, true);
    let sliced = SlicedPacket::from_ethernet(answer.octets()).unwrap();
    let Some(NetSlice::Arp(arp)) = sliced.net else { panic!("no ARP") };
    assert_eq!((arp.hw_addr_type(), arp.operation()), (ArpHardwareId::ETHERNET, ArpOperation::REPLY));
    assert_eq!((arp.sender_hw_addr(), arp.sender_protocol_addr()), (&OWNER.octets()[..], &[10, 0, 0, 2][..]));
    assert_eq!((arp.target_hw_addr(), arp.target_protocol_addr()), (&ASKER.octets()[..], &[10, 0, 0, 1][..]));
    let frame = Frame::new(answer.octets()).unwrap();
    assert_eq!((frame.dst(), frame.src(), answer.octets().len()), (ASKER, OWNER, 42));
}

/// The IPv6 header and the flags of an advertisement that [`OWNER`] made, which others find valid.
fn read_advertisement(frame: &FrameBuf) -> (Ipv6Addr, Ipv6Addr, u8, NeighborAdvertisementHeader) {
    let sliced = SlicedPacket::from_ethernet(frame.octets()).unwrap();
    let Some(NetSlice::Ipv6(ip)) = sliced.net else { panic!("no IPv6") };
    let Some(TransportSlice::Icmpv6(icmp)) = sliced.transport else { panic!("no ICMPv6") };
    let header = ip.header();
    assert!(icmp.is_checksum_valid(header.source(), header.destination()));
    let Icmpv6Type::NeighborAdvertisement(flags) = icmp.icmp_type() else { panic!("{:?}", icmp.icmp_type()) };
    let owner: Ipv6Addr = "fd00::2".parse().unwrap();
    assert_eq!(icmp.payload(), [&owner.octets()[..], &option(TARGET_ADDRESS, OWNER)].concat());
    (header.source_addr(), header.destination_addr(), header.hop_limit(), flags)
}

#[test]
fn an_nd_answer_reads_as_the_solicited_advertisement_of_the_owner() {
    for router in [false, true] {
        let answer = solicitation().decode().unwrap().question.unwrap().answer(OWNER, router);
        let (source, to, hop_limit, flags) = read_advertisement(&answer);
        assert_eq!((source, to), ("fd00::2".parse().unwrap(), "fd00::1".parse().unwrap()));
        let expected = NeighborAdvertisementHeader { router, solicited: true, r#override: true };
        assert_eq!((hop_limit, flags), (255, expected));
        let frame = Frame::new(answer.octets()).unwrap();
        assert_eq!((frame.dst(), frame.src()), (ASKER, OWNER));
    }
}

#[test]
fn announcements_go_to_everybody_and_tell_the_owner() {
    let v4 = announcement([10, 0, 0, 2].into(), OWNER, true);
    assert!(Frame::new(v4.octets()).unwrap().dst().is_broadcast());
    let binding = |frame: &FrameBuf| decode(frame.octets()).unwrap();
    let told = Binding { ip: [10, 0, 0, 2].into(), mac: OWNER, router: None };
    assert_eq!(binding(&v4), Message { binding: Some(told), question: None });

    let ip: Ipv6Addr = "fd00::2".parse().unwrap();
    let v6 = announcement(ip.into(), OWNER, true);
    let (source, to, hop_limit, flags) = read_advertisement(&v6);
    assert_eq!((source, to, hop_limit), (ip, "ff02::1".parse().unwrap(), 255));
    let expected = NeighborAdvertisementHeader { router: true, solicited: false, r#override: true };
    assert_eq!(flags, expected);
    assert_eq!(Frame::new(v6.octets()).unwrap().dst(), MacAddr::new([0x33, 0x33, 0, 0, 0, 1]));
    let told = Binding { ip: ip.into(), mac: OWNER, router: Some(true) };
    assert_eq!(binding(&v6), Message { binding: Some(told), question: None });
}

/// The packets of a little-endian capture file, from an offset each.
fn packets(file: &[u8], from: usize) -> Vec<&[u8]> {
    let (mut rest, mut found) = (&file[24..], Vec::new());
    while let Some((record, behind)) = rest.split_first_chunk::<16>() {
        let len = u32::from_le_bytes(*record[8..].first_chunk().unwrap()) as usize;
        found.push(&behind[from..len]);
        rest = &behind[len..];
    }
    found
}

#[test]
fn the_answer_to_a_captured_request_is_the_captured_reply() {
    // Frames start behind the outer headers and that of VXLAN.
    let vxlan = packets(include_bytes!("../../../tests/data/pcap/suricata/vxlan-arp.pcap"), 50);
    let plain = packets(include_bytes!("../../../tests/data/inner/tcpdump/mptcp-fclose.pcap"), 0);
    for frames in [vxlan, plain] {
        let arp: Vec<_> = frames.iter().filter(|frame| frame[12..14] == [8, 6]).collect();
        let [request, reply] = arp[..] else { panic!("{} ARP packets", arp.len()) };
        let question = decode(request).unwrap().question.unwrap();
        let owner = decode(reply).unwrap().binding.unwrap();
        assert_eq!(question.target(), owner.ip);
        assert_eq!(question.answer(owner.mac, false).octets(), &reply[..42]);
    }
}

#[test]
fn captured_duplicate_address_detection_and_overlong_arp_say_nothing() {
    for file in [
        &include_bytes!("../../../tests/data/inner/tcpdump/icmpv6-ns-nonce.pcap")[..],
        include_bytes!("../../../tests/data/inner/tcpdump/arp-too-long-tha.pcap"),
    ] {
        assert_eq!(packets(file, 0).into_iter().map(decode).collect::<Vec<_>>(), [None]);
    }
}

#[test]
fn solicitations_that_others_make_are_read() {
    let source: Ipv6Addr = "fe80::1".parse().unwrap();
    let (target, to) =
        ("fe80::2".parse::<Ipv6Addr>().unwrap(), "ff02::1:ff00:2".parse::<Ipv6Addr>().unwrap());
    let payload = [&target.octets()[..], &option(SOURCE_ADDRESS, ASKER)].concat();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(ASKER.octets(), group_mac(to).octets())
        .ipv6(source.octets(), to.octets(), 255)
        .icmpv6(Icmpv6Type::NeighborSolicitation)
        .write(&mut frame, &payload)
        .unwrap();
    assert_eq!(decode(&frame).unwrap().question.unwrap().target(), IpAddr::V6(target));
}

proptest! {
    #[test]
    fn any_octets_are_allowed(octets in proptest::collection::vec(any::<u8>(), 14..120), at in 0usize..120, bit in 0u8..8) {
        let _ = decode(&octets);
        for mut frame in [request(), solicitation().frame(), advertisement(OVERRIDE).frame()] {
            frame.extend(&octets[..octets.len() / 2]);
            if let Some(octet) = frame.get_mut(at) {
                *octet ^= 1u8 << bit;
            }
            if let Some(question) = decode(&frame).and_then(|message| message.question) {
                prop_assert!(is_host(question.target()));
                prop_assert_eq!(decode(question.answer(OWNER, false).octets()).unwrap().question, None);
            }
        }
    }

    #[test]
    fn an_answer_is_read_as_what_was_asked(source in any::<u32>(), target in any::<u32>(), owner in any::<[u8; 5]>()) {
        let [a, b, c, d, e] = owner;
        let owner = MacAddr::new([2, a, b, c, d, e]);
        let frame = arp(REQUEST, MacAddr::BROADCAST, source.to_be_bytes(), target.to_be_bytes());
        if let Some(question) = decode(&frame).unwrap().question {
            let told = decode(question.answer(owner, false).octets()).unwrap().binding.unwrap();
            prop_assert_eq!((told.ip, told.mac), (question.target(), owner));
        }
    }
}
