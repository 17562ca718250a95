//! Who owns entries: a port, a remote VTEP, or a node that claims them at a VTEP, and what it has in each network.

use std::collections::HashMap;

use encap::Vni;
use foldhash::fast::RandomState;

use super::arena::{Arena, List};
use super::outcome::Origin;
use crate::Location;

/// Whose an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    /// The port or VTEP where it lives.
    pub(super) at: Location,
    /// The node that claims it there; `None`: learned or configured here.
    pub(super) origin: Option<Origin>,
}

impl Owner {
    pub(super) const fn here(at: Location) -> Self {
        Self { at, origin: None }
    }
}

/// What one owner has in one network.
#[derive(Clone, Debug)]
pub(super) struct Share {
    pub(super) vni: Vni,
    pub(super) owner: Owner,
    /// Learned entries, the one not seen for the longest time first.
    pub(super) learned: List,
    /// Configured or claimed entries.
    pub(super) lasting: List,
}

/// The shares in use; an empty one is dropped, so that they never outnumber the entries.
#[derive(Debug, Default)]
pub(super) struct Shares {
    list: Vec<Share>,
    /// To be used again.
    free: Vec<u32>,
    /// To be used again as soon as no published entry names them.
    closed: Vec<u32>,
    by_owner: HashMap<(Vni, Owner), u32, RandomState>,
    places: HashMap<Location, Place, RandomState>,
    /// The shares of each node that claims something.
    origins: HashMap<Origin, Vec<u32>, RandomState>,
}

/// What is learned and configured here of one place.
#[derive(Debug, Default)]
struct Place {
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
    pub(super) fn open(&mut self, vni: Vni, owner: Owner) -> u32 {
        if let Some(id) = self.by_owner.get(&(vni, owner)) {
            return *id;
        }
        let share = Share { vni, owner, learned: List::EMPTY, lasting: List::EMPTY };
        let id = if let Some(id) = self.free.pop() {
            self.list[id as usize] = share;
            id
        } else {
            self.list.push(share);
            self.list.len() as u32 - 1
        };
        self.by_owner.insert((vni, owner), id);
        match owner.origin {
            Some(origin) => self.origins.entry(origin).or_default().push(id),
            None => self.places.entry(owner.at).or_default().shares.push(id),
        }
        id
    }

    /// Drops a share that has no entry left.
    pub(super) fn close_if_empty(&mut self, id: u32) {
        let Share { vni, owner, ref learned, ref lasting } = self.list[id as usize];
        if learned.len() + lasting.len() > 0 {
            return;
        }
        self.by_owner.remove(&(vni, owner));
        self.closed.push(id);
        if let Some(origin) = owner.origin {
            if let Some(shares) = self.origins.get_mut(&origin)
                && let None = take_out(shares, id)
            {
                self.origins.remove(&origin);
            }
        } else if let Some(place) = self.places.get_mut(&owner.at)
            && let None = take_out(&mut place.shares, id)
        {
            self.places.remove(&owner.at);
        }
    }

    /// What was closed may be used again: all changes are published.
    pub(super) fn recycle(&mut self) {
        self.free.append(&mut self.closed);
    }

    /// Counts a learned entry more or less for a place.
    pub(super) fn count_learned(&mut self, at: Location, change: isize) {
        if let Some(place) = self.places.get_mut(&at) {
            place.learned = place.learned.saturating_add_signed(change);
        }
    }

    /// How many entries were learned from a place in all networks.
    pub(super) fn learned(&self, at: Location) -> usize {
        self.places.get(&at).map_or(0, |place| place.learned)
    }

    /// The entry learned from a place in one network that was not seen for the longest time.
    pub(super) fn oldest_in(&self, vni: Vni, at: Location) -> Option<u32> {
        self.first(vni, Owner::here(at), false)
    }

    /// The same in all networks; looks at one entry a network that the place is on.
    pub(super) fn oldest_of(&self, at: Location, nodes: &Arena) -> Option<u32> {
        let shares = self.places.get(&at)?.shares.iter();
        let oldest = shares.filter_map(|id| self.get(*id).learned.first());
        oldest.min_by_key(|id| nodes.get(*id).last_seen)
    }

    /// Any learned entry of an owner in a network; if there is none, a lasting one if these are asked for, too.
    pub(super) fn first(&self, vni: Vni, owner: Owner, lasting_too: bool) -> Option<u32> {
        let share = self.get(*self.by_owner.get(&(vni, owner))?);
        share.learned.first().or_else(|| share.lasting.first().filter(|_| lasting_too))
    }

    /// What is learned and configured here of a place: where it has entries.
    pub(super) fn of_place(&self, at: Location) -> Vec<(Vni, Owner)> {
        self.named(self.places.get(&at).map_or(&[], |place| &place.shares))
    }

    /// Where a node claims entries. The last ones first: taking these out of the list of its shares costs least.
    pub(super) fn of_origin(&self, origin: Origin) -> Vec<(Vni, Owner)> {
        let mut shares = self.named(self.origins.get(&origin).map_or(&[], Vec::as_slice));
        shares.reverse();
        shares
    }

    /// Who has entries in one network, or in all.
    pub(super) fn of_network(&self, vni: Option<Vni>) -> Vec<(Vni, Owner)> {
        self.by_owner.keys().filter(|(of, _)| vni.is_none_or(|vni| vni == *of)).copied().collect()
    }

    fn named(&self, shares: &[u32]) -> Vec<(Vni, Owner)> {
        shares.iter().map(|id| (self.get(*id).vni, self.get(*id).owner)).collect()
    }
}

/// Takes a number out of a list; `None` if nothing is left of it.
fn take_out(list: &mut Vec<u32>, id: u32) -> Option<u32> {
    if let Some(n) = list.iter().rposition(|other| *other == id) {
        list.swap_remove(n);
    }
    list.last().copied()
}

#[cfg(test)]
mod tests {
    use encap::PortId;

    use super::*;

    #[test]
    fn a_number_is_used_again_only_when_the_change_that_freed_it_is_published() {
        let mut shares = Shares::default();
        let open =
            |shares: &mut Shares, id| shares.open(Vni::MAX, Owner::here(Location::Local(PortId::new(id))));
        let first = open(&mut shares, 1);
        shares.close_if_empty(first);
        let second = open(&mut shares, 2);
        assert_ne!(first, second, "an entry that is about to move is still published with the first");
        shares.recycle();
        assert_eq!(open(&mut shares, 3), first);
    }
}
