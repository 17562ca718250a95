//! `weft demo --keep`: how a person looks around, and how it ends.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::topology::{Lab, NodeHandle};

/// How often the daemons are looked after.
const LOOK: Duration = Duration::from_secs(1);

/// Where the demo runs, as another terminal sees it.
pub(super) struct Site {
    /// The demo's process, in the fabric's namespace.
    pub(super) pid: u32,
    /// How the user calls weft.
    pub(super) weft: String,
    /// Whether the demo is in a user namespace of its own, and not root's.
    pub(super) own_user: bool,
}

/// What to do now, as commands for another terminal.
pub(super) fn guide(site: &Site, nodes: &[NodeHandle], udp_port: u16) -> Option<String> {
    let Site { pid, weft, own_user } = site;
    let (first, second) = (nodes.first()?, nodes.get(1)?);
    let ((_, from_pid), (to, to_pid)) = (first.pods.first()?, second.pods.first()?);
    let enter = |pid: u32| {
        let user = if *own_user { " -U --preserve-credentials" } else { "" };
        format!("nsenter -t {pid}{user} -n")
    };
    let socket = |node: &NodeHandle| format!("/proc/{pid}/root{}", node.socket.display());
    let who = if *own_user { "" } else { ", as root" };
    let mut text = format!("IT RUNS until Ctrl-C; then everything goes. From another terminal{who}:\n\n");
    let mut group = |head: &str, commands: &[String]| {
        let _ = writeln!(text, "{head}");
        for command in commands {
            let _ = writeln!(text, "  {command}");
        }
    };
    let export = format!("export WEFT_SOCKET={}", socket(first));
    let ask = ["status", "port list", "peer list", "fdb show", "drops"].map(|what| format!("{weft} {what}"));
    group(&format!("Ask the daemon of {}:", first.name), &[&[export], ask.as_slice()].concat());
    let others: Vec<_> =
        nodes[1..].iter().map(|node| format!("{weft} status --socket {}", socket(node))).collect();
    group("Ask the others:", &others);
    let (address, pod) = (to.address, enter(*from_pid));
    group(
        &format!("Be in {}, and reach {}:", first.pods[0].0.name, to.name),
        &[format!("{pod} ip address show eth0"), format!("{pod} ping -c 3 {address}")],
    );
    let fabric = enter(*pid);
    group(
        &format!("Watch frames meanwhile: outside, on the cable of {}; inside, in {}:", first.name, to.name),
        &[
            format!("{fabric} tcpdump -n -i {} udp port {udp_port}", first.name),
            format!("{} tcpdump -n -i eth0", enter(*to_pid)),
        ],
    );
    let _ = writeln!(text, "Processes, for nsenter -t:");
    for node in nodes {
        let pods: Vec<_> = node.pods.iter().map(|(pod, pid)| format!("{} {pid}  ", pod.name)).collect();
        super::report::wrapped(&mut text, &format!("  {} {}  ", node.name, node.pid), &pods);
    }
    Some(text)
}

/// Waits for Ctrl-C or another signal to end; an error when a daemon ends first.
pub(super) fn wait(lab: &mut Lab) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let signals = kinds.map(signal).into_iter().collect::<Result<Vec<_>, _>>();
        let mut signals = signals.context("cannot wait for Ctrl-C")?;
        let mut ended = None;
        loop {
            if tokio::time::timeout(LOOK, any(&mut signals)).await.is_ok() {
                return Ok(());
            }
            // Ctrl-C ends daemons, too; only one that is gone without it is news.
            if let Some(ended) = ended {
                bail!("{ended}{}", lab.last_words());
            }
            ended = lab.ended();
        }
    })
}

/// The next signal of any kind.
async fn any(signals: &mut [Signal]) {
    let signals = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
    futures_util::future::select_all(signals).await;
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use encap::Format;

    use super::super::topology::{NodePlan, Plan};
    use super::*;

    fn handles(plan: &Plan) -> Vec<NodeHandle> {
        let handle = |(number, node): (usize, &NodePlan)| NodeHandle {
            name: node.name.clone(),
            pid: 4_194_300 - number as u32,
            socket: PathBuf::from(format!("/run/{}.sock", node.name)),
            pods: node.pods.iter().map(|pod| (pod.clone(), 4_194_200)).collect(),
        };
        plan.nodes.iter().enumerate().map(handle).collect()
    }

    fn guide_of(nodes: u8, pods: u8, own_user: bool) -> String {
        let site = Site { pid: 4_194_301, weft: "weft".to_owned(), own_user };
        guide(&site, &handles(&Plan::new(nodes, pods, Format::Vxlan)), 4789).unwrap()
    }

    #[test]
    fn every_daemon_and_pod_is_named_and_no_line_is_wider_than_a_terminal() {
        for (nodes, pods) in [(2, 1), (3, 2), (8, 3)] {
            let text = guide_of(nodes, pods, false);
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{line}");
            }
            for node in 1..=nodes {
                assert!(text.contains(&format!("/proc/4194301/root/run/node-{node}.sock")), "{text}");
                assert!((1..=pods).all(|pod| text.contains(&format!("pod-{node}-{pod} 4194200"))), "{text}");
            }
        }
    }

    #[test]
    fn a_user_enters_the_user_namespace_first() {
        assert!(guide_of(2, 1, false).contains("as root"));
        let text = guide_of(2, 1, true);
        assert!(text.contains("nsenter -t 4194200 -U --preserve-credentials -n ping"), "{text}");
        assert!(!text.contains("as root"));
    }
}
