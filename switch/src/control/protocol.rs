//! What clients and the daemon say to each other: JSON, one request a line, one reply a line.
//!
//! A reply names its `schema`; fields may be added to a schema, but none is renamed, removed or given another meaning
//! without a new number. Ages and durations are whole seconds unless the name says otherwise, sizes are octets.

use std::collections::BTreeMap;
use std::net::IpAddr;

use encap::{MacAddr, Vni};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use self::capture::{Capture, CaptureAt, Capturing};
pub use self::doctor::{Doctor, Fixed, MatrixEntry};
pub use self::gossip::{
    FdbEvent, FdbHistory, FdbHistoryEntry, GossipStatus, KeyEntry, Keys, SecretKey, SecretKeyError,
};
pub use self::heads::{DatagramHead, DropHead, DropHeads};
pub use self::log::{LogLevel, LogLevels, LogSource};
pub use self::map::{Map, MapChanges, MapLink, MapNode, NodeKind, Rate};
pub use self::metrics::{
    Amount, GossipMetrics, GossipTraffic, Histogram, LastReload, Metrics, NetworkMetrics, PeerMetrics,
    PortMetrics, Ready, Tunnels,
};
pub use self::path::{Lost, PathEntry, PathFound, PathProbes, PathState, Paths, Term};
pub use self::peers::{Degraded, PeerAdd, PeerEntry, PeerKind, PeerState, Peers};
pub use self::ports::{NetworkEntry, Networks, PortEntry, PortState, Ports};
pub use self::trace::TraceAsk;
use crate::io::netns::NetnsRef;
use crate::trace::Story;

mod capture;
mod doctor;
mod gossip;
mod heads;
mod log;
mod map;
mod metrics;
mod path;
mod peers;
mod ports;
mod trace;

/// What a client asks for.
///
/// # Examples
///
/// ```
/// use weft::control::protocol::Request;
///
/// let request: Request = serde_json::from_str(r#"{"request":"fdb_show","network":"pods"}"#)?;
/// assert!(!request.is_change());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How the daemon is: [`Status`].
    Status,
    /// All that is measured: [`Metrics`].
    Metrics,
    /// Whether the node is ready for its pods: [`Ready`].
    Ready,
    /// This node, its peers and the links to them: [`Map`].
    Map,
    /// All networks: [`Networks`].
    NetworkList,
    /// All ports: [`Ports`].
    PortList,
    /// Adds a port until the daemon ends.
    PortAdd(PortAdd),
    /// Removes a port and its device.
    PortDel {
        /// The port's name.
        name: String,
    },
    /// All peers: [`Peers`].
    PeerList,
    /// Adds a static peer until the daemon ends.
    PeerAdd(PeerAdd),
    /// Removes a static peer.
    PeerDel {
        /// The peer's address or prefix.
        address: String,
    },
    /// Entries of the FDB: [`Fdb`].
    FdbShow {
        /// Only this MAC address.
        #[serde(default)]
        mac: Option<MacAddr>,
        /// Only this network, by name or VNI.
        #[serde(default)]
        network: Option<String>,
    },
    /// Who lives at one node: [`Fdb`].
    FdbAt {
        /// The node's id on the [`Map`], its name, or the address of a static peer.
        node: String,
        /// Up to so many entries; the rest is only counted.
        limit: u32,
    },
    /// Adds a static entry until the daemon ends.
    FdbAdd {
        /// The MAC address.
        mac: MacAddr,
        /// The network, by name or VNI.
        network: String,
        /// The place it lives at.
        at: FdbTarget,
    },
    /// Removes an entry, static or learned.
    FdbDel {
        /// The MAC address.
        mac: MacAddr,
        /// The network, by name or VNI; may be left out when only one network has the address.
        #[serde(default)]
        network: Option<String>,
    },
    /// Forgets what was learned; static entries stay.
    FdbFlush {
        /// Only this network, by name or VNI.
        #[serde(default)]
        network: Option<String>,
    },
    /// Lets a frozen MAC address move again.
    FdbThaw {
        /// The MAC address.
        mac: MacAddr,
        /// Only in this network, by name or VNI.
        #[serde(default)]
        network: Option<String>,
    },
    /// The paths to peers: [`Paths`].
    PathShow {
        /// Only this peer, by name or address.
        #[serde(default)]
        peer: Option<String>,
    },
    /// Begins to look at what takes time, for [`Request::Doctor`]: [`Done`]. Nothing is changed.
    Examine,
    /// What is wrong, and what mends it: [`Doctor`]. Asked two seconds after [`Request::Examine`].
    Doctor,
    /// Begins to tell the way of a frame: a [`Story`] that other nodes may still be asked for.
    Trace(TraceAsk),
    /// How a [`Story`] goes on; at most ten seconds after it began.
    TraceShow {
        /// Its number.
        id: u32,
    },
    /// Who has which IP address: [`Neigh`].
    NeighShow {
        /// Only this network, by name or VNI.
        #[serde(default)]
        network: Option<String>,
    },
    /// The ledger: [`Drops`].
    Drops,
    /// Begins a capture, which shows what pods say: [`Capturing`], and behind it a stream until the client closes the
    /// connection.
    Capture(Capture),
    /// What was dropped last: [`DropHeads`].
    DropHeads {
        /// The reason, as the ledger names it.
        reason: String,
    },
    /// Reads the configuration file again.
    Reload,
    /// What happened to a MAC address: [`FdbHistory`].
    FdbHistory {
        /// The MAC address.
        mac: MacAddr,
        /// Only in this network, by name or VNI.
        #[serde(default)]
        network: Option<String>,
    },
    /// The keys of gossip: [`Keys`].
    KeyList,
    /// Adds a key, which opens and does not seal.
    KeyInstall {
        /// The key.
        key: SecretKey,
    },
    /// Seals with an installed key from now on.
    KeyUse {
        /// The key's id.
        id: String,
    },
    /// Removes a key.
    KeyRemove {
        /// The key's id.
        id: String,
    },
    /// What is logged: [`LogLevels`].
    LogShow,
    /// Changes what is logged, until the daemon ends.
    LogSet {
        /// A part of weft, or `all`.
        target: String,
        /// A level, or `default`.
        level: String,
    },
    /// Says goodbye to the other nodes; ports and static peers stay.
    Leave,
    /// Forgets a member that is down.
    Forget {
        /// Its name, its id, or what the id of only one begins with.
        node: String,
    },
}

impl Request {
    /// Whether this changes the daemon, which only root and the daemon's own user may do.
    #[must_use]
    pub const fn is_change(&self) -> bool {
        !matches!(
            self,
            Self::Status
                | Self::Metrics
                | Self::Ready
                | Self::Map
                | Self::NetworkList
                | Self::PortList
                | Self::PeerList
                | Self::FdbShow { .. }
                | Self::FdbAt { .. }
                | Self::PathShow { .. }
                | Self::Examine
                | Self::Doctor
                | Self::Trace(_)
                | Self::TraceShow { .. }
                | Self::NeighShow { .. }
                | Self::Drops
                | Self::DropHeads { .. }
                | Self::Capture(_)
                | Self::FdbHistory { .. }
                | Self::KeyList
                | Self::LogShow
        )
    }

    /// Whether the answer has octets of pods in it, which only root and the daemon's own user may see.
    #[must_use]
    pub const fn shows_traffic(&self) -> bool {
        matches!(self, Self::Capture(_) | Self::DropHeads { .. })
    }
}

/// Where a static FDB entry points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FdbTarget {
    /// The name of a local port.
    Port(String),
    /// The address of a static peer.
    Dst(IpAddr),
}

/// A port to add; what is left out gets the defaults of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortAdd {
    /// Its name, unique on this node.
    pub name: String,
    /// Its network, by name or VNI.
    pub network: String,
    /// The name of its device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ifname: Option<String>,
    /// The namespace of its device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<NetnsRef>,
    /// Its MAC address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// Its addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpNet>,
    /// The default gateway of its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "schema")]
pub enum Reply {
    /// How the daemon is.
    #[serde(rename = "weft.status/1")]
    Status(Status),
    /// All that is measured.
    #[serde(rename = "weft.metrics/1")]
    Metrics(Box<Metrics>),
    /// Whether the node is ready.
    #[serde(rename = "weft.ready/1")]
    Ready(Ready),
    /// Nodes and links.
    #[serde(rename = "weft.map/1")]
    Map(Map),
    /// All networks.
    #[serde(rename = "weft.network/1")]
    Networks(Networks),
    /// All ports.
    #[serde(rename = "weft.port/1")]
    Ports(Ports),
    /// All peers.
    #[serde(rename = "weft.peer/1")]
    Peers(Peers),
    /// Entries of the FDB.
    #[serde(rename = "weft.fdb/1")]
    Fdb(Fdb),
    /// The paths to peers.
    #[serde(rename = "weft.path/1")]
    Paths(Paths),
    /// What is wrong.
    #[serde(rename = "weft.doctor/1")]
    Doctor(Doctor),
    /// The way of a frame.
    #[serde(rename = "weft.trace/1")]
    Trace(Box<Story>),
    /// Who has which IP address.
    #[serde(rename = "weft.neigh/1")]
    Neigh(Neigh),
    /// The ledger.
    #[serde(rename = "weft.drops/1")]
    Drops(Drops),
    /// A capture began.
    #[serde(rename = "weft.capture/1")]
    Capturing(Capturing),
    /// What was dropped last.
    #[serde(rename = "weft.drop-heads/1")]
    DropHeads(DropHeads),
    /// A change was made.
    #[serde(rename = "weft.done/1")]
    Done(Done),
    /// The request was not carried out, and nothing changed.
    #[serde(rename = "weft.error/1")]
    Error(ErrorReply),
    /// What happened to a MAC address.
    #[serde(rename = "weft.fdb-history/1")]
    FdbHistory(FdbHistory),
    /// The keys of gossip.
    #[serde(rename = "weft.key-list/1")]
    Keys(Keys),
    /// What is logged.
    #[serde(rename = "weft.log/1")]
    Log(LogLevels),
}

impl Reply {
    /// A change was made; `message` says which.
    #[must_use]
    pub fn done(message: impl Into<String>, changed: usize) -> Self {
        Self::Done(Done { message: message.into(), changed: changed as u64 })
    }
}

/// A change that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// What was done, for a person.
    pub message: String,
    /// How many things changed.
    pub changed: u64,
}

/// A request that was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReply {
    /// The kind of error.
    pub code: ErrorCode,
    /// What happened, to what, why, and what to do next.
    pub message: String,
}

impl ErrorReply {
    /// The request itself is wrong.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: ErrorCode::Usage, message: message.into() }
    }

    /// The request could not be carried out.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self { code: ErrorCode::Failed, message: message.into() }
    }

    /// The client may not ask this.
    #[must_use]
    pub fn denied(message: impl Into<String>) -> Self {
        Self { code: ErrorCode::Denied, message: message.into() }
    }
}

impl From<ErrorReply> for Reply {
    fn from(error: ErrorReply) -> Self {
        Self::Error(error)
    }
}

/// The kind of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request itself is wrong.
    Usage,
    /// The request could not be carried out.
    Failed,
    /// The client may not ask this.
    Denied,
}

/// Whether all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Everything works.
    Ok,
    /// Something does not work, or works more slowly.
    Degraded,
}

/// How the daemon is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The node's name.
    pub node: String,
    /// The daemon's version.
    pub version: String,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Whether all is well.
    pub state: Health,
    /// What is not.
    pub degraded: Vec<DegradedSubject>,
    /// How many workers forward frames.
    pub workers: usize,
    /// The offloads of the underlay sockets, and their state.
    pub offloads: BTreeMap<String, String>,
    /// How many of everything there are.
    pub counts: BTreeMap<String, u64>,
    /// How the work was batched since the start.
    pub batching: BTreeMap<String, u64>,
    /// How gossip is; absent = there is no `[gossip]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gossip: Option<GossipStatus>,
}

/// Something that does not work, or works more slowly, and what it concerns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DegradedSubject {
    /// What is wrong.
    pub cause: String,
    /// Seconds since then.
    pub since_s: u64,
    /// What it concerns, such as `port web` or `peer 10.0.0.9`.
    pub subject: String,
}

/// Entries of the FDB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fdb {
    /// One each, by network and MAC address.
    pub entries: Vec<FdbEntry>,
    /// How many there are besides; absent = none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One entry of the FDB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdbEntry {
    /// The MAC address.
    pub mac: MacAddr,
    /// The VNI of its network.
    pub vni: Vni,
    /// The name of its network.
    pub network: String,
    /// How it came here.
    pub state: FdbState,
    /// The local port it is behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The underlay address of the VTEP it is behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dst: Option<IpAddr>,
    /// The name of the node that made the entry.
    pub owner: String,
    /// The id of the other node that claims the address; absent = it is this node's own entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Raised whenever the entry changes.
    pub seq: u64,
    /// How often the address moved since somebody first saw it, as far as this node heard of it: the mobility sequence
    /// number of [RFC 7432 §7.7](https://www.rfc-editor.org/rfc/rfc7432#section-7.7).
    #[serde(default)]
    pub mob_seq: u32,
    /// Seconds since it was last seen; for a static entry since it was made, for a claimed one since it holds.
    pub age_s: u64,
    /// Seconds until the entry may move again; absent = it is not frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_s: Option<u64>,
}

/// How an FDB entry came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FdbState {
    /// Learned from a local port.
    Local,
    /// Learned from a peer, or claimed by another node.
    Remote,
    /// From the configuration or the command line, of this node or of the one that claims it.
    Static,
}

/// Who has which IP address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neigh {
    /// One each, by network and IP address.
    pub entries: Vec<NeighEntry>,
}

/// The owner of one IP address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighEntry {
    /// The IP address.
    pub ip: IpAddr,
    /// The MAC address that has it.
    pub mac: MacAddr,
    /// The VNI of its network.
    pub vni: Vni,
    /// The name of its network.
    pub network: String,
    /// The local port that it is behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The underlay address of the VTEP that it is behind; absent = not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dst: Option<IpAddr>,
    /// The node that says so; absent = not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Whether it is a router.
    pub router: bool,
    /// Seconds since it was last told, or since its port was given it; absent = not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_s: Option<u64>,
}

/// The ledger: at rest `received + copies = delivered + answered + all drops`, in wire frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drops {
    /// From ports and from the underlay.
    pub received: u64,
    /// To ports and to the underlay.
    pub delivered: u64,
    /// ARP and ND requests answered here.
    pub answered: u64,
    /// Instances added by flooding.
    pub copies: u64,
    /// Every reason with its frames.
    pub drops: BTreeMap<String, DropCount>,
    /// Things that are no drop but worth telling.
    pub notices: BTreeMap<String, u64>,
    /// What the kernel lost before weft saw it: outside the equation.
    pub lost_before: BTreeMap<String, u64>,
    /// `received` and `delivered` by side.
    pub sides: BTreeMap<String, u64>,
}

impl Drops {
    /// All drops, of all reasons and both directions.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.drops.values().map(|d| d.inbound + d.outbound).sum()
    }
}

/// The frames dropped for one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropCount {
    /// From the underlay to a port.
    pub inbound: u64,
    /// From a port.
    pub outbound: u64,
}

#[cfg(test)]
mod tests;
