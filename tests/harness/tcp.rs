//! A TCP stream whose every byte is checked.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use crate::netns::Netns;
use crate::rng::Rng;
use crate::wait;

/// A stream that stands still for this long has failed.
const STALL: Duration = Duration::from_secs(5);
/// Octets written or compared at once.
const CHUNK: usize = 64 << 10;

/// Sends a stream of noise from one pod to another and compares it there, byte for byte.
///
/// # Errors
///
/// What went wrong: no connection, a stall, a byte that changed, an end too early.
#[track_caller]
pub fn transfer(from: &Netns, to: (&Netns, IpAddr), octets: usize) -> Result<(), String> {
    let target = SocketAddr::new(to.1, 5202);
    let (ready, is_ready) = mpsc::channel();
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            to.0.join();
            let listener = TcpListener::bind(target).map_err(|e| format!("bind {target}: {e}"));
            ready.send(()).expect("the sender waits");
            receive(&listener?, octets)
        });
        is_ready.recv().expect("the receiver is ready");
        let sent = from.enter(|| send(target, octets));
        receiver.join().expect("the receiver ends").and(sent)
    })
}

/// Expects a stream to arrive as it was sent.
///
/// # Panics
///
/// When it does not.
#[track_caller]
pub fn assert_transfer(from: &Netns, to: (&Netns, IpAddr), octets: usize) {
    if let Err(why) = transfer(from, to, octets) {
        panic!("{octets} octets of TCP from {} to {}: {why}", from.name(), to.1);
    }
}

fn send(target: SocketAddr, octets: usize) -> Result<(), String> {
    let mut stream = TcpStream::connect_timeout(&target, STALL).map_err(|e| format!("connect: {e}"))?;
    stream.set_write_timeout(Some(STALL)).map_err(|e| e.to_string())?;
    let (mut noise, mut chunk, mut left) = (Rng::new(octets as u64), vec![0; CHUNK], octets);
    while left > 0 {
        noise.fill(&mut chunk);
        let part = &chunk[..left.min(CHUNK)];
        stream.write_all(part).map_err(|e| format!("sender stopped {left} octets before the end: {e}"))?;
        left -= part.len();
    }
    stream.shutdown(std::net::Shutdown::Write).map_err(|e| e.to_string())?;
    // Waiting for the other end keeps the last bytes from being cut off by our closing.
    stream.set_read_timeout(Some(STALL)).map_err(|e| e.to_string())?;
    stream.read(&mut [0]).map(|_| ()).map_err(|e| format!("receiver did not close: {e}"))
}

fn receive(listener: &TcpListener, octets: usize) -> Result<(), String> {
    let mut stream = accept(listener)?;
    stream.set_read_timeout(Some(STALL)).map_err(|e| e.to_string())?;
    let (mut noise, mut expected, mut chunk, mut done) =
        (Rng::new(octets as u64), vec![0; CHUNK], vec![0; CHUNK], 0);
    while done < octets {
        let part = CHUNK.min(octets - done);
        noise.fill(&mut expected);
        let read = stream.read_exact(&mut chunk[..part]);
        read.map_err(|e| format!("stream broke between octet {done} and {}: {e}", done + part))?;
        if let Some(at) = (0..part).find(|&i| chunk[i] != expected[i]) {
            return Err(format!("octet {} is {:#04x}, sent was {:#04x}", done + at, chunk[at], expected[at]));
        }
        done += part;
    }
    match stream.read(&mut [0]) {
        Ok(0) => Ok(()),
        other => Err(format!("after the last octet came {other:?}")),
    }
}

fn accept(listener: &TcpListener) -> Result<TcpStream, String> {
    listener.set_nonblocking(true).map_err(|e| e.to_string())?;
    let mut accepted = None;
    wait::reached(STALL + STALL, || match listener.accept() {
        Ok((stream, _)) => {
            accepted = Some(Ok(stream));
            true
        }
        Err(e) if e.kind() == ErrorKind::WouldBlock => false,
        Err(e) => {
            accepted = Some(Err(e.to_string()));
            true
        }
    });
    let stream = accepted.unwrap_or_else(|| Err("nobody connected".to_owned()))?;
    stream.set_nonblocking(false).map_err(|e| e.to_string())?;
    Ok(stream)
}
