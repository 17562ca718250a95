//! Small messages that go the way in use are numbered, and each message tells what its sender has heard: so each side
//! knows what is lost there, what is lost back, and what was overtaken.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Way;
use super::message::Counts;

/// Messages of which it is remembered when they were sent.
const REMEMBERED: usize = 64;
/// A share is of one to two spans of this time, longer where little is sent.
const SPAN: Duration = Duration::from_secs(10);
const SPAN_MAX: Duration = Duration::from_secs(60);
/// What a span has at least, unless it takes too long.
const SPAN_MESSAGES: i64 = 40;
/// A number so far behind the highest one is of a peer that began to count anew.
const RESTART: u32 = 256;
/// So many that are missing at once were lost in an outage, which is no loss of some percent: shares begin anew. Who found
/// the path dead leaves out as many, so that the other side begins anew, too.
const OUTAGE: u32 = 16;

/// How many of some messages did not arrive, of late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many.
    pub count: u64,
    /// Of how many.
    pub of: u64,
}

impl Share {
    /// In percent; 0 of nothing.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    pub fn percent(self) -> f64 {
        if self.of == 0 { 0.0 } else { self.count as f64 * 100.0 / self.of as f64 }
    }
}

/// A share over the last span and the one before.
#[derive(Clone, Copy, Debug)]
struct Window {
    now: (i64, i64),
    before: (i64, i64),
    since: Instant,
}

impl Window {
    const fn new(now: Instant) -> Self {
        Self { now: (0, 0), before: (0, 0), since: now }
    }

    fn add(&mut self, count: i64, of: i64, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age >= SPAN_MAX || (age >= SPAN && self.now.1 >= SPAN_MESSAGES) {
            (self.before, self.now, self.since) = (self.now, (0, 0), now);
        }
        self.now = (self.now.0.saturating_add(count), self.now.1.saturating_add(of));
    }

    fn share(&self) -> Share {
        let sum = |a: i64, b: i64| u64::try_from(a.saturating_add(b)).unwrap_or(0);
        let of = sum(self.now.1, self.before.1);
        Share { count: sum(self.now.0, self.before.0).min(of), of }
    }
}

/// The numbers of both sides.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    own: Counts,
    sent: VecDeque<(u32, Instant, Way)>,
    /// What the peer said last: the highest number of ours that it heard, and how many.
    told: Option<(u32, u32)>,
    there: Window,
    back: Window,
    overtaken: Window,
    /// What is missing before the next number is not counted.
    anew: bool,
    /// Nor of ours what is missing before this one.
    counted_from: u32,
}

impl Numbers {
    pub(super) fn new(now: Instant) -> Self {
        let window = Window::new(now);
        let (own, sent) = (Counts::default(), VecDeque::new());
        let (told, anew, counted_from) = (None, true, 1);
        Self { own, sent, told, there: window, back: window, overtaken: window, anew, counted_from }
    }

    /// What the next message says; a numbered one has a new number.
    pub(super) fn next(&mut self, numbered: bool, way: Way, now: Instant) -> Counts {
        if numbered {
            self.own.number = self.own.number.wrapping_add(1);
            self.sent.truncate(REMEMBERED - 1);
            self.sent.push_front((self.own.number, now, way));
        }
        self.own
    }

    /// Takes what a message of the peer says. Returns when, and how, the latest of ours left that it has heard, if that
    /// is news.
    pub(super) fn heard(&mut self, theirs: Counts, numbered: bool, now: Instant) -> Option<(Instant, Way)> {
        if numbered {
            self.arrived(theirs.number, now);
        }
        self.told(theirs, now)
    }

    fn arrived(&mut self, number: u32, now: Instant) {
        let highest = self.own.highest;
        self.own.heard = self.own.heard.wrapping_add(1);
        if number.saturating_add(RESTART) < highest || (self.anew && number > highest) {
            (self.own.highest, self.anew) = (number, false);
        } else if number > highest {
            let missing = number - highest - 1;
            self.own.highest = number;
            if missing < OUTAGE {
                self.back.add(missing.into(), i64::from(missing) + 1, now);
            } else {
                self.forget_shares(now);
                self.anew = false;
            }
            self.overtaken.add(0, 1, now);
        } else {
            // It was counted as lost when a later one came.
            self.back.add(-1, 0, now);
            self.overtaken.add(1, 1, now);
        }
    }

    fn told(&mut self, theirs: Counts, now: Instant) -> Option<(Instant, Way)> {
        let Counts { highest, heard, .. } = theirs;
        // Before the peer knew this node, or heard by another way, nothing was lost on this one.
        let known = self.told.replace((highest, heard)).filter(|(last, _)| *last >= self.counted_from);
        let Some((last, before)) = known else { return self.find(highest) };
        if highest < last && last - highest < RESTART {
            // An older message, overtaken.
            self.told = Some((last, before));
            return None;
        }
        if highest > last && heard >= before {
            let (step, arrived) = (i64::from(highest - last), i64::from(heard - before));
            if step - arrived < i64::from(OUTAGE) || arrived >= step / 8 {
                self.there.add(step - arrived, step, now);
            }
            return self.find(highest);
        }
        // Late ones arrived, or it counts anew.
        if highest == last && heard > before {
            self.there.add(-i64::from(heard - before), 0, now);
        }
        None
    }

    fn find(&self, number: u32) -> Option<(Instant, Way)> {
        self.sent.iter().find(|(sent, ..)| *sent == number).map(|(_, at, way)| (*at, *way))
    }

    /// The path was dead: what was lost then is no share of anything, here and, as the next number tells it, there.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        self.own.number = self.own.number.wrapping_add(OUTAGE);
        self.forget_shares(now);
    }

    /// Forgets shares, not numbers.
    pub(super) fn forget_shares(&mut self, now: Instant) {
        let window = Window::new(now);
        (self.there, self.back, self.overtaken) = (window, window, window);
        (self.told, self.anew, self.counted_from) = (None, true, self.own.number.wrapping_add(1));
    }

    /// Of what this side sent, what did not arrive.
    pub(super) fn there(&self) -> Share {
        self.there.share()
    }

    /// Of what the peer sent, what did not arrive.
    pub(super) fn back(&self) -> Share {
        self.back.share()
    }

    /// Of what arrived, what a later message had overtaken.
    pub(super) fn overtaken(&self) -> Share {
        self.overtaken.share()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::testing::{GENEVE, VXLAN, start};

    /// Two sides that send in turn; what `lost` says of (direction, number) does not arrive.
    fn talk(rounds: u32, lost: impl Fn(bool, u32) -> bool) -> (Numbers, Numbers) {
        let mut now = start();
        let (mut a, mut b) = (Numbers::new(now), Numbers::new(now));
        for n in 0..rounds {
            now += Duration::from_millis(100);
            let message = a.next(true, VXLAN, now);
            if !lost(true, n) {
                b.heard(message, true, now);
            }
            let message = b.next(true, VXLAN, now);
            if !lost(false, n) {
                a.heard(message, true, now);
            }
        }
        (a, b)
    }

    #[test]
    fn what_is_lost_there_and_what_is_lost_back_are_told_apart() {
        let (a, b) = talk(1_000, |there, n| there && n % 5 == 0);
        for (share, percent) in [(a.there(), 20.0), (a.back(), 0.0), (b.back(), 20.0), (b.there(), 0.0)] {
            assert!((share.percent() - percent).abs() < 2.0, "{share:?} is not {percent} %");
        }
    }

    #[test]
    fn large_probes_have_no_number_and_are_not_missed() {
        let mut now = start();
        let (mut a, mut b) = (Numbers::new(now), Numbers::new(now));
        for _ in 0..100 {
            now += Duration::from_millis(100);
            let small = a.next(true, VXLAN, now);
            a.next(false, VXLAN, now);
            b.heard(small, true, now);
        }
        assert_eq!(b.back().count, 0);
    }

    #[test]
    fn what_comes_late_was_overtaken_and_not_lost() {
        let now = start();
        let (mut a, mut b) = (Numbers::new(now), Numbers::new(now));
        let messages: Vec<Counts> = (0..100).map(|_| a.next(true, VXLAN, now)).collect();
        messages.chunks(2).for_each(|pair| pair.iter().rev().for_each(|one| _ = b.heard(*one, true, now)));
        assert_eq!(b.back().count, 0);
        assert_eq!(b.overtaken(), Share { count: 50, of: 99 });
    }

    #[test]
    fn hearing_of_an_own_message_tells_when_it_left() {
        let now = start();
        let (mut a, mut b) = (Numbers::new(now), Numbers::new(now));
        b.heard(a.next(true, GENEVE, now), true, now);
        let later = now + Duration::from_secs(1);
        assert_eq!(a.heard(b.next(true, VXLAN, later), true, later), Some((now, GENEVE)));
        assert_eq!(a.heard(b.next(true, VXLAN, later), true, later), None);
    }

    #[test]
    fn an_outage_is_no_loss() {
        let (a, b) = talk(300, |_, n| (240..280).contains(&n));
        assert_eq!([a.there(), a.back(), b.there(), b.back()].map(|share| share.count), [0; 4]);
    }

    #[test]
    fn what_the_former_way_lost_is_no_loss_on_the_next_one() {
        let (mut a, mut b) = talk(100, |_, _| false);
        let now = start() + Duration::from_secs(11);
        (0..5).for_each(|_| _ = a.next(true, VXLAN, now));
        a.forget_shares(now);
        // It has not heard of the next way yet.
        a.heard(b.next(false, GENEVE, now), false, now);
        for _ in 0..50 {
            b.heard(a.next(true, GENEVE, now), true, now);
            a.heard(b.next(true, GENEVE, now), true, now);
        }
        assert_eq!(a.there(), Share { count: 0, of: 49 });
    }

    #[test]
    fn what_a_peer_did_not_hear_before_it_knew_this_node_is_no_loss() {
        let mut now = start();
        let (mut a, mut b) = (Numbers::new(now), Numbers::new(now));
        for n in 0..60 {
            now += Duration::from_millis(100);
            let message = a.next(true, VXLAN, now);
            if n >= 10 {
                b.heard(message, true, now);
            }
            a.heard(b.next(true, VXLAN, now), true, now);
        }
        assert_eq!([a.there(), b.back()].map(|share| share.count), [0; 2]);
        assert!(a.there().of >= 40, "it is watched");
    }

    #[test]
    fn who_begins_anew_makes_the_other_begin_anew() {
        let now = start();
        let (mut a, mut b) = talk(100, |there, n| there && n % 5 == 0);
        assert!(b.back().count > 10 && b.there().of > 10);
        a.begin_anew(now);
        b.heard(a.next(true, VXLAN, now), true, now);
        assert_eq!([a.there(), a.back(), b.there(), b.back()], [Share::default(); 4]);
        b.heard(a.next(true, VXLAN, now), true, now);
        assert_eq!(b.back(), Share { count: 0, of: 1 });
    }

    #[test]
    fn a_peer_that_counts_anew_or_lies_breaks_nothing() {
        let (mut a, _) = talk(1_000, |_, _| false);
        let now = start() + Duration::from_secs(200);
        for number in [1, u32::MAX, 0, 5, u32::MAX, 7] {
            a.heard(Counts { number, highest: number, heard: number / 2 }, true, now);
        }
        assert!(a.back().percent() <= 100.0 && a.there().percent() <= 100.0);
    }
}
