//! What is logged of each part of weft: as the configuration says, and as `weft log set` says over it.

use std::collections::BTreeMap;
use std::str::FromStr;

use tracing::level_filters::LevelFilter;

macro_rules! parts {
    ($($part:ident $name:literal $what:literal)*) => {
        /// A part of weft with a log level of its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Part { $(#[doc = $what] $part,)* }

        impl Part {
            /// Every part.
            pub const ALL: &'static [Self] = &[$(Self::$part,)*];

            /// Its name, as lines have it in `target`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$part => $name,)* }
            }

            /// What it does, for a person.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$part => $what,)* }
            }
        }
    };
}

parts! {
    Api "api" "clients on the Unix socket and over HTTP"
    Control "control" "start and end, configuration, ports, who is where"
    Datapath "datapath" "devices, sockets and their offloads"
    Gossip "gossip" "other nodes, and what they tell"
    Path "path" "the ways to other hosts"
}

/// Levels by their names, the quietest first.
const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// What a level is for: all of weft, or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `all`.
    All,
    /// One part.
    Part(Part),
}

impl FromStr for Target {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let part = || Part::ALL.iter().find(|part| part.name() == text).map(|part| Self::Part(*part));
        let all = (text == "all").then_some(Self::All);
        all.or_else(part).ok_or_else(|| SettingsError::Target(text.to_owned()))
    }
}

/// Why a text says no levels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No part of weft has this name.
    #[error("no log target {0}: there is {there}", there = targets().join(", "))]
    Target(String),
    /// No level has this name.
    #[error("no log level {0}: there is {there}", there = levels().join(", "))]
    Level(String),
}

/// The names that a target can have.
#[must_use]
pub fn targets() -> Vec<&'static str> {
    std::iter::once("all").chain(Part::ALL.iter().map(|part| part.name())).collect()
}

fn levels() -> Vec<&'static str> {
    LEVELS.iter().map(|(name, _)| *name).collect()
}

/// Some levels; what is not among them is left to others.
///
/// # Examples
///
/// ```
/// use tracing::level_filters::LevelFilter;
/// use weft::log::{Levels, Part, Settings};
///
/// let written: Settings = "warn,gossip=debug".parse()?;
/// let levels = Levels { written, set: Settings::default() };
/// assert_eq!(levels.of(Part::Gossip), LevelFilter::DEBUG);
/// assert_eq!(levels.of(Part::Path), LevelFilter::WARN);
///
/// assert!("warn,gosip=debug".parse::<Settings>().unwrap_err().to_string().contains("gossip"));
/// # Ok::<(), weft::log::SettingsError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    all: Option<LevelFilter>,
    parts: BTreeMap<Part, LevelFilter>,
}

impl FromStr for Settings {
    type Err = SettingsError;

    /// Reads `LEVEL` and `TARGET=LEVEL` with commas between them.
    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        for item in text.split(',').map(str::trim) {
            let (target, level) = item.split_once('=').unwrap_or(("all", item));
            let level = level.trim();
            match (target.trim().parse()?, Self::level(level)?) {
                (Target::All, level) => settings.all = Some(level),
                (Target::Part(part), level) => {
                    settings.parts.insert(part, level);
                }
            }
        }
        Ok(settings)
    }
}

impl Settings {
    /// The level of this name.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Level`]: there is none.
    pub fn level(text: &str) -> Result<LevelFilter, SettingsError> {
        let found = LEVELS.iter().find(|(name, _)| *name == text);
        found.map(|(_, level)| *level).ok_or_else(|| SettingsError::Level(text.to_owned()))
    }

    /// Sets the level of a target, or leaves it to others again. What is set for all takes the place of what was set for
    /// parts.
    pub fn set(&mut self, target: Target, level: Option<LevelFilter>) {
        match (target, level) {
            (Target::All, level) => *self = Self { all: level, parts: BTreeMap::new() },
            (Target::Part(part), Some(level)) => {
                self.parts.insert(part, level);
            }
            (Target::Part(part), None) => {
                self.parts.remove(&part);
            }
        }
    }

    /// What is set for this part, or for all.
    #[must_use]
    pub fn of(&self, part: Part) -> Option<LevelFilter> {
        self.parts.get(&part).copied().or(self.all)
    }
}

/// The levels in effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Those of the configuration.
    pub written: Settings,
    /// Those of `weft log set`, which come first.
    pub set: Settings,
}

impl Levels {
    /// What is logged of a part: this and what matters more.
    #[must_use]
    pub fn of(&self, part: Part) -> LevelFilter {
        self.set.of(part).or(self.written.of(part)).unwrap_or(LevelFilter::INFO)
    }

    /// The same of a target as lines have it. What no part of weft says is as for all.
    #[must_use]
    pub fn of_target(&self, target: &str) -> LevelFilter {
        match target.parse() {
            Ok(Target::Part(part)) => self.of(part),
            _ => self.set.all.or(self.written.all).unwrap_or(LevelFilter::INFO),
        }
    }

    /// The most talkative of all.
    #[must_use]
    pub fn most(&self) -> LevelFilter {
        let all = Part::ALL.iter().map(|part| self.of(*part));
        all.chain([self.of_target("")]).max().unwrap_or(LevelFilter::INFO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_set_comes_before_what_is_written_and_a_part_before_all() {
        let mut levels = Levels { written: settings("warn, gossip = debug"), set: Settings::default() };
        let of = |levels: &Levels| [Part::Gossip, Part::Path].map(|part| levels.of(part));
        assert_eq!(of(&levels), [LevelFilter::DEBUG, LevelFilter::WARN]);
        levels.set.set(Target::All, Some(LevelFilter::ERROR));
        assert_eq!(of(&levels), [LevelFilter::ERROR; 2]);
        levels.set.set(Target::Part(Part::Path), Some(LevelFilter::TRACE));
        assert_eq!(
            (of(&levels), levels.most()),
            ([LevelFilter::ERROR, LevelFilter::TRACE], LevelFilter::TRACE)
        );
        levels.set.set(Target::Part(Part::Path), None);
        assert_eq!(of(&levels), [LevelFilter::ERROR; 2]);
        levels.set.set(Target::All, None);
        assert_eq!(
            (of(&levels), levels.most()),
            ([LevelFilter::DEBUG, LevelFilter::WARN], LevelFilter::DEBUG)
        );
    }

    #[test]
    fn all_takes_the_place_of_what_was_set_for_parts() {
        let mut set = settings("gossip=trace");
        set.set(Target::All, Some(LevelFilter::WARN));
        assert_eq!(set, settings("warn"));
    }

    #[test]
    fn what_nothing_is_said_of_is_logged_from_info_on() {
        let levels = Levels { written: settings("gossip=off"), set: Settings::default() };
        assert_eq!(
            [Part::Gossip, Part::Api].map(|part| levels.of(part)),
            [LevelFilter::OFF, LevelFilter::INFO]
        );
        assert_eq!(levels.of_target("some::crate"), LevelFilter::INFO);
        assert_eq!(levels.of_target("gossip"), LevelFilter::OFF);
    }

    #[test]
    fn a_wrong_word_is_named_with_what_there_is() {
        for (text, part) in [
            ("loud", "no log level loud: there is off, error, warn, info, debug, trace"),
            ("info,gosip=debug", "no log target gosip: there is all, api, control, datapath, gossip, path"),
            ("gossip=", "no log level : "),
            ("", "no log level"),
            ("info,", "no log level"),
        ] {
            let error = text.parse::<Settings>().unwrap_err().to_string();
            assert!(error.starts_with(part), "{text}: {error}");
        }
    }
}
