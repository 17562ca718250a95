//! What is counted of a burst as a whole: the wire frames that came and left in one go, and how long some took.

use std::time::Instant;

use crate::clock;
use crate::counters::{Direction, Stage, WorkerCounters};

/// One burst in so many is timed: the clock is read for it once more. A prime, so that no two kinds of bursts that take
/// turns hide one another.
const TIMED: u32 = 61;

/// What the ledger said when a burst began.
pub(super) struct Burst {
    direction: Direction,
    received: u64,
    delivered: u64,
}

impl Burst {
    pub(super) fn begin(direction: Direction, counters: &WorkerCounters) -> Self {
        let delivered = counters.ledger.delivered_to_ports.get();
        Self { direction, received: received(direction, counters).1, delivered }
    }
}

/// The bursts of one worker.
#[derive(Debug, Default)]
pub(super) struct Bursts {
    /// Bursts until the next one that is timed.
    left: u32,
}

impl Bursts {
    /// Counts a burst whose frames have all left; `told` is when the worker was told of it, so that the time for which it
    /// waited for others is part of what it took. Returns how many wire frames came.
    pub(super) fn end(&mut self, burst: &Burst, counters: &WorkerCounters, told: Instant) -> u64 {
        let (stage, received) = received(burst.direction, counters);
        let frames = received - burst.received;
        if frames == 0 {
            return 0;
        }
        let delivered = counters.ledger.delivered_to_ports.get() - burst.delivered;
        counters.histograms.count_batch(stage, frames);
        counters.histograms.count_batch(Stage::PortTransmit, delivered);
        if self.left == 0 {
            let took = clock::now().saturating_duration_since(told);
            counters.histograms.count_forwarding(burst.direction, took);
            self.left = TIMED;
        }
        self.left -= 1;
        frames
    }
}

/// Where frames of this direction come in, and how many did so far.
fn received(direction: Direction, counters: &WorkerCounters) -> (Stage, u64) {
    match direction {
        Direction::Outbound => (Stage::PortReceive, counters.ledger.received_from_ports.get()),
        Direction::Inbound => (Stage::UnderlayReceive, counters.ledger.received_from_underlay.get()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bursts of two frames each by turns, both ways; each inbound one is delivered.
    fn turns(count: u64) -> WorkerCounters {
        let (counters, mut bursts) = (WorkerCounters::default(), Bursts::default());
        for turn in 0..count {
            let outbound = turn % 2 == 0;
            let direction = if outbound { Direction::Outbound } else { Direction::Inbound };
            let burst = Burst::begin(direction, &counters);
            if outbound {
                counters.ledger.received_from_ports.add(2);
            } else {
                counters.ledger.received_from_underlay.add(2);
                counters.count_delivery(2);
            }
            assert_eq!(bursts.end(&burst, &counters, clock::now()), 2);
        }
        counters
    }

    #[test]
    fn every_burst_is_counted_by_its_frames_where_they_came_and_where_they_went() {
        let view = turns(10).histograms.read();
        let count = |stage| (view.batches(stage).counts[1], view.batches(stage).sum);
        assert_eq!(count(Stage::PortReceive), (5, 10));
        assert_eq!(count(Stage::UnderlayReceive), (5, 10));
        assert_eq!(count(Stage::PortTransmit), (5, 10));
        assert_eq!(count(Stage::UnderlayTransmit), (0, 0));
    }

    #[test]
    fn the_first_burst_and_then_one_in_61_is_timed_whichever_way_they_go_by_turns() {
        let timed = |turns: &WorkerCounters| {
            let view = turns.histograms.read();
            [Direction::Outbound, Direction::Inbound]
                .map(|direction| view.forwarding(direction).counts.iter().sum::<u64>())
        };
        assert_eq!(timed(&turns(1)), [1, 0]);
        assert_eq!(timed(&turns(61)), [1, 0]);
        assert_eq!(timed(&turns(62)), [1, 1]);
        assert_eq!(timed(&turns(610)), [5, 5]);
    }

    #[test]
    fn a_burst_without_frames_is_none() {
        let (counters, mut bursts) = (WorkerCounters::default(), Bursts::default());
        let burst = Burst::begin(Direction::Inbound, &counters);
        assert_eq!(bursts.end(&burst, &counters, clock::now()), 0);
        let view = counters.histograms.read();
        assert_eq!(view, crate::counters::HistogramsView::default());
    }
}
