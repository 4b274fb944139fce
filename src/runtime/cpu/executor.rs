//! Executes plans on the CPU: one twin call per launch.

use super::twins::{Twin, twin};
use super::{Io, disjoint};
use crate::Result;
use crate::distributed::{PendingSum, Ranks};
use crate::plan::{Exchange, Layout, NamedValue, Plan, StorageId};
use crate::runtime::executor::{Answer, Executor};
use crate::runtime::memory;
use crate::runtime::timing::{HostClock, Profile};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::Range;
use std::time::Instant;

/// Plans and their memory on the CPU.
pub(crate) struct CpuExecutor {
    /// Every buffer, as words.
    memory: Vec<Vec<u32>>,
    /// Buffer and first word of each persistent value, by name.
    persistent: HashMap<String, (usize, usize)>,
    programs: Vec<Program>,
    answers: VecDeque<Answer>,
    ranks: Option<Ranks>,
    /// Origin of the host's times.
    zero: Instant,
}

struct Program {
    plan: Plan,
    /// Buffer and range of words of each storage; empty for unused ones.
    regions: Vec<(usize, Range<usize>)>,
    /// The twin of each launch.
    twins: Vec<Twin>,
}

impl CpuExecutor {
    /// With `reference`, every kernel runs as its plain twin, else as its fast one if there is one.
    pub fn new(plans: &[Plan], layout: Layout, reference: bool, ranks: Option<Ranks>) -> Result<Self> {
        let buffers = layout.buffers.iter().map(|(label, bytes)| memory::zeros(bytes.div_ceil(4), label));
        let memory = buffers.collect::<Result<_>>()?;
        let persistent = layout.persistent.into_iter();
        let persistent = persistent.map(|(name, (buffer, at))| (name, (buffer, at as usize / 4))).collect();
        let programs = plans.iter().zip(&layout.storages).map(|(plan, spots)| {
            let regions = plan.storages.iter().zip(spots).map(|(storage, spot)| match spot {
                Some((buffer, start)) => {
                    (*buffer, *start as usize / 4..(*start + storage.bytes) as usize / 4)
                }
                None => (0, 0..0),
            });
            let twins = plan.launches.iter().map(|launch| twin(launch.kernel, reference)).collect();
            Program { regions: regions.collect(), plan: plan.clone(), twins }
        });
        let (programs, answers, zero) = (programs.collect(), VecDeque::new(), Instant::now());
        Ok(Self { memory, persistent, programs, answers, ranks, zero })
    }

    fn words(&mut self, program: usize, storage: StorageId) -> &mut [u32] {
        let (buffer, words) = self.programs[program].regions[storage.index()].clone();
        &mut self.memory[buffer][words]
    }

    fn run(&mut self, program: usize, launches: Range<usize>) {
        let (memory, program) = (&mut self.memory, &self.programs[program]);
        // On a worker thread, small launches run in place instead of waking another thread.
        rayon::scope(|_| {
            for launch in launches {
                program.run(launch, memory);
            }
        });
    }

    /// Runs all launches of a plan. Sums over ranks are computed while launches that do not need them run.
    fn run_exchanging(&mut self, program: usize) -> Result<()> {
        let Plan { launches, exchanges, .. } = &self.programs[program].plan;
        let ends = exchanges.iter().flat_map(|exchange| [exchange.start, exchange.end]);
        let stops: BTreeSet<usize> = ends.chain([launches.len()]).collect();
        let exchanges = exchanges.clone();
        let mut sums: Vec<Option<PendingSum>> = exchanges.iter().map(|_| None).collect();
        let mut done = 0;
        for stop in stops {
            self.run(program, done..stop);
            done = stop;
            for (exchange, sum) in exchanges.iter().zip(&mut sums).filter(|(e, _)| e.start == stop) {
                *sum = Some(self.start_sum(program, exchange));
            }
            for (exchange, sum) in exchanges.iter().zip(&mut sums).filter(|(e, _)| e.end == stop) {
                let sum = sum.take().expect("an exchange starts before it ends");
                self.store(program, exchange, &sum.wait()?);
            }
        }
        Ok(())
    }

    fn start_sum(&mut self, program: usize, exchange: &Exchange) -> PendingSum {
        let mut values = Vec::new();
        for storage in &exchange.storages {
            values.extend_from_slice(bytemuck::cast_slice(self.words(program, *storage)));
        }
        self.ranks.as_ref().expect("the session checked that there are ranks").start_sum(values)
    }

    fn store(&mut self, program: usize, exchange: &Exchange, sums: &[f32]) {
        let mut rest: &[u32] = bytemuck::cast_slice(sums);
        for storage in &exchange.storages {
            let words = self.words(program, *storage);
            let own;
            (own, rest) = rest.split_at(words.len());
            words.copy_from_slice(own);
        }
    }

    fn unload(&mut self, program: usize) {
        let Program { plan, regions, .. } = &self.programs[program];
        let output = |value: &NamedValue| {
            let (buffer, words) = &regions[value.storage.index()];
            self.memory[*buffer][words.clone()].to_vec()
        };
        self.answers.push_back(Answer { program, words: plan.outputs.iter().map(output).collect() });
    }
}

impl Program {
    fn run(&self, number: usize, memory: &mut [Vec<u32>]) {
        let launch = &self.plan.launches[number];
        let region = |s: &StorageId| self.regions[s.index()].clone();
        // Takes the written buffers out of `memory`, so that the others can be borrowed for reading. A plan never binds a
        // buffer for both.
        let mut written: Vec<(usize, Vec<u32>)> = Vec::new();
        for (buffer, _) in launch.writes.iter().map(region) {
            if written.iter().all(|(taken, _)| *taken != buffer) {
                written.push((buffer, std::mem::take(&mut memory[buffer])));
            }
        }
        let read = |s: &StorageId| {
            let (buffer, words) = region(s);
            &memory[buffer][words]
        };
        let reads = launch.reads.iter().map(read).collect();
        let writes = parts(&mut written, &launch.writes.iter().map(region).collect::<Vec<_>>());
        self.twins[number](&launch.params, Io { reads, writes });
        for (buffer, words) in written {
            memory[buffer] = words;
        }
    }
}

/// Mutable slices of regions, in the given order.
fn parts<'a>(buffers: &'a mut [(usize, Vec<u32>)], regions: &[(usize, Range<usize>)]) -> Vec<&'a mut [u32]> {
    let mut parts: Vec<(usize, &mut [u32])> = Vec::new();
    for (buffer, words) in buffers {
        let own = regions.iter().enumerate().filter(|(_, (other, _))| other == buffer);
        let (indices, ranges): (Vec<usize>, Vec<_>) = own.map(|(i, (_, words))| (i, words.clone())).unzip();
        let slices = disjoint(words, ranges).expect("the outputs of a launch do not overlap");
        parts.extend(indices.into_iter().zip(slices));
    }
    parts.sort_by_key(|(i, _)| *i);
    parts.into_iter().map(|(_, part)| part).collect()
}

impl Executor for CpuExecutor {
    fn write(&mut self, name: &str, words: &[u32]) -> Result<()> {
        let (buffer, start) = self.persistent[name];
        self.memory[buffer][start..start + words.len()].copy_from_slice(words);
        Ok(())
    }

    fn read(&mut self, name: &str, words: usize) -> Result<Vec<u32>> {
        let (buffer, start) = self.persistent[name];
        Ok(self.memory[buffer][start..start + words].to_vec())
    }

    fn submit(&mut self, program: usize, inputs: &[&[u8]]) -> Result<()> {
        self.load(program, inputs)?;
        self.run_exchanging(program)?;
        self.unload(program);
        Ok(())
    }

    fn answer(&mut self, _: bool) -> Result<Option<Answer>> {
        Ok(self.answers.pop_front())
    }

    fn profile(&mut self, program: usize, inputs: &[&[u8]], pieces: &[Range<usize>]) -> Result<Profile> {
        let mut host = HostClock::start(self.zero);
        self.load(program, inputs)?;
        host.done("load");
        let mut spans = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let start = host.now();
            self.run(program, piece.clone());
            spans.push([start, host.now()]);
        }
        host.done("run");
        Ok(host.profile(spans))
    }

    fn load(&mut self, program: usize, inputs: &[&[u8]]) -> Result<()> {
        let Program { plan, regions, .. } = &self.programs[program];
        for (input, bytes) in plan.inputs.iter().zip(inputs) {
            let (buffer, words) = &regions[input.storage.index()];
            bytemuck::cast_slice_mut(&mut self.memory[*buffer][words.clone()]).copy_from_slice(bytes);
        }
        Ok(())
    }

    fn run_launch(&mut self, program: usize, launch: usize) -> Result<()> {
        self.run(program, launch..launch + 1);
        Ok(())
    }

    fn read_storage(&mut self, program: usize, storage: StorageId) -> Result<Vec<u32>> {
        Ok(self.words(program, storage).to_vec())
    }

    fn write_storage(&mut self, program: usize, storage: StorageId, words: &[u32]) -> Result<()> {
        self.words(program, storage).copy_from_slice(words);
        Ok(())
    }
}
