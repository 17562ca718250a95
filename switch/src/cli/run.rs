//! `weft run`: the daemon.

use std::path::PathBuf;

use clap::Args;

use super::{Outcome, complain};
use crate::control::config::Config;

/// Arguments of `weft run`.
#[derive(Debug, Args)]
#[command(
    after_help = "The daemon stays in the foreground and logs to standard error. SIGHUP or `weft reload` reads the \
                  configuration again, SIGTERM or Ctrl-C ends it. It needs CAP_NET_ADMIN, and CAP_SYS_ADMIN for ports \
                  in other namespaces.\n\n\
                  Examples:\n  sudo weft run\n  sudo weft run --config configs/minimal.toml\n\n\
                  Exit codes: 0 it was told to end; 1 it could not start or go on, and said why."
)]
pub(super) struct RunArgs {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "/etc/weft/weft.toml")]
    config: PathBuf,
}

pub(super) fn run(args: &RunArgs) -> Outcome {
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(error) => {
            complain(error);
            return Outcome::Failed;
        }
    };
    match crate::daemon::run(config, &args.config) {
        Ok(()) => Outcome::Ok,
        Err(error) => {
            complain(explain(&error));
            Outcome::Failed
        }
    }
}

/// An error and its causes, without those that it quotes.
fn explain(error: &anyhow::Error) -> String {
    let mut said = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !said.contains(&cause) {
            said.push_str(": ");
            said.push_str(&cause);
        }
    }
    said
}
