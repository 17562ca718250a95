use encap::{Format, Mtu, Vni};

use super::*;
use crate::control::protocol::{
    Degraded, DropCount, Health, LastReload, NetworkMetrics, PeerKind, PortMetrics, PortState, Tunnels,
};

const SMALL: &str = "small_mtu: IP packets of more than 1280 octets do not arrive, though the link takes 1500: pods are \
                     told, and their TCP is cut to fit; mend the MTU on the way, or give [underlay] mtu = 1280 on all \
                     nodes";

/// After 12 answers, a second apart, of node-a, which has three peers: node-b takes and gives most, node-c has a small
/// MTU, node-d is quiet.
pub(in crate::cli::top) fn seen() -> Model {
    let mut model = Model::default();
    (0..12).for_each(|n| model.take(answers(n)));
    model
}

/// The Nth answers.
pub(in crate::cli::top) fn answers(n: u64) -> Answers {
    let degraded =
        vec![DegradedSubject { cause: SMALL.to_owned(), since_s: 192, subject: "peer node-c".to_owned() }];
    Answers {
        status: Status {
            node: "node-a".to_owned(),
            version: "0.1.0".to_owned(),
            uptime_s: 11_100 + n,
            state: Health::Degraded,
            degraded,
            workers: 1,
            offloads: BTreeMap::new(),
            counts: BTreeMap::new(),
            batching: BTreeMap::new(),
            gossip: None,
        },
        metrics: Box::new(metrics(n)),
        drops: Drops { lost_before: [("udp_overflow".to_owned(), 3)].into(), ..ledger(n) },
        peers: Peers { entries: vec![peer("node-c", 3), peer("node-b", 2), peer("node-d", 4)] },
        ports: Ports { entries: vec![port("web"), port("db")] },
        networks: Networks { entries: vec![network()] },
        more: None,
    }
}

/// So many octets in frames of 1,000.
const fn amount(octets: u64) -> Amount {
    Amount { count: octets / 1000, octets }
}

fn metrics(n: u64) -> Metrics {
    // A flow that grows.
    let grown = n * n * 10_000_000;
    let peer = |name: &str, octets: u64, rtt: u64| PeerMetrics {
        name: name.to_owned(),
        state: PeerState::Up,
        rtt_us: Some(rtt + 100),
        probe_rtt_us: Some(rtt),
        lost_there: Lost { count: u64::from(name == "node-c"), of: 100 },
        lost_back: Lost { count: 0, of: 100 },
        probes_lost: Some(u64::from(name == "node-c")),
        path_mtu: Some(1500),
        degraded: vec![],
        received: amount(octets),
        sent: amount(octets / 50),
        geneve_received: Amount::default(),
        geneve_sent: Amount::default(),
    };
    let port = |name: &str, octets: u64| PortMetrics {
        name: name.to_owned(),
        network: "pods".to_owned(),
        vni: Vni::new(100).unwrap(),
        state: PortState::Up,
        received: amount(octets / 50),
        sent: amount(octets),
    };
    Metrics {
        version: "0.1.0".to_owned(),
        revision: "unknown".to_owned(),
        uptime_ms: 11_100_000 + 1000 * n,
        reload: LastReload { successful: true, success_ms: 0 },
        ledger: ledger(n),
        dropped_octets: BTreeMap::new(),
        answered: BTreeMap::new(),
        too_big_told: BTreeMap::new(),
        tunnels: Tunnels {
            vxlan_received: amount(grown),
            geneve_received: amount(1_000_000 * n),
            sent: amount(grown / 50),
        },
        batches: BTreeMap::new(),
        forwarding_ns: BTreeMap::new(),
        ports: vec![port("web", grown), port("db", 1_000_000 * n)],
        networks: vec![NetworkMetrics {
            name: "pods".to_owned(),
            vni: Vni::new(100).unwrap(),
            local: 1,
            remote: 2,
            fixed: 1,
            frozen: 0,
            moves: 0,
        }],
        fdb_events: BTreeMap::new(),
        peers: vec![peer("node-b", grown, 350), peer("node-c", 1_000_000 * n, 212), peer("node-d", 0, 190)],
        degraded: BTreeMap::new(),
        offloads: BTreeMap::new(),
        gossip: None,
    }
}

fn ledger(n: u64) -> Drops {
    let drops = [
        ("no_destination".to_owned(), DropCount { inbound: 0, outbound: 12 }),
        ("port_security".to_owned(), DropCount { inbound: 0, outbound: 40 * n }),
        ("vlan".to_owned(), DropCount::default()),
    ];
    Drops {
        received: 100 * n + 52,
        delivered: 60 * n + 40,
        answered: 0,
        copies: 0,
        drops: drops.into(),
        notices: BTreeMap::new(),
        lost_before: BTreeMap::new(),
        sides: BTreeMap::new(),
    }
}

pub(in crate::cli::top) fn peer(name: &str, last: u8) -> PeerEntry {
    let mtu = if name == "node-c" { 1280 } else { 1500 };
    let cause = Degraded { cause: SMALL.to_owned(), since_s: 192 };
    PeerEntry {
        name: name.to_owned(),
        address: format!("10.0.0.{last}"),
        port: 4789,
        format: Format::Vxlan,
        kind: PeerKind::Member,
        state: PeerState::Up,
        path_mtu: Mtu::new(mtu).ok(),
        mtu: Mtu::new(mtu - 50).ok(),
        rtt_us: Some(400),
        degraded: if name == "node-c" { vec![cause] } else { vec![] },
        networks: vec!["pods".to_owned()],
        runtime: false,
        since_s: Some(192),
        left: false,
        node: Some(format!("0{last}").repeat(16)),
        version: Some("0.1.0".to_owned()),
        received: Amount::default(),
        sent: Amount::default(),
        gossip: None,
    }
}

fn port(name: &str) -> PortEntry {
    PortEntry {
        name: name.to_owned(),
        ifname: "eth0".to_owned(),
        network: "pods".to_owned(),
        netns: None,
        mac: None,
        addresses: vec!["10.32.0.5/12".parse().unwrap()],
        mtu: Mtu::new(1450).unwrap(),
        state: PortState::Up,
        reason: None,
        offloads: vec!["csum".to_owned(), "tso4".to_owned()],
        runtime: false,
    }
}

fn network() -> NetworkEntry {
    NetworkEntry {
        name: "pods".to_owned(),
        vni: Vni::new(100).unwrap(),
        mtu: Mtu::new(1450).unwrap(),
        ports: vec!["db".to_owned(), "web".to_owned()],
        peers: vec!["node-b".to_owned(), "node-c".to_owned(), "node-d".to_owned()],
        macs: 5,
        max_macs: 65_536,
        mac_age_s: 300,
        unknown_unicast: "drop".to_owned(),
        vlan: "drop".to_owned(),
    }
}

#[test]
fn rates_are_over_the_daemons_own_time() {
    let mut model = Model::default();
    model.take(answers(0));
    assert_eq!(model.peers["node-b"].flow.received.pace, None, "one answer has no rate");
    assert!(!model.has_rates());
    let mut second = answers(1);
    second.metrics.uptime_ms += 1000;
    model.take(second);
    // 10 MB in frames of 1,000 octets in 2 s.
    let pace = Pace { frames: 5000, bits: 40_000_000 };
    assert_eq!(model.peers["node-b"].flow.received.pace, Some(pace));
    assert_eq!(model.inbound.pace, Some(Pace { frames: 5500, bits: 44_000_000 }), "both formats");
    assert_eq!(model.reasons["port_security"].pace(), Some(20));
    let network = &model.networks["pods"].flow;
    assert_eq!(network.sent.pace, Some(Pace { frames: 5500, bits: 44_000_000 }), "of all its ports");
    assert!(model.has_rates());
}

#[test]
fn a_restart_of_the_daemon_begins_anew_and_leaves_a_gap() {
    let mut model = seen();
    let mut restarted = answers(0);
    restarted.metrics.uptime_ms = 500;
    model.take(restarted);
    let received = &model.peers["node-b"].flow.received;
    assert_eq!(received.pace, None);
    assert_eq!(received.history(|pace| pace.bits).last(), Some(&0), "never a huge number");
    model.lose("no daemon".to_owned());
    assert!(model.peers.len() == 3 && model.lost.is_some(), "what was said last stays");
    let mut back = answers(1);
    back.metrics.uptime_ms = 30_000;
    model.take(back);
    assert_eq!(model.peers["node-b"].flow.received.pace, None, "nobody knows what happened meanwhile");
    let mut next = answers(2);
    next.metrics.uptime_ms = 31_000;
    model.take(next);
    assert_eq!((model.has_rates(), &model.lost), (true, &None));
}

#[test]
fn a_counter_that_goes_back_alone_has_no_rate() {
    let mut model = seen();
    let mut fewer = answers(12);
    fewer.metrics.peers[0].received = Amount::default();
    model.take(fewer);
    assert_eq!(model.peers["node-b"].flow.received.pace, None);
    assert!(model.peers["node-b"].flow.sent.pace.is_some());
    assert_eq!(model.peers["node-b"].flow.history().len(), 12);
}

#[test]
fn histories_and_rows_are_bounded_and_go_with_what_they_are_of() {
    let mut model = Model::default();
    (0..2 * SAMPLES as u64).for_each(|n| model.take(answers(n)));
    assert_eq!(model.peers["node-b"].flow.history().len(), SAMPLES);
    let mut many = answers(1000);
    many.peers.entries = (0..MAX_ROWS + 7).map(|n| peer(&format!("peer-{n}"), 1)).collect();
    many.ports.entries.clear();
    many.metrics.ledger.drops.clear();
    model.take(many);
    assert_eq!((model.peers.len(), model.omitted), (MAX_ROWS, 7));
    assert!(model.ports.is_empty() && !model.peers.contains_key("node-b"));
    assert_eq!(model.reasons.keys().collect::<Vec<_>>(), ["udp_overflow"]);
}

#[test]
fn two_members_of_one_name_are_two_rows() {
    let mut model = Model::default();
    let mut twins = answers(0);
    twins.peers.entries = vec![peer("twin", 8), peer("twin", 9)];
    model.take(twins);
    assert_eq!(model.peers.values().filter(|peer| peer.entry.name == "twin").count(), 2);
    let mut twins = answers(2);
    twins.peers.entries = vec![peer("node-b", 8), peer("node-b", 9)];
    model.take(twins);
    let of_twins = model.peers.values().filter(|peer| peer.entry.name == "node-b");
    let measured: Vec<_> = of_twins.map(|peer| peer.numbers.is_some()).collect();
    assert_eq!(measured.iter().filter(|is| **is).count(), 1, "the figures of one are not those of the other");
}

#[test]
fn the_state_of_a_peer_says_what_is_worst() {
    let row = |state, left, degraded: &[Degraded]| PeerRow {
        entry: PeerEntry { state, left, degraded: degraded.to_vec(), ..peer("node-b", 2) },
        numbers: None,
        flow: Flow::default(),
    };
    let cause = [Degraded { cause: "loss: much".to_owned(), since_s: 1 }];
    let health: Vec<_> = [
        row(PeerState::Down, false, &cause),
        row(PeerState::Suspect, false, &[]),
        row(PeerState::Up, false, &cause),
        row(PeerState::Up, false, &[]),
        row(PeerState::Down, true, &[]),
    ]
    .iter()
    .map(PeerRow::health)
    .collect();
    assert!(health.is_sorted(), "the worst first: {health:?}");
    assert_eq!(health.last(), Some(&PeerHealth::Left));
    assert_eq!(row(PeerState::Up, false, &[]).rtt_us(), Some(400), "gossip's, without probes");
    assert_eq!(seen().peers["node-b"].rtt_us(), Some(350));
    assert_eq!(row(PeerState::Up, false, &[]).loss(), None);
    assert_eq!(seen().peers["node-c"].loss(), Some(Lost { count: 1, of: 100 }), "the worse direction");
}

#[test]
fn an_imbalance_counts_how_long_it_stands() {
    let mut model = seen();
    assert_eq!(model.imbalance, 0);
    for n in 12..15 {
        let mut off = answers(n);
        off.metrics.ledger.received += 5;
        model.take(off);
    }
    assert_eq!((model.imbalance, model.imbalance_stands), (5, 2));
    model.take(answers(15));
    assert_eq!((model.imbalance, model.imbalance_stands), (0, 0));
}
