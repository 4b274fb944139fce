//! Exact nearest neighbors in feature space.

use super::check_not_zero;
use super::feature_rows::feature_rows;
use crate::{Error, Result, Tensor};
use rayon::prelude::*;

/// A neighbor of an image.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Neighbor {
    /// Index of its row.
    pub index: usize,
    /// Euclidean distance.
    pub distance: f64,
}

/// For each row of `queries` `[queries, features]`, the `k` nearest rows of `among` `[images, features]`, nearest first;
/// ties go to the lower index.
///
/// A brute-force search on all cores. Distances are summed in `f32`, and those that could be among the `k` smallest again in
/// `f64`, so the result is the same as in `f64` throughout.
///
/// ```
/// use striate::{Tensor, interpret::nearest_neighbors};
/// let among = Tensor::f32([3, 2], vec![0.0, 0.0, 3.0, 4.0, 1.0, 0.0])?;
/// let found = nearest_neighbors(&Tensor::f32([1, 2], vec![0.0, 0.0])?, &among, 2)?;
/// assert_eq!((found[0][0].index, found[0][1].index, found[0][1].distance), (0, 2, 1.0));
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Argument`] if `k` is 0 or exceeds the number of rows, the widths differ, or a value is not finite.
pub fn nearest_neighbors(queries: &Tensor, among: &Tensor, k: usize) -> Result<Vec<Vec<Neighbor>>> {
    let (queries, among) = (feature_rows("queries", queries)?, feature_rows("among", among)?);
    let width = |rows: &[&[f32]]| rows.first().map_or(0, |row| row.len());
    if width(&queries) != width(&among) {
        let problem =
            format!("have {} features, but the images to search have {}", width(&queries), width(&among));
        return Err(Error::argument("queries", problem));
    }
    check_count(k, among.len())?;
    Ok(queries.par_iter().map(|query| nearest_of(query, &among, k, None)).collect())
}

/// For each row of `[images, features]`, the `k` nearest other rows; otherwise as [`nearest_neighbors`].
/// [`Lens::features`](super::Lens::features) has the features of images.
///
/// ```
/// use striate::{Tensor, interpret::nearest_neighbors_within};
/// let features = Tensor::f32([3, 2], vec![0.0, 0.0, 3.0, 4.0, 1.0, 0.0])?;
/// let nearest: Vec<usize> = nearest_neighbors_within(&features, 1)?.iter().map(|found| found[0].index).collect();
/// assert_eq!(nearest, [2, 2, 0]);
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
///
/// As [`nearest_neighbors`], where an image does not count as its own neighbor.
pub fn nearest_neighbors_within(images: &Tensor, k: usize) -> Result<Vec<Vec<Neighbor>>> {
    let rows = feature_rows("images", images)?;
    check_count(k, rows.len().saturating_sub(1))?;
    Ok(rows.par_iter().enumerate().map(|(own, row)| nearest_of(row, &rows, k, Some(own))).collect())
}

fn check_count(k: usize, available: usize) -> Result<()> {
    check_not_zero("neighbours", k)?;
    let problem = match available {
        0 => "there are no other images to search; give more images".to_owned(),
        _ if k > available => format!(
            "asks for {k}, but there are only {available} images to search; give at most {available}, or more images"
        ),
        _ => return Ok(()),
    };
    Err(Error::argument("neighbours", problem))
}

fn nearest_of(query: &[f32], among: &[&[f32]], k: usize, own: Option<usize>) -> Vec<Neighbor> {
    let mut rough: Vec<f32> = among.iter().map(|row| squared_f32(query, row)).collect();
    if let Some(own) = own {
        rough[own] = f32::INFINITY;
    }
    let mut sorted = rough.clone();
    let kth = *sorted.select_nth_unstable_by(k - 1, f32::total_cmp).1;
    // The relative error of a sum of n squares is below n + 3 units of rounding.
    let slack = 2.0 * (query.len() as f32 + 3.0) * f32::EPSILON;
    let limit = kth * (1.0 + slack) + f32::MIN_POSITIVE;
    let near = |(index, rough): (usize, &f32)| (*rough <= limit && Some(index) != own).then_some(index);
    let exact = |index: usize| Neighbor { index, distance: squared(query, among[index]).sqrt() };
    let mut found: Vec<Neighbor> = rough.iter().enumerate().filter_map(near).map(exact).collect();
    found.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.index.cmp(&b.index)));
    found.truncate(k);
    found
}

/// Independent partial sums, so that the compiler can keep them in one vector register.
const LANES: usize = 16;

fn squared_f32(a: &[f32], b: &[f32]) -> f32 {
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += (a - b) * (a - b);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b)).sum();
    sums.iter().sum::<f32>() + rest
}

fn squared(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

/// How often neighbors have the class of their query.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct LabelAgreement {
    /// Fraction of queries whose nearest neighbor has the same class.
    pub nearest: f64,
    /// Fraction of all neighbors with the same class.
    pub all: f64,
    /// Accuracy of a majority vote among the neighbors; ties go to the class of the nearest one.
    pub majority: f64,
}

/// Compares the classes of queries and their neighbors: `labels[i]` belongs to the query with neighbors `found[i]`, and
/// `among[j]` to row `j` of the searched images.
///
/// # Panics
///
/// If a query has no label or no neighbors.
pub fn label_agreement(found: &[Vec<Neighbor>], labels: &[usize], among: &[usize]) -> LabelAgreement {
    let mut matches = [0.0; 3];
    for (neighbors, label) in found.iter().zip(labels) {
        let classes: Vec<usize> = neighbors.iter().map(|n| among[n.index]).collect();
        let votes = |class: &usize| classes.iter().filter(|c| *c == class).count();
        let majority = classes.iter().rev().max_by_key(|class| votes(class)).expect("there are neighbors");
        matches[0] += f64::from(u8::from(classes[0] == *label));
        matches[1] += votes(label) as f64 / classes.len() as f64;
        matches[2] += f64::from(u8::from(majority == label));
    }
    let [nearest, all, majority] = matches.map(|sum| sum / found.len() as f64);
    LabelAgreement { nearest, all, majority }
}
