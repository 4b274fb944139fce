//! Measures the memory that a reader takes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    static ALL: Cell<usize> = const { Cell::new(0) };
}

/// The system allocator, with counters per thread.
pub struct Counting;

fn add(bytes: usize) {
    ALL.set(ALL.get().wrapping_add(bytes));
    let now = NOW.get().wrapping_add(bytes);
    NOW.set(now);
    // The counter wraps when memory of another thread is freed: that is not a peak.
    if now < usize::MAX / 2 {
        PEAK.set(PEAK.get().max(now));
    }
}

// SAFETY: all calls are forwarded to the system allocator; the counters are plain thread-local integers.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller upholds the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller upholds the same contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.set(NOW.get().wrapping_sub(layout.size()));
        // SAFETY: the caller upholds the same contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Bytes of memory allocated.
pub struct Taken {
    /// Peak, relative to the start.
    pub peak: usize,
    /// Total of all allocations.
    pub all: usize,
}

/// Measures the memory of a call on this thread.
pub fn measure<T>(call: impl FnOnce() -> T) -> (T, Taken) {
    let (before, all) = (NOW.get(), ALL.get());
    PEAK.set(before);
    let result = call();
    (result, Taken { peak: PEAK.get().saturating_sub(before), all: ALL.get().wrapping_sub(all) })
}
