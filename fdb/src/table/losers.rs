//! Claims that lost to a better one, or to what is known here: the next best takes over when the winner goes.
//!
//! Only an address that is contested has anything in here, so that it costs the others nothing.

use std::collections::{BTreeMap, BTreeSet};

use encap::{MacAddr, Vni};

use super::outcome::{Claim, Origin};
use crate::shared::Key;

/// Claims that are kept: as many as a network has entries by default, some 10 MB. Who is contested that often has a fault
/// that the next best would not mend.
pub(super) const MOST_LOSERS: usize = 65_536;

/// The claims that lost.
#[derive(Debug, Default)]
pub(super) struct Losers {
    /// Of each contested address, best first; never an empty list, never two of one origin.
    by_key: BTreeMap<Key, Vec<Claim>>,
    /// What each node lost.
    by_origin: BTreeSet<(Origin, Key)>,
}

impl Losers {
    /// Best first.
    pub(super) fn of(&self, key: Key) -> &[Claim] {
        self.by_key.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Keeps a claim of an origin that has none there; says whether there was room.
    pub(super) fn push(&mut self, key: Key, claim: Claim) -> bool {
        if self.by_origin.len() >= MOST_LOSERS {
            return false;
        }
        let claims = self.by_key.entry(key).or_default();
        let rank = claims.partition_point(|other| other.beats(&claim));
        claims.insert(rank, claim);
        self.by_origin.insert((claim.origin, key));
        true
    }

    /// Takes the best one out.
    pub(super) fn take_best(&mut self, key: Key) -> Option<Claim> {
        let best = *self.by_key.get(&key)?.first()?;
        self.remove(key, best.origin)
    }

    /// The same, if it beats another one.
    pub(super) fn take_best_above(&mut self, key: Key, other: &Claim) -> Option<Claim> {
        self.of(key).first().filter(|best| best.beats(other))?;
        self.take_best(key)
    }

    /// Takes out what an origin lost there.
    pub(super) fn remove(&mut self, key: Key, origin: Origin) -> Option<Claim> {
        if !self.by_origin.remove(&(origin, key)) {
            return None;
        }
        let claims = self.by_key.get_mut(&key)?;
        let rank = claims.iter().position(|claim| claim.origin == origin)?;
        let claim = claims.remove(rank);
        if claims.is_empty() {
            self.by_key.remove(&key);
        }
        Some(claim)
    }

    /// Takes out all that an origin lost; says how many.
    pub(super) fn remove_origin(&mut self, origin: Origin) -> usize {
        let lowest = Key { vni: Vni::from_octets([0; 3]), mac: MacAddr::new([0; 6]) };
        let lost = self.by_origin.range((origin, lowest)..).take_while(|(of, _)| *of == origin);
        let lost: Vec<Key> = lost.map(|(_, key)| *key).collect();
        lost.iter().filter_map(|key| self.remove(*key, origin)).count()
    }

    /// Forgets all of a network.
    pub(super) fn remove_network(&mut self, vni: Vni) {
        let [low, high] = [0, 0xff].map(|octet| Key { vni, mac: MacAddr::new([octet; 6]) });
        let keys: Vec<Key> = self.by_key.range(low..=high).map(|(key, _)| *key).collect();
        for key in keys {
            for claim in self.by_key.remove(&key).unwrap_or_default() {
                self.by_origin.remove(&(claim.origin, key));
            }
        }
    }
}
