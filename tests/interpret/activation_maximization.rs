//! Activation maximization.

use crate::close;
use crate::common::Outcome;
use crate::network::{FLAT, NET, SIDE, lens, noise, silent};
use striate::Device;
use striate::interpret::{ActivationMaximization, Distortion, Lens, Start};

/// Settings for the small test images.
fn small(steps: usize, seed: u64) -> ActivationMaximization {
    ActivationMaximization { steps, seed, ..Default::default() }
}

pub fn ascent_raises_the_activation(device: &Device) -> Outcome {
    let lens = lens(device, &NET)?;
    for seed in 0..20 {
        let ascent = small(12, seed);
        for (layer, channels) in [("block", &[0, 1, 2, 3][..]), (Lens::LOGITS, &[0, 1, 2])] {
            let made = ascent.run(&lens, layer, channels)?;
            let values = lens.activations(made.images.as_f32(), &[layer])?.swap_remove(0);
            let pixels = values.shape()[2..].iter().product();
            let planes: Vec<&[f32]> = values.as_f32().chunks_exact(pixels).collect();
            let largest = |i: usize| {
                let plane = planes[i * values.shape()[1] + channels[i]];
                plane.iter().copied().fold(f32::MIN, f32::max)
            };
            let expected: Vec<f32> = (0..channels.len()).map(largest).collect();
            close("largest activations", &made.largest, &expected, 1e-5)?;
            for (i, channel) in channels.iter().enumerate() {
                let (before, after) = (made.before[i], made.after[i]);
                if after <= before {
                    return Err(format!("{layer} {channel}, seed {seed}: from {before} to {after}").into());
                }
            }
        }
    }
    Ok(())
}

/// A channel that is 0 on noise has no gradient there, but still gets an image that excites it.
pub fn ascent_excites_silent_channels(device: &Device) -> Outcome {
    let lens = silent(device)?;
    for seed in 0..20 {
        // One of them needs an extreme color.
        let ascent = ActivationMaximization { rate: 0.5, ..small(64, seed) };
        let made = ascent.run(&lens, "block", &[1, 2, 3])?;
        assert_eq!(made.before, [0.0; 3], "the channels are not silent on noise");
        if made.after.iter().any(|after| *after <= 0.0) {
            return Err(format!("seed {seed}: to {:?}", made.after).into());
        }
    }
    Ok(())
}

/// The images of a channel depend on the seed, but not on the other channels.
pub fn ascent_is_reproducible(device: &Device) -> Outcome {
    let lens = lens(device, &NET)?;
    let make = |seed: u64, channels: &[usize]| {
        small(3, seed).run(&lens, "block", channels).map(|made| made.images.into_f32())
    };
    let (all, alone, other) = (make(3, &[0, 1, 3, 2, 3])?, make(3, &[3, 3])?, make(4, &[3, 3])?);
    let len = lens.image_len();
    let image = |index: usize| &all[index * len..][..len];
    assert!(alone == [image(2), image(4)].concat(), "a channel's image depends on the others");
    assert!(image(2) != image(4), "both images of a channel are the same");
    assert_ne!(alone, other);
    Ok(())
}

/// Without distortion, the image of a linear network moves towards the weights of its class, most of all at low frequencies.
pub fn ascent_of_a_linear_network_follows_its_weights(device: &Device) -> Outcome {
    let lens = lens(device, &FLAT)?;
    let still = Distortion { shift: 0.0, rotation: 0.0, zoom: 1.0 };
    let ascent = ActivationMaximization { steps: 32, distortion: still, ..Default::default() };
    let made = ascent.run(&lens, Lens::LOGITS, &[0, 1, 2])?;
    let weights = lens.weight("fc.weight").expect("the network has this layer").as_f32();
    for (class, (image, weights)) in
        made.images.as_f32().chunks(lens.image_len()).zip(weights.chunks(lens.image_len())).enumerate()
    {
        let mean = image.iter().sum::<f32>() / image.len() as f32;
        let along: f32 = image.iter().zip(weights).map(|(value, weight)| (value - mean) * weight).sum();
        assert!(along > 0.0, "class {class}: {along}");
    }
    Ok(())
}

/// Diversity lowers the similarity of the activations of a channel's images.
pub fn diversity_drives_images_apart(device: &Device) -> Outcome {
    let lens = lens(device, &NET)?;
    let similarity = |diversity: f32| -> striate::Result<f32> {
        let ascent = ActivationMaximization { diversity, ..small(24, 5) };
        let made = ascent.run(&lens, "block", &[1, 1])?;
        let maps = lens.activations(made.images.as_f32(), &["block"])?.swap_remove(0);
        let pixels = SIDE * SIDE;
        let means: Vec<f32> =
            maps.as_f32().chunks(pixels).map(|plane| plane.iter().sum::<f32>() / pixels as f32).collect();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let (a, b) = means.split_at(4);
        Ok(dot(a, b) / (dot(a, a) * dot(b, b)).sqrt())
    };
    let (alike, different) = (similarity(0.0)?, similarity(2.0)?);
    assert!(different < alike, "{different} with diversity, {alike} without");
    Ok(())
}

/// A rate of 0 returns the initial image, so that the start is what was given.
pub fn ascent_starts_from_images(device: &Device) -> Outcome {
    let lens = lens(device, &NET)?;
    // Within the range of pixels.
    let images: Vec<f32> = noise(&lens, 4).iter().map(|value| value.clamp(-0.9, 0.9)).collect();
    let (typical, starts) = images.split_at(2 * lens.image_len());
    let still = ActivationMaximization { rate: 0.0, ..small(1, 0) };
    let start = Start { typical, images: Some(starts) };
    let made = still.run_from(start, &lens, "block", &[2, 0], &mut || ())?;
    close("the initial images", made.images.as_f32(), starts, 1e-3)?;
    let wrong = Start { typical: &[], images: Some(typical) };
    let error = still.run_from(wrong, &lens, "block", &[2], &mut || ()).unwrap_err().to_string();
    assert!(error.contains("one per channel"), "{error}");
    let wrong = Start { typical: &images[1..], images: None };
    let error = still.run_from(wrong, &lens, "block", &[2], &mut || ()).unwrap_err().to_string();
    assert!(error.contains("not a multiple"), "{error}");
    Ok(())
}

/// Noise starts at the mean of typical images.
pub fn ascent_starts_at_the_mean(device: &Device) -> Outcome {
    let lens = lens(device, &NET)?;
    let image: Vec<f32> = (0..lens.image_len()).map(|i| if i % SIDE < 4 { 0.5 } else { -0.5 }).collect();
    let typical = image.repeat(400);
    let still = ActivationMaximization { rate: 0.0, ..small(1, 0) };
    let made = still.run_from(Start { typical: &typical, images: None }, &lens, "block", &[2], &mut || ())?;
    close("the initial image", made.images.as_f32(), &image, 0.2)
}
