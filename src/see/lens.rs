//! A network with its weights, looked into.

use super::{Gradients, Probe};
use crate::data::Preprocessing;
use crate::graph::{Axis, Graph, PersistentKind, Phase, ReluRule, Role, ValueId};
use crate::infer::inference_graph;
use crate::models::Model;
use crate::nn::Builder;
use crate::op::{Op, Softmax};
use crate::plan::Plan;
use crate::{Device, Error, Result, Session, Tensor, TensorType};

/// A layer of a network, or a block of layers.
#[derive(Clone, Debug)]
pub struct Layer {
    /// `layer1.0.conv1`, `inception3a`.
    pub name: String,
    /// Shape of what it gives for an image: `[channels, height, width]` or `[features]`.
    pub shape: Vec<usize>,
    /// The name of its filters, where it is a convolution.
    pub filters: Option<String>,
    pub(super) value: ValueId,
}

impl Layer {
    /// Channels, or features: what is called a unit.
    pub fn channels(&self) -> usize {
        self.shape[0]
    }

    /// Numbers that each channel has.
    pub fn pixels(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// Refuses a channel that the layer has not.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] with the largest channel there is.
    pub fn check_channel(&self, channel: usize) -> Result<()> {
        match channel < self.channels() {
            true => Ok(()),
            false => Err(Error::argument(
                "channel",
                format!("{} has channels 0 to {}, not {channel}", self.name, self.channels() - 1),
            )),
        }
    }
}

/// A network in evaluation mode, with its weights, on a device. [The module](super) has an example.
pub struct Lens {
    device: Device,
    model: String,
    weights: Vec<(String, Tensor)>,
    preprocessing: Preprocessing,
    graph: Graph,
    layers: Vec<Layer>,
    batch: usize,
}

impl Lens {
    /// What a network says of the classes, before the softmax: the last of its [layers](Self::layers).
    pub const LOGITS: &str = Builder::LOGITS;
    /// The images, where a gradient may be asked for.
    pub const IMAGES: &str = Builder::IMAGES;

    /// Looks into a model with weights, which are as [`Session::state_dict`] gives them, `batch` images at a time.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `batch` is 0; [`Error::Shape`] if the model takes no images of this size.
    pub fn new(
        device: &Device,
        model: &dyn Model,
        weights: Vec<(String, Tensor)>,
        preprocessing: Preprocessing,
        batch: usize,
    ) -> Result<Self> {
        if batch == 0 {
            return Err(Error::argument("batch", "must be above 0, and is 0"));
        }
        let [height, width] = preprocessing.size;
        let graph = inference_graph(model, [batch, model.in_channels(), height, width])?;
        let layers = layers(&graph, batch);
        Ok(Self { device: device.clone(), model: model.name(), weights, preprocessing, graph, layers, batch })
    }

    /// The name of the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What images are to be like.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Shape of an image: channels, height, width.
    pub fn image_shape(&self) -> [usize; 3] {
        let [height, width] = self.preprocessing.size;
        [self.preprocessing.channels(), height, width]
    }

    /// Numbers of an image.
    pub fn image_len(&self) -> usize {
        self.image_shape().iter().product()
    }

    /// Images at a time.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Classes that are told apart.
    pub fn classes(&self) -> usize {
        self.layers.last().expect("the logits are always there").channels()
    }

    /// Layers and blocks of layers, as the network goes through them; the last are the [logits](Self::LOGITS).
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The layer of this name.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] with the nearest names if there is none.
    pub fn layer(&self, name: &str) -> Result<&Layer> {
        self.layers.iter().find(|layer| layer.name == name).ok_or_else(|| {
            let mut nearest: Vec<&str> = self.layers.iter().map(|layer| layer.name.as_str()).collect();
            nearest.sort_by_key(|other| strsim::damerau_levenshtein(name, other));
            nearest.truncate(3);
            let problem = format!(
                "{} has no {name:?}; did you mean {}? `striate see layers` lists them",
                self.model,
                nearest.join(" or ")
            );
            Error::argument("layer", problem)
        })
    }

    /// Where the elements of a layer look on the images, vertically and horizontally.
    ///
    /// # Errors
    ///
    /// As [`layer`](Self::layer).
    pub fn receptive_field(&self, layer: &str) -> Result<[Axis; 2]> {
        let value = self.layer(layer)?.value;
        let fields = self.graph.receptive_fields(self.value(Self::IMAGES)?);
        fields[value.index()]
            .ok_or_else(|| Error::argument("layer", format!("{layer} does not depend on the images")))
    }

    /// How many numbers were learned: running statistics are none of them.
    pub fn parameters(&self) -> usize {
        let learned =
            |role: &Role| matches!(role, Role::Persistent(p) if p.kind == PersistentKind::Parameter);
        self.graph
            .values()
            .filter(|(_, value)| learned(&value.role))
            .map(|(_, value)| value.ty.shape.iter().product::<usize>())
            .sum()
    }

    /// A parameter of the network by its name.
    pub fn weight(&self, name: &str) -> Option<&Tensor> {
        self.weights.iter().find(|(other, _)| other == name).map(|(_, tensor)| tensor)
    }

    /// What layers give for images, normalised ones, any number, NCHW: for each layer `[images, channels, height, width]` or
    /// `[images, features]`.
    ///
    /// # Errors
    ///
    /// As [`layer`](Self::layer) and [`Probe::run`].
    pub fn activations(&self, images: &[f32], layers: &[&str]) -> Result<Vec<Tensor>> {
        self.probe(layers)?.run(images)
    }

    /// What the last linear layer sees: `[images, features]`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the network has no linear layer; else as [`Probe::run`].
    pub fn features(&self, images: &[f32]) -> Result<Tensor> {
        let last = self.graph.nodes().iter().rev().find(|node| matches!(node.op, Op::Matmul(_)));
        let last = last.ok_or_else(|| {
            Error::argument("model", format!("{} has no linear layer to take features from", self.model))
        })?;
        self.probe_of(self.graph.clone(), &[last.inputs[0]])?.only(images)
    }

    /// How likely each class is, from 0 to 1: `[images, classes]`.
    ///
    /// # Errors
    ///
    /// As [`Probe::run`].
    pub fn probabilities(&self, images: &[f32]) -> Result<Tensor> {
        self.classifier()?.only(images)
    }

    /// Layers made ready to be asked many times: what [`activations`](Self::activations) does once.
    ///
    /// # Errors
    ///
    /// As [`layer`](Self::layer); [`Error::TooLarge`] if a batch does not fit the device.
    pub fn probe(&self, layers: &[&str]) -> Result<Probe> {
        let values =
            layers.iter().map(|name| Ok(self.layer(name)?.value)).collect::<Result<Vec<ValueId>>>()?;
        self.probe_of(self.graph.clone(), &values)
    }

    /// The probabilities of the classes, made ready to be asked many times.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if a batch does not fit the device.
    pub fn classifier(&self) -> Result<Probe> {
        let mut graph = self.graph.clone();
        let logits = self.layer(Self::LOGITS)?.value;
        let probabilities = graph.apply(Softmax { dim: 1 }, &[logits])?[0];
        self.probe_of(graph, &[probabilities])
    }

    /// How the mean of a channel of layer `of` changes with each number of what the layers `wrt` give, or of the images
    /// ([`IMAGES`](Self::IMAGES)). With [`ReluRule::Guided`] it is guided backpropagation's instead.
    ///
    /// # Errors
    ///
    /// As [`layer`](Self::layer); [`Error::Argument`] if a layer of `wrt` has no influence;
    /// [`Error::TooLarge`] if a batch does not fit the device.
    pub fn gradients(&self, of: &str, wrt: &[&str], rule: ReluRule) -> Result<Gradients> {
        self.gradients_in(self.graph.clone(), self.layer(of)?.clone(), wrt, rule)
    }

    /// Exact [`gradients`](Self::gradients) with respect to the images of what the ReLU at the end of a layer takes, not of what it
    /// gives: a unit that gives 0 everywhere still has them. `None` if no ReLU is there.
    pub(super) fn gradients_before_relu(&self, of: &str) -> Result<Option<Gradients>> {
        let mut graph = self.graph.clone();
        let layer = self.layer(of)?;
        let value = before_relu(&mut graph, layer.value)?;
        if value == layer.value {
            return Ok(None);
        }
        let layer = Layer { value, ..layer.clone() };
        self.gradients_in(graph, layer, &[Self::IMAGES], ReluRule::Exact).map(Some)
    }

    fn gradients_in(
        &self,
        mut graph: Graph,
        layer: Layer,
        wrt: &[&str],
        rule: ReluRule,
    ) -> Result<Gradients> {
        let ty = graph.value(layer.value).ty.clone();
        let upstream = graph.in_phase(Phase::Backward, |graph| graph.input(Gradients::UPSTREAM, ty))?;
        let values = wrt.iter().map(|name| self.value(name)).collect::<Result<Vec<ValueId>>>()?;
        let gradients = graph.gradients_by(rule, &[(layer.value, upstream)], &values)?;
        let mut outputs = vec![layer.value];
        for (name, gradient) in wrt.iter().zip(gradients) {
            outputs.push(gradient.ok_or_else(|| {
                Error::argument(
                    "layer",
                    format!("{name} has no influence on {}; give one that comes before it", layer.name),
                )
            })?);
        }
        Ok(Gradients::new(self.probe_of(graph, &outputs)?, layer))
    }

    fn value(&self, name: &str) -> Result<ValueId> {
        let images = || self.graph.values().find(|(_, v)| v.role == Role::Input && v.name == Self::IMAGES);
        match (name == Self::IMAGES).then(images).flatten() {
            Some((images, _)) => Ok(images),
            None => Ok(self.layer(name)?.value),
        }
    }

    fn probe_of(&self, mut graph: Graph, values: &[ValueId]) -> Result<Probe> {
        graph.clear_outputs();
        for (number, value) in values.iter().enumerate() {
            graph.output(&number.to_string(), *value);
        }
        let shapes: Vec<TensorType> = values.iter().map(|v| graph.value(*v).ty.clone()).collect();
        let mut session = Session::new(&self.device, vec![Plan::new(&graph, self.device.target())?])?;
        // Layers that come after what is asked for are not in the plan, and so neither are their weights.
        let wanted: Vec<String> = session.persistent().iter().map(|p| p.port.name.clone()).collect();
        for name in wanted {
            let tensor = self.weight(&name).ok_or_else(|| {
                Error::argument(&name, "is not among the weights; give those of the whole model")
            })?;
            session.write(&name, tensor)?;
        }
        Ok(Probe::new(session, self.model.clone(), self.batch, self.image_len(), shapes))
    }
}

/// What a value would be without the ReLUs it comes from; where branches are joined, without theirs.
fn before_relu(graph: &mut Graph, value: ValueId) -> Result<ValueId> {
    let producer = graph.nodes().iter().find(|node| node.outputs[0] == value).cloned();
    match producer {
        Some(node) if matches!(node.op, Op::Relu(_)) => Ok(node.inputs[0]),
        Some(node) if matches!(node.op, Op::Concat(_)) => {
            let inputs =
                node.inputs.iter().map(|v| before_relu(graph, *v)).collect::<Result<Vec<ValueId>>>()?;
            if inputs == node.inputs { Ok(value) } else { Ok(graph.apply(node.op, &inputs)?[0]) }
        }
        _ => Ok(value),
    }
}

/// The scopes that forward nodes are in, and those around them, each with the last value in it.
fn layers(graph: &Graph, batch: usize) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    let mut note = |name: &str, value: ValueId, filters: Option<String>| {
        let shape = graph.shape(value)[1..].to_vec();
        let layer = Layer { name: name.to_owned(), shape, filters, value };
        match layers.iter_mut().find(|other| other.name == name) {
            // What a convolution's ReLU gives is still the convolution's.
            Some(known) => *known = Layer { filters: known.filters.take().or(layer.filters), ..layer },
            None => layers.push(layer),
        }
    };
    let forward = graph.nodes().iter().filter(|node| node.phase == Phase::Forward);
    for node in forward.filter(|node| !node.scope.is_empty() && graph.shape(node.outputs[0])[0] == batch) {
        let filters = matches!(node.op, Op::Conv2d(_)).then(|| graph.value(node.inputs[1]).name.clone());
        let ends = node.scope.match_indices('.').map(|(end, _)| end).chain([node.scope.len()]);
        for end in ends {
            // A block has many convolutions, and so no filters of its own.
            let own = filters.clone().filter(|_| end == node.scope.len());
            note(&node.scope[..end], node.outputs[0], own);
        }
    }
    let (_, logits) = graph.outputs().first().expect("an inference graph gives out logits");
    note(Lens::LOGITS, *logits, None);
    layers
}
