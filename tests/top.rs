//! `weft top` in a terminal that tmux plays, and as text.

use std::path::{Path, PathBuf};

use weft_tests::cluster::Cluster;
use weft_tests::command::{Process, run, try_run};
use weft_tests::iperf::Iperf;
use weft_tests::node::binary;
use weft_tests::pair::pod_v4;
use weft_tests::{Node, wait};

/// A terminal with `weft top` in it.
struct Top {
    /// tmux's name of the socket, as its words.
    tmux: [String; 4],
    _server: Process,
}

impl Top {
    /// Starts it in a terminal of its own; when it ends, the shell says so, and how the terminal is.
    #[track_caller]
    fn start(node: &Node, name: &str, (columns, lines): (u16, u16), env: &str) -> Self {
        let name =
            format!("{}-{name}", weft_tests::netns::PREFIX.to_owned() + &std::process::id().to_string());
        let tmux = ["tmux", "-N", "-L", &name].map(str::to_owned);
        let words = ["tmux", "-u", "-L", &name, "-f", "/dev/null", "-D"];
        let server = Process::start(&words, &[], &node.host.dir.join("tmux.log"));
        let top = Self { tmux, _server: server };
        let weft = format!("{} top --socket {}/weft.sock", binary().display(), node.host.dir.display());
        let script =
            format!("echo before; {env} {weft}; echo ended $?; stty -a | grep -ow -e -icanon -e icanon; cat");
        let (columns, lines) = (columns.to_string(), lines.to_string());
        let session = ["new-session", "-d", "-x", &columns, "-y", &lines, &script];
        wait::until(wait::secs(5), "a terminal", || top.try_tmux(&session));
        top
    }

    fn try_tmux(&self, words: &[&str]) -> bool {
        let all: Vec<&str> = self.tmux.iter().map(String::as_str).chain(words.iter().copied()).collect();
        try_run(&all).ok()
    }

    #[track_caller]
    fn tmux(&self, words: &[&str]) -> String {
        let all: Vec<&str> = self.tmux.iter().map(String::as_str).chain(words.iter().copied()).collect();
        run(&all)
    }

    #[track_caller]
    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// The lines on the screen.
    #[track_caller]
    fn lines(&self) -> Vec<String> {
        self.tmux(&["capture-pane", "-p"]).lines().map(str::to_owned).collect()
    }

    /// Whether any letter has a colour.
    #[track_caller]
    fn has_colours(&self) -> bool {
        let text = self.tmux(&["capture-pane", "-e", "-p"]);
        text.contains("38;5;") || (30..38).any(|colour| text.contains(&format!("\x1b[{colour}m")))
    }

    /// Waits for a screen.
    #[track_caller]
    fn until(&self, what: &str, is_it: impl Fn(&[String]) -> bool) {
        if !wait::reached(wait::secs(10), || is_it(&self.lines())) {
            panic!("waited 10 s in vain for {what}; the screen:\n{}", self.lines().join("\n"));
        }
    }

    /// Waits for a line that begins so and has this in it.
    #[track_caller]
    fn until_line(&self, start: &str, part: &str) {
        self.until(&format!("a line `{start} ... {part}`"), |lines| position(lines, start, part).is_some());
    }

    /// The process in the terminal.
    #[track_caller]
    fn process(&self) -> String {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let shell = shell.trim();
        let children = format!("/proc/{shell}/task/{shell}/children");
        std::fs::read_to_string(children).expect("its children").trim().to_owned()
    }

    /// Waits for its end, and for a terminal as it was before.
    #[track_caller]
    fn until_ended(&self) {
        self.until("the end", |lines| lines.windows(2).any(|two| two == ["ended 0", "icanon"]));
        assert_eq!(self.tmux(&["display-message", "-p", "#{alternate_on}"]).trim(), "0");
    }
}

/// The number of the first line that begins so and has this in it.
fn position(lines: &[String], start: &str, part: &str) -> Option<usize> {
    lines.iter().position(|line| line.starts_with(start) && line.contains(part))
}

/// Whether a line tells of at least a megabit each second.
fn is_fast(line: &str) -> bool {
    line.contains("Mbit/s") || line.contains("Gbit/s")
}

/// Makes the path between the first node and the third smaller, and sends what is too big for it.
fn degrade(cluster: &Cluster) -> Process {
    for node in &cluster.nodes {
        node.host.ns.exec("ethtool -K u0 tx-udp-segmentation off");
    }
    let small = |from, to| format!("iifname \"h{from}\" oifname \"h{to}\" meta length > 1400 drop");
    cluster.fault(&format!("{}\n  {}", small(1, 3), small(3, 1)));
    let to = pod_v4(3).to_string();
    let words = ["ping", "-q", "-n", "-i", "0.2", "-s", "1400", &to];
    cluster.pods[0].start(&words, &[], &cluster.lab.dir().join("ping.txt"))
}

/// A picture for the README, after a minute of traffic that comes and goes.
fn take_picture(cluster: &Cluster, file: &Path) {
    let (dir, to) = (cluster.lab.dir(), pod_v4(2));
    let server = cluster.pods[1].start(&["iperf3", "-s"], &[], &dir.join("picture-server.txt"));
    wait::sleep_ms(500);
    let rates = "40 90 140 120 60 30 45 110 170 150 80 50";
    let script = format!("for rate in {rates}; do iperf3 -c {to} -b ${{rate}}M -t 6; done");
    let client = cluster.pods[0].start(&["bash", "-c", &script], &[], &dir.join("picture-client.txt"));
    let top = Top::start(&cluster.nodes[0], "picture", (132, 16), "");
    wait::sleep_ms(64_000);
    std::fs::write(file, top.tmux(&["capture-pane", "-e", "-p"])).expect("a picture");
    drop((client, server));
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn it_shows_what_goes_on_and_does_what_keys_say() {
    let cluster = Cluster::start(3);
    let bulk = Iperf::start(&cluster.pods[0], (&cluster.pods[1], pod_v4(2)), 8, cluster.lab.dir());
    let ping = degrade(&cluster);
    let top = Top::start(&cluster.nodes[0], "keys", (120, 22), "");

    top.until_line("n2", " up ");
    top.until("rates in the header", |lines| lines[1].starts_with("in ") && is_fast(&lines[1]));
    top.until("the worst peer first", |lines| {
        let (bad, good) = (position(lines, "n3", "degraded"), position(lines, "n2", " up "));
        bad.is_some() && good.is_some() && bad < good
    });
    top.until_line("small_mtu: IP packets of more than ", "though the link takes 1500");
    assert!(top.has_colours());

    top.press(&["3"]);
    top.until("the rate of a port", |lines| {
        position(lines, "pod ", " up ").is_some_and(|at| is_fast(&lines[at]))
    });
    top.press(&["Tab"]);
    top.until_line("REASON", "OUTBOUND");
    top.press(&["Tab"]);
    top.until_line("node n3", "small_mtu");
    top.press(&["2"]);
    top.until_line("pods", "100");

    top.press(&["1", "<"]);
    top.until("peers by name", |lines| {
        let (good, bad) = (position(lines, "n2", " up "), position(lines, "n3", "degraded"));
        good.is_some() && bad.is_some() && good < bad
    });
    top.press(&["r"]);
    top.until("the other way round", |lines| {
        let (good, bad) = (position(lines, "n2", " up "), position(lines, "n3", "degraded"));
        good.is_some() && bad.is_some() && bad < good
    });
    top.press(&["/", "n2", "Enter"]);
    top.until("only what has n2 in it", |lines| {
        position(lines, "n2", " up ").is_some() && position(lines, "n3", "degraded").is_none()
    });
    top.press(&["Enter"]);
    top.until_line("round trip", "of probes");
    top.press(&["G"]);
    top.until("the path", |lines| lines.iter().any(|line| line.contains("= MTU of pods")));
    top.press(&["Escape"]);
    top.until_line("filter: n2", "q quit");
    top.press(&["Escape"]);
    top.until_line("n3", "degraded");

    for (columns, lines) in [(80, 24), (40, 10), (200, 50)] {
        top.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &lines.to_string()]);
        top.until(&format!("a picture of {columns} x {lines}"), |shown| {
            let is_last = |line: &String| line.contains("q quit");
            shown.iter().position(is_last) == Some(lines - 1) && position(shown, "n3", "degraded").is_some()
        });
    }

    top.press(&["?"]);
    top.until_line("Ctrl-Z", "shell");
    top.press(&["?", "p"]);
    top.until("a pause", |lines| lines[0].contains("paused"));
    wait::sleep_ms(300);
    let paused = top.lines();
    wait::sleep_ms(1500);
    assert_eq!(top.lines(), paused);
    top.press(&["q"]);
    top.until_ended();

    bulk.finish();
    if let Some(file) = std::env::var_os("WEFT_TOP_PICTURE") {
        take_picture(&cluster, &PathBuf::from(file));
    }
    drop(ping);
    cluster.heal();
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn it_outlives_the_daemon_and_gives_the_terminal_back_when_it_is_killed() {
    let mut cluster = Cluster::start(2);
    let top = Top::start(&cluster.nodes[0], "restart", (100, 30), "NO_COLOR=1");
    top.until_line("n2", " up ");
    assert!(!top.has_colours());

    cluster.nodes[0].stop();
    top.until("word of it", |lines| lines[0].contains("no daemon: trying again"));
    assert!(position(&top.lines(), "n2", " up ").is_some(), "what was said last stays");
    cluster.restart(0);
    top.until("the new daemon", |lines| lines[0].starts_with("n1  ") && !lines[0].contains("no daemon"));
    top.until("rates again", |lines| lines[1].starts_with("in ") && lines[1].contains("bit/s"));
    top.until_line("n2", " up ");

    run(&["kill", "-TERM", &top.process()]);
    top.until_ended();
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn it_ends_when_its_terminal_is_hung_up() {
    let cluster = Cluster::start(2);
    // In a session of its own it gets no signal, and has to see it by itself.
    for (name, session) in [("signal", ""), ("silence", "setsid")] {
        let top = Top::start(&cluster.nodes[0], name, (100, 30), session);
        top.until_line("n2", " up ");
        // A zombie has no program any more.
        let program = format!("/proc/{}/exe", top.process());
        let runs = || std::fs::read_link(&program).is_ok_and(|found| found == binary());
        assert!(runs(), "{program}");
        top.tmux(&["kill-server"]);
        wait::until(wait::secs(2), "its end", || !runs());
    }
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn without_a_terminal_it_is_text() {
    let mut cluster = Cluster::start(2);
    let node = &cluster.nodes[0];
    let once = node.cli(&["top", "--once", "--interval", "0.3"]);
    assert_eq!((once.code, once.err.as_str()), (0, ""));
    let lines: Vec<String> = once.out.lines().map(str::to_owned).collect();
    assert!(lines[0].starts_with("n1  "), "{}", once.out);
    for (start, part) in [("in ", "bit/s"), ("n2", " up "), ("pods", "100"), ("pod ", " up ")] {
        assert!(position(&lines, start, part).is_some(), "{start} {part} in:\n{}", once.out);
    }

    let weft =
        format!("{} top --interval 0.1 --socket {}/weft.sock", binary().display(), node.host.dir.display());
    let many = run(&["timeout", "10", "bash", "-o", "pipefail", "-c", &format!("{weft} | head -n 60")]);
    assert!(many.lines().filter(|line| line.starts_with("n1  ")).count() > 1, "again and again:\n{many}");

    // Keys cannot come from there: neither of these is asked for any.
    for input in ["</dev/null", "< <(sleep 9)"] {
        let script = format!("script -qec 'bash -c \"exec timeout 3 {weft} {input}\"' /dev/null");
        let text = try_run(&["bash", "-c", &script]).out;
        let count = text.lines().filter(|line| line.starts_with("n1  ")).count();
        assert!(count > 1 && !text.contains("\x1b[?1049h"), "{input}: {count} times\n{text}");
    }

    assert_eq!(node.cli(&["top", "-j"]).code, 2);
    cluster.nodes[0].stop();
    let gone = cluster.nodes[0].cli(&["top", "--once"]);
    assert_eq!(gone.code, 3, "{}", gone.err);
    cluster.restart(0);
    cluster.finish();
}
