//! Runs a network's forward pass.

use super::Evaluation;
use crate::data::{Dataset, Loader, LoaderConfig, Normalization};
use crate::graph::{Graph, Role, ValueId};
use crate::models::Model;
use crate::nn::{Builder, Mode};
use crate::op::Op;
use crate::plan::Plan;
use crate::runtime::Stream;
use crate::weights::{Fit, LoadReport, Weights};
use crate::{Device, Error, Outputs, Result, Session};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A model's forward pass in evaluation mode. The input is [`Builder::IMAGES`] of `shape` `[batch, channels, height,
/// width]`, the output [`Builder::LOGITS`].
pub fn inference_graph(model: &dyn Model, shape: [usize; 4]) -> Result<Graph> {
    let mut b = Builder::new(Mode::Eval);
    let images = b.images(shape)?;
    let logits = model.forward(&mut b, images)?;
    b.graph.output(Builder::LOGITS, logits);
    Ok(b.graph)
}

/// The features that a network classifies by: the input of its last linear layer.
///
/// # Errors
///
/// [`Error::Argument`] if it has no linear layer.
pub fn features(graph: &Graph) -> Result<ValueId> {
    let last = graph.nodes().iter().rev().find(|node| matches!(node.op, Op::Matmul(_)));
    let problem = || Error::argument("model", "has no linear layer to take features from");
    last.map(|node| node.inputs[0]).ok_or_else(problem)
}

/// Names of a model's persistent values in a mode. They do not depend on sizes, so the default image size will do. The
/// batch has two images, because batch norm cannot train on a single value per channel.
fn persistent_names(model: &dyn Model, mode: Mode) -> Result<BTreeSet<String>> {
    let [height, width] = model.input_size();
    let mut b = Builder::new(mode);
    let images = b.images([2, model.in_channels(), height, width])?;
    model.forward(&mut b, images)?;
    let persistent = b.graph.values().filter(|(_, value)| matches!(value.role, Role::Persistent(_)));
    Ok(persistent.map(|(_, value)| value.name.clone()).collect())
}

/// A network on a device, for images of one size.
///
/// ```
/// use striate::data::{Dataset, Preprocessing};
/// use striate::infer::{Predictor, top};
/// use striate::weights::{Fit, Weights};
/// use striate::{Device, models};
///
/// # let temporary = tempfile::tempdir().unwrap();
/// # let dir = temporary.path();
/// # image::RgbImage::new(40, 30).save(dir.join("night.png")).unwrap();
/// let preprocessing = Preprocessing::named("cifar10")?;
/// let model = models::by_name("resnet8", 3, 10)?;
/// let mut predictor = Predictor::new(&Device::select("cpu")?, &*model, preprocessing.size, 32)?;
/// # // Weights for which any image is of class 2.
/// # let mut state = predictor.session().state_dict()?;
/// # let bias = state.iter_mut().find(|(name, _)| name == "fc.bias").unwrap();
/// # bias.1 = striate::Tensor::f32([10], (0..10).map(|class| if class == 2 { 5.0 } else { 0.0 }).collect())?;
/// # striate::weights::write(&dir.join("model.safetensors"), &state, &Default::default())?;
/// predictor.load(&Weights::read(&dir.join("model.safetensors"))?, Fit::Strict)?;
///
/// // One image, or several one after another; `Preprocessing::read_all` reads them in parallel.
/// let image = preprocessing.read(&dir.join("night.png"))?;
/// let best = top(&predictor.logits(&image)?[0], 3);
/// assert_eq!(best[0].class, 2);
/// assert!(best[0].probability > 0.9);
///
/// // A labeled data set.
/// let classes = striate::data::CIFAR10_CLASSES.map(str::to_owned).to_vec();
/// let (black, labels) = (vec![0; 4 * 3 * 32 * 32], vec![2, 2, 2, 7]);
/// let nights = Dataset::new("nights", [3, 32, 32], black, labels, classes)?;
/// let evaluation = predictor.evaluate(&nights.into(), &preprocessing.normalization)?;
/// assert_eq!((evaluation.top1(), evaluation.confusion[7][2]), (0.75, 1));
/// # Ok::<(), striate::Error>(())
/// ```
pub struct Predictor {
    session: Session,
    name: String,
    batch: usize,
    classes: usize,
    image_len: usize,
    /// Names of values that only training uses, such as GoogLeNet's auxiliary heads.
    training_only: BTreeSet<String>,
}

impl Predictor {
    /// Plans the model for images of `[height, width]`, `batch` at a time, and allocates its memory. Weights are 0 until
    /// they are [loaded](Self::load).
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `batch` is 0; [`Error::Shape`] if the model does not accept images of this size;
    /// [`Error::TooLarge`] if the device has too little memory.
    pub fn new(
        device: &Device,
        model: &dyn Model,
        [height, width]: [usize; 2],
        batch: usize,
    ) -> Result<Self> {
        if batch == 0 {
            return Err(Error::argument("batch", "must be positive, got 0"));
        }
        let channels = model.in_channels();
        let graph = inference_graph(model, [batch, channels, height, width])?;
        let session = Session::new(device, vec![Plan::new(&graph, device.target())?])?;
        let (name, classes) = (model.name(), model.classes());
        let used = persistent_names(model, Mode::Eval)?;
        let training_only = persistent_names(model, Mode::Train)?.difference(&used).cloned().collect();
        Ok(Self { session, name, batch, classes, image_len: channels * height * width, training_only })
    }

    /// Loads weights. The file may also have the tensors that the model uses only in training.
    ///
    /// # Errors
    ///
    /// As for [`Weights::load`].
    pub fn load(&mut self, weights: &Weights, fit: Fit) -> Result<LoadReport> {
        weights.load_ignoring(&mut self.session, fit, &self.training_only)
    }

    /// The session, which holds all values on the device.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The logits of each image. `images` are normalized, NCHW, any number of them.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the length of `images` is not a multiple of an image's, or a logit is not finite.
    pub fn logits(&mut self, images: &[f32]) -> Result<Vec<Vec<f32>>> {
        if !images.len().is_multiple_of(self.image_len) {
            let (len, found) = (self.image_len, images.len());
            let problem = format!("expected a multiple of {len} values, the size of an image, found {found}");
            return Err(Error::argument("images", problem));
        }
        let (len, classes) = (self.image_len, self.classes);
        let batches = images.chunks(self.batch * len).map(|batch| (batch.to_vec(), batch.len() / len));
        let mut all = Vec::new();
        self.run(batches, |count, logits| {
            all.extend(logits.chunks_exact(classes).take(count).map(<[f32]>::to_vec));
            Ok(())
        })?;
        Ok(all)
    }

    /// Evaluates the network on a data set.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the data set has another image shape or number of classes, or a logit is not finite.
    pub fn evaluate(&mut self, data: &Arc<Dataset>, normalization: &Normalization) -> Result<Evaluation> {
        self.check(data)?;
        let batch_size = self.batch.min(data.len());
        let loader =
            Loader::new(data.clone(), normalization, LoaderConfig { batch_size, ..Default::default() })?;
        let mut evaluation = Evaluation::new(self.classes);
        let classes = self.classes;
        self.run(loader.map(|batch| (batch.images, batch.labels)), |labels, logits| {
            for (logits, label) in logits.chunks_exact(classes).zip(labels) {
                evaluation.add(logits, label as usize)?;
            }
            Ok(())
        })?;
        Ok(evaluation)
    }

    fn check(&self, data: &Dataset) -> Result<()> {
        let (found, expected) = (data.classes().len(), self.classes);
        if found != expected {
            let problem = format!(
                "{} has {expected} classes, but {} has {found}; use the data set it was trained on",
                self.name,
                data.name()
            );
            return Err(Error::argument("dataset", problem));
        }
        if data.image_len() != self.image_len {
            let problem = format!(
                "{} expects {} values per image, but {} has images of {:?}; use the data set it was trained on",
                self.name,
                self.image_len,
                data.name(),
                data.shape()
            );
            return Err(Error::argument("dataset", problem));
        }
        Ok(())
    }

    /// Runs batches, each with some associated value. Images do not affect each other, so a smaller last batch is padded with
    /// zeros. `take` gets the value and the logits of the padded batch.
    fn run<T>(
        &mut self,
        batches: impl Iterator<Item = (Vec<f32>, T)>,
        mut take: impl FnMut(T, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let name = &self.name;
        let mut collect = |(outputs, value): (Outputs, T)| {
            let logits = outputs.get(Builder::LOGITS).expect("the graph has this output").as_f32();
            if logits.iter().any(|logit| !logit.is_finite()) {
                let problem =
                    "produced logits that are not finite; check that the weights and images suit it";
                return Err(Error::argument(name, problem));
            }
            take(value, logits)
        };
        let mut stream = Stream::new(&mut self.session)?;
        for (mut images, value) in batches {
            images.resize(self.batch * self.image_len, 0.0);
            stream.submit(0, &[(Builder::IMAGES, (&images).into())], value)?;
            while let Some(step) = stream.poll()? {
                collect(step)?;
            }
        }
        while let Some(step) = stream.wait()? {
            collect(step)?;
        }
        Ok(())
    }
}
