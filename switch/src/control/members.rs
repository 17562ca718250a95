//! Members: the nodes that gossip tells of, as peers; `own` is what this node tells them.
//!
//! ```text
//!  Link ── events ───> who is up             ─┐
//!       ── changes ──> where, which networks ─┴─> Topology
//!       ── changes ──> who lives there ─────────> fdb::Table ── what is ours ──> Link
//! ```
//!
//! What a node says of addresses is of use only once its own address is known; what came earlier is asked for again.

mod own;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use encap::{MacAddr, Vni, VtepAddr};
use fdb::gossip::identity::{BootId, NodeId};
use fdb::gossip::members::{MemberEvent, MemberId, MemberState};
use fdb::neighbor;
use fdb::replica::{Key, MacRecord, NodeInfo, Record, VtepRecord};
use fdb::{Claim, ClaimOutcome, Location, Origin, UnclaimOutcome};

use super::Control;
use super::devices::Devices;
use super::history::{self, What};
use super::protocol::FdbEvent;
use super::shared::Shared;
use crate::gossip::{Link, News};
use crate::log::say;
use crate::path::{Path, Site};
use crate::topology::{Activity, Moved};

/// How long strays for an address that moved away are handed over.
const HAND_OVER: Duration = Duration::from_secs(3);
/// Addresses whose strays are handed over at a time; those of more are dropped.
const MAX_MOVED: usize = 4_096;

/// How old what gossip shows of itself is at most, with some to spare.
const STATUS_AGE: Duration = Duration::from_secs(2);

/// Gossip, as control knows it.
pub(super) struct Gossip {
    pub(super) link: Link,
    pub(super) node: NodeId,
    boot: BootId,
    pub(super) members: BTreeMap<NodeId, Member>,
    next_origin: u32,
    /// The addresses that this node says are its own.
    said: BTreeSet<(Vni, MacAddr)>,
    /// What it says of itself.
    info: Option<NodeInfo>,
    networks: BTreeSet<Vni>,
    /// Whether this node said goodbye: what comes and goes is nobody's business then.
    pub(super) left: bool,
    /// The static peers that it says it shares.
    pub(super) shares: BTreeMap<VtepAddr, VtepRecord>,
    /// Those that others share.
    pub(super) shared: BTreeMap<VtepAddr, Shared>,
    /// Addresses that moved from here to another node a moment ago.
    pub(super) moved: BTreeMap<(Vni, MacAddr), Moved>,
}

/// What [`Control`] needs to take part in gossip.
pub struct GossipSetup {
    /// The way to the thread that does.
    pub link: Link,
    /// This node.
    pub node: NodeId,
    /// This run of it.
    pub boot: BootId,
}

/// Another node.
pub(super) struct Member {
    /// Its number in the FDB.
    pub(super) origin: Origin,
    pub(super) gossip: Option<SocketAddr>,
    /// It came up, and nobody was told yet, because its name was not known.
    unsaid: Option<MemberId>,
    pub(super) state: MemberState,
    pub(super) since: Instant,
    /// What it says of itself; kept for people when it is down.
    pub(super) info: Option<NodeInfo>,
    /// What it is known by, whatever it is sent; `None` while it is hidden, or has no address of a family of ours.
    pub(super) vtep: Option<VtepAddr>,
    /// Its networks.
    pub(super) vnis: BTreeSet<Vni>,
    /// Where it takes datagrams: one of each family that both nodes have and that has a route, the one to use if it works
    /// first.
    pub(super) sites: Vec<Site>,
    /// The last ones that there were: routes that come and go are no reason to find everything out anew.
    pub(super) known_sites: Vec<Site>,
    /// What the watch over paths found out, of this run of it.
    pub(super) found: Option<Path>,
    /// Where workers note that it is sent frames.
    pub(super) activity: Arc<Activity>,
}

impl Member {
    /// What people call it.
    pub(super) fn name(&self, node: NodeId) -> String {
        self.info.as_ref().map_or_else(|| node.to_string(), |info| info.name.clone())
    }

    /// Whether it answers, or did lately.
    pub(super) fn is_alive(&self) -> bool {
        matches!(self.state, MemberState::Up | MemberState::Suspect)
    }
}

impl Gossip {
    pub(super) fn new(setup: GossipSetup) -> Self {
        let GossipSetup { link, node, boot } = setup;
        Self {
            link,
            node,
            boot,
            members: BTreeMap::new(),
            next_origin: 0,
            said: BTreeSet::new(),
            info: None,
            networks: BTreeSet::new(),
            left: false,
            shares: BTreeMap::new(),
            shared: BTreeMap::new(),
            moved: BTreeMap::new(),
        }
    }

    fn member(&mut self, node: NodeId, now: Instant) -> &mut Member {
        let next = &mut self.next_origin;
        self.members.entry(node).or_insert_with(|| {
            *next += 1;
            Member {
                origin: Origin::new(*next),
                gossip: None,
                unsaid: None,
                state: MemberState::Down,
                since: now,
                info: None,
                vtep: None,
                vnis: BTreeSet::new(),
                sites: Vec::new(),
                known_sites: Vec::new(),
                found: None,
                activity: Arc::default(),
            }
        })
    }

    /// What people call a node, also one that is no member any more.
    pub(super) fn name_of(&self, node: NodeId) -> String {
        self.members.get(&node).map_or_else(|| node.to_string(), |member| member.name(node))
    }

    /// The member that claims an address.
    pub(super) fn by_origin(&self, origin: Origin) -> Option<(NodeId, &Member)> {
        self.members.iter().find(|(_, member)| member.origin == origin).map(|(node, member)| (*node, member))
    }

    /// The member at an underlay address.
    pub(super) fn by_ip(&self, ip: IpAddr) -> Option<(NodeId, &Member)> {
        let sites = |member: &Member| member.sites.iter().any(|site| site.vxlan.ip() == ip);
        let at = |member: &Member| member.vtep.is_some_and(|vtep| vtep.ip() == ip) || sites(member);
        self.members.iter().find(|(_, member)| at(member)).map(|(node, member)| (*node, member))
    }
}

/// What a member is known by: its address of a family of ours, IPv4 first, and its port for VXLAN, also where it is sent
/// Geneve, so that it stays the same when that changes.
pub(super) fn vtep(own: &[IpAddr], info: &NodeInfo) -> Option<VtepAddr> {
    let ours = |v4: bool| own.iter().any(|ip| ip.is_ipv4() == v4);
    let v4 = info.v4.map(IpAddr::V4).filter(|_| ours(true));
    let ip = v4.or_else(|| info.v6.map(IpAddr::V6).filter(|_| ours(false)))?;
    Some(VtepAddr::new(ip, info.vxlan_port))
}

impl<D: Devices> Control<D> {
    /// Takes in what gossip heard.
    pub fn handle_gossip(&mut self, now: Instant) {
        let Some(gossip) = self.gossip.as_ref().filter(|gossip| !gossip.left) else { return };
        self.history.advance(now);
        let News { events, changes } = gossip.link.take_news();
        for event in events {
            self.member_event(event, now);
        }
        for ((node, key), record) in changes {
            self.member_change(node, key, record, now);
        }
        self.follow_changes(None, None);
        self.settle();
    }

    fn member_event(&mut self, event: MemberEvent, now: Instant) {
        let (id, state) = match event {
            MemberEvent::Up(id) | MemberEvent::Rejoined(id) | MemberEvent::Cleared(id) => {
                (id, MemberState::Up)
            }
            MemberEvent::AddressChanged { member, .. } => (member, MemberState::Up),
            MemberEvent::Suspect(id) => (id, MemberState::Suspect),
            MemberEvent::Down(id) => (id, MemberState::Down),
            MemberEvent::Left(id) => (id, MemberState::Left),
            MemberEvent::Renewed(_) | MemberEvent::Clone(_) | MemberEvent::Outranked(_) => return,
        };
        let Some(gossip) = &mut self.gossip else { return };
        let member = gossip.member(id.node(), now);
        member.gossip = Some(id.addr());
        if member.state != state {
            (member.state, member.since) = (state, now);
            member.unsaid = (member.info.is_none() && state == MemberState::Up).then_some(id);
            if member.unsaid.is_none() {
                say_state(&member.name(id.node()), &id, event);
            }
            self.dirty = true;
        }
    }

    fn member_change(&mut self, node: NodeId, key: Key, record: Option<Record>, now: Instant) {
        match (key, record) {
            (Key::NodeInfo, Some(Record::NodeInfo(info))) => self.member_info(node, info, now),
            (Key::NodeInfo, _) => self.hide_member(node, now),
            (Key::VniJoin(vni), record) => {
                let Some(gossip) = &mut self.gossip else { return };
                if record.is_some() {
                    self.dirty |= gossip.member(node, now).vnis.insert(vni);
                } else if let Some(member) = gossip.members.get_mut(&node) {
                    self.dirty |= member.vnis.remove(&vni);
                }
            }
            (Key::Mac(vni, mac), Some(Record::Mac(record))) => self.member_mac(node, vni, mac, &record, now),
            (Key::Mac(vni, mac), _) => self.member_mac_gone(node, vni, mac, now),
            (Key::Vtep(at), Some(Record::Vtep(record))) => self.member_vtep(node, at, Some(record)),
            (Key::Vtep(at), _) => self.member_vtep(node, at, None),
            // Of kinds that this version does not know: carried for others.
            (Key::Opaque(..), _) => {}
        }
    }

    fn member_info(&mut self, node: NodeId, info: NodeInfo, now: Instant) {
        let vtep = vtep(&self.addresses, &info);
        let Some(gossip) = &mut self.gossip else { return };
        let member = gossip.member(node, now);
        if vtep.is_none() {
            say!(
                MemberUnreachable,
                peer = info.name,
                "a node has no underlay address of a family of this one's: give both an IPv4 or both an IPv6 address"
            );
        }
        if let Some(id) = member.unsaid.take() {
            say_state(&info.name, &id, MemberEvent::Up(id));
        }
        let boot = info.boot;
        let before = member.info.replace(info);
        if before.as_ref().is_none_or(|before| before.boot != boot) {
            (member.found, self.watched) = (None, None);
        }
        if before.is_none() || member.vtep != vtep {
            member.vtep = vtep;
            gossip.link.replay(node);
            self.drop_claims(node, now);
        }
        self.find_path(node);
        self.dirty = true;
    }

    /// A node is down, or says nothing of itself any more: nothing is sent to it or heard from it.
    fn hide_member(&mut self, node: NodeId, now: Instant) {
        let member = self.gossip.as_mut().and_then(|gossip| gossip.members.get_mut(&node));
        let Some(member) = member else { return };
        (member.found, self.watched) = (None, None);
        (member.vtep, member.sites) = (None, Vec::new());
        for site in std::mem::take(&mut member.known_sites) {
            self.fallbacks.retain(|(at, _), _| at.is_none_or(|at| at.ip() != site.vxlan.ip()));
        }
        self.drop_claims(node, now);
        self.dirty = true;
    }

    /// Drops all that a node claims.
    fn drop_claims(&mut self, node: NodeId, now: Instant) {
        let Some(member) = self.gossip.as_ref().and_then(|gossip| gossip.members.get(&node)) else { return };
        let name = format!("node {}", member.name(node));
        let claimed = self.table.entries().filter(|entry| entry.origin == Some(member.origin));
        for entry in claimed.take(history::CAPACITY) {
            let what = What { from: Some(name.clone()), ..FdbEvent::Withdrawn.into() };
            self.history.note(entry.vni, entry.mac, what);
        }
        self.table.unclaim_all(member.origin, now);
    }

    fn member_mac_gone(&mut self, node: NodeId, vni: Vni, mac: MacAddr, now: Instant) {
        let Some(member) = self.gossip.as_ref().and_then(|gossip| gossip.members.get(&node)) else { return };
        let by = format!("node {}", member.name(node));
        self.neighbors.unclaim(vni, mac, member.origin.get());
        let to = match self.table.unclaim(vni, mac, member.origin, now) {
            UnclaimOutcome::Gone { .. } => None,
            UnclaimOutcome::TakenOver { to, .. } => Some(self.describe(to)),
            UnclaimOutcome::Unknown | UnclaimOutcome::Unchanged => return,
        };
        self.history.note(vni, mac, What { from: Some(by), to, ..FdbEvent::Withdrawn.into() });
    }

    fn member_mac(&mut self, node: NodeId, vni: Vni, mac: MacAddr, record: &MacRecord, now: Instant) {
        let Some(member) = self.gossip.as_ref().and_then(|gossip| gossip.members.get(&node)) else { return };
        let Some(vtep) = member.vtep else { return };
        let MacRecord { mob_seq, is_static, dst, .. } = *record;
        let claim = Claim { origin: member.origin, at: dst.unwrap_or(vtep), mob_seq, is_static };
        let there = format!("node {}", member.name(node));
        let outcome = self.table.claim(vni, mac, claim, now);
        if !matches!(outcome, ClaimOutcome::Refused(_)) {
            let MacRecord { ips, router, .. } = record;
            let origin = claim.origin.get();
            self.neighbor_claim(&neighbor::Claim { vni, mac, ips, router: *router, mob_seq, origin });
        }
        match outcome {
            ClaimOutcome::Moved { from, frozen } => {
                self.say_moved(vni, mac, from, Location::Remote(claim.at), frozen);
                if matches!(from, Location::Local(_)) {
                    self.hand_over(vni, mac, node, now);
                }
            }
            ClaimOutcome::Duplicate { here, .. } => {
                let here = self.describe(here);
                let (from, to) = (Some(there.clone()), Some(here.clone()));
                self.history.note(vni, mac, What { from, to, ..FdbEvent::Duplicate.into() });
                say!(
                    MacDuplicate, %mac, vni = vni.get(), here, there,
                    "a MAC address is configured here and at another node: give one of the two another"
                );
            }
            ClaimOutcome::Added => {
                let place = dst.map_or_else(|| there.clone(), |at| format!("peer {} of {there}", at.ip()));
                let what = What { to: Some(place), mob_seq: Some(mob_seq), ..FdbEvent::Claimed.into() };
                self.history.note(vni, mac, what);
            }
            ClaimOutcome::Refreshed | ClaimOutcome::Lost { .. } | ClaimOutcome::Refused(_) => {}
        }
    }

    /// This node left: nobody is a member any more.
    pub(super) fn leave_members(&mut self, now: Instant) {
        let nodes: Vec<NodeId> =
            self.gossip.iter().flat_map(|gossip| gossip.members.keys().copied()).collect();
        self.unclaim_neighbors();
        nodes.into_iter().for_each(|node| self.forget_member(node, now));
        self.neighbors.set_publishing(false);
        if let Some(gossip) = &mut self.gossip {
            gossip.left = true;
            gossip.shared.clear();
            gossip.moved.clear();
        }
    }

    /// Forgets which IP addresses other nodes claim.
    fn unclaim_neighbors(&mut self) {
        for entry in self.table.entries() {
            let lost = self.table.lost_claims(entry.vni, entry.mac).iter().map(|claim| claim.origin);
            for origin in entry.origin.into_iter().chain(lost) {
                self.neighbors.unclaim(entry.vni, entry.mac, origin.get());
            }
        }
    }

    /// Forgets a member, as gossip did.
    pub(super) fn forget_member(&mut self, node: NodeId, now: Instant) {
        self.hide_member(node, now);
        self.gossip.iter_mut().for_each(|gossip| drop(gossip.members.remove(&node)));
    }

    /// An address moved from here to a node: others that do not know yet still send frames for it here.
    fn hand_over(&mut self, vni: Vni, mac: MacAddr, node: NodeId, now: Instant) {
        let Some(member) = self.gossip.as_ref().and_then(|gossip| gossip.members.get(&node)) else { return };
        let (Some(path_mtu), Some(site)) = (self.path_mtu(member), member.site()) else { return };
        let to = site.geneve;
        let Some(gossip) = &mut self.gossip else { return };
        if gossip.moved.len() < MAX_MOVED {
            gossip.moved.insert((vni, mac), Moved { to, path_mtu, until: now + HAND_OVER });
            self.dirty = true;
        }
    }

    /// Forgets addresses that moved long enough ago.
    pub(super) fn forget_moved(&mut self, now: Instant) {
        if let Some(gossip) = &mut self.gossip {
            gossip.moved.retain(|_, moved| now < moved.until);
        }
    }

    /// Looks again at the way to every member, and forgets those that gossip forgot.
    pub(super) fn look_at_members(&mut self, now: Instant) {
        let Some(gossip) = &self.gossip else { return };
        let status = gossip.link.status();
        // The status is a little older than the news.
        let settled = |m: &Member| !m.is_alive() && now.saturating_duration_since(m.since) > STATUS_AGE;
        let gone = |(node, m): &(&NodeId, &Member)| settled(m) && !status.members.contains_key(node);
        let gone: Vec<NodeId> = gossip.members.iter().filter(gone).map(|(node, _)| *node).collect();
        gone.into_iter().for_each(|node| self.forget_member(node, now));
        let nodes: Vec<NodeId> =
            self.gossip.iter().flat_map(|gossip| gossip.members.keys().copied()).collect();
        nodes.into_iter().for_each(|node| self.find_path(node));
    }

    fn find_path(&mut self, node: NodeId) {
        let Some(member) = self.gossip.as_ref().and_then(|gossip| gossip.members.get(&node)) else { return };
        let sites = self.sites_of(member);
        let member = self.gossip.as_mut().and_then(|gossip| gossip.members.get_mut(&node));
        if let Some(member) = member.filter(|member| member.sites != sites) {
            if !sites.is_empty() {
                member.known_sites.clone_from(&sites);
            }
            member.sites = sites;
            self.dirty = true;
        }
    }
}

fn say_state(name: &str, id: &MemberId, event: MemberEvent) {
    let (addr, epoch) = (id.addr(), id.epoch().get());
    match event {
        MemberEvent::Suspect(_) => {
            say!(MemberSuspect, peer = name, %addr, "a node does not answer; frames still go to it");
        }
        MemberEvent::Down(_) => {
            say!(MemberDown, peer = name, %addr, "a node is down: what lives there is hidden");
        }
        MemberEvent::Left(_) => say!(MemberLeft, peer = name, %addr, "a node left"),
        _ => say!(MemberUp, peer = name, %addr, epoch, "a node is up"),
    }
}
