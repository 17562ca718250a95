//! One origin's stream: what it said last about each key, numbered, and which part of it is known here.
//!
//! A section of a stream is a *complete listing*: what is still valid of the numbers `from..=to`. So a number that
//! is missing in it was overwritten later. Tombstones up to `floor` may be missing, too: who is behind the floor of
//! a listing takes it as a replacement, where absence means deletion.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::Config;
use super::coverage::Coverage;
use super::faults::Fault;
use super::item::Item;
use super::wire::{Entry, Section};
use crate::gossip::identity::{Epoch, NodeId};

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
    items: BTreeMap<u64, Item>,
    /// The numbers of the items by the hash of their keys; these are in the items only. Seeded: pods choose MACs.
    index: HashTable<u64>,
    hasher: RandomState,
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
            items: BTreeMap::new(),
            index: HashTable::new(),
            hasher: RandomState::default(),
            live: 0,
            hash: 0,
            refused: 0,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.cover.have() == self.max_seen
    }

    /// Whether anything of it is known.
    pub(super) fn is_known(&self) -> bool {
        self.cover != Coverage::default()
    }

    pub(super) const fn live(&self) -> usize {
        self.live
    }

    fn dead(&self) -> usize {
        self.items.len() - self.live
    }

    /// Live and dead.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn value(&self, key: &[u8]) -> Option<&[u8]> {
        self.items.get(&self.seq_of(key)?)?.value()
    }

    /// The number with which a key was said last.
    fn seq_of(&self, key: &[u8]) -> Option<u64> {
        let same = |seq: &u64| self.items.get(seq).is_some_and(|item| item.key() == key);
        self.index.find(self.hasher.hash_one(key), same).copied()
    }

    /// The items of a range, ascending; both ends may be walked from.
    pub(super) fn range(&self, from: u64, to: u64) -> impl DoubleEndedIterator<Item = (u64, &Item)> {
        let range = (from <= to).then(|| self.items.range(from..=to));
        range.into_iter().flatten().map(|(seq, item)| (*seq, item))
    }

    /// The listing of `from..=to`, to be filled.
    pub(super) const fn section(&self, origin: NodeId, from: u64, to: u64) -> Section {
        let (epoch, max, floor) = (self.epoch, self.max_seen, self.floor);
        Section { origin, epoch, max, floor, from, to, replace: false, entries: Vec::new() }
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
            self.range(1, self.floor).filter(|(_, item)| !item.is_live()).map(|(seq, _)| seq).collect();
        for seq in cut {
            self.remove(seq);
        }
    }

    /// Takes a section, within the limits of `config`. What changed is appended to `changes`.
    pub(super) fn merge(&mut self, section: &Section, config: &Config, changes: &mut Vec<Change>) -> Merged {
        let Section { from, to, floor, replace, .. } = *section;
        self.max_seen = self.max_seen.max(section.max).max(to);
        if from > to {
            return Merged::Announced;
        }
        if !replace && self.cover.contains(from, to) {
            if config.has(Fault::ReplayAccepted) {
                section.entries.iter().for_each(|entry| self.take(entry, section, config, changes));
            }
            return Merged::Known;
        }
        let live = section.entries.iter().filter(|entry| entry.item.is_live()).count();
        // What was removed to make room for it may be in the gap before it: that comes first.
        if !replace && from > self.cover.have() + 1 && self.live + live > config.max_records {
            return Merged::Announced;
        }
        // Those that the origin has cut since cannot be told from others while there is a gap.
        if !replace && self.dead() + section.entries.len() - live > 2 * config.max_tombstones {
            return Merged::Behind;
        }
        let clean = from > floor || self.cover.have() >= floor || self.base >= floor;
        let mut cover = self.cover.clone();
        if !(clean || replace) || cover.add(from, to).is_err() {
            return Merged::Behind;
        }
        if replace && !config.has(Fault::ReplacementKeeps) {
            self.drop_unlisted(section, changes);
        }
        for entry in &section.entries {
            self.take(entry, section, config, changes);
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

    fn take(&mut self, entry: &Entry, section: &Section, config: &Config, changes: &mut Vec<Change>) {
        let replay = config.has(Fault::ReplayAccepted);
        if !section.replace && !replay && self.cover.contains(entry.seq, entry.seq) {
            return;
        }
        let key = entry.item.key();
        let held = self.seq_of(key);
        if held.is_some_and(|held| held >= entry.seq) && !replay {
            return;
        }
        let old = self.value(key).map(Box::from);
        let new = entry.item.value().map(Box::from);
        if old.is_none() && new.is_some() && !self.make_room(section, config, changes) {
            self.refused += 1;
            return;
        }
        let forget = new.is_none() && self.dead() >= 3 * config.max_tombstones;
        if old != new {
            changes.push(Change { key: key.into(), old, new });
        }
        if forget {
            // Gone, but nobody can be told of it from here.
            self.refused += 1;
            self.forget(key);
            return;
        }
        // Another key with this number is of a start that its node has forgotten.
        if let Some(other) = self.items.get(&entry.seq).filter(|other| other.is_live() && other.key() != key)
        {
            let old = other.value().map(Into::into);
            changes.push(Change { key: other.key().into(), old, new: None });
        }
        self.insert(entry.seq, entry.item.clone());
    }

    /// Whether one more key may live. A replacement comes from its end: what it has not reached may go for what it has.
    fn make_room(&mut self, section: &Section, config: &Config, changes: &mut Vec<Change>) -> bool {
        if self.live < config.max_records || config.has(Fault::CapIgnored) {
            return true;
        }
        let below = if section.replace { section.from - 1 } else { 0 };
        let oldest = self.range(1, below).find(|(_, item)| item.is_live()).map(|(seq, _)| seq);
        let Some(item) = oldest.and_then(|seq| self.remove(seq)) else { return false };
        let old = item.value().map(Into::into);
        changes.push(Change { key: item.key().into(), old, new: None });
        true
    }

    fn insert(&mut self, seq: u64, item: Item) {
        if let Some(held) = self.seq_of(item.key()) {
            self.remove(held);
        }
        self.remove(seq);
        if item.is_live() {
            self.live += 1;
            self.hash = self.hash.wrapping_add(item.hash(seq));
        }
        let hash = self.hasher.hash_one(item.key());
        self.items.insert(seq, item);
        let (items, hasher) = (&self.items, &self.hasher);
        let hash_of = |seq: &u64| items.get(seq).map_or(0, |item| hasher.hash_one(item.key()));
        self.index.insert_unique(hash, seq, hash_of);
    }

    fn remove(&mut self, seq: u64) -> Option<Item> {
        let item = self.items.remove(&seq)?;
        if let Ok(entry) = self.index.find_entry(self.hasher.hash_one(item.key()), |held| *held == seq) {
            entry.remove();
        }
        if item.is_live() {
            self.live -= 1;
            self.hash = self.hash.wrapping_sub(item.hash(seq));
        }
        Some(item)
    }

    /// Forgets a key without a trace, which is for what an origin says beyond all limits.
    pub(super) fn forget(&mut self, key: &[u8]) {
        if let Some(seq) = self.seq_of(key) {
            self.remove(seq);
        }
    }

    /// The live items.
    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.items.values().filter(|item| item.is_live())
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
