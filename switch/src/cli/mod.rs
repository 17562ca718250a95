//! The command line: one file a command, each a client of the daemon's API.
//!
//! Data goes to standard output, messages to standard error. Exit codes: 0 ok, 1 failed, 2 usage, 3 the daemon cannot be
//! reached, 4 it runs, but degraded (`status`, `doctor`, `trace`).

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use self::client::{Client, ClientError};
use crate::control::protocol::{ErrorCode, ErrorReply, Reply, Request};

mod bugreport;
mod capture;
mod client;
mod completions;
mod config;
mod demo;
mod doctor;
mod drops;
mod fdb;
mod forget;
mod key;
mod leave;
mod log;
mod man;
mod neigh;
mod network;
mod path;
mod peer;
mod port;
mod reload;
mod run;
mod sim;
mod status;
mod table;
mod top;
mod trace;
mod watch;

/// An overlay switch in user space: pods on several hosts share a network over VXLAN or Geneve.
#[derive(Debug, Parser)]
#[command(
    name = "weft",
    version,
    max_term_width = 80,
    after_help = "Every command but run, demo, sim, config check, key new, log events, completions and man asks the daemon over its socket.\n\n\
                  Examples:\n  weft demo                               see it at work on this machine\n  \
                  weft config check /etc/weft/weft.toml   is the file right?\n  \
                  weft run                                the daemon, in the foreground\n  \
                  weft status                             does everything work?\n  \
                  weft status --watch                     and does it go on working?\n  \
                  weft top                                what goes on now?\n  \
                  weft doctor                             what is wrong, and what mends it?\n  \
                  weft trace web 10.32.0.6                what would become of such a frame?\n  \
                  weft drops                              where did my frames go?\n  \
                  weft -j fdb show | jq .entries          who is where, for a script\n\n\
                  Exit codes: 0 ok; 1 failed; 2 the command or its arguments are wrong; 3 the daemon cannot be \
                  reached; 4 it runs, and something does not work (status, doctor, trace)."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// The title of [`Global`] in every help.
const EVERYWHERE: &str = "Options of every command";

/// What every command takes.
#[derive(Clone, Debug, Args)]
struct Global {
    /// Print JSON: one object that names its schema
    #[arg(short, long, global = true, help_heading = EVERYWHERE)]
    json: bool,
    /// The daemon's socket ([node] socket in its configuration)
    #[arg(
        long,
        global = true,
        env = "WEFT_SOCKET",
        hide_env_values = true,
        help_heading = EVERYWHERE,
        value_name = "PATH",
        default_value = "/run/weft/weft.sock"
    )]
    socket: PathBuf,
    /// How many seconds to wait for the daemon
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        default_value = "5",
        value_parser = seconds,
        help_heading = EVERYWHERE
    )]
    timeout: Duration,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground
    Run(run::RunArgs),
    /// Show it all at work on this machine, in a few seconds, leaving nothing behind
    Demo(demo::DemoArgs),
    #[command(hide = true)]
    DemoPart(demo::PartArgs),
    /// Show whether everything works, and what does not
    #[command(
        after_help = "Degraded means: frames flow, but a port has no device, a peer has no route, an offload was \
                      refused, or gossip has a trouble. Each cause says what to do. The line `gossip` tells whether \
                      all nodes know the same: then they have one digest.\n\n\
                      Examples:\n  weft status\n  weft status --watch --interval 0.5\n  \
                      weft -j status | jq -r '.degraded[].cause'\n  \
                      weft status > /dev/null || echo 'something is wrong'\n\n\
                      Exit codes: 0 everything works; 3 no daemon answers; 4 degraded."
    )]
    Status(status::StatusArgs),
    /// List, add and remove peers: the other hosts
    Peer(peer::PeerArgs),
    /// List, add and remove ports: the TAP devices of pods
    Port(port::PortArgs),
    /// List networks
    Network(network::NetworkArgs),
    /// Show and change the forwarding database: which MAC address is where
    Fdb(fdb::FdbArgs),
    /// Show the paths to other hosts: how large a packet passes, and how well
    Path(path::PathArgs),
    /// Look for what is wrong with this node and its peers, and say what mends it
    Doctor(doctor::DoctorArgs),
    /// Tell what would become of a frame, here and at other nodes, and why
    Trace(trace::TraceArgs),
    /// Show which MAC address has which IP address
    Neigh(neigh::NeighArgs),
    /// Show where every frame went, and why frames were dropped
    Drops(drops::DropsArgs),
    /// Capture frames as they come and go, for Wireshark, tcpdump or a person
    Capture(capture::CaptureArgs),
    /// Show and change what is logged, and list what can be
    Log(log::LogArgs),
    /// Put all that is needed to understand a fault into one archive, without secrets
    Bugreport(bugreport::BugreportArgs),
    /// Watch peers, networks, ports, drops and what is wrong, with their rates
    Top(top::TopArgs),
    /// Make, list and change the keys that seal what nodes tell each other
    Key(key::KeyArgs),
    /// Check a configuration file, without the daemon
    Config(config::ConfigArgs),
    /// Make the daemon read its configuration again, as SIGHUP does
    #[command(
        after_help = "Networks, ports, peers, [encap], [path], [log] and `join` of [gossip] change while frames flow. [node], \
                      [underlay], [datapath], [api] and the rest of [gossip] need a restart: a change there refuses the \
                      whole reload. A file with an error changes nothing. What the command line added stays.\n\n\
                      Example:\n  weft config check /etc/weft/weft.toml && weft reload\n\n\
                      Exit codes: 0 the file is in use; 1 refused, the old configuration stays in effect."
    )]
    Reload,
    /// Say goodbye to the other nodes, and go on without them
    #[command(
        after_help = "The others are told at once that nothing lives here any more. Local ports and static peers go \
                      on; members are peers no longer, and `weft status` says that this node left. To join again, \
                      restart the daemon. A daemon that ends leaves by itself.\n\n\
                      Example:\n  weft leave\n\n\
                      Exit codes: 0 it left; 1 gossip is off, or it left before."
    )]
    Leave,
    /// Forget a node that is down and will not come back
    Forget(forget::ForgetArgs),
    /// Simulate a cluster: how fast news is known everywhere, and what that costs
    Sim(sim::SimArgs),
    /// Print the completion script of a shell
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write the pages of all commands
    Man(man::ManArgs),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    Unreachable = 3,
    Degraded = 4,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome as u8)
    }
}

/// Runs the command that the arguments of this process name; answers the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let global = &cli.global;
    let outcome = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Demo(args) => demo::run(global, &args),
        Command::DemoPart(args) => demo::run_part(&args),
        Command::Status(args) => status::run(global, &args),
        Command::Peer(args) => peer::run(global, args),
        Command::Port(args) => port::run(global, args),
        Command::Network(args) => network::run(global, args),
        Command::Fdb(args) => fdb::run(global, args),
        Command::Path(args) => path::run(global, args),
        Command::Doctor(args) => doctor::run(global, &args),
        Command::Trace(args) => trace::run(global, args),
        Command::Neigh(args) => neigh::run(global, args),
        Command::Drops(args) => drops::run(global, &args),
        Command::Capture(args) => capture::run(global, &args),
        Command::Log(args) => log::run(global, args),
        Command::Bugreport(args) => bugreport::run(global, &args),
        Command::Top(args) => top::run(global, &args),
        Command::Key(args) => key::run(global, args),
        Command::Config(args) => config::run(global, &args),
        Command::Reload => reload::run(global),
        Command::Leave => leave::run(global),
        Command::Forget(args) => forget::run(global, args),
        Command::Sim(args) => sim::run(global, &args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    };
    outcome.into()
}

/// Asks the daemon, and prints the reply: as JSON, or as `text` writes it; `text` answers `None` for a reply that does not
/// fit the request.
fn ask(global: &Global, request: &Request, text: impl FnOnce(&Reply) -> Option<String>) -> Outcome {
    ask_noting(global, request, |_| {}, text)
}

/// As [`ask`]; `note` sees the reply first.
fn ask_noting(
    global: &Global,
    request: &Request,
    note: impl FnOnce(&Reply),
    text: impl FnOnce(&Reply) -> Option<String>,
) -> Outcome {
    let reply = match fetch(global, request) {
        Ok(reply) => reply,
        Err(error) => return unreachable(&error),
    };
    if is_failure(&reply).is_some() {
        return refused(&reply);
    }
    note(&reply);
    if global.json {
        return print_json(&reply);
    }
    match text(&reply) {
        Some(text) => print(&text),
        None => {
            complain(misfit());
            Outcome::Failed
        }
    }
}

/// Says why the daemon did not answer what it was asked.
fn refused(reply: &Reply) -> Outcome {
    match is_failure(reply) {
        Some(error) => complain(&error.message),
        None => complain(misfit()),
    }
    let usage = is_failure(reply).is_some_and(|error| error.code == ErrorCode::Usage);
    if usage { Outcome::Usage } else { Outcome::Failed }
}

fn fetch(global: &Global, request: &Request) -> Result<Reply, ClientError> {
    Client::connect(&global.socket, global.timeout)?.ask(request)
}

const fn is_failure(reply: &Reply) -> Option<&ErrorReply> {
    if let Reply::Error(error) = reply { Some(error) } else { None }
}

const fn misfit() -> &'static str {
    "the daemon's reply does not fit the request: is it another version? Compare `weft --version` with `weft status`"
}

/// Asks for a change, and prints what was done.
fn change(global: &Global, request: &Request) -> Outcome {
    ask(global, request, |reply| match reply {
        Reply::Done(done) => Some(format!("{}\n", done.message)),
        _ => None,
    })
}

fn unreachable(error: &ClientError) -> Outcome {
    complain(error);
    Outcome::Unreachable
}

/// Writes a message for a person.
fn complain(message: impl Display) {
    // There is nobody left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "weft: {message}");
}

fn print_json(value: &impl Serialize) -> Outcome {
    match serde_json::to_string(value) {
        Ok(text) => print(&format!("{text}\n")),
        Err(error) => {
            complain(format_args!("the reply cannot be written as JSON: {error}"));
            Outcome::Failed
        }
    }
}

/// Writes data, or says why that cannot be.
fn print(text: &str) -> Outcome {
    match write_out(text) {
        Ok(()) => Outcome::Ok,
        Err(error) => {
            complain(format_args!("cannot write to standard output: {error}"));
            Outcome::Failed
        }
    }
}

/// Writes data; a reader that has seen enough, such as `head`, is no error.
fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text).parse::<f64>().ok();
    number
        .filter(|n| *n > 0.0)
        .and_then(|n| Duration::try_from_secs_f64(n).ok())
        .ok_or_else(|| "a number of seconds above 0, such as 5 or 0.5".to_owned())
}

#[cfg(test)]
mod tests;
