//! A network for an executor elsewhere, such as a page: its plans, and how each layer's values follow from others.

use super::layer::{Layer, last_with_pixels, layers};
use crate::graph::{Graph, Node, Phase, ReceptiveField, ReluRule, ValueId};
use crate::infer::inference_graph;
use crate::models::Model;
use crate::nn::Builder;
use crate::op::{AvgPool, Conv2d, LocalResponseNorm, MaxPool, Op};
use crate::plan::{Plan, PlanFile, Target};
use crate::{Error, Result};
use serde::Serialize;

/// A network whose plans run outside of this process.
///
/// ```
/// use striate::interpret::LiveNetwork;
/// use striate::models::LeNet;
/// use striate::plan::{Family, Target};
///
/// let network = LiveNetwork::new(&LeNet { in_channels: 1, classes: 10 }, [28, 28])?;
/// assert_eq!(network.layers[0].name, "conv1");
/// let file = network.plans(&Target::browser(Family::Gpu))?;
/// let names: Vec<&str> = file.plans.iter().map(|(name, _)| name.as_str()).collect();
/// assert_eq!(names, ["predict", "inspect", "occlude", "grad_cam"]);
/// # Ok::<(), striate::Error>(())
/// ```
pub struct LiveNetwork {
    /// Layers and blocks in the order of execution.
    pub layers: Vec<LiveLayer>,
    /// The layer of the plan `grad_cam`; `None` if no layer has height and width.
    pub grad_cam: Option<String>,
    /// Images that the plan `occlude` classifies at a time.
    pub occluded: usize,
    graphs: Vec<(&'static str, Graph)>,
}

/// A layer, or a block of layers.
#[derive(Clone, Debug, Serialize)]
pub struct LiveLayer {
    /// Such as `layer1.0.conv1`.
    pub name: String,
    /// `[channels, height, width]` or `[features]`.
    pub shape: Vec<usize>,
    /// Its output in the plan `inspect`.
    pub value: String,
    /// Receptive field, vertically and horizontally.
    pub field: Option<[ReceptiveField; 2]>,
    /// How its values are computed. The first step combines values of other layers, the others change its result. Empty if an operation
    /// among them has no step.
    pub steps: Vec<Step>,
}

/// A step of computing a layer. Values are outputs of the plan `inspect` or its input, weights are persistent values.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Step {
    /// A convolution; also a linear layer, which is one of a single pixel.
    #[allow(missing_docs, reason = "the fields of `op::Conv2d`, by name")]
    Conv {
        input: String,
        weight: String,
        bias: Option<String>,
        stride: [usize; 2],
        padding: [usize; 2],
        dilation: [usize; 2],
        groups: usize,
    },
    /// Max-pooling.
    #[allow(missing_docs, reason = "as for a convolution")]
    MaxPool {
        input: String,
        #[serde(flatten)]
        pool: MaxPool,
    },
    /// Average pooling.
    #[allow(missing_docs, reason = "as for a convolution")]
    AvgPool {
        input: String,
        #[serde(flatten)]
        pool: AvgPool,
    },
    /// Local response normalization.
    #[allow(missing_docs, reason = "as for a convolution")]
    LocalResponseNorm {
        input: String,
        #[serde(flatten)]
        norm: LocalResponseNorm,
    },
    /// Values side by side as channels.
    Concat {
        /// In their order.
        inputs: Vec<Branch>,
    },
    /// Batch norm with running statistics.
    #[allow(missing_docs, reason = "the inputs of `op::BatchNormEval`, by name")]
    BatchNorm { weight: String, bias: String, mean: String, variance: String, eps: f32 },
    /// The sum with another value of the same shape, as at the end of a residual block.
    Add {
        /// The other value.
        other: String,
    },
    /// A ReLU.
    Relu,
}

/// A value that is concatenated with others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Branch {
    /// The value.
    pub input: String,
    /// The layer that it comes from.
    pub layer: String,
}

impl LiveNetwork {
    /// Input of the plan `grad_cam`: 1 for the class to explain, 0 for the others.
    pub const UPSTREAM: &str = "upstream";

    /// Prepares a model for images of `[height, width]`.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if the model does not support images of this size.
    pub fn new(model: &dyn Model, [height, width]: [usize; 2]) -> Result<Self> {
        let graph = |batch| inference_graph(model, [batch, model.in_channels(), height, width]);
        let predict = graph(1)?;
        // Small batches of large images, so that a slow device can do something else in between.
        let occluded = if height * width > 64 * 64 { 4 } else { 16 };
        let layers = layers(&predict, 1);
        let (inspect, described) = inspected(&predict, &layers);
        let last = last_with_pixels(&layers);
        let mut graphs =
            vec![("predict", predict.clone()), ("inspect", inspect), ("occlude", graph(occluded)?)];
        if let Some(last) = last {
            graphs.push(("grad_cam", grad_cam(predict, last.value)?));
        }
        Ok(Self { layers: described, grad_cam: last.map(|layer| layer.name.clone()), occluded, graphs })
    }

    /// The plans for a target. All take normalized NCHW `images`. `predict` classifies one image, `occlude`
    /// [several](Self::occluded), `inspect` outputs every layer of one image, and `grad_cam` the `activation` of a layer and the
    /// `gradient` of a class's logit.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if a value exceeds the limits of the target.
    pub fn plans(&self, target: &Target) -> Result<PlanFile> {
        let plan = |(name, graph): &(&str, Graph)| Ok(((*name).to_owned(), Plan::new(graph, target)?));
        let plans = self.graphs.iter().map(plan).collect::<Result<Vec<_>>>()?;
        Ok(PlanFile { plans, subgroup: target.subgroup })
    }
}

/// The graph with an output for every layer, and for all that the steps name.
fn inspected(graph: &Graph, layers: &[Layer]) -> (Graph, Vec<LiveLayer>) {
    let (images, _) = graph
        .values()
        .find(|(_, value)| value.name == Builder::IMAGES)
        .expect("a network has images as input");
    let fields = graph.receptive_fields(images);
    let names = Names { graph, images };
    let mut needed: Vec<ValueId> = layers.iter().map(|layer| layer.value).collect();
    let described = layers.iter().map(|layer| {
        let mut operands = Vec::new();
        let steps = names.steps(layer.value, &mut operands);
        needed.extend(steps.iter().flat_map(|_| &operands));
        LiveLayer {
            name: layer.name.clone(),
            shape: layer.shape.clone(),
            value: names.value(layer.value),
            field: fields[layer.value.index()],
            steps: steps.unwrap_or_default(),
        }
    });
    let described = described.collect();
    needed.retain(|value| *value != images);
    needed.sort();
    needed.dedup();
    let mut inspect = graph.clone();
    inspect.clear_outputs();
    for value in needed {
        inspect.output(&names.value(value), value);
    }
    (inspect, described)
}

struct Names<'a> {
    graph: &'a Graph,
    images: ValueId,
}

impl Names<'_> {
    /// What plans and steps call a value.
    fn value(&self, value: ValueId) -> String {
        match value == self.images {
            true => Builder::IMAGES.to_owned(),
            false => format!("value{}", value.index()),
        }
    }

    fn weight(&self, value: ValueId) -> String {
        self.graph.value(value).name.clone()
    }

    fn convolution(&self, inputs: &[ValueId], conv: Conv2d) -> Step {
        Step::Conv {
            input: self.value(inputs[0]),
            weight: self.weight(inputs[1]),
            bias: inputs.get(2).map(|bias| self.weight(*bias)),
            stride: conv.stride,
            padding: conv.padding,
            dilation: conv.dilation,
            groups: conv.groups,
        }
    }

    /// The steps to a value, collecting the values that they need; `None` if another operation is among them.
    fn steps(&self, value: ValueId, operands: &mut Vec<ValueId>) -> Option<Vec<Step>> {
        let node = self.node(value)?;
        let input = || self.value(node.inputs[0]);
        let first = match &node.op {
            Op::Conv2d(conv) => Some(self.convolution(&node.inputs, *conv)),
            Op::Matmul(_) => Some(self.convolution(&node.inputs, Conv2d::default())),
            Op::MaxPool(pool) => Some(Step::MaxPool { input: input(), pool: *pool }),
            Op::AvgPool(pool) => Some(Step::AvgPool { input: input(), pool: *pool }),
            Op::LocalResponseNorm(norm) => Some(Step::LocalResponseNorm { input: input(), norm: *norm }),
            Op::Concat(_) => {
                operands.extend(&node.inputs);
                Some(Step::Concat { inputs: node.inputs.iter().map(|value| self.branch(*value)).collect() })
            }
            _ => None,
        };
        if let Some(step) = first {
            operands.push(node.inputs[0]);
            return Some(vec![step]);
        }
        let step = match &node.op {
            Op::Relu(_) => Step::Relu,
            Op::BatchNormEval(norm) => {
                let [weight, bias, mean, variance] = [1, 2, 3, 4].map(|i| self.weight(node.inputs[i]));
                Step::BatchNorm { weight, bias, mean, variance, eps: norm.eps }
            }
            Op::Add(_) => {
                operands.push(node.inputs[1]);
                Step::Add { other: self.value(node.inputs[1]) }
            }
            _ => return None,
        };
        let mut steps = self.steps(node.inputs[0], operands)?;
        steps.push(step);
        Some(steps)
    }

    fn node(&self, value: ValueId) -> Option<&Node> {
        self.graph.nodes().iter().find(|node| node.outputs[0] == value)
    }

    fn branch(&self, value: ValueId) -> Branch {
        let layer =
            self.node(value).map_or_else(|| Builder::IMAGES.to_owned(), |node| node.scope.to_string());
        Branch { input: self.value(value), layer }
    }
}

/// The graph with a layer's `activation` and the `gradient` of a weighted sum of logits.
fn grad_cam(mut graph: Graph, layer: ValueId) -> Result<Graph> {
    let logits = graph.outputs()[0].1;
    let ty = graph.value(logits).ty.clone();
    let upstream = graph.in_phase(Phase::Backward, |graph| graph.input(LiveNetwork::UPSTREAM, ty))?;
    let gradient = graph.gradients_by(ReluRule::Exact, &[(logits, upstream)], &[layer])?[0];
    let gradient =
        gradient.ok_or_else(|| Error::argument("model", "its logits do not depend on its layers"))?;
    graph.clear_outputs();
    graph.output("activation", layer);
    graph.output("gradient", gradient);
    Ok(graph)
}
