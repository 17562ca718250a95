//! Traffic with switches that others made: the kernel's VXLAN, Open vSwitch with VXLAN and with Geneve.

use std::sync::Arc;

use weft_tests::ovs::{Ovs, Tunnel};
use weft_tests::pair::{Spec, finish, pod_v4, pod_v6};
use weft_tests::peer::{Joint, address_pod, kernel_vxlan};
use weft_tests::tcp::assert_transfer;
use weft_tests::traffic::{assert_mtu_edge, assert_pings};
use weft_tests::{Host, Lab, Netns, Node, capture};

/// Octets of a stream that is long enough to reach full super-frames.
const STREAM: usize = 8 << 20;

/// weft on host `a`, the other switch on host `b`.
struct Meeting {
    lab: Lab,
    node: Node,
    pods: [Arc<Netns>; 2],
    /// Keeps the other host's namespace.
    _other: Host,
}

impl Meeting {
    /// Brings both up; `other` gets the lab's host `b`, the address of `a`, and the pod.
    #[track_caller]
    fn new<T>(spec: &Spec, other: impl FnOnce(&Host, std::net::IpAddr, &Netns) -> T) -> (Self, T) {
        let lab = Lab::with_mtu(spec.mtu);
        let hosts @ [_, host] = &[lab.host("a"), lab.host("b")];
        let pods = [lab.pod("pod1"), lab.pod("pod2")];
        let switch = other(&hosts[1], hosts[0].address(spec.v6), &pods[1]);
        address_pod(&pods[1], 2);
        let config = spec.config(&hosts[0], &pods[0], 1, &[hosts[1].address(spec.v6)]);
        let node = Node::start(&hosts[0], &config);
        node.host.finish_packets();
        (Self { lab, node, pods, _other: host.clone() }, switch)
    }

    /// Expects pings, streams and the largest packet to pass both ways, and nothing odd on the wire.
    #[track_caller]
    fn assert_understood(mut self, mtu: u32) {
        let file = self.lab.dir().join("wire.pcap");
        let running = capture::Capture::start(self.lab.hub(), "h1", &file, capture::WHOLE);
        let [one, two] = &self.pods;
        for (from, to, n) in [(one, two, 2), (two, one, 1)] {
            for address in [pod_v4(n), pod_v6(n)] {
                assert_pings(from, address);
                assert_transfer(from, (to, address), STREAM);
                assert_mtu_edge(from, address, mtu);
            }
        }
        assert_eq!(capture::problems(&running.stop()), Vec::<String>::new());
        finish([&mut self.node], &mut self.lab);
    }
}

/// Underlay IPv6?, VNI: every pair of the extremes.
const CASES: [(bool, u32); 4] = [(false, 0), (false, 0xff_ffff), (true, 0), (true, 0xff_ffff)];

const fn inside(v6: bool) -> u32 {
    if v6 { 1430 } else { 1450 }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn the_kernels_vxlan_is_understood() {
    for (v6, vni) in CASES {
        let joint = if vni == 0 { Joint::Device } else { Joint::Bridge };
        println!("IPv6 underlay: {v6}, VNI {vni}, {joint:?}");
        let spec = Spec { v6, vni, ..Spec::default() };
        let (meeting, ()) = Meeting::new(&spec, |b, a, pod| kernel_vxlan(b, a, vni, pod, joint));
        meeting.assert_understood(inside(v6));
    }
}

fn open_vswitch(kind: &'static str, peer: &'static str) {
    for (v6, vni) in CASES {
        println!("IPv6 underlay: {v6}, VNI {vni}, {kind}");
        let spec = Spec { v6, vni, peer, ..Spec::default() };
        let (meeting, _switch) = Meeting::new(&spec, |b, a, pod| {
            Ovs::start(b, pod, Tunnel { kind, vni, remote: a, mtu: inside(v6) })
        });
        meeting.assert_understood(inside(v6));
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn open_vswitch_with_vxlan_is_understood() {
    open_vswitch("vxlan", "format = \"vxlan\"");
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn open_vswitch_with_geneve_is_understood() {
    open_vswitch("geneve", "format = \"geneve\"");
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_kernel_peer_over_a_jumbo_underlay_is_understood() {
    let spec = Spec { mtu: 9000, ..Spec::default() };
    let (meeting, ()) = Meeting::new(&spec, |b, a, pod| kernel_vxlan(b, a, 100, pod, Joint::Device));
    meeting.assert_understood(8950);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn unfinished_inner_checksums_of_a_kernel_peer_are_noticed() {
    let lab = Lab::new();
    let hosts = [lab.host("a"), lab.host("b")];
    let pods = [lab.pod("pod1"), lab.pod("pod2")];
    kernel_vxlan(&hosts[1], hosts[0].v4.into(), 100, &pods[1], Joint::Device);
    address_pod(&pods[1], 2);
    // As a careless operator leaves it: checksums are left to a NIC that never comes.
    hosts[1].ns.exec("ethtool -K u0 tx on");
    let config = Spec::default().config(&hosts[0], &pods[0], 1, &[hosts[1].v4.into()]);
    let mut node = Node::start(&hosts[0], &config);
    let mut lab = lab;
    assert_pings(&pods[0], pod_v4(2));
    let done = weft_tests::tcp::transfer(&pods[1], (&pods[0], pod_v4(1)), 1 << 20);
    let noticed = weft_tests::node::count(&node.json("drops")["notices"]["inner_checksum"]);
    assert!(noticed > 0, "TCP: {done:?}, and nothing says why");
    finish([&mut node], &mut lab);
}
