//! Weights as a small safetensors file, for pages.

use super::dtype::half_bytes;
use crate::{Error, Result, Tensor};
use ::safetensors::{Dtype, serialize, tensor::TensorView};

/// How the weights of convolutions and linear layers are stored. Vectors are always in single precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Single precision: 4 bytes per value.
    F32,
    /// Half precision: 2 bytes per value.
    F16,
    /// One byte per value, and a scale per output channel: a tensor of the same name with `.scale` at the end.
    I8,
}

/// Name, type, shape and bytes of a tensor.
type Entry = (String, Dtype, Vec<usize>, Vec<u8>);

/// A safetensors file of the tensors in a precision, without metadata.
///
/// ```
/// use striate::Tensor;
/// use striate::weights::{Precision, compact};
///
/// let weight = Tensor::f32([2, 2], vec![1.0, -0.5, 0.0, 254.0])?;
/// let sizes = [Precision::F32, Precision::F16].map(|precision| compact(&[("weight".into(), weight.clone())], precision).unwrap().len());
/// assert_eq!(sizes[0] - sizes[1], 8);
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Argument`] if a value is out of range of half precision, or not finite in 8 bits.
pub fn compact(tensors: &[(String, Tensor)], precision: Precision) -> Result<Vec<u8>> {
    let mut entries: Vec<Entry> = Vec::new();
    for (name, tensor) in tensors {
        let small = match precision {
            Precision::F16 => half_bytes(name, tensor)?.map(|bytes| (Dtype::F16, bytes)),
            Precision::I8 if tensor.shape().len() > 1 => {
                let (bytes, scales) = quantized(name, tensor)?;
                let scales: Vec<u8> = scales.into_iter().flat_map(f32::to_le_bytes).collect();
                entries.push((format!("{name}.scale"), Dtype::F32, vec![scales.len() / 4], scales));
                Some((Dtype::I8, bytes))
            }
            _ => None,
        };
        let (dtype, bytes) = small.unwrap_or_else(|| (Dtype::F32, tensor.as_bytes().to_vec()));
        entries.push((name.clone(), dtype, tensor.shape().to_vec(), bytes));
    }
    let views = entries.iter().map(|(name, dtype, shape, bytes)| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).expect("the bytes are those of the shape"))
    });
    serialize(views, None).map_err(|e| Error::argument("weights", e.to_string()))
}

/// The values of each output channel as multiples of 1/127 of the largest, and these multiples' sizes.
fn quantized(name: &str, tensor: &Tensor) -> Result<(Vec<u8>, Vec<f32>)> {
    let values = tensor.as_f32();
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Error::argument(name, "has values that are not finite; store it in single precision"));
    }
    let channels = values.chunks_exact((values.len() / tensor.shape()[0]).max(1));
    let (mut bytes, mut scales) = (Vec::with_capacity(values.len()), Vec::new());
    for channel in channels {
        let largest = channel.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
        bytes.extend(channel.iter().map(|value| (value / scale).round() as i8 as u8));
        scales.push(scale);
    }
    Ok((bytes, scales))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bits_are_within_half_a_step() {
        let values: Vec<f32> =
            (0..60).map(|i| (i as f32 * 0.7).sin() * if i < 30 { 1.0 } else { 100.0 }).collect();
        let tensor = Tensor::f32([2, 30], values.clone()).unwrap();
        let (bytes, scales) = quantized("weight", &tensor).unwrap();
        for (i, value) in values.iter().enumerate() {
            let scale = scales[i / 30];
            assert!((f32::from(bytes[i] as i8) * scale - value).abs() <= 0.501 * scale, "{value}");
        }
        assert!(scales[1] > 90.0 * scales[0]);
        let zeros = Tensor::f32([1, 2], vec![0.0; 2]).unwrap();
        assert_eq!(quantized("weight", &zeros).unwrap(), (vec![0, 0], vec![1.0]));
        let broken = Tensor::f32([1, 2], vec![0.0, f32::NAN]).unwrap();
        assert!(compact(&[("weight".to_owned(), broken)], Precision::I8).is_err());
    }
}
