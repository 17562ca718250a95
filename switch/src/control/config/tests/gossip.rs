//! `[gossip]`, and what goes with it.

use super::super::*;
use super::bad::one_problem;

fn gossip(text: &str) -> GossipConfig {
    let text = format!("[gossip]\ninsecure = true\n{text}");
    Config::from_toml(&text).unwrap_or_else(|error| panic!("{text}\n{error}")).gossip.unwrap()
}

#[test]
fn gossip_is_on_exactly_when_its_section_is_there() {
    assert_eq!(Config::from_toml("").unwrap().gossip, None);
    let expected = GossipConfig { insecure: true, ..GossipConfig::default() };
    assert_eq!(gossip(""), expected);
}

#[test]
fn gossip_listens_where_it_is_told_or_on_the_first_underlay_address() {
    let own: [IpAddr; 2] = ["fd00::1".parse().unwrap(), "10.0.0.1".parse().unwrap()];
    let listen = |text: &str| gossip(text).listen_on(&own).unwrap().to_string();
    assert_eq!(listen(""), "[fd00::1]:6786");
    assert_eq!(listen("listen = \"10.0.0.7\""), "10.0.0.7:6786");
    assert_eq!(listen("listen = \"10.0.0.7:65535\""), "10.0.0.7:65535");
    assert_eq!(listen("listen = \"fd00::7\""), "[fd00::7]:6786");
    assert_eq!(listen("listen = \"[fd00::7]:1\""), "[fd00::7]:1");
    assert_eq!(listen("listen = \"[::ffff:10.0.0.7]:1\""), "10.0.0.7:1");
    assert_eq!(gossip("").listen_on(&[]), None);
}

#[test]
fn others_see_what_is_advertised_of_the_same_family() {
    let config = Config::from_toml("[underlay]\nadvertise = \"203.0.113.7\"").unwrap();
    let seen = |own: &str| config.underlay.seen_as(own.parse().unwrap()).to_string();
    assert_eq!(seen("10.0.0.1"), "203.0.113.7");
    assert_eq!(seen("fd00::1"), "fd00::1");
}

#[test]
fn unknown_unicast_is_flooded_unless_gossip_or_the_network_says_otherwise() {
    let mut network = NetworkConfig::new("pods", Vni::MAX);
    assert_eq!([false, true].map(|gossip| network.floods_unknown(gossip)), [true, false]);
    network.unknown_unicast = Some(UnknownUnicast::Flood);
    assert_eq!([false, true].map(|gossip| network.floods_unknown(gossip)), [true, true]);
    network.unknown_unicast = Some(UnknownUnicast::Drop);
    assert_eq!([false, true].map(|gossip| network.floods_unknown(gossip)), [false, false]);
}

#[test]
fn a_node_to_join_is_a_name_or_an_address_with_a_port_or_without() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    let good = [
        ("10.0.0.2", "10.0.0.2:6786"),
        ("10.0.0.2:1", "10.0.0.2:1"),
        ("fd00::2", "[fd00::2]:6786"),
        ("[fd00::2]", "[fd00::2]:6786"),
        ("[fd00::2]:65535", "[fd00::2]:65535"),
        ("::ffff:10.0.0.2", "10.0.0.2:6786"),
        ("node-b", "node-b:6786"),
        ("node_b.example.:7", "node_b.example.:7"),
        ("3com.example", "3com.example:6786"),
        (&longest, &format!("{longest}:6786")),
    ];
    for (text, shown) in good {
        let address: JoinAddress = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(address.to_string(), shown);
        assert_eq!(shown.parse(), Ok(address));
    }
    let long = format!("a{longest}");
    for text in [
        "",
        ":6786",
        "node-b:",
        "node-b:0",
        "node-b:65536",
        "node-b:+7",
        "node-b:7:8",
        "node b",
        "-b",
        "b-",
        "a..b",
        "10.0.0.256",
        "10.0.0",
        "10.0.0.2:0",
        "10.0.0.2:+7",
        "[fd00::2]:",
        "[10.0.0.2]",
        "fd00::x",
        "[fd00::2",
        "ü",
        &long,
    ] {
        assert_eq!(text.parse::<JoinAddress>(), Err(JoinAddressError), "{text}");
    }
}

#[test]
fn gossip_needs_a_key_or_the_word_that_it_is_insecure() {
    let next =
        &["neither `key_file` nor `insecure`", "`weft key new --output FILE`", "set `insecure = true`"];
    one_problem("\n[gossip]", 2, next);
    one_problem("[gossip]\ninsecure = false", 1, next);
    let both = "[gossip]\nkey_file = \"/k\"\ninsecure = true";
    one_problem(both, 3, &["`insecure` in [gossip] is true while `key_file` is \"/k\"", "remove `insecure`"]);
    let sealed = Config::from_toml("[gossip]\nkey_file = \"/k\"").unwrap().gossip.unwrap();
    assert_eq!((sealed.key_file, sealed.insecure), (Some(PathBuf::from("/k")), false));
}

#[test]
fn a_wrong_key_of_gossip_names_value_and_what_is_allowed() {
    let cases: &[(&str, &[&str])] = &[
        ("listen = \"eth0\"", &["`listen` in [gossip] is \"eth0\"", "\"10.0.0.1:6786\""]),
        ("listen = \"10.0.0.1:0\"", &["`listen`", "\"10.0.0.1:0\"", "1 to 65535"]),
        (
            "listen = \"0.0.0.0\"",
            &["\"0.0.0.0:6786\", which no other node can send to", "`advertise` of [underlay]"],
        ),
        ("listen = \"[::]:7\"", &["\"[::]:7\", which no other node can send to"]),
        ("listen = \"224.0.0.1\"", &["`listen`", "\"224.0.0.1:6786\"", "multicast"]),
        (
            "listen = \"10.0.0.1:4789\"",
            &["port 4789, which is `vxlan_port` in [underlay]", "a port of its own"],
        ),
        ("listen = \"10.0.0.1:6081\"", &["port 6081, which is `geneve_port`"]),
        ("join = 7", &["`join` in [gossip] is 7", "a list, each a host name"]),
        ("join = [\"10.0.0.256\"]", &["`join`", "\"10.0.0.256\"", "a host name or an IP address"]),
        ("join = [\"224.0.0.1\"]", &["`join`", "\"224.0.0.1:6786\"", "multicast"]),
        ("join = [\"10.0.0.2\", \"10.0.0.2:6786\"]", &["\"10.0.0.2:6786\" twice", "each address once"]),
        ("key_file = \"gossip.key\"\n", &["`key_file`", "is not shown", "an absolute path"]),
        ("insecrue = true", &["unknown key `insecrue` in [gossip]", "did you mean `insecure`?"]),
    ];
    for (text, parts) in cases {
        one_problem(&format!("[gossip]\n{text}\ninsecure = true"), 2, parts);
    }
    one_problem("[gossip]\ninsecure = 1", 2, &["`insecure` in [gossip] is 1", "true or false"]);
    let family = "[underlay]\naddress = \"10.0.0.1\"\n[gossip]\ninsecure = true\njoin = [\"fd00::2\"]";
    one_problem(
        family,
        5,
        &["\"[fd00::2]:6786\", while gossip listens on 10.0.0.1", "the family of `listen`"],
    );
    let default = "[underlay]\nvxlan_port = 6786\n[gossip]\ninsecure = true";
    one_problem(default, 3, &["port 6786, which is `vxlan_port`"]);
}

#[test]
fn up_to_64_nodes_to_join_are_taken() {
    let join = |count: usize| {
        let each: Vec<_> = (0..count).map(|n| format!("\"node-{n}\"")).collect();
        format!("[gossip]\ninsecure = true\njoin = [{}]", each.join(", "))
    };
    assert_eq!(Config::from_toml(&join(64)).unwrap().gossip.unwrap().join.len(), MAX_JOIN);
    one_problem(&join(65), 3, &["a list of 65 addresses", "up to 64"]);
}

#[test]
fn every_address_of_the_host_is_listened_on_only_when_one_is_advertised() {
    let text = |advertise: &str, listen: &str| {
        format!("[underlay]\nadvertise = \"{advertise}\"\n[gossip]\ninsecure = true\nlisten = \"{listen}\"")
    };
    assert!(Config::from_toml(&text("203.0.113.7", "0.0.0.0")).is_ok());
    one_problem(&text("203.0.113.7", "::"), 5, &["\"[::]:6786\", which no other node can send to"]);
}

#[test]
fn what_others_see_is_of_a_family_that_this_host_has_and_no_peer() {
    let text = "[underlay]\naddress = \"10.0.0.1\"\nadvertise = \"fd00::7\"";
    one_problem(
        text,
        3,
        &["`advertise`", "\"fd00::7\", while `address` is [\"10.0.0.1\"]", "of that family"],
    );
    let text = "[underlay]\nadvertise = \"203.0.113.7\"\n[[peer]]\naddress = \"203.0.113.7\"";
    one_problem(text, 4, &["\"203.0.113.7\", which this host is seen as", "another host"]);
}

#[test]
fn only_a_peer_that_is_one_host_is_shared() {
    let text = "[gossip]\ninsecure = true\n[[peer]]\naddress = \"10.0.0.0/24\"\nshare = true";
    one_problem(text, 5, &["`share` in [[peer]] is true", "only with the address of one host"]);
    // That [gossip] could not be read is no reason to say that it is missing.
    let text = "[gossip]\ninsecure = 1\n[[peer]]\naddress = \"10.0.0.9\"\nshare = true";
    one_problem(text, 2, &["`insecure`"]);
}
