//! What the owner of an engine wants: say, take back, call, leave, forget, change keys.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use super::Engine;
use crate::gossip::identity::NodeId;
use crate::gossip::members::ForgetError;
use crate::gossip::seal::{Gate, KeyError, KeyId};
use crate::replica::{Key, PutError, Record};

impl Engine {
    /// Says something of this node: [`Replica::put`](crate::replica::Replica::put).
    ///
    /// # Errors
    ///
    /// [`PutError`]; nothing has changed then.
    pub fn put(&mut self, record: &Record, now: Instant) -> Result<(), PutError> {
        self.advance(now);
        self.replica.put(record, now)
    }

    /// Takes back what was said: [`Replica::remove`](crate::replica::Replica::remove).
    pub fn remove(&mut self, key: &Key, now: Instant) {
        self.advance(now);
        self.replica.remove(key, now);
    }

    /// Sets the addresses to call while nobody is up or somebody is down: [`Members::set_seeds`](crate::gossip::members::Members::set_seeds).
    pub fn set_seeds(&mut self, seeds: &[SocketAddr]) {
        self.members.set_seeds(seeds);
    }

    /// Asks whoever is at these addresses for its roster, over a stream: for a start, where gossip is slower.
    pub fn call(&mut self, seeds: &[SocketAddr]) {
        let own = self.members.own().addr();
        for seed in seeds.iter().filter(|seed| **seed != own) {
            self.ask_roster(None, *seed);
        }
    }

    /// Says goodbye: [`Members::leave`](crate::gossip::members::Members::leave).
    pub fn leave(&mut self, now: Instant) {
        self.advance(now);
        self.members.leave(now);
    }

    /// Forgets a member that is down, and what it said.
    ///
    /// # Errors
    ///
    /// [`ForgetError`]; nothing has changed then.
    pub fn forget(&mut self, node: NodeId, now: Instant) -> Result<(), ForgetError> {
        self.advance(now);
        self.members.forget(node)?;
        self.gate.forget(node);
        self.known.remove(&node);
        self.replica.member_leave(node, now);
        Ok(())
    }

    /// Tells again all that a node says, as changes: [`Replica::replay`](crate::replica::Replica::replay).
    pub fn replay(&mut self, node: NodeId) {
        self.replica.replay(node);
    }

    /// Whether the stream to a node takes no more at present: [`Replica::set_blocked`](crate::replica::Replica::set_blocked).
    pub fn set_blocked(&mut self, node: NodeId, blocked: bool) {
        self.replica.set_blocked(node, blocked);
    }

    /// A message for the stream to a node was not sent: [`Replica::stream_failed`](crate::replica::Replica::stream_failed).
    pub fn stream_failed(&mut self, node: NodeId) {
        self.replica.stream_failed(node);
    }

    /// Removes a key: [`Gate::remove_key`], hindered by members that are up.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; nothing has changed then.
    pub fn remove_key(&mut self, id: KeyId) -> Result<(), KeyError> {
        let up: BTreeSet<NodeId> = self.up().map(|view| view.id.node()).collect();
        self.gate.remove_key(id, |node| up.contains(&node))
    }

    /// The seal, to change keys.
    pub fn gate_mut(&mut self) -> &mut Gate {
        &mut self.gate
    }
}
