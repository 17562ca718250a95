//! `weft demo`: several nodes and their pods on this machine, in a few seconds, without a trace.
//!
//! The demo runs no program but weft. Its process moves into a network and mount namespace of its own; nodes and pods
//! are child processes that die with it, and namespaces die with their processes. So however the demo ends, nothing is
//! left: no device, no namespace, no file but the capture that was asked for.
//!
//! ```text
//! weft demo (the fabric: a bridge, 10.99.0.0/24, MTU 1500)
//!  ├─ weft run          node-1, 10.99.0.1 ── the real daemon
//!  ├─ weft demo-part    pod-1-1, 10.32.1.1/12 ── its eth0 is a TAP of node-1
//!  └─ ...
//! ```

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use encap::Format;

use super::{Global, Outcome, complain, write_out};
use crate::clock;
use crate::io::link::{ANYWHERE, Links, source_address_to};
use crate::io::netns;

use self::capture::{Capture, Captured, PcapFile};
use self::dissect::Names;
use self::keep::Site;
use self::pod::{Answer, Order};
use self::progress::Progress;
use self::report::{HostLink, Row, Transfer};
use self::topology::{Lab, Plan};

mod capture;
mod dissect;
mod keep;
mod node;
mod part;
mod pod;
mod progress;
mod report;
mod topology;

/// Where the demo keeps its files; hidden under an empty directory in memory first.
const DIRECTORY: &str = "/run";
/// Pings from every pod to every other.
const PINGS: u32 = 30;
/// How long the TCP client sends.
const TRANSFER: Duration = Duration::from_secs(2);
/// Octets of TCP that go into a capture file: enough to look at, little enough to open.
const CAPTURED_TCP: u64 = 4_000_000;
/// How long they may take.
const CAPTURED_TRANSFER: Duration = Duration::from_secs(3);
/// The most pods in all. Every pod has an ARP entry for every other, and the kernel keeps about 1,000 in all namespaces
/// together (`gc_thresh3`).
const MOST_PODS: u16 = 24;
/// How long the daemons may take to bring up their ports.
const START_LIMIT: Duration = Duration::from_secs(8);

/// Arguments of `weft demo`.
#[derive(Debug, Args)]
#[command(
    after_help = "It starts real daemons in namespaces of this machine, pings every pod from every pod, takes one of \
                  these pings apart as it crosses the underlay, sends TCP between two hosts, shows each node's FDB and \
                  ledger, and leaves nothing behind. It needs root, or a system that lets users make namespaces. At \
                  most 24 pods in all.\n\nExamples:\n  \
                  weft demo --nodes 4 --pods 1 --format geneve\n  \
                  weft demo --capture demo.pcap     and then: wireshark demo.pcap\n  \
                  weft demo --keep                  look around until Ctrl-C"
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
    /// Write what crosses the underlay to FILE (pcap), for Wireshark and tcpdump
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// Leave it running, and say how to look around; Ctrl-C ends it
    #[arg(long)]
    keep: bool,
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

pub(super) fn run(global: &Global, args: &DemoArgs) -> Outcome {
    if let Err(refusal) = check(global, args) {
        complain(refusal);
        return Outcome::Usage;
    }
    // First of all, as the sandbox hides /run and this host's links.
    let file = match args.capture.as_deref().map(|path| (path, PcapFile::create(path))) {
        Some((path, Err(error))) => {
            complain(format_args!(
                "cannot write {}: {error}; name a file in a directory that exists and may be written to",
                path.display()
            ));
            return Outcome::Failed;
        }
        file => file.and_then(|(_, file)| file.ok()),
    };
    let (host, user) = (host_link(), fs::read_link("/proc/self/ns/user").ok());
    if let Err(refusal) = enter() {
        complain(refusal);
        return Outcome::Failed;
    }
    let weft = std::env::args().next().unwrap_or_else(|| "weft".to_owned());
    let own_user = fs::read_link("/proc/self/ns/user").ok() != user;
    let site = Site { pid: std::process::id(), weft, own_user };
    let plan = Plan::new(args.nodes, args.pods, args.format.into());
    let mut progress = Progress::start(if file.is_some() { 7 } else { 6 });
    let result = demonstrate(&plan, host.as_ref(), file, &mut progress).and_then(|mut lab| {
        if args.keep {
            keep(&mut lab, &plan, &site)?;
        }
        end(lab, args.capture.as_deref())
    });
    progress.finish();
    match result {
        Ok(()) => Outcome::Ok,
        Err(error) => {
            complain(format_args!("the demo failed: {error:#}"));
            Outcome::Failed
        }
    }
}

/// What the parser does not know of the arguments.
fn check(global: &Global, args: &DemoArgs) -> Result<(), String> {
    let pods = u16::from(args.nodes) * u16::from(args.pods);
    if pods > MOST_PODS {
        return Err(format!(
            "{} nodes with {} pods each are {pods} pods, and the demo takes {MOST_PODS}: ask for fewer --nodes or --pods",
            args.nodes, args.pods
        ));
    }
    if global.json {
        return Err("the demo has no JSON, it is for people: leave -j out; with --keep, -j works for every query of its \
                    daemons"
            .to_owned());
    }
    if args.capture.as_deref() == Some(Path::new("-")) {
        return Err("--capture takes a file, as the report goes to standard output: try --capture demo.pcap"
            .to_owned());
    }
    Ok(())
}

/// The link that this host's default route leads through; `None` where there is none.
fn host_link() -> Option<HostLink> {
    let links = Links::open().ok()?;
    ANYWHERE.into_iter().find_map(|to| {
        let from = source_address_to(to).ok()?;
        let name = links.by_address(from).ok()??.name;
        Some(HostLink { name, mtu: links.link_mtu_to(to, from).ok()?? })
    })
}

/// Leaves the system's namespaces; the error is a line that says how to go on.
fn enter() -> Result<(), String> {
    match fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => {}
        Err(error)
            if error.kind() == io::ErrorKind::PermissionDenied && !rustix::process::getuid().is_root() =>
        {
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
fn demonstrate(
    plan: &Plan,
    host: Option<&HostLink>,
    file: Option<PcapFile>,
    progress: &mut Progress,
) -> anyhow::Result<Lab> {
    let began = clock::now();
    let path = file.as_ref().map(|file| file.path().to_owned());
    progress.step("making namespaces");
    let mut lab = Lab::build(plan, Path::new(DIRECTORY))?;
    let names = Names::of(plan);
    // While packets are looked at, each is one datagram, as on a wire.
    lab.cut_batches(true)?;
    let capture = Capture::start(lab.cables().to_owned(), names.clone(), file)?;
    progress.step("starting the daemons");
    lab.start_daemons()?;
    lab.await_ports(began + START_LIMIT, clock::now)?;
    let mtus = lab.port_mtus()?;
    say(progress, &report::topology(plan))?;
    say(progress, &report::mtu(plan.format, host, &mtus))?;

    progress.step("pinging every pod from every pod");
    let rows = ping_all(&mut lab)?;
    say(progress, &report::pings(&rows, PINGS))?;
    let mut transfers = Vec::new();
    if path.is_some() {
        progress.step("sending some TCP, for the capture");
        transfers.push(transfer(&mut lab, CAPTURED_TRANSFER, CAPTURED_TCP)?);
    }
    progress.step("taking a frame apart");
    let captured = capture.stop()?;
    lab.cut_batches(false)?;
    let captured_tcp = transfers.first().map_or(0, |transfer| transfer.sent);
    show(progress, (&captured, captured_tcp), &names, path.as_deref())?;

    progress.step("sending TCP between two hosts");
    let transfer = transfer(&mut lab, TRANSFER, u64::MAX)?;
    say(progress, &report::transfer(&transfer))?;
    progress.step("reading the ledgers");
    let (fdbs, ledgers) = (lab.fdbs()?, lab.ledgers()?);
    say(progress, &report::fdbs(&fdbs))?;
    say(progress, &report::ledgers(&ledgers))?;

    transfers.push(transfer);
    let mut complaints = report::complaints(&rows, PINGS, &transfers, &ledgers);
    complaints.extend(report::complaints_of_capture(&captured));
    if !complaints.is_empty() {
        bail!("{}{}", complaints.join("; "), lab.last_words());
    }
    progress.finish();
    let seconds = clock::now().duration_since(began).as_secs_f64();
    say(progress, &format!("All of it worked, in {seconds:.1} s."))?;
    Ok(lab)
}

/// Shows what was seen on the underlay.
fn show(
    progress: &Progress,
    (captured, tcp): (&Captured, u64),
    names: &Names,
    path: Option<&Path>,
) -> anyhow::Result<()> {
    let frame = captured.ping.as_deref().and_then(|packet| dissect::render(packet, names));
    if let Some(frame) = frame {
        say(progress, &report::frame(&frame, captured))?;
    }
    if let Some(path) = path {
        say(progress, &report::capture(path, captured, tcp))?;
    }
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

/// One TCP flow from the first node's first pod to the second's, for so long or until so much is sent.
fn transfer(lab: &mut Lab, time: Duration, most: u64) -> anyhow::Result<Transfer> {
    let (client, server) = lab.two_hosts().context("a transfer needs two nodes")?;
    let to = SocketAddrV4::new(server.plan.address, 5001);
    server.part.tell(&Order::Serve { port: to.port() })?;
    match server.part.hear()? {
        Answer::Serving => {}
        other => bail!("{} cannot serve TCP: {other:?}", server.plan.name),
    }
    client.part.tell(&Order::Send { to, millis: u64::try_from(time.as_millis())?, most })?;
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

/// Takes it down.
fn end(lab: Lab, capture: Option<&Path>) -> anyhow::Result<()> {
    drop(lab);
    match capture {
        None => print("Nothing is left behind."),
        Some(path) => print(&format!("Nothing is left behind but {}.", path.display())),
    }
}

/// Leaves it running until the user ends it.
fn keep(lab: &mut Lab, plan: &Plan, site: &Site) -> anyhow::Result<()> {
    let guide = keep::guide(site, &lab.handles(), dissect::port(plan.format));
    print(&guide.context("a demo has two nodes")?)?;
    keep::wait(lab)?;
    print("")
}

/// Writes a part of the report.
fn say(progress: &Progress, text: &str) -> anyhow::Result<()> {
    progress.clear();
    print(text)
}

fn print(text: &str) -> anyhow::Result<()> {
    write_out(&format!("{text}\n")).context("cannot write to standard output")
}
