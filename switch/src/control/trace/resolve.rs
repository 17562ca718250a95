//! Where a frame is to go: from what a person calls it to a MAC address, and to the frame itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use encap::{MacAddr, PortId, Vni};
use fdb::gossip::identity::NodeId;
use fdb::gossip::members::MemberState;
use ipnet::IpNet;

use super::Trace;
use crate::control::Control;
use crate::control::devices::Devices;
use crate::control::members::Member;
use crate::control::protocol::{ErrorReply, TraceAsk};
use crate::control::report::names;
use crate::control::requests::no_such;
use crate::trace::frame::{Addresses, FrameSpec, Protocol};
use crate::trace::wire::{ToldPort, first_of_each};
use crate::trace::{Fault, Stage, StageName, State};

/// Octets of the IP packet of an echo request as `ping` sends it, and of what else is small.
const SMALL: u16 = 84;

/// Whom a frame is for.
pub(super) struct Destination {
    /// Its MAC address; `None` = nobody knows, so that the frame is the question for it.
    mac: Option<MacAddr>,
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
    /// How that was found out.
    pub(super) stage: Stage,
}

/// What a destination may turn out to be.
pub(super) enum Resolved {
    At(Box<Destination>),
    /// It is nothing that a frame can be sent to.
    Wrong(Box<Stage>),
    /// These nodes may have a port of this name.
    Elsewhere(Vec<NodeId>, String),
}

impl Resolved {
    /// The same, and that others could have a port of that name too.
    fn noting(mut self, not_asked: NotAsked) -> Self {
        let NotAsked { of, nodes } = not_asked;
        let text = match &mut self {
            Self::At(destination) => &mut destination.stage.text,
            Self::Wrong(stage) => &mut stage.text,
            Self::Elsewhere(..) => return self,
        };
        if nodes > 0 {
            text.push_str(&format!("; of {of} nodes {nodes} were not asked for a port of that name"));
        }
        self
    }
}

/// How many nodes a search for a port could not ask.
#[derive(Clone, Copy)]
pub(super) struct NotAsked {
    /// Those that could have it.
    pub(super) of: usize,
    /// Those of them that were not asked.
    pub(super) nodes: usize,
}

impl<D: Devices> Control<D> {
    /// Whom a text means, on a network.
    pub(super) fn resolve(&self, ask: &TraceAsk, vni: Vni) -> Result<Resolved, ErrorReply> {
        let to = ask.to.as_str();
        if let Ok(mac) = to.parse::<MacAddr>() {
            let (v4, v6) = first_of_each(&self.neighbors.ips_of(vni, mac).0);
            let stage = self.resolved(format!("{mac} is the destination, as it was given"));
            return Ok(Resolved::At(Box::new(Destination { mac: Some(mac), v4, v6, stage })));
        }
        if let Ok(ip) = to.parse::<IpAddr>() {
            return self.resolve_ip(ask, vni, ip.to_canonical());
        }
        let (node, name) = to.split_once('/').map_or((None, to), |(node, name)| (Some(node), name));
        let own = &self.config.node.name;
        if self.ports.contains_key(name) && node.is_none_or(|node| node == own) {
            return Ok(self.resolve_port(own, self.told_port(name), (name, vni)));
        }
        let members = || self.gossip.iter().flat_map(|gossip| &gossip.members);
        let named = members().filter(|(id, member)| node.is_none_or(|node| member.name(**id) == node));
        let named: Vec<(&NodeId, &Member)> = named.collect();
        if let (Some(node), true) = (node, named.is_empty()) {
            let known: Vec<_> = members().map(|(id, member)| member.name(*id)).chain([own.clone()]).collect();
            return Err(no_such("node", node, known.iter().map(String::as_str), "weft peer list"));
        }
        let up: Vec<NodeId> = named.iter().filter(|(_, m)| m.vtep.is_some()).map(|(id, _)| **id).collect();
        match (node, up.is_empty()) {
            (_, false) => Ok(Resolved::Elsewhere(up, name.to_owned())),
            (Some(node), true) => {
                let what = format!("node {node} is down, so that nobody can say where its port {name} lives");
                let mend =
                    format!("start weft on {node}, or see `weft peer` and `weft doctor` why it is not heard");
                Ok(self.wrong("node_down", node, what, mend))
            }
            (None, true) => {
                Err(no_such("port", name, self.ports.keys().map(String::as_str), "weft port list"))
            }
        }
    }

    /// Whom an address means to a host with the addresses of the port.
    fn resolve_ip(&self, ask: &TraceAsk, vni: Vni, ip: IpAddr) -> Result<Resolved, ErrorReply> {
        if !encap::neighbor::is_host(ip) {
            return Err(ErrorReply::usage(format!(
                "{ip} is not the address of one host: name one, or the MAC address of the group"
            )));
        }
        let config = self.ports.get(&ask.from).map(|port| &port.config);
        let is_alike = |other: &IpAddr| other.is_ipv4() == ip.is_ipv4();
        let nets: Vec<&IpNet> =
            config.iter().flat_map(|c| &c.addresses).filter(|n| is_alike(&n.addr())).collect();
        let gateway = config.and_then(|config| config.gateway).filter(is_alike);
        let is_near = nets.is_empty() || nets.iter().any(|net| net.contains(&ip));
        let (hop, how) = match gateway {
            _ if is_near => (ip, String::new()),
            Some(gateway) => (gateway, format!("{ip} is not on this network: it goes by the gateway. ")),
            None => {
                let what =
                    format!("{ip} is in none of the prefixes of port {}, which has no gateway", ask.from);
                let mend = "name an address of the network, or give the port a gateway";
                return Ok(self.wrong("no_route", &self.config.node.name, what, mend.to_owned()));
            }
        };
        let (v4, v6) = first_of_each(&[ip]);
        // Of a node that is down, who has which address is still known, but not where.
        let owner = self.table.shared().neighbors().find(vni, hop);
        Ok(match owner.filter(|owner| self.table.entry(vni, owner.mac).is_some()) {
            Some(owner) => {
                let stage = self.resolved(format!("{how}{hop} has {}", owner.mac));
                Resolved::At(Box::new(Destination { mac: Some(owner.mac), v4, v6, stage }))
            }
            None => {
                let (v4, v6) = first_of_each(&[hop]);
                Resolved::At(Box::new(Destination {
                    mac: None,
                    v4,
                    v6,
                    stage: self.unknown_address(hop, vni),
                }))
            }
        })
    }

    /// Whom the port of a name at a node means to a port on a network.
    fn resolve_port(&self, node: &str, told: ToldPort, (name, vni): (&str, Vni)) -> Resolved {
        let own = self.config.networks.iter().find(|network| network.vni == vni);
        let own = own.map_or("?", |network| network.name.as_str());
        match told {
            ToldPort::Up { vni: there, network, .. } if there != vni => {
                let what = format!(
                    "port {name} of {node} is on network {network} (VNI {there}), and the frame is on {own} (VNI {vni}): \
                     frames do not pass from one network to another"
                );
                let mend = format!(
                    "give {node} the network {own} with vni = {vni}, and the port `network = \"{own}\"`"
                );
                self.wrong("network_missing", node, what, mend)
            }
            ToldPort::Up { mac, v4, v6, .. } => {
                let stage = self.resolved(format!("port {name} of {node} has {mac}"));
                Resolved::At(Box::new(Destination { mac: Some(mac), v4, v6, stage }))
            }
            ToldPort::Down { reason, .. } => {
                let what = format!("port {name} of {node} is not up: {reason}");
                self.wrong(
                    "port_down",
                    node,
                    what,
                    format!("`weft port list` on {node} says what it waits for"),
                )
            }
            ToldPort::Missing => {
                let what = format!("{node} has no port {name}");
                self.wrong(
                    "unknown_port",
                    node,
                    what,
                    format!("`weft port list` on {node} names those that it has"),
                )
            }
        }
    }

    /// What the search for a port came to.
    pub(super) fn found(
        &self,
        trace: &Trace,
        told: Vec<(String, ToldPort)>,
        silent: Vec<String>,
        not_asked: NotAsked,
    ) -> Resolved {
        let name = trace.ask.to.rsplit('/').next().unwrap_or_default();
        let (there, missing): (Vec<_>, Vec<_>) =
            told.into_iter().partition(|(_, told)| *told != ToldPort::Missing);
        let (mut up, mut down): (Vec<_>, Vec<_>) =
            there.into_iter().partition(|(_, told)| matches!(told, ToldPort::Up { .. }));
        if up.len() > 1 {
            let nodes: Vec<_> = up.iter().map(|(node, _)| node.clone()).collect();
            let mend = format!("say which one: {}/{name}", nodes[0]);
            let what = format!("several nodes have a port {name}: {}", names(nodes));
            return self.wrong("ambiguous_port", &trace.story.node, what, mend);
        }
        let one = up.pop().or_else(|| down.pop());
        let only = if not_asked.of == 1 { missing.into_iter().next() } else { None };
        if let Some((node, told)) = one.or(only) {
            return self.resolve_port(&node, told, (name, trace.story.vni)).noting(not_asked);
        }
        let mut mend =
            "`weft port list` names the ports of a node; an IP or MAC address does as well".to_owned();
        let (code, what) = if not_asked.nodes > 0 {
            let NotAsked { of, nodes } = not_asked;
            mend = format!("say on which node it is: NODE/{name}; an IP or MAC address does as well");
            let mut what = format!("no port {name} was found: of {of} nodes {} were asked", of - nodes);
            if !silent.is_empty() {
                what.push_str(&format!(", and these did not answer: {}", names(silent)));
            }
            ("no_answer", what)
        } else if silent.is_empty() {
            ("unknown_port", format!("no node has a port {name}"))
        } else {
            let what = format!("no port {name} was found, and these nodes did not answer: {}", names(silent));
            ("no_answer", what)
        };
        self.wrong(code, &trace.story.node, what, mend)
    }

    fn resolved(&self, text: String) -> Stage {
        Stage::passed(&self.config.node.name, StageName::Resolve, text)
    }

    fn wrong(&self, code: &str, node: &str, what: String, mend: String) -> Resolved {
        let fault = Fault::new(code, node, what, mend);
        Resolved::Wrong(Box::new(Stage::wrong(
            &self.config.node.name,
            StageName::Resolve,
            State::Failed,
            fault,
        )))
    }

    /// Nobody is known to have an address: who could.
    fn unknown_address(&self, ip: IpAddr, vni: Vni) -> Stage {
        let network = self.config.networks.iter().find(|network| network.vni == vni);
        let network = network.map_or("?", |network| network.name.as_str());
        let members = || self.gossip.iter().flat_map(|gossip| &gossip.members);
        let listed = |wanted: &dyn Fn(&Member) -> bool| -> Vec<String> {
            members().filter(|(_, member)| wanted(member)).map(|(node, member)| member.name(*node)).collect()
        };
        let down = listed(&|member| member.state == MemberState::Down);
        let without = listed(&|member| member.vtep.is_some() && !member.vnis.contains(&vni));
        let mut what = format!(
            "nobody on network {network} is known to have {ip}, so that the first frame is the question who has it, which \
             is flooded"
        );
        if !without.is_empty() {
            what.push_str(&format!(
                ". These nodes do not have network {network} (VNI {vni}): {}",
                names(without)
            ));
        }
        let (code, mend) = if down.is_empty() {
            let mend = "let the pod send something, so that it becomes known; `weft neigh` lists who is. Is it on this \
                        network, and its port up?";
            ("unknown_address", mend.to_owned())
        } else {
            what.push_str(&format!(
                ". These nodes are down, and what lives there is hidden until they are back: {}",
                names(down.clone())
            ));
            ("node_down", format!("start weft on {}, or `weft forget` what will not come back", names(down)))
        };
        let fault = Fault::new(code, &self.config.node.name, what, mend);
        Stage::wrong(&self.config.node.name, StageName::Resolve, State::Failed, fault)
    }

    /// The frame that a port sends to a destination.
    pub(super) fn spec(
        &self,
        ask: &TraceAsk,
        (port, mac): (PortId, MacAddr),
        vni: Vni,
        to: &Destination,
    ) -> FrameSpec {
        let src = ask.source_mac.unwrap_or(mac);
        let given = self.ports.get(&ask.from).into_iter().flat_map(|port| &port.config.addresses);
        let own: Vec<IpAddr> = given.map(IpNet::addr).chain(self.neighbors.ips_of(vni, mac).0).collect();
        let (own_v4, own_v6) = first_of_each(&match ask.source_ip {
            Some(ip) => vec![ip.to_canonical()],
            None => own,
        });
        // An address that is not known does not matter to a switch.
        let v4 = |from: Option<Ipv4Addr>, to: Option<Ipv4Addr>| {
            Addresses::V4(from.unwrap_or(Ipv4Addr::UNSPECIFIED), to.unwrap_or(Ipv4Addr::UNSPECIFIED))
        };
        let v6 = |from: Option<Ipv6Addr>, to: Option<Ipv6Addr>| {
            Addresses::V6(from.unwrap_or(Ipv6Addr::UNSPECIFIED), to.unwrap_or(Ipv6Addr::UNSPECIFIED))
        };
        let addresses = match (to.v4, to.v6, own_v4, own_v6) {
            (Some(_), _, Some(_), _) => v4(own_v4, to.v4),
            (_, Some(_), _, Some(_)) => v6(own_v6, to.v6),
            (None, Some(_), ..) => v6(own_v6, to.v6),
            (None, None, None, Some(_)) => v6(own_v6, None),
            _ => v4(own_v4, to.v4),
        };
        let Some(dst) = to.mac.filter(|_| ask.protocol != Protocol::Question) else {
            return FrameSpec::asking(src, addresses, ask.vlan);
        };
        let full = || self.devices.port_mtu(port).map_or(SMALL, encap::Mtu::get);
        let size =
            ask.size.unwrap_or_else(|| if matches!(ask.protocol, Protocol::Tcp(_)) { full() } else { SMALL });
        FrameSpec { src, dst, addresses, protocol: ask.protocol, size, vlan: ask.vlan }
    }
}
