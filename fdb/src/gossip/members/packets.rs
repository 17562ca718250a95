//! What the packets of `foca` bring, before it sees them: whose they are, whether there is room, and who is kept at an
//! address.

use std::collections::BTreeSet;
use std::time::Duration;

use foca::{Member, Message};

use super::Members;
use super::config::{MemberEvent, Refused};
use super::id::MemberId;
use super::wire::{self, Swim};
use crate::gossip::identity::Epoch;

/// The least time between two generations that others' calling us dead leads to.
const RENEW_EVERY: Duration = Duration::from_secs(1);

impl Members {
    pub(super) fn handle_swim(&mut self, tag: u32, swim: &Swim, body: &[u8]) -> Result<(), Refused> {
        let own = self.own();
        self.check_sender(&swim.from)?;
        let called = tag == wire::ANYBODY && swim.message == Message::Announce;
        if !called && tag != wire::tag(&own) {
            return Err(Refused::NotForUs);
        }
        // Where a predecessor at our address outranks us, no generation of ours is taken in before that one is dead; two
        // nodes would tell each other so as fast as the network carries it.
        let renewed = self.shell.renewed.is_some_and(|at| self.shell.now < at + RENEW_EVERY);
        if swim.message == Message::TurnUndead && renewed {
            return Err(Refused::Unexpected);
        }
        self.check_room(&swim.updates)?;
        self.outrank(&swim.from)?;
        for id in swim.updates.iter().map(Member::id).chain([&swim.from]) {
            self.hunt_clone(id);
        }
        if let Message::Ack(number) = swim.message
            && let Some(ping) = self.shell.ping.take_if(|ping| (number, swim.from) == (ping.number, ping.to))
            && let (Some(rtt), Some(row)) =
                (ping.rtt(self.shell.now), self.table.rows.get_mut(&swim.from.node))
        {
            row.sample(rtt);
        }
        let packet = wire::swim_for(&own, swim.from.process(), body);
        self.foca.handle_data(&packet, &mut self.shell).map_err(|_| Refused::Unexpected)
    }

    /// Somebody else, for whom there is room.
    pub(super) fn check_sender(&self, from: &MemberId) -> Result<(), Refused> {
        if from.addr == self.own().addr {
            return Err(Refused::FromOurselves);
        }
        self.check_room(&[Member::alive(*from)])
    }

    pub(super) fn check_room(&self, updates: &[Member<MemberId>]) -> Result<(), Refused> {
        let known = self.foca.iter_membership_state();
        let max = self.config.max_members;
        if known.len() + updates.len() < max {
            return Ok(());
        }
        let known: BTreeSet<_> = known.map(|member| member.id().addr).collect();
        let new = updates.iter().filter(|member| !known.contains(&member.id().addr)).count();
        if known.len() + new > max { Err(Refused::Full { max }) } else { Ok(()) }
    }

    /// Who is known at the address of a newcomer, and would be kept instead: a node that lost its state, or has an older copy
    /// of it, counts its starts from there. There is one process at an address, so the newcomer is told to count on from
    /// that of the other; whatever was said of that one, it cannot come back. One that no count of starts leads to is
    /// forgotten instead.
    pub(super) fn outrank(&mut self, newcomer: &MemberId) -> Result<(), Refused> {
        let kept =
            |id: &&MemberId| id.addr == newcomer.addr && !id.same_start(newcomer) && id.beats(newcomer);
        let kept = self.foca.iter_membership_state().map(Member::id).find(kept).copied();
        let Some(kept) = kept else { return Ok(()) };
        let epoch = kept.epoch;
        if epoch.is_absurd_after(newcomer.epoch) {
            // It was told of and never was: the newcomer could not count on from there.
            self.apply(Member::down(kept));
            self.remove(kept);
            if kept.node != newcomer.node {
                self.table.replaced(&kept, &mut self.shell);
            }
            return Ok(());
        }
        self.shell.send(newcomer.addr, wire::outranked(newcomer, epoch));
        Err(Refused::Outranked { epoch })
    }

    /// Counts on from the epoch of a predecessor at the own address.
    pub(super) fn handle_outranked(&mut self, tag: u32, epoch: Epoch) -> Result<(), Refused> {
        let own = self.own();
        let next = epoch.next().filter(|next| *next > own.epoch && !next.is_absurd_after(own.epoch));
        let Some(next) = next.filter(|_| tag == wire::tag(&own)) else { return Err(Refused::Unexpected) };
        let raised = MemberId { epoch: next, generation: 0, ..own };
        // First of all, as it is to be on the disk before it is told.
        self.shell.event(MemberEvent::Outranked(raised.epoch));
        let _ = self.foca.change_identity(raised, &mut self.shell);
        self.next_call = self.shell.now;
        Ok(())
    }
}
