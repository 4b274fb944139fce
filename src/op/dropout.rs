//! Dropout.

use super::{Gradient, Lowering, Operation, exactly, floats, to_u32};
use crate::kernel::{self, Grid};
use crate::{DType, Result, TensorType};

/// Zeroes each element with probability `p` and divides the rest by 1 - p (Srivastava et al. 2014). Inputs: x, and a `u32`
/// counter `[2]` of (step, seed). The mask is a function of counter, `stream` and element index, so the backward pass and
/// recomputation reproduce it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Probability of zeroing an element, in [0, 1).
    pub p: f32,
    /// Index of this dropout in the network, so that no two share a mask.
    pub stream: u32,
}

impl Default for Dropout {
    fn default() -> Self {
        Self { p: 0.5, stream: 0 }
    }
}

impl Operation for Dropout {
    const NAME: &'static str = "dropout";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        if !(0.0..1.0).contains(&self.p) {
            return Err(format!("expected a probability of at least 0 and below 1, found {}", self.p));
        }
        let [x, counter] = exactly(inputs)?;
        let [x] = floats(&[x])?;
        if counter.dtype != DType::U32 || counter.shape != [2] {
            return Err(format!("expected a u32 counter of shape [2], found {:?}", counter.shape));
        }
        Ok(vec![x.clone()])
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        node.set_to(0, *self, &[node.grad_output()?, node.input(1)])
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        let len = node.output_len(0);
        let params =
            kernel::Dropout { len: to_u32(len), stream: self.stream, p: self.p, scale: 1.0 / (1.0 - self.p) };
        let (reads, writes) = node.operands(&kernel::DROPOUT);
        node.launch(&kernel::DROPOUT, &params, &reads, &writes, Grid::Invocations(len as u64), len as u64)
    }
}
