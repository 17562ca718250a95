//! What the tests share.

pub mod frames;
pub mod pcap;
