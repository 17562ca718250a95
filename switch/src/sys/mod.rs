//! System calls: the only place with `unsafe`, one wrapper a call.

pub mod mmsg;
pub mod tun;
