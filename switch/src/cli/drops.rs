//! `weft drops`: where every frame went.

use clap::Args;

use super::watch::{self, Watch};
use super::{Global, Outcome};
use crate::control::protocol::{Drops, Reply, Request};
use crate::counters::DropReason;

/// Arguments of `weft drops`.
#[derive(Debug, Args)]
#[command(
    after_help = "Every frame is counted once: received + copies = delivered + answered + dropped. Frames that are \
                  inside weft at this moment make the sides differ for an instant. Inbound is from the underlay to \
                  a port, outbound the other way. Reasons that did not occur are left out.\n\n\
                  Examples:\n  weft drops\n  weft drops --all\n  weft drops --watch\n  \
                  weft -j drops | jq '.drops | map_values(select(.inbound + .outbound > 0))'"
)]
pub(super) struct DropsArgs {
    /// Show reasons and notices that did not occur, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    watch: Watch,
}

pub(super) fn run(global: &Global, args: &DropsArgs) -> Outcome {
    watch::query(
        global,
        &args.watch,
        &Request::Drops,
        |_| {},
        |reply| match reply {
            Reply::Drops(drops) => Some(render(drops, args.all)),
            _ => None,
        },
    )
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
            wrap(&format!("{name:<16} {:>9} {:>11}  ", n.inbound, n.outbound), why)
        })
        .collect()
}

fn counted(counts: &std::collections::BTreeMap<String, u64>, all: bool) -> Vec<String> {
    let shown = counts.iter().filter(|(_, n)| all || **n > 0);
    shown.map(|(name, n)| format!("{name:<16} {n:>9}")).collect()
}

/// Puts a sentence beside its counters, within 80 columns.
fn wrap(head: &str, sentence: &str) -> String {
    let indent = head.chars().count();
    let (mut text, mut column) = (head.to_owned(), indent);
    for word in sentence.split(' ') {
        let width = word.chars().count();
        if column > indent && column + 1 + width > 80 {
            text.push_str(&format!("\n{:indent$}", ""));
            column = indent;
        }
        if column > indent {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text
}
