//! `weft log`: what is logged, and what can be.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Global, Outcome, ask, change, print, print_json, table};
use crate::control::protocol::{LogLevel, LogLevels, LogSource, Reply, Request};
use crate::log::{Code, Part};

/// Arguments of `weft log`.
#[derive(Debug, Args)]
#[command(after_help = "Without a subcommand: show.\n\n\
                  Examples:\n  weft log\n  weft log set gossip=debug")]
pub(super) struct LogArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show what is logged of each part of weft (the default)
    #[command(
        after_help = "LEVEL is the least that is logged: what matters less is left out. SET BY says whether \
                      that is [log] level of the configuration, or weft log set.\n\n\
                      Examples:\n  weft log show\n  weft -j log show | jq -r '.entries[] | .target, .level'"
    )]
    Show,
    /// Change what is logged, until the daemon ends
    #[command(
        after_help = "TARGET is a part of weft as `weft log show` lists it, or all, which takes the place of what was \
                      set for parts. LEVEL is error, warn, info, debug, trace, off, or default, which takes back what \
                      was set. It comes before [log] level, also after a reload, and is gone after a restart.\n\n\
                      Examples:\n  weft log set gossip=debug\n  weft log set all=warn\n  weft log set all=default"
    )]
    Set {
        /// What, and from which level on
        #[arg(value_name = "TARGET=LEVEL", value_parser = setting)]
        setting: Setting,
    },
    /// List every event that can be in the log, without the daemon
    #[command(
        after_help = "A line of the log names its event: a code that stays what it is, with one level and the same \
                      fields each time.\n\n\
                      Examples:\n  weft log events\n  weft -j log events | jq -r '.entries[].event'"
    )]
    Events,
}

/// `TARGET=LEVEL`; the daemon knows which there are.
#[derive(Clone, Debug)]
struct Setting {
    target: String,
    level: String,
}

fn setting(text: &str) -> Result<Setting, String> {
    let (target, level) = text.split_once('=').ok_or("TARGET=LEVEL, such as gossip=debug")?;
    Ok(Setting { target: target.to_owned(), level: level.to_owned() })
}

pub(super) fn run(global: &Global, args: LogArgs) -> Outcome {
    match args.action.unwrap_or(Action::Show) {
        Action::Show => ask(global, &Request::LogShow, |reply| match reply {
            Reply::Log(levels) => Some(render(levels)),
            _ => None,
        }),
        Action::Set { setting: Setting { target, level } } => {
            change(global, &Request::LogSet { target, level })
        }
        Action::Events if global.json => print_json(&events_json()),
        Action::Events => print(&events()),
    }
}

pub(super) fn render(levels: &LogLevels) -> String {
    let row = |entry: &LogLevel| {
        let source = match entry.source {
            LogSource::Configuration => "[log] level",
            LogSource::Command => "weft log set",
        };
        let part = Part::ALL.iter().find(|part| part.name() == entry.target);
        let what = part.map_or_else(String::new, |part| part.what().to_owned());
        [entry.target.clone(), entry.level.clone(), source.to_owned(), what]
    };
    let rows: Vec<_> = levels.entries.iter().map(row).collect();
    table::render(["TARGET", "LEVEL", "SET BY", "WHAT IT IS"], &rows)
}

/// A paragraph a code.
pub(super) fn events() -> String {
    let paragraph = |code: &Code| {
        let fields = table::list(code.fields());
        let level = level(*code);
        format!("{} ({level}, {}): {fields}\n  {}\n", code.name(), code.part().name(), code.meaning())
    };
    Code::ALL.iter().map(paragraph).collect()
}

fn events_json() -> serde_json::Value {
    let entry = |code: &Code| {
        json!({
            "event": code.name(), "target": code.part().name(), "level": level(*code), "fields": code.fields(),
            "meaning": code.meaning(),
        })
    };
    json!({ "schema": "weft.log-events/1", "entries": Code::ALL.iter().map(entry).collect::<Vec<_>>() })
}

fn level(code: Code) -> String {
    code.level().as_str().to_ascii_lowercase()
}
