//! Who has how many connections, so that one host does not take those of all others.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The most connections of one address at a time, unless it is this host's loopback.
pub(super) const MAX_EACH: usize = 8;

/// The connections there are, by address; bounded by their number.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

/// A connection that counts for as long as this lives.
#[derive(Debug)]
pub(super) struct Counted {
    sources: Sources,
    ip: IpAddr,
}

impl Sources {
    /// Counts a connection from an address; `None` = it has as many as it may.
    pub(super) fn count(&self, ip: IpAddr) -> Option<Counted> {
        let ip = ip.to_canonical();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(ip).or_default();
        if *count >= MAX_EACH && !ip.is_loopback() {
            return None;
        }
        *count += 1;
        Some(Counted { sources: self.clone(), ip })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut all = self.sources.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.ip);
            }
        }
    }
}
