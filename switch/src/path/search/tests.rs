use fdb::sim::Dice;
use proptest::prelude::*;

use super::sizes::CLOSE;
use super::*;
use crate::path::testing::start;

const EVERY: Duration = Duration::from_secs(15);
const LOST: Duration = Duration::from_millis(100);

/// A path whose source ports take different sizes.
struct Path {
    search: Search,
    odds: Odds,
    takes: Vec<u16>,
    loss: f64,
    dice: Dice,
    now: Instant,
    sent: u64,
}

impl Path {
    fn new(bounds: Bounds, takes: &[u16]) -> Self {
        let now = start();
        let search = Search::new(bounds, takes.len() as u16, now);
        let mut odds = Odds::new();
        (0..300).for_each(|_| odds.small(true));
        Self { search, odds, takes: takes.to_vec(), loss: 0.0, dice: Dice::new(1), now, sent: 0 }
    }

    /// The regular probe of the size in effect.
    fn watch(&mut self, source: u16) {
        let size = self.search.current();
        if size <= self.takes[usize::from(source)] {
            self.search.watch_passed(size, source);
        } else {
            self.now += LOST;
            self.search.watch_lost(size, source, true, self.now);
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.search.poll_timeout(EVERY).filter(|at| *at < end) {
            self.now = self.now.max(at);
            let Some(Wanted { trial, size, source, alone }) = self.search.poll(EVERY, true, self.now) else {
                continue;
            };
            self.sent += u64::from(size);
            self.search.sent(trial, LOST, self.now);
            if size <= self.takes[usize::from(source)] && !self.dice.percent(self.loss) {
                self.now += Duration::from_millis(1);
                self.search.passed(trial, self.now);
            } else {
                self.now += LOST;
                let counts = !alone && !self.dice.percent(self.loss);
                self.search.lost(trial, counts, &self.odds, self.now);
            }
        }
        self.now = end;
    }
}

fn bounds() -> Bounds {
    Bounds::new(576, 1280, 1500)
}

#[test]
fn a_new_path_is_believed_to_take_what_the_link_takes() {
    let mut path = Path::new(bounds(), &[1500; 16]);
    assert_eq!((path.search.current(), path.search.found()), (1500, Found::Assumed));
    path.watch(0);
    path.run(Duration::from_secs(60));
    assert_eq!((path.search.current(), path.search.found(), path.sent), (1500, Found::Probed, 0));
}

#[test]
fn three_losses_lead_to_min_and_what_passes_is_found_after_that() {
    let mut path = Path::new(bounds(), &[1400; 16]);
    path.watch(3);
    let before = path.now;
    while path.search.current() == 1500 {
        path.run(Duration::from_millis(10));
    }
    assert_eq!(path.search.current(), 1280);
    assert!(path.now - before <= Duration::from_millis(220), "{:?}", path.now - before);
    path.run(Duration::from_secs(10));
    assert!((1400 - CLOSE..=1400).contains(&path.search.current()));
    assert_eq!(path.search.found(), Found::Probed);
}

#[test]
fn a_size_is_used_only_after_every_source_port_confirmed_it() {
    let mut path = Path::new(bounds(), &[1300; 16]);
    path.watch(0);
    path.run(Duration::from_secs(5));
    for others in [1450, 1500] {
        let mut takes = [others; 16];
        takes[11] = 1340;
        path.takes = takes.to_vec();
        for _ in 0..400 {
            path.run(Duration::from_millis(100));
            assert!(path.search.current() <= 1340, "{others}: {}", path.search.current());
        }
        assert!(path.search.current() >= 1340 - CLOSE, "{others}: {}", path.search.current());
    }
    path.takes = vec![1500; 16];
    path.run(Duration::from_secs(20));
    assert_eq!(path.search.current(), 1500);
}

#[test]
fn below_min_what_passes_is_used_down_to_the_floor() {
    for (takes, expected) in [(1000, 1000 - CLOSE..=1000), (500, 576..=576)] {
        let mut path = Path::new(bounds(), &[takes; 16]);
        path.watch(0);
        path.run(Duration::from_secs(10));
        assert!(expected.contains(&path.search.current()), "{takes}: {}", path.search.current());
    }
}

#[test]
fn an_icmp_error_is_tried_and_not_believed() {
    let mut path = Path::new(bounds(), &[1500; 16]);
    path.search.hint(1400, path.now);
    path.run(Duration::from_secs(5));
    assert_eq!(path.search.current(), 1500);

    path.takes = vec![1400; 16];
    path.search.hint(1400, path.now);
    path.run(Duration::from_millis(450));
    assert_eq!((path.search.current(), path.search.found()), (1400, Found::Probed));
}

#[test]
fn what_the_own_kernel_refuses_is_not_sent_again() {
    let mut path = Path::new(bounds(), &[1400; 16]);
    assert!(path.search.refused(1450, path.now));
    assert_eq!((path.search.current(), path.search.found()), (1280, Found::Refused));
    assert!(!path.search.refused(1450, path.now), "it is news once");
    path.run(Duration::from_secs(10));
    assert!((1400 - CLOSE..=1400).contains(&path.search.current()));
}

#[test]
fn a_larger_link_is_believed_and_a_smaller_one_obeyed() {
    let mut path = Path::new(bounds(), &[1500; 16]);
    path.search.set_bounds(Bounds::new(576, 1280, 9000), path.now);
    assert_eq!((path.search.current(), path.search.found()), (9000, Found::Assumed));
    path.search.set_bounds(Bounds::new(576, 1280, 1400), path.now);
    assert_eq!(path.search.current(), 1400);
    path.search.set_bounds(Bounds::new(576, 1280, 1000), path.now);
    assert_eq!(path.search.current(), 1000, "the link may be below min");
}

#[test]
fn small_probes_that_are_lost_too_prove_nothing_about_a_size() {
    let mut path = Path::new(bounds(), &[1500; 16]);
    path.search.watch_lost(1500, 5, false, path.now);
    for _ in 0..40 {
        path.now += Duration::from_millis(50);
        let Some(wanted) = path.search.poll(EVERY, true, path.now) else { break };
        path.search.sent(wanted.trial, Duration::ZERO, path.now);
        path.search.lost(wanted.trial, false, &path.odds, path.now);
    }
    assert_eq!(path.search.current(), 1500);
    assert!(path.search.is_watching(), "the trial ended: that source port is dead");
}

proptest! {
    #[test]
    fn what_is_found_passes_on_every_source_port_and_hardly_less(
        takes in prop::collection::vec(576_u16..=9000, 1..17), link in 1280_u16..=9000,
    ) {
        let mut path = Path::new(Bounds::new(576, 1280, link), &takes);
        for _ in 0..6 {
            (0..takes.len() as u16).for_each(|source| {
                path.watch(source);
                path.run(Duration::from_secs(2));
            });
        }
        let least = takes.iter().copied().min().unwrap().min(link);
        prop_assert!(path.search.current() <= least.max(576), "{} of {least}", path.search.current());
        path.run(Duration::from_secs(900));
        let found = path.search.current();
        prop_assert!(found + CLOSE >= least, "{found} of {least}");
    }

    #[test]
    fn chance_alone_hardly_lowers_it(seed: u64) {
        let mut path = Path::new(bounds(), &[1500; 16]);
        (path.dice, path.loss) = (Dice::new(seed), 10.0);
        (0..500).for_each(|_| path.odds.small(!path.dice.percent(10.0)));
        for n in 0..200 {
            if path.dice.percent(10.0) {
                path.search.watch_lost(1500, n % 16, true, path.now);
            }
            path.run(Duration::from_millis(600));
        }
        prop_assert_eq!(path.search.current(), 1500);
    }
}
