//! Gossip of one node put together: the seal, membership, and the replication of the FDB.
//!
//! ```text
//!  handle_datagram ─> limits ─> Gate ─┬─ membership ──> Members ──up, down──> Replica
//!                                     └─ replication ─────────────────────────^
//!  handle_stream ──────────────────────── rosters, long answers ──^
//!  poll_output <── sealed datagrams, messages for streams, changes, events
//! ```
//!
//! 1. Every datagram goes through the [`Gate`]; whoever is proved, or in a roster of somebody who is, is heard.
//! 2. [`Members`] says who is there, and [`Replica`] is told.
//! 3. When the first member is met and every [`ROSTER_EVERY`] or so, rosters are compared over a stream: the hash first,
//!    bodies only where it differs.
//! 4. Two processes with one node id, or two nodes with one name: who is joining stops; of two that both were there, as
//!    after a partition, the one with the larger boot id, if the other still answers after [`CLONE_WAIT`].

mod commands;
mod rivals;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_core::{CryptoRng, Rng};

use self::rivals::Rival;
pub use self::rivals::{CLONE_WAIT, Conflict};
use super::identity::{Epoch, NodeId};
use super::limits::Limits;
use super::members::{self, MemberEvent, MemberId, MemberState, MemberView, Members};
use super::seal::{self, Gate, Kind, Mode, Opened, Process};
use crate::replica::{self, Key, Record, Replica};

/// Rosters are compared with a random member this often; up to as much again is added at random.
pub const ROSTER_EVERY: Duration = Duration::from_secs(30);

/// A node that agrees with nobody yet is ready after this time nevertheless.
pub const READY_AFTER: Duration = Duration::from_secs(10);

/// Until a roster that was asked for and did not come is asked for again.
const ROSTER_RETRY: Duration = Duration::from_secs(2);

/// What an [`Engine`] starts with.
#[derive(Debug)]
pub struct Setup {
    /// This run of this node; the boot id is random and new.
    pub me: Process,
    /// This start of it, persisted before.
    pub epoch: Epoch,
    /// Its name, which no other node may have.
    pub name: String,
    /// Where others reach its gossip.
    pub addr: SocketAddr,
    /// The keys, or that there are none.
    pub mode: Mode,
    /// Settings of membership.
    pub members: members::Config,
    /// Settings of the replication.
    pub replica: replica::Config,
}

/// What the owner of an [`Engine`] shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these octets, which are sealed, as a datagram.
    Datagram {
        /// Where to.
        to: SocketAddr,
        /// At most [`seal::MAX_DATAGRAM`] octets.
        bytes: Vec<u8>,
    },
    /// Send a message over the stream to a node; without one, over a new one to its address.
    Stream {
        /// To whom; `None` = whoever answers at the address.
        node: Option<NodeId>,
        /// Where its gossip is.
        addr: SocketAddr,
        /// The message, for [`Engine::handle_stream`] at the other end.
        message: Vec<u8>,
    },
    /// Something happened to a member.
    Member(MemberEvent),
    /// What another node says of a key is this now.
    Changed {
        /// Who says it.
        origin: NodeId,
        /// Of what.
        key: Key,
        /// `None`: nothing any more.
        new: Option<Record>,
    },
    /// Others know a later start of this node: persist this epoch before anything more is sent.
    EpochRaised(Epoch),
    /// Another process has the id or the name of this node: stop, naming it.
    Conflict(Conflict),
}

/// Why a datagram or a message of a stream was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// Its seal.
    #[error(transparent)]
    Seal(#[from] seal::Refusal),
    /// Membership refused it.
    #[error(transparent)]
    Members(#[from] members::Refused),
    /// It is no message of the replication.
    #[error(transparent)]
    Replica(#[from] replica::WireError),
    /// Its source sends too many.
    #[error(
        "too many datagrams come from one address, or from all: the rest of this second is dropped unread"
    )]
    Rate,
    /// A message over a stream of a kind that this version does not know.
    #[error("a message of kind {0} over a stream means nothing in this version: upgrade this node")]
    StreamKind(u8),
}

impl Dropped {
    names! {
        {
            Self::Members(_) => "membership",
            Self::Replica(_) => "replication",
            Self::Rate => "rate",
            Self::StreamKind(_) => "stream_kind",
        } else { Self::Seal(refusal) => refusal.name() }
    }

    /// Every name, those of refused seals included.
    pub fn names() -> impl Iterator<Item = &'static str> {
        seal::Refusal::NAMES.iter().chain(Self::NAMES).copied()
    }
}

/// The kinds of messages over a stream.
const ROSTER_HASH: u8 = 1;
const ROSTER: u8 = 2;
const ROSTER_BACK: u8 = 3;
const REPLICATION: u8 = 4;

/// Gossip of one node, without I/O.
///
/// After every call take [`Engine::poll_output`] until it is empty, then ask [`Engine::poll_timeout`].
#[derive(Debug)]
pub struct Engine {
    name: String,
    me: Process,
    gate: Gate,
    members: Members,
    replica: Replica,
    limits: Limits,
    /// Whom the gate knows, and where they were.
    known: BTreeMap<NodeId, MemberId>,
    outputs: VecDeque<Output>,
    roster_at: Instant,
    started: Instant,
    now: Instant,
    ready: bool,
    rival: Option<Rival>,
}

impl Engine {
    /// A node that knows nobody and says nothing yet.
    pub fn new(setup: Setup, now: Instant, rng: &mut impl Rng) -> Self {
        let Setup { me, epoch, name, addr, mode, members, replica } = setup;
        let own = MemberId::new(addr, me.node, epoch, me.boot);
        Self {
            name,
            me,
            gate: Gate::new(me, mode),
            members: Members::new(members, own, now, rng.next_u64()),
            replica: Replica::new((me.node, epoch), replica, now),
            limits: Limits::new(now),
            known: BTreeMap::new(),
            outputs: VecDeque::new(),
            roster_at: now,
            started: now,
            now,
            ready: false,
            rival: None,
        }
    }

    // ---- what arrives ----

    /// Takes a datagram.
    ///
    /// # Errors
    ///
    /// [`Dropped`] says why it was dropped.
    pub fn handle_datagram(
        &mut self,
        bytes: &[u8],
        from: SocketAddr,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Result<(), Dropped> {
        self.advance(now);
        if !self.limits.take(from.ip(), now) {
            return Err(Dropped::Rate);
        }
        match self.gate.open(bytes, from, now, rng)? {
            Opened::Message(message) => self.handle_message(&message, rng),
            Opened::Challenge { to, bytes } | Opened::Answer { to, bytes } => {
                self.outputs.push_back(Output::Datagram { to, bytes });
                Ok(())
            }
            Opened::Proved { news, waiting } => {
                let node = news.node;
                if node == self.me.node {
                    self.meet(Process { node, boot: news.new }, Conflict::Id { node, addr: from }, true);
                } else if let Some(boot) = news.old {
                    self.ask_predecessor(Process { node, boot }, rng);
                }
                self.handle_message(&waiting, rng)
            }
            Opened::Alive { who, .. } => {
                self.handle_sign_of_life(who);
                Ok(())
            }
        }
    }

    fn handle_message(&mut self, message: &seal::Message, rng: &mut impl Rng) -> Result<(), Dropped> {
        let now = self.now;
        match message.kind {
            Kind::Membership => {
                self.members.handle_packet(message.from, message.sender, &message.payload, now)?;
            }
            Kind::Replication => {
                self.replica.handle_message(message.sender.node, &message.payload, now, rng)?;
            }
            kind @ Kind::Path => return Err(seal::Refusal::UnknownKind { kind: kind as u8 }.into()),
        }
        Ok(())
    }

    /// Takes a message that a process sent over a stream, after it proved who it is.
    ///
    /// # Errors
    ///
    /// [`Dropped`]: close the stream.
    pub fn handle_stream(
        &mut self,
        from: Process,
        message: &[u8],
        now: Instant,
        rng: &mut impl Rng,
    ) -> Result<(), Dropped> {
        self.advance(now);
        let Some((kind, body)) = message.split_first() else { return Err(Dropped::StreamKind(0)) };
        match *kind {
            ROSTER_HASH => {
                if body != self.members.roster_hash() {
                    self.send_roster(from.node, ROSTER);
                }
            }
            ROSTER | ROSTER_BACK => {
                self.members.apply_roster(from, body, now)?;
                if *kind == ROSTER {
                    self.send_roster(from.node, ROSTER_BACK);
                }
            }
            REPLICATION => self.replica.handle_message(from.node, body, now, rng)?,
            kind => return Err(Dropped::StreamKind(kind)),
        }
        Ok(())
    }

    /// A stream to a process stands: it proved just now that it lives.
    pub fn stream_opened(&mut self, who: Process, rng: &mut impl Rng) {
        if self.gate.known(who.node).is_none()
            && let Ok(Some(waiting)) = self.gate.trust(who)
        {
            let _ = self.handle_message(&waiting, rng);
        }
    }

    // ---- time ----

    /// When to call [`Engine::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        let rival = self.rival.as_ref().map(|rival| rival.ask_at);
        let others = [self.members.poll_timeout(), self.gate.poll_timeout(), rival];
        let soonest = self.replica.poll_timeout().min(self.roster_at);
        others.into_iter().flatten().fold(soonest, Instant::min)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut impl CryptoRng) {
        self.advance(now);
        self.members.handle_timeout(now);
        self.replica.handle_timeout(now, rng);
        self.gate.expire(now);
        if now >= self.roster_at {
            self.forget_strangers();
            self.compare_rosters(rng);
        }
        if self.rival.as_ref().is_some_and(|rival| rival.ask_at <= now) {
            self.ask_rival(rng);
        }
        self.ready |= now >= self.started + READY_AFTER;
    }

    /// Whoever is no member, not even a dead one, is not kept: nodes that come and go for months must not fill the gate.
    fn forget_strangers(&mut self) {
        self.known.retain(|node, _| self.members.member(*node).is_some());
        self.gate.retain(|node| self.members.member(node).is_some());
    }

    /// Compares rosters with a random member, so that what gossip missed is told.
    fn compare_rosters(&mut self, rng: &mut impl Rng) {
        let up: Vec<MemberView> = self.up().collect();
        let at = usize::try_from(rng.next_u64() % up.len().max(1) as u64).unwrap_or(0);
        let Some(member) = up.get(at) else {
            self.roster_at = self.now + ROSTER_RETRY;
            return;
        };
        self.ask_roster(Some(member.id.node()), member.id.addr());
        let spread = u32::try_from(ROSTER_EVERY.as_millis()).unwrap_or(u32::MAX);
        let extra = Duration::from_millis(u64::from(rng.next_u32() % spread));
        self.roster_at = self.now + ROSTER_EVERY + extra;
    }

    fn ask_roster(&mut self, node: Option<NodeId>, addr: SocketAddr) {
        let mut message = vec![ROSTER_HASH];
        message.extend(self.members.roster_hash());
        self.outputs.push_back(Output::Stream { node, addr, message });
    }

    fn send_roster(&mut self, to: NodeId, kind: u8) {
        // Who is no member is not known by its address; the stream that it asked over is there.
        let addr = self.members.member(to).map_or(self.members.own().addr(), |view| view.id.addr());
        let mut message = vec![kind];
        message.extend(self.members.roster());
        self.outputs.push_back(Output::Stream { node: Some(to), addr, message });
    }

    // ---- what there is ----

    /// The seal.
    #[must_use]
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Who is there.
    #[must_use]
    pub const fn members(&self) -> &Members {
        &self.members
    }

    /// What all say.
    #[must_use]
    pub const fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Whether this node knew once all that another did, or waited long enough for it.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.ready
    }

    /// What is to be done next.
    pub fn poll_output(&mut self, rng: &mut impl CryptoRng) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            if let Some(output) = self.members.poll_output() {
                match output {
                    members::Output::Send { to, bytes } => self.send(Kind::Membership, to, &bytes),
                    members::Output::Event(event) => self.handle_event(event, rng),
                }
                continue;
            }
            let output = self.replica.poll_output()?;
            self.handle_replica(output);
        }
    }

    fn send(&mut self, kind: Kind, to: SocketAddr, payload: &[u8]) {
        let mut bytes = Vec::with_capacity(payload.len() + seal::OVERHEAD);
        // Both parts keep to the length; counters last longer than any host.
        if self.gate.seal(kind, payload, &mut bytes).is_ok() {
            self.outputs.push_back(Output::Datagram { to, bytes });
        }
    }

    // ---- from one part to the other ----

    fn handle_event(&mut self, event: MemberEvent, rng: &mut impl CryptoRng) {
        let now = self.now;
        match event {
            MemberEvent::Up(id)
            | MemberEvent::Rejoined(id)
            | MemberEvent::AddressChanged { member: id, .. } => {
                let first = self.up().count() == 1;
                self.trust(id, rng);
                self.replica.member_up(id.node(), id.epoch(), now);
                self.compare_names(id.node());
                if first {
                    self.ask_roster(Some(id.node()), id.addr());
                }
            }
            MemberEvent::Down(id) => self.replica.member_down(id.node(), now),
            MemberEvent::Left(id) => self.replica.member_leave(id.node(), now),
            MemberEvent::Clone(id) => {
                let who = Process { node: id.node(), boot: id.boot() };
                self.meet(who, Conflict::Id { node: id.node(), addr: id.addr() }, true);
            }
            MemberEvent::Outranked(epoch) => {
                self.outputs.push_back(Output::EpochRaised(epoch));
                self.replica.raise_epoch(epoch);
            }
            MemberEvent::Suspect(_) | MemberEvent::Cleared(_) | MemberEvent::Renewed(_) => {}
        }
        self.outputs.push_back(Output::Member(event));
    }

    fn handle_replica(&mut self, output: replica::Output) {
        match output {
            replica::Output::Send { to, bytes } => {
                if let Some(view) = self.members.member(to) {
                    self.send(Kind::Replication, view.id.addr(), &bytes);
                }
            }
            replica::Output::Stream { to, bytes } => {
                if let Some(view) = self.members.member(to) {
                    let mut message = vec![REPLICATION];
                    message.extend(bytes);
                    self.outputs.push_back(Output::Stream { node: Some(to), addr: view.id.addr(), message });
                }
            }
            replica::Output::Changed { origin, key, new, .. } => {
                if key == Key::NodeInfo {
                    self.compare_names(origin);
                }
                self.outputs.push_back(Output::Changed { origin, key, new });
            }
            replica::Output::EpochRaised(epoch) => self.outputs.push_back(Output::EpochRaised(epoch)),
        }
    }

    /// Takes a member as known, unless a later process of its node is.
    fn trust(&mut self, id: MemberId, rng: &mut impl CryptoRng) {
        let who = Process { node: id.node(), boot: id.boot() };
        if who.node == self.me.node {
            return;
        }
        let before = self.gate.known(who.node).filter(|boot| *boot != who.boot);
        if let Some(boot) = before {
            let same = self.known.get(&who.node).filter(|known| known.boot() == boot);
            if same.is_none_or(|known| known.epoch() >= id.epoch()) {
                return;
            }
            self.ask_predecessor(Process { boot, ..who }, rng);
        }
        self.known.insert(who.node, id);
        if let Ok(Some(waiting)) = self.gate.trust(who) {
            // It waited for the challenge; what is wrong with it would have been counted when it came.
            let _ = self.handle_message(&waiting, rng);
        }
    }

    // ---- helpers ----

    fn up(&self) -> impl Iterator<Item = MemberView> {
        self.members.members().filter(|view| matches!(view.state, MemberState::Up | MemberState::Suspect))
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if !self.ready {
            let agrees = |view: MemberView| self.replica.agrees_with(view.id.node()) == Some(true);
            let ready = self.up().any(agrees);
            self.ready = ready;
        }
    }
}
