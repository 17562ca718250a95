//! What does not work, or works worse. Each defect is one value: commands tell its sentence, metrics and the doctor its code.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use fdb::Location;
use fdb::gossip::identity::NodeId;

use super::Control;
use super::devices::Devices;
use super::members::Member;
use super::peers::Peer;
use super::protocol::{Degraded, DegradedSubject};
use super::report::{names, seconds};

/// The code of a refused offload, which the log names, too.
pub(super) const PLAIN_FALLBACK: &str = "plain_fallback";
/// The code of a peer without a route, which is the only one that the doctor asks of static peers.
pub(super) const NO_ROUTE: &str = "no_route";
/// What is wrong then.
pub(super) const NO_ROUTE_TEXT: &str = "no route to its address";
/// The code when nobody can ask over HTTP.
const HTTP: &str = "http_unavailable";

/// One thing that does not work, or works worse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Defect {
    /// Its name in metrics, in the log and for the doctor.
    pub(super) code: &'static str,
    /// What is wrong, and what to do.
    pub(super) text: String,
    pub(super) since: Instant,
    /// Whether people read the code before the text.
    is_named: bool,
}

impl Defect {
    /// One that people read the text of.
    pub(super) fn new(code: &'static str, text: impl Into<String>, since: Instant) -> Self {
        Self { code, text: text.into(), since, is_named: false }
    }

    /// One that people read the code of, too: they find it in the log and in metrics.
    pub(super) fn named(code: &'static str, text: impl Into<String>, since: Instant) -> Self {
        Self { is_named: true, ..Self::new(code, text, since) }
    }

    /// What people read.
    fn cause(self) -> String {
        if self.is_named { format!("{}: {}", self.code, self.text) } else { self.text }
    }

    /// As `weft peer` lists it.
    pub(super) fn degraded(self, now: Instant) -> Degraded {
        Degraded { since_s: seconds(now, self.since), cause: self.cause() }
    }
}

/// A defect of this node, and whom it concerns.
pub(super) struct NodeDefect {
    pub(super) defect: Defect,
    pub(super) subject: String,
    /// Of how many things it is one.
    pub(super) things: u64,
}

impl NodeDefect {
    /// One of a single thing.
    pub(super) fn of(subject: impl Into<String>, defect: Defect) -> Self {
        Self { defect, subject: subject.into(), things: 1 }
    }

    /// As `weft status` lists it.
    pub(super) fn degraded(self, now: Instant) -> DegradedSubject {
        let Degraded { cause, since_s } = self.defect.degraded(now);
        DegradedSubject { cause, since_s, subject: self.subject }
    }
}

/// The code of each, once.
pub(super) fn codes(defects: &[Defect]) -> Vec<String> {
    let codes: BTreeSet<_> = defects.iter().map(|defect| defect.code).collect();
    codes.into_iter().map(str::to_owned).collect()
}

impl<D: Devices> Control<D> {
    /// Everything that does not work, or works more slowly.
    pub(super) fn defects(&self, now: Instant) -> Vec<NodeDefect> {
        let port = |(name, port): (&String, &super::ports::Port)| {
            Some(NodeDefect::of(format!("port {name}"), port.defect()?))
        };
        let mut all: Vec<_> = self.ports.iter().filter_map(port).collect();
        for peer in &self.peers {
            let subject = || format!("peer {}", peer.config.address);
            all.extend(peer.defects().into_iter().map(|defect| NodeDefect::of(subject(), defect)));
        }
        all.extend(self.fallbacks_together());
        all.extend(self.gossip_defects(now));
        all.extend(self.http_defect().map(|defect| NodeDefect::of("http", defect)));
        all
    }

    /// The same, of how many things each, by code.
    pub(super) fn defect_counts(&self, now: Instant) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for NodeDefect { defect, things, .. } in self.defects(now) {
            *counts.entry(defect.code.to_owned()).or_default() += things;
        }
        counts
    }

    /// What is wrong with a static peer, and what frames to it do without.
    pub(super) fn peer_defects(&self, peer: &Peer) -> Vec<Defect> {
        peer.defects().into_iter().chain(self.fallbacks_of(peer.vtep.ip())).collect()
    }

    /// What is wrong with a member, and with the path to it.
    pub(super) fn member_defects(&self, node: NodeId, member: &Member, now: Instant) -> Vec<Defect> {
        self.troubles_of(node, now).into_iter().chain(self.path_defects(member)).collect()
    }

    /// That nobody can ask over HTTP.
    pub(super) fn http_defect(&self) -> Option<Defect> {
        self.http_refused.as_ref().map(|refused| Defect::named(HTTP, refused, self.started))
    }

    /// The offloads that the kernel refuses on the way to an address.
    pub(super) fn fallbacks_of(&self, ip: IpAddr) -> impl Iterator<Item = Defect> {
        let there = self.fallbacks.iter().filter(move |((to, _), _)| to.is_none_or(|to| to.ip() == ip));
        there.map(|((_, offload), (said, since))| fallback(offload, said, *since))
    }

    /// What the kernel refuses: one item each, however many peers it concerns.
    fn fallbacks_together(&self) -> impl Iterator<Item = NodeDefect> {
        let mut grouped: BTreeMap<String, (Defect, Vec<String>)> = BTreeMap::new();
        for ((peer, offload), (said, since)) in &self.fallbacks {
            let subject =
                peer.map_or_else(|| "underlay".to_owned(), |vtep| self.describe(Location::Remote(vtep)));
            let defect = fallback(offload, said, *since);
            let (first, subjects) = grouped.entry(defect.text.clone()).or_insert((defect, Vec::new()));
            first.since = first.since.min(*since);
            subjects.push(subject);
        }
        grouped.into_values().map(|(defect, subjects)| NodeDefect {
            defect,
            things: subjects.len() as u64,
            subject: names(subjects),
        })
    }
}

fn fallback(offload: &str, said: &str, since: Instant) -> Defect {
    let text = format!("the kernel refuses {offload} ({said}): frames take the plain, slower path");
    Defect::named(PLAIN_FALLBACK, text, since)
}
