//! One IPv4 packet without DF in, fragments that fit a path out ([RFC 791 §3.2], [RFC 1812 §4.2.2.7]).
//!
//! ```text
//!  | Ethernet, tags | IPv4 header | first octets of the data |        body, where it was read          |
//!  |<------------------------ head ------------------------->|
//!
//!  | Ethernet, tags | IPv4 header | first octets | body ... |       8 x n octets of data, MF
//!  | Ethernet, tags | header with the copied options | body ... |   8 x n octets of data, MF
//!  | Ethernet, tags | header with the copied options | body |       the rest
//! ```
//!
//! The head is written for each fragment, the body is named and not copied, as with [`crate::segment`]. Nothing is
//! fragmented outside the tunnel: a receiver of the underlay would have to hold pieces of datagrams of many pods.
//!
//! [RFC 791 §3.2]: https://www.rfc-editor.org/rfc/rfc791#section-3.2
//! [RFC 1812 §4.2.2.7]: https://www.rfc-editor.org/rfc/rfc1812#section-4.2.2.7

use crate::checksum::Sum;
use crate::inet::{HeaderOptions, Layers, Net};
use crate::{Mtu, Span};

/// The most fragments of one packet: 64 KiB in packets of 576 octets with the longest header.
pub const MAX_FRAGMENTS: usize = 128;

const HEADER_LEN: usize = 20;
const MAX_OPTIONS: usize = 40;
const DF: u16 = 0x4000;
const MF: u16 = 0x2000;
/// The flag of an option that belongs into every fragment.
const COPIED: u8 = 0x80;

/// A packet that was checked: cutting it cannot fail any more.
///
/// # Examples
///
/// ```
/// use encap::Mtu;
/// use encap::fragment::Fragments;
/// use encap::inet::Layers;
///
/// // 10.0.0.1 sends 1,400 octets to 10.0.0.2, DF clear.
/// let mut frame = [7; 1414];
/// frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
/// frame[14..26].copy_from_slice(&[0x45, 0, 5, 120, 0, 1, 0, 0, 64, 17, 0x61, 0x72]);
/// frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
///
/// let layers = Layers::of(&frame);
/// let fragments = Fragments::of_frame(&frame, &layers, Mtu::new(1000)?).ok_or("cannot be cut")?;
/// assert_eq!(fragments.count(), 2);
/// let mut head = [0; 34];
/// fragments.write_head(1, &mut head);
/// assert_eq!(head[20..22], (976_u16 / 8).to_be_bytes(), "the offset, and no MF");
/// assert_eq!(fragments.body(1).len(), 1380 - 976);
///
/// frame[20] = 0x40; // DF
/// assert!(Fragments::of_frame(&frame, &layers, Mtu::new(1000)?).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Fragments<'a> {
    head: &'a [u8],
    l3: usize,
    /// Where the packet's data starts in the head.
    data: usize,
    body: Span,
    /// Octets of data in every fragment but the last.
    size: usize,
    count: usize,
    /// Flags and offset of the packet itself, which may be a fragment already.
    flags: u16,
    /// What of the options belongs into the fragments behind the first.
    copied: [u8; MAX_OPTIONS],
    copied_len: usize,
}

impl<'a> Fragments<'a> {
    /// Fragments of `frame`, whose layers these are, with IP packets of at most `mtu` octets; bodies are octets of it.
    ///
    /// A checksum of TCP or UDP that was left to a NIC must have been finished
    /// ([`finish_checksum`](crate::segment::finish_checksum)): nobody can finish it in a fragment.
    ///
    /// `None` as for [`Fragments::new`].
    #[must_use]
    pub fn of_frame(frame: &'a [u8], layers: &Layers, mtu: Mtu) -> Option<Self> {
        if layers.net != Net::V4 {
            return None;
        }
        let body = Span::new(layers.l4, layers.end - layers.l4);
        Self::new(&frame[..layers.l4], layers.l3, body, mtu)
    }

    /// Fragments, with IP packets of at most `mtu` octets, of the frame that is `head` and `body` behind it.
    ///
    /// `head` ends in or behind the IPv4 header, which starts at `l3`, and is finished: total length and checksum are
    /// those of this packet. What it holds behind the header is the first of the packet's data, as the UDP header of a
    /// segment ([`SuperFrame::write_head`](crate::segment::SuperFrame::write_head)). `body` is the rest of the data.
    ///
    /// `None` where it cannot be cut, or must not be:
    ///
    /// - DF is set;
    /// - the header is no IPv4 header, its checksum or its options are wrong, or its length is not that of head and body;
    /// - the head does not fit the first fragment;
    /// - it is a fragment itself, and malformed: it ends beyond 65,535 octets, or more follow that would not start at
    ///   a multiple of 8;
    /// - there would be more than [`MAX_FRAGMENTS`].
    ///
    /// # Cost
    ///
    /// One checksum of the header; no allocation, no panic for any octets.
    #[must_use]
    pub fn new(head: &'a [u8], l3: usize, body: Span, mtu: Mtu) -> Option<Self> {
        let ip = head.get(l3..)?;
        let fixed = ip.first_chunk::<HEADER_LEN>()?;
        let header_len = usize::from(fixed[0] & 0xf) * 4;
        let header = ip.get(..header_len)?;
        let (_, options) = header.split_at_checked(HEADER_LEN)?;
        let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        let flags = u16::from_be_bytes([fixed[6], fixed[7]]);
        if fixed[0] >> 4 != 4
            || flags & DF != 0
            || total != ip.len() + body.len()
            || !Sum::of(header).is_valid()
        {
            return None;
        }
        let (len, first) = (total - header_len, ip.len() - header_len);
        let before = usize::from(flags & 0x1fff) * 8;
        let is_malformed =
            before + len > usize::from(u16::MAX) - HEADER_LEN || flags & MF != 0 && len % 8 != 0;
        let size = if total <= usize::from(mtu.get()) {
            len.next_multiple_of(8).max(8)
        } else {
            // At least 8: an MTU has 68 octets, a header at most 60.
            (usize::from(mtu.get()) - header_len) & !7
        };
        let count = len.div_ceil(size).max(1);
        if is_malformed || first > size || count > MAX_FRAGMENTS {
            return None;
        }
        let (copied, copied_len) = copied(options)?;
        Some(Self { head, l3, data: l3 + header_len, body, size, count, flags, copied, copied_len })
    }

    /// How many fragments there are; 1 = the packet fits, and its head is written as it is.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The octets of the headers of fragment `index`: those behind the first may have fewer options.
    #[must_use]
    pub fn head_len(&self, index: usize) -> usize {
        if index == 0 { self.head.len() } else { self.l3 + HEADER_LEN + self.copied_len }
    }

    /// The part of the body that is in fragment `index`, in the buffer that the body is in.
    #[must_use]
    pub fn body(&self, index: usize) -> Span {
        let written = self.head.len() - self.data;
        let from = (index * self.size).saturating_sub(written);
        let to = ((index + 1) * self.size).saturating_sub(written).min(self.body.len());
        self.body.within(Span::new(from, to - from))
    }

    /// Writes the headers of fragment `index` to `head`, which must have [`Fragments::head_len`] octets.
    ///
    /// # Panics
    ///
    /// When `head` is of another length, or there is no such fragment; both are the caller's to get right.
    ///
    /// # Cost
    ///
    /// One checksum of the IPv4 header.
    #[allow(clippy::cast_possible_truncation)] // a fragment is no longer than its packet, whose length fitted
    pub fn write_head(&self, index: usize, head: &mut [u8]) {
        let header_end = if index == 0 {
            head.copy_from_slice(self.head);
            self.data
        } else {
            let fixed = self.l3 + HEADER_LEN;
            head[..fixed].copy_from_slice(&self.head[..fixed]);
            head[fixed..].copy_from_slice(&self.copied[..self.copied_len]);
            head.len()
        };
        let packet = head.len() - self.l3 + self.body(index).len();
        let ip = &mut head[self.l3..header_end];
        let more = if index + 1 < self.count { MF } else { 0 };
        let flags = (self.flags | more) + (index * self.size / 8) as u16;
        ip[0] = 0x40 | (ip.len() / 4) as u8;
        ip[2..4].copy_from_slice(&(packet as u16).to_be_bytes());
        ip[6..8].copy_from_slice(&flags.to_be_bytes());
        ip[10..12].fill(0);
        let sum = Sum::of(ip).complement();
        ip[10..12].copy_from_slice(&sum);
    }
}

/// The options with the copied flag, filled up to a multiple of 4; `None` when the list is wrong.
fn copied(options: &[u8]) -> Option<([u8; MAX_OPTIONS], usize)> {
    let (mut copied, mut len) = ([0; MAX_OPTIONS], 0);
    for option in HeaderOptions::new(options) {
        let option = option.ok()?;
        if option.kind() & COPIED != 0 {
            copied[len..len + option.octets.len()].copy_from_slice(option.octets);
            len += option.octets.len();
        }
    }
    Some((copied, len.next_multiple_of(4)))
}

#[cfg(test)]
mod tests;
