//! A map of images: t-SNE of their features.

use super::neighbours::nearest_others;
use super::pca::principal_components;
use crate::rng::{MAP, SplitMix64};
use crate::{Error, Result, Tensor};
use bhtsne::{Neighbor, tSNE};

/// How a map is made.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct MapConfig {
    /// About how many neighbours each image shall keep; three times as many are looked at.
    pub perplexity: f64,
    /// Steps of gradient descent.
    pub steps: usize,
    /// How coarsely far images are taken together (Barnes-Hut); 0 for not at all.
    pub theta: f64,
    /// Principal components that features are reduced to first, if there are more.
    pub components: usize,
    /// Where images start.
    pub seed: u64,
}

impl Default for MapConfig {
    fn default() -> Self {
        Self { perplexity: 30.0, steps: 1000, theta: 0.5, components: 50, seed: 0 }
    }
}

/// Images that the least perplexity, 1, needs.
const FEWEST: usize = 4;

/// Images on a plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Where each image lies.
    pub points: Vec<[f64; 2]>,
    /// Kullback-Leibler divergence of the map's neighbourhoods from those of the features, which it makes small.
    pub divergence: f64,
    /// Principal components that it was made of.
    pub components: usize,
    /// Share of the features' variance that the principal components have, from 0 to 1.
    pub variance: f64,
}

/// Lays `[images, features]` out on a plane so that neighbours stay neighbours.
///
/// t-SNE (van der Maaten and Hinton 2008, "Visualizing data using t-SNE") in Barnes-Hut's approximation (van der
/// Maaten 2014), on principal components. Neighbours are the exact ones. Distances between groups, and sizes of
/// groups, mean little. The same features and seed give the same map: it is made on one core, since sums on
/// several would not always have the same order.
///
/// # Errors
///
/// [`Error::Argument`] if there are too few images for the perplexity, a setting is out of range, or a number is not
/// finite.
pub fn map(images: &Tensor, config: &MapConfig) -> Result<Map> {
    let count = images.shape()[0];
    config.check(count)?;
    let width = images.shape().get(1).copied().unwrap_or(0);
    let reduced = principal_components(images, config.components.min(width))?;
    let looked_at = (3.0 * config.perplexity) as usize;
    let neighbours: Vec<Vec<Neighbor<f64>>> = nearest_others(&reduced.rows, looked_at)?
        .into_iter()
        .map(|row| row.into_iter().map(|n| Neighbor { index: n.index, distance: n.distance }).collect())
        .collect();
    let mut random = SplitMix64::keyed(config.seed, &[MAP]);
    let start: Vec<f64> = (0..2 * count).map(|_| 1e-4 * random.normal()).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|e| Error::argument("map", format!("no thread can be started ({e})")))?;
    let (points, divergence) = pool.install(|| {
        let data = vec![(); count];
        let mut tsne: tSNE<'_, f64, ()> = tSNE::new(&data);
        tsne.perplexity(config.perplexity).epochs(config.steps).initial_embedding(start);
        tsne.barnes_hut_with_neighbors(config.theta, &neighbours);
        (tsne.embedding(), tsne.kl_divergence().expect("it was fitted"))
    });
    let points = points.as_chunks().0.to_vec();
    Ok(Map {
        points,
        divergence,
        components: reduced.variance.len(),
        variance: reduced.variance.iter().sum(),
    })
}

impl MapConfig {
    fn check(&self, images: usize) -> Result<()> {
        if !(self.perplexity >= 1.0 && self.perplexity.is_finite()) {
            return Err(Error::argument(
                "perplexity",
                format!("must be at least 1, and is {}", self.perplexity),
            ));
        }
        if images < FEWEST {
            let problem = format!("needs at least {FEWEST} images, and there are {images}; give more");
            return Err(Error::argument("map", problem));
        }
        // As many neighbours must be there besides the image itself.
        let needed = ((3.0 * self.perplexity) as usize).saturating_add(1);
        if images < needed {
            let problem = format!(
                "{} needs at least {needed} images, and there are {images}; give more, or a perplexity of at most {}",
                self.perplexity,
                (images - 1) / 3
            );
            return Err(Error::argument("perplexity", problem));
        }
        if !(0.0..=1.0).contains(&self.theta) {
            return Err(Error::argument("theta", format!("must be from 0 to 1, and is {}", self.theta)));
        }
        match self.steps {
            0 => Err(Error::argument("steps", "must be above 0, and is 0")),
            _ => Ok(()),
        }
    }
}
