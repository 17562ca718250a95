//! Files that are wrong, and what is said of each: the line, the key, the value, what is allowed.

use super::super::*;
use super::PODS;

/// Checks that a text has exactly one problem, on this line, which says all of `parts`.
pub(super) fn one_problem(text: &str, line: usize, parts: &[&str]) {
    let Err(error) = Config::from_toml(text) else { panic!("taken:\n{text}") };
    let [problem] = error.problems() else { panic!("not one problem:\n{text}\n{error}") };
    assert_eq!(problem.line, Some(line), "{text}\n{problem}");
    for part in parts {
        assert!(problem.message.contains(part), "{text}\n{problem}\ndoes not say: {part}");
    }
}

#[test]
fn an_unknown_key_or_section_names_the_nearest() {
    let cases: &[(&str, usize, &[&str])] = &[
        ("[node]\nnaem = \"a\"", 2, &["unknown key `naem` in [node]", "did you mean `name`?"]),
        ("[underlay]\n\nvxlanport = 1", 3, &["`vxlanport` in [underlay]", "did you mean `vxlan_port`?"]),
        ("[datapath]\nudp_segments = 64", 2, &["`udp_segments`", "did you mean `udp_segment`?"]),
        ("[encap]\nvni = 1", 2, &["unknown key `vni` in [encap]", "it belongs in [[network]]"]),
        ("[log]\ncolour = true", 2, &["unknown key `colour` in [log]", "its keys are `level`, `format`"]),
        ("[underley]\nmtu = 1500", 1, &["unknown section `underley`", "did you mean [underlay]?"]),
        ("[[networks]]\nvni = 1", 1, &["unknown section `networks`", "did you mean [[network]]?"]),
        ("[zebra]", 1, &["unknown section `zebra`", "the sections are [node], [underlay]"]),
        ("vni = 1", 1, &["`vni` stands in no section", "put it under [[network]]"]),
        ("zebra = 1", 1, &["unknown key `zebra`", "the sections are"]),
    ];
    for (text, line, parts) in cases {
        one_problem(text, *line, parts);
    }
}

#[test]
fn text_that_is_no_toml_is_named_with_its_line() {
    one_problem("[node]\nname = \"a\"\nname = \"b\"", 3, &["this is not TOML", "duplicate key"]);
    one_problem("[node]\nname =", 2, &["this is not TOML"]);
    one_problem(
        "[network]\nname = \"pods\"",
        1,
        &["section `network` must be written [[network]]", "several"],
    );
    one_problem("[[node]]\nname = \"a\"", 1, &["section `node` must be written [node]", "only one"]);
    one_problem("network = [1]", 1, &["must be written [[network]]"]);
}

#[test]
fn a_wrong_value_of_a_section_names_key_value_and_what_is_allowed() {
    let cases: &[(&str, &[&str])] = &[
        ("[node]\nname = \"a b\"", &["`name` in [node] is \"a b\"", "1 to 64 letters"]),
        ("[node]\nstate_dir = \"var/lib\"", &["`state_dir`", "\"var/lib\"", "an absolute path"]),
        ("[node]\nsocket = \"weft.sock\"", &["`socket`", "\"weft.sock\"", "an absolute path"]),
        ("[node]\nkeep_ports = \"yes\"", &["`keep_ports` in [node] is \"yes\"", "true or false"]),
        ("[underlay]\naddress = \"10.0.0.1/24\"", &["`address`", "10.0.0.1/24", "an IP address such as"]),
        (
            "[underlay]\naddress = [\"10.0.0.1\", \"10.0.0.2\"]",
            &["`address`", "at most one IPv4 and one IPv6"],
        ),
        (
            "[underlay]\naddress = \"224.0.0.1\"",
            &["`address`", "224.0.0.1", "neither unspecified, multicast"],
        ),
        (
            "[underlay]\nadvertise = [\"1.2.3.4\", \"1.2.3.5\"]",
            &["`advertise`", "at most one IPv4 and one IPv6"],
        ),
        ("[underlay]\nadvertise = \"0.0.0.0\"", &["`advertise`", "\"0.0.0.0\"", "neither unspecified"]),
        (
            "[underlay]\nadvertise = \"nat\"",
            &["`advertise` in [underlay] is \"nat\"", "an IP address such as"],
        ),
        ("[underlay]\naddress = \"fe80::1\"", &["`address`", "fe80::1", "link-local"]),
        ("[underlay]\ninterface = \"a-very-long-name0\"", &["`interface`", "a-very-long-name0", "1 to 15"]),
        ("[underlay]\nmtu = \"big\"", &["`mtu` in [underlay] is \"big\"", "\"auto\", or 576 to 65535"]),
        ("[underlay]\nmtu = 575", &["`mtu` in [underlay] is 575", "576 to 65535"]),
        ("[underlay]\nvxlan_port = 0", &["`vxlan_port`", "is 0", "1 to 65535"]),
        ("[underlay]\ngeneve_port = 65536", &["`geneve_port`", "is 65536", "1 to 65535"]),
        (
            "[underlay]\ngeneve_port = 4789",
            &["`geneve_port`", "4789, which `vxlan_port` is too", "another port"],
        ),
        ("[underlay]\nsource_ports = 65", &["`source_ports`", "is 65", "1 to 64"]),
        ("[encap]\nformat = \"gre\"", &["`format` in [encap] is \"gre\"", "\"vxlan\" or \"geneve\""]),
        ("[encap]\nvxlan_reserved = true", &["`vxlan_reserved`", "is true", "\"ignore\" or \"strict\""]),
        ("[encap]\ndscp = 46", &["`dscp` in [encap] is 46", "\"0\" or \"inherit\""]),
        ("[datapath]\nworkers = 0", &["`workers` in [datapath] is 0", "\"auto\", or 1 to 64"]),
        ("[datapath]\nworkers = -1", &["`workers` in [datapath] is -1", "1 to 64"]),
        ("[datapath]\npoll = \"spin\"", &["`poll`", "\"spin\"", "\"adaptive\" or \"interrupt\" or \"busy\""]),
        ("[datapath]\ntso = 1", &["`tso` in [datapath] is 1", "true or false"]),
        ("[datapath]\nudp_segment = 32", &["`udp_segment`", "is 32", "0, 64 or 128"]),
        ("[log]\nlevel = \"inof\"", &["`level` in [log] is \"inof\"", "error, warn, info, debug, trace"]),
        ("[log]\nlevel = \"gossip=loud\"", &["`level`", "\"gossip=loud\"", "error, warn, info"]),
        ("[log]\nlevel = \"info,gosip=debug\"", &["`level`", "gosip", "gossip, path"]),
        ("[log]\nformat = \"xml\"", &["`format` in [log] is \"xml\"", "\"auto\" or \"text\" or \"json\""]),
    ];
    for (text, parts) in cases {
        one_problem(text, 2, parts);
    }
}

#[test]
fn an_interface_beside_an_address_is_refused() {
    let text = "[underlay]\naddress = \"10.0.0.1\"\ninterface = \"eth0\"";
    one_problem(text, 3, &["`interface`", "\"eth0\" while `address` is given too", "only one of them"]);
}

#[test]
fn a_wrong_network_names_key_value_and_what_is_allowed() {
    let cases: &[(&str, usize, &[&str])] = &[
        ("vni = 1", 1, &["[[network]] has no `name`", "required"]),
        ("name = \"a\"", 1, &["[[network]] has no `vni`", "required", "0 to 16777215"]),
        ("name = \"\"\nvni = 1", 2, &["`name` in [[network]] is \"\"", "1 to 64 letters"]),
        ("name = \"-a\"\nvni = 1", 2, &["`name`", "\"-a\"", "the first of them a letter or digit"]),
        ("name = \"a\"\nvni = 16777216", 3, &["`vni` in [[network]] is 16777216", "0 to 16777215"]),
        ("name = \"a\"\nvni = \"100\"", 3, &["`vni`", "is \"100\"", "0 to 16777215"]),
        ("name = \"a\"\nvni = 1.5", 3, &["`vni`", "is 1.5"]),
        (
            "name = \"a\"\nvni = 1\nunknown_unicast = \"no\"",
            4,
            &["`unknown_unicast`", "\"flood\" or \"drop\""],
        ),
        ("name = \"a\"\nvni = 1\nmac_age = 300", 4, &["`mac_age`", "is 300", "\"1s\" to \"365days\""]),
        ("name = \"a\"\nvni = 1\nmac_age = \"10\"", 4, &["`mac_age`", "\"10\"", "\"0s\" for ever"]),
        ("name = \"a\"\nvni = 1\nmac_age = \"10ms\"", 4, &["`mac_age`", "\"10ms\"", "\"1s\" to"]),
        ("name = \"a\"\nvni = 1\nmac_age = \"9years\"", 4, &["`mac_age`", "\"9years\"", "\"365days\""]),
        ("name = \"a\"\nvni = 1\nvlan = 7", 4, &["`vlan`", "is 7", "\"drop\" or \"pass\""]),
        ("name = \"a\"\nvni = 1\nmax_macs = 0", 4, &["`max_macs`", "is 0", "1 to 1048576"]),
        ("name = \"a\"\nvni = 1\nmtu = 1279", 4, &["`mtu` in [[network]] is 1279", "1280 to 65481"]),
        ("name = \"a\"\nvni = 1\nmtu = 65482", 4, &["`mtu`", "is 65482", "1280 to 65481"]),
    ];
    for (text, line, parts) in cases {
        one_problem(&format!("[[network]]\n{text}"), *line, parts);
    }
    let second = |text: &str| format!("{PODS}[[network]]\n{text}");
    one_problem(&second("name = \"pods\"\nvni = 1"), 5, &["\"pods\"", "a network before has", "of its own"]);
    one_problem(
        &second("name = \"b\"\nvni = 100"),
        6,
        &["`vni`", "100, which network `pods` has", "of its own"],
    );
}

#[test]
fn a_wrong_port_names_key_value_and_what_is_allowed() {
    let cases: &[(&str, usize, &[&str])] = &[
        ("netns = \"run/netns/a\"", 7, &["`netns`", "\"run/netns/a\"", "\"pid:N\""]),
        ("netns = \"pid:x\"", 7, &["`netns`", "\"pid:x\""]),
        ("ifname = \"eth 0\"", 7, &["`ifname`", "\"eth 0\"", "without space"]),
        ("ifname = \"tap%d\"", 7, &["`ifname`", "\"tap%d\"", "`%`"]),
        ("ifname = \"..\"", 7, &["`ifname`", "\"..\"", "not `.` or `..`"]),
        ("mac = \"02:00\"", 7, &["`mac`", "\"02:00\"", "02:00:00:00:00:01"]),
        ("mac = \"01:00:5e:00:00:01\"", 7, &["`mac`", "\"01:00:5e:00:00:01\"", "no group address"]),
        ("mac = \"00:00:00:00:00:00\"", 7, &["`mac`", "not all zeros"]),
        ("addresses = \"10.0.0.5/24\"", 7, &["`addresses`", "\"10.0.0.5/24\"", "a list, each an IP address"]),
        ("addresses = [\"10.0.0.5\"]", 7, &["`addresses`", "\"10.0.0.5\"", "with its prefix length"]),
        ("addresses = [\n\"10.0.0.5/24\",\n\"x\"]", 9, &["`addresses`", "is \"x\"", "10.32.0.5/12"]),
        ("addresses = [\"10.0.0.0/24\"]", 7, &["`addresses`", "\"10.0.0.0/24\"", "of one host"]),
        ("addresses = [\"10.0.0.255/24\"]", 7, &["`addresses`", "\"10.0.0.255/24\"", "of one host"]),
        (
            "gateway = \"10.0.0.1\"",
            7,
            &["`gateway`", "\"10.0.0.1\", while `addresses` is []", "inside the prefix"],
        ),
        (
            "addresses = [\"10.0.0.5/24\"]\ngateway = \"10.0.1.1\"",
            8,
            &["`gateway`", "\"10.0.1.1\"", "[\"10.0.0.5/24\"]", "inside the prefix"],
        ),
        (
            "addresses = [\"10.0.0.5/24\"]\ngateway = \"10.0.0.5\"",
            8,
            &["`gateway`", "the port's own", "another host"],
        ),
        ("gateway = \"10.0.0.0/24\"", 7, &["`gateway`", "\"10.0.0.0/24\"", "an IP address such as"]),
        ("bum_pps = -1", 7, &["`bum_pps`", "is -1", "0 to 1000000000"]),
        ("multicast_pps = 1000000001", 7, &["`multicast_pps`", "is 1000000001", "0 to 1000000000"]),
        ("guard = \"off\"", 7, &["`guard`", "is \"off\"", "true or false"]),
        ("vlan = 7", 7, &["unknown key `vlan` in [[port]]", "it belongs in [[network]]"]),
    ];
    for (text, line, parts) in cases {
        one_problem(&format!("{PODS}[[port]]\nname = \"web\"\nnetwork = \"pods\"\n{text}"), *line, parts);
    }
}

#[test]
fn a_port_must_fit_the_networks_and_the_other_ports() {
    let alone: &[(&str, usize, &[&str])] = &[
        ("network = \"pods\"", 4, &["[[port]] has no `name`", "required"]),
        ("name = \"web\"", 4, &["[[port]] has no `network`", "required"]),
        ("name = \"web\"\nnetwork = \"pod\"", 6, &["`network`", "\"pod\"", "did you mean `pods`?"]),
        (
            "name = \"web\"\nnetwork = \"blue\"",
            6,
            &["`network`", "\"blue\"", "the name of a network: `pods`"],
        ),
        (
            "name = \"a-name-of-17-chrs\"\nnetwork = \"pods\"",
            4,
            &["`ifname`", "a-name-of-17-chrs", "none is given"],
        ),
    ];
    for (text, line, parts) in alone {
        one_problem(&format!("{PODS}[[port]]\n{text}"), *line, parts);
    }
    one_problem("[[port]]\nname = \"web\"\nnetwork = \"pods\"", 3, &["`network`", "add a [[network]]"]);

    let first = "[[port]]\nname = \"a\"\nnetwork = \"pods\"\nmac = \"02:00:00:00:00:01\"\naddresses = [\"10.0.0.5/24\"]";
    let second: &[(&str, usize, &[&str])] = &[
        ("name = \"a\"", 11, &["`name`", "\"a\"", "a port before has already"]),
        (
            "name = \"b\"\nifname = \"a\"",
            12,
            &["`ifname`", "\"a\", which port `a` in the same namespace has"],
        ),
        (
            "name = \"b\"\nmac = \"02:00:00:00:00:01\"",
            12,
            &["`mac`", "which port `a` has", "in each network"],
        ),
        (
            "name = \"b\"\naddresses = [\"10.0.0.5/8\"]",
            12,
            &["`addresses`", "\"10.0.0.5/8\", which port `a` has"],
        ),
    ];
    for (text, line, parts) in second {
        one_problem(&format!("{PODS}{first}\n[[port]]\nnetwork = \"pods\"\n{text}"), *line, parts);
    }
}

#[test]
fn a_wrong_peer_names_key_value_and_what_is_allowed() {
    let cases: &[(&str, usize, &[&str])] = &[
        ("format = \"vxlan\"", 6, &["[[peer]] has no `address`", "required"]),
        ("address = \"host-b\"", 7, &["`address` in [[peer]] is \"host-b\"", "10.0.0.9"]),
        ("address = \"10.0.0.9/24\"", 7, &["\"10.0.0.9/24\"", "no bits set after its length"]),
        ("address = \"0.0.0.0\"", 7, &["\"0.0.0.0\"", "neither unspecified"]),
        ("address = \"10.0.0.1\"", 7, &["\"10.0.0.1\"", "own `address` in [underlay]", "another host"]),
        ("address = \"fd00::9\"", 7, &["\"fd00::9\"", "[\"10.0.0.1\"]", "add an IPv6 address"]),
        ("address = \"fd00::/64\"", 7, &["\"fd00::/64\"", "add an IPv6 address"]),
        ("address = \"10.0.0.9\"\nformat = \"gre\"", 8, &["`format`", "\"gre\"", "\"vxlan\" or \"geneve\""]),
        ("address = \"10.0.0.9\"\nport = 0", 8, &["`port`", "is 0", "1 to 65535"]),
        ("address = \"10.0.0.9\"\nnetworks = \"pods\"", 8, &["`networks`", "\"pods\"", "a list"]),
        (
            "address = \"10.0.0.9\"\nnetworks = [\"podz\"]",
            8,
            &["`networks`", "\"podz\"", "did you mean `pods`?"],
        ),
        ("address = \"10.0.0.9\"\nnetworks = [\"pods\", \"pods\"]", 8, &["\"pods\" twice", "each name once"]),
        ("address = \"10.1.0.0/16\"\nformat = \"vxlan\"", 8, &["`format`", "nothing is sent to the prefix"]),
        ("address = \"10.1.0.0/16\"\nport = 1", 8, &["`port`", "nothing is sent to the prefix 10.1.0.0/16"]),
        ("address = \"10.0.0.9\"\nshare = 1", 8, &["`share` in [[peer]] is 1", "true or false"]),
        (
            "address = \"10.0.0.9\"\nshare = true",
            8,
            &["`share` in [[peer]] is true", "only with gossip", "add [gossip], or remove `share`"],
        ),
        (
            "address = \"10.0.0.9\"\n[[peer]]\naddress = \"10.0.0.9\"",
            9,
            &["a peer before has", "one entry a peer"],
        ),
    ];
    for (text, line, parts) in cases {
        one_problem(&format!("{PODS}[underlay]\naddress = \"10.0.0.1\"\n[[peer]]\n{text}"), *line, parts);
    }
}

#[test]
fn all_problems_are_reported_in_the_order_of_the_lines() {
    let text = "[log]\nlevel = \"loud\"\n[[network]]\nname = \"pods\"\nvnii = 100\n\
                [[port]]\nname = \"web\"\nnetwork = \"pods\"\nmac = \"x\"\n[[port]]\nname = \"db\"\nnetwork = \"pods\"";
    let error = Config::from_toml(text).unwrap_err();
    let lines: Vec<_> = error.problems().iter().map(|problem| problem.line.unwrap()).collect();
    // Line 3: `vni` is missing. That `pods` could not be read does not make lines 8 and 12 wrong.
    assert_eq!(lines, [2, 3, 5, 9], "{error}");
    assert!(
        error.to_string().starts_with("the configuration is invalid (4 problems):\n  line 2: "),
        "{error}"
    );
}

#[test]
fn a_wrong_item_does_not_shift_the_lines_of_the_next() {
    let text = format!(
        "{PODS}[[port]]\nname = \"a\"\nnetwork = \"pods\"\nmac = \"x\"\n\
         [[port]]\nname = \"b\"\nnetwork = \"pods\"\ngateway = \"10.0.0.1\""
    );
    let error = Config::from_toml(&text).unwrap_err();
    let lines: Vec<_> = error.problems().iter().map(|problem| problem.line.unwrap()).collect();
    assert_eq!(lines, [7, 11], "{error}");
}

#[test]
fn a_long_value_is_shown_shortened() {
    let text = format!("[node]\nkeep_ports = \"{}\"", "x".repeat(1000));
    let error = Config::from_toml(&text).unwrap_err().to_string();
    assert!(error.len() < 250 && error.contains("xxx…"), "{error}");
}
