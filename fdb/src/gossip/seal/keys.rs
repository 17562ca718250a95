//! The keys of a cluster, and the text of the file that holds them.

#[cfg(test)]
mod tests;

use std::fmt::{self, Write as _};

use blake2::{Blake2s256, Digest};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// Octets of a key.
pub const KEY_OCTETS: usize = 32;

/// Keys that a ring holds at most: what seals, what is being installed, and what two careless rotations left.
pub const MAX_KEYS: usize = 4;

/// A secret that all nodes of a cluster share: 32 octets. It is overwritten when dropped, and `Debug` shows its
/// [`KeyId`] only.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<[u8; KEY_OCTETS]>);

impl Key {
    /// A key out of its octets.
    #[must_use]
    pub fn new(octets: [u8; KEY_OCTETS]) -> Self {
        Self(Zeroizing::new(octets))
    }

    /// A new key.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut octets = Zeroizing::new([0; KEY_OCTETS]);
        rng.fill_bytes(octets.as_mut());
        Self(octets)
    }

    /// The name of this key, which is no secret.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let hash = Blake2s256::new().chain_update(b"weft keyid").chain_update(self.octets()).finalize();
        let [a, b, c, d, ..] = hash.0;
        KeyId([a, b, c, d])
    }

    /// One line of a key file, without its end: 64 hex digits.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY_OCTETS));
        for octet in self.octets() {
            let _ = write!(text, "{octet:02x}"); // a string takes everything
        }
        text
    }

    pub(super) fn octets(&self) -> &[u8] {
        self.0.as_ref()
    }

    fn from_hex(digits: &str) -> Option<Self> {
        let digits = digits.as_bytes();
        if digits.len() != 2 * KEY_OCTETS {
            return None;
        }
        let mut octets = Zeroizing::new([0; KEY_OCTETS]);
        for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
            *octet = u8::try_from(high? << 4 | low?).ok()?;
        }
        Some(Self(octets))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id())
    }
}

/// The name of a key: the first 4 octets of BLAKE2s("weft keyid" || key).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 4]);

impl KeyId {
    /// What stands for a key where there is none (insecure mode).
    pub(super) const NONE: Self = Self([0; 4]);

    /// A name out of its octets, in the order of the wire.
    #[must_use]
    pub const fn new(octets: [u8; 4]) -> Self {
        Self(octets)
    }

    /// The octets in the order of the wire.
    #[must_use]
    pub const fn octets(self) -> [u8; 4] {
        self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// 1 to [`MAX_KEYS`] keys with different names. The first seals, all open.
///
/// A rotation that loses nothing: install the new key on every node, then use it on every node, then remove the old
/// one from every node.
///
/// # Examples
///
/// ```
/// use fdb::gossip::seal::{Key, KeyError, Keyring};
///
/// let (old, new) = (Key::new([1; 32]), Key::new([2; 32]));
/// let mut ring = Keyring::new(old.clone());
/// ring.install(new.clone())?;
/// assert_eq!(ring.remove(old.id()), Err(KeyError::InUse { id: old.id() }));
/// ring.use_key(new.id())?;
/// ring.remove(old.id())?;
/// assert_eq!(Keyring::parse(&ring.to_text()), Ok(ring));
/// # Ok::<(), KeyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyring {
    keys: Vec<(KeyId, Key)>,
}

impl Keyring {
    /// A ring of one key.
    #[must_use]
    pub fn new(key: Key) -> Self {
        Self { keys: vec![(key.id(), key)] }
    }

    /// The ring that the text of a key file says: one key a line as 64 hex digits, the one that seals first. `#` begins a
    /// comment, empty lines mean nothing.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`], which names the line and never shows a part of a key.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        let mut ring: Option<Self> = None;
        for (line, text) in (1..).zip(text.lines()) {
            let digits = text.split('#').next().unwrap_or_default().trim();
            if digits.is_empty() {
                continue;
            }
            let found = digits.chars().count();
            let key = Key::from_hex(digits).ok_or(KeyFileError::NotAKey { line, found })?;
            match &mut ring {
                None => ring = Some(Self::new(key)),
                Some(ring) => ring.install(key).map_err(|error| KeyFileError::Refused { line, error })?,
            }
        }
        ring.ok_or(KeyFileError::Empty)
    }

    /// The text of a key file with these keys.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        // Room for all of it at once: text that grows leaves copies of keys behind.
        let mut text = Zeroizing::new(String::with_capacity(self.keys.len() * (2 * KEY_OCTETS + 1)));
        for (_, key) in &self.keys {
            text.push_str(&key.to_hex());
            text.push('\n');
        }
        text
    }

    /// Adds a key that opens and does not seal.
    ///
    /// # Errors
    ///
    /// [`KeyError::Known`] for one that is there, or has the name of one; [`KeyError::Full`]. Nothing has changed then.
    pub fn install(&mut self, key: Key) -> Result<(), KeyError> {
        let id = key.id();
        if self.get(id).is_some() {
            return Err(KeyError::Known { id });
        }
        if self.keys.len() >= MAX_KEYS {
            return Err(KeyError::Full);
        }
        self.keys.push((id, key));
        Ok(())
    }

    /// Seals with an installed key from now on; the one that did so far goes on opening.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unknown`]. Nothing has changed then.
    pub fn use_key(&mut self, id: KeyId) -> Result<(), KeyError> {
        let place = self.place(id)?;
        self.keys[..=place].rotate_right(1);
        Ok(())
    }

    /// Forgets a key that does not seal.
    ///
    /// # Errors
    ///
    /// [`KeyError::InUse`] for the one that seals; [`KeyError::Unknown`]. Nothing has changed then.
    pub fn remove(&mut self, id: KeyId) -> Result<(), KeyError> {
        let place = self.place(id)?;
        if place == 0 {
            return Err(KeyError::InUse { id });
        }
        self.keys.remove(place);
        Ok(())
    }

    /// The name of the key that seals.
    #[must_use]
    pub fn in_use(&self) -> KeyId {
        self.keys[0].0
    }

    /// The key that seals.
    #[must_use]
    pub fn first(&self) -> &Key {
        &self.keys[0].1
    }

    /// The names of all keys, the one that seals first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(|(id, _)| *id)
    }

    pub(super) fn get(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|(known, _)| *known == id).map(|(_, key)| key)
    }

    fn place(&self, id: KeyId) -> Result<usize, KeyError> {
        self.ids().position(|known| known == id).ok_or(KeyError::Unknown { id })
    }
}

/// Why a ring of keys stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is there already.
    #[error("key {id} is installed already: nothing to do, or make another key")]
    Known {
        /// Its name.
        id: KeyId,
    },
    /// It is not there.
    #[error("there is no key {id} here: install it first, or name one that `weft key list` shows")]
    Unknown {
        /// The name.
        id: KeyId,
    },
    /// There are as many keys as there may be.
    #[error("there are 4 keys already, which is the most: remove one that no node seals with")]
    Full,
    /// It seals what this node sends.
    #[error("key {id} seals what this node sends: use another key on every node before you remove it")]
    InUse {
        /// Its name.
        id: KeyId,
    },
    /// Another node seals with it.
    #[error("node {node} still seals with key {id}: use another key there before you remove it here")]
    InUseBy {
        /// The key.
        id: KeyId,
        /// One of the nodes.
        node: super::NodeId,
    },
    /// There are no keys at all.
    #[error("gossip runs without keys (insecure): configure a key file first")]
    Insecure,
}

/// Why the text of a key file is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// A line is something else than a key.
    #[error(
        "line {line} is no key: it has {found} characters where 64 hex digits must be; `weft key new` makes one"
    )]
    NotAKey {
        /// The line, from 1.
        line: usize,
        /// Characters before a comment.
        found: usize,
    },
    /// A key that the ring does not take.
    #[error("line {line}: {error}")]
    Refused {
        /// The line, from 1.
        line: usize,
        /// Why.
        error: KeyError,
    },
    /// No key at all.
    #[error("the key file has no key: write one into it as 64 hex digits, for instance from `weft key new`")]
    Empty,
}
