//! What a client asks of the way of a frame; the answer is a [`Story`](crate::trace::Story).

use std::net::IpAddr;

use encap::MacAddr;
use serde::{Deserialize, Serialize};

use crate::trace::frame::Protocol;

/// A frame whose way is to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceAsk {
    /// The local port that sends it.
    pub from: String,
    /// For whom: the name of a port here or at another node, `NODE/PORT`, an IP address or a MAC address.
    pub to: String,
    /// What it carries.
    pub protocol: Protocol,
    /// Octets of its IP packet; absent = what a full one of the port has for TCP, else 84.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u16>,
    /// Whether it is really sent, marked: by the way of frames and in a packet as large, for nobody but the nodes on it.
    #[serde(default)]
    pub live: bool,
    /// Its source MAC address; absent = that of the port's device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_mac: Option<MacAddr>,
    /// Its source IP address; absent = one of the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<IpAddr>,
    /// Its VLAN tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
}
