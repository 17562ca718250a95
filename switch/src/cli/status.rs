//! `weft status`: does everything work?

use super::table::duration;
use super::{Global, Outcome, ask_noting};
use crate::control::protocol::{Health, Reply, Request, Status};

pub(super) fn run(global: &Global) -> Outcome {
    let mut state = Health::Ok;
    let note = |reply: &Reply| {
        if let Reply::Status(status) = reply {
            state = status.state;
        }
    };
    let outcome = ask_noting(global, &Request::Status, note, |reply| match reply {
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
    let mut label = "offloads";
    for (name, value) in &status.offloads {
        text.push_str(&format!("{label:<9} {name} {value}\n"));
        label = "";
    }
    text
}
