//! The daemon and the command line of weft.

pub mod batch;
pub mod cli;
pub mod clock;
pub mod control;
pub mod counters;
mod daemon;
pub mod datapath;
pub mod events;
pub mod io;
mod sys;
pub mod topology;
