//! Captures: what a client asks for. After [`Capturing`] its connection is a stream of [`Message`]s, until it closes its side
//! and has got what was there by then.
//!
//! [`Message`]: crate::capture::record::Message

use serde::{Deserialize, Serialize};

use crate::capture::program::Program;

/// What to capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// Where.
    pub at: CaptureAt,
    /// Only frames that pass this; at peers it looks at the frame inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner: Option<Program>,
    /// Only datagrams that pass this, from their made-up Ethernet header on: nothing at ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outer: Option<Program>,
    /// The octets that are told of each frame, made-up headers included, at most.
    pub snap: u32,
    /// Only frames that are dropped.
    #[serde(default)]
    pub drops: bool,
}

/// Where to capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureAt {
    /// At all ports and peers, and of gossip.
    Any,
    /// At the port of this name.
    Port(String),
    /// At the peer of this name or address.
    Peer(String),
}

/// The capture began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capturing {
    /// The name of the node.
    pub node: String,
    /// The daemon's version.
    pub version: String,
    /// Octets that each worker holds until they are read; what does not fit is lost, and counted.
    pub buffer: u64,
}
