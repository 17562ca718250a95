//! The daemon put together: sockets, workers, control, API; and taken apart again when it is told to end.
//!
//! 1. [`run`] finds the underlay addresses and binds their ports, before anything else is touched.
//! 2. Workers start on threads of their own; they talk to control by bounded channels.
//! 3. Control runs on this thread: requests of the API, events of workers, signals, and a tick each half second.
//! 4. At the end ports are let go, then the workers stop, then the devices close.

use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, anyhow, bail};
use crossbeam_channel::bounded;
use encap::Format;
use encap::coalesce::Offload;
use fdb::{Limits, Shared, Table};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;

use self::addresses::{Addresses, underlay_addresses};
use self::devices::HostDevices;
use self::gossip::{Prepared, Running};
use self::paths::Paths;
use crate::clock;
use crate::control::api::{self, Api, Call};
use crate::control::config::{Config, LogConfig, LogFormat, Poll, Workers};
use crate::control::{Carried, Control, Setup};
use crate::counters::PaddedCounters;
use crate::datapath::worker::{Parts, Polling, Update, Worker};
use crate::events::WorkerEvent;
use crate::io::link::Changes;
use crate::io::poll::{Waker, may_run_first};
use crate::io::udp::{self, BindError, Receiver, SendSockets};
use crate::io::{owner, tap};

mod addresses;
mod devices;
mod doctor;
mod gossip;
mod paths;

pub(crate) use self::doctor::{look_at_host, look_before_start};

/// Events that may wait for control; learning more addresses than this at once takes another round.
const EVENTS: usize = 4096;
/// Topologies that may wait for a worker.
const UPDATES: usize = 64;

type WorkerThread = JoinHandle<std::io::Result<()>>;
type LogHandle = tracing_subscriber::reload::Handle<EnvFilter, tracing_subscriber::Registry>;

/// Runs the daemon until SIGTERM or SIGINT.
///
/// # Errors
///
/// What kept it from starting, or from going on, with the next step for a person.
pub(crate) fn run(config: Config, path: &Path) -> Result<()> {
    let log = start_log(&config.log)?;
    // Before anything is touched.
    underlay_addresses(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (signals, api) = {
        let _inside = runtime.enter();
        // First: who is stopped while it starts is to take its socket away, too.
        (Signals::catch()?, Api::bind(&config.node.socket)?)
    };
    let mut host = Host { path, api: &api, signals, log: &log };
    let mut carried = Carried::new(config, clock::now());
    let result = loop {
        match runtime.block_on(host.live(carried)) {
            Ok(End::Moved(goes_on)) => carried = *goes_on,
            Ok(End::Stopped) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    // What is still in the runtime belongs to clients that are gone.
    runtime.shutdown_background();
    result
}

/// What stays the same when the underlay address of this host changes.
struct Host<'a> {
    path: &'a Path,
    api: &'a Api,
    signals: Signals,
    log: &'a LogHandle,
}

/// Why the daemon does not go on as it was.
enum End {
    /// It was told to end.
    Stopped,
    /// The host has another underlay address, so that all sockets are opened anew. The TAPs stay, and what the command line
    /// added.
    Moved(Box<Carried>),
}

fn start_log(config: &LogConfig) -> Result<LogHandle> {
    use tracing_subscriber::prelude::*;
    let filter = EnvFilter::try_new(&config.level).context("[log] level")?;
    let (filter, handle) = tracing_subscriber::reload::Layer::new(filter);
    let json = match config.format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    if json {
        registry.with(layer.json().flatten_event(true)).init();
    } else {
        registry.with(layer.with_ansi(std::io::stderr().is_terminal())).init();
    }
    Ok(handle)
}

/// The moving parts that exist before control does.
struct Fabric {
    devices: HostDevices,
    shared: Arc<Shared>,
    counters: Vec<Arc<PaddedCounters>>,
    path_counters: Option<Arc<PaddedCounters>>,
    events: crossbeam_channel::Receiver<WorkerEvent>,
    workers: Vec<WorkerThread>,
}

impl Fabric {
    fn start(config: &Config, addresses: &[IpAddr], gossip: Option<&Prepared>) -> Result<Self> {
        let count = worker_count(config.datapath.workers);
        let gro = config.datapath.udp_gro && udp::probe_gro();
        let own = addresses.first().copied().unwrap_or(IpAddr::from([127, 0, 0, 1]));
        let segments = udp::probe_segments(config.datapath.udp_segment, own);
        let mut receivers = bind_receivers(config, addresses, count, gro)?;
        let sockets = Arc::new(
            SendSockets::bind(addresses, config.underlay.source_ports)
                .with_context(|| {
                    format!("cannot open the send sockets on {addresses:?}: check [underlay] address, or lower source_ports")
                })?,
        );
        let shared = Arc::new(Shared::new());
        let (event_sender, events) = bounded(EVENTS);
        let not_first = why_not_first(config, count);
        let buffer_sizes = (buffer_size(&receivers), sockets.buffer_size());
        let mut devices = HostDevices::new(config, addresses, (segments, gro), buffer_sizes, not_first);
        let paths = gossip.map(|gossip| watch_paths(gossip, &sockets, &event_sender)).transpose()?;
        let lacks = [
            ("udp_segment", config.datapath.udp_segment > 0 && segments == 0),
            ("udp_gro", config.datapath.udp_gro && !gro),
        ];
        for (name, _) in lacks.into_iter().filter(|(_, lacks)| *lacks) {
            let refused = Some(std::io::ErrorKind::Unsupported.into());
            // The channel is empty yet.
            let _ = event_sender.try_send(WorkerEvent::Offload { name, peer: None, refused });
        }
        let mut counters = Vec::new();
        let mut workers = Vec::new();
        for index in 0..count {
            let (update_sender, updates) = bounded::<Update>(UPDATES);
            let waker = Arc::new(Waker::new()?);
            let own = Arc::new(PaddedCounters::default());
            let worker = Worker::new(Parts {
                index,
                counters: Arc::clone(&own),
                shared: Arc::clone(&shared),
                receivers: receivers.pop().unwrap_or_default(),
                sockets: Arc::clone(&sockets),
                source_ports: config.underlay.source_ports,
                segments,
                offload: Offload {
                    tcp: config.datapath.tso,
                    udp: config.datapath.tso && config.datapath.uso,
                },
                polling: match config.datapath.poll {
                    Poll::Adaptive => Polling::Adaptive,
                    Poll::Interrupt => Polling::Interrupt,
                    Poll::Busy => Polling::Busy,
                },
                run_first: not_first.is_none(),
                updates,
                events: event_sender.clone(),
                control: paths.as_ref().map(|(paths, _)| paths.datagrams()),
                waker: Arc::clone(&waker),
            })?;
            devices.add_worker(update_sender, waker);
            counters.push(own);
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            workers.push(thread.spawn(move || worker.run())?);
        }
        let path_counters = paths.map(|(paths, own)| {
            devices.set_paths(paths);
            own
        });
        Ok(Self { devices, shared, counters, path_counters, events, workers })
    }
}

/// Starts the watch over paths, which sends by the workers' sockets and counts for itself.
fn watch_paths(
    gossip: &Prepared,
    sockets: &Arc<SendSockets>,
    events: &crossbeam_channel::Sender<WorkerEvent>,
) -> Result<(Paths, Arc<PaddedCounters>)> {
    let (me, mode) = gossip.seal();
    let (sockets, own) = (Arc::clone(sockets), Arc::default());
    let start = paths::Start { me, mode, sockets, counters: Arc::clone(&own), events: events.clone() };
    Ok((Paths::start(start)?, own))
}

/// One worker for each two CPUs: the pods need the other half.
fn worker_count(workers: Workers) -> usize {
    match workers {
        Workers::Fixed(count) => usize::from(count),
        Workers::Auto => (cpus() / 2).clamp(1, 4),
    }
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What keeps so many workers from running before the pods under load.
fn why_not_first(config: &Config, workers: usize) -> Option<&'static str> {
    if config.datapath.poll == Poll::Busy {
        // Who polls busily never lets its CPU go.
        return Some("[datapath] poll = \"busy\"");
    }
    if workers >= cpus() {
        return Some(
            "there are as many workers as CPUs, and one must be left to the pods: lower [datapath] workers",
        );
    }
    let refused = "it needs CAP_SYS_NICE, and real-time time where the control group limits that (cpu.rt_runtime_us); \
                   pods on a full CPU delay frames of others by milliseconds";
    (!may_run_first()).then_some(refused)
}

/// For each worker the receive sockets of both encapsulations on every underlay address. They stay as many as they are
/// until the daemon ends, because flows move when their number changes ([`Receiver::bind`]).
fn bind_receivers(
    config: &Config,
    addresses: &[IpAddr],
    workers: usize,
    gro: bool,
) -> Result<Vec<Vec<(Format, Receiver)>>> {
    let mut all: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    let ports = [(Format::Vxlan, config.underlay.vxlan_port), (Format::Geneve, config.underlay.geneve_port)];
    for &address in addresses {
        for (format, port) in ports {
            let sockets = Receiver::bind(SocketAddr::new(address, port), workers, gro)
                .map_err(|error| explain_bind(error, format))?;
            for (worker, socket) in all.iter_mut().zip(sockets) {
                worker.push((format, socket));
            }
        }
    }
    Ok(all)
}

fn explain_bind(error: BindError, format: Format) -> anyhow::Error {
    match error {
        BindError::InUse { address } => {
            let other = format!("choose another [underlay] {format}_port (all peers must then send to it)");
            match owner::udp_port_owner(address.ip(), address.port()) {
                Some(owner) => {
                    anyhow!("UDP {address} is in use by {}: {}, or {other}", owner.name, owner.remedy)
                }
                None => anyhow!("UDP {address} was in use a moment ago: start again, or {other}"),
            }
        }
        BindError::Failed { address, error } if error.kind() == std::io::ErrorKind::AddrNotAvailable => {
            anyhow!(
                "this host does not have the underlay address {}: correct [underlay] address; ip address shows what \
             there is",
                address.ip()
            )
        }
        error @ BindError::Failed { .. } => error.into(),
    }
}

fn buffer_size(receivers: &[Vec<(Format, Receiver)>]) -> usize {
    receivers.iter().flatten().map(|(_, receiver)| receiver.buffer_size()).min().unwrap_or(0)
}

/// What the daemon is told by signals.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

impl Host<'_> {
    /// Everything from the sockets to the end, with the addresses that the host has now.
    async fn live(&mut self, carried: Carried) -> Result<End> {
        let config = carried.config().clone();
        let addresses = underlay_addresses(&config)?;
        let gossip = Prepared::new(&config, &addresses, carried.members())?;
        let fabric = Fabric::start(&config, &addresses, gossip.as_ref())?;
        let Fabric { devices, shared, counters, path_counters, events, workers } = fabric;
        let path = self.path.to_owned();
        let setup = Setup {
            carried,
            load: Box::new(move || Config::load(&path)),
            devices,
            table: Table::new(Limits::default(), shared),
            counters,
            path_counters,
            addresses: addresses.clone(),
            gossip: gossip.as_ref().map(Prepared::setup),
        };
        let events = forward(events)?;
        let mut control = Control::new(setup, clock::now());
        // Only now there is something to say.
        let gossip = gossip.map(Prepared::start).transpose()?;
        say_started(&mut control);
        let moved = self.serve(&mut control, (events, gossip.as_ref()), &workers, addresses.clone()).await?;
        if moved {
            tracing::warn!(
                event = "address_changed",
                was = ?addresses,
                "this host has another underlay address: sockets are opened anew and other nodes told; pods keep theirs"
            );
        } else {
            tracing::info!(event = "stopping", "weft ends");
        }
        // First, so that nobody sends here any more when the ports go.
        let left = gossip.map_or(Ok(()), Running::end);
        let carried = moved.then(|| control.move_out());
        if !moved {
            control.shutdown();
        }
        control.devices_mut().stop_workers();
        finish(workers)?;
        if control.devices_mut().stop_paths().is_err() {
            bail!("the watch over paths panicked; the log has its message. Please report it");
        }
        left?;
        Ok(carried.map_or(End::Stopped, |carried| End::Moved(Box::new(carried))))
    }

    /// Control's own loop; whether it ends because the host moved.
    async fn serve(
        &mut self,
        control: &mut Control<HostDevices>,
        (mut events, gossip): (mpsc::Receiver<WorkerEvent>, Option<&Running>),
        workers: &[WorkerThread],
        addresses: Vec<IpAddr>,
    ) -> Result<bool> {
        let (calls_in, mut calls) = mpsc::channel::<Call>(api::QUEUE);
        let mut addresses = Addresses::new(addresses);
        let changes = Changes::open()?;
        let serving = self.api.serve(calls_in);
        tokio::pin!(serving);
        loop {
            let tick = tokio::time::sleep_until(control.poll_timeout().into());
            tokio::select! {
                _ = self.signals.terminate.recv() => return Ok(false),
                _ = self.signals.interrupt.recv() => return Ok(false),
                _ = self.signals.hangup.recv() => {
                    // A refusal is logged where it is made, and the old configuration stays.
                    let _ = control.reload_file(clock::now());
                }
                Some(call) = calls.recv() => {
                    let reply = control.handle_request(call.request, clock::now());
                    // The client may have gone away meanwhile.
                    let _ = call.reply.send(reply);
                }
                event = events.recv() => match event {
                    Some(event) => control.handle_event(event, clock::now()),
                    None => return Ok(false),
                },
                () = told(gossip) => control.handle_gossip(clock::now()),
                () = changed(&changes) => control.handle_underlay_change(clock::now()),
                () = tick => {
                    control.handle_timeout(clock::now());
                    if addresses.moved(control.config(), clock::now()) {
                        return Ok(true);
                    }
                }
                () = &mut serving => {}
            }
            follow_log(self.log, &control.config().log);
            let paths_failed = control.devices_mut().paths_failed();
            if workers.iter().any(JoinHandle::is_finished) || gossip_failed(gossip) || paths_failed {
                return Ok(false);
            }
        }
    }
}

/// Waits until links, addresses or routes changed. Without the socket they are looked at with each tick.
async fn changed(changes: &Changes) {
    if changes.next().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn told(gossip: Option<&Running>) {
    match gossip {
        Some(gossip) => gossip.link().told().await,
        None => std::future::pending().await,
    }
}

/// Whether gossip ended, but not because somebody told it to leave.
fn gossip_failed(gossip: Option<&Running>) -> bool {
    gossip.is_some_and(|gossip| gossip.is_finished() && !gossip.link().status().left)
}

/// The first words of a daemon that moves frames.
fn say_started(control: &mut Control<HostDevices>) {
    let taken_over = control.devices_mut().taken_over();
    if taken_over > 0 {
        let taps = if taken_over == 1 { "TAP that was" } else { "TAPs that were" };
        tracing::info!(
            event = "taken_over",
            taps = taken_over,
            "took over {taken_over} {taps} there already, with addresses and routes; MAC addresses are learned again"
        );
    }
    let node = &control.config().node.name;
    tracing::info!(event = "started", node, version = env!("CARGO_PKG_VERSION"), "weft is up");
}

/// Waits for the workers; one that ended by itself is the error.
fn finish(workers: Vec<WorkerThread>) -> Result<()> {
    for worker in workers {
        match worker.join() {
            Ok(result) => result.context("a worker could not go on")?,
            Err(_) => bail!("a worker panicked; the log has its message. Please report it"),
        }
    }
    Ok(())
}

/// Brings the workers' events, which come by a channel that never blocks them, to the runtime.
fn forward(events: crossbeam_channel::Receiver<WorkerEvent>) -> Result<mpsc::Receiver<WorkerEvent>> {
    let (sender, receiver) = mpsc::channel(EVENTS);
    std::thread::Builder::new().name("events".to_owned()).spawn(move || {
        for event in events {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// The log level is the one part of `[log]` that can change while it is written.
fn follow_log(log: &LogHandle, config: &LogConfig) {
    let wanted = EnvFilter::try_new(&config.level);
    let current = log.with_current(ToString::to_string);
    if let (Ok(wanted), Ok(current)) = (wanted, current)
        && wanted.to_string() != current
    {
        // The subscriber lives as long as the process.
        let _ = log.reload(wanted);
    }
}

/// What ports ask of their TAPs.
fn wanted_offloads(config: &Config) -> tap::Wanted {
    tap::Wanted { tso: config.datapath.tso, uso: config.datapath.uso }
}
