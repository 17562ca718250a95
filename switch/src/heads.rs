//! The first octets of what was dropped last, a few for each reason: what a person looks at when a counter rises.

use std::time::Instant;

use encap::Format;

use crate::capture::record::Point;
use crate::counters::{Direction, DropReason};

/// How many are kept of each reason.
pub const KEPT: usize = 32;
/// How many octets are kept of each: all headers, of the tunnel too.
pub const OCTETS: usize = 128;

/// Frames that were dropped in one go, and the beginning of the first.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// When.
    pub at: Instant,
    /// The way that they went.
    pub direction: Direction,
    /// The port or the address of the underlay from which they came, or which did not take them.
    pub point: Point,
    /// By which tunnel: the octets are those of a datagram; `None` = of a frame.
    pub tunnel: Option<Format>,
    /// How many wire frames there were.
    pub frames: u64,
    /// The octets of the first on the wire, of which the first [`OCTETS`] are kept.
    pub len: usize,
    octets: [u8; OCTETS],
}

impl Head {
    /// The head of so many dropped frames: `octets` is all of the first, or of its datagram.
    #[must_use]
    pub fn new(
        at: Instant,
        direction: Direction,
        (point, tunnel): (Point, Option<Format>),
        (frames, octets): (u64, &[u8]),
    ) -> Self {
        let mut kept = [0; OCTETS];
        let len = octets.len().min(OCTETS);
        kept[..len].copy_from_slice(&octets[..len]);
        Self { at, direction, point, tunnel, frames, len: octets.len(), octets: kept }
    }

    /// What is kept of the octets.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets[..self.len.min(OCTETS)]
    }
}

/// The last [`KEPT`] heads of each reason, of one worker.
///
/// # Examples
///
/// ```
/// use std::net::IpAddr;
///
/// use encap::Format;
/// use weft::capture::record::Point;
/// use weft::clock;
/// use weft::counters::{Direction, DropReason};
/// use weft::heads::{Head, Heads};
///
/// let mut heads = Heads::default();
/// let stranger = (Point::Peer(IpAddr::from([192, 0, 2, 9])), Some(Format::Vxlan));
/// heads.note(DropReason::UnknownPeer, Head::new(clock::now(), Direction::Inbound, stranger, (1, &[0; 200])));
/// let kept = heads.of(DropReason::UnknownPeer);
/// assert_eq!((kept.len(), kept[0].len, kept[0].octets().len()), (1, 200, 128));
/// ```
#[derive(Debug)]
pub struct Heads(Vec<Ring>);

#[derive(Debug)]
struct Ring {
    heads: Vec<Head>,
    /// The place of the oldest, once all are taken.
    oldest: usize,
}

impl Default for Heads {
    /// With the memory for all that it ever keeps.
    fn default() -> Self {
        Self(DropReason::ALL.iter().map(|_| Ring { heads: Vec::with_capacity(KEPT), oldest: 0 }).collect())
    }
}

impl Heads {
    /// Keeps one more; the oldest of the reason makes way.
    ///
    /// # Cost
    ///
    /// A copy of about 200 octets; no allocation.
    pub fn note(&mut self, reason: DropReason, head: Head) {
        let ring = &mut self.0[reason as usize];
        if ring.heads.len() < KEPT {
            ring.heads.push(head);
        } else {
            ring.heads[ring.oldest] = head;
            ring.oldest = (ring.oldest + 1) % KEPT;
        }
    }

    /// What is kept of a reason, oldest first.
    #[must_use]
    pub fn of(&self, reason: DropReason) -> Vec<Head> {
        let ring = &self.0[reason as usize];
        let (newer, older) = ring.heads.split_at(ring.oldest);
        [older, newer].concat()
    }
}

/// What workers tell of what was dropped last.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The last [`KEPT`] of all who answered, oldest first.
    pub heads: Vec<Head>,
    /// How many workers did not answer: what they dropped is missing.
    pub silent: usize,
}

/// The last [`KEPT`] of those of several workers, oldest first.
#[must_use]
pub fn last(mut heads: Vec<Head>) -> Vec<Head> {
    heads.sort_by_key(|head| head.at);
    heads.split_off(heads.len().saturating_sub(KEPT))
}

#[cfg(test)]
mod tests;
