//! Other programs: run to their end with a time limit, or kept running for as long as a value lives.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// Seconds that a command gets to end.
const LIMIT_S: u32 = 120;

/// What a command that ended left.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit code; 124 = it took too long.
    pub code: i32,
    /// What it printed.
    pub out: String,
    /// What it complained about.
    pub err: String,
}

impl Finished {
    /// Whether it ended well.
    #[must_use]
    pub const fn ok(&self) -> bool {
        self.code == 0
    }
}

/// Runs a command to its end, with something to read.
#[track_caller]
pub fn run_with(words: &[&str], input: &str) -> Finished {
    let mut child = Command::new("timeout")
        .args(["-k", "1", &LIMIT_S.to_string()])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot run {words:?}: {e}; the tests need Debian's coreutils"));
    // A program that ends without reading its input closes the pipe; its exit code tells.
    let _ = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
    let done = child.wait_with_output().unwrap_or_else(|e| panic!("{words:?}: {e}"));
    Finished {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&done.stdout).into_owned(),
        err: String::from_utf8_lossy(&done.stderr).into_owned(),
    }
}

/// Runs a command to its end; it may fail.
#[track_caller]
pub fn try_run(words: &[&str]) -> Finished {
    run_with(words, "")
}

/// Runs a command to its end and returns what it printed.
///
/// # Panics
///
/// When it fails.
#[track_caller]
pub fn run(words: &[&str]) -> String {
    let done = try_run(words);
    assert!(done.ok(), "{} failed ({}): {}{}", words.join(" "), done.code, done.err, done.out);
    done.out
}

/// A program that runs until this is dropped. It dies with the test, also when that is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it prints goes to the file `log`.
    #[track_caller]
    pub fn start(words: &[&str], env: &[(&str, &str)], log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("a log file");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .args(words)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle of the log"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {words:?}: {e}; the tests need Debian's util-linux"));
        Self { child, name: words.join(" "), log: log.to_owned() }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its exit code once it has ended; -1 for a signal.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().ok().flatten().map(|status| status.code().unwrap_or(-1))
    }

    /// Sends it a signal; nothing happens when it has ended.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid().cast_signed()) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for its end and returns the exit code.
    ///
    /// # Panics
    ///
    /// When it still runs after `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> i32 {
        let mut code = None;
        wait::until(limit, &format!("the end of {}", self.name), || {
            code = self.ended();
            code.is_some()
        });
        code.expect("it ended")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::TERM);
        }
        if !wait::reached(wait::secs(2), || self.ended().is_some()) {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(15).collect();
            eprintln!("--- last lines of {}:", self.name);
            tail.iter().rev().for_each(|line| eprintln!("    {line}"));
        }
    }
}
