//! The data path: what happens to a frame, in packet order.
//!
//! | module | direction |
//! |---|---|
//! | [`outbound`] | port -> underlay or another port: numbered stages, pure |
//! | [`inbound`] | underlay -> ports: the mirror, pure |
//! | `too_big` | frames that do not fit the path to their peer: cut, fragmented, or their sender told |
//! | [`lookup`], [`guard`], [`limit`], [`verdict`] | what the stages ask: the FDB, the port guard, the flood limits |
//! | `sent` | what leaves, counted for the peer that gets it |
//! | `neighbor` | ARP and ND of ports: what is told to control, what is answered here |
//! | [`worker`] | the loop: read, outbound, send; receive, inbound, write; the only module here that does I/O |
//! | [`memory`] | the worker's twin without devices, for tests and benches |
//!
//! The stages take time, topology and counters as a [`Context`] and hand what they make to a [`Sink`], so that tests
//! and benches run them without a device.

pub mod guard;
pub mod inbound;
pub mod limit;
pub mod lookup;
pub mod memory;
mod neighbor;
pub mod outbound;
mod sent;
mod too_big;
pub mod verdict;
pub mod worker;

use std::time::Instant;

use encap::vnet::VnetHeader;
use encap::{PortId, Span};

use crate::batch::Route;
use crate::counters::{Direction, DropReason, WorkerCounters};
use crate::events::{ControlDatagram, WorkerEvent};
use crate::topology::Topology;

/// What the stages know of the world at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Networks, ports and peers.
    pub topology: &'a Topology,
    /// The ledger.
    pub counters: &'a WorkerCounters,
    /// The worker's number, under which it counts what is shared with others.
    pub worker: usize,
    /// The time when the burst was read.
    pub now: Instant,
    /// How many UDP source ports flows are spread over; at least one.
    pub source_ports: u16,
}

/// A stage that a frame has passed, of those whose end is not told by what the [`Sink`] gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// A port may send it.
    Admit,
    /// Who sends it is known.
    Observe,
    /// Where it goes is known.
    Decide,
    /// It is a datagram of a peer, on a network that is here.
    Open,
    /// It is a frame that a switch forwards.
    CheckEthernet,
}

/// Where the stages put what they make. Whoever implements it counts what it delivers, or why it did not.
pub trait Sink {
    /// Adds a datagram to the underlay: a head of `head` octets, to be filled by the caller, and behind it the octets
    /// of `buffer` that `body` names. The buffer must stay as it is until the datagram has left.
    fn datagram(&mut self, route: Route, head: usize, body: Span, buffer: &[u8]) -> &mut [u8];

    /// Writes a frame or super-frame, worth `frames` wire frames, to a local port as it is.
    fn deliver(&mut self, port: PortId, vnet: &VnetHeader, frame: &[u8], frames: u64);

    /// Writes a frame that was made here to the port that asked for it, as the answer to one wire frame.
    fn answer(&mut self, port: PortId, frame: &[u8]);

    /// Writes a frame that was made here to a port that did not ask for it, such as an ICMP error: outside the ledger. Says
    /// whether the port took it.
    fn originate(&mut self, port: PortId, frame: &[u8]) -> bool;

    /// Takes note of wire frames that were dropped, so many of so many octets together: counts them, and keeps what is worth
    /// keeping. Every drop of stages and devices comes here. `octets` are the datagram where
    /// [`DropReason::drops_datagram`] says so, else the frame; of several that share a fate the first, and as it was changed
    /// until then.
    fn dropped(&mut self, reason: DropReason, direction: Direction, amount: (u64, usize), octets: &[u8]);

    /// Hands a control datagram to whoever watches paths; never waits.
    fn control(&mut self, datagram: ControlDatagram);

    /// Whether one more control datagram is taken that carries a frame: it costs memory before anybody has opened its seal,
    /// and whoever forges a member's address can make many.
    fn takes_load(&mut self) -> bool {
        true
    }

    /// Tells control something; never waits.
    fn tell(&mut self, event: WorkerEvent);

    /// The frame at hand came from the underlay and goes to this port; `None` = to all of its network. For whoever tells of it.
    #[inline]
    fn goes_to_ports(&mut self, _to: Option<PortId>) {}

    /// A frame has passed a stage: for whoever takes the time of each. Workers do not, and it costs them nothing.
    #[inline]
    fn passed(&mut self, _stage: Passed) {}
}

#[cfg(test)]
#[path = "../../../tests/harness/frames.rs"]
#[allow(dead_code, unreachable_pub)] // shared with the tests of the workspace, where it is public
mod frames;
#[cfg(test)]
mod testing;
