//! What an operation sees when it is lowered to launches.

use crate::Result;
use crate::kernel::{Grid, Kernel, Params, StorageId};
use std::ops::Range;

/// One node of a graph: the storages of its values, scratch memory, and a place for its launches. The plan implements it.
pub trait Lowering {
    /// Number of inputs; some are optional.
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

    /// Memory for this node alone, in four-byte elements.
    fn scratch(&mut self, label: &str, elements: usize) -> StorageId;

    /// Makes output `o` start with the contents of input `i`, so that an in-place kernel can work on it. This copies unless
    /// the two share memory.
    fn begin_in_place(&mut self, o: usize, i: usize) -> Result<StorageId>;

    /// Most elements of one value that a launch can bind.
    fn most_elements(&self) -> usize;

    /// A part of a storage that can be bound and contains `elements`, and the number of other elements before them, since bindings
    /// start at multiples of 64 elements.
    fn part(&mut self, of: StorageId, elements: Range<usize>) -> (StorageId, u32);

    /// Emits a launch. `flops` counts a multiply-add as two. The launch is taken to move the bytes of all storages that it
    /// binds; see [`Self::set_bytes`].
    fn launch<P: Params>(
        &mut self,
        kernel: &'static Kernel,
        params: &P,
        reads: &[StorageId],
        writes: &[StorageId],
        grid: Grid,
        flops: u64,
    ) -> Result<()>;

    /// Emits a kernel that computes each element of its result from the operands' elements at the same index, four elements an
    /// invocation: one launch, or several where values are larger than a binding. `params` makes the parameters for a number of
    /// elements. Every launch reads the whole of operands that differ in size from the result. `flops` counts those of one
    /// element; `in_place` says that what is written is read before.
    fn launch_each<P: Params>(
        &mut self,
        kernel: &'static Kernel,
        params: impl Fn(u32) -> P,
        reads: &[StorageId],
        writes: &[StorageId],
        flops: u64,
        in_place: bool,
    ) -> Result<()>;

    /// Corrects the bytes of the last launch, which touches only a part of its bindings.
    fn set_bytes(&mut self, bytes: u64);

    /// Emits out\[i] = scale * sum over slices s of x\[s, i], added to out\[i] if `accumulate`.
    fn sum_slices(
        &mut self,
        x: StorageId,
        out: StorageId,
        sizes: [usize; 2],
        scale: f32,
        accumulate: bool,
    ) -> Result<()>;
}
