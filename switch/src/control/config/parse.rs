//! The sections of a file, one function each.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use encap::{Format, MacAddr, Mtu, Vni};
use humantime_serde::re::humantime;
use ipnet::IpNet;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check;
use super::error::Problem;
use super::gossip::{JOIN, socket_address};
use super::keys::{self, Section};
use super::read::{Document, Item, in_range};
use super::{
    Config, DatapathConfig, Discovery, Dscp, EncapConfig, GossipConfig, LogConfig, LogFormat, NetworkConfig,
    NodeConfig, PathConfig, PeerAddress, PeerConfig, Poll, PortConfig, Reserved, UnderlayConfig, UnderlayMtu,
    UnknownUnicast, VlanRule, Workers, values,
};
use crate::io::netns::NetnsRef;

const FORMATS: &[(&str, Format)] = &[("vxlan", Format::Vxlan), ("geneve", Format::Geneve)];
const ADDRESS: &str = "an IP address such as \"10.0.0.1\"";
const PREFIXED: &str = "an IP address with its prefix length such as \"10.32.0.5/12\"";
const LISTEN: &str = "an IP address with a port of 1 to 65535 or without, such as \"10.0.0.1:6786\"";
const PATH: &str = "an absolute path";
const AGE: &str = "\"0s\" for ever, or \"1s\" to \"365days\"";

/// 65,507 octets of UDP payload over IPv4 hold a tunnel header (8), an Ethernet header (14) and a VLAN tag (4).
const PORT_MTU_MAX: u32 = 65_481;

/// The configuration that `text` is, or all that is wrong with it.
pub(super) fn config(text: &str) -> Result<Config, Vec<Problem>> {
    let mut document = Document::new(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let offset = error.span().map_or(0, |span| span.start);
        document.problem(offset, format!("this is not TOML: {}", error.message()));
    }
    if !document.problems.is_empty() {
        return Err(document.problems);
    }

    let mut config = Config::default();
    let mut incomplete = Vec::new();
    for (key, value) in root.get_ref() {
        let Some(section) = keys::section(key.get_ref()) else {
            let is_section = value.get_ref().is_table() || value.get_ref().is_array();
            document.problem(key.span().start, keys::unknown_section(key.get_ref(), is_section));
            continue;
        };
        if !read_section(&mut document, section, key, value, &mut config) {
            incomplete.push(section.name);
        }
    }

    for finding in check::findings(&config) {
        // A network that could not be read is no reason to call its name unknown.
        if !finding.leans_on().is_some_and(|section| incomplete.contains(&section)) {
            let line = document.line_of(finding.section, finding.index, finding.key);
            document.problems.push(Problem { line, message: finding.message });
        }
    }
    if document.problems.is_empty() { Ok(config) } else { Err(document.problems) }
}

/// Reads all of a section into `config`; false when some of it is wrong.
fn read_section<'i>(
    document: &mut Document<'_>,
    section: &'static Section,
    key: &Spanned<toml::de::DeString<'i>>,
    value: &Spanned<DeValue<'i>>,
    config: &mut Config,
) -> bool {
    let tables: Vec<_> = match value.get_ref() {
        DeValue::Table(table) if !section.repeats => vec![(table, value.span().start)],
        DeValue::Array(array) if section.repeats => {
            let tables = array.iter().map(|each| (each.get_ref().as_table(), each.span().start));
            tables.filter_map(|(table, offset)| table.map(|table| (table, offset))).collect()
        }
        _ => Vec::new(),
    };
    let expected = value.get_ref().as_array().map_or(1, |array| array.len());
    if tables.len() != expected {
        let many = if section.repeats { "there may be several" } else { "there is only one" };
        let message = format!("section `{}` must be written {section}: {many}", section.name);
        document.problem(key.span().start, message);
        return false;
    }
    let mut complete = true;
    for (table, offset) in tables {
        let index = match section.name {
            "network" => config.networks.len(),
            "port" => config.ports.len(),
            "peer" => config.peers.len(),
            _ => 0,
        };
        complete &= read_item(Item::new(document, section, index, table, offset), section.name, config);
    }
    complete
}

/// Puts one table into `config`, if all of it is right.
fn read_item(mut item: Item<'_, '_, '_>, section: &str, config: &mut Config) -> bool {
    match section {
        "node" => put(&mut config.node, Some(node(&mut item)), item),
        "underlay" => put(&mut config.underlay, Some(underlay(&mut item)), item),
        "encap" => put(&mut config.encap, Some(encap(&mut item)), item),
        "datapath" => put(&mut config.datapath, Some(datapath(&mut item)), item),
        "gossip" => put(&mut config.gossip, Some(Some(gossip(&mut item))), item),
        "path" => put(&mut config.path, Some(path_section(&mut item)), item),
        "log" => put(&mut config.log, Some(log(&mut item)), item),
        "network" => push(&mut config.networks, network(&mut item), item),
        "port" => push(&mut config.ports, port(&mut item), item),
        _ => push(&mut config.peers, peer(&mut item), item),
    }
}

fn put<T>(place: &mut T, value: Option<T>, item: Item<'_, '_, '_>) -> bool {
    let value = value.filter(|_| item.finish());
    value.map(|value| *place = value).is_some()
}

fn push<T>(list: &mut Vec<T>, value: Option<T>, item: Item<'_, '_, '_>) -> bool {
    // `finish` first: an item without its required keys has told its problems already.
    let value = if item.finish() { value } else { None };
    value.map(|value| list.push(value)).is_some()
}

fn node(item: &mut Item<'_, '_, '_>) -> NodeConfig {
    let default = NodeConfig::default();
    NodeConfig {
        name: item.string("name", values::NAME, word).unwrap_or(default.name),
        state_dir: item.string("state_dir", PATH, path).unwrap_or(default.state_dir),
        socket: item.string("socket", values::SOCKET, path).unwrap_or(default.socket),
        keep_ports: item.boolean("keep_ports").unwrap_or(default.keep_ports),
    }
}

fn underlay(item: &mut Item<'_, '_, '_>) -> UnderlayConfig {
    let default = UnderlayConfig::default();
    let mtu = |value: &DeValue<'_>| match value.as_str() {
        Some(text) => (text == "auto").then_some(UnderlayMtu::Auto),
        None => in_range::<u32>(value, 576..=65_535).and_then(|n| Mtu::new(n).ok()).map(UnderlayMtu::Fixed),
    };
    UnderlayConfig {
        address: item.list("address", true, ADDRESS, ip).unwrap_or(default.address),
        interface: item.string("interface", values::IFNAME, word),
        advertise: item.list("advertise", true, ADDRESS, ip).unwrap_or(default.advertise),
        mtu: item.with("mtu", "\"auto\", or 576 to 65535", mtu).unwrap_or(default.mtu),
        vxlan_port: item.number("vxlan_port", 1..=65_535).unwrap_or(default.vxlan_port),
        geneve_port: item.number("geneve_port", 1..=65_535).unwrap_or(default.geneve_port),
        source_ports: item.number("source_ports", 1..=64).unwrap_or(default.source_ports),
    }
}

fn encap(item: &mut Item<'_, '_, '_>) -> EncapConfig {
    let default = EncapConfig::default();
    EncapConfig {
        format: item.choice("format", FORMATS).unwrap_or(default.format),
        vxlan_reserved: item.choice("vxlan_reserved", Reserved::CHOICES).unwrap_or(default.vxlan_reserved),
        dscp: item.choice("dscp", Dscp::CHOICES).unwrap_or(default.dscp),
    }
}

fn datapath(item: &mut Item<'_, '_, '_>) -> DatapathConfig {
    let default = DatapathConfig::default();
    let workers = |value: &DeValue<'_>| match value.as_str() {
        Some(text) => (text == "auto").then_some(Workers::Auto),
        None => in_range(value, 1..=64).map(Workers::Fixed),
    };
    let segments = |value: &DeValue<'_>| in_range(value, 0..=128).filter(|n| [0, 64, 128].contains(n));
    DatapathConfig {
        workers: item.with("workers", "\"auto\", or 1 to 64", workers).unwrap_or(default.workers),
        poll: item.choice("poll", Poll::CHOICES).unwrap_or(default.poll),
        tso: item.boolean("tso").unwrap_or(default.tso),
        uso: item.boolean("uso").unwrap_or(default.uso),
        udp_segment: item.with("udp_segment", "0, 64 or 128", segments).unwrap_or(default.udp_segment),
        udp_gro: item.boolean("udp_gro").unwrap_or(default.udp_gro),
    }
}

fn gossip(item: &mut Item<'_, '_, '_>) -> GossipConfig {
    GossipConfig {
        listen: item.string("listen", LISTEN, socket_address),
        join: item.list("join", true, JOIN, |text| text.parse().ok()).unwrap_or_default(),
        key_file: item.string("key_file", PATH, path),
        insecure: item.boolean("insecure").unwrap_or_default(),
    }
}

fn path_section(item: &mut Item<'_, '_, '_>) -> PathConfig {
    let default = PathConfig::default();
    let raise = |text: &str| {
        let allowed = Duration::from_secs(1)..=Duration::from_secs(3600);
        humantime::parse_duration(text).ok().filter(|raise| allowed.contains(raise))
    };
    PathConfig {
        discovery: item.choice("discovery", Discovery::CHOICES).unwrap_or(default.discovery),
        min: item.number::<u32>("min", 576..=9000).and_then(|n| Mtu::new(n).ok()).unwrap_or(default.min),
        clamp_mss: item.boolean("clamp_mss").unwrap_or(default.clamp_mss),
        relay: item.boolean("relay").unwrap_or(default.relay),
        raise: item.string("raise", "\"1s\" to \"1h\"", raise).unwrap_or(default.raise),
    }
}

fn log(item: &mut Item<'_, '_, '_>) -> LogConfig {
    let default = LogConfig::default();
    LogConfig {
        level: item.string("level", values::LOG_LEVEL, word).unwrap_or(default.level),
        format: item.choice("format", LogFormat::CHOICES).unwrap_or(default.format),
    }
}

fn network(item: &mut Item<'_, '_, '_>) -> Option<NetworkConfig> {
    let name = item.string("name", values::NAME, word);
    let name = item.required("name", name, values::NAME);
    let vni = item.number::<u32>("vni", 0..=Vni::MAX.get()).and_then(|n| Vni::new(n).ok());
    let vni = item.required("vni", vni, "0 to 16777215");
    // With the defaults of a network that has neither, so that all other keys are read too.
    let default = NetworkConfig::new("", Vni::MAX);
    let mtu = item.number::<u32>("mtu", u32::from(Mtu::IPV6_MIN.get())..=PORT_MTU_MAX);
    let rest = NetworkConfig {
        unknown_unicast: item.choice("unknown_unicast", UnknownUnicast::CHOICES),
        mac_age: item.string("mac_age", AGE, age).unwrap_or(default.mac_age),
        vlan: item.choice("vlan", VlanRule::CHOICES).unwrap_or(default.vlan),
        max_macs: item.number("max_macs", 1..=1_048_576).unwrap_or(default.max_macs),
        mtu: mtu.and_then(|n| Mtu::new(n).ok()),
        ..default
    };
    Some(NetworkConfig { name: name?, vni: vni?, ..rest })
}

fn port(item: &mut Item<'_, '_, '_>) -> Option<PortConfig> {
    let name = item.string("name", values::NAME, word);
    let name = item.required("name", name, values::NAME);
    let network = item.string("network", "the name of a network", word);
    let network = item.required("network", network, "the name of a network");
    let default = PortConfig::new("", "");
    let netns = "an absolute path such as \"/run/netns/pod-a\", or \"pid:N\"";
    let mac = "a MAC address such as \"02:00:00:00:00:01\"";
    let net = |text: &str| text.parse::<IpNet>().ok().filter(|_| text.contains('/'));
    let rest = PortConfig {
        ifname: item.string("ifname", values::IFNAME, word),
        netns: item.string("netns", netns, |text| text.parse::<NetnsRef>().ok()),
        mac: item.string("mac", mac, |text| text.parse::<MacAddr>().ok()),
        addresses: item.list("addresses", false, PREFIXED, net).unwrap_or_default(),
        gateway: item.string("gateway", ADDRESS, ip),
        bum_pps: item.number("bum_pps", 0..=1_000_000_000).unwrap_or(default.bum_pps),
        multicast_pps: item.number("multicast_pps", 0..=1_000_000_000).unwrap_or(default.multicast_pps),
        guard: item.boolean("guard").unwrap_or(default.guard),
        ..default
    };
    Some(PortConfig { name: name?, network: network?, ..rest })
}

fn peer(item: &mut Item<'_, '_, '_>) -> Option<PeerConfig> {
    let allowed = "an IP address such as \"10.0.0.9\", or a prefix such as \"10.0.0.0/24\" with no bits set after \
                   its length";
    let address = item.string("address", allowed, |text| text.parse::<PeerAddress>().ok());
    let address = item.required("address", address, allowed);
    let format = item.choice("format", FORMATS);
    let networks = item.list("networks", false, "the name of a network", word).unwrap_or_default();
    let port = item.number("port", 1..=65_535);
    let share = item.boolean("share").unwrap_or_default();
    Some(PeerConfig { address: address?, format, networks, port, share })
}

// What `check` looks at is taken as it is.
#[allow(clippy::unnecessary_wraps)] // the readers take functions that may refuse
fn word(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn path(text: &str) -> Option<PathBuf> {
    text.starts_with('/').then(|| PathBuf::from(text))
}

fn ip(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

fn age(text: &str) -> Option<Duration> {
    let age = humantime::parse_duration(text).ok()?;
    let allowed = Duration::from_secs(1)..=Duration::from_secs(365 * 86_400);
    (age.is_zero() || allowed.contains(&age)).then_some(age)
}
