//! Installing, running and removing weft: by cargo, as a Debian package, under the limits of its systemd unit; and the
//! manual pages, as `man` reads them.
//!
//! No system is changed: the package goes into a copy of this one that lives in memory and in a mount namespace, and the
//! unit's limits are set by `setpriv`, because systemd does not run where tests do.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use weft_tests::command::{Process, run, try_run};
use weft_tests::node::{Config, binary, network, peer, port};
use weft_tests::pair::{pod_keys, pod_v4};
use weft_tests::traffic::assert_pings;
use weft_tests::{Host, Lab, Netns, Node, wait};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

fn unit() -> String {
    std::fs::read_to_string(repository().join("configs/weft.service")).expect("the unit")
}

/// The values of all lines of a key in the unit.
fn settings(key: &str) -> Vec<String> {
    let unit = unit();
    let lines = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.map(str::to_owned).collect()
}

/// Runs a program that may take minutes, in the repository.
#[track_caller]
fn run_long(words: &[&str]) -> String {
    let done = Command::new("timeout")
        .args(["-k", "5", "900"])
        .args(words)
        .current_dir(repository())
        .output()
        .unwrap_or_else(|e| panic!("cannot run {words:?}: {e}"));
    let text = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{words:?}: {text}");
    text
}

fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn man_reads_every_page_without_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    let pages = folder.path().to_str().expect("UTF-8");
    run(&[binary().to_str().expect("UTF-8"), "man", pages]);
    let files: Vec<_> = std::fs::read_dir(folder.path()).expect("pages").flatten().collect();
    assert!(files.len() > 20, "{} pages", files.len());
    for file in files {
        let path = file.path();
        let words = ["groff", "-man", "-ww", "-z", "-Tutf8", path.to_str().expect("UTF-8")];
        let done = try_run(&words);
        assert!(done.ok() && done.err.is_empty(), "{words:?}: {}", done.err);
    }
    let shown = run(&["man", "--warnings", "-l", &format!("{pages}/weft-port-add.1")]);
    for part in ["EXAMPLES", "weft port add web --network pods", "EXIT STATUS", "WEFT_SOCKET"] {
        assert!(shown.contains(part), "{part} is missing in:\n{shown}");
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn cargo_installs_the_program_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().to_str().expect("UTF-8");
    run_long(&[&cargo(), "install", "--locked", "--debug", "-q", "--path", "switch", "--root", root]);
    let found: Vec<_> = std::fs::read_dir(folder.path().join("bin")).expect("bin").flatten().collect();
    let names: Vec<_> = found.iter().map(std::fs::DirEntry::file_name).collect();
    assert_eq!(names, ["weft"]);
    let version = run(&[&format!("{root}/bin/weft"), "--version"]);
    assert_eq!(version, format!("weft {}\n", env!("CARGO_PKG_VERSION")));
    run_long(&[&cargo(), "uninstall", "-q", "--root", root, "weft"]);
    assert!(!folder.path().join("bin/weft").exists());
}

/// What an administrator does with the package, in a copy of this system. Its arguments: the package, a
/// configuration, a folder. It ends by itself at the first step that fails.
const TRY_PACKAGE: &str = r#"
set -eu
package=$1 config=$2 dir=$3
mount -t tmpfs weft-copy "$dir"
mkdir "$dir/upper" "$dir/work" "$dir/root"
mount -t overlay weft-copy -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$dir/root"
mount --rbind /dev "$dir/root/dev"
mount -t proc proc "$dir/root/proc"
mount -t tmpfs weft-run "$dir/root/run"
mount -t tmpfs weft-tmp "$dir/root/tmp"
cp "$package" "$dir/root/tmp/weft.deb"
cp "$config" "$dir/root/tmp/weft.toml"
chroot "$dir/root" bash -eu <<'EOF'
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd /
dpkg -i /tmp/weft.deb
echo "installed: $(dpkg-query -W -f '${Status}' weft)"
echo "program: $(command -v weft)"
echo "completion: $(bash -uc 'source /usr/share/bash-completion/completions/weft; COMP_WORDS=(weft po); COMP_CWORD=1
    _weft weft po weft; echo "$COMPREPLY"')"
test -s /usr/share/man/man1/weft-port-add.1.gz
weft config check /usr/share/doc/weft/examples/minimal.toml
systemd-analyze verify weft.service 2>&1 | sed 's/^/verify: /'
mkdir /etc/weft
cp /tmp/weft.toml /etc/weft/weft.toml
command=$(sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/weft.service)
$command 2>/tmp/log &
pid=$!
for _ in $(seq 100); do weft status >/tmp/status 2>/dev/null && break; sleep 0.1; done
grep -q '^state     ok' /tmp/status || { cat /tmp/log /tmp/status; exit 1; }
echo "status: ok"
$(sed -n 's/^ExecReload=//p' /usr/lib/systemd/system/weft.service)
kill $pid
wait $pid
dpkg -r weft
echo "left: $(find /usr/bin/weft /usr/share/doc/weft /usr/lib/systemd/system/weft.service /usr/share/man/man1 \
    /usr/share/bash-completion/completions -name 'weft*' 2>/dev/null)"
test -e /etc/weft/weft.toml
dpkg -P weft
echo "end: $(dpkg-query -W -f '${Status}' weft 2>&1)"
EOF
"#;

#[test]
#[ignore = "needs root: run by test.sh"]
fn the_debian_package_installs_runs_and_goes_without_a_trace() {
    let lab = Lab::new();
    let host = lab.host("a");
    let package = lab.dir().join("weft.deb");
    let built = binary().parent().is_some_and(|folder| folder.ends_with("release"));
    let profile = if built { "release" } else { "dev" };
    run_long(&["configs/package.sh", profile, package.to_str().expect("UTF-8")]);

    let contents = run(&["dpkg-deb", "--contents", package.to_str().expect("UTF-8")]);
    let programs = contents.lines().filter(|line| line.starts_with("-rwx")).count();
    assert_eq!(programs, 1, "the only program is weft:\n{contents}");
    assert!(
        contents.lines().all(|line| [" root/root ", " 0/0 "].iter().any(|owner| line.contains(owner))),
        "{contents}"
    );

    let config = host.dir.join("packaged.toml");
    let keys = format!("[underlay]\naddress = \"{}\"\n", host.v4);
    let port = "[[port]]\nname = \"web\"\nnetwork = \"pods\"\naddresses = [\"10.32.0.1/12\"]\n";
    std::fs::write(&config, keys + &network("pods", 100, "") + port).expect("the configuration is written");
    let folder = lab.dir().join("copy");
    std::fs::create_dir(&folder).expect("a folder");
    let net = format!("--net={}", host.ns.path());
    let paths = [&package, &config, &folder].map(|path| path.to_str().expect("UTF-8"));
    let mut words = vec!["nsenter", &net, "unshare", "--mount", "--propagation", "private"];
    words.extend(["bash", "-c", TRY_PACKAGE, "try"]);
    words.extend(paths);
    let told = run(&words);
    for line in [
        "installed: install ok installed",
        "program: /usr/bin/weft",
        "completion: port",
        "status: ok",
        "left: ",
    ] {
        assert!(told.lines().any(|found| found == line), "{line:?} is missing in:\n{told}");
    }
    assert!(!told.contains("verify: "), "systemd-analyze verify complains:\n{told}");
    assert!(!told.contains("end: install ok"), "the package stayed:\n{told}");
    assert!(!host.ns.devices().contains(&"web".to_owned()), "the port stayed");
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn systemd_finds_the_unit_hardened() {
    let file = repository().join("configs/weft.service");
    let words = ["systemd-analyze", "security", "--offline=true", "--threshold=35"];
    let done = try_run(&[&words[..], &[file.to_str().expect("UTF-8")]].concat());
    let overall = done.out.lines().last().unwrap_or_default();
    assert!(done.ok(), "{overall} {}", done.err);
}

/// A mount namespace as systemd makes one, which hears of the host's mounts; in it everybody may open the TAP device, as
/// where udev runs.
fn own_mounts() -> Vec<&'static str> {
    let script = "mount -t tmpfs -o mode=755 own /mnt && mknod -m 666 /mnt/tun c 10 200 && \
                  mount --bind /mnt/tun /dev/net/tun && umount -l /mnt && exec \"$@\"";
    vec!["unshare", "--mount", "--propagation", "slave", "sh", "-c", script, "own"]
}

/// The program that gives a command the unit's capabilities and no others, `without` even fewer.
fn confined(without: &str) -> Vec<String> {
    let kept = settings("CapabilityBoundingSet").join(" ").to_lowercase();
    let kept: Vec<_> = kept.split_whitespace().filter_map(|cap| cap.strip_prefix("cap_")).collect();
    let kept: Vec<_> = kept.into_iter().filter(|cap| *cap != without).collect();
    let set = kept.iter().fold("-all".to_owned(), |set, cap| set + ",+" + cap);
    let words = ["setpriv", "--bounding-set", &set, "--inh-caps", "-all", "--ambient-caps", "-all"];
    own_mounts().into_iter().chain(words).chain(["--no-new-privs", "--"]).map(str::to_owned).collect()
}

/// As [`confined`], for a user who is not root, as a drop-in with `User=` and `AmbientCapabilities=` has it.
fn confined_user() -> Vec<String> {
    let kept = settings("CapabilityBoundingSet").join(" ").to_lowercase();
    let set =
        kept.split_whitespace().fold("-all".to_owned(), |set, cap| set + ",+" + &cap.replace("cap_", ""));
    let words = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set", &set];
    let more = ["--inh-caps", &set, "--ambient-caps", &set, "--no-new-privs", "--"];
    own_mounts().into_iter().chain(words).chain(more).map(str::to_owned).collect()
}

/// A host with two pods: one is named by a file, one by a process with every capability.
struct Scene {
    lab: Lab,
    host: Host,
    far: Host,
    by_file: std::sync::Arc<Netns>,
    _by_process: std::sync::Arc<Netns>,
    process: Process,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let (host, far) = (lab.host("a"), lab.host("b"));
        let (by_file, by_process) = (lab.pod("pod1"), lab.pod("pod2"));
        let process = by_process.start(&["sleep", "600"], &[], &lab.dir().join("sleep.log"));
        let inside = std::fs::metadata(by_process.path()).expect("the namespace");
        wait::until(wait::secs(5), "the process in its namespace", || {
            let now = std::fs::metadata(format!("/proc/{}/ns/net", process.pid()));
            now.is_ok_and(|now| {
                std::os::unix::fs::MetadataExt::ino(&now) == std::os::unix::fs::MetadataExt::ino(&inside)
            })
        });
        Self { lab, host, far, by_file, _by_process: by_process, process }
    }

    fn config(&self) -> Config {
        let by_pid = format!(
            "[[port]]\nname = \"two\"\nnetwork = \"pods\"\nifname = \"eth0\"\nnetns = \"pid:{}\"\n{}\n",
            self.process.pid(),
            pod_keys(2)
        );
        let text = network("pods", 100, "") + &port("one", "pods", &self.by_file, &pod_keys(1)) + &by_pid;
        Config::new(text + &peer(self.far.v4, "pods", ""))
    }

    /// Starts the daemon by a program, and waits until it answers.
    fn start(&self, wrapper: &[String]) -> Node {
        let words: Vec<_> = wrapper.iter().map(String::as_str).collect();
        let node = Node::spawn_by(&words, &self.host, &self.config());
        wait::until(wait::secs(15), "an answer of the daemon", || {
            [0, 4].contains(&node.cli(&["status"]).code)
        });
        node
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn the_capabilities_of_the_unit_are_enough() {
    let mut scene = Scene::new();
    let mut node = scene.start(&confined(""));
    for port in ["one", "two"] {
        wait::until(wait::secs(5), "the port", || node.port_state(port) == "up");
    }
    assert_pings(&scene.by_file, pod_v4(2));
    // A namespace that comes later, and a reload.
    assert!(node.cli(&["reload"]).ok());
    let later = scene.lab.pod("later");
    let added = node.cli(&["port", "add", "three", "--network", "pods", "--netns", &later.path()]);
    assert!(added.ok(), "{}", added.err);
    wait::until(wait::secs(5), "the third port", || node.port_state("three") == "up");
    node.ledger_balanced();
    node.stop();
    scene.lab.underlay_saw_only_hosts();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn none_of_the_capabilities_of_the_unit_is_too_much() {
    let expected = [
        ("cap_net_admin", ["down", "down"]),
        ("cap_sys_admin", ["down", "down"]),
        ("cap_sys_ptrace", ["up", "down"]),
        // Without this one workers do not run first; tests/fairness.rs shows that.
        ("cap_sys_nice", ["up", "up"]),
    ];
    let mut listed = settings("CapabilityBoundingSet").join(" ").to_lowercase();
    for (capability, ports) in expected {
        assert!(listed.contains(capability), "the unit does not have {capability}");
        listed = listed.replace(capability, "");
        let without = capability.trim_start_matches("cap_");
        let scene = Scene::new();
        let mut node = scene.start(&confined(without));
        let states = ["one", "two"].map(|port| node.port_state(port));
        assert_eq!(states, ports, "without {without}: {}", node.json("port list"));
        for entry in node.json("port list")["entries"].as_array().expect("ports") {
            let reason = entry["reason"].as_str().unwrap_or_default();
            let told = reason.to_lowercase().contains(&format!("cap_{without}"));
            assert!(entry["state"] == "up" || told, "the reason does not name {without}: {reason}");
        }
        node.stop();
    }
    assert!(listed.trim().is_empty(), "the unit has {listed}, of which nothing is expected");
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_user_with_the_capabilities_of_the_unit_is_enough_too() {
    let scene = Scene::new();
    // What StateDirectory and RuntimeDirectory do for User=.
    run(&["chown", "-R", "65534:65534", scene.host.dir.to_str().expect("UTF-8")]);
    run(&["chmod", "755", scene.lab.dir().to_str().expect("UTF-8")]);
    let mut node = scene.start(&confined_user());
    for port in ["one", "two"] {
        wait::until(wait::secs(5), "the port", || node.port_state(port) == "up");
    }
    assert_pings(&scene.by_file, pod_v4(2));
    node.ledger_balanced();
    node.stop();
}

/// The system calls of a group of systemd, groups in it resolved.
fn group(name: &str) -> BTreeSet<String> {
    let listed = run(&["systemd-analyze", "syscall-filter", name]);
    let words = listed.lines().map(str::trim).filter(|line| !line.starts_with('#') && *line != name);
    let expand =
        |word: &str| if word.starts_with('@') { group(word) } else { BTreeSet::from([word.to_owned()]) };
    words.filter(|word| !word.is_empty()).flat_map(expand).collect()
}

/// What the unit's filter lets through.
fn allowed_calls() -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for line in settings("SystemCallFilter") {
        for word in line.trim_start_matches('~').split_whitespace() {
            let calls = group(word);
            if line.starts_with('~') {
                allowed.retain(|call| !calls.contains(call));
            } else {
                allowed.extend(calls);
            }
        }
    }
    assert!(allowed.len() > 100 && !allowed.contains("mount"), "{allowed:?}");
    // The program starts by this call before systemd's filter counts for it.
    allowed.insert("execve".to_owned());
    allowed
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn the_system_call_filter_of_the_unit_lets_through_all_that_the_daemon_calls() {
    let mut scene = Scene::new();
    let trace = scene.lab.dir().join("trace");
    let words = ["strace", "-D", "-f", "-o", trace.to_str().expect("UTF-8"), "-e", "signal=none"];
    let wrapper: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
    let mut node = scene.start(&wrapper);
    wait::until(wait::secs(10), "the port", || node.port_state("two") == "up");
    let pod = scene.lab.pod("pod3");
    let text = network("pods", 100, "") + &port("three", "pods", &pod, &pod_keys(3));
    let mut other = Node::start(&scene.far, &Config::new(text + &peer(scene.host.v4, "pods", "")));
    for n in [2, 3] {
        assert_pings(&scene.by_file, pod_v4(n));
    }
    other.stop();
    for words in [&["reload"][..], &["drops"], &["fdb", "flush"], &["port", "del", "two"]] {
        assert!(node.cli(words).ok(), "{words:?}");
    }
    let pid = node.pid().to_string();
    node.ledger_balanced();
    node.stop();
    let read = || std::fs::read_to_string(&trace).expect("the trace");
    wait::until(wait::secs(5), "the end of the trace", || {
        read().lines().any(|line| line.starts_with(&pid) && line.ends_with("+++ exited with 0 +++"))
    });
    let text = read();
    let call = |line: &str| line.split_whitespace().nth(1)?.split_once('(').map(|(name, _)| name.to_owned());
    let called: BTreeSet<_> = text.lines().filter_map(call).collect();
    assert!(called.contains("setns") && called.contains("recvmmsg"), "{called:?}");
    let refused: Vec<_> = called.difference(&allowed_calls()).cloned().collect();
    assert_eq!(refused, Vec::<String>::new(), "the unit's SystemCallFilter would refuse these");

    let families = settings("RestrictAddressFamilies").join(" ");
    let opened = text.lines().filter_map(|line| line.split_once(" socket(")?.1.split(',').next());
    for family in opened.collect::<BTreeSet<_>>() {
        assert!(families.split(' ').any(|allowed| allowed == family), "{family} is not allowed");
    }
    let executable = |line: &&str| line.contains("PROT_WRITE|PROT_EXEC");
    assert_eq!(text.lines().find(executable), None, "MemoryDenyWriteExecute would refuse this");
    scene.lab.underlay_saw_only_hosts();
}
