//! The seal of datagrams and streams, and what cuts a stream into messages.

use std::time::Duration;

use blake2::{Blake2s256, Digest};
use fdb::gossip::frame::{Frames, encode};
use fdb::gossip::seal::stream::{CONFIRM_OCTETS, Callee, Caller, HELLO_OCTETS, Progress, Stream};
use fdb::gossip::seal::{Gate, Kind, MAX_PAYLOAD, Mode, Opened};
use fdb::sim::Dice;

use super::cast::{OTHERS, OWN, address, mode, process, start};

/// The bits of the first octet.
const INSECURE: u8 = 1;
/// The rest is not a datagram but what is to be sealed; without keys, a datagram whose checksum is to be put right.
const MADE: u8 = 2;
/// Its sender is known.
const KNOWN: u8 = 4;
const REPLICATION: u8 = 8;

/// Octets of a datagram before what is sealed, and of the checksum behind it.
const HEADER: usize = 48;
const TAG: usize = 16;

/// Octets: how, then a datagram or a payload.
pub fn datagram(octets: &[u8]) {
    let Some((how, rest)) = octets.split_first() else { return };
    let (insecure, made) = (how & INSECURE != 0, how & MADE != 0);
    let [mut gate, mut peer] = [OWN, OTHERS[0]].map(|n| Gate::new(process(n), mode(insecure)));
    let (mut dice, mut now) = (Dice::new(1), start());
    if how & KNOWN != 0 {
        gate.trust(process(OTHERS[0])).expect("there is room");
    }
    let bytes = match (made, insecure) {
        (false, _) => rest.to_vec(),
        (true, true) => with_checksum(rest),
        (true, false) => {
            let kind = if how & REPLICATION == 0 { Kind::Membership } else { Kind::Replication };
            let Some(bytes) = sealed(&mut peer, kind, rest) else { return };
            bytes
        }
    };
    let opened = gate.open(&bytes, address(OTHERS[0]), now, &mut dice);
    if made && !insecure {
        assert_eq!(payload_at_last(&mut gate, &mut peer, opened.clone()).as_deref(), Some(rest));
    }
    let again = gate.open(&bytes, address(OTHERS[0]), now, &mut dice);
    assert!(!matches!((opened, again), (Ok(Opened::Message(_)), Ok(Opened::Message(_)))), "taken twice");
    now += Duration::from_secs(1);
    gate.expire(now);
    // Who has the key is heard whatever came before from somebody without it. The corpus has what was sealed first.
    if !insecure {
        let [_, bytes] = [(); 2].map(|()| sealed(&mut peer, Kind::Membership, b"later"));
        let opened = gate.open(&bytes.expect("a short message"), address(OTHERS[0]), now, &mut dice);
        assert!(payload_at_last(&mut gate, &mut peer, opened).is_some());
    }
}

fn sealed(gate: &mut Gate, kind: Kind, payload: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    assert_eq!(gate.seal(kind, payload, &mut bytes).is_ok(), payload.len() <= MAX_PAYLOAD);
    (!bytes.is_empty()).then_some(bytes)
}

/// What was in a datagram, after a challenge if its sender was not known.
fn payload_at_last<E>(gate: &mut Gate, peer: &mut Gate, opened: Result<Opened, E>) -> Option<Vec<u8>> {
    let (mut dice, now) = (Dice::new(2), start());
    match opened.ok()? {
        Opened::Message(message) => Some(message.payload),
        Opened::Challenge { bytes, .. } => {
            let Ok(Opened::Answer { bytes, .. }) = peer.open(&bytes, address(OWN), now, &mut dice) else {
                return None;
            };
            match gate.open(&bytes, address(OTHERS[0]), now, &mut dice) {
                Ok(Opened::Proved { waiting, .. }) => Some(waiting.payload),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A datagram of insecure mode, with the checksum that it must have.
fn with_checksum(octets: &[u8]) -> Vec<u8> {
    let Some((header, plain)) = octets.split_first_chunk::<HEADER>() else { return octets.to_vec() };
    let length = (HEADER as u64).to_be_bytes();
    let hash = Blake2s256::new().chain_update(&header[40..]).chain_update(length).chain_update(header);
    let hash = hash.chain_update(plain).finalize();
    [&header[..], plain, &hash[..TAG]].concat()
}

/// Octets: how, then what comes over a TCP connection: hellos, a confirm, records.
pub fn stream(octets: &[u8]) {
    let Some((how, rest)) = octets.split_first() else { return };
    let mode = mode(how & INSECURE != 0);
    let mut dice = Dice::new(1);
    let (caller, hello) = Caller::new(process(OWN), &mode, &mut dice);
    match how >> 1 & 3 {
        0 => drop(Callee::new(process(OWN), &mode, &padded::<HELLO_OCTETS>(rest), &mut dice)),
        1 => drop(caller.finish(&mode, &padded::<HELLO_OCTETS>(rest))),
        2 => {
            let (callee, _) =
                Callee::new(process(OTHERS[0]), &mode, &hello, &mut dice).expect("a right hello");
            let finished = callee.finish(&padded::<CONFIRM_OCTETS>(rest));
            assert!(finished.is_err() || mode == Mode::Insecure, "a confirm is not to be guessed");
        }
        _ => records(&mode, rest),
    }
}

/// The octets, cut or with zeros behind them.
fn padded<const N: usize>(octets: &[u8]) -> [u8; N] {
    std::array::from_fn(|at| octets.get(at).copied().unwrap_or_default())
}

/// Records that are right, then the octets as records.
fn records(mode: &Mode, octets: &[u8]) {
    let mut dice = Dice::new(1);
    let (caller, hello) = Caller::new(process(OWN), mode, &mut dice);
    let (callee, hello) = Callee::new(process(OTHERS[0]), mode, &hello, &mut dice).expect("a right hello");
    let (mut here, confirm) = caller.finish(mode, &hello).expect("a right answer");
    let mut there = callee.finish(&confirm).expect("a right confirm");
    let mut wire = Vec::new();
    there.sealer.seal(octets, &mut wire).expect("a stream that is open");
    let whole = wire.len();
    wire.extend(octets);
    let (mut at, mut out) = (0, Vec::new());
    while at < whole {
        at += taken(&mut here, &wire[at..], &mut out).expect("records that are right");
    }
    assert_eq!((at, &out[..]), (whole, octets));
    while let Some(taken @ 1..) = taken(&mut here, &wire[at..], &mut out) {
        at += taken;
    }
    assert!(here.opener.end().is_err() || *mode == Mode::Insecure);
}

/// The octets of the next record; `None` where there is none.
fn taken(stream: &mut Stream, input: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let before = out.len();
    match stream.opener.open(input, out) {
        Ok(Progress::Record { taken } | Progress::End { taken }) => {
            assert!(taken <= input.len());
            Some(taken)
        }
        Ok(Progress::Wait { needed }) => {
            assert!(needed > input.len() && out.len() == before);
            None
        }
        Err(_) => {
            assert_eq!(out.len(), before, "nothing of a bad record");
            None
        }
    }
}

/// Octets: how many come at a time, then what comes.
pub fn frames(octets: &[u8]) {
    let Some((size, rest)) = octets.split_first() else { return };
    let mut frames = Frames::default();
    let mut again = Vec::new();
    for part in rest.chunks(usize::from(*size) + 1) {
        frames.push(part);
        loop {
            match frames.next_message() {
                Ok(Some(message)) => again.extend(encode(&message).expect("no longer than it came")),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    assert_eq!(again, rest[..again.len()]);
}
