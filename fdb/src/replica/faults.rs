//! Faults that the simulator must find; all off unless a test turns one on.

/// Which fault is planted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // each is a fault of its own
#[cfg_attr(not(feature = "faults"), allow(unreachable_pub))] // public with the feature only
pub struct Faults {
    /// A removal leaves no tombstone.
    pub forgotten_tombstone: bool,
    /// Of two epochs the one that arrives last wins.
    pub arrival_order: bool,
    /// What networks a node has is pushed, and never told again.
    pub lost_interest: bool,
    /// An older number overwrites a newer one.
    pub replay_accepted: bool,
}
