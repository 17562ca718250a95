//! A TCP connection that is never idle, to see for how long it stands still.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use weft_tests::{Netns, wait};

/// A connection that stands still for this long is lost.
const LOST: Duration = wait::secs(20);

/// A connection with an octet on the way each 5 ms.
pub(crate) struct Trickle {
    over: Arc<AtomicBool>,
    writer: JoinHandle<()>,
    reader: JoinHandle<Duration>,
}

impl Trickle {
    /// Connects one namespace with an address of another. The sockets stay in theirs, whatever happens to devices.
    #[track_caller]
    pub(crate) fn open(from: &Netns, (to, address): (&Netns, SocketAddr)) -> Self {
        let listener = to.enter(|| TcpListener::bind(address)).expect("a listener");
        let sender = from.enter(|| TcpStream::connect_timeout(&address, LOST)).expect("a connection");
        let (receiver, _) = listener.accept().expect("the connection arrives");
        sender.set_nodelay(true).expect("no delay");
        receiver.set_read_timeout(Some(LOST)).expect("a time limit");
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let writer = std::thread::spawn(move || write_until(sender, &ends));
        let reader = std::thread::spawn(move || longest_gap(receiver));
        Self { over, writer, reader }
    }

    /// Ends it, and tells the longest time that nothing arrived.
    ///
    /// # Panics
    ///
    /// When the connection was lost.
    #[track_caller]
    pub(crate) fn close(self) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        self.writer.join().expect("the sender goes on to the end");
        self.reader.join().expect("the receiver sees the end")
    }
}

fn write_until(mut stream: TcpStream, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        stream.write_all(b"x").expect("the connection lives");
        wait::sleep_ms(5);
    }
}

fn longest_gap(mut stream: TcpStream) -> Duration {
    let (mut last, mut longest, mut octets) = (wait::now(), Duration::ZERO, [0; 4096]);
    while stream.read(&mut octets).expect("the connection lives") > 0 {
        let now = wait::now();
        longest = longest.max(now - last);
        last = now;
    }
    longest
}
