//! Devices in memory: what control did to them, and what they answer.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use encap::neighbor::FrameBuf;
use fdb::gossip::identity::NodeId;
use fdb::gossip::seal::Mode;

use super::*;
use crate::control::devices::{OpenPort, PortError, PortSpec, UnderlayPath, Watched};
use crate::counters::{DropReason, PortTraffic};
use crate::doctor::{HostFacts, HostQuestions};
use crate::heads;
use crate::io::netns::NetnsRef;
use crate::path::{self, Outgoing, View};

/// The world of a test.
pub(super) struct Twin {
    /// Open devices.
    pub(super) open: BTreeMap<PortId, PortSpec>,
    /// The MTUs that the devices have, somebody else's changes included.
    pub(super) mtus: BTreeMap<PortId, Mtu>,
    /// What went through open devices.
    pub(super) traffic: BTreeMap<PortId, PortTraffic>,
    /// Closed devices, and whether they were kept.
    pub(super) closed: Vec<(PortId, bool)>,
    /// Every identifier that a device was ever asked for with.
    pub(super) ids: BTreeSet<PortId>,
    /// Namespaces that exist.
    pub(super) namespaces: BTreeMap<String, u64>,
    /// Devices that cannot be made.
    pub(super) broken: BTreeSet<String>,
    /// Addresses without a route.
    pub(super) unreachable: BTreeSet<IpAddr>,
    /// The MTU of the underlay link.
    pub(super) link: Mtu,
    /// Whether the underlay address is away, so that its link cannot be told.
    pub(super) no_address: bool,
    /// All that was announced.
    pub(super) announced: Vec<(Vni, Option<PortId>, FrameBuf)>,
    /// All that was published.
    pub(super) published: Vec<Arc<Topology>>,
    /// Whose paths are watched, and how.
    pub(super) watching: Option<(path::Config, Vec<Watched>)>,
    pub(super) watches: u32,
    /// The keys for probes.
    pub(super) path_keys: Option<Mode>,
    /// What was passed on of sizes.
    pub(super) too_big: Vec<(SocketAddr, u32)>,
    /// Whose paths were to be examined.
    pub(super) examined: Vec<NodeId>,
    /// When its clock began, and how often it was asked: it goes a microsecond on each time.
    pub(super) begun: Instant,
    pub(super) asked: Cell<u32>,
    /// The letters that were sent.
    pub(super) posted: Vec<Outgoing>,
    /// What is known of paths.
    pub(super) views: BTreeMap<NodeId, View>,
    /// What the host was asked.
    pub(super) questions: Option<HostQuestions>,
    /// What the host says.
    pub(super) host: HostFacts,
    /// What was dropped last.
    pub(super) heads: BTreeMap<DropReason, heads::Told>,
}

impl Default for Twin {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
            mtus: BTreeMap::new(),
            traffic: BTreeMap::new(),
            closed: Vec::new(),
            ids: BTreeSet::new(),
            namespaces: BTreeMap::new(),
            broken: BTreeSet::new(),
            unreachable: BTreeSet::new(),
            link: mtu(1500),
            no_address: false,
            announced: Vec::new(),
            published: Vec::new(),
            watching: None,
            watches: 0,
            path_keys: None,
            too_big: Vec::new(),
            examined: Vec::new(),
            begun: crate::clock::now(),
            asked: Cell::new(0),
            posted: Vec::new(),
            views: BTreeMap::new(),
            questions: None,
            host: HostFacts::default(),
            heads: BTreeMap::new(),
        }
    }
}

impl Twin {
    pub(super) fn with_namespace(path: &str, inode: u64) -> Self {
        Self { namespaces: [(path.to_owned(), inode)].into(), ..Self::default() }
    }
}

impl Devices for Twin {
    fn open_port(&mut self, spec: &PortSpec) -> Result<OpenPort, PortError> {
        assert!(self.ids.insert(spec.id), "{} is used a second time", spec.id);
        let identity = spec.netns.as_ref().map(|n| self.netns_identity(n));
        if let (Some(None), Some(netns)) = (identity, &spec.netns) {
            return Err(PortError::NamespaceMissing(netns.clone()));
        }
        if self.broken.contains(&spec.ifname) {
            return Err(PortError::Failed(format!("{} is taken", spec.ifname)));
        }
        self.open.insert(spec.id, spec.clone());
        self.mtus.insert(spec.id, spec.mtu);
        Ok(OpenPort {
            mac: spec.mac.unwrap_or(mac(0xffff)),
            mtu: spec.mtu,
            offloads: vec!["csum", "tso"],
            netns_identity: identity.flatten(),
        })
    }

    fn close_port(&mut self, id: PortId, keep: bool) {
        assert!(self.open.remove(&id).is_some(), "{id} is not open");
        self.closed.push((id, keep));
    }

    fn change_mtu(&mut self, id: PortId, from: Mtu, to: Mtu) -> bool {
        let ours = self.mtus.get_mut(&id).filter(|mtu| **mtu == from);
        ours.map(|mtu| *mtu = to).is_some()
    }

    fn port_mtu(&self, id: PortId) -> Option<Mtu> {
        self.mtus.get(&id).copied()
    }

    fn port_traffic(&self, id: PortId) -> PortTraffic {
        self.traffic.get(&id).copied().unwrap_or_default()
    }

    fn netns_identity(&self, netns: &NetnsRef) -> Option<(u64, u64)> {
        self.namespaces.get(&netns.to_string()).map(|inode| (4, *inode))
    }

    fn underlay_path(&self, vtep: VtepAddr) -> Option<UnderlayPath> {
        (!self.unreachable.contains(&vtep.ip())).then_some(UnderlayPath { mtu: self.link })
    }

    fn underlay_mtu(&self) -> Option<Mtu> {
        (!self.no_address).then_some(self.link)
    }

    fn publish(&mut self, topology: Arc<Topology>) {
        self.published.push(topology);
    }

    fn watch_paths(&mut self, config: path::Config, watched: Vec<Watched>) {
        self.watching = Some((config, watched));
        self.watches += 1;
    }

    fn set_path_keys(&mut self, mode: Mode) {
        self.path_keys = Some(mode);
    }

    fn path_too_big(&mut self, to: SocketAddr, mtu: u32) {
        self.too_big.push((to, mtu));
    }

    fn examine_path(&mut self, node: NodeId) {
        self.examined.push(node);
    }

    fn clock(&self) -> Instant {
        self.asked.set(self.asked.get() + 1);
        self.begun + Duration::from_micros(self.asked.get().into())
    }

    fn post(&mut self, letter: Outgoing) {
        self.posted.push(letter);
    }

    fn path_views(&self) -> BTreeMap<NodeId, View> {
        self.views.clone()
    }

    fn examine_host(&mut self, questions: HostQuestions) {
        self.questions = Some(questions);
    }

    fn host_facts(&self) -> HostFacts {
        self.host.clone()
    }

    fn namespace(&self) -> Option<(u64, u64)> {
        Some((4, 1))
    }

    fn announce(&mut self, vni: Vni, except: Option<PortId>, frame: &FrameBuf) {
        self.announced.push((vni, except, *frame));
    }

    fn offloads(&self) -> Vec<(&'static str, String)> {
        vec![("udp_segment", "128".to_owned())]
    }

    fn drop_heads(&mut self, reason: DropReason) -> heads::Told {
        self.heads.get(&reason).cloned().unwrap_or_default()
    }

    fn lost_before(&self) -> Vec<(&'static str, u64)> {
        vec![("udp_overflow", 3)]
    }
}
