//! Convolutions and matrix products.

use super::case::{Around, Case, Lowered};
use crate::Tensor;
use crate::op::{
    BatchNorm, ClipCoefficient, Conv2d, Conv2dGradInput, Epilogue, GradEpilogue, Matmul, Operation,
};
use crate::selftest::random::{Random, floats};

/// Sizes around those of tiles (8 x 8 and 64 x 64 results, 16 deep) and workgroups.
const BOUNDARIES: [usize; 9] = [7, 8, 9, 15, 16, 17, 63, 64, 65];

pub fn cases() -> Vec<Case> {
    let mut cases = convolutions();
    cases.extend(epilogues());
    cases.extend(normalized());
    cases.extend(clipped());
    cases.extend(large());
    cases.extend(convolutions_at_boundaries());
    cases.extend(products());
    cases
}

/// x `[batch, channels, h, w]`, weight, and whether there is a bias.
fn conv(name: &str, x: [usize; 4], weight: [usize; 4], bias: bool, op: Conv2d) -> Case {
    let out = |i: usize| {
        (x[i + 2] + 2 * op.padding[i] - op.dilation[i] * (weight[i + 2] - 1) - 1) / op.stride[i] + 1
    };
    let [_, per_group, kh, kw] = weight;
    let taps = per_group * kh * kw;
    let terms = taps.max(weight[0] / op.groups * kh * kw).max(x[0] * out(0) * out(1));
    let row = (x[1] * kh * kw * out(1) * 4) as u64;
    Case::new("conv2d", name, op, |rng| {
        let mut inputs = vec![rng.normal(&x), rng.normal(&weight)];
        if bias {
            inputs.push(rng.normal(&weight[..1]));
        }
        inputs
    })
    .terms(terms)
    .lowered(Lowered::Conv { row, rows: out(0) as u64 })
}

fn convolutions() -> Vec<Case> {
    let plain = Conv2d::default();
    let pad = |h, w| Conv2d { padding: [h, w], ..plain };
    let stride = |h, w| Conv2d { stride: [h, w], ..plain };
    let groups = |groups, padding| Conv2d { groups, padding: [padding; 2], ..plain };
    vec![
        conv("one_of_everything", [1, 1, 1, 1], [1, 1, 1, 1], true, plain),
        conv("pointwise_prime", [2, 7, 5, 3], [11, 7, 1, 1], true, plain),
        conv("pointwise_stride2", [2, 5, 7, 9], [6, 5, 1, 1], false, stride(2, 2)),
        conv("pointwise_padded", [2, 3, 4, 5], [4, 3, 1, 1], true, pad(1, 2)),
        conv("pointwise_groups", [3, 6, 5, 5], [4, 3, 1, 1], true, groups(2, 0)),
        conv("pointwise_fours", [2, 8, 5, 4], [36, 8, 1, 1], true, plain),
        conv("pointwise_odd_rows", [2, 9, 6, 6], [5, 9, 1, 1], true, plain),
        conv("pointwise_fours_groups", [2, 24, 4, 4], [40, 12, 1, 1], false, groups(2, 0)),
        conv("same3x3_bias", [2, 3, 8, 8], [4, 3, 3, 3], true, pad(1, 1)),
        conv("stride2_pad1", [2, 3, 9, 7], [5, 3, 3, 3], false, Conv2d { stride: [2, 2], ..pad(1, 1) }),
        conv("stride2_pad1_even", [2, 3, 8, 10], [5, 3, 3, 3], true, Conv2d { stride: [2, 2], ..pad(1, 1) }),
        conv("stride_larger_than_kernel", [2, 2, 11, 13], [3, 2, 2, 2], true, stride(5, 4)),
        conv("pixels_that_nothing_reads", [1, 2, 10, 10], [2, 2, 3, 3], false, stride(4, 4)),
        conv("kernel_larger_than_image", [2, 3, 3, 2], [4, 3, 5, 7], true, pad(2, 3)),
        conv("kernel_as_large_as_image", [3, 2, 5, 4], [6, 2, 5, 4], true, plain),
        conv("padding_larger_than_kernel", [1, 2, 3, 3], [2, 2, 2, 2], true, pad(4, 3)),
        conv("dilation", [1, 2, 13, 11], [3, 2, 3, 3], true, Conv2d { dilation: [3, 2], ..plain }),
        conv(
            "dilation_stride_padding",
            [2, 3, 12, 9],
            [4, 3, 3, 2],
            true,
            Conv2d { dilation: [2, 3], stride: [3, 2], padding: [2, 3], ..plain },
        ),
        conv("groups2", [2, 4, 7, 5], [6, 2, 3, 3], false, groups(2, 1)),
        conv("groups3_bias", [2, 6, 7, 5], [9, 2, 3, 3], true, groups(3, 1)),
        conv("groups_of_eight", [2, 16, 5, 5], [24, 8, 3, 3], true, groups(2, 1)),
        conv("depthwise", [2, 8, 9, 9], [8, 1, 3, 3], true, groups(8, 1)),
        conv(
            "depthwise_doubled_stride2",
            [3, 5, 7, 8],
            [10, 1, 3, 3],
            false,
            Conv2d { stride: [2, 1], ..groups(5, 1) },
        ),
        conv(
            "nonsquare_everything",
            [3, 2, 17, 5],
            [4, 2, 5, 1],
            true,
            Conv2d { stride: [2, 1], padding: [2, 0], ..plain },
        ),
        conv(
            "nonsquare_wide",
            [2, 3, 4, 23],
            [5, 3, 2, 7],
            false,
            Conv2d { stride: [1, 3], padding: [0, 2], dilation: [2, 1], ..plain },
        ),
        conv("one_channel_in", [3, 1, 28, 28], [6, 1, 5, 5], true, pad(2, 2)),
        conv("one_channel_out", [2, 9, 6, 6], [1, 9, 3, 3], true, pad(1, 1)),
        conv("thousand_channels_in", [1, 1000, 3, 3], [3, 1000, 3, 3], true, pad(1, 1)),
        conv("thousand_channels_out", [1, 3, 4, 4], [1000, 3, 1, 1], true, plain),
        conv("resnet_stage", [3, 16, 16, 16], [32, 16, 3, 3], false, Conv2d { stride: [2, 2], ..pad(1, 1) }),
        // All phases of the input gradient in one kernel: one tile per row, three out of four, and one per lane of a subgroup.
        conv("stride2_one_tile", [2, 5, 6, 8], [3, 5, 3, 3], false, Conv2d { stride: [2, 2], ..pad(1, 1) }),
        conv("stride2_groups", [3, 6, 10, 24], [4, 3, 3, 3], true, Conv2d { stride: [2, 2], ..groups(2, 1) }),
        conv("stride2_full_rows", [2, 9, 4, 64], [5, 9, 3, 3], true, Conv2d { stride: [2, 2], ..pad(1, 1) }),
        // More tiles per row than lanes in a subgroup, exactly as many, and a tile that extends past the end of the row.
        conv("wide_rows", [1, 3, 5, 36], [5, 3, 3, 3], true, pad(1, 1)),
        conv("wide_rows_stride2", [2, 2, 5, 72], [17, 2, 3, 3], true, Conv2d { stride: [2, 2], ..pad(1, 1) }),
        conv("full_rows", [2, 4, 3, 32], [18, 4, 3, 3], true, pad(1, 1)),
        conv("full_rows_stride2", [1, 4, 5, 64], [3, 4, 3, 3], false, Conv2d { stride: [2, 2], ..pad(1, 1) }),
        conv("seven_tiles", [3, 5, 6, 28], [16, 5, 3, 3], true, pad(1, 1)),
        conv(
            "seven_tiles_stride2",
            [2, 9, 7, 56],
            [33, 9, 3, 3],
            true,
            Conv2d { stride: [2, 2], ..pad(1, 1) },
        ),
        conv("groups_of_vec4", [2, 16, 5, 8], [24, 8, 3, 3], true, groups(2, 1)),
        conv("pointwise_vec4", [2, 7, 5, 12], [33, 7, 1, 1], true, plain),
        conv("stride2_5x5", [2, 3, 11, 13], [4, 3, 5, 5], true, Conv2d { stride: [2, 2], ..pad(2, 2) }),
        conv("stride2_7x7", [1, 3, 20, 24], [17, 3, 7, 7], false, Conv2d { stride: [2, 2], ..pad(3, 3) }),
        conv("rows_of_five", [2, 3, 12, 12], [4, 3, 5, 5], true, plain),
        conv("rows_of_five_padded", [2, 18, 5, 8], [17, 18, 3, 5], false, pad(1, 4)),
        // Subgroups that process rows of eight images at once, of four, and of two bands; taps above and below the image.
        conv("together", [8, 3, 6, 8], [18, 3, 5, 5], true, pad(4, 4)),
        conv("four_together", [12, 2, 5, 7], [3, 2, 5, 5], false, pad(3, 2)),
        conv("together_dilated", [16, 2, 9, 6], [3, 2, 3, 3], true, Conv2d { dilation: [2, 1], ..pad(5, 1) }),
        conv("together_stride2", [8, 3, 9, 10], [4, 3, 5, 5], false, Conv2d { stride: [2, 2], ..pad(4, 1) }),
        // Tiles cut off at both edges, without padding, and with more padding than the transposed convolution has.
        conv("unpadded3x3", [1, 1, 7, 9], [1, 1, 3, 3], true, plain),
        conv("unpadded3x3_vec4", [3, 5, 10, 8], [17, 5, 3, 3], true, plain),
        conv("padded3x3_by_two", [2, 3, 5, 6], [5, 3, 3, 3], false, pad(2, 2)),
        conv("padded3x3_by_three", [1, 2, 4, 5], [3, 2, 3, 3], true, pad(3, 0)),
        // More images than slices of a weight gradient, and a shorter last slice.
        conv("many_images", [37, 2, 5, 5], [3, 2, 3, 3], true, pad(1, 1)),
        conv("many_images_pointwise", [67, 3, 3, 3], [5, 3, 1, 1], true, plain),
    ]
}

/// Large enough for the preferences that require many channels.
fn large() -> Vec<Case> {
    let op = Conv2d { padding: [1, 1], ..Default::default() };
    let sizes =
        [("large", [4, 128, 16, 16], [128, 128, 3, 3]), ("large_weight", [8, 64, 32, 32], [64, 64, 3, 3])];
    sizes.map(|(name, x, weight)| conv(name, x, weight, true, op).lowered(Lowered::Default)).into()
}

/// Operations that are fused into a convolution: with vec4 and without, at both strides, and in groups.
/// Convolutions with operations that are fused into them: name, x, weight, bias and operation.
type Fused = (&'static str, [usize; 4], [usize; 4], bool, Conv2d);

fn fused() -> [Fused; 9] {
    let same = Conv2d { padding: [1, 1], ..Default::default() };
    let strided = Conv2d { stride: [2, 2], ..same };
    let sparse = Conv2d { stride: [2, 2], ..Default::default() };
    [
        ("vec4", [2, 3, 5, 8], [17, 3, 3, 3], true, same),
        ("prime", [3, 5, 7, 11], [6, 5, 3, 3], false, same),
        ("strided", [2, 4, 9, 16], [5, 4, 3, 3], true, strided),
        ("halving", [2, 4, 8, 8], [5, 4, 3, 3], true, strided),
        ("pointwise", [2, 7, 5, 12], [33, 7, 1, 1], true, Conv2d::default()),
        ("pointwise_strided", [2, 5, 8, 9], [6, 5, 1, 1], false, sparse),
        ("five", [2, 3, 12, 12], [4, 3, 5, 5], true, Conv2d::default()),
        ("grouped", [2, 16, 5, 5], [24, 8, 3, 3], true, Conv2d { groups: 2, ..same }),
        ("depthwise", [2, 5, 9, 7], [5, 1, 3, 3], true, Conv2d { groups: 5, ..same }),
    ]
}

fn epilogues() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, x, weight, bias, op) in fused() {
        let y = |case: &Case| {
            let types: Vec<_> = case.inputs.iter().map(Tensor::ty).collect();
            op.infer(&types).expect("the shapes of a case fit")[0].shape.clone()
        };
        for epilogue in [Epilogue::Relu, Epilogue::AddRelu] {
            let name = format!("{name}_{epilogue:?}");
            let mut case = conv(&name, x, weight, bias, Conv2d { epilogue, ..op }).forward_only();
            if epilogue == Epilogue::AddRelu {
                case.inputs.push(Random::new(case.seed ^ 2).normal(&y(&case)));
            }
            cases.push(case);
        }
        for epilogue in [GradEpilogue::Add, GradEpilogue::ReluGrad, GradEpilogue::AddReluGrad] {
            let case = conv(&format!("{name}_{epilogue:?}"), x, weight, false, op).forward_only();
            let mut rng = Random::new(case.seed ^ 2);
            let mut inputs = vec![rng.normal(&y(&case)), rng.normal(&weight)];
            inputs.extend(epilogue.adds().then(|| rng.normal(&x)));
            inputs.extend(epilogue.has_relu().then(|| relu_output(&mut rng, &x)));
            let op = Conv2dGradInput { conv: op, input_shape: x.to_vec(), epilogue };
            cases.push(Case { op: op.into(), inputs, ..case });
        }
    }
    cases
}

/// Convolutions whose kernels compute the moments of batch norm: in groups, at strides, of fewer pixels than a tile and of several
/// tiles with a short last one, with a mean much larger than the deviation, and with a NaN.
fn normalized() -> Vec<Case> {
    let same = Conv2d { padding: [1, 1], ..Default::default() };
    let strided = Conv2d { stride: [2, 2], ..same };
    let row = |name: &str, x: [usize; 4], weight: [usize; 4], op: Conv2d| {
        let mut case = conv(&format!("normalized_{name}"), x, weight, false, op);
        let mut rng = Random::new(case.seed ^ 3);
        case.inputs.extend([rng.uniform(&weight[..1], 0.5, 2.0), rng.normal(&weight[..1])]);
        Case { around: Around::BatchNorm(BatchNorm::default()), ..case }.floor(1.0).lowered(Lowered::Moments)
    };
    let mut cases = vec![
        row("one_pixel", [2, 3, 1, 1], [2, 3, 1, 1], Conv2d::default()),
        row("one_tile", [3, 5, 4, 5], [17, 5, 3, 3], same),
        row("tiles", [5, 16, 17, 13], [67, 16, 3, 3], same),
        row("pointwise", [2, 20, 16, 16], [33, 20, 1, 1], Conv2d::default()),
        row("strided", [3, 7, 21, 18], [16, 7, 3, 3], strided),
        row("stem", [2, 3, 30, 26], [40, 3, 7, 7], Conv2d { padding: [3, 3], ..strided }),
        row("grouped", [3, 8, 9, 11], [36, 4, 3, 3], Conv2d { groups: 2, ..same }),
    ];
    // All phases of an input gradient write the input of batch norm, so its moments are not computed with them.
    let phases = row("phases", [2, 4, 8, 10], [6, 4, 3, 3], strided);
    let mut rng = Random::new(phases.seed ^ 4);
    let mut inputs = vec![rng.normal(&[2, 6, 4, 5]), phases.inputs[1].clone()];
    inputs.extend([rng.uniform(&[4], 0.5, 2.0), rng.normal(&[4])]);
    let op = Conv2dGradInput { conv: strided, input_shape: vec![2, 4, 8, 10], epilogue: GradEpilogue::None };
    cases.push(Case { op: op.into(), inputs, ..phases }.forward_only());
    // The mean of the results is about 1e4 times their deviation.
    let mut far = row("mean_1e4", [4, 1, 12, 12], [3, 1, 1, 1], Conv2d::default());
    let pixels = far.inputs[0].as_f32().iter().map(|v| v + 1e4).collect();
    far.inputs[0] = floats([4, 1, 12, 12], pixels);
    // Gradients of the weight cancel out even more.
    cases.push(far.tolerance(1e-3).forward_only());
    let mut nan = row("nan", [2, 4, 10, 15], [9, 4, 3, 3], same);
    let mut pixels = nan.inputs[0].as_f32().to_vec();
    pixels[77] = f32::NAN;
    nan.inputs[0] = floats([2, 4, 10, 15], pixels);
    cases.push(nan);
    cases
}

/// Small weight gradients, each summed over many slices, whose reductions share launches: of several sizes, one of them not a multiple
/// of four, more than fit in a launch, and with a NaN in one.
fn clipped() -> Vec<Case> {
    let op = Conv2d { padding: [1, 1], ..Default::default() };
    let case = |name: &str, weights: usize, nan: Option<usize>| {
        let x = [2, 4, 32, 24];
        let outs = |i: usize| [16, 3, 20, 8][i % 4] + i;
        let of = |shape: &dyn Fn(usize) -> Vec<usize>, rng: &mut Random| -> Vec<Tensor> {
            (0..weights).map(|i| rng.normal(&shape(i))).collect()
        };
        let inputs = |rng: &mut Random| {
            let mut inputs = vec![rng.normal(&x)];
            inputs.extend(of(&|i| vec![outs(i), 4, 3, 3], rng));
            inputs.extend(of(&|i| vec![2, outs(i), 32, 24], rng));
            if let Some(i) = nan {
                let mut dy = inputs[1 + weights + i].as_f32().to_vec();
                dy[500] = f32::NAN;
                inputs[1 + weights + i] = floats([2, outs(i), 32, 24], dy);
            }
            inputs
        };
        let case = Case::new("clipped_gradients", name, op, inputs).terms(2 * 32 * 24);
        Case { around: Around::Clipping(ClipCoefficient { max_norm: 3.0 }), ..case }
            .forward_only()
            .lowered(Lowered::Families)
    };
    vec![
        case("two", 2, None),
        case("nine", 9, None),
        case("nine_with_nan", 9, Some(5)),
        case("seventeen", 17, None),
        case("seventy", 70, None),
        case("seventy_with_nan", 70, Some(66)),
    ]
}

/// Values of either sign, and a NaN, where gradients pass.
fn relu_output(rng: &mut Random, shape: &[usize]) -> Tensor {
    let mut values = rng.normal(shape).into_f32();
    values[1] = f32::NAN;
    floats(shape, values)
}

/// Rows, columns and depth of the matrix products cross each boundary, forward and backward.
fn convolutions_at_boundaries() -> Vec<Case> {
    let square = BOUNDARIES.map(|s| {
        let op = Conv2d { padding: [0, 1], ..Default::default() };
        conv(&format!("boundary_{s}"), [1, s, 1, s], [s, s, 1, 3], true, op)
    });
    let flat = [255, 256, 257].map(|s| {
        conv(
            &format!("pixels_{s}"),
            [2, 2, 1, s],
            [3, 2, 1, 2],
            false,
            Conv2d { padding: [0, 1], ..Default::default() },
        )
    });
    let deep = [255, 256, 257]
        .map(|s| conv(&format!("channels_{s}"), [1, s, 2, 2], [3, s, 1, 1], true, Conv2d::default()));
    square.into_iter().chain(flat).chain(deep).collect()
}

/// Sizes `[batch, m, k, n]`; with a batch of 0, matrices have no batch axis.
fn product(name: &str, [batch, m, k, n]: [usize; 4], bias: bool, op: Matmul) -> Case {
    let shape = |rows: usize, cols: usize, swap: bool| {
        let (rows, cols) = if swap { (cols, rows) } else { (rows, cols) };
        if batch == 0 { vec![rows, cols] } else { vec![batch, rows, cols] }
    };
    Case::new("matmul", name, op, |rng| {
        let mut inputs =
            vec![rng.normal(&shape(m, k, op.transpose_a)), rng.normal(&shape(k, n, op.transpose_b))];
        if bias {
            inputs.push(rng.normal(&[n]));
        }
        inputs
    })
    .terms(k.max(m).max(n) * batch.max(1))
    .lowered(Lowered::Matmul)
}

/// Replaces one element of the first operand by NaN.
fn with_nan(mut inputs: Vec<Tensor>) -> Vec<Tensor> {
    let (shape, mut values) = (inputs[0].shape().to_vec(), inputs[0].as_f32().to_vec());
    let at = (shape[0] / 2) * shape[1]; // the first of its row, just past the end of the row before
    values[at] = f32::NAN;
    inputs[0] = floats(shape, values);
    inputs
}

fn products() -> Vec<Case> {
    let plain = Matmul::default();
    let mut cases = vec![
        product("one_of_everything", [0, 1, 1, 1], true, plain),
        product("prime", [0, 13, 17, 11], false, plain),
        product("row_times_column", [0, 1, 1000, 1], true, plain),
        product("column_times_row", [0, 1000, 1, 7], true, plain),
        product("wide", [0, 3, 5, 257], true, plain),
        product("tall", [0, 257, 5, 3], true, plain),
        product("three_panels", [2, 40, 6, 72], true, plain),
        product("linear", [0, 5, 512, 10], true, Matmul { transpose_b: true, ..plain }),
        product("linear_batch1", [0, 1, 65, 1000], true, Matmul { transpose_b: true, ..plain }),
    ];
    for (transpose_a, transpose_b) in [(false, false), (true, false), (false, true), (true, true)] {
        let op = Matmul { transpose_a, transpose_b };
        let flag = |t: bool| if t { 't' } else { 'n' };
        let name = format!("{}{}", flag(transpose_a), flag(transpose_b));
        cases.push(product(&name, [0, 65, 17, 9], true, op));
        // Elements past an edge must not be multiplied, not even by zero.
        let nan = product(&format!("{name}_nan_stays_in_its_row"), [0, 19, 21, 10], true, op);
        cases.push(Case { inputs: with_nan(nan.inputs), ..nan });
        cases.push(product(&format!("{name}_batched"), [3, 9, 33, 66], true, op));
        cases.push(product(&format!("{name}_batch1"), [1, 8, 16, 64], false, op));
    }
    cases.extend(BOUNDARIES.map(|s| product(&format!("boundary_{s}"), [0, s, s, s], true, plain)));
    cases.extend([255, 256, 257].map(|s| product(&format!("depth_{s}"), [0, 3, s, 5], false, plain)));
    cases
}
