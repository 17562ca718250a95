//! What a network device does for the kernel.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

const SIOCETHTOOL: libc::c_ulong = 0x8946;
/// Something that a device, or the kernel for it, may do.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Feature {
    /// It computes the checksums of what it sends (`ETHTOOL_GTXCSUM`).
    Checksums = 0x16,
    /// What it receives is joined, where it belongs together (`ETHTOOL_GGRO`).
    Gro = 0x2b,
}

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// Whether a device in the namespace of the socket does something.
///
/// # Errors
///
/// `ENODEV` when there is no such device, `EOPNOTSUPP` when it does not say.
pub(crate) fn does(socket: BorrowedFd<'_>, device: &str, what: Feature) -> io::Result<bool> {
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if device.is_empty() || device.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
        *to = from.cast_signed();
    }
    let mut value = Value { command: what as u32, data: 0 };
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: SIOCETHTOOL reads the ifreq, and reads and writes the value that it points to, which has the size that this
    // command asks for; both outlive the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(value.data != 0) }
}
