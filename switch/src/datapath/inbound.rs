//! Underlay -> ports of this host: the mirror of [`super::outbound`].
//!
//! The stages, in order; a datagram that fails one is dropped with its reason.
//!
//! 1. [`handle_message`] counts what was received, and asks once a message: is the sender a peer? Control datagrams of
//!    members are no frames: they go to whoever watches paths.
//! 2. `open`: is there a frame of one of our networks, and is the peer on that network? The peer is the sender, or whoever
//!    is named in a frame that another node passed on (`relayed`).
//! 3. `check_ethernet`: is it a frame that a switch forwards?
//! 4. `observe`, `decide`: who sends from there (static peers only; members say by gossip what they have), and which
//!    port is it for? Stages 2 to 4 are asked once for datagrams of a message whose headers are the same.
//! 5. `deliver`: the outer congestion mark moves into the frame, which goes to local ports only, never back to the
//!    underlay (split horizon), through the coalescer. There are two exceptions, both once in a frame's life: `pass_on`,
//!    of what one member cannot send to another directly, and `hand_over`, of strays for an address that moved from here
//!    a moment ago.

use std::net::IpAddr;

use encap::coalesce::{Coalescer, Pushed};
use encap::ecn::{self, Ecn};
use encap::ether::{self, Frame};
use encap::inet::Layers;
use encap::{Format, PortId, Span, Vni, control, mss, tunnel};
use fdb::Location;

use super::lookup::{Lookup, Place, Sighting};
use super::outbound::{self, check_ethernet};
use super::{Context, Passed, Sink};
use super::{neighbor, too_big};
use crate::counters::{Direction, DropReason};
use crate::events::ControlDatagram;
use crate::topology::{NetworkIndex, NetworkView, PeerIndex};

/// One message of the underlay: one datagram, or several of `stride` octets each (the last may be shorter).
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// The underlay address that sent it.
    pub from: IpAddr,
    /// The encapsulation, which the port tells that it came to.
    pub format: Format,
    /// Where it starts in the receive buffer.
    pub start: usize,
    /// Its octets.
    pub len: usize,
    /// The octets of each datagram.
    pub stride: usize,
    /// The outer TOS or traffic class.
    pub tos: u8,
}

impl Message {
    /// Its datagrams, each as a message of its own.
    pub(super) fn datagrams(self) -> impl Iterator<Item = Self> {
        let (stride, end) = (self.stride.max(1), self.start + self.len);
        // A message without octets is one datagram without octets.
        let starts = (self.start..end.max(self.start + 1)).step_by(stride);
        starts.map(move |start| {
            let len = stride.min(end - start);
            Self { start, len, stride: len, ..self }
        })
    }
}

/// Takes one message; frames for ports go to `coalescer`, which the caller finishes at the end of its batch.
///
/// # Cost
///
/// No allocation and no lock; the payload is read once, for its checksum, and not copied.
pub fn handle_message<S: Sink>(
    cx: &Context<'_>,
    lookup: &mut Lookup,
    coalescer: &mut Coalescer,
    (message, buffer): (&Message, &mut [u8]),
    sink: &mut S,
) {
    let datagrams = message.len.div_ceil(message.stride.max(1)).max(1);
    let mut frames = datagrams as u64;
    let peer = if cx.topology.stopping {
        Err(DropReason::Shutdown)
    } else {
        cx.topology.peer_from(message.from).ok_or(DropReason::UnknownPeer)
    };
    let peer = match peer {
        Ok(peer) => peer,
        Err(reason) => {
            cx.counters.ledger.received_from_underlay.add(frames);
            let first = Span::new(message.start, message.stride.min(message.len));
            return sink.dropped(reason, Direction::Inbound, (frames, message.len), first.of(buffer));
        }
    };
    let ecn = Ecn::from_tos(message.tos);
    let mut arrival = Arrival { cx, lookup, coalescer, sink, peer, ecn, way: None };
    for index in 0..datagrams {
        let at = index * message.stride;
        let span = Span::new(message.start + at, message.stride.min(message.len - at));
        match arrival.forward(message.format, span, buffer) {
            Ok(()) => {}
            Err(DropReason::VxlanNoVni | DropReason::GeneveControl)
                if arrival.take_control(message, span.of(buffer)) =>
            {
                frames -= 1;
            }
            Err(reason) => arrival.sink.dropped(reason, Direction::Inbound, (1, span.len()), span.of(buffer)),
        }
    }
    cx.counters.ledger.received_from_underlay.add(frames);
    cx.topology.peer(peer).traffic.count_received(cx.worker, message.format, frames, message.len as u64);
}

struct Arrival<'a, 'c, S> {
    cx: &'a Context<'c>,
    lookup: &'a mut Lookup,
    coalescer: &'a mut Coalescer,
    sink: &'a mut S,
    peer: PeerIndex,
    ecn: Ecn,
    way: Option<Way>,
}

/// Where the frame of a datagram goes, which its tunnel and Ethernet header tell: the next datagram of a message mostly
/// has the same.
#[derive(Clone, Copy)]
struct Way {
    headers: Span,
    /// Who sent it first.
    from: PeerIndex,
    network: NetworkIndex,
    frame: usize,
    /// One port, or `None` = all of them.
    to: Option<PortId>,
}

impl Way {
    #[inline]
    fn holds_for(&self, datagram: Span, buffer: &[u8]) -> bool {
        let headers = datagram.of(buffer).get(..self.headers.len());
        headers.is_some_and(|headers| headers == self.headers.of(buffer))
    }
}

impl<S: Sink> Arrival<'_, '_, S> {
    #[inline]
    fn forward(&mut self, format: Format, datagram: Span, buffer: &mut [u8]) -> Result<(), DropReason> {
        let way = match self.way.filter(|way| way.holds_for(datagram, buffer)) {
            Some(way) => way,
            None => match self.find_way(format, datagram, buffer) {
                Err(DropReason::SplitHorizon) => return self.hand_over(format, datagram, buffer),
                found => match found? {
                    Some(way) => way,
                    None => return Ok(()),
                },
            },
        };
        self.way = Some(way);
        let span = Span::new(datagram.start as usize + way.frame, datagram.len() - way.frame);
        let octets = span.of_mut(buffer);
        let mut layers = Layers::of(octets);
        if ecn::apply(octets, layers.l3, self.ecn).map_err(|_| DropReason::IpTunnelEcn)? {
            layers = Layers::of(octets);
        }
        if self.cx.topology.encap.clamp_mss && mss::is_syn(octets, &layers) {
            too_big::clamp(octets, &layers, outbound::room(self.cx.topology.peer(way.from)));
        }
        self.deliver(self.cx.topology.network(way.network), way.to, span, &layers, buffer)
    }

    /// Stages 2 to 4, and where the frame goes; `None` = it was passed on to another node.
    fn find_way(
        &mut self,
        format: Format,
        datagram: Span,
        buffer: &mut [u8],
    ) -> Result<Option<Way>, DropReason> {
        let (vni, offset) = tunnel::decode(format, datagram.of(buffer), self.cx.topology.encap.vxlan_strict)?;
        let mut from = self.peer;
        if offset != tunnel::HEADER_LEN {
            match self.relayed(datagram, offset, buffer)? {
                Some(origin) => from = origin,
                None => return Ok(None),
            }
        }
        let index = self.open(vni, from)?;
        self.sink.passed(Passed::Open);
        let network = self.cx.topology.network(index);
        let frame = Frame::new(&datagram.of(buffer)[offset..])?;
        check_ethernet(&frame, network)?;
        self.sink.passed(Passed::CheckEthernet);
        let (src, dst) = (frame.src(), frame.dst());
        let peer = self.cx.topology.peer(from);
        if peer.learn {
            let (vni, from, age) = (network.vni, Location::Remote(peer.vtep), network.mac_age);
            let sink = &mut *self.sink;
            let sighting = Sighting { vni, mac: src, from, now: self.cx.now, age };
            self.lookup.observe(sighting, |event| sink.tell(event))?;
        }
        if network.suppress {
            let sink = &mut *self.sink;
            neighbor::note_lease(self.cx, self.lookup, &frame, network, |event| sink.tell(event));
        }
        let to = if dst.is_group() { None } else { self.decide(network, dst)? };
        self.sink.passed(Passed::Decide);
        self.sink.goes_to_ports(to);
        let headers = Span::new(datagram.start as usize, offset + ether::HEADER_LEN);
        Ok(Some(Way { headers, from, network: index, frame: offset, to }))
    }

    /// Stage 2.
    #[inline]
    fn open(&self, vni: Vni, from: PeerIndex) -> Result<NetworkIndex, DropReason> {
        let network = self.cx.topology.network_of(vni).ok_or(DropReason::UnknownVni)?;
        let is_on = self.cx.topology.peer(from).networks.contains(&network);
        is_on.then_some(network).ok_or(DropReason::UnknownPeer)
    }

    /// One port, or `None` = all of them.
    #[inline]
    fn decide(&mut self, network: &NetworkView, dst: encap::MacAddr) -> Result<Option<PortId>, DropReason> {
        match self.lookup.place(self.cx.topology, self.cx.counters, network.vni, dst) {
            Place::Port(port) => Ok(Some(port)),
            Place::Peer(_) | Place::Lost(DropReason::PeerDown) => Err(DropReason::SplitHorizon),
            Place::Lost(reason) => Err(reason),
            Place::Unknown if network.flood_unknown => Ok(None),
            Place::Unknown => Err(DropReason::UnknownUnicast),
        }
    }

    /// A datagram that holds no frame: whether it is control of a member, which is handed on then.
    #[cold]
    fn take_control(&mut self, message: &Message, datagram: &[u8]) -> bool {
        let sealed =
            control::open(message.format, datagram).filter(|_| self.cx.topology.peer(self.peer).member);
        let (from, format, at) = (message.from, message.format, self.cx.now);
        let notices = &self.cx.counters.notices;
        if sealed.is_some_and(ControlDatagram::costs_memory) && !self.sink.takes_load() {
            notices.control_received.add(1);
            notices.control_lost.add(1);
            return true;
        }
        let taken = sealed.and_then(|part| ControlDatagram::new(from, format, at, datagram.len(), part));
        let Some(taken) = taken else { return false };
        notices.control_received.add(1);
        self.sink.control(taken);
        true
    }

    /// Stage 5.
    #[inline]
    fn deliver(
        &mut self,
        network: &NetworkView,
        to: Option<PortId>,
        span: Span,
        layers: &Layers,
        buffer: &[u8],
    ) -> Result<(), DropReason> {
        let ports = to.as_ref().map_or(&network.ports[..], std::slice::from_ref);
        let copies = ports.len().checked_sub(1).ok_or(DropReason::NoDestination)?;
        self.cx.counters.ledger.copies.add(copies as u64);
        let mut wrong = false;
        for port in ports {
            wrong |= self.coalescer.push(port.get(), buffer, span, layers) == Pushed::BadChecksum;
        }
        if wrong {
            self.cx.counters.notices.inner_checksum.add(1);
        }
        Ok(())
    }
}

mod relay;
#[cfg(test)]
mod tests;
