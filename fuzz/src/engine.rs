//! All of gossip together: what two known members seal or say over streams, in any order, to one node.

use std::time::{Duration, Instant};

use encap::Vni;
use fdb::gossip::engine::{Dropped, Engine, Output, Setup};
use fdb::gossip::identity::Epoch;
use fdb::gossip::members::{self, Members, Refused};
use fdb::gossip::seal::{Gate, Kind, MAX_DATAGRAM, Message, Opened};
use fdb::replica::{self, Key, Record, Replica};
use fdb::sim::Dice;

use super::cast::{OTHERS, OWN, WITNESS, address, member, mode, process, start};
use super::script::{self, Step};

/// Kinds of steps; all others are datagrams of membership.
pub const REPLICATION: u8 = 1;
/// A message over a stream.
pub const STREAM: u8 = 2;
/// Octets that nobody sealed.
pub const RAW: u8 = 3;

/// So many things due at most while one step waits: more would be an end that does not come.
const MAX_WAKES: usize = 20_000;

/// Octets: a [`script`] of datagrams, sealed here, and messages over streams.
pub fn engine(octets: &[u8]) {
    let mut play = Play::new();
    for n in 0..OTHERS.len() {
        play.meet(n);
    }
    for step in script::steps(octets) {
        play.pass(step.wait);
        play.take(&step);
        play.say();
    }
    play.pass(Duration::from_secs(2));
    play.expect_an_answer();
    let said = play.engine.replica().get(process(OWN).node, &Key::VniJoin(vni()));
    assert_eq!(said, Some(Record::VniJoin(vni())), "nobody else takes it back");
}

fn vni() -> Vni {
    Vni::from_octets([0, 0, 100])
}

struct Play {
    engine: Engine,
    others: [Gate; 2],
    /// Reads all that is sent.
    witness: (Gate, Members, Replica),
    now: Instant,
    dice: Dice,
}

impl Play {
    fn new() -> Self {
        let (now, mut dice) = (start(), Dice::new(1));
        let setup = Setup {
            me: process(OWN),
            epoch: Epoch::new(1),
            name: "own".to_owned(),
            addr: address(OWN),
            mode: mode(false),
            members: members::Config::default(),
            replica: replica::Config::default(),
        };
        let mut engine = Engine::new(setup, now, &mut dice);
        engine.put(&Record::VniJoin(vni()), now).expect("a short record");
        let mut gate = Gate::new(process(WITNESS), mode(false));
        gate.trust(process(OWN)).expect("there is room");
        let table = Members::new(members::Config::default(), member(WITNESS), now, 2);
        let witness = (gate, table, super::replica::node(WITNESS, now));
        Self { engine, others: OTHERS.map(|n| Gate::new(process(n), mode(false))), witness, now, dice }
    }

    /// One of the others becomes a member.
    fn meet(&mut self, n: usize) {
        let mut other = Members::new(members::Config::default(), member(OTHERS[n]), self.now, 3);
        other.announce(address(OWN), self.now);
        self.engine.stream_opened(process(OTHERS[n]), &mut self.dice);
        while let Some(members::Output::Send { bytes, .. }) = other.poll_output() {
            self.seal(n, Kind::Membership, &bytes);
        }
        self.say();
        let node = process(OTHERS[n]).node;
        assert!(self.engine.members().member(node).is_some(), "it was taken in");
    }

    fn seal(&mut self, n: usize, kind: Kind, payload: &[u8]) {
        let mut bytes = Vec::new();
        if self.others[n].seal(kind, payload, &mut bytes).is_ok() {
            let taken = self.engine.handle_datagram(&bytes, address(OTHERS[n]), self.now, &mut self.dice);
            assert!(!matches!(taken, Err(Dropped::Rate)), "there are not so many steps");
        }
    }

    fn take(&mut self, step: &Step<'_>) {
        match step.kind {
            REPLICATION => self.seal(step.sender, Kind::Replication, step.message),
            STREAM => {
                let who = process(OTHERS[step.sender]);
                let _ = self.engine.handle_stream(who, step.message, self.now, &mut self.dice);
            }
            RAW => {
                let from = address(OTHERS[step.sender]);
                let taken = self.engine.handle_datagram(step.message, from, self.now, &mut self.dice);
                assert!(taken.is_err(), "nobody sealed it");
            }
            _ => self.seal(step.sender, Kind::Membership, step.message),
        }
    }

    /// Lets time pass, and does what is due.
    fn pass(&mut self, wait: Duration) {
        let until = self.now + wait;
        for _ in 0..MAX_WAKES {
            let due = self.engine.poll_timeout();
            if due > until {
                self.now = until;
                return;
            }
            self.now = due.max(self.now);
            self.engine.handle_timeout(self.now, &mut self.dice);
            self.say();
        }
        panic!("it never sleeps");
    }

    /// What is sent can be opened and read.
    fn say(&mut self) {
        while let Some(output) = self.engine.poll_output(&mut self.dice) {
            if let Output::Datagram { bytes, .. } = output {
                assert!(bytes.len() <= MAX_DATAGRAM);
                let opened = self.witness.0.open(&bytes, address(OWN), self.now, &mut self.dice);
                if let Opened::Message(message) = opened.expect("sealed as it must be") {
                    self.read(&message);
                }
            }
        }
    }

    fn read(&mut self, Message { sender, from, kind, payload }: &Message) {
        let (_, table, replica) = &mut self.witness;
        match kind {
            Kind::Membership => {
                let heard = table.handle_packet(*from, *sender, payload, self.now);
                assert!(!matches!(heard, Err(Refused::Malformed(_))), "{heard:?}: {payload:02x?}");
                while table.poll_output().is_some() {}
            }
            Kind::Replication => {
                let heard = replica.handle_message(sender.node, payload, self.now, &mut self.dice);
                assert_eq!(heard, Ok(()), "{payload:02x?}");
                while replica.poll_output().is_some() {}
            }
            Kind::Path => panic!("no engine of gossip says anything about paths"),
        }
    }

    /// Whatever came before, one with the key who asks whether the node lives has an answer.
    fn expect_an_answer(&mut self) {
        let challenge =
            self.witness.0.challenge(process(OWN), self.now, &mut self.dice).expect("it is known");
        let taken = self.engine.handle_datagram(&challenge, address(WITNESS), self.now, &mut self.dice);
        assert_eq!(taken, Ok(()));
        while let Some(output) = self.engine.poll_output(&mut self.dice) {
            let Output::Datagram { to, bytes } = output else { continue };
            let opened = self.witness.0.open(&bytes, address(OWN), self.now, &mut self.dice);
            if to == address(WITNESS)
                && matches!(opened, Ok(Opened::Alive { who, .. }) if who == process(OWN))
            {
                return;
            }
        }
        panic!("no answer");
    }
}
