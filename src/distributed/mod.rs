//! Ranks: processes that train one network together, each on its own device with its own part of every batch.
//!
//! Ranks are numbered from 0. All of them make the same calls in the same order, as in MPI.

#[cfg(feature = "mpi")]
mod mpi;
mod sum;

#[cfg(feature = "mpi")]
pub use mpi::join;

use crate::{Error, Result};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Moves bytes between ranks. All methods wait for the other ranks.
pub trait Transport {
    /// The number of this rank.
    fn rank(&self) -> usize;

    /// The number of ranks.
    fn ranks(&self) -> usize;

    /// Sends the i-th of equal parts of `send` to rank i; `receive` becomes the parts for this rank, in the order of the ranks.
    ///
    /// # Errors
    ///
    /// [`Error::Rank`] if another rank ended or does not answer in time.
    fn all_to_all(&mut self, send: &[u8], receive: &mut [u8]) -> Result<()>;

    /// `receive` becomes what every rank sends, in the order of the ranks.
    ///
    /// # Errors
    ///
    /// As for [`all_to_all`](Self::all_to_all).
    fn all_gather(&mut self, send: &[u8], receive: &mut [u8]) -> Result<()>;

    /// `bytes` become those of rank 0. They have the same length on every rank.
    ///
    /// # Errors
    ///
    /// As for [`all_to_all`](Self::all_to_all).
    fn broadcast(&mut self, bytes: &mut [u8]) -> Result<()>;

    /// Ends the processes of all ranks, as far as the transport can.
    fn abort(&mut self, code: i32);
}

/// The ranks of a job, as one of them sees them. Cheap to clone.
///
/// A thread of its own does all communication, so that sums are computed while the device continues. It runs one job after
/// another.
#[derive(Clone)]
pub struct Ranks {
    rank: usize,
    ranks: usize,
    shared: Arc<Shared>,
}

struct Shared {
    /// `None` once the thread is to end.
    jobs: Mutex<Option<Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    stop: Arc<AtomicBool>,
    traffic: Mutex<Traffic>,
}

type Job = Box<dyn FnOnce(&mut dyn Transport) + Send>;

/// How much ranks have exchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Bytes of gradients and statistics that this rank added to sums.
    pub bytes: u64,
    /// Number of sums.
    pub sums: usize,
    /// Time during which sums were computed, which includes waiting for other ranks.
    pub busy: Duration,
    /// The part of that time in which this rank had nothing else to do.
    pub waited: Duration,
}

impl Traffic {
    /// The fraction of the time of sums during which the device continued, from 0 to 1.
    pub fn hidden(&self) -> f64 {
        let busy = self.busy.as_secs_f64();
        if busy > 0.0 { (1.0 - self.waited.as_secs_f64() / busy).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// A result that the thread is computing.
struct Ticket<T> {
    answer: Receiver<Result<T>>,
}

impl<T> Ticket<T> {
    /// Waits for the result.
    pub fn wait(self) -> Result<T> {
        self.answer.recv().unwrap_or_else(|_| Err(ended()))
    }
}

/// A sum that the thread is computing.
pub(crate) struct PendingSum {
    ticket: Ticket<Vec<f32>>,
    shared: Arc<Shared>,
}

impl PendingSum {
    /// Waits for the sum.
    pub fn wait(self) -> Result<Vec<f32>> {
        let start = Instant::now();
        let sum = self.ticket.wait();
        self.shared.traffic().waited += start.elapsed();
        sum
    }
}

fn ended() -> Error {
    Error::Rank("the communication with the other ranks has ended; start the job again".to_owned())
}

impl Shared {
    fn traffic(&self) -> std::sync::MutexGuard<'_, Traffic> {
        self.traffic.lock().expect("no code panics while it holds these numbers")
    }
}

impl Ranks {
    /// Connects to the other ranks: `connect` is called on the thread that communicates. It gets a flag that is set when this rank
    /// gives up; methods that wait then fail or end the job.
    ///
    /// # Errors
    ///
    /// Those of `connect`.
    pub fn new<T: Transport>(
        connect: impl FnOnce(Arc<AtomicBool>) -> Result<T> + Send + 'static,
    ) -> Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let (opened, connected) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let thread = std::thread::spawn(move || match connect(flag) {
            Err(error) => drop(opened.send(Err(error))),
            Ok(mut transport) => {
                let _ = opened.send(Ok((transport.rank(), transport.ranks())));
                queue.into_iter().for_each(|job| job(&mut transport));
            }
        });
        let (rank, ranks) = connected.recv().unwrap_or_else(|_| Err(ended()))?;
        let shared = Shared {
            jobs: Mutex::new(Some(jobs)),
            thread: Mutex::new(Some(thread)),
            stop,
            traffic: Mutex::default(),
        };
        Ok(Self { rank, ranks, shared: Arc::new(shared) })
    }

    /// A single rank, which exchanges with nobody.
    pub fn alone() -> Self {
        Self::new(|_| Ok(Alone)).expect("it connects to nobody")
    }

    /// The number of this rank.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The number of ranks.
    pub fn ranks(&self) -> usize {
        self.ranks
    }

    /// Whether this is rank 0, which reads and writes files for all.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// What has been exchanged so far.
    pub fn traffic(&self) -> Traffic {
        *self.shared.traffic()
    }

    fn start<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Transport) -> Result<R> + Send + 'static,
    ) -> Ticket<R> {
        let (sender, answer) = channel();
        let job: Job = Box::new(move |transport| drop(sender.send(job(transport))));
        if let Some(jobs) = &*self.shared.jobs.lock().expect("no code panics while it holds the queue") {
            // If the thread has ended, waiting for the answer fails.
            let _ = jobs.send(job);
        }
        Ticket { answer }
    }

    /// Starts to add up values element by element, in the order of the ranks, so that every rank gets the same bits each time.
    pub(crate) fn start_sum(&self, values: Vec<f32>) -> PendingSum {
        let shared = self.shared.clone();
        let ticket = self.start(move |transport| {
            let start = Instant::now();
            let bytes = 4 * values.len() as u64;
            let sum = sum::sum(transport, values)?;
            let mut traffic = shared.traffic();
            traffic.bytes += bytes;
            traffic.sums += 1;
            traffic.busy += start.elapsed();
            Ok(sum)
        });
        PendingSum { ticket, shared: self.shared.clone() }
    }

    /// What every rank passes, in the order of the ranks. All pass equally many bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Rank`] if another rank ended or does not answer.
    pub fn gather(&self, own: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        let (len, ranks) = (own.len(), self.ranks);
        let all = self.start(move |transport| {
            let mut all = vec![0; len * ranks];
            transport.all_gather(&own, &mut all)?;
            Ok(all)
        });
        let all = all.wait()?;
        Ok((0..ranks).map(|rank| all[rank * len..(rank + 1) * len].to_vec()).collect())
    }

    /// The bytes that rank 0 passes; those of other ranks are ignored.
    ///
    /// # Errors
    ///
    /// As for [`gather`](Self::gather).
    pub fn broadcast(&self, own: Vec<u8>) -> Result<Vec<u8>> {
        let broadcast = self.start(move |transport| {
            let mut len = (own.len() as u64).to_le_bytes();
            transport.broadcast(&mut len)?;
            let mut bytes = own;
            bytes.resize(u64::from_le_bytes(len) as usize, 0);
            // MPI counts in 32 bits.
            bytes.chunks_mut(1 << 30).try_for_each(|chunk| transport.broadcast(chunk))?;
            Ok(bytes)
        });
        broadcast.wait()
    }

    /// Whether any rank passes true.
    ///
    /// # Errors
    ///
    /// As for [`gather`](Self::gather).
    pub fn any(&self, own: bool) -> Result<bool> {
        Ok(self.gather(vec![own.into()])?.iter().any(|flag| *flag != [0]))
    }

    /// Fails on every rank, naming the first that differs, unless all pass the same bytes as rank 0.
    ///
    /// # Errors
    ///
    /// [`Error::Rank`] if they differ, and as for [`gather`](Self::gather).
    pub fn agree(&self, what: &str, own: &[u8]) -> Result<()> {
        let own = crc32fast::hash(own).to_le_bytes().to_vec();
        let all = self.gather(own)?;
        match all.iter().position(|other| *other != all[0]) {
            None => Ok(()),
            Some(rank) => Err(Error::Rank(format!(
                "{what} of rank {rank} differ from those of rank 0; use the same program, flags, images and kind of device everywhere"
            ))),
        }
    }

    /// Ends the processes of all ranks.
    pub fn abort(&self, code: i32) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let aborted = self.start(move |transport| {
            transport.abort(code);
            Ok(())
        });
        let _ = aborted.wait();
    }
}

/// The transport of a single rank.
struct Alone;

impl Transport for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn ranks(&self) -> usize {
        1
    }

    fn all_to_all(&mut self, send: &[u8], receive: &mut [u8]) -> Result<()> {
        receive.copy_from_slice(send);
        Ok(())
    }

    fn all_gather(&mut self, send: &[u8], receive: &mut [u8]) -> Result<()> {
        receive.copy_from_slice(send);
        Ok(())
    }

    fn broadcast(&mut self, _: &mut [u8]) -> Result<()> {
        Ok(())
    }

    fn abort(&mut self, _: i32) {}
}

impl Drop for Shared {
    /// Waits until the thread has disconnected.
    fn drop(&mut self) {
        *self.jobs.get_mut().expect("no code panics while it holds the queue") = None;
        let thread = self.thread.get_mut().expect("only dropping locks it").take();
        // The last handle may be dropped by a job.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}

/// The part of a range that belongs to a rank. Parts are contiguous, cover the range in the order of the ranks, and differ by at
/// most one in length.
///
/// ```
/// use striate::distributed::share;
/// assert_eq!([0, 1, 2].map(|rank| share(0..8, rank, 3)), [0..3, 3..6, 6..8]);
/// assert!(share(0..2, 2, 3).is_empty());
/// ```
pub fn share(range: Range<usize>, rank: usize, ranks: usize) -> Range<usize> {
    let (each, more) = (range.len() / ranks, range.len() % ranks);
    let start = |rank: usize| range.start + rank * each + rank.min(more);
    start(rank)..start(rank + 1)
}
