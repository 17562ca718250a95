//! Frames of the underlay that go back to it: the two exceptions to split horizon.
//!
//! | | what | who does it | how often |
//! |---|---|---|---|
//! | `pass_on` | a member's frame for another that it does not reach directly | the node that its origin chose | takes the one hop |
//! | `hand_over` | a stray for an address that moved from here | the node where the address was | leaves with no hop |
//!
//! Both arrive with a [`Relay`] option and no hop left, so nobody sends them on again.

use std::net::IpAddr;

use encap::ether::Frame;
use encap::inet::Layers;
use encap::relay::{Hops, Relay};
use encap::{Format, Mtu, Span, VtepAddr, ecn, tunnel};

use super::{Arrival, Sink};
use crate::counters::DropReason;
use crate::datapath::outbound::{room_behind, route};
use crate::path::Sources;
use crate::topology::PeerIndex;

impl<S: Sink> Arrival<'_, '_, S> {
    /// Takes a datagram with Geneve options, whose frame starts at `frame`: whose it is, or `None` when it was passed on.
    /// What the option says counts from members only; of others it is an option that is unknown here.
    #[cold]
    pub(super) fn relayed(
        &mut self,
        datagram: Span,
        frame: usize,
        buffer: &mut [u8],
    ) -> Result<Option<PeerIndex>, DropReason> {
        let topology = self.cx.topology;
        let said = topology.peer(self.peer).member.then(|| Relay::of(datagram.of(buffer))).flatten();
        match said {
            None => Ok(Some(self.peer)),
            Some(relay) if topology.encap.is_own(relay.to) => {
                let origin = topology.member_at(relay.origin.ip()).ok_or(DropReason::UnknownPeer)?;
                Ok(Some(origin))
            }
            Some(relay) => self.pass_on(relay.to, datagram, frame, buffer).map(|()| None),
        }
    }

    fn pass_on(
        &mut self,
        to: IpAddr,
        datagram: Span,
        frame: usize,
        buffer: &mut [u8],
    ) -> Result<(), DropReason> {
        let topology = self.cx.topology;
        if !topology.encap.relay || Relay::pass_on(datagram.of_mut(buffer)).is_none() {
            return Err(DropReason::RelayRefused);
        }
        let peer = topology.member_at(to).map(|peer| topology.peer(peer)).filter(|peer| peer.up);
        let (peer, to) = peer.and_then(|peer| Some((peer, peer.geneve?))).ok_or(DropReason::PeerDown)?;
        peer.activity.note();
        self.send_on((to, peer.dead, peer.path_mtu), &[], datagram, frame, buffer)
    }

    /// A frame for a MAC address that lives elsewhere: an error, unless it moved from here a moment ago and its sender
    /// cannot know. Once only: what came through another node is not handed on.
    #[cold]
    pub(super) fn hand_over(
        &mut self,
        format: Format,
        datagram: Span,
        buffer: &mut [u8],
    ) -> Result<(), DropReason> {
        let topology = self.cx.topology;
        let (vni, frame) = tunnel::decode(format, datagram.of(buffer), topology.encap.vxlan_strict)?;
        let dst = Frame::new(&datagram.of(buffer)[frame..])?.dst();
        let moved = topology.moved.get(&(vni, dst)).filter(|moved| self.cx.now < moved.until);
        let came_by_relay = format == Format::Geneve && Relay::of(datagram.of(buffer)).is_some();
        let Some(moved) = moved.filter(|_| !came_by_relay) else { return Err(DropReason::SplitHorizon) };
        let (peer, to) = (topology.peer(self.peer), moved.to.ip());
        // Other nodes need not know a static peer of this one, which answers for it.
        let origin = if peer.member { Some(peer.vtep) } else { topology.encap.seen_from(to) };
        let origin = origin.ok_or(DropReason::SplitHorizon)?;
        let header = Relay { origin, to, hops: Hops::Zero }.encode(vni);
        let body = Span::new(datagram.start as usize + frame, datagram.len() - frame);
        self.send_on((moved.to, Sources::default(), moved.path_mtu), &header, body, 0, buffer)
    }

    /// Sends `head` and `body` to a VTEP; the frame starts at `frame` in the body.
    fn send_on(
        &mut self,
        (to, dead, path): (VtepAddr, Sources, Mtu),
        head: &[u8],
        body: Span,
        frame: usize,
        buffer: &mut [u8],
    ) -> Result<(), DropReason> {
        if body.len() > room_behind(to, path, head.len()) {
            return Err(DropReason::PktTooBig);
        }
        let octets = &mut body.of_mut(buffer)[frame..];
        let l3 = Layers::of(octets).l3;
        ecn::apply(octets, l3, self.ecn).map_err(|_| DropReason::IpTunnelEcn)?;
        let route = route(self.cx, (to, dead), octets, &Layers::of(octets));
        self.sink.datagram(route, head.len(), body, buffer).copy_from_slice(head);
        Ok(())
    }
}
