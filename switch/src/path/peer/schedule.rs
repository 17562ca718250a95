//! What is probed when.

use std::time::{Duration, Instant};

use encap::Format;
use encap::tunnel::IpVersion;
use rand_core::Rng;

use super::super::budget::Stretch;
use super::super::examination::Examination;
use super::super::message::{Pace, small_packet};
use super::super::search::Wanted;
use super::super::{Config, Site, Target, Way};
use super::{Peer, SENT_MAX, Sent, Sort};

/// Between two small probes. Every third one of an active peer may be a full-size one instead: together with replies that
/// are 3.8 kB/s over IPv6, and idle peers cost 190 octets a second.
const SMALL_EVERY: Duration = Duration::from_millis(210);
const SMALL_EVERY_IDLE: Duration = Duration::from_millis(2_900);
/// While it is to be found out if the path is dead.
const SMALL_EVERY_IN_DOUBT: Duration = Duration::from_millis(100);
/// While it is to be found out if one of the source ports is.
const SMALL_EVERY_SUSPICIOUS: Duration = Duration::from_millis(50);

/// What is left then for finding out what sizes pass: where much is lost by chance, source ports are suspicious all the time.
const SUSPICIOUS_RESERVE: f64 = 8_000.0;

/// Between two full-size probes, and the octets a second that they may take.
const FULL_EVERY: Duration = Duration::from_millis(620);
const FULL_EVERY_IDLE: Duration = Duration::from_secs(60);
const FULL_RATE: u32 = 2_400;
const FULL_RATE_IDLE: u32 = 25;

/// Where larger sizes are tried now and then, and while one is being tried, full-size probes leave more to that.
const FULL_RARER: u32 = 3;
const FULL_RAREST: u32 = 16;

/// Between two tries of a larger size without traffic.
const RAISE_EVERY_IDLE: Duration = Duration::from_secs(60);

/// Between two probes of one trial at least, and as a part of the time after which one is lost.
const TRIAL_PAUSE: Duration = Duration::from_millis(50);

/// No interval is stretched more, whatever a peer wants.
const STRETCH_MAX: f64 = 1_000.0;

/// So long after the last frame a peer is without traffic.
const ACTIVE: Duration = Duration::from_secs(10);

/// How fast things go.
#[derive(Clone, Copy, Debug)]
pub(in crate::path) struct Tempo<'a> {
    pub(in crate::path) config: &'a Config,
    pub(in crate::path) stretch: Stretch,
}

/// A probe that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::path) enum Want {
    Small,
    Full,
    Trial(Wanted),
    Cell(usize),
}

/// When which probe is due, and whose turn it is.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    small_at: Instant,
    full_at: Instant,
    /// The node has nothing to spend before.
    held_until: Instant,
    active_until: Option<Instant>,
    /// How rarely the peer wants to be probed.
    pub(super) pace: Pace,
}

impl Turns {
    pub(super) const fn new(now: Instant) -> Self {
        Self { small_at: now, full_at: now, held_until: now, active_until: None, pace: Pace(0) }
    }

    pub(super) fn soon(&mut self, now: Instant) {
        self.small_soon(now);
        self.full_soon(now);
    }

    pub(super) fn small_soon(&mut self, now: Instant) {
        self.small_at = self.small_at.min(now);
    }

    pub(super) fn full_soon(&mut self, now: Instant) {
        self.full_at = self.full_at.min(now);
    }

    pub(super) fn traffic(&mut self, now: Instant) -> bool {
        let news = !self.is_active(now);
        self.active_until = Some(now + ACTIVE);
        news
    }

    pub(super) fn is_active(&self, now: Instant) -> bool {
        self.active_until.is_some_and(|until| now < until)
    }

    /// For how long a peer that probes as often as this node does may be silent.
    pub(super) fn silence(&self, tempo: &Tempo<'_>, now: Instant) -> Duration {
        self.small_every(tempo, now).max(SMALL_EVERY_IDLE) * 2
    }

    fn small_every(&self, tempo: &Tempo<'_>, now: Instant) -> Duration {
        self.by_traffic((SMALL_EVERY, SMALL_EVERY_IDLE), tempo, now)
    }

    fn full_every(&self, size: u16, tempo: &Tempo<'_>, now: Instant) -> Duration {
        let at = |rate: u32| Duration::from_secs(size.into()) / rate;
        let (active, idle) = (FULL_EVERY.max(at(FULL_RATE)), FULL_EVERY_IDLE.max(at(FULL_RATE_IDLE)));
        self.by_traffic((active, idle), tempo, now)
    }

    fn raise_every(&self, link: u16, tempo: &Tempo<'_>, now: Instant) -> Duration {
        let active = tempo.config.raise_every;
        let idle = RAISE_EVERY_IDLE.max(active).max(Duration::from_secs(link.into()) / FULL_RATE_IDLE);
        self.by_traffic((active, idle), tempo, now)
    }

    fn by_traffic(&self, (active, idle): (Duration, Duration), tempo: &Tempo<'_>, now: Instant) -> Duration {
        let (time, stretch) =
            if self.is_active(now) { (active, tempo.stretch.active) } else { (idle, tempo.stretch.idle) };
        time.mul_f64(stretch.max(self.pace.stretch()).min(STRETCH_MAX))
    }
}

impl Peer {
    /// What is to be probed now, and the octets that it costs.
    pub(in crate::path) fn want(&mut self, tempo: &Tempo<'_>, now: Instant) -> Option<(Want, usize)> {
        if self.turns.held_until > now {
            return None;
        }
        let small = usize::from(small_packet(self.widest(), Format::Geneve));
        if let Some(place) = self.examination.as_mut().and_then(|examination| examination.poll(now)) {
            let octets = self.examination.as_ref().map_or(0, |examination| examination.cells[place].octets);
            return Some((Want::Cell(place), octets.into()));
        }
        if !tempo.config.probing {
            return None;
        }
        if self.turns.small_at <= now {
            let full = usize::from(self.search.current());
            let due = self.turns.full_at <= now && self.life.is_well() && self.search.is_watching();
            return Some(if due && self.bucket.has(full, 0.0, now) {
                (Want::Full, full)
            } else {
                (Want::Small, small)
            });
        }
        if !self.life.is_well() {
            return None;
        }
        let every = self.turns.raise_every(self.search.link(), tempo, now);
        let wanted = self.search.poll(every, self.turns.is_active(now), now)?;
        let cost = usize::from(wanted.size) + if wanted.alone { 0 } else { small };
        if self.bucket.has(cost, 0.0, now) {
            return Some((Want::Trial(wanted), cost));
        }
        self.search.postpone(wanted.trial, self.bucket.ready_at(cost, 0.0, now));
        None
    }

    /// The node has nothing to spend for it before.
    pub(in crate::path) fn hold(&mut self, until: Instant, rng: &mut impl Rng) {
        // Chance decides who of those that wait is first.
        self.turns.held_until = until + Duration::from_micros(u64::from(rng.next_u32() % 50_000));
    }

    /// What was wanted is paid for: returns the probes to send, a small one before the large one that it goes beside.
    pub(in crate::path) fn commit(
        &mut self,
        want: Want,
        tempo: &Tempo<'_>,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Vec<Sent> {
        let (used, small) = (self.way, |way: Way| small_packet(way.family, way.format));
        match want {
            Want::Small => {
                let (source, is_special) = self.sources.next_small(self.life.losses());
                let way = if is_special { used } else { self.life.next_way() };
                let size = small(way);
                self.next_turn(tempo, now, rng);
                vec![self.remember(Sort::Small(None), way, source, size, now)]
            }
            Want::Full => {
                let (source, size) = (self.sources.next_full(), self.search.current());
                let twice = match (self.search.is_climbing(), size < self.search.link()) {
                    (true, _) => FULL_RAREST,
                    (false, true) => FULL_RARER,
                    (false, false) => 2,
                };
                self.turns.full_at = now + self.turns.full_every(size, tempo, now) * twice / 2;
                self.next_turn(tempo, now, rng);
                vec![self.remember(Sort::Full, used, source, size, now)]
            }
            Want::Trial(Wanted { trial, size, source, alone }) => {
                let beside = small(used);
                let pause = (self.round_trip.lost_after() / 2).max(TRIAL_PAUSE);
                let pause = pause.mul_f64(self.turns.pace.stretch().min(STRETCH_MAX));
                self.search.sent(trial, pause, now);
                let large = self.ids.wrapping_add(2);
                let small =
                    (!alone).then(|| self.remember(Sort::Small(Some(large)), used, source, beside, now));
                let large = self.remember(Sort::Trial(trial), used, source, size, now);
                small.into_iter().chain([large]).collect()
            }
            Want::Cell(place) => {
                let Some(examination) = self.examination.as_mut() else { return Vec::new() };
                examination.sent(place, now);
                let cell = examination.cells[place];
                let way = Way { family: examination.family, format: cell.format };
                let source = self.sources.next_full();
                vec![self.remember(Sort::Cell(place), way, source, cell.octets, now)]
            }
        }
    }

    fn next_turn(&mut self, tempo: &Tempo<'_>, now: Instant, rng: &mut impl Rng) {
        let every = self.turns.small_every(tempo, now);
        let small = usize::from(small_packet(self.outer(), Format::Geneve));
        let suspicious = self.is_suspicious() && self.bucket.has(small, SUSPICIOUS_RESERVE, now);
        let stretch = self.turns.pace.stretch().min(STRETCH_MAX);
        self.turns.small_at = now
            + if suspicious {
                every.min(SMALL_EVERY_SUSPICIOUS.mul_f64(stretch))
            } else if self.life.is_in_doubt() {
                every.min(SMALL_EVERY_IN_DOUBT.mul_f64(stretch))
            } else if self.turns.is_active(now) {
                every
            } else {
                Self::jitter(every, rng)
            };
    }

    fn remember(&mut self, sort: Sort, way: Way, source: u16, size: u16, now: Instant) -> Sent {
        self.ids = self.ids.wrapping_add(1);
        let (id, lost_at) = (self.ids, now + self.round_trip_of(way.family).lost_after());
        let sent = Sent { id, sort, way, source, size, at: now, lost_at, lost: false, beside: false };
        if self.sent.len() >= SENT_MAX {
            self.probes_lost += u64::from(self.sent.remove(0).should_pass());
        }
        self.sent.push(sent);
        self.probes.0 += 1;
        self.sources.sent(source, sort == Sort::Full, now);
        self.bucket.charge(size.into(), now);
        sent
    }

    /// The IP version that small probes cost most with.
    fn widest(&self) -> IpVersion {
        let Target { site, spare, .. } = &self.target;
        spare.iter().map(Site::family).fold(site.family(), IpVersion::max)
    }

    /// When something may be sent next.
    pub(super) fn send_at(&self, tempo: &Tempo<'_>, now: Instant) -> Instant {
        let trial = if self.life.is_well() {
            self.search.poll_timeout(self.turns.raise_every(self.search.link(), tempo, now))
        } else {
            None
        };
        let cell = self.examination.as_ref().and_then(Examination::poll_timeout);
        let soonest = [trial, cell].into_iter().flatten().fold(self.turns.small_at, Instant::min);
        soonest.max(self.turns.held_until)
    }
}
