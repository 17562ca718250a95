//! Frames that one node hands over to another, as Geneve with an option of weft's own.
//!
//! ```text
//!  Geneve header, OptLen 10 | class 0xff77, type 1, length 9 | hops 8, reserved 8, port 16 | origin 128 | final 128 | frame
//! ```
//!
//! The class is of the experimental range ([RFC 8926 §3.5](https://www.rfc-editor.org/rfc/rfc8926#section-3.5)) and the
//! type is not critical: who does not know it takes the frame as any other. Addresses are IPv6, or IPv4 mapped into it.

use std::net::{IpAddr, Ipv6Addr};

use crate::geneve;
use crate::tunnel::HEADER_LEN;
use crate::types::{Vni, VtepAddr};

/// The class of weft's options.
pub const CLASS: u16 = 0xff77;
/// The type of this one.
pub const KIND: u8 = 1;
/// The octets of its data.
const DATA: u8 = 36;
/// The octets of the option.
pub const RELAY_OPTION_LEN: u8 = 4 + DATA;
/// The octets before the frame.
pub const RELAY_HEADER_LEN: usize = HEADER_LEN + RELAY_OPTION_LEN as usize;

/// Who sent a frame first, and for whom it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relay {
    /// The VTEP that sent it.
    pub origin: VtepAddr,
    /// The VTEP that it is for.
    pub to: IpAddr,
}

impl Relay {
    /// The header of a frame of network `vni` on its one hop.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::SocketAddr;
    ///
    /// use encap::relay::{RELAY_HEADER_LEN, Relay};
    /// use encap::{Vni, geneve};
    ///
    /// let origin = "10.0.0.1:4789".parse::<SocketAddr>()?.into();
    /// let relay = Relay { origin, to: "10.0.0.3".parse()? };
    /// let datagram = [&relay.encode(Vni::new(7)?)[..], &[0; 60]].concat();
    /// assert_eq!(geneve::decode(&datagram), Ok((Vni::new(7)?, RELAY_HEADER_LEN)));
    /// assert_eq!(Relay::of(&datagram), Some(relay));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn encode(&self, vni: Vni) -> [u8; RELAY_HEADER_LEN] {
        let mut header = [0; RELAY_HEADER_LEN];
        header[..HEADER_LEN].copy_from_slice(&geneve::encode(vni));
        header[0] = RELAY_OPTION_LEN / 4;
        header[8..10].copy_from_slice(&CLASS.to_be_bytes());
        (header[10], header[11]) = (KIND, DATA / 4);
        header[12] = 1;
        header[14..16].copy_from_slice(&self.origin.port().to_be_bytes());
        header[16..32].copy_from_slice(&mapped(self.origin.ip()));
        header[32..].copy_from_slice(&mapped(self.to));
        header
    }

    /// What the option of a Geneve datagram says; `None` without one, and for one that is not right.
    #[must_use]
    pub fn of(datagram: &[u8]) -> Option<Self> {
        let mut options = geneve::options(datagram).ok()?.flatten();
        let ours = options.find(|option| (option.class, option.kind) == (CLASS, KIND))?;
        let ([_hops, _, high, low], rest) = ours.data.split_first_chunk()?;
        let (origin, rest) = rest.split_first_chunk::<16>()?;
        let to: [u8; 16] = rest.try_into().ok()?;
        let address = |octets: [u8; 16]| IpAddr::V6(Ipv6Addr::from(octets)).to_canonical();
        let origin = VtepAddr::new(address(*origin), u16::from_be_bytes([*high, *low]));
        Some(Self { origin, to: address(to) })
    }
}

fn mapped(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn another_option_is_no_relay_and_a_short_one_neither() {
        let relay =
            Relay { origin: SocketAddr::from(([10, 0, 0, 1], 4789)).into(), to: Ipv6Addr::LOCALHOST.into() };
        let datagram = [&relay.encode(Vni::new(7).unwrap())[..], &[0; 60]].concat();
        assert_eq!(Relay::of(&datagram), Some(relay));

        for (at, bits) in [(8, 0x01), (9, 0x01), (10, 0x02), (10, 0x80)] {
            let mut other = datagram.clone();
            other[at] ^= bits;
            assert_eq!(Relay::of(&other), None, "octet {at}");
        }
        let mut short = datagram.clone();
        (short[0], short[11]) = (9, 8);
        assert_eq!(Relay::of(&short), None);
        (0..RELAY_HEADER_LEN).for_each(|len| assert_eq!(Relay::of(&datagram[..len]), None));
        assert_eq!(Relay::of(&geneve::encode(Vni::new(7).unwrap())), None);
    }
}
