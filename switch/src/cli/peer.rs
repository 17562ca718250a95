//! `weft peer`: the other hosts.

use clap::{Args, Subcommand, ValueEnum};
use encap::Format;

use super::table;
use super::watch::{self, Watch};
use super::{Global, Outcome, change};
use crate::control::protocol::{PeerAdd, PeerEntry, PeerKind, PeerState, Peers, Reply, Request};

/// Arguments of `weft peer`.
#[derive(Debug, Args)]
#[command(after_help = "Without a subcommand: list.\n\n\
                  Examples:\n  weft peer\n  weft peer add 10.0.0.9 --network pods --format geneve\n  \
                  weft peer del 10.0.0.9")]
pub(super) struct PeerArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    watch: Watch,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List peers (the default)
    #[command(
        after_help = "A static peer is up while this host has a route to it; it is not probed. A member, a node known \
                      from gossip, is up while it answers, suspect when it does not (frames still go to it), down, or \
                      left. SINCE is how long that is so, RTT the round trip of gossip. PATH-MTU is the largest IP \
                      packet of the underlay towards it, MTU the largest IP packet that a pod may send through it.\n\n\
                      Examples:\n  weft peer list\n  weft peer list --watch\n  \
                      weft -j peer list | jq -r '.entries[] | select(.state != \"up\").address'"
    )]
    List(Watch),
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
    if args.watch.is_misplaced(args.action.is_some(), "weft peer list") {
        return Outcome::Usage;
    }
    match args.action.unwrap_or(Action::List(args.watch)) {
        Action::List(watch) => watch::query(
            global,
            &watch,
            &Request::PeerList,
            |_| {},
            |reply| match reply {
                Reply::Peers(peers) => Some(render(peers)),
                _ => None,
            },
        ),
        Action::Add(AddArgs { address, networks, format, port }) => {
            let add = PeerAdd { address, networks, format: format.map(Into::into), port };
            change(global, &Request::PeerAdd(add))
        }
        Action::Del { address } => change(global, &Request::PeerDel { address }),
    }
}

pub(super) fn render(peers: &Peers) -> String {
    if peers.entries.is_empty() {
        return "No peers: [gossip] `join` finds other nodes, `weft peer add` or [[peer]] adds a static peer.\n".to_owned();
    }
    let with_members = peers.entries.iter().any(|p| p.kind == PeerKind::Member);
    let rows = if with_members { render_members(peers) } else { render_static(peers) };
    rows + &table::causes(peers.entries.iter().map(|peer| (peer.name.as_str(), &peer.degraded[..])))
}

fn render_static(peers: &Peers) -> String {
    let row = |p: &PeerEntry| {
        [
            p.address.clone(),
            state(p).to_owned(),
            "static".to_owned(),
            format!("{}/{}", p.format, p.port),
            table::or_dash(p.path_mtu),
            table::or_dash(p.mtu),
            table::list(&p.networks),
        ]
    };
    let rows: Vec<_> = peers.entries.iter().map(row).collect();
    table::render(["ADDRESS", "STATE", "KIND", "FORMAT/PORT", "PATH-MTU", "MTU", "NETWORKS"], &rows)
}

fn render_members(peers: &Peers) -> String {
    let row = |p: &PeerEntry| {
        let kind = match p.kind {
            PeerKind::Member => "member",
            PeerKind::Static => "static",
        };
        [
            p.name.clone(),
            p.address.clone(),
            state(p).to_owned(),
            table::or_dash(p.since_s.map(table::duration)),
            table::or_dash(p.rtt_us.map(table::microseconds)),
            kind.to_owned(),
            table::or_dash(p.version.as_deref()),
            format!("{}/{}", p.format, p.port),
            table::or_dash(p.mtu),
            table::list(&p.networks),
        ]
    };
    let rows: Vec<_> = peers.entries.iter().map(row).collect();
    let header =
        ["NAME", "ADDRESS", "STATE", "SINCE", "RTT", "KIND", "VERSION", "FORMAT/PORT", "MTU", "NETWORKS"];
    table::render(header, &rows)
}

/// How it is, in a word.
pub(super) const fn state(peer: &PeerEntry) -> &'static str {
    match peer.state {
        PeerState::Up => "up",
        PeerState::Suspect => "suspect",
        PeerState::Down if peer.left => "left",
        PeerState::Down => "down",
    }
}
