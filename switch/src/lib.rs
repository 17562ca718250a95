//! The daemon and the command line of weft.

pub mod clock;
pub mod control;
pub mod counters;
pub mod events;
pub mod io;
mod sys;
pub mod topology;
