//! One look at everything, for `weft doctor`: which port lets which size through.

use std::time::{Duration, Instant};

use encap::Format;
use encap::tunnel::IpVersion;

/// How long an examination takes at most.
pub const EXAMINATION: Duration = Duration::from_secs(2);

/// Each cell is probed so often, from different source ports.
const TRIES: u8 = 4;
const PAUSE: Duration = Duration::from_millis(350);

/// The sizes that are examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// As small as a probe can be.
    Small,
    /// [`Config::min`](super::Config::min).
    Min,
    /// The link's MTU.
    Link,
}

impl Size {
    const ALL: [Self; 3] = [Self::Small, Self::Min, Self::Link];
}

/// One size in one format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The format, and with it the port of the peer.
    pub format: Format,
    /// What size it is.
    pub size: Size,
    /// Octets of the outer IP packet.
    pub octets: u16,
    /// How many probes left.
    pub sent: u8,
    /// Whether one was answered.
    pub answered: bool,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// When it began.
    pub began: Instant,
    /// Whether it is over.
    pub finished: bool,
    /// The IP version of the underlay: the one that was used when it began.
    pub family: IpVersion,
    /// Both formats, three sizes each. A cell of which nothing was sent was too costly at that moment.
    pub cells: [Cell; 6],
    next_at: Instant,
}

impl Examination {
    /// `octets` says how large a size is in a format.
    pub(super) fn new(family: IpVersion, octets: impl Fn(Format, Size) -> u16, now: Instant) -> Self {
        let cell = |n: usize| {
            let format = if n < Size::ALL.len() { Format::Vxlan } else { Format::Geneve };
            let size = Size::ALL[n % Size::ALL.len()];
            Cell { format, size, octets: octets(format, size), sent: 0, answered: false }
        };
        let cells = std::array::from_fn(cell);
        Self { began: now, finished: false, family, cells, next_at: now }
    }

    /// The cell that is to be probed now.
    pub(super) fn poll(&mut self, now: Instant) -> Option<usize> {
        self.finished |= now >= self.began + EXAMINATION || self.cells.iter().all(|cell| cell.answered);
        if self.finished || now < self.next_at {
            return None;
        }
        let least = |cell: &Cell| if cell.answered || cell.sent >= TRIES { u8::MAX } else { cell.sent };
        let (place, cell) = self.cells.iter().enumerate().min_by_key(|(_, cell)| least(cell))?;
        (least(cell) < u8::MAX).then_some(place)
    }

    /// A probe of a cell left. After each round there is a pause.
    pub(super) fn sent(&mut self, place: usize, now: Instant) {
        let Some(cell) = self.cells.get_mut(place) else { return };
        cell.sent += 1;
        let round = cell.sent;
        if self.cells.iter().all(|cell| cell.answered || cell.sent >= round) {
            self.next_at = now + PAUSE;
        }
    }

    pub(super) fn answered(&mut self, place: usize) {
        if let Some(cell) = self.cells.get_mut(place) {
            cell.answered = true;
        }
    }

    /// When to look again; `None` = it is over.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let end = self.began + EXAMINATION;
        let waiting = self.cells.iter().any(|cell| !cell.answered && cell.sent < TRIES);
        (!self.finished).then(|| if waiting { self.next_at.min(end) } else { end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::testing::start;

    #[test]
    fn every_cell_is_tried_until_it_is_answered_and_all_is_over_in_two_seconds() {
        let begin = start();
        let mut examination = Examination::new(IpVersion::V4, |_, _| 1000, begin);
        let mut now = begin;
        while let Some(at) = examination.poll_timeout() {
            now = now.max(at);
            while let Some(place) = examination.poll(now) {
                examination.sent(place, now);
                if place != 2 && place < 5 {
                    examination.answered(place);
                }
            }
        }
        assert_eq!(now, begin + EXAMINATION);
        let sent = examination.cells.map(|cell| (cell.sent, cell.answered));
        assert_eq!(sent, [(1, true), (1, true), (TRIES, false), (1, true), (1, true), (TRIES, false)]);
        assert_eq!(examination.cells[4].size, Size::Min);
    }
}
