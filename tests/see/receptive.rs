//! What layers see of images, through networks: structure against gradients, peaks against a direct search.

use crate::common::{Outcome, Suite, text};
use striate::data::{Normalization, Preprocessing};
use striate::graph::{Axis, PersistentKind, Role};
use striate::infer::inference_graph;
use striate::models::{NAMES, by_name};
use striate::rng::SplitMix64;
use striate::see::{Lens, Peak, effective_field, peaks};
use striate::{Device, Result, Tensor};

/// A network whose parameters are above 0, so that nothing cancels and no ReLU is shut, and of very different
/// sizes, so that channels differ. Its batch norms do nothing.
fn positive(device: &Device, name: &str, side: usize, batch: usize) -> Result<Lens> {
    let model = by_name(name, 3, 10)?;
    let graph = inference_graph(&*model, [1, 3, side, side])?;
    let mut random = SplitMix64::new(3);
    let weights = graph.model_state().into_iter().map(|id| {
        let value = graph.value(id);
        let Role::Persistent(persistence) = &value.role else { panic!("{} is no state", value.name) };
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

/// What the middle of a layer depends on, by gradients, is the whole of what the structure says, and nothing else: in each layer
/// whose field fits into the image, and the last. A max pool lets one pixel of a window through, so that it takes several
/// images, and still a few pixels of hundreds may never be it. Where a field goes beyond the image, pixels at its lower and
/// right edge may be left out by windows that do not fit.
fn sees_what_it_can(name: &str) -> Result<()> {
    // Networks made for CIFAR have no max pools.
    let (side, count, missing) = match by_name(name, 3, 10)?.input_size() {
        [32, 32] => (32, 2, 0.0),
        _ => (80, 16, 0.03),
    };
    let lens = positive(&Device::select("cpu")?, name, side, count.min(8))?;
    let images = images(&lens, count);
    for layer in telling(&lens)? {
        let field = effective_field(&lens, &images, &layer, None)?;
        let extent = field.extent().unwrap_or_else(|| panic!("{layer}: no pixel has influence"));
        for (theory, found) in field.theoretical.iter().zip(&extent) {
            let what = || format!("{layer}: {theory:?} by structure, {found:?} by gradients");
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

/// Of layers with pixels, the last of each field that lies within the image, and the last of all.
fn telling(lens: &Lens) -> Result<Vec<String>> {
    let side = lens.image_shape()[1] as isize;
    let mut found: Vec<(String, [Axis; 2])> = Vec::new();
    let with_pixels: Vec<_> = lens.layers().iter().filter(|layer| layer.shape.len() == 3).collect();
    for (number, layer) in with_pixels.iter().enumerate() {
        let axes = lens.receptive_field(&layer.name)?;
        let middle = axes[0].field(layer.shape[1] / 2);
        if (0 <= middle.start && middle.end <= side) || number + 1 == with_pixels.len() {
            found.retain(|(_, other)| *other != axes);
            found.push((layer.name.clone(), axes));
        }
    }
    Ok(found.into_iter().map(|(name, _)| name).collect())
}

/// A row for each network that has a name.
pub fn add(suite: &mut Suite) {
    for name in NAMES {
        suite.add(format!("sees_what_it_can::{name}"), || sees_what_it_can(name).map_err(text));
    }
}

pub fn one_channel_is_a_part_of_all(device: &Device) -> Outcome {
    let lens = positive(device, "resnet8", 16, 4).map_err(text)?;
    let images = images(&lens, 6);
    let all = effective_field(&lens, &images, "layer1.0", None).map_err(text)?;
    // With nothing but positive gradients, all channels together are the sum of each.
    let mut sum = vec![0.0; 16 * 16];
    for channel in 0..16 {
        let one = effective_field(&lens, &images, "layer1.0", Some(channel)).map_err(text)?;
        sum.iter_mut().zip(one.magnitude.as_f32()).for_each(|(sum, m)| *sum += m);
    }
    for (sum, all) in sum.iter().zip(all.magnitude.as_f32()) {
        assert!((sum - all).abs() <= 1e-4 * all.abs(), "{sum} {all}");
    }
    assert!(all.size() > 1.0 && all.size() <= 7.0, "{}", all.size());
    assert!(
        effective_field(&lens, &images, "layer1.0", Some(16))
            .unwrap_err()
            .to_string()
            .contains("channels 0 to 15")
    );
    assert!(
        effective_field(&lens, &images, "layer9", None)
            .unwrap_err()
            .to_string()
            .contains("did you mean layer")
    );
    Ok(())
}

pub fn peaks_through_batches_are_those_of_all_at_once(device: &Device) -> Outcome {
    let lens = positive(device, "resnet8", 16, 2).map_err(text)?;
    let images = images(&lens, 11);
    for layer in ["layer2.0.conv1", "fc"] {
        let values = lens.activations(&images, &[layer]).map_err(text)?.remove(0);
        let found = peaks(&lens, &images, layer, 4).map_err(text)?;
        let channels = values.shape()[1];
        let places = values.len() / 11 / channels;
        let width = values.shape().get(3).copied().unwrap_or(1);
        assert_eq!(found.channels().len(), channels);
        for (channel, found) in found.channels().iter().enumerate() {
            let peak = |image: usize| {
                let plane = &values.as_f32()[(image * channels + channel) * places..][..places];
                let (place, value) =
                    plane.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
                Peak { image, place: [place / width, place % width], value: *value }
            };
            let mut all: Vec<Peak> = (0..11).map(peak).collect();
            all.sort_by(|a, b| b.value.total_cmp(&a.value));
            assert_eq!(found, &all[..4]);
        }
    }
    assert!(peaks(&lens, &images, "fc", 12).unwrap_err().to_string().contains("from 1 to 11"));
    assert!(peaks(&lens, &images, "fd", 1).unwrap_err().to_string().contains("did you mean fc"));
    Ok(())
}
