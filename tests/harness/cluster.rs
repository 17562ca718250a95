//! Nodes that find each other by gossip, with a pod each: node `n1` on the lab's first host has pod 1, and so on.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::command::run;
use crate::lab::{Host, Lab};
use crate::netns::Netns;
use crate::node::{self, Config, Node, network, port};
use crate::pair::{finish, pod_keys, pod_v4};
use crate::traffic::reaches;
use crate::wait;

/// Where gossip is heard.
pub const GOSSIP_PORT: u16 = 6786;

/// The nodes, all on the network `pods`, all joining by the address of the first.
#[derive(Debug)]
pub struct Cluster {
    /// The daemons.
    pub nodes: Vec<Node>,
    /// The pods.
    pub pods: Vec<Arc<Netns>>,
    /// What the daemons were started with.
    pub configs: Vec<Config>,
    /// The underlay.
    pub lab: Lab,
}

/// `[gossip]` with the lab's key, which is made when it is first asked for.
#[must_use]
#[track_caller]
pub fn gossip(lab: &Lab, join: IpAddr) -> String {
    let key = lab.dir().join("gossip.key");
    let file = key.to_str().expect("a path in UTF-8");
    if !key.exists() {
        run(&[node::binary().to_str().expect("a path in UTF-8"), "key", "new", "--output", file]);
    }
    format!("[gossip]\njoin = [\"{join}\"]\nkey_file = \"{file}\"\n")
}

/// The configuration of a node with the Nth pod, underlay addresses apart.
#[must_use]
#[track_caller]
pub fn member(lab: &Lab, join: IpAddr, pod: &Netns, n: u8) -> Config {
    Config::new(gossip(lab, join) + &network("pods", 100, "") + &port("pod", "pods", pod, &pod_keys(n)))
}

/// Where this node says that the pods are, by their numbers: `here`, or the address of a node.
#[must_use]
#[track_caller]
pub fn places(node: &Node) -> BTreeMap<u8, String> {
    let fdb = node.json("fdb show");
    let place = |entry: &Value| {
        let number = entry["mac"].as_str()?.strip_prefix("02:00:00:00:32:")?;
        let place = entry["dst"].as_str().unwrap_or("here").to_owned();
        Some((u8::from_str_radix(number, 16).ok()?, place))
    };
    fdb["entries"].as_array().into_iter().flatten().filter_map(place).collect()
}

/// What the daemon logged of one kind of event, oldest first.
#[must_use]
pub fn events(node: &Node, kind: &str) -> Vec<Value> {
    let lines = node.log();
    let of_kind = |line: &str| serde_json::from_str(line).ok().filter(|said: &Value| said["event"] == kind);
    lines.lines().filter_map(of_kind).collect()
}

/// The state of each other node by its gossip address, as `weft peer` tells it: `up`, `suspect`, `down`, `left`.
#[must_use]
#[track_caller]
pub fn states(node: &Node) -> BTreeMap<String, String> {
    let peers = node.json("peer list");
    let state = |peer: &Value| {
        let state = if peer["left"] == true { "left" } else { peer["state"].as_str()? };
        Some((peer["gossip"].as_str()?.to_owned(), state.to_owned()))
    };
    let members = peers["entries"].as_array().into_iter().flatten().filter(|peer| peer["kind"] == "member");
    members.filter_map(state).collect()
}

impl Cluster {
    /// Starts so many nodes at once; each knows where all pods are.
    #[must_use]
    #[track_caller]
    pub fn start(nodes: u8) -> Self {
        Self::start_with(nodes, "")
    }

    /// The same, with these keys under `[underlay]` instead of the hosts' addresses, unless there are none.
    #[must_use]
    #[track_caller]
    pub fn start_with(nodes: u8, underlay: &str) -> Self {
        let lab = Lab::new();
        let hosts: Vec<Host> = (1..=nodes).map(|n| lab.host(&format!("n{n}"))).collect();
        let pods: Vec<_> = (1..=nodes).map(|n| lab.pod(&format!("pod{n}"))).collect();
        let join = hosts[0].v4.into();
        let config = |(n, pod): (u8, &Arc<Netns>)| match underlay {
            "" => member(&lab, join, pod, n),
            keys => member(&lab, join, pod, n).underlay(keys),
        };
        let configs: Vec<_> = (1..=nodes).zip(&pods).map(config).collect();
        let mut nodes: Vec<_> =
            hosts.iter().zip(&configs).map(|(h, config)| Node::spawn(h, config)).collect();
        nodes.iter_mut().for_each(Node::wait_ready);
        let cluster = Self { nodes, pods, configs, lab };
        cluster.settle(wait::secs(15));
        cluster
    }

    /// Waits until each node has every pod where it is, and says how long that took.
    #[track_caller]
    pub fn settle(&self, limit: Duration) -> Duration {
        let all: Vec<_> = (0..self.nodes.len()).collect();
        let what = "all nodes to know where all pods are";
        wait::until(limit, what, || all.iter().all(|from| self.knows(*from, &all)))
    }

    /// Whether node `from` has the pods of these nodes where they are.
    #[must_use]
    #[track_caller]
    pub fn knows(&self, from: usize, of: &[usize]) -> bool {
        let places = places(&self.nodes[from]);
        of.iter().all(|at| {
            let host = self.nodes[*at].host.v4.to_string();
            let place = if *at == from { "here" } else { &host };
            places.get(&pod_number(*at)).is_some_and(|there| there == place)
        })
    }

    /// Waits until none of these nodes shows the pod of node `of`, and says how long that took.
    #[track_caller]
    pub fn hidden(&self, of: usize, by: &[usize], limit: Duration) -> Duration {
        let shows = |at: &usize| places(&self.nodes[*at]).contains_key(&pod_number(of));
        let what = format!("the pod of {} to be hidden", self.nodes[of].host.name);
        wait::until(limit, &what, || !by.iter().any(shows))
    }

    /// Starts a node again that has ended.
    #[track_caller]
    pub fn restart(&mut self, at: usize) {
        let host = self.nodes[at].host.clone();
        self.nodes[at] = Node::start(&host, &self.configs[at]);
    }

    /// Expects the pods of these nodes to answer each other.
    ///
    /// # Panics
    ///
    /// When one does not within 8 s.
    #[track_caller]
    pub fn assert_all_reach(&self, of: &[usize]) {
        std::thread::scope(|scope| {
            for from in of {
                scope.spawn(move || {
                    for to in of.iter().filter(|to| *to != from) {
                        let (pod, address) = (&self.pods[*from], pod_v4(pod_number(*to)));
                        let what = format!("an answer of {address} to {}", pod.name());
                        wait::until(wait::secs(8), &what, || reaches(pod, address));
                    }
                });
            }
        });
    }

    /// Cuts the underlay between the first `half` hosts and the others.
    #[track_caller]
    pub fn partition(&self, half: u8) {
        let wires = |hosts: std::ops::RangeInclusive<u8>| {
            hosts.map(|n| format!("\"h{n}\"")).collect::<Vec<_>>().join(", ")
        };
        let (one, two) = (wires(1..=half), wires(half + 1..=pod_number(self.nodes.len() - 1)));
        self.fault(&format!(
            "iifname {{ {one} }} oifname {{ {two} }} drop\n  iifname {{ {two} }} oifname {{ {one} }} drop"
        ));
    }

    /// Loses so many of a hundred packets on the underlay, at random.
    #[track_caller]
    pub fn lose(&self, percent: u8) {
        self.fault(&format!("numgen random mod 100 < {percent} drop"));
    }

    /// Cuts the underlay between two hosts, by number from 1; both go on with the others.
    #[track_caller]
    pub fn cut(&self, one: u8, two: u8) {
        self.fault(&format!(
            "iifname \"h{one}\" oifname \"h{two}\" drop\n  iifname \"h{two}\" oifname \"h{one}\" drop"
        ));
    }

    /// The same for one IP version: `ip` or `ip6`.
    #[track_caller]
    pub fn cut_family(&self, one: u8, two: u8, family: &str) {
        let rule =
            |from: u8, to: u8| format!("iifname \"h{from}\" oifname \"h{to}\" ether type {family} drop");
        self.fault(&format!("{}\n  {}", rule(one, two), rule(two, one)));
    }

    /// Cuts the underlay from one host to another, and not back.
    #[track_caller]
    pub fn cut_one_way(&self, from: u8, to: u8) {
        self.fault(&format!("iifname \"h{from}\" oifname \"h{to}\" drop"));
    }

    /// Marks congestion on every VXLAN datagram of the underlay that can carry the mark.
    #[track_caller]
    pub fn mark_congestion(&self) {
        self.fault("udp dport 4789 ip ecn { ect0, ect1 } ip ecn set ce");
    }

    /// Drops datagrams to a UDP port on the underlay.
    #[track_caller]
    pub fn filter_port(&self, port: u16) {
        self.fault(&format!("udp dport {port} drop"));
    }

    /// Drops IP packets of more octets than this on the underlay, and says nothing of it.
    ///
    /// Hosts cut what they send before the wire, as a NIC does: on a veth pair it would pass in one piece.
    #[track_caller]
    pub fn shrink(&self, octets: u32) {
        for node in &self.nodes {
            node.host.ns.exec("ethtool -K u0 tx-udp-segmentation off");
        }
        self.fault(&format!("meta length > {octets} drop"));
    }

    /// Puts nftables rules where packets pass from wire to wire (`hN` is that of the Nth host).
    #[track_caller]
    pub fn fault(&self, rules: &str) {
        let hook = "type filter hook forward priority 0";
        self.lab.hub().nft(&format!("table bridge fault {{\n chain wire {{\n  {hook}\n  {rules}\n }}\n}}\n"));
    }

    /// Ends what [`Cluster::partition`] or [`Cluster::lose`] began.
    #[track_caller]
    pub fn heal(&self) {
        self.lab.hub().nft("delete table bridge fault\n");
    }

    /// How often these events were logged, by all nodes together.
    #[must_use]
    pub fn count_events(&self, kind: &str) -> usize {
        self.nodes.iter().map(|node| events(node, kind).len()).sum()
    }

    /// Checks what holds after every test, as [`finish`].
    #[track_caller]
    pub fn finish(mut self) {
        finish(&mut self.nodes, &mut self.lab);
    }
}

/// The number of the pod of the node at this index.
#[must_use]
#[allow(clippy::cast_possible_truncation)] // a test has a handful
pub const fn pod_number(index: usize) -> u8 {
    index as u8 + 1
}
