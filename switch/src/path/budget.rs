//! How much probing may cost: a bucket for the node and one for each peer, and how far intervals are stretched where
//! many peers want more than there is. Everything is in octets of outer IP packets, replies included.

use std::time::{Duration, Instant};

/// Octets a second of a node, in all.
pub(super) const NODE_RATE: u32 = 48_000;
/// And at once.
pub(super) const NODE_BURST: u32 = 20_000;
/// What is left for replies when probes wait for more.
pub(super) const NODE_RESERVE: f64 = 8_000.0;
/// And for active peers when idle ones wait.
pub(super) const ACTIVE_RESERVE: f64 = 4_000.0;
/// And for all probes, up to those as large as an Ethernet link takes, when letters wait.
pub(super) const LETTER_RESERVE: f64 = NODE_RESERVE + ACTIVE_RESERVE + 2_000.0;

/// Octets a second for a peer with traffic.
pub(super) const PEER_RATE: u32 = 3_850;
/// And at once: enough to tell a black hole from loss, and to find what still passes.
pub(super) const PEER_BURST: u32 = 16_000;

/// Datagrams a second in the name of one peer that are opened, and at once.
pub(super) const OPENED_RATE: u32 = 2_000;

/// Replies a second to one peer, and at once.
pub(super) const REPLY_RATE: u32 = 20;
pub(super) const REPLY_BURST: u32 = 40;

/// Letters a second of one peer that are heard or passed on, and at once: a trace that asks four times, and some more.
pub(super) const LETTER_RATE: u32 = 8;
pub(super) const LETTER_BURST: u32 = 32;

/// What peers with and without traffic are counted with when there are many.
const ACTIVE_COST: u64 = 3_900;
const IDLE_COST: u64 = 190;
/// What intervals are made to fit: the rest is for retries.
const PLANNED: u64 = 44_000;
/// The part of it that idle peers have in any case.
const IDLE_PART: u64 = 12_000;

/// Tokens that come back evenly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    rate: f64,
    burst: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(rate: u32, burst: u32, now: Instant) -> Self {
        Self { rate: rate.into(), burst: burst.into(), level: burst.into(), at: now }
    }

    /// Takes tokens if as many and a reserve are there. What costs more than there can be waits until the bucket is full.
    pub(super) fn take(&mut self, cost: usize, reserve: f64, now: Instant) -> bool {
        let enough = self.has(cost, reserve, now);
        if enough {
            self.level -= octets(cost);
        }
        enough
    }

    /// Whether [`Bucket::take`] would.
    pub(super) fn has(&mut self, cost: usize, reserve: f64, now: Instant) -> bool {
        self.fill(now);
        self.level >= self.wanted(cost, reserve)
    }

    fn wanted(&self, cost: usize, reserve: f64) -> f64 {
        (octets(cost) + reserve).min(self.burst)
    }

    /// Takes tokens that another bucket has granted; they may be missing then.
    pub(super) fn charge(&mut self, cost: usize, now: Instant) {
        self.fill(now);
        self.level = (self.level - octets(cost)).max(-self.burst);
    }

    /// When so many are there, if nobody takes any before. Later than now in any case.
    pub(super) fn ready_at(&self, cost: usize, reserve: f64, now: Instant) -> Instant {
        let missing = (self.wanted(cost, reserve) - self.level).max(0.0);
        now + Duration::from_secs_f64((missing / self.rate).clamp(0.001, 60.0))
    }

    fn fill(&mut self, now: Instant) {
        let time = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + time * self.rate).min(self.burst);
        self.at = self.at.max(now);
    }
}

#[allow(clippy::cast_precision_loss)] // far below 2^52
const fn octets(cost: usize) -> f64 {
    cost as f64
}

/// How far intervals are stretched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stretch {
    pub(super) active: f64,
    pub(super) idle: f64,
}

impl Stretch {
    /// What fits so many peers with and without traffic into what a node may send.
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    pub(super) fn of(active: usize, idle: usize) -> Self {
        let (active, idle) = (active as u64 * ACTIVE_COST, idle as u64 * IDLE_COST);
        let for_idle = idle.min(PLANNED.saturating_sub(active).max(IDLE_PART));
        let for_active = active.min(PLANNED - for_idle);
        let stretch = |wanted: u64, given: u64| (wanted as f64 / given.max(1) as f64).max(1.0);
        Self { active: stretch(active, for_active), idle: stretch(idle, for_idle) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn over_any_time_no_more_than_burst_and_rate_pass(steps in prop::collection::vec((0_u64..3_000, 0_usize..5_000), 1..200)) {
            let start = crate::path::testing::start();
            let mut bucket = Bucket::new(4_000, 8_000, start);
            let (mut now, mut passed) = (start, 0);
            for (millis, cost) in steps {
                now += Duration::from_millis(millis);
                passed += if bucket.take(cost, 0.0, now) { cost } else { 0 };
            }
            let most = (now - start).as_secs_f64() * 4_000.0 + 8_001.0;
            prop_assert!(octets(passed) <= most);
        }

        #[test]
        fn it_is_ready_when_it_says(taken in 0_usize..9_000, cost in 1_usize..5_000) {
            let start = crate::path::testing::start();
            let mut bucket = Bucket::new(4_000, 8_000, start);
            bucket.charge(taken, start);
            let ready = bucket.ready_at(cost, 500.0, start);
            prop_assert!(bucket.take(cost, 500.0, ready + Duration::from_millis(1)));
        }

        #[test]
        fn what_is_planned_fits(active in 0_usize..4_096, idle in 0_usize..4_096) {
            let stretch = Stretch::of(active, idle);
            let cost = octets(active) * 3_900.0 / stretch.active + octets(idle) * 190.0 / stretch.idle;
            prop_assert!(cost <= 44_001.0 && stretch.active >= 1.0 && stretch.idle >= 1.0);
        }
    }

    #[test]
    fn few_peers_are_not_stretched_and_one_with_traffic_not_because_of_idle_ones() {
        assert_eq!(Stretch::of(4, 100), Stretch { active: 1.0, idle: 1.0 });
        assert_eq!(Stretch::of(1, 1_000).active, 1.0);
    }
}
