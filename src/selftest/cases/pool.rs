//! Pooling.

use super::case::Case;
use crate::op::{AvgPool, MaxPool, Window};
use crate::selftest::random::floats;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, shape, window) in windows() {
        let max = MaxPool { window };
        // A pixel may be the maximum of several windows: its gradient is a sum.
        cases.push(
            Case::new("max_pool2d", &name, max, |rng| vec![rng.normal(&shape)]).terms(shape[2] * shape[3]),
        );
        for count_include_pad in [false, true] {
            let name = format!("{name}{}", if count_include_pad { "_pad_counts" } else { "" });
            let avg = AvgPool { window, count_include_pad };
            cases.push(
                Case::new("avg_pool2d", name, avg, |rng| vec![rng.normal(&shape)]).terms(shape[2] * shape[3]),
            );
        }
    }
    // Non-overlapping windows of 2 x 2 have their own kernels; ties, and a NaN at each position of a window.
    let non_overlapping = sliding([2, 2], [2, 2], [0, 0], false);
    cases.push(
        Case::new("max_pool2d", "non_overlapping", MaxPool { window: non_overlapping }, |rng| {
            vec![rng.normal(&[3, 5, 6, 12])]
        })
        .terms(4),
    );
    cases.push(
        Case::new(
            "max_pool2d",
            "non_overlapping_ties_and_nans",
            MaxPool { window: non_overlapping },
            |rng| {
                let mut x = rng.signs(&[2, 3, 4, 8]).into_f32();
                for at in [0, 3, 9 + 3, 16 + 6, 24 + 7, 32, 33, 41, 96 + 17, 96 + 24] {
                    x[at] = f32::NAN;
                }
                vec![floats([2, 3, 4, 8], x)]
            },
        )
        .terms(4),
    );
    let overlapping = sliding([3, 3], [2, 2], [1, 1], false);
    // Only two values, so that there are ties everywhere: the first maximum counts.
    cases.push(
        Case::new("max_pool2d", "ties", MaxPool { window: overlapping }, |rng| {
            vec![rng.signs(&[2, 3, 9, 8])]
        })
        .terms(9),
    );
    cases.push(
        Case::new("max_pool2d", "zeros_of_both_signs", MaxPool { window: overlapping }, |rng| {
            let signs = rng.signs(&[1, 2, 7, 7]);
            vec![floats([1, 2, 7, 7], signs.as_f32().iter().map(|s| s * 0.0).collect())]
        })
        .terms(9),
    );
    for (name, window) in
        [("nan_wins", overlapping), ("nan_wins_adaptive", Window::Adaptive { output_size: [2, 3] })]
    {
        cases.push(
            Case::new("max_pool2d", name, MaxPool { window }, |rng| {
                let mut x = rng.normal(&[2, 2, 7, 9]).into_f32();
                for at in [0, 17, 18, 62, 100, 251] {
                    x[at] = f32::NAN;
                }
                (x[30], x[31], x[80]) = (f32::INFINITY, f32::NEG_INFINITY, -f32::NAN);
                vec![floats([2, 2, 7, 9], x)]
            })
            .terms(9),
        );
    }
    cases.push(
        Case::new("max_pool2d", "all_minus_infinity", MaxPool { window: overlapping }, |_| {
            vec![floats([1, 1, 4, 4], vec![f32::NEG_INFINITY; 16])]
        })
        .terms(9),
    );
    cases
}

fn sliding(kernel_size: [usize; 2], stride: [usize; 2], padding: [usize; 2], ceil_mode: bool) -> Window {
    Window::Sliding { kernel_size, stride, padding, ceil_mode }
}

fn windows() -> Vec<(String, [usize; 4], Window)> {
    let adaptive = |h, w| Window::Adaptive { output_size: [h, w] };
    let mut rows = vec![
        ("one_pixel", [1, 1, 1, 1], sliding([1, 1], [1, 1], [0, 0], false)),
        ("plain2x2", [2, 3, 8, 6], sliding([2, 2], [2, 2], [0, 0], false)),
        ("odd2x2", [2, 3, 7, 5], sliding([2, 2], [2, 2], [0, 0], false)),
        ("odd2x2_ceil", [2, 3, 7, 5], sliding([2, 2], [2, 2], [0, 0], true)),
        ("overlap_pad1", [2, 3, 9, 8], sliding([3, 3], [2, 2], [1, 1], false)),
        ("overlap_pad1_ceil", [2, 3, 10, 8], sliding([3, 3], [2, 2], [1, 1], true)),
        ("googlenet_ceil", [1, 2, 28, 27], sliding([3, 3], [2, 2], [0, 0], true)),
        ("same3x3", [2, 2, 7, 7], sliding([3, 3], [1, 1], [1, 1], false)),
        ("stride_larger_than_kernel", [2, 2, 11, 13], sliding([2, 2], [5, 4], [0, 0], false)),
        ("stride_larger_than_kernel_ceil", [2, 2, 12, 13], sliding([2, 1], [5, 3], [1, 0], true)),
        ("kernel_larger_than_image", [3, 2, 2, 3], sliding([4, 5], [1, 1], [2, 2], false)),
        ("kernel_larger_than_image_ceil", [3, 2, 2, 3], sliding([4, 5], [3, 2], [2, 2], true)),
        ("kernel_as_large_as_image", [2, 3, 5, 7], sliding([5, 7], [1, 1], [0, 0], false)),
        ("nonsquare", [2, 3, 17, 5], sliding([5, 2], [3, 1], [2, 1], false)),
        ("nonsquare_ceil", [2, 3, 17, 5], sliding([5, 2], [4, 3], [2, 1], true)),
        ("thousand_channels", [1, 1000, 3, 3], sliding([2, 2], [1, 1], [0, 0], false)),
        ("global", [2, 5, 7, 9], adaptive(1, 1)),
        ("adaptive_divides", [2, 3, 9, 8], adaptive(3, 2)),
        ("adaptive_overlaps", [2, 3, 7, 11], adaptive(3, 4)),
        ("adaptive_same_size", [1, 2, 5, 6], adaptive(5, 6)),
        ("adaptive_larger_than_image", [2, 2, 3, 2], adaptive(7, 5)),
        ("adaptive_of_one_pixel", [1, 3, 1, 1], adaptive(2, 2)),
        ("global_1000_channels", [1, 1000, 1, 2], adaptive(1, 1)),
    ]
    .into_iter()
    .map(|(name, shape, window)| (name.to_owned(), shape, window))
    .collect::<Vec<_>>();
    // Numbers of outputs around the size of a workgroup.
    rows.extend(
        [63, 64, 65]
            .map(|s| (format!("outputs_{s}"), [1, 1, 2, 2 * s], sliding([2, 2], [2, 2], [0, 0], false))),
    );
    rows
}
