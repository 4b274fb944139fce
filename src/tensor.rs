//! Host tensors: inputs and outputs of an executor.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Element types. Both are four bytes wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DType {
    /// 32-bit floating point: images, weights, gradients.
    F32,
    /// 32-bit unsigned integers: class labels, indices, counters.
    U32,
}

impl DType {
    /// `f32` or `u32`.
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::U32 => "u32",
        }
    }
}

/// Shape and element type of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TensorType {
    /// Sizes, outermost first: `[batch, channels, height, width]` for images.
    pub shape: Vec<usize>,
    /// Element type.
    pub dtype: DType,
}

impl TensorType {
    /// An `f32` type of the given shape.
    pub fn f32(shape: impl Into<Vec<usize>>) -> Self {
        Self { shape: shape.into(), dtype: DType::F32 }
    }

    /// A `u32` type of the given shape.
    pub fn u32(shape: impl Into<Vec<usize>>) -> Self {
        Self { shape: shape.into(), dtype: DType::U32 }
    }

    /// Number of elements, saturating at `usize::MAX`.
    pub fn len(&self) -> usize {
        self.shape.iter().fold(1, |len, size| len.saturating_mul(*size))
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        (self.len() as u64).saturating_mul(4)
    }
}

/// A dense host tensor in row-major order. Elements are stored as 32-bit words, so that both types are copied to and from
/// a device unchanged.
///
/// ```
/// use striate::Tensor;
/// let x = Tensor::f32([2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0])?;
/// assert_eq!(x.shape(), [2, 3]);
/// assert_eq!(x.as_f32()[4], 4.0);
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    ty: TensorType,
    words: Vec<u32>,
}

impl Tensor {
    /// An `f32` tensor.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if the number of elements does not match the shape.
    pub fn f32(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Result<Self> {
        Self::new(TensorType::f32(shape), bytemuck::cast_vec(data))
    }

    /// A `u32` tensor.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if the number of elements does not match the shape.
    pub fn u32(shape: impl Into<Vec<usize>>, data: Vec<u32>) -> Result<Self> {
        Self::new(TensorType::u32(shape), data)
    }

    /// A tensor from raw words.
    pub(crate) fn new(ty: TensorType, words: Vec<u32>) -> Result<Self> {
        if words.len() != ty.len() {
            return Err(Error::Shape {
                op: "tensor".into(),
                scope: String::new(),
                problem: format!(
                    "shape {:?} holds {} elements, but {} were given",
                    ty.shape,
                    ty.len(),
                    words.len()
                ),
            });
        }
        Ok(Self { ty, words })
    }

    /// An `f32` tensor of zeros.
    pub fn zeros(shape: impl Into<Vec<usize>>) -> Self {
        let ty = TensorType::f32(shape);
        Self { words: vec![0; ty.len()], ty }
    }

    /// The same elements in the same order with another shape.
    ///
    /// ```
    /// use striate::Tensor;
    /// let rows = Tensor::u32([6], (0..6).collect())?.reshape([2, 3])?;
    /// assert_eq!(rows.shape(), [2, 3]);
    /// assert!(rows.reshape([4, 2]).is_err());
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if the new shape has another number of elements.
    pub fn reshape(self, shape: impl Into<Vec<usize>>) -> Result<Self> {
        Self::new(TensorType { shape: shape.into(), dtype: self.ty.dtype }, self.words)
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.ty.shape
    }

    /// Shape and element type.
    pub fn ty(&self) -> &TensorType {
        &self.ty
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The elements of an `f32` tensor; the bits of a `u32` tensor reinterpreted.
    pub fn as_f32(&self) -> &[f32] {
        bytemuck::cast_slice(&self.words)
    }

    /// The elements of a `u32` tensor; the bits of an `f32` tensor.
    pub fn as_u32(&self) -> &[u32] {
        &self.words
    }

    /// The elements as little-endian bytes: striate does not support big-endian machines.
    pub fn as_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
    }

    /// Converts an `f32` tensor into its elements.
    pub fn into_f32(self) -> Vec<f32> {
        bytemuck::cast_vec(self.words)
    }
}

/// Data for an input of a step: a slice of either element type, or a [`Tensor`] of the input's shape.
///
/// ```
/// use striate::Input;
/// let labels: Vec<u32> = vec![3, 1, 4];
/// let inputs: [(&str, Input); 2] = [("images", (&[0.5f32; 12]).into()), ("labels", (&labels).into())];
/// # let _ = inputs;
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// `f32` elements.
    F32(&'a [f32]),
    /// `u32` elements.
    U32(&'a [u32]),
    /// A tensor, whose shape is checked.
    Tensor(&'a Tensor),
}

impl<'a> Input<'a> {
    /// The elements as words. Fails if they do not match the type `ty`.
    pub(crate) fn words(self, ty: &TensorType) -> Result<&'a [u32], String> {
        let (dtype, words): (DType, &[u32]) = match self {
            Input::F32(elements) => (DType::F32, bytemuck::cast_slice(elements)),
            Input::U32(elements) => (DType::U32, elements),
            Input::Tensor(tensor) if tensor.shape() != ty.shape => {
                return Err(format!("expected shape {:?}, found {:?}", ty.shape, tensor.shape()));
            }
            Input::Tensor(tensor) => (tensor.ty.dtype, &tensor.words),
        };
        if dtype != ty.dtype {
            return Err(format!("expected {}, found {}", ty.dtype.name(), dtype.name()));
        }
        match words.len() == ty.len() {
            true => Ok(words),
            false => {
                Err(format!("expected {} elements for shape {:?}, found {}", ty.len(), ty.shape, words.len()))
            }
        }
    }
}

impl<'a> From<&'a Tensor> for Input<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        Input::Tensor(tensor)
    }
}

/// Implements conversions from slices, vectors and arrays.
macro_rules! inputs_of {
    ($($element:ty => $variant:ident),+) => {$(
        impl<'a> From<&'a [$element]> for Input<'a> {
            fn from(elements: &'a [$element]) -> Self {
                Input::$variant(elements)
            }
        }
        impl<'a> From<&'a Vec<$element>> for Input<'a> {
            fn from(elements: &'a Vec<$element>) -> Self {
                Input::$variant(elements)
            }
        }
        impl<'a, const N: usize> From<&'a [$element; N]> for Input<'a> {
            fn from(elements: &'a [$element; N]) -> Self {
                Input::$variant(elements)
            }
        }
    )+};
}

inputs_of!(f32 => F32, u32 => U32);
