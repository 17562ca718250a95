//! What workers tell control and whoever watches paths, over bounded channels: a full channel loses the event and counts
//! it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use encap::neighbor::Binding;
use encap::{Format, MacAddr, PortId, Vni, VtepAddr};
use fdb::gossip::identity::{BootId, NodeId};
use fdb::gossip::seal;

use crate::path::{Outgoing, Path, Received};

/// Where a MAC address was seen.
pub use fdb::Location;

/// What a worker tells control.
#[derive(Debug)]
pub enum WorkerEvent {
    /// A source MAC address that is new, moved, or due for a refresh of its age.
    Learn {
        /// The network.
        vni: Vni,
        /// The source MAC address.
        mac: MacAddr,
        /// Where the frame came from.
        at: Location,
    },
    /// An IP address that a port told by ARP or ND and that is new, moved, or due for a refresh of its age.
    Bind {
        /// The network.
        vni: Vni,
        /// The address, and whose it is.
        told: Binding,
        /// The port.
        port: PortId,
    },
    /// A TAP that is gone: its device or its namespace was deleted.
    PortGone {
        /// The port.
        port: PortId,
        /// What the kernel said.
        error: io::Error,
    },
    /// A datagram that was too big for its path, as somebody on the way says, or the own kernel.
    TooBig {
        /// Whom it was for.
        to: SocketAddr,
        /// The largest IP packet that passes, in octets.
        mtu: u32,
        /// The network that the quoted datagram names, where it is quoted so far.
        vni: Option<Vni>,
    },
    /// What the watch over paths found out of the way to a member.
    Path {
        /// The member.
        node: NodeId,
        /// The run of it that this was found out of.
        boot: BootId,
        /// The path to it.
        path: Path,
    },
    /// A letter of another node.
    Letter(Box<Received>),
    /// A letter to another node that was not sent: the watch over paths had no room for it, or does not know that node.
    NotSent(Box<Outgoing>),
    /// An offload that the kernel refused; the plain path is used from now on, or again the offload.
    Offload {
        /// `udp_segment`, `udp_gro`, ...
        name: &'static str,
        /// The peer it concerns; `None` = all.
        peer: Option<VtepAddr>,
        /// `None` = works again; else what the kernel said.
        refused: Option<io::Error>,
    },
}

/// Octets of what is sealed in a control datagram, at most, where it carries no frame.
pub const MAX_SEALED: usize = 256;
/// And where it does: a message about a path.
pub const MAX_LOADED: usize = seal::OVERHEAD + seal::MAX_PATH_PAYLOAD;

/// A control datagram that came in on a data port.
#[derive(Clone, Debug)]
pub struct ControlDatagram {
    /// The underlay address that sent it.
    pub from: IpAddr,
    /// The encapsulation whose port it came to.
    pub format: Format,
    /// When it was found.
    pub at: Instant,
    /// The octets of the whole datagram.
    pub size: u16,
    len: u16,
    sealed: [u8; MAX_SEALED],
    /// All of it, where it is longer.
    loaded: Box<[u8]>,
}

impl ControlDatagram {
    /// A datagram of `size` octets with this sealed part; `None` where that is longer than any of ours.
    ///
    /// # Cost
    ///
    /// A copy; an allocation too where it is longer than [`MAX_SEALED`], as only letters of `weft trace --live` are.
    #[must_use]
    pub fn new(from: IpAddr, format: Format, at: Instant, size: usize, part: &[u8]) -> Option<Self> {
        let (size, len) = (u16::try_from(size).ok()?, u16::try_from(part.len()).ok()?);
        let mut sealed = [0; MAX_SEALED];
        let loaded = match sealed.get_mut(..part.len()) {
            Some(place) => {
                place.copy_from_slice(part);
                Box::default()
            }
            None if part.len() <= MAX_LOADED => part.into(),
            None => return None,
        };
        Some(Self { from, format, at, size, len, sealed, loaded })
    }

    /// Whether [`ControlDatagram::new`] allocates for a datagram with this sealed part.
    #[must_use]
    pub fn costs_memory(part: &[u8]) -> bool {
        (MAX_SEALED + 1..=MAX_LOADED).contains(&part.len())
    }

    /// The sealed part.
    #[must_use]
    pub fn sealed(&self) -> &[u8] {
        self.sealed.get(..usize::from(self.len)).unwrap_or(&self.loaded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_part_is_kept_whole_up_to_the_longest_of_ours() {
        let new = |part: &[u8]| {
            let from = IpAddr::from([10, 0, 0, 1]);
            ControlDatagram::new(from, Format::Vxlan, crate::clock::now(), 9_400, part)
        };
        for len in [0, 1, MAX_SEALED, MAX_SEALED + 1, MAX_LOADED] {
            let part: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
            assert_eq!(new(&part).expect("one of ours").sealed(), part, "{len} octets");
            assert_eq!(ControlDatagram::costs_memory(&part), len > MAX_SEALED, "{len} octets");
        }
        assert!(new(&[0; MAX_LOADED + 1]).is_none());
    }
}
