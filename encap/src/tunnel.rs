//! Either tunnel format: its header, why a datagram is no frame, and what the tunnel costs in octets.
//!
//! ```text
//!  | outer IP 20/40 | UDP 8 | tunnel 8 | options | Ethernet 14 | VLAN tags | inner IP packet |
//!  |<---------------------------- path MTU ---------------------------------------------->|
//!                                                                          |<- inner MTU ->|
//! ```
//!
//! This is the only place that adds these numbers up: [`Overhead::inner_mtu`], [`outer_packet_len`] and [`datagram_len`]
//! are sides of one sum, and tests hold them together.

use std::net::IpAddr;

use crate::types::{Format, Mtu, Vni};
use crate::{ether, geneve, vxlan};

/// The octets of a tunnel header of either format, before Geneve options.
pub const HEADER_LEN: usize = 8;
/// The octets of a UDP header.
pub const UDP_HEADER_LEN: usize = 8;

/// Reads the tunnel header of one datagram: its network, and where in `datagram` the inner frame starts.
///
/// `strict` is about VXLAN's reserved bits; see [`vxlan::decode`] and [`geneve::decode`].
///
/// # Errors
///
/// A [`DecodeError`] of that format; every variant is also a drop counter.
///
/// # Cost
///
/// One branch more than the decoder of the format; no copy, no allocation, no panic for any input.
///
/// # Examples
///
/// ```
/// use encap::{Format, Vni, tunnel};
///
/// let (vni, frame) = (Vni::new(7)?, [0; 60]);
/// for format in [Format::Vxlan, Format::Geneve] {
///     let datagram = [tunnel::encode(format, vni).as_slice(), &frame].concat();
///     assert_eq!(tunnel::decode(format, &datagram, true), Ok((vni, tunnel::HEADER_LEN)));
/// }
/// # Ok::<(), encap::types::VniError>(())
/// ```
#[inline]
pub fn decode(format: Format, datagram: &[u8], strict: bool) -> Result<(Vni, usize), DecodeError> {
    match format {
        Format::Vxlan => vxlan::decode(datagram, strict),
        Format::Geneve => geneve::decode(datagram),
    }
}

/// The header to put in front of a frame of network `vni`: no Geneve options, reserved bits zero.
#[inline]
#[must_use]
pub const fn encode(format: Format, vni: Vni) -> [u8; HEADER_LEN] {
    match format {
        Format::Vxlan => vxlan::encode(vni),
        Format::Geneve => geneve::encode(vni),
    }
}

/// The format of a datagram that [`encode`] began, or [`Relay::encode`](crate::relay::Relay::encode): Geneve names what it
/// carries where VXLAN has zeros. What others send may have anything there.
///
/// # Examples
///
/// ```
/// use encap::{Format, Vni, tunnel};
///
/// for format in [Format::Vxlan, Format::Geneve] {
///     assert_eq!(tunnel::format_of(&tunnel::encode(format, Vni::new(7)?)), format);
/// }
/// # Ok::<(), encap::types::VniError>(())
/// ```
#[inline]
#[must_use]
pub fn format_of(datagram: &[u8]) -> Format {
    match datagram.get(2..4) {
        None | Some([0, 0]) => Format::Vxlan,
        Some(_) => Format::Geneve,
    }
}

/// Why a datagram holds no frame to deliver. Each variant is one drop reason of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DecodeError {
    /// The datagram ends inside the tunnel header.
    #[error("the datagram has {len} octets, a tunnel header has 8")]
    Truncated {
        /// Octets of the datagram.
        len: usize,
    },
    /// The frame ends inside its Ethernet header.
    #[error("the inner frame has {len} octets, an Ethernet header has 14")]
    Runt {
        /// Octets of the frame.
        len: usize,
    },
    /// The VXLAN header does not say that its VNI is valid.
    #[error("the VXLAN flags {flags:#04x} lack the I flag (0x08), so there is no VNI")]
    VxlanNoVni {
        /// The first octet of the header.
        flags: u8,
    },
    /// The VXLAN header has reserved bits set, and they are not to be ignored.
    #[error("the VXLAN header {header:02x?} has reserved bits set, and vxlan_reserved is \"strict\"")]
    VxlanReserved {
        /// The whole header.
        header: [u8; HEADER_LEN],
    },
    /// The Geneve header is of another version.
    #[error("the Geneve version is {version}, only 0 is known")]
    GeneveVersion {
        /// The version: 1, 2 or 3.
        version: u8,
    },
    /// The Geneve O flag marks a control packet.
    #[error("the Geneve O flag marks a control packet, which holds no frame")]
    GeneveControl,
    /// The Geneve payload is not Ethernet.
    #[error("the Geneve payload is of protocol {protocol:#06x}, only Ethernet (0x6558) is carried")]
    GeneveProtocol {
        /// The protocol type.
        protocol: u16,
    },
    /// The lengths of the Geneve options do not add up.
    #[error("the Geneve options want {octets} octets, {available} are there")]
    GeneveOptions {
        /// What the list, or one option of it, says it takes.
        octets: usize,
        /// What the datagram, or the list, has left.
        available: usize,
    },
    /// A Geneve option must be understood and is not.
    #[error("the Geneve option of class {class:#06x}, type {kind:#04x} is critical and unknown here")]
    GeneveCritical {
        /// The option's class.
        class: u16,
        /// The option's type, critical bit included.
        kind: u8,
    },
}

/// The IP version of the underlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpVersion {
    /// IPv4, sent without options.
    V4,
    /// IPv6, sent without extension headers.
    V6,
}

impl IpVersion {
    /// The octets of the header.
    #[inline]
    #[must_use]
    pub const fn header_len(self) -> usize {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }
}

impl From<IpAddr> for IpVersion {
    fn from(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// What lies between the IP MTU of an underlay path and the IP MTU of the pods that use it.
///
/// # Examples
///
/// ```
/// use encap::Mtu;
/// use encap::tunnel::{IpVersion, Overhead};
///
/// let path = Mtu::new(1500)?;
/// let plain = Overhead { outer: IpVersion::V4, option_octets: 0, vlan: false };
/// assert_eq!(plain.inner_mtu(path), Some(Mtu::new(1450)?));
/// assert_eq!(Overhead { outer: IpVersion::V6, ..plain }.inner_mtu(path), Some(Mtu::new(1430)?));
/// assert_eq!(Overhead { option_octets: 8, ..plain }.inner_mtu(path), Some(Mtu::new(1442)?));
/// assert_eq!(plain.inner_mtu(Mtu::new(100)?), None);
/// # Ok::<(), encap::types::MtuError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Overhead {
    /// The IP version of the underlay.
    pub outer: IpVersion,
    /// Octets of Geneve options: a multiple of 4, at most 252; 0 for VXLAN.
    pub option_octets: u8,
    /// Whether pods may send one VLAN tag, for which 4 octets are set aside.
    pub vlan: bool,
}

impl Overhead {
    /// What is in front of the inner IP packet, in the order of the wire, each with its name and its octets.
    ///
    /// # Examples
    ///
    /// ```
    /// use encap::Format;
    /// use encap::tunnel::{IpVersion, Overhead};
    ///
    /// let overhead = Overhead { outer: IpVersion::V4, option_octets: 0, vlan: false };
    /// let sum: u16 = overhead.terms(Format::Vxlan).iter().map(|(_, octets)| octets).sum();
    /// assert_eq!(usize::from(sum), overhead.octets());
    /// ```
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // some octets each
    pub const fn terms(self, format: Format) -> [(&'static str, u16); 6] {
        let ip = match self.outer {
            IpVersion::V4 => "IPv4",
            IpVersion::V6 => "IPv6",
        };
        let tunnel = match format {
            Format::Vxlan => "VXLAN",
            Format::Geneve => "Geneve",
        };
        [
            (ip, self.outer.header_len() as u16),
            ("UDP", UDP_HEADER_LEN as u16),
            (tunnel, HEADER_LEN as u16),
            ("Geneve options", self.option_octets as u16),
            ("Ethernet", ether::HEADER_LEN as u16),
            ("VLAN tag", if self.vlan { ether::TAG_LEN as u16 } else { 0 }),
        ]
    }

    /// The octets in front of the inner IP packet: 50 for VXLAN over IPv4, 70 over IPv6.
    #[must_use]
    pub const fn octets(self) -> usize {
        let tag = if self.vlan { ether::TAG_LEN } else { 0 };
        outer_packet_len(ether::HEADER_LEN + tag, self.outer, self.option_octets)
    }

    /// The largest inner IP packet that makes an outer one of at most `path` octets; `None` when that is under 68, the
    /// least that IP works with.
    ///
    /// The 1,280 octets below which no port goes are not applied here.
    #[must_use]
    pub const fn inner_mtu(self, path: Mtu) -> Option<Mtu> {
        let left = (path.get() as usize).saturating_sub(self.octets());
        match Mtu::new(left as u32) {
            Ok(mtu) => Some(mtu),
            Err(_) => None,
        }
    }
}

/// The octets of the outer IP packet that carries a frame of `frame_len` octets, outer IP header included.
///
/// The frame fits a path when this is at most the path's MTU.
#[inline]
#[must_use]
pub const fn outer_packet_len(frame_len: usize, outer: IpVersion, option_octets: u8) -> usize {
    outer.header_len() + UDP_HEADER_LEN + HEADER_LEN + option_octets as usize + frame_len
}

/// The octets of UDP payload in an outer IP packet of `packet` octets: tunnel header, options and frame.
///
/// An [`Mtu`] is never less than both headers.
#[must_use]
pub const fn datagram_len(packet: Mtu, outer: IpVersion) -> usize {
    packet.get() as usize - outer.header_len() - UDP_HEADER_LEN
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::relay::{Hops, RELAY_OPTION_LEN, Relay};
    use crate::types::VtepAddr;

    const FORMATS: [Format; 2] = [Format::Vxlan, Format::Geneve];

    fn inner_mtu(outer: IpVersion, option_octets: u8, vlan: bool, path: u32) -> Option<u16> {
        Overhead { outer, option_octets, vlan }.inner_mtu(Mtu::new(path).unwrap()).map(Mtu::get)
    }

    #[test]
    fn the_known_numbers_come_out() {
        assert_eq!(inner_mtu(IpVersion::V4, 0, false, 1500), Some(1450));
        assert_eq!(inner_mtu(IpVersion::V6, 0, false, 1500), Some(1430));
        assert_eq!(inner_mtu(IpVersion::V4, 8, false, 1500), Some(1442));
        assert_eq!(inner_mtu(IpVersion::V4, 0, true, 1500), Some(1446));
        assert_eq!(inner_mtu(IpVersion::V4, 0, false, 9001), Some(8951));
    }

    #[test]
    fn a_path_too_small_for_any_packet_has_no_inner_mtu() {
        assert_eq!(inner_mtu(IpVersion::V4, 0, false, 118), Some(68));
        assert_eq!(inner_mtu(IpVersion::V4, 0, false, 117), None);
        assert_eq!(inner_mtu(IpVersion::V6, 252, true, 68), None);
    }

    #[test]
    fn a_packet_of_the_inner_mtu_fits_and_one_octet_more_does_not() {
        for outer in [IpVersion::V4, IpVersion::V6] {
            for option_octets in (0..=252).step_by(4) {
                for (vlan, header) in [(false, 14), (true, 18)] {
                    for path in 1280..=9216 {
                        let inner = usize::from(inner_mtu(outer, option_octets, vlan, path).unwrap());
                        let outer_len = |packet| outer_packet_len(header + packet, outer, option_octets);
                        assert!(outer_len(inner) <= path as usize && outer_len(inner + 1) > path as usize);
                    }
                }
            }
        }
    }

    /// All that is added, taken from what is really written: a header of each kind, and the frame behind it.
    #[test]
    fn the_sum_is_that_of_the_octets_written() {
        let vni = Vni::new(7).unwrap();
        let origin = VtepAddr::new([10, 0, 0, 1].into(), vxlan::PORT);
        let relay = Relay { origin, to: [10, 0, 0, 3].into(), hops: Hops::One }.encode(vni);
        let mut optional = [&geneve::encode(vni)[..], &[0xff, 0x77, 2, 1, 0, 0, 0, 0]].concat();
        optional[0] = 2;
        let headers: [(&[u8], u8); 4] =
            [(&vxlan::encode(vni), 0), (&geneve::encode(vni), 0), (&optional, 8), (&relay, RELAY_OPTION_LEN)];
        for (header, option_octets) in headers {
            for (outer, ip) in [(IpVersion::V4, 20), (IpVersion::V6, 40)] {
                for (vlan, ethernet) in [(false, 14), (true, 18)] {
                    for path in 1280..=9216 {
                        let inner = inner_mtu(outer, option_octets, vlan, path).unwrap();
                        let datagram = header.len() + ethernet + usize::from(inner);
                        assert_eq!(ip + 8 + datagram, path as usize);
                        assert_eq!(datagram_len(Mtu::new(path).unwrap(), outer), datagram);
                    }
                }
            }
        }
        let datagram = [&optional[..], &[0; 14]].concat();
        assert_eq!(geneve::decode(&datagram), Ok((vni, 16)), "the header with an option is a header");
    }

    #[test]
    fn the_ip_version_is_that_of_the_address() {
        assert_eq!(IpVersion::from(IpAddr::from([10, 0, 0, 1])), IpVersion::V4);
        assert_eq!(IpVersion::from(IpAddr::from([0; 16])), IpVersion::V6);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(vni: [u8; 3], frame in prop::collection::vec(any::<u8>(), 14..100), strict: bool) {
            for format in FORMATS {
                let vni = Vni::from_octets(vni);
                let datagram = [encode(format, vni).as_slice(), &frame].concat();
                let (read, start) = decode(format, &datagram, strict).unwrap();
                prop_assert_eq!((read, &datagram[start..]), (vni, frame.as_slice()));
            }
        }

        #[test]
        fn any_octets_decode_to_a_frame_at_their_end_or_an_error(mut datagram: Vec<u8>, plausible: bool, strict: bool) {
            for format in FORMATS {
                if plausible && let Some(header) = datagram.first_chunk_mut::<4>() {
                    let [first, ..] = *header;
                    *header = match format {
                        Format::Vxlan => [first | 0x08, 0, 0, 0],
                        Format::Geneve => [first & 0x0f, 0, 0x65, 0x58],
                    };
                }
                if let Ok((_, start)) = decode(format, &datagram, strict) {
                    prop_assert!(start >= HEADER_LEN && start + ether::HEADER_LEN <= datagram.len());
                    prop_assert!(ether::Frame::new(&datagram[start..]).is_ok());
                }
            }
        }
    }
}
