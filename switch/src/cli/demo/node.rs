//! The daemons of the demo, asked over their API as any client does.

use std::path::Path;
use std::time::Duration;

use anyhow::{anyhow, bail};
use encap::Mtu;

use crate::cli::client::Client;
use crate::control::protocol::{Drops, Fdb, PortState, Reply, Request};

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks one thing.
fn ask(socket: &Path, request: &Request) -> anyhow::Result<Reply> {
    match Client::connect(socket, PATIENCE)?.ask(request)? {
        Reply::Error(error) => bail!("{}", error.message),
        reply => Ok(reply),
    }
}

fn unfit(request: &Request) -> anyhow::Error {
    anyhow!("the daemon's answer does not fit the request {request:?}")
}

/// What the daemon still waits for: `None` when every port is up and it was told of `macs` pods.
pub(super) fn not_ready(socket: &Path, macs: usize) -> anyhow::Result<Option<String>> {
    let request = Request::PortList;
    let Reply::Ports(ports) = ask(socket, &request)? else { return Err(unfit(&request)) };
    if let Some(port) = ports.entries.iter().find(|port| port.state != PortState::Up) {
        let why = port.reason.as_deref().unwrap_or("no reason given");
        return Ok(Some(format!("port {} is not up ({why})", port.name)));
    }
    let known = fdb(socket)?.entries.len();
    Ok((known < macs).then(|| format!("it was told of {known} of {macs} pods")))
}

/// The MTU of every port.
pub(super) fn port_mtus(socket: &Path) -> anyhow::Result<Vec<Mtu>> {
    let request = Request::PortList;
    let Reply::Ports(ports) = ask(socket, &request)? else { return Err(unfit(&request)) };
    Ok(ports.entries.into_iter().map(|port| port.mtu).collect())
}

/// The daemon's FDB.
pub(super) fn fdb(socket: &Path) -> anyhow::Result<Fdb> {
    let request = Request::FdbShow { mac: None, network: None };
    match ask(socket, &request)? {
        Reply::Fdb(fdb) => Ok(fdb),
        _ => Err(unfit(&request)),
    }
}

/// The daemon's ledger.
pub(super) fn ledger(socket: &Path) -> anyhow::Result<Drops> {
    match ask(socket, &Request::Drops)? {
        Reply::Drops(drops) => Ok(drops),
        _ => Err(unfit(&Request::Drops)),
    }
}

/// Whether every frame is accounted for; not so while frames are on their way.
pub(super) fn is_balanced(drops: &Drops) -> bool {
    drops.received + drops.copies == drops.delivered + drops.answered + drops.dropped()
}
