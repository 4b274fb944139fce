//! Lowering of one node to launches. Values larger than a binding are one buffer; a launch binds a range of it.

use super::algorithm::slice_sum;
use super::target::ALIGNMENT_ELEMENTS;
use super::{Launch, Placement, Storage, Target, locate};
use crate::graph::{Graph, Node, ValueId};
use crate::kernel::{self, Elementwise, Grid, Kernel, Params, SliceSum, StorageId};
use crate::op::{Lowering, to_u32};
use crate::{Error, Result};
use std::collections::HashMap;
use std::ops::Range;

/// The storages and launches of all nodes so far.
#[derive(Default)]
pub(super) struct Lowered {
    pub storages: Vec<Storage>,
    pub launches: Vec<Launch>,
    /// By value. Nodes are in topological order, so the inputs of a node already have storages.
    pub storage_of: HashMap<ValueId, StorageId>,
    /// Ranges by storage, offset and size in bytes.
    ranges: HashMap<(StorageId, u64, u64), StorageId>,
}

impl Lowered {
    /// Numbers of storages and launches, for [`reset`](Self::reset).
    pub fn mark(&self) -> [usize; 2] {
        [self.storages.len(), self.launches.len()]
    }

    /// Removes everything that was added since a mark.
    pub fn reset(&mut self, [storages, launches]: [usize; 2]) {
        self.storages.truncate(storages);
        self.launches.truncate(launches);
        self.ranges.retain(|_, range| range.index() < storages);
    }

    pub fn add_storage(&mut self, label: String, bytes: u64, placement: Placement) -> StorageId {
        self.storages.push(Storage { label, bytes, placement });
        StorageId(to_u32(self.storages.len() - 1))
    }
}

/// The [`Lowering`] of one node.
pub(crate) struct NodeLowering<'a, 'b> {
    pub(super) lowered: &'b mut Lowered,
    pub(super) graph: &'a Graph,
    pub(super) node: &'a Node,
    pub(super) target: &'a Target,
}

impl<'a> NodeLowering<'a, '_> {
    /// Limits and preferences. For a node with a tuned kernel, that kernel is requested.
    pub fn target(&self) -> &'a Target {
        self.target
    }

    /// Emits a copy.
    pub fn copy(&mut self, from: StorageId, to: StorageId) -> Result<()> {
        let params = |len| Elementwise { len, ..Default::default() };
        self.launch_elementwise(&kernel::COPY, params, &[from], &[to], 0, false)
    }

    fn bytes(&self, storage: StorageId) -> u64 {
        self.lowered.storages[storage.index()].bytes
    }

    /// A range of a storage that starts at a binding's alignment. Equal ranges share one storage.
    fn bind_aligned(&mut self, of: StorageId, elements: Range<usize>) -> StorageId {
        let (start, bytes) = (4 * elements.start as u64, 4 * elements.len() as u64);
        if bytes == self.bytes(of) {
            return of;
        }
        let (whole, offset) = locate(&self.lowered.storages, of);
        let offset = offset + start;
        if let Some(range) = self.lowered.ranges.get(&(whole, offset, bytes)) {
            return *range;
        }
        let label = self.lowered.storages[of.index()].label.clone();
        let range = self.lowered.add_storage(label, bytes, Placement::Within { whole, offset });
        self.lowered.ranges.insert((whole, offset, bytes), range);
        range
    }
}

impl Lowering for NodeLowering<'_, '_> {
    fn inputs(&self) -> usize {
        self.node.inputs.len()
    }

    fn input(&self, i: usize) -> StorageId {
        self.lowered.storage_of[&self.node.inputs[i]]
    }

    fn input_shape(&self, i: usize) -> Vec<usize> {
        self.graph.shape(self.node.inputs[i]).to_vec()
    }

    fn output(&self, i: usize) -> StorageId {
        self.lowered.storage_of[&self.node.outputs[i]]
    }

    fn output_shape(&self, i: usize) -> Vec<usize> {
        self.graph.shape(self.node.outputs[i]).to_vec()
    }

    fn scratch(&mut self, label: &str, elements: usize) -> StorageId {
        let label = format!("{} ({label})", self.graph.value(self.node.outputs[0]).name);
        self.lowered.add_storage(label, elements as u64 * 4, Placement::Slot(usize::MAX))
    }

    fn begin_in_place(&mut self, o: usize, i: usize) -> Result<StorageId> {
        let (from, to) = (self.input(i), self.output(o));
        if from != to {
            self.copy(from, to)?;
        }
        Ok(to)
    }

    fn max_binding_elements(&self) -> usize {
        let most = usize::try_from(self.target.binding_limit() / 4).unwrap_or(usize::MAX);
        // A whole number of alignments, so that the next range is aligned too.
        (most / ALIGNMENT_ELEMENTS * ALIGNMENT_ELEMENTS).max(ALIGNMENT_ELEMENTS)
    }

    fn bind_range(&mut self, of: StorageId, elements: Range<usize>) -> (StorageId, u32) {
        let before = elements.start % ALIGNMENT_ELEMENTS;
        (self.bind_aligned(of, elements.start - before..elements.end), to_u32(before))
    }

    fn launch<P: Params>(
        &mut self,
        kernel: &'static Kernel,
        params: &P,
        reads: &[StorageId],
        writes: &[StorageId],
        grid: Grid,
        flops: u64,
    ) -> Result<()> {
        assert_eq!(P::LAYOUT.name, kernel.params.name, "{} takes different parameters", kernel.name);
        assert_eq!((reads.len(), writes.len()), (kernel.reads, kernel.writes), "bindings of {}", kernel.name);
        let (target, buffers) = (self.target, kernel.reads + kernel.writes);
        if kernel.threads > target.max_invocations || buffers > target.max_storage_buffers as usize {
            return Err(Error::TooLarge(format!(
                "kernel {} needs workgroups of {} invocations and {buffers} storage buffers, but the device offers {} and {}; use another device",
                kernel.name, kernel.threads, target.max_invocations, target.max_storage_buffers
            )));
        }
        let mut touched = [reads, writes].concat();
        touched.sort();
        touched.dedup();
        self.lowered.launches.push(Launch {
            kernel,
            params: bytemuck::cast_slice(std::slice::from_ref(params)).to_vec(),
            reads: reads.to_vec(),
            writes: writes.to_vec(),
            workgroups: grid.workgroups(kernel, target.max_workgroups)?,
            flops,
            bytes: touched.into_iter().map(|storage| self.bytes(storage)).sum(),
        });
        Ok(())
    }

    fn launch_elementwise<P: Params>(
        &mut self,
        kernel: &'static Kernel,
        params: impl Fn(u32) -> P,
        reads: &[StorageId],
        writes: &[StorageId],
        flops: u64,
        in_place: bool,
    ) -> Result<()> {
        let bytes = self.bytes(writes[0]);
        let (len, most) = (bytes as usize / 4, self.max_binding_elements());
        for start in (0..len).step_by(most) {
            let piece = start..len.min(start + most);
            let mut part = |id: &StorageId| match self.bytes(*id) == bytes {
                true => self.bind_aligned(*id, piece.clone()),
                false => *id,
            };
            let reads: Vec<StorageId> = reads.iter().map(&mut part).collect();
            let writes: Vec<StorageId> = writes.iter().map(&mut part).collect();
            let count = piece.len() as u64;
            self.launch(
                kernel,
                &params(to_u32(piece.len())),
                &reads,
                &writes,
                Grid::vec4(piece.len()),
                flops * count,
            )?;
            if let (Some(launch), true) = (self.lowered.launches.last_mut(), in_place) {
                launch.bytes += 4 * count * writes.len() as u64;
            }
        }
        Ok(())
    }

    fn set_bytes(&mut self, bytes: u64) {
        if let Some(launch) = self.lowered.launches.last_mut() {
            launch.bytes = bytes;
        }
    }

    fn sum_slices(
        &mut self,
        x: StorageId,
        out: StorageId,
        [slices, len]: [usize; 2],
        scale: f32,
        accumulate: bool,
    ) -> Result<()> {
        let params =
            SliceSum { len: to_u32(len), slices: to_u32(slices), scale, accumulate: accumulate as u32 };
        let (kernel, grid) = slice_sum(self.target, slices, len);
        self.launch(kernel, &params, &[x], &[out], grid, (slices * len) as u64)
    }
}
