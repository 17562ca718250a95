//! The table against a naive model, in random order and virtual time: same outcomes, same entries, bounds kept,
//! nobody pays for another's flood, static entries stay, whoever publishes misses nothing, and no cached answer outlives
//! its truth.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use encap::{MacAddr, PortId, Vni, VtepAddr};
use fdb::table::{FREEZE, MOVE_WINDOW, MOVES_TO_FREEZE};
use fdb::{
    Claim, ClaimOutcome, ClaimRefusal, DelOutcome, EntryView, Found, Kind, LearnOutcome, Limits, Location,
    Origin, Refusal, Shared, Stamp, StaticError, Table, UnclaimOutcome,
};
use proptest::prelude::*;

const MACS: u8 = 12;
const VNIS: u8 = 3;
const LIMITS: Limits = Limits { port: 3, static_peer: 4, node: 9 };
/// Entries of network 0, 1; network 2 does not exist at first.
const MAX_MACS: [usize; 2] = [6, 5];
/// The last octets of VTEPs that claims name: the third and fourth are those of the static peers, the fifth is this node's.
const CLAIMED: [u8; 6] = [2, 3, 4, OWN, 6, 7];
const OWN: u8 = 5;
const AGES: [Duration; 3] = [Duration::from_secs(300), Duration::from_secs(7), Duration::ZERO];

#[derive(Clone, Copy, Debug)]
enum Step {
    Learn { vni: u8, mac: u8, place: u8 },
    AddStatic { vni: u8, mac: u8, place: u8 },
    Del { vni: u8, mac: u8 },
    Thaw { vni: u8, mac: u8 },
    Flush { vni: Option<u8> },
    Forget { place: u8 },
    SetNetwork { vni: u8, max_macs: usize, age: usize },
    RemoveNetwork { vni: u8 },
    Claim { vni: u8, mac: u8, claim: Claim },
    Unclaim { vni: u8, mac: u8, origin: Origin },
    UnclaimAll { origin: Origin },
    Poll,
    Wait { millis: u64 },
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let (vni, mac, place) = (0..VNIS, 0..MACS, 0..5_u8);
    let spot = (vni.clone(), mac.clone());
    let origin = || (1..4_u32).prop_map(Origin::new);
    let claim = || {
        let at = proptest::sample::select(&CLAIMED[..]).prop_map(vtep);
        (origin(), at, 0..8_u32, proptest::bool::weighted(0.1))
            .prop_map(|(origin, at, mob_seq, is_static)| Claim { origin, at, mob_seq, is_static })
    };
    prop_oneof![
        60 => (vni.clone(), mac.clone(), place.clone())
            .prop_map(|(vni, mac, place)| Step::Learn { vni, mac, place }),
        // The same few addresses at changing places, so that some freeze.
        30 => (0..2_u8, place.clone()).prop_map(|(mac, place)| Step::Learn { vni: 0, mac, place }),
        40 => (vni.clone(), mac.clone(), claim())
            .prop_map(|(vni, mac, claim)| Step::Claim { vni, mac, claim }),
        30 => (0..2_u8, claim()).prop_map(|(mac, claim)| Step::Claim { vni: 0, mac, claim }),
        12 => (vni.clone(), mac.clone(), origin())
            .prop_map(|(vni, mac, origin)| Step::Unclaim { vni, mac, origin }),
        2 => origin().prop_map(|origin| Step::UnclaimAll { origin }),
        8 => Just(Step::Poll),
        6 => (vni.clone(), mac, place.clone())
            .prop_map(|(vni, mac, place)| Step::AddStatic { vni, mac, place }),
        4 => spot.clone().prop_map(|(vni, mac)| Step::Del { vni, mac }),
        2 => spot.prop_map(|(vni, mac)| Step::Thaw { vni, mac }),
        1 => proptest::option::of(vni.clone()).prop_map(|vni| Step::Flush { vni }),
        2 => place.prop_map(|place| Step::Forget { place }),
        2 => (vni.clone(), 0..8_usize, 0..AGES.len())
            .prop_map(|(vni, max_macs, age)| Step::SetNetwork { vni, max_macs, age }),
        1 => vni.prop_map(|vni| Step::RemoveNetwork { vni }),
        8 => prop_oneof![1..3000_u64, Just(7_000), 40_000..181_000_u64].prop_map(|millis| Step::Wait { millis }),
        8 => Just(Step::Expire),
    ]
}

fn vni(n: u8) -> Vni {
    Vni::from_octets([1, 0, n])
}

fn mac(n: u8) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, n])
}

/// Three ports and two remote VTEPs.
fn place(n: u8) -> Location {
    match n {
        0..3 => Location::Local(PortId::new(n.into())),
        _ => Location::Remote(vtep(n)),
    }
}

fn vtep(last: u8) -> VtepAddr {
    SocketAddr::from(([10, 0, 0, last], 4789)).into()
}

fn limit_of(location: Location) -> usize {
    if matches!(location, Location::Local(_)) { LIMITS.port } else { LIMITS.static_peer }
}

type Spot = (Vni, MacAddr);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Known {
    location: Location,
    kind: Kind,
    /// Who claims it.
    origin: Option<Origin>,
    frozen_at: Option<Instant>,
    seen: Instant,
    /// When the window of moves began, and how many there were.
    window: Option<(Instant, u8)>,
    mob_seq: u32,
}

/// What the table should be, with every question answered by looking at everything.
#[derive(Clone, Debug)]
struct Model {
    networks: BTreeMap<Vni, (usize, Duration)>,
    known: BTreeMap<Spot, Known>,
    /// What each origin claims, whether that won or lost.
    claims: BTreeMap<(Spot, Origin), Claim>,
    now: Instant,
}

impl Model {
    fn learned(&self, of: impl Fn(&Spot, &Known) -> bool) -> Vec<Spot> {
        let learned = self.known.iter().filter(|(spot, k)| k.kind == Kind::Learned && of(spot, k));
        let mut spots: Vec<_> = learned.map(|(spot, k)| (k.seen, *spot)).collect();
        spots.sort();
        spots.into_iter().map(|(_, spot)| spot).collect()
    }

    fn count(&self, vni: Vni) -> usize {
        self.known.keys().filter(|(of, _)| *of == vni).count()
    }

    fn evict(&mut self, oldest: &[Spot], why: Refusal) -> Result<(), Refusal> {
        self.drop_holder(*oldest.first().ok_or(why)?);
        Ok(())
    }

    fn room_in_share(&mut self, at: Location) -> Result<(), Refusal> {
        let own = self.learned(|_, k| k.location == at);
        if own.len() >= limit_of(at) { self.evict(&own, Refusal::ShareFull) } else { Ok(()) }
    }

    fn room_to_learn(&mut self, at: Location) -> Result<(), Refusal> {
        self.room_in_share(at)?;
        if self.learned(|_, _| true).len() >= LIMITS.node {
            let own = self.learned(|_, k| k.location == at);
            self.evict(&own, Refusal::NodeFull)?;
        }
        Ok(())
    }

    fn room(&mut self, vni: Vni, at: Location) -> Result<(), Refusal> {
        let (max_macs, _) = *self.networks.get(&vni).ok_or(Refusal::UnknownNetwork)?;
        while self.count(vni) >= max_macs {
            let own = self.learned(|(of, _), k| *of == vni && k.location == at);
            self.evict(&own, Refusal::NetworkFull)?;
        }
        self.room_to_learn(at)
    }

    fn thaw(&mut self, spot: Spot) -> bool {
        let now = self.now;
        let frozen = self.known.get_mut(&spot).filter(|k| k.frozen_at.is_some());
        let seen = |k: &Known| if k.origin.is_none() { now } else { k.seen };
        frozen.map(|k| *k = Known { frozen_at: None, window: None, seen: seen(k), ..*k }).is_some()
    }

    fn learn(&mut self, spot: Spot, at: Location) -> LearnOutcome {
        let now = self.now;
        let Some(known) = self.known.get(&spot) else {
            if let Err(why) = self.room(spot.0, at) {
                return LearnOutcome::Refused(why);
            }
            self.known.insert(spot, self.fresh(at, Kind::Learned, None, 0));
            return LearnOutcome::Learned;
        };
        if known.frozen_at.is_some_and(|since| now - since >= FREEZE) {
            self.thaw(spot);
        }
        let known = self.known[&spot];
        if known.location == at {
            let seen = if known.origin.is_none() { now } else { known.seen };
            self.known.insert(spot, Known { seen, ..known });
            return LearnOutcome::Refreshed;
        }
        if known.kind.is_static() {
            return LearnOutcome::Refused(Refusal::Static);
        }
        if known.frozen_at.is_some() {
            return LearnOutcome::Frozen;
        }
        let is_claimed = known.origin.is_some();
        if is_claimed && matches!(at, Location::Remote(_)) {
            return LearnOutcome::Refused(Refusal::Claimed);
        }
        let room = if is_claimed { self.room_to_learn(at) } else { self.room_in_share(at) };
        if let Err(why) = room {
            return LearnOutcome::Refused(why);
        }
        let to = self.fresh(at, Kind::Learned, None, known.mob_seq + 1);
        LearnOutcome::Moved { from: known.location, frozen: self.move_to(spot, to) }
    }

    /// An entry that just came to its place.
    fn fresh(&self, location: Location, kind: Kind, origin: Option<Origin>, mob_seq: u32) -> Known {
        Known { location, kind, origin, frozen_at: None, seen: self.now, window: None, mob_seq }
    }

    fn claimed(&self, claim: Claim) -> Known {
        let kind = Kind::Claimed { is_static: claim.is_static };
        self.fresh(Location::Remote(claim.at), kind, Some(claim.origin), claim.mob_seq)
    }

    /// Counts a move; says whether the entry froze by it.
    fn move_to(&mut self, spot: Spot, to: Known) -> bool {
        let (old, now) = (self.known[&spot], self.now);
        let (since, moves) = old.window.filter(|(since, _)| now - *since < MOVE_WINDOW).unwrap_or((now, 0));
        let too_many = old.frozen_at.is_some() || moves + 1 >= MOVES_TO_FREEZE;
        let freezes = too_many && !to.kind.is_static();
        let window = (!freezes).then_some((since, moves + 1));
        self.known.insert(spot, Known { frozen_at: freezes.then_some(now), window, ..to });
        freezes && old.frozen_at.is_none()
    }

    /// What other nodes claim, best first.
    fn claims_of(&self, spot: Spot) -> Vec<Claim> {
        let claims = self.claims.iter().filter(|((of, _), _)| *of == spot);
        let mut claims: Vec<Claim> = claims.map(|(_, claim)| *claim).collect();
        claims.sort_by_key(|c| {
            (!c.is_static, if c.is_static { 0 } else { u32::MAX - c.mob_seq }, c.at, c.origin)
        });
        claims
    }

    fn claim(&mut self, spot: Spot, claim: Claim) -> ClaimOutcome {
        let there = Location::Remote(claim.at);
        if claim.at == vtep(OWN) {
            self.unclaim(spot, claim.origin);
            return ClaimOutcome::Refused(ClaimRefusal::OwnVtep);
        }
        let Some(&old) = self.known.get(&spot) else {
            let Some((max_macs, _)) = self.networks.get(&spot.0) else {
                return ClaimOutcome::Refused(ClaimRefusal::UnknownNetwork);
            };
            if self.count(spot.0) >= *max_macs {
                return ClaimOutcome::Refused(ClaimRefusal::NetworkFull);
            }
            self.claims.insert((spot, claim.origin), claim);
            self.known.insert(spot, self.claimed(claim));
            return ClaimOutcome::Added;
        };
        self.claims.insert((spot, claim.origin), claim);
        let best = self.claims_of(spot)[0];
        let mut frozen = None;
        if self.is_better(best, old) {
            frozen = self.hold(spot, old, best, claim);
        } else if old.location == there && old.kind == Kind::Learned {
            self.known.insert(spot, Known { mob_seq: old.mob_seq.max(claim.mob_seq), ..old });
        }
        let new = self.known[&spot];
        match frozen {
            Some(frozen) => ClaimOutcome::Moved { from: old.location, frozen },
            None if new.location == there => ClaimOutcome::Refreshed,
            None if new.kind == Kind::Static && claim.is_static => {
                ClaimOutcome::Duplicate { here: new.location, there: claim.at }
            }
            None => ClaimOutcome::Lost { to: new.location },
        }
    }

    fn is_better(&self, claim: Claim, than: Known) -> bool {
        let vtep = match than.location {
            Location::Local(_) => vtep(OWN),
            Location::Remote(vtep) => vtep,
        };
        let newer = claim.mob_seq > than.mob_seq || claim.mob_seq == than.mob_seq && claim.at < vtep;
        match than.kind {
            Kind::Static => false,
            Kind::Learned => claim.is_static || claim.at != vtep && newer,
            Kind::Claimed { .. } => true,
        }
    }

    /// Lets the best claim hold an entry, after `claim` was made; whether it froze by that, if that was a move.
    fn hold(&mut self, spot: Spot, old: Known, best: Claim, claim: Claim) -> Option<bool> {
        let new = self.claimed(best);
        if best != claim {
            let stays = old.origin == Some(best.origin);
            self.known.insert(spot, if stays { old } else { new });
            return None;
        }
        if new.location != old.location {
            return Some(self.move_to(spot, new));
        }
        let same = (old.origin, old.kind) == (new.origin, new.kind);
        let freezes = old.frozen_at.filter(|_| !best.is_static).map(|_| self.now);
        let kept = Known { frozen_at: freezes, window: old.window, ..new };
        self.known.insert(spot, if same { Known { mob_seq: best.mob_seq, ..old } } else { kept });
        None
    }

    fn unclaim(&mut self, spot: Spot, origin: Origin) -> UnclaimOutcome {
        if self.claims.remove(&(spot, origin)).is_none() {
            return UnclaimOutcome::Unknown;
        }
        let Some(&Known { location: from, .. }) = self.known.get(&spot).filter(|k| k.origin == Some(origin))
        else {
            return UnclaimOutcome::Unchanged;
        };
        self.drop_holder(spot);
        match self.known.get(&spot) {
            None => UnclaimOutcome::Gone { from },
            Some(new) if new.location == from => UnclaimOutcome::Unchanged,
            Some(new) => UnclaimOutcome::TakenOver { from, to: new.location },
        }
    }

    fn unclaim_all(&mut self, origin: Origin) -> usize {
        let spots = self.claims.keys().filter(|(_, of)| *of == origin).map(|(spot, _)| *spot);
        let spots: Vec<Spot> = spots.collect();
        for spot in &spots {
            self.unclaim(*spot, origin);
        }
        spots.len()
    }

    /// Who has an entry goes, with its claim if it made one; the best claim that is left takes over.
    fn drop_holder(&mut self, spot: Spot) {
        let old = self.known.remove(&spot).and_then(|old| old.origin);
        old.and_then(|origin| self.claims.remove(&(spot, origin)));
        if let Some(best) = self.claims_of(spot).first() {
            self.known.insert(spot, self.claimed(*best));
        }
    }

    fn del(&mut self, spot: Spot) -> DelOutcome {
        match self.known.get(&spot) {
            None => DelOutcome::Unknown,
            Some(Known { origin: Some(origin), .. }) => DelOutcome::Claimed { origin: *origin },
            Some(_) => {
                self.drop_holder(spot);
                DelOutcome::Removed
            }
        }
    }

    fn add_static(&mut self, (vni, mac): Spot, location: Location) -> Result<(), StaticError> {
        let (max_macs, _) = *self.networks.get(&vni).ok_or(StaticError::UnknownNetwork { vni })?;
        let old = self.known.get(&(vni, mac));
        if old.is_none() && self.count(vni) >= max_macs {
            return Err(StaticError::NetworkFull { vni, max_macs });
        }
        let mob_seq = old.map_or(0, |k| k.mob_seq);
        self.known.insert((vni, mac), self.fresh(location, Kind::Static, None, mob_seq));
        Ok(())
    }

    /// Removes own entries.
    fn remove(&mut self, of: impl Fn(&Spot, &Known) -> bool) -> usize {
        let own = self.known.iter().filter(|(spot, k)| k.origin.is_none() && of(spot, k));
        let own: Vec<Spot> = own.map(|(spot, _)| *spot).collect();
        own.iter().for_each(|spot| self.drop_holder(*spot));
        own.len()
    }

    fn remove_network(&mut self, vni: Vni) -> usize {
        let before = self.known.len();
        self.known.retain(|(of, _), _| *of != vni);
        self.claims.retain(|((of, _), _), _| *of != vni);
        self.networks.remove(&vni);
        before - self.known.len()
    }

    fn expire(&mut self) -> usize {
        let now = self.now;
        let frozen =
            self.known.iter().filter(|(_, k)| k.frozen_at.is_some_and(|since| now - since >= FREEZE));
        for spot in frozen.map(|(spot, _)| *spot).collect::<Vec<_>>() {
            self.thaw(spot);
        }
        let ages = self.networks.clone();
        self.remove(|(vni, _), k| {
            let age = ages[vni].1;
            let ages = k.kind == Kind::Learned && k.frozen_at.is_none() && !age.is_zero();
            ages && now - k.seen >= age
        })
    }

    fn set_network(&mut self, vni: Vni, max_macs: usize, age: Duration) {
        self.networks.insert(vni, (max_macs, age));
        while self.count(vni) > max_macs {
            // What is frozen goes last.
            let frozen = |spot: &Spot, model: &Self| model.known[spot].frozen_at;
            let oldest = self.learned(|(of, _), _| *of == vni);
            let Some(spot) = oldest.into_iter().min_by_key(|spot| frozen(spot, self)) else { break };
            self.drop_holder(spot);
        }
    }
}

struct Run {
    table: Table,
    shared: Arc<Shared>,
    model: Model,
    /// Answers kept since they were given, as a cache would.
    cache: BTreeMap<Spot, (Option<Found>, Stamp)>,
    /// How many entries each network had.
    counts: BTreeMap<Vni, usize>,
    /// The own entries as they were when the table was last asked what changed.
    told: BTreeMap<Spot, (Location, Kind, u32)>,
}

impl Run {
    fn new() -> Self {
        let shared = Arc::new(Shared::with_seed(3));
        let mut table = Table::new(LIMITS, Arc::clone(&shared));
        #[allow(clippy::disallowed_methods)] // the only way to get one; time is virtual afterwards
        let now = Instant::now();
        let (networks, known, claims) = Default::default();
        let mut model = Model { networks, known, claims, now };
        table.set_own(&[vtep(OWN)]);
        table.track_changes(true);
        for (n, max_macs) in (0..).zip(MAX_MACS) {
            table.set_network(vni(n), max_macs, AGES[usize::from(n)]);
            model.set_network(vni(n), max_macs, AGES[usize::from(n)]);
        }
        table.expire(now);
        Self { table, shared, model, cache: BTreeMap::new(), counts: BTreeMap::new(), told: BTreeMap::new() }
    }

    /// Lets time pass. Two entries that thaw in one call have the same age and may be evicted in any order, so that
    /// the model could not tell which: no more than one is left to thaw later, in the half of a millisecond between.
    fn pass(&mut self, time: Duration) {
        let until = self.model.now + time;
        let due = |model: &Model| {
            let dues = model.known.values().filter_map(|k| k.frozen_at).map(|since| since + FREEZE);
            let dues: BTreeSet<_> = dues.filter(|due| *due <= until).collect();
            dues.first().copied().filter(|_| dues.len() > 1)
        };
        while let Some(due) = due(&self.model) {
            self.model.now = self.model.now.max(due) + Duration::from_micros(500);
            assert_eq!(self.table.expire(self.model.now), self.model.expire());
        }
        self.model.now = until;
    }

    fn take(&mut self, step: Step) {
        self.pass(Duration::from_millis(1));
        let (table, model) = (&mut self.table, &mut self.model);
        let now = model.now;
        // Commands have no `now`: the daemon calls expire whenever it wakes. What is due before is due in both.
        if !matches!(step, Step::Learn { .. } | Step::Wait { .. }) {
            assert_eq!(table.expire(now), model.expire(), "expired before {step:?}");
        }
        match step {
            Step::Learn { vni: v, mac: m, place: p } => {
                let outcome = table.learn(vni(v), mac(m), place(p), now);
                assert_eq!(outcome, model.learn((vni(v), mac(m)), place(p)));
            }
            Step::AddStatic { vni: v, mac: m, place: p } => {
                let result = table.add_static(vni(v), mac(m), place(p));
                assert_eq!(result, model.add_static((vni(v), mac(m)), place(p)));
            }
            Step::Del { vni: v, mac: m } => {
                assert_eq!(table.del(vni(v), mac(m)), model.del((vni(v), mac(m))));
            }
            Step::Claim { vni: v, mac: m, claim } => {
                let outcome = table.claim(vni(v), mac(m), claim, now);
                assert_eq!(outcome, model.claim((vni(v), mac(m)), claim));
            }
            Step::Unclaim { vni: v, mac: m, origin } => {
                let outcome = table.unclaim(vni(v), mac(m), origin, now);
                assert_eq!(outcome, model.unclaim((vni(v), mac(m)), origin));
            }
            Step::UnclaimAll { origin } => {
                assert_eq!(table.unclaim_all(origin, now), model.unclaim_all(origin));
            }
            Step::Poll => self.poll(),
            Step::Thaw { vni: v, mac: m } => {
                assert_eq!(table.thaw(vni(v), mac(m)), model.thaw((vni(v), mac(m))));
            }
            Step::Flush { vni: v } => {
                let v = v.map(vni);
                let gone = |(of, _): &Spot, k: &Known| k.kind == Kind::Learned && v.is_none_or(|v| v == *of);
                assert_eq!(table.flush(v), model.remove(gone));
            }
            Step::Forget { place: p } => {
                assert_eq!(table.forget(place(p)), model.remove(|_, k| k.location == place(p)));
            }
            Step::SetNetwork { vni: v, max_macs, age } => {
                table.set_network(vni(v), max_macs, AGES[age]);
                model.set_network(vni(v), max_macs, AGES[age]);
            }
            Step::RemoveNetwork { vni: v } => {
                assert_eq!(table.remove_network(vni(v)), model.remove_network(vni(v)));
            }
            Step::Wait { millis } => self.pass(Duration::from_millis(millis)),
            Step::Expire => {}
        }
    }

    /// What changed since the last time is told, and nothing that is of no own entry.
    fn poll(&mut self) {
        let own = self.model.known.iter().filter(|(_, k)| k.origin.is_none());
        let own: BTreeMap<_, _> = own.map(|(spot, k)| (*spot, (k.location, k.kind, k.mob_seq))).collect();
        let before = std::mem::replace(&mut self.told, own);
        let mut changed = BTreeSet::new();
        while let Some(spot) = self.table.poll_changed() {
            assert!(changed.insert(spot), "{spot:?} is told twice");
        }
        for spot in before.keys().chain(self.told.keys()) {
            assert!(
                before.get(spot) == self.told.get(spot) || changed.contains(spot),
                "{spot:?} is not told"
            );
        }
        for spot in changed {
            assert!(before.contains_key(&spot) || self.told.contains_key(&spot), "{spot:?} is of no use");
        }
    }

    /// The table and the read side both hold what the model holds.
    fn check_same(&self) {
        let table: BTreeMap<Spot, EntryView> = self.table.entries().map(|e| ((e.vni, e.mac), e)).collect();
        assert_eq!(table.len(), self.table.len());
        assert_eq!(table.keys().collect::<Vec<_>>(), self.model.known.keys().collect::<Vec<_>>());
        let numbers: BTreeSet<u64> = table.values().map(|entry| entry.seq).collect();
        assert_eq!(numbers.len(), table.len(), "each change has its own number");
        for (spot, known) in &self.model.known {
            let entry = table[spot];
            assert_eq!((entry.location, entry.kind), (known.location, known.kind));
            assert_eq!((entry.origin, entry.mob_seq), (known.origin, known.mob_seq));
            assert_eq!(entry.frozen_until, known.frozen_at.map(|since| since + FREEZE));
            assert_eq!(entry.last_seen, (known.kind != Kind::Static).then_some(known.seen));
            let frozen = known.frozen_at.is_some();
            let found = Found { location: known.location, frozen, kind: known.kind };
            assert_eq!(self.shared.find(spot.0, spot.1).0, Some(found));
            assert_eq!(self.table.entry(spot.0, spot.1), Some(entry));
            let mut lost = self.model.claims_of(*spot);
            lost.retain(|claim| Some(claim.origin) != known.origin);
            assert_eq!(self.table.lost_claims(spot.0, spot.1), lost);
        }
    }

    fn check_bounds(&mut self) {
        let learned: Vec<_> = self.table.entries().filter(|e| e.kind == Kind::Learned).collect();
        assert!(learned.len() <= LIMITS.node);
        for at in (0..5).map(place) {
            assert!(learned.iter().filter(|e| e.location == at).count() <= limit_of(at));
        }
        for (vni, (max_macs, _)) in &self.model.networks {
            let count = self.table.count(*vni);
            // Claimed ones stay when the limit falls, and may be learned afterwards.
            let before = self.counts.insert(*vni, count).unwrap_or(0);
            assert!(count <= before.max(*max_macs));
        }
    }

    /// Whatever a cache still holds to be current is what a lookup says, also where it says "unknown".
    fn check_cache(&mut self) {
        for spot in (0..VNIS).flat_map(|v| (0..MACS).map(move |m| (vni(v), mac(m)))) {
            let fresh = self.shared.find(spot.0, spot.1);
            let (kept, stamp) = *self.cache.entry(spot).or_insert(fresh);
            if self.shared.is_current(stamp) {
                assert_eq!(kept, fresh.0, "a stale answer counts as current");
            } else {
                self.cache.insert(spot, fresh);
            }
        }
    }

    /// Nothing is due before the time at which the table wants to be woken.
    fn check_timeout(&self) {
        let due = self.model.known.iter().filter_map(|((vni, _), k)| {
            let age = self.model.networks[vni].1;
            let ages = k.kind == Kind::Learned && !age.is_zero();
            k.frozen_at.map(|since| since + FREEZE).or(ages.then_some(k.seen + age))
        });
        let due = due.min();
        assert!(due.is_none_or(|due| self.table.poll_timeout().is_some_and(|wake| wake <= due)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_table_does_what_the_naive_model_does(steps in proptest::collection::vec(step(), 1..250)) {
        let mut run = Run::new();
        for step in steps {
            run.take(step);
            run.check_same();
            run.check_bounds();
            run.check_cache();
            run.check_timeout();
        }
    }

    #[test]
    fn learning_evicts_only_from_the_share_of_the_learner(steps in proptest::collection::vec(step(), 1..250)) {
        let mut run = Run::new();
        for step in steps {
            let before: Vec<_> = run.table.entries().collect();
            run.take(step);
            let Step::Learn { place: at, .. } = step else { continue };
            let lost = before.iter().filter(|e| run.table.entry(e.vni, e.mac).is_none());
            for entry in lost {
                prop_assert_eq!((entry.location, entry.kind), (place(at), Kind::Learned));
            }
        }
    }

    #[test]
    fn a_flood_from_one_port_pushes_out_nobody_else(
        steps in proptest::collection::vec(step(), 1..100),
        flood in proptest::collection::vec(any::<u32>(), 1..300),
    ) {
        let mut run = Run::new();
        steps.into_iter().for_each(|step| run.take(step));
        let others = |run: &Run| {
            let others = run.table.entries().filter(|e| e.location != place(0));
            others.map(|e| ((e.vni, e.mac), e)).collect::<BTreeMap<_, _>>()
        };
        let before = others(&run);
        for n in flood {
            let [a, b, c, d] = n.to_be_bytes();
            run.table.learn(vni(n as u8 % VNIS), MacAddr::new([6, 0, a, b, c, d]), place(0), run.model.now);
        }
        let mut after = others(&run);
        // A claim may take over from what gave way.
        after.retain(|spot, entry| before.contains_key(spot) || entry.origin.is_none());
        prop_assert_eq!(after, before);
    }

    #[test]
    fn a_static_entry_changes_only_by_command(steps in proptest::collection::vec(step(), 1..250)) {
        let mut run = Run::new();
        for step in steps {
            let configured: Vec<_> = run.table.entries().filter(|e| e.kind == Kind::Static).collect();
            run.take(step);
            let learning = matches!(
                step,
                Step::Learn { .. }
                    | Step::Expire
                    | Step::Wait { .. }
                    | Step::Flush { .. }
                    | Step::Thaw { .. }
                    | Step::Claim { .. }
                    | Step::Unclaim { .. }
                    | Step::UnclaimAll { .. }
            );
            for entry in configured.into_iter().filter(|_| learning) {
                prop_assert_eq!(run.table.entry(entry.vni, entry.mac), Some(entry));
            }
        }
    }
}
