//! What super-frames cost: cutting one into segments, and making one of segments.
//!
//! Octets a second are of whole frames, headers included. Cutting copies the payload and sums it; coalescing only sums
//! it. Run: `cargo bench -p weft-benches --bench segment`.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use encap::Span;
use encap::coalesce::{Coalescer, Offload};
use encap::inet::Layers;
use encap::segment::SuperFrame;
use weft_benches::frames::Flow;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    segment(&mut criterion);
    coalesce(&mut criterion);
    criterion.final_summary();
}

fn segment(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("segment");
    for (name, v6, size) in [("tcp v4, 45 segments", false, 1448), ("tcp v6, 45 segments", true, 1428)] {
        let (vnet, frame) = Flow { v6, tcp: true, ..Flow::default() }.super_frame(45, size);
        let mut head = vec![0; 128];
        group.throughput(Throughput::Bytes(frame.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let whole = SuperFrame::new(black_box(&frame), &vnet).expect("a super-frame");
                for index in 0..whole.segments() {
                    whole.write_head(index, &mut head[..whole.head_len()]);
                }
                black_box(&head);
            });
        });
    }
    group.finish();
}

fn coalesce(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("coalesce");
    let tcp = Flow { tcp: true, ..Flow::default() };
    let cases = [
        ("tcp v4, 43 segments", tcp.segments(43, 1448), 1),
        ("tcp v6, 43 segments", Flow { v6: true, ..tcp }.segments(43, 1428), 1),
        ("udp v4, 128 datagrams of 64 octets", Flow::default().segments(128, 64), 1),
        ("udp v4, 128 datagrams of 128 flows", of_flows(128), 128),
    ];
    for (name, frames, writes) in cases {
        let mut buffer = Vec::new();
        let spans: Vec<Span> = frames
            .iter()
            .map(|frame| {
                buffer.extend_from_slice(frame);
                Span::new(buffer.len() - frame.len(), frame.len())
            })
            .collect();
        let mut coalescer = Coalescer::new(Offload { tcp: true, udp: true });
        let mut run = || {
            for &span in &spans {
                coalescer.push(1, black_box(&buffer), span, &Layers::of(span.of(&buffer)));
            }
            let writes = coalescer.finish().len();
            coalescer.clear();
            writes
        };
        assert_eq!(run(), writes, "{name}");
        group.throughput(Throughput::Bytes(buffer.len() as u64));
        group.bench_function(name, |b| b.iter(&mut run));
    }
    group.finish();
}

/// One small datagram of each of so many flows: nothing can be merged.
fn of_flows(count: u16) -> Vec<Vec<u8>> {
    (0..count).map(|n| Flow { port: 40_000 + n, ..Flow::default() }.frame(64)).collect()
}
