//! Whatever a capture is written to.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use super::files::Files;
use super::lines::Lines;
use crate::capture::record::{Point, Record};
use crate::capture::text::Names;
use crate::control::protocol::FdbEntry;

/// Files, or lines.
#[derive(Debug)]
pub(super) enum Output {
    Files(Box<Files>),
    Lines(Lines),
}

impl Output {
    /// Whether what the FDB says of a destination is told.
    pub(super) const fn tells_entries(&self) -> bool {
        match self {
            Self::Files(_) => true,
            Self::Lines(lines) => lines.tells_entries(),
        }
    }

    /// Adds a record; `entry` is what the FDB says of its destination.
    pub(super) fn record(
        &mut self,
        record: &Record<'_>,
        names: &Names,
        entry: Option<&FdbEntry>,
        now: Instant,
    ) -> io::Result<()> {
        match self {
            Self::Files(files) => files.record(record, names, entry, now),
            Self::Lines(lines) => {
                lines.record(record, names, entry);
                Ok(())
            }
        }
    }

    /// Octets that were not written yet.
    pub(super) fn pending(&mut self) -> usize {
        match self {
            Self::Files(files) => files.pending(),
            Self::Lines(lines) => lines.pending(),
        }
    }

    /// Writes what is there.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Files(files) => files.flush(),
            Self::Lines(lines) => lines.flush(),
        }
    }

    /// Takes note of how many frames of a point were lost so far.
    pub(super) fn lost(&mut self, point: Point, frames: u64) {
        match self {
            Self::Files(files) => files.lost(point, frames),
            // Whoever reads lines is told of it once, at the end.
            Self::Lines(_) => {}
        }
    }

    /// Whether as many files are full as were asked for; without that, begins a new one when it is time.
    pub(super) fn is_over(&mut self, names: &Names, now: Instant) -> io::Result<bool> {
        match self {
            Self::Files(files) => files.turn(names, now),
            Self::Lines(_) => Ok(false),
        }
    }

    /// Writes all, and what is known at the end.
    pub(super) fn finish(&mut self, names: &Names) -> io::Result<()> {
        match self {
            Self::Files(files) => files.finish(names),
            Self::Lines(lines) => lines.flush(),
        }
    }

    /// Frames that are where they were to be written.
    pub(super) fn frames(&self) -> u64 {
        match self {
            Self::Files(files) => files.frames(),
            Self::Lines(lines) => lines.frames(),
        }
    }

    /// What tells when nobody reads any more.
    pub(super) fn reader(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Files(files) => files.reader(),
            Self::Lines(lines) => lines.reader(),
        }
    }
}
