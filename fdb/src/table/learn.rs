//! Learning: what a source address that was seen does to the table.

use std::time::Instant;

use encap::{MacAddr, Vni};

use super::network::nanoseconds;
use super::{FREEZE, LearnOutcome, MOST, MOVE_WINDOW, MOVES_TO_FREEZE, Refusal, Table};
use crate::Location;
use crate::shared::{Entry, Key, Mark};

impl Table {
    /// Takes note that a frame from `mac` came from `at`: a local port, or a static peer.
    ///
    /// Where a limit is reached, the oldest entry that was learned *from the same place* gives way; who has none is
    /// refused. Called for each live address every few seconds: a refresh publishes nothing.
    pub fn learn(&mut self, vni: Vni, mac: MacAddr, at: Location, now: Instant) -> LearnOutcome {
        let now = self.clock.tick(now);
        let outcome = if mac.is_zero() || mac.is_group() {
            LearnOutcome::Refused(Refusal::NotUnicast)
        } else if let Some(entry) = self.shared.entry(Key { vni, mac }) {
            self.see_again(entry, vni, at, now)
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
                self.counters.moved += 1;
                self.counters.frozen += u64::from(frozen);
            }
            LearnOutcome::Frozen | LearnOutcome::Refused(_) => self.counters.refused += 1,
        }
        outcome
    }

    /// Makes room for one more entry of `at` in a network.
    fn make_room(&mut self, vni: Vni, at: Location) -> Result<(), Refusal> {
        let network = self.networks.get(&vni).ok_or(Refusal::UnknownNetwork)?;
        if network.len() >= network.max_macs {
            // What gives way here makes room in the share and on the node, too.
            let oldest = self.shares.oldest_in(vni, at).ok_or(Refusal::NetworkFull)?;
            self.evict(oldest);
            return Ok(());
        }
        self.make_room_in_share(at)?;
        if self.learned >= self.limits.node || self.len() >= MOST {
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

    fn evict(&mut self, id: u32) {
        self.counters.evicted += 1;
        self.remove(id);
    }

    fn add_learned(&mut self, vni: Vni, mac: MacAddr, at: Location, now: u64) -> LearnOutcome {
        let id = self.nodes.add(mac, Mark::Learned, now);
        self.attach(id, vni, at);
        self.publish(id);
        LearnOutcome::Learned
    }

    fn see_again(&mut self, entry: Entry, vni: Vni, at: Location, now: u64) -> LearnOutcome {
        let Entry { node: id, mut mark, .. } = entry;
        if mark == Mark::Frozen && now >= self.nodes.get(id).since.saturating_add(nanoseconds(FREEZE)) {
            self.unfreeze(id);
            mark = Mark::Learned;
        }
        let from = self.shares.get(entry.place).owner;
        if from == at {
            self.renew(id, now);
            return LearnOutcome::Refreshed;
        }
        match mark {
            Mark::Static => LearnOutcome::Refused(Refusal::Static),
            Mark::Frozen => LearnOutcome::Frozen,
            Mark::Learned => match self.make_room_in_share(at) {
                Ok(()) => self.move_entry(id, vni, from, at, now),
                Err(refusal) => LearnOutcome::Refused(refusal),
            },
        }
    }

    fn move_entry(&mut self, id: u32, vni: Vni, from: Location, at: Location, now: u64) -> LearnOutcome {
        self.detach(id);
        let node = self.nodes.get_mut(id);
        if node.recent_moves == 0 || now - node.since >= nanoseconds(MOVE_WINDOW) {
            node.recent_moves = 0;
            node.since = now;
        }
        node.recent_moves += 1;
        node.moves = node.moves.saturating_add(1);
        node.last_seen = now;
        let frozen = node.recent_moves >= MOVES_TO_FREEZE;
        self.attach(id, vni, at);
        if frozen {
            self.change_mark(id, Mark::Frozen, now);
        }
        self.publish(id);
        LearnOutcome::Moved { from, frozen }
    }
}
