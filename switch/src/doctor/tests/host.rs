use super::*;

fn link(strict: bool, checksums: Option<bool>) -> UnderlayLink {
    UnderlayLink {
        address: "10.0.0.1".parse().unwrap(),
        device: "eth0".to_owned(),
        mtu: 1500,
        strict,
        checksums,
        gro: None,
    }
}

fn with(host: HostFacts) -> Facts {
    Facts { host, ..running(daemon(Vec::new())) }
}

#[test]
fn a_strict_filter_is_wrong_only_where_peers_are_reached_by_another_device() {
    let host = |strict, device: &str| HostFacts {
        links: vec![link(strict, None)],
        ways: vec![Way { to: "10.0.0.9".parse().unwrap(), device: device.to_owned() }],
        ..HostFacts::default()
    };
    let finding = only(&with(host(true, "eth1")));
    assert_eq!((finding.code.as_str(), finding.subject.as_str()), ("rp_filter", "device eth0"));
    assert_eq!(finding.fixes, [Fix::loose_reverse_path("eth0").unwrap()]);
    assert_eq!(codes(&with(host(true, "eth0"))), Vec::<String>::new());
    assert_eq!(codes(&with(host(false, "eth1"))), Vec::<String>::new());
}

#[test]
fn routes_overlap_with_pods_either_way_round_but_for_the_pods_own() {
    let pods = |device: Option<&str>| PodNet {
        network: "pods".to_owned(),
        net: "10.32.0.0/12".parse().unwrap(),
        device: device.map(str::to_owned),
    };
    let facts = |route: &str, pods: PodNet| Facts {
        pods: vec![pods.clone(), pods],
        ..with(HostFacts {
            routes: vec![HostRoute { net: route.parse().unwrap(), device: "br0".to_owned() }],
            ..HostFacts::default()
        })
    };
    for route in ["10.40.0.0/16", "10.0.0.0/8", "10.32.0.0/12"] {
        assert_eq!(codes(&facts(route, pods(None))), ["route_overlap network pods"], "{route}");
    }
    assert_eq!(codes(&facts("10.99.0.0/24", pods(None))), Vec::<String>::new());
    assert_eq!(codes(&facts("10.32.0.0/12", pods(Some("br0")))), Vec::<String>::new());
}

#[test]
fn a_configured_underlay_mtu_above_the_links_is_found() {
    let facts = |configured| {
        let daemon = DaemonFacts { underlay_mtu: Some(mtu(configured)), ..daemon(Vec::new()) };
        Facts {
            host: HostFacts { links: vec![link(false, None)], ..HostFacts::default() },
            ..running(daemon)
        }
    };
    assert_eq!(codes(&facts(9000)), ["underlay_mtu device eth0"]);
    assert_eq!(codes(&facts(1400)), Vec::<String>::new());
}

#[test]
fn offloads_that_are_missing_or_refused_are_found() {
    let host = |checksums| HostFacts { links: vec![link(false, checksums)], ..HostFacts::default() };
    assert_eq!(codes(&with(host(Some(false)))), ["nic_offloads device eth0"]);
    assert_eq!(codes(&with(host(Some(true)))), Vec::<String>::new());
    assert_eq!(codes(&with(host(None))), Vec::<String>::new());
    let host =
        |gro| HostFacts { links: vec![UnderlayLink { gro, ..link(false, None) }; 2], ..HostFacts::default() };
    let finding = only(&with(host(Some(false))));
    assert_eq!((finding.code.as_str(), finding.mend.as_str()), ("nic_receive", "`ethtool -K eth0 gro on`"));
    assert_eq!(codes(&with(host(Some(true)))), Vec::<String>::new());
    let fallback = |subject: Option<&str>| FallbackFacts {
        subject: subject.map(str::to_owned),
        offload: "udp_segment",
        said: "Input/output error".to_owned(),
    };
    let fallbacks = vec![fallback(Some("node b")), fallback(None)];
    let facts = running(DaemonFacts { fallbacks, ..daemon(Vec::new()) });
    assert_eq!(codes(&facts), ["plain_path node b", "plain_path node"]);
}

#[test]
fn buffers_are_small_when_they_are_less_than_was_asked_for() {
    let host = |got| HostFacts { buffer: Some(Buffer { got, wanted: 16 << 20 }), ..HostFacts::default() };
    assert_eq!(only(&with(host(8 << 20))).fixes, [Fix::receive_buffer(8 << 20)]);
    assert_eq!(codes(&with(host(16 << 20))), Vec::<String>::new());
    let host =
        |got| HostFacts { send_buffer: Some(Buffer { got, wanted: 16 << 20 }), ..HostFacts::default() };
    assert_eq!(only(&with(host(8 << 20))).fixes, [Fix::send_buffer(8 << 20)]);
    assert_eq!(codes(&with(host(16 << 20))), Vec::<String>::new());
}
