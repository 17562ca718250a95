//! A node that joins a cluster where much is known already.

use std::time::{Duration, Instant};

use super::{Dice, record};
use crate::gossip::identity::{Epoch, NodeId};
use crate::replica::{Config, Output, Replica};

const JOINER: NodeId = NodeId::new(1 << 100);
const SERVER: NodeId = NodeId::new(1 << 101);
const FIRST: Epoch = Epoch::new(1);
/// Time between two looks at what there is to send.
const STEP: Duration = Duration::from_millis(20);
/// Then it is given up.
const STEPS: usize = 6000;

/// One node that knows all, and one that knows nothing yet.
///
/// # Examples
///
/// ```
/// use std::time::Instant;
///
/// # #[allow(clippy::disallowed_methods)]
/// let mut join = fdb::sim::Join::prepare(5, 20, Instant::now());
/// assert_eq!(join.joiner().entries(), 0);
/// join.run().expect("it ends");
/// assert_eq!(join.joiner().entries(), 100);
/// ```
#[derive(Debug)]
pub struct Join {
    /// The server and the joiner.
    pair: [(NodeId, Replica); 2],
    now: Instant,
    dice: Dice,
}

impl Join {
    /// A cluster of `nodes` with `macs` records each, and who is about to join it.
    #[must_use]
    pub fn prepare(nodes: usize, macs: usize, now: Instant) -> Self {
        let config = Config { max_records: macs.max(Config::default().max_records), ..Config::default() };
        let replica = |node| Replica::new((node, FIRST), config, now);
        let ids = (1..=nodes as u128).map(NodeId::new);
        let mut join =
            Self { pair: [(SERVER, replica(SERVER)), (JOINER, replica(JOINER))], now, dice: Dice::new(1) };
        for (n, id) in ids.clone().enumerate() {
            let mut origin = Replica::new((id, FIRST), config, join.now);
            origin.member_up(SERVER, FIRST, join.now);
            // There is room for all of them.
            let said = (0..macs).filter(|mac| origin.put(&record(n, *mac), join.now).is_ok()).count();
            join.pair[0].1.member_up(id, FIRST, join.now);
            let joiner = std::mem::replace(&mut join.pair[1], (id, origin));
            join.talk(|pair| pair[0].1.held(id) >= said);
            join.pair[1] = joiner;
        }
        join.pair[0].1.member_up(JOINER, FIRST, join.now);
        for id in ids.chain([SERVER]) {
            join.pair[1].1.member_up(id, FIRST, join.now);
        }
        // What building it left over is not for the joiner.
        while join.pair[0].1.poll_output().is_some() {}
        join
    }

    /// Joins: gives the virtual time until both know the same, `None` if they never do. Whomever the joiner asks, it
    /// is the server that answers.
    pub fn run(&mut self) -> Option<Duration> {
        self.talk(|pair| pair[0].1.entries() == pair[1].1.entries() && pair[0].1.root() == pair[1].1.root())
    }

    /// Who joins.
    #[must_use]
    pub const fn joiner(&self) -> &Replica {
        &self.pair[1].1
    }

    /// Lets both talk until `done`.
    fn talk(&mut self, done: impl Fn(&[(NodeId, Replica); 2]) -> bool) -> Option<Duration> {
        let began = self.now;
        for _ in 0..STEPS {
            for n in [0, 1] {
                self.pair[n].1.handle_timeout(self.now, &mut self.dice);
                while let Some(output) = self.pair[n].1.poll_output() {
                    self.deliver(n, output);
                }
            }
            if done(&self.pair) {
                return Some(self.now - began);
            }
            self.now += STEP;
        }
        None
    }

    fn deliver(&mut self, from: usize, output: Output) {
        let (Output::Send { to, bytes } | Output::Stream { to, bytes }) = output else { return };
        let other = 1 - from;
        let (sender, receiver) = (self.pair[from].0, self.pair[other].0);
        if to == receiver || sender == JOINER {
            // What is sent is read.
            let _ = self.pair[other].1.handle_message(sender, &bytes, self.now, &mut self.dice);
        }
    }
}
