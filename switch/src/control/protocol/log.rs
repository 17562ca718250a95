//! What is said of the log.

use serde::{Deserialize, Serialize};

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLevels {
    /// `[log] level` of the configuration.
    pub level: String,
    /// One each, by target.
    pub entries: Vec<LogLevel>,
}

/// What is logged of one part of weft.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLevel {
    /// The part, as lines have it in `target`.
    pub target: String,
    /// What matters less is left out: `off`, `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// Who says so.
    pub source: LogSource,
}

/// Who says what is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    /// `[log] level`.
    Configuration,
    /// `weft log set`, until the daemon ends.
    Command,
}
