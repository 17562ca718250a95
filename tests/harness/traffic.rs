//! Traffic between pods that checks itself.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

use crate::netns::Netns;
use crate::rng::Rng;
use crate::wait;

/// What ping counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pings {
    /// Requests sent.
    pub sent: u32,
    /// Answers that came.
    pub answered: u32,
}

impl Pings {
    /// Whether every request was answered.
    #[must_use]
    pub const fn all(self) -> bool {
        self.sent > 0 && self.sent == self.answered
    }

    /// Reads what ping printed; nothing before its end. While answers are late, ping sends more than `-c` says:
    /// those are not counted.
    ///
    /// # Panics
    ///
    /// When `options` have no `-c`.
    #[must_use]
    pub fn read(said: &str, options: &str) -> Option<Self> {
        let mut words = options.split_whitespace().skip_while(|word| *word != "-c").skip(1);
        let count: u32 = words.next().and_then(|n| n.parse().ok()).expect("options with a count");
        let line = said.lines().find(|line| line.contains("packets transmitted"))?;
        let sent: u32 = line.split(' ').next()?.parse().ok()?;
        let number = |line: &str| line.split("icmp_seq=").nth(1)?.split(' ').next()?.parse::<u32>().ok();
        let answers = said.lines().filter(|line| line.contains(" bytes from ")).filter_map(number);
        let answered: BTreeSet<u32> = answers.filter(|seq| *seq <= count).collect();
        Some(Self { sent: sent.min(count), answered: answered.len() as u32 })
    }
}

/// Pings with more options of `ping`, among them `-c`.
///
/// Where all are to be answered, `-w` gives late answers time. With `-W`, ping ends two round trips after the last
/// request once any was answered: a pause of some milliseconds then passes for a loss.
#[track_caller]
pub fn ping_with(from: &Netns, to: IpAddr, options: &str) -> Pings {
    let line = ping_line(to, options);
    Pings::read(&from.try_exec(&line).out, options).unwrap_or(Pings { sent: 0, answered: 0 })
}

/// The command line whose output [`Pings::read`] reads.
#[must_use]
pub fn ping_line(to: IpAddr, options: &str) -> String {
    format!("ping -n {options} {to}")
}

/// Ten pings in a fifth of a second.
#[track_caller]
pub fn ping(from: &Netns, to: impl Into<IpAddr>) -> Pings {
    ping_with(from, to.into(), "-c 10 -i 0.02 -w 3")
}

/// Whether a single ping is answered within a second.
#[track_caller]
pub fn reaches(from: &Netns, to: impl Into<IpAddr>) -> bool {
    ping_with(from, to.into(), "-c 1 -W 1").all()
}

/// Waits until pings are answered, then expects ten out of ten.
///
/// # Panics
///
/// When one is missing.
#[track_caller]
pub fn assert_pings(from: &Netns, to: impl Into<IpAddr>) {
    let to = to.into();
    wait::until(wait::secs(8), &format!("an answer of {to} to {}", from.name()), || reaches(from, to));
    let pings = ping(from, to);
    assert!(pings.all(), "{} to {to}: {pings:?}", from.name());
}

/// Pings once with an IP packet of this many octets that must not be fragmented.
#[track_caller]
pub fn ping_sized(from: &Netns, to: impl Into<IpAddr>, octets: u32) -> bool {
    let to = to.into();
    let headers = if to.is_ipv4() { 28 } else { 48 };
    ping_with(from, to, &format!("-c 1 -W 1 -M do -s {}", octets - headers)).all()
}

/// Expects a packet of `mtu` octets to pass and one of `mtu + 1` not to.
///
/// # Panics
///
/// When the edge lies elsewhere.
#[track_caller]
pub fn assert_mtu_edge(from: &Netns, to: impl Into<IpAddr>, mtu: u32) {
    let to = to.into();
    assert!(ping_sized(from, to, mtu), "{mtu} octets from {} to {to} do not pass", from.name());
    assert!(!ping_sized(from, to, mtu + 1), "{} octets from {} to {to} pass", mtu + 1, from.name());
}

/// Counts the frames that reach a device, by an expression of nft; [`counted`] tells how many. Once a namespace.
#[track_caller]
pub fn count_frames(ns: &Netns, device: &str, expression: &str) {
    ns.nft(&format!(
        "table netdev seen {{\n chain in {{\n  type filter hook ingress device \"{device}\" priority 0\n  \
         {expression} counter\n }}\n}}\n"
    ));
}

/// What [`count_frames`] has counted.
///
/// # Panics
///
/// When nothing is counted there.
#[must_use]
#[track_caller]
pub fn counted(ns: &Netns) -> u64 {
    let listed = ns.exec("nft list table netdev seen");
    let number =
        listed.split("packets ").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no counter in {listed}"))
}

/// What arrived of a burst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Burst {
    /// Datagrams that arrived whole.
    pub received: usize,
    /// Datagrams that arrived changed or with another length.
    pub corrupt: usize,
    /// Datagrams that arrived after a later one.
    pub late: usize,
}

/// The content of datagram `number` of a burst: its number, then noise that depends on it.
fn payload(number: usize, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size.max(8)];
    Rng::new(number as u64).fill(&mut bytes);
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    bytes
}

/// Sends numbered datagrams (of sizes that `size` gives, 8 octets at least) from one pod to another, `pause` after each.
#[track_caller]
pub fn udp_burst(
    from: &Netns,
    to: (&Netns, IpAddr),
    count: usize,
    pause: Duration,
    size: impl Fn(usize) -> usize + Sync,
) -> Burst {
    let target = SocketAddr::new(to.1, 5201);
    let (ready, is_ready) = mpsc::channel();
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            to.0.join();
            let socket = receiving_socket(target);
            ready.send(()).expect("the sender waits");
            receive(&socket, count, &size)
        });
        is_ready.recv().expect("the receiver is ready");
        from.enter(|| {
            let socket = UdpSocket::bind((unspecified(target.ip()), 0)).expect("a socket");
            for number in 0..count {
                // A full device queue refuses a datagram: it counts as lost, which the caller judges.
                let _ = socket.send_to(&payload(number, size(number)), target);
                if !pause.is_zero() {
                    std::thread::sleep(pause);
                }
            }
        });
        receiver.join().expect("the receiver ends")
    })
}

pub(crate) fn receiving_socket(at: SocketAddr) -> UdpSocket {
    let socket =
        socket2::Socket::new(socket2::Domain::for_address(at), socket2::Type::DGRAM, None).expect("a socket");
    // The receiver must not be what loses frames.
    let _ = socket.set_recv_buffer_size(8 << 20);
    socket.bind(&at.into()).unwrap_or_else(|e| panic!("bind {at}: {e}"));
    socket.into()
}

fn receive(socket: &UdpSocket, count: usize, size: &impl Fn(usize) -> usize) -> Burst {
    let (mut burst, mut newest, mut buffer) = (Burst::default(), None, vec![0; 65_536]);
    socket.set_read_timeout(Some(wait::secs(1))).expect("a time limit");
    while burst.received + burst.corrupt < count {
        let Ok(length) = socket.recv(&mut buffer) else { break };
        let number =
            buffer.get(..8).map_or(usize::MAX, |b| u64::from_be_bytes(b.try_into().expect("8")) as usize);
        if number >= count || buffer[..length] != payload(number, size(number)) {
            burst.corrupt += 1;
            continue;
        }
        burst.received += 1;
        burst.late += usize::from(newest.is_some_and(|n| number < n));
        newest = newest.max(Some(number));
    }
    burst
}

/// The address that stands for any of the same family.
#[must_use]
pub const fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    }
}
