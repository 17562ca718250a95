//! What an origin said with one number, in as few octets as that takes: there are a hundred thousand of them.

use std::fmt;

use twox_hash::XxHash3_128;

/// A MAC address in a network with an IPv4 address needs 18.
const SHORT: usize = 21;

/// A key and its value, or its tombstone.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Item(Octets);

/// The octets of the key, its kind included, then those of the value.
#[derive(Clone, PartialEq, Eq)]
enum Octets {
    /// Zeros after `len`, so that equal ones are equal.
    Short {
        key_len: u8,
        live: bool,
        len: u8,
        octets: [u8; SHORT - 1],
    },
    Long {
        key_len: u8,
        live: bool,
        octets: Box<[u8]>,
    },
}

const _: () = assert!(size_of::<Item>() == 24, "an item is three words");

impl Item {
    /// An item; without a value it is a tombstone.
    pub(super) fn new(key: &[u8], value: Option<&[u8]>) -> Self {
        let (key_len, live) = (u8::try_from(key.len()).unwrap_or(u8::MAX), value.is_some());
        let value = value.unwrap_or_default();
        let len = key.len() + value.len();
        Self(match u8::try_from(len) {
            Ok(len) if usize::from(len) < SHORT => {
                let mut octets = [0; SHORT - 1];
                octets[..key.len()].copy_from_slice(key);
                octets[key.len()..len.into()].copy_from_slice(value);
                Octets::Short { key_len, live, len, octets }
            }
            _ => Octets::Long { key_len, live, octets: [key, value].concat().into() },
        })
    }

    pub(super) fn key(&self) -> &[u8] {
        self.split().0
    }

    /// `None` for a tombstone.
    pub(super) fn value(&self) -> Option<&[u8]> {
        self.is_live().then(|| self.split().1)
    }

    pub(super) const fn is_live(&self) -> bool {
        match self.0 {
            Octets::Short { live, .. } | Octets::Long { live, .. } => live,
        }
    }

    /// Octets of key and value.
    pub(super) fn len(&self) -> usize {
        self.octets().len()
    }

    /// Its share of the digest of a stream.
    pub(super) fn hash(&self, seq: u64) -> u128 {
        let (head, octets) = (seq.to_be_bytes(), self.octets());
        let key_len = u8::try_from(self.key().len()).unwrap_or(u8::MAX);
        let mut short = [0; 9 + SHORT];
        short[..8].copy_from_slice(&head);
        short[8] = key_len;
        match short.get_mut(9..9 + octets.len()) {
            Some(rest) => {
                rest.copy_from_slice(octets);
                XxHash3_128::oneshot(&short[..9 + octets.len()])
            }
            None => XxHash3_128::oneshot(&[&head[..], &[key_len], octets].concat()),
        }
    }

    fn octets(&self) -> &[u8] {
        match &self.0 {
            Octets::Short { len, octets, .. } => octets.get(..usize::from(*len)).unwrap_or(octets),
            Octets::Long { octets, .. } => octets,
        }
    }

    fn split(&self) -> (&[u8], &[u8]) {
        let (Octets::Short { key_len, .. } | Octets::Long { key_len, .. }) = self.0;
        self.octets().split_at_checked(key_len.into()).unwrap_or((self.octets(), &[]))
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Item").field(&self.key()).field(&self.value()).finish()
    }
}
