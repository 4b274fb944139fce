//! Layers by name, and their outputs.

use crate::close;
use crate::common::Outcome;
use crate::network::{FLAT, NET, SIDE, images, lens};
use striate::Device;
use striate::graph::ReluRule;
use striate::interpret::{Lens, activations, filters};

pub fn a_layer_gives_the_last_value_of_its_scope(device: &Device) -> Outcome {
    let lens = lens(device, &NET)?;
    let names: Vec<&str> = lens.layers().iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["block", "block.conv1", "block.conv2", "block.bn2", "fc", "logits"]);
    let images = images();
    let values = lens.activations(&images, &["block.conv1", "block", "fc", "logits"])?;
    assert_eq!((values[0].shape(), values[2].shape()), (&[2, 4, SIDE, SIDE][..], &[2, 3][..]));
    // The convolution by definition.
    let bank = filters(&lens, &["block.conv1".into()])?.remove(0);
    let weights = bank.weights.as_f32();
    let bias = lens.weight("block.conv1.bias").unwrap().as_f32();
    let mut expected = Vec::new();
    for (image, channel) in (0..2).flat_map(|p| (0..4).map(move |c| (p, c))) {
        for (y, x) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y, x))) {
            let mut sum = bias[channel];
            for (c, dy, dx) in (0..27).map(|i| (i / 9, i / 3 % 3, i % 3)) {
                let (Some(row), Some(column)) = ((y + dy).checked_sub(1), (x + dx).checked_sub(1)) else {
                    continue;
                };
                if row < SIDE && column < SIDE {
                    let index = ((image * 3 + c) * SIDE + row) * SIDE + column;
                    sum += weights[(channel * 3 + c) * 9 + dy * 3 + dx] * images[index];
                }
            }
            expected.push(sum);
        }
    }
    close("conv1", values[0].as_f32(), &expected, 1e-5)?;
    // A block ends with its ReLU; the output of the last layer is the logits.
    assert!(values[1].as_f32().iter().all(|n| *n >= 0.0) && values[0].as_f32().iter().any(|n| *n < 0.0));
    assert_eq!(values[2].as_f32(), values[3].as_f32());
    let features = lens.features(&images)?;
    assert_eq!(features.shape(), [2, 4]);
    let probabilities = lens.probabilities(&images)?;
    for (logits, found) in values[3].as_f32().chunks(3).zip(probabilities.as_f32().chunks(3)) {
        let sum: f32 = logits.iter().map(|n| n.exp()).sum();
        let expected: Vec<f32> = logits.iter().map(|n| n.exp() / sum).collect();
        close("probabilities", found, &expected, 1e-5)?;
    }
    Ok(())
}

pub fn unknown_layers_and_channels_are_refused(device: &Device) -> Outcome {
    let lens = lens(device, &NET)?;
    let error = lens.activations(&images(), &["block.conv3"]).unwrap_err().to_string();
    assert!(error.contains("block.conv3") && error.contains("block.conv1"), "{error}");
    let error = filters(&lens, &["block".into()]).unwrap_err().to_string();
    assert!(error.contains("not a convolution") && error.contains("block.conv2"), "{error}");
    let mut gradients = lens.gradients(Lens::LOGITS, &[Lens::IMAGES], ReluRule::Exact)?;
    let error = gradients.run(&images(), &[0, 3]).unwrap_err().to_string();
    assert!(error.contains("0 to 2, found 3"), "{error}");
    let error = lens.gradients("block.conv1", &["fc"], ReluRule::Exact).err().unwrap().to_string();
    assert!(error.contains("block.conv1 does not depend on fc"), "{error}");
    assert!(lens.activations(&images()[1..], &["fc"]).is_err());
    Ok(())
}

pub fn dead_and_saturated_channels_are_found(device: &Device) -> Outcome {
    // On an all-zero image a linear layer outputs its bias.
    let lens = lens(device, &FLAT)?;
    let seen = activations(&lens, &vec![0.0; lens.image_len()], &["fc"])?.remove(0);
    let bias = lens.weight("fc.bias").unwrap().as_f32();
    assert!(bias.iter().any(|b| *b > 0.0) && bias.iter().any(|b| *b < 0.0), "{bias:?}");
    for (stats, bias) in seen.channels.iter().zip(bias) {
        assert_eq!((stats.is_dead(), stats.is_saturated()), (*bias <= 0.0, *bias > 0.0));
        assert_eq!((stats.min, stats.max, stats.active), (*bias, *bias, f64::from(u8::from(*bias > 0.0))));
    }
    Ok(())
}
