//! Commands of a person, and what gossip is told of them.

use super::*;

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
fn a_node_that_left_is_still_away_on_another_address() {
    let (mut lab, others) = lab(BASIC);
    let _asked = others.answer(Ok(Answer::Done));
    lab.done(Request::Leave);
    let mut lab = lab.moved("10.0.0.77");
    lab.tick();
    assert!(gossip_of(&mut lab).left);
    assert!(troubles(&mut lab)[0].starts_with("gossip: this node left"));
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
    for text in ["node-a".to_owned(), id(1).to_string()] {
        let refused = lab.refused(Request::Forget { node: text.clone() });
        assert_eq!(refused.code, ErrorCode::Usage, "{text}");
        assert!(refused.message.contains("this node itself"), "{text}: {}", refused.message);
    }
    // A dead one that had the name of this node can be forgotten.
    let namesake = NodeInfo { name: "node-a".into(), ..Others::info(4) };
    others.happens(&mut lab, MemberEvent::Up(member(4)));
    others.says(&mut lab, 4, Key::NodeInfo, Some(Record::NodeInfo(namesake)));
    others.goes_down(&mut lab, 4);
    let asked = others.answer(Ok(Answer::Done));
    lab.done(Request::Forget { node: "node-a".into() });
    assert!(matches!(asked.recv(), Ok(Command::Forget(node)) if node == id(4)));
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
fn names_come_in_order_whatever_the_ids() {
    let (mut lab, mut others) = lab(BASIC);
    for (last, name) in [(2, "node-z"), (3, "node-b")] {
        others.join(&mut lab, last);
        let named = NodeInfo { name: name.into(), ..Others::info(last) };
        others.says(&mut lab, last, Key::NodeInfo, Some(Record::NodeInfo(named)));
    }
    let view = |octet, members| KeyView { id: KeyId::new([octet; 4]), in_use: false, members };
    let _asked = others.answer(Ok(Answer::Keys(vec![view(7, vec![id(2), id(3)]), view(8, Vec::new())])));
    let Reply::Keys(keys) = lab.ask(Request::KeyList) else { panic!() };
    assert_eq!(keys.entries[0].members, ["node-b", "node-z"]);
    assert_eq!(keys.entries[1].others, ["node-b", "node-z"]);
    let Reply::Networks(networks) = lab.ask(Request::NetworkList) else { panic!() };
    assert_eq!(networks.entries[0].peers, ["10.0.0.9", "node-b", "node-z"]);
    let refused = lab.refused(Request::Forget { node: "nobody".into() });
    assert!(refused.message.contains("there is node-b, node-z"), "{}", refused.message);
}

#[test]
fn who_takes_a_member_for_a_static_peer_is_told_that_it_is_one() {
    let (mut lab, mut others) = lab(BASIC);
    others.join(&mut lab, 2);
    let refused = lab.refused(Request::PeerDel { address: "10.0.0.2".into() });
    assert!(refused.message.contains("node node-2, a member of gossip"), "{}", refused.message);
    let at = FdbTarget::Dst([10, 0, 0, 2].into());
    let refused = lab.refused(Request::FdbAdd { mac: mac(40), network: "pods".into(), at });
    assert!(refused.message.contains("add the entry on that node"), "{}", refused.message);
    let networks = vec!["pods".to_owned()];
    let add = PeerAdd { address: "10.0.0.2".into(), networks, format: None, port: None };
    let said = lab.done(Request::PeerAdd(add));
    assert!(said.contains("also node node-2"), "{said}");
    lab.done(Request::PeerDel { address: "10.0.0.2".into() });
}
