//! A frame, or a datagram of the underlay, in a line of text for a person: much as tcpdump with `-e` prints it.
//!
//! What is cut off or makes no sense ends the line early; no octets are refused.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use encap::{Format, MacAddr, tunnel};
use etherparse::{
    ArpOperation, ArpPacketSlice, EtherType, IpNumber, LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket,
    LinkSlice, TcpSlice, TransportSlice, ether_type,
};

/// Octets of a header that is none, which are shown instead.
const SHOWN: usize = 16;

/// A frame of `len` octets, of which these are the first.
///
/// # Examples
///
/// ```
/// let mut frame = [0; 60];
/// frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
/// let line = weft::capture::line::frame(&frame, 60);
/// assert_eq!(line, "02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype 0x88b5, length 60");
/// ```
#[must_use]
pub fn frame(octets: &[u8], len: usize) -> String {
    let Ok(packet) = LaxSlicedPacket::from_ethernet(octets) else {
        return format!("no frame, length {len}: {}", hex(octets));
    };
    let Some(LinkSlice::Ethernet2(ethernet)) = &packet.link else { return format!("length {len}") };
    let [src, dst] = [ethernet.source(), ethernet.destination()].map(MacAddr::new);
    let mut line = format!("{src} > {dst}, ");
    let mut kind = ethernet.ether_type();
    for tag in &packet.link_exts {
        if let LaxLinkExtSlice::Vlan(tag) = tag {
            write(&mut line, format_args!("vlan {}, ", tag.vlan_identifier().value()));
            kind = tag.ether_type();
        }
    }
    write(&mut line, format_args!("{}, length {len}", name(kind)));
    match &packet.net {
        Some(LaxNetSlice::Arp(message)) => arp(&mut line, message),
        Some(net) => ip(&mut line, net, packet.transport.as_ref()),
        None => {}
    }
    line
}

/// A datagram of `len` octets, tunnel header included, of which these are the first.
///
/// # Examples
///
/// ```
/// use encap::Format;
/// use weft::capture::line::datagram;
///
/// assert_eq!(datagram(Format::Vxlan, &[0; 8], 60), "VXLAN, no frame, length 60: 00 00 00 00 00 00 00 00");
/// ```
#[must_use]
pub fn datagram(format: Format, octets: &[u8], len: usize) -> String {
    let title = match format {
        Format::Vxlan => "VXLAN",
        Format::Geneve => "Geneve",
    };
    match tunnel::decode(format, octets, false) {
        Ok((vni, start)) => {
            let inner = frame(&octets[start..], len.saturating_sub(start));
            format!("{title}, vni {vni}: {inner}")
        }
        Err(_) => format!("{title}, no frame, length {len}: {}", hex(octets)),
    }
}

fn ip(line: &mut String, net: &LaxNetSlice<'_>, transport: Option<&TransportSlice<'_>>) {
    let (from, to): (IpAddr, IpAddr) = match net {
        LaxNetSlice::Ipv4(v4) => (v4.header().source_addr().into(), v4.header().destination_addr().into()),
        LaxNetSlice::Ipv6(v6) => (v6.header().source_addr().into(), v6.header().destination_addr().into()),
        LaxNetSlice::Arp(_) => return,
    };
    match transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let (source, destination) = (tcp.source_port(), tcp.destination_port());
            write(line, format_args!(": {from}.{source} > {to}.{destination}: TCP [{}]", flags(tcp)));
        }
        Some(TransportSlice::Udp(udp)) => {
            let (source, destination) = (udp.source_port(), udp.destination_port());
            write(line, format_args!(": {from}.{source} > {to}.{destination}: UDP"));
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            let what = match icmp.type_u8() {
                0 => "echo reply".to_owned(),
                8 => "echo request".to_owned(),
                kind => format!("type {kind} code {}", icmp.code_u8()),
            };
            write(line, format_args!(": {from} > {to}: ICMP {what}"));
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            let what = match icmp.type_u8() {
                128 => "echo request".to_owned(),
                129 => "echo reply".to_owned(),
                135 => "neighbour solicitation".to_owned(),
                136 => "neighbour advertisement".to_owned(),
                kind => format!("type {kind} code {}", icmp.code_u8()),
            };
            write(line, format_args!(": {from} > {to}: ICMPv6 {what}"));
        }
        _ => {
            let payload = net.ip_payload_ref();
            let of = payload.map_or_else(String::new, |payload| protocol(payload.ip_number));
            let fragment = if payload.is_some_and(|payload| payload.fragmented) { ", fragment" } else { "" };
            write(line, format_args!(": {from} > {to}: {of}{fragment}"));
        }
    }
}

fn arp(line: &mut String, message: &ArpPacketSlice<'_>) {
    let v4 = |octets: &[u8]| <[u8; 4]>::try_from(octets).map(Ipv4Addr::from);
    let (Ok(sender), Ok(target)) = (v4(message.sender_protocol_addr()), v4(message.target_protocol_addr()))
    else {
        return;
    };
    match message.operation() {
        ArpOperation::REQUEST => write(line, format_args!(": who has {target}? tell {sender}")),
        ArpOperation::REPLY => {
            let Ok(mac) = <[u8; 6]>::try_from(message.sender_hw_addr()) else { return };
            write(line, format_args!(": {sender} is at {}", MacAddr::new(mac)));
        }
        _ => {}
    }
}

/// As tcpdump writes them.
fn flags(tcp: &TcpSlice<'_>) -> String {
    let all = [
        (tcp.fin(), 'F'),
        (tcp.syn(), 'S'),
        (tcp.rst(), 'R'),
        (tcp.psh(), 'P'),
        (tcp.ack(), '.'),
        (tcp.urg(), 'U'),
        (tcp.ece(), 'E'),
        (tcp.cwr(), 'W'),
    ];
    all.into_iter().filter_map(|(set, letter)| set.then_some(letter)).collect()
}

fn name(kind: EtherType) -> String {
    match kind {
        ether_type::IPV4 => "IPv4".to_owned(),
        ether_type::IPV6 => "IPv6".to_owned(),
        ether_type::ARP => "ARP".to_owned(),
        EtherType(other) => format!("ethertype {other:#06x}"),
    }
}

fn protocol(number: IpNumber) -> String {
    match number {
        IpNumber::TCP => "TCP".to_owned(),
        IpNumber::UDP => "UDP".to_owned(),
        IpNumber::ICMP => "ICMP".to_owned(),
        IpNumber::IPV6_ICMP => "ICMPv6".to_owned(),
        IpNumber(other) => format!("protocol {other}"),
    }
}

fn hex(octets: &[u8]) -> String {
    let shown: Vec<_> = octets.iter().take(SHOWN).map(|octet| format!("{octet:02x}")).collect();
    shown.join(" ")
}

/// Writing to a string cannot fail.
fn write(line: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = line.write_fmt(text);
}

#[cfg(test)]
mod tests;
