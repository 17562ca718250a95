//! Histograms that a worker writes and control reads: how many values were how large.

use std::time::Duration;

use super::{Counter, Direction};

/// A place where a worker takes or gives several wire frames in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// A burst that was read from the device of a port.
    PortReceive,
    /// What devices of ports took of one burst.
    PortTransmit,
    /// A burst that was received by one socket of the underlay.
    UnderlayReceive,
    /// A send batch, as far as the kernel took it.
    UnderlayTransmit,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 4] =
        [Self::PortReceive, Self::PortTransmit, Self::UnderlayReceive, Self::UnderlayTransmit];

    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PortReceive => "port_receive",
            Self::PortTransmit => "port_transmit",
            Self::UnderlayReceive => "underlay_receive",
            Self::UnderlayTransmit => "underlay_transmit",
        }
    }
}

/// The most wire frames of each bucket.
const FRAMES: [u64; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/// The longest time of each bucket in nanoseconds: 1 µs to 100 ms.
const TIMES: [u64; 16] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
];

/// How many values were how large; it has one writer, such as a worker.
#[derive(Debug)]
pub(crate) struct Histogram<const N: usize> {
    /// The largest value of each bucket, ascending.
    bounds: &'static [u64; N],
    counts: [Counter; N],
    above: Counter,
    sum: Counter,
}

impl<const N: usize> Histogram<N> {
    /// Without values; the bounds ascend.
    pub(crate) fn new(bounds: &'static [u64; N]) -> Self {
        let counts = std::array::from_fn(|_| Counter::default());
        Self { bounds, counts, above: Counter::default(), sum: Counter::default() }
    }

    /// Counts a value; only the writer may call this.
    pub(crate) fn note(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts.get(bucket).unwrap_or(&self.above).add(1);
        self.sum.add(value);
    }

    /// The values so far.
    pub(crate) fn read(&self) -> HistogramView {
        let counts = self.counts.iter().chain([&self.above]).map(Counter::get).collect();
        HistogramView { bounds: self.bounds, counts, sum: self.sum.get() }
    }
}

/// The values of a histogram at one moment; those of equal bounds add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramView {
    /// The largest value of each bucket, ascending.
    pub bounds: &'static [u64],
    /// The values in each bucket and in none before it; at the end, those above all bounds.
    pub counts: Vec<u64>,
    /// All values added up.
    pub sum: u64,
}

impl HistogramView {
    fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.sum += other.sum;
    }
}

/// The histograms of one worker.
#[derive(Debug)]
pub struct Histograms {
    batches: [Histogram<{ FRAMES.len() }>; Stage::ALL.len()],
    forwarding: [Histogram<{ TIMES.len() }>; 2],
}

impl Default for Histograms {
    fn default() -> Self {
        Self {
            batches: Stage::ALL.map(|_| Histogram::new(&FRAMES)),
            forwarding: [Histogram::new(&TIMES), Histogram::new(&TIMES)],
        }
    }
}

impl Histograms {
    /// Counts so many wire frames that went through a stage in one go, unless there were none; only the worker that owns
    /// the counters may call this.
    ///
    /// # Cost
    ///
    /// A search among eleven bounds and two additions, for all frames together.
    pub fn count_batch(&self, stage: Stage, frames: u64) {
        if frames > 0 {
            self.batches[stage as usize].note(frames);
        }
    }

    /// Counts a burst that took so long from when its worker was told of it until the last of its frames was handed to the
    /// kernel; only that worker may call this.
    pub fn count_forwarding(&self, direction: Direction, took: Duration) {
        self.forwarding[direction as usize].note(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Reads every histogram.
    #[must_use]
    pub fn read(&self) -> HistogramsView {
        HistogramsView {
            batches: self.batches.each_ref().map(Histogram::read),
            forwarding: self.forwarding.each_ref().map(Histogram::read),
        }
    }
}

/// The values of the histograms at one moment; they add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramsView {
    batches: [HistogramView; Stage::ALL.len()],
    forwarding: [HistogramView; 2],
}

impl Default for HistogramsView {
    fn default() -> Self {
        Histograms::default().read()
    }
}

impl HistogramsView {
    /// Adds the other values to these.
    pub fn add(&mut self, other: &Self) {
        let ours = self.batches.iter_mut().chain(&mut self.forwarding);
        ours.zip(other.batches.iter().chain(&other.forwarding)).for_each(|(ours, others)| ours.add(others));
    }

    /// How many wire frames went through a stage in one go.
    #[must_use]
    pub const fn batches(&self, stage: Stage) -> &HistogramView {
        &self.batches[stage as usize]
    }

    /// How long bursts of this direction took that were timed, in nanoseconds.
    #[must_use]
    pub const fn forwarding(&self, direction: Direction) -> &HistogramView {
        &self.forwarding[direction as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_the_first_bucket_that_takes_it_and_above_all_in_the_last() {
        let histograms = Histograms::default();
        for frames in [0, 1, 2, 3, 4, 5, 1024, 1025, 50_000] {
            histograms.count_batch(Stage::PortReceive, frames);
        }
        let view = histograms.read();
        let batches = view.batches(Stage::PortReceive);
        assert_eq!(batches.counts, [1, 1, 2, 1, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(batches.sum, 15 + 1024 + 1025 + 50_000);
        assert_eq!(view.batches(Stage::PortTransmit).counts, [0; 12]);
    }

    #[test]
    fn bounds_rise_and_those_of_batches_are_powers_of_two() {
        for bounds in [&FRAMES[..], &TIMES] {
            assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
        }
        assert!(FRAMES.iter().all(|bound| bound.is_power_of_two()));
    }

    #[test]
    fn workers_add_up() {
        let (one, other) = (Histograms::default(), Histograms::default());
        one.count_forwarding(Direction::Inbound, Duration::from_micros(1));
        other.count_forwarding(Direction::Inbound, Duration::from_secs(1));
        other.count_forwarding(Direction::Outbound, Duration::from_micros(30));
        one.count_batch(Stage::UnderlayTransmit, 7);
        let mut both = HistogramsView::default();
        both.add(&one.read());
        both.add(&other.read());
        let inbound = both.forwarding(Direction::Inbound);
        assert_eq!((inbound.counts[0], inbound.counts[16], inbound.sum), (1, 1, 1_000_001_000));
        assert_eq!(both.forwarding(Direction::Outbound).counts[5], 1);
        assert_eq!(both.batches(Stage::UnderlayTransmit).sum, 7);
    }
}
