//! Learning: what a source address that was seen does to the table.

use std::time::Instant;

use encap::{MacAddr, Vni};

use super::network::nanoseconds;
use super::share::Owner;
use super::{FREEZE, LearnOutcome, MOST, MOVE_WINDOW, MOVES_TO_FREEZE, Refusal, Table};
use crate::Location;
use crate::shared::{Entry, Key, Mark};

impl Table {
    /// Takes note that a frame from `mac` came from `at`: a local port, or a static peer.
    ///
    /// An address that another node claims moves to a local port where it is seen, unless it is configured there; not to a
    /// static peer. Where a limit is reached, the oldest entry that was learned *from the same place* gives way; who has none is
    /// refused. Called for each live address every few seconds: a refresh publishes nothing.
    pub fn learn(&mut self, vni: Vni, mac: MacAddr, at: Location, now: Instant) -> LearnOutcome {
        let now = self.clock.tick(now);
        let outcome = if mac.is_zero() || mac.is_group() {
            LearnOutcome::Refused(Refusal::NotUnicast)
        } else if let Some(entry) = self.shared.entry(Key { vni, mac }) {
            self.see_again(entry, Key { vni, mac }, at, now)
        } else {
            match self.make_room(vni, at) {
                Ok(()) => self.add_learned(vni, mac, at, now),
                Err(refusal) => LearnOutcome::Refused(refusal),
            }
        };
        match outcome {
            LearnOutcome::Learned => self.counters.learned += 1,
            LearnOutcome::Refreshed => self.counters.refreshed += 1,
            LearnOutcome::Moved { frozen, .. } => {
                self.count_move(vni, frozen);
            }
            LearnOutcome::Frozen | LearnOutcome::Refused(_) => self.counters.refused += 1,
        }
        outcome
    }

    /// Makes room for one more entry of `at` in a network.
    fn make_room(&mut self, vni: Vni, at: Location) -> Result<(), Refusal> {
        // Where a claim takes over from the one that gives way there is no more room than before: the next one.
        while self.networks.get(&vni).ok_or(Refusal::UnknownNetwork)?.is_full() {
            let oldest = self.shares.oldest_in(vni, at).ok_or(Refusal::NetworkFull)?;
            self.evict(oldest);
        }
        self.make_room_to_learn(at)?;
        while self.len() >= MOST {
            let oldest = self.shares.oldest_of(at, &self.nodes).ok_or(Refusal::NodeFull)?;
            self.evict(oldest);
        }
        Ok(())
    }

    /// Makes room for one more learned entry of `at`.
    fn make_room_to_learn(&mut self, at: Location) -> Result<(), Refusal> {
        self.make_room_in_share(at)?;
        if self.learned >= self.limits.node {
            let oldest = self.shares.oldest_of(at, &self.nodes).ok_or(Refusal::NodeFull)?;
            self.evict(oldest);
        }
        Ok(())
    }

    fn make_room_in_share(&mut self, at: Location) -> Result<(), Refusal> {
        if self.shares.learned(at) >= self.limits.of(at) {
            let oldest = self.shares.oldest_of(at, &self.nodes).ok_or(Refusal::ShareFull)?;
            self.evict(oldest);
        }
        Ok(())
    }

    pub(super) fn evict(&mut self, id: u32) {
        self.counters.evicted += 1;
        self.remove(id);
    }

    fn add_learned(&mut self, vni: Vni, mac: MacAddr, at: Location, now: u64) -> LearnOutcome {
        let id = self.nodes.add(mac, Mark::Learned, now);
        self.attach(id, vni, Owner::here(at));
        self.publish(id, false);
        LearnOutcome::Learned
    }

    fn see_again(&mut self, entry: Entry, key: Key, at: Location, now: u64) -> LearnOutcome {
        let Entry { node: id, mut mark, .. } = entry;
        if mark.is_frozen() && now >= self.nodes.get(id).since.saturating_add(nanoseconds(FREEZE)) {
            self.unfreeze(id);
            mark = mark.thawed();
        }
        let from = self.shares.get(entry.place).owner.at;
        if from == at {
            self.renew(id, now);
            return LearnOutcome::Refreshed;
        }
        let room = match mark {
            Mark::Static | Mark::ClaimedStatic => Err(Refusal::Static),
            Mark::Frozen | Mark::ClaimedFrozen => return LearnOutcome::Frozen,
            Mark::Claimed if matches!(at, Location::Remote(_)) => Err(Refusal::Claimed),
            Mark::Claimed => self.make_room_to_learn(at),
            Mark::Learned => self.make_room_in_share(at),
        };
        if let Err(refusal) = room {
            return LearnOutcome::Refused(refusal);
        }
        if let Some(claim) = self.holding_claim(id) {
            self.keep_lost(key, claim);
        }
        let mob_seq = self.nodes.get(id).mob_seq.saturating_add(1);
        let frozen = self.move_entry(id, Owner::here(at), Mark::Learned, mob_seq, now);
        LearnOutcome::Moved { from, frozen }
    }

    /// Moves an entry to another owner; says whether that was one move too many, so that it is frozen now.
    ///
    /// One that is frozen already, which only a claim moves, stays so, from now on for as long as if it had just begun.
    pub(super) fn move_entry(&mut self, id: u32, owner: Owner, mark: Mark, mob_seq: u32, now: u64) -> bool {
        let node = self.nodes.get(id);
        let (was_frozen, mut since, mut recent) = (node.mark.is_frozen(), node.since, node.recent_moves);
        if recent == 0 || now - since >= nanoseconds(MOVE_WINDOW) {
            (since, recent) = (now, 0);
        }
        recent += 1;
        let is_frozen = mark.frozen() != mark && (was_frozen || recent >= MOVES_TO_FREEZE);
        self.hand_over(id, owner, if is_frozen { mark.frozen() } else { mark }, mob_seq, now);
        if !is_frozen {
            let node = self.nodes.get_mut(id);
            (node.since, node.recent_moves) = (since, recent);
        }
        is_frozen && !was_frozen
    }
}
