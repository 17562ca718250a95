//! `weft key`: the keys that seal gossip.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fdb::gossip::seal::{Key, Keyring};
use serde_json::json;

use super::{Global, Outcome, complain, print, print_json};
use crate::io::{keyfile, random};

/// Arguments of `weft key`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft key new --output /etc/weft/gossip.key")]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a new key, without the daemon
    #[command(
        after_help = "A key is 64 hex digits, one line of the file that `key_file` in [gossip] names. All nodes of \
                      a cluster have the same keys; who has one can read gossip and speak as any node. The file \
                      is made with mode 0600, and an existing one is never overwritten.\n\n\
                      Examples:\n  weft key new --output /etc/weft/gossip.key\n  weft key new   prints it\n\n\
                      Exit codes: 0 there is a key; 1 the file exists, or cannot be made."
    )]
    New {
        /// Write it into this new file instead of standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

pub(super) fn run(global: &Global, args: &KeyArgs) -> Outcome {
    let Action::New { output } = &args.action;
    let mut rng = match random::os_rng() {
        Ok(rng) => rng,
        Err(error) => {
            complain(format_args!("no random octets for a key: {error}; allow the system call getrandom"));
            return Outcome::Failed;
        }
    };
    let keys = Keyring::new(Key::random(&mut rng));
    let id = keys.in_use();
    let Some(file) = output else {
        let text = keys.to_text();
        if global.json {
            let key = text.trim_end();
            return print_json(&json!({ "schema": "weft.key/1", "id": id.to_string(), "key": key }));
        }
        return print(&text);
    };
    if let Err(error) = keyfile::create(file, &keys) {
        complain(error);
        return Outcome::Failed;
    }
    if global.json {
        return print_json(&json!({ "schema": "weft.key/1", "id": id.to_string(), "file": file }));
    }
    print(&format!(
        "key {id} is in {}; copy the file to every node, with mode 0600, and name it as `key_file` in [gossip]\n",
        file.display()
    ))
}
