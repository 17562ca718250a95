//! What is decided about a frame.

use encap::PortId;

use crate::counters::DropReason;
use crate::topology::PeerIndex;

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To one local port.
    Local(PortId),
    /// To one peer.
    Remote(PeerIndex),
    /// To every port and peer of the network, but not back to where it came from.
    Flood,
    /// To the static peers of the network only: of who lives elsewhere, gossip would tell.
    Strangers,
    /// Nowhere.
    Drop(DropReason),
}

impl From<encap::DecodeError> for DropReason {
    fn from(error: encap::DecodeError) -> Self {
        use encap::DecodeError as E;
        match error {
            E::Truncated { .. } => Self::Truncated,
            E::Runt { .. } => Self::Runt,
            E::VxlanNoVni { .. } => Self::VxlanNoVni,
            E::VxlanReserved { .. } => Self::VxlanReserved,
            E::GeneveVersion { .. } => Self::GeneveVersion,
            E::GeneveControl => Self::GeneveControl,
            E::GeneveProtocol { .. } => Self::GeneveProtocol,
            E::GeneveOptions { .. } => Self::GeneveOptions,
            E::GeneveCritical { .. } => Self::GeneveCritical,
        }
    }
}
