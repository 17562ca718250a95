//! Octets of messages and records as they are read: bounds of their numbers, and why they are none.

use thiserror::Error;

use super::record::RecordError;
use crate::gossip::identity::Epoch;

/// The largest number or epoch: none can be made to overflow by a message.
pub(super) const MAX_NUMBER: u64 = Epoch::MAX.get();
/// The largest sequence number: the one after it, where a stream goes on, can be written too.
pub(super) const MAX_SEQ: u64 = MAX_NUMBER - 1;

/// Why octets are no message. Nothing was changed by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// It ends early.
    #[error("replication message is cut short at octet {at}: dropped; the sender repeats what is missing")]
    Truncated {
        /// Where the next octet should be.
        at: usize,
    },
    /// It goes on after its end.
    #[error("replication message has {left} octets after its end: dropped; the sender is at fault")]
    Trailing {
        /// How many.
        left: usize,
    },
    /// It is of a version that this node cannot read.
    #[error(
        "replication message of major version {major}, this node reads {ours}: refused; upgrade this node"
    )]
    Version {
        /// The sender's.
        major: u8,
        /// This node's.
        ours: u8,
    },
    /// It is of a kind that this node does not know, of the same major version.
    #[error("replication message of unknown kind {kind}: ignored; a newer node sent it")]
    Kind {
        /// The octet that says it.
        kind: u8,
    },
    /// A number, a length or an order is not allowed.
    #[error("replication message with a wrong {what}: dropped; the sender is at fault")]
    Value {
        /// What is wrong.
        what: &'static str,
    },
    /// A record of a known kind is none.
    #[error("replication message with a bad record: {0}")]
    Record(#[from] RecordError),
}

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(octets: &'a [u8]) -> Self {
        Self { octets, at: 0 }
    }

    pub(super) const fn left(&self) -> usize {
        self.octets.len() - self.at
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let rest = self.octets.get(self.at..).unwrap_or_default();
        let taken = rest.get(..len).ok_or(WireError::Truncated { at: self.octets.len() })?;
        self.at += len;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, WireError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(super) fn u128(&mut self) -> Result<u128, WireError> {
        Ok(u128::from_be_bytes(self.array()?))
    }

    /// A number up to [`MAX_NUMBER`], in as few octets as it needs.
    pub(super) fn varint(&mut self) -> Result<u64, WireError> {
        let mut n = 0;
        for shift in (0..63).step_by(7) {
            let octet = self.u8()?;
            n |= u64::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                let shortest = octet != 0 || shift == 0;
                return if shortest && n <= MAX_NUMBER { Ok(n) } else { Err(NUMBER) };
            }
        }
        Err(NUMBER)
    }

    pub(super) const fn end(&self) -> Result<(), WireError> {
        match self.left() {
            0 => Ok(()),
            left => Err(WireError::Trailing { left }),
        }
    }
}

const NUMBER: WireError = WireError::Value { what: "number" };
