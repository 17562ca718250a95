//! The way of a frame: what this node says of it, what it asks others, and what it answers them.

mod live;

use std::net::IpAddr;

use super::paths::{finds, good, ill};
use super::*;
use crate::control::protocol::TraceAsk;
use crate::path::{
    Cause, Content, Health as PathHealth, Load, Outgoing, Question, Received, Since, Sort, Via,
};
use crate::trace::frame::{Addresses, FrameSpec, Protocol};
use crate::trace::wire::{Told, ToldPort, Verdict, Word};
use crate::trace::{Outcome, StageName, State, Story};

fn ask(to: &str) -> TraceAsk {
    TraceAsk {
        from: "web".to_owned(),
        to: to.to_owned(),
        protocol: Protocol::Icmp,
        size: None,
        live: false,
        source_mac: None,
        source_ip: None,
        vlan: None,
    }
}

fn trace(lab: &mut Lab, ask: TraceAsk) -> Story {
    match lab.ask(Request::Trace(ask)) {
        Reply::Trace(story) => *story,
        other => panic!("{other:?}"),
    }
}

fn show(lab: &mut Lab, id: u32) -> Story {
    match lab.ask(Request::TraceShow { id }) {
        Reply::Trace(story) => *story,
        other => panic!("{other:?}"),
    }
}

/// Takes what was posted: for whom, and what.
fn posted(lab: &mut Lab) -> Vec<(NodeId, Word)> {
    let posted = std::mem::take(&mut lab.twin().posted);
    posted.iter().map(|letter| (letter.to, said(letter))).collect()
}

fn said(letter: &Outgoing) -> Word {
    Word::decode(letter.content.octets()).expect("a word")
}

fn arrives(lab: &mut Lab, from: u8, (to, by): (u8, u8), sort: Sort, content: Content) {
    carries(lab, (from, to, by), sort, content, None);
}

/// The same with a frame in it.
fn carries(lab: &mut Lab, (from, to, by): (u8, u8, u8), sort: Sort, content: Content, load: Option<Load>) {
    let letter = Received {
        from: id(from),
        to: id(to),
        by: id(by),
        source: [10, 0, 0, by].into(),
        format: if from == by && to == 1 { Format::Vxlan } else { Format::Geneve },
        flow: 7,
        sort,
        content,
        load,
    };
    lab.control.handle_event(WorkerEvent::Letter(Box::new(letter)), lab.now);
}

/// Another node answers.
fn answers(lab: &mut Lab, from: u8, word: &Word) {
    let (round_trip, inside) = (Duration::from_micros(420), Duration::from_micros(35));
    arrives(lab, from, (1, from), Sort::Answer { round_trip, inside }, word.encode().unwrap());
}

/// Another node asks; returns what it is told.
fn asks(lab: &mut Lab, from: u8, (to, by): (u8, u8), word: &Word) -> Word {
    asks_of(lab, (from, to, by), word, None)
}

/// The same of a frame that came with it, 3 ms ago.
fn asks_of(lab: &mut Lab, way: (u8, u8, u8), word: &Word, load: Option<Load>) -> Word {
    let question = Question { stamp: 1, arrived: lab.now.checked_sub(Duration::from_millis(3)).unwrap() };
    carries(lab, way, Sort::Question(question), word.encode().unwrap(), load);
    let letters = std::mem::take(&mut lab.twin().posted);
    let [letter] = &letters[..] else { panic!("one answer: {letters:?}") };
    assert_eq!((letter.to, letter.answers, letter.flow), (id(way.0), Some(question), 7));
    assert_eq!((letter.size, &letter.load), (0, &None), "an answer is short");
    said(letter)
}

fn delivered(id: u32) -> Word {
    let (place, network) = ("db".to_owned(), "pods".to_owned());
    Word::ToldFrame(id, Told { verdict: Verdict::Delivered, ports: 1, place, network, times: None })
}

fn code(story: &Story) -> &str {
    story.fault.as_ref().map_or("", |fault| fault.code.as_str())
}

/// This node and node 2, with MAC 2 and 10.32.0.2 there.
fn two() -> (Lab, Others) {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.claims(&mut lab, 2, mac(2), 0, false);
    (lab, others)
}

// ---- asking ----

#[test]
fn a_story_goes_on_with_what_the_other_node_tells() {
    let (mut lab, _others) = two();
    let begun = trace(&mut lab, ask("10.32.0.2"));
    assert!(!begun.finished);
    let [(to, Word::AskFrame(trace_id, of, frame))] = posted(&mut lab)[..] else { panic!("one question") };
    assert_eq!((to, trace_id, of), (id(2), begun.id, vni(100)));
    assert_eq!((frame.src, frame.dst, frame.size), (mac(1), mac(2), 84));
    answers(&mut lab, 2, &delivered(begun.id));
    let story = show(&mut lab, begun.id);
    assert!(story.finished, "{story:?}");
    assert_eq!((story.outcome, story.fault.as_ref()), (Outcome::Arrives, None));
    let stages: Vec<_> = story.stages.iter().map(|stage| (stage.node.as_str(), stage.stage)).collect();
    use StageName::{Admit, CheckEthernet, Decide, Deliver, Observe, Open, Resolve, Send};
    let (a, b) = ("node-a", "node-2");
    assert_eq!(
        stages,
        [
            (a, Resolve),
            (a, Admit),
            (a, Observe),
            (a, Decide),
            (a, Send),
            (b, Open),
            (b, CheckEthernet),
            (b, Decide),
            (b, Deliver)
        ]
    );
    let entry = story.stages[3].entry.as_ref().unwrap();
    assert_eq!((entry.place.as_str(), entry.owner.as_str()), ("node node-2", "node-2"));
    let hop = &story.nodes[0];
    assert_eq!((hop.node.as_str(), hop.round_trip_us, hop.inside_us), (b, Some(420), Some(35)));
    let json = serde_json::to_value(Reply::Trace(Box::new(story))).unwrap();
    assert_eq!((&json["schema"], &json["outcome"]), (&"weft.trace/1".into(), &"arrives".into()));
}

#[test]
fn what_the_other_node_drops_is_the_fault_of_the_story() {
    let (mut lab, _others) = two();
    let begun = trace(&mut lab, ask("10.32.0.2"));
    let verdict = Verdict::Dropped("unknown_vni".to_owned());
    let told = Told { verdict, ports: 0, place: String::new(), network: String::new(), times: None };
    answers(&mut lab, 2, &Word::ToldFrame(begun.id, told));
    let story = show(&mut lab, begun.id);
    assert_eq!((story.outcome, code(&story)), (Outcome::Lost, "unknown_vni"));
    let fault = story.fault.unwrap();
    assert_eq!(fault.node, "node-2");
    assert!(fault.mend.contains("add network pods"), "{}", fault.mend);
}

#[test]
fn a_node_that_is_silent_is_asked_again_for_two_seconds() {
    let (mut lab, _others) = two();
    let begun = trace(&mut lab, ask("10.32.0.2"));
    lab.tick();
    assert!(!show(&mut lab, begun.id).finished);
    lab.tick();
    let story = show(&mut lab, begun.id);
    assert!(story.finished && (3..=4).contains(&posted(&mut lab).len()), "{story:?}");
    assert_eq!((story.outcome, code(&story)), (Outcome::Degraded, "no_answer"));
    assert!(story.fault.unwrap().what.contains("node-2 did not answer within 2 s"));
    (0..9).for_each(|_| lab.tick());
    assert_eq!(lab.refused(Request::TraceShow { id: begun.id }).code, ErrorCode::Failed);
}

/// What was posted does not leave.
fn refuse(lab: &mut Lab) {
    for letter in std::mem::take(&mut lab.twin().posted) {
        lab.control.handle_event(WorkerEvent::NotSent(Box::new(letter)), lab.now);
    }
}

#[test]
fn what_was_not_sent_is_not_called_lost_and_says_nothing_of_the_other_node() {
    for live in [false, true] {
        let (mut lab, _others) = two();
        let begun = trace(&mut lab, TraceAsk { live, ..ask("10.32.0.2") });
        for _ in 0..3 {
            refuse(&mut lab);
            lab.tick();
        }
        refuse(&mut lab);
        let story = show(&mut lab, begun.id);
        assert_eq!((story.finished, story.outcome, code(&story)), (true, Outcome::Degraded, "not_sent"));
        assert_eq!(story.nodes[0].asked, 0);
    }
    // Once is enough to be called silence.
    let (mut lab, _others) = two();
    let begun = trace(&mut lab, ask("10.32.0.2"));
    refuse(&mut lab);
    (0..3).for_each(|_| lab.tick());
    assert_eq!(code(&show(&mut lab, begun.id)), "no_answer");
}

#[test]
fn nodes_that_were_not_asked_for_a_port_are_not_said_to_have_none() {
    let (mut lab, mut others) = lab(BASIC);
    (2..=101).for_each(|n| others.join(&mut lab, n));
    let mut search = |found: Option<u8>| {
        let begun = trace(&mut lab, ask("db"));
        let asked: Vec<NodeId> = posted(&mut lab).iter().map(|(node, _)| *node).collect();
        assert_eq!(asked.len(), 64);
        let up = ToldPort::Up { vni: vni(100), network: "pods".to_owned(), mac: mac(2), v4: None, v6: None };
        for n in (2..=101).filter(|n| asked.contains(&id(*n))) {
            let told = if found == Some(n) { up.clone() } else { ToldPort::Missing };
            answers(&mut lab, n, &Word::ToldPort(begun.id, told));
        }
        lab.twin().posted.clear();
        show(&mut lab, begun.id)
    };
    let story = search(None);
    assert_eq!((story.outcome, code(&story)), (Outcome::Lost, "no_answer"));
    let fault = story.fault.unwrap();
    assert_eq!(fault.what, "no port db was found: of 100 nodes 64 were asked");
    assert!(fault.mend.contains("NODE/db"), "{}", fault.mend);
    let text = &search(Some(3)).stages[0].text;
    assert!(text.ends_with("; of 100 nodes 36 were not asked for a port of that name"), "{text}");
}

#[test]
fn a_path_that_is_not_as_it_should_be_is_named() {
    let (mut lab, mut others) = two();
    others.join(&mut lab, 3);
    let small = path::Path { mtu: mtu(1300), ..ill(&lab, Cause::SmallMtu) };
    finds(&mut lab, 2, small);
    let story = trace(&mut lab, ask("10.32.0.2"));
    assert_eq!((story.outcome, code(&story)), (Outcome::Degraded, "small_mtu"));
    let source_ip = Some([10, 32, 0, 1].into());
    let too_big = trace(&mut lab, TraceAsk { size: Some(1400), source_ip, ..ask("10.32.0.2") });
    assert_eq!((too_big.outcome, code(&too_big)), (Outcome::Lost, "pkt_too_big"));
    assert!(too_big.fault.unwrap().what.contains("told by ICMP"));
    let tcp = TraceAsk { protocol: Protocol::Tcp(80), ..ask("10.32.0.2") };
    let cut = trace(&mut lab, tcp);
    assert_eq!(cut.frame.as_ref().map(|frame| frame.size), Some(1450), "a full one");
    assert!(cut.fault.unwrap().what.contains("cut into 2"), "TCP is cut");

    let causes = vec![Since { cause: Cause::Unanswered, since: lab.now }];
    finds(&mut lab, 2, path::Path { health: PathHealth::Down(causes), ..good() });
    let dead = trace(&mut lab, ask("10.32.0.2"));
    assert_eq!((dead.outcome, code(&dead)), (Outcome::Lost, "unanswered"));
    let one_way = ill(&lab, Cause::OneWay);
    finds(&mut lab, 2, one_way);
    let dead = trace(&mut lab, ask("10.32.0.2"));
    assert_eq!((dead.outcome, code(&dead)), (Outcome::Lost, "one_way"));
}

#[test]
fn the_way_over_another_node_is_told_by_both() {
    let (mut lab, mut others) = two();
    others.join(&mut lab, 3);
    finds(&mut lab, 3, good());
    let via = Some(Via { node: id(3), mtu: mtu(1500) });
    let relayed = path::Path { via, ..ill(&lab, Cause::Relayed) };
    finds(&mut lab, 2, relayed);
    let begun = trace(&mut lab, ask("10.32.0.2"));
    let [(to, _)] = posted(&mut lab)[..] else { panic!("the relay hears what it passes on") };
    assert_eq!((to, code(&begun)), (id(2), "relayed"));
    let place = "node-2".to_owned();
    let network = "pods".to_owned();
    let passed_on = Told { verdict: Verdict::PassedOn, ports: 0, place, network, times: None };
    answers(&mut lab, 3, &Word::ToldFrame(begun.id, passed_on));
    assert!(!show(&mut lab, begun.id).finished);
    answers(&mut lab, 2, &delivered(begun.id));
    let story = show(&mut lab, begun.id);
    assert_eq!((story.finished, story.outcome), (true, Outcome::Degraded));
    let last: Vec<_> = story.stages.iter().skip(5).map(|stage| (stage.node.as_str(), stage.stage)).collect();
    let (open, decide, deliver) = (StageName::Open, StageName::Decide, StageName::Deliver);
    let check = StageName::CheckEthernet;
    let node_2 = [("node-2", open), ("node-2", check), ("node-2", decide), ("node-2", deliver)];
    assert_eq!(last, [&[("node-3", StageName::PassOn)][..], &node_2].concat());
}

#[test]
fn a_static_peer_ends_the_story_at_the_underlay() {
    let (mut lab, _others) = two();
    lab.learn(100, mac(9), vtep("10.0.0.9:4789"));
    let story = trace(&mut lab, ask(&mac(9).to_string()));
    assert_eq!((story.finished, story.outcome), (true, Outcome::Arrives));
    let last = story.stages.last().unwrap();
    assert_eq!(
        (last.stage, last.text.contains("a static peer, which cannot be asked")),
        (StageName::Underlay, true)
    );
}

// ---- destinations ----

#[test]
fn an_address_that_nobody_has_begins_with_a_question_to_all_and_names_who_could_know() {
    let (mut lab, others) = two();
    let node_3 = MemberEvent::Up(member(3));
    others.happens(&mut lab, node_3);
    others.says(&mut lab, 3, Key::NodeInfo, Some(Record::NodeInfo(Others::info(3))));
    let story = trace(&mut lab, ask("10.32.0.77"));
    assert_eq!((story.outcome, code(&story)), (Outcome::Lost, "unknown_address"));
    let what = story.fault.unwrap().what;
    assert!(what.contains("do not have network pods (VNI 100): node-3"), "{what}");
    let frame = story.frame.unwrap();
    assert_eq!((frame.protocol, frame.dst), (Protocol::Question, MacAddr::BROADCAST));
    assert!(story.stages.iter().any(|stage| stage.text.contains("2 peers")), "{:?}", story.stages);

    others.goes_down(&mut lab, 2);
    let story = trace(&mut lab, ask("10.32.0.2"));
    assert_eq!((story.outcome, code(&story)), (Outcome::Lost, "node_down"));
    assert!(story.fault.unwrap().what.contains("node-2"));
    assert_eq!(code(&trace(&mut lab, ask("node-2/db"))), "node_down");
}

#[test]
fn a_port_of_another_node_is_looked_for_by_its_name() {
    let (mut lab, mut others) = two();
    others.join(&mut lab, 3);
    let begun = trace(&mut lab, ask("db"));
    let questions = posted(&mut lab);
    assert_eq!(questions.len(), 2);
    assert!(questions.iter().all(|(_, word)| *word == Word::AskPort(begun.id, vni(100), "db".to_owned())));
    answers(&mut lab, 3, &Word::ToldPort(begun.id, ToldPort::Missing));
    let up = |network: u32| ToldPort::Up {
        vni: vni(network),
        network: "pods".to_owned(),
        mac: mac(2),
        v4: Some([10, 32, 0, 2].into()),
        v6: None,
    };
    answers(&mut lab, 2, &Word::ToldPort(begun.id, up(100)));
    let [(to, Word::AskFrame(_, _, frame))] = posted(&mut lab)[..] else { panic!("then about the frame") };
    assert_eq!((to, frame.dst), (id(2), mac(2)));
    answers(&mut lab, 2, &delivered(begun.id));
    assert_eq!(show(&mut lab, begun.id).outcome, Outcome::Arrives);

    let found = |lab: &mut Lab, to: &str, told: [ToldPort; 2]| {
        let begun = trace(lab, ask(to));
        let asked: Vec<NodeId> = posted(lab).iter().map(|(node, _)| *node).collect();
        for (n, told) in [2, 3].into_iter().zip(told) {
            if asked.contains(&id(n)) {
                answers(lab, n, &Word::ToldPort(begun.id, told));
            }
        }
        let story = show(lab, begun.id);
        lab.twin().posted.clear();
        assert_eq!((story.outcome, story.stages.len()), (Outcome::Lost, 1), "{story:?}");
        code(&story).to_owned()
    };
    let down = ToldPort::Down { network: "pods".to_owned(), reason: "its namespace is gone".to_owned() };
    for (to, told, wanted) in [
        ("db", [up(100), up(100)], "ambiguous_port"),
        ("db", [up(200), ToldPort::Missing], "network_missing"),
        ("db", [down, ToldPort::Missing], "port_down"),
        ("db", [ToldPort::Missing, ToldPort::Missing], "unknown_port"),
        ("node-3/db", [up(100), ToldPort::Missing], "unknown_port"),
    ] {
        assert_eq!(found(&mut lab, to, told), wanted, "{to}");
    }
    let begun = trace(&mut lab, ask("db"));
    (0..3).for_each(|_| lab.tick());
    assert_eq!(code(&show(&mut lab, begun.id)), "no_answer");
    assert!(lab.refused(Request::Trace(ask("node-7/db"))).message.contains("no node node-7"));
}

#[test]
fn what_cannot_be_sent_to_is_refused_or_named() {
    let mut lab = Lab::new(BASIC);
    let unknown = lab.refused(Request::Trace(TraceAsk { from: "wbe".to_owned(), ..ask("10.32.0.2") }));
    assert!(unknown.message.contains("did you mean web?"), "{}", unknown.message);
    assert_eq!(lab.refused(Request::Trace(ask("db"))).code, ErrorCode::Usage);
    assert_eq!(lab.refused(Request::Trace(ask("224.0.0.1"))).code, ErrorCode::Usage);
    let guarded = TraceAsk { source_mac: Some(mac(5)), ..ask(&mac(2).to_string()) };
    let story = trace(&mut lab, guarded);
    assert_eq!((story.outcome, code(&story)), (Outcome::Lost, "port_security"));
    assert!(story.fault.unwrap().what.contains("may use 02:00:00:00:00:01"));
    let tagged = TraceAsk { vlan: Some(7), ..ask(&mac(2).to_string()) };
    assert_eq!(code(&trace(&mut lab, tagged)), "vlan");
    let itself = trace(&mut lab, ask("web"));
    assert_eq!((itself.outcome, code(&itself)), (Outcome::Lost, "split_horizon"));
}

#[test]
fn an_address_off_the_network_goes_by_the_gateway() {
    let port = "\n[[port]]\nname = \"gw\"\nnetwork = \"pods\"\nmac = \"02:00:00:00:00:0a\"\naddresses = [\"10.32.0.1/24\"]\n";
    let from = "\n[[port]]\nname = \"app\"\nnetwork = \"pods\"\nmac = \"02:00:00:00:00:0b\"\naddresses = [\"10.32.0.11/24\"]\n";
    let app = |to: &str| TraceAsk { from: "app".to_owned(), ..ask(to) };
    let mut lab = Lab::new(&format!("{BASIC}{port}{from}gateway = \"10.32.0.1\"\n"));
    let story = trace(&mut lab, app("192.0.2.1"));
    let frame = story.frame.unwrap();
    assert_eq!(
        (story.outcome, frame.dst, frame.to),
        (Outcome::Arrives, mac(10), IpAddr::from([192, 0, 2, 1]))
    );
    assert!(story.stages[0].text.contains("by the gateway"), "{}", story.stages[0].text);
    let mut lab = Lab::new(&format!("{BASIC}{port}{from}"));
    assert_eq!(code(&trace(&mut lab, app("192.0.2.1"))), "no_route");
}

#[test]
fn a_frozen_address_is_named_wherever_it_is() {
    let open = "\n[[port]]\nname = \"open\"\nnetwork = \"pods\"\n";
    let mut lab = Lab::new(&format!("{BASIC}{open}"));
    let places = [Location::Local(lab.id("open")), vtep("10.0.0.9:4789")];
    for place in places.iter().cycle().take(12) {
        lab.learn(100, mac(6), *place);
    }
    let to = trace(&mut lab, ask(&mac(6).to_string()));
    assert_eq!((to.outcome, code(&to)), (Outcome::Degraded, "mac_frozen"), "{to:?}");
    let from = TraceAsk { from: "open".to_owned(), source_mac: Some(mac(6)), ..ask("web") };
    let from = trace(&mut lab, from);
    assert_eq!((from.outcome, code(&from)), (Outcome::Lost, "mac_frozen"), "{from:?}");
}

#[test]
fn more_stories_than_fit_are_refused_until_old_ones_are_over() {
    let (mut lab, _others) = two();
    for _ in 0..32 {
        trace(&mut lab, ask("10.32.0.2"));
    }
    let refused = lab.refused(Request::Trace(ask("10.32.0.2")));
    assert!(refused.message.starts_with("32 traces are under way already"), "{}", refused.message);
    (0..3).for_each(|_| lab.tick());
    trace(&mut lab, ask("10.32.0.2"));
}

// ---- answering ----

fn frame(dst: u16) -> FrameSpec {
    let addresses = Addresses::V4([10, 32, 0, 2].into(), [10, 32, 0, 1].into());
    FrameSpec { src: mac(2), dst: mac(dst), addresses, protocol: Protocol::Icmp, size: 84, vlan: None }
}

#[test]
fn another_node_is_told_what_would_become_of_its_frame_here() {
    let (mut lab, mut others) = two();
    others.join(&mut lab, 3);
    let tell = |lab: &mut Lab, of: u32, (to, by): (u8, u8), frame: FrameSpec| match asks(
        lab,
        2,
        (to, by),
        &Word::AskFrame(5, vni(of), frame),
    ) {
        Word::ToldFrame(5, told) => (told.verdict, told.place),
        other => panic!("{other:?}"),
    };
    let dropped = |reason: &str| (Verdict::Dropped(reason.to_owned()), String::new());
    assert_eq!(tell(&mut lab, 100, (1, 2), frame(1)), (Verdict::Delivered, "web".to_owned()));
    assert_eq!(tell(&mut lab, 100, (1, 3), frame(1)), (Verdict::Delivered, "web".to_owned()), "by a relay");
    assert_eq!(tell(&mut lab, 300, (1, 2), frame(1)), dropped("unknown_vni"));
    assert_eq!(tell(&mut lab, 200, (1, 2), frame(1)), dropped("unknown_peer"));
    assert_eq!(tell(&mut lab, 100, (1, 2), frame(99)), dropped("unknown_unicast"));
    assert_eq!(tell(&mut lab, 100, (1, 2), FrameSpec { vlan: Some(3), ..frame(1) }), dropped("vlan"));
    let relayed = (Verdict::PassedOn, "node-3".to_owned());
    assert_eq!(tell(&mut lab, 100, (3, 2), frame(7)), relayed, "it would be passed on");
    let Reply::Drops(drops) = lab.ask(Request::Drops) else { panic!() };
    assert_eq!((drops.received, drops.dropped()), (0, 0), "nothing of it is counted");
}

#[test]
fn another_node_is_told_where_a_port_lives() {
    let (mut lab, _others) = two();
    let port = |lab: &mut Lab, name: &str| match asks(
        lab,
        2,
        (1, 2),
        &Word::AskPort(5, vni(100), name.to_owned()),
    ) {
        Word::ToldPort(5, told) => told,
        other => panic!("{other:?}"),
    };
    let network = "pods".to_owned();
    assert_eq!(
        port(&mut lab, "web"),
        ToldPort::Up { vni: vni(100), network, mac: mac(1), v4: None, v6: None }
    );
    assert_eq!(port(&mut lab, "db"), ToldPort::Missing);
    let web = lab.id("web");
    lab.port_gone(web);
    assert!(matches!(port(&mut lab, "web"), ToldPort::Down { .. }));
}

#[test]
fn letters_that_nobody_waits_for_and_that_say_nothing_change_nothing() {
    let (mut lab, _others) = two();
    answers(&mut lab, 2, &delivered(9));
    let (nonsense, question) = (Content::new(&[9; 30]).unwrap(), Question { stamp: 1, arrived: lab.now });
    arrives(&mut lab, 2, (1, 2), Sort::Question(question), nonsense);
    assert_eq!(posted(&mut lab), []);
    let begun = trace(&mut lab, ask("10.32.0.2"));
    answers(&mut lab, 2, &Word::ToldPort(begun.id, ToldPort::Missing));
    assert!(!show(&mut lab, begun.id).finished, "an answer to another question");
    assert_eq!(State::Ok, show(&mut lab, begun.id).stages[0].state);
}
