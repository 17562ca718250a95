//! What to do about a drop, and at which stage it happens.

use super::story::{Fault, StageName};
use crate::counters::DropReason;

/// Where a port's frame is dropped for a reason.
pub(super) const fn outbound_stage(reason: DropReason) -> StageName {
    use DropReason as R;
    match reason {
        R::MacFrozen => StageName::Observe,
        R::UnknownUnicast | R::BumRate | R::SplitHorizon | R::NoDestination => StageName::Decide,
        R::PeerDown | R::PktTooBig | R::SendError | R::IpTunnelEcn | R::TapFull => StageName::Send,
        _ => StageName::Admit,
    }
}

/// Where a datagram's frame is dropped for a reason.
#[must_use]
pub const fn inbound_stage(reason: DropReason) -> StageName {
    use DropReason as R;
    match reason {
        R::SrcMac | R::ReservedMac | R::Vlan | R::Runt | R::PortSecurity | R::EncapLoop => {
            StageName::CheckEthernet
        }
        R::MacFrozen => StageName::Observe,
        R::SplitHorizon | R::UnknownUnicast | R::TapGone | R::BumRate => StageName::Decide,
        R::RelayRefused | R::PeerDown | R::PktTooBig => StageName::PassOn,
        R::NoDestination | R::IpTunnelEcn | R::TapFull | R::SendError => StageName::Deliver,
        _ => StageName::Open,
    }
}

/// A drop as a fault; `network` is the one of the frame.
pub(super) fn drop_fault(reason: DropReason, node: &str, network: &str) -> Fault {
    let what = format!("dropped, {}: {}", reason.name(), reason.sentence());
    Fault::new(reason.name(), node, what, mend(reason, node, network))
}

/// What to do about it.
fn mend(reason: DropReason, node: &str, network: &str) -> String {
    use DropReason as R;
    match reason {
        R::UnknownVni => {
            format!("add network {network} with the same vni on {node}: [[network]], then weft reload")
        }
        R::UnknownPeer => format!(
            "{node} does not hear this node on network {network}: see `weft peer` there; [[network]] and [[peer]] must be \
             there on both, and no NAT in between without [underlay] advertise"
        ),
        R::UnknownUnicast => format!(
            "nobody on network {network} said that it has this address: let the pod send something, look at \
             `weft fdb history MAC`, or set unknown_unicast = \"flood\""
        ),
        R::NoDestination => {
            format!("add another port to network {network}, or a node or [[peer]] that has it")
        }
        R::SplitHorizon => format!(
            "{node} has the address elsewhere than here: compare `weft fdb show MAC` on both nodes; after a move it is \
             known everywhere within a second"
        ),
        R::BumRate => "raise bum_pps or multicast_pps of the port, or find out what floods".to_owned(),
        R::PortSecurity => {
            "use the MAC and IP address that the port was given, correct mac and addresses of its \
                            [[port]], or set guard = false"
                .to_owned()
        }
        R::MacFrozen => "do two pods use this MAC address, or is there a loop? Give one another, then \
                         `weft fdb thaw MAC`"
            .to_owned(),
        R::Vlan => {
            format!("send without a VLAN tag, or set vlan = \"pass\" for network {network} on all nodes")
        }
        R::SrcMac | R::ReservedMac | R::Runt | R::Truncated => {
            "no switch forwards such a frame: send another".to_owned()
        }
        R::EncapLoop => {
            "a route of the host leads the underlay's own datagrams into the overlay: see `ip route get`"
                .to_owned()
        }
        R::PktTooBig => {
            format!("send smaller packets, or mend the MTU on the way: `weft path show` on {node}")
        }
        R::PeerDown => {
            format!("look at `weft peer` and `weft doctor` on {node}: is the other node up and reached?")
        }
        R::TapGone | R::TapFull => {
            format!("look at `weft port list` on {node}: is the port's device there and up?")
        }
        R::RelayRefused => {
            format!("set relay = true in [path] on {node}, or mend the direct way: `weft doctor`")
        }
        R::Shutdown => format!("{node} is stopping: wait until it is back"),
        _ => format!("look at `weft doctor` on {node}, and compare the versions of the nodes"),
    }
}
