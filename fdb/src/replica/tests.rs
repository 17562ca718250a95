use std::time::{Duration, Instant};

use encap::{MacAddr, Vni};
use proptest::prelude::*;

use super::coverage::Coverage;
use super::item::Item;
use super::stream::Stream;
use super::wire::{Entry, Head, Message, Section, Want};
use super::*;
use crate::gossip::identity::BootId;

fn section(from: u64, to: u64, seqs: &[u64]) -> Section {
    let entries = seqs.iter().map(|seq| Entry {
        seq: *seq,
        item: Item::new(&[200, (*seq % 5) as u8], (seq % 7 != 0).then_some(&[*seq as u8])),
    });
    let (origin, epoch) = (NodeId::new(1), Epoch::new(1));
    Section { origin, epoch, max: to, floor: 0, from, to, replace: false, entries: entries.collect() }
}

fn merge(stream: &mut Stream, section: &Section) {
    stream.merge(section, &Config::default(), &mut Vec::new());
}

fn vni_join(n: u8) -> Record {
    Record::VniJoin(Vni::from_octets([0, 0, n]))
}

fn replica(n: u128, now: Instant) -> Replica {
    Replica::new((NodeId::new(n), Epoch::new(1)), Config::default(), now)
}

#[allow(clippy::disallowed_methods)] // some instant to begin with
fn now() -> Instant {
    Instant::now()
}

#[test]
fn a_record_reads_as_it_was_written() {
    let node = NodeInfo {
        v4: Some([10, 0, 0, 1].into()),
        v6: Some(std::net::Ipv6Addr::LOCALHOST),
        vxlan_port: 4789,
        geneve_port: 6081,
        format: encap::Format::Geneve,
        name: "node-a".into(),
        version: "1".into(),
        boot: BootId::new(5),
    };
    let mac = MacRecord {
        vni: Vni::from_octets([0, 0, 9]),
        mac: MacAddr::new([2, 0, 0, 0, 0, 1]),
        ips: vec![[10, 1, 0, 1].into()],
        dst: Some(std::net::SocketAddr::from(([10, 0, 0, 9], 4789)).into()),
        mob_seq: 7,
        is_static: true,
        router: false,
    };
    let router = MacRecord { is_static: false, router: true, dst: None, ..mac.clone() };
    let opaque = Record::Opaque { kind: 99, key: [1].into(), value: [2, 3].into() };
    let vtep = VtepRecord {
        at: std::net::SocketAddr::from(([10, 0, 0, 9], 4789)).into(),
        format: encap::Format::Geneve,
        vnis: vec![Vni::from_octets([0, 0, 9]), Vni::from_octets([0, 1, 0])],
    };
    for record in [
        Record::NodeInfo(node),
        Record::Mac(mac),
        Record::Mac(router),
        Record::Vtep(vtep),
        vni_join(3),
        opaque,
    ] {
        let value = record.encode_value().unwrap();
        assert_eq!(Record::decode(&record.key().octets(), &value), Ok(record));
    }
}

#[test]
fn a_higher_major_version_is_refused_with_its_own_reason() {
    assert_eq!(Message::decode(&[0x20, 1]), Err(WireError::Version { major: 2, ours: 1 }));
    assert_eq!(Message::decode(&[0x1f, 77]), Err(WireError::Kind { kind: 77 }));
    assert_eq!(Message::decode(&[]), Err(WireError::Truncated { at: 0 }));
}

#[test]
fn an_origin_over_its_cap_is_refused_and_counted() {
    let mut stream = Stream::new(Epoch::new(1));
    let config = Config { max_records: 2, ..Config::default() };
    stream.merge(&section(1, 4, &[1, 2, 3, 4]), &config, &mut Vec::new());
    assert_eq!((stream.live(), stream.refused, stream.is_complete()), (2, 2, true));
}

#[test]
fn removals_beyond_all_limits_are_done_and_not_remembered() {
    let mut stream = Stream::new(Epoch::new(1));
    let (config, mut changes) = (Config { max_tombstones: 2, ..Config::default() }, Vec::new());
    let key = |n: u64| [200, n as u8];
    for seq in 1..=20 {
        let item = Item::new(&key(seq), Some(&[1]));
        stream.merge(&listing(seq, item), &config, &mut changes);
    }
    for seq in 21..=40 {
        let section = listing(seq, Item::new(&key(seq - 20), None));
        if stream.merge(&section, &config, &mut changes) == stream::Merged::Behind {
            let whole = Section { replace: true, ..section };
            stream.merge(&whole, &config, &mut changes);
        }
    }
    assert_eq!((stream.live(), stream.len()), (0, 6), "three times as many as an honest node has");
    assert_eq!(stream.refused, 14);
    assert_eq!(changes.len(), 40, "each came and went");
}

#[test]
fn a_new_key_waits_for_the_removal_that_made_room_for_it() {
    let mut stream = Stream::new(Epoch::new(1));
    let (config, mut changes) = (Config { max_records: 2, ..Config::default() }, Vec::new());
    let parts = [
        listing(1, Item::new(&[200, 1], Some(&[1]))),
        listing(2, Item::new(&[200, 2], Some(&[1]))),
        listing(3, Item::new(&[200, 1], None)),
        listing(4, Item::new(&[200, 3], Some(&[1]))),
    ];
    for n in [0, 1, 3, 2, 3] {
        stream.merge(&parts[n], &config, &mut changes);
    }
    assert_eq!((stream.live(), stream.refused, stream.is_complete()), (2, 0, true));
    assert!(stream.value(&[200, 3]).is_some() && stream.value(&[200, 1]).is_none());
}

#[test]
fn a_replacement_makes_room_at_the_expense_of_what_it_has_not_reached() {
    let mut stream = Stream::new(Epoch::new(1));
    let (config, mut changes) = (Config { max_records: 2, ..Config::default() }, Vec::new());
    for seq in [1, 2] {
        stream.merge(&listing(seq, Item::new(&[200, seq as u8], Some(&[1]))), &config, &mut changes);
    }
    let last = Section { replace: true, floor: 3, ..listing(4, Item::new(&[200, 3], Some(&[1]))) };
    stream.merge(&last, &config, &mut changes);
    assert_eq!((stream.live(), stream.refused), (2, 0));
    assert!(stream.value(&[200, 1]).is_none(), "the oldest that the listing may not have");
}

/// The listing of one number.
fn listing(seq: u64, item: Item) -> Section {
    Section { entries: vec![Entry { seq, item }], ..section(seq, seq, &[]) }
}

#[test]
fn who_is_behind_the_floor_takes_only_a_replacement() {
    let mut stream = Stream::new(Epoch::new(1));
    merge(&mut stream, &section(1, 3, &[1, 2, 3]));
    let late = Section { floor: 6, ..section(4, 8, &[8]) };
    let (config, mut changes) = (Config::default(), Vec::new());
    assert_eq!(stream.merge(&late, &config, &mut changes), stream::Merged::Behind);
    let whole = Section { replace: true, from: 1, ..late };
    assert_eq!(stream.merge(&whole, &config, &mut changes), stream::Merged::News);
    assert_eq!((stream.live(), stream.cover.have()), (1, 8));
}

#[test]
fn a_node_that_is_down_is_hidden_and_shown_again_and_forgotten_in_time() {
    let (t, mut rng) = (now(), Zero);
    let (mut a, mut b) = (replica(1, t), replica(2, t));
    a.member_up(NodeId::new(2), Epoch::new(1), t);
    b.member_up(NodeId::new(1), Epoch::new(1), t);
    a.put(&vni_join(1), t).unwrap();
    a.handle_timeout(t + Duration::from_millis(50), &mut rng);
    while let Some(output) = a.poll_output() {
        if let Output::Send { bytes, .. } = output {
            b.handle_message(NodeId::new(1), &bytes, t, &mut rng).unwrap();
        }
    }
    let key = vni_join(1).key();
    assert_eq!(b.get(NodeId::new(1), &key), Some(vni_join(1)));
    b.member_down(NodeId::new(1), t);
    assert_eq!(b.get(NodeId::new(1), &key), None);
    b.member_up(NodeId::new(1), Epoch::new(1), t);
    assert_eq!(b.get(NodeId::new(1), &key), Some(vni_join(1)));
    b.member_down(NodeId::new(1), t);
    b.handle_timeout(t + KEEP_DOWN, &mut rng);
    assert_eq!(b.entries(), 0);
}

#[test]
fn removals_beyond_the_limit_raise_the_floor() {
    let t = now();
    let mut a = replica(1, t);
    for _ in 0..a.config.max_tombstones + 10 {
        a.put(&vni_join(1), t).unwrap();
        a.remove(&vni_join(1).key(), t);
    }
    assert_eq!(a.origins[&NodeId::new(1)].stream.floor, 20);
    assert!(a.tombstones.len() <= a.config.max_tombstones);
}

/// A node that says `records`, with who may ask it.
fn origin_of(records: u8, peers: &[u128], t: Instant) -> Replica {
    let mut origin = replica(1, t);
    peers.iter().for_each(|peer| origin.member_up(NodeId::new(*peer), Epoch::new(1), t));
    let opaque = |n: u8| Record::Opaque { kind: 99, key: [n].into(), value: [0; 800].into() };
    (0..records).for_each(|n| origin.put(&opaque(n), t).unwrap());
    origin
}

/// What a node asks for that knows nothing of the first `count` records of node 1.
fn ask(count: u64) -> Vec<u8> {
    let want =
        Want { origin: NodeId::new(1), epoch: Epoch::new(1), replace: false, ranges: vec![(1, count)] };
    Message::Pull(vec![want]).encode()
}

fn to_whom(a: &mut Replica) -> Option<u128> {
    match a.poll_output() {
        Some(Output::Stream { to, .. }) => Some(to.get()),
        _ => None,
    }
}

#[test]
fn streams_have_their_turns_and_a_full_one_delays_no_other() {
    let t = now();
    let mut a = origin_of(250, &[2, 3, 4], t);
    for peer in [2, 3, 4] {
        a.handle_message(NodeId::new(peer), &ask(250), t, &mut Zero).unwrap();
    }
    a.set_blocked(NodeId::new(3), true);
    let turns: Vec<_> = (0..4).map(|_| to_whom(&mut a)).collect();
    assert_eq!(turns, [Some(2), Some(4), Some(2), Some(4)]);
    a.stream_failed(NodeId::new(4));
    while to_whom(&mut a) == Some(2) {}
    assert_eq!(a.poll_output(), None);
    assert!(a.poll_timeout() > t, "a full stream is waited for without a timer");
    a.set_blocked(NodeId::new(3), false);
    assert_eq!(to_whom(&mut a), Some(3));
}

#[test]
fn a_node_that_went_down_is_not_full_when_it_is_back() {
    let (t, two) = (now(), NodeId::new(2));
    let mut a = origin_of(250, &[2], t);
    a.set_blocked(two, true);
    a.member_down(two, t);
    a.member_up(two, Epoch::new(1), t);
    a.handle_message(two, &ask(250), t, &mut Zero).unwrap();
    assert_eq!(to_whom(&mut a), Some(2));
}

/// All that `a` has to say to `b`, there.
fn bring(a: &mut Replica, b: &mut Replica, t: Instant) {
    while let Some(output) = a.poll_output() {
        if let Output::Send { bytes, .. } | Output::Stream { bytes, .. } = output {
            b.handle_message(a.own, &bytes, t, &mut Zero).unwrap();
        }
    }
}

/// What is reported of node 1.
fn reported(b: &mut Replica) -> Vec<(Key, Option<Record>, Option<Record>)> {
    let outputs = std::iter::from_fn(|| b.poll_output());
    let changed = outputs.filter_map(|output| match output {
        Output::Changed { origin, key, old, new } if origin == NodeId::new(1) => Some((key, old, new)),
        _ => None,
    });
    changed.collect()
}

#[test]
fn a_replay_reports_all_that_is_shown_a_few_at_a_time() {
    let t = now();
    let (mut a, mut b) = (origin_of(150, &[2], t), replica(2, t));
    b.member_up(NodeId::new(1), Epoch::new(1), t);
    a.handle_timeout(t + Duration::from_millis(50), &mut Zero);
    bring(&mut a, &mut b, t);
    let first = reported(&mut b);
    assert_eq!(first.len(), 150);
    b.replay(NodeId::new(1));
    assert!(b.poll_output().is_some() && b.outputs.len() < 64, "{} at once", b.outputs.len());
    assert_eq!(reported(&mut b), first[1..]);
    b.replay(NodeId::new(1));
    b.member_down(NodeId::new(1), t);
    assert!(reported(&mut b).iter().all(|change| change.2.is_none()), "what is hidden is not reported");
}

#[test]
fn who_left_is_not_believed_again_even_if_nothing_was_heard_of_it() {
    let (t, one) = (now(), NodeId::new(1));
    for heard in [false, true] {
        let (mut a, mut b) = (origin_of(3, &[2], t), replica(2, t));
        b.member_up(one, Epoch::new(1), t);
        a.handle_timeout(t + Duration::from_millis(50), &mut Zero);
        if heard {
            bring(&mut a, &mut b, t);
            assert_eq!(b.records(one).count(), 3);
        }
        b.member_leave(one, t);
        a.handle_timeout(t + Duration::from_millis(100), &mut Zero);
        bring(&mut a, &mut b, t);
        assert_eq!((b.entries(), b.counters().stale > 0), (0, true));
        b.member_up(one, Epoch::new(1), t);
        a.handle_timeout(t + Duration::from_millis(150), &mut Zero);
        bring(&mut a, &mut b, t);
        assert_eq!(b.records(one).count(), 3, "membership knows better");
    }
}

/// What `a` says to whoever is up, and whether it reads as it was written.
fn all_can_be_read(a: &mut Replica, t: Instant) -> bool {
    a.handle_timeout(t + Duration::from_millis(50), &mut Zero);
    a.handle_timeout(t + Duration::from_secs(2), &mut Zero);
    let sent = std::iter::from_fn(|| a.poll_output());
    let read: Vec<bool> = sent
        .filter_map(|output| match output {
            Output::Send { bytes, .. } | Output::Stream { bytes, .. } => {
                Some(Message::decode(&bytes).is_ok())
            }
            _ => None,
        })
        .collect();
    !read.is_empty() && !read.contains(&false)
}

#[test]
fn the_last_number_of_others_leads_to_nothing_that_cannot_be_read() {
    let (t, one) = (now(), NodeId::new(1));
    for epoch in [1, Epoch::MAX.get()] {
        for max in [1, octets::MAX_SEQ] {
            let told = Section { max, epoch: Epoch::new(epoch), ..section(max, max, &[max]) };
            let mut b = replica(2, t);
            b.put(&vni_join(1), t).unwrap();
            b.member_up(one, Epoch::new(1), t);
            b.handle_message(one, &Message::Delta(vec![told]).encode(), t, &mut Zero).unwrap();
            assert!(all_can_be_read(&mut b, t), "epoch {epoch}, number {max}");
        }
    }
    let beyond = octets::MAX_SEQ + 1;
    let told = Section { max: beyond, ..section(1, 1, &[1]) };
    let refused = Message::decode(&Message::Delta(vec![told]).encode());
    assert_eq!(refused, Err(WireError::Value { what: "range" }));
}

/// Node `from` says that node 1 is in an epoch and said so many things in it.
fn claim_of_1(b: &mut Replica, from: u128, epoch: u64, max: u64, t: Instant) {
    let told = Section { epoch: Epoch::new(epoch), ..section(max, max, &[max]) };
    let bytes = Message::Delta(vec![told]).encode();
    b.handle_message(NodeId::new(from), &bytes, t, &mut Zero).unwrap();
}

#[test]
fn nobody_makes_a_node_go_on_in_an_epoch_that_no_count_of_starts_leads_to() {
    let t = now();
    let (far, last) = (1 << 32, Epoch::MAX.get());
    for (claimed, goes_on_in) in [(far, far + 1), (far + 1, 1), (last - 1, 1), (last, 1)] {
        let mut a = origin_of(1, &[2], t);
        claim_of_1(&mut a, 2, claimed, 9, t);
        assert_eq!(a.epoch(), Epoch::new(goes_on_in));
        assert!(all_can_be_read(&mut a, t));
    }
}

#[test]
fn a_claim_of_an_absurd_epoch_of_another_node_does_not_silence_it() {
    let t = now();
    let (one, three) = (NodeId::new(1), NodeId::new(3));
    // Before anything was heard of the node, after that, and before it was a member.
    for (heard, member) in [(false, true), (true, true), (false, false)] {
        let (mut a, mut b) = (origin_of(3, &[2], t), replica(2, t));
        b.member_up(three, Epoch::new(1), t);
        if member {
            b.member_up(one, Epoch::new(1), t);
        }
        a.handle_timeout(t + Duration::from_millis(50), &mut Zero);
        if heard {
            bring(&mut a, &mut b, t);
        }
        claim_of_1(&mut b, 3, Epoch::MAX.get(), 9, t);
        let head = Head { origin: one, epoch: Epoch::MAX, have: 9, max: 9, hash: 9, refused: false };
        b.compare_head(three, &head, t);
        b.member_up(one, Epoch::new(1), t);
        a.handle_timeout(t + Duration::from_millis(100), &mut Zero);
        bring(&mut a, &mut b, t);
        assert_eq!(b.records(one).count(), 3, "heard {heard}, member {member}");
        assert_eq!(b.counters().absurd > 0, member);
    }
}

#[test]
fn a_node_that_speaks_for_itself_is_heard_though_all_believed_an_absurd_claim() {
    let (t, one) = (now(), NodeId::new(1));
    let (mut a, mut b) = (origin_of(3, &[2], t), replica(2, t));
    b.member_up(one, Epoch::new(1), t);
    // With the seal of the node: who has the key can make one.
    claim_of_1(&mut b, 1, Epoch::MAX.get(), 9, t);
    a.handle_timeout(t + Duration::from_millis(50), &mut Zero);
    bring(&mut a, &mut b, t);
    assert_eq!(b.records(one).count(), 3);
}

#[test]
fn the_grave_of_an_absurd_claim_keeps_nobody_out() {
    let (t, one) = (now(), NodeId::new(1));
    let (mut a, mut b) = (origin_of(3, &[2], t), replica(2, t));
    claim_of_1(&mut b, 3, Epoch::MAX.get(), 9, t);
    b.member_leave(one, t);
    b.member_up(one, Epoch::new(1), t);
    a.handle_timeout(t + Duration::from_millis(50), &mut Zero);
    bring(&mut a, &mut b, t);
    assert_eq!(b.records(one).count(), 3);
}

#[test]
fn a_stream_of_which_nobody_has_the_end_is_begun_anew_by_its_node() {
    let (mut t, one, two) = (now(), NodeId::new(1), NodeId::new(2));
    let (mut a, mut b, mut dice) = (origin_of(3, &[2], t), replica(2, t), crate::sim::Dice::new(1));
    b.member_up(one, Epoch::new(1), t);
    b.member_up(NodeId::new(3), Epoch::new(1), t);
    let told = Section { max: octets::MAX_SEQ, ..section(1, 0, &[]) };
    for step in 0..100 {
        t += Duration::from_millis(50);
        a.handle_timeout(t, &mut Zero);
        bring(&mut a, &mut b, t);
        if step == 10 {
            let bytes = Message::Delta(vec![told.clone()]).encode();
            b.handle_message(NodeId::new(3), &bytes, t, &mut Zero).unwrap();
            assert!(!b.origins[&one].stream.is_complete());
            assert_eq!(a.root(), b.root(), "no comparison finds it");
        }
        b.handle_timeout(t, &mut dice);
        let sent: Vec<_> = std::iter::from_fn(|| b.poll_output()).collect();
        for output in sent {
            if let Output::Send { to, bytes } = output
                && to == one
            {
                a.handle_message(two, &bytes, t, &mut Zero).unwrap();
            }
        }
    }
    assert!(b.origins[&one].stream.is_complete());
    assert_eq!((a.epoch(), b.records(one).count()), (Epoch::new(2), 3));
}

#[test]
fn no_verdict_is_kept_of_a_node_that_is_not_up() {
    let t = now();
    let mut a = origin_of(1, &[2], t);
    let bytes = Message::Buckets { first: 0, digests: vec![1; 128] }.encode();
    for node in 2..100 {
        a.handle_message(NodeId::new(node), &bytes, t, &mut Zero).unwrap();
    }
    assert_eq!(a.verdicts.len(), 1);
}

#[test]
fn a_vtep_has_one_key_only() {
    let mapped = [&[4, 6][..], &[0; 10], &[0xff, 0xff, 10, 0, 0, 9, 0x12, 0xb5]].concat();
    assert_eq!(Key::decode(&mapped), Err(RecordError::Malformed { kind: 4 }));
    let key = Key::Vtep(std::net::SocketAddr::from(([10, 0, 0, 9], 4789)).into());
    assert_eq!(Key::decode(&key.octets()), Ok(key));
}

/// Always the first choice.
struct Zero;

impl rand_core::TryRng for Zero {
    type Error = std::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(0)
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(0)
    }
    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Self::Error> {
        dst.fill(0);
        Ok(())
    }
}

proptest! {
    #[test]
    fn no_octets_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0u8..7) {
        if bytes.len() > 1 {
            (bytes[0], bytes[1]) = (0x10, kind);
        }
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
        let t = now();
        let mut a = replica(1, t);
        a.member_up(NodeId::new(2), Epoch::new(1), t);
        let _ = a.handle_message(NodeId::new(2), &bytes, t, &mut Zero);
        while a.poll_output().is_some() {}
    }

    #[test]
    fn an_item_gives_back_what_it_was_made_of(
        key in prop::collection::vec(any::<u8>(), 1..=MAX_KEY + 1),
        value in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
    ) {
        let item = Item::new(&key, value.as_deref());
        prop_assert_eq!((item.key(), item.value()), (&key[..], value.as_deref()));
        prop_assert_eq!(item.len(), key.len() + value.as_ref().map_or(0, Vec::len));
        let octets = [&7u64.to_be_bytes()[..], &[key.len() as u8], &key, &value.unwrap_or_default()].concat();
        prop_assert_eq!(item.hash(7), twox_hash::XxHash3_128::oneshot(&octets));
    }

    #[test]
    fn sections_give_the_same_in_any_order(order in Just((1u64..=12).collect::<Vec<_>>()).prop_shuffle()) {
        let (mut one, mut other) = (Stream::new(Epoch::new(1)), Stream::new(Epoch::new(1)));
        for seq in 1..=12 {
            merge(&mut one, &section(seq, seq, &[seq]));
        }
        for seq in order {
            let part = section(seq, seq, &[seq]);
            merge(&mut other, &part);
            merge(&mut other, &part);
        }
        prop_assert_eq!((one.hash, one.cover.have(), one.live()), (other.hash, 12, other.live()));
    }

    #[test]
    fn coverage_is_a_set_of_numbers(ranges in prop::collection::vec((1u64..60, 0u64..9), 0..20)) {
        let mut coverage = Coverage::default();
        let mut set = std::collections::BTreeSet::new();
        for (from, len) in ranges {
            if coverage.add(from, from + len).is_ok() {
                set.extend(from..=from + len);
            }
        }
        for n in 1..70 {
            prop_assert_eq!(coverage.contains(n, n), set.contains(&n));
            prop_assert_eq!(coverage.missing(69, 99).iter().any(|r| (r.0..=r.1).contains(&n)), !set.contains(&n));
        }
    }
}
