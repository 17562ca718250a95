//! Two processes with one node id, or two nodes with one name: one of them has to stop.
//!
//! A process counts only if it answers a challenge. Who is joining stops; of two that both were there, as after a
//! partition, the one with the larger boot id, if the other still answers after [`CLONE_WAIT`].

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_core::CryptoRng;

use super::{Engine, Output};
use crate::gossip::identity::NodeId;
use crate::gossip::members::MemberId;
use crate::gossip::seal::Process;
use crate::replica::{Key, Record};

/// How long the other one of a pair has to stop.
pub const CLONE_WAIT: Duration = Duration::from_secs(5);

/// Until a rival that does not answer is asked again, and how often: then it is gone.
const RIVAL_RETRY: Duration = Duration::from_millis(500);
const RIVAL_TRIES: u32 = 6;

/// Another node, or another process of this one, that must not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// It has the node id of this one.
    #[error(
        "another weft runs at {addr} with the node id of this one ({node}): is the state directory a copy of its? Remove \
         the identity files from it on the host that is the copy, and start again"
    )]
    Id {
        /// The id.
        node: NodeId,
        /// Where the other is.
        addr: SocketAddr,
    },
    /// It has its name.
    #[error("the node at {addr} has the name of this one, \"{name}\": give one of them another [node] name")]
    Name {
        /// The name.
        name: String,
        /// Where the other is.
        addr: SocketAddr,
    },
}

/// Another process that seems to be this node, or to have its name.
#[derive(Clone, Debug)]
pub(super) struct Rival {
    who: Process,
    conflict: Conflict,
    /// When to ask it (again) whether it lives.
    pub(super) ask_at: Instant,
    asked: u32,
}

impl Engine {
    /// Another process seems to have our id, or a node our name.
    pub(super) fn meet(&mut self, who: Process, conflict: Conflict, alive: bool) {
        let joining = !self.ready;
        if joining && alive {
            self.outputs.push_back(Output::Conflict(conflict));
        } else if self.rival.is_none() && (joining || self.me.boot > who.boot) {
            // Of two that were there before, the other one may be joining after all, and about to stop.
            let ask_at = if joining { self.now } else { self.now + CLONE_WAIT };
            self.rival = Some(Rival { who, conflict, ask_at, asked: 0 });
        }
    }

    /// Looks whether a member says that it has our name: when it becomes one, and when it says something else.
    pub(super) fn compare_names(&mut self, node: NodeId) {
        if let Some(Record::NodeInfo(info)) = self.replica.get(node, &Key::NodeInfo)
            && info.name == self.name
            && let Some(view) = self.members.member(node)
        {
            let conflict = Conflict::Name { name: info.name, addr: view.id.addr() };
            self.meet(Process { node, boot: info.boot }, conflict, false);
        }
    }

    pub(super) fn ask_rival(&mut self, rng: &mut impl CryptoRng) {
        let Some(mut rival) = self.rival.take_if(|_| true) else { return };
        let (Conflict::Id { addr, .. } | Conflict::Name { addr, .. }) = rival.conflict;
        self.ask(rival.who, addr, rng);
        rival.asked += 1;
        rival.ask_at = self.now + RIVAL_RETRY;
        self.rival = Some(rival).filter(|rival| rival.asked <= RIVAL_TRIES);
    }

    /// Asks a process whether it lives.
    pub(super) fn ask(&mut self, who: Process, to: SocketAddr, rng: &mut impl CryptoRng) {
        if let Ok(bytes) = self.gate.challenge(who, self.now, rng) {
            self.outputs.push_back(Output::Datagram { to, bytes });
        }
    }

    /// Another process came with the node id of this one: if this one is still there, the other is a copy.
    pub(super) fn ask_predecessor(&mut self, who: Process, rng: &mut impl CryptoRng) {
        let known = self.known.get(&who.node).filter(|known| known.boot() == who.boot);
        if let Some(addr) = known.map(MemberId::addr) {
            self.ask(who, addr, rng);
        }
    }

    /// A process that was asked lives.
    pub(super) fn handle_sign_of_life(&mut self, who: Process) {
        if let Some(rival) = self.rival.take_if(|rival| rival.who == who && rival.asked > 0) {
            self.outputs.push_back(Output::Conflict(rival.conflict));
        } else if self.gate.known(who.node).is_some_and(|boot| boot != who.boot) {
            // Another process came with its node id, and it is still there: the other is a copy, and not heard.
            let _ = self.gate.trust(who);
        }
    }
}
