//! What this node knows of addresses and peers, as a story tells it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use encap::{MacAddr, PortId, Vni};
use fdb::Location;
use fdb::gossip::identity::NodeId;

use crate::batch::Route;
use crate::control::Control;
use crate::control::config::VlanRule;
use crate::control::defects::Defect;
use crate::control::devices::Devices;
use crate::control::members::Member;
use crate::control::mtu;
use crate::control::report::seconds;
use crate::path::{self, Health, Path, View};
use crate::topology::PeerView;
use crate::trace::{Cause, EntryFacts, PeerFacts};

impl<D: Devices> Control<D> {
    /// The FDB entry of an address; `here` is the port that sends.
    pub(super) fn entry_facts(
        &self,
        vni: Vni,
        mac: MacAddr,
        here: PortId,
        now: Instant,
    ) -> Option<EntryFacts> {
        let entry = self.table.entry(vni, mac)?;
        let owner = entry.origin.zip(self.gossip.as_ref());
        let owner = owner.and_then(|(origin, gossip)| gossip.by_origin(origin));
        Some(EntryFacts {
            mac,
            place: self.describe(entry.location),
            owner: owner.map_or_else(|| self.config.node.name.clone(), |(node, member)| member.name(node)),
            seq: entry.seq,
            mob_seq: entry.mob_seq,
            is_static: entry.kind.is_static(),
            frozen_s: entry.frozen_until.map(|until| seconds(until, now)),
            is_here: entry.location == Location::Local(here),
        })
    }

    /// A peer, and the way that datagrams of this route take to it.
    pub(super) fn way_facts(
        &self,
        peer: &PeerView,
        route: Route,
        views: &BTreeMap<NodeId, View>,
    ) -> PeerFacts {
        let member = self.gossip.as_ref().filter(|_| peer.member);
        let member = member.and_then(|gossip| gossip.by_ip(peer.vtep.ip()));
        let found = member.and_then(|(_, member)| member.found.as_ref());
        let via = found.and_then(|found| found.via).filter(|_| peer.via.is_some());
        let next = via.map(|via| via.node).or(member.map(|(node, _)| node));
        let view = next.and_then(|next| views.get(&next));
        let source = view.and_then(|view| view.sources.get(usize::from(route.source)));
        let rtt = view.and_then(|view| view.round_trip).map(|rtt| rtt.smoothed);
        let name = |node| self.gossip.as_ref().map(|gossip| gossip.name_of(node));
        PeerFacts {
            name: peer.name.to_string(),
            member: peer.member,
            address: route.to.to_string(),
            format: peer.via.map_or(peer.format, |_| encap::Format::Geneve),
            source_port: source.and_then(|source| source.port),
            path_mtu: peer.via.map_or(peer.path_mtu, |via| via.path_mtu),
            mtu: self.mtu_to(peer, member.map(|(_, member)| member)),
            rtt_us: rtt.map(|rtt: Duration| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
            via: via.and_then(|via| name(via.node)),
            causes: member.map(|(_, member)| self.causes_of(member)).unwrap_or_default(),
            down: found.is_some_and(|found| is_dead(found) && peer.via.is_none()),
        }
    }

    fn mtu_to(&self, peer: &PeerView, member: Option<&Member>) -> Option<encap::Mtu> {
        let has_tags = |network: &crate::topology::NetworkIndex| {
            let network = self.config.networks.get(usize::from(network.0));
            network.is_some_and(|network| network.vlan == VlanRule::Pass)
        };
        let vlan = peer.networks.iter().any(has_tags);
        match member {
            Some(member) => self.inner_mtu(member, vlan),
            None => mtu::through(peer.to.ip(), peer.path_mtu, vlan),
        }
    }

    /// What is wrong with the path to a member.
    fn causes_of(&self, member: &Member) -> Vec<Cause> {
        let cause = |defect: Defect<'_>| Cause { code: defect.code.to_owned(), what: defect.text() };
        self.found_defects(member).into_iter().map(cause).collect()
    }
}

/// Whether nothing gets there directly, though something may come back.
fn is_dead(found: &Path) -> bool {
    let one_way = found.health.causes().iter().any(|since| since.cause == path::Cause::OneWay);
    one_way || matches!(found.health, Health::Down(_))
}
