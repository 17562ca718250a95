//! `weft fdb`: which MAC address is where.

use std::net::IpAddr;

use clap::{Args, Subcommand};
use encap::MacAddr;

use super::table::duration;
use super::watch::{self, Watch};
use super::{Global, Outcome, ask, change};
use crate::control::protocol::{Fdb, FdbEvent, FdbHistory, FdbState, FdbTarget, Reply, Request};

/// Arguments of `weft fdb`.
#[derive(Debug, Args)]
#[command(after_help = "Without a subcommand: show.\n\n\
                  Examples:\n  weft fdb\n  weft fdb show --network pods\n  \
                  weft fdb add 02:00:00:00:00:09 --network pods --dst 10.0.0.9\n  \
                  weft fdb flush --network pods")]
pub(super) struct FdbArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    watch: Watch,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show entries (the default)
    #[command(
        after_help = "One line an entry, much like `bridge fdb`: MAC address, network, place (a port here, or the \
                      address of a peer), kind, age. What another node says of an address has `owner`, the name of \
                      that node. Nothing is printed when there is no entry.\n\n\
                      Examples:\n  weft fdb show 02:00:00:00:00:09\n  weft fdb show --network 100\n  \
                      weft fdb show 02:00:00:00:00:09 --watch\n  \
                      weft -j fdb show | jq -c '.entries[] | select(.frozen_s)'"
    )]
    Show {
        /// Only this MAC address
        mac: Option<MacAddr>,
        /// Only this network, by name or VNI
        #[arg(long)]
        network: Option<String>,
        #[command(flatten)]
        watch: Watch,
    },
    /// Add a static entry until the daemon ends: it neither ages nor moves
    #[command(
        after_help = "Give a port that runs here (--port), or a peer that has the network (--dst). The MAC address of \
                      a port with a configured `mac` is the port's already.\n\n\
                      Examples:\n  weft fdb add 02:00:00:00:00:09 --network pods --dst 10.0.0.9\n  \
                      weft fdb add 02:00:00:00:00:07 --network pods --port web"
    )]
    Add {
        /// The MAC address
        mac: MacAddr,
        /// The network, by name or VNI
        #[arg(long)]
        network: String,
        #[command(flatten)]
        at: At,
    },
    /// Remove an entry, static or learned
    #[command(after_help = "An address that still sends is learned again at once.\n\n\
                      Example:\n  weft fdb del 02:00:00:00:00:09 --network pods")]
    Del {
        /// The MAC address
        mac: MacAddr,
        /// The network, by name or VNI [default: the only one that has the address]
        #[arg(long)]
        network: Option<String>,
    },
    /// Forget what was learned; static entries stay
    #[command(
        after_help = "Until an address is learned again, frames to it go the way that `unknown_unicast` of its \
                      network says: to everybody, or nowhere.\n\n\
                      Examples:\n  weft fdb flush\n  weft fdb flush --network pods"
    )]
    Flush {
        /// Only this network, by name or VNI
        #[arg(long)]
        network: Option<String>,
    },
    /// Let a MAC address move again that was frozen because it moved too often
    #[command(
        after_help = "5 moves within 180 s freeze an address for 180 s: two pods use it, or there is a loop. Find \
                      that first: `weft fdb show MAC` names the place, the log the moves.\n\n\
                      Example:\n  weft fdb thaw 02:00:00:00:00:09\n\n\
                      Exit codes: 0 it may move again; 1 it was not frozen."
    )]
    Thaw {
        /// The MAC address
        mac: MacAddr,
        /// Only this network, by name or VNI
        #[arg(long)]
        network: Option<String>,
    },
    /// Show what happened to a MAC address lately
    #[command(
        after_help = "Oldest first: when it was learned, configured, claimed by another node, and moved, from where to \
                      where; when it was frozen and thawed; when it aged, made way at a limit, was withdrawn by the \
                      node that claimed it, or deleted. mob_seq counts the moves, on all nodes alike. The daemon keeps \
                      the latest 4096 events of all addresses together, until it ends.\n\n\
                      Examples:\n  weft fdb history 02:00:00:00:00:09\n  \
                      weft -j fdb history 02:00:00:00:00:09 --network pods | jq -c '.entries[]'"
    )]
    History {
        /// The MAC address
        mac: MacAddr,
        /// Only this network, by name or VNI
        #[arg(long)]
        network: Option<String>,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct At {
    /// It lives behind this local port
    #[arg(long)]
    port: Option<String>,
    /// It lives behind the static peer with this address
    #[arg(long, value_name = "ADDRESS")]
    dst: Option<IpAddr>,
}

pub(super) fn run(global: &Global, args: FdbArgs) -> Outcome {
    if args.watch.is_misplaced(args.action.is_some(), "weft fdb show") {
        return Outcome::Usage;
    }
    match args.action.unwrap_or(Action::Show { mac: None, network: None, watch: args.watch }) {
        Action::Show { mac, network, watch } => watch::query(
            global,
            &watch,
            &Request::FdbShow { mac, network },
            |_| {},
            |reply| match reply {
                Reply::Fdb(fdb) => Some(render(fdb)),
                _ => None,
            },
        ),
        Action::Add { mac, network, at } => {
            let target = match (at.port, at.dst) {
                (Some(port), _) => FdbTarget::Port(port),
                (None, Some(dst)) => FdbTarget::Dst(dst),
                (None, None) => {
                    super::complain("where does it live? Give --port or --dst");
                    return Outcome::Usage;
                }
            };
            change(global, &Request::FdbAdd { mac, network, at: target })
        }
        Action::Del { mac, network } => change(global, &Request::FdbDel { mac, network }),
        Action::Flush { network } => change(global, &Request::FdbFlush { network }),
        Action::Thaw { mac, network } => change(global, &Request::FdbThaw { mac, network }),
        Action::History { mac, network } => {
            ask(global, &Request::FdbHistory { mac, network }, |reply| match reply {
                Reply::FdbHistory(history) => Some(render_history(history)),
                _ => None,
            })
        }
    }
}

/// One line an entry, the keys as `bridge fdb` has them; nothing at all for an empty FDB.
pub(super) fn render(fdb: &Fdb) -> String {
    let mut text = String::new();
    for entry in &fdb.entries {
        text.push_str(&format!("{} vni {} network {}", entry.mac, entry.vni, entry.network));
        if let Some(port) = &entry.port {
            text.push_str(&format!(" port {port}"));
        }
        if let Some(dst) = &entry.dst {
            text.push_str(&format!(" dst {dst}"));
        }
        if entry.node.is_some() {
            text.push_str(&format!(" owner {}", entry.owner));
        }
        match entry.state {
            FdbState::Static => text.push_str(" static"),
            FdbState::Local | FdbState::Remote if entry.node.is_some() => {
                text.push_str(&format!(" age {}", duration(entry.age_s)));
            }
            FdbState::Local | FdbState::Remote => {
                text.push_str(&format!(" learned age {}", duration(entry.age_s)));
            }
        }
        if let Some(seconds) = entry.frozen_s {
            text.push_str(&format!(" frozen {}", duration(seconds)));
        }
        text.push('\n');
    }
    text
}

/// One line an event, the oldest first.
pub(super) fn render_history(history: &FdbHistory) -> String {
    if history.entries.is_empty() {
        return "Nothing happened to it since the daemon started, or too much to others since then.\n"
            .to_owned();
    }
    let mut text = String::new();
    for entry in &history.entries {
        let ago = format!("{} ago", duration(entry.age_s));
        text.push_str(&format!("{ago:>10}  vni {}  {}", entry.vni, event(entry.event)));
        let words = match entry.event {
            FdbEvent::Duplicate => ["at", "and at"],
            _ if entry.from.is_none() => ["", "at"],
            _ => ["from", "to"],
        };
        for (word, place) in words.iter().zip([&entry.from, &entry.to]) {
            if let Some(place) = place {
                // What is neither a port nor a peer is a node.
                let place = place.strip_prefix("node ").unwrap_or(place);
                text.push_str(&format!(" {word} {place}"));
            }
        }
        if let Some(mob_seq) = entry.mob_seq {
            text.push_str(&format!(" mob_seq {mob_seq}"));
        }
        text.push('\n');
    }
    text
}

const fn event(event: FdbEvent) -> &'static str {
    match event {
        FdbEvent::Learned => "learned",
        FdbEvent::Configured => "configured",
        FdbEvent::Claimed => "claimed",
        FdbEvent::Moved => "moved",
        FdbEvent::Duplicate => "duplicate",
        FdbEvent::Frozen => "frozen",
        FdbEvent::Thawed => "thawed",
        FdbEvent::Withdrawn => "withdrawn",
        FdbEvent::Aged => "aged",
        FdbEvent::Evicted => "evicted",
        FdbEvent::Deleted => "deleted",
    }
}
