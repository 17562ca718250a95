//! System calls as plain functions: the only module that may use `unsafe`, and only `io` imports it.
#![allow(unsafe_code)]

pub(crate) mod ethtool;
pub(crate) mod local_time;
pub(crate) mod mmsg;
pub(crate) mod netlink;
pub(crate) mod netns;
pub(crate) mod packet;
pub(crate) mod pcap;
pub(crate) mod sched;
pub(crate) mod tun;
