//! Child processes of the demo: a node or a pod, each alone in a network namespace of its own.
//!
//! Parent and child talk in JSON lines over the child's standard input and output.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, parent_id};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use rustix::process::Signal;

use super::pod::{self, Answer, Order};
use crate::cli::{Outcome, complain};
use crate::io::netns::{self, Netns, NetnsRef};

/// Arguments of the hidden `weft demo-part`.
#[derive(Debug, Args)]
pub(in crate::cli) struct PartArgs {
    /// What to be
    #[arg(value_enum)]
    kind: Kind,
    /// The process to die with
    #[arg(long)]
    parent: u32,
}

/// What a child process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Waits for its configuration, then becomes the daemon.
    Node,
    /// Carries out orders until its input ends.
    Pod,
}

/// A child process, seen from the demo. It ends with this value.
pub(super) struct Part {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Part {
    /// Starts a child; what it says on standard error goes to `log`.
    pub(super) fn start(kind: Kind, log: &Path) -> anyhow::Result<Self> {
        let kind = if kind == Kind::Node { "node" } else { "pod" };
        let mut child = Command::new("/proc/self/exe")
            .arg0("weft")
            .args(["demo-part", kind, "--parent"])
            .arg(std::process::id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log).with_context(|| format!("cannot create {}", log.display()))?)
            .spawn()
            .context("cannot start another process of weft")?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("a process was started without its pipes");
        };
        Ok(Self { child, orders, answers: BufReader::new(answers) })
    }

    /// Waits until the child is in its namespace, and opens that.
    pub(super) fn namespace(&mut self) -> anyhow::Result<Netns> {
        match self.hear()? {
            Answer::Ready => Ok(self.netns().open().context("cannot open a namespace just made")?),
            other => bail!("a process could not make its namespace: {other:?}"),
        }
    }

    /// The child's namespace, as a configuration names it.
    pub(super) fn netns(&self) -> NetnsRef {
        NetnsRef::Pid(self.pid())
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn tell(&mut self, order: &Order) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.orders.write_all(&line).context("a process of the demo does not listen any more")
    }

    pub(super) fn hear(&mut self) -> anyhow::Result<Answer> {
        let mut line = String::new();
        if self.answers.read_line(&mut line).context("a process of the demo does not answer")? == 0 {
            bail!("a process of the demo ended early");
        }
        Ok(serde_json::from_str(&line)?)
    }

    /// How the child ended, if it did.
    pub(super) fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child's side.
pub(in crate::cli) fn run(args: &PartArgs) -> Outcome {
    let result = die_with(args.parent).and_then(|()| netns::enter_new().map_err(Into::into)).map(drop);
    let result = result.and_then(|()| match args.kind {
        Kind::Node => become_daemon(),
        Kind::Pod => pod::obey(io::stdin().lock(), io::stdout().lock()),
    });
    match result {
        Ok(()) => Outcome::Ok,
        Err(error) => {
            // The demo shows this one; the other is for its log.
            let _ = pod::answer(&mut io::stdout().lock(), &Answer::Failed(format!("{error:#}")));
            complain(format_args!("{error:#}"));
            Outcome::Failed
        }
    }
}

/// Has the kernel kill this process when its parent ends, in whatever way; an `exec` keeps that.
fn die_with(parent: u32) -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from)?;
    if parent_id() != parent {
        bail!("process {parent} has ended; `weft demo-part` is started by `weft demo` only");
    }
    Ok(())
}

/// Waits for the order, then runs the daemon in this process.
fn become_daemon() -> anyhow::Result<()> {
    pod::answer(&mut io::stdout().lock(), &Answer::Ready)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let Order::Run { config } = serde_json::from_str(&line).context("the order to run")? else {
        bail!("a node only takes the order to run");
    };
    let mut daemon = Command::new("/proc/self/exe");
    daemon.arg0("weft").arg("run").arg("--config").arg(&config).stdin(Stdio::null()).stdout(Stdio::null());
    Err(daemon.exec()).context("cannot start the daemon")
}
