//! Receptive fields of networks against their gradients, and top activations against a direct search.

use crate::common::{Outcome, Suite};
use striate::data::{Normalization, Preprocessing};
use striate::graph::{PersistentKind, ReceptiveField, Role};
use striate::infer::inference_graph;
use striate::interpret::{Lens, TopActivation, effective_receptive_field, top_activations};
use striate::models::{NAMES, by_name};
use striate::rng::SplitMix64;
use striate::{Device, Result, Tensor};

/// A network with positive parameters, so that nothing cancels and every ReLU passes its input, of very different magnitudes,
/// so that channels differ. Its batch norms are identities.
fn positive(device: &Device, name: &str, side: usize, batch: usize) -> Result<Lens> {
    let model = by_name(name, 3, 10)?;
    let graph = inference_graph(&*model, [1, 3, side, side])?;
    let mut random = SplitMix64::new(3);
    let weights = graph.model_state().into_iter().map(|id| {
        let value = graph.value(id);
        let Role::Persistent(persistence) = &value.role else { panic!("{} is not persistent", value.name) };
        let matrix = value.ty.shape.len() > 1;
        let terms: usize = value.ty.shape.iter().skip(1).product();
        let one = value.name.ends_with("running_var") || value.name.ends_with("weight");
        let mut number = || match persistence.kind {
            PersistentKind::Parameter if matrix => (7.0 * random.unit().powi(6) + 0.01) / terms as f64,
            _ => f64::from(u8::from(one)),
        };
        Ok((
            value.name.clone(),
            Tensor::f32(value.ty.shape.clone(), (0..value.ty.len()).map(|_| number() as f32).collect())?,
        ))
    });
    let weights = weights.collect::<Result<Vec<_>>>()?;
    let normalization = Normalization { mean: vec![0.0; 3], std: vec![1.0; 3] };
    let preprocessing = Preprocessing::new([side, side], normalization);
    Lens::new(device, &*model, weights, preprocessing, batch)
}

fn images(lens: &Lens, count: usize) -> Vec<f32> {
    let mut random = SplitMix64::new(8);
    (0..count * lens.image_len()).map(|_| random.unit() as f32).collect()
}

/// The gradient of a layer's center unit reaches exactly the pixels of its theoretical receptive field, in every layer whose
/// field fits into the image and in the last one. A max pool passes on one pixel per window, so it takes several images, and
/// a few pixels may still be missed. Where a field exceeds the image, windows that do not fit may leave out pixels at the
/// lower and right edge.
fn gradients_fill_the_receptive_field(name: &str) -> Result<()> {
    // Networks for CIFAR have no max pools.
    let (side, count, missing) = match by_name(name, 3, 10)?.input_size() {
        [32, 32] => (32, 2, 0.0),
        _ => (80, 16, 0.03),
    };
    let lens = positive(&Device::select("cpu")?, name, side, count.min(8))?;
    let images = images(&lens, count);
    for layer in layers_to_check(&lens)? {
        let field = effective_receptive_field(&lens, &images, &layer, None)?;
        let extent = field.extent().unwrap_or_else(|| panic!("{layer}: no pixel has influence"));
        for (theory, found) in field.theoretical.iter().zip(&extent) {
            let what = || format!("{layer}: {theory:?} in theory, {found:?} by gradients");
            assert_eq!(found.start as isize, theory.start.max(0), "{}", what());
            match theory.end <= side as isize {
                true => assert_eq!(found.end as isize, theory.end, "{}", what()),
                false => assert!(found.end + 8 > side, "{}", what()),
            }
        }
        let all = extent[0].len() * extent[1].len();
        let seen = field.magnitude.as_f32().iter().filter(|m| **m > 0.0).count();
        assert!(
            seen as f64 >= (1.0 - missing) * all as f64,
            "{layer}: {seen} of {all} pixels have influence"
        );
    }
    Ok(())
}

/// Of the layers with the same field, the last one; only fields inside the image, and the very last layer.
fn layers_to_check(lens: &Lens) -> Result<Vec<String>> {
    let side = lens.image_shape()[1] as isize;
    let mut found: Vec<(String, [ReceptiveField; 2])> = Vec::new();
    let with_pixels: Vec<_> = lens.layers().iter().filter(|layer| layer.shape.len() == 3).collect();
    for (number, layer) in with_pixels.iter().enumerate() {
        let axes = lens.receptive_field(&layer.name)?;
        let middle = axes[0].pixels(layer.shape[1] / 2);
        if (0 <= middle.start && middle.end <= side) || number + 1 == with_pixels.len() {
            found.retain(|(_, other)| *other != axes);
            found.push((layer.name.clone(), axes));
        }
    }
    Ok(found.into_iter().map(|(name, _)| name).collect())
}

/// A test for each named network.
pub fn add(suite: &mut Suite) {
    for name in NAMES {
        suite.add(format!("gradients_fill_the_receptive_field::{name}"), || {
            Ok(gradients_fill_the_receptive_field(name)?)
        });
    }
}

pub fn fields_of_channels_sum_to_that_of_the_layer(device: &Device) -> Outcome {
    let lens = positive(device, "resnet8", 16, 4)?;
    let images = images(&lens, 6);
    let all = effective_receptive_field(&lens, &images, "layer1.0", None)?;
    // All gradients are positive, so the field of all channels is the sum over channels.
    let mut sum = vec![0.0; 16 * 16];
    for channel in 0..16 {
        let one = effective_receptive_field(&lens, &images, "layer1.0", Some(channel))?;
        sum.iter_mut().zip(one.magnitude.as_f32()).for_each(|(sum, m)| *sum += m);
    }
    for (sum, all) in sum.iter().zip(all.magnitude.as_f32()) {
        assert!((sum - all).abs() <= 1e-4 * all.abs(), "{sum} {all}");
    }
    assert!(all.size() > 1.0 && all.size() <= 7.0, "{}", all.size());
    for (layer, channel, words) in
        [("layer1.0", Some(16), "channels 0 to 15"), ("layer9", None, "did you mean layer")]
    {
        let error = effective_receptive_field(&lens, &images, layer, channel).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    Ok(())
}

pub fn top_activations_in_batches_match_a_direct_search(device: &Device) -> Outcome {
    let lens = positive(device, "resnet8", 16, 2)?;
    let images = images(&lens, 11);
    let layers = ["layer2.0.conv1", "fc"];
    let found = top_activations(&lens, &images, &layers, 4)?;
    for (found, values) in found.iter().zip(lens.activations(&images, &layers)?) {
        let channels = values.shape()[1];
        let positions = values.len() / 11 / channels;
        let width = values.shape().get(3).copied().unwrap_or(1);
        assert_eq!(found.channels().len(), channels);
        for (channel, found) in found.channels().iter().enumerate() {
            let top = |image: usize| {
                let plane = &values.as_f32()[(image * channels + channel) * positions..][..positions];
                let (index, value) =
                    plane.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
                TopActivation { image, position: [index / width, index % width], value: *value }
            };
            let mut all: Vec<TopActivation> = (0..11).map(top).collect();
            all.sort_by(|a, b| b.value.total_cmp(&a.value));
            assert_eq!(found, &all[..4]);
        }
    }
    for (layer, count, words) in [("fc", 12, "expected 1 to 11"), ("fd", 1, "did you mean fc")] {
        let error = top_activations(&lens, &images, &[layer], count).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    Ok(())
}
