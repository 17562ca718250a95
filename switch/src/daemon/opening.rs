//! The way into a life of the daemon: addresses, sockets, identity. At the first start a refusal is the end. After the host's
//! address changed it is no more than a matter of time: the new one may go again, or may not be usable yet.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Host;
use super::gossip::Prepared;
use super::sockets::Sockets;
use crate::clock;
use crate::control::Carried;
use crate::log::say;

/// How soon what was refused is tried again, at first and at last.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What is open before anything starts.
pub(super) struct Opened {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) sockets: Sockets,
    pub(super) gossip: Option<Prepared>,
}

impl Host<'_> {
    /// Opens all that others hear of this node, on the addresses that it has now.
    pub(super) fn open(&mut self, carried: &Carried) -> Result<Opened> {
        let config = carried.config();
        let addresses = self.addresses.find(config)?;
        let sockets = Sockets::bind(config, &addresses, self.counters.len())?;
        let gossip = if carried.left() {
            None
        } else {
            // Last: it counts the starts of this node on the disk.
            Prepared::new(config, &addresses, carried.members())?
        };
        Ok(Opened { addresses, sockets, gossip })
    }

    /// The same, as often as it takes; `None` when the daemon is told to end meanwhile. Clients hear what it waits for.
    pub(super) async fn open_again(&mut self, carried: &Carried) -> Option<Opened> {
        let (since, mut retries) = (clock::now(), Retries::default());
        loop {
            let refusal = match self.open(carried) {
                Ok(opened) => return Some(opened),
                Err(refusal) => format!("{refusal:#}; it is tried again until it works"),
            };
            if retries.is_first() {
                say!(AddressWaits, "weft cannot use another underlay address yet: {refusal}");
            }
            let again = retries.next(clock::now());
            if !self.wait(again, |request, now| carried.answer(request, &refusal, since, now)).await {
                return None;
            }
        }
    }
}

/// When to try again: later each time.
#[derive(Default)]
struct Retries(Option<Duration>);

impl Retries {
    const fn is_first(&self) -> bool {
        self.0.is_none()
    }

    fn next(&mut self, now: Instant) -> Instant {
        let (first, most) = RETRY;
        let pause = self.0.map_or(first, |last| (last * 2).min(most));
        self.0 = Some(pause);
        now + pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_tried_again_soon_and_then_each_two_seconds() {
        let (now, mut retries) = (clock::now(), Retries::default());
        assert!(retries.is_first());
        let pauses: Vec<_> = (0..7).map(|_| (retries.next(now) - now).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 2000, 2000]);
        assert!(!retries.is_first());
    }
}
