//! The way over another node while the direct path is dead.
//!
//! Up to [`ASKED`] nodes are asked whether they reach the peer; the one with the shortest way both legs together relays.
//! They are asked again and again, so that a relay that loses the peer is left. The first answer of the direct path ends
//! it; where that happens a third time within a minute, the direct path must have worked for [`STEADY`] first.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use encap::Mtu;
use fdb::gossip::identity::NodeId;

/// Nodes that are asked at once.
pub(super) const ASKED: usize = 3;
/// And how often, with traffic and without.
const ASK_EVERY: Duration = Duration::from_secs(1);
const ASK_EVERY_IDLE: Duration = Duration::from_secs(10);
/// After a relay was lost, others are asked no sooner than this.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// A relay that does not answer so many rounds is left.
const ROUNDS: u32 = 3;

/// How long the direct path must work before it is used again, when it died [`OFTEN`] times within a [`MINUTE`].
const STEADY: Duration = Duration::from_secs(15);
const OFTEN: usize = 3;
const MINUTE: Duration = Duration::from_secs(60);

/// Another node that relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via {
    /// The node.
    pub node: NodeId,
    /// The IP MTU of the smaller of both legs.
    pub mtu: Mtu,
}

/// What a node offers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    pub(super) via: Via,
    /// Both legs together.
    pub(super) round_trip: Duration,
}

/// The relaying of one peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Relaying {
    /// Whether the direct path is not used.
    open: bool,
    round: u32,
    /// Whom the last ask went to.
    asked: Vec<NodeId>,
    chosen: Option<(Offer, u32)>,
    ask_at: Option<Instant>,
    asked_at: Option<Instant>,
    /// When the last few began.
    begun: VecDeque<Instant>,
    /// Since when the direct path works again.
    steady_since: Option<Instant>,
}

impl Relaying {
    /// Who relays.
    pub(super) fn via(&self) -> Option<Via> {
        self.chosen.map(|(offer, _)| offer.via)
    }

    /// The direct path is dead.
    pub(super) fn direct_died(&mut self, now: Instant) {
        self.steady_since = None;
        if !self.open {
            (self.open, self.ask_at) = (true, Some(now));
            self.begun.truncate(OFTEN - 1);
            self.begun.push_front(now);
        }
    }

    /// The direct path works.
    pub(super) fn direct_works(&mut self, now: Instant) {
        if self.open {
            self.steady_since.get_or_insert(now);
            self.tick(now);
        }
    }

    /// Ends what may end.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.open && self.close_at().is_some_and(|at| at <= now) {
            self.close();
        }
    }

    /// Ends it, whatever the direct path does.
    pub(super) fn close(&mut self) {
        let Self { round, begun, asked_at, .. } = std::mem::take(self);
        (self.round, self.begun, self.asked_at) = (round, begun, asked_at);
    }

    fn close_at(&self) -> Option<Instant> {
        let since = self.steady_since?;
        let oldest = self.begun.get(OFTEN - 1);
        let often = oldest.is_some_and(|oldest| since.saturating_duration_since(*oldest) < MINUTE);
        Some(if often { since + STEADY } else { since })
    }

    /// When others are to be asked, or it ends.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if self.open { self.ask_at.into_iter().chain(self.close_at()).min() } else { None }
    }

    /// Whether others are to be asked now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.open && self.ask_at.is_some_and(|at| at <= now)
    }

    /// These are asked now; returns the number of the round. A relay that was silent for too long is left.
    pub(super) fn ask(&mut self, nodes: Vec<NodeId>, active: bool, now: Instant) -> u32 {
        self.round = self.round.wrapping_add(1);
        let round = self.round;
        self.chosen.take_if(|(_, told)| round.wrapping_sub(*told) > ROUNDS);
        self.asked = nodes;
        self.asked_at = Some(now);
        self.ask_at = Some(now + if active { ASK_EVERY } else { ASK_EVERY_IDLE });
        round
    }

    /// There is traffic now: the next round is not far.
    pub(super) fn hurry(&mut self, now: Instant) {
        let soonest = self.asked_at.map_or(now, |asked| (asked + ASK_EVERY).max(now));
        self.ask_at = self.ask_at.map(|at| at.min(soonest));
    }

    /// A node that was asked reaches the peer.
    pub(super) fn offered(&mut self, round: u32, offer: Offer) {
        let node = offer.via.node;
        if !self.open || round != self.round || !self.asked.contains(&node) {
            return;
        }
        // Another one must be clearly better: each change may reorder what is on its way.
        let better = self.chosen.is_none_or(|(chosen, _)| {
            chosen.via.node == node || offer.round_trip + offer.round_trip / 4 < chosen.round_trip
        });
        if better {
            self.chosen = Some((offer, round));
        }
    }

    /// A node does not reach the peer, or is not reached itself.
    pub(super) fn refused(&mut self, node: NodeId, now: Instant) {
        if self.chosen.take_if(|(chosen, _)| chosen.via.node == node).is_some() {
            self.ask_at = Some(self.asked_at.map_or(now, |asked| (asked + ASK_AGAIN).max(now)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::testing::start;

    fn offer(node: u128, millis: u64) -> Offer {
        let via = Via { node: NodeId::new(node), mtu: Mtu::IPV6_MIN };
        Offer { via, round_trip: Duration::from_millis(millis) }
    }

    fn node(relaying: &Relaying) -> Option<u128> {
        relaying.via().map(|via| via.node.get())
    }

    fn asked(now: Instant) -> (Relaying, u32) {
        let mut relaying = Relaying::default();
        relaying.direct_died(now);
        assert!(relaying.is_due(now));
        let round = relaying.ask([1, 2, 3].map(NodeId::new).to_vec(), true, now);
        (relaying, round)
    }

    #[test]
    fn the_shortest_way_wins_and_a_hardly_shorter_one_changes_nothing() {
        let (mut relaying, round) = asked(start());
        for (from, millis, expected) in [(1, 20, 1), (2, 19, 1), (3, 10, 3), (1, 20, 3)] {
            relaying.offered(round, offer(from, millis));
            assert_eq!(node(&relaying), Some(expected));
        }
    }

    #[test]
    fn who_was_not_asked_and_who_answers_an_older_round_is_not_heard() {
        let (mut relaying, round) = asked(start());
        relaying.offered(round, offer(9, 1));
        relaying.offered(round.wrapping_sub(1), offer(1, 1));
        assert_eq!(node(&relaying), None);
        assert_eq!(node(&Relaying::default()), None);
    }

    #[test]
    fn a_relay_that_loses_the_peer_or_falls_silent_is_left() {
        let mut now = start();
        let (mut relaying, round) = asked(now);
        relaying.offered(round, offer(1, 5));
        relaying.refused(NodeId::new(2), now);
        assert_eq!(node(&relaying), Some(1));
        relaying.refused(NodeId::new(1), now);
        assert_eq!(node(&relaying), None);
        assert!(relaying.is_due(now + ASK_AGAIN));

        let round = relaying.ask(vec![NodeId::new(1)], true, now);
        relaying.offered(round, offer(1, 5));
        for silent in 1..=ROUNDS + 1 {
            now += ASK_EVERY;
            assert!(relaying.is_due(now));
            relaying.ask(vec![NodeId::new(1)], true, now);
            assert_eq!(node(&relaying).is_some(), silent <= ROUNDS);
        }
    }

    #[test]
    fn the_first_answer_ends_it_unless_that_happens_often() {
        let mut now = start();
        let mut relaying = Relaying::default();
        for times in 1..=4 {
            relaying.direct_died(now);
            let round = relaying.ask(vec![NodeId::new(1)], true, now);
            relaying.offered(round, offer(1, 5));
            now += Duration::from_secs(3);
            relaying.direct_works(now);
            assert_eq!(node(&relaying).is_none(), times < OFTEN, "time {times}");
            now += STEADY;
            relaying.tick(now);
            assert_eq!(node(&relaying), None);
        }
        now += MINUTE;
        relaying.direct_died(now);
        relaying.direct_works(now);
        assert!(!relaying.open);
    }
}
