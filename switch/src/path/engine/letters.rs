//! Letters: by which way they go, and what becomes of those that arrive.

use std::time::{Duration, Instant};

use encap::Format;
use fdb::gossip::identity::NodeId;
use fdb::gossip::seal::Refusal;

use super::super::budget::LETTER_RESERVE;
use super::super::letter::{Outgoing, Question, Received, Sort};
use super::super::message::{self, Body, Letter};
use super::super::{Arrival, Dropped, Output, Way};
use super::{Engine, Packet, Post};

impl Engine {
    /// Sends a letter by the way that frames take to its receiver. It may get lost: who asks and hears nothing asks again.
    ///
    /// # Errors
    ///
    /// [`Dropped::Seal`] when the receiver is no target, [`Dropped::Rate`] when too much was sent of late.
    pub fn post(&mut self, outgoing: &Outgoing, now: Instant) -> Result<(), Dropped> {
        let &Outgoing { to, flow, size, answers, content, ref load } = outgoing;
        let via = self.peers.get(&to).and_then(|peer| peer.relaying.via());
        let (stamp, delay) = match answers {
            None => (self.stamp(now), Duration::ZERO),
            Some(question) => (question.stamp, now.saturating_duration_since(question.arrived)),
        };
        let letter = Letter {
            from: self.me.node,
            to,
            flow,
            stamp,
            delay,
            is_answer: answers.is_some(),
            to_be_passed_on: via.is_some(),
            content,
            load: load.clone(),
        };
        self.dispatch(via.map_or(to, |via| via.node), letter, size.into(), now)
    }

    /// A letter arrived that `by` brought.
    pub(super) fn handle_letter(
        &mut self,
        by: NodeId,
        letter: Letter,
        arrival: &Arrival<'_>,
        now: Instant,
    ) -> Result<(), Dropped> {
        let peer = self.peers.get_mut(&by).ok_or(Refusal::Stranger)?;
        if !peer.may_write(now) {
            return Err(Dropped::Rate);
        }
        if letter.to != self.me.node {
            self.pass_on(by, &letter, arrival.size, now)?;
            if letter.is_answer {
                return Ok(());
            }
        }
        let sort = if letter.is_answer {
            let since = self.stamp(arrival.at).wrapping_sub(letter.stamp);
            let round_trip = Duration::from_micros(since.into()).saturating_sub(letter.delay);
            Sort::Answer { round_trip, inside: letter.delay }
        } else {
            Sort::Question(Question { stamp: letter.stamp, arrived: arrival.at })
        };
        self.outputs.push_back(Output::Letter(Box::new(Received {
            from: letter.from,
            to: letter.to,
            by,
            source: arrival.from.ip(),
            format: arrival.format,
            flow: letter.flow,
            sort,
            content: letter.content,
            load: letter.load,
        })));
        Ok(())
    }

    /// One hop, as frames: from its writer to the node that it is for. A packet that the link there does not take ends here,
    /// as a frame would: padding is not sealed, and anybody can make a letter as large as a datagram.
    fn pass_on(&mut self, by: NodeId, letter: &Letter, size: usize, now: Instant) -> Result<(), Dropped> {
        if !self.config.relay || !letter.to_be_passed_on || letter.from != by {
            return Err(Dropped::NotPassedOn);
        }
        let next = self.peers.get(&letter.to).ok_or(Dropped::NotPassedOn)?;
        if size > next.link().get().into() {
            return Err(Dropped::NotPassedOn);
        }
        let passed_on = Letter { to_be_passed_on: false, ..letter.clone() };
        self.dispatch(letter.to, passed_on, size, now)
    }

    /// Sends a letter to the next node, in a packet of `size` octets if it needs no more. Of the frame that it carries the
    /// end is left out where the envelope takes its room.
    fn dispatch(
        &mut self,
        next: NodeId,
        mut letter: Letter,
        size: usize,
        now: Instant,
    ) -> Result<(), Dropped> {
        let to = letter.to;
        let peer = self.peers.get_mut(&next).ok_or(Refusal::Stranger)?;
        // Frames that are passed on are Geneve on both legs.
        let is_straight = letter.from == self.me.node && !letter.to_be_passed_on;
        let used = peer.way();
        let way = Way { format: if is_straight { used.format } else { Format::Geneve }, ..used };
        let room = size.saturating_sub(message::loaded_packet(way.family, way.format, 0));
        letter.load = letter.load.map(|load| load.within(room));
        let carried = letter.load.as_ref().map(|load| load.octets().len());
        let size = size.max(match carried {
            None => message::letter_packet(way.family, way.format),
            Some(carried) => message::loaded_packet(way.family, way.format, carried),
        });
        // Whoever writes without a pause is not to end the watch over paths.
        if !self.bucket.take(size, LETTER_RESERVE, now) {
            return Err(Dropped::Rate);
        }
        let source = peer.source_of(letter.flow, self.config.source_ports);
        let mut post = Post { gate: &mut self.gate, outputs: &mut self.outputs };
        let (writer, is_answer) = (letter.from, letter.is_answer);
        post.send(peer, Body::Letter(letter), Packet { way, source, size }, now);
        // It comes out of the share of whoever wanted it; what this node asks itself does not cost its peers theirs.
        let payer = match (writer == self.me.node, is_answer) {
            (false, _) => Some(writer),
            (true, true) => Some(to),
            (true, false) => None,
        };
        if let Some(payer) = payer.and_then(|payer| self.peers.get_mut(&payer)) {
            payer.charge(size, now);
        }
        Ok(())
    }

    /// Microseconds by this engine's clock, which come round.
    #[allow(clippy::cast_possible_truncation)] // only differences count
    fn stamp(&self, at: Instant) -> u32 {
        at.saturating_duration_since(self.begun).as_micros() as u32
    }
}
