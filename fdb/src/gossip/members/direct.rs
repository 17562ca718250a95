//! Questions of our own, beside those of `foca`: to suspects, to the dead, and to whoever has our node id.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use foca::{Member, State};
use rand::RngExt;
use rand::seq::SliceRandom;

use super::config::{MemberEvent, MemberState, Refused};
use super::id::MemberId;
use super::table::Doubt;
use super::wire::{self, Probe};
use super::{FAREWELL, Members};

/// Each question is sent so often, as datagrams get lost.
const COPIES: usize = 2;

/// Dead members and seeds that are called at a time.
const CALLED: usize = 2;

/// Members that are asked in one step at most: half of a large cluster may be suspect at once.
const ASKED: usize = 128;

/// The least time between two questions to somebody with our node id.
const HUNT_EVERY: Duration = Duration::from_secs(1);

/// The question to another process with our node id.
#[derive(Clone, Copy, Debug)]
pub(super) struct CloneHunt {
    nonce: u64,
    sent: Instant,
}

impl Members {
    /// Asks the members in doubt whose turn it is, and gives up those that answered too few.
    pub(super) fn ask_doubted(&mut self) {
        let now = self.shell.now;
        let rows = self.table.rows.values();
        let due = rows.filter(|row| row.doubt.is_some_and(|doubt| doubt.next <= now));
        let due: Vec<_> = due.map(|row| row.view.id).take(ASKED).collect();
        for id in due {
            self.ask(id);
        }
    }

    fn ask(&mut self, id: MemberId) {
        let (state, incarnation) = self.known(&id).map_or((State::Down, 0), |m| (m.state(), m.incarnation()));
        let nonce = self.nonce();
        let now = self.shell.now;
        let Some(row) = self.table.rows.get_mut(&id.node) else { return };
        let Some(doubt) = &mut row.doubt else { return };
        if doubt.asked.is_some() {
            doubt.failed = doubt.failed.saturating_add(1);
        }
        if state == State::Down && doubt.failed >= self.config.direct_probes.get() {
            row.end(MemberState::Down, &mut self.shell);
            self.look_elsewhere(&id);
            return;
        }
        doubt.asked = Some((nonce, now));
        doubt.next = now + self.config.direct_interval;
        self.send_probe(&id, nonce, state, incarnation, COPIES);
    }

    /// Calls some of the dead and the seeds, if there is a reason to.
    pub(super) fn call_the_absent(&mut self) {
        let known = self.foca.iter_membership_state();
        let dead = known.filter(|m| m.state() == State::Down && m.incarnation() != FAREWELL);
        let mut absent: Vec<_> = dead.map(|member| *member.id()).collect();
        let up = self.foca.num_members();
        let mut seeds = self.seeds.clone();
        if absent.is_empty() && up > 0 {
            // All members call an address at which nobody may ever be again: each does so seldom.
            if self.rng.random_range(0..=up) >= CALLED {
                return;
            }
            let there: BTreeSet<_> = self.foca.iter_members().map(|member| member.id().addr).collect();
            seeds.retain(|seed| !there.contains(seed));
        }
        absent.extend(seeds.into_iter().map(MemberId::whoever));
        absent.shuffle(&mut self.rng);
        for id in absent.into_iter().take(CALLED) {
            self.announce(id.addr, self.shell.now);
            if id != MemberId::whoever(id.addr) {
                self.tell_dead(&id);
            }
        }
    }

    /// Tells a dead member that it is called so: if it lives, it comes back with its answer.
    fn tell_dead(&mut self, id: &MemberId) {
        let nonce = self.nonce();
        let now = self.shell.now;
        if let Some(row) = self.table.rows.get_mut(&id.node).filter(|row| row.doubt.is_none()) {
            // The row only remembers the question: the member stays down, and no second one follows.
            row.call = Some((nonce, now));
            self.send_probe(id, nonce, State::Down, 0, 1);
        }
    }

    fn send_probe(&mut self, to: &MemberId, nonce: u64, state: State, incarnation: u16, copies: usize) {
        let bytes = wire::probe(wire::tag(to), &Probe { nonce, state, incarnation, from: self.own() });
        for _ in 0..copies {
            self.shell.send(to.addr, bytes.clone());
        }
    }

    /// Answers a question, after taking in what the asker thinks of us.
    pub(super) fn handle_probe(&mut self, from: SocketAddr, tag: u32, probe: &Probe) -> Result<(), Refused> {
        self.check_sender(&probe.from)?;
        let own = self.own();
        if tag == wire::tag(&own) && probe.state != State::Alive {
            self.apply(Member::new(own, probe.incarnation, probe.state));
        }
        let bytes = wire::answer(probe.nonce, &self.own(), self.shell.incarnation);
        self.shell.send(from, bytes);
        self.call_back(&probe.from);
        Ok(())
    }

    /// One that we call dead asks us: it is to hear of it now, not when its turn comes.
    fn call_back(&mut self, asker: &MemberId) {
        let now = self.shell.now;
        let Some(row) = self.table.get(asker).filter(|row| row.view.state == MemberState::Down) else {
            return;
        };
        let asked = row.call.is_some_and(|(_, sent)| now < sent + self.config.direct_interval);
        if !asked {
            self.tell_dead(asker);
        }
    }

    pub(super) fn handle_answer(&mut self, nonce: u64, from: MemberId, inc: u16) -> Result<(), Refused> {
        self.check_sender(&from)?;
        let own = self.own();
        if self.hunt.is_some_and(|hunt| hunt.nonce == nonce) {
            self.hunt = None;
            if from.node == own.node && from.boot != own.boot {
                self.shell.event(MemberEvent::Clone(from));
            }
            return Ok(());
        }
        let row = self.table.rows.values_mut().find(|row| row.asked(nonce).is_some());
        let (row, sent) =
            row.and_then(|row| row.asked(nonce).map(|sent| (row, sent))).ok_or(Refused::Unexpected)?;
        let same = row.view.id.node == from.node;
        row.call = None;
        if let Some(doubt) = &mut row.doubt {
            // Another node at the address says that the one in doubt is gone from there.
            let failed = if same { 0 } else { self.config.direct_probes.get() };
            *doubt = Doubt { asked: None, failed, ..*doubt };
        }
        if same {
            row.sample(self.shell.now - sent);
        }
        self.outrank(&from)?;
        self.apply(Member::new(from, inc, State::Alive));
        self.survey();
        Ok(())
    }

    /// Asks somebody with our node id that is another process: an earlier start of this node does not answer.
    pub(super) fn hunt_clone(&mut self, id: &MemberId) {
        let own = self.own();
        let other = id.node == own.node && id.boot != own.boot && id.addr != own.addr;
        let now = self.shell.now;
        if !other || self.hunt.is_some_and(|hunt| now < hunt.sent + HUNT_EVERY) {
            return;
        }
        let nonce = self.nonce();
        self.hunt = Some(CloneHunt { nonce, sent: now });
        self.send_probe(id, nonce, State::Alive, 0, COPIES);
    }
}
