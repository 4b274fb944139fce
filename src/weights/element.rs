//! Element types of files, and their numbers as `f32`.

use super::Stored;
use crate::{Result, Tensor};
use half::{bf16, f16};

/// A type of floating-point numbers in a file, little end first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Float {
    F64,
    F32,
    F16,
    BF16,
}

impl Float {
    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Float::F64 => 8,
            Float::F32 => 4,
            Float::F16 | Float::BF16 => 2,
        }
    }

    /// The number in `bytes`, of which there are [`size`](Self::size). What is too large for `f32` becomes
    /// infinite, and is refused when it is loaded.
    pub fn number(self, bytes: &[u8]) -> f32 {
        const SIZE: &str = "a number has its type's size";
        match self {
            Float::F64 => f64::from_le_bytes(bytes.try_into().expect(SIZE)) as f32,
            Float::F32 => f32::from_le_bytes(bytes.try_into().expect(SIZE)),
            Float::F16 => f16::from_le_bytes(bytes.try_into().expect(SIZE)).to_f32(),
            Float::BF16 => bf16::from_le_bytes(bytes.try_into().expect(SIZE)).to_f32(),
        }
    }

    /// The tensor whose numbers `bytes` are, in row-major order.
    pub fn tensor(self, shape: &[usize], bytes: &[u8]) -> Result<Stored> {
        let numbers = bytes.chunks_exact(self.size()).map(|bytes| self.number(bytes)).collect();
        Ok(Stored::Numbers(Tensor::f32(shape, numbers)?))
    }
}
