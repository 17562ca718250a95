//! What several values must agree on, and the rules for values that their type does not carry.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Display;
use std::hash::Hash;
use std::net::IpAddr;

use ipnet::IpNet;

use super::error::Problem;
use super::read::wrong;
use super::{Config, PeerAddress, PortConfig, keys, values};
use crate::io::netns::NetnsRef;

/// A problem and the key it is about: the `index`-th item of its section.
pub(super) struct Finding {
    pub(super) section: &'static str,
    pub(super) index: usize,
    pub(super) key: &'static str,
    pub(super) message: String,
}

impl Finding {
    /// Whether it is about a network's name.
    pub(super) fn names_a_network(&self) -> bool {
        matches!((self.section, self.key), ("port", "network") | ("peer", "networks"))
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
    findings.networks(config);
    findings.ports(config);
    findings.port_addresses(config);
    findings.peers(config);
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
        for ip in &underlay.address {
            self.unless(values::is_unicast(*ip), ("underlay", 0, "address"), ip, values::UNICAST);
        }
        let v4 = underlay.address.iter().filter(|ip| ip.is_ipv4()).count();
        if v4 > 1 || underlay.address.len() - v4 > 1 {
            let value = list(&underlay.address);
            self.add("underlay", 0, "address", &value, "at most one IPv4 and one IPv6 address");
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
        }
        if !own.is_empty() && !own.iter().any(|own| own.is_ipv4() == ip.is_ipv4()) {
            let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
            let value = format!("\"{address}\", while `address` in [underlay] is {}", list(own));
            let allowed = format!("the family of an underlay address; or add an {family} address there");
            self.add("peer", index, "address", &value, &allowed);
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

fn list(values: &[impl Display]) -> String {
    let each: Vec<_> = values.iter().map(|value| format!("\"{value}\"")).collect();
    format!("[{}]", each.join(", "))
}
