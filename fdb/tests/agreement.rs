//! Tables that publish to each other, each claim late by as much as chance wants: once all is said, all believe the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use encap::{MacAddr, PortId, Vni, VtepAddr};
use fdb::{Claim, Kind, Limits, Location, Origin, Shared, Table};
use proptest::prelude::*;
use proptest::sample::Index;

const NODES: usize = 3;
const MACS: u8 = 3;
const AGE: Duration = Duration::from_secs(300);
const VNI: Vni = Vni::from_octets([0, 0, 100]);

#[derive(Clone, Debug)]
enum Step {
    /// Frames from two ports, and from two static peers that all nodes share.
    Learn {
        node: usize,
        mac: u8,
        place: u8,
    },
    Configure {
        mac: u8,
    },
    Forget {
        node: usize,
        place: u8,
    },
    Flush {
        node: usize,
    },
    /// A node takes another one to be down, until it is told of all its records again.
    Hide {
        at: usize,
        origin: usize,
    },
    Deliver(Index),
    Wait {
        seconds: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0..NODES;
    prop_oneof![
        12 => (node(), 0..MACS, 0..4_u8).prop_map(|(node, mac, place)| Step::Learn { node, mac, place }),
        1 => (0..MACS).prop_map(|mac| Step::Configure { mac }),
        1 => (node(), 0..4_u8).prop_map(|(node, place)| Step::Forget { node, place }),
        1 => node().prop_map(|node| Step::Flush { node }),
        1 => (node(), node()).prop_map(|(at, origin)| Step::Hide { at, origin }),
        20 => any::<Index>().prop_map(Step::Deliver),
        2 => prop_oneof![1..10_u64, 100..301_u64].prop_map(|seconds| Step::Wait { seconds }),
    ]
}

fn mac(n: u8) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, n])
}

fn vtep(last: u8) -> VtepAddr {
    SocketAddr::from(([10, 0, 0, last], 4789)).into()
}

/// The nodes' own VTEPs are between those of the static peers.
fn own(node: usize) -> VtepAddr {
    vtep(10 + node as u8)
}

fn origin(node: usize) -> Origin {
    Origin::new(node as u32)
}

fn place(n: u8) -> Location {
    match n {
        0 | 1 => Location::Local(PortId::new(n.into())),
        2 => Location::Remote(vtep(2)),
        _ => Location::Remote(vtep(30)),
    }
}

struct Cluster {
    tables: Vec<Table>,
    /// What each node says now.
    published: Vec<BTreeMap<u8, Claim>>,
    /// Origin, receiver and address of what is still to be told.
    on_the_way: BTreeSet<(usize, usize, u8)>,
    now: Instant,
}

impl Cluster {
    fn new() -> Self {
        let tables = (0..NODES).map(|node| {
            let mut table = Table::new(Limits::default(), Arc::new(Shared::with_seed(5)));
            table.set_own(&[own(node)]);
            table.set_network(VNI, 100, AGE);
            table.track_changes(true);
            table
        });
        #[allow(clippy::disallowed_methods)] // the only way to get one; time is virtual afterwards
        let now = Instant::now();
        let published = vec![BTreeMap::new(); NODES];
        Self { tables: tables.collect(), published, on_the_way: BTreeSet::new(), now }
    }

    fn take(&mut self, step: &Step) {
        self.now += Duration::from_millis(1);
        match *step {
            Step::Learn { node, mac: m, place: p } => {
                self.tables[node].learn(VNI, mac(m), place(p), self.now);
            }
            // One node each: what two nodes configure, they do not agree on.
            Step::Configure { mac: m } => {
                let added = self.tables[usize::from(m) % NODES].add_static(VNI, mac(m), place(0));
                added.expect("the network has room");
            }
            Step::Forget { node, place: p } => {
                self.tables[node].forget(place(p));
            }
            Step::Flush { node } => {
                self.tables[node].flush(None);
            }
            Step::Hide { at, origin: of } => {
                self.tables[at].unclaim_all(origin(of), self.now);
                self.on_the_way.extend(self.published[of].keys().map(|m| (of, at, *m)).filter(|_| of != at));
            }
            Step::Deliver(ref which) => self.deliver(which),
            Step::Wait { seconds } => {
                self.now += Duration::from_secs(seconds);
                for table in &mut self.tables {
                    table.expire(self.now);
                }
            }
        }
        (0..NODES).for_each(|node| self.publish(node));
    }

    /// What control does with each change.
    fn publish(&mut self, node: usize) {
        while let Some((vni, changed)) = self.tables[node].poll_changed() {
            let m = changed.octets()[5];
            let own_entry = self.tables[node].entry(vni, changed).filter(|entry| entry.origin.is_none());
            let claim = own_entry.map(|entry| Claim {
                origin: origin(node),
                at: self.believed(node, m).expect("there is an entry"),
                mob_seq: entry.mob_seq,
                is_static: entry.kind == Kind::Static,
            });
            let before = self.published[node].remove(&m);
            self.published[node].extend(claim.map(|claim| (m, claim)));
            if before != claim {
                let others = (0..NODES).filter(|other| *other != node);
                self.on_the_way.extend(others.map(|other| (node, other, m)));
            }
        }
    }

    /// Tells one of what is on the way, as it is by now.
    fn deliver(&mut self, which: &Index) {
        if self.on_the_way.is_empty() {
            return;
        }
        let next = *which.get(&self.on_the_way.iter().copied().collect::<Vec<_>>());
        self.on_the_way.remove(&next);
        let (from, to, m) = next;
        match self.published[from].get(&m) {
            Some(claim) => {
                self.tables[to].claim(VNI, mac(m), *claim, self.now);
            }
            None => {
                self.tables[to].unclaim(VNI, mac(m), origin(from), self.now);
            }
        }
    }

    /// The VTEP behind which a node believes an address to live.
    fn believed(&self, node: usize, m: u8) -> Option<VtepAddr> {
        self.tables[node].entry(VNI, mac(m)).map(|entry| match entry.location {
            Location::Local(_) => own(node),
            Location::Remote(vtep) => vtep,
        })
    }

    /// Tells all that is on the way, in the order that `order` has by chance; says how much that was.
    fn settle(&mut self, order: &[Index]) -> usize {
        let told = order.iter().cycle().take(10_000).take_while(|which| {
            let more = !self.on_the_way.is_empty();
            self.deliver(which);
            (0..NODES).for_each(|node| self.publish(node));
            more
        });
        told.count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn all_nodes_agree_where_an_address_is_once_all_is_said(
        steps in proptest::collection::vec(step(), 1..150),
        order in proptest::collection::vec(any::<Index>(), 1..50),
    ) {
        let mut cluster = Cluster::new();
        steps.iter().for_each(|step| cluster.take(step));
        let told = cluster.settle(&order);
        prop_assert!(told < 1_000, "{} messages, and still not quiet", told);
        for m in 0..MACS {
            let believed: Vec<_> = (0..NODES).map(|node| cluster.believed(node, m)).collect();
            prop_assert!(believed.iter().all(|other| *other == believed[0]), "address {}: {:?}", m, believed);
            let publishers = cluster.published.iter().filter(|claims| claims.contains_key(&m));
            prop_assert_eq!(publishers.count() > 0, believed[0].is_some());
        }
    }
}
