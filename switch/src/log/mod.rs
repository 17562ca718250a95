//! What weft says of itself: every line has a [`Code`] of one list, and is said by `say!`.
//!
//! ```text
//!   say!(PortUp, port = name, "a port is up") ── Levels ──> Limiter ──> Line ──> standard error
//! ```
//!
//! A code has one level, one part of weft and one set of fields, so that what reads logs can rely on them. [`Levels`] say
//! what is logged of each part, [`Limiter`] leaves out what is said too often and counts it, [`Line`] writes a line as JSON
//! or for people. All of it is pure; `daemon/log.rs` has the clock and standard error. Debug lines have codes too, and are
//! not limited: who turns them on wants them all.

pub use self::codes::Code;
pub use self::levels::{Levels, Part, Settings, SettingsError, Target, targets};
pub use self::limit::{LeftOut, Limiter, MAX_SUBJECTS, PER_CODE, PER_SUBJECT, WINDOW};
pub use self::line::{Line, Look};

mod codes;
mod levels;
mod limit;
mod line;
#[cfg(test)]
mod tests;

/// Says what happened: a [`Code`], its fields as `tracing` takes them, and a sentence for a person.
macro_rules! say {
    ($code:ident, $($rest:tt)+) => {
        tracing::event!(
            target: $crate::log::Code::$code.part().name(),
            $crate::log::Code::$code.level(),
            event = $crate::log::Code::$code.name(),
            $($rest)+
        )
    };
}
pub(crate) use say;
