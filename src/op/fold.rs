//! Folding of batch norm into the preceding convolution.

use super::{Lowering, Operation, expect_shape, floats_and_option, to_u32};
use crate::kernel::{self, FoldBatchNorm as Params, Grid};
use crate::{Result, TensorType};

/// Folds a batch norm with given statistics into the weight and bias of the preceding convolution. Inputs: the weight
/// `[out_channels, ...]` of the convolution; weight, bias, mean and variance `[out_channels]` of the batch norm; optionally the
/// bias of the convolution. Outputs: weight and bias. Inserted by plans and by the gradient of
/// [`SyncBatchNorm`](super::SyncBatchNorm); has no gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FoldBatchNorm {
    /// Added to the variance.
    pub eps: f32,
}

impl Operation for FoldBatchNorm {
    const NAME: &'static str = "fold_batch_norm";

    fn fused(&self) -> &'static [&'static str] {
        &["batch_norm_eval"]
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let ([weight, per_channel @ ..], bias) = floats_and_option::<5>(inputs)?;
        let channels = &weight.shape[..1.min(weight.shape.len())];
        for ty in per_channel.into_iter().chain(bias) {
            expect_shape("one value per output channel", ty, channels)?;
        }
        Ok(vec![weight.clone(), TensorType::f32(channels)])
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        let (weights, channels) = (node.output_len(0), node.output_len(1));
        let has_bias = node.inputs() == 6;
        let params = Params {
            len: to_u32(weights),
            per_channel: to_u32(weights / channels),
            eps: self.eps,
            has_bias: has_bias as u32,
        };
        let [weight, gamma, beta, mean, variance] = [0, 1, 2, 3, 4].map(|i| node.input(i));
        let bias = if has_bias { node.input(5) } else { beta };
        let reads = [weight, gamma, beta, mean, variance, bias];
        let writes = [node.output(0), node.output(1)];
        let grid = Grid::Invocations(weights as u64);
        node.launch(&kernel::FOLD_BATCH_NORM, &params, &reads, &writes, grid, weights as u64)
    }
}
