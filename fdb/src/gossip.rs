//! How nodes find each other: pure state machines that send and receive the payloads of sealed datagrams.

pub mod identity;
pub mod members;
