//! The map: what a stream of events tells, what a browser makes of it, and who may ask.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Once;

use serde_json::Value;
use weft_tests::cluster::Cluster;
use weft_tests::command::{Process, run, try_run};
use weft_tests::node::network;
use weft_tests::pair::{finish, pod_v4};
use weft_tests::{Config, Lab, Netns, Node, Stream, wait};

const HERE: &str = "http://127.0.0.1:6787";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// Where what the browser needs is installed, and where its pictures go.
const FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/map");
/// The last that runs with the Node.js of Debian 12.
const PLAYWRIGHT: &str = "playwright-core@1.56.1";

/// Runs a case of tests/map/browser.mjs, in a namespace or here; what it measured is printed.
#[track_caller]
fn browse(from: Option<&Netns>, case: &str, url: &str) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        if !Path::new(FOLDER).join("node_modules/playwright-core").exists() {
            run(&["npm", "install", "--prefix", FOLDER, "--no-save", "--no-audit", "--no-fund", PLAYWRIGHT]);
        }
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/map/browser.mjs");
    let words = ["node", script, case, FOLDER, url];
    let done = match from {
        Some(ns) => ns.try_exec(&words.join(" ")),
        None => try_run(&words),
    };
    println!("{}", done.out);
    assert!(done.ok(), "the browser, {case}: {}{}", done.out, done.err);
}

/// Reads a node's stream of events into a file.
fn read_events(node: &Node) -> Process {
    let url = format!("{HERE}/api/v1/events");
    node.host.ns.start(&["curl", "-sN", &url], &[], &node.host.dir.join("events.txt"))
}

/// The data of the events with this name, oldest first; the last line may not be whole yet.
fn told(stream: &Process, name: &str) -> Vec<Value> {
    let log = stream.log();
    let lines: Vec<_> = log.lines().collect();
    let is_it = |pair: &&[&str]| pair[0] == format!("event: {name}");
    let data = lines.windows(2).filter(is_it).filter_map(|pair| pair[1].strip_prefix("data: "));
    data.filter_map(|text| serde_json::from_str(text).ok()).collect()
}

/// A node of a map by its name.
fn id_of(map: &Value, name: &str) -> String {
    let nodes = map["nodes"].as_array().expect("nodes");
    let node = nodes.iter().find(|node| node["name"] == name).unwrap_or_else(|| panic!("no {name} in {map}"));
    node["id"].as_str().expect("an id").to_owned()
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_stream_tells_of_a_path_that_shrinks_and_of_one_that_is_relayed_within_three_seconds() {
    let cluster = Cluster::start(3);
    let events = read_events(&cluster.nodes[0]);
    wait::until(wait::secs(5), "a snapshot", || !told(&events, "snapshot").is_empty());
    let map = told(&events, "snapshot").remove(0);
    assert_eq!(
        (&map["schema"], map["links"].as_array().map(Vec::len)),
        (&"weft.map/1".into(), Some(2)),
        "{map}"
    );
    let (n1, n2, n3) = (id_of(&map, "n1"), id_of(&map, "n2"), id_of(&map, "n3"));
    assert_eq!(map["here"], *n1);
    let link_is = |to: &str, is: &dyn Fn(&Value) -> bool| {
        let changes = told(&events, "changes");
        let mut links = changes.iter().flat_map(|changes| changes["links"].as_array().into_iter().flatten());
        links.rfind(|link| link["to"] == to).is_some_and(is)
    };
    // What has traffic is looked at more often.
    let stream = Stream::start(&cluster.pods[0], (&cluster.pods[1], pod_v4(2)), 5201, None);
    wait::sleep_ms(1500);

    cluster.shrink(1280);
    let found = wait::until(wait::secs(3), "the smaller path", || {
        link_is(&n2, &|link| {
            link["path_mtu"] == 1280
                && link["state"] == "degraded"
                && link["degraded"].to_string().contains("small_mtu")
        })
    });
    cluster.heal();
    cluster.cut(1, 2);
    let relayed = wait::until(wait::secs(3), "the way over the third node", || {
        link_is(&n2, &|link| link["via"] == *n3)
    });
    println!("told of the smaller path after {found:?}, of the relay after {relayed:?}");
    cluster.heal();
    wait::until(wait::secs(5), "the direct way", || link_is(&n2, &|link| link["via"].is_null()));
    stream.finish().expect("a stream without a fault");
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_browser_shows_a_cluster_and_what_is_wrong_with_it() {
    let cluster = Cluster::start(3);
    let stream = Stream::start(&cluster.pods[0], (&cluster.pods[1], pod_v4(2)), 5201, None);
    cluster.shrink(1280);
    let events = read_events(&cluster.nodes[0]);
    let degraded = |events: &Process| events.log().matches("small_mtu").count() > 0;
    wait::until(wait::secs(20), "the smaller path", || degraded(&events));
    drop(events);
    browse(Some(&cluster.nodes[0].host.ns), "real", &format!("{HERE}/"));

    cluster.heal();
    stream.finish().expect("a stream without a fault");
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn from_another_host_the_page_asks_for_the_token_and_keeps_it() {
    let mut lab = Lab::new();
    let (host, other) = (lab.host("n1"), lab.host("n2"));
    let file = host.dir.join("http.token");
    std::fs::write(&file, TOKEN).expect("the token");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("its mode");
    let api = format!("[api]\nhttp = \"{}:6787\"\ntoken_file = \"{}\"\n", host.v4, file.display());
    let mut node = Node::start(&host, &Config::new(network("pods", 100, "")).with(&api));
    browse(Some(&other.ns), "token", &format!("http://{}:6787/", host.v4));

    // Who has no token cannot keep others from asking, either.
    let idle =
        format!("for i in {{1..40}}; do exec {{fd}}<>/dev/tcp/{}/6787; done; echo all; sleep 9", host.v4);
    let idle = other.ns.start(&["bash", "-c", &idle], &[], &other.dir.join("idle.txt"));
    wait::until(wait::secs(5), "idle connections", || idle.log().contains("all"));
    let asked = format!("curl -s -m 2 --oauth2-bearer {TOKEN} http://{}:6787/healthz", host.v4);
    assert_eq!(host.ns.exec(&asked), "ok\n");
    drop(idle);
    finish([&mut node], &mut lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn what_is_told_while_somebody_reads_is_taken_in_and_disturbs_nobody() {
    browse(None, "news", "");
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn the_page_is_quick_with_five_hundred_nodes_and_five_thousand_links() {
    browse(None, "large", "");
    browse(None, "star", "");
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn names_that_are_html_are_text() {
    browse(None, "hostile", "");
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_small_cluster_is_drawn_in_light_and_in_dark() {
    browse(None, "pictures", "");
}
