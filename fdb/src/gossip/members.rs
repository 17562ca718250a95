//! Membership: who is in the cluster, where, and whether it lives. SWIM by `foca`, and questions of our own beside it.
//!
//! ```text
//!  datagram ─> handle_packet ─> foca ──news──> rows ──> events
//!  poll_timeout ─> handle_timeout ─┘  └─ doubts ─> direct probes ─> datagrams
//! ```
//!
//! 1. A suspect is asked by everybody who hears of the suspicion. The question says what is thought of it, so its answer
//!    refutes at once, however much of the gossip is lost.
//! 2. A member is *down* when the cluster says so and it answered none of [`Config::direct_probes`] questions in a row.
//!    One that the cluster calls down by mistake hears so in the question and comes back as its next generation.
//! 3. While a member is down, or nobody is up, two of the dead and the seeds are called every second: a partition heals
//!    by that. A seed where no member is gets two calls a second from the whole cluster: one that left and knows no
//!    other's address is found by that when it is back.
//! 4. A process that was not run for a while judges nobody by that time: late timers are put off, so that answers that
//!    wait in a socket are read first. Hand in what the sockets hold before [`Members::handle_timeout`].
//! 5. A question without an answer is sent a second time before others are asked to ask: of datagrams that get lost, few
//!    cost more than one.
//! 6. The first news after a quiet time is passed on at once, what follows in rounds. Without news nothing is sent but
//!    questions and answers.

mod config;
mod direct;
mod id;
mod packets;
mod roster;
mod shell;
mod table;
#[cfg(test)]
mod tests;
mod wire;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use foca::{Foca, Member, NoCustomBroadcast, State, Timer};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

pub use self::config::{Config, ForgetError, MemberEvent, MemberState, MemberView, Output, Refused};
use self::direct::CloneHunt;
pub use self::id::MemberId;
use self::shell::{News, Shell};
use self::table::Table;
pub use self::wire::{MAX_PAYLOAD, VERSION, WireError};
use self::wire::{Packet, Wire};
use crate::gossip::identity::NodeId;
use crate::gossip::seal::Process;

/// Seeds that are kept at most.
pub const MAX_SEEDS: usize = 64;

/// Looking for new suspects.
const SURVEY: Duration = Duration::from_millis(100);

/// Calling the dead and the seeds.
const CALL: Duration = Duration::from_secs(1);

/// The same while nobody was met since the start, and how long that is done: a seed that starts with this node is there
/// in a moment.
const FIRST_CALL: Duration = Duration::from_millis(200);
const FIRST_CALLS: Duration = Duration::from_secs(5);

/// A timer that is later than this says that the process did not run, not that others are silent.
const LATE: Duration = Duration::from_millis(200);

/// Members that are told goodbye, each twice; they tell the others.
const FAREWELLS: usize = 12;

/// The incarnation that says goodbye. `foca` never lets a member reach it.
const FAREWELL: u16 = u16::MAX;

/// Membership of one node; see the [module](self) for its rules.
///
/// After every call take [`Members::poll_output`] until it is empty, then ask [`Members::poll_timeout`]. Time never runs
/// backwards in here: a `now` before the latest one counts as the latest.
///
/// # Examples
///
/// ```
/// use std::time::Instant;
/// use fdb::gossip::identity::{BootId, Epoch, NodeId};
/// use fdb::gossip::members::{Config, MemberEvent, MemberId, Members, Output};
///
/// let now = Instant::now();
/// let addrs = ["10.0.0.1:6786".parse()?, "10.0.0.2:6786".parse()?];
/// let id = |n: usize| MemberId::new(addrs[n], NodeId::new(n as u128 + 1), Epoch::new(1), BootId::new(7));
/// let mut nodes = [0, 1].map(|n| Members::new(Config::default(), id(n), now, n as u64));
/// nodes[1].announce(addrs[0], now);
///
/// let mut up = Vec::new();
/// for n in [1, 0, 1, 0] {
///     while let Some(output) = nodes[n].poll_output() {
///         match output {
///             Output::Send { bytes, .. } => {
///                 nodes[1 - n].handle_packet(addrs[n], id(n).process(), &bytes, now)?;
///             },
///             Output::Event(MemberEvent::Up(member)) => up.push(member),
///             Output::Event(_) => {}
///         }
///     }
/// }
/// assert_eq!(up, [id(1), id(0)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Members {
    config: Config,
    foca: Foca<MemberId, Wire, SmallRng, NoCustomBroadcast>,
    shell: Shell,
    table: Table,
    seeds: Vec<SocketAddr>,
    rng: SmallRng,
    next_survey: Instant,
    next_call: Instant,
    /// When calling becomes rare though nobody was met.
    patient_at: Instant,
    /// When the next round of news may go out.
    next_news: Instant,
    hunt: Option<CloneHunt>,
    left: bool,
}

impl Members {
    /// A node that knows nobody. `seed` is 64 bits of randomness, others for each node.
    #[must_use]
    pub fn new(config: Config, own: MemberId, now: Instant, seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let foca = Foca::new(own, config.foca(), SmallRng::from_rng(&mut rng), Wire);
        Self {
            config,
            foca,
            shell: Shell::new(now),
            table: Table::default(),
            seeds: Vec::new(),
            rng,
            next_survey: now + SURVEY,
            next_call: now,
            patient_at: now + FIRST_CALLS,
            next_news: now,
            hunt: None,
            left: false,
        }
    }

    /// The own identity, with its present generation.
    #[must_use]
    pub fn own(&self) -> MemberId {
        *self.foca.identity()
    }

    /// Sets the addresses to call while somebody is down, or no member is there; the first [`MAX_SEEDS`] count. If nobody is
    /// up, they are called at once.
    pub fn set_seeds(&mut self, seeds: &[SocketAddr]) {
        let own = self.own().addr;
        self.seeds = seeds.iter().copied().filter(|seed| *seed != own).take(MAX_SEEDS).collect();
        if self.foca.num_members() == 0 {
            self.next_call = self.shell.now;
        }
    }

    /// Asks whoever is at an address to take this node in.
    pub fn announce(&mut self, to: SocketAddr, now: Instant) {
        self.advance(now);
        if !self.left && to != self.own().addr {
            let _ = self.foca.announce(MemberId::whoever(to), &mut self.shell);
        }
    }

    // ---- packets ----

    /// Takes a membership payload that `sender` sealed and that came from an address.
    ///
    /// # Errors
    ///
    /// [`Refused`] says why it was dropped.
    pub fn handle_packet(
        &mut self,
        from: SocketAddr,
        sender: Process,
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), Refused> {
        self.advance(now);
        if self.left {
            return Err(Refused::Left);
        }
        match Packet::decode(sender, bytes)? {
            Packet::Swim { tag, swim, body } => self.handle_swim(tag, &swim, body)?,
            Packet::Probe { tag, probe } => self.handle_probe(from, tag, &probe)?,
            Packet::Answer { nonce, from, incarnation } => self.handle_answer(nonce, from, incarnation)?,
            Packet::Outranked { tag, epoch } => self.handle_outranked(tag, epoch)?,
            Packet::Leave { from } => {
                self.check_sender(&from)?;
                self.apply(Member::new(from, FAREWELL, State::Down));
            }
        }
        self.settle();
        Ok(())
    }

    // ---- time ----

    /// When to call [`Members::handle_timeout`] next; `None` after [`Members::leave`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let again = self.shell.again_at(self.config.probe_again);
        let ticks =
            [Some(self.next_survey), Some(self.next_call), self.shell.next_timer(), again, self.news_at()];
        ticks.into_iter().flatten().min().filter(|_| !self.left)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        if self.left {
            return;
        }
        while let Some(timer) = self.shell.due_timer() {
            // Its only errors say that a probe began late or that nobody is up; both mend themselves.
            let _ = self.foca.handle_timer(timer, &mut self.shell);
        }
        if self.shell.again_at(self.config.probe_again).is_some_and(|due| due <= self.shell.now) {
            self.shell.send_again();
        }
        for dead in self.shell.due_removals() {
            self.remove(dead);
            if self.table.get(&dead).is_some_and(|row| row.doubt.is_none()) {
                self.table.rows.remove(&dead.node);
            }
        }
        self.settle();
        let now = self.shell.now;
        if now >= self.next_survey {
            self.next_survey = now + SURVEY;
            self.survey();
            self.ask_doubted();
            self.settle();
        }
        if now >= self.next_call {
            let first = self.table.rows.is_empty() && now < self.patient_at;
            self.next_call = now + if first { FIRST_CALL } else { CALL };
            self.call_the_absent();
        }
    }

    /// Looks for members that became suspects, or ceased to be.
    fn survey(&mut self) {
        let doubts = self.table.rows.values().any(|row| row.doubt.is_some());
        for member in self.foca.iter_membership_state() {
            if member.state() == State::Alive && !doubts {
                continue;
            }
            let Some(row) = self.table.rows.get_mut(&member.id().node) else { continue };
            if row.view.id == *member.id() {
                match member.state() {
                    State::Alive => row.clear(&mut self.shell),
                    State::Suspect | State::Down => row.suspect(&mut self.shell),
                }
            }
        }
    }

    // ---- commands ----

    /// Says goodbye to some members, who tell the others. Nothing is sent or heard afterwards: start anew, with a higher
    /// epoch, to join again.
    pub fn leave(&mut self, now: Instant) {
        self.advance(now);
        if self.left {
            return;
        }
        let mut told: Vec<_> = self.foca.iter_members().map(|member| member.id().addr).collect();
        told.shuffle(&mut self.rng);
        told.truncate(FAREWELLS);
        let own = self.own();
        for addr in told.iter().chain(&told) {
            self.shell.send(*addr, wire::leave(&own));
        }
        self.left = true;
        self.shell.cancel_timers();
    }

    /// Forgets a member that is down or has left.
    ///
    /// # Errors
    ///
    /// [`ForgetError`] when there is no such member or when it is alive. Nothing has changed then.
    pub fn forget(&mut self, node: NodeId) -> Result<(), ForgetError> {
        let row = self.table.rows.get(&node).ok_or(ForgetError::Unknown(node))?;
        if matches!(row.view.state, MemberState::Up | MemberState::Suspect) {
            return Err(ForgetError::Alive(node));
        }
        let id = row.view.id;
        self.remove(id);
        self.table.rows.remove(&node);
        Ok(())
    }

    // ---- what there is ----

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.shell.poll()
    }

    /// All members that were ever up and are not forgotten, by node id; this node is not among them.
    pub fn members(&self) -> impl Iterator<Item = MemberView> {
        self.table.rows.values().map(|row| row.view)
    }

    /// One member.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<MemberView> {
        self.table.rows.get(&node).map(|row| row.view)
    }

    // ---- helpers ----

    fn advance(&mut self, now: Instant) {
        self.shell.now = self.shell.now.max(now);
        self.forgive_lateness();
    }

    /// Before anything else is done: what is set from now on is not late.
    fn forgive_lateness(&mut self) {
        let due = self.shell.next_timer().unwrap_or(self.next_survey).min(self.next_survey);
        let late = self.shell.now.saturating_duration_since(due);
        if late > LATE {
            let by = late + LATE;
            self.shell.postpone(by);
            self.next_survey += by;
            for doubt in self.table.rows.values_mut().filter_map(|row| row.doubt.as_mut()) {
                doubt.next += by;
            }
        }
    }

    fn apply(&mut self, update: Member<MemberId>) {
        // It fails only where an identity cannot be written, and each can.
        let _ = self.foca.apply_many(std::iter::once(update), true, &mut self.shell);
    }

    fn remove(&mut self, dead: MemberId) {
        let _ = self.foca.handle_timer(Timer::RemoveDown(dead), &mut self.shell);
    }

    /// What `foca` knows about an identity.
    fn known(&self, id: &MemberId) -> Option<&Member<MemberId>> {
        self.foca.iter_membership_state().find(|member| member.id() == id)
    }

    /// Brings the table up to what `foca` said, and tells others.
    fn settle(&mut self) {
        while let Some(news) = self.shell.news.pop_front() {
            match news {
                News::Up(id) if id.node == self.own().node => {}
                News::Up(id) => {
                    if let Some(old) = self.table.up(id, &mut self.shell) {
                        self.apply(Member::down(old));
                    }
                }
                News::Down(id) => self.down(id),
                News::Renamed(before, after) => {
                    self.table.renamed(&before, after, &mut self.shell);
                    let active = self.known(&after).is_some_and(|member| member.state() != State::Down);
                    if active && before.node != after.node && after.node != self.own().node {
                        self.shell.news.push_front(News::Up(after));
                    }
                }
            }
        }
        self.spread();
    }

    /// When news goes out, if there is any.
    fn news_at(&self) -> Option<Instant> {
        (self.foca.updates_backlog() > 0 && self.foca.num_members() > 0).then_some(self.next_news)
    }

    fn spread(&mut self) {
        if self.news_at().is_some_and(|due| due <= self.shell.now) {
            self.next_news = self.shell.now + self.config.news_interval;
            // As in `apply`.
            let _ = self.foca.gossip(&mut self.shell);
        }
    }

    /// The cluster says that a member is down: believed at once of one that said goodbye, else asked first.
    fn down(&mut self, id: MemberId) {
        let left = self.known(&id).is_some_and(|member| member.incarnation() == FAREWELL);
        let Some(row) = self.table.rows.get_mut(&id.node).filter(|row| row.view.id == id) else { return };
        if left && matches!(row.view.state, MemberState::Up | MemberState::Suspect) {
            row.end(MemberState::Left, &mut self.shell);
            self.look_elsewhere(&id);
        } else {
            row.suspect(&mut self.shell);
            if row.doubt.is_some_and(|doubt| doubt.failed >= self.config.direct_probes.get()) {
                row.end(MemberState::Down, &mut self.shell);
                self.look_elsewhere(&id);
            }
        }
    }

    /// Where a process ended that had the node id of another, the other is the node again.
    fn look_elsewhere(&mut self, gone: &MemberId) {
        let mut members = self.foca.iter_members().map(Member::id);
        if let Some(other) = members.find(|id| id.node == gone.node && id.addr != gone.addr) {
            self.shell.news.push_back(News::Up(*other));
        }
    }

    fn nonce(&mut self) -> u64 {
        self.rng.random()
    }
}

impl std::fmt::Debug for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rows = &self.table.rows;
        f.debug_struct("Members").field("own", &self.own()).field("rows", rows).finish_non_exhaustive()
    }
}
