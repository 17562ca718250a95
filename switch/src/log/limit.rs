//! Leaves out what is said too often, and says how much that was.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Code;

#[cfg(test)]
mod tests;

/// How long lines are counted before the count begins again.
pub const WINDOW: Duration = Duration::from_secs(10);
/// Lines of one code about one thing in that time; the 11th tells nobody anything new.
pub const PER_SUBJECT: u32 = 10;
/// Lines of one code in that time, whatever they are about: a cluster of some hundred nodes that starts is told whole.
pub const PER_CODE: u32 = 1000;
/// Things that are counted at a time; of further ones only the limit of the code holds.
pub const MAX_SUBJECTS: usize = 256;
/// The octets of a subject that tell it from others.
const SUBJECT: usize = 64;

/// Lines that were left out, to be told in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Their code.
    pub code: Code,
    /// What they were about; `None` = several things.
    pub subject: Option<String>,
    /// How many they were.
    pub count: u64,
}

/// Counts lines by code and by what they are about. Bounded, and each line that is left out is in one count that
/// [`ended`](Self::ended) gives out, of errors as of others.
///
/// # Examples
///
/// ```
/// use weft::log::{Code, Limiter, PER_SUBJECT, WINDOW};
///
/// let (mut limiter, now) = (Limiter::default(), weft::clock::now());
/// let admitted = (0..12).filter(|_| limiter.admit(Code::PortDown, "web", now)).count();
/// assert_eq!(admitted, PER_SUBJECT as usize);
/// assert_eq!(limiter.ended(now + WINDOW)[0].count, 2);
/// assert!(limiter.admit(Code::PortDown, "web", now + WINDOW));
/// ```
#[derive(Debug, Default)]
pub struct Limiter {
    subjects: BTreeMap<(Code, String), Window>,
    codes: BTreeMap<Code, Window>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    admitted: u32,
    left_out: u64,
}

impl Limiter {
    /// Whether a line is to be written. Ask [`ended`](Self::ended) first.
    pub fn admit(&mut self, code: Code, subject: &str, now: Instant) -> bool {
        let subject = &subject[..subject.floor_char_boundary(SUBJECT)];
        let key = (code, subject.to_owned());
        let room = self.subjects.len() < MAX_SUBJECTS || self.subjects.contains_key(&key);
        if room && !self.subjects.entry(key).or_insert(Window::new(now)).take(PER_SUBJECT, now) {
            return false;
        }
        self.codes.entry(code).or_insert(Window::new(now)).take(PER_CODE, now)
    }

    /// What was left out while windows lasted that have ended; each is told once.
    pub fn ended(&mut self, now: Instant) -> Vec<LeftOut> {
        let subjects = self.subjects.extract_if(.., |_, window| window.is_over(now));
        let subjects = subjects.map(|((code, subject), window)| (code, Some(subject), window.left_out));
        let codes = self.codes.extract_if(.., |_, window| window.is_over(now));
        let codes = codes.map(|(code, window)| (code, None, window.left_out));
        let all = subjects.chain(codes).filter(|(.., count)| *count > 0);
        all.map(|(code, subject, count)| LeftOut { code, subject, count }).collect()
    }
}

impl Window {
    const fn new(now: Instant) -> Self {
        Self { since: now, admitted: 0, left_out: 0 }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW
    }

    fn take(&mut self, most: u32, now: Instant) -> bool {
        if self.is_over(now) {
            // What was left out is still to be told.
            (self.since, self.admitted) = (now, 0);
        }
        let admitted = self.admitted < most;
        if admitted {
            self.admitted += 1;
        } else {
            self.left_out += 1;
        }
        admitted
    }
}
