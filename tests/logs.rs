//! The log of a real daemon, and what a bug report has and has not.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use weft_tests::cluster::{GOSSIP_PORT, events, gossip};
use weft_tests::command::{Finished, run, try_run};
use weft_tests::node::{binary, network, port};
use weft_tests::pair::{finish, pod_keys};
use weft_tests::{Config, Lab, Node, wait};

const NOBODY: &str = "/nonexistent/weft.sock";

fn weft() -> &'static str {
    binary().to_str().expect("UTF-8")
}

/// The files of an archive by their names.
#[track_caller]
fn unpacked(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    let into = folder.path().to_str().expect("UTF-8");
    run(&["tar", "-xzf", archive.to_str().expect("UTF-8"), "-C", into]);
    let names = run(&["find", into, "-type", "f"]);
    let read = |path: &str| {
        let name = path.strip_prefix(&format!("{into}/weft-bugreport/")).expect("in the folder");
        (name.to_owned(), std::fs::read(path).expect("a file"))
    };
    names.lines().map(read).collect()
}

fn text(files: &BTreeMap<String, Vec<u8>>, name: &str) -> String {
    let file = files.get(name).unwrap_or_else(|| panic!("{name} is not among {:?}", files.keys()));
    String::from_utf8_lossy(file).into_owned()
}

/// The names of the files that have these octets.
fn having<'a>(files: &'a BTreeMap<String, Vec<u8>>, what: &[u8]) -> Vec<&'a str> {
    let has = |file: &[u8]| file.windows(what.len()).any(|part| part.eq_ignore_ascii_case(what));
    files.iter().filter(|(_, file)| has(file)).map(|(name, _)| name.as_str()).collect()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let octet = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len() / 2).map(|n| octet(2 * n)).collect()
}

/// Base64 of whole groups of three octets, so that it has no padding and stands in any longer text alike.
fn base64(octets: &[u8]) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = three.iter().fold(0_usize, |bits, octet| bits << 8 | usize::from(*octet));
        [18, 12, 6, 0].map(|shift| char::from(digits[bits >> shift & 63]))
    };
    octets.chunks_exact(3).flat_map(group).collect()
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn levels_change_while_the_daemon_runs_and_go_back() {
    let mut lab = Lab::new();
    let (host, stranger) = (lab.host("n1"), lab.host("n2"));
    let config = Config::new(gossip(&lab, host.v4.into()) + &network("pods", 100, ""));
    let mut node = Node::start(&host, &config);
    let speak = || {
        let send = || UdpSocket::bind("0.0.0.0:0").and_then(|s| s.send_to(b"hello", (host.v4, GOSSIP_PORT)));
        stranger.ns.enter(send).expect("a datagram is sent");
        wait::sleep_ms(200);
    };
    let heard = || events(&node, "gossip_dropped").len();
    let set = |setting: &str| {
        let done = node.cli(&["log", "set", setting]);
        assert!(done.ok(), "{}", done.err);
    };
    let level = || node.json("log show")["entries"][3].clone();

    speak();
    assert_eq!(
        (heard(), &level()),
        (0, &json!({"target": "gossip", "level": "info", "source": "configuration"}))
    );
    set("gossip=debug");
    wait::until(wait::secs(3), "a line of debug", || {
        speak();
        heard() > 0
    });
    assert_eq!(level(), json!({"target": "gossip", "level": "debug", "source": "command"}));
    assert!(node.cli(&["reload"]).ok());
    assert_eq!(level()["level"], "debug", "a reload leaves it");
    set("gossip=default");
    wait::sleep_ms(300);
    let before = heard();
    (0..3).for_each(|_| speak());
    assert_eq!(heard(), before);

    let unknown = node.cli(&["log", "set", "gosip=debug"]);
    assert!(unknown.code == 2 && unknown.err.contains("did you mean gossip?"), "{}", unknown.err);
    assert_eq!(events(&node, "log_set").len(), 2);
    for line in node.log().lines() {
        let said: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let all = ["ts", "level", "target", "event", "message"];
        assert!(all.iter().all(|field| said[field].is_string()), "{line}");
        assert!(line.starts_with("{\"ts\":\"20") && !line.contains("\"level\":\"INFO\""), "{line}");
    }
    finish([&mut node], &mut lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_flood_is_ten_lines_and_a_count_and_others_are_heard() {
    let mut lab = Lab::new();
    let host = lab.host("n1");
    let mut node = Node::start(&host, &Config::new(network("pods", 100, "")));
    let replies = node.ask(&vec![json!({"request": "reload"}); 40]);
    assert!(replies.iter().all(|reply| reply["schema"] == "weft.done/1"), "{replies:?}");
    assert_eq!(events(&node, "reload_ok").len(), 10);
    assert!(node.cli(&["log", "set", "path=warn"]).ok());
    assert_eq!(events(&node, "log_set").len(), 1, "another event is not silenced");

    let told = || events(&node, "reload_ok").into_iter().find(|line| line["suppressed"].is_u64());
    wait::until(wait::secs(12), "the count", || told().is_some());
    assert_eq!(told().expect("a line")["suppressed"], 30);
    assert!(node.cli(&["reload"]).ok());
    wait::until(wait::secs(1), "the next to be written", || events(&node, "reload_ok").len() == 12);
    let _ = node.ask(&vec![json!({"request": "reload"}); 15]);
    finish([&mut node], &mut lab);
    let last = events(&node, "reload_ok").into_iter().rfind(|line| line["suppressed"].is_u64());
    assert_eq!(last.expect("a line")["suppressed"], 6, "what was left out is told at the end, too");
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_report_says_all_and_no_secret() {
    let mut lab = Lab::new();
    let host = lab.host("n1");
    let pod = lab.pod("pod1");
    let token = "canary-token-0123456789-abcdefghijkl-42";
    let file = host.dir.join("http.token");
    std::fs::write(&file, token).expect("the token");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("its mode");
    let api =
        format!("[api]\nhttp = \"{}:6787\" # CanaryComment\ntoken_file = \"{}\"\n", host.v4, file.display());
    let sections =
        gossip(&lab, host.v4.into()) + &network("pods", 100, "") + &port("web", "pods", &pod, &pod_keys(1));
    let mut node = Node::start(&host, &Config::new(sections).with(&api));
    let state = "canary of the state directory, 48 octets of it..";
    std::fs::write(host.dir.join("state/old.key"), state).expect("a file");
    let key = std::fs::read_to_string(lab.dir().join("gossip.key")).expect("the key");
    let key = unhex(key.trim());
    assert_eq!(key.len(), 32);
    // Who asks has the token in its head, and it is in nobody's log.
    host.ns.try_exec(&format!("curl -s -m 2 --oauth2-bearer {token}0 http://{}:6787/metrics", host.v4));

    let archive = host.dir.join("report.tar.gz");
    let make = |archive: &Path, more: &[&str]| {
        let mut words = vec!["bugreport", "-o", archive.to_str().expect("UTF-8")];
        words.extend(more);
        node.cli(&words)
    };
    let done = make(&archive, &[]);
    assert!(done.ok() && done.out.contains(" files") && done.err.is_empty(), "{} {}", done.out, done.err);
    assert_eq!(std::fs::metadata(&archive).expect("a file").permissions().mode() & 0o777, 0o600);
    let files = unpacked(&archive);
    for secret in [key.as_slice(), token.as_bytes(), state.as_bytes(), b"CanaryComment".as_slice()] {
        for form in [secret.to_vec(), hex(secret).into_bytes(), base64(secret).into_bytes()] {
            assert_eq!(having(&files, &form), [""; 0], "{}", String::from_utf8_lossy(&form));
        }
    }

    let manifest = text(&files, "MANIFEST");
    for name in files.keys().filter(|name| *name != "MANIFEST") {
        assert!(manifest.contains(&format!("\n{name}\n  ")), "{name} is not in the manifest:\n{manifest}");
    }
    for name in
        ["status", "networks", "ports", "peers", "paths", "fdb", "neigh", "drops", "keys", "log", "metrics"]
    {
        let reply: Value = serde_json::from_str(&text(&files, &format!("daemon/{name}.json"))).expect("JSON");
        assert!(reply["schema"].as_str().is_some_and(|schema| schema.starts_with("weft.")), "{reply}");
    }
    assert!(text(&files, "daemon/doctor.json").contains("\"checks\""));
    let config = text(&files, "config/weft.toml");
    assert!(config.contains("gossip.key") && config.contains("http.token"), "paths stay:\n{config}");
    assert!(manifest.contains("weft.toml; comments removed"), "the daemon's own configuration:\n{manifest}");
    assert!(text(&files, "host/sysctl.txt").contains("net.core.rmem_max = "));
    assert!(text(&files, "process/status").contains("weft"));
    let places = having(&files, b"02:00:00:00:32:01");
    assert!(
        ["daemon/ports.json", "daemon/fdb.json", "config/weft.toml"].iter().all(|name| places.contains(name))
    );

    let again = make(&archive, &[]);
    assert!(again.code == 1 && again.err.contains("exists and is not overwritten"), "{}", again.err);
    assert_eq!(unpacked(&archive).len(), files.len());
    let anonymous = host.dir.join("anonymous.tar.gz");
    assert!(make(&anonymous, &["--anonymize"]).ok());
    let files = unpacked(&anonymous);
    for original in ["10.99.0.1", "fd99::1", "10.32.0.1", "02:00:00:00:32:01"] {
        assert_eq!(having(&files, original.as_bytes()), [""; 0], "{original}");
    }
    let mac = |name: &str| {
        let reply: Value = serde_json::from_str(&text(&files, name)).expect("JSON");
        reply["entries"][0]["mac"].as_str().expect("a MAC address").to_owned()
    };
    assert_eq!(mac("daemon/ports.json"), mac("daemon/fdb.json"), "the same one throughout");
    finish([&mut node], &mut lab);
}

/// A report where no daemon is, with what else a shell is to do.
#[track_caller]
fn report(script: &str) -> Finished {
    let script =
        script.replace("REPORT", &format!("{} bugreport --socket {NOBODY} --config /nonexistent", weft()));
    try_run(&["bash", "-c", &script])
}

#[test]
fn without_a_daemon_there_is_what_can_be_had() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("r.tar.gz");
    let done = report(&format!("REPORT -j -o {}", archive.display()));
    assert!(done.ok() && done.err.contains("no daemon on"), "{} {}", done.out, done.err);
    let said: Value = serde_json::from_str(&done.out).expect("JSON");
    let files = unpacked(&archive);
    assert_eq!(
        (said["schema"].as_str(), said["files"].as_u64()),
        (Some("weft.bugreport/1"), Some(files.len() as u64))
    );
    let manifest = text(&files, "MANIFEST");
    let (_, missing) = manifest.split_once("\nNOT HERE\n").expect("what is not here");
    for (name, why) in [
        ("daemon/metrics.json, daemon/doctor.json", "no daemon"),
        ("config/weft.toml", "cannot read /nonexistent"),
        ("process", "no daemon"),
    ] {
        let (_, after) = missing.split_once(&format!("{name}\n  ")).unwrap_or_else(|| panic!("{missing}"));
        assert!(after.starts_with(why), "{name}: {after}");
    }
    assert!(text(&files, "doctor.json").contains("\"code\": \"config\""));
    assert!(text(&files, "host/version").contains("Linux"));
}

#[test]
fn a_key_and_a_token_where_paths_belong_are_in_no_file_of_a_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, archive) = (folder.path().join("weft.toml"), folder.path().join("r.tar.gz"));
    let key = "9d2c07a1b2c3d4e5f60718293a4b5c6d7e8f07a1b2c3d4e5f60718293a4b5c6d";
    let token = "q+8Zr0/Jm3VtX5kW2nB7yLcD4sEaH6uPf9GiTo1RwKM=";
    let wrong = format!("[gossip]\nkey_file = \"{key}\"\n[api]\ntoken_file = \"{token}\"\n");
    std::fs::write(&config, wrong).expect("a configuration");
    let (config, to) = (config.display().to_string(), archive.display().to_string());
    let done = try_run(&[weft(), "bugreport", "--socket", NOBODY, "--config", &config, "-o", &to]);
    assert!(done.ok(), "{} {}", done.out, done.err);
    let files = unpacked(&archive);
    // Less than this of a secret is of no use to anybody.
    for part in [&key[..16], &key[40..56], &token[..12], &token[20..32]] {
        assert_eq!(having(&files, part.as_bytes()), [""; 0], "{part}");
    }
    assert!(text(&files, "doctor.json").contains("not shown"), "{}", text(&files, "doctor.json"));
}

#[test]
fn an_archive_is_not_written_to_a_terminal_and_goes_down_a_pipe() {
    let done = report("script -qec 'REPORT -o -' /dev/null");
    assert!(done.code == 2 && done.out.contains("nothing for a terminal"), "{} {}", done.code, done.out);
    let done = report("REPORT -o - | tar -tzf -");
    assert!(done.ok() && done.out.starts_with("weft-bugreport/MANIFEST\n"), "{} {}", done.out, done.err);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_full_disk_is_said_to_be_full_and_nothing_is_left_of_the_archive() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().display();
    let mounted =
        "unshare -m bash -c 'mount -t tmpfs -o size=4k none AT && REPORT -o AT/r.tar.gz; echo $?; ls -A AT'";
    let done = report(&mounted.replace("AT", &at.to_string()));
    assert!(
        done.err.contains("No space left") && done.err.contains("make room on that file system"),
        "{}",
        done.err
    );
    assert_eq!(done.out, "1\n", "no file is left");
    let done = report("REPORT -o - > /dev/full");
    assert!(done.code == 1 && done.err.contains("No space left"), "{} {}", done.code, done.err);
}
