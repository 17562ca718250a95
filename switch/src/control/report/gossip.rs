//! Answers about members, gossip, and what happened to addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use encap::{MacAddr, VtepAddr};
use fdb::Origin;
use fdb::gossip::identity::NodeId;
use fdb::gossip::members::MemberState;

use super::seconds;
use crate::control::Control;
use crate::control::config::{NetworkConfig, VlanRule};
use crate::control::devices::Devices;
use crate::control::history::Event;
use crate::control::members::{Gossip, Member, vtep};
use crate::control::protocol::{
    ErrorReply, FdbHistory, FdbHistoryEntry, GossipStatus, PeerEntry, PeerKind, PeerState, Reply,
};
use crate::path::Health;

/// Id and name of each member, by its number in the FDB.
pub(in crate::control) type Owners = BTreeMap<Origin, (String, String)>;

impl<D: Devices> Control<D> {
    /// How gossip is; `None` = there is none.
    pub(super) fn gossip_status(&self) -> Option<GossipStatus> {
        let gossip = self.gossip.as_ref()?;
        let status = gossip.link.status();
        let alive = || gossip.members.iter().filter(|(_, member)| member.is_alive());
        let agrees = |node: &NodeId| status.members.get(node).and_then(|member| member.agrees);
        Some(GossipStatus {
            node: gossip.node.to_string(),
            epoch: status.epoch,
            digest: format!("{:032x}", status.digest),
            records: status.records as u64,
            members_up: alive().count() as u64,
            members: gossip.members.len() as u64,
            ready: status.ready,
            left: gossip.left,
            differs: alive().filter(|(n, _)| agrees(n) == Some(false)).map(|(n, m)| m.name(*n)).collect(),
            not_compared: alive().filter(|(node, _)| agrees(node).is_none()).count() as u64,
            lag_ms: u64::try_from(status.lag.as_millis()).unwrap_or(u64::MAX),
            dropped: super::named(status.dropped.named()),
        })
    }

    /// The members, by name.
    pub(super) fn member_entries(&self, now: Instant) -> Vec<PeerEntry> {
        let entry = |gossip: &Gossip| -> Vec<PeerEntry> {
            gossip
                .members
                .iter()
                .map(|(node, member)| self.member_entry(gossip, *node, member, now))
                .collect()
        };
        let mut entries = self.gossip.as_ref().map(entry).unwrap_or_default();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    fn member_entry(&self, gossip: &Gossip, node: NodeId, member: &Member, now: Instant) -> PeerEntry {
        let (format, address, port) = self.address_of(member);
        let networks = || self.networks_of(member);
        let vlan = networks().any(|n| n.vlan == VlanRule::Pass);
        let rtt = gossip.link.status().members.get(&node).and_then(|m| m.rtt);
        let name = member.name(node);
        let amounts = self.amounts(&name);
        PeerEntry {
            name,
            address: address.map_or_else(|| "-".to_owned(), |ip| ip.to_string()),
            port,
            format,
            kind: PeerKind::Member,
            state: member_state(member),
            path_mtu: self.path_mtu(member),
            mtu: self.inner_mtu(member, vlan),
            rtt_us: rtt.and_then(|rtt| u64::try_from(rtt.as_micros()).ok()),
            degraded: self.member_defects(node, member, now).into_iter().map(|it| it.degraded(now)).collect(),
            networks: networks().map(|n| n.name.clone()).collect(),
            runtime: false,
            since_s: Some(seconds(now, member.since)),
            left: member.state == MemberState::Left,
            node: Some(node.to_string()),
            version: member.info.as_ref().map(|info| info.version.clone()),
            gossip: member.gossip,
            received: amounts.received,
            sent: amounts.sent,
        }
    }

    /// The states of the members that did not leave.
    pub(super) fn member_states(&self) -> impl Iterator<Item = PeerState> {
        let members = self.gossip.iter().flat_map(|gossip| gossip.members.values());
        members.filter(|member| member.state != MemberState::Left).map(member_state)
    }

    /// Where a member is, or was before it was hidden, or would be if it could be reached.
    pub(super) fn address_of(&self, member: &Member) -> (encap::Format, Option<IpAddr>, u16) {
        if let Some((format, to)) = self.sent_as(member) {
            return (format, Some(to.ip()), to.port());
        }
        let info = member.info.as_ref();
        let told = info.and_then(|info| vtep(&self.addresses, info)).map(VtepAddr::ip);
        let ip = told.or_else(|| info.and_then(|info| info.v4.map(IpAddr::V4).or(info.v6.map(IpAddr::V6))));
        let format = self.config.encap.format;
        let port = match format {
            encap::Format::Vxlan => info.map_or(self.config.underlay.vxlan_port, |info| info.vxlan_port),
            encap::Format::Geneve => info.map_or(self.config.underlay.geneve_port, |info| info.geneve_port),
        };
        (format, ip, port)
    }

    pub(super) fn networks_of(&self, member: &Member) -> impl Iterator<Item = &NetworkConfig> {
        self.config.networks.iter().filter(|n| member.vnis.contains(&n.vni))
    }

    /// The names of the members that have a network and can be sent to, as far as gossip knows.
    pub(super) fn members_on(&self, network: &NetworkConfig) -> Vec<String> {
        let members = self.gossip.iter().flat_map(|gossip| &gossip.members);
        let on_it = members.filter(|(_, m)| m.is_alive() && m.vnis.contains(&network.vni));
        let mut names: Vec<_> = on_it.map(|(node, member)| member.name(*node)).collect();
        names.sort_unstable();
        names
    }

    /// The members by the number that they have in the FDB: id and name.
    pub(in crate::control) fn owners(&self) -> Owners {
        let members = self.gossip.iter().flat_map(|gossip| &gossip.members);
        members.map(|(node, member)| (member.origin, (node.to_string(), member.name(*node)))).collect()
    }

    pub(in crate::control) fn fdb_history(
        &self,
        mac: MacAddr,
        network: Option<&str>,
        now: Instant,
    ) -> Result<Reply, ErrorReply> {
        let vni = network.map(|n| self.network(n)).transpose()?.map(|n| n.vni);
        let entry = |event: &Event| FdbHistoryEntry {
            age_s: seconds(now, event.at),
            vni: event.vni,
            mac: event.mac,
            event: event.what.event,
            from: event.what.from.clone(),
            to: event.what.to.clone(),
            mob_seq: event.what.mob_seq,
        };
        Ok(Reply::FdbHistory(FdbHistory { entries: self.history.of(mac, vni).map(entry).collect() }))
    }
}

/// Gossip's word, unless frames cannot go there whatever it says.
pub(super) fn member_state(member: &Member) -> PeerState {
    match member.state {
        MemberState::Down | MemberState::Left => PeerState::Down,
        _ if member.info.is_some() && member.sites.is_empty() => PeerState::Down,
        _ if member.found.as_ref().is_some_and(|found| matches!(found.health, Health::Down(_))) => {
            PeerState::Down
        }
        MemberState::Suspect => PeerState::Suspect,
        MemberState::Up => PeerState::Up,
    }
}
