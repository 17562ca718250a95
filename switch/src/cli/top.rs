//! `weft top`: what goes on now, again and again.
//!
//! ```text
//! asker: questions, answers -> model: rates, histories -> sheet: rows, sorted -> view: cells   -> shell: terminal
//!                                                         screen: what was chosen <- keys      <-
//! ```
//!
//! Only `asker` and `shell` know of sockets, terminals and the clock.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use clap::Args;

use self::asker::{AskError, Asker};
use self::model::{Answers, Model};
use self::view::Palette;
use super::{Global, Outcome, complain, fetch, is_failure, seconds, unreachable};
use crate::clock;
use crate::control::protocol::Request;

mod asker;
mod details;
mod model;
mod plain;
mod screen;
mod sheet;
mod shell;
mod text;
mod view;

/// The daemon is asked no more often than this.
const SHORTEST: Duration = Duration::from_millis(100);

/// Arguments of `weft top`.
#[derive(Debug, Args)]
#[command(
    after_help = "Peers, networks, ports, drops and causes, with rates and their history; what is wrong comes first. \
                  Keys: ? shows all; q ends; Tab or 1-5 another view; Enter all about a row, Esc back; / filters; s \
                  and < > sort; r turns the order round; p pauses. It goes on when the daemon is restarted. NO_COLOR \
                  turns colours off.\n\n\
                  Where standard input or output is no terminal, everything is printed as text again and again; with \
                  --once once, after one interval, as rates need two answers.\n\n\
                  Examples:\n  weft top\n  weft top --interval 0.5\n  weft top --once | grep degraded\n  \
                  weft top --interval 10 > top.log\n\n\
                  Exit codes: 0 it was told to end; 1 the terminal or the daemon refused; 3 no daemon answers."
)]
pub(super) struct TopArgs {
    /// How many seconds lie between two answers, 0.1 at least
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    interval: Duration,
    /// Print everything once, as text
    #[arg(long)]
    once: bool,
}

pub(super) fn run(global: &Global, args: &TopArgs) -> Outcome {
    if global.json {
        complain("weft top has no JSON: take `weft -j peer list --watch` and the like, or /metrics");
        return Outcome::Usage;
    }
    // As with --watch: who cannot be reached now was perhaps never there. Later the daemon may come and go.
    match fetch(global, &Request::Status) {
        Err(error) => return unreachable(&error),
        Ok(reply) => {
            if let Some(error) = is_failure(&reply) {
                complain(&error.message);
                return Outcome::Failed;
            }
        }
    }
    let asker = Asker::new(global.socket.clone(), global.timeout);
    let interval = args.interval.max(SHORTEST);
    // Keys would have to come from another terminal than standard input.
    if args.once || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return print_texts(asker, interval, args.once);
    }
    let is_plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let palette = if is_plain { Palette::Plain } else { Palette::Colour };
    match shell::interact(asker, interval, palette) {
        Ok(()) => Outcome::Ok,
        Err(error) => {
            complain(format_args!("cannot use this terminal: {error}; `weft top --once` needs none"));
            Outcome::Failed
        }
    }
}

/// Prints everything as often as there are rates, until nobody reads it any more. What is wrong is said once, and again
/// after it was right.
fn print_texts(mut asker: Asker, interval: Duration, once: bool) -> Outcome {
    let (mut model, mut said) = (Model::default(), false);
    loop {
        match answers(&mut asker) {
            Ok(answers) => {
                model.take(answers);
                said = false;
            }
            Err(error) if once => return failure(&error),
            Err(error) => {
                if !std::mem::replace(&mut said, true) {
                    complain(format_args!("{error}; trying on, Ctrl-C ends it"));
                }
                model.lose(error.to_string());
            }
        }
        if model.has_rates() {
            let text = plain::text(&model);
            let text = if once { text } else { format!("{text}\n") };
            let mut out = io::stdout().lock();
            match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
                Ok(()) if once => return Outcome::Ok,
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Outcome::Ok,
                Err(error) => {
                    complain(format_args!("cannot write to standard output: {error}"));
                    return Outcome::Failed;
                }
            }
        }
        thread::sleep(interval);
    }
}

fn answers(asker: &mut Asker) -> Result<Answers, AskError> {
    asker.ask(None, clock::now())?;
    loop {
        if let Some(answers) = asker.look(clock::now())? {
            return Ok(answers);
        }
    }
}

fn failure(error: &AskError) -> Outcome {
    complain(error);
    match error {
        AskError::Client(_) => Outcome::Unreachable,
        AskError::Refused(_) | AskError::Misfit => Outcome::Failed,
    }
}
