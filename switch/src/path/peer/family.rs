//! The IP version of the underlay that frames take: each has a path of its own, with its own MTU, round trip and loss.

use std::mem::swap;
use std::time::Instant;

use encap::tunnel::IpVersion;

use super::super::odds::Odds;
use super::super::round_trip::RoundTrip;
use super::super::search::{Bounds, Search};
use super::super::{Config, Site, Target};
use super::{Peer, Sort, least_mtu};

/// What is known of the IP version that is not used, if there is one.
#[derive(Clone, Debug)]
pub(super) struct Aside {
    search: Search,
    round_trip: RoundTrip,
    odds: Odds,
}

impl Aside {
    pub(super) fn new(target: &Target, config: &Config, now: Instant) -> Self {
        let site = target.spare.unwrap_or(target.site);
        Self {
            search: Search::new(bounds(&site, config), config.source_ports, now),
            round_trip: RoundTrip::new(),
            odds: Odds::new(),
        }
    }
}

impl Peer {
    /// Frames take the way that works from now on, if that is another than before.
    pub(super) fn follow(&mut self, now: Instant) {
        let way = self.life.way();
        if way == self.way {
            return;
        }
        let before = std::mem::replace(&mut self.way, way);
        self.numbers.forget_shares(now);
        self.sources.forget_losses();
        if before.family != way.family {
            self.change_family(now);
        }
    }

    /// What was found of this path holds, but what made the other one smaller may lie on both.
    fn change_family(&mut self, now: Instant) {
        let limit = (self.search.current() < self.search.link()).then(|| self.search.current());
        swap(&mut self.search, &mut self.aside.search);
        swap(&mut self.round_trip, &mut self.aside.round_trip);
        swap(&mut self.odds, &mut self.aside.odds);
        self.search.resume(limit, now);
        // Full-size probes that are on their way are none of this path.
        self.sent.retain(|sent| matches!(sent.sort, Sort::Small(_) | Sort::Cell(_)));
        self.small_passed = None;
        self.hinted_at = None;
        self.sources.forget_sizes();
        self.turns.soon(now);
    }

    pub(super) fn round_trip_of(&mut self, family: IpVersion) -> &mut RoundTrip {
        if family == self.way.family { &mut self.round_trip } else { &mut self.aside.round_trip }
    }

    pub(super) fn set_bounds(&mut self, config: &Config, now: Instant) {
        for site in [Some(self.target.site), self.target.spare].into_iter().flatten() {
            let used = site.family() == self.way.family;
            let search = if used { &mut self.search } else { &mut self.aside.search };
            search.set_bounds(bounds(&site, config), now);
        }
    }

    pub(super) const fn set_sources(&mut self, sources: u16) {
        self.search.set_sources(sources);
        self.aside.search.set_sources(sources);
    }
}

/// Between what every path takes and what the link does.
pub(super) fn bounds(site: &Site, config: &Config) -> Bounds {
    Bounds::new(least_mtu(site.family()), config.min.get(), site.link_mtu.get())
}
