//! Control with gossip that is a [`Link`] and nobody at its other end but the test.

use std::sync::mpsc;
use std::thread;

use encap::Format;
use fdb::gossip::identity::{BootId, Epoch, NodeId};
use fdb::gossip::members::{MemberEvent, MemberId};
use fdb::gossip::seal::{Key as Secret, KeyId};
use fdb::replica::{Key, MacRecord, NodeInfo, Record, VtepRecord};

use super::*;
use crate::control::protocol::{
    FdbEvent, FdbHistoryEntry, FdbState, FdbTarget, GossipStatus, Health, KeyEntry, PeerAdd, PeerKind,
    PeerState, SecretKey,
};
use crate::gossip::{Command, CommandError, KeyView, Link, MemberStatus, Reply as Answer, SeedStatus};

mod addresses;
mod commands;
mod doctor;
mod map;
mod metrics;
mod paths;
mod trace;

const GOSSIP: &str = "[gossip]\njoin = [\"10.0.0.2\"]\nkey_file = \"/etc/weft/gossip.key\"\n";

/// The other end of the link: what other nodes are and say.
struct Others {
    link: Link,
    status: crate::gossip::Status,
}

fn id(last: u8) -> NodeId {
    NodeId::new(u128::from(last) << 120 | u128::from(last))
}

fn member(last: u8) -> MemberId {
    let addr = ([10, 0, 0, last], 6786).into();
    MemberId::new(addr, id(last), Epoch::new(3), BootId::new(u128::from(last)))
}

fn vni(number: u32) -> Vni {
    Vni::new(number).unwrap()
}

fn lab(toml: &str) -> (Lab, Others) {
    let link = Link::default();
    let gossip = GossipSetup { link: link.clone(), node: id(1), boot: BootId::new(1) };
    let lab = Lab::gossiping(&format!("{toml}\n{GOSSIP}"), gossip);
    (lab, Others { link, status: crate::gossip::Status::default() })
}

impl Others {
    fn says(&self, lab: &mut Lab, last: u8, key: Key, record: Option<Record>) {
        self.link.tell_change(id(last), key, record);
        lab.control.handle_gossip(lab.now);
    }

    fn info(last: u8) -> NodeInfo {
        NodeInfo {
            v4: Some([10, 0, 0, last].into()),
            v6: None,
            vxlan_port: 4789,
            geneve_port: 6081,
            format: Format::Vxlan,
            name: format!("node-{last}"),
            version: "0.1.0".into(),
            boot: BootId::new(last.into()),
        }
    }

    /// A node comes up, and has the network with VNI 100.
    fn join(&mut self, lab: &mut Lab, last: u8) {
        self.happens(lab, MemberEvent::Up(member(last)));
        self.says(lab, last, Key::NodeInfo, Some(Record::NodeInfo(Self::info(last))));
        self.says(lab, last, Key::VniJoin(vni(100)), Some(Record::VniJoin(vni(100))));
        let rtt = Some(Duration::from_micros(400));
        self.status
            .members
            .insert(id(last), MemberStatus { rtt, agrees: Some(true), epoch: 3, over_limit: false });
        self.show();
    }

    fn happens(&self, lab: &mut Lab, event: MemberEvent) {
        self.link.tell_event(event);
        lab.control.handle_gossip(lab.now);
    }

    fn goes_down(&self, lab: &mut Lab, last: u8) {
        self.happens(lab, MemberEvent::Down(member(last)));
        self.says(lab, last, Key::NodeInfo, None);
    }

    fn claims(&self, lab: &mut Lab, last: u8, mac: MacAddr, mob_seq: u32, is_static: bool) {
        let ips = vec![[10, 32, 0, last].into()];
        let record = MacRecord { vni: vni(100), mac, ips, dst: None, mob_seq, is_static, router: false };
        self.says(lab, last, Key::Mac(vni(100), mac), Some(Record::Mac(record)));
    }

    /// Publishes the status.
    fn show(&self) {
        self.link.set_status(self.status.clone());
    }

    /// Answers the next command, and tells which one it was.
    fn answer(&self, answer: Result<Answer, CommandError>) -> mpsc::Receiver<Command> {
        let (link, (sender, receiver)) = (self.link.clone(), mpsc::channel());
        thread::spawn(move || {
            loop {
                if let Some((command, reply)) = link.take_orders().commands.pop_front() {
                    reply.send(answer).unwrap();
                    return sender.send(command);
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        receiver
    }
}

fn gossip_of(lab: &mut Lab) -> GossipStatus {
    lab.status().gossip.unwrap()
}

/// Subject and cause of everything that does not work.
fn troubles(lab: &mut Lab) -> Vec<String> {
    lab.status().degraded.iter().map(|item| format!("{}: {}", item.subject, item.cause)).collect()
}

fn history(lab: &mut Lab, mac: MacAddr) -> Vec<FdbHistoryEntry> {
    let Reply::FdbHistory(history) = lab.ask(Request::FdbHistory { mac, network: None }) else { panic!() };
    history.entries
}

fn events(lab: &mut Lab, mac: MacAddr) -> Vec<FdbEvent> {
    history(lab, mac).iter().map(|entry| entry.event).collect()
}

// ---- members ----

#[test]
fn members_are_peers_beside_the_static_ones() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    lab.tick();
    let peer = lab.peer("10.0.0.2");
    assert_eq!((peer.name.as_str(), peer.kind, peer.state), ("node-2", PeerKind::Member, PeerState::Up));
    assert_eq!((peer.rtt_us, peer.since_s, peer.left), (Some(400), Some(1), false));
    assert_eq!((peer.path_mtu, peer.mtu, peer.port), (Some(mtu(1500)), Some(mtu(1450)), 4789));
    assert_eq!((peer.version.as_deref(), peer.node), (Some("0.1.0"), Some(id(2).to_string())));
    assert_eq!((peer.gossip, peer.networks), (Some(([10, 0, 0, 2], 6786).into()), vec!["pods".to_owned()]));
    assert_eq!(lab.peer("10.0.0.9").kind, PeerKind::Static);
    let counts = lab.status().counts;
    assert_eq!((counts["peers"], counts["peers_up"]), (2, 2));
    let Reply::Networks(networks) = lab.ask(Request::NetworkList) else { panic!() };
    let peers: Vec<_> = networks.entries.iter().map(|n| n.peers.join(" ")).collect();
    assert_eq!(peers, ["10.0.0.9 node-2", ""]);
}

#[test]
fn a_member_that_is_down_keeps_its_name_and_address_until_it_is_forgotten() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.happens(&mut lab, MemberEvent::Suspect(member(2)));
    assert_eq!(lab.peer("10.0.0.2").state, PeerState::Suspect);
    assert!(troubles(&mut lab)[0].starts_with("node node-2: it does not answer"));
    others.goes_down(&mut lab, 2);
    let peer = lab.peer("10.0.0.2");
    assert_eq!(
        (peer.name.as_str(), peer.state, peer.left, peer.mtu),
        ("node-2", PeerState::Down, false, None)
    );
    assert!(troubles(&mut lab)[0].contains("`weft forget node-2`"));
    others.status.members.clear();
    others.show();
    (0..4).for_each(|_| lab.tick());
    assert_eq!((gossip_of(&mut lab).members, lab.status().state), (0, Health::Ok));
}

#[test]
fn a_member_that_left_is_down_and_no_trouble() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.happens(&mut lab, MemberEvent::Left(member(2)));
    others.says(&mut lab, 2, Key::NodeInfo, None);
    let peer = lab.peer("10.0.0.2");
    assert_eq!((peer.state, peer.left), (PeerState::Down, true));
    assert_eq!((lab.status().state, lab.status().counts["peers"]), (Health::Ok, 1));
}

#[test]
fn a_member_that_frames_cannot_reach_is_down_and_says_why() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    lab.twin().unreachable.insert([10, 0, 0, 2].into());
    lab.tick();
    let peer = lab.peer("10.0.0.2");
    assert_eq!((peer.state, peer.degraded.len()), (PeerState::Down, 1));
    assert_eq!(troubles(&mut lab), ["node node-2: no route to its address"]);
    let v6 = NodeInfo { v4: None, v6: Some("fd00::2".parse().unwrap()), ..Others::info(2) };
    others.says(&mut lab, 2, Key::NodeInfo, Some(Record::NodeInfo(v6)));
    assert!(troubles(&mut lab)[0].contains("no underlay address of a family"));
    assert_eq!(lab.peer("fd00::2").state, PeerState::Down);
}

// ---- status ----

#[test]
fn without_gossip_nothing_of_it_is_shown() {
    let mut lab = Lab::new(BASIC);
    assert_eq!(lab.status().gossip, None);
    let json = serde_json::to_string(&lab.ask(Request::Status)).unwrap();
    assert!(!json.contains("gossip") && !json.contains("member"), "{json}");
    let refused = lab.refused(Request::KeyList);
    assert!(refused.message.contains("gossip is off"), "{}", refused.message);
}

#[test]
fn status_tells_who_is_up_and_whether_all_know_the_same() {
    let (mut lab, mut others) = lab(BASIC);
    (others.status.digest, others.status.epoch, others.status.ready) = (0xabc, 7, true);
    others.join(&mut lab, 2);
    others.join(&mut lab, 3);
    let gossip = gossip_of(&mut lab);
    assert_eq!((gossip.node, gossip.epoch), (id(1).to_string(), 7));
    assert_eq!((gossip.members_up, gossip.members, gossip.not_compared, gossip.ready), (2, 2, 0, true));
    assert_eq!(gossip.digest, format!("{:032x}", 0xabc));
    assert!(gossip.differs.is_empty());
}

#[test]
fn a_digest_that_differs_is_a_trouble_after_10_s() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.join(&mut lab, 3);
    others.status.members.get_mut(&id(3)).unwrap().agrees = Some(false);
    others.show();
    lab.tick();
    assert_eq!(gossip_of(&mut lab).differs, ["node-3"]);
    (0..8).for_each(|_| lab.tick());
    assert_eq!(troubles(&mut lab), Vec::<String>::new(), "it may be on its way");
    (0..2).for_each(|_| lab.tick());
    assert!(troubles(&mut lab)[0].starts_with("gossip: the digest differs from that of node-3:"));
    others.status.members.get_mut(&id(3)).unwrap().agrees = Some(true);
    others.show();
    assert_eq!(lab.status().state, Health::Ok);
}

#[test]
fn a_join_address_where_nobody_is_known_is_a_trouble() {
    let (mut lab, mut others) = lab(BASIC);
    let seed = |name: &str, found, known| SeedStatus { name: name.to_owned(), found, known };
    let somewhere = || Ok(vec![([10, 0, 0, 2], 6786).into()]);
    others.status.seeds = vec![
        seed("self:6786", somewhere(), true),
        seed("10.0.0.2:6786", somewhere(), false),
        seed("nowhere:6786", Err("the name nowhere is not found".to_owned()), false),
    ];
    others.show();
    (0..7).for_each(|_| lab.tick());
    let found = troubles(&mut lab);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("join 10.0.0.2:6786: nobody answers"), "{found:?}");
    assert_eq!(found[1], "join nowhere:6786: the name nowhere is not found");
}

#[test]
fn insecure_gossip_a_later_version_and_a_late_thread_are_troubles() {
    let (mut lab, mut others) = lab(BASIC);
    let insecure = format!("{BASIC}\n[gossip]\ninsecure = true\n");
    let gossip = GossipSetup { link: others.link.clone(), node: id(1), boot: BootId::new(1) };
    let mut open = Lab::gossiping(&insecure, gossip);
    assert!(troubles(&mut open)[0].contains("`weft key new`"));
    others.status.later_version = Some((([10, 0, 0, 7], 6786).into(), 9, lab.now));
    others.status.lag = Duration::from_millis(250);
    others.show();
    let found = troubles(&mut lab);
    assert!(
        found[0].contains("250 ms late") && found[1].contains("10.0.0.7:6786 speaks version 9"),
        "{found:?}"
    );
    others.status.lag = Duration::from_millis(200);
    others.show();
    lab.now += Duration::from_secs(61);
    assert_eq!(troubles(&mut lab), Vec::<String>::new());
}

#[test]
fn a_mac_address_configured_twice_is_a_trouble_that_names_both_places() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.claims(&mut lab, 2, mac(1), 0, true);
    let found = troubles(&mut lab);
    assert!(found[0].contains("port web") && found[0].contains("node-2"), "{found:?}");
    assert_eq!(events(&mut lab, mac(1)), [FdbEvent::Configured, FdbEvent::Duplicate]);
    others.says(&mut lab, 2, Key::Mac(vni(100), mac(1)), None);
    assert_eq!(troubles(&mut lab), Vec::<String>::new());
}

#[test]
fn a_node_that_says_more_than_it_may_is_a_trouble() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.status.members.get_mut(&id(2)).unwrap().over_limit = true;
    others.show();
    lab.tick();
    assert!(troubles(&mut lab)[0].starts_with("node node-2: it says more than the 16384 records"));
}
