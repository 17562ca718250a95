//! Datagrams on their way out, grouped so that the kernel takes many in one go.
//!
//! Datagrams to one VTEP, from one source port, with one outer TOS and of one size form a [`Group`], which leaves as
//! one message with `UDP_SEGMENT`; only the last of a group may be shorter. It works for any frames of equal size, not
//! only for the segments of one super-frame.
//!
//! A datagram is a head that the batch holds, the tunnel header and, for segments, the segment's own headers, and a body
//! that is named but not copied: the kernel gathers the pieces when the batch is sent. Short bodies are copied behind
//! their head, which costs less than a piece of their own.
//!
//! Order: a flow has one VTEP and one source port, and a datagram is only ever appended to the newest group of those
//! two. Groups leave in the order in which they were opened, so a flow is never reordered.

use encap::{Span, VtepAddr};

/// The most octets in one message: the largest UDP payload over IPv4.
pub const MAX_OCTETS: usize = 65_507;
/// Groups in one batch. A burst to more (VTEP, source port) pairs than this is sent in parts.
pub const MAX_GROUPS: usize = 64;

/// The most datagrams in one group, and in one message of any kernel.
pub const MAX_SEGMENTS: usize = 128;
/// Octets for heads, and for datagrams that are copied whole: at least one of the largest.
const HEADS: usize = 128 << 10;
/// Bodies shorter than this are copied.
const COPY_BELOW: usize = 512;

/// The octets a kernel sets aside of the largest super-frame for its own headers (`MAX_TCP_HEADER`), and a few spare.
const KERNEL_RESERVE: usize = 400;
/// IPv4 and TCP with a timestamp, as nearly every segment has them.
const TCP_HEADERS: usize = 52;

/// The size of super-frames for which a port's kernel should aim so that the segments of one fill one message.
///
/// A full 64 KiB of payload would be more than a message holds, once each segment has headers of its own: every
/// super-frame would leave as a full message and a small one, at nearly the cost of two.
#[must_use]
pub fn super_frame_size(mtu: encap::Mtu) -> usize {
    let mtu = usize::from(mtu.get());
    let segments = MAX_OCTETS / (encap::tunnel::HEADER_LEN + encap::ether::HEADER_LEN + mtu);
    segments * mtu.saturating_sub(TCP_HEADERS) + KERNEL_RESERVE
}

/// Where a datagram goes and how it is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The VTEP.
    pub to: VtepAddr,
    /// Which of the source ports it leaves from.
    pub source: u16,
    /// The outer TOS or traffic class.
    pub tos: u8,
}

/// Where in a batch a datagram lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The group, in the order in which they were opened.
    pub group: usize,
    /// Its place among the datagrams of the group.
    pub index: usize,
}

/// One datagram: a head that the batch holds, and a body that lies where it was read.
#[derive(Clone, Copy, Debug)]
pub struct Datagram {
    head: Span,
    body: Span,
}

/// The octets of some datagrams, in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Payload<'a> {
    datagrams: &'a [Datagram],
    heads: &'a [u8],
    bodies: &'a [u8],
}

impl<'a> Payload<'a> {
    /// How many datagrams there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.datagrams.len()
    }

    /// The octets of all.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.datagrams.iter().map(|datagram| datagram.head.len() + datagram.body.len()).sum()
    }

    /// All octets in order: a head, its body, the next head. None is empty.
    #[inline]
    pub fn pieces(self) -> impl Iterator<Item = &'a [u8]> {
        let pieces = |datagram: &Datagram| [datagram.head.of(self.heads), datagram.body.of(self.bodies)];
        self.datagrams.iter().flat_map(pieces).filter(|piece| !piece.is_empty())
    }

    /// The same in parts of `count` datagrams, at least one; the last may have fewer.
    pub fn parts(self, count: usize) -> impl Iterator<Item = Self> {
        self.datagrams.chunks(count.max(1)).map(move |datagrams| Self { datagrams, ..self })
    }

    /// A copy in one piece.
    #[must_use]
    pub fn to_vec(self) -> Vec<u8> {
        self.pieces().collect::<Vec<_>>().concat()
    }
}

/// Equal-sized datagrams of one route.
#[derive(Debug)]
pub struct Group {
    route: Route,
    size: usize,
    octets: usize,
    ended: bool,
    datagrams: Vec<Datagram>,
}

impl Group {
    /// Where the datagrams go.
    #[must_use]
    pub fn route(&self) -> Route {
        self.route
    }

    /// The octets of each datagram but the last, which may be shorter.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many datagrams there are; at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.datagrams.len()
    }

    /// The octets of all.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.octets
    }

    #[inline]
    fn takes(&self, route: Route, len: usize, max_segments: usize) -> bool {
        !self.ended
            && self.route.tos == route.tos
            && len <= self.size
            && self.datagrams.len() < max_segments
            && self.octets + len <= MAX_OCTETS
    }
}

/// Groups in the order in which they were opened.
#[derive(Debug)]
pub struct SendBatch {
    groups: Vec<Group>,
    used: usize,
    octets: usize,
    heads: Box<[u8]>,
    heads_used: usize,
    holds: bool,
    max_segments: usize,
}

impl SendBatch {
    /// A batch whose groups have at most `max_segments` datagrams.
    #[must_use]
    pub fn new(max_segments: usize) -> Self {
        Self {
            groups: Vec::with_capacity(MAX_GROUPS),
            used: 0,
            octets: 0,
            heads: vec![0; HEADS].into_boxed_slice(),
            heads_used: 0,
            holds: false,
            max_segments: max_segments.clamp(1, MAX_SEGMENTS),
        }
    }

    /// Whether one more datagram of `len` octets might not find room; the batch must be sent first.
    #[must_use]
    #[inline]
    pub fn is_full(&self, len: usize) -> bool {
        self.used == MAX_GROUPS || self.heads_used + len > HEADS
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The octets in all groups.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// Whether bodies were left where they are: that buffer must stay as it is until the batch was sent.
    #[must_use]
    pub fn holds_bodies(&self) -> bool {
        self.holds
    }

    /// Adds a datagram: a head of `head` octets, to be filled by the caller, and behind it the octets of `bodies` that
    /// `body` names. A long body stays where it is.
    ///
    /// # Panics
    ///
    /// When the batch [is full](Self::is_full) for `head + body.len()` octets.
    ///
    /// # Cost
    ///
    /// About 5 ns in a run of one route; no allocation but the first time that a group is used.
    #[inline]
    pub fn datagram(&mut self, route: Route, head: usize, body: Span, bodies: &[u8]) -> &mut [u8] {
        let len = head + body.len();
        let index = match self.taker(route, len) {
            Some(index) => index,
            None => self.open(route, len),
        };
        self.octets += len;
        let group = &mut self.groups[index];
        group.octets += len;
        group.ended = len < group.size;
        let start = self.heads_used;
        if body.len() < COPY_BELOW {
            self.heads_used += len;
            group.datagrams.push(Datagram { head: Span::new(start, len), body: Span::default() });
            self.heads[start + head..start + len].copy_from_slice(body.of(bodies));
        } else {
            self.heads_used += head;
            self.holds = true;
            group.datagrams.push(Datagram { head: Span::new(start, head), body });
        }
        &mut self.heads[start..start + head]
    }

    /// Where the next datagram of `len` octets goes, if the batch is not full.
    #[must_use]
    pub fn next_place(&self, route: Route, len: usize) -> Place {
        let taker = self.taker(route, len).map(|group| Place { group, index: self.groups[group].count() });
        taker.unwrap_or(Place { group: self.used, index: 0 })
    }

    /// The group that a datagram joins; `None` = it opens one.
    #[inline]
    fn taker(&self, route: Route, len: usize) -> Option<usize> {
        let newest = self.groups[..self.used]
            .iter()
            .rposition(|group| group.route.to == route.to && group.route.source == route.source);
        newest.filter(|&index| self.groups[index].takes(route, len, self.max_segments))
    }

    fn open(&mut self, route: Route, size: usize) -> usize {
        let index = self.used;
        self.used += 1;
        if index == self.groups.len() {
            let datagrams = Vec::with_capacity(self.max_segments);
            self.groups.push(Group { route, size, octets: 0, ended: false, datagrams });
        }
        let group = &mut self.groups[index];
        (group.route, group.size, group.octets, group.ended) = (route, size, 0, false);
        group.datagrams.clear();
        index
    }

    /// The groups, oldest first.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups[..self.used]
    }

    /// The octets of one of the groups, whose bodies lie in `bodies`.
    #[must_use]
    pub fn payload<'a>(&'a self, group: &'a Group, bodies: &'a [u8]) -> Payload<'a> {
        Payload { datagrams: &group.datagrams, heads: &self.heads, bodies }
    }

    /// Forgets all datagrams and keeps their memory.
    pub fn clear(&mut self) {
        (self.used, self.octets, self.heads_used, self.holds) = (0, 0, 0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(last: u8, source: u16) -> Route {
        Route { to: VtepAddr::new([10, 0, 0, last].into(), 4789), source, tos: 0 }
    }

    /// Adds a datagram whose octets are all `octet`.
    fn add(batch: &mut SendBatch, route: Route, len: usize, octet: u8) {
        batch.datagram(route, 8, Span::new(0, len - 8), &vec![octet; len]).fill(octet);
    }

    fn shape(batch: &SendBatch) -> Vec<(u16, usize, usize)> {
        batch.groups().iter().map(|g| (g.route().source, g.size(), g.count())).collect()
    }

    #[test]
    fn equal_sizes_of_one_route_share_a_group() {
        let mut batch = SendBatch::new(128);
        for octet in 0..3 {
            add(&mut batch, route(1, 0), 100, octet);
        }
        assert_eq!(shape(&batch), [(0, 100, 3)]);
        let payload = batch.payload(&batch.groups()[0], &[]);
        assert_eq!((payload.octets(), payload.count()), (300, 3));
        assert_eq!(payload.to_vec()[200..], [2; 100]);
        assert!(!batch.holds_bodies());
    }

    #[test]
    fn a_long_body_stays_where_it_is() {
        let mut batch = SendBatch::new(128);
        let buffer: Vec<u8> = (0..=255).cycle().take(4000).collect();
        for start in [0, 1000] {
            batch.datagram(route(1, 0), 2, Span::new(start, 1000), &buffer).fill(0xee);
        }
        assert!(batch.holds_bodies());
        let payload = batch.payload(&batch.groups()[0], &buffer);
        let pieces: Vec<_> = payload.pieces().collect();
        assert_eq!(pieces, [&[0xee, 0xee], &buffer[..1000], &[0xee, 0xee], &buffer[1000..2000]]);
        assert!(std::ptr::eq(pieces[3], &raw const buffer[1000..2000]));
        let second = payload.parts(1).nth(1).unwrap();
        assert_eq!((second.octets(), second.to_vec()[2..].to_vec()), (1002, buffer[1000..2000].to_vec()));
    }

    #[test]
    fn a_batch_is_full_before_its_heads_have_no_room() {
        let mut batch = SendBatch::new(128);
        let mut count = 0;
        while !batch.is_full(500) {
            add(&mut batch, route(1, 0), 500, 0);
            count += 1;
        }
        assert_eq!(count, HEADS / 500);
        batch.clear();
        assert!(!batch.is_full(MAX_OCTETS));
    }

    #[test]
    fn a_shorter_datagram_ends_its_group_and_a_longer_one_opens_the_next() {
        let mut batch = SendBatch::new(128);
        for len in [100, 60, 100, 120] {
            add(&mut batch, route(1, 0), len, 0);
        }
        assert_eq!(shape(&batch), [(0, 100, 2), (0, 100, 1), (0, 120, 1)]);
    }

    #[test]
    fn the_next_place_is_where_the_next_datagram_goes() {
        let mut batch = SendBatch::new(3);
        for (last, source, len) in
            [(1, 0, 100), (1, 0, 100), (2, 0, 100), (1, 1, 90), (1, 0, 60), (1, 0, 60), (2, 0, 101)]
        {
            let Place { group, index } = batch.next_place(route(last, source), len);
            add(&mut batch, route(last, source), len, 0);
            assert_eq!(
                (batch.groups()[group].route(), batch.groups()[group].count()),
                (route(last, source), index + 1)
            );
        }
    }

    #[test]
    fn a_datagram_never_goes_before_a_newer_group_of_its_route() {
        let mut batch = SendBatch::new(128);
        add(&mut batch, route(1, 0), 100, 0);
        add(&mut batch, Route { tos: 3, ..route(1, 0) }, 100, 0);
        add(&mut batch, route(1, 0), 100, 0);
        assert_eq!(batch.groups().len(), 3);
        // Another source port is another flow: it may join what it finds.
        add(&mut batch, route(1, 1), 100, 0);
        add(&mut batch, route(1, 0), 100, 0);
        add(&mut batch, route(2, 0), 100, 0);
        assert_eq!(shape(&batch), [(0, 100, 1), (0, 100, 1), (0, 100, 2), (1, 100, 1), (0, 100, 1)]);
    }

    #[test]
    fn a_super_frame_of_the_size_asked_for_fills_one_message() {
        for mtu in [1280, 1430, 1450, 1500, 8950] {
            let size = super_frame_size(encap::Mtu::new(mtu).unwrap());
            let segment = mtu as usize - TCP_HEADERS;
            let segments = (size - 321) / segment; // what the kernel makes of it
            assert!(segments * (8 + 14 + mtu as usize) <= MAX_OCTETS, "MTU {mtu}");
            assert!((segments + 1) * (8 + 14 + mtu as usize) > MAX_OCTETS, "MTU {mtu}");
        }
    }

    #[test]
    fn groups_stay_within_segments_and_octets() {
        let mut batch = SendBatch::new(64);
        for _ in 0..130 {
            add(&mut batch, route(1, 0), 100, 0);
        }
        assert_eq!(shape(&batch), [(0, 100, 64), (0, 100, 64), (0, 100, 2)]);
        batch.clear();
        for _ in 0..45 {
            add(&mut batch, route(1, 0), 1522, 0);
        }
        assert_eq!(shape(&batch), [(0, 1522, 43), (0, 1522, 2)]);
        assert_eq!(batch.octets(), 45 * 1522);
    }
}
