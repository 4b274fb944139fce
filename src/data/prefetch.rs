//! Produces items in order on several threads, a bounded number ahead of their use.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::{Error, Result};

/// An ordered iterator whose items are made ahead of time by worker threads.
///
/// Item `i` is `make(i, spare)`, where `spare` is an earlier item returned with [`recycle`](Self::recycle). At most `depth`
/// items are in progress or waiting at any time, however slow one of them is. Dropping the iterator waits only for items in
/// progress.
///
/// ```
/// use striate::data::Prefetch;
/// let squares = Prefetch::new(0..10, 3, 4, |i, _spare| i * i)?;
/// assert_eq!(squares.sum::<usize>(), 285);
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Panics
///
/// `next` propagates a panic of `make`; the iterator is exhausted afterwards.
#[derive(Debug)]
pub struct Prefetch<T> {
    next: usize,
    requested: usize,
    end: usize,
    depth: usize,
    /// `None` only while this is dropped.
    jobs: Option<Sender<Job<T>>>,
    results: Receiver<(usize, thread::Result<T>)>,
    /// Items that were finished before their turn.
    early: BTreeMap<usize, T>,
    spares: Vec<T>,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

struct Job<T> {
    index: usize,
    spare: Option<T>,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Starts making the items of `range` on up to `threads` threads.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `threads` or `depth` is 0, or a thread cannot be started.
    pub fn new(
        range: Range<usize>,
        threads: usize,
        depth: usize,
        make: impl Fn(usize, Option<T>) -> T + Send + Sync + 'static,
    ) -> Result<Self> {
        for (name, number) in [("threads", threads), ("prefetch", depth)] {
            if number == 0 {
                return Err(Error::argument(name, "must be at least 1, got 0"));
            }
        }
        let (jobs, queue) = channel();
        let (sender, results) = channel();
        let mut prefetch = Self {
            next: range.start,
            requested: range.start,
            end: range.end.max(range.start),
            depth,
            jobs: Some(jobs),
            results,
            early: BTreeMap::new(),
            spares: Vec::new(),
            stop: Arc::default(),
            workers: Vec::new(),
        };
        let worker = Worker { queue: Mutex::new(queue), stop: prefetch.stop.clone(), make };
        let worker = Arc::new(worker);
        for _ in 0..threads.min(depth).min(range.len()) {
            let (worker, sender) = (worker.clone(), sender.clone());
            let thread =
                thread::Builder::new().name("striate loader".to_owned()).spawn(move || worker.run(&sender));
            let refused = |error| {
                Error::argument("threads", format!("cannot start {threads} threads ({error}); use fewer"))
            };
            prefetch.workers.push(thread.map_err(refused)?);
        }
        (0..depth.min(range.len())).for_each(|_| prefetch.request());
        Ok(prefetch)
    }

    /// Returns an item whose memory can be reused.
    pub fn recycle(&mut self, item: T) {
        if self.spares.len() < self.depth {
            self.spares.push(item);
        }
    }

    fn request(&mut self) {
        if self.requested == self.end {
            return;
        }
        let job = Job { index: self.requested, spare: self.spares.pop() };
        if let Some(jobs) = &self.jobs {
            // Fails only if all workers are gone, which the next `receive` reports.
            let _ = jobs.send(job);
        }
        self.requested += 1;
    }

    /// Waits for another item.
    fn receive(&mut self) {
        match self.results.recv() {
            Ok((index, Ok(item))) => drop(self.early.insert(index, item)),
            Ok((_, Err(panic))) => {
                self.end = self.next;
                self.stop.store(true, Ordering::Relaxed);
                resume_unwind(panic)
            }
            Err(_) => unreachable!("workers outlive their queue, and catch every panic"),
        }
    }
}

impl<T: Send + 'static> Iterator for Prefetch<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if self.next == self.end {
            return None;
        }
        let item = loop {
            if let Some(item) = self.early.remove(&self.next) {
                break item;
            }
            self.receive();
        };
        self.next += 1;
        self.request();
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end - self.next;
        (left, Some(left))
    }
}

impl<T: Send + 'static> ExactSizeIterator for Prefetch<T> {}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.jobs = None;
        for worker in self.workers.drain(..) {
            // Workers catch panics of `make`, and `next` propagated them.
            let _ = worker.join();
        }
    }
}

/// Shared by all worker threads.
struct Worker<T, F> {
    queue: Mutex<Receiver<Job<T>>>,
    stop: Arc<AtomicBool>,
    make: F,
}

impl<T, F: Fn(usize, Option<T>) -> T> Worker<T, F> {
    fn run(&self, results: &Sender<(usize, thread::Result<T>)>) {
        while let Some(Job { index, spare }) = self.job() {
            let made = catch_unwind(AssertUnwindSafe(|| (self.make)(index, spare)));
            if results.send((index, made)).is_err() {
                return;
            }
        }
    }

    fn job(&self) -> Option<Job<T>> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let job = queue.recv().ok();
        job.filter(|_| !self.stop.load(Ordering::Relaxed))
    }
}
