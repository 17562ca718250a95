//! Answers about what is measured, and whether the node is ready.
//!
//! Causes have the names that commands and the log give them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use encap::{Mtu, Vni};
use fdb::Location;
use fdb::gossip::identity::NodeId;
use fdb::gossip::members::MemberState;

use crate::control::Control;
use crate::control::defects::codes;
use crate::control::devices::Devices;
use crate::control::members::{Gossip, Member};
use crate::control::peers::Peer;
use crate::control::ports::{Port, State};
use crate::control::protocol::{
    Amount, GossipMetrics, Histogram, LastReload, Lost, Metrics, NetworkMetrics, PeerMetrics, PeerState,
    PortMetrics, PortState, Ready, Reply, Tunnels,
};
use crate::counters::{Direction, HistogramView, HistogramsView, SealsView, Stage, TunnelsView};
use crate::path::{Share, View};

impl<D: Devices> Control<D> {
    /// What the node waits for before its pods can rely on it. A port whose namespace does not exist, or whose device
    /// somebody deleted, is not waited for.
    pub(in crate::control) fn ready(&self) -> Reply {
        let failed = self.ports.iter().filter_map(|(name, port)| match &port.state {
            State::Failed { reason, .. } => Some(format!("port {name}: {reason}")),
            _ => None,
        });
        let gossip = self.gossip.as_ref().and_then(|gossip| {
            if gossip.left {
                return Some("gossip: this node left; restart weft to join again".to_owned());
            }
            let waits = "gossip: no other node told yet all that it knows; without an answer this takes 10 s";
            (!gossip.link.status().ready).then(|| waits.to_owned())
        });
        Reply::Ready(Ready { waits_for: failed.chain(gossip).collect() })
    }

    /// All that is measured.
    pub(in crate::control) fn metrics(&self, now: Instant) -> Reply {
        let totals = self.totals();
        let after_start = |at: Instant| u64::try_from(at.saturating_duration_since(self.started).as_millis());
        let owned = |(name, value): (&str, String)| (name.to_owned(), value);
        let fdb = self.table.counters();
        Reply::Metrics(Box::new(Metrics {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: option_env!("WEFT_REVISION").unwrap_or("unknown").to_owned(),
            uptime_ms: after_start(now).unwrap_or(u64::MAX),
            reload: LastReload {
                successful: self.reloads.successful,
                success_ms: after_start(self.reloads.succeeded).unwrap_or(u64::MAX),
            },
            ledger: Self::ledger(&totals, super::named(totals.lost_before.named())),
            dropped_octets: Self::drop_counts(&totals.drop_octets),
            answered: super::named(totals.answers.named()),
            too_big_told: super::named(totals.too_bigs.named()),
            tunnels: tunnels(&totals.tunnels, totals.ledger.delivered_to_underlay),
            batches: batches(&totals.histograms),
            forwarding_ns: forwarding(&totals.histograms),
            ports: self.ports.iter().filter_map(|(name, port)| self.port_metrics(name, port)).collect(),
            networks: self.network_metrics(),
            fdb_events: super::named([
                ("learned", fdb.learned),
                ("moved", fdb.moved),
                ("expired", fdb.expired),
                ("evicted", fdb.evicted),
                ("refused", fdb.refused),
            ]),
            peers: self.peer_metrics(now),
            degraded: self.defect_counts(now),
            offloads: self.devices.offloads().into_iter().map(owned).collect(),
            gossip: self.gossip.as_ref().map(|gossip| gossip_metrics(gossip, &totals.seals)),
        }))
    }

    fn port_metrics(&self, name: &str, port: &Port) -> Option<PortMetrics> {
        let mut traffic = self.traffic.get(name).copied().unwrap_or_default();
        port.id().into_iter().for_each(|id| traffic.add(&self.devices.port_traffic(id)));
        Some(PortMetrics {
            name: name.to_owned(),
            network: port.config.network.clone(),
            vni: self.vni_of(&port.config.network)?,
            state: match port.state {
                State::Up { .. } => PortState::Up,
                State::Waiting { .. } => PortState::Waiting,
                State::Failed { .. } | State::Deleted { .. } => PortState::Down,
            },
            received: Amount { count: traffic.received, octets: traffic.received_octets },
            sent: Amount { count: traffic.sent, octets: traffic.sent_octets },
        })
    }

    fn network_metrics(&self) -> Vec<NetworkMetrics> {
        // Local, remote, static, frozen.
        let mut counts: BTreeMap<Vni, [u64; 4]> = BTreeMap::new();
        for entry in self.table.entries() {
            let row = counts.entry(entry.vni).or_default();
            let source = match (entry.kind, entry.location) {
                (kind, _) if kind.is_static() => 2,
                (_, Location::Local(_)) => 0,
                (_, Location::Remote(_)) => 1,
            };
            row[source] += 1;
            row[3] += u64::from(entry.frozen_until.is_some());
        }
        let networks = self.config.networks.iter().map(|network| {
            let [local, remote, fixed, frozen] = counts.get(&network.vni).copied().unwrap_or_default();
            let (name, vni, moves) = (network.name.clone(), network.vni, self.table.moves(network.vni));
            NetworkMetrics { name, vni, local, remote, fixed, frozen, moves }
        });
        networks.collect()
    }

    /// One for each peer, and no name twice: of two members with one name the later has the beginning of its id behind it.
    fn peer_metrics(&self, now: Instant) -> Vec<PeerMetrics> {
        let views = self.devices.path_views();
        let members = self.gossip.iter().flat_map(|gossip| {
            let there = gossip.members.iter().filter(|(_, member)| member.state != MemberState::Left);
            there.map(move |(node, member)| (gossip, *node, member))
        });
        let mut all: Vec<_> = self.peers.iter().map(|peer| self.static_metrics(peer)).collect();
        let mut names: BTreeSet<_> = all.iter().map(|peer| peer.name.clone()).collect();
        for (gossip, node, member) in members {
            let mut peer = self.member_metrics((gossip, node, member), views.get(&node), now);
            if !names.insert(peer.name.clone()) {
                peer = told_apart(peer, node);
            }
            all.push(peer);
        }
        all
    }

    pub(super) fn static_metrics(&self, peer: &Peer) -> PeerMetrics {
        let name = peer.config.address.to_string();
        let amounts = self.amounts(&name);
        PeerMetrics {
            name,
            state: if peer.is_up() { PeerState::Up } else { PeerState::Down },
            rtt_us: None,
            probe_rtt_us: None,
            lost_there: Lost::default(),
            lost_back: Lost::default(),
            probes_lost: None,
            path_mtu: peer.path.map(Mtu::get),
            degraded: codes(&self.peer_defects(peer)),
            received: amounts.received,
            sent: amounts.sent,
            geneve_received: amounts.geneve_received,
            geneve_sent: amounts.geneve_sent,
        }
    }

    pub(super) fn member_metrics(
        &self,
        (gossip, node, member): (&Gossip, NodeId, &Member),
        view: Option<&View>,
        now: Instant,
    ) -> PeerMetrics {
        let rtt = gossip.link.status().members.get(&node).and_then(|member| member.rtt);
        let probe_rtt = view.and_then(|view| view.round_trip).map(|round_trip| round_trip.smoothed);
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let lost = |share: fn(&View) -> Share| {
            view.map_or_else(Lost::default, |view| Lost { count: share(view).count, of: share(view).of })
        };
        let name = member.name(node);
        let amounts = self.amounts(&name);
        PeerMetrics {
            name,
            state: super::gossip::member_state(member),
            rtt_us: rtt.map(micros),
            probe_rtt_us: probe_rtt.map(micros),
            lost_there: lost(|view| view.lost_there),
            lost_back: lost(|view| view.lost_back),
            probes_lost: view.map(|view| view.probes_lost),
            path_mtu: self.path_mtu(member).map(Mtu::get),
            degraded: codes(&self.member_defects(node, member, now)),
            received: amounts.received,
            sent: amounts.sent,
            geneve_received: amounts.geneve_received,
            geneve_sent: amounts.geneve_sent,
        }
    }

    /// What workers moved between this node and the peer of this name.
    pub(super) fn amounts(&self, peer: &str) -> Amounts {
        let traffic = self.traffic_with(peer).read();
        let amount = |count, octets| Amount { count, octets };
        Amounts {
            received: amount(
                traffic.vxlan_received + traffic.geneve_received,
                traffic.vxlan_received_octets + traffic.geneve_received_octets,
            ),
            sent: amount(
                traffic.vxlan_sent + traffic.geneve_sent,
                traffic.vxlan_sent_octets + traffic.geneve_sent_octets,
            ),
            geneve_received: amount(traffic.geneve_received, traffic.geneve_received_octets),
            geneve_sent: amount(traffic.geneve_sent, traffic.geneve_sent_octets),
        }
    }
}

/// What was moved between this node and a peer: all of it, and the part that was Geneve.
pub(super) struct Amounts {
    pub(super) received: Amount,
    pub(super) sent: Amount,
    geneve_received: Amount,
    geneve_sent: Amount,
}

fn tunnels(view: &TunnelsView, sent: u64) -> Tunnels {
    Tunnels {
        vxlan_received: Amount { count: view.vxlan_received, octets: view.vxlan_received_octets },
        geneve_received: Amount { count: view.geneve_received, octets: view.geneve_received_octets },
        sent: Amount { count: sent, octets: view.sent_octets },
    }
}

fn batches(view: &HistogramsView) -> BTreeMap<String, Histogram> {
    Stage::ALL.iter().map(|stage| (stage.name().to_owned(), histogram(view.batches(*stage)))).collect()
}

fn forwarding(view: &HistogramsView) -> BTreeMap<String, Histogram> {
    let ways = [("inbound", Direction::Inbound), ("outbound", Direction::Outbound)];
    ways.into_iter().map(|(name, way)| (name.to_owned(), histogram(view.forwarding(way)))).collect()
}

fn histogram(view: &HistogramView) -> Histogram {
    Histogram { bounds: view.bounds.to_vec(), counts: view.counts.clone(), sum: view.sum }
}

/// A member with the name of another peer. Workers count for both by the one name, and that is told with the other.
fn told_apart(peer: PeerMetrics, node: NodeId) -> PeerMetrics {
    let none = Amount::default();
    let name = format!("{} ({:.8})", peer.name, node.to_string());
    PeerMetrics { name, received: none, sent: none, geneve_received: none, geneve_sent: none, ..peer }
}

fn gossip_metrics(gossip: &Gossip, seals: &SealsView) -> GossipMetrics {
    let status = gossip.link.status();
    let mut members = super::named([("up", 0), ("suspect", 0), ("down", 0), ("left", 0)]);
    for member in gossip.members.values() {
        let state = match member.state {
            MemberState::Up => "up",
            MemberState::Suspect => "suspect",
            MemberState::Down => "down",
            MemberState::Left => "left",
        };
        *members.entry(state.to_owned()).or_default() += 1;
    }
    let differs = |(node, member): &(&NodeId, &Member)| {
        member.is_alive() && status.members.get(*node).is_some_and(|member| member.agrees == Some(false))
    };
    GossipMetrics {
        members,
        ready: status.ready,
        divergent: gossip.members.iter().filter(differs).count() as u64,
        records: status.records as u64,
        lag_ms: u64::try_from(status.lag.as_millis()).unwrap_or(u64::MAX),
        dropped: super::named(status.dropped.named()),
        convergence_ms: histogram(&status.convergence.0),
        crypto_failures: super::named(
            seals.named().into_iter().map(|(cause, count)| (cause, count + status.dropped.of(cause))),
        ),
        traffic: status.traffic,
    }
}
