//! The daemon put together: sockets, workers, control, API; and taken apart again when it is told to end.
//!
//! 1. [`run`] finds the underlay addresses and binds their ports, before anything else is touched.
//! 2. Workers start on threads of their own; they talk to control by bounded channels.
//! 3. Control runs on this thread: requests of the API, events of workers, signals, and a tick each half second.
//! 4. At the end ports are let go, then the workers stop, then the devices close.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use crossbeam_channel::bounded;
use encap::coalesce::Offload;
use fdb::{Limits, Shared, Table};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use self::addresses::{Addresses, underlay_addresses};
use self::devices::HostDevices;
use self::gossip::{Prepared, Running};
use self::log::Log;
use self::opening::Opened;
use self::paths::Paths;
use self::taps::Taps;
use crate::clock;
use crate::control::api::{self, Api, Call};
use crate::control::config::{ApiConfig, Config, Poll, Workers};
use crate::control::http::Http;
use crate::control::protocol::{Reply, Request};
use crate::control::{Carried, Control, Setup};
use crate::counters::PaddedCounters;
use crate::datapath::worker::{Parts, Polling, Update, Worker};
use crate::events::WorkerEvent;
use crate::io::link::Changes;
use crate::io::poll::{Waker, may_run_first};
use crate::io::tap;
use crate::io::udp::SendSockets;
use crate::log::say;

mod addresses;
mod captures;
mod devices;
mod doctor;
mod gossip;
mod log;
mod opening;
mod paths;
mod sockets;
mod taps;

pub(crate) use self::doctor::{look_at_host, look_before_start};

/// Events that may wait for control; learning more addresses than this at once takes another round.
const EVENTS: usize = 4096;
/// Topologies that may wait for a worker.
const UPDATES: usize = 64;

type WorkerThread = JoinHandle<std::io::Result<()>>;

/// Runs the daemon until SIGTERM or SIGINT.
///
/// # Errors
///
/// What kept it from starting, or from going on, with the next step for a person.
pub(crate) fn run(config: Config, path: &Path) -> Result<()> {
    let log = Log::start(&config.log)?;
    // Before anything is touched.
    underlay_addresses(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (signals, api) = {
        let _inside = runtime.enter();
        // First: who is stopped while it starts is to take its socket away, too.
        (Signals::catch()?, Api::bind(&config.node.socket)?)
    };
    let (calls_in, calls) = mpsc::channel(api::QUEUE);
    let http_refused = start_http(&runtime, &config.api, &calls_in);
    let workers = worker_count(config.datapath.workers);
    let mut host = Host {
        path,
        api: &api,
        calls: (calls_in, calls),
        http_refused,
        signals,
        log: &log,
        addresses: Addresses::default(),
        taps: Taps::default(),
        counters: (0..workers).map(|_| Arc::default()).collect(),
        path_counters: Arc::default(),
    };
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

/// Starts what answers programs; without it the daemon goes on. Says why it is missed, if somebody asked for it.
fn start_http(runtime: &Runtime, config: &ApiConfig, calls: &mpsc::Sender<Call>) -> Option<String> {
    let _inside = runtime.enter();
    match Http::bind(config) {
        Ok(Some(http)) => drop(runtime.spawn(http.serve(calls.clone()))),
        Ok(None) => {}
        Err(error) => {
            say!(HttpUnavailable, "nobody can ask over HTTP: {error}");
            return config.http.is_given().then(|| error.to_string());
        }
    }
    None
}

/// What stays the same when the underlay address of this host changes.
struct Host<'a> {
    path: &'a Path,
    api: &'a Api,
    calls: (mpsc::Sender<Call>, mpsc::Receiver<Call>),
    /// Why nobody can ask over HTTP, though somebody wanted it.
    http_refused: Option<String>,
    signals: Signals,
    log: &'a Log,
    /// In use, or in use before.
    addresses: Addresses,
    /// Those that no [`Control`] uses at present.
    taps: Taps,
    /// Of each worker; they stay as many as they are.
    counters: Vec<Arc<PaddedCounters>>,
    /// Of the watch over paths.
    path_counters: Arc<PaddedCounters>,
}

/// Why the daemon does not go on as it was.
enum End {
    /// It was told to end.
    Stopped,
    /// The host has another underlay address, so that all sockets are opened anew. The ports stay as they are, and what the
    /// command line added.
    Moved(Box<Carried>),
}

/// The moving parts that exist before control does.
struct Fabric {
    addresses: Vec<IpAddr>,
    devices: HostDevices,
    shared: Arc<Shared>,
    events: crossbeam_channel::Receiver<WorkerEvent>,
    workers: Vec<WorkerThread>,
}

impl Fabric {
    /// Starts them with the host's TAPs and counters.
    fn start(host: &mut Host<'_>, config: &Config, opened: Opened) -> Result<(Self, Option<Prepared>)> {
        let Opened { addresses, mut sockets, gossip } = opened;
        let shared = Arc::new(Shared::new());
        let (event_sender, events) = bounded(EVENTS);
        let not_first = why_not_first(config, host.counters.len());
        let taps = std::mem::take(&mut host.taps);
        let mut devices = HostDevices::new(config, &addresses, &sockets, not_first, taps);
        let watch = |gossip| watch_paths(gossip, &sockets.senders, &host.path_counters, &event_sender);
        let paths = gossip.as_ref().map(watch).transpose()?;
        for name in sockets.lacks(config) {
            let refused = Some(std::io::ErrorKind::Unsupported.into());
            // The channel is empty yet.
            let _ = event_sender.try_send(WorkerEvent::Offload { name, peer: None, refused });
        }
        let mut workers = Vec::new();
        for (index, counters) in host.counters.iter().enumerate() {
            let (update_sender, updates) = bounded::<Update>(UPDATES);
            let waker = Arc::new(Waker::new()?);
            let worker = Worker::new(Parts {
                index,
                counters: Arc::clone(counters),
                shared: Arc::clone(&shared),
                receivers: sockets.receivers.pop().unwrap_or_default(),
                sockets: Arc::clone(&sockets.senders),
                source_ports: config.underlay.source_ports,
                segments: sockets.segments,
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
                control: paths.as_ref().map(Paths::datagrams),
                waker: Arc::clone(&waker),
            })?;
            devices.add_worker(update_sender, waker);
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            workers.push(thread.spawn(move || worker.run())?);
        }
        if let Some(paths) = paths {
            devices.set_paths(paths);
        }
        Ok((Self { addresses, devices, shared, events, workers }, gossip))
    }
}

/// Starts the watch over paths, which sends by the workers' sockets and has counters of its own.
fn watch_paths(
    gossip: &Prepared,
    sockets: &Arc<SendSockets>,
    counters: &Arc<PaddedCounters>,
    events: &crossbeam_channel::Sender<WorkerEvent>,
) -> Result<Paths> {
    let (me, mode) = gossip.seal();
    let (sockets, counters) = (Arc::clone(sockets), Arc::clone(counters));
    Paths::start(paths::Start { me, mode, sockets, counters, events: events.clone() })
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
        let first = self.addresses.in_use().is_empty();
        let opened = if first { Some(self.open(&carried)?) } else { self.open_again(&carried).await };
        let Some(opened) = opened else {
            say!(Stopping, "weft ends");
            self.taps.close_all(config.node.keep_ports);
            return Ok(End::Stopped);
        };
        let (fabric, gossip) = Fabric::start(self, &config, opened)?;
        let Fabric { addresses, devices, shared, events, workers } = fabric;
        self.addresses.settle(addresses.clone());
        let path = self.path.to_owned();
        let setup = Setup {
            carried,
            load: Box::new(move || Config::load(&path)),
            devices,
            table: Table::new(Limits::default(), shared),
            counters: self.counters.clone(),
            path_counters: config.gossip.is_some().then(|| Arc::clone(&self.path_counters)),
            addresses,
            gossip: gossip.as_ref().map(Prepared::setup),
            http_refused: self.http_refused.clone(),
        };
        let events = forward(events)?;
        let mut control = Control::new(setup, clock::now());
        // Only now there is something to say.
        let gossip = gossip.map(Prepared::start).transpose()?;
        if first {
            say_started(&mut control);
        } else {
            let addresses = self.addresses.in_use();
            say!(AddressFollowed, ?addresses, "weft is up on another underlay address");
        }
        let moved = self.serve(&mut control, (events, gossip.as_ref()), &workers).await?;
        self.end(control, moved, gossip, workers)
    }

    /// Takes everything apart, but for the ports of a daemon that goes on.
    fn end(
        &mut self,
        mut control: Control<HostDevices>,
        moved: bool,
        gossip: Option<Running>,
        workers: Vec<WorkerThread>,
    ) -> Result<End> {
        if moved {
            say!(
                AddressChanged,
                was = ?self.addresses.in_use(),
                "this host has another underlay address: sockets are opened anew and other nodes told; pods keep theirs"
            );
        } else {
            say!(Stopping, "weft ends");
        }
        // First, so that nobody sends here any more when the ports go.
        let left = gossip.map_or(Ok(()), Running::end);
        let carried = moved.then(|| control.move_out(clock::now()));
        if !moved {
            control.shutdown();
        }
        control.devices_mut().stop_workers();
        finish(workers)?;
        if control.devices_mut().stop_paths().is_err() {
            bail!("the watch over paths panicked; the log has its message. Please report it");
        }
        control.devices_mut().finish_captures();
        left?;
        self.taps = control.devices_mut().take_taps();
        Ok(carried.map_or(End::Stopped, |carried| End::Moved(Box::new(carried))))
    }

    /// Control's own loop; whether it ends because the host moved.
    async fn serve(
        &mut self,
        control: &mut Control<HostDevices>,
        (mut events, gossip): (mpsc::Receiver<WorkerEvent>, Option<&Running>),
        workers: &[WorkerThread],
    ) -> Result<bool> {
        let changes = Changes::open()?;
        let (calls_in, calls) = &mut self.calls;
        let serving = self.api.serve(calls_in.clone());
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
                Some(call) = calls.recv() => answer(control, gossip, call),
                event = events.recv() => match event {
                    Some(event) => control.handle_event(event, clock::now()),
                    None => return Ok(false),
                },
                () = told(gossip) => control.handle_gossip(clock::now()),
                () = changed(&changes) => control.handle_underlay_change(clock::now()),
                () = tick => {
                    control.handle_timeout(clock::now());
                    if self.addresses.moved(control.config(), clock::now()) {
                        return Ok(true);
                    }
                }
                () = &mut serving => {}
            }
            self.log.follow(&control.log_levels(), clock::now());
            let paths_failed = control.devices_mut().paths_failed();
            if workers.iter().any(JoinHandle::is_finished) || gossip_failed(gossip) || paths_failed {
                return Ok(false);
            }
        }
    }
}

impl Host<'_> {
    /// Answers clients until then without a [`Control`]; false when the daemon is told to end.
    async fn wait(&mut self, until: Instant, answer: impl Fn(&Request, Instant) -> Reply) -> bool {
        let (calls_in, calls) = &mut self.calls;
        let serving = self.api.serve(calls_in.clone());
        let over = tokio::time::sleep_until(until.into());
        tokio::pin!(serving, over);
        loop {
            tokio::select! {
                _ = self.signals.terminate.recv() => return false,
                _ = self.signals.interrupt.recv() => return false,
                Some(call) = calls.recv() => {
                    let reply = answer(&call.request, clock::now());
                    // The client may have gone away meanwhile.
                    let _ = call.reply.send(reply);
                }
                () = &mut over => return true,
                () = &mut serving => {}
            }
        }
    }
}

/// Answers a client. What is captured goes to it by a thread of its own.
fn answer(control: &mut Control<HostDevices>, gossip: Option<&Running>, call: Call) {
    let reply = match (call.request, call.connection) {
        (Request::Capture(ask), Some(connection)) => match control.capture_at(&ask.at) {
            Ok(at) => {
                let node = control.config().node.name.clone();
                control.devices_mut().capture((&node, ask, at), gossip.map(Running::link), connection)
            }
            Err(refused) => refused.into(),
        },
        (request, _) => control.handle_request(request, clock::now()),
    };
    // The client may have gone away meanwhile.
    let _ = call.reply.send(reply);
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
    let taken_over = control.devices_mut().taps().taken_over();
    if taken_over > 0 {
        let taps = if taken_over == 1 { "TAP that was" } else { "TAPs that were" };
        say!(
            TakenOver,
            taps = taken_over,
            "took over {taken_over} {taps} there already, with addresses and routes; MAC addresses are learned again"
        );
    }
    let node = &control.config().node.name;
    say!(Started, node, version = env!("CARGO_PKG_VERSION"), "weft is up");
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

/// What ports ask of their TAPs.
fn wanted_offloads(config: &Config) -> tap::Wanted {
    tap::Wanted { tso: config.datapath.tso, uso: config.datapath.uso }
}
