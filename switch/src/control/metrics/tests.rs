use std::collections::{BTreeMap, BTreeSet};

use encap::Vni;

use super::*;
use crate::control::protocol::{
    Amount, DropCount, Drops, GossipMetrics, Histogram, LastReload, Lost, NetworkMetrics, PeerMetrics,
    PeerState, PortMetrics, PortState, Tunnels,
};

/// One of everything.
fn example() -> Metrics {
    let counts = |values: &[(&str, u64)]| -> BTreeMap<String, u64> {
        values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    };
    let amount = Amount { count: 3, octets: 300 };
    Metrics {
        version: "0.1.0".to_owned(),
        revision: "abc1234".to_owned(),
        uptime_ms: 61_500,
        reload: LastReload { successful: true, success_ms: 1500 },
        ledger: Drops {
            received: 10,
            delivered: 8,
            answered: 1,
            copies: 0,
            drops: [("vlan".to_owned(), DropCount { inbound: 0, outbound: 1 })].into(),
            notices: counts(&[("icmp_errors", 4)]),
            lost_before: counts(&[("udp_overflow", 5)]),
            sides: counts(&[
                ("received_from_ports", 6),
                ("received_from_underlay", 4),
                ("delivered_to_ports", 3),
                ("delivered_to_underlay", 5),
            ]),
        },
        dropped_octets: [("vlan".to_owned(), DropCount { inbound: 0, outbound: 64 })].into(),
        answered: counts(&[("arp", 1), ("nd", 0)]),
        too_big_told: counts(&[("ipv4", 2), ("ipv6", 0)]),
        tunnels: Tunnels { vxlan_received: amount, geneve_received: Amount::default(), sent: amount },
        batches: [(
            "port_receive".to_owned(),
            Histogram { bounds: vec![1, 2, 4], counts: vec![5, 0, 2, 1], sum: 5 + 7 + 9 },
        )]
        .into(),
        forwarding_ns: [(
            "inbound".to_owned(),
            Histogram { bounds: vec![1_000, 200_000], counts: vec![1, 1, 0], sum: 150_500 },
        )]
        .into(),
        ports: vec![PortMetrics {
            name: "web".to_owned(),
            network: "pods".to_owned(),
            vni: Vni::new(100).unwrap(),
            state: PortState::Up,
            received: amount,
            sent: amount,
        }],
        networks: vec![NetworkMetrics {
            name: "pods".to_owned(),
            vni: Vni::new(100).unwrap(),
            local: 1,
            remote: 2,
            fixed: 3,
            frozen: 0,
            moves: 7,
        }],
        fdb_events: counts(&[("learned", 4)]),
        peers: vec![PeerMetrics {
            name: "node \"b\"\n".to_owned(),
            state: PeerState::Suspect,
            rtt_us: Some(400),
            probe_rtt_us: Some(500),
            lost_there: Lost { count: 1, of: 4 },
            lost_back: Lost { count: 0, of: 4 },
            probes_lost: Some(12),
            path_mtu: Some(1280),
            degraded: vec!["small_mtu".to_owned()],
            received: amount,
            sent: amount,
            geneve_received: Amount { count: 1, octets: 90 },
            geneve_sent: amount,
        }],
        degraded: counts(&[("small_mtu", 1)]),
        offloads: [("run_first".to_owned(), "off: it needs CAP_SYS_NICE".to_owned())].into(),
        gossip: Some(GossipMetrics {
            members: counts(&[("up", 1)]),
            convergence_ms: Histogram { bounds: vec![500, 1_000], counts: vec![1, 0, 1], sum: 2_500 },
            crypto_failures: counts(&[("replay", 3), ("bad_tag", 0)]),
            ..GossipMetrics::default()
        }),
    }
}

fn text(style: Style) -> String {
    encode(&example(), 1_700_000_000_000, style).unwrap()
}

/// The names of samples without labels and values.
fn names(text: &str) -> Vec<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.split(['{', ' ']).next().unwrap()).collect()
}

#[test]
fn open_metrics_has_help_type_and_unit_and_an_end() {
    let text = text(Style::OpenMetrics);
    for line in [
        "# TYPE weft_drop_packets counter",
        "# UNIT weft_drop_packets packets",
        "weft_drop_packets_total{reason=\"vlan\",direction=\"outbound\"} 1",
        "weft_drop_packets_total{reason=\"vlan\",direction=\"inbound\"} 0",
        "weft_drop_bytes_total{reason=\"vlan\",direction=\"outbound\"} 64",
        "weft_neigh_suppressed_total{family=\"arp\"} 1",
        "weft_neigh_suppressed_total{family=\"nd\"} 0",
        "weft_path_mtu_ptb_sent_total{family=\"ipv4\"} 2",
        "weft_path_mtu_ptb_sent_total{family=\"ipv6\"} 0",
        "weft_build_info{version=\"0.1.0\",revision=\"abc1234\"} 1",
        "weft_peer_probe_lost_total{peer=\"node \\\"b\\\"\\n\"} 12",
        "weft_fdb_moves_total{network=\"pods\",vni=\"100\"} 7",
        "weft_crypto_failures_total{cause=\"replay\"} 3",
        "weft_crypto_failures_total{cause=\"bad_tag\"} 0",
        "weft_gossip_convergence_seconds_bucket{le=\"0.5\"} 1",
        "weft_gossip_convergence_seconds_bucket{le=\"+Inf\"} 2",
        "weft_gossip_convergence_seconds_sum 2.5",
        "weft_peer_degraded{peer=\"node \\\"b\\\"\\n\",cause=\"small_mtu\"} 1",
        "weft_peer_state{peer=\"node \\\"b\\\"\\n\",state=\"suspect\"} 1",
        "weft_peer_state{peer=\"node \\\"b\\\"\\n\",state=\"up\"} 0",
        "weft_peer_rtt_seconds{peer=\"node \\\"b\\\"\\n\"} 0.0004",
        "weft_peer_loss_ratio{peer=\"node \\\"b\\\"\\n\",way=\"there\"} 0.25",
        "weft_port_receive_bytes_total{port=\"web\",network=\"pods\",vni=\"100\"} 300",
        "weft_tunnel_receive_packets_total{peer=\"node \\\"b\\\"\\n\",encap=\"vxlan\"} 2",
        "weft_tunnel_receive_bytes_total{peer=\"node \\\"b\\\"\\n\",encap=\"geneve\"} 90",
        "weft_tunnel_transmit_bytes_total{peer=\"node \\\"b\\\"\\n\",encap=\"geneve\"} 300",
        "weft_fdb_entries{network=\"pods\",vni=\"100\",source=\"static\"} 3",
        "weft_offload_info{offload=\"run_first\",state=\"off\"} 1",
        "# TYPE weft_batch_packets histogram",
        "weft_batch_packets_bucket{le=\"1.0\",stage=\"port_receive\"} 5",
        "weft_batch_packets_bucket{le=\"2.0\",stage=\"port_receive\"} 5",
        "weft_batch_packets_bucket{le=\"4.0\",stage=\"port_receive\"} 7",
        "weft_batch_packets_bucket{le=\"+Inf\",stage=\"port_receive\"} 8",
        "weft_batch_packets_count{stage=\"port_receive\"} 8",
        "weft_batch_packets_sum{stage=\"port_receive\"} 21.0",
        "# UNIT weft_forward_seconds seconds",
        "weft_forward_seconds_bucket{le=\"0.0002\",direction=\"inbound\"} 2",
        "weft_forward_seconds_sum{direction=\"inbound\"} 0.0001505",
        "weft_config_last_reload_success_timestamp_seconds 1700000001.5",
        "weft_socket_receive_queue_drops_total 5",
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in:\n{text}");
    }
    let nothing_sent = "weft_tunnel_transmit_packets_total{peer=\"node \\\"b\\\"\\n\",encap=\"vxlan\"}";
    assert!(!text.contains(nothing_sent), "a format that was never used");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn the_older_format_has_the_same_samples_under_their_own_names() {
    let (open, classic) = (text(Style::OpenMetrics), text(Style::Classic));
    assert_eq!(names(&open), names(&classic));
    let typed: BTreeSet<_> = classic.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let helped: Vec<_> = classic.lines().filter_map(|line| line.strip_prefix("# HELP ")).collect();
    assert_eq!(typed.len(), helped.len());
    for name in names(&classic) {
        let parts = ["_bucket", "_count", "_sum"];
        if let Some(whole) = parts.iter().find_map(|part| name.strip_suffix(part)) {
            assert!(typed.contains(format!("{whole} histogram").as_str()), "{whole} has no type");
            continue;
        }
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        assert!(typed.contains(format!("{name} {kind}").as_str()), "{name} has no type in:\n{classic}");
    }
    assert!(!classic.contains("# UNIT") && !classic.contains("# EOF"));
}

#[test]
fn every_metric_has_a_sentence_and_a_name_of_its_own() {
    let all = families(&example(), 0);
    let mut names = BTreeSet::new();
    for family in &all.0 {
        assert!(family.help.ends_with('.'), "{}", family.name);
        let unit = family.unit.as_ref().map(|unit| unit.as_str().to_owned());
        assert!(names.insert((family.name, unit)), "{} twice", family.name);
        let labels: BTreeSet<_> = family.samples.iter().map(|sample| &sample.labels).collect();
        assert_eq!(labels.len(), family.samples.len(), "{} has a label set twice", family.name);
    }
}
