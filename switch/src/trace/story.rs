//! The story of a frame: its stages, at which node, and how it ends.

use std::net::IpAddr;
use std::time::Duration;

use encap::{Format, MacAddr, Mtu, Vni};
use serde::{Deserialize, Serialize};

use super::frame::{FrameSpec, Protocol};

/// What would become of a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Story {
    /// The number by which it is asked for again.
    pub id: u32,
    /// The node that tells it.
    pub node: String,
    /// The port that sends the frame.
    pub from: String,
    /// The destination as it was asked for.
    pub to: String,
    /// The network of the port.
    pub network: String,
    /// Its VNI.
    pub vni: Vni,
    /// The frame; absent = its destination is not known yet, or to nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<FrameFacts>,
    /// Whether it was sent, marked: by its way, and for nobody but the nodes on it.
    pub live: bool,
    /// Whether all nodes have answered, or are not waited for any more.
    pub finished: bool,
    /// How it ends, as far as is known.
    pub outcome: Outcome,
    /// Why it does not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// What happens, in order.
    pub stages: Vec<Stage>,
    /// The other nodes that were asked.
    pub nodes: Vec<Hop>,
}

/// The frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameFacts {
    /// Its source.
    pub src: MacAddr,
    /// Its destination.
    pub dst: MacAddr,
    /// Its source address.
    pub from: IpAddr,
    /// Its destination address.
    pub to: IpAddr,
    /// What it carries.
    pub protocol: Protocol,
    /// Octets of its IP packet.
    pub size: u16,
    /// Its VLAN tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
}

impl From<&FrameSpec> for FrameFacts {
    fn from(frame: &FrameSpec) -> Self {
        let &FrameSpec { src, dst, addresses, protocol, size, vlan } = frame;
        Self { src, dst, from: addresses.from(), to: addresses.to(), protocol, size, vlan }
    }
}

/// How a story ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The frame would arrive.
    Arrives,
    /// It would, but not as it should: by a detour, in pieces, or nobody knows for sure.
    Degraded,
    /// It would not.
    Lost,
}

/// Why a story does not end well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its name for scripts: a drop reason, the cause of a path, or one of those in the manual.
    pub code: String,
    /// The node where it shows.
    pub node: String,
    /// What is so.
    pub what: String,
    /// What to do about it.
    pub mend: String,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Where.
    pub node: String,
    /// What is asked.
    pub stage: StageName,
    /// What the answer means for the frame.
    pub state: State,
    /// What is decided, and why.
    pub text: String,
    /// Why it does not go on as it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// The FDB entry that decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<EntryFacts>,
    /// The peer that the frame goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerFacts>,
    /// How long it took, in nanoseconds; absent = nobody took the time. Of several copies of a frame, the first has the time
    /// of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ns: Option<u64>,
}

/// What an answer means for the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It goes on.
    Ok,
    /// It goes on, but not as it should.
    Degraded,
    /// It ends here.
    Failed,
}

/// What is asked; the names are those of the data path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// Which MAC address has the destination?
    Resolve,
    /// May the port send this?
    Admit,
    /// Who sends from here?
    Observe,
    /// Is it a question that can be answered here?
    Answer,
    /// Where to?
    Decide,
    /// How does it leave?
    Send,
    /// Does the other node hear of it?
    Underlay,
    /// Is it passed on to a third node?
    PassOn,
    /// Is the sender a peer, with a network that is there?
    Open,
    /// Is it a frame that a switch forwards?
    CheckEthernet,
    /// Who gets it?
    Deliver,
}

impl StageName {
    /// As it is shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Admit => "admit",
            Self::Observe => "observe",
            Self::Answer => "answer",
            Self::Decide => "decide",
            Self::Send => "send",
            Self::Underlay => "underlay",
            Self::PassOn => "pass on",
            Self::Open => "open",
            Self::CheckEthernet => "check",
            Self::Deliver => "deliver",
        }
    }
}

/// What the FDB says of a MAC address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryFacts {
    /// The address.
    pub mac: MacAddr,
    /// Where it lives, such as `port web` or `node node-b`.
    pub place: String,
    /// The node that says so.
    pub owner: String,
    /// Raised whenever the entry changes.
    pub seq: u64,
    /// How often the address moved.
    pub mob_seq: u32,
    /// Whether somebody configured it.
    #[serde(rename = "static")]
    pub is_static: bool,
    /// Seconds until it may move again; absent = it is not frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_s: Option<u64>,
    /// Whether it lives at the port that sends the frame.
    #[serde(skip)]
    pub is_here: bool,
}

impl EntryFacts {
    /// In words.
    pub(super) fn words(&self) -> String {
        let Self { mac, place, owner, seq, .. } = self;
        let how = if self.is_static { "configured" } else { "learned" };
        let frozen = self.frozen_s.map_or_else(String::new, |s| format!(", frozen for {s} s"));
        format!("{mac} lives at {place} ({how}, owner {owner}, seq {seq}{frozen})")
    }
}

/// A peer, and the way to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerFacts {
    /// Its name, or its address where it has none.
    pub name: String,
    /// Whether it is a node of the cluster, which can be asked.
    pub member: bool,
    /// Where datagrams for it go.
    pub address: String,
    /// What it is sent.
    pub format: Format,
    /// The UDP port that they leave from, for this flow; absent = not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// The IP MTU of the underlay path to it.
    pub path_mtu: Mtu,
    /// The IP size that a pod may send to it; absent = none at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<Mtu>,
    /// The round trip of probes of late; absent = not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// The node that passes frames on to it; absent = it is reached directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// What is wrong with the path.
    pub causes: Vec<Cause>,
    /// Whether nothing gets there.
    pub down: bool,
}

/// What is wrong with a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Its name, such as `small_mtu`.
    pub code: String,
    /// The same in words, with what mends it.
    pub what: String,
}

/// Another node that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// Its name.
    pub node: String,
    /// Octets of the outer IP packet that asked it.
    pub size: u16,
    /// How often it was asked.
    pub asked: u8,
    /// Whether it answered.
    pub answered: bool,
    /// How long the question and the answer were under way, in microseconds, those of a relay included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_us: Option<u64>,
    /// How long the question lay there until it was answered, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside_us: Option<u64>,
    /// How long of that it waited for its turn, from when it was received, in microseconds; absent = not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_us: Option<u64>,
}

impl Stage {
    /// A stage that the frame passes.
    #[must_use]
    pub fn passed(node: &str, stage: StageName, text: impl Into<String>) -> Self {
        let (node, text) = (node.to_owned(), text.into());
        Self { node, stage, state: State::Ok, text, fault: None, entry: None, peer: None, ns: None }
    }

    /// A stage where something is wrong.
    #[must_use]
    pub fn wrong(node: &str, stage: StageName, state: State, fault: Fault) -> Self {
        Self { state, fault: Some(fault.clone()), ..Self::passed(node, stage, fault.what) }
    }

    /// The same, with the time that it took.
    #[must_use]
    pub fn within(self, took: Duration) -> Self {
        Self { ns: Some(nanoseconds(took)), ..self }
    }

    /// The same, with the entry that decides.
    pub(super) fn by(self, entry: Option<&EntryFacts>) -> Self {
        Self { entry: entry.cloned(), ..self }
    }
}

/// A time as a story has it.
#[must_use]
pub fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Gives stages their times: those of the same name, and to the first without one, or else to the last, the rest.
pub(super) fn time(stages: &mut [Stage], passed: &[(StageName, Duration)], rest: Option<Duration>) {
    let took = |stage: StageName| passed.iter().find(|(name, _)| *name == stage).map(|(_, took)| *took);
    stages.iter_mut().for_each(|stage| stage.ns = took(stage.stage).map(nanoseconds));
    let without = stages.iter().position(|stage| stage.ns.is_none());
    if let (Some(rest), Some(place)) = (rest, without.or(stages.len().checked_sub(1))) {
        let ns = &mut stages[place].ns;
        *ns = Some(ns.unwrap_or(0).saturating_add(nanoseconds(rest)));
    }
}

impl Fault {
    /// A fault of this name.
    #[must_use]
    pub fn new(code: &str, node: &str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { code: code.to_owned(), node: node.to_owned(), what: what.into(), mend: mend.into() }
    }
}

impl Story {
    /// Says how it ends, of what its stages say.
    pub fn conclude(&mut self) {
        let worst = self.stages.iter().map(|stage| stage.state).max();
        self.outcome = match worst {
            Some(State::Failed) => Outcome::Lost,
            Some(State::Degraded) => Outcome::Degraded,
            Some(State::Ok) | None => Outcome::Arrives,
        };
        let mut worst = self.stages.iter().filter(|stage| Some(stage.state) == worst);
        self.fault = worst.find_map(|stage| stage.fault.clone());
    }
}
