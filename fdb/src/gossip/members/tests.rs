//! Two or three nodes by hand. Whole clusters are in `tests/members_sim.rs`.

mod octets;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use foca::{Member, Message, State};

use super::wire::Swim;
use super::*;
use crate::gossip::identity::{BootId, Epoch};

const SECOND: Duration = Duration::from_secs(1);

fn start() -> Instant {
    #[allow(clippy::disallowed_methods)] // the only way to get one; it passes by hand afterwards
    Instant::now()
}

fn addr(n: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], n))
}

fn id(n: u16, epoch: u64, boot: u128) -> MemberId {
    MemberId::new(addr(n), NodeId::new(n.into()), Epoch::new(epoch), BootId::new(boot))
}

/// Nodes at once-a-millisecond time, of which some are cut off.
struct Net {
    now: Instant,
    nodes: Vec<Members>,
    cut: Vec<SocketAddr>,
    events: Vec<(u16, MemberEvent)>,
}

impl Net {
    fn new(ids: &[MemberId]) -> Self {
        let now = start();
        let nodes = (1..).zip(ids).map(|(seed, own)| Members::new(Config::default(), *own, now, seed));
        Self { now, nodes: nodes.collect(), cut: Vec::new(), events: Vec::new() }
    }

    /// Nodes 1, 2, .. that know each other.
    fn joined(nodes: u16) -> Self {
        let ids: Vec<_> = (1..=nodes).map(|n| id(n, 1, 1)).collect();
        let mut net = Self::new(&ids);
        for node in &mut net.nodes[1..] {
            node.announce(addr(1), net.now);
        }
        net.run(5 * SECOND);
        assert!(net.nodes.iter().all(|node| node.members().count() + 1 == usize::from(nodes)));
        net.events.clear();
        net
    }

    fn deliver(&mut self) {
        while let Some((from, output)) =
            self.nodes.iter_mut().find_map(|node| Some((node.own().addr(), node.poll_output()?)))
        {
            match output {
                Output::Event(event) => self.events.push((from.port(), event)),
                Output::Send { to, .. } if self.cut.contains(&to) || self.cut.contains(&from) => {}
                Output::Send { to, bytes } => {
                    let who =
                        self.nodes.iter().find(|node| node.own().addr() == from).unwrap().own().process();
                    if let Some(node) = self.nodes.iter_mut().find(|node| node.own().addr() == to) {
                        let _ = node.handle_packet(from, who, &bytes, self.now);
                    }
                }
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.deliver();
        while self.now < end {
            self.now += Duration::from_millis(1);
            for node in &mut self.nodes {
                if node.poll_timeout().is_some_and(|due| due <= self.now) {
                    node.handle_timeout(self.now);
                }
            }
            self.deliver();
        }
    }

    fn state(&self, at: usize, of: u16) -> Option<MemberState> {
        self.nodes[at].member(NodeId::new(of.into())).map(|view| view.state)
    }
}

#[test]
fn a_silent_member_is_a_suspect_first_and_then_down() {
    let mut net = Net::joined(3);
    net.cut.push(addr(3));
    net.run(10 * SECOND);
    let at_1: Vec<_> = net.events.iter().filter(|(n, _)| *n == 1).map(|(_, event)| *event).collect();
    assert_eq!(at_1, [MemberEvent::Suspect(id(3, 1, 1)), MemberEvent::Down(id(3, 1, 1))]);
}

#[test]
fn a_member_that_the_cluster_calls_down_but_that_answers_us_is_no_death() {
    let mut net = Net::joined(3);
    let now = net.now;
    net.nodes[0].apply(Member::down(id(3, 1, 1)));
    net.nodes[0].settle();
    net.run(5 * SECOND);
    assert!(!net.events.iter().any(|(_, event)| matches!(event, MemberEvent::Down(_))), "{:?}", net.events);
    let back = net.nodes[0].member(NodeId::new(3)).expect("it is known");
    assert_eq!((back.state, back.id.generation()), (MemberState::Up, 1), "it came back since {now:?}");
    assert!(net.events.iter().any(|(n, event)| *n == 3 && matches!(event, MemberEvent::Renewed(_))));
}

#[test]
fn down_is_reported_after_three_questions_without_answer() {
    let mut net = Net::joined(2);
    net.cut.push(addr(2));
    net.nodes[0].apply(Member::down(id(2, 1, 1)));
    net.nodes[0].settle();
    net.run(Duration::from_millis(850));
    assert_eq!(net.state(0, 2), Some(MemberState::Suspect));
    net.run(Duration::from_millis(350));
    assert_eq!(net.state(0, 2), Some(MemberState::Down));
}

#[test]
fn a_member_that_leaves_is_gone_at_once() {
    let mut net = Net::joined(3);
    let now = net.now;
    net.nodes[2].leave(now);
    net.deliver();
    assert_eq!((net.state(0, 3), net.state(1, 3)), (Some(MemberState::Left), Some(MemberState::Left)));
    assert_eq!(net.nodes[2].poll_timeout(), None);
    assert_eq!(net.nodes[2].handle_packet(addr(1), id(1, 1, 1).process(), &[], now), Err(Refused::Left));
    net.run(3 * SECOND);
    assert!(net.events.iter().all(|(_, event)| matches!(event, MemberEvent::Left(_))), "{:?}", net.events);
}

#[test]
fn a_forgotten_member_is_off_the_list_and_a_live_one_is_not_forgotten() {
    let mut net = Net::joined(3);
    let node = NodeId::new(3);
    assert_eq!(net.nodes[0].forget(node), Err(ForgetError::Alive(node)));
    net.cut.push(addr(3));
    net.run(10 * SECOND);
    assert_eq!(net.nodes[0].forget(node), Ok(()));
    assert_eq!(net.nodes[0].member(node), None);
    assert_eq!(net.nodes[0].forget(node), Err(ForgetError::Unknown(node)));
}

/// The third of three nodes has started again at another address, from which it calls the first.
fn moved_third() -> (Net, MemberId) {
    let mut net = Net::joined(3);
    net.cut.push(addr(3));
    let moved = MemberId::new(addr(9), NodeId::new(3), Epoch::new(2), BootId::new(2));
    net.nodes.push(Members::new(Config::default(), moved, net.now, 9));
    let now = net.now;
    net.nodes[3].announce(addr(1), now);
    (net, moved)
}

#[test]
fn a_node_at_another_address_has_moved() {
    let (mut net, moved) = moved_third();
    net.run(SECOND);
    assert!(net.events.contains(&(1, MemberEvent::AddressChanged { member: moved, from: addr(3) })));
    net.run(10 * SECOND);
    assert_eq!(
        net.nodes[0].member(NodeId::new(3)).map(|view| (view.id, view.state)),
        Some((moved, MemberState::Up))
    );
}

#[test]
fn another_node_takes_the_address_of_a_dead_one_however_often_that_had_started() {
    let old = MemberId::new(addr(2), NodeId::new(2), Epoch::new(57), BootId::new(1));
    let mut net = Net::new(&[id(1, 1, 1), old]);
    let now = net.now;
    net.nodes[1].announce(addr(1), now);
    net.run(SECOND);
    let new = MemberId::new(addr(2), NodeId::new(8), Epoch::new(1), BootId::new(8));
    net.nodes[1] = Members::new(Config::default(), new, net.now, 9);
    net.nodes[1].set_seeds(&[addr(1)]);
    net.run(10 * SECOND);
    let of_1: Vec<_> = net.events.iter().filter(|(n, _)| *n == 1).map(|(_, event)| *event).collect();
    assert!(of_1.contains(&MemberEvent::Down(old)), "{of_1:?}");
    let rows: Vec<_> = net.nodes[0].members().map(|view| (view.id.node(), view.state)).collect();
    assert_eq!(rows, [(new.node(), MemberState::Up)]);
}

#[test]
fn a_claim_of_an_absurd_epoch_at_its_address_does_not_silence_a_member() {
    for node in [2, 8] {
        let mut net = Net::joined(3);
        let never = MemberId::new(addr(2), NodeId::new(node), Epoch::MAX, BootId::new(66));
        let roster = wire::roster(&[Member::alive(never)]);
        let now = net.now;
        net.nodes[0].apply_roster(id(9, 1, 1).process(), &roster, now).expect("it is whole");
        net.run(30 * SECOND);
        for at in [0, 2] {
            let views = net.nodes[at].members().filter(|view| view.id.addr() == addr(2));
            let seen: Vec<_> = views.map(|view| (view.id, view.state)).collect();
            let [(seen, MemberState::Up)] = seen[..] else { panic!("{seen:?}") };
            assert!(seen.same_start(&id(2, 1, 1)), "{seen}");
        }
    }
}

#[test]
fn a_seed_that_left_is_found_when_it_is_back_though_it_calls_nobody() {
    let mut net = Net::joined(3);
    let now = net.now;
    net.nodes[1..].iter_mut().for_each(|node| node.set_seeds(&[addr(1)]));
    net.nodes[0].leave(now);
    net.run(10 * SECOND);
    assert_eq!((net.state(1, 1), net.state(2, 1)), (Some(MemberState::Left), Some(MemberState::Left)));
    let again = id(1, 2, 2);
    net.nodes[0] = Members::new(Config::default(), again, net.now, 9);
    net.run(10 * SECOND);
    assert_eq!((net.state(1, 1), net.state(2, 1)), (Some(MemberState::Up), Some(MemberState::Up)));
    assert_eq!(net.nodes[0].members().count(), 2);
}

#[test]
fn another_process_with_our_node_id_is_told_when_it_answers() {
    let mut net = Net::joined(3);
    let clone = MemberId::new(addr(9), NodeId::new(3), Epoch::new(1), BootId::new(2));
    net.nodes.push(Members::new(Config::default(), clone, net.now, 9));
    let now = net.now;
    net.nodes[3].announce(addr(1), now);
    net.run(3 * SECOND);
    assert!(net.events.contains(&(3, MemberEvent::Clone(clone))), "{:?}", net.events);
}

#[test]
fn an_earlier_start_of_this_node_is_no_clone() {
    let (mut net, _) = moved_third();
    net.run(10 * SECOND);
    assert!(!net.events.iter().any(|(_, event)| matches!(event, MemberEvent::Clone(_))));
}

#[test]
fn a_roster_brings_members_and_equal_ones_have_equal_hashes() {
    let mut net = Net::joined(3);
    let now = net.now;
    let mut newcomer = Members::new(Config::default(), id(4, 1, 1), now, 4);
    let roster = net.nodes[0].roster();
    newcomer.apply_roster(id(3, 1, 1).process(), &roster, now).expect("it is whole");
    assert_eq!(newcomer.members().count(), 3);
    let roster = newcomer.roster();
    net.nodes[0].apply_roster(id(3, 1, 1).process(), &roster, now).expect("it is whole");
    assert_eq!(net.nodes[0].roster_hash(), newcomer.roster_hash());
    assert_ne!(net.nodes[1].roster_hash(), newcomer.roster_hash());
}

#[test]
fn members_above_the_cap_are_refused() {
    let (now, config) = (start(), Config { max_members: 3, ..Config::default() });
    let mut node = Members::new(config, id(1, 1, 1), now, 1);
    let roster = |n: u16| wire::roster(&(2..2 + n).map(|n| Member::alive(id(n, 1, 1))).collect::<Vec<_>>());
    assert_eq!(node.apply_roster(id(2, 1, 1).process(), &roster(4), now), Err(Refused::Full { max: 3 }));
    assert_eq!(node.members().count(), 0);
    assert_eq!(node.apply_roster(id(2, 1, 1).process(), &roster(3), now), Ok(()));
    let hello =
        wire::probe(0, &wire::Probe { nonce: 1, state: State::Alive, incarnation: 0, from: id(9, 1, 1) });
    assert_eq!(
        node.handle_packet(addr(9), id(9, 1, 1).process(), &hello, now),
        Err(Refused::Full { max: 3 })
    );
}

#[test]
fn the_time_to_an_answer_is_measured() {
    let net = Net::joined(2);
    assert!(net.nodes[0].members().all(|view| view.rtt == Some(Duration::ZERO)));
}

#[test]
fn packets_for_an_earlier_start_and_from_the_own_address_are_refused() {
    let mut net = Net::joined(2);
    let packet = |to: &MemberId, from: &MemberId| {
        let mut out = Vec::new();
        wire::put_identity(&mut out, to);
        wire::put_identity(&mut out, from);
        out.extend([0, 0, 1]);
        wire::swim(to, &out).unwrap().bytes
    };
    let now = net.now;
    let stale = packet(&id(1, 0, 9), &id(2, 1, 1));
    assert_eq!(
        net.nodes[0].handle_packet(addr(2), id(2, 1, 1).process(), &stale, now),
        Err(Refused::NotForUs)
    );
    let own = packet(&id(1, 1, 1), &id(1, 1, 1));
    assert_eq!(
        net.nodes[0].handle_packet(addr(1), id(1, 1, 1).process(), &own, now),
        Err(Refused::FromOurselves)
    );
    let good = packet(&id(1, 1, 1), &id(2, 1, 1));
    assert_eq!(net.nodes[0].handle_packet(addr(2), id(2, 1, 1).process(), &good, now), Ok(()));
}

#[test]
fn a_quiet_question_and_its_answer_have_18_octets() {
    let mut net = Net::joined(2);
    net.run(30 * SECOND);
    let mut lengths = Vec::new();
    for _ in 0..1_000 {
        net.now += Duration::from_millis(1);
        for n in 0..2 {
            net.nodes[n].handle_timeout(net.now);
            while let Some(output) = net.nodes[n].poll_output() {
                let Output::Send { bytes, .. } = output else { continue };
                lengths.push(bytes.len());
                let who = net.nodes[n].own();
                net.nodes[1 - n].handle_packet(who.addr(), who.process(), &bytes, net.now).unwrap();
            }
        }
    }
    assert!(lengths.len() >= 4 && lengths.iter().all(|len| *len == 18), "{lengths:?}");
}

#[test]
fn a_question_without_answer_is_sent_again_before_others_are_asked() {
    let mut net = Net::joined(3);
    let mut sent = BTreeMap::<_, Vec<_>>::new();
    let from = net.now;
    for _ in 0..690 {
        net.now += Duration::from_millis(1);
        net.nodes[0].handle_timeout(net.now);
        while let Some(output) = net.nodes[0].poll_output() {
            let Output::Send { bytes, .. } = output else { continue };
            if bytes.len() == 18 {
                sent.entry(bytes).or_default().push(net.now - from);
            }
        }
    }
    let twice = sent.values().filter(|times| times.len() == 2);
    let gaps: Vec<_> = twice.map(|times| times[1] - times[0]).collect();
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| *gap == Duration::from_millis(150)), "{sent:?}");
}

#[test]
fn a_roster_is_news_to_others_too() {
    let mut net = Net::joined(3);
    let now = net.now;
    let others = [id(7, 1, 1), id(8, 1, 1)];
    let roster = wire::roster(&others.map(Member::alive));
    net.nodes[0].apply_roster(others[0].process(), &roster, now).unwrap();
    net.deliver();
    assert!([7, 8].iter().all(|of| (0..3).all(|n| net.state(n, *of) == Some(MemberState::Up))));
}

#[test]
fn a_node_that_did_not_run_puts_off_what_was_due_and_not_what_comes_after() {
    let mut net = Net::joined(2);
    net.nodes[0].apply(Member::down(id(2, 1, 1)));
    net.nodes[0].settle();
    net.deliver();
    net.now += 60 * SECOND;
    let roster = wire::roster(&[Member::alive(id(2, 2, 2))]);
    net.nodes[0].apply_roster(id(2, 2, 2).process(), &roster, net.now).unwrap();
    let mut questions = 0;
    for _ in 0..900 {
        net.nodes[0].handle_timeout(net.now);
        net.now += Duration::from_millis(1);
        while let Some(output) = net.nodes[0].poll_output() {
            let Output::Send { bytes, .. } = output else { continue };
            let packet = Packet::decode(id(1, 1, 1).process(), &bytes);
            let ping = |swim: &Swim| matches!(swim.message, Message::Ping(_));
            questions += usize::from(matches!(packet, Ok(Packet::Swim { swim, .. }) if ping(&swim)));
        }
    }
    assert_ne!(questions, 0, "it asks whether the member is there");
}

#[test]
fn news_goes_out_at_once() {
    let mut net = Net::joined(3);
    net.nodes.push(Members::new(Config::default(), id(4, 1, 1), net.now, 4));
    let now = net.now;
    net.nodes[3].announce(addr(2), now);
    net.deliver();
    assert!((0..4).all(|n| n == 3 || net.state(n, 4) == Some(MemberState::Up)));
    assert!((1..4).all(|n| net.state(3, n) == Some(MemberState::Up)));
}
