//! What of a network and of many images is shown.

use striate::see::{Images, Layer, Lens, MapConfig};
use striate::{Error, Result};

/// The same images with `count` of different classes first, where classes are known.
pub fn examples_first(images: Images, count: usize) -> Images {
    let Some(labels) = &images.labels else { return images };
    let mut seen = std::collections::HashSet::new();
    let (mut first, mut rest): (Vec<usize>, Vec<usize>) =
        (0..images.len()).partition(|i| seen.len() < count && seen.insert(labels[*i]));
    first.append(&mut rest);
    images.pick(&first)
}

/// The layers asked for, or of all: the first convolution with what follows it, and the last layer or block of each size of image.
pub fn layers(lens: &Lens, asked: &[String]) -> Result<Vec<String>> {
    if !asked.is_empty() {
        asked.iter().try_for_each(|name| lens.layer(name).map(drop))?;
        return Ok(asked.to_vec());
    }
    let with_places = || lens.layers().iter().filter(|layer| layer.shape.len() == 3 && layer.pixels() > 1);
    let mut chosen: Vec<&Layer> = Vec::new();
    for layer in with_places().filter(|layer| !layer.name.contains('.')) {
        // A later one of the same size takes the place of an earlier one.
        chosen.retain(|other| other.shape[1..] != layer.shape[1..]);
        chosen.push(layer);
    }
    let first = with_places().find(|layer| layer.filters.is_some()).map(|layer| after_stem(lens, layer));
    let first = first.filter(|first| !chosen.iter().any(|other| is_in(&first.name, &other.name)));
    let names: Vec<String> = first.into_iter().chain(chosen).map(|layer| layer.name.clone()).collect();
    match names.is_empty() {
        true => Err(Error::argument("layer", format!("no layer of {} has height and width", lens.model()))),
        false => Ok(names),
    }
}

/// Whether a layer is a block, or a part of it.
fn is_in(layer: &str, block: &str) -> bool {
    layer.strip_prefix(block).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The last of the single layers that follow a convolution and change no shape, such as its batch norm and its ReLU: what they give
/// says more than numbers of both signs.
fn after_stem<'a>(lens: &'a Lens, convolution: &'a Layer) -> &'a Layer {
    let layers = lens.layers();
    let is_block = |name: &str| layers.iter().any(|other| other.name != name && is_in(&other.name, name));
    let from = layers.iter().position(|layer| layer.name == convolution.name).unwrap_or(0);
    let same = |layer: &&Layer| layer.shape == convolution.shape && !is_block(&layer.name);
    layers[from..].iter().take_while(same).last().unwrap_or(convolution)
}

/// The perplexity of a map of so many images, the usual one if there are enough; `None` for fewer than a map makes sense for.
pub fn perplexity(images: usize) -> Option<f64> {
    let most = (images.saturating_sub(1) / 3) as f64;
    (images >= FEWEST).then(|| MapConfig::default().perplexity.min(most))
}

/// Images that make a map.
pub const FEWEST: usize = 10;

/// Where the largest number is, the first of equal ones.
pub fn largest(numbers: &[f32]) -> usize {
    (0..numbers.len()).fold(0, |best, next| if numbers[next] > numbers[best] { next } else { best })
}

#[cfg(test)]
mod tests {
    use super::{FEWEST, perplexity};
    use striate::Tensor;
    use striate::see::{MapConfig, map};

    #[test]
    fn the_perplexity_of_a_page_is_accepted() {
        for count in 0..100 {
            let Some(perplexity) = perplexity(count) else {
                assert!(count < FEWEST);
                continue;
            };
            let images =
                Tensor::f32([count, 2], (0..2 * count).map(|i| (i * i % 97) as f32).collect()).unwrap();
            let config = MapConfig { perplexity, steps: 1, ..Default::default() };
            map(&images, &config).unwrap_or_else(|error| panic!("{count} images: {error}"));
        }
    }
}
