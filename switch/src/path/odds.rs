//! How likely a probe is lost by chance. That decides how many must be lost before it is no chance any more.

/// Samples that what is assumed at first counts as.
const ASSUMED: u32 = 16;
/// And what it is.
const FIRST: f64 = 0.02;
/// The latest sample counts at least so much.
const GAIN: f64 = 1.0 / 64.0;
/// In the estimate of the last few samples.
const SHORT_GAIN: f64 = 1.0 / 8.0;
/// So many losses in a row are an outage, and say nothing about chance.
const OUTAGE: u32 = 5;
/// Large probes count once there were so many.
const ENOUGH_LARGE: u32 = 16;

/// More losses are never asked for.
pub(super) const LOSSES_MAX: u32 = 24;

/// How sure to be, as the logarithm of the chance to be wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sure {
    /// Wrong once in three million: pods remember a smaller MTU for ten minutes.
    Very,
    /// Wrong once in a thousand: a search is repeated anyway.
    Rather,
}

/// The share of lost ones, of late.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    share: f64,
    of_late: f64,
    samples: u32,
    /// Losses in a row that are not counted yet.
    held: u32,
}

impl Estimate {
    const fn new() -> Self {
        Self { share: FIRST, of_late: 0.0, samples: 0, held: 0 }
    }

    fn passed(&mut self) {
        if self.held < OUTAGE {
            (0..self.held).for_each(|_| self.count(1.0));
        }
        self.held = 0;
        self.count(0.0);
    }

    const fn lost(&mut self) {
        self.held = self.held.saturating_add(1);
    }

    fn count(&mut self, sample: f64) {
        self.samples = self.samples.saturating_add(1).min(1 << 16);
        let gain = (1.0 / f64::from(self.samples + ASSUMED)).max(GAIN);
        self.share += (sample - self.share) * gain;
        self.of_late += (sample - self.of_late) * SHORT_GAIN;
    }

    /// A little above the estimate, as it may be wrong.
    fn at_most(&self) -> f64 {
        let samples = f64::from((self.samples + ASSUMED).min(127));
        let doubt = (self.share * (1.0 - self.share) / samples).sqrt();
        (self.share + doubt).max(self.of_late / 2.0)
    }
}

/// The odds of one path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Odds {
    small: Estimate,
    large: Estimate,
}

impl Odds {
    pub(super) const fn new() -> Self {
        Self { small: Estimate::new(), large: Estimate::new() }
    }

    /// A small probe was answered, or not.
    pub(super) fn small(&mut self, passed: bool) {
        if passed { self.small.passed() } else { self.small.lost() }
    }

    /// A probe of the size in effect was answered, or not. Losses in a row count when one is answered after them.
    pub(super) fn large(&mut self, passed: bool) {
        if passed { self.large.passed() } else { self.large.lost() }
    }

    /// The losses of large probes were no chance.
    pub(super) const fn explained(&mut self) {
        self.large.held = 0;
    }

    /// How many probes must be lost, while small ones pass, before it is the size.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
    pub(super) fn losses(&self, sure: Sure) -> u32 {
        let large = if self.large.samples >= ENOUGH_LARGE { self.large.at_most() } else { 0.0 };
        let chance = self.small.at_most().max(large).clamp(0.000_1, 0.9);
        let (logarithm, least) = match sure {
            Sure::Very => (15.0, 3),
            Sure::Rather => (7.0, 2),
        };
        ((logarithm / -chance.ln()).ceil() as u32).clamp(least, LOSSES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use fdb::sim::Dice;

    use super::*;

    fn after(samples: u32, loss: f64) -> Odds {
        let (mut odds, mut dice) = (Odds::new(), Dice::new(1));
        (0..samples).for_each(|_| odds.small(!dice.percent(loss)));
        odds
    }

    #[test]
    fn on_a_clean_path_three_losses_are_enough_and_on_a_bad_one_many_are_needed() {
        assert_eq!(after(200, 0.0).losses(Sure::Very), 3);
        assert!((5..=10).contains(&after(500, 10.0).losses(Sure::Very)));
        assert!((10..=LOSSES_MAX).contains(&after(500, 36.0).losses(Sure::Very)));
        assert!(after(500, 36.0).losses(Sure::Rather) < after(500, 36.0).losses(Sure::Very));
    }

    #[test]
    fn a_loss_of_a_moment_ago_makes_cautious_at_once() {
        let mut odds = after(200, 0.0);
        (0..2).for_each(|_| odds.small(false));
        odds.small(true);
        assert!(odds.losses(Sure::Very) > 5);
    }

    #[test]
    fn an_outage_and_a_black_hole_are_no_chance() {
        let mut odds = after(200, 0.0);
        (0..50).for_each(|_| odds.small(false));
        odds.small(true);
        (0..20).for_each(|_| odds.large(true));
        (0..3).for_each(|_| odds.large(false));
        odds.explained();
        (0..20).for_each(|_| odds.large(true));
        assert_eq!(odds.losses(Sure::Rather), 2);
        assert!(odds.losses(Sure::Very) <= 4, "some doubt is left by the few large ones");
    }
}
