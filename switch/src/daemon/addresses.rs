//! The underlay addresses of this host: configured, or found out and followed.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use crate::control::config::Config;
use crate::io::link::{ANYWHERE, Links, source_address_to};

/// How long the host must have another underlay address: one that comes and goes is not followed.
const STEADY: Duration = Duration::from_secs(1);

/// The underlay addresses: configured, those of the interface, or the source address of the default route.
pub(super) fn underlay_addresses(config: &Config) -> Result<Vec<IpAddr>> {
    if !config.underlay.address.is_empty() {
        return Ok(config.underlay.address.clone());
    }
    if let Some(name) = &config.underlay.interface {
        let links = Links::open()?;
        let link = links.by_name(name)?.ok_or_else(|| {
            anyhow!("[underlay] interface = \"{name}\" does not exist; ip link shows what there is")
        })?;
        let all = links.addresses(link.index)?;
        let mut addresses: Vec<_> = all.iter().copied().find(IpAddr::is_ipv4).into_iter().collect();
        addresses.extend(all.iter().copied().find(IpAddr::is_ipv6));
        if addresses.is_empty() {
            bail!("[underlay] interface = \"{name}\" has no address; give it one, or set [underlay] address");
        }
        return Ok(addresses);
    }
    let found: Vec<IpAddr> = ANYWHERE.into_iter().filter_map(|ip| source_address_to(ip).ok()).collect();
    let first = found.first().copied().ok_or_else(|| {
        anyhow!("no default route tells the underlay address; set [underlay] address to this host's address")
    })?;
    Ok(vec![first])
}

/// The underlay addresses, where they are found out and not configured.
pub(super) struct Addresses {
    now: Vec<IpAddr>,
    differ_since: Option<Instant>,
}

impl Addresses {
    pub(super) const fn new(now: Vec<IpAddr>) -> Self {
        Self { now, differ_since: None }
    }

    /// Whether the host has had other addresses for a while. One that has none at all may get them back.
    pub(super) fn moved(&mut self, config: &Config, now: Instant) -> bool {
        let found = underlay_addresses(config).ok().filter(|found| *found != self.now);
        let since = found.map(|_| *self.differ_since.get_or_insert(now));
        self.differ_since = since;
        since.is_some_and(|since| now.saturating_duration_since(since) >= STEADY)
    }
}
