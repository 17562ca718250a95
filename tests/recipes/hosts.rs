//! Hosts with the addresses of README.md, each with one terminal.
//!
//! ```text
//!   host A  10.0.0.1 --eth0--+
//!   host B  10.0.0.2 --eth0--+-- hub, br0
//!   host C  10.0.0.9 --eth0--+
//! ```
//!
//! A host is a network, mount, UTS and PID namespace: its `/run` and its name are its own, and so are its daemon's socket,
//! its named namespaces and its jobs. All of it ends with the host's first process, which is the terminal.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use weft_tests::command::{Process, run};
use weft_tests::netns::PREFIX;
use weft_tests::{Netns, node, wait};

/// The folder of programs that stand for others, where a host has need of them.
const STAND_INS: &str = "stand-ins";
/// Stands for docker and podman.
const CONTAINERS: &str = include_str!("containers.sh");
/// Stands for QEMU.
const MACHINE: &str = include_str!("machine.sh");
/// Stands for copying a file to another host's home.
const SCP: &str = include_str!("scp.sh");
/// The longest that the lines of one block may take.
const LIMIT: Duration = wait::secs(60);
/// The longest that what was ended may take to be gone.
const GONE: Duration = wait::secs(30);

/// What the terminal does: takes the names of files, and runs their lines in this one shell, so that variables and jobs
/// live from block to block. The first line that fails ends it, and with it all that runs on the host.
const TERMINAL: &str = r#"
unset WEFT_SOCKET
mount -t tmpfs none /run
mkdir /run/cgroup
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs none /sys
mount --rbind /run/cgroup /sys/fs/cgroup
umount --recursive --lazy /run/cgroup
rmdir /run/cgroup
hostname "host-$(basename "$HOST_DIR")"
cd "$HOST_DIR/work"
exec 3<>"$HOST_DIR/lines"
while read -r block <&3; do
    . "$block" </dev/null
    : >"$block.done"
done
"#;

/// Tells what could be left behind on a host: devices, addresses, routes, namespaces, settings, files and processes.
/// The processes are listed by the shell itself, which so sees none of its own making.
const STATE: &str = r#"
{
    ip -o link | sed 's/^[0-9]*: /link /'
    ip -o addr | sed 's/^[0-9]*: /address /'
    ip route show table all | sed 's/^/route /'
    ip -6 route show table all | sed 's/^/route /'
    ip netns list | sed 's/^/namespace /'
    ethtool -k eth0 | sed 's/^/setting /'
    find . /run ! -type d | sed 's/^/file /'
    for file in /proc/[0-9]*/comm; do
        if read -r name <"$file"; then echo "process $name"; fi
    done
} >"$HOST_DIR/state" 2>/dev/null
"#;

/// Waits until the daemon answers, as a person does before going on.
const READY: &str = r#"
for ((tried = 0; tried < 150; tried++)); do
    if weft status >/dev/null 2>&1; then break; fi
    sleep 0.1
done
weft status >/dev/null
"#;

/// Hosts that are plugged into one switch.
pub(crate) struct Hosts {
    hosts: Vec<Host>,
    _hub: Netns,
    dir: TempDir,
}

impl Hosts {
    /// Makes the hosts with these letters.
    #[track_caller]
    pub(crate) fn new(letters: &[char]) -> Self {
        remove_stale_groups();
        let dir = tempfile::Builder::new().prefix(&format!("{PREFIX}{}-", std::process::id())).tempdir();
        let dir = dir.expect("a scratch folder");
        let programs = dir.path().join(STAND_INS);
        fs::create_dir(&programs).expect("a folder for programs");
        for (name, text) in
            [("docker", CONTAINERS), ("podman", CONTAINERS), ("qemu-system-x86_64", MACHINE), ("scp", SCP)]
        {
            install(&programs.join(name), text);
        }
        let hub = Netns::new("hub");
        hub.ip("link add br0 type bridge mcast_snooping 0 stp_state 0");
        hub.ip("link set br0 addrgenmode none up");
        let hosts = letters.iter().map(|&letter| Host::new(letter, &hub, dir.path())).collect();
        Self { hosts, _hub: hub, dir }
    }

    /// All hosts.
    pub(crate) fn all(&self) -> &[Host] {
        &self.hosts
    }

    /// The host with this letter.
    #[track_caller]
    pub(crate) fn host(&mut self, letter: char) -> &mut Host {
        let dir = self.dir.path().display();
        let found = self.hosts.iter_mut().find(|host| host.letter == letter);
        found.unwrap_or_else(|| panic!("no host {letter} in {dir}"))
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.hosts.clear();
        let name = cgroup_of(self.dir.path());
        // A group can be removed once all that ran in it is gone.
        wait::reached(GONE, || {
            let left = groups(|group| group == name);
            left.iter().for_each(|group| remove_group(group));
            left.is_empty()
        });
    }
}

/// The control group of the containers of a lab, below the root of each hierarchy.
fn cgroup_of(lab: &Path) -> String {
    lab.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The control groups with such names, of all hierarchies.
fn groups(wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let inside = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let root = Path::new("/sys/fs/cgroup");
    let all = inside(root).into_iter().flat_map(|path| inside(&path)).chain(inside(root));
    all.filter(|path| path.file_name().is_some_and(|name| wanted(&name.to_string_lossy()))).collect()
}

/// Removes the control groups of test processes that no longer live.
fn remove_stale_groups() {
    let is_stale = |name: &str| {
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
    };
    groups(is_stale).iter().for_each(|group| remove_group(group));
}

fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

fn install(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(file, text).expect("a program is written");
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).expect("a program is executable");
}

/// A host and its terminal.
pub(crate) struct Host {
    /// Its letter.
    pub(crate) letter: char,
    // Before the namespace, so that all processes in it are gone when it goes.
    terminal: Process,
    /// Its network namespace.
    pub(crate) ns: Netns,
    dir: PathBuf,
    blocks: u32,
}

impl Host {
    #[track_caller]
    fn new(letter: char, hub: &Netns, lab: &Path) -> Self {
        let (n, name) = match letter {
            'A' => (1, "a"),
            'B' => (2, "b"),
            'C' => (9, "c"),
            other => panic!("README.md has no host {other}"),
        };
        let ns = Netns::new(name);
        hub.ip(&format!("link add h{n} type veth peer name eth0 netns {}", ns.name()));
        hub.ip(&format!("link set h{n} master br0 addrgenmode none up"));
        ns.ip("link set eth0 addrgenmode none up");
        ns.ip(&format!("addr add 10.0.0.{n}/24 dev eth0"));
        let dir = lab.join(letter.to_string());
        fs::create_dir_all(dir.join("work")).expect("a folder for the host");
        let lines = dir.join("lines").display().to_string();
        run(&["mkfifo", &lines]);
        let weft = node::binary().parent().expect("a folder").display();
        let path = format!("{weft}:{}", std::env::var("PATH").unwrap_or_default());
        let (folder, programs) = (dir.display().to_string(), lab.join(STAND_INS).display().to_string());
        let words = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"];
        let shell = ["bash", "-eu", "-c", TERMINAL];
        let env = [
            ("PATH", path.as_str()),
            ("HOST_DIR", &folder),
            ("STAND_INS", &programs),
            ("CGROUP", &cgroup_of(lab)),
            ("LC_ALL", "C"),
            ("NO_COLOR", "1"),
        ];
        let terminal = ns.start(&[words.as_slice(), &shell].concat(), &env, &dir.join("log"));
        Self { letter, terminal, ns, dir, blocks: 0 }
    }

    /// Runs lines to their end in the terminal. If they start the daemon, waits until it answers.
    ///
    /// # Panics
    ///
    /// When a line fails, or the last does not end in time.
    #[track_caller]
    pub(crate) fn run(&mut self, lines: &str) {
        self.blocks += 1;
        let file = self.dir.join(format!("block{}", self.blocks));
        fs::write(&file, lines).expect("the lines are written");
        let mut fifo =
            fs::File::options().read(true).write(true).open(self.dir.join("lines")).expect("a pipe");
        writeln!(fifo, "{}", file.display()).expect("the terminal reads");
        let done = file.with_extension("done");
        let over = wait::reached(LIMIT, || done.exists() || self.terminal.ended().is_some());
        let why = if over { "a line fails" } else { "this does not end" };
        assert!(
            done.exists(),
            "on host {}, {why}:\n{lines}\nIts terminal says:\n{}",
            self.letter,
            self.log()
        );
        if lines.lines().any(|line| line.starts_with("weft run ") && line.ends_with('&')) {
            self.run(READY);
        }
    }

    /// What is there now, sorted.
    #[track_caller]
    pub(crate) fn state(&mut self) -> Vec<String> {
        self.run(STATE);
        let text = fs::read_to_string(self.dir.join("state")).expect("the state of the host");
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Expects the host to be as it was, after a moment at most.
    #[track_caller]
    pub(crate) fn assert_as_before(&mut self, before: &[String]) {
        let mut now = self.state();
        wait::reached(GONE, || {
            now = self.state();
            now == before
        });
        let only = |these: &[String], those: &[String]| -> Vec<String> {
            these.iter().filter(|line| !those.contains(line)).cloned().collect()
        };
        let (left, lost) = (only(&now, before), only(before, &now));
        assert!(now == before, "host {}: left behind: {left:#?}, gone: {lost:#?}", self.letter);
    }

    /// What a file in the folder of this host says, if it is there.
    pub(crate) fn note(&self, file: &str) -> String {
        fs::read_to_string(self.dir.join(file)).unwrap_or_default()
    }

    fn log(&self) -> String {
        self.terminal.log()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Its first process has nothing to tidy up: everything on the host is gone with it.
        self.terminal.signal(Signal::KILL);
    }
}
