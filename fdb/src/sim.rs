//! The replication layer in virtual time: the code that the daemon runs, one thread, all chance from one seed.
//!
//! [`run`] says what a cluster of a size costs and how fast it is. [`Cluster`] is the network and the replicas for it
//! and for the tests, [`Join`] a node that joins. Membership is given: it tells all at once who is there.

mod cluster;
mod dice;
mod join;
mod node;

use std::time::{Duration, Instant};

use encap::{MacAddr, Vni};

pub use self::cluster::{Cluster, News, Weather};
pub use self::dice::Dice;
pub use self::join::Join;
pub use self::node::{mac_record, node_info};
use crate::gossip::identity::{Epoch, NodeId};
use crate::gossip::seal;
use crate::replica::{Config, Key, MacRecord, Output, Record};

/// Octets around each message: the seal, UDP and IPv4.
pub const AROUND: usize = seal::MAX_DATAGRAM - seal::MAX_PAYLOAD + 8 + 20;
/// Records that all nodes together hold, at most: a simulation has one memory for all of them.
const MAX_HELD: usize = 2_000_000;
/// Entries that are weighed at least.
const WEIGHED: usize = 50_000;
/// After this time an update that is not known everywhere never will be.
const NEVER: Duration = Duration::from_secs(20);
/// Quiet time over which octets are counted.
const QUIET: Duration = Duration::from_secs(10);

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Nodes of the cluster, at least 2.
    pub nodes: usize,
    /// MAC addresses that each of them says. In the network only as many nodes say theirs as one memory holds for all;
    /// what an entry weighs is measured with all of them.
    pub macs: usize,
    /// Datagrams that are lost, in per cent.
    pub loss: f64,
    /// All chance there is.
    pub seed: u64,
    /// Changes whose spreading is timed, one after the other.
    pub updates: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { nodes: 100, macs: 10, loss: 1.0, seed: 1, updates: 100 }
    }
}

/// What came out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// Time until all nodes knew of an update: the median of the updates.
    pub median: Duration,
    /// The same, for 99 of 100 updates.
    pub p99: Duration,
    /// Updates that were not known everywhere after 20 seconds.
    pub never: usize,
    /// Octets that a node sends a second while nothing changes, seal, UDP and IP included; membership is not.
    pub bytes_per_s: f64,
    /// Octets that `allocated` grew by for each entry at a node that joined.
    pub bytes_per_entry: f64,
}

/// Simulates a cluster.
///
/// `zero` is where the virtual clock begins. `allocated` says how many octets the process has allocated.
///
/// # Cost
///
/// 100 nodes take a second; 10,000 some minutes and 4 GB.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use fdb::sim::{self, Plan};
///
/// # #[allow(clippy::disallowed_methods)]
/// let report = sim::run(&Plan { nodes: 20, updates: 5, ..Plan::default() }, Instant::now(), || 0);
/// assert!(report.never == 0 && report.p99 < Duration::from_secs(1));
/// ```
pub fn run(plan: &Plan, zero: Instant, allocated: impl Fn() -> usize) -> Report {
    let bytes_per_entry = weigh(plan, zero, allocated);
    let mut cluster = cluster_of(plan, zero);
    let bytes_per_s = idle(&mut cluster, plan.nodes);
    let mut times: Vec<Duration> = (0..plan.updates).filter_map(|n| spread(&mut cluster, plan, n)).collect();
    let never = plan.updates - times.len();
    times.sort_unstable();
    let of = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    Report { median: of(50), p99: of(99), never, bytes_per_s, bytes_per_entry }
}

#[allow(clippy::cast_precision_loss)] // of some octets
fn weigh(plan: &Plan, zero: Instant, allocated: impl Fn() -> usize) -> f64 {
    // Of few entries the rest of the process would be weighed.
    let macs = plan.macs.max((WEIGHED / plan.nodes).min(Config::default().max_records));
    let mut join = Join::prepare(plan.nodes, macs, zero);
    let before = allocated();
    join.run();
    let grown = allocated().saturating_sub(before);
    grown as f64 / join.joiner().entries().max(1) as f64
}

/// A cluster where all know what all say.
fn cluster_of(plan: &Plan, zero: Instant) -> Cluster {
    let weather = Weather { loss: plan.loss, ..Weather::default() };
    let mut cluster = Cluster::new(plan.seed, weather, zero);
    let members: Vec<_> = (1..=plan.nodes as u128).map(|id| (NodeId::new(id), Epoch::new(1))).collect();
    let default = Config::default();
    let config = Config { max_records: default.max_records.max(plan.macs + plan.updates), ..default };
    for member in &members {
        let n = cluster.add(member.0);
        cluster.start(n, member.1, config, &members);
    }
    let speakers = MAX_HELD / (plan.nodes * plan.macs).max(1);
    for n in 0..plan.nodes.min(speakers) {
        cluster.with(n, &mut |_, _| (), |replica, now| {
            // There is room for all of them.
            (0..plan.macs).all(|mac| replica.put(&record(n, mac), now).is_ok())
        });
    }
    for _ in 0..60 {
        cluster.run(cluster.now() + Duration::from_secs(1), &mut |_, _| ());
        let mut roots = (0..plan.nodes).filter_map(|n| cluster.replica(n)).map(crate::replica::Replica::root);
        let first = roots.next();
        if roots.all(|root| Some(root) == first) {
            break;
        }
    }
    cluster
}

/// Octets a second that a node sends while nothing changes.
#[allow(clippy::cast_precision_loss)] // of some octets
fn idle(cluster: &mut Cluster, nodes: usize) -> f64 {
    let sent = |cluster: &Cluster| -> u64 {
        let counters = (0..nodes).filter_map(|n| cluster.replica(n)).map(crate::replica::Replica::counters);
        counters.map(|counters| counters.sent + counters.streamed + counters.datagrams * AROUND as u64).sum()
    };
    // The last rumours end.
    cluster.run(cluster.now() + Duration::from_secs(2), &mut |_, _| ());
    let before = sent(cluster);
    cluster.run(cluster.now() + QUIET, &mut |_, _| ());
    (sent(cluster) - before) as f64 / nodes as f64 / QUIET.as_secs_f64()
}

/// Time until a change at some node is known at all others.
fn spread(cluster: &mut Cluster, plan: &Plan, update: usize) -> Option<Duration> {
    let from = usize::try_from(cluster.dice.below(plan.nodes as u64)).unwrap_or(0);
    // Beyond the MAC addresses that are there already.
    let record = record(plan.nodes, update);
    let key = record.key();
    let began = cluster.now();
    let mut told = 0;
    let mut count = |_: usize, output: Output| told += usize::from(is_news_of(&output, &key));
    cluster.with(from, &mut count, |replica, now| replica.put(&record, now).is_ok());
    let mut last = None;
    while told + 1 < plan.nodes && cluster.now() - began < NEVER {
        let mut count = |_: usize, output: Output| told += usize::from(is_news_of(&output, &key));
        cluster.run(cluster.now() + Duration::from_millis(1), &mut count);
        last = Some(cluster.now() - began);
    }
    let pause = Duration::from_millis(300 + cluster.dice.below(700));
    cluster.run(cluster.now() + pause, &mut |_, _| ());
    last.filter(|_| told + 1 >= plan.nodes)
}

fn is_news_of(output: &Output, key: &Key) -> bool {
    matches!(output, Output::Changed { key: of, new: Some(_), .. } if of == key)
}

/// An ordinary MAC address with its IPv4 address: the `mac`th of node `n`.
fn record(n: usize, mac: usize) -> Record {
    let [.., a, b, c] = n.to_be_bytes();
    let [.., d, e, f] = mac.to_be_bytes();
    let mac = MacAddr::new([2 | d << 2, a, b, c, e, f]);
    let ips = vec![[10, c, e, f].into()];
    Record::Mac(MacRecord { ips, ..mac_record(Vni::from_octets([0, 0, 1]), mac) })
}
