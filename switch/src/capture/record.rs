//! What is told of frames at one point of their way, and the octets that carry it to whoever asked.
//!
//! A stream is [`Message`]s one behind the other, all numbers little endian:
//!
//! | octets | what |
//! |---|---|
//! | 4 | the octets of the message behind this number |
//! | 1 | its kind: 1 = [`Point`] and its name, 2 = [`Record`], 3 = [`Point`], and how many frames it lost so far |
//! | rest | by kind |
//!
//! Workers write records to a ring, in the same form but with times since the capture began.

use std::net::{IpAddr, Ipv6Addr};

use encap::{PortId, Vni};

use crate::counters::{Direction, DropReason};

/// The most octets of a message: the largest datagram, its made-up headers and what is told of it.
pub const MAX_MESSAGE: usize = 66 << 10;
/// The most runs of ids that one record names; a write to a port can hold frames of that many messages.
pub const MAX_RUNS: usize = 8;

/// Where a frame is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Point {
    /// A port of this node.
    Port(PortId),
    /// A peer, by the address that it is known by. Of a head, any address of the underlay.
    Peer(IpAddr),
    /// The underlay, for datagrams of those who are no peers.
    Strangers,
    /// Gossip, sealed as it is sent.
    Gossip,
}

/// Frames with consecutive ids. An id is given to each wire frame when it comes in: worker and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The first.
    pub first: u64,
    /// How many.
    pub count: u32,
}

/// What was decided about a frame that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: this is a frame that leaves, or a datagram that holds none.
    None,
    /// It goes to all ports of its network that are here.
    ToPorts,
    /// It goes to one port.
    ToPort(PortId),
    /// It goes to the underlay, to the peer with this address.
    ToPeer(IpAddr),
    /// Several copies go to ports and peers, or would have.
    Flooded {
        /// Copies to ports.
        ports: u16,
        /// Copies to peers.
        peers: u16,
        /// Copies that were dropped.
        dropped: u16,
    },
    /// It was answered here.
    Answered,
}

impl Decision {
    /// The one point that a frame goes to, if it is one.
    #[must_use]
    pub const fn point(self) -> Option<Point> {
        match self {
            Self::ToPort(port) => Some(Point::Port(port)),
            Self::ToPeer(peer) => Some(Point::Peer(peer)),
            _ => None,
        }
    }
}

/// Frames at one point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When: nanoseconds since 1970.
    pub at: u64,
    /// Where.
    pub point: Point,
    /// Inbound: it came from the point; outbound: it went there.
    pub direction: Flow,
    /// Which frames these are; the octets are of the first. One run at least.
    pub ids: Runs,
    /// The octets of each frame but the last, which may be shorter, where they stand for themselves; 0 = the octets below are
    /// those of one super-frame that holds them all.
    pub size: u32,
    /// The network; `None` = not known.
    pub vni: Option<Vni>,
    /// Nanoseconds since it came in; `None` for one that comes in.
    pub inside: Option<u32>,
    /// Where it goes.
    pub decision: Decision,
    /// Why it, or the last of its copies that were, was dropped.
    pub dropped: Option<(DropReason, Direction)>,
    /// What of the first frame belongs to the underlay: octets before the inner frame. 0 at ports.
    pub outer: u16,
    /// The octets of the first frame, or of the super-frame, before they were cut.
    pub len: u32,
    /// Its first octets.
    pub octets: &'a [u8],
}

/// Whether a frame comes from a point or goes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// From the point into weft.
    In,
    /// From weft to the point.
    Out,
}

/// Up to [`MAX_RUNS`] runs of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runs {
    runs: [Ids; MAX_RUNS],
    len: u8,
    /// Frames that belong to further runs.
    more: u32,
}

impl Default for Runs {
    fn default() -> Self {
        Self { runs: [Ids { first: 0, count: 0 }; MAX_RUNS], len: 0, more: 0 }
    }
}

impl From<Ids> for Runs {
    fn from(ids: Ids) -> Self {
        let mut runs = Self::default();
        runs.push(ids);
        runs
    }
}

impl Runs {
    /// Adds frames; those that follow the last ones join their run.
    pub fn push(&mut self, ids: Ids) {
        let len = usize::from(self.len);
        if let Some(last) = self.runs[..len].last_mut()
            && last.first + u64::from(last.count) == ids.first
        {
            last.count += ids.count;
        } else if let Some(free) = self.runs.get_mut(len) {
            *free = ids;
            self.len += 1;
        } else {
            self.more += ids.count;
        }
    }

    /// The runs that there was room for.
    #[must_use]
    pub fn runs(&self) -> &[Ids] {
        &self.runs[..usize::from(self.len)]
    }

    /// The id of the first frame.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.runs[0].first
    }

    /// All wire frames.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.runs().iter().map(|run| u64::from(run.count)).sum::<u64>() + u64::from(self.more)
    }
}

/// One message of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A point that records name from here on.
    Name {
        /// The point.
        point: Point,
        /// `port:web`, `peer:node-b`, `gossip`, `strangers`.
        name: &'a str,
        /// What it is, for a person.
        description: &'a str,
    },
    /// Frames.
    Record(Record<'a>),
    /// Wire frames that nobody took in time.
    Lost {
        /// Where they were seen.
        point: Point,
        /// How many so far.
        frames: u64,
    },
}

/// Octets that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream of the capture is broken: are the command and the daemon of one version?")]
pub struct Broken;

const NAME: u8 = 1;
const RECORD: u8 = 2;
const LOST: u8 = 3;

impl Message<'_> {
    /// Adds the octets of this message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        match self {
            Message::Name { point, name, description } => {
                out.extend_from_slice(&[0, 0, 0, 0, NAME]);
                encode_point(*point, out);
                for text in [name, description] {
                    let text = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
                    #[allow(clippy::cast_possible_truncation)] // just cut
                    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
                    out.extend_from_slice(text);
                }
            }
            Message::Record(record) => {
                record.encode_head(record.octets.len(), out);
                out.extend_from_slice(record.octets);
                return;
            }
            Message::Lost { point, frames } => {
                out.extend_from_slice(&[0, 0, 0, 0, LOST]);
                encode_point(*point, out);
                out.extend_from_slice(&frames.to_le_bytes());
            }
        }
        set_len(out, start, 0);
    }

    /// How many of these octets are whole messages.
    #[must_use]
    pub fn whole(octets: &[u8]) -> usize {
        let mut at = 0;
        while let Some(len) = octets.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
            let end = at + 4 + u32::from_le_bytes(*len) as usize;
            if end > octets.len() {
                break;
            }
            at = end;
        }
        at
    }
}

impl<'a> Message<'a> {
    /// The first message of some octets, and how many it takes; `None` = it is not there whole.
    ///
    /// # Errors
    ///
    /// [`Broken`]: these octets are no message.
    pub fn decode(octets: &'a [u8]) -> Result<Option<(Self, usize)>, Broken> {
        let Some(&len) = octets.first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_le_bytes(len) as usize;
        if len == 0 || len > MAX_MESSAGE {
            return Err(Broken);
        }
        let Some(body) = octets.get(4..4 + len) else { return Ok(None) };
        let mut read = Reader(body);
        let message = match read.u8()? {
            NAME => {
                let point = read.point()?;
                Message::Name { point, name: read.text()?, description: read.text()? }
            }
            RECORD => Message::Record(Record::decode(&mut read)?),
            LOST => Message::Lost { point: read.point()?, frames: read.u64()? },
            _ => return Err(Broken),
        };
        if read.0.is_empty() { Ok(Some((message, 4 + len))) } else { Err(Broken) }
    }
}

/// What stands for "none" where a number is sent.
const NO_NUMBER: u32 = u32::MAX;

/// Sets the length of the message that begins at `start`; `more` octets follow what is there.
fn set_len(out: &mut [u8], start: usize, more: usize) {
    #[allow(clippy::cast_possible_truncation)] // names and frames are short
    let len = (out.len() - start - 4 + more) as u32;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
}

impl<'a> Record<'a> {
    /// Adds the octets of the message that tells this record, but for those of the frame, of which there are so many.
    pub(super) fn encode_head(&self, octets: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0, 0, 0, 0, RECORD]);
        out.extend_from_slice(&self.at.to_le_bytes());
        encode_point(self.point, out);
        out.push(match self.direction {
            Flow::In => 0,
            Flow::Out => 1,
        });
        out.push(self.ids.len);
        for run in self.ids.runs() {
            out.extend_from_slice(&run.first.to_le_bytes());
            out.extend_from_slice(&run.count.to_le_bytes());
        }
        out.extend_from_slice(&self.ids.more.to_le_bytes());
        out.extend_from_slice(&self.size.to_le_bytes());
        out.extend_from_slice(&self.vni.map_or(NO_NUMBER, Vni::get).to_le_bytes());
        out.extend_from_slice(&self.inside.unwrap_or(NO_NUMBER).to_le_bytes());
        encode_decision(self.decision, out);
        let (reason, direction) = match self.dropped {
            None => (u8::MAX, 0),
            #[allow(clippy::cast_possible_truncation)] // there are fewer than 255 reasons
            Some((reason, direction)) => (reason as u8, direction as u8),
        };
        out.extend_from_slice(&[reason, direction]);
        out.extend_from_slice(&self.outer.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        set_len(out, start, octets);
    }

    fn decode(read: &mut Reader<'a>) -> Result<Self, Broken> {
        let (at, point) = (read.u64()?, read.point()?);
        let direction = match read.u8()? {
            0 => Flow::In,
            1 => Flow::Out,
            _ => return Err(Broken),
        };
        let mut ids = Runs { len: read.u8()?, ..Runs::default() };
        for run in ids.runs.get_mut(..usize::from(ids.len)).ok_or(Broken)? {
            *run = Ids { first: read.u64()?, count: read.u32()? };
        }
        ids.more = read.u32()?;
        let size = read.u32()?;
        let vni = Some(read.u32()?).filter(|vni| *vni != NO_NUMBER);
        let vni = vni.map(Vni::new).transpose().map_err(|_| Broken)?;
        let inside = Some(read.u32()?).filter(|inside| *inside != NO_NUMBER);
        let decision = read.decision()?;
        let (reason, direction_of_drop) = (read.u8()?, read.u8()?);
        let dropped = match (reason, direction_of_drop) {
            (u8::MAX, _) => None,
            (reason, 0) => {
                Some((*DropReason::ALL.get(usize::from(reason)).ok_or(Broken)?, Direction::Inbound))
            }
            (reason, 1) => {
                Some((*DropReason::ALL.get(usize::from(reason)).ok_or(Broken)?, Direction::Outbound))
            }
            _ => return Err(Broken),
        };
        let (outer, len) = (read.u16()?, read.u32()?);
        let octets = std::mem::take(&mut read.0);
        Ok(Self { at, point, direction, ids, size, vni, inside, decision, dropped, outer, len, octets })
    }
}

/// An address as 16 octets, IPv4 as an IPv6 address that stands for it.
fn encode_ip(ip: IpAddr, out: &mut Vec<u8>) {
    let v6 = match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    out.extend_from_slice(&v6.octets());
}

fn encode_point(point: Point, out: &mut Vec<u8>) {
    match point {
        Point::Port(port) => {
            out.push(0);
            out.extend_from_slice(&port.get().to_le_bytes());
        }
        Point::Peer(ip) => {
            out.push(1);
            encode_ip(ip, out);
        }
        Point::Strangers => out.push(2),
        Point::Gossip => out.push(3),
    }
}

fn encode_decision(decision: Decision, out: &mut Vec<u8>) {
    match decision {
        Decision::None => out.push(0),
        Decision::ToPorts => out.push(1),
        Decision::ToPort(port) => {
            out.push(2);
            out.extend_from_slice(&port.get().to_le_bytes());
        }
        Decision::ToPeer(ip) => {
            out.push(3);
            encode_ip(ip, out);
        }
        Decision::Flooded { ports, peers, dropped } => {
            out.push(4);
            [ports, peers, dropped].iter().for_each(|copies| out.extend_from_slice(&copies.to_le_bytes()));
        }
        Decision::Answered => out.push(5),
    }
}

/// Reads numbers off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Broken)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, Broken> {
        self.take::<1>().map(|[octet]| octet)
    }

    fn u16(&mut self) -> Result<u16, Broken> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Broken> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Broken> {
        self.take().map(u64::from_le_bytes)
    }

    fn ip(&mut self) -> Result<IpAddr, Broken> {
        let v6 = Ipv6Addr::from(self.take::<16>()?);
        Ok(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4))
    }

    fn text(&mut self) -> Result<&'a str, Broken> {
        let len = usize::from(self.u16()?);
        let (text, rest) = self.0.split_at_checked(len).ok_or(Broken)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| Broken)
    }

    fn point(&mut self) -> Result<Point, Broken> {
        Ok(match self.u8()? {
            0 => Point::Port(PortId::new(self.u32()?)),
            1 => Point::Peer(self.ip()?),
            2 => Point::Strangers,
            3 => Point::Gossip,
            _ => return Err(Broken),
        })
    }

    fn decision(&mut self) -> Result<Decision, Broken> {
        Ok(match self.u8()? {
            0 => Decision::None,
            1 => Decision::ToPorts,
            2 => Decision::ToPort(PortId::new(self.u32()?)),
            3 => Decision::ToPeer(self.ip()?),
            4 => Decision::Flooded { ports: self.u16()?, peers: self.u16()?, dropped: self.u16()? },
            5 => Decision::Answered,
            _ => return Err(Broken),
        })
    }
}

#[cfg(test)]
mod tests;
