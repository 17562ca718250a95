//! Token buckets for flooded frames.

use std::time::{Duration, Instant};

/// Lets through `rate` frames a second, and up to twice as many at once.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
/// use weft::datapath::limit::TokenBucket;
///
/// # #[allow(clippy::disallowed_methods)]
/// let now = Instant::now();
/// let mut bucket = TokenBucket::new(10, now);
/// assert!(!bucket.take(21, now)); // more than the burst
/// assert!(bucket.take(20, now));
/// assert!(bucket.take(5, now + Duration::from_millis(500)));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    rate: u32,
    /// In billionths of a frame, so that no fraction is lost between two calls.
    tokens: u64,
    filled: Instant,
}

const FRAME: u64 = 1_000_000_000;

impl TokenBucket {
    /// A full bucket; `rate` frames a second, 0 = no limit.
    #[must_use]
    pub fn new(rate: u32, now: Instant) -> Self {
        Self { rate, tokens: Self::burst(rate), filled: now }
    }

    /// Changes the rate; a bucket whose rate stays keeps its tokens.
    pub fn set_rate(&mut self, rate: u32, now: Instant) {
        if rate != self.rate {
            *self = Self::new(rate, now);
        }
    }

    /// Takes `frames` tokens, or none when there are fewer: a super-frame that cannot pass must not keep the frames
    /// behind it from passing.
    pub fn take(&mut self, frames: u64, now: Instant) -> bool {
        if self.rate == 0 {
            return true;
        }
        // Two seconds fill any bucket, so a longer pause needs no larger number.
        let elapsed = now.saturating_duration_since(self.filled).min(Duration::from_secs(2));
        let nanos = u64::from(elapsed.subsec_nanos()) + elapsed.as_secs() * FRAME;
        self.tokens = (self.tokens + nanos * u64::from(self.rate)).min(Self::burst(self.rate));
        self.filled = now;
        let enough = frames <= self.tokens / FRAME;
        if enough {
            self.tokens -= frames * FRAME;
        }
        enough
    }

    fn burst(rate: u32) -> u64 {
        2 * u64::from(rate) * FRAME
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn over_any_time_no_more_than_burst_and_rate_pass(
            rate in 1u32..10_000, steps in proptest::collection::vec((0u64..3000, 0u64..100), 1..200),
        ) {
            let start = crate::clock::now();
            let mut bucket = TokenBucket::new(rate, start);
            let (mut now, mut passed) = (start, 0);
            for (millis, frames) in steps {
                now += Duration::from_millis(millis);
                passed += if bucket.take(frames, now) { frames } else { 0 };
            }
            let seconds = (now - start).as_secs_f64();
            prop_assert!(passed as f64 <= f64::from(rate) * (seconds + 2.0) + 1.0);
        }
    }

    #[test]
    fn zero_is_no_limit() {
        let now = crate::clock::now();
        assert!(TokenBucket::new(0, now).take(1 << 40, now));
    }
}
