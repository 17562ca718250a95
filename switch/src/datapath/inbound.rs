//! Underlay -> ports of this host: the mirror of [`super::outbound`].
//!
//! The stages, in order; a datagram that fails one is dropped with its reason.
//!
//! 1. [`handle_message`] counts what was received, and asks once a message: is the sender a peer?
//! 2. `open`: is there a frame of one of our networks, and is the peer on that network?
//! 3. `admit`: is it a frame that a switch forwards? The outer congestion mark moves into it.
//! 4. `learn`: static peers only; members say by gossip what they have.
//! 5. `deliver`: to local ports only, never back to the underlay (split horizon), through the coalescer.

use std::net::IpAddr;

use encap::coalesce::{Coalescer, Pushed};
use encap::ecn::{self, Ecn};
use encap::ether::Frame;
use encap::inet::Layers;
use encap::{Format, PortId, Span, tunnel};
use fdb::Location;

use super::lookup::{Lookup, Place};
use super::outbound::check_ethernet;
use super::{Context, Sink};
use crate::counters::{Direction, DropReason};
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

/// Takes one message; frames for ports go to `coalescer`, which the caller finishes at the end of its batch.
///
/// # Cost
///
/// No allocation and no lock while the flow cache hits; the payload is read once, for its checksum, and not copied.
pub fn handle_message<S: Sink>(
    cx: &Context<'_>,
    lookup: &mut Lookup,
    coalescer: &mut Coalescer,
    (message, buffer): (&Message, &mut [u8]),
    sink: &mut S,
) {
    let datagrams = message.len.div_ceil(message.stride.max(1)).max(1);
    cx.counters.ledger.received_from_underlay.add(datagrams as u64);
    let peer = if cx.topology.stopping {
        Err(DropReason::Shutdown)
    } else {
        cx.topology.peer_from(message.from).ok_or(DropReason::UnknownPeer)
    };
    let peer = match peer {
        Ok(peer) => peer,
        Err(reason) => return cx.counters.count_drop(reason, Direction::Inbound, datagrams as u64),
    };
    let mut arrival = Arrival { cx, lookup, coalescer, sink, peer, ecn: Ecn::from_tos(message.tos) };
    for index in 0..datagrams {
        let at = index * message.stride;
        let span = Span::new(message.start + at, message.stride.min(message.len - at));
        if let Err(reason) = arrival.forward(message.format, span, buffer) {
            cx.counters.count_drop(reason, Direction::Inbound, 1);
        }
    }
}

struct Arrival<'a, 'c, S> {
    cx: &'a Context<'c>,
    lookup: &'a mut Lookup,
    coalescer: &'a mut Coalescer,
    sink: &'a mut S,
    peer: PeerIndex,
    ecn: Ecn,
}

impl<S: Sink> Arrival<'_, '_, S> {
    #[inline]
    fn forward(&mut self, format: Format, datagram: Span, buffer: &mut [u8]) -> Result<(), DropReason> {
        let (network, span) = self.open(format, datagram, buffer)?;
        let network = self.cx.topology.network(network);
        let octets = &mut buffer[span.start as usize..][..span.len as usize];
        let frame = Frame::new(octets)?;
        check_ethernet(&frame, network)?;
        let (src, dst) = (frame.src(), frame.dst());
        let peer = self.cx.topology.peer(self.peer);
        if !peer.listen_only {
            let (from, now) = (Location::Remote(peer.vtep), self.cx.now);
            let sink = &mut *self.sink;
            self.lookup.observe((network.vni, src), from, network.mac_age, now, |event| sink.tell(event))?;
        }
        let mut layers = Layers::of(octets);
        if ecn::apply(octets, layers.l3, self.ecn).map_err(|_| DropReason::IpTunnelEcn)? {
            layers = Layers::of(octets);
        }
        let to = if dst.is_group() { None } else { self.decide(network, dst)? };
        self.deliver(network, to, span, &layers, buffer)
    }

    /// Stage 2.
    #[inline]
    fn open(
        &self,
        format: Format,
        datagram: Span,
        buffer: &[u8],
    ) -> Result<(NetworkIndex, Span), DropReason> {
        let strict = self.cx.topology.encap.vxlan_strict;
        let (vni, offset) = tunnel::decode(format, datagram.of(buffer), strict)?;
        let network = self.cx.topology.network_of(vni).ok_or(DropReason::UnknownVni)?;
        if !self.cx.topology.peer(self.peer).networks.contains(&network) {
            return Err(DropReason::UnknownPeer);
        }
        let frame = Span::new(datagram.start as usize + offset, datagram.len as usize - offset);
        Ok((network, frame))
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

#[cfg(test)]
mod tests;
