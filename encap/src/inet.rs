//! As much of IPv4, IPv6, TCP and UDP as hashing, cutting and joining need, found in one pass over a frame.
//!
//! [`Layers`] says where the headers of a frame lie; it is made once per frame, and its offsets are then trusted.
//! [`HeaderOptions`] walks what stands behind the fixed part of an IPv4 or a TCP header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ether::{self, Frame};

/// IP protocol number of ICMP over IPv4.
pub const ICMP: u8 = 1;
/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;

/// The network layer of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    /// IPv4 with a header that fits the frame.
    V4,
    /// IPv6 with a header that fits the frame.
    V6,
    /// Anything else, or an IP header that does not fit.
    Other,
}

/// Where the headers of a frame lie. Offsets count from the first octet of the destination MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// The network layer.
    pub net: Net,
    /// Whether the frame has a VLAN tag.
    pub tagged: bool,
    /// The EtherType behind the tags.
    pub ethertype: u16,
    /// Where the network layer starts.
    pub l3: usize,
    /// Where TCP or UDP starts, when `transport` is one of them.
    pub l4: usize,
    /// Where the IP packet ends: the frame may be longer (padding), never shorter. The frame's end if not IP.
    pub end: usize,
    /// [`TCP`] or [`UDP`] when its header is whole, directly behind the IP header and not a fragment; else 0.
    pub transport: u8,
    /// IPv4 TOS or IPv6 traffic class: DSCP and ECN; 0 if not IP.
    pub tos: u8,
}

impl Layers {
    /// Finds the headers of a frame; any octets are allowed.
    ///
    /// # Cost
    ///
    /// About 5 ns; no copy, no allocation, no panic.
    #[must_use]
    #[inline]
    pub fn of(frame: &[u8]) -> Self {
        let (tagged, ethertype, l3) = Frame::new(frame)
            .map_or((false, 0, frame.len()), |f| (f.is_tagged(), f.ethertype(), f.l3_offset()));
        let other =
            Self { net: Net::Other, tagged, ethertype, l3, l4: 0, end: frame.len(), transport: 0, tos: 0 };
        match ethertype {
            ether::IPV4 => Self::v4(frame, other).unwrap_or(other),
            ether::IPV6 => Self::v6(frame, other).unwrap_or(other),
            _ => other,
        }
    }

    fn v4(frame: &[u8], base: Self) -> Option<Self> {
        let header = frame.get(base.l3..)?.first_chunk::<20>()?;
        let header_len = usize::from(header[0] & 0xf) * 4;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] >> 4 != 4 || header_len < 20 || total < header_len || base.l3 + total > frame.len() {
            return None;
        }
        let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
        let (l4, end) = (base.l3 + header_len, base.l3 + total);
        let transport = if fragment { 0 } else { transport(frame, l4, end, header[9]) };
        Some(Self { net: Net::V4, l4, end, transport, tos: header[1], ..base })
    }

    fn v6(frame: &[u8], base: Self) -> Option<Self> {
        let header = frame.get(base.l3..)?.first_chunk::<40>()?;
        let (l4, payload) = (base.l3 + 40, usize::from(u16::from_be_bytes([header[4], header[5]])));
        let end = l4 + payload;
        if header[0] >> 4 != 6 || end > frame.len() {
            return None;
        }
        let tos = header[0] << 4 | header[1] >> 4;
        Some(Self { net: Net::V6, l4, end, transport: transport(frame, l4, end, header[6]), tos, ..base })
    }

    /// The source and destination address; `None` if the frame is not IP.
    #[must_use]
    pub fn addresses(&self, frame: &[u8]) -> Option<(IpAddr, IpAddr)> {
        let l3 = frame.get(self.l3..)?;
        match self.net {
            Net::V4 => {
                let [a, b]: [[u8; 4]; 2] = [*l3.get(12..)?.first_chunk()?, *l3.get(16..)?.first_chunk()?];
                Some((Ipv4Addr::from(a).into(), Ipv4Addr::from(b).into()))
            }
            Net::V6 => {
                let [a, b]: [[u8; 16]; 2] = [*l3.get(8..)?.first_chunk()?, *l3.get(24..)?.first_chunk()?];
                Some((Ipv6Addr::from(a).into(), Ipv6Addr::from(b).into()))
            }
            Net::Other => None,
        }
    }

    /// The octets of both addresses, as they lie in the header; empty if the frame is not IP.
    #[must_use]
    #[inline]
    pub fn address_octets<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        match self.net {
            Net::V4 => &frame[self.l3 + 12..self.l3 + 20],
            Net::V6 => &frame[self.l3 + 8..self.l3 + 40],
            Net::Other => &[],
        }
    }

    /// Where the payload of TCP or UDP starts; only meaningful when `transport` is one of them.
    #[must_use]
    #[inline]
    pub fn payload(&self, frame: &[u8]) -> usize {
        match self.transport {
            TCP => self.l4 + usize::from(frame[self.l4 + 12] >> 4) * 4,
            _ => self.l4 + 8,
        }
    }
}

/// One option of an IPv4 header ([RFC 791 §3.1]) or of a TCP header ([RFC 9293 §3.1]), which are of one shape.
///
/// [RFC 791 §3.1]: https://www.rfc-editor.org/rfc/rfc791#section-3.1
/// [RFC 9293 §3.1]: https://www.rfc-editor.org/rfc/rfc9293#section-3.1
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderOption<'a> {
    /// Where in the list it starts.
    pub at: usize,
    /// All its octets: kind, length, data; at least two.
    pub octets: &'a [u8],
}

impl HeaderOption<'_> {
    /// What it is; in IPv4 with the copied flag, 0x80.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        self.octets[0]
    }
}

/// A list of options whose lengths do not add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the option at octet {at} has a length that does not fit its list")]
pub struct OptionError {
    at: usize,
}

/// Iterator over a list of options, in their order; fill (kind 1) is skipped, kind 0 or an error ends it.
///
/// # Examples
///
/// ```
/// use encap::inet::HeaderOptions;
///
/// let list = [1, 2, 4, 5, 180, 8, 99]; // fill, MSS 1460, a timestamp that is not whole
/// let mut options = HeaderOptions::new(&list);
/// let mss = options.next().ok_or("no option")??;
/// assert_eq!((mss.kind(), mss.at, mss.octets), (2, 1, &[2, 4, 5, 180][..]));
/// assert!(options.next().is_some_and(|option| option.is_err()));
/// assert_eq!(options.next(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct HeaderOptions<'a> {
    list: &'a [u8],
    at: usize,
}

impl<'a> HeaderOptions<'a> {
    /// The options of `list`, any octets: what stands behind the fixed part of the header.
    #[must_use]
    pub const fn new(list: &'a [u8]) -> Self {
        Self { list, at: 0 }
    }
}

impl<'a> Iterator for HeaderOptions<'a> {
    type Item = Result<HeaderOption<'a>, OptionError>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at + self.list.get(self.at..)?.iter().take_while(|kind| **kind == 1).count();
        let rest = self.list.get(at..)?;
        self.at = self.list.len();
        match *rest {
            [] | [0, ..] => None,
            [_, len, ..] if (2..=rest.len()).contains(&usize::from(len)) => {
                self.at = at + usize::from(len);
                Some(Ok(HeaderOption { at, octets: &rest[..usize::from(len)] }))
            }
            _ => Some(Err(OptionError { at })),
        }
    }
}

impl std::iter::FusedIterator for HeaderOptions<'_> {}

/// `protocol`, if it is TCP or UDP and its header lies whole before `end`.
#[inline]
fn transport(frame: &[u8], l4: usize, end: usize, protocol: u8) -> u8 {
    let header = match protocol {
        UDP => 8,
        TCP if l4 + 20 <= end => (usize::from(frame[l4 + 12] >> 4) * 4).max(20),
        _ => return 0,
    };
    let consistent = match protocol {
        TCP => frame[l4 + 12] >> 4 >= 5,
        _ => true,
    };
    if l4 + header <= end && consistent { protocol } else { 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn udp_v4() -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend([8, 0, 0x45, 3, 0, 30, 0, 1, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0x12, 0x34, 0, 53, 0, 10, 0, 0, 1, 2]);
        frame
    }

    #[test]
    fn headers_of_a_plain_and_a_tagged_frame_are_found() {
        let plain = udp_v4();
        let layers = Layers::of(&plain);
        assert_eq!((layers.net, layers.l3, layers.l4, layers.end), (Net::V4, 14, 34, 44));
        assert_eq!((layers.transport, layers.tos, layers.payload(&plain)), (UDP, 3, 42));
        let mut tagged = plain[..12].to_vec();
        tagged.extend([0x81, 0, 0, 7]);
        tagged.extend(&plain[12..]);
        let layers = Layers::of(&tagged);
        assert!(layers.tagged);
        assert_eq!((layers.l3, layers.l4, layers.transport), (18, 38, UDP));
    }

    #[test]
    fn a_fragment_has_no_transport() {
        let mut frame = udp_v4();
        frame[20] = 0x20;
        assert_eq!(Layers::of(&frame).transport, 0);
        assert_eq!(Layers::of(&frame).net, Net::V4);
    }

    #[test]
    fn an_ip_length_beyond_the_frame_is_not_ip() {
        let mut frame = udp_v4();
        frame[17] = 31;
        assert_eq!(Layers::of(&frame).net, Net::Other);
    }

    proptest! {
        #[test]
        fn any_octets_are_allowed(octets in proptest::collection::vec(any::<u8>(), 0..100), kind in 0usize..4) {
            let mut frame = octets;
            if frame.len() > 15 {
                let ethertype = [[8, 0], [0x86, 0xdd], [0x81, 0], [0x88, 0xa8]][kind];
                frame[12..14].copy_from_slice(&ethertype);
            }
            let layers = Layers::of(&frame);
            prop_assert!(layers.end <= frame.len());
            prop_assert_eq!(layers.addresses(&frame).is_some(), layers.net != Net::Other);
            if layers.transport != 0 {
                prop_assert!(layers.payload(&frame) <= layers.end);
            }
        }

        #[test]
        fn options_lie_one_behind_the_other_in_any_list(list in proptest::collection::vec(0u8..12, 0..40)) {
            let mut end = 0;
            for option in HeaderOptions::new(&list).flatten() {
                prop_assert!(option.octets.len() >= 2 && option.kind() > 1);
                prop_assert!(list[end..option.at].iter().all(|octet| *octet == 1), "only fill between");
                prop_assert_eq!(&list[option.at..][..option.octets.len()], option.octets);
                end = option.at + option.octets.len();
            }
        }
    }
}
