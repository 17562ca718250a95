//! The bytes of an overlay switch, and nothing else: no clock, no socket, no state outside the value in hand.
//!
//! | module | what it knows |
//! |---|---|
//! | [`types`] | the checked numbers: [`Vni`], [`MacAddr`], [`PortId`], [`VtepAddr`], [`Mtu`] |
//! | [`ether`] | an Ethernet frame: addresses, VLAN tags, EtherType |
//! | [`vxlan`], [`geneve`] | the two tunnel headers |
//! | [`tunnel`] | either of them, why a datagram is no frame ([`DecodeError`]), MTU arithmetic |
//! | [`ecn`] | congestion marks across a tunnel (RFC 6040) |
//! | [`inet`], [`checksum`], [`flow`] | where the IP, TCP and UDP headers of a frame lie, their sums, their flow's hash |
//! | [`vnet`] | the virtio-net header of a TAP: what a super-frame is |
//! | [`segment`], [`coalesce`] | super-frame to segments, and back |
//! | [`icmp`], [`fragment`], [`mss`] | what becomes of a packet that is too big for a path |
//! | [`relay`], [`control`] | frames that go over a third node; what carries weft's own messages on the data ports |
//! | [`neighbor`] | what ARP and ND frames ask and tell, and the answers |
//! | [`span`] | a place in a buffer: payload that stays where it was read |

#![forbid(unsafe_code)]

pub mod checksum;
pub mod coalesce;
pub mod control;
pub mod ecn;
pub mod ether;
pub mod flow;
pub mod fragment;
pub mod geneve;
pub mod icmp;
pub mod inet;
pub mod lease;
pub mod mss;
pub mod neighbor;
pub mod relay;
pub mod segment;
pub mod span;
#[cfg(test)]
mod testing;
pub mod tunnel;
pub mod types;
pub mod vnet;
pub mod vxlan;

pub use span::Span;
pub use tunnel::DecodeError;
pub use types::{Format, MacAddr, Mtu, PortId, Vni, VtepAddr};
