//! How nodes find each other and speak: who they are, who is there, and the seal around every datagram and stream.
//!
//! [`engine`] puts the parts together, [`crate::replica`] included; [`frame`] cuts a stream into messages.

pub mod engine;
pub mod frame;
pub mod identity;
mod limits;
pub mod members;
pub mod seal;
