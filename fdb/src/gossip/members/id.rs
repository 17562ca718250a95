//! The identity that the membership protocol speaks of: a node, its start, and where it is.

use std::fmt;
use std::net::SocketAddr;

use crate::gossip::identity::{BootId, Epoch, NodeId};
use crate::gossip::seal::Process;

/// A member: where its gossip is heard, which node it is, and which start of it.
///
/// `generation` rises when the member finds that it was called down; nothing but membership looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId {
    pub(super) addr: SocketAddr,
    pub(super) node: NodeId,
    pub(super) epoch: Epoch,
    pub(super) boot: BootId,
    pub(super) generation: u32,
}

impl MemberId {
    /// The first generation of a start. Of an IPv6 address, flow label and scope are dropped: they mean something on one
    /// host only.
    #[must_use]
    pub const fn new(addr: SocketAddr, node: NodeId, epoch: Epoch, boot: BootId) -> Self {
        Self { addr: SocketAddr::new(addr.ip(), addr.port()), node, epoch, boot, generation: 0 }
    }

    /// The address of its gossip.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Which node.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// How often the node had started.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Which start.
    #[must_use]
    pub const fn boot(&self) -> BootId {
        self.boot
    }

    /// How often it came back after being called down, within this start.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// Which process: what a seal names.
    #[must_use]
    pub const fn process(&self) -> Process {
        Process { node: self.node, boot: self.boot }
    }

    /// Whoever is at an address: the target of a first announcement, which knows no more.
    pub(super) const fn whoever(addr: SocketAddr) -> Self {
        Self::new(addr, NodeId::new(0), Epoch::new(0), BootId::new(0))
    }

    /// Whether both are the same start of the same node.
    pub(super) fn same_start(&self, other: &Self) -> bool {
        (self.node, self.boot) == (other.node, other.boot)
    }

    /// Whether this one is kept when both claim an address or a node id: the larger (epoch, generation). Equal ones are
    /// decided by the rest, so that all nodes decide alike.
    pub(super) fn beats(&self, other: &Self) -> bool {
        let rank = |id: &Self| (id.epoch, id.generation, id.boot, id.node, id.addr);
        rank(self) > rank(other)
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} (epoch {}, boot {})", self.node, self.addr, self.epoch, self.boot)
    }
}

impl foca::Identity for MemberId {
    type Addr = SocketAddr;

    fn renew(&self) -> Option<Self> {
        Some(Self { generation: self.generation.checked_add(1)?, ..*self })
    }

    fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.beats(adversary)
    }
}
