//! The sending side: one counter, one derived key.

use super::cipher::{Cipher, TAG_OCTETS};
use super::wire::{HEADER_OCTETS, Prefix, encode_header};
use super::{Mode, Process, Purpose};

/// The cipher of all datagrams of one process of a node for one purpose, under one cluster key.
pub(super) fn cipher(purpose: Purpose, mode: &Mode, prefix: &Prefix) -> Result<Cipher, super::Refusal> {
    let key = mode.key(prefix.key)?;
    let ids = [prefix.node.get(), prefix.boot.get()].map(u128::to_be_bytes);
    Ok(Cipher::derive(key, None, &[purpose.info(), &ids[0], &ids[1]]))
}

/// Seals what this process sends.
pub(super) struct Sealer {
    purpose: Purpose,
    prefix: Prefix,
    cipher: Cipher,
    /// The number of the next datagram; `None` = all were used. It goes on when the key changes.
    pub(super) next: Option<u64>,
}

impl Sealer {
    pub(super) fn new(purpose: Purpose, me: Process, mode: &Mode) -> Self {
        let prefix = mode.prefix(me);
        Self { purpose, prefix, cipher: own_cipher(purpose, mode, &prefix), next: Some(0) }
    }

    /// Seals with the key that is in use now.
    pub(super) fn rekey(&mut self, me: Process, mode: &Mode) {
        self.prefix = mode.prefix(me);
        self.cipher = own_cipher(self.purpose, mode, &self.prefix);
    }

    /// Appends one datagram to `out`; `None` when the counter is used up, and nothing is appended.
    pub(super) fn seal(&mut self, kind: u8, payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let counter = self.next?;
        self.next = counter.checked_add(1);
        let header = encode_header(&self.prefix, counter);
        out.reserve(HEADER_OCTETS + 1 + payload.len() + TAG_OCTETS);
        out.extend_from_slice(&header);
        let start = out.len();
        out.push(kind);
        out.extend_from_slice(payload);
        self.cipher.seal(counter, &header, out, start);
        Some(())
    }
}

fn own_cipher(purpose: Purpose, mode: &Mode, prefix: &Prefix) -> Cipher {
    cipher(purpose, mode, prefix).unwrap_or_else(|_| unreachable!("the prefix names a key of this mode"))
}
