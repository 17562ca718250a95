//! A dry run: one frame through the stages of one node, and nothing of it leaves.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use encap::coalesce::{Coalescer, Offload};
use encap::relay::Relay;
use encap::vnet::VnetHeader;
use encap::{Format, PortId, Span};
use fdb::Shared;

use crate::counters::{DropReason, PaddedCounters, Totals};
use crate::datapath::Context;
use crate::datapath::inbound::{self, Message};
use crate::datapath::lookup::Lookup;
use crate::datapath::memory::{MemorySink, SentMessage};
use crate::datapath::outbound::{self, PortState};
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
    /// A port sends a frame. All limits of the port are as if it had been silent.
    #[must_use]
    pub fn send(&self, port: PortId, mut frame: Vec<u8>) -> Ran {
        let Some(view) = self.topology.ports.get(&port) else {
            return Ran { drops: vec![DropReason::TapGone], ..Ran::default() };
        };
        self.run(|cx, lookup, sink| {
            let mut state = PortState::new(port, view, self.now);
            let span = Span::new(0, frame.len());
            outbound::handle_frame(cx, lookup, &mut state, (&VnetHeader::default(), span, &mut frame), sink);
        })
    }

    /// A datagram arrives at the port of a format.
    #[must_use]
    pub fn receive(&self, from: IpAddr, format: Format, mut datagram: Vec<u8>) -> Ran {
        let len = datagram.len();
        let message = Message { from, format, start: 0, len, stride: len, tos: 0 };
        self.run(|cx, lookup, sink| {
            let mut coalescer = Coalescer::new(Offload { tcp: false, udp: false });
            inbound::handle_message(cx, lookup, &mut coalescer, (&message, &mut datagram), sink);
            coalescer.finish().iter().for_each(|write| sink.write_run(write, &datagram));
        })
    }

    fn run(&self, stages: impl FnOnce(&Context<'_>, &mut Lookup, &mut MemorySink)) -> Ran {
        let counters: Arc<PaddedCounters> = Arc::default();
        let mut sink = MemorySink::new(Arc::clone(&counters), 1);
        let &Self { topology, now, source_ports, .. } = self;
        // No such worker: what peers are counted with is left alone.
        let worker = usize::MAX;
        let cx = Context { topology, counters: &counters, worker, now, source_ports };
        stages(&cx, &mut Lookup::new(Arc::clone(self.shared)), &mut sink);
        sink.flush();
        let totals = Totals::of([&**counters]);
        let dropped = DropReason::ALL.iter().zip(&totals.drops);
        let times = |(reason, both): (&DropReason, &[u64; 2])| {
            std::iter::repeat_n(*reason, usize::try_from(both.iter().sum::<u64>()).unwrap_or(0))
        };
        Ran {
            delivered: sink.delivered.iter().map(|delivery| delivery.port).collect(),
            is_answered: totals.ledger.answered > 0,
            is_told: !sink.originated.is_empty(),
            drops: dropped.flat_map(times).collect(),
            sent: sink.sent,
        }
    }
}
