//! Fairness and latency under load: what uninvolved pods feel, how two loud ones share, and what is left afterwards.
//!
//! The limits hold on a machine of two cores that has other work: the best of up to three rounds counts, and each
//! prints what it measured.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use weft_tests::node::{Config, network, peer, port};
use weft_tests::pair::{finish, pod_keys, pod_v4};
use weft_tests::traffic::{assert_pings, unspecified};
use weft_tests::{Lab, Netns, Node, Stream, wait};

const ROUNDS: usize = 3;
/// Octets of UDP payload that make a frame of 60 octets, 64 with its check sequence on a wire.
const SMALL: usize = 18;

/// Two nodes, and pairs of pods across them.
struct Rows {
    lab: Lab,
    nodes: [Node; 2],
    pods: [Vec<Arc<Netns>>; 2],
}

const fn number(node: usize, pod: usize) -> u8 {
    (10 * (node + 1) + pod) as u8
}

impl Rows {
    #[track_caller]
    fn start(pairs: usize) -> Self {
        let mut lab = Lab::new();
        let hosts = [lab.host("a"), lab.host("b")];
        let pods = [0, 1].map(|n| (0..pairs).map(|i| lab.pod(&format!("pod{n}{i}"))).collect::<Vec<_>>());
        let nodes = [0, 1].map(|n| {
            let ports: String = (0..pairs)
                .map(|i| port(&format!("p{i}"), "pods", &pods[n][i], &pod_keys(number(n, i))))
                .collect();
            let text = network("pods", 100, "") + &ports + &peer(hosts[1 - n].v4, "pods", "");
            Node::start(&hosts[n], &Config::new(text))
        });
        for (i, pod) in pods[0].iter().enumerate() {
            assert_pings(pod, pod_v4(number(1, i)));
        }
        // The capture would take a part of the processors.
        lab.underlay_saw_only_hosts();
        Self { lab, nodes, pods }
    }

    fn to(&self, i: usize) -> (&Arc<Netns>, IpAddr) {
        (&self.pods[1][i], pod_v4(number(1, i)))
    }

    fn streams(&self, i: usize, count: u16) -> Vec<Stream> {
        (0..count).map(|n| Stream::start(&self.pods[0][i], self.to(i), 5400 + n, None)).collect()
    }

    fn blast(&self, i: usize) -> Blast {
        Blast::start(&self.pods[0][i], self.to(i))
    }
}

/// The smallest datagrams, as fast as one thread can send them, until this is dropped.
struct Blast {
    stop: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Blast {
    #[track_caller]
    fn start(from: &Arc<Netns>, to: (&Arc<Netns>, IpAddr)) -> Self {
        let (stop, received) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let target = SocketAddr::new(to.1, 5500);
        let (pod, told, count) = (Arc::clone(to.0), Arc::clone(&stop), Arc::clone(&received));
        let receiver = std::thread::spawn(move || {
            pod.join();
            let socket = UdpSocket::bind(target).expect("a socket");
            socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time limit");
            while !told.load(Ordering::Relaxed) {
                count.fetch_add(u64::from(socket.recv(&mut [0; 64]).is_ok()), Ordering::Relaxed);
            }
        });
        let (pod, told) = (Arc::clone(from), Arc::clone(&stop));
        let sender = std::thread::spawn(move || {
            pod.join();
            let socket = UdpSocket::bind((unspecified(target.ip()), 0)).expect("a socket");
            socket.connect(target).expect("a route");
            while !told.load(Ordering::Relaxed) {
                // A full queue refuses some: that is what is wanted.
                let _ = socket.send(&[0; SMALL]);
            }
        });
        let blast = Self { stop, received, threads: vec![receiver, sender] };
        wait::until(wait::secs(5), "the first of a blast", || blast.received() > 0);
        blast
    }

    fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for Blast {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Round trips in milliseconds, sorted, and how many pings were not answered.
#[track_caller]
fn round_trips(from: &Netns, to: IpAddr, count: usize) -> (Vec<f64>, usize) {
    let done = from.try_exec(&format!("ping -n -i 0.005 -W 2 -c {count} {to}"));
    let time = |line: &str| line.split("time=").nth(1)?.split(' ').next()?.parse::<f64>().ok();
    let mut times: Vec<_> = done.out.lines().filter_map(time).collect();
    times.sort_by(f64::total_cmp);
    let lost = count - times.len();
    (times, lost)
}

/// The value that `percent` of 100 do not exceed.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1).copied().unwrap_or(f64::INFINITY)
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn an_uninvolved_pair_answers_within_5_ms_beside_tcp_and_a_blast() {
    const MUST_MS: f64 = 5.0;
    const PINGS: usize = 400;
    let mut rows = Rows::start(3);
    let mut best = f64::INFINITY;
    for round in 1..=ROUNDS {
        let (quiet, _) = round_trips(&rows.pods[0][2], rows.to(2).1, PINGS / 4);
        let (streams, blast) = (rows.streams(0, 4), rows.blast(1));
        let (start, before) = (wait::now(), blast.received());
        let octets = || streams.iter().map(Stream::octets).sum::<u64>();
        let sent = octets();
        let (times, lost) = round_trips(&rows.pods[0][2], rows.to(2).1, PINGS);
        let seconds = (wait::now() - start).as_secs_f64();
        println!(
            "round {round}: {:.2} Gbit/s of TCP, {:.0} kpps of blast; ping p50 {:.3} ms, p99 {:.3} ms, max {:.3} ms, \
             {lost} of {PINGS} lost; without load p50 {:.3} ms, p99 {:.3} ms",
            (octets() - sent) as f64 * 8e-9 / seconds,
            (blast.received() - before) as f64 / 1e3 / seconds,
            percentile(&times, 50),
            percentile(&times, 99),
            percentile(&times, 100),
            percentile(&quiet, 50),
            percentile(&quiet, 99),
        );
        drop(blast);
        for stream in streams {
            stream.finish().unwrap_or_else(|why| panic!("a stream broke: {why}"));
        }
        // A ping that was lost took longer than any.
        if lost * 100 <= PINGS {
            best = best.min(percentile(&times, 99 - lost * 100 / PINGS));
        }
        if best <= MUST_MS {
            break;
        }
    }
    assert!(best <= MUST_MS, "the best p99 of {ROUNDS} rounds is {best:.3} ms; allowed are {MUST_MS} ms");
    finish(&mut rows.nodes, &mut rows.lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn two_blasting_ports_share_what_is_delivered() {
    const LEAST: f64 = 0.4;
    let mut rows = Rows::start(2);
    let mut best = 0.0_f64;
    for round in 1..=ROUNDS {
        let blasts = [rows.blast(0), rows.blast(1)];
        let before = blasts.each_ref().map(Blast::received);
        let start = wait::now();
        wait::sleep_ms(2_000);
        let [one, two] = [0, 1].map(|i| (blasts[i].received() - before[i]) as f64);
        let seconds = (wait::now() - start).as_secs_f64();
        let least = one.min(two) / (one + two).max(1.0);
        println!(
            "round {round}: {:.0} and {:.0} kpps, the smaller share is {:.0} %",
            one / 1e3 / seconds,
            two / 1e3 / seconds,
            least * 100.0
        );
        best = best.max(least);
        if best >= LEAST {
            break;
        }
    }
    assert!(best >= LEAST, "in the best of {ROUNDS} rounds one port got {:.0} %", best * 100.0);
    finish(&mut rows.nodes, &mut rows.lab);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn after_a_load_the_daemons_are_as_quiet_as_before() {
    const WATCH_S: u32 = 3;
    let mut rows = Rows::start(2);
    // Router solicitations of the pods' kernels come in the first seconds.
    wait::sleep_ms(5_000);
    let watch = || {
        let before = rows.nodes.each_ref().map(Node::effort);
        wait::sleep_ms(u64::from(WATCH_S) * 1_000);
        let after = rows.nodes.each_ref().map(Node::effort);
        [0, 1].map(|n| {
            let cpu = (after[n].0 - before[n].0) / WATCH_S;
            (cpu, (after[n].1 - before[n].1) / u64::from(WATCH_S))
        })
    };
    let before = watch();
    let (streams, blast) = (rows.streams(0, 2), rows.blast(1));
    wait::sleep_ms(1_500);
    drop(blast);
    for stream in streams {
        stream.finish().unwrap_or_else(|why| panic!("a stream broke: {why}"));
    }
    rows.nodes.iter().for_each(Node::ledger_balanced);
    let mut after = before;
    let quiet = (1..=ROUNDS).any(|round| {
        after = watch();
        println!("round {round}: CPU and wake-ups a second before {before:?}, after {after:?}");
        let level = |(now, then): (&(Duration, u64), &(Duration, u64))| {
            now.0 <= then.0 + Duration::from_millis(3) && now.1 <= then.1 + 10
        };
        after.iter().zip(&before).all(level)
    });
    assert!(quiet, "before the load {before:?}, after it {after:?}");
    finish(&mut rows.nodes, &mut rows.lab);
}
