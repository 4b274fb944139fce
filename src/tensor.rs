//! Host arrays: what goes into an executor and what comes back.

use crate::{Error, Result};

/// The element types the engine knows. Both are four bytes wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

    /// The same elements in the same order under another shape; fails when it does not hold as many.
    ///
    /// ```
    /// use striate::Tensor;
    /// let rows = Tensor::u32([6], (0..6).collect())?.reshape([2, 3])?;
    /// assert_eq!(rows.shape(), [2, 3]);
    /// assert!(rows.reshape([4, 2]).is_err());
    /// # Ok::<(), striate::Error>(())
    /// ```
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

/// Numbers for an input of a step: a slice of either element type, or a [`Tensor`], which must have the input's shape as well.
///
/// ```
/// use striate::Input;
/// let labels: Vec<u32> = vec![3, 1, 4];
/// let inputs: [(&str, Input); 2] = [("images", (&[0.5f32; 12]).into()), ("labels", (&labels).into())];
/// # let _ = inputs;
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Floating-point numbers.
    F32(&'a [f32]),
    /// Labels, indices, counters.
    U32(&'a [u32]),
    /// An array with a shape.
    Tensor(&'a Tensor),
}

impl<'a> Input<'a> {
    /// The elements as words, or how they differ from what an input of this type takes.
    pub(crate) fn words(self, ty: &TensorType) -> Result<&'a [u32], String> {
        let (dtype, words): (DType, &[u32]) = match self {
            Input::F32(numbers) => (DType::F32, bytemuck::cast_slice(numbers)),
            Input::U32(numbers) => (DType::U32, numbers),
            Input::Tensor(tensor) if tensor.shape() != ty.shape => {
                return Err(format!("expected shape {:?}, found {:?}", ty.shape, tensor.shape()));
            }
            Input::Tensor(tensor) => (tensor.ty.dtype, &tensor.words),
        };
        if dtype != ty.dtype {
            return Err(format!("expected {} numbers, found {}", ty.dtype.name(), dtype.name()));
        }
        match words.len() == ty.len() {
            true => Ok(words),
            false => {
                Err(format!("expected {} numbers for shape {:?}, found {}", ty.len(), ty.shape, words.len()))
            }
        }
    }
}

impl<'a> From<&'a Tensor> for Input<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        Input::Tensor(tensor)
    }
}

/// Slices, vectors and arrays of an element type as inputs.
macro_rules! inputs_of {
    ($($element:ty => $variant:ident),+) => {$(
        impl<'a> From<&'a [$element]> for Input<'a> {
            fn from(numbers: &'a [$element]) -> Self {
                Input::$variant(numbers)
            }
        }
        impl<'a> From<&'a Vec<$element>> for Input<'a> {
            fn from(numbers: &'a Vec<$element>) -> Self {
                Input::$variant(numbers)
            }
        }
        impl<'a, const N: usize> From<&'a [$element; N]> for Input<'a> {
            fn from(numbers: &'a [$element; N]) -> Self {
                Input::$variant(numbers)
            }
        }
    )+};
}

inputs_of!(f32 => F32, u32 => U32);
