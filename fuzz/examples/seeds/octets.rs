//! What is no sequence: headers, frames, texts, datagrams, hellos.

use std::net::{IpAddr, SocketAddr};

use encap::checksum::Sum;
use encap::relay::{Hops, Relay};
use encap::vnet::{Gso, Unfinished, VnetHeader};
use encap::{Format, MacAddr, Vni, control, geneve, neighbor, vxlan};
use fdb::gossip::frame::encode;
use fdb::gossip::seal::stream::{Callee, Caller};
use fdb::gossip::seal::{Gate, Key, Keyring, Kind};
use fdb::sim::Dice;
use weft::control::protocol::{ErrorReply, FdbTarget, PeerAdd, PortAdd, Reply, Request};
use weft_fuzz::cast::{OTHERS, OWN, mode, process};

use super::{Seed, seed};

const MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 7]);

pub(super) fn all() -> Vec<Seed> {
    [datagrams(), frames(), too_big(), texts(), requests(), sealed(), streams()].concat()
}

fn datagrams() -> Vec<Seed> {
    let vni = Vni::from_octets([0, 0, 100]);
    let frame = tcp(40);
    let origin = SocketAddr::from(([10, 0, 0, 1], 4789)).into();
    let relay = Relay { origin, to: "fd00::3".parse().expect("an address"), hops: Hops::One };
    let option = [1, 2, 3, 1, b'a', b'b', b'c', b'd'];
    let mut optional = [&geneve::encode(vni)[..], &option, &frame].concat();
    optional[0] = 2;
    vec![
        seed("vxlan", "frame", [&vxlan::encode(vni)[..], &frame].concat()),
        seed("geneve", "frame", [&geneve::encode(vni)[..], &frame].concat()),
        seed("geneve", "option", optional),
        seed("geneve", "relay", [&relay.encode(vni)[..], &frame].concat()),
        seed("control", "relay", [&relay.encode(vni)[..], &frame].concat()),
        seed("control", "vxlan", [control::write_head(Format::Vxlan, 48).octets(), &[7; 90]].concat()),
        seed("control", "geneve", [control::write_head(Format::Geneve, 48).octets(), &[7; 90]].concat()),
    ]
}

fn frames() -> Vec<Seed> {
    let (small, large) = (tcp(40), tcp(600));
    let [four, six] = ["10.32.0.5", "fd32::5"].map(|ip| ip.parse::<IpAddr>().expect("an address"));
    let told = [four, six].map(|ip| neighbor::announcement(ip, MAC, false).octets().to_vec());
    let three = |frames: [&[u8]; 3]| {
        let lengths = [frames[0].len(), frames[1].len()].map(|len| u8::try_from(len).expect("a short frame"));
        [&lengths[..], &frames.concat()].concat()
    };
    let vnet = |gso, size| VnetHeader {
        gso: Some((gso, size)),
        unfinished: Some(Unfinished { start: 34, offset: 16 }),
        verified: false,
        header_len: 54,
    };
    let mut udp = large.clone();
    udp[23] = 17;
    vec![
        seed("frame", "tcp", three([&small, &small, &small])),
        seed("frame", "told", three([&told[0], &told[1], &small])),
        seed("super_frame", "tcp", [&vnet(Gso::TcpV4, 100).encode()[..], &large].concat()),
        seed("super_frame", "udp", [&vnet(Gso::Udp, 64).encode()[..], &udp].concat()),
        seed("super_frame", "plain", [&VnetHeader::default().encode()[..], &small].concat()),
    ]
}

/// Frames before which stand a virtio-net header and the MTU of the path.
fn too_big() -> Vec<Seed> {
    let tcp = tcp(600);
    let mut udp = tcp.clone();
    udp[23] = 17;
    let mut fragmented = udp.clone();
    fragmented[20] = 0; // no DF
    fix_ip(&mut udp);
    fix_ip(&mut fragmented);
    let six = [&tcp[..12], &[0x86, 0xdd, 0x60, 0, 0, 0, 2, 108, 6, 64], &[0xfd; 32], &tcp[34..]].concat();
    let mut syn = tcp[..54].to_vec();
    (syn[16], syn[17], syn[46], syn[47]) = (0, 44, 0x60, 2);
    fix_ip(&mut syn);
    syn.extend([2, 4, 5, 180]);
    let plain = VnetHeader::default();
    let whole = VnetHeader {
        gso: Some((Gso::TcpV4, 500)),
        unfinished: Some(Unfinished { start: 34, offset: 16 }),
        verified: false,
        header_len: 54,
    };
    let case = |name, mtu: u16, vnet: VnetHeader, frame: &[u8]| {
        seed("too_big", name, [&mtu.to_be_bytes()[..], &vnet.encode(), frame].concat())
    };
    vec![
        case("tcp", 300, plain, &tcp),
        case("tcp-super", 300, whole, &tcp),
        case("udp", 300, plain, &udp),
        case("udp-fragments", 300, plain, &fragmented),
        case("udp-super", 300, VnetHeader { gso: Some((Gso::Udp, 400)), ..whole }, &fragmented),
        case("ipv6-super", 300, VnetHeader { gso: Some((Gso::TcpV6, 500)), unfinished: None, ..whole }, &six),
        case("syn", 1280, plain, &syn),
    ]
}

/// Writes the right checksum of an IPv4 header without options.
fn fix_ip(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let sum = Sum::of(&frame[14..34]).complement();
    frame[24..26].copy_from_slice(&sum);
}

/// A TCP segment with right checksums.
fn tcp(payload: usize) -> Vec<u8> {
    let total = u16::try_from(40 + payload).expect("a short frame").to_be_bytes();
    let mut frame = [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0][..], &total].concat();
    frame.extend([0, 1, 0x40, 0, 64, 6, 0, 0, 10, 32, 0, 1, 10, 32, 0, 2]);
    fix_ip(&mut frame);
    frame.extend([0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 2, 0, 0, 0, 0, 0]);
    frame.extend((0..payload).map(|n| n as u8));
    let (from, to) = ([10, 32, 0, 1].into(), [10, 32, 0, 2].into());
    let length = u16::try_from(20 + payload).expect("a short frame");
    let sum = Sum::of_addresses(from, to, 6).and_u16(length).and(&frame[34..]).complement();
    frame[50..52].copy_from_slice(&sum);
    frame
}

fn texts() -> Vec<Seed> {
    let mut ring = Keyring::new(Key::new([1; 32]));
    let one = ring.to_text().to_string();
    ring.install(Key::new([2; 32])).expect("another key");
    let commented = format!("# of this cluster\n\n{}   # the new one\r\n", one.trim_end());
    let config = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(|line| line.to_owned() + "\n").collect::<String>()
    };
    vec![
        seed("keyring", "one", &one),
        seed("keyring", "two", ring.to_text().as_bytes()),
        seed("keyring", "commented", commented),
        seed("config", "minimal", config(include_str!("../../../configs/minimal.toml"))),
        seed("config", "gossip", config(include_str!("../../../configs/gossip.toml"))),
        seed("config", "node", config(include_str!("../../../configs/node-a.toml"))),
        seed("config", "peers", config(include_str!("../../../configs/kernel-peer.toml"))),
        seed("config", "full", config(include_str!("../../../configs/full.toml"))),
    ]
}

fn requests() -> Vec<Seed> {
    let port = PortAdd {
        name: "web".into(),
        network: "pods".into(),
        ifname: Some("eth0".into()),
        netns: "pid:7".parse().ok(),
        mac: Some(MAC),
        addresses: "10.32.0.5/12".parse().into_iter().collect(),
        gateway: Some([10, 32, 0, 1].into()),
    };
    let peer =
        PeerAdd { address: "10.0.0.9".into(), networks: vec!["pods".into()], format: None, port: Some(6081) };
    let requests = [
        ("port", Request::PortAdd(port)),
        ("peer", Request::PeerAdd(peer)),
        ("fdb", Request::FdbAdd { mac: MAC, network: "7".into(), at: FdbTarget::Dst([10, 0, 0, 9].into()) }),
        ("show", Request::FdbShow { mac: Some(MAC), network: None }),
        ("status", Request::Status),
    ];
    let line = |(name, request)| seed("request", name, serde_json::to_vec(&request).expect("JSON"));
    let reply = Reply::from(ErrorReply::failed("nothing changed"));
    let mut seeds: Vec<Seed> = requests.into_iter().map(line).collect();
    seeds.push(seed("request", "reply", serde_json::to_vec(&reply).expect("JSON")));
    seeds
}

fn sealed() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (how, insecure) in [("sealed", false), ("insecure", true)] {
        let mut gate = Gate::new(process(OTHERS[0]), mode(insecure));
        let mut bytes = Vec::new();
        gate.seal(Kind::Membership, b"hello", &mut bytes).expect("a short message");
        for known in [0, 4] {
            let first = u8::from(insecure) | known;
            seeds.push(seed("seal", format!("{how}-{known}"), [&[first][..], &bytes].concat()));
        }
        // As much of it as is not made by the target.
        let part = if insecure { &bytes[..bytes.len() - 16] } else { b"hello" };
        for known in [2, 6, 10] {
            let first = u8::from(insecure) | known;
            seeds.push(seed("seal", format!("{how}-made-{known}"), [&[first][..], part].concat()));
        }
    }
    seeds
}

fn streams() -> Vec<Seed> {
    let mut dice = Dice::new(5);
    let mut seeds = Vec::new();
    for insecure in [false, true] {
        let (how, mode, first) =
            (if insecure { "insecure" } else { "sealed" }, mode(insecure), u8::from(insecure));
        let (caller, hello) = Caller::new(process(OTHERS[0]), &mode, &mut dice);
        let (callee, answer) = Callee::new(process(OWN), &mode, &hello, &mut dice).expect("a right hello");
        let (mut here, confirm) = caller.finish(&mode, &answer).expect("a right answer");
        callee.finish(&confirm).expect("a right confirm");
        let mut records = Vec::new();
        here.sealer.seal(b"roster", &mut records).expect("an open stream");
        here.sealer.finish(&mut records).expect("an open stream");
        let parts: [&[u8]; 4] = [&hello, &answer, &confirm, &records];
        for (step, part) in (0..).zip(parts) {
            seeds.push(seed("stream", format!("{how}-{step}"), [&[first | step << 1][..], part].concat()));
        }
    }
    let messages = [&b""[..], b"one", &[7; 300]].map(|message| encode(message).expect("short"));
    seeds.push(seed("frames", "three", [&[9][..], &messages.concat()].concat()));
    seeds.push(seed("frames", "at-once", [&[255][..], &messages.concat()].concat()));
    seeds
}
