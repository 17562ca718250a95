//! What simulated nodes say of themselves.

use std::net::Ipv4Addr;

use encap::{Format, MacAddr, Vni};

use crate::gossip::identity::BootId;
use crate::replica::{MacRecord, NodeInfo};

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

/// An address that lives at the node that says it, was learned there and never moved; no IP address is known.
#[must_use]
pub fn mac_record(vni: Vni, mac: MacAddr) -> MacRecord {
    MacRecord { vni, mac, ips: Vec::new(), dst: None, mob_seq: 0, is_static: false, router: false }
}
