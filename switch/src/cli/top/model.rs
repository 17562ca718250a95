//! What `weft top` knows: answers of the daemon become rows with rates and histories. No clock, no terminal.

use std::collections::{BTreeMap, VecDeque};

use crate::cli::drops::imbalance;
use crate::cli::path::worse;
use crate::control::protocol::{
    Amount, DegradedSubject, Drops, Lost, Metrics, NetworkEntry, NetworkMetrics, Networks, PeerEntry,
    PeerMetrics, PeerState, Peers, PortEntry, Ports, Reply, Status,
};

/// Samples that a history keeps.
pub(super) const SAMPLES: usize = 120;
/// Peers, ports, networks and causes that are kept, of each; with their histories they take some 8 MB.
pub(super) const MAX_ROWS: usize = 2048;

/// What the daemon said at one moment.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) status: Status,
    pub(super) metrics: Box<Metrics>,
    pub(super) drops: Drops,
    pub(super) peers: Peers,
    pub(super) ports: Ports,
    pub(super) networks: Networks,
    /// What was asked for details, if anything was.
    pub(super) more: Option<Reply>,
}

/// Something each second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) frames: u64,
    pub(super) bits: u64,
}

/// A counter that is read again and again.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    /// What it counted so far.
    pub(super) total: Amount,
    /// How fast it went between the last two answers; `None` = there are no two of one daemon.
    pub(super) pace: Option<Pace>,
    history: VecDeque<Pace>,
    is_read: bool,
}

impl Meter {
    /// `elapsed_ms` lie between this answer and the one before; `None` = that one was of another daemon.
    fn note(&mut self, total: Amount, elapsed_ms: Option<u64>) {
        let elapsed = elapsed_ms.filter(|_| self.is_read);
        self.pace = elapsed.and_then(|ms| Pace::between(self.total, total, ms));
        self.total = total;
        self.is_read = true;
        // A gap stays one, so that all histories are of the same moments.
        if self.pace.is_some() || !self.history.is_empty() {
            self.history.push_back(self.pace.unwrap_or_default());
        }
        if self.history.len() > SAMPLES {
            self.history.pop_front();
        }
    }

    /// Frames or bits each second, the oldest first.
    pub(super) fn history(&self, of: impl Fn(&Pace) -> u64) -> Vec<u64> {
        self.history.iter().map(of).collect()
    }
}

impl Pace {
    /// `None` when a counter went back: it began anew.
    fn between(before: Amount, now: Amount, ms: u64) -> Option<Self> {
        let count = now.count.checked_sub(before.count)?;
        let octets = now.octets.checked_sub(before.octets)?;
        Some(Self { frames: each_second(count, 1, ms), bits: each_second(octets, 8, ms) })
    }
}

fn each_second(count: u64, times: u128, ms: u64) -> u64 {
    let sum = u128::from(count) * times * 1000 / u128::from(ms.max(1));
    u64::try_from(sum).unwrap_or(u64::MAX)
}

/// What goes both ways.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    /// From the peer, or from pods.
    pub(super) received: Meter,
    /// To it.
    pub(super) sent: Meter,
}

impl Flow {
    fn note(&mut self, received: Amount, sent: Amount, elapsed_ms: Option<u64>) {
        self.received.note(received, elapsed_ms);
        self.sent.note(sent, elapsed_ms);
    }

    /// Bits each second, both ways together.
    pub(super) fn history(&self) -> Vec<u64> {
        let both = self.received.history.iter().zip(&self.sent.history);
        both.map(|(received, sent)| received.bits.saturating_add(sent.bits)).collect()
    }
}

/// A peer.
#[derive(Debug)]
pub(super) struct PeerRow {
    pub(super) entry: PeerEntry,
    /// Absent for a member that left, and for all but the first of one name.
    pub(super) numbers: Option<PeerMetrics>,
    pub(super) flow: Flow,
}

/// How a peer is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PeerHealth {
    Down,
    Suspect,
    Degraded,
    Up,
    Left,
}

impl PeerRow {
    pub(super) const fn health(&self) -> PeerHealth {
        match self.entry.state {
            PeerState::Down if self.entry.left => PeerHealth::Left,
            PeerState::Down => PeerHealth::Down,
            PeerState::Suspect => PeerHealth::Suspect,
            PeerState::Up if self.entry.degraded.is_empty() => PeerHealth::Up,
            PeerState::Up => PeerHealth::Degraded,
        }
    }

    /// The round trip of probes on the data ports, or else that of gossip.
    pub(super) fn rtt_us(&self) -> Option<u64> {
        self.numbers.as_ref().and_then(|numbers| numbers.probe_rtt_us).or(self.entry.rtt_us)
    }

    /// What is lost of late in the worse direction; `None` = nothing is measured.
    pub(super) fn loss(&self) -> Option<Lost> {
        let numbers = self.numbers.as_ref()?;
        Some(worse(numbers.lost_there, numbers.lost_back)).filter(|lost| lost.of > 0)
    }
}

/// A port.
#[derive(Debug)]
pub(super) struct PortRow {
    pub(super) entry: PortEntry,
    pub(super) flow: Flow,
}

/// A network; its flow is that of its ports.
#[derive(Debug)]
pub(super) struct NetworkRow {
    pub(super) entry: NetworkEntry,
    pub(super) numbers: Option<NetworkMetrics>,
    pub(super) flow: Flow,
}

/// A reason for drops, or something that is lost before weft sees it.
#[derive(Debug, Default)]
pub(super) struct ReasonRow {
    /// Whether the kernel lost it before: outside the ledger.
    pub(super) before: bool,
    pub(super) inbound: Meter,
    pub(super) outbound: Meter,
}

impl ReasonRow {
    pub(super) const fn total(&self) -> u64 {
        self.inbound.total.count.saturating_add(self.outbound.total.count)
    }

    /// Frames each second.
    pub(super) fn pace(&self) -> Option<u64> {
        Some(self.inbound.pace?.frames.saturating_add(self.outbound.pace?.frames))
    }

    /// Frames each second, both ways together.
    pub(super) fn history(&self) -> Vec<u64> {
        let both = self.inbound.history.iter().zip(&self.outbound.history);
        both.map(|(inbound, outbound)| inbound.frames.saturating_add(outbound.frames)).collect()
    }
}

/// All that is shown.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// How the daemon is; `None` = it did not answer yet.
    pub(super) status: Option<Status>,
    /// Why it does not answer now.
    pub(super) lost: Option<String>,
    /// By name; of members of one name, by id too.
    pub(super) peers: BTreeMap<String, PeerRow>,
    /// By name.
    pub(super) networks: BTreeMap<String, NetworkRow>,
    /// By name.
    pub(super) ports: BTreeMap<String, PortRow>,
    /// By name.
    pub(super) reasons: BTreeMap<String, ReasonRow>,
    /// What does not work, as the daemon lists it.
    pub(super) causes: Vec<DegradedSubject>,
    /// How many rows were left out.
    pub(super) omitted: usize,
    /// From the underlay.
    pub(super) inbound: Meter,
    /// To the underlay.
    pub(super) outbound: Meter,
    /// Of all reasons.
    pub(super) dropped: Meter,
    /// Lost by the kernel before weft saw it.
    pub(super) lost_before: u64,
    /// Frames that the ledger does not account for, or not yet.
    pub(super) imbalance: i128,
    /// In how many answers since then `imbalance` was the same.
    pub(super) imbalance_stands: u32,
    /// What was asked for details.
    pub(super) more: Option<Reply>,
    uptime_ms: Option<u64>,
}

impl Model {
    /// Takes what the daemon said. Rates are over the daemon's own time between two answers.
    pub(super) fn take(&mut self, answers: Answers) {
        let Answers { status, metrics, drops, peers, ports, networks, more } = answers;
        let elapsed_ms = self.uptime_ms.and_then(|before| metrics.uptime_ms.checked_sub(before));
        let elapsed_ms = elapsed_ms.filter(|ms| *ms > 0);
        self.uptime_ms = Some(metrics.uptime_ms);
        let rows = [peers.entries.len(), ports.entries.len(), networks.entries.len(), status.degraded.len()];
        self.omitted = rows.iter().map(|rows| rows.saturating_sub(MAX_ROWS)).sum();
        self.take_totals(&metrics, &drops, elapsed_ms);
        self.take_peers(peers, &metrics, elapsed_ms);
        self.take_networks(networks, &metrics, elapsed_ms);
        self.take_ports(ports, &metrics, elapsed_ms);
        self.causes = status.degraded.iter().take(MAX_ROWS).cloned().collect();
        self.status = Some(status);
        self.more = more;
        self.lost = None;
    }

    /// The daemon does not answer; what it said last stays, and the next rates begin anew.
    pub(super) fn lose(&mut self, why: String) {
        self.lost = Some(why);
        self.uptime_ms = None;
    }

    /// Whether there were two answers of one daemon, one after the other.
    pub(super) const fn has_rates(&self) -> bool {
        self.lost.is_none() && self.inbound.pace.is_some()
    }

    fn take_totals(&mut self, metrics: &Metrics, drops: &Drops, elapsed_ms: Option<u64>) {
        let tunnels = &metrics.tunnels;
        self.inbound.note(sum([tunnels.vxlan_received, tunnels.geneve_received]), elapsed_ms);
        self.outbound.note(tunnels.sent, elapsed_ms);
        self.dropped.note(frames(metrics.ledger.dropped()), elapsed_ms);
        let imbalance = imbalance(&metrics.ledger);
        self.imbalance_stands =
            if imbalance == self.imbalance { self.imbalance_stands.saturating_add(1) } else { 0 };
        self.imbalance = imbalance;
        self.lost_before = drops.lost_before.values().sum();
        for (name, count) in &metrics.ledger.drops {
            let row = self.reasons.entry(name.clone()).or_default();
            row.inbound.note(frames(count.inbound), elapsed_ms);
            row.outbound.note(frames(count.outbound), elapsed_ms);
        }
        for (name, count) in &drops.lost_before {
            let row = self.reasons.entry(name.clone()).or_default();
            row.before = true;
            row.inbound.note(frames(*count), elapsed_ms);
            row.outbound.note(frames(0), elapsed_ms);
        }
        let is_said =
            |name: &str| metrics.ledger.drops.contains_key(name) || drops.lost_before.contains_key(name);
        self.reasons.retain(|name, _| is_said(name));
    }

    fn take_peers(&mut self, peers: Peers, metrics: &Metrics, elapsed_ms: Option<u64>) {
        // One a name; of several peers it is the first, in the same order.
        let mut numbers: BTreeMap<_, _> =
            metrics.peers.iter().map(|peer| (peer.name.as_str(), peer)).collect();
        let mut before = std::mem::take(&mut self.peers);
        for entry in peers.entries.into_iter().take(MAX_ROWS) {
            let key = if self.peers.contains_key(&entry.name) { entry.node.clone() } else { None };
            let key = key.unwrap_or_else(|| entry.name.clone());
            let mut flow = before.remove(&key).map_or_else(Flow::default, |row| row.flow);
            let numbers = if entry.left { None } else { numbers.remove(entry.name.as_str()).cloned() };
            if let Some(numbers) = &numbers {
                flow.note(numbers.received, numbers.sent, elapsed_ms);
            }
            self.peers.insert(key, PeerRow { entry, numbers, flow });
        }
    }

    fn take_networks(&mut self, networks: Networks, metrics: &Metrics, elapsed_ms: Option<u64>) {
        let mut traffic: BTreeMap<&str, [Amount; 2]> = BTreeMap::new();
        for port in &metrics.ports {
            let [received, sent] = traffic.entry(&port.network).or_default();
            (*received, *sent) = (sum([*received, port.received]), sum([*sent, port.sent]));
        }
        let numbers: BTreeMap<_, _> = metrics.networks.iter().map(|it| (it.name.as_str(), it)).collect();
        let mut before = std::mem::take(&mut self.networks);
        for entry in networks.entries.into_iter().take(MAX_ROWS) {
            let name = entry.name.clone();
            let mut flow = before.remove(&name).map_or_else(Flow::default, |row| row.flow);
            let [received, sent] = traffic.get(name.as_str()).copied().unwrap_or_default();
            flow.note(received, sent, elapsed_ms);
            let numbers = numbers.get(name.as_str()).map(|it| (*it).clone());
            self.networks.insert(name, NetworkRow { entry, numbers, flow });
        }
    }

    fn take_ports(&mut self, ports: Ports, metrics: &Metrics, elapsed_ms: Option<u64>) {
        let numbers: BTreeMap<_, _> = metrics.ports.iter().map(|port| (port.name.as_str(), port)).collect();
        let mut before = std::mem::take(&mut self.ports);
        for entry in ports.entries.into_iter().take(MAX_ROWS) {
            let mut flow = before.remove(&entry.name).map_or_else(Flow::default, |row| row.flow);
            if let Some(numbers) = numbers.get(entry.name.as_str()) {
                flow.note(numbers.received, numbers.sent, elapsed_ms);
            }
            self.ports.insert(entry.name.clone(), PortRow { entry, flow });
        }
    }
}

const fn frames(count: u64) -> Amount {
    Amount { count, octets: 0 }
}

fn sum(amounts: impl IntoIterator<Item = Amount>) -> Amount {
    amounts.into_iter().fold(Amount::default(), |sum, amount| Amount {
        count: sum.count.saturating_add(amount.count),
        octets: sum.octets.saturating_add(amount.octets),
    })
}

#[cfg(test)]
pub(super) mod tests;
