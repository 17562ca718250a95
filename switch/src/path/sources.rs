//! Source ports: which of them lead to a target, and which over a link that is dead.
//!
//! The underlay spreads datagrams over parallel links by their UDP ports (ECMP, LAG), so one dead link takes the flows of
//! some source ports only. A source port is dead when small probes by it are lost, several in a row, while others beside
//! them arrive; it lives again with the first one that is answered.

use std::time::Instant;

use encap::Mtu;

use super::view::SourceView;

/// Some of a node's source ports, by their index.
///
/// # Examples
///
/// ```
/// use weft::path::Sources;
///
/// let dead = Sources::default().with(3);
/// assert!(dead.contains(3));
/// assert_eq!(Sources::default().spread(0x3800_0000, 16), 3);
/// assert_ne!(dead.spread(0x3800_0000, 16), 3);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources(u64);

impl Sources {
    /// These and one more; an index above 63 is none.
    #[must_use]
    pub fn with(self, source: u16) -> Self {
        Self(self.0 | bit(source))
    }

    fn without(self, source: u16) -> Self {
        Self(self.0 & !bit(source))
    }

    /// Whether it is one of them.
    #[must_use]
    #[inline]
    pub fn contains(self, source: u16) -> bool {
        self.0 & bit(source) != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many there are.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// The source port for a flow with this hash: one of `count` that is none of these, unless all are. Only flows that
    /// would have one of these take another one than without.
    ///
    /// # Cost
    ///
    /// A multiplication, a shift and a branch; about 10 ns for a flow that is led around.
    #[must_use]
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // a product of 32 and 16 bits, shifted right by 32
    pub fn spread(self, hash: u32, count: u16) -> u16 {
        let product = u64::from(hash) * u64::from(count);
        let source = (product >> 32) as u16;
        if self.contains(source) { self.around(product as u32, count).unwrap_or(source) } else { source }
    }

    /// One of the others; `rest` is what of the hash did not decide yet.
    #[allow(clippy::cast_possible_truncation)] // an index of 64 bits
    fn around(self, rest: u32, count: u16) -> Option<u16> {
        let mut left = !self.0 & bit(count).wrapping_sub(1);
        let place = (u64::from(rest) * u64::from(left.count_ones())) >> 32;
        (0..place).for_each(|_| left &= left.wrapping_sub(1));
        (left != 0).then(|| left.trailing_zeros() as u16)
    }
}

const fn bit(source: u16) -> u64 {
    if source < 64 { 1 << source } else { 0 }
}

/// Every so many small probes one goes by a dead source port, if there are any; and one by a suspicious one.
const DEAD_EACH: u32 = 4;
const SUSPICIOUS_EACH: u32 = 2;
/// After so many losses in a row it is rather the whole path.
const MANY_LOSSES: u32 = 3;
/// Small probes in a row that are lost at least before a source port is dead.
pub(super) const DEAD_LOSSES: u32 = 4;

/// What is known of one source port.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    view: SourceView,
    /// Small probes of the used format in a row, by now, and when the first of them was sent.
    lost: u32,
    /// Whether some probe was lost since the last answer.
    suspicious: bool,
    lost_since: Option<Instant>,
    /// When it was probed last, and with a full-size probe.
    probed_at: Option<Instant>,
    full_at: Option<Instant>,
}

/// The source ports towards one target.
#[derive(Clone, Debug)]
pub(super) struct SourcePorts {
    known: Vec<Known>,
    dead: Sources,
    turn: u32,
}

impl SourcePorts {
    pub(super) fn new(count: u16) -> Self {
        Self { known: vec![Known::default(); count.into()], dead: Sources::default(), turn: 0 }
    }

    pub(super) fn resize(&mut self, count: u16) {
        if usize::from(count) != self.known.len() {
            *self = Self::new(count);
        }
    }

    // ---- what there is ----

    /// Those that are dead.
    pub(super) const fn dead(&self) -> Sources {
        self.dead
    }

    /// Whether it is to be found out soon if one of them is dead.
    pub(super) fn has_suspicious(&self) -> bool {
        (0u16..).zip(&self.known).any(|(source, known)| self.is_suspicious(source, known))
    }

    fn is_suspicious(&self, source: u16, known: &Known) -> bool {
        known.suspicious && !self.dead.contains(source)
    }

    /// Whether the last small probe by it was lost.
    pub(super) fn is_doubtful(&self, source: u16) -> bool {
        self.known.get(usize::from(source)).is_some_and(|known| known.lost > 0)
    }

    pub(super) fn views(&self) -> Vec<SourceView> {
        let view =
            |(source, known): (u16, &Known)| SourceView { dead: self.dead.contains(source), ..known.view };
        (0u16..).zip(&self.known).map(view).collect()
    }

    /// By which the next small probe goes: whichever was not probed for longest. `true` = that one is suspicious or dead.
    /// `losses`: small probes in a row that are lost by the way in use, by whichever source port; the more, the less does any
    /// single one matter.
    pub(super) fn next_small(&mut self, losses: u32) -> (u16, bool) {
        self.turn = self.turn.wrapping_add(1);
        let oldest = |wanted: &dyn Fn(u16, &Known) -> bool| {
            let all = (0u16..).zip(&self.known).filter(|(source, known)| wanted(*source, known));
            all.min_by_key(|(_, known)| known.probed_at).map(|(source, _)| source)
        };
        if self.turn.is_multiple_of(SUSPICIOUS_EACH)
            && losses < MANY_LOSSES
            && let Some(source) = oldest(&|source, known| self.is_suspicious(source, known))
        {
            return (source, true);
        }
        let is_dead = |source, _: &Known| self.dead.contains(source);
        if self.turn % DEAD_EACH == 1
            && losses == 0
            && let Some(source) = oldest(&is_dead)
        {
            return (source, true);
        }
        (oldest(&|source, known| !is_dead(source, known)).unwrap_or(0), false)
    }

    /// By which the next full-size probe goes: each in its turn, and rather one that small ones did not try of late, as any
    /// probe shows a dead one.
    pub(super) fn next_full(&self) -> u16 {
        let all = (0u16..).zip(&self.known).filter(|(source, _)| !self.dead.contains(*source));
        let mut all: Vec<(u16, &Known)> = all.collect();
        all.sort_by_key(|(_, known)| known.probed_at);
        let half = &all[..all.len().div_ceil(2)];
        half.iter().min_by_key(|(_, known)| known.full_at).map_or(0, |(source, _)| *source)
    }

    /// This one, or the next one that is alive.
    pub(super) fn alive(&self, source: u16) -> u16 {
        let count = u16::try_from(self.known.len()).unwrap_or(u16::MAX).max(1);
        let next = (0..count).map(|step| source.wrapping_add(step) % count);
        next.into_iter().find(|source| !self.dead.contains(*source)).unwrap_or(source)
    }

    // ---- what happens ----

    /// A probe goes by it, a full-size one or not.
    pub(super) fn sent(&mut self, source: u16, is_full: bool, now: Instant) {
        if let Some(known) = self.known.get_mut(usize::from(source)) {
            known.view.sent += 1;
            known.probed_at = Some(now);
            known.full_at = if is_full { Some(now) } else { known.full_at };
        }
    }

    /// A probe of this size that was sent by it then was answered.
    pub(super) fn answered(&mut self, source: u16, size: u16, sent: Instant, now: Instant) {
        let Some(known) = self.known.get_mut(usize::from(source)) else { return };
        let view = &mut known.view;
        (view.answered, view.lost, view.answered_at) = (view.answered + 1, 0, Some(now));
        view.passes = view.passes.max(Mtu::new(size.into()).ok());
        if known.lost_since.is_none_or(|since| sent >= since) {
            (known.lost, known.lost_since, known.suspicious) = (0, None, false);
            self.dead = self.dead.without(source);
        }
    }

    /// A probe by it has no answer.
    pub(super) fn lost(&mut self, source: u16) {
        if let Some(known) = self.known.get_mut(usize::from(source)) {
            known.view.lost = known.view.lost.saturating_add(1);
            known.suspicious = true;
        }
    }

    /// It was a small one of the used format, sent then. `proved`: when the latest that arrived was sent. So many losses are
    /// no chance. Says whether the source port is dead now and was not.
    pub(super) fn lost_small(
        &mut self,
        source: u16,
        sent: Instant,
        proved: Option<Instant>,
        losses: u32,
    ) -> bool {
        let Some(known) = self.known.get_mut(usize::from(source)) else { return false };
        known.lost = known.lost.saturating_add(1);
        let since = *known.lost_since.get_or_insert(sent);
        let beside = proved.is_some_and(|proved| proved > since);
        let dies = known.lost >= losses.max(DEAD_LOSSES) && beside && !self.dead.contains(source);
        if dies {
            self.dead = self.dead.with(source);
        }
        dies
    }

    /// The whole path is dead, or another format is used: what was lost says nothing of single source ports.
    pub(super) fn forget_losses(&mut self) {
        self.dead = Sources::default();
        let forget = |known: &mut Known| (known.lost, known.lost_since, known.suspicious) = (0, None, false);
        self.known.iter_mut().for_each(forget);
    }

    /// A size is in effect that was not before.
    pub(super) fn forget_sizes(&mut self) {
        self.known.iter_mut().for_each(|known| known.view.passes = None);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::path::testing::start;

    proptest! {
        #[test]
        fn flows_leave_dead_source_ports_evenly_and_the_others_stay(hash: u32, dead: u64, count in 1_u16..=64) {
            let (before, after) = (Sources::default().spread(hash, count), Sources(dead).spread(hash, count));
            prop_assert!(before < count && after < count);
            let all_dead = (0..count).all(|source| Sources(dead).contains(source));
            prop_assert!(all_dead || !Sources(dead).contains(after));
            if all_dead || !Sources(dead).contains(before) {
                prop_assert_eq!(before, after);
            }
        }
    }

    #[test]
    fn the_flows_of_a_dead_source_port_are_spread_over_all_others() {
        let dead = Sources::default().with(5).with(64);
        let flows = (0..1_000_u32).map(|n| (5 << 28) | n.wrapping_mul(0x9e37_79b9) >> 4);
        let taken: BTreeSet<u16> = flows.map(|hash| dead.spread(hash, 16)).collect();
        assert_eq!((taken.len(), dead.len()), (15, 1));
    }

    /// Small probes each 50 ms, of which those by some source ports are lost after 100; returns how many were sent by each.
    fn probe(ports: &mut SourcePorts, from: Instant, steps: u32, lost: impl Fn(u16) -> bool) -> Vec<u32> {
        let mut sent = vec![0; ports.known.len()];
        let mut proved = None;
        for step in 0..steps {
            let at = from + Duration::from_millis(50) * step;
            let (source, _) = ports.next_small(0);
            ports.sent(source, false, at);
            sent[usize::from(source)] += 1;
            if lost(source) {
                ports.lost(source);
                ports.lost_small(source, at, proved, DEAD_LOSSES);
            } else {
                ports.answered(source, 140, at, at);
                proved = Some(at);
            }
        }
        sent
    }

    #[test]
    fn a_dead_source_port_is_found_soon_and_probed_now_and_then() {
        let mut ports = SourcePorts::new(16);
        probe(&mut ports, start(), 25, |source| source == 3);
        assert_eq!(ports.dead(), Sources::default().with(3));
        assert_eq!((ports.alive(3), ports.alive(4)), (4, 4));
        let later = start() + Duration::from_secs(10);
        let sent = probe(&mut ports, later, 160, |source| source == 3);
        assert_eq!(sent[3], 40);
        assert!(sent.iter().enumerate().all(|(source, sent)| source == 3 || *sent == 8), "{sent:?}");
        probe(&mut ports, later + Duration::from_secs(10), 4, |_| false);
        assert!(ports.dead().is_empty());
    }

    #[test]
    fn full_size_probes_take_turns_however_often_they_come() {
        for each in 1..10 {
            let (mut ports, mut full) = (SourcePorts::new(16), [0; 16]);
            for step in 0..16 * 10 * each {
                let at = start() + Duration::from_millis(200) * step;
                let is_full = step % each == 0;
                let source = if is_full { ports.next_full() } else { ports.next_small(0).0 };
                ports.sent(source, is_full, at);
                full[usize::from(source)] += u32::from(is_full);
            }
            assert!(full.iter().all(|count| (5..=15).contains(count)), "each {each}th: {full:?}");
        }
    }

    #[test]
    fn when_all_are_lost_none_of_them_is_to_blame() {
        let mut ports = SourcePorts::new(4);
        probe(&mut ports, start(), 8, |_| false);
        probe(&mut ports, start() + Duration::from_secs(1), 100, |_| true);
        assert!(ports.dead().is_empty() && ports.has_suspicious());
        ports.forget_losses();
        assert!(!ports.has_suspicious());
    }

    #[test]
    fn an_answer_to_what_was_sent_before_the_losses_proves_nothing() {
        let mut ports = SourcePorts::new(2);
        let (before, at) = (start(), start() + Duration::from_secs(1));
        (0..4).for_each(|_| _ = ports.lost_small(1, at, Some(at + Duration::from_millis(1)), 4));
        ports.answered(1, 140, before, at);
        assert!(ports.dead().contains(1));
        ports.answered(1, 140, at, at);
        assert!(!ports.dead().contains(1));
    }
}
