//! The locations that entries name by a number: there are few, and an entry then fits into two words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use encap::{PortId, VtepAddr};

use super::blocks::Blocks;
use crate::Location;

const PORT: u64 = 0;
const V4: u64 = 1;
const V6: u64 = 2;

/// Locations by number.
///
/// Invariant: a number is given another location only when no entry names it any more. Who reads a location meanwhile,
/// for an entry that is gone, may see parts of two; the generation of the entry tells.
pub(super) struct Places(Blocks<Place>);

/// An address in two words; what it is and a UDP port in the third.
#[derive(Default)]
struct Place([AtomicU64; 3]);

impl Places {
    pub(super) fn new() -> Self {
        Self(Blocks::new())
    }

    /// A location as it is kept; it is not to be [decoded](decode) before the generation told that it is one.
    #[inline]
    pub(super) fn get(&self, n: u32) -> Option<[u64; 3]> {
        let [high, low, kind] = &self.0.get(n)?.0;
        Some([high, low, kind].map(|word| word.load(Ordering::Acquire)))
    }

    pub(super) fn set(&self, n: u32, location: Location) {
        let Some(Place(words)) = self.0.make(n) else { return };
        for (word, new) in words.iter().zip(encode(location)) {
            if word.load(Ordering::Relaxed) != new {
                word.store(new, Ordering::Release);
            }
        }
    }
}

fn encode(location: Location) -> [u64; 3] {
    let (address, kind, udp_port) = match location {
        Location::Local(port) => (u128::from(port.get()), PORT, 0),
        Location::Remote(vtep) => match vtep.ip() {
            IpAddr::V4(ip) => (u128::from(ip.to_bits()), V4, vtep.port()),
            IpAddr::V6(ip) => (ip.to_bits(), V6, vtep.port()),
        },
    };
    let [high, low] = [(address >> 64) as u64, address as u64];
    [high, low, u64::from(udp_port) << 8 | kind]
}

/// The location that is kept in these words.
#[allow(clippy::cast_possible_truncation)] // what was put together is taken apart
#[inline]
pub(super) fn decode([high, low, kind]: [u64; 3]) -> Location {
    let ip = match kind & 0xff {
        PORT => return Location::Local(PortId::new(low as u32)),
        V4 => IpAddr::V4(Ipv4Addr::from_bits(low as u32)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low))),
    };
    Location::Remote(VtepAddr::new(ip, (kind >> 8) as u16))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn a_place_gives_back_the_location_it_was_set_to() {
        let vteps = ["10.0.0.9:4789", "[2001:db8::9]:6081", "[::]:0", "255.255.255.255:65535"];
        let remote = vteps.map(|text| Location::Remote(text.parse::<SocketAddr>().unwrap().into()));
        let local = [0, 1, u32::MAX].map(|id| Location::Local(PortId::new(id)));
        let places = Places::new();
        assert_eq!(places.get(5), None);
        for location in remote.into_iter().chain(local) {
            places.set(5, location);
            assert_eq!(places.get(5).map(decode), Some(location));
        }
    }
}
