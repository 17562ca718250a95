//! The loop of one worker thread: read, outbound, send; receive, inbound, write.
//!
//! 1. [`Worker::run`] takes a new topology if there is one, then waits for devices by the polling policy.
//! 2. `read_port`: a burst from one TAP through [`outbound`], then the send batch leaves.
//! 3. `receive`: a burst from one socket through [`inbound`], then the coalesced frames are written.
//!
//! A worker never waits for control, and control never touches what a worker owns: both talk by bounded channels.

mod burst;
mod captures;
mod outlet;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender as EventSender};
use encap::coalesce::{Coalescer, Offload};
use encap::neighbor::FrameBuf;
use encap::{Format, PortId, Vni};
use fdb::Shared;

use self::burst::{Burst, Bursts};
use self::captures::Captures;
use self::outlet::Outlet;
use super::inbound::{self, Message};
use super::limit::TokenBucket;
use super::lookup::Lookup;
use super::outbound::{self, PortState};
use super::{Context, Sink};
use crate::batch::SendBatch;
use crate::capture::record::Point;
use crate::capture::ring::Writer;
use crate::clock;
use crate::counters::{Direction, DropReason, PaddedCounters, PaddedPortCounters};
use crate::events::{ControlDatagram, WorkerEvent};
use crate::heads::{Head, Heads};
use crate::io::poll::{self, Poll, Token, Waker};
use crate::io::sender::Sender;
use crate::io::tap::{ReadBuffer, Tap};
use crate::io::udp::{self, RecvBuffer, SendSockets, SharedSockets};
use crate::topology::Topology;

/// Frames read from one TAP before others get their turn.
const BURST: usize = 64;
/// Octets read from one TAP before others get their turn, where several have traffic: three super-frames, a third of a
/// millisecond of work. The frames of the others wait that long in each round.
const CROWDED_TURN: usize = 192 << 10;
/// Octets in the send batch after which it leaves: about ten full messages, which the other side finds in one go. Less
/// wakes it more often, more leaves the cache.
const FLUSH_OCTETS: usize = 640 << 10;
/// How long an adaptive worker looks again and again after sparse traffic, before it blocks.
const SPIN: Duration = Duration::from_micros(50);
/// Octets in one round above which traffic is bulk: its next burst is worth waiting for.
const BULK: usize = 4096;
/// How long after a bulk round traffic still counts as bulk: the ACKs between bursts are not sparse traffic.
const BULK_MEMORY: Duration = Duration::from_millis(1);
/// How long after a bulk frame or read a worker still runs before the pods: one that steps back between two bursts waits for
/// its turn when the second comes.
const FIRST_MEMORY: Duration = Duration::from_millis(100);

const WAKER: Token = u64::MAX;
/// Tokens from here on are receive sockets; below, ports.
const SOCKETS: Token = 1 << 32;

/// What a worker does when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polling {
    /// Looks again for a moment after sparse traffic, then blocks.
    Adaptive,
    /// Blocks at once.
    Interrupt,
    /// Never blocks: the lowest latency for a whole CPU.
    Busy,
}

/// What control hands to a worker.
#[derive(Debug)]
pub enum Update {
    /// Another state of the node.
    Topology {
        /// Networks, ports and peers.
        topology: Arc<Topology>,
        /// The TAPs of all ports of the topology: any worker may write to any of them.
        taps: Arc<HashMap<PortId, Attached>>,
    },
    /// A frame that control made, for those of the worker's ports that are on a network.
    Announce {
        /// The network.
        vni: Vni,
        /// The port that it is about, which does not get it.
        except: Option<PortId>,
        /// The frame.
        frame: FrameBuf,
    },
    /// Somebody captures from now on, until the other end of the ring is gone.
    Capture(Writer),
    /// What was dropped last for a reason is asked for.
    Heads {
        /// The reason.
        reason: DropReason,
        /// Where the answer goes; it has room for it.
        reply: EventSender<Vec<Head>>,
    },
}

/// The TAP of a port, and where this worker, and no other, counts what it moves through it.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The TAP.
    pub tap: Arc<Tap>,
    /// The worker's counters of the port.
    pub counters: Arc<PaddedPortCounters>,
}

/// Everything that a worker is made of.
pub struct Parts {
    /// The worker's number, as ports name it.
    pub index: usize,
    /// Its own counters.
    pub counters: Arc<PaddedCounters>,
    /// The FDB.
    pub shared: Arc<Shared>,
    /// Receive sockets and the encapsulation that comes in by each.
    pub receivers: Vec<(Format, udp::Receiver)>,
    /// The sockets that it sends by.
    pub sockets: Arc<SendSockets>,
    /// How many source ports there are.
    pub source_ports: u16,
    /// The most datagrams in one message, 0 = never more than one.
    pub segments: u16,
    /// What to coalesce for ports.
    pub offload: Offload,
    /// What to do when there is nothing to do.
    pub polling: Polling,
    /// Whether it may run before the pods under load.
    pub run_first: bool,
    /// New topologies; closed = stop.
    pub updates: Receiver<Update>,
    /// What to tell control.
    pub events: EventSender<WorkerEvent>,
    /// Where control datagrams go; `None` = nobody watches paths.
    pub control: Option<EventSender<ControlDatagram>>,
    /// Wakes the worker when an update is there.
    pub waker: Arc<Waker>,
}

/// One worker.
pub struct Worker {
    index: usize,
    counters: Arc<PaddedCounters>,
    lookup: Lookup,
    coalescer: Coalescer,
    receivers: Vec<(Format, udp::Receiver)>,
    source_ports: u16,
    polling: Polling,
    updates: Receiver<Update>,
    waker: Arc<Waker>,
    poll: Poll,
    ready: Vec<poll::Ready>,
    topology: Arc<Topology>,
    ports: HashMap<PortId, (PortState, Arc<Tap>)>,
    outlet: Outlet,
    read_buffer: ReadBuffer,
    recv_buffer: RecvBuffer,
    spin_until: Option<Instant>,
    bulk_until: Instant,
    first_until: Instant,
    crowd: Crowd,
    rank: Rank,
    bursts: Bursts,
}

/// Whether more than one port has traffic: only then does anybody wait for another's.
struct Crowd {
    last: Option<PortId>,
    until: Instant,
}

impl Crowd {
    fn note(&mut self, port: PortId, now: Instant) {
        if self.last.replace(port).is_some_and(|last| last != port) {
            self.until = now + FIRST_MEMORY;
        }
    }
}

/// How the scheduler sees a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    /// As any other thread.
    Ordinary,
    /// Before the pods' threads.
    First,
    /// As any other, for good.
    Fixed,
}

impl Worker {
    /// A worker with no ports yet.
    ///
    /// # Errors
    ///
    /// The system's refusal of a file descriptor.
    pub fn new(parts: Parts) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.add(&*parts.waker, WAKER)?;
        let outlet = Outlet {
            counters: Arc::clone(&parts.counters),
            index: parts.index,
            taps: Arc::default(),
            topology: Arc::default(),
            batch: SendBatch::new(usize::from(parts.segments)),
            captures: Captures::new(parts.index, Arc::clone(&parts.sockets)),
            sender: Sender::new(SharedSockets(parts.sockets), parts.segments > 0),
            events: parts.events,
            control: parts.control,
            loads: TokenBucket::new(outlet::LOADS_PER_SECOND, clock::now()),
            now: clock::now(),
            place: (Point::Port(PortId::new(0)), None),
            heads: Heads::default(),
            whole: Vec::with_capacity(outlet::LARGEST),
        };
        let discarded = parts.receivers.iter().map(|(_, receiver)| u64::from(receiver.discarded())).sum();
        parts.counters.lost_before.udp_overflow.add(discarded);
        Ok(Self {
            index: parts.index,
            counters: parts.counters,
            lookup: Lookup::new(parts.shared),
            coalescer: Coalescer::new(parts.offload),
            receivers: parts.receivers,
            source_ports: parts.source_ports.max(1),
            polling: parts.polling,
            updates: parts.updates,
            waker: parts.waker,
            poll,
            ready: Vec::with_capacity(64),
            topology: Arc::default(),
            ports: HashMap::new(),
            outlet,
            read_buffer: ReadBuffer::new(FLUSH_OCTETS),
            recv_buffer: RecvBuffer::default(),
            spin_until: None,
            bulk_until: clock::now(),
            first_until: clock::now(),
            crowd: Crowd { last: None, until: clock::now() },
            rank: if parts.run_first { Rank::Ordinary } else { Rank::Fixed },
            bursts: Bursts::default(),
        })
    }

    /// Works until the channel of updates is closed.
    ///
    /// # Errors
    ///
    /// Only what makes further work impossible: the readiness list itself failed.
    pub fn run(mut self) -> io::Result<()> {
        // Whoever knows no peers yet would take everybody for a stranger.
        let Ok(first) = self.updates.recv() else { return Ok(()) };
        self.apply(first);
        for (token, (_, receiver)) in (SOCKETS..).zip(&self.receivers) {
            self.poll.add(receiver, token)?;
        }
        loop {
            let timeout = self.patience();
            if timeout.is_none() {
                self.counters.batching.sleeps.add(1);
            }
            self.poll.wait(timeout, &mut self.ready)?;
            let now = clock::now();
            self.outlet.now = now;
            if self.outlet.captures.is_on() {
                self.outlet.captures.tidy();
            }
            let mut octets = 0;
            for i in 0..self.ready.len() {
                let ready = self.ready[i];
                octets += match ready.token {
                    WAKER => {
                        self.waker.acknowledge();
                        if self.take_updates().is_err() {
                            return Ok(());
                        }
                        0
                    }
                    #[allow(clippy::cast_possible_truncation)] // made from a usize
                    SOCKETS.. => self.receive((ready.token - SOCKETS) as usize),
                    #[allow(clippy::cast_possible_truncation)] // made from a u32
                    _ => self.read_port(PortId::new(ready.token as u32)),
                };
            }
            self.note_traffic(octets, now);
        }
    }

    /// How long the next wait may last.
    fn patience(&self) -> Option<Duration> {
        match self.polling {
            Polling::Interrupt => None,
            Polling::Busy => Some(Duration::ZERO),
            Polling::Adaptive => self.spin_until.map(|_| Duration::ZERO),
        }
    }

    /// Decides after a round of `octets` whether the next one is waited for without blocking.
    fn note_traffic(&mut self, octets: usize, now: Instant) {
        if octets > BULK {
            self.bulk_until = now + BULK_MEMORY;
            // What others send meanwhile is found by one more look, without a wake-up.
            self.spin_until = Some(now);
        } else if octets > 0 {
            // One that runs first would look again and again at the cost of the pod that is to answer.
            let sparse = now >= self.bulk_until && self.rank != Rank::First;
            self.spin_until = sparse.then(|| now + SPIN);
        } else if self.spin_until.is_some_and(|until| now >= until) {
            self.spin_until = None;
        }
        self.follow_load(now);
        if self.patience() == Some(Duration::ZERO) {
            // Whoever the frames are for runs now.
            poll::yield_now();
        }
    }

    /// Under bulk load a worker runs before the pods that make it, as the kernel's own network stack would: if it had to
    /// wait for its turn among them, frames of all others would wait with it. Where one port alone has traffic nobody
    /// waits, and that port's streams are faster when the worker is one of many.
    fn follow_load(&mut self, now: Instant) {
        let loaded = now < self.first_until.min(self.crowd.until);
        let wanted = if loaded { Rank::First } else { Rank::Ordinary };
        if self.rank != Rank::Fixed && self.rank != wanted {
            let refused = poll::run_first(wanted == Rank::First).is_err();
            self.rank = if refused { Rank::Fixed } else { wanted };
        }
    }

    /// Takes the newest topology.
    fn take_updates(&mut self) -> Result<(), crossbeam_channel::TryRecvError> {
        loop {
            match self.updates.try_recv() {
                Ok(update) => self.apply(update),
                Err(crossbeam_channel::TryRecvError::Empty) => return Ok(()),
                Err(stop) => return Err(stop),
            }
        }
    }

    fn apply(&mut self, update: Update) {
        match update {
            Update::Topology { topology, taps } => self.go_over_to(topology, taps),
            Update::Announce { vni, except, frame } => self.announce(vni, except, &frame),
            Update::Capture(writer) => self.outlet.captures.begin(writer),
            Update::Heads { reason, reply } => {
                // Whoever asked may have given up.
                let _ = reply.try_send(self.outlet.heads.of(reason));
            }
        }
    }

    fn announce(&mut self, vni: Vni, except: Option<PortId>, frame: &FrameBuf) {
        let Some(network) = self.topology.network_of(vni) else { return };
        let ports = self.topology.network(network).ports.iter();
        for port in ports.filter(|&port| Some(*port) != except && self.ports.contains_key(port)) {
            self.outlet.originate(*port, frame.octets());
        }
    }

    fn go_over_to(&mut self, topology: Arc<Topology>, taps: Arc<HashMap<PortId, Attached>>) {
        let mine = |id: &PortId| topology.ports.get(id).is_some_and(|port| port.worker == self.index);
        self.ports.retain(|id, (_, tap)| {
            let stays = mine(id) && taps.get(id).is_some_and(|now| Arc::ptr_eq(&now.tap, tap));
            if !stays {
                // A device that is gone has left the list by itself.
                let _ = self.poll.remove(&**tap);
            }
            stays
        });
        for (&id, Attached { tap, .. }) in taps.iter().filter(|(id, _)| mine(id)) {
            let view = &topology.ports[&id];
            if let Some((state, _)) = self.ports.get_mut(&id) {
                state.set_limits(view, self.outlet.now);
            } else if self.poll.add(&**tap, Token::from(id.get())).is_ok() {
                self.ports.insert(id, (PortState::new(id, view, self.outlet.now), Arc::clone(tap)));
            }
        }
        self.outlet.taps = taps;
        self.outlet.captures.set_topology(&topology);
        self.outlet.topology = Arc::clone(&topology);
        self.topology = topology;
        self.lookup.clear();
    }

    /// Reads a burst from one TAP; returns how many octets there were.
    fn read_port(&mut self, id: PortId) -> usize {
        let Some((state, tap)) = self.ports.get_mut(&id) else { return 0 };
        self.outlet.place = (Point::Port(id), None);
        let cx = Context {
            topology: &self.topology,
            counters: &self.counters,
            worker: self.index,
            now: self.outlet.now,
            source_ports: self.source_ports,
        };
        // Who polls busily wants the first frame out before the next is looked for, unless there are many.
        let at_once = self.polling == Polling::Busy && self.outlet.now >= self.bulk_until;
        let turn = if self.crowd.until > self.outlet.now { CROWDED_TURN } else { FLUSH_OCTETS };
        let burst = Burst::begin(Direction::Outbound, &self.counters);
        let mut octets = 0;
        let mut gone = None;
        for _ in 0..BURST {
            match self.read_buffer.read(tap) {
                Ok(Some((vnet, frame))) => {
                    octets += frame.len();
                    if frame.len() > BULK {
                        self.first_until = self.outlet.now + FIRST_MEMORY;
                    }
                    self.counters.batching.tap_reads.add(1);
                    if self.outlet.captures.is_on() {
                        let vnet = vnet.unwrap_or_default();
                        self.outlet.captures.comes(id, &vnet, frame.of(self.read_buffer.octets()));
                    }
                    match vnet {
                        Ok(vnet) => outbound::handle_frame(
                            &cx,
                            &mut self.lookup,
                            state,
                            (&vnet, frame, self.read_buffer.octets()),
                            &mut self.outlet,
                        ),
                        Err(_) => self.outlet.torn(frame.of(self.read_buffer.octets())),
                    }
                    if self.outlet.captures.is_on() {
                        self.outlet.captures.handled();
                        self.outlet.captures.settle();
                    }
                    if at_once || self.outlet.batch.octets() >= FLUSH_OCTETS || !self.read_buffer.has_room() {
                        self.outlet.flush(self.read_buffer.octets());
                    }
                    if !self.outlet.batch.holds_bodies() {
                        self.read_buffer.clear();
                    }
                    if octets >= turn {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    gone = Some(error);
                    break;
                }
            }
        }
        self.outlet.flush(self.read_buffer.octets());
        self.read_buffer.clear();
        if octets > 0 {
            self.crowd.note(id, self.outlet.now);
            let frames = self.bursts.end(&burst, &self.counters, self.outlet.now);
            self.outlet.count_read(id, frames, octets as u64);
        }
        if let Some(error) = gone {
            self.lose_port(id, error);
        }
        octets
    }

    /// A TAP that cannot be read is not looked at again until control says so. While control has no room to hear of
    /// it, it stays, and is found again with the next wait.
    fn lose_port(&mut self, id: PortId, error: io::Error) {
        let event = WorkerEvent::PortGone { port: id, error };
        if let Err(crossbeam_channel::TrySendError::Full(_)) = self.outlet.events.try_send(event) {
            return;
        }
        if let Some((_, tap)) = self.ports.remove(&id) {
            let _ = self.poll.remove(&*tap);
        }
    }

    /// Receives a burst from one socket; returns how many octets there were.
    fn receive(&mut self, index: usize) -> usize {
        let Some((format, receiver)) = self.receivers.get_mut(index) else { return 0 };
        // An error that came back for an earlier datagram is not this socket's: it never sends.
        let Ok(lost) = receiver.receive(&mut self.recv_buffer) else { return 0 };
        self.counters.lost_before.udp_overflow.add(u64::from(lost));
        let cx = Context {
            topology: &self.topology,
            counters: &self.counters,
            worker: self.index,
            now: self.outlet.now,
            source_ports: self.source_ports,
        };
        let burst = Burst::begin(Direction::Inbound, &self.counters);
        let (received, buffer) = self.recv_buffer.received();
        let octets: usize = received.iter().map(|message| message.len).sum();
        self.counters.batching.udp_reads.add(received.len() as u64);
        if octets > BULK {
            self.first_until = self.outlet.now + FIRST_MEMORY;
        }
        for received in received {
            self.outlet.place = (Point::Peer(received.from.ip()), Some(*format));
            let message = Message {
                from: received.from.ip(),
                format: *format,
                start: received.start,
                len: received.len,
                stride: received.stride,
                tos: received.tos,
            };
            let mut handle = |message: &Message, buffer: &mut [u8], outlet: &mut Outlet| {
                inbound::handle_message(
                    &cx,
                    &mut self.lookup,
                    &mut self.coalescer,
                    (message, buffer),
                    outlet,
                );
            };
            if self.outlet.captures.is_on() {
                let ends = (received.from, receiver.address());
                captures::handle_apart(&message, ends, buffer, &mut self.outlet, handle);
            } else {
                handle(&message, buffer, &mut self.outlet);
            }
        }
        // Strays that are handed over; they lie in the receive buffer.
        self.outlet.flush(buffer);
        for run in self.coalescer.finish() {
            self.outlet.write_run(run, buffer);
            self.crowd.note(PortId::new(run.target()), self.outlet.now);
        }
        self.coalescer.clear();
        let frames = self.bursts.end(&burst, &self.counters, self.outlet.now);
        self.counters.tunnels.count_received(*format, frames, octets as u64);
        if self.outlet.captures.is_on() {
            self.outlet.captures.forget_messages();
        }
        octets
    }
}
