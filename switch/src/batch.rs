//! Datagrams on their way out, grouped so that the kernel takes many in one go.
//!
//! Datagrams to one VTEP, from one source port, with one outer TOS and of one size form a [`Group`], which leaves as
//! one message with `UDP_SEGMENT`; only the last of a group may be shorter. It works for any frames of equal size, not
//! only for the segments of one super-frame.
//!
//! Order: a flow has one VTEP and one source port, and a datagram is only ever appended to the newest group of those
//! two. Groups leave in the order in which they were opened, so a flow is never reordered.

use encap::VtepAddr;

/// The most octets in one message: the largest UDP payload over IPv4.
pub const MAX_OCTETS: usize = 65_507;
/// Groups in one batch. A burst to more (VTEP, source port) pairs than this is sent in parts.
pub const MAX_GROUPS: usize = 64;

// The memory of a full batch; groups are made when first used.
const _: () = assert!(MAX_GROUPS * MAX_OCTETS < 5 << 20);

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

/// Equal-sized datagrams of one route.
#[derive(Debug)]
pub struct Group {
    route: Route,
    size: usize,
    count: usize,
    filled: usize,
    ended: bool,
    octets: Box<[u8]>,
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
        self.count
    }

    /// All datagrams, one behind the other.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets[..self.filled]
    }
}

/// Groups in the order in which they were opened.
#[derive(Debug)]
pub struct SendBatch {
    groups: Vec<Group>,
    used: usize,
    octets: usize,
    max_segments: usize,
}

impl SendBatch {
    /// A batch whose groups have at most `max_segments` datagrams.
    #[must_use]
    pub fn new(max_segments: usize) -> Self {
        Self { groups: Vec::with_capacity(MAX_GROUPS), used: 0, octets: 0, max_segments: max_segments.max(1) }
    }

    /// Whether one more datagram might need a group more than there are; the batch must be sent first.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.used == MAX_GROUPS
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

    /// Room for a datagram of `len` octets on `route`, to be filled by the caller.
    ///
    /// # Panics
    ///
    /// When the batch [is full](Self::is_full) or `len` is over [`MAX_OCTETS`].
    ///
    /// # Cost
    ///
    /// About 3 ns in a run of one route; no allocation but the first time that a group is used.
    #[inline]
    pub fn datagram(&mut self, route: Route, len: usize) -> &mut [u8] {
        let newest = self.groups[..self.used]
            .iter()
            .rposition(|group| group.route.to == route.to && group.route.source == route.source);
        let index = match newest {
            Some(index) if self.groups[index].takes(route, len, self.max_segments) => index,
            _ => self.open(route, len),
        };
        self.octets += len;
        let group = &mut self.groups[index];
        let start = group.filled;
        group.filled += len;
        group.count += 1;
        group.ended = len < group.size;
        &mut group.octets[start..start + len]
    }

    fn open(&mut self, route: Route, size: usize) -> usize {
        let index = self.used;
        self.used += 1;
        if index == self.groups.len() {
            let octets = vec![0; MAX_OCTETS].into_boxed_slice();
            self.groups.push(Group { route, size, count: 0, filled: 0, ended: false, octets });
        }
        let group = &mut self.groups[index];
        (group.route, group.size, group.count, group.filled, group.ended) = (route, size, 0, 0, false);
        index
    }

    /// The groups, oldest first.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups[..self.used]
    }

    /// Forgets all datagrams and keeps their memory.
    pub fn clear(&mut self) {
        (self.used, self.octets) = (0, 0);
    }
}

impl Group {
    #[inline]
    fn takes(&self, route: Route, len: usize, max_segments: usize) -> bool {
        !self.ended
            && self.route.tos == route.tos
            && len <= self.size
            && self.count < max_segments
            && self.filled + len <= MAX_OCTETS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(last: u8, source: u16) -> Route {
        Route { to: VtepAddr::new([10, 0, 0, last].into(), 4789), source, tos: 0 }
    }

    fn shape(batch: &SendBatch) -> Vec<(u16, usize, usize)> {
        batch.groups().iter().map(|g| (g.route().source, g.size(), g.count())).collect()
    }

    #[test]
    fn equal_sizes_of_one_route_share_a_group() {
        let mut batch = SendBatch::new(128);
        for octet in 0..3 {
            batch.datagram(route(1, 0), 100).fill(octet);
        }
        assert_eq!(shape(&batch), [(0, 100, 3)]);
        assert_eq!(batch.groups()[0].octets()[200..], [2; 100]);
    }

    #[test]
    fn a_shorter_datagram_ends_its_group_and_a_longer_one_opens_the_next() {
        let mut batch = SendBatch::new(128);
        for len in [100, 60, 100, 120] {
            batch.datagram(route(1, 0), len);
        }
        assert_eq!(shape(&batch), [(0, 100, 2), (0, 100, 1), (0, 120, 1)]);
    }

    #[test]
    fn a_datagram_never_goes_before_a_newer_group_of_its_route() {
        let mut batch = SendBatch::new(128);
        batch.datagram(route(1, 0), 100);
        batch.datagram(Route { tos: 3, ..route(1, 0) }, 100);
        batch.datagram(route(1, 0), 100);
        assert_eq!(batch.groups().len(), 3);
        // Another source port is another flow: it may join what it finds.
        batch.datagram(route(1, 1), 100);
        batch.datagram(route(1, 0), 100);
        batch.datagram(route(2, 0), 100);
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
            batch.datagram(route(1, 0), 100);
        }
        assert_eq!(shape(&batch), [(0, 100, 64), (0, 100, 64), (0, 100, 2)]);
        batch.clear();
        for _ in 0..45 {
            batch.datagram(route(1, 0), 1522);
        }
        assert_eq!(shape(&batch), [(0, 1522, 43), (0, 1522, 2)]);
        assert_eq!(batch.octets(), 45 * 1522);
    }
}
