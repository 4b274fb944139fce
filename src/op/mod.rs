//! The operations: parameters, shape rule, gradient and lowering of each, one file a family.

// Sizes become 32 bits in `size.rs` alone.
#![warn(clippy::cast_possible_truncation)]

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
#[allow(clippy::cast_possible_truncation, reason = "what is computed in f64 is rounded to f32 at the end")]
mod optimizer;
mod pool;
mod reduce;
mod shape;
mod size;
mod softmax;
mod window;

pub use batch_norm::{BatchNorm, BatchNormEval, BatchNormEvalGrad, BatchNormGrad};
pub use conv::{Conv2d, Conv2dGradInput, Conv2dGradWeight};
pub use dropout::Dropout;
pub use elementwise::{Add, Blend, Relu, ReluGrad, Scale};
pub use epilogue::Epilogue;
pub use fold::FoldBatchNorm;
pub use gradient::{Gradient, ValueId};
pub use labels::Labels;
pub use local_response_norm::{LocalResponseNorm, LocalResponseNormGrad};
pub use loss::{CrossEntropy, CrossEntropyGrad, Reduction, TopK};
pub use lowering::Lowering;
pub use matmul::Matmul;
pub use optimizer::{Adam, ClipCoefficient, Sgd};
pub use pool::{
    AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool, AvgPool2d, AvgPoolGrad, MaxPool, MaxPool2d, MaxPoolGrad,
};
pub use reduce::{ChannelSum, SumSquares};
pub use shape::{ChannelPad, ChannelSlice, Concat, Reshape};
pub use softmax::{LogSoftmax, LogSoftmaxGrad, Softmax, SoftmaxGrad};
pub use window::Window;

pub(crate) use elementwise::blend;
pub(crate) use size::{LARGEST, narrow, word};

use crate::{Result, TensorType};

/// What every operation says about itself.
pub trait Operation {
    /// Its name in errors, plans and labels.
    fn name(&self) -> &'static str;

    /// Types of the outputs from those of the inputs, or why they do not fit: what was expected and found.
    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String>;

    /// Adds the nodes of the gradients with respect to the inputs that need one.
    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        Err(node.error("this operation has no gradient; ask for no gradient that goes through it"))
    }

    /// Emits the launches of an operation that is always computed in the same way. Of the others, the plan chooses the algorithm
    /// (`src/plan/algorithm/`).
    fn lower(&self, _node: &mut impl Lowering) -> Result<()> {
        unreachable!("the plan chooses the algorithm of {}", self.name())
    }

    /// Pairs of (output, input) where the output replaces the input if nothing else wants it.
    fn in_place(&self) -> &'static [(usize, usize)] {
        &[]
    }

    /// Operations that it does on the side, in the order in which the graph had them.
    fn fused(&self) -> &'static [&'static str] {
        &[]
    }

    /// Where on the images among the inputs, of these shapes, an element of the outputs looks.
    fn footprint(&self, _inputs: &[&[usize]]) -> Footprint {
        Footprint::Element
    }

    /// What the labels may be that its input number [`Labels::INPUT`] holds, for inputs of these shapes.
    fn labels(&self, _inputs: &[&[usize]]) -> Option<Labels> {
        None
    }

    /// Whether the output is the first input's memory under another shape.
    fn is_view(&self) -> bool {
        false
    }
}

/// Where an element of an operation's output looks on the height and width of its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footprint {
    /// At the pixel of its own place.
    Element,
    /// At a window.
    Window {
        /// Pixels from the window's first to its last.
        extent: [usize; 2],
        /// Step of the window.
        stride: [usize; 2],
        /// How far ahead of the image the first one starts.
        padding: [usize; 2],
    },
    /// At the whole image.
    Image,
}

/// Expands to the enum of all operations, which hands each call on to the operation's own type.
macro_rules! operations {
    ($($op:ident),+ $(,)?) => {
        /// An operation of a graph's node.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op {
            $(#[doc = concat!("See [`", stringify!($op), "`].")] $op($op)),+
        }

        impl Op {
            /// Names of all variants.
            pub const VARIANTS: &[&str] = &[$(stringify!($op)),+];

            /// The name of the variant that this is.
            pub fn variant(&self) -> &'static str {
                match self { $(Op::$op(_) => stringify!($op)),+ }
            }
        }

        impl Operation for Op {
            fn name(&self) -> &'static str {
                match self { $(Op::$op(op) => op.name()),+ }
            }
            fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
                match self { $(Op::$op(op) => op.infer(inputs)),+ }
            }
            fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
                match self { $(Op::$op(op) => op.gradient(node)),+ }
            }
            fn lower(&self, node: &mut impl Lowering) -> Result<()> {
                match self { $(Op::$op(op) => op.lower(node)),+ }
            }
            fn in_place(&self) -> &'static [(usize, usize)] {
                match self { $(Op::$op(op) => op.in_place()),+ }
            }
            fn fused(&self) -> &'static [&'static str] {
                match self { $(Op::$op(op) => op.fused()),+ }
            }
            fn footprint(&self, inputs: &[&[usize]]) -> Footprint {
                match self { $(Op::$op(op) => op.footprint(inputs)),+ }
            }
            fn labels(&self, inputs: &[&[usize]]) -> Option<Labels> {
                match self { $(Op::$op(op) => op.labels(inputs)),+ }
            }
            fn is_view(&self) -> bool {
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
    AvgPool,
    AvgPoolGrad,
    BatchNorm,
    BatchNormEval,
    BatchNormEvalGrad,
    BatchNormGrad,
    Blend,
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
    Relu,
    ReluGrad,
    Reshape,
    Scale,
    Sgd,
    Softmax,
    SoftmaxGrad,
    SumSquares,
    TopK,
}

/// The inputs as an array of exactly `N`, all `f32`.
fn floats<'a, const N: usize>(inputs: &[&'a TensorType]) -> Result<[&'a TensorType; N], String> {
    let array: [&TensorType; N] =
        inputs.try_into().map_err(|_| format!("expected {N} inputs, found {}", inputs.len()))?;
    match array.iter().position(|ty| ty.dtype != crate::DType::F32) {
        Some(i) => Err(format!("expected input {i} to be f32, found u32")),
        None => Ok(array),
    }
}

/// Fails unless both shapes are equal.
fn same_shape(what: &str, a: &TensorType, b: &TensorType) -> Result<(), String> {
    if a.shape == b.shape {
        Ok(())
    } else {
        Err(format!("expected {what} of equal shapes, found {:?} and {:?}", a.shape, b.shape))
    }
}

/// Fails unless the type has this shape.
fn expect_shape(what: &str, ty: &TensorType, shape: &[usize]) -> Result<(), String> {
    if ty.shape == shape {
        Ok(())
    } else {
        Err(format!("expected {what} of shape {shape:?}, found {:?}", ty.shape))
    }
}

/// `[batch, channels, pixels]` of a tensor whose second axis is channels.
pub(crate) fn planes(shape: &[usize]) -> [usize; 3] {
    [shape[0], shape[1], shape[2..].iter().product()]
}

/// Batch, channels, height and width, or why there are not four sizes.
fn image(what: &str, ty: &TensorType) -> Result<[usize; 4], String> {
    ty.shape.as_slice().try_into().map_err(|_| {
        format!("expected {what} of shape [batch, channels, height, width], found {:?}", ty.shape)
    })
}
