//! What control and gossip tell each other: the latest about each key, so that neither can fill the other's memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use fdb::gossip::identity::NodeId;
use fdb::gossip::members::MemberEvent;
use fdb::gossip::seal::{Key as Secret, KeyId, Mode};
use fdb::replica::{Key, Record};
use tokio::sync::Notify;

use super::convergence::ConvergenceView;
use super::dropped::DropCounts;
use crate::capture::ring::Writer;
use crate::control::config::JoinAddress;
use crate::control::protocol::GossipTraffic;

/// How long control waits for the answer to a command.
const PATIENCE: Duration = Duration::from_secs(2);

/// Events that wait for control at most; a member has few in a second.
const MAX_EVENTS: usize = 65_536;

/// Both ends of what control and gossip tell each other.
#[derive(Clone, Debug, Default)]
pub struct Link {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    orders: Mutex<Orders>,
    ordered: Notify,
    news: Mutex<News>,
    told: Notify,
    status: Mutex<Arc<Status>>,
}

/// What control wants of gossip.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// What this node says now of a key; `None` = nothing any more.
    pub(crate) records: BTreeMap<Key, Option<Record>>,
    /// Nodes of which all is to be told again.
    pub(crate) replay: BTreeSet<NodeId>,
    /// The join addresses, when they changed.
    pub(crate) join: Option<Vec<JoinAddress>>,
    /// Who wants to see datagrams from now on.
    pub(crate) captures: Vec<Writer>,
    pub(crate) commands: VecDeque<(Command, mpsc::Sender<Result<Reply, CommandError>>)>,
}

/// What a person wants of gossip.
#[derive(Debug)]
pub enum Command {
    /// Say goodbye; nothing is said or heard afterwards.
    Leave,
    /// Forget a node that is down.
    Forget(NodeId),
    /// Which keys there are.
    Keys,
    /// Add a key.
    InstallKey(Secret),
    /// Seal with this key from now on.
    UseKey(KeyId),
    /// Remove a key.
    RemoveKey(KeyId),
}

/// What came of a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It was done.
    Done,
    /// It was done, and these are the keys now.
    KeysChanged(Mode),
    /// The keys, the one in use first.
    Keys(Vec<KeyView>),
}

/// One key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyView {
    /// Its name.
    pub id: KeyId,
    /// Whether this node seals with it.
    pub in_use: bool,
    /// Members whose latest datagram was sealed with it.
    pub members: Vec<NodeId>,
}

/// Why a command was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CommandError(pub String);

/// What gossip heard since it was asked last.
#[derive(Debug, Default)]
pub struct News {
    /// What happened to members, in order.
    pub events: VecDeque<MemberEvent>,
    /// What a node says of a key now, the node's own address first; `None` = nothing any more.
    pub changes: BTreeMap<(NodeId, Key), Option<Record>>,
}

/// How gossip is; a second old at most.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The members that were ever up and are not forgotten.
    pub members: BTreeMap<NodeId, MemberStatus>,
    /// Which start of this node this is; 0 before the first status.
    pub epoch: u64,
    /// The digest of all that is known.
    pub digest: u128,
    /// Records known, of all nodes.
    pub records: usize,
    /// Whether this node knew once all that another did, or waited long enough for it.
    pub ready: bool,
    /// The join addresses.
    pub seeds: Vec<SeedStatus>,
    /// Datagrams and messages that were dropped, by reason.
    pub dropped: DropCounts,
    /// For how long this node differed from others, each time from when one did until none did any more.
    pub convergence: ConvergenceView,
    /// Somebody who speaks a later major version: where, which, when last.
    pub later_version: Option<(SocketAddr, u8, Instant)>,
    /// The longest time in the last minute by which the thread ran late.
    pub lag: Duration,
    /// Whether this node said goodbye.
    pub left: bool,
    /// What was heard and said since the thread started.
    pub traffic: GossipTraffic,
}

/// What only gossip knows of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// The smoothed round trip of gossip to it.
    pub rtt: Option<Duration>,
    /// Whether the digests were equal when they were compared last.
    pub agrees: Option<bool>,
    /// Which start of it.
    pub epoch: u64,
    /// Whether it says more than a node may: some of it is not known here.
    pub over_limit: bool,
}

/// One join address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedStatus {
    /// As it was configured.
    pub name: String,
    /// What it stands for, or why nothing.
    pub found: Result<Vec<SocketAddr>, String>,
    /// Whether a member is there, or this node itself.
    pub known: bool,
}

/// A panic while a lock was held ends the daemon; until then the data is whole, since each change is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    // ---- control's end ----

    /// Says something of this node, or takes it back.
    pub fn publish(&self, key: Key, record: Option<Record>) {
        lock(&self.shared.orders).records.insert(key, record);
        self.shared.ordered.notify_one();
    }

    /// Asks for all that a node says, as news.
    pub fn replay(&self, node: NodeId) {
        lock(&self.shared.orders).replay.insert(node);
        self.shared.ordered.notify_one();
    }

    /// Changes the join addresses.
    pub fn set_join(&self, join: Vec<JoinAddress>) {
        lock(&self.shared.orders).join = Some(join);
        self.shared.ordered.notify_one();
    }

    /// Shows datagrams to whoever reads the other end of this ring, until that is gone.
    pub fn capture(&self, writer: Writer) {
        lock(&self.shared.orders).captures.push(writer);
        self.shared.ordered.notify_one();
    }

    /// Gives a command and waits for what comes of it.
    ///
    /// # Errors
    ///
    /// [`CommandError`], also when gossip does not answer.
    pub fn command(&self, command: Command) -> Result<Reply, CommandError> {
        let (sender, receiver) = mpsc::channel();
        lock(&self.shared.orders).commands.push_back((command, sender));
        self.shared.ordered.notify_one();
        let silent =
            |_| CommandError("gossip did not answer within 2 s: look at the log, and try again".to_owned());
        receiver.recv_timeout(PATIENCE).map_err(silent)?
    }

    /// Waits until there is news.
    pub async fn told(&self) {
        self.shared.told.notified().await;
    }

    /// Takes the news.
    #[must_use]
    pub fn take_news(&self) -> News {
        std::mem::take(&mut *lock(&self.shared.news))
    }

    /// How gossip is.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&lock(&self.shared.status))
    }

    // ---- gossip's end ----

    pub(super) async fn ordered(&self) {
        self.shared.ordered.notified().await;
    }

    pub(crate) fn take_orders(&self) -> Orders {
        std::mem::take(&mut *lock(&self.shared.orders))
    }

    pub(crate) fn tell_event(&self, event: MemberEvent) {
        let mut news = lock(&self.shared.news);
        if news.events.len() < MAX_EVENTS {
            news.events.push_back(event);
        }
        self.shared.told.notify_one();
    }

    pub(crate) fn tell_change(&self, origin: NodeId, key: Key, record: Option<Record>) {
        lock(&self.shared.news).changes.insert((origin, key), record);
        self.shared.told.notify_one();
    }

    pub(crate) fn set_status(&self, status: Status) {
        *lock(&self.shared.status) = Arc::new(status);
    }
}
