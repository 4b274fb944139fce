//! Every view gives the same on the GPU as on the CPU, up to rounding.

use crate::close;
use crate::common::{Outcome, Suite};
use crate::network::{BRANCHES, noise, untrained};
use striate::graph::ReluRule;
use striate::interpret::{
    ActivationMaximization, Fill, Lens, Occlusion, SmoothGrad, effective_receptive_field, grad_cam,
    input_gradients, integrated_gradients, smooth_grad,
};
use striate::models::{CifarResNet, Model, Shortcut};
use striate::{Device, Result, Tensor};

/// The results of a view for a lens and images.
type View = fn(&Lens, &[f32]) -> Result<Vec<Tensor>>;

/// The class to explain in each image.
const CLASSES: [usize; 4] = [0, 2, 1, 2];

const VIEWS: &[(&str, View)] = &[
    ("activations", |lens, images| lens.activations(images, &names(lens))),
    ("features", |lens, images| Ok(vec![lens.features(images)?, lens.probabilities(images)?])),
    ("input_gradients", |lens, images| Ok(vec![input_gradients(lens, images, &CLASSES, ReluRule::Exact)?])),
    ("guided_backpropagation", |lens, images| {
        Ok(vec![input_gradients(lens, images, &CLASSES, ReluRule::Guided)?])
    }),
    ("smooth_grad", |lens, images| {
        let smooth = SmoothGrad { samples: 4, noise: 0.1, seed: 7 };
        Ok(vec![smooth_grad(lens, images, &CLASSES, &smooth)?])
    }),
    ("integrated_gradients", |lens, images| {
        let found = integrated_gradients(lens, images, &CLASSES, 8)?;
        Ok(vec![found.contributions, Tensor::f32([CLASSES.len()], found.differences)?])
    }),
    ("grad_cam", |lens, images| {
        let layers = names(lens).into_iter().filter(|name| lens.layer(name).unwrap().shape.len() == 3);
        layers.map(|layer| grad_cam(lens, images, &CLASSES, layer)).collect()
    }),
    ("occlusion", |lens, images| {
        let mut classifier = lens.classifier()?;
        let image = &images[..lens.image_len()];
        let fills = [Fill::Gray, Fill::Mean, Fill::Border, Fill::Blur];
        let maps = fills.map(|fill| {
            let occlusion = Occlusion { patch: 3, stride: 2, fill };
            Ok(occlusion.map(lens, &mut classifier, image, None)?.probabilities)
        });
        maps.into_iter().collect()
    }),
    ("activation_maximization", |lens, _| {
        let ascent = ActivationMaximization { steps: 3, seed: 3, ..Default::default() };
        let made = ascent.run(lens, Lens::LOGITS, &[0, 1, 2, 2])?;
        Ok(vec![made.images, Tensor::f32([4], made.after)?])
    }),
    ("effective_receptive_fields", |lens, images| {
        names(lens)
            .into_iter()
            .map(|layer| Ok(effective_receptive_field(lens, images, layer, None)?.magnitude))
            .collect()
    }),
];

fn names(lens: &Lens) -> Vec<&str> {
    lens.layers().iter().map(|layer| layer.name.as_str()).collect()
}

/// Adds a test for each view of each of two networks.
pub fn add(suite: &mut Suite) {
    let resnet = CifarResNet { blocks: 1, shortcut: Shortcut::Projected, in_channels: 3, classes: 3 };
    for (name, view) in VIEWS {
        suite.add_gpu(format!("same_on_gpu_and_cpu::{name}::resnet8"), move |gpu| {
            agree(gpu, &resnet, 12, *view)
        });
        suite
            .add_gpu(format!("same_on_gpu_and_cpu::{name}::branches"), |gpu| agree(gpu, &BRANCHES, 8, *view));
    }
}

fn agree(gpu: &Device, model: &dyn Model, side: usize, view: View) -> Outcome {
    let run = |device: &Device| {
        let lens = untrained(device, model, side)?;
        view(&lens, &noise(&lens, CLASSES.len()))
    };
    let cpu = Device::select("cpu")?;
    let (found, expected) = (run(gpu)?, run(&cpu)?);
    for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found.shape(), expected.shape());
        close(&format!("result {number}"), found.as_f32(), expected.as_f32(), 2e-5)?;
    }
    Ok(())
}
