//! Epilogues of operations: in their kernel, or in a launch of its own.

use crate::Result;
use crate::kernel::{self, Elementwise, StorageId};
use crate::op::{Epilogue, Lowering};
use crate::plan::NodeLowering;

/// The residual's storage, if the epilogue adds one.
pub fn residual(epilogue: Epilogue, node: &NodeLowering) -> Option<StorageId> {
    (epilogue == Epilogue::AddRelu).then(|| node.input(node.inputs() - 1))
}

/// For kernels without epilogue: emits what `compute` emits into the storage that it is given, then the epilogue in a launch of its
/// own.
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
        Some(residual) => node.launch_each(&kernel::ADD_RELU, params, &[before, residual], &[y], 2, false),
        None => node.launch_each(&kernel::RELU, params, &[before], &[y], 1, false),
    }
}
