//! Epilogues: operations that a kernel applies to its result before writing it.

use super::{Gradient, floats, same_shape};
use crate::{Result, TensorType};

/// Operations that a convolution or batch norm applies to its result before writing it. Set by plans when they fuse operations;
/// networks leave it at the default.
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

    /// Splits off the residual, which is the last input.
    pub(super) fn split<'a, 'b>(
        self,
        inputs: &'b [&'a TensorType],
    ) -> (&'b [&'a TensorType], Option<&'a TensorType>) {
        match inputs {
            [rest @ .., residual] if self == Epilogue::AddRelu => (rest, Some(residual)),
            _ => (inputs, None),
        }
    }

    /// Fails if there is an epilogue: graphs are differentiated before fusion.
    pub(super) fn reject(self, node: &impl Gradient) -> Result<()> {
        match self {
            Epilogue::None => Ok(()),
            _ => Err(node
                .error("epilogues are set by plans and have no gradient; apply the operations separately")),
        }
    }
}

/// Fails if the residual does not fit a result of this type.
pub(super) fn expect_residual(residual: Option<&TensorType>, result: &TensorType) -> Result<(), String> {
    let Some(residual) = residual else { return Ok(()) };
    let [residual] = floats(&[residual])?;
    same_shape("result and residual", result, residual)
}
