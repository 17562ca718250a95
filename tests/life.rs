//! The life of a daemon: start, reload, ports that come and go, stop, crash.

use rustix::process::Signal;
use weft_tests::command::run;
use weft_tests::node::{Config, network, peer, port};
use weft_tests::pair::{Pair, Spec, finish, pod_keys, pod_v4};
use weft_tests::tcp::{assert_transfer, transfer};
use weft_tests::traffic::{assert_pings, ping_with, reaches};
use weft_tests::{Lab, Netns, Node, wait};

/// What identifies a pod's device: its index, MAC address and addresses.
fn identity(pod: &Netns) -> String {
    let link = pod.ip("-o link show eth0");
    let index = link.split(':').next().unwrap_or_default().to_owned();
    let mac = link.split("link/ether ").nth(1).unwrap_or_default().split(' ').next().unwrap_or_default();
    let addresses = pod.ip("-o addr show dev eth0 scope global");
    let addresses: Vec<_> = addresses.lines().filter_map(|line| line.split_whitespace().nth(3)).collect();
    format!("{index} {mac} {addresses:?}")
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn sigterm_ends_a_loaded_daemon_within_a_second_and_leaves_the_system_as_it_was() {
    let lab = Lab::new();
    let hosts = [lab.host("a"), lab.host("b")];
    let pods = [lab.pod("pod1"), lab.pod("pod2")];
    let before: Vec<_> =
        hosts.iter().map(|h| &*h.ns).chain(pods.iter().map(|p| &**p)).map(Netns::devices).collect();
    let spec = Spec::default();
    let mut nodes = [0, 1].map(|i| {
        let config = spec.config(&hosts[i], &pods[i], i as u8 + 1, &[hosts[1 - i].v4.into()]);
        Node::start(&hosts[i], &config)
    });
    assert_pings(&pods[0], pod_v4(2));
    std::thread::scope(|scope| {
        // The stream breaks when the daemon goes: only that it runs until then matters.
        let load = scope.spawn(|| transfer(&pods[0], (&pods[1], pod_v4(2)), 4 << 30));
        wait::sleep_ms(700);
        for node in &mut nodes {
            let took = node.stop();
            assert!(took < wait::secs(1), "{} took {took:?}", node.host.name);
        }
        assert!(load.join().expect("the load ends").is_err());
    });
    let after: Vec<_> =
        hosts.iter().map(|h| &*h.ns).chain(pods.iter().map(|p| &**p)).map(Netns::devices).collect();
    assert_eq!(after, before);
    for node in &nodes {
        assert!(!node.host.dir.join("weft.sock").exists(), "the socket was left behind");
        assert!(node.host.ns.exec("ss -Hulnp").is_empty(), "a UDP socket was left behind");
    }
}

/// Starts the first node again: its port is what it was, and works.
fn assert_taken_over(mut pair: Pair, before: &str) {
    pair.nodes[0] = Node::start(&pair.nodes[0].host.clone(), &pair.configs[0]);
    assert_eq!(identity(&pair.pods[0]), before, "after the next start");
    assert_pings(&pair.pods[0], pod_v4(2));
    assert_transfer(&pair.pods[0], (&pair.pods[1], pod_v4(2)), 4 << 20);
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn keep_ports_leaves_the_devices_for_the_next_start() {
    let mut pair = Pair::start(&Spec { node: "keep_ports = true", ..Spec::default() });
    assert_pings(&pair.pods[0], pod_v4(2));
    let before = identity(&pair.pods[0]);
    pair.nodes[0].ledger_balanced();
    pair.nodes[0].stop();
    assert_eq!(identity(&pair.pods[0]), before, "after the stop");
    assert_taken_over(pair, &before);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn ports_survive_kill_9_and_are_taken_over() {
    let mut pair = Pair::start(&Spec::default());
    assert_pings(&pair.pods[0], pod_v4(2));
    let before = identity(&pair.pods[0]);
    pair.nodes[0].signal(Signal::KILL);
    pair.nodes[0].wait_end(wait::secs(2));
    assert_eq!(identity(&pair.pods[0]), before, "after kill -9");
    assert_taken_over(pair, &before);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_port_waits_for_its_namespace() {
    let mut lab = Lab::new();
    let (host, pods) = (lab.host("a"), [lab.pod("pod1"), lab.pod("pod2")]);
    let path = pods[1].path();
    pods[1].delete();
    let ports: String =
        (0..2).map(|i| port(&format!("p{i}"), "pods", &pods[i], &pod_keys(i as u8 + 1))).collect();
    let mut node = Node::start(&host, &Config::new(network("pods", 100, "") + &ports));
    assert_eq!((node.port_state("p0").as_str(), node.port_state("p1").as_str()), ("up", "waiting"));
    run(&["ip", "netns", "add", path.trim_start_matches("/run/netns/")]);
    wait::until(wait::secs(3), "the port to come up", || node.port_state("p1") == "up");
    assert_pings(&pods[0], pod_v4(2));
    finish([&mut node], &mut lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn reload_adds_and_removes_ports_and_loses_no_ping() {
    for by_signal in [true, false] {
        let mut pair = Pair::start(&Spec::default());
        assert_pings(&pair.pods[0], pod_v4(2));
        let more = pair.lab.pod("pod3");
        let more_text =
            format!("{}{}", network("extra", 200, ""), port("third", "pods", &more, &pod_keys(3)));
        let reload = |pair: &Pair, config: &Config| {
            pair.nodes[0].rewrite(config);
            if by_signal {
                pair.nodes[0].signal(Signal::HUP);
            } else {
                let done = pair.nodes[0].cli(&["reload"]);
                assert!(done.ok(), "reload: {}{}", done.out, done.err);
            }
        };
        let with_more = pair.configs[0].clone().with(&more_text);
        let pings = std::thread::scope(|scope| {
            let pings = scope.spawn(|| ping_with(&pair.pods[0], pod_v4(2), "-c 150 -i 0.02 -w 20"));
            wait::sleep_ms(300);
            reload(&pair, &with_more);
            wait::until(wait::secs(3), "the new port", || pair.nodes[0].port_state("third") == "up");
            assert_pings(&more, pod_v4(2));
            reload(&pair, &pair.configs[0]);
            wait::until(wait::secs(3), "the port to go", || pair.nodes[0].port_state("third") == "none");
            pings.join().expect("ping ends")
        });
        assert!(pings.all(), "{pings:?}");
        assert_eq!(more.devices(), ["lo"]);
        finish(pair.nodes.iter_mut(), &mut pair.lab);
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_bad_reload_changes_nothing_and_says_why() {
    let pair = Pair::start(&Spec::default());
    let good = &pair.configs[0];
    let cases = [
        (good.clone().with("[[network]]\nname = \"x\"\nvni = 16777216\n"), "vni"),
        (good.clone().with("[[network]]\nname = \"pods\"\nvni = 7\n"), "pods"),
        (good.clone().with("[[port]]\nname = \"p\"\nnetwork = \"nowhere\"\n"), "nowhere"),
        (good.clone().with("[datapath]\nworkerz = 2\n"), "workers"),
        (good.clone().with("[datapath]\nworkers = 7\n"), "workers"),
        (good.clone().with("this is no TOML"), "TOML"),
    ];
    for (bad, named) in cases {
        pair.nodes[0].rewrite(&bad);
        let done = pair.nodes[0].cli(&["reload"]);
        assert_eq!(done.code, 1, "{}{}", done.out, done.err);
        let said = done.err.to_lowercase();
        assert!(said.contains(&named.to_lowercase()), "{named:?} is not named in: {said}");
        assert!(reaches(&pair.pods[0], pod_v4(2)));
    }
    pair.nodes[0].rewrite(good);
    assert!(pair.nodes[0].cli(&["reload"]).ok());
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn the_command_line_adds_and_removes_ports_and_peers() {
    let mut lab = Lab::new();
    let hosts = [lab.host("a"), lab.host("b")];
    let pods = [lab.pod("pod1"), lab.pod("pod2")];
    let text = network("pods", 100, "");
    let mut nodes = hosts.each_ref().map(|host| Node::start(host, &Config::new(text.clone())));
    for (i, node) in nodes.iter().enumerate() {
        let (path, address) = (pods[i].path(), format!("{}/12", pod_v4(i as u8 + 1)));
        let port = [
            "port",
            "add",
            "web",
            "--network",
            "pods",
            "--ifname",
            "eth0",
            "--netns",
            &path,
            "--address",
            &address,
        ];
        let peer = hosts[1 - i].v4.to_string();
        for words in [&port[..], &["peer", "add", &peer, "--network", "pods", "--format", "geneve"]] {
            let done = node.cli(words);
            assert!(done.ok(), "{words:?}: {}{}", done.out, done.err);
        }
        wait::until(wait::secs(3), "the port", || node.port_state("web") == "up");
    }
    assert_pings(&pods[0], pod_v4(2));
    // What the command line added outlives a reload.
    assert!(nodes[0].cli(&["reload"]).ok());
    assert_pings(&pods[0], pod_v4(2));
    let peer = hosts[1].v4.to_string();
    for words in [&["fdb", "flush"][..], &["port", "del", "web"], &["peer", "del", &peer]] {
        let done = nodes[0].cli(words);
        assert!(done.ok(), "{words:?}: {}{}", done.out, done.err);
    }
    wait::until(wait::secs(3), "the device to go", || pods[0].devices() == ["lo"]);
    assert_eq!(nodes[0].port_state("web"), "none");
    let again = nodes[0].cli(&["port", "del", "web"]);
    assert!(!again.ok() && again.err.contains("web"), "there is no such port any more: {again:?}");
    finish(&mut nodes, &mut lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_static_fdb_entry_directs_frames() {
    let (lab, text) = (Lab::new(), network("pods", 100, "unknown_unicast = \"drop\""));
    let mut lab = lab;
    let hosts = [lab.host("a"), lab.host("b")];
    let pods = [lab.pod("pod1"), lab.pod("pod2")];
    let mut nodes = [0, 1].map(|i| {
        let rest = text.clone()
            + &port("pod", "pods", &pods[i], &pod_keys(i as u8 + 1))
            + &peer(hosts[1 - i].v4, "pods", "");
        Node::start(&hosts[i], &Config::new(rest))
    });
    let dst = hosts[1].v4.to_string();
    let mac = "02:00:00:00:32:02";
    let done = nodes[0].cli(&["fdb", "add", mac, "--network", "pods", "--dst", &dst]);
    assert!(done.ok(), "{}{}", done.out, done.err);
    assert_eq!(nodes[0].entry("fdb show", "mac", mac).expect("the entry")["state"], "static");
    assert_pings(&pods[0], pod_v4(2));
    assert!(nodes[0].cli(&["fdb", "del", mac, "--network", "pods"]).ok());
    finish(&mut nodes, &mut lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn every_query_answers_in_json_that_names_its_schema() {
    let pair = Pair::start(&Spec::default());
    assert_pings(&pair.pods[0], pod_v4(2));
    for (query, schema) in [
        ("status", "weft.status/1"),
        ("peer", "weft.peer/1"),
        ("port", "weft.port/1"),
        ("network list", "weft.network/1"),
        ("fdb", "weft.fdb/1"),
        ("drops", "weft.drops/1"),
    ] {
        assert_eq!(pair.nodes[0].json(query)["schema"], schema, "{query}");
        let text = pair.nodes[0].cli(&query.split(' ').collect::<Vec<_>>());
        assert!(
            [0, 4].contains(&text.code) && !text.out.contains('\u{1b}'),
            "{query}: {}{}",
            text.out,
            text.err
        );
    }
    let status = pair.nodes[0].json("status");
    assert_eq!((&status["node"], &status["state"]), (&"a".into(), &"ok".into()), "{status}");
    let peer =
        pair.nodes[0].entry("peer", "address", "10.99.0.2").unwrap_or_else(|| pair.nodes[0].json("peer"));
    assert_eq!(
        (&peer["state"], &peer["path_mtu"], &peer["mtu"]),
        (&"up".into(), &1500.into(), &1450.into()),
        "{peer}"
    );
    pair.finish();
}
