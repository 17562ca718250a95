//! The state of control as workers need it: a [`Topology`].

use std::cmp::Reverse;
use std::net::IpAddr;

use encap::{Mtu, PortId, VtepAddr};
use ipnet::IpNet;

use super::Control;
use super::config::{Dscp, NetworkConfig, PeerAddress, PortConfig, Reserved, VlanRule};
use super::devices::Devices;
use super::members::Member;
use super::peers::Peer;
use super::ports::{Port, State};
use crate::topology::{EncapView, Guard, NetworkIndex, NetworkView, PeerIndex, PeerView, PortView, Topology};

/// The most networks, and the most peers: their indexes have 16 bits.
pub(super) const MOST: usize = u16::MAX as usize;

impl<D: Devices> Control<D> {
    /// Everything as it is now. Networks and peers stand in the order of the configuration, members behind them.
    pub(super) fn build(&self) -> Topology {
        let networks = &self.config.networks;
        let hosts = self.peers.iter().enumerate().filter(|(_, p)| !p.is_prefix());
        let hosts = hosts.map(|(place, p)| (p.vtep, peer_index(place)));
        // An address that is both is a member's: of two entries the later one stays.
        let vteps: Vec<_> =
            hosts.chain(self.placed_members().map(|(place, _, vtep)| (vtep, place))).collect();
        let peers = self.peers.iter().map(|peer| self.build_peer(peer));
        Topology {
            networks: networks.iter().map(|n| self.build_network(n)).collect(),
            by_vni: networks.iter().enumerate().map(|(place, n)| (n.vni, network_index(place))).collect(),
            ports: self.ports.values().filter_map(|port| self.build_port(port)).collect(),
            peers: peers
                .chain(self.placed_members().map(|(_, member, _)| self.build_member(member)))
                .collect(),
            by_source: vteps.iter().map(|(vtep, place)| (vtep.ip(), *place)).collect(),
            by_vtep: vteps.into_iter().collect(),
            prefixes: self.build_prefixes(),
            encap: self.build_encap(),
            stopping: self.stopping,
        }
    }

    fn build_network(&self, network: &NetworkConfig) -> NetworkView {
        let on_it = self.ports.values().filter(|p| p.config.network == network.name);
        let strangers: Vec<_> = self
            .peers
            .iter()
            .enumerate()
            .filter(|(_, p)| !p.is_prefix() && p.config.is_on(&network.name) && !self.is_member(p.vtep.ip()))
            .map(|(place, _)| peer_index(place))
            .collect();
        let members = self.placed_members().filter(|(_, member, _)| member.vnis.contains(&network.vni));
        NetworkView {
            name: network.name.as_str().into(),
            vni: network.vni,
            vlan_pass: network.vlan == VlanRule::Pass,
            flood_unknown: network.floods_unknown(self.config.gossip.is_some()),
            mac_age: network.mac_age,
            ports: on_it.filter_map(Port::id).collect(),
            flood: strangers.iter().copied().chain(members.map(|(place, ..)| place)).collect(),
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
            format: peer.format,
            path_mtu: peer.path.unwrap_or(Mtu::IPV6_MIN),
            up: peer.is_up(),
            learn: !peer.is_prefix(),
            networks: networks
                .filter(|(_, n)| peer.config.is_on(&n.name))
                .map(|(place, _)| network_index(place))
                .collect(),
        }
    }

    /// Members that can be sent to, with their places: behind the static peers.
    fn placed_members(&self) -> impl Iterator<Item = (PeerIndex, &Member, VtepAddr)> {
        let members = self.gossip.iter().flat_map(|gossip| gossip.members.values());
        let placed = members.filter_map(|member| Some((member, member.tunnel?.1))).enumerate();
        let statics = self.peers.len();
        placed.map(move |(place, (member, vtep))| (peer_index(statics + place), member, vtep))
    }

    fn is_member(&self, ip: IpAddr) -> bool {
        self.placed_members().any(|(_, _, vtep)| vtep.ip() == ip)
    }

    fn build_member(&self, member: &Member) -> PeerView {
        let networks = self.config.networks.iter().enumerate();
        let (format, vtep) =
            member.tunnel.unwrap_or_else(|| unreachable!("only members with a place are built"));
        PeerView {
            name: member.info.as_ref().map_or_else(String::new, |info| info.name.clone()).into(),
            vtep,
            format,
            path_mtu: member.path.unwrap_or(Mtu::IPV6_MIN),
            up: member.path.is_some(),
            learn: false,
            networks: networks
                .filter(|(_, n)| member.vnis.contains(&n.vni))
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
            own: self.addresses.iter().flat_map(|&ip| ports.map(|port| VtepAddr::new(ip, port))).collect(),
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
