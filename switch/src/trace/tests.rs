//! What a story says against what the stages of a real worker do, over generated nodes.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use encap::checksum::Sum;
use encap::ether::{self, Frame};
use encap::inet::{Layers, Net, TCP, UDP};
use encap::neighbor::Binding;
use encap::relay::{Hops, Relay};
use encap::vnet::VnetHeader;
use encap::{Format, MacAddr, Mtu, PortId, Vni, VtepAddr, tunnel};
use fdb::Location;
use fdb::neighbor::Heard;
use proptest::prelude::*;

use super::dry::{Dry, Ran, Took};
use super::frame::{Addresses, FrameSpec, Protocol};
use super::wire::{Times, Told, Verdict};
use super::*;
use crate::counters::DropReason;
use crate::datapath::memory::{MemoryWorker, SentMessage};
use crate::path::{Load, Sources};
use crate::topology::{Guard, PeerIndex, ViaView};

/// Any frame.
pub(super) fn frames() -> impl Strategy<Value = FrameSpec> {
    let mac = || any::<[u8; 6]>().prop_map(MacAddr::new).boxed();
    frames_between(mac(), mac())
}

fn frames_between(
    src: BoxedStrategy<MacAddr>,
    dst: BoxedStrategy<MacAddr>,
) -> impl Strategy<Value = FrameSpec> {
    let v4 = any::<[u8; 2]>().prop_map(|[a, b]| Addresses::V4(host_v4(a), host_v4(b)));
    let v6 = any::<(u128, u128)>()
        .prop_map(|(a, b)| Addresses::V6(Ipv6Addr::from_bits(a), Ipv6Addr::from_bits(b)));
    let addresses = prop_oneof![3 => v4, 1 => v6];
    let protocol = prop_oneof![
        Just(Protocol::Icmp),
        (1..=u16::MAX).prop_map(Protocol::Tcp),
        (1..=u16::MAX).prop_map(Protocol::Udp),
        Just(Protocol::Question),
    ];
    let vlan = prop_oneof![9 => Just(None), 1 => (0..4095_u16).prop_map(Some)];
    (src, dst, addresses, protocol, 0..1700_u16, vlan).prop_map(
        |(src, dst, addresses, protocol, size, vlan)| match protocol {
            Protocol::Question => FrameSpec::asking(src, addresses, vlan),
            protocol => FrameSpec { src, dst, addresses, protocol, size, vlan },
        },
    )
}

/// One of a few hosts, so that they meet.
fn host_v4(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 32, 0, n % 8)
}

fn mac(n: u8) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, n])
}

fn vni() -> Vni {
    Vni::new(100).unwrap()
}

fn vtep(n: u8) -> VtepAddr {
    SocketAddr::from(([192, 0, 2, n], 4789)).into()
}

proptest! {
    #[test]
    fn a_frame_has_the_lengths_and_checksums_that_it_should(frame in frames()) {
        let octets = frame.octets();
        let parsed = Frame::new(&octets).unwrap();
        prop_assert_eq!((parsed.src(), parsed.dst(), parsed.is_tagged()), (frame.src, frame.dst, frame.vlan.is_some()));
        let layers = Layers::of(&octets);
        if frame.protocol == Protocol::Question && layers.net == Net::Other {
            prop_assert_eq!((parsed.ethertype(), octets.len() - layers.l3), (ether::ARP, 28));
            return Ok(());
        }
        prop_assert_eq!(layers.end, octets.len());
        let (number, headers) = match (frame.protocol, layers.net) {
            (Protocol::Tcp(_), _) => (TCP, 20),
            (Protocol::Udp(_), _) => (UDP, 8),
            (_, Net::V4) => (1, 8),
            _ => (58, 8),
        };
        let l4 = if layers.net == Net::V4 { layers.l3 + 20 } else { layers.l3 + 40 };
        if frame.protocol != Protocol::Question {
            prop_assert_eq!(layers.addresses(&octets), Some((frame.addresses.from(), frame.addresses.to())));
            prop_assert_eq!(octets.len() - layers.l3, usize::from(frame.size).max(l4 - layers.l3 + headers));
        }
        let (from, to) = layers.addresses(&octets).unwrap();
        let body = &octets[l4..];
        let pseudo = Sum::of_addresses(from, to, number).and_u16(u16::try_from(body.len()).unwrap());
        let pseudo = if number == 1 { Sum::default() } else { pseudo };
        prop_assert!(pseudo.and(body).is_valid());
        prop_assert!(layers.net == Net::V6 || Sum::of(&octets[layers.l3..l4]).is_valid());
    }
}

/// A node as a test makes it.
#[derive(Clone, Debug)]
struct Plan {
    ports: u8,
    guard: bool,
    /// Up, its path MTU, whether it is a member, and whether another passes frames on to it.
    peers: Vec<(bool, u16, bool, bool)>,
    flood_unknown: bool,
    strangers: bool,
    suppress: bool,
    vlan_pass: bool,
    stopping: bool,
    /// Where addresses live: ports first, then peers, then a VTEP that is gone.
    places: Vec<(u8, u8)>,
    frozen: Option<u8>,
}

fn plans() -> impl Strategy<Value = Plan> {
    let peer = (
        prop::bool::weighted(0.8),
        prop_oneof![Just(1500_u16), Just(1280), Just(576)],
        any::<bool>(),
        any::<bool>(),
    );
    let rules = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.03));
    let places = prop::collection::vec((0..8_u8, 0..7_u8), 0..8);
    let frozen = prop::option::weighted(0.2, 0..8_u8);
    (1..4_u8, any::<bool>(), prop::collection::vec(peer, 0..4), rules, places, frozen).prop_map(
        |(ports, guard, peers, rules, places, frozen)| {
            let (flood_unknown, strangers, suppress, vlan_pass, stopping) = rules;
            Plan {
                ports,
                guard,
                peers,
                flood_unknown,
                strangers,
                suppress,
                vlan_pass,
                stopping,
                places,
                frozen,
            }
        },
    )
}

/// One port, one peer.
fn plan() -> Plan {
    Plan {
        ports: 1,
        guard: false,
        peers: vec![(true, 1500, true, false)],
        flood_unknown: false,
        strangers: false,
        suppress: false,
        vlan_pass: false,
        stopping: false,
        places: Vec::new(),
        frozen: None,
    }
}

/// The node, and the port that sends.
fn build(plan: &Plan) -> (MemoryWorker, PortId) {
    let mut worker = MemoryWorker::new(crate::clock::now());
    let network = worker.add_network(vni());
    let ports: Vec<PortId> = (0..plan.ports).map(|_| worker.add_port(network)).collect();
    for (n, (up, mtu, member, relayed)) in (10..).zip(&plan.peers) {
        let format = if n % 2 == 0 { Format::Vxlan } else { Format::Geneve };
        let index = worker.add_peer(vtep(n), format, network);
        let via = relayed.then(|| ViaView {
            to: vtep(99),
            path_mtu: Mtu::new((*mtu).into()).unwrap(),
            dead: Sources::default(),
        });
        worker.change(|topology| {
            let peer = &mut topology.peers[usize::from(index.0)];
            (peer.up, peer.path_mtu, peer.member) = (*up, Mtu::new((*mtu).into()).unwrap(), *member);
            (peer.via, peer.geneve, peer.learn) = (via, Some(vtep(n)), !member);
        });
    }
    worker.change(|topology| {
        topology.stopping = plan.stopping;
        topology.encap.relay = true;
        topology.encap.seen_as = vec![vtep(1)];
        let network = &mut topology.networks[0];
        (network.flood_unknown, network.vlan_pass) = (plan.flood_unknown, plan.vlan_pass);
        network.suppress = plan.suppress;
        network.strangers = if plan.strangers { network.flood.clone() } else { Vec::new() };
        let guard = Guard { mac: Some(mac(1)), addresses: vec![host_v4(1).into(), host_v4(2).into()] };
        let first = topology.ports.get_mut(&ports[0]).unwrap();
        first.guard = plan.guard.then_some(guard);
    });
    let place = |n: u8| match usize::from(n).checked_sub(ports.len()) {
        None => Location::Local(ports[usize::from(n)]),
        Some(peer) if peer < plan.peers.len() => Location::Remote(vtep(10 + peer as u8)),
        Some(_) => Location::Remote(vtep(77)),
    };
    for (n, at) in &plan.places {
        worker.table.learn(vni(), mac(*n), place(*at), worker.now);
        let told = Binding { ip: host_v4(*n).into(), mac: mac(*n), router: None };
        let (now, age) = (worker.now, Duration::from_secs(300));
        worker.neighbors.learn(&Heard { vni: vni(), told, port: ports[0], now, age });
    }
    for at in (0..12).map(|turn| place(turn % 2 + plan.ports - 1)) {
        if let Some(n) = plan.frozen {
            worker.table.learn(vni(), mac(n), at, worker.now);
        }
    }
    (worker, ports[0])
}

/// A clock that goes on by a microsecond whenever it is asked.
fn clock() -> impl Fn() -> Instant {
    let (begin, asked) = (crate::clock::now(), Cell::new(0));
    move || {
        asked.set(asked.get() + 1);
        begin + Duration::from_micros(asked.get())
    }
}

fn dry(worker: &MemoryWorker) -> Dry<'_> {
    let &MemoryWorker { now, source_ports, ref table, .. } = worker;
    Dry { topology: worker.topology(), shared: table.shared(), source_ports, now }
}

/// What a real worker did, to compare it with a dry run.
fn did(worker: &mut MemoryWorker) -> Ran {
    worker.sink.flush();
    let totals = worker.totals();
    assert!(totals.balanced(), "{totals:?}");
    let dropped = DropReason::ALL.iter().zip(&totals.drops);
    let one_by_one = |message: &SentMessage| -> Vec<SentMessage> {
        let one =
            |octets: &[u8]| SentMessage { route: message.route, size: octets.len(), octets: octets.to_vec() };
        message.datagrams().map(one).collect()
    };
    sorted(Ran {
        sent: worker.sink.sent.iter().flat_map(one_by_one).collect(),
        delivered: worker.sink.delivered.iter().map(|delivery| delivery.port).collect(),
        is_answered: totals.ledger.answered > 0,
        is_told: !worker.sink.originated.is_empty(),
        drops: dropped.flat_map(|(reason, n)| vec![*reason; usize::try_from(n[0] + n[1]).unwrap()]).collect(),
    })
}

/// Which of several datagrams leaves first is a matter of how they are grouped.
fn sorted(mut ran: Ran) -> Ran {
    ran.sent.sort_by_key(|message| message.octets.clone());
    ran
}

fn entry(worker: &MemoryWorker, mac: MacAddr, port: PortId) -> Option<EntryFacts> {
    let entry = worker.table.entry(vni(), mac)?;
    Some(EntryFacts {
        mac,
        place: entry.location.to_string(),
        owner: "n1".to_owned(),
        seq: entry.seq,
        mob_seq: entry.mob_seq,
        is_static: false,
        frozen_s: entry.frozen_until.map(|_| 100),
        is_here: entry.location == Location::Local(port),
    })
}

fn facts(worker: &MemoryWorker, peer: PeerIndex) -> PeerFacts {
    let view = worker.topology().peer(peer);
    PeerFacts {
        name: view.name.to_string(),
        member: view.member,
        address: view.to.to_string(),
        format: view.format,
        source_port: None,
        path_mtu: view.path_mtu,
        mtu: None,
        rtt_us: None,
        via: view.via.map(|via| via.to.to_string()),
        causes: Vec::new(),
        down: false,
    }
}

/// The stages of a frame that a port sends.
fn explain(
    worker: &MemoryWorker,
    port: PortId,
    frame: &FrameSpec,
    (ran, took): (&Ran, Option<&Took>),
) -> Vec<Stage> {
    let topology = worker.topology();
    let peers: Vec<_> = ran.peers(topology).iter().map(|(peer, _)| facts(worker, *peer)).collect();
    let [source, target] = [frame.src, frame.dst].map(|mac| entry(worker, mac, port));
    let (source, target) = (source.as_ref(), target.as_ref());
    Outbound { node: "n1", topology, port, frame, ran, took, source, target, peers: &peers }.explain()
}

fn near() -> BoxedStrategy<MacAddr> {
    let group = prop_oneof![Just(MacAddr::BROADCAST), Just(MacAddr::new([0x33, 0x33, 0, 0, 0, 1]))];
    let odd = Just(MacAddr::new([1, 0x80, 0xc2, 0, 0, 3]));
    prop_oneof![12 => (0..8_u8).prop_map(mac), 2 => group, 1 => odd].boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_story_says_of_a_ports_frame_what_a_real_worker_does_with_it(
        plan in plans(), frame in frames_between(near(), near()),
    ) {
        let (mut worker, port) = build(&plan);
        let octets = frame.octets();
        let (ran, took) = dry(&worker).send(port, octets.clone(), &clock());
        let stages = explain(&worker, port, &frame, (&ran, None));
        prop_assert!(stages.iter().all(|stage| stage.ns.is_none()), "nobody took the time");
        let timed = explain(&worker, port, &frame, (&ran, Some(&took)));
        // Between two looks at the clock there is one stage, and all stages together are the whole time.
        let (all, passed) = (timed.iter().filter_map(|stage| stage.ns).sum::<u64>(), took.passed.len() as u64);
        prop_assert_eq!(all, 1000 * (passed + 1));
        prop_assert!(timed.iter().filter(|stage| stage.peer.is_none()).all(|stage| {
            stage.ns.is_some() || matches!(stage.stage, StageName::Send | StageName::Deliver)
        }), "{:?}", timed);
        prop_assert_eq!(worker.totals().dropped(), 0, "a dry run counts nothing");
        worker.read(port, &VnetHeader::default(), &mut octets.clone());
        prop_assert_eq!(did(&mut worker), sorted(ran.clone()));

        let failed: Vec<&Stage> = stages.iter().filter(|stage| stage.state == State::Failed).collect();
        if !ran.goes_on() {
            let [end] = failed[..] else { panic!("{stages:?}") };
            let fault = end.fault.as_ref().unwrap();
            prop_assert_eq!((fault.code.as_str(), stages.last()), (ran.drops[0].name(), Some(end)));
            prop_assert!(!fault.mend.is_empty() && fault.what.contains(ran.drops[0].sentence()));
        } else {
            prop_assert_eq!(failed.len(), 0, "{:?}", stages);
            let sent: Vec<_> = stages.iter().filter_map(|stage| stage.peer.as_ref()).collect();
            prop_assert_eq!(sent.len(), ran.peers(worker.topology()).len());
            let written = stages.iter().filter(|stage| stage.stage == StageName::Deliver).count();
            prop_assert_eq!(written, if ran.is_answered { 0 } else { ran.delivered.len() });
            prop_assert_eq!(stages.iter().any(|stage| stage.stage == StageName::Answer), ran.is_answered);
        }
    }

    #[test]
    fn a_dry_run_of_a_datagram_does_what_a_real_worker_does(
        plan in plans(), frame in frames_between(near(), near()), from in 9..15_u8, other_vni: bool,
        option in prop::option::of((9..15_u8, prop_oneof![Just(1_u8), 10..14_u8], any::<bool>())),
    ) {
        let (mut worker, _) = build(&plan);
        let vni = if other_vni { Vni::new(101).unwrap() } else { vni() };
        let (format, header) = match option {
            None => (Format::Vxlan, tunnel::encode(Format::Vxlan, vni).to_vec()),
            Some((origin, to, hops)) => {
                let hops = if hops { Hops::One } else { Hops::Zero };
                let relay = Relay { origin: vtep(origin), to: vtep(to).ip(), hops };
                (Format::Geneve, relay.encode(vni).to_vec())
            }
        };
        let datagram = [header, frame.octets()].concat();
        let (ran, took) = dry(&worker).receive(vtep(from).ip(), format, datagram.clone(), &clock());
        let order = [StageName::Open, StageName::CheckEthernet, StageName::Decide];
        let passed: Vec<StageName> = took.passed.iter().map(|(stage, _)| *stage).collect();
        prop_assert!(order.starts_with(&passed), "{:?}", passed);
        prop_assert!(ran.delivered.is_empty() || passed.len() == order.len(), "{:?}", passed);
        worker.receive_one(vtep(from), format, &datagram, datagram.len());
        prop_assert_eq!(did(&mut worker), sorted(ran));
    }
}

proptest! {
    #[test]
    fn whatever_a_letter_carries_ends_somewhere(
        plan in plans(), octets in prop::collection::vec(any::<u8>(), 1..200), is_frame: bool, from in 9..15_u8,
    ) {
        let (worker, _) = build(&plan);
        let frame = frame_of(octets, is_frame);
        let datagram = [&tunnel::encode(Format::Vxlan, vni())[..], &frame].concat();
        let (ran, _) = dry(&worker).receive(vtep(from).ip(), Format::Vxlan, datagram, &clock());
        prop_assert!(ran.goes_on() || !ran.drops.is_empty(), "{:?}", ran);
    }
}

/// Octets as a letter brings them, behind an Ethernet header of a host if they are to be a frame.
fn frame_of(mut octets: Vec<u8>, is_frame: bool) -> Vec<u8> {
    if is_frame {
        octets.splice(0..0, [mac(1).octets(), mac(2).octets()].concat().into_iter().chain([8, 0]));
    }
    Load::new(&octets).map_or(octets, |load| load.frame())
}

fn told(verdict: Verdict) -> Vec<Stage> {
    told_within(verdict, None)
}

fn told_within(verdict: Verdict, times: Option<Times>) -> Vec<Stage> {
    let told = Told { verdict, ports: 1, place: "db".to_owned(), network: "pods".to_owned(), times };
    Inbound { node: "n2", from: "n1", network: "pods", told: &told }.explain()
}

#[test]
fn every_drop_that_another_node_tells_of_is_named_with_what_mends_it() {
    for reason in DropReason::ALL {
        let stages = told(Verdict::Dropped(reason.name().to_owned()));
        let end = stages.last().unwrap();
        let fault = end.fault.as_ref().unwrap();
        assert_eq!(
            (end.state, fault.code.as_str(), fault.node.as_str()),
            (State::Failed, reason.name(), "n2")
        );
        assert!(fault.what.contains(reason.sentence()) && fault.mend.len() > 10, "{fault:?}");
    }
    let later = told(Verdict::Dropped("of_a_later_version".to_owned()));
    assert_eq!(later.last().unwrap().fault.as_ref().unwrap().code, "of_a_later_version");
}

#[test]
fn what_another_node_delivers_or_passes_on_goes_on() {
    let names = |stages: Vec<Stage>| stages.iter().map(|stage| stage.stage).collect::<Vec<_>>();
    let all = told(Verdict::Delivered);
    assert!(all.iter().all(|stage| stage.state == State::Ok) && all[3].text.contains("port db"), "{all:?}");
    let (open, check) = (StageName::Open, StageName::CheckEthernet);
    assert_eq!(names(all), [open, check, StageName::Decide, StageName::Deliver]);
    assert_eq!(names(told(Verdict::PassedOn)), [StageName::PassOn]);
}

#[test]
fn the_times_that_another_node_tells_are_those_of_its_stages() {
    let ns = Duration::from_nanos;
    let stages = vec![
        (StageName::Open, ns(700)),
        (StageName::CheckEthernet, ns(40)),
        (StageName::Decide, ns(300)),
        (StageName::Deliver, ns(900)),
    ];
    let times = Some(Times { waited: ns(5), stages });
    let taken = |verdict| -> Vec<Option<u64>> {
        told_within(verdict, times.clone()).iter().map(|stage| stage.ns).collect()
    };
    assert_eq!(taken(Verdict::Delivered), [Some(700), Some(40), Some(300), Some(900)]);
    assert_eq!(taken(Verdict::Dropped("no_destination".to_owned())), [Some(700), Some(40), Some(900)]);
    assert!(told(Verdict::Delivered).iter().all(|stage| stage.ns.is_none()));
}

#[test]
fn the_underlay_takes_half_of_there_and_back_and_that_is_called_an_estimate() {
    let leg = |is_passed_on| {
        let there_and_back = Duration::from_micros(420);
        Leg { from: "n1", to: "n2", size: 1500, there_and_back, is_passed_on }.crossed()
    };
    let stage = leg(false);
    assert_eq!((stage.node.as_str(), stage.stage, stage.ns), ("n1", StageName::Underlay, Some(210_000)));
    assert!(stage.text.contains("1500 octets") && stage.text.contains("an estimate"), "{}", stage.text);
    assert!(!stage.text.contains("pass") && leg(true).text.contains("what n1 needs to pass it on"));
}

#[test]
fn a_frame_that_is_sent_is_the_one_that_the_stages_let_go_in_a_packet_as_large() {
    let (mut worker, port) = build(&Plan { places: vec![(2, 1)], ..plan() });
    for (via, size) in [(false, 1400), (true, 1400), (false, 28)] {
        worker.change(|topology| {
            let view = ViaView { to: vtep(99), path_mtu: Mtu::new(1500).unwrap(), dead: Sources::default() };
            topology.peers[0].via = via.then_some(view);
        });
        let addresses = Addresses::V4(host_v4(1), host_v4(2));
        let protocol = Protocol::Icmp;
        let frame = FrameSpec { src: mac(1), dst: mac(2), addresses, protocol, size, vlan: None };
        let (ran, _) = dry(&worker).send(port, frame.octets(), &clock());
        let [(peer, message)] = ran.peers(worker.topology())[..] else { panic!("one peer: {ran:?}") };
        let marked = Marked::new(worker.topology().peer(peer), message).unwrap();
        assert_eq!(marked.load.frame(), frame.octets());
        let (own, small) = (20 + 8 + message.size, size == 28);
        assert_eq!(usize::from(marked.size) > own, small, "{own}");
        assert!(small || usize::from(marked.size) == own, "{own}");
    }
}

#[test]
fn a_story_ends_with_its_worst_stage() {
    let stage = |state| {
        let fault = Fault::new(&format!("{state:?}"), "n1", "what", "mend");
        Stage::wrong("n1", StageName::Send, state, fault)
    };
    let passed = Stage::passed("n1", StageName::Admit, "it may");
    for (stages, outcome, code) in [
        (vec![passed.clone()], Outcome::Arrives, None),
        (vec![passed.clone(), stage(State::Degraded)], Outcome::Degraded, Some("Degraded")),
        (vec![stage(State::Degraded), stage(State::Failed), passed], Outcome::Lost, Some("Failed")),
    ] {
        let mut story = Story { stages, ..story() };
        story.conclude();
        assert_eq!((story.outcome, story.fault.as_ref().map(|fault| fault.code.as_str())), (outcome, code));
    }
}

/// One without stages.
fn story() -> Story {
    Story {
        id: 1,
        node: "n1".to_owned(),
        from: "web".to_owned(),
        to: "db".to_owned(),
        network: "pods".to_owned(),
        vni: vni(),
        frame: None,
        live: false,
        finished: true,
        outcome: Outcome::Arrives,
        fault: None,
        stages: Vec::new(),
        nodes: Vec::new(),
    }
}

#[test]
fn a_node_that_does_not_answer_loses_only_what_was_sent_in_place_of_the_frame() {
    for (live, state) in [(false, State::Degraded), (true, State::Failed)] {
        let silence = Silence { node: "n2", version: Some("0.1.0"), size: 1500, asked: 4, seconds: 2, live };
        let stage = silent("n1", &silence);
        assert_eq!((stage.state, stage.fault.unwrap().code.as_str()), (state, "no_answer"));
        assert!(stage.text.contains("did not answer within 2 s"), "{}", stage.text);
        let stage = silent("n1", &Silence { asked: 0, ..silence });
        assert_eq!((stage.state, stage.fault.unwrap().code.as_str()), (State::Degraded, "not_sent"));
    }
}

#[test]
fn protocols_read_as_they_are_written() {
    for text in ["icmp", "arp", "tcp/80", "udp/53"] {
        assert_eq!(text.parse::<Protocol>().unwrap().to_string(), text);
    }
    for text in ["", "tcp", "tcp/0", "tcp/65536", "icmp/1", "sctp/1", "tcp/80/1"] {
        assert!(text.parse::<Protocol>().is_err(), "{text}");
    }
    let mixed = Addresses::new(IpAddr::from([10, 0, 0, 1]), IpAddr::from(Ipv6Addr::LOCALHOST));
    assert_eq!(mixed, None);
}
