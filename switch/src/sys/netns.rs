//! Leaving and entering namespaces, a thread at a time.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// Moves the calling thread into the network namespace that `file` stands for.
pub(crate) fn enter(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::thread::move_into_link_name_space(file, Some(LinkNameSpaceType::Network))?)
}

/// Gives the calling thread a new network namespace; with `user`, inside a new user namespace.
///
/// A process may only get a new user namespace while it has one thread.
pub(crate) fn leave(user: bool) -> io::Result<()> {
    let mut flags = UnshareFlags::NEWNET;
    flags.set(UnshareFlags::NEWUSER, user);
    // SAFETY: file descriptor tables stay shared (no CLONE_FILES), so every thread still sees the same files.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}
