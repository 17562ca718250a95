//! The comparison of each second: what pushing missed is found and asked for.
//!
//! ```text
//!  A ── root ──────────────> B    equal: the answer is the root, and that is all
//!  A <── heads, or buckets ─ B    up to 60 streams: heads at once
//!  A ── heads of buckets ──> B    both ask for what they lack, and name what the other lacks
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand_core::Rng;

use super::members::bucket_of;
use super::push::MAX_PUSHED;
use super::wire::{
    self, BUCKETS_PER_MESSAGE, Buckets, HEADS_PER_MESSAGE, Head, Heads, MAX_DATAGRAM, MAX_PULL_RANGES,
    Message, Want, room,
};
use super::{Fault, MAX_ORIGINS, Replica};
use crate::gossip::identity::NodeId;

/// So many streams are compared one by one.
const FEW: usize = 60;
/// Messages of heads at a time.
const MAX_HEAD_MESSAGES: usize = 8;
/// Time until what was asked for is asked for again.
const RETRY: Duration = Duration::from_millis(500);
/// Times that one node is asked; then the next comparison decides.
const TRIES: u8 = 3;

/// What is to be asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pull {
    pub(super) from: NodeId,
    pub(super) at: Instant,
    tries: u8,
}

impl Replica {
    /// Begins a comparison with a random node.
    pub(super) fn compare(&mut self, rng: &mut impl Rng) {
        if self.config.has(Fault::PushOnly) {
            return;
        }
        if let [to] = self.random_peers(1, rng)[..] {
            self.send_root(to, false);
        }
    }

    fn send_root(&mut self, to: NodeId, answer: bool) {
        let bytes = Message::Root { answer, root: self.root() }.encode();
        self.send(to, bytes);
    }

    pub(super) fn handle_root(&mut self, from: NodeId, answer: bool, root: u128, rng: &mut impl Rng) {
        let equal = root == self.root();
        if self.is_up(from) {
            self.verdicts.insert(from, equal);
        }
        if answer {
            return;
        }
        if equal {
            self.send_root(from, true);
        } else if self.origins.len() <= FEW {
            self.send_heads(from, true, Buckets::ALL, rng);
        } else {
            let digests = self.short_digests();
            for (first, part) in [0, 128].into_iter().zip(digests.chunks(BUCKETS_PER_MESSAGE)) {
                let bytes = Message::Buckets { first, digests: part.to_vec() }.encode();
                self.send(from, bytes);
            }
        }
    }

    /// The digests of the buckets, the high half of each.
    #[allow(clippy::cast_possible_truncation)] // shifted
    fn short_digests(&self) -> Vec<u64> {
        self.buckets.iter().map(|digest| (digest >> 64) as u64).collect()
    }

    pub(super) fn handle_buckets(&mut self, from: NodeId, first: u8, digests: &[u64], rng: &mut impl Rng) {
        let mut differ = Buckets([0; 32]);
        let own = self.short_digests();
        for (bucket, digest) in (first..=u8::MAX).zip(digests) {
            if own.get(usize::from(bucket)) != Some(digest) {
                differ.insert(bucket);
            }
        }
        if differ.0 != [0; 32] {
            if self.is_up(from) {
                self.verdicts.insert(from, false);
            }
            self.send_heads(from, true, differ, rng);
        }
    }

    /// Sends the heads of the streams within the buckets. If there are too many, a random part, so that each has its
    /// turn even if some never agree.
    fn send_heads(&mut self, to: NodeId, ask: bool, buckets: Buckets, rng: &mut impl Rng) {
        let up = self
            .origins
            .iter()
            .filter(|(node, origin)| origin.down.is_none() && buckets.contains(bucket_of(**node)));
        let mut heads: Vec<Head> = up.map(|(node, origin)| origin.head(*node)).collect();
        let most = HEADS_PER_MESSAGE * MAX_HEAD_MESSAGES;
        let more = heads.len() > most;
        let (mut first, mut last) = (NodeId::new(0), NodeId::new(u128::MAX));
        if more {
            let at = usize::try_from(rng.next_u64() % (heads.len() as u64)).unwrap_or(0);
            let at = at.min(heads.len() - most);
            heads = heads[at..at + most].to_vec();
            (first, last) = (heads[0].origin, heads[most - 1].origin);
        }
        self.send_head_messages(to, &Heads { ask, more, first, last, buckets, heads });
    }

    /// Tells a node of one head and asks nothing.
    pub(super) fn send_heads_of(&mut self, to: NodeId, head: Head) {
        let (first, last) = (head.origin, head.origin);
        let heads = Heads { ask: false, more: false, first, last, buckets: Buckets::ALL, heads: vec![head] };
        self.send_head_messages(to, &heads);
    }

    /// Splits heads into datagrams, each with its part of the range.
    fn send_head_messages(&mut self, to: NodeId, all: &Heads) {
        let mut first = all.first;
        let chunks: Vec<&[Head]> = all.heads.chunks(HEADS_PER_MESSAGE).collect();
        let count = chunks.len().max(1);
        for at in 0..count {
            let heads = chunks.get(at).map(|chunk| chunk.to_vec()).unwrap_or_default();
            let ends = heads.last().map_or(all.last, |head| head.origin);
            let last = if at + 1 == count { all.last } else { ends };
            let bytes = Message::Heads(Heads { first, last, heads, ..all.clone() }).encode();
            self.send(to, bytes);
            first = NodeId::new(last.get().saturating_add(1));
        }
    }

    pub(super) fn handle_heads(&mut self, from: NodeId, theirs: &Heads, now: Instant, rng: &mut impl Rng) {
        let mut ahead: Vec<Head> = Vec::new();
        for head in &theirs.heads {
            if self.compare_head(from, head, now) {
                ahead.extend(self.head_of(head.origin));
            }
        }
        if theirs.more {
            self.more_from = Some(from);
        }
        if !theirs.ask || theirs.first > theirs.last {
            return;
        }
        let listed = |node: &NodeId| theirs.heads.iter().any(|head| head.origin == *node);
        let lacking = self.origins.range(theirs.first..=theirs.last).filter(|(node, origin)| {
            origin.down.is_none() && theirs.buckets.contains(bucket_of(**node)) && !listed(node)
        });
        ahead.extend(lacking.map(|(node, origin)| origin.head(*node)));
        let most = HEADS_PER_MESSAGE * MAX_HEAD_MESSAGES;
        let more = ahead.len() > most;
        if more {
            let by = usize::try_from(rng.next_u64() % (ahead.len() as u64)).unwrap_or(0);
            ahead.rotate_left(by);
            ahead.truncate(most);
        }
        if !ahead.is_empty() {
            let Heads { first, last, buckets, .. } = *theirs;
            self.send_head_messages(from, &Heads { ask: false, more, first, last, buckets, heads: ahead });
        }
    }

    /// Asks for what `from` has more of a stream; true if this node has more, or other things.
    pub(super) fn compare_head(&mut self, from: NodeId, head: &Head, now: Instant) -> bool {
        let node = head.origin;
        if node == self.own {
            self.hear_of_self(head.epoch, head.max);
        }
        self.check_claims(from, node, head.epoch, now);
        let Some(epoch) = self.epoch_of(node) else { return false };
        if (head.epoch < epoch && !self.config.has(Fault::ArrivalOrder))
            || self.is_absurd(from, node, head.epoch)
        {
            return true;
        }
        if node == self.own || !self.adopt(node, head.epoch, now) {
            return node == self.own;
        }
        if head.epoch > epoch {
            self.tell_of_itself(node);
        }
        let Some(origin) = self.origins.get_mut(&node) else { return false };
        let stream = &mut origin.stream;
        stream.max_seen = stream.max_seen.max(head.max);
        let have = stream.cover.have();
        let complete = head.have == head.max && stream.is_complete() && head.have == have;
        let mine = origin.head(node);
        if complete && mine.hash != head.hash && !mine.refused && !head.refused {
            self.counters.diverged += 1;
            if let Some(origin) = self.origins.get_mut(&node) {
                origin.behind = true;
            }
            self.want(node, node, now);
            return true;
        }
        if mine.have < head.have || (mine.have < mine.max && mine.have == head.have) {
            self.want(node, from, now);
        }
        mine.have > head.have
    }

    /// Lets a node know how far its own stream is known here: it may have forgotten.
    pub(super) fn tell_of_itself(&mut self, node: NodeId) {
        if let Some(head) = self.head_of(node).filter(|_| self.is_up(node)) {
            self.send_heads_of(node, head);
        }
    }

    /// Asks `from` for what is missing of a stream, at a time; what is asked for already is not asked twice.
    pub(super) fn want(&mut self, origin: NodeId, from: NodeId, at: Instant) {
        if self.pulls.len() < MAX_ORIGINS && self.is_up(from) {
            let pull = self.pulls.entry(origin).or_insert(Pull { from, at, tries: 0 });
            pull.at = pull.at.min(at.max(pull.at - RETRY));
        }
    }

    /// Something came: what is still missing is on its way.
    pub(super) fn delay_pull(&mut self, origin: NodeId, now: Instant) {
        if let Some(pull) = self.pulls.get_mut(&origin).filter(|pull| pull.tries > 0) {
            pull.at = pull.at.max(now + RETRY / 2);
            pull.tries = 1;
        }
    }

    /// Sends what is due to be asked for, to each node in as few datagrams as hold it.
    pub(super) fn pull(&mut self, now: Instant) {
        let due: Vec<NodeId> =
            self.pulls.iter().filter(|(_, p)| p.at <= now).map(|(node, _)| *node).collect();
        let mut wants: BTreeMap<NodeId, Vec<Want>> = BTreeMap::new();
        for node in due {
            let want = self.wanted(node);
            let Some(pull) = self.pulls.get_mut(&node) else { continue };
            match want {
                Some(want) if pull.tries < TRIES => {
                    pull.tries += 1;
                    pull.at = now + RETRY;
                    wants.entry(pull.from).or_default().push(want);
                }
                missing => {
                    self.pulls.remove(&node);
                    // If it never said so much, it goes on in another epoch, and nobody waits for what does not exist.
                    if missing.is_some() {
                        self.tell_of_itself(node);
                    }
                }
            }
        }
        for (to, wants) in wants {
            for wants in wire::pack(wants, room(MAX_DATAGRAM), Want::len) {
                let bytes = Message::Pull(wants).encode();
                self.send(to, bytes);
            }
        }
        if self.pulls.is_empty()
            && let Some(peer) = self.more_from.take()
        {
            self.send_root(peer, false);
        }
    }

    fn wanted(&self, node: NodeId) -> Option<Want> {
        let origin = self.origins.get(&node)?;
        let stream = &origin.stream;
        let replace = origin.behind;
        let ranges = if replace {
            vec![(1, stream.max_seen.max(1))]
        } else {
            stream.cover.missing(stream.max_seen, MAX_PULL_RANGES)
        };
        (!ranges.is_empty()).then_some(Want { origin: node, epoch: stream.epoch, replace, ranges })
    }

    /// Entries from which on an answer goes over a stream.
    pub(super) const fn is_large(entries: usize) -> bool {
        entries as u64 > MAX_PUSHED
    }
}
