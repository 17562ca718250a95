//! The one place where octets are encrypted: ChaCha20-Poly1305 ([RFC 8439](https://www.rfc-editor.org/rfc/rfc8439)) under
//! keys derived by HKDF-SHA256 ([RFC 5869](https://www.rfc-editor.org/rfc/rfc5869)), or nothing but a checksum.

use blake2::{Blake2s256, Digest};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::keys::{KEY_OCTETS, Key};

/// Octets at the end of what is sealed.
pub(super) const TAG_OCTETS: usize = 16;

/// Seals and opens with one derived key. Who seals never uses a counter twice.
pub(super) enum Cipher {
    Sealed(ChaCha20Poly1305),
    /// Insecure mode: the octets as they are, and a tag that only finds accidents.
    Plain,
}

impl Cipher {
    /// The cipher of a purpose, which `salt` and `info` name; without a key the plain one.
    pub(super) fn derive(key: Option<&Key>, salt: Option<&[u8]>, info: &[&[u8]]) -> Self {
        let Some(key) = key else { return Self::Plain };
        let mut derived = Zeroizing::new([0; KEY_OCTETS]);
        Hkdf::<Sha256>::new(salt, key.octets())
            .expand_multi_info(info, derived.as_mut())
            .unwrap_or_else(|_| unreachable!("HKDF gives up to 8,160 octets"));
        Self::Sealed(ChaCha20Poly1305::new((&*derived).into()))
    }

    /// Seals what is in `buffer` from `start` on, and appends the tag; `aad` is protected and not in it.
    pub(super) fn seal(&self, counter: u64, aad: &[u8], buffer: &mut Vec<u8>, start: usize) {
        let plain = &mut buffer[start..];
        let tag = match self {
            Self::Sealed(aead) => aead
                .encrypt_inout_detached(&nonce(counter), aad, plain.into())
                .unwrap_or_else(|_| unreachable!("what is sealed is far below 256 GiB"))
                .into(),
            Self::Plain => checksum(counter, aad, plain),
        };
        buffer.extend_from_slice(&tag);
    }

    /// Opens octets that end with a tag; `None` when anything is not as it was sealed.
    pub(super) fn open(&self, counter: u64, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (body, tag) = sealed.split_last_chunk::<TAG_OCTETS>()?;
        let mut plain = body.to_vec();
        match self {
            Self::Sealed(aead) => aead
                .decrypt_inout_detached(&nonce(counter), aad, plain.as_mut_slice().into(), &Tag::from(*tag))
                .ok()?,
            Self::Plain if checksum(counter, aad, body) == *tag => {}
            Self::Plain => return None,
        }
        Some(plain)
    }
}

fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    nonce.into()
}

fn checksum(counter: u64, aad: &[u8], plain: &[u8]) -> [u8; TAG_OCTETS] {
    let lengths = [counter, aad.len() as u64].map(u64::to_be_bytes).concat();
    let hash = Blake2s256::new().chain_update(lengths).chain_update(aad).chain_update(plain).finalize();
    let mut tag = [0; TAG_OCTETS];
    tag.copy_from_slice(&hash[..TAG_OCTETS]);
    tag
}
