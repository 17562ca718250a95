//! Sequences that were really said: three nodes speak, and what two of them send to the first is written down.

use std::time::{Duration, Instant};

use encap::{Format, MacAddr, Vni, VtepAddr};
use fdb::gossip::identity::Epoch;
use fdb::gossip::members::{Config, Members, Output};
use fdb::gossip::seal::MAX_PAYLOAD;
use fdb::replica::{self, MacRecord, NodeInfo, Record, Replica, VtepRecord};
use fdb::sim::Dice;
use weft_fuzz::cast::{OTHERS, OWN, address, member, process, start};
use weft_fuzz::engine::{REPLICATION, STREAM};
use weft_fuzz::members::ROSTER;
use weft_fuzz::script::Step;

use super::{MAX_FILE, Seed, seed};

/// What is before a replica's message over a stream, and before a roster.
const OVER_STREAM: u8 = 4;
const ROSTER_OVER_STREAM: u8 = 2;

pub(super) fn all() -> Vec<Seed> {
    let (packets, rosters) = membership();
    let records = replication();
    let over_stream = |kind: u8, said: &[Said]| -> Vec<Said> {
        said.iter().map(|said| Said { message: [&[kind][..], &said.message].concat(), ..*said }).collect()
    };
    let streamed = over_stream(OVER_STREAM, &records);
    let rosters_streamed = over_stream(ROSTER_OVER_STREAM, &rosters);
    [
        scripts("members", "packets", 0, &packets),
        scripts("members", "rosters", ROSTER, &rosters),
        scripts("replica", "messages", 0, &records),
        scripts("engine", "packets", 0, &packets),
        scripts("engine", "messages", REPLICATION, &records),
        scripts("engine", "stream-messages", STREAM, &streamed),
        scripts("engine", "stream-rosters", STREAM, &rosters_streamed),
    ]
    .concat()
}

/// A message to the first node.
#[derive(Clone)]
pub(super) struct Said {
    pub(super) sender: usize,
    pub(super) at: Duration,
    pub(super) message: Vec<u8>,
}

/// Up to four files of as many messages as fit.
pub(super) fn scripts(target: &'static str, name: &str, kind: u8, said: &[Said]) -> Vec<Seed> {
    let mut files: Vec<Vec<u8>> = vec![Vec::new()];
    let mut last = Duration::ZERO;
    for Said { sender, at, message } in said.iter().filter(|said| said.message.len() <= MAX_PAYLOAD + 1) {
        let full = files.last().is_none_or(|file| file.len() + message.len() + 4 > MAX_FILE);
        if full && files.len() == 4 {
            break;
        }
        if full {
            files.push(Vec::new());
        }
        if let Some(file) = files.last_mut() {
            Step { sender: *sender, kind, wait: at.saturating_sub(last), message }.write(file);
        }
        last = *at;
    }
    (1..).zip(files).map(|(n, file): (u32, _)| seed(target, format!("{name}-{n}"), file)).collect()
}

/// A cluster comes up, one leaves.
fn membership() -> (Vec<Said>, Vec<Said>) {
    let begin = start();
    let mut nodes =
        [OWN, OTHERS[0], OTHERS[1]].map(|n| Members::new(Config::default(), member(n), begin, n.into()));
    nodes[1].announce(address(OWN), begin);
    nodes[2].announce(address(OTHERS[0]), begin);
    let (mut packets, mut rosters) = (Vec::new(), Vec::new());
    let mut now = begin;
    for tick in 0..150 {
        nodes.iter_mut().for_each(|node| node.handle_timeout(now));
        if tick == 140 {
            rosters.extend((0..2).map(|sender| Said {
                sender,
                at: now - begin,
                message: nodes[sender + 1].roster(),
            }));
            nodes[2].leave(now);
        }
        while let Some((from, output)) = (0..3).find_map(|n| Some((n, nodes[n].poll_output()?))) {
            let Output::Send { to, bytes } = output else { continue };
            let Some(at) = (0..3).find(|n| address(*n) == to) else { continue };
            let number = u8::try_from(from).unwrap_or(u8::MAX);
            let _ = nodes[usize::from(at)].handle_packet(address(number), process(number), &bytes, now);
            if at == OWN {
                packets.push(Said { sender: from - 1, at: now - begin, message: bytes });
            }
        }
        now += Duration::from_millis(20);
    }
    (packets, rosters)
}

/// Two nodes say one record of each kind, and take one back; the first node knows nothing and asks.
fn replication() -> Vec<Said> {
    let begin = start();
    let mut nodes = [OWN, OTHERS[0], OTHERS[1]].map(|n| fresh(n, begin));
    for (sender, node) in nodes[1..].iter_mut().enumerate() {
        for record in records(sender) {
            node.put(&record, begin).expect("a short record");
        }
    }
    let mut dice = Dice::new(3);
    let (mut said, mut now) = (Vec::new(), begin);
    for tick in 0..200 {
        if tick == 100 {
            nodes[1].remove(&records(0)[2].key(), now);
        }
        nodes.iter_mut().for_each(|node| node.handle_timeout(now, &mut dice));
        while let Some((from, output)) = (0..3).find_map(|n| Some((n, nodes[n].poll_output()?))) {
            let (replica::Output::Send { to, bytes } | replica::Output::Stream { to, bytes }) = output else {
                continue;
            };
            let Some(at) = (0..3).find(|n| process(*n).node == to) else { continue };
            let sender = process(u8::try_from(from).unwrap_or(u8::MAX)).node;
            nodes[usize::from(at)].handle_message(sender, &bytes, now, &mut dice).expect("a right message");
            if at == OWN {
                said.push(Said { sender: from - 1, at: now - begin, message: bytes });
            }
        }
        now += Duration::from_millis(20);
    }
    said
}

fn fresh(n: u8, now: Instant) -> Replica {
    let mut node = Replica::new((process(n).node, Epoch::new(1)), replica::Config::default(), now);
    let others = (OWN..=OTHERS[1]).filter(|other| *other != n);
    others.for_each(|other| node.member_up(process(other).node, Epoch::new(1), now));
    node
}

fn records(sender: usize) -> [Record; 5] {
    let n = OTHERS[sender];
    let vni = Vni::from_octets([0, 0, 100]);
    let dst = VtepAddr::new([10, 0, 0, 90 + n].into(), 4789);
    let info = NodeInfo {
        v4: Some([10, 0, 0, n + 1].into()),
        v6: Some("fd00::7".parse().expect("an address")),
        vxlan_port: 4789,
        geneve_port: 6081,
        format: Format::Geneve,
        name: format!("node-{n}"),
        version: "0.1.0".to_owned(),
        boot: process(n).boot,
    };
    let mac = MacRecord {
        vni,
        mac: MacAddr::new([2, 0, 0, 0, 0, n]),
        ips: vec![[10, 32, 0, n].into(), "fd32::9".parse().expect("an address")],
        dst: Some(dst),
        mob_seq: 3,
        is_static: true,
        router: true,
    };
    let vtep = VtepRecord { at: dst, format: Format::Vxlan, vnis: vec![vni, Vni::MAX] };
    let opaque = Record::Opaque { kind: 9, key: Box::from(*b"later"), value: Box::from(*b"something") };
    [Record::NodeInfo(info), Record::VniJoin(vni), Record::Mac(mac), Record::Vtep(vtep), opaque]
}
