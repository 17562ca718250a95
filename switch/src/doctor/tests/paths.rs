use super::*;

/// The cells of this format, and of at least this size, are not answered.
fn without(peer: PeerFacts, format: Format, sizes: &[Size]) -> PeerFacts {
    let lost = |cell: &CellFacts| cell.format == format && sizes.contains(&cell.size);
    let cell = |cell: CellFacts| CellFacts { answered: cell.answered && !lost(&cell), sent: 4, ..cell };
    PeerFacts { cells: peer.cells.iter().copied().map(cell).collect(), ..peer }
}

const ALL: &[Size] = &[Size::Small, Size::Min, Size::Link];

#[test]
fn one_dead_port_is_told_from_two() {
    let one = without(peer("b"), Format::Vxlan, ALL);
    let facts = running(daemon(vec![one.clone(), peer("cc")]));
    assert_eq!(found(&facts), [(Severity::Warning, "port_filtered".to_owned(), "peer b".to_owned())]);
    assert!(only(&facts).what.contains("answers on UDP 6081, and not on UDP 4789"), "{}", only(&facts).what);
    let both = without(one, Format::Geneve, ALL);
    let facts = running(daemon(vec![both.clone()]));
    assert_eq!(found(&facts), [(Severity::Error, "ports_filtered".to_owned(), "peer b".to_owned())]);
    assert!(only(&facts).why.contains("do not reach each other"));
    let relayed =
        PeerFacts { via: Some("cc".to_owned()), causes: vec![Cause::Unanswered, Cause::Relayed], ..both };
    assert!(only(&running(daemon(vec![relayed]))).why.contains("frames go through cc"));
}

#[test]
fn what_was_not_tried_or_is_not_alive_is_not_called_filtered() {
    let tried = |name, sent| {
        let cells = peer(name).cells.into_iter().map(|cell| CellFacts { sent, answered: false, ..cell });
        PeerFacts { cells: cells.collect(), ..peer(name) }
    };
    let dead =
        PeerFacts { alive: false, ..without(without(peer("cc"), Format::Vxlan, ALL), Format::Geneve, ALL) };
    // Two may be lost by chance, or be on their way yet.
    let facts = running(daemon(vec![tried("b", 0), tried("bb", 2), dead]));
    assert_eq!(codes(&facts), Vec::<String>::new());
    assert_eq!(codes(&running(daemon(vec![tried("b", 3)]))), ["ports_filtered peer b"]);
}

#[test]
fn one_direction_loss_and_silence_come_from_the_watch_over_paths() {
    let with = |causes: &[Cause]| running(daemon(vec![PeerFacts { causes: causes.to_vec(), ..peer("b") }]));
    assert_eq!(codes(&with(&[Cause::OneWay])), ["one_way peer b"]);
    assert_eq!(codes(&with(&[Cause::Loss])), ["loss peer b"]);
    assert_eq!(codes(&with(&[Cause::DeadSourcePort, Cause::Loss])), ["dead_source_port peer b"]);
    assert_eq!(codes(&with(&[Cause::Unanswered])), ["ports_filtered peer b"]);
    assert_eq!(codes(&with(&[Cause::OneWay, Cause::Loss])), ["one_way peer b"], "one reason for both");
}

#[test]
fn an_ip_version_that_is_filtered_is_named() {
    let causes = vec![Cause::OtherFamily];
    let v6 = PeerFacts { address: "fd00::2".parse().ok(), causes: causes.clone(), ..peer("b") };
    let facts = running(daemon(vec![v6]));
    assert_eq!(codes(&facts), ["family_filtered peer b"]);
    assert!(only(&facts).what.contains("answers over IPv6, and not over IPv4"), "{}", only(&facts).what);
    let v4 = PeerFacts { causes, ..peer("b") };
    assert!(only(&running(daemon(vec![v4]))).mend.contains("over IPv6"));
}

#[test]
fn a_path_is_small_when_its_mtu_says_so_or_full_size_vanishes_beside_small() {
    let small = PeerFacts { path_mtu: Some(mtu(1400)), causes: vec![Cause::SmallMtu], ..peer("b") };
    let facts = running(daemon(vec![small.clone()]));
    assert!(only(&facts).what.contains("more than 1400") && only(&facts).mend.contains("mtu = 1400"));
    assert_eq!(only(&facts).severity, Severity::Warning);
    let vanishes = without(peer("b"), Format::Geneve, &[Size::Link]);
    assert_eq!(codes(&running(daemon(vec![vanishes.clone()]))), ["path_mtu peer b"]);
    let lossy = PeerFacts { causes: vec![Cause::Loss], ..vanishes };
    assert_eq!(codes(&running(daemon(vec![lossy]))), ["loss peer b"], "loss takes large probes, too");
    let filtered = without(peer("b"), Format::Vxlan, ALL);
    assert_eq!(codes(&running(daemon(vec![filtered]))), ["port_filtered peer b"]);
    let tiny = PeerFacts { causes: vec![Cause::BelowIpv6Minimum], path_mtu: Some(mtu(1300)), ..small };
    assert_eq!(only(&running(daemon(vec![tiny]))).severity, Severity::Error);
}

#[test]
fn mtus_above_what_fits_are_found_where_they_were_set() {
    let network =
        |octets: Option<u32>| NetworkFacts { name: "pods".to_owned(), mtu: octets.map(mtu), fits: mtu(1450) };
    let port = |has: u32, given: u32| {
        let (name, ifname) = ("web".to_owned(), "eth0".to_owned());
        PortFacts { name, ifname, mtu: mtu(has), given: mtu(given), fits: mtu(1450) }
    };
    let with = |network: NetworkFacts, port: PortFacts| {
        running(DaemonFacts { networks: vec![network], ports: vec![port], ..daemon(Vec::new()) })
    };
    assert_eq!(codes(&with(network(Some(1480)), port(1480, 1480))), ["network_mtu network pods"]);
    assert_eq!(codes(&with(network(None), port(1500, 1450))), ["port_mtu port web"]);
    assert_eq!(codes(&with(network(Some(1450)), port(1400, 1450))), Vec::<String>::new());
}
