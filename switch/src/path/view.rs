//! What is shown of a path.

use std::time::{Duration, Instant};

use encap::Mtu;

use super::{Examination, Found, Path, Share, Target};

/// All that is known of the path to one target.
#[derive(Clone, Debug)]
pub struct View {
    /// Whom it leads to.
    pub target: Target,
    /// What the data path was told.
    pub path: Path,
    /// Since when the health is of this kind: up, degraded or down.
    pub since: Instant,
    /// How the MTU was found.
    pub found: Found,
    /// Round trips of small probes; `None` = none was answered.
    pub round_trip: Option<RoundTripView>,
    /// Of what was sent there, what was lost, of late.
    pub lost_there: Share,
    /// Of what was sent back.
    pub lost_back: Share,
    /// Of what came, what a later packet had overtaken.
    pub overtaken: Share,
    /// By how many milliseconds the peer's wall clock is ahead of ours; `None` = no probe was answered.
    pub clock_ahead_ms: Option<i64>,
    /// Probes sent.
    pub probes_sent: u64,
    /// Probes answered.
    pub probes_answered: u64,
    /// Probes of sizes that should pass, small ones and those of the MTU in effect, that got no answer while one was of use;
    /// never less than before, but for a path that is probed anew.
    pub probes_lost: u64,
    /// When the peer was heard last.
    pub heard_at: Option<Instant>,
    /// One for each source port, in their order.
    pub sources: Vec<SourceView>,
    /// The last examination.
    pub examination: Option<Examination>,
}

/// Round trips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTripView {
    /// The mean of late.
    pub smoothed: Duration,
    /// Half of them take no longer, as precise as a quarter of it.
    pub p50: Duration,
    /// And of 100, 99.
    pub p99: Duration,
    /// Of how many.
    pub samples: u32,
}

/// What is known of a source port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceView {
    /// Probes sent from it.
    pub sent: u64,
    /// And answered.
    pub answered: u64,
    /// Without an answer in a row, by now.
    pub lost: u32,
    /// Whether frames avoid it, because probes by it are lost and others are not.
    pub dead: bool,
    /// Its UDP port; whoever has the sockets knows it.
    pub port: Option<u16>,
    /// When one was answered last.
    pub answered_at: Option<Instant>,
    /// The largest that passed since a probe of the size in effect was lost.
    pub passes: Option<Mtu>,
}
