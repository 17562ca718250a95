//! Control: the single writer of the FDB, and everything that a person or a program can ask.

pub mod api;
pub mod config;
pub mod devices;
pub mod protocol;
