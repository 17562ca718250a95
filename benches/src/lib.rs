//! What the benches share: frames to work on, a host without devices, and a count of allocations.

pub mod alloc;
pub mod frames;
pub mod host;

/// Whether a bench runs to show that it works, not to measure (`cargo bench -- --test`).
#[must_use]
pub fn is_test() -> bool {
    std::env::args().any(|argument| argument == "--test")
}
