//! When nothing arrived, as a receiver notes it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::wait;

/// Shorter pauses are not remembered.
const SHORTEST: Duration = Duration::from_millis(10);

/// The pauses of one receiver: when each ended, and how long it was.
#[derive(Debug, Default)]
pub(crate) struct Pauses(Mutex<Vec<(Instant, Duration)>>);

impl Pauses {
    /// Something arrived; `last` is when it did before, and becomes now.
    pub(crate) fn arrived(&self, last: &mut Instant) {
        let now = wait::now();
        let pause = now - std::mem::replace(last, now);
        if pause >= SHORTEST {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push((now, pause));
        }
    }

    /// The longest that ended after `start`.
    pub(crate) fn longest_since(&self, start: Instant) -> Duration {
        let pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.iter().filter(|(end, _)| *end >= start).map(|(_, length)| *length).max().unwrap_or_default()
    }
}
