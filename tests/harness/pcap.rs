//! Reads classic pcap files: both byte orders, times in microseconds or nanoseconds. Not pcapng.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Link type of Ethernet frames.
pub const ETHERNET: u32 = 1;

const FILE_HEADER_LEN: usize = 24;

/// A capture file in memory.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The link type of all packets, such as [`ETHERNET`].
    pub link_type: u32,
    /// The packets in the order of the file.
    pub packets: Vec<Packet>,
}

/// One captured packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When it was captured, since 1970.
    pub time: Duration,
    /// Its octets on the wire; more than `octets` when the capture cut it short.
    pub wire_len: usize,
    /// What was captured of it.
    pub octets: Vec<u8>,
}

/// Reads a whole file.
///
/// # Errors
///
/// A file that cannot be read, is no classic pcap, or ends inside a packet.
pub fn read(path: &Path) -> Result<Capture> {
    let file = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&file).with_context(|| format!("{} is not a whole pcap file", path.display()))
}

/// Reads the octets of a file.
///
/// # Errors
///
/// As [`read`].
pub fn parse(file: &[u8]) -> Result<Capture> {
    let (header, mut rest) =
        file.split_at_checked(FILE_HEADER_LEN).context("it ends inside the file header")?;
    let magic: [u8; 4] = header[..4].try_into()?;
    let (order, tick): (fn([u8; 4]) -> u32, Duration) = match magic {
        [0xa1, 0xb2, 0xc3, 0xd4] => (u32::from_be_bytes, Duration::from_micros(1)),
        [0xd4, 0xc3, 0xb2, 0xa1] => (u32::from_le_bytes, Duration::from_micros(1)),
        [0xa1, 0xb2, 0x3c, 0x4d] => (u32::from_be_bytes, Duration::from_nanos(1)),
        [0x4d, 0x3c, 0xb2, 0xa1] => (u32::from_le_bytes, Duration::from_nanos(1)),
        _ => bail!("magic number {magic:02x?}"),
    };
    // The upper bits tell the length of an FCS.
    let link_type = order(header[20..24].try_into()?) & 0xffff;
    let mut packets = Vec::new();
    while let Some((record, behind)) = rest.split_first_chunk::<16>() {
        let field = |at: usize| order([record[at], record[at + 1], record[at + 2], record[at + 3]]);
        let time = Duration::from_secs(field(0).into()) + tick * field(4);
        let (octets, behind) =
            behind.split_at_checked(field(8) as usize).context("it ends inside a packet")?;
        packets.push(Packet { time, wire_len: field(12) as usize, octets: octets.to_vec() });
        rest = behind;
    }
    if !rest.is_empty() {
        bail!("{} octets behind the last packet", rest.len());
    }
    Ok(Capture { link_type, packets })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(magic: u32, words: fn(u32) -> [u8; 4]) -> Vec<u8> {
        let header = [magic, 0x0002_0004, 0, 0, 65535, 0x3000_0001];
        let record = [7, 5, 3, 60];
        let mut file: Vec<u8> = header.into_iter().chain(record).flat_map(words).collect();
        file.extend_from_slice(b"abc");
        file
    }

    #[test]
    fn both_orders_and_both_resolutions_are_read() {
        for (magic, nanos) in [(0xa1b2_c3d4, 5000), (0xa1b2_3c4d, 5)] {
            for order in [u32::to_be_bytes, u32::to_le_bytes] {
                let capture = parse(&file(magic, order)).unwrap();
                let packet = Packet { time: Duration::new(7, nanos), wire_len: 60, octets: b"abc".to_vec() };
                assert_eq!((capture.link_type, capture.packets), (ETHERNET, vec![packet]));
            }
        }
    }

    #[test]
    fn a_file_cut_short_or_of_another_kind_is_an_error() {
        let whole = file(0xa1b2_c3d4, u32::to_be_bytes);
        for len in (0..24).chain(25..whole.len()) {
            assert!(parse(&whole[..len]).is_err(), "{len} octets");
        }
        assert!(parse(&file(0x0a0d_0d0a, u32::to_be_bytes)).is_err());
    }
}
