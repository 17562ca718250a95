//! Answers to questions, as clients get them; `gossip` has those about members.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use encap::MacAddr;
use fdb::{EntryView, Kind, Location};

use super::config::VlanRule;
use super::devices::Devices;
use super::peers::Peer;
use super::ports::{Port, State};
use super::protocol::{
    DropCount, Drops, ErrorReply, Fdb, FdbEntry, FdbState, Health, NetworkEntry, Networks, PeerEntry,
    PeerKind, PeerState, Peers, PortEntry, PortState, Ports, Reply, Status,
};
use super::{Control, mtu};
use crate::counters::{DropReason, Totals};

mod doctor;
mod gossip;
mod heads;
mod map;
mod metrics;
mod paths;

pub(crate) use self::doctor::pods;
pub(super) use self::gossip::Owners;

impl<D: Devices> Control<D> {
    fn totals(&self) -> Totals {
        Totals::of(self.counters.iter().chain(&self.path_counters).map(|padded| &***padded))
    }

    pub(super) fn status(&self, now: Instant) -> Reply {
        let degraded: Vec<_> = self.defects(now).into_iter().map(|it| it.degraded(now)).collect();
        let owned = |(name, value): (&str, String)| (name.to_owned(), value);
        Reply::Status(Status {
            node: self.config.node.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: seconds(now, self.started),
            state: if degraded.is_empty() { Health::Ok } else { Health::Degraded },
            degraded,
            workers: self.counters.len(),
            offloads: self.devices.offloads().into_iter().map(owned).collect(),
            counts: self.counts(),
            batching: named(self.totals().batching.named()),
            gossip: self.gossip_status(),
        })
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        let (mut statics, mut frozen) = (0, 0);
        for entry in self.table.entries() {
            statics += u64::from(entry.kind == Kind::Static);
            frozen += u64::from(entry.frozen_until.is_some());
        }
        let fdb = self.table.counters();
        let members: Vec<PeerState> = self.member_states().collect();
        let members_up = members.iter().filter(|state| **state != PeerState::Down).count();
        named([
            ("networks", self.config.networks.len() as u64),
            ("ports", self.ports.len() as u64),
            ("ports_up", self.ports.values().filter(|p| p.id().is_some()).count() as u64),
            ("peers", (self.peers.len() + members.len()) as u64),
            ("peers_up", (self.peers.iter().filter(|p| p.is_up()).count() + members_up) as u64),
            ("macs", self.table.len() as u64),
            ("macs_static", statics),
            ("macs_frozen", frozen),
            ("fdb_learned", fdb.learned),
            ("fdb_moved", fdb.moved),
            ("fdb_expired", fdb.expired),
            ("fdb_evicted", fdb.evicted),
            ("fdb_refused", fdb.refused),
        ])
    }

    pub(super) fn network_list(&self) -> Reply {
        let entry = |n: &super::config::NetworkConfig| {
            let ports = self.ports.iter().filter(|(_, p)| p.config.network == n.name);
            let peers = self.peers.iter().filter(|p| p.config.is_on(&n.name));
            NetworkEntry {
                name: n.name.clone(),
                vni: n.vni,
                mtu: self.wanted_mtu(&n.name),
                ports: ports.map(|(name, _)| name.clone()).collect(),
                peers: peers.map(|p| p.config.address.to_string()).chain(self.members_on(n)).collect(),
                macs: self.table.count(n.vni) as u64,
                max_macs: n.max_macs.into(),
                mac_age_s: n.mac_age.as_secs(),
                unknown_unicast: if n.floods_unknown(self.config.gossip.is_some()) {
                    "flood"
                } else {
                    "drop"
                }
                .to_owned(),
                vlan: match n.vlan {
                    VlanRule::Drop => "drop".to_owned(),
                    VlanRule::Pass => "pass".to_owned(),
                },
            }
        };
        Reply::Networks(Networks { entries: self.config.networks.iter().map(entry).collect() })
    }

    pub(super) fn port_list(&self) -> Reply {
        Reply::Ports(Ports { entries: self.ports.values().map(|port| self.port_entry(port)).collect() })
    }

    fn port_entry(&self, port: &Port) -> PortEntry {
        let config = &port.config;
        let (state, mac, mtu, offloads) = match &port.state {
            State::Up { id, open, .. } => {
                let mtu = self.devices.port_mtu(*id).unwrap_or(open.mtu);
                (PortState::Up, Some(open.mac), mtu, open.offloads.iter().map(|o| (*o).to_owned()).collect())
            }
            State::Waiting { .. } => (PortState::Waiting, config.mac, port.mtu, Vec::new()),
            State::Failed { .. } | State::Deleted { .. } => {
                (PortState::Down, config.mac, port.mtu, Vec::new())
            }
        };
        PortEntry {
            name: config.name.clone(),
            ifname: config.ifname().to_owned(),
            network: config.network.clone(),
            netns: config.netns.clone(),
            mac,
            addresses: config.addresses.clone(),
            mtu,
            state,
            reason: port.reason(),
            offloads,
            runtime: port.runtime,
        }
    }

    pub(super) fn peer_list(&self, now: Instant) -> Reply {
        let mut entries: Vec<_> = self.peers.iter().map(|peer| self.peer_entry(peer, now)).collect();
        entries.extend(self.member_entries(now));
        Reply::Peers(Peers { entries })
    }

    fn peer_entry(&self, peer: &Peer, now: Instant) -> PeerEntry {
        let networks = || self.config.networks.iter().filter(|n| peer.config.is_on(&n.name));
        let vlan = networks().any(|n| n.vlan == VlanRule::Pass);
        let name = peer.config.address.to_string();
        let amounts = self.amounts(&name);
        PeerEntry {
            address: name.clone(),
            name,
            port: peer.vtep.port(),
            format: peer.format,
            kind: PeerKind::Static,
            state: if peer.is_up() { PeerState::Up } else { PeerState::Down },
            path_mtu: peer.path,
            mtu: peer.path.and_then(|path| mtu::through(peer.vtep.ip(), path, vlan)),
            rtt_us: None,
            degraded: self.peer_defects(peer).into_iter().map(|it| it.degraded(now)).collect(),
            networks: networks().map(|n| n.name.clone()).collect(),
            runtime: peer.runtime,
            since_s: Some(seconds(now, peer.since)),
            left: false,
            node: None,
            version: None,
            gossip: None,
            received: amounts.received,
            sent: amounts.sent,
        }
    }

    pub(super) fn fdb_show(
        &self,
        mac: Option<MacAddr>,
        network: Option<&str>,
        now: Instant,
    ) -> Result<Reply, ErrorReply> {
        let vni = network.map(|n| self.network(n)).transpose()?.map(|n| n.vni);
        let wanted = |e: &EntryView| mac.is_none_or(|mac| e.mac == mac) && vni.is_none_or(|vni| e.vni == vni);
        let mut entries: Vec<_> = self.table.entries().filter(wanted).collect();
        entries.sort_unstable_by_key(|e| (e.vni, e.mac));
        Ok(Reply::Fdb(Fdb { entries: self.fdb_entries(&entries, now), more: 0 }))
    }

    fn fdb_entries(&self, entries: &[EntryView], now: Instant) -> Vec<FdbEntry> {
        let ids: BTreeMap<_, _> =
            self.ports.iter().filter_map(|(name, p)| Some((p.id()?, name.as_str()))).collect();
        let owners = self.owners();
        let entry = |entry: &EntryView| {
            let owner = entry.origin.and_then(|origin| owners.get(&origin)).cloned();
            let port = match entry.location {
                Location::Local(id) => Some(ids.get(&id).map_or_else(|| id.to_string(), |n| (*n).to_owned())),
                Location::Remote(_) => None,
            };
            self.fdb_entry(entry, port, owner, now)
        };
        entries.iter().map(entry).collect()
    }

    /// `owner`: id and name of the node that claims the address.
    fn fdb_entry(
        &self,
        entry: &EntryView,
        port: Option<String>,
        owner: Option<(String, String)>,
        now: Instant,
    ) -> FdbEntry {
        let (dst, learned) = match entry.location {
            Location::Local(_) => (None, FdbState::Local),
            Location::Remote(vtep) => (Some(vtep.ip()), FdbState::Remote),
        };
        let network = self.config.networks.iter().find(|n| n.vni == entry.vni);
        let since = entry.last_seen.unwrap_or_else(|| self.static_since(entry, port.as_deref()));
        FdbEntry {
            mac: entry.mac,
            vni: entry.vni,
            network: network.map_or_else(String::new, |n| n.name.clone()),
            state: if entry.kind.is_static() { FdbState::Static } else { learned },
            port,
            dst,
            node: owner.as_ref().map(|(node, _)| node.clone()),
            owner: owner.map_or_else(|| self.config.node.name.clone(), |(_, name)| name),
            seq: entry.seq,
            mob_seq: entry.mob_seq,
            age_s: seconds(now, since),
            frozen_s: entry.frozen_until.map(|until| seconds(until, now)),
        }
    }

    /// When the command line made a static entry, else when its port came up.
    fn static_since(&self, entry: &EntryView, port: Option<&str>) -> Instant {
        let by_command = self.statics.get(&(entry.vni, entry.mac)).map(|at| at.since);
        let up_since = || match self.ports.get(port?)?.state {
            State::Up { since, .. } => Some(since),
            _ => None,
        };
        by_command.or_else(up_since).unwrap_or(self.started)
    }

    pub(super) fn drops(&self) -> Reply {
        let totals = self.totals();
        let lost_before = named(totals.lost_before.named().into_iter().chain(self.devices.lost_before()));
        Reply::Drops(Self::ledger(&totals, lost_before))
    }

    /// By the names of the reasons, of rows in their order.
    fn drop_counts(rows: &[[u64; 2]]) -> BTreeMap<String, DropCount> {
        let count = |(reason, &[inbound, outbound]): (&DropReason, &[u64; 2])| {
            (reason.name().to_owned(), DropCount { inbound, outbound })
        };
        DropReason::ALL.iter().zip(rows).map(count).collect()
    }

    fn ledger(totals: &Totals, lost_before: BTreeMap<String, u64>) -> Drops {
        let ledger = &totals.ledger;
        Drops {
            received: ledger.received_from_ports + ledger.received_from_underlay,
            delivered: ledger.delivered_to_ports + ledger.delivered_to_underlay,
            answered: ledger.answered,
            copies: ledger.copies,
            drops: Self::drop_counts(&totals.drops),
            notices: named(totals.notices.named()),
            lost_before,
            sides: named([
                ("received_from_ports", ledger.received_from_ports),
                ("received_from_underlay", ledger.received_from_underlay),
                ("delivered_to_ports", ledger.delivered_to_ports),
                ("delivered_to_underlay", ledger.delivered_to_underlay),
            ]),
        }
    }
}

fn named(values: impl IntoIterator<Item = (&'static str, u64)>) -> BTreeMap<String, u64> {
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Whole seconds from `since` to `now`; 0 when that is the other way round.
pub(super) fn seconds(now: Instant, since: Instant) -> u64 {
    now.checked_duration_since(since).unwrap_or(Duration::ZERO).as_secs()
}

/// At most this many names stand in one message.
const LISTED: usize = 10;

/// Names, as many as a message takes.
pub(super) fn names(mut all: Vec<String>) -> String {
    let more = all.len().saturating_sub(LISTED);
    all.truncate(LISTED);
    let all = all.join(", ");
    if more == 0 { all } else { format!("{all} and {more} more") }
}
