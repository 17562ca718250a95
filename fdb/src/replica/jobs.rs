//! Answers that wait for their turn: by the node that they are for, each node in its turn.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use super::wire::Want;
use crate::gossip::identity::NodeId;

/// Answers that wait at a time; those beyond are asked for again.
const MAX_JOBS: usize = 4096;
/// Those of one node, so that it takes no other's.
const MAX_JOBS_OF_ONE: usize = 1024;

/// How an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By datagrams, as many as may leave.
    Datagrams,
    /// Over a stream, which has a flow control of its own.
    Stream,
}

/// What nodes asked for and do not have yet.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    queues: BTreeMap<NodeId, Queue>,
    /// Whose turn it was.
    last: Option<NodeId>,
}

#[derive(Debug, Default)]
struct Queue {
    datagrams: VecDeque<Want>,
    stream: VecDeque<Want>,
    /// The stream to the node is full.
    blocked: bool,
}

impl Queue {
    fn len(&self) -> usize {
        self.datagrams.len() + self.stream.len()
    }

    fn by(&mut self, way: Way) -> &mut VecDeque<Want> {
        match way {
            Way::Datagrams => &mut self.datagrams,
            Way::Stream => &mut self.stream,
        }
    }

    /// How it can be gone on with.
    fn ready(&self, datagrams: bool) -> Option<Way> {
        if !self.stream.is_empty() && !self.blocked {
            Some(Way::Stream)
        } else {
            (datagrams && !self.datagrams.is_empty()).then_some(Way::Datagrams)
        }
    }
}

impl Jobs {
    /// Takes note of what a node wants; a second question for a stream replaces the first.
    pub(super) fn add(&mut self, to: NodeId, want: Want, way: Way) {
        let all: usize = self.queues.values().map(Queue::len).sum();
        let queue = self.queues.entry(to).or_default();
        queue.datagrams.retain(|job| job.origin != want.origin);
        queue.stream.retain(|job| job.origin != want.origin);
        if all < MAX_JOBS && queue.len() < MAX_JOBS_OF_ONE {
            queue.by(way).push_back(want);
        }
        self.tidy(to);
    }

    /// No queue is kept for nothing.
    fn tidy(&mut self, node: NodeId) {
        if self.queues.get(&node).is_some_and(|queue| queue.len() == 0 && !queue.blocked) {
            self.queues.remove(&node);
        }
    }

    /// Whose turn it is, and how: round and round over those that can be gone on with.
    pub(super) fn next(&mut self, datagrams: bool) -> Option<(NodeId, Way)> {
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let turns = self.queues.range((after, Bound::Unbounded)).chain(&self.queues);
        let next = turns.filter_map(|(node, queue)| Some((*node, queue.ready(datagrams)?))).next();
        self.last = next.map(|next| next.0);
        next
    }

    pub(super) fn front(&mut self, to: NodeId, way: Way) -> Option<&mut Want> {
        self.queues.get_mut(&to)?.by(way).front_mut()
    }

    pub(super) fn pop(&mut self, to: NodeId, way: Way) {
        let Some(queue) = self.queues.get_mut(&to) else { return };
        queue.by(way).pop_front();
        self.tidy(to);
    }

    /// Whether something waits until datagrams may leave.
    pub(super) fn wait_for_datagrams(&self) -> bool {
        self.queues.values().any(|queue| !queue.datagrams.is_empty())
    }

    pub(super) fn set_blocked(&mut self, node: NodeId, blocked: bool) {
        self.queues.entry(node).or_default().blocked = blocked;
        self.tidy(node);
    }

    /// The stream to a node is gone, and what was to go over it.
    pub(super) fn stream_failed(&mut self, node: NodeId) {
        if let Some(queue) = self.queues.get_mut(&node) {
            queue.stream.clear();
        }
        self.set_blocked(node, false);
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        self.queues.remove(&node);
    }
}
