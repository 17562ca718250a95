//! What does not work of gossip, and since when.
//!
//! Gossip shows a state, not its beginning, so that is looked at each tick.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use encap::{MacAddr, Vni};
use fdb::gossip::identity::NodeId;
use fdb::gossip::members::MemberState;

use super::Control;
use super::defects::{Defect, NO_ROUTE, NO_ROUTE_TEXT, NodeDefect};
use super::devices::Devices;
use super::members::{Gossip, Member};
use super::report::names;
use crate::doctor;

/// The code of [`Trouble::Disagrees`], which is told of all nodes together.
const DIGEST_DIFFERS: &str = "digest_differs";

/// Gossip that runs this late makes others think that this node hesitates.
const LATE: Duration = Duration::from_millis(200);

/// A later version that was not heard for so long is gone.
const VERSION_MEMORY: Duration = Duration::from_secs(60);

/// Something that does not work.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    Left,
    Insecure,
    Late,
    LaterVersion(SocketAddr, u8),
    /// A join address, as it was configured.
    Seed(String),
    Suspect(NodeId),
    Down(NodeId),
    NoAddress(NodeId),
    NoRoute(NodeId),
    Disagrees(NodeId),
    OverLimit(NodeId),
    Duplicate(Vni, MacAddr),
}

impl Trouble {
    /// What the doctor calls it.
    const fn code(&self) -> &'static str {
        match self {
            Self::Left => "gossip_left",
            Self::Insecure => "insecure_gossip",
            Self::Late => "gossip_late",
            Self::LaterVersion(..) => "gossip_version",
            Self::Seed(_) => "seed",
            Self::Suspect(_) => "node_suspect",
            Self::Down(_) => "node_down",
            Self::NoAddress(_) => "no_address",
            Self::NoRoute(_) => NO_ROUTE,
            Self::Disagrees(_) => DIGEST_DIFFERS,
            Self::OverLimit(_) => "over_limit",
            Self::Duplicate(..) => "duplicate_mac",
        }
    }

    /// All that are shown with a peer.
    const fn all_of(node: NodeId) -> [Self; 4] {
        [Self::NoAddress(node), Self::NoRoute(node), Self::Disagrees(node), Self::OverLimit(node)]
    }

    /// Whether it lasted for long enough.
    fn lasts(&self, since: Instant, now: Instant) -> bool {
        now.saturating_duration_since(since) >= self.patience()
    }

    /// How long it may last before it is one: what is on its way differs for a while.
    const fn patience(&self) -> Duration {
        match self {
            Self::Seed(_) => Duration::from_secs(5),
            Self::Disagrees(_) => Duration::from_secs(10),
            _ => Duration::ZERO,
        }
    }
}

/// What does not work at present, and since when.
#[derive(Default)]
pub(super) struct Troubles(BTreeMap<Trouble, Instant>);

impl Troubles {
    fn set(&mut self, present: BTreeSet<Trouble>, now: Instant) {
        self.0.retain(|trouble, _| present.contains(trouble));
        for trouble in present {
            self.0.entry(trouble).or_insert(now);
        }
    }

    /// Those that lasted for long enough.
    fn lasting(&self, now: Instant) -> impl Iterator<Item = (&Trouble, Instant)> {
        let all = self.0.iter().map(|(trouble, since)| (trouble, *since));
        all.filter(move |(trouble, since)| trouble.lasts(*since, now))
    }

    /// Those of one node, looked up: a scrape asks for each of hundreds.
    fn lasting_of(&self, node: NodeId, now: Instant) -> impl Iterator<Item = (&Trouble, Instant)> {
        let there = Trouble::all_of(node).into_iter().filter_map(|trouble| self.0.get_key_value(&trouble));
        there.map(|(trouble, since)| (trouble, *since)).filter(move |(t, since)| t.lasts(*since, now))
    }
}

impl<D: Devices> Control<D> {
    /// Looks at what does not work of gossip.
    pub(super) fn look_for_troubles(&mut self, now: Instant) {
        let Some(gossip) = &self.gossip else { return };
        let mut present = BTreeSet::new();
        if gossip.left {
            present.insert(Trouble::Left);
        } else {
            troubles_of_gossip(gossip, now, &mut present);
            let insecure = self.config.gossip.as_ref().is_some_and(|config| config.insecure);
            present.extend(insecure.then_some(Trouble::Insecure));
        }
        let given =
            self.ports.values().filter_map(|p| Some((self.vni_of(&p.config.network)?, p.config.mac?)));
        let statics = given.chain(self.statics.keys().copied());
        let duplicates = statics.filter(|(vni, mac)| self.table.duplicate(*vni, *mac).is_some());
        present.extend(duplicates.map(|(vni, mac)| Trouble::Duplicate(vni, mac)));
        self.troubles.set(present, now);
    }

    /// What of gossip does not work, and of the paths to members.
    pub(super) fn gossip_defects(&self, now: Instant) -> Vec<NodeDefect<'_>> {
        let Some(gossip) = &self.gossip else { return Vec::new() };
        let mut all = Vec::new();
        let mut differing = Vec::new();
        for (trouble, since) in self.troubles.lasting(now) {
            if let Trouble::Disagrees(node) = trouble {
                differing.push((*node, since));
            } else {
                let subject = move || self.explain(gossip, trouble).0;
                all.push(NodeDefect::of(subject, self.defect_of(gossip, trouble, since)));
            }
        }
        for (node, member) in gossip.members.iter().filter(|(_, member)| member.is_alive()) {
            let subject = move || format!("node {}", member.name(*node));
            let found = self.found_defects(member).into_iter();
            all.extend(found.map(|defect| NodeDefect::of(subject, defect)));
        }
        all.extend(digests_differ(gossip, differing));
        all
    }

    /// That there are no keys, as a defect of every path to a member.
    pub(super) fn insecure_gossip(&self) -> Option<Defect<'_>> {
        let (gossip, since) = (self.gossip.as_ref()?, self.troubles.0.get(&Trouble::Insecure)?);
        Some(self.defect_of(gossip, &Trouble::Insecure, *since))
    }

    /// What of gossip does not work, for the doctor.
    pub(super) fn trouble_facts(&self, now: Instant) -> Vec<doctor::Trouble> {
        let Some(gossip) = &self.gossip else { return Vec::new() };
        let fact = |(trouble, _): (&Trouble, Instant)| {
            let (subject, what) = self.explain(gossip, trouble);
            doctor::Trouble { code: trouble.code(), subject, what }
        };
        self.troubles.lasting(now).map(fact).collect()
    }

    /// What of one member does not work.
    pub(super) fn troubles_of(&self, node: NodeId, now: Instant) -> Vec<Defect<'_>> {
        let Some(gossip) = &self.gossip else { return Vec::new() };
        let found = self.troubles.lasting_of(node, now);
        found.map(|(trouble, since)| self.defect_of(gossip, trouble, since)).collect()
    }

    fn defect_of<'a>(&'a self, gossip: &'a Gossip, trouble: &'a Trouble, since: Instant) -> Defect<'a> {
        let text = move || self.explain(gossip, trouble).1;
        match trouble {
            // It is one of paths, too, whose codes people read.
            Trouble::Insecure => Defect::named(trouble.code(), since, text),
            _ => Defect::new(trouble.code(), since, text),
        }
    }

    /// What a trouble concerns, and what it is.
    fn explain(&self, gossip: &Gossip, trouble: &Trouble) -> (String, String) {
        let of_gossip = |cause: &str| ("gossip".to_owned(), cause.to_owned());
        let of_node =
            |node: &NodeId, cause: &str| (format!("node {}", gossip.name_of(*node)), cause.to_owned());
        match trouble {
            Trouble::Left => {
                of_gossip("this node left: it neither hears nor tells anything; restart weft to join again")
            }
            Trouble::Insecure => of_gossip(
                "gossip goes without keys: anybody who reaches this node can join and redirect traffic; make a key with \
                 `weft key new` and name it in [gossip] key_file",
            ),
            Trouble::Late => {
                let late = gossip.link.status().lag.as_millis();
                of_gossip(&format!(
                    "its thread ran {late} ms late within the last minute: other nodes may take this one for dead; give \
                     weft CAP_SYS_NICE, or the host more CPU"
                ))
            }
            Trouble::LaterVersion(from, version) => of_gossip(&format!(
                "{from} speaks version {version} of gossip, which this node does not understand: upgrade weft here"
            )),
            Trouble::Seed(name) => (format!("join {name}"), seed_cause(gossip, name)),
            Trouble::Suspect(node) => of_node(node, "it does not answer; frames still go to it"),
            Trouble::Down(node) => {
                let name = gossip.name_of(*node);
                of_node(
                    node,
                    &format!("it is down, and what lives there is hidden: start it, or `weft forget {name}`"),
                )
            }
            Trouble::NoAddress(node) => of_node(
                node,
                "it has no underlay address of a family of this node's: give both an IPv4 or both an IPv6 address",
            ),
            Trouble::NoRoute(node) => of_node(node, NO_ROUTE_TEXT),
            Trouble::Disagrees(node) => of_node(node, "its digest differs: not all changes arrive"),
            Trouble::OverLimit(node) => of_node(
                node,
                "it says more than the 16384 records that a node may, and the rest is not known here: look what it learns \
                 (`weft fdb show` there), and lower max_macs",
            ),
            Trouble::Duplicate(vni, mac) => {
                let here = self
                    .table
                    .entry(*vni, *mac)
                    .map_or_else(|| "here".to_owned(), |e| self.describe(e.location));
                let there = self.table.duplicate(*vni, *mac).and_then(|claim| gossip.by_origin(claim.origin));
                let there = there.map_or_else(|| "another node".to_owned(), |(node, m)| m.name(node));
                let cause =
                    format!("it is configured at {here} and at {there}: give one of the two another address");
                (format!("MAC {mac} (VNI {vni})"), cause)
            }
        }
    }
}

/// Nodes whose digest is another, and since when each, as one item.
fn digests_differ(gossip: &Gossip, nodes: Vec<(NodeId, Instant)>) -> Option<NodeDefect<'_>> {
    let (since, things) = (nodes.iter().map(|(_, since)| *since).min()?, nodes.len());
    let text = move || {
        let with = names(nodes.into_iter().map(|(node, _)| gossip.name_of(node)).collect());
        format!(
            "the digest differs from that of {with}: not all changes arrive; see that UDP and TCP of the gossip port pass \
             both ways"
        )
    };
    let defect = Defect::new(DIGEST_DIFFERS, since, text);
    Some(NodeDefect::of_many(things, || "gossip".to_owned(), defect))
}

fn troubles_of_gossip(gossip: &Gossip, now: Instant, present: &mut BTreeSet<Trouble>) {
    let status = gossip.link.status();
    present.extend((status.lag > LATE).then_some(Trouble::Late));
    let later = status.later_version.filter(|(.., at)| now.saturating_duration_since(*at) < VERSION_MEMORY);
    present.extend(later.map(|(from, version, _)| Trouble::LaterVersion(from, version)));
    let silent = status.seeds.iter().filter(|seed| !seed.known);
    present.extend(silent.map(|seed| Trouble::Seed(seed.name.clone())));
    for (node, member) in &gossip.members {
        let differs = status.members.get(node).is_some_and(|m| m.agrees == Some(false));
        present.extend((member.is_alive() && differs).then_some(Trouble::Disagrees(*node)));
        let over_limit = status.members.get(node).is_some_and(|m| m.over_limit);
        present.extend((member.is_alive() && over_limit).then_some(Trouble::OverLimit(*node)));
        present.extend(trouble_of_member(*node, member));
    }
}

fn trouble_of_member(node: NodeId, member: &Member) -> Option<Trouble> {
    match member.state {
        MemberState::Left => None,
        MemberState::Down => Some(Trouble::Down(node)),
        MemberState::Suspect => Some(Trouble::Suspect(node)),
        // What it says of itself may be on its way.
        MemberState::Up if member.info.is_none() => None,
        MemberState::Up if member.vtep.is_none() => Some(Trouble::NoAddress(node)),
        MemberState::Up => member.sites.is_empty().then_some(Trouble::NoRoute(node)),
    }
}

fn seed_cause(gossip: &Gossip, name: &str) -> String {
    let status = gossip.link.status();
    let seed = status.seeds.iter().find(|seed| seed.name == name);
    match seed.map(|seed| &seed.found) {
        Some(Err(why)) => why.clone(),
        _ => "nobody answers there: does weft run there with the same key, and do UDP and TCP of that port pass?"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::causes;
    use crate::doctor::{DaemonFacts, Facts, diagnose};

    #[test]
    fn the_doctor_knows_every_trouble() {
        let (node, vni) = (NodeId::new(1), Vni::new(1).unwrap());
        let all = [
            Trouble::Left,
            Trouble::Insecure,
            Trouble::Late,
            Trouble::LaterVersion(([10, 0, 0, 2], 6786).into(), 2),
            Trouble::Seed("node-b".to_owned()),
            Trouble::Suspect(node),
            Trouble::Down(node),
            Trouble::NoAddress(node),
            Trouble::NoRoute(node),
            Trouble::Disagrees(node),
            Trouble::OverLimit(node),
            Trouble::Duplicate(vni, MacAddr::new([2, 0, 0, 0, 0, 1])),
        ];
        for trouble in all {
            let code = trouble.code();
            assert!(causes().any(|known| known == code), "{code} is no cause of metrics");
            let fact = doctor::Trouble { code, subject: String::new(), what: String::new() };
            let daemon = DaemonFacts { troubles: vec![fact], ..DaemonFacts::default() };
            let report = diagnose(&Facts { daemon: Some(daemon), ..Facts::default() });
            assert_eq!(report.findings.len(), 1, "{code}");
        }
    }
}
