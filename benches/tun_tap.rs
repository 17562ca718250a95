//! What offloads buy: a bulk TCP stream between two pods on two hosts, over weft and over the plain way.
//!
//! The plain way is the `tun-tap` crate, one read, one datagram and one write a frame, with two threads a host. Against
//! it stand weft's own worker with all offloads, and the same worker without any; it has one thread a host. Printed are
//! the throughput and the CPU time of the process, which holds both ends of the stream and both hosts, for each GB; the
//! last column is the throughput as a multiple of the plain way. Needs root; everything happens in network namespaces of
//! its own. Run: `cargo bench -p weft-benches --bench tun_tap`.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::bounded;
use encap::coalesce::Offload;
use encap::tunnel::HEADER_LEN;
use encap::{Format, MacAddr, Mtu, Vni, vxlan};
use fdb::{Limits, Location, Shared, Table};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::time::{ClockId, clock_gettime};
use weft::clock;
use weft::counters::{PaddedCounters, Totals};
use weft::datapath::worker::{Attached, Parts, Polling, Update, Worker};
use weft::io::link::{LinkSetup, Links};
use weft::io::netns::{self, Netns, run_in};
use weft::io::poll::Waker;
use weft::io::tap::{self, Tap, Wanted};
use weft::io::udp::{self, Receiver, SendSockets};
use weft::topology::Topology;
use weft_benches::host::{add_network, add_peer, add_port};
use weft_benches::is_test;

const VNI: Vni = Vni::from_octets([0, 0, 100]);
const PORT: u16 = vxlan::PORT;
/// The underlay's MTU is 1,500.
const POD_MTU: u32 = 1450;
const SOURCE_PORTS: u16 = 16;

fn main() -> ExitCode {
    // `cargo bench` passes a filter for all benches; this one has one case.
    if !rustix::process::geteuid().is_root() {
        eprintln!(
            "tun_tap: nothing measured, because TAPs and network namespaces need root; run it with sudo"
        );
        return if is_test() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    match compare() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tun_tap: the comparison stopped: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare() -> io::Result<()> {
    let all = measure(|world| world.start_weft(true))?;
    let none = measure(|world| world.start_weft(false))?;
    // Last, because its threads wait in system calls for ever: they end with the process.
    let plain = measure(World::start_plain)?;
    println!("one TCP stream            Gbit/s   x plain   CPU s a GB   frames a message   frames a write");
    for (name, result) in [("tun-tap, plain", &plain), ("weft without offloads", &none), ("weft", &all)] {
        let (gbit, ratio) = (result.gbit_per_s, result.gbit_per_s / plain.gbit_per_s);
        let (cpu, [message, write]) = (result.cpu_s_per_gb, result.batching);
        println!("{name:<24} {gbit:>7.2} {ratio:>9.1} {cpu:>12.2} {message:>18.1} {write:>16.1}");
    }
    Ok(())
}

struct Measured {
    gbit_per_s: f64,
    cpu_s_per_gb: f64,
    batching: [f64; 2],
}

/// Two hosts joined by a veth pair, and a pod on each.
struct World {
    hosts: [Netns; 2],
    pods: [Netns; 2],
}

/// What ends the forwarding of both hosts when it is dropped.
#[derive(Default)]
struct Forwarding {
    updates: Vec<(crossbeam_channel::Sender<Update>, Arc<Waker>)>,
    workers: Vec<JoinHandle<io::Result<()>>>,
    counters: Vec<Arc<PaddedCounters>>,
}

impl Forwarding {
    /// Wire frames in a message of the underlay, and in a write to a port; one where nobody counts.
    fn batching(&self) -> [f64; 2] {
        if self.counters.is_empty() {
            return [1.0; 2];
        }
        let totals = Totals::of(self.counters.iter().map(|counters| &***counters));
        let ratio = |frames: u64, calls: u64| frames as f64 / calls.max(1) as f64;
        let (ledger, batching) = (totals.ledger, totals.batching);
        [
            ratio(ledger.delivered_to_underlay, batching.udp_sends),
            ratio(ledger.delivered_to_ports, batching.tap_writes),
        ]
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        for (updates, waker) in self.updates.drain(..) {
            drop(updates);
            waker.wake();
        }
        for worker in self.workers.drain(..) {
            if !matches!(worker.join(), Ok(Ok(()))) {
                eprintln!("tun_tap: a worker failed; the numbers mean nothing");
            }
        }
    }
}

fn underlay(host: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1 + host as u8))
}

fn pod(host: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 88, 0, 1 + host as u8))
}

fn mac(host: usize) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, 1 + host as u8])
}

fn mtu(octets: u32) -> io::Result<Mtu> {
    Mtu::new(octets).map_err(io::Error::other)
}

fn network(ip: IpAddr) -> io::Result<ipnet::IpNet> {
    ipnet::IpNet::new(ip, 24).map_err(io::Error::other)
}

/// Sets up a link of the calling thread's namespace.
fn set_up(name: &str, setup: &LinkSetup) -> io::Result<()> {
    let links = Links::open()?;
    let link = links.by_name(name)?.ok_or(io::ErrorKind::NotFound)?;
    links.configure(link.index, setup)
}

impl World {
    fn new() -> io::Result<Self> {
        let namespace = || thread::spawn(netns::enter_new).join().map_err(|_| io::Error::other("a panic"))?;
        let world = Self { hosts: [namespace()?, namespace()?], pods: [namespace()?, namespace()?] };
        run_in(&world.hosts[0], || {
            Links::open()?.create_veth(("u0", &world.hosts[0]), ("u1", &world.hosts[1]))
        })?;
        for (host, name) in world.hosts.iter().zip(["u0", "u1"]) {
            let ip = underlay(usize::from(name == "u1"));
            let up = LinkSetup { up: true, ..LinkSetup::default() };
            let setup = LinkSetup { addresses: vec![network(ip)?], ..up.clone() };
            // The loopback interface is what the segmentation offload is tried on.
            run_in(host, || set_up("lo", &up).and_then(|()| set_up(name, &setup)))?;
        }
        Ok(world)
    }

    /// Two threads a host: one frame, one datagram.
    fn start_plain(&self) -> io::Result<Forwarding> {
        for host in 0..2 {
            let tap = Arc::new(run_in(&self.pods[host], || plain_tap(host))?);
            let socket = run_in(&self.hosts[host], || {
                let socket = UdpSocket::bind((underlay(host), PORT))?;
                socket.connect((underlay(1 - host), PORT))?;
                // As large as weft's, so that the difference is not one of losses.
                set_socket_recv_buffer_size_force(&socket, 8 << 20)?;
                Ok(socket)
            })?;
            let (tap_in, socket_in) = (Arc::clone(&tap), socket.try_clone()?);
            thread::spawn(move || -> io::Result<()> {
                let mut buffer = [0; 2048];
                buffer[..HEADER_LEN].copy_from_slice(&vxlan::encode(VNI));
                loop {
                    let len = tap.recv(&mut buffer[HEADER_LEN..])?;
                    // A full queue loses a frame, as any network does.
                    let _ = socket.send(&buffer[..HEADER_LEN + len]);
                }
            });
            thread::spawn(move || -> io::Result<()> {
                let mut buffer = [0; 2048];
                loop {
                    let len = socket_in.recv(&mut buffer)?;
                    if let Ok((VNI, at)) = vxlan::decode(&buffer[..len], false) {
                        tap_in.send(&buffer[at..len])?;
                    }
                }
            });
        }
        Ok(Forwarding::default())
    }

    /// One worker a host.
    fn start_weft(&self, offloads: bool) -> io::Result<Forwarding> {
        let mut forwarding = Forwarding::default();
        for host in 0..2 {
            let setup = tap::Setup {
                ifname: "pod0",
                mac: Some(mac(host)),
                mtu: mtu(POD_MTU)?,
                addresses: &[network(pod(host))?],
                gateway: None,
                wanted: Wanted { tso: offloads, uso: offloads },
            };
            let (tap, _) = Tap::open(Some(&self.pods[host]), &setup)?;
            let (receiver, sockets, segments) = run_in(&self.hosts[host], || {
                let address = SocketAddr::new(underlay(host), PORT);
                let receiver = Receiver::bind(address, 1, offloads).map_err(io::Error::other)?.remove(0);
                let sockets = SendSockets::bind(&[underlay(host)], SOURCE_PORTS)?;
                Ok((receiver, sockets, if offloads { udp::probe_segments(128, underlay(host)) } else { 0 }))
            })?;
            let (topology, shared, taps) = knowledge(host, tap)?;
            let (updates, taken) = bounded(1);
            let waker = Arc::new(Waker::new()?);
            let counters = Arc::new(PaddedCounters::default());
            forwarding.counters.push(Arc::clone(&counters));
            let worker = Worker::new(Parts {
                index: 0,
                counters,
                shared,
                receivers: vec![(Format::Vxlan, receiver)],
                sockets: Arc::new(sockets),
                source_ports: SOURCE_PORTS,
                segments,
                offload: Offload { tcp: offloads, udp: offloads },
                polling: Polling::Adaptive,
                run_first: false,
                updates: taken,
                events: bounded(64).0,
                control: None,
                waker: Arc::clone(&waker),
            })?;
            let knowledge = Update::Topology { topology, taps };
            updates.send(knowledge).map_err(|_| io::Error::other("the worker ended"))?;
            forwarding.updates.push((updates, waker));
            forwarding.workers.push(thread::spawn(move || worker.run()));
        }
        Ok(forwarding)
    }
}

/// A TAP of the `tun-tap` crate in the calling thread's namespace.
fn plain_tap(host: usize) -> io::Result<tun_tap::Iface> {
    let tap = tun_tap::Iface::without_packet_info("pod0", tun_tap::Mode::Tap)?;
    let setup = LinkSetup {
        mtu: Some(mtu(POD_MTU)?),
        mac: Some(mac(host)),
        txqueuelen: Some(8000), // as weft sets it
        addresses: vec![network(pod(host))?],
        up: true,
        ..LinkSetup::default()
    };
    set_up("pod0", &setup)?;
    Ok(tap)
}

type Taps = HashMap<encap::PortId, Attached>;

/// What a host's worker knows: one network, its pod and the other host's.
fn knowledge(host: usize, tap: Tap) -> io::Result<(Arc<Topology>, Arc<Shared>, Arc<Taps>)> {
    let (mut topology, shared) = (Topology::default(), Arc::new(Shared::new()));
    let network = add_network(&mut topology, VNI);
    let port = add_port(&mut topology, network);
    let peer = SocketAddr::new(underlay(1 - host), PORT).into();
    add_peer(&mut topology, peer, vec![network]);
    let mut table = Table::new(Limits::default(), Arc::clone(&shared));
    table.set_network(VNI, 16, Duration::ZERO);
    table.add_static(VNI, mac(host), Location::Local(port)).map_err(io::Error::other)?;
    table.add_static(VNI, mac(1 - host), Location::Remote(peer)).map_err(io::Error::other)?;
    let attached = Attached { tap: Arc::new(tap), counters: Arc::default() };
    Ok((Arc::new(topology), shared, Arc::new([(port, attached)].into())))
}

/// The CPU time that this process has used.
fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// Streams from the first pod to the second for a while.
fn measure(start: impl FnOnce(&World) -> io::Result<Forwarding>) -> io::Result<Measured> {
    let duration = Duration::from_millis(if is_test() { 500 } else { 5000 });
    let world = World::new()?;
    let forwarding = start(&world)?;
    let listener = run_in(&world.pods[1], || TcpListener::bind((pod(1), 5201)))?;
    let receiver = thread::spawn(move || -> io::Result<u64> {
        let (mut stream, _) = listener.accept()?;
        let mut buffer = vec![0; 1 << 18];
        let mut total = 0;
        loop {
            match stream.read(&mut buffer)? {
                0 => return Ok(total),
                len => total += len as u64,
            }
        }
    });
    let to = SocketAddr::new(pod(1), 5201);
    let mut stream = run_in(&world.pods[0], || TcpStream::connect_timeout(&to, Duration::from_secs(10)))?;
    let (wall_before, cpu_before) = (clock::now(), cpu());
    let data = vec![0; 1 << 18];
    while clock::now() - wall_before < duration {
        stream.write_all(&data)?;
    }
    drop(stream);
    let octets = receiver.join().map_err(|_| io::Error::other("a panic"))?? as f64;
    let (wall, cpu) = (clock::now() - wall_before, cpu() - cpu_before);
    let batching = forwarding.batching();
    drop(forwarding);
    Ok(Measured {
        gbit_per_s: octets * 8e-9 / wall.as_secs_f64(),
        cpu_s_per_gb: cpu.as_secs_f64() / (octets * 1e-9),
        batching,
    })
}
