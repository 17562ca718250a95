//! Port -> underlay, or -> another port of this host.
//!
//! The stages, in order; a frame that fails one is dropped with its reason.
//!
//! 1. [`handle_frame`] counts what was received, in wire frames.
//! 2. `admit`: is this a frame that its port may send?
//! 3. `observe`: who sends from here? News goes to control.
//! 4. `neighbor::answer`: ARP and ND that can be answered here go no further.
//! 5. `decide`: one port, one peer, or everybody.
//! 6. `send_local` and `send_remote`: a local port takes the super-frame as it is; for a peer it is cut into segments,
//!    each behind a tunnel header; headers are written into the send batch, payload stays in the read buffer. What does
//!    not fit the path goes to `too_big`; where there is no way straight to the peer, another node passes frames on.

use std::time::Instant;

use encap::ether::Frame;
use encap::inet::{Layers, UDP};
use encap::relay::{Hops, RELAY_HEADER_LEN, Relay};
use encap::segment::{self, SuperFrame};
use encap::tunnel;
use encap::vnet::VnetHeader;
use encap::{Mtu, PortId, Span, VtepAddr, ecn, flow, mss};
use fdb::Location;

use super::limit::TokenBucket;
use super::lookup::{Lookup, Place, Sighting};
use super::verdict::Verdict;
use super::{Context, Passed, Sink};
use super::{neighbor, too_big};
use crate::batch::{MAX_OCTETS, Route};
use crate::counters::{Direction, DropReason};
use crate::events::WorkerEvent;
use crate::path::Sources;
use crate::topology::{NetworkView, PeerIndex, PeerView, PortView, ViaView};

/// What a worker keeps of a port that it reads from.
#[derive(Debug)]
pub struct PortState {
    id: PortId,
    bum: TokenBucket,
    multicast: TokenBucket,
    news: TokenBucket,
    too_big: TokenBucket,
}

/// New addresses a second that a port may tell control, burst twice that: a flood of made-up ones costs others nothing.
const NEWS_PER_SECOND: u32 = 1000;
/// How often a second a port is told that what it sends is too big, burst twice that: who has many connections hears of
/// each, and who does not listen gets no more than 128 kB of it.
const TOO_BIG_PER_SECOND: u32 = 100;

impl PortState {
    /// The state of a port that has sent nothing yet.
    #[must_use]
    pub fn new(id: PortId, view: &PortView, now: Instant) -> Self {
        Self {
            id,
            bum: TokenBucket::new(view.bum_pps, now),
            multicast: TokenBucket::new(view.multicast_pps, now),
            news: TokenBucket::new(NEWS_PER_SECOND, now),
            too_big: TokenBucket::new(TOO_BIG_PER_SECOND, now),
        }
    }

    /// The port.
    pub(super) fn id(&self) -> PortId {
        self.id
    }

    /// Tells control about an address, within the port's limit.
    pub(super) fn tell<S: Sink>(&mut self, cx: &Context<'_>, event: WorkerEvent, sink: &mut S) {
        if self.news.take(1, cx.now) {
            sink.tell(event);
        } else {
            cx.counters.notices.learn_lost.add(1);
        }
    }

    /// Whether the port may be told once more that what it sends is too big.
    pub(super) fn may_be_told(&mut self, now: Instant) -> bool {
        self.too_big.take(1, now)
    }

    /// Takes over the limits of a changed configuration; a limit that stays keeps what is in its bucket.
    pub fn set_limits(&mut self, view: &PortView, now: Instant) {
        self.bum.set_rate(view.bum_pps, now);
        self.multicast.set_rate(view.multicast_pps, now);
    }
}

/// A frame that was read, and what is known of it.
pub(super) struct Sent<'a> {
    pub(super) vnet: &'a VnetHeader,
    /// The read buffer, and where in it the frame lies.
    pub(super) buffer: &'a mut [u8],
    pub(super) span: Span,
    pub(super) layers: Layers,
    /// What it is worth in wire frames.
    pub(super) frames: u64,
    /// Whether its sender was told that it is too big.
    pub(super) told: bool,
}

impl Sent<'_> {
    #[inline]
    pub(super) fn octets(&self) -> &[u8] {
        self.span.of(self.buffer)
    }
}

/// Takes one frame or super-frame that `port` sent: the octets of `buffer` that `span` names.
///
/// # Cost
///
/// No allocation and no lock; for super-frames one checksum of the payload, which is not
/// copied.
pub fn handle_frame<S: Sink>(
    cx: &Context<'_>,
    lookup: &mut Lookup,
    port: &mut PortState,
    (vnet, span, buffer): (&VnetHeader, Span, &mut [u8]),
    sink: &mut S,
) {
    let octets = span.of(buffer);
    let layers = Layers::of(octets);
    let frames = match vnet.gso {
        None => Ok(1),
        Some(_) => SuperFrame::new(octets, vnet).map(|whole| whole.segments() as u64),
    };
    let count = *frames.as_ref().unwrap_or(&1);
    cx.counters.ledger.received_from_ports.add(count);
    let mut sent = Sent { vnet, buffer, span, layers, frames: count, told: false };
    let result = match frames {
        Ok(_) => forward(cx, lookup, port, &mut sent, sink),
        Err(_) => Err(DropReason::Truncated),
    };
    if let Err(reason) = result {
        sink.dropped(reason, Direction::Outbound, (count, sent.span.len()), sent.octets());
    }
}

fn forward<S: Sink>(
    cx: &Context<'_>,
    lookup: &mut Lookup,
    port: &mut PortState,
    sent: &mut Sent<'_>,
    sink: &mut S,
) -> Result<(), DropReason> {
    let frame = Frame::new(sent.octets())?;
    if cx.topology.stopping {
        return Err(DropReason::Shutdown);
    }
    let view = cx.topology.ports.get(&port.id).ok_or(DropReason::TapGone)?;
    let network = cx.topology.network(view.network);
    admit(cx, &frame, &sent.layers, view, network)?;
    sink.passed(Passed::Admit);
    let from = Location::Local(port.id);
    let (vni, mac, age) = (network.vni, frame.src(), network.mac_age);
    lookup.observe(Sighting { vni, mac, from, now: cx.now, age }, |event| port.tell(cx, event, sink))?;
    sink.passed(Passed::Observe);
    if network.suppress
        && let Some(answer) = neighbor::answer(cx, lookup, port, (&frame, &sent.layers), network, sink)
    {
        sink.answer(port.id, answer.octets());
        return Ok(());
    }
    if network.suppress {
        neighbor::note_lease(cx, lookup, &frame, network, |event| port.tell(cx, event, sink));
    }
    let verdict = decide(cx, lookup, port, &frame, network, sent.frames);
    if !matches!(verdict, Verdict::Drop(_)) {
        sink.passed(Passed::Decide);
    }
    match verdict {
        Verdict::Local(to) => {
            send_local(to, sent, sink);
            Ok(())
        }
        Verdict::Remote(peer) => {
            finish_checksum(sent);
            send_remote(cx, port, (cx.topology.peer(peer), network), sent, sink)
        }
        Verdict::Flood => flood(cx, port, (&network.ports, &network.flood), network, sent, sink),
        Verdict::Strangers => flood(cx, port, (&[], &network.strangers), network, sent, sink),
        Verdict::Drop(reason) => Err(reason),
    }
}

/// Stage 2.
#[inline]
fn admit(
    cx: &Context<'_>,
    frame: &Frame<'_>,
    layers: &Layers,
    view: &PortView,
    network: &NetworkView,
) -> Result<(), DropReason> {
    check_ethernet(frame, network)?;
    if view.guard.as_ref().is_some_and(|guard| !guard.admits(frame, layers)) {
        return Err(DropReason::PortSecurity);
    }
    if layers.transport == UDP {
        let port = u16::from_be_bytes([frame.octets()[layers.l4 + 2], frame.octets()[layers.l4 + 3]]);
        let mut own = cx.topology.encap.own.iter().filter(|vtep| vtep.port() == port);
        let source = || layers.addresses(frame.octets()).map(|(source, _)| source);
        if own.any(|vtep| Some(vtep.ip()) == source()) {
            return Err(DropReason::EncapLoop);
        }
    }
    Ok(())
}

/// The rules of a frame that hold in both directions (IEEE 802.1D, RFC 7348 §6.1).
#[inline]
pub(super) fn check_ethernet(frame: &Frame<'_>, network: &NetworkView) -> Result<(), DropReason> {
    if !frame.is_source_valid() {
        return Err(DropReason::SrcMac);
    }
    if !frame.is_forwardable_destination() || frame.is_pause() {
        return Err(DropReason::ReservedMac);
    }
    if frame.is_tagged() && !network.vlan_pass {
        return Err(DropReason::Vlan);
    }
    Ok(())
}

/// Stage 5.
#[inline]
fn decide(
    cx: &Context<'_>,
    lookup: &mut Lookup,
    port: &mut PortState,
    frame: &Frame<'_>,
    network: &NetworkView,
    frames: u64,
) -> Verdict {
    let dst = frame.dst();
    let mut verdict = Verdict::Flood;
    let bucket = if dst.is_group() && !dst.is_broadcast() {
        &mut port.multicast
    } else if dst.is_broadcast() {
        &mut port.bum
    } else {
        match lookup.place(cx.topology, cx.counters, network.vni, dst) {
            Place::Port(to) if to == port.id => return Verdict::Drop(DropReason::SplitHorizon),
            Place::Port(to) => return Verdict::Local(to),
            Place::Peer(peer) => return Verdict::Remote(peer),
            Place::Lost(reason) => return Verdict::Drop(reason),
            Place::Unknown if network.flood_unknown => &mut port.bum,
            Place::Unknown if !network.strangers.is_empty() => {
                verdict = Verdict::Strangers;
                &mut port.bum
            }
            Place::Unknown => return Verdict::Drop(DropReason::UnknownUnicast),
        }
    };
    if bucket.take(frames, cx.now) { verdict } else { Verdict::Drop(DropReason::BumRate) }
}

/// Stage 6 for all of these ports and peers but the sender.
fn flood<S: Sink>(
    cx: &Context<'_>,
    from: &mut PortState,
    (ports, peers): (&[PortId], &[PeerIndex]),
    network: &NetworkView,
    sent: &mut Sent<'_>,
    sink: &mut S,
) -> Result<(), DropReason> {
    let own = from.id;
    let ports = ports.iter().filter(|&&port| port != own);
    let targets = ports.clone().count() + peers.len();
    let copies = targets.checked_sub(1).ok_or(DropReason::NoDestination)?;
    cx.counters.ledger.copies.add(copies as u64 * sent.frames);
    for &port in ports {
        send_local(port, sent, sink);
    }
    finish_checksum(sent);
    for &peer in peers {
        if let Err(reason) = send_remote(cx, from, (cx.topology.peer(peer), network), sent, sink) {
            sink.dropped(reason, Direction::Outbound, (sent.frames, sent.span.len()), sent.octets());
        }
    }
    Ok(())
}

/// Stage 6 for one local port.
fn send_local<S: Sink>(to: PortId, sent: &Sent<'_>, sink: &mut S) {
    sink.deliver(to, sent.vnet, sent.octets(), sent.frames);
}

/// A peer's NIC cannot know that a checksum was left to it; segments get theirs when they are cut.
fn finish_checksum(sent: &mut Sent<'_>) {
    if let (None, Some(unfinished)) = (sent.vnet.gso, sent.vnet.unfinished) {
        segment::finish_checksum(sent.span.of_mut(sent.buffer), unfinished);
        // A pod may have named any place for it, the length of a header among them.
        if !unfinished.is_of(&sent.layers) {
            sent.layers = Layers::of(sent.octets());
        }
    }
}

/// By which socket, none of the dead ones, and with which marks a frame goes to a VTEP.
#[inline]
pub(super) fn route(
    cx: &Context<'_>,
    (to, dead): (VtepAddr, Sources),
    octets: &[u8],
    layers: &Layers,
) -> Route {
    let source = dead.spread(flow::hash(octets, layers), cx.source_ports);
    Route { to, source, tos: ecn::encapsulate(layers.tos, cx.topology.encap.dscp_inherit) }
}

/// Stage 6 for one peer.
fn send_remote<S: Sink>(
    cx: &Context<'_>,
    port: &mut PortState,
    (peer, network): (&PeerView, &NetworkView),
    sent: &mut Sent<'_>,
    sink: &mut S,
) -> Result<(), DropReason> {
    if !peer.up {
        return Err(DropReason::PeerDown);
    }
    peer.activity.note();
    if let Some(via) = &peer.via {
        return send_relayed(cx, port, (peer, via, network), sent, sink);
    }
    let header = tunnel::encode(peer.format, network.vni);
    let route = route(cx, (peer.to, peer.dead), sent.octets(), &sent.layers);
    let tunnel = Tunnel { header, route, room: room(peer) };
    tunnel.send(cx, port, sent, sink)
}

/// Stage 6 for a peer to which another node passes frames on.
#[cold]
fn send_relayed<S: Sink>(
    cx: &Context<'_>,
    port: &mut PortState,
    (peer, via, network): (&PeerView, &ViaView, &NetworkView),
    sent: &mut Sent<'_>,
    sink: &mut S,
) -> Result<(), DropReason> {
    let to = peer.vtep.ip();
    let origin = cx.topology.encap.seen_from(to).ok_or(DropReason::PeerDown)?;
    let header = Relay { origin, to, hops: Hops::One }.encode(network.vni);
    let route = route(cx, (via.to, via.dead), sent.octets(), &sent.layers);
    let tunnel = Tunnel { header, route, room: room(peer) };
    tunnel.send(cx, port, sent, sink)
}

/// The octets of a frame that fit the path to a peer, and one message.
#[inline]
pub(super) fn room(peer: &PeerView) -> usize {
    match &peer.via {
        None => room_behind(peer.to, peer.path_mtu, tunnel::HEADER_LEN),
        Some(via) => room_behind(via.to, via.path_mtu, RELAY_HEADER_LEN),
    }
}

#[inline]
pub(super) fn room_behind(to: VtepAddr, path: Mtu, header: usize) -> usize {
    tunnel::datagram_len(path, to.ip().into()).min(MAX_OCTETS).saturating_sub(header)
}

/// What all datagrams of one frame to one peer have in common.
pub(super) struct Tunnel<const N: usize> {
    /// What stands before the frame.
    pub(super) header: [u8; N],
    pub(super) route: Route,
    /// The octets of a frame that fit behind it.
    pub(super) room: usize,
}

impl<const N: usize> Tunnel<N> {
    #[inline]
    fn send<S: Sink>(
        &self,
        cx: &Context<'_>,
        port: &mut PortState,
        sent: &mut Sent<'_>,
        sink: &mut S,
    ) -> Result<(), DropReason> {
        if sent.vnet.gso.is_none() {
            if sent.span.len() > self.room {
                return too_big::send(cx, port, self, sent, sink);
            }
            if cx.topology.encap.clamp_mss && mss::is_syn(sent.octets(), &sent.layers) {
                too_big::clamp(sent.span.of_mut(sent.buffer), &sent.layers, self.room);
            }
            sink.datagram(self.route, N, sent.span, sent.buffer).copy_from_slice(&self.header);
            return Ok(());
        }
        let whole = SuperFrame::new(sent.octets(), sent.vnet).map_err(|_| DropReason::Truncated)?;
        if whole.segment_len(0) > self.room {
            return too_big::send(cx, port, self, sent, sink);
        }
        self.send_segments(&whole, sent, sink);
        Ok(())
    }

    /// Sends the segments of a super-frame that is `sent`, or a cut of it.
    #[inline]
    pub(super) fn send_segments<S: Sink>(&self, whole: &SuperFrame<'_>, sent: &Sent<'_>, sink: &mut S) {
        for index in 0..whole.segments() {
            let body = sent.span.within(whole.body(index));
            let head = sink.datagram(self.route, N + whole.head_len(), body, sent.buffer);
            let (header, head) = head.split_at_mut(N);
            header.copy_from_slice(&self.header);
            whole.write_head(index, head);
        }
    }
}

#[cfg(test)]
mod tests;
