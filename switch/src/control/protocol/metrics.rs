//! What is measured, in numbers, and whether the node is ready.

use std::collections::BTreeMap;

use encap::Vni;
use serde::{Deserialize, Serialize};

use super::{DropCount, Drops, Lost, PeerState, PortState};

/// Everything that is measured, at one moment. Octets and seconds are whole unless the name says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// The daemon's version.
    pub version: String,
    /// The state of the sources that it was built from; "unknown" if nobody said when it was built.
    #[serde(default)]
    pub revision: String,
    /// Milliseconds since the daemon started.
    pub uptime_ms: u64,
    /// The last reload of the configuration.
    pub reload: LastReload,
    /// The ledger.
    pub ledger: Drops,
    /// The octets of what was dropped, by reason.
    #[serde(default)]
    pub dropped_octets: BTreeMap<String, DropCount>,
    /// The ledger's answers, by the protocol that asked: `arp`, `nd`.
    #[serde(default)]
    pub answered: BTreeMap<String, u64>,
    /// ICMP errors that told pods of a smaller path, by IP version: `ipv4`, `ipv6`.
    #[serde(default)]
    pub too_big_told: BTreeMap<String, u64>,
    /// What came in tunnels, and went.
    pub tunnels: Tunnels,
    /// How many wire frames workers took and gave in one go, by stage.
    #[serde(default)]
    pub batches: BTreeMap<String, Histogram>,
    /// How long bursts took that were timed, in nanoseconds, by direction.
    #[serde(default)]
    pub forwarding_ns: BTreeMap<String, Histogram>,
    /// All ports.
    pub ports: Vec<PortMetrics>,
    /// All networks.
    pub networks: Vec<NetworkMetrics>,
    /// What happened in the FDB, by kind.
    pub fdb_events: BTreeMap<String, u64>,
    /// Static peers, and the members that did not leave.
    pub peers: Vec<PeerMetrics>,
    /// Of how many things something is wrong, by cause.
    pub degraded: BTreeMap<String, u64>,
    /// The offloads of the underlay sockets, and their state.
    pub offloads: BTreeMap<String, String>,
    /// Gossip; absent = there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gossip: Option<GossipMetrics>,
}

/// The last reload of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReload {
    /// Whether it was taken into use.
    pub successful: bool,
    /// When one was last, in milliseconds after the start; 0 = the start itself.
    pub success_ms: u64,
}

/// What came in tunnels, and went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnels {
    /// As VXLAN.
    pub vxlan_received: Amount,
    /// As Geneve.
    pub geneve_received: Amount,
    /// To the underlay, in either format.
    pub sent: Amount,
}

/// How many values were how large.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// The largest value of each bucket, ascending.
    pub bounds: Vec<u64>,
    /// The values in each bucket and in none before it; at the end, those above all bounds.
    pub counts: Vec<u64>,
    /// All values added up.
    pub sum: u64,
}

/// Frames, datagrams or messages, and their octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// Their octets.
    pub octets: u64,
}

impl Amount {
    /// What is left of this without a part of it.
    #[must_use]
    pub const fn without(self, part: Self) -> Self {
        Self { count: self.count.saturating_sub(part.count), octets: self.octets.saturating_sub(part.octets) }
    }

    /// Counts one more of so many octets.
    pub(crate) fn note(&mut self, octets: usize) {
        self.count += 1;
        self.octets += octets as u64;
    }
}

/// One port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMetrics {
    /// Its name.
    pub name: String,
    /// The name of its network.
    pub network: String,
    /// The VNI of that.
    pub vni: Vni,
    /// Whether it works.
    pub state: PortState,
    /// From the pod.
    pub received: Amount,
    /// To the pod.
    pub sent: Amount,
}

/// One network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkMetrics {
    /// Its name.
    pub name: String,
    /// Its VNI.
    pub vni: Vni,
    /// Its entries in the FDB that were learned from local ports.
    pub local: u64,
    /// Those that were learned from peers, or that other nodes claim.
    pub remote: u64,
    /// Those of configurations and command lines, wherever they live.
    #[serde(rename = "static")]
    pub fixed: u64,
    /// Those that may not move at present.
    pub frozen: u64,
    /// How often one moved.
    pub moves: u64,
}

/// One peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerMetrics {
    /// A member's name, with the beginning of its id behind it if another peer has that name; of a static peer its address.
    pub name: String,
    /// Whether it can be reached.
    pub state: PeerState,
    /// The round trip of gossip in microseconds, smoothed; absent = not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// The round trip of probes on the data ports, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_rtt_us: Option<u64>,
    /// Of what was sent there of late, lost.
    pub lost_there: Lost,
    /// Of what was sent back of late, lost.
    pub lost_back: Lost,
    /// Probes of the path that got no answer; absent = it is not probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes_lost: Option<u64>,
    /// The IP MTU of the underlay path; absent without a route, and for a prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_mtu: Option<u16>,
    /// The names of what is wrong with it.
    pub degraded: Vec<String>,
    /// From it, in tunnels: frames, and their octets with those of control datagrams.
    #[serde(default)]
    pub received: Amount,
    /// To it, in tunnels, as they were handed to the kernel.
    #[serde(default)]
    pub sent: Amount,
    /// Of what came from it, the part that came as Geneve; the rest is VXLAN.
    #[serde(default)]
    pub geneve_received: Amount,
    /// Of what was sent, likewise.
    #[serde(default)]
    pub geneve_sent: Amount,
}

/// Gossip.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GossipMetrics {
    /// Other nodes, by state.
    pub members: BTreeMap<String, u64>,
    /// Whether this node knew once all that another did, or waited long enough for it.
    pub ready: bool,
    /// Nodes that are up and whose digest was another when it was compared last.
    pub divergent: u64,
    /// Records known, of all nodes.
    pub records: u64,
    /// The longest time in the last minute by which gossip ran late, in milliseconds.
    pub lag_ms: u64,
    /// Datagrams and messages that were dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// For how long this node differed from others, in milliseconds: each time from when one did until none did.
    #[serde(default)]
    pub convergence_ms: Histogram,
    /// Datagrams of gossip and control datagrams on the data ports that were refused for their key or seal, by cause.
    #[serde(default)]
    pub crypto_failures: BTreeMap<String, u64>,
    /// What was heard and said.
    pub traffic: GossipTraffic,
}

/// What gossip heard and said since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GossipTraffic {
    /// Datagrams that came.
    pub udp_received: Amount,
    /// Datagrams that left.
    pub udp_sent: Amount,
    /// Messages that came over streams, as they were before they were sealed.
    pub tcp_received: Amount,
    /// Messages that were handed to streams, likewise.
    pub tcp_sent: Amount,
}

/// Whether the node is ready for its pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// What it waits for, a sentence each; empty = it is ready.
    pub waits_for: Vec<String>,
}
