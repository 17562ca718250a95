//! Frames that are really sent: what carries them, and how long they take.

use super::*;
use crate::trace::wire::Times;

/// What another node tells of a frame that was sent.
fn delivered_live(id: u32) -> Word {
    let Word::ToldFrame(id, told) = delivered(id) else { panic!() };
    let ns = Duration::from_nanos;
    let stages = vec![
        (StageName::Open, ns(700)),
        (StageName::CheckEthernet, ns(40)),
        (StageName::Decide, ns(300)),
        (StageName::Deliver, ns(900)),
    ];
    Word::ToldFrame(id, Told { times: Some(Times { waited: ns(20_000), stages }), ..told })
}

#[test]
fn a_live_frame_is_as_large_as_the_frame_and_goes_by_its_flow() {
    let (mut lab, _others) = two();
    let mut sizes = Vec::new();
    for (live, size) in [(false, 1000), (true, 1000), (true, 1450)] {
        let begun = trace(&mut lab, TraceAsk { live, size: Some(size), ..ask("10.32.0.2") });
        let letters = std::mem::take(&mut lab.twin().posted);
        sizes.push(letters[0].size);
        assert_ne!(letters[0].flow, 0);
        let carried = letters[0].load.as_ref().map(|load| usize::from(load.frame_len()));
        assert_eq!(carried, live.then_some(14 + usize::from(size)));
        assert_eq!(matches!(said(&letters[0]), Word::AskLive(..)), live);
        (0..3).for_each(|_| lab.tick());
        let story = show(&mut lab, begun.id);
        assert_eq!(story.outcome == Outcome::Lost, live, "silence");
        lab.twin().posted.clear();
    }
    assert_eq!(sizes, [0, 1050, 1500]);
}

#[test]
fn every_stage_of_a_live_frame_has_its_time_and_of_any_other_none() {
    let (mut lab, _others) = two();
    let begun = trace(&mut lab, ask("10.32.0.2"));
    answers(&mut lab, 2, &delivered(begun.id));
    let json = serde_json::to_string(&show(&mut lab, begun.id)).unwrap();
    assert!(!json.contains("\"ns\"") && !json.contains("waited_us"), "{json}");

    lab.twin().posted.clear();
    let begun = trace(&mut lab, TraceAsk { live: true, size: Some(1400), ..ask("10.32.0.2") });
    answers(&mut lab, 2, &delivered_live(begun.id));
    let story = show(&mut lab, begun.id);
    assert_eq!((story.finished, story.outcome), (true, Outcome::Arrives));
    let times: Vec<_> = story.stages.iter().map(|stage| (stage.stage, stage.ns)).collect();
    use StageName::{Admit, CheckEthernet, Decide, Deliver, Observe, Open, Resolve, Send, Underlay};
    // The clock of the test goes on by a microsecond whenever it is asked.
    let own = [Resolve, Admit, Observe, Decide, Send].map(|stage| (stage, Some(1000)));
    let there = [(Open, 700), (CheckEthernet, 40), (Decide, 300), (Deliver, 900)];
    let there = there.map(|(stage, ns)| (stage, Some(ns)));
    assert_eq!(times, [&own[..], &[(Underlay, Some(210_000))], &there].concat());
    let hop = &story.nodes[0];
    assert_eq!((hop.round_trip_us, hop.inside_us, hop.waited_us), (Some(420), Some(35), Some(20)));
}

#[test]
fn a_live_frame_that_hardly_has_more_than_headers_says_how_much_larger_it_is() {
    let (mut lab, _others) = two();
    let begun = trace(&mut lab, TraceAsk { live: true, ..ask("10.32.0.2") });
    let size = lab.twin().posted[0].size;
    assert!((300..400).contains(&size), "{size}");
    assert_eq!(begun.nodes[0].size, size);
}

#[test]
fn of_a_live_frame_that_is_relayed_each_leg_has_its_time() {
    let (mut lab, mut others) = two();
    others.join(&mut lab, 3);
    finds(&mut lab, 3, good());
    let relayed = path::Path { via: Some(Via { node: id(3), mtu: mtu(1500) }), ..ill(&lab, Cause::Relayed) };
    finds(&mut lab, 2, relayed);
    let begun = trace(&mut lab, TraceAsk { live: true, ..ask("10.32.0.2") });
    let (place, network, waited) = ("node-2".to_owned(), "pods".to_owned(), Duration::from_micros(7));
    let stages = vec![(StageName::PassOn, Duration::from_nanos(1200))];
    let times = Some(Times { waited, stages });
    let passed_on = Told { verdict: Verdict::PassedOn, ports: 0, place, network, times };
    answers(&mut lab, 3, &Word::ToldFrame(begun.id, passed_on));
    let sort = Sort::Answer { round_trip: Duration::from_micros(1020), inside: Duration::from_micros(35) };
    arrives(&mut lab, 2, (1, 3), sort, delivered_live(begun.id).encode().unwrap());
    let story = show(&mut lab, begun.id);
    let legs = story.stages.iter().skip(5).take(3);
    let legs: Vec<_> = legs.map(|stage| (stage.node.as_str(), stage.stage, stage.ns)).collect();
    let (underlay, pass_on) = (StageName::Underlay, StageName::PassOn);
    assert_eq!(
        legs,
        [
            ("node-a", underlay, Some(210_000)),
            ("node-3", pass_on, Some(1200)),
            ("node-3", underlay, Some(300_000))
        ]
    );
    assert!(story.stages[7].text.contains("what node-3 needs to pass it on"), "{:?}", story.stages[7]);
}

#[test]
fn of_a_frame_that_was_sent_its_own_octets_go_through_the_stages_and_it_is_told_how_long_they_took() {
    let (mut lab, _others) = two();
    let mut tell = |octets: &[u8]| {
        let load = Load::new(octets);
        let Word::ToldFrame(5, told) = asks_of(&mut lab, (2, 1, 2), &Word::AskLive(5, vni(100)), load) else {
            panic!()
        };
        let times = told.times.expect("times");
        assert_eq!(times.waited, Duration::from_millis(3));
        (told.verdict, times.stages)
    };
    let timed = |stages: &[StageName]| -> Vec<(StageName, Duration)> {
        stages.iter().map(|stage| (*stage, Duration::from_micros(1))).collect()
    };
    use StageName::{CheckEthernet, Decide, Deliver, Open};
    let dropped = |reason: &str| Verdict::Dropped(reason.to_owned());
    let good = frame(1).octets();
    assert_eq!(tell(&good), (Verdict::Delivered, timed(&[Open, CheckEthernet, Decide, Deliver])));
    let unknown = (dropped("unknown_unicast"), timed(&[Open, CheckEthernet, Decide]));
    assert_eq!(tell(&frame(99).octets()), unknown);
    let mut from_group = good.clone();
    from_group[6] |= 1;
    assert_eq!(tell(&from_group), (dropped("src_mac"), timed(&[Open, CheckEthernet])));
    assert_eq!(tell(&good[..9]), (dropped("runt"), timed(&[CheckEthernet])));
    let Reply::Drops(drops) = lab.ask(Request::Drops) else { panic!() };
    assert_eq!((drops.received, drops.dropped()), (0, 0), "nothing of it is counted");
    // Without a frame there is nothing to tell.
    let (question, word) = (Question { stamp: 1, arrived: lab.now }, Word::AskLive(5, vni(100)));
    arrives(&mut lab, 2, (1, 2), Sort::Question(question), word.encode().unwrap());
    assert_eq!(posted(&mut lab), []);
}
