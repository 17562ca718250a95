//! Gets what a report has: from the daemon, the configuration, the kernel, other programs. Nothing that is missing keeps the
//! rest from being there.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::report::Report;
use crate::cli::client::ClientError;
use crate::cli::{Global, complain, doctor, fetch};
use crate::control::protocol::{Reply, Request};

/// Where the configuration is unless somebody says otherwise.
const CONFIG: &str = "/etc/weft/weft.toml";
/// Entries of a table, at most.
const MAX_ENTRIES: usize = 10_000;
/// Devices whose settings are read, at most.
const MAX_DEVICES: usize = 200;
/// How long another program may take.
const LIMIT: Duration = Duration::from_secs(10);
/// What it may print, in octets.
const MAX_OUTPUT: u64 = 64 << 20;

/// Gets it all, in the order of the archive. The configuration comes first: what is removed from it is so from the rest.
pub(super) fn everything(report: &mut Report, global: &Global, config: Option<&Path>) {
    let pid = daemon_pid(&global.socket);
    let config = config.map(Path::to_owned).or_else(|| config_of(pid?)).unwrap_or_else(|| CONFIG.into());
    configuration(report, &config);
    if let Err(error) = daemon(report, global) {
        complain(format_args!("{error}; the report has what there is without it"));
        if matches!(error, ClientError::Missing(_) | ClientError::Refused(_)) {
            without_daemon(report, global, &config);
        }
    }
    process(report, pid);
    settings(report);
    for file in FILES {
        copy(report, file);
    }
    for (name, command) in COMMANDS {
        program(report, name, command);
    }
}

/// What the daemon is asked, and what else asks that.
fn questions() -> [(&'static str, &'static str, Request); 13] {
    [
        ("status", "weft -j status", Request::Status),
        ("networks", "weft -j network list", Request::NetworkList),
        ("ports", "weft -j port list", Request::PortList),
        ("peers", "weft -j peer list", Request::PeerList),
        ("paths", "weft -j path show", Request::PathShow { peer: None }),
        ("fdb", "weft -j fdb show", Request::FdbShow { mac: None, network: None }),
        ("neigh", "weft -j neigh", Request::NeighShow { network: None }),
        ("drops", "weft -j drops", Request::Drops),
        ("keys", "weft -j key list", Request::KeyList),
        ("log", "weft -j log show", Request::LogShow),
        ("ready", "GET /readyz", Request::Ready),
        ("metrics", "GET /metrics", Request::Metrics),
        ("doctor", "weft -j doctor", Request::Doctor),
    ]
}

/// Asks the daemon everything; an error = it does not answer.
fn daemon(report: &mut Report, global: &Global) -> Result<(), ClientError> {
    for (name, command, request) in questions() {
        let file = format!("daemon/{name}.json");
        let reply = match request {
            Request::Doctor => doctor::examine(global),
            request => fetch(global, &request),
        };
        let how = format!("asked the daemon, as {command} does");
        match reply {
            Ok(Reply::Error(error)) => report.lacks(&file, error.message),
            Ok(mut reply) => {
                let left_out = shorten(&mut reply);
                let more =
                    if left_out > 0 { format!("; {left_out} more entries left out") } else { String::new() };
                add_json(report, &file, &(how + &more), &reply);
            }
            Err(error) => {
                let all = questions().map(|(name, ..)| format!("daemon/{name}.json"));
                let from = all.iter().position(|of| *of == file).unwrap_or(0);
                report.lacks(&all[from..].join(", "), error.to_string());
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Leaves the first entries of a long table; answers how many are gone.
fn shorten(reply: &mut Reply) -> usize {
    fn cut<T>(entries: &mut Vec<T>) -> usize {
        let more = entries.len().saturating_sub(MAX_ENTRIES);
        entries.truncate(MAX_ENTRIES);
        more
    }
    match reply {
        Reply::Fdb(fdb) => cut(&mut fdb.entries),
        Reply::Neigh(neigh) => cut(&mut neigh.entries),
        _ => 0,
    }
}

fn without_daemon(report: &mut Report, global: &Global, config: &Path) {
    let found = Reply::Doctor(doctor::without_daemon(global, config));
    add_json(
        report,
        "doctor.json",
        "looked for what keeps a daemon from starting, as weft doctor does",
        &found,
    );
}

fn add_json(report: &mut Report, name: &str, how: &str, reply: &Reply) {
    match serde_json::to_string_pretty(reply) {
        Ok(text) => report.add(name, how, &(text + "\n")),
        Err(error) => report.lacks(name, format!("it cannot be written as JSON: {error}")),
    }
}

fn configuration(report: &mut Report, path: &Path) {
    match fs::read_to_string(path) {
        Ok(text) => report.add_config("config/weft.toml", &format!("read from {}", path.display()), &text),
        Err(error) => report.lacks(
            "config/weft.toml",
            format!("cannot read {}: {error}; name the file with --config, and use sudo", path.display()),
        ),
    }
}

// ---- the daemon's process ----

/// Who listens on the socket, as far as that can be seen from here.
fn daemon_pid(socket: &Path) -> Option<i32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().ok()?;
    let peer = async { tokio::net::UnixStream::connect(socket).await.and_then(|stream| stream.peer_cred()) };
    runtime.block_on(peer).ok()?.pid().filter(|pid| *pid > 0)
}

/// The configuration that a daemon was started with.
fn config_of(pid: i32) -> Option<PathBuf> {
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    let directory = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    let mut words = line.split('\0');
    let named = words.find_map(|word| match word.strip_prefix("--config") {
        Some("") => Some(None),
        Some(value) => value.strip_prefix('=').map(Some),
        None => None,
    })?;
    Some(directory.join(named.or_else(|| words.next())?))
}

fn process(report: &mut Report, pid: Option<i32>) {
    let Some(pid) = pid else {
        return report.lacks("process", "no daemon, or one whose process cannot be seen from here");
    };
    for name in ["status", "limits", "cgroup"] {
        add_file(report, &format!("process/{name}"), Path::new(&format!("/proc/{pid}/{name}")));
    }
}

// ---- the host ----

/// Files of the kernel and the system.
const FILES: [&str; 12] = [
    "/etc/os-release",
    "/proc/version",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/cpuinfo",
    "/proc/net/dev",
    "/proc/net/snmp",
    "/proc/net/snmp6",
    "/proc/net/netstat",
    "/proc/net/softnet_stat",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource",
];

fn copy(report: &mut Report, path: &str) {
    let name = path.rsplit('/').next().unwrap_or(path);
    let folder = if path.starts_with("/proc/net/") { "host/net" } else { "host" };
    add_file(report, &format!("{folder}/{name}"), Path::new(path));
}

fn add_file(report: &mut Report, name: &str, path: &Path) {
    match fs::read(path) {
        Ok(octets) => {
            report.add(name, &format!("read from {}", path.display()), &String::from_utf8_lossy(&octets));
        }
        Err(error) => report.lacks(name, format!("cannot read {}: {error}", path.display())),
    }
}

/// Settings of the network, by their names for `sysctl`.
const SETTINGS: [&str; 20] = [
    "net.core.rmem_max",
    "net.core.rmem_default",
    "net.core.wmem_max",
    "net.core.wmem_default",
    "net.core.optmem_max",
    "net.core.netdev_max_backlog",
    "net.core.netdev_budget",
    "net.core.default_qdisc",
    "net.core.busy_read",
    "net.ipv4.ip_forward",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_no_pmtu_disc",
    "net.ipv4.tcp_mtu_probing",
    "net.ipv4.udp_mem",
    "net.ipv4.udp_rmem_min",
    "net.ipv6.conf.all.disable_ipv6",
    "net.ipv6.conf.all.forwarding",
    "net.netfilter.nf_conntrack_count",
    "net.netfilter.nf_conntrack_max",
    "kernel.sched_rt_runtime_us",
];

/// Settings that each device has.
const OF_DEVICES: [&str; 4] =
    ["ipv4/conf/*/rp_filter", "ipv4/conf/*/forwarding", "ipv6/conf/*/disable_ipv6", "ipv6/conf/*/accept_ra"];

fn settings(report: &mut Report) {
    let read = |path: &Path| fs::read_to_string(path).map(|text| text.trim().replace('\t', " ")).ok();
    let mut text = String::new();
    for name in SETTINGS {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        let value = read(&path).unwrap_or_else(|| "(not there)".to_owned());
        text.push_str(&format!("{name} = {value}\n"));
    }
    for pattern in OF_DEVICES {
        let Some((folder, setting)) = pattern.split_once("/*/") else { continue };
        let listed = fs::read_dir(Path::new("/proc/sys/net").join(folder)).into_iter().flatten().flatten();
        let mut devices: Vec<_> = listed.map(|entry| entry.path()).collect();
        devices.sort();
        for device in devices.iter().take(MAX_DEVICES) {
            if let Some(value) = read(&device.join(setting)) {
                text.push_str(&format!("{}/{setting} = {value}\n", device.display()));
            }
        }
    }
    report.add("host/sysctl.txt", "read from /proc/sys", &text);
}

// ---- other programs ----

/// What they are asked; all of this network namespace.
const COMMANDS: [(&str, &[&str]); 8] = [
    ("host/ip-link.json", &["ip", "-j", "-d", "-s", "link", "show"]),
    ("host/ip-address.json", &["ip", "-j", "address", "show"]),
    ("host/ip-route.json", &["ip", "-j", "-4", "route", "show", "table", "all"]),
    ("host/ip-route6.json", &["ip", "-j", "-6", "route", "show", "table", "all"]),
    ("host/ip-rule.json", &["ip", "-j", "rule", "show"]),
    ("host/ip-neighbor.json", &["ip", "-j", "neighbor", "show"]),
    ("host/nft.txt", &["nft", "--stateless", "list", "ruleset"]),
    ("log/journal.txt", &["journalctl", "--no-pager", "-q", "-o", "short-iso", "-u", "weft", "-n", "2000"]),
];

fn program(report: &mut Report, name: &str, command: &[&str]) {
    let line = command.join(" ");
    match output_of(command) {
        Ok(text) if text.is_empty() && name.starts_with("log/") => report.lacks(
            name,
            format!("{line} says nothing: add what weft wrote to standard error, if it runs without systemd"),
        ),
        Ok(text) => report.add(name, &format!("printed by {line}"), &text),
        Err(why) => report.lacks(name, format!("{line}: {why}")),
    }
}

/// What a program prints, if it ends well and in time.
fn output_of(command: &[&str]) -> Result<String, String> {
    let (program, arguments) = command.split_first().ok_or("no program")?;
    let piped = |which: &mut Command| {
        which.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("LC_ALL", "C").spawn()
    };
    let mut child = piped(Command::new(program).args(arguments)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "it is not installed".to_owned(),
        _ => error.to_string(),
    })?;
    let (out, err) = (read_aside(child.stdout.take()), read_aside(child.stderr.take()));
    let Ok(out) = out.recv_timeout(LIMIT) else {
        // Either may have ended meanwhile.
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("not done after {} s", LIMIT.as_secs()));
    };
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(out);
    }
    let said = err.recv_timeout(LIMIT).unwrap_or_default();
    Err(format!("{status}: {}", said.trim()))
}

/// Reads all of a pipe on a thread of its own, so that neither side waits for the other for ever.
fn read_aside(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (told, heard) = mpsc::channel();
    thread::spawn(move || {
        let mut octets = Vec::new();
        // What was read until an error is worth having.
        let _ = pipe.map(|pipe| pipe.take(MAX_OUTPUT).read_to_end(&mut octets));
        let _ = told.send(String::from_utf8_lossy(&octets).into_owned());
    });
    heard
}
