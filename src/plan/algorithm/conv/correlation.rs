//! A convolution and its transpose in one form: a correlation with arbitrary strides of weights and results.

use super::{Geometry, Sizes};
use crate::kernel::ConvGemm;

/// The convolution itself.
pub(super) fn forward(g: &Geometry) -> ConvGemm {
    let s = Sizes::new(g);
    ConvGemm {
        batch: g.batch,
        in_channels: g.in_channels / g.groups,
        in_h: g.in_h,
        in_w: g.in_w,
        out_channels: s.outs,
        out_h: g.out_h,
        out_w: g.out_w,
        kernel_h: g.kernel_h,
        kernel_w: g.kernel_w,
        stride_h: g.stride_h,
        stride_w: g.stride_w,
        dilation_h: g.dilation_h,
        dilation_w: g.dilation_w,
        padding_h: g.padding_h,
        padding_w: g.padding_w,
        groups: g.groups,
        w_group: s.outs * s.taps,
        w_out: s.taps,
        w_in: g.kernel_h * g.kernel_w,
        w_start: 0,
        w_down: g.kernel_w,
        w_right: 1,
        y_plane: s.pixels,
        y_start: 0,
        y_down: g.out_w,
        y_right: 1,
        has_bias: g.has_bias,
        epilogue: 0,
        k_per_slice: 0,
    }
}

/// For the input pixels `phase`, `phase` + stride, ... along an axis: the first tap that a convolution reads them with, the
/// number of such taps, and the padding with which these taps, in descending order, are a stride-1 convolution of the outputs.
fn phase_taps(phase: u32, [kernel, stride, dilation, padding]: [u32; 4]) -> (u32, u32, u32) {
    if stride == 1 {
        return (0, kernel, (dilation * (kernel - 1)).wrapping_sub(padding));
    }
    // Output o reads pixel i with tap k if i = o * stride - padding + k. (Dilation is 1 at larger strides.)
    let first = (phase + padding) % stride;
    let count = kernel.saturating_sub(first).div_ceil(stride);
    let nearest = (phase + padding - first) / stride;
    (first, count, count.wrapping_sub(1).wrapping_sub(nearest))
}

/// Most phases that are worth a launch each.
const MAX_PHASES: u64 = 256;

/// Whether the input gradient decomposes into polyphase components that are correlations, and into few of them.
pub(super) fn has_few_phases(g: &Geometry) -> bool {
    let [down, across] = [g.stride_h.min(g.in_h), g.stride_w.min(g.in_w)].map(u64::from);
    (g.stride_h == 1 || g.dilation_h == 1)
        && (g.stride_w == 1 || g.dilation_w == 1)
        && down * across <= MAX_PHASES
}

/// The polyphase decomposition of the input gradient. At stride 2 there are four phases of pixels. Each is a correlation of the
/// upstream gradient with every second tap, the filters rotated by 180 degrees and the channels swapped.
pub(super) fn polyphase(g: &Geometry) -> impl Iterator<Item = ConvGemm> {
    let (g, across) = (*g, g.stride_w.min(g.in_w));
    (0..g.stride_h.min(g.in_h)).flat_map(move |h| (0..across).map(move |w| phase(&g, [h, w])))
}

/// The whole input gradient for any stride: channels swapped and filters rotated by 180 degrees. The kernel deals with the
/// stride.
pub(super) fn rotated(g: &Geometry) -> ConvGemm {
    let p = forward(g);
    ConvGemm {
        in_channels: p.out_channels,
        in_h: g.out_h,
        in_w: g.out_w,
        out_channels: p.in_channels,
        out_h: g.in_h,
        out_w: g.in_w,
        w_out: p.w_in,
        w_in: p.w_out,
        w_start: p.w_in - 1,
        w_down: g.kernel_w.wrapping_neg(),
        w_right: 1_u32.wrapping_neg(),
        y_plane: g.in_h * g.in_w,
        y_down: g.in_w,
        has_bias: 0,
        ..p
    }
}

fn phase(g: &Geometry, [phase_h, phase_w]: [u32; 2]) -> ConvGemm {
    let p = forward(g);
    let (first_h, kernel_h, padding_h) =
        phase_taps(phase_h, [g.kernel_h, g.stride_h, g.dilation_h, g.padding_h]);
    let (first_w, kernel_w, padding_w) =
        phase_taps(phase_w, [g.kernel_w, g.stride_w, g.dilation_w, g.padding_w]);
    let last = |first: u32, count: u32, stride: u32| first + count.saturating_sub(1) * stride;
    ConvGemm {
        in_channels: p.out_channels,
        in_h: g.out_h,
        in_w: g.out_w,
        out_channels: p.in_channels,
        out_h: (g.in_h - phase_h).div_ceil(g.stride_h),
        out_w: (g.in_w - phase_w).div_ceil(g.stride_w),
        kernel_h,
        kernel_w,
        stride_h: 1,
        stride_w: 1,
        padding_h,
        padding_w,
        w_out: p.w_in,
        w_in: p.w_out,
        w_start: last(first_h, kernel_h, g.stride_h) * g.kernel_w + last(first_w, kernel_w, g.stride_w),
        // A single row or column has no successor.
        w_down: (g.stride_h.min(g.kernel_h) * g.kernel_w).wrapping_neg(),
        w_right: g.stride_w.min(g.kernel_w).wrapping_neg(),
        y_plane: g.in_h * g.in_w,
        y_start: phase_h * g.in_w + phase_w,
        y_down: g.stride_h.min(g.in_h) * g.in_w,
        y_right: g.stride_w.min(g.in_w),
        has_bias: 0,
        ..p
    }
}

/// Floating-point operations of a correlation.
pub(super) fn flops(p: &ConvGemm) -> u64 {
    let results = (p.batch * p.groups * p.out_channels) as u64 * (p.out_h * p.out_w) as u64;
    2 * results * (p.in_channels * p.kernel_h * p.kernel_w) as u64
}
