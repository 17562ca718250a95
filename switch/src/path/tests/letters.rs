//! Letters: straight, through another node, and not at all.

use super::*;

fn content(text: &str) -> Content {
    Content::new(text.as_bytes()).unwrap()
}

fn outgoing(to: usize, size: u16, answers: Option<Question>, text: &str) -> Outgoing {
    Outgoing { to: id(to), flow: 0x8000_0000, size, answers, content: content(text), load: None }
}

fn post(world: &mut World, from: usize, letter: &Outgoing) -> Result<(), Dropped> {
    let now = world.now;
    let posted = world.nodes[from].engine.post(letter, now);
    world.collect(from);
    posted
}

/// Takes the letters that arrived at a node.
fn letters(world: &mut World, at: usize) -> Vec<Received> {
    std::mem::take(&mut world.nodes[at].letters)
}

#[track_caller]
fn one(letters: Vec<Received>) -> Received {
    let [letter] = <[Received; 1]>::try_from(letters).expect("one letter");
    letter
}

/// Takes the only question that arrived at a node, and answers it after 3 ms.
#[track_caller]
fn answer(world: &mut World, at: usize) -> Received {
    let letter = one(letters(world, at));
    let Sort::Question(question) = letter.sort else { panic!("{letter:?}") };
    world.run(millis(3));
    let to = (0..world.nodes.len()).find(|n| id(*n) == letter.from).unwrap();
    assert_eq!(post(world, at, &outgoing(to, 0, Some(question), "told")), Ok(()));
    letter
}

#[test]
fn a_letter_goes_straight_and_its_answer_tells_the_round_trip_and_the_time_inside() {
    let mut world = World::new(1, 2);
    world.between(0, 1, |wire| wire.latency = millis(2));
    world.run_secs(5);
    assert_eq!(post(&mut world, 0, &outgoing(1, 1500, None, "asked")), Ok(()));
    world.run(millis(2));
    let asked = answer(&mut world, 1);
    assert_eq!((asked.from, asked.by, asked.to, asked.content), (id(0), id(0), id(1), content("asked")));
    assert_eq!((asked.format, asked.flow), (Format::Vxlan, 0x8000_0000));
    world.run(millis(2));
    let told = one(letters(&mut world, 0));
    assert_eq!((told.from, told.content), (id(1), content("told")));
    assert_eq!(told.sort, Sort::Answer { round_trip: millis(4), inside: millis(3) });
}

#[test]
fn a_letter_as_large_as_a_frame_arrives_exactly_where_that_frame_does() {
    let mut world = World::new(1, 2);
    world.run_secs(5);
    world.wire(0, 1).mtus = vec![1400];
    for (size, arrives) in [(1400, true), (1401, false)] {
        assert_eq!(post(&mut world, 0, &outgoing(1, size, None, "asked")), Ok(()));
        world.run(millis(5));
        assert_eq!(letters(&mut world, 1).len() == 1, arrives, "{size} octets");
    }
    // By the source port of its flow.
    world.wire(0, 1).mtus = (0..16).map(|source| if source == 8 { 1500 } else { 576 }).collect();
    assert_eq!(post(&mut world, 0, &outgoing(1, 1500, None, "asked")), Ok(()));
    world.run(millis(5));
    assert_eq!(letters(&mut world, 1).len(), 1);
}

#[test]
fn a_frame_goes_in_a_packet_as_large_as_its_own_and_loses_only_the_end_of_what_it_carries() {
    let mut world = World::new(1, 2);
    world.run_secs(5);
    let octets: Vec<u8> = (0..=u8::MAX).cycle().take(1464).collect();
    let envelope = least_packet(IpVersion::V4, Format::Vxlan, 0);
    for (frame, size, carried) in
        [(1464, 1500, 1500 - envelope), (1464, 1400, 1400 - envelope), (60, 110, 60), (1000, 100, 78)]
    {
        let (octets, before) = (&octets[..frame], world.nodes[0].octets);
        let letter = Outgoing { load: Load::new(octets), ..outgoing(1, size, None, "asked") };
        assert_eq!(post(&mut world, 0, &letter), Ok(()));
        let sent = usize::try_from(world.nodes[0].octets - before).unwrap();
        let least = least_packet(IpVersion::V4, Format::Vxlan, frame);
        assert_eq!(sent, least.max(size.into()), "{frame} in {size}");
        world.run(millis(5));
        let load = one(letters(&mut world, 1)).load.expect("a frame");
        assert_eq!((load.octets(), usize::from(load.frame_len())), (&octets[..carried], frame));
        let whole = load.frame();
        assert!(whole.len() == frame && whole[carried..].iter().all(|octet| *octet == 0));
    }
}

/// Three nodes, the first two of which reach each other through the third only.
fn cut() -> World {
    let mut world = World::new(1, 3);
    [(0, 1), (0, 2), (1, 2)].into_iter().for_each(|(a, b)| world.talk(a, b));
    world.run_secs(5);
    world.between(0, 1, |wire| wire.cut = true);
    let both = |world: &World| world.path(0, 1).via.is_some() && world.path(1, 0).via.is_some();
    world.until(5 * SECOND, both);
    world
}

#[test]
fn without_a_direct_way_a_letter_and_its_answer_go_through_the_node_that_relays_which_hears_it() {
    let mut world = cut();
    let frame = Load::new(&[7; 1000]);
    let letter = Outgoing { load: frame.clone(), ..outgoing(1, 1400, None, "asked") };
    assert_eq!(post(&mut world, 0, &letter), Ok(()));
    world.run(millis(5));
    let passed_on = answer(&mut world, 2);
    assert_eq!(passed_on.load, frame);
    assert_eq!((passed_on.from, passed_on.by, passed_on.to), (id(0), id(0), id(1)));
    assert_eq!(passed_on.format, Format::Geneve);
    let asked = answer(&mut world, 1);
    assert_eq!((asked.from, asked.by, asked.to, asked.format), (id(0), id(2), id(1), Format::Geneve));
    assert_eq!(asked.load, frame);
    world.run(millis(5));
    let told: Vec<NodeId> = letters(&mut world, 0).iter().map(|letter| letter.from).collect();
    assert_eq!(told, [id(2), id(1)]);
    assert_eq!(letters(&mut world, 2), [], "an answer that it passes on is not for it");
}

#[test]
fn who_does_not_relay_passes_no_letter_on() {
    let mut world = cut();
    let config = Config { relay: false, ..Config::default() };
    world.nodes[2].engine.set_config(config, world.now);
    world.collect(2);
    assert_eq!(post(&mut world, 0, &outgoing(1, 0, None, "asked")), Ok(()));
    world.run(millis(5));
    assert_eq!((letters(&mut world, 1), letters(&mut world, 2)), (vec![], vec![]));
    assert_eq!(world.nodes[2].refused.get("not_passed_on"), Some(&1));
}

#[test]
fn who_writes_too_many_letters_is_not_heard_for_a_while() {
    let mut world = World::new(1, 2);
    world.run_secs(5);
    let mut posted = 0;
    for _ in 0..60 {
        posted += u64::from(post(&mut world, 0, &outgoing(1, 0, None, "asked")).is_ok());
        world.run(millis(10));
    }
    let heard = letters(&mut world, 1).len() as u64;
    assert!((32..40).contains(&heard), "{heard} of {posted}");
    assert_eq!(world.nodes[1].refused.get("rate"), Some(&(posted - heard)));
    assert_eq!(post(&mut world, 0, &outgoing(7, 0, None, "asked")), Err(Dropped::Seal(Refusal::Stranger)));
}

#[test]
fn letters_without_a_pause_leave_probes_what_they_need() {
    // Probes to a peer with traffic and to one without, as letters to a third go, or do not.
    let probes = |writes: bool| {
        let mut world = World::new(1, 4);
        world.talk(0, 2);
        world.run_secs(5);
        let sent = |world: &World| [2, 3].map(|n| world.nodes[0].engine.view(id(n)).unwrap().probes_sent);
        let (before, mut refused) = (sent(&world), 0);
        for _ in 0..60_000 {
            refused += u64::from(writes && post(&mut world, 0, &outgoing(1, 1500, None, "asked")).is_err());
            world.run(millis(1));
        }
        let after = sent(&world);
        (after[0] - before[0], after[1] - before[1], refused)
    };
    let (quiet, busy) = (probes(false), probes(true));
    assert!(quiet.0 > 100 && quiet.1 > 5 && busy.2 > 1_000, "{quiet:?} {busy:?}");
    assert!(busy.0 * 10 >= quiet.0 * 9 && busy.1 * 10 >= quiet.1 * 9, "{quiet:?} {busy:?}");
}

#[test]
fn a_letter_that_somebody_padded_beyond_the_link_is_not_passed_on() {
    let mut world = cut();
    world.run_secs(1);
    let now = world.now;
    for (size, passes) in [(1500, true), (1501, false), (65_000, false)] {
        assert_eq!(world.nodes[0].engine.post(&outgoing(1, 1400, None, "asked"), now), Ok(()));
        let sent =
            std::iter::from_fn(|| world.nodes[0].engine.poll_output()).find_map(|output| match output {
                Output::Send { sealed, format, .. } => Some((sealed, format)),
                _ => None,
            });
        let (sealed, format) = sent.expect("a letter");
        let before = world.nodes[2].octets;
        world.arrive(0, 2, Way { family: IpVersion::V4, format }, &sealed, size);
        assert_eq!(letters(&mut world, 2).len() == 1, passes, "{size} octets are heard");
        assert_eq!(world.nodes[2].octets - before, if passes { 1500 } else { 0 });
    }
    assert_eq!(world.nodes[2].refused.get("not_passed_on"), Some(&2));
}
