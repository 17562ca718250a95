//! Paths: what a client sees of the ways to other hosts.

use encap::{Format, Mtu};
use serde::{Deserialize, Serialize};

use super::{Degraded, PeerKind};

/// The paths to all peers, or to one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths {
    /// One each.
    pub entries: Vec<PathEntry>,
}

/// The path to one peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathEntry {
    /// The peer's name.
    pub name: String,
    /// Its underlay address.
    pub address: String,
    /// What it is sent.
    pub format: Format,
    /// To which UDP port.
    pub port: u16,
    /// How it became a peer.
    pub kind: PeerKind,
    /// How the path is.
    pub state: PathState,
    /// Seconds since it is in this state.
    pub since_s: u64,
    /// The MTU of the link that leads there; `null` = no route.
    pub link_mtu: Option<Mtu>,
    /// The IP MTU of the path; `null` as above.
    pub path_mtu: Option<Mtu>,
    /// How that is known.
    pub found: PathFound,
    /// What the tunnel adds to a pod's IP packet: `path_mtu` less all of them is `mtu`.
    pub terms: Vec<Term>,
    /// The IP size that a pod may send through it; `null` = not even 68 octets.
    pub mtu: Option<Mtu>,
    /// The node that frames go through, while there is no direct way.
    pub via: Option<String>,
    /// What probes told; `null` = nothing is probed, or nothing was answered yet.
    pub probes: Option<PathProbes>,
    /// What is wrong.
    pub degraded: Vec<Degraded>,
}

/// How a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathState {
    /// Frames get there as they should.
    Up,
    /// Frames get there, or may; something is wrong.
    Degraded,
    /// Nothing gets there.
    Down,
}

/// How the MTU of a path is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathFound {
    /// It is the link's: nothing is probed, or nothing of this size was answered yet.
    Link,
    /// Probes of this size are answered.
    Probe,
    /// Larger ones vanish.
    BlackHole,
    /// The underlay, or the own kernel, said so.
    Reported,
}

/// One part of what the tunnel adds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// What it is, such as `IPv4`.
    pub what: String,
    /// Its octets.
    pub octets: u16,
}

/// What probes told of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathProbes {
    /// Probes sent.
    pub sent: u64,
    /// Probes answered.
    pub answered: u64,
    /// The smoothed round trip in microseconds.
    pub rtt_us: u64,
    /// Half of the round trips take no longer.
    pub rtt_p50_us: u64,
    /// And of 100, 99.
    pub rtt_p99_us: u64,
    /// Of what was sent there of late, lost.
    pub lost_there: Lost,
    /// Of what was sent back of late, lost.
    pub lost_back: Lost,
    /// Of what came of late, overtaken on the way.
    pub overtaken: Lost,
    /// The UDP ports of this node that do not lead there: frames take others.
    pub dead_source_ports: Vec<u16>,
    /// By how many milliseconds the peer's clock is ahead of ours.
    pub clock_ahead_ms: i64,
}

/// Some of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// How many.
    pub count: u64,
    /// Of how many.
    pub of: u64,
}
