//! Every metric there is: name, unit, what it says, and its samples.

use std::collections::BTreeMap;

use prometheus_client::registry::Unit;

use super::{Families, Family, Kind, Sample, Value};
use crate::control::protocol::{
    Amount, DropCount, GossipMetrics, Histogram, Lost, Metrics, NetworkMetrics, PeerMetrics, PeerState,
    PortMetrics, PortState,
};

/// All metrics of one moment, in the order in which they are written.
pub(super) fn families(metrics: &Metrics, started_ms: u64) -> Families {
    let mut all = Families::default();
    daemon(&mut all, metrics, started_ms);
    ledger(&mut all, metrics);
    drops(&mut all, metrics);
    speed(&mut all, metrics);
    tunnels(&mut all, &metrics.peers);
    ports(&mut all, &metrics.ports);
    fdb(&mut all, metrics);
    peers(&mut all, &metrics.peers);
    peer_paths(&mut all, &metrics.peers);
    metrics.gossip.iter().for_each(|gossip| gossip_families(&mut all, gossip));
    all
}

fn daemon(all: &mut Families, metrics: &Metrics, started_ms: u64) {
    all.info(
        "build",
        "The version of weft, and of its sources.",
        [vec![("version", metrics.version.clone()), ("revision", metrics.revision.clone())]],
    );
    all.gauge(
        "start_time",
        Unit::Seconds,
        "When the daemon started, since 1970.",
        [one(seconds(started_ms))],
    );
    all.gauge("uptime", Unit::Seconds, "Time since the daemon started.", [one(seconds(metrics.uptime_ms))]);
    let reload = &metrics.reload;
    all.gauge(
        "config_last_reload_successful",
        None,
        "Whether the last reload was taken into use.",
        [one(reload.successful)],
    );
    all.gauge(
        "config_last_reload_success_timestamp",
        Unit::Seconds,
        "When the configuration in use was read, since 1970.",
        [one(seconds(started_ms + reload.success_ms))],
    );
    all.gauge(
        "degraded",
        None,
        "Of how many things something is wrong, by the cause that weft status names; absent = of none.",
        metrics.degraded.iter().map(|(cause, count)| labelled([("cause", cause)], *count)),
    );
    all.info(
        "offload",
        "What the kernel grants for the sockets of the underlay, and why not.",
        metrics.offloads.iter().map(|(name, state)| {
            let state = state.split(':').next().unwrap_or_default();
            vec![("offload", name.clone()), ("state", state.to_owned())]
        }),
    );
}

fn ledger(all: &mut Families, metrics: &Metrics) {
    let ledger = &metrics.ledger;
    let side = |name: &str| ledger.sides.get(name).copied().unwrap_or_default();
    let packets = || Unit::Other("packets".to_owned());
    let sides = |label: &'static str, of: [(&str, &str); 2]| {
        of.map(|(value, name)| labelled([(label, value)], side(name)))
    };
    all.counter(
        "received",
        packets(),
        "Wire frames that came in. received + flood copies = delivered + neigh suppressed + drop, at rest.",
        sides("from", [("ports", "received_from_ports"), ("underlay", "received_from_underlay")]),
    );
    all.counter(
        "delivered",
        packets(),
        "Wire frames that left.",
        sides("to", [("ports", "delivered_to_ports"), ("underlay", "delivered_to_underlay")]),
    );
    all.counter(
        "flood_copies",
        None,
        "Wire frames added by flooding, or by cutting what is too big for a path.",
        [one(ledger.copies)],
    );
    all.counter(
        "neigh_suppressed",
        None,
        "ARP requests and neighbour solicitations (nd) answered on this host.",
        counted("family", &metrics.answered),
    );
    all.counter(
        "path_mtu_ptb_sent",
        None,
        "ICMP errors made here that tell pods of a smaller path: fragmentation needed (ipv4), Packet Too Big (ipv6).",
        counted("family", &metrics.too_big_told),
    );
}

fn drops(all: &mut Families, metrics: &Metrics) {
    let ledger = &metrics.ledger;
    let each = |of: &BTreeMap<String, DropCount>| -> Vec<Sample> {
        let both = |(reason, count): (&String, &DropCount)| {
            [("inbound", count.inbound), ("outbound", count.outbound)]
                .map(|(direction, count)| labelled([("reason", reason), ("direction", direction)], count))
        };
        of.iter().flat_map(both).collect()
    };
    all.counter(
        "drop",
        Unit::Other("packets".to_owned()),
        "Wire frames dropped, by reason and by direction from the underlay (inbound) or from a port (outbound).",
        each(&ledger.drops),
    );
    all.counter(
        "drop",
        Unit::Bytes,
        "Octets of the same: of datagrams where those were dropped, else of frames, a super-frame with one header.",
        each(&metrics.dropped_octets),
    );
    all.counter(
        "notices",
        None,
        "Events that are no drop but worth telling.",
        counted("notice", &ledger.notices),
    );
    let lost = ledger.lost_before.get("udp_overflow").copied().unwrap_or_default();
    all.counter(
        "socket_receive_queue_drops",
        None,
        "Datagrams that the kernel dropped at a full receive socket, before weft saw them.",
        [one(lost)],
    );
}

/// How frames are batched, and what that costs the last of them.
fn speed(all: &mut Families, metrics: &Metrics) {
    let each = |label: &'static str, of: &BTreeMap<String, Histogram>, unit: f64| -> Vec<Sample> {
        let sample = |(name, value): (&String, &Histogram)| {
            labelled([(label, name)], Value::Spread(value.clone(), unit))
        };
        of.iter().map(sample).collect()
    };
    all.add(
        Kind::Histogram,
        "batch",
        Some(Unit::Other("packets".to_owned())),
        "Wire frames that a worker took from a port or a socket of the underlay, or gave to it, in one go.",
        each("stage", &metrics.batches, 1.0),
    );
    all.add(
        Kind::Histogram,
        "forward",
        Some(Unit::Seconds),
        "From when a worker was told of frames until it had handed all that it read to the kernel; of one burst in 61.",
        each("direction", &metrics.forwarding_ns, 1e9),
    );
}

/// All, and the part that is Geneve.
type Split = fn(&PeerMetrics) -> (Amount, Amount);

fn tunnels(all: &mut Families, peers: &[PeerMetrics]) {
    let each = |split: Split, value: fn(Amount) -> u64| {
        peers.iter().flat_map(move |peer| {
            let (amount, geneve) = split(peer);
            let formats = [("vxlan", amount.without(geneve)), ("geneve", geneve)].into_iter();
            // Most peers are sent one format only, and there may be hundreds.
            formats.filter(|(_, amount)| *amount != Amount::default()).map(move |(encap, amount)| {
                labelled([("peer", &*peer.name), ("encap", encap)], value(amount))
            })
        })
    };
    let received: Split = |peer| (peer.received, peer.geneve_received);
    let sent: Split = |peer| (peer.sent, peer.geneve_sent);
    let packets = || Unit::Other("packets".to_owned());
    all.counter(
        "tunnel_receive",
        packets(),
        "Frames that came in tunnels from peers, those that they passed on for others included.",
        each(received, |amount| amount.count),
    );
    all.counter(
        "tunnel_receive",
        Unit::Bytes,
        "UDP payload that peers sent to the ports of tunnels.",
        each(received, |amount| amount.octets),
    );
    all.counter(
        "tunnel_transmit",
        packets(),
        "Frames handed to the kernel for peers, those that they are to pass on included.",
        each(sent, |amount| amount.count),
    );
    all.counter(
        "tunnel_transmit",
        Unit::Bytes,
        "UDP payload handed to the kernel for peers.",
        each(sent, |amount| amount.octets),
    );
}

fn ports(all: &mut Families, ports: &[PortMetrics]) {
    let each = |value: fn(&PortMetrics) -> u64| {
        ports.iter().map(move |port| {
            let vni = port.vni.to_string();
            labelled([("port", &*port.name), ("network", &port.network), ("vni", &vni)], value(port))
        })
    };
    let packets = || Unit::Other("packets".to_owned());
    all.gauge(
        "port_up",
        None,
        "Whether the port's device is there.",
        each(|port| u64::from(port.state == PortState::Up)),
    );
    all.counter("port_receive", packets(), "Wire frames from the pod.", each(|port| port.received.count));
    all.counter("port_receive", Unit::Bytes, "Octets from the pod.", each(|port| port.received.octets));
    all.counter("port_transmit", packets(), "Wire frames to the pod.", each(|port| port.sent.count));
    all.counter("port_transmit", Unit::Bytes, "Octets to the pod.", each(|port| port.sent.octets));
}

fn fdb(all: &mut Families, metrics: &Metrics) {
    let of = |network: &NetworkMetrics| {
        [("local", network.local), ("remote", network.remote), ("static", network.fixed)]
    };
    all.gauge(
        "fdb_entries",
        None,
        "MAC addresses known, by where they were learned.",
        metrics.networks.iter().flat_map(|network| {
            let vni = network.vni.to_string();
            of(network).map(|(source, count)| {
                labelled([("network", &*network.name), ("vni", &vni), ("source", source)], count)
            })
        }),
    );
    let each = |value: fn(&NetworkMetrics) -> u64| {
        metrics.networks.iter().map(move |network| {
            labelled([("network", &*network.name), ("vni", &network.vni.to_string())], value(network))
        })
    };
    all.gauge(
        "fdb_frozen",
        None,
        "MAC addresses that moved too often and may not move at present.",
        each(|network| network.frozen),
    );
    all.counter("fdb_moves", None, "MAC addresses that were seen elsewhere.", each(|network| network.moves));
    let event = |name: &str| [one(metrics.fdb_events.get(name).copied().unwrap_or_default())];
    all.counter("fdb_learned", None, "MAC addresses that became known.", event("learned"));
    all.counter("fdb_expired", None, "MAC addresses that were not seen for too long.", event("expired"));
    all.counter("fdb_evicted", None, "MAC addresses that made way at a limit.", event("evicted"));
    all.counter("fdb_refused", None, "MAC addresses for which there was no room.", event("refused"));
}

fn peers(all: &mut Families, peers: &[PeerMetrics]) {
    let states = [("up", PeerState::Up), ("suspect", PeerState::Suspect), ("down", PeerState::Down)];
    all.gauge(
        "peer_state",
        None,
        "1 for the state that the peer is in, 0 for the others.",
        peers.iter().flat_map(|peer| {
            states
                .map(|(name, state)| labelled([("peer", &*peer.name), ("state", name)], peer.state == state))
        }),
    );
    all.gauge(
        "peer_degraded",
        None,
        "1 for each cause that weft peer names; absent = the peer is not degraded by it.",
        peers.iter().flat_map(|peer| {
            peer.degraded.iter().map(|cause| labelled([("peer", &*peer.name), ("cause", cause)], true))
        }),
    );
    all.gauge(
        "peer_path_mtu",
        Unit::Bytes,
        "The IP MTU of the underlay path.",
        peers.iter().filter_map(|peer| Some(labelled([("peer", &peer.name)], u64::from(peer.path_mtu?)))),
    );
}

/// What probes and gossip measure on the way to a peer.
fn peer_paths(all: &mut Families, peers: &[PeerMetrics]) {
    let times = |of: fn(&PeerMetrics) -> Option<u64>| {
        peers.iter().filter_map(move |peer| {
            Some(labelled([("peer", &peer.name)], std::time::Duration::from_micros(of(peer)?).as_secs_f64()))
        })
    };
    all.gauge("peer_rtt", Unit::Seconds, "The round trip of gossip, smoothed.", times(|peer| peer.rtt_us));
    all.gauge(
        "peer_probe_rtt",
        Unit::Seconds,
        "The round trip of probes on the data ports, smoothed.",
        times(|peer| peer.probe_rtt_us),
    );
    all.counter(
        "peer_probe_lost",
        None,
        "Probes on the data ports without an answer, those of larger sizes that are only tried left out.",
        peers.iter().filter_map(|peer| Some(labelled([("peer", &peer.name)], peer.probes_lost?))),
    );
    let probed = peers.iter().filter(|peer| peer.lost_there.of > 0 || peer.lost_back.of > 0);
    all.gauge(
        "peer_loss",
        Unit::Other("ratio".to_owned()),
        "Of what was sent of late to the peer (there) and by it (back), the part that was lost.",
        probed.flat_map(|peer| {
            [("there", peer.lost_there), ("back", peer.lost_back)]
                .map(|(way, lost)| labelled([("peer", &*peer.name), ("way", way)], ratio(lost)))
        }),
    );
}

fn gossip_families(all: &mut Families, gossip: &GossipMetrics) {
    all.gauge("gossip_members", None, "Other nodes.", counted("state", &gossip.members));
    all.gauge("gossip_ready", None, "Whether this node knew once all that another did.", [one(gossip.ready)]);
    all.gauge(
        "gossip_divergent_peers",
        None,
        "Nodes that are up and know something else than this one.",
        [one(gossip.divergent)],
    );
    all.gauge("gossip_records", None, "Records known, of all nodes.", [one(gossip.records)]);
    all.gauge(
        "gossip_lag",
        Unit::Seconds,
        "The longest time in the last minute by which gossip ran late.",
        [one(seconds(gossip.lag_ms))],
    );
    all.counter(
        "gossip_dropped",
        None,
        "Datagrams and messages dropped.",
        counted("reason", &gossip.dropped),
    );
    all.counter(
        "crypto_failures",
        None,
        "Datagrams of gossip, and control datagrams on the data ports, refused for their key, their seal, or as replayed.",
        counted("cause", &gossip.crypto_failures),
    );
    all.add(
        Kind::Histogram,
        "gossip_convergence",
        Some(Unit::Seconds),
        "For how long this node and another differed: from when weft_gossip_divergent_peers became more than 0 until it was \
         0 again.",
        [one(Value::Spread(gossip.convergence_ms.clone(), 1e3))],
    );
    let traffic = &gossip.traffic;
    let ways = [
        ("udp", "received", traffic.udp_received),
        ("udp", "sent", traffic.udp_sent),
        ("tcp", "received", traffic.tcp_received),
        ("tcp", "sent", traffic.tcp_sent),
    ];
    all.counter(
        "gossip_messages",
        None,
        "Datagrams, and messages over streams.",
        ways.map(|(type_, way, amount)| labelled([("type", type_), ("direction", way)], amount.count)),
    );
    all.counter(
        "gossip",
        Unit::Bytes,
        "Octets of the same.",
        ways.map(|(type_, way, amount)| labelled([("type", type_), ("direction", way)], amount.octets)),
    );
}

impl Families {
    fn counter(
        &mut self,
        name: &'static str,
        unit: impl Into<Option<Unit>>,
        help: &'static str,
        samples: impl IntoIterator<Item = Sample>,
    ) {
        self.add(Kind::Counter, name, unit.into(), help, samples);
    }

    fn gauge(
        &mut self,
        name: &'static str,
        unit: impl Into<Option<Unit>>,
        help: &'static str,
        samples: impl IntoIterator<Item = Sample>,
    ) {
        self.add(Kind::Gauge, name, unit.into(), help, samples);
    }

    fn info(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: impl IntoIterator<Item = Vec<(&'static str, String)>>,
    ) {
        let samples = labels.into_iter().map(|labels| Sample { labels, value: Value::Whole(1) });
        self.add(Kind::Info, name, None, help, samples);
    }

    fn add(
        &mut self,
        kind: Kind,
        name: &'static str,
        unit: Option<Unit>,
        help: &'static str,
        samples: impl IntoIterator<Item = Sample>,
    ) {
        let samples: Vec<_> = samples.into_iter().collect();
        // A family without samples says nothing.
        if !samples.is_empty() {
            self.0.push(Family { name, unit, kind, help, samples });
        }
    }
}

/// One sample each, by name.
fn counted(label: &'static str, of: &BTreeMap<String, u64>) -> Vec<Sample> {
    of.iter().map(|(name, count)| labelled([(label, name)], *count)).collect()
}

/// The only sample of a family.
fn one(value: impl Into<Value>) -> Sample {
    Sample { labels: Vec::new(), value: value.into() }
}

fn labelled<const N: usize>(labels: [(&'static str, &str); N], value: impl Into<Value>) -> Sample {
    let labels = labels.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    Sample { labels, value: value.into() }
}

#[allow(clippy::cast_precision_loss)] // milliseconds since 1970 fit into 53 bits
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// To four places: more are chance, and octets of every peer.
#[allow(clippy::cast_precision_loss)] // of some thousand messages
fn ratio(lost: Lost) -> f64 {
    if lost.of == 0 { 0.0 } else { (lost.count as f64 / lost.of as f64 * 1e4).round() / 1e4 }
}
