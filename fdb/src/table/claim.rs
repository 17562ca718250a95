//! Claims: what other nodes say of an address, beside what is known here.
//!
//! Of all that is said of an address one holds the entry, best first
//! ([RFC 7432 §7.7](https://www.rfc-editor.org/rfc/rfc7432#section-7.7), [§15.2](https://www.rfc-editor.org/rfc/rfc7432#section-15.2)):
//!
//! 1. what is configured here; then what is configured at others, the lowest VTEP first;
//! 2. the higher mobility sequence number;
//! 3. the lowest VTEP, this node's own if it lives at a local port.
//!
//! What was learned here and lost is forgotten, as it is when it ages; claims that lost are kept. Two that name the same
//! place are no conflict. One of the same place as what was learned here only raises its number: if it took the entry,
//! two nodes that share a static VTEP would each stop to publish for the other, and begin again.

use std::time::Instant;

use encap::{MacAddr, Vni, VtepAddr};

use super::arena::Node;
use super::outcome::{Claim, ClaimOutcome, ClaimRefusal, Origin, UnclaimOutcome};
use super::share::Owner;
use super::{MOST, Table};
use crate::Location;
use crate::shared::{Key, Mark};

impl Claim {
    fn owner(&self) -> Owner {
        Owner { at: Location::Remote(self.at), origin: Some(self.origin) }
    }

    fn mark(&self) -> Mark {
        if self.is_static { Mark::ClaimedStatic } else { Mark::Claimed }
    }
}

impl Table {
    /// Tells the table which VTEPs are this node's own, for ties with claims and to refuse claims that name them.
    ///
    /// A claim is compared with the lowest of its address family, or else of all. None = what is local wins ties. What
    /// was claimed before is not looked at again.
    pub fn set_own(&mut self, own: &[VtepAddr]) {
        self.own = own.to_vec();
    }

    /// Takes in that another node claims an address, instead of what that node claimed of it before.
    ///
    /// The claim does not age, is never evicted, and counts for the network's `max_macs` only: a new address in a full
    /// network is refused. Who refuses keeps nothing, so the claim must be made again when there is room, or when the
    /// network is there.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::{Duration, Instant};
    /// use encap::{PortId, Vni};
    /// use fdb::{Claim, ClaimOutcome, LearnOutcome, Limits, Location, Origin, Shared, Table};
    ///
    /// let mut table = Table::new(Limits::default(), Arc::new(Shared::new()));
    /// let (vni, mac, now) = (Vni::new(100)?, "02:00:00:00:00:01".parse()?, Instant::now());
    /// table.set_network(vni, 65_536, Duration::from_secs(300));
    ///
    /// let at = "10.0.0.2:4789".parse::<std::net::SocketAddr>()?.into();
    /// let there = Claim { origin: Origin::new(2), at, mob_seq: 0, is_static: false };
    /// assert_eq!(table.claim(vni, mac, there, now), ClaimOutcome::Added);
    ///
    /// // The pod moves here, and back again.
    /// let here = Location::Local(PortId::new(1));
    /// let moved = table.learn(vni, mac, here, now);
    /// assert_eq!(moved, LearnOutcome::Moved { from: Location::Remote(at), frozen: false });
    /// assert_eq!(table.entry(vni, mac).map(|entry| entry.mob_seq), Some(1));
    /// assert_eq!(table.claim(vni, mac, there, now), ClaimOutcome::Lost { to: here });
    /// let back = Claim { mob_seq: 2, ..there };
    /// assert_eq!(table.claim(vni, mac, back, now), ClaimOutcome::Moved { from: here, frozen: false });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn claim(&mut self, vni: Vni, mac: MacAddr, claim: Claim, now: Instant) -> ClaimOutcome {
        let now = self.clock.tick(now);
        let key = Key { vni, mac };
        let outcome = if mac.is_zero() || mac.is_group() {
            ClaimOutcome::Refused(ClaimRefusal::NotUnicast)
        } else if self.own.contains(&claim.at) {
            self.take_back(key, claim.origin, now);
            ClaimOutcome::Refused(ClaimRefusal::OwnVtep)
        } else if let Some(entry) = self.shared.entry(key) {
            self.weigh(entry.node, key, claim, now)
        } else {
            self.add_claimed(key, claim, now)
        };
        match outcome {
            ClaimOutcome::Added => self.counters.claimed += 1,
            ClaimOutcome::Moved { frozen, .. } => {
                self.count_move(vni, frozen);
            }
            ClaimOutcome::Refused(_) => self.counters.claims_refused += 1,
            ClaimOutcome::Refreshed | ClaimOutcome::Lost { .. } | ClaimOutcome::Duplicate { .. } => {}
        }
        outcome
    }

    /// Takes in that another node claims an address no more.
    pub fn unclaim(&mut self, vni: Vni, mac: MacAddr, origin: Origin, now: Instant) -> UnclaimOutcome {
        let now = self.clock.tick(now);
        self.take_back(Key { vni, mac }, origin, now)
    }

    /// Drops all that a node claims, because it is down; says how many claims that were.
    ///
    /// # Cost
    ///
    /// Proportional to what it claimed.
    pub fn unclaim_all(&mut self, origin: Origin, now: Instant) -> usize {
        self.clock.tick(now);
        self.losers.remove_origin(origin) + self.remove_shares(&self.shares.of_origin(origin), true)
    }

    /// The claims of an address that lost to what holds it, best first.
    #[must_use]
    pub fn lost_claims(&self, vni: Vni, mac: MacAddr) -> &[Claim] {
        self.losers.of(Key { vni, mac })
    }

    /// The best claim of a node where the address is configured too, if it is configured here at another place.
    #[must_use]
    pub fn duplicate(&self, vni: Vni, mac: MacAddr) -> Option<Claim> {
        let entry = self.shared.entry(Key { vni, mac }).filter(|entry| entry.mark == Mark::Static)?;
        let here = self.shares.get(entry.place).owner.at;
        let mut there = self.lost_claims(vni, mac).iter();
        there.find(|claim| claim.is_static && Location::Remote(claim.at) != here).copied()
    }

    fn add_claimed(&mut self, key: Key, claim: Claim, now: u64) -> ClaimOutcome {
        let Some(network) = self.networks.get(&key.vni) else {
            return ClaimOutcome::Refused(ClaimRefusal::UnknownNetwork);
        };
        if network.is_full() || self.len() >= MOST {
            return ClaimOutcome::Refused(ClaimRefusal::NetworkFull);
        }
        let id = self.nodes.add(key.mac, claim.mark(), now);
        self.nodes.get_mut(id).mob_seq = claim.mob_seq;
        self.attach(id, key.vni, claim.owner());
        self.publish(id, false);
        ClaimOutcome::Added
    }

    /// Weighs a claim against what is known of the address.
    fn weigh(&mut self, id: u32, key: Key, claim: Claim, now: u64) -> ClaimOutcome {
        let held = self.holding_claim(id);
        if held.is_some_and(|held| held.origin == claim.origin) {
            return self.replace(id, key, claim, now);
        }
        self.losers.remove(key, claim.origin);
        let wins = held.map_or_else(|| self.beats_own(&claim, id), |held| claim.beats(&held));
        if !wins {
            return self.lose(id, key, claim);
        }
        if let Some(held) = held {
            self.keep_lost(key, held);
        }
        self.settle(id, claim, now)
    }

    /// The claim that holds an entry; `None`: it is this node's own.
    pub(super) fn holding_claim(&self, id: u32) -> Option<Claim> {
        let node = self.nodes.get(id);
        let Owner { at: Location::Remote(at), origin: Some(origin) } = self.shares.get(node.share).owner
        else {
            return None;
        };
        Some(Claim { origin, at, mob_seq: node.mob_seq, is_static: node.mark == Mark::ClaimedStatic })
    }

    /// Whether a claim is better than what was learned or configured here.
    fn beats_own(&self, claim: &Claim, id: u32) -> bool {
        let node = self.nodes.get(id);
        let at = self.shares.get(node.share).owner.at;
        if node.mark == Mark::Static || claim.is_static {
            return node.mark != Mark::Static;
        }
        let own = match at {
            Location::Local(_) => self.own_vtep(claim.at),
            Location::Remote(vtep) => Some(vtep),
        };
        let is_lower = || own.is_some_and(|own| claim.at < own);
        at != Location::Remote(claim.at)
            && (claim.mob_seq > node.mob_seq || claim.mob_seq == node.mob_seq && is_lower())
    }

    /// The own VTEP that the owner of another one sees.
    fn own_vtep(&self, other: VtepAddr) -> Option<VtepAddr> {
        let same_family = self.own.iter().filter(|own| own.ip().is_ipv4() == other.ip().is_ipv4());
        same_family.min().or_else(|| self.own.iter().min()).copied()
    }

    /// What holds the entry says something else now.
    fn replace(&mut self, id: u32, key: Key, claim: Claim, now: u64) -> ClaimOutcome {
        let Some(best) = self.losers.take_best_above(key, &claim) else {
            return self.settle(id, claim, now);
        };
        self.keep_lost(key, claim);
        self.take_over(id, best, now);
        if best.at == claim.at {
            ClaimOutcome::Refreshed
        } else {
            ClaimOutcome::Lost { to: Location::Remote(best.at) }
        }
    }

    /// Gives an entry to the claim that won.
    fn settle(&mut self, id: u32, claim: Claim, now: u64) -> ClaimOutcome {
        let Node { share, mark: was, mob_seq, since, recent_moves, .. } = *self.nodes.get(id);
        let owner = self.shares.get(share).owner;
        if owner.at != Location::Remote(claim.at) {
            let frozen = self.move_entry(id, claim.owner(), claim.mark(), claim.mob_seq, now);
            return ClaimOutcome::Moved { from: owner.at, frozen };
        }
        if owner != claim.owner() || was.thawed() != claim.mark() {
            let mark = if was.is_frozen() { claim.mark().frozen() } else { claim.mark() };
            self.hand_over(id, claim.owner(), mark, claim.mob_seq, now);
            if !mark.is_frozen() {
                let node = self.nodes.get_mut(id);
                (node.since, node.recent_moves) = (since, recent_moves);
            }
        } else if mob_seq != claim.mob_seq {
            self.nodes.get_mut(id).mob_seq = claim.mob_seq;
            self.publish(id, false);
        }
        ClaimOutcome::Refreshed
    }

    /// Keeps a claim for when something better goes.
    fn lose(&mut self, id: u32, key: Key, claim: Claim) -> ClaimOutcome {
        let node = self.nodes.get(id);
        let (mark, mob_seq, to) = (node.mark, node.mob_seq, self.shares.get(node.share).owner.at);
        let same_place = to == Location::Remote(claim.at);
        if same_place && mark.is_learned() && claim.mob_seq > mob_seq {
            self.nodes.get_mut(id).mob_seq = claim.mob_seq;
            self.publish(id, true);
        }
        if !self.losers.push(key, claim) {
            ClaimOutcome::Refused(ClaimRefusal::TooManyLost)
        } else if same_place {
            ClaimOutcome::Refreshed
        } else if mark == Mark::Static && claim.is_static {
            ClaimOutcome::Duplicate { here: to, there: claim.at }
        } else {
            ClaimOutcome::Lost { to }
        }
    }

    /// Keeps a claim that held an entry until now.
    pub(super) fn keep_lost(&mut self, key: Key, claim: Claim) {
        self.counters.claims_refused += u64::from(!self.losers.push(key, claim));
    }

    fn take_back(&mut self, key: Key, origin: Origin, now: u64) -> UnclaimOutcome {
        if self.losers.remove(key, origin).is_some() {
            return UnclaimOutcome::Unchanged;
        }
        let Some(entry) = self.shared.entry(key) else { return UnclaimOutcome::Unknown };
        let Owner { at: from, origin: holder } = self.shares.get(entry.place).owner;
        if holder != Some(origin) {
            return UnclaimOutcome::Unknown;
        }
        let Some(best) = self.losers.take_best(key) else {
            self.remove(entry.node);
            return UnclaimOutcome::Gone { from };
        };
        self.take_over(entry.node, best, now);
        let to = Location::Remote(best.at);
        if from == to { UnclaimOutcome::Unchanged } else { UnclaimOutcome::TakenOver { from, to } }
    }

    /// Gives an entry whose holder went to the next best claim. That is no move, and the moves of who went are forgotten.
    pub(super) fn take_over(&mut self, id: u32, best: Claim, now: u64) {
        self.hand_over(id, best.owner(), best.mark(), best.mob_seq, now);
    }
}
