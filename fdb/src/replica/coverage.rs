//! Which part of a stream is known: all up to a number, and a few ranges beyond it.

/// The ranges beyond the part without gaps.
pub(super) const MAX_RANGES: usize = 16;

/// More ranges than are kept: what was to be added is still unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overflow;

/// Sequence numbers of which a stream is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Coverage {
    have: u64,
    /// Ascending, apart from each other and from `have`.
    ranges: Vec<(u64, u64)>,
}

impl Coverage {
    /// All up to here is known.
    pub(super) const fn have(&self) -> u64 {
        self.have
    }

    pub(super) fn contains(&self, from: u64, to: u64) -> bool {
        to <= self.have || self.ranges.iter().any(|range| range.0 <= from.max(self.have + 1) && to <= range.1)
    }

    /// Adds `from..=to`; nothing is changed if that leaves too many ranges.
    pub(super) fn add(&mut self, from: u64, to: u64) -> Result<(), Overflow> {
        if to <= self.have {
            return Ok(());
        }
        let (mut from, mut to) = (from, to);
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        for &(a, b) in &self.ranges {
            if b + 1 < from || to + 1 < a {
                ranges.push((a, b));
            } else {
                from = from.min(a);
                to = to.max(b);
            }
        }
        if from <= self.have + 1 {
            self.have = to;
        } else if ranges.len() == MAX_RANGES {
            return Err(Overflow);
        } else {
            let at = ranges.partition_point(|range| range.0 < from);
            ranges.insert(at, (from, to));
        }
        self.ranges = ranges;
        Ok(())
    }

    /// What is unknown up to `max`, ascending, at most `most` ranges.
    pub(super) fn missing(&self, max: u64, most: usize) -> Vec<(u64, u64)> {
        let mut next = self.have + 1;
        let mut missing = Vec::new();
        for &(a, b) in &self.ranges {
            missing.push((next, a - 1));
            next = b + 1;
        }
        if next <= max {
            missing.push((next, max));
        }
        missing.truncate(most);
        missing
    }

    /// The parts of `from..=to` that are known, ascending.
    pub(super) fn known_within(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        let all = std::iter::once((1, self.have)).chain(self.ranges.iter().copied());
        all.map(|(a, b)| (a.max(from), b.min(to))).filter(|(a, b)| a <= b).collect()
    }
}
