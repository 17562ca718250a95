//! What other nodes claim, and what of this node's own is to be published.

use super::*;

const US: u8 = 5;

fn cluster(limits: Limits) -> Lab {
    let mut lab = lab(limits);
    lab.table.set_own(&[addr(US)]);
    lab
}

fn addr(last: u8) -> VtepAddr {
    SocketAddr::from(([10, 0, 0, last], 4789)).into()
}

fn node(n: u32) -> Origin {
    Origin::new(n)
}

/// The claim of the node whose number is the last octet of its VTEP.
fn by(n: u8, mob_seq: u32) -> Claim {
    Claim { origin: node(n.into()), at: addr(n), mob_seq, is_static: false }
}

fn configured(n: u8) -> Claim {
    Claim { is_static: true, ..by(n, 0) }
}

fn moved(from: Location) -> ClaimOutcome {
    ClaimOutcome::Moved { from, frozen: false }
}

impl Lab {
    fn claim(&mut self, n: u32, claim: Claim) -> ClaimOutcome {
        self.now += Duration::from_millis(1);
        self.table.claim(RED, mac(n), claim, self.now)
    }

    fn unclaim(&mut self, n: u32, origin: u32) -> UnclaimOutcome {
        self.table.unclaim(RED, mac(n), node(origin), self.now)
    }

    fn red(&self, n: u32) -> EntryView {
        self.table.entry(RED, mac(n)).unwrap()
    }

    fn changed(&mut self) -> Vec<u32> {
        let changed = std::iter::from_fn(|| self.table.poll_changed());
        changed.map(|(_, mac)| u32::from(mac.octets()[5])).collect()
    }
}

#[test]
fn an_unknown_address_lives_where_the_first_claim_says() {
    let mut lab = cluster(Limits::default());
    assert_eq!(lab.claim(1, by(2, 7)), ClaimOutcome::Added);
    assert_eq!(lab.claim(1, by(2, 7)), ClaimOutcome::Refreshed);
    let found = lab.shared.find(RED, mac(1)).0.unwrap();
    assert_eq!(found, Found { location: vtep(2), frozen: false, kind: Kind::Claimed { is_static: false } });
    let entry = lab.red(1);
    assert_eq!((entry.origin, entry.mob_seq, entry.kind), (Some(node(2)), 7, found.kind));
    assert_eq!(lab.table.counters().claimed, 1);
}

#[test]
fn a_second_claim_of_an_origin_replaces_its_first_whether_that_won_or_lost() {
    let mut lab = cluster(Limits::default());
    lab.claim(1, by(2, 1));
    let shared = Claim { at: addr(9), ..by(2, 2) };
    assert_eq!(lab.claim(1, shared), moved(vtep(2)));
    assert_eq!((lab.place(RED, 1), lab.table.lost_claims(RED, mac(1))), (Some(vtep(9)), &[][..]));
    assert_eq!(lab.claim(1, by(3, 0)), ClaimOutcome::Lost { to: vtep(9) });
    assert_eq!(lab.claim(1, by(3, 1)), ClaimOutcome::Lost { to: vtep(9) });
    assert_eq!(lab.table.lost_claims(RED, mac(1)), [by(3, 1)]);
    assert_eq!(lab.claim(1, by(2, 0)), ClaimOutcome::Lost { to: vtep(3) }, "it gives way to the other one");
    assert_eq!(lab.table.lost_claims(RED, mac(1)), [by(2, 0)]);
}

#[test]
fn of_two_claims_the_higher_number_wins_then_the_lowest_vtep_in_any_order() {
    for (first, second) in [(by(2, 1), by(3, 2)), (by(3, 1), by(2, 1))] {
        let mut lab = cluster(Limits::default());
        lab.claim(1, first);
        assert_eq!(lab.claim(1, second), moved(Location::Remote(first.at)));
        let mut other = cluster(Limits::default());
        other.claim(1, second);
        assert_eq!(other.claim(1, first), ClaimOutcome::Lost { to: Location::Remote(second.at) });
        assert_eq!(lab.place(RED, 1), other.place(RED, 1));
    }
}

#[test]
fn vteps_are_compared_as_numbers_and_by_port_last() {
    let at = |text: &str| Claim { at: text.parse::<SocketAddr>().unwrap().into(), ..by(2, 0) };
    assert!(at("10.0.0.9:4789").beats(&at("10.0.0.10:1")));
    assert!(at("10.0.0.9:4789").beats(&at("10.0.0.9:6081")));
    assert!(at("10.0.0.9:4789").beats(&at("[::1]:1")));
}

#[test]
fn a_local_address_beats_a_claim_with_a_lower_number_and_gives_way_to_a_higher_one() {
    let mut lab = cluster(Limits::default());
    lab.learn(RED, 1, port(1));
    lab.learn(RED, 1, port(2));
    assert_eq!(lab.claim(1, by(2, 0)), ClaimOutcome::Lost { to: port(2) });
    assert_eq!(lab.red(1).origin, None);
    assert_eq!(lab.claim(1, by(2, 2)), moved(port(2)));
    assert_eq!((lab.place(RED, 1), lab.red(1).mob_seq), (Some(vtep(2)), 2));
}

#[test]
fn a_tie_with_a_local_address_goes_to_the_lowest_vtep() {
    for (other, wins) in [(US - 1, true), (US + 1, false)] {
        let mut lab = cluster(Limits::default());
        lab.learn(RED, 1, port(1));
        let outcome = lab.claim(1, by(other, 0));
        assert_eq!(outcome, if wins { moved(port(1)) } else { ClaimOutcome::Lost { to: port(1) } });
    }
    let mut alone = lab(Limits::default());
    alone.learn(RED, 1, port(1));
    assert_eq!(
        alone.claim(1, by(1, 0)),
        ClaimOutcome::Lost { to: port(1) },
        "no VTEP is known to compare with"
    );
}

#[test]
fn a_tie_is_compared_with_the_own_vtep_of_the_same_family() {
    let v6 = |text: &str| text.parse::<SocketAddr>().unwrap().into();
    let mut lab = lab(Limits::default());
    lab.table.set_own(&[v6("[2001:db8::5]:4789"), addr(6), addr(US)]);
    lab.learn(RED, 1, port(1));
    let claim = Claim { at: v6("[2001:db8::6]:4789"), ..by(6, 0) };
    assert_eq!(lab.claim(1, claim), ClaimOutcome::Lost { to: port(1) });
    assert_eq!(lab.claim(1, by(7, 0)), ClaimOutcome::Lost { to: port(1) });
    let claim = Claim { at: v6("[2001:db8::4]:4789"), ..by(4, 0) };
    assert_eq!(lab.claim(1, claim), moved(port(1)));
}

#[test]
fn a_claimed_address_seen_at_a_local_port_moves_there_with_the_next_number() {
    let mut lab = cluster(Limits::default());
    lab.claim(1, by(2, 7));
    assert_eq!(lab.learn(RED, 1, port(1)), LearnOutcome::Moved { from: vtep(2), frozen: false });
    assert_eq!((lab.red(1).mob_seq, lab.red(1).origin, lab.red(1).kind), (8, None, Kind::Learned));
    assert_eq!(lab.unclaim(1, 2), UnclaimOutcome::Unchanged, "the old place withdraws what lost");
    assert_eq!(lab.place(RED, 1), Some(port(1)));
}

#[test]
fn a_claimed_address_does_not_move_to_a_static_peer() {
    let mut lab = cluster(Limits::default());
    lab.claim(1, by(2, 0));
    assert_eq!(lab.learn(RED, 1, vtep(9)), refused(Refusal::Claimed));
    assert_eq!(lab.learn(RED, 1, vtep(2)), LearnOutcome::Refreshed);
    assert_eq!(lab.red(1).origin, Some(node(2)));
}

#[test]
fn what_another_node_configured_never_moves_by_learning_and_beats_what_was_learned() {
    let mut lab = cluster(Limits::default());
    lab.learn(RED, 1, port(1));
    lab.learn(RED, 1, port(2));
    assert_eq!(lab.claim(1, configured(9)), moved(port(2)));
    assert_eq!(lab.learn(RED, 1, port(1)), refused(Refusal::Static));
    assert!(lab.shared.find(RED, mac(1)).0.unwrap().kind.is_static());
    assert_eq!(lab.claim(1, by(2, 100)), ClaimOutcome::Lost { to: vtep(9) });
    assert_eq!(lab.claim(1, configured(8)), moved(vtep(9)), "the lowest VTEP");
}

#[test]
fn what_is_configured_here_and_there_stays_here_and_is_a_duplicate() {
    let mut lab = cluster(Limits::default());
    lab.table.add_static(RED, mac(1), port(1)).unwrap();
    assert_eq!(lab.claim(1, by(1, 9)), ClaimOutcome::Lost { to: port(1) });
    assert_eq!(lab.table.duplicate(RED, mac(1)), None);
    assert_eq!(lab.claim(1, configured(2)), ClaimOutcome::Duplicate { here: port(1), there: addr(2) });
    assert_eq!(lab.table.duplicate(RED, mac(1)), Some(configured(2)));
    assert_eq!(lab.table.del(RED, mac(1)), DelOutcome::Removed);
    assert_eq!((lab.place(RED, 1), lab.table.duplicate(RED, mac(1))), (Some(vtep(2)), None));
}

#[test]
fn what_is_configured_here_later_takes_a_claimed_address() {
    let mut lab = cluster(Limits::default());
    lab.claim(1, configured(2));
    lab.table.add_static(RED, mac(1), port(1)).unwrap();
    assert_eq!((lab.place(RED, 1), lab.table.duplicate(RED, mac(1))), (Some(port(1)), Some(configured(2))));
    assert_eq!(lab.table.forget(port(1)), 1);
    assert_eq!(lab.red(1).origin, Some(node(2)), "what took over in the place of an emptied share stays");
}

#[test]
fn two_that_name_the_same_place_are_no_move_and_no_conflict() {
    let mut lab = cluster(Limits::default());
    let [one, two] = [1, 2].map(|n| Claim { at: addr(9), ..by(n, n.into()) });
    lab.claim(1, one);
    assert_eq!(lab.claim(1, two), ClaimOutcome::Refreshed);
    assert_eq!(lab.unclaim(1, 2), UnclaimOutcome::Unchanged);
    assert_eq!((lab.red(1).origin, lab.red(1).mob_seq), (Some(node(1)), 1));
    lab.table.add_static(RED, mac(1), vtep(9)).unwrap();
    assert_eq!(lab.claim(1, Claim { is_static: true, ..two }), ClaimOutcome::Refreshed);
    assert_eq!((lab.table.duplicate(RED, mac(1)), lab.table.counters().moved), (None, 0));
}

#[test]
fn a_claim_of_the_place_where_it_was_learned_raises_its_number_and_leaves_it_here() {
    let mut lab = cluster(Limits::default());
    lab.table.track_changes(true);
    lab.learn(RED, 1, vtep(9));
    lab.changed();
    assert_eq!(lab.claim(1, Claim { at: addr(9), ..by(2, 3) }), ClaimOutcome::Refreshed);
    assert_eq!((lab.red(1).origin, lab.red(1).mob_seq, lab.changed()), (None, 3, vec![1]));
    assert_eq!(lab.claim(1, Claim { at: addr(9), ..by(2, 1) }), ClaimOutcome::Refreshed);
    assert_eq!((lab.red(1).mob_seq, lab.changed()), (3, vec![]));
    assert_eq!(lab.wait(AGE), 1);
    assert_eq!(lab.red(1).origin, Some(node(2)), "the other one sees it still");
}

#[test]
fn the_next_best_takes_over_when_the_winner_goes() {
    let mut lab = cluster(Limits::default());
    lab.learn(RED, 1, port(1));
    for n in [8, 7, 9] {
        assert_eq!(lab.claim(1, by(n, 0)), ClaimOutcome::Lost { to: port(1) });
    }
    assert_eq!((lab.wait(AGE), lab.place(RED, 1)), (1, Some(vtep(7))), "what is local ages");
    assert_eq!(lab.unclaim(1, 7), UnclaimOutcome::TakenOver { from: vtep(7), to: vtep(8) });
    assert_eq!(lab.unclaim(1, 7), UnclaimOutcome::Unknown);
    assert_eq!(lab.unclaim(1, 9), UnclaimOutcome::Unchanged);
    assert_eq!(lab.unclaim(1, 8), UnclaimOutcome::Gone { from: vtep(8) });
    assert_eq!((lab.place(RED, 1), lab.table.len(), lab.table.counters().moved), (None, 0, 0));
}

#[test]
fn a_node_that_is_down_claims_nothing_any_more() {
    let mut lab = cluster(Limits::default());
    (1..=3).for_each(|n| assert_eq!(lab.claim(n, by(2, 1)), ClaimOutcome::Added));
    lab.claim(3, by(3, 0));
    lab.claim(4, by(3, 5));
    lab.claim(4, by(2, 4));
    lab.claim(5, Claim { at: addr(9), ..by(2, 1) });
    lab.learn(RED, 6, vtep(2));
    lab.table.claim(BLUE, mac(1), by(2, 0), lab.now);
    assert_eq!(lab.table.unclaim_all(node(2), lab.now), 6);
    let places = [1, 2, 3, 4, 5, 6].map(|n| lab.place(RED, n));
    assert_eq!(places, [None, None, Some(vtep(3)), Some(vtep(3)), None, Some(vtep(2))]);
    assert_eq!((lab.table.count(BLUE), lab.table.lost_claims(RED, mac(4))), (0, &[][..]));
    assert_eq!(lab.table.unclaim_all(node(2), lab.now), 0);
}

#[test]
fn a_claim_does_not_age_and_no_learner_flush_or_forgotten_place_takes_it_away() {
    let mut lab = cluster(Limits { port: 2, static_peer: 1, node: 2 });
    lab.table.set_network(RED, 4, AGE);
    (1..=3).for_each(|n| assert_eq!(lab.claim(n, by(2, 0)), ClaimOutcome::Added));
    assert_eq!(lab.learn(RED, 10, port(1)), LearnOutcome::Learned);
    assert_eq!(lab.learn(RED, 11, port(1)), LearnOutcome::Learned, "its own oldest gives way");
    assert_eq!(lab.learn(RED, 12, port(2)), refused(Refusal::NetworkFull));
    lab.table.set_network(RED, 1, AGE);
    assert_eq!((lab.table.flush(None), lab.table.forget(vtep(2)), lab.wait(100 * AGE)), (0, 0, 0));
    assert_eq!([1, 2, 3, 11].map(|n| lab.place(RED, n)), [Some(vtep(2)), Some(vtep(2)), Some(vtep(2)), None]);
    assert_eq!(lab.table.del(RED, mac(1)), DelOutcome::Claimed { origin: node(2) });
    assert_eq!((lab.table.count(RED), lab.table.remove_network(RED)), (3, 3));
}

#[test]
fn a_claim_counts_in_no_share_until_the_address_is_seen_here() {
    let mut lab = cluster(Limits { port: 1, static_peer: 1, node: 2 });
    (1..=5).for_each(|n| assert_eq!(lab.claim(n, by(2, 0)), ClaimOutcome::Added));
    assert_eq!(lab.learn(RED, 6, vtep(2)), LearnOutcome::Learned, "learned from the same VTEP");
    assert_eq!(lab.learn(RED, 1, port(1)), LearnOutcome::Moved { from: vtep(2), frozen: false });
    assert_eq!(lab.learn(RED, 2, port(1)), LearnOutcome::Moved { from: vtep(2), frozen: false });
    assert_eq!(lab.place(RED, 1), Some(vtep(2)), "it gave way to the second, and the claim took over");
    assert_eq!(lab.learn(RED, 3, port(2)), refused(Refusal::NodeFull));
}

#[test]
fn claims_that_cannot_be_taken_are_refused_and_counted_and_nothing_is_kept() {
    let mut lab = cluster(Limits::default());
    let refused = |outcome, why| assert_eq!(outcome, ClaimOutcome::Refused(why));
    let group = lab.table.claim(RED, MacAddr::BROADCAST, by(2, 0), lab.now);
    refused(group, ClaimRefusal::NotUnicast);
    let stranger = Vni::from_octets([0, 0, 9]);
    refused(lab.table.claim(stranger, mac(1), by(2, 0), lab.now), ClaimRefusal::UnknownNetwork);
    lab.table.set_network(RED, 1, AGE);
    lab.claim(1, by(2, 0));
    refused(lab.claim(2, by(2, 0)), ClaimRefusal::NetworkFull);
    assert_eq!(lab.claim(1, by(3, 1)), moved(vtep(2)), "it has an entry already");
    refused(lab.claim(1, Claim { at: addr(US), ..by(3, 2) }), ClaimRefusal::OwnVtep);
    assert_eq!(lab.place(RED, 1), Some(vtep(2)), "what that node said before is no more");
    assert_eq!((lab.table.counters().claims_refused, lab.table.len()), (4, 1));
}

#[test]
fn an_evicted_address_that_a_claim_takes_over_makes_no_room_in_its_network() {
    let mut lab = cluster(Limits::default());
    lab.table.set_network(RED, 3, AGE);
    lab.learn(RED, 1, port(1));
    lab.claim(1, by(9, 0));
    lab.learn(RED, 2, port(1));
    lab.learn(RED, 3, port(2));
    assert_eq!(lab.learn(RED, 4, port(1)), LearnOutcome::Learned);
    let places = [1, 2, 3, 4].map(|n| lab.place(RED, n));
    assert_eq!(places, [Some(vtep(9)), None, Some(port(2)), Some(port(1))]);
    assert_eq!(lab.table.count(RED), 3);
}

#[test]
fn moves_by_frames_and_by_claims_freeze_together() {
    let mut lab = cluster(Limits::default());
    lab.learn(RED, 1, port(1));
    for round in 0..2 {
        assert_eq!(lab.claim(1, by(2, 2 * round + 1)), moved(port(1)));
        assert_eq!(lab.learn(RED, 1, port(1)), LearnOutcome::Moved { from: vtep(2), frozen: false });
    }
    assert_eq!(lab.claim(1, by(2, 5)), ClaimOutcome::Moved { from: port(1), frozen: true });
    assert_eq!(lab.learn(RED, 1, port(1)), LearnOutcome::Frozen);
    assert!(lab.shared.find(RED, mac(1)).0.unwrap().frozen);
    assert_eq!((lab.table.counters().frozen, lab.table.counters().moved), (1, 5));
}

fn freeze_claimed(lab: &mut Lab) {
    for round in 0..6 {
        lab.claim(1, by(2 + (round % 2) as u8, round));
    }
    assert!(lab.red(1).frozen_until.is_some());
}

#[test]
fn a_claim_with_a_higher_number_wins_while_frozen_and_the_freeze_begins_anew() {
    let mut lab = cluster(Limits::default());
    lab.freeze(1);
    lab.now += FREEZE / 2;
    assert_eq!(lab.claim(1, by(9, 5)), ClaimOutcome::Lost { to: port(1) });
    assert_eq!(lab.claim(1, by(9, 6)), moved(port(1)), "frozen it was before");
    assert_eq!(lab.red(1).frozen_until, Some(lab.now + FREEZE));
    assert_eq!(lab.learn(RED, 1, port(1)), LearnOutcome::Frozen);
    assert_eq!(lab.wait(FREEZE), 0);
    assert_eq!((lab.red(1).frozen_until, lab.place(RED, 1)), (None, Some(vtep(9))));
    assert_eq!(lab.wait(10 * AGE), 0, "it is claimed still");
}

#[test]
fn a_frozen_claim_thaws_by_hand_and_moves_to_a_local_port_then() {
    let mut lab = cluster(Limits::default());
    freeze_claimed(&mut lab);
    assert_eq!(lab.learn(RED, 1, port(1)), LearnOutcome::Frozen);
    assert!(lab.table.thaw(RED, mac(1)));
    assert!(matches!(lab.learn(RED, 1, port(1)), LearnOutcome::Moved { frozen: false, .. }));
}

#[test]
fn a_frozen_claim_is_not_evicted_and_the_next_best_of_it_is_not_frozen() {
    let mut lab = cluster(Limits::default());
    freeze_claimed(&mut lab);
    lab.table.set_network(RED, 0, AGE);
    assert_eq!(lab.place(RED, 1), Some(vtep(3)));
    assert_eq!(lab.unclaim(1, 3), UnclaimOutcome::TakenOver { from: vtep(3), to: vtep(2) });
    assert_eq!(lab.red(1).frozen_until, None);
}

#[test]
fn each_own_entry_that_changed_is_told_once() {
    let mut lab = cluster(Limits::default());
    lab.learn(RED, 1, port(1));
    lab.claim(2, by(2, 0));
    assert_eq!(lab.changed(), [], "nobody asked");
    lab.table.track_changes(true);
    assert_eq!(lab.changed(), [1], "what is there already");
    lab.learn(RED, 1, port(1));
    lab.claim(3, by(2, 0));
    lab.claim(3, by(3, 1));
    lab.unclaim(3, 3);
    lab.unclaim(2, 2);
    assert_eq!(lab.changed(), [], "neither a refresh nor what others claim");

    lab.learn(RED, 1, port(2));
    lab.learn(RED, 3, port(1));
    lab.learn(RED, 1, port(1));
    assert_eq!(lab.changed(), [1, 3]);
    lab.claim(1, by(2, 9));
    assert_eq!(lab.changed(), [1], "a claim took it");
    lab.table.add_static(RED, mac(1), port(1)).unwrap();
    assert_eq!(lab.changed(), [1]);
    lab.table.track_changes(false);
    lab.learn(RED, 9, port(1));
    assert_eq!(lab.changed(), []);
}

#[test]
fn every_way_to_lose_an_own_entry_is_told() {
    type Lose = fn(&mut Lab);
    let ways: [(&str, Lose); 8] = [
        ("expire", |lab| assert_eq!(lab.wait(AGE), 1)),
        ("evict", |lab| lab.table.set_network(RED, 0, AGE)),
        ("flush", |lab| assert_eq!(lab.table.flush(Some(RED)), 1)),
        ("forget", |lab| assert_eq!(lab.table.forget(port(1)), 1)),
        ("del", |lab| assert_eq!(lab.table.del(RED, mac(1)), DelOutcome::Removed)),
        ("remove_network", |lab| assert_eq!(lab.table.remove_network(RED), 1)),
        ("claim", |lab| assert_eq!(lab.claim(1, by(2, 0)), moved(port(1)))),
        ("configured there", |lab| assert_eq!(lab.claim(1, configured(9)), moved(port(1)))),
    ];
    for (name, lose) in ways {
        let mut lab = cluster(Limits::default());
        lab.table.track_changes(true);
        lab.learn(RED, 1, port(1));
        assert_eq!(lab.changed(), [1]);
        lose(&mut lab);
        assert_eq!(lab.changed(), [1], "{name}");
        assert!(lab.table.entry(RED, mac(1)).is_none_or(|entry| entry.origin.is_some()), "{name}");
    }
}

#[test]
fn what_came_and_went_between_is_not_told_so_that_nobody_fills_the_list() {
    let mut lab = cluster(Limits { port: 2, ..Limits::default() });
    lab.table.track_changes(true);
    (1..=50).for_each(|n| assert_eq!(lab.learn(RED, n, port(1)), LearnOutcome::Learned));
    assert_eq!(lab.changed(), [49, 50]);
}

#[test]
fn no_more_lost_claims_are_kept_than_may_be_and_winners_are_right_all_the_same() {
    const MOST: u32 = losers::MOST_LOSERS as u32;
    let mut lab = cluster(Limits::default());
    lab.learn(RED, 1, port(1));
    let from = |n: u32, mob_seq| Claim { origin: node(n), ..by(9, mob_seq) };
    (0..MOST).for_each(|n| assert_eq!(lab.claim(1, from(n, 0)), ClaimOutcome::Lost { to: port(1) }));
    assert_eq!(lab.claim(1, from(MOST, 0)), ClaimOutcome::Refused(ClaimRefusal::TooManyLost));
    assert_eq!(lab.claim(1, from(0, 0)), ClaimOutcome::Lost { to: port(1) }, "in the place of its first");
    assert_eq!(lab.claim(1, from(MOST + 1, 1)), moved(port(1)));
    assert_eq!(lab.unclaim(1, MOST), UnclaimOutcome::Unknown);
    assert_eq!(lab.table.unclaim_all(node(0), lab.now), 1);
    assert_eq!(lab.table.remove_network(RED), 1);
    assert_eq!(lab.table.unclaim_all(node(1), lab.now), 0, "gone with the network");
}
