//! What found no room in a ring, by the point where it was seen: one thread counts, another one reads.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::record::Point;

/// Points that are told apart; what further ones lose counts as lost by the last of these.
const MAX_POINTS: usize = 64;

/// Wire frames that were lost, by point.
#[derive(Debug)]
pub(super) struct Losses([Slot; MAX_POINTS]);

#[derive(Debug, Default)]
struct Slot {
    point: OnceLock<Point>,
    frames: AtomicU64,
}

impl Default for Losses {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Slot::default()))
    }
}

impl Losses {
    /// Counts frames of a point. For one thread only.
    ///
    /// # Cost
    ///
    /// A look at each point that lost something before; no lock once this one did.
    pub(super) fn add(&self, point: Point, frames: u64) {
        let is_its = |slot: &&Slot| *slot.point.get_or_init(|| point) == point;
        let [.., last] = &self.0;
        self.0.iter().find(is_its).unwrap_or(last).frames.fetch_add(frames, Ordering::Relaxed);
    }

    /// The points that lost something, and how many frames so far.
    pub(super) fn each(&self) -> impl Iterator<Item = (Point, u64)> {
        let told = |slot: &Slot| Some((*slot.point.get()?, slot.frames.load(Ordering::Relaxed)));
        self.0.iter().map_while(told)
    }
}

#[cfg(test)]
mod tests {
    use encap::PortId;

    use super::*;

    #[test]
    fn each_point_has_its_own_count_and_too_many_share_the_last() {
        let losses = Losses::default();
        let port = |n: u32| Point::Port(PortId::new(n));
        for n in 0..70 {
            losses.add(port(n), 1);
            losses.add(port(n), 2);
        }
        losses.add(port(0), 10);
        let all: Vec<_> = losses.each().collect();
        assert_eq!((all.len(), all[0], all[1]), (64, (port(0), 13), (port(1), 3)));
        assert_eq!(all[63], (port(63), 3 * 7));
        assert_eq!(all.iter().map(|(_, frames)| frames).sum::<u64>(), 70 * 3 + 10);
    }
}
