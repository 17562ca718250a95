//! What the end-to-end tests share: hosts and pods in network namespaces, the daemon, other people's tunnels as
//! peers, traffic that checks itself, captures.
//!
//! ```text
//!   pod a1 --eth0 (TAP)-- weft | host a --u0--+           +--u0-- host b | weft or kernel or OVS -- pod b1
//!   10.32.0.1                    10.99.0.1    |  hub, br0  |       10.99.0.2                          10.32.0.2
//!   fd32::1                      fd99::1      +-----------+       fd99::2                            fd32::2
//! ```
//!
//! Everything lives in namespaces called `weft-t<pid>-...`, goes when its owner is dropped (also by a panic), and what
//! a killed run left is removed by the next one. A helper that cannot do its work panics with what happened: that is
//! the failure of the test.

pub mod capture;
pub mod cluster;
pub mod command;
pub mod corpus;
pub mod frames;
pub mod inject;
pub mod iperf;
pub mod lab;
pub mod netns;
pub mod node;
pub mod numbered;
pub mod ovs;
pub mod pair;
pub mod pairs;
mod pauses;
pub mod pcap;
pub mod pcapng;
pub mod peer;
pub mod rng;
pub mod stream;
pub mod tcp;
pub mod traffic;
pub mod wait;

pub use cluster::Cluster;
pub use inject::Injector;
pub use lab::{Host, Lab};
pub use netns::Netns;
pub use node::{Config, Node};
pub use pair::{Pair, Spec};
pub use pairs::Pairs;
pub use rng::Rng;
pub use stream::Stream;
