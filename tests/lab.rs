//! The laboratory itself, without weft: when these fail, the others cannot tell anything.

use weft_tests::pair::{pod_v4, pod_v6};
use weft_tests::peer::{Joint, address_pod, kernel_vxlan, mtu_of};
use weft_tests::tcp::assert_transfer;
use weft_tests::traffic::{assert_mtu_edge, assert_pings, udp_burst};
use weft_tests::{Injector, Lab, capture, inject, ovs, wait};

#[test]
#[ignore = "needs root: run by test.sh"]
fn two_kernels_reach_each_other_and_tshark_finds_no_fault() {
    for v6 in [false, true] {
        let mut lab = Lab::new();
        let (a, b) = (lab.host("a"), lab.host("b"));
        let (pod1, pod2) = (lab.pod("pod1"), lab.pod("pod2"));
        kernel_vxlan(&a, b.address(v6), 7, &pod1, Joint::Device);
        kernel_vxlan(&b, a.address(v6), 7, &pod2, Joint::Bridge);
        address_pod(&pod1, 1);
        address_pod(&pod2, 2);
        let running = capture::Capture::start(lab.hub(), "h2", &lab.dir().join("wire.pcap"), capture::WHOLE);
        assert_pings(&pod1, pod_v4(2));
        assert_pings(&pod2, pod_v6(1));
        assert_mtu_edge(&pod1, pod_v4(2), mtu_of(&pod1, "eth0"));
        assert_transfer(&pod1, (&pod2, pod_v4(2)), 4 << 20);
        let burst = udp_burst(&pod2, (&pod1, pod_v6(1)), 500, std::time::Duration::ZERO, |n| 8 + n * 2);
        assert_eq!((burst.received, burst.corrupt), (500, 0));
        assert_eq!(capture::problems(&running.stop()), Vec::<String>::new());
        lab.underlay_saw_only_hosts();
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn open_vswitch_and_the_kernel_reach_each_other() {
    for v6 in [false, true] {
        let mut lab = Lab::new();
        let (a, b) = (lab.host("a"), lab.host("b"));
        let (pod1, pod2) = (lab.pod("pod1"), lab.pod("pod2"));
        kernel_vxlan(&a, b.address(v6), 7, &pod1, Joint::Device);
        address_pod(&pod1, 1);
        let tunnel = ovs::Tunnel { kind: "vxlan", vni: 7, remote: a.address(v6), mtu: mtu_of(&pod1, "eth0") };
        let _switch = ovs::Ovs::start(&b, &pod2, tunnel);
        address_pod(&pod2, 2);
        assert_pings(&pod1, pod_v4(2));
        assert_transfer(&pod1, (&pod2, pod_v4(2)), 2 << 20);
        assert_transfer(&pod2, (&pod1, pod_v6(1)), 2 << 20);
        lab.underlay_saw_only_hosts();
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn two_geneve_switches_reach_each_other() {
    let mut lab = Lab::new();
    let (a, b) = (lab.host("a"), lab.host("b"));
    let (pod1, pod2) = (lab.pod("pod1"), lab.pod("pod2"));
    let tunnel = |remote| ovs::Tunnel { kind: "geneve", vni: 0xff_ffff, remote, mtu: 1450 };
    let _one = ovs::Ovs::start(&a, &pod1, tunnel(b.address(false)));
    let _two = ovs::Ovs::start(&b, &pod2, tunnel(a.address(false)));
    address_pod(&pod1, 1);
    address_pod(&pod2, 2);
    assert_pings(&pod1, pod_v4(2));
    lab.underlay_saw_only_hosts();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn an_injected_frame_leaves_through_the_pods_device_as_it_is() {
    let lab = Lab::new();
    let pod = lab.pod("pod");
    pod.ip("link add eth0 type veth peer name far");
    pod.ip("link set eth0 up");
    pod.ip("link set far up");
    let injector = Injector::new(&pod);
    let file = lab.dir().join("far.pcap");
    let running = capture::Capture::start(&pod, "far", &file, capture::WHOLE);
    let strange = [
        inject::frame([2, 0, 0, 0, 0, 9], [0; 6], 0x88b5),
        inject::frame([1, 0x80, 0xc2, 0, 0, 0], [2, 0, 0, 0, 0, 1], 0x88b5),
        inject::frame([2, 0, 0, 0, 0, 9], [3, 0, 0, 0, 0, 1], 0x8100),
    ];
    strange.iter().for_each(|frame| injector.send(frame));
    wait::sleep_ms(300);
    let bytes = std::fs::read(running.stop()).expect("the capture");
    for frame in strange {
        assert!(bytes.windows(frame.len()).any(|window| window == frame), "{frame:02x?} did not come out");
    }
}
