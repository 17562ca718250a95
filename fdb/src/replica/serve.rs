//! Answers to pulls: sections, made one message at a time, so that nothing large is ever queued.

use super::wire::{MAX_CHUNK, MAX_DATAGRAM, Message, Section, Want, room};
use super::{Output, Replica};
use crate::gossip::identity::NodeId;

/// Answers that wait at a time; those beyond are asked for again.
const MAX_JOBS: usize = 4096;

/// An answer that is not finished.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) to: NodeId,
    pub(super) want: Want,
    /// Too large for datagrams.
    large: bool,
}

impl Replica {
    /// Takes note of what a node asks for. A second question replaces the first.
    pub(super) fn handle_pull(&mut self, from: NodeId, wants: Vec<Want>) {
        if self.peers.binary_search(&from).is_err() {
            return;
        }
        let mut entries = 0;
        let mut jobs = Vec::new();
        for mut want in wants {
            let Some(origin) = self.origins.get(&want.origin) else { continue };
            let stream = &origin.stream;
            if stream.epoch != want.epoch {
                continue;
            }
            if want.replace {
                // A replacement is only as good as it is whole.
                if !stream.is_complete() {
                    continue;
                }
                want.ranges = vec![(1, stream.max_seen.max(1))];
            } else {
                want.ranges = want
                    .ranges
                    .iter()
                    .flat_map(|range| stream.cover.known_within(range.0, range.1))
                    .collect();
            }
            let most = (super::push::MAX_PUSHED + 1) as usize;
            entries += want.ranges.iter().map(|r| stream.range(r.0, r.1).take(most).count()).sum::<usize>();
            jobs.push(want);
        }
        let large = Self::is_large(entries);
        for want in jobs.into_iter().filter(|want| !want.ranges.is_empty()) {
            self.jobs.retain(|job| job.to != from || job.want.origin != want.origin);
            if self.jobs.len() < MAX_JOBS {
                self.jobs.push_back(Job { to: from, want, large });
            }
        }
    }

    /// Makes the next message of the answers that wait, if octets may leave.
    pub(super) fn serve(&mut self) {
        let Some((to, large)) = self.jobs.front().map(|job| (job.to, job.large)) else { return };
        if !large && !self.bucket.has(MAX_DATAGRAM) {
            // Streams have a flow control of their own; they do not wait for datagrams.
            let Some(at) = self.jobs.iter().position(|job| job.large) else { return };
            self.jobs.rotate_left(at);
            return self.serve();
        }
        let mut left = room(if large { MAX_CHUNK } else { MAX_DATAGRAM });
        let mut sections = Vec::new();
        while let Some(job) = self.jobs.front_mut().filter(|job| job.to == to && job.large == large) {
            let stream = self.origins.get(&job.want.origin).map(|origin| &origin.stream);
            let Some(stream) = stream.filter(|stream| stream.epoch == job.want.epoch) else {
                self.jobs.pop_front();
                continue;
            };
            let Some(section) = next_section(stream, &mut job.want, left) else { break };
            left = left.saturating_sub(section.len());
            sections.push(section);
            if job.want.ranges.is_empty() {
                self.jobs.pop_front();
            }
        }
        if sections.is_empty() {
            // Nothing of it is left; the next answer has its turn when it is asked for.
            self.jobs.pop_front();
            return;
        }
        #[cfg(feature = "faults")]
        if self.config.faults.lost_interest {
            let is_join = |entry: &super::wire::Entry| entry.item.key().first() == Some(&2);
            sections.iter_mut().for_each(|section| section.entries.retain(|entry| !is_join(entry)));
        }
        let bytes = Message::Delta(sections).encode();
        if large {
            self.counters.streamed += bytes.len() as u64;
            self.outputs.push_back(Output::Stream { to, bytes });
        } else {
            self.bucket.take(bytes.len());
            self.send(to, bytes);
        }
    }
}

/// The next part of an answer in `room` octets; `None`: nothing fits. Replacements go from the end, so that a key
/// that was said again is known with its new number before its old one is dropped.
fn next_section(stream: &super::stream::Stream, want: &mut Want, room: usize) -> Option<Section> {
    let at = if want.replace { want.ranges.len().checked_sub(1)? } else { 0 };
    let (from, to) = *want.ranges.get(at)?;
    let empty = Section {
        origin: want.origin,
        epoch: stream.epoch,
        max: stream.max_seen,
        floor: stream.floor,
        from,
        to: to.min(stream.max_seen),
        replace: want.replace,
        entries: Vec::new(),
    };
    let filled = if empty.to < from || room < 128 {
        return None;
    } else if want.replace {
        empty.fill_back(stream.range(from, to).rev(), room)
    } else {
        empty.fill(stream.range(from, to), room)
    };
    if filled.to < filled.from {
        return None;
    }
    let rest = if want.replace { (from, filled.from - 1) } else { (filled.to + 1, to) };
    if rest.0 <= rest.1 {
        want.ranges[at] = rest;
    } else {
        want.ranges.remove(at);
    }
    Some(filled)
}
