//! What was dropped last, as `weft drops --show` tells it.

use std::net::UdpSocket;

use encap::{Format, Vni, tunnel};
use weft_tests::command::{run, try_run};
use weft_tests::pair::{Pair, Spec, pod_mac, pod_v4};
use weft_tests::traffic::assert_pings;
use weft_tests::{Injector, inject, node, wait};

#[test]
#[ignore = "needs root: run by test.sh"]
fn what_was_dropped_last_is_shown_and_opens_in_wireshark_and_tcpdump() {
    let pair = Pair::start(&Spec { port: "guard = false\n", ..Spec::default() });
    assert_pings(&pair.pods[0], pod_v4(2));
    let [a, b] = &pair.nodes;

    // From a pod: a frame with a VLAN tag.
    let mut tagged = inject::frame(pod_mac(2), pod_mac(1), 0x8100);
    tagged[14..18].copy_from_slice(&[0, 5, 0x88, 0xb5]);
    let injector = Injector::new(&pair.pods[0]);
    (0..40).for_each(|_| injector.send(&tagged));
    wait::until(wait::secs(3), "the frames to be dropped", || a.dropped("vlan") == 40);
    let shown = a.cli(&["drops", "--show", "vlan"]);
    let line =
        "outbound  port:pod  1       02:00:00:00:32:01 > 02:00:00:00:32:02 vlan 5 ethertype 0x88b5 len 60";
    assert_eq!(shown.out.matches(line).count(), 32, "{}{}", shown.out, shown.err);

    // From the peer: a frame of a network that is not here.
    let mut datagram = tunnel::encode(Format::Vxlan, Vni::new(999).expect("24 bits")).to_vec();
    datagram.extend(inject::frame(pod_mac(1), pod_mac(2), 0x88b5));
    let socket = b.host.ns.enter(|| UdpSocket::bind((b.host.v4, 0)).expect("a socket"));
    socket.send_to(&datagram, (a.host.v4, 4789)).expect("sent");
    wait::until(wait::secs(3), "the datagram to be dropped", || a.dropped("unknown_vni") == 1);
    let heads = a.json("drops --show unknown_vni");
    let head = &heads["entries"][0];
    assert_eq!(head["at"], format!("peer:{}", b.host.v4), "{heads}");
    assert_eq!(head["datagram"]["format"], "vxlan", "{heads}");

    let file = pair.lab.dir().join("heads.pcapng");
    let path = file.to_str().expect("a path in UTF-8");
    let done = a.cli(&["drops", "--show", "unknown_vni", "--write", path]);
    assert!(done.ok() && done.out.contains("1 packets written"), "{done:?}");
    let fields = ["ip.src", "ip.dst", "vxlan.vni", "frame.interface_name", "frame.comment", "_ws.malformed"];
    let mut words = vec!["tshark", "-n", "-r", path, "-T", "fields"];
    fields.iter().for_each(|field| words.extend(["-e", field]));
    let row = run(&words);
    let values: Vec<_> = row.trim_end_matches('\n').split('\t').collect();
    let (from, to, at) = (b.host.v4.to_string(), a.host.v4.to_string(), format!("peer:{}", b.host.v4));
    assert_eq!(values[..4], [&*from, &to, "999", &at]);
    assert!(
        values[4].starts_with("dropped, frames: 1, reason: unknown_vni: ") && values[5].is_empty(),
        "{row}"
    );
    let told = run(&["tcpdump", "-n", "-r", path]);
    assert!(told.contains("VXLAN, flags [I] (0x08), vni 999"), "{told}");
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn who_may_only_ask_does_not_see_what_pods_send() {
    let pair = Pair::start(&Spec::default());
    let dir = &pair.nodes[0].host.dir;
    for dir in [pair.lab.dir(), dir] {
        run(&["chmod", "755", dir.to_str().expect("a path in UTF-8")]);
    }
    let socket = dir.join("weft.sock");
    let weft = node::binary().to_str().expect("a path in UTF-8");
    let as_group = |words: &[&str]| {
        let mut all = vec!["setpriv", "--reuid", "65534", "--regid", "0", "--clear-groups", weft, "drops"];
        all.extend(words);
        all.extend(["--socket", socket.to_str().expect("a path in UTF-8")]);
        try_run(&all)
    };
    assert!(as_group(&[]).ok(), "{:?}", as_group(&[]));
    let refused = as_group(&["--show", "vlan"]);
    assert!(refused.code == 1 && refused.err.contains("see what pods send"), "{refused:?}");
    pair.finish();
}
