//! How many datagrams are opened: what is more is dropped unread, so that a flood costs no cryptography.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Datagrams a second from one address that are opened; as many may come at once.
pub(super) const PER_SOURCE: u32 = 2_000;

/// Datagrams a second from all.
pub(super) const IN_ALL: u32 = 20_000;

/// Addresses that are counted one by one.
const MAX_SOURCES: usize = 4_096;

/// An address that was silent for this long is forgotten: its tokens are all there again.
const SILENT: Duration = Duration::from_secs(1);

/// Tokens that come back evenly: as many a second as there are at most.
#[derive(Clone, Copy, Debug)]
struct Tokens {
    left: u32,
    at: Instant,
}

impl Tokens {
    fn new(most: u32, now: Instant) -> Self {
        Self { left: most, at: now }
    }

    fn take(&mut self, most: u32, now: Instant) -> bool {
        let each = Duration::from_secs(1) / most;
        let back = now.saturating_duration_since(self.at).as_nanos() / each.as_nanos();
        let back = u32::try_from(back).unwrap_or(most).min(most);
        self.left = self.left.saturating_add(back).min(most);
        self.at = if self.left == most { now } else { self.at + each * back };
        let taken = self.left > 0;
        self.left -= u32::from(taken);
        taken
    }
}

#[derive(Debug)]
pub(super) struct Limits {
    all: Tokens,
    sources: BTreeMap<IpAddr, Tokens>,
}

impl Limits {
    pub(super) fn new(now: Instant) -> Self {
        Self { all: Tokens::new(IN_ALL, now), sources: BTreeMap::new() }
    }

    /// Whether a datagram from this address may be opened now.
    pub(super) fn take(&mut self, source: IpAddr, now: Instant) -> bool {
        if !self.sources.contains_key(&source) {
            if self.sources.len() >= MAX_SOURCES {
                self.sources.retain(|_, tokens| now.saturating_duration_since(tokens.at) < SILENT);
            }
            if self.sources.len() >= MAX_SOURCES {
                return false;
            }
        }
        let tokens = self.sources.entry(source).or_insert_with(|| Tokens::new(PER_SOURCE, now));
        tokens.take(PER_SOURCE, now) && self.all.take(IN_ALL, now)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[allow(clippy::disallowed_methods)] // some instant to begin with
    fn start() -> Instant {
        Instant::now()
    }

    fn source(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(n))
    }

    #[test]
    fn one_source_cannot_use_up_what_is_for_all() {
        let mut now = start();
        let mut limits = Limits::new(now);
        assert_eq!((0..10_000).filter(|_| limits.take(source(1), now)).count(), PER_SOURCE as usize);
        assert!(limits.take(source(2), now));

        now += Duration::from_millis(500);
        assert_eq!((0..10_000).filter(|_| limits.take(source(1), now)).count(), PER_SOURCE as usize / 2);
    }

    #[test]
    fn all_sources_together_are_limited_too() {
        let now = start();
        let mut limits = Limits::new(now);
        let taken = (0..IN_ALL * 2).filter(|n| limits.take(source(n % 1000), now)).count();
        assert_eq!(taken, IN_ALL as usize);
    }

    #[test]
    fn made_up_sources_do_not_fill_memory_and_silent_ones_make_room() {
        let mut now = start();
        let mut limits = Limits::new(now);
        (0..100_000).for_each(|n| {
            limits.take(source(n), now);
        });
        assert_eq!(limits.sources.len(), MAX_SOURCES);
        now += SILENT;
        assert!(limits.take(source(100_001), now));
    }
}
