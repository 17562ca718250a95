//! `sendmmsg` and `recvmmsg` with the control messages of UDP segmentation offload.
//!
//! One wrapper a system call, plain values in and out. What the values mean to the switch is `io`'s business.

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::batch::{MAX_SEGMENTS, Payload, Place};

/// Messages in one call: enough to make the call cheap, few enough for the stack.
pub(crate) const MAX_SEND: usize = 32;
/// Pieces of payload in one call: any one message's fit, and usually those of all.
const MAX_PIECES: usize = 1024;
const _: () = assert!(MAX_PIECES >= 2 * MAX_SEGMENTS);
/// Messages received in one call; eight of up to 64 KiB already hide the cost of the call.
pub(crate) const MAX_RECV: usize = 8;
/// Octets of one receive slot: the largest UDP payload, rounded up.
pub(crate) const SLOT: usize = 65_536;

const CONTROL: usize = 128;
pub(crate) const UDP_SEGMENT: libc::c_int = 103;
const UDP_GRO: libc::c_int = 104;

/// One message to send.
#[derive(Clone, Copy, Debug)]
pub struct SendMessage<'a> {
    /// Where to.
    pub to: SocketAddr,
    /// The payload: one datagram, or several of `segment` octets each (the last may be shorter).
    pub data: Payload<'a>,
    /// Where in its batch the first datagram lies.
    pub place: Place,
    /// The octets of each datagram, when `data` is to be cut.
    pub segment: Option<u16>,
    /// The outer TOS or traffic class.
    pub tos: u8,
}

/// A control buffer, aligned as the kernel's control message headers must be.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// Sends up to [`MAX_SEND`] messages without waiting; returns how many went out, at least one.
///
/// # Errors
///
/// What the kernel says of the first message; none was sent then.
pub(crate) fn sendmmsg(socket: BorrowedFd<'_>, messages: &[SendMessage<'_>]) -> io::Result<usize> {
    let mut count = 0;
    let mut pieces = 0;
    let mut names = [MaybeUninit::<libc::sockaddr_in6>::uninit(); MAX_SEND];
    let mut controls = [MaybeUninit::<Control>::uninit(); MAX_SEND];
    let mut vectors = [MaybeUninit::<libc::iovec>::uninit(); MAX_PIECES];
    let mut headers = [MaybeUninit::<libc::mmsghdr>::uninit(); MAX_SEND];
    for (i, message) in messages.iter().take(MAX_SEND).enumerate() {
        if pieces + 2 * message.data.count() > MAX_PIECES {
            break;
        }
        let name_len = encode_address(message.to, &mut names[i]);
        let control_len = encode_control(message, &mut controls[i]);
        let vector_len = encode_pieces(message.data, &mut vectors[pieces..]);
        // SAFETY: all-zero is a valid msghdr (null pointers, zero lengths).
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_name = names[i].as_mut_ptr().cast();
        header.msg_namelen = name_len;
        header.msg_iov = vectors[pieces].as_mut_ptr();
        header.msg_iovlen = vector_len;
        if control_len > 0 {
            header.msg_control = controls[i].as_mut_ptr().cast();
            header.msg_controllen = control_len;
        }
        headers[i].write(libc::mmsghdr { msg_hdr: header, msg_len: 0 });
        pieces += vector_len;
        count += 1;
    }
    // SAFETY: the first `count` headers are initialised and point to names, vectors, controls and payloads that
    // outlive the call; the kernel only reads them and writes `msg_len`.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr().cast(),
            count as libc::c_uint,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent.unsigned_abs() as usize) }
}

/// Writes where the pieces of a payload are, neighbours as one; returns how many entries that took.
#[inline]
fn encode_pieces(data: Payload<'_>, vectors: &mut [MaybeUninit<libc::iovec>]) -> usize {
    let mut count = 0;
    let mut last = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
    for piece in data.pieces() {
        let start = piece.as_ptr().cast_mut();
        if last.iov_base.wrapping_byte_add(last.iov_len) == start.cast() {
            last.iov_len += piece.len();
        } else {
            last = libc::iovec { iov_base: start.cast(), iov_len: piece.len() };
            count += 1;
        }
        vectors[count - 1].write(last);
    }
    count
}

/// Writes a socket address; returns its length. An IPv4 address is written as such, in the larger buffer.
fn encode_address(to: SocketAddr, name: &mut MaybeUninit<libc::sockaddr_in6>) -> libc::socklen_t {
    match to {
        SocketAddr::V4(to) => {
            let value = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: to.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: sockaddr_in is smaller than sockaddr_in6 and needs no stricter alignment.
            unsafe { name.as_mut_ptr().cast::<libc::sockaddr_in>().write(value) };
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(to) => {
            name.write(libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: to.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: to.ip().octets() },
                sin6_scope_id: to.scope_id(),
            });
            size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

/// Writes the control messages that a message needs; returns their length.
fn encode_control(message: &SendMessage<'_>, control: &mut MaybeUninit<Control>) -> usize {
    let buffer = control.write(Control([0; CONTROL]));
    let mut at = 0;
    if let Some(segment) = message.segment {
        at = put(&mut buffer.0, at, (libc::SOL_UDP, UDP_SEGMENT), &segment.to_ne_bytes());
    }
    if message.tos != 0 {
        let kind = match message.to {
            SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TOS),
            SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
        };
        at = put(&mut buffer.0, at, kind, &i32::from(message.tos).to_ne_bytes());
    }
    at
}

/// Appends one control message to `buffer` at `at`; returns where the next one goes.
fn put(buffer: &mut [u8; CONTROL], at: usize, (level, kind): (i32, i32), data: &[u8]) -> usize {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    let word = size_of::<usize>();
    buffer[at..at + word].copy_from_slice(&(HEADER + data.len()).to_ne_bytes());
    buffer[at + word..at + word + 4].copy_from_slice(&level.to_ne_bytes());
    buffer[at + word + 4..at + HEADER].copy_from_slice(&kind.to_ne_bytes());
    buffer[at + HEADER..at + HEADER + data.len()].copy_from_slice(data);
    at + HEADER + data.len().next_multiple_of(word)
}

/// One received message: octets of the batch's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Who sent it.
    pub from: SocketAddr,
    /// Where it starts in the buffer.
    pub start: usize,
    /// Its octets.
    pub len: usize,
    /// The octets of each datagram in it (the last may be shorter); `len` if there is only one.
    pub stride: usize,
    /// The outer TOS or traffic class.
    pub tos: u8,
    /// Datagrams that the socket lost so far for want of room, if the kernel said so.
    pub lost: Option<u32>,
}

/// Memory for one call of [`recvmmsg`]: [`MAX_RECV`] slots of [`SLOT`] octets.
#[derive(Debug)]
pub struct RecvBuffer {
    octets: Box<[u8]>,
    received: [Received; MAX_RECV],
    count: usize,
}

impl Default for RecvBuffer {
    fn default() -> Self {
        let nobody = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        let empty = Received { from: nobody, start: 0, len: 0, stride: 0, tos: 0, lost: None };
        Self { octets: vec![0; MAX_RECV * SLOT].into_boxed_slice(), received: [empty; MAX_RECV], count: 0 }
    }
}

impl RecvBuffer {
    /// The messages of the last call, and the octets that they name.
    pub fn received(&mut self) -> (&[Received], &mut [u8]) {
        (&self.received[..self.count], &mut self.octets)
    }
}

/// Receives up to [`MAX_RECV`] messages without waiting.
///
/// # Errors
///
/// What the kernel says; `WouldBlock` when there is nothing.
pub(crate) fn recvmmsg(socket: BorrowedFd<'_>, buffer: &mut RecvBuffer) -> io::Result<usize> {
    buffer.count = 0;
    let mut names = [MaybeUninit::<libc::sockaddr_in6>::zeroed(); MAX_RECV];
    let mut controls = [MaybeUninit::<Control>::uninit(); MAX_RECV];
    let mut vectors = [MaybeUninit::<libc::iovec>::uninit(); MAX_RECV];
    let mut headers = [MaybeUninit::<libc::mmsghdr>::uninit(); MAX_RECV];
    let base = buffer.octets.as_mut_ptr();
    for i in 0..MAX_RECV {
        // SAFETY: the buffer has MAX_RECV slots of SLOT octets, so slot `i` lies inside it.
        let slot = unsafe { base.add(i * SLOT) };
        vectors[i].write(libc::iovec { iov_base: slot.cast(), iov_len: SLOT });
        // SAFETY: all-zero is a valid msghdr (null pointers, zero lengths).
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_name = names[i].as_mut_ptr().cast();
        header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
        header.msg_iov = vectors[i].as_mut_ptr();
        header.msg_iovlen = 1;
        header.msg_control = controls[i].as_mut_ptr().cast();
        header.msg_controllen = CONTROL;
        headers[i].write(libc::mmsghdr { msg_hdr: header, msg_len: 0 });
    }
    // SAFETY: all headers are initialised and point to memory of the stated lengths that outlives the call.
    let count = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr().cast(),
            MAX_RECV as libc::c_uint,
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
        )
    };
    if count < 0 {
        return Err(io::Error::last_os_error());
    }
    buffer.count = count.unsigned_abs() as usize;
    for (i, received) in buffer.received[..buffer.count].iter_mut().enumerate() {
        // SAFETY: the kernel filled the first `count` headers, all of which were initialised above.
        let header = unsafe { headers[i].assume_init_ref() };
        // SAFETY: the name was zeroed and then written by the kernel; every octet is initialised.
        let name = unsafe { names[i].assume_init_ref() };
        // SAFETY: the kernel wrote `msg_controllen` octets of control messages into this buffer.
        let control = unsafe {
            std::slice::from_raw_parts(controls[i].as_ptr().cast::<u8>(), header.msg_hdr.msg_controllen)
        };
        let len = (header.msg_len as usize).min(SLOT);
        *received = decode_control(control, decode_address(name), i * SLOT, len);
    }
    Ok(buffer.count)
}

fn decode_address(name: &libc::sockaddr_in6) -> SocketAddr {
    if libc::c_int::from(name.sin6_family) == libc::AF_INET {
        // SAFETY: the kernel wrote a sockaddr_in, which is smaller and needs no stricter alignment.
        let name = unsafe { *std::ptr::from_ref(name).cast::<libc::sockaddr_in>() };
        let ip = Ipv4Addr::from(name.sin_addr.s_addr.to_ne_bytes());
        SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(name.sin_port)))
    } else {
        let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
        SocketAddr::V6(SocketAddrV6::new(ip, u16::from_be(name.sin6_port), 0, name.sin6_scope_id))
    }
}

fn decode_control(control: &[u8], from: SocketAddr, start: usize, len: usize) -> Received {
    let mut received = Received { from, start, len, stride: len, tos: 0, lost: None };
    for (level, kind, data) in control_messages(control) {
        let value = data.first_chunk::<4>().map(|b| i32::from_ne_bytes(*b));
        match (level, kind, value) {
            (libc::SOL_UDP, UDP_GRO, Some(size @ 1..)) => received.stride = size.unsigned_abs() as usize,
            (libc::IPPROTO_IP, libc::IP_TOS, _) => received.tos = data.first().copied().unwrap_or(0),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, Some(class)) => received.tos = class.to_le_bytes()[0],
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL, Some(lost)) => received.lost = Some(lost.cast_unsigned()),
            _ => {}
        }
    }
    received
}

/// The control messages that the kernel wrote: level, kind, data.
fn control_messages(mut control: &[u8]) -> impl Iterator<Item = (i32, i32, &[u8])> {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    std::iter::from_fn(move || {
        let (header, rest) = control.split_first_chunk::<HEADER>()?;
        let word = size_of::<usize>();
        let number =
            |at: usize| i32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let mut length = [0; size_of::<usize>()];
        length.copy_from_slice(&header[..word]);
        let data = rest.get(..usize::from_ne_bytes(length).checked_sub(HEADER)?)?;
        control = rest.get(data.len().next_multiple_of(word)..).unwrap_or_default();
        Some((number(word), number(word + 4), data))
    })
}

/// Octets of a datagram that came back which are kept: its tunnel header.
pub(crate) const QUOTED: usize = 8;

/// What a socket's error queue says of a datagram that was sent by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    /// Whom it was for.
    pub to: SocketAddr,
    /// The largest IP packet that passes, where the datagram was too big and somebody says so.
    pub mtu: Option<u32>,
    /// Whether somebody on the way says so, not this host's own kernel.
    pub remote: bool,
    /// How the datagram began, as far as it was quoted.
    pub quoted: Option<[u8; QUOTED]>,
}

/// Takes one message off a socket's error queue.
///
/// # Errors
///
/// What the kernel says; `WouldBlock` when the queue is empty.
pub(crate) fn take_error(socket: BorrowedFd<'_>) -> io::Result<Returned> {
    let mut name = MaybeUninit::<libc::sockaddr_in6>::zeroed();
    let mut control = MaybeUninit::<[Control; 4]>::uninit();
    let mut quoted = [0; QUOTED];
    let mut vector = libc::iovec { iov_base: quoted.as_mut_ptr().cast(), iov_len: QUOTED };
    // SAFETY: all-zero is a valid msghdr (null pointers, zero lengths).
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of::<[Control; 4]>();
    // SAFETY: the header points to memory of the stated lengths that outlives the call.
    let got = unsafe {
        libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT)
    };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the name was zeroed and then written by the kernel; every octet is initialised.
    let to = decode_address(unsafe { name.assume_init_ref() });
    // SAFETY: the kernel wrote `msg_controllen` octets of control messages into this buffer.
    let control = unsafe { std::slice::from_raw_parts(control.as_ptr().cast::<u8>(), header.msg_controllen) };
    let (mtu, remote) = decode_error(control);
    let whole = got.unsigned_abs() >= QUOTED;
    Ok(Returned { to, mtu, remote, quoted: whole.then_some(quoted) })
}

/// The MTU that an extended error names, and whether it came from the underlay.
fn decode_error(control: &[u8]) -> (Option<u32>, bool) {
    let is_error = |message: &(i32, i32, &[u8])| {
        let (level, kind, _) = *message;
        matches!(
            (level, kind),
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
        )
    };
    let found = control_messages(control).find(is_error);
    // struct sock_extended_err: errno 4, origin 1, type 1, code 1, padding 1, info 4, data 4.
    let Some(&[e0, e1, e2, e3, origin, _, _, _, i0, i1, i2, i3, ..]) = found.map(|(_, _, data)| data) else {
        return (None, false);
    };
    let too_big = i32::from_ne_bytes([e0, e1, e2, e3]) == libc::EMSGSIZE;
    let mtu = too_big.then(|| u32::from_ne_bytes([i0, i1, i2, i3])).filter(|mtu| *mtu > 0);
    (mtu, matches!(origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6))
}

/// Sets an integer socket option that the standard library does not know.
///
/// # Errors
///
/// What the kernel says, such as `ENOPROTOOPT` where it does not know the option either.
pub(crate) fn set_option(socket: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the value is an int that outlives the call, and its length is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Lets a UDP socket receive several equal-sized datagrams of a flow as one message.
///
/// # Errors
///
/// What the kernel says where it cannot.
pub(crate) fn enable_udp_gro(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_UDP, UDP_GRO, 1)
}
