//! The bytes of an overlay switch, and nothing else: no clock, no socket, no state outside the value in hand.
//!
//! | module | what it knows |
//! |---|---|
//! | [`types`] | the checked numbers: [`Vni`], [`MacAddr`], [`PortId`], [`VtepAddr`], [`Mtu`] |

#![forbid(unsafe_code)]

pub mod types;

pub use types::{Format, MacAddr, Mtu, PortId, Vni, VtepAddr};
