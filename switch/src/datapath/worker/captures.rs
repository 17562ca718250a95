//! What a worker writes down of frames while somebody captures; nothing, at the cost of a branch, while nobody does.
//!
//! 1. [`Captures::comes`] or [`Captures::arrives`]: a frame is about to be handled. It gets its ids, and its first octets
//!    are kept if it is wanted: the stages may change them.
//! 2. While it is handled, the outlet says what becomes of it: [`Captures::sends`], [`Captures::delivers`],
//!    [`Captures::answers`], [`Captures::drops`].
//! 3. [`Captures::handled`]: now its record can be written. Datagrams of one message that fared alike share one.
//! 4. [`Captures::left`], [`Captures::wrote`]: the other half is seen when the batch was sent, or the run written.

mod leaving;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use encap::segment::SuperFrame;
use encap::vnet::VnetHeader;
use encap::{Format, PortId, Vni, VtepAddr, tunnel};

use super::outlet::Outlet;
use crate::batch::{Place, Route};
use crate::capture::outer;
use crate::capture::record::{Decision, Flow, Ids, Point, Record};
use crate::capture::ring::Writer;
use crate::clock;
use crate::counters::{Direction, DropReason};
use crate::datapath::inbound;
use crate::io::udp::SendSockets;
use crate::topology::Topology;

/// Captures at a time: a bit each in a [`Mask`].
const MAX_CAPTURES: usize = 8;
/// Which captures want a frame.
type Mask = u8;

/// What is being captured, and the frames on their way through the worker.
pub(super) struct Captures {
    writers: Vec<Writer>,
    /// The octets of a frame that any of them looks at, at most.
    most: usize,
    sockets: Arc<SendSockets>,
    /// The local ports of the source port numbers, for IPv4 and IPv6.
    ports: [Vec<u16>; 2],
    topology: Arc<Topology>,
    next_id: u64,
    /// The frame that is being handled.
    frame: Option<Frame>,
    /// A frame that was handled, and whose record others may join.
    pending: Option<Frame>,
    /// The datagrams in the send batch.
    runs: Vec<Run>,
    /// The messages in the receive buffer.
    messages: Vec<Message>,
    octets: Octets,
}

/// Memory for octets of frames.
#[derive(Default)]
struct Octets {
    /// Of `frame`.
    frame: Vec<u8>,
    /// Of `pending`.
    pending: Vec<u8>,
    /// Of the first datagram of a record that is being put together, and of the one that is looked at.
    first: Vec<u8>,
    looked_at: Vec<u8>,
    /// For records on their way to the ring.
    record: Vec<u8>,
}

/// What is known of a frame that came in.
#[derive(Clone, Copy)]
struct Frame {
    came: Instant,
    point: Point,
    ids: Ids,
    mask: Mask,
    vni: Option<Vni>,
    size: usize,
    len: usize,
    outer: usize,
    /// Copies so far, and where the last went.
    ports: u16,
    port: Option<PortId>,
    peers: u16,
    peer: Option<VtepAddr>,
    /// Datagrams to that peer so far.
    datagrams: u32,
    answered: bool,
    /// Where the stages said that it goes, of one that came from the underlay.
    goes: Decision,
    /// Why the last copy that was dropped was, and how many were.
    dropped: Option<(DropReason, Direction)>,
    drops: u16,
}

/// Datagrams of one frame that stand one behind the other in a group of the send batch.
#[derive(Clone, Copy)]
struct Run {
    /// Where the first is.
    place: Place,
    /// One id each.
    ids: Ids,
    came: Instant,
}

/// A message that was received: `first` is the id of its first datagram.
struct Message {
    start: usize,
    stride: usize,
    first: u64,
    came: Instant,
}

impl Captures {
    pub(super) fn new(worker: usize, sockets: Arc<SendSockets>) -> Self {
        Self {
            writers: Vec::new(),
            most: 0,
            sockets,
            ports: [Vec::new(), Vec::new()],
            topology: Arc::default(),
            next_id: ((worker as u64) << 48) + 1,
            frame: None,
            pending: None,
            runs: Vec::new(),
            messages: Vec::new(),
            octets: Octets::default(),
        }
    }

    /// Whether anybody captures.
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        !self.writers.is_empty()
    }

    /// Takes one more capture; whoever asked sees its ring end if there are too many.
    pub(super) fn begin(&mut self, writer: Writer) {
        if self.ports[0].is_empty() && self.ports[1].is_empty() {
            let unspecified: [SocketAddr; 2] = [([0; 4], 0).into(), ([0; 16], 0).into()];
            for (ports, to) in self.ports.iter_mut().zip(unspecified) {
                *ports = (0..).map_while(|source| self.sockets.port(source, to)).collect();
            }
        }
        self.tidy();
        if self.writers.len() < MAX_CAPTURES {
            writer.begin();
            self.writers.push(writer);
            self.look_at_most();
        }
    }

    /// Forgets captures that nobody reads any more. Not to be called while a frame is handled.
    pub(super) fn tidy(&mut self) {
        if !self.writers.iter().any(Writer::is_over) {
            return;
        }
        self.writers.retain(|writer| !writer.is_over());
        self.look_at_most();
        if self.writers.is_empty() {
            self.octets = Octets::default();
        }
    }

    /// A filter may look at any octet.
    fn look_at_most(&mut self) {
        let wanted = self.writers.iter().map(|writer| &writer.wanted);
        let each = wanted.map(|wanted| if wanted.filters() { usize::MAX } else { wanted.snap });
        self.most = each.max().unwrap_or(0);
    }

    pub(super) fn set_topology(&mut self, topology: &Arc<Topology>) {
        self.topology = Arc::clone(topology);
        for writer in &self.writers {
            // A port that was opened again has another id.
            let by_name = |name: &str| topology.ports.iter().find(|(_, view)| *view.name == *name);
            writer.wanted.at.look_up(|name| by_name(name).map(|(id, _)| *id));
        }
    }

    /// A frame or super-frame was read from a port.
    #[cold]
    pub(super) fn comes(&mut self, port: PortId, vnet: &VnetHeader, octets: &[u8]) {
        let whole = vnet.gso.and_then(|_| SuperFrame::new(octets, vnet).ok());
        let count = whole.map_or(1, |whole| whole.segments());
        let vni = self.network_of(port);
        let kept = &octets[..octets.len().min(self.most)];
        self.enters(Point::Port(port), count, vni, (0, octets.len()), |out| out.extend_from_slice(kept));
    }

    /// A message was received; each of its datagrams [`Captures::arrives`] after this.
    #[cold]
    pub(super) fn received(&mut self, start: usize, stride: usize) {
        let (stride, first) = (stride.max(1), self.next_id);
        self.messages.push(Message { start, stride, first, came: clock::now() });
    }

    /// A datagram is about to be handled.
    #[cold]
    pub(super) fn arrives(
        &mut self,
        (from, to): (SocketAddr, SocketAddr),
        format: Format,
        tos: u8,
        datagram: &[u8],
    ) {
        let point = self.point_of(from.ip());
        let tunnel = tunnel::decode(format, datagram, false).ok();
        let made_up = if from.is_ipv4() { outer::MAX_LEN - 20 } else { outer::MAX_LEN };
        // Of what holds no frame all belongs to the underlay.
        let inner = made_up + tunnel.map_or(datagram.len(), |(_, offset)| offset);
        let len = made_up + datagram.len();
        let most = self.most.saturating_sub(made_up);
        self.enters(point, 1, tunnel.map(|(vni, _)| vni), (inner, len), |out| {
            outer::write((from, to), tos, ([datagram], datagram.len()), out);
            out.extend_from_slice(&datagram[..datagram.len().min(most)]);
        });
    }

    fn enters(
        &mut self,
        point: Point,
        count: usize,
        vni: Option<Vni>,
        (outer, len): (usize, usize),
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let ids = self.new_ids(count);
        let octets = &mut self.octets.frame;
        octets.clear();
        write(octets);
        let mask = wanted(&self.writers, point, octets, outer, len);
        self.frame = Some(Frame {
            came: clock::now(),
            point,
            ids,
            mask,
            vni,
            size: if matches!(point, Point::Port(_)) { 0 } else { len },
            len,
            outer,
            ports: 0,
            port: None,
            peers: 0,
            peer: None,
            datagrams: 0,
            answered: false,
            goes: Decision::None,
            dropped: None,
            drops: 0,
        });
    }

    fn new_ids(&mut self, count: u32) -> Ids {
        let first = self.next_id;
        self.next_id += u64::from(count);
        Ids { first, count }
    }

    /// A datagram is about to be added to the send batch.
    #[cold]
    pub(super) fn sends(&mut self, route: Route, place: Place) {
        let Some(frame) = &mut self.frame else { return };
        if frame.peer != Some(route.to) {
            frame.peer = Some(route.to);
            frame.peers += 1;
            frame.datagrams = 0;
        }
        // Fragments, and segments that were cut smaller, are more than the frames that came.
        let offset = frame.datagrams.min(frame.ids.count - 1);
        frame.datagrams += 1;
        let first = frame.ids.first + u64::from(offset);
        match self.runs.last_mut() {
            Some(run) if run.continues(place, first) => run.ids.count += 1,
            _ => self.runs.push(Run { place, ids: Ids { first, count: 1 }, came: frame.came }),
        }
    }

    /// The frame goes to one port of this host, or to all of its network; it is written later.
    #[cold]
    pub(super) fn goes_to_ports(&mut self, to: Option<PortId>) {
        if let Some(frame) = &mut self.frame {
            frame.goes = to.map_or(Decision::ToPorts, Decision::ToPort);
        }
    }

    /// A frame was written to a port of this host.
    #[cold]
    pub(super) fn delivers(&mut self, port: PortId, octets: &[u8]) {
        let Some(frame) = &mut self.frame else { return };
        frame.ports += 1;
        frame.port = Some(port);
        let (ids, came) = (frame.ids, frame.came);
        self.goes_to_port(port, ids.into(), Some(came), None, (octets, octets.len()));
    }

    /// The frame was answered here.
    #[cold]
    pub(super) fn answers(&mut self, port: PortId, octets: &[u8]) {
        let Some(frame) = &mut self.frame else { return };
        frame.answered = true;
        let (ids, came) = (frame.ids, frame.came);
        self.goes_to_port(port, ids.into(), Some(came), None, (octets, octets.len()));
    }

    /// A frame that was made here was written to a port.
    #[cold]
    pub(super) fn originates(&mut self, port: PortId, octets: &[u8]) {
        let ids = self.new_ids(1);
        self.goes_to_port(port, ids.into(), None, None, (octets, octets.len()));
    }

    /// The frame, or one copy of it, is dropped.
    #[cold]
    pub(super) fn drops(&mut self, reason: DropReason, direction: Direction) {
        if let Some(frame) = &mut self.frame {
            frame.dropped = Some((reason, direction));
            frame.drops = frame.drops.saturating_add(1);
        }
    }

    /// The frame that came was handled.
    #[cold]
    pub(super) fn handled(&mut self) {
        let Some(frame) = self.frame.take() else { return };
        match &mut self.pending {
            Some(pending) if pending.is_like(&frame) => pending.ids.count += frame.ids.count,
            _ => {
                self.settle();
                std::mem::swap(&mut self.octets.pending, &mut self.octets.frame);
                self.pending = Some(frame);
            }
        }
    }

    /// All datagrams of a message, or the frame of a port, were handled: nothing can join their record any more.
    #[cold]
    pub(super) fn settle(&mut self) {
        let Some(frame) = self.pending.take() else { return };
        let record = Record {
            at: 0,
            point: frame.point,
            direction: Flow::In,
            ids: frame.ids.into(),
            size: narrow(frame.size),
            vni: frame.vni,
            inside: None,
            decision: frame.decision(&self.topology),
            dropped: frame.dropped,
            outer: u16::try_from(frame.outer).unwrap_or(u16::MAX),
            len: narrow(frame.len),
            octets: &self.octets.pending,
        };
        put(&mut self.writers, frame.mask, frame.came, &record, &mut self.octets.record);
    }

    fn network_of(&self, port: PortId) -> Option<Vni> {
        let view = self.topology.ports.get(&port)?;
        Some(self.topology.network(view.network).vni)
    }

    /// The peer that has an underlay address.
    fn point_of(&self, ip: IpAddr) -> Point {
        self.topology.known_by(ip).map_or(Point::Strangers, Point::Peer)
    }

    /// The end of a tunnel that is ours.
    fn own_end(&self, route: Route) -> SocketAddr {
        let v4 = route.to.ip().is_ipv4();
        let ports = &self.ports[usize::from(!v4)];
        let index = usize::from(route.source).checked_rem(ports.len());
        let port = index.map_or(0, |index| ports[index]);
        SocketAddr::new(self.topology.encap.own_ip(v4), port)
    }
}

/// Handles the datagrams of a message one by one, so that it is known what became of each.
#[cold]
pub(super) fn handle_apart(
    message: &inbound::Message,
    ends: (SocketAddr, SocketAddr),
    buffer: &mut [u8],
    outlet: &mut Outlet,
    mut handle: impl FnMut(&inbound::Message, &mut [u8], &mut Outlet),
) {
    outlet.captures.received(message.start, message.stride);
    for part in message.datagrams() {
        let octets = &buffer[part.start..part.start + part.len];
        outlet.captures.arrives(ends, part.format, part.tos, octets);
        handle(&part, buffer, outlet);
        outlet.captures.handled();
    }
    outlet.captures.settle();
}

impl Frame {
    /// Whether another one's record says the same.
    fn is_like(&self, next: &Self) -> bool {
        !matches!(self.point, Point::Port(_))
            && self.ids.first + u64::from(self.ids.count) == next.ids.first
            && (self.point, self.mask, self.vni, self.outer) == (next.point, next.mask, next.vni, next.outer)
            && (self.peer, self.goes) == (next.peer, next.goes)
            && (self.dropped, self.drops) == (next.dropped, next.drops)
            // The last of a message may be shorter.
            && next.size <= self.size
            && self.size == self.len
    }

    fn decision(&self, topology: &Topology) -> Decision {
        let copies = u32::from(self.ports) + u32::from(self.peers) + u32::from(self.drops);
        match (self.ports, self.peers) {
            _ if self.answered => Decision::Answered,
            (ports, peers) if copies > 1 => Decision::Flooded { ports, peers, dropped: self.drops },
            (1, 0) => self.port.map_or(Decision::None, Decision::ToPort),
            (0, 1) => {
                let known = self.peer.and_then(|to| topology.known_by(to.ip()));
                known.map_or(Decision::None, Decision::ToPeer)
            }
            _ if self.dropped.is_some() => Decision::None,
            _ => self.goes,
        }
    }
}

/// Which captures want these octets.
fn wanted(writers: &[Writer], point: Point, octets: &[u8], inner: usize, len: usize) -> Mask {
    let bits = writers.iter().zip(0..).map(|(writer, bit)| {
        let wants = writer.wanted.wants(point, octets, inner, len);
        Mask::from(wants) << bit
    });
    bits.fold(0, |mask, bit| mask | bit)
}

/// Writes a record to the captures that want it.
fn put(writers: &mut [Writer], mask: Mask, at: Instant, record: &Record<'_>, scratch: &mut Vec<u8>) {
    for (writer, bit) in writers.iter_mut().zip(0..) {
        if mask >> bit & 1 == 1 && (record.dropped.is_some() || !writer.wanted.drops) {
            let since = at.saturating_duration_since(writer.wanted.began).as_nanos();
            let at = u64::try_from(since).unwrap_or(u64::MAX);
            writer.write(&Record { at, ..*record }, scratch);
        }
    }
}

fn narrow(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
