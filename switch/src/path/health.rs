//! How a path is: up, degraded and why, or down.

use std::fmt;
use std::time::{Duration, Instant};

use super::numbers::Share;

/// Loss of so many percent degrades a path, and of less than that ends it.
const LOSS_PERCENT: f64 = 3.0;
const LOSS_ENDED_PERCENT: f64 = 1.5;
/// Of fewer messages nothing is concluded.
const LOSS_MESSAGES: u64 = 40;

/// What makes a path worse than it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// It takes less than the link.
    SmallMtu,
    /// Inside, it takes less than the 1,280 octets that IPv6 needs.
    BelowIpv6Minimum,
    /// Of what is sent there or back, 3 % or more are lost.
    Loss,
    /// What the peer sends arrives, what is sent to it does not.
    OneWay,
    /// Frames take the way over another node.
    Relayed,
    /// The UDP port of the configured format is dead; the other format is used.
    OtherFormat,
    /// The usual address does not answer on any port; the one of the other IP version is used.
    OtherFamily,
    /// The direct path does not answer, or did not until a moment ago.
    Unanswered,
    /// By some source ports nothing gets there; frames take the others.
    DeadSourcePort,
}

impl Cause {
    const COUNT: usize = 9;
    /// Every cause.
    pub const ALL: [Self; Self::COUNT] = [
        Self::SmallMtu,
        Self::BelowIpv6Minimum,
        Self::Loss,
        Self::OneWay,
        Self::Relayed,
        Self::OtherFormat,
        Self::OtherFamily,
        Self::Unanswered,
        Self::DeadSourcePort,
    ];

    /// Its name in messages, metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SmallMtu => "small_mtu",
            Self::BelowIpv6Minimum => "below_ipv6_minimum",
            Self::Loss => "loss",
            Self::OneWay => "one_way",
            Self::Relayed => "relayed",
            Self::OtherFormat => "other_format",
            Self::OtherFamily => "other_family",
            Self::Unanswered => "unanswered",
            Self::DeadSourcePort => "dead_source_port",
        }
    }

    /// How long it must have been gone before the path is called good again. What has a hysteresis of its own, and what
    /// says what is done now, ends at once.
    const fn lingers(self) -> Duration {
        match self {
            Self::SmallMtu
            | Self::BelowIpv6Minimum
            | Self::Relayed
            | Self::OtherFormat
            | Self::OtherFamily => Duration::ZERO,
            Self::Loss | Self::OneWay | Self::Unanswered | Self::DeadSourcePort => Duration::from_secs(5),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A cause, and since when it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// What.
    pub cause: Cause,
    /// Since when.
    pub since: Instant,
}

/// How a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Frames get there as they should.
    Up,
    /// Frames get there, or may; this is wrong. At least one cause.
    Degraded(Vec<Since>),
    /// Nothing gets there, and nobody relays.
    Down(Vec<Since>),
}

impl Health {
    /// What is wrong.
    #[must_use]
    pub fn causes(&self) -> &[Since] {
        match self {
            Self::Up => &[],
            Self::Degraded(causes) | Self::Down(causes) => causes,
        }
    }
}

/// What a health is made of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signs {
    pub(super) small_mtu: bool,
    pub(super) below_ipv6_minimum: bool,
    pub(super) one_way: bool,
    pub(super) relayed: bool,
    pub(super) other_format: bool,
    pub(super) other_family: bool,
    pub(super) unanswered: bool,
    pub(super) dead_source_port: bool,
    /// The worse of both directions.
    pub(super) loss: Share,
}

/// The causes of one path, and when each was there last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Causes {
    there: [Option<Seen>; Cause::COUNT],
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    since: Instant,
    last: Instant,
}

impl Causes {
    /// Takes what is seen now.
    pub(super) fn update(&mut self, signs: &Signs, now: Instant) {
        let loss = self.there[Cause::Loss as usize].is_some();
        for (cause, seen) in Cause::ALL.into_iter().zip(&mut self.there) {
            let is_there = match cause {
                Cause::SmallMtu => signs.small_mtu,
                Cause::BelowIpv6Minimum => signs.below_ipv6_minimum,
                Cause::Loss => is_lossy(signs.loss, loss),
                Cause::OneWay => signs.one_way,
                Cause::Relayed => signs.relayed,
                Cause::OtherFormat => signs.other_format,
                Cause::OtherFamily => signs.other_family,
                Cause::Unanswered => signs.unanswered,
                Cause::DeadSourcePort => signs.dead_source_port,
            };
            if is_there {
                seen.get_or_insert(Seen { since: now, last: now }).last = now;
            } else {
                seen.take_if(|seen| now.saturating_duration_since(seen.last) >= cause.lingers());
            }
        }
    }

    /// When the next of those that linger ends.
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let ends = Cause::ALL
            .iter()
            .zip(&self.there)
            .filter_map(|(cause, seen)| Some((*seen)?.last + cause.lingers()));
        ends.filter(|end| *end > now).min()
    }

    /// `down`: nothing gets there in any way.
    pub(super) fn health(&self, down: bool) -> Health {
        let since = |(cause, seen): (&Cause, &Option<Seen>)| {
            seen.map(|seen| Since { cause: *cause, since: seen.since })
        };
        let causes: Vec<Since> = Cause::ALL.iter().zip(&self.there).filter_map(since).collect();
        match causes.is_empty() {
            _ if down => Health::Down(causes),
            true => Health::Up,
            false => Health::Degraded(causes),
        }
    }
}

fn is_lossy(loss: Share, was: bool) -> bool {
    let least = if was { LOSS_ENDED_PERCENT } else { LOSS_PERCENT };
    loss.of >= LOSS_MESSAGES && loss.percent() >= least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::testing::start;

    fn names(causes: &Causes) -> Vec<&'static str> {
        causes.health(false).causes().iter().map(|since| since.cause.name()).collect()
    }

    #[test]
    fn each_sign_is_one_cause() {
        let now = start();
        let loss = Share { count: 50, of: 100 };
        let all = Signs {
            small_mtu: true,
            below_ipv6_minimum: true,
            one_way: true,
            relayed: true,
            other_format: true,
            other_family: true,
            unanswered: true,
            dead_source_port: true,
            loss,
        };
        let mut causes = Causes::default();
        causes.update(&all, now);
        assert_eq!(names(&causes).len(), Cause::COUNT);
        for (signs, name) in [
            (Signs { small_mtu: true, ..Signs::default() }, "small_mtu"),
            (Signs { below_ipv6_minimum: true, ..Signs::default() }, "below_ipv6_minimum"),
            (Signs { loss, ..Signs::default() }, "loss"),
            (Signs { one_way: true, ..Signs::default() }, "one_way"),
            (Signs { relayed: true, ..Signs::default() }, "relayed"),
            (Signs { other_format: true, ..Signs::default() }, "other_format"),
            (Signs { other_family: true, ..Signs::default() }, "other_family"),
            (Signs { unanswered: true, ..Signs::default() }, "unanswered"),
            (Signs { dead_source_port: true, ..Signs::default() }, "dead_source_port"),
        ] {
            let mut causes = Causes::default();
            causes.update(&signs, now);
            assert_eq!(names(&causes), [name]);
        }
    }

    #[test]
    fn a_cause_keeps_its_beginning_and_lingers_when_it_goes() {
        let begin = start();
        let mut causes = Causes::default();
        for second in 0..10 {
            let unanswered = second < 3 || second == 6;
            causes.update(&Signs { unanswered, ..Signs::default() }, begin + Duration::from_secs(second));
            let expected = Health::Degraded(vec![Since { cause: Cause::Unanswered, since: begin }]);
            assert_eq!(causes.health(false), expected, "second {second}");
        }
        let end = begin + Duration::from_secs(11);
        assert_eq!(causes.poll_timeout(begin + Duration::from_secs(9)), Some(end));
        causes.update(&Signs::default(), end);
        assert_eq!(causes.health(false), Health::Up);
    }

    #[test]
    fn loss_ends_at_less_than_it_begins() {
        let mut causes = Causes::default();
        let mut now = start();
        for (count, lossy) in [(2, false), (4, true), (2, true), (1, false)] {
            now += Duration::from_secs(6);
            causes.update(&Signs { loss: Share { count, of: 100 }, ..Signs::default() }, now);
            assert_eq!(names(&causes) == ["loss"], lossy, "{count} %");
        }
        causes.update(&Signs { loss: Share { count: 9, of: 9 }, ..Signs::default() }, now);
        assert_eq!(causes.health(false), Health::Up, "too few to say");
    }
}
