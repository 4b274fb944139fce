//! What a reader does with memory and time.

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

/// The system's allocator, with an account of what each thread holds.
pub struct Counting;

fn add(bytes: usize) {
    ALL.set(ALL.get().wrapping_add(bytes));
    let now = NOW.get().wrapping_add(bytes);
    NOW.set(now);
    // What a thread frees for another makes its own account wrap: such small negative numbers are no peak.
    if now < usize::MAX / 2 {
        PEAK.set(PEAK.get().max(now));
    }
}

// SAFETY: all calls go to the system's allocator unchanged; the accounts are plain numbers of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.set(NOW.get().wrapping_sub(layout.size()));
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Bytes of memory that were taken.
pub struct Taken {
    /// At once, on top of what was held before.
    pub peak: usize,
    /// One after the other: what is copied again and again is counted each time.
    pub all: usize,
}

/// What a call takes on its own thread.
pub fn measure<T>(call: impl FnOnce() -> T) -> (T, Taken) {
    let (before, all) = (NOW.get(), ALL.get());
    PEAK.set(before);
    let result = call();
    (result, Taken { peak: PEAK.get().saturating_sub(before), all: ALL.get().wrapping_sub(all) })
}

/// Nothing takes as long on files of this size: what does is caught in a loop.
const HANG: Duration = Duration::from_secs(60);

/// Watches a series of inputs.
pub struct Watch {
    name: String,
    /// The number of the input being read.
    current: Arc<AtomicU64>,
}

/// No input is being read.
const NONE: u64 = u64::MAX;

impl Watch {
    pub fn new(name: &str) -> Self {
        let watch = Self { name: name.to_owned(), current: Arc::new(AtomicU64::new(NONE)) };
        let (name, current) = (watch.name.clone(), Arc::downgrade(&watch.current));
        std::thread::spawn(move || {
            let mut before = NONE;
            // It ends with the watch.
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

    /// Reads one input; a panic, or more than `limit` bytes of memory at once, or sixteen times as many in all, fails with
    /// its number.
    pub fn run<T>(&self, number: u64, limit: usize, read: impl FnOnce() -> T) -> T {
        self.current.store(number, Ordering::Relaxed);
        let (read, taken) = measure(|| catch_unwind(AssertUnwindSafe(read)));
        self.current.store(NONE, Ordering::Relaxed);
        let read = read.unwrap_or_else(|panic| {
            eprintln!("{}: input {number} panics", self.name);
            resume_unwind(panic)
        });
        let (name, Taken { peak, all }) = (&self.name, taken);
        assert!(peak <= limit, "{name}: input {number} takes {peak} bytes of memory, {limit} are allowed");
        assert!(all <= 16 * limit, "{name}: input {number} takes {all} bytes one after the other, too many");
        read
    }
}
