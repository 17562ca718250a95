use clap::CommandFactory;

use super::*;
use crate::control::protocol::{
    DegradedSubject, DropCount, Drops, Fdb, FdbEntry, FdbState, Health, Neigh, NeighEntry, Networks, Peers,
    PortEntry, PortState, Ports, Status,
};
use crate::counters::DropReason;

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
        "weft key new",
        "weft key new --output gossip.key",
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
        seq: 1,
        age_s: 65,
        frozen_s: None,
    };
    let frozen = FdbEntry { frozen_s: Some(100), ..entry(FdbState::Remote, None, Some("10.0.0.9")) };
    let fdb = Fdb { entries: vec![entry(FdbState::Static, Some("web"), None), frozen] };
    assert_eq!(
        fdb::render(&fdb),
        "02:00:00:00:00:01 vni 100 network pods port web static\n\
         02:00:00:00:00:01 vni 100 network pods dst 10.0.0.9 learned age 1m05s frozen 1m40s\n"
    );
    assert_eq!(fdb::render(&Fdb { entries: vec![] }), "");
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
    };
    let text = status::render(&status);
    assert!(text.contains("state     degraded\n          peer 10.0.0.9: no route"), "{text}");
    assert!(text.contains("up 1h01m, 2 workers") && text.contains("offloads  udp_gro on"), "{text}");
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
fn an_empty_list_says_what_to_do_next() {
    assert!(port::render(&Ports { entries: vec![] }).contains("weft port add"));
    assert!(peer::render(&Peers { entries: vec![] }).contains("weft peer add"));
    assert!(network::render(&Networks { entries: vec![] }).contains("[[network]]"));
}
