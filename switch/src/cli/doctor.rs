//! `weft doctor`: what is wrong, and what mends it.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use clap::Args;

use super::client::ClientError;
use super::{Global, Outcome, complain, fetch, is_failure, misfit, print, print_json, table, unreachable};
use crate::control::config::Config;
use crate::control::pods;
use crate::control::protocol::{Doctor, Fixed, MatrixEntry, Reply, Request};
use crate::daemon::{look_at_host, look_before_start};
use crate::doctor::{Facts, Finding, Fix, HostQuestions, Report, Severity, StartFacts, diagnose};
use crate::io::host::change_setting;
use crate::io::netns::Netns;
use crate::path::EXAMINATION;

/// How much longer than an examination takes is waited for it.
const SPARE: Duration = Duration::from_millis(200);

/// Arguments of `weft doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "The daemon sends probes of three sizes to both UDP ports of every node and looks at links, routes, \
                  filters, buffers and counters, which takes 2 seconds. Each finding says what is wrong, why it matters \
                  and what mends it; the matrix shows which size passes to which port of which node. Nothing is changed \
                  without --fix, and with it only kernel settings that a finding names. Where no daemon runs, what \
                  would keep it from starting is looked for.\n\n\
                  Examples:\n  weft doctor\n  sudo weft doctor --fix\n  \
                  weft -j doctor | jq -r '.findings[] | .code, .mend'\n\n\
                  Exit codes: 0 nothing is wrong; 1 a fix failed; 3 no daemon answers; 4 something is wrong."
)]
pub(super) struct DoctorArgs {
    /// Change the kernel settings that findings name
    #[arg(long)]
    fix: bool,
    /// The configuration, where no daemon runs
    #[arg(long, value_name = "FILE", default_value = "/etc/weft/weft.toml")]
    config: PathBuf,
}

pub(super) fn run(global: &Global, args: &DoctorArgs) -> Outcome {
    let (mut doctor, runs) = match examine(global) {
        Ok(Reply::Doctor(doctor)) => (doctor, true),
        Ok(reply) => {
            // A daemon that does not know the request is an older one.
            complain(is_failure(&reply).map_or(misfit(), |error| error.message.as_str()));
            return Outcome::Failed;
        }
        Err(ClientError::Missing(_) | ClientError::Refused(_)) => {
            (without_daemon(global, &args.config), false)
        }
        Err(error) => return unreachable(&error),
    };
    if args.fix {
        doctor.fixed = apply(&doctor);
    }
    let printed =
        if global.json { print_json(&Reply::Doctor(doctor.clone())) } else { print(&render(&doctor)) };
    let is_bad = doctor.findings.iter().any(|finding| finding.severity < Severity::Note);
    match printed {
        Outcome::Ok if doctor.fixed.iter().any(|fixed| fixed.error.is_some()) => Outcome::Failed,
        Outcome::Ok if !runs => Outcome::Unreachable,
        Outcome::Ok if is_bad => Outcome::Degraded,
        printed => printed,
    }
}

/// Has the daemon look, and asks what it saw.
pub(super) fn examine(global: &Global) -> Result<Reply, ClientError> {
    let begun = fetch(global, &Request::Examine)?;
    if !matches!(begun, Reply::Done(_)) {
        return Ok(begun);
    }
    thread::sleep(EXAMINATION + SPARE);
    fetch(global, &Request::Doctor)
}

/// What can be said without a daemon.
pub(super) fn without_daemon(global: &Global, config: &Path) -> Doctor {
    let start = StartFacts { socket: global.socket.display().to_string(), ..StartFacts::default() };
    let (node, facts) = match Config::load(config) {
        Err(error) => {
            let start = StartFacts { config: Some(error.to_string()), ..start };
            (String::new(), Facts { start: Some(start), ..Facts::default() })
        }
        Ok(config) => {
            let (start, addresses) = look_before_start(&config, start);
            let pods = pods(&config);
            let peers = config.peers.iter().map(|peer| peer.address.ip()).collect();
            let nets = pods.iter().map(|pods| pods.net).collect();
            let host = look_at_host(&HostQuestions { addresses, peers, pods: nets });
            (config.node.name, Facts { host, pods, daemon: None, start: Some(start) })
        }
    };
    let Report { findings, checks } = diagnose(&facts);
    Doctor { node, namespace: own_namespace(), findings, checks, ..Doctor::default() }
}

fn own_namespace() -> Option<(u64, u64)> {
    Netns::current().ok().map(|netns| netns.identity())
}

/// Makes the changes that findings name, each once.
fn apply(doctor: &Doctor) -> Vec<Fixed> {
    let mut fixed: Vec<Fixed> = Vec::new();
    for fix in doctor.findings.iter().flat_map(|finding| &finding.fixes) {
        if fixed.iter().all(|done| done.fix != *fix) {
            fixed.push(apply_one(fix, doctor.namespace == own_namespace()));
        }
    }
    fixed
}

/// Settings of devices are those of a network namespace, and of another one they would be the wrong ones.
fn apply_one(fix: &Fix, is_here: bool) -> Fixed {
    let failed = |error: String| Fixed { fix: fix.clone(), before: None, error: Some(error) };
    if !is_here {
        return failed(
            "the daemon lives in another network namespace: run weft doctor --fix there (ip netns exec, nsenter)".to_owned(),
        );
    }
    match change_setting(&fix.path(), fix.value()) {
        Ok(before) => Fixed { fix: fix.clone(), before, error: None },
        Err(error) => failed(format!("{error}: use sudo, and the host's first network namespace")),
    }
}

pub(super) fn render(doctor: &Doctor) -> String {
    let mut text = String::new();
    let width = doctor.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in &doctor.checks {
        let said = match check.findings {
            0 => format!("ok: {}", check.fine),
            1 => "1 finding".to_owned(),
            n => format!("{n} findings"),
        };
        text.push_str(&format!("{:<width$}  {said}\n", check.name));
    }
    for finding in &doctor.findings {
        text.push_str(&paragraph(finding, doctor.fixed.is_empty()));
    }
    if !doctor.matrix.is_empty() {
        text.push_str(&format!("\n{}", render_matrix(&doctor.matrix)));
    }
    for fixed in &doctor.fixed {
        text.push_str(&format!("\n{}", render_fixed(fixed)));
    }
    text
}

fn paragraph(finding: &Finding, to_be_fixed: bool) -> String {
    let severity = match finding.severity {
        Severity::Error => "ERROR",
        Severity::Warning => "WARNING",
        Severity::Note => "NOTE",
    };
    let Finding { code, subject, what, why, mend, fixes, .. } = finding;
    let mut text = format!("\n{severity} {code}: {subject}\n  what  {what}\n  why   {why}\n  mend  {mend}\n");
    for fix in fixes.iter().filter(|_| to_be_fixed) {
        text.push_str(&format!("        weft doctor --fix would do: {fix}\n"));
    }
    text
}

/// One row for each port of a node, one column for each size.
fn render_matrix(matrix: &[MatrixEntry]) -> String {
    let mut rows: Vec<[String; 6]> = Vec::new();
    for cells in matrix.chunk_by(|a, b| (&a.peer, a.port, a.format) == (&b.peer, b.port, b.format)) {
        let Some(first) = cells.first() else { continue };
        let cell = |n: usize| cells.get(n).map_or_else(|| "-".to_owned(), passed);
        let port = format!("{}/{}", first.format, first.port);
        rows.push([first.peer.clone(), first.address.to_string(), port, cell(0), cell(1), cell(2)]);
    }
    table::render(["PEER", "ADDRESS", "FORMAT/PORT", "SMALL", "MINIMUM", "LINK"], &rows)
}

fn passed(cell: &MatrixEntry) -> String {
    match (cell.sent, cell.answered) {
        (0, _) => format!("{} not tried", cell.size),
        (_, true) => format!("{} ok", cell.size),
        (sent, false) => format!("{} LOST ({sent}x)", cell.size),
    }
}

fn render_fixed(fixed: &Fixed) -> String {
    let Fixed { fix, before, error } = fixed;
    match error {
        Some(error) => format!("not done: {fix}: {error}\n"),
        None => format!(
            "done: {fix} (was {}); it lasts until the next boot, and a file in /etc/sysctl.d makes it stay. Sockets get \
             larger buffers when weft starts\n",
            table::or_dash(*before)
        ),
    }
}
