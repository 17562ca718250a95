//! Safe devices over the system calls of `sys`: they know bytes, batches and addresses; never VNIs or tables.

pub mod link;
pub mod netns;
pub mod owner;
pub mod packet;
pub mod poll;
pub mod sender;
pub mod tap;
pub mod udp;
