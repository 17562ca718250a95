//! `weft port`: the TAP devices of pods.

use std::net::IpAddr;

use clap::{Args, Subcommand};
use encap::MacAddr;
use ipnet::IpNet;

use super::table;
use super::watch::{self, Watch};
use super::{Global, Outcome, change};
use crate::control::protocol::{PortAdd, PortState, Ports, Reply, Request};
use crate::io::netns::NetnsRef;

/// Arguments of `weft port`.
#[derive(Debug, Args)]
#[command(after_help = "Without a subcommand: list.\n\n\
                  Examples:\n  weft port\n  weft port add web --network pods --netns /run/netns/web \\\n      \
                  --mac 02:00:00:00:00:01 --address 10.32.0.5/12\n  weft port del web")]
pub(super) struct PortArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    watch: Watch,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List ports (the default)
    #[command(
        after_help = "A port is up, waiting for its namespace, or down; why stands below the table.\n\n\
                      Examples:\n  weft port list\n  weft port list --watch\n  \
                      weft -j port list | jq -r '.entries[] | select(.state != \"up\").name'"
    )]
    List(Watch),
    /// Add a port until the daemon ends; the configuration keeps one for good
    #[command(
        after_help = "The port makes a TAP with these addresses, the MTU of its network, and up. A namespace that \
                      does not exist yet is waited for. With --mac or --address the pod can send from no others.\n\n\
                      Examples:\n  weft port add web --network pods\n  \
                      weft port add web --network pods --ifname eth0 --netns /run/netns/web \\\n      \
                      --address 10.32.0.5/12 --gateway 10.32.0.1\n  \
                      weft port add web --network pods --netns pid:4242 --address 10.32.0.5/12\n\n\
                      Exit codes: 0 the port is there, or waits for its namespace; 1 its device could not be made; \
                      2 an argument is wrong; 3 no daemon answers."
    )]
    Add(AddArgs),
    /// Remove a port and its device
    #[command(
        after_help = "A port that the configuration names comes back with the next reload or start.\n\n\
                      Example:\n  weft port del web"
    )]
    Del {
        /// The port's name
        name: String,
    },
}

#[derive(Debug, Args)]
struct AddArgs {
    /// The port's name, unique on this node
    name: String,
    /// Its network, by name or VNI
    #[arg(long)]
    network: String,
    /// The name of its device [default: the port's name]
    #[arg(long)]
    ifname: Option<String>,
    /// The namespace of its device [default: the daemon's own]
    #[arg(long, value_name = "PATH|pid:N")]
    netns: Option<NetnsRef>,
    /// Its MAC address, then the only one it may use [default: the kernel chooses]
    #[arg(long)]
    mac: Option<MacAddr>,
    /// An address of its device; may be repeated
    #[arg(long = "address", value_name = "CIDR")]
    addresses: Vec<IpNet>,
    /// The default gateway of its namespace
    #[arg(long, value_name = "IP")]
    gateway: Option<IpAddr>,
}

pub(super) fn run(global: &Global, args: PortArgs) -> Outcome {
    if args.watch.is_misplaced(args.action.is_some(), "weft port list") {
        return Outcome::Usage;
    }
    match args.action.unwrap_or(Action::List(args.watch)) {
        Action::List(watch) => watch::query(
            global,
            &watch,
            &Request::PortList,
            |_| {},
            |reply| match reply {
                Reply::Ports(ports) => Some(render(ports)),
                _ => None,
            },
        ),
        Action::Add(add) => change(global, &Request::PortAdd(add.into())),
        Action::Del { name } => change(global, &Request::PortDel { name }),
    }
}

impl From<AddArgs> for PortAdd {
    fn from(args: AddArgs) -> Self {
        let AddArgs { name, network, ifname, netns, mac, addresses, gateway } = args;
        Self { name, network, ifname, netns, mac, addresses, gateway }
    }
}

pub(super) fn render(ports: &Ports) -> String {
    if ports.entries.is_empty() {
        return "No ports: add one with `weft port add`, or [[port]] to the configuration.\n".to_owned();
    }
    let rows: Vec<_> = ports
        .entries
        .iter()
        .map(|p| {
            [
                p.name.clone(),
                p.network.clone(),
                state(p.state).to_owned(),
                p.ifname.clone(),
                table::or_dash(p.mac),
                p.mtu.to_string(),
                table::list(&p.addresses),
            ]
        })
        .collect();
    let mut text = table::render(["NAME", "NETWORK", "STATE", "IFNAME", "MAC", "MTU", "ADDRESSES"], &rows);
    for port in &ports.entries {
        if let Some(reason) = &port.reason {
            text.push_str(&format!("\n{} is {}: {reason}\n", port.name, state(port.state)));
        }
    }
    text
}

/// How it is, in a word.
pub(super) const fn state(state: PortState) -> &'static str {
    match state {
        PortState::Up => "up",
        PortState::Down => "down",
        PortState::Waiting => "waiting",
    }
}
