//! What membership can be told, and what it tells.

use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroU32, NonZeroUsize};
use std::time::{Duration, Instant};

use super::id::MemberId;
use super::wire::{MAX_PAYLOAD, NOT_SENT, WireError};
use crate::gossip::identity::{Epoch, NodeId};

/// How membership behaves. The defaults are for nodes within 100 ms of each other, and were chosen by simulation
/// (`tests/members_sim.rs`).
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Every so often each node asks one member whether it is there. Larger: fewer octets, later deaths.
    pub probe_period: Duration,
    /// How long to wait for an answer before the question is sent a second time; below `probe_rtt`.
    pub probe_again: Duration,
    /// How long to wait for an answer before others are asked to ask; below `probe_period`.
    pub probe_rtt: Duration,
    /// So many others are asked to ask.
    pub indirect_probes: NonZeroUsize,
    /// How long a suspect has to speak up.
    pub suspect_to_down: Duration,
    /// The least time between two rounds of news, each to as many as `indirect_probes`. The first round after a quiet
    /// time goes out at once.
    pub news_interval: Duration,
    /// How often a node repeats one piece of news.
    pub max_transmissions: NonZeroU8,
    /// How long a dead member is remembered, so that old news of it revives nothing.
    pub remove_down_after: Duration,
    /// A member is down only after so many questions of our own, one after the other, had no answer too.
    pub direct_probes: NonZeroU32,
    /// The time between two of these questions, and how long to wait for the answer.
    pub direct_interval: Duration,
    /// Members that are known at most, dead ones included; packets that bring more are refused.
    pub max_members: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            probe_period: Duration::from_millis(500),
            probe_again: Duration::from_millis(150),
            probe_rtt: Duration::from_millis(300),
            indirect_probes: const { NonZeroUsize::new(8).unwrap() },
            suspect_to_down: Duration::from_secs(3),
            news_interval: Duration::from_millis(50),
            max_transmissions: const { NonZeroU8::new(20).unwrap() },
            remove_down_after: Duration::from_secs(24 * 60 * 60),
            direct_probes: const { NonZeroU32::new(3).unwrap() },
            direct_interval: Duration::from_millis(300),
            max_members: 16_384,
        }
    }
}

impl Config {
    pub(super) fn foca(&self) -> foca::Config {
        foca::Config {
            probe_period: self.probe_period,
            probe_rtt: self.probe_rtt,
            num_indirect_probes: self.indirect_probes,
            suspect_to_down_after: self.suspect_to_down,
            max_transmissions: self.max_transmissions,
            remove_down_after: Some(self.remove_down_after),
            max_packet_size: const { NonZeroUsize::new(MAX_PAYLOAD + NOT_SENT).unwrap() },
            // Rosters are compared every 30 to 60 s, which finds all that are missing, not as many as a packet holds.
            periodic_announce: None,
            // Dead members are asked every second here, which finds them again sooner.
            periodic_announce_to_down_members: None,
            // News does not wait for a period here.
            periodic_gossip: None,
            ..foca::Config::new_lan(const { NonZeroU32::new(100).unwrap() })
        }
    }
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Seal these octets and send them.
    Send {
        /// To whose gossip address.
        to: SocketAddr,
        /// At most [`MAX_PAYLOAD`] octets.
        bytes: Vec<u8>,
    },
    /// Something happened.
    Event(MemberEvent),
}

/// What happened to a member, or to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberEvent {
    /// A member that was not known.
    Up(MemberId),
    /// Somebody had no answer from it. It is no death: go on forwarding.
    Suspect(MemberId),
    /// The suspect answered.
    Cleared(MemberId),
    /// It is dead: the cluster says so, and it answers no question of ours.
    Down(MemberId),
    /// It said goodbye.
    Left(MemberId),
    /// It is back after it was down or had left, or it restarted unnoticed.
    Rejoined(MemberId),
    /// The same node at another address; it is up there.
    AddressChanged {
        /// Where it is now.
        member: MemberId,
        /// Where it was.
        from: SocketAddr,
    },
    /// This node found that others called it down and came back as this.
    Renewed(MemberId),
    /// Another process with the id of this node answered a question.
    Clone(MemberId),
    /// A process that was at this address before had started more often, so that others keep it instead: this node goes on
    /// in this epoch, which is to be persisted before anything more is sent.
    Outranked(Epoch),
}

/// What a member is to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It answers.
    Up,
    /// It may be dead; traffic still goes to it.
    Suspect,
    /// It is dead.
    Down,
    /// It said goodbye.
    Left,
}

/// One row of the list of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Who and where.
    pub id: MemberId,
    /// How it is.
    pub state: MemberState,
    /// Since when it is so.
    pub since: Instant,
    /// The smoothed time from a question to its answer, once there was one.
    pub rtt: Option<Duration>,
}

/// Why a packet or roster was dropped; nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is malformed.
    #[error(transparent)]
    Malformed(#[from] WireError),
    /// It is for somebody who was at this address before, or for an earlier start or generation of this node.
    #[error(
        "membership packet is for an earlier identity at this address: its sender learns the new one; it is dropped"
    )]
    NotForUs,
    /// It says that it comes from this node's own address.
    #[error(
        "membership packet claims the own address: the join list names this node, or two nodes advertise one address"
    )]
    FromOurselves,
    /// It brings members that there is no room for.
    #[error(
        "membership packet brings the members above {max}, the most there may be: raise max_members or forget dead nodes"
    )]
    Full {
        /// The most there may be.
        max: usize,
    },
    /// Somebody who was at the sender's address before would be kept instead of it.
    #[error(
        "membership packet is of a start before epoch {epoch}, that of a process at its address before: it is told"
    )]
    Outranked {
        /// The epoch of the one before.
        epoch: Epoch,
    },
    /// It makes no sense to the protocol in its present state.
    #[error("membership packet is not expected now: it is dropped, and asked again where it matters")]
    Unexpected,
    /// This node has left.
    #[error("this node has left the cluster: start it again to join")]
    Left,
}

/// Why a member is not forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForgetError {
    /// Nobody has that id.
    #[error("node {0} is no member: see `weft peer list` for those that are")]
    Unknown(NodeId),
    /// It is alive.
    #[error("node {0} is alive and would be back at once: stop it first")]
    Alive(NodeId),
}
