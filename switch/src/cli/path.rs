//! `weft path`: the ways to other hosts.

use clap::{Args, Subcommand};

use super::table;
use super::watch::{self, Watch};
use super::{Global, Outcome};
use crate::control::protocol::{Lost, PathEntry, PathFound, PathProbes, PathState, Paths, Reply, Request};

/// Arguments of `weft path`.
#[derive(Debug, Args)]
#[command(after_help = "Without a subcommand: show.\n\n\
                  Examples:\n  weft path\n  weft path show node-b\n  weft path show --watch")]
pub(super) struct PathArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    watch: Watch,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show how large a packet passes to each peer, and how well (the default)
    #[command(
        after_help = "Each line is a sum: PATH-MTU, the largest IP packet that the underlay carries to the peer, less \
                      what the tunnel adds, is MTU, the largest IP packet of a pod. Members are probed on their data \
                      ports; LOSS is what of that was lost of late, there and back. Of a static peer only its link is \
                      known, and what ICMP says. With a peer's name or address: everything, term by term.\n\n\
                      Examples:\n  weft path show\n  weft path show node-b\n  \
                      weft -j path show | jq -r '.entries[] | select(.state != \"up\") | .name'"
    )]
    Show {
        /// Only this peer, by name or address, in detail
        peer: Option<String>,
        #[command(flatten)]
        watch: Watch,
    },
}

pub(super) fn run(global: &Global, args: PathArgs) -> Outcome {
    if args.watch.is_misplaced(args.action.is_some(), "weft path show") {
        return Outcome::Usage;
    }
    let Action::Show { peer, watch } = args.action.unwrap_or(Action::Show { peer: None, watch: args.watch });
    let in_detail = peer.is_some();
    let request = Request::PathShow { peer };
    watch::query(
        global,
        &watch,
        &request,
        |_| {},
        |reply| match reply {
            Reply::Paths(paths) if in_detail => Some(paths.entries.iter().map(detail).collect()),
            Reply::Paths(paths) => Some(render(paths)),
            _ => None,
        },
    )
}

pub(super) fn render(paths: &Paths) -> String {
    if paths.entries.is_empty() {
        return "No paths: there is no other node, and no static peer; see `weft peer`.\n".to_owned();
    }
    let row = |path: &PathEntry| {
        let added: u16 = path.terms.iter().map(|term| term.octets).sum();
        let probes = path.probes.as_ref();
        [
            path.name.clone(),
            state(path.state).to_owned(),
            table::or_dash(path.path_mtu),
            format!("-{added}"),
            table::or_dash(path.mtu),
            format!("{}/{}", path.format, path.port),
            table::or_dash(probes.map(|probes| table::microseconds(probes.rtt_us))),
            table::or_dash(probes.map(|probes| percent(worse(probes.lost_there, probes.lost_back)))),
            path.via.clone().map_or_else(|| "direct".to_owned(), |via| format!("via {via}")),
        ]
    };
    let rows: Vec<_> = paths.entries.iter().map(row).collect();
    let header = ["PEER", "STATE", "PATH-MTU", "TUNNEL", "MTU", "FORMAT/PORT", "RTT", "LOSS", "WAY"];
    let causes = paths.entries.iter().map(|path| (path.name.as_str(), &path.degraded[..]));
    table::render(header, &rows) + &table::causes(causes)
}

/// One path, with the sum of its MTU.
pub(super) fn detail(path: &PathEntry) -> String {
    let since = table::duration(path.since_s);
    let mut text = format!("{} ({}), {} for {since}\n\n", path.name, path.address, state(path.state));
    let mut line = |what: &str, value: String, note: &str| {
        text.push_str(format!("  {what:<16}{value:>6}  {note}").trim_end());
        text.push('\n');
    };
    let link = table::or_dash(path.link_mtu);
    line(
        "path MTU",
        table::or_dash(path.path_mtu),
        &format!("{} (the link takes {link})", found(path.found)),
    );
    for term in &path.terms {
        line(&format!("- {}", term.what), term.octets.to_string(), "");
    }
    line("= MTU of pods", table::or_dash(path.mtu), &segments(path));
    text.push_str(&format!(
        "\n  sent as {}, UDP port {}, {}\n",
        path.format,
        path.port,
        path.via.as_ref().map_or_else(|| "directly".to_owned(), |via| format!("through {via}"))
    ));
    match &path.probes {
        Some(probes) => text.push_str(&probed(probes)),
        None => text.push_str("  no probe was answered: a static peer answers none\n"),
    }
    for item in &path.degraded {
        text.push_str(&format!("\n  {} (for {})\n", item.cause, table::duration(item.since_s)));
    }
    text
}

fn segments(path: &PathEntry) -> String {
    let mtu = path.mtu.map_or(0, encap::Mtu::get);
    let of = |headers: u16| mtu.saturating_sub(headers);
    format!("TCP segments: {} (IPv4), {} (IPv6)", of(40), of(60))
}

fn probed(probes: &PathProbes) -> String {
    let PathProbes { rtt_us, rtt_p50_us, rtt_p99_us, lost_there, lost_back, overtaken, .. } = probes;
    let [rtt, p50, p99] = [*rtt_us, *rtt_p50_us, *rtt_p99_us].map(table::microseconds);
    let ahead = match probes.clock_ahead_ms {
        ms @ ..0 => format!("{} ms behind", -ms),
        ms => format!("{ms} ms ahead"),
    };
    let dead = match &probes.dead_source_ports[..] {
        [] => String::new(),
        ports => format!("  nothing gets there from UDP port {}: frames take others\n", table::list(ports)),
    };
    format!(
        "  round trip {rtt} (half up to {p50}, 99 % up to {p99})\n  lost of late: there {}, back {}; overtaken {}\n  \
         probes: {} sent, {} answered; its clock is {ahead} of ours\n{dead}",
        percent(*lost_there),
        percent(*lost_back),
        percent(*overtaken),
        probes.sent,
        probes.answered
    )
}

/// The worse of both directions.
pub(super) fn worse(there: Lost, back: Lost) -> Lost {
    let share = |lost: Lost| lost.count * 1_000_000 / lost.of.max(1);
    if share(there) > share(back) { there } else { back }
}

/// A share with one decimal.
pub(super) fn percent(Lost { count, of }: Lost) -> String {
    let permille = count * 1_000 / of.max(1);
    format!("{}.{} %", permille / 10, permille % 10)
}

const fn state(state: PathState) -> &'static str {
    match state {
        PathState::Up => "up",
        PathState::Degraded => "degraded",
        PathState::Down => "down",
    }
}

const fn found(found: PathFound) -> &'static str {
    match found {
        PathFound::Link => "taken from the link",
        PathFound::Probe => "probes of this size pass",
        PathFound::BlackHole => "larger probes vanish",
        PathFound::Reported => "said by ICMP or the kernel",
    }
}
