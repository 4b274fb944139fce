//! What the network looks like: filters of its first convolution, and its predictions for a few held-out images.

use crate::cli::images::images_of_all_classes;
use crate::cli::text;
use image::RgbImage;
use striate::Result;
use striate::data::{Dataset, Split};
use striate::infer::{Predictor, inference_graph, top};
use striate::interpret::drawing::planar_image;
use striate::interpret::{FilterBank, Images};
use striate::models::Model;
use striate::op::Op;
use striate::train::Trainer;

/// Number of held-out images.
const IMAGES: usize = 8;

#[derive(Default)]
pub struct Look {
    /// Of the first convolution; none if the network has no convolution.
    pub filters: Vec<RgbImage>,
    pub guesses: Vec<Guess>,
}

/// A prediction for an image.
pub struct Guess {
    pub image: RgbImage,
    pub class: String,
    /// From 0 to 1.
    pub probability: f64,
    /// The image's class, if it is another one.
    pub instead_of: Option<String>,
}

/// A copy of the network for predictions.
pub struct Gallery {
    predictor: Predictor,
    data: Dataset,
    images: Images,
    /// Name of the first convolution's weights.
    filters: Option<String>,
}

impl Gallery {
    pub fn new(trainer: &mut Trainer, model: &dyn Model, split: &Split) -> Result<Self> {
        let data = varied(split.held_out(), IMAGES)?;
        let [channels, height, width] = data.shape();
        let graph = inference_graph(model, [1, channels, height, width])?;
        let first = graph.nodes().iter().find(|node| matches!(node.op, Op::Conv2d(_)));
        Ok(Self {
            predictor: Predictor::new(trainer.session().device(), model, [height, width], data.len())?,
            images: Images::from_dataset(&data, &split.normalization, data.len()),
            data,
            filters: first.map(|node| graph.value(node.inputs[1]).name.clone()),
        })
    }

    /// Looks at the trainer's network.
    pub fn look(&mut self, trainer: &mut Trainer) -> Result<Look> {
        let weights = trainer.weights()?;
        let session = self.predictor.session();
        let used: Vec<String> = session.persistent().iter().map(|p| p.value.name.clone()).collect();
        let mut look = Look::default();
        // The others are used in training only.
        for (name, tensor) in weights.into_iter().filter(|(name, _)| used.contains(name)) {
            session.write(&name, &tensor)?;
            if Some(&name) == self.filters.as_ref() {
                look.filters = FilterBank { layer: name, weights: tensor }.images().collect();
            }
        }
        let logits = self.predictor.logits(&self.images.values)?;
        look.guesses = logits.iter().enumerate().map(|(index, logits)| self.guess(index, logits)).collect();
        Ok(look)
    }

    fn guess(&self, index: usize, logits: &[f32]) -> Guess {
        let bytes = self.data.image(index);
        let best = top(logits, 1)[0];
        let class = |class: usize| text::name(&self.data.classes()[class]).into_owned();
        let label = self.data.labels()[index] as usize;
        Guess {
            image: planar_image(self.data.shape(), |_, at| bytes[at]),
            class: class(best.class),
            probability: best.probability,
            instead_of: (label != best.class).then(|| class(label)),
        }
    }
}

/// Up to `count` images, of different classes as far as possible.
fn varied(data: &Dataset, count: usize) -> Result<Dataset> {
    let chosen = images_of_all_classes(data, count);
    let images = chosen.iter().flat_map(|index| data.image(*index)).copied().collect();
    let labels = chosen.iter().map(|index| data.labels()[*index]).collect();
    Dataset::new(data.name(), data.shape(), images, labels, data.classes().to_vec())
}
