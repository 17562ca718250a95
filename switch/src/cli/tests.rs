use clap::CommandFactory;
use encap::Format;

use super::*;
use crate::control::protocol::{
    Amount, DegradedSubject, Doctor, DropCount, Drops, Fdb, FdbEntry, FdbEvent, FdbHistory, FdbHistoryEntry,
    FdbState, Fixed, GossipStatus, Health, KeyEntry, Keys, LogLevel, LogLevels, LogSource, MatrixEntry,
    Neigh, NeighEntry, Networks, PeerEntry, PeerKind, PeerState, Peers, PortEntry, PortState, Ports, Status,
};
use crate::counters::DropReason;
use crate::doctor::{Check, Finding, Fix, Severity};

fn parse(args: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(args.split_whitespace())
}

fn lines_within(text: &str, columns: usize) {
    for line in text.lines() {
        assert!(line.chars().count() <= columns, "{} columns: {line}", line.chars().count());
    }
}

/// Every command that is shown, with its name as it is typed.
fn shown(command: &clap::Command, prefix: &str, found: &mut Vec<(String, clap::Command)>) {
    let name = format!("{prefix}{}", command.get_name());
    command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set())
        .for_each(|sub| shown(sub, &format!("{name} "), found));
    found.push((name, command.clone()));
}

fn all_shown() -> Vec<(String, clap::Command)> {
    let mut found = Vec::new();
    shown(&man::command(), "", &mut found);
    assert!(found.len() > 20, "{}", found.len());
    found
}

/// The calls of weft among the examples of a help: continued lines joined, comments and other programs left out.
fn examples(help: &str) -> Vec<Vec<String>> {
    let Some((_, block)) = help.split_once("\nExample:\n").or_else(|| help.split_once("\nExamples:\n"))
    else {
        return Vec::new();
    };
    let block = block.split("\n\n").next().unwrap_or_default();
    let block: String = block.split("\\\n").map(str::trim_start).collect();
    let lines =
        block.lines().map(|line| line.trim_start().split("   ").next().unwrap_or_default().to_owned());
    let mut calls = Vec::new();
    for line in lines {
        for call in line.replace("&&", "|").replace("||", "|").split('|') {
            let words: Vec<_> = call.split_whitespace().skip_while(|word| *word == "sudo").collect();
            let end = words.iter().position(|word| *word == ">").unwrap_or(words.len());
            if words.first() == Some(&"weft") {
                calls.push(words[..end].iter().map(|word| (*word).to_owned()).collect());
            }
        }
    }
    calls
}

#[test]
fn the_arguments_are_consistent_and_helps_fit_80_columns() {
    Cli::command().debug_assert();
    for (_, mut command) in all_shown() {
        let help = command.render_long_help().to_string();
        // What clap makes of the arguments is one line, whatever its length.
        let ours: Vec<_> = help.lines().filter(|line| !line.starts_with("Usage: ")).collect();
        lines_within(&ours.join("\n"), 80);
    }
}

#[test]
fn every_command_has_an_example_of_itself_that_is_understood() {
    for (name, mut command) in all_shown() {
        let calls = examples(&command.render_long_help().to_string());
        let own: Vec<_> = name.split(' ').collect();
        let of_itself = |call: &Vec<String>| own.iter().all(|word| call.iter().any(|w| w == word));
        assert!(calls.iter().any(of_itself), "{name} has no example of itself: {calls:?}");
        for call in calls {
            Cli::try_parse_from(&call).unwrap_or_else(|error| panic!("{name}: {call:?}: {error}"));
        }
    }
}

#[test]
fn a_wrong_example_would_be_noticed() {
    let help = "Usage\n\nExamples:\n  sudo weft x --a \\\n      b && weft y   why\n  weft -j z | jq .q > f\n\nExit codes: 0.";
    assert_eq!(examples(help), [vec!["weft", "x", "--a", "b"], vec!["weft", "y"], vec!["weft", "-j", "z"]]);
    assert!(parse("weft x").is_err());
}

#[test]
fn the_commands_of_the_contract_are_understood() {
    for line in [
        "weft run --config a.toml",
        "weft -j status --socket /tmp/s --timeout 0.5",
        "weft peer",
        "weft peer add 10.0.0.9 --network pods --format geneve",
        "weft peer del 10.0.0.9",
        "weft port list --json",
        "weft port add web --network pods --ifname eth0 --netns pid:7 --mac 02:00:00:00:00:01 \
         --address 10.32.0.5/12 --address fd00::5/64 --gateway 10.32.0.1",
        "weft network list",
        "weft fdb",
        "weft fdb show 02:00:00:00:00:01 --network 100",
        "weft fdb add 02:00:00:00:00:01 --network pods --port web",
        "weft fdb add 02:00:00:00:00:01 --network pods --dst 10.0.0.9",
        "weft fdb del 02:00:00:00:00:01",
        "weft fdb flush --network pods",
        "weft fdb thaw 02:00:00:00:00:01",
        "weft neigh --network pods",
        "weft drops --all",
        "weft capture -i any",
        "weft capture -i port:web --inner icmp --outer udp -c 5 -s 128 -w out.pcapng --drops",
        "weft capture -i peer:10.0.0.2 -w -",
        "weft capture -w ring -C 10 -W 3 -G 60",
        "weft drops --show vlan",
        "weft drops --show vlan --write -",
        "weft doctor",
        "weft -j doctor --fix",
        "weft doctor --config a.toml",
        "weft trace web 10.32.0.6",
        "weft -j trace web node-b/db tcp/5432 --live --size 1400",
        "weft trace web 02:00:00:00:00:02 udp/53 --source-mac 02:00:00:00:00:09 --source-ip 10.32.0.9 --vlan 7",
        "weft key new",
        "weft key new --output gossip.key",
        "weft key list -j",
        "weft key install --file -",
        "weft key use 5d1c07aa",
        "weft key remove 5d1c07aa",
        "weft log",
        "weft log show -j",
        "weft log set gossip=debug",
        "weft log events",
        "weft bugreport",
        "weft -j bugreport -o a.tar.gz --anonymize --config a.toml",
        "weft bugreport -o -",
        "weft leave",
        "weft forget node-c",
        "weft fdb history 02:00:00:00:00:01 --network pods",
        "weft status -w",
        "weft peer --watch --interval 0.2",
        "weft peer list -w",
        "weft port -w",
        "weft network list -w",
        "weft -j fdb show 02:00:00:00:00:01 -w --interval 2",
        "weft drops --all -w",
        "weft top",
        "weft top --once --interval 0.5",
        "weft config check a.toml",
        "weft reload",
        "weft completions bash",
        "weft man",
        "weft man /tmp/man1",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
}

#[test]
fn wrong_arguments_are_usage_errors() {
    for line in [
        "weft",
        "weft port add web",
        "weft peer add 10.0.0.9",
        "weft fdb add 02:00:00:00:00:01 --network pods",
        "weft fdb add 02:00:00:00:00:01 --network pods --port web --dst 10.0.0.9",
        "weft fdb thaw zz",
        "weft status --timeout 0",
        "weft port add web --network pods --netns relative/path",
        "weft completions tcsh",
        "weft key install 0707070707070707070707070707070707070707070707070707070707070707",
        "weft key install",
        "weft status --interval 2",
        "weft peer add 10.0.0.9 --network pods --watch",
        "weft fdb history",
        "weft log set",
        "weft log set gossip",
        "weft trace web",
        "weft trace web 10.32.0.6 tcp",
        "weft trace web 10.32.0.6 tcp/0",
        "weft forget",
        "weft capture -i web",
        "weft capture -C 10",
        "weft capture -c 0",
        "weft capture -s 262145",
        "weft drops --show vlna",
        "weft drops --write a.pcapng",
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), Outcome::Usage as i32, "{line}");
    }
}

#[test]
fn drops_shows_the_equation_and_only_what_occurred() {
    let mut drops = Drops {
        received: 10,
        delivered: 7,
        answered: 0,
        copies: 1,
        drops: DropReason::ALL.iter().map(|r| (r.name().to_owned(), DropCount::default())).collect(),
        notices: [("learn_lost".to_owned(), 0)].into(),
        lost_before: [("udp_overflow".to_owned(), 3)].into(),
        sides: [].into(),
    };
    drops.drops.insert("port_security".to_owned(), DropCount { inbound: 0, outbound: 4 });
    let text = drops::render(&drops, false);
    assert!(text.starts_with("10 received + 1 copies = 7 delivered + 0 answered + 4 dropped\n"), "{text}");
    assert!(text.contains("port_security            0           4  The source MAC"), "{text}");
    assert!(text.contains("udp_overflow"), "{text}");
    assert!(
        !text.contains("vlan") && !text.contains("learn_lost") && !text.contains("on their way"),
        "{text}"
    );
    let all = drops::render(&drops, true);
    assert!(DropReason::ALL.iter().all(|r| all.contains(r.name())) && all.contains("learn_lost"), "{all}");
    lines_within(&all, 80);
    drops.received += 2;
    assert!(drops::render(&drops, false).contains("2 frames are on their way"), "{text}");
}

#[test]
fn fdb_lines_are_close_to_those_of_bridge_fdb() {
    let entry = |state, port: Option<&str>, dst: Option<&str>| FdbEntry {
        mac: encap::MacAddr::new([2, 0, 0, 0, 0, 1]),
        vni: encap::Vni::new(100).unwrap(),
        network: "pods".into(),
        state,
        port: port.map(Into::into),
        dst: dst.map(|d| d.parse().unwrap()),
        owner: "node-a".into(),
        node: None,
        seq: 1,
        mob_seq: 0,
        age_s: 65,
        frozen_s: None,
    };
    let frozen = FdbEntry { frozen_s: Some(100), ..entry(FdbState::Remote, None, Some("10.0.0.9")) };
    let there = |state| FdbEntry {
        owner: "node-b".into(),
        node: Some("0b".into()),
        ..entry(state, None, Some("10.0.0.2"))
    };
    let entries = vec![
        entry(FdbState::Static, Some("web"), None),
        frozen,
        there(FdbState::Remote),
        there(FdbState::Static),
    ];
    assert_eq!(
        fdb::render(&Fdb { entries, more: 0 }),
        "02:00:00:00:00:01 vni 100 network pods port web static\n\
         02:00:00:00:00:01 vni 100 network pods dst 10.0.0.9 learned age 1m05s frozen 1m40s\n\
         02:00:00:00:00:01 vni 100 network pods dst 10.0.0.2 owner node-b age 1m05s\n\
         02:00:00:00:00:01 vni 100 network pods dst 10.0.0.2 owner node-b static\n"
    );
    assert_eq!(fdb::render(&Fdb { entries: vec![], more: 0 }), "");
}

#[test]
fn neigh_lines_are_close_to_those_of_ip_neighbor_and_leave_out_what_is_not_known() {
    let local = NeighEntry {
        ip: "fd00::5".parse().unwrap(),
        mac: encap::MacAddr::new([2, 0, 0, 0, 0, 1]),
        vni: encap::Vni::new(100).unwrap(),
        network: "pods".into(),
        port: Some("web".into()),
        dst: None,
        owner: Some("node-a".into()),
        router: true,
        age_s: Some(65),
    };
    let dst = Some("10.0.0.9".parse().unwrap());
    let remote = NeighEntry { port: None, dst, owner: None, router: false, age_s: None, ..local.clone() };
    assert_eq!(
        neigh::render(&Neigh { entries: vec![local, remote] }),
        "fd00::5 mac 02:00:00:00:00:01 vni 100 network pods port web owner node-a router age 1m05s\n\
         fd00::5 mac 02:00:00:00:00:01 vni 100 network pods dst 10.0.0.9\n"
    );
    assert_eq!(neigh::render(&Neigh { entries: vec![] }), "");
}

#[test]
fn status_names_what_is_degraded() {
    let status = Status {
        node: "node-a".into(),
        version: "0.1.0".into(),
        uptime_s: 3700,
        state: Health::Degraded,
        degraded: vec![DegradedSubject {
            cause: "no route to its address".into(),
            since_s: 5,
            subject: "peer 10.0.0.9".into(),
        }],
        workers: 2,
        offloads: [("udp_gro".to_owned(), "on".to_owned())].into(),
        counts: [("ports".to_owned(), 3)].into(),
        batching: [].into(),
        gossip: None,
    };
    let text = status::render(&status);
    assert!(text.contains("state     degraded\n          peer 10.0.0.9: no route"), "{text}");
    assert!(text.contains("up 1h01m, 2 workers") && text.contains("offloads  udp_gro on"), "{text}");
}

fn gossip_status() -> GossipStatus {
    GossipStatus {
        node: "0a".repeat(16),
        epoch: 3,
        digest: format!("5f3a12cd{}", "0".repeat(24)),
        records: 9,
        members_up: 2,
        members: 3,
        ready: true,
        left: false,
        differs: vec![],
        not_compared: 0,
        lag_ms: 1,
        dropped: [].into(),
    }
}

#[test]
fn one_line_says_how_gossip_is() {
    let line = |change: fn(&mut GossipStatus)| {
        let mut gossip = gossip_status();
        change(&mut gossip);
        status::render_gossip(&gossip)
    };
    assert_eq!(line(|_| {}), "3 nodes up, digest 5f3a12cd… equal with all");
    assert_eq!(line(|g| g.members_up = 0), "1 node up, digest 5f3a12cd… of this node alone");
    assert!(line(|g| g.differs = vec!["node-b".into()]).ends_with("… differs from node-b"));
    assert!(line(|g| g.not_compared = 1).ends_with("… not compared with 1 yet"));
    assert!(line(|g| g.ready = false).ends_with("; joining"));
    assert!(line(|g| g.left = true).starts_with("left"));
}

#[test]
fn members_stand_beside_static_peers_within_100_columns() {
    let peer = |name: &str, kind, state| PeerEntry {
        name: name.into(),
        address: "192.168.100.101".into(),
        port: 4789,
        format: Format::Geneve,
        kind,
        state,
        path_mtu: encap::Mtu::new(1500).ok(),
        mtu: encap::Mtu::new(1450).ok(),
        rtt_us: Some(1250),
        degraded: vec![],
        networks: vec!["pods".into()],
        runtime: false,
        since_s: Some(3700),
        left: false,
        node: None,
        version: Some("0.1.0".into()),
        gossip: None,
        received: Amount::default(),
        sent: Amount::default(),
    };
    let member = |state| peer("node-b", PeerKind::Member, state);
    let left = PeerEntry { left: true, ..member(PeerState::Down) };
    let alone =
        PeerEntry { version: None, rtt_us: None, ..peer("10.0.0.9", PeerKind::Static, PeerState::Up) };
    let entries = vec![alone.clone(), member(PeerState::Suspect), left];
    let text = peer::render(&Peers { entries });
    lines_within(&text, 100);
    let words: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0][..6], ["NAME", "ADDRESS", "STATE", "SINCE", "RTT", "KIND"]);
    assert_eq!(words[1][2..7], ["up", "1h01m", "-", "static", "-"]);
    assert_eq!(words[2][..7], ["node-b", "192.168.100.101", "suspect", "1h01m", "1.2ms", "member", "0.1.0"]);
    assert_eq!(words[3][2], "left");
    let without = peer::render(&Peers { entries: vec![alone] });
    assert!(without.starts_with("ADDRESS") && !without.contains("VERSION"), "{without}");
}

#[test]
fn the_history_of_an_address_is_one_line_an_event() {
    let entry = FdbHistoryEntry {
        age_s: 65,
        vni: encap::Vni::new(100).unwrap(),
        mac: encap::MacAddr::new([2, 0, 0, 0, 0, 1]),
        event: FdbEvent::Moved,
        from: Some("port web".into()),
        to: Some("node node-b".into()),
        mob_seq: Some(2),
    };
    let aged = FdbHistoryEntry {
        age_s: 5,
        event: FdbEvent::Aged,
        from: None,
        to: None,
        mob_seq: None,
        ..entry.clone()
    };
    let claimed = FdbHistoryEntry { event: FdbEvent::Claimed, from: None, ..entry.clone() };
    let twice = FdbHistoryEntry { event: FdbEvent::Duplicate, mob_seq: None, ..entry.clone() };
    assert_eq!(
        fdb::render_history(&FdbHistory { entries: vec![entry, claimed, twice, aged] }),
        " 1m05s ago  vni 100  moved from port web to node-b mob_seq 2\n \
         1m05s ago  vni 100  claimed at node-b mob_seq 2\n \
         1m05s ago  vni 100  duplicate at port web and at node-b\n    5s ago  vni 100  aged\n"
    );
    assert!(fdb::render_history(&FdbHistory { entries: vec![] }).starts_with("Nothing happened"));
}

#[test]
fn the_list_of_keys_names_who_does_not_seal_with_the_one_in_use() {
    let names = |count: usize| (0..count).map(|n| format!("n{n}")).collect::<Vec<_>>();
    let key = |id: &str, in_use, members, others| KeyEntry { id: id.into(), in_use, members, others };
    let entries = vec![key("5d1c07aa", true, names(10), names(1)), key("90e2b4f3", false, vec![], names(11))];
    assert_eq!(
        key::render(&Keys { entries }),
        "KEY       IN USE HERE  SEALS AT\n\
         5d1c07aa  yes          n0,n1,n2,n3,n4,n5,n6,n7 and 2 more\n\
         90e2b4f3  no           -\n\
         \nNot with 5d1c07aa, or not heard yet: n0\n"
    );
    assert!(key::render(&Keys { entries: vec![] }).contains("insecure"));
}

#[test]
fn a_port_that_is_not_up_says_why_below_the_table() {
    let port = PortEntry {
        name: "web".into(),
        ifname: "eth0".into(),
        network: "pods".into(),
        netns: None,
        mac: None,
        addresses: vec!["10.32.0.5/12".parse().unwrap()],
        mtu: encap::Mtu::new(1450).unwrap(),
        state: PortState::Waiting,
        reason: Some("no namespace".into()),
        offloads: vec![],
        runtime: false,
    };
    let text = port::render(&Ports { entries: vec![port] });
    assert!(text.ends_with("\nweb is waiting: no namespace\n"), "{text}");
    lines_within(&text, 80);
}

#[test]
fn the_doctor_says_what_is_fine_then_what_is_not_then_what_passes() {
    let cell = |size, answered| MatrixEntry {
        peer: "node-b".to_owned(),
        address: [10, 0, 0, 2].into(),
        port: 4789,
        format: Format::Vxlan,
        size,
        sent: 4,
        answered,
    };
    let fix = Fix::receive_buffer(8 << 20);
    let finding = Finding {
        severity: Severity::Warning,
        code: "receive_buffer".to_owned(),
        subject: "node".to_owned(),
        what: "small".to_owned(),
        why: "bursts".to_owned(),
        mend: "larger".to_owned(),
        fixes: vec![fix.clone()],
    };
    let check =
        |name: &str, findings| Check { name: name.to_owned(), fine: "all is well".to_owned(), findings };
    let mut found = Doctor {
        findings: vec![finding],
        checks: vec![check("paths", 0), check("host", 1)],
        matrix: vec![cell(100, true), cell(1280, true), cell(1500, false)],
        ..Doctor::default()
    };
    let text = doctor::render(&found);
    let expected = "paths  ok: all is well\nhost   1 finding\n\n\
                    WARNING receive_buffer: node\n  what  small\n  why   bursts\n  mend  larger\n        \
                    weft doctor --fix would do: sysctl -w net.core.rmem_max=8388608\n\n\
                    PEER    ADDRESS   FORMAT/PORT  SMALL   MINIMUM  LINK\n\
                    node-b  10.0.0.2  vxlan/4789   100 ok  1280 ok  1500 LOST (4x)\n";
    assert_eq!(text, expected);
    found.fixed = vec![Fixed { fix, before: Some(212_992), error: None }];
    let text = doctor::render(&found);
    assert!(text.contains("done: sysctl -w net.core.rmem_max=8388608 (was 212992)"), "{text}");
    assert!(!text.contains("would do"), "{text}");
}

#[test]
fn what_is_logged_is_a_line_a_part_with_who_says_so() {
    let entry =
        |target: &str, level: &str, source| LogLevel { target: target.into(), level: level.into(), source };
    let entries = vec![
        entry("gossip", "debug", LogSource::Command),
        entry("path", "warn", LogSource::Configuration),
        entry("of a later version", "info", LogSource::Configuration),
    ];
    let text = log::render(&LogLevels { level: "warn".into(), entries });
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[1], "gossip              debug  weft log set  other nodes, and what they tell");
    assert!(lines[2].contains("warn   [log] level") && lines[3].ends_with("[log] level"), "{text}");
    lines_within(&text, 100);
}

#[test]
fn every_event_of_the_log_is_listed_with_its_level_and_fields() {
    let text = log::events();
    for code in crate::log::Code::ALL {
        assert!(text.contains(&format!("{} (", code.name())) && text.contains(code.meaning()), "{code:?}");
    }
    assert!(text.contains("mac_moved (info, control): mac,vni,from,to\n  A MAC address is"), "{text}");
    assert!(text.contains("stopping (info, control): -\n"), "{text}");
}

#[test]
fn an_empty_list_says_what_to_do_next() {
    assert!(port::render(&Ports { entries: vec![] }).contains("weft port add"));
    assert!(peer::render(&Peers { entries: vec![] }).contains("weft peer add"));
    assert!(network::render(&Networks { entries: vec![] }).contains("[[network]]"));
}

#[test]
fn a_trace_reads_as_a_story_and_ends_with_its_cause() {
    use crate::trace::{Fault, Hop, Outcome as End, Stage, StageName, State, Story};
    let fault = Fault::new("vlan", "node-b", "dropped, vlan: It has a tag.", "send it without");
    let story = Story {
        id: 1,
        node: "node-a".into(),
        from: "web".into(),
        to: "10.32.0.6".into(),
        network: "pods".into(),
        vni: encap::Vni::new(100).unwrap(),
        frame: None,
        live: false,
        finished: true,
        outcome: End::Lost,
        fault: Some(fault.clone()),
        stages: vec![
            Stage::passed("node-a", StageName::Admit, "port web may use any address"),
            Stage::passed("node-a", StageName::Decide, "it lives at node node-b"),
            Stage::wrong("node-b", StageName::CheckEthernet, State::Failed, fault),
        ],
        nodes: vec![Hop {
            node: "node-b".into(),
            size: 0,
            asked: 1,
            answered: true,
            round_trip_us: Some(560),
            inside_us: Some(1240),
            waited_us: None,
        }],
    };
    assert_eq!(
        trace::render(&story),
        "port web of node-a -> 10.32.0.6, network pods (VNI 100)\n\n\
         node-a\n  admit   ok    port web may use any address\n  decide  ok    it lives at node node-b\n\n\
         node-b\n  check   LOST  dropped, vlan: It has a tag.\n\n\
         node-b: the question and the answer took 560us on the way, 1.2ms there\n\n\
         LOST: such a frame would not arrive\n  vlan at node-b\n  what  dropped, vlan: It has a tag.\n  \
         mend  send it without\n"
    );
}

#[test]
fn a_live_trace_has_the_time_of_each_stage_at_its_right_and_the_totals_below() {
    use std::time::Duration;

    use crate::trace::{Hop, Leg, Outcome as End, Stage, StageName, Story};
    let took =
        |node: &str, stage, text: &str, ns| Stage::passed(node, stage, text).within(Duration::from_nanos(ns));
    let there_and_back = Duration::from_micros(420);
    let size = 1500;
    let story = Story {
        id: 1,
        node: "node-a".into(),
        from: "web".into(),
        to: "10.32.0.6".into(),
        network: "pods".into(),
        vni: encap::Vni::new(100).unwrap(),
        frame: None,
        live: true,
        finished: true,
        outcome: End::Arrives,
        fault: None,
        stages: vec![
            took("node-a", StageName::Resolve, "10.32.0.6 has 02:00:00:00:00:0b", 11_700),
            took("node-a", StageName::Admit, "port web may use any address", 850),
            took("node-a", StageName::Decide, "it lives at node node-b", 1290),
            Leg { from: "node-a", to: "node-b", size, there_and_back, is_passed_on: false }.crossed(),
            took("node-b", StageName::Deliver, "written to port db", 4100),
        ],
        nodes: vec![Hop {
            node: "node-b".into(),
            size,
            asked: 1,
            answered: true,
            round_trip_us: Some(420),
            inside_us: Some(240),
            waited_us: Some(190),
        }],
    };
    assert_eq!(
        trace::render(&story),
        "port web of node-a -> 10.32.0.6, network pods (VNI 100)\n\n\
         node-a\n  \
         resolve   ok    10.32.0.6 has 02:00:00:00:00:0b                          11 µs\n  \
         admit     ok    port web may use any address                            850 ns\n  \
         decide    ok    it lives at node node-b                                 1.2 µs\n  \
         underlay  ok    an IP packet of 1500 octets got to node-b; one way      210 µs\n                  \
         is an estimate: half of there and back\n\n\
         node-b\n  \
         deliver   ok    written to port db                                      4.1 µs\n\n\
         NODE    THERE AND BACK  INSIDE  WAITING  STAGES\n\
         node-a                                   2.1 µs\n\
         node-b  420 µs          240 µs  190 µs   4.1 µs\n\n\
         ARRIVES: it was sent, and got there\n"
    );
}
