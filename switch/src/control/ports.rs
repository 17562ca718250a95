//! Ports: opened, waited for, let go.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use encap::{Mtu, PortId};
use fdb::Location;

use super::config::PortConfig;
use super::defects::Defect;
use super::devices::{Devices, OpenPort, PortError, PortSpec};
use super::{Control, mtu};
use crate::io::netns::NetnsRef;
use crate::log::say;

/// How long after a failure a port is tried again; a missing namespace is looked for every tick.
const RETRY: Duration = Duration::from_secs(10);

/// One port and how it is.
pub(super) struct Port {
    pub(super) config: PortConfig,
    /// Whether the command line added it.
    pub(super) runtime: bool,
    pub(super) state: State,
    /// The MTU that we gave it last.
    pub(super) mtu: Mtu,
}

/// How a port is.
pub(super) enum State {
    /// It works.
    Up { id: PortId, open: OpenPort, worker: usize, since: Instant },
    /// Its namespace does not exist.
    Waiting { since: Instant, reason: String },
    /// Its device could not be made: tried again at `retry`.
    Failed { since: Instant, reason: String, retry: Instant },
    /// Somebody deleted its device, and meant it: it stays so until its namespace is another one.
    Deleted { since: Instant, reason: String, namespace: Option<(u64, u64)> },
}

impl Port {
    /// Its identifier while it is up.
    pub(super) fn id(&self) -> Option<PortId> {
        if let State::Up { id, .. } = self.state { Some(id) } else { None }
    }

    /// Why it is not up, and since when.
    pub(super) fn defect(&self) -> Option<Defect<'_>> {
        let (code, reason, since) = match &self.state {
            State::Up { .. } => return None,
            State::Waiting { since, reason } => ("port_waiting", reason, since),
            State::Failed { since, reason, .. } | State::Deleted { since, reason, .. } => {
                ("port_down", reason, since)
            }
        };
        Some(Defect::new(code, *since, || reason.clone()))
    }

    /// The same in words.
    pub(super) fn reason(&self) -> Option<String> {
        self.defect().map(Defect::text)
    }
}

impl<D: Devices> Control<D> {
    /// The MTU that a port on this network is to have now.
    pub(super) fn wanted_mtu(&self, network: &str) -> Mtu {
        let link = self.devices.underlay_mtu().or(self.link_mtu);
        let underlay = mtu::of_underlay(self.config.underlay.mtu, link);
        let network = self.config.networks.iter().find(|n| n.name == network);
        network.map_or(Mtu::IPV6_MIN, |n| mtu::of_ports(n, underlay, &self.addresses))
    }

    /// Adds a port and opens it, as far as that is possible now.
    pub(super) fn add_port(&mut self, config: PortConfig, runtime: bool, now: Instant) {
        let mtu = self.wanted_mtu(&config.network);
        let name = config.name.clone();
        let state = State::Waiting { since: now, reason: String::new() };
        self.ports.insert(name.clone(), Port { config, runtime, state, mtu });
        self.open_port(&name, now);
    }

    /// Tries to open a port that is not up, and notes how that went; says so when it went otherwise than before.
    pub(super) fn open_port(&mut self, name: &str, now: Instant) {
        let Some(port) = self.ports.get(name) else { return };
        let config = &port.config;
        let spec = PortSpec {
            id: PortId::new(self.next_port),
            ifname: config.ifname().to_owned(),
            netns: config.netns.clone(),
            mac: config.mac,
            mtu: self.wanted_mtu(&config.network),
            addresses: config.addresses.clone(),
            gateway: config.gateway,
        };
        self.next_port += 1;
        let since = port.defect().map_or(now, |defect| defect.since);
        let before = port.reason().unwrap_or_default();
        let state = match self.devices.open_port(&spec) {
            Ok(open) => {
                let ifname = &spec.ifname;
                say!(PortUp, port = name, ifname, mac = %open.mac, mtu = %open.mtu, "a port is up");
                self.dirty = true;
                State::Up { id: spec.id, open, worker: self.least_loaded_worker(), since: now }
            }
            Err(error) => {
                let reason = error.to_string();
                if reason != before {
                    say!(PortDown, port = name, reason, "a port is not up");
                }
                match error {
                    PortError::NamespaceMissing(_) => State::Waiting { since, reason },
                    PortError::Failed(_) => State::Failed { since, reason, retry: now + RETRY },
                }
            }
        };
        if let Some(port) = self.ports.get_mut(name) {
            port.mtu = spec.mtu;
            port.state = state;
        }
        self.know_devices(now);
    }

    /// Lets a port's device go, if it has one, and forgets who lived behind it. The port itself stays.
    pub(super) fn close_port(&mut self, name: &str, keep: bool) {
        let Some(id) = self.ports.get(name).and_then(Port::id) else { return };
        self.traffic.retain(|before, _| self.ports.contains_key(before));
        self.traffic.entry(name.to_owned()).or_default().add(&self.devices.port_traffic(id));
        self.devices.close_port(id, keep);
        self.table.forget(Location::Local(id));
        self.neighbors.forget_port(id);
        self.dirty = true;
    }

    /// The device of a port is gone under us.
    pub(super) fn port_gone(&mut self, id: PortId, error: &io::Error, now: Instant) {
        let Some((name, port)) = self.port_by_id(id) else { return };
        let State::Up { open, .. } = &port.state else { return };
        let (name, before, netns) = (name.to_owned(), open.netns_identity, port.config.netns.clone());
        let device = port.config.ifname().to_owned();
        self.close_port(&name, false);
        let present = netns.as_ref().map(|n| self.devices.netns_identity(n));
        let state = match present {
            Some(None) => State::Waiting { since: now, reason: namespace_missing(netns.as_ref()) },
            _ => State::Deleted { since: now, reason: deleted(&name, &device, error), namespace: before },
        };
        if let Some(port) = self.ports.get_mut(&name) {
            port.state = state;
            let reason = port.reason();
            say!(PortDown, port = name, reason, "a port is not up");
        }
        if matches!(present, Some(Some(now_there)) if Some(now_there) != before) {
            self.open_port(&name, now);
        }
    }

    /// Opens ports whose time has come, and closes those whose namespace was deleted.
    pub(super) fn retry_ports(&mut self, now: Instant) {
        let (mut due, mut gone) = (Vec::new(), Vec::new());
        for (name, port) in &mut self.ports {
            let netns = port.config.netns.as_ref();
            match &port.state {
                // Our own descriptors keep a deleted namespace alive, so no device tells of it: its file does.
                State::Up { id, open, .. } => {
                    if netns.is_some_and(|n| self.devices.netns_identity(n) != open.netns_identity) {
                        gone.push(*id);
                    }
                }
                State::Waiting { .. } => due.push(name.clone()),
                State::Failed { retry, .. } if *retry <= now => due.push(name.clone()),
                State::Failed { .. } => {}
                State::Deleted { since, namespace, .. } => {
                    let Some(netns) = netns else { continue };
                    match self.devices.netns_identity(netns) {
                        None => {
                            let reason = namespace_missing(Some(netns));
                            port.state = State::Waiting { since: *since, reason };
                        }
                        there if there != *namespace => due.push(name.clone()),
                        Some(_) => {}
                    }
                }
            }
        }
        for id in gone {
            self.port_gone(id, &io::ErrorKind::NotFound.into(), now);
        }
        for name in due {
            self.open_port(&name, now);
        }
    }

    /// Gives ports the MTU that the underlay now leaves them; what somebody else set is kept. While the address is away its
    /// link has the MTU that it had.
    pub(super) fn follow_underlay_mtu(&mut self) {
        self.link_mtu = self.devices.underlay_mtu().or(self.link_mtu);
        let networks = &self.config.networks;
        let underlay = mtu::of_underlay(self.config.underlay.mtu, self.link_mtu);
        for (name, port) in &mut self.ports {
            let Some(network) = networks.iter().find(|n| n.name == port.config.network) else { continue };
            let wanted = mtu::of_ports(network, underlay, &self.addresses);
            if wanted == port.mtu {
                continue;
            }
            if let State::Up { id, .. } = port.state
                && self.devices.change_mtu(id, port.mtu, wanted)
            {
                say!(PortMtu, port = name, from = %port.mtu, to = %wanted, "the MTU of a port follows");
            }
            port.mtu = wanted;
        }
    }

    /// Goes on with ports that were open before, as they are.
    pub(super) fn adopt_ports(&mut self, ports: BTreeMap<String, Port>) {
        for (name, mut port) in ports {
            let free = self.least_loaded_worker();
            if let State::Up { worker, .. } = &mut port.state {
                *worker = free;
            }
            self.ports.insert(name, port);
        }
    }

    fn least_loaded_worker(&self) -> usize {
        let load = |worker: usize| {
            let on_it = |p: &&Port| matches!(p.state, State::Up { worker: w, .. } if w == worker);
            self.ports.values().filter(on_it).count()
        };
        (0..self.counters.len()).min_by_key(|&worker| load(worker)).unwrap_or(0)
    }
}

fn namespace_missing(netns: Option<&NetnsRef>) -> String {
    netns.map_or_else(String::new, |n| PortError::NamespaceMissing(n.clone()).to_string())
}

fn deleted(name: &str, device: &str, error: &io::Error) -> String {
    format!(
        "the device {device} was deleted ({error}) and is not made again by itself: `weft port del {name}` and add it \
         again, or `weft reload` if it is in the configuration"
    )
}
