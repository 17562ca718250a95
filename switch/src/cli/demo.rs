//! `weft demo`: several nodes and their pods on this machine, in a few seconds, without a trace.
//!
//! The demo runs no program but weft. Its process moves into a network and mount namespace of its own; nodes and pods
//! are child processes that die with it, and namespaces die with their processes. So however the demo ends, nothing is
//! left: no device, no namespace, no file.
//!
//! ```text
//! weft demo (the fabric: a bridge, 10.99.0.0/24, MTU 1500)
//!  ├─ weft run          node-1, 10.99.0.1 ── the real daemon
//!  ├─ weft demo-part    pod-1-1, 10.32.1.1/12 ── its eth0 is a TAP of node-1
//!  └─ ...
//! ```

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use encap::Format;

use super::{Outcome, complain};
use crate::clock;
use crate::io::netns;

use self::pod::{Answer, Order};
use self::report::{Row, Transfer};
use self::topology::{Lab, Plan};

mod node;
mod part;
mod pod;
mod report;
mod topology;

/// Where the demo keeps its files; hidden under an empty directory in memory first.
const DIRECTORY: &str = "/run";
/// Pings from every pod to every other.
const PINGS: u32 = 30;
/// How long the TCP client sends.
const TRANSFER: Duration = Duration::from_secs(2);
/// The most pods in all. Every pod has an ARP entry for every other, and the kernel keeps about 1,000 in all namespaces
/// together (`gc_thresh3`).
const MOST_PODS: u16 = 24;
/// How long everything may take before the demo gives up.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// How long the daemons may take to bring up their ports.
const START_LIMIT: Duration = Duration::from_secs(8);

/// Arguments of `weft demo`.
#[derive(Debug, Args)]
#[command(
    after_help = "It starts real daemons in namespaces of this machine, pings every pod from every pod, sends TCP between \
                  two hosts, shows each node's FDB and ledger, and leaves nothing behind. It needs root, or a system \
                  that lets users make namespaces.\n\nExample:\n  weft demo --nodes 4 --pods 1 --format geneve"
)]
pub(super) struct DemoArgs {
    /// How many nodes: hosts that run the daemon
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=8))]
    nodes: u8,
    /// How many pods on each node
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    pods: u8,
    /// How frames travel between nodes
    #[arg(long, value_enum, default_value_t = DemoFormat::Vxlan)]
    format: DemoFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DemoFormat {
    Vxlan,
    Geneve,
}

impl From<DemoFormat> for Format {
    fn from(format: DemoFormat) -> Self {
        match format {
            DemoFormat::Vxlan => Self::Vxlan,
            DemoFormat::Geneve => Self::Geneve,
        }
    }
}

pub(super) use self::part::{PartArgs, run as run_part};

pub(super) fn run(args: &DemoArgs) -> Outcome {
    let pods = u16::from(args.nodes) * u16::from(args.pods);
    if pods > MOST_PODS {
        complain(format_args!(
            "{} nodes with {} pods each are {pods} pods, and the demo takes {MOST_PODS}: ask for fewer --nodes or --pods",
            args.nodes, args.pods
        ));
        return Outcome::Usage;
    }
    if let Err(refusal) = enter() {
        complain(refusal);
        return Outcome::Failed;
    }
    let progress = Progress::start();
    let result = demonstrate(&Plan::new(args.nodes, args.pods, args.format.into()), &progress);
    progress.clear();
    match result {
        Ok(()) => Outcome::Ok,
        Err(error) => {
            complain(format_args!("the demo failed: {error:#}"));
            Outcome::Failed
        }
    }
}

/// Leaves the system's namespaces; the error is a line that says how to go on.
fn enter() -> Result<(), String> {
    match fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(format!("the demo may not open /dev/net/tun: run it as root: sudo {}", command()));
        }
        Err(error) => {
            return Err(format!(
                "the demo needs TAP devices, but /dev/net/tun cannot be opened ({error}): try `sudo modprobe tun`; in a \
                 container pass the device in, such as `--device /dev/net/tun`"
            ));
        }
    }
    netns::enter_sandbox(Path::new(DIRECTORY)).map(drop).map_err(|error| {
        let remedy = if rustix::process::getuid().is_root() {
            "root may not either, so this looks like a container: start it with `--cap-add SYS_ADMIN --cap-add NET_ADMIN \
             --device /dev/net/tun --security-opt apparmor=unconfined`"
                .to_owned()
        } else {
            format!("run it as root: sudo {}{}", command(), forbidding_sysctl().unwrap_or_default())
        };
        format!("the demo may not make network namespaces on this system ({error}): {remedy}")
    })
}

/// The command as the user typed it.
fn command() -> String {
    std::env::args().collect::<Vec<_>>().join(" ")
}

/// The setting that keeps ordinary users from user namespaces, if there is one, and how to change it.
fn forbidding_sysctl() -> Option<String> {
    [
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("user.max_user_namespaces", "0", "1000"),
    ]
    .into_iter()
    .find(|(name, forbidding, _)| {
        let value = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/")));
        value.is_ok_and(|value| value.trim() == *forbidding)
    })
    .map(|(name, _, allowing)| format!(", or allow it for users: sudo sysctl -w {name}={allowing}"))
}

/// The demo itself, step by step.
fn demonstrate(plan: &Plan, progress: &Progress) -> anyhow::Result<()> {
    let began = clock::now();
    progress.step("making namespaces");
    let mut lab = Lab::build(plan, Path::new(DIRECTORY))?;
    progress.step("starting the daemons");
    lab.start_daemons()?;
    lab.await_ports(began + START_LIMIT, clock::now)?;
    say(progress, &report::topology(plan));

    progress.step("pinging every pod from every pod");
    let rows = ping_all(&mut lab)?;
    say(progress, &report::pings(&rows, PINGS));
    progress.step("sending TCP between two hosts");
    let transfer = transfer(&mut lab)?;
    say(progress, &report::transfer(&transfer));
    progress.step("reading the ledgers");
    let (fdbs, ledgers) = (lab.fdbs()?, lab.ledgers()?);
    say(progress, &report::fdbs(&fdbs));
    say(progress, &report::ledgers(&ledgers));

    let complaints = report::complaints(&rows, PINGS, &transfer, &ledgers);
    if !complaints.is_empty() {
        bail!("{}{}", complaints.join("; "), lab.last_words());
    }
    let seconds = clock::now().duration_since(began).as_secs_f64();
    say(progress, &format!("All of it worked, in {seconds:.1} s. Nothing is left behind.\n"));
    Ok(())
}

/// Every pod pings all others, all of them at once.
fn ping_all(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    let all: Vec<Ipv4Addr> = lab.pods().map(|pod| pod.plan.address).collect();
    for pod in lab.pods_mut() {
        let targets = all.iter().copied().filter(|address| *address != pod.plan.address).collect();
        pod.part.tell(&Order::Ping { targets, count: PINGS })?;
    }
    let rows = lab.pods_mut().map(|pod| match pod.part.hear()? {
        Answer::Pinged(results) => Ok(Row { from: pod.plan.address, results }),
        other => Err(anyhow!("{} answered the pings with {other:?}", pod.plan.name)),
    });
    rows.collect()
}

/// One TCP flow from the first node's first pod to the second's.
fn transfer(lab: &mut Lab) -> anyhow::Result<Transfer> {
    let (client, server) = lab.two_hosts().context("a transfer needs two nodes")?;
    let to = SocketAddrV4::new(server.plan.address, 5001);
    server.part.tell(&Order::Serve { port: to.port() })?;
    match server.part.hear()? {
        Answer::Serving => {}
        other => bail!("{} cannot serve TCP: {other:?}", server.plan.name),
    }
    client.part.tell(&Order::Send { to, millis: u64::try_from(TRANSFER.as_millis())? })?;
    let (sent, micros) = match client.part.hear()? {
        Answer::Sent { octets, micros } => (octets, micros),
        other => bail!("{} cannot send TCP to {to}: {other:?}", client.plan.name),
    };
    match server.part.hear()? {
        Answer::Received { octets, intact } => {
            let (from, to) = (client.plan.name.clone(), server.plan.name.clone());
            Ok(Transfer { from, to, sent, received: octets, intact, micros })
        }
        other => bail!("{} received no TCP: {other:?}", server.plan.name),
    }
}

/// Writes a part of the report.
fn say(progress: &Progress, text: &str) {
    progress.clear();
    // Nobody to tell when standard output is closed; the exit code still says how it went.
    let _ = writeln!(io::stdout(), "{text}");
}

/// The line that says what the demo is doing, and the time limit that ends it.
struct Progress {
    step: Arc<Mutex<&'static str>>,
    shown: bool,
}

impl Progress {
    fn start() -> Self {
        let step = Arc::new(Mutex::new("starting"));
        let watched = Arc::clone(&step);
        thread::spawn(move || {
            thread::sleep(TIME_LIMIT);
            let step = *watched.lock().unwrap_or_else(PoisonError::into_inner);
            complain(format_args!(
                "the demo was not done within {} s, it was still {step}: is this machine very busy? Try fewer --nodes \
                 and --pods",
                TIME_LIMIT.as_secs()
            ));
            std::process::exit(Outcome::Failed as i32);
        });
        Self { step, shown: io::stderr().is_terminal() }
    }

    fn step(&self, step: &'static str) {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = step;
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[Kweft demo: {step} ...");
        }
    }

    fn clear(&self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
