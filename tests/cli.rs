//! What the command line gives to shells, tried with bash; and what commands and starts say when they cannot go on.

use std::path::Path;

use weft_tests::command::{run, try_run};
use weft_tests::node::{Config, binary, network, peer};
use weft_tests::{Host, Lab, Node, wait};

fn weft() -> &'static str {
    binary().to_str().expect("UTF-8")
}

/// What bash offers for a line whose last word is being typed.
fn bash_offers(script: &Path, line: &[&str]) -> Vec<String> {
    let (word, before) = (line[line.len() - 1], line[line.len() - 2]);
    let program = format!(
        "source {}; COMP_WORDS=({}); COMP_CWORD={}; _weft weft '{word}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        line.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        line.len() - 1,
    );
    run(&["bash", "--norc", "-uc", &program]).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("weft");
    std::fs::write(&script, run(&[weft(), "completions", "bash"])).expect("the script is written");
    for (line, offered) in [
        (&["weft", "po"][..], &["port"][..]),
        (&["weft", "port", "d"], &["del"]),
        (&["weft", "port", "add", "--net"], &["--network", "--netns"]),
        (&["weft", "peer", "add", "--format", "g"], &["geneve"]),
        (&["weft", "completions", "f"], &["fish"]),
        (&["weft", "demo-"], &[""]),
    ] {
        assert_eq!(bash_offers(&script, line), offered, "{line:?}");
    }
}

#[test]
fn bash_finds_the_completion_by_itself_once_the_script_is_loaded() {
    let program = format!("source <({} completions bash) && complete -p weft", weft());
    let registered = run(&["bash", "--norc", "-euc", &program]);
    assert!(registered.contains("-F _weft") && registered.trim_end().ends_with(" weft"), "{registered}");
}

#[test]
fn a_directory_that_cannot_be_written_is_named_with_the_next_step() {
    let done = try_run(&[weft(), "man", "/proc/nowhere"]);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("/proc/nowhere") && done.err.contains("name a directory"), "{}", done.err);
}

/// Starts a daemon that finds its port taken, and returns what it said.
fn refused(host: &Host) -> String {
    let mut node = Node::spawn(host, &Config::new(network("pods", 100, "")));
    assert_eq!(node.wait_end(wait::secs(10)), 1, "{}", node.log());
    node.log()
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_start_that_finds_its_port_taken_names_the_holder_and_the_way_out() {
    let lab = Lab::new();
    let (host, pod) = (lab.host("a"), lab.pod("pod"));

    host.ns.ip("link add vx0 type vxlan id 7 dstport 4789 local 10.99.0.1 remote 10.99.0.9");
    host.ns.ip("link set vx0 up");
    let said = refused(&host);
    assert!(said.contains("UDP 10.99.0.1:4789 is in use by kernel VXLAN device vx0 (VNI 7)"), "{said}");
    assert!(said.contains("`ip link del vx0`") && said.contains("[underlay] vxlan_port"), "{said}");

    // Moved into a pod, as container networks do it, the device keeps its socket here.
    host.ns.ip(&format!("link set vx0 netns {}", pod.name()));
    pod.ip("link set vx0 up");
    let said = refused(&host);
    let moved = format!("vx0 (VNI 7), which was moved to the network namespace {}", pod.name());
    assert!(
        said.contains("by perhaps kernel VXLAN device")
            && said.contains(&moved)
            && said.contains(&format!("`ip -n {} link del vx0`", pod.name())),
        "{said}"
    );
    pod.ip("link del vx0");

    // Wildcards and the addresses themselves, of both families.
    let own = format!("(pid {})", std::process::id());
    for (bind, named) in [
        ("0.0.0.0:4789", "10.99.0.1:4789"),
        ("10.99.0.1:4789", "10.99.0.1:4789"),
        ("[fd99::1]:6081", "[fd99::1]:6081"),
        ("[::]:4789", "10.99.0.1:4789"),
    ] {
        let socket = host.ns.enter(|| std::net::UdpSocket::bind(bind).expect("the port"));
        let said = refused(&host);
        assert!(
            said.contains(&format!("UDP {named} is in use by ")) && said.contains(&own),
            "{bind}: {said}"
        );
        let key = if bind.ends_with("6081") { "geneve_port" } else { "vxlan_port" };
        assert!(said.contains("systemctl status") && said.contains(key), "{said}");
        drop(socket);
    }

    let mut first = Node::start(&host, &Config::new(network("pods", 100, "")));
    let second = Host { dir: lab.dir().to_owned(), ..host.clone() };
    let said = refused(&second);
    assert!(said.contains(&format!("is in use by weft (pid {})", first.pid())), "{said}");
    first.stop();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_holder_elsewhere_keeps_nobody_off() {
    let lab = Lab::new();
    let (host, other) = (lab.host("a"), lab.host("b"));
    let socket = other.ns.enter(|| std::net::UdpSocket::bind("0.0.0.0:4789").expect("the port"));
    // Another address of the same host is no obstacle either.
    let beside = host.ns.enter(|| std::net::UdpSocket::bind("127.0.0.1:4789").expect("the port"));
    Node::start(&host, &Config::new(network("pods", 100, ""))).stop();
    drop((socket, beside));
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn what_keeps_the_daemon_from_starting_is_said_with_the_next_step() {
    let lab = Lab::new();
    let host = lab.host("a");
    let text = network("pods", 100, "");
    let start = |wrapper: &[&str], config: &Config| {
        let mut node = Node::spawn_by(wrapper, &host, config);
        let code = node.wait_end(wait::secs(10));
        assert_eq!(code, 1, "{}", node.log());
        let log = node.log();
        std::fs::remove_file(host.dir.join("weft.log")).expect("the log");
        log
    };
    for (config, said, next) in [
        (Config::new("[[network]]\nname = \"x\"\n"), "has no `vni`", "required"),
        (Config::new(&*text).underlay("address = \"10.99.0.77\""), "10.99.0.77", "ip address shows"),
        (Config::new(&*text).underlay("interface = \"nope0\""), "nope0", "ip link shows"),
        (Config::new(&*text).underlay(""), "no default route", "set [underlay] address"),
    ] {
        let log = start(&[], &config);
        assert!(log.contains(said) && log.contains(next), "{said} ... {next}: {log}");
    }
    // The socket's folder belongs to root.
    let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"];
    run(&["chmod", "755", lab.dir().to_str().expect("UTF-8")]);
    let log = start(&nobody, &Config::new(&*text));
    assert!(log.contains("weft.sock") && log.contains("run weft as root"), "{log}");
    run(&["chmod", "600", host.dir.join("weft.toml").to_str().expect("UTF-8")]);
    let missing = try_run(&[
        "nsenter",
        &format!("--net={}", host.ns.path()),
        "--",
        weft(),
        "run",
        "--config",
        "/nowhere.toml",
    ]);
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("/nowhere.toml") && missing.err.contains("minimal.toml"), "{}", missing.err);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn what_a_command_cannot_do_is_said_with_the_next_step() {
    let lab = Lab::new();
    let host = lab.host("a");
    let ports = ["web", "db", "cache"]
        .map(|name| format!("[[port]]\nname = \"{name}\"\nnetwork = \"pods\"\n"))
        .concat();
    let text = network("pods", 100, "") + &ports + &peer("10.99.0.2", "pods", "");
    let mut node = Node::start(&host, &Config::new(text));
    for (words, code, said) in [
        (&["port", "del", "wep"][..], 2, "did you mean web?"),
        (&["port", "add", "new", "--network", "pod"], 2, "did you mean pods?"),
        (&["peer", "del", "10.99.0.3"], 2, "did you mean 10.99.0.2?"),
        (
            &["fdb", "add", "02:00:00:00:00:01", "--network", "pods", "--port", "chache"],
            2,
            "did you mean cache?",
        ),
        (&["port", "add", "web", "--network", "pods"], 2, "weft port del web"),
        (&["fdb", "thaw", "02:00:00:00:00:01"], 1, "weft fdb show"),
    ] {
        let done = node.cli(words);
        assert!(done.code == code && done.err.contains(said), "{words:?}: {} {}", done.code, done.err);
        assert!(done.out.is_empty(), "data goes out, messages do not: {}", done.out);
    }
    let socket = host.dir.join("weft.sock");
    let asked = |wrapper: &[&str], socket: &str| {
        let done = try_run(&[wrapper, &[weft(), "status", "--socket", socket]].concat());
        assert_eq!(done.code, 3, "{}", done.err);
        done.err
    };
    let path = socket.to_str().expect("UTF-8");
    run(&["chmod", "755", lab.dir().to_str().expect("UTF-8"), host.dir.to_str().expect("UTF-8")]);
    let denied = asked(&["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"], path);
    assert!(denied.contains("use sudo"), "{denied}");
    assert!(asked(&[], "/nowhere/weft.sock").contains("`weft run`"));
    node.signal(rustix::process::Signal::KILL);
    node.wait_end(wait::secs(5));
    assert!(asked(&[], path).contains("nobody listens"));
}
