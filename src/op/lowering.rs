//! The interface for lowering an operation to launches.

use crate::Result;
use crate::kernel::{Grid, Kernel, Params, StorageId};
use std::ops::Range;

/// A node of the graph during lowering: the storages of its values, scratch memory and a list of launches. Implemented by the plan.
pub trait Lowering {
    /// Number of inputs. Some operations have optional ones.
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

    /// Scratch memory for this node, in four-byte elements.
    fn scratch(&mut self, label: &str, elements: usize) -> StorageId;

    /// Makes output `o` start out with the contents of input `i` for an in-place kernel. Copies unless the two share memory.
    fn begin_in_place(&mut self, o: usize, i: usize) -> Result<StorageId>;

    /// Most elements of one value that a launch can bind.
    fn max_binding_elements(&self) -> usize;

    /// A range of a storage that contains `elements` and can be bound, and the number of elements in it before them: bindings start
    /// at multiples of 64 elements.
    fn bind_range(&mut self, of: StorageId, elements: Range<usize>) -> (StorageId, u32);

    /// Emits a launch. `flops` counts a multiply-add as two. The launch is assumed to move all bytes of its bindings; see
    /// [`Self::set_bytes`].
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
    /// binding. `params` maps a number of elements to the parameters. Operands whose size differs from that of the result are bound
    /// whole by every launch. `flops` is per element; `in_place` means that the kernel also reads what it writes.
    fn launch_elementwise<P: Params>(
        &mut self,
        kernel: &'static Kernel,
        params: impl Fn(u32) -> P,
        reads: &[StorageId],
        writes: &[StorageId],
        flops: u64,
        in_place: bool,
    ) -> Result<()>;

    /// Sets the bytes of the last launch, if it moves only part of its bindings.
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
