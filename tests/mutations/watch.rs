//! Measures the memory and time of readers.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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

/// Reading files of this size only takes this long in an endless loop.
const HANG: Duration = Duration::from_secs(60);

/// Detects hangs and measures memory over a series of inputs.
pub struct Watch {
    name: String,
    /// Index of the input being read.
    current: Arc<AtomicU64>,
}

/// Stands for no input being read.
const NONE: u64 = u64::MAX;

impl Watch {
    pub fn new(name: &str) -> Self {
        let watch = Self { name: name.to_owned(), current: Arc::new(AtomicU64::new(NONE)) };
        let (name, current) = (watch.name.clone(), Arc::downgrade(&watch.current));
        std::thread::spawn(move || {
            let mut before = NONE;
            // Ends when the watch is dropped.
            while let Some(current) = current.upgrade().map(|current| current.load(Ordering::Relaxed)) {
                if current != NONE && current == before {
                    eprintln!("{name}: input {current} hangs");
                    std::process::abort();
                }
                before = current;
                std::thread::sleep(HANG);
            }
        });
        watch
    }

    /// Reads one input. Fails with its number on a panic, a peak above `limit` bytes, or a total above sixteen times that.
    pub fn run<T>(&self, number: u64, limit: usize, read: impl FnOnce() -> T) -> T {
        self.current.store(number, Ordering::Relaxed);
        let (read, taken) = measure(|| catch_unwind(AssertUnwindSafe(read)));
        self.current.store(NONE, Ordering::Relaxed);
        let read = read.unwrap_or_else(|panic| {
            eprintln!("{}: input {number} panics", self.name);
            resume_unwind(panic)
        });
        let (name, Taken { peak, all }) = (&self.name, taken);
        assert!(peak <= limit, "{name}: input {number} takes {peak} bytes at peak, {limit} are allowed");
        assert!(all <= 16 * limit, "{name}: input {number} allocates {all} bytes in total, too many");
        read
    }
}
