//! Replaces addresses in texts, each by the same other one throughout.
//!
//! Two IP addresses that begin with the same bits do so afterwards, so that networks can still be told from each other:
//! each bit is turned or not, by a keyed hash of the bits before it. That is a permutation: no two become one. The key is
//! of one report alone, and nobody keeps it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use encap::MacAddr;
use sha2::{Digest, Sha256};

/// Bits of an IPv4 address that stay: whether it is multicast or reserved shows in them.
const KEPT_V4: u32 = 4;
/// Bits of an IPv6 address that stay: whether it is global, link-local or one of a private network.
const KEPT_V6: u32 = 16;

/// The addresses of one report, and what became of them.
pub(super) struct Disguise {
    key: [u8; 32],
    ips: BTreeMap<IpAddr, IpAddr>,
}

impl Disguise {
    /// One with a key that no other report has.
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key, ips: BTreeMap::new() }
    }

    /// The text with other addresses in it.
    pub(super) fn text(&mut self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(is_part) {
            let end = rest[at..].find(|c| !is_part(c)).map_or(rest.len(), |n| at + n);
            clean.push_str(&rest[..at]);
            let touches = [rest[..at].chars().next_back(), rest[end..].chars().next()];
            self.run(&rest[at..end], touches.map(|c| c.is_some_and(is_word)), &mut clean);
            rest = &rest[end..];
        }
        clean.push_str(rest);
        clean
    }

    /// A run of characters that addresses are made of; at either end it may touch a word.
    fn run(&mut self, run: &str, touches: [bool; 2], clean: &mut String) {
        let is_digit = |c: char| c.is_ascii_hexdigit();
        let from = if touches[0] { run.len() - run.trim_start_matches(is_digit).len() } else { 0 };
        let to = if touches[1] { run.trim_end_matches(is_digit).len() } else { run.len() };
        let inner = run.get(from..to).unwrap_or("");
        let trimmed = inner.trim_matches([':', '.']);
        let start = from + inner.len() - inner.trim_start_matches([':', '.']).len();
        if let Some(other) = self.address(inner) {
            clean.push_str(&run[..from]);
            clean.push_str(&other);
            clean.push_str(&run[to..]);
        } else if let Some(other) = self.address(trimmed) {
            clean.push_str(&run[..start]);
            clean.push_str(&other);
            clean.push_str(&run[start + trimmed.len()..]);
        } else {
            // Such as an IPv4 address with a port.
            let parts: Vec<_> = run.split(':').map(|part| self.dotted(part)).collect();
            clean.push_str(&parts.join(":"));
        }
    }

    fn address(&mut self, text: &str) -> Option<String> {
        if let Ok(mac) = text.parse::<MacAddr>() {
            return Some(self.mac(mac).to_string());
        }
        text.parse().ok().map(|ip| self.ip(ip).to_string())
    }

    /// Four numbers with dots between them, and perhaps more after them, as tcpdump writes a port.
    fn dotted(&mut self, text: &str) -> String {
        let end = text.match_indices('.').nth(3).map_or(text.len(), |(at, _)| at);
        match text[..end].parse::<Ipv4Addr>() {
            Ok(ip) => format!("{}{}", self.ip(ip.into()), &text[end..]),
            Err(_) => text.to_owned(),
        }
    }

    fn ip(&mut self, ip: IpAddr) -> IpAddr {
        let special = match ip {
            IpAddr::V4(v4) => v4.is_broadcast(),
            IpAddr::V6(_) => false,
        };
        if special || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() {
            return ip;
        }
        if let Some(known) = self.ips.get(&ip) {
            return *known;
        }
        let other = match ip {
            IpAddr::V4(v4) => {
                let bits = u128::from(v4.to_bits()) << 96;
                let turned = self.turned(bits, KEPT_V4..32, 4) >> 96;
                IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(turned).unwrap_or_default()))
            }
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(self.turned(v6.to_bits(), KEPT_V6..128, 6))),
        };
        self.ips.insert(ip, other);
        other
    }

    /// The bits with some of these turned, each as those before it say.
    fn turned(&self, bits: u128, range: std::ops::Range<u32>, family: u8) -> u128 {
        let turn = |n: u32| {
            let before = bits & !(u128::MAX >> n);
            let hash = self.hash(family, &[&n.to_be_bytes()[..], &before.to_be_bytes()].concat());
            u128::from(hash[0] & 1) << (127 - n)
        };
        range.map(turn).fold(bits, |bits, turned| bits ^ turned)
    }

    /// Another MAC address of the same kind: group or not, globally unique or not.
    fn mac(&self, mac: MacAddr) -> MacAddr {
        let octets = mac.octets();
        if [[0; 6], [0xff; 6]].contains(&octets) {
            return mac;
        }
        let hash = self.hash(0, &octets);
        let first = (octets[0] & 3) | (hash[0] & !3);
        MacAddr::new([first, hash[1], hash[2], hash[3], hash[4], hash[5]])
    }

    fn hash(&self, kind: u8, what: &[u8]) -> [u8; 32] {
        let hash = Sha256::new().chain_update(self.key).chain_update([kind]).chain_update(what);
        hash.finalize().into()
    }
}

const fn is_part(c: char) -> bool {
    c.is_ascii_hexdigit() || c == ':' || c == '.'
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
