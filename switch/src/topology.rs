//! What a worker knows of the configuration: networks, ports and peers at one moment.
//!
//! Control makes a new [`Topology`] for each change and hands it to every worker; nobody changes one that is in use.
//! It holds no device and no socket, so that the pure stages of the data path can be run without either.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use encap::{Format, MacAddr, Mtu, PortId, Vni, VtepAddr};
use foldhash::fast::RandomState;
use ipnet::IpNet;

use crate::counters::PeerCounts;
use crate::path::Sources;

/// Networks, ports and peers at one moment.
#[derive(Debug, Default)]
pub struct Topology {
    /// The networks of this node; a [`NetworkIndex`] is a place in this list.
    pub networks: Vec<NetworkView>,
    /// Which of them has a VNI.
    pub by_vni: HashMap<Vni, NetworkIndex, RandomState>,
    /// The ports that are up.
    pub ports: HashMap<PortId, PortView, RandomState>,
    /// The peers; a [`PeerIndex`] is a place in this list.
    pub peers: Vec<PeerView>,
    /// Which of them has a VTEP.
    pub by_vtep: HashMap<VtepAddr, PeerIndex, RandomState>,
    /// Which of them sends from an address.
    pub by_source: HashMap<IpAddr, PeerIndex, RandomState>,
    /// Peers that are prefixes, longest first: heard, never sent to.
    pub prefixes: Vec<(IpNet, PeerIndex)>,
    /// MAC addresses that moved from here to another node a moment ago: strays for them are handed over.
    pub moved: HashMap<(Vni, MacAddr), Moved, RandomState>,
    /// What all datagrams have in common.
    pub encap: EncapView,
    /// Whether the daemon is ending: ports are being let go, and nothing is forwarded any more.
    pub stopping: bool,
}

/// A place in [`Topology::networks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NetworkIndex(pub u16);

/// A place in [`Topology::peers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerIndex(pub u16);

/// One network.
#[derive(Debug)]
pub struct NetworkView {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Its identifier on the wire.
    pub vni: Vni,
    /// Whether frames with a VLAN tag pass.
    pub vlan_pass: bool,
    /// Whether unicast to unknown destinations is flooded as broadcast is.
    pub flood_unknown: bool,
    /// Where it is sent otherwise: to static peers, since gossip does not tell what lives there.
    pub strangers: Vec<PeerIndex>,
    /// Whether ARP and ND requests are answered here when it is known who has the address.
    pub suppress: bool,
    /// How long a learned MAC address is kept without being seen; zero keeps it for ever.
    pub mac_age: Duration,
    /// Its local ports that are up.
    pub ports: Vec<PortId>,
    /// The peers that get its flooded frames.
    pub flood: Vec<PeerIndex>,
}

/// Where a MAC address went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The VTEP of the node, for Geneve.
    pub to: VtepAddr,
    /// The IP MTU of the underlay path to it.
    pub path_mtu: Mtu,
    /// Until when strays are handed over.
    pub until: Instant,
}

/// One local port.
#[derive(Debug)]
pub struct PortView {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// The network it is on.
    pub network: NetworkIndex,
    /// The worker that reads from it.
    pub worker: usize,
    /// The source addresses it may use; `None` = any.
    pub guard: Option<Guard>,
    /// Broadcast and unknown unicast frames a second; 0 = no limit. The burst is twice that.
    pub bum_pps: u32,
    /// Multicast frames a second; 0 = no limit. The burst is twice that.
    pub multicast_pps: u32,
}

/// The source addresses that a port was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The only source MAC address; `None` = any.
    pub mac: Option<MacAddr>,
    /// The only source IP addresses; empty = any.
    pub addresses: Vec<IpAddr>,
}

/// One peer.
#[derive(Debug)]
pub struct PeerView {
    /// Its name, or its address where it has none.
    pub name: Arc<str>,
    /// The VTEP that it is known by, in the FDB too.
    pub vtep: VtepAddr,
    /// Where datagrams for it go: to another port or address of it where that is the one that works.
    pub to: VtepAddr,
    /// The encapsulation it is sent.
    pub format: Format,
    /// The IP MTU of the underlay path to it.
    pub path_mtu: Mtu,
    /// Whether a route to it exists.
    pub up: bool,
    /// Whether addresses are learned from what it sends: a member tells by gossip, and a prefix is never sent to.
    pub learn: bool,
    /// Whether it is a node of this cluster: it may send control datagrams, and pass frames of others on.
    pub member: bool,
    /// Where it takes Geneve, by which frames are passed on to it; `None` = it is no member.
    pub geneve: Option<VtepAddr>,
    /// The source ports that do not lead to it: flows take others.
    pub dead: Sources,
    /// Through whom frames for it go, while there is no way straight to it.
    pub via: Option<ViaView>,
    /// Where workers note that it is sent frames.
    pub activity: Arc<Activity>,
    /// Where workers count what comes from it and goes to it.
    pub traffic: Arc<PeerCounts>,
    /// The networks it is on.
    pub networks: Vec<NetworkIndex>,
}

/// The way to a peer through another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViaView {
    /// The VTEP of that node, for Geneve.
    pub to: VtepAddr,
    /// The smaller IP MTU of the two underlay paths.
    pub path_mtu: Mtu,
    /// The source ports that do not lead to that node.
    pub dead: Sources,
}

/// Whether a peer was sent frames lately. Workers set it, whoever watches the path takes it back.
#[derive(Debug, Default)]
pub struct Activity(AtomicBool);

impl Activity {
    /// Notes a frame.
    ///
    /// # Cost
    ///
    /// A load; the first one after [`Activity::take`] also a store.
    #[inline]
    pub fn note(&self) {
        if !self.0.load(Ordering::Relaxed) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Whether there were frames since this was asked last.
    pub fn take(&self) -> bool {
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }
}

/// What all datagrams have in common.
#[derive(Clone, Debug, Default)]
pub struct EncapView {
    /// Whether a reserved VXLAN bit drops the datagram.
    pub vxlan_strict: bool,
    /// Whether the outer DSCP is the inner one; else it is 0.
    pub dscp_inherit: bool,
    /// Whether the MSS of TCP connections is lowered to what fits the path.
    pub clamp_mss: bool,
    /// Whether frames of other members are passed on to members that they do not reach directly.
    pub relay: bool,
    /// Our own underlay addresses and tunnel ports: a frame from a port that looks like our datagram is a loop.
    pub own: Vec<VtepAddr>,
    /// The same as other nodes know them, the VXLAN port of an address first.
    pub seen_as: Vec<VtepAddr>,
}

impl EncapView {
    /// Our underlay address of an IP version; the unspecified one where there is none.
    #[must_use]
    pub fn own_ip(&self, v4: bool) -> IpAddr {
        let unspecified: IpAddr = if v4 { [0; 4].into() } else { [0; 16].into() };
        self.own.iter().map(|own| own.ip()).find(|own| own.is_ipv4() == v4).unwrap_or(unspecified)
    }

    /// The VTEP by which the node at `other` knows this one: nodes know each other by addresses of one family.
    #[must_use]
    pub fn seen_from(&self, other: IpAddr) -> Option<VtepAddr> {
        self.seen_as.iter().copied().find(|vtep| vtep.ip().is_ipv4() == other.is_ipv4())
    }

    /// Whether an address is this node's, as it knows itself or as others do.
    #[must_use]
    pub fn is_own(&self, ip: IpAddr) -> bool {
        self.own.iter().chain(&self.seen_as).any(|vtep| vtep.ip() == ip)
    }
}

impl Topology {
    /// The network with this VNI.
    #[must_use]
    pub fn network_of(&self, vni: Vni) -> Option<NetworkIndex> {
        self.by_vni.get(&vni).copied()
    }

    /// The network at this place.
    #[must_use]
    pub fn network(&self, index: NetworkIndex) -> &NetworkView {
        &self.networks[usize::from(index.0)]
    }

    /// The peer at this place.
    #[must_use]
    pub fn peer(&self, index: PeerIndex) -> &PeerView {
        &self.peers[usize::from(index.0)]
    }

    /// The member with this address.
    #[must_use]
    pub fn member_at(&self, ip: IpAddr) -> Option<PeerIndex> {
        self.by_source.get(&ip).copied().filter(|peer| self.peer(*peer).member)
    }

    /// The address by which the peer that sends from `ip` is known.
    #[must_use]
    pub fn known_by(&self, ip: IpAddr) -> Option<IpAddr> {
        self.peer_from(ip).map(|peer| self.peer(peer).vtep.ip())
    }

    /// The peer that sends from `ip`: an exact address first, then the longest prefix.
    #[must_use]
    pub fn peer_from(&self, ip: IpAddr) -> Option<PeerIndex> {
        self.by_source
            .get(&ip)
            .or_else(|| self.prefixes.iter().find(|(net, _)| net.contains(&ip)).map(|(_, peer)| peer))
            .copied()
    }
}
