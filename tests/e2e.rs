//! Traffic between two nodes: every kind of it, over every underlay and with every offload refused in turn.

use std::time::Duration;

use weft_tests::pair::{Pair, Spec, finish, pod_keys, pod_v4, pod_v6};
use weft_tests::peer::mtu_of;
use weft_tests::tcp::assert_transfer;
use weft_tests::traffic::{Burst, assert_mtu_edge, assert_pings, ping_with, udp_burst};
use weft_tests::{Lab, Node, capture, node};

/// Octets of a stream that is long enough to reach full super-frames.
const STREAM: usize = 16 << 20;

/// Expects every kind of traffic to pass both ways between the pods of a pair.
#[track_caller]
fn assert_all_traffic(pair: &Pair, stream: usize) {
    let [one, two] = &pair.pods;
    for (from, to, n) in [(one, two, 2), (two, one, 1)] {
        for address in [pod_v4(n), pod_v6(n)] {
            assert_pings(from, address);
            assert_transfer(from, (to, address), stream);
            let burst =
                udp_burst(from, (to, address), 300, Duration::from_micros(200), |i| 8 + (i * 7) % 1300);
            assert_eq!(burst, Burst { received: 300, corrupt: 0, late: 0 }, "UDP to {address}");
        }
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn pods_talk_over_vxlan_and_geneve_and_both_underlays() {
    for rest in ["[encap]\nformat = \"vxlan\"", "[encap]\nformat = \"geneve\""] {
        for v6 in [false, true] {
            let pair = Pair::start(&Spec { v6, rest, ..Spec::default() });
            assert_all_traffic(&pair, STREAM);
            pair.finish();
        }
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn tshark_finds_nothing_wrong_on_the_underlay() {
    for rest in ["[encap]\nformat = \"vxlan\"", "[encap]\nformat = \"geneve\""] {
        for v6 in [false, true] {
            let pair = Pair::start(&Spec { v6, rest, ..Spec::default() });
            // A batch of datagrams would be one odd packet on the sender's side of a veth pair.
            pair.nodes.iter().for_each(|node| node.host.finish_packets());
            let file = pair.lab.dir().join("wire.pcap");
            let running = capture::Capture::start(pair.lab.hub(), "h1", &file, capture::WHOLE);
            assert_all_traffic(&pair, 1 << 20);
            let big =
                udp_burst(&pair.pods[0], (&pair.pods[1], pod_v4(2)), 20, Duration::from_millis(2), |_| 8000);
            assert_eq!((big.received, big.corrupt), (20, 0));
            assert_eq!(
                capture::problems(&running.stop()),
                Vec::<String>::new(),
                "{rest}, IPv6 underlay: {v6}"
            );
            pair.finish();
        }
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn the_largest_packet_is_what_the_ports_mtu_says() {
    for (mtu, v6, inside) in
        [(1500, false, 1450), (1500, true, 1430), (9000, false, 8950), (9000, true, 8930)]
    {
        let pair = Pair::start(&Spec { mtu, v6, ..Spec::default() });
        assert_eq!(mtu_of(&pair.pods[0], "eth0"), inside);
        for (pod, n) in [(&pair.pods[0], 2), (&pair.pods[1], 1)] {
            assert_pings(pod, pod_v4(n));
            assert_mtu_edge(pod, pod_v4(n), inside);
            assert_mtu_edge(pod, pod_v6(n), inside);
        }
        assert_transfer(&pair.pods[0], (&pair.pods[1], pod_v4(2)), STREAM);
        pair.finish();
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_network_with_its_own_mtu_has_that() {
    let pair = Pair::start(&Spec { network: "mtu = 1300", ..Spec::default() });
    assert_eq!(mtu_of(&pair.pods[1], "eth0"), 1300);
    assert_pings(&pair.pods[0], pod_v4(2));
    assert_mtu_edge(&pair.pods[0], pod_v4(2), 1300);
    assert_transfer(&pair.pods[0], (&pair.pods[1], pod_v6(2)), 4 << 20);
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn big_udp_datagrams_arrive_whole_as_fragments_inside() {
    let pair = Pair::start(&Spec::default());
    let [one, two] = &pair.pods;
    assert_pings(one, pod_v4(2));
    for (address, size) in [(pod_v4(2), 8_000), (pod_v6(2), 8_000), (pod_v4(2), 60_000), (pod_v6(2), 60_000)]
    {
        let burst = udp_burst(one, (two, address), 30, Duration::from_millis(5), |_| size);
        assert_eq!(burst, Burst { received: 30, corrupt: 0, late: 0 }, "{size} octets to {address}");
    }
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_paced_flow_loses_nothing_and_keeps_its_order() {
    let pair = Pair::start(&Spec::default());
    let [one, two] = &pair.pods;
    assert_pings(one, pod_v4(2));
    // Every size of frame in one flow, so that runs of equal sizes keep breaking off.
    let burst = udp_burst(one, (two, pod_v4(2)), 5_000, Duration::from_micros(50), |i| 8 + (i * 37) % 1400);
    assert_eq!(burst, Burst { received: 5_000, corrupt: 0, late: 0 });
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn every_plain_path_passes_all_traffic() {
    for rest in [
        "[datapath]\ntso = false",
        "[datapath]\nuso = false",
        "[datapath]\nudp_segment = 0",
        "[datapath]\nudp_segment = 64",
        "[datapath]\nudp_gro = false",
        "[datapath]\ntso = false\nuso = false\nudp_segment = 0\nudp_gro = false",
        "[datapath]\nworkers = 1\npoll = \"interrupt\"",
        "[datapath]\nworkers = 2\npoll = \"busy\"",
        "[encap]\ndscp = \"inherit\"\nvxlan_reserved = \"strict\"",
    ] {
        println!("with {}", rest.replace('\n', " "));
        let pair = Pair::start(&Spec { rest, ..Spec::default() });
        assert_all_traffic(&pair, 4 << 20);
        pair.finish();
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn offloads_that_the_egress_device_lacks_cost_no_frame() {
    let pair = Pair::start(&Spec::default());
    for node in &pair.nodes {
        node.host.ns.exec("ethtool -K u0 tx off rx off gso off gro off tso off");
        node.host.ns.try_exec("ethtool -K u0 tx-udp-segmentation off");
    }
    assert_all_traffic(&pair, 4 << 20);
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn ports_of_one_node_talk_without_the_underlay() {
    let mut lab = Lab::new();
    let host = lab.host("a");
    let pods = [lab.pod("pod1"), lab.pod("pod2")];
    let ports: String =
        (1..=2).map(|n| node::port(&format!("p{n}"), "pods", &pods[n - 1], &pod_keys(n as u8))).collect();
    let mut only = Node::start(&host, &node::Config::new(node::network("pods", 100, "") + &ports));
    let before = lab.wire_packets(1);
    for (from, to, n) in [(0, 1, 2), (1, 0, 1)] {
        assert_pings(&pods[from], pod_v4(n));
        assert_transfer(&pods[from], (&pods[to], pod_v6(n)), STREAM);
        let burst = udp_burst(&pods[from], (&pods[to], pod_v4(n)), 300, Duration::from_micros(100), |_| 1400);
        assert_eq!((burst.received, burst.corrupt), (300, 0));
    }
    assert!(lab.wire_packets(1) - before < 50, "local traffic on the wire");
    finish([&mut only], &mut lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn many_flows_at_once_all_arrive() {
    let pair = Pair::start(&Spec::default());
    let [one, two] = &pair.pods;
    assert_pings(one, pod_v4(2));
    std::thread::scope(|scope| {
        scope.spawn(|| assert_transfer(one, (two, pod_v4(2)), STREAM));
        scope.spawn(|| assert_transfer(two, (one, pod_v4(1)), STREAM));
        scope.spawn(|| {
            let pings = ping_with(one, pod_v6(2), "-c 100 -i 0.01 -w 20");
            assert!(pings.answered >= 99, "beside two streams: {pings:?}");
        });
    });
    pair.finish();
}
