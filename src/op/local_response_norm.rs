//! Local response normalization.

use super::{Gradient, Lowering, Operation, expect_channels, floats, narrow, planes, same_shape, to_u32};
use crate::kernel::{self, Grid, Kernel};
use crate::{Result, TensorType};

/// Divides each element by a power of the sum of squares of its neighbors among the channels (Krizhevsky et al. 2012, section
/// 3.3): y = x / (k + alpha / size * sum of x^2 over `size` channels)^beta. Input `[batch, channels, ...]`; outputs y, and the base
/// of the power. Fields and defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct LocalResponseNorm {
    /// Number of channels in the sum: from `size / 2` before to `(size - 1) / 2` after.
    pub size: usize,
    /// Factor on the mean square.
    pub alpha: f32,
    /// The exponent.
    pub beta: f32,
    /// Added to the scaled mean square; above 0.
    pub k: f32,
}

/// Gradient of [`LocalResponseNorm`] from its input, both of its outputs and the upstream gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalResponseNormGrad {
    /// The forward operation.
    pub norm: LocalResponseNorm,
}

impl Default for LocalResponseNorm {
    fn default() -> Self {
        Self { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 }
    }
}

impl LocalResponseNorm {
    fn launch(
        &self,
        node: &mut impl Lowering,
        kernel: &'static Kernel,
        flops_per_element: u64,
    ) -> Result<()> {
        let [batch, channels, pixels] = planes(&node.input_shape(0));
        let params = kernel::LocalResponseNorm {
            len: to_u32(batch * channels * pixels),
            channels: to_u32(channels),
            pixels: to_u32(pixels),
            size: to_u32(self.size),
            alpha: self.alpha / self.size as f32,
            beta: self.beta,
            k: self.k,
        };
        let (reads, writes) = node.operands(kernel);
        let len = u64::from(params.len);
        node.launch(kernel, &params, &reads, &writes, Grid::Invocations(len), len * flops_per_element)
    }
}

impl Operation for LocalResponseNorm {
    const NAME: &'static str = "local_response_norm";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [x] = floats(inputs)?;
        expect_channels(x)?;
        if self.size == 0 || self.k <= 0.0 || self.k.is_nan() {
            return Err(format!(
                "expected a size of at least 1 and a k above 0, found {} and {}",
                self.size, self.k
            ));
        }
        narrow("a size", self.size)?;
        Ok(vec![x.clone(), x.clone()])
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        let inputs = [node.input(0), node.output(0), node.output(1), node.grad_output()?];
        node.set_to(0, LocalResponseNormGrad { norm: *self }, &inputs)
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        self.launch(node, &kernel::LOCAL_RESPONSE_NORM, 2 * self.size as u64 + 4)
    }
}

impl Operation for LocalResponseNormGrad {
    const NAME: &'static str = "local_response_norm_grad";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [x, y, scale, grad_output] = floats(inputs)?;
        for other in [y, scale, grad_output] {
            same_shape("input, outputs and gradient", x, other)?;
        }
        Ok(vec![x.clone()])
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        self.norm.launch(node, &kernel::LOCAL_RESPONSE_NORM_GRAD, 3 * self.norm.size as u64 + 6)
    }
}
