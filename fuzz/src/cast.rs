//! Who plays in the targets of gossip: one node that is given the octets, and two others that sent them.

use std::net::SocketAddr;
use std::time::Instant;

use fdb::gossip::identity::{BootId, Epoch, NodeId};
use fdb::gossip::members::MemberId;
use fdb::gossip::seal::{Key, Keyring, Mode, Process};

/// The number of the node that is given the octets.
pub const OWN: u8 = 0;
/// The numbers of those that sent them.
pub const OTHERS: [u8; 2] = [1, 2];
/// The number of one that is no part of it: it asks afterwards whether all is well.
pub const WITNESS: u8 = 3;

/// One run of a node.
#[must_use]
pub fn process(n: u8) -> Process {
    Process { node: NodeId::new(u128::from(n) + 1), boot: BootId::new(u128::from(n) + 1_001) }
}

/// Where its gossip is.
#[must_use]
pub fn address(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n + 1], 6786))
}

/// The first start of a node.
#[must_use]
pub fn member(n: u8) -> MemberId {
    MemberId::new(address(n), process(n).node, Epoch::new(1), process(n).boot)
}

/// All have the same key, or none.
#[must_use]
pub fn mode(insecure: bool) -> Mode {
    if insecure { Mode::Insecure } else { Mode::Sealed(Keyring::new(Key::new([7; 32]))) }
}

/// Some instant to begin with: time passes by the octets only.
#[must_use]
#[allow(clippy::disallowed_methods)] // the only way to get one
pub fn start() -> Instant {
    Instant::now()
}
