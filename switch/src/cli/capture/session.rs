//! A capture from its first message to its last.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::output::Output;
use super::owners::Owners;
use super::stop::Stop;
use super::stream::Stream;
use crate::capture::record::{Broken, Message, Point, Record};
use crate::capture::text::Names;
use crate::clock;

/// What was captured waits so long at most until it is written.
const FLUSH: Duration = Duration::from_millis(100);
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// More octets than these do not wait.
const BULK: usize = 256 << 10;
/// How long the daemon may be silent before it sends what it still has.
const LAST: Duration = Duration::from_secs(1);

/// Why a capture ends.
#[derive(Debug)]
pub(super) enum End {
    /// By a signal.
    Told,
    /// There is as much as was asked for.
    Enough,
    /// The other end of the pipe is closed.
    NobodyReads,
    /// The daemon closed the stream.
    DaemonGone,
    /// What it sent is not understood.
    Broken(Broken),
    /// What was captured cannot be written.
    Output(io::Error),
}

impl End {
    /// Why writing fails.
    pub(super) fn of(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::NobodyReads } else { Self::Output(error) }
    }
}

/// What the capture is at.
pub(super) struct Session {
    output: Output,
    owners: Owners,
    names: Names,
    /// Packets until there are enough.
    left: Option<NonZeroU64>,
    /// Frames that were to be written, and those that came when nothing was to be written any more.
    taken: u64,
    unread: u64,
    /// Frames that each point lost so far.
    lost: BTreeMap<Point, u64>,
}

/// What became of the frames that passed the filter while it captured; in all, that is how many there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    /// They are where they were to be written.
    pub(super) captured: u64,
    /// Nobody took them in time.
    pub(super) lost: u64,
    /// They could not be written.
    pub(super) unwritten: u64,
    /// They came after as many as were asked for.
    pub(super) beyond: u64,
}

/// What there is to do.
struct Ready {
    told: bool,
    nobody_reads: bool,
    stream: bool,
}

impl Session {
    /// `count`: packets after which it ends.
    pub(super) fn new(output: Output, owners: Owners, count: Option<NonZeroU64>) -> Self {
        Self {
            output,
            owners,
            names: Names::default(),
            left: count,
            taken: 0,
            unread: 0,
            lost: BTreeMap::new(),
        }
    }

    /// Takes what comes until something ends it. What the daemon has by then is written if that is possible and wanted, and
    /// counted in any case.
    pub(super) fn run(&mut self, mut stream: Stream, stop: &Stop) -> End {
        let Err(mut end) = self.capture(&mut stream, stop);
        stream.leave();
        if let End::Told = end {
            end = self.take_rest(&mut stream, Self::take).err().unwrap_or(End::Told);
        }
        // What is broken stays so.
        let _ = self.take_rest(&mut stream, Self::count);
        end
    }

    fn capture(&mut self, stream: &mut Stream, stop: &Stop) -> Result<Infallible, End> {
        let mut flushed = clock::now();
        stream.each(|message| self.take(message, flushed))?;
        loop {
            let ready = self.wait(stream, stop).map_err(End::Output)?;
            let now = clock::now();
            if ready.told {
                return Err(End::Told);
            }
            if ready.nobody_reads {
                return Err(End::NobodyReads);
            }
            if ready.stream {
                let open = stream.read().unwrap_or(false);
                stream.each(|message| self.take(message, now))?;
                if !open {
                    return Err(End::DaemonGone);
                }
            }
            if self.output.is_over(&self.names, now).map_err(End::of)? {
                return Err(End::Enough);
            }
            let old = now.saturating_duration_since(flushed) >= FLUSH;
            if old && self.output.pending() > 0 {
                self.output.flush().map_err(End::of)?;
                flushed = clock::now();
            }
        }
    }

    /// Waits until there is something to do, or to write.
    fn wait(&self, stream: &Stream, stop: &Stop) -> io::Result<Ready> {
        let mut fds = vec![PollFd::new(stream, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        // Asks for nothing: that nobody reads is told in any case.
        let reader = self.output.reader();
        fds.extend(reader.as_ref().map(|reader| PollFd::new(reader, PollFlags::empty())));
        match poll(&mut fds, Some(&LOOK)) {
            Ok(_) => {}
            Err(error) if error == rustix::io::Errno::INTR => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let nobody_reads = fds.get(2).is_some_and(|fd| fd.revents().contains(PollFlags::ERR));
        Ok(Ready { stream: is_ready(&fds[0]), told: is_ready(&fds[1]) || stop.is_told(), nobody_reads })
    }

    fn take(&mut self, message: &Message<'_>, now: Instant) -> Result<(), End> {
        match message {
            Message::Name { point, name, description } => self.names.set(*point, name, description),
            Message::Lost { point, frames } => {
                self.lost.insert(*point, *frames);
                self.output.lost(*point, *frames);
            }
            Message::Record(record) => self.record(record, now)?,
        }
        Ok(())
    }

    /// As [`Session::take`], when nothing is to be written any more.
    fn count(&mut self, message: &Message<'_>, now: Instant) -> Result<(), End> {
        match message {
            Message::Record(record) => self.unread += record.ids.frames(),
            other => self.take(other, now)?,
        }
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>, now: Instant) -> Result<(), End> {
        let entry = if self.output.tells_entries() { self.owners.of(record, now) } else { None };
        self.taken += record.ids.frames();
        self.output.record(record, &self.names, entry, now).map_err(End::of)?;
        if self.output.pending() >= BULK {
            self.output.flush().map_err(End::of)?;
        }
        if let Some(left) = self.left {
            self.left = Some(NonZeroU64::new(left.get() - 1).ok_or(End::Enough)?);
        }
        Ok(())
    }

    /// Takes what the daemon still has, which is no more than it had when it was told.
    fn take_rest(
        &mut self,
        stream: &mut Stream,
        take: impl Fn(&mut Self, &Message<'_>, Instant) -> Result<(), End>,
    ) -> Result<(), End> {
        let (mut last, mut open) = (clock::now(), true);
        loop {
            let now = clock::now();
            stream.each(|message| take(self, message, now))?;
            if !open || now.saturating_duration_since(last) >= LAST {
                return Ok(());
            }
            let mut fds = [PollFd::new(stream, PollFlags::IN)];
            if poll(&mut fds, Some(&LOOK)).unwrap_or(0) > 0 {
                open = stream.read().unwrap_or(false);
                last = clock::now();
            }
        }
    }

    /// Writes all that is left.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.output.finish(&self.names)
    }

    /// What became of all frames, when it ended like this.
    pub(super) fn counts(&self, end: &End) -> Counts {
        let captured = self.output.frames();
        let beyond = if matches!(end, End::Enough) { self.unread } else { 0 };
        let unwritten = (self.taken + self.unread).saturating_sub(captured + beyond);
        Counts { captured, lost: self.lost.values().sum(), unwritten, beyond }
    }
}

#[cfg(test)]
mod tests;
