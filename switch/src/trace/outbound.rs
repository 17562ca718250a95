//! What happens at the node whose port sends the frame, in words.
//!
//! What is decided is what the stages did; here it is only said, and why, of the topology and the FDB.

use encap::PortId;

use super::dry::{Ran, Took};
use super::frame::FrameSpec;
use super::mend::{drop_fault, outbound_stage};
use super::story::{Cause, EntryFacts, Fault, PeerFacts, Stage, StageName, State, time};
use crate::counters::DropReason;
use crate::topology::{Guard, NetworkView, PortView, Topology};

/// A frame that a port sends, and what its node knows.
#[derive(Clone, Copy, Debug)]
pub struct Outbound<'a> {
    /// The node.
    pub node: &'a str,
    /// Networks, ports and peers.
    pub topology: &'a Topology,
    /// The port that sends.
    pub port: PortId,
    /// The frame.
    pub frame: &'a FrameSpec,
    /// What the stages did with it.
    pub ran: &'a Ran,
    /// How long that took, if the story is to tell.
    pub took: Option<&'a Took>,
    /// What the FDB says of the source.
    pub source: Option<&'a EntryFacts>,
    /// What the FDB says of the destination.
    pub target: Option<&'a EntryFacts>,
    /// The peers that the datagrams are for, each once, in the order of the datagrams.
    pub peers: &'a [PeerFacts],
}

/// The stages of a node, in the order of the data path.
const ORDER: [StageName; 5] =
    [StageName::Admit, StageName::Observe, StageName::Answer, StageName::Decide, StageName::Send];

impl Outbound<'_> {
    /// The stages up to where the frame leaves, is delivered, or ends.
    #[must_use]
    pub fn explain(&self) -> Vec<Stage> {
        let mut stages = self.stages();
        if let Some(Took { passed, rest }) = self.took {
            time(&mut stages, passed, Some(*rest));
        }
        stages
    }

    fn stages(&self) -> Vec<Stage> {
        let Some(port) = self.topology.ports.get(&self.port) else {
            let fault = drop_fault(DropReason::TapGone, self.node, "");
            return vec![Stage::wrong(self.node, StageName::Admit, State::Failed, fault)];
        };
        let network = self.topology.network(port.network);
        let dropped = self.ran.drops.first().copied().filter(|_| !self.ran.goes_on());
        let end = dropped.map(|reason| self.stage_of(reason));
        let mut stages = Vec::new();
        for stage in ORDER {
            if let Some(reason) = dropped.filter(|_| end == Some(stage)) {
                stages.push(self.ends(stage, reason, port, network));
                return stages;
            }
            match stage {
                StageName::Admit => stages.push(self.admitted(port)),
                StageName::Observe => stages.push(self.observed(port)),
                StageName::Answer => {
                    if self.ran.is_answered {
                        stages.push(self.answered());
                        return stages;
                    }
                }
                StageName::Decide => stages.push(self.decided(port, network)),
                _ => stages.extend(self.sent(network)),
            }
        }
        stages
    }

    /// A port that is there cannot be gone, so it is the destination's.
    fn stage_of(&self, reason: DropReason) -> StageName {
        let is_unicast = !self.frame.dst.is_group();
        match reason {
            DropReason::TapGone => StageName::Decide,
            // Where a lookup finds nobody else, no peer was chosen.
            DropReason::PeerDown if is_unicast => StageName::Decide,
            reason => outbound_stage(reason),
        }
    }

    fn ends(&self, stage: StageName, reason: DropReason, port: &PortView, network: &NetworkView) -> Stage {
        let mut fault = drop_fault(reason, self.node, &network.name);
        let more = match reason {
            DropReason::PortSecurity => port.guard.as_ref().map(|guard| self.guarded(port, guard)),
            DropReason::MacFrozen => self.source.map(EntryFacts::words),
            DropReason::PeerDown | DropReason::SplitHorizon | DropReason::TapGone => {
                self.target.map(EntryFacts::words)
            }
            DropReason::UnknownUnicast => Some(format!("{} is not in the FDB", self.frame.dst)),
            DropReason::PktTooBig => self.peers_mtu(),
            _ => None,
        };
        if let Some(more) = more {
            fault.what = format!("{} {}", fault.what, sentence(&more));
        }
        if self.ran.is_told {
            fault.what.push_str(" Its sender is told by ICMP.");
        }
        let entry = if stage == StageName::Observe { self.source } else { self.target };
        let entry = entry.filter(|_| matches!(stage, StageName::Observe | StageName::Decide));
        Stage::wrong(self.node, stage, State::Failed, fault).by(entry)
    }

    fn guarded(&self, port: &PortView, guard: &Guard) -> String {
        let ips = guard.addresses.iter().map(ToString::to_string);
        let given: Vec<_> = guard.mac.iter().map(ToString::to_string).chain(ips).collect();
        let (src, from) = (self.frame.src, self.frame.addresses.from());
        format!("port {} may use {}, and the frame has {src} and {from}", port.name, given.join(", "))
    }

    fn peers_mtu(&self) -> Option<String> {
        let peer = self.peers.first()?;
        let size = self.frame.size;
        let fits = peer.mtu.map_or_else(|| "none at all".to_owned(), |mtu| format!("{mtu} octets"));
        Some(format!(
            "an IP packet of {size} octets is for {}, whose path takes {fits} (path MTU {})",
            peer.name, peer.path_mtu
        ))
    }

    fn admitted(&self, port: &PortView) -> Stage {
        let text = match &port.guard {
            Some(guard) => format!("the guard lets it pass: {}", self.guarded(port, guard)),
            None => format!("port {} may use any address: it has no guard", port.name),
        };
        Stage::passed(self.node, StageName::Admit, text)
    }

    fn observed(&self, port: &PortView) -> Stage {
        let text = match self.source {
            Some(entry) if entry.is_here => entry.words(),
            Some(entry) => format!("{}; a real frame would move it to port {}", entry.words(), port.name),
            None => format!("{} is news, and would be learned at port {}", self.frame.src, port.name),
        };
        Stage::passed(self.node, StageName::Observe, text).by(self.source)
    }

    fn answered(&self) -> Stage {
        let to = self.frame.addresses.to();
        let text =
            format!("who has {to} is known here, so that the question is answered and goes no further");
        Stage::passed(self.node, StageName::Answer, text)
    }

    fn decided(&self, port: &PortView, network: &NetworkView) -> Stage {
        let dst = self.frame.dst;
        if let Some(entry) = self.target.filter(|entry| entry.frozen_s.is_some() && !dst.is_group()) {
            let reason = DropReason::MacFrozen;
            let Fault { mend, .. } = drop_fault(reason, self.node, &network.name);
            let what = format!(
                "{}: it moved too often, and frames go there whether it is there or not",
                entry.words()
            );
            let fault = Fault::new(reason.name(), self.node, what, mend);
            return Stage::wrong(self.node, StageName::Decide, State::Degraded, fault).by(self.target);
        }
        let limit = |pps: u32| match pps {
            0 => "no limit".to_owned(),
            pps => format!("its limit is {pps} a second"),
        };
        let text = match self.target {
            Some(entry) if !dst.is_group() => entry.words(),
            _ => {
                let (ports, peers) = (self.ran.delivered.len(), self.peers.len());
                let (why, limit) = match (dst.is_broadcast(), dst.is_group()) {
                    (true, _) => ("a broadcast".to_owned(), limit(port.bum_pps)),
                    (_, true) => ("a multicast".to_owned(), limit(port.multicast_pps)),
                    _ => (format!("{dst} is not in the FDB"), limit(port.bum_pps)),
                };
                format!(
                    "{why}: flooded on network {} to {ports} ports here and {peers} peers; {limit}",
                    network.name
                )
            }
        };
        Stage::passed(self.node, StageName::Decide, text).by(self.target)
    }

    /// How it leaves, to each port and each peer.
    fn sent(&self, network: &NetworkView) -> Vec<Stage> {
        let name = |port: &PortId| self.topology.ports.get(port).map_or("?", |port| &*port.name);
        let port = |port: &PortId| {
            Stage::passed(self.node, StageName::Deliver, format!("written to port {}", name(port)))
        };
        let mut stages: Vec<Stage> = self.ran.delivered.iter().map(port).collect();
        stages.extend(self.peers.iter().map(|peer| self.leaves(peer)));
        // Copies of a flood that go nowhere, beside those that do.
        let lost = self.ran.drops.iter().map(|reason| {
            let fault = drop_fault(*reason, self.node, &network.name);
            Stage::wrong(self.node, StageName::Send, State::Degraded, fault)
        });
        stages.extend(lost);
        stages
    }

    fn leaves(&self, peer: &PeerFacts) -> Stage {
        let PeerFacts { name, address, format, path_mtu, .. } = peer;
        let from = peer.source_port.map_or_else(String::new, |port| format!(" from UDP port {port}"));
        let rtt = peer.rtt_us.map_or_else(String::new, |us| format!(", round trip of late {us} us"));
        let via = peer.via.as_ref().map_or_else(String::new, |via| format!(" through {via}"));
        let text = format!("to {name}{via} as {format}, {address}{from}; path MTU {path_mtu}{rtt}");
        let stage = match self.trouble(peer) {
            Some((state, fault)) => {
                let stage = Stage::wrong(self.node, StageName::Send, state, fault);
                Stage { text: format!("{text}. {}", stage.text), ..stage }
            }
            None => Stage::passed(self.node, StageName::Send, text),
        };
        Stage { peer: Some(peer.clone()), ..stage }
    }

    /// What keeps a frame that leaves from arriving as it should.
    fn trouble(&self, peer: &PeerFacts) -> Option<(State, Fault)> {
        let PeerFacts { name, causes, .. } = peer;
        let see = format!("`weft path show {name}` and `weft doctor` say more");
        if peer.down {
            let nothing = || (String::from("unanswered"), format!("nothing gets to {name}, by no way"));
            let is_end = |cause: &&Cause| ["one_way", "unanswered"].contains(&cause.code.as_str());
            let cause = causes.iter().find(is_end).or(causes.first()).cloned();
            let (code, what) = cause.map_or_else(nothing, |cause| (cause.code, cause.what));
            return Some((State::Failed, Fault::new(&code, self.node, what, see)));
        }
        let pieces = self.ran.sent.iter().map(|message| message.datagrams().count()).sum::<usize>();
        let cut = (self.peers.len() == 1 && pieces > 1).then(|| {
            let fits = peer.mtu.map_or(0, encap::Mtu::get);
            format!(
                "An IP packet of {} octets does not fit, so it is cut into {pieces} of at most {fits}.",
                self.frame.size
            )
        });
        // Where frames take the way of a relay, that says most of all.
        let relayed = causes.iter().find(|cause| cause.code == "relayed");
        let cause = relayed.or(causes.first());
        let (code, what) = match (cause, cut) {
            (Some(Cause { code, what }), cut) => {
                let cut = cut.map_or_else(String::new, |cut| format!(" {cut}"));
                (code.as_str(), format!("{}{cut}", sentence(what)))
            }
            (None, Some(cut)) => ("small_mtu", cut),
            (None, None) => return None,
        };
        Some((State::Degraded, Fault::new(code, self.node, what, see)))
    }
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    let text: String = first.into_iter().chain(chars).collect();
    if text.ends_with('.') { text } else { format!("{text}.") }
}
