//! The ways to peers: whose are watched, what was found out, and what the underlay says of sizes.
//!
//! Members answer probes, so an ICMP error is for them only a reason to probe. A static peer does not: there the error
//! counts, if it quotes a datagram that this node may have sent.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use encap::tunnel::IpVersion;
use encap::{Format, Mtu, Vni, VtepAddr};
use fdb::gossip::identity::{BootId, NodeId};
use fdb::replica::NodeInfo;

use super::config::{Config, Discovery};
use super::defects::Defect;
use super::devices::{Devices, Watched};
use super::members::Member;
use super::{Control, mtu};
use crate::log::say;
use crate::path::{self, Cause, Health, Path, Since, Site, Sources, Target};
use crate::topology::ViaView;

/// How long the word of the underlay about the path to a static peer holds, as in Linux (`mtu_expires`).
const REPORTED: Duration = Duration::from_secs(600);

/// The least MTU of each family: what claims less is forged, or broken (RFC 791, RFC 8200 §5).
const fn least(version: IpVersion) -> u32 {
    match version {
        IpVersion::V4 => 576,
        IpVersion::V6 => 1280,
    }
}

/// How paths are watched.
fn settings(config: &Config) -> path::Config {
    path::Config {
        probing: config.path.discovery == Discovery::Probe,
        min: config.path.min,
        relay: config.path.relay,
        source_ports: config.underlay.source_ports,
        raise_every: config.path.raise,
    }
}

impl Member {
    /// Where frames go: what was found to work, or what is to be used if it works.
    pub(super) fn site(&self) -> Option<&Site> {
        let used = self.found.as_ref().map(|found| found.way.family);
        self.sites.iter().find(|site| Some(site.family()) == used).or_else(|| self.sites.first())
    }

    /// The IP MTU of the link that leads there; `None` = no route.
    pub(super) fn link(&self) -> Option<Mtu> {
        self.site().map(|site| site.link_mtu)
    }

    /// All its addresses, IPv4 first.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let info = self.info.iter();
        info.flat_map(|info| info.v4.map(IpAddr::V4).into_iter().chain(info.v6.map(IpAddr::V6)))
    }
}

impl<D: Devices> Control<D> {
    /// Where a member takes datagrams, as far as there is a route from an address of the same IP version.
    pub(super) fn sites_of(&self, member: &Member) -> Vec<Site> {
        let Some(NodeInfo { vxlan_port, geneve_port, .. }) = member.info else { return Vec::new() };
        let ours = |ip: &IpAddr| self.addresses.iter().any(|own| own.is_ipv4() == ip.is_ipv4());
        let site = |ip: IpAddr| {
            let [vxlan, geneve] = [vxlan_port, geneve_port].map(|port| VtepAddr::new(ip, port));
            let link = self.devices.underlay_path(vxlan)?.mtu;
            let link_mtu = mtu::of_underlay(self.config.underlay.mtu, Some(link));
            Some(Site { vxlan, geneve, link_mtu })
        };
        let addresses = member.vtep.into_iter().flat_map(|_| member.addresses());
        addresses.filter(ours).filter_map(site).collect()
    }

    /// Says whose paths are to be watched, if that changed.
    pub(super) fn watch_paths(&mut self) {
        let Some(gossip) = &self.gossip else { return };
        let config = settings(&self.config);
        let watched = gossip.members.iter().filter_map(|(node, member)| self.watched(*node, member));
        let watched: Vec<_> = watched.collect();
        let targets: Vec<_> = watched.iter().map(|watched| watched.target).collect();
        let now = Some((config, targets));
        if self.watched != now {
            self.watched = now;
            self.devices.watch_paths(config, watched);
        }
    }

    fn watched(&self, node: NodeId, member: &Member) -> Option<Watched> {
        let (_, boot, site) = (member.vtep?, member.info.as_ref()?.boot, *member.known_sites.first()?);
        let (spare, format) = (member.known_sites.get(1).copied(), self.config.encap.format);
        let target = Target { node, boot, site, spare, format };
        Some(Watched { target, activity: std::sync::Arc::clone(&member.activity) })
    }

    /// Takes in what was found out of the way to a member.
    pub(super) fn path_changed(&mut self, node: NodeId, boot: BootId, path: Path) {
        let member = self.gossip.as_mut().and_then(|gossip| gossip.members.get_mut(&node));
        let is_it = |member: &&mut Member| {
            member.vtep.is_some() && member.info.as_ref().is_some_and(|info| info.boot == boot)
        };
        let Some(member) = member.filter(is_it) else { return };
        say_change(&member.name(node), member.found.as_ref(), &path);
        // Workers know nothing of causes: a new topology for those alone would cool all their caches.
        let way = |path: &Path| (path.mtu, path.way, path.via, path.dead);
        self.dirty |= member.found.as_ref().map(way) != Some(way(&path));
        member.found = Some(path);
    }

    /// The IP MTU of the underlay path to a member; `None` = no route.
    pub(super) fn path_mtu(&self, member: &Member) -> Option<Mtu> {
        let link = member.link()?;
        Some(member.found.as_ref().map_or(link, |found| found.mtu.min(link)))
    }

    /// What a member is sent, and where.
    pub(super) fn sent_as(&self, member: &Member) -> Option<(Format, VtepAddr)> {
        let (vtep, info) = (member.vtep?, member.info.as_ref()?);
        let format = member.found.as_ref().map_or(self.config.encap.format, |found| found.way.format);
        let port = match format {
            Format::Vxlan => info.vxlan_port,
            Format::Geneve => info.geneve_port,
        };
        // Without any route its usual address is shown.
        let ip = member.site().map_or(vtep.ip(), |site| site.vxlan.ip());
        Some((format, VtepAddr::new(ip, port)))
    }

    /// Through whom a member is reached, while it is not directly.
    pub(super) fn via(&self, member: &Member) -> Option<ViaView> {
        let via = member.found.as_ref()?.via.as_ref()?;
        let relay = self.gossip.as_ref()?.members.get(&via.node)?;
        let _ = relay.vtep?;
        let dead = relay.found.as_ref().map_or_else(Sources::default, |found| found.dead);
        Some(ViaView { to: relay.site()?.geneve, path_mtu: via.mtu, dead })
    }

    /// Somebody on the way, or the own kernel, called a datagram too big.
    pub(super) fn too_big(&mut self, to: SocketAddr, mtu: u32, vni: Option<Vni>, now: Instant) {
        if mtu < least(to.ip().into()) {
            return;
        }
        if self.gossip.as_ref().is_some_and(|gossip| gossip.by_ip(to.ip()).is_some()) {
            return self.devices.path_too_big(to, mtu);
        }
        let Ok(mtu) = Mtu::new(mtu) else { return };
        let (own, shared) = (self.static_told(to, mtu, vni, now), self.shared_told(to, mtu, vni, now));
        let Some(peer) = own.or(shared) else { return };
        self.dirty = true;
        say!(
            PathMtuChanged,
            %peer,
            path_mtu = mtu.get(),
            "the underlay says that larger packets do not pass to a peer; tried again in 10 min"
        );
    }

    /// Takes that of a static peer; says what it is called if it is news.
    fn static_told(&mut self, to: SocketAddr, mtu: Mtu, vni: Option<Vni>, now: Instant) -> Option<String> {
        let networks = &self.config.networks;
        let peer = self.peers.iter_mut().find(|peer| !peer.is_prefix() && peer.vtep.ip() == to.ip())?;
        let sent_by_us = |vni: Vni| networks.iter().any(|n| n.vni == vni && peer.config.is_on(&n.name));
        let smaller = peer.path.is_some_and(|path| mtu < path);
        if to.port() != peer.vtep.port() || !vni.is_none_or(sent_by_us) || !smaller {
            return None;
        }
        peer.reported = Some((mtu, now));
        peer.path = Some(mtu);
        Some(peer.config.address.to_string())
    }

    /// The same of a VTEP that others share.
    fn shared_told(&mut self, to: SocketAddr, mtu: Mtu, vni: Option<Vni>, now: Instant) -> Option<String> {
        let shared = self.gossip.as_mut()?.shared.get_mut(&VtepAddr::new(to.ip(), to.port()))?;
        let smaller = shared.path.is_some_and(|path| mtu < path);
        if !vni.is_none_or(|vni| shared.is_on(vni)) || !smaller {
            return None;
        }
        shared.reported = Some((mtu, now));
        shared.path = Some(mtu);
        Some(to.to_string())
    }

    /// Forgets what the underlay said long ago.
    pub(super) fn forget_reported(&mut self, now: Instant) {
        let shared = self.gossip.iter_mut().flat_map(|gossip| gossip.shared.values_mut());
        let all = self.peers.iter_mut().map(|peer| &mut peer.reported);
        for reported in all.chain(shared.map(|shared| &mut shared.reported)) {
            *reported = reported.filter(|(_, at)| now.saturating_duration_since(*at) < REPORTED);
        }
    }

    /// What is wrong with the path to a member, and since when: what probes found, then what frames to it do without.
    pub(super) fn path_defects<'a>(&'a self, member: &'a Member) -> Vec<Defect<'a>> {
        let mut defects = self.found_defects(member);
        defects.extend(member.vtep.iter().flat_map(|vtep| self.fallbacks_of(vtep.ip())));
        defects.extend(self.insecure_gossip());
        defects
    }

    /// The part of it that probes found, which concerns this member alone.
    pub(super) fn found_defects<'a>(&'a self, member: &'a Member) -> Vec<Defect<'a>> {
        let Some(found) = &member.found else { return Vec::new() };
        let defect = |Since { cause, since }: &Since| {
            let (cause, since) = (*cause, *since);
            Defect::named(cause.name(), since, move || self.explain_cause(member, found, cause))
        };
        found.health.causes().iter().map(defect).collect()
    }

    fn explain_cause(&self, member: &Member, found: &Path, cause: Cause) -> String {
        let ports = member.info.as_ref().map_or((0, 0), |info| (info.vxlan_port, info.geneve_port));
        let (own, other) = match self.config.encap.format {
            Format::Vxlan => ports,
            Format::Geneve => (ports.1, ports.0),
        };
        match cause {
            Cause::SmallMtu => format!(
                "IP packets of more than {} octets do not arrive, though the link takes {}: pods are told, and their TCP is \
                 cut to fit; mend the MTU on the way, or give [underlay] mtu = {} on all nodes",
                found.mtu,
                member.link().map_or(0, Mtu::get),
                found.mtu
            ),
            Cause::BelowIpv6Minimum => format!(
                "IP packets of more than {} octets do not arrive, which leaves pods less than the 1280 that IPv6 needs: of \
                 IPv6 only TCP passes; mend the MTU on the way",
                found.mtu
            ),
            Cause::Loss => {
                "3 % or more of what is sent there or back are lost: look at the network between the hosts \
                            (`weft path show` tells which way)"
                    .to_owned()
            }
            Cause::OneWay => format!(
                "what it sends arrives here, what is sent to it does not arrive there: let UDP {} and {} pass to it",
                ports.0, ports.1
            ),
            Cause::Relayed => {
                let via = found.via.as_ref().map(|via| via.node);
                let name = via.zip(self.gossip.as_ref()).map(|(node, gossip)| gossip.name_of(node));
                let through = name.unwrap_or_else(|| "another node".to_owned());
                format!(
                    "there is no direct way to it, so frames go through {through}: let UDP {} and {} pass between the hosts",
                    ports.0, ports.1
                )
            }
            Cause::OtherFormat => {
                let format = found.way.format;
                format!(
                    "UDP {own} does not pass to it, {other} does, so frames go as {format}: let UDP {own} pass"
                )
            }
            Cause::OtherFamily => {
                let (dead, used) = match found.way.family {
                    IpVersion::V4 => ("IPv6", "IPv4"),
                    IpVersion::V6 => ("IPv4", "IPv6"),
                };
                format!(
                    "it does not answer over {dead}, over {used} it does, so frames go over {used}: let UDP {} and {} pass \
                     over {dead}, both ways",
                    ports.0, ports.1
                )
            }
            Cause::Unanswered => format!(
                "it does not answer on UDP {} and {}, though gossip says that it is alive: let both ports pass between the \
                 hosts, both ways",
                ports.0, ports.1
            ),
            Cause::DeadSourcePort => format!(
                "{} of {} source ports do not lead to it, so frames take the others: one of several links on the way is dead \
                 (`weft path show {}` names the ports)",
                found.dead.len(),
                self.config.underlay.source_ports,
                member.info.as_ref().map_or("PEER", |info| &info.name)
            ),
        }
    }

    /// What a pod may send to a member; `None` when the path is too small for any IP packet.
    pub(super) fn inner_mtu(&self, member: &Member, vlan: bool) -> Option<Mtu> {
        match self.via(member) {
            Some(via) => mtu::through_relay(via.to.ip(), via.path_mtu, vlan),
            None => mtu::through(member.site()?.vxlan.ip(), self.path_mtu(member)?, vlan),
        }
    }
}

fn say_change(name: &str, before: Option<&Path>, now: &Path) {
    let causes = |path: &Path| path.health.causes().iter().map(|item| item.cause).collect::<Vec<_>>();
    let was = before.map(causes).unwrap_or_default();
    for cause in causes(now).into_iter().filter(|cause| !was.contains(cause)) {
        say!(PeerDegraded, peer = name, %cause, "the path to a node is not as it should be");
    }
    if now.health == Health::Up && !was.is_empty() {
        say!(PeerRecovered, peer = name, "the path to a node is good again");
    }
    let old = before.map(|path| path.mtu);
    if old.is_some_and(|old| now.mtu < old) {
        say!(
            PathMtuChanged,
            peer = name,
            path_mtu = now.mtu.get(),
            "packets of the former size do not arrive at a node; pods are told of the smaller one"
        );
    } else if old.is_some_and(|old| now.mtu > old) {
        say!(PathMtuChanged, peer = name, path_mtu = now.mtu.get(), "larger packets pass to a node");
    }
    let (was, is) = (before.and_then(|path| path.via.as_ref()), now.via.as_ref());
    match (was.map(|via| via.node), is.map(|via| via.node)) {
        (was, Some(node)) if was != Some(node) => say!(
            PathRelayed,
            peer = name,
            via = %node,
            "a node is not reached directly: frames go through another one"
        ),
        (Some(_), None) => {
            say!(PathDirect, peer = name, "a node is reached directly again");
        }
        _ => {}
    }
}
