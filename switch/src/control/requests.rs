//! What clients ask for: each change goes through the checks that a configuration file goes through.

use std::time::Instant;

use encap::{MacAddr, Vni};
use fdb::DelOutcome;

use super::config::{NetworkConfig, PeerAddress, PeerConfig, PortConfig};
use super::devices::Devices;
use super::entries::{Place, StaticAt};
use super::history::What;
use super::ports::State;
use super::protocol::FdbEvent;
use super::protocol::{ErrorReply, FdbTarget, PeerAdd, PortAdd, Reply, Request};
use super::{Config, Control};

mod gossip;

impl<D: Devices> Control<D> {
    /// Answers a client. An error reply says that nothing changed.
    pub fn handle_request(&mut self, request: Request, now: Instant) -> Reply {
        self.history.advance(now);
        let reply = match request {
            Request::Status => {
                self.look_for_troubles(now);
                Ok(self.status(now))
            }
            Request::NetworkList => Ok(self.network_list()),
            Request::PortList => Ok(self.port_list()),
            Request::PeerList => Ok(self.peer_list(now)),
            Request::Drops => Ok(self.drops()),
            Request::DropHeads { reason } => self.drop_heads(&reason, now),
            Request::Metrics => {
                self.look_for_troubles(now);
                Ok(self.metrics(now))
            }
            Request::Ready => Ok(self.ready()),
            Request::Map => Ok(self.map(now)),
            Request::FdbShow { mac, network } => self.fdb_show(mac, network.as_deref(), now),
            Request::FdbAt { node, limit } => Ok(self.fdb_at(&node, limit, now)),
            Request::PathShow { peer } => self.path_show(peer.as_deref(), now),
            Request::Examine => Ok(self.examine()),
            Request::Doctor => {
                self.look_for_troubles(now);
                Ok(self.doctor(now))
            }
            Request::Trace(ask) => self.trace(ask, now),
            Request::TraceShow { id } => self.trace_show(id, now),
            Request::NeighShow { network } => self.neigh_show(network.as_deref(), now),
            Request::PortAdd(add) => self.port_add(add, now),
            Request::PortDel { name } => self.port_del(&name),
            Request::PeerAdd(add) => self.peer_add(&add, now),
            Request::PeerDel { address } => self.peer_del(&address),
            Request::FdbAdd { mac, network, at } => self.fdb_add(mac, &network, at, now),
            Request::FdbDel { mac, network } => self.fdb_del(mac, network.as_deref()),
            Request::FdbFlush { network } => self.fdb_flush(network.as_deref()),
            Request::FdbThaw { mac, network } => self.fdb_thaw(mac, network.as_deref()),
            // Whoever owns the connection begins it.
            Request::Capture(_) => Err(ErrorReply::failed(
                "a capture needs a connection of its own: ask on the Unix socket of the daemon",
            )),
            Request::Reload => match self.reload_file(now) {
                Ok(reloaded) => Ok(Reply::done(reloaded.to_string(), reloaded.total())),
                Err(error) => Err(ErrorReply::failed(error.to_string())),
            },
            Request::FdbHistory { mac, network } => self.fdb_history(mac, network.as_deref(), now),
            Request::KeyList => self.key_list(),
            Request::KeyInstall { key } => self.key_install(key),
            Request::KeyUse { id } => self.key_use(&id),
            Request::KeyRemove { id } => self.key_remove(&id),
            Request::LogShow => Ok(self.log_show()),
            Request::LogSet { target, level } => self.log_set(&target, &level),
            Request::Leave => self.leave(now),
            Request::Forget { node } => self.forget(&node, now),
        };
        self.settle();
        reply.unwrap_or_else(Reply::from)
    }

    // ---- ports ----

    fn port_add(&mut self, add: PortAdd, now: Instant) -> Result<Reply, ErrorReply> {
        let network = self.network(&add.network)?.name.clone();
        let PortAdd { name, ifname, netns, mac, addresses, gateway, network: _ } = add;
        if self.ports.contains_key(&name) {
            return Err(ErrorReply::usage(format!(
                "port {name} exists: give the new one another name, or remove the old one with `weft port del {name}`"
            )));
        }
        let config = PortConfig { ifname, netns, mac, addresses, gateway, ..PortConfig::new(&name, network) };
        let mut next = self.config.clone();
        next.ports.push(config.clone());
        self.check(&next, &format!("port {name}"))?;
        self.config = next;
        self.add_port(config, true, now);
        match self.ports.get(&name).map(|port| &port.state) {
            Some(State::Failed { reason, .. }) => {
                let reply = ErrorReply::failed(format!("port {name} was not added: {reason}"));
                self.drop_port(&name);
                Err(reply)
            }
            Some(State::Waiting { reason, .. }) => Ok(Reply::done(format!("port {name} added: {reason}"), 1)),
            _ => Ok(Reply::done(format!("port {name} added"), 1)),
        }
    }

    fn port_del(&mut self, name: &str) -> Result<Reply, ErrorReply> {
        let Some(port) = self.ports.get(name) else {
            return Err(no_such("port", name, self.ports.keys().map(String::as_str), "weft port list"));
        };
        let note = if port.runtime { "" } else { IN_THE_FILE };
        self.close_port(name, false);
        self.drop_port(name);
        self.prune_statics();
        Ok(Reply::done(format!("port {name} removed{note}"), 1))
    }

    fn drop_port(&mut self, name: &str) {
        self.ports.remove(name);
        self.config.ports.retain(|p| p.name != name);
    }

    // ---- peers ----

    fn peer_add(&mut self, add: &PeerAdd, now: Instant) -> Result<Reply, ErrorReply> {
        let address = peer_address(&add.address)?;
        let names = add.networks.iter().map(|n| self.network(n).map(|found| found.name.clone()));
        let networks = names.collect::<Result<Vec<_>, _>>()?;
        if networks.is_empty() {
            return Err(ErrorReply::usage(format!(
                "peer {address} is on no network: name one with --network"
            )));
        }
        if self.peers.iter().any(|p| p.config.address == address) {
            return Err(ErrorReply::usage(format!(
                "peer {address} exists: remove it with `weft peer del {address}` and add it again with all its networks"
            )));
        }
        let config = PeerConfig { format: add.format, port: add.port, networks, ..PeerConfig::new(address) };
        let mut next = self.config.clone();
        next.peers.push(config.clone());
        self.check(&next, &format!("peer {address}"))?;
        self.config = next;
        self.add_peer(config, true, now);
        let up = self.peers.last().is_some_and(super::peers::Peer::is_up);
        let note = match self.member_at(address) {
            Some(name) => {
                format!("; it is also node {name}, a member of gossip, and used as that while it is one")
            }
            None if up => String::new(),
            None => "; there is no route to it yet: see `ip route get`".to_owned(),
        };
        Ok(Reply::done(format!("peer {address} added{note}"), 1))
    }

    fn peer_del(&mut self, address: &str) -> Result<Reply, ErrorReply> {
        let wanted = peer_address(address)?;
        let Some(peer) = self.peers.iter().find(|p| p.config.address == wanted) else {
            if let Some(name) = self.member_at(wanted) {
                return Err(ErrorReply::usage(format!(
                    "{address} is no static peer but node {name}, a member of gossip: `weft leave` there takes it away"
                )));
            }
            let known: Vec<_> = self.peers.iter().map(|p| p.config.address.to_string()).collect();
            return Err(no_such("static peer", address, known.iter().map(String::as_str), "weft peer list"));
        };
        let note = if peer.runtime { "" } else { IN_THE_FILE };
        self.remove_peer(wanted);
        self.config.peers.retain(|p| p.address != wanted);
        self.prune_statics();
        Ok(Reply::done(format!("peer {wanted} removed{note}"), 1))
    }

    // ---- FDB ----

    fn fdb_add(
        &mut self,
        mac: MacAddr,
        network: &str,
        at: FdbTarget,
        now: Instant,
    ) -> Result<Reply, ErrorReply> {
        let (vni, name) = self.network(network).map(|n| (n.vni, n.name.clone()))?;
        let place = match at {
            FdbTarget::Port(port) => self.place_at_port(port, &name)?,
            FdbTarget::Dst(ip) => self.place_at_peer(ip.to_canonical(), &name)?,
        };
        self.refuse_if_configured(vni, mac)?;
        let location = self.locate(&place);
        if let Some(location) = location {
            self.table.add_static(vni, mac, location).map_err(|error| {
                ErrorReply::failed(format!("{mac} was not added to network {name}: {error}"))
            })?;
            self.follow_changes(None, Some(FdbEvent::Configured));
        }
        self.statics.insert((vni, mac), StaticAt { place, since: now });
        let note = if location.is_some() { "" } else { "; it takes effect once the port is up" };
        Ok(Reply::done(format!("{mac} added to network {name}{note}"), 1))
    }

    fn place_at_port(&self, port: String, network: &str) -> Result<Place, ErrorReply> {
        match self.ports.get(&port) {
            None => Err(no_such("port", &port, self.ports.keys().map(String::as_str), "weft port list")),
            Some(found) if found.config.network != network => Err(ErrorReply::usage(format!(
                "port {port} is on network {}, not on {network}: name that network, or another port",
                found.config.network
            ))),
            Some(_) => Ok(Place::Port(port)),
        }
    }

    fn place_at_peer(&self, ip: std::net::IpAddr, network: &str) -> Result<Place, ErrorReply> {
        let hosts = || self.peers.iter().filter(|p| !p.is_prefix());
        match hosts().find(|p| p.vtep.ip() == ip) {
            None => {
                if let Some(name) = self.member_at(PeerAddress::Host(ip)) {
                    return Err(ErrorReply::usage(format!(
                        "{ip} is node {name}, a member of gossip, which tells itself who lives there: add the entry on that \
                         node, with --port"
                    )));
                }
                let known: Vec<_> = hosts().map(|p| p.config.address.to_string()).collect();
                Err(no_such("peer", &ip.to_string(), known.iter().map(String::as_str), "weft peer list"))
            }
            Some(peer) if !peer.config.is_on(network) => Err(ErrorReply::usage(format!(
                "peer {ip} is not on network {network} but on {}: name that network, or another peer",
                peer.config.networks.join(", ")
            ))),
            Some(_) => Ok(Place::Peer(ip)),
        }
    }

    /// The MAC address that a port was given is the port's; nobody else takes or removes it.
    fn refuse_if_configured(&self, vni: Vni, mac: MacAddr) -> Result<(), ErrorReply> {
        let given = |(_, p): &(&String, &super::ports::Port)| {
            p.config.mac == Some(mac) && self.vni_of(&p.config.network) == Some(vni)
        };
        match self.ports.iter().find(given) {
            None => Ok(()),
            Some((name, _)) => Err(ErrorReply::usage(format!(
                "{mac} is the MAC address that port {name} was given: change the port instead (`weft port del {name}`)"
            ))),
        }
    }

    fn fdb_del(&mut self, mac: MacAddr, network: Option<&str>) -> Result<Reply, ErrorReply> {
        let vnis: Vec<Vni> = match network {
            Some(network) => vec![self.network(network)?.vni],
            None => self.config.networks.iter().map(|n| n.vni).collect(),
        };
        let has =
            |vni: &&Vni| self.statics.contains_key(&(**vni, mac)) || self.table.entry(**vni, mac).is_some();
        let found: Vec<Vni> = vnis.iter().filter(has).copied().collect();
        match found[..] {
            [] => Err(ErrorReply::usage(format!("no entry for {mac}: `weft fdb show` lists what there is"))),
            [vni] => {
                self.refuse_if_configured(vni, mac)?;
                let by_command = self.statics.remove(&(vni, mac)).is_some();
                if let DelOutcome::Claimed { .. } = self.table.del(vni, mac)
                    && !by_command
                {
                    return Err(ErrorReply::usage(format!(
                        "{mac} lives at another node, which says so: remove it there (`weft fdb show {mac}` says where)"
                    )));
                }
                Ok(Reply::done(format!("{mac} removed from the network with VNI {vni}"), 1))
            }
            _ => Err(ErrorReply::usage(format!(
                "{mac} is in {} networks: name one with --network",
                found.len()
            ))),
        }
    }

    fn fdb_flush(&mut self, network: Option<&str>) -> Result<Reply, ErrorReply> {
        let vni = network.map(|n| self.network(n)).transpose()?.map(|n| n.vni);
        let forgotten = self.table.flush(vni);
        Ok(Reply::done(format!("{forgotten} learned entries forgotten"), forgotten))
    }

    fn fdb_thaw(&mut self, mac: MacAddr, network: Option<&str>) -> Result<Reply, ErrorReply> {
        let only = network.map(|n| self.network(n)).transpose()?.map(|n| n.vni);
        let vnis: Vec<Vni> = self.config.networks.iter().map(|n| n.vni).collect();
        let wanted = vnis.into_iter().filter(|vni| only.is_none_or(|o| o == *vni));
        let thawed: Vec<Vni> = wanted.filter(|&vni| self.table.thaw(vni, mac)).collect();
        for vni in &thawed {
            let to = self.table.entry(*vni, mac).map(|entry| self.describe(entry.location));
            self.history.note(*vni, mac, What { to, ..FdbEvent::Thawed.into() });
        }
        match thawed.len() {
            0 => Err(ErrorReply::failed(format!(
                "{mac} is not frozen: `weft fdb show {mac}` says where it is"
            ))),
            thawed => Ok(Reply::done(format!("{mac} may move again"), thawed)),
        }
    }

    // ---- checks ----

    /// A network by its name, else by its VNI.
    pub(super) fn network(&self, text: &str) -> Result<&NetworkConfig, ErrorReply> {
        let networks = &self.config.networks;
        let by_vni = || text.parse::<Vni>().ok().and_then(|vni| networks.iter().find(|n| n.vni == vni));
        networks.iter().find(|n| n.name == text).or_else(by_vni).ok_or_else(|| {
            no_such("network", text, networks.iter().map(|n| n.name.as_str()), "weft network list")
        })
    }

    fn check(&self, next: &Config, what: &str) -> Result<(), ErrorReply> {
        let problems = self.problems_of(next);
        if problems.is_empty() {
            return Ok(());
        }
        Err(ErrorReply::usage(format!("{what} was not added: {}", problems.join("; "))))
    }
}

const IN_THE_FILE: &str = "; if the configuration file names it, the next reload brings it back";

fn peer_address(text: &str) -> Result<PeerAddress, ErrorReply> {
    text.parse()
        .map_err(|allowed| ErrorReply::usage(format!("\"{text}\" is no peer address: give {allowed}")))
}

/// At most this many names are listed in a message.
const LISTED: usize = 10;

pub(super) fn no_such<'a>(
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
    list: &str,
) -> ErrorReply {
    let known: Vec<_> = known.collect();
    let there = match known.len() {
        0 => format!("there is no {what} at all"),
        1..=LISTED => format!("there is {}", known.join(", ")),
        n => format!("there are {n}; `{list}` names them"),
    };
    let near = known.iter().map(|k| (strsim::damerau_levenshtein(k, name), k)).min();
    let hint = near.filter(|(distance, _)| *distance <= 2);
    let hint = hint.map_or_else(String::new, |(_, k)| format!("; did you mean {k}?"));
    ErrorReply::usage(format!("no {what} {name}: {there}{hint}"))
}
