//! Why a datagram or the hello of a stream is not taken.

use super::{KeyId, VERSION};

/// Why a datagram or a hello was dropped. Nothing is to be sent then; and unless its seal was right, nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// It ends too early.
    #[error("{octets} octets are too few: it was cut on the way, or is not gossip of weft")]
    Truncated {
        /// Its length.
        octets: usize,
    },
    /// It is longer than any that weft sends.
    #[error("{octets} octets are more than {most}: it is not gossip of weft")]
    TooLong {
        /// Its length.
        octets: usize,
        /// What a datagram of its kind may have.
        most: usize,
    },
    /// It begins with something else.
    #[error("it does not begin like gossip of weft: something else sends to this port")]
    NotOurs,
    /// It is of a later major version.
    #[error("it is of version {version}, and this node speaks {VERSION} only: upgrade this node")]
    HigherVersion {
        /// The version.
        version: u8,
    },
    /// It has flags that this version does not know.
    #[error(
        "its flags 0x{flags:02x} mean nothing in version {VERSION}: it is damaged, or the sender is not weft"
    )]
    UnknownFlags {
        /// The flags.
        flags: u8,
    },
    /// It has no seal, and this node has keys.
    #[error(
        "the sender runs without keys (insecure) and this node has some: give it this cluster's key file"
    )]
    Insecure,
    /// It is sealed, and this node has no keys.
    #[error("it is sealed and this node runs without keys (insecure): give this node the cluster's key file")]
    Sealed,
    /// It is sealed with a key that this node does not have.
    #[error(
        "it is sealed with key {id}, which is not installed here: install it, or it is another cluster's"
    )]
    UnknownKey {
        /// The key.
        id: KeyId,
    },
    /// It is not as it was sealed.
    #[error("its seal is wrong: it was changed on the way, or made by somebody without the key")]
    BadTag,
    /// It is one of this very process.
    #[error("this process sent it: it came back, so take this node's own address out of the join list")]
    Own,
    /// It was there before.
    #[error("it was received before: a duplicate, or a replay by somebody")]
    Replay,
    /// It is too far behind the latest one of its sender.
    #[error("it is 1024 or more behind the latest of its sender: it was late, or is a replay by somebody")]
    TooOld,
    /// Its sender's process was followed by another one of the same node.
    #[error("its node has started anew since: it was late, is a replay, or two nodes have one identity")]
    Retired,
    /// Its sender is not one of those that are to be heard.
    #[error("its sender is not known here yet, or no more: it is dropped; the sender tries again")]
    Stranger,
    /// One of its sender is waiting already.
    #[error("its sender has not yet answered the challenge: it is dropped, as one waits already")]
    Challenged,
    /// Too many strangers are waiting.
    #[error("too many unknown senders wait for their challenge: they send again, or somebody replays")]
    WaitingFull,
    /// There is no room for another node.
    #[error("this node knows as many nodes as it can: let nodes that are gone be forgotten")]
    NodesFull,
    /// An answer that nobody waits for.
    #[error("it answers no challenge of this node: it came late, or is a replay")]
    StrayAnswer,
    /// What was sealed is nothing that this version knows.
    #[error(
        "it is sealed rightly, but is of kind {kind}, which this version does not know: upgrade this node"
    )]
    UnknownKind {
        /// The first octet.
        kind: u8,
    },
    /// It wants an answer, and this process can seal no more.
    #[error("this process has used all its counters and cannot answer: start it again")]
    Exhausted,
    /// What was sealed is cut, or too long for what it is.
    #[error("it is sealed rightly, but what is in it has the wrong length: its sender has a fault")]
    Malformed,
}

impl Refusal {
    names! {{
        Self::Truncated { .. } => "truncated",
        Self::TooLong { .. } => "too_long",
        Self::NotOurs => "not_ours",
        Self::HigherVersion { .. } => "higher_version",
        Self::UnknownFlags { .. } => "unknown_flags",
        Self::Insecure => "insecure",
        Self::Sealed => "sealed",
        Self::UnknownKey { .. } => "unknown_key",
        Self::BadTag => "bad_tag",
        Self::Own => "own",
        Self::Replay => "replay",
        Self::TooOld => "too_old",
        Self::Retired => "retired",
        Self::Stranger => "stranger",
        Self::Challenged => "challenged",
        Self::WaitingFull => "waiting_full",
        Self::NodesFull => "nodes_full",
        Self::StrayAnswer => "stray_answer",
        Self::UnknownKind { .. } => "unknown_kind",
        Self::Exhausted => "exhausted",
        Self::Malformed => "malformed",
    }}
}
