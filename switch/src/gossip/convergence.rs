//! For how long this node knows something else than others do.

use std::time::Instant;

use crate::counters::{Histogram, HistogramView};

/// The longest time of each bucket in milliseconds, to an hour.
const TIMES: [u64; 11] = [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000, 300_000, 3_600_000];

/// The times from when a node that is up differed until none did any more.
#[derive(Debug)]
pub(crate) struct Convergence {
    /// Since when one differs.
    since: Option<Instant>,
    times: Histogram<{ TIMES.len() }>,
}

impl Default for Convergence {
    fn default() -> Self {
        Self { since: None, times: Histogram::new(&TIMES) }
    }
}

impl Convergence {
    /// Takes note of whether a node differs now.
    pub(crate) fn note(&mut self, differs: bool, now: Instant) {
        if differs {
            self.since.get_or_insert(now);
        } else if let Some(since) = self.since.take() {
            let took = now.saturating_duration_since(since).as_millis();
            self.times.note(u64::try_from(took).unwrap_or(u64::MAX));
        }
    }

    /// The times that are over.
    pub(crate) fn read(&self) -> ConvergenceView {
        ConvergenceView(self.times.read())
    }
}

/// The times that are over at one moment, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvergenceView(pub HistogramView);

impl Default for ConvergenceView {
    /// None.
    fn default() -> Self {
        Convergence::default().read()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Counts of times after a node differs or not at these milliseconds.
    fn after(notes: &[(u64, bool)]) -> HistogramView {
        let (mut convergence, start) = (Convergence::default(), crate::clock::now());
        for (at, differs) in notes {
            convergence.note(*differs, start + Duration::from_millis(*at));
        }
        convergence.read().0
    }

    #[test]
    fn a_time_is_counted_once_from_its_beginning_when_it_is_over() {
        let view = after(&[(0, false), (1_000, true), (1_500, true), (2_500, false), (3_000, false)]);
        assert_eq!((view.counts[4], view.counts.iter().sum::<u64>(), view.sum), (1, 1, 1_500));
    }

    #[test]
    fn one_that_goes_on_is_not_counted_yet_and_the_next_one_begins_anew() {
        assert_eq!(after(&[(0, true), (9_000, true)]).counts.iter().sum::<u64>(), 0);
        let view = after(&[(0, true), (500, false), (60_000, true), (4_000_000, false)]);
        assert_eq!((view.counts[2], view.counts[TIMES.len()], view.sum), (1, 1, 500 + 3_940_000));
    }
}
