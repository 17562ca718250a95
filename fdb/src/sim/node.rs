//! What simulated nodes say of themselves.

use std::net::Ipv4Addr;

use encap::Format;

use crate::gossip::identity::BootId;
use crate::replica::NodeInfo;

/// A node with VTEPs at the usual ports of an address.
#[must_use]
pub fn node_info(v4: Ipv4Addr, name: &str, boot: BootId) -> NodeInfo {
    NodeInfo {
        v4: Some(v4),
        v6: None,
        vxlan_port: 4789,
        geneve_port: 6081,
        format: Format::Vxlan,
        name: name.to_owned(),
        version: "1".to_owned(),
        boot,
    }
}
