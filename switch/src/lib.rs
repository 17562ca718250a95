//! The daemon and the command line of weft.
//!
//! A frame's way is in [`datapath`]; who knows what is in [`topology`] and [`control`]; devices are in [`io`].

pub mod batch;
pub mod capture;
pub mod cli;
pub mod clock;
pub mod control;
pub mod counters;
mod daemon;
pub mod datapath;
pub mod doctor;
pub mod events;
pub mod gossip;
pub mod heads;
pub mod io;
pub mod log;
pub mod path;
mod sys;
pub mod topology;
pub mod trace;
