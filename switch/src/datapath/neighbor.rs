//! ARP and neighbour discovery of ports: what they tell goes to control, what they ask is answered here if that is known.
//!
//! Only for what is surely so: the question is one that may be answered for the owner ([`Message::decode`] says which),
//! and the owner can be reached, behind another port or a peer that is up. Everything else is flooded as any frame, so
//! that whoever has the address answers for itself.

use encap::ether::Frame;
use encap::inet::Layers;
use encap::lease;
use encap::neighbor::{FrameBuf, Message};

use super::lookup::{self, Lookup, Place};
use super::outbound::PortState;
use super::{Context, Sink};
use crate::events::WorkerEvent;
use crate::topology::NetworkView;

/// Takes note of what an admitted frame of a port tells, and answers what it asks, if that can be done here.
///
/// # Cost
///
/// Two comparisons for a frame that is neither ARP nor ND; for one that is, two read locks. No allocation.
#[inline]
pub(super) fn answer<S: Sink>(
    cx: &Context<'_>,
    lookup: &mut Lookup,
    port: &mut PortState,
    (frame, layers): (&Frame<'_>, &Layers),
    network: &NetworkView,
    sink: &mut S,
) -> Option<FrameBuf> {
    let Message { binding, question } = Message::decode(frame, layers)?;
    let vni = network.vni;
    if let Some(told) = binding {
        let refresh = lookup::refresh(network.mac_age);
        if lookup.neighbors().is_news(vni, &told, port.id(), cx.now, refresh) {
            port.tell(cx, WorkerEvent::Bind { vni, told, port: port.id() }, sink);
        }
    }
    let question = question?;
    let owner = lookup.neighbors().find(vni, question.target())?;
    let elsewhere = match lookup.place(cx.topology, cx.counters, vni, owner.mac) {
        Place::Port(to) => to != port.id(),
        Place::Peer(_) => true,
        Place::Lost(_) | Place::Unknown => false,
    };
    (elsewhere && owner.mac != question.asker()).then(|| question.answer(owner.mac, owner.router))
}

/// Takes note of an address that a DHCP server gives to a host behind a port of this node, if the port may have it.
///
/// # Cost
///
/// Three comparisons for a frame that is no such thing.
#[inline]
pub(super) fn note_lease(
    cx: &Context<'_>,
    lookup: &mut Lookup,
    frame: &Frame<'_>,
    network: &NetworkView,
    tell: impl FnOnce(WorkerEvent),
) {
    let Some(told) = lease::acknowledged(frame) else { return };
    let vni = network.vni;
    let Place::Port(port) = lookup.place(cx.topology, cx.counters, vni, told.mac) else { return };
    let guard = cx.topology.ports.get(&port).and_then(|view| view.guard.as_ref());
    let may_have = guard.is_none_or(|guard| guard.addresses.is_empty() || guard.addresses.contains(&told.ip));
    let refresh = lookup::refresh(network.mac_age);
    if may_have && lookup.neighbors().is_news(vni, &told, port, cx.now, refresh) {
        tell(WorkerEvent::Bind { vni, told, port });
    }
}
