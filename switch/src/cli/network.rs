//! `weft network list`: the networks of this node.

use clap::{Args, Subcommand};

use super::table::{self, duration};
use super::watch::{self, Watch};
use super::{Global, Outcome};
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
    #[command(flatten)]
    watch: Watch,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List networks (the default)
    #[command(
        after_help = "PEERS counts static peers and members that have the network (`weft -j network list` names them), \
                      MACS is the number of addresses known and the most that may be learned, AGE how long an \
                      address is kept without being seen, UNKNOWN what happens to frames for an address that is \
                      not known, VLAN what happens to tagged frames.\n\n\
                      Examples:\n  weft network list\n  weft -j network list | jq '.entries[] | {name, vni, mtu}'"
    )]
    List(Watch),
}

pub(super) fn run(global: &Global, args: NetworkArgs) -> Outcome {
    if args.watch.is_misplaced(args.action.is_some(), "weft network list") {
        return Outcome::Usage;
    }
    let Action::List(watch) = args.action.unwrap_or(Action::List(args.watch));
    watch::query(
        global,
        &watch,
        &Request::NetworkList,
        |_| {},
        |reply| match reply {
            Reply::Networks(networks) => Some(render(networks)),
            _ => None,
        },
    )
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
