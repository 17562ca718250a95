//! The scheduling policy of the calling thread.

use std::io;

/// Makes the calling thread run before all ordinary ones (`SCHED_RR`, the lowest priority of those), or as one of them.
///
/// # Errors
///
/// `EPERM` without `CAP_SYS_NICE`, or where a control group allows no such threads.
pub(crate) fn set_first(first: bool) -> io::Result<()> {
    let policy = if first { libc::SCHED_RR } else { libc::SCHED_OTHER };
    let parameters = libc::sched_param { sched_priority: i32::from(first) };
    // SAFETY: the parameters outlive the call, which only reads them; 0 names the calling thread.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
