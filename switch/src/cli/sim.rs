//! `weft sim`: what a cluster of a size costs and how fast news is known, by running its real code in virtual time.

use std::fs;

use clap::Args;
use fdb::sim::{self, Plan};
use serde_json::json;

use super::{Global, Outcome, complain, print, print_json};
use crate::clock;

/// The most nodes; more take more memory than a host has.
const MOST_NODES: usize = 20_000;
/// The most MAC addresses in all.
const MOST_MACS: usize = 4_000_000;

/// Arguments of `weft sim`.
#[derive(Debug, Args)]
#[command(
    after_help = "The replication of the forwarding database runs here as it runs in the daemon, with as many nodes, \
                  each saying as many MAC addresses, on a network that loses packets, in virtual time and from one \
                  seed: the same numbers give the same result. Membership is taken as given. CONVERGED is the time \
                  until an update at one node is known at all others; IDLE counts octets that a node sends while \
                  nothing changes, seal, UDP and IP included; ENTRY is memory of a node that joined, for each \
                  address that others said. 1,000 nodes take a minute.\n\n\
                  Examples:\n  weft sim --nodes 100 --macs 50\n  weft sim --nodes 1000 --macs 100 --loss 5 --seed 7\n  \
                  weft -j sim --nodes 100 | jq .converge_ms\n\n\
                  Exit codes: 0 every update was known everywhere; 1 some were not within 20 s."
)]
pub(super) struct SimArgs {
    /// Nodes of the cluster, 2 to 20000
    #[arg(long, value_name = "N", default_value_t = 100)]
    nodes: usize,
    /// MAC addresses that each node says
    #[arg(long, value_name = "M", default_value_t = 10)]
    macs: usize,
    /// Packets that are lost, in per cent
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
    loss: f64,
    /// All chance comes from it
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Updates whose spreading is timed
    #[arg(long, value_name = "N", default_value_t = 100)]
    updates: usize,
}

pub(super) fn run(global: &Global, args: &SimArgs) -> Outcome {
    let &SimArgs { nodes, macs, loss, seed, updates } = args;
    if let Some(refusal) = refusal(args) {
        complain(refusal);
        return Outcome::Usage;
    }
    let plan = Plan { nodes, macs, loss, seed, updates };
    let report = sim::run(&plan, clock::now(), resident);
    let outcome = if report.never == 0 { Outcome::Ok } else { Outcome::Failed };
    let millis = |time: std::time::Duration| (time.as_secs_f64() * 10_000.0).round() / 10.0;
    let (median, p99) = (millis(report.median), millis(report.p99));
    let (bytes_per_s, bytes_per_entry) = (report.bytes_per_s.round(), report.bytes_per_entry.round());
    let printed = if global.json {
        print_json(&json!({
            "schema": "weft.sim/1",
            "nodes": nodes,
            "macs": macs,
            "loss": loss,
            "seed": seed,
            "updates": updates,
            "converge_ms": { "median": median, "p99": p99 },
            "never": report.never,
            "bytes_per_s": bytes_per_s,
            "bytes_per_entry": bytes_per_entry,
        }))
    } else {
        print(&format!(
            "{nodes} nodes with {macs} MAC addresses each, {loss} % loss, seed {seed}\n\
             CONVERGED  median {median} ms, p99 {p99} ms, {updates} updates, {never} never\n\
             IDLE       {bytes_per_s} octets a second out of each node\n\
             ENTRY      {bytes_per_entry} octets of memory\n",
            never = report.never,
        ))
    };
    if printed == Outcome::Ok { outcome } else { printed }
}

/// What cannot be simulated.
fn refusal(args: &SimArgs) -> Option<String> {
    let &SimArgs { nodes, macs, loss, updates, .. } = args;
    if !(2..=MOST_NODES).contains(&nodes) {
        return Some(format!("--nodes {nodes}: a simulation has 2 to {MOST_NODES} nodes"));
    }
    if nodes.saturating_mul(macs) > MOST_MACS {
        return Some(format!(
            "{nodes} nodes with {macs} MAC addresses each are above {MOST_MACS}: ask for fewer"
        ));
    }
    if !(0.0..100.0).contains(&loss) {
        return Some(format!("--loss {loss}: it is a number of per cent, from 0 to below 100"));
    }
    (updates == 0).then(|| "--updates 0: at least one update is needed to time it".to_owned())
}

/// Octets of memory that this process holds.
fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or(0) * 1024
}
