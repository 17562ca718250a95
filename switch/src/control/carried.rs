//! What goes on when everything else is opened anew, as on another underlay address.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use encap::{MacAddr, Mtu, Vni};
use fdb::Counters;

use super::Control;
use super::config::{Config, MAX_JOIN};
use super::devices::Devices;
use super::entries::StaticAt;
use super::history::History;
use super::members::Gossip;
use super::ports::Port;
use super::protocol::{DegradedSubject, ErrorReply, Health, Reply, Request, Status};
use super::reload::{Kept, Reloads};
use super::report::seconds;
use crate::counters::{PeerCounts, PortTraffic};
use crate::log::Settings;

/// What one [`Control`] leaves to the next: the ports as they are, what the command line added, what was counted. What was
/// learned is learned again.
pub struct Carried {
    pub(super) config: Config,
    pub(super) kept: Kept,
    pub(super) statics: BTreeMap<(Vni, MacAddr), StaticAt>,
    pub(super) members: Vec<SocketAddr>,
    pub(super) started: Instant,
    /// Their devices stay open with their owner, under the same numbers.
    pub(super) ports: BTreeMap<String, Port>,
    pub(super) next_port: u32,
    pub(super) link_mtu: Option<Mtu>,
    /// Gossip that said goodbye because somebody wanted it to: it stays so.
    pub(super) left: Option<Gossip>,
    pub(super) history: History,
    pub(super) log_set: Settings,
    pub(super) counted: Counters,
    pub(super) traffic: BTreeMap<String, PortTraffic>,
    pub(super) peer_traffic: BTreeMap<String, Arc<PeerCounts>>,
    pub(super) reloads: Reloads,
}

impl Carried {
    /// A daemon that starts with this configuration.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        Self {
            config,
            kept: Kept::default(),
            statics: BTreeMap::new(),
            members: Vec::new(),
            started: now,
            ports: BTreeMap::new(),
            next_port: 0,
            link_mtu: None,
            left: None,
            history: History::new(now),
            log_set: Settings::default(),
            counted: Counters::default(),
            traffic: BTreeMap::new(),
            peer_traffic: BTreeMap::new(),
            reloads: Reloads::new(now),
        }
    }

    /// The configuration, with what the command line added.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Where the gossip of the other nodes is heard: the join addresses may all have been this node's own.
    #[must_use]
    pub fn members(&self) -> &[SocketAddr] {
        &self.members
    }

    /// Whether this node said goodbye to the others, so that gossip is not to start again.
    #[must_use]
    pub const fn left(&self) -> bool {
        self.left.is_some()
    }

    /// The answer while there is no [`Control`], for this `cause` and `since` then: only how the daemon is can be told.
    #[must_use]
    pub fn answer(&self, request: &Request, cause: &str, since: Instant, now: Instant) -> Reply {
        if *request != Request::Status {
            let text = format!("weft waits for an underlay address: {cause}; repeat the command then");
            return ErrorReply::failed(text).into();
        }
        let (subject, cause) = ("underlay".to_owned(), cause.to_owned());
        Reply::Status(Status {
            node: self.config.node.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: seconds(now, self.started),
            state: Health::Degraded,
            degraded: vec![DegradedSubject { cause, since_s: seconds(now, since), subject }],
            workers: 0,
            offloads: BTreeMap::new(),
            counts: BTreeMap::new(),
            batching: BTreeMap::new(),
            gossip: None,
        })
    }
}

impl<D: Devices> Control<D> {
    /// What goes on with another [`Control`], to which this one's devices are to be given once its workers have ended.
    pub fn move_out(&mut self, now: Instant) -> Carried {
        let members = self.gossip.iter().flat_map(|gossip| gossip.members.values());
        let members = members.filter(|member| member.is_alive()).filter_map(|member| member.gossip);
        Carried {
            config: self.config.clone(),
            kept: Kept::of(&self.ports, &self.peers),
            statics: std::mem::take(&mut self.statics),
            members: members.take(MAX_JOIN).collect(),
            started: self.started,
            ports: std::mem::take(&mut self.ports),
            next_port: self.next_port,
            link_mtu: self.link_mtu,
            left: self.gossip.take_if(|gossip| gossip.left),
            history: std::mem::replace(&mut self.history, History::new(now)),
            log_set: self.log_set.clone(),
            counted: self.table.counters(),
            traffic: std::mem::take(&mut self.traffic),
            peer_traffic: std::mem::take(&mut self.peer_traffic),
            reloads: self.reloads,
        }
    }
}
