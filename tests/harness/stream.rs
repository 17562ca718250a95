//! A TCP stream that runs until it is told to end, checks what arrives, and notes when nothing did.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::netns::Netns;
use crate::pauses::Pauses;
use crate::rng::Rng;
use crate::wait;

/// A stream that stands still for this long is broken.
const STALL: Duration = Duration::from_secs(8);
/// Octets of noise that repeat; no power of two, so that a piece that is moved by a round number is noticed.
const PERIOD: usize = 65_521;

/// A running stream.
#[derive(Debug)]
pub struct Stream {
    stop: Arc<AtomicBool>,
    seen: Arc<Seen>,
    ends: Vec<JoinHandle<Result<(), String>>>,
}

/// What the receiver has seen.
#[derive(Debug)]
struct Seen {
    octets: AtomicU64,
    pauses: Pauses,
}

impl Stream {
    /// Connects two pods by a port and sends as fast as TCP lets it. A `window` (octets of receive buffer) keeps what is
    /// under way small.
    ///
    /// # Panics
    ///
    /// When the connection does not come up.
    #[must_use]
    #[track_caller]
    pub fn start(from: &Arc<Netns>, to: (&Arc<Netns>, IpAddr), port: u16, window: Option<usize>) -> Self {
        let target = SocketAddr::new(to.1, port);
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Seen { octets: AtomicU64::new(0), pauses: Pauses::default() });
        let (ready, is_ready) = mpsc::channel();
        let (pod, notes) = (Arc::clone(to.0), Arc::clone(&seen));
        let receiver = std::thread::spawn(move || {
            pod.join();
            let listener = listen(target, window)?;
            // The one who waits may have panicked meanwhile.
            let _ = ready.send(());
            receive(&listener, &notes)
        });
        is_ready.recv_timeout(STALL).expect("the receiver listens");
        let (pod, told) = (Arc::clone(from), Arc::clone(&stop));
        let sender = std::thread::spawn(move || {
            pod.join();
            send(target, &told)
        });
        let stream = Self { stop, seen, ends: vec![receiver, sender] };
        let what = format!("a TCP stream from {} to {target}", from.name());
        wait::until(STALL, &what, || stream.octets() > 0);
        stream
    }

    /// Octets that have arrived as they were sent.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.seen.octets.load(Ordering::Relaxed)
    }

    /// The longest time without an octet that ended after `start`.
    #[must_use]
    pub fn longest_pause_since(&self, start: Instant) -> Duration {
        self.seen.pauses.longest_since(start)
    }

    /// Whether neither end has given up.
    #[must_use]
    pub fn lives(&self) -> bool {
        !self.ends.iter().any(JoinHandle::is_finished)
    }

    /// Ends the stream; returns the octets that arrived.
    ///
    /// # Errors
    ///
    /// What went wrong meanwhile: a stall, a byte that changed, a connection that broke.
    pub fn finish(mut self) -> Result<u64, String> {
        self.stop.store(true, Ordering::Relaxed);
        let ended: Vec<_> =
            self.ends.drain(..).map(|end| end.join().expect("an end of the stream")).collect();
        ended.into_iter().collect::<Result<Vec<()>, _>>().map(|_| self.octets())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for end in self.ends.drain(..) {
            // What it says is of interest to `finish` only.
            let _ = end.join();
        }
    }
}

fn noise() -> Vec<u8> {
    let mut noise = vec![0; PERIOD];
    Rng::new(PERIOD as u64).fill(&mut noise);
    noise
}

fn listen(at: SocketAddr, window: Option<usize>) -> Result<TcpListener, String> {
    let listener = || -> std::io::Result<TcpListener> {
        let socket = socket2::Socket::new(socket2::Domain::for_address(at), socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        if let Some(octets) = window {
            socket.set_recv_buffer_size(octets)?;
        }
        socket.bind(&at.into())?;
        socket.listen(1)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    listener().map_err(|e| format!("listen at {at}: {e}"))
}

fn send(target: SocketAddr, stop: &AtomicBool) -> Result<(), String> {
    let say = |e: std::io::Error| format!("sender to {target}: {e}");
    let mut stream = TcpStream::connect_timeout(&target, STALL).map_err(say)?;
    stream.set_write_timeout(Some(STALL)).map_err(say)?;
    stream.set_read_timeout(Some(STALL)).map_err(say)?;
    let noise = noise();
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(&noise).map_err(say)?;
    }
    stream.shutdown(std::net::Shutdown::Write).map_err(say)?;
    // Waiting for the other end keeps the last octets from being cut off by our closing.
    stream.read(&mut [0]).map(|_| ()).map_err(say)
}

fn receive(listener: &TcpListener, seen: &Seen) -> Result<(), String> {
    let say = |e: std::io::Error| format!("receiver: {e}");
    let mut accepted = Err("nobody connected".to_owned());
    wait::reached(STALL, || match listener.accept() {
        Err(e) if e.kind() == ErrorKind::WouldBlock => false,
        other => {
            accepted = other.map(|(stream, _)| stream).map_err(say);
            true
        }
    });
    let mut stream = accepted?;
    stream.set_nonblocking(false).map_err(say)?;
    stream.set_read_timeout(Some(STALL)).map_err(say)?;
    let (noise, mut buffer, mut at, mut last) = (noise(), vec![0; 256 << 10], 0, wait::now());
    loop {
        let room = buffer.len().min(PERIOD - at);
        let len = stream.read(&mut buffer[..room]).map_err(say)?;
        if len == 0 {
            return Ok(());
        }
        if buffer[..len] != noise[at..][..len] {
            return Err(format!("octets changed after {}", seen.octets.load(Ordering::Relaxed)));
        }
        at = (at + len) % PERIOD;
        seen.octets.fetch_add(len as u64, Ordering::Relaxed);
        seen.pauses.arrived(&mut last);
    }
}
