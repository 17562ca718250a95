//! `weft neigh`: which MAC address has which IP address.

use clap::Args;

use super::table::duration;
use super::{Global, Outcome, ask};
use crate::control::protocol::{Neigh, Reply, Request};

/// Arguments of `weft neigh`.
#[derive(Debug, Args)]
#[command(
    after_help = "One line an address, much like `ip neighbor`: IP address, MAC address, network, place (a port here, \
                  or the address of a peer), the node that says so, whether it is a router, age. What is not known is \
                  left out; nothing is printed when no address is known.\n\n\
                  Examples:\n  weft neigh\n  weft neigh --network pods\n  \
                  weft -j neigh | jq -r '.entries[] | select(.router) | .ip'"
)]
pub(super) struct NeighArgs {
    /// Only this network, by name or VNI
    #[arg(long)]
    network: Option<String>,
}

pub(super) fn run(global: &Global, args: NeighArgs) -> Outcome {
    ask(global, &Request::NeighShow { network: args.network }, |reply| match reply {
        Reply::Neigh(neigh) => Some(render(neigh)),
        _ => None,
    })
}

/// One line an address; nothing at all when there is none.
pub(super) fn render(neigh: &Neigh) -> String {
    let mut text = String::new();
    for entry in &neigh.entries {
        text.push_str(&format!("{} mac {} vni {} network {}", entry.ip, entry.mac, entry.vni, entry.network));
        if let Some(port) = &entry.port {
            text.push_str(&format!(" port {port}"));
        }
        if let Some(dst) = &entry.dst {
            text.push_str(&format!(" dst {dst}"));
        }
        if let Some(owner) = &entry.owner {
            text.push_str(&format!(" owner {owner}"));
        }
        if entry.router {
            text.push_str(" router");
        }
        if let Some(seconds) = entry.age_s {
            text.push_str(&format!(" age {}", duration(seconds)));
        }
        text.push('\n');
    }
    text
}
