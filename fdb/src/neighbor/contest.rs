//! Who counts when several MAC addresses have one IP address, and what follows from a change of that.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use encap::neighbor::is_host;
use encap::{MacAddr, Vni};

use super::claims::Marks;
use super::{At, Claim, Duplicate, MAX_IPS, NeighborTable, Owner};

/// How long several MAC addresses may have one IP address before that is a duplicate: what is said of a pod that was made
/// anew comes from two nodes, in any order.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// Changes that wait to be announced; of more, the oldest are lost, and pods find out by themselves.
const MOST_ANNOUNCED: usize = 1024;
/// Duplicates that wait to be told; of more, the oldest are lost.
const MOST_DUPLICATES: usize = 64;
/// Owners that are remembered when they are gone, for the day that somebody else gets their address.
const MOST_DEPARTED: usize = 4096;

impl NeighborTable {
    /// Takes in what another node says of a MAC address, instead of what it said before.
    pub fn claim(&mut self, claim: &Claim<'_>) {
        let Claim { vni, mac, ips, router, mob_seq, origin } = *claim;
        if mac.is_group() || mac.is_zero() {
            return;
        }
        let wanted: Vec<_> = ips.iter().copied().filter(|ip| is_host(*ip)).take(MAX_IPS).collect();
        let before = self.claims.ips(vni, mac, origin);
        let marks = if wanted.is_empty() { Marks::default() } else { Marks { mob_seq, router } };
        let marked = self.claims.mark(vni, mac, origin, marks);
        for &ip in before.iter().filter(|ip| !wanted.contains(ip)) {
            self.claims.remove(vni, mac, origin, ip);
        }
        for &ip in &wanted {
            self.claims.insert(vni, mac, origin, ip);
        }
        let mut touched: BTreeSet<IpAddr> = before
            .iter()
            .chain(&wanted)
            .filter(|ip| before.contains(ip) != wanted.contains(ip))
            .copied()
            .collect();
        if marked {
            touched.extend(self.claims.of(vni, mac));
        }
        for ip in touched {
            let (at, claimed) = (At { vni, ip }, self.claims.has(vni, mac, ip));
            let mut claimants = self.claimants(at);
            claimants.retain(|other| *other != mac);
            if claimed {
                claimants.push(mac);
            }
            self.decide(at, claimants);
        }
    }

    /// Forgets what a node said of a MAC address.
    pub fn unclaim(&mut self, vni: Vni, mac: MacAddr, origin: u32) {
        self.claim(&Claim { vni, mac, ips: &[], router: false, mob_seq: 0, origin });
    }

    /// Publishes who has an address, after a local binding came or went.
    pub(super) fn settle(&mut self, at: At) {
        let claimants = self.claimants(at);
        self.decide(at, claimants);
    }

    /// The MAC addresses that other nodes claim to have it: the published owner alone, unless it is noted otherwise.
    fn claimants(&self, at: At) -> Vec<MacAddr> {
        let published = || self.neighbors().map.get(at).filter(|owner| !owner.local).map(|owner| owner.mac);
        self.rivals.get(&at).cloned().unwrap_or_else(|| published().into_iter().collect())
    }

    fn decide(&mut self, at: At, claimants: Vec<MacAddr>) {
        let local = self.local(at);
        let marks = |mac: MacAddr| self.claims.marks(at.vni, mac);
        let owner = match local {
            Some(local) => Some(Owner { mac: local.mac, router: local.router, local: true }),
            None => claimants
                .iter()
                .min_by_key(|mac| (Reverse(marks(**mac).mob_seq), **mac))
                .map(|mac| Owner { mac: *mac, router: marks(*mac).router, local: false }),
        };
        let disputed = owner.is_some_and(|owner| claimants.iter().any(|mac| *mac != owner.mac));
        self.disputes.note(at, disputed, local.is_some());
        if claimants.len() + usize::from(local.is_some()) > 1 {
            self.rivals.insert(at, claimants);
        } else {
            self.rivals.remove(&at);
        }
        self.publish(at, owner);
    }

    fn publish(&mut self, at: At, owner: Option<Owner>) {
        let before = self.neighbors().map.get(at);
        if before == owner {
            return;
        }
        self.neighbors().map.set(at, owner);
        match (before, owner) {
            (Some(before), None) => self.departed.note(at, before.mac),
            (before, Some(owner)) => {
                let last = before.map(|before| before.mac).or_else(|| self.departed.take(at));
                if last.is_some_and(|last| last != owner.mac) {
                    push_bounded(&mut self.announce, at, MOST_ANNOUNCED);
                }
            }
            (None, None) => {}
        }
    }

    /// Finds the disputes that last.
    pub(super) fn find_duplicates(&mut self, now: Instant) {
        for at in self.disputes.mature(now) {
            let Some(owner) = self.neighbors().map.get(at) else { continue };
            let others = self.rivals.get(&at).into_iter().flatten();
            if let Some(&other) = others.filter(|mac| **mac != owner.mac).min() {
                self.disputes.raise(at, [owner.mac, other]);
            }
        }
    }
}

/// The addresses that several MAC addresses have.
#[derive(Debug, Default)]
pub(super) struct Disputes {
    /// Those that may be over soon, and when they were first looked at.
    young: BTreeMap<At, Option<Instant>>,
    /// Those that were told of.
    known: BTreeSet<At>,
    queue: VecDeque<Duplicate>,
}

impl Disputes {
    /// Notes whether claims differ; a dispute between local hosts is over when none of them has it.
    fn note(&mut self, at: At, disputed: bool, local: bool) {
        if disputed && !self.known.contains(&at) {
            self.young.entry(at).or_default();
        }
        if !disputed {
            self.young.remove(&at);
            if !local {
                self.known.remove(&at);
            }
        }
    }

    /// Tells of a duplicate, if nobody did yet.
    pub(super) fn raise(&mut self, At { vni, ip }: At, macs: [MacAddr; 2]) {
        if self.known.insert(At { vni, ip }) {
            push_bounded(&mut self.queue, Duplicate { vni, ip, macs }, MOST_DUPLICATES);
        }
    }

    /// Takes those out that lasted for [`GRACE`].
    fn mature(&mut self, now: Instant) -> Vec<At> {
        let lasted = |since: Instant| now.saturating_duration_since(since) >= GRACE;
        self.young.extract_if(.., |_, since| lasted(*since.get_or_insert(now))).map(|(at, _)| at).collect()
    }

    pub(super) fn poll(&mut self) -> Option<Duplicate> {
        self.queue.pop_front()
    }
}

/// Who had an address that nobody has now.
#[derive(Debug, Default)]
pub(super) struct Departed {
    macs: BTreeMap<At, MacAddr>,
    order: VecDeque<At>,
}

impl Departed {
    fn note(&mut self, at: At, mac: MacAddr) {
        self.macs.insert(at, mac);
        if self.order.len() >= MOST_DEPARTED
            && let Some(oldest) = self.order.pop_front()
        {
            self.macs.remove(&oldest);
        }
        self.order.push_back(at);
    }

    fn take(&mut self, at: At) -> Option<MacAddr> {
        self.macs.remove(&at)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

fn push_bounded<T>(queue: &mut VecDeque<T>, value: T, most: usize) {
    if queue.len() >= most {
        queue.pop_front();
    }
    queue.push_back(value);
}
