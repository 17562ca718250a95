//! The largest packet that passes: DPLPMTUD ([RFC 8899](https://www.rfc-editor.org/rfc/rfc8899)) of one path.
//!
//! ```text
//!            lost                        lost again and again, small ones pass
//!  watching ──────> trial of this size ─────────────────────────────────────────> down: the largest that passed of late, or `min`
//!     ^ ^             │ answered                                                    │ `min` is tried; if it does not pass: the floor
//!     │ └─────────────┘                                                             v
//!     └── used <── confirmed on the other source ports <── up: usual sizes, then halves <──┘<── each `raise_every`
//! ```
//!
//! 1. A new path is believed to take the link's MTU (pods remember a smaller one for ten minutes) until probes say no.
//! 2. A size is too large when it is lost, while small probes of the same moment and source port pass, as often as chance
//!    would not do it ([`Odds`]).
//! 3. Down goes at once, and one source port is enough for it. Up goes when the source ports confirm it.
//! 4. Below `min` what passes on one source port is used at once: what is used instead is a guess.

mod sizes;
#[cfg(test)]
mod tests;
mod trial;

use std::time::{Duration, Instant};

use self::trial::{Hint, TRIES, Trial, What};
use super::odds::{Odds, Sure};

pub(super) use self::trial::Wanted;

/// Octets that the confirmation of one size may take, and the source ports that it asks at least and at most.
const CONFIRM_OCTETS: u16 = 25_000;
const CONFIRM_SOURCES: std::ops::RangeInclusive<u16> = 2..=16;

/// When a larger size is tried after the path grew.
const SOON: Duration = Duration::from_secs(1);

/// The probes that are sent without an answer and without a result; then the source port, not the size, is the trouble.
const UNCLEAR_MAX: u32 = 4;

/// How the path MTU was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is the link's, and no probe of this size was answered yet.
    Assumed,
    /// Probes of this size are answered.
    Probed,
    /// Larger ones vanished; no probe of this size was answered yet.
    BlackHole,
    /// The own kernel refuses larger ones.
    Refused,
}

/// Between which sizes is searched, in octets of outer IP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Nothing below is tried.
    pub(super) floor: u16,
    /// What is used at first when larger ones vanish.
    pub(super) min: u16,
    /// The link's MTU: nothing above is tried.
    pub(super) link: u16,
}

impl Bounds {
    /// In order, whatever was configured.
    pub(super) fn new(floor: u16, min: u16, link: u16) -> Self {
        let min = min.min(link);
        Self { floor: floor.min(min), min, link }
    }
}

/// What lies between what passes and what does not.
#[derive(Clone, Copy, Debug)]
struct Climb {
    passes: u16,
    fails: u16,
    /// Source ports that must still confirm what passes, one bit each.
    left: u64,
}

/// The search for one path.
#[derive(Clone, Debug)]
pub(super) struct Search {
    bounds: Bounds,
    current: u16,
    found: Found,
    /// The source port that let least through: what passes there, passes everywhere.
    weak: u16,
    sources: u16,
    watch: Option<Trial>,
    hint: Option<Hint>,
    climb: Option<Climb>,
    trial: Option<Trial>,
    ended: Instant,
    /// Whether the next larger size is tried sooner: what failed before the path grew may pass now.
    soon: bool,
    /// Whether the next step is a short one: a path may have grown by less than what lies between two usual sizes.
    short: bool,
    ids: u32,
}

impl Search {
    pub(super) const fn new(bounds: Bounds, sources: u16, now: Instant) -> Self {
        let (current, found) = (bounds.link, Found::Assumed);
        let (watch, hint, climb, trial) = (None, None, None, None);
        Self {
            bounds,
            current,
            found,
            weak: 0,
            sources,
            watch,
            hint,
            climb,
            trial,
            ended: now,
            soon: false,
            short: false,
            ids: 0,
        }
    }

    // ---- what there is ----

    /// The size in effect.
    pub(super) const fn current(&self) -> u16 {
        self.current
    }

    /// The link's MTU.
    pub(super) const fn link(&self) -> u16 {
        self.bounds.link
    }

    pub(super) const fn found(&self) -> Found {
        self.found
    }

    /// Whether a larger size is being tried.
    pub(super) const fn is_climbing(&self) -> bool {
        self.trial.is_some()
    }

    /// Whether it is being found out if the size in effect still passes.
    pub(super) const fn is_watching(&self) -> bool {
        self.watch.is_none()
    }

    // ---- what to send ----

    /// When the next probe may be sent; `every`: how often a larger size is tried.
    pub(super) fn poll_timeout(&self, every: Duration) -> Option<Instant> {
        let trial = self.watch.or(self.trial).filter(|trial| trial.sent < trial.limit);
        let wait = if self.soon { every.min(SOON) } else { every };
        let raise = || (self.trial.is_none() && self.current < self.bounds.link).then_some(self.ended + wait);
        trial.map(|trial| trial.next_at).or_else(|| if self.watch.is_some() { None } else { raise() })
    }

    /// The probe that is to be sent now, if any. [`Search::sent`] tells that it was.
    ///
    /// `eager`: there is traffic, and more than one probe may be spent on a larger size.
    pub(super) fn poll(&mut self, every: Duration, eager: bool, now: Instant) -> Option<Wanted> {
        if self.poll_timeout(every).is_none_or(|at| at > now) {
            return None;
        }
        if self.watch.is_none() && self.trial.is_none() {
            self.start(What::Raise, self.bounds.link, self.weak, if eager { 2 } else { 1 }, now);
        }
        if let Some(Hint { trial, size, left: 1.., passed: false }) = self.hint
            && let Some(watch) = self.watch
            && watch.sent > 0
        {
            return Some(Wanted { trial, size, source: watch.source, alone: true });
        }
        let Trial { id: trial, what, size, source, sent, .. } = self.watch.or(self.trial)?;
        Some(Wanted { trial, size, source, alone: what == What::Confirm && sent == 0 })
    }

    /// A probe was sent; the next one may follow after a pause.
    pub(super) fn sent(&mut self, trial: u32, pause: Duration, now: Instant) {
        if let Some(hint) = self.hint.as_mut().filter(|hint| hint.trial == trial) {
            hint.left = hint.left.saturating_sub(1);
        } else if let Some(trial) = self.find(trial) {
            trial.sent += 1;
            trial.next_at = now + pause;
        }
    }

    /// A probe must wait: it costs too much now.
    pub(super) fn postpone(&mut self, trial: u32, until: Instant) {
        let hint = self.hint.is_some_and(|hint| hint.trial == trial);
        let waiting = if hint { self.watch.as_mut() } else { self.find(trial) };
        if let Some(waiting) = waiting {
            waiting.next_at = until;
        }
    }

    // ---- what came of it ----

    /// A probe of the size in effect, sent now and then, was answered.
    pub(super) fn watch_passed(&mut self, size: u16, source: u16) {
        if size >= self.current {
            self.found = Found::Probed;
            if self.watch.is_some_and(|watch| watch.source == source) {
                (self.watch, self.hint) = (None, None);
            }
        }
    }

    /// It was lost; `counts`: small ones passed in that moment.
    pub(super) fn watch_lost(&mut self, size: u16, source: u16, counts: bool, now: Instant) {
        if self.watch.is_none() && size == self.current {
            self.suspect(source, now);
            if let Some(watch) = self.watch.as_mut() {
                watch.against = u32::from(counts);
            }
        }
    }

    /// A probe of a trial was answered.
    pub(super) fn passed(&mut self, trial: u32, now: Instant) {
        if let Some(hint) = self.hint.as_mut().filter(|hint| hint.trial == trial) {
            hint.passed = true;
            return;
        }
        let Some(Trial { what, size, .. }) = self.take(trial) else { return };
        match what {
            What::Watch => {
                self.found = Found::Probed;
                self.hint = None;
            }
            What::Base => {
                self.found = Found::Probed;
                self.climb_on(now);
            }
            What::Climb => {
                if let Some(climb) = self.climb.as_mut() {
                    climb.passes = size;
                }
                if size <= self.bounds.min {
                    (self.current, self.found) = (size, Found::Probed);
                }
                self.climb_on(now);
            }
            What::Confirm => self.confirm(now),
            What::Raise => {
                self.climb = Some(Climb { passes: size, fails: size.saturating_add(1), left: 0 });
                self.begin_confirm(now);
            }
            What::Step => {
                // The path grew, perhaps after the link's MTU was tried.
                self.climb = Some(Climb { passes: size, fails: self.bounds.link, left: 0 });
                self.start(What::Raise, self.bounds.link, self.weak, 2, now);
            }
        }
    }

    /// A probe of a trial was lost; `counts`: the small one beside it passed. Says whether the size in effect was lowered.
    pub(super) fn lost(&mut self, trial: u32, counts: bool, odds: &Odds, now: Instant) -> bool {
        let Some(trial) = self.find(trial) else { return false };
        trial.judged += 1;
        trial.against += u32::from(counts);
        let sure = if trial.what == What::Watch { Sure::Very } else { Sure::Rather };
        let unclear = trial.judged.saturating_sub(trial.against);
        let Trial { id, what, against, judged, limit, .. } = *trial;
        if against >= odds.losses(sure).min(limit) {
            return self.take(id).is_some_and(|trial| self.failed(&trial, now));
        }
        if judged >= limit || unclear > UNCLEAR_MAX + 2 * against {
            self.take(id);
            self.undecided(what, now);
        }
        false
    }

    fn failed(&mut self, trial: &Trial, now: Instant) -> bool {
        let Trial { what, size, source, .. } = *trial;
        match what {
            What::Watch => {
                self.weak = source;
                return self.lower(now);
            }
            What::Base => {
                let hinted = self.hint.filter(|hint| hint.passed && hint.size < size).map(|hint| hint.size);
                self.current = hinted.unwrap_or(self.bounds.floor).max(self.bounds.floor);
                self.climb = Some(Climb { passes: self.current, fails: size, left: 0 });
                self.climb_on(now);
                return true;
            }
            What::Climb => {
                self.climb = self.climb.map(|climb| Climb { fails: climb.fails.min(size), ..climb });
                self.climb_on(now);
            }
            What::Confirm => {
                self.weak = source;
                self.climb = Some(Climb { passes: self.current, fails: size, left: 0 });
                self.climb_on(now);
            }
            What::Raise => self.step(now),
            What::Step => self.end(now),
        }
        false
    }

    /// Neither the size nor chance explains it.
    fn undecided(&mut self, what: What, now: Instant) {
        match what {
            What::Watch => self.hint = None,
            // The source port does not work at all, which is no matter of size.
            What::Confirm => self.confirm(now),
            What::Raise => self.step(now),
            What::Base | What::Climb | What::Step => self.end(now),
        }
    }

    // ---- what others say ----

    /// An ICMP error says that the path takes only so much: that is tried, at once.
    pub(super) fn hint(&mut self, size: u16, now: Instant) {
        if size >= self.current {
            return;
        }
        self.suspect(self.weak, now);
        let trial = self.next_id();
        let left = if size >= self.bounds.floor { 2 } else { 0 };
        self.hint = Some(Hint { trial, size, left, passed: false });
    }

    /// The own kernel says that a packet of this size does not even leave. Says whether the size in effect was lowered.
    pub(super) fn refused(&mut self, size: u16, now: Instant) -> bool {
        if size > self.current {
            return false;
        }
        self.current = size.max(self.bounds.floor);
        let lowered = self.lower(now);
        self.found = Found::Refused;
        lowered
    }

    /// The bounds changed. What only the link had limited follows it at once.
    pub(super) fn set_bounds(&mut self, bounds: Bounds, now: Instant) {
        if bounds == self.bounds {
            return;
        }
        let at_link = self.current == self.bounds.link;
        self.bounds = bounds;
        if at_link || self.current >= bounds.link {
            *self = Self { ids: self.ids, weak: self.weak, ..Self::new(bounds, self.sources, now) };
        } else {
            self.current = self.current.max(bounds.floor);
            self.end(now);
        }
    }

    /// The path is used again, or for the first time. What was found holds until probes say no, but not beyond a `limit`;
    /// whether more passes is tried soon.
    pub(super) fn resume(&mut self, limit: Option<u16>, now: Instant) {
        self.watch = None;
        self.end(now);
        self.current = limit.map_or(self.current, |limit| self.current.min(limit.max(self.bounds.floor)));
        self.found = if self.current < self.bounds.link { Found::BlackHole } else { Found::Assumed };
        self.soon = true;
    }

    pub(super) const fn set_sources(&mut self, sources: u16) {
        self.sources = sources;
        self.weak = if self.weak < sources { self.weak } else { 0 };
    }

    // ---- down ----

    /// Finds out whether the size in effect still passes.
    fn suspect(&mut self, source: u16, now: Instant) {
        if self.watch.is_none() {
            let id = self.next_id();
            (self.watch, self.hint) = (Some(Trial::new(id, What::Watch, self.current, source, now)), None);
        }
    }

    /// The size in effect does not pass any more.
    fn lower(&mut self, now: Instant) -> bool {
        let Bounds { floor, min, .. } = self.bounds;
        let size = self.current;
        (self.watch, self.climb, self.trial) = (None, None, None);
        if size <= floor {
            self.end(now);
            return false;
        }
        let hinted = self.hint.filter(|hint| hint.passed && hint.size >= min && hint.size < size);
        (self.current, self.found) = match hinted {
            Some(hint) => (hint.size, Found::Probed),
            None if size > min => (min, Found::BlackHole),
            None => (floor, Found::BlackHole),
        };
        self.climb = Some(Climb { passes: self.current, fails: size, left: 0 });
        if self.found == Found::BlackHole && self.current > floor {
            self.start(What::Base, self.current, self.weak, TRIES, now);
        } else {
            self.climb_on(now);
        }
        true
    }

    // ---- up ----

    /// Goes on between what passes and what does not.
    fn climb_on(&mut self, now: Instant) {
        let Some(climb) = self.climb else { return self.end(now) };
        match sizes::between(climb.passes, climb.fails) {
            Some(size) => self.start(What::Climb, size, self.weak, TRIES, now),
            None if climb.passes > self.current => self.begin_confirm(now),
            None => self.end(now),
        }
    }

    /// Asks other source ports whether they take what passes on the weak one: all, or every so manieth of many.
    fn begin_confirm(&mut self, now: Instant) {
        if let Some(climb) = self.climb.as_mut() {
            let most =
                (CONFIRM_OCTETS / climb.passes).clamp(*CONFIRM_SOURCES.start(), *CONFIRM_SOURCES.end());
            let (step, first) = (self.sources.div_ceil(most).max(1), self.weak);
            let others = (step..self.sources).step_by(step.into());
            climb.left =
                others.map(|n| 1 << ((first + n) % self.sources % 64)).fold(0, |all, one: u64| all | one);
        }
        self.confirm(now);
    }

    fn confirm(&mut self, now: Instant) {
        let Some(climb) = self.climb.as_mut() else { return self.end(now) };
        if climb.left != 0 {
            let source = climb.left.trailing_zeros();
            climb.left &= climb.left - 1;
            let size = climb.passes;
            return self.start(What::Confirm, size, u16::try_from(source).unwrap_or(0), TRIES, now);
        }
        let grew = climb.passes > self.current;
        (self.current, self.found) = (climb.passes, Found::Probed);
        self.end(now);
        self.soon = grew;
    }

    /// The link's MTU does not pass: the next usual size may, or does, or one below that.
    fn step(&mut self, now: Instant) {
        if self.climb.is_some() {
            return self.climb_on(now);
        }
        let usual = sizes::usual_above(self.current).unwrap_or(self.bounds.link).min(self.bounds.link);
        self.short = !self.short;
        let size = if self.short { usual } else { sizes::between(self.current, usual).unwrap_or(usual) };
        if size < self.bounds.link {
            self.start(What::Step, size, self.weak, 1, now);
        } else {
            self.end(now);
        }
    }

    fn end(&mut self, now: Instant) {
        (self.climb, self.trial, self.hint) = (None, None, None);
        (self.ended, self.soon) = (now, false);
    }

    // ---- trials ----

    fn start(&mut self, what: What, size: u16, source: u16, limit: u32, now: Instant) {
        let id = self.next_id();
        self.trial = Some(Trial { limit, ..Trial::new(id, what, size, source, now) });
    }

    const fn next_id(&mut self) -> u32 {
        self.ids = self.ids.wrapping_add(1);
        self.ids
    }

    fn find(&mut self, id: u32) -> Option<&mut Trial> {
        self.watch.as_mut().into_iter().chain(&mut self.trial).find(|trial| trial.id == id)
    }

    fn take(&mut self, id: u32) -> Option<Trial> {
        self.watch.take_if(|trial| trial.id == id).or_else(|| self.trial.take_if(|trial| trial.id == id))
    }
}
