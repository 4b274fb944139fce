//! Feature tensors as slices, one per image.

use crate::{Error, Result, Tensor};

/// The rows of `[images, features]`, checked to be finite.
pub(super) fn feature_rows<'a>(name: &str, tensor: &'a Tensor) -> Result<Vec<&'a [f32]>> {
    let &[_, width] = tensor.shape() else {
        return Err(Error::argument(
            name,
            format!("expected [images, features], found {:?}", tensor.shape()),
        ));
    };
    let rows: Vec<&[f32]> = tensor.as_f32().chunks_exact(width.max(1)).collect();
    match rows.iter().position(|row| row.iter().any(|x| !x.is_finite())) {
        Some(row) => {
            let problem =
                format!("row {row} has a value that is not finite; check that the weights suit the images");
            Err(Error::argument(name, problem))
        }
        None => Ok(rows),
    }
}
