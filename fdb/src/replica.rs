//! What every node says of itself, the same on all nodes: the replicated part of the FDB, without I/O.
//!
//! ```text
//!  put, remove ─> own Stream ─> push.rs: rumours, each to 3 random peers, some rounds
//!  handle_message ─> merge.rs: sections into the origins' Streams ─> Output::Changed, more rumours
//!  each second    ─> sync.rs: root -> 256 buckets -> heads -> pull ─> serve.rs: sections, over datagrams or a stream
//! ```
//!
//! Each node writes one stream, `(node, epoch)`, whose entries are numbered; a higher `(epoch, number)` wins, so no
//! clock is compared. Pushing is fast but may miss somebody; the comparison each second misses nothing. Everything
//! rides the stream: no record can be lost while the others of its node are not.
//!
//! Who is there is told from outside ([`Replica::member_up`] and others): records of a node that is down are hidden
//! at once and kept for [`KEEP_DOWN`].

mod coverage;
mod faults;
mod item;
mod jobs;
mod members;
mod merge;
mod octets;
mod push;
mod record;
mod replay;
mod serve;
mod stream;
mod sync;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rand_core::Rng;
use thiserror::Error;

#[cfg(feature = "faults")]
pub use self::faults::Fault;
#[cfg(not(feature = "faults"))]
use self::faults::Fault;
use self::item::Item;
use self::jobs::Jobs;
use self::members::Origin;
pub use self::octets::WireError;
use self::push::{Bucket, Rumour};
pub use self::record::{
    Key, MAX_IPS, MAX_KEY, MAX_TEXT, MAX_VALUE, MAX_VNIS, MacRecord, NodeInfo, Record, RecordError,
    VtepRecord,
};
use self::replay::Replay;

use self::sync::Pull;
pub use self::wire::{MAX_CHUNK, MAX_DATAGRAM};
use crate::gossip::identity::{Epoch, NodeId};

/// How long the records of a node that is down are kept.
pub const KEEP_DOWN: Duration = Duration::from_secs(30 * 60);
/// How long a node that is gone cannot be taught again by a node that did not notice.
pub const KEEP_GRAVE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long what a node said before its restart is shown while what it says now is not complete.
pub const KEEP_OLD_EPOCH: Duration = Duration::from_secs(5);
/// How long a removal is remembered one by one.
pub const KEEP_TOMBSTONE: Duration = Duration::from_secs(10 * 60);
/// Outputs for which there is always room.
const OUTPUTS_KEPT: usize = 64;
/// Nodes whose streams are held.
pub const MAX_ORIGINS: usize = 16_384;

/// Settings of a [`Replica`].
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Records that one node may have, its own included.
    pub max_records: usize,
    /// Octets a second that are pushed or served by datagrams; as many may leave at once.
    pub rate: u64,
    /// Time between two comparisons with another node.
    pub compare_every: Duration,
    /// Time that changes wait for others to share a datagram.
    pub coalesce: Duration,
    /// Own removals that are remembered one by one; of another node, up to three times as many.
    pub max_tombstones: usize,
    /// A planted fault.
    #[cfg(feature = "faults")]
    pub fault: Option<Fault>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_records: 16_384,
            rate: 1_000_000,
            compare_every: Duration::from_secs(1),
            coalesce: Duration::from_millis(50),
            max_tombstones: 4096,
            #[cfg(feature = "faults")]
            fault: None,
        }
    }
}

impl Config {
    #[cfg(feature = "faults")]
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    #[cfg(not(feature = "faults"))]
    #[allow(clippy::unused_self)] // there is none
    const fn has(&self, _: Fault) -> bool {
        false
    }
}

/// What the owner of a [`Replica`] shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram; it may be lost.
    Send {
        /// To whom.
        to: NodeId,
        /// At most [`MAX_DATAGRAM`] octets.
        bytes: Vec<u8>,
    },
    /// Send over a stream, in order; given to [`Replica::handle_message`] there. A lost one is asked for again.
    Stream {
        /// To whom.
        to: NodeId,
        /// At most [`MAX_CHUNK`] octets.
        bytes: Vec<u8>,
    },
    /// What another node says of a key is another now: apply it to the table.
    Changed {
        /// Who says it.
        origin: NodeId,
        /// Of what.
        key: Key,
        /// What was shown until now.
        old: Option<Record>,
        /// What is to be shown; `None`: nothing any more.
        new: Option<Record>,
    },
    /// Others know a later start of this node than it remembers: keep this epoch before anything more is sent.
    EpochRaised(Epoch),
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages that were refused.
    pub bad_messages: u64,
    /// Sections of an epoch that is over.
    pub stale: u64,
    /// What others said of an epoch that no count of starts leads to.
    pub absurd: u64,
    /// Keys of others that were refused because of `max_records`, and streams beyond [`MAX_ORIGINS`].
    pub refused: u64,
    /// Streams that differed though both sides knew all of them; never, unless a node is at fault.
    pub diverged: u64,
    /// Octets given out as datagrams.
    pub sent: u64,
    /// Datagrams given out.
    pub datagrams: u64,
    /// Octets given out over streams.
    pub streamed: u64,
}

/// Why a record was not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PutError {
    /// There are as many as may be.
    #[error("this node already says {limit} records, the most: not published; remove some first")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// The record is not one.
    #[error("not published: {0}")]
    Record(#[from] RecordError),
}

/// The streams of all nodes, and what is to be sent about them.
///
/// # Examples
///
/// ```
/// use std::time::Instant;
///
/// use encap::Vni;
/// use fdb::gossip::identity::{Epoch, NodeId};
/// use fdb::replica::{Config, Key, Record, Replica};
///
/// # #[allow(clippy::disallowed_methods)]
/// let now = Instant::now();
/// let vni = Vni::new(100)?;
/// let mut replica = Replica::new((NodeId::new(7), Epoch::new(1)), Config::default(), now);
/// replica.put(&Record::VniJoin(vni), now)?;
/// assert_eq!(replica.get(NodeId::new(7), &Key::VniJoin(vni)), Some(Record::VniJoin(vni)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Replica {
    own: NodeId,
    config: Config,
    origins: BTreeMap<NodeId, Origin>,
    /// Nodes that are up, ascending, without this one, and the starts of them that are known from outside.
    peers: Vec<(NodeId, Epoch)>,
    /// Nodes that are gone: up to which epoch, since when.
    graves: BTreeMap<NodeId, (Epoch, Instant)>,
    /// Sums of the heads' digests; their sum is the root.
    buckets: Vec<u128>,
    /// Own tombstones, oldest first.
    tombstones: VecDeque<(Instant, u64)>,
    rumours: Vec<Rumour>,
    /// Own changes up to here are rumours.
    told: u64,
    /// When the others become one.
    tell_at: Option<Instant>,
    bucket: Bucket,
    pulls: BTreeMap<NodeId, Pull>,
    /// With whom to go on once nothing is pulled any more.
    more_from: Option<NodeId>,
    jobs: Jobs,
    replays: BTreeMap<NodeId, Replay>,
    compare_at: Instant,
    /// With whom the root was equal last, and with whom not.
    verdicts: BTreeMap<NodeId, bool>,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl Replica {
    /// A replica that knows of nobody; `own` is this node and this start of it. Say something at once, as
    /// [`Record::NodeInfo`]: of a start that says nothing others do not hear.
    #[must_use]
    pub fn new(own: (NodeId, Epoch), config: Config, now: Instant) -> Self {
        let mut replica = Self {
            own: own.0,
            config,
            origins: BTreeMap::from([(own.0, Origin::up(own.1))]),
            peers: Vec::new(),
            graves: BTreeMap::new(),
            buckets: vec![0; 256],
            tombstones: VecDeque::new(),
            rumours: Vec::new(),
            told: 0,
            tell_at: None,
            bucket: Bucket::new(config.rate, now),
            pulls: BTreeMap::new(),
            more_from: None,
            jobs: Jobs::default(),
            replays: BTreeMap::new(),
            compare_at: now + config.compare_every,
            verdicts: BTreeMap::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
        };
        replica.refresh(own.0);
        replica
    }

    /// Says something of this node, or says it anew. Nothing happens if it is said already.
    ///
    /// # Errors
    ///
    /// [`PutError`] if there are too many or the record is too large; nothing is changed then.
    pub fn put(&mut self, record: &Record, now: Instant) -> Result<(), PutError> {
        let value = record.encode_value()?;
        let key = record.key().octets();
        let limit = self.config.max_records;
        let Some(origin) = self.origins.get_mut(&self.own) else { return Ok(()) };
        let held = origin.stream.value(&key);
        if held == Some(&value[..]) {
            return Ok(());
        }
        if held.is_none() && origin.stream.live() >= limit {
            return Err(PutError::Full { limit });
        }
        origin.stream.append(Item::new(&key, Some(&value)));
        let moved = matches!(record, Record::Mac(mac) if mac.mob_seq > 0);
        self.tell(if moved { Duration::ZERO } else { self.config.coalesce }, now);
        Ok(())
    }

    /// Takes back what was said; nothing happens if it was not.
    pub fn remove(&mut self, key: &Key, now: Instant) {
        let key = key.octets();
        let Some(origin) = self.origins.get_mut(&self.own) else { return };
        if origin.stream.value(&key).is_none() {
            return;
        }
        if self.config.has(Fault::ForgottenTombstone) {
            origin.stream.forget(&key);
            self.refresh(self.own);
            return;
        }
        let seq = origin.stream.append(Item::new(&key, None));
        self.tombstones.push_back((now, seq));
        self.cut_tombstones(now);
        self.tell(self.config.coalesce, now);
    }

    /// Own tombstones that are old or too many are cut: who missed them takes a replacement.
    fn cut_tombstones(&mut self, now: Instant) {
        let mut floor = 0;
        while let Some(&(since, seq)) = self.tombstones.front() {
            if self.tombstones.len() <= self.config.max_tombstones
                && now.duration_since(since) < KEEP_TOMBSTONE
            {
                break;
            }
            floor = seq;
            self.tombstones.pop_front();
        }
        if let (Some(origin), true) = (self.origins.get_mut(&self.own), floor > 0) {
            origin.stream.raise_floor(floor);
        }
    }

    /// Takes a message of `from`, of a datagram or a chunk of a stream.
    ///
    /// # Errors
    ///
    /// [`WireError`] if it is none; nothing is changed but a counter.
    pub fn handle_message(
        &mut self,
        from: NodeId,
        bytes: &[u8],
        now: Instant,
        rng: &mut impl Rng,
    ) -> Result<(), WireError> {
        let message = wire::Message::decode(bytes).inspect_err(|_| self.counters.bad_messages += 1)?;
        match message {
            wire::Message::Delta(sections) => {
                sections.into_iter().for_each(|section| self.merge(from, &section, now));
            }
            wire::Message::Root { answer, root } => self.handle_root(from, answer, root, rng),
            wire::Message::Buckets { first, digests } => self.handle_buckets(from, first, &digests, rng),
            wire::Message::Heads(heads) => self.handle_heads(from, &heads, now, rng),
            wire::Message::Pull(wants) => self.handle_pull(from, wants),
        }
        Ok(())
    }

    /// Does what is due; to be called at [`poll_timeout`](Self::poll_timeout), earlier does no harm.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut impl Rng) {
        self.push(now, rng);
        if now >= self.compare_at {
            self.compare_at = now + self.config.compare_every;
            self.keep_house(now);
            self.compare(rng);
        }
        self.pull(now);
        self.bucket.refill(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        let rumours = self.rumours.iter().map(|rumour| rumour.next);
        let pulls = self.pulls.values().map(|pull| pull.at);
        let jobs = self.jobs.wait_for_datagrams().then(|| self.bucket.ready());
        let others = rumours.chain(pulls).chain(self.tell_at).chain(jobs);
        others.fold(self.compare_at, Instant::min)
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty() {
            // What one burst needed is not kept for ever.
            self.outputs.shrink_to(OUTPUTS_KEPT);
            self.report_again();
        }
        while self.outputs.is_empty() && self.serve() {}
        self.outputs.pop_front()
    }

    /// What a node says of a key, as it is shown.
    #[must_use]
    pub fn get(&self, origin: NodeId, key: &Key) -> Option<Record> {
        let key = key.octets();
        Record::decode(&key, self.origins.get(&origin)?.shown()?.value(&key)?).ok()
    }

    /// All that a node says, as it is shown, oldest change first.
    pub fn records(&self, origin: NodeId) -> impl Iterator<Item = Record> {
        let stream = self.origins.get(&origin).and_then(Origin::shown);
        let items = stream.into_iter().flat_map(stream::Stream::items);
        items.filter_map(|item| Record::decode(item.key(), item.value()?).ok())
    }

    /// The digest of the streams of all nodes that are up: equal where the same is known.
    #[must_use]
    pub fn root(&self) -> u128 {
        self.buckets.iter().fold(0, |sum, bucket| sum.wrapping_add(*bucket))
    }

    /// Whether the root was equal when it was last compared with a node; `None`: it was not yet.
    #[must_use]
    pub fn agrees_with(&self, node: NodeId) -> Option<bool> {
        self.verdicts.get(&node).copied()
    }

    /// Whether the root of a node that is up was another when it was last compared.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.verdicts.values().any(|equal| !equal)
    }

    /// Whether a node says more than there may be: some of it is not known here.
    #[must_use]
    pub fn is_over_limit(&self, node: NodeId) -> bool {
        self.origins.get(&node).is_some_and(|origin| origin.stream.refused > 0)
    }

    /// This start of this node: raised if others know a later one.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.origins.get(&self.own).map_or(Epoch::new(0), |origin| origin.stream.epoch)
    }

    /// Records and tombstones that are held, of all nodes.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.origins.values().map(Origin::len).sum()
    }

    /// Those of one node, hidden or not.
    #[must_use]
    pub fn held(&self, origin: NodeId) -> usize {
        self.origins.get(&origin).map_or(0, Origin::len)
    }

    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }
}
