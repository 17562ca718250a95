//! One question of a search: does this size pass on this source port?

use std::time::Instant;

use super::super::odds::LOSSES_MAX;

/// Probes of one trial, the unclear ones included.
pub(super) const TRIES: u32 = LOSSES_MAX * 2;

/// What a trial is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Does the size in effect still pass?
    Watch,
    /// Does `min` pass?
    Base,
    /// Does something in between pass?
    Climb,
    /// Does it pass on another source port, too?
    Confirm,
    /// Does the link's MTU pass again?
    Raise,
    /// Or at least a little more?
    Step,
}

/// One size on one source port, asked until it is clear.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    pub(super) id: u32,
    pub(super) what: What,
    pub(super) size: u16,
    pub(super) source: u16,
    /// Sent at most.
    pub(super) limit: u32,
    pub(super) sent: u32,
    pub(super) judged: u32,
    /// Lost while a small one passed.
    pub(super) against: u32,
    /// When the next one may be sent.
    pub(super) next_at: Instant,
}

/// A probe to send, with a small one beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::path) struct Wanted {
    pub(in crate::path) trial: u32,
    pub(in crate::path) size: u16,
    pub(in crate::path) source: u16,
    /// Without the small one: it will hardly be lost, and then it does not count.
    pub(in crate::path) alone: bool,
}

/// A size that an ICMP error told: it is tried beside the one in effect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hint {
    pub(super) trial: u32,
    pub(super) size: u16,
    pub(super) left: u8,
    pub(super) passed: bool,
}

impl Trial {
    pub(super) const fn new(id: u32, what: What, size: u16, source: u16, now: Instant) -> Self {
        Self { id, what, size, source, limit: TRIES, sent: 0, judged: 0, against: 0, next_at: now }
    }
}
