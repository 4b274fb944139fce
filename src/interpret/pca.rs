//! Principal component analysis.

use super::feature_rows::feature_rows;
use crate::{Error, Result, Tensor};
use nalgebra::{DMatrix, SymmetricEigen};

/// Data projected onto its principal components.
#[derive(Clone, Debug)]
pub struct PrincipalComponents {
    /// `[images, components]`, centered.
    pub projected: Tensor,
    /// Fraction of the total variance along each component, in decreasing order; 0 if nothing varies.
    pub variance: Vec<f64>,
}

/// Projects `[images, features]` onto the `components` directions of largest variance: eigenvectors of the covariance
/// matrix, in `f64`. Signs are chosen so that the largest coefficient of each direction is positive.
///
/// # Errors
///
/// [`Error::Argument`] if there are no rows, `components` is 0 or exceeds the features, or a value is not finite.
pub fn principal_components(images: &Tensor, components: usize) -> Result<PrincipalComponents> {
    let rows = feature_rows("images", images)?;
    let (count, width) = (rows.len(), images.shape()[1]);
    if count == 0 || components == 0 || components > width {
        let problem = format!("cannot take {components} components of {count} images with {width} features");
        return Err(Error::argument("components", problem));
    }
    let mut centered = DMatrix::from_fn(count, width, |row, column| f64::from(rows[row][column]));
    for mut column in centered.column_iter_mut() {
        let mean = column.mean();
        column.add_scalar_mut(-mean);
    }
    let eigen = SymmetricEigen::new(centered.tr_mul(&centered));
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
    order.truncate(components);
    let mut directions = eigen.eigenvectors.select_columns(&order);
    for mut direction in directions.column_iter_mut() {
        let sign = direction[direction.icamax()].signum();
        direction *= sign;
    }
    let total = eigen.eigenvalues.sum();
    let fraction =
        |component: &usize| if total > 0.0 { eigen.eigenvalues[*component].max(0.0) / total } else { 0.0 };
    // nalgebra stores matrices in column-major order.
    let projected = (centered * directions).transpose();
    Ok(PrincipalComponents {
        projected: Tensor::f32([count, components], projected.iter().map(|x| *x as f32).collect())?,
        variance: order.iter().map(fraction).collect(),
    })
}
