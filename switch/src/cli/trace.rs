//! `weft trace`: the way of a frame.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use clap::Args;
use encap::MacAddr;

use super::client::ClientError;
use super::{Global, Outcome, complain, fetch, is_failure, misfit, print, print_json, table, unreachable};
use crate::control::protocol::{ErrorCode, Reply, Request, TraceAsk};
use crate::trace::frame::Protocol;
use crate::trace::{Hop, NOT_SENT, Outcome as End, Stage, StageName, State, Story};

/// How often the daemon is asked whether the other nodes have answered.
const POLL: Duration = Duration::from_millis(20);

/// Columns of the text of a story that has times, and of the times at its right.
const COLUMNS: usize = 70;
const TIME_COLUMNS: usize = 10;

/// Arguments of `weft trace`.
#[derive(Debug, Args)]
#[command(
    after_help = "Runs a frame through the rules of this node and asks the nodes that it would go to what they would do \
                  with it. Each stage says what is decided and why; where it ends, or takes a detour, what to do about \
                  it is said last. Nothing is sent but the questions. With --live the frame itself is sent, marked: by the \
                  way of frames, from the UDP source port of its flow, and as large as they, so that the path is tried \
                  as well. Each node runs it through its stages and tells how long each took; pods see nothing of it, no \
                  counter counts it, and nothing is learned from it. TO is a port of this node or another, NODE/PORT, an IP address or a MAC address. Limits on floods are \
                  as for a port that was silent.\n\n\
                  Examples:\n  weft trace web 10.32.0.6\n  weft trace web node-b/db tcp/5432\n  \
                  weft trace web 10.32.0.6 tcp/80 --live\n  weft trace web 10.32.0.6 --source-ip 10.32.0.99\n  \
                  weft -j trace web 10.32.0.6 udp/53 --size 1400 | jq .fault\n\n\
                  Exit codes: 0 it would arrive; 1 it would not; 3 no daemon answers; 4 it would, but not as it should."
)]
pub(super) struct TraceArgs {
    /// The local port that sends the frame
    #[arg(value_name = "FROM_PORT")]
    from: String,
    /// For whom: a port, NODE/PORT, an IP address or a MAC address
    #[arg(value_name = "TO")]
    to: String,
    /// What it carries: icmp, tcp/PORT, udp/PORT, or arp to ask who has TO
    #[arg(value_name = "PROTO/PORT", default_value = "icmp")]
    protocol: Protocol,
    /// Really send it, marked: no pod gets it; each node tells how long its stages took
    #[arg(long)]
    live: bool,
    /// Octets of its IP packet [default: for tcp what a full one has, else 84]
    #[arg(long, value_name = "OCTETS")]
    size: Option<u16>,
    /// Its source MAC address [default: that of the port]
    #[arg(long, value_name = "MAC")]
    source_mac: Option<MacAddr>,
    /// Its source IP address [default: one of the port]
    #[arg(long, value_name = "IP")]
    source_ip: Option<IpAddr>,
    /// Its VLAN tag [default: none]
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u16).range(0..=4094))]
    vlan: Option<u16>,
}

pub(super) fn run(global: &Global, args: TraceArgs) -> Outcome {
    let TraceArgs { from, to, protocol, live, size, source_mac, source_ip, vlan } = args;
    let ask = TraceAsk { from, to, protocol, size, live, source_mac, source_ip, vlan };
    let reply = match follow(global, ask) {
        Ok(reply) => reply,
        Err(error) => return unreachable(&error),
    };
    if let Some(error) = is_failure(&reply) {
        complain(&error.message);
        return if error.code == ErrorCode::Usage { Outcome::Usage } else { Outcome::Failed };
    }
    let Reply::Trace(story) = &reply else {
        complain(misfit());
        return Outcome::Failed;
    };
    let printed = if global.json { print_json(&reply) } else { print(&render(story)) };
    match (printed, story.outcome) {
        (Outcome::Ok, End::Degraded) => Outcome::Degraded,
        (Outcome::Ok, End::Lost) => Outcome::Failed,
        (printed, _) => printed,
    }
}

/// Asks until all nodes on the way have answered, or are not waited for any more.
fn follow(global: &Global, ask: TraceAsk) -> Result<Reply, ClientError> {
    let mut reply = fetch(global, &Request::Trace(ask))?;
    while let Reply::Trace(story) = &reply
        && !story.finished
    {
        thread::sleep(POLL);
        reply = fetch(global, &Request::TraceShow { id: story.id })?;
    }
    Ok(reply)
}

pub(super) fn render(story: &Story) -> String {
    let Story { node, from, to, network, vni, .. } = story;
    let mut text = format!("port {from} of {node} -> {to}, network {network} (VNI {vni})\n");
    if let Some(frame) = &story.frame {
        let tag = frame.vlan.map_or_else(String::new, |vlan| format!(", VLAN {vlan}"));
        text.push_str(&format!(
            "{} {} -> {} {}, {} of {} octets{tag}\n",
            frame.src, frame.from, frame.dst, frame.to, frame.protocol, frame.size
        ));
    }
    let width = story.stages.iter().map(|stage| stage.stage.name().len()).max().unwrap_or(0);
    for stages in story.stages.chunk_by(|a, b| a.node == b.node) {
        let Some(Stage { node, .. }) = stages.first() else { continue };
        text.push_str(&format!("\n{node}\n"));
        for stage in stages {
            let state = match stage.state {
                State::Ok => "ok  ",
                State::Degraded => "BAD ",
                State::Failed => "LOST",
            };
            text.push_str(&line(&format!("  {:<width$}  {state}  ", stage.stage.name()), stage, story.live));
        }
    }
    let times: String =
        if story.live { totals(story) } else { story.nodes.iter().filter_map(answered).collect() };
    if !times.is_empty() {
        text.push_str(&format!("\n{times}"));
    }
    text.push_str(&format!("\n{}", end(story)));
    text
}

/// A stage, with its time at the right of its first line.
fn line(head: &str, stage: &Stage, has_times: bool) -> String {
    if !has_times {
        return format!("{head}{}\n", stage.text);
    }
    let text = table::beside(head, &stage.text, COLUMNS);
    let (first, rest) = text
        .split_once('\n')
        .map_or((text.as_str(), String::new()), |(first, rest)| (first, format!("{rest}\n")));
    let first = match stage.ns {
        Some(ns) => format!("{first:<COLUMNS$}{:>TIME_COLUMNS$}", table::nanoseconds(ns)),
        None => first.to_owned(),
    };
    format!("{first}\n{rest}")
}

/// How long a frame that was sent was under way and in each node.
fn totals(story: &Story) -> String {
    let stages = |node: &str| {
        let own = story.stages.iter().filter(|stage| stage.node == node && !is_between(stage));
        table::nanoseconds(own.filter_map(|stage| stage.ns).sum())
    };
    let time =
        |us: Option<u64>| us.map_or_else(String::new, |us| table::nanoseconds(us.saturating_mul(1000)));
    let own = [story.node.clone(), String::new(), String::new(), String::new(), stages(&story.node)];
    let others = story.nodes.iter().filter(|hop| hop.answered).map(|hop| {
        [
            hop.node.clone(),
            time(hop.round_trip_us),
            time(hop.inside_us),
            time(hop.waited_us),
            stages(&hop.node),
        ]
    });
    let rows: Vec<_> = [own].into_iter().chain(others).collect();
    table::render(["NODE", "THERE AND BACK", "INSIDE", "WAITING", "STAGES"], &rows)
}

/// Whether a stage is between two nodes, or before the frame was made.
fn is_between(stage: &Stage) -> bool {
    matches!(stage.stage, StageName::Underlay | StageName::Resolve)
}

fn answered(hop: &Hop) -> Option<String> {
    let (round_trip, inside) = (hop.round_trip_us?, hop.inside_us?);
    let (round_trip, inside) = (table::microseconds(round_trip), table::microseconds(inside));
    Some(format!("{}: the question and the answer took {round_trip} on the way, {inside} there\n", hop.node))
}

fn end(story: &Story) -> String {
    let live = if story.live { "it was sent, and got there" } else { "such a frame would arrive" };
    let end = match story.outcome {
        End::Arrives => format!("ARRIVES: {live}\n"),
        End::Degraded if story.fault.as_ref().is_some_and(|fault| fault.code == NOT_SENT) => {
            "DEGRADED: it was not sent to all that are to tell of it\n".to_owned()
        }
        End::Degraded => format!("DEGRADED: {live}, but not as it should\n"),
        End::Lost if story.live && story.nodes.iter().any(|hop| hop.asked > 0) => {
            "LOST: it was sent, and did not get there\n".to_owned()
        }
        End::Lost => "LOST: such a frame would not arrive\n".to_owned(),
    };
    let fault = story.fault.as_ref().map(|fault| {
        format!("  {} at {}\n  what  {}\n  mend  {}\n", fault.code, fault.node, fault.what, fault.mend)
    });
    end + &fault.unwrap_or_default()
}
