//! Element-wise operations, concatenation and slices, sums, and optimizer steps.

use super::case::Case;
use crate::Tensor;
use crate::op::*;
use crate::selftest::random::{Random, floats, integers};

/// Sizes around those of workgroups, 64 and 256.
const LENGTHS: [usize; 13] = [1, 7, 8, 9, 63, 64, 65, 255, 256, 257, 1000, 4097, 65_537];

pub fn cases() -> Vec<Case> {
    let mut cases = elementwise();
    cases.extend(blocks());
    cases.extend(sums());
    cases.extend(checks());
    cases.extend(steps());
    cases
}

fn elementwise() -> Vec<Case> {
    let mut cases = Vec::new();
    for len in LENGTHS {
        let name = format!("length_{len}");
        let two = |rng: &mut Random| vec![rng.normal(&[len]), rng.normal(&[len])];
        let one = |rng: &mut Random| vec![rng.normal(&[len])];
        cases.push(Case::new("add", &name, Add, two).exact());
        cases.push(Case::new("mul", &name, Mul, two).exact());
        let div = StabilizedDiv { eps: 0.1 };
        cases.push(Case::new("stabilized_div", &name, div, two).forward_only());
        cases.push(Case::new("relu", &name, Relu, one).exact());
        let sum = WeightedSum { alpha: 0.9, beta: 0.1 };
        cases.push(Case::new("weighted_sum", &name, sum, two).forward_only());
        cases.extend(guarded("weighted_sum", &name, sum, two));
        let ones = |rng: &mut Random| vec![floats([len], vec![1.0; len]), counter(rng)];
        // On ones, the result is the mask itself; the gradient shows that the backward pass uses the same.
        cases.push(Case::new("dropout", format!("{name}_mask"), Dropout { p: 0.3, stream: 5 }, ones).exact());
        let values = |rng: &mut Random| vec![rng.normal(&[len]), counter(rng)];
        cases.push(Case::new("dropout", &name, Dropout::default(), values));
        let scaled = |rng: &mut Random| vec![rng.normal(&[len]), rng.normal(&[1])];
        cases.push(Case::new("scale", &name, Scale, scaled).exact().forward_only());
        cases.push(Case::new("reshape", &name, Reshape { shape: vec![1, len, 1] }, one).exact());
        cases.push(
            Case::new("clip_coefficient", &name, ClipCoefficient { max_norm: 1.0 }, one)
                .terms(len)
                .forward_only(),
        );
    }
    let special = [f32::NAN, -0.0, 0.0, f32::INFINITY, f32::NEG_INFINITY, 1e-30, -1e-30, f32::MAX];
    cases.push(Case::new("relu", "keeps_nan", Relu, |_| vec![floats([8], special.to_vec())]).exact());
    for p in [0.0, 0.999] {
        let ones = |rng: &mut Random| vec![floats([3, 5, 7], vec![1.0; 105]), counter(rng)];
        cases.push(Case::new("dropout", format!("p_{p}"), Dropout { p, stream: 0 }, ones));
    }
    cases.push(
        Case::new("add", "image", Add, |rng| vec![rng.normal(&[2, 3, 5, 7]), rng.normal(&[2, 3, 5, 7])])
            .exact(),
    );
    cases
}

/// The counter of dropout: step and seed.
fn counter(rng: &mut Random) -> Tensor {
    integers(vec![2], vec![rng.below(1000) as u32, rng.below(1 << 30) as u32])
}

fn blocks() -> Vec<Case> {
    let concat = |name: &str, shapes: &[&[usize]]| {
        Case::new("concat", name, Concat, |rng| shapes.iter().map(|s| rng.normal(s)).collect()).exact()
    };
    let slice = |name: &str, shape: &[usize], start, channels| {
        let op = ChannelSlice { start, channels };
        Case::new("channel_slice", name, op, |rng| vec![rng.normal(shape)]).exact()
    };
    let pad = |name: &str, shape: &[usize], before, after| {
        Case::new("channel_pad", name, ChannelPad { before, after }, |rng| vec![rng.normal(shape)]).exact()
    };
    vec![
        concat("one_input", &[&[2, 3, 4, 5]]),
        concat("batch1", &[&[1, 1, 1, 1], &[1, 1, 1, 1]]),
        concat("unequal", &[&[3, 1, 5, 7], &[3, 17, 5, 7], &[3, 4, 5, 7]]),
        concat("rows", &[&[7, 63], &[7, 65]]),
        concat("workgroup", &[&[2, 256, 1, 1], &[2, 255, 1, 1], &[2, 257, 1, 1]]),
        concat("thousand", &[&[1, 1000, 2, 1], &[1, 1, 2, 1]]),
        concat("inception", &[&[2, 64, 7, 7], &[2, 128, 7, 7], &[2, 32, 7, 7], &[2, 32, 7, 7]]),
        slice("first", &[2, 5, 3, 3], 0, 2),
        slice("middle", &[3, 9, 7, 5], 4, 3),
        slice("last", &[1, 257, 1, 1], 256, 1),
        slice("all", &[2, 4], 0, 4),
        pad("both_sides", &[3, 5, 7, 5], 2, 4),
        pad("before", &[2, 16, 4, 4], 8, 0),
        pad("after", &[2, 257], 0, 1),
        pad("nothing", &[2, 3, 5], 0, 0),
    ]
}

fn sums() -> Vec<Case> {
    let channel_sum = |name: &str, shape: &[usize]| {
        let terms = shape.iter().product::<usize>() / shape[1];
        Case::new("channel_sum", name, ChannelSum, |rng| vec![rng.normal(shape)]).terms(terms).forward_only()
    };
    let mut cases = vec![
        channel_sum("one_of_everything", &[1, 1, 1, 1]),
        channel_sum("rows", &[64, 7]),
        channel_sum("many_rows", &[300, 7]),
        channel_sum("one_channel", &[3, 1, 31, 37]),
        channel_sum("thousand_channels", &[2, 1000, 3, 1]),
        channel_sum("slices", &[70, 3, 8, 8]),
        channel_sum("several_slices_per_image", &[3, 2, 80, 70]),
        channel_sum("many_slices", &[600, 2, 1, 9]),
    ];
    cases.extend([63, 64, 65, 257].map(|s| channel_sum(&format!("pixels_{s}"), &[5, 3, s])));
    cases.extend([255, 256, 257].map(|s| channel_sum(&format!("channels_{s}"), &[3, s, 5])));
    cases
}

/// Values at the ends of what is finite, and beyond.
const FINITE: [f32; 6] = [f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, -1e-45, -0.0];
/// More arrays than a launch has bindings, some of which need many workgroups.
const MANY: [usize; 17] =
    [3, 40_000, 500, 50_000, 3, 40_000, 500, 25_000, 3, 40_000, 500, 16_666, 3, 40_000, 500, 12_500, 3];

const NOT_FINITE: [u32; 6] = [0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffc0_0000, 0x7f80_0001, 0xffff_ffff];

/// [`NonFinite`]: whether it finds each bad value among finite ones, in arrays of any number and size.
fn checks() -> Vec<Case> {
    let check = |name: &str, lens: &[usize], bad: Option<(usize, usize, u32)>| {
        let inputs = |rng: &mut Random| {
            let mut arrays: Vec<Vec<f32>> = lens.iter().map(|len| rng.normal(&[*len]).into_f32()).collect();
            arrays[0].iter_mut().zip(FINITE).for_each(|(value, edge)| *value = edge);
            if let Some((array, index, bits)) = bad {
                arrays[array][index] = f32::from_bits(bits);
            }
            arrays.into_iter().map(|array| floats([array.len()], array)).collect()
        };
        Case::new("non_finite", name, NonFinite, inputs).exact().forward_only()
    };
    let mut cases = Vec::new();
    for len in LENGTHS {
        cases.push(check(&format!("none_of_{len}"), &[len], None));
        for (what, index) in [("first", 0), ("last", len - 1)] {
            cases.push(check(&format!("{what}_of_{len}"), &[len], Some((0, index, NOT_FINITE[2]))));
        }
    }
    for bits in NOT_FINITE {
        cases.push(check(&format!("bits_{bits:#x}"), &[9], Some((0, 7, bits))));
    }
    cases.push(check("none_of_many", &MANY, None));
    for array in [0, 1, 3, 7, 16] {
        cases.push(check(&format!("in_array_{array}"), &MANY, Some((array, MANY[array] - 1, NOT_FINITE[1]))));
    }
    cases
}

/// The same update with a guard that lets it pass, and with some that do not.
fn guarded(
    family: &str,
    name: &str,
    op: impl Into<Op>,
    inputs: impl Fn(&mut Random) -> Vec<Tensor>,
) -> Vec<Case> {
    let op = op.into();
    let guards = [("open", 0.0), ("infinite", f32::INFINITY), ("nan", f32::NAN)];
    let case = |(guard, value): (&str, f32)| {
        let inputs = |rng: &mut Random| {
            let mut inputs = inputs(rng);
            inputs.push(floats([1], vec![value]));
            inputs
        };
        let case = Case::new(family, format!("{name}_guard_{guard}"), op.clone(), inputs).forward_only();
        if value == 0.0 { case } else { case.exact() }
    };
    guards.map(case).into()
}

fn steps() -> Vec<Case> {
    let mut cases = Vec::new();
    let sgd = Sgd { momentum: 0.9, weight_decay: 1e-3, nesterov: false, lr_scale: 1.0 };
    let adam = Adam { weight_decay: 0.01, ..Default::default() };
    let sgds = [
        ("plain", Sgd::default()),
        ("momentum", sgd),
        ("nesterov", Sgd { nesterov: true, ..sgd }),
        ("slow_layer", Sgd { lr_scale: 0.1, ..sgd }),
    ];
    let adams = [
        ("plain", Adam::default()),
        ("decayed", adam),
        ("decoupled", Adam { decoupled: true, ..adam }),
        ("slow_layer", Adam { lr_scale: 0.1, beta1: 0.8, beta2: 0.95, eps: 1e-4, ..adam }),
    ];
    for len in [1, 255, 256, 257, 4097] {
        for (name, op) in sgds {
            let inputs = |rng: &mut Random| {
                let [w, g, v] = [0; 3].map(|_| rng.normal(&[len]));
                vec![w, g, v, floats([3], vec![0.1, 1.0, 1.0])]
            };
            cases.extend(guarded("sgd", &format!("{name}_{len}"), op, inputs));
            cases.push(Case::new("sgd", format!("{name}_{len}"), op, inputs).forward_only());
        }
        for (name, op) in adams {
            let inputs = |rng: &mut Random| {
                let [w, g, m] = [0; 3].map(|_| rng.normal(&[len]));
                let s = rng.uniform(&[len], 0.0, 2.0);
                vec![w, g, m, s, floats([3], op.schedule(0.01, 3).to_vec())]
            };
            cases.extend(guarded("adam", &format!("{name}_{len}"), op, inputs));
            cases.push(Case::new("adam", format!("{name}_{len}"), op, inputs).forward_only());
        }
    }
    let clip = ClipCoefficient { max_norm: 1.0 };
    for (name, gradient) in
        [("zero", 0.0), ("below", 0.5), ("above", 10.0), ("huge", 1e15), ("nan", f32::NAN)]
    {
        let input = move |_: &mut Random| vec![floats([1], vec![gradient])];
        cases.push(Case::new("clip_coefficient", name, clip, input).forward_only());
    }
    let many = |rng: &mut Random| MANY.map(|len| rng.normal(&[len])).into();
    cases.push(Case::new("clip_coefficient", "many", clip, many).terms(MANY.iter().sum()).forward_only());
    cases
}
