//! What happened to MAC addresses lately, for people who look for one that went astray.

use std::collections::VecDeque;
use std::time::Instant;

use encap::{MacAddr, Vni};

use super::protocol::FdbEvent;

/// Events that are kept, of all addresses together: some 500 KiB. The oldest goes first.
pub(super) const CAPACITY: usize = 4096;

/// The latest events of all addresses.
pub(super) struct History {
    events: VecDeque<Event>,
    now: Instant,
}

/// Something that happened to an address.
pub(super) struct Event {
    pub(super) at: Instant,
    pub(super) vni: Vni,
    pub(super) mac: MacAddr,
    pub(super) what: What,
}

/// What happened, and where; places are kept as people call them, because ports and nodes go.
pub(super) struct What {
    pub(super) event: FdbEvent,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) mob_seq: Option<u32>,
}

impl From<FdbEvent> for What {
    fn from(event: FdbEvent) -> Self {
        Self { event, from: None, to: None, mob_seq: None }
    }
}

impl History {
    pub(super) fn new(now: Instant) -> Self {
        Self { events: VecDeque::new(), now }
    }

    /// What is noted from now on happened at this time; it never runs backwards.
    pub(super) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    pub(super) fn note(&mut self, vni: Vni, mac: MacAddr, what: What) {
        if self.events.len() >= CAPACITY {
            self.events.pop_front();
        }
        self.events.push_back(Event { at: self.now, vni, mac, what });
    }

    /// What happened to an address, in one network or in all, oldest first.
    pub(super) fn of(&self, mac: MacAddr, vni: Option<Vni>) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |e| e.mac == mac && vni.is_none_or(|vni| e.vni == vni))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_event_makes_way_whoever_it_is_about() {
        let start = crate::clock::now();
        let mut history = History::new(start);
        let vni = Vni::new(100).unwrap();
        let mac = |n: usize| MacAddr::new([2, 0, 0, 0, (n >> 8) as u8, n as u8]);
        for n in 0..=CAPACITY {
            history.note(vni, mac(n), FdbEvent::Learned.into());
        }
        assert_eq!(history.events.len(), CAPACITY);
        assert_eq!((history.of(mac(0), None).count(), history.of(mac(1), None).count()), (0, 1));
        history.advance(start + Duration::from_secs(9));
        history.advance(start);
        history.note(vni, mac(2), FdbEvent::Aged.into());
        let ages: Vec<_> = history.of(mac(2), Some(vni)).map(|e| e.at - start).collect();
        assert_eq!(ages, [Duration::ZERO, Duration::from_secs(9)]);
        assert_eq!(history.of(mac(2), Vni::new(7).ok()).count(), 0);
    }
}
