//! pcapng into a file, or one after the other, named as tcpdump names them.
//!
//! Blocks are written whole: when a disk is full, the file ends behind the last block that fitted.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::target::Target;
use crate::capture::pcapng::{InterfaceId, Packet, SnapLen, Way, Writer};
use crate::capture::record::{Flow, Point, Record};
use crate::capture::text::{self, Names};
use crate::clock;
use crate::control::protocol::{Capturing, FdbEntry};
use crate::io::local_time;

/// Which files there are to be.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The first, or `-` for standard output.
    pub(super) path: PathBuf,
    /// Octets that are kept of each packet.
    pub(super) snap: SnapLen,
    /// One that has more octets is the last of its name.
    pub(super) size: Option<u64>,
    /// How many there are at most: with a size they are a ring.
    pub(super) count: Option<NonZeroU32>,
    /// One that is older is the last of its name.
    pub(super) time: Option<Duration>,
}

impl Plan {
    /// The name of a file: `index` counts those of one time, from 0.
    fn name(&self, index: u32, since_1970: Duration) -> PathBuf {
        let told = self.time.and_then(|_| local_time::format(self.path.to_str()?, since_1970));
        let mut name: OsString = told.map_or_else(|| self.path.clone().into(), OsString::from);
        // Wide enough for the last one, so that they sort.
        let last = self.count.filter(|_| self.size.is_some()).map_or(0, |count| count.get() - 1);
        let width = if last == 0 { 0 } else { last.to_string().len() };
        if index > 0 || width > 0 {
            name.push(format!("{index:0width$}"));
        }
        name.into()
    }
}

/// One interface of the file at hand, its name, and how many frames were seen there.
#[derive(Debug)]
struct Interface {
    id: InterfaceId,
    name: String,
    seen: u64,
}

/// The file at hand, and which comes next.
#[derive(Debug)]
pub(super) struct Files {
    plan: Plan,
    application: String,
    told: Arc<AtomicBool>,
    target: Target,
    /// What is not written yet: whole blocks.
    writer: Writer<Vec<u8>>,
    /// Where packets end in there, and the frames of each.
    ends: Vec<(usize, u64)>,
    /// Octets of this file that are written.
    written: u64,
    interfaces: Vec<Interface>,
    /// Which of these a point is now.
    points: BTreeMap<Point, usize>,
    /// When this file was begun.
    began: Instant,
    /// Files of this time before this one, and times before this one.
    before: (u32, u32),
    /// Frames that are written, in all files.
    frames: u64,
    /// Frames that points lost so far, and before this file.
    lost: BTreeMap<Point, u64>,
    lost_before: BTreeMap<Point, u64>,
    /// When the last packet was, since 1970.
    last: Duration,
    failed: bool,
}

impl Files {
    /// Opens the first file; `told`: whether the capture is to end.
    pub(super) fn open(plan: Plan, of: &Capturing, told: Arc<AtomicBool>, now: Instant) -> io::Result<Self> {
        let application = format!("weft {} on {}", of.version, of.node);
        let wall = Duration::from_millis(clock::unix_ms());
        let target = if plan.path == Path::new("-") {
            Target::stdout(Arc::clone(&told))?
        } else {
            Target::open(&plan.name(0, wall), Arc::clone(&told))?
        };
        Ok(Self {
            writer: Writer::new(Vec::new(), plan.snap, &application)?,
            plan,
            application,
            told,
            target,
            ends: Vec::new(),
            written: 0,
            interfaces: Vec::new(),
            points: BTreeMap::new(),
            began: now,
            before: (0, 0),
            frames: 0,
            lost: BTreeMap::new(),
            lost_before: BTreeMap::new(),
            last: wall,
            failed: false,
        })
    }

    /// Adds a packet, to the next file if this one is full.
    pub(super) fn record(
        &mut self,
        record: &Record<'_>,
        names: &Names,
        entry: Option<&FdbEntry>,
        now: Instant,
    ) -> io::Result<()> {
        if self.plan.size.is_some_and(|size| self.written + self.pending() as u64 > size) {
            let next = self.before.0 + 1;
            let ring = self.plan.count.filter(|_| self.plan.time.is_none());
            let index = ring.map_or(next, |count| next % count);
            self.next((index, self.before.1), names, now)?;
        }
        let index = self.interface(record.point, names)?;
        let interface = &mut self.interfaces[index];
        interface.seen += record.ids.frames();
        self.last = Duration::from_nanos(record.at);
        let comment = text::comment(record, names, entry.map(described).as_deref());
        self.writer.packet(&Packet {
            interface: interface.id,
            time: self.last,
            octets: record.octets,
            len: record.len as usize,
            way: Some(match record.direction {
                Flow::In => Way::In,
                Flow::Out => Way::Out,
            }),
            id: Some(record.ids.first()),
            comments: &[&comment],
        })?;
        self.ends.push((self.writer.get_mut().len(), record.ids.frames()));
        Ok(())
    }

    /// The interface of a point: a new one if it has none, or another name by now.
    fn interface(&mut self, point: Point, names: &Names) -> io::Result<usize> {
        let name = names.of(point);
        if let Some(&index) = self.points.get(&point)
            && self.interfaces[index].name == name
        {
            return Ok(index);
        }
        let description = names.get(point).map_or("", |named| &named.description);
        let id = self.writer.interface(&name, description)?;
        self.points.insert(point, self.interfaces.len());
        self.interfaces.push(Interface { id, name: name.into_owned(), seen: 0 });
        Ok(self.interfaces.len() - 1)
    }

    /// Begins a new file if this one is old; whether there were as many as asked for instead.
    pub(super) fn turn(&mut self, names: &Names, now: Instant) -> io::Result<bool> {
        let age = now.saturating_duration_since(self.began);
        if self.plan.time.is_none_or(|time| age < time) {
            return Ok(false);
        }
        let times = self.before.1 + 1;
        if self.plan.size.is_none() && self.plan.count.is_some_and(|count| times >= count.get()) {
            return Ok(true);
        }
        self.next((0, times), names, now)?;
        Ok(false)
    }

    /// Ends this file, and begins another.
    fn next(&mut self, before: (u32, u32), names: &Names, now: Instant) -> io::Result<()> {
        self.finish(names)?;
        let name = self.plan.name(before.0, Duration::from_millis(clock::unix_ms()));
        self.target = Target::open(&name, Arc::clone(&self.told))?;
        self.writer = Writer::new(Vec::new(), self.plan.snap, &self.application)?;
        self.interfaces.clear();
        self.points.clear();
        self.written = 0;
        self.began = now;
        self.lost_before = self.lost.clone();
        self.before = before;
        Ok(())
    }

    /// Octets that are not written yet.
    pub(super) fn pending(&mut self) -> usize {
        self.writer.get_mut().len()
    }

    /// Writes what is there; what does not fit is cut off behind the last whole block.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let octets = self.writer.get_mut();
        let (done, result) = self.target.write(octets);
        let whole = if result.is_ok() { done } else { whole_blocks(octets, done) };
        self.written += whole as u64;
        if result.is_err() {
            self.failed = true;
            self.target.cut(self.written);
        }
        let packets = self.ends.iter().filter(|(end, _)| *end <= whole);
        self.frames += packets.map(|(_, frames)| frames).sum::<u64>();
        octets.clear();
        self.ends.clear();
        result
    }

    /// Ends this file with what is known of its interfaces. libpcap reads none that has no interface.
    pub(super) fn finish(&mut self, names: &Names) -> io::Result<()> {
        if self.failed {
            return Ok(());
        }
        let lost = self.lost_here(names)?;
        if self.interfaces.is_empty() {
            let name = "any".to_owned();
            let id = self.writer.interface(&name, "nothing was captured")?;
            self.interfaces.push(Interface { id, name, seen: 0 });
        }
        for (index, Interface { id, seen, .. }) in self.interfaces.iter().enumerate() {
            let lost = lost.get(&index).copied().unwrap_or(0);
            self.writer.statistics(*id, self.last, (seen + lost, lost))?;
        }
        self.flush()
    }

    /// What interfaces of this file lost. A point of which all was lost has one, too.
    fn lost_here(&mut self, names: &Names) -> io::Result<BTreeMap<usize, u64>> {
        let mut here = BTreeMap::new();
        for (point, lost) in self.lost.clone() {
            let lost = lost - self.lost_before.get(&point).copied().unwrap_or(0);
            if lost > 0 {
                here.insert(self.interface(point, names)?, lost);
            }
        }
        Ok(here)
    }

    /// Takes note of how many frames of a point were lost so far.
    pub(super) fn lost(&mut self, point: Point, frames: u64) {
        self.lost.insert(point, frames);
    }

    /// Frames that are written, in all files.
    pub(super) const fn frames(&self) -> u64 {
        self.frames
    }

    /// What tells when nobody reads any more.
    pub(super) fn reader(&self) -> Option<BorrowedFd<'_>> {
        self.target.reader()
    }
}

/// How many of the first `len` octets are whole blocks; each has its length behind its kind.
fn whole_blocks(octets: &[u8], len: usize) -> usize {
    let mut at = 0;
    while let Some(block) = octets.get(at + 4..).and_then(|rest| rest.first_chunk::<4>()) {
        let end = at + u32::from_le_bytes(*block) as usize;
        if end > len || end == at {
            break;
        }
        at = end;
    }
    at
}

/// What the FDB says of a destination.
fn described(entry: &FdbEntry) -> String {
    let at = match (&entry.port, entry.dst) {
        (Some(port), _) => format!("port {port}"),
        (None, Some(dst)) => dst.to_string(),
        (None, None) => "nowhere".to_owned(),
    };
    format!("FDB: {} behind {at}, owner {}, seq {}", entry.mac, entry.owner, entry.seq)
}

#[cfg(test)]
mod tests;
