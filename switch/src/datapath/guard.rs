//! The port guard: a port that was given a MAC address or IP addresses sends from no others.
//!
//! Besides the addresses it was given, a port may always use what a host needs before it has one: 0.0.0.0 (DHCP, ARP
//! probes), `::` (duplicate address detection) and IPv6 link-local addresses. What ARP and ND say binds an IP address
//! to a MAC address in the caches of others, so both must be the port's own there, too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use encap::ether::{self, Frame};
use encap::inet::{Layers, Net};
use encap::neighbor::{ADVERTISEMENT, ICMPV6, SOLICITATION};

use crate::topology::Guard;

impl Guard {
    /// Whether the port may send this frame.
    #[must_use]
    #[inline]
    pub fn admits(&self, frame: &Frame<'_>, layers: &Layers) -> bool {
        if self.mac.is_some_and(|mac| mac != frame.src()) {
            return false;
        }
        if self.addresses.is_empty() && self.mac.is_none() {
            return true;
        }
        match frame.ethertype() {
            ether::ARP => self.admits_arp(frame),
            ether::IPV4 | ether::IPV6 => {
                let source = layers.addresses(frame.octets()).map(|(source, _)| source);
                source.is_some_and(|ip| self.owns(ip))
                    && (layers.net == Net::V4 || self.admits_nd(frame, layers.l3))
            }
            _ => true,
        }
    }

    /// Whether the port may use this source address.
    fn owns(&self, ip: IpAddr) -> bool {
        let always = match ip {
            IpAddr::V4(ip) => ip.is_unspecified(),
            IpAddr::V6(ip) => ip.is_unspecified() || ip.is_unicast_link_local(),
        };
        always || self.addresses.is_empty() || self.addresses.contains(&ip)
    }

    /// ARP for IPv4 over Ethernet (RFC 826): sender MAC at octet 8, sender IP at 14.
    fn admits_arp(&self, frame: &Frame<'_>) -> bool {
        let arp = frame.l3();
        let Some(&[a, b, c, d]) = arp.get(14..18).and_then(|ip| ip.first_chunk()) else { return false };
        arp.get(8..14) == Some(&frame.src().octets()) && self.owns(Ipv4Addr::new(a, b, c, d).into())
    }

    /// ND (RFC 4861 §4.3, 4.4): the link-layer option is the sender's own, and so is the target of an advertisement.
    fn admits_nd(&self, frame: &Frame<'_>, l3: usize) -> bool {
        let packet = &frame.octets()[l3..];
        let Some((header, icmp)) = packet.split_first_chunk::<40>() else { return false };
        let kind = icmp.first().copied().unwrap_or(0);
        if header[6] != ICMPV6 || !matches!(kind, SOLICITATION | ADVERTISEMENT) {
            return true;
        }
        let Some((message, mut options)) = icmp.split_first_chunk::<24>() else { return false };
        if kind == ADVERTISEMENT {
            let target = message.last_chunk::<16>().map(|octets| Ipv6Addr::from(*octets));
            if !target.is_some_and(|target| self.owns(target.into())) {
                return false;
            }
        }
        let own_option = kind - SOLICITATION + 1; // 1: source, 2: target link-layer address
        while let [option, eights, ..] = *options {
            let octets = usize::from(eights).max(1) * 8;
            let Some((body, rest)) = options.split_at_checked(octets) else { return false };
            if option == own_option && body.get(2..8) != Some(&frame.src().octets()) {
                return false;
            }
            options = rest;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn guard() -> Guard {
        let addresses = vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        Guard { mac: Some(encap::MacAddr::new(MAC)), addresses }
    }

    fn admitted(frame: &[u8]) -> bool {
        guard().admits(&Frame::new(frame).unwrap(), &Layers::of(frame))
    }

    fn ethernet(src: [u8; 6], ethertype: u16, body: &[u8]) -> Vec<u8> {
        [&[0xff; 6], &src[..], &ethertype.to_be_bytes(), body].concat()
    }

    fn ipv4(source: [u8; 4]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 20, 0, 1, 0, 0, 64, 99, 0, 0];
        packet.extend(source);
        packet.extend([10, 0, 0, 9]);
        ethernet(MAC, ether::IPV4, &packet)
    }

    fn arp(sender_mac: [u8; 6], sender_ip: [u8; 4]) -> Vec<u8> {
        let body = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &sender_mac, &sender_ip, &[0; 6], &[10, 0, 0, 9]].concat();
        ethernet(MAC, ether::ARP, &body)
    }

    fn advertisement(target: &str, option_mac: [u8; 6]) -> Vec<u8> {
        let icmp = [
            &[136, 0, 0, 0, 0, 0, 0, 0][..],
            &target.parse::<Ipv6Addr>().unwrap().octets(),
            &[2, 1],
            &option_mac,
        ]
        .concat();
        let source = "fe80::1".parse::<Ipv6Addr>().unwrap().octets();
        let packet = [&[0x60, 0, 0, 0, 0, 32, ICMPV6, 255][..], &source, &[0xff; 16], &icmp].concat();
        ethernet(MAC, ether::IPV6, &packet)
    }

    #[test]
    fn only_the_given_mac_and_ip_addresses_pass() {
        assert!(admitted(&ipv4([10, 0, 0, 1])));
        assert!(!admitted(&ipv4([10, 0, 0, 2])));
        assert!(!admitted(&ethernet([2, 0, 0, 0, 0, 9], 0x1234, &[])));
        assert!(admitted(&ethernet(MAC, 0x1234, &[])));
    }

    #[test]
    fn a_host_without_an_address_may_ask_for_one() {
        assert!(admitted(&ipv4([0, 0, 0, 0])));
        assert!(admitted(&arp(MAC, [0, 0, 0, 0])));
    }

    #[test]
    fn arp_binds_own_addresses_only() {
        assert!(admitted(&arp(MAC, [10, 0, 0, 1])));
        assert!(!admitted(&arp(MAC, [10, 0, 0, 2])));
        assert!(!admitted(&arp([2, 0, 0, 0, 0, 9], [10, 0, 0, 1])));
        assert!(!admitted(&arp(MAC, [10, 0, 0, 1])[..30]));
    }

    #[test]
    fn neighbour_advertisements_bind_own_addresses_only() {
        assert!(admitted(&advertisement("fd00::1", MAC)));
        assert!(admitted(&advertisement("fe80::1", MAC)));
        assert!(!admitted(&advertisement("fd00::2", MAC)));
        assert!(!admitted(&advertisement("fd00::1", [2, 0, 0, 0, 0, 9])));
    }
}
