//! The read side of the FDB: one map that control writes and every worker reads, without a lock.
//!
//! Invariant: whoever holds a [`Stamp`] that is current holds the answer that [`Shared::find`] would give. It holds
//! because `find` reads the generation before the map, and a change raises it after the map: a race can only make an
//! answer look older than it is.

mod blocks;
mod index;
mod places;

use std::fmt;
use std::hash::{Hash, Hasher};

use encap::{MacAddr, Vni};
use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

use self::index::Index;
use self::places::Places;
use crate::Location;
use crate::neighbor::Neighbors;

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
    neighbors: Neighbors,
}

/// What the FDB says about a MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it lives.
    pub location: Location,
    /// Whether it moved too often: frames from it at another place are to be dropped (RFC 7432 §15.1).
    pub frozen: bool,
    /// Configured, learned, or claimed by another node.
    pub kind: Kind,
}

/// How an entry came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By configuration or by a command: never moves, never ages.
    Static,
    /// From the source address of a frame.
    Learned,
    /// Another node says so.
    Claimed {
        /// It is configured there: never moves because of a frame seen here.
        is_static: bool,
    },
}

impl Kind {
    /// Whether it was configured, here or at the node that claims it: a frame never moves it.
    #[must_use]
    pub const fn is_static(self) -> bool {
        matches!(self, Self::Static | Self::Claimed { is_static: true })
    }
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
        Self::with_hasher(SeedableRandomState::random(), Neighbors::new())
    }

    /// An empty FDB whose hashes repeat from run to run: for tests only.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        let hasher = SeedableRandomState::with_seed(seed, SharedSeed::global_fixed());
        Self::with_hasher(hasher, Neighbors::with_seed(seed))
    }

    fn with_hasher(hasher: SeedableRandomState, neighbors: Neighbors) -> Self {
        Self { index: Index::new(hasher), places: Places::new(), neighbors }
    }

    /// Where `mac` lives, and the stamp under which the answer may be kept, also if it is `None`.
    ///
    /// # Cost
    ///
    /// No lock: one cache line of the map and one of the location, which few entries have for themselves.
    #[must_use]
    #[inline]
    pub fn find(&self, vni: Vni, mac: MacAddr) -> (Option<Found>, Stamp) {
        let key = Key { vni, mac };
        let hash = self.index.hash(key);
        let (found, generation) =
            self.index.find(key, hash, |bits| Some((self.places.get(bits.place())?, bits.mark())));
        let found = found.map(|(place, mark)| Found {
            location: places::decode(place),
            frozen: mark.is_frozen(),
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

    /// Which MAC address has which IP address.
    #[must_use]
    pub fn neighbors(&self) -> &Neighbors {
        &self.neighbors
    }

    pub(crate) fn entry(&self, key: Key) -> Option<Entry> {
        self.index.find(key, self.index.hash(key), |bits| Some(bits.into())).0
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) vni: Vni,
    pub(crate) mac: MacAddr,
}

impl Key {
    /// 72 bits, of which the low ones are the address as it is in memory.
    #[inline]
    fn number(self) -> u128 {
        let [a, b, c, d, e, f] = self.mac.octets();
        u128::from(self.vni.get()) << 48 | u128::from(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
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
    Static = 1,
    /// Learned: moves, ages, can be evicted.
    Learned,
    /// Learned, and moved too often: no frame moves it for a while.
    Frozen,
    /// Claimed by another node: stays as long as that says so, unless it is seen here.
    Claimed,
    /// Claimed, and moved too often: no frame moves it for a while.
    ClaimedFrozen,
    /// Claimed by another node where it is configured: no frame moves it.
    ClaimedStatic,
}

impl Mark {
    /// Configured or learned here: for this node to tell others.
    pub(crate) const fn is_own(self) -> bool {
        matches!(self, Self::Static | Self::Learned | Self::Frozen)
    }

    /// Learned here, frozen or not: counts in its share, and can be evicted.
    pub(crate) const fn is_learned(self) -> bool {
        matches!(self, Self::Learned | Self::Frozen)
    }

    pub(crate) const fn is_frozen(self) -> bool {
        matches!(self, Self::Frozen | Self::ClaimedFrozen)
    }

    /// The same, frozen; what is configured does not freeze.
    pub(crate) const fn frozen(self) -> Self {
        match self {
            Self::Learned => Self::Frozen,
            Self::Claimed => Self::ClaimedFrozen,
            other => other,
        }
    }

    /// The same, not frozen.
    pub(crate) const fn thawed(self) -> Self {
        match self {
            Self::Frozen => Self::Learned,
            Self::ClaimedFrozen => Self::Claimed,
            other => other,
        }
    }

    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::Static => Kind::Static,
            Self::Learned | Self::Frozen => Kind::Learned,
            Self::Claimed | Self::ClaimedFrozen => Kind::Claimed { is_static: false },
            Self::ClaimedStatic => Kind::Claimed { is_static: true },
        }
    }
}

/// An [`Entry`] in 51 bits, never zero: its mark, and two numbers below [`MAX_ENTRIES`].
#[derive(Clone, Copy)]
struct Bits(u64);

impl Bits {
    fn mark(self) -> Mark {
        match self.0 & 7 {
            1 => Mark::Static,
            2 => Mark::Learned,
            3 => Mark::Frozen,
            4 => Mark::Claimed,
            5 => Mark::ClaimedFrozen,
            _ => Mark::ClaimedStatic,
        }
    }

    #[allow(clippy::cast_possible_truncation)] // what was put together is taken apart
    fn place(self) -> u32 {
        (self.0 >> 3) as u32 & (MAX_ENTRIES as u32 - 1)
    }

    #[allow(clippy::cast_possible_truncation)] // what was put together is taken apart
    fn node(self) -> u32 {
        (self.0 >> 27) as u32 & (MAX_ENTRIES as u32 - 1)
    }
}

impl From<Entry> for Bits {
    fn from(entry: Entry) -> Self {
        Self(entry.mark as u64 | u64::from(entry.place) << 3 | u64::from(entry.node) << 27)
    }
}

impl From<Bits> for Entry {
    fn from(bits: Bits) -> Self {
        Self { place: bits.place(), node: bits.node(), mark: bits.mark() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_what_its_bits_were_made_of() {
        const LAST: u32 = MAX_ENTRIES as u32 - 1;
        let learned = [Mark::Static, Mark::Learned, Mark::Frozen];
        let claimed = [Mark::Claimed, Mark::ClaimedFrozen, Mark::ClaimedStatic];
        for mark in learned.into_iter().chain(claimed) {
            for (place, node) in [(0, 0), (1, 2), (LAST, 0), (0, LAST), (LAST, LAST)] {
                let entry = Entry { place, node, mark };
                let bits = Bits::from(entry);
                assert!((1..1 << 51).contains(&bits.0));
                assert_eq!(Entry::from(bits), entry);
            }
        }
    }
}
