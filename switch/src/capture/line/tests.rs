use encap::Vni;
use etherparse::{PacketBuilder, PacketBuilderStep, VlanId};

use super::*;

const SRC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const DST: [u8; 6] = [2, 0, 0, 0, 0, 2];
const MACS: &str = "02:00:00:00:00:01 > 02:00:00:00:00:02";

fn ethernet() -> PacketBuilderStep<etherparse::Ethernet2Header> {
    PacketBuilder::ethernet2(SRC, DST)
}

fn of(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut octets = Vec::new();
    write(&mut octets);
    octets
}

#[test]
fn tcp_has_its_ports_and_flags() {
    let octets = of(|out| {
        let tcp = ethernet().ipv4([10, 1, 0, 5], [10, 1, 0, 6], 64).tcp(4444, 80, 1, 1000);
        tcp.syn().ack(7).write(out, &[1; 10]).unwrap();
    });
    assert_eq!(frame(&octets, 64), format!("{MACS}, IPv4, length 64: 10.1.0.5.4444 > 10.1.0.6.80: TCP [S.]"));
}

#[test]
fn udp_over_ipv6_in_a_vlan_has_all_of_it() {
    let octets = of(|out| {
        let vlan = ethernet().single_vlan(VlanId::try_new(7).unwrap());
        vlan.ipv6([0xfd; 16], [0xfe; 16], 64).udp(53, 5353).write(out, &[1; 10]).unwrap();
    });
    let line = frame(&octets, 80);
    assert!(line.starts_with(&format!("{MACS}, vlan 7, IPv6, length 80: fdfd:")), "{line}");
    assert!(line.ends_with(".5353: UDP"), "{line}");
}

#[test]
fn pings_and_other_icmp_are_told_apart() {
    let echo = of(|out| {
        let icmp = ethernet().ipv4([10, 1, 0, 5], [10, 1, 0, 6], 64).icmpv4_echo_request(1, 2);
        icmp.write(out, &[0; 8]).unwrap();
    });
    assert_eq!(frame(&echo, 50), format!("{MACS}, IPv4, length 50: 10.1.0.5 > 10.1.0.6: ICMP echo request"));
    let other = of(|out| {
        let icmp = ethernet().ipv6([0xfd; 16], [0xfe; 16], 64).icmpv6_raw(2, 0, [0; 4]);
        icmp.write(out, &[0; 8]).unwrap();
    });
    assert!(frame(&other, 70).ends_with(": ICMPv6 type 2 code 0"), "{}", frame(&other, 70));
}

#[test]
fn arp_tells_who_asks_for_whom_and_who_answers() {
    let octets = |operation: u8| {
        let arp =
            [0, 1, 8, 0, 6, 4, 0, operation, 2, 0, 0, 0, 0, 1, 10, 1, 0, 5, 0, 0, 0, 0, 0, 0, 10, 1, 0, 6];
        [&DST[..], &SRC, &[8, 6], &arp].concat()
    };
    assert_eq!(frame(&octets(1), 42), format!("{MACS}, ARP, length 42: who has 10.1.0.6? tell 10.1.0.5"));
    assert_eq!(frame(&octets(2), 42), format!("{MACS}, ARP, length 42: 10.1.0.5 is at 02:00:00:00:00:01"));
}

#[test]
fn a_datagram_names_its_tunnel_and_network() {
    for (format, title) in [(Format::Vxlan, "VXLAN"), (Format::Geneve, "Geneve")] {
        let inner = [&DST[..], &SRC, &[0x88, 0xb5], &[0; 46]].concat();
        let octets = [&tunnel::encode(format, Vni::new(100).unwrap())[..], &inner].concat();
        let expected = format!("{title}, vni 100: {MACS}, ethertype 0x88b5, length 60");
        assert_eq!(datagram(format, &octets, octets.len()), expected);
    }
}

#[test]
fn a_fragment_has_no_ports() {
    let mut octets = of(|out| {
        ethernet().ipv4([10, 1, 0, 5], [10, 1, 0, 6], 64).udp(1, 2).write(out, &[0; 64]).unwrap();
    });
    octets[14 + 6..14 + 8].copy_from_slice(&[0, 8]);
    assert_eq!(frame(&octets, 106), format!("{MACS}, IPv4, length 106: 10.1.0.5 > 10.1.0.6: UDP, fragment"));
}

#[test]
fn no_octets_are_refused() {
    let whole = of(|out| {
        let tcp = ethernet().ipv4([10, 1, 0, 5], [10, 1, 0, 6], 64).tcp(4444, 80, 1, 1000);
        tcp.write(out, &[1; 10]).unwrap();
    });
    for cut in 0..whole.len() {
        let line = frame(&whole[..cut], whole.len());
        assert!(line.contains("length 64"), "{line}");
        for format in [Format::Vxlan, Format::Geneve] {
            assert!(!datagram(format, &whole[..cut], 64).is_empty());
        }
    }
    assert!(frame(&whole[..13], 64).starts_with("no frame, length 64: 02 00"));
}
