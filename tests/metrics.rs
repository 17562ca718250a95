//! Metrics and the state of the daemon over HTTP, asked for by curl.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use weft::counters::DropReason;
use weft_tests::cluster::Cluster;
use weft_tests::command::run_with;
use weft_tests::node::{count, network, port};
use weft_tests::pair::{finish, pod_keys, pod_v4};
use weft_tests::traffic::assert_pings;
use weft_tests::{Config, Host, Lab, Netns, Node, Stream, wait};

const HERE: &str = "http://127.0.0.1:6787";

/// The status and the body of an answer; status 0 = there was none.
#[track_caller]
fn curl(from: &Netns, options: &str, url: &str) -> (u16, String) {
    let done = from.try_exec(&format!("curl -s -m 5 -w %{{http_code}} {options} {url}"));
    let (body, status) = done.out.split_at(done.out.len().saturating_sub(3));
    (status.parse().unwrap_or(0), body.to_owned())
}

/// The value of each series.
#[track_caller]
fn scrape(host: &Host) -> BTreeMap<String, f64> {
    let (status, text) = curl(&host.ns, "", &format!("{HERE}/metrics"));
    assert_eq!(status, 200, "{text}");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let parsed = samples.map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
        (series.to_owned(), value.parse().unwrap_or_else(|e| panic!("{line}: {e}")))
    });
    parsed.collect()
}

/// The sum of all series of a metric.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // counters are whole
fn sum(series: &BTreeMap<String, f64>, metric: &str) -> u64 {
    let of_it = series.iter().filter(|(name, _)| name.split('{').next() == Some(metric));
    of_it.map(|(_, value)| *value).sum::<f64>() as u64
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn metrics_say_what_commands_say() {
    let cluster = Cluster::start(2);
    assert_pings(&cluster.pods[0], pod_v4(2));
    let node = &cluster.nodes[0];
    let host = &node.host;

    for accept in ["", "-H Accept:application/openmetrics-text"] {
        let (status, text) = curl(&host.ns, accept, &format!("{HERE}/metrics"));
        assert_eq!((status, text.ends_with("# EOF\n")), (200, !accept.is_empty()), "{text}");
    }
    let (_, text) = curl(&host.ns, "", &format!("{HERE}/metrics"));
    let checked = run_with(&["promtool", "check", "metrics"], &text);
    assert_eq!((checked.code, checked.out.trim(), checked.err.trim()), (0, "", ""), "{text}");

    let series = scrape(host);
    for reason in DropReason::ALL {
        for (unit, direction) in
            [("packets", "inbound"), ("bytes", "inbound"), ("packets", "outbound"), ("bytes", "outbound")]
        {
            let name =
                format!("weft_drop_{unit}_total{{reason=\"{}\",direction=\"{direction}\"}}", reason.name());
            assert!(series.contains_key(&name), "{name} is missing");
        }
    }
    for zero in [
        "weft_gossip_dropped_total{reason=\"stream_refused\"}",
        "weft_crypto_failures_total{cause=\"bad_tag\"}",
        "weft_path_mtu_ptb_sent_total{family=\"ipv6\"}",
        "weft_fdb_moves_total{network=\"pods\",vni=\"100\"}",
    ] {
        assert_eq!(series.get(zero), Some(&0.0), "{zero}");
    }
    assert!(series.contains_key("weft_peer_probe_lost_total{peer=\"n2\"}"));
    assert_eq!(series["weft_peer_state{peer=\"n2\",state=\"up\"}"], 1.0);
    assert_eq!(series["weft_gossip_members{state=\"up\"}"], 1.0);
    let talked = || sum(&scrape(host), "weft_gossip_bytes_total") > 1000;
    wait::until(wait::secs(5), "gossip to be counted", talked);

    let what = "the ledger of a scrape to be that of weft drops";
    wait::until(wait::secs(5), what, || {
        let (series, drops) = (scrape(host), node.json("drops"));
        let ours = ["weft_received_packets_total", "weft_delivered_packets_total", "weft_drop_packets_total"]
            .map(|name| sum(&series, name));
        let answered = sum(&series, "weft_neigh_suppressed_total");
        let copies = sum(&series, "weft_flood_copies_total");
        ours == ["received", "delivered", "drops"].map(|key| count(&drops[key]))
            && ours[0] + copies == ours[1] + ours[2] + answered
    });
    // Whatever is in the ledger came and left in some batch.
    let what = "the sums of batches to be the sides of the ledger";
    wait::until(wait::secs(5), what, || {
        let series = scrape(host);
        let side = |name: &str| series[&format!("weft_{name}\"}}")];
        ["port", "underlay"].iter().all(|place| {
            let batches =
                ["receive", "transmit"].map(|way| format!("batch_packets_sum{{stage=\"{place}_{way}"));
            let ledger = ["received_packets_total{from=\"", "delivered_packets_total{to=\""]
                .map(|side| format!("{side}{place}{}", if *place == "port" { "s" } else { "" }));
            batches.map(|name| side(&name)) == ledger.map(|name| side(&name))
        })
    });
    assert!(sum(&scrape(host), "weft_forward_seconds_count") >= 1, "the first burst is timed");
    // All that crosses the underlay is of the one peer, but for what it sent before it was known.
    let what = "the traffic with the peer to be what the ledger says of the underlay";
    wait::until(wait::secs(5), what, || {
        let series = scrape(host);
        let ledger = ["received_packets_total{from", "delivered_packets_total{to"];
        let mut ledger = ledger.map(|side| series[&format!("weft_{side}=\"underlay\"}}")]);
        ledger[0] -= series["weft_drop_packets_total{reason=\"unknown_peer\",direction=\"inbound\"}"];
        let with_peer = ["receive", "transmit"]
            .map(|way| series[&format!("weft_tunnel_{way}_packets_total{{peer=\"n2\",encap=\"vxlan\"}}")]);
        ledger == with_peer && ledger[0] >= 3.0
    });
    // A port has what was read from it, and what was written to it.
    let series = scrape(host);
    let port = "{port=\"pod\",network=\"pods\",vni=\"100\"}";
    let received = series[&format!("weft_port_receive_packets_total{port}")];
    assert!(received >= 3.0 && received <= series["weft_received_packets_total{from=\"ports\"}"] + 1.0);
    assert!(series[&format!("weft_port_transmit_bytes_total{port}")] > 200.0, "{series:#?}");
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_path_that_shrinks_is_a_cause_in_metrics_until_it_grows() {
    let cluster = Cluster::start(2);
    let host = &cluster.nodes[0].host;
    let cause = "weft_peer_degraded{peer=\"n2\",cause=\"small_mtu\"}";
    let stream = Stream::start(&cluster.pods[0], (&cluster.pods[1], pod_v4(2)), 5201, None);
    wait::sleep_ms(500);
    let before = scrape(host);
    assert!(!before.contains_key(cause));
    assert_eq!(before["weft_peer_path_mtu_bytes{peer=\"n2\"}"], 1500.0);

    cluster.shrink(1280);
    wait::until(wait::secs(5), "the cause to be there", || scrape(host).contains_key(cause));
    let during = scrape(host);
    assert_eq!(during["weft_peer_path_mtu_bytes{peer=\"n2\"}"], 1280.0);
    assert_eq!(during["weft_degraded{cause=\"small_mtu\"}"], 1.0);
    let peer = cluster.nodes[0].entry("peer list", "name", "n2").expect("a peer");
    assert!(peer["degraded"].to_string().contains("small_mtu: "), "{peer}");

    cluster.heal();
    wait::until(wait::secs(30), "the cause to go", || !scrape(host).contains_key(cause));
    stream.finish().expect("a stream without a fault");
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn how_long_nodes_knew_different_things_is_counted_once_they_agree() {
    let cluster = Cluster::start(2);
    let host = &cluster.nodes[0].host;
    let known = |source: &str| {
        scrape(host)[&format!("weft_fdb_entries{{network=\"pods\",vni=\"100\",source=\"{source}\"}}")]
    };
    // Of two nodes that differ, the one that is asked first notices.
    let times = || -> u64 {
        let of = |node: &Node| sum(&scrape(&node.host), "weft_gossip_convergence_seconds_count");
        cluster.nodes.iter().map(of).sum()
    };
    let (before, counted) = (known("static"), times());
    // What is said while nobody hears is found by comparing.
    cluster.filter_port(6786);
    let add = ["fdb", "add", "02:00:00:00:00:77", "--network", "pods", "--port", "pod"];
    assert!(cluster.nodes[1].cli(&add).ok());
    wait::sleep_ms(3_000);
    assert_eq!(known("static"), before, "it was heard");
    cluster.heal();
    let what = "the address to be known, and the time to be counted";
    wait::until(wait::secs(15), what, || {
        known("static") > before && times() > counted && scrape(host)["weft_gossip_divergent_peers"] == 0.0
    });
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn only_who_is_on_the_host_and_means_it_is_answered() {
    let cluster = Cluster::start(2);
    let host = &cluster.nodes[0].host;
    let ready = || curl(&host.ns, "", &format!("{HERE}/readyz"));
    wait::until(wait::secs(15), "the node to be ready", || ready() == (200, "ready\n".to_owned()));
    assert_eq!(curl(&host.ns, "", &format!("{HERE}/healthz")), (200, "ok\n".to_owned()));

    let (status, why) = curl(&host.ns, "-H Host:evil.example", &format!("{HERE}/metrics"));
    assert!(status == 403 && why.contains("DNS"), "{status} {why}");
    assert_eq!(curl(&host.ns, "-X POST", &format!("{HERE}/metrics")).0, 405);
    assert_eq!(curl(&host.ns, "--path-as-is", &format!("{HERE}/../../etc/passwd")).0, 404);

    let other = &cluster.nodes[1].host;
    assert_eq!(curl(&other.ns, "", &format!("http://{}:6787/metrics", host.v4)).0, 0, "another host");
    cluster.finish();
}

/// A host that is in the network of its pods, forwards, and even routes to its loopback: what else listens there is
/// reached by each way, the daemon by none.
#[test]
#[ignore = "needs root: run by test.sh"]
fn a_pod_that_can_talk_to_its_host_reaches_nothing() {
    let mut lab = Lab::new();
    let (host, pod) = (lab.host("n1"), lab.pod("pod1"));
    let own = "[[port]]\nname = \"host\"\nnetwork = \"pods\"\nifname = \"pods0\"\naddresses = [\"10.32.0.250/12\"]\nguard = false\n";
    let ports = network("pods", 100, "") + &port("pod", "pods", &pod, &pod_keys(1)) + own;
    let mut node = Node::start(&host, &Config::new(ports).with("[api]\nhttp = \"127.0.0.1:6787\"\n"));
    let log = host.dir.join("listener.log");
    let _listener = host.ns.start(&["python3", "-m", "http.server", "8000"], &[], &log);

    for ns in [&*host.ns, &*pod] {
        ns.exec("sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.all.rp_filter=0");
    }
    pod.ip("address del 127.0.0.1/8 dev lo");
    let addresses = ["10.32.0.250".to_owned(), host.v4.to_string(), "127.0.0.1".to_owned()];
    for address in &addresses[1..] {
        pod.ip(&format!("route add {address} via 10.32.0.250"));
    }
    for address in &addresses {
        let listens = || curl(&pod, "", &format!("http://{address}:8000/")).0 == 200;
        wait::until(wait::secs(10), &format!("the pod to reach {address}"), listens);
        for path in ["", "metrics", "healthz", "api/v1/events"] {
            let url = format!("http://{address}:6787/{path}");
            assert_eq!(curl(&pod, "", &url), (0, String::new()), "a pod at {url}");
        }
    }
    assert_eq!(curl(&host.ns, "", &format!("{HERE}/healthz")).0, 200);
    finish([&mut node], &mut lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn other_hosts_need_the_token() {
    let mut lab = Lab::new();
    let (host, other) = (lab.host("n1"), lab.host("n2"));
    let token = "0123456789abcdef0123456789abcdef";
    let file = host.dir.join("http.token");
    std::fs::write(&file, token).expect("the token");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("its mode");
    let api = format!("[api]\nhttp = \"{}:6787\"\ntoken_file = \"{}\"\n", host.v4, file.display());
    let mut node = Node::start(&host, &Config::new(network("pods", 100, "")).with(&api));
    let url = format!("http://{}:6787/metrics", host.v4);
    assert_eq!(curl(&other.ns, "", &url).0, 401);
    assert_eq!(curl(&other.ns, &format!("--oauth2-bearer {token}0"), &url).0, 401);
    let (status, text) = curl(&other.ns, &format!("--oauth2-bearer {token}"), &url);
    assert!(status == 200 && text.contains("weft_build_info"), "{status} {text}");
    finish([&mut node], &mut lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_port_in_use_is_a_warning_and_the_daemon_goes_on() {
    let mut lab = Lab::new();
    let (host, asked) = (lab.host("n1"), lab.host("n2"));
    let config = Config::new(network("pods", 100, ""));
    let take = || TcpListener::bind("127.0.0.1:6787").expect("a free port");
    let _taken = [host.ns.enter(take), asked.ns.enter(take)];
    let http = |node: &Node| {
        let degraded = node.json("status")["degraded"].to_string();
        degraded.contains("http_unavailable: 127.0.0.1:6787 is in use")
    };

    let mut node = Node::start(&host, &config);
    assert!(!http(&node), "nobody asked for it");
    let mut missed = Node::start(&asked, &config.with("[api]\nhttp = \"127.0.0.1\"\n"));
    assert!(http(&missed), "{}", missed.json("status"));
    for node in [&node, &missed] {
        assert_eq!(node.log().matches("http_unavailable").count(), 1, "{}", node.log());
    }
    finish([&mut node, &mut missed], &mut lab);
}
