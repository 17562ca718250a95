//! Safe devices over the system calls of `sys`: they know bytes, batches and addresses; never VNIs or tables.

pub(crate) mod file;
pub mod host;
pub mod keyfile;
pub mod link;
pub mod local_time;
pub mod netns;
pub mod owner;
pub mod packet;
pub mod pcap;
pub mod poll;
pub mod random;
pub mod sender;
pub mod state;
pub mod tap;
pub mod token;
pub mod udp;
