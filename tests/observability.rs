//! What `configs/observability/` has for Prometheus and Grafana, loaded by a real Prometheus that scrapes a real node.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use weft::control::causes;
use weft::counters::{DropReason, SealsView};
use weft::gossip::DropCounts;
use weft_tests::cluster::Cluster;
use weft_tests::command::{Process, run, try_run};
use weft_tests::pair::pod_v4;
use weft_tests::traffic::assert_pings;
use weft_tests::{Host, Stream, wait};

const API: &str = "http://127.0.0.1:9090/api/v1";

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/observability")
}

fn path(name: &str) -> String {
    directory().join(name).to_str().expect("a path in UTF-8").to_owned()
}

fn dashboard() -> Value {
    let text = fs::read_to_string(directory().join("grafana.json")).expect("the dashboard");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("grafana.json: {error}"))
}

/// The title of each panel and the expressions that it shows, with Grafana's variables filled in.
fn panels(dashboard: &Value) -> Vec<(String, Vec<String>)> {
    let expression = |target: &Value| {
        let text = target["expr"].as_str().expect("an expression");
        text.replace("$instance", ".*").replace("$peer", ".*").replace("$__rate_interval", "1m")
    };
    let panel = |panel: &Value| {
        let targets = panel["targets"].as_array().into_iter().flatten();
        (panel["title"].as_str().expect("a title").to_owned(), targets.map(expression).collect())
    };
    dashboard["panels"].as_array().expect("panels").iter().map(panel).collect()
}

/// The names of metrics of weft in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with("weft_"));
    words.map(str::to_owned).collect()
}

#[test]
fn the_dashboard_is_one_that_grafana_opens() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64() >= Some(39) && dashboard["id"].is_null());
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    assert_eq!(variables[0]["type"], "datasource");
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().expect("panels") {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{} twice", panel["id"]);
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().expect("a place"));
        assert!(w > 0 && h > 0 && x + w <= 24, "{}", panel["gridPos"]);
        for cell in (y..y + h).flat_map(|y| (x..x + w).map(move |x| (x, y))) {
            assert!(taken.insert(cell), "{} lies over another", panel["title"]);
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            assert!(
                panel["description"].as_str().is_some_and(|text| text.ends_with('.')),
                "{}",
                panel["title"]
            );
        }
    }
}

#[test]
fn every_alert_says_what_is_wrong_and_what_to_do() {
    let text = fs::read_to_string(directory().join("weft.rules.yml")).expect("the rules");
    let alerts = text.split("- alert: ").skip(1);
    for alert in alerts {
        for key in ["expr: ", "severity: ", "summary: ", "action: "] {
            assert!(alert.contains(key), "no {key}in {alert}");
        }
    }
}

/// A selector of a metric of weft in a text, and what follows it: the metric, a label, and a word that it is compared with.
fn compared(text: &str) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for (at, _) in text.match_indices("weft_") {
        let Some((metric, rest)) = text[at..].split_once('{') else { continue };
        let Some((matchers, _)) = rest.split_once('}').filter(|_| names(metric).contains(metric)) else {
            continue;
        };
        // Such as `, cause` and `small_mtu|loss`, in turns.
        let mut parts = matchers.split('"');
        while let (Some(label), Some(words)) = (parts.next(), parts.next()) {
            let label = label.trim_matches([',', ' ', '=', '!', '~']);
            let words = words.split('|').map(|word| (metric.to_owned(), label.to_owned(), word.to_owned()));
            all.extend(words);
        }
    }
    all
}

/// All that a label of a metric may be; `None` = that is not for weft to say.
fn known(metric: &str, label: &str) -> Option<BTreeSet<&'static str>> {
    let reasons = || DropReason::ALL.iter().map(|reason| reason.name());
    Some(match (metric, label) {
        ("weft_crypto_failures_total", "cause") => {
            SealsView::default().named().into_iter().map(|(name, _)| name).collect()
        }
        ("weft_gossip_dropped_total", "reason") => {
            DropCounts::default().named().map(|(name, _)| name).collect()
        }
        ("weft_peer_degraded" | "weft_degraded", "cause") => causes().collect(),
        ("weft_drop_packets_total" | "weft_drop_bytes_total", "reason") => reasons().collect(),
        ("weft_peer_state", "state") => ["up", "suspect", "down"].into(),
        ("weft_gossip_members", "state") => ["up", "suspect", "down", "left"].into(),
        (_, "cause" | "reason" | "state") => BTreeSet::new(),
        _ => return None,
    })
}

/// What is compared with words that weft never says.
fn never_said(text: &str) -> Vec<(String, String, String)> {
    let is_wrong = |(metric, label, word): &(String, String, String)| {
        known(metric, label).is_some_and(|known| !known.contains(word.as_str()))
    };
    compared(text).into_iter().filter(is_wrong).collect()
}

#[test]
fn rules_and_dashboard_compare_with_words_that_weft_says() {
    let mut all: Vec<_> = ["weft.rules.yml", "weft.rules.test.yml"]
        .map(|name| fs::read_to_string(path(name)).expect("a file"))
        .into();
    all.extend(panels(&dashboard()).into_iter().flat_map(|(_, expressions)| expressions));
    let text = all.join("\n");
    assert_eq!(never_said(&text), []);
    // And there is something to compare.
    for (label, word) in [("cause", "below_ipv6_minimum"), ("reason", "reserved_mac"), ("state", "suspect")] {
        assert!(
            compared(&text).iter().any(|(_, is, found)| (is, found) == (&label.into(), &word.into())),
            "{word}"
        );
    }
}

#[test]
fn a_word_that_weft_never_says_is_found_however_it_is_compared() {
    for (operator, words) in
        [("=", "smal_mtu"), ("!=", "smal_mtu"), ("=~", "loss|smal_mtu"), ("!~", "smal_mtu|loss")]
    {
        let text = format!("rate(weft_peer_degraded{{job=\"weft\", cause{operator}\"{words}\"}}[5m]) > 0");
        let [(metric, label, word)] = &never_said(&text)[..] else {
            panic!("{text}: {:?}", never_said(&text))
        };
        assert_eq!((&**metric, &**label, &**word), ("weft_peer_degraded", "cause", "smal_mtu"));
    }
    for wrong in [
        "weft_drop_bytes_total{reason=\"small_mtu\"}",
        "weft_peer_state{state=\"left\"}",
        "weft_new{state=\"up\"}",
    ] {
        assert_eq!(never_said(wrong).len(), 1, "{wrong}");
    }
    assert_eq!(
        never_said("weft_degraded{cause=\"node_down\"} unless weft_drop_packets_total{reason!=\"vlan\"}"),
        []
    );
}

/// A Prometheus beside a node, with the files as they are but for how often it scrapes.
struct Prometheus<'a> {
    host: &'a Host,
    _process: Process,
}

impl<'a> Prometheus<'a> {
    #[track_caller]
    fn start(host: &'a Host) -> Self {
        let folder = host.dir.join("prometheus");
        fs::create_dir(&folder).expect("a folder");
        let config = fs::read_to_string(path("prometheus.yml")).expect("the example");
        fs::write(folder.join("prometheus.yml"), config.replace("15s", "1s")).expect("the configuration");
        fs::copy(path("weft.rules.yml"), folder.join("weft.rules.yml")).expect("the rules");
        let at = |name: &str| folder.join(name).to_str().expect("a path in UTF-8").to_owned();
        let words = [
            "prometheus".to_owned(),
            format!("--config.file={}", at("prometheus.yml")),
            format!("--storage.tsdb.path={}", at("data")),
            "--web.listen-address=127.0.0.1:9090".to_owned(),
        ];
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let process = host.ns.start(&words, &[], &host.dir.join("prometheus.log"));
        let prometheus = Self { host, _process: process };
        let scraped = || prometheus.query("up{job=\"weft\"} == 1").is_some_and(|found| found.len() == 1);
        wait::until(wait::secs(20), "Prometheus to scrape weft", scraped);
        prometheus
    }

    /// What it answers; `None` = nothing, or an error.
    fn get(&self, what: &str, options: &[&str]) -> Option<Value> {
        let url = format!("{API}/{what}");
        let mut words = vec!["ip", "netns", "exec", self.host.ns.name(), "curl", "-s", "-m", "5", "-G", &url];
        words.extend(options);
        let answer: Value = serde_json::from_str(&try_run(&words).out).ok()?;
        (answer["status"] == "success").then(|| answer["data"].clone())
    }

    /// The series of an expression at this moment; `None` = it is not understood.
    fn query(&self, expression: &str) -> Option<Vec<Value>> {
        let option = format!("query={expression}");
        let data = self.get("query", &["--data-urlencode", &option])?;
        data["result"].as_array().cloned()
    }

    /// Whether an alert fires, with this label.
    fn fires(&self, alert: &str, label: &str) -> bool {
        let expression = format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\",{label}}}");
        self.query(&expression).is_some_and(|found| !found.is_empty())
    }
}

/// What shows nothing while all is well, and what one planted fault does not bring.
const MAY_BE_EMPTY: [&str; 5] =
    ["Drops by reason", "Octets dropped by reason", "Notices", "Dropped by gossip", "Refused seals"];

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_planted_fault_fires_its_alert_and_every_panel_and_rule_finds_its_metrics() {
    run(&["promtool", "check", "config", &path("prometheus.yml")]);
    run(&["promtool", "check", "rules", &path("weft.rules.yml")]);
    run(&["promtool", "test", "rules", &path("weft.rules.test.yml")]);

    let cluster = Cluster::start(2);
    let prometheus = Prometheus::start(&cluster.nodes[0].host);
    assert_pings(&cluster.pods[0], pod_v4(2));
    let stream = Stream::start(&cluster.pods[0], (&cluster.pods[1], pod_v4(2)), 5201, None);
    assert!(!prometheus.fires("WeftPathMtuReduced", "peer=\"n2\""));

    cluster.shrink(1280);
    let what = "the alert of a smaller path MTU to fire";
    wait::until(wait::secs(15), what, || prometheus.fires("WeftPathMtuReduced", "peer=\"n2\""));
    let firing = prometheus.query("ALERTS{alertstate=\"firing\"}").expect("alerts");
    assert!(firing.iter().all(|alert| alert["metric"]["alertname"] == "WeftPathMtuReduced"), "{firing:?}");

    // While something is degraded, there is everything.
    let known = prometheus.get("label/__name__/values", &[]).expect("names");
    let known: BTreeSet<_> = known.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let rules = fs::read_to_string(path("weft.rules.yml")).expect("the rules");
    let dashboard = dashboard();
    let mut used = names(&rules);
    used.append(&mut names(&dashboard.to_string()));
    used.retain(|name| !known.contains(name.as_str()));
    assert!(used.is_empty(), "not scraped: {used:?}");
    let mut empty = Vec::new();
    for (title, expressions) in panels(&dashboard) {
        for expression in expressions {
            let found = prometheus.query(&expression).unwrap_or_else(|| panic!("{title}: {expression}"));
            if found.is_empty() && !MAY_BE_EMPTY.contains(&&*title) {
                empty.push((title.clone(), expression));
            }
        }
    }
    assert!(empty.is_empty(), "these show nothing: {empty:#?}");

    cluster.heal();
    let what = "the alert to end with its cause";
    wait::until(wait::secs(30), what, || !prometheus.fires("WeftPathMtuReduced", "peer=\"n2\""));
    stream.finish().expect("a stream without a fault");
    drop(prometheus);
    cluster.finish();
}
