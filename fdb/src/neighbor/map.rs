//! The map that workers read: who has an IP address, in 14 octets for IPv4 and 26 for IPv6, and some room between them.
//!
//! Each shard is open addressing over plain octets, so that nothing is padded. It grows and shrinks by little, so that
//! [`LEAST`] to [`MOST`] of its slots are in use; and it is so small that readers wait for microseconds while it does.

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use encap::{MacAddr, Vni};
use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

use super::{At, Owner};

/// A change locks one of them.
const SHARDS: usize = 64;
/// Slots of a shard in percent: above, it grows.
const MOST: usize = 80;
/// Below, it shrinks. An IPv4 binding takes 14 octets / 0.56 = 25 at most.
const LEAST: usize = 56;
/// What is in use after either.
const MIDDLE: usize = 68;

const VNI: usize = 3;
const IP: std::ops::Range<usize> = VNI..VNI + 16;
/// Behind the key: a MAC address, and marks.
const VALUE: usize = 7;

const USED: u8 = 1;
const ROUTER: u8 = 2;
const LOCAL: u8 = 4;

/// Who has which IP address.
pub(super) struct Map {
    hasher: SeedableRandomState,
    shards: Box<[RwLock<Shard>]>,
}

struct Shard {
    v4: Slots,
    v6: Slots,
}

impl Map {
    pub(super) fn new() -> Self {
        Self::with_hasher(SeedableRandomState::random())
    }

    pub(super) fn with_seed(seed: u64) -> Self {
        Self::with_hasher(SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()))
    }

    fn with_hasher(hasher: SeedableRandomState) -> Self {
        let shard = || Shard { v4: Slots::new(VNI + 4 + VALUE), v6: Slots::new(VNI + 16 + VALUE) };
        Self { hasher, shards: (0..SHARDS).map(|_| RwLock::new(shard())).collect() }
    }

    pub(super) fn get(&self, at: At) -> Option<Owner> {
        let key = Key::from(at);
        let hash = self.hasher.hash_one(&key);
        let shard = read(&self.shards[shard_of(hash)]);
        let slots = if at.ip.is_ipv4() { &shard.v4 } else { &shard.v6 };
        let place = slots.find(&key, hash).ok()?;
        Some(decode(slots.get(place)).1)
    }

    /// Puts or, with `None`, removes.
    pub(super) fn set(&self, at: At, owner: Option<Owner>) {
        let key = Key::from(at);
        let hash = self.hasher.hash_one(&key);
        // What panics under a lock leaves whole slots, so the map may be used on.
        let mut shard = self.shards[shard_of(hash)].write().unwrap_or_else(PoisonError::into_inner);
        let slots = if at.ip.is_ipv4() { &mut shard.v4 } else { &mut shard.v6 };
        match owner {
            Some(owner) => slots.put(&key, hash, owner, &self.hasher),
            None => slots.remove(&key, hash, &self.hasher),
        }
    }

    /// All of it, in no order that means anything.
    pub(super) fn all(&self) -> Vec<(At, Owner)> {
        let mut all = Vec::new();
        for shard in self.shards.iter().map(read) {
            all.extend([&shard.v4, &shard.v6].into_iter().flat_map(Slots::iter).map(decode));
        }
        all
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(read).map(|shard| shard.v4.used + shard.v6.used).sum()
    }
}

fn read(shard: &RwLock<Shard>) -> RwLockReadGuard<'_, Shard> {
    shard.read().unwrap_or_else(PoisonError::into_inner)
}

/// The low bits; slots go by the high ones.
#[allow(clippy::cast_possible_truncation)] // only the low bits matter
const fn shard_of(hash: u64) -> usize {
    hash as usize % SHARDS
}

/// A VNI and an IP address as they stand in a slot.
struct Key {
    octets: [u8; VNI + 16],
    len: usize,
}

impl Key {
    fn octets(&self) -> &[u8] {
        &self.octets[..self.len]
    }

    /// The key of a slot.
    fn of(slot: &[u8]) -> Self {
        let (mut octets, len) = ([0; VNI + 16], slot.len() - VALUE);
        octets[..len].copy_from_slice(&slot[..len]);
        Self { octets, len }
    }
}

impl From<At> for Key {
    fn from(At { vni, ip }: At) -> Self {
        let mut octets = [0; VNI + 16];
        octets[..VNI].copy_from_slice(&vni.octets());
        match ip {
            IpAddr::V4(ip) => octets[VNI..VNI + 4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => octets[IP].copy_from_slice(&ip.octets()),
        }
        Self { octets, len: if ip.is_ipv4() { VNI + 4 } else { VNI + 16 } }
    }
}

impl Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write(self.octets());
    }
}

fn decode(slot: &[u8]) -> (At, Owner) {
    let key = Key::of(slot);
    let [a, b, c, ..] = key.octets;
    let ip = match *key.octets() {
        [_, _, _, a, b, c, d] => IpAddr::from([a, b, c, d]),
        _ => IpAddr::from(<[u8; 16]>::try_from(&key.octets[IP]).unwrap_or_default()),
    };
    let [a2, b2, c2, d2, e2, f2, marks] = *slot.last_chunk::<VALUE>().unwrap_or(&[0; VALUE]);
    let owner = Owner {
        mac: MacAddr::new([a2, b2, c2, d2, e2, f2]),
        router: marks & ROUTER != 0,
        local: marks & LOCAL != 0,
    };
    (At { vni: Vni::from_octets([a, b, c]), ip }, owner)
}

/// Open addressing with linear probing; what is removed leaves no gap in a probe.
struct Slots {
    width: usize,
    octets: Box<[u8]>,
    used: usize,
}

impl Slots {
    fn new(width: usize) -> Self {
        Self { width, octets: Box::default(), used: 0 }
    }

    fn capacity(&self) -> usize {
        self.octets.len() / self.width
    }

    fn get(&self, place: usize) -> &[u8] {
        &self.octets[place * self.width..][..self.width]
    }

    fn is_used(&self, place: usize) -> bool {
        self.get(place).last().is_some_and(|marks| marks & USED != 0)
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.octets.chunks(self.width).filter(|slot| slot.last().is_some_and(|marks| marks & USED != 0))
    }

    /// Where a key with this hash belongs.
    #[allow(clippy::cast_possible_truncation)] // below the capacity
    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.capacity() as u128) >> 64) as usize
    }

    fn next(&self, place: usize) -> usize {
        if place + 1 == self.capacity() { 0 } else { place + 1 }
    }

    /// Where the key is, or else where it would be put.
    fn find(&self, key: &Key, hash: u64) -> Result<usize, usize> {
        if self.octets.is_empty() {
            return Err(0);
        }
        let mut place = self.home(hash);
        while self.is_used(place) {
            if self.get(place)[..key.len] == *key.octets() {
                return Ok(place);
            }
            place = self.next(place);
        }
        Err(place)
    }

    fn put(&mut self, key: &Key, hash: u64, owner: Owner, hasher: &SeedableRandomState) {
        let mut found = self.find(key, hash);
        if found.is_err() {
            if (self.used + 1) * 100 > self.capacity() * MOST {
                self.resize(self.used + 1, hasher);
                found = self.find(key, hash);
            }
            self.used += 1;
        }
        let (Ok(place) | Err(place)) = found;
        let slot = &mut self.octets[place * self.width..][..self.width];
        let (head, value) = slot.split_at_mut(key.len);
        head.copy_from_slice(key.octets());
        value[..6].copy_from_slice(&owner.mac.octets());
        value[6] = USED | if owner.router { ROUTER } else { 0 } | if owner.local { LOCAL } else { 0 };
    }

    fn remove(&mut self, key: &Key, hash: u64, hasher: &SeedableRandomState) {
        let Ok(mut gap) = self.find(key, hash) else { return };
        let mut place = self.next(gap);
        while self.is_used(place) {
            // It may move into the gap if that is no further from its home.
            let home = self.home(hasher.hash_one(Key::of(self.get(place))));
            let from_home = |to: usize| (to + self.capacity() - home) % self.capacity();
            if from_home(gap) < from_home(place) {
                let from = place * self.width;
                self.octets.copy_within(from..from + self.width, gap * self.width);
                gap = place;
            }
            place = self.next(place);
        }
        self.octets[gap * self.width..][..self.width].fill(0);
        self.used -= 1;
        if self.used * 100 < self.capacity() * LEAST {
            self.resize(self.used, hasher);
        }
    }

    /// Makes room for so many, with [`MIDDLE`] in use.
    fn resize(&mut self, wanted: usize, hasher: &SeedableRandomState) {
        let capacity = if wanted == 0 { 0 } else { (wanted * 100).div_ceil(MIDDLE) + 1 };
        let before = std::mem::replace(&mut self.octets, vec![0; capacity * self.width].into());
        for slot in
            before.chunks(self.width).filter(|slot| slot.last().is_some_and(|marks| marks & USED != 0))
        {
            let key = Key::of(slot);
            let (Ok(place) | Err(place)) = self.find(&key, hasher.hash_one(&key));
            self.octets[place * self.width..][..self.width].copy_from_slice(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(n: u8) -> At {
        let ip = if n.is_multiple_of(2) { IpAddr::from([10, 0, 0, n]) } else { IpAddr::from([n; 16]) };
        At { vni: Vni::from_octets([0, 0, n / 200]), ip }
    }

    fn owner(n: u8) -> Owner {
        Owner { mac: MacAddr::new([2, 0, 0, 0, 0, n]), router: n & 1 != 0, local: n & 2 != 0 }
    }

    proptest! {
        #[test]
        fn the_map_is_a_map(
            steps in proptest::collection::vec((any::<u8>(), proptest::option::weighted(0.6, any::<u8>())), 0..600)
        ) {
            let (map, mut model) = (Map::with_seed(1), BTreeMap::new());
            for (key, value) in steps {
                map.set(at(key), value.map(owner));
                match value {
                    Some(value) => model.insert(at(key), owner(value)),
                    None => model.remove(&at(key)),
                };
                prop_assert_eq!(map.len(), model.len());
            }
            for n in 0..=255 {
                prop_assert_eq!(map.get(at(n)), model.get(&at(n)).copied());
            }
            prop_assert_eq!(map.all().into_iter().collect::<BTreeMap<_, _>>(), model);
        }
    }

    #[test]
    fn an_ipv4_binding_takes_at_most_25_octets_growing_and_shrinking() {
        const N: u32 = 100_000;
        let map = Map::with_seed(1);
        let at = |n: u32| At { vni: Vni::from_octets([0, 0, 1]), ip: IpAddr::from(n.to_be_bytes()) };
        let weigh = |bindings: u32| {
            let octets: usize = map.shards.iter().map(read).map(|shard| shard.v4.octets.len()).sum();
            assert_eq!(map.len(), bindings as usize);
            assert!(octets <= bindings as usize * 25, "{octets} octets for {bindings}");
        };
        for n in 0..N {
            map.set(at(n), Some(owner(1)));
            if n >= 10_000 && n % 500 == 0 {
                weigh(n + 1);
            }
        }
        for n in (10_000..N).rev() {
            map.set(at(n), None);
            if n % 500 == 0 {
                weigh(n);
            }
        }
        (0..10_000).for_each(|n| map.set(at(n), None));
        assert!(map.shards.iter().map(read).all(|shard| shard.v4.octets.is_empty()));
    }
}
