//! One life of a cluster: everything that goes wrong, then quiet, then what must be true.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use encap::{Format, MacAddr, Vni};
use fdb::gossip::identity::{BootId, Epoch, NodeId};
use fdb::replica::{Config, KEEP_OLD_EPOCH, Key, MacRecord, NodeInfo, Output, Record, Replica};
use fdb::sim::{Cluster, News, Weather, mac_record};

use super::disk::{Disk, DiskFault};

type Shown = BTreeMap<(NodeId, Key), Record>;

/// What the owner of a node knows of it; the first processes of the cluster are the nodes, the others clones.
pub(crate) struct Node {
    disk: Disk,
    /// The highest epoch under which it said anything, since its disk was new.
    used: Option<Epoch>,
    shown: Shown,
    state: State,
    /// Since when it is in this state.
    since: Duration,
    /// Until then somebody may still hear that it is up.
    settled: Duration,
    config: Config,
    /// A second process with its identifier, and the disk of that.
    clone: Option<(usize, Disk)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Up,
    Down,
    Left,
}

pub(crate) struct Life {
    cluster: Cluster,
    nodes: Vec<Node>,
    disk_fault: DiskFault,
    /// It says more than others take.
    greedy: Option<usize>,
    /// All may say a handful of records only.
    small: bool,
    /// Two starts had one epoch: for a while two streams have one name.
    mixed: bool,
    /// The same without a reason: a disk kept less than it said.
    reused: bool,
}

fn id(n: usize) -> NodeId {
    NodeId::new(n as u128 + 1)
}

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A life of so many actions; then quiet for three comparisons, and the reckoning.
pub(crate) fn live(seed: u64, config: Config, disk_fault: DiskFault) -> Result<(), String> {
    let mut life = Life::new(seed, config, disk_fault);
    for _ in 0..60 + life.cluster.dice.below(60) {
        let pause = ms(life.cluster.dice.below(200));
        life.pass(pause);
        life.act();
    }
    life.calm();
    // What was late has arrived, and membership is done.
    life.pass(ms(500));
    life.pass(3 * config.compare_every);
    life.roots_are_equal()?;
    // A node that says nothing since its restart is believed after this time.
    life.pass(KEEP_OLD_EPOCH + 2 * config.compare_every);
    life.check()
}

impl Life {
    fn new(seed: u64, config: Config, disk_fault: DiskFault) -> Self {
        #[allow(clippy::disallowed_methods)] // the zero of the virtual clock
        let mut cluster = Cluster::new(seed, Weather::default(), Instant::now());
        let dice = &mut cluster.dice;
        let mut percent = |most| dice.below(most) as f64;
        let weather = Weather { loss: percent(30), duplicate: percent(20), late: percent(20) };
        let count = 3 + dice.below(18) as usize;
        let small = dice.percent(25.0);
        let greedy = (small && dice.percent(50.0)).then(|| dice.below(count as u64) as usize);
        let max_records = if small { 12 } else { config.max_records };
        // Where removals are refused, too, others cannot tell what is right.
        let few = greedy.is_none() && dice.percent(40.0);
        let max_tombstones = if few { 4 } else { config.max_tombstones };
        cluster.weather = weather;
        let mut life =
            Self { cluster, nodes: Vec::new(), disk_fault, greedy, small, mixed: false, reused: false };
        for n in 0..count {
            let more = if greedy == Some(n) { 2 } else { 1 };
            let config = Config { max_records: more * max_records, max_tombstones, ..config };
            let (disk, used, shown) = (Disk::new(disk_fault), None, Shown::new());
            let (state, since, settled) = (State::Down, ms(0), ms(0));
            life.nodes.push(Node { disk, used, shown, state, since, settled, config, clone: None });
            life.cluster.add(id(n));
        }
        (0..count).for_each(|n| life.start(n));
        life
    }

    /// The nodes that run, as membership knows them.
    fn members(&self) -> Vec<(NodeId, Epoch)> {
        let up = (0..self.nodes.len()).filter_map(|n| Some((n, self.cluster.replica(n)?)));
        up.map(|(n, replica)| (id(n), replica.epoch())).collect()
    }

    fn pass(&mut self, time: Duration) {
        let nodes = &mut self.nodes;
        self.cluster.run(self.cluster.now() + time, &mut |n, output| notice(nodes, n, output));
    }

    /// Uses the replica of a process, if that runs.
    fn with(&mut self, n: usize, use_it: impl FnOnce(&mut Replica, Instant)) {
        let nodes = &mut self.nodes;
        self.cluster.with(n, &mut |n, output| notice(nodes, n, output), use_it);
    }

    fn start(&mut self, n: usize) {
        let members = self.members();
        let node = &mut self.nodes[n];
        let epoch = node.disk.next_epoch();
        self.reused |= node.used.replace(epoch) >= Some(epoch);
        node.shown.clear();
        (node.state, node.since) = (State::Up, self.cluster.now());
        node.settled = self.cluster.now() + ms(450);
        self.cluster.start(n, epoch, node.config, &members);
        self.introduce(n);
        // Later than the news of the crash.
        (0..self.nodes.len()).for_each(|at| self.cluster.tell(at, News::Up(id(n), epoch), ms(450)));
    }

    /// What every node says first: without it nobody knows that it started anew.
    fn introduce(&mut self, process: usize) {
        self.with(process, |replica, now| {
            let (boot, v4) = (BootId::new(process as u128), Some([10, 0, 0, 1].into()));
            let (vxlan_port, geneve_port, format) = (4789, 6081, Format::Vxlan);
            let (name, version) = (String::new(), String::new());
            let info = NodeInfo { v4, v6: None, vxlan_port, geneve_port, format, name, version, boot };
            replica.put(&Record::NodeInfo(info), now).expect("room for the first");
        });
    }

    fn stop(&mut self, n: usize, state: State) {
        self.cluster.stop(n);
        (self.nodes[n].state, self.nodes[n].since) = (state, self.cluster.now());
        let news = if state == State::Left { News::Left(id(n)) } else { News::Down(id(n)) };
        for at in 0..self.nodes.len() {
            // Some hear late that somebody left, and tell others of it meanwhile.
            let late = state == State::Left && self.cluster.dice.percent(20.0);
            let after = ms(self.cluster.dice.below(if late { 2000 } else { 400 }));
            self.cluster.tell(at, news, after);
        }
    }

    /// One thing happens to a node.
    fn act(&mut self) {
        let n = self.cluster.dice.below(self.nodes.len() as u64) as usize;
        if self.nodes[n].state != State::Up {
            if self.cluster.dice.percent(20.0) {
                self.mixed = true;
                (self.nodes[n].disk, self.nodes[n].used) = (Disk::new(self.disk_fault), None);
            }
            return self.start(n);
        }
        let dice = self.cluster.dice.below(100) as u32;
        let clone = self.nodes[n].clone.as_ref().map(|clone| clone.0);
        match dice {
            0..78 => self.say(clone.filter(|_| dice.is_multiple_of(2)).unwrap_or(n), dice),
            78..83 => self.crash(n),
            83..85 if clone.is_none() && self.cluster.now() > self.nodes[n].settled => {
                self.stop(n, State::Left);
            }
            85..87 => self.mistake(n),
            87..90 => self.clone(n),
            90..96 => {
                self.cluster.one_way = dice.is_multiple_of(2);
                let side = self.cluster.dice.below(2) as u8;
                self.cluster.set_side(n, side);
            }
            _ => (0..self.nodes.len()).for_each(|n| self.cluster.set_side(n, 0)),
        }
    }

    /// A process says something, or takes it back.
    fn say(&mut self, process: usize, dice: u32) {
        let (vni, mac) = (self.cluster.dice.below(3) as u8, self.cluster.dice.below(6) as u8);
        let bulk = !self.small && self.cluster.dice.percent(3.0);
        let greedy = self.greedy == Some(process) && self.cluster.dice.percent(20.0);
        let join = Record::VniJoin(Vni::from_octets([0, 0, vni]));
        self.with(process, |replica, now| {
            // A small limit refuses some: then they are not said.
            let mut put = |record: &Record| {
                let _ = replica.put(record, now);
            };
            match dice {
                _ if greedy => (0..20).for_each(|n| put(&record(n, 8, dice))),
                _ if bulk => (0..250).for_each(|n| put(&record(n, 9, dice))),
                0..45 => put(&record(vni, mac, dice)),
                45..63 => replica.remove(&record(vni, mac, 0).key(), now),
                63..71 => put(&join),
                _ => replica.remove(&join.key(), now),
            }
        });
    }

    fn crash(&mut self, n: usize) {
        self.nodes[n].disk.crash();
        self.stop(n, State::Down);
    }

    /// Somebody takes a node for dead for a while.
    fn mistake(&mut self, n: usize) {
        let at = self.cluster.dice.below(self.nodes.len() as u64) as usize;
        let Some(epoch) = self.cluster.replica(n).map(Replica::epoch) else { return };
        self.nodes[n].settled = self.cluster.now() + ms(600);
        self.cluster.tell(at, News::Down(id(n)), ms(0));
        self.cluster.tell(at, News::Up(id(n), epoch), ms(600));
    }

    /// A second process comes up from a copy of the disk, and is stopped when there is one.
    fn clone(&mut self, n: usize) {
        if let Some((clone, _)) = self.nodes[n].clone.take() {
            self.cluster.stop(clone);
            // And perhaps the node is started anew, to be sure.
            if self.cluster.dice.percent(50.0) {
                self.crash(n);
            }
            return;
        }
        self.mixed = true;
        let mut disk = self.nodes[n].disk.clone();
        let (epoch, clone) = (disk.next_epoch(), self.cluster.add(id(n)));
        let members: Vec<_> = self.members().into_iter().filter(|member| member.0 != id(n)).collect();
        self.cluster.start(clone, epoch, self.nodes[n].config, &members);
        self.nodes[n].clone = Some((clone, disk));
        self.introduce(clone);
        self.nodes[n].settled = self.cluster.now() + ms(600);
        (0..self.nodes.len()).for_each(|at| self.cluster.tell(at, News::Up(id(n), epoch), ms(100)));
    }

    /// Nothing goes wrong any more; who is down stays so, or comes back. Membership tells all of them the truth.
    fn calm(&mut self) {
        self.cluster.weather = Weather::default();
        for n in 0..self.nodes.len() {
            self.cluster.set_side(n, 0);
            if let Some((clone, _)) = self.nodes[n].clone.take() {
                self.cluster.stop(clone);
            }
            if self.nodes[n].state == State::Down && self.cluster.dice.percent(50.0) {
                self.start(n);
            }
        }
        // The last news of before have come.
        self.pass(ms(2000));
        for n in 0..self.nodes.len() {
            let epoch = self.cluster.replica(n).map_or(Epoch::new(0), Replica::epoch);
            let news = match self.nodes[n].state {
                State::Up => News::Up(id(n), epoch),
                State::Down | State::Left => News::Down(id(n)),
            };
            (0..self.nodes.len()).for_each(|at| self.cluster.tell(at, news, ms(0)));
        }
    }

    fn running(&self) -> impl Iterator<Item = (usize, &Replica)> {
        (0..self.nodes.len()).filter_map(|n| Some((n, self.cluster.replica(n)?)))
    }

    fn roots_are_equal(&self) -> Result<(), String> {
        let mut roots = self.running().map(|(_, replica)| replica.root());
        let first = roots.next();
        // What is refused of a greedy node is not the same everywhere.
        if self.greedy.is_none() && roots.any(|root| Some(root) != first) {
            return Err("roots differ after three comparisons".into());
        }
        Ok(())
    }

    /// What an origin says is exactly what all show; what is over is nowhere.
    fn check(&self) -> Result<(), String> {
        self.roots_are_equal()?;
        if self.reused {
            return Err("two starts of a node had one epoch".into());
        }
        for (n, replica) in self.running() {
            if !self.mixed && self.greedy.is_none() && replica.counters().diverged > 0 {
                return Err(format!("node {n} found streams to differ that were known to their ends"));
            }
            for (m, node) in self.nodes.iter().enumerate().filter(|(m, _)| *m != n) {
                self.check_of(n, replica, m, node)?;
            }
        }
        Ok(())
    }

    /// What node `n` has of node `m`.
    fn check_of(&self, n: usize, replica: &Replica, m: usize, node: &Node) -> Result<(), String> {
        let of_m = self.nodes[n].shown.iter().filter(|((origin, _), _)| *origin == id(m));
        let shown: BTreeMap<&Key, &Record> = of_m.map(|((_, key), record)| (key, record)).collect();
        let all: Vec<Record> = self.cluster.replica(m).iter().flat_map(|r| r.records(id(m))).collect();
        let said: BTreeMap<Key, &Record> = all.iter().map(|record| (record.key(), record)).collect();
        let wrong = shown.iter().filter(|(key, record)| said.get(key) != Some(record)).count();
        let limits = self.nodes[n].config;
        let missing = said.len().saturating_sub(shown.len());
        // Of who says too much some is refused; if it also mixes its starts, what is right cannot be told any more.
        let greedy = self.greedy == Some(m);
        if (wrong > 0 && !(greedy && self.mixed)) || (missing > 0 && !greedy) {
            let of = said.len();
            return Err(format!(
                "of {of} records of node {m}, node {n} lacks {missing} and shows {wrong} wrongly"
            ));
        }
        if shown.len() > limits.max_records {
            return Err(format!("node {n} shows {} records of node {m}", shown.len()));
        }
        // Who heard that it left has nothing of it any more, whatever others tell.
        let heard = node.state == State::Left && self.nodes[n].since < node.since;
        let most = if heard { 0 } else { limits.max_records + 3 * limits.max_tombstones };
        if replica.held(id(m)) > most {
            return Err(format!("node {n} holds {} entries of node {m}, not {most}", replica.held(id(m))));
        }
        Ok(())
    }
}

/// What a replica tells its owner. A clone is nobody's: it shows nothing, and has a disk of its own.
fn notice(nodes: &mut [Node], n: usize, output: Output) {
    match (nodes.get_mut(n), output) {
        (Some(node), Output::Changed { origin, key, new: Some(new), .. }) => {
            node.shown.insert((origin, key), new);
        }
        (Some(node), Output::Changed { origin, key, new: None, .. }) => {
            node.shown.remove(&(origin, key));
        }
        (Some(node), Output::EpochRaised(epoch)) => {
            node.disk.keep(epoch);
            node.used = Some(epoch);
        }
        (None, Output::EpochRaised(epoch)) => {
            let clones = nodes.iter_mut().filter_map(|node| node.clone.as_mut());
            clones.filter(|clone| clone.0 == n).for_each(|clone| clone.1.keep(epoch));
        }
        _ => {}
    }
}

fn record(vni: u8, mac: u8, mob_seq: u32) -> Record {
    let (vni, mac) = (Vni::from_octets([0, 1, vni]), MacAddr::new([2, 0, 0, 0, 0, mac]));
    let ips = vec![[10, 0, 0, 1].into()];
    Record::Mac(MacRecord { ips, mob_seq, ..mac_record(vni, mac) })
}
