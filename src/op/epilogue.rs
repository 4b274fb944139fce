//! What an operation does to its result before writing it.

use super::{elementwise, floats, same_shape};
use crate::graph::Gradient;
use crate::kernel;
use crate::plan::{Lowering, StorageId};
use crate::{Result, TensorType};

/// What a convolution or batch norm does to its result before writing it. Plans choose it where the graph has the
/// operations one after another; networks need not ask for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Epilogue {
    /// Nothing.
    #[default]
    None,
    /// [`super::Relu`].
    Relu,
    /// [`super::Add`] with one more input, the residual, then [`super::Relu`].
    AddRelu,
}

impl Epilogue {
    /// The operations it stands for.
    pub(super) fn operations(self) -> &'static [&'static str] {
        match self {
            Epilogue::None => &[],
            Epilogue::Relu => &["relu"],
            Epilogue::AddRelu => &["add", "relu"],
        }
    }

    /// Splits the residual, which comes last, from the other inputs.
    pub(super) fn split<'a, 'b>(
        self,
        inputs: &'b [&'a TensorType],
    ) -> (&'b [&'a TensorType], Option<&'a TensorType>) {
        match inputs {
            [rest @ .., residual] if self == Epilogue::AddRelu => (rest, Some(residual)),
            _ => (inputs, None),
        }
    }

    /// The residual's storage.
    pub(super) fn residual(self, node: &Lowering) -> Option<StorageId> {
        (self == Epilogue::AddRelu).then(|| node.input(node.inputs() - 1))
    }

    /// Fails unless there is none: a graph that is differentiated has the operations one after another.
    pub(super) fn refuse(self, node: &Gradient<'_>) -> Result<()> {
        match self {
            Epilogue::None => Ok(()),
            _ => Err(node.error("an epilogue is for plans; apply the operations one after another")),
        }
    }

    /// For kernels that have no epilogue: emits what `compute` does, into the storage that it is given, and a pass
    /// of its own for the epilogue.
    pub(super) fn apart(
        self,
        node: &mut Lowering,
        compute: impl FnOnce(&mut Lowering, StorageId) -> Result<()>,
    ) -> Result<()> {
        let y = node.output(0);
        if self == Epilogue::None {
            return compute(node, y);
        }
        let len = node.output_len(0);
        let before = node.scratch("before the epilogue", len);
        compute(node, before)?;
        let params = elementwise::params;
        match self.residual(node) {
            Some(residual) => {
                node.launch_each(&kernel::ADD_RELU, params, &[before, residual], &[y], 2, false)
            }
            None => node.launch_each(&kernel::RELU, params, &[before], &[y], 1, false),
        }
    }
}

/// Fails unless the residual, if there is one, can be added to a result of this type.
pub(super) fn expect_residual(residual: Option<&TensorType>, result: &TensorType) -> Result<(), String> {
    let Some(residual) = residual else { return Ok(()) };
    let [residual] = floats(&[residual])?;
    same_shape("result and residual", result, residual)
}
