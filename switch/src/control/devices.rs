//! What control needs of the world: devices it can open and close, and workers it can tell about it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use encap::neighbor::FrameBuf;
use encap::{MacAddr, Mtu, PortId, Vni, VtepAddr};
use fdb::gossip::identity::NodeId;
use fdb::gossip::seal::Mode;
use ipnet::IpNet;

use crate::counters::{DropReason, PortTraffic};
use crate::doctor::{HostFacts, HostQuestions};
use crate::heads;
use crate::io::netns::NetnsRef;
use crate::path::{self, Outgoing, Target, View};
use crate::topology::{Activity, Topology};

/// A TAP as the configuration asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSpec {
    /// The port that the TAP will be.
    pub id: PortId,
    /// The name of the network device.
    pub ifname: String,
    /// Where the device lives; `None` = the daemon's own namespace.
    pub netns: Option<NetnsRef>,
    /// The device's MAC address; `None` = the kernel chooses.
    pub mac: Option<MacAddr>,
    /// The device's MTU.
    pub mtu: Mtu,
    /// The addresses that the device gets.
    pub addresses: Vec<IpNet>,
    /// The default gateway of the namespace, through this device.
    pub gateway: Option<IpAddr>,
}

/// A TAP that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPort {
    /// The device's MAC address.
    pub mac: MacAddr,
    /// The device's MTU.
    pub mtu: Mtu,
    /// The offloads that the kernel granted: `csum`, `tso`, `uso`.
    pub offloads: Vec<&'static str>,
    /// Identity (device and inode) of the namespace file at that moment, to notice a namesake later.
    pub netns_identity: Option<(u64, u64)>,
}

/// Why a TAP could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The namespace does not exist (yet): try again later.
    #[error("network namespace {0} does not exist; the port waits for it")]
    NamespaceMissing(NetnsRef),
    /// Everything else, as a sentence with the next step.
    #[error("{0}")]
    Failed(String),
}

/// How the underlay reaches an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderlayPath {
    /// The MTU of the link that a datagram for it leaves through.
    pub mtu: Mtu,
}

/// A member whose path is watched.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Who, and where.
    pub target: Target,
    /// Where workers note that it is sent frames.
    pub activity: Arc<Activity>,
}

/// Devices and workers, as control drives them. The daemon implements it; tests have a twin in memory.
pub trait Devices {
    /// Makes (or takes over) a TAP, sets it up and keeps it under `spec.id`.
    ///
    /// # Errors
    ///
    /// [`PortError::NamespaceMissing`] when the namespace is not there; nothing was made then.
    fn open_port(&mut self, spec: &PortSpec) -> Result<OpenPort, PortError>;

    /// Lets a TAP go; the device stays in its namespace when `keep` is set, else it is removed.
    fn close_port(&mut self, id: PortId, keep: bool);

    /// Sets the MTU of a port's device, if it still has the MTU `from` that was set before; whether that was done.
    fn change_mtu(&mut self, id: PortId, from: Mtu, to: Mtu) -> bool;

    /// The MTU of a port's device as it is now; `None` when it cannot be read.
    fn port_mtu(&self, id: PortId) -> Option<Mtu>;

    /// What went through a port since it was opened.
    fn port_traffic(&self, id: PortId) -> PortTraffic;

    /// The identity of a namespace file now; `None` when it does not exist.
    fn netns_identity(&self, netns: &NetnsRef) -> Option<(u64, u64)>;

    /// How the underlay reaches a VTEP; `None` = no route.
    fn underlay_path(&self, vtep: VtepAddr) -> Option<UnderlayPath>;

    /// The MTU of the link that carries the underlay address (the smaller one of two); `None` when it cannot be read, as while
    /// the address is away.
    fn underlay_mtu(&self) -> Option<Mtu>;

    /// Hands the new topology to every worker.
    fn publish(&mut self, topology: Arc<Topology>);

    /// Says whose paths are to be watched from now on, and how.
    fn watch_paths(&mut self, config: path::Config, watched: Vec<Watched>);

    /// Takes over the keys that probes are sealed with.
    fn set_path_keys(&mut self, mode: Mode);

    /// Passes on that somebody on the way called a datagram for a member too big.
    fn path_too_big(&mut self, to: SocketAddr, mtu: u32);

    /// Begins to find out which ports and sizes pass on the path to a member; its view tells of it.
    fn examine_path(&mut self, node: NodeId);

    /// The time now, to measure how long something takes: what happens when is told by the `now` of the caller.
    fn clock(&self) -> Instant;

    /// Sends a letter to another node; it may be lost.
    fn post(&mut self, letter: Outgoing);

    /// What is known of the paths to all members.
    fn path_views(&self) -> BTreeMap<NodeId, View>;

    /// Begins to find out what the doctor wants to know of the host.
    fn examine_host(&mut self, questions: HostQuestions);

    /// What was found out of that.
    fn host_facts(&self) -> HostFacts;

    /// Device and inode of the network namespace of the underlay.
    fn namespace(&self) -> Option<(u64, u64)>;

    /// Writes a frame that was made here to all ports of a network but the one it is about; it may be lost.
    fn announce(&mut self, vni: Vni, except: Option<PortId>, frame: &FrameBuf);

    /// The offloads of the underlay sockets, as `status` shows them: name and state, such as
    /// `("udp_segment", "128")` or `("udp_gro", "off: not supported by this kernel")`.
    fn offloads(&self) -> Vec<(&'static str, String)>;

    /// What was dropped last for a reason. Waits for the workers, half a second at most; one that takes longer is silent.
    fn drop_heads(&mut self, reason: DropReason) -> heads::Told;

    /// What the kernel lost before a worker saw it, such as `("udp_overflow", 3)` (SO_RXQ_OVFL) or
    /// `("tap_dropped", 0)`: outside the ledger.
    fn lost_before(&self) -> Vec<(&'static str, u64)>;
}
