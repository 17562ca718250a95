//! Two nodes with a pod each: what most tests need.

use std::net::IpAddr;
use std::sync::Arc;

use crate::lab::{Host, Lab};
use crate::netns::Netns;
use crate::node::{Config, Node, network, peer, port};

/// What a pair is to be like; the default is a plain one.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The MTU of the underlay.
    pub mtu: u32,
    /// Whether the underlay is IPv6.
    pub v6: bool,
    /// The network.
    pub vni: u32,
    /// More keys of `[node]`.
    pub node: &'static str,
    /// More keys of the network.
    pub network: &'static str,
    /// More keys of the ports.
    pub port: &'static str,
    /// More keys of the peers.
    pub peer: &'static str,
    /// More sections.
    pub rest: &'static str,
}

impl Default for Spec {
    fn default() -> Self {
        Self { mtu: 1500, v6: false, vni: 100, node: "", network: "", port: "", peer: "", rest: "" }
    }
}

/// The IPv4 address of the Nth pod.
#[must_use]
pub fn pod_v4(n: u8) -> IpAddr {
    IpAddr::from([10, 32, 0, n])
}

/// The IPv6 address of the Nth pod.
#[must_use]
pub fn pod_v6(n: u8) -> IpAddr {
    IpAddr::from([0xfd32, 0, 0, 0, 0, 0, 0, u16::from(n)])
}

/// The MAC address of the Nth pod.
#[must_use]
pub const fn pod_mac(n: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0x32, n]
}

/// The keys of `[[port]]` that give the Nth pod its addresses.
#[must_use]
pub fn pod_keys(n: u8) -> String {
    let [_, _, _, _, _, last] = pod_mac(n);
    format!("mac = \"02:00:00:00:32:{last:02x}\"\naddresses = [\"{}/12\", \"{}/64\"]\n", pod_v4(n), pod_v6(n))
}

impl Spec {
    /// The configuration of the node that has the Nth pod, and these static peers.
    #[must_use]
    pub fn config(&self, host: &Host, pod: &Netns, n: u8, peers: &[IpAddr]) -> Config {
        let peers: String = peers.iter().map(|address| peer(address, "pods", self.peer)).collect();
        let keys = pod_keys(n) + self.port;
        let rest = [
            self.rest.to_owned(),
            "\n".to_owned(),
            network("pods", self.vni, self.network),
            port("pod", "pods", pod, &keys),
            peers,
        ];
        let address = format!("address = \"{}\"", host.address(self.v6));
        Config::new(rest.concat()).node(self.node).underlay(&address)
    }
}

/// Two nodes, `a` and `b`, with pods 1 and 2.
#[derive(Debug)]
pub struct Pair {
    /// The daemons.
    pub nodes: [Node; 2],
    /// The pods.
    pub pods: [Arc<Netns>; 2],
    /// The underlay.
    pub lab: Lab,
    /// What they were started with.
    pub configs: [Config; 2],
}

impl Pair {
    /// Brings a pair up.
    #[must_use]
    #[track_caller]
    pub fn start(spec: &Spec) -> Self {
        let lab = Lab::with_mtu(spec.mtu);
        let hosts = [lab.host("a"), lab.host("b")];
        let pods = [lab.pod("pod1"), lab.pod("pod2")];
        let addresses = hosts.each_ref().map(|host| host.address(spec.v6));
        let configs = [
            spec.config(&hosts[0], &pods[0], 1, &[addresses[1]]),
            spec.config(&hosts[1], &pods[1], 2, &[addresses[0]]),
        ];
        let nodes = [Node::start(&hosts[0], &configs[0]), Node::start(&hosts[1], &configs[1])];
        Self { nodes, pods, lab, configs }
    }

    /// Checks what holds after every test: each node runs, its ledger adds up, it stops when told, and the underlay saw
    /// hosts only.
    #[track_caller]
    pub fn finish(mut self) {
        finish(self.nodes.iter_mut(), &mut self.lab);
    }
}

/// As [`Pair::finish`], for any number of nodes.
#[track_caller]
pub fn finish<'a>(nodes: impl IntoIterator<Item = &'a mut Node>, lab: &mut Lab) {
    for node in nodes {
        assert!(node.runs(), "weft on {} has ended:\n{}", node.host.name, node.log());
        node.ledger_balanced();
        assert!(!node.log().contains("panicked"), "a thread of {} panicked:\n{}", node.host.name, node.log());
        node.stop();
    }
    lab.underlay_saw_only_hosts();
}
