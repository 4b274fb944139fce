//! Tensors as rows of numbers, one an image.

use crate::{Error, Result, Tensor};

/// The rows of `[rows, width]`, or why it has none.
pub(super) fn rows<'a>(name: &str, tensor: &'a Tensor) -> Result<Vec<&'a [f32]>> {
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
                format!("row {row} holds numbers that are not finite; these weights or images do not suit");
            Err(Error::argument(name, problem))
        }
        None => Ok(rows),
    }
}
