//! Gossip of this daemon: a thread of its own with the sockets, and the [`Link`] between it and control.
//!
//! ```text
//!   control ── records, commands ──> Link ──> thread ── fdb::gossip::engine::Engine ── UDP, TCP ── other nodes
//!   control <── changes, events ──── Link <── thread
//! ```
//!
//! What is to be said and what was heard is pure ([`fdb::gossip`]); here are sockets, streams, names and the clock. The
//! thread never waits for control, nor control for it, but for the answer to a command.

mod convergence;
mod dropped;
mod link;
mod seeds;
mod streams;
mod thread;

pub use convergence::ConvergenceView;
pub use dropped::DropCounts;
pub use link::{Command, CommandError, KeyView, Link, MemberStatus, News, Reply, SeedStatus, Status};
pub use thread::{Fatal, Start, start};
