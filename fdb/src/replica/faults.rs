//! Faults that the simulator must find; none unless a test plants one.

/// A planted fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "faults"), allow(unreachable_pub))] // public with the feature only
pub enum Fault {
    /// A removal leaves no tombstone.
    ForgottenTombstone,
    /// Of two epochs the one that arrives last wins.
    ArrivalOrder,
    /// What networks a node has is pushed, and never told again.
    LostInterest,
    /// An older number overwrites a newer one.
    ReplayAccepted,
    /// Who hears of a later start of itself goes on in that one: its numbers mean two things.
    NumbersReused,
    /// A replacement adds what it lists, and drops nothing.
    ReplacementKeeps,
    /// Nothing is compared: what pushing missed is missed for ever.
    PushOnly,
    /// What a node said that is down is still shown.
    HidingForgotten,
    /// Who left is believed again.
    GraveIgnored,
    /// A node may say as much as it likes.
    CapIgnored,
}

#[cfg(feature = "faults")]
impl Fault {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::ForgottenTombstone,
        Self::ArrivalOrder,
        Self::LostInterest,
        Self::ReplayAccepted,
        Self::NumbersReused,
        Self::ReplacementKeeps,
        Self::PushOnly,
        Self::HidingForgotten,
        Self::GraveIgnored,
        Self::CapIgnored,
    ];
}
