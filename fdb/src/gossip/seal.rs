//! The seal around gossip: what a node sends can be read and made only by who has the cluster's key, and is taken once.
//!
//! ```text
//!            seal                                             open
//!  message ───────> magic version flags key-id node boot counter | ciphertext | tag ───────> message
//!                   └──────────── 48 octets, in the clear ───────┘              16
//! ```
//!
//! 1. Each process seals under its own key, HKDF-SHA256(cluster key, node || boot), with ChaCha20-Poly1305 and a counter as
//!    the nonce. The boot id is random at each start, so that no nonce is used twice even when a state directory comes back
//!    out of a snapshot.
//! 2. Of a process that is known, each counter is taken once, up to [`WINDOW`] behind its latest.
//! 3. A process that is not known is challenged, and the first datagram of it waits for the answer: what was recorded
//!    earlier cannot answer. [`Gate::trust`] spares that to those of whom a sealed roster told.
//! 4. A datagram without a valid tag changes nothing and is answered with nothing.
//!
//! What the seal does not do: any holder of the key can speak as any node; and a datagram does not name its receiver, so
//! that who is on the way can bring it to another node, once. Messages must bear both.
//!
//! [`stream`] seals what goes over TCP. [`Gate::for_paths`] seals what probes the paths of the data, under keys of its own:
//! no counter is used twice with one key.

mod cipher;
mod keys;
mod opener;
mod refusal;
mod sealer;
pub mod stream;
#[cfg(test)]
mod tests;
mod window;
mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use rand_core::CryptoRng;

use self::cipher::TAG_OCTETS;
pub use self::keys::{KEY_OCTETS, Key, KeyError, KeyFileError, KeyId, Keyring, MAX_KEYS};
use self::opener::{Arrival, Nonce, Opener, Verdict};
pub use self::opener::{CHALLENGE_AGAIN, CHALLENGE_LIFE, MAX_CHALLENGES, MAX_NODES};
pub use self::refusal::Refusal;
use self::sealer::Sealer;
pub use self::window::WINDOW;
use self::wire::{HEADER_OCTETS, Prefix};
use super::identity::{BootId, NodeId};

/// The version of what is around the messages; a higher one is refused.
pub const VERSION: u8 = 1;

/// Octets of one message at most, its kind not counted.
pub const MAX_PAYLOAD: usize = 1_135;

/// Octets of one message about a path at most: one that has a frame in it, of a network of jumbo frames.
pub const MAX_PATH_PAYLOAD: usize = 9_216;

/// Octets of a datagram of gossip at most: it fits into the smallest packet that IPv6 must carry, 1,280, also inside of a tunnel.
pub const MAX_DATAGRAM: usize = OVERHEAD + MAX_PAYLOAD;

/// Octets of a datagram that are not payload.
pub const OVERHEAD: usize = HEADER_OCTETS + 1 + TAG_OCTETS;

const _: () = assert!(MAX_DATAGRAM <= 1_200, "no datagram is above 1,200 octets");

/// Whether gossip is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// With the first of these keys; all of them open.
    Sealed(Keyring),
    /// Not at all: anybody can read and make messages. The framing is the same, with a checksum for a tag.
    Insecure,
}

impl Mode {
    /// The key of this name; `None` = insecure.
    fn key(&self, id: Option<KeyId>) -> Result<Option<&Key>, Refusal> {
        match (self, id) {
            (Self::Insecure, None) => Ok(None),
            (Self::Insecure, Some(_)) => Err(Refusal::Sealed),
            (Self::Sealed(_), None) => Err(Refusal::Insecure),
            (Self::Sealed(ring), Some(id)) => ring.get(id).map(Some).ok_or(Refusal::UnknownKey { id }),
        }
    }

    /// What a process says of itself.
    fn prefix(&self, me: Process) -> Prefix {
        let key = match self {
            Self::Sealed(ring) => Some(ring.in_use()),
            Self::Insecure => None,
        };
        Prefix { key, node: me.node, boot: me.boot }
    }

    fn ring(&mut self) -> Result<&mut Keyring, KeyError> {
        match self {
            Self::Sealed(ring) => Ok(ring),
            Self::Insecure => Err(KeyError::Insecure),
        }
    }
}

/// One run of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// The node.
    pub node: NodeId,
    /// Its run.
    pub boot: BootId,
}

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A packet of the membership protocol.
    Membership = 1,
    /// A message of the replication of the FDB.
    Replication = 2,
    /// A message about the path between two nodes, of a gate [for paths](Gate::for_paths). (3 is what gates say to each other.)
    Path = 4,
}

impl Kind {
    /// Octets of one message at most.
    const fn max_payload(self) -> usize {
        match self {
            Self::Membership | Self::Replication => MAX_PAYLOAD,
            Self::Path => MAX_PATH_PAYLOAD,
        }
    }
}

/// What a gate is for: its keys are derived for that, and it takes nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Membership and replication; strangers are challenged.
    Gossip,
    /// Probes of paths; of strangers nothing is taken.
    Paths,
}

impl Purpose {
    /// What the key of a sender is derived for.
    /// Octets of a datagram at most.
    const fn max_datagram(self) -> usize {
        match self {
            Self::Gossip => MAX_DATAGRAM,
            Self::Paths => OVERHEAD + MAX_PATH_PAYLOAD,
        }
    }

    const fn info(self) -> &'static [u8] {
        match self {
            Self::Gossip => b"weft gossip v1",
            Self::Paths => b"weft path v1",
        }
    }
}

/// A message of a process that is known: genuine, and here for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who sealed it.
    pub sender: Process,
    /// Whence it came; not protected by the seal.
    pub from: SocketAddr,
    /// What it is for.
    pub kind: Kind,
    /// What it says, up to [`MAX_PAYLOAD`] octets, about a path [`MAX_PATH_PAYLOAD`].
    pub payload: Vec<u8>,
}

/// A process proved that it has the key and lives now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewBoot {
    /// Its node.
    pub node: NodeId,
    /// The process of that node that was known so far, which is retired now. Whether it still lives, so that one of the two
    /// is a clone, [`Gate::challenge`] finds out.
    pub old: Option<BootId>,
    /// The process.
    pub new: BootId,
}

/// What a datagram led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// A message for the owner.
    Message(Message),
    /// It came from a stranger and waits; this datagram is to be sent to find out whether the stranger lives.
    Challenge {
        /// Where to.
        to: SocketAddr,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// It was a challenge; this datagram is the answer.
    Answer {
        /// Where to.
        to: SocketAddr,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// It was the answer of a stranger, who is known now.
    Proved {
        /// Who it is.
        news: NewBoot,
        /// The message that waited.
        waiting: Message,
    },
    /// It was the answer to [`Gate::challenge`]: this process lives.
    Alive {
        /// The process.
        who: Process,
        /// Whence it answered.
        from: SocketAddr,
    },
}

/// Why something was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The message is too long.
    #[error("a message of {octets} octets is above {most}: cut it, or send it over a stream")]
    TooLong {
        /// Its length.
        octets: usize,
        /// What one of its kind may have.
        most: usize,
    },
    /// All counters were used.
    #[error("this process has used all its counters: start it again")]
    Exhausted,
}

/// Why nobody is challenged, or trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// There are as many nodes as there may be.
    #[error("{MAX_NODES} nodes are known already, which is the most: let nodes that are gone be forgotten")]
    NodesFull,
    /// Too many challenges have no answer yet, or the process is not known.
    #[error("boot {} of node {} cannot be challenged: it is not known here, or {MAX_CHALLENGES} others are; try later", .0.boot, .0.node)]
    NotAsked(Process),
    /// All counters were used.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// The seal of one process: everything that it sends and receives as datagrams goes through here.
///
/// # Examples
///
/// ```
/// use fdb::gossip::identity::{BootId, NodeId};
/// use fdb::gossip::seal::{Gate, Key, Keyring, Kind, Mode, Opened, Process};
/// # #[derive(Clone)] struct Dice(u64);
/// # impl rand_core::TryRng for Dice {
/// #     type Error = std::convert::Infallible;
/// #     fn try_next_u32(&mut self) -> Result<u32, Self::Error> { self.0 += 1; Ok(self.0 as u32) }
/// #     fn try_next_u64(&mut self) -> Result<u64, Self::Error> { self.0 += 1; Ok(self.0) }
/// #     fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Self::Error> { dst.fill(7); Ok(()) }
/// # }
/// # impl rand_core::TryCryptoRng for Dice {}
/// # let (mut rng, now) = (Dice(0), std::time::Instant::now());
/// let mode = Mode::Sealed(Keyring::new(Key::random(&mut rng)));
/// let process = |n| Process { node: NodeId::new(n), boot: BootId::new(n + 100) };
/// let [mut a, mut b] = [1, 2].map(|n| Gate::new(process(n), mode.clone()));
/// let addr = "10.0.0.1:6786".parse()?;
///
/// let mut datagram = Vec::new();
/// a.seal(Kind::Membership, b"hello", &mut datagram)?;
/// let Opened::Challenge { bytes, .. } = b.open(&datagram, addr, now, &mut rng)? else { panic!() };
/// let Opened::Answer { bytes, .. } = a.open(&bytes, addr, now, &mut rng)? else { panic!() };
/// let Opened::Proved { waiting, .. } = b.open(&bytes, addr, now, &mut rng)? else { panic!() };
/// assert_eq!(waiting.payload, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Gate {
    me: Process,
    mode: Mode,
    sealer: Sealer,
    opener: Opener,
}

impl Gate {
    /// The seal of process `me`, whose boot id was never used before.
    #[must_use]
    pub fn new(me: Process, mode: Mode) -> Self {
        Self::with_purpose(Purpose::Gossip, me, mode)
    }

    /// The seal of what process `me` says about paths: [`Kind::Path`]. It takes messages of processes that it was told to
    /// [trust](Gate::trust), and neither challenges nor answers anybody. One process makes one such gate: its counters
    /// begin at 0.
    #[must_use]
    pub fn for_paths(me: Process, mode: Mode) -> Self {
        Self::with_purpose(Purpose::Paths, me, mode)
    }

    fn with_purpose(purpose: Purpose, me: Process, mode: Mode) -> Self {
        let sealer = Sealer::new(purpose, me, &mode);
        Self { me, sealer, mode, opener: Opener::new(purpose, me) }
    }

    // ---- datagrams ----

    /// Appends the datagram of one message to `out`.
    ///
    /// # Errors
    ///
    /// [`SealError`]; nothing is appended then.
    pub fn seal(&mut self, kind: Kind, payload: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let most = kind.max_payload();
        if payload.len() > most {
            return Err(SealError::TooLong { octets: payload.len(), most });
        }
        self.sealer.seal(kind as u8, payload, out).ok_or(SealError::Exhausted)
    }

    /// Opens a datagram that came `from` an address; `rng` makes the challenge for a stranger.
    ///
    /// # Errors
    ///
    /// [`Refusal`], for which the datagram is dropped and nothing is sent.
    ///
    /// # Cost
    ///
    /// Of a known process one decryption. Of a stranger also the derivation of its key, before its tag can be checked:
    /// whoever calls limits how many come from one source.
    pub fn open(
        &mut self,
        datagram: &[u8],
        from: SocketAddr,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Result<Opened, Refusal> {
        let to = from;
        match self.opener.open(&self.mode, Arrival { octets: datagram, from, now }, rng)? {
            Verdict::Message(message) => Ok(Opened::Message(message)),
            Verdict::Proved { news, waiting } => Ok(Opened::Proved { news, waiting }),
            Verdict::Alive(who) => Ok(Opened::Alive { who, from }),
            Verdict::Challenge(nonce) => {
                let bytes = self.control(opener::challenge(nonce)).ok_or(Refusal::Exhausted)?;
                Ok(Opened::Challenge { to, bytes })
            }
            Verdict::Answer(nonce) => {
                let bytes = self.control(opener::answer(nonce)).ok_or(Refusal::Exhausted)?;
                Ok(Opened::Answer { to, bytes })
            }
        }
    }

    fn control(&mut self, payload: [u8; size_of::<Nonce>() + 1]) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.sealer.seal(opener::CONTROL, &payload, &mut bytes)?;
        Some(bytes)
    }

    // ---- who is known ----

    /// Takes a process as known, because a sealed roster tells of it; the process of that node that was known so far is
    /// retired. Returns the message of it that waited, if one did. Only for a process that is not older than the known one:
    /// its epoch tells.
    ///
    /// # Errors
    ///
    /// [`TrustError::NodesFull`].
    pub fn trust(&mut self, who: Process) -> Result<Option<Message>, TrustError> {
        self.opener.trust(who).ok_or(TrustError::NodesFull)
    }

    /// Asks a known process, or the one of its node that was retired last, whether it lives: returns the datagram to send.
    /// An answer within [`CHALLENGE_LIFE`] is [`Opened::Alive`]. That is the test for a clone.
    ///
    /// # Errors
    ///
    /// [`TrustError::NotAsked`], or that no more can be sealed.
    pub fn challenge(
        &mut self,
        who: Process,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, TrustError> {
        let nonce = self.opener.ask(who, now, rng).ok_or(TrustError::NotAsked(who))?;
        Ok(self.control(opener::challenge(nonce)).ok_or(SealError::Exhausted)?)
    }

    /// In whose name a datagram comes, which anybody can write: nothing is decrypted.
    ///
    /// # Errors
    ///
    /// What [`Gate::open`] says of octets that are no datagram.
    pub fn sender(&self, octets: &[u8]) -> Result<Process, Refusal> {
        let prefix = wire::decode(octets, self.opener.max_datagram())?.prefix;
        Ok(Process { node: prefix.node, boot: prefix.boot })
    }

    /// The known process of a node.
    #[must_use]
    pub fn known(&self, node: NodeId) -> Option<BootId> {
        self.opener.live(node)
    }

    /// Forgets a node that is gone for good, with what waits of it; says whether it was known. It is a stranger when it
    /// comes again.
    pub fn forget(&mut self, node: NodeId) -> bool {
        self.opener.forget(node)
    }

    /// Forgets all nodes but those to keep, and this one: room for others. One that is there nevertheless is a stranger
    /// once more.
    pub fn retain(&mut self, keep: impl Fn(NodeId) -> bool) {
        self.opener.retain(keep);
    }

    /// Ends challenges that have no answer for [`CHALLENGE_LIFE`], and drops what waited for them; says how many.
    pub fn expire(&mut self, now: Instant) -> usize {
        self.opener.expire(now)
    }

    /// When to call [`Gate::expire`] next; it may find nothing to do then. `None` = nothing waits.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.opener.poll_timeout()
    }

    // ---- keys ----

    /// The nodes, other than this one, whose latest datagram was sealed with a key.
    pub fn users(&self, id: KeyId) -> impl Iterator<Item = NodeId> {
        self.opener.users(id)
    }

    /// The keys, or that there are none.
    #[must_use]
    pub fn mode(&self) -> &Mode {
        &self.mode
    }

    /// Goes back to keys of before, where a change could not be kept.
    pub fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        self.sealer.rekey(self.me, &self.mode);
    }

    /// The first step of a rotation: [`Keyring::install`].
    ///
    /// # Errors
    ///
    /// [`KeyError`]; nothing has changed then.
    pub fn install_key(&mut self, key: Key) -> Result<(), KeyError> {
        self.mode.ring()?.install(key)
    }

    /// The second step, when every node has the key: [`Keyring::use_key`].
    ///
    /// # Errors
    ///
    /// [`KeyError`]; nothing has changed then.
    pub fn use_key(&mut self, id: KeyId) -> Result<(), KeyError> {
        self.mode.ring()?.use_key(id)?;
        self.sealer.rekey(self.me, &self.mode);
        Ok(())
    }

    /// The third step, when no node seals with the key any more: [`Keyring::remove`].
    ///
    /// `is_live` says which of the known nodes are members that are up; only they can hinder.
    ///
    /// # Errors
    ///
    /// [`KeyError::InUse`] while it seals here, [`KeyError::InUseBy`] while the latest datagram of such a node was sealed
    /// with it, and the others; nothing has changed then.
    pub fn remove_key(&mut self, id: KeyId, is_live: impl Fn(NodeId) -> bool) -> Result<(), KeyError> {
        let ring = self.mode.ring()?;
        // What is to be done here comes first.
        if ring.in_use() == id {
            return Err(KeyError::InUse { id });
        }
        if let Some(node) = self.opener.users(id).find(|node| is_live(*node)) {
            return Err(KeyError::InUseBy { id, node });
        }
        ring.remove(id)?;
        self.opener.drop_key(id);
        Ok(())
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nodes, challenges) = self.opener.sizes();
        let Self { me, mode, .. } = self;
        f.debug_struct("Gate")
            .field("me", me)
            .field("mode", mode)
            .field("nodes", &nodes)
            .field("challenges", &challenges)
            .finish_non_exhaustive()
    }
}
