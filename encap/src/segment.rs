//! One super-frame in, MTU-sized segments out.
//!
//! A pod's kernel hands over up to 64 KiB of TCP or UDP payload behind one set of headers ([`crate::vnet`]). The
//! underlay carries segments, so each gets the headers again, as the kernel's own segmentation would write them: IPv4
//! identification + 1 a segment, lengths and checksums its own, TCP sequence numbers advanced, FIN and PSH on the last
//! segment only, CWR on the first only.
//!
//! The reverse is [`crate::coalesce`].

use crate::checksum::Sum;
use crate::inet::{Layers, Net, TCP, UDP};
use crate::span::Span;
use crate::vnet::{Gso, Unfinished, VnetHeader};

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// The most segments of one super-frame: 64 KiB in the smallest segments that Linux makes, of 48 octets.
pub const MAX_SEGMENTS: usize = 1366;

/// Why a super-frame cannot be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// The header asks for no segmentation, or for segments of no octets.
    #[error("no segment size")]
    NoSize,
    /// More segments than any kernel makes of 64 KiB: somebody wrote the header by hand.
    #[error("{0} segments are more than {MAX_SEGMENTS}")]
    TooMany(usize),
    /// The headers are not those that the kind of segmentation needs, or do not fit the frame.
    #[error("the headers do not fit the kind of segmentation")]
    Headers,
}

/// A super-frame that was checked: cutting it cannot fail any more.
#[derive(Clone, Copy, Debug)]
pub struct SuperFrame<'a> {
    frame: &'a [u8],
    v4: bool,
    protocol: u8,
    l3: usize,
    l4: usize,
    payload: usize,
    size: usize,
    segments: usize,
    /// What the IPv4 header and the pseudo-header sum to in every segment.
    ip: Sum,
    pseudo: Sum,
}

impl<'a> SuperFrame<'a> {
    /// Checks a frame and what its virtio-net header says of it.
    ///
    /// # Errors
    ///
    /// - [`SegmentError::NoSize`]: the header says nothing of segments.
    /// - [`SegmentError::Headers`]: IP and TCP or UDP are not where they must be.
    /// - [`SegmentError::TooMany`]: it would be more than [`MAX_SEGMENTS`].
    pub fn new(frame: &'a [u8], header: &VnetHeader) -> Result<Self, SegmentError> {
        let Some((gso, size @ 1..)) = header.gso else { return Err(SegmentError::NoSize) };
        let layers = Layers::of(frame);
        let (net, protocol) = match gso {
            Gso::TcpV4 => (Net::V4, TCP),
            Gso::TcpV6 => (Net::V6, TCP),
            Gso::Udp => (layers.net, UDP),
        };
        // The checksum's start is the L4 header, also behind IPv6 extension headers.
        let l4 = header.unfinished.map_or(layers.l4, |u| usize::from(u.start));
        let ip_header = if layers.net == Net::V4 { 20 } else { 40 };
        let l4_header = match protocol {
            TCP => frame.get(l4 + 12).map_or(0, |offset| usize::from(offset >> 4) * 4),
            _ => 8,
        };
        let l4_min = if protocol == TCP { 20 } else { 8 };
        let payload = l4 + l4_header;
        if layers.net != net
            || net == Net::Other
            || l4 < layers.l3 + ip_header
            || l4_header < l4_min
            || payload > layers.end
        {
            return Err(SegmentError::Headers);
        }
        let pseudo = Sum::of(layers.address_octets(frame)).and_u16(u16::from(protocol));
        let (v4, l3) = (net == Net::V4, layers.l3);
        let header = &frame[l3..l4];
        let ip =
            if v4 { Sum::of(&header[..2]).and(&header[6..10]).and(&header[12..]) } else { Sum::default() };
        let size = usize::from(size);
        let segments = (layers.end - payload).div_ceil(size).max(1);
        if segments > MAX_SEGMENTS {
            return Err(SegmentError::TooMany(segments));
        }
        Ok(Self { frame: &frame[..layers.end], v4, protocol, l3, l4, payload, size, segments, ip, pseudo })
    }

    /// How many segments there are; at least one.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.segments
    }

    /// The octets of a segment, headers included: all are equal but the last, which may be shorter.
    #[must_use]
    pub fn segment_len(&self, index: usize) -> usize {
        let left = (self.frame.len() - self.payload).saturating_sub(index * self.size);
        self.payload + left.min(self.size)
    }

    /// The octets of the headers, which every segment gets.
    #[must_use]
    pub fn head_len(&self) -> usize {
        self.payload
    }

    /// The payload of segment `index`, as octets of the super-frame.
    #[must_use]
    pub fn body(&self, index: usize) -> Span {
        Span::new(self.payload + index * self.size, self.segment_len(index) - self.payload)
    }

    /// Writes the headers of segment `index` to `head`, which must have [`SuperFrame::head_len`] octets.
    ///
    /// # Panics
    ///
    /// When `head` is of another length; it is the caller's to get right.
    ///
    /// # Cost
    ///
    /// One checksum of the segment's payload, which is not copied.
    pub fn write_head(&self, index: usize, head: &mut [u8]) {
        let body = self.body(index).of(self.frame);
        head.copy_from_slice(&self.frame[..self.payload]);
        self.fix_ip(head, index, body.len());
        self.fix_transport(&mut head[self.l4..], index, body);
    }

    /// Segment `index` in one piece.
    #[must_use]
    pub fn segment(&self, index: usize) -> Vec<u8> {
        let mut segment = vec![0; self.payload];
        self.write_head(index, &mut segment);
        segment.extend_from_slice(self.body(index).of(self.frame));
        segment
    }

    #[allow(clippy::cast_possible_truncation)] // a segment is smaller than its super-frame, whose length fitted
    fn fix_ip(&self, head: &mut [u8], index: usize, body: usize) {
        let packet = self.payload - self.l3 + body;
        let ip = &mut head[self.l3..self.l4];
        if self.v4 {
            let id = u16::from_be_bytes([ip[4], ip[5]]).wrapping_add(index as u16);
            ip[2..4].copy_from_slice(&(packet as u16).to_be_bytes());
            ip[4..6].copy_from_slice(&id.to_be_bytes());
            let sum = self.ip.and_u16(packet as u16).and_u16(id).complement();
            ip[10..12].copy_from_slice(&sum);
        } else {
            ip[4..6].copy_from_slice(&((packet - 40) as u16).to_be_bytes());
        }
    }

    #[allow(clippy::cast_possible_truncation)]
    fn fix_transport(&self, l4: &mut [u8], index: usize, body: &[u8]) {
        let length = (l4.len() + body.len()) as u16;
        let field = if self.protocol == TCP {
            let sequence = u32::from_be_bytes([l4[4], l4[5], l4[6], l4[7]]);
            let sequence = sequence.wrapping_add((index * self.size) as u32);
            l4[4..8].copy_from_slice(&sequence.to_be_bytes());
            if index + 1 < self.segments() {
                l4[13] &= !(FIN | PSH);
            }
            if index > 0 {
                l4[13] &= !CWR;
            }
            16
        } else {
            l4[4..6].copy_from_slice(&length.to_be_bytes());
            6
        };
        l4[field..field + 2].fill(0);
        // The header's length is a multiple of four, so the body starts at an even place of the sum.
        let sum = self.pseudo.and_u16(length).and(l4).and(body).complement();
        let sum = if self.protocol == UDP { nonzero(sum) } else { sum };
        l4[field..field + 2].copy_from_slice(&sum);
    }
}

/// Finishes the checksum of a plain frame that a kernel left to its NIC. A place outside the frame changes nothing.
///
/// # Cost
///
/// One checksum over the frame from `unfinished.start` on.
pub fn finish_checksum(frame: &mut [u8], unfinished: Unfinished) {
    let start = usize::from(unfinished.start);
    let field = start + usize::from(unfinished.offset);
    if start > frame.len() || field + 2 > frame.len() {
        return;
    }
    let sum = Sum::of(&frame[start..]).complement();
    // UDP says "no checksum" with zero, so its zero is sent as ones (RFC 768); to TCP they are the same.
    let sum = if unfinished.offset == 6 { nonzero(sum) } else { sum };
    frame[field..field + 2].copy_from_slice(&sum);
}

fn nonzero(sum: [u8; 2]) -> [u8; 2] {
    if sum == [0, 0] { [0xff, 0xff] } else { sum }
}

#[cfg(test)]
mod tests;
