//! The underlay: receive sockets with GRO, send sockets with segmentation offload, and the plain ways when the kernel
//! refuses either.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use encap::Span;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::batch::{Place, Route, SendBatch};
use crate::sys::mmsg;

pub use crate::sys::mmsg::{Received, RecvBuffer, Returned, SendMessage};

/// What is asked of a socket's buffers; the kernel may give less without privilege.
const BUFFER: usize = 8 << 20;
/// What [`Receiver::buffer_size`] and [`SendSockets::buffer_size`] say if the kernel gives it all: it counts its own bookkeeping, too.
pub const WANTED_BUFFER: usize = 2 * BUFFER;
const UDP_NO_CHECK6_RX: i32 = 102;
/// `IP_PMTUDISC_PROBE`: DF is set, and what the kernel believes of the path is ignored, because one forged ICMP
/// would poison it for ten minutes.
const PMTUDISC_PROBE: i32 = 3;
const TTL: u32 = 64;

/// Rounds in which datagrams that came too early are thrown away; they end before, unless more come than can be read.
const DISCARDS: usize = 1024;

/// A socket that datagrams for one address and port come in by.
#[derive(Debug)]
pub struct Receiver {
    socket: Socket,
    address: SocketAddr,
    lost: u32,
    discarded: u32,
}

/// Why a receive socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else has the port.
    #[error("UDP {address} is in use")]
    InUse {
        /// The address and port.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot bind UDP {address}: {error}; check [underlay] and the limits of this user (ulimit -a)")]
    Failed {
        /// The address and port.
        address: SocketAddr,
        /// What the kernel said.
        error: io::Error,
    },
}

impl Receiver {
    /// Opens `count` sockets on one address and port, which share what comes in by flow.
    ///
    /// The port is first bound alone, because a shared bind would not notice a second daemon; one socket stays alone,
    /// which also spares the kernel the choice for each datagram.
    ///
    /// The kernel chooses by hash and number of sockets, so one more or less would move flows to another socket, and what
    /// waits in the old one would be overtaken. Therefore their number never changes while they are open, and what came
    /// while they were being opened is thrown away: each flow is in one socket from the first datagram on.
    ///
    /// # Errors
    ///
    /// [`BindError`]; no socket is left open then.
    pub fn bind(address: SocketAddr, count: usize, gro: bool) -> Result<Vec<Self>, BindError> {
        let explain = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { address },
            _ => BindError::Failed { address, error },
        };
        let alone = bound(address, false).map_err(explain)?;
        if count == 1 {
            return Ok(vec![Self::set_up(alone, address, gro).map_err(explain)?]);
        }
        drop(alone);
        let open = |_| bound(address, true).and_then(|socket| Self::set_up(socket, address, gro));
        let mut all: Vec<_> = (0..count).map(open).collect::<io::Result<_>>().map_err(explain)?;
        let mut buffer = RecvBuffer::default();
        for receiver in &mut all {
            receiver.discarded = receiver.discard(&mut buffer);
        }
        Ok(all)
    }

    /// Throws away what is there; returns how many datagrams that were, those included that had found no room.
    fn discard(&mut self, buffer: &mut RecvBuffer) -> u32 {
        let mut count = 0;
        for _ in 0..DISCARDS {
            // An error is the end, too: whoever receives later sees it again.
            let Ok(lost) = self.receive(buffer) else { break };
            let (messages, _) = buffer.received();
            if messages.is_empty() {
                break;
            }
            let datagrams =
                messages.iter().map(|message| message.len.div_ceil(message.stride.max(1))).sum::<usize>();
            count += lost + u32::try_from(datagrams).unwrap_or(u32::MAX);
        }
        count
    }

    /// What the socket is bound to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many datagrams came before there was anybody to take them in order.
    #[must_use]
    pub const fn discarded(&self) -> u32 {
        self.discarded
    }

    fn set_up(socket: Socket, address: SocketAddr, gro: bool) -> io::Result<Self> {
        grow(&socket, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF);
        let option = |level, name| mmsg::set_option(socket.as_fd(), level, name, 1);
        option(libc::SOL_SOCKET, libc::SO_RXQ_OVFL)?;
        if address.is_ipv4() {
            option(libc::IPPROTO_IP, libc::IP_RECVTOS)?;
        } else {
            option(libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS)?;
            // RFC 6936: a peer may send a tunnel's datagrams over IPv6 without a checksum.
            option(libc::SOL_UDP, UDP_NO_CHECK6_RX)?;
        }
        if gro {
            mmsg::enable_udp_gro(socket.as_fd())?;
        }
        Ok(Self { socket, address, lost: 0, discarded: 0 })
    }

    /// Receives what is there, up to the buffer's size, without waiting; returns the number of datagrams that the
    /// kernel dropped before because the socket was full.
    ///
    /// # Errors
    ///
    /// What the kernel says; an empty socket is no error, the buffer has no message then.
    pub fn receive(&mut self, buffer: &mut RecvBuffer) -> io::Result<u32> {
        match mmsg::recvmmsg(self.socket.as_fd(), buffer) {
            Ok(_) => {
                let lost = buffer.received().0.iter().rev().find_map(|message| message.lost);
                let total = lost.unwrap_or(self.lost);
                Ok(total.wrapping_sub(std::mem::replace(&mut self.lost, total)))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// The size of the receive buffer that the kernel gave, in octets as it counts them.
    #[must_use]
    pub fn buffer_size(&self) -> usize {
        self.socket.recv_buffer_size().unwrap_or(0)
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether the kernel can coalesce on receive (`UDP_GRO`, Linux 5.0).
#[must_use]
pub fn probe_gro() -> bool {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP));
    socket.is_ok_and(|socket| mmsg::enable_udp_gro(socket.as_fd()).is_ok())
}

/// The most segments that the kernel cuts one message into: `wanted`, 64, or 0 where it cannot at all.
///
/// A message of that many one-octet segments is sent from `own`, an address of this host, to itself. Only a refusal of
/// the segments counts: that the loopback interface is down says nothing of them.
#[must_use]
pub fn probe_segments(wanted: u16, own: IpAddr) -> u16 {
    let refuses = |segments: u16| {
        let socket = bound(SocketAddr::new(own, 0), false)?;
        mmsg::set_option(socket.as_fd(), libc::SOL_UDP, mmsg::UDP_SEGMENT, 0)?;
        let to = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let mut batch = SendBatch::new(1);
        let route = Route { to: to.into(), source: 0, tos: 0 };
        batch.datagram(route, usize::from(segments), Span::default(), &[]);
        let data = batch.payload(&batch.groups()[0], &[]);
        let sent = mmsg::sendmmsg(
            socket.as_fd(),
            &[SendMessage { to, data, place: Place::default(), segment: Some(1), tos: 0 }],
        );
        let refusals = [libc::EINVAL, libc::EMSGSIZE, libc::EIO, libc::EOPNOTSUPP];
        Ok::<_, io::Error>(
            sent.is_err_and(|e| e.raw_os_error().is_some_and(|errno| refusals.contains(&errno))),
        )
    };
    let candidates = [wanted, 64].into_iter().filter(|&segments| segments > 0 && segments <= wanted);
    candidates.into_iter().find(|&segments| !refuses(segments).unwrap_or(true)).unwrap_or(0)
}

fn bound(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(shared)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

/// Asks for a large buffer, with privilege first.
fn grow(socket: &Socket, force: i32, plain: i32) {
    let size = i32::try_from(BUFFER).unwrap_or(i32::MAX);
    if mmsg::set_option(socket.as_fd(), libc::SOL_SOCKET, force, size).is_err() {
        // Less is no error: what was got shows in `status`.
        let _ = mmsg::set_option(socket.as_fd(), libc::SOL_SOCKET, plain, size);
    }
}

/// The sockets that datagrams leave by: `source_ports` for each underlay address, shared by all workers.
#[derive(Debug)]
pub struct SendSockets {
    v4: Vec<Socket>,
    v6: Vec<Socket>,
}

impl SendSockets {
    /// Opens the sockets on ports that the kernel chooses.
    ///
    /// # Errors
    ///
    /// What the kernel says, such as an address that this host does not have.
    pub fn bind(addresses: &[IpAddr], source_ports: u16) -> io::Result<Self> {
        let mut sockets = Self { v4: Vec::new(), v6: Vec::new() };
        for &address in addresses {
            for _ in 0..source_ports.max(1) {
                let socket = Self::open(address)?;
                if address.is_ipv4() { sockets.v4.push(socket) } else { sockets.v6.push(socket) }
            }
        }
        Ok(sockets)
    }

    fn open(address: IpAddr) -> io::Result<Socket> {
        let socket = bound(SocketAddr::new(address, 0), false)?;
        grow(&socket, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF);
        let option = |level, name, value| mmsg::set_option(socket.as_fd(), level, name, value);
        if address.is_ipv4() {
            socket.set_ttl_v4(TTL)?;
            option(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, PMTUDISC_PROBE)?;
            option(libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
        } else {
            socket.set_unicast_hops_v6(TTL)?;
            option(libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, PMTUDISC_PROBE)?;
            option(libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?;
        }
        Ok(socket)
    }

    /// The size of the smallest send buffer that the kernel gave, in octets as it counts them.
    #[must_use]
    pub fn buffer_size(&self) -> usize {
        let sizes = self.v4.iter().chain(&self.v6).map(|socket| socket.send_buffer_size().unwrap_or(0));
        sizes.min().unwrap_or(0)
    }

    /// The UDP port of a source port number towards an address of this family; `None` without such an address.
    #[must_use]
    pub fn port(&self, source: u16, to: SocketAddr) -> Option<u16> {
        let family = if to.is_ipv4() { &self.v4 } else { &self.v6 };
        let socket = family.get(usize::from(source))?;
        socket.local_addr().ok()?.as_socket().map(|address| address.port())
    }

    /// The socket for a source port number and the family of a destination; `None` without such an address.
    fn pick(&self, source: u16, to: SocketAddr) -> Option<BorrowedFd<'_>> {
        let family = if to.is_ipv4() { &self.v4 } else { &self.v6 };
        let index = usize::from(source).checked_rem(family.len())?;
        Some(family[index].as_fd())
    }
}

/// What a sender needs of its sockets; tests answer as a kernel would that refuses.
pub trait Transmit {
    /// Sends messages that share a source port and an address family; returns how many went out, at least one.
    ///
    /// # Errors
    ///
    /// What the kernel says of the first message; none was sent then.
    fn send(&mut self, source: u16, messages: &[SendMessage<'_>]) -> io::Result<usize>;

    /// Takes an error that came back for an earlier datagram.
    fn take_error(&mut self, source: u16, family: SocketAddr) -> Option<Returned>;
}

impl Transmit for &SendSockets {
    fn send(&mut self, source: u16, messages: &[SendMessage<'_>]) -> io::Result<usize> {
        let first = messages.first().ok_or(io::ErrorKind::InvalidInput)?;
        let socket = self.pick(source, first.to).ok_or(io::Error::from_raw_os_error(libc::EAFNOSUPPORT))?;
        mmsg::sendmmsg(socket, messages)
    }

    fn take_error(&mut self, source: u16, family: SocketAddr) -> Option<Returned> {
        mmsg::take_error(self.pick(source, family)?).ok()
    }
}

/// Send sockets that others send by, too.
#[derive(Clone, Debug)]
pub struct SharedSockets(pub Arc<SendSockets>);

impl Transmit for SharedSockets {
    fn send(&mut self, source: u16, messages: &[SendMessage<'_>]) -> io::Result<usize> {
        (&*self.0).send(source, messages)
    }

    fn take_error(&mut self, source: u16, family: SocketAddr) -> Option<Returned> {
        (&*self.0).take_error(source, family)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_noticed_although_workers_share_it() {
        let first = Receiver::bind(SocketAddr::from(([127, 0, 0, 1], 0)), 1, true).unwrap();
        let taken = first[0].socket.local_addr().unwrap().as_socket().unwrap();
        assert!(
            matches!(Receiver::bind(taken, 2, true), Err(BindError::InUse { address }) if address == taken)
        );
        drop(first);
        assert_eq!(Receiver::bind(taken, 2, true).unwrap().len(), 2);
    }

    #[test]
    fn a_flow_stays_in_one_socket_from_the_first_datagram_on() {
        use std::collections::HashMap;
        use std::sync::atomic::{AtomicBool, Ordering};
        let free = bound(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
        let address = free.local_addr().unwrap().as_socket().unwrap();
        drop(free);
        for _ in 0..20 {
            let done = AtomicBool::new(false);
            let mut receivers = std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        let flows: Vec<_> =
                            (0..8).map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
                        // While nobody listens the kernel refuses.
                        let send = || flows.iter().for_each(|flow| drop(flow.send_to(&[1], address)));
                        while !done.load(Ordering::Relaxed) {
                            send();
                        }
                        // By now somebody does, however long this thread had to wait for a CPU.
                        send();
                    });
                }
                std::thread::sleep(std::time::Duration::from_millis(2));
                let receivers = Receiver::bind(address, 4, false);
                std::thread::sleep(std::time::Duration::from_millis(2));
                done.store(true, Ordering::Relaxed);
                receivers.unwrap()
            });
            let (mut buffer, mut places) = (RecvBuffer::default(), HashMap::new());
            for (index, receiver) in receivers.iter_mut().enumerate() {
                while receiver.receive(&mut buffer).is_ok() && !buffer.received().0.is_empty() {
                    for message in buffer.received().0 {
                        assert_eq!(*places.entry(message.from).or_insert(index), index, "{}", message.from);
                    }
                }
            }
            assert!(!places.is_empty());
        }
    }

    /// One datagram: one octet as its head, the others where they are.
    fn batch(to: SocketAddr, octets: &[u8]) -> SendBatch {
        let mut batch = SendBatch::new(1);
        let route = Route { to: to.into(), source: 0, tos: 0 };
        batch.datagram(route, 1, Span::new(1, octets.len() - 1), octets)[0] = octets[0];
        batch
    }

    #[test]
    fn segments_sent_as_one_message_arrive_as_one() {
        assert!(probe_gro());
        let segments = probe_segments(128, IpAddr::from([127, 0, 0, 1]));
        assert!(segments >= 64, "this kernel has UDP_SEGMENT");
        assert_eq!(probe_segments(2000, IpAddr::from([127, 0, 0, 1])), 64, "no kernel cuts that many");
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let address: SocketAddr = address.parse().unwrap();
            let mut receiver = Receiver::bind(address, 1, true).unwrap().remove(0);
            let to = receiver.socket.local_addr().unwrap().as_socket().unwrap();
            let sockets = SendSockets::bind(&[address.ip()], 2).unwrap();
            let octets: Vec<u8> = (0..=249).chain(0..=249).chain(0..=249).collect();
            let batch = batch(to, &octets);
            let data = batch.payload(&batch.groups()[0], &octets);
            let message = SendMessage { to, data, place: Place::default(), segment: Some(300), tos: 0xb9 };
            assert_eq!((&sockets).send(1, &[message]).unwrap(), 1);
            let mut buffer = RecvBuffer::default();
            assert_eq!(receiver.receive(&mut buffer).unwrap(), 0);
            let (received, arrived) = buffer.received();
            assert_eq!(received.len(), 1);
            assert_eq!((received[0].len, received[0].stride, received[0].tos), (750, 300, 0xb9));
            assert_eq!(received[0].from.ip(), address.ip());
            assert_eq!(arrived[received[0].start..][..750], octets);
        }
    }

    #[test]
    fn an_icmp_error_names_the_peer_that_it_is_for() {
        let dead = bound(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
        let to = dead.local_addr().unwrap().as_socket().unwrap();
        drop(dead);
        let sockets = SendSockets::bind(&[to.ip()], 1).unwrap();
        let batch = batch(to, &[1]);
        let data = batch.payload(&batch.groups()[0], &[]);
        let message = SendMessage { to, data, place: Place::default(), segment: None, tos: 0 };
        (&sockets).send(0, &[message]).unwrap();
        let returned = (&sockets).take_error(0, to).unwrap();
        assert_eq!((returned.to, returned.mtu, returned.remote), (to, None, true));
        assert_eq!((&sockets).take_error(0, to), None);
    }
}
