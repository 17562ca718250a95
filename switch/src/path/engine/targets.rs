//! Whom the engine probes, and what it is told about them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use encap::VtepAddr;
use fdb::gossip::identity::NodeId;
use fdb::gossip::seal::Mode;

use super::super::peer::Peer;
use super::super::{Config, Target};
use super::{Engine, MAX_TARGETS, checked};

/// Between the first probes of targets that come together.
const FIRST_PAUSE: Duration = Duration::from_millis(8);

impl Engine {
    /// These are the members that are alive, from now on; others are forgotten, and not heard any more. Those above
    /// [`MAX_TARGETS`] are ignored; returns how many.
    pub fn set_targets(&mut self, targets: &[Target], now: Instant) -> usize {
        let me = self.me.node;
        let others = targets.iter().filter(|target| target.node != me);
        let kept: Vec<Target> = others.clone().take(MAX_TARGETS).copied().collect();
        let nodes: BTreeSet<NodeId> = kept.iter().map(|target| target.node).collect();
        let gone: Vec<NodeId> = self.peers.keys().copied().filter(|node| !nodes.contains(node)).collect();
        for node in gone {
            self.forget(node, now);
        }
        self.by_vtep.clear();
        let mut news = 0;
        for target in &kept {
            let node = target.node;
            for site in [Some(target.site), target.spare].into_iter().flatten() {
                self.by_vtep.extend([(site.vxlan, node), (site.geneve, node)]);
            }
            // Those that are gone are known to it, too, so that what was recorded of them is no news when they come back.
            if self.gate.trust(target.process()).is_err() {
                self.gate.retain(|node| nodes.contains(&node));
                let _ = self.gate.trust(target.process());
            }
            let (config, peers) = (&self.config, &mut self.peers);
            peers
                .entry(node)
                .or_insert_with(|| {
                    // Not all at once: their replies, and ours to them, have to fit, too.
                    news += 1;
                    Peer::new(*target, config, now).first_at(now + FIRST_PAUSE * (news - 1))
                })
                .set_target(*target, config, now);
            self.settle(node, now);
        }
        self.count(now);
        others.count() - kept.len()
    }

    fn forget(&mut self, node: NodeId, now: Instant) {
        if let Some(peer) = self.peers.remove(&node) {
            self.agenda.remove(&(peer.wake, node));
        }
        self.leave(node, now);
    }

    /// Probes otherwise from now on. Where probing begins or ends, everything is found out anew.
    pub fn set_config(&mut self, config: Config, now: Instant) {
        let config = checked(config);
        let anew = config.probing != self.config.probing;
        self.config = config;
        let nodes: Vec<NodeId> = self.peers.keys().copied().collect();
        for node in nodes {
            if let Some(peer) = self.peers.get_mut(&node) {
                if anew {
                    peer.begin_anew(&config, now);
                }
                peer.set_config(&config, now);
            }
            self.settle(node, now);
        }
    }

    /// Seals with other keys from now on: a step of a rotation.
    pub fn set_mode(&mut self, mode: Mode) {
        self.gate.set_mode(mode);
    }

    /// Frames went to a node since the last call: its path is probed more often for the next ten seconds.
    pub fn note_traffic(&mut self, node: NodeId, now: Instant) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.traffic(now) {
            self.count(now);
            self.plan(node, now);
        }
    }

    /// An ICMP error says that the path to a VTEP takes packets of `mtu` octets only. That is found out at once, not
    /// believed; what no router can mean is ignored.
    pub fn handle_too_big(&mut self, to: VtepAddr, mtu: u16, now: Instant) {
        self.with(to, now, |peer| peer.hint(to.ip().into(), mtu, now));
    }

    /// The own kernel did not send a packet of `size` octets to a VTEP, because the link does not take it.
    pub fn handle_refused(&mut self, to: VtepAddr, size: usize, now: Instant) {
        if let Ok(size) = u16::try_from(size) {
            self.with(to, now, |peer| peer.refused(to.ip().into(), size, now));
        }
    }

    /// Finds out within [`EXAMINATION`](super::super::EXAMINATION) which port of a target lets which size through;
    /// [`View::examination`](super::super::View::examination) has the result. One that is under way goes on.
    pub fn examine(&mut self, node: NodeId, now: Instant) {
        let min = self.config.min;
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.examine(min, now);
        }
        self.plan(node, now);
    }

    fn with(&mut self, to: VtepAddr, now: Instant, change: impl FnOnce(&mut Peer)) {
        let Some(node) = self.by_vtep.get(&to).copied() else { return };
        if let Some(peer) = self.peers.get_mut(&node) {
            change(peer);
        }
        self.settle(node, now);
    }
}
