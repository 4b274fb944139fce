//! Executes plans on the CPU, launch by launch, with each kernel's twin.

use crate::Result;
use crate::kernel::{Io, Kernel, Twin};
use crate::plan::{Launch, PersistentPort, Place, Plan, StorageId};
use crate::session::{Answer, Executor, shared_slots};
use crate::timing::{HostClock, Profile};
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::time::Instant;

/// Plans made ready on the CPU.
pub(crate) struct CpuExecutor {
    /// Every buffer, as words.
    memory: Vec<Vec<u32>>,
    persistent: HashMap<String, usize>,
    programs: Vec<Program>,
    answers: VecDeque<Answer>,
    reference: bool,
    /// The host's times count from here.
    zero: Instant,
}

struct Program {
    plan: Plan,
    /// By storage: index into the memory.
    buffers: Vec<usize>,
}

impl CpuExecutor {
    /// With `reference`, every kernel runs as its plain twin, written from the definition; else as its
    /// fast one where it has one.
    pub fn new(plans: &[Plan], persistent: &[PersistentPort], reference: bool) -> Self {
        let mut memory: Vec<Vec<u32>> =
            shared_slots(plans).iter().map(|bytes| vec![0; bytes.div_ceil(4) as usize]).collect();
        let mut allocate = |words: usize| {
            memory.push(vec![0; words]);
            memory.len() - 1
        };
        let persistent: HashMap<String, usize> =
            persistent.iter().map(|p| (p.port.name.clone(), allocate(p.port.ty.len()))).collect();
        let programs = plans
            .iter()
            .map(|plan| {
                let mut given: HashMap<StorageId, usize> =
                    plan.inputs.iter().map(|p| (p.storage, allocate(p.ty.len()))).collect();
                given.extend(plan.persistent.iter().map(|p| (p.port.storage, persistent[&p.port.name])));
                let buffers = plan.storages.iter().enumerate().map(|(i, storage)| match storage.place {
                    Place::Slot(slot) => slot,
                    _ => given[&StorageId(i as u32)],
                });
                Program { buffers: buffers.collect(), plan: plan.clone() }
            })
            .collect();
        let (answers, zero) = (VecDeque::new(), Instant::now());
        Self { memory, persistent, programs, answers, reference, zero }
    }

    fn load(&mut self, program: usize, inputs: &[&[u8]]) {
        let Program { plan, buffers } = &self.programs[program];
        for (port, bytes) in plan.inputs.iter().zip(inputs) {
            let memory: &mut [u8] = bytemuck::cast_slice_mut(&mut self.memory[buffers[port.storage.index()]]);
            memory.copy_from_slice(bytes);
        }
    }

    fn run(&mut self, program: usize, launches: Range<usize>) {
        let (memory, program) = (&mut self.memory, &self.programs[program]);
        let reference = self.reference;
        // From a worker thread, a small launch need not be handed to another thread and waited for.
        rayon::scope(|_| {
            for launch in &program.plan.launches[launches] {
                program.run(launch, memory, reference);
            }
        });
    }

    fn unload(&mut self, program: usize) {
        let Program { plan, buffers } = &self.programs[program];
        let words = plan
            .outputs
            .iter()
            .map(|port| self.memory[buffers[port.storage.index()]][..port.ty.len()].to_vec())
            .collect();
        self.answers.push_back(Answer { program, words });
    }
}

impl Program {
    fn run(&self, launch: &Launch, memory: &mut [Vec<u32>], reference: bool) {
        let index = |s: &StorageId| self.buffers[s.index()];
        let words = |s: &StorageId| self.plan.storages[s.index()].bytes as usize / 4;
        // Written buffers are taken out, so that the others can be read meanwhile. The plan never binds
        // a buffer twice if one of the bindings writes.
        let mut written: Vec<Vec<u32>> =
            launch.writes.iter().map(|s| std::mem::take(&mut memory[index(s)])).collect();
        let io = Io {
            reads: launch.reads.iter().map(|s| &memory[index(s)][..words(s)]).collect(),
            writes: written
                .iter_mut()
                .zip(&launch.writes)
                .map(|(buffer, s)| &mut buffer[..words(s)])
                .collect(),
        };
        twin(launch.kernel, reference)(&launch.params, io);
        for (buffer, s) in written.into_iter().zip(&launch.writes) {
            memory[index(s)] = buffer;
        }
    }
}

fn twin(kernel: &Kernel, reference: bool) -> Twin {
    match kernel.fast {
        Some(fast) if !reference => fast,
        _ => kernel.twin,
    }
}

impl Executor for CpuExecutor {
    fn write(&mut self, name: &str, words: &[u32]) -> Result<()> {
        self.memory[self.persistent[name]].copy_from_slice(words);
        Ok(())
    }

    fn read(&mut self, name: &str, _: usize) -> Result<Vec<u32>> {
        Ok(self.memory[self.persistent[name]].clone())
    }

    fn submit(&mut self, program: usize, inputs: &[&[u8]]) -> Result<()> {
        self.load(program, inputs);
        self.run(program, 0..self.programs[program].plan.launches.len());
        self.unload(program);
        Ok(())
    }

    fn answer(&mut self, _: bool) -> Result<Option<Answer>> {
        Ok(self.answers.pop_front())
    }

    fn profile(&mut self, program: usize, inputs: &[&[u8]], pieces: &[Range<usize>]) -> Result<Profile> {
        let mut host = HostClock::start(self.zero);
        self.load(program, inputs);
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
}
