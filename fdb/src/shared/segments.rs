//! Arrays that grow while others read them: nothing in them ever moves, and what was made stays.

use std::sync::OnceLock;

/// Elements that are made together, so that growing costs the same however much there is.
const SEGMENT: usize = 4096;

/// With 4,096 segments there is room for [`super::MAX_ENTRIES`] of anything; the list of them takes 64 KiB.
const SEGMENTS: usize = super::MAX_ENTRIES / SEGMENT;

/// Up to [`super::MAX_ENTRIES`] elements that change by themselves, such as atomics.
pub(super) struct Segments<T> {
    list: Box<[OnceLock<Box<[T; SEGMENT]>>; SEGMENTS]>,
}

impl<T: Default> Segments<T> {
    pub(super) fn new() -> Self {
        Self { list: Box::new([const { OnceLock::new() }; SEGMENTS]) }
    }

    /// Element `n`, if it was made.
    #[inline]
    pub(super) fn get(&self, n: u32) -> Option<&T> {
        let n = n as usize;
        self.list.get(n / SEGMENT)?.get().map(|segment| &segment[n % SEGMENT])
    }

    /// Element `n`, made with those around it if it is not there yet; `None` beyond the end.
    pub(super) fn make(&self, n: u32) -> Option<&T> {
        let n = n as usize;
        let segment = self.list.get(n / SEGMENT)?.get_or_init(|| {
            let elements: Vec<T> = (0..SEGMENT).map(|_| T::default()).collect();
            elements.try_into().unwrap_or_else(|_| unreachable!("it has just as many"))
        });
        Some(&segment[n % SEGMENT])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_stay_where_they_are_and_end_at_the_limit() {
        let segments: Segments<u64> = Segments::new();
        assert!(segments.get(0).is_none());
        let first: *const u64 = segments.make(0).unwrap();
        let last = super::super::MAX_ENTRIES as u32 - 1;
        assert!(segments.make(last).is_some() && segments.make(last + 1).is_none());
        assert!(std::ptr::eq(first, segments.get(0).unwrap()));
        assert!(segments.get(SEGMENT as u32).is_none() && segments.get(last - 1).is_some());
    }
}
