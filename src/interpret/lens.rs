//! A trained network, opened for inspection.

use super::layer::{last_with_pixels, layers};
use super::{Extractor, Gradients, Layer, check_not_zero};
use crate::data::Preprocessing;
use crate::graph::{Graph, PersistentKind, Phase, ReceptiveField, ReluRule, Role, ValueId};
use crate::infer::{features, inference_graph};
use crate::models::Model;
use crate::nn::Builder;
use crate::op::{Op, Softmax};
use crate::plan::Plan;
use crate::{Device, Error, Result, Session, Tensor};

/// A network in evaluation mode with its weights, on a device.
///
/// ```
/// use striate::data::{self, Preprocessing};
/// use striate::infer::Predictor;
/// use striate::interpret::{Images, Lens, grad_cam};
/// use striate::weights::{Fit, Weights};
/// use striate::{Device, models};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("lenet.safetensors");
/// let device = Device::select("cpu")?;
/// let preprocessing = Preprocessing::named("fashion-mnist")?;
/// let model = models::by_name("lenet", 1, 10)?;
/// // A predictor gives the tensors of a file the names that the model has for them.
/// let mut predictor = Predictor::new(&device, &*model, preprocessing.size, 1)?;
/// # predictor.session().initialize(1)?;
/// # striate::weights::write(&path, &predictor.session().state_dict()?, &Default::default())?;
/// predictor.load(&Weights::read(&path)?, Fit::Strict)?;
/// let lens = Lens::new(&device, &*model, predictor.session().state_dict()?, preprocessing, 32)?;
///
/// let names: Vec<&str> = lens.layers().iter().map(|layer| layer.name.as_str()).collect();
/// assert_eq!(names, ["conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "fc1", "relu3", "fc2", Lens::LOGITS]);
/// let images = data::open("fashion-mnist", None, None)?.test;
/// let images = Images::from_dataset(&images, &lens.preprocessing().normalization, 5);
/// let maps = &lens.activations(&images.values, &["relu2"])?[0];
/// assert_eq!(maps.shape(), [5, 64, 8, 8]);
/// let probabilities = lens.probabilities(&images.values)?;
/// assert!((probabilities.as_f32()[..10].iter().sum::<f32>() - 1.0).abs() < 1e-5);
///
/// // Where the channels of a layer support class 3 in the first image.
/// let support = grad_cam(&lens, images.image(0), &[3], "relu2")?;
/// assert_eq!(support.shape(), [1, 8, 8]);
/// # Ok::<(), striate::Error>(())
/// ```
pub struct Lens {
    device: Device,
    model: String,
    weights: Vec<(String, Tensor)>,
    preprocessing: Preprocessing,
    pub(super) graph: Graph,
    layers: Vec<Layer>,
    batch: usize,
}

impl Lens {
    /// The class scores before the softmax: the name of the last of the [layers](Self::layers).
    pub const LOGITS: &str = Builder::LOGITS;
    /// The input images, as a name to take gradients with respect to.
    pub const IMAGES: &str = Builder::IMAGES;

    /// Opens a model with weights in the form of [`Session::state_dict`], running `batch` images at a time.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `batch` is 0; [`Error::Shape`] if the model does not support images of this size.
    pub fn new(
        device: &Device,
        model: &dyn Model,
        weights: Vec<(String, Tensor)>,
        preprocessing: Preprocessing,
        batch: usize,
    ) -> Result<Self> {
        check_not_zero("batch", batch)?;
        let [height, width] = preprocessing.size;
        let graph = inference_graph(model, [batch, model.in_channels(), height, width])?;
        let layers = layers(&graph, batch);
        Ok(Self { device: device.clone(), model: model.name(), weights, preprocessing, graph, layers, batch })
    }

    /// The same network, of this model, for images of another size and in other batches.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn resized(&self, model: &dyn Model, size: [usize; 2], batch: usize) -> Result<Self> {
        let preprocessing = Preprocessing { size, ..self.preprocessing.clone() };
        Self::new(&self.device, model, self.weights.clone(), preprocessing, batch)
    }

    /// Name of the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The device it runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The preprocessing that the network expects.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Channels, height and width of an input image.
    pub fn image_shape(&self) -> [usize; 3] {
        let [height, width] = self.preprocessing.size;
        [self.preprocessing.channels(), height, width]
    }

    /// Number of values per image.
    pub fn image_len(&self) -> usize {
        self.image_shape().iter().product()
    }

    /// Images per batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.layers.last().expect("the logits are always the last layer").channels()
    }

    /// Layers and blocks in the order of execution; the last one is the [logits](Self::LOGITS).
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The last layer with height and width, on which Grad-CAM works best.
    pub fn last_with_pixels(&self) -> Option<&Layer> {
        last_with_pixels(&self.layers)
    }

    /// Looks up a layer by name.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if there is none, suggesting similar names.
    pub fn layer(&self, name: &str) -> Result<&Layer> {
        self.layers.iter().find(|layer| layer.name == name).ok_or_else(|| {
            let mut nearest: Vec<&str> = self.layers.iter().map(|layer| layer.name.as_str()).collect();
            nearest.sort_by_key(|other| strsim::damerau_levenshtein(name, other));
            nearest.truncate(3);
            let problem = format!(
                "{} has no layer {name:?}; did you mean {}? `striate see layers` lists all of them",
                self.model,
                nearest.join(" or ")
            );
            Error::argument("layer", problem)
        })
    }

    /// The layer's receptive field, vertically and horizontally: the pixels that its elements can depend on.
    ///
    /// ```
    /// # let device = striate::Device::select("cpu")?;
    /// # let model = striate::models::LeNet { in_channels: 1, classes: 10 };
    /// # let mut predictor = striate::infer::Predictor::new(&device, &model, [28, 28], 1)?;
    /// # predictor.session().initialize(1)?;
    /// # let weights = predictor.session().state_dict()?;
    /// # let preprocessing = striate::data::Preprocessing::named("fashion-mnist")?;
    /// # let lens = striate::interpret::Lens::new(&device, &model, weights, preprocessing, 8)?;
    /// // Two convolutions of 5 x 5, and a max pooling with stride 2 between them.
    /// let [vertical, _] = lens.receptive_field("conv2")?;
    /// assert_eq!((vertical.size, vertical.stride), (14, 2));
    /// assert_eq!(vertical.pixels(3), 6..20);
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`layer`](Self::layer).
    pub fn receptive_field(&self, layer: &str) -> Result<[ReceptiveField; 2]> {
        let value = self.layer(layer)?.value;
        let fields = self.graph.receptive_fields(self.value(Self::IMAGES)?);
        fields[value.index()]
            .ok_or_else(|| Error::argument("layer", format!("{layer} does not depend on the images")))
    }

    /// Number of trainable parameters; running statistics do not count.
    pub fn parameters(&self) -> usize {
        self.count_parameters(|_| true)
    }

    /// Number of trainable parameters of a layer, or of all layers in a block.
    pub fn parameters_in(&self, layer: &str) -> usize {
        self.count_parameters(|name| name.strip_prefix(layer).is_some_and(|rest| rest.starts_with('.')))
    }

    fn count_parameters(&self, counts: impl Fn(&str) -> bool) -> usize {
        let learned =
            |role: &Role| matches!(role, Role::Persistent(p) if p.kind == PersistentKind::Parameter);
        self.graph
            .values()
            .filter(|(_, value)| learned(&value.role) && counts(&value.name))
            .map(|(_, value)| value.ty.shape.iter().product::<usize>())
            .sum()
    }

    /// The parameters and buffers of the network.
    pub fn weights(&self) -> &[(String, Tensor)] {
        &self.weights
    }

    /// A parameter or buffer of the network, by name.
    pub fn weight(&self, name: &str) -> Option<&Tensor> {
        self.weights.iter().find(|(other, _)| other == name).map(|(_, tensor)| tensor)
    }

    /// The output of layers for any number of normalized NCHW images: for each layer `[images, channels, height, width]` or
    /// `[images, features]`.
    ///
    /// # Errors
    ///
    /// As [`layer`](Self::layer) and [`Extractor::run`].
    pub fn activations(&self, images: &[f32], layers: &[&str]) -> Result<Vec<Tensor>> {
        self.extractor(layers)?.run(images)
    }

    /// The input of the last linear layer: `[images, features]`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the network has no linear layer; otherwise as [`Extractor::run`].
    pub fn features(&self, images: &[f32]) -> Result<Tensor> {
        self.extractor_of(self.graph.clone(), &[features(&self.graph)?], &[])?.run_single(images)
    }

    /// Class probabilities from 0 to 1: `[images, classes]`.
    ///
    /// # Errors
    ///
    /// As [`Extractor::run`].
    pub fn probabilities(&self, images: &[f32]) -> Result<Tensor> {
        self.classifier()?.run_single(images)
    }

    /// Prepares the layers for repeated use; [`activations`](Self::activations) does this on each call.
    ///
    /// # Errors
    ///
    /// As [`layer`](Self::layer); [`Error::TooLarge`] if a batch does not fit the device.
    pub fn extractor(&self, layers: &[&str]) -> Result<Extractor> {
        let values =
            layers.iter().map(|name| Ok(self.layer(name)?.value)).collect::<Result<Vec<ValueId>>>()?;
        self.extractor_of(self.graph.clone(), &values, &[])
    }

    /// Prepares the class probabilities for repeated use.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if a batch does not fit the device.
    pub fn classifier(&self) -> Result<Extractor> {
        let mut graph = self.graph.clone();
        let logits = self.layer(Self::LOGITS)?.value;
        let probabilities = graph.apply(Softmax { dim: 1 }, &[logits])?[0];
        self.extractor_of(graph, &[probabilities], &[])
    }

    /// Prepares the gradients of a channel's mean in layer `of` with respect to the output of the layers `wrt`, or to the
    /// images ([`IMAGES`](Self::IMAGES)). [`ReluRule::Guided`] gives guided backpropagation.
    ///
    /// # Errors
    ///
    /// As [`layer`](Self::layer); [`Error::Argument`] if `of` does not depend on a layer of `wrt`;
    /// [`Error::TooLarge`] if a batch does not fit the device.
    pub fn gradients(&self, of: &str, wrt: &[&str], rule: ReluRule) -> Result<Gradients> {
        let layer = self.layer(of)?.clone();
        self.backward(self.graph.clone(), layer, wrt, &[], |graph, upstream, wrt| {
            graph.gradients_by(rule, upstream, wrt)
        })
    }

    /// Exact [`gradients`](Self::gradients) of a layer's pre-activations with respect to the images: nonzero even where the
    /// final ReLU outputs 0. `None` if the layer does not end with a ReLU.
    pub(super) fn gradients_before_relu(&self, of: &str) -> Result<Option<Gradients>> {
        let mut graph = self.graph.clone();
        let layer = self.layer(of)?;
        let value = before_relu(&mut graph, layer.value)?;
        if value == layer.value {
            return Ok(None);
        }
        let layer = Layer { value, ..layer.clone() };
        self.backward(graph, layer, &[Self::IMAGES], &[], Graph::gradients).map(Some)
    }

    /// Prepares a backward pass from `layer` to the layers `wrt`. `add` adds its nodes, given pairs of a value and what is upstream,
    /// and the values to reach. `constants` are persistent values of the graph that the network does not have.
    pub(super) fn backward(
        &self,
        mut graph: Graph,
        layer: Layer,
        wrt: &[&str],
        constants: &[(&str, Tensor)],
        add: impl FnOnce(&mut Graph, &[(ValueId, ValueId)], &[ValueId]) -> Result<Vec<Option<ValueId>>>,
    ) -> Result<Gradients> {
        let ty = graph.value(layer.value).ty.clone();
        let upstream = graph.in_phase(Phase::Backward, |graph| graph.input(Gradients::UPSTREAM, ty))?;
        let values = wrt.iter().map(|name| self.value(name)).collect::<Result<Vec<ValueId>>>()?;
        let gradients = add(&mut graph, &[(layer.value, upstream)], &values)?;
        let mut outputs = vec![layer.value];
        for (name, gradient) in wrt.iter().zip(gradients) {
            outputs.push(gradient.ok_or_else(|| {
                Error::argument(
                    "layer",
                    format!("{} does not depend on {name}; give a layer that comes before it", layer.name),
                )
            })?);
        }
        Ok(Gradients { extractor: self.extractor_of(graph, &outputs, constants)?, layer })
    }

    fn value(&self, name: &str) -> Result<ValueId> {
        let images = || self.graph.values().find(|(_, v)| v.role == Role::Input && v.name == Self::IMAGES);
        match (name == Self::IMAGES).then(images).flatten() {
            Some((images, _)) => Ok(images),
            None => Ok(self.layer(name)?.value),
        }
    }

    fn extractor_of(
        &self,
        mut graph: Graph,
        values: &[ValueId],
        constants: &[(&str, Tensor)],
    ) -> Result<Extractor> {
        graph.clear_outputs();
        for (index, value) in values.iter().enumerate() {
            graph.output(&index.to_string(), *value);
        }
        let types = values.iter().map(|v| graph.value(*v).ty.clone()).collect();
        let mut session = Session::new(&self.device, vec![Plan::new(&graph, self.device.target())?])?;
        // The plan leaves out layers after the outputs, and with them their weights.
        let needed: Vec<String> = session.persistent().iter().map(|p| p.value.name.clone()).collect();
        for name in needed {
            let constant = constants.iter().find(|(other, _)| *other == name).map(|(_, tensor)| tensor);
            let tensor = constant.or_else(|| self.weight(&name)).ok_or_else(|| {
                Error::argument(&name, "is missing from the weights; give those of the whole model")
            })?;
            session.write(&name, tensor)?;
        }
        let (model, batch, image_len) = (self.model.clone(), self.batch, self.image_len());
        Ok(Extractor { session, model, batch, image_len, types })
    }
}

/// The value before its final ReLU; of a concatenation, before the ReLUs of its branches.
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
