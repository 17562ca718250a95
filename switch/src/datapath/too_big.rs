//! Frames that do not fit the path to their peer, of which the fewest are dropped.
//!
//! 1. TCP is cut into segments that fit, a super-frame and a plain frame alike; its sender is told nothing, since it
//!    would send less for ten minutes, also when the path is mended long before.
//! 2. IPv4 without DF is fragmented inside the tunnel, each datagram of a UDP super-frame for itself.
//! 3. All else is dropped, and its sender told by ICMP how much fits. IPv6 goes nowhere on a path that takes less than
//!    the 1,280 octets to which its senders go down; TCP lives by 1.
//!
//! That SYNs ask for segments that fit ([`clamp`]) keeps most TCP from coming here at all.

use encap::fragment::Fragments;
use encap::inet::{Layers, Net};
use encap::segment::SuperFrame;
use encap::{Mtu, icmp, mss};

use super::outbound::{PortState, Sent, Tunnel};
use super::{Context, Sink};
use crate::counters::{Direction, DropReason};

/// The longest headers of a frame that can be fragmented: Ethernet with two tags, IPv4 with options, TCP with options.
const MAX_HEAD: usize = 14 + 2 * 4 + 60 + 60;

/// Sends what does not fit in pieces that do.
///
/// # Errors
///
/// [`DropReason::PktTooBig`]: it must not be cut; its sender was told, if it may be.
#[cold]
pub(super) fn send<const N: usize, S: Sink>(
    cx: &Context<'_>,
    port: &mut PortState,
    tunnel: &Tunnel<N>,
    sent: &mut Sent<'_>,
    sink: &mut S,
) -> Result<(), DropReason> {
    let result = Misfit { cx, tunnel, sent }.send(port, sink);
    sent.told |= matches!(result, Err(Refused { told: true }));
    result.map_err(|_| DropReason::PktTooBig)
}

/// Lowers the segment size for which a SYN asks to what fits a path that takes frames of `room` octets.
#[cold]
pub(super) fn clamp(frame: &mut [u8], layers: &Layers, room: usize) {
    let mtu = mtu_of(room.saturating_sub(layers.l3)).unwrap_or(Mtu::MIN);
    mss::clamp(frame, layers, None, mtu);
}

fn mtu_of(packet: usize) -> Option<Mtu> {
    Mtu::new(u32::try_from(packet).ok()?).ok()
}

/// A frame, and the tunnel that it does not fit.
struct Misfit<'a, 'b, const N: usize> {
    cx: &'a Context<'a>,
    tunnel: &'a Tunnel<N>,
    sent: &'a Sent<'b>,
}

/// It can neither be cut nor fragmented.
struct Refused {
    /// Whether its sender was told.
    told: bool,
}

impl<const N: usize> Misfit<'_, '_, N> {
    fn send<S: Sink>(&self, port: &mut PortState, sink: &mut S) -> Result<(), Refused> {
        let Self { cx, tunnel, sent } = self;
        let (octets, layers) = (sent.octets(), &sent.layers);
        let whole = SuperFrame::new(octets, sent.vnet).ok();
        let packet = tunnel.room.saturating_sub(layers.l3);
        let tcp = whole.or_else(|| SuperFrame::of_plain(octets, layers, None));
        if let Some(cut) = tcp.and_then(|whole| whole.fitting(packet)) {
            cx.counters.ledger.copies.add(cut.segments() as u64 - sent.frames);
            tunnel.send_segments(&cut, sent, sink);
            return Ok(());
        }
        let mtu = mtu_of(packet).ok_or(Refused { told: false })?;
        let fragmented = match &whole {
            Some(whole) => self.fragment_segments(whole, mtu, sink),
            None => Fragments::of_frame(octets, layers, mtu).map(|cut| self.send_fragments(&cut, sink)),
        };
        fragmented.ok_or_else(|| Refused { told: self.tell(port, whole.as_ref(), mtu, sink) })
    }

    /// Step 2 for each segment; `None`, and nothing is sent, when the first must not be fragmented.
    fn fragment_segments<S: Sink>(&self, whole: &SuperFrame<'_>, mtu: Mtu, sink: &mut S) -> Option<()> {
        let mut scratch = [0; MAX_HEAD];
        let head = scratch.get_mut(..whole.head_len()).filter(|_| self.sent.layers.net == Net::V4)?;
        for index in 0..whole.segments() {
            whole.write_head(index, head);
            match Fragments::new(head, self.sent.layers.l3, whole.body(index), mtu) {
                Some(fragments) => self.send_fragments(&fragments, sink),
                None if index == 0 => return None,
                None => {
                    let dropped = (1, head.len() + whole.body(index).len());
                    sink.dropped(DropReason::PktTooBig, Direction::Outbound, dropped, self.sent.octets());
                }
            }
        }
        Some(())
    }

    /// Sends all fragments of one wire frame; their bodies are octets of the frame that was read.
    fn send_fragments<S: Sink>(&self, fragments: &Fragments<'_>, sink: &mut S) {
        let Self { cx, tunnel, sent } = self;
        cx.counters.ledger.copies.add(fragments.count() as u64 - 1);
        for index in 0..fragments.count() {
            let body = sent.span.within(fragments.body(index));
            let head = sink.datagram(tunnel.route, N + fragments.head_len(index), body, sent.buffer);
            let (header, head) = head.split_at_mut(N);
            header.copy_from_slice(&tunnel.header);
            fragments.write_head(index, head);
        }
    }

    /// Step 3, within the port's limit; once for a frame, though it may be too big for several peers.
    fn tell<S: Sink>(
        &self,
        port: &mut PortState,
        whole: Option<&SuperFrame<'_>>,
        mtu: Mtu,
        sink: &mut S,
    ) -> bool {
        let Self { cx, sent, .. } = self;
        if sent.told {
            return false;
        }
        let mut out = [0; icmp::MAX_LEN];
        let answer = match whole {
            Some(whole) => icmp::first_too_big(whole, mtu, &mut out),
            None => icmp::too_big(sent.octets(), &sent.layers, mtu, &mut out),
        };
        let answer = answer.filter(|_| port.may_be_told(cx.now));
        if answer.is_some_and(|answer| sink.originate(port.id(), answer)) {
            let told = &cx.counters.too_bigs;
            if sent.layers.net == Net::V6 { &told.ipv6 } else { &told.ipv4 }.add(1);
        }
        answer.is_some()
    }
}
