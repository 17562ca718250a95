//! What the FDB says of destinations: asked from the daemon beside the capture, seldom, and never waited for long.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use encap::{MacAddr, Vni};

use super::super::client::Client;
use crate::capture::record::{Flow, Record};
use crate::control::protocol::{FdbEntry, Reply, Request};

/// How long an answer holds.
const FRESH: Duration = Duration::from_secs(5);
/// The most questions in a second.
const MOST_ASKED: u32 = 20;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long nothing is asked when an answer took longer.
const QUIET: Duration = Duration::from_secs(5);
/// The most answers that are remembered.
const MOST_KNOWN: usize = 4096;

/// What is known of destinations.
pub(super) struct Owners {
    socket: PathBuf,
    client: Option<Client>,
    known: HashMap<(Vni, MacAddr), (Instant, Option<FdbEntry>)>,
    /// Since when questions are counted, and how many there were.
    asked: (Instant, u32),
    quiet_until: Instant,
}

impl Owners {
    pub(super) fn new(socket: &Path, now: Instant) -> Self {
        Self {
            socket: socket.to_owned(),
            client: None,
            known: HashMap::new(),
            asked: (now, 0),
            quiet_until: now,
        }
    }

    /// The entry of the destination of a frame that comes in; `None` = there is none, or it is not known at once.
    pub(super) fn of(&mut self, record: &Record<'_>, now: Instant) -> Option<&FdbEntry> {
        let key = destination(record)?;
        let is_fresh = |at: &Instant| now.saturating_duration_since(*at) < FRESH;
        if !self.known.get(&key).is_some_and(|(at, _)| is_fresh(at)) && self.may_ask(now) {
            if self.known.len() >= MOST_KNOWN {
                self.known.clear();
            }
            match self.ask(key) {
                Some(entry) => drop(self.known.insert(key, (now, entry))),
                None => {
                    // What comes late would be taken for the answer to another question.
                    self.client = None;
                    self.quiet_until = now + QUIET;
                }
            }
        }
        self.known.get(&key).and_then(|(_, entry)| entry.as_ref())
    }

    fn may_ask(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.asked.0) >= Duration::from_secs(1) {
            self.asked = (now, 0);
        }
        let may = now >= self.quiet_until && self.asked.1 < MOST_ASKED;
        self.asked.1 += u32::from(may);
        may
    }

    /// `None` = no answer in time.
    fn ask(&mut self, (vni, mac): (Vni, MacAddr)) -> Option<Option<FdbEntry>> {
        let request = Request::FdbShow { mac: Some(mac), network: Some(vni.get().to_string()) };
        // The daemon closes a connection on which nothing was asked for some seconds.
        let mut answer = self.client.as_mut().and_then(|client| client.ask(&request).ok());
        if answer.is_none() {
            let client = self.client.insert(Client::connect(&self.socket, PATIENCE).ok()?);
            answer = client.ask(&request).ok();
        }
        match answer? {
            Reply::Fdb(fdb) => Some(fdb.entries.into_iter().next()),
            // The network is gone, or the like.
            _ => Some(None),
        }
    }
}

/// Network and destination of a frame that comes in for one place.
fn destination(record: &Record<'_>) -> Option<(Vni, MacAddr)> {
    let octets = record.octets.get(usize::from(record.outer)..)?.first_chunk()?;
    let mac = MacAddr::new(*octets);
    (record.direction == Flow::In && !mac.is_group()).then_some((record.vni?, mac))
}

#[cfg(test)]
mod tests;
