//! Without a file: one line of text a packet, or one object of JSON.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use super::target::Target;
use crate::capture::record::{Decision, Record};
use crate::capture::text::{self, Names};
use crate::control::protocol::FdbEntry;
use crate::counters::Direction;
use crate::io::local_time;

/// Lines on their way to standard output.
#[derive(Debug)]
pub(super) struct Lines {
    target: Target,
    json: bool,
    buffer: Vec<u8>,
    /// Where lines end in there, and the frames of each.
    ends: Vec<(usize, u64)>,
    /// Frames of the lines that were written.
    frames: u64,
    /// The second that was told last, as text.
    second: (u64, String),
}

impl Lines {
    pub(super) const fn new(json: bool, target: Target) -> Self {
        Self {
            target,
            json,
            buffer: Vec::new(),
            ends: Vec::new(),
            frames: 0,
            second: (u64::MAX, String::new()),
        }
    }

    /// Whether what the FDB says of a destination is told.
    pub(super) const fn tells_entries(&self) -> bool {
        self.json
    }

    pub(super) fn record(&mut self, record: &Record<'_>, names: &Names, entry: Option<&FdbEntry>) {
        let line = if self.json {
            // Texts and numbers only: it cannot fail.
            serde_json::to_string(&frame(record, names, entry)).unwrap_or_default()
        } else {
            text::line(record, names, self.time(record.at))
        };
        self.buffer.extend_from_slice(line.as_bytes());
        self.buffer.push(b'\n');
        self.ends.push((self.buffer.len(), record.ids.frames()));
    }

    /// The time of day, with microseconds, as tcpdump prints it.
    fn time(&mut self, at: u64) -> &str {
        let (second, nanoseconds) = (at / 1_000_000_000, at % 1_000_000_000);
        let (told, text) = &mut self.second;
        if *told != second {
            *told = second;
            *text = local_time::format("%H:%M:%S", Duration::from_secs(second)).unwrap_or_default();
        }
        text.truncate(text.rfind('.').unwrap_or(text.len()));
        text.push_str(&format!(".{:06}", nanoseconds / 1000));
        text
    }

    /// Octets that were not written yet.
    pub(super) fn pending(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        let (done, written) = self.target.write(&self.buffer);
        let whole = self.ends.iter().filter(|(end, _)| *end <= done);
        self.frames += whole.map(|(_, frames)| frames).sum::<u64>();
        self.buffer.clear();
        self.ends.clear();
        written
    }

    /// Frames of the lines that were written.
    pub(super) const fn frames(&self) -> u64 {
        self.frames
    }

    pub(super) fn reader(&self) -> Option<BorrowedFd<'_>> {
        self.target.reader()
    }
}

/// One packet as JSON. What is not known is left out.
#[derive(Debug, Serialize)]
struct Frame<'a> {
    schema: &'static str,
    /// With nanoseconds, in UTC.
    time: String,
    point: &'a str,
    direction: &'static str,
    /// Runs of ids, as lines show them.
    ids: Vec<String>,
    frames: u64,
    /// Of the first, or of the super-frame.
    octets: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    vni: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inside_ns: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<Dropped>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fdb: Option<&'a FdbEntry>,
    /// What it is, as text.
    text: String,
}

#[derive(Debug, Serialize)]
struct Dropped {
    reason: &'static str,
    direction: &'static str,
    why: &'static str,
}

fn frame<'a>(record: &Record<'_>, names: &'a Names, entry: Option<&'a FdbEntry>) -> Frame<'a> {
    let dropped = record.dropped.map(|(reason, direction)| Dropped {
        reason: reason.name(),
        direction: match direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        },
        why: reason.sentence(),
    });
    Frame {
        schema: "weft.capture-frame/1",
        time: humantime::format_rfc3339_nanos(UNIX_EPOCH + Duration::from_nanos(record.at)).to_string(),
        point: names.get(record.point).map_or("", |named| &named.name),
        direction: text::way(record.direction),
        ids: record.ids.runs().iter().map(text::run).collect(),
        frames: record.ids.frames(),
        octets: record.len,
        vni: record.vni.map(encap::Vni::get),
        inside_ns: record.inside,
        decision: match record.decision {
            Decision::None => None,
            Decision::ToPorts | Decision::ToPort(_) => Some("to_port"),
            Decision::ToPeer(_) => Some("to_peer"),
            Decision::Flooded { .. } => Some("flooded"),
            Decision::Answered => Some("answered"),
        },
        to: match record.decision {
            Decision::Answered => None,
            decision => text::destination(decision, names),
        },
        dropped,
        fdb: entry,
        text: text::contents(record),
    }
}

#[cfg(test)]
mod tests;
