//! Which counters of a sender were seen: the latest and the [`WINDOW`] up to it, one bit each (the way of
//! [RFC 6479](https://www.rfc-editor.org/rfc/rfc6479)).

use super::refusal::Refusal;

/// How far behind the latest counter a datagram may be; it is the first that is too old.
pub const WINDOW: u64 = 1_024;

const WORDS: usize = (WINDOW / 64) as usize;

/// What was seen of one sender.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    /// The latest counter; `None` = nothing was seen.
    latest: Option<u64>,
    /// The bit of a counter is at its remainder by [`WINDOW`].
    seen: [u64; WORDS],
}

impl Window {
    /// Whether a counter may still come.
    pub(super) fn check(&self, counter: u64) -> Result<(), Refusal> {
        match self.latest {
            Some(latest) if counter <= latest && latest - counter >= WINDOW => Err(Refusal::TooOld),
            Some(latest) if counter <= latest && self.has(counter) => Err(Refusal::Replay),
            _ => Ok(()),
        }
    }

    /// Remembers a counter that was [checked](Self::check) and whose datagram is genuine.
    pub(super) fn mark(&mut self, counter: u64) {
        match self.latest {
            Some(latest) if counter <= latest => {}
            Some(latest) if counter - latest < WINDOW => {
                (latest + 1..counter).for_each(|skipped| self.set(skipped, false));
                self.latest = Some(counter);
            }
            _ => {
                self.seen = [0; WORDS];
                self.latest = Some(counter);
            }
        }
        self.set(counter, true);
    }

    fn has(&self, counter: u64) -> bool {
        let (word, bit) = Self::place(counter);
        self.seen[word] & bit != 0
    }

    fn set(&mut self, counter: u64, seen: bool) {
        let (word, bit) = Self::place(counter);
        self.seen[word] = if seen { self.seen[word] | bit } else { self.seen[word] & !bit };
    }

    fn place(counter: u64) -> (usize, u64) {
        let place = counter % WINDOW;
        ((place / 64) as usize, 1 << (place % 64))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn after(counters: &[u64]) -> Window {
        let mut window = Window::default();
        counters.iter().for_each(|counter| window.mark(*counter));
        window
    }

    #[test]
    fn the_edges_of_the_window_are_where_they_should_be() {
        let window = after(&[5_000]);
        assert_eq!(window.check(5_000), Err(Refusal::Replay));
        assert_eq!(window.check(5_000 - WINDOW + 1), Ok(()));
        assert_eq!(window.check(5_000 - WINDOW), Err(Refusal::TooOld));
        assert_eq!(window.check(u64::MAX), Ok(()));
    }

    #[test]
    fn nothing_comes_after_the_last_counter() {
        let window = after(&[u64::MAX]);
        assert_eq!(window.check(0), Err(Refusal::TooOld));
        assert_eq!(window.check(u64::MAX), Err(Refusal::Replay));
        assert_eq!(window.check(u64::MAX - 1), Ok(()));
    }

    proptest! {
        #[test]
        fn it_says_what_a_naive_set_says(steps in proptest::collection::vec(0_u64..3_000, 1..600), base in any::<u32>()) {
            let (mut window, mut seen) = (Window::default(), BTreeSet::new());
            for (place, step) in steps.into_iter().enumerate() {
                let counter = u64::from(base) + place as u64 * 7 + step;
                let latest = seen.last().copied().unwrap_or(counter);
                let expected = match counter {
                    _ if counter + WINDOW <= latest => Err(Refusal::TooOld),
                    _ if seen.contains(&counter) => Err(Refusal::Replay),
                    _ => Ok(()),
                };
                prop_assert_eq!(window.check(counter), expected);
                if expected.is_ok() {
                    window.mark(counter);
                    seen.insert(counter);
                }
            }
        }
    }
}
