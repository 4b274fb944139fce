//! Principal components.

use super::rows::rows;
use crate::{Error, Result, Tensor};
use nalgebra::{DMatrix, SymmetricEigen};

/// Rows turned so that their first numbers differ the most.
#[derive(Clone, Debug)]
pub struct Principal {
    /// `[images, components]`: each row's place along each component, the mean row being 0.
    pub rows: Tensor,
    /// Share of the rows' variance along each component, falling, from 0 to 1; 0 where nothing varies.
    pub variance: Vec<f64>,
}

/// Projects `[images, features]` on the `components` directions along which they vary most: eigenvectors of their
/// covariance, in `f64`. Of each direction the sign is such that its largest number is positive.
///
/// # Errors
///
/// [`Error::Argument`] if there are no rows, no components or more than features, or a number is not finite.
pub fn principal_components(images: &Tensor, components: usize) -> Result<Principal> {
    let rows = rows("images", images)?;
    let (count, width) = (rows.len(), images.shape()[1]);
    if count == 0 || components == 0 || components > width {
        let problem = format!("{components} cannot be taken of {count} images with {width} features");
        return Err(Error::argument("components", problem));
    }
    let mut centred = DMatrix::from_fn(count, width, |row, column| f64::from(rows[row][column]));
    for mut column in centred.column_iter_mut() {
        let mean = column.mean();
        column.add_scalar_mut(-mean);
    }
    let eigen = SymmetricEigen::new(centred.tr_mul(&centred));
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
    order.truncate(components);
    let mut directions = eigen.eigenvectors.select_columns(&order);
    for mut direction in directions.column_iter_mut() {
        let sign = direction[direction.icamax()].signum();
        direction *= sign;
    }
    let total = eigen.eigenvalues.sum();
    let share =
        |component: &usize| if total > 0.0 { eigen.eigenvalues[*component].max(0.0) / total } else { 0.0 };
    // Matrices of nalgebra lie column by column.
    let projected = (centred * directions).transpose();
    Ok(Principal {
        rows: Tensor::f32([count, components], projected.iter().map(|x| *x as f32).collect())?,
        variance: order.iter().map(share).collect(),
    })
}
