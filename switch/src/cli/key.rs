//! `weft key`: the keys that seal gossip.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use fdb::gossip::seal::{Key, Keyring};
use serde_json::json;
use zeroize::Zeroizing;

use super::table;
use super::{Global, Outcome, ask, change, complain, print, print_json};
use crate::control::protocol::{KeyEntry, Keys, Reply, Request, SecretKey, SecretKeyError};
use crate::io::{keyfile, random};

/// Arguments of `weft key`.
#[derive(Debug, Args)]
#[command(
    after_help = "A change of keys that loses nothing takes three rounds, each on every node before the next: \
                  install the new key, use it, remove the old one. Each is written to `key_file`, too, so that a \
                  restart has it.\n\n\
                  Examples:\n  weft key new --output /root/new.key\n  weft key install --file /root/new.key\n  \
                  weft key list\n  weft key use 5d1c07aa\n  weft key remove 90e2b4f3"
)]
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
    /// List the keys, and who seals with which
    #[command(
        after_help = "IN USE HERE says which key this node seals with; all of them open. SEALS AT names the live \
                      nodes whose latest datagram was sealed with the key: a key that seals nowhere may be \
                      removed. An id is no secret and no part of the key.\n\n\
                      Examples:\n  weft key list\n  weft -j key list | jq -r '.entries[] | select(.in_use).others[]'"
    )]
    List,
    /// Add a key, which opens and does not seal yet
    #[command(
        after_help = "The key comes from a file with mode 0600, as `weft key new --output` makes it, or from \
                      standard input; never from the arguments, which every user of the host may read (ps). It goes \
                      to the daemon over its Unix socket only. There are 4 keys at most.\n\n\
                      Examples:\n  weft key install --file /root/new.key\n  \
                      ssh node-a cat /root/new.key | weft key install --file -\n\n\
                      Exit codes: 0 installed; 1 the file or the key is refused, or gossip is off."
    )]
    Install {
        /// The file with the key; - = standard input
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Seal with an installed key from now on
    #[command(
        after_help = "Nodes that do not have it cannot read this one any more: install it everywhere first. The key \
                      that sealed so far goes on opening.\n\n\
                      Example:\n  weft key use 5d1c07aa"
    )]
    Use {
        /// Its id, as `weft key list` shows it
        id: String,
    },
    /// Remove a key that no node seals with any more
    #[command(after_help = "The key in use is refused, and one that a live node still seals with.\n\n\
                      Example:\n  weft key remove 90e2b4f3")]
    Remove {
        /// Its id, as `weft key list` shows it
        id: String,
    },
}

pub(super) fn run(global: &Global, args: KeyArgs) -> Outcome {
    match args.action {
        Action::New { output } => make(global, output.as_deref()),
        Action::List => ask(global, &Request::KeyList, |reply| match reply {
            Reply::Keys(keys) => Some(render(keys)),
            _ => None,
        }),
        Action::Install { file } => match read(&file) {
            Ok(key) => change(global, &Request::KeyInstall { key }),
            Err(message) => {
                complain(message);
                Outcome::Failed
            }
        },
        Action::Use { id } => change(global, &Request::KeyUse { id }),
        Action::Remove { id } => change(global, &Request::KeyRemove { id }),
    }
}

/// The key in a file, which only its owner may be able to read, or on standard input.
fn read(file: &Path) -> Result<SecretKey, String> {
    if file != Path::new("-") {
        let keys = keyfile::load(file).map_err(|error| error.to_string())?;
        return SecretKey::try_from(&keys).map_err(|error| format!("{}: {error}", file.display()));
    }
    let mut text = Zeroizing::new(String::with_capacity(keyfile::MAX_OCTETS));
    let read = io::stdin().take(keyfile::MAX_OCTETS as u64).read_to_string(&mut text);
    read.map_err(|error| format!("cannot read standard input: {error}"))?;
    text.parse().map_err(|error: SecretKeyError| format!("standard input: {error}"))
}

pub(super) fn render(keys: &Keys) -> String {
    if keys.entries.is_empty() {
        return "No keys: gossip runs without (insecure = true); name a key_file in [gossip].\n".to_owned();
    }
    let row = |key: &KeyEntry| {
        let used = if key.in_use { "yes" } else { "no" };
        [key.id.clone(), used.to_owned(), some_of(&key.members)]
    };
    let rows: Vec<_> = keys.entries.iter().map(row).collect();
    let mut text = table::render(["KEY", "IN USE HERE", "SEALS AT"], &rows);
    for key in keys.entries.iter().filter(|key| key.in_use && !key.others.is_empty()) {
        let others = some_of(&key.others);
        text.push_str(&format!("\nNot with {}, or not heard yet: {others}\n", key.id));
    }
    text
}

/// Names, as many as a line takes.
fn some_of(names: &[String]) -> String {
    const MOST: usize = 8;
    let more = names.len().saturating_sub(MOST);
    let some = table::list(&names[..names.len() - more]);
    if more == 0 { some } else { format!("{some} and {more} more") }
}

fn make(global: &Global, output: Option<&Path>) -> Outcome {
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
