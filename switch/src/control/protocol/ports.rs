//! What is said of networks and ports.

use encap::{MacAddr, Mtu, Vni};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::io::netns::NetnsRef;

/// All networks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Networks {
    /// One each.
    pub entries: Vec<NetworkEntry>,
}

/// One network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkEntry {
    /// Its name.
    pub name: String,
    /// Its VNI.
    pub vni: Vni,
    /// The IP MTU of its ports.
    pub mtu: Mtu,
    /// The names of its ports.
    pub ports: Vec<String>,
    /// The names of its peers.
    pub peers: Vec<String>,
    /// Its entries in the FDB.
    pub macs: u64,
    /// The most it may have.
    pub max_macs: u64,
    /// How long a learned entry is kept without being seen; 0 = for ever.
    pub mac_age_s: u64,
    /// What happens to unicast for unknown destinations: `flood` or `drop`.
    pub unknown_unicast: String,
    /// What happens to frames with a VLAN tag: `drop` or `pass`.
    pub vlan: String,
}

/// All ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// One each.
    pub entries: Vec<PortEntry>,
}

/// One port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortEntry {
    /// Its name.
    pub name: String,
    /// The name of its device.
    pub ifname: String,
    /// The name of its network.
    pub network: String,
    /// The namespace of its device; `null` = the daemon's own.
    pub netns: Option<NetnsRef>,
    /// Its MAC address; `null` = not known before it is up.
    pub mac: Option<MacAddr>,
    /// Its configured addresses.
    pub addresses: Vec<IpNet>,
    /// The IP MTU of its device.
    pub mtu: Mtu,
    /// Whether it works.
    pub state: PortState,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The offloads that the kernel granted.
    pub offloads: Vec<String>,
    /// Whether it was added by the command line and goes when the daemon ends.
    pub runtime: bool,
}

/// Whether a port works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortState {
    /// It works.
    Up,
    /// Its device could not be made, or was deleted by somebody.
    Down,
    /// Its namespace does not exist yet.
    Waiting,
}
