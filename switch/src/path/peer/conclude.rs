//! What is concluded of all that is known, for the data path and for whoever asks.

use std::time::{Duration, Instant};

use encap::Mtu;
use encap::relay::RELAY_OPTION_LEN;
use encap::tunnel::Overhead;

use super::super::health::{Health, Signs};
use super::super::view::{RoundTripView, View};
use super::super::{Path, Share, Sources};
use super::{Peer, Tempo};

/// Who is heard for so long while nothing gets there will not be reached in a moment.
const HEARS: Duration = Duration::from_millis(500);

impl Peer {
    /// What the data path is to know, if that changed since the last time.
    pub(in crate::path) fn settle(&mut self, tempo: &Tempo<'_>, now: Instant) -> Option<Path> {
        let path = if tempo.config.probing { self.conclude(tempo, now) } else { self.assumed() };
        if self.told.as_ref() == Some(&path) {
            return None;
        }
        let kind = |path: &Path| std::mem::discriminant(&path.health);
        if self.told.as_ref().is_some_and(|told| kind(told) != kind(&path)) {
            self.since = now;
        }
        self.told = Some(path.clone());
        Some(path)
    }

    fn conclude(&mut self, tempo: &Tempo<'_>, now: Instant) -> Path {
        let (mtu, via, dead) = (self.mtu(), self.relaying.via(), self.life.is_dead());
        let one_way = dead && self.hears(tempo, now);
        let (room, option_octets) = via.map_or((mtu, 0), |via| (via.mtu, RELAY_OPTION_LEN));
        let inner = Overhead { outer: self.outer(), option_octets, vlan: false }.inner_mtu(room);
        let dead_sources = self.sources.dead();
        self.causes.update(
            &Signs {
                small_mtu: mtu < self.link(),
                below_ipv6_minimum: inner.is_none_or(|inner| inner < Mtu::IPV6_MIN),
                one_way,
                relayed: via.is_some(),
                other_format: self.way.format != self.target.format,
                other_family: self.way.family != self.target.site.family(),
                unanswered: dead,
                dead_source_port: !dead_sources.is_empty(),
                loss: self.loss(),
            },
            now,
        );
        let health = self.causes.health(dead && via.is_none() && !one_way);
        Path { mtu, health, via, way: self.way, dead: dead_sources }
    }

    /// Whether the peer is heard, and goes on to be, although nothing gets there.
    fn hears(&mut self, tempo: &Tempo<'_>, now: Instant) -> bool {
        let (silent, heard) = (self.turns.silence(tempo, now), self.heard_at);
        self.hears_since.take_if(|_| heard.is_none_or(|heard| heard + silent <= now));
        self.hears_since.is_some_and(|since| heard >= Some(since + HEARS))
    }

    /// The worse of both directions.
    fn loss(&self) -> Share {
        let (there, back) = (self.numbers.there(), self.numbers.back());
        if there.percent() > back.percent() { there } else { back }
    }

    fn assumed(&self) -> Path {
        let mtu = self.target.site.link_mtu;
        Path { mtu, health: Health::Up, via: None, way: self.target.proper(), dead: Sources::default() }
    }

    pub(in crate::path) fn view(&self) -> View {
        let quantile = |percent| self.round_trip.quantile(percent).unwrap_or_default();
        let round_trip = self.round_trip.smoothed().map(|smoothed| RoundTripView {
            smoothed,
            p50: quantile(50),
            p99: quantile(99),
            samples: self.round_trip.samples(),
        });
        View {
            target: self.target,
            path: self.told.clone().unwrap_or_else(|| self.assumed()),
            since: self.since,
            found: self.search.found(),
            round_trip,
            lost_there: self.numbers.there(),
            lost_back: self.numbers.back(),
            overtaken: self.numbers.overtaken(),
            clock_ahead_ms: self.clock_ahead_ms,
            probes_sent: self.probes.0,
            probes_answered: self.probes.1,
            probes_lost: self.probes_lost,
            heard_at: self.heard_at,
            sources: self.sources.views(),
            examination: self.examination.clone(),
        }
    }
}
