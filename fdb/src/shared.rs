//! The read side of the FDB: one map that control writes and every worker reads, without a lock.
//!
//! Invariant: whoever holds a [`Stamp`] that is current holds the answer that [`Shared::find`] would give. It holds
//! because `find` reads the generation before the map, and a change raises it after the map: a race can only make an
//! answer look older than it is.

mod index;
mod places;
mod segments;

use std::fmt;
use std::hash::{Hash, Hasher};

use encap::{MacAddr, Vni};
use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

use self::index::Index;
use self::places::Places;
use crate::Location;

/// Numbers of entries and of places have 24 bits.
pub(crate) const MAX_ENTRIES: usize = 1 << 24;

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
    index: Index,
    places: Places,
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
        Self { index: Index::new(hasher), places: Places::new() }
    }

    /// Where `mac` lives, and the stamp under which the answer may be kept, also if it is `None`.
    ///
    /// # Cost
    ///
    /// No lock: one cache line of the map and one of the location, which few entries have for themselves.
    #[must_use]
    pub fn find(&self, vni: Vni, mac: MacAddr) -> (Option<Found>, Stamp) {
        let key = Key { vni, mac };
        let hash = self.index.hash(key);
        let (found, generation) =
            self.index.find(key, hash, |entry| Some((self.places.get(entry.place)?, entry.mark)));
        let found = found.map(|(place, mark)| Found {
            location: places::decode(place),
            frozen: mark == Mark::Frozen,
            kind: mark.kind(),
        });
        (found, Stamp { bucket: index::bucket(hash), generation })
    }

    /// Whether an answer with this stamp is still what [`Shared::find`] says; one atomic load.
    #[must_use]
    #[inline]
    pub fn is_current(&self, stamp: Stamp) -> bool {
        self.index.generation(stamp.bucket) == stamp.generation
    }

    pub(crate) fn entry(&self, key: Key) -> Option<Entry> {
        self.index.find(key, self.index.hash(key), Some).0
    }

    /// Publishes an entry, and where its place is.
    ///
    /// A place may be given another location as soon as no published entry names it.
    pub(crate) fn put(&self, key: Key, entry: Entry, location: Location) {
        self.places.set(entry.place, location);
        self.index.put(key, entry);
    }

    pub(crate) fn remove(&self, key: Key) {
        self.index.remove(key);
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("entries", &self.index.len()).finish_non_exhaustive()
    }
}

/// What the FDB is keyed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) vni: Vni,
    pub(crate) mac: MacAddr,
}

impl Key {
    /// 72 bits.
    fn number(self) -> u128 {
        u128::from(self.vni.get()) << 48 | u128::from(self.mac.to_u64())
    }
}

impl Hash for Key {
    /// One number, so that hashing is one multiplication.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.number());
    }
}

/// What the map holds for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The number of its location.
    pub(crate) place: u32,
    /// The writer's node.
    pub(crate) node: u32,
    pub(crate) mark: Mark,
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
    /// 50 bits, never zero: the mark, and two numbers below [`MAX_ENTRIES`].
    fn to_bits(self) -> u64 {
        let mark = match self.mark {
            Mark::Static => 1,
            Mark::Learned => 2,
            Mark::Frozen => 3,
        };
        mark | u64::from(self.place) << 2 | u64::from(self.node) << 26
    }

    #[allow(clippy::cast_possible_truncation)] // what was put together is taken apart
    fn from_bits(bits: u64) -> Self {
        let mark = match bits & 3 {
            1 => Mark::Static,
            2 => Mark::Learned,
            _ => Mark::Frozen,
        };
        let number = |shift| (bits >> shift) as u32 & (MAX_ENTRIES as u32 - 1);
        Self { place: number(2), node: number(26), mark }
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
    fn an_entry_is_what_its_bits_were_made_of() {
        const LAST: u32 = MAX_ENTRIES as u32 - 1;
        for mark in [Mark::Static, Mark::Learned, Mark::Frozen] {
            for (place, node) in [(0, 0), (1, 2), (LAST, 0), (0, LAST), (LAST, LAST)] {
                let entry = Entry { place, node, mark };
                assert!((1..1 << 50).contains(&entry.to_bits()));
                assert_eq!(Entry::from_bits(entry.to_bits()), entry);
            }
        }
    }
}
