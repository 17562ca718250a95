//! What workers tell control, over a bounded channel: a full channel loses the event and counts it.

use std::io;

use encap::neighbor::Binding;
use encap::{MacAddr, PortId, Vni, VtepAddr};

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
