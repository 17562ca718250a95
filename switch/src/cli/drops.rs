//! `weft drops`: where every frame went.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::capture::target::Target;
use super::watch::{self, Watch};
use super::{Global, Outcome, complain, fetch, print, refused, table, unreachable};
use crate::clock;
use crate::control::protocol::{DropHeads, Drops, Reply, Request};
use crate::counters::DropReason;

mod heads;

/// Arguments of `weft drops`.
#[derive(Debug, Args)]
#[command(
    after_help = "Every frame is counted once: received + copies = delivered + answered + dropped. Frames that are \
                  inside weft at this moment make the sides differ for an instant. Inbound is from the underlay to \
                  a port, outbound the other way. Reasons that did not occur are left out. Frames that were dropped are \
                  shown to root and to the user that runs weft.\n\n\
                  Examples:\n  weft drops\n  weft drops --all\n  weft drops --watch\n  \
                  weft drops --show vlan\n  weft drops --show vlan --write vlan.pcapng\n  \
                  weft -j drops | jq '.drops | map_values(select(.inbound + .outbound > 0))'"
)]
pub(super) struct DropsArgs {
    /// Show reasons and notices that did not occur, too
    #[arg(long)]
    all: bool,
    /// Show what was dropped last for this reason: 32 times, a line each
    #[arg(
        long,
        value_name = "REASON",
        value_parser = PossibleValuesParser::new(DropReason::ALL.iter().map(|reason| reason.name())),
        hide_possible_values = true,
        conflicts_with = "all"
    )]
    show: Option<String>,
    /// With --show: write that to a file for Wireshark and tcpdump; `-` = standard output
    #[arg(long, value_name = "FILE", requires = "show", conflicts_with = "watch")]
    write: Option<PathBuf>,
    #[command(flatten)]
    watch: Watch,
}

pub(super) fn run(global: &Global, args: &DropsArgs) -> Outcome {
    let request = match &args.show {
        Some(reason) => Request::DropHeads { reason: reason.clone() },
        None => Request::Drops,
    };
    if let Some(path) = &args.write {
        if global.json {
            complain("--write writes a file for Wireshark: leave --json away");
            return Outcome::Usage;
        }
        return save(global, &request, path);
    }
    watch::query(
        global,
        &args.watch,
        &request,
        |_| {},
        |reply| match reply {
            Reply::Drops(drops) => Some(render(drops, args.all)),
            Reply::DropHeads(heads) => Some(heads::render(heads)),
            _ => None,
        },
    )
}

/// Writes what was dropped last to a file.
fn save(global: &Global, request: &Request, path: &Path) -> Outcome {
    let heads = match fetch(global, request) {
        Ok(Reply::DropHeads(heads)) => heads,
        Ok(other) => return refused(&other),
        Err(error) => return unreachable(&error),
    };
    if let Some(missing) = heads::missing(&heads) {
        complain(missing);
    }
    match write(&heads, path) {
        Ok(()) if path == Path::new("-") => Outcome::Ok,
        Ok(()) => print(&format!("{} packets written to {}\n", heads.entries.len(), path.display())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Outcome::Ok,
        Err(error) => {
            let path = path.display();
            complain(format_args!("cannot write to {path}: {error}; make room there, or name another file"));
            Outcome::Failed
        }
    }
}

fn write(heads: &DropHeads, path: &Path) -> io::Result<()> {
    let now = Duration::from_millis(clock::unix_ms());
    let mut octets = Vec::new();
    heads::write(heads, now, &mut octets)?;
    let never = Arc::default();
    let mut target = if path == Path::new("-") { Target::stdout(never)? } else { Target::open(path, never)? };
    target.write(&octets).1
}

pub(super) fn render(drops: &Drops, all: bool) -> String {
    let mut text = format!(
        "{} received + {} copies = {} delivered + {} answered + {} dropped\n",
        drops.received,
        drops.copies,
        drops.delivered,
        drops.answered,
        drops.dropped()
    );
    let difference = imbalance(drops);
    if difference != 0 {
        text.push_str(&format!("{difference} frames are on their way through weft at this moment\n"));
    }
    section(&mut text, "DROPPED            INBOUND    OUTBOUND  WHY", &reasons(drops, all));
    section(&mut text, "NOTICED", &counted(&drops.notices, all));
    section(&mut text, "LOST BEFORE WEFT SAW IT", &counted(&drops.lost_before, all));
    text
}

/// Frames that came in and are not accounted for: on their way, or lost by a mistake of weft.
pub(super) fn imbalance(drops: &Drops) -> i128 {
    i128::from(drops.received) + i128::from(drops.copies)
        - i128::from(drops.delivered)
        - i128::from(drops.answered)
        - i128::from(drops.dropped())
}

fn section(text: &mut String, title: &str, lines: &[String]) {
    if !lines.is_empty() {
        text.push_str(&format!("\n{title}\n{}\n", lines.join("\n")));
    }
}

fn reasons(drops: &Drops, all: bool) -> Vec<String> {
    let known = |name: &str| DropReason::ALL.iter().find(|r| r.name() == name).map(|r| r.sentence());
    drops
        .drops
        .iter()
        .filter(|(_, n)| all || n.inbound + n.outbound > 0)
        .map(|(name, n)| {
            let why = known(name).unwrap_or("A reason that this version of the command does not know.");
            table::beside(&format!("{name:<16} {:>9} {:>11}  ", n.inbound, n.outbound), why, 80)
        })
        .collect()
}

fn counted(counts: &std::collections::BTreeMap<String, u64>, all: bool) -> Vec<String> {
    let shown = counts.iter().filter(|(_, n)| all || **n > 0);
    shown.map(|(name, n)| format!("{name:<16} {n:>9}")).collect()
}
