//! Datagrams to mutate: the packets of `tests/data`, which nobody here made.

use std::path::Path;

use serde_json::Value;

use crate::pcap;
use crate::rng::Rng;

/// The tunnel port of a format's name.
const fn port_of(vxlan: bool) -> u16 {
    if vxlan { 4789 } else { 6081 }
}

/// A datagram and the port that it is for.
#[derive(Clone, Debug)]
pub struct Seed {
    /// 4789 or 6081.
    pub port: u16,
    /// The UDP payload.
    pub octets: Vec<u8>,
}

/// All seeds: the labelled payloads as they are, and every captured frame wrapped for network `vni` in both formats.
///
/// # Panics
///
/// When `tests/data` cannot be read.
#[must_use]
pub fn seeds(vni: u32) -> Vec<Seed> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let text = std::fs::read_to_string(data.join("conformance/decap.jsonl")).expect("the labelled payloads");
    let mut seeds: Vec<_> = text.lines().map(labelled).collect();
    let folder = std::fs::read_dir(data.join("inner/tcpdump")).expect("the captured frames");
    let mut files: Vec<_> = folder.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let id = vni.to_be_bytes();
    for file in files {
        for packet in pcap::read(&file).expect("a capture").packets.into_iter().take(4) {
            for (vxlan, mut octets) in [
                (true, vec![8, 0, 0, 0, id[1], id[2], id[3], 0]),
                (false, vec![0, 0, 0x65, 0x58, id[1], id[2], id[3], 0]),
            ] {
                octets.extend(packet.octets.iter().take(1400));
                seeds.push(Seed { port: port_of(vxlan), octets });
            }
        }
    }
    seeds
}

fn labelled(line: &str) -> Seed {
    let case: Value = serde_json::from_str(line).expect("a line of JSON");
    let hex = case["udp_payload"].as_str().expect("a payload");
    let octet = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
    Seed { port: port_of(case["encap"] == "vxlan"), octets: hex.as_bytes().chunks(2).map(octet).collect() }
}

/// Writes a mutation of a random seed into `out`, and returns its port: some octets overwritten, bits flipped, cut
/// short, made longer, or a piece of another seed put in.
pub fn mutate(seeds: &[Seed], rng: &mut Rng, out: &mut Vec<u8>) -> u16 {
    let seed = &seeds[rng.below(seeds.len())];
    out.clear();
    out.extend_from_slice(&seed.octets);
    for _ in 0..=rng.below(4) {
        let length = out.len().max(1);
        // Headers are what decoders read: half of the mutations hit them.
        let reach = if rng.below(2) == 0 { length.min(64) } else { length };
        let at = rng.below(reach);
        match rng.below(6) {
            0 => out.truncate(at),
            1 => out.extend_from_slice(&rng.next_u64().to_le_bytes()),
            2 => {
                let other = &seeds[rng.below(seeds.len())].octets;
                let piece = &other[..other.len().min(1 + rng.below(40))];
                out.splice(at.min(out.len()).., piece.iter().copied());
            }
            3 => out.iter_mut().skip(at).take(2).for_each(|octet| *octet = 0xff),
            _ => {
                if let Some(octet) = out.get_mut(at) {
                    *octet ^= 1 << rng.below(8);
                }
            }
        }
    }
    seed.port
}
