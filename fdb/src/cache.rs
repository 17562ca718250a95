//! What one worker remembers of the FDB, so that a frame of a known flow stays out of the map.

use std::fmt;
use std::hash::BuildHasher;

use encap::{MacAddr, Vni};
use foldhash::quality::RandomState;

use crate::shared::{Key, Shared, Stamp};

/// Sets of two answers. Seen in turn, which is the worst order, 1,000 addresses hit 91 % of the time, and 2,000 hit
/// 75 %; a miss is a search of the map. With an answer of 16 octets the cache takes 160 KiB, of which the part in use stays
/// in the second-level cache of a core.
const SETS: usize = 2048;

/// Answers of the FDB, or anything derived from them, kept by one worker.
///
/// Two-way set associative with fixed memory. The hash has a random seed of its own: who knows nothing of it cannot
/// choose addresses that displace each other.
///
/// # Examples
///
/// ```
/// use encap::Vni;
/// use fdb::{FlowCache, Shared};
///
/// let shared = Shared::new();
/// let mut cache = FlowCache::new();
/// let (vni, mac) = (Vni::new(100)?, "02:00:00:00:00:01".parse()?);
///
/// assert_eq!(cache.get(&shared, vni, mac), None);
/// let (found, stamp) = shared.find(vni, mac);
/// cache.insert(vni, mac, stamp, found.is_some()); // "unknown" is an answer too
/// assert_eq!(cache.get(&shared, vni, mac), Some(false));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FlowCache<T> {
    sets: Box<[Set<T>]>,
    hasher: RandomState,
}

type Set<T> = [Option<Answer<T>>; 2];

#[derive(Clone, Copy)]
struct Answer<T> {
    key: Key,
    stamp: Stamp,
    value: T,
}

impl<T: Copy> FlowCache<T> {
    /// An empty cache.
    #[must_use]
    pub fn new() -> Self {
        Self { sets: vec![[None; 2]; SETS].into_boxed_slice(), hasher: RandomState::default() }
    }

    /// What was kept for `mac`, if nothing in its bucket of `shared` changed since.
    #[must_use]
    #[inline]
    pub fn get(&self, shared: &Shared, vni: Vni, mac: MacAddr) -> Option<T> {
        let key = Key { vni, mac };
        let answer = self.sets[self.place(key)].iter().flatten().find(|answer| answer.key == key)?;
        shared.is_current(answer.stamp).then_some(answer.value)
    }

    /// Keeps what was derived from the answer that [`Shared::find`] gave with `stamp`; the older answer of a full set
    /// is lost.
    pub fn insert(&mut self, vni: Vni, mac: MacAddr, stamp: Stamp, value: T) {
        let key = Key { vni, mac };
        let place = self.place(key);
        let [newer, older] = &mut self.sets[place];
        if newer.is_some_and(|answer| answer.key != key) {
            *older = *newer;
        }
        *newer = Some(Answer { key, stamp, value });
    }

    /// Forgets everything: for a change that stamps do not cover, such as another topology.
    pub fn clear(&mut self) {
        self.sets.fill([None; 2]);
    }

    /// The hash must mix all bits into its low ones: with the fast variant of it, addresses at equal distances, as an
    /// allocator hands them out, crowd into few sets.
    #[allow(clippy::cast_possible_truncation)] // the remainder is small
    fn place(&self, key: Key) -> usize {
        self.hasher.hash_one(key) as usize % SETS
    }
}

impl<T: Copy> Default for FlowCache<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for FlowCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowCache").field("sets", &self.sets.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use encap::PortId;

    use super::*;
    use crate::Location;
    use crate::shared::{Entry, Mark};

    fn key(i: u32) -> Key {
        let [a, b, c, d] = i.to_be_bytes();
        Key { vni: Vni::MAX, mac: MacAddr::new([2, 0, a, b, c, d]) }
    }

    fn fill(cache: &mut FlowCache<u32>, shared: &Shared, i: u32) {
        let Key { vni, mac } = key(i);
        cache.insert(vni, mac, shared.find(vni, mac).1, i);
    }

    fn get(cache: &FlowCache<u32>, shared: &Shared, i: u32) -> Option<u32> {
        let Key { vni, mac } = key(i);
        cache.get(shared, vni, mac)
    }

    #[test]
    fn with_answers_of_16_octets_the_cache_takes_160_kib() {
        assert_eq!(SETS * size_of::<Set<[u32; 4]>>(), 160 * 1024);
    }

    #[test]
    fn an_answer_is_of_its_own_network_and_address() {
        let (shared, mut cache) = (Shared::with_seed(1), FlowCache::new());
        (0..3 * SETS as u32).for_each(|i| fill(&mut cache, &shared, i));
        let kept = (0..3 * SETS as u32).filter_map(|i| get(&cache, &shared, i).map(|v| (i, v)));
        let kept: Vec<_> = kept.inspect(|(i, v)| assert_eq!(i, v)).collect();
        assert!(kept.len() > SETS && kept.len() <= 2 * SETS, "{} answers", kept.len());
        let (vni, mac) = (Vni::from_octets([0, 0, 1]), key(kept[0].0).mac);
        assert_eq!(cache.get(&shared, vni, mac), None);
    }

    #[test]
    fn of_a_full_set_the_older_answer_is_lost() {
        let (shared, mut cache) = (Shared::with_seed(1), FlowCache::new());
        let same = cache.place(key(0));
        let rivals: Vec<u32> = (0..).filter(|i| cache.place(key(*i)) == same).take(3).collect();
        rivals.iter().for_each(|i| fill(&mut cache, &shared, *i));
        let answers: Vec<_> = rivals.iter().map(|i| get(&cache, &shared, *i)).collect();
        assert_eq!(answers, [None, Some(rivals[1]), Some(rivals[2])]);
    }

    #[test]
    fn a_newer_answer_hides_a_stale_one_in_the_other_way() {
        let (shared, mut cache) = (Shared::with_seed(1), FlowCache::new());
        let same = cache.place(key(0));
        let rival = (1..).find(|i| cache.place(key(*i)) == same).unwrap();
        fill(&mut cache, &shared, 0);
        fill(&mut cache, &shared, rival);
        let entry = Entry { place: 0, node: 0, mark: Mark::Learned };
        shared.put(key(0), entry, Location::Local(PortId::new(1)));
        assert_eq!(get(&cache, &shared, 0), None);
        fill(&mut cache, &shared, 0);
        assert_eq!(get(&cache, &shared, 0), Some(0));
    }

    #[test]
    fn addresses_at_equal_distances_spread_over_the_sets() {
        let shared = Shared::with_seed(1);
        for distance in [1, 2, 4, 16, 100, 256, 65_536] {
            // By chance that is 0.6 of 256.
            let displaced: usize = (0..100)
                .map(|_| {
                    let mut cache = FlowCache::new();
                    let addresses = || (0..256).map(|i| i * distance);
                    addresses().for_each(|i| fill(&mut cache, &shared, i));
                    addresses().filter(|&i| get(&cache, &shared, i).is_none()).count()
                })
                .sum();
            assert!(displaced < 200, "{displaced} of 25,600 addresses {distance} apart were displaced");
        }
    }

    #[test]
    fn clear_forgets_everything() {
        let (shared, mut cache) = (Shared::with_seed(1), FlowCache::new());
        fill(&mut cache, &shared, 5);
        cache.clear();
        assert_eq!(get(&cache, &shared, 5), None);
    }
}
