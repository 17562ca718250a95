//! Answers about paths.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use encap::Format;
use encap::relay::RELAY_OPTION_LEN;
use encap::tunnel::Overhead;
use fdb::gossip::identity::NodeId;

use super::seconds;
use crate::control::Control;
use crate::control::config::VlanRule;
use crate::control::devices::Devices;
use crate::control::members::Member;
use crate::control::peers::Peer;
use crate::control::protocol::{
    ErrorReply, Lost, PathEntry, PathFound, PathProbes, PathState, Paths, PeerKind, Reply, Term,
};
use crate::path::{Found, Health, Share, View};

impl<D: Devices> Control<D> {
    /// The paths to all peers, or to the one of this id; else to those of this name or address.
    pub(in crate::control) fn path_show(
        &self,
        peer: Option<&str>,
        now: Instant,
    ) -> Result<Reply, ErrorReply> {
        let views = self.devices.path_views();
        if let Some(path) = peer.and_then(|peer| self.path_to_id(peer, &views, now)) {
            return Ok(Reply::Paths(Paths { entries: vec![path] }));
        }
        let members = self.gossip.iter().flat_map(|gossip| &gossip.members);
        let members = members.filter(|(_, member)| member.vtep.is_some());
        let statics = self.peers.iter().filter(|peer| !peer.is_prefix());
        let mut entries: Vec<_> = statics.map(|peer| self.static_path(peer, now)).collect();
        entries.extend(members.filter_map(|(node, member)| self.member_path(*node, member, &views, now)));
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let Some(wanted) = peer else { return Ok(Reply::Paths(Paths { entries })) };
        let names: Vec<_> = entries.iter().map(|entry| entry.name.clone()).collect();
        // A member is found by the address that frames do not go to now, too.
        let member = wanted.parse().ok().and_then(|ip| self.gossip.as_ref()?.by_ip(ip));
        let wanted_too = member.map(|(node, member)| member.name(node));
        let is_wanted = |name: &str| name == wanted || wanted_too.as_deref() == Some(name);
        entries.retain(|entry| is_wanted(&entry.name) || entry.address == wanted);
        if entries.is_empty() {
            let names = names.iter().map(String::as_str);
            return Err(crate::control::requests::no_such("peer", wanted, names, "weft path show"));
        }
        Ok(Reply::Paths(Paths { entries }))
    }

    /// The path to the member of an id, which is not that of others, as a name may be.
    fn path_to_id(&self, id: &str, views: &BTreeMap<NodeId, View>, now: Instant) -> Option<PathEntry> {
        let members = &self.gossip.as_ref()?.members;
        let (node, member) = members.iter().find(|(node, _)| node.to_string() == id)?;
        self.member_path(*node, member, views, now)
    }

    pub(super) fn static_path(&self, peer: &Peer, now: Instant) -> PathEntry {
        let networks = self.config.networks.iter().filter(|n| peer.config.is_on(&n.name));
        let vlan = networks.into_iter().any(|n| n.vlan == VlanRule::Pass);
        let overhead = Overhead { outer: peer.vtep.ip().into(), option_octets: 0, vlan };
        let degraded: Vec<_> = self.peer_defects(peer).into_iter().map(|it| it.degraded(now)).collect();
        PathEntry {
            name: peer.config.address.to_string(),
            address: peer.config.address.to_string(),
            format: peer.format,
            port: peer.vtep.port(),
            kind: PeerKind::Static,
            state: match (peer.is_up(), degraded.is_empty()) {
                (false, _) => PathState::Down,
                (true, false) => PathState::Degraded,
                (true, true) => PathState::Up,
            },
            since_s: seconds(now, peer.since),
            link_mtu: peer.link,
            path_mtu: peer.path,
            found: if peer.reported.is_some() { PathFound::Reported } else { PathFound::Link },
            terms: terms(overhead, peer.format),
            mtu: peer.path.and_then(|path| overhead.inner_mtu(path)),
            via: None,
            probes: None,
            degraded,
        }
    }

    pub(super) fn member_path(
        &self,
        node: NodeId,
        member: &Member,
        views: &BTreeMap<NodeId, View>,
        now: Instant,
    ) -> Option<PathEntry> {
        let ((format, to), gossip) = (self.sent_as(member)?, self.gossip.as_ref()?);
        let (view, via) = (views.get(&node), self.via(member));
        let vlan = self.networks_of(member).any(|n| n.vlan == VlanRule::Pass);
        let (outer, option_octets, format) = match via {
            Some(via) => (via.to.ip(), RELAY_OPTION_LEN, Format::Geneve),
            None => (to.ip(), 0, format),
        };
        let overhead = Overhead { outer: outer.into(), option_octets, vlan };
        let path_mtu = via.map_or_else(|| self.path_mtu(member), |via| Some(via.path_mtu));
        let degraded: Vec<_> = self.path_defects(member).into_iter().map(|it| it.degraded(now)).collect();
        Some(PathEntry {
            name: member.name(node),
            address: to.ip().to_string(),
            format,
            port: to.port(),
            kind: PeerKind::Member,
            state: match (member.link(), member.found.as_ref().map(|found| &found.health)) {
                (None, _) | (_, Some(Health::Down(_))) => PathState::Down,
                _ if degraded.is_empty() => PathState::Up,
                _ => PathState::Degraded,
            },
            since_s: seconds(now, view.map_or(member.since, |view| view.since)),
            link_mtu: member.link(),
            path_mtu,
            found: view.map_or(PathFound::Link, |view| found(view.found)),
            terms: terms(overhead, format),
            mtu: path_mtu.and_then(|path| overhead.inner_mtu(path)),
            via: member.found.as_ref().and_then(|found| found.via).map(|via| gossip.name_of(via.node)),
            probes: view.and_then(probes),
            degraded,
        })
    }
}

const fn found(found: Found) -> PathFound {
    match found {
        Found::Assumed => PathFound::Link,
        Found::Probed => PathFound::Probe,
        Found::BlackHole => PathFound::BlackHole,
        Found::Refused => PathFound::Reported,
    }
}

/// What the tunnel adds, in the order of the wire.
fn terms(overhead: Overhead, format: Format) -> Vec<Term> {
    let named = |(what, octets): (&str, u16)| Term { what: what.to_owned(), octets };
    overhead.terms(format).into_iter().filter(|(_, octets)| *octets > 0).map(named).collect()
}

fn probes(view: &View) -> Option<PathProbes> {
    let round_trip = view.round_trip?;
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let lost = |Share { count, of }: Share| Lost { count, of };
    Some(PathProbes {
        sent: view.probes_sent,
        answered: view.probes_answered,
        rtt_us: micros(round_trip.smoothed),
        rtt_p50_us: micros(round_trip.p50),
        rtt_p99_us: micros(round_trip.p99),
        lost_there: lost(view.lost_there),
        lost_back: lost(view.lost_back),
        overtaken: lost(view.overtaken),
        dead_source_ports: view.sources.iter().filter(|it| it.dead).filter_map(|it| it.port).collect(),
        clock_ahead_ms: view.clock_ahead_ms?,
    })
}
