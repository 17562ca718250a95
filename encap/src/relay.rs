//! Frames that one node hands over to another, as Geneve with an option of weft's own.
//!
//! ```text
//!  Geneve header, OptLen 10 | class 0xff77, type 1, length 9 | hops 8, reserved 8, port 16 | origin 128 | final 128 | frame
//! ```
//!
//! The class is of the experimental range ([RFC 8926 §3.5](https://www.rfc-editor.org/rfc/rfc8926#section-3.5)) and the
//! type is not critical: who does not know it takes the frame as any other. Addresses are IPv6, or IPv4 mapped into it.
//!
//! A frame that cannot go from A to B directly goes to C with one hop left; C passes it on to B with none
//! ([`Relay::pass_on`]). No node passes on what has none left, so a frame never goes in circles.

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
const OPTION_HEADER_LEN: usize = 4;
/// The octets of the option, as [`Overhead`](crate::tunnel::Overhead) counts them for the MTU of a way over a relay.
pub const RELAY_OPTION_LEN: u8 = OPTION_HEADER_LEN as u8 + DATA;
/// The octets before the frame.
pub const RELAY_HEADER_LEN: usize = HEADER_LEN + RELAY_OPTION_LEN as usize;

/// How often a frame may still be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Hops {
    /// It has arrived: who is not the one that it is for drops it.
    Zero = 0,
    /// By the first that gets it, as its origin writes it.
    One = 1,
}

/// Who sent a frame first, and for whom it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relay {
    /// The VTEP that sent it.
    pub origin: VtepAddr,
    /// The VTEP that it is for.
    pub to: IpAddr,
    /// How often it may still be passed on.
    pub hops: Hops,
}

impl Relay {
    /// The header of a frame of network `vni`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::SocketAddr;
    ///
    /// use encap::relay::{Hops, RELAY_HEADER_LEN, Relay};
    /// use encap::{Vni, geneve};
    ///
    /// let origin = "10.0.0.1:4789".parse::<SocketAddr>()?.into();
    /// let relay = Relay { origin, to: "10.0.0.3".parse()?, hops: Hops::One };
    /// let mut datagram = [&relay.encode(Vni::new(7)?)[..], &[0; 60]].concat();
    /// assert_eq!(geneve::decode(&datagram), Ok((Vni::new(7)?, RELAY_HEADER_LEN)));
    /// assert_eq!(Relay::of(&datagram), Some(relay));
    ///
    /// assert_eq!(Relay::pass_on(&mut datagram), Some(Relay { hops: Hops::Zero, ..relay }));
    /// assert_eq!(Relay::pass_on(&mut datagram), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn encode(&self, vni: Vni) -> [u8; RELAY_HEADER_LEN] {
        let mut header = [0; RELAY_HEADER_LEN];
        header[..HEADER_LEN].copy_from_slice(&geneve::encode(vni));
        header[0] = RELAY_OPTION_LEN / 4;
        header[8..10].copy_from_slice(&CLASS.to_be_bytes());
        (header[10], header[11]) = (KIND, DATA / 4);
        header[12] = self.hops as u8;
        header[14..16].copy_from_slice(&self.origin.port().to_be_bytes());
        header[16..32].copy_from_slice(&mapped(self.origin.ip()));
        header[32..].copy_from_slice(&mapped(self.to));
        header
    }

    /// What the option of a Geneve datagram says; `None` without one, and for one that is not right: of another length,
    /// or with more hops than one.
    #[must_use]
    pub fn of(datagram: &[u8]) -> Option<Self> {
        Self::find(datagram).map(|(relay, _)| relay)
    }

    /// Takes the one hop of a datagram, in place, and gives what the option says now: the datagram is then ready for
    /// [`Relay::to`]. `None`, and nothing changed, when it has none left or [`Relay::of`] is `None`.
    #[must_use]
    pub fn pass_on(datagram: &mut [u8]) -> Option<Self> {
        let (relay, at) = Self::find(datagram).filter(|(relay, _)| relay.hops == Hops::One)?;
        let hops = Hops::Zero;
        datagram[at] = hops as u8;
        Some(Self { hops, ..relay })
    }

    /// With the place of the octet that holds the hops.
    fn find(datagram: &[u8]) -> Option<(Self, usize)> {
        let mut at = HEADER_LEN;
        for option in geneve::options(datagram).ok()? {
            let option = option.ok()?;
            at += OPTION_HEADER_LEN;
            if (option.class, option.kind) == (CLASS, KIND) {
                return Some((Self::decode(option.data)?, at));
            }
            at += option.data.len();
        }
        None
    }

    fn decode(data: &[u8]) -> Option<Self> {
        let ([hops, _, high, low], rest) = data.split_first_chunk()?;
        let (origin, rest) = rest.split_first_chunk::<16>()?;
        let to: [u8; 16] = rest.try_into().ok()?;
        let hops = match hops {
            0 => Hops::Zero,
            1 => Hops::One,
            _ => return None,
        };
        let address = |octets: [u8; 16]| IpAddr::V6(Ipv6Addr::from(octets)).to_canonical();
        let origin = VtepAddr::new(address(*origin), u16::from_be_bytes([*high, *low]));
        Some(Self { origin, to: address(to), hops })
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

    fn relay(hops: Hops) -> Relay {
        let origin = SocketAddr::from(([10, 0, 0, 1], 4789)).into();
        Relay { origin, to: Ipv6Addr::LOCALHOST.into(), hops }
    }

    fn datagram(relay: Relay) -> Vec<u8> {
        [&relay.encode(Vni::new(7).unwrap())[..], &[0; 60]].concat()
    }

    #[test]
    fn another_option_is_no_relay_and_a_short_one_neither() {
        let relay = relay(Hops::One);
        let datagram = datagram(relay);
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

    #[test]
    fn only_the_hops_change_when_a_frame_is_passed_on_and_only_once() {
        // An option of somebody else's lies before it.
        let mut passed = datagram(relay(Hops::One));
        passed[0] += 2;
        passed.splice(8..8, [1, 2, 3, 1, 9, 9, 9, 9]);
        let mut expected = passed.clone();
        (expected[20], expected[0]) = (0, passed[0]);
        assert_eq!(Relay::of(&passed), Some(relay(Hops::One)));
        for result in [Some(relay(Hops::Zero)), None] {
            assert_eq!(Relay::pass_on(&mut passed), result);
            assert_eq!(passed, expected);
        }
        assert_eq!(Relay::of(&passed), Some(relay(Hops::Zero)));
    }

    #[test]
    fn more_hops_than_one_are_no_relay() {
        for hops in 2..=u8::MAX {
            let mut lie = datagram(relay(Hops::One));
            lie[12] = hops;
            assert_eq!(Relay::of(&lie), None);
            assert_eq!(Relay::pass_on(&mut lie), None);
            assert_eq!(lie[12], hops);
        }
    }
}
