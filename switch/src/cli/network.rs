//! `weft network list`: the networks of this node.

use clap::{Args, Subcommand};

use super::table::{self, duration};
use super::{Global, Outcome, ask};
use crate::control::protocol::{Networks, Reply, Request};

/// Arguments of `weft network`.
#[derive(Debug, Args)]
#[command(
    after_help = "Networks are made in the configuration ([[network]]), and taken into use by `weft reload`.\n\n\
                  Example:\n  weft network list"
)]
pub(super) struct NetworkArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Default, Subcommand)]
enum Action {
    /// List networks (the default)
    #[command(
        after_help = "MACS is the number of addresses known and the most that may be learned, AGE how long an \
                      address is kept without being seen, UNKNOWN what happens to frames for an address that is \
                      not known, VLAN what happens to tagged frames.\n\n\
                      Examples:\n  weft network list\n  weft -j network list | jq '.entries[] | {name, vni, mtu}'"
    )]
    #[default]
    List,
}

pub(super) fn run(global: &Global, args: NetworkArgs) -> Outcome {
    let Action::List = args.action.unwrap_or_default();
    ask(global, &Request::NetworkList, |reply| match reply {
        Reply::Networks(networks) => Some(render(networks)),
        _ => None,
    })
}

pub(super) fn render(networks: &Networks) -> String {
    if networks.entries.is_empty() {
        return "No networks: add [[network]] to the configuration and run `weft reload`.\n".to_owned();
    }
    let rows: Vec<_> = networks
        .entries
        .iter()
        .map(|n| {
            let age = if n.mac_age_s == 0 { "never".to_owned() } else { duration(n.mac_age_s) };
            [
                n.name.clone(),
                n.vni.to_string(),
                n.mtu.to_string(),
                n.ports.len().to_string(),
                n.peers.len().to_string(),
                format!("{}/{}", n.macs, n.max_macs),
                age,
                n.unknown_unicast.clone(),
                n.vlan.clone(),
            ]
        })
        .collect();
    table::render(["NAME", "VNI", "MTU", "PORTS", "PEERS", "MACS", "AGE", "UNKNOWN", "VLAN"], &rows)
}
