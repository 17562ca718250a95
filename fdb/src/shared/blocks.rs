//! Arrays that grow while others read them: nothing in them ever moves, and what was made stays.

use std::sync::OnceLock;

/// Elements that are made together, so that growing costs the same however much there is.
const BLOCK: usize = 4096;

/// With 4,096 blocks there is room for [`super::MAX_ENTRIES`] of anything; the list of them takes 64 KiB.
const BLOCKS: usize = super::MAX_ENTRIES / BLOCK;

/// Up to [`super::MAX_ENTRIES`] elements that change by themselves, such as atomics.
pub(super) struct Blocks<T> {
    list: Box<[OnceLock<Box<[T; BLOCK]>>; BLOCKS]>,
}

impl<T: Default> Blocks<T> {
    pub(super) fn new() -> Self {
        Self { list: Box::new([const { OnceLock::new() }; BLOCKS]) }
    }

    /// Element `n`, if it was made.
    #[inline]
    pub(super) fn get(&self, n: u32) -> Option<&T> {
        let n = n as usize;
        self.list.get(n / BLOCK)?.get().map(|block| &block[n % BLOCK])
    }

    /// Element `n`, made with those around it if it is not there yet; `None` beyond the end.
    pub(super) fn make(&self, n: u32) -> Option<&T> {
        let n = n as usize;
        let block = self.list.get(n / BLOCK)?.get_or_init(|| {
            let elements: Vec<T> = (0..BLOCK).map(|_| T::default()).collect();
            elements.try_into().unwrap_or_else(|_| unreachable!("it has just as many"))
        });
        Some(&block[n % BLOCK])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_stay_where_they_are_and_end_at_the_limit() {
        let blocks: Blocks<u64> = Blocks::new();
        assert!(blocks.get(0).is_none());
        let first: *const u64 = blocks.make(0).unwrap();
        let last = super::super::MAX_ENTRIES as u32 - 1;
        assert!(blocks.make(last).is_some() && blocks.make(last + 1).is_none());
        assert!(std::ptr::eq(first, blocks.get(0).unwrap()));
        assert!(blocks.get(BLOCK as u32).is_none() && blocks.get(last - 1).is_some());
    }
}
