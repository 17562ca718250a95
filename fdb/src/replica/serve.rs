//! Answers to pulls: sections, made one message at a time, so that nothing large is ever queued.

use super::jobs::Way;
use super::wire::{MAX_CHUNK, MAX_DATAGRAM, Message, Section, Want, room};
use super::{Fault, Output, Replica};
use crate::gossip::identity::NodeId;

impl Replica {
    /// Takes note of what a node asks for. A second question replaces the first.
    pub(super) fn handle_pull(&mut self, from: NodeId, wants: Vec<Want>) {
        if !self.is_up(from) {
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
        let way = if Self::is_large(entries) { Way::Stream } else { Way::Datagrams };
        for want in jobs.into_iter().filter(|want| !want.ranges.is_empty()) {
            self.jobs.add(from, want, way);
        }
    }

    /// Says whether the stream to a node is full: what is to go over it waits, what is for others does not.
    /// Poll for outputs once it is not full any more.
    pub fn set_blocked(&mut self, node: NodeId, blocked: bool) {
        if self.is_up(node) {
            self.jobs.set_blocked(node, blocked);
        }
    }

    /// The stream to a node ended early: what waits for it is dropped, and will be asked for again.
    pub fn stream_failed(&mut self, node: NodeId) {
        self.jobs.stream_failed(node);
    }

    /// Makes the next message of the answers that wait; false if none may leave.
    pub(super) fn serve(&mut self) -> bool {
        let Some((to, way)) = self.jobs.next(self.bucket.has(MAX_DATAGRAM)) else { return false };
        let sections = self.next_sections(to, way);
        if sections.is_empty() {
            return true;
        }
        let bytes = Message::Delta(sections).encode();
        match way {
            Way::Stream => {
                self.counters.streamed += bytes.len() as u64;
                self.outputs.push_back(Output::Stream { to, bytes });
            }
            Way::Datagrams => {
                self.bucket.take(bytes.len());
                self.send(to, bytes);
            }
        }
        true
    }

    /// As much as fits one message of what a node waits for.
    fn next_sections(&mut self, to: NodeId, way: Way) -> Vec<Section> {
        let mut left = room(if way == Way::Stream { MAX_CHUNK } else { MAX_DATAGRAM });
        let mut sections = Vec::new();
        while let Some(want) = self.jobs.front(to, way) {
            let stream = self.origins.get(&want.origin).map(|origin| &origin.stream);
            // Another start of it has begun meanwhile: it is asked for anew.
            let Some(stream) = stream.filter(|stream| stream.epoch == want.epoch) else {
                self.jobs.pop(to, way);
                continue;
            };
            let Some(section) = next_section(stream, want, left) else { break };
            left = left.saturating_sub(section.len());
            sections.push(section);
            if want.ranges.is_empty() {
                self.jobs.pop(to, way);
            }
        }
        if sections.is_empty() {
            // Nothing of it is left.
            self.jobs.pop(to, way);
        }
        if self.config.has(Fault::LostInterest) {
            let is_join = |entry: &super::wire::Entry| entry.item.key().first() == Some(&2);
            sections.iter_mut().for_each(|section| section.entries.retain(|entry| !is_join(entry)));
        }
        sections
    }
}

/// The next part of an answer in `room` octets; `None`: nothing fits. Replacements go from the end, so that a key
/// that was said again is known with its new number before its old one is dropped.
fn next_section(stream: &super::stream::Stream, want: &mut Want, room: usize) -> Option<Section> {
    let at = if want.replace { want.ranges.len().checked_sub(1)? } else { 0 };
    let (from, to) = *want.ranges.get(at)?;
    let to_known = to.min(stream.max_seen);
    let empty = Section { replace: want.replace, ..stream.section(want.origin, from, to_known) };
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
