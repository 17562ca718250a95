//! The map against an ordinary one, also while it grows and while others read it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::thread;

use encap::{MacAddr, Vni};
use foldhash::SharedSeed;
use proptest::prelude::*;

use super::*;
use crate::shared::Mark;

fn index() -> Index {
    Index::new(SeedableRandomState::with_seed(1, SharedSeed::global_fixed()))
}

fn key(n: u32) -> Key {
    let [a, b, c, d] = n.to_be_bytes();
    Key { vni: Vni::from_octets([a, b, c]), mac: MacAddr::new([2, 0, a, b, c, d]) }
}

fn entry(n: u32) -> Entry {
    Entry { place: n % 1000, node: n % (1 << 24), mark: Mark::Learned }
}

fn find(index: &Index, n: u32) -> Option<Entry> {
    find_key(index, key(n))
}

fn find_key(index: &Index, key: Key) -> Option<Entry> {
    index.find(key, index.hash(key), |bits| Some(bits.into())).0
}

fn lines(index: &Index) -> u32 {
    Size(index.size.load(Ordering::Relaxed)).lines()
}

/// Keys whose entries are all in the same line of a small map.
fn crowd(index: &Index) -> Vec<u32> {
    (0..).filter(|n| bucket(index.hash(key(*n))) == 77).take(40).collect()
}

/// Pairs of keys of that line of which only the high bits differ.
fn twins(index: &Index) -> Vec<[Key; 2]> {
    let here = |key: Key| bucket(index.hash(key)) == 77;
    let pairs = (1 << 20..).map(key).filter(|one| here(*one)).flat_map(|one| {
        let [_, b, c] = one.vni.octets();
        (1..=255).map(move |high| [one, Key { vni: Vni::from_octets([high, b, c]), ..one }])
    });
    pairs.filter(|[_, two]| here(*two)).take(3).collect()
}

/// Entries in a row without a gap, no empty overflow line, and all in the line that their hash says.
fn check_lines(index: &Index) {
    let size = Size(index.size.load(Ordering::Relaxed));
    let mut overflow = 0;
    for n in 0..size.lines() {
        let mut line = index.lines.get(n).unwrap();
        let used = index.slots(line).map(Slot::words).inspect(|words| {
            assert_eq!(size.line(index.hasher.hash_one(words.number())), n);
        });
        let used = used.count();
        let mut capacity = line.slots.len();
        while let Some(next) = index.after(line) {
            assert!(line.slots.iter().all(|slot| !slot.is_free()), "a gap in line {n}");
            (line, overflow, capacity) = (next, overflow + 1, capacity + next.slots.len());
        }
        assert!(
            used + line.slots.len() > capacity || capacity == line.slots.len(),
            "an empty line behind {n}"
        );
    }
    let writer = index.writer();
    assert_eq!(overflow + writer.free.len(), writer.overflow as usize, "overflow lines were lost");
}

#[test]
fn what_was_put_is_found_while_the_map_grows_and_shrinks() {
    const ENTRIES: u32 = 100_000;
    let index = index();
    for n in 0..ENTRIES {
        index.put(key(n), entry(n));
        assert_eq!(find(&index, n / 2), Some(entry(n / 2)));
    }
    check_lines(&index);
    assert_eq!((index.len(), find(&index, ENTRIES)), (ENTRIES as usize, None));
    assert!((0..ENTRIES).all(|n| find(&index, n) == Some(entry(n))));
    for n in (0..ENTRIES).filter(|n| n % 8 != 0) {
        index.remove(key(n));
    }
    check_lines(&index);
    assert!((0..ENTRIES).all(|n| find(&index, n) == (n % 8 == 0).then(|| entry(n))));
    assert_eq!(index.len(), ENTRIES as usize / 8);
}

#[test]
fn lines_are_added_one_by_one_and_used_again() {
    let index = index();
    for round in 0..20 {
        for n in 0..20_000 {
            index.put(key(round * 20_000 + n), entry(n));
            if n >= 10_000 {
                index.remove(key(round * 20_000 + n - 10_000));
            }
        }
        (10_000..20_000).for_each(|n| index.remove(key(round * 20_000 + n)));
    }
    let (size, writer) = (lines(&index), index.writer());
    assert!((5555..5570).contains(&size), "{size} lines for 10,001 entries");
    assert!(writer.overflow < size / 3, "{} overflow lines behind {size}", writer.overflow);
    assert_eq!((writer.entries, writer.free.len()), (0, writer.overflow as usize));
}

#[test]
fn a_change_raises_the_generation_of_its_bucket_only() {
    let index = index();
    let generations = || (0..BUCKETS as u16).map(|bucket| index.generation(bucket)).collect::<Vec<_>>();
    for change in [|index: &Index| index.put(key(5), entry(1)), |index: &Index| index.remove(key(5))] {
        let before = generations();
        change(&index);
        let changed = (0..BUCKETS).filter(|bucket| generations()[*bucket] != before[*bucket]);
        assert_eq!(changed.collect::<Vec<_>>(), [usize::from(bucket(index.hash(key(5))))]);
    }
    let before = generations();
    index.remove(key(6));
    assert_eq!(generations(), before, "nothing was removed");
}

#[test]
fn the_generation_is_raised_after_each_step_of_a_change() {
    let index = index();
    let crowd = crowd(&index);
    let removal = |n: u32| {
        let before = index.generation(77);
        index.remove(key(n));
        index.generation(77) - before
    };
    crowd[..5].iter().for_each(|n| index.put(key(*n), entry(*n)));
    assert_eq!(removal(crowd[4]), 1, "the last of a chain");
    assert_eq!(removal(crowd[0]), 3, "gone, another one copied into its place, that one gone from the end");
    assert_eq!((removal(crowd[2]), removal(crowd[0])), (1, 0));

    // The first line to be split is that of bucket 0; its only entry goes to the new line.
    let one = (0..).find(|n| index.hash(key(*n)) % 8192 == 4096).unwrap();
    index.put(key(one), entry(one));
    let before = index.generation(0);
    let mut others = (1 << 24..).filter(|n| bucket(index.hash(key(*n))) != 0);
    while lines(&index) == FEWEST_LINES {
        index.put(key(others.next().unwrap()), entry(0));
    }
    assert_eq!(index.generation(0) - before, 2, "in the new line, gone from the old one");
    assert_eq!(find(&index, one), Some(entry(one)));
    check_lines(&index);
}

#[test]
fn nobody_has_the_address_zero_also_where_entries_were() {
    let index = index();
    (0..20_000).for_each(|n| index.put(key(n), entry(n)));
    (0..20_000).for_each(|n| index.remove(key(n)));
    for high in 0..=255 {
        let zero = Key { vni: Vni::from_octets([high, 0, 0]), mac: MacAddr::new([0; 6]) };
        index.put(zero, entry(1));
        index.remove(zero);
        assert!(index.find(zero, index.hash(zero), |bits| Some(Entry::from(bits))).0.is_none());
    }
    assert_eq!(index.len(), 0);
    check_lines(&index);
}

#[test]
fn keys_that_differ_in_the_high_bits_only_are_two_keys_also_in_one_line() {
    let index = index();
    let twin = |high: u8, n: u16| {
        let [a, b] = n.to_be_bytes();
        Key { vni: Vni::from_octets([high, 0, 1]), mac: MacAddr::new([2, 0, 0, 0, a, b]) }
    };
    let line = |key| bucket(index.hash(key));
    let twins = (0..u16::MAX).filter(|n| line(twin(1, *n)) == line(twin(2, *n))).take(3);
    let [one, two] = [1, 2].map(|high| twins.clone().map(|n| twin(high, n)).collect::<Vec<_>>());
    let find = |key| index.find(key, index.hash(key), |bits| Some(Entry::from(bits))).0;
    for (one, two) in one.into_iter().zip(two) {
        for (first, second) in [(one, two), (two, one)] {
            index.put(first, entry(1));
            assert_eq!((find(first), find(second)), (Some(entry(1)), None));
            index.put(second, entry(2));
            assert_eq!((find(first), find(second)), (Some(entry(1)), Some(entry(2))));
            index.remove(first);
            assert_eq!((find(first), find(second)), (None, Some(entry(2))));
            index.remove(second);
            assert_eq!((find(first), find(second)), (None, None));
        }
    }
}

#[test]
fn addresses_that_count_up_spread_over_the_buckets() {
    let index = index();
    for distance in [1, 4, 256, 4096, 65_536] {
        let mut used = vec![0_u32; BUCKETS];
        for i in 0..10 * BUCKETS as u32 {
            used[usize::from(bucket(index.hash(key(i * distance))))] += 1;
        }
        assert!(used.iter().all(|n| *n < 40), "a bucket has {:?} of 10 expected", used.iter().max());
    }
}

proptest! {
    #[test]
    fn the_map_holds_what_an_ordinary_one_holds(
        steps in proptest::collection::vec((0..40_usize, any::<bool>(), 0..1000_u32), 1..300),
    ) {
        let index = index();
        let (crowd, mut expected) = (crowd(&index), BTreeMap::new());
        for (n, put, value) in steps {
            if put {
                index.put(key(crowd[n]), entry(value));
                expected.insert(n, value);
            } else {
                index.remove(key(crowd[n]));
                expected.remove(&n);
            }
            for (n, key) in crowd.iter().enumerate() {
                prop_assert_eq!(find(&index, *key), expected.get(&n).copied().map(entry));
            }
            prop_assert_eq!(index.len(), expected.len());
        }
        check_lines(&index);
    }
}

#[test]
fn a_reader_never_misses_an_entry_that_stays_while_others_come_and_go() {
    let index = index();
    let crowd = crowd(&index);
    let (staying, passing) = crowd.split_at(8);
    let twins = twins(&index);
    twins.iter().flatten().enumerate().for_each(|(n, key)| index.put(*key, entry(n as u32)));
    // Those that pass are around those that stay, so that these are moved about.
    passing[..16].iter().chain(staying).chain(&passing[16..]).for_each(|n| index.put(key(*n), entry(*n)));
    let stop = AtomicBool::new(false);
    let read = || {
        let mut reads = 0_u64;
        while !stop.load(Ordering::Relaxed) || reads == 0 {
            for n in staying {
                assert_eq!(find(&index, *n), Some(entry(*n)));
            }
            for (n, [_, stays]) in twins.iter().enumerate() {
                assert_eq!(find_key(&index, *stays), Some(entry(2 * n as u32 + 1)));
            }
            for n in passing {
                assert!(find(&index, *n).is_none_or(|found| found == entry(*n)), "another's entry");
            }
            reads += 1;
        }
        reads
    };
    let reads: u64 = thread::scope(|scope| {
        let readers = [(); 2].map(|()| scope.spawn(read));
        let _ends_also_by_a_panic = Stop(&stop);
        for round in 0..300_u32 {
            // Other keys make the map grow, and split this line, at the same time.
            (0..200).for_each(|n| index.put(key((1 << 24) + round * 200 + n), entry(n)));
            passing.iter().for_each(|n| index.remove(key(*n)));
            passing.iter().rev().for_each(|n| index.put(key(*n), entry(*n)));
            twins.iter().for_each(|[passes, _]| index.remove(*passes));
            twins.iter().enumerate().for_each(|(n, [passes, _])| index.put(*passes, entry(2 * n as u32)));
            // What passed and what stays change places.
            staying.iter().for_each(|n| index.put(key(*n), entry(*n)));
        }
        stop.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().expect("a reader panicked")).sum()
    });
    assert!(reads > 0 && lines(&index) > 8 * FEWEST_LINES);
    check_lines(&index);
}

/// Tells readers to stop when it goes out of scope.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
