//! Nearest neighbors, principal components, t-SNE and top activations of arrays, against their definitions.

use striate::interpret::{Neighbor, TopActivation, TopActivations, TsneConfig};
use striate::interpret::{
    label_agreement, nearest_neighbors, nearest_neighbors_within, principal_components, snap_to_grid, tsne,
};
use striate::rng::SplitMix64;
use striate::{Error, Result, Tensor};

fn normal(shape: [usize; 2], seed: u64) -> Tensor {
    let mut random = SplitMix64::new(seed);
    Tensor::f32(shape, (0..shape[0] * shape[1]).map(|_| random.normal() as f32).collect()).unwrap()
}

/// Images in well-separated groups, image `i` in group `i % groups`.
fn groups(count: usize, width: usize, groups: usize, seed: u64) -> Tensor {
    let mut values = normal([count, width], seed).into_f32();
    for (row, values) in values.chunks_exact_mut(width).enumerate() {
        values[row % groups] += 20.0;
    }
    Tensor::f32([count, width], values).unwrap()
}

/// Neighbors by definition, in `f64`.
fn brute(queries: &Tensor, among: &Tensor, k: usize, others: bool) -> Vec<Vec<Neighbor>> {
    let width = queries.shape()[1];
    let search = |(own, query): (usize, &[f32])| {
        let distance = |(index, row): (usize, &[f32])| {
            let squares = query.iter().zip(row).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
            Neighbor { index, distance: squares.sum::<f64>().sqrt() }
        };
        let mut all: Vec<Neighbor> = among
            .as_f32()
            .chunks_exact(width)
            .enumerate()
            .map(distance)
            .filter(|n| !others || n.index != own)
            .collect();
        all.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        all.truncate(k);
        all
    };
    queries.as_f32().chunks_exact(width).enumerate().map(search).collect()
}

#[test]
fn neighbors_match_the_definition() -> Result<()> {
    for (width, k) in [(1, 1), (7, 3), (64, 20), (3072, 5)] {
        let (queries, among) = (normal([9, width], 1), normal([200, width], 2));
        assert_eq!(
            nearest_neighbors(&queries, &among, k)?,
            brute(&queries, &among, k, false),
            "{width} features"
        );
        assert_eq!(nearest_neighbors_within(&among, k)?, brute(&among, &among, k, true), "{width} features");
    }
    Ok(())
}

#[test]
fn neighbors_closer_than_f32_resolution_are_ordered() -> Result<()> {
    // All rows are far from the query, each a little nearer than the one before; the last two are equal.
    let nudged = |row: usize| (0..40).map(move |i| if i == row.min(38) { 1.0 } else { 1.0 + f32::EPSILON });
    let among = Tensor::f32([40, 40], (0..40).flat_map(nudged).collect())?;
    let query = Tensor::f32([1, 40], (0..40).map(|i| 1000.0 + i as f32).collect())?;
    assert_eq!(nearest_neighbors(&query, &among, 40)?, brute(&query, &among, 40, false));
    Ok(())
}

#[test]
fn impossible_searches_are_refused() {
    let rows = normal([4, 3], 1);
    let refused = |result: Result<Vec<Vec<Neighbor>>>, text: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(text), "{error:?} does not contain {text:?}");
    };
    refused(nearest_neighbors(&rows, &rows, 0), "must be at least 1");
    refused(nearest_neighbors(&rows, &rows, 5), "asks for 5, but there are only 4 images");
    refused(nearest_neighbors_within(&rows, 4), "asks for 4, but there are only 3 images");
    refused(
        nearest_neighbors(&rows, &normal([4, 2], 1), 1),
        "have 3 features, but the images to search have 2",
    );
    let broken = Tensor::f32([1, 3], vec![0.0, f32::NAN, 0.0]).unwrap();
    refused(nearest_neighbors(&broken, &rows, 1), "not finite");
}

#[test]
fn label_agreement_counts_classes() {
    let near = |indices: [usize; 3]| indices.map(|index| Neighbor { index, distance: 0.0 }).to_vec();
    // Rows of classes 0, 1, 1, 2. The first query's nearest neighbor is wrong, but most are right; the second query's
    // neighbors all differ, so the nearest one decides.
    let found = label_agreement(&[near([0, 1, 2]), near([3, 0, 1])], &[1, 2], &[0, 1, 1, 2]);
    assert_eq!((found.nearest, found.majority), (0.5, 1.0));
    assert!((found.all - (2.0 / 3.0 + 1.0 / 3.0) / 2.0).abs() < 1e-12);
}

#[test]
fn components_explain_what_varies() -> Result<()> {
    // Along (3, 4) / 5 and, a tenth of it, along (-4, 3) / 5, around (7, -2).
    let (long, short) = ([2.0, -2.0, 1.0, -1.0], [0.1, 0.1, -0.1, -0.1]);
    let point = |(a, b): (f32, f32)| [7.0 + 0.6 * a - 0.8 * b, -2.0 + 0.8 * a + 0.6 * b];
    let rows = Tensor::f32([4, 2], long.into_iter().zip(short).flat_map(point).collect())?;
    let found = principal_components(&rows, 2)?;
    for (row, found) in found.projected.as_f32().chunks_exact(2).enumerate() {
        assert!((found[0] - long[row]).abs() < 1e-5 && (found[1].abs() - short[row].abs()).abs() < 1e-5);
    }
    assert!(
        (found.variance[0] - 10.0 / 10.04).abs() < 1e-6
            && (found.variance.iter().sum::<f64>() - 1.0).abs() < 1e-9
    );
    // All components together are a rotation, which keeps distances.
    let rows = normal([30, 12], 3);
    let rotated = principal_components(&rows, 12)?.projected;
    let (before, after) = (nearest_neighbors_within(&rows, 29)?, nearest_neighbors_within(&rotated, 29)?);
    for (before, after) in before.iter().flatten().zip(after.iter().flatten()) {
        assert!((before.distance - after.distance).abs() < 1e-5 * before.distance);
    }
    assert!(principal_components(&rows, 13).is_err());
    Ok(())
}

#[test]
fn tsne_separates_groups_and_is_reproducible() -> Result<()> {
    let images = groups(240, 70, 4, 5);
    let config = TsneConfig { perplexity: 15.0, steps: 500, ..Default::default() };
    let found = tsne(&images, &config)?;
    assert_eq!(found, tsne(&images, &config)?);
    assert_ne!(found.points, tsne(&images, &TsneConfig { seed: 1, ..config })?.points);
    let points = found.points.iter().flatten().map(|x| *x as f32).collect();
    let labels: Vec<usize> = (0..240).map(|i| i % 4).collect();
    let near = nearest_neighbors_within(&Tensor::f32([240, 2], points)?, 10)?;
    assert_eq!(label_agreement(&near, &labels, &labels).all, 1.0);
    assert!(found.variance > 0.9 && found.divergence < 1.5, "{} {}", found.variance, found.divergence);
    Ok(())
}

#[test]
fn impossible_embeddings_are_refused() {
    let refused = |config: TsneConfig, text: &str| {
        let error = tsne(&normal([90, 5], 1), &config).unwrap_err().to_string();
        assert!(error.contains(text), "{error:?} does not contain {text:?}");
    };
    refused(
        TsneConfig::default(),
        "30 needs at least 91 images, found 90; give more, or a perplexity of at most 29",
    );
    refused(TsneConfig { perplexity: f64::NAN, ..Default::default() }, "at least 1");
    refused(TsneConfig { perplexity: 5.0, theta: 2.0, ..Default::default() }, "between 0 and 1");
    refused(TsneConfig { perplexity: 5.0, steps: 0, ..Default::default() }, "at least 1");
}

/// The last number in a message.
fn suggested<T: std::str::FromStr>(error: &Error) -> T {
    let text = error.to_string();
    let number = text.split(|c: char| !c.is_ascii_digit()).rfind(|digits| !digits.is_empty());
    number.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{text} has no number"))
}

#[test]
fn the_suggested_perplexity_is_the_largest_that_is_accepted() {
    for count in 4..=40 {
        let images = normal([count, 3], count as u64);
        let at = |perplexity: f64| tsne(&images, &TsneConfig { perplexity, steps: 1, ..Default::default() });
        let most: f64 = suggested(&at(1000.0).unwrap_err());
        at(most).unwrap_or_else(|error| panic!("{count} images: {error}"));
        assert_eq!(suggested::<f64>(&at(most + 1.0).unwrap_err()), most, "{count} images");
    }
    for count in 0..4 {
        let config = TsneConfig { perplexity: 1.0, steps: 1, ..Default::default() };
        let error = tsne(&normal([count, 3], 1), &config).unwrap_err().to_string();
        assert!(error.contains("at least 4 images") && !error.contains("perplexity"), "{count}: {error}");
    }
}

#[test]
fn the_suggested_number_of_neighbors_is_the_largest_that_is_accepted() {
    for count in 2..=20 {
        let images = normal([count, 3], count as u64);
        type Find = fn(&Tensor, usize) -> Result<Vec<Vec<Neighbor>>>;
        for find in [nearest_neighbors_within as Find, |x: &Tensor, k| nearest_neighbors(x, x, k)] {
            let most: usize = suggested(&find(&images, 1000).unwrap_err());
            assert_eq!(find(&images, most).unwrap()[0].len(), most);
            assert_eq!(suggested::<usize>(&find(&images, most + 1).unwrap_err()), most);
        }
    }
    let alone = nearest_neighbors_within(&normal([1, 3], 1), 1).unwrap_err().to_string();
    assert!(alone.contains("give more images"), "{alone}");
}

#[test]
fn snapped_points_get_separate_cells() -> Result<()> {
    let points: Vec<[f64; 2]> =
        normal([150, 2], 4).as_f32().as_chunks().0.iter().map(|p: &[f32; 2]| p.map(f64::from)).collect();
    for side in [13, 20] {
        let mut cells = snap_to_grid(&points, side)?;
        assert!(cells.iter().flatten().all(|cell| *cell < side));
        cells.sort();
        cells.dedup();
        assert_eq!(cells.len(), points.len());
    }
    // Points on free cells stay there; equal points end up next to each other.
    let corners = [[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0], [2.0, 2.0]];
    assert_eq!(snap_to_grid(&corners, 5)?, [[4, 0], [4, 4], [0, 0], [0, 4], [2, 2]]);
    let same = snap_to_grid(&[[1.0, 1.0]; 9], 9)?;
    assert!(same.iter().all(|[row, column]| row.abs_diff(4) <= 1 && column.abs_diff(4) <= 1), "{same:?}");
    assert_eq!(snap_to_grid(&[[3.0, 3.0]], 1)?, [[0, 0]]);
    assert!(snap_to_grid(&[], 0)?.is_empty());
    for (points, side) in
        [(&[[0.0; 2]; 2][..], 1), (&[[0.0; 2]], 0), (&[[0.0; 2]], usize::MAX), (&[[f64::NAN; 2]], 9)]
    {
        assert!(matches!(snap_to_grid(points, side), Err(Error::Argument { .. })), "{points:?} on {side}");
    }
    Ok(())
}

#[test]
fn top_activations_match_a_direct_search() -> Result<()> {
    let (count, channels, [height, width]) = (23, 5, [4, 3]);
    let mut random = SplitMix64::new(6);
    // Few distinct values, so that ties occur.
    let values: Vec<f32> =
        (0..count * channels * height * width).map(|_| (random.unit() * 20.0).floor() as f32).collect();
    for k in [1, 4, 40] {
        let mut top = TopActivations::new(k);
        for batch in values.chunks(5 * channels * height * width) {
            let images = batch.len() / (channels * height * width);
            top.add(&Tensor::f32([images, channels, height, width], batch.to_vec())?)?;
        }
        assert_eq!((top.images(), top.channels().len()), (count, channels));
        for (channel, found) in top.channels().iter().enumerate() {
            let peak = |image: usize| {
                let plane = &values[(image * channels + channel) * height * width..][..height * width];
                let value = plane.iter().copied().fold(f32::MIN, f32::max);
                let first = plane.iter().position(|x| *x == value).unwrap();
                TopActivation { image, position: [first / width, first % width], value }
            };
            let mut all: Vec<TopActivation> = (0..count).map(peak).collect();
            all.sort_by(|a, b| b.value.total_cmp(&a.value));
            all.truncate(k);
            assert_eq!(found, &all);
        }
    }
    Ok(())
}
