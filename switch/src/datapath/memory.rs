//! A worker without devices, for tests and benches: the same stages, the same ledger, everything kept in memory.
//!
//! [`MemoryWorker`] does what [`super::worker::Worker`] does with a burst, but frames and messages are arguments, and
//! what it makes lies in a [`MemorySink`] afterwards.
//!
//! ```text
//!   read(port, frame) -> outbound -> SendBatch -> sink.sent         sink.delivered <- Coalescer <- inbound <- receive(messages)
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use encap::coalesce::{Coalescer, Offload, Write};
use encap::vnet::VnetHeader;
use encap::{Format, Mtu, PortId, Span, Vni, VtepAddr};
use fdb::neighbor::{Heard, NeighborTable};
use fdb::{Limits, Shared, Table};

use super::inbound::{self, Message};
use super::lookup::Lookup;
use super::outbound::{self, PortState};
use super::{Context, Sink};
use crate::batch::{Route, SendBatch};
use crate::counters::{Direction, DropReason, PaddedCounters, PeerCounts, Totals};
use crate::events::{ControlDatagram, WorkerEvent};
use crate::path::Sources;
use crate::topology::{NetworkIndex, NetworkView, PeerIndex, PeerView, PortView, Topology};

/// A message that left: one group of the send batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentMessage {
    /// Where it went.
    pub route: Route,
    /// The octets of each datagram but the last, which may be shorter.
    pub size: usize,
    /// All datagrams, one behind the other.
    pub octets: Vec<u8>,
}

impl SentMessage {
    /// The datagrams in order.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.octets.chunks(self.size)
    }
}

/// A write to a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The port.
    pub port: PortId,
    /// What stands before the frame.
    pub vnet: VnetHeader,
    /// The frame or super-frame.
    pub frame: Vec<u8>,
    /// What it is worth in wire frames.
    pub frames: u64,
}

/// Frames that were dropped for one reason in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Why.
    pub reason: DropReason,
    /// The way they went.
    pub direction: Direction,
    /// How many wire frames.
    pub frames: u64,
    /// The first of them, or its datagram, as the reason says.
    pub octets: Vec<u8>,
}

/// Where frames leave a worker in memory. It counts in the ledger as the devices of a real worker do.
#[derive(Debug)]
pub struct MemorySink {
    /// What was sent to the underlay, since the caller last took it.
    pub sent: Vec<SentMessage>,
    /// What was written to ports, answers to them too, since the caller last took it.
    pub delivered: Vec<Delivery>,
    /// What was made here and written to ports unasked, since the caller last took it.
    pub originated: Vec<(PortId, Vec<u8>)>,
    /// What was dropped, since the caller last took it.
    pub dropped: Vec<Dropped>,
    /// What control was told, since the caller last took it.
    pub events: Vec<WorkerEvent>,
    /// Control datagrams that came in, since the caller last took them.
    pub control: Vec<ControlDatagram>,
    /// How many more of these are taken that carry a frame.
    pub loads: u32,
    /// Ports whose device takes nothing, and the reason that is counted.
    pub refusing: Vec<(PortId, DropReason)>,
    /// Whether the lists are filled; without, nothing here allocates once the send batch has its memory.
    pub keep: bool,
    counters: Arc<PaddedCounters>,
    batch: SendBatch,
    /// Copies of the bodies that the batch names.
    bodies: Vec<u8>,
}

impl MemorySink {
    /// A sink that counts in `counters` and keeps what it is given; groups have at most `max_segments` datagrams.
    #[must_use]
    pub fn new(counters: Arc<PaddedCounters>, max_segments: usize) -> Self {
        Self {
            sent: Vec::new(),
            delivered: Vec::new(),
            originated: Vec::new(),
            dropped: Vec::new(),
            events: Vec::new(),
            control: Vec::new(),
            loads: u32::MAX,
            refusing: Vec::new(),
            keep: true,
            counters,
            batch: SendBatch::new(max_segments),
            bodies: Vec::new(),
        }
    }

    /// Sends what is in the batch.
    pub fn flush(&mut self) {
        for group in self.batch.groups() {
            self.counters.ledger.delivered_to_underlay.add(group.count() as u64);
            if self.keep {
                let octets = self.batch.payload(group, &self.bodies).to_vec();
                self.sent.push(SentMessage { route: group.route(), size: group.size(), octets });
            }
        }
        self.batch.clear();
        self.bodies.clear();
    }

    /// Writes what the coalescer made of frames in `buffer`.
    pub fn write_run(&mut self, run: &Write, buffer: &[u8]) {
        let (port, frames) = (PortId::new(run.target()), u64::from(run.frames()));
        let refused = self.refusal(port).err();
        if refused.is_none() {
            self.counters.count_delivery(frames);
        }
        if refused.is_none() && !self.keep {
            return;
        }
        let mut frame = run.head().to_vec();
        run.pieces().iter().for_each(|piece| frame.extend_from_slice(piece.of(buffer)));
        match refused {
            None => self.delivered.push(Delivery { port, vnet: *run.vnet(), frame, frames }),
            Some(reason) => self.dropped(reason, Direction::Inbound, (frames, frame.len()), &frame),
        }
    }

    fn refusal(&self, port: PortId) -> Result<(), DropReason> {
        let refusing = self.refusing.iter().find(|(refusing, _)| *refusing == port);
        refusing.map_or(Ok(()), |&(_, reason)| Err(reason))
    }
}

impl Sink for MemorySink {
    #[inline]
    fn datagram(&mut self, route: Route, head: usize, body: Span, buffer: &[u8]) -> &mut [u8] {
        if self.batch.is_full(head + body.len()) {
            self.flush();
        }
        let copy = Span::new(self.bodies.len(), body.len());
        self.bodies.extend_from_slice(body.of(buffer));
        self.batch.datagram(route, head, copy, &self.bodies)
    }

    fn deliver(&mut self, port: PortId, vnet: &VnetHeader, frame: &[u8], frames: u64) {
        if let Err(reason) = self.refusal(port) {
            return self.dropped(reason, Direction::Outbound, (frames, frame.len()), frame);
        }
        self.counters.count_delivery(frames);
        if self.keep {
            self.delivered.push(Delivery { port, vnet: *vnet, frame: frame.to_vec(), frames });
        }
    }

    fn answer(&mut self, port: PortId, frame: &[u8]) {
        if let Err(reason) = self.refusal(port) {
            return self.dropped(reason, Direction::Outbound, (1, frame.len()), frame);
        }
        self.counters.count_answer(frame);
        if self.keep {
            let vnet = VnetHeader::default();
            self.delivered.push(Delivery { port, vnet, frame: frame.to_vec(), frames: 1 });
        }
    }

    fn originate(&mut self, port: PortId, frame: &[u8]) -> bool {
        let taken = self.refusal(port).is_ok();
        if taken {
            self.counters.notices.originated.add(1);
            if self.keep {
                self.originated.push((port, frame.to_vec()));
            }
        }
        taken
    }

    fn dropped(
        &mut self,
        reason: DropReason,
        direction: Direction,
        (frames, len): (u64, usize),
        octets: &[u8],
    ) {
        self.counters.count_drop(reason, direction, (frames, len));
        if self.keep {
            self.dropped.push(Dropped { reason, direction, frames, octets: octets.to_vec() });
        }
    }

    fn control(&mut self, datagram: ControlDatagram) {
        if self.keep {
            self.control.push(datagram);
        }
    }

    fn takes_load(&mut self) -> bool {
        let left = self.loads.checked_sub(1);
        self.loads = left.unwrap_or(0);
        left.is_some()
    }

    fn tell(&mut self, event: WorkerEvent) {
        if self.keep {
            self.events.push(event);
        }
    }
}

/// One worker in memory, with an FDB and a clock of its own.
///
/// # Examples
///
/// ```
/// use encap::vnet::VnetHeader;
/// use encap::{Format, Vni};
/// use weft::datapath::memory::MemoryWorker;
///
/// let mut worker = MemoryWorker::new(weft::clock::now());
/// let network = worker.add_network(Vni::new(100)?);
/// let (from, to) = (worker.add_port(network), worker.add_port(network));
/// worker.add_peer("10.0.0.2:4789".parse::<std::net::SocketAddr>()?.into(), Format::Vxlan, network);
///
/// let mut frame = [0xff; 60]; // a broadcast
/// frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
/// worker.read(from, &VnetHeader::default(), &mut frame);
/// worker.sink.flush();
///
/// assert_eq!((worker.sink.delivered[0].port, worker.sink.delivered.len()), (to, 1));
/// assert_eq!(worker.sink.sent[0].octets[8..], frame); // behind the VXLAN header
/// assert!(worker.totals().balanced());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MemoryWorker {
    /// Where its frames leave.
    pub sink: MemorySink,
    /// The FDB that it looks into; [`MemoryWorker::learn`] writes it as control would.
    pub table: Table,
    /// Who has which IP address; [`MemoryWorker::learn`] writes this, too.
    pub neighbors: NeighborTable,
    /// The time; it stands until the caller moves it.
    pub now: Instant,
    /// How many source ports flows are spread over.
    pub source_ports: u16,
    topology: Topology,
    counters: Arc<PaddedCounters>,
    lookup: Lookup,
    coalescer: Coalescer,
    ports: HashMap<PortId, PortState>,
}

impl MemoryWorker {
    /// A worker with no network, 16 source ports, groups of 128 and runs of TCP and UDP.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let (counters, shared) = (Arc::new(PaddedCounters::default()), Arc::new(Shared::new()));
        Self {
            sink: MemorySink::new(Arc::clone(&counters), 128),
            table: Table::new(Limits::default(), Arc::clone(&shared)),
            neighbors: NeighborTable::new(Arc::clone(&shared)),
            now,
            source_ports: 16,
            topology: Topology::default(),
            counters,
            lookup: Lookup::new(shared),
            coalescer: Coalescer::new(Offload { tcp: true, udp: true }),
            ports: HashMap::new(),
        }
    }

    /// Adds a network that floods unknown unicast, drops tagged frames and ages after 300 s.
    pub fn add_network(&mut self, vni: Vni) -> NetworkIndex {
        let index = NetworkIndex(index_of(self.topology.networks.len()));
        let mac_age = Duration::from_secs(300);
        self.table.set_network(vni, 65_536, mac_age);
        self.change(|topology| {
            topology.by_vni.insert(vni, index);
            topology.networks.push(NetworkView {
                name: vni.to_string().into(),
                vni,
                vlan_pass: false,
                flood_unknown: true,
                strangers: Vec::new(),
                suppress: false,
                mac_age,
                ports: Vec::new(),
                flood: Vec::new(),
            });
        });
        index
    }

    /// Adds a port without guard and limits.
    pub fn add_port(&mut self, network: NetworkIndex) -> PortId {
        let id = PortId::new(u32::from(index_of(self.topology.ports.len())) + 1);
        self.change(|topology| {
            topology.networks[usize::from(network.0)].ports.push(id);
            let name = id.to_string().into();
            let view = PortView { name, network, worker: 0, guard: None, bum_pps: 0, multicast_pps: 0 };
            topology.ports.insert(id, view);
        });
        id
    }

    /// Adds a peer that is up, gets floods, and has a path MTU of 1,500.
    pub fn add_peer(&mut self, vtep: VtepAddr, format: Format, network: NetworkIndex) -> PeerIndex {
        let index = PeerIndex(index_of(self.topology.peers.len()));
        self.change(|topology| {
            topology.networks[usize::from(network.0)].flood.push(index);
            topology.by_vtep.insert(vtep, index);
            topology.by_source.insert(vtep.ip(), index);
            topology.peers.push(peer_view(vtep, format, vec![network]));
        });
        index
    }

    /// What the worker knows of the configuration.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The same, for somebody else.
    #[must_use]
    pub fn into_topology(self) -> Topology {
        self.topology
    }

    /// Changes the topology, as an update from control does.
    pub fn change(&mut self, change: impl FnOnce(&mut Topology)) {
        change(&mut self.topology);
        self.ports.retain(|id, _| self.topology.ports.contains_key(id));
        for (&id, view) in &self.topology.ports {
            let state = self.ports.entry(id).or_insert_with(|| PortState::new(id, view, self.now));
            state.set_limits(view, self.now);
        }
        self.lookup.clear();
    }

    /// Chooses which runs are made on the way to ports.
    pub fn set_offload(&mut self, offload: Offload) {
        self.coalescer = Coalescer::new(offload);
    }

    /// Takes one frame from a port, as one read of its TAP; a port that is not there sends nothing.
    pub fn read(&mut self, port: PortId, vnet: &VnetHeader, frame: &mut [u8]) {
        let Some(state) = self.ports.get_mut(&port) else { return };
        let cx = Context {
            topology: &self.topology,
            counters: &self.counters,
            worker: 0,
            now: self.now,
            source_ports: self.source_ports,
        };
        let span = Span::new(0, frame.len());
        outbound::handle_frame(&cx, &mut self.lookup, state, (vnet, span, frame), &mut self.sink);
    }

    /// Takes one batch of messages, which lie in `buffer`, from a receive socket.
    pub fn receive(&mut self, messages: &[Message], buffer: &mut [u8]) {
        let cx = Context {
            topology: &self.topology,
            counters: &self.counters,
            worker: 0,
            now: self.now,
            source_ports: self.source_ports,
        };
        for message in messages {
            let received = (message, &mut *buffer);
            inbound::handle_message(&cx, &mut self.lookup, &mut self.coalescer, received, &mut self.sink);
        }
        for write in self.coalescer.finish() {
            self.sink.write_run(write, buffer);
        }
        self.coalescer.clear();
    }

    /// Takes one datagram or, with a `stride`, several in one message.
    pub fn receive_one(&mut self, from: VtepAddr, format: Format, datagrams: &[u8], stride: usize) {
        let len = datagrams.len();
        let message = Message { from: from.ip(), format, start: 0, len, stride, tos: 0 };
        self.receive(&[message], &mut datagrams.to_vec());
    }

    /// Applies the events about addresses that were told so far, as control does.
    pub fn learn(&mut self) {
        let (now, age) = (self.now, Duration::from_secs(300));
        for event in self.sink.events.drain(..) {
            match event {
                WorkerEvent::Learn { vni, mac, at } => {
                    self.table.learn(vni, mac, at, now);
                }
                WorkerEvent::Bind { vni, told, port } => {
                    self.neighbors.learn(&Heard { vni, told, port, now, age });
                }
                _ => {}
            }
        }
    }

    /// Everything that was counted so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals::of([&**self.counters])
    }
}

/// A list that is short, because a test made it.
fn index_of(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// A static peer that is up, with a path MTU of 1,500.
#[must_use]
pub fn peer_view(vtep: VtepAddr, format: Format, networks: Vec<NetworkIndex>) -> PeerView {
    PeerView {
        to: vtep,
        member: false,
        dead: Sources::default(),
        geneve: None,
        via: None,
        activity: Arc::default(),
        traffic: Arc::new(PeerCounts::new(1)),
        name: vtep.to_string().into(),
        vtep,
        format,
        path_mtu: Mtu::new(1500).unwrap_or(Mtu::MAX),
        up: true,
        learn: true,
        networks,
    }
}
