//! One target: what was sent to it and has no answer yet, what comes next, and what is concluded.

mod conclude;
mod family;
mod schedule;

use std::time::{Duration, Instant};

use encap::Mtu;
use encap::tunnel::IpVersion;
use rand_core::Rng;

use self::family::{Aside, bounds};
pub(super) use self::schedule::{Tempo, Want};
use super::budget::{
    Bucket, LETTER_BURST, LETTER_RATE, OPENED_RATE, PEER_BURST, PEER_RATE, REPLY_BURST, REPLY_RATE, Stretch,
};
use super::examination::{Examination, Size};
use super::health::Causes;
use super::life::Life;
use super::message::{self, Counts, Pace, Reply};
use super::numbers::Numbers;
use super::odds::{Odds, Sure};
use super::relay::Relaying;
use super::round_trip::RoundTrip;
use super::search::Search;
use super::sources::SourcePorts;
use super::{Config, Path, Target, Way};

/// Probes that are remembered; the oldest is forgotten first.
const SENT_MAX: usize = 64;
/// A reply that comes later is of no use.
const SENT_KEPT: Duration = Duration::from_secs(3);

/// A full-size probe is suspicious when a small one of so long before was answered.
const BESIDE: Duration = Duration::from_millis(300);

/// Who probes more often than so many times a second does it because of traffic.
const COSTLY: u32 = 2;

/// ICMP errors about one peer are heard so often.
const HINT_EVERY: Duration = Duration::from_secs(1);

/// The least MTU of a path: what claims less is forged, or broken (RFC 791, RFC 8200 section 5).
pub(super) const fn least_mtu(outer: IpVersion) -> u16 {
    match outer {
        IpVersion::V4 => 576,
        IpVersion::V6 => 1280,
    }
}

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// The path's life. With an id: it is sent beside this large one.
    Small(Option<u32>),
    /// The size in effect.
    Full,
    /// A trial of the search.
    Trial(u32),
    /// A cell of an examination.
    Cell(usize),
}

/// A probe that has no answer yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) id: u32,
    pub(super) sort: Sort,
    pub(super) way: Way,
    pub(super) source: u16,
    pub(super) size: u16,
    at: Instant,
    lost_at: Instant,
    /// Whether it was counted as lost.
    lost: bool,
    /// Whether the small one beside it was answered.
    beside: bool,
}

impl Sent {
    /// Whether its size is one that passes if nothing is wrong.
    const fn should_pass(&self) -> bool {
        matches!(self.sort, Sort::Small(_) | Sort::Full)
    }
}

/// One target.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) target: Target,
    pub(super) relaying: Relaying,
    /// When it is looked at next.
    pub(super) wake: Instant,
    /// The way in use, which the next four are about.
    way: Way,
    numbers: Numbers,
    round_trip: RoundTrip,
    odds: Odds,
    search: Search,
    aside: Aside,
    life: Life,
    causes: Causes,
    opened: Bucket,
    replies: Bucket,
    letters: Bucket,
    bucket: Bucket,
    sources: SourcePorts,
    sent: Vec<Sent>,
    ids: u32,
    turns: schedule::Turns,
    /// When the latest small probe that was answered had been sent.
    small_passed: Option<Instant>,
    heard_at: Option<Instant>,
    /// Its way in use.
    heard_by: Option<Way>,
    /// Since when it is heard although the path is dead.
    hears_since: Option<Instant>,
    hinted_at: Option<Instant>,
    clock_ahead_ms: Option<i64>,
    probes: (u64, u64),
    probes_lost: u64,
    /// Probes of it in this second and in the last one.
    probed: (u32, u32),
    told: Option<Path>,
    since: Instant,
    examination: Option<Examination>,
}

impl Peer {
    pub(super) fn new(target: Target, config: &Config, now: Instant) -> Self {
        let (way, sources) = (target.proper(), config.source_ports);
        Self {
            target,
            relaying: Relaying::default(),
            wake: now,
            way,
            numbers: Numbers::new(now),
            round_trip: RoundTrip::new(),
            odds: Odds::new(),
            search: Search::new(bounds(&target.site, config), sources, now),
            aside: Aside::new(&target, config, now),
            life: Life::new(target.ways(), now),
            causes: Causes::default(),
            opened: Bucket::new(OPENED_RATE, OPENED_RATE, now),
            replies: Bucket::new(REPLY_RATE, REPLY_BURST, now),
            letters: Bucket::new(LETTER_RATE, LETTER_BURST, now),
            bucket: Bucket::new(PEER_RATE, PEER_BURST, now),
            sources: SourcePorts::new(sources),
            sent: Vec::new(),
            ids: 0,
            turns: schedule::Turns::new(now),
            small_passed: None,
            heard_at: None,
            heard_by: None,
            hears_since: None,
            hinted_at: None,
            clock_ahead_ms: None,
            probes: (0, 0),
            probes_lost: 0,
            probed: (0, 0),
            told: None,
            since: now,
            examination: None,
        }
    }

    /// The same, probed from a moment on.
    pub(super) fn first_at(mut self, at: Instant) -> Self {
        self.turns = schedule::Turns::new(at);
        self
    }

    // ---- what changes ----

    /// The target is described anew. What a new run of it does not share with the last one is forgotten.
    pub(super) fn set_target(&mut self, target: Target, config: &Config, now: Instant) {
        if target == self.target {
            return;
        }
        let old = std::mem::replace(&mut self.target, target);
        let moved = |family| {
            let vteps = |target: &Target| target.site_of(family).map(|site| (site.vxlan, site.geneve));
            vteps(&old).is_some() && vteps(&target).is_some() && vteps(&old) != vteps(&target)
        };
        if moved(self.way.family) {
            return self.begin_anew(config, now);
        }
        let format = if old.format == target.format { self.way.format } else { target.format };
        self.life.set_ways(target.ways(), |way| !moved(way.family), Way { format, ..self.way });
        if old.boot != target.boot {
            (self.numbers, self.life) = (Numbers::new(now), Life::new(target.ways(), now));
            self.relaying.close();
            self.sent.clear();
            self.turns.soon(now);
        }
        if (old.boot, old.format) != (target.boot, target.format) {
            self.sources.forget_losses();
        }
        self.follow(now);
        self.set_bounds(config, now);
        self.turns.full_soon(now);
    }

    /// Nothing is known of it any more.
    pub(super) fn begin_anew(&mut self, config: &Config, now: Instant) {
        let (told, since, wake) = (self.told.take(), self.since, self.wake);
        *self = Self { told, since, wake, ..Self::new(self.target, config, now) };
    }

    pub(super) fn set_config(&mut self, config: &Config, now: Instant) {
        self.set_bounds(config, now);
        self.set_sources(config.source_ports);
        self.sources.resize(config.source_ports);
        if !config.relay {
            self.relaying.close();
        }
    }

    /// Frames go there. Says whether none did for a while.
    pub(super) fn traffic(&mut self, now: Instant) -> bool {
        let news = self.turns.traffic(now);
        if news {
            self.turns.soon(now);
            self.relaying.hurry(now);
        }
        news
    }

    pub(super) fn is_active(&self, now: Instant) -> bool {
        self.turns.is_active(now)
    }

    /// An ICMP error says what the path of this IP version takes.
    pub(super) fn hint(&mut self, family: IpVersion, mtu: u16, now: Instant) {
        if family != self.way.family {
            return;
        }
        let least = least_mtu(family);
        let again = self.hinted_at.is_none_or(|at| now.saturating_duration_since(at) >= HINT_EVERY);
        if mtu >= least && mtu < self.search.current() && again {
            self.hinted_at = Some(now);
            self.search.hint(mtu, now);
        }
    }

    /// The own kernel did not send a packet of this size.
    pub(super) fn refused(&mut self, family: IpVersion, size: u16, now: Instant) {
        if family == self.way.family {
            self.search.refused(size, now);
        }
    }

    pub(super) fn examine(&mut self, min: Mtu, now: Instant) {
        let (outer, link) = (self.outer(), self.link());
        let octets = |format, size| match size {
            Size::Small => message::small_packet(outer, format),
            Size::Min => min.min(link).get(),
            Size::Link => link.get(),
        };
        if self.examination.as_ref().is_none_or(|examination| examination.finished) {
            self.examination = Some(Examination::new(outer, octets, now));
        }
    }

    // ---- what arrives ----

    /// A genuine message of it arrived that way, with these numbers.
    pub(super) fn heard(&mut self, counts: Counts, numbered: bool, way: Way, now: Instant) {
        self.heard_at = Some(now);
        if numbered && self.heard_by.replace(way).is_some_and(|before| before != way) {
            // It changed its way: what it lost on the former one is no loss on this.
            self.numbers.forget_shares(now);
        }
        if self.life.is_dead() {
            self.hears_since.get_or_insert(now);
        }
        if let Some((sent, way)) = self.numbers.heard(counts, numbered, now) {
            self.proved(way, sent, now);
        }
    }

    /// It probed this node, and says how rarely it is to be probed.
    pub(super) fn probed(&mut self, pace: Pace) {
        self.turns.pace = pace;
        self.probed.0 = self.probed.0.saturating_add(1);
    }

    /// A second passed.
    pub(super) fn count_probes(&mut self) {
        self.probed = (0, self.probed.0);
    }

    /// Whether it costs as much as a peer with traffic: it may be one there and not here.
    pub(super) fn is_costly(&self, now: Instant) -> bool {
        self.is_active(now) || self.probed.1 >= COSTLY
    }

    /// How rarely this node is to be probed by it.
    pub(super) fn own_pace(&self, stretch: &Stretch, now: Instant) -> Pace {
        Pace::new(if self.is_costly(now) { stretch.active } else { stretch.idle })
    }

    /// Whether a datagram in its name may cost a decryption.
    pub(super) fn may_be_opened(&mut self, now: Instant) -> bool {
        self.opened.take(1, 0.0, now)
    }

    /// Whether one more answer may be sent to it.
    pub(super) fn may_answer(&mut self, now: Instant) -> bool {
        self.replies.take(1, 0.0, now)
    }

    /// Whether one more letter of it is taken.
    pub(super) fn may_write(&mut self, now: Instant) -> bool {
        self.letters.take(1, 0.0, now)
    }

    /// A probe arrived there. Says whether it was one that is remembered.
    pub(super) fn replied(&mut self, reply: &Reply, arrived: Instant, now: super::Moment) -> bool {
        let known = self.sent.iter().position(|sent| (sent.id, sent.size) == (reply.id, reply.size));
        let Some(sent) = known.map(|place| self.sent.remove(place)) else { return false };
        let time = arrived.saturating_duration_since(sent.at);
        let time = time.checked_sub(reply.delay).unwrap_or(time);
        self.turns.pace = reply.pace;
        self.probes.1 += 1;
        let is_doubtful = self.sources.is_doubtful(sent.source);
        self.sources.answered(sent.source, sent.size, sent.at, now.at);
        match sent.sort {
            Sort::Small(beside) => {
                self.round_trip_of(sent.way.family).sample(time);
                self.compare_clocks(reply.wall_ms, time, now.unix_ms);
                if sent.way == self.way && !is_doubtful {
                    self.odds.small(true);
                }
                if sent.way.family == self.way.family {
                    self.small_passed = self.small_passed.max(Some(sent.at));
                }
                if let Some(large) = self.sent.iter_mut().find(|large| Some(large.id) == beside) {
                    large.beside = true;
                }
            }
            Sort::Full => {
                self.odds.large(true);
                self.search.watch_passed(sent.size, sent.source);
            }
            Sort::Trial(trial) => {
                if sent.size == self.search.current() {
                    self.odds.large(true);
                }
                self.search.passed(trial, now.at);
            }
            Sort::Cell(place) => {
                if let Some(examination) = self.examination.as_mut() {
                    examination.answered(place);
                }
            }
        }
        self.proved(sent.way, sent.at, now.at);
        true
    }

    /// Something that was sent then got there.
    fn proved(&mut self, way: Way, sent: Instant, now: Instant) {
        let first = !self.life.has_answered();
        let revived = self.life.answered(way, sent, now);
        self.follow(now);
        if revived {
            self.numbers.begin_anew(now);
        }
        if first || revived {
            self.turns.soon(now);
        }
        if !self.life.is_dead() {
            self.hears_since = None;
            self.relaying.direct_works(now);
        }
    }

    #[allow(clippy::cast_possible_wrap)] // milliseconds since 1970
    fn compare_clocks(&mut self, theirs_ms: u64, time: Duration, ours_ms: u64) {
        // The reply was on its way for about half of the round trip.
        let half = i64::try_from(time.as_millis() / 2).unwrap_or(0);
        let usual = self.round_trip.smoothed().is_none_or(|smoothed| time <= smoothed * 2);
        if usual || self.clock_ahead_ms.is_none() {
            self.clock_ahead_ms = Some((theirs_ms as i64).wrapping_add(half).wrapping_sub(ours_ms as i64));
        }
    }

    // ---- time ----

    /// Counts as lost what has no answer in time.
    pub(super) fn expire(&mut self, config: &Config, now: Instant) {
        // One by one: when the first of them leads to another way, those of the former one are forgotten.
        while let Some(sent) = self.sent.iter_mut().find(|sent| !sent.lost && sent.lost_at <= now) {
            sent.lost = true;
            let sent = *sent;
            self.lost(&sent, now);
        }
        let is_late = |sent: &mut Sent| now.saturating_duration_since(sent.at) >= SENT_KEPT;
        let forgotten: Vec<_> = self.sent.extract_if(.., is_late).collect();
        self.probes_lost += forgotten.iter().filter(|sent| sent.should_pass()).count() as u64;
        if self.life.is_dead() {
            self.sources.forget_losses();
        }
        if self.life.is_dead() && config.relay {
            self.relaying.direct_died(now);
        } else {
            self.relaying.tick(now);
        }
    }

    fn lost(&mut self, sent: &Sent, now: Instant) {
        self.sources.lost(sent.source);
        match sent.sort {
            // That is known, and says nothing of the others.
            Sort::Small(_) if self.sources.dead().contains(sent.source) => {}
            Sort::Small(_) => {
                if sent.way == self.way && !self.life.is_dead() {
                    self.lost_small(sent, now);
                }
                let patience = self.round_trip_of(sent.way.family).smoothed().unwrap_or_default() * 3;
                self.life.lost_one(sent.way, sent.at, patience, now);
                self.follow(now);
                if self.life.is_in_doubt() {
                    self.turns.small_soon(now);
                }
            }
            Sort::Full => {
                if self.is_suspicious() {
                    self.turns.small_soon(now);
                }
                self.odds.large(false);
                let counts = self.small_passed.is_some_and(|passed| passed + BESIDE >= sent.at);
                self.search.watch_lost(sent.size, sent.source, counts, now);
            }
            Sort::Trial(trial) => {
                if sent.size == self.search.current() {
                    self.odds.large(false);
                }
                if self.search.lost(trial, sent.beside, &self.odds, now) {
                    self.odds.explained();
                    self.sources.forget_sizes();
                }
            }
            Sort::Cell(_) => {}
        }
    }

    /// A small one of the used format: is it chance, or the source port?
    fn lost_small(&mut self, sent: &Sent, now: Instant) {
        // Of one source port that is dead, chance is the same as before.
        if !self.sources.is_doubtful(sent.source) {
            self.odds.small(false);
        }
        let (proved, losses) = (self.life.proved(), self.odds.losses(Sure::Rather));
        if self.sources.lost_small(sent.source, sent.at, proved, losses) {
            self.numbers.begin_anew(now);
        }
        if self.is_suspicious() {
            self.turns.small_soon(now);
        }
    }

    /// Whether one of the source ports may be dead, and not all.
    fn is_suspicious(&self) -> bool {
        self.life.gets_there() && self.sources.has_suspicious()
    }

    // ---- what there is ----

    /// By which source port an answer goes to one by which a probe came.
    pub(super) fn answer_by(&self, source: u16) -> u16 {
        self.sources.alive(source)
    }

    /// By which of so many source ports a flow with this hash goes there.
    pub(super) fn source_of(&self, flow: u32, count: u16) -> u16 {
        self.sources.dead().spread(flow, count)
    }

    /// Whether nothing gets there by a source port.
    pub(super) fn is_dead_source(&self, source: u16) -> bool {
        self.sources.dead().contains(source)
    }

    /// Whether its direct path works both ways, as far as is known by now.
    pub(super) fn is_up(&self) -> bool {
        !self.life.is_dead() && self.life.has_answered()
    }

    pub(super) const fn is_dead(&self) -> bool {
        self.life.is_dead()
    }

    /// The way that frames take.
    pub(super) const fn way(&self) -> Way {
        self.way
    }

    pub(super) const fn round_trip(&self) -> Option<Duration> {
        self.round_trip.smoothed()
    }

    pub(super) fn mtu(&self) -> Mtu {
        Mtu::new(self.search.current().into()).unwrap_or(self.link())
    }

    /// The MTU of the link that leads there.
    pub(super) fn link(&self) -> Mtu {
        self.target.site_of(self.way.family).unwrap_or(self.target.site).link_mtu
    }

    pub(super) const fn outer(&self) -> IpVersion {
        self.way.family
    }

    /// The numbers of the next message to it.
    pub(super) fn count(&mut self, numbered: bool, way: Way, now: Instant) -> Counts {
        self.numbers.next(numbered, way, now)
    }

    /// What an answer to it costs comes out of its share.
    pub(super) fn charge(&mut self, cost: usize, now: Instant) {
        self.bucket.charge(cost, now);
    }

    /// When something is due next.
    pub(super) fn poll_timeout(&self, tempo: &Tempo<'_>, now: Instant) -> Option<Instant> {
        if !tempo.config.probing {
            return self.examination.as_ref().and_then(Examination::poll_timeout);
        }
        let lost = self.sent.iter().filter(|sent| !sent.lost).map(|sent| sent.lost_at).min();
        let others = [self.causes.poll_timeout(now), self.relaying.poll_timeout(), lost];
        let send = self.send_at(tempo, now);
        Some(others.into_iter().flatten().fold(send, Instant::min))
    }

    /// Chance between nine and eleven tenths, so that nodes that began together do not go on together.
    fn jitter(time: Duration, rng: &mut impl Rng) -> Duration {
        time * (90 + rng.next_u32() % 21) / 100
    }
}
