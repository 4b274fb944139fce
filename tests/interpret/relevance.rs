//! Layer-wise relevance propagation against zennit's, and against properties that must hold.

use crate::close;
use crate::common::Outcome;
use crate::network::{BRANCHES, FLAT, NET, SIDE, images, lens, noise, pattern, unbiased};
use serde_json::Value;
use striate::Device;
use striate::graph::RelevanceRules;
use striate::interpret::{Lens, channel_relevance, relevance};
use striate::models::{Model, by_name};

const CLASSES: [usize; 2] = [0, 2];

pub fn relevance_matches_zennit(device: &Device) -> Outcome {
    let golden: Value =
        serde_json::from_str(include_str!("../goldens/relevance.json")).map_err(|e| e.to_string())?;
    assert_eq!(golden["classes"], serde_json::json!(CLASSES));
    let channel = golden["channel"].as_u64().unwrap() as usize;
    let images = pattern(2 * 3 * SIDE * SIDE, 9, 1.0);
    let networks: [&dyn Model; 2] = [&NET, &BRANCHES];
    for model in networks {
        let golden = &golden[model.name()];
        let lens = lens(device, model)?;
        let matches = |name: &str, found: &[f32]| {
            let expected = golden[name].as_array().unwrap().iter().map(|n| n.as_f64().unwrap() as f32);
            close(&format!("{name} of {}", model.name()), found, &expected.collect::<Vec<f32>>(), 2e-5)
        };
        let rules = RelevanceRules::default();
        let found = relevance(&lens, &images, &CLASSES, &[Lens::IMAGES, "block"], rules)?;
        matches("logits", &found.logits)?;
        matches("pixels", found.layers[0].as_f32())?;
        matches("block", found.layers[1].as_f32())?;
        let pairs = [(0, channel), (1, channel)];
        let through = channel_relevance(&lens, &images, "block", &found.layers[1], &pairs, rules)?;
        matches("channel", through.as_f32())?;
    }
    Ok(())
}

/// Without biases, the relevance of any layer that everything passes through sums to the logit, for all kinds of layers.
pub fn relevance_is_conserved(device: &Device) -> Outcome {
    let of = |name: &str| by_name(name, 3, 3);
    let (resnet, padded, lenet) = (of("resnet8")?, of("resnet20-a")?, of("lenet")?);
    let (bottlenecks, googlenet) = (of("cifar-resnet50")?, of("googlenet-original")?);
    let networks: [(&dyn Model, usize, &str); 7] = [
        (&NET, 8, "block"),
        (&BRANCHES, 8, "block"),
        (&*resnet, 16, "layer2"),
        (&*padded, 12, "layer2"),
        (&*bottlenecks, 8, "layer2"),
        (&*lenet, 16, "conv2"),
        (&*googlenet, 48, "inception4a"),
    ];
    for (model, side, layer) in networks {
        let lens = unbiased(device, model, side)?;
        // Within the range of pixels, which the rule of the first layer relies on.
        let images: Vec<f32> = noise(&lens, 2).iter().map(|value| value.clamp(-1.0, 2.0)).collect();
        let rules = RelevanceRules { epsilon: 1e-9, ..Default::default() };
        let found = relevance(&lens, &images, &CLASSES, &[Lens::IMAGES, layer], rules)?;
        for (layer, tensor) in ["pixels", layer].iter().zip(&found.layers) {
            let each = tensor.as_f32().chunks(tensor.len() / 2);
            let sums: Vec<f32> = each.map(|image| image.iter().sum()).collect();
            close(&format!("{layer} of {}", model.name()), &sums, &found.logits, 1e-3)?;
        }
    }
    Ok(())
}

pub fn relevance_of_channels_adds_up_to_that_of_the_pixels(device: &Device) -> Outcome {
    let (lens, images, rules) = (lens(device, &NET)?, images(), RelevanceRules::default());
    let found = relevance(&lens, &images, &CLASSES, &[Lens::IMAGES, "block"], rules)?;
    let pairs: Vec<(usize, usize)> = (0..2).flat_map(|image| (0..4).map(move |c| (image, c))).collect();
    let through = channel_relevance(&lens, &images, "block", &found.layers[1], &pairs, rules)?;
    let mut sums = vec![0.0; images.len()];
    for ((image, _), map) in pairs.iter().zip(through.as_f32().chunks(lens.image_len())) {
        let sum = &mut sums[image * lens.image_len()..][..lens.image_len()];
        sum.iter_mut().zip(map).for_each(|(sum, value)| *sum += value);
    }
    close("sum", &sums, found.layers[0].as_f32(), 1e-5)
}

/// In a linear network, a pixel contributes its value times its weight.
pub fn relevance_in_a_linear_network_is_pixel_times_weight(device: &Device) -> Outcome {
    let (lens, images) = (lens(device, &FLAT)?, images());
    let found = relevance(&lens, &images, &CLASSES, &[Lens::IMAGES], RelevanceRules::default())?;
    let weights = lens.weight("fc.weight").unwrap().as_f32();
    let rows = CLASSES.iter().flat_map(|class| &weights[class * lens.image_len()..][..lens.image_len()]);
    let expected: Vec<f32> = rows.zip(&images).map(|(weight, pixel)| weight * pixel).collect();
    close("relevance", found.layers[0].as_f32(), &expected, 1e-4)
}

pub fn relevance_of_what_does_not_exist_is_refused(device: &Device) -> Outcome {
    let (lens, images, rules) = (lens(device, &NET)?, images(), RelevanceRules::default());
    let refused = |classes: &[usize], layer: &str, words: &str| {
        let error = relevance(&lens, &images, classes, &[layer], rules).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    refused(&[0], Lens::IMAGES, "expected 2 for these images, found 1");
    refused(&[0, 3], Lens::IMAGES, "channels 0 to 2, found 3");
    refused(&CLASSES, "blok", "no layer \"blok\"; did you mean block");
    let block = relevance(&lens, &images, &CLASSES, &["block"], rules)?.layers.remove(0);
    for (layer, pair, words) in [
        ("block", (0, 4), "channels 0 to 3, found 4"),
        ("block", (2, 0), "images 0 to 1, found 2"),
        (Lens::LOGITS, (0, 0), "expected 6 for these images, found 512"),
    ] {
        let error = channel_relevance(&lens, &images, layer, &block, &[pair], rules).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    Ok(())
}
