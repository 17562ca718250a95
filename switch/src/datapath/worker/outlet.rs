//! Where frames leave a worker: TAPs, the send batch and its sockets, and the events for control.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Sender as EventSender;
use encap::coalesce::Write;
use encap::vnet::VnetHeader;
use encap::{Format, PortId, Span, Vni, control, tunnel};

use super::Attached;
use super::captures::Captures;
use crate::batch::{Route, SendBatch};
use crate::capture::record::Point;
use crate::counters::{Direction, DropReason, PaddedCounters, Stage};
use crate::datapath::limit::TokenBucket;
use crate::datapath::{Sink, sent};
use crate::events::{ControlDatagram, WorkerEvent};
use crate::heads::{Head, Heads};
use crate::io::sender::Sender;
use crate::io::tap::Tap;
use crate::io::udp::SharedSockets;
use crate::topology::Topology;

/// The most octets of a run: an IP packet behind an Ethernet header with two tags.
pub(super) const LARGEST: usize = 65_535 + 22;

/// Control datagrams a second that may carry a frame, and twice as many at once: those of `weft trace --live`.
pub(super) const LOADS_PER_SECOND: u32 = 100;

/// Where frames leave a worker: TAPs, the send batch, and the events for control.
pub(super) struct Outlet {
    pub(super) counters: Arc<PaddedCounters>,
    /// The worker's number.
    pub(super) index: usize,
    pub(super) topology: Arc<Topology>,
    pub(super) taps: Arc<HashMap<PortId, Attached>>,
    pub(super) batch: SendBatch,
    pub(super) sender: Sender<SharedSockets>,
    pub(super) events: EventSender<WorkerEvent>,
    pub(super) control: Option<EventSender<ControlDatagram>>,
    /// How many of these may carry a frame.
    pub(super) loads: TokenBucket,
    pub(super) now: Instant,
    pub(super) captures: Captures,
    /// Where frames come from at the moment, or where they were when they could not leave.
    pub(super) place: (Point, Option<Format>),
    /// What was dropped last.
    pub(super) heads: Heads,
    /// Where a run that was dropped is put together.
    pub(super) whole: Vec<u8>,
}

impl Outlet {
    /// Sends what is in the batch; `bodies` is the buffer in which the frames were read.
    pub(super) fn flush(&mut self, bodies: &[u8]) {
        if self.batch.is_empty() {
            return;
        }
        self.counters.tunnels.sent_octets.add(self.batch.octets() as u64);
        sent::count(&self.topology, self.index, &self.batch, bodies);
        let report = self.sender.send(&self.batch, bodies, self.now);
        if self.captures.is_on() {
            self.captures.left(&self.batch, bodies, &report.refused);
        }
        self.batch.clear();
        self.counters.ledger.delivered_to_underlay.add(report.sent);
        self.counters.histograms.count_batch(Stage::UnderlayTransmit, report.sent);
        self.counters.batching.udp_sends.add(report.messages);
        for refused in report.refused {
            let place = (Point::Peer(refused.to.ip()), Some(tunnel::format_of(&refused.first)));
            let (reason, amount) = (DropReason::SendError, (refused.datagrams, refused.octets));
            self.count_drop(reason, Direction::Outbound, place, amount, &refused.first);
        }
        self.counters.notices.send_retried.add(report.retried);
        self.counters.notices.icmp_errors.add(report.icmp_errors);
        for returned in report.too_big {
            let vni = returned.quoted.and_then(quoted_vni);
            let Some(mtu) = returned.mtu else { continue };
            self.tell(WorkerEvent::TooBig { to: returned.to, mtu, vni });
        }
        for (peer, refused) in report.offload {
            self.tell(WorkerEvent::Offload { name: "udp_segment", peer: Some(peer.into()), refused });
        }
    }

    /// Writes so many wire frames, in so many octets, to a port.
    pub(super) fn write(
        &self,
        port: PortId,
        (frames, octets): (u64, usize),
        write: impl FnOnce(&Tap) -> io::Result<()>,
    ) -> Result<(), DropReason> {
        let attached = self.taps.get(&port).ok_or(DropReason::TapGone)?;
        write(&attached.tap).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => DropReason::TapFull,
            _ => DropReason::TapGone,
        })?;
        attached.counters.sent.add(frames);
        attached.counters.sent_octets.add(octets as u64);
        Ok(())
    }

    /// Takes note of a frame whose virtio-net header is not right: the kernel writes no such.
    #[cold]
    pub(super) fn torn(&mut self, frame: &[u8]) {
        self.counters.ledger.received_from_ports.add(1);
        self.dropped(DropReason::Truncated, Direction::Outbound, (1, frame.len()), frame);
    }

    /// Writes a run of frames, which came from the underlay into `buffer`, to its port.
    pub(super) fn write_run(&mut self, run: &Write, buffer: &[u8]) {
        let (port, frames) = (PortId::new(run.target()), u64::from(run.frames()));
        let octets = run.head().len() + run.pieces().iter().map(|piece| piece.len()).sum::<usize>();
        let taken = self.write(port, (frames, octets), |tap| tap.write_run(run, buffer));
        if self.captures.is_on() {
            self.captures.wrote(run, buffer, taken.err());
        }
        match taken {
            Ok(()) => self.counters.count_delivery(frames),
            Err(reason) => self.run_dropped(reason, run, buffer),
        }
    }

    /// Takes note of a run that its port did not take.
    #[cold]
    fn run_dropped(&mut self, reason: DropReason, run: &Write, buffer: &[u8]) {
        let mut whole = std::mem::take(&mut self.whole);
        whole.clear();
        whole.extend_from_slice(run.head());
        run.pieces().iter().for_each(|piece| whole.extend_from_slice(piece.of(buffer)));
        let place = (Point::Port(PortId::new(run.target())), None);
        let amount = (u64::from(run.frames()), whole.len());
        self.count_drop(reason, Direction::Inbound, place, amount, &whole);
        self.whole = whole;
    }

    /// Counts frames that were dropped at a place, and keeps the head of the first.
    #[cold]
    fn count_drop(
        &mut self,
        reason: DropReason,
        direction: Direction,
        place: (Point, Option<Format>),
        amount: (u64, usize),
        octets: &[u8],
    ) {
        self.counters.count_drop(reason, direction, amount);
        self.heads.note(reason, Head::new(self.now, direction, place, (amount.0, octets)));
    }

    /// Counts a burst that was read from a port.
    pub(super) fn count_read(&self, port: PortId, frames: u64, octets: u64) {
        if let Some(attached) = self.taps.get(&port) {
            attached.counters.received.add(frames);
            attached.counters.received_octets.add(octets);
        }
    }
}

/// The network of a frame whose tunnel header came back; both formats have it at the same place, control datagrams none.
fn quoted_vni(header: [u8; tunnel::HEADER_LEN]) -> Option<Vni> {
    let [.., v0, v1, v2, _] = header;
    (!control::is_head(&header)).then(|| Vni::from_octets([v0, v1, v2]))
}

impl Sink for Outlet {
    #[inline]
    fn datagram(&mut self, route: Route, head: usize, body: Span, buffer: &[u8]) -> &mut [u8] {
        if self.batch.is_full(head + body.len()) {
            self.flush(buffer);
        }
        if self.captures.is_on() {
            self.captures.sends(route, self.batch.next_place(route, head + body.len()));
        }
        self.batch.datagram(route, head, body, buffer)
    }

    fn deliver(&mut self, port: PortId, vnet: &VnetHeader, frame: &[u8], frames: u64) {
        if let Err(reason) = self.write(port, (frames, frame.len()), |tap| tap.write(vnet, frame)) {
            // Several ports may get the frame, and then peers: what they drop came from where it came from.
            let from = std::mem::replace(&mut self.place, (Point::Port(port), None));
            self.dropped(reason, Direction::Outbound, (frames, frame.len()), frame);
            self.place = from;
            return;
        }
        self.counters.count_delivery(frames);
        if self.captures.is_on() {
            self.captures.delivers(port, frame);
        }
    }

    fn answer(&mut self, port: PortId, frame: &[u8]) {
        match self.write(port, (1, frame.len()), |tap| tap.write(&VnetHeader::default(), frame)) {
            Ok(()) => self.counters.count_answer(frame),
            Err(reason) => return self.dropped(reason, Direction::Outbound, (1, frame.len()), frame),
        }
        if self.captures.is_on() {
            self.captures.answers(port, frame);
        }
    }

    fn originate(&mut self, port: PortId, frame: &[u8]) -> bool {
        let taken =
            self.write(port, (1, frame.len()), |tap| tap.write(&VnetHeader::default(), frame)).is_ok();
        if taken {
            self.counters.notices.originated.add(1);
            if self.captures.is_on() {
                self.captures.originates(port, frame);
            }
        }
        taken
    }

    #[inline]
    fn goes_to_ports(&mut self, to: Option<PortId>) {
        if self.captures.is_on() {
            self.captures.goes_to_ports(to);
        }
    }

    #[cold]
    fn dropped(&mut self, reason: DropReason, direction: Direction, amount: (u64, usize), octets: &[u8]) {
        if self.captures.is_on() {
            self.captures.drops(reason, direction);
        }
        self.count_drop(reason, direction, self.place, amount, octets);
    }

    fn control(&mut self, datagram: ControlDatagram) {
        let lost = self.control.as_ref().is_none_or(|control| control.try_send(datagram).is_err());
        self.counters.notices.control_lost.add(u64::from(lost));
    }

    fn takes_load(&mut self) -> bool {
        self.loads.take(1, self.now)
    }

    fn tell(&mut self, event: WorkerEvent) {
        if self.events.try_send(event).is_err() {
            self.counters.notices.learn_lost.add(1);
        }
    }
}
