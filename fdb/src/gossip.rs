//! How nodes find each other and speak: who they are, who is there, and the seal around every datagram and stream.

pub mod identity;
pub mod members;
pub mod seal;
