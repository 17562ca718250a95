//! How long an answer takes: the smoothed round trip ([RFC 6298](https://www.rfc-editor.org/rfc/rfc6298)), the time after
//! which a probe counts as lost, and a histogram.

use std::time::Duration;

/// A probe without an answer is lost after this at the earliest: a peer may be busy for a moment.
pub(super) const LOST_MIN: Duration = Duration::from_millis(100);
/// And after this at the latest.
pub(super) const LOST_MAX: Duration = Duration::from_secs(1);
/// While nothing is known.
const LOST_FIRST: Duration = Duration::from_millis(300);

/// Classes of the histogram: four to each power of two, from a microsecond to 16 seconds.
const CLASSES: usize = 24 * PER_POWER;
const PER_POWER: usize = 4;

/// So many samples are kept; then each class is halved, so that what is shown is of late.
const SAMPLES: u32 = 2_048;

/// The round trips of one peer.
#[derive(Clone, Debug)]
pub(super) struct RoundTrip {
    smoothed: Option<Duration>,
    deviation: Duration,
    classes: [u16; CLASSES],
    samples: u32,
}

impl RoundTrip {
    pub(super) const fn new() -> Self {
        Self { smoothed: None, deviation: Duration::ZERO, classes: [0; CLASSES], samples: 0 }
    }

    pub(super) fn sample(&mut self, time: Duration) {
        match self.smoothed {
            None => (self.smoothed, self.deviation) = (Some(time), time / 2),
            Some(smoothed) => {
                self.deviation = (self.deviation * 3 + smoothed.abs_diff(time)) / 4;
                self.smoothed = Some((smoothed * 7 + time) / 8);
            }
        }
        if self.samples >= SAMPLES {
            self.classes.iter_mut().for_each(|class| *class /= 2);
            self.samples = self.classes.iter().map(|class| u32::from(*class)).sum();
        }
        self.classes[class(time)] += 1;
        self.samples += 1;
    }

    pub(super) const fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// How many samples the histogram has.
    pub(super) const fn samples(&self) -> u32 {
        self.samples
    }

    /// What a share of the samples is not above, in steps of a quarter; `None` = there are none.
    pub(super) fn quantile(&self, percent: u32) -> Option<Duration> {
        let wanted = (u64::from(self.samples) * u64::from(percent)).div_ceil(100).max(1);
        let mut sum = 0;
        let found = self.classes.iter().position(|class| {
            sum += u64::from(*class);
            sum >= wanted
        });
        found.map(end_of)
    }

    /// After which time a probe counts as lost.
    pub(super) fn lost_after(&self) -> Duration {
        let Some(smoothed) = self.smoothed else { return LOST_FIRST };
        (smoothed * 3).max(smoothed + self.deviation * 4).clamp(LOST_MIN, LOST_MAX)
    }
}

/// The class of a time: its power of two, and the two bits after the first.
fn class(time: Duration) -> usize {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
    let power = micros.ilog2() as usize;
    let quarter = if power < 2 { (micros << (2 - power)) & 3 } else { (micros >> (power - 2)) & 3 };
    (power * PER_POWER + quarter as usize).min(CLASSES - 1)
}

/// The time that the next class begins with.
fn end_of(class: usize) -> Duration {
    let (power, quarter) = ((class + 1) / PER_POWER, (class + 1) % PER_POWER);
    Duration::from_micros(((4 + quarter as u64) << power) / 4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_probe_is_lost_after_three_round_trips_within_bounds() {
        let mut round_trip = RoundTrip::new();
        assert_eq!(round_trip.lost_after(), LOST_FIRST);
        for (millis, lost) in [(1, LOST_MIN), (80, Duration::from_millis(240)), (900, LOST_MAX)] {
            (0..200).for_each(|_| round_trip.sample(Duration::from_millis(millis)));
            let found = round_trip.lost_after();
            assert!(found.abs_diff(lost) < Duration::from_millis(5), "{millis} ms: {found:?}");
        }
    }

    #[test]
    fn quantiles_are_of_late() {
        let mut round_trip = RoundTrip::new();
        assert_eq!(round_trip.quantile(50), None);
        for n in 0..10_000_u64 {
            round_trip.sample(Duration::from_micros(if n % 50 == 0 { 40_000 } else { 200 }));
        }
        let near = |percent, micros: u64| {
            let found = round_trip.quantile(percent).unwrap();
            assert!(found >= Duration::from_micros(micros) && found <= Duration::from_micros(micros * 5 / 4));
        };
        near(50, 200);
        near(99, 40_000);
        assert!(round_trip.samples() <= SAMPLES);
    }

    proptest! {
        #[test]
        fn every_time_lies_below_the_end_of_its_class_and_by_at_most_a_quarter(micros in 4_u64..15_000_000) {
            let end = end_of(class(Duration::from_micros(micros))).as_micros() as u64;
            prop_assert!(end > micros && end - micros <= micros.div_ceil(4), "{micros}: {end}");
        }
    }
}
