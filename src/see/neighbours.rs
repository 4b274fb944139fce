//! Which images lie next to each other: exact nearest neighbours in a space of features.

use super::rows::rows;
use crate::{Error, Result, Tensor};
use rayon::prelude::*;

/// An image near another one.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct Neighbour {
    /// Its row.
    pub index: usize,
    /// How far it is: the root of the sum of squared differences.
    pub distance: f64,
}

/// For each row of `queries` `[queries, features]` the `k` nearest rows of `among` `[images, features]`, nearest
/// first; of rows equally far the first one.
///
/// Every pair is looked at, on all cores. Distances are summed in `f32`, those that may be among the `k` smallest
/// again in `f64`, so that the result is what `f64` alone would give.
///
/// ```
/// use striate::{Tensor, see::nearest};
/// let among = Tensor::f32([3, 2], vec![0.0, 0.0, 3.0, 4.0, 1.0, 0.0])?;
/// let found = nearest(&Tensor::f32([1, 2], vec![0.0, 0.0])?, &among, 2)?;
/// assert_eq!((found[0][0].index, found[0][1].index, found[0][1].distance), (0, 2, 1.0));
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Argument`] if `k` is 0 or more than there are rows, if rows differ in width, or a number is not finite.
pub fn nearest(queries: &Tensor, among: &Tensor, k: usize) -> Result<Vec<Vec<Neighbour>>> {
    let (queries, among) = (rows("queries", queries)?, rows("among", among)?);
    let width = |rows: &[&[f32]]| rows.first().map_or(0, |row| row.len());
    if width(&queries) != width(&among) {
        let problem =
            format!("have {} features, and the images to search {}", width(&queries), width(&among));
        return Err(Error::argument("queries", problem));
    }
    check_count(k, among.len())?;
    Ok(queries.par_iter().map(|query| nearest_of(query, &among, k, None)).collect())
}

/// For each row of `[images, features]` the `k` nearest other rows, as [`nearest`].
///
/// # Errors
///
/// As [`nearest`]; an image is no neighbour of its own.
pub fn nearest_others(images: &Tensor, k: usize) -> Result<Vec<Vec<Neighbour>>> {
    let rows = rows("images", images)?;
    check_count(k, rows.len().saturating_sub(1))?;
    Ok(rows.par_iter().enumerate().map(|(own, row)| nearest_of(row, &rows, k, Some(own))).collect())
}

fn check_count(k: usize, available: usize) -> Result<()> {
    match k {
        0 => Err(Error::argument("neighbours", "must be above 0, and is 0")),
        _ if available == 0 => Err(Error::argument(
            "neighbours",
            "there are no other images to find them among; give more images",
        )),
        _ if k > available => {
            let problem = format!(
                "{k} are more than the {available} images to find them among; ask for {available} or fewer"
            );
            Err(Error::argument("neighbours", problem))
        }
        _ => Ok(()),
    }
}

fn nearest_of(query: &[f32], among: &[&[f32]], k: usize, own: Option<usize>) -> Vec<Neighbour> {
    let mut rough: Vec<f32> = among.iter().map(|row| squared_f32(query, row)).collect();
    if let Some(own) = own {
        rough[own] = f32::INFINITY;
    }
    let mut sorted = rough.clone();
    let kth = *sorted.select_nth_unstable_by(k - 1, f32::total_cmp).1;
    // A sum of n squares is wrong by less than (n + 3) units of rounding in either direction.
    let slack = 2.0 * (query.len() as f32 + 3.0) * f32::EPSILON;
    let limit = kth * (1.0 + slack) + f32::MIN_POSITIVE;
    let near = |(index, rough): (usize, &f32)| (*rough <= limit && Some(index) != own).then_some(index);
    let exact = |index: usize| Neighbour { index, distance: squared(query, among[index]).sqrt() };
    let mut found: Vec<Neighbour> = rough.iter().enumerate().filter_map(near).map(exact).collect();
    found.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.index.cmp(&b.index)));
    found.truncate(k);
    found
}

/// Sums kept apart so that the compiler can put them into one vector register.
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

/// How often neighbours are of the class of the image whose neighbours they are.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct Agreement {
    /// Share of the nearest neighbours, from 0 to 1.
    pub nearest: f64,
    /// Share of all neighbours.
    pub all: f64,
    /// Share of the images whose class most neighbours have; of classes equally frequent, that of the nearest.
    pub majority: f64,
}

/// Compares classes; `labels[i]` is that of the image whose neighbours are `found[i]`, and `among` those of the rows
/// they were found among.
///
/// # Panics
///
/// If an image has no label or no neighbour.
pub fn agreement(found: &[Vec<Neighbour>], labels: &[usize], among: &[usize]) -> Agreement {
    let mut right = [0.0; 3];
    for (neighbours, label) in found.iter().zip(labels) {
        let classes: Vec<usize> = neighbours.iter().map(|n| among[n.index]).collect();
        let votes = |class: &usize| classes.iter().filter(|c| *c == class).count();
        let first_most = classes.iter().rev().max_by_key(|class| votes(class)).expect("there are neighbours");
        right[0] += f64::from(u8::from(classes[0] == *label));
        right[1] += votes(label) as f64 / classes.len() as f64;
        right[2] += f64::from(u8::from(first_most == label));
    }
    let [nearest, all, majority] = right.map(|sum| sum / found.len() as f64);
    Agreement { nearest, all, majority }
}
