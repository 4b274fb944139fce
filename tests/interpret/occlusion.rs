//! Occlusion against its closed form.

use crate::close;
use crate::common::Outcome;
use crate::network::{FLAT, SIDE, images, lens};
use striate::Device;
use striate::interpret::{Fill, Occlusion};

/// Covering changes a logit by the weights under the patch times the change in pixels there.
pub fn occlusion_of_a_linear_network(device: &Device) -> Outcome {
    let lens = lens(device, &FLAT)?;
    let (weights, bias) =
        (lens.weight("fc.weight").unwrap().as_f32(), lens.weight("fc.bias").unwrap().as_f32());
    let images = images();
    let image = &images[..lens.image_len()];
    let normalization = &lens.preprocessing().normalization;
    let mut classifier = lens.classifier()?;
    for (patch, stride, fill) in [
        (3, 2, Fill::Gray),
        (4, 3, Fill::Mean),
        (1, 1, Fill::Gray),
        (20, 5, Fill::Mean),
        (3, 2, Fill::Border),
    ] {
        let occlusion = Occlusion { patch, stride, fill };
        let map = occlusion.map(&lens, &mut classifier, image, Some(1))?;
        let cells = SIDE.div_ceil(stride);
        assert_eq!(map.probabilities.shape(), [cells, cells]);
        let mut expected = Vec::new();
        for cell in 0..cells * cells {
            // The patch is centered on the cell's middle pixel; an even one extends further down and to the right.
            let inside = |at: usize, cell: usize| {
                let from_middle = at as i64 - (cell * stride + stride / 2) as i64;
                let (before, after) = ((patch as i64 - 1) / 2, patch as i64 / 2);
                -before <= from_middle && from_middle <= after
            };
            let covered: Vec<f64> = (0..image.len())
                .map(|i| {
                    let (channel, y, x) = (i / SIDE / SIDE, i / SIDE % SIDE, i % SIDE);
                    let plane = &image[channel * SIDE * SIDE..][..SIDE * SIDE];
                    match (inside(y, cell / cells) && inside(x, cell % cells), fill) {
                        (false, _) => f64::from(image[i]),
                        (true, Fill::Mean) => plane.iter().map(|n| f64::from(*n)).sum::<f64>() / 64.0,
                        (true, Fill::Border) => {
                            let edges = [0, SIDE - 1];
                            let border = (0..SIDE * SIDE)
                                .filter(|at| edges.contains(&(at / SIDE)) || edges.contains(&(at % SIDE)));
                            border.map(|at| f64::from(plane[at])).sum::<f64>() / (4 * SIDE - 4) as f64
                        }
                        (true, _) => {
                            f64::from((0.5 - normalization.mean[channel]) / normalization.std[channel])
                        }
                    }
                })
                .collect();
            let logit = |class: usize| -> f64 {
                let row = &weights[class * image.len()..][..image.len()];
                f64::from(bias[class]) + row.iter().zip(&covered).map(|(w, x)| f64::from(*w) * x).sum::<f64>()
            };
            let all: f64 = (0..3).map(|class| (logit(class) - logit(1)).exp()).sum();
            expected.push((1.0 / all) as f32);
        }
        close(&format!("{occlusion:?}"), map.probabilities.as_f32(), &expected, 1e-4)?;
    }
    let error = Occlusion { patch: 0, stride: 1, fill: Fill::Gray }.map(&lens, &mut classifier, image, None);
    assert!(error.unwrap_err().to_string().contains("patch"));
    Ok(())
}
