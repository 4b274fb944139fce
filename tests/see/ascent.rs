//! Gradient ascent.

use crate::common::{Outcome, text};
use crate::network::{Net, lens, silent};
use striate::Device;
use striate::see::{Ascent, Lens};

pub fn ascent_raises_what_it_climbs(device: &Device) -> Outcome {
    let lens = lens(device, &Net).map_err(text)?;
    for seed in 0..20 {
        let ascent = Ascent { scales: 2, steps: 6, jitter: 1, seed, ..Ascent::default() };
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

/// A unit that gives nothing for noise has no gradient there, and is still found an image for.
pub fn ascent_wakes_silent_units(device: &Device) -> Outcome {
    let lens = silent(device).map_err(text)?;
    for seed in 0..20 {
        let ascent = Ascent { scales: 2, steps: 12, jitter: 1, seed, ..Ascent::default() };
        let made = ascent.run(&lens, "block", &[1, 2, 3]).map_err(text)?;
        assert_eq!(made.before, [0.0; 3], "the units are not silent on noise");
        if made.after.iter().any(|after| *after <= 0.0) {
            return Err(format!("seed {seed}: to {:?}", made.after));
        }
    }
    Ok(())
}

/// What is made of a unit depends on the seed, and on no unit beside it.
pub fn ascent_is_reproducible(device: &Device) -> Outcome {
    let lens = lens(device, &Net).map_err(text)?;
    let make = |seed: u64, channels: &[usize]| {
        let ascent = Ascent { scales: 1, steps: 3, seed, ..Ascent::default() };
        ascent.run(&lens, "block", channels).map(|made| made.images.into_f32()).map_err(text)
    };
    let (all, alone, other) = (make(3, &[0, 1, 2, 3])?, make(3, &[3])?, make(4, &[3])?);
    assert!(all.ends_with(&alone), "a unit's image depends on others");
    assert_ne!(alone, other);
    Ok(())
}
