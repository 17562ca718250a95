//! The thread that watches paths: what workers received for it, what control wants, and the clock go to the engine; what
//! the engine says leaves by the data sockets, or goes to control.
//!
//! Probes leave by the same sockets as frames, with DF set, so that they take the same ways.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, never, select_biased};
use encap::tunnel::{self, IpVersion};
use encap::{Format, Mtu, Span, control};
use fdb::gossip::identity::{BootId, NodeId};
use fdb::gossip::seal::{Mode, Process};

use super::captures::Names;
use crate::batch::{Route, SendBatch};
use crate::capture::datagrams::Datagrams;
use crate::capture::record::Flow;
use crate::capture::ring::Writer;
use crate::clock;
use crate::control::devices::Watched;
use crate::counters::PaddedCounters;
use crate::events::{ControlDatagram, WorkerEvent};
use crate::io::random::{OsRng, os_rng};
use crate::io::sender;
use crate::io::udp::{SendSockets, SharedSockets};
use crate::log::say;
use crate::path::{Arrival, Config, Dropped, Engine, Moment, Outgoing, Output, Path, View};

/// Control datagrams that may wait: a round of answers of many members.
const DATAGRAMS: usize = 1024;
/// Orders of control that may wait.
const ORDERS: usize = 64;
/// How often workers are asked whether they sent frames to a member.
const ACTIVITY: Duration = Duration::from_millis(500);
/// When control is told again what there was no room for.
const TELL_AGAIN: Duration = Duration::from_millis(20);
/// How long the thread waits when nothing is due.
const FOR_EVER: Duration = Duration::from_secs(3600);
/// How long control waits for an answer, or for room for an order.
const PATIENCE: Duration = Duration::from_secs(1);

/// What control wants of the thread.
enum Order {
    Watch(Config, Vec<Watched>),
    Keys(Mode),
    TooBig { to: SocketAddr, mtu: u32 },
    Examine(NodeId),
    Post(Outgoing),
    Views(Sender<BTreeMap<NodeId, View>>),
    Capture(Writer, Names),
}

/// What the thread starts with.
pub(super) struct Start {
    /// This run of this node.
    pub(super) me: Process,
    /// The keys of gossip, which seal probes too.
    pub(super) mode: Mode,
    /// The data sockets.
    pub(super) sockets: Arc<SendSockets>,
    /// Where it counts.
    pub(super) counters: Arc<PaddedCounters>,
    /// What it tells control.
    pub(super) events: Sender<WorkerEvent>,
}

/// Control's end, and the workers'.
pub(super) struct Paths {
    orders: Sender<Order>,
    datagrams: Sender<ControlDatagram>,
    thread: JoinHandle<()>,
}

impl Paths {
    /// Starts the thread; it ends when this is dropped or [ended](Self::end).
    pub(super) fn start(start: Start) -> Result<Self> {
        let (orders, ordered) = bounded(ORDERS);
        let (datagrams, received) = bounded(DATAGRAMS);
        let watch = Watch::new(start)?;
        let thread = std::thread::Builder::new().name("paths".to_owned());
        let thread = thread.spawn(move || watch.run(&ordered, received))?;
        Ok(Self { orders, datagrams, thread })
    }

    /// Where workers put control datagrams.
    pub(super) fn datagrams(&self) -> Sender<ControlDatagram> {
        self.datagrams.clone()
    }

    pub(super) fn watch(&self, config: Config, watched: Vec<Watched>) {
        self.order(Order::Watch(config, watched));
    }

    pub(super) fn set_keys(&self, mode: Mode) {
        self.order(Order::Keys(mode));
    }

    pub(super) fn too_big(&self, to: SocketAddr, mtu: u32) {
        self.order(Order::TooBig { to, mtu });
    }

    pub(super) fn examine(&self, node: NodeId) {
        self.order(Order::Examine(node));
    }

    pub(super) fn post(&self, letter: Outgoing) {
        self.order(Order::Post(letter));
    }

    /// What is known of all paths.
    pub(super) fn views(&self) -> BTreeMap<NodeId, View> {
        let (reply, answer) = bounded(1);
        self.order(Order::Views(reply));
        answer.recv_timeout(PATIENCE).unwrap_or_default()
    }

    /// Shows what is sent to whoever reads the other end of this ring, until that is gone; `names` says to whom it goes.
    pub(super) fn capture(&self, writer: Writer, names: Names) {
        self.order(Order::Capture(writer, names));
    }

    /// A thread that takes no order within the time has ended, and says so where it is joined.
    fn order(&self, order: Order) {
        let _ = self.orders.send_timeout(order, PATIENCE);
    }

    /// Whether the thread has ended, which it does of itself only by a panic.
    pub(super) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the thread.
    pub(super) fn end(self) -> std::thread::Result<()> {
        drop(self.orders);
        self.thread.join()
    }
}

/// The thread's own.
struct Watch {
    engine: Engine,
    rng: OsRng,
    watched: Vec<Watched>,
    activity_at: Instant,
    sockets: Arc<SendSockets>,
    sender: sender::Sender<SharedSockets>,
    batch: SendBatch,
    counters: Arc<PaddedCounters>,
    events: Sender<WorkerEvent>,
    /// Paths that control is still to be told of: the latest state of each, since one that was lost would be wrong for good.
    untold: BTreeMap<NodeId, (BootId, Path)>,
    captures: Datagrams,
    names: Names,
    /// What stands behind a probe to make it as large as it is to be.
    padding: Box<[u8]>,
}

impl Watch {
    fn new(start: Start) -> Result<Self> {
        let Start { me, mode, sockets, counters, events } = start;
        let now = clock::now();
        Ok(Self {
            engine: Engine::new(me, mode, Config::default(), now),
            rng: os_rng()?,
            watched: Vec::new(),
            activity_at: now,
            sender: sender::Sender::new(SharedSockets(Arc::clone(&sockets)), false),
            sockets,
            batch: SendBatch::new(1),
            counters,
            events,
            untold: BTreeMap::new(),
            captures: Datagrams::new(u16::MAX - 1),
            names: Names::default(),
            padding: vec![0; usize::from(u16::MAX)].into_boxed_slice(),
        })
    }

    fn run(mut self, orders: &Receiver<Order>, mut datagrams: Receiver<ControlDatagram>) {
        loop {
            let due = self.engine.poll_timeout().into_iter().chain(self.activity_due()).min();
            let most = if self.untold.is_empty() { FOR_EVER } else { TELL_AGAIN };
            let patience = due.map_or(most, |due| due.saturating_duration_since(clock::now()).min(most));
            select_biased! {
                // Control waits for some of its orders; datagrams may come without a pause.
                recv(orders) -> order => match order {
                    Ok(order) => self.obey(order),
                    Err(_) => return,
                },
                recv(datagrams) -> datagram => match datagram {
                    Ok(datagram) => self.receive(&datagram),
                    // The workers have ended; control's word is still to come.
                    Err(_) => datagrams = never(),
                },
                default(patience) => {}
            }
            let now = clock::now();
            if self.activity_due().is_some_and(|due| now >= due) {
                self.look_at_activity(now);
            }
            if self.engine.poll_timeout().is_some_and(|due| now >= due) {
                self.engine.handle_timeout(moment(now), &mut self.rng);
            }
            self.drain();
            self.tell();
        }
    }

    /// Nobody watched has no activity.
    fn activity_due(&self) -> Option<Instant> {
        (!self.watched.is_empty()).then_some(self.activity_at)
    }

    fn look_at_activity(&mut self, now: Instant) {
        self.activity_at = now + ACTIVITY;
        for watched in &self.watched {
            if watched.activity.take() {
                self.engine.note_traffic(watched.target.node, now);
            }
        }
    }

    fn receive(&mut self, datagram: &ControlDatagram) {
        let header = IpVersion::from(datagram.from).header_len() + tunnel::UDP_HEADER_LEN;
        let arrival = Arrival {
            from: SocketAddr::new(datagram.from, 0),
            format: datagram.format,
            sealed: datagram.sealed(),
            size: usize::from(datagram.size) + header,
            at: datagram.at,
        };
        if let Err(why) = self.engine.handle_datagram(arrival, moment(clock::now()), &mut self.rng) {
            if let Dropped::Seal(refusal) = &why {
                self.counters.seals.note(refusal);
            }
            say!(ControlDropped, from = %datagram.from, reason = %why, "a probe or answer was not believed");
        }
    }

    fn obey(&mut self, order: Order) {
        let now = clock::now();
        match order {
            Order::Watch(config, watched) => {
                self.engine.set_config(config, now);
                let targets: Vec<_> = watched.iter().map(|watched| watched.target).collect();
                self.engine.set_targets(&targets, now);
                self.watched = watched;
                // Control may have forgotten what it was told of a member that was hidden for a moment.
                targets.iter().for_each(|target| self.note_path(target.node));
            }
            Order::Keys(mode) => self.engine.set_mode(mode),
            Order::TooBig { to, mtu } => self.engine.handle_too_big(to.into(), octets(mtu), now),
            Order::Examine(node) => self.engine.examine(node, now),
            Order::Post(letter) => {
                if let Err(why) = self.engine.post(&letter, now) {
                    say!(LetterDropped, addr = %letter.to, reason = %why, "a letter of a trace is not sent");
                    let _ = self.events.try_send(WorkerEvent::NotSent(Box::new(letter)));
                }
            }
            Order::Capture(writer, names) => {
                self.captures.begin(writer);
                self.names = names;
            }
            Order::Views(reply) => {
                let nodes = self.watched.iter().map(|watched| watched.target.node);
                let views = nodes.filter_map(|node| Some((node, self.view(node)?)));
                // Whoever asked may have lost patience.
                let _ = reply.send(views.collect());
            }
        }
    }

    /// With the numbers of the source ports, which only the sockets know.
    fn view(&self, node: NodeId) -> Option<View> {
        let mut view = self.engine.view(node)?;
        let to = view.target.vtep(view.path.way).socket_addr();
        for (index, source) in (0u16..).zip(&mut view.sources) {
            source.port = self.sockets.port(index, to);
        }
        Some(view)
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { to, format, source, sealed, size } => {
                    self.send(Route { to, source, tos: 0 }, format, &sealed, size);
                }
                Output::Path { node, .. } => self.note_path(node),
                // Who wrote it asks again, if there is no room.
                Output::Letter(letter) => drop(self.events.try_send(WorkerEvent::Letter(letter))),
            }
        }
    }

    fn note_path(&mut self, node: NodeId) {
        if let Some(View { target, path, .. }) = self.engine.view(node) {
            self.untold.insert(node, (target.boot, path));
        }
    }

    /// Tells control what changed, as far as there is room.
    fn tell(&mut self) {
        while let Some((node, (boot, path))) = self.untold.pop_first() {
            match self.events.try_send(WorkerEvent::Path { node, boot, path }) {
                Ok(()) => {}
                Err(TrySendError::Full(WorkerEvent::Path { node, boot, path })) => {
                    self.untold.insert(node, (boot, path));
                    return;
                }
                // Control has ended.
                Err(_) => return,
            }
        }
    }

    /// Sends one datagram, which makes an IP packet of `size` octets, or of more where the sealed part needs them.
    fn send(&mut self, route: Route, format: Format, sealed: &[u8], size: usize) {
        let (to, Ok(sealed_len)) = (route.to, u16::try_from(sealed.len())) else { return };
        let head = [control::write_head(format, sealed_len).octets(), sealed].concat();
        let packet = u32::try_from(size).ok().and_then(|size| Mtu::new(size).ok());
        let padding = packet.and_then(|packet| control::padding(format, sealed_len, to.ip().into(), packet));
        let padding = Span::new(0, padding.unwrap_or(0).min(self.padding.len()));
        self.batch.datagram(route, head.len(), padding, &self.padding).copy_from_slice(&head);
        let now = clock::now();
        let report = self.sender.send(&self.batch, &self.padding, now);
        self.batch.clear();
        if self.captures.is_on() && report.sent > 0 {
            let point = (self.names.peer(to.ip()), Flow::Out);
            self.captures.note(point, self.ends(route), &[&head, padding.of(&self.padding)], now);
        }
        self.counters.notices.control_sent.add(report.sent);
        self.counters.notices.icmp_errors.add(report.icmp_errors);
        for returned in report.too_big {
            match returned.mtu {
                Some(mtu) if returned.remote => {
                    self.engine.handle_too_big(returned.to.into(), octets(mtu), now);
                }
                // The sockets are the workers', too: what the kernel says may be of another's datagram.
                mtu => {
                    let least = mtu.map_or(size, |mtu| usize::from(octets(mtu)).saturating_add(1));
                    if returned.to.ip() == to.ip() && least <= size {
                        self.engine.handle_refused(to, least, now);
                    }
                }
            }
        }
    }

    /// Who sends, and to whom.
    fn ends(&self, route: Route) -> (SocketAddr, SocketAddr) {
        let to = route.to.socket_addr();
        let port = self.sockets.port(route.source, to).unwrap_or(0);
        (SocketAddr::new(self.names.own(to.is_ipv4()), port), to)
    }
}

/// An MTU as IP has it; what is larger is no limit.
fn octets(mtu: u32) -> u16 {
    u16::try_from(mtu).unwrap_or(u16::MAX)
}

/// Now, on both clocks.
fn moment(at: Instant) -> Moment {
    Moment { at, unix_ms: clock::unix_ms() }
}
