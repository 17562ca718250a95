//! What is measured of members, and what that costs where there are many.

use fdb::gossip::seal::Refusal;

use super::paths::{finds, good, ill};
use super::*;
use crate::control::metrics::{Style, encode};
use crate::control::protocol::{Metrics, PeerMetrics};
use crate::counters::PaddedCounters;
use crate::path::{Cause, Found, Health as PathHealth, Path, RoundTripView, Share, Since, SourceView, View};

fn metrics(lab: &mut Lab) -> Metrics {
    let Reply::Metrics(metrics) = lab.ask(Request::Metrics) else { panic!() };
    *metrics
}

fn peer(lab: &mut Lab, name: &str) -> PeerMetrics {
    metrics(lab).peers.into_iter().find(|peer| peer.name == name).unwrap()
}

fn waits_for(lab: &mut Lab) -> Vec<String> {
    let Reply::Ready(ready) = lab.ask(Request::Ready) else { panic!() };
    ready.waits_for
}

#[test]
fn a_cause_has_the_name_that_weft_peer_and_weft_status_give_it_and_goes_with_it() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    finds(&mut lab, 2, good());
    assert_eq!(peer(&mut lab, "node-2").degraded, Vec::<String>::new());
    let found = ill(&lab, Cause::SmallMtu);
    finds(&mut lab, 2, found);
    assert_eq!(peer(&mut lab, "node-2").degraded, ["small_mtu"]);
    assert_eq!(metrics(&mut lab).degraded["small_mtu"], 1);
    assert!(lab.peer("10.0.0.2").degraded[0].cause.starts_with("small_mtu: "));
    assert!(troubles(&mut lab).iter().any(|item| item.contains("small_mtu: ")));
    finds(&mut lab, 2, good());
    assert_eq!(peer(&mut lab, "node-2").degraded, Vec::<String>::new());
    assert!(!metrics(&mut lab).degraded.contains_key("small_mtu"));
}

#[test]
fn as_many_things_are_degraded_as_weft_status_lists() {
    let (mut lab, mut others) = lab(BASIC);
    for last in [2, 3, 4] {
        others.join(&mut lab, last);
    }
    let found = ill(&lab, Cause::Loss);
    finds(&mut lab, 2, found);
    others.goes_down(&mut lab, 3);
    lab.twin().unreachable.insert([10, 0, 0, 9].into());
    lab.tick();
    let degraded = metrics(&mut lab).degraded;
    assert_eq!((degraded["loss"], degraded["node_down"], degraded["no_route"]), (1, 1, 1), "{degraded:?}");
    assert_eq!(degraded.values().sum::<u64>(), troubles(&mut lab).len() as u64, "{degraded:?}");
}

#[test]
fn members_are_counted_by_state_and_one_that_left_is_no_peer() {
    let (mut lab, mut others) = lab(BASIC);
    for last in [2, 3, 4] {
        others.join(&mut lab, last);
    }
    others.happens(&mut lab, MemberEvent::Suspect(member(3)));
    others.happens(&mut lab, MemberEvent::Left(member(4)));
    let now = metrics(&mut lab);
    let members = &now.gossip.unwrap().members;
    assert_eq!((members["up"], members["suspect"], members["down"], members["left"]), (1, 1, 0, 1));
    let names: Vec<_> = now.peers.iter().map(|peer| peer.name.as_str()).collect();
    assert_eq!(names, ["10.0.0.9", "node-2", "node-3"]);
    assert_eq!(peer(&mut lab, "node-2").rtt_us, Some(400));
}

#[test]
fn of_two_members_with_one_name_the_later_has_its_id_behind_it_and_traffic_is_told_once() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.join(&mut lab, 3);
    let info = NodeInfo { name: "node-2".into(), ..Others::info(3) };
    others.says(&mut lab, 3, Key::NodeInfo, Some(Record::NodeInfo(info)));
    lab.topology().peers[1].traffic.count_received(0, Format::Vxlan, 7, 700);
    let peers = metrics(&mut lab).peers;
    let told: Vec<_> = peers.iter().map(|peer| (peer.name.as_str(), peer.received.count)).collect();
    assert_eq!(told, [("10.0.0.9", 0), ("node-2", 7), ("node-2 (03000000)", 0)]);
}

#[test]
fn refused_seals_of_gossip_and_of_the_data_ports_add_up_and_other_refusals_are_none() {
    let (mut lab, mut others) = lab(BASIC);
    let paths = Arc::new(PaddedCounters::default());
    lab.control.path_counters = Some(Arc::clone(&paths));
    let causes = metrics(&mut lab).gossip.unwrap().crypto_failures;
    assert!(causes.len() >= 8 && causes.values().all(|count| *count == 0), "{causes:?}");
    paths.seals.note(&Refusal::Replay);
    for why in [Refusal::Replay, Refusal::BadTag, Refusal::Stranger] {
        others.status.dropped.count(&why.into());
    }
    others.show();
    let gossip = metrics(&mut lab).gossip.unwrap();
    assert_eq!((gossip.crypto_failures["replay"], gossip.crypto_failures["bad_tag"]), (2, 1));
    assert_eq!((gossip.crypto_failures.values().sum::<u64>(), gossip.dropped["stranger"]), (3, 1));
}

#[test]
fn probes_without_an_answer_are_told_of_peers_that_are_probed() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.join(&mut lab, 3);
    let watching = lab.twin().watching.clone().unwrap();
    let view = long_view(&watching.1[0], lab.now);
    lab.twin().views = [(id(2), view)].into();
    let lost = metrics(&mut lab).peers.into_iter().map(|peer| peer.probes_lost);
    assert_eq!(lost.collect::<Vec<_>>(), [None, Some(1_000), None]);
}

#[test]
fn a_node_is_ready_when_gossip_knew_all_that_another_did() {
    let (mut lab, mut others) = lab(BASIC);
    assert!(waits_for(&mut lab)[0].starts_with("gossip: "));
    others.status.ready = true;
    others.show();
    assert_eq!(waits_for(&mut lab), Vec::<String>::new());
    let done = others.answer(Ok(Answer::Done));
    lab.done(Request::Leave);
    assert!(matches!(done.recv().unwrap(), Command::Leave));
    assert!(waits_for(&mut lab)[0].contains("this node left"));
}

/// Everything that is known of a path, with something wrong about it.
fn long_view(watched: &devices::Watched, now: Instant) -> View {
    let time = Duration::from_micros(437);
    View {
        target: watched.target,
        path: good(),
        since: now,
        found: Found::Probed,
        round_trip: Some(RoundTripView { smoothed: time, p50: time, p99: time, samples: 100 }),
        lost_there: Share { count: 17, of: 331 },
        lost_back: Share { count: 1, of: 331 },
        overtaken: Share { count: 0, of: 331 },
        clock_ahead_ms: Some(3),
        probes_sent: 100_000,
        probes_answered: 99_000,
        probes_lost: 1_000,
        heard_at: Some(now),
        sources: vec![SourceView::default(); 16],
        examination: None,
    }
}

/// A member with a long name, ten addresses and a path that is degraded.
fn joins(lab: &mut Lab, others: &mut Others, number: u16) {
    let [high, low] = number.to_be_bytes();
    let node = NodeId::new(u128::from(number) << 96 | 1);
    let boot = BootId::new(number.into());
    let member = MemberId::new(([10, 1, high, low], 6786).into(), node, Epoch::new(3), boot);
    let name = format!("{}-{number}", "n".repeat(52));
    let info = NodeInfo { v4: Some([10, 1, high, low].into()), name, boot, ..Others::info(2) };
    others.link.tell_event(MemberEvent::Up(member));
    others.link.tell_change(node, Key::NodeInfo, Some(Record::NodeInfo(info)));
    others.link.tell_change(node, Key::VniJoin(vni(100)), Some(Record::VniJoin(vni(100))));
    for last in 0..10 {
        let mac = MacAddr::new([2, 0, 1, high, low, last]);
        let ips = vec![[10, 32, low, last].into()];
        let record =
            MacRecord { vni: vni(100), mac, ips, dst: None, mob_seq: 0, is_static: false, router: false };
        others.link.tell_change(node, Key::Mac(vni(100), mac), Some(Record::Mac(record)));
    }
    let rtt = Some(Duration::from_micros(400));
    others.status.members.insert(node, MemberStatus { rtt, agrees: Some(false), epoch: 3, over_limit: true });
    lab.control.handle_gossip(lab.now);
    let causes = [Cause::SmallMtu, Cause::Loss, Cause::OtherFormat, Cause::DeadSourcePort];
    let causes = causes.map(|cause| Since { cause, since: lab.now });
    let path = Path { health: PathHealth::Degraded(causes.into()), ..good() };
    lab.control.handle_event(WorkerEvent::Path { node, boot, path }, lab.now);
}

#[test]
fn a_scrape_of_five_hundred_peers_takes_less_than_20_ms_and_1_mib() {
    let (mut lab, mut others) = lab(BASIC);
    (1..=500).for_each(|number| joins(&mut lab, &mut others, number));
    others.show();
    (0..12).for_each(|_| lab.tick());
    let now = lab.now;
    let watching = lab.twin().watching.clone().unwrap();
    let views = watching.1.iter().map(|watched| (watched.target.node, long_view(watched, now)));
    lab.twin().views = views.collect();
    for peer in &lab.topology().peers {
        peer.traffic.count_received(0, Format::Vxlan, 123_456_789, 123_456_789_012);
        peer.traffic.count_sent(1, Format::Vxlan, 123_456_789, 123_456_789_012);
    }

    let mut times = Vec::new();
    let mut octets = 0;
    for style in [Style::OpenMetrics, Style::Classic].repeat(10) {
        let start = crate::clock::now();
        let metrics = metrics(&mut lab);
        octets = encode(&metrics, 1_700_000_000_123, style).unwrap().len().max(octets);
        times.push(crate::clock::now() - start);
        assert_eq!(metrics.peers.len(), 501);
        assert!(metrics.peers.iter().all(|peer| peer.sent.count == 123_456_789));
        assert!(metrics.peers[7].degraded.len() >= 6, "{:?}", metrics.peers[7]);
    }
    times.sort_unstable();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!("500 peers with six causes each: {octets} octets, median {median:?}, worst {worst:?}");
    assert!(octets <= 1 << 20, "{octets}");
    assert!(median <= Duration::from_millis(20), "{times:?}");
}
