//! Whether the direct path works, and in which format: judged by small probes of either.
//!
//! One answer proves that a format works both ways. A path is dead when [`DEAD_LOSSES`] probes in a row have no answer, some
//! of them in each format, and none came for [`DEAD_AFTER`]; probes follow faster meanwhile, and from one source port after
//! the other.

use std::time::{Duration, Instant};

use encap::Format;

/// Probes without an answer, of both formats together.
const DEAD_LOSSES: u32 = 6;
/// And of each.
const DEAD_EACH: u32 = 2;
/// Since the last answer.
const DEAD_AFTER: Duration = Duration::from_millis(1_000);
/// Since the first probe without an answer was sent.
const DEAD_SILENT: Duration = Duration::from_millis(550);
/// Probes without an answer of the used format, when the other works.
const CHANGE_LOSSES: u32 = 4;
/// A peer that never answered may not have heard of this node yet.
const GRACE: Duration = Duration::from_secs(5);
/// While fewer of the used format are lost, probes follow fast.
const FAST_MOST: u32 = 8;
/// Answers of the other format until it is used, and of the proper one until that is used again.
const CHANGE_AFTER: u32 = 2;
const BACK_AFTER: u32 = 3;
/// Of so many probes one is of the format that is not used; of more, where it is known not to work.
const OTHER_EACH: u32 = 5;
const OTHER_EACH_DEAD: u32 = 10;

/// What is known of one format.
#[derive(Clone, Copy, Debug, Default)]
struct Track {
    /// In a row, by now.
    lost: u32,
    answered: u32,
    /// When the first of the lost was sent.
    lost_since: Option<Instant>,
    answered_at: Option<Instant>,
    /// When the latest that was answered was sent.
    proved: Option<Instant>,
}

impl Track {
    fn is_silent(&self, time: Duration, now: Instant) -> bool {
        self.lost_since.is_some_and(|since| now.saturating_duration_since(since) >= time)
    }
}

/// The direct path in both formats.
#[derive(Clone, Debug)]
pub(super) struct Life {
    proper: Format,
    used: Format,
    tracks: [Track; 2],
    began: Instant,
    dead: bool,
    turn: u32,
}

const fn place(format: Format) -> usize {
    match format {
        Format::Vxlan => 0,
        Format::Geneve => 1,
    }
}

pub(super) const fn other(format: Format) -> Format {
    match format {
        Format::Vxlan => Format::Geneve,
        Format::Geneve => Format::Vxlan,
    }
}

impl Life {
    pub(super) fn new(proper: Format, now: Instant) -> Self {
        Self { proper, used: proper, tracks: [Track::default(); 2], began: now, dead: false, turn: 0 }
    }

    // ---- what there is ----

    /// The format that works: the proper one, unless only the other does.
    pub(super) const fn format(&self) -> Format {
        self.used
    }

    /// Whether nothing answers in either format.
    pub(super) const fn is_dead(&self) -> bool {
        self.dead
    }

    /// Whether probes of any size get there: it was heard of, and the last small one was answered.
    pub(super) const fn is_well(&self) -> bool {
        let track = &self.tracks[place(self.used)];
        !self.dead && track.lost == 0 && track.answered_at.is_some()
    }

    /// Whether it is to be found out now if the path is dead.
    pub(super) const fn is_in_doubt(&self) -> bool {
        let (used, spare) = (&self.tracks[place(self.used)], &self.tracks[place(other(self.used))]);
        let suspicious = matches!(spare.lost, 1..=2) && spare.answered_at.is_some();
        !self.dead && used.lost < FAST_MOST && (used.lost > 0 || suspicious)
    }

    /// Whether probes of the used format got there, and not all of late are lost.
    pub(super) const fn gets_there(&self) -> bool {
        let track = &self.tracks[place(self.used)];
        !self.dead && track.proved.is_some() && track.lost < FAST_MOST
    }

    /// When a format answered last.
    pub(super) const fn answered_at(&self, format: Format) -> Option<Instant> {
        self.tracks[place(format)].answered_at
    }

    /// When the latest probe of a format that got there was sent.
    pub(super) const fn proved(&self, format: Format) -> Option<Instant> {
        self.tracks[place(format)].proved
    }

    /// The format of the next small probe.
    pub(super) fn next_format(&mut self) -> Format {
        self.turn = self.turn.wrapping_add(1);
        let (used, spare) = (&self.tracks[place(self.used)], &self.tracks[place(other(self.used))]);
        let each = if self.dead || used.lost > 0 || self.used != self.proper {
            2
        } else if spare.lost >= CHANGE_LOSSES {
            OTHER_EACH_DEAD
        } else {
            OTHER_EACH
        };
        if self.turn.is_multiple_of(each) { other(self.used) } else { self.used }
    }

    // ---- what happens ----

    /// What is sent changed.
    pub(super) const fn set_proper(&mut self, proper: Format) {
        (self.proper, self.used) = (proper, proper);
    }

    /// A small probe has no answer; `patience`: three round trips.
    pub(super) fn lost_one(&mut self, format: Format, sent: Instant, patience: Duration, now: Instant) {
        let track = &mut self.tracks[place(format)];
        if track.proved.is_some_and(|proved| sent <= proved) {
            return;
        }
        (track.lost, track.answered) = (track.lost.saturating_add(1), 0);
        track.lost_since.get_or_insert(sent);
        self.judge(patience, now);
    }

    /// A probe of a format that was sent then was answered, or heard of. Says whether the path was dead.
    pub(super) fn answered(&mut self, format: Format, sent: Instant, now: Instant) -> bool {
        let track = &mut self.tracks[place(format)];
        if track.proved.is_some_and(|proved| sent < proved)
            || track.lost_since.is_some_and(|since| sent < since)
        {
            // It was sent before those that are lost: no sign of life now.
            return false;
        }
        track.answered = track.answered.saturating_add(1);
        (track.lost, track.lost_since) = (0, None);
        (track.answered_at, track.proved) = (Some(now), Some(sent));
        if format == self.proper && track.answered >= BACK_AFTER {
            self.used = self.proper;
        }
        let revived = std::mem::take(&mut self.dead);
        if revived {
            // It is to be found out soon whether the used format works, too.
            let used = &mut self.tracks[place(self.used)];
            used.lost = used.lost.min(CHANGE_LOSSES - 1);
        }
        revived
    }

    fn judge(&mut self, patience: Duration, now: Instant) {
        let (used, spare) = (&self.tracks[place(self.used)], &self.tracks[place(other(self.used))]);
        let after = |last: Option<Instant>| match last {
            Some(last) => last + DEAD_AFTER.max(patience) <= now,
            None => self.began + GRACE <= now,
        };
        let silent = used.is_silent(DEAD_SILENT, now);
        let (lost, each) = (used.lost.saturating_add(spare.lost), used.lost.min(spare.lost));
        if silent
            && lost >= DEAD_LOSSES
            && each >= DEAD_EACH
            && after(used.answered_at.max(spare.answered_at))
        {
            self.dead = true;
        } else if silent
            && used.lost >= CHANGE_LOSSES
            && after(used.answered_at)
            && spare.lost == 0
            && spare.answered >= CHANGE_AFTER
        {
            self.used = other(self.used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::testing::start;

    const ANSWER: Duration = Duration::from_millis(1);
    const LOST: Duration = Duration::from_millis(100);

    struct Path {
        life: Life,
        now: Instant,
    }

    impl Path {
        fn new() -> Self {
            let now = start();
            let mut path = Self { life: Life::new(Format::Vxlan, now), now };
            path.run(Duration::from_secs(2), |_| true);
            path
        }

        /// A probe each 100 or 200 ms; `works` says which formats do.
        fn run(&mut self, time: Duration, works: impl Fn(Format) -> bool) {
            let end = self.now + time;
            while self.now < end {
                let (format, sent) = (self.life.next_format(), self.now);
                if works(format) {
                    self.life.answered(format, sent, sent + ANSWER);
                } else {
                    self.life.lost_one(format, sent, Duration::ZERO, sent + LOST);
                }
                self.now += if self.life.is_in_doubt() { LOST } else { 2 * LOST };
            }
        }
    }

    #[test]
    fn a_path_is_dead_after_a_second_of_silence_in_both_formats_and_lives_with_the_first_answer() {
        let mut path = Path::new();
        path.run(Duration::from_millis(700), |_| false);
        assert!(!path.life.is_dead());
        path.run(Duration::from_millis(400), |_| false);
        assert!(path.life.is_dead() && !path.life.is_well());
        let format = path.life.next_format();
        assert!(path.life.answered(format, path.now, path.now + ANSWER));
        assert!(!path.life.is_dead());
    }

    #[test]
    fn a_format_that_dies_alone_is_replaced_and_comes_back() {
        let mut path = Path::new();
        path.run(Duration::from_millis(1_500), |format| format == Format::Geneve);
        assert_eq!((path.life.format(), path.life.is_dead()), (Format::Geneve, false));
        path.run(Duration::from_secs(60), |format| format == Format::Geneve);
        assert_eq!(path.life.format(), Format::Geneve);
        path.run(Duration::from_secs(3), |_| true);
        assert_eq!(path.life.format(), Format::Vxlan);
    }

    #[test]
    fn a_spare_format_that_never_works_does_no_harm() {
        let mut path = Path::new();
        path.run(Duration::from_secs(60), |format| format == Format::Vxlan);
        assert!(path.life.is_well());
        assert_eq!(path.life.format(), Format::Vxlan);
        path.run(Duration::from_millis(1_400), |_| false);
        assert!(path.life.is_dead());
    }

    #[test]
    fn after_an_outage_the_format_that_works_is_used_soon() {
        let mut path = Path::new();
        path.run(Duration::from_secs(5), |_| false);
        path.run(Duration::from_millis(700), |format| format == Format::Geneve);
        assert_eq!((path.life.is_dead(), path.life.format()), (false, Format::Geneve));
    }

    #[test]
    fn who_never_answered_has_a_while_to_hear_of_this_node() {
        let now = start();
        let mut path = Path { life: Life::new(Format::Vxlan, now), now };
        path.run(Duration::from_millis(4_500), |_| false);
        assert!(!path.life.is_dead());
        path.run(Duration::from_secs(1), |_| false);
        assert!(path.life.is_dead());
    }

    #[test]
    fn an_answer_to_what_was_sent_before_the_silence_is_no_sign_of_life() {
        let mut path = Path::new();
        let before = path.now - LOST;
        path.run(Duration::from_secs(2), |_| false);
        assert!(!path.life.answered(Format::Vxlan, before, path.now));
        assert!(path.life.is_dead());
    }
}
