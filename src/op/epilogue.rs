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

/// Operations that the gradient of a convolution's input applies to its result before writing it. Set by plans when they fuse
/// operations; networks leave it at the default. Numbered as in `shaders/conv_epilogue.wgsl`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GradEpilogue {
    /// Nothing.
    #[default]
    None = 0,
    /// [`super::Add`] with one more input, another gradient of the same value.
    Add = 3,
    /// [`super::ReluGrad`] with one more input, the ReLU's output.
    ReluGrad = 4,
    /// [`super::Add`], then [`super::ReluGrad`]. Two more inputs: the other gradient and the ReLU's output.
    AddReluGrad = 5,
}

impl GradEpilogue {
    /// The operations it stands for, which have one more input each.
    pub(super) fn operations(self) -> &'static [&'static str] {
        match self {
            GradEpilogue::None => &[],
            GradEpilogue::Add => &["add"],
            GradEpilogue::ReluGrad => &["relu_grad"],
            GradEpilogue::AddReluGrad => &["add", "relu_grad"],
        }
    }

    /// Whether a gradient is added.
    pub(crate) fn adds(self) -> bool {
        matches!(self, GradEpilogue::Add | GradEpilogue::AddReluGrad)
    }

    /// Whether the gradient of a ReLU follows.
    pub(crate) fn has_relu(self) -> bool {
        matches!(self, GradEpilogue::ReluGrad | GradEpilogue::AddReluGrad)
    }
}

/// Fails if the residual does not fit a result of this type.
pub(super) fn expect_residual(residual: Option<&TensorType>, result: &TensorType) -> Result<(), String> {
    let Some(residual) = residual else { return Ok(()) };
    let [residual] = floats(&[residual])?;
    same_shape("result and residual", result, residual)
}
