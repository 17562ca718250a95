//! Where octets go: a file, or whoever reads a pipe.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock;

/// What a pipe takes without waiting once it is writable (`PIPE_BUF`).
const PIECE: usize = 4096;
/// How long a reader may take nothing when the capture is to end.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether that is so.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// An open target.
#[derive(Debug)]
pub(in crate::cli) struct Target {
    file: File,
    /// Whether somebody reads what is written: it may have to wait, and be left.
    pipe: bool,
    told: Arc<AtomicBool>,
}

impl Target {
    /// A file of mode 0600, emptied; a named pipe is opened as it is. `told`: whether the capture is to end.
    pub(in crate::cli) fn open(path: &Path, told: Arc<AtomicBool>) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
            // It was there before; what pods say is for its owner only.
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
        Ok(Self { pipe: !metadata.is_file(), file, told })
    }

    /// Standard output.
    pub(in crate::cli) fn stdout(told: Arc<AtomicBool>) -> io::Result<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let pipe = !file.metadata()?.is_file();
        Ok(Self { file, pipe, told })
    }

    /// What tells when nobody reads any more.
    pub(in crate::cli) fn reader(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.then(|| self.file.as_fd())
    }

    /// Writes all, or says how much was written before an error.
    pub(in crate::cli) fn write(&mut self, octets: &[u8]) -> (usize, io::Result<()>) {
        let (mut done, mut last) = (0, clock::now());
        while done < octets.len() {
            match self.write_some(&octets[done..], last) {
                Ok(0) => {}
                Ok(len) => {
                    done += len;
                    last = clock::now();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (done, Err(error)),
            }
        }
        (done, Ok(()))
    }

    /// Writes what fits; 0 = nothing yet. `last` is when something did.
    fn write_some(&mut self, octets: &[u8], last: Instant) -> io::Result<usize> {
        if !self.pipe {
            return match self.file.write(octets)? {
                0 => Err(io::ErrorKind::WriteZero.into()),
                len => Ok(len),
            };
        }
        let mut fds = [PollFd::new(&self.file, PollFlags::OUT)];
        if poll(&mut fds, Some(&LOOK))? > 0 {
            return self.file.write(&octets[..octets.len().min(PIECE)]);
        }
        let waits = clock::now().saturating_duration_since(last);
        let given_up = self.told.load(Ordering::Relaxed) && waits > PATIENCE;
        if given_up { Err(io::ErrorKind::TimedOut.into()) } else { Ok(0) }
    }

    /// Cuts a file off behind so many octets.
    pub(in crate::cli) fn cut(&mut self, len: u64) {
        if !self.pipe {
            // Best effort: a reader ends at the last whole block, too.
            let _ = self.file.set_len(len);
        }
    }
}
