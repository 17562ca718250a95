//! Replicas and a network between them, in virtual time: one thread, one seed, always the same.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use super::Dice;
use crate::gossip::identity::{Epoch, NodeId};
use crate::replica::{Config, Output, Replica};

/// Chunks of one stream that are on their way; then it is full.
const WINDOW: usize = 4;
/// Time that a chunk takes the network.
const CHUNK_TIME: Duration = Duration::from_millis(1);
/// No node is woken more often.
const SHORTEST: Duration = Duration::from_micros(100);

/// What the network does to datagrams, in per cent of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// These do not arrive.
    pub loss: f64,
    /// These arrive twice.
    pub duplicate: f64,
    /// These are up to 200 ms on their way, others half a millisecond: they are overtaken.
    pub late: f64,
}

/// What membership tells of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It is up, in this start of it.
    Up(NodeId, Epoch),
    /// It is down.
    Down(NodeId),
    /// It left.
    Left(NodeId),
}

/// One process of a node.
#[derive(Debug)]
struct Process {
    id: NodeId,
    /// `None`: it does not run.
    replica: Option<Replica>,
    /// Counts its starts.
    run: u32,
    side: u8,
    wake: Duration,
    streams: BTreeMap<NodeId, Stream>,
}

/// A stream to another node that is not at its end.
#[derive(Clone, Copy, Debug)]
struct Stream {
    serial: u64,
    to: usize,
    on_the_way: usize,
    last: Duration,
}

#[derive(Debug)]
enum Event {
    Wake(usize),
    Datagram { from: usize, to: usize, bytes: Vec<u8> },
    Chunk { from: usize, run: u32, node: NodeId, serial: u64, bytes: Vec<u8> },
    News { to: usize, run: u32, news: News },
}

/// Processes, what is on its way between them, and the virtual clock.
///
/// A process is named by its number, from 0; a node by its identifier. Several processes may be one node, as after a
/// state directory was copied; each datagram to it reaches any of them.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use fdb::gossip::identity::{Epoch, NodeId};
/// use fdb::replica::Config;
/// use fdb::sim::{Cluster, Weather};
///
/// # #[allow(clippy::disallowed_methods)]
/// let mut cluster = Cluster::new(1, Weather::default(), Instant::now());
/// let members = [(NodeId::new(1), Epoch::new(1)), (NodeId::new(2), Epoch::new(1))];
/// for member in members {
///     let process = cluster.add(member.0);
///     cluster.start(process, member.1, Config::default(), &members);
/// }
/// cluster.run(Duration::from_secs(2), &mut |_, _| ());
/// assert_eq!(cluster.replica(0).map(|a| a.root()), cluster.replica(1).map(|b| b.root()));
/// ```
#[derive(Debug)]
pub struct Cluster {
    /// All chance there is.
    pub dice: Dice,
    /// The network.
    pub weather: Weather,
    /// What processes of a higher side send reaches those of a lower one.
    pub one_way: bool,
    zero: Instant,
    now: Duration,
    processes: Vec<Process>,
    by_node: BTreeMap<NodeId, Vec<usize>>,
    /// When, in which order, and where in `events`.
    queue: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    count: u64,
    events: Vec<Option<Event>>,
    free: Vec<usize>,
}

impl Cluster {
    /// No process yet; `zero` is when the virtual clock begins.
    #[must_use]
    pub const fn new(seed: u64, weather: Weather, zero: Instant) -> Self {
        Self {
            dice: Dice::new(seed),
            weather,
            one_way: false,
            zero,
            now: Duration::ZERO,
            processes: Vec::new(),
            by_node: BTreeMap::new(),
            queue: BinaryHeap::new(),
            count: 0,
            events: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Adds a process of a node, not started: gives its number.
    pub fn add(&mut self, id: NodeId) -> usize {
        let streams = BTreeMap::new();
        self.processes.push(Process { id, replica: None, run: 0, side: 0, wake: Duration::MAX, streams });
        let number = self.processes.len() - 1;
        self.by_node.entry(id).or_default().push(number);
        number
    }

    /// Starts a process, or starts it anew: it knows these members, and nothing that they say.
    pub fn start(&mut self, n: usize, epoch: Epoch, config: Config, members: &[(NodeId, Epoch)]) {
        self.stop(n);
        // Nobody compares in step with others.
        let offset = Duration::from_micros(self.dice.below(1_000_000));
        let now = self.instant();
        let Some(process) = self.processes.get_mut(n) else { return };
        let mut replica = Replica::new((process.id, epoch), config, now + offset);
        members.iter().for_each(|member| replica.member_up(member.0, member.1, now));
        process.replica = Some(replica);
        self.wake(n);
    }

    /// Stops a process at once; what it sent by datagrams still arrives.
    pub fn stop(&mut self, n: usize) {
        if let Some(process) = self.processes.get_mut(n) {
            process.replica = None;
            process.run += 1;
            process.wake = Duration::MAX;
            process.streams.clear();
        }
    }

    /// Puts a process on a side: nothing goes from one side to another, but see `one_way`.
    pub fn set_side(&mut self, n: usize, side: u8) {
        if let Some(process) = self.processes.get_mut(n) {
            process.side = side;
        }
    }

    /// The replica of a process that runs.
    #[must_use]
    pub fn replica(&self, n: usize) -> Option<&Replica> {
        self.processes.get(n)?.replica.as_ref()
    }

    /// Uses the replica of a process that runs, then does what it wants. `notice` is told of what is for its owner:
    /// the number of the process, and [`Output::Changed`] or [`Output::EpochRaised`].
    pub fn with<T>(
        &mut self,
        n: usize,
        notice: &mut impl FnMut(usize, Output),
        use_it: impl FnOnce(&mut Replica, Instant) -> T,
    ) -> Option<T> {
        let now = self.instant();
        let value = use_it(self.processes.get_mut(n)?.replica.as_mut()?, now);
        self.settle(n, notice);
        Some(value)
    }

    /// Lets a process know what membership says, after a while, if it still runs then.
    pub fn tell(&mut self, to: usize, news: News, after: Duration) {
        let run = self.processes.get(to).map_or(0, |process| process.run);
        self.at(self.now + after, Event::News { to, run, news });
    }

    /// The virtual time, from zero.
    #[must_use]
    pub const fn now(&self) -> Duration {
        self.now
    }

    fn instant(&self) -> Instant {
        self.zero + self.now
    }

    /// Lets time pass until `until`; `notice` as in [`with`](Self::with).
    pub fn run(&mut self, until: Duration, notice: &mut impl FnMut(usize, Output)) {
        while let Some(&Reverse((at, _, slot))) = self.queue.peek() {
            if at > until {
                break;
            }
            self.queue.pop();
            self.now = at;
            self.free.push(slot);
            if let Some(event) = self.events[slot].take() {
                self.handle(event, notice);
            }
        }
        self.now = until;
    }

    fn at(&mut self, at: Duration, event: Event) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[slot] = Some(event);
        self.count += 1;
        self.queue.push(Reverse((at, self.count, slot)));
    }

    fn handle(&mut self, event: Event, notice: &mut impl FnMut(usize, Output)) {
        let now = self.instant();
        match event {
            Event::Wake(n) => {
                let process = &mut self.processes[n];
                // Of several alarms the last one counts.
                if process.wake != self.now {
                    return;
                }
                process.wake = Duration::MAX;
                if let Some(replica) = &mut process.replica {
                    replica.handle_timeout(now, &mut self.dice);
                }
                self.settle(n, notice);
            }
            Event::Datagram { from, to, bytes } => {
                if !self.is_cut(from, to) {
                    self.deliver(from, to, &bytes, notice);
                }
            }
            Event::Chunk { from, run, node, serial, bytes } => {
                if self.processes[from].run == run {
                    self.handle_chunk(from, (node, serial), &bytes, notice);
                }
            }
            Event::News { to, run, news } => {
                let process = &mut self.processes[to];
                let Some(replica) = process.replica.as_mut().filter(|_| process.run == run) else { return };
                match news {
                    News::Up(node, epoch) => replica.member_up(node, epoch, now),
                    News::Down(node) => replica.member_down(node, now),
                    News::Left(node) => replica.member_leave(node, now),
                }
                self.settle(to, notice);
            }
        }
    }

    fn deliver(&mut self, from: usize, to: usize, bytes: &[u8], notice: &mut impl FnMut(usize, Output)) {
        let (now, id) = (self.instant(), self.processes[from].id);
        if let Some(replica) = &mut self.processes[to].replica {
            // A message that is refused is counted there.
            let _ = replica.handle_message(id, bytes, now, &mut self.dice);
            self.settle(to, notice);
        }
    }

    fn is_cut(&self, from: usize, to: usize) -> bool {
        let (from, to) = (self.processes[from].side, self.processes[to].side);
        if self.one_way { from < to } else { from != to }
    }

    /// Does what a process wants, and wakes it when it wants.
    fn settle(&mut self, n: usize, notice: &mut impl FnMut(usize, Output)) {
        while let Some(output) = self.processes[n].replica.as_mut().and_then(Replica::poll_output) {
            match output {
                Output::Send { to, bytes } => self.send(n, to, &bytes),
                Output::Stream { to, bytes } => self.send_chunk(n, to, bytes),
                Output::Changed { .. } | Output::EpochRaised(_) => notice(n, output),
            }
        }
        self.wake(n);
    }

    fn wake(&mut self, n: usize) {
        let process = &mut self.processes[n];
        let Some(replica) = &process.replica else { return };
        let wake = replica.poll_timeout().saturating_duration_since(self.zero).max(self.now + SHORTEST);
        if wake < process.wake {
            process.wake = wake;
            self.at(wake, Event::Wake(n));
        }
    }

    /// A process of a node that runs, any of them.
    fn route(&mut self, node: NodeId) -> Option<usize> {
        let running = |n: &&usize| self.processes[**n].replica.is_some();
        let all = self.by_node.get(&node)?;
        let count = all.iter().filter(running).count();
        let at = if count > 1 { usize::try_from(self.dice.below(count as u64)).unwrap_or(0) } else { 0 };
        all.iter().filter(running).nth(at).copied()
    }

    fn send(&mut self, from: usize, node: NodeId, bytes: &[u8]) {
        let Some(to) = self.route(node) else { return };
        for _ in 0..1 + u8::from(self.dice.percent(self.weather.duplicate)) {
            if !self.dice.percent(self.weather.loss) {
                let late = if self.dice.percent(self.weather.late) { 200_000 } else { 500 };
                let delay = Duration::from_micros(50 + self.dice.below(late));
                self.at(self.now + delay, Event::Datagram { from, to, bytes: bytes.to_vec() });
            }
        }
    }

    fn send_chunk(&mut self, from: usize, node: NodeId, bytes: Vec<u8>) {
        let route = self.route(node);
        let (serial, now) = (self.count, self.now);
        let process = &mut self.processes[from];
        // To a node that does not run it fails when it is tried.
        let new = Stream { serial, to: route.unwrap_or(from), on_the_way: 0, last: now };
        let stream = process.streams.entry(node).or_insert(new);
        stream.last = stream.last.max(now) + CHUNK_TIME;
        stream.on_the_way += 1;
        let (at, serial) = (stream.last, stream.serial);
        if stream.on_the_way == WINDOW
            && let Some(replica) = &mut process.replica
        {
            replica.set_blocked(node, true);
        }
        let run = process.run;
        self.at(at, Event::Chunk { from, run, node, serial, bytes });
    }

    fn handle_chunk(
        &mut self,
        from: usize,
        (node, serial): (NodeId, u64),
        bytes: &[u8],
        notice: &mut impl FnMut(usize, Output),
    ) {
        let Some(stream) = self.processes[from].streams.get(&node).copied() else { return };
        if stream.serial != serial {
            return;
        }
        let to = stream.to;
        let there = self.processes[to].replica.is_some() && to != from;
        let works = there && !self.is_cut(from, to) && !self.is_cut(to, from);
        let process = &mut self.processes[from];
        let Some(replica) = &mut process.replica else { return };
        if !works {
            process.streams.remove(&node);
            replica.stream_failed(node);
        } else if stream.on_the_way == 1 {
            process.streams.remove(&node);
            replica.set_blocked(node, false);
        } else if let Some(stream) = process.streams.get_mut(&node) {
            stream.on_the_way -= 1;
            replica.set_blocked(node, stream.on_the_way >= WINDOW);
        }
        self.settle(from, notice);
        if works {
            self.deliver(from, to, bytes, notice);
        }
    }
}
