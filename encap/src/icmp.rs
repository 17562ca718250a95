//! What a sender is told whose packet is too big for the way: ICMP "fragmentation needed" ([RFC 792], type 3 code 4, with
//! the MTU of [RFC 1191 §4]) and ICMPv6 "packet too big" ([RFC 4443 §3.2]).
//!
//! ```text
//!  | Ethernet, tags as in the frame | IPv4 20 or IPv6 40 | ICMP 8, with the MTU | the packet, as much as fits |
//!                                   |<------ 576 octets in all (RFC 1812 §4.3.2.3), or 1,280 (RFC 4443 §3.2) ----->|
//! ```
//!
//! The answer comes from the packet's own destination, MAC and IP address, as from the tunnels of Linux: a pod's guard,
//! firewall and FDB know no other sender there. How many answers are too many is not decided here.
//!
//! [RFC 792]: https://www.rfc-editor.org/rfc/rfc792
//! [RFC 1191 §4]: https://www.rfc-editor.org/rfc/rfc1191#section-4
//! [RFC 4443 §3.2]: https://www.rfc-editor.org/rfc/rfc4443#section-3.2

use crate::Mtu;
use crate::checksum::Sum;
use crate::ether::{self, Frame};
use crate::inet::{ICMP, Layers, Net};
use crate::neighbor::{ICMPV6, is_host};
use crate::segment::SuperFrame;

/// The octets of the longest answer: IPv6 behind two VLAN tags.
pub const MAX_LEN: usize = ether::HEADER_LEN + ether::MAX_TAGS * ether::TAG_LEN + MAX_PACKET_V6;

const MAX_PACKET_V4: usize = 576;
const MAX_PACKET_V6: usize = 1280;
const ICMP_LEN: usize = 8;
/// Type and code: destination unreachable, fragmentation needed and DF set.
const FRAGMENTATION_NEEDED: [u8; 2] = [3, 4];
const PACKET_TOO_BIG: [u8; 2] = [2, 0];
const TTL: u8 = 64;
/// Precedence 6, internetwork control, as errors have it (RFC 1812 §4.3.2.5).
const TOS: u8 = 0xc0;

/// The answer to a frame whose IP packet does not fit `mtu`; it is written to `out`. `layers` are those of the frame.
///
/// For IPv6 the MTU told is at least 1,280, below which a sender would not go ([RFC 8200 §5]).
///
/// `None` where nobody may or need be told ([RFC 1122 §3.2.2], [RFC 4443 §2.4(e)]):
///
/// - the frame is not IP, or fits the MTU that would be told;
/// - IPv4 without DF: it can be fragmented ([`crate::fragment`]);
/// - its MAC or IP destination is a group, or its source is no single host: unspecified, loopback, a group;
/// - it is an ICMP error itself, a redirect, or one that cannot be told from these;
/// - an IPv4 fragment that is not the first.
///
/// # Cost
///
/// One copy and one checksum of at most 1,280 octets; no allocation, no panic for any frame.
///
/// # Examples
///
/// ```
/// use encap::inet::Layers;
/// use encap::{Mtu, icmp};
///
/// // 10.0.0.1 sends 1,400 octets of UDP to 10.0.0.2 with DF set.
/// let mut frame = [0; 1414];
/// frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
/// frame[14..26].copy_from_slice(&[0x45, 0, 5, 120, 0, 0, 0x40, 0, 64, 17, 0, 0]);
/// frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
///
/// let mut out = [0; icmp::MAX_LEN];
/// let layers = Layers::of(&frame);
/// let answer = icmp::too_big(&frame, &layers, Mtu::new(1230)?, &mut out).ok_or("no answer")?;
/// assert_eq!(answer.len(), 14 + 576);
/// assert_eq!(answer[26..34], [10, 0, 0, 2, 10, 0, 0, 1], "from the destination to the source");
/// assert_eq!((&answer[34..36], &answer[40..42]), (&[3, 4][..], &1230_u16.to_be_bytes()[..]));
///
/// frame[20] = 0; // no DF
/// assert_eq!(icmp::too_big(&frame, &layers, Mtu::new(1230)?, &mut out), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn too_big<'a>(frame: &[u8], layers: &Layers, mtu: Mtu, out: &'a mut [u8; MAX_LEN]) -> Option<&'a [u8]> {
    let packet = &frame[layers.l3..layers.end];
    let answer = Answer::to(frame, layers, packet.len(), mtu)?;
    let quoted = packet.len().min(answer.room());
    out[answer.quote_at()..][..quoted].copy_from_slice(&packet[..quoted]);
    Some(answer.finish(quoted, out))
}

/// As [`too_big`], to the super-frame `whole`: what is quoted is its first segment, as it would have left.
///
/// # Cost
///
/// That of [`SuperFrame::write_head`], and that of [`too_big`].
#[must_use]
pub fn first_too_big<'a>(whole: &SuperFrame<'_>, mtu: Mtu, out: &'a mut [u8; MAX_LEN]) -> Option<&'a [u8]> {
    let frame = whole.frame();
    let layers = Layers::of(frame);
    let packet = whole.segment_len(0) - layers.l3;
    let answer = Answer::to(frame, &layers, packet, mtu)?;
    let head = whole.head_len() - layers.l3;
    let body = answer.room().checked_sub(head)?.min(packet - head);
    // The Ethernet header of the segment lies below its place; the answer's own headers follow there.
    let at = answer.quote_at();
    whole.write_head(0, &mut out[at - layers.l3..at + head]);
    out[at + head..][..body].copy_from_slice(&whole.body(0).of(frame)[..body]);
    Some(answer.finish(head + body, out))
}

/// An answer that may be given.
struct Answer<'a> {
    frame: &'a [u8],
    layers: &'a Layers,
    /// The MTU that is told.
    mtu: Mtu,
}

impl<'a> Answer<'a> {
    /// `packet`: the octets of the packet that is answered.
    fn to(frame: &'a [u8], layers: &'a Layers, packet: usize, mtu: Mtu) -> Option<Self> {
        let mtu = if layers.net == Net::V6 { mtu.max(Mtu::IPV6_MIN) } else { mtu };
        let ethernet = Frame::new(frame).ok()?;
        let (source, destination) = layers.addresses(frame)?;
        let between_hosts = ethernet.is_source_valid()
            && !ethernet.dst().is_group()
            && is_host(source)
            && is_host(destination);
        let answered = match layers.net {
            Net::V4 => is_answered_v4(frame, layers),
            Net::V6 => is_answered_v6(&frame[layers.l3..layers.end]),
            Net::Other => false,
        };
        (packet > usize::from(mtu.get()) && between_hosts && answered).then_some(Self { frame, layers, mtu })
    }

    fn header_len(&self) -> usize {
        if self.layers.net == Net::V6 { 40 } else { 20 }
    }

    fn quote_at(&self) -> usize {
        self.layers.l3 + self.header_len() + ICMP_LEN
    }

    /// How many octets may be quoted.
    fn room(&self) -> usize {
        let packet = if self.layers.net == Net::V6 { MAX_PACKET_V6 } else { MAX_PACKET_V4 };
        packet - self.header_len() - ICMP_LEN
    }

    /// Writes all headers before the `quoted` octets, which are in their place.
    #[allow(clippy::cast_possible_truncation)] // all lengths are below 1,280
    fn finish<'b>(&self, quoted: usize, out: &'b mut [u8; MAX_LEN]) -> &'b [u8] {
        let (frame, l3) = (self.frame, self.layers.l3);
        let end = self.quote_at() + quoted;
        let (ethernet, packet) = out[..end].split_at_mut(l3);
        ethernet.copy_from_slice(&frame[..l3]);
        ethernet[..6].copy_from_slice(&frame[6..12]);
        ethernet[6..12].copy_from_slice(&frame[..6]);
        let (ip, icmp) = packet.split_at_mut(self.header_len());
        let mtu = self.mtu.get().to_be_bytes();
        if self.layers.net == Net::V6 {
            ip[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 0, ICMPV6, TTL]);
            ip[4..6].copy_from_slice(&(icmp.len() as u16).to_be_bytes());
            ip[8..24].copy_from_slice(&frame[l3 + 24..l3 + 40]);
            ip[24..].copy_from_slice(&frame[l3 + 8..l3 + 24]);
            icmp[..2].copy_from_slice(&PACKET_TOO_BIG);
        } else {
            // With DF set an identification means nothing (RFC 6864 §4.1).
            ip[..12].copy_from_slice(&[0x45, TOS, 0, 0, 0, 0, 0x40, 0, TTL, ICMP, 0, 0]);
            ip[2..4].copy_from_slice(&((20 + icmp.len()) as u16).to_be_bytes());
            ip[12..16].copy_from_slice(&frame[l3 + 16..l3 + 20]);
            ip[16..].copy_from_slice(&frame[l3 + 12..l3 + 16]);
            let sum = Sum::of(ip).complement();
            ip[10..12].copy_from_slice(&sum);
            icmp[..2].copy_from_slice(&FRAGMENTATION_NEEDED);
        }
        // IPv6 has 32 bits for the MTU, IPv4 the low 16 of them; the others are zero in both.
        icmp[2..6].fill(0);
        icmp[6..8].copy_from_slice(&mtu);
        let pseudo = if self.layers.net == Net::V6 {
            Sum::of(&ip[8..]).and_u16(u16::from(ICMPV6)).and_u16(icmp.len() as u16)
        } else {
            Sum::default()
        };
        let sum = pseudo.and(icmp).complement();
        icmp[2..4].copy_from_slice(&sum);
        &out[..end]
    }
}

/// DF is set, it is whole or the first fragment, and not an ICMP error.
fn is_answered_v4(frame: &[u8], layers: &Layers) -> bool {
    let header = &frame[layers.l3..layers.l4];
    let flags = u16::from_be_bytes([header[6], header[7]]);
    let (dont_fragment, offset) = (flags & 0x4000 != 0, flags & 0x1fff);
    // Questions and answers; whatever else there is or will be may be an error.
    let is_query = |kind: &u8| matches!(kind, 0 | 8 | 9 | 10 | 13..=18 | 42 | 43);
    let is_error = header[9] == ICMP && !frame[layers.l4..layers.end].first().is_some_and(is_query);
    dont_fragment && offset == 0 && !is_error
}

/// It is not an ICMPv6 error or redirect, as far as can be seen behind its extension headers (RFC 8200 §4).
fn is_answered_v6(packet: &[u8]) -> bool {
    const REDIRECT: u8 = 137;
    let (mut kind, mut at) = (packet[6], 40);
    loop {
        let header = packet.get(at..).unwrap_or_default();
        let (next, len) = match (kind, header) {
            (ICMPV6, [message, ..]) => return *message >= 128 && *message != REDIRECT,
            // Hop-by-hop options, routing, destination options, mobility.
            (0 | 43 | 60 | 135, [next, eights, ..]) => (*next, (usize::from(*eights) + 1) * 8),
            (51, [next, fours, ..]) => (*next, (usize::from(*fours) + 2) * 4),
            (44, [next, _, high, low, ..]) => match u16::from_be_bytes([*high, *low]) >> 3 {
                0 => (*next, 8),
                // Errors are never so long that they are fragmented.
                _ => return true,
            },
            (ICMPV6 | 0 | 43 | 44 | 51 | 60 | 135, _) => return false,
            _ => return true,
        };
        (kind, at) = (next, at + len);
    }
}

#[cfg(test)]
mod tests;
