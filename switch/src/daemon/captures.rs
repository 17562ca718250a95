//! The other end of captures: from the rings of the workers to the client that asked, on a thread for each.
//!
//! The thread never holds a worker up: what it does not take in time is lost, and counted. It ends when the client has closed
//! its side of the connection, or when the workers end: it sends what is in the rings by then, and what was lost.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::capture::record::{Message, Point};
use crate::capture::ring::{At, Reader, Wanted, Writer, ring};
use crate::clock;
use crate::control::api;
use crate::control::protocol::{Capture, Capturing, ErrorReply, Reply};
use crate::topology::Topology;

/// Octets of the ring of each worker: a tenth of a second of small frames at a million a second.
const BUFFER: usize = 16 << 20;
/// Captures at a time.
const MAX: usize = 8;
/// Octets that are written in one go, about.
const CHUNK: usize = 256 << 10;
/// How long the thread waits when there is nothing.
const IDLE: Duration = Duration::from_millis(2);
/// How long all that write may take to begin, and clients to take the end.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often lost frames are told.
const TELL_LOST: Duration = Duration::from_millis(100);

/// The captures of a daemon.
#[derive(Default)]
pub(super) struct Captures {
    /// One clone for each that runs.
    running: Arc<()>,
    names: Names,
}

/// What points are called at present.
#[derive(Clone, Default)]
pub(super) struct Names(Arc<Mutex<Arc<Topology>>>);

impl Names {
    pub(super) fn set(&self, topology: Arc<Topology>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = topology;
    }

    fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The peer that has an underlay address.
    pub(super) fn peer(&self, ip: IpAddr) -> Point {
        self.topology().known_by(ip).map_or(Point::Strangers, Point::Peer)
    }

    /// This node's underlay address of an IP version.
    pub(super) fn own(&self, v4: bool) -> IpAddr {
        self.topology().encap.own_ip(v4)
    }

    /// Name and description of a point.
    fn of(&self, point: Point) -> (String, &'static str) {
        let topology = self.topology();
        let made_up =
            "datagrams of a tunnel; weft made up their Ethernet, IP and UDP headers, which it does not see";
        match point {
            Point::Port(id) => {
                let view = topology.ports.get(&id);
                let name =
                    view.map_or_else(|| format!("port:{}", id.get()), |view| format!("port:{}", view.name));
                (name, "frames and super-frames of a pod")
            }
            Point::Peer(ip) => {
                let peer = topology.peer_from(ip).map(|peer| topology.peer(peer));
                (peer.map_or_else(|| format!("peer:{ip}"), |peer| format!("peer:{}", peer.name)), made_up)
            }
            Point::Strangers => ("strangers".to_owned(), made_up),
            Point::Gossip => ("gossip".to_owned(), "what nodes tell each other, sealed; headers are made up"),
        }
    }
}

impl Captures {
    /// Lets those that run send what they have, when nothing more comes; whoever reads too slowly is not waited for long.
    pub(super) fn finish(&self) {
        let until = clock::now() + PATIENCE;
        while Arc::strong_count(&self.running) > 1 && clock::now() < until {
            std::thread::sleep(IDLE);
        }
    }

    /// What points are called; to be told of each new topology.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Begins to send what so many writers write to `connection`: first the reply, which is returned, too, with the writers.
    pub(super) fn begin(
        &self,
        (node, ask, at): (&str, Capture, At),
        connection: UnixStream,
        writers: usize,
    ) -> (Reply, Vec<Writer>) {
        if Arc::strong_count(&self.running) > MAX {
            let full = format!("{MAX} captures run, which is the most: end one of them");
            return (ErrorReply::failed(full).into(), Vec::new());
        }
        let Capture { inner, outer, snap, drops, at: _ } = ask;
        let (began, began_ns) = (clock::now(), clock::unix_ns());
        let snap = usize::try_from(snap).unwrap_or(usize::MAX);
        let wanted = Arc::new(Wanted { at, inner, outer, snap, drops, began });
        let (writers, readers): (Vec<_>, Vec<_>) = (0..writers).map(|_| ring(&wanted, BUFFER)).unzip();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let reply = Reply::Capturing(Capturing { node: node.to_owned(), version, buffer: BUFFER as u64 });
        let stream = Stream {
            readers,
            connection,
            names: self.names.clone(),
            began_ns,
            named: HashSet::new(),
            lost: BTreeMap::new(),
            left: false,
            told: began,
            _running: Arc::clone(&self.running),
        };
        let first = api::encode(&reply);
        let thread = std::thread::Builder::new().name("capture".to_owned());
        if let Err(error) = thread.spawn(move || stream.run(&first)) {
            let refused = format!("no capture: the system starts no thread: {error}");
            return (ErrorReply::failed(refused).into(), Vec::new());
        }
        (reply, writers)
    }
}

/// One capture on its way to its client.
struct Stream {
    readers: Vec<Reader>,
    connection: UnixStream,
    names: Names,
    /// When it began, in nanoseconds since 1970.
    began_ns: u64,
    named: HashSet<Point>,
    /// What the client was told of losses.
    lost: BTreeMap<Point, u64>,
    /// Whether the client wants no more.
    left: bool,
    told: Instant,
    _running: Arc<()>,
}

impl Stream {
    /// Until the client or the workers are gone; who went away needs no word of it.
    fn run(mut self, reply: &[u8]) {
        let _ = self.pass_on(reply);
    }

    fn pass_on(&mut self, reply: &[u8]) -> io::Result<()> {
        self.wait_for_writers();
        self.write(reply)?;
        let (mut raw, mut out) = (Vec::new(), Vec::new());
        loop {
            self.look(PollFlags::empty(), Duration::ZERO)?;
            // Before the last look at the rings, so that nothing is left there.
            let over = self.left || self.readers.iter().all(Reader::is_over);
            raw.clear();
            for reader in &mut self.readers {
                reader.take(&mut raw, CHUNK);
            }
            let nothing = raw.is_empty();
            out.clear();
            self.translate(&mut raw, &mut out);
            self.tell_lost(over, &mut out);
            self.write(&out)?;
            match (nothing, over) {
                (true, true) => return Ok(()),
                (true, false) => self.look(PollFlags::empty(), IDLE)?,
                (false, _) => {}
            }
        }
    }

    /// So that a client that is told so misses nothing from then on. One that is stuck is not waited for long.
    fn wait_for_writers(&self) {
        let until = clock::now() + PATIENCE;
        while !self.readers.iter().all(Reader::is_begun) && clock::now() < until {
            std::thread::sleep(IDLE);
        }
    }

    /// Names points that the client does not know yet, and makes times of the worker times of day.
    fn translate(&mut self, mut raw: &mut [u8], out: &mut Vec<u8>) {
        /// Where the time stands in a record's message: behind length and kind.
        const TIME: std::ops::Range<usize> = 5..13;
        while let Ok(Some((Message::Record(record), len))) = Message::decode(raw) {
            let at = record.at.saturating_add(self.began_ns);
            self.name(record.point, out);
            record.decision.point().into_iter().for_each(|point| self.name(point, out));
            let (message, rest) = raw.split_at_mut(len);
            message[TIME].copy_from_slice(&at.to_le_bytes());
            out.extend_from_slice(message);
            raw = rest;
        }
    }

    /// Names a point that the client does not know yet.
    fn name(&mut self, point: Point, out: &mut Vec<u8>) {
        if self.named.insert(point) {
            let (name, description) = self.names.of(point);
            Message::Name { point, name: &name, description }.encode(out);
        }
    }

    /// Tells what was lost since it was told last; at the end, and now and then before.
    fn tell_lost(&mut self, over: bool, out: &mut Vec<u8>) {
        let now = clock::now();
        if !over && now < self.told + TELL_LOST {
            return;
        }
        self.told = now;
        let mut lost = BTreeMap::<Point, u64>::new();
        for (point, frames) in self.readers.iter().flat_map(Reader::losses) {
            *lost.entry(point).or_default() += frames;
        }
        for (point, frames) in lost {
            if self.lost.insert(point, frames) != Some(frames) {
                self.name(point, out);
                Message::Lost { point, frames }.encode(out);
            }
        }
    }

    /// Writes all of it, however long the client takes.
    fn write(&mut self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            match self.connection.write(octets) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => octets = &octets[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.look(PollFlags::OUT, Duration::from_secs(1))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits for the connection, and looks whether the client wants more: it closes its side when it does not. An error when
    /// it closed both.
    fn look(&mut self, flags: PollFlags, limit: Duration) -> io::Result<()> {
        // One that has left is known to have.
        let flags = if self.left { flags } else { flags | PollFlags::RDHUP };
        let mut fds = [PollFd::new(&self.connection, flags)];
        match poll(&mut fds, Timespec::try_from(limit).ok().as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let told = fds[0].revents();
        if told.intersects(PollFlags::HUP | PollFlags::ERR) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if told.contains(PollFlags::RDHUP) {
            self.left = true;
            self.readers.iter().for_each(Reader::end);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
