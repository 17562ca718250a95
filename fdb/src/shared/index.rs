//! The map of the read side: one writer changes it, any number of readers ask it and never wait.
//!
//! A line of one cache line holds three entries; more are in overflow lines behind it. The map grows by one line at a
//! time (linear hashing): line `n - 2^k` of `n` is split in two, so that no change costs more in a large map than in a
//! small one, and nothing that a reader looks at moves or is freed.
//!
//! Entries of a chain of lines have no gap between them. Every change is made of stores after each of which a reader
//! finds what it asks for, old or new, provided that the generation of the bucket did not change while it looked: what
//! is in two places is removed from the old one, and what is free is used again, only after that generation was raised.
//! So a reader that sees the same generation before and after has a true answer. One that does not asks again: it does
//! so only as often as the writer finishes another change of the bucket meanwhile, and never waits for one.
//!
//! All loads of readers are `Acquire` and all stores are `Release`: who sees a store sees the generation before it. That
//! order is argued, not tested: the tests run on the processor at hand, which may keep more order than it promises.

use std::hash::BuildHasher;
use std::iter;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::quality::SeedableRandomState;

use super::blocks::Blocks;
use super::{Bits, Entry, Key};

/// Generations; a change invalidates the cached answers of one in this many addresses. 16 KiB: half of an L1 cache.
pub(super) const BUCKETS: usize = 4096;

/// A map has no fewer lines, so that all entries of a line are in the same bucket.
#[allow(clippy::cast_possible_truncation)]
const FEWEST_LINES: u32 = BUCKETS as u32;

/// Another line is made when there are more entries than 9 for each 5 of them: for some 9 of 10 hits the first line is
/// enough then, and an entry takes some 40 octets.
const ENTRIES_OF_5_LINES: usize = 9;

/// Entries by their keys.
pub(super) struct Index {
    hasher: SeedableRandomState,
    generations: Box<[AtomicU32; BUCKETS]>,
    /// How many of `lines` are in use, as a [`Size`].
    size: AtomicU64,
    lines: Blocks<Line>,
    overflow: Blocks<Line>,
    writer: Mutex<Writer>,
}

/// What only the writer needs to know.
#[derive(Default)]
struct Writer {
    entries: usize,
    /// Overflow lines that were ever used.
    overflow: u32,
    /// Those of them that are not in use now.
    free: Vec<u32>,
}

#[derive(Default)]
#[repr(align(64))]
struct Line {
    slots: [Slot; 3],
    /// One more than the number of an overflow line; 0 = none.
    next: AtomicU32,
}

/// One entry, or none where the key is [`FREE`]. Its value is written before the key and read after it.
#[derive(Default)]
struct Slot {
    key: AtomicU64,
    value: AtomicU64,
}

/// What a slot holds: a key of 72 bits, of which eight are the low ones of `value`.
#[derive(Clone, Copy)]
struct Words {
    key: u64,
    value: u64,
}

const HIGH_KEY_BITS: u64 = 0xff;

/// No key: zero is nobody's address.
const FREE: u64 = 0;

impl Index {
    pub(super) fn new(hasher: SeedableRandomState) -> Self {
        let index = Self {
            hasher,
            generations: Box::new([const { AtomicU32::new(0) }; BUCKETS]),
            size: AtomicU64::new(Size::of(FEWEST_LINES).0),
            lines: Blocks::new(),
            overflow: Blocks::new(),
            writer: Mutex::default(),
        };
        for n in 0..FEWEST_LINES {
            index.lines.make(n);
        }
        index
    }

    #[inline]
    pub(super) fn hash(&self, key: Key) -> u64 {
        self.hasher.hash_one(key.number())
    }

    #[inline]
    pub(super) fn generation(&self, bucket: u16) -> u32 {
        self.generations[usize::from(bucket) % BUCKETS].load(Ordering::Acquire)
    }

    /// What `read` makes of the entry of `key`, and the generation of its bucket that this is of.
    ///
    /// `read` may be called several times, and with an entry that is gone by then.
    #[inline]
    pub(super) fn find<T>(&self, key: Key, hash: u64, read: impl Fn(Bits) -> Option<T>) -> (Option<T>, u32) {
        let words = Words::of(key);
        loop {
            let generation = self.generation(bucket(hash));
            let value = if words.can_be_kept() { self.value(hash, words) } else { 0 };
            let found = if value == 0 { None } else { read(Bits(value >> 8)) };
            if self.generation(bucket(hash)) == generation {
                return (found, generation);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.writer().entries
    }

    pub(super) fn put(&self, key: Key, entry: Entry) {
        let mut writer = self.writer();
        let (hash, mut words) = (self.hash(key), Words::of(key));
        words.value |= Bits::from(entry).0 << 8;
        let Some(line) = self.line(hash).filter(|_| words.can_be_kept()) else { return };
        if let Some(slot) = self.slots(line).find(|slot| slot.words().is_of(words)) {
            slot.value.store(words.value, Ordering::Release);
        } else {
            self.append(&mut writer, line, words);
            writer.entries += 1;
        }
        self.changed(bucket(hash));
        self.grow(&mut writer);
    }

    pub(super) fn remove(&self, key: Key) {
        let mut writer = self.writer();
        let (hash, words) = (self.hash(key), Words::of(key));
        let Some(line) = self.line(hash).filter(|_| words.can_be_kept()) else { return };
        if self.take(&mut writer, line, bucket(hash), words) {
            writer.entries -= 1;
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- looking ----

    #[inline]
    fn line(&self, hash: u64) -> Option<&Line> {
        self.lines.get(Size(self.size.load(Ordering::Acquire)).line(hash))
    }

    /// The value of a key; 0 = there is none.
    ///
    /// Which of the slots has it is not a branch, which could not be predicted, and little is done that depends on what
    /// is in the line: then a CPU begins with the next lookups while this one waits for memory.
    #[inline]
    fn value(&self, hash: u64, key: Words) -> u64 {
        let mut next = self.line(hash);
        while let Some(line) = next {
            let mut found = 0;
            for slot in &line.slots {
                let Words { key: other, value } = slot.words();
                found = if other == key.key { value } else { found };
            }
            if found != 0 {
                let same = found & HIGH_KEY_BITS == key.value;
                return if same { found } else { self.value_among_twins(line, key) };
            }
            next = self.after(line);
        }
        0
    }

    /// The same, from a line on where there is a key of which only the high bits differ: the same address in two
    /// networks, by a chance of one in many thousands in the same line.
    #[cold]
    fn value_among_twins(&self, line: &Line, key: Words) -> u64 {
        self.slots(line).map(Slot::words).find(|words| words.is_of(key)).map_or(0, |words| words.value)
    }

    /// The overflow line behind a line.
    #[inline]
    fn after(&self, line: &Line) -> Option<&Line> {
        self.overflow.get(line.next.load(Ordering::Acquire).checked_sub(1)?)
    }

    // ---- changing ----

    /// Tells readers that what they saw of a bucket until now may be no more.
    fn changed(&self, bucket: u16) {
        let generation = &self.generations[usize::from(bucket) % BUCKETS];
        generation.store(generation.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    /// Puts an entry behind the others of a chain.
    fn append<'a>(&'a self, writer: &mut Writer, mut line: &'a Line, words: Words) {
        while let Some(next) = self.after(line) {
            line = next;
        }
        if let Some(slot) = line.slots.iter().find(|slot| slot.is_free()) {
            return slot.set(words);
        }
        let n = writer.free.pop().unwrap_or_else(|| {
            writer.overflow += 1;
            writer.overflow - 1
        });
        if let Some(next) = self.overflow.make(n) {
            next.slots[0].set(words);
            line.next.store(n + 1, Ordering::Release);
        }
    }

    /// Takes an entry out of a chain, and puts the last one into its place; says whether it was there.
    fn take<'a>(&'a self, writer: &mut Writer, mut line: &'a Line, bucket: u16, key: Words) -> bool {
        let (mut hole, mut before) = (None, None);
        loop {
            hole = hole.or_else(|| line.slots.iter().find(|slot| slot.words().is_of(key)));
            let Some(next) = self.after(line) else { break };
            (before, line) = (Some(line), next);
        }
        let last = line.slots.iter().rfind(|slot| !slot.is_free());
        let (Some(hole), Some(last)) = (hole, last) else { return false };
        hole.clear();
        if !std::ptr::eq(hole, last) {
            self.changed(bucket);
            hole.set(last.words());
            self.changed(bucket);
            last.clear();
        }
        if let Some(before) = before.filter(|_| line.slots[0].is_free()) {
            writer.free.extend(before.next.swap(0, Ordering::Release).checked_sub(1));
        }
        self.changed(bucket);
        true
    }

    /// The slots in use of a chain.
    fn slots<'a>(&'a self, first: &'a Line) -> impl Iterator<Item = &'a Slot> {
        let lines = iter::successors(Some(first), |line| self.after(line));
        lines.flat_map(|line| &line.slots).filter(|slot| !slot.is_free())
    }

    /// Splits the next line in two if there are many entries for the lines.
    fn grow(&self, writer: &mut Writer) {
        let size = Size(self.size.load(Ordering::Relaxed)).lines();
        if writer.entries * 5 <= size as usize * ENTRIES_OF_5_LINES {
            return;
        }
        let larger = Size::of(size + 1);
        let old = self.lines.get(size - (1 << size.ilog2()));
        let (Some(old), Some(new)) = (old, self.lines.make(size)) else { return };
        for words in self.slots(old).map(Slot::words) {
            if larger.line(self.hasher.hash_one(words.number())) == size {
                self.append(writer, new, words);
            }
        }
        let bucket = bucket(size.into());
        self.size.store(larger.0, Ordering::Release);
        self.changed(bucket);
        for words in self.slots(new).map(Slot::words) {
            self.take(writer, old, bucket, words);
        }
    }
}

impl Slot {
    fn is_free(&self) -> bool {
        self.key.load(Ordering::Acquire) == FREE
    }

    #[inline]
    fn words(&self) -> Words {
        Words { key: self.key.load(Ordering::Acquire), value: self.value.load(Ordering::Acquire) }
    }

    /// Leaves the value: nobody sees a key with no value.
    fn clear(&self) {
        self.key.store(FREE, Ordering::Release);
    }

    /// Fills a free slot. Who sees one of the words sees all that was done before, above all that the slot was freed.
    fn set(&self, words: Words) {
        self.value.store(words.value, Ordering::Release);
        self.key.store(words.key, Ordering::Release);
    }
}

impl Words {
    /// A key without an entry.
    #[allow(clippy::cast_possible_truncation)] // the number is cut in two
    fn of(key: Key) -> Self {
        let number = key.number();
        Self { key: number as u64, value: (number >> 64) as u64 }
    }

    fn number(self) -> u128 {
        u128::from(self.value & HIGH_KEY_BITS) << 64 | u128::from(self.key)
    }

    /// Zero may be asked for.
    fn can_be_kept(self) -> bool {
        self.key != FREE
    }

    /// Whether it is the entry of this key.
    fn is_of(self, key: Self) -> bool {
        self.number() == key.number()
    }
}

/// The low bits, which are those of the line.
#[allow(clippy::cast_possible_truncation)] // BUCKETS fits into 16 bits
pub(super) fn bucket(hash: u64) -> u16 {
    (hash % BUCKETS as u64) as u16
}

/// A number of lines, and above it the mask for the hashes that are spread over them.
#[derive(Clone, Copy)]
struct Size(u64);

impl Size {
    fn of(lines: u32) -> Self {
        let mask = (2_u64 << lines.ilog2()) - 1;
        Self(mask << 32 | u64::from(lines))
    }

    #[allow(clippy::cast_possible_truncation)] // the low half
    fn lines(self) -> u32 {
        self.0 as u32
    }

    /// The line of a hash. As long as a line is not there, its entries are in the one that it will be split from.
    #[allow(clippy::cast_possible_truncation)] // lines are counted with 32 bits
    fn line(self, hash: u64) -> u32 {
        let mask = (self.0 >> 32) as u32;
        let n = hash as u32 & mask;
        if n < self.lines() { n } else { n & mask >> 1 }
    }
}

#[cfg(test)]
mod tests;
