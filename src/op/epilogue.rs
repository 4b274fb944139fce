//! What an operation does to its result before writing it.

use super::{Gradient, floats, same_shape};
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

    /// Fails unless there is none: a graph that is differentiated has the operations one after another.
    pub(super) fn refuse(self, node: &impl Gradient) -> Result<()> {
        match self {
            Epilogue::None => Ok(()),
            _ => Err(node.error("an epilogue is for plans; apply the operations one after another")),
        }
    }
}

/// Fails unless the residual, if there is one, can be added to a result of this type.
pub(super) fn expect_residual(residual: Option<&TensorType>, result: &TensorType) -> Result<(), String> {
    let Some(residual) = residual else { return Ok(()) };
    let [residual] = floats(&[residual])?;
    same_shape("result and residual", result, residual)
}
