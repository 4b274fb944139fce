//! A network made ready on a device to be used.

use super::Evaluation;
use crate::data::{Dataset, Loader, LoaderConfig, Normalization};
use crate::graph::{Graph, Role};
use crate::models::Model;
use crate::nn::{Builder, Mode};
use crate::plan::Plan;
use crate::runtime::Stream;
use crate::weights::{Fit, LoadReport, Weights};
use crate::{Device, Error, Outputs, Result, Session};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A model's forward pass, with running statistics. Input [`Builder::IMAGES`] of `shape` (batch, channels, height,
/// width); output [`Builder::LOGITS`].
pub fn inference_graph(model: &dyn Model, shape: [usize; 4]) -> Result<Graph> {
    let mut b = Builder::new(Mode::Eval);
    let images = b.images(shape)?;
    let logits = model.forward(&mut b, images)?;
    b.graph.output(Builder::LOGITS, logits);
    Ok(b.graph)
}

/// Names of what a model keeps in a mode. They depend on no size, so the graph is of images that the model was made for,
/// and of two of them: in training, batch norm refuses a channel with a single value.
fn persistent_names(model: &dyn Model, mode: Mode) -> Result<BTreeSet<String>> {
    let [height, width] = model.input_size();
    let mut b = Builder::new(mode);
    let images = b.images([2, model.in_channels(), height, width])?;
    model.forward(&mut b, images)?;
    let persistent = b.graph.values().filter(|(_, value)| matches!(value.role, Role::Persistent(_)));
    Ok(persistent.map(|(_, value)| value.name.clone()).collect())
}

/// A network on a device, for images of one size. [The module](super) has an example.
pub struct Predictor {
    session: Session,
    name: String,
    batch: usize,
    classes: usize,
    image_len: usize,
    /// Names of what the model learns only for training, such as GoogLeNet's auxiliary heads.
    training_only: BTreeSet<String>,
}

impl Predictor {
    /// Plans the model for images of `size` = `[height, width]`, `batch` at a time, and takes the memory for
    /// it. Weights are 0 until they are [loaded](Self::load).
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `batch` is 0; [`Error::Shape`] if the model takes no images of this size;
    /// [`Error::TooLarge`] if it does not fit the device.
    pub fn new(
        device: &Device,
        model: &dyn Model,
        [height, width]: [usize; 2],
        batch: usize,
    ) -> Result<Self> {
        if batch == 0 {
            return Err(Error::argument("batch", "must be above 0, and is 0"));
        }
        let channels = model.in_channels();
        let graph = inference_graph(model, [batch, channels, height, width])?;
        let session = Session::new(device, vec![Plan::new(&graph, device.target())?])?;
        let (name, classes) = (model.name(), model.classes());
        let used = persistent_names(model, Mode::Eval)?;
        let training_only = persistent_names(model, Mode::Train)?.difference(&used).cloned().collect();
        Ok(Self { session, name, batch, classes, image_len: channels * height * width, training_only })
    }

    /// Takes the network's weights from a file's. What the model has only in training may be there too.
    ///
    /// # Errors
    ///
    /// As [`Weights::load`].
    pub fn load(&mut self, weights: &Weights, fit: Fit) -> Result<LoadReport> {
        weights.load_ignoring(&mut self.session, fit, &self.training_only)
    }

    /// The weights, and everything else on the device.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The logits of each image; `images` are any number of normalised ones, NCHW.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `images` are not whole images, or a logit is infinite or not a number.
    pub fn logits(&mut self, images: &[f32]) -> Result<Vec<Vec<f32>>> {
        if !images.len().is_multiple_of(self.image_len) {
            let problem = format!("{} numbers are no whole images of {}", images.len(), self.image_len);
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

    /// Answers all images of a data set and compares with their classes.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the data set has other channels, sizes or a different number of classes, or if a
    /// logit is infinite or not a number.
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
                "{} tells {expected} classes apart, but {} has {found}; give the data it was trained for",
                self.name,
                data.name()
            );
            return Err(Error::argument("dataset", problem));
        }
        if data.image_len() != self.image_len {
            let problem = format!(
                "{} takes {} numbers an image, but {} has images of {:?}; give the data it was trained for",
                self.name,
                self.image_len,
                data.name(),
                data.shape()
            );
            return Err(Error::argument("dataset", problem));
        }
        Ok(())
    }

    /// Runs batches, of which the last may be smaller: images do not see each other, so zeros fill it up.
    /// `take` gets what came with each batch, and the logits of a full one.
    fn run<T>(
        &mut self,
        batches: impl Iterator<Item = (Vec<f32>, T)>,
        mut take: impl FnMut(T, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let name = &self.name;
        let mut arrive = |(outputs, with): (Outputs, T)| {
            let logits = outputs.get(Builder::LOGITS).expect("the graph has this output").as_f32();
            if logits.iter().any(|logit| !logit.is_finite()) {
                let problem =
                    "its results are no finite numbers; these weights do not suit it, or the images";
                return Err(Error::argument(name, problem));
            }
            take(with, logits)
        };
        let mut stream = Stream::new(&mut self.session)?;
        for (mut images, with) in batches {
            images.resize(self.batch * self.image_len, 0.0);
            stream.submit(0, &[(Builder::IMAGES, (&images).into())], with)?;
            while let Some(arrived) = stream.poll()? {
                arrive(arrived)?;
            }
        }
        while let Some(arrived) = stream.wait()? {
            arrive(arrived)?;
        }
        Ok(())
    }
}
