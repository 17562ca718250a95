//! `weft fdb`: which MAC address is where.

use std::net::IpAddr;

use clap::{Args, Subcommand};
use encap::MacAddr;

use super::table::duration;
use super::{Global, Outcome, ask, change};
use crate::control::protocol::{Fdb, FdbState, FdbTarget, Reply, Request};

/// Arguments of `weft fdb`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weft fdb show --network pods\n  weft fdb add 02:00:00:00:00:09 --network pods --dst 10.0.0.9\n  \
                        weft fdb flush --network pods\n  weft fdb thaw 02:00:00:00:00:09"
)]
pub(super) struct FdbArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show entries (the default)
    #[command(
        after_help = "One line an entry, much like `bridge fdb`: MAC address, network, place, kind, age.\n\n\
                            Example:\n  weft fdb show 02:00:00:00:00:09"
    )]
    Show {
        /// Only this MAC address
        mac: Option<MacAddr>,
        /// Only this network, by name or VNI
        #[arg(long)]
        network: Option<String>,
    },
    /// Add a static entry until the daemon ends: it neither ages nor moves
    #[command(after_help = "Example:\n  weft fdb add 02:00:00:00:00:09 --network pods --dst 10.0.0.9")]
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
    Del {
        /// The MAC address
        mac: MacAddr,
        /// The network, by name or VNI [default: the only one that has the address]
        #[arg(long)]
        network: Option<String>,
    },
    /// Forget what was learned; static entries stay
    Flush {
        /// Only this network, by name or VNI
        #[arg(long)]
        network: Option<String>,
    },
    /// Let a MAC address move again that was frozen because it moved too often
    #[command(
        after_help = "5 moves within 180 s freeze an address for 180 s: two pods use it, or a loop exists. Find \
                            that\nfirst: `weft fdb show MAC` names the place, the log the moves.\n\nExample:\n  weft fdb thaw 02:00:00:00:00:09"
    )]
    Thaw {
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
    match args.action.unwrap_or(Action::Show { mac: None, network: None }) {
        Action::Show { mac, network } => {
            ask(global, &Request::FdbShow { mac, network }, |reply| match reply {
                Reply::Fdb(fdb) => Some(render(fdb)),
                _ => None,
            })
        }
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
        match entry.state {
            FdbState::Static => text.push_str(" static"),
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
