//! From one configuration to the next: all of it, or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;

use encap::Vni;
use fdb::Location;

use super::Control;
use super::build::MOST;
use super::config::{Config, ConfigError, NetworkConfig, PortConfig};
use super::devices::Devices;
use super::peers::{self, Peer};
use super::ports::{Port, State};
use crate::log::say;

/// Why a reload was refused; the old configuration stays in effect, untouched.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file cannot be read, or is wrong.
    #[error("{0}\nThe old configuration stays in effect")]
    Config(#[from] ConfigError),
    /// Keys changed that a running daemon cannot follow.
    #[error("not reloaded, the old configuration stays in effect:\n  {}", .0.join("\n  "))]
    NeedsRestart(Vec<String>),
    /// What the command line added does not fit the new configuration.
    #[error(
        "not reloaded, the old configuration stays in effect; together with what the command line added the new one is \
         wrong:\n  {}",
        .0.join("\n  ")
    )]
    Conflict(Vec<String>),
}

/// What a reload changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Networks, ports and peers that are new.
    pub added: usize,
    /// Those that are no more.
    pub removed: usize,
    /// Those that are otherwise now.
    pub changed: usize,
    /// Whether `[encap]`, `[gossip]`, `[path]` or `[log]` changed.
    pub settings: bool,
}

impl Reloaded {
    pub(super) fn total(&self) -> usize {
        self.added + self.removed + self.changed + usize::from(self.settings)
    }
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.total() == 0 {
            return f.write_str("reloaded: nothing changed");
        }
        write!(f, "reloaded: {} added, {} removed, {} changed", self.added, self.removed, self.changed)?;
        if self.settings {
            f.write_str(", new settings in [encap], [gossip], [path] or [log]")
        } else {
            Ok(())
        }
    }
}

/// How the last reload went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reloads {
    pub(super) successful: bool,
    /// When one was last; the start is the first.
    pub(super) succeeded: Instant,
}

impl Reloads {
    pub(super) const fn new(now: Instant) -> Self {
        Self { successful: true, succeeded: now }
    }

    fn note(&mut self, successful: bool, now: Instant) {
        self.successful = successful;
        self.succeeded = if successful { now } else { self.succeeded };
    }
}

/// What the command line added and the new configuration does not name: it stays.
#[derive(Default)]
pub(super) struct Kept {
    ports: BTreeSet<String>,
    peers: Vec<String>,
}

impl Kept {
    /// All that the command line added.
    pub(super) fn of(ports: &BTreeMap<String, Port>, peers: &[Peer]) -> Self {
        let ports = ports.iter().filter(|(_, port)| port.runtime).map(|(name, _)| name.clone());
        let peers = peers.iter().filter(|peer| peer.runtime).map(|peer| peer.config.address.to_string());
        Self { ports: ports.collect(), peers: peers.collect() }
    }
}

impl<D: Devices> Control<D> {
    /// Goes over to what the configuration file says now; the owner calls this for SIGHUP.
    ///
    /// # Errors
    ///
    /// [`ReloadError`]: nothing changed then.
    pub fn reload_file(&mut self, now: Instant) -> Result<Reloaded, ReloadError> {
        let reloaded = match (self.load)() {
            Ok(config) => self.reload(config, now),
            Err(error) => refuse(error.into()),
        };
        self.reloads.note(reloaded.is_ok(), now);
        reloaded
    }

    /// Goes over to another configuration, and keeps what the command line added.
    ///
    /// # Errors
    ///
    /// [`ReloadError`]: nothing changed then.
    pub fn reload(&mut self, new: Config, now: Instant) -> Result<Reloaded, ReloadError> {
        self.history.advance(now);
        let refusals = self.config.reload_refusals(&new);
        if !refusals.is_empty() {
            return refuse(ReloadError::NeedsRestart(refusals));
        }
        let (merged, kept) = self.merge(new);
        let problems = self.problems_of(&merged);
        if !problems.is_empty() {
            return refuse(ReloadError::Conflict(problems));
        }
        let reloaded = self.apply(merged, &kept, now);
        self.settle();
        say!(ReloadOk, changes = reloaded.total(), "{reloaded}");
        Ok(reloaded)
    }

    /// Everything wrong with a configuration on this node, its underlay addresses included.
    pub(super) fn problems_of(&self, config: &Config) -> Vec<String> {
        let mut config = config.clone();
        config.underlay.address.clone_from(&self.addresses);
        config.underlay.interface = None;
        let mut problems: Vec<_> = config.problems().iter().map(ToString::to_string).collect();
        for (what, count) in [("networks", config.networks.len()), ("peers", config.peers.len())] {
            if count > MOST {
                problems.push(format!("{count} {what} are more than the {MOST} that a node can have"));
            }
        }
        problems
    }

    fn merge(&self, mut new: Config) -> (Config, Kept) {
        let mut kept = Kept::default();
        for (name, port) in self.ports.iter().filter(|(_, p)| p.runtime) {
            if !new.ports.iter().any(|p| p.name == *name) {
                new.ports.push(port.config.clone());
                kept.ports.insert(name.clone());
            }
        }
        for peer in self.peers.iter().filter(|p| p.runtime) {
            if !new.peers.iter().any(|p| p.address == peer.config.address) {
                new.peers.push(peer.config.clone());
                kept.peers.push(peer.config.address.to_string());
            }
        }
        (new, kept)
    }

    /// Swaps a checked configuration in: first everything that goes, then everything that comes.
    pub(super) fn apply(&mut self, new: Config, kept: &Kept, now: Instant) -> Reloaded {
        let old = std::mem::replace(&mut self.config, new);
        let encap = old.encap != self.config.encap;
        let others =
            old.log != self.config.log || old.gossip != self.config.gossip || old.path != self.config.path;
        let mut done = Reloaded { settings: encap || others, ..Reloaded::default() };
        self.apply_join(&old);
        self.apply_networks(&old, &mut done);
        self.apply_peers(kept, &mut done, now);
        self.apply_ports(&old, kept, &mut done, now);
        self.prune_statics();
        self.dirty |= encap || old.path != self.config.path || done.added + done.removed + done.changed > 0;
        done
    }

    fn apply_join(&self, old: &Config) {
        if let (Some(gossip), Some(new)) = (&self.gossip, &self.config.gossip)
            && old.gossip.as_ref().is_none_or(|old| old.join != new.join)
        {
            gossip.link.set_join(new.join.clone());
        }
    }

    fn apply_networks(&mut self, old: &Config, done: &mut Reloaded) {
        let vnis: BTreeSet<Vni> = self.config.networks.iter().map(|n| n.vni).collect();
        for network in old.networks.iter().filter(|n| !vnis.contains(&n.vni)) {
            self.table.remove_network(network.vni);
        }
        for network in &self.config.networks {
            match old.networks.iter().find(|n| n.name == network.name) {
                None => done.added += 1,
                Some(before) if before == network => continue,
                Some(_) => done.changed += 1,
            }
            self.table.set_network(network.vni, network.max_macs as usize, network.mac_age);
        }
        let gone = |n: &&NetworkConfig| !self.config.networks.iter().any(|m| m.name == n.name);
        done.removed += old.networks.iter().filter(gone).count();
    }

    /// A peer that changed in any way is made anew; what was learned from it is learned again.
    fn apply_peers(&mut self, kept: &Kept, done: &mut Reloaded, now: Instant) {
        let wanted = self.config.peers.clone();
        let addresses: Vec<_> = self.peers.iter().map(|p| p.config.address).collect();
        for address in addresses.iter().filter(|a| !wanted.iter().any(|p| p.address == **a)) {
            self.remove_peer(*address);
            done.removed += 1;
        }
        for config in wanted {
            let runtime = kept.peers.contains(&config.address.to_string());
            let tunnel = peers::tunnel(&self.config, &config);
            match self.peers.iter_mut().find(|p| p.config.address == config.address) {
                Some(peer) if peer.config == config && (peer.format, peer.vtep) == tunnel => {
                    peer.runtime = runtime;
                    continue;
                }
                Some(_) => {
                    self.remove_peer(config.address);
                    done.changed += 1;
                }
                None => done.added += 1,
            }
            self.add_peer(config, runtime, now);
        }
        let place = |p: &Peer| self.config.peers.iter().position(|c| c.address == p.config.address);
        self.peers.sort_by_key(place);
    }

    fn apply_ports(&mut self, old: &Config, kept: &Kept, done: &mut Reloaded, now: Instant) {
        let wanted = self.config.ports.clone();
        let reloaded = |name: &str| old.ports.iter().any(|port| port.name == name);
        for name in self.ports.keys().cloned().collect::<Vec<_>>() {
            let config = wanted.iter().find(|p| p.name == name);
            let port = &self.ports[&name];
            let remake = match config {
                None => {
                    done.removed += 1;
                    true
                }
                // A reload is the user's word that a deleted device is wanted after all; what goes on from before is no reload.
                Some(config) if matches!(port.state, State::Deleted { .. }) && reloaded(&name) => {
                    done.changed += usize::from(port.config == *config);
                    true
                }
                Some(config) => needs_new_device(&port.config, config),
            };
            if remake {
                self.close_port(&name, false);
                self.ports.remove(&name);
            }
        }
        for config in wanted {
            let runtime = kept.ports.contains(&config.name);
            match old.ports.iter().find(|p| p.name == config.name) {
                None => done.added += 1,
                Some(before) if *before == config => {}
                Some(_) => done.changed += 1,
            }
            match self.ports.get_mut(&config.name) {
                None => self.add_port(config, runtime, now),
                Some(port) => {
                    let before = old.networks.iter().find(|n| n.name == port.config.network).map(|n| n.vni);
                    let name = config.name.clone();
                    port.config = config;
                    port.runtime = runtime;
                    self.move_port(&name, before);
                }
            }
        }
        self.follow_underlay_mtu();
    }

    /// Forgets who lived behind a port whose network is another one now.
    fn move_port(&mut self, name: &str, before: Option<Vni>) {
        let Some(port) = self.ports.get(name) else { return };
        if let Some(id) = port.id()
            && self.vni_of(&port.config.network) != before
        {
            self.table.forget(Location::Local(id));
            self.neighbors.forget_port(id);
        }
    }
}

/// Whether the device itself has to be made anew.
fn needs_new_device(old: &PortConfig, new: &PortConfig) -> bool {
    let device =
        |p: &PortConfig| (p.ifname().to_owned(), p.netns.clone(), p.mac, p.addresses.clone(), p.gateway);
    device(old) != device(new)
}

fn refuse(error: ReloadError) -> Result<Reloaded, ReloadError> {
    say!(ReloadRefused, "{error}");
    Err(error)
}
