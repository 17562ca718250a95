//! The read side of the FDB: one map that control writes and every worker reads.
//!
//! Invariant: whoever holds a [`Stamp`] that is current holds the answer that [`Shared::find`] would give. It holds
//! because `find` reads the generation before the map, and a change raises it after the map: a race can only make an
//! answer look older than it is.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};

use dashmap::DashMap;
use encap::{MacAddr, PortId, Vni, VtepAddr};
use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;

use crate::Location;

/// Generations; a change invalidates the cached answers of one in this many addresses. 16 KiB: half of an L1 cache.
const BUCKETS: usize = 4096;

/// Locks of the map. Control holds one while its part of the map grows, which stops a reader that misses its cache:
/// with 64 parts that is 4,096 entries at the default limit of a node, well under a millisecond.
const SHARDS: usize = 64;

/// The forwarding database as workers see it; [`crate::Table`] writes it.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use std::time::{Duration, Instant};
/// use encap::{PortId, Vni};
/// use fdb::{Limits, Location, Shared, Table};
///
/// let shared = Arc::new(Shared::new());
/// let mut table = Table::new(Limits::default(), Arc::clone(&shared));
/// let (vni, mac) = (Vni::new(100)?, "02:00:00:00:00:01".parse()?);
/// table.set_network(vni, 65_536, Duration::from_secs(300));
///
/// let (unknown, stamp) = shared.find(vni, mac);
/// assert!(unknown.is_none() && shared.is_current(stamp));
///
/// let at = Location::Local(PortId::new(1));
/// table.learn(vni, mac, at, Instant::now());
/// assert!(!shared.is_current(stamp));
/// assert_eq!(shared.find(vni, mac).0.map(|found| found.location), Some(at));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Shared {
    map: DashMap<Key, Entry, SeedableRandomState>,
    generations: Box<[AtomicU32]>,
}

/// What the FDB says about a MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it lives.
    pub location: Location,
    /// Whether it moved too often: frames from it at another place are to be dropped (RFC 7432 §15.1).
    pub frozen: bool,
    /// Whether it was configured or learned.
    pub kind: Kind,
}

/// How an entry came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By configuration or by a command: never moves, never ages.
    Static,
    /// From the source address of a frame.
    Learned,
}

/// The state of the FDB that an answer was taken from; [`Shared::is_current`] says whether it still stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    bucket: u16,
    generation: u32,
}

impl Shared {
    /// An empty FDB with a random hash seed, because MAC addresses are chosen by attackers.
    #[must_use]
    pub fn new() -> Self {
        Self::with_hasher(SeedableRandomState::random())
    }

    /// An empty FDB whose hashes repeat from run to run: for tests only.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self::with_hasher(SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()))
    }

    fn with_hasher(hasher: SeedableRandomState) -> Self {
        let map = DashMap::with_hasher_and_shard_amount(hasher, SHARDS);
        Self { map, generations: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Where `mac` lives, and the stamp under which the answer may be kept, also if it is `None`.
    ///
    /// Takes the read lock of one shard; control holds a write lock for one entry at a time.
    #[must_use]
    pub fn find(&self, vni: Vni, mac: MacAddr) -> (Option<Found>, Stamp) {
        let key = Key { vni, mac };
        let bucket = self.bucket(key);
        let generation = self.generations[usize::from(bucket)].load(Ordering::Acquire);
        let found = self.map.get(&key).map(|entry| entry.found());
        (found, Stamp { bucket, generation })
    }

    /// Whether an answer with this stamp is still what [`Shared::find`] says; one atomic load.
    #[must_use]
    #[inline]
    pub fn is_current(&self, stamp: Stamp) -> bool {
        self.generations[usize::from(stamp.bucket) % BUCKETS].load(Ordering::Acquire) == stamp.generation
    }

    pub(crate) fn entry(&self, key: Key) -> Option<Entry> {
        self.map.get(&key).map(|entry| *entry)
    }

    pub(crate) fn put(&self, key: Key, entry: Entry) {
        self.map.insert(key, entry);
        self.changed(key);
    }

    pub(crate) fn remove(&self, key: Key) {
        self.map.remove(&key);
        self.changed(key);
    }

    /// The memory that the map takes: hash maps have a control octet a place, and fill 7 of 8 places before they grow.
    #[cfg(test)]
    pub(crate) fn octets(&self) -> usize {
        self.map.capacity() * 8 / 7 * (size_of::<(Key, Entry)>() + 1)
    }

    /// After the map: see the invariant of the module.
    fn changed(&self, key: Key) {
        self.generations[usize::from(self.bucket(key))].fetch_add(1, Ordering::Release);
    }

    #[allow(clippy::cast_possible_truncation)] // BUCKETS fits into 16 bits
    fn bucket(&self, key: Key) -> u16 {
        // The middle bits: the map takes the others for its shard and its place in it.
        ((self.map.hasher().hash_one(key) >> 24) % BUCKETS as u64) as u16
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("entries", &self.map.len()).finish_non_exhaustive()
    }
}

/// What the FDB is keyed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) vni: Vni,
    pub(crate) mac: MacAddr,
}

impl Hash for Key {
    /// One number, so that hashing is one multiplication.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from(self.vni.get()) << 48 | u128::from(self.mac.to_u64()));
    }
}

/// What the map holds for a key: a [`Location`] and its marks in 24 octets rather than 40, plus the writer's node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    octets: [u8; 16],
    pub(crate) node: u32,
    udp_port: u16,
    family: Family,
    pub(crate) mark: Mark,
}

#[derive(Clone, Copy, Debug)]
enum Family {
    Port,
    V4,
    V6,
}

/// What may happen to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Configured: never moves, never ages.
    Static,
    /// Learned: moves, ages, can be evicted.
    Learned,
    /// Learned, and moved too often: stays where it is for a while.
    Frozen,
}

impl Entry {
    pub(crate) fn new(location: Location, mark: Mark, node: u32) -> Self {
        let mut octets = [0; 16];
        let (family, udp_port) = match location {
            Location::Local(port) => {
                octets[..4].copy_from_slice(&port.get().to_ne_bytes());
                (Family::Port, 0)
            }
            Location::Remote(vtep) => match vtep.ip() {
                IpAddr::V4(ip) => {
                    octets[..4].copy_from_slice(&ip.octets());
                    (Family::V4, vtep.port())
                }
                IpAddr::V6(ip) => {
                    octets = ip.octets();
                    (Family::V6, vtep.port())
                }
            },
        };
        Self { octets, node, udp_port, family, mark }
    }

    pub(crate) fn location(&self) -> Location {
        let [a, b, c, d, ..] = self.octets;
        let ip = match self.family {
            Family::Port => return Location::Local(PortId::new(u32::from_ne_bytes([a, b, c, d]))),
            Family::V4 => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(self.octets)),
        };
        Location::Remote(VtepAddr::new(ip, self.udp_port))
    }

    fn found(&self) -> Found {
        Found { location: self.location(), frozen: self.mark == Mark::Frozen, kind: self.mark.kind() }
    }
}

impl Mark {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Static => Kind::Static,
            Self::Learned | Self::Frozen => Kind::Learned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_gives_back_the_location_it_was_made_of() {
        let vteps = ["10.0.0.9:4789", "[2001:db8::9]:6081", "[::]:0", "255.255.255.255:65535"];
        let remote = vteps.map(|text| Location::Remote(text.parse::<std::net::SocketAddr>().unwrap().into()));
        let local = [0, 1, u32::MAX].map(|id| Location::Local(PortId::new(id)));
        for location in remote.into_iter().chain(local) {
            assert_eq!(Entry::new(location, Mark::Learned, 7).location(), location);
        }
    }

    #[test]
    fn addresses_that_count_up_spread_over_the_buckets() {
        let shared = Shared::with_seed(1);
        let mut used = vec![0_u32; BUCKETS];
        for i in 0..10 * BUCKETS as u64 {
            let [.., a, b, c] = i.to_be_bytes();
            let key = Key { vni: Vni::MAX, mac: MacAddr::new([2, 0, 0, a, b, c]) };
            used[usize::from(shared.bucket(key))] += 1;
        }
        assert!(used.iter().all(|n| *n < 40), "a bucket has {:?} of 10 expected", used.iter().max());
    }
}
