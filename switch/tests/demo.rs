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

const WEFT: &str = env!("CARGO_BIN_EXE_weft");

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
        Self::start_with(&["--nodes", "2", "--pods", "2"])
    }

    fn start_with(args: &[&str]) -> Self {
        let before = Traces::now();
        let mut child = Command::new(WEFT)
            .arg("demo")
            .args(args)
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

    /// Reads on up to and with a line that begins so.
    fn read_to(&mut self, start: &str) -> String {
        let mut text = String::new();
        while !text.lines().next_back().is_some_and(|line| line.starts_with(start)) {
            if self.stdout.read_line(&mut text).unwrap() == 0 {
                panic!("no {start:?} in {text}\n{}", self.said());
            }
        }
        text
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
    for part in ["MTU", "PING", "FRAME", "TCP", "FDB", "LEDGER", "Nothing is left behind."] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(text.contains("outside, in octets 0 to 49: none\n"), "{text}");
    assert_eq!(text.lines().find(|line| line.chars().count() > 80), None);
    assert_eq!(text.chars().find(|c| c.is_control() && *c != '\n'), None, "codes in {text:?}");
}

/// Runs a command to its end; its exit code, standard output and standard error.
fn run(program: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn what_cannot_be_asked_for_is_refused_before_anything_is_made() {
    let refused = |args: &[&str]| {
        let (code, stdout, stderr) = run(WEFT, &[&["demo"], args].concat());
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{args:?}: {stderr}");
        stderr
    };
    assert!(refused(&["-j"]).contains("leave -j out"));
    assert!(refused(&["--nodes", "9"]).contains("2..=8"));
    assert!(refused(&["--nodes", "1"]).contains("2..=8"));
    assert!(refused(&["--pods", "0"]).contains("1..=8"));
    assert!(refused(&["--nodes", "8", "--pods", "4"]).contains("32 pods, and the demo takes 24"));
    assert!(refused(&["--format", "gre"]).contains("possible values: vxlan, geneve"));
    assert!(refused(&["--capture", "-"]).contains("--capture demo.pcap"));
}

#[test]
fn a_capture_file_that_cannot_be_made_fails_at_once_and_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing/demo.pcap");
    let (code, stdout, stderr) = run(WEFT, &["demo", "--capture", path.to_str().unwrap()]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains(path.to_str().unwrap()) && stderr.contains("directory that exists"), "{stderr}");
}

/// The number before a word.
fn number_before(text: &str, word: &str) -> usize {
    let words: Vec<_> = text.split_whitespace().collect();
    let at = words.iter().position(|w| *w == word).unwrap_or_else(|| panic!("no {word} in {text}"));
    words[at - 1].parse().unwrap()
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn wireshark_and_tcpdump_read_in_the_capture_what_the_demo_says() {
    for format in ["vxlan", "geneve"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("demo.pcap");
        let file = path.to_str().unwrap();
        let demo = Demo::start_with(&["--nodes", "2", "--pods", "1", "--format", format, "--capture", file]);
        let (status, report) = demo.end(&[]);
        assert!(status.success(), "{report}");
        assert!(report.ends_with(&format!("Nothing is left behind but {file}.\n")), "{report}");

        let fields =
            ["-T", "fields", "-e", "frame.len", "-e", "ip.src", "-e", "tcp.len", "-e", "_ws.malformed"];
        let (_, rows, _) = run("tshark", &[&["-n", "-r", file], fields.as_slice()].concat());
        let rows: Vec<Vec<_>> = rows.lines().map(|row| row.split('\t').collect()).collect();
        let capture = report.lines().find(|line| line.starts_with("CAPTURE")).unwrap();
        assert_eq!(rows.len(), number_before(capture, "packets"), "{format}");
        for row in &rows {
            assert_eq!(row[3], "", "{format}: malformed: {row:?}");
            assert!(row[0].parse::<usize>().unwrap() <= 1514, "{format}: longer than a wire's: {row:?}");
            assert!(!row[1].starts_with("10.32."), "{format}: a pod's address outside: {row:?}");
        }
        let tcp: usize = rows.iter().filter_map(|row| row[2].parse::<usize>().ok()).sum();
        assert!(tcp >= 4_000_000 || report.contains("too fast"), "{format}: {tcp} octets of TCP");

        // tcpdump breaks the two headers' line where it likes.
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let said: Vec<_> =
            report.lines().skip_while(|line| !line.contains("As tcpdump says it")).skip(1).take(2).collect();
        let (_, theirs, _) = run("tcpdump", &["-n", "-t", "-r", file]);
        assert!(flat(&theirs).contains(&flat(&said.join(" "))), "{format}: tcpdump does not say {said:?}");
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_kept_demo_answers_the_commands_that_it_prints_until_it_is_interrupted() {
    let mut demo = Demo::start_with(&["--nodes", "2", "--pods", "1", "--keep"]);
    demo.read_to("IT RUNS until Ctrl-C");
    let guide = demo.read_to("  node-2");
    let members = demo.members();
    assert_eq!(members.len(), 5, "the demo, 2 nodes and 2 pods: {members:?}");

    let commands: Vec<_> = guide.lines().take_while(|line| !line.starts_with("Processes")).collect();
    let commands: Vec<_> = commands.iter().filter_map(|line| line.strip_prefix("  ")).collect();
    let (export, commands) = commands.split_first().unwrap();
    let (watch, ask): (Vec<&str>, Vec<&str>) =
        commands.iter().copied().partition(|command| command.contains("tcpdump"));
    assert!(watch.len() == 2 && ask.len() == 8, "{guide}");
    // Pings that both watchers see.
    let background =
        ask.iter().find(|command| command.contains(" ping ")).unwrap().replace("-c 3", "-i 0.2 -c 100");
    let pinging =
        Command::new("sh").args(["-c", &format!("exec {background}")]).stdout(Stdio::null()).spawn();
    let mut pinging = pinging.unwrap();
    let results: Vec<_> = ask
        .iter()
        .map(|command| format!("{export}; {command}"))
        .chain(watch.iter().map(|command| format!("timeout 10 {command} -c 4")))
        .map(|script| (run("sh", &["-c", &script]), script))
        .collect();
    pinging.kill().unwrap();
    pinging.wait().unwrap();
    for ((code, stdout, stderr), script) in &results {
        assert_eq!(*code, Some(0), "{script}: {stdout}{stderr}");
    }
    let said = |what: &str| &results.iter().find(|(_, script)| script.contains(what)).unwrap().0.1;
    assert!(said(" status").contains("node-1") && said("--socket").contains("node-2"));
    assert!(said(" ping ").contains(" 0% packet loss"));
    assert!(said("udp port").contains("VXLAN") && !said("-i eth0").contains("VXLAN"));

    demo.signal(Signal::INT);
    let (status, text) = demo.end(&members);
    assert!(status.success(), "{status}");
    assert!(text.ends_with("Nothing is left behind.\n"), "{text}");
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_report_that_cannot_be_written_fails_in_one_line_and_leaves_nothing() {
    let before = Traces::now();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut demo = Command::new(WEFT);
    demo.args(["demo", "--nodes", "2", "--pods", "1"]).stdin(Stdio::null()).stdout(full);
    let output = demo.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("cannot write to standard output: No space left on device"), "{said}");
    assert_eq!(Traces::now(), before);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn on_a_terminal_a_line_of_progress_is_written_over_without_escape_codes() {
    let command = format!("{WEFT} demo --nodes 2 --pods 1");
    let (code, screen, _) = run("script", &["-qec", &command, "/dev/null"]);
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("weft demo: 3/6 pinging every pod from every pod ..."), "{screen}");
    assert!(!screen.contains('\x1b'), "{screen:?}");
    let last = screen.lines().next_back().unwrap();
    assert_eq!(last.rsplit('\r').find(|part| !part.trim().is_empty()), Some("Nothing is left behind."));
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
