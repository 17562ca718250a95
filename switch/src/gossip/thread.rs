//! The thread: reads sockets, streams, orders and the clock, and does what the engine says.
//!
//! 1. Everything that the socket holds is taken before time passes for the engine: a thread that ran late is to judge
//!    nobody by that.
//! 2. A raised epoch is on disk before anything else is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fdb::gossip::engine::{Conflict, Dropped, Engine, Output, Setup};
use fdb::gossip::identity::NodeId;
use fdb::gossip::members::{MemberState, MemberView};
use fdb::gossip::seal::{KeyError, KeyId, MAX_DATAGRAM, Mode, Refusal};
use tokio::sync::mpsc as channel;
use tokio::task::JoinHandle as Task;

use super::convergence::Convergence;
use super::dropped::{DropCounts, Reason};
use super::link::{Command, CommandError, KeyView, Link, MemberStatus, Orders, Reply, SeedStatus, Status};
use super::seeds::{self, Found};
use super::streams::{self, Event, Streams, Unsent};
use crate::capture::datagrams::Datagrams;
use crate::capture::record::{Flow, Point};
use crate::clock;
use crate::control::config::JoinAddress;
use crate::control::protocol::GossipTraffic;
use crate::io::keyfile;
use crate::io::random::{OsRng, os_rng};
use crate::io::state::{Identity, StateError};
use crate::log::say;

/// Datagrams that are read before the engine's clock moves on.
const BURST: usize = 256;

/// How often the status is made anew.
const STATUS_EVERY: Duration = Duration::from_millis(500);

/// The lag that is shown is the longest of so long.
const LAG_WINDOW: Duration = Duration::from_secs(60);

/// How much before others this thread runs, where that is permitted: it needs little, but that at once.
const NICE: i32 = -10;

/// What the thread starts with.
#[derive(Debug)]
pub struct Start {
    /// The engine's part.
    pub setup: Setup,
    /// The socket for datagrams.
    pub udp: UdpSocket,
    /// The socket for callers.
    pub tcp: TcpListener,
    /// The persisted identity.
    pub identity: Identity,
    /// Where the keys are, for changes of them.
    pub key_file: Option<PathBuf>,
    /// The join addresses.
    pub join: Vec<JoinAddress>,
    /// Nodes that are called once, at the start.
    pub known: Vec<SocketAddr>,
}

/// Why gossip, and with it the daemon, cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// Another node must not be, or this one.
    #[error("gossip stopped: {0}")]
    Conflict(#[from] Conflict),
    /// The state directory does not take the epoch.
    #[error("gossip stopped before it said anything more: {0}")]
    State(#[from] StateError),
    /// The system refuses something.
    #[error("gossip stopped: {0}")]
    Io(#[from] io::Error),
}

/// Starts the thread; it ends after [`Command::Leave`], or with what kept it from going on.
///
/// # Errors
///
/// The system's refusal of a thread or of its sockets.
pub fn start(start: Start, link: Link) -> io::Result<JoinHandle<Result<(), Fatal>>> {
    start.udp.set_nonblocking(true)?;
    start.tcp.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("gossip".to_owned()).spawn(move || {
        if let Err(error) = rustix::process::nice(NICE) {
            say!(
                GossipPriority,
                reason = %error,
                "gossip runs with ordinary priority: on a full host others may think that this node hesitates; it needs \
                 CAP_SYS_NICE"
            );
        }
        let local = tokio::task::LocalSet::new();
        let result = local.block_on(&runtime, async { Thread::new(start, link)?.run().await });
        runtime.shutdown_background();
        result
    })
}

struct Thread {
    engine: Engine,
    rng: OsRng,
    udp: tokio::net::UdpSocket,
    tcp: tokio::net::TcpListener,
    streams: Streams,
    link: Link,
    identity: Identity,
    key_file: Option<PathBuf>,
    found: channel::Receiver<Vec<Found>>,
    finder: Task<()>,
    seeds: Vec<Found>,
    dropped: DropCounts,
    convergence: Convergence,
    traffic: GossipTraffic,
    captures: Datagrams,
    /// What the socket for datagrams is bound to.
    local: SocketAddr,
    later_version: Option<(SocketAddr, u8, Instant)>,
    /// Nodes that wait for a stream which takes no more at present.
    blocked: BTreeMap<NodeId, u64>,
    lag: Lag,
    status_at: Instant,
    leaving: bool,
}

impl Thread {
    fn new(start: Start, link: Link) -> io::Result<Self> {
        let Start { setup, udp, tcp, identity, key_file, join, known } = start;
        let local = udp.local_addr()?;
        let streams = Streams::new(setup.me, setup.addr, setup.mode.clone());
        let (now, mut rng) = (clock::now(), os_rng()?);
        let (finder, found) = find(join);
        let mut engine = Engine::new(setup, now, &mut rng);
        engine.call(&known);
        Ok(Self {
            engine,
            rng,
            udp: tokio::net::UdpSocket::from_std(udp)?,
            tcp: tokio::net::TcpListener::from_std(tcp)?,
            streams,
            link,
            identity,
            key_file,
            found,
            finder,
            seeds: Vec::new(),
            dropped: DropCounts::default(),
            convergence: Convergence::default(),
            traffic: GossipTraffic::default(),
            captures: Datagrams::new(u16::MAX),
            local,
            later_version: None,
            blocked: BTreeMap::new(),
            lag: Lag::new(now),
            status_at: now,
            leaving: false,
        })
    }

    async fn run(mut self) -> Result<(), Fatal> {
        loop {
            self.settle()?;
            if self.leaving {
                // Whoever sees this thread end is to see why.
                self.publish_status(clock::now());
                return Ok(());
            }
            let due = self.engine.poll_timeout().min(self.status_at);
            tokio::select! {
                readable = self.udp.readable() => readable?,
                Some(event) = self.streams.next() => self.handle_stream(event),
                Some((tcp, from)) = streams::next_caller(&self.tcp) => self.handle_caller(tcp, from),
                () = self.link.ordered() => {
                    let orders = self.link.take_orders();
                    self.obey(orders);
                }
                Some(found) = self.found.recv() => self.set_seeds(found),
                () = tokio::time::sleep_until(due.into()) => self.lag.note(due, clock::now()),
            }
            self.receive();
            let now = clock::now();
            self.convergence.note(self.engine.replica().differs(), now);
            if now >= self.engine.poll_timeout() {
                self.engine.handle_timeout(now, &mut self.rng);
            }
            if now >= self.status_at {
                self.status_at = now + STATUS_EVERY;
                self.publish_status(now);
            }
        }
    }

    // ---- what arrives ----

    /// Takes what the socket holds.
    fn receive(&mut self) {
        // One more than there may be, so that a longer one is noticed.
        let mut octets = [0; MAX_DATAGRAM + 1];
        for _ in 0..BURST {
            // Nothing there, or an error of an earlier datagram that was sent: neither is about what is received.
            let Ok((length, from)) = self.udp.try_recv_from(&mut octets) else { return };
            self.traffic.udp_received.note(length);
            if self.captures.is_on() {
                let ends = (from, self.local);
                self.captures.note((Point::Gossip, Flow::In), ends, &[&octets[..length]], clock::now());
            }
            let taken = self.engine.handle_datagram(&octets[..length], from, clock::now(), &mut self.rng);
            if let Err(why) = taken {
                self.count(why, from);
            }
        }
    }

    fn count(&mut self, why: Dropped, from: SocketAddr) {
        self.dropped.count(&why);
        if let Dropped::Seal(Refusal::HigherVersion { version }) = why {
            self.later_version = Some((from, version, clock::now()));
        }
        say!(GossipDropped, %from, reason = why.name(), "{why}");
    }

    fn handle_stream(&mut self, event: Event) {
        match event {
            Event::Opened(who) => self.engine.stream_opened(who, &mut self.rng),
            Event::Message(who, message) => {
                self.traffic.tcp_received.note(message.len());
                let taken = self.engine.handle_stream(who, &message, clock::now(), &mut self.rng);
                if let Err(why) = taken {
                    self.dropped.count(&why);
                    say!(GossipDropped, peer = %who.node, reason = why.name(), "{why}");
                }
            }
            Event::Drained(stream) | Event::Ended(stream) => self.unblock(stream),
            Event::Refused(from, why) => self.refuse(from, &why),
        }
    }

    fn handle_caller(&mut self, tcp: tokio::net::TcpStream, from: SocketAddr) {
        if !self.streams.accept(tcp, from) {
            self.refuse(from, "there are too many already");
        }
    }

    fn refuse(&mut self, from: SocketAddr, why: &str) {
        self.dropped.count_other(Reason::StreamRefused);
        say!(GossipCallerRefused, %from, reason = why, "a caller was turned away");
    }

    /// Who waited for this stream waits no longer.
    fn unblock(&mut self, stream: u64) {
        for (node, _) in self.blocked.extract_if(.., |_, at| *at == stream) {
            self.engine.set_blocked(node, false);
        }
    }

    fn set_seeds(&mut self, found: Vec<Found>) {
        let own = self.engine.members().own().addr();
        let addresses = |found: &[Found]| -> Vec<SocketAddr> {
            let all = found.iter().filter_map(|(_, found)| found.as_ref().ok()).flatten().copied();
            all.filter(|seed| seed.is_ipv4() == own.is_ipv4()).collect()
        };
        let before = addresses(&self.seeds);
        let now = addresses(&found);
        self.engine.set_seeds(&now);
        let new: Vec<SocketAddr> = now.into_iter().filter(|seed| !before.contains(seed)).collect();
        self.engine.call(&new);
        self.seeds = found;
    }

    // ---- what control wants ----

    fn obey(&mut self, orders: Orders) {
        let now = clock::now();
        for (key, record) in orders.records {
            let put = record.map(|record| self.engine.put(&record, now));
            match put {
                None => self.engine.remove(&key, now),
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    self.dropped.count_other(Reason::NotPublished);
                    say!(NotPublished, ?key, reason = %error, "other nodes are not told of an address");
                }
            }
        }
        orders.captures.into_iter().for_each(|writer| self.captures.begin(writer));
        orders.replay.into_iter().for_each(|node| self.engine.replay(node));
        if let Some(join) = orders.join {
            self.finder.abort();
            (self.finder, self.found) = find(join);
        }
        for (command, reply) in orders.commands {
            // Who asked may have lost patience.
            let _: Result<(), mpsc::SendError<_>> = reply.send(self.command(command, now));
        }
    }

    fn command(&mut self, command: Command, now: Instant) -> Result<Reply, CommandError> {
        match command {
            Command::Leave => {
                self.engine.leave(now);
                self.leaving = true;
            }
            Command::Forget(node) => self.engine.forget(node, now).map_err(refused)?,
            Command::Keys => return Ok(Reply::Keys(self.keys())),
            Command::InstallKey(key) => return self.change_keys(|engine| engine.gate_mut().install_key(key)),
            Command::UseKey(id) => return self.change_keys(|engine| engine.gate_mut().use_key(id)),
            Command::RemoveKey(id) => return self.change_keys(|engine| engine.remove_key(id)),
        }
        Ok(Reply::Done)
    }

    fn keys(&self) -> Vec<KeyView> {
        let Mode::Sealed(ring) = self.engine.gate().mode() else { return Vec::new() };
        let view = |id: KeyId| KeyView {
            id,
            in_use: id == ring.in_use(),
            members: self.engine.gate().users(id).filter(|node| self.is_up(*node)).collect(),
        };
        ring.ids().map(view).collect()
    }

    fn is_up(&self, node: NodeId) -> bool {
        let view = self.engine.members().member(node);
        view.is_some_and(|view| matches!(view.state, MemberState::Up | MemberState::Suspect))
    }

    /// Changes the keys, here and in their file, so that a restart has them; or neither.
    fn change_keys(
        &mut self,
        change: impl FnOnce(&mut Engine) -> Result<(), KeyError>,
    ) -> Result<Reply, CommandError> {
        let before = self.engine.gate().mode().clone();
        change(&mut self.engine).map_err(refused)?;
        let mode = self.engine.gate().mode().clone();
        if let (Mode::Sealed(ring), Some(file)) = (&mode, &self.key_file)
            && let Err(error) = keyfile::save(file, ring)
        {
            self.engine.gate_mut().set_mode(before);
            return Err(refused(error));
        }
        self.streams.set_mode(mode.clone());
        Ok(Reply::KeysChanged(mode))
    }

    // ---- what is to be done ----

    /// Does what the engine says until it has nothing more to say.
    fn settle(&mut self) -> Result<(), Fatal> {
        while let Some(output) = self.engine.poll_output(&mut self.rng) {
            match output {
                Output::Datagram { to, bytes } => {
                    // A datagram may be lost anywhere, here too.
                    match self.udp.try_send_to(&bytes, to) {
                        Ok(octets) => {
                            self.traffic.udp_sent.note(octets);
                            let ends = (self.local, to);
                            self.captures.note((Point::Gossip, Flow::Out), ends, &[&bytes], clock::now());
                        }
                        Err(_) => self.dropped.count_other(Reason::SendError),
                    }
                }
                Output::Stream { node, addr, message } => self.send(node, addr, message),
                Output::Member(event) => self.link.tell_event(event),
                Output::Changed { origin, key, new } => self.link.tell_change(origin, key, new),
                Output::EpochRaised(epoch) => {
                    say!(
                        EpochRaised,
                        epoch = epoch.get(),
                        "other nodes know a later start of this node than its state directory: was it restored from an \
                         older copy? It goes on after that start"
                    );
                    self.identity.raise(epoch)?;
                }
                Output::Conflict(conflict) => {
                    self.say_goodbye(&conflict);
                    return Err(conflict.into());
                }
            }
        }
        Ok(())
    }

    /// Of two with one name the one that stops was seen by others by now, and would be a dead node to them. The id of a
    /// copy is that of a node that stays.
    fn say_goodbye(&mut self, conflict: &Conflict) {
        if matches!(conflict, Conflict::Id { .. }) {
            return;
        }
        self.engine.leave(clock::now());
        while let Some(output) = self.engine.poll_output(&mut self.rng) {
            if let Output::Datagram { to, bytes } = output {
                // The goodbye is a courtesy: without it the others find out in some seconds.
                let _: io::Result<usize> = self.udp.try_send_to(&bytes, to);
            }
        }
    }

    fn send(&mut self, node: Option<NodeId>, addr: SocketAddr, message: Vec<u8>) {
        let octets = message.len();
        let sent = self.streams.send(node, addr, message);
        if sent.is_ok() {
            self.traffic.tcp_sent.note(octets);
        }
        if let (Err(unsent), Some(node)) = (sent, node) {
            self.engine.stream_failed(node);
            if let Unsent::Full(stream) = unsent {
                self.blocked.insert(node, stream);
                self.engine.set_blocked(node, true);
            }
        }
    }

    // ---- what is shown ----

    fn publish_status(&mut self, now: Instant) {
        let engine = &self.engine;
        let member = |view: MemberView| {
            let node = view.id.node();
            let agrees = engine.replica().agrees_with(node);
            let over_limit = engine.replica().is_over_limit(node);
            (node, MemberStatus { rtt: view.rtt, agrees, epoch: view.id.epoch().get(), over_limit })
        };
        let own = engine.members().own().addr();
        let here: BTreeSet<SocketAddr> =
            engine.members().members().map(|view| view.id.addr()).chain([own]).collect();
        let seed = |(name, found): &Found| SeedStatus {
            name: name.to_string(),
            known: found.as_ref().is_ok_and(|all| all.iter().any(|addr| here.contains(addr))),
            found: found.clone(),
        };
        self.link.set_status(Status {
            members: engine.members().members().map(member).collect(),
            epoch: engine.members().own().epoch().get(),
            digest: engine.replica().root(),
            records: engine.replica().entries(),
            ready: engine.is_ready(),
            seeds: self.seeds.iter().map(seed).collect(),
            dropped: self.dropped.clone(),
            convergence: self.convergence.read(),
            later_version: self.later_version,
            lag: self.lag.longest(now),
            left: self.leaving,
            traffic: self.traffic,
        });
    }
}

fn find(join: Vec<JoinAddress>) -> (Task<()>, channel::Receiver<Vec<Found>>) {
    let (sender, found) = channel::channel(1);
    (tokio::task::spawn_local(seeds::look_up(join, sender)), found)
}

fn refused(error: impl std::fmt::Display) -> CommandError {
    CommandError(error.to_string())
}

/// The longest time by which the thread ran late, of the last minute or two.
struct Lag {
    since: Instant,
    now: Duration,
    before: Duration,
}

impl Lag {
    const fn new(now: Instant) -> Self {
        Self { since: now, now: Duration::ZERO, before: Duration::ZERO }
    }

    fn note(&mut self, due: Instant, now: Instant) {
        if now >= self.since + LAG_WINDOW {
            (self.since, self.before, self.now) = (now, self.now, Duration::ZERO);
        }
        self.now = self.now.max(now.saturating_duration_since(due));
    }

    fn longest(&self, now: Instant) -> Duration {
        if now >= self.since + LAG_WINDOW * 2 { Duration::ZERO } else { self.now.max(self.before) }
    }
}
