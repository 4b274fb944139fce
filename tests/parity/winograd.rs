//! Errors of Winograd convolutions, relative to the definition with sums in `f64`.

use crate::REFERENCE;
use crate::common::*;
use striate::kernel::{self, Kernel};
use striate::op::{Conv2d, Conv2dGradInput, Conv2dGradWeight, Op};
use striate::plan::{Pass, Target};
use striate::{Device, Tensor, eager};

/// A tile size: the kernels that select it for the forward pass and the weight gradient, and the documented bound of the largest
/// error, relative to the largest result.
struct Tile {
    name: &'static str,
    filter: &'static Kernel,
    filter_grad: &'static Kernel,
    bound: f64,
}

const TILES: [Tile; 2] = [
    Tile {
        name: "2x2",
        filter: &kernel::WINOGRAD_FILTER_2X2,
        filter_grad: &kernel::WINOGRAD_FILTER_GRAD_2X2,
        bound: 1e-6,
    },
    Tile {
        name: "4x4",
        filter: &kernel::WINOGRAD_FILTER_4X4,
        filter_grad: &kernel::WINOGRAD_FILTER_GRAD_4X4,
        bound: 1e-5,
    },
];

/// Weight gradients are sums over thousands of tiles, which add rounding errors.
const LONG_SUMS: f64 = 4.0;

/// Batch, input channels, output channels, rows and columns. All sums are long enough to be typical.
const SIZES: [[usize; 5]; 3] = [[4, 64, 64, 16, 16], [2, 128, 96, 9, 11], [16, 16, 16, 32, 32]];

pub fn add(suite: &mut Suite) {
    for tile in TILES {
        for pass in [Pass::Forward, Pass::GradInput, Pass::GradWeight] {
            let name = format!("winograd::error_of_{}::{}", tile.name, pass.name());
            let (kernel, bound) = match pass {
                Pass::GradWeight => (tile.filter_grad, LONG_SUMS * tile.bound),
                _ => (tile.filter, tile.bound),
            };
            suite.add_on(&["cpu-reference", "gpu"], name, move |device| {
                is_bounded(device, pass, kernel, bound)
            });
        }
    }
}

fn is_bounded(device: &Device, pass: Pass, kernel: &'static Kernel, bound: f64) -> Outcome {
    let device =
        device.clone().with_target(Target { kernels: vec![(pass, kernel)], ..device.target().clone() });
    for (seed, sizes) in SIZES.into_iter().enumerate() {
        let (op, inputs) = problem(pass, sizes, seed as u64);
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let of = |device: &Device| eager::apply(device, op.clone(), &inputs);
        let (got, want) = (of(&device)?.remove(0), of(&REFERENCE)?.remove(0));
        let what = format!("{} of {sizes:?} by {}", pass.name(), kernel.name);
        // Any other algorithm would pass.
        assert!(got.as_f32() != want.as_f32(), "{what}: no error at all, so the kernel was not used");
        compare(&what, &got, &want, bound, 0.0)?;
    }
    Ok(())
}

/// A convolution with padding 1, or one of its gradients, on normally distributed inputs.
fn problem(pass: Pass, [batch, ins, outs, h, w]: [usize; 5], seed: u64) -> (Op, [Tensor; 2]) {
    let conv = Conv2d { padding: [1, 1], ..Default::default() };
    let (x, weight, y) = ([batch, ins, h, w], [outs, ins, 3, 3], [batch, outs, h, w]);
    let mut rng = Random::new(seed);
    let mut normal = |shape: [usize; 4]| rng.normal(&shape);
    match pass {
        Pass::GradInput => (
            Conv2dGradInput { conv, input_shape: x.to_vec(), ..Default::default() }.into(),
            [normal(y), normal(weight)],
        ),
        Pass::GradWeight => {
            (Conv2dGradWeight { conv, weight_shape: weight.to_vec() }.into(), [normal(x), normal(y)])
        }
        _ => (conv.into(), [normal(x), normal(weight)]),
    }
}
