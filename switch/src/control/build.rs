//! The state of control as workers need it: a [`Topology`].

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use encap::{Format, Mtu, PortId, Vni, VtepAddr};
use ipnet::IpNet;

use super::Control;
use super::config::{Dscp, NetworkConfig, PeerAddress, PortConfig, Reserved, VlanRule};
use super::devices::Devices;
use super::peers::Peer;
use super::ports::{Port, State};
use crate::counters::PeerCounts;
use crate::path::Sources;
use crate::topology::{
    Activity, EncapView, Guard, NetworkIndex, NetworkView, PeerIndex, PeerView, PortView, Topology, ViaView,
};

/// The most networks, and the most peers: their indexes have 16 bits.
pub(super) const MOST: usize = u16::MAX as usize;

/// Peers that are gone and whose counters are kept, beside as many as there are.
const GONE: usize = 64;

/// A peer that gossip tells of: a member, or a static VTEP that a member shares.
struct Told<'a> {
    index: PeerIndex,
    name: String,
    vtep: VtepAddr,
    /// What it is sent, and where.
    format: Format,
    to: VtepAddr,
    geneve: Option<VtepAddr>,
    /// All its addresses, of which the VTEP has one.
    addresses: Vec<IpAddr>,
    dead: Sources,
    via: Option<ViaView>,
    activity: Arc<Activity>,
    path: Option<Mtu>,
    is_on: Box<dyn Fn(Vni) -> bool + 'a>,
    is_member: bool,
}

impl<D: Devices> Control<D> {
    /// Everything as it is now. Networks and peers stand in the order of the configuration, behind them the peers that
    /// gossip tells of.
    pub(super) fn build(&self) -> Topology {
        let networks = &self.config.networks;
        let told = self.told();
        let hosts = self.peers.iter().enumerate().filter(|(_, p)| !p.is_prefix());
        let hosts = hosts.map(|(place, p)| (p.vtep, peer_index(place)));
        // An address that is both is a member's: of two entries the later one stays.
        let vteps: Vec<_> = hosts.chain(told.iter().map(|told| (told.vtep, told.index))).collect();
        // A member may send from, and be named by, its address of the other family; that takes no VTEP from another.
        let (own, others) = vteps.split_at(vteps.len() - told.len());
        let also = told.iter().flat_map(|told| told.addresses.iter().map(|ip| (*ip, told.index)));
        let source = |(vtep, place): &(VtepAddr, PeerIndex)| (vtep.ip(), *place);
        let sources = own.iter().map(source).chain(also).chain(others.iter().map(source));
        let by_source = sources.collect();
        let peers = self.peers.iter().map(|peer| self.build_peer(peer));
        Topology {
            networks: networks.iter().map(|n| self.build_network(n, &told)).collect(),
            by_vni: networks.iter().enumerate().map(|(place, n)| (n.vni, network_index(place))).collect(),
            ports: self.ports.values().filter_map(|port| self.build_port(port)).collect(),
            peers: peers.chain(told.iter().map(|told| self.build_told(told))).collect(),
            by_source,
            by_vtep: vteps.into_iter().collect(),
            prefixes: self.build_prefixes(),
            moved: self
                .gossip
                .iter()
                .flat_map(|gossip| gossip.moved.iter().map(|(key, at)| (*key, *at)))
                .collect(),
            encap: self.build_encap(),
            stopping: self.stopping,
        }
    }

    /// Makes counters for peers that have none yet. Those of peers that are gone are kept while they are few: who comes back
    /// goes on, also after this node was elsewhere.
    pub(super) fn count_peers(&mut self) {
        let fixed = self.peers.iter().map(|peer| peer.config.address.to_string());
        let names: BTreeSet<_> = fixed.chain(self.told().into_iter().map(|told| told.name)).collect();
        let workers = self.counters.len();
        for name in &names {
            self.peer_traffic.entry(name.clone()).or_insert_with(|| Arc::new(PeerCounts::new(workers)));
        }
        if self.peer_traffic.len() > 2 * names.len() + GONE {
            self.peer_traffic.retain(|name, _| names.contains(name));
        }
    }

    /// Where workers count what they move between this node and the peer of this name.
    pub(super) fn traffic_with(&self, peer: &str) -> Arc<PeerCounts> {
        self.peer_traffic.get(peer).cloned().unwrap_or_default()
    }

    /// Members that can be sent to, then what they share; this node's own static peers are that already.
    fn told(&self) -> Vec<Told<'_>> {
        let Some(gossip) = &self.gossip else { return Vec::new() };
        let mut all = Vec::new();
        for (node, member) in &gossip.members {
            let (Some(vtep), Some((format, to))) = (member.vtep, self.sent_as(member)) else { continue };
            all.push(Told {
                index: peer_index(self.peers.len() + all.len()),
                name: member.name(*node),
                vtep,
                format,
                to,
                geneve: member.site().map(|site| site.geneve),
                addresses: member.addresses().collect(),
                dead: member.found.as_ref().map_or_else(Sources::default, |found| found.dead),
                via: self.via(member),
                activity: Arc::clone(&member.activity),
                path: self.path_mtu(member),
                is_on: Box::new(|vni| member.vnis.contains(&vni)),
                is_member: true,
            });
        }
        let members: BTreeSet<IpAddr> = all.iter().map(|told| told.vtep.ip()).collect();
        for (&vtep, shared) in &gossip.shared {
            if members.contains(&vtep.ip())
                || self.is_own_peer(vtep.ip())
                || self.addresses.contains(&vtep.ip())
            {
                continue;
            }
            all.push(Told {
                index: peer_index(self.peers.len() + all.len()),
                name: vtep.ip().to_string(),
                vtep,
                format: shared.format(),
                to: vtep,
                geneve: None,
                addresses: Vec::new(),
                dead: Sources::default(),
                via: None,
                activity: Arc::default(),
                path: shared.path,
                is_on: Box::new(|vni| shared.is_on(vni)),
                is_member: false,
            });
        }
        all
    }

    fn build_network(&self, network: &NetworkConfig, told: &[Told<'_>]) -> NetworkView {
        let on_it = self.ports.values().filter(|p| p.config.network == network.name);
        let is_member = |ip: IpAddr| told.iter().any(|told| told.is_member && told.vtep.ip() == ip);
        let own = self
            .peers
            .iter()
            .enumerate()
            .filter(|(_, p)| !p.is_prefix() && p.config.is_on(&network.name) && !is_member(p.vtep.ip()));
        let told = || told.iter().filter(|told| (told.is_on)(network.vni));
        let shared = told().filter(|told| !told.is_member).map(|told| told.index);
        let strangers: Vec<_> = own.map(|(place, _)| peer_index(place)).chain(shared).collect();
        let members = told().filter(|told| told.is_member).map(|told| told.index);
        NetworkView {
            name: network.name.as_str().into(),
            vni: network.vni,
            vlan_pass: network.vlan == VlanRule::Pass,
            flood_unknown: network.floods_unknown(self.config.gossip.is_some()),
            suppress: self.gossip.is_some(),
            mac_age: network.mac_age,
            ports: on_it.filter_map(Port::id).collect(),
            flood: strangers.iter().copied().chain(members).collect(),
            // Who asks for "drop" means everybody.
            strangers: if network.unknown_unicast.is_none() { strangers } else { Vec::new() },
        }
    }

    fn build_port(&self, port: &Port) -> Option<(PortId, PortView)> {
        let State::Up { id, worker, .. } = port.state else { return None };
        let config = &port.config;
        let network = self.config.networks.iter().position(|n| n.name == config.network)?;
        let view = PortView {
            name: config.name.as_str().into(),
            network: network_index(network),
            worker,
            guard: guard(config),
            bum_pps: config.bum_pps,
            multicast_pps: config.multicast_pps,
        };
        Some((id, view))
    }

    fn build_peer(&self, peer: &Peer) -> PeerView {
        let networks = self.config.networks.iter().enumerate();
        PeerView {
            name: peer.config.address.to_string().into(),
            vtep: peer.vtep,
            to: peer.vtep,
            format: peer.format,
            member: false,
            geneve: None,
            dead: Sources::default(),
            via: None,
            activity: Arc::default(),
            traffic: self.traffic_with(&peer.config.address.to_string()),
            // Nothing is sent to a prefix, so no path of its lowers what its pods ask for.
            path_mtu: peer.path.unwrap_or(if peer.is_prefix() { Mtu::MAX } else { Mtu::IPV6_MIN }),
            up: peer.is_up(),
            learn: !peer.is_prefix(),
            networks: networks
                .filter(|(_, n)| peer.config.is_on(&n.name))
                .map(|(place, _)| network_index(place))
                .collect(),
        }
    }

    fn build_told(&self, told: &Told<'_>) -> PeerView {
        let networks = self.config.networks.iter().enumerate();
        PeerView {
            name: told.name.as_str().into(),
            vtep: told.vtep,
            to: told.to,
            format: told.format,
            member: told.is_member,
            geneve: told.geneve,
            dead: told.dead,
            via: told.via,
            activity: Arc::clone(&told.activity),
            traffic: self.traffic_with(&told.name),
            path_mtu: told.path.unwrap_or(Mtu::IPV6_MIN),
            up: told.path.is_some(),
            learn: false,
            networks: networks
                .filter(|(_, n)| (told.is_on)(n.vni))
                .map(|(place, _)| network_index(place))
                .collect(),
        }
    }

    /// Longest first, so that the first that fits is the right one.
    fn build_prefixes(&self) -> Vec<(IpNet, PeerIndex)> {
        let peers = self.peers.iter().enumerate();
        let mut prefixes: Vec<_> = peers
            .filter_map(|(place, peer)| match peer.config.address {
                PeerAddress::Prefix(net) => Some((net, peer_index(place))),
                PeerAddress::Host(_) => None,
            })
            .collect();
        prefixes.sort_by_key(|(net, _)| Reverse(net.prefix_len()));
        prefixes
    }

    fn build_encap(&self) -> EncapView {
        let ports = [self.config.underlay.vxlan_port, self.config.underlay.geneve_port];
        EncapView {
            vxlan_strict: self.config.encap.vxlan_reserved == Reserved::Strict,
            dscp_inherit: self.config.encap.dscp == Dscp::Inherit,
            clamp_mss: self.config.path.clamp_mss,
            relay: self.config.path.relay,
            own: self.addresses.iter().flat_map(|&ip| ports.map(|port| VtepAddr::new(ip, port))).collect(),
            seen_as: self.own_vteps(),
        }
    }
}

/// What a port may use: what it was given, unless it was given nothing or is not guarded.
fn guard(config: &PortConfig) -> Option<Guard> {
    let given = config.mac.is_some() || !config.addresses.is_empty();
    let addresses = || config.addresses.iter().map(IpNet::addr).collect();
    (config.guard && given).then(|| Guard { mac: config.mac, addresses: addresses() })
}

/// [`MOST`] was checked before anything got its place.
fn network_index(place: usize) -> NetworkIndex {
    NetworkIndex(u16::try_from(place).unwrap_or(u16::MAX))
}

fn peer_index(place: usize) -> PeerIndex {
    PeerIndex(u16::try_from(place).unwrap_or(u16::MAX))
}
