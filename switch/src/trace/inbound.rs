//! What happens at the other nodes, in words, of what they told.

use std::time::Duration;

use super::mend::{drop_fault, inbound_stage};
use super::story::{Fault, Stage, StageName, State, time};
use super::wire::{Told, Verdict};

/// What another node told of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'a> {
    /// The node.
    pub node: &'a str,
    /// Who sends it there.
    pub from: &'a str,
    /// The network of the frame, as it is called where it comes from.
    pub network: &'a str,
    /// What was told.
    pub told: &'a Told,
}

impl Inbound<'_> {
    /// The stages from the arrival of the frame to where it goes or ends.
    #[must_use]
    pub fn explain(&self) -> Vec<Stage> {
        let mut stages = self.stages();
        if let Some(times) = &self.told.times {
            time(&mut stages, &times.stages, None);
        }
        stages
    }

    fn stages(&self) -> Vec<Stage> {
        let Self { node, from, told, .. } = *self;
        let opened = || {
            let text = format!("{from} is a peer, and has network {} like {node}", told.network);
            Stage::passed(node, StageName::Open, text)
        };
        let checked =
            || Stage::passed(node, StageName::CheckEthernet, "it is a frame that a switch forwards");
        match &told.verdict {
            Verdict::PassedOn => {
                let text = format!("passed on to {}, for which {from} has no way of its own", told.place);
                vec![Stage::passed(node, StageName::PassOn, text)]
            }
            Verdict::Delivered => {
                let ports = match told.ports {
                    0 | 1 => format!("port {}", told.place),
                    ports => format!("{ports} ports, such as {}", told.place),
                };
                let decided = format!("the destination is {ports}");
                let written = format!("written to {ports}");
                vec![
                    opened(),
                    checked(),
                    Stage::passed(node, StageName::Decide, decided),
                    Stage::passed(node, StageName::Deliver, written),
                ]
            }
            Verdict::Dropped(name) => {
                let (stage, fault) = self.dropped(name);
                let end = Stage::wrong(node, stage, State::Failed, fault);
                match stage {
                    StageName::Open | StageName::PassOn => vec![end],
                    StageName::CheckEthernet => vec![opened(), end],
                    _ => vec![opened(), checked(), end],
                }
            }
        }
    }

    fn dropped(&self, name: &str) -> (StageName, Fault) {
        match self.told.dropped() {
            Some(reason) => (inbound_stage(reason), drop_fault(reason, self.node, self.network)),
            None => {
                let mend = format!("`weft drops` on {} says what that is", self.node);
                (StageName::Open, Fault::new(name, self.node, format!("dropped, {name}"), mend))
            }
        }
    }
}

/// A leg of the way of a frame between two nodes, and how long it took.
#[derive(Clone, Copy, Debug)]
pub struct Leg<'a> {
    /// Whence.
    pub from: &'a str,
    /// And where to.
    pub to: &'a str,
    /// Octets of the outer IP packet.
    pub size: u16,
    /// From when the frame left until the answer was there, without the time in the other node.
    pub there_and_back: Duration,
    /// Whether a node took part that passes on what is for another: its part in that is no time of its own.
    pub is_passed_on: bool,
}

impl Leg<'_> {
    /// What the underlay took, and the guess that this is the same in both directions.
    #[must_use]
    pub fn crossed(&self) -> Stage {
        let &Self { from, to, size, there_and_back, is_passed_on } = self;
        let passed_on =
            if is_passed_on { format!(", with what {from} needs to pass it on") } else { String::new() };
        let text = format!(
            "an IP packet of {size} octets got to {to}{passed_on}; one way is an estimate: half of there and back"
        );
        Stage::passed(from, StageName::Underlay, text).within(there_and_back / 2)
    }
}

/// A node that did not answer.
#[derive(Clone, Copy, Debug)]
pub struct Silence<'a> {
    /// The node.
    pub node: &'a str,
    /// The version that it runs, as gossip says.
    pub version: Option<&'a str>,
    /// Octets of the outer IP packets that asked it.
    pub size: u16,
    /// How often it was asked; 0 = nothing was sent.
    pub asked: u8,
    /// How long it was waited for.
    pub seconds: u64,
    /// Whether these had the frame in them.
    pub live: bool,
}

/// The fault of a way of which nothing is known because nothing was sent.
pub const NOT_SENT: &str = "not_sent";

/// The stage at which a node that asks hears nothing.
#[must_use]
pub fn silent(asker: &str, silence: &Silence<'_>) -> Stage {
    let &Silence { node, version, size, asked, seconds, live } = silence;
    if asked == 0 {
        let what = format!(
            "nothing was sent to {node}, so that nothing is known of the rest of the way: {asker} sends as many probes and \
             letters as it may, or does not watch the path to it yet"
        );
        let mend =
            format!("try again in some seconds; `weft path show {node}` says whether its path is watched");
        let fault = Fault::new(NOT_SENT, asker, what, mend);
        return Stage::wrong(asker, StageName::Underlay, State::Degraded, fault);
    }
    let version = version.unwrap_or("unknown");
    let (state, what) = if live {
        let what = format!(
            "{node} did not answer within {seconds} s: of {asked} packets of {size} octets with the frame none got there, \
             or no answer came back; or its version ({version}) knows no such frames"
        );
        (State::Failed, what)
    } else {
        let what = format!(
            "{node} did not answer within {seconds} s, so that it is not known what it would do: it is busy, or its \
             version ({version}) knows no traces"
        );
        (State::Degraded, what)
    };
    let mend = format!(
        "`weft path show {node}` says whether packets get there; run weft trace on {node} the other way"
    );
    Stage::wrong(asker, StageName::Underlay, state, Fault::new("no_answer", node, what, mend))
}
