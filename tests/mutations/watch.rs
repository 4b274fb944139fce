//! Measures the memory and time of readers.

use crate::memory::{Taken, measure};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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
