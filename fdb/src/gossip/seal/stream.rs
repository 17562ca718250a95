//! The seal of a stream (TCP): a hello each way, then records in order.
//!
//! ```text
//!  caller                                                       callee
//!  1. hello: who, salt, proof of the key  ────────────────────>
//!                      <────────────────────  2. hello: who, salt, proof that the first was read
//!  3. confirm: an empty record, proof that the second was read ─>
//!  record 0.. ─────────────────────────────>
//!                      <───────────────────────────── record 0..
//! ```
//!
//! A hello is the 40 octets that a datagram also begins with, a salt of 16 and a tag of 16. A record is
//! `kind 1 | length 2 | ciphertext | tag 16`; `length` counts the plain octets, up to [`MAX_RECORD`]. Each direction has a key
//! of its own out of the cluster's key, both processes and both salts, and a counter for a nonce; so a record that is lost,
//! repeated, out of order, reflected or of another stream does not open. The last record says so: a stream that ends
//! without it was cut.
//!
//! A recorded first hello gets an answer, which holds no payload; the confirm is what cannot be recorded. Whoever
//! listens limits how many streams wait for it.

mod hello;
#[cfg(test)]
mod tests;

pub use self::hello::{CONFIRM_OCTETS, Callee, Caller, HELLO_OCTETS};
use super::Process;
use super::cipher::{Cipher, TAG_OCTETS};

/// Plain octets of a record at most.
pub const MAX_RECORD: usize = 16_384;

/// Octets of a record before its ciphertext.
const HEAD_OCTETS: usize = 3;

/// Octets of a record at most: room for as many is all that a reader needs.
pub const MAX_RECORD_OCTETS: usize = HEAD_OCTETS + MAX_RECORD + TAG_OCTETS;

/// The kinds of a record.
const DATA: u8 = 0;
const LAST: u8 = 1;

/// Both directions of a stream whose ends have proved that they have the key.
///
/// # Examples
///
/// ```
/// use fdb::gossip::identity::{BootId, NodeId};
/// use fdb::gossip::seal::stream::{Callee, Caller, Progress};
/// use fdb::gossip::seal::{Mode, Process};
/// # #[derive(Clone)] struct Dice(u64);
/// # impl rand_core::TryRng for Dice {
/// #     type Error = std::convert::Infallible;
/// #     fn try_next_u32(&mut self) -> Result<u32, Self::Error> { self.0 += 1; Ok(self.0 as u32) }
/// #     fn try_next_u64(&mut self) -> Result<u64, Self::Error> { self.0 += 1; Ok(self.0) }
/// #     fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Self::Error> { dst.fill(7); Ok(()) }
/// # }
/// # impl rand_core::TryCryptoRng for Dice {}
/// # let (mut rng, mode) = (Dice(0), Mode::Insecure);
/// let [a, b] = [1, 2].map(|n| Process { node: NodeId::new(n), boot: BootId::new(n) });
/// let (caller, hello) = Caller::new(a, &mode, &mut rng);
/// let (callee, hello) = Callee::new(b, &mode, &hello, &mut rng)?;
/// let (mut here, confirm) = caller.finish(&mode, &hello)?;
/// let mut there = callee.finish(&confirm)?;
/// assert_eq!((here.peer, there.peer), (b, a));
///
/// let (mut wire, mut payload) = (Vec::new(), Vec::new());
/// there.sealer.seal(b"roster", &mut wire)?;
/// assert_eq!(here.opener.open(&wire, &mut payload)?, Progress::Record { taken: wire.len() });
/// assert_eq!(payload, b"roster");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Stream {
    /// Who is at the other end.
    pub peer: Process,
    /// What this end sends.
    pub sealer: StreamSealer,
    /// What it receives.
    pub opener: StreamOpener,
}

/// Why a stream is of no use any more: close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum StreamError {
    /// A record above the limit.
    #[error("a record of {octets} octets is above {MAX_RECORD}: the other end has a fault")]
    TooLong {
        /// Its plain octets.
        octets: usize,
    },
    /// A record of a kind that this version does not know.
    #[error("a record of kind {kind} means nothing in this version: the other end has a fault")]
    UnknownKind {
        /// The kind.
        kind: u8,
    },
    /// A record that is not the next one as it was sealed.
    #[error("the seal of a record is wrong: it was changed, or is not the next one; connect again")]
    BadTag,
    /// Octets after the last record.
    #[error("there are octets after the last record: the other end has a fault")]
    AfterEnd,
    /// The stream failed, or its last record was sent, before.
    #[error("the stream has ended or failed before: connect again")]
    Closed,
    /// The stream ended without its last record.
    #[error("the stream was cut before its last record: what came is not all; connect again")]
    Cut,
}

/// Seals one direction of a stream.
pub struct StreamSealer {
    cipher: Cipher,
    /// The number of the next record; `None` = the last was sealed.
    next: Option<u64>,
}

impl StreamSealer {
    fn new(cipher: Cipher) -> Self {
        Self { cipher, next: Some(0) }
    }

    /// Appends `payload` to `out`, in as many records as it takes; an empty one makes one.
    ///
    /// # Errors
    ///
    /// [`StreamError::Closed`] after the last record; nothing is appended then.
    pub fn seal(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), StreamError> {
        let (first, rest) = payload.split_at(payload.len().min(MAX_RECORD));
        self.record(DATA, first, out)?;
        rest.chunks(MAX_RECORD).try_for_each(|part| self.record(DATA, part, out))
    }

    /// Appends the last record to `out`.
    ///
    /// # Errors
    ///
    /// [`StreamError::Closed`] when it was sealed already; nothing is appended then.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), StreamError> {
        self.record(LAST, &[], out)?;
        self.next = None;
        Ok(())
    }

    fn record(&mut self, kind: u8, payload: &[u8], out: &mut Vec<u8>) -> Result<(), StreamError> {
        let counter = self.next.ok_or(StreamError::Closed)?;
        let octets = payload.len();
        let length = u16::try_from(octets).map_err(|_| StreamError::TooLong { octets })?;
        let [high, low] = length.to_be_bytes();
        let head = [kind, high, low];
        out.reserve(HEAD_OCTETS + octets + TAG_OCTETS);
        out.extend_from_slice(&head);
        let start = out.len();
        out.extend_from_slice(payload);
        self.cipher.seal(counter, &head, out, start);
        self.next = counter.checked_add(1);
        Ok(())
    }
}

/// What the octets at hand led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// They are no whole record yet: so many octets are needed in all, up to [`MAX_RECORD_OCTETS`].
    Wait {
        /// Octets, those at hand included.
        needed: usize,
    },
    /// A record was opened.
    Record {
        /// Its octets, which are not to be given again.
        taken: usize,
    },
    /// The last record was there.
    End {
        /// Its octets.
        taken: usize,
    },
}

/// Opens one direction of a stream.
pub struct StreamOpener {
    cipher: Cipher,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The number of the next record.
    Next(u64),
    Ended,
    Failed,
}

impl StreamOpener {
    fn new(cipher: Cipher) -> Self {
        Self { cipher, state: State::Next(0) }
    }

    /// Opens the record at the beginning of `input`, if all of it is there, and appends what is in it to `out`.
    ///
    /// # Errors
    ///
    /// [`StreamError`]; nothing is appended then, and everything later is refused too.
    pub fn open(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Progress, StreamError> {
        let progress = self.try_open(input, out);
        if progress.is_err() {
            self.state = State::Failed;
        }
        progress
    }

    fn try_open(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Progress, StreamError> {
        let counter = match self.state {
            State::Next(counter) => counter,
            State::Ended if input.is_empty() => return Ok(Progress::End { taken: 0 }),
            State::Ended => return Err(StreamError::AfterEnd),
            State::Failed => return Err(StreamError::Closed),
        };
        let Some((head, rest)) = input.split_first_chunk::<HEAD_OCTETS>() else {
            return Ok(Progress::Wait { needed: HEAD_OCTETS });
        };
        let [kind, high, low] = *head;
        let octets = usize::from(u16::from_be_bytes([high, low]));
        if octets > MAX_RECORD || (kind == LAST && octets > 0) {
            return Err(StreamError::TooLong { octets });
        }
        if kind != DATA && kind != LAST {
            return Err(StreamError::UnknownKind { kind });
        }
        let taken = HEAD_OCTETS + octets + TAG_OCTETS;
        let Some(sealed) = rest.get(..octets + TAG_OCTETS) else {
            return Ok(Progress::Wait { needed: taken });
        };
        let plain = self.cipher.open(counter, head, sealed).ok_or(StreamError::BadTag)?;
        if kind == LAST {
            self.state = State::Ended;
            return Ok(Progress::End { taken });
        }
        out.extend_from_slice(&plain);
        self.state = counter.checked_add(1).map_or(State::Failed, State::Next);
        Ok(Progress::Record { taken })
    }

    /// To be asked when nothing more comes: whether the stream was whole.
    ///
    /// # Errors
    ///
    /// [`StreamError::Cut`] without a last record, and [`StreamError::Closed`] after a failure.
    pub fn end(&self) -> Result<(), StreamError> {
        match self.state {
            State::Ended => Ok(()),
            State::Next(_) => Err(StreamError::Cut),
            State::Failed => Err(StreamError::Closed),
        }
    }
}

impl std::fmt::Debug for StreamSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamSealer").field("next", &self.next).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for StreamOpener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamOpener").field("state", &self.state).finish_non_exhaustive()
    }
}
