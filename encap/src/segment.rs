//! One super-frame in, MTU-sized segments out.
//!
//! A pod's kernel hands over up to 64 KiB of TCP or UDP payload behind one set of headers ([`crate::vnet`]). The
//! underlay carries segments, so each gets the headers again, as the kernel's own segmentation would write them: IPv4
//! identification + 1 a segment, lengths and checksums its own, TCP sequence numbers advanced, FIN and PSH on the last
//! segment only, CWR on the first only.
//!
//! A TCP super-frame can be cut smaller than the pod asked, for a path that is smaller than its port
//! ([`SuperFrame::fitting`]), and so can a plain TCP frame ([`SuperFrame::of_plain`]). The boundaries of UDP datagrams mean
//! something to their receiver, so those of UDP super-frames stay.
//!
//! The reverse is [`crate::coalesce`].

use crate::checksum::Sum;
use crate::inet::{HeaderOptions, Layers, Net, TCP, UDP};
use crate::span::Span;
use crate::vnet::{Gso, Unfinished, VnetHeader};

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const ECE: u8 = 0x40;
const CWR: u8 = 0x80;

/// TCP options that mean the same in each of several segments: selective acknowledgement, timestamp.
const REPEATABLE: [u8; 2] = [5, 8];

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

    /// A plain TCP frame as a super-frame of one segment, to be cut by [`SuperFrame::fitting`]. `layers` are those of the
    /// frame, `unfinished` is what its virtio-net header says, `None` after [`finish_checksum`].
    ///
    /// `None` unless its receiver cannot tell several segments from this one: TCP directly behind an IP header without
    /// options, with payload, with no flags but ACK, PSH, FIN and ECE, and with no options but timestamps and selective
    /// acknowledgement. So neither a signature (TCP-MD5, TCP-AO) nor a message of Multipath TCP is cut. A checksum that is
    /// wrong is not made right: `None` too.
    ///
    /// # Cost
    ///
    /// One checksum of the frame, unless that is left to be finished.
    ///
    /// # Examples
    ///
    /// ```
    /// use encap::inet::Layers;
    /// use encap::segment::SuperFrame;
    /// use encap::vnet::Unfinished;
    ///
    /// // 1,000 octets from 10.0.0.1 to 10.0.0.2; the TCP checksum holds the sum of the pseudo-header.
    /// let mut frame = [0; 1054];
    /// frame[12..26].copy_from_slice(&[8, 0, 0x45, 0, 4, 16, 0, 1, 0x40, 0, 64, 6, 0x22, 0xe5]);
    /// frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    /// (frame[46], frame[47]) = (0x50, 0x10); // ACK
    /// frame[50..52].copy_from_slice(&[0x18, 0x05]);
    ///
    /// let unfinished = Some(Unfinished { start: 34, offset: 16 });
    /// let whole = SuperFrame::of_plain(&frame, &Layers::of(&frame), unfinished).ok_or("cannot be cut")?;
    /// assert_eq!(whole.segments(), 1);
    /// let cut = whole.fitting(640).ok_or("does not fit")?;
    /// assert_eq!((cut.segments(), cut.segment_len(0), cut.segment_len(1)), (2, 14 + 640, 54 + 400));
    /// assert!(whole.fitting(40).is_none(), "no room for payload");
    /// # Ok::<(), &str>(())
    /// ```
    #[must_use]
    pub fn of_plain(frame: &'a [u8], layers: &Layers, unfinished: Option<Unfinished>) -> Option<Self> {
        if layers.transport != TCP {
            return None;
        }
        let payload = layers.payload(frame);
        let (gso, options) = match layers.net {
            Net::V4 => (Gso::TcpV4, layers.l4 - layers.l3 - 20),
            _ => (Gso::TcpV6, 0),
        };
        let [reserved, flags] = [frame[layers.l4 + 12] & 0xf, frame[layers.l4 + 13]];
        let mut tcp_options = HeaderOptions::new(frame.get(layers.l4 + 20..payload)?);
        if options != 0
            || reserved != 0
            || flags & !(ACK | PSH | FIN | ECE) != 0
            || !tcp_options.all(|option| option.is_ok_and(|option| REPEATABLE.contains(&option.kind())))
            || !is_intact(frame, layers, unfinished)
        {
            return None;
        }
        let size = u16::try_from(layers.end.checked_sub(payload)?).ok()?;
        Self::new(frame, &VnetHeader { gso: Some((gso, size)), ..VnetHeader::default() }).ok()
    }

    /// The same super-frame in segments whose IP packets have at most `packet` octets; unchanged if they have.
    ///
    /// `None` when that leaves no room for payload or would be more than [`MAX_SEGMENTS`], and for UDP that does not fit.
    /// Of IPv4 without DF the segments have more identifications than the pod set aside for them.
    #[must_use]
    pub fn fitting(self, packet: usize) -> Option<Self> {
        if self.segment_len(0) - self.l3 <= packet {
            return Some(self);
        }
        let size = packet.checked_sub(self.payload - self.l3).filter(|size| *size > 0)?;
        let segments = (self.frame.len() - self.payload).div_ceil(size);
        (self.protocol == TCP && segments <= MAX_SEGMENTS).then_some(Self { size, segments, ..self })
    }

    /// The octets of the super-frame, without padding.
    pub(crate) fn frame(&self) -> &'a [u8] {
        self.frame
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

/// Whether the checksums of a plain TCP frame are right, or that of TCP is left to be finished and right so far.
fn is_intact(frame: &[u8], layers: &Layers, unfinished: Option<Unfinished>) -> bool {
    let ip = layers.net == Net::V6 || Sum::of(&frame[layers.l3..layers.l4]).is_valid();
    let tcp = &frame[layers.l4..layers.end];
    let Ok(length) = u16::try_from(tcp.len()) else { return false };
    let pseudo = Sum::of(layers.address_octets(frame)).and_u16(u16::from(TCP)).and_u16(length);
    let tcp = match unfinished {
        None => pseudo.and(tcp).is_valid(),
        Some(unfinished) => unfinished.is_of_tcp(layers.l4) && tcp[16..18] == pseudo.fold(),
    };
    ip && tcp
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
