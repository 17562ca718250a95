//! What was gathered, as plain data.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use encap::{Format, Mtu};
use ipnet::IpNet;

use crate::path::{Cause, Size};

/// All that the rules look at; what is absent is not known, and nothing is concluded from it.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What the host says.
    pub host: HostFacts,
    /// The addresses that pods have.
    pub pods: Vec<PodNet>,
    /// What a running daemon says.
    pub daemon: Option<DaemonFacts>,
    /// What a daemon would find if it started now.
    pub start: Option<StartFacts>,
}

/// A prefix that ports of a network have addresses in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodNet {
    /// The network's name.
    pub network: String,
    /// The prefix.
    pub net: IpNet,
    /// The device of such a port in the host's own namespace: its routes are meant.
    pub device: Option<String>,
}

/// What the host is asked.
#[derive(Clone, Debug, Default)]
pub struct HostQuestions {
    /// The underlay addresses.
    pub addresses: Vec<IpAddr>,
    /// The addresses of peers.
    pub peers: Vec<IpAddr>,
    /// Prefixes of pods.
    pub pods: Vec<IpNet>,
}

/// What the host says.
#[derive(Clone, Debug, Default)]
pub struct HostFacts {
    /// The device of each underlay address.
    pub links: Vec<UnderlayLink>,
    /// Through which device each peer is reached.
    pub ways: Vec<Way>,
    /// Routes of the host that overlap with prefixes of pods; a few suffice.
    pub routes: Vec<HostRoute>,
    /// What the receive sockets got.
    pub buffer: Option<Buffer>,
    /// What the send sockets got.
    pub send_buffer: Option<Buffer>,
    /// Datagrams that arrived with a wrong UDP checksum.
    pub checksum_errors: Count,
}

/// A device with an underlay address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderlayLink {
    /// The address.
    pub address: IpAddr,
    /// The device.
    pub device: String,
    /// Its MTU.
    pub mtu: u32,
    /// Whether packets from where it does not lead are dropped (`rp_filter` 1).
    pub strict: bool,
    /// Whether it computes checksums; `None` = it does not say.
    pub checksums: Option<bool>,
    /// Whether the datagrams that it receives are joined (GRO); `None` = it does not say, or is no hardware.
    pub gro: Option<bool>,
}

/// How the host reaches a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The peer's address.
    pub to: IpAddr,
    /// The device.
    pub device: String,
}

/// A route of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRoute {
    /// Where to.
    pub net: IpNet,
    /// Through which device.
    pub device: String,
}

/// A socket buffer, in octets as the kernel counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// What there is.
    pub got: u64,
    /// What was asked for.
    pub wanted: u64,
}

/// How often something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Since the start.
    pub total: u64,
    /// Of these, since the examination began.
    pub lately: u64,
}

/// What a running daemon says.
#[derive(Clone, Debug, Default)]
pub struct DaemonFacts {
    /// Its version.
    pub version: String,
    /// Its underlay addresses, as other nodes see them.
    pub addresses: Vec<IpAddr>,
    /// `[underlay] mtu`, if it is a number.
    pub underlay_mtu: Option<Mtu>,
    /// Its networks.
    pub networks: Vec<NetworkFacts>,
    /// Its ports that are up.
    pub ports: Vec<PortFacts>,
    /// Its peers, but for prefixes.
    pub peers: Vec<PeerFacts>,
    /// What it knows not to work.
    pub troubles: Vec<Trouble>,
    /// Offloads that the kernel refuses.
    pub fallbacks: Vec<FallbackFacts>,
    /// Counters, by the names that [`counts`](super) knows.
    pub counts: BTreeMap<&'static str, Count>,
}

/// A network.
#[derive(Clone, Debug)]
pub struct NetworkFacts {
    /// Its name.
    pub name: String,
    /// Its configured MTU.
    pub mtu: Option<Mtu>,
    /// The MTU that fits the underlay.
    pub fits: Mtu,
}

/// A port that is up.
#[derive(Clone, Debug)]
pub struct PortFacts {
    /// Its name.
    pub name: String,
    /// Its device.
    pub ifname: String,
    /// What its device has.
    pub mtu: Mtu,
    /// What it was given.
    pub given: Mtu,
    /// What fits the underlay.
    pub fits: Mtu,
}

/// A peer.
#[derive(Clone, Debug)]
pub struct PeerFacts {
    /// Its name.
    pub name: String,
    /// Its underlay address, if it can be reached by one.
    pub address: Option<IpAddr>,
    /// All of them, of either IP version.
    pub addresses: Vec<IpAddr>,
    /// Whether it is a member of gossip that is alive, and so ought to answer.
    pub alive: bool,
    /// Its version, if it is known.
    pub version: Option<String>,
    /// The MTU of the link that leads there.
    pub link_mtu: Option<Mtu>,
    /// The MTU of the path.
    pub path_mtu: Option<Mtu>,
    /// What is wrong with the path.
    pub causes: Vec<Cause>,
    /// Who relays.
    pub via: Option<String>,
    /// By how many milliseconds its clock is ahead.
    pub clock_ahead_ms: Option<i64>,
    /// What of the examination was answered; empty = it was not examined.
    pub cells: Vec<CellFacts>,
}

/// One size on one port of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellFacts {
    /// The format.
    pub format: Format,
    /// The UDP port that takes it.
    pub port: u16,
    /// What size it is.
    pub size: Size,
    /// Octets of the outer IP packet.
    pub octets: u16,
    /// Probes sent.
    pub sent: u8,
    /// Whether one was answered.
    pub answered: bool,
}

impl CellFacts {
    /// Probes of which none may be answered by chance: fewer say nothing.
    const ENOUGH: u8 = 3;

    /// Whether nothing of this size gets through this port and back.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        !self.answered && self.sent >= Self::ENOUGH
    }
}

/// Something that the daemon knows not to work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which kind, such as `node_down`.
    pub code: &'static str,
    /// What it concerns.
    pub subject: String,
    /// What is so.
    pub what: String,
}

/// An offload that the kernel refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallbackFacts {
    /// For whom, such as `peer 10.0.0.9`; `None` = for all.
    pub subject: Option<String>,
    /// Which.
    pub offload: &'static str,
    /// What the kernel said.
    pub said: String,
}

/// What a daemon would find if it started now; messages say what to do.
#[derive(Clone, Debug, Default)]
pub struct StartFacts {
    /// Where no daemon answers.
    pub socket: String,
    /// Why the configuration is wrong.
    pub config: Option<String>,
    /// Why there is no underlay address.
    pub no_address: Option<String>,
    /// Underlay addresses that the host does not have.
    pub missing: Vec<IpAddr>,
    /// Ports that are taken.
    pub held: Vec<HeldPort>,
    /// Why the key file cannot be used.
    pub key_file: Option<String>,
    /// Why the state directory cannot be used.
    pub state_dir: Option<String>,
    /// Whether gossip would go without keys.
    pub insecure: bool,
}

/// A UDP port that somebody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPort {
    /// Which.
    pub address: SocketAddr,
    /// The key that names it.
    pub key: &'static str,
    /// Who.
    pub owner: String,
    /// What to do about them, as the beginning of a sentence.
    pub remedy: String,
}
