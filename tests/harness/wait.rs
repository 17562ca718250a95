//! Waiting on real time, which only these tests do.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(20);

/// The time now.
#[must_use]
pub fn now() -> Instant {
    weft::clock::now()
}

/// Seconds as a duration.
#[must_use]
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Sleeps for some milliseconds.
pub fn sleep_ms(n: u64) {
    std::thread::sleep(Duration::from_millis(n));
}

/// Waits until `ready`; false when `limit` passed first.
pub fn reached(limit: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let end = now() + limit;
    loop {
        if ready() {
            return true;
        }
        if now() >= end {
            return false;
        }
        std::thread::sleep(STEP);
    }
}

/// Waits until `ready`, and says how long that took.
///
/// # Panics
///
/// When `limit` passes first.
#[track_caller]
pub fn until(limit: Duration, what: &str, ready: impl FnMut() -> bool) -> Duration {
    let start = now();
    assert!(reached(limit, ready), "waited {limit:?} in vain for {what}");
    now() - start
}
