//! What several tests need.

use std::time::Instant;

/// Some instant to begin with; time passes by hand afterwards.
pub(super) fn start() -> Instant {
    crate::clock::now()
}
