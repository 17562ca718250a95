//! The write side of the FDB: control owns the one [`Table`], which decides and publishes to [`Shared`].
//!
//! ```text
//!  network (VNI)   to age: oldest .. youngest      to thaw: oldest .. youngest (learned, claimed)
//!  share (owner in a network: a port, a remote VTEP, or a node that claims entries at a VTEP)
//!                  learned: oldest .. youngest     lasting (static, claimed)
//!  address         entry: the winner               claims that lost: best .. worst
//! ```
//!
//! Every learned entry is on one list of its network and one of its share, so that learning, refreshing, moving,
//! evicting and ageing cost the same however many entries there are.
//!
//! Rules: a full share loses *its own* oldest learned entry, never another's; a static entry never moves; an entry
//! that moves [`MOVES_TO_FREEZE`] times within [`MOVE_WINDOW`] stays where it is for [`FREEZE`]
//! ([RFC 7432 §15.1](https://www.rfc-editor.org/rfc/rfc7432#section-15.1)). What other nodes say of an address are claims:
//! [`Table::claim`] weighs them against each other and against what is known here, and [`Table::poll_changed`] tells what
//! of the latter is to be published.
//!
//! Memory: 56 octets a node, and some 40 an entry in the map; a test weighs a million of them.

mod arena;
mod changes;
mod claim;
mod learn;
mod losers;
mod network;
mod outcome;
mod share;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use encap::{MacAddr, Vni, VtepAddr};

use self::arena::{Arena, Chain, Node};
use self::changes::Changes;
use self::losers::Losers;
use self::network::{Clock, Network, nanoseconds};
pub use self::outcome::{
    Claim, ClaimOutcome, ClaimRefusal, Counters, DelOutcome, EntryView, LearnOutcome, Limits, Origin,
    Refusal, StaticError, UnclaimOutcome,
};
use self::share::{Owner, Shares};
use crate::Location;
use crate::shared::{Entry, Key, MAX_ENTRIES, Mark, Shared};

/// The moves that freeze an entry, the last of them included.
pub const MOVES_TO_FREEZE: u8 = 5;

/// The time, from the first of them, within which that many moves freeze an entry.
pub const MOVE_WINDOW: Duration = Duration::from_secs(180);

/// How long an entry stays frozen unless somebody thaws it.
pub const FREEZE: Duration = Duration::from_secs(180);

/// Entries that one call of [`Table::expire`] ages or thaws: some tens of milliseconds of control's time, and the default
/// limit of a node in 8 calls.
pub const EXPIRE_STEP: usize = 32_768;

/// Entries that a table has at most, whatever its limits: their numbers, and those of the owners that they have and are
/// about to get, are below [`MAX_ENTRIES`].
const MOST: usize = MAX_ENTRIES - 2;

/// The forwarding database; see the [module](self) for its rules.
///
/// Only networks that were [set](Table::set_network) have entries. Time never runs backwards in here: a `now` before
/// the latest one counts as the latest.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use std::time::{Duration, Instant};
/// use encap::{PortId, Vni};
/// use fdb::{LearnOutcome, Limits, Location, Shared, Table};
///
/// let mut table = Table::new(Limits::default(), Arc::new(Shared::new()));
/// let (vni, mac, start) = (Vni::new(100)?, "02:00:00:00:00:01".parse()?, Instant::now());
/// table.set_network(vni, 65_536, Duration::from_secs(300));
///
/// let [one, two] = [1, 2].map(|id| Location::Local(PortId::new(id)));
/// assert_eq!(table.learn(vni, mac, one, start), LearnOutcome::Learned);
/// assert_eq!(table.learn(vni, mac, two, start), LearnOutcome::Moved { from: one, frozen: false });
/// assert_eq!(table.expire(start + Duration::from_secs(300)), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Table {
    shared: Arc<Shared>,
    limits: Limits,
    nodes: Arena,
    shares: Shares,
    networks: BTreeMap<Vni, Network>,
    losers: Losers,
    changes: Changes,
    /// This node's VTEPs.
    own: Vec<VtepAddr>,
    /// Learned entries on the whole node.
    learned: usize,
    /// The number of the latest change.
    seq: u64,
    clock: Clock,
    /// Nothing ages or thaws before this time.
    wake: Option<u64>,
    counters: Counters,
}

impl Table {
    /// An empty table that publishes to `shared`, which no other table may write.
    #[must_use]
    pub fn new(limits: Limits, shared: Arc<Shared>) -> Self {
        Self {
            shared,
            limits,
            nodes: Arena::new(),
            shares: Shares::default(),
            networks: BTreeMap::new(),
            losers: Losers::default(),
            changes: Changes::default(),
            own: Vec::new(),
            learned: 0,
            seq: 0,
            clock: Clock::default(),
            wake: None,
            counters: Counters::default(),
        }
    }

    /// Where it publishes.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    // ---- networks ----

    /// Makes a network, or changes its limits: at most `max_macs` entries, and learned ones are forgotten when they
    /// were not seen for `mac_age` (zero = never).
    ///
    /// Learned entries above a lower `max_macs` are evicted, oldest first. Static and claimed ones stay, also above it.
    pub fn set_network(&mut self, vni: Vni, max_macs: usize, mac_age: Duration) {
        let network = self.networks.entry(vni).or_insert_with(Network::new);
        network.max_macs = max_macs;
        network.mac_age = (!mac_age.is_zero()).then(|| nanoseconds(mac_age));
        while let Some(id) = self.networks.get(&vni).and_then(Network::excess) {
            self.evict(id);
        }
        self.find_next_wake();
    }

    /// Removes a network with all its entries and the claims that lost to them; says how many entries.
    pub fn remove_network(&mut self, vni: Vni) -> usize {
        self.losers.remove_network(vni);
        let removed = self.remove_shares(&self.shares.of_network(Some(vni)), true);
        self.networks.remove(&vni);
        removed
    }

    // ---- commands and configuration ----

    /// Configures where `mac` lives, instead of what was learned or configured before.
    ///
    /// # Errors
    ///
    /// [`StaticError`] for an address that is not of one host, for a network that does not exist, and for a full
    /// network. Nothing has changed then.
    pub fn add_static(&mut self, vni: Vni, mac: MacAddr, location: Location) -> Result<(), StaticError> {
        if mac.is_zero() || mac.is_group() {
            return Err(StaticError::NotUnicast { mac });
        }
        let network = self.networks.get(&vni).ok_or(StaticError::UnknownNetwork { vni })?;
        let key = Key { vni, mac };
        let owner = Owner::here(location);
        let Some(entry) = self.shared.entry(key) else {
            if network.is_full() || self.len() >= MOST {
                return Err(StaticError::NetworkFull { vni, max_macs: network.max_macs.min(MOST) });
            }
            let id = self.nodes.add(mac, Mark::Static, self.clock.latest());
            self.attach(id, vni, owner);
            self.publish(id, false);
            return Ok(());
        };
        if entry.mark == Mark::Static && self.shares.get(entry.place).owner == owner {
            return Ok(());
        }
        if let Some(claim) = self.holding_claim(entry.node) {
            self.keep_lost(key, claim);
        }
        let mob_seq = self.nodes.get(entry.node).mob_seq;
        self.hand_over(entry.node, owner, Mark::Static, mob_seq, self.clock.latest());
        Ok(())
    }

    /// Removes the entry of `mac`, static or learned.
    pub fn del(&mut self, vni: Vni, mac: MacAddr) -> DelOutcome {
        let Some(entry) = self.shared.entry(Key { vni, mac }) else { return DelOutcome::Unknown };
        if let Some(Claim { origin, .. }) = self.holding_claim(entry.node) {
            return DelOutcome::Claimed { origin };
        }
        self.remove(entry.node);
        DelOutcome::Removed
    }

    /// Forgets what was learned in one network, or in all, and says how many entries that were. Static and claimed ones
    /// stay, and where a claim had lost, it takes over.
    pub fn flush(&mut self, vni: Option<Vni>) -> usize {
        self.remove_shares(&self.shares.of_network(vni), false)
    }

    /// Removes what lives at a port or behind a VTEP that is no more, static entries too; says how many. What other nodes
    /// claim to live there stays.
    pub fn forget(&mut self, location: Location) -> usize {
        self.remove_shares(&self.shares.of_place(location), true)
    }

    /// Lets a frozen entry move again, and starts its age anew; says whether it was frozen.
    pub fn thaw(&mut self, vni: Vni, mac: MacAddr) -> bool {
        let entry = self.shared.entry(Key { vni, mac });
        let frozen = entry.filter(|entry| entry.mark.is_frozen());
        frozen.inspect(|entry| self.unfreeze(entry.node)).is_some()
    }

    // ---- what to publish ----

    /// Begins, or ceases, to note which of this node's own entries change; it begins with all that there are.
    pub fn track_changes(&mut self, on: bool) {
        let Self { nodes, shares, changes, .. } = self;
        let own = nodes.iter().filter(|node| node.mark.is_own());
        let keys = own.map(|node| Key { vni: shares.get(node.share).vni, mac: node.mac });
        changes.track(on.then_some(keys));
    }

    /// An address of which [`Table::entry`] may tell something new to publish: an own entry of another place or number, or
    /// none any more. Each is told once, however often it changed meanwhile; nothing is noted unless
    /// [asked for](Table::track_changes).
    pub fn poll_changed(&mut self) -> Option<(Vni, MacAddr)> {
        self.changes.poll().map(|Key { vni, mac }| (vni, mac))
    }

    // ---- time ----

    /// Forgets entries that were not seen for the `mac_age` of their network and says how many; thaws those that were
    /// frozen for long enough. An entry that is frozen does not age.
    ///
    /// One call does some [`EXPIRE_STEP`] entries at most: each network its part of them, then whoever has more; if that is
    /// not all, [`Table::poll_timeout`] is due at once.
    pub fn expire(&mut self, now: Instant) -> usize {
        let now = self.clock.tick(now);
        if self.wake.is_none_or(|wake| now < wake) {
            return 0;
        }
        let networks: Vec<_> = self.networks.keys().copied().collect();
        let part = EXPIRE_STEP.div_ceil(networks.len().max(1));
        let mut left = EXPIRE_STEP;
        let before = self.counters.expired;
        for &vni in &networks {
            left -= self.expire_in(vni, now, part.min(left));
        }
        for &vni in &networks {
            left -= self.expire_in(vni, now, left);
        }
        self.find_next_wake();
        (self.counters.expired - before) as usize
    }

    /// Ages and thaws at most so many entries of a network; returns how many.
    fn expire_in(&mut self, vni: Vni, now: u64, most: usize) -> usize {
        for done in 0..most {
            if let Some(id) = self.first_due(vni, now, Network::first_to_thaw) {
                self.unfreeze(id);
            } else if let Some(id) = self.first_due(vni, now, Network::first_to_age) {
                self.remove(id);
                self.counters.expired += 1;
            } else {
                return done;
            }
        }
        most
    }

    /// When to call [`Table::expire`] next; it may find nothing to do then. `None` = nothing ages.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wake.and_then(|wake| self.clock.instant(wake))
    }

    // ---- what is in it ----

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries a network has.
    #[must_use]
    pub fn count(&self, vni: Vni) -> usize {
        self.networks.get(&vni).map_or(0, Network::len)
    }

    /// Counts on from what an earlier table counted.
    pub fn count_on(&mut self, from: Counters) {
        self.counters = from;
    }

    /// What happened since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Of those, moves in one network since it was set; 0 without it.
    #[must_use]
    pub fn moves(&self, vni: Vni) -> u64 {
        self.networks.get(&vni).map_or(0, |network| network.moved)
    }

    /// All entries, in no order that means anything.
    pub fn entries(&self) -> impl Iterator<Item = EntryView> {
        self.nodes.iter().map(|node| self.view(node))
    }

    /// The entry of one address.
    #[must_use]
    pub fn entry(&self, vni: Vni, mac: MacAddr) -> Option<EntryView> {
        self.shared.entry(Key { vni, mac }).map(|entry| self.view(self.nodes.get(entry.node)))
    }

    fn view(&self, node: &Node) -> EntryView {
        let share = self.shares.get(node.share);
        let frozen = node.mark.is_frozen();
        EntryView {
            vni: share.vni,
            mac: node.mac,
            location: share.owner.at,
            kind: node.mark.kind(),
            origin: share.owner.origin,
            frozen_until: frozen.then(|| self.clock.instant(node.since + nanoseconds(FREEZE))).flatten(),
            last_seen: (node.mark != Mark::Static).then(|| self.clock.instant(node.last_seen)).flatten(),
            mob_seq: node.mob_seq,
            seq: node.seq,
        }
    }

    // ---- helpers: every change of an entry is made of these ----

    /// Puts a node on its lists and into the counts.
    fn attach(&mut self, id: u32, vni: Vni, owner: Owner) {
        let share = self.shares.open(vni, owner);
        self.nodes.get_mut(id).share = share;
        if self.nodes.get(id).mark.is_learned() {
            self.nodes.append(&mut self.shares.get_mut(share).learned, Chain::Share, id);
            self.shares.count_learned(owner.at, 1);
            self.learned += 1;
        } else {
            self.nodes.append(&mut self.shares.get_mut(share).lasting, Chain::Share, id);
        }
        if let Some(network) = self.networks.get_mut(&vni) {
            let due = network.attach(&mut self.nodes, id);
            self.wake_by(due);
        }
    }

    /// The reverse: takes a node off its lists and out of the counts.
    fn detach(&mut self, id: u32) {
        let Node { share: share_id, mark, .. } = *self.nodes.get(id);
        let share = self.shares.get_mut(share_id);
        let (vni, owner) = (share.vni, share.owner);
        if mark.is_learned() {
            self.nodes.unlink(&mut share.learned, Chain::Share, id);
            self.shares.count_learned(owner.at, -1);
            self.learned -= 1;
        } else {
            self.nodes.unlink(&mut share.lasting, Chain::Share, id);
        }
        if let Some(network) = self.networks.get_mut(&vni) {
            network.detach(&mut self.nodes, id);
        }
        self.shares.close_if_empty(share_id);
    }

    /// Numbers a change and shows it to the workers; `was_own`: the address was this node's to publish before.
    fn publish(&mut self, id: u32, was_own: bool) {
        self.seq += 1;
        let node = self.nodes.get_mut(id);
        node.seq = self.seq;
        let share = self.shares.get(node.share);
        let key = Key { vni: share.vni, mac: node.mac };
        let entry = Entry { place: node.share, node: id, mark: node.mark };
        self.shared.put(key, entry, share.owner.at);
        self.shares.recycle();
        self.changes.note(key, was_own, entry.mark.is_own());
    }

    /// Gives an entry another owner, as if there had been no move before.
    fn hand_over(&mut self, id: u32, owner: Owner, mark: Mark, mob_seq: u32, now: u64) {
        let node = self.nodes.get(id);
        let (was_own, vni) = (node.mark.is_own(), self.shares.get(node.share).vni);
        self.detach(id);
        let node = self.nodes.get_mut(id);
        (node.mark, node.mob_seq) = (mark, mob_seq);
        (node.recent_moves, node.since, node.last_seen) = (0, now, now);
        self.attach(id, vni, owner);
        self.publish(id, was_own);
    }

    /// Takes an entry from who has it: the best claim that lost takes over, or else it is gone.
    fn remove(&mut self, id: u32) {
        let node = self.nodes.get(id);
        let was_own = node.mark.is_own();
        let key = Key { vni: self.shares.get(node.share).vni, mac: node.mac };
        if let Some(best) = self.losers.take_best(key) {
            return self.take_over(id, best, self.clock.latest());
        }
        self.detach(id);
        self.nodes.remove(id);
        self.shared.remove(key);
        self.shares.recycle();
        self.changes.note(key, was_own, false);
    }

    /// Removes what owners have in networks; says how many entries. They are looked up again for each: an entry that a
    /// claim takes over may use the number of a share that just became empty.
    fn remove_shares(&mut self, shares: &[(Vni, Owner)], lasting_too: bool) -> usize {
        let mut removed = 0;
        for (vni, owner) in shares {
            while let Some(id) = self.shares.first(*vni, *owner, lasting_too) {
                self.remove(id);
                removed += 1;
            }
        }
        removed
    }

    fn count_move(&mut self, vni: Vni, frozen: bool) {
        self.counters.moved += 1;
        self.counters.frozen += u64::from(frozen);
        if let Some(network) = self.networks.get_mut(&vni) {
            network.moved += 1;
        }
    }

    fn unfreeze(&mut self, id: u32) {
        let now = self.clock.latest();
        let node = self.nodes.get(id);
        let (vni, was) = (self.shares.get(node.share).vni, node.mark);
        let Some(network) = self.networks.get_mut(&vni) else { return };
        network.detach(&mut self.nodes, id);
        let node = self.nodes.get_mut(id);
        node.mark = was.thawed();
        (node.recent_moves, node.since) = (0, now);
        if was.is_learned() {
            node.last_seen = now;
        }
        let due = network.attach(&mut self.nodes, id);
        self.wake_by(due);
        self.renew(id, now);
        self.publish(id, was.is_own());
    }

    /// Makes a learned entry the youngest of its share, and of its network unless it is frozen.
    fn renew(&mut self, id: u32, now: u64) {
        let node = self.nodes.get_mut(id);
        if !node.mark.is_learned() {
            return;
        }
        node.last_seen = now;
        let share = self.shares.get_mut(node.share);
        self.nodes.renew(&mut share.learned, Chain::Share, id);
        if let Some(network) = self.networks.get_mut(&share.vni) {
            network.renew(&mut self.nodes, id);
        }
    }

    fn first_due(&self, vni: Vni, now: u64, list: fn(&Network, &Arena) -> Option<(u32, u64)>) -> Option<u32> {
        let (id, due) = list(self.networks.get(&vni)?, &self.nodes)?;
        (due <= now).then_some(id)
    }

    fn wake_by(&mut self, due: Option<u64>) {
        self.wake = [self.wake, due].into_iter().flatten().min();
    }

    fn find_next_wake(&mut self) {
        let networks = self.networks.values();
        let lists = networks.flat_map(|n| [n.first_to_thaw(&self.nodes), n.first_to_age(&self.nodes)]);
        self.wake = lists.flatten().map(|(_, due)| due).min();
    }
}
