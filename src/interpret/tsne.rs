//! t-SNE: a two-dimensional embedding of image features.

use super::check_not_zero;
use super::nearest_neighbors::nearest_neighbors_within;
use super::pca::principal_components;
use crate::rng::{SplitMix64, TSNE};
use crate::{Error, Result, Tensor};
use bhtsne::{Neighbor, tSNE};

/// Settings of t-SNE.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct TsneConfig {
    /// Roughly the number of neighbors that each image is kept close to; three times as many are searched.
    pub perplexity: f64,
    /// Steps of gradient descent.
    pub steps: usize,
    /// Barnes-Hut accuracy from 0 (exact) to 1: how coarsely distant images are grouped.
    pub theta: f64,
    /// Principal components to reduce the features to first, if they have more dimensions.
    pub components: usize,
    /// Seed of the initial positions.
    pub seed: u64,
}

impl Default for TsneConfig {
    fn default() -> Self {
        Self { perplexity: 30.0, steps: 1000, theta: 0.5, components: 50, seed: 0 }
    }
}

/// Images needed at the smallest perplexity, 1.
const FEWEST: usize = 4;

/// Images embedded in the plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Position of each image.
    pub points: Vec<[f64; 2]>,
    /// The final loss: Kullback-Leibler divergence between neighborhoods in feature space and in the plane.
    pub divergence: f64,
    /// Number of principal components used.
    pub components: usize,
    /// Fraction of the features' variance that these components explain.
    pub variance: f64,
}

/// Embeds `[images, features]` in the plane so that neighbors stay neighbors.
///
/// t-SNE (van der Maaten and Hinton 2008, "Visualizing data using t-SNE") with the Barnes-Hut approximation (van der Maaten
/// 2014), on principal components and exact nearest neighbors. Distances between clusters and their sizes mean little. The
/// same features and seed give the same embedding: it is computed on a single core, since parallel sums would depend on
/// their order.
///
/// ```
/// use striate::Tensor;
/// use striate::interpret::{TsneConfig, tsne};
///
/// // Two groups of ten images with two features each. `Lens::features` has those of real images.
/// let feature = |i: usize| if i < 20 { i as f32 } else { 1000.0 + i as f32 };
/// let features = Tensor::f32([20, 2], (0..40).map(feature).collect())?;
/// let config = TsneConfig { perplexity: 3.0, ..Default::default() };
/// let points = tsne(&features, &config)?.points;
/// // The nearest other point is always of the same group.
/// for (i, [x, y]) in points.iter().enumerate() {
///     let distance = |j: &usize| (points[*j][0] - x).hypot(points[*j][1] - y);
///     let others = (0..20).filter(|j| *j != i);
///     let nearest = others.min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap();
///     assert_eq!(i < 10, nearest < 10);
/// }
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Argument`] if there are too few images for the perplexity, a setting is out of range, or a value is not finite.
pub fn tsne(images: &Tensor, config: &TsneConfig) -> Result<Embedding> {
    let count = images.shape()[0];
    config.check(count)?;
    let width = images.shape().get(1).copied().unwrap_or(0);
    let reduced = principal_components(images, config.components.min(width))?;
    let looked_at = (3.0 * config.perplexity) as usize;
    let neighbors: Vec<Vec<Neighbor<f64>>> = nearest_neighbors_within(&reduced.projected, looked_at)?
        .into_iter()
        .map(|row| row.into_iter().map(|n| Neighbor { index: n.index, distance: n.distance }).collect())
        .collect();
    let mut random = SplitMix64::keyed(config.seed, &[TSNE]);
    let start: Vec<f64> = (0..2 * count).map(|_| 1e-4 * random.normal()).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|e| Error::argument("map", format!("cannot start a thread ({e})")))?;
    let (points, divergence) = pool.install(|| {
        let data = vec![(); count];
        let mut tsne: tSNE<'_, f64, ()> = tSNE::new(&data);
        tsne.perplexity(config.perplexity).epochs(config.steps).initial_embedding(start);
        tsne.barnes_hut_with_neighbors(config.theta, &neighbors);
        (tsne.embedding(), tsne.kl_divergence().expect("the embedding was fitted"))
    });
    let points = points.as_chunks().0.to_vec();
    Ok(Embedding {
        points,
        divergence,
        components: reduced.variance.len(),
        variance: reduced.variance.iter().sum(),
    })
}

impl TsneConfig {
    fn check(&self, images: usize) -> Result<()> {
        if !(self.perplexity >= 1.0 && self.perplexity.is_finite()) {
            return Err(Error::argument(
                "perplexity",
                format!("must be at least 1, found {}", self.perplexity),
            ));
        }
        if images < FEWEST {
            let problem = format!("needs at least {FEWEST} images, found {images}; give more");
            return Err(Error::argument("map", problem));
        }
        // That many neighbors are needed besides the image itself.
        let needed = ((3.0 * self.perplexity) as usize).saturating_add(1);
        if images < needed {
            let problem = format!(
                "{} needs at least {needed} images, found {images}; give more, or a perplexity of at most {}",
                self.perplexity,
                (images - 1) / 3
            );
            return Err(Error::argument("perplexity", problem));
        }
        if !(0.0..=1.0).contains(&self.theta) {
            return Err(Error::argument("theta", format!("must be between 0 and 1, found {}", self.theta)));
        }
        check_not_zero("steps", self.steps)
    }
}
