//! `weft status`: does everything work?

use clap::Args;

use super::table::duration;
use super::watch::{self, Watch};
use super::{Global, Outcome};
use crate::control::protocol::{GossipStatus, Health, Reply, Request, Status};

/// Arguments of `weft status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    watch: Watch,
}

pub(super) fn run(global: &Global, args: &StatusArgs) -> Outcome {
    let mut state = Health::Ok;
    let note = |reply: &Reply| {
        if let Reply::Status(status) = reply {
            state = status.state;
        }
    };
    let outcome = watch::query(global, &args.watch, &Request::Status, note, |reply| match reply {
        Reply::Status(status) => Some(render(status)),
        _ => None,
    });
    if outcome == Outcome::Ok && state == Health::Degraded { Outcome::Degraded } else { outcome }
}

pub(super) fn render(status: &Status) -> String {
    let count = |name: &str| status.counts.get(name).copied().unwrap_or(0);
    let state = match status.state {
        Health::Ok => "ok",
        Health::Degraded => "degraded",
    };
    let mut text = format!(
        "node      {}, weft {}, up {}, {} worker{}\nstate     {state}\n",
        status.node,
        status.version,
        duration(status.uptime_s),
        status.workers,
        if status.workers == 1 { "" } else { "s" },
    );
    for item in &status.degraded {
        text.push_str(&format!(
            "          {}: {} (for {})\n",
            item.subject,
            item.cause,
            duration(item.since_s)
        ));
    }
    text.push_str(&format!("networks  {}\n", count("networks")));
    text.push_str(&format!("ports     {}, {} up\n", count("ports"), count("ports_up")));
    text.push_str(&format!("peers     {}, {} up\n", count("peers"), count("peers_up")));
    text.push_str(&format!(
        "MACs      {}, {} static, {} frozen\n",
        count("macs"),
        count("macs_static"),
        count("macs_frozen")
    ));
    if let Some(gossip) = &status.gossip {
        text.push_str(&format!("gossip    {}\n", render_gossip(gossip)));
    }
    let mut label = "offloads";
    for (name, value) in &status.offloads {
        text.push_str(&format!("{label:<9} {name} {value}\n"));
        label = "";
    }
    text
}

/// How many nodes are up, and whether they know the same; as much of the digest as a person compares.
pub(super) fn render_gossip(gossip: &GossipStatus) -> String {
    if gossip.left {
        return "left; restart weft to join again".to_owned();
    }
    let nodes = match gossip.members_up + 1 {
        1 => "1 node up".to_owned(),
        n => format!("{n} nodes up"),
    };
    let same = if gossip.members_up == 0 {
        "of this node alone".to_owned()
    } else if !gossip.differs.is_empty() {
        format!("differs from {}", gossip.differs.join(", "))
    } else if gossip.not_compared > 0 {
        format!("not compared with {} yet", gossip.not_compared)
    } else {
        "equal with all".to_owned()
    };
    let joining = if gossip.ready { "" } else { "; joining" };
    format!("{nodes}, digest {:.8}… {same}{joining}", gossip.digest)
}
