//! What other nodes claim: which IP addresses their MAC addresses have.
//!
//! Keys are plain octets, ordered by network, MAC address and node, so that what one node says of one MAC address lies
//! together: 17 octets an IPv4 address. What is seldom said lies apart.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;

use encap::{MacAddr, Vni};

const MAC: usize = 3 + 6;
const ORIGIN: usize = MAC + 4;

/// All claims.
#[derive(Debug, Default)]
pub(super) struct Claims {
    v4: BTreeSet<[u8; ORIGIN + 4]>,
    v6: BTreeSet<[u8; ORIGIN + 16]>,
    /// Of those that are not [`Marks::default`].
    marks: BTreeMap<[u8; ORIGIN], Marks>,
}

/// What a node says of a MAC address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// The mobility sequence number of RFC 7432 §7.7.
    pub(super) mob_seq: u32,
    pub(super) router: bool,
}

impl Claims {
    /// The IP addresses that `origin` claims for a MAC address.
    pub(super) fn ips(&self, vni: Vni, mac: MacAddr, origin: u32) -> Vec<IpAddr> {
        self.below(&octets(vni, mac, origin))
    }

    /// The IP addresses that any node claims for a MAC address; some may come twice.
    pub(super) fn of(&self, vni: Vni, mac: MacAddr) -> Vec<IpAddr> {
        self.below(&octets(vni, mac, 0)[..MAC])
    }

    /// Whether any node claims this binding.
    pub(super) fn has(&self, vni: Vni, mac: MacAddr, ip: IpAddr) -> bool {
        self.of(vni, mac).contains(&ip)
    }

    pub(super) fn insert(&mut self, vni: Vni, mac: MacAddr, origin: u32, ip: IpAddr) {
        let key = octets(vni, mac, origin);
        match ip {
            IpAddr::V4(ip) => self.v4.insert(join(&key, &ip.octets())),
            IpAddr::V6(ip) => self.v6.insert(join(&key, &ip.octets())),
        };
    }

    pub(super) fn remove(&mut self, vni: Vni, mac: MacAddr, origin: u32, ip: IpAddr) {
        let key = octets(vni, mac, origin);
        match ip {
            IpAddr::V4(ip) => self.v4.remove(&join(&key, &ip.octets())),
            IpAddr::V6(ip) => self.v6.remove(&join(&key, &ip.octets())),
        };
    }

    /// Notes what a node says of a MAC address; says whether that is new.
    pub(super) fn mark(&mut self, vni: Vni, mac: MacAddr, origin: u32, marks: Marks) -> bool {
        let key = octets(vni, mac, origin);
        let before =
            if marks == Marks::default() { self.marks.remove(&key) } else { self.marks.insert(key, marks) };
        before.unwrap_or_default() != marks
    }

    /// The highest that any node says of a MAC address.
    pub(super) fn marks(&self, vni: Vni, mac: MacAddr) -> Marks {
        let all = self.marks.range(within(&octets(vni, mac, 0)[..MAC])).map(|(_, marks)| marks);
        all.fold(Marks::default(), |a, b| Marks {
            mob_seq: a.mob_seq.max(b.mob_seq),
            router: a.router | b.router,
        })
    }

    fn below(&self, prefix: &[u8]) -> Vec<IpAddr> {
        let v4 = self.v4.range(within(prefix)).filter_map(|key| key.last_chunk::<4>()).map(|ip| (*ip).into());
        let v6 =
            self.v6.range(within(prefix)).filter_map(|key| key.last_chunk::<16>()).map(|ip| (*ip).into());
        v4.chain(v6).collect()
    }
}

fn octets(vni: Vni, mac: MacAddr, origin: u32) -> [u8; ORIGIN] {
    let head: [u8; MAC] = join(&vni.octets(), &mac.octets());
    join(&head, &origin.to_be_bytes())
}

fn join<const N: usize>(head: &[u8], tail: &[u8]) -> [u8; N] {
    let mut all = [0; N];
    all[..head.len()].copy_from_slice(head);
    all[head.len()..].copy_from_slice(tail);
    all
}

/// All keys that start so.
fn within<const N: usize>(prefix: &[u8]) -> RangeInclusive<[u8; N]> {
    let (mut first, mut last) = ([0; N], [0xff; N]);
    first[..prefix.len()].copy_from_slice(prefix);
    last[..prefix.len()].copy_from_slice(prefix);
    first..=last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_of_other_nodes_mac_addresses_and_networks_are_apart() {
        let mut claims = Claims::default();
        let [one, two] = [1, 2].map(|n| Vni::from_octets([0, 0, n]));
        let [a, b] = [[2, 0, 0, 0, 0, 0xff], [2, 0, 0, 0, 1, 0]].map(MacAddr::new);
        let ips = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([0xfd; 16])];
        for (vni, mac, origin) in [(one, a, 7), (one, a, 8), (one, b, 7), (two, a, 7)] {
            ips.iter().for_each(|ip| claims.insert(vni, mac, origin, *ip));
        }
        ips.iter().for_each(|ip| claims.remove(one, a, 7, *ip));
        assert_eq!((claims.ips(one, a, 7), claims.ips(one, a, 8)), (vec![], ips.to_vec()));
        assert!(claims.has(one, a, ips[0]), "another node claims it");
        claims.remove(one, a, 8, ips[0]);
        assert!(!claims.has(one, a, ips[0]) && claims.has(one, a, ips[1]));
        assert!(claims.has(one, b, ips[0]) && claims.has(two, a, ips[0]));
    }

    #[test]
    fn the_highest_that_any_node_says_counts() {
        let mut claims = Claims::default();
        let (vni, mac) = (Vni::MAX, MacAddr::new([2; 6]));
        assert!(!claims.mark(vni, mac, 7, Marks::default()));
        assert!(claims.mark(vni, mac, 7, Marks { mob_seq: 3, router: false }));
        assert!(claims.mark(vni, mac, 8, Marks { mob_seq: 1, router: true }));
        assert_eq!(claims.marks(vni, mac), Marks { mob_seq: 3, router: true });
        assert!(claims.mark(vni, mac, 7, Marks::default()));
        assert_eq!(claims.marks(vni, mac), Marks { mob_seq: 1, router: true });
    }
}
