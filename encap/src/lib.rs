//! The bytes of an overlay switch, and nothing else: no clock, no socket, no state outside the value in hand.
//!
//! | module | what it knows |
//! |---|---|
//! | [`types`] | the checked numbers: [`Vni`], [`MacAddr`], [`PortId`], [`VtepAddr`], [`Mtu`] |
//! | [`ether`] | an Ethernet frame: addresses, VLAN tags, EtherType |
//! | [`vxlan`], [`geneve`] | the two tunnel headers |
//! | [`tunnel`] | either of them, why a datagram is no frame ([`DecodeError`]), MTU arithmetic |
//! | [`ecn`] | congestion marks across a tunnel (RFC 6040) |

#![forbid(unsafe_code)]

pub mod ecn;
pub mod ether;
pub mod geneve;
pub mod tunnel;
pub mod types;
pub mod vxlan;

pub use tunnel::DecodeError;
pub use types::{Format, MacAddr, Mtu, PortId, Vni, VtepAddr};
