//! The whole path of a frame without devices, by frame size, on a host with 100 networks, ports and peers.
//!
//! Outbound is a burst as it is read from one port, through all stages, into the send batch; inbound is a receive buffer
//! of eight messages, through all stages and the coalescer. What is left out is system calls and the kernel. Elements are
//! wire frames. Each case first shows that it drops nothing and allocates nothing. Run:
//! `cargo bench -p weft-benches --bench path`.

use std::hint::black_box;

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use encap::coalesce::{Coalescer, Offload};
use encap::vnet::VnetHeader;
use encap::{Format, Span, vxlan};
use weft::datapath::inbound::{self, Message};
use weft::datapath::lookup::Lookup;
use weft::datapath::outbound::{self, PortState};
use weft_benches::alloc::{self, Counting};
use weft_benches::frames::{Flow, UDP_V4_HEADERS};
use weft_benches::host::{CountingSink, Host, SIZE};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Octets of whole frames.
const SIZES: [usize; 3] = [64, 512, 1400];
/// Payload of a TCP segment with time stamps, where a pod's MTU is 1,450.
const SEGMENT: u16 = 1398;
/// Flows of one port.
const FLOWS: u16 = 4;
/// What one receive call brings: messages, each with octets for the largest datagrams.
const MESSAGES: u16 = 8;
const MESSAGE_OCTETS: usize = 65_536;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let host = Host::new();
    let mut group = criterion.benchmark_group("outbound");
    for size in SIZES {
        let flow = |flow: Flow| (VnetHeader::default(), flow.frame(size - UDP_V4_HEADERS));
        bench_outbound(
            &mut group,
            &host,
            &size.to_string(),
            &Burst { ports: SIZE, frames: 64, worth: 1, make: &flow },
        );
    }
    let super_frame = |flow: Flow| Flow { tcp: true, ..flow }.super_frame(46, SEGMENT);
    bench_outbound(
        &mut group,
        &host,
        "64 KiB tcp",
        &Burst { ports: 2, frames: 4, worth: 46, make: &super_frame },
    );
    group.finish();
    let mut group = criterion.benchmark_group("inbound");
    for size in SIZES {
        let flow = |flow: Flow| vec![flow.frame(size - UDP_V4_HEADERS); 16];
        bench_inbound(&mut group, &host, &size.to_string(), &flow);
    }
    let segments = |flow: Flow| Flow { tcp: true, ..flow }.segments(44, SEGMENT);
    bench_inbound(&mut group, &host, "64 KiB tcp", &segments);
    group.finish();
    criterion.final_summary();
}

/// A frame or super-frame of a port.
type Frame = (VnetHeader, Vec<u8>);

/// What one read burst of a port holds.
struct Burst<'a> {
    /// Ports that take turns: few where frames are large, because a worker reads all into one buffer, which is in its
    /// cache.
    ports: u16,
    frames: usize,
    /// Wire frames a frame.
    worth: u64,
    make: &'a dyn Fn(Flow) -> Frame,
}

/// All ports of a host with something to send, taking turns.
struct Outgoing<'a> {
    host: &'a Host,
    ports: Vec<(PortState, Vec<Frame>)>,
    next: usize,
    frames: usize,
    lookup: Lookup,
    sink: CountingSink,
}

impl<'a> Outgoing<'a> {
    fn new(host: &'a Host, burst: &Burst<'_>) -> Self {
        let port = |network| {
            let (id, view) = host.port(network);
            let flow = |n| {
                let (dst, src) = (Host::remote_mac(network, n), Host::local_mac(network));
                (burst.make)(Flow { dst, src, port: 40_000 + n, ..Flow::default() })
            };
            (PortState::new(id, view, host.context().now), (0..FLOWS).map(flow).collect())
        };
        Self {
            host,
            ports: (0..burst.ports).map(port).collect(),
            next: 0,
            frames: burst.frames,
            lookup: Lookup::new(host.shared().clone()),
            sink: CountingSink::default(),
        }
    }

    /// One burst of the next port.
    fn burst(&mut self) {
        self.next = (self.next + 1) % self.ports.len();
        let (state, frames) = &mut self.ports[self.next];
        let cx = self.host.context();
        for n in 0..self.frames {
            let (vnet, frame) = &mut frames[n * usize::from(FLOWS) / self.frames];
            outbound::handle_frame(
                &cx,
                &mut self.lookup,
                state,
                (vnet, Span::new(0, frame.len()), frame),
                &mut self.sink,
            );
        }
        self.sink.flush();
    }

    /// One burst of each port.
    fn round(&mut self) {
        (0..self.ports.len()).for_each(|_| self.burst());
    }
}

/// What is known is not told again, but for addresses that displace each other: three of them in one set of the flow
/// cache, which hashes with a random seed.
fn assert_quiet(name: &str, events: u64, frames: u64) {
    assert!(events * 50 <= frames, "{name}: {events} events in {frames} frames");
}

fn bench_outbound(group: &mut BenchmarkGroup<'_, WallTime>, host: &Host, name: &str, burst: &Burst<'_>) {
    let mut out = Outgoing::new(host, burst);
    // Once round, so that every list and every answer has its memory.
    out.round();
    let (before, told) = (out.sink.datagrams, out.sink.events);
    let allocations = alloc::during(|| out.round());
    let wire_frames = burst.frames as u64 * burst.worth;
    assert_eq!(out.sink.datagrams - before, u64::from(burst.ports) * wire_frames, "{name}: datagrams");
    assert_eq!((allocations, out.sink.dropped), (0, 0), "{name}: allocations, drops");
    assert_quiet(name, out.sink.events - told, u64::from(burst.ports) * burst.frames as u64);
    let octets = out.ports[0].1[0].1.len() * burst.frames;
    group.throughput(Throughput::ElementsAndBytes { elements: wire_frames, bytes: octets as u64 });
    group.bench_function(name, |b| b.iter(|| out.burst()));
}

/// A full receive buffer and what a worker has to empty it.
struct Incoming<'a> {
    host: &'a Host,
    buffer: Vec<u8>,
    messages: Vec<Message>,
    lookup: Lookup,
    coalescer: Coalescer,
    sink: CountingSink,
}

impl<'a> Incoming<'a> {
    fn new(host: &'a Host, frames: &dyn Fn(Flow) -> Vec<Vec<u8>>) -> Self {
        let (buffer, messages) = receive_buffer(frames);
        let coalescer = Coalescer::new(Offload { tcp: true, udp: true });
        let lookup = Lookup::new(host.shared().clone());
        Self { host, buffer, messages, lookup, coalescer, sink: CountingSink::default() }
    }

    /// Takes all messages; returns how many writes came of it, and how many frames are in them.
    fn batch(&mut self) -> (usize, usize) {
        let cx = self.host.context();
        for message in &self.messages {
            let received = (message, &mut self.buffer[..]);
            inbound::handle_message(&cx, &mut self.lookup, &mut self.coalescer, received, &mut self.sink);
        }
        let writes = self.coalescer.finish();
        let shape = (writes.len(), writes.iter().map(|write| write.frames() as usize).sum::<usize>());
        black_box(writes);
        self.coalescer.clear();
        shape
    }
}

fn bench_inbound(
    group: &mut BenchmarkGroup<'_, WallTime>,
    host: &Host,
    name: &str,
    frames: &dyn Fn(Flow) -> Vec<Vec<u8>>,
) {
    let mut incoming = Incoming::new(host, frames);
    let datagrams: usize = incoming.messages.iter().map(|message| message.len / message.stride).sum();
    let octets: usize = incoming.messages.iter().map(|message| message.len).sum::<usize>() - datagrams * 8;
    // What comes in one message is of one flow, and leaves in one write.
    assert_eq!(incoming.batch(), (incoming.messages.len(), datagrams), "{name}: writes and frames");
    let told = incoming.sink.events;
    let allocations = alloc::during(|| {
        for _ in 0..100 {
            incoming.batch();
        }
    });
    assert_eq!((allocations, incoming.sink.dropped), (0, 0), "{name}: allocations, drops");
    assert_quiet(name, incoming.sink.events - told, 100 * datagrams as u64);
    group.throughput(Throughput::ElementsAndBytes { elements: datagrams as u64, bytes: octets as u64 });
    group.bench_function(name, |b| b.iter(|| incoming.batch()));
}

/// A receive buffer as the kernel fills it: each message holds the datagrams of one flow from one peer.
fn receive_buffer(frames: &dyn Fn(Flow) -> Vec<Vec<u8>>) -> (Vec<u8>, Vec<Message>) {
    let mut buffer = vec![0; usize::from(MESSAGES) * MESSAGE_OCTETS];
    let messages = (0..MESSAGES).map(|n| {
        // Different networks, so that no two messages are for one port.
        let network = n * (SIZE / MESSAGES);
        let start = usize::from(n) * MESSAGE_OCTETS;
        let (dst, src) = (Host::local_mac(network), Host::remote_mac(network, n));
        let frames = frames(Flow { dst, src, port: 40_000 + n, ..Flow::default() });
        let stride = frames[0].len() + 8;
        let mut at = start;
        for frame in &frames {
            buffer[at..at + 8].copy_from_slice(&vxlan::encode(Host::vni(network)));
            buffer[at + 8..at + stride].copy_from_slice(frame);
            at += stride;
        }
        let from = Host::vtep(network, n).ip();
        Message { from, format: Format::Vxlan, start, len: at - start, stride, tos: 0 }
    });
    let messages = messages.collect();
    (buffer, messages)
}
