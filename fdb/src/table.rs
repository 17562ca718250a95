//! The write side of the FDB: control owns the one [`Table`], which decides and publishes to [`Shared`].
//!
//! ```text
//!  network (VNI)   to age: oldest .. youngest      to thaw: oldest .. youngest
//!  share (owner in a network: a port or a remote VTEP)
//!                  learned: oldest .. youngest     static
//! ```
//!
//! Every learned entry is on one list of its network and one of its share, so that learning, refreshing, moving,
//! evicting and ageing cost the same however many entries there are.
//!
//! Rules: a full share loses *its own* oldest learned entry, never another's; a static entry never moves; an entry
//! that moves [`MOVES_TO_FREEZE`] times within [`MOVE_WINDOW`] stays where it is for [`FREEZE`]
//! ([RFC 7432 §15.1](https://www.rfc-editor.org/rfc/rfc7432#section-15.1)).
//!
//! Memory: 56 octets a node, and some 40 an entry in the map; a test weighs a million of them.

mod arena;
mod learn;
mod network;
mod outcome;
mod share;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use encap::{MacAddr, Vni};

use self::arena::{Arena, Chain, Node};
use self::network::{Clock, Network, nanoseconds};
pub use self::outcome::{Counters, EntryView, LearnOutcome, Limits, Refusal, StaticError};
use self::share::Shares;
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
    /// Learned entries above a lower `max_macs` are evicted, oldest first. Static ones stay, also above it.
    pub fn set_network(&mut self, vni: Vni, max_macs: usize, mac_age: Duration) {
        let network = self.networks.entry(vni).or_insert_with(Network::new);
        network.max_macs = max_macs;
        network.mac_age = (!mac_age.is_zero()).then(|| nanoseconds(mac_age));
        while let Some(id) = self.networks.get(&vni).and_then(Network::excess) {
            self.counters.evicted += 1;
            self.remove(id);
        }
        self.find_next_wake();
    }

    /// Removes a network and all its entries; says how many.
    pub fn remove_network(&mut self, vni: Vni) -> usize {
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
        let id = match self.shared.entry(key) {
            Some(entry) if entry.mark == Mark::Static && self.shares.get(entry.place).owner == location => {
                return Ok(());
            }
            Some(entry) => {
                self.detach(entry.node);
                self.nodes.get_mut(entry.node).mark = Mark::Static;
                entry.node
            }
            None if network.len() >= network.max_macs || self.len() >= MOST => {
                return Err(StaticError::NetworkFull { vni, max_macs: network.max_macs.min(MOST) });
            }
            None => self.nodes.add(mac, Mark::Static, self.clock.latest()),
        };
        self.attach(id, vni, location);
        self.publish(id);
        Ok(())
    }

    /// Removes the entry of `mac`, static or learned; says whether there was one.
    pub fn del(&mut self, vni: Vni, mac: MacAddr) -> bool {
        let entry = self.shared.entry(Key { vni, mac });
        entry.inspect(|entry| self.remove(entry.node)).is_some()
    }

    /// Forgets what was learned in one network, or in all, and says how many entries that were. Static ones stay.
    pub fn flush(&mut self, vni: Option<Vni>) -> usize {
        self.remove_shares(&self.shares.of_network(vni), false)
    }

    /// Removes what lives at a port or behind a VTEP that is no more, static entries too; says how many.
    pub fn forget(&mut self, location: Location) -> usize {
        self.remove_shares(&self.shares.of_owner(location), true)
    }

    /// Lets a frozen entry move again, and starts its age anew; says whether it was frozen.
    pub fn thaw(&mut self, vni: Vni, mac: MacAddr) -> bool {
        let entry = self.shared.entry(Key { vni, mac });
        let frozen = entry.filter(|entry| entry.mark == Mark::Frozen);
        frozen.inspect(|entry| self.unfreeze(entry.node)).is_some()
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

    /// What happened since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
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
        let frozen = node.mark == Mark::Frozen;
        EntryView {
            vni: share.vni,
            mac: node.mac,
            location: share.owner,
            kind: node.mark.kind(),
            frozen_until: frozen.then(|| self.clock.instant(node.since + nanoseconds(FREEZE))).flatten(),
            last_seen: (node.mark != Mark::Static).then(|| self.clock.instant(node.last_seen)).flatten(),
            moves: node.moves,
            seq: node.seq,
        }
    }

    // ---- helpers: every change of an entry is made of these ----

    /// Puts a node on its lists and into the counts.
    fn attach(&mut self, id: u32, vni: Vni, owner: Location) {
        let share = self.shares.open(vni, owner);
        self.nodes.get_mut(id).share = share;
        let mark = self.nodes.get(id).mark;
        if mark == Mark::Static {
            let list = &mut self.shares.get_mut(share).configured;
            self.nodes.append(list, Chain::Share, id);
        } else {
            self.nodes.append(&mut self.shares.get_mut(share).learned, Chain::Share, id);
            self.shares.count_learned(owner, 1);
            self.learned += 1;
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
        let list = if mark == Mark::Static { &mut share.configured } else { &mut share.learned };
        self.nodes.unlink(list, Chain::Share, id);
        if mark != Mark::Static {
            self.shares.count_learned(owner, -1);
            self.learned -= 1;
        }
        if let Some(network) = self.networks.get_mut(&vni) {
            network.detach(&mut self.nodes, id);
        }
        self.shares.close_if_empty(share_id);
    }

    /// Numbers a change and shows it to the workers.
    fn publish(&mut self, id: u32) {
        self.seq += 1;
        let node = self.nodes.get_mut(id);
        node.seq = self.seq;
        let share = self.shares.get(node.share);
        let key = Key { vni: share.vni, mac: node.mac };
        let entry = Entry { place: node.share, node: id, mark: node.mark };
        self.shared.put(key, entry, share.owner);
        self.shares.recycle();
    }

    fn remove(&mut self, id: u32) {
        let node = self.nodes.get(id);
        let key = Key { vni: self.shares.get(node.share).vni, mac: node.mac };
        self.detach(id);
        self.nodes.remove(id);
        self.shared.remove(key);
        self.shares.recycle();
    }

    fn remove_shares(&mut self, shares: &[u32], configured_too: bool) -> usize {
        let before = self.len();
        for share in shares {
            while let Some(id) = self.shares.get(*share).learned.first() {
                self.remove(id);
            }
            while configured_too && let Some(id) = self.shares.get(*share).configured.first() {
                self.remove(id);
            }
        }
        before - self.len()
    }

    fn unfreeze(&mut self, id: u32) {
        let now = self.clock.latest();
        self.change_mark(id, Mark::Learned, now);
        self.renew(id, now);
        self.publish(id);
    }

    /// Changes between learned and frozen.
    fn change_mark(&mut self, id: u32, mark: Mark, now: u64) {
        let vni = self.shares.get(self.nodes.get(id).share).vni;
        let Some(network) = self.networks.get_mut(&vni) else { return };
        network.detach(&mut self.nodes, id);
        let node = self.nodes.get_mut(id);
        node.mark = mark;
        node.recent_moves = 0;
        node.since = now;
        node.last_seen = now;
        let due = network.attach(&mut self.nodes, id);
        self.wake_by(due);
    }

    /// Makes an entry the youngest of its share, and of its network unless it is static or frozen.
    fn renew(&mut self, id: u32, now: u64) {
        let node = self.nodes.get_mut(id);
        node.last_seen = now;
        let (share, mark) = (node.share, node.mark);
        let share = self.shares.get_mut(share);
        if mark == Mark::Static {
            return;
        }
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
