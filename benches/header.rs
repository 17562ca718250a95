//! What one frame's headers cost: tunnel headers both ways, finding the layers, the flow hash, checksums.
//!
//! These are the fixed costs a frame; a checksum is the cost an octet. Run: `cargo bench -p weft-benches --bench header`.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use encap::checksum::Sum;
use encap::inet::Layers;
use encap::{Vni, flow, geneve, vxlan};
use weft_benches::frames::Flow;

const VNI: Vni = Vni::from_octets([0, 1, 2]);

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    tunnel(&mut criterion);
    layers(&mut criterion);
    checksum(&mut criterion);
    criterion.final_summary();
}

/// A Geneve datagram with these many options of one word of data each, none of them critical.
fn with_options(count: u8, frame: &[u8]) -> Vec<u8> {
    let mut header = geneve::encode(VNI);
    header[0] = count * 2; // option octets in words: the option's header and its data
    let options = [0x01, 0x04, 1, 1, 0, 0, 0, 7].repeat(usize::from(count));
    [&header[..], &options, frame].concat()
}

fn tunnel(criterion: &mut Criterion) {
    let frame = Flow::default().frame(1358);
    let mut group = criterion.benchmark_group("tunnel");
    group.bench_function("vxlan/encode", |b| b.iter(|| vxlan::encode(black_box(VNI))));
    group.bench_function("geneve/encode", |b| b.iter(|| geneve::encode(black_box(VNI))));
    let datagram = [&vxlan::encode(VNI)[..], &frame].concat();
    for (name, strict) in [("vxlan/decode", false), ("vxlan/decode strict", true)] {
        assert_eq!(vxlan::decode(&datagram, strict), Ok((VNI, 8)));
        group.bench_function(name, |b| b.iter(|| vxlan::decode(black_box(&datagram), strict)));
    }
    for (name, count) in [("no option", 0), ("1 option", 1), ("31 options", 31)] {
        let datagram = with_options(count, &frame);
        assert_eq!(geneve::decode(&datagram), Ok((VNI, 8 + 8 * usize::from(count))));
        group.bench_function(format!("geneve/decode, {name}"), |b| {
            b.iter(|| geneve::decode(black_box(&datagram)));
        });
    }
    group.finish();
}

fn layers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layers");
    for (name, v6, tcp) in [("v4 udp", false, false), ("v4 tcp", false, true), ("v6 tcp", true, true)] {
        let frame = Flow { v6, tcp, ..Flow::default() }.frame(1000);
        let layers = Layers::of(&frame);
        assert_ne!(layers.transport, 0);
        group.bench_function(format!("of/{name}"), |b| b.iter(|| Layers::of(black_box(&frame))));
        group.bench_function(format!("hash/{name}"), |b| b.iter(|| flow::hash(black_box(&frame), &layers)));
    }
    group.finish();
}

fn checksum(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checksum");
    for octets in [64, 1448, 65_000] {
        let data: Vec<u8> = (0..octets).map(|i| (i % 251) as u8).collect();
        group.throughput(Throughput::Bytes(octets as u64));
        group.bench_function(octets.to_string(), |b| b.iter(|| Sum::of(black_box(&data)).complement()));
    }
    group.finish();
}
