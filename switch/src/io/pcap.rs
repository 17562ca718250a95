//! Filters in tcpdump's language ([pcap-filter(7)]), compiled by libpcap if it is there, else by tcpdump.
//!
//! [pcap-filter(7)]: https://www.tcpdump.org/manpages/pcap-filter.7.html

use std::ffi::CString;
use std::fmt;
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::capture::program::{Program, ProgramError};
use crate::clock;
use crate::sys::pcap::Libpcap;

mod place;

/// What a program answers for a frame that passes: as many octets as libpcap takes at most.
const SNAP: u32 = 262_144;
/// Loads from here on are no octets of the frame but what the kernel knows of it, such as its direction.
const BEYOND: u32 = 0xffff_f000;
/// How long it may take to find the place of an error.
const PATIENCE: Duration = Duration::from_secs(1);
/// A pcap file of Ethernet without a packet: what tcpdump compiles for when it is to read one.
const EMPTY_FILE: [u8; 24] =
    [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It is no expression of the language.
    #[error("{0}")]
    Wrong(Wrong),
    /// Nobody knows the language here.
    #[error(
        "there is neither libpcap nor tcpdump on this host, which know what a filter means: `apt-get install \
         libpcap0.8`, or capture without one"
    )]
    NoCompiler,
    /// tcpdump could not be asked.
    #[error("cannot ask tcpdump what the filter means: {0}; `apt-get install libpcap0.8` instead")]
    Tcpdump(io::Error),
    /// What came of it cannot be run here.
    #[error("{0}")]
    Program(#[from] ProgramError),
    /// It asks for the direction of a frame, or the like.
    #[error(
        "the filter asks for what only a device knows, such as inbound or outbound: leave that out (a capture tells \
         the direction of each frame)"
    )]
    Beyond,
    /// It goes through a chain of headers.
    #[error(
        "the filter loops (protochain), and what runs on every frame must not: give the protocol alone, such as `ip6 \
         proto 6`"
    )]
    Loop,
}

/// What the compiler says against an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// libpcap's own words.
    pub message: String,
    expression: String,
    /// In characters.
    place: Option<usize>,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.place {
            Some(place) => write!(f, "\n  {}\n  {:place$}^", self.expression, ""),
            None => Ok(()),
        }
    }
}

/// What compiles filters.
#[derive(Debug)]
enum Compiler {
    Libpcap(Libpcap),
    Tcpdump,
}

/// Compiles a filter for frames of Ethernet, as they are in a program or file.
///
/// # Errors
///
/// [`FilterError`]: the expression is wrong, or nobody here knows what it means.
pub fn compile(expression: &str) -> Result<Program, FilterError> {
    Libpcap::open().map_or(Compiler::Tcpdump, Compiler::Libpcap).compile(expression)
}

/// What came of asking.
enum Answer {
    Code(Vec<(u16, u8, u8, u32)>),
    Refused(String),
}

impl Compiler {
    fn compile(&self, expression: &str) -> Result<Program, FilterError> {
        let code = match self.ask(expression)? {
            Answer::Code(code) => code,
            Answer::Refused(message) => {
                let place = self.place_of(expression, &message, clock::now());
                return Err(FilterError::Wrong(Wrong { message, expression: expression.to_owned(), place }));
            }
        };
        // Loads of a word, half word or octet at a fixed place.
        if code.iter().any(|(code, _, _, k)| [0x20, 0x28, 0x30].contains(code) && *k >= BEYOND) {
            return Err(FilterError::Beyond);
        }
        // Jumps backwards.
        if code.iter().any(|(code, _, _, k)| *code == 0x05 && k.cast_signed() < 0) {
            return Err(FilterError::Loop);
        }
        Ok(Program::new(code.into_iter().map(Into::into).collect())?)
    }

    fn ask(&self, expression: &str) -> Result<Answer, FilterError> {
        match self {
            Self::Libpcap(library) => {
                let Ok(expression) = CString::new(expression) else {
                    return Ok(Answer::Refused("a filter has no NUL".to_owned()));
                };
                let snap = SNAP.cast_signed();
                Ok(library.compile(&expression, snap).map_or_else(Answer::Refused, Answer::Code))
            }
            Self::Tcpdump => ask_tcpdump(expression),
        }
    }

    /// Where an expression goes wrong: what the message quotes, or else the first word that nothing can follow.
    fn place_of(&self, expression: &str, message: &str, start: Instant) -> Option<usize> {
        place::quoted(expression, message).or_else(|| {
            place::search(expression, |part| {
                if clock::now().saturating_duration_since(start) > PATIENCE {
                    return None;
                }
                self.ask(part).ok().map(|answer| matches!(answer, Answer::Code(_)))
            })
        })
    }
}

/// Asks `tcpdump -ddd`, which needs neither a device nor a privilege when it is to read a file.
fn ask_tcpdump(expression: &str) -> Result<Answer, FilterError> {
    // Two words, so that an expression is never taken for an option.
    let child = Command::new("tcpdump")
        .args(["-n", "-ddd", "-r", "-", "--", expression])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(FilterError::NoCompiler),
        other => other.map_err(FilterError::Tcpdump)?,
    };
    if let Some(mut input) = child.stdin.take() {
        // One that does not read it ends with an error of its own.
        let _ = input.write_all(&EMPTY_FILE);
    }
    let done = child.wait_with_output().map_err(FilterError::Tcpdump)?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        let own = |line: &str| line.strip_prefix("tcpdump: ").map(str::to_owned);
        let message = said.lines().find_map(own).or_else(|| said.lines().last().map(str::to_owned));
        return Ok(Answer::Refused(message.unwrap_or_else(|| "tcpdump refuses the filter".to_owned())));
    }
    let text = String::from_utf8_lossy(&done.stdout);
    listing(&text).map(Answer::Code).ok_or_else(|| {
        FilterError::Tcpdump(io::Error::new(io::ErrorKind::InvalidData, "its output is no program"))
    })
}

/// The instructions that `tcpdump -ddd` prints, behind the line with their number.
fn listing(text: &str) -> Option<Vec<(u16, u8, u8, u32)>> {
    let instruction = |line: &str| {
        let mut words = line.split_whitespace();
        let mut next = || words.next();
        Some((next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?))
    };
    text.lines().skip(1).map(instruction).collect()
}

#[cfg(test)]
mod tests;
