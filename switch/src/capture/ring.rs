//! From a worker to whoever writes the capture down: a ring of octets that never makes the worker wait.
//!
//! ```text
//!   worker --Writer::write--> ring (bounded) --Reader::take--> a thread of its own --> the client
//!                  full: the frames are counted as lost
//! ```
//!
//! Each frame that is wanted between [`Writer::begin`] and [`Reader::end`] is taken from the ring or counted as lost, once.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use encap::PortId;
use rtrb::{Consumer, Producer, RingBuffer};

use super::losses::Losses;
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
#[derive(Debug)]
pub enum At {
    /// All.
    Any,
    /// One port.
    Port(NamedPort),
    /// The peer that is known by this address.
    Peer(IpAddr),
}

impl At {
    /// Whether a point is one of these.
    #[must_use]
    pub fn is(&self, point: Point) -> bool {
        match (self, point) {
            (Self::Any, _) => true,
            (Self::Port(wanted), Point::Port(port)) => wanted.id.load(Ordering::Relaxed) == port.get(),
            (Self::Peer(wanted), Point::Peer(peer)) => *wanted == peer,
            _ => false,
        }
    }

    /// Looks a port up by its name, if one is wanted; one that is not there may come again.
    pub fn look_up(&self, id_of: impl FnOnce(&str) -> Option<PortId>) {
        if let Self::Port(wanted) = self
            && let Some(id) = id_of(&wanted.name)
        {
            wanted.id.store(id.get(), Ordering::Relaxed);
        }
    }
}

/// A port that keeps its name when it is opened again, with another id.
#[derive(Debug)]
pub struct NamedPort {
    name: String,
    id: AtomicU32,
}

impl NamedPort {
    /// One that has this id at present.
    #[must_use]
    pub fn new(name: &str, id: PortId) -> Self {
        Self { name: name.to_owned(), id: AtomicU32::new(id.get()) }
    }
}

impl Wanted {
    /// Whether these octets of a frame of `len` octets are wanted at a point; the inner frame starts at `inner`. At ports
    /// that is 0. What holds no frame passes no filter of frames.
    #[must_use]
    pub fn wants(&self, point: Point, octets: &[u8], inner: usize, len: usize) -> bool {
        let is_outer = !matches!(point, Point::Port(_));
        let behind = octets.get(inner..).unwrap_or_default();
        self.at.is(point)
            && self.inner.as_ref().is_none_or(|filter| inner < len && filter.matches(behind, len - inner))
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
    shared: Arc<Shared>,
}

/// The other end.
#[derive(Debug)]
pub struct Reader {
    ring: Consumer<u8>,
    shared: Arc<Shared>,
}

/// What both ends know.
#[derive(Debug, Default)]
struct Shared {
    begun: AtomicBool,
    ended: AtomicBool,
    losses: Losses,
}

/// A ring that holds so many octets.
#[must_use]
pub fn ring(wanted: &Arc<Wanted>, octets: usize) -> (Writer, Reader) {
    let (producer, consumer) = RingBuffer::new(octets);
    let shared = Arc::<Shared>::default();
    let writer = Writer { wanted: Arc::clone(wanted), ring: producer, shared: Arc::clone(&shared) };
    (writer, Reader { ring: consumer, shared })
}

impl Writer {
    /// Says that from now on all that is wanted is written.
    pub fn begin(&self) {
        self.shared.begun.store(true, Ordering::Release);
    }

    /// Writes a record, cut to the wanted octets; when there is no room, its frames are counted as lost. `scratch` is
    /// memory.
    ///
    /// # Cost
    ///
    /// One copy of the wanted octets, two of what is told of them; no allocation once `scratch` has grown.
    pub fn write(&mut self, record: &Record<'_>, scratch: &mut Vec<u8>) {
        if self.shared.ended.load(Ordering::Relaxed) {
            return;
        }
        let octets = &record.octets[..record.octets.len().min(self.wanted.snap)];
        scratch.clear();
        record.encode_head(octets.len(), scratch);
        let fits = self.ring.slots() >= scratch.len() + octets.len();
        // The other end takes whole messages, so that it waits for the second half.
        if !fits
            || self.ring.push_entire_slice(scratch).is_err()
            || self.ring.push_entire_slice(octets).is_err()
        {
            self.shared.losses.add(record.point, record.ids.frames());
        }
    }

    /// Whether nobody wants more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.shared.ended.load(Ordering::Relaxed) || self.ring.is_abandoned()
    }
}

impl Reader {
    /// Whether all that is wanted is written by now, or nothing ever will be.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.shared.begun.load(Ordering::Acquire) || self.is_over()
    }

    /// Adds what is there to `out`, whole messages, and says how many octets; at most `most`, which is more than a message
    /// has.
    pub fn take(&mut self, out: &mut Vec<u8>, most: usize) -> usize {
        let start = out.len();
        let Ok(chunk) = self.ring.read_chunk(self.ring.slots().min(most)) else { return 0 };
        let (first, second) = chunk.as_slices();
        out.extend_from_slice(first);
        out.extend_from_slice(second);
        let whole = Message::whole(&out[start..]);
        out.truncate(start + whole);
        chunk.commit(whole);
        whole
    }

    /// Says that this is enough: what is written from now on is neither taken nor lost. What is in the ring is still there.
    pub fn end(&self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }

    /// The points where wire frames were lost, and how many so far.
    pub fn losses(&self) -> impl Iterator<Item = (Point, u64)> {
        self.shared.losses.each()
    }

    /// Whether nobody writes any more; what is in the ring is still there.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ring.is_abandoned()
    }
}

#[cfg(test)]
mod tests;
