//! Chooses what the page shows of a network and its images.

use striate::interpret::{Images, Layer, Lens, TsneConfig};
use striate::{Error, Result};

/// Moves `count` images of different classes to the front, if classes are known. Returns the numbers of those moved, unless they
/// were there before.
pub fn examples_first(images: Images, count: usize) -> (Images, Vec<usize>) {
    let Some(labels) = &images.labels else { return (images, Vec::new()) };
    let mut seen = std::collections::HashSet::new();
    let (first, rest): (Vec<usize>, Vec<usize>) =
        (0..images.len()).partition(|i| seen.len() < count && seen.insert(labels[*i]));
    let images = images.select(&[&first[..], &rest].concat());
    let moved = first.iter().enumerate().any(|(place, number)| place != *number);
    (images, if moved { first } else { Vec::new() })
}

/// The requested layers; by default, the first convolution with its batch norm and ReLU, and the last layer or block at each
/// resolution.
pub fn layers(lens: &Lens, requested: &[String]) -> Result<Vec<String>> {
    if !requested.is_empty() {
        requested.iter().try_for_each(|name| lens.layer(name).map(drop))?;
        return Ok(requested.to_vec());
    }
    let with_pixels = || lens.layers().iter().filter(|layer| layer.shape.len() == 3 && layer.pixels() > 1);
    let mut chosen: Vec<&Layer> = Vec::new();
    for layer in with_pixels().filter(|layer| !layer.name.contains('.')) {
        // A later layer replaces an earlier one of the same size.
        chosen.retain(|other| other.shape[1..] != layer.shape[1..]);
        chosen.push(layer);
    }
    let first = with_pixels().find(|layer| layer.filters.is_some()).map(|layer| after_stem(lens, layer));
    let first = first.filter(|first| !chosen.iter().any(|other| is_in(&first.name, &other.name)));
    let names: Vec<String> = first.into_iter().chain(chosen).map(|layer| layer.name.clone()).collect();
    match names.is_empty() {
        true => Err(Error::argument("layer", format!("no layer of {} has height and width", lens.model()))),
        false => Ok(names),
    }
}

/// Whether a layer is this block or inside it.
fn is_in(layer: &str, block: &str) -> bool {
    layer.strip_prefix(block).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The last of the single layers that follow a convolution without changing the shape, such as its batch norm and ReLU, whose
/// output is easier to read than signed values.
fn after_stem<'a>(lens: &'a Lens, convolution: &'a Layer) -> &'a Layer {
    let layers = lens.layers();
    let is_block = |name: &str| layers.iter().any(|other| other.name != name && is_in(&other.name, name));
    let from = layers.iter().position(|layer| layer.name == convolution.name).unwrap_or(0);
    let same = |layer: &&Layer| layer.shape == convolution.shape && !is_block(&layer.name);
    layers[from..].iter().take_while(same).last().unwrap_or(convolution)
}

/// The perplexity of t-SNE for this many images, lowered if they are few; `None` for too few images.
pub fn perplexity(images: usize) -> Option<f64> {
    let most = (images.saturating_sub(1) / 3) as f64;
    (images >= FEWEST).then(|| TsneConfig::default().perplexity.min(most))
}

/// Images below which t-SNE makes no sense.
pub const FEWEST: usize = 10;

/// The index of the largest value, the first one in a tie.
pub fn largest(values: &[f32]) -> usize {
    (0..values.len()).fold(0, |best, next| if values[next] > values[best] { next } else { best })
}

/// The indices, below `count`, of the `top` largest values, the largest first.
pub fn strongest(count: usize, top: usize, value: impl Fn(usize) -> f32) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..count).collect();
    indices.sort_by(|a, b| value(*b).total_cmp(&value(*a)));
    indices.truncate(top);
    indices
}

#[cfg(test)]
mod tests {
    use super::{FEWEST, perplexity};
    use striate::Tensor;
    use striate::interpret::{TsneConfig, tsne};

    #[test]
    fn the_perplexity_of_a_page_is_accepted() {
        for count in 0..100 {
            let Some(perplexity) = perplexity(count) else {
                assert!(count < FEWEST);
                continue;
            };
            let images =
                Tensor::f32([count, 2], (0..2 * count).map(|i| (i * i % 97) as f32).collect()).unwrap();
            let config = TsneConfig { perplexity, steps: 1, ..Default::default() };
            tsne(&images, &config).unwrap_or_else(|error| panic!("{count} images: {error}"));
        }
    }
}
