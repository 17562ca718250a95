//! What several values must agree on, and the rules for values that their type does not carry.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Display;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::error::Problem;
use super::read::wrong;
use super::{Config, GossipConfig, JoinHost, MAX_JOIN, PeerAddress, PortConfig, keys, values};
use crate::io::netns::NetnsRef;

/// What to say when nothing tells how gossip is sealed.
const NO_KEY: &str = "[gossip] has neither `key_file` nor `insecure`: make a key with `weft key new --output FILE`, copy FILE \
                      to every node and name it as `key_file`; or set `insecure = true`, which lets anybody on the \
                      underlay join and forge";

/// A problem and the key it is about: the `index`-th item of its section.
pub(super) struct Finding {
    pub(super) section: &'static str,
    pub(super) index: usize,
    pub(super) key: &'static str,
    pub(super) message: String,
}

impl Finding {
    /// The other section that it is about too.
    pub(super) fn leans_on(&self) -> Option<&'static str> {
        match (self.section, self.key) {
            ("port", "network") | ("peer", "networks") => Some("network"),
            ("peer", "share") => Some("gossip"),
            ("gossip", "listen" | "join") => Some("underlay"),
            ("api", "http") => Some("gossip"),
            _ => None,
        }
    }
}

/// See [`Config::problems`].
pub(super) fn config(config: &Config) -> Vec<Problem> {
    findings(config).into_iter().map(|finding| Problem { line: None, message: finding.message }).collect()
}

/// Everything that is wrong with values that are right one by one.
pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    findings.node(config);
    findings.underlay(config);
    findings.gossip(config);
    findings.networks(config);
    findings.ports(config);
    findings.port_addresses(config);
    findings.peers(config);
    findings.api(config);
    findings.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, section: &'static str, index: usize, key: &'static str, value: &str, allowed: &str) {
        let message = keys::section(section).map(|section| wrong(section, key, value, allowed));
        self.0.extend(message.map(|message| Finding { section, index, key, message }));
    }

    fn unless(
        &mut self,
        right: bool,
        (section, index, key): (&'static str, usize, &'static str),
        value: impl Display,
        allowed: &str,
    ) {
        if !right {
            self.add(section, index, key, &format!("\"{value}\""), allowed);
        }
    }

    fn node(&mut self, config: &Config) {
        let node = &config.node;
        self.unless(values::is_name(&node.name), ("node", 0, "name"), &node.name, values::NAME);
        let fits = values::is_socket_path(&node.socket);
        self.unless(fits, ("node", 0, "socket"), node.socket.display(), values::SOCKET);
        let level = &config.log.level;
        self.unless(values::is_log_level(level), ("log", 0, "level"), level, values::LOG_LEVEL);
    }

    fn underlay(&mut self, config: &Config) {
        let underlay = &config.underlay;
        self.one_a_family("address", &underlay.address);
        self.one_a_family("advertise", &underlay.advertise);
        for ip in &underlay.advertise {
            if !underlay.address.is_empty() && !has_family(&underlay.address, *ip) {
                let value = format!("\"{ip}\", while `address` is {}", list(&underlay.address));
                self.add("underlay", 0, "advertise", &value, "what others see an address of that family as");
            }
        }
        if let Some(name) = &underlay.interface {
            self.unless(values::is_ifname(name), ("underlay", 0, "interface"), name, values::IFNAME);
            if !underlay.address.is_empty() {
                let value = format!("\"{name}\" while `address` is given too");
                self.add("underlay", 0, "interface", &value, "only one of them; remove the other");
            }
        }
        if underlay.vxlan_port == underlay.geneve_port {
            let value = format!("{}, which `vxlan_port` is too", underlay.geneve_port);
            self.add("underlay", 0, "geneve_port", &value, "another port than that for VXLAN");
        }
    }

    fn one_a_family(&mut self, key: &'static str, addresses: &[IpAddr]) {
        for ip in addresses {
            self.unless(values::is_unicast(*ip), ("underlay", 0, key), ip, values::UNICAST);
        }
        let v4 = addresses.iter().filter(|ip| ip.is_ipv4()).count();
        if v4 > 1 || addresses.len() - v4 > 1 {
            self.add("underlay", 0, key, &list(addresses), "at most one IPv4 and one IPv6 address");
        }
    }

    fn gossip(&mut self, config: &Config) {
        let Some(gossip) = &config.gossip else { return };
        match (&gossip.key_file, gossip.insecure) {
            (None, false) => self.0.push(Finding {
                section: "gossip",
                index: 0,
                key: "key_file",
                message: NO_KEY.to_owned(),
            }),
            (Some(file), true) => {
                let value = format!("true while `key_file` is \"{}\"", file.display());
                self.add(
                    "gossip",
                    0,
                    "insecure",
                    &value,
                    "only one of them; remove `insecure` to use the key",
                );
            }
            _ => {}
        }
        self.listen(config, gossip);
        self.join(config, gossip);
    }

    fn listen(&mut self, config: &Config, gossip: &GossipConfig) {
        let underlay = &config.underlay;
        if let Some(listen) = gossip.listen {
            let ip = listen.ip();
            if !ip.is_unspecified() {
                self.unless(values::is_unicast(ip), ("gossip", 0, "listen"), listen, values::UNICAST);
            } else if !has_family(&underlay.advertise, ip) {
                let value = format!("\"{listen}\", which no other node can send to");
                let allowed =
                    "an address of this host; or give what others see it as in `advertise` of [underlay]";
                self.add("gossip", 0, "listen", &value, allowed);
            }
        }
        let port = gossip.listen.map_or(GossipConfig::PORT, |listen| listen.port());
        let taken = [("vxlan_port", underlay.vxlan_port), ("geneve_port", underlay.geneve_port)];
        if let Some((key, _)) = taken.iter().find(|(_, taken)| *taken == port) {
            let value = format!("on port {port}, which is `{key}` in [underlay]");
            self.add("gossip", 0, "listen", &value, "a port of its own");
        }
    }

    fn join(&mut self, config: &Config, gossip: &GossipConfig) {
        let count = gossip.join.len();
        if count > MAX_JOIN {
            let value = format!("a list of {count} addresses");
            self.add(
                "gossip",
                0,
                "join",
                &value,
                &format!("up to {MAX_JOIN}; a few that are always there do"),
            );
        }
        let own = gossip.listen_on(&config.underlay.address).map(|listen| listen.ip());
        let mut seen = Seen::new();
        for (index, seed) in gossip.join.iter().enumerate() {
            if seen.before(seed, index).is_some() {
                self.add("gossip", 0, "join", &format!("\"{seed}\" twice"), "each address once");
            }
            let JoinHost::Ip(ip) = *seed.host() else { continue };
            self.unless(values::is_unicast(ip), ("gossip", 0, "join"), seed, values::UNICAST);
            if let Some(own) = own.filter(|own| own.is_ipv4() != ip.is_ipv4()) {
                let value = format!("\"{seed}\", while gossip listens on {own}");
                self.add("gossip", 0, "join", &value, "addresses of the family of `listen`");
            }
        }
    }

    fn networks(&mut self, config: &Config) {
        let (mut names, mut vnis) = (Seen::new(), Seen::new());
        for (index, network) in config.networks.iter().enumerate() {
            let name = &network.name;
            self.unless(values::is_name(name), ("network", index, "name"), name, values::NAME);
            if names.before(name, index).is_some() {
                let value = format!("\"{name}\", which a network before has already");
                self.add("network", index, "name", &value, "a name of its own");
            }
            if let Some(other) = vnis.before(network.vni, index) {
                let value = format!("{}, which network `{}` has", network.vni, config.networks[other].name);
                self.add("network", index, "vni", &value, "a VNI of its own");
            }
        }
    }

    fn ports(&mut self, config: &Config) {
        let (mut names, mut devices, mut macs) = (Seen::new(), Seen::new(), Seen::new());
        for (index, port) in config.ports.iter().enumerate() {
            let name = &port.name;
            self.unless(values::is_name(name), ("port", index, "name"), name, values::NAME);
            if names.before(name, index).is_some() {
                let value = format!("\"{name}\", which a port before has already");
                self.add("port", index, "name", &value, "a name of its own");
            } else {
                self.ifname(index, port);
                let device = (port.netns.as_ref().map(NetnsRef::path), port.ifname());
                if let Some(other) = devices.before(device, index) {
                    let other = &config.ports[other].name;
                    let value =
                        format!("\"{}\", which port `{other}` in the same namespace has", port.ifname());
                    self.add("port", index, "ifname", &value, "a name of its own in each namespace");
                }
            }
            self.network_exists(config, ("port", index, "network"), &port.network);
            let Some(mac) = port.mac else { continue };
            let usable = !mac.is_group() && !mac.is_zero();
            self.unless(usable, ("port", index, "mac"), mac, "no group address and not all zeros");
            if let Some(other) = macs.before((&port.network, mac), index) {
                let value = format!("\"{mac}\", which port `{}` has", config.ports[other].name);
                self.add("port", index, "mac", &value, "an address of its own in each network");
            }
        }
    }

    fn ifname(&mut self, index: usize, port: &PortConfig) {
        match &port.ifname {
            Some(name) => {
                self.unless(values::is_ifname(name), ("port", index, "ifname"), name, values::IFNAME);
            }
            None if values::is_name(&port.name) && !values::is_ifname(&port.name) => {
                let value = format!("\"{}\" (the name of the port, as none is given)", port.name);
                self.add("port", index, "ifname", &value, values::IFNAME);
            }
            None => {}
        }
    }

    fn port_addresses(&mut self, config: &Config) {
        let mut seen = Seen::new();
        for (index, port) in config.ports.iter().enumerate() {
            for net in &port.addresses {
                let allowed = "the address of one host with its prefix length, such as \"10.32.0.5/12\"";
                self.unless(is_host(net), ("port", index, "addresses"), net, allowed);
                if let Some(other) = seen.before((&port.network, net.addr()), index) {
                    let value = format!("\"{net}\", which port `{}` has", config.ports[other].name);
                    self.add("port", index, "addresses", &value, "addresses of its own in each network");
                }
            }
            let Some(gateway) = port.gateway else { continue };
            let inside = port.addresses.iter().any(|net| net.contains(&gateway));
            if !inside {
                let value = format!("\"{gateway}\", while `addresses` is {}", list(&port.addresses));
                self.add(
                    "port",
                    index,
                    "gateway",
                    &value,
                    "an address inside the prefix of one of `addresses`",
                );
            } else if port.addresses.iter().any(|net| net.addr() == gateway) {
                let value = format!("\"{gateway}\", which is the port's own address");
                self.add("port", index, "gateway", &value, "the address of another host");
            }
        }
    }

    fn peers(&mut self, config: &Config) {
        let mut addresses = Seen::new();
        for (index, peer) in config.peers.iter().enumerate() {
            self.peer_address(config, index, peer.address);
            if addresses.before(peer.address, index).is_some() {
                let value = format!("\"{}\", which a peer before has already", peer.address);
                self.add("peer", index, "address", &value, "one entry a peer; list all its `networks` there");
            }
            if let PeerAddress::Prefix(net) = peer.address {
                let none = format!("no such key, because nothing is sent to the prefix {net}");
                if let Some(format) = peer.format {
                    self.add("peer", index, "format", &format!("\"{format}\""), &none);
                }
                if let Some(port) = peer.port {
                    self.add("peer", index, "port", &port.to_string(), &none);
                }
                if peer.share {
                    let allowed = "only with the address of one host, because a prefix is no VTEP to send to";
                    self.add("peer", index, "share", "true", allowed);
                }
            }
            if peer.share && config.gossip.is_none() {
                let allowed = "only with gossip, which tells the others; add [gossip], or remove `share`";
                self.add("peer", index, "share", "true", allowed);
            }
            let mut names = Seen::new();
            for name in &peer.networks {
                self.network_exists(config, ("peer", index, "networks"), name);
                if names.before(name, index).is_some() {
                    self.add("peer", index, "networks", &format!("\"{name}\" twice"), "each name once");
                }
            }
        }
    }

    fn peer_address(&mut self, config: &Config, index: usize, address: PeerAddress) {
        let own = &config.underlay.address;
        let ip = address.ip();
        if let PeerAddress::Host(ip) = address {
            self.unless(values::is_unicast(ip), ("peer", index, "address"), ip, values::UNICAST);
            if own.contains(&ip) {
                let value = format!("\"{ip}\", which is this host's own `address` in [underlay]");
                self.add("peer", index, "address", &value, "the address of another host");
            }
            if config.underlay.advertise.contains(&ip) {
                let value = format!("\"{ip}\", which this host is seen as (`advertise` in [underlay])");
                self.add("peer", index, "address", &value, "the address of another host");
            }
        }
        if !own.is_empty() && !has_family(own, ip) {
            let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
            let value = format!("\"{address}\", while `address` in [underlay] is {}", list(own));
            let allowed = format!("the family of an underlay address; or add an {family} address there");
            self.add("peer", index, "address", &value, &allowed);
        }
    }

    /// Only who is on this host reaches a loopback address.
    fn api(&mut self, config: &Config) {
        let api = &config.api;
        let Some(address) = api.http.address() else { return };
        if !address.ip().is_loopback() && api.token_file.is_none() {
            let value = format!("\"{address}\", which others than this host may reach");
            let allowed = "a loopback address; or name a file with a token, which each request needs then, as `token_file`";
            self.add("api", 0, "http", &value, allowed);
        }
        let taken = config.gossip.as_ref().and_then(|gossip| gossip.listen_on(&config.underlay.address));
        if taken.is_some_and(|taken| overlap(taken, address)) {
            self.add("api", 0, "http", &format!("\"{address}\", where gossip listens"), "a port of its own");
        }
    }

    fn network_exists(&mut self, config: &Config, at: (&'static str, usize, &'static str), name: &str) {
        let names: Vec<_> = config.networks.iter().map(|network| network.name.as_str()).collect();
        if names.contains(&name) {
            return;
        }
        let allowed = match keys::nearest(name, names.iter().copied()) {
            _ if names.is_empty() => {
                "the name of a network, of which there is none; add a [[network]]".to_owned()
            }
            Some(near) => format!("the name of a network; did you mean `{near}`?"),
            None => format!("the name of a network: {}", keys::list(&names)),
        };
        self.add(at.0, at.1, at.2, &format!("\"{name}\""), &allowed);
    }
}

/// Which item had a value first.
struct Seen<T>(HashMap<T, usize>);

impl<T: Eq + Hash> Seen<T> {
    fn new() -> Self {
        Self(HashMap::new())
    }

    /// The item that had the value before, if any; from now on one has it.
    fn before(&mut self, value: T, index: usize) -> Option<usize> {
        match self.0.entry(value) {
            Entry::Occupied(first) => Some(*first.get()),
            Entry::Vacant(free) => {
                free.insert(index);
                None
            }
        }
    }
}

/// Whether an address with a prefix length is that of a host on the link.
fn is_host(net: &IpNet) -> bool {
    let ip = net.addr();
    let edge = match net {
        IpNet::V4(v4) => v4.prefix_len() < 31 && (v4.addr() == v4.network() || v4.addr() == v4.broadcast()),
        IpNet::V6(v6) => v6.prefix_len() < 127 && v6.addr() == v6.network(),
    };
    let loopback_or_none = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast();
    !(edge || loopback_or_none || ip == IpAddr::from([255; 4]))
}

/// Whether two sockets of one protocol are in each other's way.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (any || one.ip() == other.ip())
}

fn has_family(addresses: &[IpAddr], ip: IpAddr) -> bool {
    addresses.iter().any(|each| each.is_ipv4() == ip.is_ipv4())
}

fn list(values: &[impl Display]) -> String {
    let each: Vec<_> = values.iter().map(|value| format!("\"{value}\"")).collect();
    format!("[{}]", each.join(", "))
}
