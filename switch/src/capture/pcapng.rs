//! Writes pcapng files ([draft-ietf-opsawg-pcapng]), which Wireshark and tcpdump open.
//!
//! All interfaces have the link type Ethernet and one snap length, without which libpcap refuses a file. Numbers are little
//! endian, times have nanoseconds. Each block is written in one go, so a file that ends between two writes is a valid one.
//!
//! ```text
//!  | section | interface 0 | interface 1 | packet of 1 | packet of 0 | ... | statistics of 0 | statistics of 1 |
//! ```
//!
//! [draft-ietf-opsawg-pcapng]: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html

use std::io::{self, Write};
use std::time::Duration;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const ETHERNET: u16 = 1;
/// Options: their numbers are those of the block they are in.
const END: u16 = 0;
const COMMENT: u16 = 1;
const SECTION_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_DESCRIPTION: u16 = 3;
const INTERFACE_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;
const PACKET_ID: u16 = 5;
const STATISTICS_RECEIVED: u16 = 4;
const STATISTICS_DROPPED: u16 = 5;

/// How many octets of a packet are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapLen(u32);

/// A number that is no snap length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a snap length of {given} octets is not possible: give one from 1 to {}", SnapLen::MAX.0)]
pub struct BadSnapLen {
    given: u32,
}

impl SnapLen {
    /// The most that libpcap takes, and more than any packet here has.
    pub const MAX: Self = Self(262_144);

    /// So many octets.
    ///
    /// # Errors
    ///
    /// 0, or more than [`SnapLen::MAX`].
    pub const fn new(octets: u32) -> Result<Self, BadSnapLen> {
        match octets {
            1..=262_144 => Ok(Self(octets)),
            given => Err(BadSnapLen { given }),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// What is kept of a packet.
    #[must_use]
    pub fn of(self, octets: &[u8]) -> &[u8] {
        &octets[..octets.len().min(self.0 as usize)]
    }
}

/// An interface of the file at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceId(u32);

/// The way a packet went at its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It came in there.
    In,
    /// It left there.
    Out,
}

/// One packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Where it was seen.
    pub interface: InterfaceId,
    /// When, since 1970.
    pub time: Duration,
    /// What there is of it; more than the snap length is left out.
    pub octets: &'a [u8],
    /// Its octets on the wire.
    pub len: usize,
    /// The way it went; `None` = it is not known.
    pub way: Option<Way>,
    /// A number that packets have in common which are one frame seen at several interfaces.
    pub id: Option<u64>,
    /// What is known beyond its octets, one comment each.
    pub comments: &'a [&'a str],
}

/// Writes one file.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use weft::capture::pcapng::{Packet, SnapLen, Way, Writer};
///
/// let mut file = Writer::new(Vec::new(), SnapLen::MAX, "weft")?;
/// let port = file.interface("port:web", "the port web")?;
/// file.packet(&Packet {
///     interface: port,
///     time: Duration::from_secs(1),
///     octets: &[0; 60],
///     len: 60,
///     way: Some(Way::In),
///     id: None,
///     comments: &["a frame of zeros"],
/// })?;
/// assert_eq!(file.finish()?[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    snap: SnapLen,
    interfaces: u32,
    block: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a file; `application` is who wrote it.
    ///
    /// # Errors
    ///
    /// What writing says; so with all methods.
    pub fn new(out: W, snap: SnapLen, application: &str) -> io::Result<Self> {
        let mut file = Self { out, snap, interfaces: 0, block: Vec::with_capacity(2048) };
        file.write(SECTION, |block| {
            block.word(BYTE_ORDER);
            // Version 1.0; how long the section is, nobody knows yet.
            block.half(1);
            block.half(0);
            block.long(u64::MAX);
            block.option(SECTION_APPLICATION, application.as_bytes());
        })?;
        Ok(file)
    }

    /// Adds an interface; packets may be between two of these.
    pub fn interface(&mut self, name: &str, description: &str) -> io::Result<InterfaceId> {
        let (id, snap) = (InterfaceId(self.interfaces), self.snap);
        self.write(INTERFACE, |block| {
            block.half(ETHERNET);
            block.half(0);
            block.word(snap.get());
            block.option(INTERFACE_NAME, name.as_bytes());
            block.option(INTERFACE_DESCRIPTION, description.as_bytes());
            // In units of 10^-9 seconds.
            block.option(INTERFACE_RESOLUTION, &[9]);
        })?;
        self.interfaces += 1;
        Ok(id)
    }

    /// Appends a packet.
    pub fn packet(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let octets = self.snap.of(packet.octets);
        self.write(PACKET, |block| {
            block.word(packet.interface.0);
            block.time(packet.time);
            block.count(octets.len());
            block.count(packet.len.max(octets.len()));
            block.padded(octets);
            for comment in packet.comments {
                block.option(COMMENT, comment.as_bytes());
            }
            if let Some(way) = packet.way {
                let flags: u32 = if way == Way::In { 1 } else { 2 };
                block.option(PACKET_FLAGS, &flags.to_le_bytes());
            }
            if let Some(id) = packet.id {
                block.option(PACKET_ID, &id.to_le_bytes());
            }
        })
    }

    /// Says at `time` how many packets an interface saw, and how many of these found no room on their way to the file.
    pub fn statistics(
        &mut self,
        interface: InterfaceId,
        time: Duration,
        (seen, lost): (u64, u64),
    ) -> io::Result<()> {
        self.write(STATISTICS, |block| {
            block.word(interface.0);
            block.time(time);
            block.option(STATISTICS_RECEIVED, &seen.to_le_bytes());
            block.option(STATISTICS_DROPPED, &lost.to_le_bytes());
        })
    }

    /// Hands on what lies in a buffer.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// What was written to, flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn write(&mut self, kind: u32, fill: impl FnOnce(&mut Block<'_>)) -> io::Result<()> {
        self.block.clear();
        let mut block = Block(&mut self.block);
        block.word(kind);
        // The length, known only at the end.
        block.word(0);
        fill(&mut block);
        block.option(END, &[]);
        let len = self.block.len() + 4;
        let len = u32::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?.to_le_bytes();
        self.block[4..8].copy_from_slice(&len);
        self.block.extend_from_slice(&len);
        self.out.write_all(&self.block)
    }
}

/// A block that is being filled; everything in it begins at a multiple of 4.
struct Block<'a>(&'a mut Vec<u8>);

impl Block<'_> {
    fn half(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn word(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn long(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn count(&mut self, octets: usize) {
        self.word(u32::try_from(octets).unwrap_or(u32::MAX));
    }

    /// The upper half stands first.
    fn time(&mut self, since_1970: Duration) {
        let nanoseconds = u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX);
        let [a, b, c, d, upper @ ..] = nanoseconds.to_le_bytes();
        self.0.extend_from_slice(&upper);
        self.0.extend_from_slice(&[a, b, c, d]);
    }

    fn padded(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// Text that is longer than an option can be is cut.
    fn option(&mut self, code: u16, value: &[u8]) {
        let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.half(code);
        self.half(len);
        self.padded(&value[..usize::from(len)]);
    }
}

#[cfg(test)]
mod tests;
