//! What was dropped last, as a client sees it.

use std::net::IpAddr;

use encap::Format;
use serde::{Deserialize, Serialize};

/// What was dropped last for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropHeads {
    /// The reason, as the ledger names it.
    pub reason: String,
    /// What it means.
    pub sentence: String,
    /// At most 32, oldest first.
    pub entries: Vec<DropHead>,
    /// How many workers did not answer in half a second: what they dropped is missing.
    pub silent_workers: usize,
}

/// Frames that were dropped in one go, and the beginning of the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropHead {
    /// Microseconds since then.
    pub age_us: u64,
    /// `inbound`, from the underlay to a port, or `outbound`.
    pub direction: String,
    /// Where they were: `port:NAME`, `peer:NAME`, or `stranger:ADDRESS`.
    pub at: String,
    /// The datagram that the octets are; absent = they are a frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datagram: Option<DatagramHead>,
    /// How many wire frames there were.
    pub frames: u64,
    /// The octets of the first on the wire.
    pub len: u64,
    /// The first 128 of them, two hexadecimal digits each.
    pub octets: String,
}

/// What a socket knows of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatagramHead {
    /// Its tunnel header.
    pub format: Format,
    /// The other node's underlay address.
    pub peer: IpAddr,
    /// This node's; absent = it has none of that IP version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<IpAddr>,
    /// The UDP port of the tunnel, here.
    pub port: u16,
}
