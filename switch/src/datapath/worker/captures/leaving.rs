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
        let is_refused = |place: Place| refused.iter().any(|one| one.has(place));
        let runs = std::mem::take(&mut self.runs);
        for run in &runs {
            let mut rest = *run;
            while rest.ids.count > 0 {
                let failed = is_refused(rest.place);
                let fared_alike = |index: &u32| is_refused(rest.at(*index).place) == failed;
                let alike = (1..rest.ids.count).take_while(fared_alike).fold(1, |_, index| index + 1);
                let dropped = failed.then_some((DropReason::SendError, Direction::Outbound));
                self.run_left(&rest.first(alike), (batch, bodies), dropped, now);
                rest = rest.at(alike);
            }
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
        for index in 0..if each { run.ids.count } else { 1 } {
            let Some(datagram) = payload.parts(1).nth(run.place.index + index as usize) else { break };
            let octets = &mut self.octets.looked_at;
            octets.clear();
            outer::write(ends, route.tos, (datagram.pieces(), datagram.octets()), octets);
            let (made_up, len) = (octets.len(), octets.len() + datagram.octets());
            gather(datagram.pieces(), self.most, octets);
            // The tunnel header is in one piece, and of what holds no frame all belongs to the underlay.
            let tunnel = datagram.pieces().next().and_then(inside);
            let (vni, inner) = tunnel.map_or((None, len), |(vni, start)| (Some(vni), made_up + start));
            let mask = wanted(&self.writers, point, octets, inner, len);
            let count = if each { 1 } else { run.ids.count };
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
            let ids = Ids { first: run.at(index).ids.first, count };
            let record = Record {
                at: 0,
                point,
                direction: Flow::Out,
                ids: ids.into(),
                size: narrow(made_up + group.size()),
                vni,
                inside: Some(nanoseconds(run.came, now)),
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
    /// Whether a datagram with this id, at this place, follows. One whose id was there already does not: of a frame that
    /// leaves in more datagrams than it came in, the last id stands for several.
    pub(super) fn continues(&self, place: Place, id: u64) -> bool {
        let next = self.at(self.ids.count);
        next.place == place && next.ids.first == id
    }

    /// What of it begins with the datagram behind so many.
    fn at(&self, index: u32) -> Self {
        let place = Place { index: self.place.index + index as usize, ..self.place };
        let ids =
            Ids { first: self.ids.first + u64::from(index), count: self.ids.count.saturating_sub(index) };
        Self { place, ids, ..*self }
    }

    /// So many of its datagrams.
    fn first(&self, count: u32) -> Self {
        Self { ids: Ids { count, ..self.ids }, ..*self }
    }
}

/// Network and place of the frame in a datagram that was made here, of which this is the first piece: in Geneve the protocol
/// stands where VXLAN has zeros.
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
