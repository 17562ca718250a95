//! Packet sockets (`packet(7)`): what arrives on the devices of a network namespace, link header included.

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::mmsg::set_option;

/// Room for the one control message that is asked for, aligned as its header must be.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// What is told with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketInfo {
    /// The number of the device that it arrived on.
    pub device: u32,
    /// When, since 1970, by the kernel.
    pub time: Duration,
    /// Its octets, also those that the buffer had no room for.
    pub len: usize,
}

/// Opens a socket that gets a copy of every packet that arrives in the calling thread's network namespace, each with its
/// time. Needs `CAP_NET_RAW`.
pub(crate) fn open() -> io::Result<Socket> {
    let everything = i32::from((libc::ETH_P_ALL as u16).to_be());
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(everything)))?;
    // What leaves through one device of a bridge arrived on another.
    set_option(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
    set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
    Ok(socket)
}

/// Takes one packet; waits as long as the socket's read timeout says.
///
/// # Errors
///
/// What the kernel says; `WouldBlock` when none came in time.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<PacketInfo> {
    let mut name = MaybeUninit::<libc::sockaddr_ll>::zeroed();
    let mut control = Control([0; 64]);
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero is a valid msghdr (null pointers, zero lengths).
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len();
    // SAFETY: the header points to memory of the stated lengths that outlives the call.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_TRUNC) };
    if len < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the name was zeroed and then written by the kernel; every octet is initialised.
    let name = unsafe { name.assume_init() };
    Ok(PacketInfo { device: name.sll_ifindex.unsigned_abs(), time: time(&control), len: len.unsigned_abs() })
}

/// The time in the one control message: a header, seconds, nanoseconds; zero if the kernel told none.
fn time(Control(octets): &Control) -> Duration {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    const WORD: usize = size_of::<libc::c_long>();
    let number = |at: usize| {
        let mut value = [0; WORD];
        value.copy_from_slice(&octets[at..at + WORD]);
        libc::c_long::from_ne_bytes(value).unsigned_abs()
    };
    #[allow(clippy::useless_conversion)] // the width of `c_long` depends on the architecture
    let (seconds, nanoseconds) = (u64::from(number(HEADER)), number(HEADER + WORD));
    Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds)
}

/// How many packets found the socket full since this was asked last.
pub(crate) fn lost(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut len = size_of::<libc::tpacket_stats>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` octets of plain numbers into a value that outlives the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut len,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(statistics.tp_drops) }
}
