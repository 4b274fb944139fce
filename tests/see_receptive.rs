//! What layers see of pictures, through networks: structure against gradients, peaks against a direct search.

use striate::data::{Normalization, Preprocessing};
use striate::graph::PersistentKind;
use striate::graph::Role;
use striate::infer::inference_graph;
use striate::models::by_name;
use striate::rng::SplitMix64;
use striate::see::{Lens, Peak, effective_field, peaks};
use striate::{Device, Result, Tensor};

/// A network on the CPU whose parameters are above 0, so that nothing cancels and no ReLU is shut, and of very different
/// sizes, so that channels differ. Its batch norms do nothing.
fn positive(name: &str, side: usize, batch: usize) -> Result<Lens> {
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
    let preprocessing = Preprocessing { size: [side, side], resize: None, normalization };
    Lens::new(&Device::select("cpu")?, &*model, weights, preprocessing, batch)
}

fn images(lens: &Lens, count: usize) -> Vec<f32> {
    let mut random = SplitMix64::new(8);
    (0..count * lens.image_len()).map(|_| random.unit() as f32).collect()
}

/// The middle of four layers sees what the structure says, no pixel more, and up to its edges. Max pools let one
/// pixel of a window through, so that it takes several pictures; where a field goes beyond the picture, pixels at
/// its lower and right edge may be left out by windows that do not fit.
fn sees_what_it_can(name: &str, side: usize) -> Result<()> {
    let lens = positive(name, side, 8)?;
    let images = images(&lens, 16);
    let layers: Vec<&str> = lens
        .layers()
        .iter()
        .filter(|layer| layer.shape.len() == 3)
        .map(|layer| layer.name.as_str())
        .collect();
    for layer in [0, layers.len() / 4, layers.len() / 2, layers.len() - 1].map(|i| layers[i]) {
        let field = effective_field(&lens, &images, layer, None)?;
        let extent = field.extent().unwrap_or_else(|| panic!("{name}, {layer}: no pixel has influence"));
        for (theory, found) in field.theoretical.iter().zip(&extent) {
            let what = || format!("{name}, {layer}: {theory:?} by structure, {found:?} by gradients");
            assert_eq!(found.start as isize, theory.start.max(0), "{}", what());
            match theory.end <= side as isize {
                true => assert_eq!(found.end as isize, theory.end, "{}", what()),
                false => assert!(found.end + 8 > side, "{}", what()),
            }
        }
    }
    Ok(())
}

#[test]
fn small_networks_see_what_they_can() -> Result<()> {
    for name in ["lenet", "resnet8", "resnet20-a", "plain20", "resnet18-cifar"] {
        sees_what_it_can(name, 32)?;
    }
    Ok(())
}

#[test]
fn residual_networks_see_what_they_can() -> Result<()> {
    for name in ["resnet18", "resnet50", "plain18"] {
        sees_what_it_can(name, 64)?;
    }
    Ok(())
}

#[test]
fn other_networks_see_what_they_can() -> Result<()> {
    for name in ["alexnet", "alexnet-2012", "googlenet", "googlenet-original"] {
        sees_what_it_can(name, 80)?;
    }
    Ok(())
}

#[test]
fn one_channel_is_a_part_of_all() -> Result<()> {
    let lens = positive("resnet8", 16, 4)?;
    let images = images(&lens, 6);
    let all = effective_field(&lens, &images, "layer1.0", None)?;
    // With nothing but positive gradients, all channels together are the sum of each.
    let mut sum = vec![0.0; 16 * 16];
    for channel in 0..16 {
        let one = effective_field(&lens, &images, "layer1.0", Some(channel))?;
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

#[test]
fn peaks_through_batches_are_those_of_all_at_once() -> Result<()> {
    let lens = positive("resnet8", 16, 2)?;
    let images = images(&lens, 11);
    for layer in ["layer2.0.conv1", "fc"] {
        let values = lens.activations(&images, &[layer])?.remove(0);
        let found = peaks(&lens, &images, layer, 4)?;
        let channels = values.shape()[1];
        let places = values.len() / 11 / channels;
        let width = values.shape().get(3).copied().unwrap_or(1);
        assert_eq!(found.channels().len(), channels);
        for (channel, found) in found.channels().iter().enumerate() {
            let peak = |picture: usize| {
                let plane = &values.as_f32()[(picture * channels + channel) * places..][..places];
                let (place, value) =
                    plane.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
                Peak { picture, place: [place / width, place % width], value: *value }
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
