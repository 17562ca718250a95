//! Streams to other nodes: TCP, sealed, one a node, made when there is something to say and let go when there is not.
//!
//! ```text
//!  send ─> to the node's stream, or dial ─> hello ─> writer task ─> TCP
//!  Event <── bounded channel <── reader task <── TCP (who is not read waits)
//! ```

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fdb::gossip::frame::{self, Frames};
use fdb::gossip::identity::NodeId;
use fdb::gossip::seal::stream::{
    CONFIRM_OCTETS, Callee, Caller, HELLO_OCTETS, MAX_RECORD_OCTETS, Progress, StreamOpener, StreamSealer,
};
use fdb::gossip::seal::{Mode, Process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::clock;
use crate::io::random::os_rng;
use crate::log::say;

#[cfg(test)]
mod tests;

/// Callers that have not proved yet that they have the key; more are turned away.
const MAX_HALF_OPEN: usize = 64;

/// Streams at a time, of both directions.
const MAX_STREAMS: usize = 256;

/// How long a stream may take to stand.
const HELLO_TIME: Duration = Duration::from_secs(5);

/// A stream on which nothing moves for this long is let go.
const IDLE: Duration = Duration::from_secs(15);

/// Messages that wait for one stream.
const QUEUE: usize = 16;

/// What happened on the streams.
pub(super) enum Event {
    /// A stream to a process stands.
    Opened(Process),
    /// A message came.
    Message(Process, Vec<u8>),
    /// The queue of a stream has room again.
    Drained(u64),
    /// A stream ended, or none came about.
    Ended(u64),
    /// A caller did not prove that it has the key.
    Refused(SocketAddr, String),
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    /// The queue of this stream is full; [`Event::Drained`] or [`Event::Ended`] will come for it.
    Full(u64),
    /// There is no stream, and no room for one.
    NoStream,
}

/// All streams of this node.
pub(super) struct Streams {
    me: Process,
    /// Where others call this node.
    own: SocketAddr,
    mode: watch::Sender<Rc<Mode>>,
    next: u64,
    /// The queue of each stream, by its number.
    queues: BTreeMap<u64, mpsc::Sender<Vec<u8>>>,
    /// The newest stream of a node, and the calls that are on their way.
    nodes: BTreeMap<NodeId, u64>,
    calls: BTreeMap<SocketAddr, u64>,
    half_open: BTreeSet<u64>,
    events: mpsc::Sender<(u64, Event)>,
    arrived: mpsc::Receiver<(u64, Event)>,
}

impl Streams {
    pub(super) fn new(me: Process, own: SocketAddr, mode: Mode) -> Self {
        let (events, arrived) = mpsc::channel(QUEUE);
        Self {
            me,
            own,
            mode: watch::Sender::new(Rc::new(mode)),
            next: 0,
            queues: BTreeMap::new(),
            nodes: BTreeMap::new(),
            calls: BTreeMap::new(),
            half_open: BTreeSet::new(),
            events,
            arrived,
        }
    }

    /// The keys changed; streams that stand keep theirs.
    pub(super) fn set_mode(&mut self, mode: Mode) {
        self.mode.send_replace(Rc::new(mode));
    }

    /// Sends a message over the stream to a node, or calls whoever is at the address.
    ///
    /// # Errors
    ///
    /// [`Unsent`]: nothing was sent.
    pub(super) fn send(
        &mut self,
        node: Option<NodeId>,
        addr: SocketAddr,
        message: Vec<u8>,
    ) -> Result<(), Unsent> {
        let stands = node.and_then(|node| self.nodes.get(&node)).or_else(|| self.calls.get(&addr)).copied();
        let id = match stands.filter(|id| self.queues.get(id).is_some_and(|queue| !queue.is_closed())) {
            Some(id) => id,
            None if addr == self.own || self.queues.len() >= MAX_STREAMS => return Err(Unsent::NoStream),
            None => self.call(addr),
        };
        let queue = self.queues.get(&id).ok_or(Unsent::NoStream)?;
        queue.try_send(message).map_err(|_| Unsent::Full(id))
    }

    fn open(&mut self) -> (u64, mpsc::Receiver<Vec<u8>>) {
        let (sender, queue) = mpsc::channel(QUEUE);
        self.next += 1;
        self.queues.insert(self.next, sender);
        (self.next, queue)
    }

    fn call(&mut self, addr: SocketAddr) -> u64 {
        let (id, queue) = self.open();
        self.calls.insert(addr, id);
        let (me, mode, events) = (self.me, Rc::clone(&self.mode.borrow()), self.events.clone());
        tokio::task::spawn_local(async move {
            let made = timeout(HELLO_TIME, dial(me, addr, &mode)).await;
            let why = match made {
                Ok(Ok((stream, tcp))) => {
                    carry(id, stream, tcp, queue, events).await;
                    return;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            say!(GossipCallFailed, %addr, reason = why, "a node cannot be called over TCP");
            let _ = events.send((id, Event::Ended(id))).await;
        });
        id
    }

    /// Takes a caller in; false: there is no room for it.
    pub(super) fn accept(&mut self, tcp: TcpStream, from: SocketAddr) -> bool {
        if self.half_open.len() >= MAX_HALF_OPEN || self.queues.len() >= MAX_STREAMS {
            return false;
        }
        let (id, queue) = self.open();
        self.half_open.insert(id);
        let (me, mode, events) = (self.me, Rc::clone(&self.mode.borrow()), self.events.clone());
        tokio::task::spawn_local(async move {
            let made = timeout(HELLO_TIME, answer(me, tcp, &mode)).await;
            let why = match made {
                Ok(Ok((stream, tcp))) => {
                    carry(id, stream, tcp, queue, events).await;
                    return;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it did not prove in time that it has the key".to_owned(),
            };
            let _ = events.send((id, Event::Refused(from, why))).await;
        });
        true
    }

    /// The next event.
    pub(super) async fn next(&mut self) -> Option<Event> {
        let (id, event) = self.arrived.recv().await?;
        match &event {
            Event::Opened(who) => {
                self.half_open.remove(&id);
                self.nodes.insert(who.node, id);
                self.calls.retain(|_, call| *call != id);
            }
            Event::Ended(..) | Event::Refused(..) => {
                self.half_open.remove(&id);
                self.queues.remove(&id);
                self.calls.retain(|_, call| *call != id);
                self.nodes.retain(|_, stream| *stream != id);
            }
            Event::Message(..) | Event::Drained(_) => {}
        }
        Some(event)
    }
}

/// Both halves of a sealed stream.
type Sealed = fdb::gossip::seal::stream::Stream;

async fn dial(me: Process, addr: SocketAddr, mode: &Mode) -> io::Result<(Sealed, TcpStream)> {
    let mut tcp = TcpStream::connect(addr).await?;
    tcp.set_nodelay(true)?;
    let (caller, hello) = Caller::new(me, mode, &mut os_rng()?);
    tcp.write_all(&hello).await?;
    let mut hello = [0; HELLO_OCTETS];
    tcp.read_exact(&mut hello).await?;
    let (stream, confirm) = caller.finish(mode, &hello).map_err(io::Error::other)?;
    tcp.write_all(&confirm).await?;
    Ok((stream, tcp))
}

async fn answer(me: Process, mut tcp: TcpStream, mode: &Mode) -> io::Result<(Sealed, TcpStream)> {
    tcp.set_nodelay(true)?;
    let mut hello = [0; HELLO_OCTETS];
    tcp.read_exact(&mut hello).await?;
    let (callee, hello) = Callee::new(me, mode, &hello, &mut os_rng()?).map_err(io::Error::other)?;
    tcp.write_all(&hello).await?;
    let mut confirm = [0; CONFIRM_OCTETS];
    tcp.read_exact(&mut confirm).await?;
    let stream = callee.finish(&confirm).map_err(io::Error::other)?;
    Ok((stream, tcp))
}

/// A stream that stands, and whom it tells of what happens on it.
struct Line {
    id: u64,
    peer: Process,
    events: mpsc::Sender<(u64, Event)>,
    /// When octets came last.
    heard: Cell<Instant>,
}

impl Line {
    /// False: nobody listens any more.
    async fn tell(&self, event: Event) -> bool {
        self.events.send((self.id, event)).await.is_ok()
    }
}

/// Carries messages both ways until nothing moves any more.
async fn carry(
    id: u64,
    stream: Sealed,
    tcp: TcpStream,
    queue: mpsc::Receiver<Vec<u8>>,
    events: mpsc::Sender<(u64, Event)>,
) {
    let Sealed { peer, sealer, opener } = stream;
    let line = Line { id, peer, events, heard: Cell::new(clock::now()) };
    let (read, write) = tcp.into_split();
    if line.tell(Event::Opened(peer)).await {
        let (reading, writing) = (read_all(&line, opener, read), write_all(&line, sealer, write, queue));
        tokio::pin!(reading, writing);
        let ended = tokio::select! {
            ended = &mut reading => ended,
            ended = &mut writing => ended,
        };
        if let Err(error) = ended {
            say!(GossipStreamEnded, peer = %peer.node, reason = %error, "a stream to a node ended");
        }
    }
    line.tell(Event::Ended(id)).await;
}

async fn write_all(
    line: &Line,
    mut sealer: StreamSealer,
    mut write: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    let mut octets = Vec::new();
    loop {
        let message = match timeout(IDLE, queue.recv()).await {
            Ok(Some(message)) => message,
            // The other end may still be sending.
            Err(_) if line.heard.get() + IDLE > clock::now() => continue,
            _ => break,
        };
        octets.clear();
        let framed = frame::encode(&message).map_err(io::Error::other)?;
        sealer.seal(&framed, &mut octets).map_err(io::Error::other)?;
        timeout(IDLE, write.write_all(&octets)).await??;
        if queue.is_empty() {
            line.tell(Event::Drained(line.id)).await;
        }
    }
    octets.clear();
    sealer.finish(&mut octets).map_err(io::Error::other)?;
    write.write_all(&octets).await?;
    write.shutdown().await
}

async fn read_all(line: &Line, mut opener: StreamOpener, mut read: OwnedReadHalf) -> io::Result<()> {
    let mut octets = Vec::with_capacity(MAX_RECORD_OCTETS);
    let (mut plain, mut frames) = (Vec::new(), Frames::default());
    loop {
        match opener.open(&octets, &mut plain).map_err(io::Error::other)? {
            Progress::Wait { .. } => {
                if timeout(IDLE * 2, read.read_buf(&mut octets)).await?? == 0 {
                    return opener.end().map_err(io::Error::other);
                }
                line.heard.set(clock::now());
            }
            Progress::Record { taken } => {
                octets.drain(..taken);
                frames.push(&plain);
                plain.clear();
                while let Some(message) = frames.next_message().map_err(io::Error::other)? {
                    if !line.tell(Event::Message(line.peer, message)).await {
                        return Ok(());
                    }
                }
            }
            Progress::End { .. } => return Ok(()),
        }
    }
}

/// Waits for a caller; an error of one is no reason to end.
pub(super) async fn next_caller(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok(caller) => Some(caller),
        Err(error) => {
            say!(GossipAcceptFailed, reason = %error, "a caller could not be taken");
            // Such as no descriptor left: without a pause this would spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}
