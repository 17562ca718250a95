//! Rumours: what is new is told to a few random nodes, a few times; they do the same.

use std::time::{Duration, Instant};

use rand_core::Rng;

use super::wire::{self, MAX_DATAGRAM, Message, Section, room};
use super::{Output, Replica};
use crate::gossip::identity::NodeId;

/// Nodes that are told in each round.
const FANOUT: usize = 3;
/// Rounds of a rumour.
const ROUNDS: u8 = 5;
/// Who hears a rumour so often again stops telling it.
const ENOUGH: u8 = 9;
/// Time between the rounds of a rumour.
const ROUND: Duration = Duration::from_millis(50);
/// Time that a rumour of somebody else waits for others to share a datagram.
const RELAY: Duration = Duration::from_millis(10);
/// Rumours at a time; those beyond are left to the comparison.
const MAX_RUMOURS: usize = 4096;
/// Entries that are pushed, some 8 datagrams; of more is only told that they are there.
pub(super) const MAX_PUSHED: u64 = 200;

/// A range of a stream to be told; an empty one tells how far the stream goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rumour {
    pub(super) origin: NodeId,
    from: u64,
    to: u64,
    rounds: u8,
    heard: u8,
    pub(super) next: Instant,
}

/// Octets that may leave: `rate` a second, and as many at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    rate: u64,
    octets: u64,
    at: Instant,
}

impl Bucket {
    pub(super) const fn new(rate: u64, now: Instant) -> Self {
        Self { rate, octets: rate, at: now }
    }

    pub(super) fn refill(&mut self, now: Instant) {
        let micros = u64::try_from(now.saturating_duration_since(self.at).as_micros()).unwrap_or(u64::MAX);
        let gained = self.rate.saturating_mul(micros) / 1_000_000;
        if gained > 0 {
            self.octets = self.octets.saturating_add(gained).min(self.rate);
            self.at = now;
        }
    }

    pub(super) const fn has(&self, octets: usize) -> bool {
        self.octets >= octets as u64
    }

    pub(super) const fn take(&mut self, octets: usize) {
        self.octets = self.octets.saturating_sub(octets as u64);
    }

    /// When a datagram fits again.
    pub(super) fn ready(&self) -> Instant {
        let missing = (MAX_DATAGRAM as u64).saturating_sub(self.octets);
        self.at + Duration::from_micros(missing.saturating_mul(1_000_000) / self.rate.max(1) + 1)
    }
}

impl Replica {
    /// What this node says has changed: told after `wait`, together with what changes until then.
    pub(super) fn tell(&mut self, wait: Duration, now: Instant) {
        self.refresh(self.own);
        let at = now + wait;
        self.tell_at = Some(self.tell_at.map_or(at, |due| due.min(at)));
    }

    /// Begins a rumour of somebody else.
    pub(super) fn rumour(&mut self, origin: NodeId, from: u64, to: u64, now: Instant) {
        self.add_rumour(origin, from, to, now + RELAY);
    }

    fn add_rumour(&mut self, origin: NodeId, from: u64, to: u64, next: Instant) {
        if self.rumours.len() == MAX_RUMOURS {
            self.rumours.swap_remove(0);
        }
        self.rumours.push(Rumour { origin, from, to, rounds: ROUNDS, heard: 0, next });
    }

    /// A rumour came again: most know it by now.
    pub(super) fn heard_again(&mut self, section: &Section) {
        for rumour in &mut self.rumours {
            let same = rumour.origin == section.origin && section.from <= rumour.from;
            rumour.heard += u8::from(same && rumour.to <= section.to && rumour.heard < ENOUGH);
        }
        self.rumours.retain(|rumour| rumour.heard < ENOUGH);
    }

    /// One round of all rumours that are due.
    pub(super) fn push(&mut self, now: Instant, rng: &mut impl Rng) {
        self.bucket.refill(now);
        if self.tell_at.is_some_and(|at| at <= now) {
            self.tell_at = None;
            let last = self.origins.get(&self.own).map_or(0, |origin| origin.stream.max_seen);
            let first = if last - self.told > MAX_PUSHED { last + 1 } else { self.told + 1 };
            self.add_rumour(self.own, first, last, now);
            self.told = last;
        }
        if !self.rumours.iter().any(|rumour| rumour.next <= now) {
            return;
        }
        if !self.bucket.has(MAX_DATAGRAM * FANOUT) {
            // Postponed, and counted as no round.
            let next = now + ROUND;
            self.rumours.iter_mut().for_each(|rumour| rumour.next = rumour.next.max(next));
            return;
        }
        let mut sections = Vec::new();
        let mut rumours = std::mem::take(&mut self.rumours);
        // Those that are nearly due share the datagrams.
        for rumour in rumours.iter_mut().filter(|rumour| rumour.next <= now + RELAY) {
            rumour.rounds -= 1;
            rumour.next = now + ROUND;
            self.sections_of(*rumour, &mut sections);
        }
        rumours.retain(|rumour| rumour.rounds > 0);
        self.rumours = rumours;
        let messages = wire::pack(sections, room(MAX_DATAGRAM), Section::len);
        let messages: Vec<Vec<u8>> = messages.into_iter().map(|m| Message::Delta(m).encode()).collect();
        for to in self.random_peers(FANOUT, rng) {
            for bytes in &messages {
                self.bucket.take(bytes.len());
                self.send(to, bytes.clone());
            }
        }
    }

    fn sections_of(&self, rumour: Rumour, sections: &mut Vec<Section>) {
        let Rumour { origin, mut from, to, .. } = rumour;
        let Some(stream) = self.origins.get(&origin).map(|origin| &origin.stream) else { return };
        loop {
            let empty = stream.section(origin, from, to);
            if from > to {
                sections.push(Section { to: from - 1, ..empty });
                return;
            }
            let section = empty.fill(stream.range(from, to), room(MAX_DATAGRAM));
            from = section.to + 1;
            sections.push(section);
            if from > to {
                return;
            }
        }
    }

    /// Some nodes that are up, each at most once.
    pub(super) fn random_peers(&self, count: usize, rng: &mut impl Rng) -> Vec<NodeId> {
        let mut chosen: Vec<NodeId> = Vec::with_capacity(count);
        let count = count.min(self.peers.len());
        while chosen.len() < count {
            let at = rng.next_u64() % self.peers.len() as u64;
            let peer = usize::try_from(at).ok().and_then(|at| self.peers.get(at)).map(|peer| peer.0);
            if let Some(peer) = peer.filter(|peer| !chosen.contains(peer)) {
                chosen.push(peer);
            }
        }
        chosen
    }

    pub(super) fn send(&mut self, to: NodeId, bytes: Vec<u8>) {
        self.counters.sent += bytes.len() as u64;
        self.counters.datagrams += 1;
        self.outputs.push_back(Output::Send { to, bytes });
    }
}
