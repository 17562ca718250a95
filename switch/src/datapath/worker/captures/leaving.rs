//! The other half of a capture: frames that leave the worker.

use std::time::Instant;

use encap::coalesce::Write;
use encap::{Format, PortId, Vni, tunnel};

use super::{Captures, Mask, Run, narrow, put, wanted};
use crate::batch::{Place, SendBatch};
use crate::capture::outer;
use crate::capture::record::{Decision, Flow, Ids, Point, Record, Runs};
use crate::clock;
use crate::counters::{Direction, DropReason};
use crate::io::sender::Refused;

impl Captures {
    /// The send batch was sent, but for what was refused; `bodies` is where its bodies lie.
    #[cold]
    pub(in crate::datapath::worker) fn left(
        &mut self,
        batch: &SendBatch,
        bodies: &[u8],
        refused: &[Refused],
    ) {
        let now = clock::now();
        let mut refused: Vec<_> = refused.iter().map(|one| (one.to, one.datagrams)).collect();
        let runs = std::mem::take(&mut self.runs);
        for run in &runs {
            let group = &batch.groups()[run.place.group];
            let failed =
                refused.iter_mut().find(|(to, left)| *to == group.route().to.socket_addr() && *left > 0);
            // Which of several it were is not known; how many is.
            let dropped = failed.map(|(_, left)| {
                *left = left.saturating_sub(u64::from(run.count));
                (DropReason::SendError, Direction::Outbound)
            });
            self.run_left(run, (batch, bodies), dropped, now);
        }
        self.runs = runs;
        self.runs.clear();
    }

    /// Records the datagrams of a run, neighbours that the same captures want together.
    fn run_left(
        &mut self,
        run: &Run,
        (batch, bodies): (&SendBatch, &[u8]),
        dropped: Option<(DropReason, Direction)>,
        now: Instant,
    ) {
        let group = &batch.groups()[run.place.group];
        let route = group.route();
        let ends = (self.own_end(route), route.to.socket_addr());
        let point = self.point_of(route.to.ip());
        let each = self.writers.iter().any(|writer| writer.wanted.filters());
        let payload = batch.payload(group, bodies);
        let mut open: Option<(Mask, Record<'static>)> = None;
        for index in 0..if each { run.count } else { 1 } {
            let Some(datagram) = payload.parts(1).nth(run.place.index + index as usize) else { break };
            let octets = &mut self.octets.looked_at;
            octets.clear();
            outer::write(ends, route.tos, datagram.octets(), octets);
            let (made_up, len) = (octets.len(), octets.len() + datagram.octets());
            gather(datagram.pieces(), self.most, octets);
            let (vni, inner) =
                inside(&octets[made_up..]).map_or((None, octets.len()), |(v, i)| (Some(v), made_up + i));
            let mask = wanted(&self.writers, point, octets, inner, len);
            let count = if each { 1 } else { run.count };
            if let Some((same, record)) = &mut open
                && *same == mask
            {
                record.ids = Ids { count: record.ids.runs()[0].count + 1, ..record.ids.runs()[0] }.into();
                continue;
            }
            if let Some((mask, record)) = open.take() {
                let record = Record { octets: &self.octets.first, ..record };
                put(&mut self.writers, mask, now, &record, &mut self.octets.record);
            }
            std::mem::swap(&mut self.octets.first, &mut self.octets.looked_at);
            let ids = Ids { first: run.ids.first + u64::from(index.min(run.ids.count - 1)), count };
            let record = Record {
                at: 0,
                point,
                direction: Flow::Out,
                ids: ids.into(),
                size: narrow(made_up + group.size()),
                vni,
                inside: run.came.map(|came| nanoseconds(came, now)),
                decision: Decision::None,
                dropped,
                outer: u16::try_from(inner).unwrap_or(u16::MAX),
                len: narrow(len),
                octets: &[],
            };
            open = Some((mask, record));
        }
        if let Some((mask, record)) = open {
            let record = Record { octets: &self.octets.first, ..record };
            put(&mut self.writers, mask, now, &record, &mut self.octets.record);
        }
    }

    /// A run of received frames was written to its port, or refused.
    #[cold]
    pub(in crate::datapath::worker) fn wrote(
        &mut self,
        run: &Write,
        buffer: &[u8],
        refused: Option<DropReason>,
    ) {
        let (mut ids, mut came) = (Runs::default(), None);
        for piece in run.pieces() {
            let at = piece.start as usize;
            let message = self.messages.iter().rev().find(|message| message.start <= at);
            if let Some(message) = message {
                let index = (at - message.start) / message.stride;
                ids.push(Ids { first: message.first + index as u64, count: 1 });
                came.get_or_insert(message.came);
            }
        }
        let mut whole = std::mem::take(&mut self.octets.looked_at);
        whole.clear();
        let pieces = || [run.head()].into_iter().chain(run.pieces().iter().map(|piece| piece.of(buffer)));
        gather(pieces(), self.most, &mut whole);
        let len = pieces().map(<[u8]>::len).sum();
        let dropped = refused.map(|reason| (reason, Direction::Inbound));
        self.goes_to_port(PortId::new(run.target()), ids, came, dropped, (&whole, len));
        self.octets.looked_at = whole;
    }

    /// The receive buffer is used for something else.
    #[cold]
    pub(in crate::datapath::worker) fn forget_messages(&mut self) {
        self.messages.clear();
    }

    pub(super) fn goes_to_port(
        &mut self,
        port: PortId,
        ids: Runs,
        came: Option<Instant>,
        dropped: Option<(DropReason, Direction)>,
        (octets, len): (&[u8], usize),
    ) {
        let point = Point::Port(port);
        let mask = wanted(&self.writers, point, octets, 0, len);
        if mask == 0 {
            return;
        }
        let now = clock::now();
        let record = Record {
            at: 0,
            point,
            direction: Flow::Out,
            ids,
            size: 0,
            vni: self.network_of(port),
            inside: came.map(|came| nanoseconds(came, now)),
            decision: Decision::None,
            dropped,
            outer: 0,
            len: narrow(len),
            octets,
        };
        put(&mut self.writers, mask, now, &record, &mut self.octets.record);
    }
}

impl Run {
    /// Whether a datagram with this id, at this place, follows.
    pub(super) fn continues(&self, place: Place, ids: Ids) -> bool {
        let last = self.ids.first + u64::from(self.ids.count);
        self.place.index + self.count as usize == place.index && (ids.first == last || ids.first + 1 == last)
    }
}

/// Network and place of the frame in a datagram that was made here: in Geneve the protocol stands where VXLAN has zeros.
fn inside(datagram: &[u8]) -> Option<(Vni, usize)> {
    let geneve = datagram.get(2..4) == Some(&[0x65, 0x58]);
    let format = if geneve { Format::Geneve } else { Format::Vxlan };
    tunnel::decode(format, datagram, false).ok()
}

/// Adds octets, until there are `most` in all.
fn gather<'a>(pieces: impl Iterator<Item = &'a [u8]>, most: usize, out: &mut Vec<u8>) {
    for piece in pieces {
        out.extend_from_slice(&piece[..piece.len().min(most.saturating_sub(out.len()))]);
    }
}

fn nanoseconds(from: Instant, to: Instant) -> u32 {
    // The largest number says that it is not known.
    u32::try_from(to.saturating_duration_since(from).as_nanos()).unwrap_or(u32::MAX - 1)
}
