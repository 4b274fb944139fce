//! Operations, such as convolution and pooling: settings, shape rule, gradient and lowering.

// Only `size.rs` converts sizes to 32 bits.
#![warn(clippy::cast_possible_truncation)]

mod all_reduce;
mod arrays;
mod batch_norm;
mod conv;
mod dropout;
mod elementwise;
mod epilogue;
mod fold;
mod gradient;
mod labels;
mod local_response_norm;
mod loss;
mod lowering;
mod matmul;
mod non_finite;
#[allow(clippy::cast_possible_truncation, reason = "results computed in f64 are rounded to f32")]
mod optimizer;
mod pool;
mod reduce;
mod shape;
mod size;
mod softmax;
mod window;

pub use all_reduce::AllReduce;
pub use batch_norm::{BatchNorm, BatchNormEval, BatchNormEvalGrad, BatchNormGrad, Moments, SyncBatchNorm};
pub use conv::{Conv2d, Conv2dGradInput, Conv2dGradWeight};
pub use dropout::Dropout;
pub use elementwise::{Add, Mul, Relu, ReluGrad, Scale, StabilizedDiv, WeightedSum};
pub use epilogue::{Epilogue, GradEpilogue};
pub use fold::FoldBatchNorm;
pub use gradient::{Gradient, ValueId};
pub use labels::Labels;
pub use local_response_norm::{LocalResponseNorm, LocalResponseNormGrad};
pub use loss::{CrossEntropy, CrossEntropyGrad, Reduction, TopK};
pub use lowering::Lowering;
pub use matmul::Matmul;
pub use non_finite::NonFinite;
pub use optimizer::{Adam, ClipCoefficient, Sgd};
pub use pool::{
    AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool, AvgPool2d, AvgPoolGrad, MaxPool, MaxPool2d, MaxPoolGrad,
};
pub use reduce::ChannelSum;
pub use shape::{ChannelPad, ChannelSlice, Concat, Reshape};
pub use softmax::{LogSoftmax, LogSoftmaxGrad, Softmax, SoftmaxGrad};
pub use window::Window;

pub(crate) use elementwise::launch_weighted_sum;
pub(crate) use size::{MAX_SIZE, narrow, to_u32};
#[cfg(feature = "onnx")]
pub(crate) use window::PaddedWindow;

use crate::{Result, TensorType};

/// An operation of the graph.
pub trait Operation {
    /// Name in error messages, plans and labels.
    const NAME: &'static str;

    /// Types of the outputs for inputs of these types. Errors name what was expected and what was found.
    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String>;

    /// Adds the nodes that compute the gradients of the inputs that need one.
    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        Err(node.error("this operation has no gradient; do not differentiate through it"))
    }

    /// Emits the launches. Only for operations with a single algorithm; for the others, the plan chooses one
    /// (`src/plan/algorithm/`).
    fn lower(&self, _node: &mut impl Lowering) -> Result<()> {
        unreachable!("the plan chooses the algorithm of {}", Self::NAME)
    }

    /// Pairs of (output, input): the output may overwrite the input if nothing else reads it.
    fn in_place(&self) -> &'static [(usize, usize)] {
        &[]
    }

    /// Operations that were fused into this one, in their original order.
    fn fused(&self) -> &'static [&'static str] {
        &[]
    }

    /// The part of the input image that an element of the output depends on, for inputs of these shapes.
    fn footprint(&self, _inputs: &[&[usize]]) -> Footprint {
        Footprint::Element
    }

    /// The labels that are valid in input [`Labels::INPUT`], for inputs of these shapes.
    fn labels(&self, _inputs: &[&[usize]]) -> Option<Labels> {
        None
    }

    /// Whether the output shares the memory of the first input and differs only in shape.
    fn is_view(&self) -> bool {
        false
    }
}

/// The part of the input image that an output element depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footprint {
    /// The pixel at the same position.
    Element,
    /// A window.
    Window {
        /// Pixels from the first to the last of the window.
        extent: [usize; 2],
        /// Stride of the window.
        stride: [usize; 2],
        /// Padding ahead of the image.
        padding: [usize; 2],
    },
    /// The whole image.
    Image,
}

/// Defines the enum of all operations, which forwards each call to its variant.
macro_rules! operations {
    ($($op:ident),+ $(,)?) => {
        /// The operation of a graph node.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op {
            $(#[doc = concat!("See [`", stringify!($op), "`].")] $op($op)),+
        }

        impl Op {
            /// Names of all variants.
            pub const VARIANTS: &[&str] = &[$(stringify!($op)),+];

            /// The name of its variant.
            pub fn variant(&self) -> &'static str {
                match self { $(Op::$op(_) => stringify!($op)),+ }
            }

            /// See [`Operation::NAME`].
            pub fn name(&self) -> &'static str {
                match self { $(Op::$op(_) => $op::NAME),+ }
            }

            /// See [`Operation::infer`].
            pub fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
                match self { $(Op::$op(op) => op.infer(inputs)),+ }
            }

            /// See [`Operation::gradient`].
            pub fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
                match self { $(Op::$op(op) => op.gradient(node)),+ }
            }

            /// See [`Operation::lower`].
            pub fn lower(&self, node: &mut impl Lowering) -> Result<()> {
                match self { $(Op::$op(op) => op.lower(node)),+ }
            }

            /// See [`Operation::in_place`].
            pub fn in_place(&self) -> &'static [(usize, usize)] {
                match self { $(Op::$op(op) => op.in_place()),+ }
            }

            /// See [`Operation::fused`].
            pub fn fused(&self) -> &'static [&'static str] {
                match self { $(Op::$op(op) => op.fused()),+ }
            }

            /// See [`Operation::footprint`].
            pub fn footprint(&self, inputs: &[&[usize]]) -> Footprint {
                match self { $(Op::$op(op) => op.footprint(inputs)),+ }
            }

            /// See [`Operation::labels`].
            pub fn labels(&self, inputs: &[&[usize]]) -> Option<Labels> {
                match self { $(Op::$op(op) => op.labels(inputs)),+ }
            }

            /// See [`Operation::is_view`].
            pub fn is_view(&self) -> bool {
                match self { $(Op::$op(op) => op.is_view()),+ }
            }
        }

        $(impl From<$op> for Op {
            fn from(op: $op) -> Self {
                Op::$op(op)
            }
        })+
    };
}

operations! {
    Adam,
    Add,
    AllReduce,
    AvgPool,
    AvgPoolGrad,
    BatchNorm,
    BatchNormEval,
    BatchNormEvalGrad,
    BatchNormGrad,
    WeightedSum,
    ChannelPad,
    ChannelSlice,
    ChannelSum,
    ClipCoefficient,
    Concat,
    Conv2d,
    Conv2dGradInput,
    Conv2dGradWeight,
    CrossEntropy,
    CrossEntropyGrad,
    Dropout,
    FoldBatchNorm,
    LocalResponseNorm,
    LocalResponseNormGrad,
    LogSoftmax,
    LogSoftmaxGrad,
    Matmul,
    MaxPool,
    MaxPoolGrad,
    Moments,
    Mul,
    NonFinite,
    Relu,
    ReluGrad,
    Reshape,
    Scale,
    Sgd,
    Softmax,
    SoftmaxGrad,
    StabilizedDiv,
    SyncBatchNorm,
    TopK,
}

/// Exactly `N` inputs.
fn exactly<'a, const N: usize>(inputs: &[&'a TensorType]) -> Result<[&'a TensorType; N], String> {
    inputs.try_into().map_err(|_| format!("expected {N} inputs, found {}", inputs.len()))
}

/// Exactly `N` inputs, all `f32`.
fn floats<'a, const N: usize>(inputs: &[&'a TensorType]) -> Result<[&'a TensorType; N], String> {
    let array = exactly(inputs)?;
    expect_f32(inputs)?;
    Ok(array)
}

/// `N` inputs and possibly one more, all `f32`.
fn floats_and_option<'a, const N: usize>(
    inputs: &[&'a TensorType],
) -> Result<([&'a TensorType; N], Option<&'a TensorType>), String> {
    let (required, optional) = if inputs.len() == N + 1 { inputs.split_at(N) } else { (inputs, &[][..]) };
    let required = exactly(required)?;
    expect_f32(inputs)?;
    Ok((required, optional.first().copied()))
}

/// Fails unless there are inputs, and all are `f32`.
fn expect_arrays(inputs: &[&TensorType]) -> Result<(), String> {
    if inputs.is_empty() {
        return Err("expected at least one input, found none".to_owned());
    }
    expect_f32(inputs)
}

fn expect_f32(inputs: &[&TensorType]) -> Result<(), String> {
    match inputs.iter().position(|ty| ty.dtype != crate::DType::F32) {
        Some(i) => Err(format!("expected input {i} to be f32, found u32")),
        None => Ok(()),
    }
}

/// Fails unless the shapes are equal.
fn same_shape(what: &str, a: &TensorType, b: &TensorType) -> Result<(), String> {
    if a.shape == b.shape {
        Ok(())
    } else {
        Err(format!("expected {what} of equal shapes, found {:?} and {:?}", a.shape, b.shape))
    }
}

/// Fails unless the type has the shape.
fn expect_shape(what: &str, ty: &TensorType, shape: &[usize]) -> Result<(), String> {
    if ty.shape == shape {
        Ok(())
    } else {
        Err(format!("expected {what} of shape {shape:?}, found {:?}", ty.shape))
    }
}

/// Fails if there is a guard of an update and it does not have one element.
fn expect_guard(guard: Option<&TensorType>) -> Result<(), String> {
    guard.map_or(Ok(()), |guard| expect_shape("a guard", guard, &[1]))
}

/// Fails unless there are axes for batch and channels.
fn expect_channels(x: &TensorType) -> Result<(), String> {
    match x.shape.len() {
        2.. => Ok(()),
        _ => Err(format!("expected an input of shape [batch, channels, ...], found {:?}", x.shape)),
    }
}

/// `[batch, channels, pixels]` of a tensor with channels as its second axis.
pub(crate) fn planes(shape: &[usize]) -> [usize; 3] {
    [shape[0], shape[1], shape[2..].iter().product()]
}

/// Batch, channels, height and width; fails unless there are four axes.
fn image(what: &str, ty: &TensorType) -> Result<[usize; 4], String> {
    ty.shape.as_slice().try_into().map_err(|_| {
        format!("expected {what} of shape [batch, channels, height, width], found {:?}", ty.shape)
    })
}
