//! `weft bugreport`: one archive with all that is needed to understand a fault, and no secrets.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;
use rand_core::Rng;
use serde_json::json;

use self::disguise::Disguise;
use self::report::Report;
use super::{Global, Outcome, complain, print, print_json};
use crate::clock;
use crate::io::{file, random};

mod disguise;
mod gather;
mod hide;
mod report;
#[cfg(test)]
mod tests;

/// Arguments of `weft bugreport`.
#[derive(Debug, Args)]
#[command(
    after_help = "In it: the daemon's answers to all queries, what the doctor finds, the configuration, settings and \
                  devices of the host, and the last lines of the journal. Keys, the token and the state directory are \
                  never read; secrets that stand in the configuration and comments are removed. MANIFEST says how \
                  each file was obtained, what was removed from it, and what could not be had. Without a daemon there \
                  is what can be had without. Names of nodes, ports and networks stay, also with --anonymize. Look \
                  through it before you send it.\n\n\
                  Examples:\n  sudo weft bugreport\n  sudo weft bugreport --anonymize -o report.tar.gz\n  \
                  sudo weft bugreport -o - | tar -tzvf -\n\n\
                  Exit codes: 0 there is an archive; 1 it could not be written."
)]
pub(super) struct BugreportArgs {
    /// The archive, a new file; - = standard output. Default: weft-bugreport-TIME.tar.gz here
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace IP and MAC addresses, each by the same one throughout
    #[arg(long)]
    anonymize: bool,
    /// The configuration. Default: that of the daemon, or else /etc/weft/weft.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(global: &Global, args: &BugreportArgs) -> Outcome {
    let to_stdout = args.output.as_deref() == Some(Path::new("-"));
    if to_stdout && io::stdout().is_terminal() {
        complain("an archive is nothing for a terminal: name a file with --output, or add `| tar -tzf -`");
        return Outcome::Usage;
    }
    let disguise = match args.anonymize.then(disguise).transpose() {
        Ok(disguise) => disguise,
        Err(error) => {
            complain(format_args!(
                "no random octets to replace addresses by: {error}; allow the system call getrandom"
            ));
            return Outcome::Failed;
        }
    };
    let made = clock::unix_ms() / 1000;
    let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(made)).to_string();
    let mut report = Report::new(disguise);
    gather::everything(&mut report, global, args.config.as_deref());
    let (files, missing) = report.counts();
    let archive = match report.archive(&time, made) {
        Ok(archive) => archive,
        Err(error) => {
            complain(format_args!("the archive cannot be made: {error}"));
            return Outcome::Failed;
        }
    };
    if to_stdout {
        return write_out(&archive);
    }
    let default = || PathBuf::from(format!("weft-bugreport-{}.tar.gz", time.replace(['-', ':'], "")));
    let path = args.output.clone().unwrap_or_else(default);
    if let Err(error) = file::create(&path, &archive) {
        complain(refusal(&path, &error));
        return Outcome::Failed;
    }
    if global.json {
        let octets = archive.len();
        return print_json(&json!({
            "schema": "weft.bugreport/1", "file": path, "files": files, "missing": missing, "octets": octets
        }));
    }
    let not_had = if missing == 0 { String::new() } else { format!("; {missing} could not be had") };
    print(&format!(
        "{}: {files} files, {} KiB{not_had}; look through it before you send it, MANIFEST first\n",
        path.display(),
        archive.len().div_ceil(1024)
    ))
}

/// A disguise of this report alone.
fn disguise() -> io::Result<Disguise> {
    let mut key = [0; 32];
    random::os_rng()?.fill_bytes(&mut key);
    Ok(Disguise::new(key))
}

fn write_out(archive: &[u8]) -> Outcome {
    let mut out = io::stdout().lock();
    match out.write_all(archive).and_then(|()| out.flush()) {
        Ok(()) => Outcome::Ok,
        Err(error) => {
            complain(format_args!("cannot write the archive to standard output: {error}"));
            Outcome::Failed
        }
    }
}

fn refusal(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{path} exists and is not overwritten: name another file with --output")
        }
        _ => format!("cannot write {path}: {error}; {}, and nothing is left of it", file::remedy(error)),
    }
}
