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
    FdbEvent, FdbHistoryEntry, FdbState, FdbTarget, GossipStatus, Health, KeyEntry, PeerKind, PeerState,
    SecretKey,
};
use crate::gossip::{Command, CommandError, KeyView, Link, MemberStatus, Reply as Answer, SeedStatus};

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

// ---- addresses ----

#[test]
fn a_claimed_entry_names_the_node_that_claims_it() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.claims(&mut lab, 2, mac(5), 4, false);
    others.claims(&mut lab, 2, mac(6), 0, true);
    let entry = |lab: &mut Lab, of| lab.fdb().into_iter().find(|e| e.mac == of).unwrap();
    let claimed = entry(&mut lab, mac(5));
    assert_eq!((claimed.owner.as_str(), claimed.state, claimed.mob_seq), ("node-2", FdbState::Remote, 4));
    assert_eq!((claimed.node, claimed.dst), (Some(id(2).to_string()), Some([10, 0, 0, 2].into())));
    assert_eq!(entry(&mut lab, mac(6)).state, FdbState::Static);
    let own = entry(&mut lab, mac(1));
    assert_eq!((own.owner.as_str(), own.node), ("node-a", None));
}

#[test]
fn the_history_of_an_address_tells_its_moves_with_places_and_ages() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.claims(&mut lab, 2, mac(5), 0, false);
    lab.tick();
    let web = Location::Local(lab.id("web"));
    lab.learn(100, mac(5), web);
    others.claims(&mut lab, 2, mac(5), 2, false);
    others.says(&mut lab, 2, Key::Mac(vni(100), mac(5)), None);
    let told: Vec<_> =
        history(&mut lab, mac(5)).into_iter().map(|e| (e.age_s, e.event, e.from, e.to, e.mob_seq)).collect();
    let (web, there) = (Some("port web".to_owned()), Some("node node-2".to_owned()));
    assert_eq!(
        told,
        [
            (1, FdbEvent::Claimed, None, there.clone(), Some(0)),
            (0, FdbEvent::Moved, there.clone(), web.clone(), Some(1)),
            (0, FdbEvent::Moved, web, there.clone(), Some(2)),
            (0, FdbEvent::Withdrawn, there, None, None),
        ]
    );
}

#[test]
fn the_end_of_a_node_is_in_the_history_of_its_addresses() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.claims(&mut lab, 2, mac(5), 0, false);
    others.goes_down(&mut lab, 2);
    let last = history(&mut lab, mac(5)).pop().unwrap();
    assert_eq!((last.event, last.from.as_deref()), (FdbEvent::Withdrawn, Some("node node-2")));
}

#[test]
fn the_history_tells_why_an_address_is_gone_without_gossip_too() {
    let mut lab = Lab::new(BASIC);
    let peer = vtep("10.0.0.9:4789");
    lab.learn(100, mac(30), peer);
    lab.now += Duration::from_secs(301);
    lab.tick();
    assert_eq!(events(&mut lab, mac(30)), [FdbEvent::Learned, FdbEvent::Aged]);
    lab.learn(100, mac(31), peer);
    lab.done(Request::FdbDel { mac: mac(31), network: None });
    assert_eq!(events(&mut lab, mac(31)), [FdbEvent::Learned, FdbEvent::Deleted]);
    lab.done(Request::PortDel { name: "web".into() });
    assert_eq!(events(&mut lab, mac(1)), [FdbEvent::Configured, FdbEvent::Deleted]);
    lab.done(Request::FdbAdd {
        mac: mac(40),
        network: "pods".into(),
        at: FdbTarget::Dst([10, 0, 0, 9].into()),
    });
    assert_eq!(history(&mut lab, mac(40))[0].to.as_deref(), Some("peer 10.0.0.9"));
    assert!(
        lab.refused(Request::FdbHistory { mac: mac(1), network: Some("x".into()) }).message.contains("pods")
    );
}

#[test]
fn an_address_that_made_way_for_another_was_evicted() {
    let limits = Limits { static_peer: 1, ..Limits::default() };
    let mut lab = Lab::limited(BASIC, Twin::default(), limits);
    lab.learn(100, mac(30), vtep("10.0.0.9:4789"));
    lab.learn(100, mac(31), vtep("10.0.0.9:4789"));
    assert_eq!(events(&mut lab, mac(30)), [FdbEvent::Learned, FdbEvent::Evicted]);
    assert_eq!(events(&mut lab, mac(31)), [FdbEvent::Learned]);
}

#[test]
fn freezing_and_thawing_are_in_the_history() {
    let mut lab = Lab::new(BASIC);
    let places = [Location::Local(lab.id("web")), vtep("10.0.0.9:4789")];
    let flap = |lab: &mut Lab| (0..8).for_each(|turn| lab.learn(100, mac(9), places[turn % 2]));
    flap(&mut lab);
    assert_eq!(events(&mut lab, mac(9))[5..], [FdbEvent::Moved, FdbEvent::Frozen]);
    lab.done(Request::FdbThaw { mac: mac(9), network: None });
    assert_eq!(events(&mut lab, mac(9)).last(), Some(&FdbEvent::Thawed));
    flap(&mut lab);
    assert_eq!(events(&mut lab, mac(9)).last(), Some(&FdbEvent::Frozen));
    lab.now += Duration::from_secs(181);
    lab.control.handle_timeout(lab.now);
    assert_eq!(events(&mut lab, mac(9)).last(), Some(&FdbEvent::Thawed));
}

// ---- commands ----

#[test]
fn the_keys_say_who_seals_with_them_and_which_live_node_does_not() {
    let (mut lab, mut others) = lab(BASIC);
    for last in 2..=4 {
        others.join(&mut lab, last);
    }
    others.goes_down(&mut lab, 4);
    let view = |octet, in_use, members| KeyView { id: KeyId::new([octet; 4]), in_use, members };
    let asked =
        others.answer(Ok(Answer::Keys(vec![view(7, true, vec![id(2)]), view(8, false, vec![id(3)])])));
    let Reply::Keys(keys) = lab.ask(Request::KeyList) else { panic!() };
    assert!(matches!(asked.recv(), Ok(Command::Keys)));
    let entry = |id: &str, in_use, members: &str, others: &str| KeyEntry {
        id: id.into(),
        in_use,
        members: vec![members.into()],
        others: vec![others.into()],
    };
    assert_eq!(
        keys.entries,
        [entry("07070707", true, "node-2", "node-3"), entry("08080808", false, "node-3", "node-2")]
    );
}

#[test]
fn key_commands_reach_gossip_and_its_refusals_come_back() {
    let (mut lab, mut others) = lab(BASIC);
    let text = "07".repeat(32);
    let (key, secret): (SecretKey, _) = (text.parse().unwrap(), Secret::new([7; 32]));
    let asked = others.answer(Ok(Answer::Done));
    let said = lab.done(Request::KeyInstall { key });
    assert!(said.contains(&secret.id().to_string()) && !said.contains("0707"), "{said}");
    assert!(matches!(asked.recv(), Ok(Command::InstallKey(got)) if got == secret));
    let asked = others.answer(Ok(Answer::Done));
    lab.done(Request::KeyUse { id: "0A0b0c0d".into() });
    assert!(matches!(asked.recv(), Ok(Command::UseKey(id)) if id == KeyId::new([10, 11, 12, 13])));
    others.join(&mut lab, 2);
    let _asked = others.answer(Err(CommandError(format!("node {} still seals with key 0a0b0c0d", id(2)))));
    let refused = lab.refused(Request::KeyRemove { id: "0a0b0c0d".into() });
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (ErrorCode::Failed, "node node-2 still seals with key 0a0b0c0d")
    );
    for wrong in ["", "0a0b0c", "+a0b0c0d", "0a0b0c0d0", "zzzzzzzz"] {
        assert_eq!(lab.refused(Request::KeyUse { id: wrong.into() }).code, ErrorCode::Usage, "{wrong}");
    }
}

#[test]
fn after_leaving_ports_and_static_peers_go_on_and_members_are_gone() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.join(&mut lab, 3);
    others.claims(&mut lab, 2, mac(5), 0, false);
    others.claims(&mut lab, 3, mac(5), 0, false);
    let neighbors = |lab: &mut Lab| {
        let Reply::Neigh(neigh) = lab.ask(Request::NeighShow { network: None }) else { panic!() };
        neigh.entries.len()
    };
    assert_eq!(neighbors(&mut lab), 2, "of the claim that lost, too");
    let asked = others.answer(Ok(Answer::Done));
    assert!(lab.done(Request::Leave).contains("2 other nodes:"));
    assert!(matches!(asked.recv(), Ok(Command::Leave)));
    assert_eq!(neighbors(&mut lab), 0);
    assert_eq!((lab.fdb().len(), lab.topology().peers.len()), (1, 1));
    let gossip = gossip_of(&mut lab);
    assert!(gossip.left && gossip.members == 0);
    assert!(troubles(&mut lab)[0].starts_with("gossip: this node left"));
    // What was on its way is not heard, and nothing is said.
    others.join(&mut lab, 4);
    lab.learn(100, mac(30), vtep("10.0.0.9:4789"));
    assert_eq!((gossip_of(&mut lab).members, lab.topology().peers.len()), (0, 1));
    assert!(others.link.take_orders().records.is_empty());
    assert!(lab.refused(Request::Leave).message.contains("left gossip already"));
}

#[test]
fn a_node_that_is_down_is_forgotten_by_name_id_or_the_begin_of_its_id() {
    let (mut lab, mut others) = lab(BASIC);
    for text in ["node-2".to_owned(), id(2).to_string(), "02".to_owned()] {
        others.join(&mut lab, 2);
        others.join(&mut lab, 3);
        let forget = Request::Forget { node: text.clone() };
        assert!(lab.refused(forget.clone()).message.contains("node-2 is alive"), "{text}");
        others.goes_down(&mut lab, 2);
        let asked = others.answer(Ok(Answer::Done));
        lab.done(forget);
        assert!(matches!(asked.recv(), Ok(Command::Forget(node)) if node == id(2)), "{text}");
        assert_eq!(gossip_of(&mut lab).members, 1);
    }
}

#[test]
fn who_is_to_be_forgotten_must_be_named_so_that_only_one_is_meant() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    others.join(&mut lab, 3);
    for (text, hint) in [("0", "by more of it"), ("", "there is node-2, node-3"), ("node-4", "did you mean")]
    {
        let refused = lab.refused(Request::Forget { node: text.into() });
        assert_eq!(refused.code, ErrorCode::Usage, "{text}");
        assert!(refused.message.contains(hint), "{text}: {}", refused.message);
    }
    // Set up anew, it has another id; the old one is meant.
    let twin = NodeInfo { name: "node-2".into(), ..Others::info(3) };
    others.says(&mut lab, 3, Key::NodeInfo, Some(Record::NodeInfo(twin)));
    others.goes_down(&mut lab, 2);
    let asked = others.answer(Ok(Answer::Done));
    lab.done(Request::Forget { node: "node-2".into() });
    assert!(matches!(asked.recv(), Ok(Command::Forget(node)) if node == id(2)));
}

#[test]
fn a_reload_tells_gossip_the_new_join_addresses_and_only_those() {
    let (mut lab, others) = lab(BASIC);
    assert_eq!(others.link.take_orders().join, None);
    lab.reload(&format!("{BASIC}\n{}", GOSSIP.replace("10.0.0.2", "10.0.0.3"))).unwrap();
    let join = others.link.take_orders().join.unwrap();
    assert_eq!(join.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.3:6786"]);
    lab.reload(&format!("{BASIC}\n{}", GOSSIP.replace("10.0.0.2", "10.0.0.3"))).unwrap();
    assert_eq!(others.link.take_orders().join, None);
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

#[test]
fn a_static_vtep_that_a_node_shares_is_heard_and_flooded_to_and_gets_unknown_unicast() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    let at = VtepAddr::from(std::net::SocketAddr::from(([10, 0, 0, 77], 4789)));
    let shared = VtepRecord { at, format: Format::Geneve, vnis: vec![vni(100)] };
    others.says(&mut lab, 2, Key::Vtep(at), Some(Record::Vtep(shared)));

    let topology = lab.topology();
    let index = topology.by_vtep[&at];
    let view = topology.peer(index);
    assert_eq!((view.format, view.learn, view.networks.len()), (Format::Geneve, false, 1));
    assert!(topology.networks[0].flood.contains(&index) && topology.networks[0].strangers.contains(&index));

    others.says(&mut lab, 2, Key::Vtep(at), None);
    assert!(!lab.topology().by_vtep.contains_key(&at));
}

#[test]
fn strays_are_handed_over_for_3_seconds_after_an_address_moved_away() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    let port = lab.id("web");
    lab.learn(100, mac(7), Location::Local(port));
    others.claims(&mut lab, 2, mac(7), 1, false);
    let moved = lab.topology().moved[&(vni(100), mac(7))];
    assert_eq!(moved.to, VtepAddr::from(std::net::SocketAddr::from(([10, 0, 0, 2], 6081))));
    (0..4).for_each(|_| lab.tick());
    lab.reload(&format!("{}\n{GOSSIP}", BASIC.replace("10.0.0.9", "10.0.0.8"))).unwrap();
    assert!(lab.topology().moved.is_empty());
}

#[test]
fn the_address_of_a_ports_own_device_is_told_before_its_pod_speaks_and_kept_while_it_is_silent() {
    let (mut lab, mut others) = lab(&BASIC.replace("mac = \"02:00:00:00:00:01\"\n", ""));
    let device = mac(0xffff);
    let at = Location::Local(lab.id("web"));
    let entry = |lab: &Lab| lab.control.table.entry(vni(100), device).unwrap();
    assert_eq!((entry(&lab).location, entry(&lab).mob_seq), (at, 0));
    (0..400).for_each(|_| lab.tick());
    assert_eq!(entry(&lab).location, at);

    // Where it lives elsewhere by now, it stays there.
    others.join(&mut lab, 2);
    others.claims(&mut lab, 2, device, 1, false);
    (0..3).for_each(|_| lab.tick());
    assert!(entry(&lab).origin.is_some());
}
