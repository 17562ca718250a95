//! What others send that they should not.

use proptest::prelude::*;

use super::super::message::{self, Answer, Body, Counts, Message, Pace, Probe, Reply};
use super::super::testing::{GENEVE, VXLAN};
use super::*;
use fdb::gossip::seal::{Gate, Kind, Mode, Process};

/// What node 1 would say, if it were malicious.
struct Liar {
    gate: Gate,
    number: u32,
}

impl Liar {
    /// In place of node 1, which is silent from now on.
    fn instead_of_1(world: &mut World) -> Self {
        world.restart(1);
        world.tell(0);
        Self { gate: Gate::for_paths(world.nodes[1].process, Mode::Insecure), number: 0 }
    }

    fn says(&mut self, world: &World, body: Body) -> Vec<u8> {
        self.number += 1;
        let counts = Counts { number: self.number, highest: u32::MAX, heard: 7 };
        let to = message::receiver(world.nodes[0].process.boot);
        let mut sealed = Vec::new();
        self.gate
            .seal(Kind::Path, &Message { to, numbered: true, counts, body }.encode(), &mut sealed)
            .unwrap();
        sealed
    }
}

fn probe(size: u16) -> Body {
    Body::Probe(Probe { id: 7, size, pace: Pace(u16::MAX), wall_ms: u64::MAX, source: 3 })
}

fn refused(world: &World, name: &str) -> u64 {
    world.nodes[0].refused.get(name).copied().unwrap_or(0)
}

#[test]
fn strangers_are_not_answered() {
    let mut world = World::new(1, 2);
    let stranger = Process { node: NodeId::new(99), boot: BootId::new(1) };
    let mut liar = Liar { gate: Gate::for_paths(stranger, Mode::Insecure), number: 0 };
    let sealed = liar.says(&world, probe(140));
    let before = world.nodes[0].octets;
    world.arrive(1, 0, VXLAN, &sealed, 140);
    assert_eq!((refused(&world, "stranger"), world.nodes[0].octets), (1, before));
}

#[test]
fn a_probe_is_answered_once_and_only_if_it_is_as_large_as_it_says() {
    let mut world = World::new(1, 2);
    let mut liar = Liar::instead_of_1(&mut world);
    let before = world.nodes[0].octets;
    let cut = liar.says(&world, probe(1400));
    world.arrive(1, 0, VXLAN, &cut, 600);
    assert_eq!((refused(&world, "size"), world.nodes[0].octets), (1, before));

    let whole = liar.says(&world, probe(1400));
    world.arrive(1, 0, VXLAN, &whole, 1400);
    world.arrive(1, 0, VXLAN, &whole, 1400);
    assert_eq!(refused(&world, "replay"), 1);
    let answered = world.nodes[0].octets - before;
    assert!(answered < 300, "a small reply, and perhaps an own probe: {answered}");
}

#[test]
fn what_is_for_another_node_is_not_heard() {
    let mut world = World::new(1, 3);
    let mut liar = Liar::instead_of_1(&mut world);
    let to = message::receiver(world.nodes[2].process.boot);
    let message = Message { to, numbered: true, counts: Counts::default(), body: probe(140) };
    let mut sealed = Vec::new();
    liar.gate.seal(Kind::Path, &message.encode(), &mut sealed).unwrap();
    world.arrive(1, 0, VXLAN, &sealed, 140);
    assert_eq!(refused(&world, "message"), 1);
}

#[test]
fn a_storm_of_probes_gets_few_answers_and_costs_the_others_nothing() {
    let mut world = World::new(1, 3);
    world.talk(0, 2);
    world.run_secs(5);
    let mut liar = Liar::instead_of_1(&mut world);
    let before = world.nodes[0].octets;
    for _ in 0..10 {
        for _ in 0..1_000 {
            let sealed = liar.says(&world, probe(140));
            world.arrive(1, 0, VXLAN, &sealed, 140);
        }
        world.run_secs(1);
    }
    assert!(refused(&world, "rate") > 9_000);
    let rate = (world.nodes[0].octets - before) / 10;
    println!("a storm of 1,000 probes a second: {rate} B/s sent, to both peers");
    assert!(rate <= 8_000, "{rate}");
    assert_eq!(world.path(0, 2).health, Health::Up);
}

#[test]
fn who_floods_in_the_name_of_one_does_not_make_the_others_mute() {
    let mut world = World::new(1, 3);
    world.talk(0, 2);
    world.run_secs(5);
    // Anybody can write whose name is in the clear, and octets behind it.
    let mut garbage = Liar::instead_of_1(&mut world).says(&world, probe(140));
    if let Some(last) = garbage.last_mut() {
        *last ^= 1;
    }
    for _ in 0..50 {
        for _ in 0..3_000 {
            world.arrive(1, 0, VXLAN, &garbage, 140);
        }
        world.run(millis(100));
    }
    assert!(refused(&world, "rate") > 100_000);
    assert_eq!(world.path(0, 2).health, Health::Up);
}

#[test]
fn a_relay_that_takes_next_to_nothing_is_none() {
    let mut world = World::new(1, 3);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        world.talk(a, b);
    }
    world.run_secs(5);
    let mut liar = Liar::instead_of_1(&mut world);
    world.between(0, 2, |wire| wire.cut = true);
    for round in 0..200 {
        for mtu in [68, 575] {
            let body = Body::Answer(Answer {
                round: round / 10,
                about: id(2),
                up: true,
                mtu,
                round_trip: Duration::ZERO,
            });
            let sealed = liar.says(&world, body);
            world.arrive(1, 0, VXLAN, &sealed, 140);
        }
        world.run(millis(20));
    }
    assert!(world.path(0, 2).via.is_none_or(|via| via.mtu.get() >= 576), "{:?}", world.path(0, 2));
}

#[test]
fn replies_to_nothing_and_numbers_that_lie_change_nothing_for_others() {
    let mut world = World::new(1, 3);
    world.talk(0, 2);
    world.run_secs(5);
    let mut liar = Liar::instead_of_1(&mut world);
    for id in 0..100 {
        let reply = Reply { id, size: 9000, pace: Pace(u16::MAX), wall_ms: 0, delay: Duration::MAX };
        let sealed = liar.says(&world, Body::Reply(reply));
        world.arrive(1, 0, GENEVE, &sealed, 140);
    }
    assert!(refused(&world, "stray") >= 99);
    world.run_secs(5);
    assert_eq!((world.mtu(0, 1), world.mtu(0, 2)), (1500, 1500));
    assert_eq!(world.path(0, 2).health, Health::Up);
}

#[test]
fn who_lies_about_what_arrived_harms_itself_only() {
    let mut world = World::new(1, 3);
    world.talk(0, 1);
    world.talk(0, 2);
    world.run_secs(5);
    // Large probes vanish, and the liar says that they came: it guesses the next ids.
    let mut liar = Liar::instead_of_1(&mut world);
    world.between(0, 1, |wire| wire.mtus = vec![600]);
    for _ in 0..300 {
        for id in 1..40 {
            let reply = Reply { id, size: 1500, pace: Pace(0), wall_ms: 0, delay: Duration::ZERO };
            let sealed = liar.says(&world, Body::Reply(reply));
            world.arrive(1, 0, VXLAN, &sealed, 140);
        }
        world.run(millis(20));
    }
    assert_eq!((world.mtu(0, 2), &world.path(0, 2).health), (1500, &Health::Up));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_octets_of_a_member_or_a_stranger_make_it_panic(
        payloads in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..80), 0_u8..6, any::<u16>()), 1..40), right: bool,
    ) {
        let mut world = World::new(1, 3);
        world.talk(0, 1);
        world.run_secs(2);
        let mut liar = Liar::instead_of_1(&mut world);
        let to = message::receiver(world.nodes[0].process.boot).to_be_bytes();
        for (mut payload, kind, size) in payloads {
            if let (true, Some(head)) = (right, payload.first_chunk_mut::<9>()) {
                head[0] = kind;
                head[1..].copy_from_slice(&to);
            }
            let mut sealed = Vec::new();
            liar.gate.seal(Kind::Path, &payload, &mut sealed).unwrap();
            world.arrive(1, 0, VXLAN, &sealed, size.into());
            world.arrive(1, 0, VXLAN, &payload, size.into());
            world.run(millis(100));
        }
        prop_assert_eq!(world.mtu(0, 2), 1500);
    }
}
