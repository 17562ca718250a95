//! What goes into a table and what comes out of it.

use std::cmp::Reverse;
use std::time::Instant;

use encap::{MacAddr, Vni, VtepAddr};

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
    /// It is configured elsewhere, here or at another node, and what is configured never moves.
    #[error("the address is configured at another place")]
    Static,
    /// Another node claims it, and only a frame at a local port speaks against that.
    #[error("another node claims the address, and it was not seen at a local port")]
    Claimed,
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

/// Another node: a number that control gives it, which means nothing elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(u32);

impl Origin {
    /// The origin of this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// What another node says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who says it.
    pub origin: Origin,
    /// Where the address lives: at its own VTEP, or at a static one that it shares.
    pub at: VtepAddr,
    /// The mobility sequence number of [RFC 7432 §7.7](https://www.rfc-editor.org/rfc/rfc7432#section-7.7): 0 where the
    /// address was first seen.
    pub mob_seq: u32,
    /// It is configured there.
    pub is_static: bool,
}

impl Claim {
    /// Whether this one is to be believed of two that different nodes make: the configured one, then the one that moved
    /// later, then the lowest VTEP, so that all nodes believe the same.
    #[must_use]
    pub fn beats(&self, other: &Self) -> bool {
        self.rank() > other.rank()
    }

    fn rank(&self) -> (bool, u32, Reverse<VtepAddr>, Reverse<Origin>) {
        let mob_seq = if self.is_static { 0 } else { self.mob_seq };
        (self.is_static, mob_seq, Reverse(self.at), Reverse(self.origin))
    }
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The address was not known; now it is.
    Added,
    /// It is where it was known to be.
    Refreshed,
    /// It was known elsewhere.
    Moved {
        /// Where it was before.
        from: Location,
        /// Whether this move was one too many: from now on no frame moves it. To be told with both places.
        frozen: bool,
    },
    /// It lives elsewhere by something better. The claim is kept and takes over when that goes.
    Lost {
        /// Where it lives.
        to: Location,
    },
    /// It is configured here and at the origin, at two places; here it stays where this node has it.
    Duplicate {
        /// Where it is configured here.
        here: Location,
        /// Where it is configured there.
        there: VtepAddr,
    },
    /// The claim was not taken, and nothing of it is kept.
    Refused(ClaimRefusal),
}

/// Why a claim was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefusal {
    /// Zero, or a group: not the address of one host.
    #[error("the address is zero or a group and cannot be of one host: the origin is at fault")]
    NotUnicast,
    /// This node does not have the network, so the claim is of no use.
    #[error("this node does not have the network: claim again when it does")]
    UnknownNetwork,
    /// It says that the address lives here, and here it is known better.
    #[error("the claim names this node's own VTEP: remove this node from the origin's static peers")]
    OwnVtep,
    /// The network has as many entries as it may.
    #[error("the network is full (max_macs): raise its max_macs, and claim again")]
    NetworkFull,
    /// Too many claims lost to better ones.
    #[error(
        "the claim lost, and as many are kept already as may be: look for nodes that use the same addresses"
    )]
    TooManyLost,
}

/// What became of an address that an origin claims no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnclaimOutcome {
    /// The origin had no claim.
    Unknown,
    /// It had one that lost, or that was at the place where the address lives still.
    Unchanged,
    /// The next best claim took over.
    TakenOver {
        /// Where the address was.
        from: Location,
        /// Where it is now.
        to: Location,
    },
    /// Nobody knows any more where it is.
    Gone {
        /// Where it was.
        from: Location,
    },
}

/// What became of an entry that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelOutcome {
    /// There was none.
    Unknown,
    /// It is removed; the best claim of other nodes took over, if there is one.
    Removed,
    /// It stays: another node claims it, and only that can take it back.
    Claimed {
        /// Who claims it.
        origin: Origin,
    },
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
    /// Moves of entries, because they were seen elsewhere or claimed there.
    pub moved: u64,
    /// Entries that were not seen for too long.
    pub expired: u64,
    /// Entries that gave way at a limit.
    pub evicted: u64,
    /// Addresses that were not learned, or not where they were seen because they are frozen elsewhere.
    pub refused: u64,
    /// Entries that moved too often.
    pub frozen: u64,
    /// Addresses that became known by a claim.
    pub claimed: u64,
    /// Claims that were not taken, or not kept after they lost.
    pub claims_refused: u64,
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
    /// Configured, learned, or claimed by another node.
    pub kind: Kind,
    /// The node that claims it; `None`: it is this node's own, to be published.
    pub origin: Option<Origin>,
    /// When a frame may move it again; `None` = now.
    pub frozen_until: Option<Instant>,
    /// When it was last seen, or thawed; of a claim, when that came to hold it; `None` for what is configured here.
    pub last_seen: Option<Instant>,
    /// The mobility sequence number of [RFC 7432 §7.7](https://www.rfc-editor.org/rfc/rfc7432#section-7.7): how often it
    /// moved since somebody first saw it, as far as this node heard of it.
    pub mob_seq: u32,
    /// The number of its last change: a later change in the table has a higher one. Being seen again is no change.
    pub seq: u64,
}
