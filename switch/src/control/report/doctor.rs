//! What the doctor looks at, as far as control knows it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use encap::{Format, Mtu, VtepAddr};
use fdb::gossip::identity::NodeId;
use fdb::gossip::members::MemberState;

use crate::control::config::{Config, NetworkConfig, UnderlayMtu};
use crate::control::defects::{Defect, NO_ROUTE};
use crate::control::devices::Devices;
use crate::control::members::Member;
use crate::control::peers::Peer;
use crate::control::protocol::{Doctor, MatrixEntry, Reply};
use crate::control::{Control, mtu};
use crate::counters::DropReason;
use crate::doctor::{
    self, CellFacts, Count, DaemonFacts, Facts, FallbackFacts, HostQuestions, NetworkFacts, PeerFacts,
    PodNet, PortFacts, Trouble,
};
use crate::path::{EXAMINATION, View};

impl<D: Devices> Control<D> {
    /// Begins to look at what takes time: paths to members, and the host.
    pub(in crate::control) fn examine(&mut self) -> Reply {
        self.counts_before = self.counters_for_doctor();
        let members = self.gossip.iter().flat_map(|gossip| &gossip.members);
        let watched: Vec<_> =
            members.filter(|(_, member)| member.vtep.is_some()).map(|(node, _)| *node).collect();
        for node in &watched {
            self.devices.examine_path(*node);
        }
        let mut pods: Vec<_> = pods(&self.config).into_iter().map(|pods| pods.net).collect();
        pods.sort_unstable();
        pods.dedup();
        self.devices.examine_host(HostQuestions {
            addresses: self.addresses.clone(),
            peers: self.asked_addresses(),
            pods,
        });
        let ms = EXAMINATION.as_millis();
        Reply::done(format!("{} nodes are examined: ask for `doctor` in {ms} ms", watched.len()), 0)
    }

    /// The addresses of peers, also of those that are down: a filter or a route may be why.
    fn asked_addresses(&self) -> Vec<IpAddr> {
        let statics = self.peers.iter().filter(|peer| !peer.is_prefix()).map(|peer| peer.vtep.ip());
        let members = self.gossip.iter().flat_map(|gossip| gossip.members.values());
        let there = members.filter(|member| member.state != MemberState::Left);
        statics.chain(there.flat_map(Member::addresses)).collect()
    }

    /// What is wrong, by the latest examination.
    pub(in crate::control) fn doctor(&self, now: Instant) -> Reply {
        let host = self.devices.host_facts();
        let daemon = self.daemon_facts(now);
        let matrix = matrix(&daemon.peers);
        let facts = Facts { host, pods: pods(&self.config), daemon: Some(daemon), start: None };
        let doctor::Report { findings, checks } = doctor::diagnose(&facts);
        let (node, namespace) = (self.config.node.name.clone(), self.devices.namespace());
        Reply::Doctor(Doctor { node, namespace, findings, checks, matrix, fixed: Vec::new() })
    }

    fn daemon_facts(&self, now: Instant) -> DaemonFacts {
        let configured = match self.config.underlay.mtu {
            UnderlayMtu::Auto => None,
            UnderlayMtu::Fixed(mtu) => Some(mtu),
        };
        let seen_as = |own: &IpAddr| self.config.underlay.seen_as(*own);
        DaemonFacts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            addresses: self.addresses.iter().map(seen_as).collect(),
            underlay_mtu: configured,
            networks: self.config.networks.iter().map(|network| self.network_facts(network)).collect(),
            ports: self.port_facts(),
            peers: self.peer_facts(&self.devices.path_views(), now),
            troubles: self.all_troubles(now),
            fallbacks: self.fallback_facts(),
            counts: self.counts_lately(),
        }
    }

    fn network_facts(&self, network: &NetworkConfig) -> NetworkFacts {
        let underlay = mtu::of_underlay(self.config.underlay.mtu, self.devices.underlay_mtu());
        let derived = NetworkConfig { mtu: None, ..network.clone() };
        let fits = mtu::of_ports(&derived, underlay, &self.addresses);
        NetworkFacts { name: network.name.clone(), mtu: network.mtu, fits }
    }

    fn port_facts(&self) -> Vec<PortFacts> {
        let fits = |network: &str| {
            let network = self.config.networks.iter().find(|n| n.name == network);
            network.map_or(Mtu::MAX, |network| self.network_facts(network).fits)
        };
        let up = self.ports.iter().filter_map(|(name, port)| Some((name, port, port.id()?)));
        up.map(|(name, port, id)| PortFacts {
            name: name.clone(),
            ifname: port.config.ifname().to_owned(),
            mtu: self.devices.port_mtu(id).unwrap_or(port.mtu),
            given: port.mtu,
            fits: fits(&port.config.network),
        })
        .collect()
    }

    fn peer_facts(&self, views: &BTreeMap<NodeId, View>, now: Instant) -> Vec<PeerFacts> {
        let statics = self.peers.iter().filter(|peer| !peer.is_prefix()).map(static_facts);
        let members = self.gossip.iter().flat_map(|gossip| &gossip.members);
        let member =
            |(node, member): (&NodeId, &Member)| self.member_facts(*node, member, views.get(node), now);
        statics.chain(members.map(member)).collect()
    }

    fn member_facts(&self, node: NodeId, member: &Member, view: Option<&View>, now: Instant) -> PeerFacts {
        let found = member.found.as_ref();
        let causes = found.map(|found| found.health.causes().iter().map(|since| since.cause).collect());
        let via = found.and_then(|found| found.via.as_ref()).zip(self.gossip.as_ref());
        let over = |view: &&View| {
            let examination = view.examination.as_ref();
            examination
                .is_some_and(|it| it.finished || now.saturating_duration_since(it.began) >= EXAMINATION)
        };
        PeerFacts {
            name: member.name(node),
            address: member.site().map(|site| site.vxlan.ip()).or(member.vtep.map(VtepAddr::ip)),
            addresses: member.addresses().collect(),
            alive: member.state == MemberState::Up && member.vtep.is_some() && !member.sites.is_empty(),
            version: member.info.as_ref().map(|info| info.version.clone()),
            link_mtu: member.link(),
            path_mtu: self.path_mtu(member),
            causes: causes.unwrap_or_default(),
            via: via.map(|(via, gossip)| gossip.name_of(via.node)),
            clock_ahead_ms: view.and_then(|view| view.clock_ahead_ms),
            cells: view.filter(over).map(cells).unwrap_or_default(),
        }
    }

    fn all_troubles(&self, now: Instant) -> Vec<Trouble> {
        let trouble =
            |subject, defect: Defect<'_>| Trouble { code: defect.code, subject, what: defect.text() };
        let ports = self.ports.iter().filter_map(|(name, port)| Some((name, port.defect()?)));
        // Of a smaller path the doctor knows more.
        let peers = self.peers.iter().flat_map(|peer| {
            let unreached = peer.defects().filter(|defect| defect.code == NO_ROUTE);
            unreached.map(|defect| trouble(format!("peer {}", peer.config.address), defect))
        });
        ports
            .map(|(name, defect)| trouble(format!("port {name}"), defect))
            .chain(peers)
            .chain(self.http_defect().map(|defect| trouble("http".to_owned(), defect)))
            .chain(self.trouble_facts(now))
            .collect()
    }

    fn fallback_facts(&self) -> Vec<FallbackFacts> {
        let fact = |((peer, offload), (said, _)): (&(Option<VtepAddr>, &'static str), &(String, Instant))| {
            FallbackFacts {
                subject: peer.map(|vtep| self.describe(fdb::Location::Remote(vtep))),
                offload,
                said: said.clone(),
            }
        };
        self.fallbacks.iter().map(fact).collect()
    }

    /// Counters by name; of two with one name that of the data path, which is the one that rules look at.
    fn counters_for_doctor(&self) -> BTreeMap<&'static str, u64> {
        let totals = self.totals();
        let drops = DropReason::ALL.iter().zip(&totals.drops);
        let mut all: BTreeMap<_, _> =
            drops.map(|(reason, both)| (reason.name(), both.iter().sum())).collect();
        all.extend(totals.notices.named());
        all.extend(totals.lost_before.named());
        let status = self.gossip.as_ref().map(|gossip| gossip.link.status());
        for (name, count) in status.iter().flat_map(|status| status.dropped.named()) {
            all.entry(name).or_insert(count);
        }
        all
    }

    fn counts_lately(&self) -> BTreeMap<&'static str, Count> {
        let before = |name| self.counts_before.get(name).copied().unwrap_or(0);
        let count = |(name, total): (&'static str, u64)| {
            (name, Count { total, lately: total.saturating_sub(before(name)) })
        };
        self.counters_for_doctor().into_iter().map(count).collect()
    }
}

/// The prefixes that ports have addresses in.
pub(crate) fn pods(config: &Config) -> Vec<PodNet> {
    let of_port = |port: &crate::control::config::PortConfig| {
        let device = port.netns.is_none().then(|| port.ifname().to_owned());
        let network = port.network.clone();
        let net = move |net: &ipnet::IpNet| PodNet {
            network: network.clone(),
            net: net.trunc(),
            device: device.clone(),
        };
        port.addresses.iter().map(net).collect::<Vec<_>>()
    };
    config.ports.iter().flat_map(of_port).collect()
}

fn static_facts(peer: &Peer) -> PeerFacts {
    PeerFacts {
        name: peer.config.address.to_string(),
        address: Some(peer.vtep.ip()),
        addresses: vec![peer.vtep.ip()],
        alive: false,
        version: None,
        link_mtu: peer.link,
        path_mtu: peer.path,
        causes: Vec::new(),
        via: None,
        clock_ahead_ms: None,
        cells: Vec::new(),
    }
}

fn cells(view: &View) -> Vec<CellFacts> {
    let port = |format: Format| view.target.site.vtep(format).port();
    let all = view.examination.iter().flat_map(|examination| &examination.cells);
    all.map(|cell| CellFacts {
        format: cell.format,
        port: port(cell.format),
        size: cell.size,
        octets: cell.octets,
        sent: cell.sent,
        answered: cell.answered,
    })
    .collect()
}

fn matrix(peers: &[PeerFacts]) -> Vec<MatrixEntry> {
    let rows = peers.iter().filter_map(|peer| Some((peer, peer.address?)));
    let entries = rows.flat_map(|(peer, address)| peer.cells.iter().map(move |cell| (peer, address, cell)));
    entries
        .map(|(peer, address, cell)| MatrixEntry {
            peer: peer.name.clone(),
            address,
            port: cell.port,
            format: cell.format,
            size: cell.octets,
            sent: cell.sent,
            answered: cell.answered,
        })
        .collect()
}
