//! The receiving side: who is known, who waits for the answer to a challenge, and what was seen.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_core::CryptoRng;

use super::cipher::Cipher;
use super::refusal::Refusal;
use super::sealer;
use super::window::Window;
use super::wire::{self, Datagram};
use super::{BootId, KeyId, Kind, Message, Mode, NewBoot, NodeId, Process, Purpose};

/// Nodes that are known at most, the local one included: as many as a cluster may have, some 500 octets each.
pub const MAX_NODES: usize = 16_384;

/// Challenges without an answer at most; the datagrams that wait for them take some 1.2 MB.
pub const MAX_CHALLENGES: usize = 1_000;

/// How long an answer may take.
pub const CHALLENGE_LIFE: Duration = Duration::from_secs(5);

/// A stranger that sends again after this time is challenged again: the challenge or its answer may be lost.
pub const CHALLENGE_AGAIN: Duration = Duration::from_millis(250);

/// What a challenge is made of: random, and echoed.
pub(super) type Nonce = [u8; 16];

/// The kind of challenges and answers.
pub(super) const CONTROL: u8 = 3;
const CHALLENGE: u8 = 0;
const ANSWER: u8 = 1;

/// The payload of a challenge.
pub(super) fn challenge(nonce: Nonce) -> [u8; 17] {
    control(CHALLENGE, nonce)
}

/// The payload of the answer to a challenge.
pub(super) fn answer(nonce: Nonce) -> [u8; 17] {
    control(ANSWER, nonce)
}

fn control(what: u8, nonce: Nonce) -> [u8; 17] {
    let mut payload = [what; 17];
    payload[1..].copy_from_slice(&nonce);
    payload
}

/// What a genuine datagram says.
enum Content {
    Message(Kind, Vec<u8>),
    Challenge(Nonce),
    Answer(Nonce),
}

impl Content {
    fn decode(purpose: Purpose, mut plain: Vec<u8>) -> Result<Self, Refusal> {
        let (&kind, rest) = plain.split_first().ok_or(Refusal::Malformed)?;
        let kind = match (purpose, kind) {
            (Purpose::Gossip, CONTROL) => {
                let (&what, nonce) = rest.split_first().ok_or(Refusal::Malformed)?;
                let nonce = nonce.try_into().map_err(|_| Refusal::Malformed)?;
                return match what {
                    CHALLENGE => Ok(Self::Challenge(nonce)),
                    ANSWER => Ok(Self::Answer(nonce)),
                    _ => Err(Refusal::Malformed),
                };
            }
            (Purpose::Gossip, 1) => Kind::Membership,
            (Purpose::Gossip, 2) => Kind::Replication,
            (Purpose::Paths, 4) => Kind::Path,
            (_, kind) => return Err(Refusal::UnknownKind { kind }),
        };
        plain.remove(0);
        Ok(Self::Message(kind, plain))
    }
}

/// What a datagram led to; the gate makes octets of it.
pub(super) enum Verdict {
    Message(Message),
    Challenge(Nonce),
    Answer(Nonce),
    Proved { news: NewBoot, waiting: Message },
    Alive(Process),
}

/// A datagram as it arrived.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub(super) octets: &'a [u8],
    pub(super) from: SocketAddr,
    pub(super) now: Instant,
}

/// One process of a node, and what was seen of it.
struct Boot {
    id: BootId,
    window: Window,
    /// The cipher of its latest datagram.
    cipher: Option<(KeyId, Cipher)>,
}

impl Boot {
    fn new(id: BootId) -> Self {
        Self { id, window: Window::default(), cipher: None }
    }

    /// Opens a datagram of this process and remembers that it was there.
    fn open(&mut self, purpose: Purpose, mode: &Mode, datagram: &Datagram<'_>) -> Result<Content, Refusal> {
        self.window.check(datagram.counter)?;
        let key = datagram.prefix.key.unwrap_or(KeyId::NONE);
        let plain = match &self.cipher {
            Some((known, cipher)) if *known == key => open(cipher, datagram)?,
            _ => {
                let cipher = sealer::cipher(purpose, mode, &datagram.prefix)?;
                let plain = open(&cipher, datagram)?;
                self.cipher = Some((key, cipher));
                plain
            }
        };
        self.window.mark(datagram.counter);
        Content::decode(purpose, plain)
    }
}

fn open(cipher: &Cipher, datagram: &Datagram<'_>) -> Result<Vec<u8>, Refusal> {
    cipher.open(datagram.counter, datagram.header, datagram.sealed).ok_or(Refusal::BadTag)
}

struct Node {
    live: Boot,
    /// The process before: refused, unless the owner asks it whether it still lives.
    retired: Option<Boot>,
}

/// A challenge that was made and has no answer.
struct Pending {
    nonce: Nonce,
    made: Instant,
    sent: Instant,
    /// What a stranger sent first, and its counter; `None` = the owner asked.
    waiting: Option<(Message, u64)>,
}

/// Opens what others sent.
pub(super) struct Opener {
    purpose: Purpose,
    me: Process,
    nodes: BTreeMap<NodeId, Node>,
    pending: BTreeMap<(NodeId, BootId), Pending>,
    /// When the first challenge ends, or before.
    wake: Option<Instant>,
}

impl Opener {
    pub(super) fn new(purpose: Purpose, me: Process) -> Self {
        let own = Node { live: Boot::new(me.boot), retired: None };
        Self { purpose, me, nodes: BTreeMap::from([(me.node, own)]), pending: BTreeMap::new(), wake: None }
    }

    /// Octets of a datagram that is looked at, at most.
    pub(super) const fn max_datagram(&self) -> usize {
        self.purpose.max_datagram()
    }

    pub(super) fn open(
        &mut self,
        mode: &Mode,
        arrival: Arrival<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<Verdict, Refusal> {
        let datagram = wire::decode(arrival.octets, self.max_datagram())?;
        let sender = Process { node: datagram.prefix.node, boot: datagram.prefix.boot };
        // First the key: a cached cipher must not outlive it.
        mode.key(datagram.prefix.key)?;
        if sender == self.me {
            return Err(Refusal::Own);
        }
        self.expire(arrival.now);
        let purpose = self.purpose;
        match self.nodes.get_mut(&sender.node) {
            Some(node) if node.live.id == sender.boot => match node.live.open(purpose, mode, &datagram)? {
                Content::Message(kind, payload) => {
                    Ok(Verdict::Message(Message { sender, from: arrival.from, kind, payload }))
                }
                Content::Challenge(nonce) => Ok(Verdict::Answer(nonce)),
                Content::Answer(nonce) => self.answered(sender, nonce, datagram.counter),
            },
            Some(Node { retired: Some(retired), .. }) if retired.id == sender.boot => {
                match retired.open(purpose, mode, &datagram)? {
                    Content::Message(..) => Err(Refusal::Retired),
                    Content::Challenge(nonce) => Ok(Verdict::Answer(nonce)),
                    Content::Answer(nonce) => self.answered(sender, nonce, datagram.counter),
                }
            }
            // Before the tag is checked: who is not to be heard costs no cryptography.
            _ if purpose == Purpose::Paths => Err(Refusal::Stranger),
            _ => {
                let plain = open(&sealer::cipher(purpose, mode, &datagram.prefix)?, &datagram)?;
                match Content::decode(purpose, plain)? {
                    Content::Message(kind, payload) => {
                        let message = Message { sender, from: arrival.from, kind, payload };
                        self.stranger(message, datagram.counter, arrival.now, rng)
                    }
                    Content::Challenge(nonce) => Ok(Verdict::Answer(nonce)),
                    Content::Answer(nonce) => self.answered(sender, nonce, datagram.counter),
                }
            }
        }
    }

    /// A genuine datagram of a process that is not known: the first waits, and its sender is challenged.
    fn stranger(
        &mut self,
        message: Message,
        counter: u64,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Result<Verdict, Refusal> {
        let sender = message.sender;
        if let Some(pending) = self.pending.get_mut(&(sender.node, sender.boot)) {
            if now.saturating_duration_since(pending.sent) < CHALLENGE_AGAIN {
                return Err(Refusal::Challenged);
            }
            pending.sent = now;
            return Ok(Verdict::Challenge(pending.nonce));
        }
        if !self.nodes.contains_key(&sender.node) && self.nodes.len() >= MAX_NODES {
            return Err(Refusal::NodesFull);
        }
        let nonce = self.pend(sender, Some((message, counter)), now, rng).ok_or(Refusal::WaitingFull)?;
        Ok(Verdict::Challenge(nonce))
    }

    /// A challenge of a process that is known, or was.
    pub(super) fn ask(&mut self, who: Process, now: Instant, rng: &mut impl CryptoRng) -> Option<Nonce> {
        self.expire(now);
        let node = self.nodes.get(&who.node)?;
        let known = node.live.id == who.boot || node.retired.as_ref().is_some_and(|old| old.id == who.boot);
        if !known {
            return None;
        }
        match self.pending.get(&(who.node, who.boot)) {
            Some(pending) => Some(pending.nonce),
            None => self.pend(who, None, now, rng),
        }
    }

    fn pend(
        &mut self,
        who: Process,
        waiting: Option<(Message, u64)>,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Option<Nonce> {
        if self.pending.len() >= MAX_CHALLENGES {
            return None;
        }
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        self.pending.insert((who.node, who.boot), Pending { nonce, made: now, sent: now, waiting });
        self.wake = Some(self.wake.map_or(now + CHALLENGE_LIFE, |wake| wake.min(now + CHALLENGE_LIFE)));
        Some(nonce)
    }

    /// An answer: who was a stranger becomes the live process of its node.
    fn answered(&mut self, sender: Process, nonce: Nonce, counter: u64) -> Result<Verdict, Refusal> {
        let key = (sender.node, sender.boot);
        if self.pending.get(&key).is_none_or(|pending| pending.nonce != nonce) {
            return Err(Refusal::StrayAnswer);
        }
        let Some(Pending { made, waiting, .. }) = self.pending.remove(&key) else {
            return Err(Refusal::StrayAnswer);
        };
        let Some((waiting, first)) = waiting else {
            return Ok(Verdict::Alive(sender));
        };
        // A process of the same node that came earlier may have ended since: its answer, if it is on its way, must not
        // retire this one.
        self.pending
            .retain(|(node, _), other| *node != sender.node || other.made > made || other.waiting.is_none());
        // The place may have been taken while the challenge was on its way.
        let old = self.enlist(sender).ok_or(Refusal::NodesFull)?;
        if let Some(node) = self.nodes.get_mut(&sender.node) {
            node.live.window.mark(first.min(counter));
            node.live.window.mark(first.max(counter));
        }
        Ok(Verdict::Proved { news: NewBoot { node: sender.node, old, new: sender.boot }, waiting })
    }

    /// Takes the word of somebody who is believed; gives back what waited for a challenge. `None` = no room.
    pub(super) fn trust(&mut self, who: Process) -> Option<Option<Message>> {
        self.enlist(who)?;
        let waiting = self.pending.get_mut(&(who.node, who.boot)).and_then(|pending| pending.waiting.take());
        Some(waiting.and_then(|(message, counter)| {
            self.pending.remove(&(who.node, who.boot));
            let node = self.nodes.get_mut(&who.node)?;
            node.live.window.check(counter).ok()?;
            node.live.window.mark(counter);
            Some(message)
        }))
    }

    /// Makes a process the live one of its node and retires the one before, which it returns. What was seen of a retired
    /// one that comes back is not forgotten. `None` = no room.
    fn enlist(&mut self, who: Process) -> Option<Option<BootId>> {
        let room = self.nodes.len() < MAX_NODES;
        let Some(node) = self.nodes.get_mut(&who.node) else {
            let node = Node { live: Boot::new(who.boot), retired: None };
            return room.then(|| self.nodes.insert(who.node, node)).map(|_| None);
        };
        if node.live.id == who.boot {
            return Some(None);
        }
        let back = node.retired.take().filter(|retired| retired.id == who.boot);
        let old = std::mem::replace(&mut node.live, back.unwrap_or_else(|| Boot::new(who.boot)));
        let id = old.id;
        node.retired = Some(old);
        Some(Some(id))
    }

    pub(super) fn forget(&mut self, node: NodeId) -> bool {
        if node == self.me.node {
            return false;
        }
        self.pending.retain(|(pending, _), _| *pending != node);
        self.nodes.remove(&node).is_some()
    }

    pub(super) fn retain(&mut self, keep: impl Fn(NodeId) -> bool) {
        let own = self.me.node;
        self.nodes.retain(|node, _| *node == own || keep(*node));
    }

    /// Ends challenges that are too old, with what waited for them.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        if self.wake.is_none_or(|wake| now < wake) {
            return 0;
        }
        let before = self.pending.len();
        self.pending.retain(|_, pending| now.saturating_duration_since(pending.made) < CHALLENGE_LIFE);
        self.wake = self.pending.values().map(|pending| pending.made + CHALLENGE_LIFE).min();
        before - self.pending.len()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.wake
    }

    pub(super) fn live(&self, node: NodeId) -> Option<BootId> {
        self.nodes.get(&node).map(|node| node.live.id)
    }

    /// Nodes, other than this one, whose latest datagram was sealed with a key.
    pub(super) fn users(&self, key: KeyId) -> impl Iterator<Item = NodeId> {
        let of = move |node: &Node| node.live.cipher.as_ref().is_some_and(|(id, _)| *id == key);
        self.nodes.iter().filter(move |(_, node)| of(node)).map(|(id, _)| *id)
    }

    /// Drops what was derived of a key that is no more.
    pub(super) fn drop_key(&mut self, key: KeyId) {
        for node in self.nodes.values_mut() {
            for boot in std::iter::once(&mut node.live).chain(&mut node.retired) {
                boot.cipher.take_if(|(id, _)| *id == key);
            }
        }
    }

    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.nodes.len(), self.pending.len())
    }
}
