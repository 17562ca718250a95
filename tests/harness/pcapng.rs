//! Reads what `weft capture -w` writes: pcapng in which every packet has an id, a direction and a comment.

use std::path::Path;

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The name of its interface.
    pub point: String,
    /// Whether it came in there.
    pub inbound: bool,
    /// What there is of it.
    pub octets: Vec<u8>,
    /// Its octets on the wire.
    pub len: usize,
    /// Its number: that of its first frame.
    pub id: u64,
    /// What is known of it beyond that.
    pub comment: String,
}

impl Packet {
    /// The ids of its frames, inclusive: those of its comment.
    #[must_use]
    pub fn ids(&self) -> Vec<(u64, u64)> {
        let runs = self.comment.find('#').map_or("", |at| &self.comment[at..]);
        let run = |text: &str| {
            let (worker, numbers) = text.strip_prefix('#')?.split_once('.')?;
            let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
            let id = |number: &str| Some((worker.parse::<u64>().ok()? << 48) + number.parse::<u64>().ok()?);
            Some((id(first)?, id(last)?))
        };
        runs.split(',').filter_map(run).collect()
    }

    /// Whether it stands for the frame with this id.
    #[must_use]
    pub fn has(&self, id: u64) -> bool {
        self.ids().iter().any(|(first, last)| (*first..=*last).contains(&id))
    }

    /// The frame of a pod in it, if there is one; datagrams of peers are VXLAN.
    #[must_use]
    pub fn frame(&self) -> Option<&[u8]> {
        match self.point.split_once(':') {
            Some(("port", _)) => Some(&self.octets),
            Some(("peer", _)) => {
                let tunnel = if self.octets.get(12..14)? == [0x86, 0xdd] { 62 } else { 42 };
                (*self.octets.get(tunnel)? == 8).then(|| self.octets.get(tunnel + 8..))?
            }
            _ => None,
        }
    }
}

/// Reads a file of one section, little endian.
///
/// # Panics
///
/// When it is not whole, or a packet has no id, no way or no comment.
#[must_use]
#[track_caller]
pub fn read(path: &Path) -> Vec<Packet> {
    let file = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let word =
        |octets: &[u8], at: usize| u32::from_le_bytes(octets[at..at + 4].try_into().expect("4 octets"));
    let (mut points, mut packets, mut rest) = (Vec::new(), Vec::new(), file.as_slice());
    while !rest.is_empty() {
        let len = word(rest, 4) as usize;
        let (block, behind) = rest.split_at(len);
        match word(block, 0) {
            1 => points.push(String::from_utf8(option(&block[16..], 2).expect("a name")).expect("UTF-8")),
            6 => {
                let kept = word(block, 20) as usize;
                let options = &block[28 + kept.next_multiple_of(4)..];
                packets.push(Packet {
                    point: points[word(block, 8) as usize].clone(),
                    inbound: option(options, 2).expect("flags")[0] & 3 == 1,
                    octets: block[28..28 + kept].to_vec(),
                    len: word(block, 24) as usize,
                    id: u64::from_le_bytes(option(options, 5).expect("an id").try_into().expect("8 octets")),
                    comment: String::from_utf8(option(options, 1).expect("a comment")).expect("UTF-8"),
                });
            }
            _ => {}
        }
        rest = behind;
    }
    packets
}

/// The value of an option of a block.
fn option(mut options: &[u8], code: u16) -> Option<Vec<u8>> {
    loop {
        let [c, l] = [0, 2].map(|at| u16::from_le_bytes([options[at], options[at + 1]]));
        let len = usize::from(l);
        match c {
            0 => return None,
            c if c == code => return Some(options[4..4 + len].to_vec()),
            _ => options = &options[4 + len.next_multiple_of(4)..],
        }
    }
}
