//! The only place that reads the clock.

use std::time::Instant;

/// The monotonic time now.
#[must_use]
#[allow(clippy::disallowed_methods)] // this is the one reader that everybody else is pointed to
pub fn now() -> Instant {
    Instant::now()
}
