//! Network namespaces that go when they are dropped.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::command::{Finished, Process, run, run_with, try_run};

/// All namespaces and scratch folders start with this and the id of the process that made them.
pub const PREFIX: &str = "weft-t";

/// A network namespace.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes a namespace with its loopback up, and without duplicate address detection, which takes a second.
    ///
    /// # Panics
    ///
    /// Without root, or without Debian's `iproute2`.
    #[must_use]
    #[track_caller]
    pub fn new(label: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static REAP: Once = Once::new();
        assert!(rustix::process::geteuid().is_root(), "network namespaces need root: run sudo ./test.sh");
        REAP.call_once(reap);
        let name = format!("{PREFIX}{}-{}-{label}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run(&["ip", "netns", "add", &name]);
        let ns = Self { name };
        ns.ip("link set lo up");
        for key in ["conf.all.accept_dad", "conf.default.accept_dad"] {
            ns.exec(&format!("sysctl -qw net.ipv6.{key}=0"));
        }
        ns
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    /// Runs `ip` with these words in it, and returns what it printed.
    #[track_caller]
    pub fn ip(&self, words: &str) -> String {
        let mut all = vec!["ip", "-n", &self.name];
        all.extend(words.split_whitespace());
        run(&all)
    }

    /// Runs a command line in it to its end, and returns what it printed.
    #[track_caller]
    pub fn exec(&self, line: &str) -> String {
        let done = self.try_exec(line);
        assert!(done.ok(), "{line} in {} failed ({}): {}{}", self.name, done.code, done.err, done.out);
        done.out
    }

    /// Runs a command line in it to its end; it may fail.
    #[track_caller]
    pub fn try_exec(&self, line: &str) -> Finished {
        let mut all = vec!["ip", "netns", "exec", &self.name];
        all.extend(line.split_whitespace());
        try_run(&all)
    }

    /// Loads an nftables script in it.
    #[track_caller]
    pub fn nft(&self, script: &str) {
        let done = run_with(&["ip", "netns", "exec", &self.name, "nft", "-f", "-"], script);
        assert!(done.ok(), "nft in {}: {}", self.name, done.err);
    }

    /// Starts a program in it. The mount namespace stays ours, as for a daemon on a real host.
    #[track_caller]
    pub fn start(&self, words: &[&str], env: &[(&str, &str)], log: &Path) -> Process {
        let net = format!("--net={}", self.path());
        let mut all = vec!["nsenter", &net, "--"];
        all.extend(words);
        Process::start(&all, env, log)
    }

    /// Runs a closure on a thread of its own that lives in this namespace.
    ///
    /// # Panics
    ///
    /// When the closure panics, with what it said.
    #[track_caller]
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.join();
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread into this namespace, for good.
    pub fn join(&self) {
        let file = File::open(self.path()).expect("the namespace's file");
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("setns");
    }

    /// The names of the devices in it.
    #[must_use]
    pub fn devices(&self) -> Vec<String> {
        let listed = self.ip("-o link show");
        let name = |line: &str| line.split(": ").nth(1).map(|n| n.split('@').next().unwrap_or(n).to_owned());
        listed.lines().filter_map(name).collect()
    }

    /// Deletes the namespace before its time, as an operator would.
    pub fn delete(&self) {
        run(&["ip", "netns", "del", &self.name]);
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if Path::new(&self.path()).exists() {
            remove(&self.name);
        }
    }
}

/// Removes a namespace and whatever still runs in it.
fn remove(name: &str) {
    let inside = try_run(&["ip", "netns", "pids", name]).out;
    for pid in inside.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
        // Our own threads are listed as us while they are inside.
        if pid != rustix::process::getpid() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    let _ = try_run(&["ip", "netns", "del", name]);
}

/// Removes what test processes that no longer live have left.
fn reap() {
    let names = |dir: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.filter_map(|e| e.file_name().into_string().ok()).filter(|n| is_stale(n)).collect()
    };
    names(Path::new("/run/netns")).iter().for_each(|name| remove(name));
    let tmp = std::env::temp_dir();
    for name in names(&tmp) {
        let _ = std::fs::remove_dir_all(tmp.join(name));
    }
}

/// Whether the process that this name tells of is gone.
fn is_stale(name: &str) -> bool {
    let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
    pid.and_then(|pid| pid.parse::<u32>().ok())
        .is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}
