//! What other nodes ask this one: its half of the way.

use std::time::Instant;

use encap::relay::{Hops, Relay};
use encap::{Vni, tunnel};
use ipnet::IpNet;

use crate::control::Control;
use crate::control::devices::Devices;
use crate::control::ports::State;
use crate::path::{Outgoing, Question, Received};
use crate::topology::Topology;
use crate::trace::dry::{Dry, Ran};
use crate::trace::frame::FrameSpec;
use crate::trace::wire::{Told, ToldPort, Verdict, Word, first_of_each};

impl<D: Devices> Control<D> {
    /// The state of this node, for frames that are not sent: nobody notes them.
    pub(super) fn trial_topology(&self) -> Topology {
        let mut topology = self.build();
        topology.peers.iter_mut().for_each(|peer| peer.activity = std::sync::Arc::default());
        topology
    }

    /// Answers a letter.
    pub(super) fn answer(&mut self, letter: &Received, question: Question, word: &Word) {
        let Some(content) = word.encode() else { return };
        let &Received { from: to, flow, .. } = letter;
        self.devices.post(Outgoing { to, flow, size: 0, answers: Some(question), content });
    }

    /// What would become of a frame of the writer of a letter; `None` = it is not known any more.
    pub(super) fn would_receive(
        &self,
        letter: &Received,
        vni: Vni,
        frame: &FrameSpec,
        now: Instant,
    ) -> Option<Told> {
        let topology = self.trial_topology();
        let header = self.header_of(letter, vni, &topology)?;
        let source_ports = self.config.underlay.source_ports;
        let dry = Dry { topology: &topology, shared: self.table.shared(), source_ports, now };
        let datagram = [header, frame.octets()].concat();
        let ran = dry.receive(letter.source, letter.format, datagram);
        let network = topology.network_of(vni).map(|network| topology.network(network).name.to_string());
        Some(told(&topology, &ran, network.unwrap_or_default()))
    }

    /// What stands before the frame: the tunnel header, with an option where another node passes it on.
    fn header_of(&self, letter: &Received, vni: Vni, topology: &Topology) -> Option<Vec<u8>> {
        let gossip = self.gossip.as_ref()?;
        if letter.by == letter.from && letter.to == gossip.node {
            return Some(tunnel::encode(letter.format, vni).to_vec());
        }
        let origin = gossip.members.get(&letter.from)?.vtep?;
        let relay = if letter.to == gossip.node {
            Relay { origin, to: topology.encap.seen_from(origin.ip())?.ip(), hops: Hops::Zero }
        } else {
            Relay { origin, to: gossip.members.get(&letter.to)?.vtep?.ip(), hops: Hops::One }
        };
        Some(relay.encode(vni).to_vec())
    }

    /// Where the port of a name lives.
    pub(super) fn told_port(&self, name: &str) -> ToldPort {
        let Some(port) = self.ports.get(name) else { return ToldPort::Missing };
        let network = port.config.network.clone();
        let (State::Up { open, .. }, Some(vni)) = (&port.state, self.vni_of(&network)) else {
            let reason = port.reason().unwrap_or_default();
            return ToldPort::Down { network, reason };
        };
        let given = port.config.addresses.iter().map(IpNet::addr);
        let ips: Vec<_> = given.chain(self.neighbors.ips_of(vni, open.mac).0).collect();
        let (v4, v6) = first_of_each(&ips);
        ToldPort::Up { vni, network, mac: open.mac, v4, v6 }
    }
}

/// What the stages did, in short.
fn told(topology: &Topology, ran: &Ran, network: String) -> Told {
    let port = ran.delivered.first().and_then(|port| topology.ports.get(port));
    let next = ran.peers(topology).first().map(|(peer, _)| topology.peer(*peer).name.to_string());
    let next = next.or_else(|| Some(ran.sent.first()?.route.to.to_string()));
    let ports = u16::try_from(ran.delivered.len()).unwrap_or(u16::MAX);
    let reason = ran.drops.first().map_or("unknown", |reason| reason.name());
    let (verdict, place) = match (port, next) {
        (Some(port), _) => (Verdict::Delivered, port.name.to_string()),
        (None, Some(next)) => (Verdict::PassedOn, next),
        (None, None) => (Verdict::Dropped(reason.to_owned()), String::new()),
    };
    Told { verdict, ports, place, network }
}
