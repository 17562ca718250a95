use etherparse::PacketBuilder;

use super::*;

const FORMATS: [Format; 2] = [Format::Vxlan, Format::Geneve];

fn names(format: Format) -> Names {
    Names::of(&Plan::new(2, 1, format))
}

/// A ping between the pods of two nodes, as another implementation writes its headers.
fn ping(format: Format) -> Vec<u8> {
    let (from, to) = ([2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 2, 1]);
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(from, to)
        .ipv4([10, 32, 1, 1], [10, 32, 2, 1], 64)
        .icmpv4_echo_request(7, 9)
        .write(&mut frame, &[0x77; 56])
        .unwrap();
    outside(format, &frame)
}

fn outside(format: Format, frame: &[u8]) -> Vec<u8> {
    let header = tunnel::encode(format, Vni::new(100).unwrap());
    let mut packet = Vec::new();
    PacketBuilder::ethernet2([2, 0, 10, 99, 0, 1], [2, 0, 10, 99, 0, 2])
        .ipv4([10, 99, 0, 1], [10, 99, 0, 2], 64)
        .udp(50_000, port(format))
        .write(&mut packet, &[header.as_slice(), frame].concat())
        .unwrap();
    packet
}

fn parsed(packet: &[u8], format: Format) -> Datagram<'_> {
    Datagram::parse(packet, format).expect("a datagram of the tunnel")
}

#[test]
fn every_octet_of_a_ping_is_in_one_field() {
    for format in FORMATS {
        let (packet, names) = (ping(format), names(format));
        let layers = parsed(&packet, format).layers(&names).unwrap();
        let sizes: Vec<usize> =
            layers.iter().map(|layer| layer.fields.iter().map(|field| field.size).sum()).collect();
        assert_eq!(sizes, [14, 20, 8, 8, 14, 20, 64]);
        assert_eq!(sizes.iter().sum::<usize>(), packet.len());
    }
}

#[test]
fn fields_have_the_place_octets_and_meaning_of_the_standards() {
    let text = render(&ping(Format::Vxlan), &names(Format::Vxlan)).unwrap();
    let row = |at: &str| {
        let row = text.lines().find(|line| line.trim_start().starts_with(&format!("{at} ")));
        row.unwrap_or_else(|| panic!("no octet {at} in\n{text}"))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(row("0"), "0 6 destination 02 00 0a 63 00 02 node-2");
    assert_eq!(row("26"), "26 4 source 0a 63 00 01 10.99.0.1, node-1");
    assert_eq!(row("36"), "36 2 destination port 12 b5 4789, VXLAN");
    assert_eq!(row("40").split(' ').next_back(), Some("right"));
    assert_eq!(row("46"), "46 3 VNI 00 00 64 100, network demo");
    assert_eq!(row("56"), "56 6 source 02 00 00 00 01 01 pod-1-1");
    assert_eq!(row("90"), "90 2 sequence 00 09 9");
    assert_eq!(row("92"), "92 56 data 77 77 77 77 77 .. 56 octets");
    assert!(
        text.contains("IP 10.99.0.1.50000 > 10.99.0.2.4789: VXLAN, flags [I] (0x08), vni 100\n"),
        "{text}"
    );
    assert!(text.contains("IP 10.32.1.1 > 10.32.2.1: ICMP echo request, id 7, seq 9, length 64\n"), "{text}");
}

#[test]
fn no_line_is_wider_than_a_terminal() {
    for format in FORMATS {
        let text = render(&ping(format), &names(format)).unwrap();
        assert_eq!(text.lines().find(|line| line.chars().count() > 80), None, "{text}");
    }
}

#[test]
fn pods_addresses_are_found_inside_only() {
    let text = render(&ping(Format::Geneve), &names(Format::Geneve)).unwrap();
    assert!(text.contains("outside, in octets 0 to 49: none\n"), "{text}");
    let inside = "Inside: 02:00:00:00:02:01 at 50, 02:00:00:00:01:01 at 56, 10.32.1.1 at 76, 10.32.2.1 at 80";
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.ends_with(inside), "{text}");
}

#[test]
fn an_address_of_a_pod_in_an_outer_header_is_noticed() {
    let (format, names) = (Format::Vxlan, names(Format::Vxlan));
    assert!(!parsed(&ping(format), format).leaks(&names));
    for (at, octets) in [(6, [2, 0, 0, 0, 1, 1].as_slice()), (30, [10, 32, 2, 1].as_slice())] {
        let mut packet = ping(format);
        packet[at..at + octets.len()].copy_from_slice(octets);
        assert!(parsed(&packet, format).leaks(&names), "at {at}");
        assert!(addresses(&parsed(&packet, format), &names).contains(&format!(" at {at}")));
    }
}

#[test]
fn checksums_are_right_wrong_or_left_to_the_network_card() {
    let format = Format::Vxlan;
    let mut packet = ping(format);
    assert_eq!(parsed(&packet, format).udp_checksum(), "right");
    packet[41] ^= 1;
    assert_eq!(parsed(&packet, format).udp_checksum(), "WRONG");
    packet[40..42].copy_from_slice(&[0, 0]);
    assert_eq!(parsed(&packet, format).udp_checksum(), "none");
    // RFC 768: addresses, protocol, length; not complemented.
    let length = packet.len() as u16 - 34;
    let words = [0x0a63, 0x0001, 0x0a63, 0x0002, 17, length];
    let sum: u16 = words.into_iter().sum();
    packet[40..42].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(parsed(&packet, format).udp_checksum(), "left to the network card");
}

#[test]
fn only_a_whole_echo_request_between_the_first_pods_is_the_ping() {
    let (format, names) = (Format::Vxlan, names(Format::Vxlan));
    let good = ping(format);
    assert!(parsed(&good, format).is_ping(&names));
    let changed = |at: usize, octet: u8| {
        let mut packet = good.clone();
        packet[at] = octet;
        packet
    };
    assert!(!parsed(&changed(84, 0), format).is_ping(&names), "a reply");
    assert!(!parsed(&changed(79, 2), format).is_ping(&names), "of another pod");
    let two = [good.as_slice(), &good[42..]].concat();
    assert!(!parsed(&two, format).is_ping(&names), "a batch of two");
}

#[test]
fn other_packets_are_no_datagrams_and_cut_ones_no_panic() {
    let good = ping(Format::Vxlan);
    assert!(Datagram::parse(&good, Format::Geneve).is_none(), "another port");
    let arp = [&good[..12], &[8, 6], &good[14..]].concat();
    assert!(Datagram::parse(&arp, Format::Vxlan).is_none());
    let names = names(Format::Vxlan);
    for length in 0..good.len() {
        if let Some(datagram) = Datagram::parse(&good[..length], Format::Vxlan) {
            assert!(!datagram.is_ping(&names), "{length} octets");
            assert!(!datagram.leaks(&names));
        }
        assert!(length == good.len() || render(&good[..length], &names).is_none(), "{length} octets");
    }
}
