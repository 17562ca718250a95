//! What a copy of the identity says: three lines and their checksum.
//!
//! ```text
//! weft identity 1
//! node 00112233445566778899aabbccddeeff
//! epoch 7
//! crc32c 12345678
//! ```

use std::io;
use std::path::Path;

use fdb::gossip::identity::{Epoch, NodeId};

use crate::io::file;

/// The version of the text, with what it is.
const HEAD: &str = "weft identity 1";

/// More than any identity has: 16 + 38 + 27 + 16 octets at most.
const MAX_OCTETS: usize = 128;

/// A node and its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) node: NodeId,
    pub(super) epoch: Epoch,
}

/// Why a copy of the identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// There is none.
    #[error("does not exist")]
    Missing,
    /// It cannot be read.
    #[error("cannot be read ({0})")]
    Read(io::Error),
    /// It is empty, as a file system may leave a file after a power cut.
    #[error("is empty")]
    Empty,
    /// It is not what was written.
    #[error("is damaged (it is not as long as it was, or its checksum does not fit)")]
    Damaged,
    /// Another version of weft wrote it.
    #[error("was written by a newer version of weft")]
    Version,
}

impl Record {
    /// Reads a file.
    pub(super) fn load(path: &Path) -> Result<Self, Flaw> {
        match file::read(path, MAX_OCTETS) {
            Ok(contents) if !contents.metadata.is_file() => {
                Err(Flaw::Read(io::Error::other("not a regular file")))
            }
            Ok(contents) => Self::decode(&contents.octets),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Flaw::Missing),
            Err(error) => Err(Flaw::Read(error)),
        }
    }

    /// The text of a file.
    pub(super) fn encode(self) -> String {
        let body = format!("{HEAD}\nnode {}\nepoch {}\n", self.node, self.epoch);
        format!("{body}crc32c {:08x}\n", crc32c(body.as_bytes()))
    }

    pub(super) fn decode(octets: &[u8]) -> Result<Self, Flaw> {
        if octets.is_empty() {
            return Err(Flaw::Empty);
        }
        let text = str::from_utf8(octets).map_err(|_| Flaw::Damaged)?;
        // The one text that says this: nothing is missing, and nothing stands beside it.
        let record = Self::read(text).filter(|record| record.encode() == text);
        record.ok_or_else(|| if is_newer(text) { Flaw::Version } else { Flaw::Damaged })
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.strip_prefix(HEAD)?.lines().skip(1);
        let node = lines.next()?.strip_prefix("node ")?;
        let epoch = lines.next()?.strip_prefix("epoch ")?;
        let node = NodeId::new(u128::from_str_radix(node, 16).ok()?);
        Some(Self { node, epoch: Epoch::new(epoch.parse().ok()?) })
    }
}

/// Whether a later version made this: its head says so, and its checksum fits.
fn is_newer(text: &str) -> bool {
    let Some((body, sum)) = text.rsplit_once("crc32c ") else { return false };
    let head = body.lines().next().unwrap_or_default();
    head != HEAD && head.starts_with("weft identity ") && sum == format!("{:08x}\n", crc32c(body.as_bytes()))
}

/// CRC-32C ([RFC 9260, appendix A](https://www.rfc-editor.org/rfc/rfc9260#appendix-A)), bit by bit: it is a hundred octets.
fn crc32c(octets: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 };
    !octets.iter().fold(!0, |sum, octet| (0..8).fold(sum ^ u32::from(*octet), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record { node: NodeId::new(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff), epoch: Epoch::new(7) }
    }

    #[test]
    fn the_checksum_is_crc32c() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        for epoch in [1, 7, u64::MAX] {
            let record = Record { epoch: Epoch::new(epoch), ..record() };
            let text = record.encode();
            assert!(text.len() <= MAX_OCTETS, "{}", text.len());
            assert_eq!(Record::decode(text.as_bytes()).unwrap(), record);
        }
        let text = record().encode();
        assert!(
            text.starts_with("weft identity 1\nnode 00112233445566778899aabbccddeeff\nepoch 7\ncrc32c "),
            "{text}"
        );
    }

    #[test]
    fn a_text_that_is_cut_anywhere_or_longer_is_no_identity() {
        let text = record().encode();
        for end in 0..text.len() {
            let flaw = Record::decode(&text.as_bytes()[..end]).unwrap_err();
            let empty = end == 0;
            assert_eq!(matches!(flaw, Flaw::Empty), empty, "{end}: {flaw}");
            assert!(empty || matches!(flaw, Flaw::Damaged), "{end}: {flaw}");
        }
        assert!(matches!(Record::decode(format!("{text}\n").as_bytes()), Err(Flaw::Damaged)));
        assert!(matches!(Record::decode(format!("{text}{text}").as_bytes()), Err(Flaw::Damaged)));
    }

    #[test]
    fn no_bit_can_flip_unnoticed() {
        let text = record().encode().into_bytes();
        for bit in 0..text.len() * 8 {
            let mut wrong = text.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(Record::decode(&wrong), Err(Flaw::Damaged)), "bit {bit}");
        }
    }

    #[test]
    fn another_way_to_write_the_same_is_not_taken() {
        let sealed = |body: &str| format!("{body}crc32c {:08x}\n", crc32c(body.as_bytes()));
        let node = "node 00112233445566778899aabbccddeeff";
        assert!(Record::decode(sealed(&format!("{HEAD}\n{node}\nepoch 7\n")).as_bytes()).is_ok());
        for body in [
            format!("{HEAD}\n{node}\nepoch +7\n"),
            format!("{HEAD}\n{node}\nepoch 07\n"),
            format!("{HEAD}\n{node}\n\nepoch 7\n"),
            format!("{HEAD}\nnode 7\nepoch 7\n"),
            format!("{HEAD}\n{}\nepoch 7\n", node.to_uppercase()),
            format!("{HEAD}\n{node}\nepoch 18446744073709551616\n"),
        ] {
            assert!(matches!(Record::decode(sealed(&body).as_bytes()), Err(Flaw::Damaged)), "{body}");
        }
    }

    #[test]
    fn a_newer_version_is_called_so() {
        let body = "weft identity 2\nwhatever\n";
        let text = format!("{body}crc32c {:08x}\n", crc32c(body.as_bytes()));
        assert!(matches!(Record::decode(text.as_bytes()), Err(Flaw::Version)));
        assert!(matches!(Record::decode(body.as_bytes()), Err(Flaw::Damaged)));
    }
}
