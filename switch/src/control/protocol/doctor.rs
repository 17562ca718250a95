//! The doctor: what a client hears of what is wrong.

use std::net::IpAddr;

use encap::Format;
use serde::{Deserialize, Serialize};

use crate::doctor::{Check, Finding, Fix};

/// What the doctor found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doctor {
    /// The node's name; empty when its configuration cannot be read.
    pub node: String,
    /// Device and inode of the network namespace that was looked at; `null` = not known.
    pub namespace: Option<(u64, u64)>,
    /// What is wrong, the worst first, or worth knowing.
    pub findings: Vec<Finding>,
    /// What was looked at.
    pub checks: Vec<Check>,
    /// Which sizes pass to which port of which node.
    pub matrix: Vec<MatrixEntry>,
    /// What `--fix` did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixed: Vec<Fixed>,
}

/// One size on one port of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatrixEntry {
    /// The node's name.
    pub peer: String,
    /// Its underlay address.
    pub address: IpAddr,
    /// The UDP port.
    pub port: u16,
    /// What it takes.
    pub format: Format,
    /// Octets of the outer IP packet.
    pub size: u16,
    /// Probes sent; none = the node has too many others to be probed at the moment.
    pub sent: u8,
    /// Whether one was answered.
    pub answered: bool,
}

/// A fix that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fixed {
    /// The fix.
    #[serde(flatten)]
    pub fix: Fix,
    /// What was there before; `null` = it could not be read.
    pub before: Option<u64>,
    /// Why it failed; `null` = it was done.
    pub error: Option<String>,
}
