//! The host's devices, as control asks for them: TAPs in namespaces, routes, and the workers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use encap::neighbor::FrameBuf;
use encap::{Mtu, PortId, Vni, VtepAddr};
use fdb::gossip::identity::NodeId;
use fdb::gossip::seal::Mode;

use super::captures::Captures;
use super::doctor::Examiner;
use super::paths::Paths;
use super::sockets::Sockets;
use super::taps::Taps;
use super::wanted_offloads;
use crate::capture::ring::At;
use crate::clock;
use crate::control::config::{Config, UnderlayMtu};
use crate::control::devices::{Devices, OpenPort, PortError, PortSpec, UnderlayPath, Watched};
use crate::control::protocol::{Capture, Reply};
use crate::counters::{DropReason, PortTraffic};
use crate::datapath::worker::Update;
use crate::doctor::{Buffer, HostFacts, HostQuestions};
use crate::gossip;
use crate::heads;
use crate::io::link::{Link, Links};
use crate::io::netns::{Netns, NetnsRef};
use crate::io::poll::Waker;
use crate::io::tap::Wanted;
use crate::io::udp;
use crate::path::{self, Outgoing, View};
use crate::topology::Topology;

/// How long a worker may take to make room for a new topology; it takes microseconds unless it is stuck.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long all workers together may take to tell what they dropped last.
const HEADS_PATIENCE: Duration = Duration::from_millis(500);

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
    taps: Taps,
    workers: Vec<(Sender<Update>, Arc<Waker>)>,
    /// The watch over paths, where there are members.
    paths: Option<Paths>,
    examiner: Examiner,
    captures: Captures,
}

impl HostDevices {
    pub(super) fn new(
        config: &Config,
        addresses: &[IpAddr],
        sockets: &Sockets,
        not_first: Option<&'static str>,
        taps: Taps,
    ) -> Self {
        let fixed_mtu = match config.underlay.mtu {
            UnderlayMtu::Auto => None,
            UnderlayMtu::Fixed(mtu) => Some(mtu),
        };
        Self {
            wanted: wanted_offloads(config),
            addresses: addresses.to_vec(),
            fixed_mtu,
            segments: (config.datapath.udp_segment, sockets.segments),
            gro: (config.datapath.udp_gro, sockets.gro),
            buffer_sizes: sockets.buffer_sizes(),
            not_first,
            taps,
            workers: Vec::new(),
            paths: None,
            examiner: Examiner::default(),
            captures: Captures::default(),
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

    /// Begins a capture of what workers, the watch over paths and gossip see, and takes the client's connection over unless it is refused.
    pub(super) fn capture(
        &self,
        (node, ask, at): (&str, Capture, At),
        gossip: Option<&gossip::Link>,
        connection: UnixStream,
    ) -> Reply {
        let (reply, writers) = self.captures.begin((node, ask, at), connection, self.workers.len() + 2);
        let mut writers = writers.into_iter();
        for ((updates, waker), writer) in self.workers.iter().zip(&mut writers) {
            // A worker that makes no room for it is stuck: the client sees that nothing comes.
            let _ = updates.send_timeout(Update::Capture(writer), PATIENCE);
            waker.wake();
        }
        if let (Some(paths), Some(writer)) = (&self.paths, writers.next()) {
            paths.capture(writer, self.captures.names().clone());
        }
        if let (Some(gossip), Some(writer)) = (gossip, writers.next()) {
            gossip.capture(writer);
        }
        reply
    }

    /// Lets captures end, when workers, the watch over paths and gossip have.
    pub(super) fn finish_captures(&self) {
        self.captures.finish();
    }

    /// The TAPs of the ports.
    pub(super) const fn taps(&self) -> &Taps {
        &self.taps
    }

    /// Hands the TAPs over to whoever goes on with them.
    pub(super) fn take_taps(&mut self) -> Taps {
        std::mem::take(&mut self.taps)
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
        self.taps.open(spec, self.wanted, self.workers.len())
    }

    fn close_port(&mut self, id: PortId, keep: bool) {
        self.taps.close(id, keep);
    }

    fn change_mtu(&mut self, id: PortId, from: Mtu, to: Mtu) -> bool {
        self.taps.change_mtu(id, from, to)
    }

    fn port_mtu(&self, id: PortId) -> Option<Mtu> {
        self.taps.mtu(id)
    }

    fn port_traffic(&self, id: PortId) -> PortTraffic {
        self.taps.traffic(id)
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
        let of = |address: &IpAddr| links.by_address(*address).ok()?;
        // An address that is away for the moment makes the other's link no larger.
        let carriers: Vec<Link> = self.addresses.iter().map(of).collect::<Option<_>>()?;
        let mtus = carriers.iter().map(|link| self.at_most_fixed(Mtu::new(link.mtu).unwrap_or(Mtu::MAX)));
        mtus.min()
    }

    fn publish(&mut self, topology: Arc<Topology>) {
        self.captures.names().set(Arc::clone(&topology));
        for (worker, (updates, waker)) in self.workers.iter().enumerate() {
            let taps = Arc::new(self.taps.for_worker(worker));
            let update = Update::Topology { topology: Arc::clone(&topology), taps };
            // Only a worker that has ended takes none, and then the daemon ends, too.
            let _ = updates.send_timeout(update, PATIENCE);
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

    fn clock(&self) -> Instant {
        clock::now()
    }

    fn post(&mut self, letter: Outgoing) {
        if let Some(paths) = &self.paths {
            paths.post(letter);
        }
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

    fn drop_heads(&mut self, reason: DropReason) -> heads::Told {
        // Each worker answers once, so that there is room for all.
        let (reply, answers) = bounded(self.workers.len().max(1));
        for (updates, waker) in &self.workers {
            let _ = updates.try_send(Update::Heads { reason, reply: reply.clone() });
            waker.wake();
        }
        drop(reply);
        let until = clock::now() + HEADS_PATIENCE;
        let all: Vec<_> = std::iter::from_fn(|| answers.recv_deadline(until).ok()).collect();
        let silent = self.workers.len().saturating_sub(all.len());
        heads::Told { heads: heads::last(all.into_iter().flatten().collect()), silent }
    }

    fn lost_before(&self) -> Vec<(&'static str, u64)> {
        vec![("tap_dropped", self.taps.dropped())]
    }
}
