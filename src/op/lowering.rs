//! The interface for lowering an operation to launches.

use crate::Result;
use crate::kernel::{Grid, Kernel, Params, StorageId};
use std::ops::Range;

/// A node of the graph during lowering: the storages of its values, scratch memory and a list of launches. Implemented by the plan.
pub trait Lowering {
    /// Number of inputs, optional ones included.
    fn inputs(&self) -> usize;

    /// Storage of the i-th input.
    fn input(&self, i: usize) -> StorageId;

    /// Shape of the i-th input.
    fn input_shape(&self, i: usize) -> Vec<usize>;

    /// Storage of the i-th output.
    fn output(&self, i: usize) -> StorageId;

    /// Shape of the i-th output.
    fn output_shape(&self, i: usize) -> Vec<usize>;

    /// Elements of the i-th output.
    fn output_len(&self, i: usize) -> usize {
        self.output_shape(i).iter().product()
    }

    /// Storages of the first inputs and outputs, as many as the kernel binds.
    fn operands(&self, kernel: &Kernel) -> (Vec<StorageId>, Vec<StorageId>) {
        let reads = (0..kernel.reads).map(|i| self.input(i)).collect();
        (reads, (0..kernel.writes).map(|i| self.output(i)).collect())
    }

    /// Scratch memory for this node, in four-byte elements.
    fn scratch(&mut self, label: &str, elements: usize) -> StorageId;

    /// Prepares output `o` for a kernel that updates input `i` in place: copies the input unless the two share memory.
    fn begin_in_place(&mut self, o: usize, i: usize) -> Result<StorageId>;

    /// Maximum number of elements in a binding.
    fn max_binding_elements(&self) -> usize;

    /// A range of a storage that contains `elements` and can be bound, and the number of elements before them in that range:
    /// bindings start at multiples of 64 elements.
    fn bind_range(&mut self, of: StorageId, elements: Range<usize>) -> (StorageId, u32);

    /// Emits a launch. `flops` counts a multiply-add as two. Launches count as moving all bytes of their bindings unless
    /// [`Self::set_bytes`] says otherwise.
    fn launch<P: Params>(
        &mut self,
        kernel: &'static Kernel,
        params: &P,
        reads: &[StorageId],
        writes: &[StorageId],
        grid: Grid,
        flops: u64,
    ) -> Result<()>;

    /// Emits an element-wise kernel that computes four elements per invocation: one launch, or several if values exceed a
    /// binding. `params` maps a number of elements to the parameters. Operands that differ in size from the result are bound whole
    /// by every launch. `flops` is per element; `in_place` means that the kernel also reads what it writes.
    fn launch_elementwise<P: Params>(
        &mut self,
        kernel: &'static Kernel,
        params: impl Fn(u32) -> P,
        reads: &[StorageId],
        writes: &[StorageId],
        flops: u64,
        in_place: bool,
    ) -> Result<()>;

    /// Sets the bytes that the last launch moves, if that is only part of its bindings.
    fn set_bytes(&mut self, bytes: u64);

    /// Emits out\[i] = scale * sum over slices s of x\[s, i], plus the old out\[i] if `accumulate`.
    fn sum_slices(
        &mut self,
        x: StorageId,
        out: StorageId,
        sizes: [usize; 2],
        scale: f32,
        accumulate: bool,
    ) -> Result<()>;
}
