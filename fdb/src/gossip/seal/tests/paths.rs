//! The seal of what probes paths.

use super::*;

fn pair() -> [Gate; 2] {
    let mut gates = [0, 1].map(|n| Gate::for_paths(process(n), mode(&[1])));
    gates[0].trust(process(1)).unwrap();
    gates[1].trust(process(0)).unwrap();
    gates
}

fn sealed(gate: &mut Gate, kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    gate.seal(kind, payload, &mut datagram).unwrap();
    datagram
}

fn open(gate: &mut Gate, datagram: &[u8]) -> Result<Opened, Refusal> {
    let lab = Lab::new(&[]);
    gate.open(datagram, ADDRESS, lab.now, &mut Dice::new(1))
}

#[test]
fn what_is_said_of_paths_is_heard_of_those_who_are_trusted_and_once() {
    let [mut a, mut b] = pair();
    let datagram = sealed(&mut a, Kind::Path, b"probe");
    let Ok(Opened::Message(message)) = open(&mut b, &datagram) else { panic!("not heard") };
    assert_eq!((message.kind, message.sender, &message.payload[..]), (Kind::Path, process(0), &b"probe"[..]));
    assert_eq!(open(&mut b, &datagram), Err(Refusal::Replay));
}

#[test]
fn a_stranger_is_neither_challenged_nor_remembered() {
    let [mut a, mut b] = pair();
    b.forget(process(0).node);
    let datagram = sealed(&mut a, Kind::Path, b"probe");
    assert_eq!(open(&mut b, &datagram), Err(Refusal::Stranger));
    assert_eq!((b.known(process(0).node), b.poll_timeout()), (None, None));
}

#[test]
fn gossip_and_paths_have_different_keys_and_take_nothing_of_each_other() {
    let [mut paths, _] = pair();
    let mut gossip = Gate::new(process(0), mode(&[1]));
    let [one, other] =
        [&mut paths, &mut gossip].map(|gate| sealed(gate, Kind::Membership, b"the same counter"));
    assert_eq!(one[..48], other[..48], "node, boot and counter are the same");
    assert_ne!(one[48..], other[48..]);

    let [_, mut b] = pair();
    assert_eq!(open(&mut b, &other), Err(Refusal::BadTag));
    assert_eq!(open(&mut b, &one), Err(Refusal::UnknownKind { kind: 1 }));
    let mut hears_gossip = Gate::new(process(1), mode(&[1]));
    assert_eq!(open(&mut hears_gossip, &one), Err(Refusal::BadTag));
}

#[test]
fn a_challenge_is_nothing_that_a_gate_for_paths_answers() {
    let [mut a, mut b] = pair();
    let challenge = a.challenge(process(1), Lab::new(&[]).now, &mut Dice::new(1)).unwrap();
    assert_eq!(open(&mut b, &challenge), Err(Refusal::UnknownKind { kind: opener::CONTROL }));
}
