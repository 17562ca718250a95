//! Who must not take part in gossip: without the right key, as a copy of a node, by a name that is taken, without a place
//! for its state.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;

use weft_tests::cluster::{Cluster, GOSSIP_PORT, events, member, places, states};
use weft_tests::command::run;
use weft_tests::node::{Config, network, port};
use weft_tests::pair::{pod_keys, pod_v4};
use weft_tests::traffic::{assert_pings, count_frames, counted, ping_with, reaches};
use weft_tests::{Host, Netns, Node, Rng, capture, pcap, wait};

/// A node on a host of its own that joins the first of a cluster by this `[gossip]`.
#[track_caller]
fn intruder(cluster: &Cluster, name: &str, keys: &str) -> (Node, std::sync::Arc<Netns>) {
    let (host, pod) = (cluster.lab.host(name), cluster.lab.pod("pod9"));
    let join = cluster.nodes[0].host.v4;
    let text = format!("[gossip]\njoin = [\"{join}\"]\n{keys}\n")
        + &network("pods", 100, "")
        + &port("pod", "pods", &pod, &pod_keys(9));
    (Node::start(&host, &Config::new(text)), pod)
}

/// Expects an intruder and a cluster to have nothing of each other for some seconds.
#[track_caller]
fn assert_strangers(cluster: &Cluster, intruder: &Node, pod: &Netns) {
    let address = format!("{}:{GOSSIP_PORT}", intruder.host.v4);
    let met = || {
        let heard = |node| states(node).contains_key(&address) || places(node).contains_key(&9);
        !states(intruder).is_empty() || places(intruder).len() > 1 || cluster.nodes.iter().any(heard)
    };
    assert!(!wait::reached(wait::secs(6), met), "{}", intruder.log());
    assert!(!reaches(pod, pod_v4(1)));
    assert_pings(&cluster.pods[0], pod_v4(2));
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_wrong_key_or_none_finds_nobody() {
    let mut cluster = Cluster::start(2);
    let key = cluster.lab.dir().join("other.key");
    let file = key.to_str().expect("a path in UTF-8");
    run(&[weft_tests::node::binary().to_str().expect("a path in UTF-8"), "key", "new", "--output", file]);
    let (wrong, pod) = intruder(&cluster, "wrong", &format!("key_file = \"{file}\""));
    assert_strangers(&cluster, &wrong, &pod);
    let (open, pod) = intruder(&cluster, "open", "insecure = true");
    assert_strangers(&cluster, &open, &pod);
    assert_eq!(cluster.count_events("member_down"), 0);
    cluster.nodes.extend([wrong, open]);
    cluster.finish();
}

/// The payloads of the gossip datagrams in a capture, and who got them.
#[track_caller]
fn gossip_in(file: &Path) -> Vec<(IpAddr, Vec<u8>)> {
    let capture = pcap::read(file).unwrap_or_else(|e| panic!("{e:#}"));
    let is_gossip = |octets: &[u8]| {
        octets.len() > 42
            && octets[12..14] == [8, 0]
            && octets[23] == 17
            && octets[36..38] == GOSSIP_PORT.to_be_bytes()
    };
    let parts = |octets: Vec<u8>| {
        let to: [u8; 4] = octets[30..34].try_into().expect("4 octets");
        (to.into(), octets[42..].to_vec())
    };
    let packets = capture.packets.into_iter().map(|packet| packet.octets);
    packets.filter(|octets| is_gossip(octets)).map(parts).collect()
}

/// Sends datagrams to gossip from its own port and from another, then the same changed at random, cut and drawn out.
#[track_caller]
fn attack(stranger: &Host, target: IpAddr, datagrams: &[Vec<u8>], rng: &mut Rng) {
    stranger.ns.enter(|| {
        for from in [GOSSIP_PORT, 0] {
            let socket = UdpSocket::bind((stranger.v4, from)).expect("a socket");
            for (i, datagram) in datagrams.iter().enumerate() {
                let (mut noise, mut longer) = (datagram.clone(), datagram.clone());
                let at = rng.below(datagram.len());
                rng.fill(&mut noise[at..]);
                longer.resize(1_400, 0);
                for octets in [datagram, &noise, &datagram[..at].to_vec(), &longer] {
                    socket.send_to(octets, SocketAddr::new(target, GOSSIP_PORT)).expect("sent");
                }
                // Below what is read of one address in a second.
                if i % 4 == 3 {
                    wait::sleep_ms(10);
                }
            }
        }
    });
}

/// What a TCP connection to gossip gets back for some noise before the other end closes it.
#[track_caller]
fn answer_to_noise(stranger: &Host, target: IpAddr, rng: &mut Rng) -> Vec<u8> {
    let mut noise = vec![0; 4_096];
    rng.fill(&mut noise);
    stranger.ns.enter(|| {
        let mut stream = TcpStream::connect((target, GOSSIP_PORT)).expect("gossip listens");
        stream.set_read_timeout(Some(wait::secs(8))).expect("a time limit");
        // It may be closed before all of it is written.
        let _ = stream.write_all(&noise);
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("still open after 8 s"),
            _ => answer,
        }
    })
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn garbage_and_replays_of_a_stranger_get_no_answer_and_change_nothing() {
    const SEED: u64 = 6786;
    println!("seed {SEED}");
    let mut rng = Rng::new(SEED);
    let mut cluster = Cluster::start(3);
    let stranger = cluster.lab.host("stranger");
    let file = cluster.lab.dir().join("gossip.pcap");
    let running = capture::Capture::start(cluster.lab.hub(), "h1", &file, capture::WHOLE);
    // A node that leaves and joins makes every kind of datagram.
    cluster.nodes[2].stop();
    cluster.restart(2);
    cluster.settle(wait::secs(5));
    wait::sleep_ms(2_000);
    let recorded = gossip_in(&running.stop());
    let [first, second] = [0, 1].map(|at: usize| IpAddr::from(cluster.nodes[at].host.v4));
    let of = |to: &dyn Fn(IpAddr) -> bool| -> Vec<Vec<u8>> {
        recorded.iter().filter(|(at, _)| to(*at)).map(|(_, octets)| octets.clone()).collect()
    };
    let (own, foreign) = (of(&|to| to == first), of(&|to| to != second));
    println!(
        "{} datagrams were recorded for the first node, {} not for the second",
        own.len(),
        foreign.len()
    );
    assert!(own.len() > 20 && foreign.len() > 20);
    let known = |cluster: &Cluster| -> Vec<_> {
        cluster.nodes.iter().map(|node| (places(node), states(node))).collect()
    };
    let before = known(&cluster);
    count_frames(&stranger.ns, "u0", "ip protocol { udp, icmp }");
    attack(&stranger, first, &own, &mut rng);
    assert_eq!(answer_to_noise(&stranger, first, &mut rng), [0; 0], "payload over TCP");
    assert_eq!(counted(&stranger.ns), 0, "datagrams came back to the stranger");
    // What was recorded on its way to others is new to this one: each may be taken and answered, once.
    attack(&stranger, second, &foreign, &mut rng);
    let answers = counted(&stranger.ns);
    println!("{answers} of {} datagrams for others were answered", foreign.len());
    assert!(answers as usize <= foreign.len() / 10, "{answers} came back");
    assert_eq!(known(&cluster), before);
    assert_eq!(cluster.count_events("member_down"), 0);
    cluster.assert_all_reach(&[0, 1, 2]);
    cluster.finish();
}

/// Expects a node to end by itself with exit code 1, and returns the error that it ended with.
#[track_caller]
fn assert_gives_up(node: &mut Node) -> String {
    assert_eq!(node.wait_end(wait::secs(8)), 1, "{}", node.log());
    let said = node.log();
    said.lines().rfind(|line| !line.starts_with('{')).map(str::to_owned).unwrap_or_default()
}

/// Waits until nobody of a cluster counts as joining any more: of two of one identity the joining one has to stop.
#[track_caller]
fn grow_old(cluster: &Cluster) {
    let old = |node: &Node| node.json("status")["uptime_s"].as_u64() > Some(10);
    wait::until(wait::secs(15), "the nodes to be older than 10 s", || cluster.nodes.iter().all(old));
}

/// Runs `work` while the pods of the first two nodes ping each other, and expects no ping to be lost.
#[track_caller]
fn undisturbed<T: Send>(cluster: &Cluster, work: impl FnOnce() -> T + Send) -> T {
    assert_pings(&cluster.pods[0], pod_v4(2));
    std::thread::scope(|scope| {
        let pings = scope.spawn(|| ping_with(&cluster.pods[0], pod_v4(2), "-c 500 -i 0.02 -w 60"));
        let result = work();
        let pings = pings.join().expect("ping ends");
        assert!(pings.all(), "{pings:?}");
        result
    })
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_copy_of_a_nodes_state_stops_and_the_original_goes_on() {
    let cluster = Cluster::start(3);
    let (host, pod) = (cluster.lab.host("copy"), cluster.lab.pod("pod9"));
    let original = &cluster.nodes[1].host;
    let state = |host: &Host| host.dir.join("state").to_str().expect("a path in UTF-8").to_owned();
    run(&["cp", "-a", &state(original), &state(&host)]);
    let config = member(&cluster.lab, cluster.nodes[0].host.v4.into(), &pod, 9);
    grow_old(&cluster);
    let said = undisturbed(&cluster, || {
        let mut copy = Node::spawn(&host, &config);
        let said = assert_gives_up(&mut copy);
        println!("{said}");
        said
    });
    assert!(said.contains(&original.v4.to_string()) && said.contains("state directory"), "{said}");
    // The others may have taken the copy for the node, and then for dead.
    let downs = cluster.nodes.iter().flat_map(|node| events(node, "member_down"));
    let wrong: Vec<_> = downs.filter(|down| down["addr"] != format!("{}:{GOSSIP_PORT}", host.v4)).collect();
    assert_eq!(wrong, [0; 0], "somebody else was called down");
    cluster.settle(wait::secs(2));
    cluster.assert_all_reach(&[0, 1, 2]);
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_node_whose_name_is_taken_stops_and_the_other_goes_on() {
    let cluster = Cluster::start(3);
    let (host, pod) = (cluster.lab.host("same"), cluster.lab.pod("pod9"));
    let host = Host { name: "n2".to_owned(), ..host };
    let config = member(&cluster.lab, cluster.nodes[0].host.v4.into(), &pod, 9);
    grow_old(&cluster);
    let said = undisturbed(&cluster, || {
        let mut second = Node::spawn(&host, &config);
        let said = assert_gives_up(&mut second);
        println!("{said}");
        said
    });
    assert!(said.contains("\"n2\"") && said.contains("10.99.0.2"), "{said}");
    wait::until(wait::secs(8), "the second of the name to be hidden", || {
        cluster.nodes.iter().all(|node| !places(node).contains_key(&9))
    });
    let left = |node: &Node| {
        let peers = node.json("peer")["entries"].as_array().cloned().unwrap_or_default();
        peers.iter().any(|peer| peer["address"] == host.v4.to_string() && peer["left"] == true)
    };
    wait::until(wait::secs(2), "the second to have left, not died", || cluster.nodes.iter().all(left));
    let downs: Vec<_> = cluster.nodes.iter().flat_map(|node| events(node, "member_down")).collect();
    assert_eq!(downs, [0; 0], "a dead node is shown for a day");
    cluster.assert_all_reach(&[0, 1, 2]);
    cluster.finish();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn without_a_place_for_its_state_a_node_says_so_and_tells_nobody_of_itself() {
    let cluster = Cluster::start(2);
    let (host, pod) = (cluster.lab.host("n3"), cluster.lab.pod("pod3"));
    let config = member(&cluster.lab, cluster.nodes[0].host.v4.into(), &pod, 3);
    let state = host.dir.join("state");
    let state = state.to_str().expect("a path in UTF-8");
    count_frames(&cluster.nodes[0].host.ns, "u0", &format!("ip saddr {}", host.v4));
    let read_only = format!("mount -t tmpfs -o ro none {state}");
    let full = format!("mount -t tmpfs -o size=4k none {state} && head -c 1M /dev/zero > {state}/x");
    for (how, said) in [(&read_only, "Read-only"), (&full, "No space")] {
        std::fs::create_dir_all(state).expect("a folder");
        let script = format!("{how}; exec \"$@\"");
        let mut node = Node::spawn_by(&["unshare", "-m", "sh", "-c", &script, "sh"], &host, &config);
        let error = assert_gives_up(&mut node);
        println!("{error}");
        assert!(error.contains(state), "{error}");
        assert_eq!(error.matches(said).count(), 1, "{error}");
    }
    // A place that cannot be, below a file.
    std::fs::remove_dir(state).expect("nothing was written");
    std::fs::write(state, "no folder").expect("written");
    let error = assert_gives_up(&mut Node::spawn(&host, &config));
    println!("{error}");
    assert!(error.contains(state), "{error}");
    assert_eq!(counted(&cluster.nodes[0].host.ns), 0, "it spoke nevertheless");
    // With a place it joins at once.
    std::fs::remove_file(state).expect("the file goes");
    let mut node = Node::start(&host, &config);
    wait::until(wait::secs(5), "the node to be known", || places(&cluster.nodes[1]).contains_key(&3));
    node.stop();
    cluster.finish();
}
