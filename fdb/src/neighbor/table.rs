//! The write side: what ports tell and what is configured at them. What others claim, and who counts, is in `contest`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use encap::neighbor::{Binding, is_host};
use encap::{MacAddr, PortId, Vni};

use super::claims::Claims;
use super::contest::{Departed, Disputes};
use super::{At, GUARDED_PORT_IPS, Local, MAX_IPS, Neighbors, Owner, PORT_IPS};
use crate::Shared;

/// How long an IP address stays with the MAC address that told it, before another one can have it: two hosts that both
/// say "mine" make one announcement a second, not a storm.
pub(super) const HOLD: Duration = Duration::from_secs(1);

/// The bindings of this node and of others; see the [module](super) for its rules.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use std::time::{Duration, Instant};
/// use encap::neighbor::Binding;
/// use encap::{PortId, Vni};
/// use fdb::Shared;
/// use fdb::neighbor::{Heard, NeighborTable};
///
/// let shared = Arc::new(Shared::new());
/// let mut table = NeighborTable::new(Arc::clone(&shared));
/// let (vni, ip) = (Vni::new(100)?, "10.0.0.1".parse()?);
/// let told = Binding { ip, mac: "02:00:00:00:00:01".parse()?, router: None };
/// let (now, age) = (Instant::now(), Duration::from_secs(300));
///
/// assert!(table.learn(&Heard { vni, told, port: PortId::new(1), now, age }));
/// assert_eq!(shared.neighbors().find(vni, ip).map(|owner| owner.mac), Some(told.mac));
/// table.expire(now + age);
/// assert_eq!(shared.neighbors().find(vni, ip), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct NeighborTable {
    pub(super) shared: Arc<Shared>,
    ports: BTreeMap<PortId, Share>,
    /// The IP addresses of each local MAC address.
    macs: BTreeMap<(Vni, MacAddr), Vec<IpAddr>>,
    /// When what was told is forgotten.
    due: BTreeSet<(Instant, At)>,
    pub(super) claims: Claims,
    /// The claiming MAC addresses, where they are not just the owner.
    pub(super) rivals: BTreeMap<At, Vec<MacAddr>>,
    pub(super) disputes: Disputes,
    pub(super) departed: Departed,
    pub(super) announce: VecDeque<At>,
    /// Local MAC addresses to publish again; `None` = nobody does.
    changed: Option<BTreeSet<(Vni, MacAddr)>>,
}

/// The bindings of a port.
#[derive(Debug, Default)]
struct Share {
    configured: Vec<At>,
    /// Those that were told, the one not told for the longest time first.
    told: VecDeque<At>,
}

/// What a port told.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// On this network,
    pub vni: Vni,
    /// this binding,
    pub told: Binding,
    /// by this port,
    pub port: PortId,
    /// now.
    pub now: Instant,
    /// How long it is remembered; zero = for ever.
    pub age: Duration,
}

/// What another node says of a MAC address.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Its network.
    pub vni: Vni,
    /// The address.
    pub mac: MacAddr,
    /// Its IP addresses; from [`MAX_IPS`] on they are ignored, as are those of no host.
    pub ips: &'a [IpAddr],
    /// Whether it is a router.
    pub router: bool,
    /// Its mobility sequence number (RFC 7432 §7.7).
    pub mob_seq: u32,
    /// The node, as a number that is its own as long as it has claims.
    pub origin: u32,
}

/// An IP address that several MAC addresses have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The network.
    pub vni: Vni,
    /// The address.
    pub ip: IpAddr,
    /// Who counts, and another one.
    pub macs: [MacAddr; 2],
}

/// One binding, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingView {
    /// The network.
    pub vni: Vni,
    /// The IP address.
    pub ip: IpAddr,
    /// Who has it.
    pub owner: Owner,
    /// The local port, and when it told the binding last or was given it; `None` = another node claims it.
    pub port: Option<(PortId, Instant)>,
}

impl NeighborTable {
    /// An empty table that publishes to `shared`, which no other table may write.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            ports: BTreeMap::new(),
            macs: BTreeMap::new(),
            due: BTreeSet::new(),
            claims: Claims::default(),
            rivals: BTreeMap::new(),
            disputes: Disputes::default(),
            departed: Departed::default(),
            announce: VecDeque::new(),
            changed: None,
        }
    }

    // ---- what ports have ----

    /// Configures the IP addresses of a port, instead of those before; at most [`MAX_IPS`]. They are at `mac` until the
    /// port tells another one. What another port was given stays there.
    pub fn configure(&mut self, port: PortId, (vni, mac): (Vni, MacAddr), ips: &[IpAddr], now: Instant) {
        let wanted: Vec<_> = ips.iter().take(MAX_IPS).map(|&ip| At { vni, ip }).collect();
        let before = self.ports.get(&port).map(|share| share.configured.clone()).unwrap_or_default();
        for at in before {
            if !wanted.contains(&at) {
                self.remove_local(at);
                self.settle(at);
            }
        }
        for at in wanted {
            match self.local(at) {
                Some(local) if local.configured => {
                    if local.port != port && local.mac != mac {
                        self.disputes.raise(at, [local.mac, mac]);
                    }
                    continue;
                }
                Some(_) => self.remove_local(at),
                None => {}
            }
            let known = self.local_of(mac, port, now);
            self.add_local(at, Local { configured: true, ..known }, None);
            self.settle(at);
        }
    }

    /// Takes in what a port told; says whether it is known so now.
    ///
    /// Refused is what is configured elsewhere, and what another MAC address told less than a second ago.
    pub fn learn(&mut self, heard: &Heard) -> bool {
        let Heard { vni, told, port, now, age } = *heard;
        let Binding { ip, mac, router } = told;
        let at = At { vni, ip };
        if !is_host(ip) || mac.is_group() || mac.is_zero() {
            return false;
        }
        let due = (!age.is_zero()).then(|| now.checked_add(age)).flatten();
        let mut local = self.local_of(mac, port, now);
        if let Some(known) = self.local(at) {
            if (known.mac, known.port) == (mac, port) {
                return self.tell_again(at, router, now, due);
            }
            let other = known.mac != mac;
            if other && known.configured && known.port != port {
                self.disputes.raise(at, [known.mac, mac]);
            }
            let held = other && now.saturating_duration_since(known.since) < HOLD;
            if held || known.configured && known.port != port {
                return false;
            }
            if other {
                if known.before == Some(mac) {
                    self.disputes.raise(at, [mac, known.mac]);
                }
                local.before = Some(known.mac);
            }
            local.configured = known.configured;
            self.remove_local(at);
        }
        local.router = router.unwrap_or(false);
        let due = if local.configured { None } else { due };
        let taken = local.configured || self.make_room((vni, mac), port);
        if taken {
            self.add_local(at, local, due);
        }
        self.settle(at);
        taken
    }

    /// Forgets the bindings of a port that is gone or is on another network now.
    pub fn forget_port(&mut self, port: PortId) {
        let Some(share) = self.ports.get(&port) else { return };
        for at in share.configured.iter().chain(&share.told).copied().collect::<Vec<_>>() {
            self.remove_local(at);
            self.settle(at);
        }
    }

    /// Forgets what a MAC address told here, because it moved away. What is configured stays.
    pub fn forget_mac(&mut self, vni: Vni, mac: MacAddr) {
        for ip in self.macs.get(&(vni, mac)).cloned().unwrap_or_default() {
            let at = At { vni, ip };
            if self.local(at).is_some_and(|local| !local.configured) {
                self.remove_local(at);
                self.settle(at);
            }
        }
    }

    /// Forgets what was not told for too long, and notes which duplicates last.
    pub fn expire(&mut self, now: Instant) {
        while let Some(&(due, at)) = self.due.first()
            && due <= now
        {
            self.remove_local(at);
            self.settle(at);
        }
        self.find_duplicates(now);
    }

    // ---- what there is, and what to do about it ----

    /// The IP addresses of a local MAC address, and whether it is a router.
    #[must_use]
    pub fn ips_of(&self, vni: Vni, mac: MacAddr) -> (Vec<IpAddr>, bool) {
        let ips = self.macs.get(&(vni, mac)).cloned().unwrap_or_default();
        let router = ips.iter().any(|&ip| self.local(At { vni, ip }).is_some_and(|local| local.router));
        (ips, router)
    }

    /// Every binding that counts, in no order that means anything.
    #[must_use]
    pub fn bindings(&self) -> Vec<BindingView> {
        let view = |(at @ At { vni, ip }, owner)| {
            let port = self.local(at).map(|local| (local.port, local.seen));
            BindingView { vni, ip, owner, port }
        };
        self.neighbors().map.all().into_iter().map(view).collect()
    }

    /// Chooses whether changes of local MAC addresses are noted for [`Self::poll_changed`]; from then on, and all that
    /// there are.
    pub fn set_publishing(&mut self, on: bool) {
        self.changed = on.then(|| self.macs.keys().copied().collect());
    }

    /// A local MAC address whose [`Self::ips_of`] changed since it was given out last.
    pub fn poll_changed(&mut self) -> Option<(Vni, MacAddr)> {
        self.changed.as_mut()?.pop_first()
    }

    /// An IP address that has another MAC address than before, and who that is now: local pods are to be told.
    pub fn poll_announce(&mut self) -> Option<(Vni, IpAddr, Owner)> {
        while let Some(at) = self.announce.pop_front() {
            if let Some(owner) = self.neighbors().map.get(at) {
                return Some((at.vni, at.ip, owner));
            }
        }
        None
    }

    /// An IP address that several MAC addresses have; given out once, until one alone has it.
    pub fn poll_duplicate(&mut self) -> Option<Duplicate> {
        self.disputes.poll()
    }

    // ---- helpers: every change of a local binding is made of these ----

    pub(super) fn neighbors(&self) -> &Neighbors {
        self.shared.neighbors()
    }

    pub(super) fn local(&self, at: At) -> Option<Local> {
        self.neighbors().locals().get(&at).copied()
    }

    fn local_of(&self, mac: MacAddr, port: PortId, now: Instant) -> Local {
        Local { mac, port, router: false, configured: false, seen: now, since: now, due: None, before: None }
    }

    /// Makes room for one more that a port tells of a MAC address; `false` = there is nothing to give up.
    fn make_room(&mut self, (vni, mac): (Vni, MacAddr), port: PortId) -> bool {
        let share = self.ports.get(&port);
        let guarded = share.is_some_and(|share| !share.configured.is_empty());
        let limit = if guarded { GUARDED_PORT_IPS } else { PORT_IPS };
        let told: Vec<_> = share.into_iter().flat_map(|share| share.told.iter().copied()).collect();
        let mut gives_way = told[..(told.len() + 1).saturating_sub(limit)].to_vec();
        if self.macs.get(&(vni, mac)).is_some_and(|ips| ips.len() >= MAX_IPS) {
            let is_own = |at: &At| at.vni == vni && self.local(*at).is_some_and(|local| local.mac == mac);
            let Some(oldest) = told.into_iter().find(is_own) else { return false };
            if !gives_way.contains(&oldest) {
                gives_way.push(oldest);
            }
        }
        for at in gives_way {
            self.remove_local(at);
            self.settle(at);
        }
        true
    }

    fn tell_again(&mut self, at: At, router: Option<bool>, now: Instant, due: Option<Instant>) -> bool {
        let Some(known) = self.local(at) else { return false };
        let router = router.unwrap_or(known.router);
        let due = if known.configured { None } else { due };
        if let Some(local) = self.neighbors().locals_mut().get_mut(&at) {
            *local = Local { router, seen: now, due, ..known };
        }
        self.set_due(at, known.due, due);
        if let Some(share) = self.ports.get_mut(&known.port)
            && let Some(place) = share.told.iter().position(|told| *told == at)
        {
            share.told.remove(place);
            share.told.push_back(at);
        }
        if router != known.router {
            self.note_change(at.vni, known.mac);
            self.settle(at);
        }
        true
    }

    fn add_local(&mut self, at: At, local: Local, due: Option<Instant>) {
        let local = Local { due, ..local };
        self.neighbors().locals_mut().insert(at, local);
        self.set_due(at, None, due);
        self.macs.entry((at.vni, local.mac)).or_default().push(at.ip);
        let share = self.ports.entry(local.port).or_default();
        if local.configured {
            share.configured.push(at);
        } else {
            share.told.push_back(at);
        }
        self.note_change(at.vni, local.mac);
    }

    /// The reverse; [`Self::settle`] then says who has the address.
    fn remove_local(&mut self, at: At) {
        let Some(local) = self.neighbors().locals_mut().remove(&at) else { return };
        self.set_due(at, local.due, None);
        let key = (at.vni, local.mac);
        if let Some(ips) = self.macs.get_mut(&key) {
            ips.retain(|ip| *ip != at.ip);
            if ips.is_empty() {
                self.macs.remove(&key);
            }
        }
        if let Some(share) = self.ports.get_mut(&local.port) {
            share.configured.retain(|other| *other != at);
            share.told.retain(|other| *other != at);
            if share.configured.is_empty() && share.told.is_empty() {
                self.ports.remove(&local.port);
            }
        }
        self.note_change(at.vni, local.mac);
    }

    fn set_due(&mut self, at: At, before: Option<Instant>, due: Option<Instant>) {
        if let Some(before) = before {
            self.due.remove(&(before, at));
        }
        self.due.extend(due.map(|due| (due, at)));
    }

    fn note_change(&mut self, vni: Vni, mac: MacAddr) {
        if let Some(changed) = &mut self.changed {
            changed.insert((vni, mac));
        }
    }
}
