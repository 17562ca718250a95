//! The join addresses, looked up again and again: names may come to mean others.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::control::config::{JoinAddress, JoinHost};

/// Join addresses are looked up this often.
const EVERY: Duration = Duration::from_secs(30);

/// What a join address stands for, or why nothing.
pub(super) type Found = (JoinAddress, Result<Vec<SocketAddr>, String>);

/// Looks the addresses up for as long as somebody wants to know.
pub(super) async fn look_up(join: Vec<JoinAddress>, found: mpsc::Sender<Vec<Found>>) {
    loop {
        let mut all = Vec::new();
        for address in &join {
            all.push((address.clone(), resolve(address).await));
        }
        if found.send(all).await.is_err() {
            return;
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn resolve(address: &JoinAddress) -> Result<Vec<SocketAddr>, String> {
    let name = match address.host() {
        JoinHost::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, address.port())]),
        JoinHost::Name(name) => name.as_str(),
    };
    match tokio::net::lookup_host((name, address.port())).await {
        Ok(found) => Ok(found.collect()),
        Err(error) => Err(format!("the name {name} is not found ({error}): is it in DNS or /etc/hosts?")),
    }
}
