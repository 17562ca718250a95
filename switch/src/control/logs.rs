//! What is logged of each part: as the configuration says, and as `weft log set` says over it until the daemon ends.

use super::Control;
use super::devices::Devices;
use super::protocol::{ErrorReply, LogLevel, LogLevels, LogSource, Reply};
use super::requests::no_such;
use crate::log::{Levels, Part, Settings, SettingsError, Target, say, targets};

/// Takes back what was set.
const DEFAULT: &str = "default";

impl<D: Devices> Control<D> {
    /// The levels in effect; the owner logs by them.
    pub fn log_levels(&self) -> Levels {
        // It was checked with the rest of the configuration.
        let written = self.config.log.level.parse().unwrap_or_default();
        Levels { written, set: self.log_set.clone() }
    }

    pub(super) fn log_show(&self) -> Reply {
        let levels = self.log_levels();
        let entry = |part: &Part| LogLevel {
            target: part.name().to_owned(),
            level: levels.of(*part).to_string(),
            source: if levels.set.of(*part).is_some() {
                LogSource::Command
            } else {
                LogSource::Configuration
            },
        };
        let entries = Part::ALL.iter().map(entry).collect();
        Reply::Log(LogLevels { level: self.config.log.level.clone(), entries })
    }

    pub(super) fn log_set(&mut self, target: &str, level: &str) -> Result<Reply, ErrorReply> {
        let unknown = |_| no_such("log target", target, targets().into_iter(), "weft log show");
        let to: Target = target.parse().map_err(unknown)?;
        let wanted = if level == DEFAULT {
            None
        } else {
            Some(Settings::level(level).map_err(|error| refused(&error))?)
        };
        self.log_set.set(to, wanted);
        say!(LogSet, part = target, to = level, "what is logged was changed by `weft log set`");
        let until = "until weft ends, or `weft log set";
        Ok(Reply::done(
            match (wanted, to) {
                (Some(_), _) => format!("{target} is logged from {level} on, {until} {target}={DEFAULT}`"),
                (None, Target::All) => "everything is logged as [log] level says".to_owned(),
                (None, Target::Part(_)) => format!("{target} is logged as the rest, or as [log] level says"),
            },
            1,
        ))
    }
}

fn refused(error: &SettingsError) -> ErrorReply {
    ErrorReply::usage(format!("{error}, and {DEFAULT}, which takes back what was set"))
}
