//! What `foca` asks of its surroundings: timers by time, packets in a queue, news for the table.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use foca::{Message, Notification, Timer};

use super::config::{MemberEvent, Output};
use super::id::MemberId;
use super::wire::{self, Sent};

/// Datagrams that wait for [`poll_output`](super::Members::poll_output) at most; more are dropped, as a network does.
const MAX_SENDS: usize = 8_192;

/// What `foca` said about a member.
#[derive(Clone, Copy, Debug)]
pub(super) enum News {
    Up(MemberId),
    Down(MemberId),
    Renamed(MemberId, MemberId),
}

/// A question of `foca` that is on its way.
#[derive(Debug)]
pub(super) struct Ping {
    pub(super) to: MemberId,
    pub(super) number: u8,
    pub(super) sent: Instant,
    /// Its octets, until they are sent the second time.
    again: Option<Vec<u8>>,
}

impl Ping {
    /// The time to its answer; `None` if that may be the answer to the second copy.
    pub(super) fn rtt(&self, now: Instant) -> Option<Duration> {
        self.again.as_ref().map(|_| now - self.sent)
    }
}

#[derive(Debug)]
pub(super) struct Shell {
    pub(super) now: Instant,
    /// By time, then in the order in which they were set.
    timers: BTreeMap<(Instant, u64), Timer<MemberId>>,
    set: u64,
    /// When dead members are forgotten: one timer an address, so that a member that flaps for a day costs one.
    removals: BTreeMap<SocketAddr, (Instant, MemberId)>,
    pub(super) news: VecDeque<News>,
    outputs: VecDeque<Output>,
    sends: usize,
    pub(super) ping: Option<Ping>,
    /// The incarnation in the latest packet: `foca` does not tell it otherwise.
    pub(super) incarnation: u16,
    /// When this node came back the latest time.
    pub(super) renewed: Option<Instant>,
}

impl Shell {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            now,
            timers: BTreeMap::new(),
            set: 0,
            removals: BTreeMap::new(),
            news: VecDeque::new(),
            outputs: VecDeque::new(),
            sends: 0,
            ping: None,
            incarnation: 0,
            renewed: None,
        }
    }

    // ---- timers ----

    /// Puts all timers off.
    pub(super) fn postpone(&mut self, by: Duration) {
        let timers = std::mem::take(&mut self.timers);
        self.timers = timers.into_iter().map(|((due, n), timer)| ((due + by, n), timer)).collect();
    }

    /// When the first timer is due.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.first_key_value().map(|(&(due, _), _)| due)
    }

    /// The first timer that is due.
    pub(super) fn due_timer(&mut self) -> Option<Timer<MemberId>> {
        let entry = self.timers.first_entry().filter(|entry| entry.key().0 <= self.now)?;
        Some(entry.remove())
    }

    /// The dead members that were remembered for long enough.
    pub(super) fn due_removals(&mut self) -> Vec<MemberId> {
        let due: Vec<_> =
            self.removals.values().filter(|(due, _)| *due <= self.now).map(|(_, id)| *id).collect();
        self.removals.retain(|_, (at, _)| *at > self.now);
        due
    }

    // ---- the second copy of a question ----

    /// When the question on its way is due a second time, if it still waits for that.
    pub(super) fn again_at(&self, after: Duration) -> Option<Instant> {
        self.ping.as_ref().filter(|ping| ping.again.is_some()).map(|ping| ping.sent + after)
    }

    pub(super) fn send_again(&mut self) {
        if let Some((to, bytes)) =
            self.ping.as_mut().and_then(|ping| Some((ping.to.addr, ping.again.take()?)))
        {
            self.send(to, bytes);
        }
    }

    pub(super) fn cancel_timers(&mut self) {
        self.timers.clear();
        self.ping = None;
        self.removals.clear();
    }

    // ---- outputs ----

    pub(super) fn event(&mut self, event: MemberEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(super) fn send(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        if self.sends < MAX_SENDS {
            self.sends += 1;
            self.outputs.push_back(Output::Send { to, bytes });
        }
    }

    pub(super) fn poll(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        self.sends -= usize::from(matches!(output, Some(Output::Send { .. })));
        output
    }
}

impl foca::Runtime<MemberId> for Shell {
    fn notify(&mut self, notification: Notification<'_, MemberId>) {
        match notification {
            Notification::MemberUp(id) => self.news.push_back(News::Up(*id)),
            Notification::MemberDown(id) => self.news.push_back(News::Down(*id)),
            Notification::Rename(before, after) => self.news.push_back(News::Renamed(*before, *after)),
            Notification::Rejoin(id) => {
                self.incarnation = 0;
                self.renewed = Some(self.now);
                self.event(MemberEvent::Renewed(*id));
            }
            Notification::Active | Notification::Idle | Notification::Defunct => {}
        }
    }

    fn send_to(&mut self, to: MemberId, data: &[u8]) {
        // What `foca` writes is read again: the way through `Wire` is the same.
        let Ok(Sent { incarnation, message, bytes }) = wire::swim(&to, data) else { return };
        self.incarnation = incarnation;
        if let Message::Ping(number) = message {
            self.ping = Some(Ping { to, number, sent: self.now, again: Some(bytes.clone()) });
        }
        self.send(to.addr, bytes);
    }

    fn submit_after(&mut self, event: Timer<MemberId>, after: Duration) {
        let due = self.now + after;
        if let Timer::RemoveDown(id) = event {
            self.removals.insert(id.addr, (due, id));
        } else {
            self.set += 1;
            self.timers.insert((due, self.set), event);
        }
    }
}
