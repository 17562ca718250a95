//! What does not work, or works worse. Each defect is one value: commands tell its sentence, metrics and the doctor its code.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use encap::VtepAddr;
use fdb::Location;
use fdb::gossip::identity::NodeId;

use super::Control;
use super::devices::Devices;
use super::members::Member;
use super::peers::Peer;
use super::protocol::{Degraded, DegradedSubject};
use super::report::{names, seconds};
use crate::path::Cause;

/// The code of a refused offload, which the log names, too.
pub(super) const PLAIN_FALLBACK: &str = "plain_fallback";
/// The code of a peer without a route, which is the only one that the doctor asks of static peers.
pub(super) const NO_ROUTE: &str = "no_route";
/// What is wrong then.
pub(super) const NO_ROUTE_TEXT: &str = "no route to its address";
/// The code when nobody can ask over HTTP.
const HTTP: &str = "http_unavailable";

/// The codes that metrics have as causes, beside those of paths ([`Cause`]).
const CODES: &[&str] = &[
    PLAIN_FALLBACK,
    NO_ROUTE,
    HTTP,
    "port_waiting",
    "port_down",
    "gossip_left",
    "insecure_gossip",
    "gossip_late",
    "gossip_version",
    "seed",
    "node_suspect",
    "node_down",
    "no_address",
    "digest_differs",
    "over_limit",
    "duplicate_mac",
];

/// All that `cause` of `weft_degraded` and of `weft_peer_degraded` may be.
pub fn causes() -> impl Iterator<Item = &'static str> {
    CODES.iter().copied().chain(Cause::ALL.into_iter().map(Cause::name))
}

/// Words that are made when somebody wants to read them: a scrape asks for the codes of hundreds of peers alone.
type Words<'a> = Box<dyn FnOnce() -> String + 'a>;

/// One thing that does not work, or works worse.
pub(super) struct Defect<'a> {
    /// Its name in metrics, in the log and for the doctor.
    pub(super) code: &'static str,
    pub(super) since: Instant,
    text: Words<'a>,
    /// Whether people read the code before the text.
    is_named: bool,
}

impl<'a> Defect<'a> {
    /// One that people read the text of.
    pub(super) fn new(code: &'static str, since: Instant, text: impl FnOnce() -> String + 'a) -> Self {
        Self { code, since, text: Box::new(text), is_named: false }
    }

    /// One that people read the code of, too: they find it in the log and in metrics.
    pub(super) fn named(code: &'static str, since: Instant, text: impl FnOnce() -> String + 'a) -> Self {
        Self { is_named: true, ..Self::new(code, since, text) }
    }

    /// What is wrong, and what to do.
    pub(super) fn text(self) -> String {
        (self.text)()
    }

    /// What people read.
    fn cause(self) -> String {
        let (code, is_named) = (self.code, self.is_named);
        debug_assert!(causes().any(|known| known == code), "{code} is not among the causes");
        let text = self.text();
        if is_named { format!("{code}: {text}") } else { text }
    }

    /// As `weft peer` lists it.
    pub(super) fn degraded(self, now: Instant) -> Degraded {
        Degraded { since_s: seconds(now, self.since), cause: self.cause() }
    }
}

/// A defect of this node, and whom it concerns.
pub(super) struct NodeDefect<'a> {
    defect: Defect<'a>,
    subject: Words<'a>,
    /// Of how many things it is one.
    things: u64,
}

impl<'a> NodeDefect<'a> {
    /// One of a single thing.
    pub(super) fn of(subject: impl FnOnce() -> String + 'a, defect: Defect<'a>) -> Self {
        Self::of_many(1, subject, defect)
    }

    /// One of so many things, told as one.
    pub(super) fn of_many(things: usize, subject: impl FnOnce() -> String + 'a, defect: Defect<'a>) -> Self {
        Self { defect, subject: Box::new(subject), things: things as u64 }
    }

    /// As `weft status` lists it.
    pub(super) fn degraded(self, now: Instant) -> DegradedSubject {
        let Degraded { cause, since_s } = self.defect.degraded(now);
        DegradedSubject { cause, since_s, subject: (self.subject)() }
    }
}

/// The code of each, once.
pub(super) fn codes(defects: &[Defect<'_>]) -> Vec<String> {
    let codes: BTreeSet<_> = defects.iter().map(|defect| defect.code).collect();
    codes.into_iter().map(str::to_owned).collect()
}

impl<D: Devices> Control<D> {
    /// Everything that does not work, or works more slowly.
    pub(super) fn defects(&self, now: Instant) -> Vec<NodeDefect<'_>> {
        let ports = self.ports.iter().filter_map(|(name, port)| Some((name, port.defect()?)));
        let ports = ports.map(|(name, defect)| NodeDefect::of(move || format!("port {name}"), defect));
        let mut all: Vec<_> = ports.collect();
        for peer in &self.peers {
            let subject = || format!("peer {}", peer.config.address);
            all.extend(peer.defects().map(|defect| NodeDefect::of(subject, defect)));
        }
        all.extend(self.fallbacks_together());
        all.extend(self.gossip_defects(now));
        all.extend(self.http_defect().map(|defect| NodeDefect::of(|| "http".to_owned(), defect)));
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
    pub(super) fn peer_defects<'a>(&'a self, peer: &'a Peer) -> Vec<Defect<'a>> {
        peer.defects().chain(self.fallbacks_of(peer.vtep.ip())).collect()
    }

    /// What is wrong with a member, and with the path to it.
    pub(super) fn member_defects<'a>(
        &'a self,
        node: NodeId,
        member: &'a Member,
        now: Instant,
    ) -> Vec<Defect<'a>> {
        let mut all = self.troubles_of(node, now);
        all.extend(self.path_defects(member));
        all
    }

    /// That nobody can ask over HTTP.
    pub(super) fn http_defect(&self) -> Option<Defect<'_>> {
        self.http_refused.as_ref().map(|refused| Defect::named(HTTP, self.started, || refused.clone()))
    }

    /// The offloads that the kernel refuses on the way to an address.
    pub(super) fn fallbacks_of(&self, ip: IpAddr) -> impl Iterator<Item = Defect<'_>> {
        let there = self.fallbacks.iter().filter(move |((to, _), _)| to.is_none_or(|to| to.ip() == ip));
        there.map(|((_, offload), (said, since))| fallback(offload, said, *since))
    }

    /// What the kernel refuses: one item each, however many peers it concerns.
    fn fallbacks_together(&self) -> impl Iterator<Item = NodeDefect<'_>> {
        let mut grouped = BTreeMap::<(&str, &str), (Instant, Vec<_>)>::new();
        for ((peer, offload), (said, since)) in &self.fallbacks {
            let (first, peers) = grouped.entry((offload, said)).or_insert((*since, Vec::new()));
            *first = (*first).min(*since);
            peers.push(*peer);
        }
        let subject = |peer: Option<VtepAddr>| {
            peer.map_or_else(|| "underlay".to_owned(), |vtep| self.describe(Location::Remote(vtep)))
        };
        grouped.into_iter().map(move |((offload, said), (since, peers))| {
            let things = peers.len();
            let subjects = move || names(peers.into_iter().map(subject).collect());
            NodeDefect::of_many(things, subjects, fallback(offload, said, since))
        })
    }
}

fn fallback<'a>(offload: &'a str, said: &'a str, since: Instant) -> Defect<'a> {
    Defect::named(PLAIN_FALLBACK, since, move || {
        format!("the kernel refuses {offload} ({said}): frames take the plain, slower path")
    })
}
