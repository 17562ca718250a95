//! One origin's stream: what it said last about each key, numbered, and which part of it is known here.
//!
//! A section of a stream is a *complete listing*: what is still valid of the numbers `from..=to`. So a number that
//! is missing in it was overwritten later. Tombstones up to `floor` may be missing, too: who is behind the floor of
//! a listing takes it as a replacement, where absence means deletion.

use std::collections::BTreeMap;

use twox_hash::XxHash3_128;

use super::coverage::Coverage;
use super::faults::Faults;
use super::wire::{Entry, Section};
use crate::gossip::identity::Epoch;

/// What an origin said with one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Octets of the key, its kind included; the rest is the value.
    key_len: u8,
    live: bool,
    octets: Box<[u8]>,
}

impl Item {
    pub(super) fn new(key: &[u8], value: Option<&[u8]>) -> Self {
        let octets = [key, value.unwrap_or_default()].concat().into();
        Self { key_len: u8::try_from(key.len()).unwrap_or(u8::MAX), live: value.is_some(), octets }
    }

    pub(super) fn key(&self) -> &[u8] {
        self.octets.get(..self.key_len.into()).unwrap_or(&self.octets)
    }

    /// `None` for a tombstone.
    pub(super) fn value(&self) -> Option<&[u8]> {
        self.live.then(|| self.octets.get(self.key_len.into()..).unwrap_or_default())
    }

    pub(super) fn len(&self) -> usize {
        self.octets.len()
    }

    fn hash(&self, seq: u64) -> u128 {
        let mut octets = Vec::with_capacity(9 + self.octets.len());
        octets.extend(seq.to_be_bytes());
        octets.push(self.key_len);
        octets.extend_from_slice(&self.octets);
        XxHash3_128::oneshot(&octets)
    }
}

/// A key whose value is another now.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) key: Box<[u8]>,
    pub(super) old: Option<Box<[u8]>>,
    pub(super) new: Option<Box<[u8]>>,
}

/// What a section did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// Something was new.
    News,
    /// All of it was known.
    Known,
    /// It says only that there is more.
    Announced,
    /// It cannot be used: only a replacement helps.
    Behind,
}

#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) epoch: Epoch,
    pub(super) cover: Coverage,
    /// The highest number that anybody told of.
    pub(super) max_seen: u64,
    /// Tombstones up to here are cut.
    pub(super) floor: u64,
    /// The lowest floor of the listings this came from: deletions up to there are all reflected.
    base: u64,
    by_seq: BTreeMap<u64, Item>,
    by_key: BTreeMap<Box<[u8]>, u64>,
    live: usize,
    /// The sum of the hashes of all live items.
    pub(super) hash: u128,
    /// Keys that were refused because of the limit.
    pub(super) refused: u64,
}

impl Stream {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            cover: Coverage::default(),
            max_seen: 0,
            floor: 0,
            base: u64::MAX,
            by_seq: BTreeMap::new(),
            by_key: BTreeMap::new(),
            live: 0,
            hash: 0,
            refused: 0,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.cover.have() == self.max_seen
    }

    pub(super) const fn live(&self) -> usize {
        self.live
    }

    /// Live and dead.
    pub(super) fn len(&self) -> usize {
        self.by_seq.len()
    }

    pub(super) fn value(&self, key: &[u8]) -> Option<&[u8]> {
        self.by_seq.get(self.by_key.get(key)?)?.value()
    }

    /// The items of a range, ascending; both ends may be walked from.
    pub(super) fn range(&self, from: u64, to: u64) -> impl DoubleEndedIterator<Item = (u64, &Item)> {
        let range = (from <= to).then(|| self.by_seq.range(from..=to));
        range.into_iter().flatten().map(|(seq, item)| (*seq, item))
    }

    /// The owner says something: gives its number.
    pub(super) fn append(&mut self, item: Item) -> u64 {
        let seq = self.max_seen + 1;
        self.max_seen = seq;
        self.insert(seq, item);
        // One more at the end leaves no gap.
        let _ = self.cover.add(seq, seq);
        seq
    }

    /// Cuts the tombstones up to `floor`.
    pub(super) fn raise_floor(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
        if self.cover.have() < self.floor {
            return;
        }
        let cut: Vec<u64> =
            self.range(1, self.floor).filter(|(_, item)| !item.live).map(|(seq, _)| seq).collect();
        for seq in cut {
            self.remove(seq);
        }
    }

    /// Takes a section; `cap` live keys at most. What changed is appended to `changes`.
    pub(super) fn merge(
        &mut self,
        section: &Section,
        cap: usize,
        faults: Faults,
        changes: &mut Vec<Change>,
    ) -> Merged {
        let Section { from, to, floor, replace, .. } = *section;
        self.max_seen = self.max_seen.max(section.max).max(to);
        if from > to {
            return Merged::Announced;
        }
        if !replace && !faults.replay_accepted && self.cover.contains(from, to) {
            return Merged::Known;
        }
        let clean = from > floor || self.cover.have() >= floor || self.base >= floor;
        let mut cover = self.cover.clone();
        if !(clean || replace) || cover.add(from, to).is_err() {
            return Merged::Behind;
        }
        if replace {
            self.drop_unlisted(section, changes);
        }
        for entry in &section.entries {
            self.take(entry, replace, cap, faults, changes);
        }
        self.base = self.base.min(floor);
        self.cover = cover;
        if floor > self.floor {
            self.raise_floor(floor);
        }
        Merged::News
    }

    /// Removes what a listing no longer has.
    fn drop_unlisted(&mut self, section: &Section, changes: &mut Vec<Change>) {
        let listed = |seq| section.entries.binary_search_by_key(&seq, |entry: &Entry| entry.seq);
        let gone: Vec<u64> = self
            .range(section.from, section.to)
            .filter(|(seq, item)| listed(*seq).map_or(true, |at| section.entries[at].item != **item))
            .map(|(seq, _)| seq)
            .collect();
        for seq in gone {
            let Some(item) = self.remove(seq) else { continue };
            if let Some(old) = item.value() {
                changes.push(Change { key: item.key().into(), old: Some(old.into()), new: None });
            }
        }
    }

    fn take(&mut self, entry: &Entry, replace: bool, cap: usize, faults: Faults, changes: &mut Vec<Change>) {
        if !replace && !faults.replay_accepted && self.cover.contains(entry.seq, entry.seq) {
            return;
        }
        let key = entry.item.key();
        let held = self.by_key.get(key).copied();
        if held.is_some_and(|held| held >= entry.seq) && !faults.replay_accepted {
            return;
        }
        let old = self.value(key).map(Box::from);
        let new = entry.item.value().map(Box::from);
        if old.is_none() && new.is_some() && self.live >= cap {
            self.refused += 1;
            return;
        }
        if old != new {
            changes.push(Change { key: key.into(), old, new });
        }
        // Another key with this number is of a start that its node has forgotten.
        if let Some(other) = self.by_seq.get(&entry.seq).filter(|other| other.live && other.key() != key) {
            let old = other.value().map(Into::into);
            changes.push(Change { key: other.key().into(), old, new: None });
        }
        self.insert(entry.seq, entry.item.clone());
    }

    fn insert(&mut self, seq: u64, item: Item) {
        if let Some(held) = self.by_key.get(item.key()).copied() {
            self.remove(held);
        }
        self.remove(seq);
        if item.live {
            self.live += 1;
            self.hash = self.hash.wrapping_add(item.hash(seq));
        }
        self.by_key.insert(item.key().into(), seq);
        self.by_seq.insert(seq, item);
    }

    fn remove(&mut self, seq: u64) -> Option<Item> {
        let item = self.by_seq.remove(&seq)?;
        self.by_key.remove(item.key());
        if item.live {
            self.live -= 1;
            self.hash = self.hash.wrapping_sub(item.hash(seq));
        }
        Some(item)
    }

    /// Forgets a key without a trace, which no node ever does: a fault for the simulator.
    #[cfg(feature = "faults")]
    pub(super) fn forget(&mut self, key: &[u8]) {
        if let Some(seq) = self.by_key.get(key).copied() {
            self.remove(seq);
        }
    }

    /// The live items.
    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.by_seq.values().filter(|item| item.live)
    }

    /// What differs in `other`, as changes from `self` to it.
    pub(super) fn changes_to(&self, other: &Self, changes: &mut Vec<Change>) {
        for item in self.items() {
            let (old, new) = (item.value(), other.value(item.key()));
            if old != new {
                changes.push(Change {
                    key: item.key().into(),
                    old: old.map(Into::into),
                    new: new.map(Into::into),
                });
            }
        }
        for item in other.items().filter(|item| self.value(item.key()).is_none()) {
            changes.push(Change { key: item.key().into(), old: None, new: item.value().map(Into::into) });
        }
    }
}
