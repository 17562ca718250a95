//! What this node says: itself, its networks, the addresses that live here or behind static peers that it shares.

use std::collections::BTreeSet;
use std::net::IpAddr;

use encap::{MacAddr, Vni, VtepAddr};
use fdb::replica::{Key, MAX_IPS, MacRecord, NodeInfo, Record};
use fdb::{Kind, Location};

use super::super::Control;
use super::super::devices::Devices;
use super::super::peers::Peer;

impl<D: Devices> Control<D> {
    /// Says what changed of this node: itself, its networks, its addresses.
    pub(in crate::control) fn publish(&mut self) {
        if self.gossip.as_ref().is_none_or(|gossip| gossip.left) {
            return;
        }
        let info = self.own_info();
        let networks: BTreeSet<Vni> = self.config.networks.iter().map(|n| n.vni).collect();
        let Some(gossip) = &mut self.gossip else { return };
        if info != gossip.info {
            gossip.link.publish(Key::NodeInfo, info.clone().map(Record::NodeInfo));
            gossip.info = info;
        }
        for vni in gossip.networks.difference(&networks) {
            gossip.link.publish(Key::VniJoin(*vni), None);
        }
        let new: Vec<Vni> = networks.difference(&gossip.networks).copied().collect();
        for vni in &new {
            gossip.link.publish(Key::VniJoin(*vni), Some(Record::VniJoin(*vni)));
        }
        gossip.networks = networks;
        if !new.is_empty() {
            // What others say of a network is kept only while it is here.
            gossip.members.keys().for_each(|node| gossip.link.replay(*node));
        }
        self.publish_shared();
        while let Some((vni, mac)) = self.neighbors.poll_changed() {
            self.publish_address(vni, mac);
        }
    }

    pub(in crate::control) fn publish_address(&mut self, vni: Vni, mac: MacAddr) {
        let record = self.own_address(vni, mac);
        let Some(gossip) = self.gossip.as_mut().filter(|gossip| !gossip.left) else { return };
        let was_said =
            if record.is_some() { !gossip.said.insert((vni, mac)) } else { gossip.said.remove(&(vni, mac)) };
        if record.is_some() || was_said {
            gossip.link.publish(Key::Mac(vni, mac), record);
        }
    }

    /// What this node says of an address: only of what lives here, or behind a static peer that it shares.
    fn own_address(&self, vni: Vni, mac: MacAddr) -> Option<Record> {
        let entry = self.table.entry(vni, mac).filter(|entry| entry.origin.is_none())?;
        let dst = match entry.location {
            Location::Local(_) => None,
            Location::Remote(vtep) => {
                let shared = |p: &&Peer| p.config.share && p.vtep == vtep;
                self.peers.iter().find(shared).map(|_| Some(vtep))?
            }
        };
        let is_static = entry.kind == Kind::Static;
        let (mut ips, router) = self.neighbors.ips_of(vni, mac);
        ips.truncate(MAX_IPS);
        Some(Record::Mac(MacRecord { vni, mac, ips, dst, mob_seq: entry.mob_seq, is_static, router }))
    }

    fn own_info(&self) -> Option<NodeInfo> {
        let gossip = self.gossip.as_ref()?;
        let seen = || self.addresses.iter().map(|ip| self.config.underlay.seen_as(*ip));
        let v4 = seen().find_map(|ip| if let IpAddr::V4(ip) = ip { Some(ip) } else { None });
        let v6 = seen().find_map(|ip| if let IpAddr::V6(ip) = ip { Some(ip) } else { None });
        Some(NodeInfo {
            v4,
            v6,
            vxlan_port: self.config.underlay.vxlan_port,
            geneve_port: self.config.underlay.geneve_port,
            format: self.config.encap.format,
            name: self.config.node.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot: gossip.boot,
        })
    }

    /// The VTEPs by which others know this node.
    pub(in crate::control) fn own_vteps(&self) -> Vec<VtepAddr> {
        let ports = [self.config.underlay.vxlan_port, self.config.underlay.geneve_port];
        let seen = self.addresses.iter().map(|ip| self.config.underlay.seen_as(*ip));
        seen.flat_map(|ip| ports.map(|port| VtepAddr::new(ip, port))).collect()
    }
}
