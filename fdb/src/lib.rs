//! Who is where: the forwarding database (FDB) as pure state machines; `now` is an argument.
//!
//! ```text
//!   control ── Table ──writes──> Shared <──find, on a miss── FlowCache ── worker
//!              (one writer)                 (one a worker)
//! ```
//!
//! [`Table`] decides: learning, moves, limits, ageing. [`Shared`] is what it publishes, and [`FlowCache`] keeps answers
//! of it per worker, each valid until something in its bucket changes.
//!
//! [`neighbor`] is which IP address a MAC address has, published the same way.
//!
//! [`gossip`] finds the other nodes, and seals what is said. [`replica`] is what the nodes know of each other: a stream of
//! records from each, the same everywhere. [`sim`] runs many of the latter in virtual time, to test and to size them.
#![forbid(unsafe_code)]

use std::fmt;

use encap::{PortId, VtepAddr};

mod cache;
pub mod gossip;
pub mod neighbor;
mod octets;
pub mod replica;
mod shared;
pub mod sim;
pub mod table;

pub use cache::FlowCache;
pub use shared::{Found, Kind, Shared, Stamp};
pub use table::{
    Claim, ClaimOutcome, ClaimRefusal, Counters, DelOutcome, EntryView, LearnOutcome, Limits, Origin,
    Refusal, StaticError, Table, UnclaimOutcome,
};

/// Where a MAC address lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// Behind a local port.
    Local(PortId),
    /// Behind the VTEP of another host.
    Remote(VtepAddr),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(port) => write!(f, "port {port}"),
            Self::Remote(vtep) => vtep.fmt(f),
        }
    }
}
