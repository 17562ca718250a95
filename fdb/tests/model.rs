//! The table against a naive model, in random order and virtual time: same outcomes, same entries, bounds kept,
//! nobody pays for another's flood, static entries stay, and no cached answer outlives its truth.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use encap::{MacAddr, PortId, Vni};
use fdb::table::{FREEZE, MOVE_WINDOW, MOVES_TO_FREEZE};
use fdb::{
    DelOutcome, EntryView, Found, Kind, LearnOutcome, Limits, Location, Refusal, Shared, Stamp, StaticError,
    Table,
};
use proptest::prelude::*;

const MACS: u8 = 12;
const VNIS: u8 = 3;
const LIMITS: Limits = Limits { port: 3, static_peer: 4, node: 9 };
/// Entries of network 0, 1; network 2 does not exist at first.
const MAX_MACS: [usize; 2] = [6, 5];
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
    Wait { millis: u64 },
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let (vni, mac, place) = (0..VNIS, 0..MACS, 0..5_u8);
    let spot = (vni.clone(), mac.clone());
    prop_oneof![
        60 => (vni.clone(), mac.clone(), place.clone())
            .prop_map(|(vni, mac, place)| Step::Learn { vni, mac, place }),
        // The same few addresses at changing places, so that some freeze.
        30 => (0..2_u8, place.clone()).prop_map(|(mac, place)| Step::Learn { vni: 0, mac, place }),
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
        _ => Location::Remote(SocketAddr::from(([10, 0, 0, n], 4789)).into()),
    }
}

fn limit_of(location: Location) -> usize {
    if matches!(location, Location::Local(_)) { LIMITS.port } else { LIMITS.static_peer }
}

type Spot = (Vni, MacAddr);

#[derive(Clone, Copy, Debug)]
struct Known {
    location: Location,
    kind: Kind,
    frozen_at: Option<Instant>,
    seen: Instant,
    /// When the window of moves began, and how many there were.
    window: Option<(Instant, u8)>,
    moves: u32,
}

/// What the table should be, with every question answered by looking at everything.
#[derive(Clone, Debug)]
struct Model {
    networks: BTreeMap<Vni, (usize, Duration)>,
    known: BTreeMap<Spot, Known>,
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
        self.known.remove(oldest.first().ok_or(why)?);
        Ok(())
    }

    fn room_in_share(&mut self, at: Location) -> Result<(), Refusal> {
        let own = self.learned(|_, k| k.location == at);
        if own.len() >= limit_of(at) { self.evict(&own, Refusal::ShareFull) } else { Ok(()) }
    }

    fn room(&mut self, vni: Vni, at: Location) -> Result<(), Refusal> {
        let (max_macs, _) = *self.networks.get(&vni).ok_or(Refusal::UnknownNetwork)?;
        if self.count(vni) >= max_macs {
            let own = self.learned(|(of, _), k| *of == vni && k.location == at);
            return self.evict(&own, Refusal::NetworkFull);
        }
        self.room_in_share(at)?;
        if self.learned(|_, _| true).len() >= LIMITS.node {
            let own = self.learned(|_, k| k.location == at);
            self.evict(&own, Refusal::NodeFull)?;
        }
        Ok(())
    }

    fn thaw(&mut self, spot: Spot) -> bool {
        let now = self.now;
        let frozen = self.known.get_mut(&spot).filter(|k| k.frozen_at.is_some());
        frozen.map(|k| *k = Known { frozen_at: None, window: None, seen: now, ..*k }).is_some()
    }

    fn learn(&mut self, spot: Spot, at: Location) -> LearnOutcome {
        let now = self.now;
        let Some(known) = self.known.get(&spot) else {
            if let Err(why) = self.room(spot.0, at) {
                return LearnOutcome::Refused(why);
            }
            let kind = Kind::Learned;
            let new = Known { location: at, kind, frozen_at: None, seen: now, window: None, moves: 0 };
            self.known.insert(spot, new);
            return LearnOutcome::Learned;
        };
        if known.frozen_at.is_some_and(|since| now - since >= FREEZE) {
            self.thaw(spot);
        }
        let known = self.known[&spot];
        if known.location == at {
            self.known.insert(spot, Known { seen: now, ..known });
            return LearnOutcome::Refreshed;
        }
        if known.kind == Kind::Static {
            return LearnOutcome::Refused(Refusal::Static);
        }
        if known.frozen_at.is_some() {
            return LearnOutcome::Frozen;
        }
        if let Err(why) = self.room_in_share(at) {
            return LearnOutcome::Refused(why);
        }
        let window = known.window.filter(|(since, _)| now - *since < MOVE_WINDOW).unwrap_or((now, 0));
        let frozen = window.1 + 1 >= MOVES_TO_FREEZE;
        let moved = Known {
            location: at,
            kind: Kind::Learned,
            frozen_at: frozen.then_some(now),
            seen: now,
            window: Some((window.0, window.1 + 1)),
            moves: known.moves + 1,
        };
        self.known.insert(spot, moved);
        LearnOutcome::Moved { from: known.location, frozen }
    }

    fn add_static(&mut self, (vni, mac): Spot, location: Location) -> Result<(), StaticError> {
        let (max_macs, _) = *self.networks.get(&vni).ok_or(StaticError::UnknownNetwork { vni })?;
        let old = self.known.get(&(vni, mac));
        if old.is_none() && self.count(vni) >= max_macs {
            return Err(StaticError::NetworkFull { vni, max_macs });
        }
        let moves = old.map_or(0, |k| k.moves);
        let kind = Kind::Static;
        let new = Known { location, kind, frozen_at: None, seen: self.now, window: None, moves };
        self.known.insert((vni, mac), new);
        Ok(())
    }

    fn remove(&mut self, of: impl Fn(&Spot, &Known) -> bool) -> usize {
        let before = self.known.len();
        self.known.retain(|spot, known| !of(spot, known));
        before - self.known.len()
    }

    fn expire(&mut self) -> usize {
        let now = self.now;
        for spot in self.learned(|_, k| k.frozen_at.is_some_and(|since| now - since >= FREEZE)) {
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
            self.known.remove(&spot);
        }
    }
}

struct Run {
    table: Table,
    shared: Arc<Shared>,
    model: Model,
    /// Answers kept since they were given, as a cache would.
    cache: BTreeMap<Spot, (Option<Found>, Stamp)>,
}

impl Run {
    fn new() -> Self {
        let shared = Arc::new(Shared::with_seed(3));
        let mut table = Table::new(LIMITS, Arc::clone(&shared));
        #[allow(clippy::disallowed_methods)] // the only way to get one; time is virtual afterwards
        let now = Instant::now();
        let mut model = Model { networks: BTreeMap::new(), known: BTreeMap::new(), now };
        for (n, max_macs) in (0..).zip(MAX_MACS) {
            table.set_network(vni(n), max_macs, AGES[usize::from(n)]);
            model.set_network(vni(n), max_macs, AGES[usize::from(n)]);
        }
        table.expire(now);
        Self { table, shared, model, cache: BTreeMap::new() }
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
                let known = model.known.remove(&(vni(v), mac(m))).is_some();
                let removed = if known { DelOutcome::Removed } else { DelOutcome::Unknown };
                assert_eq!(table.del(vni(v), mac(m)), removed);
            }
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
                let removed = model.remove(|(of, _), _| *of == vni(v));
                model.networks.remove(&vni(v));
                assert_eq!(table.remove_network(vni(v)), removed);
            }
            Step::Wait { millis } => self.pass(Duration::from_millis(millis)),
            Step::Expire => {}
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
            assert_eq!(
                (entry.location, entry.kind, entry.mob_seq),
                (known.location, known.kind, known.moves)
            );
            assert_eq!(entry.frozen_until, known.frozen_at.map(|since| since + FREEZE));
            assert_eq!(entry.last_seen, (known.kind == Kind::Learned).then_some(known.seen));
            let frozen = known.frozen_at.is_some();
            let found = Found { location: known.location, frozen, kind: known.kind };
            assert_eq!(self.shared.find(spot.0, spot.1).0, Some(found));
            assert_eq!(self.table.entry(spot.0, spot.1), Some(entry));
        }
    }

    fn check_bounds(&self) {
        let learned: Vec<_> = self.table.entries().filter(|e| e.kind == Kind::Learned).collect();
        assert!(learned.len() <= LIMITS.node);
        for at in (0..5).map(place) {
            assert!(learned.iter().filter(|e| e.location == at).count() <= limit_of(at));
        }
        for (vni, (max_macs, _)) in &self.model.networks {
            let configured = self.table.entries().filter(|e| e.vni == *vni && e.kind == Kind::Static).count();
            assert!(self.table.count(*vni) <= configured.max(*max_macs));
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
        let known = self.model.known.iter().filter(|(_, k)| k.kind == Kind::Learned);
        let due = known.filter_map(|((vni, _), k)| {
            let age = self.model.networks[vni].1;
            k.frozen_at.map(|since| since + FREEZE).or((!age.is_zero()).then_some(k.seen + age))
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
        prop_assert_eq!(others(&run), before);
    }

    #[test]
    fn a_static_entry_changes_only_by_command(steps in proptest::collection::vec(step(), 1..250)) {
        let mut run = Run::new();
        for step in steps {
            let configured: Vec<_> = run.table.entries().filter(|e| e.kind == Kind::Static).collect();
            run.take(step);
            let learning = matches!(
                step,
                Step::Learn { .. } | Step::Expire | Step::Wait { .. } | Step::Flush { .. } | Step::Thaw { .. }
            );
            for entry in configured.into_iter().filter(|_| learning) {
                prop_assert_eq!(run.table.entry(entry.vni, entry.mac), Some(entry));
            }
        }
    }
}
