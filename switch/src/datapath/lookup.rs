//! What the stages ask the FDB: where a destination is, and whether a source was seen before.
//!
//! Both answers are kept per worker and stand while the generation of the entry's bucket does, so that a hit is one
//! load. No answer takes a lock. A change of the topology forgets them all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use encap::{MacAddr, PortId, Vni};
use fdb::neighbor::Neighbors;
use fdb::{FlowCache, Location, Shared};

use crate::counters::{DropReason, WorkerCounters};
use crate::events::WorkerEvent;
use crate::topology::{PeerIndex, Topology};

/// An address that control did not take is told again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Refreshes in the lifetime of an entry; an entry is forgotten at most this fraction too early.
const REFRESHES: u32 = 10;

/// Where a destination lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind a local port.
    Port(PortId),
    /// Behind a peer.
    Peer(PeerIndex),
    /// Behind a port or a VTEP that is down.
    Lost(DropReason),
    /// Nobody knows.
    Unknown,
}

/// An address sent a frame.
#[derive(Clone, Copy, Debug)]
pub struct Sighting {
    /// On this network,
    pub vni: Vni,
    /// this address,
    pub mac: MacAddr,
    /// from here,
    pub from: Location,
    /// now.
    pub now: Instant,
    /// How long the network remembers it.
    pub age: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Location,
    frozen: bool,
    again: Instant,
}

/// One worker's view of the FDB.
#[derive(Debug)]
pub struct Lookup {
    shared: Arc<Shared>,
    places: FlowCache<Place>,
    seen: FlowCache<Seen>,
}

impl Lookup {
    /// A view of `shared` that remembers nothing yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, places: FlowCache::new(), seen: FlowCache::new() }
    }

    /// Forgets everything: the topology has changed.
    pub fn clear(&mut self) {
        self.places.clear();
        self.seen.clear();
    }

    /// Where `mac` lives.
    ///
    /// # Cost
    ///
    /// A hit: a few ns. A miss: a search of the map, no lock either.
    #[inline]
    pub fn place(&mut self, topology: &Topology, counters: &WorkerCounters, vni: Vni, mac: MacAddr) -> Place {
        if let Some(place) = self.places.get(&self.shared, vni, mac) {
            counters.batching.cache_hits.add(1);
            return place;
        }
        counters.batching.cache_misses.add(1);
        let (found, stamp) = self.shared.find(vni, mac);
        let place = match found.map(|found| found.location) {
            None => Place::Unknown,
            Some(Location::Local(port)) if topology.ports.contains_key(&port) => Place::Port(port),
            Some(Location::Local(_)) => Place::Lost(DropReason::TapGone),
            Some(Location::Remote(vtep)) => match topology.by_vtep.get(&vtep) {
                Some(&peer) if topology.peer(peer).up => Place::Peer(peer),
                _ => Place::Lost(DropReason::PeerDown),
            },
        };
        self.places.insert(vni, mac, stamp, place);
        place
    }

    /// Notes who sent a frame, and tells control when that is news or due for a refresh.
    ///
    /// # Errors
    ///
    /// [`DropReason::MacFrozen`] when the address is frozen at another place.
    #[inline]
    pub fn observe(&mut self, sighting: Sighting, tell: impl FnOnce(WorkerEvent)) -> Result<(), DropReason> {
        let seen = self.seen.get(&self.shared, sighting.vni, sighting.mac);
        let frozen = match seen.filter(|seen| seen.at == sighting.from && sighting.now < seen.again) {
            Some(seen) => seen.frozen,
            None => self.look_again(sighting, tell),
        };
        if frozen { Err(DropReason::MacFrozen) } else { Ok(()) }
    }

    /// Who has which IP address.
    pub fn neighbors(&self) -> &Neighbors {
        self.shared.neighbors()
    }

    fn look_again(&mut self, sighting: Sighting, tell: impl FnOnce(WorkerEvent)) -> bool {
        let Sighting { vni, mac, from, age, now } = sighting;
        let (found, stamp) = self.shared.find(vni, mac);
        let here = found.is_some_and(|found| found.location == from);
        let frozen = found.is_some_and(|found| found.frozen) && !here;
        if !frozen && !found.is_some_and(|found| found.kind.is_static()) {
            tell(WorkerEvent::Learn { vni, mac, at: from });
        }
        let again = now + if here { refresh(age) } else { ASK_AGAIN };
        self.seen.insert(vni, mac, stamp, Seen { at: from, frozen, again });
        frozen
    }
}

/// How long after it was told an address that is remembered for `age` is told again.
pub(super) fn refresh(age: Duration) -> Duration {
    if age.is_zero() { Duration::from_secs(3600) } else { age / REFRESHES }
}
