use super::super::grad_weight::{grad_weight, grad_weight_on};
use super::*;
use crate::runtime::cpu::conv;
use crate::runtime::cpu::{assert_close, noise, run, with_outputs};

type Case = ([u32; 4], [u32; 2], [[u32; 2]; 4]);

/// Awkward shapes: strides, padding, dilation, groups, one channel, prime sizes.
fn cases() -> Vec<Conv> {
    // batch, in and out channels, groups; image; kernel, stride, padding, dilation, each vertical then horizontal.
    let cases: [Case; 16] = [
        ([2, 16, 16, 1], [32, 32], [[3, 3], [1, 1], [1, 1], [1, 1]]),
        ([2, 16, 32, 1], [16, 16], [[3, 3], [2, 2], [1, 1], [1, 1]]),
        ([2, 16, 32, 1], [17, 16], [[1, 1], [2, 2], [0, 0], [1, 1]]),
        ([1, 3, 17, 1], [8, 8], [[3, 3], [1, 1], [1, 1], [1, 1]]),
        ([1, 1, 1, 1], [1, 1], [[1, 1], [1, 1], [0, 0], [1, 1]]),
        ([3, 1, 1, 1], [7, 11], [[5, 3], [1, 1], [2, 1], [1, 1]]),
        ([3, 7, 11, 1], [13, 5], [[3, 2], [1, 1], [0, 3], [1, 1]]),
        ([2, 6, 9, 3], [7, 5], [[3, 3], [1, 1], [1, 1], [1, 1]]),
        ([2, 8, 8, 8], [9, 10], [[3, 3], [2, 1], [1, 1], [1, 1]]),
        ([2, 4, 10, 2], [12, 9], [[3, 2], [3, 2], [2, 3], [2, 3]]),
        ([2, 4, 6, 2], [13, 11], [[3, 3], [1, 1], [0, 0], [3, 2]]),
        ([2, 2, 5, 1], [10, 10], [[2, 2], [4, 4], [0, 0], [1, 1]]),
        ([2, 3, 4, 1], [3, 3], [[2, 2], [1, 1], [4, 3], [1, 1]]),
        ([2, 3, 70, 1], [5, 4], [[5, 4], [1, 1], [0, 0], [1, 1]]),
        ([37, 5, 6, 1], [5, 5], [[3, 3], [1, 1], [1, 1], [1, 1]]),
        ([1, 64, 8, 1], [70, 60], [[3, 3], [1, 1], [1, 1], [1, 1]]),
    ];
    let conv = |([batch, in_channels, out_channels, groups], [in_h, in_w], [k, s, p, d]): Case| {
        with_outputs(Conv {
            batch,
            in_channels,
            in_h,
            in_w,
            out_channels,
            kernel_h: k[0],
            kernel_w: k[1],
            stride_h: s[0],
            stride_w: s[1],
            padding_h: p[0],
            padding_w: p[1],
            dilation_h: d[0],
            dilation_w: d[1],
            groups,
            ..Default::default()
        })
    };
    cases.into_iter().map(conv).collect()
}

fn lens(p: &Conv) -> [usize; 3] {
    [
        p.batch * p.in_channels * p.in_h * p.in_w,
        p.out_channels * p.in_channels / p.groups * p.kernel_h * p.kernel_w,
        p.batch * p.out_channels * p.out_h * p.out_w,
    ]
    .map(|len| len as usize)
}

type Plain = fn(&Conv, Io<'_>);
type Fast = fn(Arch, &Conv, Io<'_>);

/// Runs a plain and a fast twin on buffers longer than the results, and compares all of them.
fn agree(p: &Conv, plain: Plain, fast: Fast, reads: &[&[f32]], len: usize, case: &str) {
    let untouched = noise(99, len + 3);
    let mut want = untouched.clone();
    run(plain, p, reads, &mut want);
    let largest = want.iter().fold(1.0, |most: f32, v| most.max(v.abs()));
    let scaled = |values: &[f32]| values.iter().map(|v| v / largest).collect::<Vec<_>>();
    for arch in arches() {
        let mut got = untouched.clone();
        let reads = reads.iter().map(|r| bytemuck::cast_slice(r)).collect();
        fast(arch, p, Io { reads, writes: vec![bytemuck::cast_slice_mut(&mut got)] });
        assert_close(&scaled(&got), &scaled(&want), 3e-6, &format!("{case} of {p:?} on {arch:?}"));
    }
}

/// The widest instructions of the machine, and narrower ones.
fn arches() -> Vec<Arch> {
    #[cfg(target_arch = "x86_64")]
    let fewer = pulp::x86::V3::try_new().map(Arch::V3).into_iter().chain([Arch::Scalar]);
    #[cfg(not(target_arch = "x86_64"))]
    let fewer = [];
    [Arch::new()].into_iter().chain(fewer).collect()
}

#[test]
fn fast_matches_plain_and_writes_only_its_results() {
    for (seed, p) in cases().into_iter().enumerate() {
        let seed = seed as u32;
        let ([x_len, w_len, y_len], p) = (lens(&p), Conv { has_bias: seed % 2, ..p });
        let (x, w, dy) = (noise(seed, x_len), noise(seed + 50, w_len), noise(seed + 100, y_len));
        let bias = noise(seed + 150, p.out_channels as usize);
        agree(&p, conv::conv_direct, forward_on, &[&x, &w, &bias], y_len, "forward");
        agree(&p, conv::conv_direct_grad_input, grad_input_on, &[&dy, &w], x_len, "input gradient");
        let (plain, fast): (Plain, Fast) = (conv::conv_direct_grad_weight, grad_weight_on);
        agree(&p, plain, fast, &[&dy, &x], w_len, "weight gradient");
    }
}

#[test]
fn results_do_not_depend_on_the_thread_count() {
    let p = cases()[14];
    let [x_len, w_len, y_len] = lens(&p);
    let (x, w, dy) = (noise(1, x_len), noise(2, w_len), noise(3, y_len));
    let results = [1, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (mut y, mut dx, mut dw) = (vec![0.0; y_len], vec![0.0; x_len], vec![0.0; w_len]);
        pool.install(|| {
            run(forward, &p, &[&x, &w, &[]], &mut y);
            run(grad_input, &p, &[&dy, &w], &mut dx);
            run(grad_weight, &p, &[&dy, &x], &mut dw);
        });
        [y, dx, dw]
    });
    assert_eq!(results[0], results[1]);
}
