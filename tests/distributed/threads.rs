//! Ranks as threads of this process.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Barrier, Mutex};
use striate::Result;
use striate::distributed::{Ranks, Transport};

struct Threads {
    rank: usize,
    /// What each rank sends.
    mail: Arc<Mutex<Vec<Vec<u8>>>>,
    barrier: Arc<Barrier>,
}

impl Threads {
    /// Calls `read` with what every rank sends.
    fn exchange(&self, send: &[u8], read: impl FnOnce(&[Vec<u8>])) -> Result<()> {
        self.mail.lock().unwrap()[self.rank] = send.to_vec();
        self.barrier.wait();
        read(&self.mail.lock().unwrap());
        self.barrier.wait();
        Ok(())
    }
}

impl Transport for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.mail.lock().unwrap().len()
    }

    fn all_to_all(&mut self, send: &[u8], receive: &mut [u8]) -> Result<()> {
        let part = send.len() / self.ranks();
        let at = self.rank * part;
        self.exchange(send, |mail| {
            for (to, from) in receive.chunks_exact_mut(part).zip(mail) {
                to.copy_from_slice(&from[at..at + part]);
            }
        })
    }

    fn all_gather(&mut self, send: &[u8], receive: &mut [u8]) -> Result<()> {
        self.exchange(send, |mail| receive.copy_from_slice(&mail.concat()))
    }

    fn broadcast(&mut self, bytes: &mut [u8]) -> Result<()> {
        let send = if self.rank == 0 { bytes.to_vec() } else { Vec::new() };
        self.exchange(&send, |mail| bytes.copy_from_slice(&mail[0]))
    }

    fn abort(&mut self, _: i32) {}
}

/// Runs `work` on each of `ranks` threads, and returns the results in the order of the ranks.
pub fn on_ranks<R: Send>(ranks: usize, work: impl Fn(Ranks) -> R + Sync) -> Vec<R> {
    let mail = Arc::new(Mutex::new(vec![Vec::new(); ranks]));
    let barrier = Arc::new(Barrier::new(ranks));
    let connect = |rank| {
        let (mail, barrier) = (mail.clone(), barrier.clone());
        let transport = move |_: Arc<AtomicBool>| Ok(Threads { rank, mail, barrier });
        Ranks::new(transport).unwrap()
    };
    let work = &work;
    std::thread::scope(|scope| {
        let start = |rank| {
            let ranks = connect(rank);
            scope.spawn(move || {
                // The other ranks would wait for ever.
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(ranks)));
                result.unwrap_or_else(|_| std::process::exit(101))
            })
        };
        let threads: Vec<_> = (0..ranks).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}
