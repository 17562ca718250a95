//! Who owns entries: a port or a remote VTEP, and what it has in each network.

use std::collections::HashMap;

use encap::Vni;
use foldhash::fast::RandomState;

use super::arena::{Arena, List};
use crate::Location;

/// What one owner has in one network.
#[derive(Clone, Debug)]
pub(super) struct Share {
    pub(super) vni: Vni,
    pub(super) owner: Location,
    /// Learned entries, the one not seen for the longest time first.
    pub(super) learned: List,
    /// Static entries.
    pub(super) configured: List,
}

/// The shares in use; an empty one is dropped, so that they never outnumber the entries.
#[derive(Debug, Default)]
pub(super) struct Shares {
    list: Vec<Share>,
    /// To be used again.
    free: Vec<u32>,
    /// To be used again as soon as no published entry names them.
    closed: Vec<u32>,
    by_place: HashMap<(Vni, Location), u32, RandomState>,
    owners: HashMap<Location, Owner, RandomState>,
}

#[derive(Debug, Default)]
struct Owner {
    /// Its learned entries in all networks.
    learned: usize,
    /// Its shares, one a network.
    shares: Vec<u32>,
}

impl Shares {
    pub(super) fn get(&self, id: u32) -> &Share {
        &self.list[id as usize]
    }

    pub(super) fn get_mut(&mut self, id: u32) -> &mut Share {
        &mut self.list[id as usize]
    }

    /// The share of `owner` in a network, made if there is none.
    #[allow(clippy::cast_possible_truncation)] // there are fewer shares than entries
    pub(super) fn open(&mut self, vni: Vni, owner: Location) -> u32 {
        if let Some(id) = self.by_place.get(&(vni, owner)) {
            return *id;
        }
        let share = Share { vni, owner, learned: List::EMPTY, configured: List::EMPTY };
        let id = if let Some(id) = self.free.pop() {
            self.list[id as usize] = share;
            id
        } else {
            self.list.push(share);
            self.list.len() as u32 - 1
        };
        self.by_place.insert((vni, owner), id);
        self.owners.entry(owner).or_default().shares.push(id);
        id
    }

    /// Drops a share that has no entry left.
    pub(super) fn close_if_empty(&mut self, id: u32) {
        let share = &self.list[id as usize];
        if share.learned.len() + share.configured.len() > 0 {
            return;
        }
        let (vni, location) = (share.vni, share.owner);
        self.by_place.remove(&(vni, location));
        self.closed.push(id);
        if let Some(owner) = self.owners.get_mut(&location) {
            owner.shares.retain(|share| *share != id);
            if owner.shares.is_empty() {
                self.owners.remove(&location);
            }
        }
    }

    /// What was closed may be used again: all changes are published.
    pub(super) fn recycle(&mut self) {
        self.free.append(&mut self.closed);
    }

    /// Counts a learned entry more or less for an owner.
    pub(super) fn count_learned(&mut self, owner: Location, change: isize) {
        if let Some(owner) = self.owners.get_mut(&owner) {
            owner.learned = owner.learned.saturating_add_signed(change);
        }
    }

    /// How many learned entries an owner has in all networks.
    pub(super) fn learned(&self, owner: Location) -> usize {
        self.owners.get(&owner).map_or(0, |owner| owner.learned)
    }

    /// The learned entry of an owner in one network that was not seen for the longest time.
    pub(super) fn oldest_in(&self, vni: Vni, owner: Location) -> Option<u32> {
        self.by_place.get(&(vni, owner)).and_then(|id| self.get(*id).learned.first())
    }

    /// The same in all networks; looks at one entry a network that the owner is on.
    pub(super) fn oldest_of(&self, owner: Location, nodes: &Arena) -> Option<u32> {
        let shares = self.owners.get(&owner)?.shares.iter();
        let oldest = shares.filter_map(|id| self.get(*id).learned.first());
        oldest.min_by_key(|id| nodes.get(*id).last_seen)
    }

    /// The shares of an owner.
    pub(super) fn of_owner(&self, owner: Location) -> Vec<u32> {
        self.owners.get(&owner).map(|owner| owner.shares.clone()).unwrap_or_default()
    }

    /// The shares of one network, or all.
    pub(super) fn of_network(&self, vni: Option<Vni>) -> Vec<u32> {
        let places = self.by_place.iter().filter(|((of, _), _)| vni.is_none_or(|vni| vni == *of));
        places.map(|(_, id)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use encap::PortId;

    use super::*;

    #[test]
    fn a_number_is_used_again_only_when_the_change_that_freed_it_is_published() {
        let mut shares = Shares::default();
        let open = |shares: &mut Shares, id| shares.open(Vni::MAX, Location::Local(PortId::new(id)));
        let first = open(&mut shares, 1);
        shares.close_if_empty(first);
        let second = open(&mut shares, 2);
        assert_ne!(first, second, "an entry that is about to move is still published with the first");
        shares.recycle();
        assert_eq!(open(&mut shares, 3), first);
    }
}
