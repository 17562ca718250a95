//! The frame whose way is traced: what a pod would send, with its lengths and checksums right.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use encap::checksum::Sum;
use encap::inet::{ICMP, TCP, UDP};
use encap::neighbor::{self, ICMPV6};
use encap::{MacAddr, ether};
use serde::{Deserialize, Serialize};

/// The source port of TCP and UDP: one of those that hosts choose themselves (RFC 6335 §6).
const SOURCE_PORT: u16 = 50_000;
const HOPS: u8 = 64;

/// What a frame carries.
///
/// # Examples
///
/// ```
/// use weft::trace::frame::Protocol;
///
/// assert_eq!("tcp/80".parse(), Ok(Protocol::Tcp(80)));
/// assert_eq!(Protocol::Icmp.to_string(), "icmp");
/// assert!("tcp".parse::<Protocol>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Protocol {
    /// An echo request.
    Icmp,
    /// A segment of a connection to this port.
    Tcp(u16),
    /// A datagram to this port.
    Udp(u16),
    /// The question who has an address: ARP, or neighbour discovery.
    Question,
}

/// Why a text is no protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no protocol: give icmp or arp, or tcp/PORT or udp/PORT with a port of 1 to 65535, such as tcp/80"
)]
pub struct ProtocolError(String);

impl FromStr for Protocol {
    type Err = ProtocolError;

    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        let error = || ProtocolError(text.to_owned());
        let (name, port) = text.split_once('/').map_or((text, None), |(name, port)| (name, Some(port)));
        let port =
            port.map(|port| port.parse().ok().filter(|port| *port > 0).ok_or_else(error)).transpose()?;
        match (name, port) {
            ("icmp", None) => Ok(Self::Icmp),
            ("arp", None) => Ok(Self::Question),
            ("tcp", Some(port)) => Ok(Self::Tcp(port)),
            ("udp", Some(port)) => Ok(Self::Udp(port)),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Icmp => f.write_str("icmp"),
            Self::Tcp(port) => write!(f, "tcp/{port}"),
            Self::Udp(port) => write!(f, "udp/{port}"),
            Self::Question => f.write_str("arp"),
        }
    }
}

impl TryFrom<String> for Protocol {
    type Error = ProtocolError;

    fn try_from(text: String) -> Result<Self, ProtocolError> {
        text.parse()
    }
}

impl From<Protocol> for String {
    fn from(protocol: Protocol) -> Self {
        protocol.to_string()
    }
}

/// The source and the destination address, of one IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// IPv4.
    V4(Ipv4Addr, Ipv4Addr),
    /// IPv6.
    V6(Ipv6Addr, Ipv6Addr),
}

impl Addresses {
    /// Both; `None` = they are not of one IP version.
    #[must_use]
    pub const fn new(from: IpAddr, to: IpAddr) -> Option<Self> {
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => Some(Self::V4(from, to)),
            (IpAddr::V6(from), IpAddr::V6(to)) => Some(Self::V6(from, to)),
            _ => None,
        }
    }

    /// The source.
    #[must_use]
    pub const fn from(self) -> IpAddr {
        match self {
            Self::V4(from, _) => IpAddr::V4(from),
            Self::V6(from, _) => IpAddr::V6(from),
        }
    }

    /// The destination.
    #[must_use]
    pub const fn to(self) -> IpAddr {
        match self {
            Self::V4(_, to) => IpAddr::V4(to),
            Self::V6(_, to) => IpAddr::V6(to),
        }
    }
}

/// A frame, described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameSpec {
    /// Who sends it.
    pub src: MacAddr,
    /// For whom; a [question](Protocol::Question) goes to all that may know.
    pub dst: MacAddr,
    /// The IP addresses.
    pub addresses: Addresses,
    /// What it carries.
    pub protocol: Protocol,
    /// Octets of the IP packet; it has more where the headers need them. A question has its own.
    pub size: u16,
    /// Its VLAN tag.
    pub vlan: Option<u16>,
}

impl FrameSpec {
    /// The question of `src` who has the destination address: to everybody, or to the group of the address.
    #[must_use]
    pub fn asking(src: MacAddr, addresses: Addresses, vlan: Option<u16>) -> Self {
        let dst = neighbor::request(src, addresses.from(), addresses.to())
            .and_then(|frame| frame.octets().first_chunk::<6>().copied())
            .map_or(MacAddr::BROADCAST, MacAddr::new);
        Self { src, dst, addresses, protocol: Protocol::Question, size: 0, vlan }
    }

    /// The frame, IPv4 with DF as hosts send it.
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        let mut frame = match self.addresses {
            _ if self.protocol == Protocol::Question => self.question(),
            Addresses::V4(from, to) => self.ethernet(ether::IPV4, &self.v4(from, to)),
            Addresses::V6(from, to) => self.ethernet(ether::IPV6, &self.v6(from, to)),
        };
        if let Some(vlan) = self.vlan {
            let [a, b] = ether::VLAN.to_be_bytes();
            let [c, d] = (vlan & 0xfff).to_be_bytes();
            frame.splice(12..12, [a, b, c, d]);
        }
        frame
    }

    fn question(&self) -> Vec<u8> {
        neighbor::request(self.src, self.addresses.from(), self.addresses.to())
            .map_or_else(Vec::new, |frame| frame.octets().to_vec())
    }

    fn ethernet(&self, ethertype: u16, packet: &[u8]) -> Vec<u8> {
        [&self.dst.octets()[..], &self.src.octets(), &ethertype.to_be_bytes(), packet].concat()
    }

    fn v4(&self, from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
        let (protocol, body) = self.body(20, ICMP);
        let mut packet = vec![0x45, 0];
        packet.extend(octets_of(20 + body.len()));
        packet.extend([0, 0, 0x40, 0, HOPS, protocol, 0, 0]);
        packet.extend(from.octets().into_iter().chain(to.octets()));
        let sum = Sum::of(&packet).complement();
        packet[10..12].copy_from_slice(&sum);
        packet.extend(body);
        packet
    }

    fn v6(&self, from: Ipv6Addr, to: Ipv6Addr) -> Vec<u8> {
        let (protocol, body) = self.body(40, ICMPV6);
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(octets_of(body.len()));
        packet.extend([protocol, HOPS]);
        packet.extend(from.octets().into_iter().chain(to.octets()));
        packet.extend(body);
        packet
    }

    /// All behind an IP header of so many octets, with its protocol number.
    fn body(&self, header: usize, icmp: u8) -> (u8, Vec<u8>) {
        let ports = |port: u16| [SOURCE_PORT.to_be_bytes(), port.to_be_bytes()].concat();
        let (protocol, mut body, checksum) = match self.protocol {
            Protocol::Tcp(port) => {
                // An ACK with data of a connection that exists.
                let rest = [0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0];
                (TCP, [&ports(port)[..], &rest].concat(), 16)
            }
            Protocol::Udp(port) => (UDP, [&ports(port)[..], &[0; 4]].concat(), 6),
            Protocol::Icmp | Protocol::Question => {
                let echo = if icmp == ICMP { 8 } else { 128 };
                (icmp, vec![echo, 0, 0, 0, 0, 1, 0, 1], 2)
            }
        };
        body.resize(usize::from(self.size).saturating_sub(header).max(body.len()), 0);
        let len = octets_of(body.len());
        if protocol == UDP {
            body[4..6].copy_from_slice(&len);
        }
        let pseudo = Sum::of_addresses(self.addresses.from(), self.addresses.to(), protocol);
        let pseudo = if protocol == ICMP { Sum::default() } else { pseudo.and_u16(u16::from_be_bytes(len)) };
        let sum = pseudo.and(&body).complement();
        body[checksum..checksum + 2].copy_from_slice(&sum);
        (protocol, body)
    }
}

/// A length field; an IP packet is never longer than it can say.
fn octets_of(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes()
}
