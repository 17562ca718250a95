//! `weft capture`: what it shows of real traffic, and that its files are read by tcpdump and tshark.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use etherparse::{SlicedPacket, TransportSlice};
use rustix::process::Signal;
use serde_json::Value;
use weft_tests::cluster::member;
use weft_tests::command::{Finished, Process, run, try_run};
use weft_tests::iperf::Iperf;
use weft_tests::node::{binary, count};
use weft_tests::pair::{Pair, Spec, pod_v4};
use weft_tests::pcapng::{Packet, read};
use weft_tests::traffic::{assert_pings, reaches};
use weft_tests::{Cluster, Injector, Lab, Netns, Node, inject, pcap, wait};

/// A capture that runs.
struct Running(Process);

impl Running {
    /// Begins one; waits until it captures.
    #[track_caller]
    fn start(node: &Node, options: &str) -> Self {
        let words: Vec<_> = options.split_whitespace().collect();
        Self::by(node, &["capture"], &words)
    }

    #[track_caller]
    fn by(node: &Node, command: &[&str], words: &[&str]) -> Self {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let log = node.host.dir.join(format!("capture-{number}.log"));
        let socket = socket(node);
        let mut all = vec![binary().to_str().expect("a path in UTF-8")];
        all.extend_from_slice(command);
        all.extend_from_slice(words);
        all.extend(["--socket", &socket]);
        let running = Self(Process::start(&all, &[], &log));
        wait::until(wait::secs(10), "the capture to begin", || running.0.log().contains("capturing at "));
        running
    }

    /// Ends it; what it printed, and the frames that it captured and lost.
    #[track_caller]
    fn stop(mut self) -> (String, u64, u64) {
        wait::sleep_ms(300);
        self.0.signal(Signal::INT);
        assert_eq!(self.0.wait(wait::secs(5)), 0, "{}", self.0.log());
        let log = self.0.log();
        let (captured, lost) = counts(&log);
        (log, captured, lost)
    }

    /// Waits for its own end; its exit code, and what it printed.
    #[track_caller]
    fn ended(mut self) -> (i32, String) {
        let code = self.0.wait(wait::secs(20));
        (code, self.0.log())
    }
}

fn socket(node: &Node) -> String {
    format!("{}/weft.sock", node.host.dir.display())
}

/// What the last line says.
#[track_caller]
fn counts(log: &str) -> (u64, u64) {
    let numbers = numbers(log);
    (numbers[0], numbers[1])
}

/// The numbers of the last line.
#[track_caller]
fn numbers(log: &str) -> Vec<u64> {
    let line = log.lines().find(|line| line.contains("captured, ")).unwrap_or_else(|| panic!("{log}"));
    line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Lines about frames, without messages.
fn frames(log: &str) -> Vec<&str> {
    log.lines().filter(|line| !line.starts_with("weft: ")).collect()
}

/// The command against a node, to its end.
#[track_caller]
fn weft(node: &Node, words: &[&str]) -> Finished {
    let socket = socket(node);
    let mut all = vec![binary().to_str().expect("a path in UTF-8")];
    all.extend_from_slice(words);
    all.extend(["--socket", &socket]);
    try_run(&all)
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Expects tcpdump and tshark to read a file whole and to find nothing wrong in it.
#[track_caller]
fn assert_read_by_others(path: &Path, packets: usize) {
    let tcpdump = try_run(&["tcpdump", "-n", "-r", utf8(path)]);
    assert!(tcpdump.ok() && !tcpdump.err.contains("error"), "{}", tcpdump.err);
    // Others are about what is inside.
    let is_time = |line: &str| line.as_bytes().get(2) == Some(&b':') && line.as_bytes().get(8) == Some(&b'.');
    let lines = tcpdump.out.lines().filter(|line| is_time(line)).count();
    assert_eq!(lines, packets, "{}", tcpdump.out);
    let fields = ["-T", "fields", "-e", "frame.interface_name", "-e", "frame.comment"];
    let tshark = try_run(&[&["tshark", "-n", "-r", utf8(path)][..], &fields].concat());
    assert!(tshark.ok() && !tshark.err.contains("error"), "{}", tshark.err);
    assert_eq!(tshark.out.lines().count(), packets);
    // What is sealed looks like anything.
    let bad = "udp.checksum.zero or (_ws.malformed or _ws.expert.severity == error) and not udp.port == 6786 \
               and (not vxlan or vxlan.flag_i == 1)";
    let bad = try_run(&["tshark", "-n", "-r", utf8(path), "-Y", bad]);
    assert!(bad.ok(), "{}", bad.err);
    assert_eq!(bad.out, "", "packets with errors");
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_file_has_both_halves_of_every_frame_and_others_read_it() {
    let cluster = Cluster::start(2);
    let files: Vec<PathBuf> = (1..=2).map(|n| cluster.lab.dir().join(format!("n{n}.pcapng"))).collect();
    let running: Vec<_> = cluster
        .nodes
        .iter()
        .zip(&files)
        .map(|(node, file)| Running::start(node, &format!("-w {}", utf8(file))))
        .collect();
    assert_pings(&cluster.pods[0], pod_v4(2));
    // As much as a reader surely takes, octets and all.
    let _server = cluster.pods[1].start(&["iperf3", "-s", "-1"], &[], &cluster.lab.dir().join("server.log"));
    let listens = || cluster.pods[1].exec("ss -Hltn sport = :5201").contains("5201");
    wait::until(wait::secs(5), "iperf3 to listen", listens);
    cluster.pods[0].exec(&format!("iperf3 -c {} -t 1 -b 100M", pod_v4(2)));
    for (running, file) in running.into_iter().zip(&files) {
        let (log, captured, lost) = running.stop();
        let packets = read(file);
        assert!(captured >= packets.len() as u64 && packets.len() > 100, "{log}");
        assert_eq!(lost, 0, "{log}");
        let mode = std::fs::metadata(file).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_read_by_others(file, packets.len());
        let points: BTreeSet<_> = packets.iter().map(|packet| packet.point.as_str()).collect();
        assert!(points.contains("port:pod") && points.contains("gossip") && points.len() == 3, "{points:?}");
        assert_halves_fit(&packets);
        assert_ids_are_used_once(&packets, false);
        let is_probe = |packet: &&Packet| packet.point.starts_with("peer:") && packet.frame().is_none();
        let (came, left): (Vec<_>, Vec<_>) = packets.iter().filter(is_probe).partition(|probe| probe.inbound);
        assert!(!came.is_empty() && !left.is_empty(), "{} probes came, {} left", came.len(), left.len());
    }
    let of_n1 = read(&files[0]);
    let ping =
        of_n1.iter().find(|p| p.point == "port:pod" && p.inbound && p.octets[23] == 1).expect("a ping");
    assert!(
        ping.comment.starts_with("to peer:n2; FDB: 02:00:00:00:32:02 behind 10.99.0.2, owner n2, seq "),
        "{ping:?}"
    );
    cluster.finish();
}

/// Expects no two packets of one point and way to stand for the same frame; `cut`: but for frames that left in more pieces
/// than they came in, whose last id stands for several.
#[track_caller]
fn assert_ids_are_used_once(packets: &[Packet], cut: bool) {
    let mut runs = BTreeSet::new();
    for (number, packet) in packets.iter().enumerate() {
        let ids = packet.ids();
        assert!(!ids.is_empty(), "{packet:?}");
        runs.extend(ids.into_iter().map(|run| (&packet.point, packet.inbound, run, number)));
    }
    let runs: Vec<_> = runs.into_iter().collect();
    for pair in runs.windows(2) {
        let [(point, inbound, (_, last), one), (next_point, next_inbound, (first, _), two)] = pair else {
            unreachable!("two")
        };
        let same_place = (point, inbound) == (next_point, next_inbound);
        let apart = first > last || (cut && !inbound && first == last);
        let both = || format!("{:?}\n{:?}", packets[*one], packets[*two]);
        assert!(!same_place || apart, "the same id twice:\n{}", both());
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn frames_that_are_cut_smaller_on_their_way_have_ids_of_their_own() {
    let cluster = Cluster::start(2);
    // Both ways: an answer that is too big would be lost, too.
    let cut_to = |mtu: u64| {
        cluster
            .nodes
            .iter()
            .all(|node| node.json("peer list")["entries"][0]["path_mtu"].as_u64() == Some(mtu))
    };
    wait::until(wait::secs(20), "the whole path to be found", || cut_to(1500));
    cluster.shrink(1280);
    wait::until(wait::secs(20), "the smaller path to be found", || cut_to(1280));
    let file = cluster.lab.dir().join("cut.pcapng");
    let running = Running::start(&cluster.nodes[0], &format!("-w {}", utf8(&file)));
    // Fragments of pings, and segments of a stream whose sender may not know of the path.
    let pings = ["ping", "-n", "-M", "dont", "-s", "1350", "-c", "20", "-i", "0.02", "10.32.0.2"];
    let pinged = cluster.pods[0].exec(&pings.join(" "));
    assert!(pinged.contains("20 received"), "{pinged}");
    let iperf = Iperf::start(&cluster.pods[0], (&cluster.pods[1], pod_v4(2)), 1, cluster.lab.dir());
    iperf.finish();
    let (log, _, lost) = running.stop();
    assert_eq!(lost, 0, "{log}");
    let packets = read(&file);
    let fragments = |packet: &&Packet| !packet.inbound && packet.frame().is_some_and(|f| f[20] & 0x3f != 0);
    assert!(packets.iter().filter(fragments).count() >= 20, "{} packets", packets.len());
    assert_ids_are_used_once(&packets, true);
    assert_read_by_others(&file, packets.len());
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn over_ipv6_others_find_nothing_wrong_either() {
    let lab = Lab::new();
    let hosts = [1, 2].map(|n| lab.host(&format!("n{n}")));
    let pods = [1, 2].map(|n| lab.pod(&format!("pod{n}")));
    let mut nodes = [1u8, 2].map(|n| {
        let (host, pod) = (&hosts[usize::from(n) - 1], &pods[usize::from(n) - 1]);
        let config = member(&lab, hosts[0].v6.into(), pod, n).underlay(&format!("address = \"{}\"", host.v6));
        Node::spawn(host, &config)
    });
    nodes.iter_mut().for_each(Node::wait_ready);
    wait::until(wait::secs(20), "the pods to reach each other", || reaches(&pods[0], pod_v4(2)));
    for options in ["", "-s 128"] {
        let file = lab.dir().join("v6.pcapng");
        let running = Running::start(&nodes[0], &format!("{options} -w {}", utf8(&file)));
        let pinged = pods[0].exec(&format!("ping -n -c 20 -i 0.1 {}", pod_v4(2)));
        assert!(pinged.contains("20 received"), "{pinged}");
        running.stop();
        let packets = read(&file);
        let points: BTreeSet<_> = packets.iter().map(|packet| packet.point.as_str()).collect();
        assert_eq!(points, ["gossip", "peer:n2", "port:pod"].into());
        let frames = packets.iter().filter(|p| p.point == "peer:n2" && p.frame().is_some());
        assert!(frames.count() >= 40 && packets.iter().any(|p| p.octets.get(12..14) == Some(&[0x86, 0xdd])));
        assert_ids_are_used_once(&packets, false);
        assert_read_by_others(&file, packets.len());
    }
    for node in &mut nodes {
        node.stop();
    }
}

/// Expects each frame that leaves to have come in, with the same octets.
#[track_caller]
fn assert_halves_fit(packets: &[Packet]) {
    let tcp = |frame: &[u8]| {
        let sliced = SlicedPacket::from_ethernet(frame).ok()?;
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { return None };
        Some((tcp.sequence_number(), tcp.payload().to_vec()))
    };
    let mut whole = 0;
    let came: Vec<_> = packets.iter().filter(|packet| packet.inbound && packet.frame().is_some()).collect();
    for packet in packets.iter().filter(|packet| !packet.inbound) {
        let Some(frame) = packet.frame() else { continue };
        let Some(other) = came.iter().find(|other| other.has(packet.id)) else {
            // Made here: announcements, probes, answers about a smaller path.
            assert!(!packet.comment.contains("inside"), "{packet:?} came from nowhere");
            continue;
        };
        if other.comment.starts_with("answered here") {
            continue;
        }
        let came = other.frame().expect("a frame");
        assert_eq!(came[..14], frame[..14], "{packet:?}\n{other:?}");
        assert!(packet.comment.contains(" ns inside"), "{packet:?}");
        match (tcp(frame), tcp(came)) {
            (Some((to, theirs)), Some((from, ours))) => {
                // A super-frame, whole on one side and in segments on the other.
                let (at, before) = (to.wrapping_sub(from) as usize, from.wrapping_sub(to) as usize);
                let same = if at <= ours.len() {
                    let len = theirs.len().min(ours.len() - at);
                    ours[at..at + len] == theirs[..len]
                } else if before <= theirs.len() {
                    let len = ours.len().min(theirs.len() - before);
                    theirs[before..before + len] == ours[..len]
                } else {
                    // It came in a message of which only the first datagram was kept.
                    other.comment.contains("here is the first")
                };
                assert!(same, "{} and {}", packet.comment, other.comment);
            }
            _ if frame[12..14] == [8, 0] && frame[23] == 1 => assert_eq!(frame, came),
            _ => continue,
        }
        whole += 1;
    }
    assert!(whole > 50, "{whole}");
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn each_option_shows_what_it_says() {
    let cluster = Cluster::start(2);
    let (node, pods) = (&cluster.nodes[0], &cluster.pods);
    assert_pings(&pods[0], pod_v4(2));
    let all = [
        "--inner icmp",
        "-i port:pod --inner icmp",
        "-i peer:n2 --inner icmp",
        "-i peer:10.99.0.2 --outer",
        "--inner arp",
    ];
    // All at once.
    let outer = "dst host 10.99.0.2 and udp port 4789";
    let running: Vec<_> = all
        .iter()
        .map(|options| match options.strip_suffix(" --outer") {
            Some(rest) => {
                let words: Vec<_> = rest.split_whitespace().chain(["--outer", outer]).collect();
                Running::by(node, &["capture"], &words)
            }
            None => Running::start(node, options),
        })
        .collect();
    let json = Running::by(node, &["-j", "capture"], &["--inner", "icmp", "-i", "port:pod"]);
    pods[0].ip("neigh flush all");
    let pinged = pods[0].exec(&format!("ping -n -c 5 -i 0.05 -w 5 {}", pod_v4(2)));
    assert!(pinged.contains("5 received"), "{pinged}");
    let logs: Vec<_> = running.into_iter().map(|running| running.stop().0).collect();

    let [any, port, peer, outer, arp] = [0, 1, 2, 3, 4].map(|at| frames(&logs[at]));
    assert_eq!([any.len(), port.len(), peer.len()], [20, 10, 10], "{any:#?}");
    assert!(any.iter().all(|line| line.contains(" icmp echo re")), "{any:#?}");
    assert!(
        port.iter().all(|line| line.contains(" port:pod "))
            && peer.iter().all(|line| line.contains(" peer:n2 "))
    );
    let going = |lines: &[&str]| lines.iter().filter(|line| line.contains(" echo request ")).count();
    assert_eq!([going(&port), going(&peer)], [5, 5]);
    let request = port.iter().find(|line| line.contains("request")).expect("one");
    assert!(
        request.contains(" in  vni 100 02:00:00:00:32:01 > 02:00:00:00:32:02 10.32.0.1 > 10.32.0.2 icmp"),
        "{request}"
    );
    assert!(request.contains(" -> peer:n2 #"), "{request}");
    let sent = peer.iter().find(|line| line.contains("request")).expect("one");
    assert!(sent.contains(" > 10.99.0.2.4789 vxlan vni 100 | 02:") && sent.contains(" inside #"), "{sent}");
    assert!(outer.len() >= 5 && outer.iter().all(|line| line.contains(" > 10.99.0.2.4789 ")), "{outer:#?}");
    assert!(!arp.is_empty() && arp.iter().all(|line| line.contains(" arp ")), "{arp:#?}");

    let (log, ..) = json.stop();
    let objects: Vec<Value> =
        frames(&log).iter().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(objects.len(), 10);
    let first = &objects[0];
    assert_eq!((&first["schema"], &first["to"]), (&"weft.capture-frame/1".into(), &"peer:n2".into()));
    assert!(objects.iter().any(|object| object["fdb"]["owner"] == "n2"), "{objects:#?}");
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn what_is_dropped_is_shown_with_its_reason() {
    let pair = Pair::start(&Spec::default());
    assert_pings(&pair.pods[0], pod_v4(2));
    let running = Running::start(&pair.nodes[0], "--drops");
    let injector = Injector::new(&pair.pods[0]);
    (0..3).for_each(|_| injector.send(&inject::frame([2, 0, 0, 0, 0x32, 2], [2, 0, 0, 0, 0, 0x66], 0x88b5)));
    assert_pings(&pair.pods[0], pod_v4(2));
    let (log, captured, _) = running.stop();
    let lines = frames(&log);
    assert_eq!((lines.len(), captured), (3, 3), "{log}");
    let why = "DROPPED, port_security: The source MAC or IP address is not one that the port was given. #";
    assert!(lines.iter().all(|line| line.contains(" port:pod in ") && line.contains(why)), "{log}");
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn it_ends_as_it_is_told_and_pipes_work() {
    let pair = Pair::start(&Spec::default());
    let (node, dir) = (&pair.nodes[0], pair.lab.dir());
    let _pings = pair.pods[0].start(&["ping", "-n", "-i", "0.02", "10.32.0.2"], &[], &dir.join("ping.log"));
    let weft_at = |rest: &str| format!("{} capture --socket {} {rest}", utf8(binary()), socket(node));

    let (code, log) = Running::start(node, "-c 7").ended();
    assert_eq!((code, frames(&log).len()), (0, 7), "{log}");
    let piped = try_run(&["sh", "-c", &weft_at("-w - --inner icmp -c 5 | tcpdump -n -r -")]);
    assert_eq!(piped.out.lines().filter(|line| line.contains("ICMP echo")).count(), 5, "{piped:?}");
    assert!(piped.err.contains("5 frames captured, 0 lost"), "{}", piped.err);
    let piped = try_run(&["sh", "-c", &weft_at("-w - --inner icmp -c 5 | tshark -n -r - -Y icmp")]);
    assert_eq!(piped.out.lines().filter(|line| line.contains("Echo (ping)")).count(), 5, "{piped:?}");
    // What `wireshark -k -i -` starts.
    let dumped = dir.join("dumped.pcapng");
    let dump = format!("-w - --inner icmp -c 5 | dumpcap -q -i - -w {}", utf8(&dumped));
    let piped = try_run(&["sh", "-c", &weft_at(&dump)]);
    assert!(piped.ok() && read(&dumped).len() == 5, "{piped:?}");
    // Who reads goes away.
    let piped = try_run(&["sh", "-c", &weft_at("-w - | head -c 2000 | wc -c")]);
    assert!(piped.ok() && piped.out.trim() == "2000" && piped.err.contains(" captured, "), "{piped:?}");
    let short = dir.join("short.pcapng");
    let words = ["capture", "-s", "60", "-c", "20", "-w", utf8(&short)];
    assert!(weft(node, &words).ok());
    let packets = read(&short);
    assert!(packets.len() == 20 && packets.iter().all(|p| p.octets.len() <= 60 && p.len >= p.octets.len()));
    assert_read_by_others(&short, 20);

    // Ten packets a file: of each file begun, only the last three are kept.
    let ring = dir.join("ring");
    let iperf = Iperf::start(&pair.pods[0], (&pair.pods[1], pod_v4(2)), 2, dir);
    let running = Running::start(node, &format!("-w {} -C 1 -W 3 --inner tcp", utf8(&ring)));
    iperf.finish();
    let (log, ..) = running.stop();
    for index in 0..3 {
        let path = dir.join(format!("ring{index}"));
        let len = std::fs::metadata(&path).unwrap_or_else(|e| panic!("{}: {e}: {log}", path.display())).len();
        assert!(len < 2_200_000, "{len}");
        assert_read_by_others(&path, read(&path).len());
    }
    assert!(!dir.join("ring3").exists() && !ring.exists());

    // The daemon goes.
    let running = Running::start(node, &format!("-w {}", utf8(&dir.join("last.pcapng"))));
    let Pair { mut nodes, .. } = pair;
    nodes[0].stop();
    let (code, log) = running.ended();
    assert!(
        code == 3 && log.contains("the daemon ended the capture") && log.contains("frames captured"),
        "{log}"
    );
    let _ = read(&dir_of(&nodes[0]).join("../last.pcapng"));
}

fn dir_of(node: &Node) -> PathBuf {
    node.host.dir.clone()
}

/// What the device of a pod counts.
fn tx(pod: &Netns, what: &str) -> u64 {
    let text = pod.exec(&format!("cat /sys/class/net/eth0/statistics/tx_{what}"));
    text.trim().parse().expect("a number")
}

/// Sends datagrams from the first pod to port 5555 of the second, as `send` does; how many of them weft took. It has handled
/// them all.
#[track_caller]
fn flood(pair: &Pair, send: impl FnOnce(&UdpSocket) -> u64) -> u64 {
    let [from, to] = &pair.pods;
    let before = (tx(from, "dropped"), tx(from, "packets"));
    let _receiver = to.enter(|| UdpSocket::bind("10.32.0.2:5555").expect("a socket"));
    let sender = from.enter(|| UdpSocket::bind("10.32.0.1:0").expect("a socket"));
    sender.connect("10.32.0.2:5555").expect("a way");
    let sent = send(&sender) - (tx(from, "dropped") - before.0);
    // The device counts what was read.
    wait::until(wait::secs(5), "all frames to be read", || tx(from, "packets") - before.1 >= sent);
    wait::sleep_ms(100);
    sent
}

/// So many large datagrams, as fast as it goes.
fn large(count: u64) -> impl FnOnce(&UdpSocket) -> u64 {
    move |socket| {
        (0..count).for_each(|_| drop(socket.send(&[7; 1400])));
        count
    }
}

/// Sends signals to the `weft` that a shell has started.
fn signal(shell: &Process, signals: &[&str]) {
    for signal in signals {
        run(&["pkill", signal, "-P", &shell.pid().to_string(), "weft"]);
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_slow_reader_loses_frames_of_the_capture_and_no_traffic() {
    let pair = Pair::start(&Spec::default());
    let (node, dir) = (&pair.nodes[0], pair.lab.dir());
    assert_pings(&pair.pods[0], pod_v4(2));
    let line = format!(
        "{} capture --socket {} -i port:pod --inner 'udp dst port 5555' -w - 2> {2}/slow.log | \
         (until [ -e {2}/go ]; do sleep 0.1; done; cat > {2}/slow.pcapng)",
        utf8(binary()),
        socket(node),
        dir.display()
    );
    let mut slow = Process::start(&["sh", "-c", &line], &[], &dir.join("slow-sh.log"));
    let log = || std::fs::read_to_string(dir.join("slow.log")).unwrap_or_default();
    wait::until(wait::secs(5), "the capture to begin", || log().contains("capturing at"));
    let delivered = || count(&node.json("drops")["delivered"]);
    let before = delivered();
    let sent = flood(&pair, large(60_000));
    wait::until(wait::secs(5), "all frames to be sent on", || delivered() - before >= sent);
    std::fs::write(dir.join("go"), "").expect("the reader is told");
    wait::sleep_ms(3000);
    signal(&slow, &["-INT"]);
    slow.wait(wait::secs(10));
    let (captured, lost) = counts(&log());
    assert_eq!(captured + lost, sent, "{}", log());
    assert!(lost > 0, "the reader was not slow enough: {}", log());
    let packets = read(&dir.join("slow.pcapng"));
    assert_eq!(packets.len() as u64, captured);
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn however_it_ends_under_load_what_passed_the_filter_was_captured_or_lost() {
    let pair = Pair::start(&Spec::default());
    let (node, dir) = (&pair.nodes[0], pair.lab.dir());
    assert_pings(&pair.pods[0], pod_v4(2));
    let small = dir.join("small");
    std::fs::create_dir(&small).expect("a folder");
    let weft = format!(
        "{} capture --socket {} -i port:pod --inner 'udp dst port 5555' -w",
        utf8(binary()),
        socket(node)
    );
    let (dir, small) = (utf8(dir), utf8(&small));
    // What others send meanwhile, and go on with when it ends.
    let noise = Noise::start(&pair);
    for (name, line, signals, code) in [
        ("told", format!("{weft} {dir}/out; exit $?"), &["-INT", "-CONT"][..], 0),
        ("enough", format!("{weft} {dir}/out -c 1000; exit $?"), &["-CONT"], 0),
        ("reader gone", format!("{weft} - | head -c 2000 > {dir}/out"), &["-CONT"], 0),
        (
            "disk full",
            format!("mount -t tmpfs -o size=1m none {small} && {weft} {small}/out; exit $?"),
            &["-CONT"],
            1,
        ),
    ] {
        let log = Path::new(dir).join(format!("{name}.log"));
        let mut shell = Process::start(&["unshare", "-m", "sh", "-c", &line], &[], &log);
        wait::until(wait::secs(5), "the capture to begin", || shell.log().contains("capturing at"));
        // All of it is there, or lost, before it ends.
        signal(&shell, &["-STOP"]);
        let sent = flood(&pair, large(40_000));
        signal(&shell, signals);
        assert_eq!(shell.wait(wait::secs(20)), code, "{name}: {}", shell.log());
        let numbers = numbers(&shell.log());
        assert_eq!(numbers.iter().sum::<u64>(), sent, "{name}: {}", shell.log());
        assert!(numbers[0] > 0 && numbers[1] > 0, "{name}: {}", shell.log());
        assert_eq!(numbers.len(), if name == "enough" { 3 } else { 2 }, "{name}: {}", shell.log());
        assert!(name != "enough" || numbers[0] == 1000, "{}", shell.log());
        if name != "reader gone" && name != "disk full" {
            assert_eq!(read(&Path::new(dir).join("out")).len() as u64, numbers[0], "{name}");
        }
    }
    drop(noise);
    pair.finish();
}

/// Datagrams from the second pod to the first that nobody looks for, until it is dropped.
struct Noise(Arc<AtomicBool>, Option<JoinHandle<()>>);

impl Noise {
    fn start(pair: &Pair) -> Self {
        let [to, from] = &pair.pods;
        let receiver = to.enter(|| UdpSocket::bind("10.32.0.1:6666").expect("a socket"));
        let sender = from.enter(|| UdpSocket::bind("10.32.0.2:0").expect("a socket"));
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                (0..20).for_each(|_| drop(sender.send_to(&[7; 1400], "10.32.0.1:6666")));
                wait::sleep_ms(1);
            }
            drop(receiver);
        });
        Self(stop, Some(thread))
    }
}

impl Drop for Noise {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        self.1.take().into_iter().for_each(|thread| drop(thread.join()));
    }
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn nothing_of_a_hundred_thousand_small_frames_a_second_is_lost() {
    const RATE: u64 = 100_000;
    const TIME: Duration = Duration::from_secs(5);
    let pair = Pair::start(&Spec::default());
    let (node, dir) = (&pair.nodes[0], pair.lab.dir());
    assert_pings(&pair.pods[0], pod_v4(2));
    for options in ["-s 96", ""] {
        let file = dir.join("fast.pcapng");
        let running = Running::start(node, &format!("{options} -w {}", utf8(&file)));
        let began = wait::now();
        let sent = flood(&pair, |socket| {
            let mut sent = 0;
            while began.elapsed() < TIME {
                let due = u64::try_from(began.elapsed().as_micros()).expect("seconds") * RATE / 1_000_000;
                // One that is behind does not flood the device.
                let burst = due.saturating_sub(sent).min(256);
                (0..burst).for_each(|_| drop(socket.send(&[7; 18])));
                sent += burst;
                if burst < 32 {
                    wait::sleep_ms(1);
                }
            }
            sent
        });
        let (log, captured, lost) = running.stop();
        let rate = sent / TIME.as_secs();
        let short = if rate < RATE * 95 / 100 { ": not measured at 100,000 frames/s" } else { "" };
        println!("{options}: {rate} frames/s, {captured} frames captured at all points, {lost} lost{short}");
        assert_eq!(lost, 0, "{log}");
        // Where they came in, and where they left.
        assert!(captured >= 2 * sent, "{sent} frames: {log}");
        assert!(
            rate >= RATE / 2,
            "only {rate} frames/s were sent: {RATE} are asked for, and half needs no quiet machine"
        );
    }
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn tcp_is_at_least_seven_tenths_as_fast_while_the_headers_of_all_go_to_a_file() {
    let pair = Pair::start(&Spec::default());
    let (node, file) = (&pair.nodes[0], pair.lab.dir().join("headers.pcapng"));
    let octets = |name: String| {
        let dir = pair.lab.dir().join(name);
        std::fs::create_dir(&dir).expect("a directory");
        Iperf::start(&pair.pods[0], (&pair.pods[1], pod_v4(2)), 2, &dir).finish().octets
    };
    let _warm = octets("warm".to_owned());
    let mut ratios: Vec<u64> = (0..5)
        .map(|round| {
            let without = octets(format!("without-{round}"));
            let running = Running::start(node, &format!("-s 128 -w {}", utf8(&file)));
            let with = octets(format!("with-{round}"));
            let (log, captured, lost) = running.stop();
            assert!(captured * 1400 > with, "{log}");
            println!("{} and {} Mbit/s with a capture, {lost} lost", without / 250_000, with / 250_000);
            100 * with / without
        })
        .collect();
    ratios.sort_unstable();
    println!("with a capture, in hundredths of without: {ratios:?}");
    assert!(ratios[2] >= 70, "{ratios:?}");
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_full_disk_ends_it_with_a_file_that_is_whole() {
    let pair = Pair::start(&Spec::default());
    let (node, dir) = (&pair.nodes[0], pair.lab.dir());
    let (small, out) = (dir.join("small"), dir.join("full.pcapng"));
    std::fs::create_dir(&small).expect("a folder");
    let _pings = pair.pods[0].start(
        &["ping", "-n", "-s", "1400", "-i", "0.002", "10.32.0.2"],
        &[],
        &dir.join("ping.log"),
    );
    let script = format!(
        "mount -t tmpfs -o size=200k none {0} && {1} capture --socket {2} -w {0}/out; code=$?; cp {0}/out {3}; exit $code",
        small.display(),
        utf8(binary()),
        socket(node),
        out.display()
    );
    let done = try_run(&["unshare", "-m", "sh", "-c", &script]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains("cannot write to ") && done.err.contains("make room"), "{}", done.err);
    let packets = read(&out);
    assert_eq!(counts(&done.err).0, packets.len() as u64, "{}", done.err);
    assert!(packets.len() > 50, "{}", packets.len());
    assert_read_by_others(&out, packets.len());
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn what_is_wrong_is_told_before_it_begins() {
    let pair = Pair::start(&Spec::default());
    let node = &pair.nodes[0];
    let done = weft(node, &["capture", "--inner", "host 10.0.0.1 and prt 80"]);
    assert_eq!(done.code, 2, "{done:?}");
    let place = format!("\n  host 10.0.0.1 and prt 80\n  {:18}^", "");
    assert!(done.err.contains("--inner: ") && done.err.contains(&place), "{}", done.err);
    let done = weft(node, &["capture", "-i", "port:nosuch"]);
    assert!(done.code != 0 && done.err.contains("nosuch") && done.err.contains("pod"), "{done:?}");
    let done = weft(node, &["capture", "-i", "peer:nosuch"]);
    assert!(done.code != 0 && done.err.contains("nosuch") && done.err.contains("10.99.0.2"), "{done:?}");
    let done = weft(node, &["capture", "-w", "/nosuch/file"]);
    assert!(done.code == 1 && done.err.contains("cannot write to /nosuch/file"), "{done:?}");

    // Somebody else, even where the socket is open to all.
    let socket = socket(node);
    for (path, mode) in [(pair.lab.dir(), 0o755), (&node.host.dir, 0o755), (Path::new(&socket), 0o666)] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("its mode");
    }
    let program = pair.lab.dir().join("weft");
    std::fs::copy(binary(), &program).expect("a copy");
    let user =
        ["setpriv", "--reuid", "65534", "--clear-groups", utf8(&program), "capture", "--socket", &socket];
    let done = try_run(&user);
    assert!(done.code == 1 && done.err.contains("only root and the user that runs weft"), "{done:?}");
    pair.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn without_libpcap_tcpdump_is_asked_and_without_both_a_package_is_named() {
    let directory = tempfile::tempdir().expect("a folder");
    let dir = directory.path();
    let library = run(&["sh", "-c", "readlink -f /usr/lib/*/libpcap.so.0.8"]);
    let (library, weft) = (library.trim(), utf8(binary()));
    std::fs::copy(library, dir.join("libpcap.so.0.8")).expect("a copy");
    let tcpdump = format!("#!/bin/sh\nLD_LIBRARY_PATH={} exec /usr/bin/tcpdump \"$@\"\n", dir.display());
    std::fs::write(dir.join("tcpdump"), tcpdump).expect("a script");
    std::fs::set_permissions(dir.join("tcpdump"), PermissionsExt::from_mode(0o755)).expect("its mode");
    // A filter is compiled before the daemon is asked, and there is none.
    let capture = |path: &str, filter: &str| {
        let hidden = format!(
            "mount --bind /dev/null {library} && PATH={path} {weft} capture --socket {}/none --inner '{filter}'",
            dir.display()
        );
        try_run(&["unshare", "-m", "sh", "-c", &hidden])
    };
    let both = format!("{}:/usr/bin:/bin", dir.display());
    let good = capture(&both, "icmp");
    assert!(good.code == 3 && good.err.contains("no daemon"), "{good:?}");
    let wrong = capture(&both, "icmp and and");
    assert!(wrong.code == 2 && wrong.err.contains("syntax error\n"), "{wrong:?}");
    let none = capture("/nosuch", "icmp");
    assert!(none.code == 1 && none.err.contains("apt-get install libpcap0.8"), "{none:?}");
    assert_eq!(none.err.lines().count(), 1, "{none:?}");
}

/// Expressions of each kind.
const EXPRESSIONS: &[&str] = &[
    "ip",
    "ip6",
    "arp",
    "icmp",
    "icmp6",
    "tcp",
    "udp",
    "not ip",
    "not (ip or ip6)",
    "host 192.168.0.1",
    "src net 10.0.0.0/8",
    "net 192.168.0.0 mask 255.255.0.0",
    "ip6 net fe80::/10",
    "ether multicast",
    "ether broadcast",
    "ether[0] & 1 = 0",
    "ether proto 0x88cc",
    "multicast",
    "port 53",
    "tcp port 80 or tcp port 443",
    "udp portrange 4000-5000",
    "src port 53 and udp",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "tcp[13] & 2 != 0 and not port 22",
    "tcp[12] >> 4 > 5",
    "ip[0] & 0xf != 5",
    "icmp[icmptype] = icmp-echo",
    "icmp6 and ip6[40] = 135",
    "ip[6:2] & 0x1fff != 0",
    "ip[16] >= 224",
    "greater 100",
    "less 100",
    "len > 100 and len < 200",
    "vlan",
    "vlan and ip",
    "ip proto 47",
    "ip proto \\sctp",
    "udp[8:4] = 0x08000000",
    "udp port 4789 and udp[8:2] = 0x0800",
    "(src port 1 or dst port 2) and (tcp or udp)",
    "geneve",
    "geneve 0x0a and ip",
    "mpls",
    "pppoes",
    "ip[2:2] - 20 > 8 * 10",
    "ip[8] % 64 = 0 and ip[2:2] / 4 > 10",
];

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_filter_passes_what_tcpdump_passes() {
    let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/data"));
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in ["pcap/suricata", "pcap/tcpdump", "pcap/zeek", "inner/tcpdump"] {
        let entries = std::fs::read_dir(data.join(folder)).expect("the data").flatten();
        files.extend(entries.map(|entry| entry.path()));
    }
    files.sort();
    let captures = files.iter().filter_map(|file| pcap::read(file).ok());
    let packets: Vec<_> = captures
        .filter(|capture| capture.link_type == pcap::ETHERNET)
        .flat_map(|capture| capture.packets)
        .filter(|packet| packet.octets.len() >= 14 && packet.wire_len >= packet.octets.len())
        .collect();
    assert!(packets.len() > 1000, "{}", packets.len());

    let directory = tempfile::tempdir().expect("a folder");
    let (all, passed) = (directory.path().join("all.pcap"), directory.path().join("passed.pcap"));
    // The time says which packet it is.
    let mut file = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1].map(u32::to_le_bytes).concat();
    for (number, packet) in packets.iter().enumerate() {
        let words = [number as u32, 0, packet.octets.len() as u32, packet.wire_len as u32];
        file.extend(words.map(u32::to_le_bytes).concat());
        file.extend_from_slice(&packet.octets);
    }
    std::fs::write(&all, file).expect("written");
    for expression in EXPRESSIONS {
        run(&["tcpdump", "-n", "-Z", "root", "-r", utf8(&all), "-w", utf8(&passed), expression]);
        let theirs: Vec<_> = pcap::read(&passed)
            .expect("a capture")
            .packets
            .iter()
            .map(|p| p.time.as_secs() as usize)
            .collect();
        let program = weft::io::pcap::compile(expression).unwrap_or_else(|e| panic!("{expression}: {e}"));
        let passes = |at: &usize| program.matches(&packets[*at].octets, packets[*at].wire_len);
        let ours: Vec<_> = (0..packets.len()).filter(passes).collect();
        assert_eq!(ours, theirs, "{expression}");
    }
}
