//! Layer-wise relevance propagation: how much of a class's logit each pixel and channel accounts for.

use super::{Gradients, Lens};
use crate::graph::{Init, PersistentKind, RelevanceRules};
use crate::{Error, Result, Tensor, TensorType};

/// The relevance of classes. Made by [`relevance()`].
#[derive(Clone, Debug)]
pub struct Relevance {
    /// The logit of each image's class.
    pub logits: Vec<f32>,
    /// The relevance of each layer, in the shape of its output.
    pub layers: Vec<Tensor>,
}

/// Divides the logit of each image's class among the values of `layers`: relevance sums to the logit in each layer, except for what
/// biases take ([`RelevanceRules`] has the rules). [`Lens::IMAGES`] gives the relevance of pixels.
///
/// `images` are normalized, NCHW, and `classes` holds one class per image.
///
/// ```
/// # use striate::interpret::{Lens, relevance};
/// # let device = striate::Device::select("cpu")?;
/// # let model = striate::models::LeNet { in_channels: 1, classes: 10 };
/// # let mut predictor = striate::infer::Predictor::new(&device, &model, [28, 28], 1)?;
/// # predictor.session().initialize(1)?;
/// # let weights = predictor.session().state_dict()?;
/// # let preprocessing = striate::data::Preprocessing::named("fashion-mnist")?;
/// # let lens = Lens::new(&device, &model, weights, preprocessing, 8)?;
/// let images = vec![0.5; 28 * 28];
/// let maps = relevance(&lens, &images, &[3], &[Lens::IMAGES, "relu2"], Default::default())?.layers;
/// assert_eq!(maps[0].shape(), [1, 1, 28, 28]);
/// assert_eq!(maps[1].shape(), [1, 64, 8, 8]);
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Argument`] unless there is a class of the network for each image, or if a layer does not exist or a rule's setting is negative; [`Error::Shape`] if an
/// operation has no rule.
pub fn relevance(
    lens: &Lens,
    images: &[f32],
    classes: &[usize],
    layers: &[&str],
    rules: RelevanceRules,
) -> Result<Relevance> {
    check_count("classes", classes.len(), images.len() / lens.image_len())?;
    classes.iter().try_for_each(|class| lens.layer(Lens::LOGITS)?.check_channel(*class))?;
    let all = lens.activations(images, &[Lens::LOGITS])?.swap_remove(0);
    let rows = all.as_f32().chunks_exact(lens.classes());
    let logits: Vec<f32> = rows.zip(classes).map(|(row, class)| row[*class]).collect();
    let mut found = pass(lens, Lens::LOGITS, layers, rules)?
        .run_with_upstream(images, |image, upstream| upstream[classes[image]] = logits[image])?;
    Ok(Relevance { logits, layers: found.split_off(1) })
}

/// The relevance of pixels that passes through one channel of a layer, for pairs of an image and a channel: `[pairs, channels, height,
/// width]` (concept relevance propagation, Achtibat et al. 2023). `at_layer` is the [`relevance()`] of the layer for each image.
///
/// # Errors
///
/// [`Error::Argument`] if the layer, an image or a channel does not exist, or `at_layer` has another shape.
pub fn channel_relevance(
    lens: &Lens,
    images: &[f32],
    layer: &str,
    at_layer: &Tensor,
    pairs: &[(usize, usize)],
    rules: RelevanceRules,
) -> Result<Tensor> {
    let (count, layer) = (images.len() / lens.image_len(), lens.layer(layer)?);
    let (len, pixels) = (layer.channels() * layer.pixels(), layer.pixels());
    check_count("at_layer", at_layer.len(), count * len)?;
    for (image, channel) in pairs {
        layer.check_channel(*channel)?;
        if *image >= count {
            return Err(Error::argument(
                "pairs",
                format!("there are images 0 to {}, found {image}", count - 1),
            ));
        }
    }
    let image = |index: usize| &images[index * lens.image_len()..][..lens.image_len()];
    let inputs: Vec<f32> = pairs.iter().flat_map(|(index, _)| image(*index)).copied().collect();
    let mut found =
        pass(lens, &layer.name, &[Lens::IMAGES], rules)?.run_with_upstream(&inputs, |i, upstream| {
            let (image, channel) = pairs[i];
            let from = channel * pixels;
            upstream[from..][..pixels].copy_from_slice(&at_layer.as_f32()[image * len + from..][..pixels]);
        })?;
    Ok(found.swap_remove(1))
}

/// Prepares the propagation of relevance from one layer to others.
fn pass(lens: &Lens, from: &str, to: &[&str], rules: RelevanceRules) -> Result<Gradients> {
    // Where the divisor is 0, a smaller epsilon would make an infinity.
    for (name, value, lowest) in [("gamma", rules.gamma, 0.0), ("epsilon", rules.epsilon, 1e-12)] {
        if !(lowest..=f32::MAX).contains(&value) {
            return Err(Error::argument(
                name,
                format!("must be at least {lowest:?} and finite, found {value}"),
            ));
        }
    }
    let [channels, height, width] = lens.image_shape();
    let shape = [lens.batch(), channels, height, width];
    let tables = lens.preprocessing().normalization.tables();
    let filled = |byte: usize| {
        let planes =
            (0..lens.batch()).flat_map(|_| &tables).flat_map(|table| vec![table[byte]; height * width]);
        Tensor::f32(shape, planes.collect())
    };
    let constants = [("lowest_pixels", filled(0)?), ("highest_pixels", filled(255)?)];
    let mut graph = lens.graph.clone();
    let mut persistent = |name: &str| {
        graph.persistent(name, TensorType::f32(shape), PersistentKind::Buffer, Init::Constant(0.0))
    };
    let range = [persistent(constants[0].0)?, persistent(constants[1].0)?];
    let layer = lens.layer(from)?.clone();
    lens.backward(graph, layer, to, &constants, |graph, upstream, wrt| {
        graph.relevance(rules, range, upstream, wrt)
    })
}

fn check_count(name: &str, found: usize, expected: usize) -> Result<()> {
    match found == expected {
        true => Ok(()),
        false => Err(Error::argument(name, format!("expected {expected} for these images, found {found}"))),
    }
}
