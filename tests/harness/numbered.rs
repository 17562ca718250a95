//! Numbered datagrams that run until they are told to end: which arrive, how often, and when none did.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::netns::Netns;
use crate::pauses::Pauses;
use crate::traffic::{receiving_socket, unspecified};
use crate::wait;

/// Between two datagrams.
const EVERY: Duration = Duration::from_millis(1);
/// What is still under way at the end has so long to arrive.
const LATE: Duration = Duration::from_millis(500);

/// Running datagrams, a thousand a second at most.
#[derive(Debug)]
pub struct Numbered {
    stop: Arc<AtomicBool>,
    pauses: Arc<Pauses>,
    sender: JoinHandle<usize>,
    receiver: JoinHandle<Vec<u32>>,
}

/// What became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Datagrams sent.
    pub sent: usize,
    /// Numbers that arrived, each counted once.
    pub received: usize,
    /// Datagrams that arrived although their number had been there.
    pub again: usize,
}

impl Numbered {
    /// Sends from one pod to another.
    ///
    /// # Panics
    ///
    /// When the receiver does not come up.
    #[must_use]
    #[track_caller]
    pub fn start(from: &Arc<Netns>, to: (&Arc<Netns>, IpAddr), port: u16) -> Self {
        let target = SocketAddr::new(to.1, port);
        let (stop, pauses) = (Arc::new(AtomicBool::new(false)), Arc::new(Pauses::default()));
        let (ready, is_ready) = mpsc::channel();
        let (pod, told, notes) = (Arc::clone(to.0), Arc::clone(&stop), Arc::clone(&pauses));
        let receiver = std::thread::spawn(move || {
            pod.join();
            let socket = receiving_socket(target);
            ready.send(()).expect("the sender waits");
            receive(&socket, &told, &notes)
        });
        is_ready.recv_timeout(wait::secs(5)).expect("the receiver is ready");
        let (pod, told) = (Arc::clone(from), Arc::clone(&stop));
        let sender = std::thread::spawn(move || {
            pod.join();
            send(target, &told)
        });
        Self { stop, pauses, sender, receiver }
    }

    /// The longest time without a datagram that ended after `start`.
    #[must_use]
    pub fn longest_pause_since(&self, start: Instant) -> Duration {
        self.pauses.longest_since(start)
    }

    /// Ends them.
    ///
    /// # Panics
    ///
    /// When an end has panicked.
    #[must_use]
    #[track_caller]
    pub fn finish(self) -> Heard {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().expect("the sender");
        let times = self.receiver.join().expect("the receiver");
        let received = times.iter().filter(|times| **times > 0).count();
        let again = times.iter().map(|times| times.saturating_sub(1) as usize).sum();
        Heard { sent, received, again }
    }
}

fn send(target: SocketAddr, stop: &AtomicBool) -> usize {
    let socket = UdpSocket::bind((unspecified(target.ip()), 0)).expect("a socket");
    let mut number = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        // One that is refused is a lost one.
        let _ = socket.send_to(&(number as u64).to_be_bytes(), target);
        number += 1;
        std::thread::sleep(EVERY);
    }
    number
}

/// How often each number arrived.
fn receive(socket: &UdpSocket, stop: &AtomicBool, pauses: &Pauses) -> Vec<u32> {
    let (mut times, mut buffer, mut last) = (Vec::new(), [0; 8], wait::now());
    socket.set_read_timeout(Some(LATE)).expect("a time limit");
    loop {
        let Ok(8) = socket.recv(&mut buffer) else {
            if stop.load(Ordering::Relaxed) {
                return times;
            }
            continue;
        };
        pauses.arrived(&mut last);
        let number = u64::from_be_bytes(buffer) as usize;
        assert!(number < 1 << 20, "nobody sends number {number}");
        times.resize(times.len().max(number + 1), 0);
        times[number] += 1;
    }
}
