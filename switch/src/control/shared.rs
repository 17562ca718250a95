//! Static VTEPs that nodes share: all members hear them and flood to them, and who lives behind them is said by the node
//! that has them as its peer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use encap::{Format, Mtu, Vni, VtepAddr};
use fdb::gossip::identity::NodeId;
use fdb::replica::{Key, MAX_VNIS, Record, VtepRecord};

use super::devices::Devices;
use super::members::Gossip;
use super::{Control, mtu};
use crate::log::say;

/// VTEPs that one node may share; more are not heard.
const MAX_SHARED: usize = 256;

/// A VTEP that other nodes share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// What each of them says of it.
    by: BTreeMap<NodeId, (Format, BTreeSet<Vni>)>,
    pub(super) path: Option<Mtu>,
    /// What the underlay said of the path, and when.
    pub(super) reported: Option<(Mtu, Instant)>,
}

impl Shared {
    /// What it is sent: as the first of those who share it says.
    pub(super) fn format(&self) -> Format {
        self.by.values().next().map_or(Format::Vxlan, |(format, _)| *format)
    }

    pub(super) fn is_on(&self, vni: Vni) -> bool {
        self.by.values().any(|(_, vnis)| vnis.contains(&vni))
    }
}

impl Gossip {
    fn share(&mut self, node: NodeId, at: VtepAddr, record: Option<VtepRecord>) {
        let shared = self.shared.entry(at).or_default();
        match record {
            Some(VtepRecord { format, vnis, .. }) => {
                shared.by.insert(node, (format, vnis.into_iter().collect()));
            }
            None => drop(shared.by.remove(&node)),
        }
        if shared.by.is_empty() {
            self.shared.remove(&at);
        }
    }

    fn shared_by(&self, node: NodeId) -> usize {
        self.shared.values().filter(|shared| shared.by.contains_key(&node)).count()
    }
}

impl<D: Devices> Control<D> {
    /// A node shares a VTEP, or does so no more.
    pub(super) fn member_vtep(&mut self, node: NodeId, at: VtepAddr, record: Option<VtepRecord>) {
        let Some(gossip) = &mut self.gossip else { return };
        let new = !gossip.shared.get(&at).is_some_and(|shared| shared.by.contains_key(&node));
        if record.is_some() && new && gossip.shared_by(node) >= MAX_SHARED {
            say!(
                SharedRefused, peer = %node, vtep = %at,
                "a node shares more than {MAX_SHARED} static peers: the rest is not heard here"
            );
            return;
        }
        gossip.share(node, at, record);
        self.find_path_to_shared(at);
        self.dirty = true;
    }

    /// Looks again at the way to every shared VTEP.
    pub(super) fn look_at_shared(&mut self) {
        let all: Vec<VtepAddr> =
            self.gossip.iter().flat_map(|gossip| gossip.shared.keys().copied()).collect();
        all.into_iter().for_each(|at| self.find_path_to_shared(at));
    }

    fn find_path_to_shared(&mut self, at: VtepAddr) {
        let path = self.devices.underlay_path(at);
        let path = path.map(|path| mtu::of_underlay(self.config.underlay.mtu, Some(path.mtu)));
        let shared = self.gossip.as_mut().and_then(|gossip| gossip.shared.get_mut(&at));
        let Some(shared) = shared else { return };
        let path = match shared.reported {
            Some((reported, _)) => path.map(|path| path.min(reported)),
            None => path,
        };
        if shared.path != path {
            shared.path = path;
            self.dirty = true;
        }
    }

    /// Says which static peers this node shares, where that changed.
    pub(super) fn publish_shared(&mut self) {
        let networks = &self.config.networks;
        let record = |peer: &super::peers::Peer| VtepRecord {
            at: peer.vtep,
            format: peer.format,
            vnis: networks
                .iter()
                .filter(|n| peer.config.is_on(&n.name))
                .map(|n| n.vni)
                .take(MAX_VNIS)
                .collect(),
        };
        let wanted = self.peers.iter().filter(|peer| peer.config.share);
        let wanted: BTreeMap<VtepAddr, VtepRecord> = wanted.map(|peer| (peer.vtep, record(peer))).collect();
        let Some(gossip) = &mut self.gossip else { return };
        if gossip.shares == wanted {
            return;
        }
        for at in gossip.shares.keys().filter(|at| !wanted.contains_key(at)) {
            gossip.link.publish(Key::Vtep(*at), None);
        }
        for (at, record) in wanted.iter().filter(|(at, record)| gossip.shares.get(at) != Some(record)) {
            gossip.link.publish(Key::Vtep(*at), Some(Record::Vtep(record.clone())));
        }
        gossip.shares = wanted;
    }

    /// Whether an address is one of a static peer of this node's own.
    pub(super) fn is_own_peer(&self, ip: IpAddr) -> bool {
        self.peers.iter().any(|peer| !peer.is_prefix() && peer.vtep.ip() == ip)
    }
}
