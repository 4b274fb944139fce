//! Host arrays: what goes into an executor and what comes back.

use crate::{Error, Result};

/// The element types the engine knows. Both are four bytes wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit floating point: pictures, weights, gradients.
    F32,
    /// 32-bit unsigned integers: class labels, indices, counters.
    U32,
}

/// Shape and element type of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Sizes, outermost first: `[batch, channels, height, width]` for pictures.
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

    /// Number of elements; the largest `usize` where there are more.
    pub fn len(&self) -> usize {
        match self.shape.contains(&0) {
            true => 0,
            false => self.shape.iter().fold(1, |len, size| len.saturating_mul(*size)),
        }
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

/// A dense host array in row-major order. Elements are kept as 32-bit words, so that both element
/// types travel to and from a device unchanged.
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
    /// An `f32` array; fails when the number of elements is not the shape's.
    pub fn f32(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Result<Self> {
        Self::new(TensorType::f32(shape), bytemuck::cast_vec(data))
    }

    /// A `u32` array; fails when the number of elements is not the shape's.
    pub fn u32(shape: impl Into<Vec<usize>>, data: Vec<u32>) -> Result<Self> {
        Self::new(TensorType::u32(shape), data)
    }

    /// An array from raw words; fails when their number is not the type's.
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

    /// An `f32` array of zeros.
    pub fn zeros(shape: impl Into<Vec<usize>>) -> Self {
        let ty = TensorType::f32(shape);
        Self { words: vec![0; ty.len()], ty }
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

    /// The elements of an `f32` array (of a `u32` array: its bits).
    pub fn as_f32(&self) -> &[f32] {
        bytemuck::cast_slice(&self.words)
    }

    /// The elements of a `u32` array (of an `f32` array: its bits).
    pub fn as_u32(&self) -> &[u32] {
        &self.words
    }

    /// The elements as bytes, little end first on every machine striate runs on.
    pub fn as_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
    }

    /// The elements of an `f32` array, taken out.
    pub fn into_f32(self) -> Vec<f32> {
        bytemuck::cast_vec(self.words)
    }
}
