//! The only place that reads the clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The monotonic time now.
#[must_use]
#[allow(clippy::disallowed_methods)] // this is the one reader that everybody else is pointed to
pub fn now() -> Instant {
    Instant::now()
}

/// The time of day in milliseconds since 1970; 0 on a host whose clock is before that. It may jump: only ever shown, or
/// compared with that of others.
#[must_use]
pub fn unix_ms() -> u64 {
    unix_ns() / 1_000_000
}

/// The same in nanoseconds.
#[must_use]
#[allow(clippy::disallowed_methods)] // as above
pub fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
