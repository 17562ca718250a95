//! The daemon on a host.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::command::{Finished, Process, try_run};
use crate::lab::Host;
use crate::netns::Netns;
use crate::wait;

/// A configuration in the making: the harness fills in name, folders and underlay addresses.
#[derive(Clone, Debug, Default)]
pub struct Config {
    node: String,
    underlay: Option<String>,
    rest: String,
}

impl Config {
    /// A configuration with these sections beside `[node]` and `[underlay]`.
    #[must_use]
    pub fn new(rest: impl Into<String>) -> Self {
        Self { rest: rest.into(), ..Self::default() }
    }

    /// Adds keys to `[node]`.
    #[must_use]
    pub fn node(mut self, keys: &str) -> Self {
        self.node.push_str(keys);
        self
    }

    /// Sets the keys of `[underlay]`; both addresses of the host if never called.
    #[must_use]
    pub fn underlay(mut self, keys: &str) -> Self {
        self.underlay = Some(keys.to_owned());
        self
    }

    /// Adds sections.
    #[must_use]
    pub fn with(mut self, sections: &str) -> Self {
        self.rest.push_str(sections);
        self
    }

    /// The text of the file on this host.
    #[must_use]
    pub fn text(&self, host: &Host) -> String {
        let (name, dir) = (&host.name, host.dir.display());
        let both = format!("address = [\"{}\", \"{}\"]", host.v4, host.v6);
        let (node, underlay) = (&self.node, self.underlay.as_ref().unwrap_or(&both));
        format!(
            "[node]\nname = \"{name}\"\nstate_dir = \"{dir}/state\"\nsocket = \"{dir}/weft.sock\"\n{node}\n\
             [underlay]\n{underlay}\n{}",
            self.rest
        )
    }
}

/// `[[network]]` with more keys.
#[must_use]
pub fn network(name: &str, vni: u32, keys: &str) -> String {
    format!("[[network]]\nname = \"{name}\"\nvni = {vni}\n{keys}\n")
}

/// `[[port]]` with an `eth0` in a pod and more keys.
#[must_use]
pub fn port(name: &str, network: &str, pod: &Netns, keys: &str) -> String {
    let path = pod.path();
    format!(
        "[[port]]\nname = \"{name}\"\nnetwork = \"{network}\"\nifname = \"eth0\"\nnetns = \"{path}\"\n{keys}\n"
    )
}

/// `[[peer]]` with more keys.
#[must_use]
pub fn peer(address: impl std::fmt::Display, network: &str, keys: &str) -> String {
    format!("[[peer]]\naddress = \"{address}\"\nnetworks = [\"{network}\"]\n{keys}\n")
}

/// A running daemon.
#[derive(Debug)]
pub struct Node {
    process: Process,
    socket: String,
    /// The host that it runs on.
    pub host: Host,
}

impl Node {
    /// Starts the daemon on a host, and waits until it answers and every port with a namespace is up.
    ///
    /// # Panics
    ///
    /// When that takes more than 15 s or the daemon ends; its log is printed.
    #[must_use]
    #[track_caller]
    pub fn start(host: &Host, config: &Config) -> Self {
        let mut node = Self::spawn(host, config);
        node.wait_ready();
        node
    }

    /// Starts the daemon and waits for nothing.
    #[must_use]
    #[track_caller]
    pub fn spawn(host: &Host, config: &Config) -> Self {
        Self::spawn_by(&[], host, config)
    }

    /// As [`Node::spawn`], but started by another program that gets the daemon's command line as its last words.
    #[must_use]
    #[track_caller]
    pub fn spawn_by(wrapper: &[&str], host: &Host, config: &Config) -> Self {
        let file = write_config(host, config);
        let mut words = wrapper.to_vec();
        words.extend([utf8(binary()), "run", "--config", utf8(&file)]);
        let env = [("RUST_BACKTRACE", "1"), ("NO_COLOR", "1")];
        let process = host.ns.start(&words, &env, &host.dir.join("weft.log"));
        Self { process, socket: format!("{}/weft.sock", host.dir.display()), host: host.clone() }
    }

    /// Waits until the daemon answers and every port is up or waits for its namespace.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        let end = wait::now() + wait::secs(15);
        while !self.ready() {
            if let Some(code) = self.process.ended() {
                panic!("weft on {} ended with {code}:\n{}", self.host.name, self.log());
            }
            assert!(wait::now() < end, "weft on {} is not ready after 15 s:\n{}", self.host.name, self.log());
            wait::sleep_ms(30);
        }
    }

    fn ready(&self) -> bool {
        let ports = self.cli(&["port", "list", "-j"]);
        let Ok(Value::Object(ports)) = serde_json::from_str(&ports.out) else { return false };
        let settled = |p: &Value| ["up", "waiting"].iter().any(|state| p["state"] == *state);
        ports.get("entries").and_then(Value::as_array).is_some_and(|ports| ports.iter().all(settled))
    }

    /// Runs a command of the CLI against this daemon; it may fail.
    #[track_caller]
    pub fn cli(&self, words: &[&str]) -> Finished {
        let mut all = vec![utf8(binary())];
        all.extend(words);
        all.extend(["--socket", &self.socket]);
        try_run(&all)
    }

    /// Runs a query (several words if need be) and returns its JSON.
    ///
    /// # Panics
    ///
    /// When it fails, other than by saying that the node is degraded.
    #[must_use]
    #[track_caller]
    pub fn json(&self, query: &str) -> Value {
        let words: Vec<&str> = query.split_whitespace().chain(["-j"]).collect();
        let done = self.cli(&words);
        assert!(
            [0, 4].contains(&done.code),
            "weft {query} on {}: {} {}",
            self.host.name,
            done.code,
            done.err
        );
        serde_json::from_str(&done.out).unwrap_or_else(|e| panic!("weft {query} -j: {e}: {}", done.out))
    }

    /// Puts requests to the daemon's socket one after the other over one connection; returns its replies.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn ask(&self, requests: &[Value]) -> Vec<Value> {
        let stream = UnixStream::connect(&self.socket).expect("the daemon listens");
        stream.set_read_timeout(Some(wait::secs(5))).expect("a time limit");
        let mut stream = BufReader::new(stream);
        let mut reply = |request: &Value| {
            stream.get_mut().write_all(format!("{request}\n").as_bytes()).expect("the request is sent");
            let mut line = String::new();
            stream.read_line(&mut line).expect("the daemon answers");
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("{request}: {e}: {line}"))
        };
        requests.iter().map(&mut reply).collect()
    }

    /// Frames dropped for a reason, both ways together.
    #[must_use]
    #[track_caller]
    pub fn dropped(&self, reason: &str) -> u64 {
        let row = &self.json("drops")["drops"][reason];
        count(&row["inbound"]) + count(&row["outbound"])
    }

    /// An entry of a list (`port list`, `peer list`, `fdb show`) with this value under this key.
    #[must_use]
    #[track_caller]
    pub fn entry(&self, query: &str, key: &str, value: &str) -> Option<Value> {
        let list = self.json(query);
        list["entries"].as_array()?.iter().find(|entry| entry[key] == value).cloned()
    }

    /// The state of a port: `up`, `down` or `waiting`; `none` when there is no such port.
    #[must_use]
    #[track_caller]
    pub fn port_state(&self, name: &str) -> String {
        let entry = self.entry("port list", "name", name);
        entry.and_then(|e| e["state"].as_str().map(str::to_owned)).unwrap_or_else(|| "none".to_owned())
    }

    /// Replaces the configuration file; the daemon has not read it yet.
    #[track_caller]
    pub fn rewrite(&self, config: &Config) {
        write_config(&self.host, config);
    }

    /// The daemon's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What the daemon has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Sends the daemon a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for the daemon's end; returns its exit code.
    #[track_caller]
    pub fn wait_end(&mut self, limit: Duration) -> i32 {
        self.process.wait(limit)
    }

    /// Stops the daemon by SIGTERM; returns how long that took.
    ///
    /// # Panics
    ///
    /// When it takes more than 5 s or ends with an error.
    #[track_caller]
    pub fn stop(&mut self) -> Duration {
        let start = wait::now();
        self.signal(Signal::TERM);
        let code = self.wait_end(wait::secs(5));
        assert_eq!(code, 0, "weft on {} after SIGTERM:\n{}", self.host.name, self.log());
        wait::now() - start
    }

    /// Whether the daemon still runs.
    #[must_use]
    pub fn runs(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// Waits for quiet and checks that every frame is accounted for:
    /// `received + copies = delivered + answered + drops`.
    ///
    /// # Panics
    ///
    /// When the sides stay different for 5 s.
    #[track_caller]
    pub fn ledger_balanced(&self) {
        let balanced = wait::reached(wait::secs(5), || imbalance(&self.json("drops")) == 0);
        assert!(balanced, "the ledger of {} does not add up: {}", self.host.name, self.json("drops"));
    }

    /// Resident memory, in KiB.
    #[must_use]
    pub fn rss_kib(&self) -> u64 {
        status_field(&format!("/proc/{}/status", self.pid()), "VmRSS:")
    }

    /// Time on a processor and number of voluntary waits since the start, all threads together.
    #[must_use]
    pub fn effort(&self) -> (Duration, u64) {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).into_iter().flatten().flatten();
        tasks.fold((Duration::ZERO, 0), |(cpu, waits), task| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let ns = text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
            let path = task.path().join("status");
            let more = status_field(&path.to_string_lossy(), "voluntary_ctxt_switches:");
            (cpu + Duration::from_nanos(ns), waits + more)
        })
    }
}

impl Drop for Node {
    /// What a failed test needs beside the logs: what was dropped, and where the node believes the pods are.
    fn drop(&mut self) {
        if std::thread::panicking() && self.runs() {
            for query in [["drops"].as_slice(), &["fdb", "show"]] {
                let said = self.cli(query);
                eprintln!("--- weft {} on {}:", query.join(" "), self.host.name);
                said.out.lines().chain(said.err.lines()).for_each(|line| eprintln!("    {line}"));
            }
        }
    }
}

/// A number in a file of lines like `Name: 12 kB`.
fn status_field(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// A number, or the sum of the numbers in an object.
#[must_use]
pub fn count(value: &Value) -> u64 {
    match value {
        Value::Object(map) => map.values().map(count).sum(),
        other => other.as_u64().unwrap_or(0),
    }
}

/// By how many frames the two sides of a ledger differ.
fn imbalance(ledger: &Value) -> u64 {
    let sum = |keys: &[&str]| keys.iter().map(|key| count(&ledger[*key])).sum::<u64>();
    sum(&["received", "copies"]).abs_diff(sum(&["delivered", "answered", "drops"]))
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn write_config(host: &Host, config: &Config) -> PathBuf {
    let file = host.dir.join("weft.toml");
    std::fs::write(&file, config.text(host)).expect("the configuration is written");
    file
}

/// The binary under test: `WEFT_BIN`, or the workspace's own of the same profile as this test, built when it is
/// older than its sources.
///
/// # Panics
///
/// When it cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| std::env::var_os("WEFT_BIN").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.parent().and_then(Path::parent).expect("target/PROFILE/deps").to_owned();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let name = if profile.ends_with("release") { "release" } else { "dev" };
    let target = profile.parent().expect("target").to_str().expect("UTF-8");
    let words = [&cargo, "build", "-q", "-p", "weft", "--bin", "weft", "--profile", name];
    let done = std::process::Command::new(words[0])
        .args(&words[1..])
        .args(["--manifest-path", manifest, "--target-dir", target])
        .output()
        .expect("cargo runs");
    assert!(done.status.success(), "weft cannot be built: {}", String::from_utf8_lossy(&done.stderr));
    profile.join("weft")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_counts_numbers_and_objects_alike() {
        let text = r#"{"received": {"ports": 5, "underlay": 3}, "copies": 2, "delivered": 6, "answered": 1,
                       "drops": {"vlan": {"inbound": 1, "outbound": 1}}}"#;
        let mut ledger: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(imbalance(&ledger), 1);
        ledger["answered"] = 2.into();
        assert_eq!(imbalance(&ledger), 0);
    }
}
