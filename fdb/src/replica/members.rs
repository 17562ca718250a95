//! Who is there: hiding, keeping and forgetting what nodes said.

use std::collections::BTreeSet;
use std::time::Instant;

use twox_hash::XxHash3_128;

use super::octets::MAX_SEQ;
use super::stream::{Change, Stream};
use super::wire::Head;
use super::{Fault, KEEP_DOWN, KEEP_GRAVE, KEEP_OLD_EPOCH, Key, MAX_ORIGINS, Output, Record, Replica};
use crate::gossip::identity::{Epoch, NodeId};

/// What is known of a node.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) stream: Stream,
    /// What it said before its restart, shown while `stream` is not complete, until then.
    pub(super) before: Option<Box<(Stream, Instant)>>,
    /// Since when it is not up; hidden then.
    pub(super) down: Option<Instant>,
    /// Only a replacement of the stream helps.
    pub(super) behind: bool,
    /// Its share of the buckets.
    digest: u128,
}

impl Origin {
    pub(super) fn up(epoch: Epoch) -> Self {
        Self { stream: Stream::new(epoch), before: None, down: None, behind: false, digest: 0 }
    }

    /// Begins the stream of another epoch; what is shown stays so for a while.
    fn begin(&mut self, epoch: Epoch, now: Instant) {
        let before = std::mem::replace(&mut self.stream, Stream::new(epoch));
        self.before.get_or_insert_with(|| Box::new((before, now + KEEP_OLD_EPOCH)));
        self.behind = false;
    }

    /// What is to be seen of it.
    pub(super) fn shown(&self) -> Option<&Stream> {
        let stream = self.before.as_ref().map_or(&self.stream, |before| &before.0);
        self.down.is_none().then_some(stream)
    }

    pub(super) fn len(&self) -> usize {
        self.stream.len() + self.before.as_ref().map_or(0, |before| before.0.len())
    }

    pub(super) fn head(&self, origin: NodeId) -> Head {
        let Stream { epoch, ref cover, max_seen, hash, refused, .. } = self.stream;
        // The low half of the sum; the rest is in the digests above.
        #[allow(clippy::cast_possible_truncation)]
        let hash = hash as u64;
        Head { origin, epoch, have: cover.have(), max: max_seen, hash, refused: refused > 0 }
    }
}

/// The bucket of a node's stream.
pub(super) fn bucket_of(origin: NodeId) -> u8 {
    XxHash3_128::oneshot(&origin.get().to_be_bytes()).to_be_bytes()[0]
}

impl Replica {
    /// Makes exactly these the nodes that are up, with the epochs that are known of them; others go down.
    pub fn set_members(&mut self, members: &[(NodeId, Epoch)], now: Instant) {
        let stay: BTreeSet<NodeId> = members.iter().map(|member| member.0).collect();
        let up = self.peers.iter().map(|peer| peer.0);
        let gone: Vec<NodeId> = up.filter(|peer| !stay.contains(peer)).collect();
        gone.into_iter().for_each(|node| self.member_down(node, now));
        members.iter().for_each(|member| self.member_up(member.0, member.1, now));
    }

    /// A node is up: what it said is shown; what it said before this epoch, only until it is replaced.
    pub fn member_up(&mut self, node: NodeId, epoch: Epoch, now: Instant) {
        if node == self.own {
            return;
        }
        match self.find_peer(node) {
            Ok(at) if self.peers[at].1.is_absurd_after(epoch) => self.peers[at].1 = epoch,
            Ok(at) => self.peers[at].1 = self.peers[at].1.max(epoch),
            Err(_) if self.peers.len() >= MAX_ORIGINS => {
                self.counters.refused += 1;
                return;
            }
            Err(at) => self.peers.insert(at, (node, epoch)),
        }
        // Membership knows that this start lives, whatever was said of its end, and that there was none far beyond it.
        if self.graves.get(&node).is_some_and(|grave| grave.0 <= epoch || grave.0.is_absurd_after(epoch)) {
            self.graves.remove(&node);
        }
        self.check_claims(node, node, epoch, now);
        // There is no stream of a node before something is heard of it.
        if !self.origins.contains_key(&node) {
            return;
        }
        // Where the stream is of a later epoch already, membership is the slower one.
        self.adopt(node, epoch, now);
        let Some(origin) = self.origins.get_mut(&node) else { return };
        if origin.down.take().is_some() {
            let mut changes = Vec::new();
            let shown = origin.before.as_ref().map_or(&origin.stream, |before| &before.0);
            Stream::new(epoch).changes_to(shown, &mut changes);
            self.report(node, changes);
        }
        self.show_if_complete(node, now);
        self.refresh(node);
    }

    /// A node is down: what it said is hidden, and kept for [`KEEP_DOWN`].
    pub fn member_down(&mut self, node: NodeId, now: Instant) {
        self.forget_peer(node);
        let Some(origin) = self.origins.get_mut(&node).filter(|_| node != self.own) else { return };
        let mut changes = Vec::new();
        if let Some(shown) = origin.shown() {
            shown.changes_to(&Stream::new(shown.epoch), &mut changes);
        }
        origin.down.get_or_insert(now);
        if self.config.has(Fault::HidingForgotten) {
            return;
        }
        self.report(node, changes);
        self.refresh(node);
    }

    /// A node left on purpose, or is forgotten by command: what it said is forgotten, and not believed again for
    /// [`KEEP_GRAVE`], unless membership says that this start of it is up.
    pub fn member_leave(&mut self, node: NodeId, now: Instant) {
        let known = self.find_peer(node).map(|at| self.peers[at].1).ok();
        self.member_down(node, now);
        self.bury(node, known, now);
    }

    fn find_peer(&self, node: NodeId) -> Result<usize, usize> {
        self.peers.binary_search_by_key(&node, |peer| peer.0)
    }

    /// Whether a node is up for membership.
    pub(super) fn is_up(&self, node: NodeId) -> bool {
        self.find_peer(node).is_ok()
    }

    /// The epoch of a node that is up, or of this one.
    pub(super) fn epoch_of(&self, node: NodeId) -> Option<Epoch> {
        self.head_of(node).map(|head| head.epoch)
    }

    /// How far the stream of a node that is up is known.
    pub(super) fn head_of(&self, node: NodeId) -> Option<Head> {
        match self.origins.get(&node) {
            Some(origin) => origin.down.is_none().then(|| origin.head(node)),
            None => {
                // It may have forgotten in which start it left: it must hear of that.
                let buried = self.graves.get(&node).map(|grave| grave.0);
                let known = self.find_peer(node).map(|at| self.peers[at].1).ok()?;
                Some(Origin::up(buried.map_or(known, |buried| buried.max(known))).head(node))
            }
        }
    }

    fn forget_peer(&mut self, node: NodeId) {
        if let Ok(at) = self.find_peer(node) {
            self.peers.remove(at);
        }
        self.pulls.retain(|origin, pull| *origin != node && pull.from != node);
        self.jobs.forget(node);
        self.replays.remove(&node);
        self.verdicts.remove(&node);
        self.more_from = self.more_from.filter(|peer| *peer != node);
    }

    /// Forgets a node, but for the start of it that is over.
    fn bury(&mut self, node: NodeId, known: Option<Epoch>, now: Instant) {
        if node == self.own {
            return;
        }
        let heard = self.origins.remove(&node).map(|origin| origin.stream.epoch);
        let buried = self.graves.get(&node).map(|grave| grave.0);
        let Some(epoch) = heard.max(known).max(buried) else { return };
        if self.graves.len() >= MAX_ORIGINS {
            let oldest = self.graves.iter().min_by_key(|grave| grave.1.1).map(|grave| *grave.0);
            oldest.map(|node| self.graves.remove(&node));
        }
        self.graves.insert(node, (epoch, now));
    }

    /// Once a second: what is over by time.
    pub(super) fn keep_house(&mut self, now: Instant) {
        self.cut_tombstones(now);
        self.graves.retain(|_, grave| now.duration_since(grave.1) < KEEP_GRAVE);
        let expired = |origin: &Origin| origin.down.is_some_and(|at| now.duration_since(at) >= KEEP_DOWN);
        let gone: Vec<NodeId> =
            self.origins.iter().filter(|(_, o)| expired(o)).map(|(node, _)| *node).collect();
        gone.into_iter().for_each(|node| self.bury(node, None, now));
        self.call_from_the_grave();
        let waiting: Vec<NodeId> =
            self.origins.iter().filter(|(_, o)| o.before.is_some()).map(|(node, _)| *node).collect();
        waiting.into_iter().for_each(|node| self.show_if_complete(node, now));
    }

    /// Tells nodes that are up in a start before the one that is buried: their state is an older copy, and nobody who has
    /// the grave would believe them.
    fn call_from_the_grave(&mut self) {
        let up = |node: &NodeId| self.is_up(*node) && !self.origins.contains_key(node);
        let up: Vec<_> =
            self.graves.iter().filter(|(node, _)| up(node)).map(|(node, grave)| (*node, grave.0)).collect();
        for (node, epoch) in up {
            let head = Head { origin: node, epoch, have: 0, max: MAX_SEQ, hash: 0, refused: true };
            self.send_heads_of(node, head);
        }
    }

    /// Whether `from` says of another node that it is in an epoch that no count of starts leads to, from what membership or
    /// its stream tell. The node itself is believed: it may have come so far in steps that were not seen here.
    pub(super) fn is_absurd(&mut self, from: NodeId, node: NodeId, epoch: Epoch) -> bool {
        let stream = self.origins.get(&node).map(|origin| origin.stream.epoch);
        let peer = self.find_peer(node).map(|at| self.peers[at].1).ok();
        let absurd = from != node && stream.max(peer).is_some_and(|known| epoch.is_absurd_after(known));
        self.counters.absurd += u64::from(absurd);
        absurd
    }

    /// A node, or membership, says in which epoch it is: if what others said of it is far beyond that, they said what
    /// never was. It is forgotten; else nobody would hear the node any more.
    pub(super) fn check_claims(&mut self, from: NodeId, node: NodeId, epoch: Epoch, now: Instant) {
        let Some(origin) = self.origins.get_mut(&node).filter(|_| from == node && node != self.own) else {
            return;
        };
        if !origin.stream.epoch.is_absurd_after(epoch) {
            return;
        }
        origin.begin(epoch, now);
        self.rumours.retain(|rumour| rumour.origin != node);
        self.refresh(node);
    }

    /// Makes `epoch` the one whose stream is built; false if it is over, or there is no room for the node.
    pub(super) fn adopt(&mut self, node: NodeId, epoch: Epoch, now: Instant) -> bool {
        let grave = self.graves.get(&node).filter(|_| !self.config.has(Fault::GraveIgnored));
        if grave.is_some_and(|grave| epoch <= grave.0) {
            self.counters.stale += 1;
            return false;
        }
        let (known, peer) = (self.origins.len(), self.find_peer(node).map(|at| self.peers[at].1).ok());
        let Some(origin) = self.origins.get_mut(&node) else {
            if peer.is_some_and(|up| epoch < up) {
                self.counters.stale += 1;
                return false;
            }
            if known >= MAX_ORIGINS {
                self.counters.refused += 1;
                return false;
            }
            // Not shown until membership knows it, too.
            let down = peer.is_none().then_some(now);
            self.origins.insert(node, Origin { down, ..Origin::up(epoch) });
            return true;
        };
        let current = origin.stream.epoch;
        if epoch == current {
            return true;
        }
        if epoch < current && !self.config.has(Fault::ArrivalOrder) {
            self.counters.stale += 1;
            return false;
        }
        origin.begin(epoch, now);
        self.rumours.retain(|rumour| rumour.origin != node);
        self.refresh(node);
        true
    }

    /// Shows the stream of the present epoch in place of the one before, if it is time.
    pub(super) fn show_if_complete(&mut self, node: NodeId, now: Instant) {
        let Some(origin) = self.origins.get_mut(&node) else { return };
        let complete = origin.stream.is_complete() && origin.stream.max_seen > 0;
        let Some(before) = origin.before.take_if(|before| complete || now >= before.1) else { return };
        if origin.down.is_none() {
            let mut changes = Vec::new();
            before.0.changes_to(&origin.stream, &mut changes);
            self.report(node, changes);
        }
    }

    pub(super) fn report(&mut self, node: NodeId, changes: Vec<Change>) {
        for Change { key, old, new } in changes {
            let record = |value: Option<Box<[u8]>>| Record::decode(&key, &value?).ok();
            let (Ok(name), old, new) = (Key::decode(&key), record(old), record(new)) else { continue };
            self.outputs.push_back(Output::Changed { origin: node, key: name, old, new });
        }
    }

    /// Brings the digests up to date after a stream changed.
    pub(super) fn refresh(&mut self, node: NodeId) {
        let Some(origin) = self.origins.get_mut(&node) else { return };
        let mut digest = 0;
        // Nothing is the same as no stream at all.
        if origin.down.is_none() && origin.stream.is_known() {
            let Stream { epoch, ref cover, hash, .. } = origin.stream;
            let mut octets = [0; 48];
            octets[..16].copy_from_slice(&node.get().to_be_bytes());
            octets[16..24].copy_from_slice(&epoch.get().to_be_bytes());
            octets[24..32].copy_from_slice(&cover.have().to_be_bytes());
            octets[32..].copy_from_slice(&hash.to_be_bytes());
            digest = XxHash3_128::oneshot(&octets);
        }
        let bucket = &mut self.buckets[usize::from(bucket_of(node))];
        *bucket = bucket.wrapping_sub(origin.digest).wrapping_add(digest);
        origin.digest = digest;
    }
}
