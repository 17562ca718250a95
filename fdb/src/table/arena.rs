//! The writer's nodes, threaded by lists in order of age: nothing is allocated for a refresh or a move.

use encap::MacAddr;

use crate::shared::Mark;

/// No node.
pub(super) const NIL: u32 = u32::MAX;

/// Nodes that are allocated together. One vector of all would be copied whenever it is full, and then be half empty.
const BLOCK: usize = 4096;

/// What only the writer needs to know of an entry.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) mac: MacAddr,
    pub(super) mark: Mark,
    /// Moves since `since`; they freeze the entry when there are too many.
    pub(super) recent_moves: u8,
    /// The share it belongs to; [`NIL`] for a node that is free.
    pub(super) share: u32,
    /// The mobility sequence number: of its claim, or the moves since it was learned, on top of the claim it moved from.
    pub(super) mob_seq: u32,
    /// Nanoseconds on the table's clock; of a claim, when it came to hold the entry.
    pub(super) last_seen: u64,
    /// When the window of `recent_moves` began, or when it was frozen.
    pub(super) since: u64,
    /// The number of its last change.
    pub(super) seq: u64,
    links: [Link; 2],
}

#[derive(Clone, Copy, Debug)]
struct Link {
    previous: u32,
    next: u32,
}

const UNLINKED: Link = Link { previous: NIL, next: NIL };

/// The two lists that each node may be on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chain {
    /// Of its network: what is to age, or what is to thaw.
    Network = 0,
    /// Of its share.
    Share = 1,
}

/// The ends of a list, oldest first.
#[derive(Clone, Debug)]
pub(super) struct List {
    first: u32,
    last: u32,
    len: usize,
}

impl List {
    pub(super) const EMPTY: Self = Self { first: NIL, last: NIL, len: 0 };

    pub(super) fn first(&self) -> Option<u32> {
        (self.first != NIL).then_some(self.first)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

/// All nodes; freed ones are used again.
#[derive(Debug)]
pub(super) struct Arena {
    /// All but the last are full.
    blocks: Vec<Vec<Node>>,
    free: List,
}

impl Arena {
    pub(super) const fn new() -> Self {
        Self { blocks: Vec::new(), free: List::EMPTY }
    }

    pub(super) fn len(&self) -> usize {
        let last = self.blocks.last().map_or(0, |last| BLOCK - last.len());
        self.blocks.len() * BLOCK - last - self.free.len
    }

    pub(super) fn get(&self, id: u32) -> &Node {
        &self.blocks[id as usize / BLOCK][id as usize % BLOCK]
    }

    pub(super) fn get_mut(&mut self, id: u32) -> &mut Node {
        &mut self.blocks[id as usize / BLOCK][id as usize % BLOCK]
    }

    /// The nodes in use, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.blocks.iter().flatten().filter(|node| node.share != NIL)
    }

    /// A node that is on no list yet.
    #[allow(clippy::cast_possible_truncation)] // limits keep the table far below 2^32 entries
    pub(super) fn add(&mut self, mac: MacAddr, mark: Mark, now: u64) -> u32 {
        let node = Node {
            mac,
            mark,
            recent_moves: 0,
            share: NIL,
            mob_seq: 0,
            last_seen: now,
            since: now,
            seq: 0,
            links: [UNLINKED; 2],
        };
        let Some(id) = self.free.first() else {
            let full = self.blocks.last().is_none_or(|last| last.len() == BLOCK);
            if full {
                self.blocks.push(Vec::with_capacity(BLOCK));
            }
            let before = self.blocks.len() - 1;
            let last = &mut self.blocks[before];
            last.push(node);
            return (before * BLOCK + last.len()) as u32 - 1;
        };
        self.with_free(|arena, free| arena.unlink(free, Chain::Network, id));
        *self.get_mut(id) = node;
        id
    }

    /// Gives back a node that is on no list any more.
    pub(super) fn remove(&mut self, id: u32) {
        self.get_mut(id).share = NIL;
        self.with_free(|arena, free| arena.append(free, Chain::Network, id));
    }

    fn with_free(&mut self, change: impl FnOnce(&mut Self, &mut List)) {
        let mut free = std::mem::replace(&mut self.free, List::EMPTY);
        change(self, &mut free);
        self.free = free;
    }

    pub(super) fn append(&mut self, list: &mut List, chain: Chain, id: u32) {
        *self.link(chain, id) = Link { previous: list.last, next: NIL };
        match list.last {
            NIL => list.first = id,
            last => self.link(chain, last).next = id,
        }
        list.last = id;
        list.len += 1;
    }

    pub(super) fn unlink(&mut self, list: &mut List, chain: Chain, id: u32) {
        let Link { previous, next } = std::mem::replace(self.link(chain, id), UNLINKED);
        match previous {
            NIL => list.first = next,
            previous => self.link(chain, previous).next = next,
        }
        match next {
            NIL => list.last = previous,
            next => self.link(chain, next).previous = previous,
        }
        list.len -= 1;
    }

    /// Makes a node the youngest of its list.
    pub(super) fn renew(&mut self, list: &mut List, chain: Chain, id: u32) {
        if list.last != id {
            self.unlink(list, chain, id);
            self.append(list, chain, id);
        }
    }

    fn link(&mut self, chain: Chain, id: u32) -> &mut Link {
        &mut self.get_mut(id).links[chain as usize]
    }
}
