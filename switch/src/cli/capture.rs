//! `weft capture`: what passes weft, outside and inside, and what becomes of it.
//!
//! ```text
//!  daemon --Stream--> Session --> Files (pcapng: a file, several, standard output)
//!                        \------> Lines (text or JSON on standard output)
//! ```

use std::io::{self, IsTerminal};
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use self::files::{Files, Plan};
use self::lines::Lines;
use self::output::Output;
use self::owners::Owners;
use self::session::{Counts, End, Session};
use self::stop::Stop;
use self::stream::Stream;
use self::target::Target;
use super::client::{Client, ClientError};
use super::{Global, Outcome, complain, misfit, seconds};
use crate::capture::pcapng::SnapLen;
use crate::capture::program::Program;
use crate::clock;
use crate::control::protocol::{Capture, CaptureAt, Capturing, ErrorCode, Reply, Request};
use crate::io::pcap::{self, FilterError};

mod files;
mod lines;
mod output;
mod owners;
mod session;
mod stop;
mod stream;
pub(super) mod target;

/// Octets of the megabyte of `-C`.
const MEGABYTE: u64 = 1_000_000;

/// Arguments of `weft capture`.
#[derive(Debug, Args)]
#[command(
    after_help = "A frame that passes is seen twice, where it comes in and where it goes out, with the same id (#1.4711). \
                  At peers its outer headers are shown, too; what a UDP socket does not see of them is made up: MAC \
                  addresses, TTL, the IPv4 id, the checksum. Filters are those of tcpdump (man pcap-filter). With \
                  --inner only what passes it is captured, at ports and inside of tunnels; with --outer only what \
                  passes it at peers. A packet of the file can stand for several frames: for a super-frame at a port, \
                  and for datagrams of one size at a peer, of which the first is there; its comment says so, and where \
                  the frame goes, or why it was dropped. A reader that is too slow loses frames of the capture, which \
                  are counted, and no traffic. A frame that another node is to pass on is seen at the peer that it is handed \
                  to, and says for whom it is. Streams of gossip over TCP are not shown: tcpdump -i any tcp port 6786 \
                  shows them.\n\n\
                  Examples:\n  weft capture\n  weft capture -i port:web --inner arp\n  \
                  weft capture --drops\n  weft capture -w out.pcapng -c 1000\n  \
                  weft capture -w - | wireshark -k -i -\n  \
                  weft capture -i peer:node-b -w - | tcpdump -n -r -\n  \
                  weft capture -w ring.pcapng -C 100 -W 10 -s 128\n  \
                  weft -j capture --drops | jq -r .dropped.reason\n\n\
                  Exit codes: 0 it was told to end, or has what was asked for; 1 it could not go on, and said why; 2 a \
                  filter or an argument is wrong; 3 the daemon cannot be reached, or ended."
)]
pub(super) struct CaptureArgs {
    /// Where: any, port:NAME, or peer:NAME (or its address)
    #[arg(short, long = "interface", value_name = "POINT", default_value = "any", value_parser = point)]
    interface: CaptureAt,
    /// Only frames that pass this filter, at ports and inside of tunnels
    #[arg(long, value_name = "EXPR")]
    inner: Option<String>,
    /// Only datagrams that pass this filter; nothing at ports
    #[arg(long, value_name = "EXPR")]
    outer: Option<String>,
    /// End after so many packets, or lines
    #[arg(short, long, value_name = "N")]
    count: Option<NonZeroU64>,
    /// Octets to keep of each packet; 0 = all
    #[arg(short, long = "snapshot-length", value_name = "BYTES", default_value = "0", value_parser = snap)]
    snap: SnapLen,
    /// Write pcapng into this file, with mode 0600; - = standard output
    #[arg(short, long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Only frames that are dropped
    #[arg(long)]
    drops: bool,
    /// Begin a new file when one has so many million octets: FILE, FILE1, ...
    #[arg(short = 'C', value_name = "MB", requires = "write")]
    file_size: Option<NonZeroU64>,
    /// With -C: begin again with the first of so many files; with -G: end after so many
    #[arg(short = 'W', value_name = "COUNT", requires = "write")]
    file_count: Option<NonZeroU32>,
    /// Begin a new file after so many seconds; FILE may have a time in it, as in strftime(3)
    #[arg(short = 'G', value_name = "SECONDS", requires = "write", value_parser = seconds)]
    file_time: Option<Duration>,
}

/// How a capture ends that never began, and what to say.
struct Refusal(Outcome, String);

pub(super) fn run(global: &Global, args: &CaptureArgs) -> Outcome {
    capture(global, args).unwrap_or_else(|Refusal(outcome, message)| {
        complain(message);
        outcome
    })
}

fn capture(global: &Global, args: &CaptureArgs) -> Result<Outcome, Refusal> {
    let usage = |message: String| Refusal(Outcome::Usage, message);
    misuse(global, args, io::stdout().is_terminal()).map_err(|text| usage(text.to_owned()))?;
    let request = Request::Capture(Capture {
        at: args.interface.clone(),
        inner: filter("--inner", args.inner.as_deref())?,
        outer: filter("--outer", args.outer.as_deref())?,
        snap: args.snap.get(),
        drops: args.drops,
    });
    let failed = |error: io::Error| Refusal(Outcome::Failed, format!("cannot capture: {error}"));
    // Before the daemon is asked: what ends it from here on is not lost.
    let stop = Stop::catch().map_err(failed)?;
    let (begun, stream) = begin(global, &request)?;
    let owners = Owners::new(&global.socket, clock::now());
    let output = match &args.write {
        Some(path) => {
            let plan = plan(args, path);
            let files = Files::open(plan, &begun, stop.flag(), clock::now());
            let files = files.map_err(|error| Refusal(Outcome::Failed, cannot_write(path, &error)))?;
            Output::Files(Box::new(files))
        }
        None => Output::Lines(Lines::new(global.json, Target::stdout(stop.flag()).map_err(failed)?)),
    };
    complain(format_args!("capturing {} on {}; Ctrl-C ends it", shown(&args.interface), begun.node));
    let mut session = Session::new(output, owners, args.count);
    let end = session.run(stream, &stop);
    Ok(close(session, end, args.write.as_deref()))
}

/// What is wrong with arguments that are right one by one.
fn misuse(global: &Global, args: &CaptureArgs, terminal: bool) -> Result<(), &'static str> {
    let to_stdout = args.write.as_deref() == Some(Path::new("-"));
    if args.write.is_some() && global.json {
        return Err(
            "-j and -w exclude each other: a file is pcapng; leave -w out for JSON on standard output",
        );
    }
    if to_stdout && terminal {
        return Err(
            "-w - writes octets, and standard output is a terminal: add `| tcpdump -n -r -`, or name a file",
        );
    }
    let several = args.file_size.is_some() || args.file_time.is_some();
    if to_stdout && several {
        return Err("-C and -G make several files, and -w - is one: name a file");
    }
    if args.file_count.is_some() && !several {
        return Err("-W counts the files that -C or -G make: give one of them");
    }
    Ok(())
}

fn filter(option: &str, expression: Option<&str>) -> Result<Option<Program>, Refusal> {
    let refused = |error: FilterError| {
        let outcome = match error {
            FilterError::NoCompiler | FilterError::Tcpdump(_) => Outcome::Failed,
            _ => Outcome::Usage,
        };
        Refusal(outcome, format!("{option}: {error}"))
    };
    expression.map(|text| pcap::compile(text).map_err(refused)).transpose()
}

/// Asks the daemon to begin; from then on its connection is a stream.
fn begin(global: &Global, request: &Request) -> Result<(Capturing, Stream), Refusal> {
    let unreached = |error: ClientError| Refusal(Outcome::Unreachable, error.to_string());
    let failed = |message: String| Refusal(Outcome::Failed, message);
    let mut client = Client::connect(&global.socket, global.timeout).map_err(unreached)?;
    match client.ask(request).map_err(unreached)? {
        Reply::Capturing(begun) => {
            let (socket, read) =
                client.into_stream().map_err(|error| failed(format!("cannot capture: {error}")))?;
            Ok((begun, Stream::new(socket, read)))
        }
        Reply::Error(error) if error.code == ErrorCode::Usage => Err(Refusal(Outcome::Usage, error.message)),
        Reply::Error(error) => Err(failed(error.message)),
        _ => Err(failed(misfit().to_owned())),
    }
}

/// Ends the output, and says what came of it all.
fn close(mut session: Session, end: End, path: Option<&Path>) -> Outcome {
    let end = match session.finish() {
        Err(error) if !matches!(end, End::Output(_) | End::NobodyReads) => End::of(error),
        _ => end,
    };
    let outcome = match &end {
        End::Told | End::Enough | End::NobodyReads => Outcome::Ok,
        End::DaemonGone => {
            complain("the daemon ended the capture: is it stopping? Look at its log");
            Outcome::Unreachable
        }
        End::Broken(broken) => {
            complain(broken);
            Outcome::Failed
        }
        End::Output(error) => {
            complain(cannot_write(path.unwrap_or(Path::new("-")), error));
            Outcome::Failed
        }
    };
    complain(summary(session.counts(&end)));
    outcome
}

/// The last line.
fn summary(Counts { captured, lost, unwritten, beyond }: Counts) -> String {
    let s = if captured == 1 { "" } else { "s" };
    let or = if unwritten == 0 { "" } else { ", or they could not be written" };
    let more = if beyond == 0 { String::new() } else { format!("; {beyond} more passed before it ended") };
    format!(
        "{captured} frame{s} captured, {} lost because nobody took them in time{or}{more}",
        lost + unwritten
    )
}

fn cannot_write(path: &Path, error: &io::Error) -> String {
    let place =
        if path == Path::new("-") { "standard output".to_owned() } else { path.display().to_string() };
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the file holds what was captured before; make room there, or keep less: -s 128, --inner, -C with -W"
        }
        io::ErrorKind::TimedOut => "nobody read it any more",
        _ => "name another file",
    };
    format!("cannot write to {place}: {error}; {remedy}")
}

fn plan(args: &CaptureArgs, path: &Path) -> Plan {
    Plan {
        path: path.to_owned(),
        snap: args.snap,
        size: args.file_size.map(|megabytes| megabytes.get().saturating_mul(MEGABYTE)),
        count: args.file_count,
        time: args.file_time,
    }
}

fn point(text: &str) -> Result<CaptureAt, String> {
    let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    match text.split_once(':') {
        None if text == "any" => Some(CaptureAt::Any),
        Some(("port", name)) => named(name).map(CaptureAt::Port),
        Some(("peer", name)) => named(name).map(CaptureAt::Peer),
        _ => None,
    }
    .ok_or_else(|| "any, port:NAME or peer:NAME; see `weft port` and `weft peer`".to_owned())
}

fn shown(at: &CaptureAt) -> String {
    match at {
        CaptureAt::Any => "at all points".to_owned(),
        CaptureAt::Port(name) => format!("at port:{name}"),
        CaptureAt::Peer(name) => format!("at peer:{name}"),
    }
}

fn snap(text: &str) -> Result<SnapLen, String> {
    match text.parse::<u32>() {
        Ok(0) => Ok(SnapLen::MAX),
        Ok(octets) => SnapLen::new(octets).map_err(|error| error.to_string()),
        Err(_) => Err("a number of octets; 0 = all".to_owned()),
    }
}

#[cfg(test)]
mod tests;
