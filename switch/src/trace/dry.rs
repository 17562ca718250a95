//! A dry run: one frame through the stages of one node, and nothing of it leaves.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use encap::coalesce::{Coalescer, Offload};
use encap::relay::Relay;
use encap::vnet::VnetHeader;
use encap::{Format, PortId, Span};
use fdb::Shared;

use super::story::StageName;
use crate::batch::Route;
use crate::counters::{Direction, DropReason, PaddedCounters, Totals};
use crate::datapath::inbound::{self, Message};
use crate::datapath::lookup::Lookup;
use crate::datapath::memory::{MemorySink, SentMessage};
use crate::datapath::outbound::{self, PortState};
use crate::datapath::{Context, Passed, Sink};
use crate::events::{ControlDatagram, WorkerEvent};
use crate::topology::{PeerIndex, PeerView, Topology};

/// The state of a node at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Dry<'a> {
    /// Networks, ports and peers. Peers that frames would go to are noted as active in it: give it a copy.
    pub topology: &'a Topology,
    /// The FDB.
    pub shared: &'a Arc<Shared>,
    /// How many source ports flows are spread over.
    pub source_ports: u16,
    /// The time.
    pub now: Instant,
}

/// What the stages did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// The datagrams that would leave, a message each.
    pub sent: Vec<SentMessage>,
    /// The ports that would get the frame, or an answer to it.
    pub delivered: Vec<PortId>,
    /// Whether it would be answered here.
    pub is_answered: bool,
    /// Whether its sender would be told that it is too big.
    pub is_told: bool,
    /// Why it, or copies of it, would be dropped: one for each.
    pub drops: Vec<DropReason>,
}

/// How long the stages took: each on its own, with what the clock needs, and with caches as cold as for the first frame of
/// a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Took {
    /// The stages that the frame passed, in order.
    pub passed: Vec<(StageName, Duration)>,
    /// From there to the end: the stage in which it left, was delivered, or dropped.
    pub rest: Duration,
}

impl Ran {
    /// Whether it, or a copy of it, goes anywhere.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        !self.sent.is_empty() || !self.delivered.is_empty()
    }

    /// The peers that the datagrams are for, each once, and the first datagram for each.
    #[must_use]
    pub fn peers(&self, topology: &Topology) -> Vec<(PeerIndex, &SentMessage)> {
        let mut peers: Vec<(PeerIndex, &SentMessage)> = Vec::new();
        for message in &self.sent {
            let Some(peer) = addressee(topology, message) else { continue };
            if peers.iter().all(|(known, _)| *known != peer) {
                peers.push((peer, message));
            }
        }
        peers
    }
}

/// For whom a message is: what another node passes on, or gets to pass on, names its receiver.
fn addressee(topology: &Topology, message: &SentMessage) -> Option<PeerIndex> {
    let to = message.route.to;
    let named = Relay::of(&message.octets).map(|relay| relay.to);
    let is_named = |peer: &PeerView| {
        let next = peer.via.map(|via| via.to).or(peer.geneve);
        next == Some(to) && named == Some(peer.vtep.ip())
    };
    let is_straight = |peer: &PeerView| peer.via.is_none() && peer.to == to;
    // Of two with one address, the later is the one in use.
    let peers = &topology.peers;
    let place = peers.iter().rposition(is_named).or_else(|| peers.iter().rposition(is_straight))?;
    u16::try_from(place).ok().map(PeerIndex)
}

impl Dry<'_> {
    /// A port sends a frame; `clock` says how long each stage takes. All limits of the port are as if it had been silent.
    #[must_use]
    pub fn send(&self, port: PortId, mut frame: Vec<u8>, clock: &dyn Fn() -> Instant) -> (Ran, Took) {
        let Some(view) = self.topology.ports.get(&port) else {
            return (Ran { drops: vec![DropReason::TapGone], ..Ran::default() }, Took::default());
        };
        let mut state = PortState::new(port, view, self.now);
        let span = Span::new(0, frame.len());
        self.run(clock, |cx, lookup, sink| {
            outbound::handle_frame(cx, lookup, &mut state, (&VnetHeader::default(), span, &mut frame), sink);
        })
    }

    /// A datagram arrives at the port of a format; `clock` says how long each stage takes.
    #[must_use]
    pub fn receive(
        &self,
        from: IpAddr,
        format: Format,
        mut datagram: Vec<u8>,
        clock: &dyn Fn() -> Instant,
    ) -> (Ran, Took) {
        let len = datagram.len();
        let message = Message { from, format, start: 0, len, stride: len, tos: 0 };
        let mut coalescer = Coalescer::new(Offload { tcp: false, udp: false });
        self.run(clock, |cx, lookup, sink| {
            inbound::handle_message(cx, lookup, &mut coalescer, (&message, &mut datagram), sink);
            coalescer.finish().iter().for_each(|write| sink.inner.write_run(write, &datagram));
        })
    }

    fn run(
        &self,
        clock: &dyn Fn() -> Instant,
        stages: impl FnOnce(&Context<'_>, &mut Lookup, &mut TimedSink<'_>),
    ) -> (Ran, Took) {
        let counters: Arc<PaddedCounters> = Arc::default();
        let inner = MemorySink::new(Arc::clone(&counters), 1);
        let &Self { topology, now, source_ports, .. } = self;
        // No such worker: what peers are counted with is left alone.
        let worker = usize::MAX;
        let cx = Context { topology, counters: &counters, worker, now, source_ports };
        let mut lookup = Lookup::new(Arc::clone(self.shared));
        let mut sink = TimedSink { inner, clock, since: clock(), passed: Vec::with_capacity(STAGES) };
        stages(&cx, &mut lookup, &mut sink);
        sink.inner.flush();
        let rest = clock().saturating_duration_since(sink.since);
        let TimedSink { inner: sink, passed, .. } = sink;
        let totals = Totals::of([&**counters]);
        let dropped = DropReason::ALL.iter().zip(&totals.drops);
        let times = |(reason, both): (&DropReason, &[u64; 2])| {
            std::iter::repeat_n(*reason, usize::try_from(both.iter().sum::<u64>()).unwrap_or(0))
        };
        let ran = Ran {
            delivered: sink.delivered.iter().map(|delivery| delivery.port).collect(),
            is_answered: totals.ledger.answered > 0,
            is_told: !sink.originated.is_empty(),
            drops: dropped.flat_map(times).collect(),
            sent: sink.sent,
        };
        (ran, Took { passed, rest })
    }
}

/// Stages that a frame passes at one node, at most.
const STAGES: usize = 4;

/// A sink in memory that asks the clock whenever a stage is passed.
struct TimedSink<'a> {
    inner: MemorySink,
    clock: &'a dyn Fn() -> Instant,
    /// When the stage began.
    since: Instant,
    passed: Vec<(StageName, Duration)>,
}

impl Sink for TimedSink<'_> {
    fn datagram(&mut self, route: Route, head: usize, body: Span, buffer: &[u8]) -> &mut [u8] {
        self.inner.datagram(route, head, body, buffer)
    }

    fn deliver(&mut self, port: PortId, vnet: &VnetHeader, frame: &[u8], frames: u64) {
        self.inner.deliver(port, vnet, frame, frames);
    }

    fn answer(&mut self, port: PortId, frame: &[u8]) {
        self.inner.answer(port, frame);
    }

    fn originate(&mut self, port: PortId, frame: &[u8]) -> bool {
        self.inner.originate(port, frame)
    }

    fn dropped(&mut self, reason: DropReason, direction: Direction, amount: (u64, usize), octets: &[u8]) {
        self.inner.dropped(reason, direction, amount, octets);
    }

    fn control(&mut self, datagram: ControlDatagram) {
        self.inner.control(datagram);
    }

    fn tell(&mut self, event: WorkerEvent) {
        self.inner.tell(event);
    }

    fn passed(&mut self, stage: Passed) {
        let now = (self.clock)();
        let stage = match stage {
            Passed::Admit => StageName::Admit,
            Passed::Observe => StageName::Observe,
            Passed::Decide => StageName::Decide,
            Passed::Open => StageName::Open,
            Passed::CheckEthernet => StageName::CheckEthernet,
        };
        self.passed.push((stage, now.saturating_duration_since(self.since)));
        self.since = now;
    }
}
