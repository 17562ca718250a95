//! Whether the direct path works, and by which way: judged by small probes of each.
//!
//! One answer proves that a way works both ways. A path is dead when [`DEAD_LOSSES`] probes in a row have no answer, some of
//! them on each way, and none came for [`DEAD_AFTER`]; probes follow faster meanwhile, and from one source port after the
//! other. A way that dies alone is replaced by the best one that answered since; a better one is used again when it answers
//! [`BACK_AFTER`] times in a row.

use std::time::{Duration, Instant};

use encap::Format;

use super::Way;

/// Probes without an answer, of all ways together.
const DEAD_LOSSES: u32 = 6;
/// And of the way in use, as of all others together, each of which has lost one at least.
const DEAD_EACH: u32 = 2;
/// Since the last answer.
const DEAD_AFTER: Duration = Duration::from_millis(1_000);
/// Since the first probe without an answer was sent.
const DEAD_SILENT: Duration = Duration::from_millis(550);
/// Probes without an answer of the way in use, when another one works.
const CHANGE_LOSSES: u32 = 4;
/// A peer that never answered may not have heard of this node yet.
const GRACE: Duration = Duration::from_secs(5);
/// While fewer of the way in use are lost, probes follow fast.
const FAST_MOST: u32 = 8;
/// Answers of another way until it is used, and of a better one until that is used again.
const CHANGE_AFTER: u32 = 2;
const BACK_AFTER: u32 = 3;
/// Of so many probes one goes another way; of more, where none other is known to work.
const OTHER_EACH: u32 = 5;
const OTHER_EACH_DEAD: u32 = 10;

/// What is known of one way.
#[derive(Clone, Copy, Debug)]
struct Track {
    way: Way,
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
    const fn new(way: Way) -> Self {
        Self { way, lost: 0, answered: 0, lost_since: None, answered_at: None, proved: None }
    }

    fn is_silent(&self, time: Duration, now: Instant) -> bool {
        self.lost_since.is_some_and(|since| now.saturating_duration_since(since) >= time)
    }

    /// Whether it worked until a moment ago.
    const fn is_suspicious(&self) -> bool {
        matches!(self.lost, 1..=2) && self.answered_at.is_some()
    }
}

/// The direct path by all its ways.
#[derive(Clone, Debug)]
pub(super) struct Life {
    /// The best way first; there is at least one.
    tracks: Vec<Track>,
    /// The place of the one in use.
    used: usize,
    began: Instant,
    dead: bool,
    turn: usize,
    spare_turn: usize,
}

pub(super) const fn other(format: Format) -> Format {
    match format {
        Format::Vxlan => Format::Geneve,
        Format::Geneve => Format::Vxlan,
    }
}

impl Life {
    /// `ways`: at least one, the best first.
    pub(super) fn new(ways: Vec<Way>, now: Instant) -> Self {
        let tracks = ways.into_iter().map(Track::new).collect();
        Self { tracks, used: 0, began: now, dead: false, turn: 0, spare_turn: 0 }
    }

    // ---- what there is ----

    /// The way that works: the best one, unless only others do.
    pub(super) fn way(&self) -> Way {
        self.used().way
    }

    /// Whether nothing answers by any way.
    pub(super) const fn is_dead(&self) -> bool {
        self.dead
    }

    /// Whether probes of any size get there: it was heard of, and the last small one was answered.
    pub(super) fn is_well(&self) -> bool {
        let track = self.used();
        !self.dead && track.lost == 0 && track.answered_at.is_some()
    }

    /// Whether it is to be found out now if the path is dead, or if a better way is back.
    pub(super) fn is_in_doubt(&self) -> bool {
        let lost = self.used().lost;
        let suspicious = || self.tracks.iter().any(Track::is_suspicious);
        let back = || self.tracks[..self.used].iter().any(|better| better.answered > 0);
        !self.dead && lost < FAST_MOST && (lost > 0 || suspicious() || back())
    }

    /// Whether the way in use answered once.
    pub(super) fn has_answered(&self) -> bool {
        self.used().answered_at.is_some()
    }

    /// Whether probes by the way in use got there, and not all of late are lost.
    pub(super) fn gets_there(&self) -> bool {
        !self.dead && self.used().proved.is_some() && self.used().lost < FAST_MOST
    }

    /// When the latest probe by the way in use that got there was sent.
    pub(super) fn proved(&self) -> Option<Instant> {
        self.used().proved
    }

    /// Small probes by the way in use that are lost, in a row.
    pub(super) fn losses(&self) -> u32 {
        self.used().lost
    }

    fn used(&self) -> &Track {
        &self.tracks[self.used]
    }

    /// The way of the next small probe: mostly the one in use, and while that is in trouble one as often as the other.
    pub(super) fn next_way(&mut self) -> Way {
        self.turn = self.turn.wrapping_add(1);
        if self.dead {
            return self.tracks[self.turn % self.tracks.len()].way;
        }
        let each = if self.used().lost > 0 || self.used > 0 {
            2
        } else if self.tracks[1..].iter().all(|spare| spare.lost >= CHANGE_LOSSES) {
            OTHER_EACH_DEAD
        } else {
            OTHER_EACH
        };
        let spare = self.turn.is_multiple_of(each as usize).then(|| self.next_spare()).flatten();
        self.tracks[spare.unwrap_or(self.used)].way
    }

    /// The others in turn; every other time the best, where it is to be used again.
    fn next_spare(&mut self) -> Option<usize> {
        let (used, lost) = (self.used, self.used().lost);
        if lost == 0
            && let Some(place) = self.tracks.iter().position(Track::is_suspicious)
        {
            return Some(place);
        }
        self.spare_turn = self.spare_turn.wrapping_add(1);
        let turn = self.spare_turn / 2;
        let best = lost == 0 && used > 0;
        if best && (self.tracks.len() == 2 || self.spare_turn.is_multiple_of(2)) {
            return Some(0);
        }
        let mut others = (usize::from(best)..self.tracks.len()).filter(|place| *place != used);
        let count = others.clone().count().max(1);
        others.nth(if best { turn } else { self.spare_turn } % count)
    }

    // ---- what happens ----

    /// There are other ways now, the best first, or they are in another order. `kept` says of which something is known;
    /// `used` goes on to be used, if it is one of them.
    pub(super) fn set_ways(&mut self, ways: Vec<Way>, kept: impl Fn(Way) -> bool, used: Way) {
        let known = |way: Way| self.tracks.iter().find(|track| track.way == way && kept(way)).copied();
        self.tracks = ways.into_iter().map(|way| known(way).unwrap_or(Track::new(way))).collect();
        self.used = self.place(used).unwrap_or(0);
    }

    fn place(&self, way: Way) -> Option<usize> {
        self.tracks.iter().position(|track| track.way == way)
    }

    /// A small probe has no answer; `patience`: three round trips.
    pub(super) fn lost_one(&mut self, way: Way, sent: Instant, patience: Duration, now: Instant) {
        let Some(place) = self.place(way) else { return };
        let track = &mut self.tracks[place];
        if track.proved.is_some_and(|proved| sent <= proved) {
            return;
        }
        (track.lost, track.answered) = (track.lost.saturating_add(1), 0);
        track.lost_since.get_or_insert(sent);
        self.judge(patience, now);
    }

    /// A probe that went that way then was answered, or heard of. Says whether the path was dead.
    pub(super) fn answered(&mut self, way: Way, sent: Instant, now: Instant) -> bool {
        let Some(place) = self.place(way) else { return false };
        let track = &mut self.tracks[place];
        if track.proved.is_some_and(|proved| sent < proved)
            || track.lost_since.is_some_and(|since| sent < since)
        {
            // It was sent before those that are lost: no sign of life now.
            return false;
        }
        track.answered = track.answered.saturating_add(1);
        (track.lost, track.lost_since) = (0, None);
        (track.answered_at, track.proved) = (Some(now), Some(sent));
        if place < self.used && track.answered >= BACK_AFTER {
            self.used = place;
        }
        let revived = std::mem::take(&mut self.dead);
        if revived {
            // It is to be found out soon whether the way in use works, too.
            let used = &mut self.tracks[self.used];
            used.lost = used.lost.min(CHANGE_LOSSES - 1);
        }
        revived
    }

    fn judge(&mut self, patience: Duration, now: Instant) {
        let used = self.used();
        let silent = used.is_silent(DEAD_SILENT, now);
        let after = |last: Instant| last + DEAD_AFTER.max(patience) <= now;
        let last = self.tracks.iter().filter_map(|track| track.answered_at).max();
        let unheard = last.map_or(self.began + GRACE <= now, after);
        if silent && unheard && self.is_lost_everywhere() {
            self.dead = true;
            return;
        }
        // Another way that answers tells that the peer knows this node.
        let since = used.answered_at.or(used.lost_since);
        if silent && used.lost >= CHANGE_LOSSES && since.is_some_and(after) {
            let works = |track: &Track| {
                track.lost == 0 && track.answered >= CHANGE_AFTER && track.proved >= used.lost_since
            };
            self.used = self.tracks.iter().position(works).unwrap_or(self.used);
        }
    }

    /// Whether enough was lost on all ways.
    fn is_lost_everywhere(&self) -> bool {
        let all = self.tracks.iter().fold(0_u32, |all, track| all.saturating_add(track.lost));
        let used = self.used().lost;
        all >= DEAD_LOSSES
            && used >= DEAD_EACH
            && all.saturating_sub(used) >= DEAD_EACH
            && self.tracks.iter().all(|track| track.lost > 0)
    }
}

#[cfg(test)]
mod tests {
    use encap::tunnel::IpVersion;

    use super::*;
    use crate::path::testing::{GENEVE, VXLAN, start};

    const ANSWER: Duration = Duration::from_millis(1);
    const LOST: Duration = Duration::from_millis(100);

    const VXLAN_V6: Way = Way { family: IpVersion::V6, ..VXLAN };

    fn one() -> Vec<Way> {
        vec![VXLAN, GENEVE]
    }

    fn both() -> Vec<Way> {
        vec![VXLAN, GENEVE, VXLAN_V6, Way { family: IpVersion::V6, ..GENEVE }]
    }

    struct Path {
        life: Life,
        now: Instant,
    }

    impl Path {
        /// With one IP version, or with both.
        fn new(ways: Vec<Way>) -> Self {
            let now = start();
            let mut path = Self { life: Life::new(ways, now), now };
            path.run(Duration::from_secs(10), |_| true);
            path
        }

        /// A probe each 100 or 200 ms; `works` says which ways do.
        fn run(&mut self, time: Duration, works: impl Fn(Way) -> bool) {
            let end = self.now + time;
            while self.now < end {
                let (way, sent) = (self.life.next_way(), self.now);
                if works(way) {
                    self.life.answered(way, sent, sent + ANSWER);
                } else {
                    self.life.lost_one(way, sent, Duration::ZERO, sent + LOST);
                }
                self.now += if self.life.is_in_doubt() { LOST } else { 2 * LOST };
            }
        }
    }

    #[test]
    fn a_path_is_dead_after_a_second_of_silence_on_all_ways_and_lives_with_the_first_answer() {
        let mut path = Path::new(one());
        path.run(Duration::from_millis(700), |_| false);
        assert!(!path.life.is_dead());
        path.run(Duration::from_millis(400), |_| false);
        assert!(path.life.is_dead() && !path.life.is_well());
        let way = path.life.next_way();
        assert!(path.life.answered(way, path.now, path.now + ANSWER));
        assert!(!path.life.is_dead());
    }

    #[test]
    fn a_format_that_dies_alone_is_replaced_and_comes_back() {
        let mut path = Path::new(one());
        path.run(Duration::from_millis(1_500), |way| way == GENEVE);
        assert_eq!((path.life.way(), path.life.is_dead()), (GENEVE, false));
        path.run(Duration::from_secs(60), |way| way == GENEVE);
        assert_eq!(path.life.way(), GENEVE);
        path.run(Duration::from_secs(3), |_| true);
        assert_eq!(path.life.way(), VXLAN);
    }

    #[test]
    fn a_spare_format_that_never_works_does_no_harm() {
        let mut path = Path::new(one());
        path.run(Duration::from_secs(60), |way| way == VXLAN);
        assert!(path.life.is_well());
        assert_eq!(path.life.way(), VXLAN);
        path.run(Duration::from_millis(1_400), |_| false);
        assert!(path.life.is_dead());
    }

    #[test]
    fn after_an_outage_the_format_that_works_is_used_soon() {
        let mut path = Path::new(one());
        path.run(Duration::from_secs(5), |_| false);
        path.run(Duration::from_millis(700), |way| way == GENEVE);
        assert_eq!((path.life.is_dead(), path.life.way()), (false, GENEVE));
    }

    #[test]
    fn who_never_answered_has_a_while_to_hear_of_this_node() {
        let now = start();
        let mut path = Path { life: Life::new(one(), now), now };
        path.run(Duration::from_millis(4_500), |_| false);
        assert!(!path.life.is_dead());
        path.run(Duration::from_secs(1), |_| false);
        assert!(path.life.is_dead());
    }

    #[test]
    fn an_answer_to_what_was_sent_before_the_silence_is_no_sign_of_life() {
        let mut path = Path::new(one());
        let before = path.now - LOST;
        path.run(Duration::from_secs(2), |_| false);
        assert!(!path.life.answered(VXLAN, before, path.now));
        assert!(path.life.is_dead());
    }

    #[test]
    fn with_two_ip_versions_a_dead_path_is_found_as_fast_and_each_way_ends_that() {
        for works in both() {
            let mut path = Path::new(both());
            path.run(Duration::from_millis(700), |_| false);
            assert!(!path.life.is_dead());
            path.run(Duration::from_millis(500), |_| false);
            assert!(path.life.is_dead());
            path.run(Duration::from_secs(1), |way| way == works);
            assert!(!path.life.is_dead(), "{works:?}");
        }
    }

    #[test]
    fn an_ip_version_that_dies_is_replaced_within_a_second_and_comes_back() {
        let mut path = Path::new(both());
        let v6 = |way: Way| way.family == IpVersion::V6;
        for _ in 0..300 {
            path.run(LOST, v6);
            assert!(!path.life.is_dead());
        }
        assert_eq!(path.life.way(), VXLAN_V6, "of two that work the better one");
        path.run(Duration::from_secs(4), |_| true);
        assert_eq!(path.life.way(), VXLAN);
        path.run(Duration::from_millis(1_300), v6);
        assert_eq!(path.life.way(), VXLAN_V6);
    }

    #[test]
    fn another_port_of_the_same_address_is_better_than_another_address() {
        let mut path = Path::new(both());
        path.run(Duration::from_millis(1_500), |way| way != VXLAN);
        assert_eq!(path.life.way(), GENEVE);
        path.run(Duration::from_secs(2), |way| way == VXLAN_V6);
        assert_eq!(path.life.way(), VXLAN_V6);
        path.run(Duration::from_secs(5), |way| way != VXLAN);
        assert_eq!(path.life.way(), GENEVE, "the better of two that work");
    }

    #[test]
    fn a_way_that_never_worked_is_replaced_without_a_long_wait() {
        let now = start();
        let mut path = Path { life: Life::new(both(), now), now };
        path.run(Duration::from_millis(1_500), |way| way == VXLAN_V6);
        assert_eq!((path.life.way(), path.life.is_dead()), (VXLAN_V6, false));
    }

    #[test]
    fn what_is_known_of_a_way_outlives_a_new_order() {
        let mut path = Path::new(both());
        path.run(Duration::from_secs(3), |way| way.family == IpVersion::V6);
        let order = vec![GENEVE, VXLAN, VXLAN_V6];
        path.life.set_ways(order, |_| true, VXLAN_V6);
        assert!(path.life.way() == VXLAN_V6 && path.life.is_well());
        path.life.set_ways(one(), |_| true, VXLAN_V6);
        assert_eq!(path.life.way(), VXLAN, "what is gone is used no more");
        assert!(!path.life.is_well(), "it was dead, and is until it answers");
        path.life.set_ways(one(), |_| false, VXLAN);
        assert!(!path.life.has_answered());
    }
}
