//! Epilogues: computed by the kernel itself, or in a separate launch.

use crate::Result;
use crate::kernel::{self, Elementwise, StorageId};
use crate::op::{Epilogue, Lowering};
use crate::plan::NodeLowering;

/// The residual, if the epilogue adds one.
pub fn residual(epilogue: Epilogue, node: &NodeLowering) -> Option<StorageId> {
    (epilogue == Epilogue::AddRelu).then(|| node.input(node.inputs() - 1))
}

/// For kernels without epilogues: `compute` emits launches that write to the storage it is passed, and a separate launch applies
/// the epilogue.
pub fn after(
    epilogue: Epilogue,
    node: &mut NodeLowering,
    compute: impl FnOnce(&mut NodeLowering, StorageId) -> Result<()>,
) -> Result<()> {
    let y = node.output(0);
    if epilogue == Epilogue::None {
        return compute(node, y);
    }
    let before = node.scratch("before the epilogue", node.output_len(0));
    compute(node, before)?;
    let params = |len| Elementwise { len, ..Default::default() };
    match residual(epilogue, node) {
        Some(residual) => {
            node.launch_elementwise(&kernel::ADD_RELU, params, &[before, residual], &[y], 2, false)
        }
        None => node.launch_elementwise(&kernel::RELU, params, &[before], &[y], 1, false),
    }
}
