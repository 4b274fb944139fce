//! A part of a network made ready on the device: images go in, what is asked for comes out.

use super::Layer;
use crate::nn::Builder;
use crate::runtime::Stream;
use crate::{Error, Outputs, Result, Session, Tensor, TensorType};

/// Values of a network, made ready to be asked for any number of images. [`Lens::probe`](super::Lens::probe) makes one.
pub struct Probe {
    session: Session,
    model: String,
    batch: usize,
    image_len: usize,
    /// Types of the values for a whole batch.
    types: Vec<TensorType>,
}

impl Probe {
    pub(super) fn new(
        session: Session,
        model: String,
        batch: usize,
        image_len: usize,
        types: Vec<TensorType>,
    ) -> Self {
        Self { session, model, batch, image_len, types }
    }

    /// Images at a time.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The values for images, normalised ones, any number, NCHW; each `[images, ...]`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `images` are not whole images, or a result is infinite or not a number.
    pub fn run(&mut self, images: &[f32]) -> Result<Vec<Tensor>> {
        self.run_with(images, |_| None)
    }

    /// The first of the values.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn only(&mut self, images: &[f32]) -> Result<Tensor> {
        Ok(self.run(images)?.swap_remove(0))
    }

    /// The same, with another input by the number of a batch's first image.
    fn run_with<'a>(
        &mut self,
        images: &[f32],
        mut extra: impl FnMut(usize) -> Option<(&'a str, Vec<f32>)>,
    ) -> Result<Vec<Tensor>> {
        if images.is_empty() || !images.len().is_multiple_of(self.image_len) {
            let problem = format!("{} numbers are no whole images of {}", images.len(), self.image_len);
            return Err(Error::argument("images", problem));
        }
        let count = images.len() / self.image_len;
        let mut values: Vec<Vec<f32>> =
            self.types.iter().map(|ty| Vec::with_capacity(ty.len() / self.batch * count)).collect();
        let (model, types, full) = (&self.model, &self.types, self.batch);
        let mut arrive = |(outputs, count): (Outputs, usize)| {
            for ((values, ty), tensor) in values.iter_mut().zip(types).zip(outputs.into_tensors()) {
                // What is left is of the zeros that filled up the batch.
                let new = &tensor.as_f32()[..ty.len() / full * count];
                if new.iter().any(|number| !number.is_finite()) {
                    let problem =
                        "its results are no finite numbers; these weights do not suit it, or the images";
                    return Err(Error::argument(model, problem));
                }
                values.extend_from_slice(new);
            }
            Ok(())
        };
        let mut stream = Stream::new(&mut self.session)?;
        for (number, batch) in images.chunks(full * self.image_len).enumerate() {
            let mut padded = batch.to_vec();
            // Images do not see each other, so zeros fill up the last batch.
            padded.resize(full * self.image_len, 0.0);
            let extra = extra(number * full);
            let mut inputs = vec![(Builder::IMAGES, (&padded).into())];
            inputs.extend(extra.iter().map(|(name, numbers)| (*name, numbers.into())));
            stream.submit(0, &inputs, batch.len() / self.image_len)?;
            while let Some(arrived) = stream.poll()? {
                arrive(arrived)?;
            }
        }
        while let Some(arrived) = stream.wait()? {
            arrive(arrived)?;
        }
        let tensor = |(ty, values): (&TensorType, Vec<f32>)| {
            let mut shape = ty.shape.clone();
            shape[0] = count;
            Tensor::f32(shape, values)
        };
        self.types.iter().zip(values).map(tensor).collect()
    }
}

/// How a unit of a layer changes with images or other layers. [`Lens::gradients`](super::Lens::gradients) makes it.
pub struct Gradients {
    probe: Probe,
    layer: Layer,
}

impl Gradients {
    pub(super) const UPSTREAM: &str = "upstream";

    pub(super) fn new(probe: Probe, layer: Layer) -> Self {
        Self { probe, layer }
    }

    /// Images at a time.
    pub fn batch(&self) -> usize {
        self.probe.batch
    }

    /// First what the layer gives for each image, then the gradients that were asked for, of the mean of channel
    /// `channels[i]` for image i. Of the logits, a channel is a class.
    ///
    /// # Errors
    ///
    /// As [`Probe::run`], and [`Error::Argument`] if there is not one channel of the layer for each image.
    pub fn run(&mut self, images: &[f32], channels: &[usize]) -> Result<Vec<Tensor>> {
        let count = images.len() / self.probe.image_len;
        if channels.len() != count {
            let problem = format!("expected one for each of {count} images, found {}", channels.len());
            return Err(Error::argument("channels", problem));
        }
        channels.iter().try_for_each(|channel| self.layer.check_channel(*channel))?;
        let pixels = self.layer.pixels();
        self.run_from(images, |image, upstream| {
            upstream[channels[image] * pixels..][..pixels].fill(1.0 / pixels as f32);
        })
    }

    /// The same for any sum of what the layer gives: `weigh` gets the number of an image, and zeros of the layer's shape to
    /// write the share of each element into.
    ///
    /// # Errors
    ///
    /// As [`Probe::run`].
    pub fn run_from(&mut self, images: &[f32], weigh: impl Fn(usize, &mut [f32])) -> Result<Vec<Tensor>> {
        let len = self.layer.channels() * self.layer.pixels();
        let (batch, count) = (self.probe.batch, images.len() / self.probe.image_len);
        self.probe.run_with(images, |first| {
            let mut upstream = vec![0.0; batch * len];
            for (image, upstream) in (first..count).zip(upstream.chunks_exact_mut(len)) {
                weigh(image, upstream);
            }
            Some((Self::UPSTREAM, upstream))
        })
    }
}
