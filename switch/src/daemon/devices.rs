//! The host's devices, as control asks for them: TAPs in namespaces, routes, and the workers.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use encap::neighbor::FrameBuf;
use encap::{MacAddr, Mtu, PortId, Vni, VtepAddr};
use fdb::gossip::identity::NodeId;
use fdb::gossip::seal::Mode;

use super::doctor::Examiner;
use super::paths::Paths;
use super::wanted_offloads;
use crate::control::config::{Config, UnderlayMtu};
use crate::control::devices::{Devices, OpenPort, PortError, PortSpec, UnderlayPath, Watched};
use crate::datapath::worker::Update;
use crate::doctor::{Buffer, HostFacts, HostQuestions};
use crate::io::link::{Link, LinkSetup, Links};
use crate::io::netns::{Netns, NetnsRef, run_in};
use crate::io::poll::Waker;
use crate::io::tap::{Setup, Tap, Wanted};
use crate::io::udp;
use crate::path::{self, View};
use crate::topology::Topology;

/// How long a worker may take to make room for a new topology; it takes microseconds unless it is stuck.
const PATIENCE: Duration = Duration::from_secs(1);

/// The devices of this host and the workers that use them.
pub(super) struct HostDevices {
    wanted: Wanted,
    addresses: Vec<IpAddr>,
    fixed_mtu: Option<Mtu>,
    segments: (u16, u16),
    gro: (bool, bool),
    /// Of the receive sockets and of the send sockets.
    buffer_sizes: (usize, usize),
    /// Why workers do not run before the pods; `None` = they may.
    not_first: Option<&'static str>,
    ports: HashMap<PortId, Port>,
    workers: Vec<(Sender<Update>, Arc<Waker>)>,
    /// The watch over paths, where there are members.
    paths: Option<Paths>,
    examiner: Examiner,
}

struct Port {
    tap: Arc<Tap>,
    namespace: Option<Netns>,
    index: u32,
    ifname: String,
    mac: MacAddr,
}

impl HostDevices {
    pub(super) fn new(
        config: &Config,
        addresses: &[IpAddr],
        (segments, gro): (u16, bool),
        buffer_sizes: (usize, usize),
        not_first: Option<&'static str>,
    ) -> Self {
        let fixed_mtu = match config.underlay.mtu {
            UnderlayMtu::Auto => None,
            UnderlayMtu::Fixed(mtu) => Some(mtu),
        };
        Self {
            wanted: wanted_offloads(config),
            addresses: addresses.to_vec(),
            fixed_mtu,
            segments: (config.datapath.udp_segment, segments),
            gro: (config.datapath.udp_gro, gro),
            buffer_sizes,
            not_first,
            ports: HashMap::new(),
            workers: Vec::new(),
            paths: None,
            examiner: Examiner::default(),
        }
    }

    pub(super) fn add_worker(&mut self, updates: Sender<Update>, waker: Arc<Waker>) {
        self.workers.push((updates, waker));
    }

    pub(super) fn set_paths(&mut self, paths: Paths) {
        self.paths = Some(paths);
    }

    /// Whether the watch over paths ended though nobody told it to.
    pub(super) fn paths_failed(&self) -> bool {
        self.paths.as_ref().is_some_and(Paths::is_finished)
    }

    /// Ends the watch over paths.
    pub(super) fn stop_paths(&mut self) -> std::thread::Result<()> {
        self.paths.take().map_or(Ok(()), Paths::end)
    }

    /// Tells the workers to end: their channels are closed.
    pub(super) fn stop_workers(&mut self) {
        for (updates, waker) in self.workers.drain(..) {
            drop(updates);
            waker.wake();
        }
    }

    /// How many TAPs there were already when they were opened.
    pub(super) fn taken_over(&self) -> usize {
        self.ports.values().filter(|port| port.tap.taken_over()).count()
    }

    fn with_link<T: Send>(
        &self,
        id: PortId,
        work: impl FnOnce(&Links, &Link) -> std::io::Result<T> + Send,
    ) -> Option<T> {
        let port = self.ports.get(&id)?;
        let inside = move || {
            let links = Links::open()?;
            let link = links.by_index(port.index)?.ok_or(std::io::ErrorKind::NotFound)?;
            work(&links, &link)
        };
        match &port.namespace {
            Some(namespace) => run_in(namespace, inside).ok(),
            None => inside().ok(),
        }
    }

    /// A configured MTU only ever lowers that of a link: what is larger does not leave.
    fn at_most_fixed(&self, mtu: Mtu) -> Mtu {
        self.fixed_mtu.map_or(mtu, |fixed| fixed.min(mtu))
    }

    fn own_address_for(&self, peer: IpAddr) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|own| own.is_ipv4() == peer.is_ipv4())
    }
}

impl Devices for HostDevices {
    fn open_port(&mut self, spec: &PortSpec) -> Result<OpenPort, PortError> {
        let namespace = match &spec.netns {
            None => None,
            Some(name) => Some(name.open().map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => PortError::NamespaceMissing(name.clone()),
                _ => PortError::Failed(explain_namespace(&error, name)),
            })?),
        };
        let setup = Setup {
            ifname: &spec.ifname,
            mac: spec.mac,
            mtu: spec.mtu,
            addresses: &spec.addresses,
            gateway: spec.gateway,
            wanted: self.wanted,
        };
        let (tap, link) = Tap::open(namespace.as_ref(), &setup)
            .map_err(|error| PortError::Failed(explain_open(&error, spec.netns.as_ref())))?;
        // It outlives a crash, so that the next start takes it over with its addresses and routes.
        tap.set_persist(true).map_err(|error| PortError::Failed(error.to_string()))?;
        let mac =
            link.mac.ok_or_else(|| PortError::Failed(format!("TAP {} has no MAC address", link.name)))?;
        let open = OpenPort {
            mac,
            mtu: Mtu::new(link.mtu).unwrap_or(spec.mtu),
            offloads: tap.granted().names(),
            netns_identity: namespace.as_ref().map(Netns::identity),
        };
        let index = tap.index();
        self.ports
            .insert(spec.id, Port { tap: Arc::new(tap), namespace, index, ifname: spec.ifname.clone(), mac });
        Ok(open)
    }

    fn close_port(&mut self, id: PortId, keep: bool) {
        let Some(port) = self.ports.get(&id) else { return };
        // One that somebody deleted is gone already.
        let _ = port.tap.set_persist(keep);
        if !keep {
            // It goes at once, not when the last worker lets go of it: its name is free for a new port then, and no
            // worker waits for the kernel to take it apart. Where it was moved or changed by others, that has to do.
            self.with_link(id, |links, link| {
                let ours = link.kind.as_deref() == Some("tun")
                    && (&link.name, link.mac) == (&port.ifname, Some(port.mac));
                if ours { links.delete(link.index) } else { Ok(()) }
            });
        }
        self.ports.remove(&id);
    }

    fn change_mtu(&mut self, id: PortId, from: Mtu, to: Mtu) {
        self.with_link(id, |links, link| {
            let setup = LinkSetup { mtu: Some(to), ..LinkSetup::default() };
            if link.mtu == u32::from(from) { links.configure(link.index, &setup) } else { Ok(()) }
        });
    }

    fn port_mtu(&self, id: PortId) -> Option<Mtu> {
        self.with_link(id, |_, link| Ok(link.mtu)).and_then(|mtu| Mtu::new(mtu).ok())
    }

    fn netns_identity(&self, netns: &NetnsRef) -> Option<(u64, u64)> {
        netns.identity()
    }

    fn underlay_path(&self, vtep: VtepAddr) -> Option<UnderlayPath> {
        let own = self.own_address_for(vtep.ip())?;
        let mtu = Links::open().ok()?.link_mtu_to(vtep.ip(), own).ok()??;
        Some(UnderlayPath { mtu: self.at_most_fixed(mtu) })
    }

    fn underlay_mtu(&self) -> Option<Mtu> {
        let links = Links::open().ok()?;
        let mtus = self.addresses.iter().filter_map(|&address| links.by_address(address).ok()?);
        mtus.map(|link| self.at_most_fixed(Mtu::new(link.mtu).unwrap_or(Mtu::MAX))).min()
    }

    fn publish(&mut self, topology: Arc<Topology>) {
        let taps = self.ports.iter().map(|(&id, port)| (id, Arc::clone(&port.tap))).collect();
        let update = Update::Topology { topology, taps: Arc::new(taps) };
        for (updates, waker) in &self.workers {
            // Only a worker that has ended takes none, and then the daemon ends, too.
            let _ = updates.send_timeout(update.clone(), PATIENCE);
            waker.wake();
        }
    }

    fn announce(&mut self, vni: Vni, except: Option<PortId>, frame: &FrameBuf) {
        for (updates, waker) in &self.workers {
            // One that is behind has better things to do: pods ask again by themselves.
            let _ = updates.try_send(Update::Announce { vni, except, frame: *frame });
            waker.wake();
        }
    }

    fn watch_paths(&mut self, config: path::Config, watched: Vec<Watched>) {
        self.paths.iter().for_each(|paths| paths.watch(config, watched.clone()));
    }

    fn set_path_keys(&mut self, mode: Mode) {
        self.paths.iter().for_each(|paths| paths.set_keys(mode.clone()));
    }

    fn path_too_big(&mut self, to: SocketAddr, mtu: u32) {
        self.paths.iter().for_each(|paths| paths.too_big(to, mtu));
    }

    fn examine_path(&mut self, node: NodeId) {
        self.paths.iter().for_each(|paths| paths.examine(node));
    }

    fn path_views(&self) -> BTreeMap<NodeId, View> {
        self.paths.as_ref().map(Paths::views).unwrap_or_default()
    }

    fn examine_host(&mut self, questions: HostQuestions) {
        self.examiner.begin(questions);
    }

    fn host_facts(&self) -> HostFacts {
        let buffer = |got: usize| Some(Buffer { got: got as u64, wanted: udp::WANTED_BUFFER as u64 });
        let (receive, send) = self.buffer_sizes;
        HostFacts { buffer: buffer(receive), send_buffer: buffer(send), ..self.examiner.facts() }
    }

    fn namespace(&self) -> Option<(u64, u64)> {
        Netns::current().ok().map(|netns| netns.identity())
    }

    fn offloads(&self) -> Vec<(&'static str, String)> {
        let (asked, got) = self.segments;
        let segments = match got {
            0 if asked == 0 => "off: [datapath] udp_segment = 0".to_owned(),
            0 => "off: not supported by this kernel".to_owned(),
            got => got.to_string(),
        };
        let gro = match self.gro {
            (false, _) => "off: [datapath] udp_gro = false",
            (true, false) => "off: not supported by this kernel",
            (true, true) => "on",
        };
        let first = self.not_first.map_or_else(|| "under load".to_owned(), |why| format!("off: {why}"));
        vec![
            ("run_first", first),
            ("udp_segment", segments),
            ("udp_gro", gro.to_owned()),
            ("receive_buffer", format!("{} KiB", self.buffer_sizes.0 / 1024)),
        ]
    }

    fn lost_before(&self) -> Vec<(&'static str, u64)> {
        let dropped = self.ports.keys().filter_map(|&id| self.with_link(id, |_, link| Ok(link.dropped)));
        vec![("tap_dropped", dropped.sum())]
    }
}

fn explain_namespace(error: &std::io::Error, name: &NetnsRef) -> String {
    let next = match (error.kind(), name) {
        (std::io::ErrorKind::PermissionDenied, NetnsRef::Pid(_)) => {
            "the process of another user needs CAP_SYS_PTRACE: run as root"
        }
        (std::io::ErrorKind::PermissionDenied, NetnsRef::Path(_)) => {
            "let the user that runs weft read the file"
        }
        _ => "name a file that stands for a network namespace, such as those in /run/netns, or pid:N",
    };
    format!("cannot open network namespace {name}: {error}; {next}")
}

/// A refusal to enter a namespace comes without a word of what was tried.
fn explain_open(error: &std::io::Error, netns: Option<&NetnsRef>) -> String {
    match (error.raw_os_error(), netns) {
        (Some(libc::EPERM), Some(netns)) => {
            format!("cannot enter network namespace {netns}: {error}; it needs CAP_SYS_ADMIN: run as root")
        }
        _ => error.to_string(),
    }
}
