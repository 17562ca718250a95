//! Segments in, super-frames out; a flow is never reordered.
//!
//! The reverse of [`crate::segment`]: TCP segments that follow each other, and equal-sized UDP datagrams of a flow,
//! become one super-frame, which the pod's kernel takes in one go. A frame joins only if cutting the super-frame again
//! would give back its very octets (but for the IPv4 identification of packets that may not be fragmented, which means
//! nothing, RFC 6864), so nothing is lost by it.
//!
//! 1. [`Coalescer::push`] looks at a frame. One that cannot be merged ends its flow's run and stands alone.
//! 2. One that can is checked: IPv4 header and TCP or UDP checksum. A super-frame is written with `NEEDS_CSUM`, which
//!    the pod's kernel trusts, so a frame that was not verified never joins one: a bad checksum stays a bad checksum.
//! 3. It joins its flow's run if it continues it, else it opens the flow's next run.
//! 4. [`Coalescer::finish`] hands out the writes in the order in which they were opened; only the newest run of a flow
//!    is ever appended to.
//!
//! Payload is not copied: a write is one small head and spans of the receive buffer.

use crate::checksum::Sum;
use crate::inet::{Layers, Net, TCP, UDP};
use crate::span::Span;
use crate::vnet::{Gso, Unfinished, VnetHeader};

/// The most frames in one run; the kernel's own limit for UDP segments.
pub const MAX_PIECES: usize = 128;
/// Flows that are followed at once; a power of two. More only share slots, and then merge less.
const SLOTS: usize = 64;
const ACK: u8 = 0x10;
const SYN: u8 = 0x02;
const PSH: u8 = 0x08;

/// Which runs are worth making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offload {
    /// Merge TCP segments.
    pub tcp: bool,
    /// Merge UDP datagrams.
    pub udp: bool,
}

/// One write to a port: a header, a changed head, and octets that stay where they were received.
#[derive(Debug)]
pub struct Write {
    target: u32,
    kind: Kind,
    frames: u32,
    verified: bool,
    /// Headers of the first frame; its first octets are changed when the run ends.
    head: Vec<u8>,
    layers: Layers,
    pieces: Vec<Span>,
    /// Payload octets of each frame but the last.
    size: u16,
    payload_len: usize,
    next_sequence: u32,
    next_id: u16,
    ended: bool,
    vnet: VnetHeader,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Tcp,
    Udp,
}

impl Write {
    /// The target that the frames were pushed for.
    #[must_use]
    pub fn target(&self) -> u32 {
        self.target
    }

    /// The wire frames in this write.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// What to write before the frame.
    #[must_use]
    pub fn vnet(&self) -> &VnetHeader {
        &self.vnet
    }

    /// The changed headers of a super-frame; empty for a plain frame.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The octets behind the head, as spans of the receive buffer.
    #[must_use]
    pub fn pieces(&self) -> &[Span] {
        &self.pieces
    }
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It stands alone or opened a run.
    Opened,
    /// It joined a run.
    Joined,
    /// Its checksum is wrong: it stands alone, as it came.
    BadChecksum,
}

/// Frames in, super-frames out.
#[derive(Debug)]
pub struct Coalescer {
    offload: Offload,
    writes: Vec<Write>,
    used: usize,
    /// The newest run of each followed flow, as an index of `writes`.
    newest: [u32; SLOTS],
    last: u32,
}

const NONE: u32 = u32::MAX;

impl Coalescer {
    /// A coalescer that makes these kinds of runs.
    #[must_use]
    pub fn new(offload: Offload) -> Self {
        Self { offload, writes: Vec::new(), used: 0, newest: [NONE; SLOTS], last: NONE }
    }

    /// Takes the frame that `span` names in `buffer`, for the port `target`; `layers` are those of the frame.
    ///
    /// # Cost
    ///
    /// About 20 ns and one checksum over the payload of a frame that can be merged; no copy of payload, and no
    /// allocation once the lists have grown to the size of a batch.
    pub fn push(&mut self, target: u32, buffer: &[u8], span: Span, layers: &Layers) -> Pushed {
        let frame = span.of(buffer);
        let Some(candidate) = Candidate::of(frame, layers, self.offload) else {
            self.close(target, frame, layers);
            self.open_plain(target, span, layers, false);
            // A SYN never joins a run, but it is what a peer that leaves checksums unfinished loses first.
            let wrong = is_syn(frame, layers) && !is_verified(frame, layers);
            return if wrong { Pushed::BadChecksum } else { Pushed::Opened };
        };
        if !is_verified(frame, layers) {
            self.close(target, frame, layers);
            self.open_plain(target, span, layers, false);
            return Pushed::BadChecksum;
        }
        let slot = slot(target, frame, layers);
        let body = Span::new(span.start as usize + candidate.payload, candidate.body);
        for index in [self.last, self.newest[slot]] {
            let Some(run) = self.writes[..self.used].get_mut(index as usize) else { continue };
            if !run.same_flow(target, frame, layers) {
                continue;
            }
            if index != self.newest[slot] {
                break; // the flow has a newer write: nothing may be put before it
            }
            if run.continues(frame, layers, &candidate) {
                run.append(body, &candidate);
                return Pushed::Joined;
            }
            break;
        }
        self.open_run(target, frame, span, layers, &candidate);
        self.newest[slot] = self.last;
        Pushed::Opened
    }

    /// Ends all runs and returns the writes in order; [`Coalescer::clear`] makes room for the next batch.
    pub fn finish(&mut self) -> &[Write] {
        for write in &mut self.writes[..self.used] {
            write.finish();
        }
        &self.writes[..self.used]
    }

    /// Forgets all writes and keeps their memory.
    pub fn clear(&mut self) {
        self.used = 0;
        self.newest = [NONE; SLOTS];
        self.last = NONE;
    }

    /// Whether nothing was pushed since the last [`Coalescer::clear`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Ends the newest run of the flow that a frame belongs to, if there is one.
    fn close(&mut self, target: u32, frame: &[u8], layers: &Layers) {
        if layers.transport != 0 {
            self.newest[slot(target, frame, layers)] = NONE;
        } else if layers.net != Net::Other {
            // A fragment or an unknown protocol may belong to any flow between the two addresses.
            self.newest = [NONE; SLOTS];
        }
    }

    fn next_write(&mut self, target: u32, layers: &Layers) -> &mut Write {
        if self.used == self.writes.len() {
            self.writes.push(Write::new(*layers));
        }
        let write = &mut self.writes[self.used];
        self.used += 1;
        write.target = target;
        write.layers = *layers;
        write.head.clear();
        write.pieces.clear();
        write.frames = 1;
        write.ended = false;
        write.vnet = VnetHeader::default();
        write
    }

    fn open_plain(&mut self, target: u32, span: Span, layers: &Layers, verified: bool) {
        let write = self.next_write(target, layers);
        write.kind = Kind::Plain;
        write.verified = verified;
        write.ended = true;
        write.pieces.push(span);
    }

    #[allow(clippy::cast_possible_truncation)] // a body is part of an IP packet
    fn open_run(&mut self, target: u32, frame: &[u8], span: Span, layers: &Layers, candidate: &Candidate) {
        self.last = self.used as u32;
        let write = self.next_write(target, layers);
        write.kind = candidate.kind;
        write.verified = true;
        write.head.extend_from_slice(&frame[..candidate.payload]);
        // The whole frame: a run of one is written as it came. The first append narrows it to the payload.
        write.pieces.push(span);
        write.size = candidate.body as u16;
        write.payload_len = candidate.body;
        write.next_sequence = candidate.sequence.wrapping_add(candidate.body as u32);
        write.next_id = candidate.id.wrapping_add(1);
        write.ended = candidate.ends_run;
    }
}

/// A frame that may be merged.
struct Candidate {
    kind: Kind,
    payload: usize,
    body: usize,
    sequence: u32,
    id: u16,
    /// PSH: nothing follows it in a run.
    ends_run: bool,
}

impl Candidate {
    #[inline]
    fn of(frame: &[u8], layers: &Layers, offload: Offload) -> Option<Self> {
        let kind = match layers.transport {
            TCP if offload.tcp => Kind::Tcp,
            UDP if offload.udp => Kind::Udp,
            _ => return None,
        };
        // Options of IPv4 are rare and padding cannot be given back.
        if layers.end != frame.len() || (layers.net == Net::V4 && layers.l4 - layers.l3 != 20) {
            return None;
        }
        let payload = layers.payload(frame);
        let l4 = &frame[layers.l4..];
        let body = frame.len() - payload;
        let mergeable = match kind {
            Kind::Tcp => l4[13] & !PSH == ACK,
            _ => l4[6..8] != [0, 0] && usize::from(u16::from_be_bytes([l4[4], l4[5]])) == l4.len(),
        };
        if body == 0 || !mergeable {
            return None;
        }
        let sequence = u32::from_be_bytes([l4[4], l4[5], l4[6], l4[7]]);
        let id = u16::from_be_bytes([frame[layers.l3 + 4], frame[layers.l3 + 5]]);
        Some(Self { kind, payload, body, sequence, id, ends_run: kind == Kind::Tcp && l4[13] & PSH != 0 })
    }
}

fn is_syn(frame: &[u8], layers: &Layers) -> bool {
    layers.transport == TCP && frame[layers.l4 + 13] & SYN != 0
}

/// Whether the checksums of a TCP or UDP packet are right.
#[inline]
#[allow(clippy::cast_possible_truncation)] // the IP length of the packet fitted 16 bits
fn is_verified(frame: &[u8], layers: &Layers) -> bool {
    let l4 = &frame[layers.l4..layers.end];
    let ip_valid = layers.net == Net::V6 || Sum::of(&frame[layers.l3..layers.l4]).is_valid();
    let pseudo = Sum::of(layers.address_octets(frame)).and_u16(u16::from(layers.transport));
    ip_valid && pseudo.and_u16(l4.len() as u16).and(l4).is_valid()
}

impl Write {
    fn new(layers: Layers) -> Self {
        Self {
            target: 0,
            kind: Kind::Plain,
            frames: 1,
            verified: false,
            head: Vec::with_capacity(160),
            layers,
            pieces: Vec::with_capacity(MAX_PIECES),
            size: 0,
            payload_len: 0,
            next_sequence: 0,
            next_id: 0,
            ended: true,
            vnet: VnetHeader::default(),
        }
    }

    /// Whether a frame is of this run's flow: target, addresses, protocol and ports.
    #[inline]
    fn same_flow(&self, target: u32, frame: &[u8], layers: &Layers) -> bool {
        self.target == target
            && self.layers.net == layers.net
            && self.layers.transport == layers.transport
            && self.layers.l4 == layers.l4
            && self.head.get(layers.l4..layers.l4 + 4) == Some(&frame[layers.l4..layers.l4 + 4])
            && self.layers.address_octets(&self.head) == layers.address_octets(frame)
    }

    /// Whether a frame of this run's flow can follow: all headers equal but what segmentation changes.
    #[inline]
    fn continues(&self, frame: &[u8], layers: &Layers, candidate: &Candidate) -> bool {
        let (head, l3, l4) = (&self.head[..], layers.l3, layers.l4);
        if self.ended
            || candidate.payload != head.len()
            || candidate.body > usize::from(self.size)
            || self.pieces.len() == MAX_PIECES
            || head.len() - l3 + self.payload_len + candidate.body > 65_535
            || head[..l3] != frame[..l3]
        {
            return false;
        }
        let ip_equal = if layers.net == Net::V4 {
            let dont_fragment = head[l3 + 6] & 0x40 != 0;
            head[l3..l3 + 2] == frame[l3..l3 + 2]
                && head[l3 + 6..l3 + 10] == frame[l3 + 6..l3 + 10]
                && (dont_fragment || candidate.id == self.next_id)
        } else {
            head[l3..l3 + 4] == frame[l3..l3 + 4] && head[l3 + 6..l3 + 8] == frame[l3 + 6..l3 + 8]
        };
        let transport_equal = match self.kind {
            Kind::Tcp => {
                candidate.sequence == self.next_sequence
                    && head[l4 + 8..l4 + 13] == frame[l4 + 8..l4 + 13]
                    && head[l4 + 14..l4 + 16] == frame[l4 + 14..l4 + 16]
                    && head[l4 + 18..] == frame[l4 + 18..candidate.payload]
            }
            _ => true,
        };
        ip_equal && transport_equal
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation)]
    fn append(&mut self, body: Span, candidate: &Candidate) {
        if self.frames == 1 {
            let head = self.head.len() as u32;
            let first = &mut self.pieces[0];
            (first.start, first.len) = (first.start + head, first.len - head);
        }
        match self.pieces.last_mut() {
            Some(last) if last.start + last.len == body.start => last.len += body.len,
            _ => self.pieces.push(body),
        }
        self.frames += 1;
        self.payload_len += candidate.body;
        self.next_sequence = self.next_sequence.wrapping_add(candidate.body as u32);
        self.next_id = self.next_id.wrapping_add(1);
        self.ended = candidate.ends_run || candidate.body < usize::from(self.size);
        if candidate.ends_run {
            self.head[self.layers.l4 + 13] |= PSH;
        }
    }

    /// Writes the headers of a super-frame; a run of one stays as it came.
    #[allow(clippy::cast_possible_truncation)] // `continues` keeps the packet below 64 KiB
    fn finish(&mut self) {
        if self.frames == 1 {
            self.head.clear();
            self.vnet = VnetHeader { verified: self.verified, ..VnetHeader::default() };
            return;
        }
        let Layers { net, l3, l4, transport, .. } = self.layers;
        let packet = self.head.len() - l3 + self.payload_len;
        if net == Net::V4 {
            self.head[l3 + 2..l3 + 4].copy_from_slice(&(packet as u16).to_be_bytes());
            self.head[l3 + 10..l3 + 12].fill(0);
            let sum = Sum::of(&self.head[l3..l4]).complement();
            self.head[l3 + 10..l3 + 12].copy_from_slice(&sum);
        } else {
            self.head[l3 + 4..l3 + 6].copy_from_slice(&((packet - 40) as u16).to_be_bytes());
        }
        let length = (packet - (l4 - l3)) as u16;
        let (gso, offset) = match (self.kind, net) {
            (Kind::Udp, _) => (Gso::Udp, 6),
            (_, Net::V4) => (Gso::TcpV4, 16),
            _ => (Gso::TcpV6, 16),
        };
        if self.kind == Kind::Udp {
            self.head[l4 + 4..l4 + 6].copy_from_slice(&length.to_be_bytes());
        }
        let pseudo = Sum::of(self.layers.address_octets(&self.head)).and_u16(u16::from(transport));
        let field = l4 + usize::from(offset);
        self.head[field..field + 2].copy_from_slice(&pseudo.and_u16(length).fold());
        self.vnet = VnetHeader {
            gso: Some((gso, self.size)),
            unfinished: Some(Unfinished { start: l4 as u16, offset }),
            verified: false,
            header_len: self.head.len() as u16,
        };
    }
}

#[inline]
fn slot(target: u32, frame: &[u8], layers: &Layers) -> usize {
    (crate::flow::hash(frame, layers) ^ target.wrapping_mul(0x9e37_79b1)) as usize % SLOTS
}

#[cfg(test)]
mod tests;
