//! Sends a batch: what can go as one message goes as one message, and what the kernel refuses that way goes plainly.
//!
//! A refusal of `UDP_SEGMENT` (no checksum offload on that device, a size or count that it cannot do) concerns one
//! destination: its datagrams go out one by one from then on, and the offload is tried again after a minute. An error
//! that an earlier datagram to somebody else brought back costs nothing: it is taken off the socket's error queue, and
//! the message is sent again.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::udp::{Returned, SendMessage, Transmit};
use crate::batch::{Group, Payload, Place, SendBatch};
use crate::sys::mmsg::MAX_SEND;

/// How long datagrams to a destination go out plainly after the kernel refused the offload.
const RETRY: Duration = Duration::from_secs(60);
/// Errors of other peers that one message waits for; more than a burst of ICMP can bring.
const MAX_RETRIES: u32 = 16;

/// Reports of too big datagrams that one batch keeps: they say mostly the same.
const MAX_TOO_BIG: usize = 4;

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Report {
    /// Datagrams that left.
    pub sent: u64,
    /// Datagrams that the kernel refused, one entry a destination.
    pub refused: Vec<Refused>,
    /// Messages that left.
    pub messages: u64,
    /// Messages that were sent again after an error that belonged to another peer.
    pub retried: u64,
    /// Errors that the underlay sent back.
    pub icmp_errors: u64,
    /// Datagrams that were too big for the path, as the underlay or the own kernel says: of a burst the first ones.
    pub too_big: Vec<Returned>,
    /// Destinations whose offload was refused (the error) or works again (`None`).
    pub offload: Vec<(SocketAddr, Option<io::Error>)>,
}

impl Report {
    fn refuse(&mut self, message: &SendMessage<'_>) {
        let SendMessage { to, data, place, .. } = *message;
        let (datagrams, octets) = (data.count() as u64, data.octets());
        match self.refused.iter_mut().find(|refused| refused.to == to) {
            Some(refused) => {
                refused.datagrams += datagrams;
                refused.octets += octets;
                refused.add(place, data.count());
            }
            None => {
                let first = data.parts(1).next().map(Payload::to_vec).unwrap_or_default();
                let places = vec![(place, data.count())];
                self.refused.push(Refused { to, datagrams, octets, first, places });
            }
        }
    }
}

/// Datagrams to one destination that the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The destination.
    pub to: SocketAddr,
    /// How many.
    pub datagrams: u64,
    /// The octets of all.
    pub octets: usize,
    /// The octets of the first.
    pub first: Vec<u8>,
    /// Which they are: the first of some that stand one behind the other in a group, and how many.
    pub places: Vec<(Place, usize)>,
}

impl Refused {
    /// Adds datagrams; those that follow the last ones join them.
    fn add(&mut self, place: Place, count: usize) {
        match self.places.last_mut() {
            Some((last, so_far))
                if *last == (Place { index: place.index.wrapping_sub(*so_far), ..place }) =>
            {
                *so_far += count;
            }
            _ => self.places.push((place, count)),
        }
    }

    /// Whether a datagram is one of these.
    #[must_use]
    pub fn has(&self, datagram: Place) -> bool {
        self.places.iter().any(|(first, count)| {
            first.group == datagram.group && (first.index..first.index + count).contains(&datagram.index)
        })
    }
}

/// Sends batches by sockets that it does not own.
#[derive(Debug)]
pub struct Sender<T> {
    transmit: T,
    segmentation: bool,
    plain_until: HashMap<SocketAddr, Instant>,
    order: Vec<u16>,
}

impl<T: Transmit> Sender<T> {
    /// A sender that uses `UDP_SEGMENT`, or never does.
    pub fn new(transmit: T, segmentation: bool) -> Self {
        Self { transmit, segmentation, plain_until: HashMap::new(), order: Vec::new() }
    }

    /// Sends all groups, those of one source port in their order; `bodies` is where the bodies of datagrams lie.
    ///
    /// # Cost
    ///
    /// One system call for up to 32 groups of a source port; no allocation in the normal case.
    pub fn send(&mut self, batch: &SendBatch, bodies: &[u8], now: Instant) -> Report {
        let mut report = Report::default();
        let groups = batch.groups();
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend((0u16..).take(groups.len()));
        let key = |index: u16| {
            let route = groups[usize::from(index)].route();
            (route.source, route.to.ip().is_ipv6(), index)
        };
        order.sort_unstable_by_key(|&index| key(index));
        for run in order.chunk_by(|&a, &b| (key(a).0, key(a).1) == (key(b).0, key(b).1)) {
            let run = run.iter().map(|&index| (usize::from(index), &groups[usize::from(index)]));
            let run = run.map(|(index, group)| (index, group, batch.payload(group, bodies)));
            self.send_run(run, now, &mut report);
        }
        self.order = order;
        report
    }

    /// Sends groups that share a socket.
    fn send_run<'g>(
        &mut self,
        groups: impl Iterator<Item = (usize, &'g Group, Payload<'g>)>,
        now: Instant,
        report: &mut Report,
    ) {
        let mut chunk: Chunk<'g> = Chunk::default();
        for (index, group, payload) in groups {
            let (route, to) = (group.route(), group.route().to.socket_addr());
            let whole = group.count() == 1 || self.may_segment(to, now);
            let part = if whole { group.count() } else { 1 };
            for (number, data) in payload.parts(part).enumerate() {
                #[allow(clippy::cast_possible_truncation)] // a group has at most 65,507 octets
                let segment = (data.count() > 1).then_some(group.size() as u16);
                let place = Place { group: index, index: number * part };
                chunk.push(SendMessage { to, data, place, segment, tos: route.tos });
                if chunk.is_full() {
                    self.transmit(route.source, chunk.take(), now, report);
                }
            }
            chunk.source = route.source;
        }
        self.transmit(chunk.source, chunk.take(), now, report);
    }

    fn may_segment(&self, to: SocketAddr, now: Instant) -> bool {
        self.segmentation
            && (self.plain_until.is_empty() || self.plain_until.get(&to).is_none_or(|&until| now >= until))
    }

    fn transmit(&mut self, source: u16, mut rest: &[SendMessage<'_>], now: Instant, report: &mut Report) {
        let mut retries = 0;
        while let Some(first) = rest.first() {
            match self.transmit.send(source, rest) {
                Ok(sent) => {
                    let sent = sent.clamp(1, rest.len());
                    for message in &rest[..sent] {
                        self.note_sent(message, report);
                    }
                    rest = &rest[sent..];
                    retries = 0;
                }
                Err(error) if retries < MAX_RETRIES && self.is_anothers(source, first.to, &error, report) => {
                    report.retried += 1;
                    retries += 1;
                }
                Err(error) => {
                    self.refused(source, first, error, now, report);
                    rest = &rest[1..];
                    retries = 0;
                }
            }
        }
    }

    fn note_sent(&mut self, message: &SendMessage<'_>, report: &mut Report) {
        report.messages += 1;
        report.sent += message.data.count() as u64;
        if message.segment.is_some() && self.plain_until.remove(&message.to).is_some() {
            report.offload.push((message.to, None));
        }
    }

    /// Empties the error queue; whether the error at hand came back for an earlier datagram.
    ///
    /// A datagram that is too big for its own link puts an error of its own into the queue, too.
    fn is_anothers(&mut self, source: u16, to: SocketAddr, error: &io::Error, report: &mut Report) -> bool {
        let too_big = error.raw_os_error() == Some(libc::EMSGSIZE);
        let mut anothers = false;
        for _ in 0..64 {
            let Some(returned) = self.transmit.take_error(source, to) else { break };
            report.icmp_errors += u64::from(returned.remote);
            if returned.mtu.is_some() && report.too_big.len() < MAX_TOO_BIG {
                report.too_big.push(returned);
            }
            // The kernel names its own error by address only.
            anothers |= !too_big || returned.remote || returned.to.ip() != to.ip();
        }
        anothers
    }

    /// The kernel refused this message: is it the offload, or the datagrams?
    fn refused(
        &mut self,
        source: u16,
        message: &SendMessage<'_>,
        error: io::Error,
        now: Instant,
        report: &mut Report,
    ) {
        let of_offload = matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE));
        if message.segment.is_none() || !of_offload {
            report.refuse(message);
            return;
        }
        let mut sent = 0;
        for (number, data) in message.data.parts(1).enumerate() {
            let place = Place { index: message.place.index + number, ..message.place };
            let single = SendMessage { data, place, segment: None, ..*message };
            match self.transmit.send(source, &[single]) {
                Ok(_) => sent += 1,
                Err(_) => report.refuse(&single),
            }
        }
        report.sent += sent;
        report.messages += sent;
        if sent > 0 && self.plain_until.insert(message.to, now + RETRY).is_none() {
            report.offload.push((message.to, Some(error)));
        }
    }
}

/// Up to [`MAX_SEND`] messages for one system call.
struct Chunk<'a> {
    messages: [SendMessage<'a>; MAX_SEND],
    len: usize,
    source: u16,
}

impl Default for Chunk<'_> {
    fn default() -> Self {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let (data, place) = (Payload::default(), Place::default());
        let empty = SendMessage { to: nowhere, data, place, segment: None, tos: 0 };
        Self { messages: [empty; MAX_SEND], len: 0, source: 0 }
    }
}

impl<'a> Chunk<'a> {
    fn push(&mut self, message: SendMessage<'a>) {
        self.messages[self.len] = message;
        self.len += 1;
    }

    fn is_full(&self) -> bool {
        self.len == MAX_SEND
    }

    fn take(&mut self) -> &[SendMessage<'a>] {
        &self.messages[..std::mem::take(&mut self.len)]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use encap::{Span, VtepAddr};

    use super::*;
    use crate::batch::Route;

    /// A kernel that answers as scripted, and notes what was sent: (source, octets, segment).
    #[derive(Default)]
    struct Script {
        answers: VecDeque<i32>,
        errors: VecDeque<Returned>,
        refuse_segments: bool,
        sent: Vec<(u16, usize, Option<u16>)>,
    }

    impl Transmit for &mut Script {
        fn send(&mut self, source: u16, messages: &[SendMessage<'_>]) -> io::Result<usize> {
            match self.answers.pop_front() {
                Some(0) | None => {}
                Some(errno) => return Err(io::Error::from_raw_os_error(errno)),
            }
            if self.refuse_segments && messages[0].segment.is_some() {
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
            let refused = |m: &&SendMessage<'_>| !(self.refuse_segments && m.segment.is_some());
            let accepted: Vec<_> = messages.iter().take_while(refused).collect();
            let count = accepted.len();
            let sent: Vec<_> = accepted.iter().map(|m| (source, m.data.octets(), m.segment)).collect();
            self.sent.extend(sent);
            Ok(count)
        }

        fn take_error(&mut self, _: u16, _: SocketAddr) -> Option<Returned> {
            self.errors.pop_front()
        }
    }

    fn failed(report: &Report) -> u64 {
        report.refused.iter().map(|refused| refused.datagrams).sum()
    }

    fn vtep(last: u8) -> VtepAddr {
        VtepAddr::new([10, 0, 0, last].into(), 4789)
    }

    /// An error that the underlay sent back for a datagram to this peer.
    fn returned(last: u8, mtu: Option<u32>) -> Returned {
        Returned { to: vtep(last).socket_addr(), mtu, remote: true, quoted: None }
    }

    /// (last octet of the peer, source port, size, count)
    fn batch(groups: &[(u8, u16, usize, usize)]) -> SendBatch {
        let mut batch = SendBatch::new(128);
        for &(last, source, size, count) in groups {
            for _ in 0..count {
                batch.datagram(Route { to: vtep(last), source, tos: 0 }, size, Span::default(), &[]);
            }
        }
        batch
    }

    #[test]
    fn groups_of_a_source_port_leave_in_order_and_as_one_message_each() {
        let mut script = Script::default();
        let report = Sender::new(&mut script, true).send(
            &batch(&[(1, 5, 100, 3), (1, 2, 70, 1), (2, 5, 50, 2)]),
            &[],
            crate::clock::now(),
        );
        assert_eq!((report.sent, failed(&report), report.messages), (6, 0, 3));
        assert_eq!(script.sent, [(2, 70, None), (5, 300, Some(100)), (5, 100, Some(50))]);
    }

    #[test]
    fn without_the_offload_each_datagram_is_a_message() {
        let mut script = Script::default();
        let report =
            Sender::new(&mut script, false).send(&batch(&[(1, 0, 100, 40)]), &[], crate::clock::now());
        assert_eq!((report.sent, report.messages), (40, 40));
        assert!(script.sent.iter().all(|&sent| sent == (0, 100, None)));
    }

    #[test]
    fn a_refused_offload_falls_back_says_so_once_and_is_tried_again_after_a_minute() {
        let mut script = Script { refuse_segments: true, ..Script::default() };
        let now = crate::clock::now();
        let mut sender = Sender::new(&mut script, true);
        let groups = batch(&[(1, 0, 100, 3)]);
        let report = sender.send(&groups, &[], now);
        assert_eq!((report.sent, failed(&report)), (3, 0));
        assert!(matches!(&report.offload[..], [(to, Some(_))] if *to == vtep(1).socket_addr()));
        let report = sender.send(&groups, &[], now + RETRY / 2);
        assert_eq!((report.sent, report.messages, report.offload.len()), (3, 3, 0));
        sender.transmit.refuse_segments = false;
        let report = sender.send(&groups, &[], now + RETRY);
        assert_eq!((report.sent, report.messages), (3, 1));
        assert!(matches!(&report.offload[..], [(_, None)]));
    }

    #[test]
    fn a_size_that_is_refused_also_singly_is_no_reason_to_fall_back() {
        let answers = [libc::EMSGSIZE; 4].into();
        let mut script = Script { answers, ..Script::default() };
        let mut sender = Sender::new(&mut script, true);
        let report = sender.send(&batch(&[(1, 0, 100, 3)]), &[], crate::clock::now());
        assert_eq!((report.sent, failed(&report), report.offload.len()), (0, 3, 0));
        let [refused] = &report.refused[..] else { panic!("one destination") };
        assert_eq!((refused.to, refused.first.len()), (vtep(1).socket_addr(), 100));
        assert_eq!((refused.datagrams, refused.octets), (3, 300));
        assert_eq!(refused.places, [(Place { group: 0, index: 0 }, 3)]);
        let report = sender.send(&batch(&[(1, 0, 100, 3)]), &[], crate::clock::now());
        assert_eq!((report.sent, report.messages), (3, 1));
    }

    #[test]
    fn what_is_refused_is_named_by_its_place_in_the_batch() {
        // The second group leaves first: it passes. Of the first one the message is refused, then two of its datagrams.
        let answers = [0, libc::EMSGSIZE, 0, libc::EMSGSIZE, libc::EMSGSIZE, 0].into();
        let mut script = Script { answers, ..Script::default() };
        let groups = batch(&[(1, 5, 100, 4), (1, 2, 70, 2)]);
        let report = Sender::new(&mut script, true).send(&groups, &[], crate::clock::now());
        let [refused] = &report.refused[..] else { panic!("one destination") };
        assert_eq!((report.sent, refused.datagrams), (4, 2));
        assert_eq!(refused.places, [(Place { group: 0, index: 1 }, 2)]);
        let has = |group, index| refused.has(Place { group, index });
        assert_eq!(
            [has(0, 0), has(0, 1), has(0, 2), has(0, 3), has(1, 1)],
            [false, true, true, false, false]
        );
    }

    #[test]
    fn an_error_of_another_peer_costs_no_datagram() {
        let answers = [libc::ECONNREFUSED, libc::ECONNREFUSED].into();
        let errors = [returned(9, None), returned(9, None)].into();
        let mut script = Script { answers, errors, ..Script::default() };
        // The second error has nothing behind it in the queue, so it counts as the message's own.
        let report = Sender::new(&mut script, true).send(
            &batch(&[(1, 0, 100, 2), (2, 0, 60, 1)]),
            &[],
            crate::clock::now(),
        );
        assert_eq!((report.sent, failed(&report), report.retried, report.icmp_errors), (1, 2, 1, 2));
    }

    #[test]
    fn what_the_underlay_says_of_sizes_is_told_and_costs_no_datagram_either() {
        let answers = [libc::EMSGSIZE].into();
        let errors = [returned(1, Some(1280))].into();
        let mut script = Script { answers, errors, ..Script::default() };
        let report = Sender::new(&mut script, true).send(&batch(&[(1, 0, 100, 2)]), &[], crate::clock::now());
        assert_eq!((report.sent, failed(&report), report.retried), (2, 0, 1));
        assert_eq!(report.too_big, [returned(1, Some(1280))]);
        assert_eq!(script.sent, [(0, 200, Some(100))], "in one message as before");
    }

    #[test]
    fn no_error_is_fatal() {
        for errno in [libc::ENOBUFS, libc::EAGAIN, libc::EPERM, libc::ENETUNREACH, libc::EHOSTUNREACH] {
            let mut script = Script { answers: [errno].into(), ..Script::default() };
            let groups = batch(&[(1, 0, 100, 2), (2, 0, 60, 1)]);
            let report = Sender::new(&mut script, true).send(&groups, &[], crate::clock::now());
            assert_eq!((report.sent, failed(&report)), (1, 2), "errno {errno}");
        }
    }
}
