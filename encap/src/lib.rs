//! The bytes of an overlay switch, and nothing else: no clock, no socket, no state outside the value in hand.
//!
//! | module | what it knows |
//! |---|---|
//! | [`types`] | the checked numbers: [`Vni`], [`MacAddr`], [`PortId`], [`VtepAddr`], [`Mtu`] |

#![forbid(unsafe_code)]

pub mod checksum;
pub mod coalesce;
pub mod flow;
pub mod inet;
pub mod segment;
pub mod types;
pub mod vnet;

pub use types::{Format, MacAddr, Mtu, PortId, Vni, VtepAddr};
