//! Batch norm for training and inference.

use super::epilogue::{Epilogue, expect_residual};
use super::{
    Add, AllReduce, FoldBatchNorm, Gradient, Operation, WeightedSum, expect_channels, expect_shape, floats,
    same_shape,
};
use crate::{Result, TensorType};

/// Batch norm with batch statistics (Ioffe & Szegedy 2015). Inputs: x `[batch, channels, ...]`, weight and bias `[channels]`.
/// Outputs: y, and the mean and (biased) variance of each channel. Gradients flow through y only, including its dependence on
/// the statistics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance.
    pub eps: f32,
    /// Operations that follow in the same pass.
    pub epilogue: Epilogue,
}

/// Gradients of [`BatchNorm`]. Inputs: x, mean, variance, upstream gradient, weight and bias. Outputs: gradients of x, weight
/// and bias.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormGrad {
    /// Added to the variance.
    pub eps: f32,
    /// Whether the upstream gradient is that of a ReLU applied to the batch norm's output.
    pub relu: bool,
}

/// Batch norm with given statistics, which are constants. Inputs: x, weight, bias, mean and variance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormEval {
    /// Added to the variance.
    pub eps: f32,
    /// Operations that follow in the same pass.
    pub epilogue: Epilogue,
}

/// Gradients of [`BatchNormEval`]. Inputs and outputs as for [`BatchNormGrad`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormEvalGrad {
    /// Added to the variance.
    pub eps: f32,
}

/// The mean and (biased) variance of each channel, as in [`BatchNorm`]. Input: x `[batch, channels, ...]`. They have no gradient;
/// [`SyncBatchNorm`] has that of its statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments;

/// Batch norm with the statistics of the batches of all ranks. Inputs: x, weight, bias, and the mean and (biased) variance of each
/// channel over all ranks. Gradients include the dependence on these statistics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SyncBatchNorm {
    /// Added to the variance.
    pub eps: f32,
    /// Values per channel, on all ranks together.
    pub count: usize,
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self { eps: 1e-5, epilogue: Epilogue::None }
    }
}

impl Default for BatchNormEval {
    fn default() -> Self {
        Self { eps: 1e-5, epilogue: Epilogue::None }
    }
}

/// The number of channels of x. Fails unless the other operands have one value per channel.
fn channels(x: &TensorType, per_channel: &[(&str, &TensorType)]) -> Result<usize, String> {
    expect_channels(x)?;
    for (what, ty) in per_channel {
        expect_shape(&format!("{what} for an input of {:?}", x.shape), ty, &[x.shape[1]])?;
    }
    Ok(x.shape[1])
}

impl Operation for BatchNorm {
    const NAME: &'static str = "batch_norm";

    fn fused(&self) -> &'static [&'static str] {
        self.epilogue.operations()
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let (own, residual) = self.epilogue.split(inputs);
        let [x, weight, bias] = floats(own)?;
        expect_residual(residual, x)?;
        let channels = channels(x, &[("a weight", weight), ("a bias", bias)])?;
        if x.len() == channels {
            return Err(format!(
                "expected more than one value per channel in training, found {:?}; use a larger batch or larger images",
                x.shape
            ));
        }
        let statistic = TensorType::f32([channels]);
        Ok(vec![x.clone(), statistic.clone(), statistic])
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        self.epilogue.reject(node)?;
        let [x, weight, bias] = [0, 1, 2].map(|i| node.input(i));
        let inputs = [x, node.output(1), node.output(2), node.grad_output()?, weight, bias];
        node.set_to(0, BatchNormGrad { eps: self.eps, relu: false }, &inputs)
    }
}

impl Operation for Moments {
    const NAME: &'static str = "moments";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [x] = floats(inputs)?;
        let statistic = TensorType::f32([channels(x, &[])?]);
        Ok(vec![statistic.clone(), statistic])
    }
}

impl Operation for SyncBatchNorm {
    const NAME: &'static str = "sync_batch_norm";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        if self.count < 2 {
            return Err("expected more than one value per channel in training; use a larger batch".to_owned());
        }
        infer_eval(inputs)
    }

    /// With fixed statistics, dx = weight / sigma * dy. Their dependence on x adds
    /// -weight / sigma * (sum(dy) + xhat * sum(dy * xhat)) / count, with sums over all ranks: that is xhat times one vector plus
    /// another, as in the forward pass.
    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        let [x, weight, bias, mean, variance] = [0, 1, 2, 3, 4].map(|i| node.input(i));
        let inputs = [x, mean, variance, node.grad_output()?, weight, bias];
        let fixed = node.apply(BatchNormEvalGrad { eps: self.eps }, &inputs)?;
        // One after the other, so that they are exchanged together.
        let weight_total = node.apply(AllReduce, &[fixed[1]])?[0];
        let bias_total = node.apply(AllReduce, &[fixed[2]])?[0];
        let mut factors = Vec::new();
        for (sum, total) in [(fixed[1], weight_total), (fixed[2], bias_total)] {
            let mean_of = WeightedSum { alpha: 0.0, beta: -1.0 / self.count as f32 };
            let negated = node.apply(mean_of, &[sum, total])?[0];
            let fold = FoldBatchNorm { eps: self.eps };
            factors.push(node.apply(fold, &[negated, weight, bias, mean, variance])?[0]);
        }
        let eval = BatchNormEval { eps: self.eps, epilogue: Epilogue::None };
        let rest = node.apply(eval, &[x, factors[0], factors[1], mean, variance])?[0];
        node.set_to(0, Add, &[fixed[0], rest])?;
        node.set(1, fixed[1]);
        node.set(2, fixed[2]);
        Ok(())
    }
}

fn infer_grad(inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
    let [x, mean, variance, grad_output, weight, bias] = floats(inputs)?;
    let per_channel = [("a mean", mean), ("a variance", variance), ("a weight", weight), ("a bias", bias)];
    let channels = channels(x, &per_channel)?;
    same_shape("input and gradient", x, grad_output)?;
    Ok(vec![x.clone(), TensorType::f32([channels]), TensorType::f32([channels])])
}

impl Operation for BatchNormGrad {
    const NAME: &'static str = "batch_norm_grad";

    fn fused(&self) -> &'static [&'static str] {
        if self.relu { &["relu_grad"] } else { &[] }
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        infer_grad(inputs)
    }
}

fn infer_eval(inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
    let [x, weight, bias, mean, variance] = floats(inputs)?;
    let rest = [("a weight", weight), ("a bias", bias), ("a mean", mean), ("a variance", variance)];
    channels(x, &rest)?;
    Ok(vec![x.clone()])
}

impl Operation for BatchNormEval {
    const NAME: &'static str = "batch_norm_eval";

    fn fused(&self) -> &'static [&'static str] {
        self.epilogue.operations()
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let (own, residual) = self.epilogue.split(inputs);
        let outputs = infer_eval(own)?;
        expect_residual(residual, &outputs[0])?;
        Ok(outputs)
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        self.epilogue.reject(node)?;
        let [x, weight, bias, mean, variance] = [0, 1, 2, 3, 4].map(|i| node.input(i));
        let inputs = [x, mean, variance, node.grad_output()?, weight, bias];
        node.set_to(0, BatchNormEvalGrad { eps: self.eps }, &inputs)
    }
}

impl Operation for BatchNormEvalGrad {
    const NAME: &'static str = "batch_norm_eval_grad";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        infer_grad(inputs)
    }
}
