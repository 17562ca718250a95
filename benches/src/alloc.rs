//! Counts allocations, to show that a frame costs none.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, which also counts; a bench makes it its global one.
///
/// # Examples
///
/// ```
/// use weft_benches::alloc::{Counting, during};
///
/// #[global_allocator]
/// static ALLOCATOR: Counting = Counting;
///
/// assert_eq!(during(|| drop(Box::new(7))), 1);
/// assert_eq!(during(|| ()), 0);
/// ```
#[derive(Debug)]
pub struct Counting;

// SAFETY: every call is handed on to the system's allocator as it came; counting allocates nothing, because the cell
// is initialised at compile time and needs no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from the system's allocator with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: `ptr` came from the system's allocator with this layout; the caller checked the new size.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

/// How often this thread allocated, or grew an allocation, during `work`; 0 unless [`Counting`] is the global
/// allocator.
pub fn during(work: impl FnOnce()) -> u64 {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}
