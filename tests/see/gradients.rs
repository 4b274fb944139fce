//! Saliency against PyTorch's numbers and against what must hold.

use crate::close;
use crate::common::{Outcome, text};
use crate::network::{Flat, Net, images, lens};
use serde_json::Value;
use striate::graph::ReluRule;
use striate::see::{
    Fill, Occlusion, SmoothGrad, grad_cam, input_gradients, integrated_gradients, smooth_grad,
};
use striate::{Device, Result};

const CLASSES: [usize; 2] = [0, 2];

pub fn gradients_are_pytorchs(device: &Device) -> Outcome {
    let golden: Value =
        serde_json::from_str(include_str!("../goldens/see.json")).map_err(|e| e.to_string())?;
    let numbers = |name: &str| -> Vec<f32> {
        golden[name].as_array().unwrap().iter().map(|n| n.as_f64().unwrap() as f32).collect()
    };
    assert_eq!(golden["classes"], serde_json::json!(CLASSES));
    let (lens, images) = (lens(device, &Net).map_err(text)?, images());
    let found = |name: &str, tensor: Result<striate::Tensor>| {
        close(name, tensor.map_err(text)?.as_f32(), &numbers(name), 1e-5)
    };
    found("logits", lens.activations(&images, &["logits"]).map(|mut all| all.remove(0)))?;
    found("gradient", input_gradients(&lens, &images, &CLASSES, ReluRule::Exact))?;
    found("guided", input_gradients(&lens, &images, &CLASSES, ReluRule::Guided))?;
    found("grad_cam", grad_cam(&lens, &images, &CLASSES, "block"))
}

pub fn integrated_gradients_add_up(device: &Device) -> Outcome {
    let lens = lens(device, &Net).map_err(text)?;
    let found = integrated_gradients(&lens, &images(), &CLASSES, 300).map_err(text)?;
    let sums: Vec<f32> =
        found.contributions.as_f32().chunks(lens.image_len()).map(|picture| picture.iter().sum()).collect();
    close("sums", &sums, &found.differences, 5e-3)
}

pub fn smooth_gradients_of_a_linear_network_are_its_weights(device: &Device) -> Outcome {
    let lens = lens(device, &Flat).map_err(text)?;
    let smooth = SmoothGrad { samples: 5, noise: 0.2, seed: 1 };
    let found = smooth_grad(&lens, &images(), &CLASSES, &smooth).map_err(text)?;
    let weights = lens.weight("fc.weight").unwrap().as_f32();
    let expected: Vec<f32> = CLASSES
        .iter()
        .flat_map(|class| &weights[class * lens.image_len()..][..lens.image_len()])
        .copied()
        .collect();
    close("smooth", found.as_f32(), &expected, 1e-5)
}

/// What is drawn is the same on both executors, up to rounding.
pub fn gpu_and_cpu_see_the_same(gpu: &Device) -> Outcome {
    let see = |device: &Device| -> Result<Vec<Vec<f32>>> {
        let (lens, images) = (lens(device, &Net)?, images());
        let occlusion = Occlusion { patch: 3, stride: 2, fill: Fill::Blur };
        let map = occlusion.map(&lens, &mut lens.classifier()?, &images[..lens.image_len()], None)?;
        let smooth = SmoothGrad { samples: 4, noise: 0.1, seed: 7 };
        Ok(vec![
            lens.activations(&images, &["block.bn2"])?.remove(0).into_f32(),
            map.probabilities.into_f32(),
            smooth_grad(&lens, &images, &CLASSES, &smooth)?.into_f32(),
            integrated_gradients(&lens, &images, &CLASSES, 8)?.contributions.into_f32(),
        ])
    };
    let (found, expected) =
        (see(gpu).map_err(text)?, see(&Device::select("cpu").map_err(text)?).map_err(text)?);
    ["activations", "occlusion", "smooth gradients", "integrated gradients"]
        .iter()
        .zip(found.iter().zip(&expected))
        .try_for_each(|(what, (found, expected))| close(what, found, expected, 1e-4))
}
