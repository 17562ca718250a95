//! `weft demo` as a user runs it: it works, and however it ends, nothing is left.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// What a demo could leave on this machine, besides its processes.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    links: BTreeSet<String>,
    mounts: String,
    files: BTreeSet<String>,
}

impl Traces {
    fn now() -> Self {
        let names = |directory: &str| {
            let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
            entries.map(|entry| entry.path().display().to_string()).collect::<BTreeSet<_>>()
        };
        let files =
            ["/run", "/run/netns", "/run/weft", "/var/lib/weft"].into_iter().flat_map(names).collect();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        Self { links: names("/sys/class/net"), mounts, files }
    }
}

/// A demo that is running, and who belongs to it.
struct Demo {
    child: Child,
    stdout: BufReader<ChildStdout>,
    before: Traces,
}

/// A process and its network namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Member {
    pid: u32,
    netns: String,
}

impl Demo {
    fn start() -> Self {
        let before = Traces::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_weft"))
            .args(["demo", "--nodes", "2", "--pods", "2"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout, before }
    }

    /// Waits until the daemons run and the pings begin.
    fn await_topology(&mut self) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "TOPOLOGY\n", "{}", self.said());
    }

    fn said(&mut self) -> String {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// The demo's own process and its children.
    fn members(&self) -> Vec<Member> {
        let demo = self.child.id();
        let members = processes().filter(|&pid| pid == demo || parent(pid) == Some(demo));
        members.filter_map(|pid| Some(Member { pid, netns: netns(pid)? })).collect()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end, and fails if something is left.
    fn end(mut self, members: &[Member]) -> (ExitStatus, String) {
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).unwrap();
        let status = self.child.wait().unwrap();
        let mut left = Vec::new();
        for _ in 0..100 {
            left = processes().filter_map(|pid| Some(Member { pid, netns: netns(pid)? })).collect();
            left.retain(|process| members.iter().any(|m| m.pid == process.pid || m.netns == process.netns));
            if left.is_empty() {
                assert_eq!(Traces::now(), self.before);
                return (status, text);
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("still there after two seconds: {left:?}");
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// The namespace of a process that runs; a zombie has none.
fn netns(pid: u32) -> Option<String> {
    fs::read_link(format!("/proc/{pid}/ns/net")).ok()?.to_str().map(str::to_owned)
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn it_works_and_leaves_nothing() {
    let mut demo = Demo::start();
    demo.await_topology();
    let members = demo.members();
    assert_eq!(members.len(), 7, "the demo, 2 nodes and 4 pods: {members:?}");
    let namespaces: BTreeSet<_> = members.iter().map(|member| &member.netns).collect();
    assert_eq!(namespaces.len(), 7, "each in a namespace of its own");

    let (status, text) = demo.end(&members);
    assert!(status.success(), "{status}: {text}");
    for part in ["PING", "TCP", "FDB", "LEDGER", "Nothing is left behind."] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert_eq!(text.lines().find(|line| line.chars().count() > 80), None);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn ctrl_c_leaves_nothing() {
    let mut demo = Demo::start();
    demo.await_topology();
    let members = demo.members();
    demo.signal(Signal::INT);
    let (status, _) = demo.end(&members);
    assert_eq!(status.signal(), Some(2));
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn kill_leaves_nothing() {
    let mut demo = Demo::start();
    demo.await_topology();
    let members = demo.members();
    assert_eq!(members.len(), 7, "{members:?}");
    demo.signal(Signal::KILL);
    let (status, _) = demo.end(&members);
    assert_eq!(status.signal(), Some(9));
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn kill_before_anything_is_ready_leaves_nothing() {
    for milliseconds in [1, 5, 10, 20, 40, 80] {
        let demo = Demo::start();
        thread::sleep(Duration::from_millis(milliseconds));
        // The namespace tells the demo's processes from this one's.
        let own = netns(std::process::id());
        let mut members = demo.members();
        members.retain(|member| Some(&member.netns) != own.as_ref());
        demo.signal(Signal::KILL);
        demo.end(&members);
    }
}
