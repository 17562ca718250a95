//! What a pod of the demo can do: ping, serve TCP, send TCP.

use std::io::{self, BufRead, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Context;
use encap::checksum::Sum;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};

use crate::clock;
use crate::io::link::{LinkSetup, Links};

/// How long a ping waits for its echo: longer than ARP takes to ask again.
const PATIENCE: Duration = Duration::from_millis(2500);
/// How long it waits once a target was given up, so that a broken demo ends soon.
const IMPATIENCE: Duration = Duration::from_millis(100);
/// After so many lost in a row a target is given up.
const GIVE_UP_AFTER: u32 = 2;
/// How long TCP may stand still.
const STALL: Duration = Duration::from_secs(5);
/// The data that is sent over and over; its length keeps it out of step with every buffer size.
const PATTERN_LENGTH: usize = 65_521;

/// What a child process is told.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Order {
    /// For nodes: become the daemon.
    Run { config: String },
    /// Ping each target `count` times.
    Ping { targets: Vec<Ipv4Addr>, count: u32 },
    /// Take one TCP connection and read it to its end.
    Serve { port: u16 },
    /// Send over TCP for so long, or until so much is sent.
    Send { to: SocketAddrV4, millis: u64, most: u64 },
}

/// What a child process answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// It is in its namespace.
    Ready,
    /// To [`Order::Ping`], in the order of the targets.
    Pinged(Vec<Pinged>),
    /// To [`Order::Serve`]: it listens.
    Serving,
    /// To [`Order::Serve`]: the connection ended.
    Received { octets: u64, intact: bool },
    /// To [`Order::Send`]: the other side has everything.
    Sent { octets: u64, micros: u64 },
    /// It could not do it.
    Failed(String),
}

/// How pings of one target went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pinged {
    pub(super) to: Ipv4Addr,
    pub(super) answered: u32,
    /// The median round trip; absent without an answer.
    pub(super) median_us: Option<u64>,
}

/// Carries out orders until the input ends.
pub(super) fn obey(orders: impl BufRead, mut answers: impl Write) -> anyhow::Result<()> {
    let links = Links::open()?;
    let loopback = links.by_name("lo")?.context("a namespace without a loopback")?;
    links.configure(loopback.index, &LinkSetup { up: true, ..LinkSetup::default() })?;
    answer(&mut answers, &Answer::Ready)?;
    for line in orders.lines() {
        let order = serde_json::from_str(&line?)?;
        let done =
            carry_out(order, &mut answers).unwrap_or_else(|error| Answer::Failed(format!("{error:#}")));
        answer(&mut answers, &done)?;
    }
    Ok(())
}

/// Writes one answer.
pub(super) fn answer(answers: &mut impl Write, answer: &Answer) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    answers.write_all(&line)?;
    Ok(answers.flush()?)
}

fn carry_out(order: Order, answers: &mut impl Write) -> anyhow::Result<Answer> {
    match order {
        Order::Ping { targets, count } => {
            let mut patience = PATIENCE;
            let results = targets.into_iter().map(|to| {
                let pinged = ping(to, count, patience)?;
                if pinged.answered < count {
                    patience = IMPATIENCE;
                }
                Ok(pinged)
            });
            Ok(Answer::Pinged(results.collect::<io::Result<_>>().context("cannot ping")?))
        }
        Order::Serve { port } => {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).context("cannot listen")?;
            answer(answers, &Answer::Serving)?;
            let (octets, intact) = receive(listener.accept()?.0).context("cannot receive")?;
            Ok(Answer::Received { octets, intact })
        }
        Order::Send { to, millis, most } => {
            let (octets, micros) = send(to, Duration::from_millis(millis), most)
                .with_context(|| format!("the TCP connection to {to} failed"))?;
            Ok(Answer::Sent { octets, micros })
        }
        Order::Run { .. } => anyhow::bail!("a pod does not run the daemon"),
    }
}

/// Pings one target, each echo after the one before it.
fn ping(to: Ipv4Addr, count: u32, patience: Duration) -> io::Result<Pinged> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
    socket.connect(&SocketAddr::from((to, 0)).into())?;
    let (mut times, mut lost_in_a_row) = (Vec::new(), 0);
    for sequence in 1..=count {
        match echo(&socket, sequence, patience)? {
            Some(time) => {
                times.push(time);
                lost_in_a_row = 0;
            }
            None => lost_in_a_row += 1,
        }
        if lost_in_a_row == GIVE_UP_AFTER {
            break;
        }
    }
    times.sort_unstable();
    let median_us =
        times.get(times.len() / 2).map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    Ok(Pinged { to, answered: u32::try_from(times.len()).unwrap_or(u32::MAX), median_us })
}

/// One echo request; its round trip, or `None` when no reply came in time.
fn echo(socket: &Socket, sequence: u32, patience: Duration) -> io::Result<Option<Duration>> {
    let request = echo_request(std::process::id(), sequence);
    let sent = clock::now();
    if let Err(error) = socket.send(&request) {
        // ARP found nobody: as lost as a ping without a reply.
        return if error.kind() == io::ErrorKind::HostUnreachable { Ok(None) } else { Err(error) };
    }
    loop {
        let Some(left) = patience.checked_sub(clock::now().duration_since(sent)).filter(|t| !t.is_zero())
        else {
            return Ok(None);
        };
        socket.set_read_timeout(Some(left))?;
        let mut packet = [0; 256];
        match (&*socket).read(&mut packet) {
            Ok(length) if is_reply(&packet[..length], &request) => {
                return Ok(Some(clock::now().duration_since(sent)));
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == io::ErrorKind::HostUnreachable => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// An ICMP echo request (RFC 792) of 64 octets.
fn echo_request(identifier: u32, sequence: u32) -> [u8; 64] {
    let mut packet = [0x77; 64];
    let [_, _, id @ ..] = identifier.to_be_bytes();
    let [_, _, number @ ..] = sequence.to_be_bytes();
    packet[..4].copy_from_slice(&[8, 0, 0, 0]);
    packet[4..6].copy_from_slice(&id);
    packet[6..8].copy_from_slice(&number);
    let checksum = Sum::of(&packet).complement();
    packet[2..4].copy_from_slice(&checksum);
    packet
}

/// Whether an IPv4 packet is the reply to a request: type 0, all else the same but the checksum.
fn is_reply(packet: &[u8], request: &[u8]) -> bool {
    let header = packet.first().map_or(0, |first| usize::from(first & 0xf) * 4);
    packet
        .get(header..)
        .is_some_and(|icmp| icmp.len() == request.len() && icmp[0] == 0 && icmp[4..] == request[4..])
}

/// Octets that no fault maps onto themselves.
fn pattern() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(PATTERN_LENGTH).collect()
}

/// Sends until the time is over or `most` octets are sent, and the other side has read everything; octets and
/// microseconds.
fn send(to: SocketAddrV4, time: Duration, most: u64) -> io::Result<(u64, u64)> {
    let mut stream = TcpStream::connect_timeout(&to.into(), STALL)?;
    stream.set_write_timeout(Some(STALL))?;
    stream.set_read_timeout(Some(STALL))?;
    let (pattern, began, mut octets) = (pattern(), clock::now(), 0);
    while octets < most && clock::now().duration_since(began) < time {
        let next = pattern.len().min(usize::try_from(most - octets).unwrap_or(usize::MAX));
        stream.write_all(&pattern[..next])?;
        octets += next as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    // The other side closes after it has read the last octet.
    while stream.read(&mut [0; 16])? > 0 {}
    let micros = clock::now().duration_since(began).as_micros();
    Ok((octets, u64::try_from(micros).unwrap_or(u64::MAX)))
}

/// Reads a connection to its end; how much came, and whether every octet is as it was sent.
fn receive(mut stream: TcpStream) -> io::Result<(u64, bool)> {
    stream.set_read_timeout(Some(STALL))?;
    let (pattern, mut buffer) = (pattern(), vec![0; 256 * 1024]);
    let (mut octets, mut at, mut intact) = (0, 0, true);
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok((octets, intact));
        }
        octets += length as u64;
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            let step = rest.len().min(PATTERN_LENGTH - at);
            intact &= rest[..step] == pattern[at..at + step];
            rest = &rest[step..];
            at = (at + step) % PATTERN_LENGTH;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// An IPv4 header of 20 octets and what follows.
    fn packet(icmp: &[u8]) -> Vec<u8> {
        [&[0x45; 20], icmp].concat()
    }

    #[test]
    fn a_reply_is_the_request_with_type_zero() {
        let request = echo_request(0x1_2345, 7);
        assert_eq!(request[4..8], [0x23, 0x45, 0, 7]);
        assert!(Sum::of(&request).is_valid());

        let mut reply = request;
        reply[0] = 0;
        assert!(is_reply(&packet(&reply), &request));
        assert!(!is_reply(&packet(&request), &request), "the other side's own request");
        reply[7] = 8;
        assert!(!is_reply(&packet(&reply), &request), "another sequence number");
        assert!(!is_reply(&packet(&reply[..10]), &request));
        assert!(!is_reply(&[], &request));
    }

    #[test]
    fn every_octet_that_is_sent_is_counted_and_compared() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(to) = listener.local_addr().unwrap() else { panic!("an IPv4 address") };
        let server = thread::spawn(move || receive(listener.accept().unwrap().0).unwrap());
        let (sent, micros) = send(to, Duration::from_millis(50), u64::MAX).unwrap();
        assert_eq!(server.join().unwrap(), (sent, true));
        assert!(sent > 0 && micros >= 50_000);
    }

    #[test]
    fn no_more_is_sent_than_was_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(to) = listener.local_addr().unwrap() else { panic!("an IPv4 address") };
        let server = thread::spawn(move || receive(listener.accept().unwrap().0).unwrap());
        assert_eq!(send(to, STALL, 100_000).unwrap().0, 100_000);
        assert_eq!(server.join().unwrap(), (100_000, true));
    }

    #[test]
    fn one_wrong_octet_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let server = thread::spawn(move || receive(listener.accept().unwrap().0).unwrap());
        let mut data = [pattern(), pattern()].concat();
        data[PATTERN_LENGTH + 9] ^= 1;
        TcpStream::connect(to).unwrap().write_all(&data).unwrap();
        assert_eq!(server.join().unwrap(), (2 * PATTERN_LENGTH as u64, false));
    }

    #[test]
    fn orders_and_answers_survive_their_line() {
        let order = Order::Ping { targets: vec![Ipv4Addr::LOCALHOST], count: 3 };
        let text = serde_json::to_string(&order).unwrap();
        assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), order);

        let mut out = Vec::new();
        answer(&mut out, &Answer::Failed("no route\nto host".to_owned())).unwrap();
        assert_eq!(out.iter().filter(|octet| **octet == b'\n').count(), 1);
    }
}
