//! Where frames leave a worker: TAPs, the send batch and its sockets, and the events for control.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Sender as EventSender;
use encap::vnet::VnetHeader;
use encap::{PortId, Span, Vni, control, tunnel};

use crate::batch::{Route, SendBatch};
use crate::counters::{Direction, DropReason, PaddedCounters};
use crate::datapath::Sink;
use crate::events::{ControlDatagram, WorkerEvent};
use crate::io::sender::Sender;
use crate::io::tap::Tap;
use crate::io::udp::SharedSockets;

/// Where frames leave a worker: TAPs, the send batch, and the events for control.
pub(super) struct Outlet {
    pub(super) counters: Arc<PaddedCounters>,
    pub(super) taps: Arc<HashMap<PortId, Arc<Tap>>>,
    pub(super) batch: SendBatch,
    pub(super) sender: Sender<SharedSockets>,
    pub(super) events: EventSender<WorkerEvent>,
    pub(super) control: Option<EventSender<ControlDatagram>>,
    pub(super) now: Instant,
}

impl Outlet {
    /// Sends what is in the batch; `bodies` is the buffer in which the frames were read.
    pub(super) fn flush(&mut self, bodies: &[u8]) {
        if self.batch.is_empty() {
            return;
        }
        let report = self.sender.send(&self.batch, bodies, self.now);
        self.batch.clear();
        self.counters.ledger.delivered_to_underlay.add(report.sent);
        self.counters.batching.udp_sends.add(report.messages);
        if report.failed > 0 {
            self.counters.count_drop(DropReason::SendError, Direction::Outbound, report.failed);
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

    pub(super) fn write(
        &self,
        port: PortId,
        write: impl FnOnce(&Tap) -> io::Result<()>,
    ) -> Result<(), DropReason> {
        let tap = self.taps.get(&port).ok_or(DropReason::TapGone)?;
        write(tap).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => DropReason::TapFull,
            _ => DropReason::TapGone,
        })
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
        self.batch.datagram(route, head, body, buffer)
    }

    fn deliver(&mut self, port: PortId, vnet: &VnetHeader, frame: &[u8], frames: u64) {
        let taken = self.write(port, |tap| tap.write(vnet, frame));
        self.counters.count_delivery(taken, Direction::Outbound, frames);
    }

    fn answer(&mut self, port: PortId, frame: &[u8]) {
        let taken = self.write(port, |tap| tap.write(&VnetHeader::default(), frame));
        self.counters.count_answer(taken);
    }

    fn originate(&mut self, port: PortId, frame: &[u8]) {
        if self.write(port, |tap| tap.write(&VnetHeader::default(), frame)).is_ok() {
            self.counters.notices.originated.add(1);
        }
    }

    fn control(&mut self, datagram: ControlDatagram) {
        let lost = self.control.as_ref().is_none_or(|control| control.try_send(datagram).is_err());
        self.counters.notices.control_lost.add(u64::from(lost));
    }

    fn tell(&mut self, event: WorkerEvent) {
        if self.events.try_send(event).is_err() {
            self.counters.notices.learn_lost.add(1);
        }
    }
}
