//! Who is where: the forwarding database (FDB) as pure state machines; `now` and randomness are arguments.
#![forbid(unsafe_code)]

use std::fmt;

use encap::{PortId, VtepAddr};

/// Where a MAC address lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// Behind a local port.
    Local(PortId),
    /// Behind the VTEP of another host.
    Remote(VtepAddr),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(port) => write!(f, "port {port}"),
            Self::Remote(vtep) => vtep.fmt(f),
        }
    }
}
