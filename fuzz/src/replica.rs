//! The replicated part of the FDB: messages of two nodes in any order.

use std::time::{Duration, Instant};

use encap::Vni;
use fdb::gossip::identity::{Epoch, NodeId};
use fdb::replica::{Config, Key, MAX_CHUNK, MAX_DATAGRAM, Output, Record, Replica};
use fdb::sim::Dice;

use super::cast::{OTHERS, OWN, WITNESS, process, start};
use super::script;

/// Kinds of steps: what is done instead of taking a message.
pub const DOWN: u8 = 1;
/// A node is up in the epoch that the first octet of the message says.
pub const UP: u8 = 2;

/// As for membership.
const MAX_WAKES: usize = 20_000;

/// A node that has said something.
#[must_use]
pub fn node(n: u8, now: Instant) -> Replica {
    let mut replica = Replica::new((process(n).node, Epoch::new(1)), Config::default(), now);
    let others = (0..=WITNESS).filter(|other| *other != n);
    others.for_each(|other| replica.member_up(process(other).node, Epoch::new(1), now));
    replica.put(&Record::VniJoin(vni()), now).expect("a short record");
    replica
}

fn vni() -> Vni {
    Vni::from_octets([0, 0, 100])
}

/// Octets: a [`script`] of messages.
pub fn replica(octets: &[u8]) {
    let now = start();
    let mut play = Play { own: node(OWN, now), witness: node(WITNESS, now), now, dice: Dice::new(1) };
    for step in script::steps(octets) {
        play.pass(step.wait);
        let sender = process(OTHERS[step.sender]).node;
        match step.kind {
            DOWN => play.own.member_down(sender, play.now),
            UP => {
                let epoch = step.message.first().copied().unwrap_or_default();
                play.own.member_up(sender, Epoch::new(epoch.into()), play.now);
            }
            _ => drop(play.own.handle_message(sender, step.message, play.now, &mut play.dice)),
        }
        play.say();
    }
    play.pass(Duration::from_secs(2));
    let said = play.own.get(process(OWN).node, &Key::VniJoin(vni()));
    assert_eq!(said, Some(Record::VniJoin(vni())), "nobody else takes it back");
    for origin in (OWN..=WITNESS).map(|n| process(n).node) {
        let records = play.own.records(origin);
        records.for_each(|r| assert_eq!(play.own.get(origin, &r.key()), Some(r), "one key, one name"));
    }
}

struct Play {
    own: Replica,
    witness: Replica,
    now: Instant,
    dice: Dice,
}

impl Play {
    /// Lets time pass, and does what is due.
    fn pass(&mut self, wait: Duration) {
        let until = self.now + wait;
        for _ in 0..MAX_WAKES {
            let due = self.own.poll_timeout();
            if due > until {
                self.now = until;
                return;
            }
            self.now = due.max(self.now);
            self.own.handle_timeout(self.now, &mut self.dice);
            self.say();
        }
        panic!("it never sleeps");
    }

    /// What is sent can be read, and what is reported can be said.
    fn say(&mut self) {
        while let Some(output) = self.own.poll_output() {
            let bytes = match output {
                Output::Send { bytes, .. } => {
                    assert!(bytes.len() <= MAX_DATAGRAM);
                    bytes
                }
                Output::Stream { bytes, .. } => {
                    assert!(bytes.len() <= MAX_CHUNK);
                    bytes
                }
                Output::Changed { key, new, .. } => {
                    new.iter().for_each(|record| self.repeat(&key, record));
                    continue;
                }
                Output::EpochRaised(_) => continue,
            };
            let heard = self.witness.handle_message(process(OWN).node, &bytes, self.now, &mut self.dice);
            assert_eq!(heard, Ok(()), "{bytes:02x?}");
            while self.witness.poll_output().is_some() {}
        }
    }

    /// A record that was decoded is one that can be encoded.
    fn repeat(&self, key: &Key, record: &Record) {
        let mut other = Replica::new((NodeId::new(99), Epoch::new(1)), Config::default(), self.now);
        other.put(record, self.now).expect("it came in a message");
        assert_eq!((&record.key(), other.get(NodeId::new(99), key).as_ref()), (key, Some(record)));
    }
}
