use proptest::prelude::*;

use super::*;

mod api;
mod bad;
mod gossip;
mod reloading;

/// A network for what needs one.
const PODS: &str = "[[network]]\nname = \"pods\"\nvni = 100\n";

#[test]
fn an_empty_file_is_the_default() {
    let config = Config::from_toml("").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.problems(), []);
}

#[test]
fn the_defaults_are_those_of_the_manual() {
    let config = Config::default();
    assert!(!config.node.name.is_empty());
    assert_eq!(config.node.socket, Path::new("/run/weft/weft.sock"));
    assert_eq!(config.node.state_dir, Path::new("/var/lib/weft"));
    let underlay = &config.underlay;
    assert_eq!((underlay.vxlan_port, underlay.geneve_port, underlay.source_ports), (4789, 6081, 16));
    assert_eq!(config.encap.format, Format::Vxlan);
    assert_eq!(config.datapath.udp_segment, 128);

    let config = Config::from_toml(
        "[[network]]\nname = \"pods\"\nvni = 1\n[[port]]\nname = \"web\"\nnetwork = \"pods\"\n\
         [[peer]]\naddress = \"10.0.0.9\"",
    )
    .unwrap();
    let network = &config.networks[0];
    assert_eq!((network.mac_age, network.max_macs), (Duration::from_secs(300), 65_536));
    assert_eq!((network.unknown_unicast, network.vlan, network.mtu), (None, VlanRule::Drop, None));
    let port = &config.ports[0];
    assert_eq!((port.ifname(), port.bum_pps, port.multicast_pps, port.guard), ("web", 2000, 0, true));
    assert!(config.peers[0].is_on("pods"), "a peer without a list is on every network");
}

/// Every key, none with its default.
const EVERYTHING: &str = r#"
    [node]
    name = "n1"
    state_dir = "/tmp/state"
    socket = "/tmp/weft.sock"
    keep_ports = true

    [underlay]
    address = ["10.0.0.1", "fd00::1"]
    advertise = "203.0.113.7"
    mtu = 9000
    vxlan_port = 8472
    geneve_port = 0x17c2
    source_ports = 4

    [encap]
    format = "geneve"
    vxlan_reserved = "strict"
    dscp = "inherit"

    [datapath]
    workers = 3
    poll = "busy"
    tso = false
    uso = false
    udp_segment = 64
    udp_gro = false

    [gossip]
    listen = "10.0.0.1:7000"
    join = ["node-b.example", "10.0.0.2:7001"]
    key_file = "/etc/weft/gossip.key"
    insecure = false

    [[network]]
    name = "pods"
    vni = 16_777_215
    unknown_unicast = "drop"
    mac_age = "5min"
    vlan = "pass"
    max_macs = 10
    mtu = 1400

    [[port]]
    name = "web"
    network = "pods"
    ifname = "eth0"
    netns = "pid:7"
    mac = "02:00:00:00:00:01"
    addresses = ["10.32.0.5/12", "fd32::5/64"]
    gateway = "10.32.0.1"
    bum_pps = 1
    multicast_pps = 2
    guard = false

    [[peer]]
    address = "fd00::9"
    format = "vxlan"
    networks = ["pods"]
    port = 4790
    share = true

    [[peer]]
    address = "10.1.0.0/16"

    [api]
    http = "[::1]:9000"
    token_file = "/etc/weft/http.token"

    [log]
    level = "warn,control=debug"
    format = "json"
"#;

#[test]
fn every_key_reaches_its_field() {
    let config = Config::from_toml(EVERYTHING).unwrap();
    assert_eq!(config.node.name, "n1");
    assert_eq!(config.node.state_dir, Path::new("/tmp/state"));
    assert_eq!(config.node.socket, Path::new("/tmp/weft.sock"));
    assert!(config.node.keep_ports);
    let underlay = UnderlayConfig {
        address: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        interface: None,
        advertise: vec!["203.0.113.7".parse().unwrap()],
        mtu: UnderlayMtu::Fixed(Mtu::new(9000).unwrap()),
        vxlan_port: 8472,
        geneve_port: 6082,
        source_ports: 4,
    };
    assert_eq!(config.underlay, underlay);
    let encap = EncapConfig { format: Format::Geneve, vxlan_reserved: Reserved::Strict, dscp: Dscp::Inherit };
    assert_eq!(config.encap, encap);
    let datapath = DatapathConfig {
        workers: Workers::Fixed(3),
        poll: Poll::Busy,
        tso: false,
        uso: false,
        udp_segment: 64,
        udp_gro: false,
    };
    assert_eq!(config.datapath, datapath);
    let gossip = GossipConfig {
        listen: Some("10.0.0.1:7000".parse().unwrap()),
        join: vec!["node-b.example:6786".parse().unwrap(), "10.0.0.2:7001".parse().unwrap()],
        key_file: Some("/etc/weft/gossip.key".into()),
        insecure: false,
    };
    assert_eq!(config.gossip, Some(gossip));
    let network = NetworkConfig {
        name: "pods".to_owned(),
        vni: Vni::MAX,
        unknown_unicast: Some(UnknownUnicast::Drop),
        mac_age: Duration::from_secs(300),
        vlan: VlanRule::Pass,
        max_macs: 10,
        mtu: Some(Mtu::new(1400).unwrap()),
    };
    assert_eq!(config.networks, [network]);
    let log = LogConfig { level: "warn,control=debug".to_owned(), format: LogFormat::Json };
    assert_eq!(config.log, log);
}

#[test]
fn every_key_of_ports_and_peers_reaches_its_field() {
    let config = Config::from_toml(EVERYTHING).unwrap();
    let port = PortConfig {
        name: "web".to_owned(),
        network: "pods".to_owned(),
        ifname: Some("eth0".to_owned()),
        netns: Some(NetnsRef::Pid(7)),
        mac: Some("02:00:00:00:00:01".parse().unwrap()),
        addresses: vec!["10.32.0.5/12".parse().unwrap(), "fd32::5/64".parse().unwrap()],
        gateway: Some("10.32.0.1".parse().unwrap()),
        bum_pps: 1,
        multicast_pps: 2,
        guard: false,
    };
    assert_eq!(config.ports, [port]);
    let host = PeerConfig {
        address: PeerAddress::Host("fd00::9".parse().unwrap()),
        format: Some(Format::Vxlan),
        networks: vec!["pods".to_owned()],
        port: Some(4790),
        share: true,
    };
    let prefix = PeerConfig::new(PeerAddress::Prefix("10.1.0.0/16".parse().unwrap()));
    assert_eq!(config.peers, [host, prefix]);
    let interface = Config::from_toml("[underlay]\ninterface = \"eth0\"").unwrap().underlay.interface;
    assert_eq!(interface.as_deref(), Some("eth0"));
}

#[test]
fn values_at_the_edge_of_what_is_allowed_are_taken() {
    let good = [
        "[underlay]\naddress = \"10.0.0.1\"".to_owned(),
        "[underlay]\naddress = []".to_owned(),
        "[underlay]\nmtu = 576\nsource_ports = 64".to_owned(),
        "[datapath]\nworkers = 64\nudp_segment = 0".to_owned(),
        "[log]\nlevel = \"gossip=trace, off\"".to_owned(),
        "[[network]]\nname = \"0\"\nvni = 0\nmtu = 1280\nmac_age = \"0s\"".to_owned(),
        format!("[[network]]\nname = \"{}\"\nvni = 1\nmtu = 65481\nmac_age = \"365days\"", "n".repeat(64)),
        // An address with /31, /32, /127 or /128 has no network address to be mistaken for.
        format!(
            "{PODS}[[port]]\nname = \"a\"\nnetwork = \"pods\"\naddresses = [\"10.0.0.0/31\", \"10.9.0.1/32\"]"
        ),
        // The same device name in two namespaces, the same MAC and address on two networks.
        format!(
            "{PODS}[[network]]\nname = \"blue\"\nvni = 7\n\
             [[port]]\nname = \"a\"\nnetwork = \"pods\"\nifname = \"eth0\"\nnetns = \"/run/netns/a\"\n\
             mac = \"02:00:00:00:00:01\"\naddresses = [\"10.0.0.5/24\"]\n\
             [[port]]\nname = \"b\"\nnetwork = \"blue\"\nifname = \"eth0\"\nnetns = \"/run/netns/b\"\n\
             mac = \"02:00:00:00:00:01\"\naddresses = [\"10.0.0.5/24\"]"
        ),
        // A host inside a prefix that is only listened to.
        "[[peer]]\naddress = \"10.0.0.0/8\"\n[[peer]]\naddress = \"10.0.0.9\"".to_owned(),
        // Inline tables are TOML as well.
        "network = [{ name = \"pods\", vni = 100 }]\nencap = { format = \"geneve\" }".to_owned(),
    ];
    for text in good {
        if let Err(error) = Config::from_toml(&text) {
            panic!("{text}\n{error}");
        }
    }
}

#[test]
fn a_mapped_address_is_the_ipv4_address_it_stands_for() {
    let config = Config::from_toml("[underlay]\naddress = \"::ffff:10.0.0.1\"").unwrap();
    assert_eq!(config.underlay.address, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
}

#[test]
fn what_the_command_line_adds_is_checked_like_a_file() {
    let mut config = Config::from_toml(PODS).unwrap();
    config.ports.push(PortConfig::new("web", "pods"));
    config.ports.push(PortConfig { ifname: Some("eth/0".to_owned()), ..PortConfig::new("db", "bods") });
    let messages: Vec<_> = config.problems().iter().map(ToString::to_string).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].starts_with("`ifname` in [[port]] is \"eth/0\"; allowed: 1 to 15"), "{messages:?}");
    assert!(messages[1].ends_with("did you mean `pods`?"), "{messages:?}");
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(at in 0..EVERYTHING.len(), cut in 0_usize..40, insert in ".{0,12}") {
        // One place of a good file replaced: most of what is left is TOML, and wrong somewhere.
        let end = EVERYTHING.len().min(at + cut);
        let text = format!("{}{insert}{}", &EVERYTHING[..at], &EVERYTHING[end..]);
        match Config::from_toml(&text) {
            Ok(config) => prop_assert_eq!(config.problems(), []),
            Err(error) => {
                let lines = text.lines().count() + 1;
                prop_assert!(!error.problems().is_empty());
                prop_assert!(error.problems().iter().all(|p| p.line.is_some_and(|line| line <= lines)));
            }
        }
    }
}
