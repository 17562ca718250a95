//! The entries of the FDB: what is learned, and what must be there because somebody configured it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use encap::{MacAddr, Vni};
use fdb::{LearnOutcome, Location};

use super::Control;
use super::devices::Devices;
use super::history::What;
use super::ports::State;
use super::protocol::FdbEvent;
use crate::log::say;

/// Where the command line put an address; the port or peer may come and go meanwhile.
pub(super) struct StaticAt {
    pub(super) place: Place,
    pub(super) since: Instant,
}

/// A place by the name that people use.
pub(super) enum Place {
    Port(String),
    Peer(IpAddr),
}

impl<D: Devices> Control<D> {
    /// Takes in a source address; ignores places that are no longer on the network.
    pub(super) fn learn(&mut self, vni: Vni, mac: MacAddr, at: Location, now: Instant) {
        if !self.is_on(at, vni) {
            return;
        }
        match self.table.learn(vni, mac, at, now) {
            LearnOutcome::Learned => {
                let what = What { to: Some(self.describe(at)), ..FdbEvent::Learned.into() };
                self.history.note(vni, mac, what);
            }
            LearnOutcome::Moved { from, frozen } => {
                self.neighbors.forget_mac(vni, mac);
                self.say_moved(vni, mac, from, at, frozen);
            }
            LearnOutcome::Refreshed | LearnOutcome::Frozen | LearnOutcome::Refused(_) => {}
        }
        self.follow_changes(Some(FdbEvent::Evicted), None);
    }

    /// Tells other nodes what changed of this node's own entries; and notes what happened to those that are gone, and to those
    /// that are there.
    pub(super) fn follow_changes(&mut self, gone: Option<FdbEvent>, there: Option<FdbEvent>) {
        while let Some((vni, mac)) = self.table.poll_changed() {
            let entry = self.table.entry(vni, mac);
            let event = if entry.is_some_and(|entry| entry.origin.is_none()) { there } else { gone };
            if let Some(event) = event {
                let to = entry.map(|entry| self.describe(entry.location));
                self.history.note(vni, mac, What { to, ..event.into() });
            }
            self.publish_address(vni, mac);
        }
    }

    /// Keeps the MAC addresses of ports' own devices known where gossip would drop frames for unknown ones: pods mostly use
    /// them, also those that have not sent yet or are silent for long. One that lives elsewhere by now stays there.
    pub(super) fn know_devices(&mut self, now: Instant) {
        if self.gossip.is_none() {
            return;
        }
        let device = |port: &super::ports::Port| match &port.state {
            State::Up { id, open, .. } if port.config.mac.is_none() => {
                Some((self.vni_of(&port.config.network)?, open.mac, Location::Local(*id)))
            }
            _ => None,
        };
        let devices: Vec<_> = self.ports.values().filter_map(device).collect();
        for (vni, mac, at) in devices {
            let entry = self.table.entry(vni, mac);
            if entry.is_none_or(|entry| entry.origin.is_none() && entry.location == at) {
                self.learn(vni, mac, at, now);
            }
        }
    }

    /// Tells people that an address moved, and with both places when it moved too often.
    pub(super) fn say_moved(&mut self, vni: Vni, mac: MacAddr, from: Location, to: Location, frozen: bool) {
        let (from, to) = (self.describe(from), self.describe(to));
        let mob_seq = self.table.entry(vni, mac).map(|entry| entry.mob_seq);
        let moved = What { event: FdbEvent::Moved, from: Some(from.clone()), to: Some(to.clone()), mob_seq };
        self.history.note(vni, mac, moved);
        if frozen {
            self.history.note(vni, mac, What { to: Some(to.clone()), mob_seq, ..FdbEvent::Frozen.into() });
        }
        say!(MacMoved, %mac, vni = vni.get(), from, to, "a MAC address moved");
        if frozen {
            say!(
                FdbFrozen, %mac, vni = vni.get(), from, at = to,
                "a MAC address moved too often and stays where it is for 180 s: do two pods use it, or is there a \
                 loop? `weft fdb thaw {mac}` lets it move again"
            );
        }
    }

    /// Whether a place is on a network.
    pub(super) fn is_on(&self, at: Location, vni: Vni) -> bool {
        match at {
            Location::Local(id) => {
                self.port_by_id(id).is_some_and(|(_, port)| self.vni_of(&port.config.network) == Some(vni))
            }
            Location::Remote(vtep) => {
                let network = self.config.networks.iter().find(|n| n.vni == vni);
                let mut peers = self.peers.iter().filter(|p| p.vtep == vtep && !p.is_prefix());
                network.is_some_and(|n| peers.any(|p| p.config.is_on(&n.name)))
            }
        }
    }

    /// A place as people call it.
    pub(super) fn describe(&self, at: Location) -> String {
        match at {
            Location::Local(id) => {
                self.port_by_id(id).map_or_else(|| at.to_string(), |(name, _)| format!("port {name}"))
            }
            Location::Remote(vtep) => {
                let member = self.gossip.as_ref().and_then(|gossip| gossip.by_ip(vtep.ip()));
                match member {
                    Some((node, member)) => format!("node {}", member.name(node)),
                    None => format!("peer {}", vtep.ip()),
                }
            }
        }
    }

    /// Where a place is now; `None` while it is not up or does not exist.
    pub(super) fn locate(&self, place: &Place) -> Option<Location> {
        match place {
            Place::Port(name) => Some(Location::Local(self.ports.get(name)?.id()?)),
            Place::Peer(ip) => {
                let peer = self.peers.iter().find(|p| !p.is_prefix() && p.vtep.ip() == *ip)?;
                Some(Location::Remote(peer.vtep))
            }
        }
    }

    /// Puts into the FDB what must be in it: the MAC addresses that ports were given, then the command line's entries.
    pub(super) fn restore_statics(&mut self) {
        let mut wanted = BTreeMap::new();
        for port in self.ports.values() {
            let State::Up { id, .. } = port.state else { continue };
            if let (Some(mac), Some(vni)) = (port.config.mac, self.vni_of(&port.config.network)) {
                wanted.entry((vni, mac)).or_insert(Location::Local(id));
            }
        }
        for (key, at) in &self.statics {
            if let Some(location) = self.locate(&at.place) {
                wanted.entry(*key).or_insert(location);
            }
        }
        for ((vni, mac), location) in wanted {
            if let Err(error) = self.table.add_static(vni, mac, location) {
                say!(MacRefused, %mac, vni = vni.get(), reason = %error, "a configured MAC address is not in the FDB");
            }
        }
    }

    /// Drops the command line's entries whose network, port or peer is no more.
    pub(super) fn prune_statics(&mut self) {
        let Self { statics, config, ports, peers, .. } = self;
        statics.retain(|(vni, _), at| {
            let place = match &at.place {
                Place::Port(name) => ports.contains_key(name),
                Place::Peer(ip) => peers.iter().any(|p| !p.is_prefix() && p.vtep.ip() == *ip),
            };
            place && config.networks.iter().any(|n| n.vni == *vni)
        });
    }
}
