//! The ioctls that make a TAP device.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETPERSIST: libc::c_ulong = 0x4004_54cb;
const TUNSETOFFLOAD: libc::c_ulong = 0x4004_54d0;

/// The kernel finishes no checksum for a reader that can do so itself.
pub(crate) const TUN_F_CSUM: u32 = 0x01;
/// The reader takes TCP super-frames over IPv4.
pub(crate) const TUN_F_TSO4: u32 = 0x02;
/// The reader takes TCP super-frames over IPv6.
pub(crate) const TUN_F_TSO6: u32 = 0x04;
/// The reader takes TCP super-frames with CWR.
pub(crate) const TUN_F_TSO_ECN: u32 = 0x08;
/// The reader takes UDP super-frames over IPv4 (Linux 6.2).
pub(crate) const TUN_F_USO4: u32 = 0x20;
/// The reader takes UDP super-frames over IPv6 (Linux 6.2).
pub(crate) const TUN_F_USO6: u32 = 0x40;

/// Attaches an open `/dev/net/tun` to the TAP `name`, which is made if it does not exist: one queue, no packet
/// information, a virtio-net header before each frame.
///
/// # Errors
///
/// `EINVAL` for a name that is too long, `EBUSY` when another process has the device, `EPERM` without `CAP_NET_ADMIN`.
pub(crate) fn attach(tun: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if name.is_empty() || name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which outlives the call.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), TUNSETIFF, &raw mut request) })
}

/// Says which unfinished frames this reader takes (`TUN_F_*`). A device that persists remembers it, so it is always set.
///
/// # Errors
///
/// `EINVAL` for an offload that the kernel does not know.
pub(crate) fn set_offload(tun: BorrowedFd<'_>, offload: u32) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), TUNSETOFFLOAD, libc::c_ulong::from(offload)) })
}

/// Says whether the device outlives its last reader.
///
/// # Errors
///
/// What the kernel says of a device that is gone.
pub(crate) fn set_persist(tun: BorrowedFd<'_>, persist: bool) -> io::Result<()> {
    // SAFETY: TUNSETPERSIST takes its argument by value.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), TUNSETPERSIST, libc::c_ulong::from(persist)) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
