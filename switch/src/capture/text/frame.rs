//! A frame in words, much as tcpdump prints it.

use std::fmt::{Arguments, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use encap::MacAddr;
use encap::neighbor::{ADVERTISEMENT, SOLICITATION};
use etherparse::{
    ArpOperation, ArpPacketSlice, Icmpv4Slice, Icmpv6Slice, IpNumber, LaxLinkExtSlice, LaxNetSlice,
    LaxSlicedPacket, LinkSlice, TcpOptionElement, TcpSlice, TransportSlice, UdpSlice, ether_type,
};

/// A frame of `len` octets, of which these are the first, in a few words.
///
/// # Examples
///
/// ```
/// let mut frame = [0; 60];
/// frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
/// let words = weft::capture::text::frame(&frame, 60);
/// assert_eq!(words, "02:00:00:00:00:01 > 02:00:00:00:00:02 ethertype 0x88b5 len 60");
/// ```
#[must_use]
pub fn frame(octets: &[u8], len: usize) -> String {
    let Ok(packet) = LaxSlicedPacket::from_ethernet(octets) else {
        let what = if octets.len() < len { "cut off" } else { "no Ethernet header" };
        return format!("{what} len {len}");
    };
    let Some(LinkSlice::Ethernet2(ethernet)) = &packet.link else { return format!("len {len}") };
    let [src, dst] = [ethernet.source(), ethernet.destination()].map(MacAddr::new);
    let mut line = format!("{src} > {dst} ");
    let (mut kind, mut start) = (ethernet.ether_type(), encap::ether::HEADER_LEN);
    for tag in &packet.link_exts {
        if let LaxLinkExtSlice::Vlan(tag) = tag {
            put(&mut line, format_args!("vlan {} ", tag.vlan_identifier().value()));
            kind = tag.ether_type();
            start += encap::ether::TAG_LEN;
        }
    }
    match &packet.net {
        Some(LaxNetSlice::Arp(message)) => arp(&mut line, message),
        Some(net) => ip(&mut line, net, packet.transport.as_ref(), len.saturating_sub(start)),
        None if [ether_type::ARP, ether_type::IPV4, ether_type::IPV6].contains(&kind) => {
            put(&mut line, format_args!("{} cut off or broken len {len}", name(kind.0)));
        }
        None => put(&mut line, format_args!("{} len {len}", name(kind.0))),
    }
    line
}

fn name(kind: u16) -> String {
    match kind {
        encap::ether::ARP => "arp".to_owned(),
        encap::ether::IPV4 => "ip".to_owned(),
        encap::ether::IPV6 => "ip6".to_owned(),
        encap::ether::MAC_CONTROL => "mac control".to_owned(),
        0..1536 => "802.3".to_owned(),
        other => format!("ethertype {other:#06x}"),
    }
}

fn arp(line: &mut String, message: &ArpPacketSlice<'_>) {
    let v4 = |octets: &[u8]| <[u8; 4]>::try_from(octets).map(Ipv4Addr::from);
    let (Ok(sender), Ok(target)) = (v4(message.sender_protocol_addr()), v4(message.target_protocol_addr()))
    else {
        return put(line, format_args!("arp, not of IPv4"));
    };
    let mac = <[u8; 6]>::try_from(message.sender_hw_addr())
        .map_or_else(|_| "?".to_owned(), |m| MacAddr::new(m).to_string());
    match message.operation() {
        ArpOperation::REQUEST if sender.is_unspecified() => {
            put(line, format_args!("arp probe, who has {target}"));
        }
        ArpOperation::REQUEST if sender == target => {
            put(line, format_args!("arp announcement, {sender} is at {mac}"));
        }
        ArpOperation::REQUEST => put(line, format_args!("arp who has {target}, tell {sender}")),
        ArpOperation::REPLY => put(line, format_args!("arp {sender} is at {mac}")),
        ArpOperation(other) => put(line, format_args!("arp operation {other}")),
    }
}

/// `len`: the octets of the packet.
fn ip(line: &mut String, net: &LaxNetSlice<'_>, transport: Option<&TransportSlice<'_>>, len: usize) {
    let Some((from, to, payload)) = ends(net, len) else { return };
    match transport {
        Some(TransportSlice::Tcp(segment)) => {
            let (source, destination) = (segment.source_port(), segment.destination_port());
            put(line, format_args!("{from}.{source} > {to}.{destination} tcp "));
            tcp(line, segment, payload);
        }
        Some(TransportSlice::Udp(datagram)) => {
            let (source, destination) = (datagram.source_port(), datagram.destination_port());
            put(line, format_args!("{from}.{source} > {to}.{destination} udp "));
            udp(line, datagram);
        }
        Some(TransportSlice::Icmpv4(message)) => {
            put(line, format_args!("{from} > {to} icmp "));
            icmp(line, message, payload);
        }
        Some(TransportSlice::Icmpv6(message)) => {
            put(line, format_args!("{from} > {to} icmp6 "));
            icmp6(line, message, payload);
        }
        _ => {
            let slice = net.ip_payload_ref();
            let number = slice.map_or(IpNumber(255), |slice| slice.ip_number);
            put(line, format_args!("{from} > {to} {} ", protocol(number)));
            if slice.is_some_and(|slice| slice.fragmented) {
                fragment(line, net);
            }
            put(line, format_args!("len {payload}"));
        }
    }
}

/// Addresses, and the octets behind the IP headers as these say it.
fn ends(net: &LaxNetSlice<'_>, len: usize) -> Option<(IpAddr, IpAddr, usize)> {
    Some(match net {
        LaxNetSlice::Ipv4(v4) => {
            let header = v4.header();
            let payload = usize::from(header.total_len()).saturating_sub(header.slice().len());
            (header.source_addr().into(), header.destination_addr().into(), payload)
        }
        LaxNetSlice::Ipv6(v6) => {
            let (header, extensions) = (v6.header(), v6.extensions().slice().len());
            let payload = match header.payload_length() {
                // Of a super-frame that is too long to tell.
                0 => len.saturating_sub(header.slice().len()),
                told => told.into(),
            };
            let payload = payload.saturating_sub(extensions);
            (header.source_addr().into(), header.destination_addr().into(), payload)
        }
        LaxNetSlice::Arp(_) => return None,
    })
}

fn fragment(line: &mut String, net: &LaxNetSlice<'_>) {
    match net {
        LaxNetSlice::Ipv4(v4) => {
            let (header, at) = (v4.header(), u32::from(v4.header().fragments_offset().value()) * 8);
            put(line, format_args!("fragment of {} at {at} ", header.identification()));
        }
        _ => put(line, format_args!("fragment ")),
    }
}

fn tcp(line: &mut String, segment: &TcpSlice<'_>, payload: usize) {
    let all = [
        (segment.fin(), 'F'),
        (segment.syn(), 'S'),
        (segment.rst(), 'R'),
        (segment.psh(), 'P'),
        (segment.ack(), '.'),
        (segment.urg(), 'U'),
        (segment.ece(), 'E'),
        (segment.cwr(), 'W'),
    ];
    let flags: String = all.into_iter().filter_map(|(set, letter)| set.then_some(letter)).collect();
    put(line, format_args!("[{}] ", if flags.is_empty() { "none" } else { &flags }));
    let len = payload.saturating_sub(segment.header_len());
    let first = segment.sequence_number();
    let behind = u32::try_from(len).map_or(first, |len| first.wrapping_add(len));
    if behind != first || segment.syn() || segment.fin() || segment.rst() {
        put(line, format_args!("seq {first}"));
        if behind != first {
            put(line, format_args!(":{behind}"));
        }
        line.push(' ');
    }
    if segment.ack() {
        put(line, format_args!("ack {} ", segment.acknowledgment_number()));
    }
    if segment.syn() {
        let sizes = segment.options_iterator().filter_map(|option| match option {
            Ok(TcpOptionElement::MaximumSegmentSize(size)) => Some(size),
            _ => None,
        });
        sizes.take(1).for_each(|size| put(line, format_args!("mss {size} ")));
    }
    put(line, format_args!("win {} len {len}", segment.window_size()));
}

fn udp(line: &mut String, datagram: &UdpSlice<'_>) {
    let ports = [datagram.source_port(), datagram.destination_port()];
    if ports.iter().all(|port| [67, 68].contains(port)) {
        dhcp(line, datagram.payload());
    } else if ports.contains(&53) {
        line.push_str("dns ");
    } else if ports.contains(&5353) {
        line.push_str("mdns ");
    } else if ports.iter().all(|port| [546, 547].contains(port)) {
        line.push_str("dhcp6 ");
    }
    put(line, format_args!("len {}", usize::from(datagram.length()).saturating_sub(8)));
}

/// The message of a DHCP packet, and the address that it gives ([RFC 2131], [RFC 2132 §9.6]).
///
/// [RFC 2131]: https://www.rfc-editor.org/rfc/rfc2131
/// [RFC 2132 §9.6]: https://www.rfc-editor.org/rfc/rfc2132#section-9.6
fn dhcp(line: &mut String, packet: &[u8]) {
    const OPTIONS: usize = 240;
    const MESSAGES: [&str; 8] =
        ["discover", "offer", "request", "decline", "ack", "nak", "release", "inform"];
    let mut options = packet.get(OPTIONS..).unwrap_or_default();
    let mut message = None;
    while let [code, rest @ ..] = options {
        options = match (code, rest) {
            (0, rest) => rest,
            (255, _) | (_, []) => break,
            (code, [len, rest @ ..]) => {
                let Some((value, rest)) = rest.split_at_checked(usize::from(*len)) else { break };
                if let (53, [kind]) = (code, value) {
                    message = MESSAGES.get(usize::from(kind.wrapping_sub(1)));
                }
                rest
            }
        };
    }
    put(line, format_args!("dhcp {}", message.unwrap_or(&"message")));
    let yours = packet.get(16..20).and_then(|octets| <[u8; 4]>::try_from(octets).ok()).map(Ipv4Addr::from);
    if let Some(address) = yours.filter(|address| !address.is_unspecified()) {
        put(line, format_args!(" of {address}"));
    }
    line.push(' ');
}

fn icmp(line: &mut String, message: &Icmpv4Slice<'_>, payload: usize) {
    let [a, b, c, d] = message.bytes5to8();
    let numbers = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    match (message.type_u8(), message.code_u8()) {
        (0, _) => echo(line, "reply", numbers),
        (8, _) => echo(line, "request", numbers),
        (3, 0) => line.push_str("network unreachable "),
        (3, 1) => line.push_str("host unreachable "),
        (3, 2) => line.push_str("protocol unreachable "),
        (3, 3) => line.push_str("port unreachable "),
        (3, 4) => put(line, format_args!("too big, mtu {} ", numbers.1)),
        (3, 9 | 10 | 13) => line.push_str("prohibited "),
        (5, _) => line.push_str("redirect "),
        (11, _) => line.push_str("time exceeded "),
        (kind, code) => put(line, format_args!("type {kind} code {code} ")),
    }
    put(line, format_args!("len {payload}"));
}

fn icmp6(line: &mut String, message: &Icmpv6Slice<'_>, payload: usize) {
    let five_to_eight = message.bytes5to8();
    let [a, b, c, d] = five_to_eight;
    let numbers = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let target = message.slice().get(8..24).and_then(|octets| <[u8; 16]>::try_from(octets).ok());
    let target = target.map_or_else(|| "?".to_owned(), |octets| Ipv6Addr::from(octets).to_string());
    match (message.type_u8(), message.code_u8()) {
        (128, _) => echo(line, "request", numbers),
        (129, _) => echo(line, "reply", numbers),
        (1, 3) => line.push_str("address unreachable "),
        (1, 4) => line.push_str("port unreachable "),
        (1, _) => line.push_str("unreachable "),
        (2, _) => put(line, format_args!("too big, mtu {} ", u32::from_be_bytes(five_to_eight))),
        (3, _) => line.push_str("time exceeded "),
        (133, _) => line.push_str("router solicitation "),
        (134, _) => line.push_str("router advertisement "),
        (SOLICITATION, _) => put(line, format_args!("who has {target} ")),
        (ADVERTISEMENT, _) => put(line, format_args!("{target} is here ")),
        (130..=132 | 143, _) => line.push_str("multicast listener "),
        (kind, code) => put(line, format_args!("type {kind} code {code} ")),
    }
    put(line, format_args!("len {payload}"));
}

fn echo(line: &mut String, what: &str, (id, sequence): (u16, u16)) {
    put(line, format_args!("echo {what} id {id} seq {sequence} "));
}

fn protocol(number: IpNumber) -> String {
    match number {
        IpNumber::TCP => "tcp".to_owned(),
        IpNumber::UDP => "udp".to_owned(),
        IpNumber::ICMP => "icmp".to_owned(),
        IpNumber::IPV6_ICMP => "icmp6".to_owned(),
        IpNumber::IGMP => "igmp".to_owned(),
        IpNumber::GRE => "gre".to_owned(),
        IpNumber::SCTP => "sctp".to_owned(),
        IpNumber(other) => format!("protocol {other}"),
    }
}

/// Writing to a string cannot fail.
fn put(line: &mut String, text: Arguments<'_>) {
    let _ = line.write_fmt(text);
}
