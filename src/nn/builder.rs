//! Builds a network's graph layer by layer.

use super::Rules;
use crate::graph::{Graph, Init, PersistentKind, Phase, ValueId};
use crate::op::{self, AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, LocalResponseNorm, MaxPool2d, Op};
use crate::{Error, Result, TensorType};

/// Whether a network is built for training or evaluation; batch norm and dropout differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch norm normalizes by batch statistics and updates the running ones; dropout is active.
    Train,
    /// Batch norm uses the running statistics; dropout is the identity.
    Eval,
}

/// Which fan He's initialization of a convolution uses (He et al. 2015, "Delving deep into rectifiers", section 2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fan {
    /// Inputs per output: preserves the variance of activations.
    #[default]
    In,
    /// Outputs per input: preserves the variance of gradients.
    Out,
}

/// A convolution layer with PyTorch's fields and defaults. Pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2d {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Height and width of the kernel.
    pub kernel_size: [usize; 2],
    /// Stride.
    pub stride: [usize; 2],
    /// Zero padding on each side.
    pub padding: [usize; 2],
    /// Dilation of the kernel.
    pub dilation: [usize; 2],
    /// Number of channel groups that are convolved separately.
    pub groups: usize,
    /// Whether to add a bias per output channel.
    pub bias: bool,
    /// Scaling of the initial weights.
    pub fan: Fan,
}

impl Default for Conv2d {
    fn default() -> Self {
        Self {
            in_channels: 1,
            out_channels: 1,
            kernel_size: [1, 1],
            stride: [1, 1],
            padding: [0, 0],
            dilation: [1, 1],
            groups: 1,
            bias: true,
            fan: Fan::In,
        }
    }
}

/// A fully connected layer with PyTorch's fields and defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear {
    /// Features of the input.
    pub in_features: usize,
    /// Features of the output.
    pub out_features: usize,
    /// Whether to add a bias per output feature.
    pub bias: bool,
}

impl Default for Linear {
    fn default() -> Self {
        Self { in_features: 1, out_features: 1, bias: true }
    }
}

/// A batch-norm layer with PyTorch's fields and defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm2d {
    /// Channels.
    pub num_features: usize,
    /// Added to the variance for numerical stability.
    pub eps: f32,
    /// Weight of the batch in the update of the running statistics.
    pub momentum: f32,
}

impl Default for BatchNorm2d {
    fn default() -> Self {
        Self { num_features: 1, eps: 1e-5, momentum: 0.1 }
    }
}

/// Records a network into a [`Graph`], layer by layer. Parameters are named after their layer and the scopes around it:
/// `layer1.0.conv1.weight`.
///
/// Layers return [`Error::Shape`] if they do not fit their input.
///
/// ```
/// use striate::nn::{Builder, Conv2d, Linear, Mode};
///
/// let mut b = Builder::new(Mode::Eval);
/// let x = b.images([8, 3, 32, 32])?;
/// let conv = Conv2d { in_channels: 3, out_channels: 16, kernel_size: [3, 3], padding: [1, 1], ..Default::default() };
/// let x = b.conv2d("conv1", x, conv)?;
/// let x = b.relu(x)?;
/// let x = b.global_avg_pool2d(x)?;
/// let x = b.flatten(x)?;
/// let y = b.linear("fc", x, Linear { in_features: 16, out_features: 10, ..Default::default() })?;
/// assert_eq!(b.graph.shape(y), [8, 10]);
/// # Ok::<(), striate::Error>(())
/// ```
pub struct Builder {
    /// The graph built so far.
    pub graph: Graph,
    mode: Mode,
    /// Input (step, seed), created by the first dropout layer.
    counter: Option<ValueId>,
    dropouts: u32,
    auxiliary: Vec<(ValueId, f32)>,
    rules: Rules,
    ranks: Option<BatchOfRanks>,
    share: Option<ValueId>,
}

/// A batch that is divided among ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOfRanks {
    /// Images on all ranks together.
    pub images: usize,
    /// Whether batch norm normalizes by the statistics of all of them, instead of those of each rank.
    pub sync_batch_norm: bool,
}

impl Builder {
    /// Input for dropout: (step, seed), `u32` `[2]`.
    pub const COUNTER: &str = "counter";
    /// Input: images, `f32` `[batch, channels, height, width]`.
    pub const IMAGES: &str = "images";
    /// Input of graphs that sum over ranks: this rank's part of the images, between 0 and 1, `f32` `[1]`.
    pub const SHARE: &str = "share";
    /// Output: logits, `[batch, classes]`. Not all graphs have it.
    pub const LOGITS: &str = "logits";

    /// An empty network.
    pub fn new(mode: Mode) -> Self {
        Self {
            graph: Graph::new(),
            mode,
            counter: None,
            dropouts: 0,
            auxiliary: Vec::new(),
            rules: Rules::default(),
            ranks: None,
            share: None,
        }
    }

    /// Sets per-parameter rules. Batch norm layers depend on which parameters are frozen.
    pub fn with_rules(mut self, rules: &Rules) -> Self {
        self.rules = rules.clone();
        self
    }

    /// Declares the batch to be one rank's part of a larger one.
    pub fn with_ranks(mut self, ranks: Option<BatchOfRanks>) -> Self {
        self.ranks = ranks;
        self
    }

    /// The input [`Builder::SHARE`], which this creates.
    pub(crate) fn share(&mut self) -> Result<ValueId> {
        match self.share {
            Some(share) => Ok(share),
            None => Ok(*self.share.insert(self.graph.input(Self::SHARE, TensorType::f32([1]))?)),
        }
    }

    /// Whether the network is built for training or evaluation.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Adds the input [`Builder::IMAGES`] of shape `[batch, channels, height, width]`.
    pub fn images(&mut self, shape: [usize; 4]) -> Result<ValueId> {
        self.graph.input(Self::IMAGES, TensorType::f32(shape))
    }

    /// Runs `build` in a nested scope.
    pub fn scoped<R>(&mut self, name: &str, build: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        let outer = self.graph.enter(name);
        let result = build(self);
        self.graph.leave(outer);
        result
    }

    /// Applies an operation and returns its first output.
    pub fn apply(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId> {
        Ok(self.graph.apply(op, inputs)?[0])
    }

    /// Convolution. Weights start from He's initialization (He et al. 2015), normal with variance 2 / fan; biases from 0.
    pub fn conv2d(&mut self, name: &str, x: ValueId, conv: Conv2d) -> Result<ValueId> {
        self.scoped(name, |b| {
            b.expect_channels("conv2d", x, conv.in_channels)?;
            let [kh, kw] = conv.kernel_size;
            let per_group = conv.in_channels / conv.groups.max(1);
            let channels = match conv.fan {
                Fan::In => per_group,
                Fan::Out => conv.out_channels,
            };
            let init = Init::Normal { std: (2.0 / (channels * kh * kw) as f32).sqrt() };
            let mut inputs = vec![x, b.parameter("weight", [conv.out_channels, per_group, kh, kw], init)?];
            if conv.bias {
                inputs.push(b.parameter("bias", [conv.out_channels], Init::Constant(0.0))?);
            }
            let Conv2d { stride, padding, dilation, groups, .. } = conv;
            b.apply(op::Conv2d { stride, padding, dilation, groups, ..Default::default() }, &inputs)
        })
    }

    /// Fully connected layer on `[batch, in_features]`. Weights and bias start uniform in +-1 / sqrt(in_features).
    pub fn linear(&mut self, name: &str, x: ValueId, linear: Linear) -> Result<ValueId> {
        self.scoped(name, |b| {
            let Linear { in_features, out_features, bias } = linear;
            if b.graph.shape(x).len() != 2 || b.graph.shape(x)[1] != in_features {
                let problem = format!("expected [batch, {in_features}], found {:?}", b.graph.shape(x));
                return Err(b.graph.shape_error("linear", problem));
            }
            let init = Init::Uniform { bound: 1.0 / (in_features as f32).sqrt() };
            let mut inputs = vec![x, b.parameter("weight", [out_features, in_features], init)?];
            if bias {
                inputs.push(b.parameter("bias", [out_features], init)?);
            }
            b.apply(op::Matmul { transpose_a: false, transpose_b: true }, &inputs)
        })
    }

    /// Batch norm. In training it updates the running statistics. If its weight and bias are frozen, it uses the running
    /// statistics and leaves them unchanged, as in evaluation.
    pub fn batch_norm2d(&mut self, name: &str, x: ValueId, norm: BatchNorm2d) -> Result<ValueId> {
        self.scoped(name, |b| {
            let BatchNorm2d { num_features, eps, momentum } = norm;
            b.expect_channels("batch_norm", x, num_features)?;
            let weight = b.parameter("weight", [num_features], Init::Constant(1.0))?;
            let bias = b.parameter("bias", [num_features], Init::Constant(0.0))?;
            let mean = b.buffer("running_mean", [num_features], Init::Constant(0.0))?;
            let var = b.buffer("running_var", [num_features], Init::Constant(1.0))?;
            let frozen = [weight, bias].iter().all(|p| b.rules.is_frozen(&b.graph.value(*p).name));
            if b.mode == Mode::Eval || frozen {
                return b
                    .apply(op::BatchNormEval { eps, ..Default::default() }, &[x, weight, bias, mean, var]);
            }
            let shape = b.graph.shape(x);
            let (batch, pixels) = (shape[0], shape[2..].iter().product::<usize>());
            let synced = b.ranks.filter(|ranks| ranks.sync_batch_norm);
            let count = pixels * synced.map_or(batch, |ranks| ranks.images);
            let outputs = match synced {
                None => b.graph.apply(op::BatchNorm { eps, ..Default::default() }, &[x, weight, bias])?,
                Some(_) => {
                    let [mean, var] = b.moments_of_ranks(x)?;
                    let y = b.apply(op::SyncBatchNorm { eps, count }, &[x, weight, bias, mean, var])?;
                    vec![y, mean, var]
                }
            };
            b.graph.in_phase(Phase::Update, |graph| {
                let batch = [outputs[1], outputs[2]];
                let new = update_running_stats(graph, count, batch, [mean, var], momentum)?;
                graph.update(mean, new[0])?;
                graph.update(var, new[1])
            })?;
            Ok(outputs[0])
        })
    }

    /// The mean and variance of each channel over all ranks. The variance is the mean of that within ranks plus the squared
    /// distance between their means, which stays accurate for means much larger than the deviation.
    fn moments_of_ranks(&mut self, x: ValueId) -> Result<[ValueId; 2]> {
        let share = self.share()?;
        let own = self.graph.apply(op::Moments, &[x])?;
        let scaled = self.apply(op::Scale, &[own[0], share])?;
        let mean = self.apply(op::AllReduce, &[scaled])?;
        let distance = self.apply(op::WeightedSum { alpha: 1.0, beta: -1.0 }, &[own[0], mean])?;
        let squared = self.apply(op::Mul, &[distance, distance])?;
        let variance = self.apply(op::Add, &[own[1], squared])?;
        let scaled = self.apply(op::Scale, &[variance, share])?;
        Ok([mean, self.apply(op::AllReduce, &[scaled])?])
    }

    /// max(x, 0).
    pub fn relu(&mut self, x: ValueId) -> Result<ValueId> {
        self.apply(op::Relu, &[x])
    }

    /// Local response normalization across channels.
    pub fn local_response_norm(&mut self, x: ValueId, norm: LocalResponseNorm) -> Result<ValueId> {
        self.apply(norm, &[x])
    }

    /// x + y.
    pub fn add(&mut self, x: ValueId, y: ValueId) -> Result<ValueId> {
        self.apply(op::Add, &[x, y])
    }

    /// Concatenation along the channels.
    pub fn concat(&mut self, inputs: &[ValueId]) -> Result<ValueId> {
        self.apply(op::Concat, inputs)
    }

    /// Max-pooling.
    pub fn max_pool2d(&mut self, x: ValueId, pool: MaxPool2d) -> Result<ValueId> {
        self.apply(pool, &[x])
    }

    /// Average pooling.
    pub fn avg_pool2d(&mut self, x: ValueId, pool: AvgPool2d) -> Result<ValueId> {
        self.apply(pool, &[x])
    }

    /// Average pooling to `[batch, channels, 1, 1]`.
    pub fn global_avg_pool2d(&mut self, x: ValueId) -> Result<ValueId> {
        self.adaptive_avg_pool2d(x, [1, 1])
    }

    /// Average pooling to a given height and width.
    pub fn adaptive_avg_pool2d(&mut self, x: ValueId, output_size: [usize; 2]) -> Result<ValueId> {
        self.apply(AdaptiveAvgPool2d { output_size }, &[x])
    }

    /// Max-pooling to `[batch, channels, 1, 1]`.
    pub fn global_max_pool2d(&mut self, x: ValueId) -> Result<ValueId> {
        self.apply(AdaptiveMaxPool2d { output_size: [1, 1] }, &[x])
    }

    /// Reshape to `[batch, features]`.
    pub fn flatten(&mut self, x: ValueId) -> Result<ValueId> {
        let shape = self.graph.shape(x);
        let (batch, rest) = (shape[0], shape[1..].iter().product());
        self.apply(op::Reshape { shape: vec![batch, rest] }, &[x])
    }

    /// Dropout that zeroes elements with probability `p`; the identity in evaluation. The first dropout adds the input
    /// [`Builder::COUNTER`].
    pub fn dropout(&mut self, x: ValueId, p: f32) -> Result<ValueId> {
        if self.mode == Mode::Eval {
            return Ok(x);
        }
        let counter = match self.counter {
            Some(counter) => counter,
            None => self.graph.input(Self::COUNTER, TensorType::u32([2]))?,
        };
        self.counter = Some(counter);
        self.dropouts += 1;
        self.apply(op::Dropout { p, stream: self.dropouts }, &[x, counter])
    }

    /// Registers the logits of an auxiliary head, whose loss is added to the training loss with this weight.
    pub fn auxiliary(&mut self, logits: ValueId, weight: f32) {
        self.auxiliary.push((logits, weight));
    }

    /// Logits and weights registered with [`Builder::auxiliary`].
    pub fn auxiliaries(&self) -> &[(ValueId, f32)] {
        &self.auxiliary
    }

    /// Adds a trainable parameter, named after the current scope.
    pub fn parameter(&mut self, name: &str, shape: impl Into<Vec<usize>>, init: Init) -> Result<ValueId> {
        self.graph.persistent(name, TensorType::f32(shape), PersistentKind::Parameter, init)
    }

    /// Adds a persistent value that is not trained by gradients, such as running statistics.
    pub fn buffer(&mut self, name: &str, shape: impl Into<Vec<usize>>, init: Init) -> Result<ValueId> {
        self.graph.persistent(name, TensorType::f32(shape), PersistentKind::Buffer, init)
    }

    fn expect_channels(&self, op: &str, x: ValueId, channels: usize) -> Result<(), Error> {
        let shape = self.graph.shape(x);
        match shape.get(1) == Some(&channels) {
            true => Ok(()),
            false => Err(self
                .graph
                .shape_error(op, format!("expected an input with {channels} channels, found {shape:?}"))),
        }
    }
}

/// Adds the nodes that move running statistics towards the statistics of the batch `x`:
/// new = (1 - momentum) old + momentum batch, with the batch's unbiased variance.
pub(crate) fn update_running_stats(
    graph: &mut Graph,
    count: usize,
    [mean, var]: [ValueId; 2],
    [running_mean, running_var]: [ValueId; 2],
    momentum: f32,
) -> Result<[ValueId; 2]> {
    let count = count as f64;
    let unbiased = (momentum as f64 * count / (count - 1.0)) as f32;
    let mean =
        graph.apply(op::WeightedSum { alpha: 1.0 - momentum, beta: momentum }, &[running_mean, mean])?[0];
    let var = graph.apply(op::WeightedSum { alpha: 1.0 - momentum, beta: unbiased }, &[running_var, var])?[0];
    Ok([mean, var])
}
