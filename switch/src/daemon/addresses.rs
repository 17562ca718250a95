//! The underlay addresses of this host: configured, or found out and followed.
//!
//! An address in use is kept for as long as the host has it, whatever else comes: a route that changes its link, a
//! privacy address, the address of a service. Another one is looked for when one in use is gone for [`STEADY`], or when a
//! family that was in use before has an address again.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use crate::control::config::Config;
use crate::io::link::{ANYWHERE, Fitness, LinkAddress, Links, source_address_to};

/// How long the host must lack an address, or have one again: one that comes and goes is not followed.
const STEADY: Duration = Duration::from_secs(1);

/// The underlay addresses of a daemon that starts now.
pub(super) fn underlay_addresses(config: &Config) -> Result<Vec<IpAddr>> {
    Addresses::default().find(config)
}

/// The underlay addresses in use; none before the start.
#[derive(Default)]
pub(super) struct Addresses {
    in_use: Vec<IpAddr>,
    /// The families that are to have an address: those that had one, or were about to. IPv4, IPv6.
    families: [bool; 2],
    differ_since: Option<Instant>,
}

impl Addresses {
    /// The addresses to use from now on: the configured ones, else those in use as far as the host has them, and others for
    /// the rest.
    pub(super) fn find(&mut self, config: &Config) -> Result<Vec<IpAddr>> {
        if !config.underlay.address.is_empty() {
            return Ok(config.underlay.address.clone());
        }
        let seen = Seen::look(config)?;
        let chosen = self.choose_and_note(&seen);
        if chosen.is_empty() {
            bail!(seen.nothing(config.underlay.interface.as_deref()));
        }
        Ok(chosen)
    }

    /// Chooses, and notes which families are to have an address from now on.
    fn choose_and_note(&mut self, seen: &Seen) -> Vec<IpAddr> {
        let chosen = self.choose(seen);
        for (wanted, v4) in self.families.iter_mut().zip([true, false]) {
            *wanted |= chosen.iter().any(|ip| ip.is_ipv4() == v4) || seen.comes(v4);
        }
        chosen
    }

    /// These are in use now.
    pub(super) fn settle(&mut self, in_use: Vec<IpAddr>) {
        (self.in_use, self.differ_since) = (in_use, None);
    }

    /// Those in use.
    pub(super) fn in_use(&self) -> &[IpAddr] {
        &self.in_use
    }

    /// Whether other addresses have been due for a while. A host that has none at all may get them back.
    pub(super) fn moved(&mut self, config: &Config, now: Instant) -> bool {
        if !config.underlay.address.is_empty() {
            return false;
        }
        let differ = Seen::look(config).is_ok_and(|seen| self.differ(&seen));
        self.lasts(differ, now)
    }

    fn lasts(&mut self, differ: bool, now: Instant) -> bool {
        let since = differ.then(|| *self.differ_since.get_or_insert(now));
        self.differ_since = since;
        since.is_some_and(|since| now.saturating_duration_since(since) >= STEADY)
    }

    /// Whether other addresses are due.
    fn differ(&self, seen: &Seen) -> bool {
        let gone = self.in_use.iter().any(|ip| !seen.has(*ip));
        let used = |v4: bool| self.in_use.iter().any(|ip| ip.is_ipv4() == v4);
        let lacking =
            || [true, false].into_iter().zip(self.families).filter(|(v4, wanted)| *wanted && !used(*v4));
        if !gone && lacking().next().is_none() {
            return false;
        }
        let chosen = self.choose(seen);
        let has = |v4: bool| chosen.iter().any(|ip| ip.is_ipv4() == v4);
        // What is about to come would change them once more in a moment.
        let waits =
            self.families.iter().zip([true, false]).any(|(wanted, v4)| *wanted && !has(v4) && seen.comes(v4));
        !chosen.is_empty() && chosen != self.in_use && !waits && (gone || lacking().any(|(v4, _)| has(v4)))
    }

    /// IPv4 before IPv6; of an interface one of each family, else one that leads to the world. Those that do not last are
    /// for a host that has no other.
    fn choose(&self, seen: &Seen) -> Vec<IpAddr> {
        let most = if seen.sources.is_some() { 1 } else { 2 };
        let kept = |v4: bool| self.in_use.iter().copied().find(|ip| ip.is_ipv4() == v4 && seen.has(*ip));
        let of = |fitness| {
            let found =
                [true, false].into_iter().filter_map(|v4| kept(v4).or_else(|| seen.find(v4, fitness)));
            found.take(most).collect::<Vec<_>>()
        };
        let lasting = of(Fitness::Lasting);
        if lasting.is_empty() { of(Fitness::Passing) } else { lasting }
    }
}

/// What the host has.
struct Seen {
    /// Addresses of the interface, or of all links.
    all: Vec<LinkAddress>,
    /// Those that the default routes begin with; `None` where an interface is configured.
    sources: Option<Vec<IpAddr>>,
}

impl Seen {
    fn look(config: &Config) -> Result<Self> {
        let links = Links::open()?;
        let mut all = links.addresses()?;
        let Some(name) = &config.underlay.interface else {
            let sources = ANYWHERE.into_iter().filter_map(|ip| source_address_to(ip).ok());
            return Ok(Self { all, sources: Some(sources.collect()) });
        };
        let link = links.by_name(name)?.ok_or_else(|| {
            anyhow!("[underlay] interface = \"{name}\" does not exist; ip link shows what there is")
        })?;
        all.retain(|address| address.link == link.index);
        Ok(Self { all, sources: None })
    }

    fn has(&self, ip: IpAddr) -> bool {
        self.all.iter().any(|address| address.ip == ip)
    }

    /// Whether the interface is about to have an address of this family.
    fn comes(&self, v4: bool) -> bool {
        let tentative = |a: &LinkAddress| a.ip.is_ipv4() == v4 && a.fitness == Fitness::Tentative;
        self.sources.is_none() && self.all.iter().any(tentative)
    }

    /// The first address of a family that is so fit: of the interface, or of the link of the default route, whose own source
    /// address goes first.
    fn find(&self, v4: bool, fitness: Fitness) -> Option<IpAddr> {
        let mut fit = self.all.iter().filter(|a| a.ip.is_ipv4() == v4 && a.fitness == fitness);
        let Some(sources) = &self.sources else { return fit.next().map(|a| a.ip) };
        let source = sources.iter().find(|ip| ip.is_ipv4() == v4)?;
        let link = self.all.iter().find(|a| a.ip == *source)?.link;
        let beside = |a: &&LinkAddress| a.link == link;
        fit.clone().find(|a| a.ip == *source).or_else(|| fit.find(beside)).map(|a| a.ip)
    }

    /// Why there is no address to use.
    fn nothing(&self, interface: Option<&str>) -> String {
        match interface {
            Some(name) if self.all.is_empty() => format!(
                "[underlay] interface = \"{name}\" has no address; give it one, or set [underlay] address"
            ),
            Some(name) => format!(
                "the address of [underlay] interface = \"{name}\" cannot be used yet: the kernel asks whether another \
                 host has it; try again in some seconds"
            ),
            None => {
                "no default route tells the underlay address; set [underlay] address to this host's address"
                    .to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests;
