//! Ranks of an MPI job.

use super::{Ranks, Transport};
use crate::{Error, Result};
use mpi::Threading;
use mpi::environment::Universe;
use mpi::request::{Request, Scope, StaticScope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Ranks that wait for each other react at once for this long. After that, they leave the processor to others for short times.
const EAGER: Duration = Duration::from_millis(2);
/// How long ranks wait for the sign of life of a rank that does not answer.
const SIGN_OF_LIFE: Duration = Duration::from_secs(3);
/// Tag of signs of life.
const TAG: i32 = 1;

/// Joins the MPI job that this process was started in, for example by `mpirun -n 4`. Alone, it is the only rank of its own job.
///
/// If a rank does not take part in a sum for `timeout`, the others log which one, and the job ends.
///
/// # Errors
///
/// [`Error::Rank`] if this process has joined before.
pub fn join(timeout: Duration) -> Result<Ranks> {
    Ranks::new(move |stop| {
        // This thread makes all calls of MPI.
        let (universe, _) = mpi::initialize_with_threading(Threading::Funneled)
            .ok_or_else(|| Error::Rank("this process has already joined its MPI job; join once".into()))?;
        Ok(Mpi { world: universe.world(), stop, timeout, _universe: universe })
    })
}

struct Mpi {
    world: SimpleCommunicator,
    stop: Arc<AtomicBool>,
    timeout: Duration,
    /// Disconnects when it is dropped.
    _universe: Universe,
}

impl Mpi {
    /// Waits for a request. Ends the job if this takes longer than the timeout.
    fn complete<'a, D: ?Sized, S: Scope<'a>>(&self, mut request: Request<'a, D, S>) {
        let start = Instant::now();
        while let Err(pending) = request.test() {
            request = pending;
            if self.stop.load(Ordering::Relaxed) {
                self.world.abort(1);
            }
            if start.elapsed() > self.timeout {
                self.give_up();
            }
            match start.elapsed() < EAGER {
                true => thread::yield_now(),
                false => thread::sleep(Duration::from_micros(100)),
            }
        }
    }

    /// Logs which ranks do not answer, and ends the job. Ranks that wait like this one show that they are alive.
    fn give_up(&self) -> ! {
        let others = || (0..self.ranks()).filter(|rank| *rank != self.rank());
        let mut signs = vec![0u8; self.ranks()];
        mpi::request::scope(|scope| {
            let mut pending: Vec<_> = others()
                .zip(&mut signs)
                .map(|(rank, byte)| {
                    let process = self.world.process_at_rank(rank as i32);
                    // It is never waited for, since the job ends here.
                    std::mem::forget(process.immediate_send_with_tag(StaticScope, &0u8, TAG));
                    (rank, process.immediate_receive_into_with_tag(scope, byte, TAG))
                })
                .collect();
            let start = Instant::now();
            while !pending.is_empty() && start.elapsed() < SIGN_OF_LIFE {
                let test = pending.into_iter().map(|(rank, request)| (rank, request.test()));
                pending = test.filter_map(|(rank, tested)| Some((rank, tested.err()?))).collect();
                thread::sleep(Duration::from_millis(1));
            }
            self.report(&pending.iter().map(|(rank, _)| *rank).collect::<Vec<_>>());
            self.world.abort(1)
        })
    }

    /// Logs that ranks do not answer, on the first of the others.
    fn report(&self, silent: &[usize]) {
        let first = (0..self.ranks()).find(|rank| !silent.contains(rank));
        if first != Some(self.rank()) {
            // Until the first one has written its message.
            return thread::sleep(Duration::from_secs(1));
        }
        let names: Vec<String> = silent.iter().map(usize::to_string).collect();
        let who = match &names[..] {
            [] => "the network does".to_owned(),
            [name] => format!("rank {name} does"),
            names => format!("ranks {} do", names.join(", ")),
        };
        log::error!(
            "{who} not answer for {} s; the job ends here, and its last checkpoint stays: look for the reason in the output above, then resume (--rank-timeout sets the limit)",
            self.timeout.as_secs()
        );
    }
}

impl Transport for Mpi {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn ranks(&self) -> usize {
        self.world.size() as usize
    }

    fn all_to_all(&mut self, send: &[u8], receive: &mut [u8]) -> Result<()> {
        mpi::request::scope(|scope| {
            self.complete(self.world.immediate_all_to_all_into(scope, send, receive));
        });
        Ok(())
    }

    fn all_gather(&mut self, send: &[u8], receive: &mut [u8]) -> Result<()> {
        mpi::request::scope(|scope| {
            self.complete(self.world.immediate_all_gather_into(scope, send, receive));
        });
        Ok(())
    }

    fn broadcast(&mut self, bytes: &mut [u8]) -> Result<()> {
        let first = self.world.process_at_rank(0);
        mpi::request::scope(|scope| self.complete(first.immediate_broadcast_into(scope, bytes)));
        Ok(())
    }

    fn abort(&mut self, code: i32) {
        self.world.abort(code)
    }
}
