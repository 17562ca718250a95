//! `--watch`: the same question again and again.

use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use clap::Args;

use super::client::ClientError;
use super::{Global, Outcome, ask_noting, complain, fetch, is_failure, misfit, seconds};
use crate::control::protocol::{Reply, Request};

#[cfg(test)]
mod tests;

/// To the top left corner, and away with everything.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// How often to ask.
#[derive(Clone, Debug, Args)]
pub(super) struct Watch {
    /// Ask again each second, until Ctrl-C; with --json one object a line
    #[arg(short, long)]
    watch: bool,
    /// With --watch: how many seconds lie between two questions
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds, requires = "watch")]
    interval: Duration,
}

impl Watch {
    /// A group of commands takes `--watch` for the one that it is without a subcommand.
    pub(super) fn is_misplaced(&self, has_subcommand: bool, instead: &str) -> bool {
        if self.watch && has_subcommand {
            complain(format_args!("--watch stands behind the subcommand: `{instead} --watch`"));
        }
        self.watch && has_subcommand
    }
}

/// Asks once and prints the reply as [`ask_noting`] does; or again and again.
///
/// The first question is as any other: who cannot be reached then was perhaps never there. Later the daemon may come and
/// go.
pub(super) fn query(
    global: &Global,
    watch: &Watch,
    request: &Request,
    note: impl FnOnce(&Reply),
    text: impl Fn(&Reply) -> Option<String>,
) -> Outcome {
    let outcome = if watch.watch && io::stdout().is_terminal() && !global.json {
        first_on_a_terminal(global, request, &text)
    } else {
        ask_noting(global, request, note, &text)
    };
    if !watch.watch || outcome != Outcome::Ok {
        return outcome;
    }
    let look = if global.json {
        Look::Lines
    } else if io::stdout().is_terminal() {
        Look::Screen
    } else {
        Look::Paragraphs
    };
    let ask = || {
        thread::sleep(watch.interval);
        fetch(global, request)
    };
    repeat(look, ask, text, &mut io::stdout().lock(), complain)
}

fn first_on_a_terminal(
    global: &Global,
    request: &Request,
    text: impl Fn(&Reply) -> Option<String>,
) -> Outcome {
    ask_noting(global, request, |_| {}, |reply| Some(format!("{CLEAR}{}", text(reply)?)))
}

/// How one answer is told from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Each takes the place of the one before.
    Screen,
    /// A blank line is between them.
    Paragraphs,
    /// Each is one line of JSON.
    Lines,
}

/// Prints answers until nobody reads them any more. What is wrong is said once, and again after it was right.
fn repeat(
    look: Look,
    mut ask: impl FnMut() -> Result<Reply, ClientError>,
    text: impl Fn(&Reply) -> Option<String>,
    out: &mut impl Write,
    mut say: impl FnMut(String),
) -> Outcome {
    let mut said = false;
    loop {
        let answer = match ask() {
            Ok(reply) => shown(look, &reply, &text),
            Err(error) => Err(error.to_string()),
        };
        match answer {
            Ok(answer) => {
                said = false;
                match out.write_all(answer.as_bytes()).and_then(|()| out.flush()) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Outcome::Ok,
                    Err(error) => {
                        say(format!("cannot write to standard output: {error}"));
                        return Outcome::Failed;
                    }
                }
            }
            Err(message) => {
                if !std::mem::replace(&mut said, true) {
                    say(format!("{message}; trying on, Ctrl-C ends it"));
                }
            }
        }
    }
}

fn shown(look: Look, reply: &Reply, text: impl Fn(&Reply) -> Option<String>) -> Result<String, String> {
    if let Some(error) = is_failure(reply) {
        return Err(error.message.clone());
    }
    let text = || text(reply).ok_or_else(|| misfit().to_owned());
    Ok(match look {
        Look::Screen => format!("{CLEAR}{}", text()?),
        Look::Paragraphs => format!("\n{}", text()?),
        Look::Lines => format!("{}\n", serde_json::to_string(reply).map_err(|error| error.to_string())?),
    })
}
