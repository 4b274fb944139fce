//! Epilogues: computed by the kernel itself, or in a separate launch.

use crate::Result;
use crate::kernel::{self, Elementwise, StorageId};
use crate::op::{Epilogue, GradEpilogue, Lowering};
use crate::plan::NodeLowering;

/// The residual, if the epilogue adds one.
pub fn residual(epilogue: Epilogue, node: &NodeLowering) -> Option<StorageId> {
    (epilogue == Epilogue::AddRelu).then(|| node.input(node.inputs() - 1))
}

/// The gradient that the epilogue of an input gradient adds, and the output of its ReLU, if there are any.
pub fn grad_operands(epilogue: GradEpilogue, node: &NodeLowering) -> [Option<StorageId>; 2] {
    let last = node.inputs() - 1;
    [epilogue.adds().then(|| node.input(2)), epilogue.has_relu().then(|| node.input(last))]
}

/// For kernels without epilogues: `compute` emits launches that write to the storage it is passed, and a separate launch applies
/// the epilogue of this number, with its `operands`.
pub fn after(
    epilogue: u32,
    operands: &[StorageId],
    node: &mut NodeLowering,
    compute: impl FnOnce(&mut NodeLowering, StorageId) -> Result<()>,
) -> Result<()> {
    let y = node.output(0);
    let kernel = match epilogue {
        1 => &kernel::RELU,
        2 => &kernel::ADD_RELU,
        3 => &kernel::ADD,
        4 => &kernel::RELU_GRAD,
        5 => &kernel::ADD_RELU_GRAD,
        _ => return compute(node, y),
    };
    let before = node.scratch("before the epilogue", node.output_len(0));
    compute(node, before)?;
    let params = |len| Elementwise { len, ..Default::default() };
    // The output of a ReLU comes first, a residual after the result.
    let reads = match operands {
        [output] if epilogue == 4 => vec![*output, before],
        [other, output] => vec![*output, before, *other],
        residual => [&[before], residual].concat(),
    };
    node.launch_elementwise(kernel, params, &reads, &[y], reads.len() as u64, false)
}
