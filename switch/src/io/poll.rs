//! Readiness of many devices, and a way to wake who waits for it.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

use crate::sys::sched;

/// What a device is registered under, chosen by who registers it.
pub type Token = u64;

/// A device that has something to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The device.
    pub token: Token,
    /// Whether it reported an error; a read tells which.
    pub error: bool,
}

/// The devices that one worker waits for.
#[derive(Debug)]
pub struct Poll {
    epoll: OwnedFd,
}

/// Devices reported at once; more come with the next wait.
const MAX_READY: usize = 64;

impl Poll {
    /// Waits for nothing yet.
    ///
    /// # Errors
    ///
    /// The system's refusal of a file descriptor.
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)? })
    }

    /// Adds a device that is to be reported while it can be read.
    ///
    /// # Errors
    ///
    /// What the kernel says, such as `EEXIST` for a device that is there already.
    pub fn add(&self, device: impl AsFd, token: Token) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        Ok(epoll::add(&self.epoll, device, data, epoll::EventFlags::IN)?)
    }

    /// Removes a device.
    ///
    /// # Errors
    ///
    /// What the kernel says, such as `ENOENT` for a device that is not there.
    pub fn remove(&self, device: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, device)?)
    }

    /// Fills `ready` with the devices that can be read now; waits for the first one at most `timeout`, `None` = for
    /// ever.
    ///
    /// # Errors
    ///
    /// What the kernel says; a signal is no error and looks like a time-out.
    #[inline]
    pub fn wait(&self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let timeout = timeout.map(|t| Timespec {
            tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(t.subsec_nanos()),
        });
        ready.clear();
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); MAX_READY];
        let events = match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            Ok((events, _)) => events,
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let failed = epoll::EventFlags::ERR | epoll::EventFlags::HUP;
        ready.extend(events.iter().map(|event| {
            let flags = event.flags;
            Ready { token: event.data.u64(), error: flags.intersects(failed) }
        }));
        Ok(())
    }
}

/// Wakes a worker from another thread.
#[derive(Debug)]
pub struct Waker {
    event: OwnedFd,
}

impl Waker {
    /// A waker that nobody used yet.
    ///
    /// # Errors
    ///
    /// The system's refusal of a file descriptor.
    pub fn new() -> io::Result<Self> {
        Ok(Self { event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// Wakes the worker now, or before its next wait.
    pub fn wake(&self) {
        // The only refusal is a full counter, and then the worker has been woken.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    /// Takes the wake-ups that have come so far.
    pub fn acknowledge(&self) {
        let _ = rustix::io::read(&self.event, &mut [0u8; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// Lets others run on this CPU.
pub fn yield_now() {
    rustix::thread::sched_yield();
}

/// Makes the calling thread run before all ordinary threads, or as one of them again.
///
/// # Errors
///
/// The system's refusal: the first needs `CAP_SYS_NICE`.
pub fn run_first(first: bool) -> io::Result<()> {
    sched::set_first(first)
}

/// Whether this process may [run first](run_first), tried on a thread of its own.
#[must_use]
pub fn may_run_first() -> bool {
    let tried = std::thread::Builder::new().name("probe".to_owned()).spawn(|| run_first(true).is_ok());
    tried.is_ok_and(|thread| thread.join().unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_may_always_be_one_of_many() {
        // Whether it may run first depends on who runs the test.
        let _ = run_first(true);
        assert!(run_first(false).is_ok());
    }

    #[test]
    fn a_wake_up_is_seen_once() {
        let (poll, waker, mut ready) = (Poll::new().unwrap(), Waker::new().unwrap(), Vec::new());
        poll.add(&waker, 7).unwrap();
        waker.wake();
        poll.wait(None, &mut ready).unwrap();
        assert_eq!(ready, [Ready { token: 7, error: false }]);
        waker.acknowledge();
        poll.wait(Some(Duration::ZERO), &mut ready).unwrap();
        assert_eq!(ready, []);
    }
}
