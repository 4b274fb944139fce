//! Activation maximization.

use crate::common::Outcome;
use crate::network::{NET, lens, silent};
use striate::Device;
use striate::interpret::{ActivationMaximization, Lens};

/// Settings for the small test images.
fn small(steps: usize, seed: u64) -> ActivationMaximization {
    ActivationMaximization { scales: 2, steps, jitter: 1, seed, ..Default::default() }
}

pub fn ascent_raises_the_activation(device: &Device) -> Outcome {
    let lens = lens(device, &NET)?;
    for seed in 0..20 {
        let ascent = small(6, seed);
        for (layer, channels) in [("block", &[0, 1, 2, 3][..]), (Lens::LOGITS, &[0, 1, 2])] {
            let made = ascent.run(&lens, layer, channels)?;
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
        let ascent = small(12, seed);
        let made = ascent.run(&lens, "block", &[1, 2, 3])?;
        assert_eq!(made.before, [0.0; 3], "the channels are not silent on noise");
        if made.after.iter().any(|after| *after <= 0.0) {
            return Err(format!("seed {seed}: to {:?}", made.after).into());
        }
    }
    Ok(())
}

/// The image of a channel depends on the seed, but not on the other channels.
pub fn ascent_is_reproducible(device: &Device) -> Outcome {
    let lens = lens(device, &NET)?;
    let make = |seed: u64, channels: &[usize]| {
        let ascent =
            ActivationMaximization { scales: 1, steps: 3, seed, ..ActivationMaximization::default() };
        ascent.run(&lens, "block", channels).map(|made| made.images.into_f32())
    };
    let (all, alone, other) = (make(3, &[0, 1, 2, 3])?, make(3, &[3])?, make(4, &[3])?);
    assert!(all.ends_with(&alone), "a channel's image depends on the others");
    assert_ne!(alone, other);
    Ok(())
}
