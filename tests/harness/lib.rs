//! What the tests share.

pub mod pcap;
