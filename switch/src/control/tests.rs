//! Control against devices in memory.

use std::net::SocketAddr;
use std::time::Duration;

use encap::{MacAddr, Mtu, PortId, Vni, VtepAddr};
use fdb::{Limits, Location, Shared};

use self::twin::Twin;
use super::protocol::{ErrorCode, ErrorReply, FdbEntry, PeerEntry, PortEntry, Reply, Request, Status};
use super::*;
use crate::topology::Topology;

mod gossip;
mod logs;
mod metrics;
mod moving;
mod neighbors;
mod peers;
mod ports;
mod reload;
mod requests;
mod twin;

/// Two networks, a port with a MAC address and a peer.
const BASIC: &str = r#"
[node]
name = "node-a"
[underlay]
address = "10.0.0.1"
[[network]]
name = "pods"
vni = 100
[[network]]
name = "db"
vni = 200
[[port]]
name = "web"
network = "pods"
mac = "02:00:00:00:00:01"
[[peer]]
address = "10.0.0.9"
networks = ["pods"]
"#;

/// Control, the time, and what the next reload reads.
struct Lab {
    control: Control<Twin>,
    now: Instant,
}

impl Lab {
    fn new(toml: &str) -> Self {
        Self::with(toml, Twin::default())
    }

    fn with(toml: &str, devices: Twin) -> Self {
        Self::limited(toml, devices, Limits::default())
    }

    fn limited(toml: &str, devices: Twin, limits: Limits) -> Self {
        Self::made(toml, devices, limits, None)
    }

    fn gossiping(toml: &str, gossip: GossipSetup) -> Self {
        Self::made(toml, Twin::default(), Limits::default(), Some(gossip))
    }

    fn made(toml: &str, devices: Twin, limits: Limits, gossip: Option<GossipSetup>) -> Self {
        let now = crate::clock::now();
        let setup = Setup {
            carried: Carried::new(config(toml), now),
            load: Box::new(|| Config::from_toml(BASIC)),
            devices,
            table: Table::new(limits, Arc::new(Shared::with_seed(7))),
            counters: (0..2).map(|_| Arc::default()).collect(),
            path_counters: None,
            addresses: vec![[10, 0, 0, 1].into()],
            gossip,
            http_refused: None,
        };
        Self { control: Control::new(setup, now), now }
    }

    /// The same node on another underlay address, with what goes on.
    fn moved(mut self, address: &str) -> Self {
        let carried = self.control.move_out(self.now);
        let setup = Setup {
            carried,
            load: Box::new(|| Config::from_toml(BASIC)),
            devices: std::mem::take(self.twin()),
            table: Table::new(Limits::default(), Arc::new(Shared::with_seed(8))),
            counters: self.control.counters.clone(),
            path_counters: None,
            addresses: vec![address.parse().unwrap()],
            gossip: None,
            http_refused: None,
        };
        Self { control: Control::new(setup, self.now), now: self.now }
    }

    fn twin(&mut self) -> &mut Twin {
        self.control.devices_mut()
    }

    /// One second later, with what was due meanwhile.
    fn tick(&mut self) {
        let end = self.now + Duration::from_secs(1);
        while self.control.poll_timeout() <= end {
            self.now = self.control.poll_timeout().max(self.now);
            self.control.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn ask(&mut self, request: Request) -> Reply {
        self.control.handle_request(request, self.now)
    }

    fn done(&mut self, request: Request) -> String {
        match self.ask(request) {
            Reply::Done(done) => done.message,
            other => panic!("{other:?}"),
        }
    }

    fn refused(&mut self, request: Request) -> ErrorReply {
        match self.ask(request) {
            Reply::Error(error) => error,
            other => panic!("{other:?}"),
        }
    }

    fn reload(&mut self, toml: &str) -> Result<Reloaded, ReloadError> {
        self.control.reload(config(toml), self.now)
    }

    fn port(&mut self, name: &str) -> PortEntry {
        let Reply::Ports(ports) = self.ask(Request::PortList) else { panic!() };
        ports.entries.into_iter().find(|p| p.name == name).unwrap()
    }

    fn peer(&mut self, address: &str) -> PeerEntry {
        let Reply::Peers(peers) = self.ask(Request::PeerList) else { panic!() };
        peers.entries.into_iter().find(|p| p.address == address).unwrap()
    }

    fn status(&mut self) -> Status {
        let Reply::Status(status) = self.ask(Request::Status) else { panic!() };
        status
    }

    fn fdb(&mut self) -> Vec<FdbEntry> {
        let Reply::Fdb(fdb) = self.ask(Request::FdbShow { mac: None, network: None }) else { panic!() };
        fdb.entries
    }

    fn id(&mut self, port: &str) -> PortId {
        let topology = self.topology();
        *topology.ports.iter().find(|(_, view)| &*view.name == port).unwrap().0
    }

    fn topology(&mut self) -> Arc<Topology> {
        self.twin().published.last().unwrap().clone()
    }

    fn published(&mut self) -> usize {
        self.twin().published.len()
    }

    fn learn(&mut self, vni: u32, mac: MacAddr, at: Location) {
        let event = WorkerEvent::Learn { vni: Vni::new(vni).unwrap(), mac, at };
        self.control.handle_event(event, self.now);
    }

    fn port_gone(&mut self, port: PortId) {
        let error = std::io::Error::from_raw_os_error(libc::ENODEV);
        self.control.handle_event(WorkerEvent::PortGone { port, error }, self.now);
    }
}

fn config(toml: &str) -> Config {
    Config::from_toml(toml).unwrap_or_else(|error| panic!("{error}"))
}

fn mac(last: u16) -> MacAddr {
    let [high, low] = last.to_be_bytes();
    MacAddr::new([2, 0, 0, 0, high, low])
}

fn vtep(text: &str) -> Location {
    Location::Remote(VtepAddr::from(text.parse::<SocketAddr>().unwrap()))
}

fn mtu(octets: u32) -> Mtu {
    Mtu::new(octets).unwrap()
}
