//! `weft peer`: the other hosts.

use clap::{Args, Subcommand, ValueEnum};
use encap::Format;

use super::table;
use super::{Global, Outcome, ask, change};
use crate::control::protocol::{PeerAdd, PeerKind, PeerState, Peers, Reply, Request};

/// Arguments of `weft peer`.
#[derive(Debug, Args)]
#[command(after_help = "Without a subcommand: list.\n\n\
                  Examples:\n  weft peer\n  weft peer add 10.0.0.9 --network pods --format geneve\n  \
                  weft peer del 10.0.0.9")]
pub(super) struct PeerArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Default, Subcommand)]
enum Action {
    /// List peers (the default)
    #[command(
        after_help = "A static peer is up while this host has a route to it; it is not probed. PATH-MTU is the largest \
                      IP packet of the underlay towards it, MTU the largest IP packet that a pod may send through \
                      it.\n\n\
                      Examples:\n  weft peer list\n  \
                      weft -j peer list | jq -r '.entries[] | select(.state != \"up\").address'"
    )]
    #[default]
    List,
    /// Add a static peer until the daemon ends; the configuration keeps one for good
    #[command(
        after_help = "The peer may be another weft, a kernel VXLAN device or an Open vSwitch. The other end needs \
                      this host as its peer, too. What a peer sends is taken on trust: see SECURITY.md.\n\n\
                      Examples:\n  weft peer add 10.0.0.9 --network pods\n  \
                      weft peer add fd00::9 --network pods --network 200 --format geneve\n  \
                      weft peer add 10.1.0.0/16 --network pods"
    )]
    Add(AddArgs),
    /// Remove a static peer, and forget what was learned from it
    #[command(
        after_help = "A peer that the configuration names comes back with the next reload or start.\n\n\
                      Example:\n  weft peer del 10.0.0.9"
    )]
    Del {
        /// Its address or prefix
        address: String,
    },
}

#[derive(Debug, Args)]
struct AddArgs {
    /// Its underlay address; or a prefix, which is heard and never sent to
    address: String,
    /// A network it is on, by name or VNI; may be repeated
    #[arg(long = "network", value_name = "NETWORK", required = true)]
    networks: Vec<String>,
    /// What it is sent [default: the configuration's]
    #[arg(long)]
    format: Option<FormatArg>,
    /// Its UDP port [default: our own port of that format]
    #[arg(long)]
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    Vxlan,
    Geneve,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Vxlan => Self::Vxlan,
            FormatArg::Geneve => Self::Geneve,
        }
    }
}

pub(super) fn run(global: &Global, args: PeerArgs) -> Outcome {
    match args.action.unwrap_or_default() {
        Action::List => ask(global, &Request::PeerList, |reply| match reply {
            Reply::Peers(peers) => Some(render(peers)),
            _ => None,
        }),
        Action::Add(AddArgs { address, networks, format, port }) => {
            let add = PeerAdd { address, networks, format: format.map(Into::into), port };
            change(global, &Request::PeerAdd(add))
        }
        Action::Del { address } => change(global, &Request::PeerDel { address }),
    }
}

pub(super) fn render(peers: &Peers) -> String {
    if peers.entries.is_empty() {
        return "No peers: add one with `weft peer add`, or [[peer]] to the configuration.\n".to_owned();
    }
    let rows: Vec<_> = peers
        .entries
        .iter()
        .map(|p| {
            let state = match p.state {
                PeerState::Up => "up",
                PeerState::Suspect => "suspect",
                PeerState::Down => "down",
            };
            let kind = match p.kind {
                PeerKind::Member => "member",
                PeerKind::Static => "static",
            };
            [
                p.address.clone(),
                state.to_owned(),
                kind.to_owned(),
                format!("{}/{}", p.format, p.port),
                table::or_dash(p.path_mtu),
                table::or_dash(p.mtu),
                table::list(&p.networks),
            ]
        })
        .collect();
    let mut text =
        table::render(["ADDRESS", "STATE", "KIND", "FORMAT/PORT", "PATH-MTU", "MTU", "NETWORKS"], &rows);
    for peer in &peers.entries {
        for item in &peer.degraded {
            let since = table::duration(item.since_s);
            text.push_str(&format!("\n{}: {} (for {since})\n", peer.address, item.cause));
        }
    }
    text
}
