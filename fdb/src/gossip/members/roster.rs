//! The roster: who is alive, told over a reliable stream, so that what gossip missed is known in the end.

use std::collections::BTreeSet;
use std::time::Instant;

use foca::{Member, State};
use sha2::{Digest, Sha256};

use super::config::Refused;
use super::id::MemberId;
use super::{Members, wire};
use crate::gossip::seal::Process;

/// Members of a roster that others are told of at most.
const MAX_TOLD: usize = 64;

impl Members {
    /// A hash of who is alive, this node included. Two nodes whose hashes are equal have nothing to tell each other.
    #[must_use]
    pub fn roster_hash(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        for member in self.alive() {
            let mut octets = Vec::with_capacity(64);
            wire::put_identity(&mut octets, member.id());
            hash.update(&octets);
        }
        let digest: [u8; 32] = hash.finalize().into();
        std::array::from_fn(|n| digest[n])
    }

    /// Who is alive, this node included: at most 70 octets a member.
    #[must_use]
    pub fn roster(&self) -> Vec<u8> {
        wire::roster(&self.alive())
    }

    /// Takes what the [`Members::roster`] of `sender` says. Others are told of a few that are news, the sender first; what
    /// a newcomer finds in its first roster, and what is more, they know or find in a roster.
    ///
    /// # Errors
    ///
    /// [`Refused`] says why it was dropped.
    pub fn apply_roster(&mut self, sender: Process, bytes: &[u8], now: Instant) -> Result<(), Refused> {
        self.advance(now);
        if self.left {
            return Err(Refused::Left);
        }
        let members = wire::read_roster(bytes)?;
        self.check_room(&members)?;
        members.iter().for_each(|member| self.hunt_clone(member.id()));
        // The dead are not told here: a node that never met them need not know.
        let alive = members.into_iter().filter(|member| member.state() != State::Down);
        let known: BTreeSet<MemberId> = self.foca.iter_members().map(|member| *member.id()).collect();
        let (mut news, mut rest): (Vec<_>, Vec<_>) = alive.partition(|member| !known.contains(member.id()));
        let most = if known.is_empty() { 1 } else { MAX_TOLD };
        news.sort_unstable_by_key(|member| member.id().process() != sender);
        rest.extend(news.split_off(news.len().min(most)));
        let rest = self.foca.apply_many(rest.into_iter(), false, &mut self.shell);
        let news = self.foca.apply_many(news.into_iter(), true, &mut self.shell);
        self.settle();
        rest.and(news).map_err(|_| Refused::Unexpected)
    }

    fn alive(&self) -> Vec<Member<MemberId>> {
        let mut alive: Vec<_> = self.foca.iter_members().cloned().collect();
        alive.push(Member::new(self.own(), self.shell.incarnation, State::Alive));
        alive.sort_unstable_by_key(|member| *member.id());
        alive
    }
}
