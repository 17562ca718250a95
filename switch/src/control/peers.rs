//! Static peers: what they are sent, and whether a route to them exists.

use std::time::Instant;

use encap::{Format, Mtu, VtepAddr};
use fdb::Location;

use super::config::{Config, PeerAddress, PeerConfig};
use super::defects::{Defect, NO_ROUTE, NO_ROUTE_TEXT};
use super::devices::Devices;
use super::{Control, mtu};
use crate::log::say;
use crate::path::Cause;

/// One peer and how it is.
pub(super) struct Peer {
    pub(super) config: PeerConfig,
    /// Whether the command line added it.
    pub(super) runtime: bool,
    /// What it is sent.
    pub(super) format: Format,
    /// Where that goes.
    pub(super) vtep: VtepAddr,
    /// The MTU of the link that leads to it; `None` = no route, or a prefix.
    pub(super) link: Option<Mtu>,
    /// The IP MTU of the path to it; `None` as above.
    pub(super) path: Option<Mtu>,
    /// What the underlay said of that, and when: it holds for some time.
    pub(super) reported: Option<(Mtu, Instant)>,
    /// Since when `path` says whether there is a route.
    pub(super) since: Instant,
}

impl Peer {
    /// A prefix is heard and never sent to.
    pub(super) fn is_prefix(&self) -> bool {
        matches!(self.config.address, PeerAddress::Prefix(_))
    }

    /// The link's MTU, unless the underlay said less.
    fn path_now(&self) -> Option<Mtu> {
        let link = self.link?;
        Some(self.reported.map_or(link, |(reported, _)| reported.min(link)))
    }

    /// What does not work. The underlay's word of a smaller MTU has the code that probes of members have.
    pub(super) fn defects(&self) -> impl Iterator<Item = Defect<'_>> {
        let no_route =
            (!self.is_up()).then(|| Defect::new(NO_ROUTE, self.since, || NO_ROUTE_TEXT.to_owned()));
        let small = self.reported.map(|(mtu, at)| {
            let text = move || {
                format!(
                    "the underlay says that IP packets of more than {mtu} octets do not pass: pods are told, and their TCP \
                     is cut to fit; mend the MTU on the way"
                )
            };
            Defect::new(Cause::SmallMtu.name(), at, text)
        });
        no_route.into_iter().chain(small)
    }

    /// Whether it can be reached; a prefix needs no route.
    pub(super) fn is_up(&self) -> bool {
        self.is_prefix() || self.path.is_some()
    }
}

/// What a peer is sent, and where: its own settings, else this node's.
pub(super) fn tunnel(config: &Config, peer: &PeerConfig) -> (Format, VtepAddr) {
    let format = peer.format.unwrap_or(config.encap.format);
    let default_port = match format {
        Format::Vxlan => config.underlay.vxlan_port,
        Format::Geneve => config.underlay.geneve_port,
    };
    (format, VtepAddr::new(peer.address.ip(), peer.port.unwrap_or(default_port)))
}

impl<D: Devices> Control<D> {
    /// Adds a peer and looks for a route to it.
    pub(super) fn add_peer(&mut self, config: PeerConfig, runtime: bool, now: Instant) {
        let (format, vtep) = tunnel(&self.config, &config);
        let mut peer =
            Peer { config, runtime, format, vtep, link: None, path: None, reported: None, since: now };
        peer.link = self.link_to(&peer);
        peer.path = peer.path_now();
        say_route(&peer);
        self.peers.push(peer);
        self.dirty = true;
    }

    /// Forgets a peer and who lives behind it.
    pub(super) fn remove_peer(&mut self, address: PeerAddress) {
        let Some(place) = self.peers.iter().position(|p| p.config.address == address) else { return };
        let peer = self.peers.remove(place);
        self.table.forget(Location::Remote(peer.vtep));
        self.fallbacks.retain(|(vtep, _), _| *vtep != Some(peer.vtep));
        self.dirty = true;
    }

    /// Looks again at the way to every peer.
    pub(super) fn look_at_routes(&mut self, now: Instant) {
        for place in 0..self.peers.len() {
            let link = self.link_to(&self.peers[place]);
            let peer = &mut self.peers[place];
            peer.link = link;
            let path = peer.path_now();
            if path == peer.path {
                continue;
            }
            let route_changed = path.is_some() != peer.path.is_some();
            peer.path = path;
            self.dirty = true;
            if route_changed {
                peer.since = now;
                say_route(peer);
            }
        }
    }

    fn link_to(&self, peer: &Peer) -> Option<Mtu> {
        if peer.is_prefix() {
            return None;
        }
        let path = self.devices.underlay_path(peer.vtep)?;
        Some(mtu::of_underlay(self.config.underlay.mtu, Some(path.mtu)))
    }
}

fn say_route(peer: &Peer) {
    let address = peer.config.address;
    if peer.is_up() {
        let path_mtu = peer.path.map(Mtu::get);
        say!(PeerUp, peer = %address, path_mtu, "a peer is up");
    } else {
        say!(PeerDown, peer = %address, "a peer is down: no route to it; see `ip route get`");
    }
}
