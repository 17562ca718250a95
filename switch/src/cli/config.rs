//! `weft config check FILE`: is the file right? Works without a daemon.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Global, Outcome, complain, print, print_json};
use crate::control::config::Config;

/// Arguments of `weft config`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft config check /etc/weft/weft.toml")]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check a configuration file: every problem is named, with its line
    #[command(
        after_help = "Nothing is changed, and no daemon is needed. What only the host can tell, such as whether \
                      it has the underlay address, shows when the daemon starts.\n\n\
                      Examples:\n  weft config check\n  weft config check new.toml && mv new.toml /etc/weft/weft.toml \\\n      \
                      && weft reload\n\n\
                      Exit codes: 0 the file is right; 1 it is not, or cannot be read."
    )]
    Check {
        /// The file
        #[arg(default_value = "/etc/weft/weft.toml")]
        file: PathBuf,
    },
}

pub(super) fn run(global: &Global, args: &ConfigArgs) -> Outcome {
    let Action::Check { file } = &args.action;
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(error) => {
            complain(error);
            return Outcome::Failed;
        }
    };
    let (networks, ports, peers) = (config.networks.len(), config.ports.len(), config.peers.len());
    if global.json {
        return print_json(&json!({
            "schema": "weft.config/1", "file": file, "networks": networks, "ports": ports, "peers": peers
        }));
    }
    print(&format!("{}: ok ({networks} networks, {ports} ports, {peers} peers)\n", file.display()))
}
