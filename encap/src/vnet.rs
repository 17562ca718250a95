//! The virtio-net header that stands before each frame on a TAP with `IFF_VNET_HDR`.
//!
//! Ten octets, in the byte order of the machine (a TAP without `TUNSETVNETLE`). It says how a super-frame is to be
//! segmented and where a checksum is still to be finished.

use crate::inet::{Layers, TCP, UDP};

/// The octets of the header.
pub const LEN: usize = 10;

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// How a super-frame is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gso {
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// UDP datagrams over either.
    Udp,
}

/// A checksum that is still to be finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Where the summed octets start: the L4 header.
    pub start: u16,
    /// Where the checksum field lies, counted from `start`; it holds the folded pseudo-header sum.
    pub offset: u16,
}

impl Unfinished {
    /// Whether it is the checksum of the TCP or UDP header that a frame of these layers has.
    #[must_use]
    #[inline]
    pub fn is_of(self, layers: &Layers) -> bool {
        let offset = match layers.transport {
            TCP => 16,
            UDP => 6,
            _ => return false,
        };
        usize::from(self.start) == layers.l4 && self.offset == offset
    }

    /// Whether it is the checksum of a TCP header at `l4`.
    pub(crate) fn is_of_tcp(self, l4: usize) -> bool {
        usize::from(self.start) == l4 && self.offset == 16
    }
}

/// The header as a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VnetHeader {
    /// How to cut the frame, and the octets of payload in each segment; `None` = a plain frame.
    pub gso: Option<(Gso, u16)>,
    /// The checksum that is still to be finished.
    pub unfinished: Option<Unfinished>,
    /// Whether the receiver need not check the checksum, because the writer has.
    pub verified: bool,
    /// The octets of all headers of a super-frame; a hint for the kernel.
    pub header_len: u16,
}

/// Why a header cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VnetError {
    /// Fewer octets than a header.
    #[error("{0} octets are shorter than a virtio-net header")]
    Truncated(usize),
    /// A kind of segmentation that was never asked for.
    #[error("segmentation kind {0} was not asked for")]
    Gso(u8),
}

impl VnetHeader {
    /// Reads the header before a frame.
    ///
    /// # Errors
    ///
    /// - [`VnetError::Truncated`]: fewer than [`LEN`] octets.
    /// - [`VnetError::Gso`]: a kind that this crate cannot cut.
    #[inline]
    pub fn decode(octets: &[u8]) -> Result<Self, VnetError> {
        let Some(&[flags, gso_type, h0, h1, s0, s1, c0, c1, o0, o1]) = octets.first_chunk::<LEN>() else {
            return Err(VnetError::Truncated(octets.len()));
        };
        let size = u16::from_ne_bytes([s0, s1]);
        let gso = match gso_type & !GSO_ECN {
            0 => None,
            GSO_TCPV4 => Some((Gso::TcpV4, size)),
            GSO_TCPV6 => Some((Gso::TcpV6, size)),
            GSO_UDP_L4 => Some((Gso::Udp, size)),
            other => return Err(VnetError::Gso(other)),
        };
        let unfinished = (flags & NEEDS_CSUM != 0).then(|| Unfinished {
            start: u16::from_ne_bytes([c0, c1]),
            offset: u16::from_ne_bytes([o0, o1]),
        });
        Ok(Self {
            gso,
            unfinished,
            verified: flags & DATA_VALID != 0,
            header_len: u16::from_ne_bytes([h0, h1]),
        })
    }

    /// The octets to write before a frame.
    #[must_use]
    #[inline]
    pub fn encode(&self) -> [u8; LEN] {
        let (gso_type, size) = match self.gso {
            None => (0, 0),
            Some((Gso::TcpV4, size)) => (GSO_TCPV4, size),
            Some((Gso::TcpV6, size)) => (GSO_TCPV6, size),
            Some((Gso::Udp, size)) => (GSO_UDP_L4, size),
        };
        let Unfinished { start, offset } = self.unfinished.unwrap_or(Unfinished { start: 0, offset: 0 });
        let flags = if self.unfinished.is_some() { NEEDS_CSUM } else { 0 }
            | if self.verified { DATA_VALID } else { 0 };
        let [h0, h1] = self.header_len.to_ne_bytes();
        let [s0, s1] = size.to_ne_bytes();
        let [c0, c1] = start.to_ne_bytes();
        let [o0, o1] = offset.to_ne_bytes();
        [flags, gso_type, h0, h1, s0, s1, c0, c1, o0, o1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_encoding() {
        for gso in [None, Some((Gso::TcpV4, 1448)), Some((Gso::TcpV6, 1428)), Some((Gso::Udp, 64))] {
            for unfinished in [None, Some(Unfinished { start: 34, offset: 16 })] {
                let header = VnetHeader { gso, unfinished, verified: unfinished.is_none(), header_len: 66 };
                assert_eq!(VnetHeader::decode(&header.encode()), Ok(header));
            }
        }
    }

    #[test]
    fn short_and_unknown_headers_are_refused() {
        assert_eq!(VnetHeader::decode(&[0; 9]), Err(VnetError::Truncated(9)));
        assert_eq!(VnetHeader::decode(&[0, 3, 0, 0, 0, 0, 0, 0, 0, 0]), Err(VnetError::Gso(3)));
    }
}
