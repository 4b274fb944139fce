//! Saliency against PyTorch's, and against properties that must hold.

use crate::close;
use crate::common::Outcome;
use crate::network::{BRANCHES, FLAT, NET, images, lens, noise, untrained};
use serde_json::Value;
use striate::graph::ReluRule;
use striate::interpret::{Lens, SmoothGrad, grad_cam, input_gradients, integrated_gradients, smooth_grad};
use striate::models::{Model, by_name};
use striate::{Device, Result};

const CLASSES: [usize; 2] = [0, 2];

pub fn gradients_match_pytorch(device: &Device) -> Outcome {
    let golden: Value =
        serde_json::from_str(include_str!("../goldens/interpret.json")).map_err(|e| e.to_string())?;
    assert_eq!(golden["classes"], serde_json::json!(CLASSES));
    let networks: [&dyn Model; 2] = [&NET, &BRANCHES];
    for model in networks {
        let golden = &golden[model.name()];
        let (lens, images) = (lens(device, model)?, images());
        let found = |name: &str, tensor: Result<striate::Tensor>| {
            let expected = golden[name].as_array().unwrap().iter().map(|n| n.as_f64().unwrap() as f32);
            let what = format!("{name} of {}", model.name());
            close(&what, tensor?.as_f32(), &expected.collect::<Vec<f32>>(), 1e-5)
        };
        found("logits", lens.activations(&images, &[Lens::LOGITS]).map(|mut all| all.remove(0)))?;
        found("gradient", input_gradients(&lens, &images, &CLASSES, ReluRule::Exact))?;
        found("guided", input_gradients(&lens, &images, &CLASSES, ReluRule::Guided))?;
        found("grad_cam", grad_cam(&lens, &images, &CLASSES, "block"))?;
    }
    Ok(())
}

/// The contributions of all pixels add up to the difference in logits, for all kinds of layers. Where a gradient jumps along
/// the path, the sum may be off by up to one step.
pub fn integrated_gradients_add_up(device: &Device) -> Outcome {
    let of = |name: &str| by_name(name, 3, 3);
    let (resnet, padded, lenet) = (of("resnet8")?, of("resnet20-a")?, of("lenet")?);
    let (plain, googlenet) = (of("plain20")?, of("googlenet-original")?);
    let networks: [(&dyn Model, usize, usize); 7] = [
        (&NET, 8, 300),
        (&BRANCHES, 8, 300),
        (&*resnet, 16, 300),
        (&*padded, 12, 300),
        (&*plain, 12, 300),
        (&*lenet, 16, 300),
        (&*googlenet, 48, 60),
    ];
    for (model, side, steps) in networks {
        let lens = untrained(device, model, side)?;
        let found = integrated_gradients(&lens, &noise(&lens, 2), &CLASSES, steps)?;
        let images = found.contributions.as_f32().chunks(lens.image_len());
        let sums: Vec<f32> = images.map(|image| image.iter().sum()).collect();
        close(&format!("sums of {}", model.name()), &sums, &found.differences, 1.0 / steps as f32)?;
    }
    Ok(())
}

pub fn smooth_gradients_of_a_linear_network_are_its_weights(device: &Device) -> Outcome {
    let lens = lens(device, &FLAT)?;
    let smooth = SmoothGrad { samples: 5, noise: 0.2, seed: 1 };
    let found = smooth_grad(&lens, &images(), &CLASSES, &smooth)?;
    let weights = lens.weight("fc.weight").unwrap().as_f32();
    let expected: Vec<f32> = CLASSES
        .iter()
        .flat_map(|class| &weights[class * lens.image_len()..][..lens.image_len()])
        .copied()
        .collect();
    close("smooth", found.as_f32(), &expected, 1e-5)?;
    let error = smooth_grad(&lens, &images(), &[0], &smooth).unwrap_err().to_string();
    assert!(error.contains("expected one per image (2), found 1"), "{error}");
    Ok(())
}
