//! Lowering of one node.

use super::algorithm::sum_slices;
use super::lower::{Builder, copy, launch};
use super::{ALIGNMENT_ELEMENTS, Launch, Placement, Target};
use crate::Result;
use crate::graph::{Graph, Node};
use crate::kernel::{Grid, Kernel, Params, StorageId};
use crate::op::{Lowering, to_u32};
use std::ops::Range;

/// The [`Lowering`] of one node.
pub(crate) struct NodeLowering<'a, 'b> {
    pub(super) builder: &'a mut Builder<'b>,
    pub(super) graph: &'a Graph,
    pub(super) node: &'a Node,
    pub(super) target: &'a Target,
}

impl<'a> NodeLowering<'a, '_> {
    /// Limits and preferences; for a node of a tuned class, with its kernel requested.
    pub fn target(&self) -> &'a Target {
        self.target
    }
}

impl Lowering for NodeLowering<'_, '_> {
    fn inputs(&self) -> usize {
        self.node.inputs.len()
    }

    fn input(&self, i: usize) -> StorageId {
        self.builder.storage_of(self.node.inputs[i])
    }

    fn input_shape(&self, i: usize) -> Vec<usize> {
        self.graph.shape(self.node.inputs[i]).to_vec()
    }

    fn output(&self, i: usize) -> StorageId {
        self.builder.storage_of(self.node.outputs[i])
    }

    fn output_shape(&self, i: usize) -> Vec<usize> {
        self.graph.shape(self.node.outputs[i]).to_vec()
    }

    fn scratch(&mut self, label: &str, elements: usize) -> StorageId {
        let label = format!("{} ({label})", self.graph.value(self.node.outputs[0]).name);
        self.builder.storage(label, elements as u64 * 4, Placement::Slot(usize::MAX))
    }

    fn begin_in_place(&mut self, o: usize, i: usize) -> Result<StorageId> {
        let (from, to) = (self.input(i), self.output(o));
        if from != to {
            copy(self.builder, from, to)?;
        }
        Ok(to)
    }

    fn max_binding_elements(&self) -> usize {
        self.builder.max_binding_elements()
    }

    fn bind_range(&mut self, of: StorageId, elements: Range<usize>) -> (StorageId, u32) {
        let before = elements.start % ALIGNMENT_ELEMENTS;
        (self.builder.bind_range(of, elements.start - before..elements.end), to_u32(before))
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
        let launch = launch(self.builder, kernel, params, reads, writes, grid)?;
        self.builder.launches.push(Launch { flops, ..launch });
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
        self.builder.launch_elementwise(kernel, params, reads, writes, flops, in_place)
    }

    fn set_bytes(&mut self, bytes: u64) {
        if let Some(launch) = self.builder.launches.last_mut() {
            launch.bytes = bytes;
        }
    }

    fn sum_slices(
        &mut self,
        x: StorageId,
        out: StorageId,
        sizes: [usize; 2],
        scale: f32,
        accumulate: bool,
    ) -> Result<()> {
        sum_slices(self, x, out, sizes, scale, accumulate)
    }
}
