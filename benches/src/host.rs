//! A host without devices: networks, ports, peers, an FDB that knows who is where, and a sink for what is made.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use encap::vnet::VnetHeader;
use encap::{Format, MacAddr, PortId, Span, Vni, VtepAddr};
use fdb::{Limits, Location, Shared, Table};
use weft::batch::{Route, SendBatch};
use weft::clock;
use weft::counters::{Direction, DropReason, WorkerCounters};
use weft::datapath::memory::peer_view;
use weft::datapath::{Context, Sink};
use weft::events::{ControlDatagram, WorkerEvent};
use weft::topology::{NetworkIndex, NetworkView, PeerIndex, PortView, Topology};

/// How many networks, ports and peers a [`Host`] has.
pub const SIZE: u16 = 100;
/// Peers of one network.
pub const PEERS: u16 = 8;
/// Addresses behind the peers of one network.
pub const MACS: u16 = 100;

const MAC_AGE: Duration = Duration::from_secs(300);

/// Adds a network that floods unknown unicast.
pub fn add_network(topology: &mut Topology, vni: Vni) -> NetworkIndex {
    let index = NetworkIndex(place(topology.networks.len()));
    topology.by_vni.insert(vni, index);
    topology.networks.push(NetworkView {
        name: format!("net-{vni}").into(),
        vni,
        vlan_pass: false,
        suppress: false,
        flood_unknown: true,
        strangers: Vec::new(),
        mac_age: MAC_AGE,
        ports: Vec::new(),
        flood: Vec::new(),
    });
    index
}

/// Adds a port without guard and without limits, read by worker 0.
pub fn add_port(topology: &mut Topology, network: NetworkIndex) -> PortId {
    let id = PortId::new(u32::from(place(topology.ports.len())) + 1);
    topology.networks[usize::from(network.0)].ports.push(id);
    let name = format!("port-{id}").into();
    let view = PortView { name, network, worker: 0, guard: None, bum_pps: 0, multicast_pps: 0 };
    topology.ports.insert(id, view);
    id
}

/// Adds a VXLAN peer that is up, on these networks, with a path MTU of 1,500.
pub fn add_peer(topology: &mut Topology, vtep: VtepAddr, networks: Vec<NetworkIndex>) -> PeerIndex {
    let index = PeerIndex(place(topology.peers.len()));
    for network in &networks {
        topology.networks[usize::from(network.0)].flood.push(index);
    }
    topology.by_vtep.insert(vtep, index);
    topology.by_source.insert(vtep.ip(), index);
    topology.peers.push(peer_view(vtep, Format::Vxlan, networks));
    index
}

/// A list's length as the place of its next item; lists here are short.
fn place(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// A host with [`SIZE`] networks of one port and [`PEERS`] peers each, whose FDB knows every address.
#[derive(Debug)]
pub struct Host {
    topology: Topology,
    counters: WorkerCounters,
    shared: Arc<Shared>,
    now: Instant,
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// The host at the present moment, which does not pass: nothing ages and nothing is due for a refresh.
    #[must_use]
    pub fn new() -> Self {
        let (mut topology, shared, now) = (Topology::default(), Arc::new(Shared::new()), clock::now());
        let mut table = Table::new(Limits::default(), Arc::clone(&shared));
        for network in 0..SIZE {
            let vni = Self::vni(network);
            table.set_network(vni, 65_536, MAC_AGE);
            let index = add_network(&mut topology, vni);
            let port = add_port(&mut topology, index);
            table.learn(vni, Self::local_mac(network), Location::Local(port), now);
            for n in 0..MACS {
                table.learn(vni, Self::remote_mac(network, n), Location::Remote(Self::vtep(network, n)), now);
            }
        }
        for peer in 0..SIZE {
            // The mirror of `vtep`: the networks that this peer is one of the next eight of.
            let networks = (0..PEERS).map(|n| NetworkIndex((peer + SIZE - n) % SIZE)).collect();
            add_peer(&mut topology, Self::vtep(peer, 0), networks);
        }
        Self { topology, counters: WorkerCounters::default(), shared, now }
    }

    /// What the stages are told.
    #[must_use]
    pub fn context(&self) -> Context<'_> {
        Context {
            topology: &self.topology,
            counters: &self.counters,
            worker: 0,
            now: self.now,
            source_ports: 16,
        }
    }

    /// The FDB.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The identifier of a network.
    #[must_use]
    pub fn vni(network: u16) -> Vni {
        let [a, b] = network.to_be_bytes();
        Vni::from_octets([1, a, b])
    }

    /// The one port of a network.
    #[must_use]
    pub fn port(&self, network: u16) -> (PortId, &PortView) {
        let id = self.topology.networks[usize::from(network)].ports[0];
        (id, &self.topology.ports[&id])
    }

    /// The address behind the port of a network.
    #[must_use]
    pub fn local_mac(network: u16) -> MacAddr {
        let [a, b] = network.to_be_bytes();
        MacAddr::new([2, 1, a, b, 0, 0])
    }

    /// One of the [`MACS`] addresses behind the peers of a network.
    #[must_use]
    pub fn remote_mac(network: u16, n: u16) -> MacAddr {
        let ([a, b], [c, d]) = (network.to_be_bytes(), n.to_be_bytes());
        MacAddr::new([2, 2, a, b, c, d])
    }

    /// The peer that [`Host::remote_mac`] lives behind.
    #[must_use]
    pub fn vtep(network: u16, n: u16) -> VtepAddr {
        let [a, b] = ((network + n % PEERS) % SIZE).to_be_bytes();
        VtepAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, a, b)), 4789)
    }
}

/// Takes datagrams into a send batch, which it empties where a worker would send it; counts the rest.
#[derive(Debug)]
pub struct CountingSink {
    batch: SendBatch,
    /// Datagrams that would have been sent.
    pub datagrams: u64,
    /// Messages that would have been sent.
    pub messages: u64,
    /// Frames that would have been written to ports.
    pub frames: u64,
    /// Frames that were dropped.
    pub dropped: u64,
    /// What control would have been told.
    pub events: u64,
}

impl Default for CountingSink {
    fn default() -> Self {
        Self { batch: SendBatch::new(128), datagrams: 0, messages: 0, frames: 0, dropped: 0, events: 0 }
    }
}

impl CountingSink {
    /// Empties the batch.
    pub fn flush(&mut self) {
        self.datagrams += self.batch.groups().iter().map(|group| group.count() as u64).sum::<u64>();
        self.messages += self.batch.groups().len() as u64;
        self.batch.clear();
    }
}

impl Sink for CountingSink {
    #[inline]
    fn datagram(&mut self, route: Route, head: usize, body: Span, buffer: &[u8]) -> &mut [u8] {
        if self.batch.is_full(head + body.len()) {
            self.flush();
        }
        self.batch.datagram(route, head, body, buffer)
    }

    fn deliver(&mut self, _: PortId, _: &VnetHeader, _: &[u8], frames: u64) {
        self.frames += frames;
    }

    fn answer(&mut self, _: PortId, _: &[u8]) {
        self.frames += 1;
    }

    fn originate(&mut self, _: PortId, _: &[u8]) -> bool {
        self.frames += 1;
        true
    }

    fn dropped(&mut self, _: DropReason, _: Direction, (frames, _): (u64, usize), _: &[u8]) {
        self.dropped += frames;
    }

    fn control(&mut self, _: ControlDatagram) {
        self.events += 1;
    }

    fn tell(&mut self, _: WorkerEvent) {
        self.events += 1;
    }
}
