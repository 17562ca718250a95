//! The daemon and the command line of weft.

pub mod clock;
pub mod counters;
pub mod topology;
