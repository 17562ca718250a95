//! Control: the single writer of the FDB, and everything that a person or a program can ask.
//!
//! ```text
//!   api, signals ── Request ──> Control ── PortSpec, Topology ──> Devices ──> workers
//!   workers ── WorkerEvent ───> (fdb::Table)
//! ```
//!
//! [`Control`] does no I/O of its own: devices and routes are behind [`Devices`], time is an argument. Whoever owns it
//! hands it requests, events and the time, and comes back at [`Control::poll_timeout`]. Each of these entry points ends
//! by publishing one new [`Topology`], and does so exactly when something in it changed.
//!
//! | module | what it does |
//! |---|---|
//! | [`protocol`], [`api`] | what clients say, and the socket they say it on |
//! | [`http`], `metrics` | what programs ask over HTTP; what is measured, as Prometheus reads it |
//! | [`config`] | the configuration file, checked |
//! | [`devices`] | what control needs of the world |
//! | `requests`, `report` | changes asked for by clients; questions |
//! | `reload` | from one configuration to the next |
//! | `ports`, `peers`, `members`, `shared`, `entries` | what is up, what is reachable, who lives where |
//! | `paths` | what is known of the ways to peers |
//! | `neighbors` | who has which IP address |
//! | `captures` | what a client wants to see of frames |
//! | `trace` | the way of a frame, here and as other nodes tell it |
//! | `history`, `defects`, `troubles` | what happened to addresses; what does not work, of gossip above all |
//! | `logs` | what is logged |
//! | `build` | all of it as a [`Topology`] |
//! | `carried` | what goes on when all else is opened anew |

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use encap::{MacAddr, Mtu, PortId, Vni, VtepAddr};
use fdb::Table;
use fdb::neighbor::NeighborTable;

use self::config::{Config, ConfigError};
use self::devices::Devices;
use self::entries::StaticAt;
use self::history::History;
use self::members::Gossip;
use self::peers::Peer;
use self::ports::Port;
use self::protocol::FdbEvent;
use self::reload::Reloads;
use self::trace::Traces;
use self::troubles::Troubles;
use crate::counters::{PaddedCounters, PeerCounts, PortTraffic};
use crate::events::WorkerEvent;
use crate::log::{Settings, say};
use crate::path::{self, Target};
use crate::topology::Topology;

pub mod api;
mod build;
mod captures;
mod carried;
pub mod config;
mod defects;
pub mod devices;
mod entries;
mod history;
pub mod http;
mod logs;
mod members;
mod metrics;
mod mtu;
mod neighbors;
mod paths;
mod peers;
mod ports;
pub mod protocol;
mod reload;
mod report;
mod requests;
mod shared;
#[cfg(test)]
mod tests;
mod trace;
mod troubles;

pub use carried::Carried;
pub use defects::causes;
pub use members::GossipSetup;
pub use reload::{ReloadError, Reloaded};
pub(crate) use report::pods;

/// How often waiting ports, routes and MTUs are looked at, and old FDB entries removed.
/// A namespace that was deleted is noticed within a second.
const TICK: Duration = Duration::from_millis(500);

/// How long after a change of the host's network others are waited for: one seldom comes alone.
const SETTLING: Duration = Duration::from_millis(50);
/// And for each way more: all of them are looked at.
const SETTLING_EACH: Duration = Duration::from_millis(1);

/// Reads the configuration that a reload goes over to.
pub type Loader = Box<dyn FnMut() -> Result<Config, ConfigError> + Send>;

/// What [`Control`] starts with.
pub struct Setup<D> {
    /// The configuration, and what else goes on where a daemon stood before.
    pub carried: Carried,
    /// Reads it again, for a reload.
    pub load: Loader,
    /// Devices and workers.
    pub devices: D,
    /// The FDB, empty.
    pub table: Table,
    /// The counters of each worker.
    pub counters: Vec<Arc<PaddedCounters>>,
    /// Those of the watch over paths, where there is one.
    pub path_counters: Option<Arc<PaddedCounters>>,
    /// The underlay addresses of this node, configured or found out.
    pub addresses: Vec<IpAddr>,
    /// The way to gossip, where that is on.
    pub gossip: Option<GossipSetup>,
    /// Why nobody can ask over HTTP, though somebody wanted it.
    pub http_refused: Option<String>,
}

/// The state of this node, and its only writer.
pub struct Control<D> {
    /// In effect: what the file says, with what the command line added and without what it removed.
    config: Config,
    load: Loader,
    devices: D,
    table: Table,
    neighbors: NeighborTable,
    counters: Vec<Arc<PaddedCounters>>,
    path_counters: Option<Arc<PaddedCounters>>,
    /// Whose paths are watched, and how.
    watched: Option<(path::Config, Vec<Target>)>,
    addresses: Vec<IpAddr>,
    gossip: Option<Gossip>,
    ports: BTreeMap<String, Port>,
    /// What went through devices that ports had before: counters never go back.
    traffic: BTreeMap<String, PortTraffic>,
    /// What workers count of peers, by name.
    peer_traffic: BTreeMap<String, Arc<PeerCounts>>,
    reloads: Reloads,
    http_refused: Option<String>,
    peers: Vec<Peer>,
    /// FDB entries that the command line added.
    statics: BTreeMap<(Vni, MacAddr), StaticAt>,
    /// Offloads that the kernel refused: what it said, and when.
    fallbacks: BTreeMap<(Option<VtepAddr>, &'static str), (String, Instant)>,
    history: History,
    /// What the command line says of the log.
    log_set: Settings,
    troubles: Troubles,
    traces: Traces,
    /// What the counters said when the doctor began to look.
    counts_before: BTreeMap<&'static str, u64>,
    next_port: u32,
    /// The MTU of the underlay link when it could be read last.
    link_mtu: Option<Mtu>,
    next_tick: Instant,
    last_aged: Instant,
    started: Instant,
    /// Whether the topology in use by the workers is out of date.
    dirty: bool,
    stopping: bool,
}

impl<D: Devices> Control<D> {
    /// Brings up everything in the configuration, as far as that is possible now, and publishes it.
    ///
    /// A port that cannot be opened is no error: it is shown, and tried again.
    pub fn new(setup: Setup<D>, now: Instant) -> Self {
        let Setup { carried, load, devices, table, counters, path_counters, addresses, gossip, http_refused } =
            setup;
        let Carried {
            config,
            kept,
            statics,
            started,
            ports,
            next_port,
            link_mtu,
            left,
            history,
            log_set,
            counted,
            traffic,
            peer_traffic,
            reloads,
            ..
        } = carried;
        let mut control = Self {
            config: Config { networks: Vec::new(), ports: Vec::new(), peers: Vec::new(), ..config.clone() },
            load,
            devices,
            neighbors: NeighborTable::new(Arc::clone(table.shared())),
            table,
            counters,
            path_counters,
            watched: None,
            addresses,
            http_refused,
            traffic,
            peer_traffic,
            reloads,
            gossip: left.or_else(|| gossip.map(Gossip::new)),
            ports: BTreeMap::new(),
            peers: Vec::new(),
            statics,
            fallbacks: BTreeMap::new(),
            history,
            log_set,
            troubles: Troubles::default(),
            traces: Traces::default(),
            counts_before: BTreeMap::new(),
            next_port,
            link_mtu,
            next_tick: now + TICK,
            last_aged: now,
            started,
            dirty: true,
            stopping: false,
        };
        control.table.track_changes(true);
        control.table.count_on(counted);
        control.neighbors.set_publishing(control.gossip.as_ref().is_some_and(|gossip| !gossip.left));
        control.table.set_own(&control.own_vteps());
        control.adopt_ports(ports);
        control.apply(config, &kept, now);
        control.know_devices(now);
        control.settle();
        control
    }

    /// The configuration in effect.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The devices, for their owner's own business.
    pub fn devices_mut(&mut self) -> &mut D {
        &mut self.devices
    }

    /// Takes in what a worker saw. Events about what is gone by now are ignored.
    pub fn handle_event(&mut self, event: WorkerEvent, now: Instant) {
        self.history.advance(now);
        match event {
            WorkerEvent::Learn { vni, mac, at } => self.learn(vni, mac, at, now),
            WorkerEvent::Bind { vni, told, port } => self.bind(vni, told, port, now),
            WorkerEvent::PortGone { port, error } => self.port_gone(port, &error, now),
            WorkerEvent::TooBig { to, mtu, vni } => self.too_big(to, mtu, vni, now),
            WorkerEvent::Path { node, boot, path } => self.path_changed(node, boot, path),
            WorkerEvent::Letter(letter) => self.letter(&letter, now),
            WorkerEvent::NotSent(letter) => self.letter_not_sent(&letter),
            WorkerEvent::Offload { name, peer, refused } => self.offload(name, peer, refused, now),
        }
        self.settle();
    }

    /// Does what is due: ageing, waiting ports, routes, MTUs.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.history.advance(now);
        self.table.expire(now);
        self.follow_changes(Some(FdbEvent::Aged), Some(FdbEvent::Thawed));
        self.neighbors.expire(now);
        self.last_aged = now;
        if now < self.next_tick {
            return self.settle();
        }
        self.next_tick = now + TICK;
        self.retry_ports(now);
        self.know_devices(now);
        self.look_at_routes(now);
        self.forget_reported(now);
        self.look_at_members(now);
        self.look_at_shared();
        self.look_for_troubles(now);
        self.forget_moved(now);
        self.go_on_tracing(now);
        self.follow_underlay_mtu();
        self.settle();
    }

    /// Links, addresses or routes of this host changed: they are looked at soon, with what changes beside them.
    pub fn handle_underlay_change(&mut self, now: Instant) {
        let ways = self.peers.len() + self.gossip.as_ref().map_or(0, |gossip| gossip.members.len());
        let pause = SETTLING + SETTLING_EACH * u32::try_from(ways).unwrap_or(u32::MAX);
        self.next_tick = self.next_tick.min(now + pause);
    }

    /// When [`Self::handle_timeout`] is due. Ageing waits for the next look at everything, unless the last one left some.
    pub fn poll_timeout(&self) -> Instant {
        let more = self.table.poll_timeout().filter(|due| *due <= self.last_aged);
        more.unwrap_or(self.next_tick)
    }

    /// Lets all ports go, with their devices unless `[node] keep_ports` says otherwise, and publishes that.
    pub fn shutdown(&mut self) {
        let keep = self.config.node.keep_ports;
        for name in self.ports.keys().cloned().collect::<Vec<_>>() {
            self.close_port(&name, keep);
        }
        self.ports.clear();
        (self.stopping, self.dirty) = (true, true);
        self.settle();
    }

    fn offload(
        &mut self,
        name: &'static str,
        peer: Option<VtepAddr>,
        refused: Option<std::io::Error>,
        now: Instant,
    ) {
        let subject = peer.map_or_else(|| "all peers".to_owned(), |p| format!("peer {p}"));
        match refused {
            Some(error) => {
                let again = if peer.is_some() { "; it is tried again every 60 s" } else { "" };
                say!(
                    OffloadFallback,
                    subject,
                    cause = defects::PLAIN_FALLBACK,
                    offload = name,
                    reason = %error,
                    "the kernel refuses an offload: frames take the plain, slower path{again}"
                );
                let (said, _) = self.fallbacks.entry((peer, name)).or_insert_with(|| (String::new(), now));
                *said = error.to_string();
            }
            None => {
                if self.fallbacks.remove(&(peer, name)).is_some() {
                    say!(OffloadRestored, subject, offload = name, "an offload works again");
                }
            }
        }
    }

    /// The end of every entry point: the FDB gets what must be in it, the workers get the topology if it changed, and other
    /// nodes are told what changed of this one.
    fn settle(&mut self) {
        self.follow_changes(Some(FdbEvent::Deleted), None);
        if std::mem::take(&mut self.dirty) {
            self.watch_paths();
            self.restore_statics();
            self.follow_changes(None, Some(FdbEvent::Configured));
            self.restore_bindings();
            self.count_peers();
            let topology: Topology = self.build();
            self.devices.publish(Arc::new(topology));
        }
        self.publish();
        self.tell_of_neighbors();
    }

    fn vni_of(&self, network: &str) -> Option<Vni> {
        self.config.networks.iter().find(|n| n.name == network).map(|n| n.vni)
    }

    fn port_by_id(&self, id: PortId) -> Option<(&str, &Port)> {
        self.ports.iter().find(|(_, port)| port.id() == Some(id)).map(|(name, port)| (name.as_str(), port))
    }
}
