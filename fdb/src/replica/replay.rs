//! Reporting again what is shown, for an owner that could not use it when it came.

use super::members::Origin;
use super::{Output, Record, Replica};
use crate::gossip::identity::{Epoch, NodeId};

/// Records that are looked at for one poll.
const BATCH: usize = 64;

/// How far a node's records were reported again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replay {
    epoch: Epoch,
    next: u64,
}

impl Replica {
    /// Reports all that a node says again, as [`Output::Changed`] with nothing before it; little by little, while
    /// outputs are polled. What changes meanwhile is reported as ever, and perhaps twice.
    ///
    /// Nothing happens for a node of which nothing is shown; when it is shown, all of it is reported anyway.
    pub fn replay(&mut self, origin: NodeId) {
        let shown = self.origins.get(&origin).and_then(Origin::shown);
        if let Some(shown) = shown.filter(|_| origin != self.own) {
            self.replays.insert(origin, Replay { epoch: shown.epoch, next: 1 });
        }
    }

    /// Reports the next few records of one node.
    pub(super) fn report_again(&mut self) {
        let Some((&node, &replay)) = self.replays.first_key_value() else { return };
        let Some(shown) = self.origins.get(&node).and_then(Origin::shown) else {
            self.replays.remove(&node);
            return;
        };
        // Another start of it has other numbers.
        let next = if shown.epoch == replay.epoch { replay.next } else { 1 };
        let mut last = None;
        for (seq, item) in shown.range(next, u64::MAX).take(BATCH) {
            last = Some(seq);
            let record = item.value().and_then(|value| Record::decode(item.key(), value).ok());
            if let Some(record) = record {
                let changed =
                    Output::Changed { origin: node, key: record.key(), old: None, new: Some(record) };
                self.outputs.push_back(changed);
            }
        }
        match last {
            Some(last) => self.replays.insert(node, Replay { epoch: shown.epoch, next: last + 1 }),
            None => self.replays.remove(&node),
        };
    }
}
