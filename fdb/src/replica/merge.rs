//! Sections that arrive: into their streams, and on as rumours.

use std::time::{Duration, Instant};

use super::item::Item;
use super::push::MAX_PUSHED;
use super::stream::{Merged, Stream};
use super::wire::Section;
use super::{Fault, Output, Replica};
use crate::gossip::identity::{Epoch, NodeId};

/// Time for datagrams that overtook others, before what lies between is asked for.
const REORDER: Duration = Duration::from_millis(100);

impl Replica {
    /// Takes one section that `from` sent.
    pub(super) fn merge(&mut self, from: NodeId, section: &Section, now: Instant) {
        let node = section.origin;
        if node == self.own {
            self.hear_of_self(section.epoch, section.max);
            return;
        }
        self.check_claims(from, node, section.epoch, now);
        let stale = self.origins.get(&node).is_some_and(|origin| section.epoch < origin.stream.epoch);
        let adopted = (!stale || self.config.has(Fault::ArrivalOrder))
            && !self.is_absurd(from, node, section.epoch)
            && self.adopt(node, section.epoch, now);
        if !adopted {
            self.counters.stale += u64::from(stale);
            if stale && from == node {
                self.tell_of_itself(node);
            }
            return;
        }
        let Some(origin) = self.origins.get_mut(&node) else { return };
        let mut changes = Vec::new();
        let refused = origin.stream.refused;
        let max = origin.stream.max_seen;
        let merged = origin.stream.merge(section, &self.config, &mut changes);
        self.counters.refused += origin.stream.refused - refused;
        origin.behind |= merged == Merged::Behind;
        let complete = origin.stream.is_complete();
        origin.behind &= !(complete && section.replace);
        let behind = origin.behind;
        if origin.before.is_none() && origin.down.is_none() {
            self.report(node, changes);
        }
        match merged {
            Merged::News => {
                self.refresh(node);
                self.show_if_complete(node, now);
                self.spread(section, complete, now);
                if !complete {
                    self.delay_pull(node, now);
                }
            }
            Merged::Known => self.heard_again(section),
            Merged::Announced | Merged::Behind => {}
        }
        if !complete || behind {
            let wait = if merged == Merged::News { REORDER } else { Duration::ZERO };
            // What is far away is asked for by whoever was told of it, once.
            let wait = if section.max > max + MAX_PUSHED { Duration::ZERO } else { wait };
            self.want(node, from, now + wait);
        } else {
            // Nothing of it is missing any more: whoever has more streams is asked on without delay.
            self.pulls.remove(&node);
        }
    }

    /// Tells others what was new here. A long answer to a pull is no news for most: they are told that there is more.
    fn spread(&mut self, section: &Section, complete: bool, now: Instant) {
        if section.entries.len() as u64 <= MAX_PUSHED && !section.replace {
            self.rumour(section.origin, section.from, section.to, now);
        } else if complete {
            self.rumour(section.origin, section.max + 1, section.max, now);
        }
    }

    /// This node goes on in a later epoch, and says all anew.
    pub fn raise_epoch(&mut self, epoch: Epoch) {
        if epoch > self.epoch() {
            self.begin_anew(epoch);
        }
    }

    /// Others know more of this node than it said: it said so in a start that it has forgotten. It takes an epoch
    /// beyond, and says all anew. What no start of it can have said is not followed: who says it is at fault, and the
    /// others do not believe it either.
    pub(super) fn hear_of_self(&mut self, epoch: Epoch, max: u64) {
        let Some(origin) = self.origins.get(&self.own) else { return };
        let own = origin.stream.epoch;
        if epoch < own || (epoch == own && max <= origin.stream.max_seen) {
            return;
        }
        let next = if self.config.has(Fault::NumbersReused) { Some(epoch) } else { epoch.next() };
        if let Some(next) = next.filter(|next| !next.is_absurd_after(own)) {
            self.begin_anew(next);
        }
    }

    fn begin_anew(&mut self, epoch: Epoch) {
        let Some(origin) = self.origins.get_mut(&self.own) else { return };
        let before = std::mem::replace(&mut origin.stream, Stream::new(epoch));
        for item in before.items() {
            origin.stream.append(Item::new(item.key(), item.value()));
        }
        let (own, told) = (self.own, origin.stream.max_seen);
        self.tombstones.clear();
        self.rumours.retain(|rumour| rumour.origin != own);
        self.refresh(own);
        self.told = told;
        self.outputs.push_back(Output::EpochRaised(epoch));
    }
}
