//! Runs the part of a network that computes the requested values, for any number of images.

use super::{BATCHES, Layer};
use crate::nn::Builder;
use crate::runtime::Stream;
use crate::{Error, Outputs, Result, Session, Tensor, TensorType};

/// Computes values of a network for any number of images. Made by [`Lens::extractor`](super::Lens::extractor).
pub struct Extractor {
    pub(super) session: Session,
    pub(super) model: String,
    pub(super) batch: usize,
    pub(super) image_len: usize,
    /// Types of the values, for a full batch.
    pub(super) types: Vec<TensorType>,
}

impl Extractor {
    /// Images per batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Computes the values for normalized NCHW images, any number of them; each result is `[images, ...]`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `images` does not hold whole images, or a result is infinite or NaN.
    pub fn run(&mut self, images: &[f32]) -> Result<Vec<Tensor>> {
        self.run_with(images, |_| None)
    }

    /// As [`run`](Self::run), returning the first value only.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_single(&mut self, images: &[f32]) -> Result<Tensor> {
        Ok(self.run(images)?.swap_remove(0))
    }

    /// As [`run`](Self::run) for many images: `add` gets the values of a few batches at a time, each with its index.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run), and those of `add`.
    pub fn run_in_parts(
        &mut self,
        images: &[f32],
        mut add: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<()> {
        for images in images.chunks(BATCHES * self.batch * self.image_len) {
            let values = self.run(images)?;
            values.iter().enumerate().try_for_each(|(index, value)| add(index, value))?;
        }
        Ok(())
    }

    /// As [`run`](Self::run), with an extra input made from the index of each batch's first image.
    fn run_with<'a>(
        &mut self,
        images: &[f32],
        mut extra: impl FnMut(usize) -> Option<(&'a str, Vec<f32>)>,
    ) -> Result<Vec<Tensor>> {
        if images.is_empty() || !images.len().is_multiple_of(self.image_len) {
            let problem = format!(
                "{} values are not a multiple of {}, the size of an image",
                images.len(),
                self.image_len
            );
            return Err(Error::argument("images", problem));
        }
        let count = images.len() / self.image_len;
        let mut values: Vec<Vec<f32>> =
            self.types.iter().map(|ty| Vec::with_capacity(ty.len() / self.batch * count)).collect();
        let (model, types, full) = (&self.model, &self.types, self.batch);
        let mut collect = |(outputs, count): (Outputs, usize)| {
            for ((values, ty), tensor) in values.iter_mut().zip(types).zip(outputs.into_tensors()) {
                // The rest belongs to the zeros that padded the batch.
                let new = &tensor.as_f32()[..ty.len() / full * count];
                if new.iter().any(|value| !value.is_finite()) {
                    let problem =
                        "produced values that are not finite; check that the weights and images suit it";
                    return Err(Error::argument(model, problem));
                }
                values.extend_from_slice(new);
            }
            Ok(())
        };
        let mut stream = Stream::new(&mut self.session)?;
        for (index, batch) in images.chunks(full * self.image_len).enumerate() {
            let mut padded = batch.to_vec();
            // Images do not affect each other, so the last batch can be padded with zeros.
            padded.resize(full * self.image_len, 0.0);
            let extra = extra(index * full);
            let mut inputs = vec![(Builder::IMAGES, (&padded).into())];
            inputs.extend(extra.iter().map(|(name, values)| (*name, values.into())));
            stream.submit(0, &inputs, batch.len() / self.image_len)?;
            while let Some(step) = stream.poll()? {
                collect(step)?;
            }
        }
        while let Some(step) = stream.wait()? {
            collect(step)?;
        }
        let tensor = |(ty, values): (&TensorType, Vec<f32>)| {
            let mut shape = ty.shape.clone();
            shape[0] = count;
            Tensor::f32(shape, values)
        };
        self.types.iter().zip(values).map(tensor).collect()
    }
}

/// Computes gradients of a layer's channels. Made by [`Lens::gradients`](super::Lens::gradients).
pub struct Gradients {
    pub(super) extractor: Extractor,
    pub(super) layer: Layer,
}

impl Gradients {
    pub(super) const UPSTREAM: &str = "upstream";

    /// Images per batch.
    pub fn batch(&self) -> usize {
        self.extractor.batch
    }

    /// The layer's output for each image, then the requested gradients: for image `i`, of the mean over channel `channels[i]`.
    /// Channels of the logits are classes.
    ///
    /// # Errors
    ///
    /// As [`Extractor::run`]; [`Error::Argument`] unless `channels` has a channel of the layer for each image.
    pub fn run(&mut self, images: &[f32], channels: &[usize]) -> Result<Vec<Tensor>> {
        let count = images.len() / self.extractor.image_len;
        if channels.len() != count {
            let problem = format!("expected one per image ({count}), found {}", channels.len());
            return Err(Error::argument("channels", problem));
        }
        channels.iter().try_for_each(|channel| self.layer.check_channel(*channel))?;
        let pixels = self.layer.pixels();
        self.run_with_upstream(images, |image, upstream| {
            upstream[channels[image] * pixels..][..pixels].fill(1.0 / pixels as f32);
        })
    }

    /// As [`run`](Self::run), for any weighted sum of the layer's output: `fill` is given the index of an image and zeros of
    /// the layer's shape, and writes the upstream gradient.
    ///
    /// # Errors
    ///
    /// As [`Extractor::run`].
    pub fn run_with_upstream(
        &mut self,
        images: &[f32],
        fill: impl Fn(usize, &mut [f32]),
    ) -> Result<Vec<Tensor>> {
        let len = self.layer.channels() * self.layer.pixels();
        let (batch, count) = (self.extractor.batch, images.len() / self.extractor.image_len);
        self.extractor.run_with(images, |first| {
            let mut upstream = vec![0.0; batch * len];
            for (image, upstream) in (first..count).zip(upstream.chunks_exact_mut(len)) {
                fill(image, upstream);
            }
            Some((Self::UPSTREAM, upstream))
        })
    }
}
