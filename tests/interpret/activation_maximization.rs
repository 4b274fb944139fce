//! Activation maximization.

use crate::common::{Outcome, text};
use crate::network::{Net, lens, silent};
use striate::Device;
use striate::interpret::{ActivationMaximization, Lens};

pub fn ascent_raises_the_activation(device: &Device) -> Outcome {
    let lens = lens(device, &Net).map_err(text)?;
    for seed in 0..20 {
        let ascent = ActivationMaximization {
            scales: 2,
            steps: 6,
            jitter: 1,
            seed,
            ..ActivationMaximization::default()
        };
        for (layer, channels) in [("block", &[0, 1, 2, 3][..]), (Lens::LOGITS, &[0, 1, 2])] {
            let made = ascent.run(&lens, layer, channels).map_err(text)?;
            for (i, channel) in channels.iter().enumerate() {
                let (before, after) = (made.before[i], made.after[i]);
                if after <= before {
                    return Err(format!("{layer} {channel}, seed {seed}: from {before} to {after}"));
                }
            }
        }
    }
    Ok(())
}

/// A channel that is 0 on noise has no gradient there, and still gets an image that excites it.
pub fn ascent_wakes_silent_channels(device: &Device) -> Outcome {
    let lens = silent(device).map_err(text)?;
    for seed in 0..20 {
        let ascent = ActivationMaximization {
            scales: 2,
            steps: 12,
            jitter: 1,
            seed,
            ..ActivationMaximization::default()
        };
        let made = ascent.run(&lens, "block", &[1, 2, 3]).map_err(text)?;
        assert_eq!(made.before, [0.0; 3], "the channels are not silent on noise");
        if made.after.iter().any(|after| *after <= 0.0) {
            return Err(format!("seed {seed}: to {:?}", made.after));
        }
    }
    Ok(())
}

/// The image of a channel depends on the seed, and not on the other channels.
pub fn ascent_is_reproducible(device: &Device) -> Outcome {
    let lens = lens(device, &Net).map_err(text)?;
    let make = |seed: u64, channels: &[usize]| {
        let ascent =
            ActivationMaximization { scales: 1, steps: 3, seed, ..ActivationMaximization::default() };
        ascent.run(&lens, "block", channels).map(|made| made.images.into_f32()).map_err(text)
    };
    let (all, alone, other) = (make(3, &[0, 1, 2, 3])?, make(3, &[3])?, make(4, &[3])?);
    assert!(all.ends_with(&alone), "a channel's image depends on the others");
    assert_ne!(alone, other);
    Ok(())
}
