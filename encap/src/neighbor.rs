//! Who has which IP address, as ARP ([RFC 826]) and neighbour discovery ([RFC 4861]) ask it and tell it.
//!
//! [`Message::decode`] reads what a frame of a host tells (a [`Binding`]) and asks (a [`Question`]).
//! [`Question::answer`] writes what the owner would answer, [`announcement`] what it would say unasked, [`request`] the
//! question itself.
//!
//! A question is one that may be answered for its owner ([RFC 9161 §4.3]). Whoever asks whether an address is *free* must
//! hear the owner itself, so a probe (sender 0.0.0.0, [RFC 5227]), duplicate address detection (source `::`,
//! [RFC 4862]) and an announcement are none. Nor is anything that is malformed, tagged or has options beyond the
//! ordinary: such frames go their way as any other.
//!
//! [RFC 826]: https://www.rfc-editor.org/rfc/rfc826
//! [RFC 4861]: https://www.rfc-editor.org/rfc/rfc4861
//! [RFC 4862]: https://www.rfc-editor.org/rfc/rfc4862#section-5.4
//! [RFC 5227]: https://www.rfc-editor.org/rfc/rfc5227
//! [RFC 9161 §4.3]: https://www.rfc-editor.org/rfc/rfc9161#section-4.3

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::MacAddr;
use crate::checksum::Sum;
use crate::ether::{self, Frame};
use crate::inet::{Layers, Net};

/// IPv6 next header of ICMPv6.
pub const ICMPV6: u8 = 58;
/// ICMPv6 type of a neighbour solicitation.
pub const SOLICITATION: u8 = 135;
/// ICMPv6 type of a neighbour advertisement.
pub const ADVERTISEMENT: u8 = 136;
/// Option: link-layer address of the sender of a solicitation.
pub const SOURCE_ADDRESS: u8 = 1;
/// Option: link-layer address of the target of an advertisement.
pub const TARGET_ADDRESS: u8 = 2;

/// Ethernet, IPv4, addresses of 6 and of 4 octets: how every ARP packet starts that is read here.
const ARP_START: [u8; 6] = [0, 1, 8, 0, 6, 4];
const ARP_LEN: usize = 28;
const REQUEST: u8 = 1;
const REPLY: u8 = 2;

const IPV6_LEN: usize = 40;
/// A solicitation or an advertisement without options: type, code, checksum, flags, target.
const ND_LEN: usize = 24;
/// With one link-layer address.
const ND_OPTION_LEN: usize = ND_LEN + 8;
/// Whoever receives a smaller hop limit knows that the packet was forwarded, and ignores it (RFC 4861 §7.1).
const HOP_LIMIT: u8 = 255;

const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// An IP address and the MAC address that has it, as the owner tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The IP address.
    pub ip: IpAddr,
    /// The MAC address, which is also the one that sent the frame.
    pub mac: MacAddr,
    /// Whether it is a router (the R flag, RFC 4861 §4.4); `None` = the message does not tell.
    pub router: Option<bool>,
}

/// "Which MAC address has this IP address?", from one who has an address already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    asker: MacAddr,
    ips: Ips,
}

/// Who asks, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ips {
    V4 { source: Ipv4Addr, target: Ipv4Addr },
    V6 { source: Ipv6Addr, target: Ipv6Addr },
}

/// What an ARP or ND frame says.
///
/// # Examples
///
/// ```
/// use encap::ether::Frame;
/// use encap::inet::Layers;
/// use encap::neighbor::Message;
///
/// // 10.0.0.1 asks everybody for 10.0.0.2.
/// let request = [
///     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6, // Ethernet
///     0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
/// ];
/// let message = Message::decode(&Frame::new(&request)?, &Layers::of(&request)).expect("ARP");
/// assert_eq!(message.binding.map(|b| b.ip), Some([10, 0, 0, 1].into()));
///
/// let question = message.question.expect("it asks");
/// assert_eq!(question.target(), std::net::IpAddr::from([10, 0, 0, 2]));
/// let answer = question.answer("02:00:00:00:00:02".parse()?, false);
/// assert_eq!(answer.octets()[..12], [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// What the sender tells of itself; `None` = nothing.
    pub binding: Option<Binding>,
    /// What it asks; `None` = nothing that may be answered for the owner.
    pub question: Option<Question>,
}

impl Message {
    /// Reads a frame that a host sent; `None` for all that is no ARP or ND, or nothing to rely on: any octets are
    /// allowed. `layers` are those of the frame.
    ///
    /// # Cost
    ///
    /// Two comparisons for a frame that is neither; no copy, no allocation.
    #[must_use]
    #[inline]
    pub fn decode(frame: &Frame<'_>, layers: &Layers) -> Option<Self> {
        match frame.ethertype() {
            // Behind a tag is another segment, where the same address may be another host's.
            _ if frame.is_tagged() => None,
            ether::ARP => Self::arp(frame),
            ether::IPV6 if layers.net == Net::V6 && frame.octets()[layers.l3 + 6] == ICMPV6 => {
                Self::nd(frame, layers)
            }
            _ => None,
        }
    }

    fn arp(frame: &Frame<'_>) -> Option<Self> {
        let packet: &[u8; ARP_LEN] = frame.l3().first_chunk()?;
        let (start, sender) = (&packet[..6], &packet[8..14]);
        let operation = packet[7];
        if start != ARP_START
            || packet[6] != 0
            || !matches!(operation, REQUEST | REPLY)
            || sender != frame.src().octets()
        {
            return None;
        }
        let [source, target] = [ipv4(packet, 14)?, ipv4(packet, 24)?];
        let binding = Binding { ip: source.into(), mac: frame.src(), router: None };
        let binding = is_host(binding.ip).then_some(binding);
        let to_all_or_one = frame.dst().is_broadcast() || !frame.dst().is_group();
        let asks = operation == REQUEST && to_all_or_one && is_host(target.into()) && source != target;
        let question = Question { asker: frame.src(), ips: Ips::V4 { source, target } };
        Some(Self { binding, question: binding.and(asks.then_some(question)) })
    }

    /// RFC 4861 §7.1.1 and 7.1.2: what a receiver checks.
    fn nd(frame: &Frame<'_>, layers: &Layers) -> Option<Self> {
        let packet = frame.octets().get(layers.l3..layers.end)?;
        let (header, icmp) = packet.split_first_chunk::<IPV6_LEN>()?;
        let (message, options) = icmp.split_first_chunk::<ND_LEN>()?;
        let [source, to, target] = [ipv6(header, 8)?, ipv6(header, 24)?, ipv6(message, 8)?];
        let code = message[1];
        let sum = Sum::of(&header[8..]).and_u16(u16::from(ICMPV6)).and_u16(u16::try_from(icmp.len()).ok()?);
        // An unspecified source is duplicate address detection: it has nothing to tell yet.
        if header[7] != HOP_LIMIT
            || code != 0
            || !is_host(target.into())
            || !is_host(source.into())
            || !sum.and(icmp).is_valid()
        {
            return None;
        }
        let options = Options::decode(options, frame.src())?;
        match message[0] {
            SOLICITATION => {
                let binding = Binding { ip: source.into(), mac: frame.src(), router: None };
                let to_group = to == solicited_node(target) && frame.dst() == group_mac(to) && options.source;
                let to_owner = to == target && !frame.dst().is_group();
                let asks = (to_group || to_owner) && !options.target && !options.others && source != target;
                let question = Question { asker: frame.src(), ips: Ips::V6 { source, target } };
                Some(Self { binding: options.source.then_some(binding), question: asks.then_some(question) })
            }
            ADVERTISEMENT => {
                let flags = message[4];
                if to.is_multicast() && flags & SOLICITED != 0 {
                    return None;
                }
                // One that may not override is for an anycast or a proxied address, which several hosts may have.
                let tells = options.target && flags & OVERRIDE != 0;
                let binding =
                    Binding { ip: target.into(), mac: frame.src(), router: Some(flags & ROUTER != 0) };
                Some(Self { binding: tells.then_some(binding), question: None })
            }
            _ => None,
        }
    }
}

/// Which options an ND message has.
#[derive(Default)]
struct Options {
    /// The sender's link-layer address.
    source: bool,
    /// The target's link-layer address.
    target: bool,
    others: bool,
}

impl Options {
    /// `None` when they do not add up, or name a link-layer address that is not the sender's own.
    fn decode(mut octets: &[u8], sender: MacAddr) -> Option<Self> {
        let mut found = Self::default();
        while let [kind, eights, ..] = *octets {
            if eights == 0 {
                return None;
            }
            let (option, rest) = octets.split_at_checked(usize::from(eights) * 8)?;
            if matches!(kind, SOURCE_ADDRESS | TARGET_ADDRESS) && option[2..] != sender.octets() {
                return None;
            }
            match kind {
                SOURCE_ADDRESS => found.source = true,
                TARGET_ADDRESS => found.target = true,
                _ => found.others = true,
            }
            octets = rest;
        }
        octets.is_empty().then_some(found)
    }
}

impl Question {
    /// The address that is asked for.
    #[must_use]
    pub const fn target(&self) -> IpAddr {
        match self.ips {
            Ips::V4 { target, .. } => IpAddr::V4(target),
            Ips::V6 { target, .. } => IpAddr::V6(target),
        }
    }

    /// The MAC address of who asks.
    #[must_use]
    pub const fn asker(&self) -> MacAddr {
        self.asker
    }

    /// The frame that says: it is `owner`, a router or not. As from the owner itself, so that no switch on the way
    /// learns it elsewhere: an ARP reply, or a solicited advertisement that overrides.
    #[must_use]
    pub fn answer(&self, owner: MacAddr, router: bool) -> FrameBuf {
        match self.ips {
            Ips::V4 { source, target } => {
                FrameBuf::arp(self.asker, REPLY, (owner, target), (self.asker, source))
            }
            Ips::V6 { source, target } => {
                let flags = SOLICITED | OVERRIDE | if router { ROUTER } else { 0 };
                FrameBuf::advertisement((self.asker, source), (owner, target), flags)
            }
        }
    }
}

/// The frame that tells everybody on a segment that `ip` is at `owner` now: an ARP announcement ([RFC 5227 §2.3]), or an
/// unsolicited advertisement that overrides ([RFC 4861 §7.2.6]).
///
/// [RFC 5227 §2.3]: https://www.rfc-editor.org/rfc/rfc5227#section-2.3
/// [RFC 4861 §7.2.6]: https://www.rfc-editor.org/rfc/rfc4861#section-7.2.6
#[must_use]
pub fn announcement(ip: IpAddr, owner: MacAddr, router: bool) -> FrameBuf {
    match ip {
        IpAddr::V4(ip) => FrameBuf::arp(MacAddr::BROADCAST, REQUEST, (owner, ip), (MacAddr::new([0; 6]), ip)),
        IpAddr::V6(ip) => {
            let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
            let flags = OVERRIDE | if router { ROUTER } else { 0 };
            FrameBuf::advertisement((group_mac(all), all), (owner, ip), flags)
        }
    }
}

/// The frame in which `asker`, who has `source`, asks everybody on a segment who has `target`: an ARP request, or a
/// neighbour solicitation ([RFC 4861 §7.2.2]). `None` when the two are not of one IP version.
///
/// # Examples
///
/// ```
/// use encap::ether::Frame;
/// use encap::inet::Layers;
/// use encap::neighbor::{Message, request};
///
/// let asker = "02:00:00:00:00:01".parse()?;
/// for (source, target) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
///     let target = target.parse()?;
///     let frame = request(asker, source.parse()?, target).expect("one IP version");
///     let message = Message::decode(&Frame::new(frame.octets())?, &Layers::of(frame.octets()));
///     assert_eq!(message.and_then(|message| message.question).map(|asked| asked.target()), Some(target));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [RFC 4861 §7.2.2]: https://www.rfc-editor.org/rfc/rfc4861#section-7.2.2
#[must_use]
pub fn request(asker: MacAddr, source: IpAddr, target: IpAddr) -> Option<FrameBuf> {
    match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            let nobody = MacAddr::new([0; 6]);
            Some(FrameBuf::arp(MacAddr::BROADCAST, REQUEST, (asker, source), (nobody, target)))
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            let group = solicited_node(target);
            Some(FrameBuf::discovery(SOLICITATION, (group_mac(group), group), (asker, source), (target, 0)))
        }
        _ => None,
    }
}

/// A frame that was written here, kept on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameBuf {
    octets: [u8; Self::CAPACITY],
    len: usize,
}

impl FrameBuf {
    /// An advertisement with one option; ARP is shorter.
    const CAPACITY: usize = ether::HEADER_LEN + IPV6_LEN + ND_OPTION_LEN;

    /// The octets of the frame.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets[..self.len]
    }

    fn arp(dst: MacAddr, operation: u8, sender: (MacAddr, Ipv4Addr), target: (MacAddr, Ipv4Addr)) -> Self {
        let mut frame = Self::ethernet(dst, sender.0, ether::ARP);
        frame.put(&ARP_START);
        frame.put(&[0, operation]);
        for (mac, ip) in [sender, target] {
            frame.put(&mac.octets());
            frame.put(&ip.octets());
        }
        frame
    }

    fn advertisement(to: (MacAddr, Ipv6Addr), owner: (MacAddr, Ipv6Addr), flags: u8) -> Self {
        Self::discovery(ADVERTISEMENT, to, owner, (owner.1, flags))
    }

    /// A message about `target` with the link-layer address of who sends it.
    fn discovery(
        kind: u8,
        to: (MacAddr, Ipv6Addr),
        from: (MacAddr, Ipv6Addr),
        (target, flags): (Ipv6Addr, u8),
    ) -> Self {
        let mut frame = Self::ethernet(to.0, from.0, ether::IPV6);
        frame.put(&[0x60, 0, 0, 0, 0, ND_OPTION_LEN as u8, ICMPV6, HOP_LIMIT]);
        frame.put(&from.1.octets());
        frame.put(&to.1.octets());
        let icmp = frame.len;
        frame.put(&[kind, 0, 0, 0, flags, 0, 0, 0]);
        frame.put(&target.octets());
        frame.put(&[if kind == SOLICITATION { SOURCE_ADDRESS } else { TARGET_ADDRESS }, 1]);
        frame.put(&from.0.octets());
        let sum = Sum::of_addresses(from.1.into(), to.1.into(), ICMPV6).and_u16(ND_OPTION_LEN as u16);
        let sum = sum.and(&frame.octets[icmp..]).complement();
        frame.octets[icmp + 2..icmp + 4].copy_from_slice(&sum);
        frame
    }

    fn ethernet(dst: MacAddr, src: MacAddr, ethertype: u16) -> Self {
        let mut frame = Self { octets: [0; Self::CAPACITY], len: 0 };
        frame.put(&dst.octets());
        frame.put(&src.octets());
        frame.put(&ethertype.to_be_bytes());
        frame
    }

    fn put(&mut self, octets: &[u8]) {
        self.octets[self.len..self.len + octets.len()].copy_from_slice(octets);
        self.len += octets.len();
    }
}

/// Whether this is the address of one host on a segment: not unspecified, not loopback, no group.
///
/// # Examples
///
/// ```
/// use encap::neighbor::is_host;
///
/// assert!(is_host([10, 0, 0, 1].into()));
/// assert!(!is_host([255; 4].into()) && !is_host("ff02::1".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[must_use]
pub const fn is_host(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            !(ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() || ip.is_loopback())
        }
        IpAddr::V6(ip) => !(ip.is_unspecified() || ip.is_multicast() || ip.is_loopback()),
    }
}

/// ff02::1:ffXX:XXXX, where an address is asked for (RFC 4291 §2.7.1).
fn solicited_node(ip: Ipv6Addr) -> Ipv6Addr {
    const GROUP: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
    Ipv6Addr::from_bits(GROUP | ip.to_bits() & 0xff_ffff)
}

/// The MAC address of an IPv6 group (RFC 2464 §7).
const fn group_mac(ip: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = ip.octets();
    MacAddr::new([0x33, 0x33, a, b, c, d])
}

fn ipv4(octets: &[u8], at: usize) -> Option<Ipv4Addr> {
    octets.get(at..)?.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets))
}

fn ipv6(octets: &[u8], at: usize) -> Option<Ipv6Addr> {
    octets.get(at..)?.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets))
}

#[cfg(test)]
mod tests;
