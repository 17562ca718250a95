//! What threads other than workers write down: datagrams that hold no frame, of gossip and of the watch over paths.

use std::net::SocketAddr;
use std::time::Instant;

use super::outer;
use super::record::{Decision, Flow, Ids, Point, Record};
use super::ring::Writer;

/// Who captures, and the ids of one thread.
#[derive(Debug)]
pub struct Datagrams {
    writers: Vec<Writer>,
    next_id: u64,
    octets: Vec<u8>,
    scratch: Vec<u8>,
}

impl Datagrams {
    /// `thread` stands where ids name a worker; 65,535 is gossip, one less the watch over paths.
    #[must_use]
    pub const fn new(thread: u16) -> Self {
        Self { writers: Vec::new(), next_id: (thread as u64) << 48, octets: Vec::new(), scratch: Vec::new() }
    }

    /// Takes one more capture.
    pub fn begin(&mut self, writer: Writer) {
        self.tidy();
        writer.begin();
        self.writers.push(writer);
    }

    /// Whether anybody captures.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        !self.writers.is_empty()
    }

    /// Writes down a datagram of these parts, which came to a point or goes there.
    pub fn note(
        &mut self,
        (point, direction): (Point, Flow),
        ends: (SocketAddr, SocketAddr),
        parts: &[&[u8]],
        at: Instant,
    ) {
        self.tidy();
        if !self.is_on() {
            return;
        }
        self.octets.clear();
        let len = parts.iter().map(|part| part.len()).sum();
        outer::write(ends, 0, (parts.iter().copied(), len), &mut self.octets);
        parts.iter().for_each(|part| self.octets.extend_from_slice(part));
        let len = u32::try_from(self.octets.len()).unwrap_or(u32::MAX);
        let mut record = Record {
            at: 0,
            point,
            direction,
            ids: Ids { first: self.next_id, count: 1 }.into(),
            size: len,
            vni: None,
            inside: None,
            decision: Decision::None,
            dropped: None,
            // It holds no frame: all of it belongs to the underlay.
            outer: u16::try_from(len).unwrap_or(u16::MAX),
            len,
            octets: &self.octets,
        };
        self.next_id += 1;
        for writer in &mut self.writers {
            let wanted = &writer.wanted;
            if !wanted.drops && wanted.wants(point, &self.octets, self.octets.len(), self.octets.len()) {
                let since = at.saturating_duration_since(wanted.began).as_nanos();
                record.at = u64::try_from(since).unwrap_or(u64::MAX);
                writer.write(&record, &mut self.scratch);
            }
        }
    }

    /// Forgets captures that nobody reads any more.
    fn tidy(&mut self) {
        self.writers.retain(|writer| !writer.is_over());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::capture::record::Message;
    use crate::capture::ring::{At, Wanted, ring};
    use crate::clock;

    #[test]
    fn a_datagram_is_told_with_its_ends_to_who_wants_all_and_not_to_who_wants_drops() {
        let mut captures = Datagrams::new(0xffff);
        assert!(!captures.is_on());
        let now = clock::now();
        let wanted = |drops| Wanted { at: At::Any, inner: None, outer: None, snap: 1000, drops, began: now };
        let (all, mut told) = ring(&Arc::new(wanted(false)), 4096);
        let (drops, mut silent) = ring(&Arc::new(wanted(true)), 4096);
        captures.begin(all);
        captures.begin(drops);
        assert!(told.is_begun() && silent.is_begun());
        let ends = ("10.0.0.1:6786".parse().unwrap(), "10.0.0.2:6786".parse().unwrap());
        captures.note((Point::Gossip, Flow::Out), ends, &[b"sea", b"led"], now);
        let mut octets = Vec::new();
        assert_eq!(silent.take(&mut octets, usize::MAX), 0);
        told.take(&mut octets, usize::MAX);
        let Ok(Some((Message::Record(record), _))) = Message::decode(&octets) else { panic!("no record") };
        assert_eq!((record.point, record.direction, record.len), (Point::Gossip, Flow::Out, 42 + 6));
        assert!(record.octets.ends_with(b"sealed"));
        assert_eq!(record.octets[26..30], [10, 0, 0, 1]);
        told.end();
        drop(silent);
        captures.note((Point::Gossip, Flow::Out), ends, &[b"sealed"], now);
        assert!(!captures.is_on(), "nobody wants more");
    }
}
