//! Leaving and entering namespaces, a thread at a time.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// Moves the calling thread into the network namespace that `file` stands for.
pub(crate) fn enter(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::thread::move_into_link_name_space(file, Some(LinkNameSpaceType::Network))?)
}

/// Which namespaces [`leave`] makes besides a network namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Also {
    /// A user namespace: everything else then needs no privilege, but the process must have one thread.
    pub(crate) user: bool,
    /// A mount namespace: what is mounted from now on, nobody else sees.
    pub(crate) mounts: bool,
}

/// Moves the calling thread into new namespaces.
pub(crate) fn leave(also: Also) -> io::Result<()> {
    let mut flags = UnshareFlags::NEWNET;
    flags.set(UnshareFlags::NEWUSER, also.user);
    flags.set(UnshareFlags::NEWNS, also.mounts);
    // SAFETY: file descriptor tables stay shared (no CLONE_FILES), so every thread still sees the same files.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}
