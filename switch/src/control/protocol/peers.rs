//! Peers: what a client sees of them, and one to add.

use std::net::SocketAddr;

use encap::{Format, Mtu};
use serde::{Deserialize, Serialize};

use super::Amount;
use super::gossip::is_false;

/// A static peer to add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerAdd {
    /// Its underlay address; or a prefix, which is heard and never sent to.
    pub address: String,
    /// The networks it is on, by name or VNI.
    pub networks: Vec<String>,
    /// What it is sent; default: `[encap] format`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Its UDP port; default: our own port of that format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// All peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peers {
    /// One each.
    pub entries: Vec<PeerEntry>,
}

/// One peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerEntry {
    /// A member's name; of a static peer its address, as it has no other.
    pub name: String,
    /// Its underlay address or prefix; `-` = a member has not told it yet.
    pub address: String,
    /// Its UDP port.
    pub port: u16,
    /// What it is sent.
    pub format: Format,
    /// How it became a peer.
    pub kind: PeerKind,
    /// Whether it can be reached.
    pub state: PeerState,
    /// The IP MTU of the underlay path; `null` without a route, and for a prefix.
    pub path_mtu: Option<Mtu>,
    /// The IP size that a pod may send through it; `null` as above.
    pub mtu: Option<Mtu>,
    /// The round-trip time of gossip, smoothed; `null` = not measured.
    pub rtt_us: Option<u64>,
    /// What does not work.
    pub degraded: Vec<Degraded>,
    /// The names of the networks it is on.
    pub networks: Vec<String>,
    /// Whether it was added by the command line and goes when the daemon ends.
    pub runtime: bool,
    /// Seconds since it is in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_s: Option<u64>,
    /// Whether a member that is down said goodbye.
    #[serde(default, skip_serializing_if = "is_false")]
    pub left: bool,
    /// A member's id: 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// A member's version of weft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where a member's gossip is heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gossip: Option<SocketAddr>,
    /// What came from it in tunnels, by this name.
    #[serde(default)]
    pub received: Amount,
    /// What was sent to it in tunnels, by this name.
    #[serde(default)]
    pub sent: Amount,
}

/// How a peer became one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerKind {
    /// A weft node, known from gossip.
    Member,
    /// From the configuration or the command line.
    Static,
}

/// Whether a peer can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// A member that answers, or a static peer with a route.
    Up,
    /// A member that did not answer lately.
    Suspect,
    /// No route, or a member that is dead or left.
    Down,
}

/// Something about a peer that does not work, or works more slowly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degraded {
    /// What is wrong.
    pub cause: String,
    /// Seconds since then.
    pub since_s: u64,
}
