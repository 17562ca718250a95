//! From a worker to whoever writes the capture down: a ring of octets that never makes the worker wait.
//!
//! ```text
//!   worker --Writer::write--> ring (bounded) --Reader::take--> a thread of its own --> the client
//!                  full: the frames are counted as lost
//! ```

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use encap::PortId;
use rtrb::{Consumer, Producer, RingBuffer};

use super::program::Program;
use super::record::{Message, Point, Record};

/// What somebody wants to see.
#[derive(Debug)]
pub struct Wanted {
    /// Where.
    pub at: At,
    /// Only frames that pass this.
    pub inner: Option<Program>,
    /// Only datagrams that pass this, and nothing at ports.
    pub outer: Option<Program>,
    /// The octets that are kept of a frame, at most.
    pub snap: usize,
    /// Only what is dropped.
    pub drops: bool,
    /// When the capture began: records tell nanoseconds since then.
    pub began: Instant,
}

/// Which points somebody wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// All.
    Any,
    /// One port.
    Port(PortId),
    /// The peer that is known by this address.
    Peer(IpAddr),
}

impl At {
    /// Whether a point is one of these.
    #[must_use]
    pub fn is(self, point: Point) -> bool {
        match (self, point) {
            (Self::Any, _) => true,
            (Self::Port(wanted), Point::Port(port)) => wanted == port,
            (Self::Peer(wanted), Point::Peer(peer)) => wanted == peer,
            _ => false,
        }
    }
}

impl Wanted {
    /// Whether these octets of a frame of `len` octets are wanted at a point; the inner frame starts at `inner`. At ports
    /// that is 0.
    #[must_use]
    pub fn wants(&self, point: Point, octets: &[u8], inner: usize, len: usize) -> bool {
        let is_outer = !matches!(point, Point::Port(_));
        let behind = octets.get(inner..).unwrap_or_default();
        self.at.is(point)
            && self.inner.as_ref().is_none_or(|filter| filter.matches(behind, len.saturating_sub(inner)))
            && self.outer.as_ref().is_none_or(|filter| is_outer && filter.matches(octets, len))
    }

    /// Whether octets are looked at.
    #[must_use]
    pub const fn filters(&self) -> bool {
        self.inner.is_some() || self.outer.is_some()
    }
}

/// The worker's end.
#[derive(Debug)]
pub struct Writer {
    /// What is wanted of it.
    pub wanted: Arc<Wanted>,
    ring: Producer<u8>,
    lost: Arc<AtomicU64>,
}

/// The other end.
#[derive(Debug)]
pub struct Reader {
    ring: Consumer<u8>,
    lost: Arc<AtomicU64>,
}

/// A ring that holds so many octets.
#[must_use]
pub fn ring(wanted: &Arc<Wanted>, octets: usize) -> (Writer, Reader) {
    let (producer, consumer) = RingBuffer::new(octets);
    let lost = Arc::new(AtomicU64::new(0));
    let writer = Writer { wanted: Arc::clone(wanted), ring: producer, lost: Arc::clone(&lost) };
    (writer, Reader { ring: consumer, lost })
}

impl Writer {
    /// Writes a record, cut to the wanted octets; when there is no room, its frames are counted as lost. `scratch` is
    /// memory.
    ///
    /// # Cost
    ///
    /// Two copies of the wanted octets; no allocation once `scratch` has grown.
    pub fn write(&mut self, record: &Record<'_>, scratch: &mut Vec<u8>) {
        let snap = record.octets.len().min(self.wanted.snap);
        let record = Record { octets: &record.octets[..snap], ..*record };
        scratch.clear();
        Message::Record(record).encode(scratch);
        if self.ring.push_entire_slice(scratch).is_err() {
            self.lost.fetch_add(record.ids.frames(), Ordering::Relaxed);
        }
    }

    /// Whether nobody reads any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ring.is_abandoned()
    }
}

impl Reader {
    /// Adds what is there to `out`, whole messages, and says how many octets; at most about `most`.
    pub fn take(&mut self, out: &mut Vec<u8>, most: usize) -> usize {
        let start = out.len();
        while out.len() - start < most {
            let Ok(len) = self.peek_len() else { break };
            let Ok(chunk) = self.ring.read_chunk(len) else { break };
            let (first, second) = chunk.as_slices();
            out.extend_from_slice(first);
            out.extend_from_slice(second);
            chunk.commit_all();
        }
        out.len() - start
    }

    /// The octets of the next message, its length included.
    fn peek_len(&mut self) -> Result<usize, rtrb::chunks::ChunkError> {
        let chunk = self.ring.read_chunk(4)?;
        let (first, second) = chunk.as_slices();
        let mut len = [0; 4];
        first.iter().chain(second).zip(&mut len).for_each(|(octet, to)| *to = *octet);
        Ok(4 + u32::from_le_bytes(len) as usize)
    }

    /// Wire frames that were lost so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether nobody writes any more; what is in the ring is still there.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ring.is_abandoned()
    }
}

#[cfg(test)]
mod tests;
