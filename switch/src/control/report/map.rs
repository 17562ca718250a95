//! The answer about the map: this node, its peers, and the links to them.
//!
//! Gossip says nothing of the links between other nodes, so there are none here: each node tells of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use fdb::gossip::identity::NodeId;
use fdb::gossip::members::MemberState;
use fdb::{EntryView, Location, Origin};

use crate::control::Control;
use crate::control::devices::Devices;
use crate::control::members::{Gossip, Member};
use crate::control::peers::Peer;
use crate::control::protocol::{
    Fdb, Map, MapLink, MapNode, NodeKind, PathEntry, PathState, PeerMetrics, PeerState, Reply,
};
use crate::path::View;

/// The id of this node where there is no gossip, which would give it one.
const HERE: &str = "here";

/// Whom a MAC address lives with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Home {
    Here,
    Member(Origin),
    Static(IpAddr),
}

impl<D: Devices> Control<D> {
    /// This node, its static peers, and the members that did not leave.
    pub(in crate::control) fn map(&self, now: Instant) -> Reply {
        let here = self.gossip.as_ref().map_or_else(|| HERE.to_owned(), |gossip| gossip.node.to_string());
        let (views, macs) = (self.devices.path_views(), self.macs_by_home());
        let uptime = now.saturating_duration_since(self.started);
        let at_ms = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX);
        let mut map = Map { here, at_ms, ..Map::default() };
        map.nodes.push(self.own_node(&map.here, &macs));
        for peer in &self.peers {
            map.nodes.push(self.static_node(peer, &macs));
            let (metrics, path) = (self.static_metrics(peer), self.static_path(peer, now));
            map.links.push(link(&map.here, path.name.clone(), metrics, Some(&path)));
        }
        if let Some(gossip) = &self.gossip {
            let there = gossip.members.iter().filter(|(_, member)| member.state != MemberState::Left);
            for (node, member) in there {
                map.nodes.push(self.member_node(*node, member, &macs));
                map.links.push(self.member_link(&map.here, (gossip, *node, member), &views, now));
            }
        }
        Reply::Map(map)
    }

    /// How many MAC addresses live with whom.
    fn macs_by_home(&self) -> BTreeMap<Home, u64> {
        let mut counts = BTreeMap::new();
        for entry in self.table.entries() {
            let home = match (entry.origin, entry.location) {
                (Some(origin), _) => Home::Member(origin),
                (None, Location::Local(_)) => Home::Here,
                (None, Location::Remote(vtep)) => Home::Static(vtep.ip()),
            };
            *counts.entry(home).or_default() += 1;
        }
        counts
    }

    /// Who lives at a node of the map: what it claims, and what was learned from its address.
    ///
    /// Only what is answered becomes entries: the FDB may have a million.
    pub(in crate::control) fn fdb_at(&self, node: &str, limit: u32, now: Instant) -> Reply {
        let members = self.gossip.iter().flat_map(|gossip| &gossip.members);
        let named = members.filter(|(id, member)| id.to_string() == node || member.name(**id) == node);
        let origins: BTreeSet<_> = named.map(|(_, member)| member.origin).collect();
        let here = self.gossip.as_ref().map_or_else(|| HERE.to_owned(), |gossip| gossip.node.to_string());
        let (is_here, ip) = (node == here || node == self.config.node.name, node.parse::<IpAddr>().ok());
        let is_there = |entry: &EntryView| match (entry.origin, entry.location) {
            (None, Location::Local(_)) => is_here,
            (Some(origin), _) if origins.contains(&origin) => true,
            (_, Location::Remote(vtep)) => ip == Some(vtep.ip()),
            (Some(_), Location::Local(_)) => false,
        };
        let order = |entry: &EntryView| (entry.vni, entry.mac);
        let mut found: Vec<_> = self.table.entries().filter(is_there).collect();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = found.len().saturating_sub(limit);
        if more > 0 {
            found.select_nth_unstable_by_key(limit, order);
            found.truncate(limit);
        }
        found.sort_unstable_by_key(order);
        Reply::Fdb(Fdb { entries: self.fdb_entries(&found, now), more: more as u64 })
    }

    fn own_node(&self, here: &str, macs: &BTreeMap<Home, u64>) -> MapNode {
        MapNode {
            id: here.to_owned(),
            name: self.config.node.name.clone(),
            kind: NodeKind::Here,
            state: PeerState::Up,
            address: self.addresses.first().map(IpAddr::to_string),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            networks: self.config.networks.iter().map(|network| network.name.clone()).collect(),
            macs: macs.get(&Home::Here).copied().unwrap_or_default(),
        }
    }

    fn static_node(&self, peer: &Peer, macs: &BTreeMap<Home, u64>) -> MapNode {
        let networks = self.config.networks.iter().filter(|n| peer.config.is_on(&n.name));
        let address = peer.config.address.to_string();
        MapNode {
            id: address.clone(),
            name: address.clone(),
            kind: NodeKind::Static,
            state: if peer.is_up() { PeerState::Up } else { PeerState::Down },
            address: Some(address),
            version: None,
            networks: networks.map(|network| network.name.clone()).collect(),
            macs: macs.get(&Home::Static(peer.vtep.ip())).copied().unwrap_or_default(),
        }
    }

    fn member_node(&self, node: NodeId, member: &Member, macs: &BTreeMap<Home, u64>) -> MapNode {
        let (_, address, _) = self.address_of(member);
        MapNode {
            id: node.to_string(),
            name: member.name(node),
            kind: NodeKind::Member,
            state: super::gossip::member_state(member),
            address: address.map(|ip| ip.to_string()),
            version: member.info.as_ref().map(|info| info.version.clone()),
            networks: self.networks_of(member).map(|network| network.name.clone()).collect(),
            macs: macs.get(&Home::Member(member.origin)).copied().unwrap_or_default(),
        }
    }

    fn member_link(
        &self,
        here: &str,
        (gossip, node, member): (&Gossip, NodeId, &Member),
        views: &BTreeMap<NodeId, View>,
        now: Instant,
    ) -> MapLink {
        let metrics = self.member_metrics((gossip, node, member), views.get(&node), now);
        let path = self.member_path(node, member, views, now);
        let via = member.found.as_ref().and_then(|found| found.via).map(|via| via.node.to_string());
        MapLink { via, ..link(here, node.to_string(), metrics, path.as_ref()) }
    }
}

/// A link of this node; without a path nothing is sent there.
fn link(here: &str, to: String, metrics: PeerMetrics, path: Option<&PathEntry>) -> MapLink {
    let state = path.map_or(PathState::Down, |path| path.state);
    MapLink {
        from: here.to_owned(),
        to,
        state: if metrics.state == PeerState::Down { PathState::Down } else { state },
        via: None,
        format: path.map(|path| path.format),
        rtt_us: metrics.probe_rtt_us.or(metrics.rtt_us),
        lost_there: metrics.lost_there,
        lost_back: metrics.lost_back,
        path_mtu: path.and_then(|path| path.path_mtu),
        mtu: path.and_then(|path| path.mtu),
        received: metrics.received,
        sent: metrics.sent,
        rate: None,
        degraded: metrics.degraded,
    }
}
