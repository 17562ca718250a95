//! One network of the table, and the clock that its times are on.

use std::time::{Duration, Instant};

use super::FREEZE;
use super::arena::{Arena, Chain, List};
use crate::shared::Mark;

/// One network: its limits, and its entries in the order in which they are due.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) max_macs: usize,
    /// Nanoseconds; `None` = learned entries never age.
    pub(super) mac_age: Option<u64>,
    /// Learned entries by the time they were last seen.
    to_age: List,
    /// Frozen learned entries by the time they were frozen.
    to_thaw: List,
    /// Frozen claimed ones: apart, because these are never evicted.
    claims_to_thaw: List,
    /// Entries that are neither aged nor thawed: configured, or claimed.
    lasting: usize,
    /// Moves of its entries.
    pub(super) moved: u64,
}

impl Network {
    pub(super) const fn new() -> Self {
        Self {
            max_macs: 0,
            mac_age: None,
            to_age: List::EMPTY,
            to_thaw: List::EMPTY,
            claims_to_thaw: List::EMPTY,
            lasting: 0,
            moved: 0,
        }
    }

    /// Its entries of all kinds.
    pub(super) fn len(&self) -> usize {
        self.to_age.len() + self.to_thaw.len() + self.claims_to_thaw.len() + self.lasting
    }

    /// Whether it has as many entries as it may.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.max_macs
    }

    /// The learned entry to evict first when there are more than `max_macs`.
    pub(super) fn excess(&self) -> Option<u32> {
        let oldest = self.to_age.first().or_else(|| self.to_thaw.first());
        oldest.filter(|_| self.len() > self.max_macs)
    }

    /// Counts a node and queues it; gives the time at which it is due.
    pub(super) fn attach(&mut self, nodes: &mut Arena, id: u32) -> Option<u64> {
        let node = nodes.get(id);
        let (last_seen, since) = (node.last_seen, node.since);
        match node.mark {
            Mark::Static | Mark::Claimed | Mark::ClaimedStatic => {
                self.lasting += 1;
                None
            }
            Mark::Learned => {
                nodes.append(&mut self.to_age, Chain::Network, id);
                self.mac_age.map(|age| last_seen.saturating_add(age))
            }
            Mark::Frozen => {
                nodes.append(&mut self.to_thaw, Chain::Network, id);
                Some(since.saturating_add(nanoseconds(FREEZE)))
            }
            Mark::ClaimedFrozen => {
                nodes.append(&mut self.claims_to_thaw, Chain::Network, id);
                Some(since.saturating_add(nanoseconds(FREEZE)))
            }
        }
    }

    pub(super) fn detach(&mut self, nodes: &mut Arena, id: u32) {
        match nodes.get(id).mark {
            Mark::Static | Mark::Claimed | Mark::ClaimedStatic => self.lasting -= 1,
            Mark::Learned => nodes.unlink(&mut self.to_age, Chain::Network, id),
            Mark::Frozen => nodes.unlink(&mut self.to_thaw, Chain::Network, id),
            Mark::ClaimedFrozen => nodes.unlink(&mut self.claims_to_thaw, Chain::Network, id),
        }
    }

    /// Makes a learned entry the last to age; a frozen one thaws no later for being seen.
    pub(super) fn renew(&mut self, nodes: &mut Arena, id: u32) {
        if nodes.get(id).mark == Mark::Learned {
            nodes.renew(&mut self.to_age, Chain::Network, id);
        }
    }

    /// The learned entry that ages first, and when.
    pub(super) fn first_to_age(&self, nodes: &Arena) -> Option<(u32, u64)> {
        let (id, age) = (self.to_age.first()?, self.mac_age?);
        Some((id, nodes.get(id).last_seen.saturating_add(age)))
    }

    /// The frozen entry that thaws first, and when.
    pub(super) fn first_to_thaw(&self, nodes: &Arena) -> Option<(u32, u64)> {
        let first = [self.to_thaw.first(), self.claims_to_thaw.first()].into_iter().flatten();
        let due = first.map(|id| (id, nodes.get(id).since.saturating_add(nanoseconds(FREEZE))));
        due.min_by_key(|(_, due)| *due)
    }
}

/// Times in eight octets rather than sixteen: nanoseconds since the first `now`, which never run backwards, so that a
/// list whose nodes are appended stays in the order of their times.
#[derive(Debug, Default)]
pub(super) struct Clock {
    start: Option<Instant>,
    latest: u64,
}

impl Clock {
    pub(super) fn tick(&mut self, now: Instant) -> u64 {
        let start = *self.start.get_or_insert(now);
        self.latest = self.latest.max(nanoseconds(now.saturating_duration_since(start)));
        self.latest
    }

    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    pub(super) fn instant(&self, tick: u64) -> Option<Instant> {
        self.start?.checked_add(Duration::from_nanos(tick))
    }
}

/// 584 years at most.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
