//! The demo's hosts: planned, then made of processes and links.

use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use encap::{Format, MacAddr, Mtu};
use fdb::gossip::seal::{Key, Keyring};
use ipnet::{IpNet, Ipv4Net};

use super::node;
use super::part::{Kind, Part};
use super::pod::Order;
use crate::control::protocol::{Drops, Fdb};
use crate::io::link::{LinkSetup, Links};
use crate::io::netns::{Netns, NetnsRef, run_in};
use crate::io::{keyfile, random};

/// The name of the demo's one network.
pub(super) const NETWORK: &str = "demo";
/// Its VNI.
pub(super) const VNI: u32 = 100;
/// The key of the demo's gossip, in its directory.
const KEY_FILE: &str = "gossip.key";
/// The IP MTU between nodes.
pub(super) const UNDERLAY_MTU: u32 = 1500;
/// The segments of a batch that a device takes unless told otherwise (`GSO_MAX_SEGS`).
const WHOLE_BATCHES: u32 = 65_535;
/// How often a daemon is asked whether it is ready.
const POLL: Duration = Duration::from_millis(10);
/// How often a ledger is read until it balances.
const LEDGER_READS: u32 = 100;

/// Who is where and has which addresses.
pub(super) struct Plan {
    pub(super) format: Format,
    pub(super) nodes: Vec<NodePlan>,
}

/// One host.
#[derive(Clone)]
pub(super) struct NodePlan {
    pub(super) name: String,
    /// Its underlay device's.
    pub(super) mac: MacAddr,
    pub(super) underlay: Ipv4Addr,
    pub(super) pods: Vec<PodPlan>,
}

/// One pod.
#[derive(Clone)]
pub(super) struct PodPlan {
    pub(super) name: String,
    pub(super) mac: MacAddr,
    pub(super) address: Ipv4Addr,
}

impl Plan {
    /// Hosts 10.99.0.N with pods 10.32.N.M.
    pub(super) fn new(nodes: u8, pods: u8, format: Format) -> Self {
        let pod = |n, m| PodPlan {
            name: format!("pod-{n}-{m}"),
            mac: MacAddr::new([2, 0, 0, 0, n, m]),
            address: Ipv4Addr::new(10, 32, n, m),
        };
        let node = |n| NodePlan {
            name: format!("node-{n}"),
            mac: MacAddr::new([2, 0, 10, 99, 0, n]),
            underlay: Ipv4Addr::new(10, 99, 0, n),
            pods: (1..=pods).map(|m| pod(n, m)).collect(),
        };
        Self { format, nodes: (1..=nodes).map(node).collect() }
    }

    /// The configuration of one node's daemon: an ordinary one that names one other node to join.
    fn config(&self, node: &NodePlan, pods: &[NetnsRef], directory: &Path) -> String {
        let (directory, format) = (directory.display(), self.format);
        let seed = self.nodes.iter().map(|node| node.underlay).next().unwrap_or(node.underlay);
        let mut text = format!(
            "[node]\nname = \"{name}\"\nstate_dir = \"{directory}/{name}\"\nsocket = \"{directory}/{name}.sock\"\n\n\
             [underlay]\naddress = \"{underlay}\"\n\n[encap]\nformat = \"{format}\"\n\n\
             [gossip]\njoin = [\"{seed}\"]\nkey_file = \"{directory}/{KEY_FILE}\"\n\n\
             [api]\nhttp = \"off\"\n\n\
             [[network]]\nname = \"{NETWORK}\"\nvni = {VNI}\n",
            name = node.name,
            underlay = node.underlay,
        );
        for (pod, netns) in node.pods.iter().zip(pods) {
            let PodPlan { name, mac, address } = pod;
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "\n[[port]]\nname = \"{name}\"\nnetwork = \"{NETWORK}\"\nifname = \"eth0\"\nnetns = \"{netns}\"\n\
                 mac = \"{mac}\"\naddresses = [\"{address}/12\"]\n"
            );
        }
        text
    }
}

/// How a person reaches a node that runs.
pub(super) struct NodeHandle {
    pub(super) name: String,
    pub(super) pid: u32,
    /// The daemon's socket, as the demo sees it.
    pub(super) socket: PathBuf,
    /// The pods and their processes.
    pub(super) pods: Vec<(PodPlan, u32)>,
}

/// The running demo.
pub(super) struct Lab {
    directory: PathBuf,
    nodes: Vec<Node>,
    /// The fabric's ends of the nodes' cables.
    cables: Vec<u32>,
}

/// A host: the process that is or becomes the daemon, and its pods.
struct Node {
    plan: NodePlan,
    part: Part,
    pods: Vec<Pod>,
}

/// A pod: a process that obeys.
pub(super) struct Pod {
    pub(super) plan: PodPlan,
    pub(super) part: Part,
}

impl Lab {
    /// Starts all processes and wires the hosts together; the calling thread's namespace is the fabric.
    pub(super) fn build(plan: &Plan, directory: &Path) -> anyhow::Result<Self> {
        let start = |kind, name: &str| Part::start(kind, &directory.join(format!("{name}.log")));
        let mut nodes = Vec::new();
        for node in &plan.nodes {
            let pods =
                node.pods.iter().map(|pod| Ok(Pod { plan: pod.clone(), part: start(Kind::Pod, &pod.name)? }));
            let pods = pods.collect::<anyhow::Result<_>>()?;
            nodes.push(Node { plan: node.clone(), part: start(Kind::Node, &node.name)?, pods });
        }
        let mut lab = Self { directory: directory.to_owned(), nodes, cables: Vec::new() };
        lab.wire()?;
        lab.configure(plan)?;
        Ok(lab)
    }

    /// A bridge in the fabric, and a cable from it to every node.
    fn wire(&mut self) -> anyhow::Result<()> {
        let (fabric, links) = (Netns::current()?, Links::open()?);
        let bridge = links.create_bridge("fabric")?;
        for node in &mut self.nodes {
            let (host, cable) = (node.part.namespace()?, node.plan.name.as_str());
            links.create_veth((cable, &fabric), ("eth0", &host))?;
            let cable = links.by_name(cable)?.context("a cable just made is gone")?.index;
            links.set_master(cable, Some(bridge))?;
            links.configure(
                cable,
                &LinkSetup { mtu: Some(Mtu::new(UNDERLAY_MTU)?), up: true, ..LinkSetup::default() },
            )?;
            self.cables.push(cable);
            let addresses = vec![IpNet::V4(Ipv4Net::new(node.plan.underlay, 24)?)];
            let setup = LinkSetup { mac: Some(node.plan.mac), addresses, up: true, ..LinkSetup::default() };
            run_in(&host, || set_up_host(&setup))?;
        }
        Ok(())
    }

    /// Writes the configuration of every daemon, once the pods have their namespaces.
    fn configure(&mut self, plan: &Plan) -> anyhow::Result<()> {
        let key = Key::random(&mut random::os_rng()?);
        keyfile::create(&self.directory.join(KEY_FILE), &Keyring::new(key))?;
        for node in &mut self.nodes {
            for pod in &mut node.pods {
                pod.part.namespace()?;
            }
            let pods: Vec<_> = node.pods.iter().map(|pod| pod.part.netns()).collect();
            let text = plan.config(&node.plan, &pods, &self.directory);
            let path = self.directory.join(format!("{}.toml", node.plan.name));
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Turns the nodes' processes into daemons.
    pub(super) fn start_daemons(&mut self) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            let config = self.directory.join(format!("{}.toml", node.plan.name));
            node.part.tell(&Order::Run { config: config.display().to_string() })?;
        }
        Ok(())
    }

    /// Waits until every port is up and every node was told of all pods.
    pub(super) fn await_ports(&mut self, until: Instant, now: impl Fn() -> Instant) -> anyhow::Result<()> {
        let pods = self.pods().count();
        for at in 0..self.nodes.len() {
            let socket = self.socket(&self.nodes[at]);
            loop {
                let waiting = match node::not_ready(&socket, pods) {
                    Ok(None) => break,
                    Ok(Some(what)) => what,
                    Err(error) => format!("{error:#}"),
                };
                let (ended, name) = (self.nodes[at].part.ended(), &self.nodes[at].plan.name);
                if let Some(status) = ended {
                    bail!("the daemon of {name} ended ({status}){}", self.last_words());
                }
                if now() > until {
                    bail!("{name} did not get ready: {waiting}{}", self.last_words());
                }
                thread::sleep(POLL);
            }
        }
        Ok(())
    }

    /// The fabric's ends of the nodes' cables: what a node sends arrives there.
    pub(super) fn cables(&self) -> &[u32] {
        &self.cables
    }

    /// Has the nodes' kernels cut batches of datagrams before their cables, or hand them over whole.
    pub(super) fn cut_batches(&self, cut: bool) -> anyhow::Result<()> {
        let most = if cut { 1 } else { WHOLE_BATCHES };
        for node in &self.nodes {
            run_in(&node.part.netns().open()?, || {
                let links = Links::open()?;
                let eth0 = links.by_name("eth0")?.ok_or(std::io::ErrorKind::NotFound)?;
                links.set_gso_max_segs(eth0.index, most)
            })?;
        }
        Ok(())
    }

    /// The MTU of every port.
    pub(super) fn port_mtus(&self) -> anyhow::Result<Vec<Mtu>> {
        let mut mtus = Vec::new();
        for node in &self.nodes {
            mtus.extend(node::port_mtus(&self.socket(node))?);
        }
        Ok(mtus)
    }

    /// The first daemon that ended, and how.
    pub(super) fn ended(&mut self) -> Option<String> {
        self.nodes.iter_mut().find_map(|node| {
            let status = node.part.ended()?;
            Some(format!("the daemon of {} ended ({status})", node.plan.name))
        })
    }

    /// What the nodes and pods can be reached by.
    pub(super) fn handles(&self) -> Vec<NodeHandle> {
        let handle = |node: &Node| NodeHandle {
            name: node.plan.name.clone(),
            pid: node.part.pid(),
            socket: self.socket(node),
            pods: node.pods.iter().map(|pod| (pod.plan.clone(), pod.part.pid())).collect(),
        };
        self.nodes.iter().map(handle).collect()
    }

    /// All pods.
    pub(super) fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.nodes.iter().flat_map(|node| &node.pods)
    }

    /// All pods, to be told something.
    pub(super) fn pods_mut(&mut self) -> impl Iterator<Item = &mut Pod> {
        self.nodes.iter_mut().flat_map(|node| &mut node.pods)
    }

    /// A pod of the first host and one of the second.
    pub(super) fn two_hosts(&mut self) -> Option<(&mut Pod, &mut Pod)> {
        let mut firsts = self.nodes.iter_mut().filter_map(|node| node.pods.first_mut());
        Some((firsts.next()?, firsts.next()?))
    }

    /// The FDB of every node, by its name.
    pub(super) fn fdbs(&self) -> anyhow::Result<Vec<(String, Fdb)>> {
        let fdb = |node: &Node| Ok((node.plan.name.clone(), node::fdb(&self.socket(node))?));
        self.nodes.iter().map(fdb).collect()
    }

    /// The ledger of every node, by its name; read again while frames are on their way.
    pub(super) fn ledgers(&self) -> anyhow::Result<Vec<(String, Drops)>> {
        let settled = |node: &Node| {
            let socket = self.socket(node);
            let mut drops = node::ledger(&socket)?;
            for _ in 0..LEDGER_READS {
                if node::is_balanced(&drops) {
                    break;
                }
                thread::sleep(POLL);
                drops = node::ledger(&socket)?;
            }
            Ok((node.plan.name.clone(), drops))
        };
        self.nodes.iter().map(settled).collect()
    }

    /// The end of every daemon's log that has one, to follow a message.
    pub(super) fn last_words(&self) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            let log = self.directory.join(format!("{}.log", node.plan.name));
            let log = fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            for line in &lines[lines.len().saturating_sub(5)..] {
                let _ = write!(text, "\n  {}: {line}", node.plan.name);
            }
        }
        text
    }

    fn socket(&self, node: &Node) -> PathBuf {
        self.directory.join(format!("{}.sock", node.plan.name))
    }
}

/// Sets up a host's underlay device; runs in the host's namespace.
fn set_up_host(underlay: &LinkSetup) -> std::io::Result<()> {
    let links = Links::open()?;
    let loopback = LinkSetup { up: true, ..LinkSetup::default() };
    for (name, setup) in [("lo", &loopback), ("eth0", underlay)] {
        let link = links.by_name(name)?.ok_or(std::io::ErrorKind::NotFound)?;
        links.configure(link.index, setup)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_address_is_unique() {
        let plan = Plan::new(8, 8, Format::Vxlan);
        let mut seen = std::collections::HashSet::new();
        for node in &plan.nodes {
            assert!(seen.insert(node.name.clone()) && seen.insert(node.underlay.to_string()));
            for pod in &node.pods {
                let fresh = [pod.name.clone(), pod.mac.to_string(), pod.address.to_string()];
                assert!(fresh.into_iter().all(|text| seen.insert(text)), "{}", pod.name);
            }
        }
    }

    #[test]
    fn a_daemon_gets_a_valid_configuration_with_its_own_ports_and_one_address_to_join() {
        let plan = Plan::new(3, 2, Format::Geneve);
        let text = plan.config(&plan.nodes[1], &[NetnsRef::Pid(11), NetnsRef::Pid(12)], Path::new("/run"));
        let config = crate::control::config::Config::from_toml(&text).expect(&text);
        let ports: Vec<_> =
            config.ports.iter().map(|port| (port.name.as_str(), port.netns.clone())).collect();
        assert_eq!(ports, [("pod-2-1", Some(NetnsRef::Pid(11))), ("pod-2-2", Some(NetnsRef::Pid(12)))]);
        assert_eq!(config.peers, []);
        let join: Vec<_> = config.gossip.unwrap().join.iter().map(ToString::to_string).collect();
        assert_eq!(join, ["10.99.0.1:6786"]);
        assert_eq!(config.encap.format, Format::Geneve);
    }
}
