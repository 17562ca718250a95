//! The rules of the table, one by one; `tests/model.rs` tries them in random order.

use std::net::SocketAddr;

use encap::PortId;

use super::*;
use crate::{Found, Kind};

mod claims;

const AGE: Duration = Duration::from_secs(300);
const SECOND: Duration = Duration::from_secs(1);
const RED: Vni = Vni::from_octets([0, 0, 1]);
const BLUE: Vni = Vni::from_octets([0, 0, 2]);

struct Lab {
    table: Table,
    shared: Arc<Shared>,
    now: Instant,
}

fn lab(limits: Limits) -> Lab {
    let shared = Arc::new(Shared::with_seed(7));
    let mut table = Table::new(limits, Arc::clone(&shared));
    table.set_network(RED, 100, AGE);
    table.set_network(BLUE, 100, AGE);
    #[allow(clippy::disallowed_methods)] // the only way to get one; it passes by hand afterwards
    let now = Instant::now();
    Lab { table, shared, now }
}

impl Lab {
    fn learn(&mut self, vni: Vni, n: u32, at: Location) -> LearnOutcome {
        self.now += Duration::from_millis(1);
        self.table.learn(vni, mac(n), at, self.now)
    }

    fn place(&self, vni: Vni, n: u32) -> Option<Location> {
        self.shared.find(vni, mac(n)).0.map(|found| found.location)
    }

    fn wait(&mut self, time: Duration) -> usize {
        self.now += time;
        self.table.expire(self.now)
    }

    fn freeze(&mut self, n: u32) {
        self.learn(RED, n, port(0));
        for i in 1..=5 {
            self.learn(RED, n, port(i % 2));
        }
    }
}

fn mac(n: u32) -> MacAddr {
    let [a, b, c, d] = n.to_be_bytes();
    MacAddr::new([2, 0, a, b, c, d])
}

fn port(id: u32) -> Location {
    Location::Local(PortId::new(id))
}

fn vtep(last: u8) -> Location {
    Location::Remote(SocketAddr::from(([10, 0, 0, last], 4789)).into())
}

fn refused(why: Refusal) -> LearnOutcome {
    LearnOutcome::Refused(why)
}

#[test]
fn a_source_is_learned_once_and_refreshed_afterwards() {
    let mut lab = lab(Limits::default());
    assert_eq!(lab.learn(RED, 1, port(1)), LearnOutcome::Learned);
    let (_, stamp) = lab.shared.find(RED, mac(1));
    assert_eq!(lab.learn(RED, 1, port(1)), LearnOutcome::Refreshed);
    assert!(lab.shared.is_current(stamp), "a refresh changes no answer");
    assert_eq!((lab.place(RED, 1), lab.place(BLUE, 1)), (Some(port(1)), None));
}

#[test]
fn zero_and_group_addresses_are_never_learned_nor_configured() {
    let mut lab = lab(Limits::default());
    for mac in [MacAddr::new([0; 6]), MacAddr::BROADCAST, MacAddr::new([1, 0, 0x5e, 0, 0, 1])] {
        assert_eq!(lab.table.learn(RED, mac, port(1), lab.now), refused(Refusal::NotUnicast));
        assert_eq!(lab.table.add_static(RED, mac, port(1)), Err(StaticError::NotUnicast { mac }));
    }
    assert!(lab.table.is_empty());
}

#[test]
fn a_network_that_was_not_set_or_was_removed_has_no_entries() {
    let mut lab = lab(Limits::default());
    lab.learn(RED, 1, port(1));
    lab.table.add_static(RED, mac(2), vtep(1)).unwrap();
    lab.learn(BLUE, 1, port(2));
    assert_eq!(lab.table.remove_network(RED), 2);
    assert_eq!(lab.learn(RED, 1, port(1)), refused(Refusal::UnknownNetwork));
    assert_eq!(lab.table.add_static(RED, mac(2), vtep(1)), Err(StaticError::UnknownNetwork { vni: RED }));
    assert_eq!((lab.table.len(), lab.place(BLUE, 1)), (1, Some(port(2))));
}

#[test]
fn a_learned_local_address_moves_to_a_static_peer_and_that_counts() {
    let mut lab = lab(Limits::default());
    lab.learn(RED, 1, port(1));
    let moved = lab.learn(RED, 1, vtep(9));
    assert_eq!(moved, LearnOutcome::Moved { from: port(1), frozen: false });
    assert_eq!(lab.place(RED, 1), Some(vtep(9)));
    assert_eq!((lab.table.counters().moved, lab.table.entry(RED, mac(1)).unwrap().mob_seq), (1, 1));
    assert_eq!((lab.table.moves(RED), lab.table.moves(BLUE)), (1, 0));
}

#[test]
fn a_static_entry_never_moves() {
    let mut lab = lab(Limits::default());
    lab.table.add_static(RED, mac(1), port(1)).unwrap();
    assert_eq!(lab.learn(RED, 1, vtep(9)), refused(Refusal::Static));
    assert_eq!(lab.learn(RED, 1, port(1)), LearnOutcome::Refreshed);
    assert_eq!((lab.wait(10 * AGE), lab.table.flush(None)), (0, 0));
    let found = lab.shared.find(RED, mac(1)).0.unwrap();
    assert_eq!(found, Found { location: port(1), frozen: false, kind: Kind::Static });
}

#[test]
fn what_is_configured_replaces_what_was_learned_and_what_was_configured() {
    let mut lab = lab(Limits { port: 1, ..Limits::default() });
    lab.learn(RED, 1, port(1));
    lab.table.add_static(RED, mac(1), vtep(1)).unwrap();
    assert_eq!(lab.learn(RED, 2, port(1)), LearnOutcome::Learned, "its share got the room back");
    assert_eq!(lab.table.counters().evicted, 0);
    lab.table.add_static(RED, mac(1), vtep(2)).unwrap();
    assert_eq!((lab.place(RED, 1), lab.table.len()), (Some(vtep(2)), 2));
    let seq = lab.table.entry(RED, mac(1)).unwrap().seq;
    lab.table.add_static(RED, mac(1), vtep(2)).unwrap();
    assert_eq!(lab.table.entry(RED, mac(1)).unwrap().seq, seq, "the same again is no change");
}

#[test]
fn five_moves_within_180_s_freeze_an_entry_for_180_s() {
    let mut lab = lab(Limits::default());
    lab.learn(RED, 1, port(0));
    for i in 1..=5 {
        let moved = lab.learn(RED, 1, port(i % 2));
        assert_eq!(moved, LearnOutcome::Moved { from: port((i + 1) % 2), frozen: i == 5 });
    }
    let found = lab.shared.find(RED, mac(1)).0.unwrap();
    assert_eq!((found.location, found.frozen), (port(1), true));
    let until = lab.table.entry(RED, mac(1)).unwrap().frozen_until.unwrap();
    assert_eq!((until, lab.table.poll_timeout()), (lab.now + FREEZE, Some(until)));

    assert_eq!(lab.learn(RED, 1, port(0)), LearnOutcome::Frozen);
    assert_eq!(lab.learn(RED, 1, port(1)), LearnOutcome::Refreshed, "at its place it is heard");
    assert_eq!(lab.place(RED, 1), Some(port(1)));
    lab.now = until - SECOND;
    assert_eq!((lab.wait(SECOND), lab.shared.find(RED, mac(1)).0.unwrap().frozen), (0, false));
    assert!(matches!(lab.learn(RED, 1, port(0)), LearnOutcome::Moved { frozen: false, .. }));
    assert_eq!(lab.table.counters().frozen, 1);
}

#[test]
fn a_freeze_ends_in_time_even_if_nobody_called_expire() {
    let mut lab = lab(Limits::default());
    lab.freeze(1);
    lab.now += FREEZE;
    assert!(matches!(lab.learn(RED, 1, port(0)), LearnOutcome::Moved { frozen: false, .. }));
}

#[test]
fn moves_further_apart_do_not_freeze() {
    let mut lab = lab(Limits::default());
    lab.learn(RED, 1, port(0));
    for i in 1..=40 {
        assert!(
            matches!(lab.learn(RED, 1, port(i % 2)), LearnOutcome::Moved { frozen: false, .. }),
            "move {i}"
        );
        lab.now += MOVE_WINDOW / 4;
    }
}

#[test]
fn the_window_ends_180_s_after_its_first_move() {
    for (late, freezes) in [(Duration::from_nanos(1), true), (Duration::ZERO, false)] {
        let mut lab = lab(Limits::default());
        let start = lab.now;
        for i in 0..=4 {
            lab.table.learn(RED, mac(1), port(i % 2), start);
        }
        let fifth = lab.table.learn(RED, mac(1), port(1), start + MOVE_WINDOW - late);
        assert_eq!(fifth, LearnOutcome::Moved { from: port(0), frozen: freezes });
    }
}

#[test]
fn thaw_lets_a_frozen_entry_move_at_once() {
    let mut lab = lab(Limits::default());
    lab.freeze(1);
    assert!(lab.table.thaw(RED, mac(1)));
    assert!(!lab.table.thaw(RED, mac(1)) && !lab.table.thaw(RED, mac(2)));
    assert!(matches!(lab.learn(RED, 1, port(0)), LearnOutcome::Moved { frozen: false, .. }));
}

#[test]
fn a_frozen_entry_does_not_age_until_it_thaws() {
    let mut lab = lab(Limits::default());
    lab.table.set_network(RED, 100, SECOND);
    lab.freeze(1);
    assert_eq!(lab.wait(FREEZE - SECOND), 0);
    assert_eq!((lab.wait(SECOND), lab.wait(SECOND)), (0, 1));
}

#[test]
fn a_full_share_evicts_its_own_oldest_and_nobody_elses() {
    let mut lab = lab(Limits { port: 3, ..Limits::default() });
    lab.learn(RED, 100, port(2));
    for n in 1..=3 {
        lab.learn(RED, n, port(1));
    }
    lab.learn(RED, 1, port(1)); // now 2 is the oldest
    assert_eq!(lab.learn(RED, 4, port(1)), LearnOutcome::Learned);
    assert_eq!((lab.place(RED, 2), lab.place(RED, 1)), (None, Some(port(1))));
    (1000..2000).for_each(|n| assert_eq!(lab.learn(RED, n, port(1)), LearnOutcome::Learned));
    assert_eq!((lab.place(RED, 100), lab.table.len()), (Some(port(2)), 4));
}

#[test]
fn a_move_into_a_full_share_evicts_the_oldest_of_that_share() {
    let mut lab = lab(Limits { port: 2, ..Limits::default() });
    lab.learn(RED, 1, port(1));
    lab.learn(RED, 2, port(1));
    lab.learn(RED, 3, port(2));
    assert!(matches!(lab.learn(RED, 3, port(1)), LearnOutcome::Moved { .. }));
    assert_eq!([1, 2, 3].map(|n| lab.place(RED, n)), [None, Some(port(1)), Some(port(1))]);
}

#[test]
fn the_limit_of_a_peer_is_over_all_networks() {
    let mut lab = lab(Limits { static_peer: 2, ..Limits::default() });
    lab.learn(RED, 1, vtep(1));
    lab.learn(BLUE, 2, vtep(1));
    lab.learn(BLUE, 3, vtep(1));
    assert_eq!((lab.place(RED, 1), lab.table.count(BLUE)), (None, 2));
}

#[test]
fn in_a_full_network_a_learner_gives_up_its_own_there_or_is_refused() {
    let mut lab = lab(Limits::default());
    lab.table.set_network(RED, 2, AGE);
    lab.learn(RED, 1, port(1));
    lab.learn(RED, 2, port(2));
    lab.learn(BLUE, 3, port(3));
    assert_eq!(lab.learn(RED, 4, port(3)), refused(Refusal::NetworkFull));
    assert_eq!(lab.learn(RED, 5, port(1)), LearnOutcome::Learned);
    assert_eq!([1, 2, 5].map(|n| lab.place(RED, n)), [None, Some(port(2)), Some(port(1))]);
    let full = Err(StaticError::NetworkFull { vni: RED, max_macs: 2 });
    assert_eq!(lab.table.add_static(RED, mac(6), port(1)), full);
    assert_eq!(lab.table.add_static(RED, mac(2), port(2)), Ok(()), "it has an entry already");
}

#[test]
fn on_a_full_node_a_learner_gives_up_its_own_or_is_refused() {
    let mut lab = lab(Limits { node: 2, ..Limits::default() });
    lab.table.add_static(RED, mac(9), port(3)).unwrap();
    lab.learn(RED, 1, port(1));
    lab.learn(BLUE, 2, port(2));
    assert_eq!(lab.learn(RED, 3, port(3)), refused(Refusal::NodeFull));
    assert_eq!(lab.learn(RED, 4, port(2)), LearnOutcome::Learned);
    assert_eq!((lab.place(BLUE, 2), lab.place(RED, 1)), (None, Some(port(1))));
}

#[test]
fn nothing_is_learned_from_a_place_whose_limit_is_zero() {
    let mut lab = lab(Limits { port: 0, ..Limits::default() });
    assert_eq!(lab.learn(RED, 1, port(1)), refused(Refusal::ShareFull));
    lab.learn(RED, 1, vtep(1));
    assert_eq!(lab.learn(RED, 1, port(1)), refused(Refusal::ShareFull));
    assert_eq!(lab.place(RED, 1), Some(vtep(1)));
}

#[test]
fn a_lower_limit_evicts_the_oldest_learned_entries_and_no_static_one() {
    let mut lab = lab(Limits::default());
    lab.table.add_static(RED, mac(100), port(1)).unwrap();
    (1..=3).for_each(|n| assert_eq!(lab.learn(RED, n, port(n)), LearnOutcome::Learned));
    lab.table.set_network(RED, 2, AGE);
    assert_eq!([1, 2, 3].map(|n| lab.place(RED, n)), [None, None, Some(port(3))]);
    lab.table.set_network(RED, 0, AGE);
    assert_eq!((lab.table.len(), lab.place(RED, 100)), (1, Some(port(1))));
}

#[test]
fn an_entry_ages_from_when_it_was_last_seen() {
    let mut lab = lab(Limits::default());
    lab.learn(RED, 1, port(1));
    lab.learn(RED, 2, port(1));
    assert_eq!(lab.table.poll_timeout(), Some(lab.now + AGE - Duration::from_millis(1)));
    lab.now += AGE / 2;
    lab.learn(RED, 1, port(1));
    assert_eq!(lab.wait(AGE / 2), 1);
    assert_eq!((lab.place(RED, 1), lab.place(RED, 2)), (Some(port(1)), None));
    assert_eq!((lab.wait(AGE / 2), lab.table.poll_timeout()), (1, None));
    assert_eq!(lab.table.counters().expired, 2);
}

#[test]
fn each_network_has_its_own_age_and_zero_is_never() {
    let mut lab = lab(Limits::default());
    lab.table.set_network(RED, 100, Duration::ZERO);
    lab.learn(RED, 1, port(1));
    assert_eq!(lab.table.poll_timeout(), None);
    lab.learn(BLUE, 2, port(2));
    assert_eq!((lab.wait(1000 * AGE), lab.place(RED, 1)), (1, Some(port(1))));
    lab.table.set_network(RED, 100, SECOND);
    assert_eq!(lab.wait(Duration::ZERO), 1, "a shorter age holds for what is there");
}

#[test]
fn time_never_runs_backwards() {
    let mut lab = lab(Limits::default());
    lab.learn(RED, 1, port(1));
    let earlier = lab.now - SECOND;
    assert_eq!(lab.table.learn(RED, mac(2), port(1), earlier), LearnOutcome::Learned);
    assert_eq!(lab.table.entry(RED, mac(2)).unwrap().last_seen, Some(lab.now));
}

#[test]
fn forget_takes_all_of_one_place_and_flush_only_what_was_learned() {
    let mut lab = lab(Limits::default());
    lab.table.add_static(RED, mac(1), port(1)).unwrap();
    lab.table.add_static(RED, mac(2), port(2)).unwrap();
    lab.learn(RED, 3, vtep(1));
    lab.learn(BLUE, 4, vtep(1));
    lab.learn(BLUE, 5, port(1));
    assert_eq!(lab.table.flush(Some(RED)), 1);
    assert_eq!((lab.table.forget(port(1)), lab.table.forget(port(1))), (2, 0));
    assert_eq!((lab.table.flush(None), lab.table.len()), (1, 1));
    let del = |lab: &mut Lab| lab.table.del(RED, mac(2));
    assert_eq!((del(&mut lab), del(&mut lab)), (DelOutcome::Removed, DelOutcome::Unknown));
    assert!(lab.table.is_empty());
}

#[test]
fn a_change_has_a_higher_number_than_all_before_and_a_refresh_has_none() {
    let mut lab = lab(Limits::default());
    let mut latest = 0;
    let mut changed = |lab: &Lab| {
        let seq = lab.table.entry(RED, mac(1)).unwrap().seq;
        std::mem::replace(&mut latest, seq) < seq
    };
    lab.learn(RED, 1, port(1));
    assert!(changed(&lab));
    lab.learn(RED, 1, port(1));
    assert!(!changed(&lab));
    lab.learn(RED, 1, port(2));
    assert!(changed(&lab));
    lab.table.del(RED, mac(1));
    lab.learn(RED, 1, port(2));
    assert!(changed(&lab), "also higher than before it was removed");
}

#[test]
fn a_message_to_a_person_says_what_and_what_to_do() {
    let full = StaticError::NetworkFull { vni: RED, max_macs: 2 };
    let text = "the network with VNI 1 is full (2 entries): raise its max_macs or remove entries";
    assert_eq!(full.to_string(), text);
}

#[test]
fn ageing_takes_bounded_steps_and_every_network_its_turn() {
    const MANY: u32 = EXPIRE_STEP as u32 * 2;
    let all = MANY as usize;
    let mut lab = lab(Limits { port: 2 * all, static_peer: all, node: 2 * all });
    for vni in [RED, BLUE] {
        lab.table.set_network(vni, all, AGE);
    }
    (0..MANY).for_each(|n| assert_eq!(lab.table.learn(RED, mac(n), port(1), lab.now), LearnOutcome::Learned));
    lab.table.learn(BLUE, mac(1), port(1), lab.now);
    lab.table.add_static(BLUE, mac(2), port(1)).unwrap();
    let first = lab.wait(AGE);
    assert_eq!(first, EXPIRE_STEP, "what one network leaves the other takes");
    assert_eq!(
        (lab.place(BLUE, 1), lab.place(RED, 0), lab.place(RED, MANY - 1)),
        (None, None, Some(port(1)))
    );
    let mut steps = 1;
    while lab.table.poll_timeout().is_some_and(|due| due <= lab.now) {
        assert!(lab.wait(Duration::ZERO) <= EXPIRE_STEP);
        steps += 1;
    }
    assert_eq!((steps, lab.table.len(), lab.table.poll_timeout()), (3, 1, None));
    assert_eq!(lab.table.counters().expired, u64::from(MANY) + 1);
}

#[test]
fn an_owner_that_comes_when_another_goes_is_not_taken_for_it() {
    let mut lab = lab(Limits::default());
    lab.learn(RED, 1, port(1));
    for n in 2..100 {
        assert!(matches!(lab.table.add_static(RED, mac(1), vtep(n)), Ok(())));
        assert_eq!(lab.place(RED, 1), Some(vtep(n)));
        lab.learn(BLUE, 7, port(n.into()));
        assert_eq!(lab.place(BLUE, 7), Some(port(n.into())));
        lab.table.forget(port(n.into()));
        assert_eq!((lab.place(BLUE, 7), lab.place(RED, 1)), (None, Some(vtep(n))));
    }
}
