//! Which MAC address has which IP address: what ARP and neighbour discovery are answered from.
//!
//! ```text
//!   worker ── Binding told by a port ──> NeighborTable ──writes──> Neighbors <──find── worker, for an ARP or ND frame
//!   gossip ── claim, unclaim ──────────>
//! ```
//!
//! [`NeighborTable`] decides, [`Neighbors`] is what it publishes. A binding is local (configured at a port, or told by
//! it) or claimed by another node. Where several MAC addresses have one IP address, the local one counts, then the one
//! with the higher mobility sequence number, then the lowest: every node with the same claims decides alike.
//!
//! A local binding ages as MAC addresses do, and goes with its port or when its MAC address moves away. A full share
//! ([`PORT_IPS`], [`MAX_IPS`]) loses its own oldest binding that was told, never another's.

mod claims;
mod contest;
mod map;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use encap::neighbor::Binding;
use encap::{MacAddr, PortId, Vni};
use foldhash::quality::RandomState;

use self::map::Map;
pub use self::table::{BindingView, Claim, Duplicate, Heard, NeighborTable};
pub use crate::replica::MAX_IPS;

/// Bindings that a port may tell.
pub const PORT_IPS: usize = 64;
/// Bindings that a port with configured addresses may tell besides them: link-local addresses, mostly.
pub const GUARDED_PORT_IPS: usize = 8;

/// An IP address in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct At {
    vni: Vni,
    ip: IpAddr,
}

/// Who has an IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The MAC address.
    pub mac: MacAddr,
    /// Whether it is a router (the R flag of RFC 4861 §4.4).
    pub router: bool,
    /// Whether it lives behind a port of this node.
    pub local: bool,
}

/// The bindings as workers see them; [`NeighborTable`] writes them. Part of [`crate::Shared`].
pub struct Neighbors {
    map: Map,
    locals: RwLock<HashMap<At, Local, RandomState>>,
}

/// What is known of a local binding besides.
#[derive(Clone, Copy, Debug)]
struct Local {
    mac: MacAddr,
    port: PortId,
    router: bool,
    configured: bool,
    /// When it was told last, or configured.
    seen: Instant,
    /// Since when this MAC address has it.
    since: Instant,
    /// When it is forgotten.
    due: Option<Instant>,
    /// The MAC address that had it before.
    before: Option<MacAddr>,
}

impl Neighbors {
    pub(crate) fn new() -> Self {
        Self::with_map(Map::new())
    }

    pub(crate) fn with_seed(seed: u64) -> Self {
        Self::with_map(Map::with_seed(seed))
    }

    fn with_map(map: Map) -> Self {
        Self { map, locals: RwLock::default() }
    }

    /// Who has `ip`.
    ///
    /// # Cost
    ///
    /// One read lock, of one shard of many: for ARP and ND frames only.
    #[must_use]
    pub fn find(&self, vni: Vni, ip: IpAddr) -> Option<Owner> {
        self.map.get(At { vni, ip })
    }

    /// Whether what a port tells is worth telling control: it is not known so, or was told `refresh` ago or earlier.
    ///
    /// # Cost
    ///
    /// One read lock.
    #[must_use]
    pub fn is_news(&self, vni: Vni, told: &Binding, port: PortId, now: Instant, refresh: Duration) -> bool {
        let known = self.locals().get(&At { vni, ip: told.ip }).copied();
        !known.is_some_and(|known| {
            let same = (known.mac, known.port) == (told.mac, port);
            let router = told.router.is_none_or(|router| router == known.router);
            let fresh = known.configured || now.saturating_duration_since(known.seen) < refresh;
            same && router && fresh
        })
    }

    // What panics under the lock leaves whole entries, so the map may be used on.
    fn locals(&self) -> RwLockReadGuard<'_, HashMap<At, Local, RandomState>> {
        self.locals.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn locals_mut(&self) -> RwLockWriteGuard<'_, HashMap<At, Local, RandomState>> {
        self.locals.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Neighbors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Neighbors").field("bindings", &self.map.len()).finish_non_exhaustive()
    }
}
