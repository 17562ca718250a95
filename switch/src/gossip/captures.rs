//! Datagrams of gossip, for those who capture everything: sealed, as others see them. Streams are not shown.

use std::net::SocketAddr;
use std::time::Instant;

use crate::capture::outer;
use crate::capture::record::{Decision, Flow, Ids, Point, Record};
use crate::capture::ring::Writer;

/// Ids of gossip are none of a worker's.
const FIRST_ID: u64 = 0xffff << 48;

/// Who captures.
pub(super) struct Captures {
    writers: Vec<Writer>,
    next_id: u64,
    octets: Vec<u8>,
    scratch: Vec<u8>,
}

impl Captures {
    pub(super) const fn new() -> Self {
        Self { writers: Vec::new(), next_id: FIRST_ID, octets: Vec::new(), scratch: Vec::new() }
    }

    pub(super) fn begin(&mut self, writer: Writer) {
        self.writers.push(writer);
    }

    /// Writes a datagram down.
    pub(super) fn note(
        &mut self,
        flow: Flow,
        (from, to): (SocketAddr, SocketAddr),
        datagram: &[u8],
        at: Instant,
    ) {
        if self.writers.is_empty() {
            return;
        }
        self.writers.retain(|writer| !writer.is_over());
        self.octets.clear();
        outer::write((from, to), 0, datagram.len(), &mut self.octets);
        self.octets.extend_from_slice(datagram);
        let len = u32::try_from(self.octets.len()).unwrap_or(u32::MAX);
        let mut record = Record {
            at: 0,
            point: Point::Gossip,
            direction: flow,
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
            if !wanted.drops
                && wanted.wants(Point::Gossip, &self.octets, self.octets.len(), self.octets.len())
            {
                let since = at.saturating_duration_since(wanted.began).as_nanos();
                record.at = u64::try_from(since).unwrap_or(u64::MAX);
                writer.write(&record, &mut self.scratch);
            }
        }
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
        let mut captures = Captures::new();
        let now = clock::now();
        let wanted = |drops| Wanted { at: At::Any, inner: None, outer: None, snap: 1000, drops, began: now };
        let (all, mut told) = ring(&Arc::new(wanted(false)), 4096);
        let (drops, mut silent) = ring(&Arc::new(wanted(true)), 4096);
        captures.begin(all);
        captures.begin(drops);
        let ends = ("10.0.0.1:6786".parse().unwrap(), "10.0.0.2:6786".parse().unwrap());
        captures.note(Flow::Out, ends, b"sealed", now);
        let mut octets = Vec::new();
        assert_eq!(silent.take(&mut octets, usize::MAX), 0);
        told.take(&mut octets, usize::MAX);
        let Ok(Some((Message::Record(record), _))) = Message::decode(&octets) else { panic!("no record") };
        assert_eq!((record.point, record.direction, record.len), (Point::Gossip, Flow::Out, 42 + 6));
        assert!(record.octets.ends_with(b"sealed"));
        assert_eq!(record.octets[26..30], [10, 0, 0, 1]);
    }
}
