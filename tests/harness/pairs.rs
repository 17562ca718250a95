//! Two nodes with several pods each: pod `i` of one has pod `i` of the other to talk to.

use std::net::IpAddr;
use std::sync::Arc;

use crate::lab::Lab;
use crate::netns::Netns;
use crate::node::{Config, Node, network, peer, port};
use crate::pair::{finish, pod_keys, pod_v4};
use crate::traffic::assert_pings;

/// Two nodes that are each other's peers, and pods on both.
pub struct Pairs {
    /// Where all of it lives.
    pub lab: Lab,
    /// The daemons.
    pub nodes: [Node; 2],
    /// What they were started with.
    pub configs: [Config; 2],
    /// The pods of each.
    pub pods: [Vec<Arc<Netns>>; 2],
}

impl Pairs {
    /// Starts `pairs` pairs with these keys of `[datapath]`; all of them answer.
    #[must_use]
    #[track_caller]
    pub fn start(pairs: usize, datapath: &str) -> Self {
        Self::start_by(&[], pairs, datapath)
    }

    /// As [`Pairs::start`], but the daemons are started by another program, as by [`Node::spawn_by`].
    ///
    /// # Panics
    ///
    /// When a pair does not answer.
    #[must_use]
    #[track_caller]
    pub fn start_by(wrapper: &[&str], pairs: usize, datapath: &str) -> Self {
        let lab = Lab::new();
        let hosts = [lab.host("a"), lab.host("b")];
        let pods = [0, 1].map(|n| (0..pairs).map(|i| lab.pod(&format!("pod{n}{i}"))).collect::<Vec<_>>());
        let configs = [0, 1].map(|n| {
            let ports: String = (0..pairs)
                .map(|i| port(&format!("p{i}"), "pods", &pods[n][i], &pod_keys(Self::number(n, i))))
                .collect();
            let text = format!("[datapath]\n{datapath}\n") + &network("pods", 100, "") + &ports;
            Config::new(text + &peer(hosts[1 - n].v4, "pods", ""))
        });
        let nodes = [0, 1].map(|n| {
            let mut node = Node::spawn_by(wrapper, &hosts[n], &configs[n]);
            node.wait_ready();
            node
        });
        let all = Self { lab, nodes, configs, pods };
        for (i, pod) in all.pods[0].iter().enumerate() {
            assert_pings(pod, all.to(i).1);
        }
        all
    }

    /// The number of a node's pod, which is in its addresses.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // a test has a handful
    pub const fn number(node: usize, pod: usize) -> u8 {
        (10 * (node + 1) + pod) as u8
    }

    /// Where the first node's pod `i` sends to.
    #[must_use]
    pub fn to(&self, i: usize) -> (&Arc<Netns>, IpAddr) {
        (&self.pods[1][i], pod_v4(Self::number(1, i)))
    }

    /// Ends the daemons, whose ledgers must balance, and looks at the underlay.
    #[track_caller]
    pub fn finish(&mut self) {
        finish(&mut self.nodes, &mut self.lab);
    }
}
