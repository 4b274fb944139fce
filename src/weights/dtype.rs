//! Floating-point types of weight files: from any of them to `f32`, and from `f32` to half precision.

use super::Stored;
use crate::{Error, Result, Tensor};
use half::{bf16, f16};

/// A little-endian floating-point type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Float {
    F64,
    F32,
    F16,
    BF16,
}

impl Float {
    /// Size of one value in bytes.
    pub fn size(self) -> usize {
        match self {
            Float::F64 => 8,
            Float::F32 => 4,
            Float::F16 | Float::BF16 => 2,
        }
    }

    /// Decodes one value of [`size`](Self::size) bytes. A value out of range for `f32` becomes infinite; loading
    /// rejects those later.
    pub fn decode(self, bytes: &[u8]) -> f32 {
        const SIZE: &str = "callers pass exactly `size` bytes";
        match self {
            Float::F64 => f64::from_le_bytes(bytes.try_into().expect(SIZE)) as f32,
            Float::F32 => f32::from_le_bytes(bytes.try_into().expect(SIZE)),
            Float::F16 => f16::from_le_bytes(bytes.try_into().expect(SIZE)).to_f32(),
            Float::BF16 => bf16::from_le_bytes(bytes.try_into().expect(SIZE)).to_f32(),
        }
    }

    /// Decodes a row-major tensor.
    pub fn tensor(self, shape: &[usize], bytes: &[u8]) -> Result<Stored> {
        let values = bytes.chunks_exact(self.size()).map(|bytes| self.decode(bytes)).collect();
        Ok(Stored::Float(Tensor::f32(shape, values)?))
    }
}

/// A tensor's values in half precision, little-endian. `None` for vectors, which are better kept as they are: they take little space,
/// and batch norms need their range.
///
/// # Errors
///
/// [`Error::Argument`] if a value is out of range.
pub(crate) fn half_bytes(name: &str, tensor: &Tensor) -> Result<Option<Vec<u8>>> {
    if tensor.shape().len() < 2 {
        return Ok(None);
    }
    let values = tensor.as_f32();
    if let Some(at) = values.iter().position(|value| value.is_finite() && !f16::from_f32(*value).is_finite())
    {
        let (value, most) = (values[at], f16::MAX);
        let problem = format!(
            "has the value {value} at index {at}, but half precision ends at {most}; store it in single precision"
        );
        return Err(Error::argument(name, problem));
    }
    Ok(Some(values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect()))
}
