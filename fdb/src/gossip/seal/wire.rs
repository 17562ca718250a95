//! What lies where: the head of a datagram, and what the head of a stream's hello shares with it.
//!
//! ```text
//!  0       2        3      4       8        24       40
//! | magic | version | flags | key id | node   | boot   | counter 8 (datagram) or salt 16 (hello)
//! ```
//!
//! All of it is in the clear and protected by the tag.

use super::refusal::Refusal;
use super::{BootId, KeyId, NodeId, VERSION};
use crate::gossip::seal::cipher::TAG_OCTETS;

/// What a datagram begins with.
pub(super) const DATAGRAM: [u8; 2] = *b"WG";
/// What a hello begins with.
pub(super) const HELLO: [u8; 2] = *b"WH";

/// The flag of insecure mode.
const INSECURE: u8 = 1;

/// Octets of a [`Prefix`].
pub(super) const PREFIX_OCTETS: usize = 40;
/// Octets of a datagram before what is sealed.
pub(super) const HEADER_OCTETS: usize = PREFIX_OCTETS + 8;

/// Who speaks, and with which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    /// `None` = insecure.
    pub(super) key: Option<KeyId>,
    pub(super) node: NodeId,
    pub(super) boot: BootId,
}

impl Prefix {
    pub(super) fn encode(&self, magic: [u8; 2]) -> [u8; PREFIX_OCTETS] {
        let mut octets = [0; PREFIX_OCTETS];
        octets[..2].copy_from_slice(&magic);
        octets[2] = VERSION;
        octets[3] = if self.key.is_none() { INSECURE } else { 0 };
        octets[4..8].copy_from_slice(&self.key.unwrap_or(KeyId::NONE).octets());
        octets[8..24].copy_from_slice(&self.node.get().to_be_bytes());
        octets[24..].copy_from_slice(&self.boot.get().to_be_bytes());
        octets
    }

    pub(super) fn decode(octets: &[u8; PREFIX_OCTETS], magic: [u8; 2]) -> Result<Self, Refusal> {
        let [m0, m1, version, flags, k0, k1, k2, k3, ids @ ..] = octets;
        if [*m0, *m1] != magic || *version < VERSION {
            return Err(Refusal::NotOurs);
        }
        if *version > VERSION {
            return Err(Refusal::HigherVersion { version: *version });
        }
        let id = KeyId::new([*k0, *k1, *k2, *k3]);
        let key = match *flags {
            0 => Some(id),
            INSECURE if id == KeyId::NONE => None,
            INSECURE => return Err(Refusal::UnknownKey { id }),
            flags => return Err(Refusal::UnknownFlags { flags }),
        };
        let (node, boot) = ids.split_at(16);
        let number = |octets: &[u8]| octets.iter().fold(0, |number, octet| number << 8 | u128::from(*octet));
        Ok(Self { key, node: NodeId::new(number(node)), boot: BootId::new(number(boot)) })
    }
}

/// A datagram, taken apart.
#[derive(Debug)]
pub(super) struct Datagram<'a> {
    pub(super) prefix: Prefix,
    pub(super) counter: u64,
    pub(super) header: &'a [u8; HEADER_OCTETS],
    /// Ciphertext and tag.
    pub(super) sealed: &'a [u8],
}

pub(super) fn encode_header(prefix: &Prefix, counter: u64) -> [u8; HEADER_OCTETS] {
    let mut octets = [0; HEADER_OCTETS];
    octets[..PREFIX_OCTETS].copy_from_slice(&prefix.encode(DATAGRAM));
    octets[PREFIX_OCTETS..].copy_from_slice(&counter.to_be_bytes());
    octets
}

/// Reads a datagram that has `most` octets at most.
pub(super) fn decode(octets: &[u8], most: usize) -> Result<Datagram<'_>, Refusal> {
    let short = Refusal::Truncated { octets: octets.len() };
    if octets.len() > most {
        return Err(Refusal::TooLong { octets: octets.len(), most });
    }
    // What something else sends is not called cut, however short it is.
    if octets.first_chunk().is_some_and(|magic| *magic != DATAGRAM) {
        return Err(Refusal::NotOurs);
    }
    let (header, sealed) = octets.split_first_chunk::<HEADER_OCTETS>().ok_or(short)?;
    let (prefix, counter) = header.split_first_chunk::<PREFIX_OCTETS>().ok_or(short)?;
    let prefix = Prefix::decode(prefix, DATAGRAM)?;
    let counter = u64::from_be_bytes(counter.try_into().map_err(|_| short)?);
    // At least the octet that says what it is.
    if sealed.len() <= TAG_OCTETS {
        return Err(short);
    }
    Ok(Datagram { prefix, counter, header, sealed })
}
