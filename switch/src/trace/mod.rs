//! What would become of a frame: the whole way, stage by stage, told as a story.
//!
//! ```text
//!  FrameSpec ── octets ──> Dry ── the stages of the data path, counters that are thrown away ──> Ran
//!  Ran, Topology, what the FDB says ──> outbound::explain ──> Stages ──┐
//!  Word::Ask ──> other node: Dry ──> Word::Told ──> inbound::explain ──┴──> Story
//! ```
//!
//! 1. [`frame`] makes the frame that a pod would send.
//! 2. [`dry`] runs it through the very stages that forward frames, with a sink that sends nothing: what is decided is
//!    decided there, and nowhere else.
//! 3. `outbound` and `inbound` say in words what was decided and why; `mend` says what to do about a drop.
//! 4. [`wire`] is what nodes ask each other; the answers become the next stages of the [`Story`].
//!
//! A frame that is really sent (`--live`) goes as the load of a letter, by the way of frames and as large as they, and the
//! other node runs these very octets. Such a story has times: `dry` asks a clock that it is given, between the stages.
//!
//! Nothing here knows a device, the clock, or who asks.

pub mod dry;
pub mod frame;
mod inbound;
mod live;
mod mend;
mod outbound;
mod story;
#[cfg(test)]
mod tests;
pub mod wire;

pub use self::inbound::{Inbound, Leg, NOT_SENT, Silence, silent};
pub use self::live::Marked;
pub use self::mend::inbound_stage;
pub use self::outbound::Outbound;
pub use self::story::{
    Cause, EntryFacts, Fault, FrameFacts, Hop, Outcome, PeerFacts, Stage, StageName, State, Story,
    nanoseconds,
};
