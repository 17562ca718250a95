//! What this node makes of what `foca` says: one row a node, and the doubts it has of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::config::{MemberEvent, MemberState, MemberView};
use super::id::MemberId;
use super::shell::Shell;
use crate::gossip::identity::NodeId;

/// Questions to one member, asked until it answers or is given up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    /// When the next question is due.
    pub(super) next: Instant,
    /// The question that is on its way.
    pub(super) asked: Option<(u64, Instant)>,
    /// Questions without an answer, one after the other.
    pub(super) failed: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) view: MemberView,
    pub(super) doubt: Option<Doubt>,
    /// The latest question to a dead one: its nonce and when it was sent.
    pub(super) call: Option<(u64, Instant)>,
}

/// All nodes but the own one.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) rows: BTreeMap<NodeId, Row>,
}

impl Table {
    pub(super) fn get(&self, id: &MemberId) -> Option<&Row> {
        self.rows.get(&id.node).filter(|row| row.view.id == *id)
    }

    /// A member is active under this identity. Returns an older identity of it at another address.
    pub(super) fn up(&mut self, id: MemberId, shell: &mut Shell) -> Option<MemberId> {
        let view = MemberView { id, state: MemberState::Up, since: shell.now, rtt: None };
        let Some(row) = self.rows.get_mut(&id.node) else {
            self.rows.insert(id.node, Row { view, doubt: None, call: None });
            shell.event(MemberEvent::Up(id));
            return None;
        };
        let old = row.view;
        let gone = matches!(old.state, MemberState::Down | MemberState::Left);
        if old.id.addr != id.addr {
            // Two processes may share an id for a while; the table shows the newer one that lives.
            if !gone && old.id.beats(&id) {
                return None;
            }
            *row = Row { view, doubt: None, call: None };
            shell.event(MemberEvent::AddressChanged { member: id, from: old.id.addr });
            return (!gone).then_some(old.id);
        }
        row.view.id = id;
        if gone {
            *row = Row { view, doubt: None, call: None };
            shell.event(MemberEvent::Rejoined(id));
        } else {
            row.clear(shell);
        }
        None
    }

    /// Another node took the address of this identity. There is one process at an address, so the one before it is gone;
    /// its row goes too, or a node that changes its id again and again would fill the table.
    pub(super) fn replaced(&mut self, before: &MemberId, shell: &mut Shell) {
        if let Some(row) = self.rows.get_mut(&before.node).filter(|row| row.view.id.addr == before.addr) {
            if matches!(row.view.state, MemberState::Up | MemberState::Suspect) {
                row.end(MemberState::Down, shell);
            }
            self.rows.remove(&before.node);
        }
    }

    /// An identity took the place of another at its address.
    pub(super) fn renamed(&mut self, before: &MemberId, after: MemberId, shell: &mut Shell) {
        let Some(row) = self.rows.get_mut(&before.node).filter(|row| row.view.id.addr == before.addr) else {
            return;
        };
        if before.node != after.node {
            self.replaced(before, shell);
            return;
        }
        let gone = matches!(row.view.state, MemberState::Down | MemberState::Left);
        row.view.id = after;
        if !gone && before.boot != after.boot {
            row.view.since = shell.now;
            row.view.rtt = None;
            shell.event(MemberEvent::Rejoined(after));
        }
    }
}

impl Row {
    /// When the question with this nonce was sent, if it is on its way.
    pub(super) fn asked(&self, nonce: u64) -> Option<Instant> {
        let questions = [self.call, self.doubt.and_then(|doubt| doubt.asked)];
        questions.into_iter().flatten().find(|question| question.0 == nonce).map(|(_, sent)| sent)
    }

    /// Begins to ask.
    pub(super) fn suspect(&mut self, shell: &mut Shell) {
        if self.view.state == MemberState::Up {
            self.view.state = MemberState::Suspect;
            self.view.since = shell.now;
            self.doubt = Some(Doubt { next: shell.now, asked: None, failed: 0 });
            shell.event(MemberEvent::Suspect(self.view.id));
        }
    }

    /// Ends the doubts: it lives.
    pub(super) fn clear(&mut self, shell: &mut Shell) {
        self.doubt = None;
        if self.view.state == MemberState::Suspect {
            self.view.state = MemberState::Up;
            self.view.since = shell.now;
            shell.event(MemberEvent::Cleared(self.view.id));
        }
    }

    /// Ends the doubts: it is gone.
    pub(super) fn end(&mut self, state: MemberState, shell: &mut Shell) {
        self.doubt = None;
        self.view.state = state;
        self.view.since = shell.now;
        let left = state == MemberState::Left;
        shell.event(if left { MemberEvent::Left(self.view.id) } else { MemberEvent::Down(self.view.id) });
    }

    /// Takes one more sample: an eighth of it counts, as in [RFC 6298](https://www.rfc-editor.org/rfc/rfc6298).
    pub(super) fn sample(&mut self, rtt: Duration) {
        self.view.rtt = Some(self.view.rtt.map_or(rtt, |old| (old * 7 + rtt) / 8));
    }
}
