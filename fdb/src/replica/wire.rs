//! The messages between replicas, as octets.
//!
//! ```text
//!  octet 0: version, major in the high nibble    octet 1: kind
//!  1 delta    sections of streams, each a complete listing of its numbers
//!  2 root     the digest of all streams; flag 1: an answer
//!  3 buckets  128 of the 256 digests that the root is the sum of
//!  4 heads    how far each stream is known, for a range of nodes and a set of buckets
//!  5 pull     which parts of which streams are wanted
//! ```
//!
//! A message of a kind that is not known is an error that changes nothing; records of unknown kinds are carried.

use super::item::Item;
use super::octets::{MAX_SEQ, Reader, WireError};
use super::record::Record;
use crate::gossip::identity::{Epoch, NodeId};
use crate::gossip::seal::MAX_PAYLOAD;
use crate::octets::{put_varint, varint_len};

/// Octets of the largest message that fits a datagram.
pub const MAX_DATAGRAM: usize = MAX_PAYLOAD;
/// Octets of the largest message over a stream.
pub const MAX_CHUNK: usize = 16 << 10;

/// Major version 1, minor 0.
const VERSION: u8 = 0x10;
const DELTA: u8 = 1;
const ROOT: u8 = 2;
const BUCKETS: u8 = 3;
const HEADS: u8 = 4;
const PULL: u8 = 5;

/// The buckets of one message.
pub(super) const BUCKETS_PER_MESSAGE: usize = 128;
/// The ranges of one item of a pull.
pub(super) const MAX_PULL_RANGES: usize = 4;
/// The octets of a section before its entries, at most.
const SECTION_HEAD: usize = 16 + 1 + 6 * 9;
/// The octets of a head, at most.
const HEAD: usize = 16 + 3 * 9 + 8 + 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Delta(Vec<Section>),
    Root { answer: bool, root: u128 },
    Buckets { first: u8, digests: Vec<u64> },
    Heads(Heads),
    Pull(Vec<Want>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) origin: NodeId,
    pub(super) epoch: Epoch,
    /// The highest number that the sender heard of.
    pub(super) max: u64,
    pub(super) floor: u64,
    pub(super) from: u64,
    /// Less than `from`: the section only tells of `max`.
    pub(super) to: u64,
    /// What is not listed is gone, also if it was known.
    pub(super) replace: bool,
    pub(super) entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) item: Item,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heads {
    /// The receiver shall tell where it is ahead.
    pub(super) ask: bool,
    /// There are more heads than were sent.
    pub(super) more: bool,
    /// All streams of the sender within `first..=last` and the buckets are listed.
    pub(super) first: NodeId,
    pub(super) last: NodeId,
    pub(super) buckets: Buckets,
    pub(super) heads: Vec<Head>,
}

/// A set of buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buckets(pub(super) [u8; 32]);

impl Buckets {
    pub(super) const ALL: Self = Self([0xff; 32]);

    pub(super) fn contains(self, bucket: u8) -> bool {
        self.0[usize::from(bucket / 8)] >> (bucket % 8) & 1 == 1
    }

    pub(super) fn insert(&mut self, bucket: u8) {
        self.0[usize::from(bucket / 8)] |= 1 << (bucket % 8);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) origin: NodeId,
    pub(super) epoch: Epoch,
    pub(super) have: u64,
    pub(super) max: u64,
    pub(super) hash: u64,
    /// The sender refused keys of it: its hash cannot agree.
    pub(super) refused: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) origin: NodeId,
    pub(super) epoch: Epoch,
    pub(super) replace: bool,
    /// Ascending, 1 to [`MAX_PULL_RANGES`].
    pub(super) ranges: Vec<(u64, u64)>,
}

impl Message {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Self::Delta(sections) => {
                out.push(DELTA);
                sections.iter().for_each(|section| section.encode(&mut out));
            }
            Self::Root { answer, root } => {
                out.extend([ROOT, u8::from(*answer)]);
                out.extend(root.to_be_bytes());
            }
            Self::Buckets { first, digests } => {
                out.extend([BUCKETS, *first]);
                out.extend(digests.iter().flat_map(|digest| digest.to_be_bytes()));
            }
            Self::Heads(heads) => {
                out.extend([HEADS, u8::from(heads.ask) | u8::from(heads.more) << 1]);
                out.extend(heads.first.get().to_be_bytes());
                out.extend(heads.last.get().to_be_bytes());
                out.extend(heads.buckets.0);
                heads.heads.iter().for_each(|head| head.encode(&mut out));
            }
            Self::Pull(wants) => {
                out.push(PULL);
                wants.iter().for_each(|want| want.encode(&mut out));
            }
        }
        out
    }

    /// Reads one message; every octet is accounted for.
    pub(super) fn decode(octets: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(octets);
        let (version, ours) = (reader.u8()?, VERSION >> 4);
        if version >> 4 != ours {
            return Err(WireError::Version { major: version >> 4, ours });
        }
        let message = match reader.u8()? {
            DELTA => Self::Delta(until_end(&mut reader, Section::decode)?),
            ROOT => Self::Root { answer: flags(&mut reader, 1)? == 1, root: reader.u128()? },
            BUCKETS => {
                let first = reader.u8()?;
                let digests = until_end(&mut reader, |r| Ok(u64::from_be_bytes(r.array()?)))?;
                if digests.len() > 256 - usize::from(first) {
                    return Err(WireError::Value { what: "number of buckets" });
                }
                Self::Buckets { first, digests }
            }
            HEADS => {
                let flags = flags(&mut reader, 3)?;
                let (first, last) = (NodeId::new(reader.u128()?), NodeId::new(reader.u128()?));
                let buckets = Buckets(reader.array()?);
                let heads = until_end(&mut reader, Head::decode)?;
                Self::Heads(Heads { ask: flags & 1 != 0, more: flags & 2 != 0, first, last, buckets, heads })
            }
            PULL => Self::Pull(until_end(&mut reader, Want::decode)?),
            kind => return Err(WireError::Kind { kind }),
        };
        reader.end()?;
        Ok(message)
    }
}

/// Packs as many of `parts` as fit into each message of `room` octets.
pub(super) fn pack<T>(parts: Vec<T>, room: usize, len: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut packed: Vec<Vec<T>> = Vec::new();
    let mut left = 0;
    for part in parts {
        let len = len(&part);
        match packed.last_mut() {
            Some(last) if len <= left => last.push(part),
            _ => {
                left = room;
                packed.push(vec![part]);
            }
        }
        left = left.saturating_sub(len);
    }
    packed
}

/// The room for sections in a message of `size` octets.
pub(super) const fn room(size: usize) -> usize {
    size - 2
}

/// The heads that fit a datagram.
pub(super) const HEADS_PER_MESSAGE: usize = (MAX_DATAGRAM - 3 - 64) / HEAD;

fn until_end<T>(
    reader: &mut Reader<'_>,
    read: impl Fn(&mut Reader<'_>) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    let mut all = Vec::new();
    while reader.left() > 0 {
        all.push(read(reader)?);
    }
    Ok(all)
}

fn flags(reader: &mut Reader<'_>, allowed: u8) -> Result<u8, WireError> {
    let flags = reader.u8()?;
    if flags & !allowed == 0 { Ok(flags) } else { Err(WireError::Value { what: "flag" }) }
}

impl Section {
    /// The octets it takes, at most.
    pub(super) fn len(&self) -> usize {
        let span = self.to.saturating_sub(self.from) + 1;
        SECTION_HEAD + self.entries.iter().map(|entry| entry_len(span, &entry.item)).sum::<usize>()
    }

    /// A listing of `from..=to` out of `items`, ascending, in at most `room` octets: it may end before `to`.
    pub(super) fn fill<'a>(self, items: impl Iterator<Item = (u64, &'a Item)>, room: usize) -> Self {
        let mut section = self;
        match section.take(items, room) {
            Some(_) if section.entries.is_empty() => section.to = section.from - 1,
            Some(seq) => section.to = seq - 1,
            None => {}
        }
        section
    }

    /// The same, filled from the end, out of `items` descending: it may begin after `from`.
    pub(super) fn fill_back<'a>(self, items: impl Iterator<Item = (u64, &'a Item)>, room: usize) -> Self {
        let mut section = self;
        if let Some(seq) = section.take(items, room) {
            section.from = seq + 1;
        }
        section.entries.reverse();
        section
    }

    /// Appends what fits; gives the number of the first that does not.
    fn take<'a>(&mut self, items: impl Iterator<Item = (u64, &'a Item)>, room: usize) -> Option<u64> {
        let span = self.to - self.from + 1;
        let mut left = room.saturating_sub(SECTION_HEAD);
        for (seq, item) in items {
            let len = entry_len(span, item);
            if len > left {
                return Some(seq);
            }
            left -= len;
            self.entries.push(Entry { seq, item: item.clone() });
        }
        None
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.origin.get().to_be_bytes());
        out.push(u8::from(self.replace));
        let len = if self.to < self.from { 0 } else { self.to - self.from + 1 };
        for n in [self.epoch.get(), self.max, self.floor, self.from, len, self.entries.len() as u64] {
            put_varint(out, n);
        }
        let mut next = self.from;
        for Entry { seq, item } in &self.entries {
            put_varint(out, seq - next);
            next = seq + 1;
            let (key, value) = (item.key(), item.value());
            // The kind is the first octet of the key.
            put_varint(out, key.len() as u64 - 1);
            out.extend_from_slice(key);
            put_varint(out, value.map_or(0, |value| value.len() as u64 + 1));
            out.extend_from_slice(value.unwrap_or_default());
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let origin = NodeId::new(reader.u128()?);
        let replace = flags(reader, 1)? == 1;
        let (epoch, max, floor) = (Epoch::new(reader.varint()?), reader.varint()?, reader.varint()?);
        let (from, len, count) = (reader.varint()?, reader.varint()?, reader.varint()?);
        let to = (from + len).wrapping_sub(1);
        let wrong = WireError::Value { what: "range" };
        if from == 0 || max > MAX_SEQ || (len == 0 && count > 0) || to > max || floor > max {
            return Err(wrong);
        }
        let mut entries = Vec::new();
        let mut next = from;
        for _ in 0..count {
            let seq = next.checked_add(reader.varint()?).filter(|seq| *seq <= to).ok_or(wrong)?;
            entries.push(Entry { seq, item: item(reader)? });
            next = seq + 1;
        }
        Ok(Self { origin, epoch, max, floor, from, to, replace, entries })
    }
}

fn entry_len(span: u64, item: &Item) -> usize {
    varint_len(span) + 1 + 2 + item.len()
}

fn item(reader: &mut Reader<'_>) -> Result<Item, WireError> {
    let short = |n: u64| usize::try_from(n).map_err(|_| WireError::Value { what: "length" });
    let key_len = short(reader.varint()?)?;
    let key = reader.take(key_len + 1)?;
    let value = match short(reader.varint()?)? {
        0 => None,
        len => Some(reader.take(len - 1)?),
    };
    match value {
        Some(value) => drop(Record::decode(key, value)?),
        None => drop(super::record::Key::decode(key)?),
    }
    Ok(Item::new(key, value))
}

impl Head {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.origin.get().to_be_bytes());
        out.push(self.refused.into());
        for n in [self.epoch.get(), self.have, self.max] {
            put_varint(out, n);
        }
        out.extend(self.hash.to_be_bytes());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let origin = NodeId::new(reader.u128()?);
        let refused = flags(reader, 1)? == 1;
        let (epoch, have, max) = (Epoch::new(reader.varint()?), reader.varint()?, reader.varint()?);
        if have > max || max > MAX_SEQ {
            return Err(WireError::Value { what: "range" });
        }
        Ok(Self { origin, epoch, have, max, hash: u64::from_be_bytes(reader.array()?), refused })
    }
}

impl Want {
    /// The octets it takes, at most.
    pub(super) fn len(&self) -> usize {
        16 + 2 + 9 + 18 * self.ranges.len()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.origin.get().to_be_bytes());
        out.extend([u8::from(self.replace), u8::try_from(self.ranges.len()).unwrap_or(u8::MAX)]);
        put_varint(out, self.epoch.get());
        for (from, to) in &self.ranges {
            put_varint(out, *from);
            put_varint(out, *to);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let origin = NodeId::new(reader.u128()?);
        let replace = flags(reader, 1)? == 1;
        let count = usize::from(reader.u8()?);
        let wrong = WireError::Value { what: "range" };
        if !(1..=MAX_PULL_RANGES).contains(&count) {
            return Err(wrong);
        }
        let epoch = Epoch::new(reader.varint()?);
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for _ in 0..count {
            let (from, to) = (reader.varint()?, reader.varint()?);
            if from <= ranges.last().map_or(0, |range| range.1) || to < from {
                return Err(wrong);
            }
            ranges.push((from, to));
        }
        Ok(Self { origin, epoch, replace, ranges })
    }
}
