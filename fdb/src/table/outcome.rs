//! What goes into a table and what comes out of it.

use std::time::Instant;

use encap::{MacAddr, Vni};

use crate::{Kind, Location};

/// How many learned entries one owner may have, and all together; a network has its own limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of one local port.
    pub port: usize,
    /// Of one remote VTEP, in all networks together.
    pub static_peer: usize,
    /// Of the node, in all networks together.
    pub node: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { port: 64, static_peer: 1_024, node: 262_144 }
    }
}

impl Limits {
    /// The limit of one owner.
    pub(super) fn of(&self, owner: Location) -> usize {
        match owner {
            Location::Local(_) => self.port,
            Location::Remote(_) => self.static_peer,
        }
    }
}

/// What became of a source address that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LearnOutcome {
    /// It was not known; now it is.
    Learned,
    /// It is where it was known to be.
    Refreshed,
    /// It was known elsewhere.
    Moved {
        /// Where it was before.
        from: Location,
        /// Whether this move was one too many: from now on it stays where it is.
        frozen: bool,
    },
    /// It was seen elsewhere, but moved too often; it stays where it was.
    Frozen,
    /// It was not learned.
    Refused(Refusal),
}

/// Why an address was not learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Zero, or a group: not the address of one host.
    #[error("the address is zero or a group and cannot be a source")]
    NotUnicast,
    /// Nobody set this network, or it was removed meanwhile.
    #[error("this node does not have the network")]
    UnknownNetwork,
    /// It is configured elsewhere, and what is configured never moves.
    #[error("the address is configured at another place")]
    Static,
    /// The limit of the port or VTEP is zero.
    #[error("nothing may be learned from this place")]
    ShareFull,
    /// The network is full, and the learner has nothing in it to give up.
    #[error("the network is full (max_macs)")]
    NetworkFull,
    /// The node is full, and the learner has nothing to give up.
    #[error("the node is full")]
    NodeFull,
}

/// Why an address was not configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StaticError {
    /// Zero, or a group: not the address of one host.
    #[error("{mac} is zero or a group, not the address of one host: give a unicast address")]
    NotUnicast {
        /// The address.
        mac: MacAddr,
    },
    /// The network was not set.
    #[error("this node has no network with VNI {vni}: add the network first")]
    UnknownNetwork {
        /// The network.
        vni: Vni,
    },
    /// The network has as many entries as it may.
    #[error("the network with VNI {vni} is full ({max_macs} entries): raise its max_macs or remove entries")]
    NetworkFull {
        /// The network.
        vni: Vni,
        /// Its limit.
        max_macs: usize,
    },
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Addresses that became known.
    pub learned: u64,
    /// Entries that were seen again where they are.
    pub refreshed: u64,
    /// Moves of learned entries.
    pub moved: u64,
    /// Entries that were not seen for too long.
    pub expired: u64,
    /// Entries that gave way at a limit.
    pub evicted: u64,
    /// Addresses that were not learned, or not where they were seen because they are frozen elsewhere.
    pub refused: u64,
    /// Entries that moved too often.
    pub frozen: u64,
}

/// One entry, for people and for those who replicate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryView {
    /// The network.
    pub vni: Vni,
    /// The address.
    pub mac: MacAddr,
    /// Where it lives.
    pub location: Location,
    /// Configured or learned.
    pub kind: Kind,
    /// When it may move again; `None` = now.
    pub frozen_until: Option<Instant>,
    /// When it was last seen, or thawed; `None` for a static entry.
    pub last_seen: Option<Instant>,
    /// How often it moved since it was learned.
    pub moves: u32,
    /// The number of its last change: a later change in the table has a higher one. Being seen again is no change.
    pub seq: u64,
}
